/*
 * How much a client may have: of connections, commands, mail in a minute, time; and whose
 * connection it is behind a balancer.
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

#include "base/log.h"
#include "base/mem.h"
#include "lib/smtp_rig.h"

#define HI "220 relay.example ESMTP\r\n"
#define M "250 2.1.0 OK\r\n"
#define R "250 2.1.5 OK\r\n"
#define OK "250 2.0.0 OK\r\n"
#define MAIL "MAIL FROM:<a@b.example>\r\n"
#define RCPT "RCPT TO:<c@d.example>\r\n"
#define HELO "250 relay.example\r\n"
#define GOOD "AHNob3AAb3BlbiBzZXNhbWU=" /* \0shop\0open sesame */

static void expect(struct smtp_rig *r, const char *in, const char *want)
{
	AUTO_BUF out = BUF_INIT(100000);

	smtp_rig_send(r, str_of(in), 0);
	(void)smtp_rig_read(r, &out);
	assert_string_equal(buf_cstr(&out), want);
}

/* Connects, and is greeted with `want`; the connection goes. */
static void call(struct smtp_rig *r, const char *ip, const char *want)
{
	(void)smtp_rig_connect(r, ip);
	expect(r, "", want);
	(void)close(r->peer);
	r->peer = -1;
	loop_advance(r->loop, 0);
}

static void connections_a_minute(void **state)
{
	static const char no[] = "421 4.7.0 Too many connections a minute from your address\r\n";
	struct smtp_rig r;

	(void)state;
	smtp_rig_open(&r, (struct smtpin_config){ .connection_rate = 3 });
	for (int i = 0; i < 3; i++)
		call(&r, "192.0.2.1", HI);
	call(&r, "192.0.2.1", no);
	call(&r, "192.0.2.2", HI);
	loop_advance(r.loop, 20000);
	call(&r, "192.0.2.1", HI);
	call(&r, "192.0.2.1", no);
	/* of IPv6 the /64 is one client */
	for (int i = 0; i < 3; i++)
		call(&r, i == 1 ? "2001:db8:1:2::1" : "2001:db8:1:2:3::1", HI);
	call(&r, "2001:db8:1:2:ffff::", no);
	call(&r, "2001:db8:1:3::1", HI);
	smtp_rig_close(&r);
}

static void mail_a_minute(void **state)
{
	struct smtp_rig r;

	(void)state;
	smtp_rig_open(&r, (struct smtpin_config){ .client_rate = { 3, 4 } });
	(void)smtp_rig_connect(&r, "192.0.2.1");
	expect(&r, "HELO me\r\n" MAIL RCPT RCPT "RSET\r\n" MAIL RCPT RCPT RCPT "RSET\r\n",
	       HI HELO M R R OK M R R
	       "450 4.7.1 Too many recipients in a minute, try again later\r\n" OK);
	expect(&r, MAIL "RSET\r\n" MAIL RCPT,
	       M OK "450 4.7.1 Too many messages in a minute, try again later\r\n"
		    "503 5.5.1 MAIL first\r\n");
	(void)close(r.peer);
	/* of the address, not of the session; and it comes back */
	(void)smtp_rig_connect(&r, "192.0.2.1");
	expect(&r, "HELO me\r\n" MAIL,
	       HI HELO "450 4.7.1 Too many messages in a minute, try again later\r\n");
	loop_advance(r.loop, 20000);
	expect(&r, MAIL RCPT RCPT,
	       M R "450 4.7.1 Too many recipients in a minute, try again later\r\n");
	smtp_rig_close(&r);
}

static void busy_work_ends(void **state)
{
	struct smtp_rig r;
	AUTO_BUF out = BUF_INIT(10000);

	(void)state;
	smtp_rig_open(&r, (struct smtpin_config){ .commands_max = 4 });
	(void)smtp_rig_connect(&r, "192.0.2.1");
	expect(&r, "HELO me\r\nNOOP\r\n" MAIL RCPT RCPT "RSET\r\nNOOP\r\nNOOP\r\nNOOP\r\n",
	       HI HELO OK M R R OK OK "421 4.7.0 Too many commands without a message\r\n");
	(void)close(r.peer);
	/* each message is a new beginning */
	(void)smtp_rig_connect(&r, "192.0.2.1");
	expect(&r, "HELO me\r\n", HI HELO);
	for (int i = 0; i < 5; i++) {
		buf_reset(&out);
		smtp_rig_send(&r, STR("NOOP\r\nNOOP\r\nRSET\r\n" MAIL RCPT "DATA\r\nx\r\n.\r\n"),
			      0);
		assert_true(smtp_rig_read(&r, &out));
		assert_non_null(strstr(buf_cstr(&out), "queued as"));
	}
	smtp_rig_close(&r);
}

