/* Reports in the words of the programs that write them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>

#include "base/mem.h"
#include "mail/bounce.h"

#define FROM "From: MAILER-DAEMON@mx.example\nSubject: failure notice\n\n"
#define SENDER "b-0123456789001abc1-aaaaaaaabbbbbbbbbbbbbbbb@bounces.example"

static const struct {
	const char *name;
	const char *mail;
	enum bounce_kind kind;
	const char *format;
	enum dsn_action action;
	const char *final;
	int code;
	const char *enhanced;
	const char *text; /* its beginning */
	const char *sender;
} cases[] = {
	{ "qmail, remote",
	  FROM "Hi. This is the qmail-send program at mx.example.\n"
	       "I'm afraid I wasn't able to deliver your message to the following addresses.\n"
	       "This is a permanent error; I've given up. Sorry it didn't work out.\n\n"
	       "<gone@fast.example>:\n192.0.2.1 does not like recipient.\n"
	       "Remote host said: 550 5.1.1 No such user\nGiving up on 192.0.2.1.\n\n"
	       "--- Below this line is a copy of the message.\n\nReturn-Path: <" SENDER ">\n"
	       "Received: (qmail 1 invoked by uid 2)\nSubject: user unknown\n\n550 5.7.1 no\n",
	  BOUNCE_STATUS, "qmail", DSN_FAILED, "gone@fast.example", 550, "5.1.1", "No such user",
	  SENDER },
	{ "qmail, local",
	  FROM "Hi. This is the qmail-send program at mx.example.\n\n<gone@fast.example>:\n"
	       "Sorry, no mailbox here by that name. (#5.1.1)\n\n"
	       "--- Below this line is a copy of the message.\n\nReturn-Path: <a@b.example>\n\n",
	  BOUNCE_STATUS, "qmail", DSN_FAILED, "gone@fast.example", 0, "5.1.1",
	  "Sorry, no mailbox here", "a@b.example" },
	{ "exim",
	  "X-Failed-Recipients: gone@fast.example\nAuto-Submitted: auto-replied\n"
	  "From: Mail Delivery System <Mailer-Daemon@mx.example>\n"
	  "Subject: Mail delivery failed: returning message to sender\n\n"
	  "This message was created automatically by mail delivery software.\n\n"
	  "A message that you sent could not be delivered to one or more of its\nrecipients. "
	  "This is a permanent error. The following address(es) failed:\n\n  gone@fast.example\n"
	  "    host mx.fast.example [192.0.2.1]\n"
	  "    SMTP error from remote mail server after RCPT TO:<gone@fast.example>:\n"
	  "    550-5.1.1 The account does not exist.\n    550 5.1.1 Try another\n\n"
	  "------ This is a copy of the message, including all the headers. ------\n\n"
	  "Return-path: <" SENDER ">\nSubject: x\n\n",
	  BOUNCE_STATUS, "exim", DSN_FAILED, "gone@fast.example", 550, "5.1.1",
	  "The account does not exist. Try another", SENDER },
	{ "exim, a delay",
	  "Auto-Submitted: auto-replied\nFrom: Mailer-Daemon@mx.example\n"
	  "Subject: Warning: message 1 delayed 24 hours\n\n"
	  "This message was created automatically by mail delivery software.\n"
	  "A message that you sent has not yet been delivered to one or more of its\n"
	  "recipients after more than 24 hours on the queue.\n\n  slow@fast.example\n"
	  "    host mx [192.0.2.1]: 450 4.2.0 Greylisted\n\nNo action is required on your part.\n",
	  BOUNCE_STATUS, "exim", DSN_DELAYED, "slow@fast.example", 450, "4.2.0", "Greylisted", "" },
	{ "postfix, without parts",
	  FROM "This is the mail system at host mx.example.\n\nI'm sorry to have to inform you "
	       "that your message could not\nbe delivered to one or more recipients.\n\n"
	       "<gone@fast.example>: host mx.fast.example[192.0.2.1] said: 552 5.2.2 Mailbox\n"
	       "    is full (in reply to RCPT TO command)\n",
	  BOUNCE_STATUS, "postfix", DSN_FAILED, "gone@fast.example", 552, "5.2.2",
	  "Mailbox is full", "" },
	{ "sendmail",
	  FROM
	  "The original message was received at Wed, 25 Nov 2026\n\n"
	  "   ----- The following addresses had permanent fatal errors -----\n"
	  "<gone@fast.example>\n    (reason: 550 5.1.1 <gone@fast.example>... User unknown)\n\n"
	  "   ----- Transcript of session follows -----\n... while talking to mx.:\n"
	  ">>> RCPT To:<gone@fast.example>\n<<< 550 5.1.1 User unknown\n",
	  BOUNCE_STATUS, "sendmail", DSN_FAILED, "gone@fast.example", 550, "5.1.1",
	  "<gone@fast.example>... User unknown", "" },
	{ "sendmail, a delay",
	  FROM "    **********************************************\n"
	       "    **      THIS IS A WARNING MESSAGE ONLY      **\n"
	       "    **  YOU DO NOT NEED TO RESEND YOUR MESSAGE  **\n\n"
	       "   ----- The following addresses had transient non-fatal errors -----\n"
	       "<slow@fast.example>\n\n   ----- Transcript of session follows -----\n"
	       "<slow@fast.example>... Deferred: Connection refused by mx.\n",
	  BOUNCE_STATUS, "sendmail", DSN_DELAYED, "slow@fast.example", 0, "", NULL, "" },
	{ "exchange",
	  "From: Microsoft Outlook <MicrosoftExchange329e71ec@fast.example>\n"
	  "Subject: Undeliverable: Hello\n\n"
	  "Delivery has failed to these recipients or groups:\n\ngone@fast.example\n"
	  "The email address you entered couldn't be found.\n\n"
	  "Diagnostic information for administrators:\n\nGenerating server: EX01.fast.example\n\n"
	  "gone@fast.example\n#550 5.1.1 RESOLVER.ADR.RecipNotFound; not found ##\n\n"
	  "Original message headers:\n\nReceived: from x\nReturn-Path: " SENDER "\n",
	  BOUNCE_STATUS, "exchange", DSN_FAILED, "gone@fast.example", 550, "5.1.1",
	  "RESOLVER.ADR.RecipNotFound", SENDER },
	{ "office 365, in HTML",
	  "From: postmaster@outlook.example\nSubject: Undeliverable: Hello\n"
	  "Content-Type: text/html; charset=utf-8\n\n"
	  "<html><style>p { x: y }</style><p>Your message to <b>gone@fast.example</b> couldn't be "
	  "delivered.</p><p>Diagnostic information for administrators:</p>"
	  "<p>Generating server: X</p><p>gone@fast.example<br>Remote Server returned &#39;550 "
	  "5.1.10 "
	  "RESOLVER.ADR.RecipientNotFound; Recipient not found&#39;</p></html>",
	  BOUNCE_STATUS, "exchange", DSN_FAILED, "gone@fast.example", 550, "5.1.10",
	  "RESOLVER.ADR.RecipientNotFound", "" },
	{ "gmail",
	  FROM
	  "Delivery to the following recipient failed permanently:\n\n"
	  "     gone@fast.example\n\nTechnical details of permanent failure:\n"
	  "Google tried to deliver your message, but it was rejected. The error that the other "
	  "server returned was:\n550 5.7.1 Message refused by policy\n\n"
	  "----- Original message -----\n\nReturn-Path: <" SENDER ">\n",
	  BOUNCE_STATUS, "gmail", DSN_FAILED, "gone@fast.example", 550, "5.7.1",
	  "Message refused by policy", SENDER },
	{ "opensmtpd",
	  FROM
	  "Hi!\n\n    This is the MAILER-DAEMON, please DO NOT REPLY to this email.\n\n"
	  "    An error has occurred while attempting to deliver a message for\n"
	  "    the following list of recipients:\n\ngone@fast.example: 550 Invalid recipient\n\n"
	  "    Below is a copy of the original message:\n\nReceived: from x\n",
	  BOUNCE_STATUS, NULL, DSN_FAILED, "gone@fast.example", 550, "", "Invalid recipient", "" },
	{ "somebody who writes about it",
	  "From: anna@fast.example\nSubject: Re: mail\n\nMy mail could not be delivered to you, "
	  "550 5.1.1 user unknown. Why?\n",
	  BOUNCE_UNREAD, "", DSN_FAILED, NULL, 0, NULL, NULL, "" },
	{ "an automatic reply",
	  "From: anna@fast.example\nAuto-Submitted: auto-replied (vacation)\nSubject: Away\n\n"
	  "I am away until Monday. Mail is undeliverable to me.\n",
	  BOUNCE_IDLE, "auto-reply", DSN_FAILED, NULL, 0, NULL, NULL, "" },
	{ "a receipt",
	  "From: anna@fast.example\nContent-Type: multipart/report; "
	  "report-type=disposition-notification; boundary=x\n\n--x\n\nRead.\n--x\n"
	  "Content-Type: message/disposition-notification\n\nFinal-Recipient: "
	  "rfc822;anna@fast.example\nDisposition: manual-action/MDN-sent-manually; displayed\n\n"
	  "--x--\n",
	  BOUNCE_IDLE, "receipt", DSN_FAILED, NULL, 0, NULL, NULL, "" },
	{ "RFC 6533",
	  "From: d@mx.example\nContent-Type: multipart/report; boundary=x\n\n--x\nContent-Type: "
	  "message/global-delivery-status\n\nReporting-MTA: dns; mx.example\n\n"
	  "Original-Recipient: utf-8; \\x{434}@fast.example\n"
	  "Final-Recipient: utf-8; \xd0\xb4@fast.example\nAction: failed\nStatus: 5.1.1\n"
	  "Diagnostic-Code: smtp; 550-5.1.1 one\n 550 5.1.1 two\n\n--x--\n",
	  BOUNCE_STATUS, "rfc3464", DSN_FAILED, "\xd0\xb4@fast.example", 550, "5.1.1", "one two",
	  "" },
	{ "a status that says less than the reply",
	  "From: d@mx.example\nContent-Type: multipart/report; boundary=x\n\n--x\nContent-Type: "
	  "message/delivery-status\n\nReporting-MTA: dns; mx.example\n\n"
	  "Final-Recipient: rfc822;<Full@fast.example>\nAction: FAILED (really)\nStatus: 5.0.0\n"
	  "Diagnostic-Code: smtp; 552-5.2.2 The mailbox is over quota\n\n--x--\n",
	  BOUNCE_STATUS, "rfc3464", DSN_FAILED, "Full@fast.example", 552, "5.2.2",
	  "The mailbox is over quota", "" },
	{ "of our own words, no reply",
	  "From: d@mx.example\nContent-Type: multipart/report; boundary=x\n\n--x\nContent-Type: "
	  "message/delivery-status\n\nFinal-Recipient: rfc822;slow@fast.example\nAction: failed\n"
	  "Status: 4.4.1\nDiagnostic-Code: X-Postfix; connect to mx[192.0.2.5]:25: Connection "
	  "timed "
	  "out\n\n--x--\n",
	  BOUNCE_STATUS, "rfc3464", DSN_FAILED, "slow@fast.example", 0, "4.4.1",
	  "connect to mx[192.0.2.5]:25: Connection timed out", "" },
	{ "no mail at all", "", BOUNCE_UNREAD, "", DSN_FAILED, NULL, 0, NULL, NULL, "" },
};

