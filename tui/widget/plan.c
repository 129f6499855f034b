#include "widget/plan.h"

#include <stdio.h>
#include <string.h>

#include "base/fmt.h"

#define INPUT_ROWS 3 /* blank, inputs, buttons: see plan_height() */

void plan_init(struct plan *p, const char *verb)
{
	*p = (struct plan){ .verb = verb, .no = "Cancel", .focus = PLAN_CANCEL };
	text_init(&p->body);
	p->body.wrap = true;
	prompt_init(&p->reason, "Reason:");
	prompt_init(&p->count, "Type the count:");
}

void plan_done(struct plan *p)
{
	text_done(&p->body);
	prompt_done(&p->reason);
	prompt_done(&p->count);
}

static bool has_reason(const struct plan *p)
{
	return p->reason_needed || p->reason_wanted;
}

static bool count_right(const struct plan *p)
{
	char digits[32];
	size_t n = 0;
	uint64_t v;

	/* "1 204" is shown, so it may be typed like that too. */
	for (size_t i = 0; i < p->count.n && n < sizeof(digits); i++)
		if (p->count.line[i] != ' ')
			digits[n++] = p->count.line[i];
	return str_u64(str_from(digits, n), UINT64_MAX, &v) && v == p->type_count;
}

const char *plan_missing(struct plan *p)
{
	if (p->busy)
		return "one moment: waiting for the relay";
	if (p->reason_needed && str_trim(prompt_text(&p->reason)).n == 0)
		return "a reason is needed: Tab, then type it";
	if (p->type_count > 0 && !count_right(p)) {
		char count[FMT_TIME_LEN];

		fmt_count(p->type_count, count);
		snprintf(p->missing, sizeof(p->missing), "type the count, %s, to go on", count);
		return p->missing;
	}
	return NULL;
}

static bool has_focus(const struct plan *p, enum plan_focus f)
{
	switch (f) {
	case PLAN_REASON:
		return has_reason(p);
	case PLAN_COUNT:
		return p->type_count > 0;
	case PLAN_CHANGE:
		return p->change != NULL;
	case PLAN_CANCEL:
	case PLAN_COMMIT:
	case PLAN_FOCUS__COUNT:
		break;
	}
	return true;
}

/* Tab order: Cancel, reason, count, commit, change. */
static unsigned go(struct plan *p, int step)
{
	do
		p->focus = (enum plan_focus)(((int)p->focus + step + PLAN_FOCUS__COUNT) %
					     PLAN_FOCUS__COUNT);
	while (!has_focus(p, p->focus));
	return WIDGET_USED | WIDGET_MOVED;
}

static unsigned press(struct plan *p)
{
	switch (p->focus) {
	case PLAN_CANCEL:
		return WIDGET_CANCELLED;
	case PLAN_COMMIT:
		return plan_missing(p) == NULL ? WIDGET_ACTIVATED : WIDGET_USED;
	case PLAN_CHANGE:
		return p->busy ? WIDGET_USED : WIDGET_ACTIVATED;
	case PLAN_REASON:
	case PLAN_COUNT:
	case PLAN_FOCUS__COUNT:
		break;
	}
	return go(p, 1);
}

static unsigned on_mouse(struct plan *p, const struct event_mouse *m)
{
	if (m->hit.kind == HIT_ITEM && m->hit.owner == p && m->action == MOUSE_PRESS &&
	    m->button == MOUSE_LEFT) {
		p->focus = (enum plan_focus)m->hit.id;
		if (p->focus != PLAN_REASON && p->focus != PLAN_COUNT)
			return press(p);
		return WIDGET_USED | WIDGET_MOVED;
	}
	return text_mouse(&p->body, m);
}

static unsigned to_input(struct plan *p, const struct event *ev)
{
	struct prompt *in = p->focus == PLAN_REASON ? &p->reason : &p->count;

	return prompt_event(in, ev);
}

