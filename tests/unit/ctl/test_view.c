/*
 * What clients read: lists, windows, reasons, explanations; as JSON over a control connection.
 */
#include "view_rig.h"

#include "lib/cred_made.h"

#define RATE "421 4.7.28 Our system has detected an unusual rate, ticket 4711"

/* Three destinations: one that is slow, one that is down, one that is well. */
static void mail(void)
{
	char to[64];

	for (int i = 0; i < 6; i++) {
		(void)snprintf(to, sizeof(to), "user%d@gmail.example", i);
		(void)post(
			&(struct letter){ .to = to,
					  .from = i < 2 ? "news@shop.example" : "shop@shop.example",
					  .stream = i < 4 ? "marketing" : "default",
					  .credential = i < 3 ? "crm" : "",
					  .size = (size_t)(100 + 100 * i) });
		loop_advance(rig.env.loop, 1000);
	}
	(void)post(&(struct letter){ .to = "anna@startup.example" });
	loop_advance(rig.env.loop, 1000);
	(void)post(&(struct letter){ .to = "bob@down.example,eve@down.example", .size = 5000 });
	loop_advance(rig.env.loop, 1000);
	(void)post(&(struct letter){ .to = "carl@fast.example", .subject = "Invoice" });
	meet("gmail.example", OUTCOME_DEFERRED, 421, "4.7.28", RATE);
}

static void down(void)
{
	struct attempt why = { .at_ms = loop_wall_ms(rig.env.loop),
			       .outcome = OUTCOME_DEFERRED,
			       .reply_class = REPLY_NETWORK,
			       .reply = "connect to mx.down.example: connection refused" };

	sched_unreachable(rig.env.sched, "mx:down.example", &why, false);
	settle();
}

static const char *text_of(const json_t *o, const char *name)
{
	return json_get_str(o, name);
}

/* ---- status ---- */

static void test_status(void **state)
{
	json_t *v = ask_well("status.get", "{}");
	const json_t *queued = json_object_get(v, "queued");
	const json_t *rows;

	(void)state;
	assert_int_equal(json_get_int(queued, "recipients"), 0);
	assert_true(json_is_null(json_object_get(v, "oldest_age_s")));
	assert_int_equal(json_get_int(v, "uptime_s"), 3600);
	json_decref(v);
	mail();
	down();
	hold(1, "domain:fast.example", "");
	loop_advance(rig.env.loop, 20000);
	v = ask_well("status.get", "{}");
	queued = json_object_get(v, "queued");
	assert_int_equal(json_get_int(queued, "messages"), 9);
	assert_int_equal(json_get_int(queued, "recipients"), 10);
	assert_int_equal(json_get_int(queued, "deferred") + json_get_int(queued, "ready") +
				 json_get_int(queued, "held"),
			 10);
	assert_int_equal(json_get_int(queued, "held"), 1);
	assert_int_equal(json_get_int(v, "holds"), 1);
	assert_int_equal(json_get_int(v, "alerts"), 2);
	assert_true(json_get_int(v, "oldest_age_s") >= 20);
	assert_int_equal(json_get_int(json_object_get(v, "connections"), "out"), 7);
	assert_true(json_get_bool(json_object_get(v, "disk"), "ok"));
	assert_int_equal(
		json_array_size(json_object_get(json_object_get(v, "rate_history"), "deferred")),
		RATES_STEPS);
	rows = json_object_get(v, "attention");
	assert_int_equal(json_array_size(rows), 2);
	assert_string_equal(text_of(json_array_get(rows, 0), "domain"), "gmail.example");
	assert_string_equal(text_of(json_array_get(rows, 0), "stream"), "marketing");
	assert_string_equal(text_of(json_object_get(json_array_get(rows, 0), "cause"), "text"),
			    RATE);
	assert_true(strlen(text_of(json_array_get(rows, 0), "since_at")) > 0);
	assert_string_equal(text_of(json_array_get(rows, 1), "domain"), "down.example");
	assert_non_null(strstr(text_of(json_array_get(rows, 1), "backoff"), "refused"));
	json_decref(v);
}

static void attention(const char *domains, int alerts)
{
	json_t *v;
	json_t *rows;

	loop_advance(rig.env.loop, 30000); /* the scheduler's sweep */
	turn();
	v = ask_well("status.get", "{}");
	rows = json_pack("{s:O}", "rows", json_object_get(v, "attention"));
	AUTO_FREE char *got = column(rows, "domain");
	assert_string_equal(got, domains);
	assert_int_equal(json_get_int(v, "alerts"), alerts);
	json_decref(rows);
	json_decref(v);
}

