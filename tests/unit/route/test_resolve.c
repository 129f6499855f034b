/*
 * Next hops against a name server that answers from a table. The loop's clock is told, so that
 * what is remembered can grow old.
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
#include "route/resolve.h"

#define PATIENCE_US 10000000
#define MX_PORT 2525
#define SAID_MAX 2048
#define LABEL60 "a23456789b123456789c123456789d123456789e123456789f123456789g"

static const struct fake_dns_row rows[] = {
	FAKE_DNS_RR("two.test", "MX", "20 backup.two.test", .ttl_s = 100),
	FAKE_DNS_RR("two.test", "MX", "10 MX.two.test", .ttl_s = 100),
	FAKE_DNS_RR("mx.two.test", "A", "192.0.2.1", .ttl_s = 100),
	FAKE_DNS_RR("mx.two.test", "AAAA", "2001:db8::1", .ttl_s = 100),
	FAKE_DNS_RR("backup.two.test", "A", "192.0.2.2", .ttl_s = 100),

	FAKE_DNS_RR("implicit.test", "A", "192.0.2.3"),
	FAKE_DNS_RR("alias.test", "CNAME", "two.test"),
	FAKE_DNS_RR("implicit-alias.test", "CNAME", "implicit.test"),
	FAKE_DNS_RR("host-alias.test", "MX", "10 mx.host-alias.test"),
	FAKE_DNS_RR("mx.host-alias.test", "CNAME", "mx.two.test"),
	FAKE_DNS_RR("null.test", "MX", "0 ."),
	FAKE_DNS_RR("half-null.test", "MX", "0 ."),
	FAKE_DNS_RR("half-null.test", "MX", "10 backup.two.test"),
	FAKE_DNS_RR("empty.test", "CNAME", "nothing.test"),
	FAKE_DNS_RR("nothing.test", "TXT", NULL),
	FAKE_DNS_RR("loop1.test", "CNAME", "loop2.test"),
	FAKE_DNS_RR("loop2.test", "CNAME", "loop1.test"),
	FAKE_DNS_ACT("sick.test", FAKE_DNS_SERVFAIL),
	FAKE_DNS_ACT("garbage.test", FAKE_DNS_GARBAGE),
	FAKE_DNS_RR("others.test", "MX", "10 mx.two.test", .act = FAKE_DNS_OTHER_OWNER),

	FAKE_DNS_RR("skips.test", "MX", "5 nobody.test"),
	FAKE_DNS_RR("skips.test", "MX", "6 nothing.test"),
	FAKE_DNS_RR("skips.test", "MX", "7 192.0.2.99"),
	FAKE_DNS_RR("skips.test", "MX", "8 odd host.test"),
	FAKE_DNS_RR("skips.test", "MX", "9 liar.test"),
	FAKE_DNS_RR("skips.test", "MX", "10 backup.two.test"),
	FAKE_DNS_RR("liar.test", "A", "0.0.0.0"),
	FAKE_DNS_RR("liar.test", "A", "224.0.0.1"),
	FAKE_DNS_RR("liar.test", "A", "255.255.255.255"),
	FAKE_DNS_RR("liar.test", "AAAA", "::"),
	FAKE_DNS_RR("liar.test", "AAAA", "ff02::1"),
	FAKE_DNS_RR("lies.test", "MX", "10 liar.test"),
	FAKE_DNS_RR("lies.test", "MX", "20 nobody.test"),
	FAKE_DNS_RR("nameless.test", "MX", "10 192.0.2.99"),
	FAKE_DNS_RR("private.test", "MX", "10 mx.private.test"),
	FAKE_DNS_RR("mx.private.test", "A", "10.1.2.3"),
	FAKE_DNS_RR("half-sick.test", "MX", "10 sick.test"),
	FAKE_DNS_RR("half-sick.test", "MX", "20 backup.two.test"),
	FAKE_DNS_RR("all-sick.test", "MX", "10 sick.test"),
	FAKE_DNS_RR("all-sick.test", "MX", "20 nobody.test"),
	FAKE_DNS_RR("six-sick.test", "A", "192.0.2.7"),
	FAKE_DNS_RR("six-sick.test", "AAAA", NULL, .act = FAKE_DNS_SERVFAIL),

	/* The relay is relay.test, at 192.0.2.200. */
	FAKE_DNS_RR("backs.test", "MX", "10 backup.two.test"),
	FAKE_DNS_RR("backs.test", "MX", "20 Relay.test"),
	FAKE_DNS_RR("backs.test", "MX", "20 mx.two.test"),
	FAKE_DNS_RR("backs.test", "MX", "30 mx.private.test"),
	FAKE_DNS_RR("backs-by-address.test", "MX", "10 backup.two.test"),
	FAKE_DNS_RR("backs-by-address.test", "MX", "20 other-name.test"),
	FAKE_DNS_RR("backs-by-address.test", "MX", "20 mx.two.test"),
	FAKE_DNS_RR("other-name.test", "A", "192.0.2.200"),
	FAKE_DNS_RR("own.test", "MX", "10 relay.test"),
	FAKE_DNS_RR("own.test", "MX", "20 backup.two.test"),
	FAKE_DNS_RR("own-by-address.test", "MX", "10 other-name.test"),
	FAKE_DNS_RR("own-implicit.test", "A", "192.0.2.200"),
	FAKE_DNS_RR("relay.test", "A", "192.0.2.200"),
	FAKE_DNS_RR("backs-sick.test", "MX", "10 sick.test"),
	FAKE_DNS_RR("backs-sick.test", "MX", "20 relay.test"),
};

