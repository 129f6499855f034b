/*
 * trace - what is spoken with next hops now, line by line: with a destination, or whatever the
 * filter says.
 *
 * While the cursor is on the last line the screen follows. As long as nothing is spoken it says so,
 * with what binds the mail instead, and with the key that tries it now.
 */
#include <bsd/string.h>
#include <stdio.h>
#include <string.h>

#include "base/fmt.h"
#include "base/mem.h"
#include "base/obj.h"
#include "filter/filter.h"
#include "loop/loop.h"
#include "model/lines.h"
#include "shell/list.h"
#include "shell/shell.h"
#include "view/act.h"
#include "view/app.h"
#include "view/cells.h"
#include "widget/prompt.h"

#define TRACE_MAGIC 0x54726163u
#define FOOT_ROWS 3
#define FOOT_FROM 14 /* rows of the body from which on there is a foot */
#define WHY_MS 5000  /* while nothing is spoken the reason is asked for so often */
#define WHY_MAX 600

struct trace {
	uint32_t magic;
	struct view *view;
	struct lines *lines;
	struct table table;
	char filter[VIEW_ARG_MAX];
	int64_t since_wall_ms;
	uint64_t shown; /* number of the newest line while frozen */
	bool follow;
	uint64_t call; /* why.get */
	char why[WHY_MAX];
	struct loop_timer *again;
};

enum { COL_CLOCK, COL_SESSION, COL_HOST, COL_MARK, COL_TEXT, COL_ID };
static const struct table_column columns[] = {
	[COL_CLOCK] = { .name = "at", .title = "at", .width = 12 },
	[COL_SESSION] = { .name = "session",
			  .title = "conn",
			  .width = 5,
			  .align = ALIGN_RIGHT,
			  .priority = 2 },
	[COL_HOST] = { .name = "host", .title = "host", .width = 24, .max = 34, .priority = 3 },
	[COL_MARK] = { .name = "by", .title = "", .width = 2 },
	[COL_TEXT] = { .name = "text", .title = "spoken", .width = 40, .max = 300 },
	[COL_ID] = { .name = "id", .title = "message", .width = 10, .priority = 4 },
};

static struct app *app_of(const struct trace *t)
{
	return view_app(t->view);
}

static const char *target_of(const struct trace *t)
{
	return t->filter[0] != '\0' ? t->filter : "all";
}

/* --- the table's source --- */

static int64_t source_count(void *src, bool *ret_exact)
{
	const struct trace *t = OBJ(trace, TRACE_MAGIC, src);
	int64_t at = lines_index_of(t->lines, t->shown);

	*ret_exact = true;
	return at + 1;
}

static enum row_state source_row(void *src, int64_t index)
{
	(void)src;
	(void)index;
	return ROW_READY;
}

static struct row_id source_id(void *src, int64_t index)
{
	const struct line *line = lines_get(OBJ(trace, TRACE_MAGIC, src)->lines, index);

	return (struct row_id){ line != NULL ? line->n : 0 };
}

static int64_t source_index_of(void *src, struct row_id id)
{
	return lines_index_of(OBJ(trace, TRACE_MAGIC, src)->lines, id.v);
}

static void source_want(void *src, int64_t first, int n)
{
	(void)src;
	(void)first;
	(void)n;
}

/* A refusal stands out from what else the host says. */
static enum role role_of(const struct line *line)
{
	char digit = line->text[0];

	switch (line->by) {
	case LINE_NOTE:
		return ROLE_DIM;
	case LINE_RELAY:
		return ROLE_TEXT;
	case LINE_HOST:
		break;
	}
	return digit == '4' ? ROLE_WARN : digit == '5' ? ROLE_BAD : ROLE_QUOTE;
}

static const char *mark_of(const struct line *line, bool ascii)
{
	switch (line->by) {
	case LINE_RELAY:
		return ascii ? "->" : "→";
	case LINE_HOST:
		return ascii ? "<-" : "←";
	case LINE_NOTE:
		break;
	}
	return "";
}

