/* Messages, results, names, objects and actions, and that all of it is there after a restart. */
#include "queue_rig.h"

static void test_accept_and_read(void **state)
{
	(void)state;
	struct msgid id = rig_accept(&(struct rig_letter){ .from = "bob@sender.example",
							   .to = "a@x.example,b@Y.example",
							   .subject = "Grüße",
							   .content = "Subject: Hi\r\n\r\ntext\r\n",
							   .stream = "Bulk",
							   .credential = "crm",
							   .client = "192.0.2.7",
							   .received_ms = 1234,
							   .expires_ms = 99999 });
	for (int round = 0; round < 2; round++) {
		const struct message *cached = queue_message_cached(rig.q, id);
		assert_int_equal(cached != NULL, round == 0);
		message_unref(&cached);
		struct rig_read r = rig_read(id, true);
		assert_int_equal(r.code, 0);
		assert_true(str_eq(r.m->sender, STR("bob@sender.example")));
		assert_true(str_eq(r.m->subject, str_of("Grüße")));
		assert_true(str_eq(r.m->content, STR("Subject: Hi\r\n\r\ntext\r\n")));
		assert_true(str_eq(r.m->credential, STR("crm")));
		assert_true(str_eq(r.m->client, STR("192.0.2.7")));
		assert_true(str_eq(r.m->helo, STR("client.example")));
		assert_true(str_eq(r.m->msgid_header, STR("<1@example>")));
		assert_int_equal(r.m->received_ms, 1234);
		assert_int_equal(r.m->expires_ms, 99999);
		assert_true(r.m->eight_bit);
		assert_int_equal(r.m->size, r.m->content.n);
		assert_int_equal(r.m->rcpts_n, 2);
		assert_int_equal(r.m->rcpts[1].n, 2);
		assert_true(str_eq(r.m->rcpts[1].address, STR("b@Y.example")));
		assert_true(str_eq(queue_name_text(rig.q, r.m->rcpts[1].domain), STR("y.example")));
		assert_true(str_eq(queue_name_text(rig.q, r.m->stream), STR("bulk")));
		message_unref(&r.m);
		rig_reopen();
	}
	struct rig_read r = rig_read(id, false);
	assert_int_equal(r.code, 0);
	assert_null(r.m->content.p);
	message_unref(&r.m);
	r = rig_read(queue_new_id(rig.q), true);
	assert_int_equal(r.code, ERR_UNKNOWN);
	assert_null(r.m);
	assert_string_equal(rig.log, "");
}

/* Many at once go into few commits, and every one is answered. */
static void test_many_at_once(void **state)
{
	static struct rig_done done[1000];
	(void)state;
	for (size_t k = 0; k < ARRAY_LEN(done); k++)
		(void)rig_post(&(struct rig_letter){ .content_n = 3000 }, &done[k]);
	assert_int_equal(queue_accept_backlog(rig.q), 3000 * ARRAY_LEN(done));
	for (size_t k = 0; k < ARRAY_LEN(done); k++) {
		rig_done_wait(&done[k]);
		assert_int_equal(done[k].code, 0);
	}
	assert_int_equal(queue_accept_backlog(rig.q), 0);
	rig_reopen();
	assert_int_equal(rig.rows_n, ARRAY_LEN(done));
}

static void test_ids_are_never_reused(void **state)
{
	(void)state;
	struct msgid a = rig_accept(&(struct rig_letter){ .from = "a@b.example" });
	struct msgid later = queue_new_id(rig.q);
	(void)rig_accept(&(struct rig_letter){ .from = "a@b.example" });
	struct msgid last = queue_new_id(rig.q);
	assert_true(a.v < later.v && later.v < last.v);
	rig_close();
	rig_open();
	assert_true(queue_new_id(rig.q).v > last.v - 1);
}

static void test_names(void **state)
{
	(void)state;
	uint32_t a = queue_name(rig.q, STR("Example.ORG"));
	assert_int_equal(a, queue_name(rig.q, STR("example.org")));
	assert_int_equal(a, queue_name_find(rig.q, STR("EXAMPLE.org")));
	assert_int_equal(0, queue_name_find(rig.q, STR("other.org")));
	assert_true(str_eq(queue_name_text(rig.q, a), STR("example.org")));
	assert_int_equal(queue_name_text(rig.q, 0).n, 0);
	assert_int_equal(queue_name_text(rig.q, 4711).n, 0);
	char text[32];
	for (int k = 0; k < 5000; k++) {
		(void)snprintf(text, sizeof(text), "d%d.example", k);
		uint32_t id = queue_name(rig.q, str_of(text));
		assert_int_equal(id, queue_name_find(rig.q, str_of(text)));
	}
	(void)rig_accept(&(struct rig_letter){ .to = "x@d17.example" });
	uint32_t d17 = queue_name_find(rig.q, STR("d17.example"));
	rig_reopen();
	assert_int_equal(d17, queue_name_find(rig.q, STR("d17.example")));
	assert_int_equal(a, queue_name_find(rig.q, STR("example.org")));
}

