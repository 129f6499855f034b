/*
 * Sessions over socketpairs with a queue that is told what to say, on a clock that is told.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/fmt.h"
#include "base/mem.h"
#include "lib/smtp_rig.h"

#define HI "220 relay.example ESMTP\r\n"
#define EHLO                                                                                       \
	"250-relay.example greets [192.0.2.1]\r\n250-PIPELINING\r\n250-SIZE 26214400\r\n"          \
	"250-8BITMIME\r\n250-SMTPUTF8\r\n250-DSN\r\n250-CHUNKING\r\n"                              \
	"250 ENHANCEDSTATUSCODES\r\n"
#define M "250 2.1.0 OK\r\n"
#define R "250 2.1.5 OK\r\n"
#define OK "250 2.0.0 OK\r\n"
#define GO "354 End with a dot on a line of its own\r\n"
#define Q1 "250 2.0.0 queued as 0000000001\r\n"
#define Q2 "250 2.0.0 queued as 0000000002\r\n"
#define BYE "221 2.0.0 relay.example says goodbye\r\n"
#define BARE "550 5.6.11 The message has line ends other than CR LF\r\n"
#define MAIL "MAIL FROM:<a@b.example>\r\n"
#define RCPT "RCPT TO:<c@d.example>\r\n"
#define TO_DATA "EHLO me\r\n" MAIL RCPT "DATA\r\n"
#define AT_DATA HI EHLO M R GO

/* What a client sends, what it gets, what the queue got. */
static const struct {
	const char *in;
	const char *out;
	const char *seen;
} dialogs[] = {
	{ "", HI, "" },
	{ "EHLO me\r\nQUIT\r\n", HI EHLO BYE, "" },
	{ "HELO me\r\nNOOP x\r\nVRFY anna\r\nRSET\r\n",
	  HI "250 relay.example\r\n" OK "252 2.5.0 Send some mail, and see\r\n" OK, "" },
	{ "ehlo me\r\nmail from:<a@b.example> size=10 body=8bitmime\r\nrcpt to: <c@D.EXAMPLE>\r\n"
	  "data\r\nSubject: x\r\n\r\ny\r\n.\r\nquit\r\n",
	  AT_DATA Q1 BYE, "<a@b.example> <c@d.example> x\n" },
	/* pipelining across messages */
	{ TO_DATA "Subject: 1\r\n\r\n.\r\n" MAIL RCPT
		  "DATA\r\nSubject: 2\r\n\r\n..\r\n.\r\nQUIT\r\n",
	  AT_DATA Q1 M R GO Q2 BYE,
	  "<a@b.example> <c@d.example> 1\n<a@b.example> <c@d.example> 2\n" },
	/* out of order */
	{ MAIL "EHLO me\r\n" RCPT "DATA\r\n" MAIL MAIL "DATA\r\n",
	  HI "503 5.5.1 EHLO or HELO first\r\n" EHLO "503 5.5.1 MAIL first\r\n"
	     "503 5.5.1 MAIL first\r\n" M "503 5.5.1 A transaction is open already\r\n"
	     "554 5.5.1 No valid recipients\r\n",
	  "" },
	{ "EHLO me\r\n" MAIL "RSET\r\n" RCPT "EHLO me\r\n" MAIL "HELO me\r\n" RCPT,
	  HI EHLO M OK "503 5.5.1 MAIL first\r\n" EHLO M "250 relay.example\r\n"
		       "503 5.5.1 MAIL first\r\n",
	  "" },
	/* parameters need EHLO; what is not offered is not known */
	{ "HELO me\r\nMAIL FROM:<a@b.example> SIZE=3\r\n",
	  HI "250 relay.example\r\n555 5.5.4 MAIL does not take the parameter SIZE\r\n", "" },
	{ "EHLO me\r\nSTARTTLS\r\nAUTH PLAIN\r\nEXPN x\r\nMAIL FROM:<a@b.example> X=1\r\n",
	  HI EHLO "500 5.5.1 Command not recognised\r\n500 5.5.1 Command not recognised\r\n"
		  "502 5.5.1 EXPN is not offered\r\n"
		  "555 5.5.4 MAIL does not take the parameter X\r\n",
	  "" },
	{ "EHLO me\r\nMAIL FROM:<a@b.example> SIZE=26214401\r\n",
	  HI EHLO "552 5.3.4 A message may have 26214400 bytes\r\n", "" },
	/* a recipient is refused, the others go on */
	{ "EHLO me\r\nMAIL FROM:<>\r\nRCPT TO:<x@nowhere.example>\r\n" RCPT
	  "DATA\r\n\r\nx\r\n.\r\n",
	  HI EHLO M "550 5.1.2 No such domain\r\n" R GO Q1, "<> <c@d.example> \n" },
	/* line ends of commands */
	{ "EHLO me\nNOOP\r\n", HI "500 5.5.2 A command ends with CR LF\r\n" OK, "" },
	{ "NOOP\rQUIT\r\n", HI "500 5.5.2 Unexpected bytes in a command\r\n", "" },
	/* smuggling: none of these ends DATA, and the message is refused at its end */
	{ TO_DATA "a\n.\nMAIL FROM:<evil@x.example>\r\n.\r\nNOOP\r\n", AT_DATA BARE OK, "" },
	{ TO_DATA "a\r\n.\nRSET\r\n\r\n.\r\n", AT_DATA BARE, "" },
	{ TO_DATA "a\n.\r\nRSET\r\n.\r\n", AT_DATA BARE, "" },
	{ TO_DATA "a\r.\r\nRSET\r\n.\r\n", AT_DATA BARE, "" },
	{ TO_DATA "a\r\n.\r\r\nRSET\r\n.\r\n", AT_DATA BARE, "" },
	{ TO_DATA "a\r\n\r.\r\nx\r\n.\r\n", AT_DATA BARE, "" },
	{ TO_DATA "a\n.\r\n", AT_DATA, "" },
	/* chunks: in one piece, in several, an empty last one, without a line end at the end */
	{ "EHLO me\r\n" MAIL RCPT "BDAT 17 LAST\r\nSubject: 1\r\n\r\nx\r\nNOOP\r\n",
	  HI EHLO M R "250 2.0.0 queued as 0000000001\r\n" OK, "<a@b.example> <c@d.example> 1\n" },
	{ "EHLO me\r\n" MAIL RCPT "BDAT 11\r\nSubject: 1\r"
	  "BDAT 5\r\n\n\r\nx\rbdat 1\r\n\n"
	  "BDAT 0 LAST\r\n" MAIL RCPT "BDAT 3 LAST\r\na\r\nNOOP\r\n",
	  HI EHLO M R "250 2.0.0 11 bytes received\r\n250 2.0.0 5 bytes received\r\n"
		      "250 2.0.0 1 bytes received\r\n" Q1 M R Q2 OK,
	  "<a@b.example> <c@d.example> 1\n<a@b.example> <c@d.example> \n" },
	{ "EHLO me\r\n" MAIL RCPT "BDAT 3 LAST\r\n.\r\nNOOP\r\n", HI EHLO M R Q1 OK,
	  "<a@b.example> <c@d.example> \n" },
	/* the same strictness as in DATA */
	{ "EHLO me\r\n" MAIL RCPT "BDAT 4 LAST\r\na\nb\nNOOP\r\n", HI EHLO M R BARE OK, "" },
	{ "EHLO me\r\n" MAIL RCPT "BDAT 2\r\na\rBDAT 1 LAST\r\nbNOOP\r\n",
	  HI EHLO M R "250 2.0.0 2 bytes received\r\n" BARE OK, "" },
	{ "EHLO me\r\n" MAIL RCPT "BDAT 2 LAST\r\na\rNOOP\r\n", HI EHLO M R BARE OK, "" },
	/* what a refused chunk brings is dropped, never run */
	{ "EHLO me\r\nBDAT 6\r\nNOOP\r\nBDAT 6 LAST\r\nNOOP\r\n" MAIL "BDAT 6\r\nNOOP\r\n" RCPT
	  "DATA\r\nBDAT 6 LAST\r\nRSET\r\n" MAIL RCPT "BDAT 2 LAST\r\n\r\n",
	  HI EHLO "503 5.5.1 MAIL first\r\n503 5.5.1 MAIL first\r\n" M
		  "554 5.5.1 No valid recipients\r\n"
		  "503 5.5.1 Recipients come before the message\r\n"
		  "554 5.5.1 No valid recipients\r\n"
		  "503 5.5.1 A chunk was refused: RSET first\r\n" M R Q1,
	  "<a@b.example> <c@d.example> \n" },
	{ "HELO me\r\nBDAT 6\r\nQUIT\r\nNOOP\r\n",
	  HI "250 relay.example\r\n503 5.5.1 MAIL first\r\n" OK, "" },
	/* nothing else fits between chunks; RSET and EHLO forget them */
	{ "EHLO me\r\n" MAIL RCPT "BDAT 2\r\n\r\nDATA\r\n" RCPT MAIL "NOOP\r\nRSET\r\n" MAIL RCPT
	  "BDAT 9\r\nSubject: EHLO me\r\n" MAIL RCPT "DATA\r\n.\r\n",
	  HI EHLO M R "250 2.0.0 2 bytes received\r\n"
		      "503 5.5.1 The message has begun with BDAT\r\n"
		      "503 5.5.1 Recipients come before the message\r\n"
		      "503 5.5.1 A transaction is open already\r\n" OK OK M R
		      "250 2.0.0 9 bytes received\r\n" EHLO M R GO
		      "250 2.0.0 queued as 0000000003\r\n",
	  "<a@b.example> <c@d.example> \n" },
	/* where a chunk ends has to be known */
	{ "EHLO me\r\n" MAIL RCPT "BDAT x\r\nQUIT\r\n",
	  HI EHLO M R "501 5.5.4 Syntax: BDAT size [LAST]\r\n"
		      "421 4.5.2 Where the chunk ends is not known\r\n",
	  "" },
	{ "EHLO me\r\nBDAT 5 FIRST\r\nNOOP\r\n",
	  HI EHLO "501 5.5.4 Syntax: BDAT size [LAST]\r\n"
		  "421 4.5.2 Where the chunk ends is not known\r\n",
	  "" },
	{ "EHLO me\r\nBDAT 6\nQUIT\r\n",
	  HI EHLO "500 5.5.2 A command ends with CR LF\r\n"
		  "421 4.5.2 Where the chunk ends is not known\r\n",
	  "" },
	{ "EHLO me\r\n" MAIL RCPT "BDAT 99999999999 LAST\r\nx",
	  HI EHLO M R "552 5.3.4 A message may have 26214400 bytes\r\n"
		      "421 4.3.4 The chunk is too large to be read\r\n",
	  "" },
	/* SMTPUTF8 and DSN */
	{ "EHLO me\r\nMAIL FROM:<j\xc3\xb6@b.example>\r\nMAIL FROM:<j\xc3\xb6@b.example> SMTPUTF8 "
	  "RET=HDRS ENVID=q+2B1\r\nRCPT TO:<\xc3\xa4@\xc3\xbc.example> NOTIFY=SUCCESS,DELAY "
	  "ORCPT=utf-8;\xc3\xa4@x\r\nRCPT TO:<c@d.example> NOTIFY=NEVER,DELAY\r\nDATA\r\n.\r\n",
	  HI EHLO "553 5.6.7 A non-ASCII address needs the parameter SMTPUTF8\r\n" M R
		  "501 5.5.4 Wrong value of NOTIFY\r\n" GO Q1,
	  "<j\xc3\xb6@b.example> <\xc3\xa4@xn--tda.example> \n" },
	{ "EHLO me\r\n" MAIL "RCPT TO:<\xc3\xa4@d.example>\r\n",
	  HI EHLO M "553 5.6.7 A non-ASCII address needs the parameter SMTPUTF8 of MAIL\r\n", "" },
	/* the end of DATA at its very beginning */
	{ TO_DATA ".\r\nNOOP\r\n", AT_DATA Q1 OK, "<a@b.example> <c@d.example> \n" },
	{ "HELP\r\n",
	  HI "214-2.0.0 EHLO hostname\r\n214-2.0.0 HELO hostname\r\n"
	     "214-2.0.0 MAIL FROM:<address> [parameters]\r\n214-2.0.0 RCPT TO:<address> "
	     "[parameters]\r\n"
	     "214-2.0.0 DATA\r\n214-2.0.0 RSET\r\n214-2.0.0 NOOP [text]\r\n214-2.0.0 QUIT\r\n"
	     "214-2.0.0 VRFY text\r\n214-2.0.0 EXPN text\r\n214-2.0.0 HELP [command]\r\n"
	     "214 2.0.0 That is all\r\n",
	  "" },
};