static void source_cell(void *src, int64_t index, int column, struct table_cell *out)
{
	const struct trace *t = OBJ(trace, TRACE_MAGIC, src);
	const struct line *line = lines_get(t->lines, index);

	if (line == NULL)
		return;
	out->role = role_of(line);
	if (column == COL_CLOCK) {
		out->text = str_of(line->clock);
	} else if (column == COL_SESSION) {
		if (line->session > 0) /* enough to tell those apart that are open now */
			(void)snprintf(out->scratch, sizeof(out->scratch), "%lld",
				       (long long)(line->session % 10000));
		out->text = str_of(out->scratch);
		out->role = ROLE_DIM;
	} else if (column == COL_HOST) {
		out->text = str_of(line->host);
	} else if (column == COL_MARK) {
		out->text = str_of(mark_of(line, shell_ascii(view_shell(t->view))));
	} else if (column == COL_TEXT) {
		out->text = str_of(line->text);
	} else if (column == COL_ID) {
		out->text = str_of(line->id);
		out->role = ROLE_DIM;
	}
}

static const struct row_source_ops source_ops = { .count = source_count,
						  .row = source_row,
						  .id = source_id,
						  .index_of = source_index_of,
						  .want = source_want,
						  .cell = source_cell };

/* --- why nothing is spoken --- */

static void on_why(void *arg, const json_t *result, const struct err *err)
{
	struct trace *t = OBJ(trace, TRACE_MAGIC, arg);

	t->call = 0;
	(void)strlcpy(t->why, result != NULL ? js(result, "text") : err->msg, sizeof(t->why));
	loop_timer_set(t->again, WHY_MS);
	shell_dirty(view_shell(t->view), SHELL_REPAINT);
}

static void ask_why(struct trace *t)
{
	rpc_cancel(app_of(t)->rpc, &t->call);
	t->call = rpc_call(app_of(t)->rpc, "why.get", json_pack("{s:s}", "target", target_of(t)),
			   on_why, t);
}

static void on_again(void *arg)
{
	struct trace *t = OBJ(trace, TRACE_MAGIC, arg);

	if (lines_count(t->lines) > 0)
		return;
	if (shell_frozen(view_shell(t->view)))
		loop_timer_set(t->again, WHY_MS);
	else
		ask_why(t);
}

/* --- life --- */

static void on_lines(void *arg)
{
	struct trace *t = OBJ(trace, TRACE_MAGIC, arg);

	shell_dirty(view_shell(t->view), SHELL_RECALC | SHELL_REPAINT);
}

static bool on_held(void *arg)
{
	return shell_frozen(view_shell(OBJ(trace, TRACE_MAGIC, arg)->view));
}

static void trace_changed(struct view *v)
{
	struct trace *t = view_state(v);
	const struct line *last;

	lines_resume(t->lines);
	last = lines_get(t->lines, lines_count(t->lines) - 1);
	t->shown = last != NULL ? last->n : 0;
	if (t->follow)
		(void)table_nav(&t->table, NAV_LAST);
}

static void restart(struct trace *t)
{
	static const struct lines_ops ops = { .changed = on_lines, .held = on_held };

	lines_free(&t->lines);
	t->lines = lines_new(app_of(t)->rpc, t->filter, &ops, t);
	t->since_wall_ms = shell_wall_ms(view_shell(t->view));
	t->shown = 0;
	t->follow = true;
	t->why[0] = '\0';
	table_reset(&t->table);
	ask_why(t);
	shell_dirty(view_shell(t->view), SHELL_RECALC | SHELL_REPAINT);
}

static int trace_open(struct view *v, const char *arg, struct err *err)
{
	struct trace *t = view_state(v);

	(void)err;
	t->magic = TRACE_MAGIC;
	t->view = v;
	(void)strlcpy(t->filter, arg, sizeof(t->filter));
	t->again = loop_timer_new(app_of(t)->loop, "view.trace", on_again, t);
	table_init(&t->table, (struct row_source){ &source_ops, t }, columns,
		   (int)ARRAY_LEN(columns));
	t->table.focused = true;
	t->table.empty = "";
	restart(t);
	return 0;
}

static void trace_close(struct view *v)
{
	struct trace *t = view_state(v);

	if (t->magic == 0)
		return;
	rpc_cancel(app_of(t)->rpc, &t->call);
	lines_free(&t->lines);
	loop_timer_free(&t->again);
	table_done(&t->table);
	t->magic = 0;
}

/* What nobody sees is not sent. */
static void trace_shown(struct view *v, bool shown)
{
	struct trace *t = view_state(v);

	lines_pause(t->lines, !shown);
	if (shown) {
		on_again(t);
		return;
	}
	rpc_cancel(app_of(t)->rpc, &t->call); /* whose answer would set the timer again */
	loop_timer_cancel(t->again);
}

