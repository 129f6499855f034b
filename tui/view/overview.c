/*
 * overview - the first screen: how much waits and since when, what comes in and goes out, and the
 * destinations that need attention first, each with its dominant cause.
 *
 * The attention rows come with the status; the table reads them from there. Row ids are made of
 * the destinations' names, so the cursor stays with its destination when the order changes.
 */
#include <stdio.h>
#include <string.h>

#include "base/fmt.h"
#include "base/mem.h"
#include "base/obj.h"
#include "model/rows.h"
#include "shell/list.h"
#include "shell/shell.h"
#include "view/act.h"
#include "view/cells.h"
#include "widget/meter.h"

#define OVERVIEW_MAGIC 0x4f766572u
#define HOLDS_SHOWN 5
#define URGENT_SHOWN 4
#define FOCUS_ROWS 4
#define COUNTS_COLS 66	 /* below, counts of nothing give way */
#define TABLE_ROWS_MIN 3 /* heading and two destinations */
#define RATES 4
#define HISTORY 60

struct overview {
	uint32_t magic;
	struct view *view;
	struct table table;
	struct rows *holds;
	json_t *status; /* what is shown; stays while frozen */
};

/* Columns of the attention table; the cause takes what room is left. */
enum { COL_DOMAIN, COL_QUEUED, COL_DEFERRED, COL_HELD, COL_OLDEST, COL_SINCE, COL_CAUSE };
static const struct table_column columns[] = {
	[COL_DOMAIN] = { .name = "domain", .title = "destination", .width = 18, .max = 40 },
	[COL_QUEUED] = { .name = "total", .title = "queued", .width = 7, .align = ALIGN_RIGHT },
	[COL_DEFERRED] = { .name = "deferred",
			   .title = "defer",
			   .width = 7,
			   .align = ALIGN_RIGHT,
			   .priority = 3 },
	[COL_HELD] = { .name = "held",
		       .title = "held",
		       .width = 6,
		       .align = ALIGN_RIGHT,
		       .priority = 2 },
	[COL_OLDEST] = { .name = "oldest_age_s",
			 .title = "oldest",
			 .width = 6,
			 .align = ALIGN_RIGHT,
			 .priority = 4 },
	[COL_SINCE] = { .name = "since_at",
			.title = "since",
			.width = 12,
			.max = 18,
			.priority = 1 },
	[COL_CAUSE] = { .name = "cause", .title = "reply", .width = 20, .max = 200 },
};

static struct app *app_of(const struct overview *o)
{
	return view_app(o->view);
}

static const json_t *attention(const struct overview *o)
{
	return json_object_get(o->status, "attention");
}

/* --- the table's source --- */

static int64_t source_count(void *src, bool *ret_exact)
{
	*ret_exact = true;
	return (int64_t)json_array_size(attention(OBJ(overview, OVERVIEW_MAGIC, src)));
}

static enum row_state source_row(void *src, int64_t index)
{
	(void)src;
	(void)index;
	return ROW_READY;
}

static const json_t *row_at(const struct overview *o, int64_t index)
{
	return index >= 0 ? json_array_get(attention(o), (size_t)index) : NULL;
}

static struct row_id source_id(void *src, int64_t index)
{
	const json_t *row = row_at(OBJ(overview, OVERVIEW_MAGIC, src), index);

	return (struct row_id){ row != NULL ? rows_key_id(js(row, "domain")) : 0 };
}

static int64_t source_index_of(void *src, struct row_id id)
{
	bool exact;
	int64_t n = source_count(src, &exact);

	for (int64_t i = 0; i < n; i++) {
		if (source_id(src, i).v == id.v)
			return i;
	}
	return -1;
}

static void source_want(void *src, int64_t first, int n)
{
	(void)src;
	(void)first;
	(void)n;
}

/* The dominant cause: an object with the reply, or plain text, or the last reply of the row. */
static const char *cause_text(const json_t *row)
{
	const json_t *cause = json_object_get(row, "cause");

	if (json_is_object(cause) && js_has(cause, "text"))
		return js(cause, "text");
	if (json_is_string(cause))
		return json_string_value(cause);
	return js(row, "last_reply");
}

