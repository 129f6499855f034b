/* Retention, compaction, checkpoints, and the cache's bound. */
#include <fcntl.h>
#include <sys/stat.h>

#include "queue_rig.h"
#include "store/db.h"

/* --- retention -------------------------------------------------------------------------------- */

static struct {
	size_t n;
	uint64_t oldest; /* message */
} feed;

static void on_events(void *arg, const struct queue_event *rows, size_t n, bool more,
		      const struct err *err)
{
	(void)arg;
	(void)more;
	assert_null(err);
	feed.n = n;
	feed.oldest = n > 0 ? rid_msgid(rows[n - 1].rid).v : 0;
	rig_wake();
}

static size_t events_n(struct msgid of)
{
	struct queue_event_query q = { .of = of, .limit = 1000 };
	queue_events(rig.q, &q, on_events, NULL);
	rig_wait();
	return feed.n;
}

static bool is_readable(struct msgid id)
{
	struct rig_read r = rig_read(id, false);
	bool there = r.m != NULL;
	message_unref(&r.m);
	return there;
}

static size_t readable(const struct msgid *ids, size_t n)
{
	size_t count = 0;
	for (size_t k = 0; k < n; k++)
		count += is_readable(ids[k]);
	return count;
}

/* Waits until as many as wanted are readable. */
static void until_readable(const struct msgid *ids, size_t n, size_t wanted)
{
	for (int k = 0; readable(ids, n) != wanted; k++) {
		if (k == 400)
			fail_msg("%zu are readable instead of %zu", readable(ids, n), wanted);
		rig_pause(20);
	}
}

/* The newest so many stay, with their events; what is queued stays with all its attempts. */
static void test_keep_at_most(void **state)
{
	static struct msgid ids[300];
	(void)state;
	rig_close();
	rig.cfg.keep_finished_max = 20;
	rig_open();
	/* events of no message go when they are passed */
	const struct queue_suppress entry = { .id = "a@x.example", .tell = true };
	for (int k = 0; k < 3; k++)
		queue_suppress_put(rig.q, &entry, 1, NULL, NULL);
	for (size_t k = 0; k < ARRAY_LEN(ids); k++)
		ids[k] = rig_accept(&(struct rig_letter){ .to = "a@x.example,b@y.example" });
	for (int k = 0; k < 3; k++)
		rig_defer(rid_of(ids[0], 1), 451, "4.7.1", "later");
	rig_finish(rid_of(ids[0], 2), OUTCOME_DELIVERED);
	for (size_t k = 1; k < ARRAY_LEN(ids); k++) {
		rig_finish(rid_of(ids[k], 1), OUTCOME_DELIVERED);
		rig_finish(rid_of(ids[k], 2), OUTCOME_FAILED);
	}
	rig_settle();
	until_readable(ids, ARRAY_LEN(ids), 21);
	for (int round = 0; round < 2; round++) {
		assert_true(is_readable(ids[0]));
		assert_int_equal(readable(ids + 280, 20), 20);
		assert_int_equal(events_n(ids[0]), 5);
		assert_int_equal(events_n(ids[299]), 3);
		assert_int_equal(events_n(ids[1]), 0);
		/* nothing of the others is left in the feed */
		assert_int_equal(events_n((struct msgid){ 0 }), 5 + 20 * 3);
		assert_int_equal(feed.oldest, ids[0].v);
		rig_reopen();
		assert_int_equal(rig.rows_n, 1);
	}
	/* at last it ends as well, and pushes an older one out */
	rig_finish(rid_of(ids[0], 1), OUTCOME_EXPIRED);
	rig_settle();
	until_readable(ids, ARRAY_LEN(ids), 20);
	assert_true(is_readable(ids[0]));
	assert_false(is_readable(ids[280]));
}

static void test_keep_so_long(void **state)
{
	(void)state;
	rig_close();
	rig.cfg.keep_finished_ms = 700;
	rig_open();
	struct msgid ids[3];
	for (size_t k = 0; k < ARRAY_LEN(ids); k++)
		ids[k] = rig_accept(&(struct rig_letter){ .to = "a@x.example" });
	rig_finish(rid_of(ids[0], 1), OUTCOME_DELIVERED);
	rig_record(&(struct rig_result){ .rid = rid_of(ids[1], 1),
					 .outcome = OUTCOME_DELIVERED,
					 .at_ms = loop_wall_ms(rig.loop) + 60000 });
	rig_settle();
	assert_true(is_readable(ids[0]));
	until_readable(ids, ARRAY_LEN(ids), 2);
	assert_false(is_readable(ids[0]));
}

static void test_keep_nothing(void **state)
{
	(void)state;
	rig_close();
	rig.cfg.keep_finished_max = 0;
	rig_open();
	struct msgid id = rig_accept(&(struct rig_letter){ .to = "a@x.example" });
	rig_finish(rid_of(id, 1), OUTCOME_DELIVERED);
	rig_settle();
	until_readable(&id, 1, 0);
	assert_int_equal(events_n((struct msgid){ 0 }), 0);
	/* numbers go on nevertheless */
	rig_reopen();
	(void)rig_accept(&(struct rig_letter){ .to = "a@x.example" });
	rig_pause(1);
	assert_true(rig.events_n == 1 && rig.events[0].seq > 2);
}

/* --- compaction ------------------------------------------------------------------------------- */

