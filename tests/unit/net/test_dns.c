/*
 * Questions to a name server that says what a table tells it to, well or badly. Time is real here:
 * c-ares keeps its own.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/mem.h"
#include "lib/fake_dns.h"
#include "net/dns.h"
#include "net/dns_parse.h"

#define PATIENCE_MS 20000
#define TIMEOUT_MS 40
#define TRIES 2
#define MANY 300
#define SPINS 50
#define LABEL63 "a23456789b123456789c123456789d123456789e123456789f123456789g123"

static const struct fake_dns_row rows[] = {
	FAKE_DNS_RR("a.test", "MX", "10 MX1.a.test", .ttl_s = 600),
	FAKE_DNS_RR("a.test", "MX", "20 mx2.a.test", .ttl_s = 60),
	FAKE_DNS_RR("mx1.a.test", "A", "192.0.2.1"),
	FAKE_DNS_RR("mx1.a.test", "A", "192.0.2.2"),
	FAKE_DNS_RR("mx1.a.test", "AAAA", "2001:db8::1"),
	FAKE_DNS_RR("null.test", "MX", "0 ."),
	FAKE_DNS_RR("text.test", "TXT", "v=spf1 a |-all"),
	FAKE_DNS_RR("text.test", "TXT", "other"),
	FAKE_DNS_RR("text-alias.test", "CNAME", "text.test"),
	FAKE_DNS_RR("7.2.0.192.in-addr.arpa", "PTR", "Relay.Example.test"),
	FAKE_DNS_RR("alias.test", "CNAME", "next.test", .ttl_s = 30),
	FAKE_DNS_RR("next.test", "CNAME", "a.test", .ttl_s = 40),
	FAKE_DNS_RR("alone.test", "CNAME", "lonely.test", .ttl_s = 5, .act = FAKE_DNS_ALIAS_ALONE),
	FAKE_DNS_RR("lonely.test", "CNAME", "a.test", .act = FAKE_DNS_ALIAS_ALONE),
	FAKE_DNS_RR("dangling.test", "CNAME", "nobody.test"),
	FAKE_DNS_RR("empty-alias.test", "CNAME", "mx1.a.test"),
	FAKE_DNS_RR("loop1.test", "CNAME", "loop2.test"),
	FAKE_DNS_RR("loop2.test", "CNAME", "loop1.test"),
	FAKE_DNS_RR("slow-loop1.test", "CNAME", "slow-loop2.test", .act = FAKE_DNS_ALIAS_ALONE),
	FAKE_DNS_RR("slow-loop2.test", "CNAME", "slow-loop1.test", .act = FAKE_DNS_ALIAS_ALONE),
	FAKE_DNS_ACT("servfail.test", FAKE_DNS_SERVFAIL),
	FAKE_DNS_ACT("refused.test", FAKE_DNS_REFUSED),
	FAKE_DNS_ACT("silent.test", FAKE_DNS_SILENT),
	FAKE_DNS_ACT("garbage.test", FAKE_DNS_GARBAGE),
	FAKE_DNS_RR("big.test", "A", "192.0.2.3", .act = FAKE_DNS_TRUNCATE),
	FAKE_DNS_RR("wrong-id.test", "A", "192.0.2.4", .act = FAKE_DNS_WRONG_ID),
	FAKE_DNS_RR("wrong-name.test", "A", "192.0.2.5", .act = FAKE_DNS_WRONG_QUESTION),
	FAKE_DNS_RR("others.test", "A", "192.0.2.6", .act = FAKE_DNS_OTHER_OWNER),
	FAKE_DNS_RR("old1.test", "A", "192.0.2.8", .act = FAKE_DNS_NO_EDNS),
	FAKE_DNS_RR("old2.test", "A", "192.0.2.9", .act = FAKE_DNS_NO_EDNS),
	FAKE_DNS_RR("signed.test", "A", "192.0.2.7", .secure = true),
	FAKE_DNS_RR("signed.test", "TLSA", "3 1 1 004142", .secure = true),
	FAKE_DNS_RR("signed-alias.test", "CNAME", "signed.test", .secure = true),
	FAKE_DNS_RR("half-signed.test", "CNAME", "signed.test"),
	FAKE_DNS_RR("chain.test", "CNAME", "half-signed.test", .secure = true,
		    .act = FAKE_DNS_ALIAS_ALONE),
	FAKE_DNS_RR("last-unsigned.test", "CNAME", "mx1.a.test", .secure = true,
		    .act = FAKE_DNS_ALIAS_ALONE),
};

struct rig {
	struct loop *loop;
	struct fake_dns *server;
	struct fake_dns *second;
	struct dns *dns;
	struct loop_timer *patience;
	unsigned wanted; /* answers until the loop stops */
	unsigned got;
	bool asking;
	/* of the last answer */
	enum dns_status status;
	bool secure;
	uint32_t ttl_s;
	uint8_t data[16]; /* of its first record */
	size_t data_n;
	char said[512]; /* trouble, or name and records */
	size_t records_n;
};

