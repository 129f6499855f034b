/*
 * listing - the table asks for rows by index, the rows model knows them by key; marks are kept with
 * their keys, because a marked row may have left the window when the action comes.
 */
#include "view/listing.h"

#include <bsd/string.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/obj.h"
#include "filter/filter.h"
#include "loop/loop.h"
#include "shell/list.h"
#include "shell/shell.h"
#include "view/act.h"
#include "view/cells.h"
#include "view/save.h"

#define FOOT_ROWS 2
#define LISTING_MAGIC 0x4c697374u

struct app *listing_app(const struct listing *l)
{
	return view_app(l->view);
}

static struct shell *shell_of(const struct listing *l)
{
	return view_shell(l->view);
}

/* --- the table's source --- */

static int64_t source_count(void *src, bool *ret_exact)
{
	struct listing *l = OBJ(listing, LISTING_MAGIC, src);

	return rows_count(l->rows, ret_exact);
}

static enum row_state source_row(void *src, int64_t index)
{
	struct listing *l = OBJ(listing, LISTING_MAGIC, src);

	return rows_get(l->rows, index) != NULL ? ROW_READY : ROW_LOADING;
}

static struct row_id source_id(void *src, int64_t index)
{
	struct listing *l = OBJ(listing, LISTING_MAGIC, src);

	return (struct row_id){ rows_id(l->rows, index) };
}

static int64_t source_index_of(void *src, struct row_id id)
{
	struct listing *l = OBJ(listing, LISTING_MAGIC, src);

	return rows_index_of(l->rows, id.v);
}

static void source_want(void *src, int64_t first, int n)
{
	struct listing *l = OBJ(listing, LISTING_MAGIC, src);

	rows_want(l->rows, first, n);
}

static void source_cell(void *src, int64_t index, int column, struct table_cell *out)
{
	struct listing *l = OBJ(listing, LISTING_MAGIC, src);
	const json_t *row = rows_get(l->rows, index);

	if (row != NULL)
		cell_fill(l->fields[column], l->columns[column].name, row,
			  shell_wall_ms(shell_of(l)), shell_ascii(shell_of(l)), out);
}

static const struct row_source_ops source_ops = { .count = source_count,
						  .row = source_row,
						  .id = source_id,
						  .index_of = source_index_of,
						  .want = source_want,
						  .cell = source_cell };

/* --- the query --- */

/* How the relay's `sort` names a field. */
static void sort_name(const char *field, char *ret, size_t size)
{
	static const char *const tails[] = { "_age_s", "_attempt_s", "_s" };

	(void)strlcpy(ret, strcmp(field, "domain") == 0 ? "name" : field, size);
	for (size_t i = 0; i < ARRAY_LEN(tails); i++) {
		size_t n = strlen(ret), tail = strlen(tails[i]);

		if (n > tail && strcmp(ret + n - tail, tails[i]) == 0) {
			ret[n - tail] = '\0';
			return;
		}
	}
}

static void whole_filter(const struct listing *l, struct buf *out)
{
	filter_and(out, l->filter, l->problems ? l->def->problems : "");
}

static json_t *query(const struct listing *l)
{
	json_t *params = json_object();
	AUTO_BUF where = BUF_INIT(2 * LISTING_FILTER_MAX);
	char sort[32];

	whole_filter(l, &where);
	if (l->def->filter && where.n > 0)
		(void)json_object_set_new(params, "where", json_stringn(where.p, where.n));
	if (l->def->sort && l->table.sort_column >= 0) {
		const struct table_column *column = &l->columns[l->table.sort_column];

		if (l->table.sort_column == 0 && strcmp(l->def->entity, "queue") == 0)
			(void)strlcpy(sort, "name", sizeof(sort));
		else
			sort_name(column->name, sort, sizeof(sort));
		(void)json_object_set_new(params, "sort", json_string(sort));
		if (l->def->descending && l->table.sort == SORT_DOWN)
			(void)json_object_set_new(params, "descending", json_true());
	}
	if (l->def->params != NULL)
		l->def->params(l, params);
	return params;
}

