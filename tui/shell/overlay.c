/*
 * Windows on top of the view: the stack, and the six kinds there are. Each kind is a struct with
 * its widget and the caller's callback, and an overlay_ops. A callback may open or close anything:
 * overlay_close() only takes the window off the stack, its memory goes after the event.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/obj.h"
#include "shell/shell_int.h"

#define FRAME_ROWS 2  /* a line above and one below */
#define FRAME_COLS 4  /* a line and a blank on each side */
#define WIDE_COLS 100 /* texts are not made wider than this */
#define FORM_COLS 76

/* --- the stack --- */

struct overlay *overlay_push(struct shell *s, const struct overlay_ops *ops, struct view *owner,
			     const char *title, void *state)
{
	struct overlay *o = xcalloc(1, sizeof(*o));

	if (s->n_overlays == SHELL_MAX_OVERLAYS) {
		shell_notice(s, NOTICE_WARN, "too many windows are open");
		overlay_close(s->overlay[0]);
	}
	o->ops = ops;
	o->shell = s;
	o->owner = owner;
	o->id = ++s->next_id;
	o->open = true;
	o->state = state;
	snprintf(o->title, sizeof(o->title), "%s", title != NULL ? title : "");
	s->overlay[s->n_overlays++] = o;
	shell_dirty(s, SHELL_REPAINT);
	return o;
}

void overlay_close(struct overlay *o)
{
	struct shell *s = o->shell;
	int kept = 0;

	if (!o->open)
		return;
	o->open = false;
	for (int i = 0; i < s->n_overlays; i++)
		if (s->overlay[i] != o)
			s->overlay[kept++] = s->overlay[i];
	s->n_overlays = kept;
	o->next_dead = s->dead_overlays;
	s->dead_overlays = o;
	shell_dirty(s, SHELL_REPAINT);
}

struct overlay *overlay_top(const struct shell *s)
{
	return s->n_overlays > 0 ? s->overlay[s->n_overlays - 1] : NULL;
}

void overlays_close_of(struct shell *s, const struct view *owner)
{
	for (int i = s->n_overlays - 1; i >= 0; i--)
		if (s->overlay[i]->owner == owner)
			overlay_close(s->overlay[i]);
}

static struct overlay *find(const struct shell *s, struct overlay_id id,
			    const struct overlay_ops *ops)
{
	for (int i = 0; i < s->n_overlays; i++)
		if (s->overlay[i]->id == id.v && (ops == NULL || s->overlay[i]->ops == ops))
			return s->overlay[i];
	return NULL;
}

bool shell_overlay_open(const struct shell *s, struct overlay_id id)
{
	return find(s, id, NULL) != NULL;
}

void shell_overlay_done(struct shell *s, struct overlay_id id)
{
	struct overlay *o = find(s, id, NULL);

	if (o != NULL)
		overlay_close(o);
}

void shell_overlay_error(struct shell *s, struct overlay_id id, const struct err *err)
{
	struct overlay *o = find(s, id, NULL);

	if (o == NULL || o->ops->error == NULL)
		shell_notice_err(s, "refused", err);
	else
		o->ops->error(o, err);
	shell_dirty(s, SHELL_REPAINT);
}

static int at_most(int v, int max)
{
	return v < max ? v : max;
}

static struct canvas place_bottom(struct overlay *o, const struct canvas *c)
{
	int rows = canvas_rows(c) / 2;
	int cols = canvas_cols(c);
	struct canvas at;

	o->ops->size(o, &rows, &cols);
	rows = at_most(rows, canvas_rows(c) / 2);
	/* Above the hint line, which says what its keys are. */
	at = canvas_sub(c, canvas_rows(c) - rows - 2, 0, rows + 1, canvas_cols(c));
	at.under = ROLE_DIALOG;
	canvas_clear(&at, ROLE_TEXT);
	canvas_hline(&at, 0, 0, canvas_cols(&at),
		     o->danger ? ROLE_DANGER_FRAME : ROLE_DIALOG_FRAME);
	return canvas_sub(&at, 1, 1, rows, canvas_cols(&at) - 2);
}

