/* The texts of MTA-STS, as they should be and as they come. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/buf.h"
#include "base/mem.h"
#include "route/sts_policy.h"

#define HEAD "version: STSv1\n"

static void test_record(void **state)
{
	static const struct {
		const char *text;
		bool is;
		const char *id; /* NULL: wrong */
	} cases[] = {
		{ "v=STSv1; id=20160831085700Z;", true, "20160831085700Z" },
		{ "v=STSv1;id=a1", true, "a1" },
		{ "v=STSv1 ; x=y;  id=7 ;", true, "7" },
		{ "v=STSv1; id=12345678901234567890123456789012", true,
		  "12345678901234567890123456789012" },
		{ "v=STSv1; id=123456789012345678901234567890123", true, NULL },
		{ "v=STSv1; id=", true, NULL },
		{ "v=STSv1; id=a-b", true, NULL },
		{ "v=STSv1;", true, NULL },
		{ "v=STSv1", false, NULL },
		{ "v=STSv2; id=1", false, NULL },
		{ "id=1; v=STSv1;", false, NULL },
		{ "v=spf1 -all", false, NULL },
		{ "", false, NULL },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		char id[STS_ID_MAX + 1] = "";
		struct str text = str_of(cases[i].text);
		if (sts_record_is(text) != cases[i].is ||
		    sts_record_parse(text, id) != (cases[i].id != NULL) ||
		    strcmp(id, cases[i].id != NULL ? cases[i].id : "") != 0)
			fail_msg("'%s': '%s'", cases[i].text, id);
	}
}

static void test_policy(void **state)
{
	static const struct {
		const char *text;
		const char *said; /* as sts_policy_text() has it, or what is wrong */
	} cases[] = {
		{ HEAD "mode: enforce\nmx: Mail.example.com\nmx: *.example.net\nmax_age: 604800\n",
		  HEAD "mode: enforce\nmax_age: 604800\nmx: mail.example.com\nmx: "
		       "*.example.net\n" },
		{ "mx:a.b\r\nmax_age:1\r\nmode:testing\r\nversion:STSv1",
		  HEAD "mode: testing\nmax_age: 1\nmx: a.b\n" },
		{ HEAD "mode: none\nmax_age: 99999999999\n", "line 3: " },
		{ HEAD "mode: none\nmax_age: 9999999999\n",
		  HEAD "mode: none\nmax_age: 31557600\n" },
		/* the first one counts, what we do not know is passed over */
		{ HEAD "mode: none\nmode: enforce\nmax_age: 5\nmax_age: no\nnew_thing: x:y\n\n",
		  HEAD "mode: none\nmax_age: 5\n" },
		{ HEAD "mode: enforce\nmax_age: 5\n", "no mx" },
		{ HEAD "max_age: 5\nmx: a.b\n", "no mode" },
		{ HEAD "mode: enforce\nmx: a.b\n", "no max_age" },
		{ "mode: enforce\nmx: a.b\nmax_age: 5\n", "no version" },
		{ "version: STSv2\nmode: none\nmax_age: 5\n", "line 1: " },
		{ HEAD "mode: Enforce\nmax_age: 5\nmx: a.b\n", "line 2: " },
		{ HEAD "mode: enforce\nmax_age: -5\nmx: a.b\n", "line 3: " },
		{ HEAD "mode: enforce\nmax_age: 5\nmx: *\n", "line 4: " },
		{ HEAD "mode: enforce\nmax_age: 5\nmx: a.*.b\n", "line 4: " },
		{ HEAD "mode: enforce\nmax_age: 5\nmx: \n", "line 4: " },
		{ HEAD "mode: enforce\nmax_age: 5\nmx: 192.0.2.1\n", "line 4: " },
		{ HEAD "<html>\n", "line 2 is no field" },
		{ "", "no version" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct sts_policy p;
		struct err err = ERR_INIT;
		int rc = sts_policy_parse(str_of(cases[i].text), &p, &err);
		char *said = rc >= 0 ? sts_policy_text(&p) : NULL;
		if (rc >= 0 ? strcmp(said, cases[i].said) != 0
			    : strstr(err.msg, cases[i].said) == NULL)
			fail_msg("%zu: '%s'", i, rc >= 0 ? said : err.msg);
		free(said);
		if (rc >= 0)
			sts_policy_done(&p);
	}
}

static void test_limits(void **state)
{
	AUTO_BUF b = BUF_INIT(2 * STS_TEXT_MAX);
	struct sts_policy p;

	(void)state;
	(void)buf_puts(&b, HEAD "mode: enforce\nmax_age: 5\n");
	for (int i = 0; i < STS_MX_MAX; i++)
		(void)buf_printf(&b, "mx: mx%d.example.com\n", i);
	assert_int_equal(sts_policy_parse(buf_str(&b), &p, NULL), 0);
	assert_int_equal(p.mx_n, STS_MX_MAX);
	sts_policy_done(&p);
	(void)buf_puts(&b, "mx: one.too.many\n");
	assert_int_equal(sts_policy_parse(buf_str(&b), &p, NULL), -ERR_PROTO);
	buf_reset(&b);
	(void)buf_puts(&b, HEAD "mode: none\nmax_age: 5\n");
	while (b.n <= STS_TEXT_MAX)
		(void)buf_puts(&b, "x: y\n");
	assert_int_equal(sts_policy_parse(buf_str(&b), &p, NULL), -ERR_PROTO);
	/* a zero byte in a name is no end of it */
	assert_int_equal(
		sts_policy_parse(STR(HEAD "mode: enforce\nmax_age: 5\nmx: a.b\0.evil\n"), &p, NULL),
		-ERR_PROTO);
}

static void test_match(void **state)
{
	static const struct {
		const char *host;
		bool listed;
	} cases[] = {
		{ "mx.example.com", true },	  { "a.example.net", true },
		{ "a-b.example.net", true },	  { "example.net", false },
		{ "a.b.example.net", false },	  { "aexample.net", false },
		{ ".example.net", false },	  { "x.mx.example.com", false },
		{ "mx.example.com.evil", false }, { "", false },
	};
	struct sts_policy p;

	(void)state;
	assert_int_equal(sts_policy_parse(STR(HEAD "mode: enforce\nmax_age: 5\n"
						   "mx: mx.example.com\nmx: *.example.net\n"),
					  &p, NULL),
			 0);
	for (size_t i = 0; i < ARRAY_LEN(cases); i++)
		if (sts_policy_matches(&p, cases[i].host) != cases[i].listed)
			fail_msg("%s", cases[i].host);
	sts_policy_done(&p);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_record),
		cmocka_unit_test(test_policy),
		cmocka_unit_test(test_limits),
		cmocka_unit_test(test_match),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
