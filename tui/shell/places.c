/*
 * The history of screens. Places to the left and right of `here` keep their views, so that going
 * back is instant; when more than SHELL_LIVE are open, the one farthest from `here` is saved and
 * closed, and opened anew when the user comes back to it.
 *
 * A view may be closed from inside its own callback (`q`, back), so it only leaves the history
 * there and then; close() and free() follow when the event is over (places_reap()).
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/obj.h"
#include "shell/shell_int.h"

#define SAVED_MAX 4096

void *view_state(const struct view *v)
{
	return v->state;
}

struct shell *view_shell(const struct view *v)
{
	return v->shell;
}

const struct view_def *view_def_of(const struct view *v)
{
	return v->def;
}

const char *view_arg(const struct view *v)
{
	return v->arg;
}

void *view_app(const struct view *v)
{
	return v->shell->o.app;
}

uint64_t view_id(const struct view *v)
{
	return v->id;
}

bool view_handles(const struct view *v, enum action_id a)
{
	if (v->def->actions == NULL)
		return false;
	for (const enum action_id *p = v->def->actions; *p != A_NONE; p++)
		if (*p == a)
			return true;
	return false;
}

const struct view_def *view_def_find(const struct shell *s, const char *name)
{
	for (int i = 0; i < s->n_defs; i++)
		if (strcmp(s->defs[i]->name, name) == 0)
			return s->defs[i];
	return NULL;
}

const struct view_def *view_def_meant(const struct shell *s, struct str word)
{
	for (int i = 0; i < s->n_defs; i++) {
		struct str also = str_of(s->defs[i]->also);

		if (s->defs[i]->inner)
			continue;
		if (str_eq_nocase(word, str_of(s->defs[i]->name)) ||
		    str_eq_nocase(word, str_of(s->defs[i]->title)))
			return s->defs[i];
		while (also.n > 0)
			if (str_eq_nocase(word, str_cut(&also, ' ')))
				return s->defs[i];
	}
	return NULL;
}

const struct view_def *view_def_slot(const struct shell *s, int slot)
{
	for (int i = 0; i < s->n_defs; i++)
		if (s->defs[i]->slot == slot)
			return s->defs[i];
	return NULL;
}

void shell_register(struct shell *s, const struct view_def *def)
{
	ASSERT(s->n_defs < SHELL_MAX_VIEWS && view_def_find(s, def->name) == NULL);
	ASSERT(def->slot < 0 || view_def_slot(s, def->slot) == NULL);
	s->defs[s->n_defs++] = def;
}

struct view *shell_view(const struct shell *s)
{
	return s->here >= 0 ? s->history[s->here].view : NULL;
}

struct view *shell_view_by_id(const struct shell *s, uint64_t id)
{
	for (int i = 0; i < s->n_history; i++)
		if (s->history[i].view != NULL && s->history[i].view->id == id)
			return s->history[i].view;
	return NULL;
}

static void show(struct view *v, bool shown)
{
	if (v != NULL && v->def->shown != NULL)
		v->def->shown(v, shown);
}

static void retire(struct shell *s, struct view *v)
{
	overlays_close_of(s, v);
	v->next_dead = s->dead_views;
	s->dead_views = v;
}

void places_reap(struct shell *s)
{
	while (s->dead_views != NULL) {
		struct view *v = s->dead_views;

		s->dead_views = v->next_dead;
		if (v->def->close != NULL)
			v->def->close(v);
		free(v->state);
		free(v);
	}
}

static void forget(struct shell *s, int i)
{
	struct place *p = &s->history[i];

	if (p->view != NULL)
		retire(s, p->view);
	free(p->saved);
	memmove(p, p + 1, sizeof(*p) * (size_t)(s->n_history - i - 1));
	s->n_history--;
	if (s->here > i)
		s->here--;
}

void places_close_all(struct shell *s)
{
	while (s->n_history > 0)
		forget(s, s->n_history - 1);
	s->here = -1;
	places_reap(s);
}

static int save_and_close(struct shell *s, struct place *p)
{
	AUTO_BUF saved = BUF_INIT(SAVED_MAX);

	if (p->view->def->save != NULL)
		p->view->def->save(p->view, &saved);
	free(p->saved);
	p->saved = buf_take(&saved);
	retire(s, p->view);
	p->view = NULL;
	return 0;
}

/* Saves and closes the open place farthest from the screen while too many are open. */
static void limit_live(struct shell *s)
{
	for (;;) {
		int live = 0;
		int far = -1;

		for (int i = 0; i < s->n_history; i++) {
			if (s->history[i].view == NULL)
				continue;
			live++;
			if (i != s->here && (far < 0 || abs(i - s->here) > abs(far - s->here)))
				far = i;
		}
		if (live <= SHELL_LIVE || far < 0)
			return;
		(void)save_and_close(s, &s->history[far]);
	}
}