static void on_answer(void *arg, const struct dns_answer *a)
{
	struct rig *r = arg;
	size_t n = 0;

	assert_false(r->asking);
	r->got++;
	r->status = a->status;
	r->ttl_s = a->ttl_s;
	r->secure = a->secure;
	if (a->records_n > 0 && a->records[0].text.p != NULL) {
		r->data_n = a->records[0].text.n < sizeof(r->data) ? a->records[0].text.n
								   : sizeof(r->data);
		memcpy(r->data, a->records[0].text.p, r->data_n);
	}
	r->records_n = a->records_n;
	n += (size_t)snprintf(r->said, sizeof(r->said), "%s",
			      a->status == DNS_TROUBLE ? a->trouble : a->name);
	for (size_t i = 0; i < a->records_n && i < 4; i++) {
		char ip[IPADDR_TEXT_LEN];
		if (a->records[i].text.p != NULL) {
			n += (size_t)snprintf(r->said + n, sizeof(r->said) - n, " [%.*s]",
					      STR_ARG(a->records[i].text));
		} else if (a->records[i].host != NULL && a->records[i].preference == 0 &&
			   a->records[i].host[0] != '\0') {
			n += (size_t)snprintf(r->said + n, sizeof(r->said) - n, " %s",
					      a->records[i].host);
		} else if (a->records[i].host != NULL) {
			n += (size_t)snprintf(r->said + n, sizeof(r->said) - n, " %u=%s",
					      (unsigned)a->records[i].preference,
					      a->records[i].host);
		} else {
			ipaddr_text(&a->records[i].ip, ip);
			n += (size_t)snprintf(r->said + n, sizeof(r->said) - n, " %s", ip);
		}
	}
	if (r->got == r->wanted)
		loop_stop(r->loop);
}

static void on_impatience(void *arg)
{
	(void)arg;
	fail_msg("no answer");
}

static void open_trusting(struct rig *r, size_t servers, int64_t timeout_ms, enum dns_trust trust)
{
	struct dns_config cfg = { .timeout_ms = timeout_ms, .tries = TRIES, .trust = trust };
	const char *list[2];
	struct err err = ERR_INIT;

	memset(r, 0, sizeof(*r));
	r->loop = loop_new();
	r->server = fake_dns_new(r->loop, rows, ARRAY_LEN(rows));
	list[0] = fake_dns_address(r->server);
	if (servers > 1) {
		r->second = fake_dns_new(r->loop, rows, ARRAY_LEN(rows));
		list[1] = fake_dns_address(r->second);
	}
	cfg.servers = list;
	cfg.servers_n = servers;
	if (dns_new(r->loop, &cfg, &r->dns, &err) < 0)
		fail_msg("%s", err.msg);
	r->patience = loop_timer_new(r->loop, "patience", on_impatience, NULL);
	loop_timer_set(r->patience, PATIENCE_MS);
}

static void open_rig(struct rig *r, size_t servers, int64_t timeout_ms)
{
	open_trusting(r, servers, timeout_ms, DNS_TRUST_AUTO);
}

static void close_rig(struct rig *r)
{
	dns_free(&r->dns);
	fake_dns_free(&r->server);
	fake_dns_free(&r->second);
	loop_timer_free(&r->patience);
	loop_free(&r->loop);
}

static uint64_t ask(struct rig *r, const char *name, enum dns_type type)
{
	uint64_t id;

	r->asking = true;
	id = dns_ask(r->dns, name, type, on_answer, r);
	r->asking = false;
	assert_true(id != 0);
	return id;
}

