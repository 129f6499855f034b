/* SPF records on a name server that says what a table tells it to. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/mem.h"
#include "lib/fake_dns.h"
#include "route/spf.h"

#define TIMEOUT_MS 50
#define ROUNDS_MAX 30
#define SPF(name, record) FAKE_DNS_RR(name ".test", "TXT", "v=spf1 " record)

static const struct fake_dns_row rows[] = {
	FAKE_DNS_RR("none.test", "TXT", "v=spf10 +all"),
	FAKE_DNS_RR("none.test", "TXT", "something else"),
	FAKE_DNS_RR("bare.test", "TXT", "V=SPF1"),
	FAKE_DNS_RR("two.test", "TXT", "v=spf1 +all"),
	FAKE_DNS_RR("two.test", "TXT", "v=spf1 -all"),
	FAKE_DNS_RR("pieces.test", "TXT", "v=spf1 ip4:192.|0.2.0/24 -all"),
	SPF("all", "-all"),
	SPF("soft", "~all"),
	SPF("neutral", "?all"),
	SPF("ip4", "ip4:192.0.2.1 -all"),
	SPF("ip4net", "ip4:192.0.2.0/28 -all"),
	SPF("ip6", "ip6:2001:db8::/32 -all"),
	SPF("deny", "-ip4:192.0.2.1 +all"),
	SPF("a", "a -all"),
	FAKE_DNS_RR("a.test", "A", "192.0.2.1"),
	FAKE_DNS_RR("a.test", "AAAA", "2001:db8::1"),
	SPF("anet", "a:a.test/24 -all"),
	SPF("anet6", "a:a.test/32//64 -all"),
	SPF("mx", "mx -all"),
	FAKE_DNS_RR("mx.test", "MX", "10 mx1.test"),
	FAKE_DNS_RR("mx.test", "MX", "20 a.test"),
	FAKE_DNS_RR("mx1.test", "A", "192.0.2.9"),
	SPF("include", "include:ip4.test -all"),
	SPF("include-soft", "include:soft.test ip4:192.0.2.1 -all"),
	SPF("include-none", "include:none.test +all"),
	SPF("include-missing", "include:nobody.test +all"),
	SPF("redirect", "redirect=ip4.test"),
	SPF("redirect-late", "redirect=all.test ip4:192.0.2.1"),
	SPF("redirect-all", "-all redirect=ip4.test"),
	SPF("redirect-none", "redirect=none.test"),
	SPF("exp", "exp=x.%{d}.test other=1 ip4:192.0.2.1 -all"),
	SPF("loop", "include:loop.test -all"),
	SPF("ten", "a:n1.test a:n2.test mx:mx.test a:mx1.test a:mx1.test a:mx1.test a:mx1.test "
		   "a:mx1.test a:mx1.test a:a.test -all"),
	SPF("eleven", "a:mx1.test a:mx1.test a:mx1.test a:mx1.test a:mx1.test a:mx1.test "
		      "a:mx1.test a:mx1.test a:mx1.test a:mx1.test a:a.test -all"),
	SPF("voids", "a:n1.test a:n2.test a:n3.test ip4:192.0.2.1 -all"),
	SPF("macro", "include:%{i}.x.test -all"),
	SPF("macro-late", "ip4:192.0.2.1 include:%{i}.x.test -all"),
	SPF("exists", "exists:x.test -all"),
	SPF("ptr", "ptr -all"),
	SPF("sick", "a:servfail.test -all"),
	FAKE_DNS_ACT("servfail.test", FAKE_DNS_SERVFAIL),
	SPF("typo", "ip4:192.0.2.1 incldue:x.test -all"),
	SPF("bad-ip", "ip4:192.0.2 -all"),
	SPF("bad-ip6", "ip6:192.0.2.1 -all"),
	SPF("bad-cidr", "a/33 -all"),
	SPF("bad-all", "all:x.test"),
	SPF("no-name", "include -all"),
	SPF("two-redirects", "redirect=all.test redirect=all.test"),
	SPF("spaces", "  ip4:192.0.2.1   -all "),
	SPF("dot", "include:ip4.test. -all"),
	SPF("case", "IP4:192.0.2.1 -ALL"),
};

struct rig {
	struct loop *loop;
	struct fake_dns *server;
	struct dns *dns;
};

static void on_there(void *arg)
{
	loop_stop(arg);
}

static enum spf_result check(struct rig *r, const char *name, const char *address,
			     const char **ret_why)
{
	struct dnsbook *b = dnsbook_new(r->dns, on_there, r->loop);
	AUTO_FREE char *domain = xasprintf("%s.test", name);
	enum spf_result result;
	struct ipaddr ip;
	int rounds = 0;

	assert_true(ipaddr_parse(str_of(address), &ip));
	while ((result = spf_check(b, domain, &ip, ret_why)) == SPF_WAIT) {
		assert_true(dnsbook_ask(b));
		assert_true(++rounds < ROUNDS_MAX);
		loop_run(r->loop);
	}
	assert_false(dnsbook_ask(b));
	dnsbook_free(&b);
	return result;
}

static void test_results(void **state)
{
	static const struct {
		const char *domain;
		const char *address;
		enum spf_result result;
		const char *why;
	} cases[] = {
		{ "nobody", "192.0.2.1", SPF_NONE, "" },
		{ "none", "192.0.2.1", SPF_NONE, "" },
		{ "bare", "192.0.2.1", SPF_NEUTRAL, "" },
		{ "two", "192.0.2.1", SPF_PERMERROR, "more than one" },
		{ "pieces", "192.0.2.77", SPF_PASS, "" },
		{ "all", "192.0.2.1", SPF_FAIL, "" },
		{ "soft", "192.0.2.1", SPF_SOFTFAIL, "" },
		{ "neutral", "192.0.2.1", SPF_NEUTRAL, "" },
		{ "ip4", "192.0.2.1", SPF_PASS, "" },
		{ "ip4", "192.0.2.2", SPF_FAIL, "" },
		{ "ip4", "2001:db8::1", SPF_FAIL, "" },
		{ "ip4net", "192.0.2.15", SPF_PASS, "" },
		{ "ip4net", "192.0.2.16", SPF_FAIL, "" },
		{ "ip6", "2001:db8:ffff::1", SPF_PASS, "" },
		{ "ip6", "2001:db9::1", SPF_FAIL, "" },
		{ "ip6", "192.0.2.1", SPF_FAIL, "" },
		{ "deny", "192.0.2.1", SPF_FAIL, "" },
		{ "deny", "192.0.2.2", SPF_PASS, "" },
		{ "a", "192.0.2.1", SPF_PASS, "" },
		{ "a", "2001:db8::1", SPF_PASS, "" },
		{ "a", "192.0.2.2", SPF_FAIL, "" },
		{ "anet", "192.0.2.200", SPF_PASS, "" },
		{ "anet", "2001:db8::2", SPF_FAIL, "" },
		{ "anet6", "2001:db8::2", SPF_PASS, "" },
		{ "anet6", "192.0.2.2", SPF_FAIL, "" },
		{ "mx", "192.0.2.9", SPF_PASS, "" },
		{ "mx", "192.0.2.1", SPF_PASS, "" },
		{ "mx", "192.0.2.2", SPF_FAIL, "" },
		{ "include", "192.0.2.1", SPF_PASS, "" },
		{ "include", "192.0.2.2", SPF_FAIL, "" },
		{ "include-soft", "192.0.2.1", SPF_PASS, "" },
		{ "include-none", "192.0.2.1", SPF_PERMERROR, "includes has no SPF" },
		{ "include-missing", "192.0.2.1", SPF_PERMERROR, "includes has no SPF" },
		{ "redirect", "192.0.2.1", SPF_PASS, "" },
		{ "redirect", "192.0.2.2", SPF_FAIL, "" },
		{ "redirect-late", "192.0.2.1", SPF_PASS, "" },
		{ "redirect-late", "192.0.2.2", SPF_FAIL, "" },
		{ "redirect-all", "192.0.2.1", SPF_FAIL, "" },
		{ "redirect-none", "192.0.2.1", SPF_PERMERROR, "redirects to" },
		{ "exp", "192.0.2.1", SPF_PASS, "" },
		{ "loop", "192.0.2.1", SPF_PERMERROR, "10 DNS lookups" },
		{ "ten", "192.0.2.1", SPF_PASS, "" },
		{ "eleven", "192.0.2.1", SPF_PERMERROR, "10 DNS lookups" },
		{ "eleven", "192.0.2.9", SPF_PASS, "" },
		{ "voids", "192.0.2.1", SPF_PERMERROR, "more than 2" },
		{ "macro", "192.0.2.1", SPF_UNKNOWN, "macros" },
		{ "macro-late", "192.0.2.1", SPF_PASS, "" },
		{ "macro-late", "192.0.2.2", SPF_UNKNOWN, "macros" },
		{ "exists", "192.0.2.1", SPF_UNKNOWN, "exists" },
		{ "ptr", "192.0.2.1", SPF_UNKNOWN, "ptr" },
		{ "sick", "192.0.2.1", SPF_TEMPERROR, "trouble" },
		{ "servfail", "192.0.2.1", SPF_TEMPERROR, "trouble" },
		{ "typo", "192.0.2.1", SPF_PERMERROR, "syntax" },
		{ "bad-ip", "192.0.2.1", SPF_PERMERROR, "syntax" },
		{ "bad-ip6", "192.0.2.1", SPF_PERMERROR, "syntax" },
		{ "bad-cidr", "192.0.2.1", SPF_PERMERROR, "syntax" },
		{ "bad-all", "192.0.2.1", SPF_PERMERROR, "syntax" },
		{ "no-name", "192.0.2.1", SPF_PERMERROR, "syntax" },
		{ "two-redirects", "192.0.2.1", SPF_PERMERROR, "syntax" },
		{ "spaces", "192.0.2.1", SPF_PASS, "" },
		{ "dot", "192.0.2.1", SPF_PASS, "" },
		{ "case", "192.0.2.2", SPF_FAIL, "" },
	};
	struct rig r = { .loop = loop_new() };
	const char *server;
	struct dns_config cfg = { .servers_n = 1, .timeout_ms = TIMEOUT_MS, .tries = 2 };

	(void)state;
	r.server = fake_dns_new(r.loop, rows, ARRAY_LEN(rows));
	server = fake_dns_address(r.server);
	cfg.servers = &server;
	assert_int_equal(dns_new(r.loop, &cfg, &r.dns, NULL), 0);
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		const char *why;
		enum spf_result got = check(&r, cases[i].domain, cases[i].address, &why);
		if (got != cases[i].result || strstr(why, cases[i].why) == NULL ||
		    (*cases[i].why == '\0') != (*why == '\0'))
			fail_msg("%s %s: %s (%s)", cases[i].domain, cases[i].address,
				 spf_result_name(got), why);
	}
	dns_free(&r.dns);
	fake_dns_free(&r.server);
	loop_free(&r.loop);
}

/* A book that is freed while it waits, and one that is full. */
static void test_book(void **state)
{
	struct rig r = { .loop = loop_new() };
	const char *server;
	struct dns_config cfg = { .servers_n = 1, .timeout_ms = TIMEOUT_MS, .tries = 2 };
	const struct dns_answer *a;
	struct dnsbook *b;
	char name[32];

	(void)state;
	r.server = fake_dns_new(r.loop, rows, ARRAY_LEN(rows));
	server = fake_dns_address(r.server);
	cfg.servers = &server;
	assert_int_equal(dns_new(r.loop, &cfg, &r.dns, NULL), 0);
	b = dnsbook_new(r.dns, on_there, r.loop);
	assert_null(dnsbook_get(b, "a.test", DNS_TYPE_A));
	assert_true(dnsbook_ask(b));
	dnsbook_free(&b);
	b = dnsbook_new(r.dns, on_there, r.loop);
	for (int i = 0; i < DNSBOOK_MAX; i++) {
		(void)snprintf(name, sizeof(name), "n%d.test", i);
		assert_null(dnsbook_get(b, name, DNS_TYPE_A));
	}
	a = dnsbook_get(b, "one-more.test", DNS_TYPE_A);
	assert_non_null(a);
	assert_int_equal(a->status, DNS_TROUBLE);
	assert_true(dnsbook_ask(b));
	loop_run(r.loop);
	assert_int_equal(dnsbook_get(b, "N1.test", DNS_TYPE_A)->status, DNS_NXDOMAIN);
	dnsbook_free(&b);
	dns_free(&r.dns);
	fake_dns_free(&r.server);
	loop_free(&r.loop);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_results),
					    cmocka_unit_test(test_book) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
