/*
 * table - rows and columns over any number of rows, of which it holds none.
 *
 * Model: rows come from a row_source, which may fetch them; the table asks only for what is on the
 * screen. The cursor is a row id with its line on the screen: rows that come and go above move
 * neither. When the cursor's row is gone, a line says so in its place, and table_cursor() gives no
 * id until the cursor is moved, so that no action can hit the row that slid into its place. Marks
 * are ids, or everything the source matches but for some ids.
 *
 * Owner: the caller embeds struct table (_init/_done); source and columns are borrowed for its
 * life.
 *
 * Context: loop thread. table_draw() asks the source with want() for the rows it shows and notes
 * its size; it changes nothing else. The source must not draw, and its want() must not answer from
 * inside.
 *
 * Limits: TABLE_MAX_COLUMNS; TABLE_MAX_MARKS single marks, beyond which marking is refused.
 */
#ifndef WIDGET_TABLE_H
#define WIDGET_TABLE_H

#include <stdbool.h>
#include <stdint.h>

#include "cell/canvas.h"
#include "cell/event.h"
#include "theme/theme.h"
#include "widget/nav.h"

#define TABLE_MAX_COLUMNS 32
#define TABLE_MAX_MARKS 10000
#define TABLE_CELL_MAX 256

struct row_id {
	uint64_t v; /* 0: none */
};
static inline bool row_id_eq(struct row_id a, struct row_id b)
{
	return a.v == b.v;
}

enum row_state { ROW_READY, ROW_LOADING, ROW_GONE };

/* One field as a source fills it in: `text` may point at `scratch` or at what lives until the next
 * call. */
struct table_cell {
	struct str text;
	enum role role;
	double bar; /* for columns of kind COLUMN_BAR: 0 to 1 */
	char scratch[TABLE_CELL_MAX];
};

struct row_source_ops {
	/* Rows there are; *ret_exact false while that is an estimate. */
	int64_t (*count)(void *src, bool *ret_exact);
	enum row_state (*row)(void *src, int64_t index);
	/* {0} while the row is not known. */
	struct row_id (*id)(void *src, int64_t index);
	/* Where that row is now, or -1 when it is gone. */
	int64_t (*index_of)(void *src, struct row_id id);
	/* These rows are on the screen; fetch what is missing. May be called every frame. */
	void (*want)(void *src, int64_t first, int n);
	/* Fills in one field of a row that is ROW_READY (or ROW_GONE, if it still knows it). */
	void (*cell)(void *src, int64_t index, int column, struct table_cell *out);
};
struct row_source {
	const struct row_source_ops *ops;
	void *src;
};

enum column_kind { COLUMN_TEXT, COLUMN_BAR };

struct table_column {
	const char *name;  /* for sort and state, e.g. "age" */
	const char *title; /* head */
	int width;	   /* columns it needs */
	int max; /* columns it can use, 0: just width; what is left over is shared by `max` */
	enum align align;
	int priority; /* 0 stays always; the highest number disappears first when the room is small
		       */
	bool sortable;
	enum column_kind kind;
};

enum table_sort { SORT_NONE, SORT_UP, SORT_DOWN };

struct id_set;

struct table {
	struct row_source source;
	const struct table_column *columns;
	int n_columns;
	bool focused;	   /* set by the view before drawing */
	bool no_head;	   /* without the line of column heads */
	bool wide;	   /* no column disappears; scroll sideways instead */
	const char *empty; /* shown when there are no rows; NULL: "nothing here" */
	int sort_column;   /* -1: none */
	enum table_sort sort;

	/* The rest belongs to the table. */
	struct row_id cursor; /* {0}: wherever cursor_index says, as soon as that row is known */
	int64_t cursor_index; /* where it was seen last */
	int line;	      /* its line on the screen, kept when rows come and go above */
	struct row_id range_from; /* where marking a range began */
	int64_t range_index;
	bool range;
	int page; /* rows drawn last time */
	int room; /* columns for its fields, then */
	int skip; /* columns scrolled to the right */
	bool all_marked;
	struct id_set *marks; /* single ids, or the exceptions to all_marked */
};

void table_init(struct table *t, struct row_source source, const struct table_column *columns,
		int n);
void table_done(struct table *t);
/* Another set of rows (new filter or sort): cursor to the first row, marks dropped. */
void table_reset(struct table *t);
void table_draw(struct table *t, const struct canvas *c);
/* Moves; NAV_ENTER gives WIDGET_ACTIVATED. */
unsigned table_nav(struct table *t, enum nav nav);
/* Mouse: click, double click (WIDGET_ACTIVATED), wheel, column head (WIDGET_SORT, sort_column set).
 */
unsigned table_mouse(struct table *t, const struct event_mouse *m);

/* The cursor's row: its index, or -1 when there is none or it is gone. */
int64_t table_cursor(const struct table *t, struct row_id *ret_id);
/* Whether the table had no room for all of this column's text in the cursor's row, which is set. */
bool table_cut(const struct table *t, int column, struct table_cell *ret_cell);
/* Puts the cursor on a row; true if it is there now. An id not known yet is kept. */
bool table_cursor_set(struct table *t, struct row_id id);

/* Marks. */
bool table_mark_toggle(struct table *t); /* the cursor's row, then one down; false at the limit */
/* The first call begins a range, the second marks it; false (and nothing marked) at the limit or
 * when rows in between are not fetched yet. */
bool table_mark_range(struct table *t);
void table_mark_all(struct table *t); /* everything the source matches */
void table_unmark_all(struct table *t);
bool table_is_marked(const struct table *t, struct row_id id);
/* Number of marked rows; *ret_exact false when all are marked and the count is an estimate. */
int64_t table_marked(const struct table *t, bool *ret_exact);
/* Calls fn for each single mark, or for each exception when all_marked, in order of id. */
typedef void table_mark_fn(struct row_id id, void *arg);
void table_marks_each(const struct table *t, table_mark_fn *fn, void *arg);

/* Direction after a click or 'o' on a column: up, down, up … */
void table_sort_toggle(struct table *t, int column);
/* "3 of 1 204", "3 of ~1.2M"; with marks "2 marked of 1 204". For the pane's title. */
#define TABLE_POSITION_LEN 96
void table_position(const struct table *t, char ret[static TABLE_POSITION_LEN]);

#endif