static struct canvas place_middle(struct overlay *o, const struct canvas *c)
{
	int max_rows = canvas_rows(c) - 2 - FRAME_ROWS;
	int max_cols = canvas_cols(c) - 2 - FRAME_COLS;
	int rows = max_rows;
	int cols = max_cols;
	int title = text_width(str_of(o->title)) + 4;
	struct canvas at;

	o->ops->size(o, &rows, &cols);
	rows = at_most(rows, max_rows);
	cols = at_most(cols > title ? cols : title, max_cols);
	at = canvas_sub(c, (canvas_rows(c) - rows - FRAME_ROWS) / 2,
			(canvas_cols(c) - cols - FRAME_COLS) / 2, rows + FRAME_ROWS,
			cols + FRAME_COLS);
	at.under = ROLE_DIALOG;
	canvas_clear(&at, ROLE_TEXT);
	canvas_box(&at, o->danger ? ROLE_DANGER_FRAME : ROLE_DIALOG_FRAME, str_of(o->title));
	canvas_hit(&at, 0, 0, canvas_rows(&at), canvas_cols(&at), (struct hit){ HIT_BODY, o, 0 });
	return canvas_sub(&at, 1, 2, rows, cols);
}

void overlays_draw(struct shell *s, const struct canvas *c)
{
	for (int i = 0; i < s->n_overlays; i++) {
		struct overlay *o = s->overlay[i];
		struct canvas at;

		grid_cursor_set(s->grid, -1, 0);
		at = o->ops->bottom ? place_bottom(o, c) : place_middle(o, c);
		o->ops->draw(o, &at);
		o->shown = true;
	}
}

/* --- a line at the bottom --- */

struct line_window {
	struct shell_prompt call;
	struct prompt prompt;
	char label[64];
	char hint[128];
};

static void line_size(struct overlay *o, int *rows, int *cols)
{
	struct line_window *w = o->state;

	(void)cols;
	*rows = prompt_height(&w->prompt);
}

static void line_draw(struct overlay *o, const struct canvas *c)
{
	struct line_window *w = o->state;

	w->prompt.focused = true;
	prompt_draw(&w->prompt, c);
}

static void line_enter(struct overlay *o)
{
	struct line_window *w = o->state;
	struct err err = ERR_INIT;
	int result = w->call.enter(w->call.arg, prompt_text(&w->prompt), &err);

	if (result < 0)
		prompt_error(&w->prompt, &err);
	else if (result != SHELL_WAIT)
		overlay_close(o);
}

static void line_event(struct overlay *o, const struct event *ev)
{
	struct line_window *w = o->state;
	unsigned result = prompt_event(&w->prompt, ev);

	if (result & WIDGET_ACTIVATED) {
		line_enter(o);
	} else if (result & WIDGET_CANCELLED) {
		overlay_close(o);
		if (w->call.cancel != NULL)
			w->call.cancel(w->call.arg);
	} else if ((result & WIDGET_CHANGED) && w->call.changed != NULL) {
		w->call.changed(w->call.arg, prompt_text(&w->prompt));
	}
}

static void line_error(struct overlay *o, const struct err *err)
{
	struct line_window *w = o->state;

	prompt_error(&w->prompt, err);
}

static void line_free(struct overlay *o)
{
	struct line_window *w = o->state;

	prompt_done(&w->prompt);
	free(w);
}

static const struct overlay_ops line_ops = {
	.size = line_size,
	.draw = line_draw,
	.event = line_event,
	.error = line_error,
	.free = line_free,
	.hint = "Enter take  Esc leave  Tab complete  Up/Down history  Ctrl-U empty",
	.bottom = true,
};

struct overlay_id shell_prompt(struct shell *s, const struct shell_prompt *p)
{
	struct line_window *w = xcalloc(1, sizeof(*w));

	w->call = *p;
	snprintf(w->label, sizeof(w->label), "%s", p->label != NULL ? p->label : "");
	snprintf(w->hint, sizeof(w->hint), "%s", p->hint != NULL ? p->hint : "");
	prompt_init(&w->prompt, w->label);
	w->prompt.hint = w->hint;
	w->prompt.secret = p->secret;
	w->prompt.history = p->history;
	w->prompt.complete = p->complete;
	w->prompt.complete_arg = p->arg;
	w->prompt.eager = p->eager;
	if (p->initial != NULL)
		prompt_set(&w->prompt, str_of(p->initial));
	return (struct overlay_id){ overlay_push(s, &line_ops, p->owner, "", w)->id };
}

