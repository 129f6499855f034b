/*
 * listing - what the screens with a list from the relay have in common.
 *
 * Model:   a table over a rows window: filter, order, marks, actions on the cursor's row or on what
 *          is marked. A screen embeds struct listing as the first member of its state, describes
 *          itself in a listing_def and uses the functions below in its view_def. Changes in the
 *          relay fetch the shown rows again, at most once in LISTING_REFRESH_MS, and not while the
 *          screen is frozen or hidden.
 * Limits:  LISTING_TARGETS marked rows can be acted on; beyond that a filter must say which.
 */
#ifndef VIEW_LISTING_H
#define VIEW_LISTING_H

#include "base/buf.h"
#include "filter/filter.h"
#include "model/rows.h"
#include "proto/proto.h"
#include "shell/shell.h"
#include "view/app.h"
#include "view/cells.h"
#include "widget/table.h"

#define LISTING_REFRESH_MS 1000
#define LISTING_TARGETS 256
#define LISTING_FILTER_MAX 1024

struct listing;
struct save;

struct listing_def {
	const char *method;
	const char *entity; /* in fields.def */
	const char *key;    /* field that names a row */
	const char *empty;
	const char *problems;	 /* filter that '!' adds; NULL: none */
	unsigned moved;		 /* enum relay_moved: what makes the rows stale */
	bool filter;		 /* takes `where` */
	enum filter_about about; /* of that filter */
	bool sort;		 /* takes `sort` */
	bool descending;	 /* takes `descending` */
	bool from_end;
	bool whole;
	/* Filter or target that finds what stands behind a row; false when nothing does. */
	bool (*where)(const struct listing *l, const json_t *row, struct buf *out);
	/* What marked rows are in a filter: "id" with keys "a,b,c"; NULL: rows cannot be joined. */
	const char *(*field)(const struct listing *l);
	void (*enter)(struct listing *l, const json_t *row);
	const struct cell_measure *measures; /* NULL: those of fields.def */
	/* What is told of the cursor's row below the table; NULL, or when that is nothing:
	 * listing_cut(). */
	void (*foot)(const struct listing *l, const json_t *row, struct buf *out);
	/* What is told of a row besides its fields; NULL: nothing. */
	void (*describe)(const json_t *row, struct text *t);
	/* What to listen to for a row, as a filter; NULL: l shows events instead. */
	bool (*live)(const struct listing *l, const json_t *row, struct buf *out);
	/* Other names for columns, and parameters besides filter and sort. */
	void (*params)(const struct listing *l, json_t *params);
};

/* What the relay answered about a row, into its page. */
typedef void listing_put_fn(struct listing *l, const json_t *answer, struct text *t);

struct listing {
	uint32_t magic;
	const struct listing_def *def;
	struct view *view;
	struct rows *rows;
	struct table table;
	struct table_column columns[TABLE_MAX_COLUMNS];
	const struct field_def *fields[TABLE_MAX_COLUMNS];
	char key[16]; /* the key's field now: changes with grouping */
	char filter[LISTING_FILTER_MAX];
	char before[LISTING_FILTER_MAX]; /* while another one is typed */
	bool problems;
	bool stale;
	bool shown;
	int64_t fetched_ms;
	int64_t current_wall_ms; /* when the rows were last as the relay's */
	struct loop_timer *refresh;
	struct save *save;
	uint64_t call; /* what the page asked for */
	struct overlay_id page;
	bool page_waits; /* it says so, and nothing else */
	listing_put_fn *put;
	json_t *kept; /* keys of marked rows that may have left the window: id as text to key */
};

/* Appends the cursor's row's fields that its cells had no room for. */
void listing_cut(const struct listing *l, struct buf *out);
void listing_open(struct listing *l, struct view *v, const struct listing_def *def,
		  const char *filter);
/* The columns changed their meaning (grouping): key and filter are new. */
void listing_again(struct listing *l);
void listing_close(struct view *v);
void listing_draw(struct view *v, const struct canvas *c);
unsigned listing_nav(struct view *v, enum nav nav);
/* False when the action is not one of those all lists have. */
bool listing_action(struct listing *l, enum action_id a);
void listing_on_action(struct view *v, enum action_id a);
unsigned listing_mouse(struct view *v, const struct event_mouse *m);
int64_t listing_selected(struct view *v);
void listing_changed(struct view *v);
void listing_shown(struct view *v, bool shown);
int64_t listing_known_wall_ms(struct view *v);
void listing_subtitle(struct view *v, struct buf *out);
void listing_save(struct view *v, struct buf *out);
void listing_restore(struct view *v, struct str saved);

/* The cursor's row; NULL when there is none. Borrows. */
const json_t *listing_row(const struct listing *l);
/* The configuration's version that it shows, for act_edit(). */
int64_t listing_version(const struct listing *l);
/* What an action works on: the marks, else the cursor's row. False (with a notice) if it cannot be
 * said. */
bool listing_target(struct listing *l, struct buf *out);
struct app *listing_app(const struct listing *l);
/* A page about a row, instead of the one before; NULL when it cannot be opened. Borrows. */
struct text *listing_page(struct listing *l, const char *title);
/* Fills it, behind what stands there already, when the relay has answered and it is still open;
 * takes params. */
void listing_ask(struct listing *l, enum method_id method, json_t *params, listing_put_fn *put);

/* What a list's view_def has, with its own .close and .nav or those of all lists. */
#define LISTING_PARTS                                                                              \
	.draw = listing_draw, .mouse = listing_mouse, .selected = listing_selected,                \
	.changed = listing_changed, .shown = listing_shown,                                        \
	.known_wall_ms = listing_known_wall_ms, .subtitle = listing_subtitle,                      \
	.save = listing_save, .restore = listing_restore
#define LISTING_VIEW .close = listing_close, .nav = listing_nav, LISTING_PARTS

#endif