static void check(size_t i, const struct bounce *b)
{
	const struct bounce_rcpt *r = &b->rcpts[0];

	assert_int_equal(b->kind, cases[i].kind);
	if (cases[i].format != NULL)
		assert_string_equal(b->format, cases[i].format);
	assert_string_equal(b->senders_n > 0 ? b->senders[0] : "", cases[i].sender);
	if (cases[i].final == NULL)
		return;
	assert_int_equal(b->rcpts_n, 1);
	assert_int_equal(r->action, cases[i].action);
	assert_string_equal(r->final, cases[i].final);
	assert_int_equal(r->code, cases[i].code);
	assert_string_equal(r->enhanced, cases[i].enhanced);
	if (cases[i].text != NULL && strncmp(r->text, cases[i].text, strlen(cases[i].text)) != 0)
		fail_msg("\"%s\"", r->text);
}

/* red when a format is not known, or a recipient or what was said to it is read wrongly */
static void test_formats(void **state)
{
	(void)state;
	bounce_init();
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct bounce b;
		print_message("%s\n", cases[i].name);
		bounce_read(str_of(cases[i].mail), false, &b);
		check(i, &b);
	}
}

/* red when one report of many recipients loses some, or reads beyond what there is room for */
static void test_many_recipients(void **state)
{
	AUTO_BUF mail = BUF_INIT(1u << 20);
	struct bounce b;

	(void)state;
	(void)buf_puts(&mail,
		       "From: d@mx.example\nContent-Type: multipart/report; boundary=x\n\n--x\n"
		       "Content-Type: message/delivery-status\n\nReporting-MTA: dns; mx.example\n");
	for (int i = 0; i < 100; i++)
		(void)buf_printf(&mail,
				 "\nFinal-Recipient: rfc822; u%d@fast.example\nAction: failed\n"
				 "Status: 5.1.%d\n",
				 i, i % 9);
	(void)buf_puts(&mail, "\n--x--\n");
	bounce_read(buf_str(&mail), true, &b);
	assert_int_equal(b.rcpts_n, BOUNCE_RCPTS_MAX);
	assert_string_equal(b.rcpts[15].final, "u15@fast.example");
	assert_string_equal(b.rcpts[15].enhanced, "5.1.6");
}

