/* Who may do what, and where a message would go, as clients read it. */
#include "view_rig.h"

#include "lib/cred_made.h"

/* ---- access and routes ---- */

static void test_allow(void **state)
{
	json_t *v;

	(void)state;
	expect("allow.list", "{}", "network", "");
	v = ask_well("allow.test", "{'address':'10.1.2.3'}");
	assert_false(json_get_bool(v, "may_relay"));
	assert_non_null(strstr(text_of(v, "text"), "allowlist is empty"));
	json_decref(v);
	assert_int_equal(allow_put(rig.env.allow,
				   "{\"network\":\"10.0.0.0/8\",\"note\":\"office\",\"by\":\"eva\","
				   "\"created_ms\":1795490000000}",
				   NULL),
			 0);
	assert_int_equal(allow_put(rig.env.allow,
				   "{\"network\":\"192.0.2.0/24\",\"by\":\"eva\",\"created_ms\":"
				   "1795480000000,\"expires_ms\":1795485000000}",
				   NULL),
			 0);
	expect("allow.list", "{}", "network", "10.0.0.0/8 192.0.2.0/24");
	expect("allow.list", "{}", "mode", "relay relay");
	v = ask_well("allow.test", "{'address':'10.1.2.3'}");
	assert_true(json_get_bool(v, "may_relay"));
	assert_string_equal(text_of(v, "network"), "10.0.0.0/8");
	assert_non_null(strstr(text_of(v, "text"), "office"));
	json_decref(v);
	v = ask_well("allow.test", "{'address':'192.0.2.9'}");
	assert_false(json_get_bool(v, "may_relay"));
	assert_non_null(strstr(text_of(v, "text"), "192.0.2.0/24 ended at"));
	json_decref(v);
	refused("allow.test", "{'address':'10.0.0.0/8'}", "invalid address");
}

static void test_creds(void **state)
{
	struct ipaddr ip;
	json_t *v;

	(void)state;
	expect("cred.list", "{}", "name", "");
	expect("cred.blocked", "{}", "network", "");
	cred_made(rig.env.creds, "shop", "\"senders\":[\"shop.example\"],\"by\":\"eva\",", "s1=one",
		  "s2=two");
	cred_made(rig.env.creds, "old", "\"revoked_ms\":1795480000000,", "s1=one");
	cred_made(rig.env.creds, "late", "", "s1=one;1795480000000");
	assert_true(ipaddr_parse(STR("192.0.2.1"), &ip));
	creds_note(rig.env.creds, STR("shop"),
		   &(struct cred_sight){ .sign = CRED_CAME,
					 .secret = STR("s2"),
					 .client = &ip,
					 .helo = STR("a.example") },
		   1795480000000);
	expect("cred.list", "{}", "name", "late old shop");
	expect("cred.list", "{}", "status", "expired revoked active");
	v = ask_well("cred.show", "{'name':'Shop'}");
	assert_string_equal(text_of(v, "name"), "shop");
	assert_string_equal(text_of(v, "last_client"), "192.0.2.1");
	assert_string_equal(text_of(v, "last_used_at"), "2026-11-24T00:26:40.000Z");
	assert_int_equal(json_array_size(json_object_get(v, "secrets")), 2);
	assert_string_equal(json_string_value(json_array_get(json_object_get(v, "senders"), 0)),
			    "shop.example");
	/* verifiers stay here */
	char *all = json_dumps(v, 0);
	assert_null(strstr(all, "key"));
	assert_null(strstr(all, "salt"));
	free(all);
	json_decref(v);
	refused("cred.show", "{'name':'nobody'}", "there is no credential nobody");
	for (int i = 0; i < 3; i++)
		(void)guard_failed(rig.env.guard, &ip, NOW);
	expect("cred.blocked", "{}", "network", "192.0.2.1");
	v = ask_well("status.get", "{}");
	assert_int_equal(json_get_int(v, "blocked"), 1);
	json_decref(v);
}

static void resolved(const char *hop, const struct resolve_answer *a)
{
	resolve_fn *fn = rig.ask.fn;

	for (int i = 0; i < 100 && rig.ask.fn == NULL; i++)
		turn();
	fn = rig.ask.fn;
	assert_non_null(fn);
	assert_string_equal(rig.ask.hop, hop);
	rig.ask.fn = NULL;
	fn(rig.ask.arg, a);
}

static json_t *test_route(const char *params_text, const char *hop, const struct resolve_answer *a)
{
	json_t *params = parse(params_text);
	json_t *line;
	json_t *v;

	send_call("route.test", params);
	if (hop != NULL)
		resolved(hop, a);
	line = next_line(WAIT_MS);
	assert_non_null(line);
	v = take_answer("route.test", params, line);
	json_decref(line);
	json_decref(params);
	assert_non_null(v);
	return v;
}

static const char *step_text(const json_t *v, const char *step, const char *name)
{
	const json_t *row;
	size_t i;

	json_array_foreach(json_object_get(v, "steps"), i, row)
	{
		if (strcmp(text_of(row, "step"), step) == 0)
			return text_of(row, name);
	}
	return "none there";
}

