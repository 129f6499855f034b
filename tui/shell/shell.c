/*
 * Events, actions and frames. Everything that frees (views, overlays) is put off until the event or
 * frame that caused it is over, so callbacks may close whatever they like, themselves included.
 */
#include "shell/shell.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/fmt.h"
#include "base/mem.h"
#include "base/obj.h"
#include "loop/loop.h"
#include "shell/shell_int.h"

#define TICK_MS 1000
#define NOT_READY_MS 50
#define NOTICE_MS 6000

/* --- rings --- */

void ring_add(struct ring *r, char *line)
{
	int at = (r->begin + r->n) % SHELL_RING;

	if (r->n == SHELL_RING) {
		free(r->line[r->begin]);
		r->begin = (r->begin + 1) % SHELL_RING;
	} else {
		r->n++;
	}
	r->line[at] = line;
}

const char *ring_get(const struct ring *r, int i)
{
	return r->line[(r->begin + i) % SHELL_RING];
}

void ring_done(struct ring *r)
{
	for (int i = 0; i < r->n; i++)
		free(r->line[(r->begin + i) % SHELL_RING]);
	r->n = 0;
}

/* --- frames --- */

static void reap(struct shell *s)
{
	while (s->dead_overlays != NULL) {
		struct overlay *o = s->dead_overlays;

		s->dead_overlays = o->next_dead;
		o->ops->free(o);
		free(o);
	}
	places_reap(s);
}

void shell_dirty(struct shell *s, unsigned bits)
{
	int64_t since = loop_now_ms(s->o.loop) - s->frame_ms;

	s->dirty |= bits;
	if (!loop_timer_pending(s->frame))
		loop_timer_set(s->frame, since >= SHELL_FRAME_MS ? 0 : SHELL_FRAME_MS - since);
}

static void draw_too_small(const struct canvas *c)
{
	canvas_printf(c, 0, 0, ROLE_WARN, "This window is too small:");
	canvas_printf(c, 1, 0, ROLE_TEXT, "%d x %d, and %d x %d is needed.", canvas_cols(c),
		      canvas_rows(c), SHELL_MIN_COLS, SHELL_MIN_ROWS);
}

static void draw(struct shell *s)
{
	struct canvas c;

	grid_clear(s->grid);
	hit_map_clear(s->hits);
	c = canvas_of(s->grid, s->hits, s->o.ascii);
	if (canvas_rows(&c) < SHELL_MIN_ROWS || canvas_cols(&c) < SHELL_MIN_COLS) {
		draw_too_small(&c);
		return;
	}
	if (shell_view(s) != NULL) {
		struct canvas body;

		chrome_body(s, &c, &body);
		shell_view(s)->def->draw(shell_view(s), &body);
	}
	chrome_draw(s, &c);
	overlays_draw(s, &c);
}

static void recalc(struct shell *s)
{
	struct view *v = shell_view(s);

	if (s->frozen)
		s->freeze_missed = true;
	else if (v != NULL && v->def->changed != NULL)
		v->def->changed(v);
}

void shell_frame(struct shell *s)
{
	loop_timer_cancel(s->frame);
	if (!s->o.screen_ops->ready(s->o.screen)) {
		loop_timer_set(s->frame, NOT_READY_MS);
		return;
	}
	if (s->dirty & SHELL_RELAYOUT) {
		int rows, cols;

		s->o.screen_ops->size(s->o.screen, &rows, &cols);
		grid_resize(s->grid, rows, cols);
	}
	if (s->dirty & SHELL_RECALC)
		recalc(s);
	s->dirty = 0;
	s->frame_ms = loop_now_ms(s->o.loop);
	draw(s);
	s->o.screen_ops->present(s->o.screen, s->grid);
	reap(s);
}

static void on_frame(void *arg)
{
	shell_frame(OBJ(shell, SHELL_MAGIC, arg));
}

