/*
 * Plans, commits, undo, holds, rules and reports, on a real scheduler and queue.
 */
#include "ops_rig.h"

#include "queue/queue.h"

static int64_t get(const json_t *o, const char *name)
{
	return json_get_int(o, name);
}

/* Three deferred recipients at fast.example, one at isp.example. */
static struct msgid backlog[4];
static void fill(void)
{
	static const char *const to[] = { "anna@fast.example", "bela@fast.example",
					  "chen@fast.example", "full@isp.example" };
	for (size_t i = 0; i < ARRAY_LEN(to); i++)
		backlog[i] = rig_accept("app@shop.example", to[i]);
	rig_defer("mx:fast.example");
	rig_defer("mx:isp.example");
	assert_int_equal(rig_count(SCHED_DEFERRED), 4);
}

#define HOLD(target) "{\"target\":\"" target "\",\"reason\":\"r\"}"

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

static void expect_action(json_t *take, int64_t messages, int64_t recipients, int64_t skipped)
{
	if (get(take, "messages") != messages || get(take, "recipients") != recipients ||
	    get(take, "skipped") != skipped)
		fail_msg("%s", json_dumps(take, 0));
	json_decref(take);
}

/* --- holds ------------------------------------------------------------------------------------ */

static void test_hold_targets(void **state)
{
	static const struct {
		const char *target;
		int held; /* of the backlog */
	} cases[] = {
		{ "domain:fast.example", 3 },
		{ "sender:app@shop.example", 4 },
		{ "all", 4 },
		{ "stream:default", 4 },
		{ "to:*@fast.example size<10M", 3 },
		{ "to:anna@fast.example", 1 },
		{ "domain:elsewhere.example", 0 },
		{ "state:deferred to:full@*", 1 },
		{ "provider:google.com", 0 },
		{ "sender:app@shop.example", 4 },
		{ "from:app@shop.example provider:google.com", 0 }, /* theirs is not known */
		{ "from:app@shop.example -provider:google.com", 0 },
		{ "from:app@shop.example state:deferred,held domain:fast.example", 3 },
	};
	(void)state;
	fill();
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		AUTO_FREE char *params =
			xasprintf("{\"target\":\"%s\",\"reason\":\"incident 7\"}", cases[i].target);
		AUTO_FREE char *release = xasprintf("{\"target\":\"%s\"}", cases[i].target);
		json_t *held = rig_do("queue.hold", params);
		json_t *rows = rig_do("hold.list", "{}");
		const json_t *row = json_array_get(json_object_get(rows, "rows"), 0);
		if (get(held, "recipients") != cases[i].held ||
		    (int)rig_count(SCHED_HELD) != cases[i].held)
			fail_msg("%s: %s", cases[i].target, json_dumps(held, 0));
		assert_int_equal(get(row, "recipients"), cases[i].held);
		assert_int_equal(get(row, "messages"), cases[i].held);
		assert_string_equal(json_get_str(row, "reason"), "incident 7");
		assert_string_equal(json_get_str(row, "by"), "olga");
		json_decref(rows);
		json_decref(held);
		expect_action(rig_do("queue.release", release), cases[i].held, cases[i].held, 0);
		assert_int_equal(rig_count(SCHED_HELD), 0);
	}
}

static void test_hold_covers_what_arrives(void **state)
{
	(void)state;
	json_decref(rig_do("queue.hold", HOLD("domain:fast.example")));
	json_decref(rig_do("queue.hold", HOLD("sender:eve@x.example")));
	struct msgid a = rig_accept("app@shop.example", "anna@fast.example");
	struct msgid b = rig_accept("eve@x.example", "anna@slow.example");
	assert_int_equal(rig_state(a, 1), SCHED_HELD);
	assert_int_equal(rig_state(b, 1), SCHED_HELD);
	assert_false(rig_want("mx:fast.example"));
	assert_false(rig_want("mx:slow.example"));
	rig_restart();
	rig_advance(0);
	assert_int_equal(rig_state(a, 1), SCHED_HELD);
	assert_false(rig_want("mx:fast.example"));
	assert_false(rig_want("mx:slow.example")); /* asked before the try, marked or not */
	for (unsigned n = 0; rig_state(b, 1) != SCHED_HELD; n++)
		rig_turn(n);
	json_decref(rig_do("queue.release", "{\"target\":\"sender:eve@x.example\"}"));
	assert_true(rig_want("mx:slow.example"));
	rig_end(OUTCOME_DELIVERED, 250, "2.0.0", "250 ok");
}

static void test_hold_refusals(void **state)
{
	(void)state;
	fill();
	json_decref(rig_do("queue.hold", HOLD("domain:fast.example")));
	rig_refuse("queue.hold", HOLD("domain:FAST.example"), ERR_EXISTS, "held already, by olga");
	rig_refuse("queue.release", "{\"target\":\"domain:isp.example\"}", ERR_UNKNOWN,
		   "no hold on domain:isp.example");
	rig_refuse("queue.release", "{\"hold\":\"h99\"}", ERR_UNKNOWN, "no hold h99");
	rig_refuse("queue.release", "{}", ERR_INVALID, "a target, or a hold's id");
	json_decref(rig_do("queue.hold", HOLD("all")));
	rig_refuse("queue.release", "{\"target\":\"domain:isp.example\"}", ERR_UNKNOWN,
		   "covered by h2 (all, by olga: \"r\")");
	json_decref(rig_do("queue.release", "{\"hold\":\"h2\"}"));
	rig_refuse("queue.release", "{\"hold\":\"h2\"}", ERR_STATE, "ended already");
	AUTO_FREE char *one = NULL;
	char id[MSGID_TEXT_LEN];
	msgid_text(backlog[0], id);
	one = xasprintf("{\"target\":\"id:%s\"}", id);
	rig_refuse("queue.release", one, ERR_UNKNOWN, "covered by h1");
}

