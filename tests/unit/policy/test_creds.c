/* Credentials from and to the store, and what they may. */
#include "policy/creds.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/json.h"
#include "base/mem.h"

#define KEY "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="
#define CRED_KEYS "\"stored_key\":\"" KEY "\",\"server_key\":\"" KEY "\"}"
#define CRED(name, more)                                                                           \
	"{\"name\":\"" name "\",\"salt\":\"AAECAwQFBgcICQoLDA0ODw==\",\"iterations\":4096," more   \
	"\"secrets\":[{\"id\":\"s1\",\"created_ms\":5,\"expires_ms\":0,\"replaced_ms\":0,"         \
	"\"silent_ms\":0," CRED_KEYS ",{\"id\":\"s2\",\"created_ms\":6,\"expires_ms\":1000,"       \
	"\"replaced_ms\":0,\"silent_ms\":0," CRED_KEYS "]}"
/* The first of two was replaced at 100, and ends when it is silent for 50, or at 1000. */
#define ROTATED(name)                                                                              \
	"{\"name\":\"" name "\",\"salt\":\"AAECAwQFBgcICQoLDA0ODw==\",\"iterations\":4096,"        \
	"\"secrets\":[{\"id\":\"s1\",\"created_ms\":5,\"expires_ms\":1000,\"replaced_ms\":100,"    \
	"\"silent_ms\":50," CRED_KEYS ",{\"id\":\"s2\",\"created_ms\":100," CRED_KEYS "]}"

static struct creds *c;

static int set_up(void **state)
{
	(void)state;
	c = creds_new();
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	creds_free(&c);
	return 0;
}

static void put(const char *json)
{
	struct err err = ERR_INIT;

	if (creds_put(c, json, &err) < 0)
		fail_msg("%s: %s", json, err.msg);
}

static void kept_as_it_was(void **state)
{
	json_t *before = NULL;
	json_t *after;
	static const char text[] = CRED(
		"shop",
		"\"note\":\"n\",\"by\":\"olga\",\"created_ms\":7,\"revoked_ms\":0,"
		"\"disabled_ms\":8,\"expires_ms\":9,\"per_minute\":10,\"per_day\":11,"
		"\"recipients_max\":12,\"streams\":[\"news\"],\"senders\":[\"a.example\",\"<>\"],"
		"\"networks\":[\"10.0.0.0/8\"],");

	(void)state;
	put(text);
	after = creds_json(creds_find(c, STR("shop")));
	assert_true(json_read(text, &before, NULL) >= 0);
	assert_true(json_equal(before, after));
	json_decref(before);
	json_decref(after);
}

static void in_order_and_found(void **state)
{
	static const char *const names[] = { "mail", "app", "zoo", "app2", "ap" };

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		AUTO_FREE char *json =
			xasprintf("{\"name\":\"%s\",\"salt\":\"AAECAwQFBgcICQoLDA0ODw==\","
				  "\"iterations\":4096}",
				  names[i]);
		put(json);
	}
	assert_int_equal(creds_n(c), 5);
	for (size_t i = 1; i < creds_n(c); i++)
		assert_true(strcmp(creds_at(c, i - 1)->name, creds_at(c, i)->name) < 0);
	assert_string_equal(creds_find(c, STR("APP"))->name, "app");
	assert_null(creds_find(c, STR("appl")));
	assert_null(creds_find(c, STR("")));
	assert_true(creds_drop(c, STR("app")));
	assert_false(creds_drop(c, STR("app")));
	assert_string_equal(creds_find(c, STR("app2"))->name, "app2");
	assert_int_equal(creds_n(c), 4);
}