/* Ages on the screen move on even when nothing happens. */
static void on_tick(void *arg)
{
	struct shell *s = OBJ(shell, SHELL_MAGIC, arg);

	loop_timer_set(s->tick, TICK_MS);
	if (s->notice[0] != '\0' && s->notice_until_ms > 0 &&
	    loop_now_ms(s->o.loop) >= s->notice_until_ms)
		s->notice[0] = '\0';
	shell_dirty(s, SHELL_REPAINT);
}

/* --- life --- */

struct shell *shell_new(const struct shell_options *o)
{
	struct shell *s = xcalloc(1, sizeof(*s));
	int rows, cols;

	s->magic = SHELL_MAGIC;
	s->o = *o;
	s->here = -1;
	s->keymap = o->keymap != NULL ? o->keymap : keymap_new();
	o->screen_ops->size(o->screen, &rows, &cols);
	s->grid = grid_new(rows, cols);
	s->hits = hit_map_new();
	s->palette_history = history_new();
	s->frame = loop_timer_new(o->loop, "shell.frame", on_frame, s);
	s->tick = loop_timer_new(o->loop, "shell.tick", on_tick, s);
	s->frame_ms = loop_now_ms(o->loop) - SHELL_FRAME_MS;
	pthread_mutex_init(&s->log_lock, NULL);
	loop_timer_set(s->tick, TICK_MS);
	shell_dirty(s, SHELL_RELAYOUT);
	return s;
}

void shell_free(struct shell **sp)
{
	struct shell *s;

	if (sp == NULL || *sp == NULL)
		return;
	s = *sp;
	while (s->n_overlays > 0)
		overlay_close(s->overlay[s->n_overlays - 1]);
	places_close_all(s);
	reap(s);
	loop_timer_free(&s->frame);
	loop_timer_free(&s->tick);
	grid_free(&s->grid);
	hit_map_free(&s->hits);
	history_free(&s->palette_history);
	keymap_free(&s->keymap);
	ring_done(&s->commands);
	ring_done(&s->notices);
	ring_done(&s->log);
	pthread_mutex_destroy(&s->log_lock);
	s->magic = 0;
	free(s);
	*sp = NULL;
}

const struct grid *shell_grid(const struct shell *s)
{
	return s->grid;
}

void shell_status_set(struct shell *s, const struct shell_status *status)
{
	s->status = *status;
	shell_dirty(s, SHELL_REPAINT);
}

const struct shell_status *shell_status(const struct shell *s)
{
	return &s->status;
}

bool shell_frozen(const struct shell *s)
{
	return s->frozen;
}

bool shell_ascii(const struct shell *s)
{
	return s->o.ascii;
}

int64_t shell_now_ms(const struct shell *s)
{
	return loop_now_ms(s->o.loop);
}

int64_t shell_wall_ms(const struct shell *s)
{
	return loop_wall_ms(s->o.loop);
}

const struct keymap *shell_keymap(const struct shell *s)
{
	return s->keymap;
}

void shell_clipboard(struct shell *s, struct str text)
{
	if (s->o.screen_ops->clipboard != NULL)
		s->o.screen_ops->clipboard(s->o.screen, text);
}

/* --- notices and logs --- */

static char *stamped(const struct shell *s, const char *text)
{
	char when[FMT_TIME_LEN];

	fmt_time(loop_wall_ms(s->o.loop), when);
	return xasprintf("%.8s %s", when + 11, text); /* HH:MM:SS of the RFC 3339 time */
}

void shell_notice(struct shell *s, enum notice_level level, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	(void)vsnprintf(s->notice, sizeof(s->notice), fmt, ap);
	va_end(ap);
	s->notice_level = level;
	s->notice_until_ms = level == NOTICE_BAD ? 0 : loop_now_ms(s->o.loop) + NOTICE_MS;
	ring_add(&s->notices, stamped(s, s->notice));
	shell_dirty(s, SHELL_REPAINT);
}

void shell_notice_err(struct shell *s, const char *what, const struct err *err)
{
	shell_notice(s, NOTICE_BAD, "%s: %s", what,
		     err->msg[0] != '\0' ? err->msg : err_text(err->code));
}