/* Until so many more answers came. */
static void await(struct rig *r, unsigned n)
{
	r->wanted = r->got + n;
	loop_run(r->loop);
	assert_int_equal(r->got, r->wanted);
}

static void stop(void *arg)
{
	loop_stop(arg);
}

/* Some turns of the loop, enough for all that can happen at once. */
static void spin(struct rig *r)
{
	for (int i = 0; i < SPINS; i++) {
		loop_post(r->loop, stop, r->loop);
		loop_run(r->loop);
	}
}

static void test_answers(void **state)
{
	static const struct {
		const char *name;
		enum dns_type type;
		enum dns_status status;
		const char *said;
		uint32_t ttl_s;
	} cases[] = {
		{ "a.test", DNS_TYPE_MX, DNS_OK, "a.test 10=mx1.a.test 20=mx2.a.test", 60 },
		{ "A.Test", DNS_TYPE_MX, DNS_OK, "a.test 10=mx1.a.test 20=mx2.a.test", 60 },
		{ "mx1.a.test", DNS_TYPE_A, DNS_OK, "mx1.a.test 192.0.2.1 192.0.2.2", 300 },
		{ "mx1.a.test", DNS_TYPE_AAAA, DNS_OK, "mx1.a.test 2001:db8::1", 300 },
		{ "mx1.a.test", DNS_TYPE_MX, DNS_NODATA, "mx1.a.test", 0 },
		{ "null.test", DNS_TYPE_MX, DNS_OK, "null.test 0=", 300 },
		{ "text.test", DNS_TYPE_TXT, DNS_OK, "text.test [v=spf1 a -all] [other]", 300 },
		{ "text-alias.test", DNS_TYPE_TXT, DNS_OK, "text.test [v=spf1 a -all] [other]",
		  300 },
		{ "a.test", DNS_TYPE_TXT, DNS_NODATA, "a.test", 0 },
		{ "7.2.0.192.in-addr.arpa", DNS_TYPE_PTR, DNS_OK,
		  "7.2.0.192.in-addr.arpa relay.example.test", 300 },
		{ "nobody.test", DNS_TYPE_MX, DNS_NXDOMAIN, "nobody.test", 0 },
		{ "alias.test", DNS_TYPE_MX, DNS_OK, "a.test 10=mx1.a.test 20=mx2.a.test", 30 },
		{ "alone.test", DNS_TYPE_MX, DNS_OK, "a.test 10=mx1.a.test 20=mx2.a.test", 5 },
		{ "dangling.test", DNS_TYPE_MX, DNS_NXDOMAIN, "dangling.test", 0 },
		{ "empty-alias.test", DNS_TYPE_MX, DNS_NODATA, "mx1.a.test", 0 },
		{ "loop1.test", DNS_TYPE_A, DNS_TROUBLE, "its aliases (CNAME) lead nowhere", 0 },
		{ "slow-loop1.test", DNS_TYPE_A, DNS_TROUBLE, "its aliases (CNAME) lead nowhere",
		  0 },
		{ "servfail.test", DNS_TYPE_A, DNS_TROUBLE, "the name server failed (SERVFAIL)",
		  0 },
		{ "refused.test", DNS_TYPE_A, DNS_TROUBLE, "the name server refused (REFUSED)", 0 },
		{ "silent.test", DNS_TYPE_A, DNS_TROUBLE, "no name server answered in time", 0 },
		{ "garbage.test", DNS_TYPE_A, DNS_TROUBLE,
		  "the name server's answer makes no sense", 0 },
		{ "big.test", DNS_TYPE_A, DNS_OK, "big.test 192.0.2.3", 300 },
		{ "wrong-id.test", DNS_TYPE_A, DNS_OK, "wrong-id.test 192.0.2.4", 300 },
		{ "wrong-name.test", DNS_TYPE_A, DNS_OK, "wrong-name.test 192.0.2.5", 300 },
		{ "others.test", DNS_TYPE_A, DNS_NODATA, "others.test", 0 },
		{ "a..test", DNS_TYPE_A, DNS_NXDOMAIN, "a..test", 0 },
		{ LABEL63 "x.test", DNS_TYPE_A, DNS_NXDOMAIN, LABEL63 "x.test", 0 },
		{ LABEL63 "." LABEL63 "." LABEL63 "." LABEL63 ".test", DNS_TYPE_A, DNS_NXDOMAIN,
		  LABEL63 "." LABEL63 "." LABEL63 "." LABEL63 ".test", 0 },
	};
	struct rig r;

	(void)state;
	open_rig(&r, 1, TIMEOUT_MS);
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		(void)ask(&r, cases[i].name, cases[i].type);
		await(&r, 1);
		if (r.status != cases[i].status || strcmp(r.said, cases[i].said) != 0 ||
		    r.ttl_s != cases[i].ttl_s)
			fail_msg("%s %d: status %d '%s' ttl %u", cases[i].name, (int)cases[i].type,
				 (int)r.status, r.said, (unsigned)r.ttl_s);
	}
	assert_int_equal(fake_dns_asked_tcp(r.server), 1);
	assert_int_equal(fake_dns_asked(r.server, "silent.test"), TRIES);
	/* A failing server that is the only one is not asked again. */
	assert_int_equal(fake_dns_asked(r.server, "servfail.test"), 1);
	close_rig(&r);
}

