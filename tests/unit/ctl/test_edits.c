/*
 * Edits of the configuration over the control protocol: routes that are set, files that are
 * imported, and what the lists and secrets are after them.
 */
#include "ops_rig.h"

#include "ctl/ask_providers.h"

#define SECRET "MC4CAQAwBQYDK2VwBCIEIBhCyhhpOIbrdW5Wx+jYbLQ3nM4wHOxUyGjBCbVeRg8Z"
#define PEM "-----BEGIN PRIVATE KEY-----\\n" SECRET "\\n-----END PRIVATE KEY-----\\n"
#define HOUR_MS 3600000
#define TEXT_MAX (192u << 10)
#define SOURCE "source = \"127.0.0.7\"\n"
#define POOL(name) "pool \"" name "\" {\n" SOURCE "}\n"

/* config.import of a text; `more` are further parameters. */
static json_t *import_params(const char *contains, const char *text, const char *more)
{
	json_t *params = json_loads(more, 0, NULL);
	AUTO_FREE char *all = xasprintf("format = 1\ncontains = \"%s\"\n%s", contains, text);
	assert_non_null(params);
	(void)json_object_set_new(params, "text", json_string(all));
	(void)json_object_set_new(params, "reason", json_string("r"));
	return params;
}

static void import(const char *contains, const char *text, const char *more)
{
	json_t *params = import_params(contains, text, more);
	AUTO_FREE char *line = json_dumps(params, 0);
	json_decref(params);
	json_decref(rig_do("config.import", line));
}

static void put_many(struct buf *out, const char *kind, const char *name, unsigned n,
		     const char *members)
{
	for (unsigned i = 0; i < n; i++)
		(void)buf_printf(out, "%s \"%s%u\" {\n%s}\n", kind, name, i, members);
}

static const struct route *route_of(const char *id)
{
	const struct route *x = routes_find(rig.env.routes, str_of(id));
	assert_non_null(x);
	return x;
}

static char *add_route(const char *params)
{
	json_t *v = rig_do("route.add", params);
	char *id = xstrdup(json_get_str(v, "id"));
	json_decref(v);
	return id;
}

static void set_route(const char *id, const char *fmt)
{
	AUTO_FREE char *params = xasprintf("{\"id\":\"%s\",\"reason\":\"r\",%s}", id, fmt);
	json_decref(rig_do("route.set", params));
}

/* --- lists that are full ---------------------------------------------------------------------- */

/* Most of what there may be, and as many others in their place: at once, and planned before. */
static void test_others_in_their_place(void **state)
{
	AUTO_BUF text = BUF_INIT(TEXT_MAX);
	json_t *asked;
	(void)state;
	put_many(&text, "pool", "a", POOLS_MAX - 50, SOURCE);
	put_many(&text, "stream", "a", STREAMS_MAX - 50, "");
	import("pools,streams", buf_cstr(&text), "{}");
	buf_reset(&text);
	put_many(&text, "pool", "b", POOLS_MAX - 50, SOURCE);
	put_many(&text, "stream", "b", STREAMS_MAX - 50, "");
	asked = json_pack("{s:s, s:o}", "method", "config.import", "params",
			  import_params("pools,streams", buf_cstr(&text), "{}"));
	AUTO_FREE char *line = json_dumps(asked, 0);
	json_decref(asked);
	json_decref(rig_do("plan.make", line));
	import("pools,streams", buf_cstr(&text), "{}");
	assert_null(strstr(rig.log, "actions.apply"));
	assert_int_equal(pools_n(rig.env.pools), POOLS_MAX - 50);
	assert_int_equal(streams_n(rig.env.streams), STREAMS_MAX - 50 + 1);
	assert_non_null(streams_find(rig.env.streams, STR("b149")));
	assert_null(streams_find(rig.env.streams, STR("a0")));
}

/* --- routes ----------------------------------------------------------------------------------- */

static void expect_tls(const char *id, enum route_tls tls)
{
	assert_string_equal(route_tls_name(route_of(id)->tls), route_tls_name(tls));
}

