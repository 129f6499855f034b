/*
 * rows - a window onto a list that lives in the relay.
 *
 * Model:   what is on the screen and some pages around it, one contiguous stretch of the list that
 *          moves as rows_want() asks. Pages come by keyset cursor, so rows that come and go
 *          elsewhere do not matter. rows_refresh() fetches what is on the screen again, from the
 *          same cursor: the rows change in place. A row's id is derived from its key and stays the
 *          same.
 * Owner:   rows_free() cancels what is under way and frees. Rows are borrowed until the next call
 *          into the loop. Context: loop thread.
 * Errors:  rows_error() has the last one until a page arrives.
 * Limits:  ROWS_PAGES pages of at most PROTO_PAGE_MAX rows; one call under way.
 */
#ifndef MODEL_ROWS_H
#define MODEL_ROWS_H

#include "model/rpc.h"

#define ROWS_PAGE 200	/* rows asked for at once */
#define ROWS_MARGIN 100 /* rows wanted beyond what is on the screen */
#define ROWS_PAGES 6

struct rows;

struct rows_options {
	struct rpc rpc;
	const char *method;
	const char *key; /* field that names a row */
	bool from_end;	 /* the method can begin with the last page */
	bool whole;	 /* the method has neither limit nor cursor */
	json_t *params;	 /* filter and sort; taken, may be NULL */
	void (*changed)(void *arg);
	void *arg;
};

struct rows *rows_new(const struct rows_options *o);
void rows_free(struct rows **rp);
/* Another filter or order; the rows shown stay until the first page arrives. Takes params. */
void rows_query(struct rows *r, json_t *params);
void rows_refresh(struct rows *r);

int64_t rows_count(const struct rows *r, bool *ret_exact);
const json_t *rows_get(const struct rows *r, int64_t index); /* NULL: not here (yet) */
const char *rows_key(const struct rows *r, int64_t index);   /* "" when not here */
uint64_t rows_id(const struct rows *r, int64_t index);	     /* 0 when not here */
/* The configuration's version that the row was read at; 0: the relay said none. */
int64_t rows_version(const struct rows *r, int64_t index);
int64_t rows_index_of(const struct rows *r, uint64_t id); /* -1: not here */
void rows_want(struct rows *r, int64_t first, int n);
bool rows_loading(const struct rows *r); /* nothing has arrived since the last query */
/* Nothing is awaited, and the last page came: the rows are as the relay had them then. */
bool rows_current(const struct rows *r);
const struct err *rows_error(const struct rows *r); /* NULL: the last page came */
uint64_t rows_key_id(const char *key);
/* Calls fn for each row that is here. */
typedef void rows_each_fn(void *arg, uint64_t id, const char *key, const json_t *row);
void rows_each(const struct rows *r, rows_each_fn *fn, void *arg);

#endif
