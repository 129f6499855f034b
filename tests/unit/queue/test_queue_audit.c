/* The audit log's chain: what is written, and that nothing can be altered in the file unseen. */
#include "queue_rig.h"
#include "queue/queue_int.h"

#define RECORDS 10

/* --- writing and reading ---------------------------------------------------------------------- */

static void done(const char *who, uint64_t action, const char *changes)
{
	struct rig_done d = { .called = false };
	const struct queue_action a = { .id = action,
					.at_ms = 1700000000000 + (int64_t)action,
					.who = who,
					.from_where = "local",
					.role = "admin",
					.method = "allow.add",
					.target = "10.0.0.0/8",
					.reason = "the new office",
					.state = "done",
					.result = "{}",
					.uid = 1001,
					.changes = changes };
	queue_commit(rig.q, &a, NULL, 0, rig_on_done, &d);
	rig_done_wait(&d);
	assert_int_equal(d.code, 0);
}

static void refused(const char *who)
{
	struct rig_done d = { .called = false };
	const struct audit_record r = { .at_ms = loop_wall_ms(rig.loop),
					.uid = 65534,
					.who = who,
					.from_where = "ssh",
					.role = "viewer",
					.method = "queue.delete",
					.target = "all",
					.reason = "gr\303\274n",
					.result = "refused: denied queue.delete needs operator" };
	queue_audit_append(rig.q, &r, rig_on_done, &d);
	rig_done_wait(&d);
	assert_int_equal(d.code, 0);
}

static void fill(void)
{
	for (uint64_t k = 1; k <= RECORDS / 2; k++) {
		done("eva", k, "[{\"kind\":\"allow\"}]");
		refused("bob");
	}
}

static struct {
	bool called;
	struct audit_report report;
	int code;
} verified;

static void on_verified(void *arg, const struct audit_report *r, const struct err *err)
{
	(void)arg;
	verified.called = true;
	verified.report = *r;
	verified.code = err != NULL ? err->code : 0;
	rig_wake();
}

static const struct audit_report *verify(void)
{
	verified.called = false;
	queue_audit_verify(rig.q, on_verified, NULL);
	assert_false(verified.called);
	while (!verified.called)
		rig_wait();
	assert_int_equal(verified.code, 0);
	return &verified.report;
}

static void expect(const char *what, enum audit_damage damage, uint64_t seq, uint64_t other)
{
	const struct audit_report *r = verify();
	if (r->damage != damage || r->seq != seq || r->other != other)
		fail_msg("%s: %s at %llu, other %llu; last good %llu", what,
			 audit_damage_name(r->damage), (unsigned long long)r->seq,
			 (unsigned long long)r->other, (unsigned long long)r->last);
}

static struct {
	bool called;
	size_t n;
	bool more;
	uint64_t total;
	uint64_t seq[QUEUE_PAGE_MAX];
	char first[400];
	char hash[DIGEST_HEX_LEN];
	char prev[DIGEST_HEX_LEN];
	int code;
} listed;

static void on_records(void *arg, const struct audit_record *rows, size_t n, bool more,
		       uint64_t total, const struct err *err)
{
	(void)arg;
	memset(&listed, 0, sizeof(listed));
	listed.called = true;
	listed.n = n;
	listed.more = more;
	listed.total = total;
	listed.code = err != NULL ? err->code : 0;
	for (size_t k = 0; k < n; k++)
		listed.seq[k] = rows[k].seq;
	if (n > 0) {
		(void)snprintf(listed.first, sizeof(listed.first),
			       "%s|%s|%s|%s|%s|%s|%s|%s|%lld|%llu", rows[0].who, rows[0].from_where,
			       rows[0].role, rows[0].method, rows[0].target, rows[0].reason,
			       rows[0].result, rows[0].changes, (long long)rows[0].uid,
			       (unsigned long long)rows[0].action);
		(void)snprintf(listed.hash, sizeof(listed.hash), "%s", rows[0].hash);
		(void)snprintf(listed.prev, sizeof(listed.prev), "%s", rows[0].prev);
	}
	rig_wake();
}

static size_t list(const char *where, uint64_t before, size_t limit)
{
	AUTO(filter)
	struct filter *f =
		where != NULL ? filter_parse_about(FILTER_AUDIT, str_of(where), NULL) : NULL;
	const struct audit_query q = {
		.filter = f, .before = before, .limit = limit, .now_ms = loop_wall_ms(rig.loop)
	};
	assert_true(where == NULL || f != NULL);
	listed.called = false;
	queue_audit(rig.q, &q, on_records, NULL);
	while (!listed.called)
		rig_wait();
	assert_int_equal(listed.code, 0);
	return listed.n;
}