static void talk(struct smtp_rig *r, const char *in, struct buf *out)
{
	buf_reset(out);
	smtp_rig_send(r, str_of(in), 0);
	(void)smtp_rig_read(r, out);
}

/* Whatever the packets are, the replies are the same; and so with results that come later. */
static void dialogs_in_every_cut(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(dialogs); i++)
		for (size_t piece = 0; piece < 40; piece += piece < 9 ? 1 : 10) {
			struct smtp_rig r;
			AUTO_BUF out = BUF_INIT(100000);
			smtp_rig_open(&r, (struct smtpin_config){ 0 });
			r.later = piece % 2 == 1;
			(void)smtp_rig_connect(&r, "192.0.2.1");
			smtp_rig_send(&r, str_of(dialogs[i].in), piece);
			for (unsigned k = 0; k < r.n_waiting; k++)
				smtp_rig_result(&r, k, NULL);
			(void)smtp_rig_read(&r, &out);
			if (!str_eq(buf_str(&out), str_of(dialogs[i].out)) ||
			    !str_eq(buf_str(&r.seen), str_of(dialogs[i].seen)))
				fail_msg("dialog %zu, pieces of %zu:\n%s%s", i, piece,
					 buf_cstr(&out), buf_cstr(&r.seen));
			smtp_rig_close(&r);
		}
}

