/*
 * Policies of MTA-STS by a clock that is told: fetched from a host of our own, kept, renewed,
 * ended.
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

#include "base/buf.h"
#include "base/mem.h"
#include "lib/certs.h"
#include "lib/fake_dns.h"
#include "net/listener.h"
#include "net/stream.h"
#include "net/tls.h"
#include "route/names.h"
#include "route/sts.h"

#define PATIENCE_US 10000000
#define WALL_MS 1790000000000
#define HOUR_MS (3600 * 1000)
#define ANSWERS_MAX 16
#define HEAD "HTTP/1.1 200 Ok\r\nContent-Type: text/plain\r\nConnection: close\r\n\r\n"
#define POLICY HEAD "version: STSv1\nmode: enforce\nmx: mx.a.test\nmax_age: 86400\n"

static const struct fake_dns_row first[] = {
	FAKE_DNS_RR("_mta-sts.a.test", "TXT", "v=STSv1; id=1;"),
	FAKE_DNS_RR("mta-sts.a.test", "A", "127.0.0.1"),
	FAKE_DNS_RR("_mta-sts.two.test", "TXT", "v=STSv1; id=1;"),
	FAKE_DNS_RR("_mta-sts.two.test", "TXT", "v=STSv1; id=2;"),
	FAKE_DNS_RR("_mta-sts.nowhere.test", "TXT", "v=STSv1; id=1;"),
	FAKE_DNS_RR("_mta-sts.private.test", "TXT", "v=STSv1; id=1;"),
	FAKE_DNS_RR("mta-sts.private.test", "A", "10.0.0.1"),
	FAKE_DNS_ACT("_mta-sts.sick.test", FAKE_DNS_SERVFAIL),
};
static const struct fake_dns_row second[] = {
	FAKE_DNS_RR("_mta-sts.a.test", "TXT", "v=STSv1; id=2;"),
	FAKE_DNS_RR("mta-sts.a.test", "A", "127.0.0.1"),
};
static const struct fake_dns_row vanished[] = {
	FAKE_DNS_RR("a.test", "A", "127.0.0.1"),
};

struct visit {
	struct stream *stream;
	bool used;
};

static struct {
	struct loop *loop;
	struct fake_dns *dns_server;
	struct dns *dns;
	struct names *names;
	struct listener *listener;
	struct visit visits[ANSWERS_MAX];
	char dir[64];
	struct certs certs;
	struct tls_server *server;
	struct tls_client *client;
	struct sts *sts;
	struct ipnet avoid;
	const char *says; /* to the next visitors */
	unsigned visitors;
	char request[512]; /* the last one */
	unsigned got;
	char said[300];	 /* the last facts */
	char kept[1024]; /* the last thing that was to be stored; "" for nothing */
	unsigned keeps;
} t;

static void on_secure(void *arg)
{
	(void)arg;
}

static size_t on_data(void *arg, struct str in)
{
	struct visit *v = arg;

	if (in.n < 4 || memcmp(in.p + in.n - 4, "\r\n\r\n", 4) != 0)
		return 0;
	t.visitors++;
	(void)snprintf(t.request, sizeof(t.request), "%.*s", STR_ARG(in));
	(void)stream_write(v->stream, t.says, strlen(t.says));
	stream_close(v->stream, 0);
	return in.n;
}

static void on_closed(void *arg, const struct err *err)
{
	struct visit *v = arg;

	(void)err;
	stream_free(&v->stream);
	v->used = false;
}

static const struct stream_ops ops = {
	.name = "policy host", .on_data = on_data, .on_closed = on_closed, .on_secure = on_secure
};

static bool on_visitor(int fd, const struct netaddr *peer, void *arg)
{
	struct visit *v = t.visits;

	(void)peer;
	(void)arg;
	while (v->used)
		v++;
	v->used = true;
	v->stream = stream_new(t.loop, fd, &ops, v);
	stream_tls_accept(v->stream, t.server);
	return true;
}

static void keep(void *arg, const char *domain, const char *json)
{
	(void)arg;
	assert_string_equal(domain, "a.test");
	t.keeps++;
	(void)snprintf(t.kept, sizeof(t.kept), "%s", json != NULL ? json : "");
}

static void open_sts(void)
{
	t.sts = sts_new(t.loop, t.names,
			&(struct sts_config){ .trust = t.client,
					      .port = listener_address(t.listener).port,
					      .keep = keep,
					      .avoid = &t.avoid,
					      .avoid_n = 1 });
}

