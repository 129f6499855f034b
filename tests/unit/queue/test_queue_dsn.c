/* What a client asks about reports is kept with the message, also over a change of the tables. */
#include "queue_rig.h"

#include <sqlite3.h>

static struct msgid accept_asking(void)
{
	struct rig_done d = { .called = false };
	struct message_rcpt rcpts[2] = {
		{ .address = STR("a@x.example"),
		  .domain = queue_name(rig.q, STR("x.example")),
		  .notify = SMTP_NOTIFY_SUCCESS | SMTP_NOTIFY_DELAY,
		  .orcpt = STR("rfc822;Anna+2Bx@x.example") },
		{ .address = STR("b@x.example"), .domain = queue_name(rig.q, STR("x.example")) },
	};
	char *content = strdup("\r\n");
	struct queue_new n = {
		.m = { .id = queue_new_id(rig.q),
		       .received_ms = 1234,
		       .stream = queue_name(rig.q, STR("default")),
		       .size = 2,
		       .content = str_from(content, 2),
		       .smtputf8 = true,
		       .ret = SMTP_RET_HDRS,
		       .envid = STR("QQ314159"),
		       .rcpts = rcpts,
		       .rcpts_n = 2 },
		.content_take = content,
	};

	queue_accept(rig.q, &n, rig_on_done, &d);
	rig_done_wait(&d);
	assert_int_equal(d.code, 0);
	return n.m.id;
}

static void check(const struct message *m)
{
	assert_true(m->smtputf8);
	assert_int_equal(m->ret, SMTP_RET_HDRS);
	assert_true(str_eq(m->envid, STR("QQ314159")));
	assert_int_equal(m->rcpts_n, 2);
	assert_int_equal(m->rcpts[0].notify, SMTP_NOTIFY_SUCCESS | SMTP_NOTIFY_DELAY);
	assert_true(str_eq(m->rcpts[0].orcpt, STR("rfc822;Anna+2Bx@x.example")));
	assert_int_equal(m->rcpts[1].notify, 0);
	assert_int_equal(m->rcpts[1].orcpt.n, 0);
}

static void kept(void **state)
{
	struct msgid id = accept_asking();
	const struct message *m = queue_message_cached(rig.q, id);

	(void)state;
	assert_non_null(m);
	check(m);
	message_unref(&m);
	/* from the disk, while it is queued, when one is finished, and when all are */
	for (unsigned n = 0; n <= 2; n++) {
		if (n > 0)
			rig_finish(rid_of(id, n), OUTCOME_DELIVERED);
		rig_reopen();
		struct rig_read r = rig_read(id, false);
		assert_int_equal(r.code, 0);
		check(r.m);
		message_unref(&r.m);
	}
}

static void run_sql(const char *sql)
{
	AUTO_FREE char *path = xasprintf("%s/queue.db", rig.dir);
	char *error = NULL;
	sqlite3 *db = NULL;

	assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
	if (sqlite3_exec(db, sql, NULL, NULL, &error) != SQLITE_OK)
		fail_msg("%s", error);
	assert_int_equal(sqlite3_close(db), SQLITE_OK);
}

/* A queue that was made before there were such columns goes on. */
static void tables_of_an_older_release(void **state)
{
	struct msgid id = accept_asking();

	(void)state;
	rig_finish(rid_of(id, 2), OUTCOME_FAILED);
	rig_close();
	run_sql("ALTER TABLE events DROP COLUMN phase; ALTER TABLE causes DROP COLUMN since_ms;"
		"ALTER TABLE events DROP COLUMN address; ALTER TABLE meta DROP COLUMN "
		"suppress_seq;");
	run_sql("ALTER TABLE messages DROP COLUMN smtputf8; ALTER TABLE messages DROP COLUMN ret;"
		"ALTER TABLE messages DROP COLUMN envid; ALTER TABLE rcpt DROP COLUMN notify;"
		"ALTER TABLE rcpt DROP COLUMN orcpt; ALTER TABLE done DROP COLUMN notify;"
		"ALTER TABLE done DROP COLUMN orcpt; DROP TABLE audit;"
		"ALTER TABLE events DROP COLUMN connection; ALTER TABLE events DROP COLUMN talk;"
		"DROP TABLE connections; DROP TABLE config; DROP TABLE suppress; DROP TABLE late;"
		"ALTER TABLE actions DROP COLUMN wipe; CREATE TABLE object_versions(kind); PRAGMA "
		"user_version = 1;");
	rig_open();
	struct rig_read r = rig_read(id, true);
	assert_int_equal(r.code, 0);
	assert_false(r.m->smtputf8);
	assert_int_equal(r.m->ret, SMTP_RET_UNSAID);
	assert_int_equal(r.m->envid.n, 0);
	assert_int_equal(r.m->rcpts_n, 2);
	assert_true(str_eq(r.m->rcpts[0].address, STR("a@x.example")));
	assert_int_equal(r.m->rcpts[0].notify, 0);
	message_unref(&r.m);
	check((r = rig_read(accept_asking(), false)).m);
	message_unref(&r.m);
}

/* What SQLite does for the statement; fails when that is going through all of a table. */
static void check_plan(sqlite3 *db, const char *sql)
{
	AUTO_FREE char *explain = xasprintf("EXPLAIN QUERY PLAN %s", sql);
	sqlite3_stmt *s = NULL;

	assert_int_equal(sqlite3_prepare_v2(db, explain, -1, &s, NULL), SQLITE_OK);
	while (sqlite3_step(s) == SQLITE_ROW) {
		const char *does = (const char *)sqlite3_column_text(s, 3);
		if (strncmp(does, "SCAN ", 5) == 0 && strcmp(does, "SCAN meta") != 0)
			fail_msg("%s: %s", sql, does);
	}
	assert_int_equal(sqlite3_finalize(s), SQLITE_OK);
}

/* The writer has a way to each row; `meta` is one row. */
static void no_statement_scans(void **state)
{
	static const char *const sql[] = {
#define STMT(id, text) text,
#include "queue/queue_stmts.def"
#undef STMT
	};
	AUTO_FREE char *path = xasprintf("%s/queue.db", rig.dir);
	sqlite3 *db = NULL;

	(void)state;
	assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
	for (size_t i = 0; i < ARRAY_LEN(sql); i++)
		check_plan(db, sql[i]);
	assert_int_equal(sqlite3_close(db), SQLITE_OK);
}

int main(void)
{
#define T(fn) cmocka_unit_test_setup_teardown(fn, rig_setup, rig_teardown)
	const struct CMUnitTest tests[] = { T(kept), T(tables_of_an_older_release),
					    T(no_statement_scans) };
	return cmocka_run_group_tests(tests, NULL, NULL);
}