static void test_hold_ends_by_itself(void **state)
{
	(void)state;
	fill();
	json_t *held = rig_do("queue.hold", "{\"target\":\"domain:fast.example\",\"reason\":\"r\","
					    "\"for_s\":\"2h\"}");
	json_t *other =
		rig_do("queue.hold", "{\"target\":\"to:full@*\",\"reason\":\"r\",\"for_s\":7200}");
	const json_t *hold = json_object_get(held, "hold");
	assert_true(json_is_string(json_object_get(hold, "expires_at")));
	json_decref(held);
	json_decref(other);
	assert_int_equal(rig_count(SCHED_HELD), 4);
	rig_advance(7100000);
	rig_restart();
	assert_int_equal(rig_count(SCHED_HELD) + rig_count(SCHED_READY), 4);
	assert_false(rig_want("mx:fast.example"));
	rig_advance(200000);
	for (unsigned n = 0; rig_count(SCHED_HELD) > 0; n++)
		rig_turn(n);
	json_t *rows = rig_do("hold.list", "{}");
	assert_int_equal(json_array_size(json_object_get(rows, "rows")), 0);
	json_decref(rows);
	assert_true(rig_want("mx:fast.example"));
	rig_end(OUTCOME_DELIVERED, 250, "2.0.0", "250 ok");
	assert_non_null(strstr(rig.log, "hold.expired"));
}

/* An ended hold is kept as long as it has a say in a lifetime. */
static void test_ended_hold_is_forgotten(void **state)
{
	(void)state;
	fill();
	json_decref(rig_do("queue.hold", HOLD("domain:fast.example")));
	json_decref(rig_do("queue.release", "{\"target\":\"domain:fast.example\"}"));
	for (int h = 0; h < 26; h++)
		rig_advance(3600000);
	assert_int_equal(holds_n(rig.env.holds), 1); /* its mail is still here */
	for (int h = 0; h < 200 && rig_count(SCHED_DEFERRED) + rig_count(SCHED_READY) > 0; h++) {
		while (rig_want("mx:fast.example") || rig_want("mx:isp.example"))
			rig_end(OUTCOME_DELIVERED, 250, "", "250 ok");
		rig_advance(3600000);
	}
	for (unsigned n = 0; holds_n(rig.env.holds) > 0; n++)
		rig_advance(60000);
	rig_restart();
	assert_int_equal(holds_n(rig.env.holds), 0);
}

static void test_hold_counts_messages(void **state)
{
	(void)state;
	(void)rig_accept("a@b.example", "anna@fast.example,bela@fast.example,chen@isp.example");
	(void)rig_accept("a@b.example", "dora@fast.example");
	expect_action(rig_do("queue.hold", HOLD("domain:fast.example")), 2, 3, 0);
	expect_action(rig_do("queue.hold", HOLD("to:*@isp.example")), 1, 1, 0);
	json_t *rows = rig_do("hold.list", "{}");
	const json_t *row = json_array_get(json_object_get(rows, "rows"), 0);
	assert_int_equal(get(row, "messages"), 2);
	assert_int_equal(get(row, "recipients"), 3);
	json_decref(rows);
	expect_action(rig_do("queue.release", "{\"hold\":\"h1\"}"), 2, 3, 0);
}

static void test_hold_undo(void **state)
{
	(void)state;
	fill();
	static const char *const targets[] = { "domain:fast.example", "to:*@fast.example" };
	for (size_t i = 0; i < ARRAY_LEN(targets); i++) {
		AUTO_FREE char *params =
			xasprintf("{\"target\":\"%s\",\"reason\":\"r\"}", targets[i]);
		AUTO_FREE char *release = xasprintf("{\"target\":\"%s\"}", targets[i]);
		AUTO_FREE char *held = action_of(rig_do("queue.hold", params));
		AUTO_FREE char *released = action_of(rig_do("queue.release", release));
		assert_int_equal(rig_count(SCHED_HELD), 0);
		/* the hold is not what it was: only the release can go back */
		AUTO_FREE char *stale = xasprintf("{\"action\":\"%s\"}", held);
		rig_refuse("action.undo", stale, ERR_CONFLICT, "queue.release");
		undo(released);
		assert_int_equal(rig_count(SCHED_HELD), 3);
		undo(held);
		assert_int_equal(rig_count(SCHED_HELD), 0);
		rig_restart();
		assert_int_equal(rig_count(SCHED_HELD), 0);
		/* held again meanwhile: the release cannot be undone over it */
		AUTO_FREE char *a = action_of(rig_do("queue.hold", params));
		AUTO_FREE char *b = action_of(rig_do("queue.release", release));
		AUTO_FREE char *c = action_of(rig_do("queue.hold", params));
		AUTO_FREE char *again = xasprintf("{\"action\":\"%s\"}", b);
		rig_refuse("action.undo", again, ERR_EXISTS, "held again meanwhile");
		undo(c);
		(void)a;
	}
}