/* A login demands TLS, also one that is added later or goes to another host. */
static void test_tls_of_a_login(void **state)
{
	(void)state;
	AUTO_FREE char *r1 = add_route("{\"to\":\"smarthost:mail.example.net:25\"}");
	expect_tls(r1, ROUTE_TLS_OPPORTUNISTIC);
	set_route(r1, "\"user\":\"u\",\"password\":\"p\"");
	expect_tls(r1, ROUTE_TLS_REQUIRED);
	set_route(r1, "\"note\":\"n\"");
	expect_tls(r1, ROUTE_TLS_REQUIRED);
	AUTO_FREE char *r2 = add_route("{\"to\":\"smarthost:127.0.0.1:2525\",\"user\":\"u\","
				       "\"password\":\"p\"}");
	expect_tls(r2, ROUTE_TLS_OPPORTUNISTIC);
	set_route(r2, "\"to\":\"smarthost:mail.example.net:25\",\"password\":\"p\"");
	expect_tls(r2, ROUTE_TLS_REQUIRED);
	/* what was said stays said */
	AUTO_FREE char *r3 = add_route("{\"to\":\"smarthost:mail.example.net:25\",\"tls\":"
				       "\"dane\"}");
	set_route(r3, "\"user\":\"u\",\"password\":\"p\"");
	expect_tls(r3, ROUTE_TLS_DANE);
	set_route(r1, "\"tls\":\"opportunistic\"");
	set_route(r1, "\"to\":\"smarthost:other.example.net:25\",\"password\":\"p\"");
	expect_tls(r1, ROUTE_TLS_OPPORTUNISTIC);
}

static void refuse_import(const char *contains, const char *text, int code, const char *words)
{
	json_t *params = import_params(contains, text, "{}");
	AUTO_FREE char *line = json_dumps(params, 0);
	json_decref(params);
	rig_refuse("config.import", line, code, words);
}

/* A pool is for connections, also the one that a route has already. */
static void test_pool_of_a_route(void **state)
{
	(void)state;
	json_decref(rig_do("pool.add", "{\"name\":\"bulk\",\"sources\":[\"127.0.0.7\"]}"));
	AUTO_FREE char *id = add_route("{\"to\":\"mx\",\"match\":\"domain:a.example\","
				       "\"pool\":\"bulk\"}");
	AUTO_FREE char *to_hold = xasprintf("{\"id\":\"%s\",\"reason\":\"r\",\"to\":\"hold\"}", id);
	rig_refuse("route.set", to_hold, ERR_INVALID, "makes no connections");
	assert_string_equal(rig.err.param, "pool");
	set_route(id, "\"to\":\"hold\",\"pool\":\"\"");
	assert_string_equal(route_of(id)->pool, "");
	AUTO_FREE char *again = xasprintf("{\"id\":\"%s\",\"reason\":\"r\",\"pool\":\"bulk\"}", id);
	rig_refuse("route.set", again, ERR_INVALID, "makes no connections");
	set_route(id, "\"to\":\"mx\",\"pool\":\"BULK\"");
	assert_string_equal(route_of(id)->pool, "bulk");
	rig_refuse("route.set", "{\"id\":\"r2\",\"reason\":\"r\",\"pool\":\"x\"}", ERR_UNKNOWN,
		   "no pool x");
}

/* --- what takes all mail ---------------------------------------------------------------------- */

/* words NULL: no warning. */
static void expect_warning(const char *method, const char *params, const char *words)
{
	json_t *v = rig_do(method, params);
	AUTO_FREE char *all = json_dumps(json_object_get(v, "warnings"), JSON_ENCODE_ANY);
	if (words == NULL ? all != NULL : all == NULL || strstr(all, words) == NULL)
		fail_msg("%s %s: %s", method, params, all != NULL ? all : "no warning");
	json_decref(v);
}

