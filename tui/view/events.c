/*
 * events - what happens to messages, as it happens.
 *
 * While the cursor is on the last row the list follows; moving up stops it, G follows again.
 */
#include <bsd/string.h>
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "base/obj.h"
#include "filter/filter.h"
#include "model/feed.h"
#include "shell/list.h"
#include "shell/shell.h"
#include "view/app.h"
#include "view/cells.h"
#include "widget/prompt.h"

#define EVENTS_MAGIC 0x45766e74u
#define EVENTS_FILTER_MAX 1024

struct events {
	uint32_t magic;
	struct view *view;
	struct feed *feed;
	struct table table;
	struct table_column columns[TABLE_MAX_COLUMNS];
	const struct field_def *fields[TABLE_MAX_COLUMNS];
	char filter[EVENTS_FILTER_MAX];
	bool follow;
	int64_t shown; /* rows while frozen: newer ones stay out */
};

static struct app *app_of(const struct events *e)
{
	return view_app(e->view);
}

static int64_t source_count(void *src, bool *ret_exact)
{
	const struct events *e = OBJ(events, EVENTS_MAGIC, src);

	*ret_exact = true;
	return e->shown < feed_count(e->feed) ? e->shown : feed_count(e->feed);
}

static enum row_state source_row(void *src, int64_t index)
{
	(void)src;
	(void)index;
	return ROW_READY;
}

static struct row_id source_id(void *src, int64_t index)
{
	const json_t *row = feed_get(OBJ(events, EVENTS_MAGIC, src)->feed, index);

	return (struct row_id){ row != NULL ? (uint64_t)ji(row, "seq") + 1 : 0 };
}

static int64_t source_index_of(void *src, struct row_id id)
{
	return feed_index_of(OBJ(events, EVENTS_MAGIC, src)->feed, (int64_t)id.v - 1);
}

static void source_want(void *src, int64_t first, int n)
{
	(void)n;
	if (first < 50)
		feed_older(OBJ(events, EVENTS_MAGIC, src)->feed);
}

/* What says more than a dash where there is nothing: whose message came in, and why an address is
 * suppressed. */
static bool fill_instead(const json_t *row, const char *name, struct table_cell *out)
{
	if (js_has(row, name))
		return false;
	if (strcmp(name, "to") == 0 && strcmp(js(row, "event"), "received") == 0)
		(void)snprintf(out->scratch, sizeof(out->scratch), "from %s",
			       *js(row, "from") != '\0' ? js(row, "from") : "<>");
	else if (strcmp(name, "reply") == 0 && js_has(row, "source"))
		(void)snprintf(out->scratch, sizeof(out->scratch), "%s: %s", js(row, "source"),
			       js(row, "reason"));
	else
		return false;
	out->text = str_of(out->scratch);
	out->role = ROLE_DIM;
	return true;
}

static void source_cell(void *src, int64_t index, int column, struct table_cell *out)
{
	const struct events *e = OBJ(events, EVENTS_MAGIC, src);
	const json_t *row = feed_get(e->feed, index);
	struct shell *s = view_shell(e->view);

	if (row != NULL && !fill_instead(row, e->columns[column].name, out))
		cell_fill(e->fields[column], e->columns[column].name, row, shell_wall_ms(s),
			  shell_ascii(s), out);
}

static const struct row_source_ops source_ops = { .count = source_count,
						  .row = source_row,
						  .id = source_id,
						  .index_of = source_index_of,
						  .want = source_want,
						  .cell = source_cell };

static void events_changed(struct view *v)
{
	struct events *e = view_state(v);

	e->shown = feed_count(e->feed);
	if (e->follow)
		(void)table_nav(&e->table, NAV_LAST);
}

static void on_feed(void *arg)
{
	struct events *e = OBJ(events, EVENTS_MAGIC, arg);

	shell_dirty(view_shell(e->view), SHELL_RECALC | SHELL_REPAINT);
}

static void restart(struct events *e)
{
	feed_free(&e->feed);
	e->feed = feed_new(app_of(e)->rpc, e->filter, on_feed, e);
	e->shown = 0;
	e->follow = true;
	table_reset(&e->table);
	shell_dirty(view_shell(e->view), SHELL_RECALC | SHELL_REPAINT);
}

static const struct cell_measure measures[] = {
	{ "at", 9, 0, 0 },	 { "id", 10, 0, 3 },	{ "to", 20, 50, 0 }, { "code", 4, 0, 1 },
	{ "reply", 20, 200, 1 }, { "from", 16, 40, 5 }, { .name = NULL },
};