static struct view *open_view(struct shell *s, const struct view_def *def, const char *arg,
			      struct err *err)
{
	struct view *v = xcalloc(1, sizeof(*v));

	v->shell = s;
	v->def = def;
	v->id = ++s->next_id;
	v->state = xcalloc(1, def->size > 0 ? def->size : 1);
	snprintf(v->arg, sizeof(v->arg), "%s", arg);
	if (def->open != NULL && def->open(v, v->arg, err) < 0) {
		retire(s, v);
		return NULL;
	}
	return v;
}

/* Puts place i on the screen, opening its view again if it was closed. */
static bool go_to(struct shell *s, int i)
{
	struct place *p = &s->history[i];
	struct err err = ERR_INIT;

	if (p->view == NULL) {
		p->view = open_view(s, p->def, p->arg, &err);
		if (p->view == NULL) {
			shell_notice_err(s, p->def->title, &err);
			return false;
		}
		if (p->saved != NULL && p->def->restore != NULL)
			p->def->restore(p->view, str_of(p->saved));
	}
	if (i != s->here)
		show(shell_view(s), false);
	s->here = i;
	s->frozen = false;
	s->freeze_missed = false;
	show(p->view, true);
	limit_live(s);
	shell_dirty(s, SHELL_REPAINT);
	return true;
}

static int find_place(const struct shell *s, const struct view_def *def, const char *arg)
{
	for (int i = 0; i < s->n_history; i++)
		if (s->history[i].def == def && strcmp(s->history[i].arg, arg) == 0)
			return i;
	return -1;
}

/* A place that is in the history already moves to its end with its view, cursor and all. */
static void move_to_end(struct shell *s, int i)
{
	struct place p = s->history[i];
	int last = s->n_history - 1;

	memmove(&s->history[i], &s->history[i + 1], sizeof(p) * (size_t)(last - i));
	s->history[last] = p;
	if (s->here == i)
		s->here = last;
	else if (s->here > i)
		s->here--;
}

bool shell_open(struct shell *s, const char *name, const char *arg)
{
	const struct view_def *def = view_def_find(s, name);
	const char *what = arg != NULL ? arg : "";
	struct err err = ERR_INIT;
	struct view *v;
	int i;

	if (def == NULL) {
		shell_notice(s, NOTICE_BAD, "there is no screen '%s'", name);
		return false;
	}
	i = find_place(s, def, what);
	if (i >= 0 && i == s->here)
		return go_to(s, i);
	if (i >= 0) {
		move_to_end(s, i); /* which moves `here` */
		return go_to(s, s->n_history - 1);
	}
	v = open_view(s, def, what, &err);
	if (v == NULL) {
		shell_notice_err(s, def->title, &err);
		return false;
	}
	while (s->n_history > s->here + 1)
		forget(s, s->n_history - 1);
	if (s->n_history == SHELL_HISTORY)
		forget(s, 0);
	s->history[s->n_history] = (struct place){ .def = def, .view = v };
	snprintf(s->history[s->n_history].arg, VIEW_ARG_MAX, "%s", what);
	s->n_history++;
	return go_to(s, s->n_history - 1);
}

bool places_older(struct shell *s)
{
	return s->here > 0 && go_to(s, s->here - 1);
}

bool places_newer(struct shell *s)
{
	return s->here + 1 < s->n_history && go_to(s, s->here + 1);
}

void places_close(struct shell *s)
{
	int i = s->here;

	if (s->n_history < 2)
		return;
	if (!go_to(s, i > 0 ? i - 1 : i + 1))
		return;
	forget(s, i);
	shell_dirty(s, SHELL_REPAINT);
}

void shell_back(struct shell *s)
{
	(void)places_older(s);
}
