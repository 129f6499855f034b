#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <cmocka.h>

#include "base/mem.h"
#include "filter/target.h"

static void test_targets(void **state)
{
	static const struct {
		const char *in;
		const char *canonical; /* NULL: refused */
		const char *filter;    /* what it means, or the hint of the refusal */
		int column;
	} cases[] = {
		{ "all", "all", "", 0 },
		{ " ALL ", "all", "", 0 },
		{ "domain:Gmail.com", "domain:gmail.com", "domain:gmail.com", 0 },
		{ "domain:a.org,b.org", "domain:a.org,b.org", "domain:a.org,b.org", 0 },
		{ "provider:google.com", "provider:google.com", "provider:google.com", 0 },
		{ "stream:bulk", "stream:bulk", "stream:bulk", 0 },
		{ "credential:crm", "credential:crm", "credential:crm", 0 },
		{ "sender:bob@x.org", "sender:bob@x.org", "from:bob@x.org", 0 },
		{ "Sender:@x.org", "sender:*@x.org", "from:*@x.org", 0 },
		{ "id:0n4xk2m8qf/3", "id:0N4XK2M8QF/3", "id:0N4XK2M8QF/3", 0 },
		{ "domain:a.org age>2h", "domain:a.org age>2h", "domain:a.org age>2h", 0 },
		{ "code:4.7.* or code:421", "code:4.7.* or code:421", "code:4.7.* or code:421", 0 },
		{ "where:bob", "where:bob", "bob", 0 },
		{ "where:domain:a.org", "domain:a.org", "domain:a.org", 0 },
		{ "", NULL, "a target is missing", 1 },
		{ "where:", NULL, "a target is missing", 7 },
		{ "gmail.com", NULL, "did you mean domain:gmail.com?", 1 },
		{ "bob@x.org", NULL, "sender:bob@x.org", 1 },
		{ "0N4XK2M8QF", NULL, "did you mean id:0N4XK2M8QF?", 1 },
		{ "everything", NULL, "domain:D", 1 },
		{ "domain:a.org bob", NULL, "does not search words", 1 },
		{ "sender:bob", NULL, "whole address", 1 },
		{ "sender:a@x.org stream:b", NULL, "stands alone", 1 },
		{ "sender:", NULL, "value is expected", 8 },
		{ "domain:a.org sender:b@x.org", NULL, "sender-domain", 14 },
		{ "domian:x", NULL, "domain", 1 },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct target t = TARGET_INIT;
		struct target again = TARGET_INIT;
		struct err err = ERR_INIT;
		AUTO_BUF text = BUF_INIT(FILTER_TEXT_MAX);
		int rc = target_parse(str_of(cases[i].in), &t, &err);
		if (cases[i].canonical == NULL) {
			if (rc >= 0 || err.column != cases[i].column ||
			    strstr(err.msg, cases[i].filter) == NULL)
				fail_msg("%s: column %d: %s", cases[i].in, err.column, err.msg);
			continue;
		}
		if (rc < 0)
			fail_msg("%s: %s", cases[i].in, err.msg);
		assert_string_equal(t.canonical, cases[i].canonical);
		assert_true(filter_print(t.filter, &text));
		assert_string_equal(buf_cstr(&text), cases[i].filter);
		assert_int_equal(target_parse(str_of(t.canonical), &again, &err), 0);
		assert_string_equal(again.canonical, t.canonical);
		target_done(&again);
		target_done(&t);
	}
}

static void test_where(void **state)
{
	struct target t = TARGET_INIT;
	struct target again = TARGET_INIT;
	struct err err = ERR_INIT;

	(void)state;
	assert_int_equal(target_from_filter(STR("bob -stream:x"), &t, &err), 0);
	assert_int_equal(target_parse(str_of(t.canonical), &again, &err), 0);
	assert_string_equal(t.canonical, again.canonical);
	target_done(&t);
	target_done(&again);
	/* an empty --where must never mean everything */
	assert_true(target_from_filter(STR("  "), &t, &err) < 0);
	assert_true(target_from_filter(STR("age>x"), &t, NULL) < 0);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_targets),
		cmocka_unit_test(test_where),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