static void test_catch_all(void **state)
{
	(void)state;
	/* r1 stands behind r2 */
	expect_warning("route.add", "{\"to\":\"discard\",\"match\":\"domain:a.example\"}", NULL);
	expect_warning("route.add", "{\"to\":\"hold\",\"match\":\"domain:b.example\"}", NULL);
	expect_warning("route.set", "{\"id\":\"r2\",\"reason\":\"r\",\"note\":\"n\"}", NULL);
	expect_warning("route.set", "{\"id\":\"r2\",\"reason\":\"r\",\"match\":\"\"}",
		       "it matches all mail: r1");
	expect_warning("route.set", "{\"id\":\"r2\",\"reason\":\"r\",\"note\":\"m\"}", NULL);
	expect_warning("route.set", "{\"id\":\"r1\",\"reason\":\"r\",\"match\":\"\"}",
		       "instead of the default route");
	expect_warning("route.move", "{\"id\":\"r2\",\"reason\":\"r\"}", "instead of the");
	expect_warning("route.move", "{\"id\":\"r2\",\"reason\":\"r\",\"before\":\"r1\"}",
		       "it matches all mail: r1");
	expect_warning("stream.add", "{\"name\":\"a\",\"match\":\"from:*@a.example\"}", NULL);
	expect_warning("stream.add", "{\"name\":\"b\",\"match\":\"from:*@b.example\"}", NULL);
	expect_warning("stream.set", "{\"name\":\"a\",\"reason\":\"r\",\"match\":\"\"}",
		       "b and all streams behind it");
	expect_warning("stream.set", "{\"name\":\"a\",\"reason\":\"r\",\"note\":\"n\"}", NULL);
	expect_warning("stream.set", "{\"name\":\"b\",\"reason\":\"r\",\"reset\":[\"match\"]}",
		       "instead of the stream default");
	expect_warning("stream.set", "{\"name\":\"default\",\"reason\":\"r\",\"note\":\"n\"}",
		       NULL);
	expect_warning("stream.move", "{\"name\":\"b\",\"reason\":\"r\",\"before\":\"a\"}",
		       "a and all streams behind it");
}

/* --- limits of a file ------------------------------------------------------------------------- */

static void fill_creds(size_t n)
{
	json_t *o;
	json_decref(rig_do("cred.add", "{\"name\":\"first\"}"));
	o = creds_json(creds_find(rig.env.creds, STR("first")));
	(void)json_object_set_new(o, "revoked_ms", json_integer(RIG_NOW));
	for (unsigned i = 1; i < n; i++) {
		AUTO_FREE char *name = xasprintf("n%u", i);
		AUTO_FREE char *text = NULL;
		(void)json_object_set_new(o, "name", json_string(name));
		text = json_dumps(o, JSON_COMPACT);
		assert_int_equal(creds_put(rig.env.creds, text, NULL), 0);
	}
	json_decref(o);
}

/* Those that are revoked stay, and count. */
static void test_credentials_of_a_file(void **state)
{
	(void)state;
	fill_creds(CREDS_MAX - 1);
	refuse_import("credentials",
		      "credential \"first\" {\n}\ncredential \"a\" {\n}\n"
		      "credential \"b\" {\n}\n",
		      ERR_LIMIT, "at most 10000 credentials");
	import("credentials", "credential \"first\" {\n}\ncredential \"a\" {\n}\n", "{}");
	assert_int_equal(creds_n(rig.env.creds), CREDS_MAX);
}

static void test_keys_of_a_file(void **state)
{
	AUTO_BUF text = BUF_INIT(TEXT_MAX);
	(void)state;
	for (unsigned i = 0; i < KEYS_DOMAIN_MAX; i++)
		(void)buf_printf(&text,
				 "key \"%s/s%u\" {\nstate = \"active\"\npublic = \"v=DKIM1; "
				 "k=ed25519; p=%u\"\n}\n",
				 i % 2 == 0 ? "a.example" : "A.Example", i, i);
	import("keys", buf_cstr(&text), "{}");
	(void)buf_puts(&text, "key \"a.example/t\" {\nstate = \"active\"\npublic = \"v=DKIM1; "
			      "k=ed25519; p=x\"\n}\n");
	refuse_import("keys", buf_cstr(&text), ERR_LIMIT, "line 35: a domain has at most 8 keys");
}

/* --- plans of rules --------------------------------------------------------------------------- */

/* What a plan says of a smarthost is what is demanded of it: nobody publishes MTA-STS for one. */
static void test_plan_of_tls(void **state)
{
	json_t *v, *moves;
	(void)state;
	json_decref(rig_do("route.add", "{\"to\":\"smarthost:127.0.0.1:2525\",\"match\":\"domain:"
					"a.example\"}"));
	(void)rig_accept("eva@shop.example", "anna@a.example");
	v = rig_do("plan.make", "{\"method\":\"stream.set\",\"params\":{\"name\":\"default\","
				"\"tls\":\"sts\",\"reason\":\"r\"}}");
	moves = json_object_get(json_object_get(v, "moves"), "moves");
	assert_int_equal(json_array_size(moves), 1);
	assert_string_equal(json_get_str(json_array_get(moves, 0), "to"),
			    "smarthost:127.0.0.1:2525, tls required");
	json_decref(v);
}