/* --- delete ----------------------------------------------------------------------------------- */

static void test_delete_undo_restart(void **state)
{
	(void)state;
	fill();
	struct sched_view before, after;
	assert_true(sched_find(rig.env.sched, rid_of(backlog[0], 1), &before));
	AUTO_FREE char *action = action_of(rig_do("queue.delete", HOLD("domain:fast.example")));
	assert_int_equal(rig_count(SCHED_TRASH), 3);
	json_decref(rig_do("queue.retry", "{\"target\":\"all\"}"));
	assert_false(rig_want("mx:fast.example"));
	rig_restart();
	assert_int_equal(rig_count(SCHED_TRASH), 3);
	undo(action);
	assert_true(sched_find(rig.env.sched, rid_of(backlog[0], 1), &after));
	assert_int_equal(after.own_next_ms, before.own_next_ms);
	assert_int_equal(after.attempts, before.attempts);
	assert_int_equal(after.code, before.code);
	rig_restart();
	assert_int_equal(rig_count(SCHED_TRASH), 0);
	AUTO_FREE char *again = xasprintf("{\"action\":\"%s\"}", action);
	rig_refuse("action.undo", again, ERR_STATE, "taken back already, by olga");
}

static void test_delete_becomes_final(void **state)
{
	(void)state;
	fill();
	AUTO_FREE char *action = action_of(rig_do("queue.delete", HOLD("domain:fast.example")));
	rig_advance(RIG_UNDO_MS - 1000);
	assert_int_equal(rig_count(SCHED_TRASH), 3);
	rig_advance(2000);
	for (unsigned n = 0; rig.events[OUTCOME_DELETED] < 3; n++)
		rig_turn(n);
	assert_int_equal(rig_count(SCHED_TRASH), 0);
	assert_non_null(strstr(rig.last_reply, "deleted by olga (a1): r"));
	AUTO_FREE char *late = xasprintf("{\"action\":\"%s\"}", action);
	rig_refuse("action.undo", late, ERR_EXPIRED, "too late");
	rig_restart();
	assert_int_equal(rig_count(SCHED_TRASH), 0);
	assert_int_equal(rig_count(SCHED_READY) + rig_count(SCHED_DEFERRED), 1);
	json_t *list = rig_do("action.list", "{}");
	const json_t *row = json_array_get(json_object_get(list, "rows"), 0);
	assert_string_equal(json_get_str(row, "state"), "done");
	assert_int_equal(get(row, "recipients"), 3);
	json_decref(list);
	rig_refuse("action.undo", "{}", ERR_UNKNOWN, "nothing that can still be taken back");
}

/* Down while the window ends: the end comes after the start. */
static void test_window_ends_while_down(void **state)
{
	(void)state;
	fill();
	json_decref(rig_do("queue.delete", HOLD("domain:fast.example")));
	rig_close();
	rig.clock_ms += RIG_UNDO_MS + 1000;
	rig_open();
	assert_int_equal(rig_count(SCHED_TRASH), 3);
	rig_advance(100);
	for (unsigned n = 0; rig.events[OUTCOME_DELETED] < 3; n++)
		rig_turn(n);
}

static void test_nothing_matches(void **state)
{
	(void)state;
	fill();
	json_t *v = rig_do("queue.delete", HOLD("domain:nowhere.example"));
	assert_true(json_is_null(json_object_get(v, "undo_until_at")));
	expect_action(v, 0, 0, 0);
	rig_refuse("action.undo", "{\"action\":\"a1\"}", ERR_STATE, "nothing that can be taken");
}

static void test_in_delivery_is_skipped(void **state)
{
	(void)state;
	fill();
	json_decref(rig_do("queue.retry", "{\"target\":\"domain:fast.example\"}"));
	assert_true(rig_want("mx:fast.example"));
	assert_int_equal(rig.given_n, 1);
	json_t *plan = rig_do("plan.make", "{\"method\":\"queue.delete\",\"params\":"
					   "{\"target\":\"domain:fast.example\"}}");
	assert_int_equal(get(plan, "recipients"), 2);
	assert_int_equal(get(plan, "in_delivery"), 1);
	json_decref(plan);
	expect_action(rig_do("queue.delete", HOLD("domain:fast.example")), 2, 2, 1);
	rig_end(OUTCOME_DEFERRED, 451, "", "451 later");
	rig_restart();
	assert_int_equal(rig_count(SCHED_TRASH), 2); /* what was skipped stays skipped */
}

/* --- bounce and reports ----------------------------------------------------------------------- */

static void wait_ready(const char *hop)
{
	for (unsigned n = 0; !rig_want(hop); n++)
		rig_turn(n);
}