/* --- fields --- */

struct form_window {
	struct shell_form call;
	struct form *form;
	struct text text;
};

static int form_text_rows(const struct form_window *w, int cols)
{
	return w->text.n_lines > 0 ? text_rows(&w->text, cols) + 1 : 0;
}

static void form_size(struct overlay *o, int *rows, int *cols)
{
	struct form_window *w = o->state;

	*cols = at_most(*cols, FORM_COLS);
	*rows = form_height(w->form) + form_text_rows(w, *cols);
}

static void form_window_draw(struct overlay *o, const struct canvas *c)
{
	struct form_window *w = o->state;
	int above = form_text_rows(w, canvas_cols(c));
	struct canvas text = canvas_sub(c, 0, 0, above, canvas_cols(c));
	struct canvas fields = canvas_sub(c, above, 0, canvas_rows(c) - above, canvas_cols(c));

	text_draw(&w->text, &text);
	form_draw(w->form, &fields);
}

static void form_window_event(struct overlay *o, const struct event *ev)
{
	struct form_window *w = o->state;
	unsigned result = form_event(w->form, ev);
	struct err err = ERR_INIT;
	int entered;

	if (result & WIDGET_CANCELLED) {
		overlay_close(o);
		if (w->call.cancel != NULL)
			w->call.cancel(w->call.arg);
		return;
	}
	if (!(result & WIDGET_ACTIVATED))
		return;
	entered = w->call.enter(w->call.arg, w->form, &err);
	if (entered < 0)
		form_error(w->form, &err);
	else if (entered != SHELL_WAIT)
		overlay_close(o);
}

static void form_window_error(struct overlay *o, const struct err *err)
{
	struct form_window *w = o->state;

	form_error(w->form, err);
}

static void form_window_free(struct overlay *o)
{
	struct form_window *w = o->state;

	form_free(&w->form);
	text_done(&w->text);
	free(w);
}

static const struct overlay_ops form_ops = {
	.size = form_size,
	.draw = form_window_draw,
	.event = form_window_event,
	.error = form_window_error,
	.free = form_window_free,
	.hint = "Tab next field  Enter next or OK  Esc leave",
	.careful = true,
};

struct overlay_id shell_form(struct shell *s, const struct shell_form *f)
{
	struct form_window *w = xcalloc(1, sizeof(*w));
	struct overlay *o;

	w->call = *f;
	w->form = form_new(f->fields, f->n);
	text_init(&w->text);
	w->text.wrap = true;
	if (f->text != NULL)
		text_add(&w->text, ROLE_TEXT, str_of(f->text));
	o = overlay_push(s, &form_ops, f->owner, f->title, w);
	o->danger = f->danger;
	return (struct overlay_id){ o->id };
}

/* --- a choice --- */

struct menu_window {
	struct shell_menu call;
	struct menu menu;
	struct menu_item *items;
	char **texts; /* copies the items point to */
	int n_texts;
};

static void menu_window_size(struct overlay *o, int *rows, int *cols)
{
	struct menu_window *w = o->state;
	int want_rows, want_cols;

	menu_size(&w->menu, &want_rows, &want_cols);
	*rows = at_most(want_rows, *rows);
	*cols = at_most(want_cols, *cols);
}

static void menu_window_draw(struct overlay *o, const struct canvas *c)
{
	struct menu_window *w = o->state;

	menu_draw(&w->menu, c);
}

static void menu_window_event(struct overlay *o, const struct event *ev)
{
	struct menu_window *w = o->state;
	unsigned result = menu_event(&w->menu, ev);
	uint64_t id = 0;

	if (!(result & (WIDGET_ACTIVATED | WIDGET_CANCELLED)))
		return;
	if (result & WIDGET_ACTIVATED)
		id = menu_chosen(&w->menu)->id;
	overlay_close(o);
	w->call.done(w->call.arg, id);
}

static void menu_window_free(struct overlay *o)
{
	struct menu_window *w = o->state;

	for (int i = 0; i < w->n_texts; i++)
		free(w->texts[i]);
	free(w->texts);
	free(w->items);
	free(w);
}

