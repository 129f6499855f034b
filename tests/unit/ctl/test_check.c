/* What a check says about right and wrong records, read from a name server that has them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/json.h"
#include "base/mem.h"
#include "ctl/check.h"
#include "lib/fake_dns.h"
#include "lib/reply_schema.h"

#define HOST "relay.test.example"
#define OURS "192.0.2.25"
#define ROUNDS_MAX 30
#define ROWS_MAX 20

static struct rig {
	struct loop *loop;
	struct fake_dns *server;
	struct dns *dns;
	struct keys *keys;
	struct fake_dns_row rows[ROWS_MAX];
	size_t n;
} rig;

static void add_key(const char *domain, const char *selector, enum key_state state)
{
	struct dkim_key *key = NULL;
	char secret[KEY_SECRET_LEN];
	char *text, *json;
	json_t *o;

	assert_int_equal(dkim_key_new(DKIM_ED25519, &key, NULL), 0);
	text = keys_secret(key, secret);
	o = keys_public(str_of(domain), str_of(selector), key, state, "root", 7);
	json = json_dumps(o, 0);
	assert_int_equal(keys_put_secret(rig.keys, secret, text, 0, NULL), 0);
	assert_int_equal(keys_put(rig.keys, json, 0, NULL), 0);
	keys_wipe(&text);
	free(json);
	json_decref(o);
	dkim_key_free(&key);
}

static const char *record(const char *id)
{
	const struct key_entry *e = keys_find(rig.keys, str_of(id));

	assert_non_null(e);
	return e->record;
}

static void rr(const char *name, const char *type, const char *data)
{
	assert_true(rig.n < ROWS_MAX);
	rig.rows[rig.n++] = (struct fake_dns_row){ .name = name, .type = type, .data = data };
}

static int setup(void **state)
{
	const char *server;
	struct dns_config cfg = {
		.servers_n = 1, .timeout_ms = 100, .tries = 2, .trust = DNS_TRUST_AUTO
	};

	(void)state;
	rig = (struct rig){ .loop = loop_new(), .keys = keys_new() };
	rig.server = fake_dns_new(rig.loop, NULL, 0);
	server = fake_dns_address(rig.server);
	cfg.servers = &server;
	return dns_new(rig.loop, &cfg, &rig.dns, NULL);
}

static int teardown(void **state)
{
	(void)state;
	dns_free(&rig.dns);
	fake_dns_free(&rig.server);
	keys_free(&rig.keys);
	loop_free(&rig.loop);
	return 0;
}

static void on_there(void *arg)
{
	loop_stop(arg);
}

static json_t *check(const char *domain)
{
	struct dnsbook *b = dnsbook_new(rig.dns, on_there, rig.loop);
	struct check_in in = { .book = b, .keys = rig.keys, .domain = domain, .hostname = HOST };
	json_t *rows;
	int rounds = 0;
	size_t i;
	json_t *row;

	fake_dns_rows(rig.server, rig.rows, rig.n);
	while ((rows = check_rows(&in)) == NULL) {
		assert_true(dnsbook_ask(b));
		assert_true(++rounds < ROUNDS_MAX);
		loop_run(rig.loop);
	}
	dnsbook_free(&b);
	json_array_foreach(rows, i, row)
	{
		char *wrong = reply_schema_object("check", NULL, row);
		if (wrong != NULL)
			fail_msg("%s", wrong);
	}
	return rows;
}

/* The row of that name (and about, unless NULL) has the status, and the words in it somewhere. */
static void expect(const json_t *rows, const char *name, const char *about, const char *status,
		   const char *words)
{
	size_t i;
	json_t *row;

	json_array_foreach(rows, i, row)
	{
		char *text = json_dumps(row, JSON_COMPACT | JSON_SORT_KEYS);
		bool same = strcmp(json_get_str(row, "name"), name) == 0 &&
			    (about == NULL || strcmp(json_get_str(row, "about"), about) == 0);
		bool good = strcmp(json_get_str(row, "status"), status) == 0 &&
			    strstr(text, words) != NULL;
		if (same && !good)
			fail_msg("%s %s: no %s with \"%s\": %s", name, about != NULL ? about : "",
				 status, words, text);
		free(text);
		if (same)
			return;
	}
	fail_msg("no row %s %s", name, about != NULL ? about : "");
}

static void good_host(void)
{
	rr(HOST, "A", OURS);
	rr("25.2.0.192.in-addr.arpa", "PTR", HOST);
}