static void test_routes(void **state)
{
	struct ipaddr ip;
	struct resolve_host host = {
		.name = "mx.fast.example", .preference = 10, .addresses = &ip, .addresses_n = 1
	};
	struct resolve_answer hosts = { .hosts = &host, .hosts_n = 1, .port = 25, .provider = "" };
	struct resolve_failure failure = { .permanent = true, .text = "no such domain" };
	struct resolve_answer none = { .failure = &failure, .provider = "" };
	json_t *v;

	(void)state;
	assert_true(ipaddr_parse(STR("192.0.2.5"), &ip));
	v = test_route("{'to':'anna@fast.example'}", "mx:fast.example", &hosts);
	assert_string_equal(text_of(v, "route"), "default");
	assert_string_equal(text_of(v, "to"), "mx");
	assert_non_null(strstr(text_of(v, "text"), "mx.fast.example"));
	assert_int_equal(json_array_size(json_object_get(v, "next_hops")), 1);
	json_decref(v);
	v = test_route("{'to':'anna@fast.example'}", "mx:fast.example", &none);
	assert_non_null(strstr(text_of(v, "text"), "no such domain; mail would fail"));
	json_decref(v);
	route(1, "domain:a.example", "discard");
	route(2, "provider:big.example", "reject");
	route(3, "from:boss@shop.example", "smarthost:relay.example:26");
	expect("route.list", "{}", "id", "r1 r2 r3 default");
	expect("route.list", "{}", "to", "discard reject smarthost:relay.example:26 mx");
	v = test_route("{'to':'x@a.example'}", NULL, NULL);
	assert_string_equal(text_of(v, "route"), "r1");
	assert_string_equal(text_of(v, "to"), "discard");
	json_decref(v);
	v = test_route("{'to':'anna@gmail.example','from':'boss@shop.example'}",
		       "smarthost:relay.example:26", &hosts);
	assert_string_equal(text_of(v, "route"), "r3");
	assert_string_equal(step_text(v, "tls", "change"), "weir route set r3 --tls");
	json_decref(v);
	v = test_route("{'to':'anna@gmail.example'}", NULL, NULL);
	assert_true(json_is_null(json_object_get(v, "to")));
	assert_non_null(strstr(text_of(v, "text"), "--from"));
	json_decref(v);
	hold(5, "domain:a.example", "");
	v = test_route("{'to':'x@a.example'}", NULL, NULL);
	assert_string_equal(step_text(v, "hold", "verdict"), "held");
	assert_non_null(strstr(step_text(v, "hold", "text"), "hold h5"));
	json_decref(v);
	refused("route.test", "{'to':'nobody'}", "invalid to");
	refused("route.test", "{'to':'a@b.example','from':'x y'}", "invalid from");
}

static void expect_verdict(const char *params, const char *step, const char *want)
{
	json_t *v = test_route(params, NULL, NULL);
	const char *got = step_text(v, step, "verdict");

	if (strcmp(got, want) != 0)
		fail_msg("%s: %s: wanted %s, got %s", params, step, want, got);
	json_decref(v);
}

/* What follows from the stream is asked of the one that was said, and of none that is not known. */
static void test_route_of_a_stream(void **state)
{
	const struct cred *x;

	(void)state;
	route(2, "domain:fast.example", "discard");
	assert_int_equal(
		streams_put(rig.env.streams,
			    "{\"id\":\"news\",\"place\":1.0,\"match\":\"from:*@news.example\"}",
			    NULL),
		0);
	assert_int_equal(suppress_put_json(rig.env.suppress,
					   "{\"address\":\"anna@fast.example\",\"scope\":"
					   "\"news\",\"source\":\"hand\",\"created_ms\":1}",
					   NULL),
			 0);
	expect_verdict("{'to':'anna@fast.example'}", "recipient", "none");
	expect_verdict("{'to':'bob@fast.example'}", "recipient", "ok");
	expect_verdict("{'to':'anna@fast.example','from':'a@shop.example'}", "recipient", "ok");
	expect_verdict("{'to':'anna@fast.example','from':'a@news.example'}", "recipient",
		       "refused");
	expect_verdict("{'to':'anna@fast.example','stream':'news'}", "recipient", "refused");
	route(1, "stream:news", "reject");
	expect_verdict("{'to':'bob@fast.example','stream':'news'}", "recipient", "refused");
	cred_made(rig.env.creds, "shop", "\"per_day\":1,", "s1=one");
	expect_verdict("{'to':'bob@fast.example','stream':'default','credential':'shop'}",
		       "credential", "ok");
	x = creds_find(rig.env.creds, STR("shop"));
	assert_non_null(x);
	assert_true(cred_use_day_take(x->use, 1, NOW));
	expect_verdict("{'to':'bob@fast.example','stream':'default','credential':'shop'}",
		       "credential", "waits");
}

int main(void)
{
#define TEST(fn) cmocka_unit_test_setup_teardown(fn, rig_setup, rig_teardown)
	const struct CMUnitTest tests[] = {
		TEST(test_allow),
		TEST(test_creds),
		TEST(test_routes),
		TEST(test_route_of_a_stream),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