static const struct overlay_ops menu_ops = {
	.size = menu_window_size,
	.draw = menu_window_draw,
	.event = menu_window_event,
	.free = menu_window_free,
	.hint = "Enter choose  Esc leave",
};

static const char *keep_text(struct menu_window *w, const char *text)
{
	if (text == NULL)
		return NULL;
	w->texts[w->n_texts] = xstrdup(text);
	return w->texts[w->n_texts++];
}

struct overlay_id shell_menu(struct shell *s, const struct shell_menu *m)
{
	struct menu_window *w = xcalloc(1, sizeof(*w));
	int n = at_most(m->n, MENU_MAX_ITEMS);

	w->call = *m;
	w->items = xcalloc((size_t)n + 1, sizeof(*w->items));
	w->texts = xcalloc(3 * (size_t)n + 1, sizeof(*w->texts));
	for (int i = 0; i < n; i++) {
		w->items[i] = m->items[i];
		w->items[i].title = keep_text(w, m->items[i].title);
		w->items[i].help = keep_text(w, m->items[i].help);
		w->items[i].why_not = keep_text(w, m->items[i].why_not);
	}
	menu_init(&w->menu, w->items, n);
	w->menu.filter = m->filter;
	for (int i = 0; i < n; i++)
		if (m->current != 0 && w->items[i].id == m->current)
			w->menu.cursor = i;
	return (struct overlay_id){ overlay_push(s, &menu_ops, m->owner, m->title, w)->id };
}

/* --- a plan, and yes or no --- */

struct plan_window {
	struct plan plan;
	char verb[32];
	void (*done)(void *arg, struct overlay_id id, bool commit, struct str reason);
	void (*answered)(void *arg, bool yes); /* of a question; done is NULL then */
	void *arg;
	struct err error;
};

static void plan_window_size(struct overlay *o, int *rows, int *cols)
{
	struct plan_window *w = o->state;

	*cols = at_most(*cols, w->done != NULL ? WIDE_COLS : FORM_COLS);
	*rows = plan_height(&w->plan, *cols) + (w->error.code != 0 ? 1 : 0);
}

static void plan_window_draw(struct overlay *o, const struct canvas *c)
{
	struct plan_window *w = o->state;
	int error = w->error.code != 0 ? 1 : 0;
	struct canvas plan = canvas_sub(c, error, 0, canvas_rows(c) - error, canvas_cols(c));

	if (error > 0)
		canvas_field(c, 0, 0, canvas_cols(c), ALIGN_LEFT, ROLE_INPUT_ERROR,
			     str_of(w->error.msg));
	plan_draw(&w->plan, &plan);
}

static void plan_window_event(struct overlay *o, const struct event *ev)
{
	struct plan_window *w = o->state;
	unsigned result = plan_event(&w->plan, ev);
	struct overlay_id id = { o->id };

	if (!(result & (WIDGET_ACTIVATED | WIDGET_CANCELLED)))
		return;
	w->error.code = 0;
	if (w->done == NULL || (result & WIDGET_CANCELLED))
		overlay_close(o);
	else
		w->plan.busy = true;
	if (w->done != NULL)
		w->done(w->arg, id, (result & WIDGET_ACTIVATED) != 0,
			str_trim(prompt_text(&w->plan.reason)));
	else
		w->answered(w->arg, (result & WIDGET_ACTIVATED) != 0);
}

static void plan_window_error(struct overlay *o, const struct err *err)
{
	struct plan_window *w = o->state;

	w->error = *err;
	w->plan.busy = false;
}

static void plan_window_free(struct overlay *o)
{
	struct plan_window *w = o->state;

	plan_done(&w->plan);
	free(w);
}

static const struct overlay_ops plan_ops = {
	.size = plan_window_size,
	.draw = plan_window_draw,
	.event = plan_window_event,
	.error = plan_window_error,
	.free = plan_window_free,
	.hint = "Tab move  Enter press  PageUp/PageDown scroll  Esc cancel",
	.careful = true,
};

static struct plan_window *plan_window_new(const char *verb)
{
	struct plan_window *w = xcalloc(1, sizeof(*w));

	snprintf(w->verb, sizeof(w->verb), "%s", verb);
	plan_init(&w->plan, w->verb);
	return w;
}

struct overlay_id shell_plan(struct shell *s, const struct shell_plan *p)
{
	struct plan_window *w = plan_window_new(p->verb);
	struct overlay *o;