struct rig {
	struct loop *loop;
	struct fake_dns *server;
	struct resolver *resolver;
	bool asking;
	unsigned got;
	char said[SAID_MAX]; /* the last answer */
	char provider[300];
	bool permanent;
	char providers[SAID_MAX]; /* all that was told */
	uint64_t cancel;	  /* by whom is told of a provider */
};

static void on_answer(void *arg, const struct resolve_answer *a)
{
	struct rig *r = arg;
	size_t n = 0;

	assert_false(r->asking);
	assert_true((a->hosts_n == 0) == (a->failure != NULL));
	r->got++;
	r->said[0] = '\0';
	(void)snprintf(r->provider, sizeof(r->provider), "%s", a->provider);
	if (a->failure != NULL) {
		r->permanent = a->failure->permanent;
		(void)snprintf(r->said, sizeof(r->said), "%s %s", a->failure->enhanced,
			       a->failure->text);
		return;
	}
	assert_true(a->hosts_n <= RESOLVE_HOSTS_MAX);
	for (size_t i = 0; i < a->hosts_n; i++) {
		const struct resolve_host *h = &a->hosts[i];
		assert_true(h->addresses_n > 0 && h->addresses_n <= RESOLVE_ADDRESSES_MAX);
		n += (size_t)snprintf(r->said + n, sizeof(r->said) - n, "%s%u %s",
				      i > 0 ? ", " : "", (unsigned)h->preference, h->name);
		for (size_t k = 0; k < h->addresses_n; k++) {
			char ip[IPADDR_TEXT_LEN];
			ipaddr_text(&h->addresses[k], ip);
			n += (size_t)snprintf(r->said + n, sizeof(r->said) - n, " %s", ip);
		}
	}
	(void)snprintf(r->said + n, sizeof(r->said) - n, " port %u", (unsigned)a->port);
}

static void on_provider(void *arg, struct str domain, const char *provider)
{
	struct rig *r = arg;
	size_t n = strlen(r->providers);

	(void)snprintf(r->providers + n, sizeof(r->providers) - n, "%.*s=%s ", STR_ARG(domain),
		       provider);
	if (r->cancel != 0)
		resolver_cancel(r->resolver, r->cancel);
}

static void open_rig_of(struct rig *r, size_t cache_max)
{
	struct ipaddr own;
	struct resolver_config cfg = { .hostname = "relay.test",
				       .servers_n = 1,
				       .mx_port = MX_PORT,
				       .own = &own,
				       .own_n = 1,
				       .cache_max = cache_max };
	const char *server;
	struct err err = ERR_INIT;

	memset(r, 0, sizeof(*r));
	r->loop = loop_new();
	loop_fake_clock(r->loop, 0);
	r->server = fake_dns_new(r->loop, rows, ARRAY_LEN(rows));
	server = fake_dns_address(r->server);
	cfg.servers = &server;
	assert_true(ipaddr_parse(STR("192.0.2.200"), &own));
	if (resolver_new(r->loop, &cfg, on_provider, r, &r->resolver, &err) < 0)
		fail_msg("%s", err.msg);
}

static void open_rig(struct rig *r)
{
	open_rig_of(r, 0);
}

static void close_rig(struct rig *r)
{
	resolver_free(&r->resolver);
	fake_dns_free(&r->server);
	loop_free(&r->loop);
}

static uint64_t ask(struct rig *r, const char *hop)
{
	uint64_t id;

	r->asking = true;
	id = resolver_ask(r->resolver, hop, 0, on_answer, r);
	r->asking = false;
	assert_true(id != 0);
	return id;
}

static void await(struct rig *r, unsigned n)
{
	int64_t end = loop_clock_us() + PATIENCE_US;
	unsigned wanted = r->got + n;

	while (r->got < wanted) {
		loop_advance(r->loop, 0);
		if (loop_clock_us() > end)
			fail_msg("no answer");
	}
	assert_int_equal(r->got, wanted);
}