static void requery(struct listing *l)
{
	l->fetched_ms = shell_now_ms(shell_of(l));
	rows_query(l->rows, query(l));
	table_reset(&l->table);
	json_object_clear(l->kept);
	shell_dirty(shell_of(l), SHELL_RECALC | SHELL_REPAINT);
}

static void on_rows(void *arg)
{
	struct listing *l = OBJ(listing, LISTING_MAGIC, arg);

	shell_dirty(shell_of(l), SHELL_REPAINT);
}

static void refresh_if_due(struct listing *l)
{
	int64_t wait = l->fetched_ms + LISTING_REFRESH_MS - shell_now_ms(shell_of(l));

	if (!l->stale || !l->shown || shell_frozen(shell_of(l)))
		return;
	if (wait > 0) {
		if (!loop_timer_pending(l->refresh))
			loop_timer_set(l->refresh, wait);
		return;
	}
	l->stale = false;
	l->fetched_ms = shell_now_ms(shell_of(l));
	rows_refresh(l->rows);
}

static void on_refresh(void *arg)
{
	refresh_if_due(OBJ(listing, LISTING_MAGIC, arg));
}

/* Rows that are on the screen follow what moves; others stay as they were left. */
static bool is_current(const struct listing *l)
{
	return !l->stale && rows_current(l->rows);
}

static void on_moved(void *arg, unsigned moved)
{
	struct listing *l = OBJ(listing, LISTING_MAGIC, arg);

	if ((moved & l->def->moved) == 0)
		return;
	if (is_current(l))
		l->current_wall_ms = shell_wall_ms(shell_of(l));
	l->stale = true;
	refresh_if_due(l);
}

void listing_changed(struct view *v)
{
	refresh_if_due(view_state(v));
}

int64_t listing_known_wall_ms(struct view *v)
{
	const struct listing *l = view_state(v);

	return is_current(l) ? 0 : l->current_wall_ms;
}

void listing_shown(struct view *v, bool shown)
{
	struct listing *l = view_state(v);

	if (l->shown && is_current(l))
		l->current_wall_ms = shell_wall_ms(shell_of(l));
	l->shown = shown;
	refresh_if_due(l);
}

/* --- opening and closing --- */

void listing_open(struct listing *l, struct view *v, const struct listing_def *def,
		  const char *filter)
{
	struct app *app = view_app(v);

	l->magic = LISTING_MAGIC;
	l->def = def;
	l->view = v;
	l->kept = json_object();
	(void)strlcpy(l->filter, filter, sizeof(l->filter));
	if (l->key[0] == '\0')
		(void)strlcpy(l->key, def->key, sizeof(l->key));
	table_init(&l->table, (struct row_source){ &source_ops, l }, l->columns, 0);
	l->table.n_columns = cell_columns(def->entity, def->measures, l->columns, l->fields);
	for (int i = 0; i < l->table.n_columns; i++)
		l->columns[i].sortable = l->columns[i].sortable && def->sort;
	l->table.empty = def->empty;
	l->table.focused = true;
	l->refresh = loop_timer_new(app->loop, "listing.refresh", on_refresh, l);
	listing_again(l);
	relay_listen(app->relay, on_moved, l);
	l->shown = true;
}

void listing_again(struct listing *l)
{
	rows_free(&l->rows);
	l->rows = rows_new(&(struct rows_options){ .rpc = listing_app(l)->rpc,
						   .method = l->def->method,
						   .key = l->key,
						   .from_end = l->def->from_end,
						   .whole = l->def->whole,
						   .changed = on_rows,
						   .arg = l });
	requery(l);
}

void listing_close(struct view *v)
{
	struct listing *l = view_state(v);

	if (l->magic == 0)
		return;
	relay_unlisten(listing_app(l)->relay, l);
	rpc_cancel(listing_app(l)->rpc, &l->call);
	save_free(&l->save);
	rows_free(&l->rows);
	loop_timer_free(&l->refresh);
	table_done(&l->table);
	json_decref(l->kept);
	l->magic = 0;
}