static void source_cell(void *src, int64_t index, int column, struct table_cell *out)
{
	const struct overview *o = OBJ(overview, OVERVIEW_MAGIC, src);
	const json_t *row = row_at(o, index);
	AUTO_BUF since = BUF_INIT(64);
	const char *name = columns[column].name;

	if (row == NULL)
		return;
	if (column == COL_CAUSE) {
		out->text = str_of(cause_text(row));
		out->role = ROLE_QUOTE;
	} else if (column == COL_SINCE) {
		cell_time_short(js(row, name), shell_wall_ms(view_shell(o->view)), &since);
		(void)snprintf(out->scratch, sizeof(out->scratch), "%s", buf_cstr(&since));
		out->text = str_of(out->scratch);
		out->role = ROLE_WARN;
	} else {
		const struct field_def *f = field_find("queue", name);

		if (f != NULL)
			cell_fill(f, name, row, 0, shell_ascii(view_shell(o->view)), out);
		if (column == COL_DOMAIN)
			out->role = ROLE_STRONG;
	}
}

static const struct row_source_ops source_ops = { .count = source_count,
						  .row = source_row,
						  .id = source_id,
						  .index_of = source_index_of,
						  .want = source_want,
						  .cell = source_cell };

/* --- life --- */

static void take_status(struct overview *o)
{
	const json_t *status = relay_status(app_of(o)->relay);

	if (status == NULL || shell_frozen(view_shell(o->view)))
		return;
	json_decref(o->status);
	o->status = json_incref((json_t *)(uintptr_t)status);
}

static void on_moved(void *arg, unsigned moved)
{
	struct overview *o = OBJ(overview, OVERVIEW_MAGIC, arg);

	/* What a hold covers grows with the queue. */
	if ((moved & (RELAY_HOLDS | RELAY_QUEUE)) != 0)
		rows_refresh(o->holds);
	if ((moved & RELAY_STATUS) != 0)
		shell_dirty(view_shell(o->view), SHELL_RECALC | SHELL_REPAINT);
}

static void on_holds(void *arg)
{
	struct overview *o = OBJ(overview, OVERVIEW_MAGIC, arg);

	shell_dirty(view_shell(o->view), SHELL_REPAINT);
}

static int overview_open(struct view *v, const char *arg, struct err *err)
{
	struct overview *o = view_state(v);

	(void)arg;
	(void)err;
	o->magic = OVERVIEW_MAGIC;
	o->view = v;
	table_init(&o->table, (struct row_source){ &source_ops, o }, columns,
		   (int)ARRAY_LEN(columns));
	o->table.focused = true;
	o->holds = rows_new(&(struct rows_options){ .rpc = app_of(o)->rpc,
						    .method = "hold.list",
						    .key = "id",
						    .whole = true,
						    .changed = on_holds,
						    .arg = o });
	rows_want(o->holds, 0, HOLDS_SHOWN);
	relay_listen(app_of(o)->relay, on_moved, o);
	take_status(o);
	return 0;
}

static void overview_close(struct view *v)
{
	struct overview *o = view_state(v);

	if (o->magic == 0)
		return;
	relay_unlisten(app_of(o)->relay, o);
	rows_free(&o->holds);
	table_done(&o->table);
	json_decref(o->status);
	o->magic = 0;
}

static void overview_changed(struct view *v)
{
	take_status(view_state(v));
}

/* --- drawing --- */

/* Left out where there is no room for all of it, and counts of nothing before that. */
static void draw_count(const struct canvas *c, int row, int *col, const char *label, int64_t n,
		       enum role role)
{
	bool narrow = canvas_cols(c) < COUNTS_COLS;
	char text[FMT_TIME_LEN];
	int width;

	fmt_count(n > 0 ? (uint64_t)n : 0, text);
	width = text_width(str_of(text)) + 1 + text_width(str_of(label));
	if (narrow && (n <= 0 || *col + width > canvas_cols(c)))
		return;
	*col += canvas_puts(c, row, *col, n > 0 ? role : ROLE_DIM, str_of(text));
	*col += canvas_printf(c, row, *col, ROLE_LABEL, narrow ? " %s " : " %s   ", label);
}

static void draw_backlog(const struct overview *o, const struct canvas *c)
{
	const json_t *q = json_object_get(o->status, "queued");
	char text[FMT_TIME_LEN], age[FMT_SHORT_LEN];
	int col = 1;

	fmt_count((uint64_t)ji(q, "messages"), text);
	col += canvas_printf(c, 0, col, ROLE_STRONG, "%s messages", text);
	fmt_count((uint64_t)ji(q, "recipients"), text);
	col += canvas_printf(c, 0, col, ROLE_TEXT, " for %s recipients queued", text);
	if (js_has(o->status, "oldest_age_s")) {
		int64_t oldest = ji(o->status, "oldest_age_s");

		fmt_age(oldest, age);
		col += canvas_printf(c, 0, col, oldest >= 3600 ? ROLE_WARN : ROLE_TEXT,
				     ", the oldest for %s", age);
	}
	if (ji(o->status, "alerts") > 0)
		(void)canvas_printf(c, 0, col + 2, ROLE_BAD, "%lld alert%s",
				    (long long)ji(o->status, "alerts"),
				    ji(o->status, "alerts") == 1 ? "" : "s");
	col = 1;
	draw_count(c, 1, &col, "ready", ji(q, "ready"), ROLE_TEXT);
	if (canvas_cols(c) >= COUNTS_COLS)
		draw_count(c, 1, &col, "in delivery", ji(q, "active"), ROLE_ACTIVE);
	draw_count(c, 1, &col, "deferred", ji(q, "deferred"), ROLE_WARN);
	draw_count(c, 1, &col, "held", ji(q, "held"), ROLE_HELD);
	if (canvas_cols(c) < COUNTS_COLS)
		draw_count(c, 1, &col, "in delivery", ji(q, "active"), ROLE_ACTIVE);
	draw_count(c, 1, &col, "in trash", ji(q, "trash"), ROLE_TEXT);
}

