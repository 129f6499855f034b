/* What is the matter, as clients read it. */
#include "view_rig.h"

#include "ctl/alerts.h"
#include "lib/cred_made.h"

/* ---- alerts ---- */

static json_t *alert(json_t *page, const char *id)
{
	json_t *row;
	size_t i;

	json_array_foreach(json_object_get(page, "rows"), i,
			   row) if (strcmp(text_of(row, "id"), id) == 0) return row;
	return NULL;
}

static json_t *alerts(const char *kinds)
{
	json_t *v = ask_well("alert.list", "{}");
	AUTO_FREE char *got = column(v, "kind");

	assert_string_equal(got, kinds);
	return v;
}

static void use_up(const char *pool, const char *address, unsigned n)
{
	struct ipaddr ip;

	assert_true(ipaddr_parse(str_of(address), &ip));
	while (n-- > 0)
		assert_true(
			pools_take(rig.env.pools, str_of(pool), &ip, loop_wall_ms(rig.env.loop)));
}

/* Each with its cause, since when, its reach and what to do; the worst first; gone when it is over.
 */
static void test_alerts(void **state)
{
	int64_t now = loop_wall_ms(rig.env.loop);
	AUTO_FREE char *ends = xasprintf("\"expires_ms\":%lld,", (long long)now + 5 * 86400000);
	AUTO_FREE char *pool =
		xasprintf("{\"id\":\"bulk\",\"sources\":[\"127.0.0.1\",\"127.0.0.2\"],"
			  "\"warmup\":\"2,4\",\"warmup_from_ms\":%lld}",
			  (long long)now);
	AUTO_FREE char *since = NULL;
	json_t *v;

	(void)state;
	json_decref(alerts(""));
	mail();
	cred_made(rig.env.creds, "shop", ends, "s1=one");
	cred_made(rig.env.creds, "old",
		  "\"revoked_ms\":1795480000000,\"expires_ms\":1795480000000,", "s1=one");
	assert_true(pools_put(rig.env.pools, pool, NULL) >= 0);
	use_up("bulk", "127.0.0.1", 2);
	json_decref(alerts("destination credential-ends"));
	use_up("bulk", "127.0.0.2", 2);
	json_decref(alerts("destination credential-ends")); /* nothing sends from it */
	assert_true(streams_put(rig.env.streams,
				"{\"id\":\"news\",\"place\":1.0,\"pool\":\"bulk\"}", NULL) >= 0);
	v = alerts("destination pool-cap credential-ends");
	assert_string_equal(text_of(alert(v, "destination:gmail.example"), "command"),
			    "weir why domain:gmail.example");
	assert_string_equal(text_of(alert(v, "destination:gmail.example"), "class"),
			    "rate-limited");
	assert_int_equal(json_get_int(alert(v, "destination:gmail.example"), "recipients"), 6);
	assert_non_null(
		strstr(text_of(alert(v, "pool-cap:bulk"), "text"), "2 from each address on day 1"));
	assert_non_null(
		strstr(text_of(alert(v, "pool-cap:bulk"), "text"), "waits for the next day"));
	assert_true(strlen(text_of(alert(v, "pool-cap:bulk"), "until_at")) > 0);
	since = xstrdup(text_of(alert(v, "pool-cap:bulk"), "since_at"));
	json_decref(v);
	loop_advance(rig.env.loop, 60000);
	v = alerts("destination pool-cap credential-ends");
	assert_string_equal(text_of(alert(v, "pool-cap:bulk"), "since_at"), since);
	json_decref(v);
	v = ask_well("status.get", "{}");
	assert_int_equal(json_get_int(v, "alerts"), 3);
	assert_int_equal(json_array_size(json_object_get(v, "urgent")), 2);
	json_decref(v);
	loop_advance(rig.env.loop, INT64_C(86400000)); /* the next day of the plan; mail has aged */
	turn();
	v = ask_well("alert.list", "{}");
	assert_null(alert(v, "pool-cap:bulk"));
	assert_non_null(alert(v, "ageing:gmail.example"));
	json_decref(v);
	use_up("bulk", "127.0.0.1", 4);
	use_up("bulk", "127.0.0.2", 4);
	v = ask_well("alert.list", "{}");
	assert_string_not_equal(text_of(alert(v, "pool-cap:bulk"), "since_at"), since); /* anew */
	json_decref(v);
	loop_advance(rig.env.loop, INT64_C(15) * 86400000);
	v = ask_well("alert.list", "{}");
	assert_null(alert(v, "credential-ends:shop")); /* long over */
	json_decref(v);
}

static void put_key_of(const char *domain, const char *state)
{
	AUTO_FREE char *id = xasprintf("%s/%s", domain, state);
	AUTO_FREE char *json = NULL;
	json_t *o = NULL;

	assert_int_equal(keys_public_read(id, state, "v=DKIM1; k=rsa; p=x", "eva", NOW, &o, NULL),
			 0);
	json = json_dumps(o, 0);
	json_decref(o);
	assert_int_equal(keys_put(rig.env.keys, json, NOW, NULL), 0);
}

static void put_key(const char *state)
{
	put_key_of("shop.example", state);
}

