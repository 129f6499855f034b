/*
 * DKIM keys over the control protocol: made, rotated, taken back, and their private parts nowhere
 * but in the store.
 */
#include "ops_rig.h"

#include <fcntl.h>

#define SECRET "MC4CAQAwBQYDK2VwBCIEIBhCyhhpOIbrdW5Wx+jYbLQ3nM4wHOxUyGjBCbVeRg8Z"
#define PEM "-----BEGIN PRIVATE KEY-----\\n" SECRET "\\n-----END PRIVATE KEY-----\\n"
#define WITH_PEM                                                                                   \
	"{\"domain\":\"Shop.Example\",\"selector\":\"s1\",\"pem\":\"" PEM                          \
	"\",\"request\":\"q1\",\"reason\":\"first\"}"

static char *action_of(json_t *take)
{
	char *id = xstrdup(json_get_str(take, "action"));
	json_decref(take);
	return id;
}

static void undo(const char *action)
{
	AUTO_FREE char *params = xasprintf("{\"action\":\"%s\"}", action);
	json_decref(rig_do("action.undo", params));
}

static const char *state_of(const char *id)
{
	const struct key_entry *e = keys_find(rig.env.keys, str_of(id));
	return e != NULL ? key_state_name(e->state) : "gone";
}

static void expect_text(json_t *take, const char *path, const char *words)
{
	char *text = json_dumps(take, 0);
	if (strstr(text, words) == NULL)
		fail_msg("%s: no \"%s\" in %s", path, words, text);
	assert_null(strstr(text, "PRIVATE"));
	assert_null(strstr(text, SECRET));
	free(text);
	json_decref(take);
}

/* How often some bytes occur in the files of the store. */
static unsigned in_store(const char *name, const char *bytes)
{
	AUTO_FREE char *path = xasprintf("%s/%s", rig.dir, name);
	AUTO_BUF all = BUF_INIT(64u << 20);
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	size_t len = strlen(bytes);
	unsigned n = 0;
	ssize_t got = 1;
	while (fd >= 0 && got > 0 && buf_reserve(&all, 65536)) {
		got = read(fd, all.p + all.n, 65536);
		all.n += got > 0 ? (size_t)got : 0;
	}
	if (fd >= 0)
		(void)close(fd);
	for (size_t i = 0; i + len <= all.n; i++)
		n += memcmp(all.p + i, bytes, len) == 0;
	return n;
}

static void expect_silence(void)
{
	assert_null(strstr(rig.log, SECRET));
	assert_null(strstr(rig.log, "PRIVATE"));
}

static void test_secret_is_nowhere(void **state)
{
	(void)state;
	expect_text(rig_do("dkim.add", WITH_PEM), "dkim.add",
		    "s1._domainkey.shop.example. IN TXT \\\"v=DKIM1; k=ed25519; p=");
	expect_text(rig_do("dkim.add", WITH_PEM), "the repetition", "\"action\": \"a1\"");
	expect_text(rig_do("dkim.list", "{}"), "dkim.list", "shop.example/s1");
	expect_text(rig_do("dkim.show", "{\"domain\":\"shop.example\"}"), "dkim.show",
		    "s1._domainkey.shop.example");
	expect_text(rig_do("action.list", "{}"), "action.list", "\"target\": \"shop.example\"");
	rig_refuse("dkim.add", "{\"domain\":\"b.example\",\"pem\":\"" SECRET "\"}", ERR_INVALID,
		   "not a private key");
	assert_null(strstr(rig.err.msg, SECRET));
	assert_string_equal(rig.err.param, "pem");
	AUTO_FREE char *removed = action_of(
		rig_do("dkim.remove", "{\"id\":\"shop.example/s1\",\"reason\":\"leaked\"}"));
	undo(removed);
	expect_silence();
	/* one row in the whole of it: no version, no journal */
	rig_restart();
	assert_int_equal(in_store("queue.db", SECRET) + in_store("queue.db-wal", SECRET), 1);
	assert_string_equal(state_of("shop.example/s1"), "active");
	assert_int_equal(dkim_key_algorithm(sign_key_dkim(keys_at(rig.env.keys, 0)->key)),
			 DKIM_ED25519);
	expect_silence();
}