static void what_a_message_gets_added(void **state)
{
	struct smtp_rig r;
	AUTO_BUF out = BUF_INIT(10000);
	static const char received[] = "Received: from me ([192.0.2.1])\r\n\tby relay.example with "
				       "ESMTP id 0000000001;\r\n"
				       "\t%s\r\n%s";
	char date[FMT_TIME_LEN];
	char want[1000];
	static const struct {
		const char *sent;
		const char *want; /* %s: the date */
	} cases[] = {
		/* complete: not a byte is changed */
		{ "Message-ID: <1@x>\r\nDate: now\r\nSubject: a\r\n b\r\n\r\n..x\r\n\r\n",
		  "Message-ID: <1@x>\r\nDate: now\r\nSubject: a\r\n b\r\n\r\n.x\r\n\r\n" },
		{ "Message-ID: <1@x>\r\nDate: now\r\n", "Message-ID: <1@x>\r\nDate: now\r\n" },
		{ "Date: now\r\n\r\nx\r\n",
		  "Message-ID: <0000000001@relay.example>\r\nDate: now\r\n\r\nx\r\n" },
		{ "Message-ID: <1@x>\r\n\r\nx\r\n", "Date: %s\r\nMessage-ID: <1@x>\r\n\r\nx\r\n" },
		{ "Bcc: secret@x,\r\n more@x\r\nDate: now\r\nMessage-ID: <1@x>\r\nbcc: "
		  "z\r\n\r\nBcc: x\r\n",
		  "Date: now\r\nMessage-ID: <1@x>\r\n\r\nBcc: x\r\n" },
		{ "just text\r\nmore: text\r\n", "Message-ID: <0000000001@relay.example>\r\nDate: "
						 "%s\r\n\r\njust text\r\nmore: text\r\n" },
		{ "", "Message-ID: <0000000001@relay.example>\r\nDate: %s\r\n\r\n" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		char body[500];
		smtp_rig_open(&r, (struct smtpin_config){ 0 });
		(void)smtp_rig_connect(&r, "192.0.2.1");
		talk(&r, TO_DATA, &out);
		talk(&r, cases[i].sent, &out);
		talk(&r, ".\r\n", &out);
		assert_string_equal(buf_cstr(&out), Q1);
		fmt_mail_date(loop_wall_ms(r.loop), date);
		const char *at = strstr(cases[i].want, "%s");
		if (at != NULL)
			(void)snprintf(body, sizeof(body), "%.*s%s%s", (int)(at - cases[i].want),
				       cases[i].want, date, at + 2);
		else
			(void)snprintf(body, sizeof(body), "%s", cases[i].want);
		(void)snprintf(want, sizeof(want), received, date, body);
		assert_string_equal(buf_cstr(&r.message), want);
		const char *end = strstr(want, "\r\n\r\n");
		assert_int_equal(r.body_at, end != NULL ? (size_t)(end - want) + 4 : strlen(want));
		assert_string_equal(r.msgid_text, strstr(want, "<1@x>") != NULL
							  ? "<1@x>"
							  : "<0000000001@relay.example>");
		smtp_rig_close(&r);
	}
}

static void a_client_name_cannot_forge_a_header(void **state)
{
	struct smtp_rig r;
	AUTO_BUF out = BUF_INIT(10000);

	(void)state;
	smtp_rig_open(&r, (struct smtpin_config){ 0 });
	(void)smtp_rig_connect(&r, "2001:db8::1");
	talk(&r, "HELO x(;)\"<>\r\n" MAIL RCPT "DATA\r\n\r\n.\r\n", &out);
	assert_non_null(strstr(buf_cstr(&r.message), "from x?????? ([IPv6:2001:db8::1])"));
	assert_non_null(strstr(buf_cstr(&r.message), "with SMTP id"));
	smtp_rig_close(&r);
}

static void relaying_is_for_those_who_may(void **state)
{
	struct smtp_rig r;
	AUTO_BUF out = BUF_INIT(10000);

	(void)state;
	smtp_rig_open(&r, (struct smtpin_config){ 0 });
	r.may_relay = false;
	(void)smtp_rig_connect(&r, "192.0.2.1");
	talk(&r, "EHLO me\r\n" MAIL, &out);
	talk(&r, RCPT "DATA\r\nRSET\r\n", &out);
	assert_string_equal(
		buf_cstr(&out),
		"550 5.7.1 [192.0.2.1] may not relay here; an operator can change "
		"that: weir allow add 192.0.2.1\r\n554 5.5.1 No valid recipients\r\n" OK);
	/* allowed in the meantime: the open session finds out */
	r.may_relay = true;
	talk(&r, MAIL RCPT "RSET\r\n", &out);
	assert_non_null(strstr(buf_cstr(&out), "550 5.7.1"));
	smtpin_recheck(r.in);
	talk(&r, MAIL RCPT "RSET\r\n", &out);
	assert_string_equal(buf_cstr(&out), M R OK);
	/* and taken back */
	r.may_relay = false;
	smtpin_recheck(r.in);
	talk(&r, MAIL RCPT, &out);
	assert_non_null(strstr(buf_cstr(&out), "550 5.7.1"));
	assert_int_equal(r.asked, 3);
	smtp_rig_close(&r);
}

static void limits(void **state)
{
	struct smtp_rig r;
	AUTO_BUF out = BUF_INIT(10000);
	AUTO_BUF big = BUF_INIT(100000);

	(void)state;
	smtp_rig_open(&r,
		      (struct smtpin_config){ .size_max = 1000, .rcpts_max = 2, .hops_max = 3 });
	(void)smtp_rig_connect(&r, "192.0.2.1");
	talk(&r, "EHLO me\r\n" MAIL, &out);
	talk(&r, RCPT RCPT RCPT, &out);
	assert_string_equal(buf_cstr(&out), R R
			    "452 4.5.3 Too many recipients, send the rest in another message\r\n");
	/* at the limit, and one byte above */
	for (int i = 0; i < 998; i++)
		(void)buf_putc(&big, 'x');
	talk(&r, "DATA\r\n", &out);
	talk(&r, buf_cstr(&big), &out);
	talk(&r, "\r\n.\r\n", &out);
	assert_string_equal(buf_cstr(&out), Q1);
	(void)buf_putc(&big, 'x');
	talk(&r, MAIL RCPT "DATA\r\n", &out);
	talk(&r, buf_cstr(&big), &out);
	talk(&r, "\r\n.\r\nNOOP\r\n", &out);
	assert_string_equal(buf_cstr(&out),
			    "552 5.3.4 The message is larger than 1000 bytes\r\n" OK);
	/* hops */
	talk(&r, MAIL RCPT "DATA\r\nReceived: 1\r\nReceived: 2\r\nReceived: 3\r\n\r\n.\r\n", &out);
	assert_non_null(strstr(buf_cstr(&out), "250 2.0.0 queued"));
	talk(&r,
	     MAIL RCPT
	     "DATA\r\nReceived: 1\r\nReceived: 2\r\nReceived: 3\r\nReceived: 4\r\n\r\n.\r\n",
	     &out);
	assert_string_equal(buf_cstr(&out), M R GO "554 5.4.6 Mail loop: 4 Received fields\r\n");
	/* NUL */
	talk(&r, MAIL RCPT "DATA\r\n", &out);
	smtp_rig_send(&r, str_from("a\0b\r\n.\r\n", 8), 0);
	buf_reset(&out);
	(void)smtp_rig_read(&r, &out);
	assert_string_equal(buf_cstr(&out), "550 5.6.0 The message has NUL bytes\r\n");
	assert_int_equal(smtpin_stats(r.in)->memory, 0);
	smtp_rig_close(&r);
}

/* What is asked about reports, and whether the next hop has to know SMTPUTF8. */
static void what_goes_on_with_a_message(void **state)
{
	static const struct {
		const char *mail;
		const char *rcpt;
		const char *header;
		const char *want;
		const char *with;
	} cases[] = {
		{ "a@b.example>", "c@d.example>", "", "ret=0 envid= notify=0 orcpt=-", "ESMTP" },
		{ "a@b.example> RET=FULL ENVID=q+2B1",
		  "c@d.example> NOTIFY=SUCCESS,FAILURE ORCPT=rfc822;C+2B@d.example", "",
		  "ret=1 envid=q+2B1 notify=0x6 orcpt=rfc822;C+2B@d.example", "ESMTP" },
		{ "a@b.example> RET=HDRS", "c@d.example> NOTIFY=NEVER", "",
		  "ret=2 envid= notify=0x1 orcpt=-", "ESMTP" },
		/* asked for, but neither an address nor a field needs it */
		{ "a@b.example> SMTPUTF8", "c@d\xc3\xb6.example>", "Subject: x",
		  "ret=0 envid= notify=0 orcpt=-", "UTF8SMTP" },
		{ "a@b.example> SMTPUTF8", "c@d.example>", "Subject: \xc3\xb6",
		  "smtputf8 ret=0 envid= notify=0 orcpt=-", "UTF8SMTP" },
		{ "a\xc3\xb6@b.example> SMTPUTF8", "c@d.example>", "",
		  "smtputf8 ret=0 envid= notify=0 orcpt=-", "UTF8SMTP" },
		{ "a@b.example> SMTPUTF8", "c\xc3\xb6@d.example>", "",
		  "smtputf8 ret=0 envid= notify=0 orcpt=-", "UTF8SMTP" },
		/* not asked for: as it comes */
		{ "a@b.example>", "c@d.example>", "Subject: \xc3\xb6",
		  "ret=0 envid= notify=0 orcpt=-", "ESMTP" },
	};
	struct smtp_rig r;
	AUTO_BUF out = BUF_INIT(10000);

	(void)state;
	smtp_rig_open(&r, (struct smtpin_config){ 0 });
	(void)smtp_rig_connect(&r, "192.0.2.1");
	talk(&r, "EHLO me\r\n", &out);
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		AUTO_FREE char *text =
			xasprintf("MAIL FROM:<%s\r\nRCPT TO:<%s\r\nDATA\r\n%s\r\n.\r\n",
				  cases[i].mail, cases[i].rcpt, cases[i].header);
		AUTO_FREE char *with = xasprintf("with %s id", cases[i].with);
		talk(&r, text, &out);
		if (strcmp(r.dsn, cases[i].want) != 0 || r.n_messages != i + 1)
			fail_msg("case %zu: %s %s", i, r.dsn, buf_cstr(&out));
		assert_non_null(strstr(buf_cstr(&r.message), with));
	}
	assert_int_equal(smtpin_stats(r.in)->memory, 0);
	smtp_rig_close(&r);
}