/* What a result changes, and what the scheduler gets back at the next start. */
static void test_results(void **state)
{
	(void)state;
	struct msgid id = rig_accept(&(struct rig_letter){ .from = "bob@sender.example",
							   .to = "a@x.example,b@x.example,"
								 "c@x.example",
							   .expires_ms = 1000 });
	rig_record(&(struct rig_result){ .rid = rid_of(id, 1),
					 .outcome = OUTCOME_DEFERRED,
					 .code = 451,
					 .enhanced = "4.7.1",
					 .reply = "later\nplease",
					 .reply_class = 6,
					 .next_ms = 777,
					 .attempts = 3 });
	rig_finish(rid_of(id, 2), OUTCOME_DELIVERED);
	rig_finish(rid_of(id, 2), OUTCOME_FAILED); /* it is over already: nothing happens */
	queue_record_next(rig.q, rid_of(id, 3), 888, 2000);
	rig_settle();
	assert_int_equal(rig.events_n, 3);
	assert_int_equal(rig.events[0].attempt.outcome, OUTCOME_RECEIVED);
	assert_int_equal(rid_n(rig.events[0].rid), 0);
	assert_int_equal(rig.events[1].attempt.outcome, OUTCOME_DEFERRED);
	assert_string_equal(rig.events[1].attempt.reply, "later\nplease");
	assert_string_equal(rig.events[1].attempt.host, "mx.example.org");
	assert_string_equal(rig.events_from[1], "bob@sender.example");
	assert_string_equal(rig.events_to[1], "a@x.example");
	assert_int_equal(rig.events[2].attempt.outcome, OUTCOME_DELIVERED);
	assert_true(rig.events[2].seq > rig.events[1].seq);

	for (int round = 0; round < 2; round++) {
		const struct rid rids[] = { rid_of(id, 3), rid_of(id, 9), rid_of(id, 1),
					    rid_of(id, 2) };
		struct rig_rows *r = rig_entries(rids, ARRAY_LEN(rids));
		assert_int_equal(r->n, 3);
		assert_int_equal(r->v[0].rid.v, rids[0].v);
		assert_int_equal(r->v[0].outcome, OUTCOME_NONE);
		assert_int_equal(r->v[0].next_ms, 888);
		assert_int_equal(r->v[1].outcome, OUTCOME_DEFERRED);
		assert_int_equal(r->v[1].attempts, 3);
		assert_int_equal(r->v[1].code, 451);
		assert_int_equal(r->v[1].reply_class, 6);
		assert_string_equal(r->v[1].enhanced, "4.7.1");
		assert_string_equal(r->texts[1][3], "later\nplease");
		assert_string_equal(r->texts[1][1], "a@x.example");
		assert_int_equal(r->v[2].outcome, OUTCOME_DELIVERED);
		rig_reopen();
		assert_int_equal(rig.rows_n, 2);
		assert_int_equal(rig.rows[0].rid.v, rid_of(id, 1).v);
		assert_int_equal(rig.rows[0].attempts, 3);
		assert_int_equal(rig.rows[0].code, 451);
		assert_int_equal(rig.rows[0].reply_class, 6);
		assert_int_equal(rig.rows[0].next_ms, 777);
		assert_int_equal(rig.rows[0].expires_ms, 1000);
		assert_int_equal(rig.rows[1].next_ms, 888);
		assert_int_equal(rig.rows[1].expires_ms, 2000);
	}
	struct rig_read m = rig_read(id, true);
	assert_int_equal(m.code, 0);
	assert_int_equal(m.m->rcpts_n, 3);
	message_unref(&m.m);
}

/* The envelope outlives the content. */
static void test_finished(void **state)
{
	(void)state;
	struct msgid id = rig_accept(&(struct rig_letter){ .to = "a@x.example,b@x.example" });
	rig_finish(rid_of(id, 1), OUTCOME_DELIVERED);
	rig_settle();
	struct rig_read m = rig_read(id, true);
	assert_int_equal(m.code, 0);
	message_unref(&m.m);
	rig_finish(rid_of(id, 2), OUTCOME_FAILED);
	rig_settle();
	assert_null(queue_message_cached(rig.q, id));
	m = rig_read(id, true);
	assert_int_equal(m.code, ERR_UNKNOWN);
	assert_non_null(m.m);
	assert_null(m.m->content.p);
	assert_int_equal(m.m->rcpts_n, 2);
	message_unref(&m.m);
	m = rig_read(id, false);
	assert_int_equal(m.code, 0);
	message_unref(&m.m);
	rig_reopen();
	assert_int_equal(rig.rows_n, 0);
	struct queue_figures f;
	queue_figures(rig.q, &f);
	assert_int_equal(f.segments, 0);
	assert_true(f.used_bytes > 0 && f.free_bytes > 0);
}

