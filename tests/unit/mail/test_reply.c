#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <cmocka.h>

#include "base/mem.h"
#include "mail/reply.h"

static const struct {
	const char *in;
	int rc; /* 1, 0, or below for any error */
	int code;
	const char *enhanced;
	const char *text;
	const char *rest;
} cases[] = {
	{ "250 ok\r\n", 1, 250, "", "ok", "" },
	{ "250\r\n", 1, 250, "", "", "" },
	{ "250 \r\n", 1, 250, "", "", "" },
	{ "250 ok\n", 1, 250, "", "ok", "" },
	{ "250 2.1.0 ok\r\n354 go\r\n", 1, 250, "2.1.0", "ok", "354 go\r\n" },
	{ "250-a\r\n250-SIZE 10\r\n250 HELP\r\n", 1, 250, "", "a\nSIZE 10\nHELP", "" },
	{ "550-5.1.1 no\r\n550 5.1.1 such user\r\n", 1, 550, "5.1.1", "no\nsuch user", "" },
	{ "550-5.1.1 no\r\n550 5.2.1 what\r\n", 1, 550, "5.1.1", "no\n5.2.1 what", "" },
	{ "421 4.7.28\r\n", 1, 421, "4.7.28", "", "" },
	{ "421 4.7.28x\r\n", 1, 421, "", "4.7.28x", "" },
	{ "421 4.7\r\n", 1, 421, "", "4.7", "" },
	{ "421 4.7.1234 x\r\n", 1, 421, "", "4.7.1234 x", "" },
	{ "421 3.7.1 x\r\n", 1, 421, "", "3.7.1 x", "" },
	{ "250 unfinished", 0, 0, "", "", "" },
	{ "250-more\r\n", 0, 250, "", "more", "" },
	{ "250-a\r\n550 b\r\n", -1, 0, "", "changed", "" },
	{ "hello\r\n", -1, 0, "", "hello", "" },
	{ "25 x\r\n", -1, 0, "", "25 x", "" },
	{ "250x\r\n", -1, 0, "", "250x", "" },
	{ "199 x\r\n", -1, 0, "", "range", "" },
	{ "600 x\r\n", -1, 0, "", "range", "" },
	{ "\r\n", -1, 0, "", "not an SMTP", "" },
	{ "\x1b[2J\r\n", -1, 0, "", "?[2J", "" },
};

static void check(size_t i, size_t cut)
{
	struct smtp_reply r = SMTP_REPLY_INIT;
	struct str in = str_of(cases[i].in);
	struct err err = ERR_INIT;
	size_t used = 0;
	size_t more = 0;
	int rc = smtp_reply_feed(&r, str_from(in.p, cut), &used, &err);

	if (rc == 0)
		rc = smtp_reply_feed(&r, str_from(in.p + cut, in.n - cut), &more, &err);
	used += more;
	if ((rc < 0 ? -1 : rc) != cases[i].rc)
		fail_msg("case %zu cut %zu: %d %s", i, cut, rc, err.msg);
	if (rc < 0) {
		assert_int_equal(rc, -ERR_PROTO);
		if (strstr(err.msg, cases[i].text) == NULL)
			fail_msg("case %zu: %s", i, err.msg);
	} else {
		assert_int_equal(r.code, cases[i].code);
		assert_string_equal(r.enhanced, cases[i].enhanced);
		assert_string_equal(buf_cstr(&r.text), cases[i].text);
		assert_string_equal(in.p + used, cases[i].rest);
	}
	smtp_reply_done(&r);
}

static void test_replies(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++)
		for (size_t cut = 0; cut <= strlen(cases[i].in); cut++)
			check(i, cut);
}

static void test_reuse_and_lines(void **state)
{
	struct smtp_reply r = SMTP_REPLY_INIT;
	size_t used;

	(void)state;
	assert_int_equal(smtp_reply_feed(&r, STR("250-one\r\n250 2.0.0 two\r\n"), &used, NULL), 1);
	assert_true(str_eq(smtp_reply_line(&r, 0), STR("one")));
	assert_true(str_eq(smtp_reply_line(&r, 1), STR("2.0.0 two")));
	assert_int_equal(smtp_reply_line(&r, 2).n, 0);
	assert_true(smtp_reply_is(&r, 2));
	assert_int_equal(smtp_reply_feed(&r, STR("451 4.3.0 later\r\n"), &used, NULL), 1);
	assert_string_equal(buf_cstr(&r.text), "later");
	assert_int_equal(r.lines, 1);
	smtp_reply_done(&r);
}

/* red when a peer that never ends its line or its reply costs memory without end */
static void test_limits(void **state)
{
	struct smtp_reply r = SMTP_REPLY_INIT;
	char line[SMTP_REPLY_LINE_MAX];
	size_t used;
	int rc = 0;

	(void)state;
	memset(line, 'x', sizeof(line));
	memcpy(line, "250-", 4);
	line[sizeof(line) - 1] = '\n';
	for (int i = 0; i < 20; i++)
		assert_int_equal(smtp_reply_feed(&r, str_from(line, sizeof(line)), &used, NULL), 0);
	assert_int_equal(r.text.n, SMTP_REPLY_TEXT_MAX);
	for (int i = 0; i < SMTP_REPLY_LINES_MAX && rc == 0; i++)
		rc = smtp_reply_feed(&r, STR("250-a\n"), &used, NULL);
	assert_int_equal(rc, -ERR_PROTO);
	smtp_reply_reset(&r);
	line[sizeof(line) - 1] = 'x';
	assert_int_equal(smtp_reply_feed(&r, str_from(line, sizeof(line)), &used, NULL), 0);
	assert_int_equal(smtp_reply_feed(&r, STR("x"), &used, NULL), -ERR_PROTO);
	smtp_reply_done(&r);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_replies),
		cmocka_unit_test(test_reuse_and_lines),
		cmocka_unit_test(test_limits),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
