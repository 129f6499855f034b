/* The list of DKIM keys: what the store has becomes what signs, and secrets stay where they are. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "base/mem.h"
#include "sign/keys.h"

static struct dkim_key *keys_made[2];

static int make(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(keys_made); i++)
		if (dkim_key_new(DKIM_ED25519, &keys_made[i], NULL) < 0)
			return -1;
	return 0;
}

static int unmake(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(keys_made); i++)
		dkim_key_free(&keys_made[i]);
	return 0;
}

static void put(struct keys *k, const char *domain, const char *selector, size_t key,
		enum key_state state, int64_t now_ms)
{
	char secret[KEY_SECRET_LEN];
	char *text = keys_secret(keys_made[key], secret);
	json_t *o = keys_public(str_of(domain), str_of(selector), keys_made[key], state, "root", 7);
	char *json = json_dumps(o, 0);
	struct err err = ERR_INIT;

	assert_non_null(text);
	assert_null(strstr(json, "PRIVATE"));
	if (keys_put_secret(k, secret, text, now_ms, &err) < 0 ||
	    keys_put(k, json, now_ms, &err) < 0)
		fail_msg("%s", err.msg);
	keys_wipe(&text);
	free(json);
	json_decref(o);
}

static void test_order_and_look_up(void **state)
{
	static const char *const ids[] = { "a.example/s1", "b-c.example/s1", "b.c.example/s1",
					   "b.example/s1", "b.example/s2" };
	struct keys *k = keys_new();
	size_t first;

	(void)state;
	for (size_t i = ARRAY_LEN(ids); i-- > 0;) {
		AUTO_FREE char *id = xstrdup(ids[i]);
		char *slash = strchr(id, '/');
		*slash = '\0';
		put(k, id, slash + 1, i % 2, KEY_ACTIVE, 0);
	}
	assert_int_equal(keys_n(k), ARRAY_LEN(ids));
	for (size_t i = 0; i < ARRAY_LEN(ids); i++) {
		assert_string_equal(keys_at(k, i)->id, ids[i]);
		assert_ptr_equal(keys_find(k, str_of(ids[i])), keys_at(k, i));
	}
	assert_int_equal(keys_of(k, STR("B.Example"), &first), 2);
	assert_string_equal(keys_at(k, first)->id, "b.example/s1");
	assert_string_equal(keys_at(k, first)->by, "root");
	assert_int_equal(keys_of(k, STR("c.example"), &first), 0);
	assert_int_equal(keys_of(k, STR("b"), &first), 0);
	assert_null(keys_find(k, STR("b.example")));
	assert_null(keys_find(k, STR("b.example/s3")));
	assert_true(keys_drop(k, STR("b.example/s1"), 0));
	assert_false(keys_drop(k, STR("b.example/s1"), 0));
	assert_int_equal(keys_of(k, STR("b.example"), &first), 1);
	keys_count(k, STR("b.example/s2"), true, 9);
	keys_count(k, STR("b.example/s2"), false, 10);
	keys_count(k, STR("gone.example/s2"), true, 9);
	put(k, "b.example", "s2", 0, KEY_RETIRED, 0); /* changed: counters stay */
	assert_int_equal(keys_of(k, STR("b.example"), &first), 1);
	assert_int_equal(keys_at(k, first)->state, KEY_RETIRED);
	assert_int_equal(keys_at(k, first)->signed_n, 1);
	assert_int_equal(keys_at(k, first)->failed_n, 1);
	assert_int_equal(keys_at(k, first)->last_ms, 9);
	keys_free(&k);
}

/* What an undo may want stays; what nothing names any more is told after that time. */
static void test_orphans(void **state)
{
	struct keys *k = keys_new();
	struct sign_key *in_use;
	AUTO_FREE char *json = NULL;
	const char *orphan;
	json_t *o;

	(void)state;
	put(k, "a.example", "s1", 0, KEY_ACTIVE, 100);
	put(k, "b.example", "s1", 0, KEY_ACTIVE, 100); /* the same key for another domain */
	assert_null(keys_orphan(k, INT64_MAX));
	assert_int_equal(keys_orphan_ms(k), 0);
	o = keys_json(keys_at(k, 0));
	json = json_dumps(o, 0);
	json_decref(o);
	in_use = sign_key_ref(keys_at(k, 0)->key);
	assert_true(keys_drop(k, STR("b.example/s1"), 200));
	assert_null(keys_orphan(k, INT64_MAX));
	assert_true(keys_drop(k, STR("a.example/s1"), 300));
	assert_int_equal(keys_orphan_ms(k), 300);
	assert_null(keys_orphan(k, 300));
	assert_int_equal(keys_put(k, json, 310, NULL), 0); /* the undo */
	assert_null(keys_orphan(k, INT64_MAX));
	assert_true(keys_drop(k, STR("a.example/s1"), 400));
	orphan = keys_orphan(k, 401);
	assert_non_null(orphan);
	keys_drop_secret(k, orphan);
	assert_int_equal(keys_put(k, json, 500, NULL), 0); /* without its private part */
	assert_null(keys_at(k, 0)->key);
	assert_int_equal(keys_algorithm(keys_at(k, 0)), DKIM_ED25519);
	assert_true(keys_drop(k, STR("a.example/s1"), 600));
	assert_int_equal(dkim_key_algorithm(sign_key_dkim(in_use)), DKIM_ED25519);
	sign_key_unref(&in_use);
	keys_free(&k);
}