/* --- objects and actions ---------------------------------------------------------------------- */

static struct {
	char text[4096];
	size_t n;
	struct rid rids[2000];
	size_t rids_n;
} seen;

static void on_object(void *arg, const struct queue_object *o)
{
	(void)arg;
	size_t n = strlen(seen.text);
	(void)snprintf(seen.text + n, sizeof(seen.text) - n, "%s/%s=%s;", o->kind, o->id, o->json);
}

static void on_action(void *arg, const struct queue_action *a)
{
	(void)arg;
	size_t n = strlen(seen.text);
	(void)snprintf(seen.text + n, sizeof(seen.text) - n, "%llu:%s,%s,%s,%s,%zu;",
		       (unsigned long long)a->id, a->method, a->state, a->undo, a->request,
		       a->rids_n);
	seen.n++;
	seen.rids_n = a->rids != NULL ? a->rids_n : 0;
	for (size_t k = 0; k < seen.rids_n && k < ARRAY_LEN(seen.rids); k++)
		seen.rids[k] = a->rids[k];
}

static void on_actions(void *arg, const struct queue_action *rows, size_t n, bool more,
		       const struct err *err)
{
	bool *ret_more = arg;
	assert_null(err);
	for (size_t k = 0; k < n; k++)
		on_action(NULL, &rows[k]);
	*ret_more = more;
	rig_wake();
}

static void commit(const struct queue_action *a, const struct queue_object *o, size_t n)
{
	struct rig_done d = { .called = false };
	queue_commit(rig.q, a, o, n, rig_on_done, &d);
	rig_done_wait(&d);
	assert_int_equal(d.code, 0);
}

static const char *load_objects(const char *kind)
{
	memset(&seen, 0, sizeof(seen));
	assert_int_equal(queue_load_objects(rig.q, kind, on_object, NULL, NULL), 0);
	return seen.text;
}

static void test_objects(void **state)
{
	(void)state;
	const struct queue_object first[] = {
		{ .kind = "hold", .id = "h2", .json = "{\"a\":1}" },
		{ .kind = "hold", .id = "h1", .json = "{}" },
		{ .kind = "route", .id = "r1", .json = "{\"x\":2}" }
	};
	commit(NULL, first, ARRAY_LEN(first));
	assert_string_equal(load_objects("hold"), "hold/h1={};hold/h2={\"a\":1};");
	const struct queue_object second[] = { { .kind = "hold", .id = "h2", .json = "{\"a\":2}" },
					       { .kind = "hold", .id = "h1", .json = NULL } };
	commit(NULL, second, ARRAY_LEN(second));
	rig_reopen();
	assert_string_equal(load_objects("hold"), "hold/h2={\"a\":2};");
	assert_string_equal(load_objects("route"), "route/r1={\"x\":2};");
	assert_string_equal(load_objects("allow"), "");
}

static struct queue_action action(uint64_t id)
{
	return (struct queue_action){ .id = id,
				      .at_ms = (int64_t)id * 1000,
				      .who = "ann",
				      .from_where = "local",
				      .role = "operator",
				      .method = "hold",
				      .target = "domain:x",
				      .reason = "r",
				      .request = "q1",
				      .state = "undoable",
				      .result = "{}",
				      .undo = "{\"u\":1}" };
}

/* What breaks a constraint is refused, at once, and nothing waits behind it. */
static void test_a_commit_that_cannot_be(void **state)
{
	(void)state;
	const struct queue_object o = { .kind = "allow", .id = "x", .json = "{}" };
	struct rig_done d[4] = { { .called = false } };
	const uint64_t ids[] = { 6, 5, 7 };
	struct queue_action a = action(5);
	commit(&a, NULL, 0);
	/* one group; the id of the second was given already */
	for (size_t k = 0; k < ARRAY_LEN(ids); k++) {
		a.id = ids[k];
		queue_commit(rig.q, &a, k == 1 ? &o : NULL, k == 1, rig_on_done, &d[k]);
	}
	for (size_t k = 0; k < ARRAY_LEN(ids); k++)
		rig_done_wait(&d[k]);
	assert_int_equal(d[0].code, 0);
	assert_int_equal(d[1].code, ERR_INTERNAL);
	assert_int_equal(d[2].code, 0);
	assert_non_null(strstr(rig.log, "queue.write"));
	rig.log[0] = '\0';
	assert_int_equal(queue_commit_backlog(rig.q), 0);
	assert_string_equal(load_objects("allow"), ""); /* nothing of it stayed */
	a.id = 8;
	commit(&a, NULL, 0);
}