static void chunks_have_limits(void **state)
{
	struct smtp_rig r;
	AUTO_BUF out = BUF_INIT(10000);
	AUTO_BUF big = BUF_INIT(100000);
	AUTO_FREE char *orcpt = xcalloc(1, 480);

	(void)state;
	for (int i = 0; i < 500; i++)
		(void)buf_putc(&big, 'x');
	smtp_rig_open(&r, (struct smtpin_config){ .size_max = 1000, .memory_max = 9000 });
	(void)smtp_rig_connect(&r, "192.0.2.1");
	talk(&r, "EHLO me\r\n" MAIL RCPT, &out);
	/* one too large in itself, then in sum; each is read to its end */
	talk(&r, "BDAT 1500\r\n", &out);
	for (int i = 0; i < 3; i++) {
		assert_int_equal(out.n, 0);
		talk(&r, buf_cstr(&big), &out);
	}
	assert_string_equal(buf_cstr(&out), "552 5.3.4 A message may have 1000 bytes\r\n");
	talk(&r, "RSET\r\n" MAIL RCPT "BDAT 500\r\n", &out);
	talk(&r, buf_cstr(&big), &out);
	talk(&r, "BDAT 500\r\n", &out);
	talk(&r, buf_cstr(&big), &out);
	assert_string_equal(buf_cstr(&out), "250 2.0.0 500 bytes received\r\n");
	talk(&r, "BDAT 6 LAST\r\nNOOP\r\nNOOP\r\n", &out);
	assert_string_equal(buf_cstr(&out), "552 5.3.4 A message may have 1000 bytes\r\n" OK);
	assert_int_equal(smtpin_stats(r.in)->memory, 0);
	/* what clients let us remember counts as well */
	memset(orcpt, 'o', 479);
	talk(&r, MAIL, &out);
	AUTO_FREE char *rcpt = xasprintf("RCPT TO:<c@d.example> ORCPT=rfc822;%s\r\n", orcpt);
	for (int i = 0; i < 18; i++) {
		talk(&r, rcpt, &out);
		assert_string_equal(buf_cstr(&out), R);
	}
	talk(&r, rcpt, &out);
	assert_string_equal(buf_cstr(&out), "452 4.3.1 Too much mail at once, try again later\r\n");
	talk(&r, "BDAT 500\r\n", &out);
	talk(&r, buf_cstr(&big), &out);
	assert_string_equal(buf_cstr(&out), "452 4.3.1 Too much mail at once, try again later\r\n");
	talk(&r, "RSET\r\n", &out);
	assert_int_equal(smtpin_stats(r.in)->memory, 0);
	/* silence in the middle of one */
	talk(&r, MAIL RCPT "BDAT 10\r\nx", &out);
	loop_advance(r.loop, 300000);
	talk(&r, "", &out);
	assert_string_equal(buf_cstr(&out), "421 4.4.2 Timeout, closing the connection\r\n");
	assert_int_equal(smtpin_stats(r.in)->memory, 0);
	smtp_rig_close(&r);
}