static void test_bounce(void **state)
{
	(void)state;
	struct msgid m = rig_accept("app@shop.example", "a@isp.example,b@isp.example");
	(void)rig_accept("", "c@isp.example"); /* the null sender gets no report */
	json_t *done = rig_do("queue.bounce", HOLD("domain:isp.example"));
	assert_true(json_is_string(json_object_get(done, "undo_until_at")));
	expect_action(done, 2, 3, 0);
	rig_advance(RIG_GRACE_MS - 1000);
	assert_false(rig_want("mx:shop.example"));
	rig_restart();
	assert_int_equal(rig_count(SCHED_TRASH), 3);
	rig_advance(2000);
	wait_ready("mx:shop.example");
	assert_int_equal(rig.given->sender.n, 0);
	assert_true(str_eq(rig.given->rcpts[0].address, STR("app@shop.example")));
	AUTO_FREE char *text = xstrndup(rig.given->content.p, rig.given->content.n);
	assert_non_null(strstr(text, "Final-Recipient: rfc822; a@isp.example"));
	assert_non_null(strstr(text, "Final-Recipient: rfc822; b@isp.example"));
	assert_non_null(strstr(text, "Status: 5.3.0"));
	assert_non_null(strstr(text, "Subject: a test"));
	assert_null(strstr(text, "\"r\"")); /* the operator's reason stays inside */
	rig_end(OUTCOME_DELIVERED, 250, "2.0.0", "250 ok");
	for (unsigned n = 0; rig.events[OUTCOME_FAILED] < 3; n++)
		rig_turn(n);
	assert_int_equal(rig_state(m, 1), SCHED_STATE__COUNT);
	assert_false(rig_want("mx:shop.example"));
	rig_restart();
	assert_int_equal(rig_count(SCHED_TRASH), 0);
}

static void test_bounce_undo(void **state)
{
	(void)state;
	fill();
	AUTO_FREE char *action = action_of(rig_do("queue.bounce", HOLD("domain:isp.example")));
	undo(action);
	assert_int_equal(rig_state(backlog[3], 1), SCHED_DEFERRED);
	rig_advance(2 * RIG_GRACE_MS);
	assert_false(rig_want("mx:shop.example"));
}

static void test_failure_report(void **state)
{
	(void)state;
	(void)rig_accept("app@shop.example", "a@isp.example,b@isp.example");
	assert_true(rig_want("mx:isp.example"));
	rig_end(OUTCOME_FAILED, 550, "5.1.1", "550 5.1.1 No such user");
	assert_int_equal(rig.events[OUTCOME_FAILED], 0); /* the report first */
	wait_ready("mx:shop.example");
	AUTO_FREE char *text = xstrndup(rig.given->content.p, rig.given->content.n);
	assert_non_null(strstr(text, "Status: 5.1.1"));
	assert_non_null(strstr(text, "smtp; 550 5.1.1 No such user"));
	assert_non_null(strstr(text, "multipart/report"));
	rig_end(OUTCOME_FAILED, 550, "", "550 nobody here"); /* a report fails: no report of it */
	for (unsigned n = 0; rig.events[OUTCOME_FAILED] < 3; n++)
		rig_turn(n);
	assert_int_equal(rig_count(SCHED_READY) + rig_count(SCHED_ACTIVE), 0);
}

/* --- retry ------------------------------------------------------------------------------------ */

static void test_retry_and_undo(void **state)
{
	(void)state;
	fill();
	struct sched_view before[3], v;
	for (int i = 0; i < 3; i++)
		assert_true(sched_find(rig.env.sched, rid_of(backlog[i], 1), &before[i]));
	rig.forgotten = 0;
	AUTO_FREE char *action =
		action_of(rig_do("queue.retry", "{\"target\":\"domain:fast.example\"}"));
	assert_int_equal(rig.forgotten, 1);
	assert_int_equal(rig_count(SCHED_READY), 3);
	assert_true(rig_want("mx:fast.example"));
	unsigned tried = 0;
	while (!msgid_eq(rig.given->id, backlog[tried]))
		tried++;
	rig_end(OUTCOME_DEFERRED, 451, "", "451 later");
	rig_disk();
	rig_restart();
	assert_int_equal(rig_count(SCHED_READY), 2);
	AUTO_FREE char *params = xasprintf("{\"action\":\"%s\"}", action);
	expect_action(rig_do("action.undo", params), 2, 2, 1);
	for (unsigned i = 0; i < 3; i++) {
		assert_true(sched_find(rig.env.sched, rid_of(backlog[i], 1), &v));
		if (i == tried)
			assert_int_equal(v.attempts, 2);
		else
			assert_int_equal(v.own_next_ms, before[i].own_next_ms);
	}
	rig_disk();
	rig_restart();
	assert_int_equal(rig_count(SCHED_READY), 0);
	assert_int_equal(rig_count(SCHED_DEFERRED), 4);
}

/* What waits only for its next hop is deferred, too. */
static void test_retry_ends_backoff(void **state)
{
	(void)state;
	for (int i = 0; i < 30; i++)
		(void)rig_accept("a@b.example", "x@down.example");
	struct attempt why = { .outcome = OUTCOME_DEFERRED, .reply = "connection refused" };
	sched_unreachable(rig.env.sched, "mx:down.example", &why, false);
	assert_int_equal(rig_count(SCHED_DEFERRED), 30);
	rig.kicks = 0;
	expect_action(rig_do("queue.retry", "{\"target\":\"domain:down.example\"}"), 30, 30, 0);
	assert_int_equal(rig_count(SCHED_READY), 30);
	rig_advance(0);
	assert_true(rig.kicks > 0);
}

/* --- plans ------------------------------------------------------------------------------------ */

#define PLAN_DELETE "{\"method\":\"queue.delete\",\"params\":{\"target\":\"domain:fast.example\"}}"

