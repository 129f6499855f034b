/* What is done to credentials: on a real queue, over the real protocol. */
#include "ops_rig.h"

#include <dirent.h>
#include <fcntl.h>

#include "policy/creds.h"

static const struct cred *cred(const char *name)
{
	return creds_find(rig.env.creds, str_of(name));
}

/* Whether the secret is the one of the credential's first. */
static bool opens(const char *name, const char *secret)
{
	struct cred_keys keys;
	const struct cred *x = cred(name);

	if (x == NULL || x->n_secrets == 0)
		return false;
	cred_derive(str_of(secret), x->salt, &keys);
	return memcmp(&keys, &x->secrets[0].keys, sizeof(keys)) == 0;
}

static char *take_str(json_t *take, const char *name)
{
	char *text = json_dup_str(take, name);

	json_decref(take);
	return text;
}

/* Whether any file of the store has these bytes in it. */
static bool on_disk(const char *text)
{
	DIR *d = opendir(rig.dir);
	const struct dirent *e;
	bool found = false;

	assert_non_null(d);
	while ((e = readdir(d)) != NULL) {
		AUTO_BUF bytes = BUF_INIT((size_t)64 << 20);
		int fd = openat(dirfd(d), e->d_name, O_RDONLY | O_CLOEXEC);
		ssize_t n = 1;
		while (fd >= 0 && n > 0 && buf_reserve(&bytes, 65536)) {
			n = read(fd, bytes.p + bytes.n, 65536);
			bytes.n += n > 0 ? (size_t)n : 0;
		}
		if (fd >= 0)
			(void)close(fd);
		found = found ||
			(bytes.n > 0 && memmem(bytes.p, bytes.n, text, strlen(text)) != NULL);
	}
	(void)closedir(d);
	return found;
}

static void made_and_kept(void **state)
{
	const struct cred *x;
	json_t *v;

	(void)state;
	v = rig_do("cred.add", "{\"name\":\"shop\",\"senders\":[\"shop.example\",\"<>\"],"
			       "\"networks\":[\"10.0.0.0/8\",\"::1\"],\"note\":\"the shop\"}");
	assert_string_equal(json_get_str(v, "name"), "shop");
	assert_string_equal(json_get_str(v, "secret_id"), "s1");
	AUTO_FREE char *secret = take_str(v, "secret");
	assert_true(opens("shop", secret));
	rig_restart();
	assert_true(opens("shop", secret));
	x = cred("shop");
	assert_string_equal(x->note, "the shop");
	assert_string_equal(x->by, "olga");
	assert_int_equal(x->n_senders, 2);
	assert_int_equal(x->n_networks, 2);
	assert_int_equal(x->secrets[0].expires_ms, 0);
	/* the answer was the only place where it stood: neither store nor log have it */
	assert_true(on_disk("the shop"));
	assert_false(on_disk(secret));
	assert_null(strstr(rig.log, secret));
}

static void refusals(void **state)
{
	(void)state;
	json_decref(rig_do("cred.add", "{\"name\":\"shop\"}"));
	rig_refuse("cred.add", "{\"name\":\"shop\"}", ERR_EXISTS, "it is active");
	rig_refuse("cred.add", "{\"name\":\"Shop two\"}", ERR_INVALID, "lower-case");
	rig_refuse("cred.add", "{\"name\":\"x\",\"senders\":[\"*@shop.example\"]}", ERR_INVALID,
		   "a sender is");
	assert_string_equal(rig.err.param, "senders");
	rig_refuse("cred.add", "{\"name\":\"x\",\"networks\":[\"10.0.0.1/8\"]}", ERR_INVALID,
		   "10.0.0.1/8");
	assert_string_equal(rig.err.param, "networks");
	rig_refuse("cred.revoke", "{\"name\":\"x\",\"reason\":\"r\"}", ERR_UNKNOWN,
		   "no credential x");
	rig_refuse("cred.revoke", "{\"name\":\"shop\"}", ERR_REASON, "reason");
	json_decref(rig_do("cred.revoke", "{\"name\":\"shop\",\"reason\":\"leaked\"}"));
	rig_refuse("cred.revoke", "{\"name\":\"shop\",\"reason\":\"r\"}", ERR_STATE, "already");
	rig_refuse("cred.add", "{\"name\":\"shop\"}", ERR_EXISTS, "it is revoked");
	assert_int_equal(creds_n(rig.env.creds), 1);
	rig_login("otto", 4243, ACCESS_OPERATOR);
	rig_refuse("cred.add", "{\"name\":\"mine\"}", ERR_DENIED, "admin");
}

