/*
 * FINDINGS: 4 KiB pages, WAL, FULL; checkpoints are made by a thread of the queue's, because inside
 * the writer they stop it for tens of milliseconds.
 */
#include "store/db.h"

#include <sqlite3.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "base/mem.h"
#include "base/obj.h"
#include "loop/loop.h"

#define BUSY_MS 10000
#define RESTART_BUSY_MS 50
#define PROGRESS_OPS 20000
#define SCRATCH 2048

struct db {
	sqlite3 *h;
	char *path;
	int64_t until_ms; /* 0: none */
	unsigned wal_pages;
	struct function *functions;
};

struct function {
	struct function *next;
	db_call_fn *fn;
	bool text;
};

struct db_stmt {
	struct db *db;
	sqlite3_stmt *h;
};

static int64_t clock_ms(void)
{
	return loop_clock_mono_ms();
}

static int fail(const struct db *d, int rc, struct err *err)
{
	int code = ERR_IO;
	switch (rc & 0xff) {
	case SQLITE_FULL:
		code = ERR_NOSPC;
		break;
	case SQLITE_CORRUPT:
	case SQLITE_NOTADB:
		code = ERR_CORRUPT;
		break;
	case SQLITE_INTERRUPT:
		code = ERR_TIMEOUT;
		break;
	case SQLITE_CONSTRAINT:
	case SQLITE_MISMATCH:
	case SQLITE_TOOBIG:
		code = ERR_INTERNAL; /* of what was written: the next try would end the same */
		break;
	default:
		break;
	}
	const char *says = d->h != NULL ? sqlite3_errmsg(d->h) : sqlite3_errstr(rc);
	return err_set(err, code, "%s: %s", d->path, says);
}

static int on_progress(void *arg)
{
	const struct db *d = arg;
	return d->until_ms != 0 && clock_ms() > d->until_ms;
}

static int on_wal(void *arg, sqlite3 *h, const char *name, int pages)
{
	struct db *d = arg;
	(void)h;
	(void)name;
	d->wal_pages = (unsigned)pages;
	return SQLITE_OK;
}

unsigned db_wal_pages(const struct db *d)
{
	return d->wal_pages;
}

void db_deadline(struct db *d, int64_t after_ms)
{
	d->until_ms = after_ms > 0 ? clock_ms() + after_ms : 0;
}

int db_open(const char *path, enum db_mode mode, struct db **ret_db, struct err *err)
{
	static const char write_setup[] = "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL;"
					  "PRAGMA wal_autocheckpoint=0; PRAGMA secure_delete=OFF;"
					  "PRAGMA cache_size=-32768; PRAGMA temp_store=MEMORY;";
	static const char read_setup[] = "PRAGMA query_only=ON; PRAGMA cache_size=-4096;"
					 "PRAGMA temp_store=MEMORY;";
	struct db *d = xcalloc(1, sizeof(*d));
	d->path = xstrdup(path);
	int flags = SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_READWRITE |
		    (mode == DB_WRITE ? SQLITE_OPEN_CREATE : 0);
	/* the process's: only at start, before there are threads; readers make no files */
	mode_t old = mode == DB_WRITE ? umask(077) : 0;
	int rc = sqlite3_open_v2(path, &d->h, flags, NULL);
	int got = rc != SQLITE_OK ? fail(d, rc, err) : 0;
	if (got == 0) {
		(void)sqlite3_extended_result_codes(d->h, 1);
		(void)sqlite3_busy_timeout(d->h, BUSY_MS);
		sqlite3_progress_handler(d->h, PROGRESS_OPS, on_progress, d);
		got = db_exec(d, mode == DB_WRITE ? write_setup : read_setup, err);
		if (mode == DB_WRITE)
			(void)sqlite3_wal_hook(d->h, on_wal, d);
	}
	if (mode == DB_WRITE)
		(void)umask(old);
	if (got < 0) {
		db_close(&d);
		return got;
	}
	*ret_db = d;
	return 0;
}

void db_close(struct db **dp)
{
	if (dp == NULL || *dp == NULL)
		return;
	struct db *d = *dp;
	*dp = NULL;
	int rc = sqlite3_close(d->h);
	ASSERT(rc == SQLITE_OK);
	struct function *next;
	for (struct function *f = d->functions; f != NULL; f = next) {
		next = f->next;
		free(f);
	}
	free(d->path);
	free(d);
}

int db_exec(struct db *d, const char *sql, struct err *err)
{
	int rc = sqlite3_exec(d->h, sql, NULL, NULL, NULL);
	return rc == SQLITE_OK ? 0 : fail(d, rc, err);
}

void db_rollback(struct db *d)
{
	if (sqlite3_get_autocommit(d->h) == 0)
		(void)sqlite3_exec(d->h, "ROLLBACK", NULL, NULL, NULL);
}

