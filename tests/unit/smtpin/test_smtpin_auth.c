/*
 * AUTH, and what it changes for a session; in the clear for clients of this machine, so that
 * dialogs can be written down.
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

#include "base/mem.h"
#include "lib/cred_made.h"
#include "lib/smtp_rig.h"

#define HI "220 relay.example ESMTP\r\n"
#define EHLO_WITH(line)                                                                            \
	"250-relay.example greets [127.0.0.1]\r\n250-PIPELINING\r\n250-SIZE 26214400\r\n"          \
	"250-8BITMIME\r\n" line                                                                    \
	"250-SMTPUTF8\r\n250-DSN\r\n250-CHUNKING\r\n250 ENHANCEDSTATUSCODES\r\n"
#define EHLO EHLO_WITH("250-AUTH PLAIN LOGIN SCRAM-SHA-256\r\n")
#define EHLO_NO EHLO_WITH("")
#define M "250 2.1.0 OK\r\n"
#define R "250 2.1.5 OK\r\n"
#define OK "250 2.0.0 OK\r\n"
#define IN "235 2.7.0 Welcome\r\n"
#define FAILED "535 5.7.8 Authentication failed\r\n"
#define MAIL "MAIL FROM:<a@b.example>\r\n"
#define RCPT "RCPT TO:<c@d.example>\r\n"
#define GOOD "AHNob3AAb3BlbiBzZXNhbWU=" /* \0shop\0open sesame */
#define WRONG "AHNob3AAd3Jvbmc="	/* \0shop\0wrong */
#define NOBODY "AG5vYm9keQBvcGVuIHNlc2FtZQ=="
#define ASK "334 VXNlciBOYW1l\r\n"
#define ASK2 "334 UGFzc3dvcmQ=\r\n"

static const struct {
	const char *in;
	const char *out;
} dialogs[] = {
	{ "EHLO me\r\nAUTH PLAIN " GOOD "\r\n" MAIL RCPT, HI EHLO IN M R },
	{ "EHLO me\r\nauth plain\r\n" GOOD "\r\nNOOP\r\n", HI EHLO "334 \r\n" IN OK },
	{ "EHLO me\r\nAUTH LOGIN\r\nc2hvcA==\r\nb3BlbiBzZXNhbWU=\r\n", HI EHLO ASK ASK2 IN },
	{ "EHLO me\r\nAUTH LOGIN c2hvcA==\r\nb3BlbiBzZXNhbWU=\r\n", HI EHLO ASK2 IN },
	/* once is enough, and not in the middle of a transaction; EHLO does not end it */
	{ "EHLO me\r\nAUTH PLAIN " GOOD "\r\nAUTH PLAIN " GOOD "\r\nEHLO me\r\n" MAIL RCPT,
	  HI EHLO IN "503 5.5.1 You are authenticated already\r\n" EHLO_NO M R },
	{ "EHLO me\r\n" MAIL "AUTH PLAIN " GOOD "\r\n",
	  HI EHLO M "503 5.5.1 AUTH is not possible during a transaction\r\n" },
	/* without */
	{ "EHLO me\r\n" MAIL RCPT,
	  HI EHLO M "550 5.7.1 [127.0.0.1] may not relay here without authentication\r\n" },
	/* AUTH belongs to EHLO */
	{ "AUTH PLAIN " GOOD "\r\nHELO me\r\nAUTH PLAIN " GOOD "\r\n",
	  HI "500 5.5.1 Command not recognised\r\n250 relay.example\r\n"
	     "500 5.5.1 Command not recognised\r\n" },
	/* cancelled, and then once more */
	{ "EHLO me\r\nAUTH LOGIN\r\n*\r\nAUTH PLAIN " GOOD "\r\n",
	  HI EHLO ASK "501 5.7.0 Authentication cancelled\r\n" IN },
	{ "EHLO me\r\nAUTH\r\nAUTH CRAM-MD5\r\nAUTH ANONYMOUS x\r\nAUTH PLAIN ???\r\n"
	  "AUTH PLAIN =\r\nAUTH PLAIN c2hvcA==\r\nNOOP\r\n",
	  HI EHLO "501 5.5.4 Syntax: AUTH mechanism [initial-response]\r\n"
		  "504 5.5.4 AUTH takes one of PLAIN LOGIN SCRAM-SHA-256\r\n"
		  "504 5.5.4 AUTH takes one of PLAIN LOGIN SCRAM-SHA-256\r\n"
		  "501 5.5.2 That is not base64\r\n334 \r\n"
		  "501 5.5.2 That is not base64\r\n" OK },
	/* responses are never commands, whatever they look like: here, a name and a secret */
	{ "EHLO me\r\nAUTH LOGIN\r\nQUIT\r\nNOOP\r\n", HI EHLO ASK ASK2 },
	{ "EHLO me\r\nAUTH PLAIN\n" GOOD "\r\n",
	  HI EHLO "500 5.5.2 A command ends with CR LF\r\n500 5.5.1 Command not recognised\r\n" },
	{ "EHLO me\r\nAUTH PLAIN\r\n" GOOD "\nNOOP\r\n",
	  HI EHLO "334 \r\n501 5.5.2 A response ends with CR LF\r\n" OK },
	/* a SCRAM client that does not wait for the challenge */
	{ "EHLO me\r\nAUTH SCRAM-SHA-256 eCwsbj1zaG9wLHI9YQ==\r\nNOOP\r\n",
	  HI EHLO "501 5.5.2 That is no response of this mechanism\r\n" OK },
};

