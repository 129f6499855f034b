/* Results that come by mail: recorded once behind the others, also of what was forgotten. */
#include "queue_rig.h"

#define DAY_MS INT64_C(86400000)

struct late {
	bool called;
	bool again;
	int code;
};

static void on_late(void *arg, bool again, const struct err *err)
{
	struct late *l = arg;
	assert_false(l->called);
	*l = (struct late){ .called = true, .again = again, .code = err != NULL ? err->code : 0 };
	rig_wake();
}

/* True when it was recorded before. */
static bool late_until(struct rid rid, enum outcome o, int64_t until_ms)
{
	struct late l = { .called = false };
	struct queue_late q = { .rid = rid,
				.attempt = { .at_ms = loop_wall_ms(rig.loop),
					     .outcome = o,
					     .code = 550,
					     .enhanced = "5.1.1",
					     .reply = "550 5.1.1 gone",
					     .host = "mx.example" },
				.until_ms = until_ms,
				.to = STR("a@x.example"),
				.domain = queue_name(rig.q, STR("x.example")),
				.stream = queue_name(rig.q, STR("bulk")) };
	queue_late(rig.q, &q, on_late, &l);
	assert_false(l.called);
	while (!l.called)
		rig_wait();
	assert_int_equal(l.code, 0);
	return l.again;
}

static bool late(struct rid rid, enum outcome o)
{
	return late_until(rid, o, loop_wall_ms(rig.loop) + DAY_MS);
}

static const struct queue_event *last_event(void)
{
	return &rig.events[rig.events_n - 1];
}

struct feed {
	bool called;
	size_t n;
	enum outcome outcomes[32];
};

static void on_feed(void *arg, const struct queue_event *rows, size_t n, bool more,
		    const struct err *err)
{
	struct feed *f = arg;
	(void)more;
	assert_null(err);
	f->called = true;
	f->n = n;
	for (size_t k = 0; k < n && k < ARRAY_LEN(f->outcomes); k++)
		f->outcomes[k] = rows[k].attempt.outcome;
	rig_wake();
}

static struct feed feed_of(struct msgid id)
{
	struct feed f = { .called = false };
	queue_events(rig.q,
		     &(struct queue_event_query){ .of = id, .ascending = true, .limit = 100 },
		     on_feed, &f);
	while (!f.called)
		rig_wait();
	return f;
}

static void test_once(void **state)
{
	struct msgid id = rig_accept(
		&(struct rig_letter){ .from = "s@z.example", .to = "a@x.example,b@x.example" });
	struct rid a = rid_of(id, 1), b = rid_of(id, 2);
	const struct rig_rows *r;
	size_t n;

	(void)state;
	rig_finish(a, OUTCOME_DELIVERED);
	assert_false(late(a, OUTCOME_BOUNCED)); /* right behind it, not on disk yet */
	assert_int_equal(last_event()->attempt.outcome, OUTCOME_BOUNCED);
	assert_string_equal(rig.events_from[rig.events_n - 1], "s@z.example");
	assert_string_equal(rig.events_to[rig.events_n - 1], "a@x.example");
	n = rig.events_n;
	assert_true(late(a, OUTCOME_BOUNCED));
	assert_false(late(a, OUTCOME_COMPLAINED));
	assert_true(late(a, OUTCOME_COMPLAINED));
	assert_int_equal(rig.events_n, n + 1);
	rig_finish(b, OUTCOME_DELIVERED);
	rig_settle();
	assert_false(late(b, OUTCOME_COMPLAINED));
	rig_reopen();
	assert_true(late(a, OUTCOME_BOUNCED));
	assert_true(late(b, OUTCOME_COMPLAINED));
	r = rig_entries((const struct rid[]){ a, b }, 2);
	assert_int_equal(r->n, 2);
	assert_int_equal(r->v[0].outcome, OUTCOME_BOUNCED);
	assert_int_equal(r->v[0].code, 550);
	assert_int_equal(r->v[1].outcome, OUTCOME_DELIVERED);
	assert_int_equal(feed_of(id).n, 6); /* received, twice delivered, bounced, two complaints */
}

