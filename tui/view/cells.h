/*
 * cells - how fields of the relay's rows look: text and role from proto/fields.def.
 */
#ifndef VIEW_CELLS_H
#define VIEW_CELLS_H

#include <jansson.h>

#include "base/buf.h"
#include "proto/proto.h"
#include "widget/prompt.h"
#include "widget/table.h"
#include "widget/text.h"

/* `now_ms` is the wall clock, for ages of times. */
void cell_fill(const struct field_def *f, const char *name, const json_t *row, int64_t now_ms,
	       bool ascii, struct table_cell *out);
/* What a screen wants of a column, where the table's own measures do not fit 80 columns. */
struct cell_measure {
	const char *name; /* ends a list when NULL */
	int width;
	int max;
	int priority;
};
/* The columns of an entity that tables have, measured (NULL: as they are), and their fields; how
 * many. */
int cell_columns(const char *entity, const struct cell_measure *measures,
		 struct table_column columns[static TABLE_MAX_COLUMNS],
		 const struct field_def *fields[static TABLE_MAX_COLUMNS]);
/* The role a state, an outcome or a kind of event has. */
enum role cell_state_role(const char *state);
enum role cell_code_role(int64_t code);
/* Every field of a row that is not empty, one a line, with its help at the end when `help`. */
void cell_describe(struct text *t, const char *entity, const json_t *row, int64_t now_ms,
		   bool ascii);
/* "03:12:07Z, 2h05m ago"; "-" for none. Times of another day begin with month and day. */
void cell_time(const char *rfc3339, int64_t now_ms, struct buf *out);
/* The same, short: for columns. */
void cell_time_short(const char *rfc3339, int64_t now_ms, struct buf *out);
/* Counts of young to old as a row of bars, digits when ascii. */
void cell_ages(const json_t *ages, bool ascii, struct buf *out);

/* For prompts: what could stand at the cursor of a filter. A prompt_complete_fn. */
size_t filter_prompt_complete(struct str line, size_t cursor, struct prompt_candidates *to,
			      void *arg);
size_t filter_prompt_complete_audit(struct str line, size_t cursor, struct prompt_candidates *to,
				    void *arg);
/* Appends `field:value` of the filter language, quoted where it must be. */
void filter_term(struct buf *out, const char *field, const char *value);
/* Both must match; either may be empty. */
void filter_and(struct buf *out, const char *a, const char *b);
/* A target (domain:D, all, …) as a filter; false when it is none. */
bool filter_of_target(const char *target, struct buf *out);

#endif
