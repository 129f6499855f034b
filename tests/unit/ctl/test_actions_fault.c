/*
 * The store refuses: a change that was not stored was not made, and a report that could not be
 * stored is made later. Or it takes its time. The linker puts these in front of the queue's
 * functions (--wrap, see the Makefile).
 */
#include "ops_rig.h"

static struct {
	unsigned commits; /* to be refused */
	unsigned accepts;
	unsigned reads;
	uint64_t refused;
	bool hold; /* the next commit: that it is done is told by let_go() */
	queue_done_fn *held;
	void *held_arg;
} fault;

struct refusal {
	queue_done_fn *done;
	queue_message_fn *read;
	void *arg;
};

static void on_refuse(void *arg)
{
	struct refusal *r = arg;
	struct err err = ERR_INIT;
	(void)err_set(&err, ERR_NOSPC, "the disk is full");
	fault.refused++;
	if (r->done != NULL)
		r->done(r->arg, &err);
	else
		r->read(r->arg, NULL, &err);
	free(r);
}

static void refuse(queue_done_fn *done, queue_message_fn *read, void *arg)
{
	struct refusal *r = xcalloc(1, sizeof(*r));
	*r = (struct refusal){ .done = done, .read = read, .arg = arg };
	loop_post(rig.loop, on_refuse, r);
}

static void free_taken(const struct queue_action *a)
{
	if (a->take_rids)
		free((void *)(uintptr_t)a->rids);
	if (!a->take_texts)
		return;
	free((void *)(uintptr_t)a->undo);
	free((void *)(uintptr_t)a->changes);
	free((void *)(uintptr_t)a->edited);
}

static void on_held(void *arg, const struct err *err)
{
	const struct refusal *r = arg;
	assert_null(err);
	fault.held = r->done;
	fault.held_arg = r->arg;
	free(arg);
}

static void let_go(void)
{
	fault.held(fault.held_arg, NULL);
}

void __real_queue_commit_batch(struct queue *q, const struct queue_action *a,
			       struct queue_batch *batch, queue_done_fn *done, void *arg);
void __wrap_queue_commit_batch(struct queue *q, const struct queue_action *a,
			       struct queue_batch *batch, queue_done_fn *done, void *arg);
void __wrap_queue_commit_batch(struct queue *q, const struct queue_action *a,
			       struct queue_batch *batch, queue_done_fn *done, void *arg)
{
	if (fault.hold) {
		struct refusal *r = xcalloc(1, sizeof(*r));
		*r = (struct refusal){ .done = done, .arg = arg };
		fault.hold = false;
		__real_queue_commit_batch(q, a, batch, on_held, r);
		return;
	}
	if (fault.commits == 0) {
		__real_queue_commit_batch(q, a, batch, done, arg);
		return;
	}
	fault.commits--;
	if (a != NULL)
		free_taken(a);
	queue_batch_free(&batch);
	refuse(done, NULL, arg);
}

void __real_queue_accept(struct queue *q, const struct queue_new *n, queue_done_fn *done,
			 void *arg);
void __wrap_queue_accept(struct queue *q, const struct queue_new *n, queue_done_fn *done,
			 void *arg);
void __wrap_queue_accept(struct queue *q, const struct queue_new *n, queue_done_fn *done, void *arg)
{
	if (fault.accepts == 0) {
		__real_queue_accept(q, n, done, arg);
		return;
	}
	fault.accepts--;
	free(n->content_take);
	refuse(done, NULL, arg);
}

void __real_queue_message_read(struct queue *q, struct msgid id, bool content, queue_message_fn *fn,
			       void *arg);
void __wrap_queue_message_read(struct queue *q, struct msgid id, bool content, queue_message_fn *fn,
			       void *arg);
void __wrap_queue_message_read(struct queue *q, struct msgid id, bool content, queue_message_fn *fn,
			       void *arg)
{
	if (fault.reads == 0) {
		__real_queue_message_read(q, id, content, fn, arg);
		return;
	}
	fault.reads--;
	refuse(NULL, fn, arg);
}

/* --- changes ---------------------------------------------------------------------------------- */

#define RCPTS 4
#define MANY 200 /* objects, and more: in slices */

struct picture {
	struct sched_view v[RCPTS];
	size_t holds;
	size_t allowed;
	size_t routes;
};

static struct msgid mail[RCPTS];

