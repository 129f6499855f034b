/*
 * columns - rows of an entity as a table for people, laid out by fields.def.
 *
 * Model:   columns_new() chooses the columns and their widths from the first rows; the same layout
 *          then prints the head and any number of rows. Columns where nothing stands are left out;
 *          when the terminal is too narrow those of the highest priority number go first, and text
 *          is cut with a mark. Without a width nothing is cut.
 * Owner:   rows and names are borrowed while the layout lives (names are the table's own).
 */
#ifndef CLI_COLUMNS_H
#define CLI_COLUMNS_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "cli/out.h"
#include "proto/proto.h"

#define COLUMNS_MAX 32

struct columns;

struct columns_options {
	const struct out *out;
	const char *entity;
	const char *key;  /* the name of the first field in rows instead of its own, or NULL */
	const char *skip; /* names of fields to leave out, between spaces: " id from ", or NULL */
	bool wide;	  /* all columns at their full width */
	bool steady;	  /* more rows come one by one: room for what the first ones do not have */
};

struct columns *columns_new(const struct columns_options *o, const json_t *rows);
void columns_free(struct columns **cp);
void columns_put_head(const struct columns *c, struct buf *b);
void columns_put_row(const struct columns *c, struct buf *b, const json_t *row);

/* A line that names the columns that there was no room for; false: there are none. */
bool columns_put_left_out(const struct columns *c, struct buf *b);

/* One value as people read it, "-" when there is none; not cleaned. Borrows or fills scratch. */
#define COLUMNS_SCRATCH 64
struct str columns_value(const struct out *o, const struct field_def *f, const json_t *v,
			 char scratch[static COLUMNS_SCRATCH]);
/* "2026-11-24 03:12:07Z" of an RFC 3339 text; "-" of any other. */
struct str columns_time(const char *rfc3339, char scratch[static COLUMNS_SCRATCH]);
/* Lines "title  value" for an entity's plain fields that are there. */
void columns_put_fields(const struct out *o, struct buf *b, const char *entity, const char *skip,
			const json_t *row);

#endif