static void sessions_of_a_credential(void **state)
{
	struct smtp_rig r;
	AUTO_BUF out = BUF_INIT(10000);
	int old[2];

	(void)state;
	smtp_rig_open(
		&r, (struct smtpin_config){ .per_credential_max = 2, .credential_rate = { 2, 3 } });
	r.may_relay = false;
	r.rules = (struct smtpin_rules){ .auth = SMTPIN_AUTH_OPTIONAL, .auth_loopback = true };
	for (int i = 0; i < 3; i++) {
		int former = smtp_rig_connect(&r, i == 1 ? "127.0.0.2" : "127.0.0.1");
		if (i > 0)
			old[i - 1] = former;
		buf_reset(&out);
		smtp_rig_send(&r, STR("EHLO me\r\nAUTH PLAIN " GOOD "\r\n"), 0);
		(void)smtp_rig_read(&r, &out);
		assert_true(str_ends_nocase(buf_str(&out),
					    i < 2 ? STR("235 2.7.0 Welcome\r\n")
						  : STR("421 4.7.0 Too many sessions of this "
							"credential\r\n")));
	}
	(void)close(r.peer);
	/* what both of them send counts together */
	r.peer = old[0];
	expect(&r, MAIL RCPT RCPT "RSET\r\n", M R R OK);
	r.peer = old[1];
	expect(&r, MAIL RCPT RCPT "RSET\r\n" MAIL,
	       M R "450 4.7.1 Too many recipients in a minute, try again later\r\n" OK
		   "450 4.7.1 Too many messages in a minute, try again later\r\n");
	loop_advance(r.loop, 30000);
	expect(&r, MAIL RCPT, M R);
	(void)close(old[0]);
	smtp_rig_close(&r);
}

#define SLOW 30

/* A byte a second from everybody: they make room for those who come to send mail. */
static void slow_clients_make_room(void **state)
{
	struct smtp_rig r;
	AUTO_BUF out = BUF_INIT(10000);
	int slow[SLOW];
	unsigned open = 0;

	(void)state;
	smtp_rig_open(&r, (struct smtpin_config){ .connections_max = SLOW + 2 });
	for (int i = 0; i < SLOW; i++) {
		char ip[32];
		(void)snprintf(ip, sizeof(ip), "192.0.2.%d", i);
		(void)smtp_rig_connect(&r, ip);
		slow[i] = r.peer;
		r.peer = -1;
		/* half of them are in the middle of a message, whose bytes do come */
		if (i % 2 == 0) {
			static const char begun[] = "HELO x\r\n" MAIL RCPT "DATA\r\n";
			assert_int_equal(send(slow[i], begun, sizeof(begun) - 1, 0),
					 sizeof(begun) - 1);
		}
	}
	for (int second = 0; second < 15; second++) {
		loop_advance(r.loop, 1000);
		for (int i = 0; i < SLOW; i++)
			(void)send(slow[i], "x", 1, MSG_NOSIGNAL);
	}
	loop_advance(r.loop, 3000);
	open = smtpin_connections(r.in);
	assert_in_range(open, SLOW / 2, SLOW - 7); /* those that send commands byte by byte went */
	(void)smtp_rig_connect(&r, "198.51.100.1");
	expect(&r, "HELO me\r\n", HI HELO);
	/* and it has the usual time again */
	loop_advance(r.loop, 60000);
	expect(&r, "NOOP\r\n", OK);
	for (int i = 0; i < SLOW; i++)
		(void)close(slow[i]);
	buf_reset(&out);
	smtp_rig_close(&r);
}

/* --- behind a balancer ------------------------------------------------------------------------ */

#define NAMED "PROXY TCP4 203.0.113.7 198.51.100.9 56324 25\r\n"
#define FROM_203 "250-relay.example greets [203.0.113.7]\r\n"

static struct ipnet trusted;

static void open_behind(struct smtp_rig *r, struct smtpin_config conf)
{
	assert_true(ipnet_parse(STR("10.0.0.0/8"), &trusted, NULL) >= 0);
	smtp_rig_open(r, conf);
	r->rules = (struct smtpin_rules){ .proxies = &trusted, .n_proxies = 1 };
}

static void whose_connection_it_is(void **state)
{
	struct smtp_rig r;
	AUTO_BUF out = BUF_INIT(10000);
	char ip[IPADDR_TEXT_LEN];

	(void)state;
	for (size_t piece = 0; piece < 50; piece += piece < 4 ? 1 : 9) {
		open_behind(&r, (struct smtpin_config){ 0 });
		(void)smtp_rig_connect(&r, "10.1.2.3");
		expect(&r, "", ""); /* nothing is said before the header */
		assert_int_equal(r.asked, 0);
		smtp_rig_send(&r, STR(NAMED "EHLO me\r\n" MAIL RCPT "DATA\r\nx\r\n.\r\n"), piece);
		buf_reset(&out);
		(void)smtp_rig_read(&r, &out);
		assert_non_null(strstr(buf_cstr(&out), FROM_203));
		assert_non_null(strstr(buf_cstr(&out), "queued as"));
		ipaddr_text(&r.client, ip);
		assert_string_equal(ip, "203.0.113.7");
		assert_non_null(strstr(buf_cstr(&r.message), "from me ([203.0.113.7])"));
		smtp_rig_close(&r);
	}
}

