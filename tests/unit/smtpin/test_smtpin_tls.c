/*
 * Sessions that turn to TLS: the rig's server, and a client of streams in the same loop.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/mem.h"
#include "lib/certs.h"
#include "lib/smtp_rig.h"
#include "net/stream.h"
#include "net/tls.h"

#define HOST "relay.example"
#define ROUNDS 2000 /* turns of the loop, a millisecond each, for what has to come */

static struct {
	char dir[64];
	struct certs certs;
	struct tls_server *server;
	struct tls_client *trust;
	struct smtp_rig rig;
	struct stream *client;
	struct buf got;
	bool secure;
	bool closed;
	int code; /* how the client's stream ended */
} t;

static size_t on_data(void *arg, struct str in)
{
	(void)arg;
	(void)buf_put_str(&t.got, in);
	return in.n;
}

static void on_closed(void *arg, const struct err *err)
{
	(void)arg;
	t.closed = true;
	t.code = err->code;
}

static void on_secure(void *arg)
{
	(void)arg;
	t.secure = true;
}

static const struct stream_ops ops = {
	.name = "client", .on_data = on_data, .on_closed = on_closed, .on_secure = on_secure
};

static void set_up(enum smtpin_tls tls)
{
	struct err err = ERR_INIT;

	memset(&t, 0, sizeof(t));
	(void)snprintf(t.dir, sizeof(t.dir), "/tmp/weir-test-XXXXXX");
	assert_non_null(mkdtemp(t.dir));
	certs_make(t.dir, HOST, 3600, &t.certs);
	if (tls_server_new(t.certs.certificate, t.certs.key, &t.server, &err) < 0 ||
	    tls_client_new(t.certs.authority, &t.trust, &err) < 0)
		fail_msg("%s", err.msg);
	t.got = BUF_INIT(1000000);
	smtp_rig_open(&t.rig, (struct smtpin_config){ .tls = t.server });
	t.rig.rules = (struct smtpin_rules){ .tls = tls };
}

static void tear_down(void)
{
	stream_free(&t.client);
	smtp_rig_close(&t.rig);
	tls_client_free(&t.trust);
	tls_server_free(&t.server);
	buf_done(&t.got);
	(void)unlink(t.certs.authority);
	(void)unlink(t.certs.certificate);
	(void)unlink(t.certs.key);
	assert_int_equal(rmdir(t.dir), 0);
}

static void connect_client(void)
{
	stream_free(&t.client);
	buf_reset(&t.got);
	t.closed = t.secure = false;
	(void)smtp_rig_connect(&t.rig, "192.0.2.1");
	t.client = stream_new(t.rig.loop, t.rig.peer, &ops, NULL);
	t.rig.peer = -1;
}

/* Turns the loop until the last line that came is `line`. */
static void expect(const char *line)
{
	for (int i = 0; i < ROUNDS; i++) {
		struct str got = buf_str(&t.got);
		if (str_ends_nocase(got, str_of(line)))
			return;
		loop_advance(t.rig.loop, 1);
	}
	fail_msg("no \"%s\" but:\n%s", line, buf_cstr(&t.got));
}

static void say(const char *text, const char *line)
{
	buf_reset(&t.got);
	assert_true(stream_write(t.client, text, strlen(text)));
	expect(line);
}

static void shake_hands(void)
{
	stream_tls_connect(t.client, t.trust, &(struct tls_peer){ .host = HOST });
	for (int i = 0; i < ROUNDS && !t.secure; i++)
		loop_advance(t.rig.loop, 1);
	assert_true(t.secure);
}

static bool has(const char *text)
{
	return strstr(buf_cstr(&t.got), text) != NULL;
}

static void starttls(void **state)
{
	(void)state;
	set_up(SMTPIN_TLS_STARTTLS);
	connect_client();
	expect("220 relay.example ESMTP\r\n");
	say("STARTTLS\r\n", "500 5.5.1 Command not recognised\r\n"); /* before EHLO */
	say("EHLO me\r\n", "250 ENHANCEDSTATUSCODES\r\n");
	assert_true(has("250-STARTTLS\r\n"));
	say("MAIL FROM:<evil@x.example>\r\n", "250 2.1.0 OK\r\n");
	say("STARTTLS now\r\n", "501 5.5.4 STARTTLS takes no argument\r\n");
	say("STARTTLS\r\n", "220 2.0.0 Go ahead\r\n");
	shake_hands();
	/* all that was said before is forgotten: the name, and the transaction */
	say("RCPT TO:<c@d.example>\r\n", "503 5.5.1 MAIL first\r\n");
	say("MAIL FROM:<a@b.example>\r\n", "503 5.5.1 EHLO or HELO first\r\n");
	say("EHLO again\r\n", "250 ENHANCEDSTATUSCODES\r\n");
	assert_false(has("STARTTLS"));
	say("STARTTLS\r\n", "500 5.5.1 Command not recognised\r\n");
	say("MAIL FROM:<a@b.example>\r\nRCPT TO:<c@d.example>\r\nDATA\r\n",
	    "354 End with a dot on a line of its own\r\n");
	say("x\r\n.\r\n", "250 2.0.0 queued as 0000000001\r\n");
	assert_string_equal(buf_cstr(&t.rig.seen), "<a@b.example> <c@d.example> \n");
	assert_non_null(strstr(buf_cstr(&t.rig.message),
			       "Received: from again ([192.0.2.1])\r\n\t(TLSv1.3 "
			       "TLS_AES_256_GCM_SHA384)\r\n\tby relay.example with ESMTPS id "
			       "0000000001;\r\n"));
	assert_int_equal(smtpin_stats(t.rig.in)->secured, 1);
	say("QUIT\r\n", "221 2.0.0 relay.example says goodbye\r\n");
	tear_down();
}

