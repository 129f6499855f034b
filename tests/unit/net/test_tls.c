/*
 * Streams that turn to TLS: both ends in one loop, over a socketpair.
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

#include "base/buf.h"
#include "base/mem.h"
#include "lib/certs.h"
#include "net/stream.h"
#include "net/tls.h"

#define HOST "mx.example.net"
#define BIG ((size_t)3 * 1024 * 1024)

struct end {
	struct stream *stream;
	struct buf got;
	struct err err;
	unsigned secured;
	unsigned closes;
	bool upgrade; /* the server: turns to TLS at "STARTTLS\r\n" */
	size_t left;  /* bytes behind it */
};

static struct {
	struct loop *loop;
	char dir[64];
	struct certs certs;
	struct tls_server *server;
	struct tls_client *client;
	struct end a; /* client */
	struct end b; /* server */
	struct loop_timer *limit;
} t;

static void done_when(void)
{
	loop_stop(t.loop);
}

static size_t on_data(void *arg, struct str in)
{
	static const struct str verb = { "STARTTLS\r\n", 10 };
	struct end *e = arg;

	if (e->upgrade && str_starts(in, verb)) {
		e->upgrade = false;
		e->left = in.n - verb.n;
		(void)stream_printf(e->stream, "220 go\r\n");
		stream_tls_accept(e->stream, t.server);
		return verb.n;
	}
	(void)buf_put(&e->got, in.p, in.n);
	done_when();
	return in.n;
}

static void on_closed(void *arg, const struct err *err)
{
	struct end *e = arg;

	e->closes++;
	e->err = *err;
	done_when();
}

static void on_secure(void *arg)
{
	((struct end *)arg)->secured++;
	done_when();
}

static const struct stream_ops ops = { .name = "test",
				       .out_limit = 2 * BIG,
				       .on_data = on_data,
				       .on_closed = on_closed,
				       .on_secure = on_secure };

static void on_limit(void *arg)
{
	(void)arg;
	fail_msg("nothing happened for ten seconds");
}

/* Runs the loop until `cond`. */
#define RUN_UNTIL(cond)                                                                            \
	do {                                                                                       \
		loop_timer_set(t.limit, 10000);                                                    \
		while (!(cond))                                                                    \
			loop_run(t.loop);                                                          \
	} while (0)

static void set_up(long valid_s)
{
	struct err err = ERR_INIT;
	int fd[2];

	memset(&t, 0, sizeof(t));
	t.loop = loop_new();
	t.limit = loop_timer_new(t.loop, "limit", on_limit, NULL);
	(void)snprintf(t.dir, sizeof(t.dir), "/tmp/weir-tls.XXXXXX");
	assert_non_null(mkdtemp(t.dir));
	certs_make(t.dir, HOST, valid_s, &t.certs);
	assert_true(tls_server_new(t.certs.certificate, t.certs.key, &t.server, &err) >= 0);
	assert_true(tls_client_new(t.certs.authority, &t.client, &err) >= 0);
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, fd), 0);
	t.a.got = t.b.got = BUF_INIT(2 * BIG);
	t.a.stream = stream_new(t.loop, fd[0], &ops, &t.a);
	t.b.stream = stream_new(t.loop, fd[1], &ops, &t.b);
}

static void tear_down(void)
{
	stream_free(&t.a.stream);
	stream_free(&t.b.stream);
	buf_done(&t.a.got);
	buf_done(&t.b.got);
	tls_server_free(&t.server);
	tls_client_free(&t.client);
	loop_timer_free(&t.limit);
	loop_free(&t.loop);
	(void)unlink(t.certs.authority);
	(void)unlink(t.certs.certificate);
	(void)unlink(t.certs.key);
	(void)rmdir(t.dir);
}

/* The client says STARTTLS, reads the answer in the clear and begins. */
static void start(const struct tls_peer *peer)
{
	t.b.upgrade = true;
	(void)stream_printf(t.a.stream, "STARTTLS\r\n");
	RUN_UNTIL(t.a.got.n == 8);
	assert_memory_equal(t.a.got.p, "220 go\r\n", 8);
	buf_reset(&t.a.got);
	stream_tls_connect(t.a.stream, t.client, peer);
	RUN_UNTIL((t.a.secured > 0 && t.b.secured > 0) || t.a.closes + t.b.closes > 0);
}

