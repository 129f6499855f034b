/* Connections: errors in our terms, deadlines, what stays open. */
#include "store/db.h"

#include <setjmp.h>
#include <stdarg.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

static char dir[64];
static char path[96];
static struct db *db;

static int setup(void **state)
{
	(void)state;
	(void)snprintf(dir, sizeof(dir), "/tmp/weir-db-XXXXXX");
	if (mkdtemp(dir) == NULL)
		return -1;
	(void)snprintf(path, sizeof(path), "%s/x.db", dir);
	return db_open(path, DB_WRITE, &db, NULL);
}

static int teardown(void **state)
{
	(void)state;
	static const char *const suffixes[] = { "", "-wal", "-shm" };
	db_close(&db);
	for (size_t k = 0; k < sizeof(suffixes) / sizeof(*suffixes); k++) {
		char name[128];
		(void)snprintf(name, sizeof(name), "%s%s", path, suffixes[k]);
		(void)unlink(name);
	}
	return rmdir(dir);
}

static void exec(const char *sql)
{
	struct err err = ERR_INIT;
	if (db_exec(db, sql, &err) < 0)
		fail_msg("%s: %s", sql, err.msg);
}

static int64_t number(struct db *d, const char *sql)
{
	struct db_stmt *s = NULL;
	assert_int_equal(db_prepare(d, sql, &s, NULL), 0);
	assert_int_equal(db_step(s, NULL), 1);
	int64_t v = db_int(s, 0);
	db_finalize(&s);
	return v;
}

static void test_only_ours(void **state)
{
	(void)state;
	struct stat st;
	exec("CREATE TABLE t(a)");
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 077, 0);
}

static void test_rollback(void **state)
{
	(void)state;
	exec("CREATE TABLE t(a)");
	db_rollback(db); /* there is none */
	exec("BEGIN; INSERT INTO t VALUES(1)");
	db_rollback(db);
	assert_int_equal(number(db, "SELECT count(*) FROM t"), 0);
}

/* A reader sees what is committed, changes nothing, and keeps nothing open behind a statement that
 * ended: a hard checkpoint gets through. */
static void test_reader(void **state)
{
	(void)state;
	struct db *r = NULL;
	struct db_stmt *s = NULL;
	exec("CREATE TABLE t(a); INSERT INTO t VALUES(1), (2), (3)");
	unsigned pages = db_wal_pages(db);
	assert_true(pages > 0);
	assert_int_equal(db_open(path, DB_READ, &r, NULL), 0);
	exec("BEGIN; INSERT INTO t VALUES(4)");
	assert_int_equal(number(r, "SELECT count(*) FROM t"), 3);
	exec("COMMIT");
	assert_true(db_wal_pages(db) > pages);
	assert_int_equal(number(r, "SELECT count(*) FROM t"), 4);
	assert_true(db_exec(r, "INSERT INTO t VALUES(5)", NULL) < 0);
	assert_int_equal(db_prepare(r, "SELECT a FROM t ORDER BY a", &s, NULL), 0);
	assert_int_equal(db_step(s, NULL), 1);
	exec("INSERT INTO t VALUES(6)");
	assert_false(db_checkpoint(db, true)); /* the statement is in the middle */
	db_reset(s);
	assert_true(db_checkpoint(db, true));
	exec("INSERT INTO t VALUES(7)");
	assert_true(db_wal_pages(db) < pages); /* it began anew */
	db_finalize(&s);
	db_close(&r);
}

static void test_deadline(void **state)
{
	static const char endless[] = "WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x + 1"
				      " FROM c) SELECT count(*) FROM c";
	(void)state;
	struct db_stmt *s = NULL;
	struct err err = ERR_INIT;
	assert_int_equal(db_prepare(db, endless, &s, NULL), 0);
	db_deadline(db, 20);
	assert_int_equal(db_step(s, &err), -ERR_TIMEOUT);
	db_deadline(db, 0);
	db_finalize(&s);
	assert_int_equal(number(db, "SELECT 7"), 7);
}

static void test_values(void **state)
{
	(void)state;
	struct db_stmt *s = NULL;
	size_t n;
	exec("CREATE TABLE t(a, b, c, d)");
	assert_int_equal(db_prepare(db, "INSERT INTO t VALUES(?1, ?2, ?3, ?4)", &s, NULL), 0);
	db_bind_int(s, 1, INT64_MIN);
	db_bind_text(s, 2, str_from("a\0b", 3));
	db_bind_blob(s, 3, "\0\1", 2);
	db_bind_null(s, 4);
	assert_int_equal(db_run(s, NULL), 0);
	db_finalize(&s);
	assert_int_equal(db_prepare(db, "SELECT a, b, c, d FROM t", &s, NULL), 0);
	assert_int_equal(db_step(s, NULL), 1);
	assert_true(db_int(s, 0) == INT64_MIN);
	assert_true(str_eq(db_text(s, 1), str_from("a\0b", 3)));
	assert_memory_equal(db_blob(s, 2, &n), "\0\1", 2);
	assert_int_equal(n, 2);
	assert_true(db_is_null(s, 3));
	assert_int_equal(db_text(s, 3).n, 0);
	assert_int_equal(db_step(s, NULL), 0);
	db_finalize(&s);
}

static void longer(const struct str *args, int n, int64_t *ret_int, struct str *ret_text,
		   char *scratch, size_t scratch_n)
{
	(void)ret_text;
	(void)scratch;
	(void)scratch_n;
	*ret_int = n == 2 && args[0].n > args[1].n;
}

static void doubled(const struct str *args, int n, int64_t *ret_int, struct str *ret_text,
		    char *scratch, size_t scratch_n)
{
	(void)n;
	(void)ret_int;
	int len = snprintf(scratch, scratch_n, "%.*s%.*s", STR_ARG(args[0]), STR_ARG(args[0]));
	*ret_text = str_from(scratch, (size_t)len);
}

static void test_functions(void **state)
{
	(void)state;
	assert_int_equal(db_function(db, "longer", 2, false, longer, NULL), 0);
	assert_int_equal(db_function(db, "doubled", 1, true, doubled, NULL), 0);
	assert_int_equal(number(db, "SELECT longer('abc', 'ab') AND NOT longer(NULL, 'ab')"), 1);
	assert_int_equal(number(db, "SELECT doubled('ab') = 'abab'"), 1);
}

static void test_not_a_database(void **state)
{
	(void)state;
	struct db *bad = NULL;
	struct err err = ERR_INIT;
	char name[128];
	(void)snprintf(name, sizeof(name), "%s/bad.db", dir);
	int fd = open(name, O_CREAT | O_WRONLY, 0600);
	for (int k = 0; k < 100; k++)
		assert_int_equal(write(fd, "this is no database ", 20), 20);
	(void)close(fd);
	assert_int_equal(db_open(name, DB_WRITE, &bad, &err), -ERR_CORRUPT);
	assert_non_null(strstr(err.msg, name));
	assert_null(bad);
	(void)unlink(name);
}

int main(void)
{
#define T(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)
	const struct CMUnitTest tests[] = { T(test_only_ours),	   T(test_rollback),
					    T(test_reader),	   T(test_deadline),
					    T(test_values),	   T(test_functions),
					    T(test_not_a_database) };
	return cmocka_run_group_tests(tests, NULL, NULL);
}
