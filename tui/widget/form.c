/*
 * Every field has a line editor, also those that are only cycled: its text is the value. The place
 * after the last field is the OK button.
 */
#include "widget/form.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/fmt.h"
#include "base/mem.h"

#define TITLE_MAX 24
#define HELP_ROWS 2

struct form {
	const struct form_field *fields;
	int n;
	int focus;    /* n: the OK button */
	int top;      /* first field drawn, when there is no room for all */
	int error_at; /* -1: belongs to no field */
	char error[sizeof(((struct err *)0)->msg)];
	const char *note;
	struct prompt *prompts;
};

struct form *form_new(const struct form_field *fields, int n)
{
	struct form *f = xcalloc(1, sizeof(*f));

	f->fields = fields;
	f->n = n < FORM_MAX_FIELDS ? n : FORM_MAX_FIELDS;
	f->error_at = -1;
	f->prompts = xcalloc((size_t)f->n + 1, sizeof(*f->prompts));
	for (int i = 0; i < f->n; i++) {
		struct prompt *p = &f->prompts[i];
		const struct form_field *d = &fields[i];

		prompt_init(p, NULL);
		p->secret = d->kind == FORM_SECRET;
		p->complete = d->complete;
		p->complete_arg = d->complete_arg;
		if (d->initial != NULL)
			prompt_set(p, str_of(d->initial));
		else if (d->kind == FORM_BOOL)
			prompt_set(p, STR("false"));
		else if (d->kind == FORM_CHOICE && d->required && d->choices[0] != NULL)
			prompt_set(p, str_of(d->choices[0]));
	}
	return f;
}

void form_free(struct form **fp)
{
	if (fp == NULL || *fp == NULL)
		return;
	for (int i = 0; i < (*fp)->n; i++)
		prompt_done(&(*fp)->prompts[i]);
	free((*fp)->prompts);
	free(*fp);
	*fp = NULL;
}

struct str form_value(const struct form *f, const char *name)
{
	for (int i = 0; i < f->n; i++)
		if (strcmp(f->fields[i].name, name) == 0)
			return prompt_text(&f->prompts[i]);
	return STR("");
}

void form_error(struct form *f, const struct err *err)
{
	f->error_at = -1;
	snprintf(f->error, sizeof(f->error), "%s", err->msg);
	for (int i = 0; i < f->n; i++) {
		if (err->param[0] != '\0' && strcmp(f->fields[i].name, err->param) == 0) {
			f->error_at = i;
			f->focus = i;
		}
	}
}

void form_note(struct form *f, const char *note)
{
	f->note = note;
}

static bool value_fits(const struct form_field *d, struct str v)
{
	uint64_t u;
	int64_t age;

	switch (d->kind) {
	case FORM_NUMBER:
		return str_u64(v, UINT64_MAX, &u);
	case FORM_AGE:
		return fmt_parse_age(v, &age);
	case FORM_SIZE:
		return fmt_parse_size(v, &u);
	case FORM_TEXT:
	case FORM_BOOL:
	case FORM_CHOICE:
	case FORM_SECRET:
		break;
	}
	return true;
}

static const char *what_fits(enum form_kind kind)
{
	switch (kind) {
	case FORM_NUMBER:
		return "a number fits here";
	case FORM_AGE:
		return "a time such as 90s, 20m, 2h or 3d fits here";
	case FORM_SIZE:
		return "a size such as 4K, 10M or 1G fits here";
	case FORM_TEXT:
	case FORM_BOOL:
	case FORM_CHOICE:
	case FORM_SECRET:
		break;
	}
	return "";
}

/* Looks for the first field that cannot stay as it is, and goes there. */
static bool complete_enough(struct form *f)
{
	for (int i = 0; i < f->n; i++) {
		const struct form_field *d = &f->fields[i];
		struct str v = prompt_text(&f->prompts[i]);
		struct err err = ERR_INIT;

		if (v.n == 0 && d->required)
			(void)err_param(&err, ERR_INVALID, d->name, "%s is needed", d->title);
		else if (v.n > 0 && !value_fits(d, v))
			(void)err_param(&err, ERR_INVALID, d->name, "%s", what_fits(d->kind));
		if (err.code != 0) {
			form_error(f, &err);
			return false;
		}
	}
	return true;
}

