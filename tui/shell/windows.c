/*
 * The kinds of windows there are: a line at the bottom, a form, a menu, a plan (also yes or no), a
 * text to read. Each is a struct with its widget and the caller's callback, and an overlay_ops.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/obj.h"
#include "shell/shell_int.h"

#define WIDE_COLS 100 /* texts are not made wider than this */
#define FORM_COLS 76
#define FORM_ROWS_MIN 7 /* of fields, help and button; what it is about gives way */
#define ERROR_ROWS 4

static int at_most(int v, int max)
{
	return v < max ? v : max;
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

	*rows = prompt_height(&w->prompt, *cols - 2);
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
	bool waiting; /* for an answer to what was entered */
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
	int wanted = form_text_rows(w, canvas_cols(c));
	int left = canvas_rows(c) - wanted;
	int above = left >= FORM_ROWS_MIN || left >= form_height(w->form) ? wanted : 0;
	struct canvas text = canvas_sub(c, 0, 0, above, canvas_cols(c));
	struct canvas fields = canvas_sub(c, above, 0, canvas_rows(c) - above, canvas_cols(c));

	text_draw(&w->text, &text);
	form_draw(w->form, &fields);
}

static void form_wait(struct form_window *w, bool waiting)
{
	w->waiting = waiting;
	form_note(w->form, waiting ? "waiting for the relay; Esc takes it back" : NULL);
}

static void form_window_event(struct overlay *o, const struct event *ev)
{
	struct form_window *w = o->state;
	bool leave = ev->kind == EVENT_KEY && nav_of_key(ev->key) == NAV_BACK;
	unsigned result = w->waiting && !leave ? WIDGET_USED : form_event(w->form, ev);
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
	else
		form_wait(w, true);
}

static void form_window_error(struct overlay *o, const struct err *err)
{
	struct form_window *w = o->state;

	form_wait(w, false);
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
	void (*change)(void *arg, struct str reason);
	void (*answered)(void *arg, bool yes); /* of a question; done is NULL then */
	void *arg;
	struct err error;
};

static int plan_error_rows(const struct plan_window *w, int cols)
{
	return w->error.code != 0 ? canvas_wrap_rows(cols, ERROR_ROWS, str_of(w->error.msg)) : 0;
}

static void plan_window_size(struct overlay *o, int *rows, int *cols)
{
	struct plan_window *w = o->state;

	*cols = at_most(*cols, w->done != NULL ? WIDE_COLS : FORM_COLS);
	*rows = plan_height(&w->plan, *cols) + plan_error_rows(w, *cols);
}

static void plan_window_draw(struct overlay *o, const struct canvas *c)
{
	struct plan_window *w = o->state;
	int error = plan_error_rows(w, canvas_cols(c));
	struct canvas plan = canvas_sub(c, error, 0, canvas_rows(c) - error, canvas_cols(c));

	if (error > 0)
		(void)canvas_wrap(c, 0, 0, error, ROLE_INPUT_ERROR, str_of(w->error.msg));
	plan_draw(&w->plan, &plan);
}

static void plan_window_commit(struct plan_window *w, struct overlay_id id)
{
	w->plan.busy = true;
	w->done(w->arg, id, true, str_trim(prompt_text(&w->plan.reason)));
}

static void plan_window_event(struct overlay *o, const struct event *ev)
{
	struct plan_window *w = o->state;
	unsigned result = plan_event(&w->plan, ev);
	struct overlay_id id = { o->id };

	if (!(result & (WIDGET_ACTIVATED | WIDGET_CANCELLED)))
		return;
	w->error.code = 0;
	if ((result & WIDGET_ACTIVATED) && w->plan.focus == PLAN_CHANGE) {
		overlay_close(o);
		w->change(w->arg, str_trim(prompt_text(&w->plan.reason)));
		return;
	}
	if (w->done != NULL && (result & WIDGET_ACTIVATED)) {
		plan_window_commit(w, id);
		return;
	}
	overlay_close(o);
	if (w->done != NULL)
		w->done(w->arg, id, false, str_trim(prompt_text(&w->plan.reason)));
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
	if (p->reason != NULL)
		prompt_set(&w->plan.reason, str_of(p->reason));
	w->plan.busy = true;
	w->done = p->done;
	w->change = p->change;
	w->plan.change = p->change != NULL ? "Change" : NULL;
	w->arg = p->arg;
	o = overlay_push(s, &plan_ops, p->owner, p->title, w);
	o->danger = true;
	return (struct overlay_id){ o->id };
}

struct text *shell_plan_body(struct shell *s, struct overlay_id id)
{
	struct overlay *o = overlay_find(s, id, &plan_ops);

	shell_dirty(s, SHELL_REPAINT);
	return o != NULL ? &((struct plan_window *)o->state)->plan.body : NULL;
}

void shell_plan_ready(struct shell *s, struct overlay_id id, uint64_t type_count)
{
	struct overlay *o = overlay_find(s, id, &plan_ops);
	struct plan_window *w;

	if (o == NULL)
		return;
	w = o->state;
	w->plan.busy = false;
	w->plan.type_count = type_count;
	shell_dirty(s, SHELL_REPAINT);
}

void shell_plan_commit(struct shell *s, struct overlay_id id)
{
	struct overlay *o = overlay_find(s, id, &plan_ops);
	struct plan_window *w = o != NULL ? o->state : NULL;

	if (w != NULL && plan_missing(&w->plan) == NULL)
		plan_window_commit(w, id);
}

struct overlay_id shell_ask(struct shell *s, const struct shell_ask *ask)
{
	struct plan_window *w = plan_window_new(ask->yes);
	struct overlay *o;

	w->answered = ask->done;
	w->plan.no = ask->no != NULL ? ask->no : w->plan.no;
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
	struct overlay *o = overlay_find(s, id, &page_ops);

	shell_dirty(s, SHELL_REPAINT);
	return o != NULL ? o->state : NULL;
}
