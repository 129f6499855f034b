/*
 * What clients read first: how the relay is, the queue in groups, what is pushed; as JSON over a
 * control connection.
 */
#include "view_rig.h"

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

int main(void)
{
#define TEST(fn) cmocka_unit_test_setup_teardown(fn, rig_setup, rig_teardown)
	const struct CMUnitTest tests[] = {
		TEST(test_status),	TEST(test_attention), TEST(test_queue),
		TEST(test_queue_pages), TEST(test_pushes),    TEST(test_cursors),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