static void the_memory_for_messages_is_bounded(void **state)
{
	struct smtp_rig r;
	AUTO_BUF out = BUF_INIT(10000);
	AUTO_BUF big = BUF_INIT(100000);
	int first;

	(void)state;
	smtp_rig_open(&r, (struct smtpin_config){ .memory_max = 40000 });
	r.later = true;
	for (int i = 0; i < 500; i++)
		(void)buf_puts(&big, "0123456789012345678901234567890123456789\r\n");
	(void)smtp_rig_connect(&r, "192.0.2.1");
	talk(&r, TO_DATA, &out);
	talk(&r, buf_cstr(&big), &out);
	talk(&r, "\r\n.\r\n", &out);
	assert_int_equal(r.n_waiting, 1);
	assert_in_range(smtpin_stats(r.in)->memory, 21000, 40000);
	/* a second client is told at MAIL, or in the end */
	first = smtp_rig_connect(&r, "192.0.2.1");
	talk(&r, "EHLO me\r\nMAIL FROM:<a@b.example> SIZE=30000\r\n", &out);
	assert_non_null(strstr(buf_cstr(&out), "452 4.3.1"));
	talk(&r, MAIL RCPT "DATA\r\n", &out);
	talk(&r, buf_cstr(&big), &out);
	assert_in_range(smtpin_stats(r.in)->memory, 21000, 40000);
	talk(&r, "\r\n.\r\nNOOP\r\n", &out);
	assert_string_equal(buf_cstr(&out),
			    "452 4.3.1 Too much mail at once, try again later\r\n" OK);
	/* what is on disk is free again */
	smtp_rig_result(&r, 0, NULL);
	assert_int_equal(smtpin_stats(r.in)->memory, 0);
	talk(&r, MAIL RCPT "DATA\r\n", &out);
	talk(&r, buf_cstr(&big), &out);
	talk(&r, "\r\n.\r\n", &out);
	assert_int_equal(r.n_waiting, 2);
	smtp_rig_result(&r, 1, NULL);
	(void)close(first);
	smtp_rig_close(&r);
}

