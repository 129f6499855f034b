#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/mem.h"
#include "mail/smtp_cmd.h"

#define BASIC (SMTP_EXT_SIZE | SMTP_EXT_8BITMIME)
#define ALL                                                                                        \
	(BASIC | SMTP_EXT_SMTPUTF8 | SMTP_EXT_DSN | SMTP_EXT_CHUNKING | SMTP_EXT_STARTTLS |        \
	 SMTP_EXT_AUTH)

static const struct {
	const char *line;
	unsigned ext;
	enum smtp_verb verb;
	int code; /* of the refusal, 0: taken */
	const char *enhanced;
	const char *text; /* address or argument when taken; a part of the text when refused */
} cases[] = {
	{ "EHLO mail.example.org", BASIC, SMTP_VERB_EHLO, 0, "", "mail.example.org" },
	{ "ehlo  [127.0.0.1] ", BASIC, SMTP_VERB_EHLO, 0, "", "[127.0.0.1]" },
	{ "EHLO", BASIC, SMTP_VERB_EHLO, 501, "5.5.4", "EHLO hostname" },
	{ "HELO two words", BASIC, SMTP_VERB_HELO, 501, "5.5.4", "HELO hostname" },
	{ "MAIL FROM:<bob@X.org>", BASIC, SMTP_VERB_MAIL, 0, "", "bob@x.org" },
	{ "mail from: <bob@x.org>", BASIC, SMTP_VERB_MAIL, 0, "", "bob@x.org" },
	{ "MAIL FROM:<>", BASIC, SMTP_VERB_MAIL, 0, "", "" },
	{ "MAIL FROM:bob@x.org", BASIC, SMTP_VERB_MAIL, 501, "5.1.7", "in <>" },
	{ "MAIL TO:<bob@x.org>", BASIC, SMTP_VERB_MAIL, 501, "5.5.4", "MAIL FROM:" },
	{ "MAIL", BASIC, SMTP_VERB_MAIL, 501, "5.5.4", "MAIL FROM:" },
	{ "MAIL FROM:<bob@x.org>SIZE=1", BASIC, SMTP_VERB_MAIL, 501, "5.5.4", "space" },
	{ "MAIL FROM:<b@x.org> SIZE=12 BODY=8bitmime", BASIC, SMTP_VERB_MAIL, 0, "", "b@x.org" },
	{ "MAIL FROM:<b@x.org> SIZE=-1", BASIC, SMTP_VERB_MAIL, 501, "5.5.4", "SIZE" },
	{ "MAIL FROM:<b@x.org> SIZE", BASIC, SMTP_VERB_MAIL, 501, "5.5.4", "SIZE" },
	{ "MAIL FROM:<b@x.org> SIZE=1 SIZE=2", BASIC, SMTP_VERB_MAIL, 501, "5.5.4", "twice" },
	{ "MAIL FROM:<b@x.org> BODY=BINARYMIME", BASIC, SMTP_VERB_MAIL, 501, "5.5.4", "BODY" },
	{ "MAIL FROM:<b@x.org> RET=HDRS", BASIC, SMTP_VERB_MAIL, 555, "5.5.4", "RET" },
	{ "MAIL FROM:<b@x.org> NOTIFY=NEVER", ALL, SMTP_VERB_MAIL, 555, "5.5.4", "NOTIFY" },
	{ "MAIL FROM:<b@x.org> =x", ALL, SMTP_VERB_MAIL, 501, "5.5.4", "KEYWORD" },
	{ "MAIL FROM:<b@x.org> ENVID=a+3Db", ALL, SMTP_VERB_MAIL, 0, "", "b@x.org" },
	{ "MAIL FROM:<b@x.org> ENVID=a+3db", ALL, SMTP_VERB_MAIL, 501, "5.5.4", "ENVID" },
	{ "MAIL FROM:<j\xc3\xb6@x.org>", BASIC, SMTP_VERB_MAIL, 501, "5.1.7", "SMTPUTF8" },
	{ "MAIL FROM:<j\xc3\xb6@x.org>", ALL, SMTP_VERB_MAIL, 553, "5.6.7", "SMTPUTF8" },
	{ "MAIL FROM:<j@\xc3\xb6.org>", ALL, SMTP_VERB_MAIL, 553, "5.6.7", "SMTPUTF8" },
	{ "RCPT TO:<j@x.org> ORCPT=utf-8;j\xc3\xb6@x.org", ALL, SMTP_VERB_RCPT, 0, "", "j@x.org" },
	{ "RCPT TO:<j@x.org> ORCPT=utf-8;j\\x{F6}@x.org", ALL, SMTP_VERB_RCPT, 0, "", "j@x.org" },
	{ "RCPT TO:<j@x.org> ORCPT=utf-8;j\xc3@x.org", ALL, SMTP_VERB_RCPT, 501, "5.5.4", "ORCPT" },
	{ "RCPT TO:<j@x.org> ORCPT=utf-8;+\xc3\xb6", ALL, SMTP_VERB_RCPT, 501, "5.5.4", "ORCPT" },
	{ "RCPT TO:<j@x.org> ORCPT=rfc822;j\xc3\xb6@x.org", ALL, SMTP_VERB_RCPT, 501, "5.5.4",
	  "ORCPT" },
	{ "MAIL FROM:<j\xc3\xb6@x.org> SMTPUTF8", ALL, SMTP_VERB_MAIL, 0, "", "j\xc3\xb6@x.org" },
	{ "RCPT TO:<bob@x.org>", BASIC, SMTP_VERB_RCPT, 0, "", "bob@x.org" },
	{ "RCPT TO:<Postmaster>", BASIC, SMTP_VERB_RCPT, 0, "", "Postmaster" },
	{ "RCPT TO:<>", BASIC, SMTP_VERB_RCPT, 501, "5.1.3", "recipient" },
	{ "RCPT TO:<bob>", BASIC, SMTP_VERB_RCPT, 501, "5.1.3", "@" },
	{ "RCPT TO:<b@x.org> NOTIFY=SUCCESS,delay ORCPT=rfc822;b@x.org", ALL, SMTP_VERB_RCPT, 0, "",
	  "b@x.org" },
	{ "RCPT TO:<b@x.org> NOTIFY=NEVER,DELAY", ALL, SMTP_VERB_RCPT, 501, "5.5.4", "NOTIFY" },
	{ "RCPT TO:<b@x.org> ORCPT=rfc822", ALL, SMTP_VERB_RCPT, 501, "5.5.4", "ORCPT" },
	{ "RCPT TO:<b@x.org> SIZE=1", ALL, SMTP_VERB_RCPT, 555, "5.5.4", "SIZE" },
	{ "DATA", BASIC, SMTP_VERB_DATA, 0, "", "" },
	{ "data ", BASIC, SMTP_VERB_DATA, 0, "", "" },
	{ "DATA now", BASIC, SMTP_VERB_DATA, 501, "5.5.4", "no argument" },
	{ "BDAT 100", BASIC, SMTP_VERB__COUNT, 500, "5.5.1", "" },
	{ "BDAT 100 LAST", ALL, SMTP_VERB_BDAT, 0, "", "100 LAST" },
	{ "BDAT 100 FIRST", ALL, SMTP_VERB_BDAT, 501, "5.5.4", "BDAT size" },
	{ "STARTTLS", BASIC, SMTP_VERB__COUNT, 500, "5.5.1", "" },
	{ "AUTH PLAIN AGEAYg==", ALL, SMTP_VERB_AUTH, 0, "", "PLAIN AGEAYg==" },
	{ "NOOP anything at all", BASIC, SMTP_VERB_NOOP, 0, "", "anything at all" },
	{ "NOOP \x1b[2J", BASIC, SMTP_VERB_NOOP, 500, "5.5.2", "bytes" },
	{ "NOOP \xff", BASIC, SMTP_VERB_NOOP, 500, "5.5.2", "bytes" },
	{ "QUIT", BASIC, SMTP_VERB_QUIT, 0, "", "" },
	{ "GET / HTTP/1.1", BASIC, SMTP_VERB__COUNT, 500, "5.5.1", "" },
	{ "", BASIC, SMTP_VERB__COUNT, 500, "5.5.1", "" },
	{ "EHLOX x", BASIC, SMTP_VERB__COUNT, 500, "5.5.1", "" },
};