static char *plan_id(json_t *take)
{
	char *id = xstrdup(json_get_str(take, "plan"));
	json_decref(take);
	return id;
}

static void test_plan_describes(void **state)
{
	(void)state;
	fill();
	rig_advance(5000);
	json_t *p = rig_do("plan.make", PLAN_DELETE);
	assert_int_equal(get(p, "messages"), 3);
	assert_int_equal(get(p, "recipients"), 3);
	assert_int_equal(get(p, "in_delivery"), 0);
	assert_int_equal(get(json_object_get(p, "by_state"), "deferred"), 3);
	assert_int_equal(json_object_size(json_object_get(p, "by_state")), 1);
	assert_int_equal(get(json_object_get(p, "by_domain"), "fast.example"), 3);
	assert_int_equal(get(json_object_get(p, "by_stream"), "default"), 3);
	assert_int_equal(json_array_size(json_object_get(p, "sample")), 3);
	assert_true(get(p, "oldest_age_s") >= 5 && get(p, "newest_age_s") >= 5);
	assert_int_equal(get(p, "undo_window_s"), 600);
	assert_string_equal(json_get_str(p, "command"),
			    "weir delete domain:fast.example --reason TEXT");
	assert_string_equal(json_get_str(p, "target"), "domain:fast.example");
	AUTO_FREE char *id = plan_id(p);
	AUTO_FREE char *first = xasprintf("{\"plan\":\"%s\",\"limit\":2}", id);
	json_t *rows = rig_do("plan.rows", first);
	assert_int_equal(json_array_size(json_object_get(rows, "rows")), 2);
	assert_int_equal(get(rows, "total"), 3);
	AUTO_FREE char *more = xasprintf("{\"plan\":\"%s\",\"limit\":2,\"cursor\":\"%s\"}", id,
					 json_get_str(rows, "next"));
	json_decref(rows);
	rows = rig_do("plan.rows", more);
	assert_int_equal(json_array_size(json_object_get(rows, "rows")), 1);
	assert_true(json_is_null(json_object_get(rows, "next")));
	json_decref(rows);
	assert_int_equal(rig_count(SCHED_DEFERRED), 4); /* and touches nothing */
	AUTO_FREE char *drop = xasprintf("{\"plan\":\"%s\"}", id);
	json_decref(rig_do("plan.drop", drop));
	rig_refuse("plan.rows", drop, ERR_UNKNOWN, "no such plan");
	json_decref(rig_do("plan.drop", drop));
}

static void test_plan_command_is_quoted(void **state)
{
	static const struct {
		const char *params;
		const char *command;
	} cases[] = {
		{ "{\"method\":\"queue.hold\",\"params\":{\"target\":\"from:*@x.org size<1M\","
		  "\"for_s\":\"2h\",\"keep_expiry\":true}}",
		  "weir hold 'from:*@x.org size<1M' --for 2h --keep-expiry --reason TEXT" },
		{ "{\"method\":\"queue.bounce\",\"params\":{\"target\":\"subject:\\\"it's\\\"\"}}",
		  "weir bounce 'subject:it'\\''s' --reason TEXT" },
		{ "{\"method\":\"queue.retry\",\"params\":{\"target\":\"-domain:x.org\"}}",
		  "weir retry -- -domain:x.org" },
		{ "{\"method\":\"queue.hold\",\"params\":{\"target\":\"all\",\"for_s\":90}}",
		  "weir hold all --for 1m30s --reason TEXT" },
	};
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		json_t *p = rig_do("plan.make", cases[i].params);
		assert_string_equal(json_get_str(p, "command"), cases[i].command);
		json_decref(p);
	}
}

/* Exactly the set that was shown: what comes later is not in it, what changed is counted. */
static void test_commit_is_exact(void **state)
{
	(void)state;
	fill();
	AUTO_FREE char *id = plan_id(rig_do("plan.make", PLAN_DELETE));
	struct msgid later = rig_accept("app@shop.example", "dora@fast.example");
	json_decref(rig_do("queue.retry", "{\"target\":\"to:anna@*\"}"));
	for (;;) {
		assert_true(rig_want("mx:fast.example"));
		bool anna = msgid_eq(rig.given->id, backlog[0]);
		rig_end(anna ? OUTCOME_DELIVERED : OUTCOME_DEFERRED, anna ? 250 : 451, "", "x");
		if (anna)
			break;
	}
	AUTO_FREE char *bare = xasprintf("{\"plan\":\"%s\"}", id);
	rig_refuse("plan.commit", bare, ERR_REASON, "reason");
	AUTO_FREE char *commit = xasprintf("{\"plan\":\"%s\",\"reason\":\"r\"}", id);
	expect_action(rig_do("plan.commit", commit), 2, 2, 1);
	assert_int_not_equal(rig_state(later, 1), SCHED_TRASH);
	assert_int_equal(rig_count(SCHED_TRASH), 2);
	rig_refuse("plan.commit", commit, ERR_UNKNOWN, "no such plan");
	assert_non_null(strstr(rig.log, "ctl.change ctx=olga method=queue.delete "
					"target=domain:fast.example reason=r action=a2"));
}