static void fill(void)
{
	mail[0] = rig_accept("app@shop.example", "anna@fast.example");
	mail[1] = rig_accept("app@shop.example", "bela@fast.example");
	mail[2] = rig_accept("eve@x.example", "chen@fast.example");
	mail[3] = rig_accept("app@shop.example", "full@isp.example");
	rig_defer("mx:fast.example");
}

static struct picture look(void)
{
	struct picture p = { .holds = holds_active(rig.env.holds),
			     .allowed = allow_n(rig.env.allow),
			     .routes = routes_n(rig.env.routes) };
	for (unsigned k = 0; k < RCPTS; k++)
		assert_true(sched_find(rig.env.sched, rid_of(mail[k], 1), &p.v[k]));
	return p;
}

static void expect_same(const char *what, const struct picture *a, const struct picture *b)
{
	for (unsigned k = 0; k < RCPTS; k++)
		if (a->v[k].state != b->v[k].state || a->v[k].own_next_ms != b->v[k].own_next_ms ||
		    a->v[k].hold != b->v[k].hold)
			fail_msg("%s: recipient %u is not as it was", what, k);
	if (a->holds != b->holds || a->allowed != b->allowed || a->routes != b->routes)
		fail_msg("%s: holds, routes or the allowlist are not as they were", what);
}

static void test_refused_changes(void **state)
{
	static const struct {
		const char *method;
		const char *params;
	} cases[] = {
		{ "queue.delete", "{\"target\":\"all\",\"reason\":\"r\"}" },
		{ "action.undo", "{}" },
		{ "queue.bounce", "{\"target\":\"domain:fast.example\",\"reason\":\"r\"}" },
		{ "action.undo", "{}" },
		{ "queue.retry", "{\"target\":\"all\"}" },
		{ "action.undo", "{}" },
		{ "queue.hold", "{\"target\":\"domain:fast.example\",\"reason\":\"r\"}" },
		{ "queue.hold", "{\"target\":\"from:*@x.example\",\"reason\":\"r\"}" },
		{ "queue.release", "{\"target\":\"domain:fast.example\"}" },
		{ "action.undo", "{}" },
		{ "queue.release", "{\"target\":\"from:*@x.example\"}" },
		{ "action.undo", "{}" },
		{ "allow.add", "{\"network\":\"10.0.0.0/8\"}" },
		{ "allow.remove", "{\"network\":\"10.0.0.0/8\"}" },
		{ "route.add", "{\"to\":\"smarthost:h.example\"}" },
		{ "action.undo", "{}" },
	};
	(void)state;
	fill();
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct picture before = look(), after;
		fault.commits = 1;
		rig_refuse(cases[i].method, cases[i].params, ERR_NOSPC, "the disk is full");
		after = look();
		expect_same(cases[i].method, &before, &after);
		json_decref(rig_do(cases[i].method, cases[i].params)); /* nothing is left locked */
	}
}

/* Of many objects, prepared in slices: what was prepared is forgotten, and nothing stays locked. */
static void test_refused_many(void **state)
{
	AUTO_BUF text = BUF_INIT(100000);
	json_t *params, *v;
	(void)state;
	fill();
	(void)buf_puts(&text, "format = 1\ncontains = \"allowlist\"\n");
	for (unsigned i = 0; i < 2 * MANY; i++)
		(void)buf_printf(&text, "allow \"10.0.%u.%u\" {\n}\n", i >> 8, i & 255);
	params = json_pack("{s:s, s:s}", "text", buf_cstr(&text), "reason", "r");
	AUTO_FREE char *import = json_dumps(params, JSON_COMPACT);
	AUTO_FREE char *undo = NULL;
	json_decref(params);
	for (unsigned i = 0; i < 2; i++) {
		struct picture before = look(), after;
		fault.commits = 1;
		rig_refuse(i == 0 ? "config.import" : "action.undo", i == 0 ? import : undo,
			   ERR_NOSPC, "the disk is full");
		after = look();
		expect_same("many", &before, &after);
		json_decref(rig_do("pool.add",
				   i == 0 ? "{\"name\":\"a\",\"sources\":[\"127.0.0.7\"]}"
					  : "{\"name\":\"b\",\"sources\":[\"127.0.0.7\"]}"));
		v = rig_do(i == 0 ? "config.import" : "action.undo", i == 0 ? import : undo);
		assert_int_equal(allow_n(rig.env.allow), i == 0 ? 2 * MANY : 0);
		if (i == 0)
			undo = xasprintf("{\"action\":\"%s\"}", json_get_str(v, "action"));
		json_decref(v);
	}
}