/* A key that should sign and cannot; one that is not to sign is nobody's trouble. */
static void test_alert_of_keys(void **state)
{
	json_t *v;

	(void)state;
	put_key("waiting");
	put_key("retired");
	json_decref(alerts(""));
	put_key("active");
	v = alerts("key-empty");
	assert_string_equal(text_of(alert(v, "key-empty:shop.example/active"), "severity"), "bad");
	assert_string_equal(text_of(alert(v, "key-empty:shop.example/active"), "command"),
			    "weir dkim list");
	json_decref(v);
	assert_true(keys_drop(rig.env.keys, STR("shop.example/active"), NOW));
	json_decref(alerts(""));
}

/* All keys of an import come without their private parts: one row counts them, and what else is the
 * matter keeps its place. */
static void test_alert_of_many_keys(void **state)
{
	AUTO_FREE char *ends =
		xasprintf("\"expires_ms\":%lld,",
			  (long long)loop_wall_ms(rig.env.loop) + INT64_C(5) * 86400000);
	json_t *v;

	(void)state;
	cred_made(rig.env.creds, "shop", ends, "s1=one");
	put_key_of("d000.example", "active");
	put_key_of("d001.example", "active");
	put_key_of("d001.example", "retired");
	v = alerts("key-empty credential-ends");
	assert_string_equal(text_of(alert(v, "key-empty"), "text"),
			    "2 keys are active and sign nothing: their private parts are not here: "
			    "d000.example/active, d001.example/active");
	json_decref(v);
	for (unsigned i = 2; i < ALERTS_MAX + 50; i++) {
		AUTO_FREE char *domain = xasprintf("d%03u.example", i);
		put_key_of(domain, "active");
	}
	v = alerts("key-empty credential-ends");
	assert_string_equal(text_of(alert(v, "key-empty"), "text"),
			    "150 keys are active and sign nothing: their private parts are not "
			    "here: d000.example/active, d001.example/active, d002.example/active "
			    "and 147 more");
	assert_string_equal(text_of(alert(v, "key-empty"), "command"), "weir dkim list");
	json_decref(v);
}

static void test_alert_of_sources(void **state)
{
	struct ipaddr ip;
	json_t *v;

	(void)state;
	assert_int_equal(pools_put(rig.env.pools,
				   "{\"id\":\"bulk\",\"sources\":[\"127.0.0.1\",\"127.0.0.2\"]}",
				   NULL),
			 0);
	json_decref(alerts(""));
	assert_true(ipaddr_parse(STR("127.0.0.2"), &ip));
	pools_bad(rig.env.pools, STR("bulk"), &ip, "it is gone", NOW);
	v = alerts("pool-source");
	assert_non_null(strstr(text_of(alert(v, "pool-source:bulk"), "text"),
			       "1 of 2 addresses cannot be used; 127.0.0.2: it is gone"));
	json_decref(v);
	loop_advance(rig.env.loop, 86400000);
	json_decref(alerts(""));
}

/* An old secret's end is nobody's trouble once all its clients have the new one. */
static void test_alert_of_secrets(void **state)
{
	AUTO_FREE char *old = xasprintf("s1=one;%lld", (long long)NOW + 3 * 86400000);
	struct ipaddr ip;
	struct cred_sight s = { .sign = CRED_CAME, .client = &ip, .helo = STR("crm") };
	json_t *v;

	(void)state;
	assert_true(ipaddr_parse(STR("192.0.2.7"), &ip));
	cred_made(rig.env.creds, "shop", "", old, "s2=two");
	json_decref(alerts(""));
	s.secret = STR("s1");
	creds_note(rig.env.creds, STR("shop"), &s, NOW);
	v = alerts("secret-ends");
	assert_non_null(strstr(text_of(alert(v, "secret-ends:shop"), "text"),
			       "and 1 client still uses one"));
	json_decref(v);
	s.secret = STR("s2");
	creds_note(rig.env.creds, STR("shop"), &s, NOW + 1000);
	json_decref(alerts(""));
}

static void after_sweep(int64_t ms)
{
	loop_advance(rig.env.loop, ms);
	turn();
	loop_advance(rig.env.loop, 30000);
	turn();
}

/* What is held, or in the trash, does not wait; others of its destination do. */
static void test_alert_of_what_waits(void **state)
{
	struct msgid held = post(&(struct letter){ .to = "old@fast.example" });
	struct msgid gone = post(&(struct letter){ .to = "older@fast.example" });

	(void)state;
	hold(1, "to:old@fast.example", "");
	assert_true(sched_hold(rig.env.sched, rid_of(held, 1), 1));
	assert_true(sched_trash(rig.env.sched, rid_of(gone, 1), true));
	after_sweep(INT64_C(2) * 86400000);
	(void)post(&(struct letter){ .to = "new@fast.example" });
	after_sweep(60000);
	json_decref(alerts(""));
	assert_int_equal(sched_unhold(rig.env.sched, 1), 1);
	json_decref(alerts("destination ageing"));
	after_sweep(60000);
	json_decref(alerts("destination ageing"));
}

int main(void)
{
#define TEST(fn) cmocka_unit_test_setup_teardown(fn, rig_setup, rig_teardown)
	const struct CMUnitTest tests[] = {
		TEST(test_alerts),
		TEST(test_alert_of_keys),
		TEST(test_alert_of_many_keys),
		TEST(test_alert_of_sources),
		TEST(test_alert_of_secrets),
		TEST(test_alert_of_what_waits),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
