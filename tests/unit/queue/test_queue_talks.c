/* What was said: kept with its attempt, over a restart, and gone with the last that refers to it.
 */
#include <sqlite3.h>

#include "mail/talk.h"
#include "queue_rig.h"

#define LONG_BYTES 3000

static char long_talk[LONG_BYTES];

static struct {
	bool called;
	size_t n;
	char connection[8][LONG_BYTES];
	char talk[8][LONG_BYTES];
	size_t connection_n[8];
	size_t talk_n[8];
} got;

static void on_events(void *arg, const struct queue_event *rows, size_t n, bool more,
		      const struct err *err)
{
	(void)arg;
	(void)more;
	assert_null(err);
	assert_in_range(n, 0, ARRAY_LEN(got.talk));
	got.n = n;
	for (size_t k = 0; k < n; k++) {
		got.connection_n[k] = rows[k].connection.n;
		got.talk_n[k] = rows[k].talk.n;
		if (rows[k].connection.n > 0)
			memcpy(got.connection[k], rows[k].connection.p, rows[k].connection.n);
		if (rows[k].talk.n > 0)
			memcpy(got.talk[k], rows[k].talk.p, rows[k].talk.n);
	}
	got.called = true;
	rig_wake();
}

static void read_events(struct msgid id, bool talks)
{
	struct queue_event_query q = { .of = id, .talks = talks, .limit = 8 };

	got.called = false;
	queue_events(rig.q, &q, on_events, NULL);
	while (!got.called)
		rig_wait();
}

static void record(struct rid rid, enum outcome outcome, uint64_t connection, struct str talk)
{
	struct queue_result r = { .rid = rid, .attempts = 1 };

	r.attempt = (struct attempt){ .at_ms = loop_wall_ms(rig.loop),
				      .outcome = outcome,
				      .code = 250,
				      .connection = connection };
	if (talk.n > 0)
		queue_talk(rig.q, rid, talk);
	queue_record(rig.q, &r);
}

static int64_t number(const char *sql)
{
	AUTO_FREE char *path = xasprintf("%s/queue.db", rig.dir);
	sqlite3_stmt *s = NULL;
	sqlite3 *db = NULL;
	int64_t v;

	assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
	assert_int_equal(sqlite3_prepare_v2(db, sql, -1, &s, NULL), SQLITE_OK);
	assert_int_equal(sqlite3_step(s), SQLITE_ROW);
	v = sqlite3_column_int64(s, 0);
	(void)sqlite3_finalize(s);
	assert_int_equal(sqlite3_close(db), SQLITE_OK);
	return v;
}

static void check_row(size_t k, struct str connection, struct str talk)
{
	assert_int_equal(got.connection_n[k], connection.n);
	assert_memory_equal(got.connection[k], connection.p, connection.n);
	assert_int_equal(got.talk_n[k], talk.n);
	assert_memory_equal(got.talk[k], talk.p, talk.n);
}

static void test_kept(void **state)
{
	struct msgid id = rig_accept(&(struct rig_letter){ .to = "a@x.example,b@x.example" });
	struct str long_one = str_from(long_talk, LONG_BYTES);
	uint64_t c;

	(void)state;
	for (size_t k = 0; k < LONG_BYTES; k++)
		long_talk[k] = (char)(k % 251 < 200 ? 'a' + k % 26 : k * 7);
	c = queue_connection(rig.q, long_one);
	record(rid_of(id, 1), OUTCOME_DEFERRED, c, STR("\1one\0half"));
	record(rid_of(id, 1), OUTCOME_DEFERRED, c + 1000, STR("")); /* nobody knows that one */
	record(rid_of(id, 2), OUTCOME_DELIVERED, c, long_one);
	rig_settle();
	for (int round = 0; round < 2; round++) {
		read_events(id, true);
		assert_int_equal(got.n, 4);
		check_row(0, long_one, long_one); /* the newest first */
		check_row(1, STR(""), STR(""));
		check_row(2, long_one, STR("\1one\0half"));
		check_row(3, STR(""), STR(""));
		read_events(id, false);
		check_row(0, STR(""), STR(""));
		assert_int_equal(number("SELECT refs FROM connections"), 2);
		assert_in_range(number("SELECT max(length(talk)) FROM events"), 100, 1000);
		rig_reopen();
	}
	/* numbers go on, whatever the clock says */
	assert_true(queue_connection(rig.q, STR("x")) > c);
}

/* A connection goes with the last attempt on it, and one that nobody refers to is never stored. */
static void test_gone(void **state)
{
	struct msgid ids[40];
	uint64_t c;

	(void)state;
	rig_close();
	rig.cfg.keep_finished_max = 3;
	rig_open();
	(void)queue_connection(rig.q, STR("in vain"));
	c = queue_connection(rig.q, STR("the first"));
	for (size_t k = 0; k < ARRAY_LEN(ids); k++)
		ids[k] = rig_accept(&(struct rig_letter){ .to = "a@x.example" });
	record(rid_of(ids[0], 1), OUTCOME_DEFERRED, c, STR("stays"));
	for (size_t k = 1; k < ARRAY_LEN(ids); k++) {
		if (k == 20)
			c = queue_connection(rig.q, STR("the second"));
		record(rid_of(ids[k], 1), OUTCOME_DELIVERED, c, STR("goes"));
	}
	rig_settle();
	for (int k = 0;
	     k < 400 && number("SELECT count(*) FROM events WHERE talk = x'00676f6573'") > 3; k++)
		rig_pause(10);
	assert_int_equal(number("SELECT count(*) FROM connections"), 2);
	assert_int_equal(number("SELECT sum(refs) FROM connections"), 4);
	assert_int_equal(number("SELECT count(*) FROM events WHERE connection > 0"), 4);
	record(rid_of(ids[0], 1), OUTCOME_DELIVERED, 0, STR(""));
	for (size_t k = 0; k < 6; k++) {
		struct msgid id = rig_accept(&(struct rig_letter){ .to = "a@x.example" });
		record(rid_of(id, 1), OUTCOME_DELIVERED, 0, STR(""));
	}
	rig_settle();
	for (int k = 0; k < 400 && number("SELECT count(*) FROM connections") > 0; k++)
		rig_pause(10);
	assert_int_equal(number("SELECT count(*) FROM connections"), 0);
}

/* More than fit on their way: the oldest are forgotten, the others are kept. */
static void test_limit(void **state)
{
	struct msgid id = rig_accept(&(struct rig_letter){ .to = "a@x.example" });

	(void)state;
	queue_talk(rig.q, (struct rid){ 1 }, STR("lost"));
	queue_talk(rig.q, rid_of(id, 1), STR("replaced"));
	for (uint64_t k = 0; k < QUEUE_TALKS_MAX; k++)
		queue_talk(rig.q, (struct rid){ 2 + k }, STR("again and again"));
	record(rid_of(id, 1), OUTCOME_DELIVERED, 0, STR("last"));
	rig_settle();
	read_events(id, true);
	check_row(0, STR(""), STR("last"));
}

int main(void)
{
#define T(fn) cmocka_unit_test_setup_teardown(fn, rig_setup, rig_teardown)
	const struct CMUnitTest tests[] = { T(test_kept), T(test_gone), T(test_limit) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