static void the_queue_says_no(void **state)
{
	struct smtp_rig r;
	AUTO_BUF out = BUF_INIT(10000);

	(void)state;
	smtp_rig_open(&r, (struct smtpin_config){ 0 });
	(void)smtp_rig_connect(&r, "192.0.2.1");
	r.disk_full = true;
	talk(&r, "EHLO me\r\n" MAIL RCPT, &out);
	assert_string_equal(buf_cstr(&out),
			    HI EHLO "452 4.3.1 The disk is full\r\n503 5.5.1 MAIL first\r\n");
	r.disk_full = false;
	r.lost = true;
	talk(&r, MAIL RCPT "DATA\r\nx\r\n.\r\nNOOP\r\n", &out);
	assert_string_equal(buf_cstr(&out), M R GO "451 4.3.0 The queue is not well\r\n" OK);
	assert_int_equal(smtpin_stats(r.in)->accepted, 0);
	smtp_rig_close(&r);
}

static void nothing_is_acknowledged_before_the_result(void **state)
{
	struct smtp_rig r;
	AUTO_BUF out = BUF_INIT(10000);

	(void)state;
	smtp_rig_open(&r, (struct smtpin_config){ 0 });
	r.later = true;
	(void)smtp_rig_connect(&r, "192.0.2.1");
	talk(&r, TO_DATA "x\r\n.\r\nNOOP\r\n", &out);
	assert_string_equal(buf_cstr(&out), AT_DATA);
	/* neither idle nor late while it is our turn */
	loop_advance(r.loop, 100000000);
	talk(&r, "RSET\r\n", &out);
	assert_string_equal(buf_cstr(&out), "");
	smtp_rig_result(&r, 0, NULL);
	(void)smtp_rig_read(&r, &out);
	assert_string_equal(buf_cstr(&out), Q1 OK OK);
	/* a result that comes twice, or for nobody, is dropped */
	smtp_rig_result(&r, 0, NULL);
	smtpin_accepted(r.in, (struct smtpin_token){ 0 }, NULL);
	smtpin_accepted(r.in, (struct smtpin_token){ UINT64_MAX }, NULL);
	talk(&r, "NOOP\r\n", &out);
	assert_string_equal(buf_cstr(&out), OK);
	smtp_rig_close(&r);
}