static const char *resolve(struct rig *r, const char *hop)
{
	(void)ask(r, hop);
	await(r, 1);
	return r->said;
}

static unsigned asked(const struct rig *r)
{
	return fake_dns_asked(r->server, NULL);
}

static void test_hosts(void **state)
{
	static const struct {
		const char *hop;
		const char *said;
		const char *provider;
	} cases[] = {
		{ "mx:two.test",
		  "10 mx.two.test 2001:db8::1 192.0.2.1, 20 backup.two.test 192.0.2.2 port 2525",
		  "two.test" },
		{ "mx:Two.Test",
		  "10 mx.two.test 2001:db8::1 192.0.2.1, 20 backup.two.test 192.0.2.2 port 2525",
		  "two.test" },
		{ "mx:alias.test",
		  "10 mx.two.test 2001:db8::1 192.0.2.1, 20 backup.two.test 192.0.2.2 port 2525",
		  "two.test" },
		{ "mx:implicit.test", "0 implicit.test 192.0.2.3 port 2525", "implicit.test" },
		{ "mx:implicit-alias.test", "0 implicit.test 192.0.2.3 port 2525",
		  "implicit-alias.test" },
		{ "mx:host-alias.test", "10 mx.host-alias.test 2001:db8::1 192.0.2.1 port 2525",
		  "host-alias.test" },
		{ "mx:half-null.test", "10 backup.two.test 192.0.2.2 port 2525", "two.test" },
		{ "mx:skips.test", "10 backup.two.test 192.0.2.2 port 2525", "nobody.test" },
		{ "mx:private.test", "10 mx.private.test 10.1.2.3 port 2525", "private.test" },
		{ "mx:half-sick.test", "20 backup.two.test 192.0.2.2 port 2525", "sick.test" },
		{ "mx:six-sick.test", "0 six-sick.test 192.0.2.7 port 2525", "six-sick.test" },
		{ "mx:backs.test", "10 backup.two.test 192.0.2.2 port 2525", "two.test" },
		{ "mx:backs-by-address.test", "10 backup.two.test 192.0.2.2 port 2525",
		  "two.test" },
		{ "mx:[192.0.2.9]", "0 192.0.2.9 192.0.2.9 port 2525", "[192.0.2.9]" },
		{ "mx:[IPv6:2001:db8::9]", "0 2001:db8::9 2001:db8::9 port 2525",
		  "[ipv6:2001:db8::9]" },
		{ "smarthost:MX.two.test:587", "0 mx.two.test 2001:db8::1 192.0.2.1 port 587", "" },
		{ "smarthost:192.0.2.9:25", "0 192.0.2.9 192.0.2.9 port 25", "" },
		{ "smarthost:[2001:db8::9]:25", "0 2001:db8::9 2001:db8::9 port 25", "" },
		/* The relay's machine, but another daemon there. */
		{ "smarthost:relay.test:25", "0 relay.test 192.0.2.200 port 25", "" },
		{ "smarthost:192.0.2.200:25", "0 192.0.2.200 192.0.2.200 port 25", "" },
	};
	struct rig r;

	(void)state;
	open_rig(&r);
	for (int again = 0; again < 2; again++)
		for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
			const char *said = resolve(&r, cases[i].hop);
			if (strcmp(said, cases[i].said) != 0 ||
			    strcmp(r.provider, cases[i].provider) != 0)
				fail_msg("%s: '%s' of '%s'", cases[i].hop, said, r.provider);
		}
	close_rig(&r);
}