/* What wakes somebody, and what does not. */
static void test_attention(void **state)
{
	(void)state;
	(void)post(&(struct letter){ .to = "a@grey.example" });
	(void)post(&(struct letter){ .to = "a@idle.example" });
	(void)post(&(struct letter){ .to = "a@known.example,b@known.example" });
	meet("grey.example", OUTCOME_DEFERRED, 450, "4.2.0", "450 4.2.0 come back later");
	meet("known.example", OUTCOME_DEFERRED, 421, "4.7.28", RATE);
	attention("known.example", 1);
	hold(1, "domain:known.example", "");
	attention("known.example", 0); /* somebody is on it */
	loop_advance(rig.env.loop, 31 * 60000);
	attention("idle.example known.example", 1);
	loop_advance(rig.env.loop, 30 * 60000);
	attention("grey.example idle.example known.example", 2);
	meet("grey.example", OUTCOME_DELIVERED, 250, "", "250 ok");
	meet("idle.example", OUTCOME_DELIVERED, 250, "", "250 ok");
	attention("known.example", 0);
	assert_true(holds_drop(rig.env.holds, 1));
	sched_rejudge(rig.env.sched, false);
	attention("known.example", 1);
}

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

static void put_key(const char *state)
{
	AUTO_FREE char *id = xasprintf("shop.example/%s", state);
	AUTO_FREE char *json = NULL;
	json_t *o = NULL;

	assert_int_equal(keys_public_read(id, state, "v=DKIM1; k=rsa; p=x", "eva", NOW, &o, NULL),
			 0);
	json = json_dumps(o, 0);
	json_decref(o);
	assert_int_equal(keys_put(rig.env.keys, json, NOW, NULL), 0);
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

/* ---- groups ---- */

static void test_queue(void **state)
{
	json_t *v;

	(void)state;
	mail();
	down();
	expect("queue.list", "{}", "domain",
	       "gmail.example down.example fast.example startup.example");
	expect("queue.list", "{}", "total", "6 2 1 1");
	expect("queue.list", "{'sort':'ready'}", "domain",
	       "fast.example startup.example down.example gmail.example");
	expect("queue.list", "{'sort':'deferred'}", "deferred", "6 2 0 0");
	expect("queue.list", "{'sort':'name'}", "domain",
	       "down.example fast.example gmail.example startup.example");
	expect("queue.list", "{'by':'provider'}", "provider",
	       "google.com down.example fast.example");
	expect("queue.list", "{'by':'provider'}", "total", "7 2 1");
	expect("queue.list", "{'by':'stream'}", "stream", "default marketing");
	expect("queue.list", "{'by':'stream'}", "total", "6 4");
	expect("queue.list", "{'by':'sender'}", "sender", "shop@shop.example news@shop.example");
	expect("queue.list", "{'by':'sender'}", "total", "8 2");
	expect("queue.list", "{'by':'credential'}", "total", "7 3");
	expect("queue.list", "{'by':'cause'}", "cause", "rate-limited 421 network not tried yet");
	expect("queue.list", "{'by':'cause'}", "total", "6 2 2");
	expect("queue.list", "{'where':'stream:marketing'}", "total", "4");
	expect("queue.list", "{'where':'attempts>=1'}", "domain", "gmail.example down.example");
	expect("queue.list", "{'where':'from:news@shop.example'}", "total", "2");
	expect("queue.list", "{'where':'from:news@shop.example or state:ready','by':'stream'}",
	       "total", "2 2");
	expect("queue.list", "{'where':'state:deferred','by':'credential'}", "total", "5 3");
	expect("queue.list", "{'where':'domain:none.example'}", "total", "");
	expect("queue.list", "{'by':'cause','limit':1}", "where", "class:rate-limited code:421");
	v = ask_well("queue.list", "{'limit':1}");
	const json_t *row = json_array_get(json_object_get(v, "rows"), 0);
	assert_string_equal(text_of(row, "last_reply"), RATE);
	assert_string_equal(text_of(row, "class"), "rate-limited");
	assert_true(json_get_int(row, "next_attempt_s") > 0);
	json_decref(v);
}

/* Pages in both directions, while the queue changes. */
static void test_queue_pages(void **state)
{
	char to[64];
	char params[300];
	json_t *v;
	json_t *back;

	(void)state;
	for (int d = 0; d < 25; d++)
		for (int i = 0; i <= d % 3; i++) {
			(void)snprintf(to, sizeof(to), "u%d@d%02d.example", i, d);
			(void)post(&(struct letter){ .to = to });
		}
	for (int k = 0; k < 2; k++) {
		const char *sort = k == 0 ? "total" : "name";
		AUTO_BUF all = BUF_INIT(10000);
		AUTO_FREE char *whole = NULL;
		int pages = 0;
		(void)snprintf(params, sizeof(params), "{'sort':'%s'}", sort);
		v = ask_well("queue.list", params);
		whole = column(v, "domain");
		assert_int_equal(json_get_int(v, "total"), 25);
		json_decref(v);
		(void)snprintf(params, sizeof(params), "{'sort':'%s','limit':10}", sort);
		v = ask_well("queue.list", params);
		assert_true(json_is_null(json_object_get(v, "prev")));
		for (;;) {
			AUTO_FREE char *page = column(v, "domain");
			const char *next = json_string_value(json_object_get(v, "next"));
			(void)buf_printf(&all, "%s%s", pages++ > 0 ? " " : "", page);
			if (next == NULL)
				break;
			(void)snprintf(params, sizeof(params),
				       "{'sort':'%s','limit':10,'cursor':'%s'}", sort, next);
			json_decref(v);
			v = ask_well("queue.list", params);
			/* back again: the page before ends where this one begins */
			(void)snprintf(params, sizeof(params),
				       "{'sort':'%s','limit':10,'cursor':'%s'}", sort,
				       json_get_str(v, "prev"));
			back = ask_well("queue.list", params);
			AUTO_FREE char *before = column(back, "domain");
			assert_int_equal(json_array_size(json_object_get(back, "rows")), 10);
			assert_non_null(strstr(whole, before));
			assert_string_not_equal(json_get_str(back, "next"), "");
			assert_int_equal(json_is_null(json_object_get(back, "prev")), pages == 1);
			json_decref(back);
		}
		assert_int_equal(pages, 3);
		assert_string_equal(buf_cstr(&all), whole);
		json_decref(v);
	}
	refused("queue.list", "{'cursor':'nonsense'}", "invalid cursor");
	refused("queue.list", "{'cursor':'domain:total:f:-3:d02.example','by':'stream'}",
		"invalid cursor");
}

/* ---- windows onto recipients ---- */

static void test_messages(void **state)
{
	struct msgid id;
	struct rid rid;
	json_t *v;

	(void)state;
	mail();
	expect("message.list", "{'sort':'size','descending':true,'limit':2}", "to",
	       "eve@down.example bob@down.example");
	expect("message.list", "{'sort':'size','descending':true,'limit':2}", "domain",
	       "down.example down.example");
	expect("message.list", "{'where':'domain:gmail.example','limit':3}", "to",
	       "user0@gmail.example user1@gmail.example user2@gmail.example");
	expect("message.list", "{'where':'domain:gmail.example','from_end':true,'limit':2}", "to",
	       "user4@gmail.example user5@gmail.example");
	expect("message.list", "{'where':'state:ready'}", "to",
	       "anna@startup.example bob@down.example eve@down.example carl@fast.example");
	expect("message.list", "{'where':'provider:google.com state:ready'}", "to",
	       "anna@startup.example");
	expect("message.list", "{'where':'state:deferred from:news@shop.example'}", "to",
	       "user0@gmail.example user1@gmail.example");
	expect("message.list", "{'where':'subject:invoice'}", "to", "carl@fast.example");
	expect("message.list", "{'where':'carl'}", "to", "carl@fast.example");
	expect("message.list", "{'where':'code:4.7.* domain:gmail.example size>400'}", "to",
	       "user3@gmail.example user4@gmail.example user5@gmail.example");
	expect("message.list", "{'where':'subject:invoice or stream:marketing','limit':5}",
	       "domain", "gmail.example gmail.example gmail.example gmail.example fast.example");
	v = ask_well("message.list", "{'where':'code:421'}");
	const json_t *row = json_array_get(json_object_get(v, "rows"), 0);
	assert_int_equal(json_get_int(v, "total"), 6);
	assert_true(json_get_bool(v, "exact"));
	assert_string_equal(text_of(row, "state"), "deferred");
	assert_int_equal(json_get_int(row, "last_code"), 421);
	assert_string_equal(text_of(row, "last_enhanced"), "4.7.28");
	assert_string_equal(text_of(row, "class"), "rate-limited");
	assert_string_equal(text_of(row, "last_reply"), RATE);
	assert_int_equal(json_get_int(row, "attempts"), 1);
	assert_true(json_get_int(row, "next_attempt_s") > 0);
	assert_string_equal(text_of(row, "client"), "192.0.2.7");
	json_decref(v);
	v = ask_well("message.list", "{'where':'from:shop@shop.example','count':true,'limit':2}");
	assert_int_equal(json_get_int(v, "total"), 8);
	assert_true(json_get_bool(v, "exact"));
	json_decref(v);
	v = ask_well("message.list", "{'limit':2}");
	assert_int_equal(json_get_int(v, "total"), 10);
	json_decref(v);
	/* trash and ends are there when they are asked for */
	id = post(&(struct letter){ .to = "zoe@trash.example,zed@trash.example" });
	rid = rid_of(id, 1);
	assert_true(sched_trash(rig.env.sched, rid, true));
	meet("fast.example", OUTCOME_DELIVERED, 250, "2.0.0", "250 2.0.0 queued");
	expect("message.list", "{'where':'domain:trash.example'}", "to", "zed@trash.example");
	expect("message.list", "{'where':'state:trash'}", "to", "zoe@trash.example");
	expect("message.list", "{'where':'state:trash subject:hello'}", "state", "trash");
	expect("message.list", "{'where':'state:trash,ready domain:trash.example'}", "to",
	       "zoe@trash.example zed@trash.example");
	expect("message.list", "{'where':'-state:trash domain:trash.example'}", "to",
	       "zed@trash.example");
	expect("message.list", "{'where':'carl'}", "to", "");
	expect("message.list", "{'where':'state:delivered'}", "to", "carl@fast.example");
	expect("message.list", "{'where':'state:delivered'}", "next_attempt_s", "null");
	expect("message.list", "{'where':'state:delivered,ready','sort':'age','limit':1}", "to",
	       "zed@trash.example");
	expect("message.list", "{'where':'state:failed'}", "to", "");
	v = ask_well("message.list", "{'where':'state:trash,delivered','count':true,'limit':1}");
	assert_int_equal(json_get_int(v, "total"), 2);
	json_decref(v);
	hold(3, "domain:startup.example", "");
	expect("message.list", "{'where':'state:held'}", "hold", "h3");
	refused("message.list", "{'where':'state:nonsense'}", "syntax where");
	refused("message.list", "{'cursor':'x'}", "invalid cursor");
	refused("message.list", "{'cursor':'id:a:f:0:5','sort':'size'}", "invalid cursor");
}

/* Every order, every kind of filter: pages forth and back are the whole list. */
static void test_message_pages(void **state)
{
	static const char *const wheres[] = {
		"",
		"state:deferred",
		"from:b*",
		"attempts>=1 from:a*",
		"size>300 or state:ready",
		"state:ready,delivered,trash",
	};
	static const char *const sorts[] = { "id", "age", "next", "size", "attempts" };
	static const char *const domains[] = { "a.example", "b.example", "c.example" };

	(void)state;
	for (int i = 0; i < 60; i++) {
		AUTO_FREE char *to = xasprintf("u%d@%s", i, domains[i % 3]);
		AUTO_FREE char *from = xasprintf("%c@shop.example", 'a' + i % 2);
		struct msgid id = post(&(struct letter){
			.to = to, .from = from, .size = (size_t)(50 * (i * 7 % 11)) + 10 });
		loop_advance(rig.env.loop, i % 4 * 500);
		if (i % 10 == 9)
			assert_true(sched_trash(rig.env.sched, rid_of(id, 1), true));
		if (i == 20)
			meet("a.example", OUTCOME_DELIVERED, 250, "", "250 ok");
		if (i % 25 == 24)
			meet("b.example", OUTCOME_DEFERRED, 421, "4.7.0", "421 4.7.0 slow");
		if (i == 40) {
			loop_advance(rig.env.loop, 120000);
			meet("b.example", OUTCOME_DEFERRED, 450, "4.2.0", "450 4.2.0 grey");
		}
	}
	for (size_t w = 0; w < ARRAY_LEN(wheres); w++)
		for (size_t s = 0; s < 2 * ARRAY_LEN(sorts); s++) {
			AUTO_FREE char *base =
				xasprintf("'where':'%s','sort':'%s','descending':%s", wheres[w],
					  sorts[s / 2], s % 2 == 0 ? "false" : "true");
			AUTO_FREE char *whole_params = xasprintf("{%s}", base);
			AUTO_FREE char *first_params = xasprintf("{%s,'limit':7}", base);
			AUTO_FREE char *end_params =
				xasprintf("{%s,'limit':7,'from_end':true}", base);
			AUTO_BUF forth = BUF_INIT(100000);
			AUTO_FREE char *back = xstrdup("");
			json_t *v = ask_well("message.list", whole_params);
			AUTO_FREE char *whole = column(v, "row");
			size_t n = json_array_size(json_object_get(v, "rows"));
			assert_true(n > 5);
			assert_true(json_get_bool(v, "exact"));
			assert_int_equal(json_get_int(v, "total"), n);
			json_decref(v);
			v = ask_well("message.list", first_params);
			for (;;) {
				AUTO_FREE char *page = column(v, "row");
				const char *next = json_string_value(json_object_get(v, "next"));
				AUTO_FREE char *params = xasprintf("{%s,'limit':7,'cursor':'%s'}",
								   base, next != NULL ? next : "");
				(void)buf_printf(&forth, "%s%s", forth.n > 0 ? " " : "", page);
				json_decref(v);
				if (params[strlen(params) - 3] == '\'')
					break;
				v = ask_well("message.list", params);
				assert_false(json_is_null(json_object_get(v, "prev")));
			}
			if (strcmp(buf_cstr(&forth), whole) != 0)
				fail_msg("%s:\nwhole %s\nforth %s", base, whole, buf_cstr(&forth));
			v = ask_well("message.list", end_params);
			assert_true(json_is_null(json_object_get(v, "next")));
			for (;;) {
				AUTO_FREE char *page = column(v, "row");
				const char *prev = json_string_value(json_object_get(v, "prev"));
				AUTO_FREE char *params = xasprintf("{%s,'limit':7,'cursor':'%s'}",
								   base, prev != NULL ? prev : "");
				char *longer =
					xasprintf("%s%s%s", page, *back != '\0' ? " " : "", back);
				free(back);
				back = longer;
				json_decref(v);
				if (params[strlen(params) - 3] == '\'')
					break;
				v = ask_well("message.list", params);
				assert_false(json_is_null(json_object_get(v, "next")));
			}
			if (strcmp(back, whole) != 0)
				fail_msg("%s:\nwhole %s\nback  %s", base, whole, back);
		}
}

/* ---- one message ---- */

static void test_message(void **state)
{
	struct msgid id;
	char text[MSGID_TEXT_LEN];
	char params[200];
	json_t *v;

	(void)state;
	id = post(&(struct letter){ .to = "user@gmail.example,anna@fast.example",
				    .subject = "Week 48",
				    .credential = "crm" });
	msgid_text(id, text);
	meet("gmail.example", OUTCOME_DEFERRED, 421, "4.7.28", RATE);
	meet("fast.example", OUTCOME_DELIVERED, 250, "2.0.0", "250 2.0.0 queued");
	loop_advance(rig.env.loop, 3700000);
	meet("gmail.example", OUTCOME_DEFERRED, 421, "4.7.28", RATE);
	(void)snprintf(params, sizeof(params), "{'id':'%s'}", text);
	v = ask_well("message.get", params);
	assert_string_equal(text_of(v, "id"), text);
	assert_string_equal(text_of(v, "subject"), "Week 48");
	assert_string_equal(text_of(v, "content"), "stored");
	assert_string_equal(text_of(v, "credential"), "crm");
	assert_string_equal(text_of(v, "helo"), "client.example");
	assert_int_equal(json_get_int(v, "recipients_n"), 2);
	const json_t *attempts = json_object_get(v, "attempts");
	assert_int_equal(json_array_size(attempts), 3);
	assert_string_equal(text_of(json_array_get(attempts, 0), "to"), "user@gmail.example");
	assert_string_equal(text_of(json_array_get(attempts, 1), "outcome"), "delivered");
	assert_string_equal(text_of(json_array_get(attempts, 1), "reply"), "250 2.0.0 queued");
	assert_string_equal(text_of(json_array_get(attempts, 2), "outcome"), "deferred");
	assert_int_equal(json_get_int(json_array_get(attempts, 2), "code"), 421);
	const json_t *rcpts = json_object_get(v, "recipients");
	assert_string_equal(text_of(json_array_get(rcpts, 0), "state"), "deferred");
	assert_int_equal(json_get_int(json_array_get(rcpts, 0), "attempts"), 2);
	assert_string_equal(text_of(json_array_get(rcpts, 1), "state"), "delivered");
	json_decref(v);
	refused("message.get", "{'id':'0N4XK2M8QF'}", "unknown id");
	refused("message.get", "{'id':'no'}", "invalid id");
	loop_advance(rig.env.loop, 7200000);
	meet("gmail.example", OUTCOME_FAILED, 550, "5.1.1", "550 5.1.1 no such user");
	v = ask_well("message.get", params);
	assert_string_equal(text_of(v, "content"), "gone");
	assert_string_equal(text_of(json_array_get(json_object_get(v, "recipients"), 0), "class"),
			    "bad-mailbox");
	json_decref(v);
	(void)snprintf(params, sizeof(params), "{'id':'%s','part':'headers'}", text);
	loop_advance(rig.env.loop, VIEW_KEEP_MS + 1);
	refused("message.content", params, "until its last recipient");
}

static char *decoded(const json_t *v)
{
	static const char digits[] =
		"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
	const char *s = text_of(v, "base64");
	AUTO_BUF out = BUF_INIT(100000);
	unsigned bits = 0;
	unsigned n = 0;

	for (; *s != '\0' && *s != '='; s++) {
		bits = bits << 6 | (unsigned)(strchr(digits, *s) - digits);
		n += 6;
		if (n >= 8) {
			n -= 8;
			(void)buf_putc(&out, (char)(bits >> n & 0xff));
		}
	}
	return buf_take(&out);
}

static void test_content(void **state)
{
	struct msgid id =
		post(&(struct letter){ .to = "u@x.example", .subject = "S", .size = 100 });
	char text[MSGID_TEXT_LEN];
	char params[200];
	json_t *v;

	(void)state;
	msgid_text(id, text);
	(void)snprintf(params, sizeof(params), "{'id':'%s','part':'headers'}", text);
	v = ask_well("message.content", params);
	AUTO_FREE char *headers = decoded(v);
	assert_string_equal(headers, "Subject: S\r\nFrom: x\r\n\r\n");
	assert_int_equal(json_get_int(v, "total"), strlen(headers));
	json_decref(v);
	AUTO_BUF all = BUF_INIT(10000);
	for (int at = 0;; at += 50) {
		(void)snprintf(params, sizeof(params), "{'id':'%s','offset':%d,'limit':50}", text,
			       at);
		v = ask_well("message.content", params);
		AUTO_FREE char *piece = decoded(v);
		int64_t total = json_get_int(v, "total");
		json_decref(v);
		(void)buf_puts(&all, piece);
		if (*piece == '\0') {
			assert_int_equal(all.n, total);
			break;
		}
	}
	assert_non_null(strstr(buf_cstr(&all), "\r\n\r\n  "));
	assert_non_null(strstr(buf_cstr(&all), "body\r\n"));
	/* viewers: headers only */
	(void)close(rig.fd);
	buf_done(&rig.in);
	turn();
	client_in(ACCESS_VIEWER);
	json_decref(next_line(WAIT_MS));
	(void)snprintf(params, sizeof(params), "{'id':'%s','part':'headers'}", text);
	json_decref(ask_well("message.content", params));
	(void)snprintf(params, sizeof(params), "{'id':'%s'}", text);
	refused("message.content", params, "denied part");
}

/* ---- why ---- */

static void why(const char *target, const char *binding, const char *words, const char *rule)
{
	char params[200];
	json_t *v;

	(void)snprintf(params, sizeof(params), "{'target':'%s'}", target);
	v = ask_well("why.get", params);
	if (strcmp(text_of(v, "binding"), binding) != 0 ||
	    strstr(text_of(v, "text"), words) == NULL || strcmp(text_of(v, "rule"), rule) != 0)
		fail_msg("%s: %s, %s: %s", target, text_of(v, "binding"), text_of(v, "rule"),
			 text_of(v, "text"));
	json_decref(v);
}

static void test_why_message(void **state)
{
	struct msgid id = post(&(struct letter){ .to = "u@x.example,v@y.example" });
	char one[MSGID_TEXT_LEN];
	char first[RID_TEXT_LEN];
	char second[RID_TEXT_LEN];

	(void)state;
	msgid_text(id, one);
	rid_text(rid_of(id, 1), first);
	rid_text(rid_of(id, 2), second);
	why(one, "waiting", "u@x.example: due now", "");
	rig.hop_known = true;
	rig.hop = (struct smtpout_hop_view){ .of_site = 20, .limit = 20, .reason = "" };
	why(first, "concurrency", "20 connections", "");
	rig.hop = (struct smtpout_hop_view){
		.connections = 2, .limit = 20, .waits_for_room = true, .reason = ""
	};
	why(first, "concurrency", "as many connections open", "");
	rig.hop = (struct smtpout_hop_view){ .limit = 20,
					     .pause_until_ms = loop_wall_ms(rig.env.loop) + 60000,
					     .reason = "421 4.7.0 go slow" };
	why(first, "backoff", "421 4.7.0 go slow", "");
	rig.hop_known = false;
	assert_true(take_one("mx:x.example"));
	why(first, "delivering", "in delivery to x.example", "");
	result(OUTCOME_DEFERRED, 421, "4.7.28", RATE);
	settle();
	why(first, "remote", "unusual rate", "");
	why(first, "remote", "Next attempt in", "");
	struct attempt refused_ = { .outcome = OUTCOME_DEFERRED,
				    .reply_class = REPLY_NETWORK,
				    .reply = "connect to mx.y.example: connection refused" };
	sched_unreachable(rig.env.sched, "mx:y.example", &refused_, false);
	settle();
	why(second, "connect", "connection refused", "");
	why(one, "connect", "v@y.example: ", "");
	hold(4, "domain:y.example", ",\"expires_ms\":1795490600000");
	why(second, "held", "incident 7", "h4");
	why(second, "held", "eva", "h4");
	why(second, "held", "ends by itself in 10m", "h4");
	why(one, "held", "v@y.example", "h4");
	assert_true(holds_drop(rig.env.holds, 4));
	sched_rejudge(rig.env.sched, false);
	route(2, "domain:y.example", "hold");
	why(second, "route", "route r2 (domain:y.example) keeps it back", "r2");
	assert_true(sched_trash(rig.env.sched, rid_of(id, 2), true));
	why(second, "trash", "taken back", "");
	loop_advance(rig.env.loop, 3700000);
	meet("x.example", OUTCOME_DELIVERED, 250, "2.0.0", "250 2.0.0 thanks");
	why(first, "done", "delivered by mx.remote.example: 250 2.0.0 thanks", "");
	refused("why.get", "{'target':'0N4XK2M8QF'}", "unknown target");
}

static void test_why_destination(void **state)
{
	(void)state;
	why("domain:gmail.example", "done", "nothing is queued for domain:gmail.example", "");
	mail();
	why("domain:gmail.example", "remote", "6 recipients waiting: ", "");
	why("domain:gmail.example", "remote", "unusual rate", "");
	why("provider:google.com", "remote", "6 of 7 recipients", "");
	why("provider:google.com", "remote", "Besides: 1 due", "");
	why("domain:fast.example", "waiting", "1 recipient due now", "");
	why("from:news@shop.example", "remote", "2 recipients", "");
	down();
	why("domain:down.example", "connect", "refused", "");
	why("all", "remote", "8 of 10 recipients", "");
	hold(2, "stream:marketing", "");
	why("stream:marketing", "held", "4 recipients held by eva", "h2");
	why("domain:gmail.example", "held", "Besides: 2 waiting", "h2");
	route(1, "domain:fast.example", "hold");
	why("domain:fast.example", "route", "route r1", "r1");
}

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
	assert_non_null(strstr(json_get_str(json_array_get(json_object_get(v, "steps"), 7), "text"),
			       "hold h5"));
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

/* ---- events and causes ---- */

static void test_events(void **state)
{
	json_t *v;
	char params[200];
	int64_t seq;

	(void)state;
	mail();
	meet("fast.example", OUTCOME_DELIVERED, 250, "2.0.0", "250 2.0.0 queued");
	expect("event.list", "{'limit':2}", "event", "delivered deferred");
	expect("event.list", "{'limit':1}", "to", "carl@fast.example");
	expect("event.list", "{'where':'state:delivered'}", "to", "carl@fast.example");
	expect("event.list", "{'where':'code:421 from:news@shop.example'}", "to",
	       "user1@gmail.example user0@gmail.example");
	expect("event.list", "{'where':'provider:google.com code:421','limit':1}", "class",
	       "rate-limited");
	v = ask_well("event.list", "{'limit':5}");
	AUTO_FREE char *five = column(v, "seq");
	json_decref(v);
	v = ask_well("event.list", "{'limit':3}");
	AUTO_FREE char *three = column(v, "seq");
	(void)snprintf(params, sizeof(params), "{'limit':2,'cursor':'%s'}",
		       json_get_str(v, "next"));
	seq = json_get_int(json_array_get(json_object_get(v, "rows"), 2), "seq");
	json_decref(v);
	v = ask_well("event.list", params);
	AUTO_FREE char *two = column(v, "seq");
	AUTO_FREE char *both = xasprintf("%s %s", three, two);
	json_decref(v);
	assert_string_equal(both, five);
	(void)snprintf(params, sizeof(params), "{'after':%lld,'limit':1}", (long long)seq);
	v = ask_well("event.list", params);
	assert_int_equal(json_get_int(json_array_get(json_object_get(v, "rows"), 0), "seq"),
			 seq + 1);
	(void)snprintf(params, sizeof(params), "{'cursor':'%s'}", json_get_str(v, "next"));
	json_decref(v);
	v = ask_well("event.list", params);
	assert_int_equal(json_get_int(json_array_get(json_object_get(v, "rows"), 0), "seq"),
			 seq + 2);
	assert_true(json_is_null(json_object_get(v, "next")));
	json_decref(v);
	refused("event.list", "{'cursor':'z:1'}", "invalid cursor");
}

/* The filter of each cause finds as many rows as it counts; counting here is as the store's. */
static void check_causes(const char *params, const char *more)
{
	json_t *v = ask_well("cause.list", params);
	size_t i;
	json_t *row;

	assert_true(json_array_size(json_object_get(v, "rows")) > 0);
	json_array_foreach(json_object_get(v, "rows"), i, row)
	{
		AUTO_BUF where = BUF_INIT(5000);
		json_t *p;
		json_t *found;
		AUTO_FREE char *text = NULL;
		(void)buf_printf(&where, "%s %s", text_of(row, "where"), more);
		p = json_pack("{s:s}", "where", buf_cstr(&where));
		text = json_dumps(p, 0);
		found = ask_well("message.list", text);
		if (json_get_int(found, "total") != json_get_int(row, "count"))
			fail_msg("%s: %d rows for %d", text, (int)json_get_int(found, "total"),
				 (int)json_get_int(row, "count"));
		json_decref(found);
		json_decref(p);
	}
	json_decref(v);
}

static void test_causes(void **state)
{
	struct msgid id;

	(void)state;
	mail();
	down();
	meet("startup.example", OUTCOME_DEFERRED, 450, "4.2.0",
	     "450 4.2.0 <anna@startup.example>: \"Greylisted\"\n450 4.2.0 see "
	     "http://x.example/4711");
	meet("fast.example", OUTCOME_DEFERRED, 452, "", "452 out of space (#4.3.1) \\o/");
	expect("cause.list", "{}", "count", "6 2 1 1");
	expect("cause.list", "{'limit':2}", "class", "rate-limited network");
	expect("cause.list", "{'limit':1}", "kind", "soft");
	expect("cause.list", "{'limit':1}", "domains", "1");
	expect("cause.list", "{'where':'domain:fast.example,down.example'}", "count", "2 1");
	check_causes("{}", "");
	/* the store cannot: the same causes */
	expect("cause.list", "{'where':'state:deferred'}", "count", "6 2 1 1");
	check_causes("{'where':'state:deferred'}", "");
	expect("cause.list", "{'where':'provider:google.com'}", "count", "6 1");
	id = post(&(struct letter){ .to = "last@gmail.example" });
	meet("gmail.example", OUTCOME_DEFERRED, 421, "4.7.28", RATE);
	expect("cause.list", "{'limit':1}", "count", "7");
	assert_true(sched_trash(rig.env.sched, rid_of(id, 1), true));
	expect("cause.list", "{'limit':1}", "count", "6");
}

/* ---- what is pushed ---- */

static json_t *pushed(const char *topic)
{
	for (int i = 0; i < 50; i++) {
		json_t *line;
		loop_advance(rig.env.loop, 200);
		line = next_line(50);
		if (line == NULL)
			continue;
		json_t *params = json_object_get(line, "params");
		if (strcmp(text_of(line, "method"), "push") == 0 &&
		    strcmp(text_of(params, "topic"), topic) == 0) {
			json_t *data = json_incref(json_object_get(params, "data"));
			json_decref(line);
			return data;
		}
		json_decref(line);
	}
	fail_msg("nothing was pushed for %s", topic);
	return NULL;
}

static void test_pushes(void **state)
{
	struct msgid id;
	char row[RID_TEXT_LEN];
	char params[200];
	json_t *v;

	(void)state;
	mail();
	json_decref(ask_well("sub.open", "{'topic':'queue','by':'provider','keys':['google.com',"
					 "'none.example']}"));
	v = pushed("queue");
	AUTO_FREE char *total = column(v, "total");
	assert_string_equal(total, "7");
	assert_string_equal(json_string_value(json_array_get(json_object_get(v, "gone"), 0)),
			    "none.example");
	json_decref(v);
	id = post(&(struct letter){ .to = "one@gmail.example" });
	v = pushed("queue");
	AUTO_FREE char *grown = column(v, "total");
	assert_string_equal(grown, "8");
	json_decref(v);
	rid_text(rid_of(id, 1), row);
	(void)snprintf(params, sizeof(params), "{'topic':'messages','keys':['%s']}", row);
	json_decref(ask_well("sub.open", params));
	v = pushed("messages");
	AUTO_FREE char *first = column(v, "state");
	assert_string_equal(first, "ready");
	json_decref(v);
	assert_true(take_one("mx:gmail.example"));
	result(OUTCOME_DELIVERED, 250, "", "250 ok");
	settle();
	for (int i = 0;; i++) {
		v = pushed("messages");
		AUTO_FREE char *now = column(v, "state");
		json_decref(v);
		if (strcmp(now, "delivered") == 0)
			break;
		assert_true(i < 10);
	}
	json_decref(ask_well("sub.open", "{'topic':'changes'}"));
	v = pushed("changes");
	assert_non_null(json_object_get(v, "queue"));
	json_decref(v);
	json_decref(ask_well("sub.open", "{'topic':'status'}"));
	v = pushed("status");
	AUTO_FREE char *wrong = reply_schema_object("status", NULL, v);
	assert_null(wrong);
	json_decref(v);
}

/* A cursor is anybody's text. */
static void test_cursors(void **state)
{
	static const struct {
		const char *method;
		const char *cursor; /* a good one */
	} lists[] = {
		{ "queue.list", "domain:total:f:-3:gmail.example" },
		{ "message.list", "id:a:f:0:1000" },
		{ "event.list", "b:5" },
	};

	(void)state;
	mail();
	srand(7);
	for (int i = 0; i < 600; i++) {
		char text[64];
		size_t n = strlen(lists[i % 3].cursor);
		(void)snprintf(text, sizeof(text), "%s", lists[i % 3].cursor);
		for (int k = rand() % 4; k > 0; k--)
			text[(size_t)rand() % n] = "0123456789:-abdfx\xc3"[rand() % 18];
		json_t *params = json_object();
		(void)json_object_set_new(params, "cursor", json_text(str_of(text)));
		AUTO_FREE char *line = json_dumps(params, 0);
		json_t *v = ask(lists[i % 3].method, line);
		if (v == NULL && strstr(rig.error, "invalid cursor") == NULL)
			fail_msg("%s: %s", line, rig.error);
		json_decref(v);
		json_decref(params);
	}
}

/* Bytes that are no text reach clients as text. */
static void test_dirty_texts(void **state)
{
	json_t *v;

	(void)state;
	(void)post(&(struct letter){ .to = "u\xff@x.example", .from = "\xfe@y.example" });
	meet("x.example", OUTCOME_DEFERRED, 421, "4.7.0", "421 4.7.0 caf\xe9 \x01\n421 4.7.0 more");
	v = ask_well("message.list", "{}");
	json_decref(v);
	json_decref(ask_well("queue.list", "{'by':'sender'}"));
	json_decref(ask_well("queue.list", "{}"));
	json_decref(ask_well("event.list", "{}"));
	check_causes("{}", "");
	why("domain:x.example", "remote", "caf", "");
}

int main(void)
{
#define TEST(fn) cmocka_unit_test_setup_teardown(fn, rig_setup, rig_teardown)
	const struct CMUnitTest tests[] = {
		TEST(test_status),
		TEST(test_queue),
		TEST(test_queue_pages),
		TEST(test_messages),
		TEST(test_message_pages),
		TEST(test_message),
		TEST(test_content),
		TEST(test_why_message),
		TEST(test_why_destination),
		TEST(test_alerts),
		TEST(test_allow),
		TEST(test_creds),
		TEST(test_routes),
		TEST(test_route_of_a_stream),
		TEST(test_alert_of_what_waits),
		TEST(test_alert_of_keys),
		TEST(test_alert_of_sources),
		TEST(test_alert_of_secrets),
		TEST(test_events),
		TEST(test_causes),
		TEST(test_pushes),
		TEST(test_dirty_texts),
		TEST(test_attention),
		TEST(test_cursors),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
