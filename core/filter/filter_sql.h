/*
 * filter_sql - a filter as an SQL expression with bound parameters.
 *
 * Model:   the caller says which expression holds each field; the result is one boolean expression
 *          to stand behind WHERE, with a '?' for each bind in order. Operators' text is only ever
 *          bound, never pasted. The expression answers as filter_eval() does on a row of which
 *          everything is known: NULL stands for "none".
 * Columns: domain, provider, sender-domain and relay must be stored in lower case. id is the rid,
 *          or the message id with `id_is_message`. age and next are the absolute times in wall
 *          clock milliseconds; code is an integer; client is the address as ipaddr_text() writes
 *          it. Client networks call the SQL function weir_in_net(address, network), which the
 *          owner of the connection registers around filter_in_net().
 * Owner:   the caller owns buf and binds; filter_binds_done() frees. Context: any thread.
 * Errors:  ERR_INVALID when a field is not available; ERR_LIMIT when `sql` is full.
 */
#ifndef FILTER_FILTER_SQL_H
#define FILTER_FILTER_SQL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "filter/filter.h"

#define FILTER_SQL_MAX (256 * 1024) /* a good limit for the buf: 256 values of any kind fit */
#define FILTER_SQL_IN_NET "weir_in_net"

struct filter_bind {
	char *text; /* owned; NULL: the integer counts */
	int64_t i;
};
struct filter_binds {
	struct filter_bind *v;
	size_t n;
	size_t cap;
};
#define FILTER_BINDS_INIT ((struct filter_binds){ .v = NULL })
void filter_binds_done(struct filter_binds *b);
void filter_bind_text(struct filter_binds *b, struct str text);
void filter_bind_int(struct filter_binds *b, int64_t i);

struct filter_columns {
	const char *expr[FILTER__COUNT]; /* NULL: ask `special`, or not available */
	bool id_is_message;
	/*
	 * 1u << FILTER_X for fields that are not known here: the expression is then true for every
	 * row for which filter_eval() with these fields unknown does not answer FILTER_FALSE.
	 */
	uint32_t unknown;
	int64_t now_ms;
	/*
	 * For fields that are not a plain expression: appends to *sql an expression that is true
	 * when the field matches `pattern` (whole text without case, '*' is a wildcard, empty is
	 * none), and its binds. Returns 1 when done, 0 when the field is not available, or < 0.
	 */
	int (*special)(void *arg, enum filter_field field, struct str pattern, struct buf *sql,
		       struct filter_binds *binds, struct err *err);
	void *arg;
};

int filter_sql(const struct filter *f, const struct filter_columns *map, struct buf *sql,
	       struct filter_binds *binds, struct err *err) MUST_CHECK;
/* The test behind weir_in_net(): false when either text is not what it should be. */
bool filter_in_net(struct str address, struct str network);
/* Appends pattern as a LIKE pattern for ESCAPE '\': '*' becomes '%', the rest is literal. */
bool filter_like(struct str pattern, bool part, struct buf *out);

#endif