/* Numbers go on without gaps over a restart, fields come back, each record names the one before. */
static void test_records(void **state)
{
	char before[DIGEST_HEX_LEN];
	(void)state;
	assert_int_equal(list(NULL, 0, 100), 0);
	expect("empty", AUDIT_INTACT, 0, 0);
	done("eva", 1, "[1]");
	assert_int_equal(list(NULL, 0, 100), 1);
	assert_string_equal(listed.first, "eva|local|admin|allow.add|10.0.0.0/8|the new office|"
					  "done|[1]|1001|1");
	(void)snprintf(before, sizeof(before), "%s", listed.hash);
	rig_reopen();
	refused("bob");
	assert_int_equal(list(NULL, 0, 100), 2);
	assert_int_equal(listed.seq[0], 2);
	assert_int_equal(listed.seq[1], 1);
	assert_int_equal(listed.total, 2);
	assert_string_equal(listed.first, "bob|ssh|viewer|queue.delete|all|gr\303\274n|refused: "
					  "denied queue.delete needs operator||65534|0");
	assert_string_equal(listed.prev, before);
	expect("two", AUDIT_INTACT, 0, 0);
	assert_int_equal(verified.report.last, 2);
	assert_string_equal(rig.log, "");
}

static void test_pages_and_filters(void **state)
{
	static const struct {
		const char *where;
		size_t n;
	} cases[] = {
		{ "who:eva", 5 },
		{ "-who:eva", 5 },
		{ "result:refused", 5 },
		{ "result=done", 5 },
		{ "method:queue.*", 5 },
		{ "role:viewer where:ssh", 5 },
		{ "target:10.0.0", 5 },
		{ "bob", 5 },
		{ "reason:GR\303\274N", 5 },
		{ "age<1h", 5 },
		{ "who:eva,bob", 10 },
		{ "who:nobody", 0 },
		{ "office or denied", 10 },
		{ "reason:\"%\"", 0 },
	};
	(void)state;
	fill();
	for (size_t k = 0; k < ARRAY_LEN(cases); k++)
		if (list(cases[k].where, 0, 100) != cases[k].n)
			fail_msg("%s: %zu", cases[k].where, listed.n);
	assert_int_equal(list(NULL, 0, 4), 4);
	assert_true(listed.more);
	assert_int_equal(list(NULL, listed.seq[3], 6), 6);
	assert_false(listed.more);
	assert_int_equal(listed.seq[0], 6);
	assert_int_equal(listed.seq[5], 1);
}

/* --- damage ----------------------------------------------------------------------------------- */

static void sql(const char *text)
{
	AUTO_FREE char *path = xasprintf("%s/queue.db", rig.dir);
	struct db *d = NULL;
	struct err err = ERR_INIT;
	if (db_open(path, DB_WRITE, &d, &err) < 0 || db_exec(d, text, &err) < 0)
		fail_msg("%s: %s", text, err.msg);
	db_close(&d);
}

/* What is rolled back leaves no hole and no loose link: the transaction fails behind the record. */
static void test_rollback(void **state)
{
	struct rig_done d = { .called = false };
	const struct queue_action a = { .id = 1, .method = "route.add", .state = "done" };
	const struct queue_object o = { .kind = "route", .id = "r1", .json = "{}" };
	(void)state;
	refused("bob");
	sql("CREATE TRIGGER no BEFORE INSERT ON objects BEGIN SELECT RAISE(ABORT, 'no'); END");
	queue_commit(rig.q, &a, &o, 1, rig_on_done, &d);
	rig_done_wait(&d);
	assert_int_equal(d.code, ERR_INTERNAL);
	assert_int_equal(list(NULL, 0, 100), 1);
	sql("DROP TRIGGER no");
	d.called = false;
	queue_commit(rig.q, &a, &o, 1, rig_on_done, &d);
	rig_done_wait(&d);
	assert_int_equal(d.code, 0);
	assert_int_equal(list(NULL, 0, 100), 2);
	expect("after a rollback", AUDIT_INTACT, 0, 0);
}

/* Ten records, something done to the file while nobody looks, and the queue again. */
static void damaged(const char *text)
{
	fill();
	rig_close();
	sql(text);
	rig_open();
}

static void reset(void)
{
	assert_int_equal(rig_teardown(NULL), 0);
	assert_int_equal(rig_setup(NULL), 0);
}