static void damaged_ones_are_refused(void **state)
{
	static const char *const bad[] = {
		"{}",
		"nonsense",
		"{\"name\":\"Shop\",\"salt\":\"AAECAwQFBgcICQoLDA0ODw==\",\"iterations\":4096}",
		"{\"name\":\"shop\",\"salt\":\"AAEC\",\"iterations\":4096}",
		"{\"name\":\"shop\",\"salt\":\"AAECAwQFBgcICQoLDA0ODw==\",\"iterations\":1}",
		CRED("shop", "\"networks\":[\"10.0.0.0/99\"],"),
		CRED("shop", "\"senders\":[1],"),
		CRED("shop", "\"per_day\":-1,"),
		CRED("shop", "\"per_minute\":1000000001,"),
		"{\"name\":\"shop\",\"salt\":\"AAECAwQFBgcICQoLDA0ODw==\",\"iterations\":4096,"
		"\"secrets\":[{\"id\":\"s1\",\"stored_key\":\"" KEY "\"}]}",
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		struct err err = ERR_INIT;
		if (creds_put(c, bad[i], &err) != -ERR_CORRUPT)
			fail_msg("%s was taken", bad[i]);
	}
	assert_int_equal(creds_n(c), 0);
}

static void time_and_status(void **state)
{
	const struct cred *x;

	(void)state;
	put(CRED("shop", ""));
	x = creds_find(c, STR("shop"));
	assert_true(cred_secret_usable(x, &x->secrets[0], 5000));
	assert_true(cred_secret_usable(x, &x->secrets[1], 999));
	assert_false(cred_secret_usable(x, &x->secrets[1], 1000));
	assert_string_equal(cred_status(x, 5000), "active");
	put(CRED("shop", "\"revoked_ms\":1,"));
	x = creds_find(c, STR("shop"));
	assert_string_equal(cred_status(x, 5000), "revoked");
	put(CRED("shop", "\"disabled_ms\":1,"));
	assert_string_equal(cred_status(creds_find(c, STR("shop")), 5000), "disabled");
	put(CRED("shop", "\"expires_ms\":5000,"));
	x = creds_find(c, STR("shop"));
	assert_string_equal(cred_status(x, 4999), "active");
	assert_string_equal(cred_status(x, 5000), "expired");
	assert_false(cred_secret_usable(x, &x->secrets[0], 5000));
	put(CRED("shop", "\"revoked_ms\":1,"));
	x = creds_find(c, STR("shop"));
	assert_false(cred_secret_usable(x, &x->secrets[0], 5000));
}

static void note(const char *name, enum cred_sign sign, const char *secret, const char *client,
		 const char *helo, int64_t now_ms)
{
	struct ipaddr ip;

	assert_true(ipaddr_parse(str_of(client), &ip));
	creds_note(c, str_of(name),
		   &(struct cred_sight){ .sign = sign,
					 .secret = str_of(secret),
					 .client = &ip,
					 .helo = str_of(helo),
					 .recipients = 3,
					 .bytes = 100 },
		   now_ms);
}

static void uses_are_counted_and_kept(void **state)
{
	const struct cred_use *use;
	const struct cred_secret_use *s;

	(void)state;
	put(CRED("shop", ""));
	note("shop", CRED_CAME, "s2", "192.0.2.1", "a.example", 77);
	note("shop", CRED_CAME, "s2", "192.0.2.1", "a.example", 78);
	note("shop", CRED_CAME, "s2", "192.0.2.1", "b.example", 79);
	note("shop", CRED_SENT, "s2", "192.0.2.1", "b.example", 80);
	note("shop", CRED_LATE, "s2", "192.0.2.9", "late.example", 81);
	note("shop", CRED_CAME, "s9", "192.0.2.1", "a.example", 82);
	note("nobody", CRED_CAME, "s1", "192.0.2.1", "a.example", 83);
	put(CRED("shop", "\"note\":\"edited\","));
	use = creds_find(c, STR("shop"))->use;
	s = cred_use_of(use, STR("s2"));
	assert_int_equal(use->n_secrets, 1);
	assert_int_equal(use->messages, 1);
	assert_int_equal(use->recipients, 3);
	assert_int_equal(use->bytes, 100);
	assert_int_equal(s->uses, 3);
	assert_int_equal(s->refused, 1);
	assert_int_equal(s->last_ms, 80); /* who came too late did not use it */
	assert_int_equal(s->n_users, 3);
	assert_string_equal(s->users[1].helo, "b.example");
	assert_int_equal(s->users[1].messages, 1);
	assert_int_equal(cred_use_of(use, STR("s1"))->uses, 0);
	assert_ptr_equal(creds_dirty(c, STR("")), creds_find(c, STR("shop")));
	assert_null(creds_dirty(c, STR("")));
	creds_dirty_again(c, STR("shop"));
	creds_dirty_again(c, STR("nobody"));
	assert_null(creds_dirty(c, STR("shop")));
	assert_ptr_equal(creds_dirty(c, STR("shoo")), creds_find(c, STR("shop")));
}