static void open_door(struct smtp_rig *r, enum smtpin_auth auth)
{
	smtp_rig_open(r, (struct smtpin_config){ 0 });
	r->may_relay = false;
	r->rules = (struct smtpin_rules){ .auth = auth, .auth_loopback = true };
}

static void talk(struct smtp_rig *r, const char *in, struct buf *out)
{
	buf_reset(out);
	smtp_rig_send(r, str_of(in), 0);
	(void)smtp_rig_read(r, out);
}

static void expect(struct smtp_rig *r, const char *in, const char *want)
{
	AUTO_BUF out = BUF_INIT(100000);

	talk(r, in, &out);
	assert_string_equal(buf_cstr(&out), want);
}

static void dialogs_in_every_cut(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(dialogs); i++)
		for (size_t piece = 0; piece < 40; piece += piece < 5 ? 1 : 10) {
			struct smtp_rig r;
			AUTO_BUF out = BUF_INIT(100000);
			open_door(&r, SMTPIN_AUTH_OPTIONAL);
			(void)smtp_rig_connect(&r, "127.0.0.1");
			smtp_rig_send(&r, str_of(dialogs[i].in), piece);
			(void)smtp_rig_read(&r, &out);
			if (!str_eq(buf_str(&out), str_of(dialogs[i].out)))
				fail_msg("dialog %zu, pieces of %zu:\n%s", i, piece,
					 buf_cstr(&out));
			smtp_rig_close(&r);
		}
}

static void only_under_tls(void **state)
{
	struct smtp_rig r;
	AUTO_BUF out = BUF_INIT(10000);

	(void)state;
	open_door(&r, SMTPIN_AUTH_OPTIONAL);
	/* another machine, or a door without the exception: neither offered nor taken */
	(void)smtp_rig_connect(&r, "192.0.2.1");
	talk(&r, "EHLO me\r\n", &out);
	assert_null(strstr(buf_cstr(&out), "AUTH"));
	expect(&r, "AUTH PLAIN " GOOD "\r\n", "538 5.7.11 AUTH needs TLS here\r\n");
	(void)close(r.peer);
	r.rules.auth_loopback = false;
	(void)smtp_rig_connect(&r, "127.0.0.1");
	talk(&r, "EHLO me\r\n", &out);
	assert_null(strstr(buf_cstr(&out), "AUTH"));
	expect(&r, "AUTH LOGIN\r\n", "538 5.7.11 AUTH needs TLS here\r\n");
	(void)close(r.peer);
	/* no AUTH at this door at all */
	r.rules.auth = SMTPIN_AUTH_NONE;
	(void)smtp_rig_connect(&r, "127.0.0.1");
	talk(&r, "EHLO me\r\n", &out);
	expect(&r, "AUTH LOGIN\r\n", "500 5.5.1 Command not recognised\r\n");
	assert_int_equal(smtpin_stats(r.in)->auth_failed, 0);
	smtp_rig_close(&r);
}