static void clients_that_go(void **state)
{
	struct smtp_rig r;
	AUTO_BUF out = BUF_INIT(10000);

	(void)state;
	smtp_rig_open(&r, (struct smtpin_config){ .connections_max = 2 });
	r.later = true;
	/* in the middle of DATA: nothing is left of it */
	(void)smtp_rig_connect(&r, "192.0.2.1");
	talk(&r, TO_DATA "half", &out);
	assert_int_equal(smtpin_connections(r.in), 1);
	(void)close(r.peer);
	loop_advance(r.loop, 0);
	assert_int_equal(smtpin_connections(r.in), 0);
	assert_int_equal(smtpin_stats(r.in)->memory, 0);
	/* while the result is awaited: it comes to nobody */
	(void)smtp_rig_connect(&r, "192.0.2.1");
	talk(&r, TO_DATA "x\r\n.\r\n", &out);
	(void)close(r.peer);
	loop_advance(r.loop, 0);
	smtp_rig_result(&r, 0, NULL);
	loop_advance(r.loop, 0);
	assert_int_equal(smtpin_connections(r.in), 0);
	assert_int_equal(smtpin_stats(r.in)->accepted, 1);
	assert_int_equal(smtpin_stats(r.in)->memory, 0);
	/* half closed after QUIT-less input: everything is answered first */
	(void)smtp_rig_connect(&r, "192.0.2.1");
	smtp_rig_send(&r, STR(TO_DATA "x\r\n.\r\nNOOP\r\n"), 0);
	(void)shutdown(r.peer, SHUT_WR);
	loop_advance(r.loop, 0);
	smtp_rig_result(&r, 1, NULL);
	buf_reset(&out);
	assert_false(smtp_rig_read(&r, &out));
	assert_non_null(strstr(buf_cstr(&out), "queued as"));
	assert_true(out.n > strlen(OK) && strcmp(out.p + out.n - strlen(OK), OK) == 0);
	(void)close(r.peer);
	r.peer = -1;
	smtp_rig_close(&r);
}

static void slow_clients(void **state)
{
	struct smtp_rig r;
	AUTO_BUF out = BUF_INIT(10000);

	(void)state;
	smtp_rig_open(&r, (struct smtpin_config){ .command_ms = 1000, .data_ms = 3000 });
	/* bytes alone do not help: the command has to come */
	(void)smtp_rig_connect(&r, "192.0.2.1");
	for (int i = 0; i < 10; i++) {
		smtp_rig_send(&r, STR("x"), 0);
		loop_advance(r.loop, 99);
	}
	(void)smtp_rig_read(&r, &out);
	assert_string_equal(buf_cstr(&out), HI);
	loop_advance(r.loop, 10);
	buf_reset(&out);
	assert_false(smtp_rig_read(&r, &out));
	assert_string_equal(buf_cstr(&out), "421 4.4.2 Timeout, closing the connection\r\n");
	(void)close(r.peer);
	/* a message: no byte for so long, or not complete for so long */
	(void)smtp_rig_connect(&r, "192.0.2.1");
	talk(&r, TO_DATA, &out);
	loop_advance(r.loop, 999);
	talk(&r, "x", &out);
	loop_advance(r.loop, 999);
	assert_true(smtp_rig_read(&r, &out));
	loop_advance(r.loop, 1);
	assert_false(smtp_rig_read(&r, &out));
	(void)close(r.peer);
	(void)smtp_rig_connect(&r, "192.0.2.1");
	talk(&r, TO_DATA, &out);
	for (int i = 0; i < 29; i++) {
		talk(&r, "x", &out);
		loop_advance(r.loop, 100);
	}
	assert_true(smtp_rig_read(&r, &out));
	loop_advance(r.loop, 100);
	assert_false(smtp_rig_read(&r, &out));
	smtp_rig_close(&r);
}

static void nonsense(void **state)
{
	struct smtp_rig r;
	AUTO_BUF out = BUF_INIT(10000);
	AUTO_BUF line = BUF_INIT(200000);

	(void)state;
	smtp_rig_open(&r, (struct smtpin_config){ .errors_max = 3 });
	(void)smtp_rig_connect(&r, "192.0.2.1");
	for (int i = 0; i < 5000; i++)
		(void)buf_putc(&line, 'x');
	(void)buf_puts(&line, "\r\nNOOP\r\n");
	for (size_t piece = 0; piece < 3000; piece += 999) {
		(void)close(r.peer);
		(void)smtp_rig_connect(&r, "192.0.2.1");
		buf_reset(&out);
		smtp_rig_send(&r, buf_str(&line), piece);
		(void)smtp_rig_read(&r, &out);
		assert_string_equal(buf_cstr(&out),
				    HI "500 5.5.2 A command may have 2048 bytes\r\n" OK);
	}
	/* enough is enough */
	talk(&r, "FROB\r\nFROB\r\nNOOP\r\n", &out);
	assert_string_equal(buf_cstr(&out), "500 5.5.1 Command not recognised\r\n"
					    "500 5.5.1 Command not recognised\r\n"
					    "421 4.7.0 Too many errors\r\n");
	assert_false(smtp_rig_read(&r, &out));
	/* a line without an end */
	(void)close(r.peer);
	(void)smtp_rig_connect(&r, "192.0.2.1");
	buf_reset(&line);
	for (int i = 0; i < 100000; i++)
		(void)buf_putc(&line, 'x');
	smtp_rig_send(&r, buf_str(&line), 0);
	buf_reset(&out);
	assert_false(smtp_rig_read(&r, &out));
	assert_string_equal(buf_cstr(&out), HI "500 5.5.2 A command may have 2048 bytes\r\n"
					       "421 4.7.0 This is not SMTP\r\n");
	smtp_rig_close(&r);
}