/* --- drawing --- */

static void draw_nothing(const struct trace *t, const struct canvas *c)
{
	AUTO_BUF line = BUF_INIT(VIEW_ARG_MAX + 200);
	char age[FMT_SHORT_LEN];
	int row = 1;

	fmt_age((shell_wall_ms(view_shell(t->view)) - t->since_wall_ms) / 1000, age);
	if (t->filter[0] != '\0')
		(void)buf_printf(&line, "Nothing is spoken with %s. ", t->filter);
	else
		(void)buf_puts(&line, "Nothing is spoken with any next hop. ");
	(void)buf_printf(&line, "Listening for %s.", age);
	row += canvas_wrap(c, row, 1, 2, ROLE_STRONG, buf_str(&line)) + 1;
	row += canvas_wrap(c, row, 1, 5, t->why[0] != '\0' ? ROLE_TEXT : ROLE_PENDING,
			   t->why[0] != '\0' ? str_of(t->why)
					     : STR("asking what the mail waits for")) +
	       1;
	(void)canvas_wrap(c, row, 1, 3, ROLE_DIM,
			  STR("R tries now what waits for it, and what is said then stands here. r "
			      "shows what happened before; what was said then, x on a message."));
}

static void draw_foot(const struct trace *t, const struct canvas *c, int top)
{
	const struct line *line =
		lines_get(t->lines, table_cursor(&t->table, &(struct row_id){ 0 }));
	AUTO_BUF where = BUF_INIT(1024);

	if (line == NULL)
		return;
	if (line->host[0] != '\0' || line->hop[0] != '\0')
		(void)buf_printf(&where, "%s%s%s%s", line->host[0] != '\0' ? line->host : line->hop,
				 line->ip[0] != '\0' ? " [" : "", line->ip,
				 line->ip[0] != '\0' ? "]" : "");
	if (line->id[0] != '\0')
		(void)buf_printf(&where, ", message %s", line->id);
	canvas_hline(c, top, 0, canvas_cols(c), ROLE_BORDER);
	(void)canvas_puts(c, top + 1, 1, ROLE_STRONG, buf_str(&where));
	(void)canvas_wrap(c, top + 2, 1, FOOT_ROWS, role_of(line), str_of(line->text));
}

static void trace_draw(struct view *v, const struct canvas *c)
{
	struct trace *t = view_state(v);
	int foot = canvas_rows(c) >= FOOT_FROM ? FOOT_ROWS + 2 : 0;
	struct canvas body = canvas_sub(c, 0, 0, canvas_rows(c) - foot, canvas_cols(c));
	bool exact;

	if (source_count(t, &exact) == 0) {
		draw_nothing(t, c);
		return;
	}
	table_draw(&t->table, &body);
	if (foot > 0)
		draw_foot(t, c, canvas_rows(c) - foot);
}

static void trace_subtitle(struct view *v, struct buf *out)
{
	const struct trace *t = view_state(v);

	(void)buf_printf(out, "%s  %s", t->filter[0] != '\0' ? t->filter : "all next hops",
			 t->follow ? "listening" : "stopped: G follows");
}

/* --- moving and acting --- */

static const struct line *cursor_line(const struct trace *t)
{
	return lines_get(t->lines, table_cursor(&t->table, &(struct row_id){ 0 }));
}

static void after_move(struct trace *t, unsigned result)
{
	const struct line *line = cursor_line(t);
	bool exact;

	if ((result & (WIDGET_USED | WIDGET_MOVED)) != 0)
		t->follow = table_cursor(&t->table, &(struct row_id){ 0 }) ==
			    source_count(t, &exact) - 1;
	if ((result & WIDGET_ACTIVATED) != 0 && line != NULL && line->id[0] != '\0')
		(void)shell_open(view_shell(t->view), "message", line->id);
}

static unsigned trace_nav(struct view *v, enum nav nav)
{
	struct trace *t = view_state(v);
	unsigned result = table_nav(&t->table, nav);

	after_move(t, result);
	return result;
}

static unsigned trace_mouse(struct view *v, const struct event_mouse *m)
{
	struct trace *t = view_state(v);
	unsigned result = table_mouse(&t->table, m);

	after_move(t, result);
	return result;
}