static void test_conflicts(void **state)
{
	(void)state;
	fill();
	AUTO_FREE char *id = plan_id(rig_do("plan.make", PLAN_DELETE));
	AUTO_FREE char *release = NULL;
	AUTO_FREE char *commit = xasprintf("{\"plan\":\"%s\",\"reason\":\"r\"}", id);
	rig_login("hugo", 4300, ACCESS_OPERATOR);
	rig_refuse("plan.commit", commit, ERR_DENIED, "this plan is olga's");
	AUTO_FREE char *bounce = action_of(rig_do("queue.bounce", HOLD("to:bela@*")));
	rig_login("olga", 4242, ACCESS_ADMIN);
	rig_refuse("plan.commit", commit, ERR_CONFLICT, "queue.bounce to:bela@* by hugo (a");
	assert_int_equal(rig_count(SCHED_TRASH), 1); /* nothing of it was done */
	undo(bounce);
	expect_action(rig_do("plan.commit", commit), 3, 3, 0);

	json_decref(rig_do("queue.hold", HOLD("domain:isp.example")));
	release = plan_id(rig_do("plan.make", "{\"method\":\"queue.release\",\"params\":"
					      "{\"target\":\"domain:isp.example\"}}"));
	rig_login("hugo", 4300, ACCESS_OPERATOR);
	json_decref(rig_do("queue.release", "{\"target\":\"domain:isp.example\"}"));
	rig_login("olga", 4242, ACCESS_ADMIN);
	AUTO_FREE char *late = xasprintf("{\"plan\":\"%s\"}", release);
	rig_refuse("plan.commit", late, ERR_CONFLICT, "by hugo");
}

static void test_plan_of_hold_and_release(void **state)
{
	(void)state;
	fill();
	AUTO_FREE char *id = plan_id(
		rig_do("plan.make",
		       "{\"method\":\"queue.hold\",\"params\":{\"target\":\"to:*@fast.*\"}}"));
	assert_int_equal(rig_count(SCHED_HELD), 0);
	AUTO_FREE char *commit = xasprintf("{\"plan\":\"%s\",\"reason\":\"r\"}", id);
	expect_action(rig_do("plan.commit", commit), 3, 3, 0);
	assert_int_equal(rig_count(SCHED_HELD), 3);
	json_t *p =
		rig_do("plan.make", "{\"method\":\"queue.release\",\"params\":{\"hold\":\"h1\"}}");
	assert_int_equal(get(p, "recipients"), 3);
	assert_int_equal(get(json_object_get(p, "by_state"), "held"), 3);
	assert_string_equal(json_get_str(p, "target"), "to:*@fast.*");
	assert_string_equal(json_get_str(p, "command"), "weir release --hold h1");
	AUTO_FREE char *rid = plan_id(p);
	AUTO_FREE char *release = xasprintf("{\"plan\":\"%s\"}", rid);
	expect_action(rig_do("plan.commit", release), 3, 3, 0);
	assert_int_equal(rig_count(SCHED_HELD), 0);
}

static void test_plan_limits(void **state)
{
	(void)state;
	for (int i = 0; i < ACTIONS_PLANS; i++)
		json_decref(rig_do("plan.make", PLAN_DELETE));
	rig_refuse("plan.make", PLAN_DELETE, ERR_LIMIT, "too many plans");
	rig_advance(1000 * ACTIONS_PLAN_S + 1000);
	json_decref(rig_do("plan.make", PLAN_DELETE));
	rig_refuse("plan.make", "{\"method\":\"cred.unblock\",\"params\":{}}", ERR_INVALID,
		   "cannot be planned");
	rig_refuse("plan.make", "{\"method\":\"queue.delete\",\"params\":{\"target\":\"x.org\"}}",
		   ERR_SYNTAX, "did you mean domain:x.org");
	rig_refuse("plan.make", "{\"method\":\"queue.delete\",\"params\":{}}", ERR_INVALID,
		   "target");
	assert_string_equal(rig.err.param, "target");
}

/* --- repeated requests ------------------------------------------------------------------------ */

static void test_replay(void **state)
{
	(void)state;
	fill();
	static const char params[] =
		"{\"target\":\"domain:fast.example\",\"reason\":\"r\",\"request\":\"q1\"}";
	json_t *first = rig_do("queue.delete", params);
	rig_restart();
	json_t *second = rig_do("queue.delete", params);
	assert_true(json_equal(first, second));
	json_decref(first);
	json_decref(second);
	rig_refuse("queue.bounce", params, ERR_CONFLICT, "queue.delete domain:fast.example");
	rig_refuse("queue.delete",
		   "{\"target\":\"domain:slow.example\",\"reason\":\"r\",\"request\":\"q1\"}",
		   ERR_CONFLICT, "each change needs its own");
	rig_login("hugo", 4300, ACCESS_OPERATOR); /* another account's ids are its own */
	expect_action(rig_do("queue.delete", params), 0, 0, 0);
}

/* --- undo ------------------------------------------------------------------------------------- */

