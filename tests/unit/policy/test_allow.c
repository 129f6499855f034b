#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "base/mem.h"
#include "policy/allow.h"

static void put(struct allow *a, const char *network, int64_t expires_ms)
{
	AUTO_FREE char *json = xasprintf("{\"network\":\"%s\",\"note\":\"n\",\"by\":\"root\","
					 "\"created_ms\":5,\"expires_ms\":%lld}",
					 network, (long long)expires_ms);
	struct err err = ERR_INIT;

	if (allow_put(a, json, &err) < 0)
		fail_msg("%s: %s", network, err.msg);
}

static const char *who(const struct allow *a, const char *address, int64_t now_ms)
{
	struct ipaddr addr;
	const struct allow_entry *e;

	assert_true(ipaddr_parse(str_of(address), &addr));
	e = allow_check(a, &addr, now_ms);
	return e != NULL ? e->text : "nobody";
}

static void test_most_specific(void **state)
{
	static const struct {
		const char *address;
		int64_t now_ms;
		const char *network;
	} cases[] = {
		{ "10.1.2.3", 50, "10.1.0.0/16" },
		{ "10.1.2.3", 100, "10.0.0.0/8" }, /* the /16 ended */
		{ "10.2.0.1", 50, "10.0.0.0/8" },
		{ "10.1.9.9", 50, "10.1.9.9" },
		{ "192.0.2.1", 50, "nobody" },
		{ "::ffff:10.2.0.1", 50, "10.0.0.0/8" },
		{ "2001:db8:1::5", 50, "2001:db8:1::/48" },
		{ "2001:db8:2::5", 50, "2001:db8::/32" },
		{ "2001:db9::1", 50, "nobody" },
	};
	struct allow *a = allow_new();

	(void)state;
	put(a, "10.0.0.0/8", 0);
	put(a, "10.1.0.0/16", 100);
	put(a, "10.1.9.9", 0);
	put(a, "2001:db8::/32", 0);
	put(a, "2001:db8:1::/48", 0);
	for (size_t i = 0; i < ARRAY_LEN(cases); i++)
		assert_string_equal(who(a, cases[i].address, cases[i].now_ms), cases[i].network);
	assert_true(allow_drop(a, STR("10.1.9.9")));
	assert_false(allow_drop(a, STR("10.1.9.9")));
	assert_false(allow_drop(a, STR("10.0.0.0/9")));
	assert_string_equal(who(a, "10.1.9.9", 50), "10.1.0.0/16");
	allow_free(&a);
}

/* The widest networks of one family say nothing about the other. */
static void test_families(void **state)
{
	struct allow *a = allow_new();

	(void)state;
	put(a, "::/0", 0);
	assert_string_equal(who(a, "192.0.2.1", 0), "nobody");
	assert_string_equal(who(a, "2001:db8::1", 0), "::/0");
	put(a, "0.0.0.0/0", 0);
	assert_true(allow_drop(a, STR("::/0")));
	assert_string_equal(who(a, "192.0.2.1", 0), "0.0.0.0/0");
	assert_string_equal(who(a, "2001:db8::1", 0), "nobody");
	allow_free(&a);
}

static void test_counters_and_order(void **state)
{
	struct allow *a = allow_new();
	struct ipaddr addr;
	json_t *json;
	char *text;

	(void)state;
	assert_true(ipaddr_parse(STR("10.0.0.7"), &addr));
	put(a, "192.0.2.0/24", 0);
	put(a, "10.0.0.0/8", 0);
	put(a, "2001:db8::/32", 0);
	put(a, "10.0.0.0/16", 1);
	assert_int_equal(allow_n(a), 4);
	assert_string_equal(allow_at(a, 0)->text, "10.0.0.0/8");
	assert_string_equal(allow_at(a, 1)->text, "10.0.0.0/16");
	assert_string_equal(allow_at(a, 2)->text, "192.0.2.0/24");
	assert_string_equal(allow_at(a, 3)->text, "2001:db8::/32");
	assert_non_null(allow_hit(a, &addr, 77));
	assert_non_null(allow_hit(a, &addr, 78));
	put(a, "10.0.0.0/8", 99); /* changed: counters stay */
	assert_int_equal(allow_n(a), 4);
	assert_int_equal(allow_find(a, STR("10.0.0.0/8"))->hits, 2);
	assert_int_equal(allow_at(a, 0)->last_hit_ms, 78);
	json = allow_json(allow_at(a, 0));
	text = json_dumps(json, JSON_COMPACT);
	assert_int_equal(allow_put(a, text, NULL), 0);
	assert_int_equal(allow_at(a, 0)->expires_ms, 99);
	assert_int_equal(allow_at(a, 0)->created_ms, 5);
	assert_string_equal(allow_at(a, 0)->note, "n");
	assert_string_equal(allow_at(a, 0)->by, "root");
	free(text);
	json_decref(json);
	allow_free(&a);
}

static void test_damaged(void **state)
{
	static const char *const bad[] = {
		"", "{", "[]", "{\"network\":\"10.0.0.1/8\"}", "{\"note\":\"x\"}", "{\"network\":7}"
	};
	struct allow *a = allow_new();

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		struct err err = ERR_INIT;
		assert_int_equal(allow_put(a, bad[i], &err), -ERR_CORRUPT);
		assert_int_not_equal(err.msg[0], 0);
	}
	assert_int_equal(allow_n(a), 0);
	allow_free(&a);
}