static void test_damage(void **state)
{
	static const struct {
		const char *sql;
		enum audit_damage damage;
		uint64_t seq;
		uint64_t other;
	} cases[] = {
		{ "UPDATE audit SET who = 'evb' WHERE seq = 5", AUDIT_CHANGED, 5, 0 },
		{ "UPDATE audit SET from_where = 'locam' WHERE seq = 1", AUDIT_CHANGED, 1, 0 },
		{ "UPDATE audit SET role = 'Admin' WHERE seq = 3", AUDIT_CHANGED, 3, 0 },
		{ "UPDATE audit SET method = 'allow.ade' WHERE seq = 5", AUDIT_CHANGED, 5, 0 },
		{ "UPDATE audit SET target = '10.0.0.0/9' WHERE seq = 5", AUDIT_CHANGED, 5, 0 },
		{ "UPDATE audit SET reason = '' WHERE seq = 10", AUDIT_CHANGED, 10, 0 },
		{ "UPDATE audit SET result = 'done' WHERE seq = 6", AUDIT_CHANGED, 6, 0 },
		{ "UPDATE audit SET changes = '[]' WHERE seq = 5", AUDIT_CHANGED, 5, 0 },
		{ "UPDATE audit SET at_ms = at_ms + 1 WHERE seq = 5", AUDIT_CHANGED, 5, 0 },
		{ "UPDATE audit SET uid = 0 WHERE seq = 5", AUDIT_CHANGED, 5, 0 },
		{ "UPDATE audit SET action = 9 WHERE seq = 5", AUDIT_CHANGED, 5, 0 },
		{ "UPDATE audit SET prev = hash WHERE seq = 5", AUDIT_CHANGED, 5, 0 },
		{ "UPDATE audit SET hash = prev WHERE seq = 5", AUDIT_CHANGED, 5, 0 },
		{ "UPDATE audit SET hash = 'x' WHERE seq = 5", AUDIT_CHANGED, 5, 0 },
		{ "UPDATE audit SET reason = reason || char(0) || 'x' WHERE seq = 5", AUDIT_CHANGED,
		  5, 0 },
		/* a byte that moves from one field to the next */
		{ "UPDATE audit SET target = '10.0.0.0/8t', reason = 'he new office' WHERE seq = 5",
		  AUDIT_CHANGED, 5, 0 },
		{ "DELETE FROM audit WHERE seq = 5", AUDIT_MISSING, 5, 5 },
		{ "DELETE FROM audit WHERE seq <= 2", AUDIT_MISSING, 1, 2 },
		{ "DELETE FROM audit WHERE seq IN (4, 5, 6)", AUDIT_MISSING, 4, 6 },
		/* with the numbers closed up */
		{ "DELETE FROM audit WHERE seq = 5; UPDATE audit SET seq = seq - 1 WHERE seq > 5",
		  AUDIT_MISSING, 5, 5 },
		{ "UPDATE audit SET seq = -1 WHERE seq = 5; UPDATE audit SET seq = 5 WHERE seq = 6;"
		  "UPDATE audit SET seq = 6 WHERE seq = -1",
		  AUDIT_SWAPPED, 5, 6 },
		{ "UPDATE audit SET seq = -1 WHERE seq = 2; UPDATE audit SET seq = 2 WHERE seq = 9;"
		  "UPDATE audit SET seq = 9 WHERE seq = -1",
		  AUDIT_SWAPPED, 2, 9 },
		{ "INSERT INTO audit SELECT 11, at_ms, uid, action, who, from_where, role, method,"
		  " target, reason, result, changes, prev, hash FROM audit WHERE seq = 10",
		  AUDIT_SWAPPED, 11, 10 },
	};
	(void)state;
	for (size_t k = 0; k < ARRAY_LEN(cases); k++) {
		damaged(cases[k].sql);
		expect(cases[k].sql, cases[k].damage, cases[k].seq, cases[k].other);
		reset();
	}
}

/* A log whose end is gone: told at once, and found ever after, although it went on. */
static void test_cut(void **state)
{
	static const struct {
		const char *sql;
		uint64_t from;
	} cases[] = {
		{ "DELETE FROM audit WHERE seq > 7", 8 },
		{ "DELETE FROM audit WHERE seq = 10", 10 },
		{ "DELETE FROM audit", 1 },
	};
	(void)state;
	for (size_t k = 0; k < ARRAY_LEN(cases); k++) {
		damaged(cases[k].sql);
		assert_non_null(strstr(rig.log, "audit.cut"));
		expect(cases[k].sql, AUDIT_MISSING, cases[k].from, RECORDS);
		refused("bob");
		assert_int_equal(list(NULL, 0, 1), 1);
		assert_int_equal(listed.seq[0], RECORDS + 1);
		rig_reopen();
		assert_string_equal(rig.log, "");
		expect(cases[k].sql, AUDIT_MISSING, cases[k].from, RECORDS);
		reset();
	}
}