	w->plan.reason_needed = p->reason_needed;
	w->plan.reason_wanted = true;
	w->plan.busy = true;
	w->done = p->done;
	w->arg = p->arg;
	o = overlay_push(s, &plan_ops, p->owner, p->title, w);
	o->danger = true;
	return (struct overlay_id){ o->id };
}

struct text *shell_plan_body(struct shell *s, struct overlay_id id)
{
	struct overlay *o = find(s, id, &plan_ops);

	shell_dirty(s, SHELL_REPAINT);
	return o != NULL ? &((struct plan_window *)o->state)->plan.body : NULL;
}

void shell_plan_ready(struct shell *s, struct overlay_id id, uint64_t type_count)
{
	struct overlay *o = find(s, id, &plan_ops);
	struct plan_window *w;

	if (o == NULL)
		return;
	w = o->state;
	w->plan.busy = false;
	w->plan.type_count = type_count;
	shell_dirty(s, SHELL_REPAINT);
}

struct overlay_id shell_ask(struct shell *s, const struct shell_ask *ask)
{
	struct plan_window *w = plan_window_new(ask->yes);
	struct overlay *o;

	w->answered = ask->done;
	w->arg = ask->arg;
	text_add(&w->plan.body, ROLE_TEXT, str_of(ask->text));
	o = overlay_push(s, &plan_ops, ask->owner, ask->title, w);
	o->danger = ask->danger;
	return (struct overlay_id){ o->id };
}

/* --- a text to read --- */

static void page_size(struct overlay *o, int *rows, int *cols)
{
	struct text *t = o->state;

	*cols = at_most(*cols, WIDE_COLS);
	*rows = at_most(text_rows(t, *cols), *rows);
}

static void page_draw(struct overlay *o, const struct canvas *c)
{
	struct text *t = o->state;

	text_draw(t, c);
}

static int on_search(void *arg, struct str line, struct err *err)
{
	struct overlay *o = arg;
	struct text *t = o->state;

	if (text_search(t, line))
		return 0;
	return err_set(err, ERR_UNKNOWN, "not found");
}

/* The prompt stands on top of the page and has all keys, so the page outlives it. */
static void search_page(struct overlay *o)
{
	(void)shell_prompt(o->shell, &(struct shell_prompt){ .owner = o->owner,
							     .label = "find",
							     .enter = on_search,
							     .arg = o });
}

static void page_key(struct overlay *o, enum action_id a)
{
	enum nav nav = a != A_NONE ? action_defs[a].nav : NAV_NONE;
	struct text *t = o->state;

	if (nav == NAV_BACK || nav == NAV_ENTER || a == A_CLOSE || a == A_HELP || a == A_QUIT)
		overlay_close(o);
	else if (nav != NAV_NONE)
		(void)text_nav(t, nav);
	else if (a == A_FILTER)
		search_page(o);
	else if (a == A_SEARCH_NEXT || a == A_SEARCH_PREV)
		(void)text_search_next(t, a == A_SEARCH_PREV);
}

static void page_event(struct overlay *o, const struct event *ev)
{
	struct text *t = o->state;

	if (ev->kind == EVENT_MOUSE)
		(void)text_mouse(t, &ev->mouse);
	else if (ev->kind == EVENT_KEY)
		page_key(o, keymap_find(o->shell->keymap, ev->key));
}

static void page_free(struct overlay *o)
{
	struct text *t = o->state;

	text_done(t);
	free(t);
}

static const struct overlay_ops page_ops = {
	.size = page_size,
	.draw = page_draw,
	.event = page_event,
	.free = page_free,
	.hint = "Up/Down PageUp/PageDown scroll  / find  n N next, previous  Esc close",
};

struct overlay_id shell_page(struct shell *s, struct view *owner, const char *title)
{
	struct text *t = xcalloc(1, sizeof(*t));

	text_init(t);
	t->wrap = true;
	return (struct overlay_id){ overlay_push(s, &page_ops, owner, title, t)->id };
}

struct text *shell_page_body(struct shell *s, struct overlay_id id)
{
	struct overlay *o = find(s, id, &page_ops);

	shell_dirty(s, SHELL_REPAINT);
	return o != NULL ? o->state : NULL;
}