static unsigned go_to(struct form *f, int i)
{
	f->focus = i < 0 ? f->n : i > f->n ? 0 : i;
	return WIDGET_USED | WIDGET_MOVED;
}

static bool cycled(const struct form *f)
{
	return f->focus < f->n &&
	       (f->fields[f->focus].kind == FORM_BOOL || f->fields[f->focus].kind == FORM_CHOICE);
}

static unsigned cycle(struct form *f, int step)
{
	static const char *const yes_no[] = { "false", "true", NULL };
	const struct form_field *d = &f->fields[f->focus];
	const char *const *choices = d->kind == FORM_BOOL ? yes_no : d->choices;
	struct str now = prompt_text(&f->prompts[f->focus]);
	bool none = d->kind == FORM_CHOICE && !d->required; /* is one of them */
	int n = 0;
	int at = -1;
	int to;

	for (; choices[n] != NULL; n++)
		if (str_eq(now, str_of(choices[n])))
			at = n;
	if (at < 0)
		at = none ? n : step > 0 ? -1 : 0;
	to = (at + step + n + none) % (n + none);
	prompt_set(&f->prompts[f->focus], to < n ? str_of(choices[to]) : STR(""));
	return WIDGET_USED | WIDGET_CHANGED;
}

static unsigned on_mouse(struct form *f, const struct event_mouse *m)
{
	if (m->hit.owner != f || m->hit.kind != HIT_ITEM || m->action != MOUSE_PRESS ||
	    m->button != MOUSE_LEFT)
		return WIDGET_IGNORED;
	f->focus = (int)m->hit.id;
	if (f->focus == f->n)
		return complete_enough(f) ? WIDGET_ACTIVATED : WIDGET_USED;
	return cycled(f) ? cycle(f, 1) : WIDGET_USED | WIDGET_MOVED;
}

static unsigned on_enter(struct form *f)
{
	if (f->focus < f->n - 1)
		return go_to(f, f->focus + 1);
	return complete_enough(f) ? WIDGET_ACTIVATED : WIDGET_USED;
}

/* Tab is for the next field, unless a word was begun that can be completed. */
static bool completes(struct form *f, const struct event *ev)
{
	struct prompt *p = &f->prompts[f->focus < f->n ? f->focus : 0];

	return f->focus < f->n && p->complete != NULL && p->cursor > 0 &&
	       p->line[p->cursor - 1] != ' ' &&
	       ((prompt_event(p, ev) & WIDGET_CHANGED) != 0 || prompt_choosing(p));
}

unsigned form_event(struct form *f, const struct event *ev)
{
	enum nav nav = ev->kind == EVENT_KEY ? nav_of_key(ev->key) : NAV_NONE;

	if (ev->kind == EVENT_MOUSE)
		return on_mouse(f, &ev->mouse);
	if (nav == NAV_BACK)
		return WIDGET_CANCELLED;
	if (nav == NAV_ENTER)
		return on_enter(f);
	if (nav == NAV_UP || nav == NAV_PREV)
		return go_to(f, f->focus - 1);
	if (nav == NAV_NEXT && completes(f, ev))
		return WIDGET_USED | WIDGET_CHANGED;
	if (nav == NAV_DOWN || nav == NAV_NEXT)
		return go_to(f, f->focus + 1);
	f->error[0] = '\0';
	f->error_at = -1;
	if (cycled(f) && (nav == NAV_LEFT || nav == NAV_RIGHT || ev->key == ' '))
		return cycle(f, nav == NAV_LEFT ? -1 : 1);
	if (f->focus == f->n || cycled(f))
		return WIDGET_IGNORED;
	return prompt_event(&f->prompts[f->focus], ev);
}

static int title_width(const struct form *f)
{
	int width = 0;

	for (int i = 0; i < f->n; i++) {
		int w = text_width(str_of(f->fields[i].title)) + 2;

		width = w > width ? w : width;
	}
	return width < TITLE_MAX ? width : TITLE_MAX;
}