/* What is still queued goes on, with the event among its attempts. */
static void test_queued(void **state)
{
	struct msgid id = rig_accept(&(struct rig_letter){ .to = "a@x.example" });
	struct rid a = rid_of(id, 1);
	struct feed f;

	(void)state;
	rig_defer(a, 451, "4.3.0", "later");
	rig_settle();
	assert_false(late(a, OUTCOME_BOUNCED));
	assert_int_equal(rig_entries(&a, 1)->v[0].outcome, OUTCOME_DEFERRED);
	rig_finish(a, OUTCOME_DELIVERED);
	rig_settle();
	assert_int_equal(rig_entries(&a, 1)->v[0].outcome, OUTCOME_DELIVERED);
	f = feed_of(id);
	assert_int_equal(f.n, 4);
	assert_int_equal(f.outcomes[2], OUTCOME_BOUNCED);
}

/* A row is made for what is forgotten, and goes again without a trace; it still counts once. */
static void test_forgotten(void **state)
{
	struct msgid id = msgid_next((struct msgid){ 0 }, loop_wall_ms(rig.loop) - 5 * DAY_MS);
	struct rid a = rid_of(id, 3);
	const struct rig_rows *r;

	(void)state;
	assert_false(late(a, OUTCOME_BOUNCED));
	r = rig_entries(&a, 1);
	assert_int_equal(r->n, 1);
	assert_int_equal(r->v[0].outcome, OUTCOME_BOUNCED);
	assert_string_equal(r->texts[0][1], "a@x.example");
	assert_true(str_eq(queue_name_text(rig.q, r->v[0].stream), STR("bulk")));
	assert_false(late(rid_of(id, 4), OUTCOME_COMPLAINED)); /* the same message's */
	assert_int_equal(feed_of(id).n, 2);
	rig_close();
	rig.cfg.keep_finished_max = 0;
	rig_open();
	for (int k = 0; rig_entries(&a, 1)->n > 0; k++) {
		if (k == 200)
			fail_msg("it is never forgotten");
		rig_finish(rid_of(rig_accept(&(struct rig_letter){ .to = "b@y.example" }), 1),
			   OUTCOME_DELIVERED);
		rig_settle();
		rig_pause(20);
	}
	assert_int_equal(feed_of(id).n, 0);
	assert_true(late(a, OUTCOME_BOUNCED));
}

/* After its time it may count again: then no address of it is good any more. */
static void test_end(void **state)
{
	struct rid a = rid_of(msgid_next((struct msgid){ 0 }, loop_wall_ms(rig.loop)), 1);

	(void)state;
	assert_false(late_until(a, OUTCOME_COMPLAINED, loop_wall_ms(rig.loop) - 1));
	assert_false(late(rid_of(rid_msgid(a), 2), OUTCOME_COMPLAINED)); /* sweeps */
	assert_false(late(a, OUTCOME_COMPLAINED));
}

/* Tells the sender of a recipient's bounce; what came of it. */
static int tell_until(struct rid rid, int64_t until_ms, struct msgid *ret_id)
{
	struct rig_done d;

	*ret_id = rig_post(&(struct rig_letter){ .to = "s@z.example",
						 .tells = rid,
						 .tells_until_ms = until_ms },
			   &d);
	rig_done_wait(&d);
	return d.code;
}

/* Bounces of which nothing was made yet. */
struct unseen {
	size_t n;
	struct queue_event last;
	char to[64];
};

static void on_unseen(void *arg, const struct queue_event *e)
{
	struct unseen *u = arg;

	u->n++;
	u->last = *e;
	(void)snprintf(u->to, sizeof(u->to), "%.*s", STR_ARG(e->to));
}

static struct unseen unseen(void)
{
	struct unseen u = { .n = 0 };
	struct err err = ERR_INIT;

	rig_reopen();
	if (queue_load_unseen(rig.q, on_unseen, &u, &err) < 0)
		fail_msg("%s", err.msg);
	return u;
}