/* --- a page about a row --- */

struct text *listing_page(struct listing *l, const char *title)
{
	rpc_cancel(listing_app(l)->rpc, &l->call);
	l->page = shell_page(shell_of(l), l->view, title);
	return shell_page_body(shell_of(l), l->page);
}

static void on_asked(void *arg, const json_t *answer, const struct err *err)
{
	struct listing *l = OBJ(listing, LISTING_MAGIC, arg);
	struct text *t = shell_page_body(shell_of(l), l->page);

	l->call = 0;
	if (t == NULL)
		return;
	if (l->page_waits)
		text_clear(t);
	if (answer == NULL)
		text_add(t, ROLE_BAD, str_of(err->msg));
	else
		l->put(l, answer, t);
	shell_dirty(shell_of(l), SHELL_RELAYOUT | SHELL_REPAINT);
}

void listing_ask(struct listing *l, enum method_id method, json_t *params, listing_put_fn *put)
{
	struct text *t = shell_page_body(shell_of(l), l->page);

	if (t == NULL) {
		json_decref(params);
		return;
	}
	l->page_waits = t->n_lines == 0;
	if (l->page_waits)
		text_add(t, ROLE_PENDING, STR("asking"));
	l->put = put;
	l->call = rpc_call(listing_app(l)->rpc, method_defs[method].name, params, on_asked, l);
}

/* --- drawing --- */

void listing_cut(const struct listing *l, struct buf *out)
{
	bool first = true;

	for (int i = 0; i < l->table.n_columns; i++) {
		struct table_cell cell;

		if (!table_cut(&l->table, i, &cell) || str_eq(cell.text, STR("-")) ||
		    l->table.columns[i].kind == COLUMN_BAR)
			continue;
		(void)buf_printf(out, "%s%s ", first ? "" : "; ", l->table.columns[i].title);
		(void)buf_put_str(out, cell.text);
		first = false;
	}
}

static void draw_foot(const struct listing *l, const struct canvas *c, int top)
{
	const json_t *row = listing_row(l);
	AUTO_BUF text = BUF_INIT(4096);

	canvas_hline(c, top, 0, canvas_cols(c), ROLE_BORDER);
	if (row != NULL && l->def->foot != NULL)
		l->def->foot(l, row, &text);
	if (text.n == 0)
		listing_cut(l, &text);
	(void)canvas_wrap(c, top + 1, 1, FOOT_ROWS, ROLE_QUOTE, buf_str(&text));
}

void listing_draw(struct view *v, const struct canvas *c)
{
	struct listing *l = view_state(v);
	const struct err *err = rows_error(l->rows);
	int foot = canvas_rows(c) >= 12 ? 1 + FOOT_ROWS : 0;
	struct canvas body =
		canvas_sub(c, 0, 0, canvas_rows(c) - foot - (err != NULL), canvas_cols(c));

	if (rows_loading(l->rows))
		l->table.empty = "asking the relay";
	else if (l->filter[0] != '\0' || l->problems)
		l->table.empty = "nothing matches the filter; \\ drops it";
	else
		l->table.empty = l->def->empty;
	table_draw(&l->table, &body);
	if (err != NULL)
		(void)canvas_printf(c, canvas_rows(c) - 1, 1, ROLE_BAD, "%s", err->msg);
	if (foot > 0)
		draw_foot(l, c, canvas_rows(c) - foot - (err != NULL));
}

void listing_subtitle(struct view *v, struct buf *out)
{
	struct listing *l = view_state(v);
	AUTO_BUF where = BUF_INIT(2 * LISTING_FILTER_MAX);
	char position[TABLE_POSITION_LEN];

	whole_filter(l, &where);
	table_position(&l->table, position);
	if (strcmp(l->key, l->def->key) != 0 || strcmp(l->def->entity, "queue") == 0)
		(void)buf_printf(out, "by %s  ", l->key);
	if (where.n > 0)
		(void)buf_printf(out, "%s  ", buf_cstr(&where));
	(void)buf_puts(out, position);
}