/* Hashes one record, or all from it on, as somebody would who knows how. */
static void hash_again(uint64_t from, uint64_t to)
{
	AUTO_FREE char *path = xasprintf("%s/queue.db", rig.dir);
	struct db *d = NULL;
	char prev[DIGEST_HEX_LEN] = "";
	assert_true(db_open(path, DB_WRITE, &d, NULL) >= 0);
	for (uint64_t seq = from; seq <= to; seq++) {
		AUTO_FREE char *read =
			xasprintf("SELECT " AUDIT_SELECT " FROM audit WHERE seq = %llu",
				  (unsigned long long)seq);
		AUTO_FREE char *write = NULL;
		struct db_stmt *s = NULL;
		struct audit_record r;
		uint8_t hash[DIGEST_LEN];
		char text[DIGEST_HEX_LEN];
		assert_true(db_prepare(d, read, &s, NULL) >= 0);
		assert_int_equal(db_step(s, NULL), 1);
		audit_read(s, &r);
		if (seq > from)
			r.prev = prev;
		audit_hash(&r, hash);
		digest_hex(hash, text);
		write = xasprintf("UPDATE audit SET prev = '%s', hash = '%s' WHERE seq = %llu",
				  r.prev, text, (unsigned long long)seq);
		db_finalize(&s);
		assert_true(db_exec(d, write, NULL) >= 0);
		memcpy(prev, text, sizeof(prev));
	}
	db_close(&d);
}

/* One record changed and hashed again: its successor knows better. The whole rest hashed again: the
 * file does, and so does the record that comes next. */
static void test_rewritten(void **state)
{
	(void)state;
	fill();
	rig_close();
	sql("UPDATE audit SET who = 'bob' WHERE seq = 5");
	hash_again(5, 5);
	rig_open();
	expect("one", AUDIT_CHANGED, 5, 0);
	assert_string_equal(rig.log, "");
	rig_close();
	hash_again(5, RECORDS);
	rig_open();
	assert_non_null(strstr(rig.log, "audit.rewritten"));
	expect("all", AUDIT_CHANGED, RECORDS, 0);
	refused("bob");
	rig_reopen();
	expect("all, later", AUDIT_CHANGED, RECORDS, 0);
}

/* Without the file a cut is not seen: that is logged. A kill leaves it behind, which is no damage.
 */
static void test_head(void **state)
{
	AUTO_FREE char *path = xasprintf("%s/%s", rig.dir, AUDIT_HEAD);
	AUTO_FREE char *kept = xasprintf("%s/kept", rig.dir);
	(void)state;
	fill();
	rig_close();
	assert_int_equal(link(path, kept), 0);
	rig_open();
	refused("bob");
	rig_close();
	assert_int_equal(rename(kept, path), 0);
	rig_open();
	expect("behind", AUDIT_INTACT, 0, 0);
	assert_true(verified.report.head);
	assert_string_equal(rig.log, "");
	rig_close();
	assert_int_equal(unlink(path), 0);
	rig_open();
	expect("without", AUDIT_INTACT, 0, 0);
	assert_non_null(strstr(rig.log, "audit.head-missing"));
}

/* The file follows while the relay runs, and not only at its end. */
static void test_head_follows(void **state)
{
	uint64_t seq = 0;
	uint8_t hash[DIGEST_LEN];
	(void)state;
	fill();
	for (int k = 0; audit_head_read(rig.dir, &seq, hash) <= 0 || seq != RECORDS; k++) {
		if (k == 400)
			fail_msg("the file says %llu", (unsigned long long)seq);
		rig_pause(10);
	}
}

/* More than one slice. */
static void test_long(void **state)
{
	(void)state;
	for (int k = 0; k < 4500; k++) {
		const struct audit_record r = { .at_ms = k, .who = "eva", .result = AUDIT_DONE };
		queue_audit_append(rig.q, &r, NULL, NULL);
	}
	refused("bob");
	expect("long", AUDIT_INTACT, 0, 0);
	assert_int_equal(verified.report.records, 4501);
	rig_close();
	sql("UPDATE audit SET at_ms = 0 WHERE seq = 4400");
	rig_open();
	expect("long", AUDIT_CHANGED, 4400, 0);
	assert_int_equal(verified.report.last, 4399);
}

int main(void)
{
#define T(fn) cmocka_unit_test_setup_teardown(fn, rig_setup, rig_teardown)
	const struct CMUnitTest tests[] = {
		T(test_records), T(test_pages_and_filters), T(test_rollback), T(test_damage),
		T(test_cut),	 T(test_rewritten),	    T(test_head),     T(test_head_follows),
		T(test_long),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