static void uses_come_back_from_the_store(void **state)
{
	static const char *const bad[] = {
		"{\"secrets\":[{\"id\":\"much too long\"}]}",
		"{\"secrets\":[{\"id\":\"s1\",\"last_client\":\"nowhere\"}]}",
		"{\"secrets\":[{\"id\":\"s1\",\"users\":[{\"client\":\"\"}]}]}",
	};
	json_t *o;
	json_t *again;
	struct cred_use *use;

	(void)state;
	put(CRED("shop", ""));
	note("shop", CRED_CAME, "s2", "192.0.2.1", "a.example", 77);
	note("shop", CRED_SENT, "s2", "2001:db8::1", "", 78);
	assert_true(creds_day_take(c, STR("shop"), 79));
	use = creds_find(c, STR("shop"))->use;
	o = cred_use_json(use, 1);
	assert_true(creds_put_use(c, STR("shop"), o));
	assert_false(creds_put_use(c, STR("gone"), o));
	again = cred_use_json(use, 1);
	assert_true(json_equal(o, again));
	json_decref(o);
	json_decref(again);
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		o = json_loads(bad[i], 0, NULL);
		assert_non_null(o);
		assert_false(creds_put_use(c, STR("shop"), o));
		assert_int_equal(use->n_secrets, 0);
		json_decref(o);
	}
}

/* Whoever was not seen for the longest time is forgotten, and that is counted. */
static void users_give_way(void **state)
{
	const struct cred_secret_use *s;
	char helo[32];

	(void)state;
	put(CRED("shop", ""));
	for (int i = 0; i < CRED_USERS_MAX + 2; i++) {
		(void)snprintf(helo, sizeof(helo), "h%d.example", i);
		note("shop", CRED_CAME, "s1", "192.0.2.1", helo, 1000 + i);
		note("shop", CRED_CAME, "s1", "192.0.2.1", "h0.example", 1000 + i);
	}
	s = cred_use_of(creds_find(c, STR("shop"))->use, STR("s1"));
	assert_int_equal(s->n_users, CRED_USERS_MAX);
	assert_int_equal(s->forgotten, 2);
	assert_string_equal(s->users[0].helo, "h0.example");
	for (size_t i = 0; i < s->n_users; i++)
		assert_true(i == 0 || s->users[i].last_ms >= 1003);
}

static void a_day_has_so_many_messages(void **state)
{
	const int64_t day = INT64_C(24) * 3600 * 1000;

	(void)state;
	put(CRED("shop", "\"per_day\":2,"));
	assert_true(creds_day_take(c, STR("shop"), 10 * day));
	assert_true(creds_day_take(c, STR("shop"), 10 * day + 1));
	assert_false(creds_day_take(c, STR("shop"), 11 * day - 1));
	creds_day_give(c, STR("shop"), 11 * day - 1);
	assert_true(creds_day_take(c, STR("shop"), 11 * day - 1));
	assert_true(creds_day_take(c, STR("shop"), 11 * day));
	creds_day_give(c, STR("shop"), 12 * day); /* it was of the day before */
	assert_int_equal(cred_use_today(creds_find(c, STR("shop"))->use, 11 * day), 1);
	assert_int_equal(cred_use_today(creds_find(c, STR("shop"))->use, 12 * day), 0);
	put(CRED("shop", ""));
	for (int i = 0; i < 5; i++)
		assert_true(creds_day_take(c, STR("shop"), 11 * day));
}