static void test_upgrade_and_talk(void **state)
{
	struct tls_facts facts;
	AUTO_FREE char *big = xmalloc(BIG);

	(void)state;
	set_up(3600);
	for (size_t i = 0; i < BIG; i++)
		big[i] = (char)(i * 7);
	assert_false(stream_tls_facts(t.a.stream, &facts));
	start(&(struct tls_peer){ .host = HOST });
	assert_int_equal(t.a.secured + t.b.secured, 2);
	assert_true(stream_tls_facts(t.a.stream, &facts));
	assert_true(facts.verified);
	assert_false(facts.dane);
	assert_string_equal(facts.protocol, "TLSv1.3");
	assert_true(facts.cipher[0] != '\0');
	/* much more than a record and a socket's buffer, both ways at once */
	assert_true(stream_write(t.a.stream, big, BIG));
	assert_true(stream_write(t.b.stream, big, BIG));
	RUN_UNTIL(t.a.got.n == BIG && t.b.got.n == BIG);
	assert_memory_equal(t.a.got.p, big, BIG);
	assert_memory_equal(t.b.got.p, big, BIG);
	stream_close(t.a.stream, 0);
	RUN_UNTIL(t.b.closes > 0 && t.a.closes > 0);
	assert_int_equal(t.b.err.code, ERR_CLOSED);
	assert_int_equal(t.a.err.code, ERR_NONE);
	tear_down();
}

static void test_paused_reader_gets_all(void **state)
{
	AUTO_FREE char *big = xcalloc(1, BIG);

	(void)state;
	set_up(3600);
	start(&(struct tls_peer){ .host = HOST });
	stream_pause(t.b.stream, true);
	assert_true(stream_write(t.a.stream, big, 200000));
	/* a pause in the middle of a record leaves bytes where the descriptor does not tell of them
	 */
	stream_pause(t.b.stream, false);
	RUN_UNTIL(t.b.got.n > 0);
	stream_pause(t.b.stream, true);
	stream_pause(t.b.stream, false);
	RUN_UNTIL(t.b.got.n == 200000);
	tear_down();
}

static void test_injected_commands_are_dropped(void **state)
{
	(void)state;
	set_up(3600);
	t.b.upgrade = true;
	(void)stream_printf(t.a.stream, "STARTTLS\r\nMAIL FROM:<evil@example.org>\r\n");
	RUN_UNTIL(t.a.got.n == 8);
	assert_int_equal(t.b.left, 30);
	stream_tls_connect(t.a.stream, t.client, &(struct tls_peer){ .host = HOST });
	RUN_UNTIL(t.a.secured > 0 && t.b.secured > 0);
	(void)stream_printf(t.a.stream, "EHLO me\r\n");
	RUN_UNTIL(t.b.got.n > 0);
	assert_int_equal(t.b.got.n, 9);
	assert_memory_equal(t.b.got.p, "EHLO me\r\n", 9);
	tear_down();
}

static void test_what_the_client_sees(void **state)
{
	static const char *const names[] = { HOST };
	uint8_t wrong[32] = { 1 };
	struct tls_tlsa right = { 3, 1, 1, t.certs.spki_sha256, 32 };
	struct tls_tlsa other = { 3, 1, 1, wrong, 32 };
	static const struct {
		const char *name;
		const char *host;
		long valid_s;
		bool names;
		int tlsa; /* 1 right, 2 wrong */
		bool verified;
		bool dane;
	} cases[] = {
		{ "the name fits", HOST, 3600, false, 0, true, false },
		{ "another name", "mx.example.org", 3600, false, 0, false, false },
		{ "another name that is allowed", "mx.example.org", 3600, true, 0, true, false },
		{ "no longer valid", HOST, -3600, false, 0, false, false },
		{ "DANE", HOST, 3600, false, 1, true, true },
		{ "DANE asks for no name and no date", "mx.example.org", -3600, false, 1, true,
		  true },
		{ "DANE with another key", HOST, 3600, false, 2, false, false },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct tls_facts facts = { .verified = false };

		set_up(cases[i].valid_s);
		right.data = t.certs.spki_sha256;
		start(&(struct tls_peer){ .host = cases[i].host,
					  .names = names,
					  .names_n = cases[i].names ? 1 : 0,
					  .tlsa = cases[i].tlsa == 1 ? &right : &other,
					  .tlsa_n = cases[i].tlsa != 0 ? 1 : 0 });
		if (!stream_tls_facts(t.a.stream, &facts))
			fail_msg("%s: no session: %s", cases[i].name, t.a.err.msg);
		if (facts.verified != cases[i].verified || facts.dane != cases[i].dane)
			fail_msg("%s: verified %d, dane %d, %s", cases[i].name, facts.verified,
				 facts.dane, facts.why);
		assert_true(facts.verified || facts.why[0] != '\0');
		tear_down();
	}
}