static void on_providers(void *arg)
{
	(*(unsigned *)arg)++;
}

/* When its time is over it asks for nothing more, also when an answer comes then. */
static void test_providers_are_asked_in_time(void **state)
{
	struct ask_providers *a;
	unsigned told = 0, asked;
	(void)state;
	for (unsigned i = 0; i < 80; i++) {
		AUTO_FREE char *to = xasprintf("anna@d%u.example", i);
		(void)rig_accept("eva@shop.example", to);
	}
	a = ask_providers_start(&rig.env, on_providers, &told);
	rig_advance(1);
	asked = rig.asked;
	assert_true(asked > 0 && asked < 80);
	rig_advance(ASK_PROVIDERS_MS);
	assert_int_equal(told, 1);
	assert_int_equal(rig.asked, asked);
	rig.asked_fn(rig.asked_arg, NULL);
	rig_advance(1);
	assert_int_equal(rig.asked, asked);
	assert_int_equal(told, 1);
	ask_providers_free(&a);
}

/* --- what an undo leaves ---------------------------------------------------------------------- */

#define ROLLBACK "{\"reason\":\"r\"}"

/* What was changed since is told by a plan; it is in the log when it was left. */
static void test_left(void **state)
{
	(void)state;
	json_decref(rig_do("cred.add", "{\"name\":\"crm\"}"));
	import("pools,credentials", POOL("x") "credential \"crm\" {\nnote = \"n\"\n}\n",
	       "{\"probation_s\":3600}");
	json_decref(rig_do("cred.revoke", "{\"name\":\"crm\",\"reason\":\"r\"}"));
	expect_warning("plan.make", "{\"method\":\"config.rollback\",\"params\":" ROLLBACK "}",
		       "cred crm was changed since");
	assert_null(strstr(rig.log, "undo.left"));
	json_decref(rig_do("config.rollback", ROLLBACK));
	assert_non_null(strstr(rig.log, "undo.left"));
	assert_int_equal(pools_n(rig.env.pools), 0);
}

static void revoke_some(unsigned from, unsigned n)
{
	for (unsigned i = from; i < from + n; i++) {
		AUTO_FREE char *params = xasprintf("{\"name\":\"app%u\",\"reason\":\"r\"}", i);
		json_decref(rig_do("cred.revoke", params));
	}
}

/* Of many the first are told, one by one. */
static void test_many_left(void **state)
{
	AUTO_BUF text = BUF_INIT(TEXT_MAX);
	const json_t *warnings;
	unsigned logged = 0;
	json_t *v;
	(void)state;
	(void)buf_puts(&text, POOL("x"));
	put_many(&text, "credential", "app", 200, "");
	import("pools,credentials", buf_cstr(&text), "{\"probation_s\":3600}");
	revoke_some(100, 60);
	rig.log[0] = '\0';
	v = rig_do("config.rollback", ROLLBACK);
	warnings = json_object_get(v, "warnings");
	assert_int_equal(json_array_size(warnings), 20 + 1);
	assert_non_null(strstr(json_string_value(json_array_get(warnings, 19)),
			       "cred app119 was changed since: cred.revoke"));
	assert_string_equal(json_string_value(json_array_get(warnings, 20)),
			    "40 more were changed since; they stay as they are");
	json_decref(v);
	for (const char *at = rig.log; (at = strstr(at, "undo.left")) != NULL; at++)
		logged++;
	assert_int_equal(logged, 20 + 1);
	assert_non_null(strstr(rig.log, "more=40"));
	assert_int_equal(creds_n(rig.env.creds), 60);
}

/* --- private keys ----------------------------------------------------------------------------- */

#define WITH_PEM                                                                                   \
	"{\"domain\":\"shop.example\",\"selector\":\"s1\",\"pem\":\"" PEM "\",\"reason\":\"r\"}"

static bool can_sign(void)
{
	const struct key_entry *e = keys_find(rig.env.keys, STR("shop.example/s1"));
	return e != NULL && e->key != NULL;
}