static void old_secrets(void **state)
{
	const struct cred *x;
	char id[CRED_ID_LEN];

	(void)state;
	put(ROTATED("shop"));
	x = creds_find(c, STR("shop"));
	assert_int_equal(cred_silent_end_ms(x, &x->secrets[0], 120), 150);
	assert_int_equal(cred_silent_end_ms(x, &x->secrets[1], 120), 0);
	assert_int_equal(cred_stragglers(x, 120), 0);
	note("shop", CRED_CAME, "s1", "192.0.2.1", "a.example", 90);
	note("shop", CRED_CAME, "s1", "192.0.2.1", "b.example", 130);
	note("shop", CRED_CAME, "s1", "192.0.2.2", "b.example", 140);
	assert_int_equal(cred_silent_end_ms(x, &x->secrets[0], 145), 190);
	assert_int_equal(cred_stragglers(x, 145), 3);
	note("shop", CRED_CAME, "s2", "192.0.2.1", "b.example", 150);
	assert_int_equal(cred_stragglers(x, 155), 2);
	/* back with the old one */
	note("shop", CRED_SENT, "s1", "192.0.2.1", "b.example", 160);
	assert_int_equal(cred_stragglers(x, 165), 3);
	assert_int_equal(cred_silent_end_ms(x, &x->secrets[0], 165), 210);
	assert_int_equal(cred_stragglers(x, 1000), 0); /* it has ended */
	assert_int_equal(cred_silent_end_ms(x, &x->secrets[0], 1000), 0);
	cred_next_id(x, id);
	assert_string_equal(id, "s3");
	note("shop", CRED_CAME, "s2", "192.0.2.1", "b.example", 150);
	put(CRED("app", ""));
	cred_next_id(creds_find(c, STR("app")), id);
	assert_string_equal(id, "s3");
}

static void secrets_that_are_given(void **state)
{
	static const char *const good[] = { "correct-horse", "123456789012" };
	static const char *const bad[] = { "", "elevenchars", "with a space in it",
					   "t\303\244uschen-t\303\244uschen" };

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(good); i++)
		assert_true(cred_given_check(str_of(good[i]), NULL) >= 0);
	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		assert_true(cred_given_check(str_of(bad[i]), NULL) < 0);
}

static void bounds(void **state)
{
	static const struct {
		const char *from;
		bool may;
	} senders[] = {
		{ "app@shop.example", true },
		{ "x@SHOP.example", true },
		{ "x@a.shop.example", false },
		{ "x@deep.news.example", true },
		{ "x@news.example", false },
		{ "x@evilnews.example", false },
		{ "me@other.example", true },
		{ "you@other.example", false },
		{ "x@shop.example.evil", false },
		{ "\"x@shop.example\"@evil.example", false },
		{ "", false },
	};
	static const struct {
		const char *client;
		bool may;
	} clients[] = { { "10.1.2.3", true },
			{ "11.1.2.3", false },
			{ "2001:db8::9", true },
			{ "::1", false } };
	const struct cred *x;

	(void)state;
	put(CRED("shop", "\"senders\":[\"shop.example\",\"*.news.example\",\"me@other.example\"],"
			 "\"networks\":[\"10.0.0.0/8\",\"2001:db8::/32\"],"));
	x = creds_find(c, STR("shop"));
	for (size_t i = 0; i < ARRAY_LEN(senders); i++) {
		struct address a;
		assert_true(address_parse(str_of(senders[i].from), ADDRESS_NULL, &a, NULL) >= 0);
		if (cred_may_send(x, &a) != senders[i].may)
			fail_msg("sender <%s>", senders[i].from);
	}
	for (size_t i = 0; i < ARRAY_LEN(clients); i++) {
		struct ipaddr ip;
		assert_true(ipaddr_parse(str_of(clients[i].client), &ip));
		if (cred_in_networks(x, &ip) != clients[i].may)
			fail_msg("client %s", clients[i].client);
	}
	put(CRED("shop", "\"senders\":[\"<>\"],"));
	x = creds_find(c, STR("shop"));
	assert_true(cred_may_send(x, &(struct address){ .n = 0 }));
}