void shell_log_command(struct shell *s, const char *command, const char *result)
{
	char *line = stamped(s, command);

	ring_add(&s->commands, xasprintf("%s%s%s", line, result[0] != '\0' ? "  # " : "", result));
	free(line);
}

void shell_log_line(enum log_level level, const char *line, void *arg)
{
	static const char *const names[] = { "error", "warn", "info", "debug" };
	struct shell *s = OBJ(shell, SHELL_MAGIC, arg);
	char when[FMT_TIME_LEN];

	fmt_time(loop_clock_us() / 1000, when);
	pthread_mutex_lock(&s->log_lock);
	ring_add(&s->log, xasprintf("%.8s %-5s %s", when + 11, names[level], line));
	pthread_mutex_unlock(&s->log_lock);
}

static void show_ring(struct shell *s, const char *title, const struct ring *r, const char *empty)
{
	struct text *body = shell_page_body(s, shell_page(s, NULL, title));

	pthread_mutex_lock(&s->log_lock);
	for (int i = 0; i < r->n; i++)
		text_add(body, ROLE_TEXT, str_of(ring_get(r, i)));
	if (r->n == 0)
		text_add(body, ROLE_DIM, str_of(empty));
	pthread_mutex_unlock(&s->log_lock);
	body->top = r->n;
}

static void show_log(struct shell *s)
{
	struct text *body;

	show_ring(s, "Console's log", &s->log, "nothing logged");
	body = shell_page_body(s, (struct overlay_id){ s->next_id });
	if (s->notices.n > 0)
		text_add(body, ROLE_HEADING, STR("Notices"));
	for (int i = 0; i < s->notices.n; i++)
		text_add(body, ROLE_TEXT, str_of(ring_get(&s->notices, i)));
}

/* --- actions --- */

/* Then to fetch again means to connect first. */
static bool wants_link(const struct shell *s)
{
	return s->status.link != LINK_UP && s->o.hurry != NULL;
}

static bool own_action(const struct shell *s, enum action_id a)
{
	const struct action_def *d = &action_defs[a];

	if (d->group == GROUP_MOVE)
		return true;
	if (action_slot(a) >= 0)
		return view_def_slot(s, action_slot(a)) != NULL;
	if (a == A_RELAYS)
		return s->o.relays != NULL;
	if (a == A_REFRESH)
		return wants_link(s);
	return d->group == GROUP_SCREEN || a == A_MENU ||
	       (d->group != GROUP_CHANGE && view_def_find(s, d->name) != NULL);
}

/* What the action needs, or the method that it leads to on this screen. */
static enum action_perm perm_of(const struct view *v, enum action_id a)
{
	const struct view_verb *verb = v->def->verbs;
	enum action_perm perm = action_defs[a].perm;

	for (; verb != NULL && verb->action != A_NONE; verb++) {
		int needed = (int)method_defs[verb->method].role - (int)ACCESS_VIEWER;

		if (verb->action == a && needed > (int)perm)
			perm = (enum action_perm)needed;
	}
	return perm;
}

static const char *refuse_role(struct shell *s, const struct view *v, enum action_id a)
{
	static const char *const names[] = { "viewer", "operator", "admin" };
	const struct action_def *d = &action_defs[a];
	enum action_perm perm = perm_of(v, a);

	if (s->o.readonly && d->group == GROUP_CHANGE)
		return "the console was started with --readonly";
	if (s->status.perm >= perm)
		return NULL;
	snprintf(s->refusal, sizeof(s->refusal), "needs the role %s, you are %s", names[perm],
		 s->status.role[0] != '\0' ? s->status.role : names[s->status.perm]);
	return s->refusal;
}

const char *shell_refusal(struct shell *s, enum action_id a)
{
	const struct action_def *d = &action_defs[a];
	struct view *v = shell_view(s);
	bool listed = v != NULL && view_handles(v, a);
	const char *role;

	if (!listed)
		return own_action(s, a) ? NULL : "not on this screen";
	role = refuse_role(s, v, a);
	if (role != NULL)
		return role;
	if ((d->needs & NEED_LINK) && s->status.link != LINK_UP)
		return "the relay is not connected";
	if ((d->needs & NEED_ROW) && v->def->selected != NULL && v->def->selected(v) == 0)
		return "nothing is selected";
	return v->def->refuse != NULL ? v->def->refuse(v, a) : NULL;
}

