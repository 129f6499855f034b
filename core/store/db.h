/*
 * db - SQLite as the queue needs it: connections, statements, and errors in our terms.
 *
 * Model:   one writing connection (WAL, synchronous FULL, no automatic checkpoints) and any number
 *          of reading ones on the same file. A statement is prepared once and used again; stepping
 *          to the end or db_reset() frees what it holds, so that no read transaction stays open.
 * Owner:   db_close() after db_finalize() of its statements. Texts of a row borrow from the
 *          statement until its next step.
 * Context: one thread at a time for each connection; blocks.
 * Errors:  ERR_NOSPC, ERR_CORRUPT (with the file), ERR_TIMEOUT (a deadline), ERR_INTERNAL (what was
 *          to be written breaks a constraint: trying again is of no use), ERR_IO.
 */
#ifndef STORE_DB_H
#define STORE_DB_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/str.h"

struct db;
struct db_stmt;

enum db_mode { DB_WRITE, DB_READ };
int db_open(const char *path, enum db_mode mode, struct db **ret_db, struct err *err) MUST_CHECK;
void db_close(struct db **dp);
/* One or several statements without parameters or rows. */
int db_exec(struct db *d, const char *sql, struct err *err) MUST_CHECK;
/* Ends a transaction without effect; there may be none any more. */
void db_rollback(struct db *d);
/* Reads longer than this end with ERR_TIMEOUT; 0: no limit. Counts from db_deadline(). */
void db_deadline(struct db *d, int64_t after_ms);
/* PASSIVE when not hard, else RESTART, which waits a moment for readers. False: busy. */
bool db_checkpoint(struct db *d, bool hard);
/* Pages in the WAL behind the last commit of this (writing) connection. */
unsigned db_wal_pages(const struct db *d);
/* Registers an SQL function of texts that answers an integer or a text. */
typedef void db_call_fn(const struct str *args, int n, int64_t *ret_int, struct str *ret_text,
			char *scratch, size_t scratch_n);
int db_function(struct db *d, const char *name, int args, bool text, db_call_fn *fn,
		struct err *err) MUST_CHECK;

int db_prepare(struct db *d, const char *sql, struct db_stmt **ret_stmt,
	       struct err *err) MUST_CHECK;
void db_finalize(struct db_stmt **sp);
/* Parameters from 1. Texts and blobs must stay until the statement was reset. */
void db_bind_int(struct db_stmt *s, int i, int64_t v);
void db_bind_text(struct db_stmt *s, int i, struct str v);
void db_bind_blob(struct db_stmt *s, int i, const void *p, size_t n);
void db_bind_null(struct db_stmt *s, int i);
/* 1: a row; 0: the end, and the statement is reset. */
int db_step(struct db_stmt *s, struct err *err) MUST_CHECK;
/* For statements without rows: step to the end. */
int db_run(struct db_stmt *s, struct err *err) MUST_CHECK;
void db_reset(struct db_stmt *s);
/* Columns from 0. */
int64_t db_int(struct db_stmt *s, int i);
struct str db_text(struct db_stmt *s, int i); /* empty for NULL */
const void *db_blob(struct db_stmt *s, int i, size_t *ret_n);
bool db_is_null(struct db_stmt *s, int i);

#endif