/* --- the selection --- */

const json_t *listing_row(const struct listing *l)
{
	struct row_id id;
	int64_t index = table_cursor(&l->table, &id);

	return index >= 0 ? rows_get(l->rows, index) : NULL;
}

int64_t listing_version(const struct listing *l)
{
	struct row_id id;
	int64_t index = table_cursor(&l->table, &id);

	return index >= 0 ? rows_version(l->rows, index) : 0;
}

int64_t listing_selected(struct view *v)
{
	struct listing *l = view_state(v);
	bool exact;
	int64_t marked = table_marked(&l->table, &exact);

	return marked > 0 ? marked : listing_row(l) != NULL;
}

static void id_text(uint64_t id, char ret[static 24])
{
	(void)snprintf(ret, 24, "%llx", (unsigned long long)id);
}

static void keep_key(void *arg, uint64_t id, const char *key, const json_t *row)
{
	struct listing *l = arg;
	char text[24];

	(void)row;
	if (table_is_marked(&l->table, (struct row_id){ id }) == l->table.all_marked)
		return; /* marks, or the exceptions when all are marked */
	id_text(id, text);
	if (json_object_get(l->kept, text) == NULL)
		(void)json_object_set_new(l->kept, text, json_string(key));
}

struct joined {
	struct listing *l;
	struct buf *out;
	int n;
	bool lost;
};

static void join_key(struct row_id id, void *arg)
{
	struct joined *j = arg;
	char text[24];
	const char *key;
	AUTO_BUF term = BUF_INIT(1024);

	id_text(id.v, text);
	key = json_string_value(json_object_get(j->l->kept, text));
	if (key == NULL) {
		j->lost = true;
		return;
	}
	filter_term(&term, "", key);
	if (j->n++ > 0)
		(void)buf_putc(j->out, ',');
	(void)buf_puts(j->out, buf_cstr(&term) + 1); /* without the ':' */
}

/* "id:a,b,c" of the marks; with all marked the filter without its exceptions. */
static bool target_of_marks(struct listing *l, struct buf *out)
{
	struct joined j = { .l = l, .out = out };
	const char *field = l->def->field != NULL ? l->def->field(l) : NULL;
	AUTO_BUF keys = BUF_INIT(64 * 1024);

	if (field == NULL) {
		shell_notice(shell_of(l), NOTICE_WARN, "rows of this list are acted on one by one");
		return false;
	}
	j.out = &keys;
	table_marks_each(&l->table, join_key, &j);
	if (j.n > LISTING_TARGETS || j.lost || keys.full || keys.n > FILTER_TEXT_MAX - 100) {
		shell_notice(shell_of(l), NOTICE_WARN,
			     "%d single rows are too many for one action: narrow the filter and "
			     "mark all with *",
			     j.n);
		return false;
	}
	if (l->table.all_marked)
		whole_filter(l, out);
	if (j.n > 0)
		(void)buf_printf(out, "%s%s%s:%s", out->n > 0 ? " " : "",
				 l->table.all_marked ? "-" : "", field, buf_cstr(&keys));
	if (out->n == 0)
		(void)buf_puts(out, "all");
	return !out->full;
}

bool listing_target(struct listing *l, struct buf *out)
{
	const json_t *row = listing_row(l);
	bool exact;

	if (table_marked(&l->table, &exact) > 0 || l->table.all_marked)
		return target_of_marks(l, out);
	return row != NULL && l->def->where != NULL && l->def->where(l, row, out) && !out->full;
}

/* --- actions --- */

static void filter_set(struct listing *l, struct str line)
{
	if (str_eq(line, str_of(l->filter)) || line.n >= sizeof(l->filter))
		return;
	(void)snprintf(l->filter, sizeof(l->filter), "%.*s", STR_ARG(line));
	requery(l);
}

static void on_filter_changed(void *arg, struct str line)
{
	struct listing *l = OBJ(listing, LISTING_MAGIC, arg);
	struct filter *f = filter_parse_about(l->def->about, line, NULL);

	if (f == NULL)
		return; /* half-written */
	filter_free(&f);
	filter_set(l, line);
}