static void quit(struct shell *s)
{
	if (s->o.quit != NULL)
		s->o.quit(s->o.app);
}

static void on_quit_asked(void *arg, bool yes)
{
	if (yes)
		quit(OBJ(shell, SHELL_MAGIC, arg));
}

static void close_or_quit(struct shell *s)
{
	if (s->n_history > 1) {
		places_close(s);
		return;
	}
	(void)shell_ask(s, &(struct shell_ask){ .title = "Leave the console?",
						.text = "The relay goes on working.",
						.yes = "Leave",
						.done = on_quit_asked,
						.arg = s });
}

struct theme_menu {
	struct menu_item item[64];
	char name[64][THEME_NAME_MAX];
	int n;
};

static void add_theme(const char *name, void *arg)
{
	struct theme_menu *m = arg;

	if (m->n == (int)ARRAY_LEN(m->item))
		return;
	snprintf(m->name[m->n], THEME_NAME_MAX, "%s", name);
	m->item[m->n] = (struct menu_item){ .id = (uint64_t)m->n + 1, .title = m->name[m->n] };
	m->n++;
}

static void on_theme(void *arg, uint64_t id)
{
	struct shell *s = OBJ(shell, SHELL_MAGIC, arg);
	struct theme_menu m = { .n = 0 };
	struct err err = ERR_INIT;

	theme_each(add_theme, &m);
	if (id == 0 || id > (uint64_t)m.n)
		return;
	if (s->o.screen_ops->theme(s->o.screen, m.name[id - 1], &err) < 0)
		shell_notice_err(s, "theme", &err);
	shell_dirty(s, SHELL_REPAINT);
}

static void choose_theme(struct shell *s)
{
	struct theme_menu m = { .n = 0 };

	if (s->o.screen_ops->theme == NULL)
		return;
	theme_each(add_theme, &m);
	(void)shell_menu(
		s,
		&(struct shell_menu){
			.title = "Theme", .items = m.item, .n = m.n, .done = on_theme, .arg = s });
}

static void toggle_freeze(struct shell *s)
{
	s->frozen = !s->frozen;
	if (!s->frozen && s->freeze_missed)
		shell_dirty(s, SHELL_RECALC);
	s->freeze_missed = false;
}

static void navigate(struct shell *s, enum nav nav)
{
	struct view *v = shell_view(s);
	unsigned result = WIDGET_IGNORED;

	if (v == NULL)
		return;
	if (v->def->beside != NULL && (nav == NAV_NEXT || nav == NAV_PREV))
		(void)shell_open(s,
				 nav == NAV_PREV && v->def->before != NULL ? v->def->before
									   : v->def->beside,
				 "");
	else if (v->def->nav != NULL)
		result = v->def->nav(v, nav);
	if (nav == NAV_BACK && result == WIDGET_IGNORED)
		shell_back(s);
}

static void open_slot(struct shell *s, int slot)
{
	const struct view_def *def = view_def_slot(s, slot);

	if (def != NULL)
		(void)shell_open(s, def->name, "");
}

/* The actions the shell does itself; false for all others. */
static bool run_own(struct shell *s, enum action_id a)
{
	static void (*const own[A__COUNT])(struct shell *) = {
		[A_CLOSE] = close_or_quit, [A_PALETTE] = palette_open,
		[A_HELP] = chrome_help,	   [A_MENU] = chrome_menu,
		[A_THEME] = choose_theme,  [A_FREEZE] = toggle_freeze,
		[A_LOG] = show_log,	   [A_QUIT] = quit,
	};

	if (own[a] != NULL) {
		own[a](s);
		return true;
	}
	if (a == A_OLDER || a == A_NEWER)
		(void)(a == A_OLDER ? places_older(s) : places_newer(s));
	else if (a == A_COMMANDS)
		show_ring(s, "Command log", &s->commands, "nothing was sent to the relay yet");
	else if (a == A_REDRAW)
		s->o.screen_ops->redraw(s->o.screen);
	else if (a == A_SUSPEND)
		s->o.screen_ops->suspend(s->o.screen);
	else if (a == A_RELAYS && s->o.relays != NULL)
		s->o.relays(s->o.app);
	else if (action_slot(a) >= 0)
		open_slot(s, action_slot(a));
	else
		return false;
	return true;
}