static void test_unseen(void **state)
{
	struct msgid id = rig_accept(&(struct rig_letter){ .to = "a@x.example,b@x.example" });
	struct rig_done d = { .called = false };
	struct unseen u;

	(void)state;
	rig_finish(rid_of(id, 1), OUTCOME_DELIVERED);
	assert_false(late(rid_of(id, 1), OUTCOME_BOUNCED));
	rig_finish(rid_of(id, 2), OUTCOME_FAILED);
	rig_settle();
	u = unseen();
	assert_int_equal(u.n, 2);
	assert_int_equal(u.last.rid.v, rid_of(id, 2).v);
	assert_int_equal(u.last.attempt.outcome, OUTCOME_FAILED);
	assert_string_equal(u.to, "b@x.example");
	assert_true(str_eq(queue_name_text(rig.q, u.last.stream), STR("default")));
	queue_suppress_seen(rig.q, u.last.seq);
	assert_int_equal(unseen().n, 2); /* it was not written */
	queue_suppress_seen(rig.q, u.last.seq - 1);
	queue_suppress_put(rig.q, NULL, 0, rig_on_done, &d);
	rig_done_wait(&d);
	u = unseen();
	assert_int_equal(u.n, 1);
	assert_int_equal(u.last.rid.v, rid_of(id, 2).v);
}

/* Whatever is left of it: the sender is told once, and nothing else of the second one is stored. */
static void test_told_once(void **state)
{
	int64_t until_ms = loop_wall_ms(rig.loop) + DAY_MS;
	struct rid a = rid_of(rig_accept(&(struct rig_letter){ .to = "a@x.example" }), 1);
	struct msgid told, again;
	size_t n;

	(void)state;
	rig_finish(a, OUTCOME_DELIVERED);
	assert_int_equal(tell_until(a, until_ms, &told), 0);
	n = rig.events_n;
	assert_int_equal(tell_until(a, until_ms, &again), ERR_EXISTS); /* it is queued */
	assert_int_equal(rig.events_n, n);
	assert_int_equal(rig_read(again, true).code, ERR_UNKNOWN);
	assert_false(late(a, OUTCOME_BOUNCED)); /* which is another thing */
	rig_finish(rid_of(told, 1), OUTCOME_DELIVERED);
	rig_settle();
	rig_reopen();
	assert_int_equal(rig.rows_n, 0);
	assert_int_equal(tell_until(a, until_ms, &again), ERR_EXISTS); /* it is over */
	assert_int_equal(tell_until(rid_of(rid_msgid(a), 2), until_ms, &again), 0);
}

/* Two in one batch. */
static void test_told_at_once(void **state)
{
	static struct rig_done done[8];
	struct rid a = rid_of(msgid_next((struct msgid){ 0 }, loop_wall_ms(rig.loop)), 1);
	size_t stored = 0;

	(void)state;
	for (size_t k = 0; k < ARRAY_LEN(done); k++)
		(void)rig_post(&(struct rig_letter){ .tells = a, .tells_until_ms = INT64_MAX },
			       &done[k]);
	for (size_t k = 0; k < ARRAY_LEN(done); k++) {
		rig_done_wait(&done[k]);
		assert_true(done[k].code == 0 || done[k].code == ERR_EXISTS);
		stored += done[k].code == 0;
	}
	assert_int_equal(stored, 1);
	rig_reopen();
	assert_int_equal(rig.rows_n, 1);
}

/* Past its time. */
static void test_told_end(void **state)
{
	struct rid a = rid_of(msgid_next((struct msgid){ 0 }, loop_wall_ms(rig.loop)), 1);
	struct msgid id;

	(void)state;
	assert_int_equal(tell_until(a, loop_wall_ms(rig.loop) - 1, &id), 0);
	assert_false(late(a, OUTCOME_COMPLAINED)); /* sweeps */
	assert_int_equal(tell_until(a, loop_wall_ms(rig.loop) + DAY_MS, &id), 0);
}

int main(void)
{
#define T(fn) cmocka_unit_test_setup_teardown(fn, rig_setup, rig_teardown)
	const struct CMUnitTest tests[] = { T(test_once),      T(test_queued),
					    T(test_forgotten), T(test_end),
					    T(test_told_once), T(test_told_at_once),
					    T(test_told_end),  T(test_unseen) };
	return cmocka_run_group_tests(tests, NULL, NULL);
}