static void test_actions(void **state)
{
	(void)state;
	struct rid rids[1000];
	for (size_t k = 0; k < ARRAY_LEN(rids); k++)
		rids[k].v = UINT64_C(0x123456789abcde) + k * k * 977 + (k == 500 ? 1u << 30 : 0);
	assert_int_equal(queue_last_action(rig.q), 0);
	for (uint64_t id = 1; id <= 5; id++) {
		struct queue_action a = action(id);
		if (id == 2) {
			a.rids = rids;
			a.rids_n = ARRAY_LEN(rids);
		}
		commit(&a, NULL, 0);
	}
	assert_int_equal(queue_last_action(rig.q), 5);
	rig_reopen();
	assert_int_equal(queue_last_action(rig.q), 5);
	memset(&seen, 0, sizeof(seen));
	/* those since 4000, and the one whose set is kept */
	assert_int_equal(queue_load_actions(rig.q, 4000, on_action, NULL, NULL), 0);
	assert_string_equal(seen.text, "2:hold,undoable,{\"u\":1},q1,1000;"
				       "4:hold,undoable,{\"u\":1},q1,0;"
				       "5:hold,undoable,{\"u\":1},q1,0;");
	memset(&seen, 0, sizeof(seen));
	assert_int_equal(queue_load_actions(rig.q, INT64_MAX, on_action, NULL, NULL), 0);
	assert_int_equal(seen.rids_n, ARRAY_LEN(rids));
	assert_memory_equal(seen.rids, rids, sizeof(rids));

	struct rig_done d = { .called = false };
	queue_action_state(rig.q, 2, "done", NULL, true, rig_on_done, &d);
	rig_done_wait(&d);
	d.called = false;
	queue_action_state(rig.q, 3, "undone", "{}", false, rig_on_done, &d);
	rig_done_wait(&d);
	memset(&seen, 0, sizeof(seen));
	assert_int_equal(queue_load_actions(rig.q, INT64_MAX, on_action, NULL, NULL), 0);
	assert_int_equal(seen.n, 0);
	bool more;
	queue_actions(rig.q, 4, 2, on_actions, &more);
	rig_wait();
	assert_true(more);
	assert_string_equal(seen.text, "3:hold,undone,{},q1,0;2:hold,done,{\"u\":1},q1,1000;");
	memset(&seen, 0, sizeof(seen));
	queue_actions(rig.q, 0, 5, on_actions, &more);
	rig_wait();
	assert_false(more);
	assert_int_equal(seen.n, 5);
}

/* --- the end ---------------------------------------------------------------------------------- */

static void never(void *arg, const struct err *err)
{
	(void)arg;
	(void)err;
	fail_msg("an answer after queue_close()");
}

static void never_read(void *arg, const struct message *m, const struct err *err)
{
	(void)m;
	never(arg, err);
}

/* Results are written before the end; no answer comes after it. */
static void test_close_with_work_under_way(void **state)
{
	(void)state;
	struct msgid id = rig_accept(&(struct rig_letter){ .to = "a@x.example,b@x.example" });
	struct queue_action a = action(1);
	for (int round = 0; round < 3; round++) {
		struct rig_done unused;
		(void)rig_post(&(struct rig_letter){ .from = "" }, &unused);
		rig_finish(rid_of(id, 1), OUTCOME_DELIVERED);
		queue_message_read(rig.q, id, true, never_read, NULL);
		if (round == 0)
			queue_commit(rig.q, &a, NULL, 0, never, NULL);
		queue_close(&rig.q);
		rig_pause(20);
		assert_false(unused.called);
		rig_reopen();
	}
	assert_int_equal(queue_last_action(rig.q), 1);
	for (size_t k = 0; k < rig.rows_n; k++)
		assert_int_not_equal(rig.rows[k].rid.v, rid_of(id, 1).v);
}

int main(void)
{
#define T(fn) cmocka_unit_test_setup_teardown(fn, rig_setup, rig_teardown)
	const struct CMUnitTest tests[] = {
		T(test_accept_and_read),
		T(test_many_at_once),
		T(test_ids_are_never_reused),
		T(test_names),
		T(test_results),
		T(test_finished),
		T(test_objects),
		T(test_actions),
		T(test_a_commit_that_cannot_be),
		T(test_close_with_work_under_way),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