static int load_history(const json_t *counts, double ret[static HISTORY])
{
	int n = 0;
	size_t i;
	json_t *v;

	json_array_foreach(counts, i, v)
	{
		if (n < HISTORY)
			ret[n++] = json_number_value(v);
	}
	return n;
}

static void draw_rates(const struct overview *o, const struct canvas *c, int row, int per_line)
{
	static const struct {
		const char *label, *rate, *history;
		enum role role, chart;
	} rates[RATES] = {
		{ "in", "accepted_per_s", "accepted", ROLE_TEXT, ROLE_CHART },
		{ "out", "delivered_per_s", "delivered", ROLE_GOOD, ROLE_CHART },
		{ "deferred", "deferred_per_s", "deferred", ROLE_WARN, ROLE_CHART_WARN },
		{ "failed", "failed_per_s", "failed", ROLE_BAD, ROLE_CHART_BAD },
	};
	const json_t *now = json_object_get(o->status, "rates");
	const json_t *history = json_object_get(o->status, "rate_history");
	int width = canvas_cols(c) / per_line;

	for (int i = 0; i < RATES; i++) {
		double values[HISTORY], rate;
		char text[32];
		int n = load_history(json_object_get(history, rates[i].history), values);
		struct canvas box =
			canvas_sub(c, row + i / per_line, i % per_line * width + 1, 1, width - 2);

		rate = json_number_value(json_object_get(now, rates[i].rate));
		(void)snprintf(text, sizeof(text), rate >= 100 ? "%.0f/s" : "%.1f/s", rate);
		meter_draw(&box, 0,
			   &(struct meter){ .label = rates[i].label,
					    .value = text,
					    .role = rate > 0 ? rates[i].role : ROLE_DIM,
					    .history = values,
					    .n_history = n,
					    .chart_role = rates[i].chart },
			   9, 8);
	}
}

/* What is the matter besides the destinations. */
static void draw_urgent(const struct overview *o, const struct canvas *c, int row, int rows)
{
	const json_t *all = json_object_get(o->status, "urgent");
	int n = (int)json_array_size(all);

	for (int i = 0; i < rows; i++) {
		const json_t *x = json_array_get(all, (size_t)i);
		enum role role = strcmp(js(x, "severity"), "bad") == 0 ? ROLE_BAD : ROLE_WARN;
		AUTO_BUF line = BUF_INIT(1024);

		if (i + 1 == rows && n > rows) {
			(void)buf_printf(&line,
					 i > 0 ? "%d more: command alerts"
					       : "%d alerts: command alerts",
					 n - i);
		} else {
			cell_time_short(js(x, "since_at"), shell_wall_ms(view_shell(o->view)),
					&line);
			(void)buf_printf(&line, "  %s", js(x, "text"));
		}
		(void)canvas_puts(c, row + i, 1, role, STR("!"));
		canvas_field(c, row + i, 3, canvas_cols(c) - 3, ALIGN_LEFT, role, buf_str(&line));
	}
}

static void draw_holds(const struct overview *o, const struct canvas *c, int row, int rows)
{
	int64_t n = json_object_get(o->status, "holds") != NULL ? ji(o->status, "holds") : 0;
	int64_t now_ms = shell_wall_ms(view_shell(o->view));

	(void)canvas_printf(c, row, 1, n > 0 ? ROLE_HELD : ROLE_TITLE,
			    n > 0 ? "Holds (%lld)" : "No holds", (long long)n);
	for (int i = 0; i + 1 < rows; i++) {
		const json_t *hold = rows_get(o->holds, i);
		AUTO_BUF line = BUF_INIT(1024);
		char count[FMT_TIME_LEN];

		if (hold == NULL)
			break;
		fmt_count((uint64_t)ji(hold, "recipients"), count);
		(void)buf_printf(&line, "%s  %s held by %s until ", js(hold, "target"), count,
				 js(hold, "by"));
		if (js_has(hold, "expires_at"))
			cell_time_short(js(hold, "expires_at"), now_ms, &line);
		else
			(void)buf_puts(&line, "released");
		(void)buf_printf(&line, ": %s", js(hold, "reason"));
		canvas_field(c, row + 1 + i, 2, canvas_cols(c) - 2, ALIGN_LEFT, ROLE_TEXT,
			     buf_str(&line));
	}
}