static void rr_secure(const char *name, const char *type, const char *data)
{
	rr(name, type, data);
	rig.rows[rig.n - 1].secure = true;
}

/* What is published for those who write to the domain: right, of no use, not signed, nothing. */
static void test_tls_of_mail(void **state)
{
	json_t *rows;

	(void)state;
	good_host();
	rr("mail.example", "MX", "10 mx.mail.example");
	rr("mail.example", "MX", "20 mx2.mail.example");
	rr("mail.example", "MX", "30 mx3.mail.example");
	rr("_mta-sts.mail.example", "TXT", "v=STSv1; id=20260101;");
	rr_secure("_25._tcp.mx.mail.example", "TLSA",
		  "3 1 1 000102030405060708090a0b0c0d0e0f000102030405060708090a0b0c0d0e0f");
	rr("_25._tcp.mx2.mail.example", "TLSA",
	   "3 1 1 000102030405060708090a0b0c0d0e0f000102030405060708090a0b0c0d0e0f");
	rr_secure("_25._tcp.mx3.mail.example", "TLSA", "3 1 1 0001");
	rows = check("mail.example");
	expect(rows, "mta-sts", NULL, "ok", "https://mta-sts.mail.example");
	expect(rows, "tlsa", "mx.mail.example", "ok", "signed");
	expect(rows, "tlsa", "mx2.mail.example", "warning", "ignore");
	expect(rows, "tlsa", "mx3.mail.example", "wrong", "none of which");
	json_decref(rows);

	rr("twice.example", "MX", "10 mx.twice.example");
	rr("_mta-sts.twice.example", "TXT", "v=STSv1; id=1;");
	rr("_mta-sts.twice.example", "TXT", "v=STSv1; id=2;");
	rows = check("twice.example");
	expect(rows, "mta-sts", NULL, "wrong", "several");
	expect(rows, "tlsa", NULL, "ok", "no TLSA records");
	json_decref(rows);
}

static void test_all_right(void **state)
{
	json_t *rows;
	size_t i;
	json_t *row;

	(void)state;
	good_host();
	add_key("shop.example", "s1", KEY_ACTIVE);
	rr("shop.example", "TXT", "v=spf1 ip4:192.0.2.0/24 -all");
	rr("shop.example", "TXT", "site-verification=1");
	rr("shop.example", "MX", "10 mx.shop.example");
	rr("s1._domainkey.shop.example", "TXT", record("shop.example/s1"));
	rr("_dmarc.shop.example", "TXT", "v=DMARC1; p=reject; adkim=s");
	rows = check("shop.example");
	assert_int_equal(json_array_size(rows), 8);
	json_array_foreach(rows, i, row)
	{
		if (strcmp(json_get_str(row, "status"), "ok") != 0)
			fail_msg("%s", json_dumps(row, 0));
		assert_true(json_is_null(json_object_get(row, "publish")));
	}
	json_decref(rows);
}

static void test_nothing(void **state)
{
	json_t *rows;

	(void)state;
	rows = check("shop.example");
	expect(rows, "spf", NULL, "missing", "v=spf1 ~all");
	expect(rows, "dkim", NULL, "missing", "weir dkim add shop.example");
	expect(rows, "dmarc", NULL, "missing",
	       "_dmarc.shop.example. IN TXT \\\"v=DMARC1; p=none\\\"");
	expect(rows, "mx", NULL, "warning", "neither MX nor address");
	expect(rows, "ehlo", HOST, "missing", "no name in DNS");
	json_decref(rows);
}