/* What the server says to be validated is, along the whole chain of aliases, where it is trusted.
 */
static void test_secure(void **state)
{
	static const struct {
		const char *name;
		enum dns_type type;
		bool secure;
	} cases[] = {
		{ "signed.test", DNS_TYPE_A, true },
		{ "signed.test", DNS_TYPE_TLSA, true },
		{ "signed.test", DNS_TYPE_AAAA, true },
		{ "mx1.a.test", DNS_TYPE_A, false },
		{ "signed-alias.test", DNS_TYPE_A, true },
		{ "half-signed.test", DNS_TYPE_A, false },
		{ "chain.test", DNS_TYPE_A, false },
		{ "last-unsigned.test", DNS_TYPE_A, false },
		{ "nobody.test", DNS_TYPE_A, false },
		{ "servfail.test", DNS_TYPE_A, false },
		{ LABEL63 "x.test", DNS_TYPE_A, false },
	};

	(void)state;
	for (int trust = DNS_TRUST_NO; trust <= DNS_TRUST_YES; trust++) {
		struct rig r;
		open_trusting(&r, 1, TIMEOUT_MS, (enum dns_trust)trust);
		assert_int_equal(dns_trusts(r.dns), trust != DNS_TRUST_NO);
		for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
			(void)ask(&r, cases[i].name, cases[i].type);
			await(&r, 1);
			if (r.secure != (cases[i].secure && trust != DNS_TRUST_NO))
				fail_msg("%s is %s with trust %d", cases[i].name,
					 r.secure ? "secure" : "insecure", trust);
		}
		close_rig(&r);
	}
}

static void test_tlsa(void **state)
{
	struct rig r;

	(void)state;
	open_rig(&r, 1, TIMEOUT_MS);
	(void)ask(&r, "signed.test", DNS_TYPE_TLSA);
	await(&r, 1);
	assert_int_equal(r.status, DNS_OK);
	assert_int_equal(r.records_n, 1);
	assert_memory_equal(r.data, "\3\1\1\0AB", 6);
	assert_int_equal(r.data_n, 6);
	close_rig(&r);
}

/* Each server is asked once with EDNS too many. */
static void test_without_edns(void **state)
{
	struct rig r;

	(void)state;
	open_rig(&r, 1, TIMEOUT_MS);
	for (unsigned i = 1; i <= 3; i++) {
		const char *name = i == 1 ? "old1.test" : "old2.test";
		(void)ask(&r, name, DNS_TYPE_A);
		await(&r, 1);
		assert_int_equal(r.status, DNS_OK);
	}
	assert_int_equal(fake_dns_asked(r.server, "old1.test"), 2);
	assert_true(fake_dns_asked(r.server, "old2.test") <= 3);
	close_rig(&r);
}

static void test_trust_of_addresses(void **state)
{
	static const struct {
		const char *servers[2];
		bool trusted;
	} cases[] = {
		{ { "127.0.0.53:53", "[::1]:53" }, true },
		{ { "127.0.0.1:53", "192.0.2.1:53" }, false },
		{ { "[2001:db8::1]:53", "127.0.0.1:53" }, false },
	};
	struct loop *l = loop_new();

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct dns_config cfg = { .servers = cases[i].servers,
					  .servers_n = 2,
					  .trust = DNS_TRUST_AUTO };
		struct dns *d = NULL;
		assert_int_equal(dns_new(l, &cfg, &d, NULL), 0);
		assert_int_equal(dns_trusts(d), cases[i].trusted);
		dns_free(&d);
	}
	loop_free(&l);
}