static void connection_caps(void **state)
{
	struct smtp_rig r;
	AUTO_BUF out = BUF_INIT(10000);
	int old[2];

	(void)state;
	smtp_rig_open(&r, (struct smtpin_config){ .connections_max = 3, .per_client_max = 2 });
	(void)smtp_rig_connect(&r, "192.0.2.1");
	old[0] = smtp_rig_connect(&r, "192.0.2.1");
	old[1] = smtp_rig_connect(&r, "192.0.2.1");
	assert_false(smtp_rig_read(&r, &out));
	assert_string_equal(buf_cstr(&out), "421 4.7.0 Too many connections from your address\r\n");
	(void)close(r.peer);
	(void)smtp_rig_connect(&r, "192.0.2.2");
	talk(&r, "", &out);
	assert_string_equal(buf_cstr(&out), HI);
	int third = smtp_rig_connect(&r, "192.0.2.3");
	buf_reset(&out);
	assert_false(smtp_rig_read(&r, &out));
	assert_string_equal(buf_cstr(&out), "421 4.3.2 Too many connections, try again later\r\n");
	/* one goes, one comes */
	(void)close(third);
	loop_advance(r.loop, 0);
	(void)close(r.peer);
	(void)smtp_rig_connect(&r, "192.0.2.3");
	talk(&r, "", &out);
	assert_string_equal(buf_cstr(&out), HI);
	(void)close(old[0]);
	(void)close(old[1]);
	smtp_rig_close(&r);
}

static void draining(void **state)
{
	struct smtp_rig r;
	AUTO_BUF out = BUF_INIT(10000);
	int idle;
	int stuck;

	(void)state;
	smtp_rig_open(&r, (struct smtpin_config){ 0 });
	r.later = true;
	(void)smtp_rig_connect(&r, "192.0.2.1");
	idle = smtp_rig_connect(&r, "192.0.2.1");
	talk(&r, TO_DATA, &out);
	stuck = smtp_rig_connect(&r, "192.0.2.1");
	talk(&r, TO_DATA, &out);
	smtpin_drain(r.in, 5000);
	loop_advance(r.loop, 0);
	/* the idle one is told at once */
	int busy = r.peer;
	r.peer = idle;
	buf_reset(&out);
	assert_false(smtp_rig_read(&r, &out));
	assert_string_equal(buf_cstr(&out), HI "421 4.3.2 Service is shutting down\r\n");
	(void)close(idle);
	/* the busy one after its message */
	r.peer = busy;
	talk(&r, "x\r\n.\r\n", &out);
	smtp_rig_result(&r, 0, NULL);
	buf_reset(&out);
	assert_false(smtp_rig_read(&r, &out));
	assert_non_null(strstr(buf_cstr(&out), "queued as"));
	assert_non_null(strstr(buf_cstr(&out), "421 4.3.2"));
	(void)close(busy);
	/* the stuck one after the grace */
	r.peer = stuck;
	loop_advance(r.loop, 4900);
	assert_false(r.drained);
	assert_true(smtp_rig_read(&r, &out));
	loop_advance(r.loop, 200);
	assert_false(smtp_rig_read(&r, &out));
	(void)close(stuck);
	loop_advance(r.loop, 100);
	assert_true(r.drained);
	/* and nobody new */
	r.peer = -1;
	(void)smtp_rig_connect(&r, "192.0.2.1");
	buf_reset(&out);
	assert_false(smtp_rig_read(&r, &out));
	assert_string_equal(buf_cstr(&out), "421 4.3.2 Service is shutting down\r\n");
	smtp_rig_close(&r);
}

/* Replies nobody reads stop the session, not grow it. */
static void a_client_that_does_not_read(void **state)
{
	struct smtp_rig r;
	AUTO_BUF out = BUF_INIT(4 << 20);
	unsigned sent = 0;
	unsigned answered = 0;

	(void)state;
	smtp_rig_open(&r, (struct smtpin_config){ 0 });
	(void)smtp_rig_connect(&r, "192.0.2.1");
	for (int i = 0; i < 100000; i++) {
		if (send(r.peer, "HELP\r\n", 6, MSG_NOSIGNAL) != 6)
			break;
		sent++;
		loop_advance(r.loop, 0);
	}
	assert_in_range(sent, 100, 99999); /* it does get stuck */
	for (int i = 0; i < 10000 && answered < sent; i++) {
		buf_reset(&out);
		(void)smtp_rig_read(&r, &out);
		for (const char *p = buf_cstr(&out); (p = strstr(p, "all\r\n")) != NULL; p++)
			answered++;
		loop_advance(r.loop, 1);
	}
	assert_int_equal(answered, sent);
	smtp_rig_close(&r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(dialogs_in_every_cut),
		cmocka_unit_test(what_a_message_gets_added),
		cmocka_unit_test(a_client_name_cannot_forge_a_header),
		cmocka_unit_test(relaying_is_for_those_who_may),
		cmocka_unit_test(limits),
		cmocka_unit_test(what_goes_on_with_a_message),
		cmocka_unit_test(chunks_have_limits),
		cmocka_unit_test(the_memory_for_messages_is_bounded),
		cmocka_unit_test(the_queue_says_no),
		cmocka_unit_test(nothing_is_acknowledged_before_the_result),
		cmocka_unit_test(clients_that_go),
		cmocka_unit_test(slow_clients),
		cmocka_unit_test(nonsense),
		cmocka_unit_test(connection_caps),
		cmocka_unit_test(draining),
		cmocka_unit_test(a_client_that_does_not_read),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