static void shown_once(void **state)
{
	static const char params[] = "{\"name\":\"shop\",\"request\":\"r-1\"}";
	json_t *again;

	(void)state;
	AUTO_FREE char *secret = take_str(rig_do("cred.add", params), "secret");
	assert_int_equal(strlen(secret), CRED_SECRET_LEN - 1);
	for (int i = 0; i < 2; i++) {
		again = rig_do("cred.add", params); /* nothing is done again */
		assert_string_equal(json_get_str(again, "name"), "shop");
		assert_null(json_object_get(again, "secret"));
		json_decref(again);
		rig_restart();
	}
	assert_true(opens("shop", secret));
}

static void revoked_and_taken_back(void **state)
{
	(void)state;
	AUTO_FREE char *secret = take_str(rig_do("cred.add", "{\"name\":\"shop\"}"), "secret");
	AUTO_FREE char *action = take_str(
		rig_do("cred.revoke", "{\"name\":\"SHOP\",\"reason\":\"leaked\"}"), "action");
	AUTO_FREE char *undo = xasprintf("{\"action\":\"%s\"}", action);

	assert_int_not_equal(cred("shop")->revoked_ms, 0);
	rig_restart();
	assert_int_not_equal(cred("shop")->revoked_ms, 0);
	json_decref(rig_do("action.undo", undo));
	assert_int_equal(cred("shop")->revoked_ms, 0);
	assert_true(opens("shop", secret));
	/* and the making of it */
	json_decref(rig_do("action.undo", "{\"action\":\"a1\"}"));
	assert_null(cred("shop"));
	rig_restart();
	assert_null(cred("shop"));
}

static void ends_by_itself(void **state)
{
	int64_t now = loop_wall_ms(rig.loop);

	(void)state;
	json_decref(rig_do("cred.add", "{\"name\":\"shop\",\"for_s\":\"1h\"}"));
	assert_in_range(cred("shop")->expires_ms, now + 3600000, now + 3700000);
	assert_string_equal(cred_status(cred("shop"), now), "active");
	assert_string_equal(cred_status(cred("shop"), now + 3700000), "expired");
}

/* Names that are not known have the same salt after every start. */
static void the_pepper_is_kept(void **state)
{
	uint8_t before[CRED_SALT_LEN];
	uint8_t after[CRED_SALT_LEN];

	(void)state;
	creds_salt(rig.env.creds, STR("nobody"), before);
	for (int i = 0; i < 2; i++) {
		rig_restart();
		creds_salt(rig.env.creds, STR("nobody"), after);
		assert_memory_equal(before, after, sizeof(before));
	}
	/* one that is made has the salt that it had before */
	json_decref(rig_do("cred.add", "{\"name\":\"nobody\"}"));
	assert_memory_equal(cred("nobody")->salt, before, sizeof(before));
}

static void unblocked(void **state)
{
	struct ipaddr ip;

	(void)state;
	assert_true(ipaddr_parse(STR("192.0.2.1"), &ip));
	rig_refuse("cred.unblock", "{\"network\":\"192.0.2.0/24\"}", ERR_UNKNOWN,
		   "nothing is counted");
	for (int i = 0; i < 3; i++)
		(void)guard_failed(rig.env.guard, &ip, loop_wall_ms(rig.loop));
	assert_int_not_equal(guard_blocked(rig.env.guard, &ip, loop_wall_ms(rig.loop)), 0);
	json_decref(rig_do("cred.unblock", "{\"network\":\"192.0.2.0/24\"}"));
	assert_int_equal(guard_blocked(rig.env.guard, &ip, loop_wall_ms(rig.loop)), 0);
}

/* The relay ends while a worker has the new secret: made or not, but nothing in between. */
static void given_up(void **state)
{
	(void)state;
	(void)rig_ask("cred.add", "{\"name\":\"shop\"}");
	loop_advance(rig.loop, 0);
	rig_restart();
	assert_true(cred("shop") == NULL || cred("shop")->n_secrets == 1);
}

int main(void)
{
#define T(fn) cmocka_unit_test_setup_teardown(fn, rig_setup, rig_teardown)
	const struct CMUnitTest tests[] = {
		T(made_and_kept),  T(refusals),		  T(shown_once), T(revoked_and_taken_back),
		T(ends_by_itself), T(the_pepper_is_kept), T(unblocked),	 T(given_up),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
