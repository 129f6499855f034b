/*
 * What ends in the audit log: every change and every refusal of one, once, without secrets.
 */
#include "ops_rig.h"

static json_t *rows; /* of the last look(), newest first */

static const json_t *row(size_t i)
{
	return json_array_get(json_object_get(rows, "rows"), i);
}

static size_t look(const char *params)
{
	json_decref(rows);
	rows = rig_do("audit.list", params);
	return json_array_size(json_object_get(rows, "rows"));
}

static void as(const char *user, uid_t uid, enum access role)
{
	rig_login(user, uid, role);
}

static void as_admin(void)
{
	as("olga", 4242, ACCESS_ADMIN);
}

static void expect(size_t i, const char *who, const char *method, const char *target,
		   const char *result)
{
	const json_t *r = row(i);
	if (strcmp(json_get_str(r, "who"), who) != 0 ||
	    strcmp(json_get_str(r, "method"), method) != 0 ||
	    strcmp(json_get_str(r, "target"), target) != 0 ||
	    strncmp(json_get_str(r, "result"), result, strlen(result)) != 0)
		fail_msg("%s", json_dumps(r, 0));
}

static void intact(int64_t records)
{
	json_t *v = rig_do("audit.verify", "{}");
	if (!json_is_true(json_object_get(v, "intact")) || json_get_int(v, "records") != records)
		fail_msg("%s", json_dumps(v, 0));
	json_decref(v);
}

static void test_done(void **state)
{
	const json_t *change;
	(void)state;
	json_decref(
		rig_do("allow.add",
		       "{\"network\":\"10.1.0.0/16\",\"note\":\"office\",\"reason\":\"moved\"}"));
	json_decref(rig_do("queue.hold", "{\"target\":\"domain:x.example\",\"reason\":\"r\"}"));
	json_decref(rig_do("action.undo", "{\"action\":\"a1\"}"));
	json_decref(rig_do("hold.list", "{}"));
	assert_int_equal(look("{}"), 3);
	expect(0, "olga", "action.undo", "a1", "done");
	expect(1, "olga", "queue.hold", "domain:x.example", "done");
	expect(2, "olga", "allow.add", "10.1.0.0/16", "done");
	assert_string_equal(json_get_str(row(2), "reason"), "moved");
	assert_string_equal(json_get_str(row(2), "action"), "a1");
	assert_int_equal(json_get_int(row(2), "uid"), 4242);
	change = json_array_get(json_object_get(row(2), "changes"), 0);
	assert_true(json_is_null(json_object_get(change, "before")));
	assert_string_equal(json_get_str(json_object_get(change, "after"), "note"), "office");
	change = json_array_get(json_object_get(row(0), "changes"), 0);
	assert_true(json_is_null(json_object_get(change, "after")));
	assert_string_equal(json_get_str(row(1), "prev"), json_get_str(row(2), "hash"));
	intact(3);
	rig_restart();
	intact(3);
}

/* Every method that changes something, tried by those who may not. */
static void test_denied(void **state)
{
	static const enum access roles[] = { ACCESS_VIEWER, ACCESS_OPERATOR };
	size_t all = 0;
	(void)state;
	for (size_t k = 0; k < ARRAY_LEN(roles); k++)
		for (int m = 0; m < M__COUNT; m++) {
			const struct method_def *d = &method_defs[m];
			AUTO_FREE char *user = xasprintf("u%zu", all);
			if ((d->flags & MF_MUTATES) == 0 || d->role <= roles[k])
				continue;
			as(user, 5000 + (uid_t)all, roles[k]);
			rig_refuse(d->name, "{\"reason\":\"try\"}", ERR_DENIED, "needs the role");
			all++;
			as_admin();
			assert_int_equal(look("{\"limit\":1}"), 1);
			expect(0, user, d->name, "", "refused: denied ");
			assert_string_equal(json_get_str(row(0), "role"), access_name(roles[k]));
			assert_int_equal(json_get_int(row(0), "seq"), (int64_t)all);
		}
	assert_true(all > 8);
	intact((int64_t)all);
}