/* What is listened to can be tried and asked about, also when nothing was said. */
static int64_t trace_selected(struct view *v)
{
	(void)v;
	return 1;
}

static const char *trace_refuse(struct view *v, enum action_id a)
{
	bool of_line = a == A_COPY || a == A_DESCRIBE;

	return of_line && cursor_line(view_state(v)) == NULL ? "nothing was said yet" : NULL;
}

static int on_filter(void *arg, struct str line, struct err *err)
{
	struct trace *t = OBJ(trace, TRACE_MAGIC, arg);
	int rc = app_take_filter(app_of(t), FILTER_MAIL, line, t->filter, sizeof(t->filter), err);

	if (rc >= 0)
		restart(t);
	return rc;
}

static void ask_filter(struct trace *t)
{
	(void)shell_prompt(view_shell(t->view),
			   &(struct shell_prompt){ .owner = t->view,
						   .label = "listen to",
						   .hint = "domain:example.org provider:google.com",
						   .initial = t->filter,
						   .eager = true,
						   .history = app_of(t)->filters,
						   .complete = filter_prompt_complete,
						   .enter = on_filter,
						   .arg = t });
}

static void describe(struct trace *t)
{
	static const char *const by[] = {
		[LINE_RELAY] = "this relay", [LINE_HOST] = "the host", [LINE_NOTE] = "a note"
	};
	const struct line *line = cursor_line(t);
	struct shell *s = view_shell(t->view);
	struct text *body =
		line != NULL ? shell_page_body(s, shell_page(s, t->view, "A line")) : NULL;
	const struct {
		const char *label;
		const char *value;
	} fields[] = { { "at", line != NULL ? line->clock : "" },
		       { "by", line != NULL ? by[line->by] : "" },
		       { "host", line != NULL ? line->host : "" },
		       { "address", line != NULL ? line->ip : "" },
		       { "next hop", line != NULL ? line->hop : "" },
		       { "message", line != NULL ? line->id : "" } };

	if (body == NULL)
		return;
	body->wrap = true;
	text_add(body, role_of(line), str_of(line->text));
	text_add(body, ROLE_TEXT, STR(""));
	for (size_t i = 0; i < ARRAY_LEN(fields); i++)
		if (fields[i].value[0] != '\0')
			text_add_field(body, 12, fields[i].label, ROLE_TEXT,
				       str_of(fields[i].value));
}

static void trace_action(struct view *v, enum action_id a)
{
	struct trace *t = view_state(v);
	struct shell *s = view_shell(v);

	if (list_action(s, &t->table, a) != LIST_NOT_MINE)
		return;
	if (a == A_RETRY) {
		act_plan(app_of(t)->acts, M_QUEUE_RETRY,
			 json_pack("{s:s}", "target", target_of(t)));
	} else if (a == A_WHY) {
		act_why(app_of(t)->acts, target_of(t));
	} else if (a == A_FILTER) {
		ask_filter(t);
	} else if (a == A_CLEAR) {
		t->filter[0] = '\0';
		restart(t);
	} else if (a == A_REFRESH) {
		restart(t);
	} else if (a == A_RELATED) {
		(void)shell_open(s, "events", t->filter);
	} else if (a == A_DESCRIBE) {
		describe(t);
	} else if (a == A_TAIL) {
		(void)table_nav(&t->table, NAV_LAST);
		t->follow = true;
	}
}

static const enum action_id actions[] = {
	A_RETRY, A_WHY,	     A_FILTER, A_CLEAR,	  A_TAIL, A_RELATED,
	A_WIDE,	 A_DESCRIBE, A_COPY,   A_REFRESH, A_NONE,
};

const struct view_def view_trace = {
	.name = "trace",
	.title = "Trace",
	.help = "What is spoken with next hops now, without passwords and contents. Moving up "
		"stops "
		"following, G follows again; p freezes the screen; r shows the events.",
	.slot = -1,
	.size = sizeof(struct trace),
	.actions = actions,
	.open = trace_open,
	.close = trace_close,
	.draw = trace_draw,
	.nav = trace_nav,
	.action = trace_action,
	.mouse = trace_mouse,
	.selected = trace_selected,
	.refuse = trace_refuse,
	.changed = trace_changed,
	.shown = trace_shown,
	.subtitle = trace_subtitle,
};