static int open_rig(void **state)
{
	struct netaddr at;
	struct dns_config cfg = { .servers_n = 1 };
	const char *server;

	(void)state;
	memset(&t, 0, sizeof(t));
	t.loop = loop_new();
	loop_fake_clock(t.loop, WALL_MS);
	t.dns_server = fake_dns_new(t.loop, first, ARRAY_LEN(first));
	server = fake_dns_address(t.dns_server);
	cfg.servers = &server;
	assert_int_equal(dns_new(t.loop, &cfg, &t.dns, NULL), 0);
	t.names = names_new(t.loop, t.dns, "relay.test", 0);
	(void)snprintf(t.dir, sizeof(t.dir), "/tmp/weir-sts.XXXXXX");
	assert_non_null(mkdtemp(t.dir));
	certs_make(t.dir, "mta-sts.a.test", 3600, &t.certs);
	assert_int_equal(tls_server_new(t.certs.certificate, t.certs.key, &t.server, NULL), 0);
	assert_int_equal(tls_client_new(t.certs.authority, &t.client, NULL), 0);
	assert_int_equal(netaddr_parse(STR("127.0.0.1:0"), &at, NULL), 0);
	assert_int_equal(listener_new(t.loop, &at, on_visitor, NULL, &t.listener, NULL), 0);
	assert_int_equal(ipnet_parse(STR("10.0.0.0/8"), &t.avoid, NULL), 0);
	open_sts();
	t.says = POLICY;
	return 0;
}

static int close_rig(void **state)
{
	const char *files[] = { t.certs.authority, t.certs.certificate, t.certs.key };

	(void)state;
	sts_free(&t.sts);
	names_free(&t.names);
	dns_free(&t.dns);
	fake_dns_free(&t.dns_server);
	for (size_t i = 0; i < ANSWERS_MAX; i++)
		stream_free(&t.visits[i].stream);
	listener_free(&t.listener);
	tls_client_free(&t.client);
	tls_server_free(&t.server);
	loop_free(&t.loop);
	for (size_t i = 0; i < ARRAY_LEN(files); i++)
		(void)unlink(files[i]);
	(void)rmdir(t.dir);
	return 0;
}

/* "enforce", "none: TROUBLE"; when it comes, for what is fetched behind the scenes may be quick. */
static void note(const struct sts_ref *ref)
{
	struct sts_facts f;

	assert_true(sts_facts(ref, &f));
	if (f.policy == NULL)
		(void)snprintf(t.said, sizeof(t.said), "none: %s", f.trouble);
	else
		(void)snprintf(t.said, sizeof(t.said), "%s", sts_mode_name(f.policy->mode));
}

static void on_facts(void *arg)
{
	t.got++;
	note(arg);
}

/* Turns the loop until so many came, of whatever is counted. */
static void await(const unsigned *count, unsigned n)
{
	int64_t end = loop_clock_us() + PATIENCE_US;

	while (*count < n) {
		loop_advance(t.loop, 0);
		if (loop_clock_us() > end)
			fail_msg("nothing comes");
	}
}

static const char *ask(const char *domain)
{
	struct sts_ref ref;

	sts_get(t.sts, domain, &ref, on_facts, &ref);
	if (ref.waits)
		await(&t.got, t.got + 1);
	else
		note(&ref);
	sts_put(&ref);
	return t.said;
}

static void later(int64_t ms)
{
	loop_advance(t.loop, ms);
	names_forget_all(t.names); /* DNS does not stand in the way */
}

static void test_fetch(void **state)
{
	(void)state;
	assert_string_equal(ask("a.test"), "enforce");
	assert_non_null(strstr(t.request, "GET /.well-known/mta-sts.txt HTTP/1.1\r\n"));
	assert_non_null(strstr(t.request, "Host: mta-sts.a.test:"));
	assert_int_equal(t.keeps, 1);
	assert_string_equal(ask("a.test"), "enforce");
	assert_int_equal(t.visitors, 1);
}

static void test_without(void **state)
{
	static const struct {
		const char *domain;
		const char *said;
	} cases[] = {
		{ "none.test", "none: " },
		{ "two.test", "none: the record at _mta-sts.two.test is wrong" },
		{ "sick.test", "none: DNS lookup of _mta-sts.sick.test: the name server failed "
			       "(SERVFAIL)" },
		{ "nowhere.test", "none: mta-sts.nowhere.test, which has its policy, has no "
				  "address that can be used" },
		{ "private.test", "none: mta-sts.private.test, which has its policy, has no "
				  "address that can be used" },
	};

	(void)state;
	for (int again = 0; again < 2; again++)
		for (size_t i = 0; i < ARRAY_LEN(cases); i++)
			assert_string_equal(ask(cases[i].domain), cases[i].said);
	assert_int_equal(t.visitors + t.keeps, 0);
}