static void required(void **state)
{
	struct smtp_rig r;
	AUTO_BUF out = BUF_INIT(10000);

	(void)state;
	open_door(&r, SMTPIN_AUTH_REQUIRED);
	r.may_relay = true; /* the allowlist does not help here */
	(void)smtp_rig_connect(&r, "127.0.0.1");
	talk(&r, "EHLO me\r\n", &out);
	expect(&r, MAIL RCPT,
	       "530 5.7.0 Authentication is required here\r\n"
	       "503 5.5.1 MAIL first\r\n");
	expect(&r, "AUTH PLAIN " GOOD "\r\n" MAIL RCPT "DATA\r\n",
	       IN M R "354 End with a dot on a line of its own\r\n");
	talk(&r, "x\r\n.\r\n", &out);
	assert_string_equal(r.credential, "shop");
	assert_non_null(strstr(buf_cstr(&r.message), "with ESMTPA id"));
	assert_int_equal(creds_find(r.creds, STR("shop"))->use->secrets[0].uses, 1);
	assert_int_equal(smtpin_stats(r.in)->authenticated, 1);
	smtp_rig_close(&r);
}

static void what_fails_takes_its_time(void **state)
{
	struct smtp_rig r;
	static const char *const tries[] = { WRONG, NOBODY, WRONG };
	AUTO_BUF out = BUF_INIT(10000);

	(void)state;
	open_door(&r, SMTPIN_AUTH_OPTIONAL);
	(void)smtp_rig_connect(&r, "127.0.0.1");
	talk(&r, "EHLO me\r\n", &out);
	for (int i = 0; i < 3; i++) {
		AUTO_FREE char *line = xasprintf("AUTH PLAIN %s\r\nNOOP\r\n", tries[i]);
		/* a known name and an unknown one: the same answer after the same time */
		expect(&r, line, "");
		loop_advance(r.loop, (1000 << i) - 1);
		expect(&r, "", "");
		loop_advance(r.loop, 1);
		expect(&r, "",
		       i < 2 ? FAILED OK
			     : FAILED "421 4.7.0 Too many failures to authenticate\r\n");
	}
	buf_reset(&out);
	assert_false(smtp_rig_read(&r, &out));
	assert_int_equal(smtpin_stats(r.in)->auth_failed, 3);
	(void)close(r.peer);
	/* a new session, two more: blocked */
	(void)smtp_rig_connect(&r, "127.0.0.1");
	talk(&r, "EHLO me\r\n", &out);
	talk(&r, "AUTH PLAIN " WRONG "\r\n", &out);
	loop_advance(r.loop, 8000);
	talk(&r, "AUTH LOGIN bm9ib2R5\r\nd3Jvbmc=\r\n", &out);
	loop_advance(r.loop, 16000);
	expect(&r, "", FAILED "421 4.7.0 Too many failures to authenticate\r\n");
	(void)close(r.peer);
	(void)smtp_rig_connect(&r, "127.0.0.1");
	buf_reset(&out);
	assert_false(smtp_rig_read(&r, &out));
	assert_string_equal(buf_cstr(&out),
			    "421 4.7.0 Too many failures to authenticate, try again later\r\n");
	(void)close(r.peer);
	/* another address is not; nor is one that may relay, as long as it does not try AUTH */
	(void)smtp_rig_connect(&r, "127.0.0.2");
	expect(&r, "", HI);
	(void)close(r.peer);
	r.may_relay = true;
	(void)smtp_rig_connect(&r, "127.0.0.1");
	talk(&r, "EHLO me\r\n" MAIL RCPT "RSET\r\n", &out);
	assert_true(str_ends_nocase(buf_str(&out), STR(M R OK)));
	expect(&r, "AUTH PLAIN " GOOD "\r\n",
	       "421 4.7.0 Too many failures to authenticate, try again later\r\n");
	(void)close(r.peer);
	/* it passes */
	loop_advance(r.loop, 16 * 60000);
	r.may_relay = false;
	(void)smtp_rig_connect(&r, "127.0.0.1");
	expect(&r, "EHLO me\r\nAUTH PLAIN " GOOD "\r\n", HI EHLO IN);
	smtp_rig_close(&r);
}