static void test_lines(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct smtp_cmd c;
		struct smtp_answer a = { .code = 0 };
		bool ok = smtp_cmd_parse(str_of(cases[i].line), cases[i].ext, &c, &a);
		if (ok != (cases[i].code == 0) || c.verb != cases[i].verb)
			fail_msg("%s: %d %s", cases[i].line, a.code, a.text);
		if (!ok) {
			assert_int_equal(a.code, cases[i].code);
			assert_string_equal(a.enhanced, cases[i].enhanced);
			if (strstr(a.text, cases[i].text) == NULL)
				fail_msg("%s: %s", cases[i].line, a.text);
		} else if (c.verb == SMTP_VERB_MAIL || c.verb == SMTP_VERB_RCPT) {
			assert_string_equal(c.address.text, cases[i].text);
		} else {
			assert_true(str_eq(c.arg, str_of(cases[i].text)));
		}
	}
}

static void test_values(void **state)
{
	struct smtp_cmd c;
	struct smtp_answer a;

	(void)state;
	assert_true(smtp_cmd_parse(
		STR("MAIL FROM:<b@x.org> SIZE=1234 BODY=8BITMIME RET=hdrs ENVID=q+20 AUTH=<>"), ALL,
		&c, &a));
	assert_int_equal(c.size, 1234);
	assert_int_equal(c.body, SMTP_BODY_8BITMIME);
	assert_int_equal(c.ret, SMTP_RET_HDRS);
	assert_true(str_eq(c.envid, STR("q+20")));
	assert_true(str_eq(c.auth, STR("<>")));
	assert_int_equal(c.given, 1u << SMTP_PARAM_SIZE | 1u << SMTP_PARAM_BODY |
					  1u << SMTP_PARAM_RET | 1u << SMTP_PARAM_ENVID |
					  1u << SMTP_PARAM_AUTH);
	assert_true(smtp_cmd_parse(STR("RCPT TO:<b@x.org> NOTIFY=FAILURE,DELAY"), ALL, &c, &a));
	assert_int_equal(c.notify, SMTP_NOTIFY_FAILURE | SMTP_NOTIFY_DELAY);
	assert_true(smtp_cmd_parse(STR("BDAT 18446744073709551615 last"), ALL, &c, &a));
	assert_int_equal(c.size, UINT64_MAX);
	assert_true(c.last);
	assert_false(smtp_cmd_parse(STR("BDAT 18446744073709551616"), ALL, &c, &a));
}

/* red when a NUL hides what follows it */
static void test_nul(void **state)
{
	struct smtp_cmd c;
	struct smtp_answer a;

	(void)state;
	assert_false(smtp_cmd_parse(str_from("NOOP\0", 5), ALL, &c, &a));
	assert_false(smtp_cmd_parse(str_from("MAIL FROM:<a\0@x.org>", 20), ALL, &c, &a));
	assert_false(smtp_cmd_parse(str_from("NOOP a\rQUIT", 11), ALL, &c, &a));
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_lines),
		cmocka_unit_test(test_values),
		cmocka_unit_test(test_nul),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