static void test_garbage_instead_of_a_handshake(void **state)
{
	(void)state;
	set_up(3600);
	stream_tls_accept(t.b.stream, t.server);
	(void)stream_printf(t.a.stream, "EHLO me\r\nMAIL FROM:<a@example.org>\r\n");
	RUN_UNTIL(t.b.closes > 0);
	assert_int_equal(t.b.err.code, ERR_TLS);
	assert_non_null(strstr(t.b.err.msg, "TLS handshake"));
	tear_down();
}

static void test_the_other_side_goes_in_the_handshake(void **state)
{
	(void)state;
	set_up(3600);
	stream_tls_connect(t.a.stream, t.client, &(struct tls_peer){ .host = HOST });
	RUN_UNTIL(t.b.got.n > 0);
	stream_free(&t.b.stream);
	RUN_UNTIL(t.a.closes > 0);
	assert_int_equal(t.a.err.code, ERR_TLS);
	assert_int_equal(t.a.secured, 0);
	tear_down();
}

static void test_close_in_the_handshake(void **state)
{
	(void)state;
	set_up(3600);
	stream_tls_accept(t.b.stream, t.server);
	(void)stream_printf(t.b.stream, "never sent");
	stream_close(t.b.stream, 100);
	RUN_UNTIL(t.a.closes > 0);
	assert_int_equal(t.a.got.n, 0);
	tear_down();
}

static void test_files_that_are_wrong(void **state)
{
	struct tls_server *none = NULL;
	struct tls_client *nobody = NULL;
	struct err err = ERR_INIT;
	char missing[128];

	(void)state;
	set_up(3600);
	(void)snprintf(missing, sizeof(missing), "%s/none.pem", t.dir);
	assert_int_equal(tls_server_new(missing, t.certs.key, &none, &err), -ERR_CONFIG);
	assert_non_null(strstr(err.msg, "No such file"));
	assert_non_null(strstr(err.msg, "none.pem"));
	assert_int_equal(tls_server_new(t.certs.certificate, t.certs.certificate, &none, &err),
			 -ERR_CONFIG);
	assert_non_null(strstr(err.msg, "certificate.pem: no private key"));
	assert_int_equal(tls_server_load(t.server, t.certs.authority, t.certs.key, &err),
			 -ERR_CONFIG);
	assert_non_null(strstr(err.msg, "key"));
	assert_int_equal(tls_client_new(t.certs.key, &nobody, &err), -ERR_CONFIG);
	/* after a reload that failed the old one serves on */
	start(&(struct tls_peer){ .host = HOST });
	assert_int_equal(t.b.secured, 1);
	assert_true(tls_server_expires_ms(t.server) > loop_clock_us() / 1000);
	tear_down();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_upgrade_and_talk),
		cmocka_unit_test(test_paused_reader_gets_all),
		cmocka_unit_test(test_injected_commands_are_dropped),
		cmocka_unit_test(test_what_the_client_sees),
		cmocka_unit_test(test_garbage_instead_of_a_handshake),
		cmocka_unit_test(test_the_other_side_goes_in_the_handshake),
		cmocka_unit_test(test_close_in_the_handshake),
		cmocka_unit_test(test_files_that_are_wrong),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