static void put_mode(struct allow *a, const char *network, const char *mode)
{
	char json[200];

	(void)snprintf(json, sizeof(json), "{\"network\":\"%s\",\"mode\":\"%s\",\"stream\":\"s\"}",
		       network, mode);
	assert_int_equal(allow_put(a, json, NULL), 0);
}

static bool may_authenticate(const struct allow *a, const char *address)
{
	struct ipaddr addr;

	assert_true(ipaddr_parse(str_of(address), &addr));
	return allow_may_authenticate(a, allow_check(a, &addr, 1));
}

/* The most specific entry decides, also which of both it may. */
static void modes(void **state)
{
	struct allow *a = allow_new();
	const struct allow_entry *above;
	struct ipnet net;

	(void)state;
	put_mode(a, "10.0.0.0/8", "relay");
	assert_true(may_authenticate(a, "192.0.2.1"));
	put_mode(a, "10.1.0.0/16", "authenticate");
	put_mode(a, "2001:db8::/32", "authenticate");
	assert_int_equal(allow_find(a, STR("10.1.0.0/16"))->mode, ALLOW_AUTHENTICATE);
	assert_string_equal(allow_find(a, STR("10.1.0.0/16"))->stream, "s");
	assert_true(may_authenticate(a, "10.1.2.3"));
	assert_true(may_authenticate(a, "10.2.2.3"));
	assert_true(may_authenticate(a, "2001:db8::7"));
	assert_false(may_authenticate(a, "192.0.2.1"));
	assert_true(ipnet_parse(STR("10.1.2.0/24"), &net, NULL) >= 0);
	above = allow_above(a, &net, 1);
	assert_non_null(above);
	assert_string_equal(above->text, "10.1.0.0/16");
	assert_true(ipnet_parse(STR("10.0.0.0/8"), &net, NULL) >= 0);
	assert_null(allow_above(a, &net, 1));
	put_mode(a, "10.1.0.0/16", "relay");
	assert_false(may_authenticate(a, "192.0.2.1"));
	assert_true(allow_drop(a, STR("2001:db8::/32")));
	assert_true(may_authenticate(a, "192.0.2.1"));
	assert_int_equal(allow_put(a, "{\"network\":\"10.0.0.0/8\",\"mode\":\"both\"}", NULL),
			 -ERR_CORRUPT);
	allow_free(&a);
}

static void counts_and_the_store(void **state)
{
	struct allow *a = allow_new();
	struct ipaddr addr;
	json_t *o;

	(void)state;
	put_mode(a, "10.0.0.0/8", "relay");
	put_mode(a, "192.0.2.0/24", "relay");
	while (allow_dirty(a) != NULL)
		;
	assert_true(ipaddr_parse(STR("10.0.0.1"), &addr));
	(void)allow_hit(a, &addr, 77);
	(void)allow_hit(a, &addr, 78);
	put_mode(a, "10.0.0.0/8", "relay"); /* an edit keeps it */
	assert_true(allow_is_dirty(a));
	o = allow_use_json(allow_dirty(a));
	assert_false(allow_is_dirty(a));
	assert_true(allow_put_use(a, STR("192.0.2.0/24"), o));
	assert_false(allow_put_use(a, STR("192.0.2.0/25"), o));
	assert_int_equal(allow_find(a, STR("192.0.2.0/24"))->hits, 2);
	assert_int_equal(allow_find(a, STR("192.0.2.0/24"))->last_hit_ms, 78);
	json_decref(o);
	allow_free(&a);
}

/* Counts that the store has not yet are none that it never gets: another list comes between. */
static void counts_and_another_list(void **state)
{
	struct allow *a = allow_new(), *b = allow_new();
	struct ipaddr addr;
	const struct allow_entry *e;

	(void)state;
	put_mode(a, "10.0.0.0/8", "relay");
	put_mode(a, "192.0.2.0/24", "relay");
	put_mode(a, "198.51.100.0/24", "relay");
	while (allow_dirty(a) != NULL)
		;
	assert_true(ipaddr_parse(STR("10.0.0.1"), &addr));
	(void)allow_hit(a, &addr, 77);
	put_mode(a, "192.0.2.0/24", "relay"); /* the store may have counts of it */
	for (size_t i = 0; i < allow_n(a); i++)
		allow_copy(b, allow_at(a, i));
	allow_swap(a, b);
	allow_free(&b);
	e = allow_dirty(a);
	assert_non_null(e);
	assert_string_equal(e->text, "10.0.0.0/8");
	assert_int_equal(e->hits, 1);
	e = allow_dirty(a);
	assert_non_null(e);
	assert_string_equal(e->text, "192.0.2.0/24");
	assert_null(allow_dirty(a));
	allow_free(&a);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_most_specific),	   cmocka_unit_test(modes),
		cmocka_unit_test(counts_and_the_store),	   cmocka_unit_test(test_families),
		cmocka_unit_test(test_counters_and_order), cmocka_unit_test(test_damaged),
		cmocka_unit_test(counts_and_another_list),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