/* One has what the other says, which then is not said twice. */
static bool same_words(const char *a, const char *b)
{
	return *a != '\0' && *b != '\0' && (strstr(a, b) != NULL || strstr(b, a) != NULL);
}

/* The whole story of the destination under the cursor. */
static void draw_focus(const struct overview *o, const struct canvas *c, int row)
{
	const json_t *at = row_at(o, table_cursor(&o->table, &(struct row_id){ 0 }));
	const json_t *cause = json_object_get(at, "cause");
	AUTO_BUF line = BUF_INIT(512);
	int64_t now_ms = shell_wall_ms(view_shell(o->view));
	const char *class;
	int below;

	if (at == NULL)
		return;
	(void)buf_puts(&line, js(at, "domain"));
	if (js_has(at, "since_at")) {
		(void)buf_puts(&line, ": since ");
		cell_time(js(at, "since_at"), now_ms, &line);
	}
	if (js_has(at, "stream"))
		(void)buf_printf(&line, ", stream %s", js(at, "stream"));
	class = json_is_object(cause) && js_has(cause, "class") ? js(cause, "class")
								: js(at, "class");
	if (*class != '\0')
		(void)buf_printf(&line, ", %s", class);
	if (*js(at, "hold") != '\0')
		(void)buf_printf(&line, ", held by %s", js(at, "hold"));
	if (*js(at, "backoff") != '\0') {
		(void)buf_puts(&line, ", slowed down");
		if (!same_words(js(at, "backoff"), cause_text(at)))
			(void)buf_printf(&line, ": %s", js(at, "backoff"));
	}
	canvas_hline(c, row, 0, canvas_cols(c), ROLE_BORDER);
	below = canvas_wrap_rows(canvas_cols(c) - 1, FOCUS_ROWS - 2, str_of(cause_text(at)));
	row += 1 + canvas_wrap(c, row + 1, 1, FOCUS_ROWS - 1 - below, ROLE_STRONG, buf_str(&line));
	(void)canvas_wrap(c, row, 1, below, ROLE_QUOTE, str_of(cause_text(at)));
}

/* Before the first status: what it waits for, in full, for the top bar may cut it. */
static void draw_waiting(struct view *v, const struct canvas *c)
{
	const struct shell_status *st = shell_status(view_shell(v));

	(void)canvas_puts(c, 1, 2, ROLE_PENDING,
			  st->link == LINK_UP ? STR("waiting for the relay's status")
					      : STR("not connected to the relay"));
	if (st->link != LINK_UP && st->link != LINK_REFUSED)
		(void)canvas_wrap(c, 3, 2, canvas_rows(c) - 3, ROLE_TEXT, str_of(st->trouble));
}

static void overview_draw(struct view *v, const struct canvas *c)
{
	struct overview *o = view_state(v);
	int cols = canvas_cols(c), rows = canvas_rows(c);
	int per_line = cols >= 160 ? 4 : 2;
	int top = 3 + RATES / per_line;
	int n_holds = ji(o->status, "holds") > 0 ? (int)ji(o->status, "holds") : 0;
	int holds = 1 + (n_holds > HOLDS_SHOWN ? HOLDS_SHOWN : n_holds);
	int focus = FOCUS_ROWS;
	int urgent = (int)json_array_size(json_object_get(o->status, "urgent"));
	struct canvas body;

	if (o->status == NULL) {
		draw_waiting(v, c);
		return;
	}
	if (rows < 24)
		holds = holds > 3 ? 3 : holds;
	urgent = urgent > URGENT_SHOWN ? URGENT_SHOWN : urgent;
	/* The destinations come first where there is no room for all. */
	if (rows - top - urgent - 1 < TABLE_ROWS_MIN)
		top = 2;
	if (rows - top - urgent - 1 < TABLE_ROWS_MIN)
		urgent = urgent > 0;
	top += urgent;
	if (rows - top - 1 - holds - focus < TABLE_ROWS_MIN)
		focus = 0;
	if (rows - top - 1 - holds < TABLE_ROWS_MIN)
		holds = 0;
	draw_backlog(o, c);
	if (top - urgent > 2)
		draw_rates(o, c, 2, per_line);
	draw_urgent(o, c, top - urgent, urgent);
	(void)canvas_puts(c, top, 1, ROLE_TITLE,
			  json_array_size(attention(o)) > 0 ? STR("Needs attention")
							    : STR("Nothing needs attention"));
	body = canvas_sub(c, top + 1, 0, rows - top - 1 - holds - focus, cols);
	o->table.empty = "";
	table_draw(&o->table, &body);
	if (focus > 0)
		draw_focus(o, c, rows - holds - focus);
	if (holds > 0)
		draw_holds(o, c, rows - holds, holds);
}