static void test_undo_rights(void **state)
{
	(void)state;
	fill();
	json_decref(rig_do("allow.add", "{\"network\":\"10.0.0.0/8\"}"));
	rig_login("hugo", 4300, ACCESS_OPERATOR);
	rig_refuse("action.undo", "{\"action\":\"a1\"}", ERR_DENIED, "needs the role admin");
	rig_refuse("action.undo", "{}", ERR_UNKNOWN, "hugo has done nothing");
	rig_refuse("action.undo", "{\"action\":\"a77\"}", ERR_UNKNOWN, "no action a77");
	rig_refuse("action.undo", "{\"action\":\"x\"}", ERR_INVALID, "looks like a12");
	json_decref(rig_do("queue.delete", HOLD("domain:isp.example")));
	json_decref(rig_do("queue.delete", HOLD("domain:fast.example")));
	json_t *last = rig_do("action.undo", "{}");
	assert_string_equal(json_get_str(json_object_get(last, "undone"), "action"), "a3");
	assert_string_equal(json_get_str(json_object_get(last, "undone"), "target"),
			    "domain:fast.example");
	json_decref(last);
	assert_int_equal(rig_count(SCHED_TRASH), 1);
	json_decref(rig_do("action.undo", "{}"));
	assert_int_equal(rig_count(SCHED_TRASH), 0);
	rig_refuse("action.undo", "{\"action\":\"a4\"}", ERR_STATE, "nothing that can be taken");
	json_t *list = rig_do("action.list", "{\"limit\":2}");
	json_t *rest;
	AUTO_FREE char *next = xasprintf("{\"cursor\":\"%s\"}", json_get_str(list, "next"));
	assert_int_equal(json_array_size(json_object_get(list, "rows")), 2);
	rest = rig_do("action.list", next);
	assert_int_equal(json_array_size(json_object_get(rest, "rows")), 3);
	const json_t *row = json_array_get(json_object_get(rest, "rows"), 1);
	assert_string_equal(json_get_str(row, "state"), "undone");
	assert_string_equal(json_get_str(row, "who"), "hugo");
	json_decref(list);
	json_decref(rest);
}

/* --- allowlist and routes --------------------------------------------------------------------- */

static bool may_relay(const char *address)
{
	struct ipaddr a;
	assert_true(ipaddr_parse(str_of(address), &a));
	return allow_check(rig.env.allow, &a, loop_wall_ms(rig.loop)) != NULL;
}

static void expect_warning(json_t *take, const char *words)
{
	char *all = json_dumps(json_object_get(take, "warnings"), JSON_ENCODE_ANY);
	if (words == NULL ? all != NULL : all == NULL || strstr(all, words) == NULL)
		fail_msg("%s", all != NULL ? all : "no warnings");
	free(all);
	json_decref(take);
}

static void test_allow(void **state)
{
	(void)state;
	expect_warning(rig_do("allow.add", "{\"network\":\"10.0.0.0/8\",\"note\":\"office\"}"),
		       NULL);
	assert_true(may_relay("10.1.2.3"));
	rig_refuse("allow.add", "{\"network\":\"10.0.0.0/8\"}", ERR_EXISTS,
		   "added by olga at 2026-");
	rig_refuse("allow.add", "{\"network\":\"0.0.0.0/0\"}", ERR_INVALID, "everybody");
	rig_refuse("allow.add", "{\"network\":\"::/0\"}", ERR_INVALID, "everybody");
	expect_warning(rig_do("allow.add", "{\"network\":\"10.1.0.0/16\"}"), "10.0.0.0/8");
	expect_warning(rig_do("allow.add", "{\"network\":\"8.0.0.0/5\"}"), "2 other entries");
	expect_warning(rig_do("allow.add", "{\"network\":\"0.0.0.0/0\",\"everything\":true}"),
		       "large part");
	undo("a4");
	assert_false(may_relay("192.0.2.1"));
	rig_refuse("allow.remove", "{\"network\":\"10.0.0.0/9\"}", ERR_UNKNOWN, "part of");
	rig_refuse("allow.remove", "{\"network\":\"192.0.2.0/24\"}", ERR_UNKNOWN,
		   "not on the allowlist");
	AUTO_FREE char *removed = action_of(rig_do("allow.remove", "{\"network\":\"10.0.0.0/8\"}"));
	undo("a2");
	undo("a3");
	assert_false(may_relay("10.1.2.3"));
	rig_restart();
	assert_false(may_relay("10.1.2.3"));
	undo(removed);
	assert_true(may_relay("10.1.2.3"));
	rig_restart();
	assert_true(may_relay("10.1.2.3"));
	assert_string_equal(allow_at(rig.env.allow, 0)->note, "office");
}

static void test_allow_ends(void **state)
{
	(void)state;
	json_decref(rig_do("allow.add", "{\"network\":\"192.0.2.0/24\",\"for_s\":\"1h\"}"));
	assert_true(may_relay("192.0.2.7"));
	rig_advance(3601000);
	for (unsigned n = 0; allow_n(rig.env.allow) > 0; n++)
		rig_turn(n);
	json_decref(rig_do("allow.add", "{\"network\":\"192.0.2.0/24\"}"));
}

static const char *order(void)
{
	static char text[200];
	text[0] = '\0';
	for (size_t i = 0; i < routes_n(rig.env.routes); i++)
		(void)snprintf(text + strlen(text), sizeof(text) - strlen(text), "%s%s",
			       i > 0 ? " " : "", routes_at(rig.env.routes, i)->id);
	return text;
}