static void balancers_that_do_not_say(void **state)
{
	static const struct str headers[] = {
		{ "PROXY UNKNOWN\r\n", 15 },
		{ "\r\n\r\n\0\r\nQUIT\n\x20\0\0\0", 16 },
		{ "\r\n\r\n\0\r\nQUIT\n\x21\0\0\0", 16 },
	};
	struct smtp_rig r;
	AUTO_BUF out = BUF_INIT(10000);

	(void)state;
	open_behind(&r, (struct smtpin_config){ 0 });
	r.rules.auth = SMTPIN_AUTH_OPTIONAL;
	r.rules.auth_loopback = true;
	assert_true(ipnet_parse(STR("127.0.0.0/8"), &trusted, NULL) >= 0);
	for (size_t i = 0; i < ARRAY_LEN(headers); i++) {
		(void)smtp_rig_connect(&r, "127.0.0.1");
		smtp_rig_send(&r, headers[i], 0);
		buf_reset(&out);
		smtp_rig_send(&r, STR("EHLO me\r\n" MAIL RCPT), 0);
		assert_true(smtp_rig_read(&r, &out));
		/* greeted, but the balancer's own address opens nothing */
		assert_true(str_starts(buf_str(&out), STR(HI)));
		assert_null(strstr(buf_cstr(&out), "AUTH"));
		assert_non_null(strstr(buf_cstr(&out), "550 5.7.1"));
		assert_int_equal(r.asked, 0);
		(void)close(r.peer);
	}
	r.peer = -1;
	smtp_rig_close(&r);
}

static void only_from_named_networks(void **state)
{
	struct smtp_rig r;

	(void)state;
	open_behind(&r, (struct smtpin_config){ 0 });
	(void)smtp_rig_connect(&r, "192.0.2.1");
	expect(&r, NAMED, HI "500 5.5.1 Command not recognised\r\n");
	(void)close(r.peer);
	/* and not without a header from them */
	log_level_set(LOG_LEVEL_ERROR);
	(void)smtp_rig_connect(&r, "10.1.2.3");
	expect(&r, "EHLO me\r\n", "");
	loop_advance(r.loop, 0);
	assert_int_equal(smtpin_connections(r.in), 0);
	assert_int_equal(smtpin_stats(r.in)->connections_refused, 1);
	assert_int_equal(send(r.peer, "x", 1, MSG_NOSIGNAL), -1);
	(void)close(r.peer);
	/* in its time */
	(void)smtp_rig_connect(&r, "10.1.2.3");
	smtp_rig_send(&r, STR("PROXY TCP4 "), 0);
	loop_advance(r.loop, 4999);
	assert_int_equal(smtpin_stats(r.in)->connections_refused, 1);
	loop_advance(r.loop, 1);
	assert_int_equal(smtpin_stats(r.in)->connections_refused, 2);
	(void)close(r.peer);
	/* gone before it said anything, and before the end of it */
	(void)smtp_rig_connect(&r, "10.1.2.3");
	(void)close(r.peer);
	loop_advance(r.loop, 0);
	(void)smtp_rig_connect(&r, "10.1.2.3");
	smtp_rig_send(&r, STR("PROXY "), 0);
	(void)close(r.peer);
	r.peer = -1;
	loop_advance(r.loop, 0);
	assert_int_equal(smtpin_stats(r.in)->connections_refused, 2);
	smtp_rig_close(&r);
}

static void caps_hold_for_clients_not_balancers(void **state)
{
	struct smtp_rig r;
	int first;
	int second;

	(void)state;
	open_behind(&r, (struct smtpin_config){ .connections_max = 3, .per_client_max = 1 });
	(void)smtp_rig_connect(&r, "10.1.2.3");
	expect(&r, NAMED, HI);
	first = r.peer;
	(void)smtp_rig_connect(&r, "10.1.2.3");
	expect(&r, NAMED, "421 4.7.0 Too many connections from your address\r\n");
	(void)close(r.peer);
	(void)smtp_rig_connect(&r, "10.1.2.3");
	expect(&r, "PROXY TCP4 203.0.113.8 198.51.100.9 56324 25\r\n", HI);
	second = r.peer;
	/* one that is nobody's yet has its place as well */
	(void)smtp_rig_connect(&r, "10.1.2.3");
	int third = r.peer;
	(void)smtp_rig_connect(&r, "192.0.2.1");
	expect(&r, "", "421 4.3.2 Too many connections, try again later\r\n");
	(void)close(r.peer);
	/* the service ends: those go at once */
	smtpin_drain(r.in, 1000);
	r.peer = third;
	char byte;
	assert_int_equal(recv(third, &byte, 1, 0), 0);
	(void)close(first);
	(void)close(second);
	smtp_rig_close(&r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(connections_a_minute),
		cmocka_unit_test(mail_a_minute),
		cmocka_unit_test(busy_work_ends),
		cmocka_unit_test(sessions_of_a_credential),
		cmocka_unit_test(slow_clients_make_room),
		cmocka_unit_test(whose_connection_it_is),
		cmocka_unit_test(balancers_that_do_not_say),
		cmocka_unit_test(only_from_named_networks),
		cmocka_unit_test(caps_hold_for_clients_not_balancers),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