/* red when a complaint's fields are not read, or "no spam" is taken for one */
static void test_complaints(void **state)
{
	static const char form[] =
		"From: f@isp.example\nContent-Type: multipart/report; report-type=feedback-report; "
		"boundary=x\n\n--x\nContent-Type: message/feedback-report\n\nFeedback-Type: %s\n"
		"Original-Mail-From: <%s>\nOriginal-Rcpt-To: <anna@fast.example>\n\n--x\n"
		"Content-Type: message/rfc822\n\nX-Weir-Report: <second@bounces.example>\n"
		"Message-ID: <1@x>\n\nHello\n--x--\n";
	char mail[2048];
	struct bounce b;

	(void)state;
	(void)snprintf(mail, sizeof(mail), form, "abuse", SENDER);
	bounce_read(str_of(mail), false, &b);
	assert_int_equal(b.kind, BOUNCE_COMPLAINT);
	assert_string_equal(b.complaint, "abuse");
	assert_int_equal(b.senders_n, 2);
	assert_string_equal(b.original_id, "<1@x>");
	assert_string_equal(b.rcpts[0].original, "anna@fast.example");
	(void)snprintf(mail, sizeof(mail), form, "not-spam", SENDER);
	bounce_read(str_of(mail), false, &b);
	assert_int_equal(b.kind, BOUNCE_IDLE);
}