static void test_failures(void **state)
{
	static const struct {
		const char *hop;
		bool permanent;
		const char *said;
	} cases[] = {
		{ "mx:nobody.test", true, "5.1.2 the domain nobody.test does not exist" },
		{ "mx:" LABEL60 "12345.test", true,
		  "5.1.2 the domain " LABEL60 "12345.test does not exist" },
		{ "mx:nothing.test", true,
		  "5.1.2 nothing.test takes no mail: it has neither MX nor address records" },
		{ "mx:empty.test", true,
		  "5.1.2 empty.test takes no mail: it has neither MX nor address records" },
		{ "mx:null.test", true, "5.1.10 null.test takes no mail: it says so by a null MX" },
		{ "mx:lies.test", true,
		  "5.1.2 no mail server of lies.test has an address that can be used" },
		{ "mx:nameless.test", true,
		  "5.1.2 no mail server of nameless.test has an address that can be used" },
		{ "mx:own.test", true,
		  "5.4.6 mail for own.test would come back here: its mail server is relay.test" },
		{ "mx:own-by-address.test", true,
		  "5.4.6 mail for own-by-address.test would come back here: its mail server is "
		  "other-name.test" },
		{ "mx:own-implicit.test", true,
		  "5.4.6 mail for own-implicit.test would come back here: its mail server is "
		  "own-implicit.test" },
		{ "mx:relay.test", true,
		  "5.4.6 mail for relay.test would come back here: its mail server is relay.test" },
		{ "mx:[192.0.2.200]", true,
		  "5.4.6 mail for 192.0.2.200 would come back here: it is this relay's address" },
		{ "mx:[0.0.0.0]", true, "5.1.2 no mail can be sent to the address 0.0.0.0" },
		{ "mx:sick.test", false,
		  "4.4.3 DNS lookup of the mail servers of sick.test: the name server failed "
		  "(SERVFAIL)" },
		{ "mx:garbage.test", false,
		  "4.4.3 DNS lookup of the mail servers of garbage.test: the name server's answer "
		  "makes no sense" },
		{ "mx:loop1.test", false,
		  "4.4.3 DNS lookup of the mail servers of loop1.test: its aliases (CNAME) lead "
		  "nowhere" },
		{ "mx:others.test", true,
		  "5.1.2 others.test takes no mail: it has neither MX nor address records" },
		{ "mx:all-sick.test", false,
		  "4.4.3 DNS lookup of sick.test, for all-sick.test: the name server failed "
		  "(SERVFAIL)" },
		{ "mx:backs-sick.test", false,
		  "4.4.3 DNS lookup of sick.test, for backs-sick.test: the name server failed "
		  "(SERVFAIL)" },
		{ "smarthost:nobody.test:25", false,
		  "4.3.5 the smarthost nobody.test does not exist" },
		{ "smarthost:nothing.test:25", false,
		  "4.3.5 the smarthost nothing.test has no usable address" },
		{ "smarthost:liar.test:25", false,
		  "4.3.5 the smarthost liar.test has no usable address" },
		{ "smarthost:sick.test:25", false,
		  "4.4.3 DNS lookup of the smarthost sick.test: the name server failed "
		  "(SERVFAIL)" },
		{ "smarthost:relay.test:2525", false,
		  "4.3.5 the smarthost relay.test is this relay itself" },
		{ "smarthost:other-name.test:2525", false,
		  "4.3.5 the smarthost other-name.test is this relay itself" },
		{ "smarthost:192.0.2.200:2525", false,
		  "4.3.5 mail for 192.0.2.200 would come back here: it is this relay's address" },
		{ "smarthost:[ff02::1]:25", false,
		  "4.3.5 no mail can be sent to the address ff02::1" },
		{ "smarthost:host.test", false, "4.3.5 'smarthost:host.test' is no next hop" },
		{ "smarthost:host.test:0", false, "4.3.5 'smarthost:host.test:0' is no next hop" },
		{ "smarthost::25", false, "4.3.5 'smarthost::25' is no next hop" },
		{ "smarthost:2001:db8::9:25", false,
		  "4.3.5 'smarthost:2001:db8::9:25' is no next hop" },
		{ "mx:", false, "4.3.5 'mx:' is no next hop" },
		{ "mx:[192.0.2]", false, "4.3.5 'mx:[192.0.2]' is no next hop" },
		{ "hold", false, "4.3.5 'hold' is no next hop" },
		{ "", false, "4.3.5 '' is no next hop" },
	};
	struct rig r;

	(void)state;
	open_rig(&r);
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		const char *said = resolve(&r, cases[i].hop);
		if (strcmp(said, cases[i].said) != 0 || r.permanent != cases[i].permanent)
			fail_msg("%s: %d '%s'", cases[i].hop, r.permanent, said);
	}
	close_rig(&r);
}