static void test_refused_commit_keeps_the_plan(void **state)
{
	(void)state;
	fill();
	json_t *plan = rig_do("plan.make", "{\"method\":\"queue.delete\",\"params\":"
					   "{\"target\":\"domain:fast.example\"}}");
	AUTO_FREE char *commit =
		xasprintf("{\"plan\":\"%s\",\"reason\":\"r\"}", json_get_str(plan, "plan"));
	json_decref(plan);
	fault.commits = 1;
	rig_refuse("plan.commit", commit, ERR_NOSPC, "the disk is full");
	json_t *done = rig_do("plan.commit", commit);
	assert_int_equal(json_get_int(done, "recipients"), 3);
	json_decref(done);
}

/* What ends by itself ends although that cannot be written; after a start it ends again. */
static void test_refused_expiry(void **state)
{
	(void)state;
	fill();
	json_decref(rig_do("queue.hold", "{\"target\":\"domain:fast.example\",\"reason\":\"r\","
					 "\"for_s\":60}"));
	fault.commits = 1;
	rig_advance(61000);
	for (unsigned n = 0; rig_count(SCHED_HELD) > 0; n++)
		rig_turn(n);
	assert_int_equal(fault.refused, 1);
	rig_restart();
	rig_advance(100);
	for (unsigned n = 0; rig_count(SCHED_HELD) > 0; n++)
		rig_turn(n);
}

/* An edit on probation that the relay cannot take back stays on probation, and is taken back when
 * it can be. */
static void test_refused_rollback(void **state)
{
	(void)state;
	json_decref(rig_do("route.add", "{\"to\":\"discard\",\"match\":\"domain:fast.example\","
					"\"probation_s\":60}"));
	fault.commits = 1;
	rig_advance(61000);
	for (unsigned n = 0; fault.refused == 0; n++)
		rig_turn(n);
	assert_int_equal(routes_n(rig.env.routes), 1);
	assert_non_null(rig.env.probation);
	assert_non_null(strstr(rig.log, "probation.rollback"));
	rig_advance(1000);
	assert_int_equal(routes_n(rig.env.routes), 1); /* not at once */
	rig_advance(4000);
	for (unsigned n = 0; routes_n(rig.env.routes) > 0; n++)
		rig_turn(n);
	for (unsigned n = 0; rig.env.probation != NULL; n++)
		rig_turn(n);
	assert_int_equal(fault.refused, 1);
}

/* An edit that is being stored when an earlier version is to come back is a part of what is gone
 * back from. */
static void test_rollback_behind_an_edit(void **state)
{
	int add, back;
	(void)state;
	json_decref(rig_do("allow.add", "{\"network\":\"10.0.0.1\"}"));
	json_decref(rig_do("allow.add", "{\"network\":\"10.0.0.2\"}"));
	fault.hold = true;
	add = rig_ask("allow.add", "{\"network\":\"10.0.0.3\"}");
	for (unsigned n = 0; fault.held == NULL; n++)
		rig_turn(n);
	back = rig_ask("config.rollback", "{\"version\":1,\"reason\":\"r\"}");
	for (unsigned n = 0; n < 100 && allow_n(rig.env.allow) == 2; n++)
		rig_turn(n);
	let_go();
	json_decref(rig_answer(add));
	json_decref(rig_answer(back));
	assert_int_equal(allow_n(rig.env.allow), 1);
	assert_string_equal(allow_at(rig.env.allow, 0)->text, "10.0.0.1");
	rig_restart();
	assert_int_equal(allow_n(rig.env.allow), 1);
}

/* --- what is counted -------------------------------------------------------------------------- */

#define COUNTED 300 /* credentials: two transactions */
#define USES_MS 10000

static void on_pass(void *arg, const struct queue_object *o)
{
	json_t *v = json_loads(o->json, 0, NULL);
	*(int64_t *)arg = json_get_int(v, "at_ms");
	json_decref(v);
}

/* When the pass began that the store has; 0: none. */
static int64_t stored_pass(void)
{
	struct err err = ERR_INIT;
	int64_t at_ms = 0;
	assert_int_equal(queue_load_objects(rig.env.queue, "uses-pass", on_pass, &at_ms, &err), 0);
	return at_ms;
}