/* What comes in the same packet as STARTTLS is never run, in the clear or under TLS. */
static void injection(void **state)
{
	(void)state;
	set_up(SMTPIN_TLS_STARTTLS);
	connect_client();
	say("EHLO me\r\n", "250 ENHANCEDSTATUSCODES\r\n");
	say("STARTTLS\r\nMAIL FROM:<evil@x.example>\r\n", "421 4.7.0 Closing the connection\r\n");
	assert_true(has("554 5.5.1 Nothing may follow STARTTLS before its reply\r\n"));
	assert_false(has("220"));
	assert_false(has("250 2.1.0"));
	for (int i = 0; i < ROUNDS && !t.closed; i++)
		loop_advance(t.rig.loop, 1);
	assert_true(t.closed);
	tear_down();
}

static void implicit(void **state)
{
	(void)state;
	set_up(SMTPIN_TLS_IMPLICIT);
	connect_client();
	shake_hands();
	expect("220 relay.example ESMTP\r\n");
	say("EHLO me\r\n", "250 ENHANCEDSTATUSCODES\r\n");
	assert_false(has("STARTTLS"));
	/* a client that says its name twice, and one that goes on with HELO */
	say("HELO me\r\nMAIL FROM:<a@b.example>\r\nRCPT TO:<c@d.example>\r\nDATA\r\n",
	    "354 End with a dot on a line of its own\r\n");
	say("x\r\n.\r\n", "250 2.0.0 queued as 0000000001\r\n");
	assert_non_null(strstr(buf_cstr(&t.rig.message), "with SMTP id"));
	/* the end of the service reaches it through TLS */
	buf_reset(&t.got);
	smtpin_drain(t.rig.in, 1000);
	expect("421 4.3.2 Service is shutting down\r\n");
	tear_down();
}

static void handshakes_that_fail(void **state)
{
	(void)state;
	set_up(SMTPIN_TLS_IMPLICIT);
	/* SMTP where TLS is spoken */
	connect_client();
	assert_true(stream_write(t.client, "EHLO me\r\n", 9));
	for (int i = 0; i < ROUNDS && !t.closed; i++)
		loop_advance(t.rig.loop, 1);
	assert_true(t.closed);
	assert_false(has("220"));
	assert_int_equal(smtpin_stats(t.rig.in)->secure_failed, 1);
	/* silence */
	connect_client();
	loop_advance(t.rig.loop, 59000);
	assert_int_equal(smtpin_connections(t.rig.in), 1);
	loop_advance(t.rig.loop, 2000);
	loop_advance(t.rig.loop, 0);
	assert_int_equal(smtpin_connections(t.rig.in), 0);
	assert_int_equal(smtpin_stats(t.rig.in)->secure_failed, 2);
	/* gone in the middle */
	connect_client();
	stream_free(&t.client);
	for (int i = 0; i < 10; i++)
		loop_advance(t.rig.loop, 1);
	assert_int_equal(smtpin_connections(t.rig.in), 0);
	assert_int_equal(smtpin_stats(t.rig.in)->secure_failed, 3);
	tear_down();
}

/* A balancer's header in front of the handshake; not a byte of the latter is taken with it. */
static void behind_a_balancer(void **state)
{
	static const char header[] = "PROXY TCP4 203.0.113.7 198.51.100.9 56324 465\r\n";
	struct ipnet trusted;

	(void)state;
	set_up(SMTPIN_TLS_IMPLICIT);
	assert_true(ipnet_parse(STR("192.0.2.0/24"), &trusted, NULL) >= 0);
	t.rig.rules.proxies = &trusted;
	t.rig.rules.n_proxies = 1;
	connect_client();
	assert_true(stream_write(t.client, header, sizeof(header) - 1));
	shake_hands();
	expect("220 relay.example ESMTP\r\n");
	say("EHLO me\r\n", "250 ENHANCEDSTATUSCODES\r\n");
	assert_true(has("greets [203.0.113.7]"));
	tear_down();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(starttls),	     cmocka_unit_test(injection),
		cmocka_unit_test(implicit),	     cmocka_unit_test(handshakes_that_fail),
		cmocka_unit_test(behind_a_balancer),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