/* DNS that leads into networks of our own: passed over; if nothing else is left it is said. */
static void test_private_addresses(void **state)
{
	static const struct fake_dns_row in[] = {
		FAKE_DNS_RR("evil.test", "MX", "10 mx.evil.test"),
		FAKE_DNS_RR("mx.evil.test", "A", "127.0.0.1"),
		FAKE_DNS_RR("mx.evil.test", "AAAA", "::1"),
		FAKE_DNS_RR("half.test", "MX", "10 mx.half.test"),
		FAKE_DNS_RR("half.test", "MX", "20 mx2.half.test"),
		FAKE_DNS_RR("mx.half.test", "A", "10.1.2.3"),
		FAKE_DNS_RR("mx.half.test", "A", "192.0.2.1"),
		FAKE_DNS_RR("mx2.half.test", "A", "10.255.0.1"),
		FAKE_DNS_RR("implicit.test", "A", "10.0.0.1"),
		FAKE_DNS_RR("alias.test", "CNAME", "mx.evil.test"),
		FAKE_DNS_RR("mapped.test", "AAAA", "::ffff:10.0.0.1"),
	};
	static const char *const networks[] = { "127.0.0.0/8", "10.0.0.0/8", "::1/128" };
	static const struct {
		const char *hop;
		const char *said;
	} cases[] = {
		{ "mx:evil.test", "5.1.2 evil.test leads to " },
		{ "mx:half.test", "10 mx.half.test 192.0.2.1" },
		{ "mx:implicit.test", "5.1.2 implicit.test leads to 10.0.0.1, where" },
		{ "mx:alias.test", "5.1.2 alias.test leads to " },
		{ "mx:mapped.test", "5.1.2 mapped.test " },
		{ "mx:[127.0.0.1]", "5.1.2 this relay sends nothing to 127.0.0.1" },
		{ "mx:[192.0.2.5]", "0 192.0.2.5 192.0.2.5" },
		{ "smarthost:mx.evil.test:25", "0 mx.evil.test " },
		{ "smarthost:10.0.0.1:25", "0 10.0.0.1 10.0.0.1" },
	};
	struct ipnet avoid[ARRAY_LEN(networks)];
	struct resolver_config cfg = { .hostname = "relay.test",
				       .mx_port = 25,
				       .avoid = avoid,
				       .avoid_n = ARRAY_LEN(avoid),
				       .servers_n = 1 };
	struct err err = ERR_INIT;
	const char *server;
	struct rig r;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(avoid); i++)
		assert_true(ipnet_parse(str_of(networks[i]), &avoid[i], NULL) >= 0);
	open_rig(&r);
	resolver_free(&r.resolver);
	fake_dns_rows(r.server, in, ARRAY_LEN(in));
	server = fake_dns_address(r.server);
	cfg.servers = &server;
	assert_true(resolver_new(r.loop, &cfg, on_provider, &r, &r.resolver, &err) >= 0);
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		const char *said = resolve(&r, cases[i].hop);
		if (strncmp(said, cases[i].said, strlen(cases[i].said)) != 0)
			fail_msg("%s: '%s'", cases[i].hop, said);
	}
	close_rig(&r);
}

/* Long names in both places: the text is cut, not overrun. */
static void test_long_names(void **state)
{
	static const char name[] = LABEL60 "." LABEL60 "." LABEL60 "." LABEL60 ".test";
	static const struct fake_dns_row long_rows[] = {
		FAKE_DNS_RR(LABEL60 "." LABEL60 "." LABEL60 ".test", "MX",
			    "10 " LABEL60 "." LABEL60 "." LABEL60 ".host.test"),
		FAKE_DNS_ACT(LABEL60 "." LABEL60 "." LABEL60 ".host.test", FAKE_DNS_SERVFAIL),
	};
	struct rig r;
	char hop[1000];

	(void)state;
	open_rig(&r);
	fake_dns_rows(r.server, long_rows, ARRAY_LEN(long_rows));
	(void)snprintf(hop, sizeof(hop), "mx:%s", name + sizeof(LABEL60));
	assert_non_null(strstr(resolve(&r, hop), "4.4.3 DNS lookup of " LABEL60));
	(void)snprintf(hop, sizeof(hop), "mx:%s", name);
	assert_non_null(strstr(resolve(&r, hop), "5.1.2 the domain " LABEL60));
	(void)snprintf(hop, sizeof(hop), "mx:%s.%s", name, name);
	assert_non_null(strstr(resolve(&r, hop), "is no next hop"));
	close_rig(&r);
}