static void test_reverse(void **state)
{
	static const struct {
		const char *address;
		const char *name;
	} cases[] = {
		{ "192.0.2.7", "7.2.0.192.in-addr.arpa" },
		{ "2001:db8::af", "f.a.0.0.0.0.0.0.0.0.0.0.0.0.0.0."
				  "0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2.ip6.arpa" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		char name[DNS_REVERSE_LEN];
		struct ipaddr a;
		assert_true(ipaddr_parse(str_of(cases[i].address), &a));
		dns_reverse(&a, name);
		assert_string_equal(name, cases[i].name);
	}
}

/* A string that says to be longer than its record. */
static void test_damaged_text(void **state)
{
	static const uint8_t answer[] = "\0\1\x81\x80\0\1\0\1\0\0\0\0"
					"\1a\0\0\x10\0\1"
					"\xc0\x0c\0\x10\0\1\0\0\0\1\0\4\5abc";
	struct dns_parsed x = { .name = NULL };

	(void)state;
	assert_int_equal(dns_parse(answer, sizeof(answer) - 1, "a", DNS_TYPE_TXT, &x, NULL),
			 -ERR_PROTO);
}

static void test_many_records(void **state)
{
	static struct fake_dns_row many[MANY];
	struct rig r;

	(void)state;
	for (size_t i = 0; i < MANY; i++)
		many[i] = (struct fake_dns_row)FAKE_DNS_RR("many.test", "MX", "10 mx.test",
							   .act = FAKE_DNS_TRUNCATE);
	open_rig(&r, 1, TIMEOUT_MS);
	fake_dns_rows(r.server, many, MANY);
	(void)ask(&r, "many.test", DNS_TYPE_MX);
	await(&r, 1);
	assert_int_equal(r.status, DNS_OK);
	assert_int_equal(r.records_n, DNS_RECORDS_MAX);
	close_rig(&r);
}

/* No more than DNS_ACTIVE_MAX are with the server, and the rest has its turn. */
static void test_queue(void **state)
{
	struct rig r;

	(void)state;
	open_rig(&r, 1, PATIENCE_MS);
	fake_dns_hold(r.server, true);
	for (unsigned i = 0; i < 2 * DNS_ACTIVE_MAX + 10; i++)
		(void)ask(&r, "a.test", DNS_TYPE_MX);
	spin(&r);
	assert_int_equal(r.got, 0);
	assert_int_equal(fake_dns_asked(r.server, NULL), DNS_ACTIVE_MAX);
	fake_dns_hold(r.server, false);
	await(&r, 2 * DNS_ACTIVE_MAX + 10);
	assert_int_equal(r.status, DNS_OK);
	close_rig(&r);
}

static void test_waiting_limit(void **state)
{
	struct rig r;

	(void)state;
	open_rig(&r, 1, PATIENCE_MS);
	fake_dns_hold(r.server, true);
	for (unsigned i = 0; i < DNS_ACTIVE_MAX + DNS_WAITING_MAX; i++)
		(void)ask(&r, "a.test", DNS_TYPE_MX);
	(void)ask(&r, "a.test", DNS_TYPE_MX);
	await(&r, 1);
	assert_int_equal(r.status, DNS_TROUBLE);
	assert_string_equal(r.said, "too many questions wait for the name servers");
	close_rig(&r); /* with all of them */
}

static void test_cancel(void **state)
{
	struct rig r;
	uint64_t active;
	uint64_t waiting = 0;
	uint64_t over;

	(void)state;
	open_rig(&r, 1, PATIENCE_MS);
	over = ask(&r, LABEL63 "x.test", DNS_TYPE_A); /* has its answer already */
	fake_dns_hold(r.server, true);
	active = ask(&r, "mx1.a.test", DNS_TYPE_A);
	for (unsigned i = 0; i < DNS_ACTIVE_MAX; i++)
		waiting = ask(&r, "a.test", DNS_TYPE_MX);
	dns_cancel(r.dns, over);
	dns_cancel(r.dns, active);
	dns_cancel(r.dns, waiting);
	dns_cancel(r.dns, waiting);
	dns_cancel(r.dns, waiting + 1000);
	fake_dns_hold(r.server, false);
	await(&r, DNS_ACTIVE_MAX - 1);
	(void)ask(&r, "null.test", DNS_TYPE_MX);
	await(&r, 1);
	assert_string_equal(r.said, "null.test 0=");
	assert_int_equal(fake_dns_asked(r.server, "a.test"), DNS_ACTIVE_MAX - 1);
	close_rig(&r);
}

static void test_second_server(void **state)
{
	static const struct fake_dns_row sick[] = {
		FAKE_DNS_ACT("fails.test", FAKE_DNS_SERVFAIL),
		FAKE_DNS_ACT("refuses.test", FAKE_DNS_REFUSED),
		FAKE_DNS_ACT("silent.test", FAKE_DNS_SILENT),
		FAKE_DNS_ACT("both.test", FAKE_DNS_SERVFAIL),
		FAKE_DNS_ACT("fails-then-silent.test", FAKE_DNS_SERVFAIL),
	};
	static const struct fake_dns_row well[] = {
		FAKE_DNS_RR("fails.test", "A", "192.0.2.1"),
		FAKE_DNS_RR("refuses.test", "A", "192.0.2.2"),
		FAKE_DNS_RR("silent.test", "A", "192.0.2.3"),
		FAKE_DNS_ACT("both.test", FAKE_DNS_SERVFAIL),
		FAKE_DNS_ACT("fails-then-silent.test", FAKE_DNS_SILENT),
	};
	static const struct {
		const char *name;
		const char *said;
	} cases[] = {
		{ "fails.test", "fails.test 192.0.2.1" },
		{ "refuses.test", "refuses.test 192.0.2.2" },
		{ "silent.test", "silent.test 192.0.2.3" },
		{ "both.test", "the name server failed (SERVFAIL)" },
		{ "fails-then-silent.test", "the name server failed (SERVFAIL)" },
	};
	struct rig r;

	(void)state;
	open_rig(&r, 2, TIMEOUT_MS);
	fake_dns_rows(r.server, sick, ARRAY_LEN(sick));
	fake_dns_rows(r.second, well, ARRAY_LEN(well));
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		(void)ask(&r, cases[i].name, DNS_TYPE_A);
		await(&r, 1);
		assert_string_equal(r.said, cases[i].said);
	}
	close_rig(&r);
}