/* An import without the key is taken back when nobody confirms it, and the key signs again. */
static void test_a_key_on_probation(void **state)
{
	(void)state;
	json_decref(rig_do("dkim.add", WITH_PEM));
	assert_true(can_sign());
	import("pools,keys", POOL("x"), "{\"probation_s\":3600}");
	assert_false(can_sign());
	rig_advance(RIG_UNDO_MS + 60000);
	rig_restart();
	rig_advance(RIG_UNDO_MS + 60000);
	assert_int_not_equal(keys_orphan_ms(rig.env.keys), 0);
	rig_advance(HOUR_MS);
	for (unsigned n = 0; rig.env.probation != NULL; n++)
		rig_turn(n);
	assert_true(can_sign());
	rig_restart();
	rig_advance(HOUR_MS);
	assert_true(can_sign());
}

/* Confirmed, it can still be undone for as long as was said; then the secret goes. */
static void test_a_key_after_probation(void **state)
{
	json_t *v;
	(void)state;
	json_decref(rig_do("dkim.add", WITH_PEM));
	import("pools,keys", POOL("x"), "{\"probation_s\":3600}");
	rig_advance(60000);
	json_decref(rig_do("config.confirm", "{}"));
	rig_advance(RIG_UNDO_MS + 60000);
	assert_int_not_equal(keys_orphan_ms(rig.env.keys), 0);
	v = rig_do("action.undo", "{\"action\":\"a2\"}");
	json_decref(v);
	assert_true(can_sign());
	import("pools,keys", POOL("y"), "{\"probation_s\":3600}");
	json_decref(rig_do("config.confirm", "{}"));
	rig_advance(HOUR_MS + 60000);
	for (unsigned n = 0; keys_orphan_ms(rig.env.keys) != 0; n++)
		rig_turn(n);
	assert_false(can_sign());
}

/* Its private part comes after it, and stays. */
static void test_a_key_is_completed(void **state)
{
	const struct key_entry *e;
	(void)state;
	json_decref(rig_do("dkim.add", WITH_PEM));
	e = keys_find(rig.env.keys, STR("shop.example/s1"));
	AUTO_FREE char *text =
		xasprintf("key \"shop.example/s1\" {\n state = \"active\"\n public = "
			  "\"%s\"\n}\n",
			  e->record);
	json_decref(rig_do("dkim.remove", "{\"id\":\"shop.example/s1\",\"reason\":\"r\"}"));
	rig_advance(RIG_UNDO_MS + 60000);
	for (unsigned n = 0; keys_orphan_ms(rig.env.keys) != 0; n++)
		rig_turn(n);
	import("keys", text, "{}");
	assert_false(can_sign());
	json_decref(rig_do("dkim.add", WITH_PEM));
	assert_true(can_sign());
	rig_advance(RIG_UNDO_MS + 60000);
	rig_restart();
	assert_true(can_sign());
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_others_in_their_place, rig_setup,
						rig_teardown),
		cmocka_unit_test_setup_teardown(test_tls_of_a_login, rig_setup, rig_teardown),
		cmocka_unit_test_setup_teardown(test_pool_of_a_route, rig_setup, rig_teardown),
		cmocka_unit_test_setup_teardown(test_catch_all, rig_setup, rig_teardown),
		cmocka_unit_test_setup_teardown(test_credentials_of_a_file, rig_setup,
						rig_teardown),
		cmocka_unit_test_setup_teardown(test_keys_of_a_file, rig_setup, rig_teardown),
		cmocka_unit_test_setup_teardown(test_plan_of_tls, rig_setup, rig_teardown),
		cmocka_unit_test_setup_teardown(test_providers_are_asked_in_time, rig_setup,
						rig_teardown),
		cmocka_unit_test_setup_teardown(test_left, rig_setup, rig_teardown),
		cmocka_unit_test_setup_teardown(test_many_left, rig_setup, rig_teardown),
		cmocka_unit_test_setup_teardown(test_a_key_on_probation, rig_setup, rig_teardown),
		cmocka_unit_test_setup_teardown(test_a_key_after_probation, rig_setup,
						rig_teardown),
		cmocka_unit_test_setup_teardown(test_a_key_is_completed, rig_setup, rig_teardown),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