/* red when what is deep or long costs more than it may */
static void test_deep(void **state)
{
	AUTO_BUF mail = BUF_INIT(4u << 20);
	struct bounce b;

	(void)state;
	for (int i = 0; i < 3000; i++)
		(void)buf_printf(&mail, "Content-Type: multipart/mixed; boundary=b%d\n\n--b%d\n", i,
				 i);
	bounce_read(buf_str(&mail), true, &b);
	assert_int_equal(b.kind, BOUNCE_UNREAD);
	buf_reset(&mail);
	(void)buf_puts(&mail, FROM "Hi. This is the qmail-send program\n");
	while (mail.n < (2u << 20))
		(void)buf_puts(&mail, "<a@b.example>:\n550 5.1.1 x\n");
	bounce_read(buf_str(&mail), true, &b);
	assert_int_equal(b.kind, BOUNCE_STATUS);
}

/* red when the parser is let loose on what ends it: groups in groups */
static void test_what_ends_parsers(void **state)
{
	AUTO_BUF mail = BUF_INIT(4u << 20);
	struct bounce b;

	(void)state;
	(void)buf_puts(&mail, "From: ");
	while (mail.n < BOUNCE_MAIL_MAX)
		(void)buf_puts(&mail, "a:a:a:a:a:\n ");
	bounce_read(buf_str(&mail), true, &b);
	assert_int_equal(b.kind, BOUNCE_UNREAD);
	buf_reset(&mail);
	(void)buf_puts(&mail,
		       "From: d@mx.example\nContent-Type: multipart/report; boundary=x\n\n--x\n"
		       "Content-Type: message/delivery-status\n\nReporting-MTA: dns; mx.example\n\n"
		       "Final-Recipient: rfc822; a@fast.example\nAction: failed\nStatus: 5.1.1\n\n"
		       "--x\nContent-Type: message/rfc822\n\nTo: ");
	while (mail.n < BOUNCE_MAIL_MAX)
		(void)buf_puts(&mail, "a:a:a:a:a:\n\t");
	bounce_read(buf_str(&mail), true, &b);
	assert_int_equal(b.kind, BOUNCE_STATUS);
	assert_string_equal(b.rcpts[0].final, "a@fast.example");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_formats),		  cmocka_unit_test(test_many_recipients),
		cmocka_unit_test(test_complaints),	  cmocka_unit_test(test_deep),
		cmocka_unit_test(test_what_ends_parsers),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