static int events_open(struct view *v, const char *arg, struct err *err)
{
	struct events *e = view_state(v);

	(void)err;
	e->magic = EVENTS_MAGIC;
	e->view = v;
	(void)strlcpy(e->filter, arg, sizeof(e->filter));
	table_init(&e->table, (struct row_source){ &source_ops, e }, e->columns, 0);
	e->table.focused = true;
	e->table.empty = "nothing happened yet";
	e->table.n_columns = cell_columns("event", measures, e->columns, e->fields);
	for (int i = 0; i < e->table.n_columns; i++)
		e->columns[i].sortable = false;
	restart(e);
	return 0;
}

static void events_close(struct view *v)
{
	struct events *e = view_state(v);

	if (e->magic == 0)
		return;
	feed_free(&e->feed);
	table_done(&e->table);
	e->magic = 0;
}

static void events_draw(struct view *v, const struct canvas *c)
{
	struct events *e = view_state(v);
	const struct err *err = feed_error(e->feed);
	struct canvas body = canvas_sub(c, 0, 0, canvas_rows(c) - (err != NULL), canvas_cols(c));

	table_draw(&e->table, &body);
	if (err != NULL)
		(void)canvas_printf(c, canvas_rows(c) - 1, 1, ROLE_BAD, "%s", err->msg);
}

static void events_subtitle(struct view *v, struct buf *out)
{
	const struct events *e = view_state(v);

	if (e->filter[0] != '\0')
		(void)buf_printf(out, "%s  ", e->filter);
	(void)buf_puts(out, e->follow ? "following" : "stopped: G follows");
}

static const json_t *cursor_row(const struct events *e)
{
	return feed_get(e->feed, table_cursor(&e->table, &(struct row_id){ 0 }));
}

static void after_move(struct events *e, unsigned result)
{
	bool exact;
	const json_t *row = cursor_row(e);

	if ((result & (WIDGET_USED | WIDGET_MOVED)) != 0)
		e->follow = table_cursor(&e->table, &(struct row_id){ 0 }) ==
			    source_count(e, &exact) - 1;
	if ((result & WIDGET_ACTIVATED) != 0 && row != NULL && js_has(row, "id"))
		(void)shell_open(view_shell(e->view), "message", js(row, "id"));
}

static unsigned events_nav(struct view *v, enum nav nav)
{
	struct events *e = view_state(v);
	unsigned result = table_nav(&e->table, nav);

	after_move(e, result);
	return result;
}

static unsigned events_mouse(struct view *v, const struct event_mouse *m)
{
	struct events *e = view_state(v);
	unsigned result = table_mouse(&e->table, m);

	after_move(e, result);
	return result;
}

static int on_filter(void *arg, struct str line, struct err *err)
{
	struct events *e = OBJ(events, EVENTS_MAGIC, arg);
	int rc = app_take_filter(app_of(e), FILTER_MAIL, line, e->filter, sizeof(e->filter), err);

	if (rc >= 0)
		restart(e);
	return rc;
}

static void events_action(struct view *v, enum action_id a)
{
	struct events *e = view_state(v);
	struct shell *s = view_shell(v);
	const json_t *row = cursor_row(e);

	if (list_action(s, &e->table, a) != LIST_NOT_MINE)
		return;
	if (a == A_FILTER) {
		(void)shell_prompt(s, &(struct shell_prompt){ .owner = v,
							      .label = "filter",
							      .hint = "domain:example.org code:4xx",
							      .initial = e->filter,
							      .eager = true,
							      .history = app_of(e)->filters,
							      .complete = filter_prompt_complete,
							      .enter = on_filter,
							      .arg = e });
	} else if (a == A_CLEAR || a == A_REFRESH) {
		if (a == A_CLEAR)
			e->filter[0] = '\0';
		restart(e);
	} else if (a == A_DESCRIBE && row != NULL) {
		struct text *t = shell_page_body(s, shell_page(s, v, js(row, "event")));

		if (t == NULL)
			return;
		t->wrap = true;
		cell_describe(t, "event", row, shell_wall_ms(s), shell_ascii(s));
	} else if (a == A_TAIL) {
		AUTO_BUF where = BUF_INIT(VIEW_ARG_MAX);

		if (row != NULL && js_has(row, "domain"))
			filter_term(&where, "domain", js(row, "domain"));
		(void)shell_open(s, "trace", buf_cstr(&where));
	}
}

static const enum action_id actions[] = {
	A_FILTER, A_CLEAR, A_TAIL, A_DESCRIBE, A_WIDE, A_COPY, A_REFRESH, A_NONE,
};

const struct view_def view_events = {
	.name = "events",
	.title = "Events",
	.help = "What happens to messages, as it happens. Moving up stops following, G follows "
		"again; "
		"p freezes the screen.",
	.slot = 5,
	.size = sizeof(struct events),
	.actions = actions,
	.open = events_open,
	.close = events_close,
	.draw = events_draw,
	.nav = events_nav,
	.action = events_action,
	.mouse = events_mouse,
	.changed = events_changed,
	.subtitle = events_subtitle,
};