static void pass(void)
{
	rig_advance(USES_MS);
	for (unsigned n = 0; n < 60; n++) { /* 50 ms between transactions */
		rig_advance(5);
		(void)poll(NULL, 0, 1);
	}
}

static uint64_t today_of(const char *name)
{
	return cred_use_today(creds_find(rig.env.creds, str_of(name))->use, loop_wall_ms(rig.loop));
}

/* A pass in which something was not stored promises nothing, and that is stored with the next. */
static void test_refused_counts(void **state)
{
	AUTO_BUF text = BUF_INIT(100000);
	json_t *params;
	int64_t first_ms;
	(void)state;
	(void)buf_puts(&text, "format = 1\ncontains = \"credentials\"\n");
	for (unsigned i = 0; i < COUNTED; i++)
		(void)buf_printf(&text, "credential \"app%03u\" {\n}\n", i);
	params = json_pack("{s:s, s:s}", "text", buf_cstr(&text), "reason", "r");
	AUTO_FREE char *import = json_dumps(params, JSON_COMPACT);
	json_decref(params);
	json_decref(rig_do("config.import", import));
	pass();
	first_ms = stored_pass();
	assert_int_not_equal(first_ms, 0);
	for (size_t i = 0; i < COUNTED; i++)
		assert_true(creds_day_take(rig.env.creds, str_of(creds_at(rig.env.creds, i)->name),
					   loop_wall_ms(rig.loop)));
	fault.commits = 1;
	pass();
	assert_int_equal(fault.refused, 1);
	assert_int_equal(stored_pass(), first_ms);
	pass();
	assert_true(stored_pass() > first_ms);
	rig_restart(); /* as if it had been killed */
	assert_int_equal(today_of("app000"), 1);
	assert_int_equal(today_of("app299"), 1);
}

/* --- reports ---------------------------------------------------------------------------------- */

static void test_report_is_not_lost(void **state)
{
	(void)state;
	fill();
	assert_true(rig_want("mx:isp.example"));
	fault.accepts = 2;
	fault.reads = 1;
	rig_end(OUTCOME_FAILED, 550, "5.1.1", "550 5.1.1 No");
	for (int k = 0; k < 20; k++)
		rig_advance(1000);
	assert_false(rig_want("mx:shop.example"));
	assert_int_equal(rig.events[OUTCOME_FAILED], 0); /* the failure waits for its report */
	for (unsigned n = 0; !rig_want("mx:shop.example"); n++) {
		rig_advance(1000);
		rig_turn(n);
	}
	assert_int_equal(fault.refused, 3);
	rig_end(OUTCOME_DELIVERED, 250, "", "250 ok");
	assert_false(rig_want("mx:shop.example"));
	for (unsigned n = 0; rig.events[OUTCOME_FAILED] < 1; n++)
		rig_turn(n);
}

/* Many failures at a time: a report for each, a few being made at once. */
static void test_many_reports(void **state)
{
	(void)state;
	unsigned got = 0;
	for (int k = 0; k < 150; k++)
		(void)rig_accept("app@shop.example", "x@isp.example");
	fault.accepts = 10;
	while (rig_want("mx:isp.example"))
		rig_end(OUTCOME_FAILED, 550, "", "550 no");
	for (unsigned n = 0; got < 150; n++) {
		for (; rig_want("mx:shop.example"); got++)
			rig_end(OUTCOME_DELIVERED, 250, "", "250 ok");
		rig_advance(1000);
		rig_turn(n);
	}
	assert_int_equal(got, 150);
	for (unsigned n = 0; rig.events[OUTCOME_FAILED] < 150; n++)
		rig_turn(n);
}

static int setup(void **state)
{
	memset(&fault, 0, sizeof(fault));
	return rig_setup(state);
}

int main(void)
{
#define T(fn) cmocka_unit_test_setup_teardown(fn, setup, rig_teardown)
	static const struct CMUnitTest tests[] = {
		T(test_refused_changes),    T(test_refused_commit_keeps_the_plan),
		T(test_refused_many),	    T(test_refused_expiry),
		T(test_refused_rollback),   T(test_rollback_behind_an_edit),
		T(test_report_is_not_lost), T(test_many_reports),
		T(test_refused_counts),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