static void test_removed_secret_is_erased(void **state)
{
	(void)state;
	json_decref(rig_do("dkim.add", WITH_PEM));
	AUTO_FREE char *removed = action_of(
		rig_do("dkim.remove", "{\"id\":\"shop.example/s1\",\"reason\":\"leaked\"}"));
	assert_string_equal(state_of("shop.example/s1"), "gone");
	rig_restart();
	rig_advance(RIG_UNDO_MS / 2);
	undo(removed);
	assert_string_equal(state_of("shop.example/s1"), "active");
	json_decref(rig_do("dkim.remove", "{\"id\":\"shop.example/s1\",\"reason\":\"leaked\"}"));
	rig_restart();
	assert_int_not_equal(keys_orphan_ms(rig.env.keys), 0);
	rig_advance(RIG_UNDO_MS + 60000);
	for (unsigned n = 0; keys_orphan_ms(rig.env.keys) != 0; n++)
		rig_turn(n);
	rig_restart();
	assert_int_equal(keys_orphan_ms(rig.env.keys), 0);
	assert_int_equal(in_store("queue.db", SECRET), 0);
}

static void test_rotation(void **state)
{
	(void)state;
	json_decref(rig_do(
		"dkim.add",
		"{\"domain\":\"shop.example\",\"selector\":\"a\",\"algorithm\":\"ed25519\"}"));
	rig_refuse("dkim.activate", "{\"domain\":\"shop.example\"}", ERR_STATE, "no waiting key");
	expect_text(rig_do("dkim.rotate", "{\"domain\":\"shop.example\",\"selector\":\"b\"}"),
		    "dkim.rotate", "b._domainkey.shop.example");
	assert_string_equal(state_of("shop.example/a"), "active");
	assert_string_equal(state_of("shop.example/b"), "waiting");
	rig_refuse("dkim.rotate", "{\"domain\":\"shop.example\",\"selector\":\"c\"}", ERR_EXISTS,
		   "shop.example/b waits already");
	AUTO_FREE char *activated =
		action_of(rig_do("dkim.activate", "{\"domain\":\"shop.example\"}"));
	assert_string_equal(state_of("shop.example/a"), "retired");
	assert_string_equal(state_of("shop.example/b"), "active");
	rig_restart();
	undo(activated);
	assert_string_equal(state_of("shop.example/a"), "active");
	assert_string_equal(state_of("shop.example/b"), "waiting");
	json_decref(rig_do("dkim.activate", "{\"domain\":\"shop.example\",\"selector\":\"B\"}"));
	assert_string_equal(state_of("shop.example/b"), "active");
	/* back to the retired one */
	json_decref(rig_do("dkim.activate", "{\"domain\":\"shop.example\",\"selector\":\"a\"}"));
	assert_string_equal(state_of("shop.example/a"), "active");
	assert_string_equal(state_of("shop.example/b"), "retired");
	expect_text(rig_do("dkim.retire", "{\"id\":\"shop.example/a\"}"), "dkim.retire",
		    "only active key");
	rig_refuse("dkim.retire", "{\"id\":\"shop.example/a\"}", ERR_STATE, "retired already");
	rig_refuse("dkim.rotate", "{\"domain\":\"shop.example\"}", ERR_STATE, "no active key");
}