static int on_filter(void *arg, struct str line, struct err *err)
{
	struct listing *l = OBJ(listing, LISTING_MAGIC, arg);
	char taken[LISTING_FILTER_MAX];
	int rc = app_take_filter(listing_app(l), l->def->about, line, taken, sizeof(taken), err);

	if (rc >= 0)
		filter_set(l, str_of(taken));
	return rc;
}

static void on_filter_left(void *arg)
{
	struct listing *l = OBJ(listing, LISTING_MAGIC, arg);

	filter_set(l, str_of(l->before));
}

static void ask_filter(struct listing *l)
{
	(void)strlcpy(l->before, l->filter, sizeof(l->before));
	(void)shell_prompt(
		shell_of(l),
		&(struct shell_prompt){ .owner = l->view,
					.label = "filter",
					.hint = l->def->about == FILTER_AUDIT
							? "who:eva age<2d method:queue.*"
							: "domain:example.org age>2h -state:held",
					.initial = l->filter,
					.eager = true,
					.history = listing_app(l)->filters,
					.complete = l->def->about == FILTER_AUDIT
							    ? filter_prompt_complete_audit
							    : filter_prompt_complete,
					.enter = on_filter,
					.changed = on_filter_changed,
					.cancel = on_filter_left,
					.arg = l });
}

static int on_save(void *arg, struct str line, struct err *err)
{
	struct listing *l = OBJ(listing, LISTING_MAGIC, arg);
	struct save *save = NULL;
	int result;

	if (line.n == 0)
		return err_set(err, ERR_INVALID, "a file needs a name");
	result = save_new(&(struct save_options){ .app = listing_app(l),
						  .method = l->def->method,
						  .entity = l->def->entity,
						  .key = l->key,
						  .whole = l->def->whole,
						  .params = query(l) },
			  line, &save, err);
	if (result < 0)
		return result;
	save_free(&l->save);
	l->save = save;
	return 0;
}

static void ask_save(struct listing *l)
{
	AUTO_FREE char *name = xasprintf("weir-%s.tsv", view_def_of(l->view)->name);

	(void)shell_prompt(shell_of(l), &(struct shell_prompt){ .owner = l->view,
								.label = "save all rows to",
								.initial = name,
								.enter = on_save,
								.arg = l });
}

static void describe(struct listing *l)
{
	const json_t *row = listing_row(l);
	struct text *t;

	if (row == NULL)
		return;
	t = shell_page_body(
		shell_of(l),
		shell_page(shell_of(l), l->view,
			   rows_key(l->rows, table_cursor(&l->table, &(struct row_id){ 0 }))));
	if (t == NULL)
		return;
	t->wrap = true;
	if (strcmp(l->key, l->def->key) != 0)
		text_add_field(t, 14, l->key, ROLE_STRONG, str_of(js(row, l->key)));
	cell_describe(t, l->def->entity, row, shell_wall_ms(shell_of(l)), shell_ascii(shell_of(l)));
	if (l->def->describe != NULL)
		l->def->describe(row, t);
}

static void open_filtered(struct listing *l, const char *view)
{
	AUTO_BUF where = BUF_INIT(VIEW_ARG_MAX);
	AUTO_BUF filter = BUF_INIT(VIEW_ARG_MAX);

	if (listing_row(l) == NULL || !listing_target(l, &where))
		(void)buf_puts((buf_reset(&where), &where), l->filter);
	if (where.n > 0 && !filter_of_target(buf_cstr(&where), &filter))
		(void)buf_puts((buf_reset(&filter), &filter), buf_cstr(&where));
	(void)shell_open(shell_of(l), view, buf_cstr(&filter));
}

static void open_live(struct listing *l)
{
	const json_t *row = listing_row(l);
	AUTO_BUF where = BUF_INIT(VIEW_ARG_MAX);

	if (l->def->live == NULL)
		open_filtered(l, "events");
	else if (row == NULL || l->def->live(l, row, &where))
		(void)shell_open(shell_of(l), "trace", row != NULL ? buf_cstr(&where) : "");
}