static void test_routes(void **state)
{
	(void)state;
	struct msgid m = rig_accept("a@b.example", "x@fast.example");
	json_decref(rig_do("route.add", "{\"to\":\"smarthost:mail.example.net\","
					"\"match\":\"domain:fast.example\",\"note\":\"n\"}"));
	assert_false(rig_want("mx:fast.example"));
	assert_true(rig_want("smarthost:mail.example.net:25"));
	rig_end(OUTCOME_DEFERRED, 451, "", "451 later");
	json_decref(rig_do("route.add", "{\"to\":\"mx\"}"));
	json_decref(rig_do("route.add", "{\"to\":\"hold\",\"match\":\"from:*@x.example\","
					"\"before\":\"r1\"}"));
	assert_string_equal(order(), "r2 r3 r1");
	AUTO_FREE char *moved = action_of(rig_do("route.move", "{\"id\":\"r2\",\"reason\":\"r\"}"));
	assert_string_equal(order(), "r3 r1 r2");
	json_decref(rig_do("route.move", "{\"id\":\"r2\",\"before\":\"r1\",\"reason\":\"r\"}"));
	assert_string_equal(order(), "r3 r2 r1");
	AUTO_FREE char *stale = xasprintf("{\"action\":\"%s\"}", moved);
	rig_refuse("action.undo", stale, ERR_CONFLICT, "route.move r2 by olga (a5)");
	undo("a5");
	undo(moved);
	assert_string_equal(order(), "r2 r3 r1");
	rig_restart();
	assert_string_equal(order(), "r2 r3 r1");
	AUTO_FREE char *removed =
		action_of(rig_do("route.remove", "{\"id\":\"r2\",\"reason\":\"r\"}"));
	assert_string_equal(order(), "r3 r1");
	undo(removed);
	assert_string_equal(order(), "r2 r3 r1");
	rig_refuse("route.add", "{\"to\":\"nowhere\"}", ERR_INVALID, "");
	assert_string_equal(rig.err.param, "to");
	rig_refuse("route.add", "{\"to\":\"mx\",\"match\":\"code:451\"}", ERR_INVALID,
		   "cannot depend on code");
	rig_refuse("route.add", "{\"to\":\"mx\",\"before\":\"r9\"}", ERR_UNKNOWN, "no route r9");
	rig_refuse("route.move", "{\"id\":\"r1\",\"before\":\"r1\",\"reason\":\"r\"}", ERR_INVALID,
		   "before itself");
	(void)m;
}

/* More between two neighbours than doubles have room for. */
static void test_routes_squeezed(void **state)
{
	(void)state;
	json_decref(rig_do("route.add", "{\"to\":\"mx\"}"));
	json_decref(rig_do("route.add", "{\"to\":\"mx\"}"));
	for (int i = 0; i < 80; i++)
		json_decref(rig_do("route.add", "{\"to\":\"hold\",\"before\":\"r1\"}"));
	const struct routes *r = rig.env.routes;
	assert_int_equal(routes_n(r), 82);
	assert_string_equal(routes_at(r, 0)->id, "r2");
	assert_string_equal(routes_at(r, 80)->id, "r82");
	assert_string_equal(routes_at(r, 81)->id, "r1");
	for (size_t i = 1; i < routes_n(r); i++)
		assert_true(routes_at(r, i - 1)->place < routes_at(r, i)->place);
}

/* --- much at a time --------------------------------------------------------------------------- */

/* Several changes of one set under way at once: each recipient goes to one of them. */
static void test_changes_at_once(void **state)
{
	(void)state;
	for (int i = 0; i < 600; i++)
		(void)rig_accept("a@b.example", "x@fast.example,y@isp.example");
	int a = rig_ask("queue.delete", HOLD("domain:fast.example"));
	int b = rig_ask("queue.bounce", HOLD("all"));
	int c = rig_ask("queue.hold", HOLD("to:y@*"));
	int d = rig_ask("queue.hold", HOLD("to:y@*"));
	int64_t sum = 0;
	bool refused;
	for (int k = 0; k < 2; k++) {
		json_t *v = rig_answer(k == 0 ? a : b);
		assert_non_null(v);
		sum += get(v, "recipients");
		json_decref(v);
	}
	assert_int_equal(sum, 1200);
	assert_int_equal(rig_count(SCHED_TRASH), 1200);
	json_decref(rig_answer(c));
	refused = rig_answer(d) == NULL;
	assert_true(refused && rig.err.code == ERR_EXISTS);
}

int main(void)
{
#define T(fn) cmocka_unit_test_setup_teardown(fn, rig_setup, rig_teardown)
	static const struct CMUnitTest tests[] = {
		T(test_hold_targets),
		T(test_hold_covers_what_arrives),
		T(test_hold_refusals),
		T(test_hold_ends_by_itself),
		T(test_ended_hold_is_forgotten),
		T(test_hold_counts_messages),
		T(test_hold_undo),
		T(test_delete_undo_restart),
		T(test_delete_becomes_final),
		T(test_window_ends_while_down),
		T(test_nothing_matches),
		T(test_in_delivery_is_skipped),
		T(test_bounce),
		T(test_bounce_undo),
		T(test_failure_report),
		T(test_retry_and_undo),
		T(test_retry_ends_backoff),
		T(test_plan_describes),
		T(test_plan_command_is_quoted),
		T(test_commit_is_exact),
		T(test_conflicts),
		T(test_plan_of_hold_and_release),
		T(test_plan_limits),
		T(test_replay),
		T(test_undo_rights),
		T(test_allow),
		T(test_allow_ends),
		T(test_routes),
		T(test_routes_squeezed),
		T(test_changes_at_once),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