int form_height(const struct form *f)
{
	return f->n + 1 + HELP_ROWS + 1; /* blank, help or error, button */
}

static void draw_field(struct form *f, const struct canvas *c, int i, int row, int left)
{
	const struct form_field *d = &f->fields[i];
	struct canvas line = canvas_sub(c, row, left, 1, canvas_cols(c) - left);
	bool on = i == f->focus;

	canvas_field(c, row, 0, left - 1, ALIGN_LEFT,
		     i == f->error_at ? ROLE_BAD
		     : on	      ? ROLE_STRONG
				      : ROLE_LABEL,
		     str_of(d->title));
	if (d->required)
		canvas_puts(c, row, left - 2, ROLE_WARN, STR("*"));
	canvas_hit(c, row, 0, 1, canvas_cols(c), (struct hit){ HIT_ITEM, f, (uint64_t)i });
	if (d->kind == FORM_BOOL || d->kind == FORM_CHOICE) {
		struct str v = prompt_text(&f->prompts[i]);

		if (d->kind == FORM_BOOL)
			v = str_eq(v, STR("true")) ? STR("yes") : STR("no");
		line.under = on ? ROLE_CURSOR : line.under;
		canvas_field(&line, 0, 0, canvas_cols(&line), ALIGN_LEFT, ROLE_INPUT, v);
		if (on)
			canvas_field(&line, 0, canvas_cols(&line) - 16, 16, ALIGN_RIGHT,
				     ROLE_INPUT_HINT, STR("Space changes"));
		return;
	}
	f->prompts[i].focused = on;
	f->prompts[i].hint = on ? NULL : "";
	prompt_draw(&f->prompts[i], &line);
}

/* The fields that there is room for, with the focus among them; returns their number. */
static int scroll(struct form *f, int rows)
{
	int below = rows < form_height(f) ? HELP_ROWS + 1 : HELP_ROWS + 2;
	int shown = rows - below < 1 ? 1 : rows - below;
	int at = f->focus < f->n ? f->focus : f->n - 1;

	if (shown > f->n)
		shown = f->n;
	if (at < f->top)
		f->top = at;
	if (at >= f->top + shown)
		f->top = at - shown + 1;
	if (f->top + shown > f->n)
		f->top = f->n - shown;
	return shown;
}

void form_draw(struct form *f, const struct canvas *c)
{
	int left = title_width(f) + 1;
	const char *help = f->focus < f->n ? f->fields[f->focus].help : "";
	bool on = f->focus == f->n;
	int shown = scroll(f, canvas_rows(c));
	int button = canvas_rows(c) < form_height(f) ? shown + HELP_ROWS : shown + 1 + HELP_ROWS;

	for (int i = 0; i < shown; i++)
		draw_field(f, c, f->top + i, i, left);
	if (f->note != NULL)
		(void)canvas_wrap(c, button - HELP_ROWS, 0, HELP_ROWS, ROLE_PENDING,
				  str_of(f->note));
	else if (f->error[0] != '\0' && (f->error_at < 0 || f->error_at == f->focus))
		(void)canvas_wrap(c, button - HELP_ROWS, 0, HELP_ROWS, ROLE_INPUT_ERROR,
				  str_of(f->error));
	else if (help != NULL)
		(void)canvas_wrap(c, button - HELP_ROWS, 0, HELP_ROWS, ROLE_INPUT_HINT,
				  str_of(help));
	canvas_puts(c, button, 0, on ? ROLE_BUTTON_ON : ROLE_BUTTON, STR("[ OK ]"));
	canvas_hit(c, button, 0, 1, 6, (struct hit){ HIT_ITEM, f, (uint64_t)f->n });
	canvas_puts(c, button, 9, ROLE_DIM, STR("Enter next, Esc leave"));
	if (shown < f->n)
		(void)canvas_printf(c, button, 34, ROLE_DIM, "fields %d to %d of %d", f->top + 1,
				    f->top + shown, f->n);
}