static enum method_id method_of(enum action_id a)
{
	return a == A_HOLD	? M_QUEUE_HOLD
	       : a == A_RELEASE ? M_QUEUE_RELEASE
	       : a == A_RETRY	? M_QUEUE_RETRY
	       : a == A_BOUNCE	? M_QUEUE_BOUNCE
	       : a == A_DELETE	? M_QUEUE_DELETE
				: M__COUNT;
}

/* A release of one row that names its hold ends that hold. */
static void plan(struct listing *l, enum method_id method)
{
	const json_t *row = listing_row(l);
	bool exact;
	AUTO_BUF target = BUF_INIT(FILTER_TEXT_MAX);
	bool one = table_marked(&l->table, &exact) == 0 && !l->table.all_marked;

	if (method == M_QUEUE_RELEASE && one && row != NULL && *js(row, "hold") != '\0')
		act_plan(listing_app(l)->acts, method, json_pack("{s:s}", "hold", js(row, "hold")));
	else if (listing_target(l, &target))
		act_plan(listing_app(l)->acts, method,
			 json_pack("{s:s}", "target", buf_cstr(&target)));
}

bool listing_action(struct listing *l, enum action_id a)
{
	AUTO_BUF target = BUF_INIT(FILTER_TEXT_MAX);

	switch (list_action(shell_of(l), &l->table, a)) {
	case LIST_SORTED:
		requery(l);
		return true;
	case LIST_DONE:
		rows_each(l->rows, keep_key, l);
		return true;
	case LIST_NOT_MINE:
		break;
	}
	if (method_of(a) != M__COUNT) {
		plan(l, method_of(a));
	} else if (a == A_FILTER) {
		ask_filter(l);
	} else if (a == A_CLEAR) {
		l->problems = false;
		l->filter[0] = '\0';
		requery(l);
	} else if (a == A_PROBLEMS && l->def->problems != NULL) {
		l->problems = !l->problems;
		requery(l);
	} else if (a == A_REFRESH) {
		rows_refresh(l->rows);
	} else if (a == A_SAVE) {
		ask_save(l);
	} else if (a == A_DESCRIBE) {
		describe(l);
	} else if (a == A_WHY) {
		if (listing_target(l, &target))
			act_why(listing_app(l)->acts, buf_cstr(&target));
	} else if (a == A_TAIL) {
		open_live(l);
	} else if (a == A_RELATED) {
		open_filtered(l, "messages");
	} else {
		return false;
	}
	return true;
}

void listing_on_action(struct view *v, enum action_id a)
{
	(void)listing_action(view_state(v), a);
}

/* Rows that lead nowhere are described. */
static void enter(struct listing *l)
{
	const json_t *row = listing_row(l);

	if (row != NULL && l->def->enter != NULL)
		l->def->enter(l, row);
	else
		describe(l);
}

unsigned listing_nav(struct view *v, enum nav nav)
{
	struct listing *l = view_state(v);
	unsigned result;

	if (nav == NAV_BACK &&
	    (table_marked(&l->table, &(bool){ false }) > 0 || l->table.all_marked)) {
		table_unmark_all(&l->table);
		return WIDGET_CHANGED | WIDGET_USED;
	}
	result = table_nav(&l->table, nav);
	if ((result & WIDGET_ACTIVATED) != 0)
		enter(l);
	return result;
}

unsigned listing_mouse(struct view *v, const struct event_mouse *m)
{
	struct listing *l = view_state(v);
	unsigned result = table_mouse(&l->table, m);

	if ((result & WIDGET_SORT) != 0)
		requery(l);
	if ((result & WIDGET_ACTIVATED) != 0)
		enter(l);
	return result;
}

void listing_save(struct view *v, struct buf *out)
{
	struct listing *l = view_state(v);

	(void)buf_puts(out, l->filter);
}

void listing_restore(struct view *v, struct str saved)
{
	filter_set(view_state(v), saved);
}