static void test_many(void **state)
{
	static struct fake_dns_row many[700];
	static char names[ARRAY_LEN(many)][32];
	size_t n = 0;
	struct rig r;
	char first[SAID_MAX];

	(void)state;
	open_rig(&r);
	/* 200 records for 100 hosts, the worse ones first; 20 addresses at the best one. */
	for (size_t i = 100; i-- > 0;) {
		(void)snprintf(names[n], sizeof(names[n]), "%zu mx%02zu.many.test", 10 + i, i);
		many[n] = (struct fake_dns_row)FAKE_DNS_RR("many.test", "MX", names[n],
							   .act = FAKE_DNS_TRUNCATE);
		many[n + 1] = many[n];
		(void)snprintf(names[n + 1], sizeof(names[n]), "mx%02zu.many.test", i);
		many[n + 2] = (struct fake_dns_row)FAKE_DNS_RR(names[n + 1], "A", "192.0.2.1");
		n += 3;
	}
	for (size_t i = 0; i < 40; i++, n++) {
		(void)snprintf(names[n], sizeof(names[n]), i < 20 ? "192.0.2.%zu" : "2001:db8::%zu",
			       i + 10);
		many[n] = (struct fake_dns_row)FAKE_DNS_RR("mx00.many.test", i < 20 ? "A" : "AAAA",
							   names[n], .act = FAKE_DNS_TRUNCATE);
	}
	fake_dns_rows(r.server, many, n);
	(void)snprintf(first, sizeof(first), "%s", resolve(&r, "mx:many.test"));
	assert_ptr_equal(strstr(first, "10 mx00.many.test "), first);
	assert_non_null(strstr(first, ", 25 mx15.many.test 192.0.2.1 port"));
	assert_null(strstr(first, "mx16"));
	assert_int_equal(fake_dns_asked(r.server, "mx16.many.test"), 0);
	/* Both families of the first: v6, v4, v6, … */
	assert_memory_equal(first + strlen("10 mx00.many.test "), "2001:", 5);
	char *comma = strchr(first, ',');
	size_t words = 0;
	for (char *p = first; p < comma; p++)
		words += *p == ' ';
	assert_int_equal(words, 1 + RESOLVE_ADDRESSES_MAX);
	close_rig(&r);
}

/* Hosts of one preference, and addresses of one host, come in every order. */
static void test_shuffle(void **state)
{
	static const struct fake_dns_row equal[] = {
		FAKE_DNS_RR("equal.test", "MX", "10 a.test"),
		FAKE_DNS_RR("equal.test", "MX", "10 b.test"),
		FAKE_DNS_RR("equal.test", "MX", "10 c.test"),
		FAKE_DNS_RR("equal.test", "MX", "5 first.test"),
		FAKE_DNS_RR("equal.test", "MX", "20 last.test"),
		FAKE_DNS_RR("tie.test", "MX", "10 b.test"),
		FAKE_DNS_RR("tie.test", "MX", "10 a.test"),
		FAKE_DNS_RR("a.test", "A", "192.0.2.1"),
		FAKE_DNS_RR("b.test", "A", "192.0.2.2"),
		FAKE_DNS_RR("c.test", "A", "192.0.2.3"),
		FAKE_DNS_RR("first.test", "A", "192.0.2.4"),
		FAKE_DNS_RR("last.test", "A", "192.0.2.5"),
		FAKE_DNS_RR("last.test", "A", "192.0.2.6"),
	};
	unsigned orders[3][3] = { { 0 } };
	unsigned last_six = 0;
	struct rig r;

	(void)state;
	open_rig(&r);
	fake_dns_rows(r.server, equal, ARRAY_LEN(equal));
	for (int i = 0; i < 300; i++) {
		const char *said = resolve(&r, "mx:equal.test");
		char order[4] = "";
		assert_ptr_equal(strstr(said, "5 first.test 192.0.2.4, 10 "), said);
		for (int k = 0; k < 3; k++) {
			said = strstr(said, ", 10 ") + 5;
			order[k] = said[0];
			orders[k][said[0] - 'a']++;
		}
		assert_true(order[0] != order[1] && order[1] != order[2] && order[0] != order[2]);
		said = strstr(said, ", 20 last.test ");
		assert_non_null(said);
		last_six += strstr(said, "6 192.0.2.5") != NULL;
		assert_string_equal(r.provider, "first.test");
		resolver_forget(r.resolver, "mx:tie.test");
		(void)resolve(&r, "mx:tie.test");
	}
	/* Not one provider today and another one tomorrow. */
	assert_string_equal(r.providers, "equal.test=first.test tie.test=a.test ");
	for (int k = 0; k < 9; k++)
		assert_in_range(orders[k / 3][k % 3], 50, 150); /* 100, 8 standard deviations */
	assert_in_range(last_six, 90, 210);
	assert_int_equal(fake_dns_asked(r.server, "c.test"), 2);
	close_rig(&r);
}

static void test_remembers(void **state)
{
	struct rig r;
	unsigned n;

	(void)state;
	open_rig(&r);
	(void)resolve(&r, "mx:two.test");
	assert_int_equal(asked(&r), 5);
	/* Another domain at the same host asks only for itself. */
	(void)resolve(&r, "mx:half-null.test");
	assert_int_equal(asked(&r), 6);
	loop_advance(r.loop, 99000);
	(void)resolve(&r, "mx:two.test");
	assert_int_equal(asked(&r), 6);
	loop_advance(r.loop, 1000);
	(void)resolve(&r, "mx:two.test");
	assert_int_equal(asked(&r), 11);

	/* Failures for RESOLVE_FAIL_S, and what is half known too. */
	(void)resolve(&r, "mx:nobody.test");
	(void)resolve(&r, "mx:sick.test");
	(void)resolve(&r, "mx:six-sick.test");
	n = asked(&r);
	loop_advance(r.loop, (RESOLVE_FAIL_S - 1) * 1000);
	(void)resolve(&r, "mx:nobody.test");
	(void)resolve(&r, "mx:sick.test");
	(void)resolve(&r, "mx:six-sick.test");
	assert_int_equal(asked(&r), n);
	loop_advance(r.loop, 1000);
	(void)resolve(&r, "mx:nobody.test");
	(void)resolve(&r, "mx:sick.test");
	assert_int_equal(asked(&r), n + 2);
	(void)resolve(&r, "mx:six-sick.test");
	assert_int_equal(asked(&r), n + 5);
	close_rig(&r);
}