/* The number of files in which something lives. */
static int64_t live_segments(void)
{
	char path[128];
	struct db *d = NULL;
	struct db_stmt *st = NULL;
	(void)snprintf(path, sizeof(path), "%s/queue.db", rig.dir);
	assert_int_equal(db_open(path, DB_READ, &d, NULL), 0);
	assert_int_equal(db_prepare(d, "SELECT count(DISTINCT segment) FROM rcpt", &st, NULL), 0);
	assert_int_equal(db_step(st, NULL), 1);
	int64_t n = db_int(st, 0);
	db_finalize(&st);
	db_close(&d);
	return n;
}

static void check_content(struct msgid id, char fill)
{
	struct rig_read r = rig_read(id, true);
	if (r.code != 0)
		fail_msg("%d %s", r.code, rig.log);
	assert_int_equal(r.m->content.n, 1 << 20);
	for (size_t k = 0; k < r.m->content.n; k += 1000)
		assert_int_equal(r.m->content.p[k], fill);
	message_unref(&r.m);
}

/* What lives in mostly empty files moves together, reads as before, and survives a restart. */
static void test_compaction(void **state)
{
	static struct msgid ids[130];
	(void)state;
	rig_close();
	rig.cfg.cache_bytes = 4096; /* contents come from the disk */
	rig_open();
	for (size_t k = 0; k < ARRAY_LEN(ids); k++) {
		const char fill[] = { (char)('a' + k % 26), '\0' };
		ids[k] = rig_accept(&(struct rig_letter){
			.to = "a@x.example,b@x.example", .content = fill, .content_n = 1 << 20 });
	}
	assert_int_equal(live_segments(), 5);
	for (size_t k = 0; k < ARRAY_LEN(ids); k++) {
		if (k % 20 == 7)
			continue;
		rig_finish(rid_of(ids[k], 1), OUTCOME_DELIVERED);
		rig_finish(rid_of(ids[k], 2), OUTCOME_DELIVERED);
	}
	rig_settle();
	for (int k = 0; live_segments() > 1 && k < 300; k++)
		rig_pause(20);
	assert_int_equal(live_segments(), 1);
	for (size_t k = 7; k < ARRAY_LEN(ids); k += 20)
		check_content(ids[k], (char)('a' + k % 26));
	rig_reopen();
	assert_int_equal(rig.rows_n, 14);
	for (size_t k = 7; k < ARRAY_LEN(ids); k += 20)
		check_content(ids[k], (char)('a' + k % 26));
	for (size_t k = 7; k < ARRAY_LEN(ids); k += 20)
		for (unsigned n = 1; n <= 2; n++)
			rig_finish(rid_of(ids[k], n), OUTCOME_DELIVERED);
	rig_settle();
	rig_reopen();
	assert_int_equal(rig.rows_n, 0);
	assert_string_equal(rig.log, "");
}

/* --- bounds ----------------------------------------------------------------------------------- */

static void test_cache_is_bounded(void **state)
{
	static struct msgid ids[100];
	(void)state;
	rig_close();
	rig.cfg.cache_bytes = 1 << 20;
	rig_open();
	size_t cached = 0;
	for (size_t k = 0; k < ARRAY_LEN(ids); k++)
		ids[k] = rig_accept(&(struct rig_letter){ .content_n = 50000 });
	for (size_t k = 0; k < ARRAY_LEN(ids); k++) {
		const struct message *m = queue_message_cached(rig.q, ids[k]);
		cached += m != NULL;
		assert_int_equal(m != NULL, k >= 80); /* the last twenty */
		message_unref(&m);
	}
	assert_int_equal(cached, 20);
	/* one that was read again is at hand again; one that is too large never is */
	struct rig_read r = rig_read(ids[3], true);
	message_unref(&r.m);
	const struct message *m = queue_message_cached(rig.q, ids[3]);
	assert_non_null(m);
	message_unref(&m);
	struct msgid large = rig_accept(&(struct rig_letter){ .content_n = 600000 });
	assert_null(queue_message_cached(rig.q, large));
}

static off_t wal_bytes(void)
{
	char path[128];
	struct stat st;
	(void)snprintf(path, sizeof(path), "%s/queue.db-wal", rig.dir);
	return stat(path, &st) == 0 ? st.st_size : 0;
}

static void defer_all(const struct msgid *ids, size_t n, int rounds)
{
	for (int round = 0; round < rounds; round++) {
		for (size_t k = 0; k < n; k++)
			rig_defer(rid_of(ids[k * 77 % n], 1), 451, "4.7.1",
				  "a long reply, so that the events take room: "
				  "....................................................."
				  ".....................................................");
		rig_settle();
	}
}

/* After a pause the WAL begins anew instead of growing. */
static void test_wal_begins_anew(void **state)
{
	(void)state;
	static struct msgid ids[2000];
	static struct rig_done done[2000];
	for (size_t k = 0; k < ARRAY_LEN(ids); k++)
		ids[k] = rig_post(&(struct rig_letter){ .from = "a@b.example" }, &done[k]);
	for (size_t k = 0; k < ARRAY_LEN(ids); k++)
		rig_done_wait(&done[k]);
	defer_all(ids, ARRAY_LEN(ids), 12);
	off_t before = 0;
	for (int k = 0; k < 12 && wal_bytes() > before + (1 << 20); k++) {
		rig_pause(1300);
		before = wal_bytes();
		assert_true(before > 4 << 20);
		defer_all(ids, ARRAY_LEN(ids), 4); /* some 3 MB */
	}
	assert_in_range(wal_bytes(), before, before + (1 << 20));
}

int main(void)
{
#define T(fn) cmocka_unit_test_setup_teardown(fn, rig_setup, rig_teardown)
	const struct CMUnitTest tests[] = {
		T(test_keep_at_most), T(test_keep_so_long),	T(test_keep_nothing),
		T(test_compaction),   T(test_cache_is_bounded), T(test_wal_begins_anew),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