/* Nobody is asked again at once after a failure; after a while it is mended. */
static void test_failure(void **state)
{
	(void)state;
	t.says = "HTTP/1.1 503 Later\r\nContent-Length: 0\r\n\r\n";
	assert_string_equal(ask("a.test"), "none: https://mta-sts.a.test answers with status 503");
	t.says = POLICY;
	assert_string_equal(ask("a.test"), "none: https://mta-sts.a.test answers with status 503");
	later((STS_AGAIN_S - 1) * 1000);
	assert_int_equal(t.visitors, 1);
	later(2000);
	assert_string_equal(ask("a.test"), "enforce");
	t.says = HEAD "no policy";
	fake_dns_rows(t.dns_server, second, ARRAY_LEN(second));
	later((STS_CHECK_S + 1) * 1000);
	assert_string_equal(ask("a.test"), "enforce"); /* the old one still holds */
	assert_int_equal(t.visitors, 3);
	t.says = HEAD "version: STSv1\nmode: none\nmax_age: 86400\n";
	sts_forget(t.sts, "a.test"); /* somebody mended it, and says so */
	names_forget_all(t.names);
	assert_string_equal(ask("a.test"), "none");
}

/* What holds is used while it is fetched anew, behind the scenes. */
static void test_renewal(void **state)
{
	(void)state;
	assert_string_equal(ask("a.test"), "enforce");
	later(6 * HOUR_MS);
	assert_string_equal(ask("a.test"), "enforce");
	assert_int_equal(t.visitors, 1);
	t.says = HEAD "version: STSv1\nmode: testing\nmx: mx.a.test\nmax_age: 86400\n";
	later(7 * HOUR_MS); /* more than half of max_age */
	assert_string_equal(ask("a.test"), "enforce");
	await(&t.keeps, 2);
	assert_string_equal(ask("a.test"), "testing");
	assert_int_equal(t.visitors, 2);
}

/* To the end of its time, and no longer. */
static void test_end(void **state)
{
	(void)state;
	assert_string_equal(ask("a.test"), "enforce");
	fake_dns_rows(t.dns_server, vanished, ARRAY_LEN(vanished));
	later(24 * HOUR_MS - 1000);
	assert_string_equal(ask("a.test"), "enforce");
	assert_int_equal(t.keeps, 1);
	loop_advance(t.loop, 2000); /* the record was looked at just now */
	assert_string_equal(ask("a.test"), "none: ");
	later((STS_CHECK_S + 1) * 1000);
	assert_string_equal(ask("a.test"), "none: ");
	assert_int_equal(t.keeps, 2);
	assert_string_equal(t.kept, "");
}

static void test_restart(void **state)
{
	char *kept;

	(void)state;
	assert_string_equal(ask("a.test"), "enforce");
	kept = xstrdup(t.kept);
	fake_dns_rows(t.dns_server, vanished, ARRAY_LEN(vanished));
	sts_free(&t.sts);
	open_sts();
	names_forget_all(t.names);
	assert_int_equal(sts_load(t.sts, "a.test", kept, NULL), 0);
	assert_string_equal(ask("a.test"), "enforce");
	assert_int_equal(sts_load(t.sts, "b.test", "{}", NULL), -ERR_CORRUPT);
	assert_int_equal(sts_load(t.sts, "b.test", "what", NULL), -ERR_CORRUPT);
	sts_free(&t.sts);
	loop_advance(t.loop, 24 * HOUR_MS);
	open_sts();
	assert_int_equal(sts_load(t.sts, "a.test", kept, NULL), 0);
	assert_string_equal(t.kept, ""); /* it ended meanwhile: it need not be stored any more */
	free(kept);
}

/* Who leaves is not called; the others are. */
static void test_waiters(void **state)
{
	struct sts_ref one, two;

	(void)state;
	sts_get(t.sts, "a.test", &one, on_facts, &one);
	sts_get(t.sts, "a.test", &two, on_facts, &two);
	assert_true(one.waits && two.waits);
	sts_put(&one);
	await(&t.got, 1);
	loop_advance(t.loop, 1000);
	assert_int_equal(t.got, 1);
	assert_int_equal(t.visitors, 1);
	sts_put(&two);
	/* and the end may come in the middle of a fetch */
	fake_dns_rows(t.dns_server, second, ARRAY_LEN(second));
	later((STS_CHECK_S + 1) * 1000);
	sts_get(t.sts, "a.test", &one, on_facts, &one);
	assert_true(one.waits);
	sts_put(&one);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_fetch, open_rig, close_rig),
		cmocka_unit_test_setup_teardown(test_without, open_rig, close_rig),
		cmocka_unit_test_setup_teardown(test_failure, open_rig, close_rig),
		cmocka_unit_test_setup_teardown(test_renewal, open_rig, close_rig),
		cmocka_unit_test_setup_teardown(test_end, open_rig, close_rig),
		cmocka_unit_test_setup_teardown(test_restart, open_rig, close_rig),
		cmocka_unit_test_setup_teardown(test_waiters, open_rig, close_rig),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