/* A key that came without its private part, and gets it: from then on that is in use. */
static void test_completed(void **state)
{
	struct keys *k = keys_new();
	char secret[KEY_SECRET_LEN];
	char *text = keys_secret(keys_made[0], secret);
	json_t *o = keys_public(STR("a.example"), STR("s1"), keys_made[0], KEY_ACTIVE, "root", 100);
	AUTO_FREE char *json = json_dumps(o, 0);

	(void)state;
	json_decref(o);
	assert_int_equal(keys_put(k, json, 100, NULL), 0);
	assert_null(keys_at(k, 0)->key);
	assert_int_equal(keys_empty_n(k), 1);
	assert_int_equal(keys_mute_n(k), 1);
	assert_int_equal(keys_put_secret(k, secret, text, 200, NULL), 0);
	assert_int_equal(keys_put(k, json, 200, NULL), 0);
	assert_int_equal(keys_empty_n(k), 0);
	assert_int_equal(keys_mute_n(k), 0);
	assert_non_null(keys_at(k, 0)->key);
	assert_null(keys_orphan(k, INT64_MAX));
	assert_int_equal(keys_orphan_ms(k), 0);
	keys_drop_secret(k, secret);
	assert_true(keys_has_secret(k, secret));
	assert_true(keys_drop(k, STR("a.example/s1"), 300));
	assert_int_equal(keys_orphan_ms(k), 300);
	keys_wipe(&text);
	keys_free(&k);
}

static void test_names(void **state)
{
	static const struct {
		const char *domain;
		const char *selector;
		const char *id; /* NULL: refused */
	} cases[] = {
		{ "Shop.Example", "S1", "shop.example/s1" },
		{ "shop.example", "2026.a-b_c", "shop.example/2026.a-b_c" },
		{ "shop.example", "", NULL },
		{ "shop.example", ".s", NULL },
		{ "shop.example", "s.", NULL },
		{ "shop.example", "a..b", NULL },
		{ "shop.example", "a/b", NULL },
		{ "shop.example", "a b", NULL },
		{ "shop.example", "a;b", NULL },
		{ "shop", "s", NULL },
		{ "", "s", NULL },
		{ "shop example", "s", NULL },
		{ "b\xc3\xbc"
		  "cher.example",
		  "s", NULL },
		{ "shop.example",
		  "0123456789012345678901234567890123456789012345678901234567890123", NULL },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		char id[KEY_ID_MAX + 1] = "";
		struct err err = ERR_INIT;
		int rc = keys_name(str_of(cases[i].domain), str_of(cases[i].selector), id, &err);
		if ((rc >= 0) != (cases[i].id != NULL) ||
		    (rc >= 0 && strcmp(id, cases[i].id) != 0) || (rc < 0 && err.param[0] == '\0'))
			fail_msg("%s %s: %d %s", cases[i].domain, cases[i].selector, rc, id);
	}
}

static void test_damaged(void **state)
{
	struct keys *k = keys_new();
	char secret[KEY_SECRET_LEN];
	char *text = keys_secret(keys_made[0], secret);
	static const char *const bad[] = {
		"", "[]", "{}", "{\"domain\":\"a.example\",\"selector\":\"s\",\"state\":\"active\"}"
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		struct err err = ERR_INIT;
		assert_int_equal(keys_put(k, bad[i], 0, &err), -ERR_CORRUPT);
		assert_int_equal(keys_put_secret(k, secret, bad[i], 0, &err), -ERR_CORRUPT);
	}
	assert_int_equal(keys_put_secret(k, "x", text, 0, NULL), -ERR_CORRUPT);
	assert_int_equal(keys_put_secret(k, secret, text, 0, NULL), 0);
	AUTO_FREE char *no_state = xasprintf("{\"domain\":\"a.example\",\"selector\":\"s\","
					     "\"state\":\"odd\",\"secret\":\"%s\"}",
					     secret);
	assert_int_equal(keys_put(k, no_state, 0, NULL), -ERR_CORRUPT);
	assert_int_equal(keys_n(k), 0);
	assert_int_equal(keys_orphan_ms(k), 0);
	assert_string_equal(keys_orphan(k, 1), secret);
	keys_wipe(&text);
	keys_free(&k);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_order_and_look_up), cmocka_unit_test(test_orphans),
		cmocka_unit_test(test_completed),	  cmocka_unit_test(test_names),
		cmocka_unit_test(test_damaged),
	};

	return cmocka_run_group_tests(tests, make, unmake);
}