static unsigned on_button_key(struct plan *p, const struct event *ev, enum nav nav)
{
	if (nav == NAV_LEFT || nav == NAV_RIGHT)
		return go(p, nav == NAV_LEFT ? -1 : 1);
	if (ev->kind == EVENT_KEY && ev->key == 'q')
		return WIDGET_CANCELLED;
	return text_nav(&p->body, nav);
}

unsigned plan_event(struct plan *p, const struct event *ev)
{
	enum nav nav = ev->kind == EVENT_KEY ? nav_of_key(ev->key) : NAV_NONE;
	bool typing = p->focus == PLAN_REASON || p->focus == PLAN_COUNT;

	if (ev->kind == EVENT_MOUSE)
		return on_mouse(p, &ev->mouse);
	if (nav == NAV_BACK)
		return WIDGET_CANCELLED;
	if (nav == NAV_ENTER)
		return press(p);
	if (nav == NAV_NEXT || nav == NAV_PREV)
		return go(p, nav == NAV_NEXT ? 1 : -1);
	if (nav == NAV_PAGE_UP || nav == NAV_PAGE_DOWN || nav == NAV_UP || nav == NAV_DOWN)
		return text_nav(&p->body, nav);
	return typing ? to_input(p, ev) : on_button_key(p, ev, nav);
}

int plan_height(const struct plan *p, int width)
{
	return text_rows(&p->body, width) + INPUT_ROWS + (has_reason(p) ? 1 : 0) +
	       (p->type_count > 0 ? 1 : 0);
}

static int draw_button(const struct plan *p, const struct canvas *c, int row, int col,
		       enum plan_focus which, const char *text, bool off)
{
	bool on = p->focus == which;
	enum role role = on ? ROLE_BUTTON_ON : off ? ROLE_KEY_OFF : ROLE_BUTTON;
	int width = canvas_printf(c, row, col, role, on ? "[>%s<]" : "[ %s ]", text);

	canvas_hit(c, row, col, 1, width, (struct hit){ HIT_ITEM, p, which });
	return width;
}

static int draw_input(struct plan *p, const struct canvas *c, int row, enum plan_focus which)
{
	struct canvas line = canvas_sub(c, row, 0, 1, canvas_cols(c));
	struct prompt *in = which == PLAN_REASON ? &p->reason : &p->count;

	in->focused = p->focus == which;
	if (which == PLAN_REASON)
		in->hint = p->reason_needed ? "why? goes into the audit log" : "why? (if you like)";
	canvas_hit(&line, 0, 0, 1, canvas_cols(&line), (struct hit){ HIT_ITEM, p, which });
	prompt_draw(in, &line);
	return 1;
}

void plan_draw(struct plan *p, const struct canvas *c)
{
	int inputs = (has_reason(p) ? 1 : 0) + (p->type_count > 0 ? 1 : 0);
	int body_rows = canvas_rows(c) - INPUT_ROWS - inputs + 1;
	struct canvas body = canvas_sub(c, 0, 0, body_rows, canvas_cols(c));
	const char *missing = plan_missing(p);
	int row = body_rows;
	int at;

	text_draw(&p->body, &body);
	if (has_reason(p))
		row += draw_input(p, c, row, PLAN_REASON);
	if (p->type_count > 0)
		row += draw_input(p, c, row, PLAN_COUNT);
	row++;
	at = draw_button(p, c, row, 0, PLAN_CANCEL, p->no, false) + 2;
	at += draw_button(p, c, row, at, PLAN_COMMIT, p->verb, missing != NULL) + 2;
	if (p->change != NULL)
		at += draw_button(p, c, row, at, PLAN_CHANGE, p->change, p->busy) + 2;
	if (missing != NULL)
		canvas_field(c, row, at, canvas_cols(c) - at, ALIGN_LEFT,
			     p->focus == PLAN_COMMIT ? ROLE_WARN : ROLE_DIM, str_of(missing));
	else
		canvas_field(c, row, at, canvas_cols(c) - at, ALIGN_LEFT, ROLE_DIM,
			     STR("Tab moves, Enter presses"));
}