static void test_refused(void **state)
{
	static const struct {
		const char *method;
		const char *params;
		int code;
		const char *target;
		const char *result;
	} cases[] = {
		{ "queue.hold", "{\"target\":\"all\"}", ERR_REASON, "all", "refused: no-reason " },
		{ "queue.hold", "{\"target\":\"planet:mars\",\"reason\":\"r\"}", ERR_SYNTAX,
		  "planet:mars", "refused: syntax " },
		{ "allow.add", "{\"network\":\"10.0.0.0/99\"}", ERR_INVALID, "10.0.0.0/99",
		  "refused: invalid " },
		{ "allow.add", "{\"network\":5}", ERR_INVALID, "", "refused: invalid " },
		{ "allow.add", "{\"network\":\"10.0.0.0/8\",\"colour\":\"red\"}", ERR_INVALID,
		  "10.0.0.0/8", "refused: invalid " },
		{ "allow.add", "{\"network\":\"0.0.0.0/0\"}", ERR_INVALID, "0.0.0.0/0",
		  "refused: invalid " },
		{ "allow.remove", "{\"network\":\"10.9.0.0/16\"}", ERR_UNKNOWN, "10.9.0.0/16",
		  "refused: unknown " },
		{ "action.undo", "{\"action\":\"a77\"}", ERR_UNKNOWN, "", "refused: unknown " },
		{ "plan.commit", "{\"plan\":\"p9\"}", ERR_UNKNOWN, "p9", "refused: " },
	};
	(void)state;
	for (size_t k = 0; k < ARRAY_LEN(cases); k++) {
		json_t *v = rig_call(cases[k].method, cases[k].params);
		if (v != NULL)
			fail_msg("%s was not refused", cases[k].params);
		assert_int_equal(look("{}"), k + 1);
		expect(0, "olga", cases[k].method, cases[k].target, cases[k].result);
		assert_true(json_is_null(json_object_get(row(0), "action")));
	}
	/* what reads leaves nothing, whether it is good or not */
	json_decref(rig_call("hold.list", "{\"x\":1}"));
	json_decref(rig_call("no.such", "{}"));
	json_decref(rig_call("plan.make", "{}"));
	intact(ARRAY_LEN(cases));
}

/* A request that comes again is answered again, and was done once. */
static void test_repeated(void **state)
{
	(void)state;
	for (int k = 0; k < 3; k++)
		json_decref(
			rig_do("allow.add", "{\"network\":\"10.1.0.0/16\",\"request\":\"r-1\"}"));
	assert_int_equal(look("{}"), 1);
}

/* The verifiers of a credential and its secret are nowhere in the log. */
static void test_secrets(void **state)
{
	AUTO_FREE char *text = NULL;
	AUTO_FREE char *secret = NULL;
	json_t *added;
	(void)state;
	added = rig_do("cred.add", "{\"name\":\"crm\",\"note\":\"the CRM\"}");
	secret = json_dup_str(added, "secret");
	json_decref(added);
	json_decref(rig_do("cred.revoke", "{\"name\":\"crm\",\"reason\":\"leaked\"}"));
	assert_int_equal(look("{}"), 2);
	text = json_dumps(rows, 0);
	assert_true(strlen(secret) > 8);
	assert_null(strstr(text, secret));
	assert_null(strstr(text, "stored_key"));
	assert_null(strstr(text, "server_key"));
	assert_null(strstr(text, "salt"));
	assert_non_null(strstr(text, "the CRM"));
	assert_non_null(strstr(text, "revoked_ms"));
}

/* Whoever goes on being refused fills nothing: the rest is counted, and the others are not touched.
 */
static void test_flood(void **state)
{
	(void)state;
	as("mallory", 666, ACCESS_VIEWER);
	for (int k = 0; k < AUDIT_REFUSALS + 50; k++)
		rig_refuse("queue.delete", "{}", ERR_DENIED, "operator");
	as("bob", 667, ACCESS_VIEWER);
	rig_refuse("queue.delete", "{}", ERR_DENIED, "operator");
	as_admin();
	assert_int_equal(look("{\"limit\":1000}"), AUDIT_REFUSALS + 1);
	expect(0, "bob", "queue.delete", "", "refused: denied");
	rig_advance(61000);
	assert_int_equal(look("{\"where\":\"who:mallory result:limit\"}"), 1);
	expect(0, "mallory", "queue.delete", "",
	       "refused: limit 50 more calls were refused within a minute");
	as("mallory", 666, ACCESS_VIEWER);
	rig_refuse("queue.delete", "{}", ERR_DENIED, "operator");
	as_admin();
	assert_int_equal(look("{\"where\":\"who:mallory\",\"limit\":1}"), 1);
	expect(0, "mallory", "queue.delete", "", "refused: denied");
}

static void test_list(void **state)
{
	(void)state;
	for (int k = 0; k < 5; k++)
		rig_refuse("action.undo", "{\"action\":\"a77\"}", ERR_UNKNOWN, "a77");
	assert_int_equal(look("{\"limit\":2}"), 2);
	assert_int_equal(json_get_int(row(1), "seq"), 4);
	assert_string_equal(json_get_str(rows, "next"), "4");
	assert_int_equal(look("{\"limit\":10,\"cursor\":\"4\"}"), 3);
	assert_true(json_is_null(json_object_get(rows, "next")));
	rig_refuse("audit.list", "{\"cursor\":\"x\"}", ERR_INVALID, "cursor");
	rig_refuse("audit.list", "{\"where\":\"domain:x\"}", ERR_SYNTAX, "domain");
	as("bob", 667, ACCESS_VIEWER);
	rig_refuse("audit.list", "{}", ERR_DENIED, "operator");
	rig_refuse("audit.verify", "{}", ERR_DENIED, "operator");
}

static int teardown(void **state)
{
	json_decref(rows);
	rows = NULL;
	return rig_teardown(state);
}

int main(void)
{
#define T(fn) cmocka_unit_test_setup_teardown(fn, rig_setup, teardown)
	static const struct CMUnitTest tests[] = {
		T(test_done),	 T(test_denied), T(test_refused), T(test_repeated),
		T(test_secrets), T(test_flood),	 T(test_list),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