static void names_and_senders(void **state)
{
	static const char *const good[] = { "a", "app-1", "app@shop.example", "9", "a.b_c+d" };
	static const char *const bad[] = { "", "A", "a b", "-a", "@x", "a/b", "\xc3\xa9", ".a" };
	static const char *const sender[][2] = {
		{ "shop.example", "shop.example" },
		{ "*.Shop.example", "*.shop.example" },
		{ "A@B.example", "A@b.example" },
		{ "<>", "<>" },
		{ "*.m\xc3\xbcller.example", "*.xn--mller-kva.example" },
	};
	char kept[CRED_SENDER_LEN];
	static const char *const no_sender[] = {
		"", "*", "a@", "@b.example", "*@b.example", "a b"
	};
	char many[CRED_NAME_MAX + 2];

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(good); i++)
		assert_true(cred_name_check(str_of(good[i]), NULL) >= 0);
	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		assert_true(cred_name_check(str_of(bad[i]), NULL) < 0);
	for (size_t i = 0; i < ARRAY_LEN(sender); i++) {
		assert_true(cred_sender_read(str_of(sender[i][0]), kept, NULL) >= 0);
		assert_string_equal(kept, sender[i][1]);
	}
	for (size_t i = 0; i < ARRAY_LEN(no_sender); i++)
		assert_true(cred_sender_read(str_of(no_sender[i]), kept, NULL) < 0);
	memset(many, 'a', sizeof(many));
	assert_true(cred_name_check(str_from(many, CRED_NAME_MAX), NULL) >= 0);
	assert_true(cred_name_check(str_from(many, CRED_NAME_MAX + 1), NULL) < 0);
	/* a NUL is no letter */
	assert_true(cred_name_check(str_from("a\0b", 3), NULL) < 0);
}

/* RFC 7677, section 3, has no keys, but its proof follows from them: checked in test_sasl.c. Here:
 * new secrets differ, have the promised form, and so do their keys. */
static void new_secrets(void **state)
{
	char one[CRED_SECRET_LEN];
	char two[CRED_SECRET_LEN];
	uint8_t salt[CRED_SALT_LEN] = { 1 };
	struct cred_keys a;
	struct cred_keys b;

	(void)state;
	cred_secret_make(one);
	cred_secret_make(two);
	assert_string_not_equal(one, two);
	assert_int_equal(strlen(one), 34);
	for (size_t i = 0; i < 34; i++)
		assert_true(i % 5 == 4
				    ? one[i] == '-'
				    : strchr("0123456789abcdefghjkmnpqrstvwxyz", one[i]) != NULL);
	cred_derive(str_of(one), salt, &a);
	cred_derive(str_of(one), salt, &b);
	assert_memory_equal(&a, &b, sizeof(a));
	cred_derive(str_of(two), salt, &b);
	assert_memory_not_equal(a.stored, b.stored, DIGEST_LEN);
	assert_memory_not_equal(a.stored, a.server, DIGEST_LEN);
}

/* What is told of a name that is not known is always the same, and another for other names. */
static void unknown_names(void **state)
{
	uint8_t a[CRED_SALT_LEN];
	uint8_t b[CRED_SALT_LEN];
	struct creds *again = creds_new();
	json_t *pepper = creds_pepper_json(c);
	char *text = json_dumps(pepper, 0);
	struct cred_keys keys;
	struct cred_keys keys_again;

	(void)state;
	creds_salt(c, STR("nobody"), a);
	creds_salt(again, STR("nobody"), b);
	assert_memory_not_equal(a, b, sizeof(a)); /* by chance */
	assert_true(creds_put_pepper(again, text, NULL) >= 0);
	creds_salt(again, STR("NoBody"), b);
	assert_memory_equal(a, b, sizeof(a));
	creds_no_keys(c, STR("nobody"), &keys);
	creds_no_keys(again, STR("nobody"), &keys_again);
	assert_memory_equal(&keys, &keys_again, sizeof(keys));
	creds_salt(c, STR("somebody"), b);
	assert_memory_not_equal(a, b, sizeof(a));
	put(CRED("shop", ""));
	creds_salt(c, STR("SHOP"), b);
	assert_memory_equal(b, creds_find(c, STR("shop"))->salt, sizeof(b));
	assert_true(creds_put_pepper(again, "{\"bytes\":\"AA==\"}", NULL) < 0);
	free(text);
	json_decref(pepper);
	creds_free(&again);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		TEST(kept_as_it_was),
		TEST(in_order_and_found),
		TEST(damaged_ones_are_refused),
		TEST(time_and_status),
		TEST(uses_are_counted_and_kept),
		TEST(uses_come_back_from_the_store),
		TEST(users_give_way),
		TEST(a_day_has_so_many_messages),
		TEST(old_secrets),
		TEST(secrets_that_are_given),
		TEST(bounds),
		TEST(names_and_senders),
		TEST(new_secrets),
		TEST(unknown_names),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