static void clients_that_go(void **state)
{
	struct smtp_rig r;
	AUTO_BUF out = BUF_INIT(10000);

	(void)state;
	open_door(&r, SMTPIN_AUTH_OPTIONAL);
	/* with a refusal waiting */
	(void)smtp_rig_connect(&r, "127.0.0.1");
	talk(&r, "EHLO me\r\nAUTH PLAIN " WRONG "\r\n", &out);
	(void)close(r.peer);
	loop_advance(r.loop, 2000);
	loop_advance(r.loop, 0);
	assert_int_equal(smtpin_connections(r.in), 0);
	/* in the middle of an exchange, by going, by being silent, at the end of the service */
	(void)smtp_rig_connect(&r, "127.0.0.1");
	talk(&r, "EHLO me\r\nAUTH LOGIN\r\n", &out);
	(void)close(r.peer);
	loop_advance(r.loop, 0);
	loop_advance(r.loop, 0);
	assert_int_equal(smtpin_connections(r.in), 0);
	(void)smtp_rig_connect(&r, "127.0.0.1");
	talk(&r, "EHLO me\r\nAUTH LOGIN\r\n", &out);
	loop_advance(r.loop, 299000);
	expect(&r, "", "");
	loop_advance(r.loop, 1000);
	expect(&r, "", "421 4.4.2 Timeout, closing the connection\r\n");
	(void)close(r.peer);
	(void)smtp_rig_connect(&r, "127.0.0.1");
	talk(&r, "EHLO me\r\nAUTH LOGIN\r\n", &out);
	smtpin_drain(r.in, 1000);
	expect(&r, "", "421 4.3.2 Service is shutting down\r\n");
	smtp_rig_close(&r);
}

static void bounds_and_revocation(void **state)
{
	struct smtp_rig r;
	AUTO_BUF out = BUF_INIT(10000);

	(void)state;
	open_door(&r, SMTPIN_AUTH_OPTIONAL);
	cred_made(r.creds, "shop", "\"senders\":[\"b.example\"],", "s1=open sesame");
	(void)smtp_rig_connect(&r, "127.0.0.1");
	talk(&r, "EHLO me\r\nAUTH PLAIN " GOOD "\r\n", &out);
	expect(&r, "MAIL FROM:<a@other.example>\r\nMAIL FROM:<>\r\n" MAIL "RSET\r\n",
	       "550 5.7.1 The credential shop may not send for this address\r\n"
	       "550 5.7.1 The credential shop may not send for this address\r\n" M OK);
	/* revoked: told at once, also in the middle of a message */
	talk(&r, MAIL RCPT "DATA\r\nhalf", &out);
	cred_made(r.creds, "shop", "\"revoked_ms\":1,", "s1=open sesame");
	smtpin_recheck(r.in);
	loop_advance(r.loop, 0);
	expect(&r, "", "421 4.7.0 Your credential is not good any more\r\n");
	assert_int_equal(r.n_messages, 0);
	(void)close(r.peer);
	/* a secret that reaches its end */
	cred_made(r.creds, "shop", "", "s1=open sesame;1795490060000");
	(void)smtp_rig_connect(&r, "127.0.0.1");
	expect(&r, "EHLO me\r\nAUTH PLAIN " GOOD "\r\n" MAIL "RSET\r\n", HI EHLO IN M OK);
	loop_advance(r.loop, 60000);
	expect(&r, MAIL, "421 4.7.0 Your credential is not good any more\r\n");
	(void)close(r.peer);
	/* another one was made under the same name: the old session does not get it */
	cred_made(r.creds, "shop", "", "s1=open sesame");
	(void)smtp_rig_connect(&r, "127.0.0.1");
	expect(&r, "EHLO me\r\nAUTH PLAIN " GOOD "\r\n", HI EHLO IN);
	cred_made(r.creds, "shop", "", "s2=open sesame");
	smtpin_recheck(r.in);
	expect(&r, "", "421 4.7.0 Your credential is not good any more\r\n");
	smtp_rig_close(&r);
}

static void long_responses(void **state)
{
	struct smtp_rig r;
	AUTO_BUF line = BUF_INIT(100000);
	AUTO_BUF out = BUF_INIT(100000);

	(void)state;
	for (int i = 0; i < 3000; i++)
		(void)buf_putc(&line, 'A');
	(void)buf_puts(&line, "\r\nNOOP\r\n");
	open_door(&r, SMTPIN_AUTH_OPTIONAL);
	(void)smtp_rig_connect(&r, "127.0.0.1");
	talk(&r, "EHLO me\r\nAUTH LOGIN\r\n", &out);
	expect(&r, buf_cstr(&line), "500 5.5.6 The response is too long\r\n" OK);
	smtp_rig_close(&r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(dialogs_in_every_cut),
		cmocka_unit_test(only_under_tls),
		cmocka_unit_test(required),
		cmocka_unit_test(what_fails_takes_its_time),
		cmocka_unit_test(clients_that_go),
		cmocka_unit_test(bounds_and_revocation),
		cmocka_unit_test(long_responses),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