static void test_dead_server(void **state)
{
	struct rig r;

	(void)state;
	open_rig(&r, 1, TIMEOUT_MS);
	fake_dns_free(&r.server);
	(void)ask(&r, "a.test", DNS_TYPE_MX);
	await(&r, 1);
	assert_int_equal(r.status, DNS_TROUBLE);
	assert_string_equal(r.said, "no name server can be reached");
	close_rig(&r);
}

static void test_configuration(void **state)
{
	static const char *const wrong[] = { "127.0.0.1", "ns.example:53", "127.0.0.1:0", "" };
	struct loop *l = loop_new();
	struct dns *d = NULL;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(wrong); i++) {
		struct err err = ERR_INIT;
		struct dns_config cfg = { .servers = &wrong[i], .servers_n = 1 };
		assert_int_equal(dns_new(l, &cfg, &d, &err), -ERR_CONFIG);
		assert_non_null(strstr(err.msg, "127.0.0.1:53"));
		assert_null(d);
	}
	const char *six = "[::1]:5353";
	struct dns_config cfg = { .servers = &six, .servers_n = 1 };
	assert_int_equal(dns_new(l, &cfg, &d, NULL), 0);
	dns_free(&d);
	struct dns_config system = { .servers_n = 0 };
	assert_int_equal(dns_new(l, &system, &d, NULL), 0);
	dns_free(&d);
	loop_free(&l);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_answers),	     cmocka_unit_test(test_reverse),
		cmocka_unit_test(test_damaged_text), cmocka_unit_test(test_many_records),
		cmocka_unit_test(test_queue),	     cmocka_unit_test(test_waiting_limit),
		cmocka_unit_test(test_cancel),	     cmocka_unit_test(test_second_server),
		cmocka_unit_test(test_dead_server),  cmocka_unit_test(test_configuration),
		cmocka_unit_test(test_secure),	     cmocka_unit_test(test_tlsa),
		cmocka_unit_test(test_without_edns), cmocka_unit_test(test_trust_of_addresses),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
