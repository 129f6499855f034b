#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <cmocka.h>

#include "base/mem.h"
#include "filter/filter_complete.h"

/* `|` in the text is the cursor. */
static size_t mail_fields(void)
{
	size_t n = 0;
	for (int f = 0; f < FILTER__COUNT; f++)
		n += filter_field_of(FILTER_MAIL, (enum filter_field)f);
	return n;
}

/* A screen of the audit log offers its own fields and nothing of mail. */
static void test_audit(void **state)
{
	struct filter_completion c;
	(void)state;
	filter_complete(FILTER_AUDIT, STR("r"), 1, &c);
	assert_int_equal(c.n, 3);
	assert_string_equal(c.items[0].text, "role:");
	assert_string_equal(c.items[1].text, "reason:");
	assert_string_equal(c.items[2].text, "result:");
	filter_complete(FILTER_AUDIT, STR("domain:"), 7, &c);
	assert_int_equal(c.n, 0);
}

static void test_candidates(void **state)
{
	static const struct {
		const char *text;
		size_t from;
		const char *items; /* joined by '|'; NULL: not compared */
		enum filter_field field;
		const char *partial;
	} cases[] = {
		{ "do|", 0, "domain:", FILTER__COUNT, "" },
		{ "-do|", 1, "domain:", FILTER__COUNT, "" },
		{ "age>2h (st|", 8, "state:|stream:", FILTER__COUNT, "" },
		{ "ag|e>2h", 0, "age>", FILTER__COUNT, "" },
		{ "age|", 0, "age<|age<=|age>|age>=", FILTER__COUNT, "" },
		{ "domain|", 0, "domain:|domain=|domain!=", FILTER__COUNT, "" },
		{ "state:de|", 6, "deferred|delivered|deleted", FILTER_STATE, "de" },
		{ "state:held,a|", 11, "active", FILTER_STATE, "a" },
		{ "age>|", 4, "10m|1h|2h|1d|3d", FILTER_AGE, "" },
		{ "age>=1|", 5, "10m|1h|1d", FILTER_AGE, "1" },
		{ "domain:gm|", 7, "", FILTER_DOMAIN, "gm" },
		{ "subject:\"two wo|", 8, "", FILTER_SUBJECT, "\"two wo" },
		{ "subject:\"a b\" o|", 14, "or ", FILTER__COUNT, "" },
		{ "zzz|", 0, "", FILTER__COUNT, "" },
		{ "zzz:|", 0, "", FILTER__COUNT, "" },
		{ "|", 0, NULL, FILTER__COUNT, "" },
		{ "domain:a.org |", 13, NULL, FILTER__COUNT, "" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct filter_completion c;
		struct str text = str_of(cases[i].text);
		size_t cursor = (size_t)str_index(text, '|');
		AUTO_BUF items = BUF_INIT(4000);
		AUTO_BUF line = BUF_INIT(4000);
		(void)buf_put(&line, text.p, cursor);
		(void)buf_put(&line, text.p + cursor + 1, text.n - cursor - 1);
		filter_complete(FILTER_MAIL, buf_str(&line), cursor, &c);
		for (size_t k = 0; k < c.n; k++)
			(void)buf_printf(&items, "%s%s", k > 0 ? "|" : "", c.items[k].text);
		if (c.from != cases[i].from || c.field != cases[i].field ||
		    !str_eq(c.partial, str_of(cases[i].partial)))
			fail_msg("%s: from %zu field %d partial %.*s", cases[i].text, c.from,
				 (int)c.field, STR_ARG(c.partial));
		if (cases[i].items == NULL)
			assert_int_equal(c.n, mail_fields());
		else if (strcmp(buf_cstr(&items), cases[i].items) != 0)
			fail_msg("%s: %s", cases[i].text, buf_cstr(&items));
	}
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_candidates),
		cmocka_unit_test(test_audit),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
