/* Replies out of logs and bounces: where they begin, their codes, and when they were said. */
#include "outcome/reply_line.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/mem.h"

static const struct {
	const char *in;
	int code;
	const char *enhanced;
	const char *text;
	enum classify_phase phase;
} cases[] = {
	{ "", 0, "", "", CLASSIFY_PHASE_UNKNOWN },
	{ "550 no", 550, "", "no", CLASSIFY_PHASE_UNKNOWN },
	{ "550", 550, "", "", CLASSIFY_PHASE_UNKNOWN },
	{ "  550 5.1.1 no  ", 550, "5.1.1", "no", CLASSIFY_PHASE_UNKNOWN },
	{ "5.1.1 no", 0, "5.1.1", "no", CLASSIFY_PHASE_UNKNOWN },
	{ "550-5.1.1 one\\r\\n550 5.1.1 two", 550, "5.1.1", "one\ntwo", CLASSIFY_PHASE_UNKNOWN },
	{ "550-5.1.1 one\\n550 5.1.1 two", 550, "5.1.1", "one\ntwo", CLASSIFY_PHASE_UNKNOWN },
	{ "550-5.1.1 one\r\n550 5.1.1 two", 550, "5.1.1", "one\ntwo", CLASSIFY_PHASE_UNKNOWN },
	{ "550-5.1.1 one 550-5.1.1 two 550 5.1.1 end", 550, "5.1.1", "one\ntwo\nend",
	  CLASSIFY_PHASE_UNKNOWN },
	{ "554-a b 554-c 554 d", 554, "", "a b\nc\nd", CLASSIFY_PHASE_UNKNOWN },
	{ "554 score 554 d", 554, "", "score 554 d", CLASSIFY_PHASE_UNKNOWN },
	{ "554 a-554-b", 554, "", "a-554-b", CLASSIFY_PHASE_UNKNOWN },
	{ "smtp; 550 5.1.1 no", 550, "5.1.1", "no", CLASSIFY_PHASE_UNKNOWN },
	{ "smtp;550-5.1.1 no", 550, "5.1.1", "no", CLASSIFY_PHASE_UNKNOWN },
	{ "host mx.x.example[192.0.2.1] said: 450 4.2.0 no (in reply to RCPT TO command)", 450,
	  "4.2.0", "no", CLASSIFY_PHASE_RCPT },
	{ "host mx said: 554 no (in reply to end of DATA command)", 554, "", "no",
	  CLASSIFY_PHASE_DATA },
	{ "host mx refused to talk to me: 554 no", 554, "", "no", CLASSIFY_PHASE_CONNECT },
	{ "SMTP error from remote mail server after MAIL FROM:<a@b> SIZE=20: 553 5.7.1 no", 553,
	  "5.7.1", "no", CLASSIFY_PHASE_MAIL },
	{ "550 4.1.1 <a@b>: host x said: 450 4.1.1 unknown", 550, "4.1.1",
	  "<a@b>: host x said: 450 4.1.1 unknown", CLASSIFY_PHASE_UNKNOWN },
	{ "connect to mx[192.0.2.1]:25: Connection refused", 0, "",
	  "connect to mx[192.0.2.1]:25: Connection refused", CLASSIFY_PHASE_UNKNOWN },
	{ "to=<a@b>, relay=mx.b[192.0.2.1]:25, delay=1, dsn=4.7.5, status=deferred (Cannot start "
	  "TLS)",
	  0, "4.7.5", "Cannot start TLS", CLASSIFY_PHASE_UNKNOWN },
	{ "relay=mx[192.0.2.1]:25, dsn=5.1.1, status=bounced (host mx said: 550 no (in reply to "
	  "RCPT "
	  "TO command))",
	  550, "", "no", CLASSIFY_PHASE_RCPT },
	{ "to=<a@b>, relay=mx. [192.0.2.1], dsn=4.0.0, stat=Deferred: 451 4.7.1 later", 451,
	  "4.7.1", "later", CLASSIFY_PHASE_UNKNOWN },
	{ "relay=mx, delay=12s, stat=451 later", 451, "", "later", CLASSIFY_PHASE_UNKNOWN },
	{ "SMTPRecipientsRefused: {'a@b': (550, b'5.7.1 no')}", 550, "5.7.1", "no')}",
	  CLASSIFY_PHASE_UNKNOWN },
	{ "got code \"530\", with message \"530 5.7.0 login\"", 530, "5.7.0", "login\"",
	  CLASSIFY_PHASE_UNKNOWN },
	{ "over your quota, SMTP code: 552", 552, "", "over your quota, SMTP code: 552",
	  CLASSIFY_PHASE_UNKNOWN },
	{ "<<< 553 no", 553, "", "no", CLASSIFY_PHASE_UNKNOWN },
	{ "host mx said: 550 no (in reply RCPT TO command)", 550, "", "no",
	  CLASSIFY_PHASE_UNKNOWN },
	{ "[421] slower", 421, "", "slower", CLASSIFY_PHASE_UNKNOWN },
	{ "took (550, 3) times", 0, "", "took (550, 3) times", CLASSIFY_PHASE_UNKNOWN },
	{ "smtpd[421]: too fast", 0, "", "smtpd[421]: too fast", CLASSIFY_PHASE_UNKNOWN },
	{ "5.2.3 too large (512 KB max)", 0, "5.2.3", "too large (512 KB max)",
	  CLASSIFY_PHASE_UNKNOWN },
	{ "too many messages (500 per hour)", 0, "", "too many messages (500 per hour)",
	  CLASSIFY_PHASE_UNKNOWN },
	{ "refused (550 5.1.1 no)", 550, "5.1.1", "no)", CLASSIFY_PHASE_UNKNOWN },
	{ "from <450 places>", 0, "", "from <450 places>", CLASSIFY_PHASE_UNKNOWN },
	{ "status=", 0, "", "status=", CLASSIFY_PHASE_UNKNOWN },
	{ "x dsn= status=bounced (", 0, "", "", CLASSIFY_PHASE_UNKNOWN },
	{ "room 550 is taken", 0, "", "room 550 is taken", CLASSIFY_PHASE_UNKNOWN },
	{ "5505 x", 0, "", "5505 x", CLASSIFY_PHASE_UNKNOWN },
	{ "250 ok", 0, "", "250 ok", CLASSIFY_PHASE_UNKNOWN },
};

static void test_lines(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		AUTO_BUF text = BUF_INIT(SMTP_REPLY_TEXT_MAX);
		struct reply_line r;
		reply_line_read(str_of(cases[i].in), &r, &text);
		if (r.code != cases[i].code || r.phase != cases[i].phase ||
		    strcmp(r.enhanced, cases[i].enhanced) != 0 ||
		    strcmp(buf_cstr(&text), cases[i].text) != 0)
			fail_msg("%s: %d '%s' '%s' %d", cases[i].in, r.code, r.enhanced,
				 buf_cstr(&text), (int)r.phase);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_lines) };
	return cmocka_run_group_tests(tests, NULL, NULL);
}