/* --- acting --- */

static const json_t *cursor_row(const struct overview *o)
{
	return row_at(o, table_cursor(&o->table, &(struct row_id){ 0 }));
}

static void open_messages(struct overview *o, const char *view)
{
	const json_t *row = cursor_row(o);
	AUTO_BUF where = BUF_INIT(VIEW_ARG_MAX);

	if (row == NULL)
		return;
	filter_term(&where, "domain", js(row, "domain"));
	(void)shell_open(view_shell(o->view), view, buf_cstr(&where));
}

static unsigned overview_nav(struct view *v, enum nav nav)
{
	struct overview *o = view_state(v);
	unsigned result = table_nav(&o->table, nav);

	if ((result & WIDGET_ACTIVATED) != 0)
		open_messages(o, "messages");
	return result;
}

static unsigned overview_mouse(struct view *v, const struct event_mouse *m)
{
	struct overview *o = view_state(v);
	unsigned result = table_mouse(&o->table, m);

	if ((result & WIDGET_ACTIVATED) != 0)
		open_messages(o, "messages");
	return result;
}

static int64_t overview_selected(struct view *v)
{
	return cursor_row(view_state(v)) != NULL;
}

static void plan(struct overview *o, enum method_id method)
{
	const json_t *row = cursor_row(o);
	AUTO_BUF target = BUF_INIT(VIEW_ARG_MAX);

	filter_term(&target, "domain", js(row, "domain"));
	if (method == M_QUEUE_RELEASE && *js(row, "hold") != '\0')
		act_plan(app_of(o)->acts, method, json_pack("{s:s}", "hold", js(row, "hold")));
	else
		act_plan(app_of(o)->acts, method, json_pack("{s:s}", "target", buf_cstr(&target)));
}

static void describe(struct overview *o)
{
	const json_t *row = cursor_row(o);
	struct shell *s = view_shell(o->view);
	struct text *t = shell_page_body(s, shell_page(s, o->view, js(row, "domain")));

	if (t == NULL)
		return;
	t->wrap = true;
	cell_describe(t, "queue", row, shell_wall_ms(s), shell_ascii(s));
}

static void overview_action(struct view *v, enum action_id a)
{
	struct overview *o = view_state(v);
	const json_t *row = cursor_row(o);
	AUTO_BUF target = BUF_INIT(VIEW_ARG_MAX);

	if (a == A_REFRESH) {
		relay_refresh(app_of(o)->relay);
		return;
	}
	if (row == NULL || list_action(view_shell(v), &o->table, a) != LIST_NOT_MINE)
		return;
	filter_term(&target, "domain", js(row, "domain"));
	if (a == A_HOLD)
		plan(o, M_QUEUE_HOLD);
	else if (a == A_RELEASE)
		plan(o, M_QUEUE_RELEASE);
	else if (a == A_RETRY)
		plan(o, M_QUEUE_RETRY);
	else if (a == A_WHY)
		act_why(app_of(o)->acts, buf_cstr(&target));
	else if (a == A_TAIL)
		open_messages(o, "trace");
	else if (a == A_RELATED)
		open_messages(o, "causes");
	else if (a == A_DESCRIBE)
		describe(o);
}

static const enum action_id actions[] = {
	A_HOLD, A_RELEASE, A_RETRY, A_WHY, A_RELATED, A_TAIL, A_DESCRIBE, A_COPY, A_REFRESH, A_NONE,
};

const struct view_def view_overview = {
	.name = "overview",
	.title = "Overview",
	.help = "How much waits and since when, and the destinations that need attention first. "
		"Enter shows the messages of one.",
	.slot = 0,
	.size = sizeof(struct overview),
	.actions = actions,
	.open = overview_open,
	.close = overview_close,
	.draw = overview_draw,
	.nav = overview_nav,
	.action = overview_action,
	.mouse = overview_mouse,
	.selected = overview_selected,
	.changed = overview_changed,
};