bool db_checkpoint(struct db *d, bool hard)
{
	int mode = hard ? SQLITE_CHECKPOINT_RESTART : SQLITE_CHECKPOINT_PASSIVE;
	(void)sqlite3_busy_timeout(d->h, RESTART_BUSY_MS);
	int rc = sqlite3_wal_checkpoint_v2(d->h, NULL, mode, NULL, NULL);
	(void)sqlite3_busy_timeout(d->h, BUSY_MS);
	return rc == SQLITE_OK;
}

static void on_function(sqlite3_context *ctx, int n, sqlite3_value **values)
{
	const struct function *f = sqlite3_user_data(ctx);
	struct str args[4];
	char scratch[SCRATCH];
	int64_t number = 0;
	struct str text = { "", 0 };
	ASSERT(n <= (int)ARRAY_LEN(args));
	for (int k = 0; k < n; k++) {
		const unsigned char *p = sqlite3_value_text(values[k]);
		args[k] = str_from(p != NULL ? (const char *)p : "",
				   (size_t)sqlite3_value_bytes(values[k]));
	}
	f->fn(args, n, &number, &text, scratch, sizeof(scratch));
	if (f->text)
		sqlite3_result_text(ctx, text.p, (int)text.n, SQLITE_TRANSIENT);
	else
		sqlite3_result_int64(ctx, number);
}

int db_function(struct db *d, const char *name, int args, bool text, db_call_fn *fn,
		struct err *err)
{
	struct function *f = xcalloc(1, sizeof(*f));
	*f = (struct function){ .next = d->functions, .fn = fn, .text = text };
	d->functions = f;
	int rc = sqlite3_create_function(d->h, name, args, SQLITE_UTF8 | SQLITE_DETERMINISTIC, f,
					 on_function, NULL, NULL);
	return rc == SQLITE_OK ? 0 : fail(d, rc, err);
}

int db_prepare(struct db *d, const char *sql, struct db_stmt **ret_stmt, struct err *err)
{
	sqlite3_stmt *h = NULL;
	int rc = sqlite3_prepare_v3(d->h, sql, -1, SQLITE_PREPARE_PERSISTENT, &h, NULL);
	if (rc != SQLITE_OK)
		return fail(d, rc, err);
	struct db_stmt *s = xcalloc(1, sizeof(*s));
	*s = (struct db_stmt){ .db = d, .h = h };
	*ret_stmt = s;
	return 0;
}

void db_finalize(struct db_stmt **sp)
{
	if (sp == NULL || *sp == NULL)
		return;
	(void)sqlite3_finalize((*sp)->h);
	free(*sp);
	*sp = NULL;
}

void db_bind_int(struct db_stmt *s, int i, int64_t v)
{
	int rc = sqlite3_bind_int64(s->h, i, v);
	ASSERT(rc == SQLITE_OK);
}

void db_bind_text(struct db_stmt *s, int i, struct str v)
{
	int rc = sqlite3_bind_text64(s->h, i, v.n > 0 ? v.p : "", v.n, SQLITE_STATIC, SQLITE_UTF8);
	ASSERT(rc == SQLITE_OK);
}

void db_bind_blob(struct db_stmt *s, int i, const void *p, size_t n)
{
	int rc = sqlite3_bind_blob64(s->h, i, p, n, SQLITE_STATIC);
	ASSERT(rc == SQLITE_OK);
}

void db_bind_null(struct db_stmt *s, int i)
{
	int rc = sqlite3_bind_null(s->h, i);
	ASSERT(rc == SQLITE_OK);
}

int db_step(struct db_stmt *s, struct err *err)
{
	int rc = sqlite3_step(s->h);
	if (rc == SQLITE_ROW)
		return 1;
	int got = rc == SQLITE_DONE ? 0 : fail(s->db, rc, err);
	db_reset(s);
	return got;
}

int db_run(struct db_stmt *s, struct err *err)
{
	int got;
	while ((got = db_step(s, err)) > 0)
		;
	return got;
}

void db_reset(struct db_stmt *s)
{
	(void)sqlite3_reset(s->h);
}

int64_t db_int(struct db_stmt *s, int i)
{
	return sqlite3_column_int64(s->h, i);
}

struct str db_text(struct db_stmt *s, int i)
{
	const unsigned char *p = sqlite3_column_text(s->h, i);
	return str_from(p != NULL ? (const char *)p : "", (size_t)sqlite3_column_bytes(s->h, i));
}

const void *db_blob(struct db_stmt *s, int i, size_t *ret_n)
{
	const void *p = sqlite3_column_blob(s->h, i);
	*ret_n = (size_t)sqlite3_column_bytes(s->h, i);
	return p;
}

bool db_is_null(struct db_stmt *s, int i)
{
	return sqlite3_column_type(s->h, i) == SQLITE_NULL;
}