static void test_wrong_records(void **state)
{
	json_t *rows;

	(void)state;
	rr(HOST, "A", OURS);
	rr(HOST, "AAAA", "2001:db8::25");
	rr("25.2.0.192.in-addr.arpa", "PTR", "other.example");
	add_key("shop.example", "bad", KEY_ACTIVE);
	add_key("shop.example", "new", KEY_WAITING);
	add_key("shop.example", "old", KEY_RETIRED);
	add_key("shop.example", "unpublished", KEY_ACTIVE);
	rr("shop.example", "TXT", "v=spf1 ip6:2001:db8::/32 mx -all");
	rr("bad._domainkey.shop.example", "TXT", record("shop.example/old"));
	rr("new._domainkey.shop.example", "TXT", record("shop.example/new"));
	rr("old._domainkey.shop.example", "TXT", "v=DKIM1; p=");
	rr("_dmarc.shop.example", "TXT", "v=DMARC1; p=maybe");
	rr("shop.example", "MX", "0 .");
	rows = check("shop.example");
	expect(rows, "spf", OURS, "wrong",
	       "shop.example. IN TXT \\\"v=spf1 ip4:192.0.2.25 ip6:2001:db8::/32 mx -all\\\"");
	expect(rows, "spf", "2001:db8::25", "ok", "pass");
	expect(rows, "dkim", "bad", "wrong", "another public key");
	expect(rows, "dkim", "bad", "wrong", record("shop.example/bad"));
	expect(rows, "dkim", "new", "ok", "weir dkim activate");
	expect(rows, "dkim", "old", "warning", "revoked");
	expect(rows, "dkim", "unpublished", "missing",
	       "unpublished._domainkey.shop.example. IN TXT ");
	expect(rows, "dmarc", NULL, "wrong", "p=maybe");
	expect(rows, "mx", NULL, "warning", "takes no mail");
	expect(rows, "ptr", OURS, "wrong", "does not lead back");
	expect(rows, "ptr", "2001:db8::25", "missing", "ip6.arpa. IN PTR relay.test.example.");
	json_decref(rows);
}

static void test_twice_and_unknown(void **state)
{
	json_t *rows;

	(void)state;
	rr(HOST, "A", OURS);
	rr("25.2.0.192.in-addr.arpa", "PTR", "alias.example");
	rr("alias.example", "A", OURS);
	rr("shop.example", "TXT", "v=spf1 exists:%{i}.x.example -all");
	rr("_dmarc.shop.example", "TXT", "v=DMARC1; p=none");
	rr("_dmarc.shop.example", "TXT", "v=DMARC1; p=reject");
	rr("shop.example", "A", OURS);
	rows = check("shop.example");
	expect(rows, "spf", OURS, "unknown", "exists");
	expect(rows, "dmarc", NULL, "wrong", "2 DMARC records");
	expect(rows, "mx", NULL, "warning", "no MX record");
	expect(rows, "ptr", OURS, "warning", "we call ourselves");
	json_decref(rows);
	rr("shop.example", "TXT", "v=spf1 -all");
	rows = check("shop.example");
	expect(rows, "spf", NULL, "wrong", "2 SPF records");
	json_decref(rows);
}

/* The organisation's key signs, and its DMARC record counts, unless it is strict. */
static void test_organisation(void **state)
{
	json_t *rows;

	(void)state;
	good_host();
	add_key("shop.example", "s1", KEY_ACTIVE);
	rr("s1._domainkey.shop.example", "TXT", record("shop.example/s1"));
	rr("_dmarc.shop.example", "TXT", "v=DMARC1; p=reject; sp=quarantine");
	rows = check("news.shop.example");
	expect(rows, "dkim", "s1", "ok", "signed with it");
	expect(rows, "dmarc", NULL, "ok", "policy quarantine; signatures of shop.example align");
	json_decref(rows);
	rig.rows[rig.n - 1].data = "v=DMARC1; p=reject; adkim=s";
	rows = check("news.shop.example");
	expect(rows, "dmarc", NULL, "wrong", "weir dkim add news.shop.example");
	json_decref(rows);
}

static void test_trouble(void **state)
{
	json_t *rows;

	(void)state;
	rig.rows[rig.n++] = (struct fake_dns_row)FAKE_DNS_ACT("shop.example", FAKE_DNS_SERVFAIL);
	rig.rows[rig.n++] =
		(struct fake_dns_row)FAKE_DNS_ACT("_dmarc.shop.example", FAKE_DNS_REFUSED);
	rig.rows[rig.n++] = (struct fake_dns_row)FAKE_DNS_ACT(HOST, FAKE_DNS_SILENT);
	rows = check("shop.example");
	expect(rows, "spf", NULL, "unknown", "SERVFAIL");
	expect(rows, "mx", NULL, "unknown", "SERVFAIL");
	expect(rows, "dmarc", NULL, "unknown", "REFUSED");
	expect(rows, "ehlo", HOST, "unknown", "in time");
	json_decref(rows);
}

int main(void)
{
#define T(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)
	const struct CMUnitTest tests[] = {
		T(test_tls_of_mail),   T(test_all_right),	  T(test_nothing),
		T(test_wrong_records), T(test_twice_and_unknown), T(test_organisation),
		T(test_trouble),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