static void test_ttl_bounds(void **state)
{
	static const struct fake_dns_row short_and_long[] = {
		FAKE_DNS_RR("short.test", "MX", "10 mx.test", .ttl_s = 1),
		FAKE_DNS_RR("mx.test", "A", "192.0.2.1", .ttl_s = 1000000),
	};
	struct rig r;

	(void)state;
	open_rig(&r);
	fake_dns_rows(r.server, short_and_long, ARRAY_LEN(short_and_long));
	(void)resolve(&r, "mx:short.test");
	loop_advance(r.loop, (RESOLVE_TTL_MIN_S - 1) * 1000);
	(void)resolve(&r, "mx:short.test");
	assert_int_equal(fake_dns_asked(r.server, "short.test"), 1);
	loop_advance(r.loop, 1000);
	(void)resolve(&r, "mx:short.test");
	assert_int_equal(fake_dns_asked(r.server, "short.test"), 2);
	assert_int_equal(fake_dns_asked(r.server, "mx.test"), 2);
	loop_advance(r.loop, (int64_t)RESOLVE_TTL_MAX_S * 1000);
	(void)resolve(&r, "mx:short.test");
	assert_int_equal(fake_dns_asked(r.server, "mx.test"), 4);
	close_rig(&r);
}

static void test_shares(void **state)
{
	struct rig r;
	uint64_t ids[100];

	(void)state;
	open_rig(&r);
	for (size_t i = 0; i < ARRAY_LEN(ids); i++)
		ids[i] = ask(&r, "mx:two.test");
	for (size_t i = 0; i < ARRAY_LEN(ids); i += 2)
		resolver_cancel(r.resolver, ids[i]);
	resolver_cancel(r.resolver, ids[0]);
	await(&r, ARRAY_LEN(ids) / 2);
	assert_int_equal(asked(&r), 5);
	assert_string_equal(r.providers, "two.test=two.test ");
	close_rig(&r);
}

/* All cancelled: what comes is kept all the same. And all is given back when the resolver ends
 * with questions open. */
static void test_cancels(void **state)
{
	struct rig r;
	uint64_t id;

	(void)state;
	open_rig(&r);
	id = ask(&r, "mx:two.test");
	resolver_cancel(r.resolver, id);
	(void)resolve(&r, "mx:implicit.test");
	(void)resolve(&r, "mx:two.test");
	assert_int_equal(fake_dns_asked(r.server, "two.test"), 1);

	fake_dns_hold(r.server, true);
	(void)ask(&r, "mx:skips.test");
	id = ask(&r, "mx:backs.test");
	resolver_cancel(r.resolver, id);
	resolver_forget(r.resolver, "mx:backs.test");
	(void)ask(&r, "mx:two.test"); /* ready */
	resolver_cancel(r.resolver, ask(&r, "mx:two.test"));
	loop_advance(r.loop, 0);
	close_rig(&r);
}

static void test_providers(void **state)
{
	static const struct fake_dns_row moved[] = {
		FAKE_DNS_RR("two.test", "MX", "10 mx.elsewhere.test"),
		FAKE_DNS_RR("mx.elsewhere.test", "A", "192.0.2.1"),
	};
	struct rig r;

	(void)state;
	open_rig(&r);
	assert_null(resolver_provider(r.resolver, STR("two.test")));
	(void)resolve(&r, "mx:two.test");
	(void)resolve(&r, "mx:two.test");
	assert_string_equal(resolver_provider(r.resolver, STR("two.test")), "two.test");
	assert_null(resolver_provider(r.resolver, STR("two.tes")));
	assert_null(resolver_provider(r.resolver, STR("")));
	(void)resolve(&r, "smarthost:mx.two.test:25");
	(void)resolve(&r, "mx:nobody.test");
	(void)resolve(&r, "mx:null.test");
	/* when it is certain that nobody takes its mail, nothing has to wait for who it is */
	assert_string_equal(resolver_provider(r.resolver, STR("nobody.test")), "nobody.test");
	fake_dns_rows(r.server, moved, ARRAY_LEN(moved));
	loop_advance(r.loop, 100000);
	(void)resolve(&r, "mx:two.test");
	assert_string_equal(r.providers, "two.test=two.test nobody.test=nobody.test "
					 "null.test=null.test two.test=elsewhere.test ");
	resolver_forget(r.resolver, NULL);
	assert_string_equal(resolver_provider(r.resolver, STR("two.test")), "elsewhere.test");
	close_rig(&r);
}