void shell_run(struct shell *s, enum action_id a)
{
	const struct action_def *d = &action_defs[a];
	struct view *v = shell_view(s);
	const char *refusal = shell_refusal(s, a);

	shell_dirty(s, SHELL_REPAINT);
	if (refusal != NULL)
		shell_notice(s, NOTICE_WARN, "%s: %s", d->title, refusal);
	else if (d->nav != NAV_NONE)
		navigate(s, d->nav);
	else if (a == A_REFRESH && wants_link(s))
		s->o.hurry(s->o.app);
	else if (v != NULL && view_handles(v, a))
		v->def->action(v, a);
	else if (!run_own(s, a))
		(void)shell_open(s, d->name, "");
}

/* --- events --- */

static void on_key(struct shell *s, const struct event *ev)
{
	enum action_id a = keymap_find(s->keymap, ev->key);
	struct view *v = shell_view(s);
	char name[KEY_NAME_LEN];

	if (s->notice[0] != '\0' && s->notice_level == NOTICE_BAD)
		s->notice[0] = '\0';
	if (a != A_NONE) {
		shell_run(s, a);
		return;
	}
	if (v != NULL && v->def->key != NULL && v->def->key(v, ev))
		return;
	key_spell(ev->key, name);
	shell_notice(s, NOTICE_INFO, "%s does nothing here; ? shows the keys", name);
}

static void on_mouse(struct shell *s, struct event *ev)
{
	struct view *v = shell_view(s);
	struct hit hit = hit_map_find(s->hits, ev->mouse.row, ev->mouse.col);
	bool press = ev->mouse.action == MOUSE_PRESS;

	ev->mouse.hit = hit;
	if (overlay_top(s) != NULL) {
		overlay_top(s)->ops->event(overlay_top(s), ev);
		return;
	}
	if (press && ev->mouse.button == MOUSE_LEFT && hit.kind == HIT_ACTION) {
		shell_run(s, (enum action_id)hit.id);
		return;
	}
	if (press && ev->mouse.button == MOUSE_LEFT && hit.kind == HIT_VIEW) {
		open_slot(s, (int)hit.id);
		return;
	}
	if (v == NULL || v->def->mouse == NULL)
		return;
	(void)v->def->mouse(v, &ev->mouse);
	if (press && ev->mouse.button == MOUSE_RIGHT && hit.kind == HIT_ROW)
		chrome_menu(s);
}

static void to_overlay(struct overlay *o, const struct event *ev)
{
	if (o->ops->careful && !o->shown)
		return; /* typed before anybody could read the question */
	o->ops->event(o, ev);
}

void shell_event(struct shell *s, const struct event *ev)
{
	struct event copy = *ev;
	struct view *v = shell_view(s);

	switch (ev->kind) {
	case EVENT_RESIZE:
		shell_dirty(s, SHELL_RELAYOUT);
		break;
	case EVENT_MOUSE:
		on_mouse(s, &copy);
		break;
	case EVENT_KEY:
		if (overlay_top(s) != NULL)
			to_overlay(overlay_top(s), ev);
		else
			on_key(s, ev);
		break;
	case EVENT_PASTE:
		if (overlay_top(s) != NULL)
			to_overlay(overlay_top(s), ev);
		else if (v != NULL && v->def->key != NULL)
			(void)v->def->key(v, ev);
		break;
	case EVENT_FOCUS:
	case EVENT__COUNT:
		break;
	}
	shell_dirty(s, SHELL_REPAINT);
	reap(s);
}