static void test_both_and_names(void **state)
{
	json_t *list;
	(void)state;
	json_decref(rig_do("dkim.add", "{\"domain\":\"shop.example\",\"algorithm\":\"both\"}"));
	list = rig_do("dkim.list", "{}");
	assert_int_equal(json_array_size(json_object_get(list, "rows")), 2);
	json_decref(list);
	assert_string_equal(state_of("shop.example/w20261124-rsa"), "active");
	assert_string_equal(state_of("shop.example/w20261124-ed25519"), "active");
	expect_text(rig_do("dkim.rotate", "{\"domain\":\"shop.example\"}"), "dkim.rotate",
		    "w20261124b-rsa._domainkey");
	assert_string_equal(state_of("shop.example/w20261124b-ed25519"), "waiting");
	json_decref(rig_do("dkim.add", "{\"domain\":\"b.example\",\"selector\":\"s\","
				       "\"algorithm\":\"both\",\"waiting\":true}"));
	assert_string_equal(state_of("b.example/s-rsa"), "waiting");
	assert_string_equal(state_of("b.example/s-ed25519"), "waiting");
	for (int i = 0; i < 2; i++)
		json_decref(
			rig_do("dkim.add", "{\"domain\":\"shop.example\",\"algorithm\":\"both\"}"));
	rig_refuse("dkim.add", "{\"domain\":\"shop.example\"}", ERR_LIMIT, "at most 8");
}

static void test_refusals(void **state)
{
	static const struct {
		const char *method;
		const char *params;
		int code;
		const char *words;
	} cases[] = {
		{ "dkim.add", "{\"domain\":\"shop\"}", ERR_INVALID, "no domain of senders" },
		{ "dkim.add", "{\"domain\":\"a.example\",\"selector\":\"a b\"}", ERR_INVALID,
		  "letters" },
		{ "dkim.add", "{\"domain\":\"a.example\",\"algorithm\":\"both\",\"pem\":\"x\"}",
		  ERR_INVALID, "both kinds" },
		{ "dkim.add",
		  "{\"domain\":\"a.example\",\"algorithm\":\"rsa\",\"pem\":\"" PEM "\"}",
		  ERR_INVALID, "the key is for ed25519" },
		{ "dkim.add",
		  "{\"domain\":\"shop.example\",\"selector\":\"S1\","
		  "\"algorithm\":\"ed25519\"}",
		  ERR_EXISTS, "shop.example/s1 already" },
		{ "dkim.show", "{\"domain\":\"a.example\"}", ERR_UNKNOWN, "weir dkim add" },
		{ "dkim.show", "{\"domain\":\"shop.example\",\"selector\":\"x\"}", ERR_UNKNOWN,
		  "it has s1" },
		{ "dkim.rotate", "{\"domain\":\"a.example\"}", ERR_UNKNOWN, "weir dkim add" },
		{ "dkim.activate", "{\"domain\":\"a.example\"}", ERR_UNKNOWN, "no key" },
		{ "dkim.activate", "{\"domain\":\"shop.example\",\"selector\":\"s1\"}", ERR_STATE,
		  "does not sign yet" },
		{ "dkim.retire", "{\"id\":\"shop.example\"}", ERR_UNKNOWN, "shop.example/s1" },
		{ "dkim.remove", "{\"id\":\"shop.example/s1\"}", ERR_REASON, "reason" },
		{ "dkim.remove", "{\"id\":\"x/y\",\"reason\":\"r\"}", ERR_UNKNOWN, "dkim list" },
	};
	(void)state;
	json_decref(rig_do("dkim.add", WITH_PEM));
	for (size_t i = 0; i < ARRAY_LEN(cases); i++)
		rig_refuse(cases[i].method, cases[i].params, cases[i].code, cases[i].words);
	rig_login("vera", 4343, ACCESS_OPERATOR);
	rig_refuse("dkim.add", "{\"domain\":\"a.example\"}", ERR_DENIED, "admin");
	json_decref(rig_do("dkim.list", "{}"));
}

/* A change that is under way at the end of the relay, with its key still being made. */
static void test_end_while_making(void **state)
{
	(void)state;
	(void)rig_ask("dkim.add", "{\"domain\":\"shop.example\"}");
	loop_advance(rig.loop, 0);
	rig_restart();
	assert_true(keys_n(rig.env.keys) <= 1);
}

int main(void)
{
#define T(fn) cmocka_unit_test_setup_teardown(fn, rig_setup, rig_teardown)
	const struct CMUnitTest tests[] = {
		T(test_secret_is_nowhere), T(test_removed_secret_is_erased),
		T(test_rotation),	   T(test_both_and_names),
		T(test_refusals),	   T(test_end_while_making),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