/* Who hears of a provider may no longer want the answer. */
static void test_provider_cancels(void **state)
{
	struct rig r;

	(void)state;
	open_rig(&r);
	r.cancel = ask(&r, "mx:two.test");
	(void)ask(&r, "mx:two.test");
	await(&r, 1);
	loop_advance(r.loop, 0);
	assert_int_equal(r.got, 1);
	close_rig(&r);
}

static void test_forgets(void **state)
{
	static const struct fake_dns_row changed[] = {
		FAKE_DNS_RR("two.test", "MX", "10 mx.two.test"),
		FAKE_DNS_RR("mx.two.test", "A", "192.0.2.77"),
		FAKE_DNS_RR("implicit.test", "A", "192.0.2.78"),
	};
	struct rig r;

	(void)state;
	open_rig(&r);
	(void)resolve(&r, "mx:two.test");
	(void)resolve(&r, "mx:implicit.test");
	fake_dns_rows(r.server, changed, ARRAY_LEN(changed));
	resolver_forget(r.resolver, "mx:implicit.test");
	resolver_forget(r.resolver, "mx:unheard-of.test");
	resolver_forget(r.resolver, "hold");
	assert_string_equal(resolve(&r, "mx:implicit.test"),
			    "0 implicit.test 192.0.2.78 port 2525");
	assert_non_null(strstr(resolve(&r, "mx:two.test"), "192.0.2.1,"));
	resolver_forget(r.resolver, "mx:two.test");
	assert_string_equal(resolve(&r, "mx:two.test"), "10 mx.two.test 192.0.2.77 port 2525");
	resolver_forget(r.resolver, "smarthost:mx.two.test:25");
	fake_dns_rows(r.server, rows, ARRAY_LEN(rows));
	assert_non_null(strstr(resolve(&r, "smarthost:mx.two.test:25"), "192.0.2.1 "));
	resolver_forget(r.resolver, NULL);
	assert_non_null(strstr(resolve(&r, "mx:two.test"), "192.0.2.2 "));

	/* While an answer is on its way: who waits gets that one, who comes later asks anew. */
	resolver_forget(r.resolver, NULL);
	fake_dns_hold(r.server, true);
	(void)ask(&r, "mx:implicit.test");
	resolver_forget(r.resolver, "mx:implicit.test");
	(void)ask(&r, "mx:implicit.test");
	fake_dns_hold(r.server, false);
	await(&r, 2);
	close_rig(&r);
}

/* Room for three names: the least recently used one goes, and what is being used stays. */
static void test_makes_room(void **state)
{
	struct rig r;

	(void)state;
	open_rig_of(&r, 3);
	(void)resolve(&r, "smarthost:backup.two.test:25");
	(void)resolve(&r, "smarthost:mx.private.test:25");
	(void)resolve(&r, "smarthost:mx.two.test:25");
	(void)resolve(&r, "smarthost:backup.two.test:25");
	(void)resolve(&r, "smarthost:implicit.test:25");
	(void)resolve(&r, "smarthost:backup.two.test:25");
	(void)resolve(&r, "smarthost:mx.two.test:25");
	assert_int_equal(fake_dns_asked(r.server, "backup.two.test"), 2);
	assert_int_equal(fake_dns_asked(r.server, "mx.two.test"), 2);
	(void)resolve(&r, "smarthost:mx.private.test:25");
	assert_int_equal(fake_dns_asked(r.server, "mx.private.test"), 4);
	assert_string_equal(resolve(&r, "mx:skips.test"), "10 backup.two.test 192.0.2.2 port 2525");
	close_rig(&r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_hosts),
		cmocka_unit_test(test_failures),
		cmocka_unit_test(test_private_addresses),
		cmocka_unit_test(test_long_names),
		cmocka_unit_test(test_many),
		cmocka_unit_test(test_shuffle),
		cmocka_unit_test(test_remembers),
		cmocka_unit_test(test_ttl_bounds),
		cmocka_unit_test(test_shares),
		cmocka_unit_test(test_cancels),
		cmocka_unit_test(test_providers),
		cmocka_unit_test(test_provider_cancels),
		cmocka_unit_test(test_forgets),
		cmocka_unit_test(test_makes_room),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
