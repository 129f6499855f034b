/*
 * view - what a screen of the console provides to the shell.
 *
 * Model: a view_def is a static table of functions; each open screen is one struct view with
 *private state of def->size zeroed bytes. The shell calls draw() in a frame, nav() for movement,
 *action() for the actions listed in .actions, mouse() for clicks inside the body, key() for keys
 *bound to nothing. All but name, title, draw may be NULL.
 *
 * Owner: the shell owns struct view and its state; open() fills the state, close() empties it (and
 * cancels the view's calls: nothing may reach a closed view); it is called after a failed open()
 *too.
 *
 * Context: loop thread. draw() must not call the shell except the getters below.
 *
 *	static const enum action_id actions[] = { A_HOLD, A_RELEASE, A_WHY, A_FILTER, A_NONE };
 *	const struct view_def view_queues = {
 *		.name = "queues", .title = "Queues", .slot = 1, .size = sizeof(struct queues),
 *		.actions = actions, .open = queues_open, .close = queues_close, .draw = queues_draw,
 *		.nav = queues_nav, .action = queues_action, .mouse = queues_mouse,
 *		.selected = queues_selected,
 *	};
 */
#ifndef SHELL_VIEW_H
#define SHELL_VIEW_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"
#include "cell/canvas.h"
#include "cell/event.h"
#include "proto/proto.h"
#include "shell/action.h"
#include "widget/nav.h"

#define VIEW_ARG_MAX 512

struct shell;
struct view;

/* What an action is on this screen, where its own help is too general: the summary of the method
 * that it leads to, or a text. Who may not call the method may not do it. */
struct view_verb {
	enum action_id action;
	enum method_id method;
	const char *help; /* NULL: the method's */
};

struct view_def {
	const char *name;   /* in the palette and in saved history */
	const char *also;   /* other words that find it there, separated by blanks; NULL: none */
	const char *title;  /* in the top bar */
	const char *help;   /* a sentence for the help screen */
	int slot;	    /* 0 to 9: opened by that digit; -1: by name, or from other views */
	bool inner;	    /* only from other views */
	const char *beside; /* name of the one that Tab leads to; NULL: none */
	const char *before; /* and Shift-Tab; NULL: the same */
	size_t size;	    /* of the private state */
	/* Actions it handles, in the order of the hint line, ended by A_NONE. Movement is not
	 * listed. */
	const enum action_id *actions;
	const struct view_verb *verbs; /* ended by A_NONE; NULL: none */

	/* `arg` says what to show: an id, a filter; "" when opened by its slot. */
	int (*open)(struct view *v, const char *arg, struct err *err);
	void (*close)(struct view *v);
	void (*draw)(struct view *v, const struct canvas *c);
	/* What the widget returned. WIDGET_IGNORED for NAV_BACK leaves the view. */
	unsigned (*nav)(struct view *v, enum nav nav);
	void (*action)(struct view *v, enum action_id a);
	/* m->hit is filled in; m->row and m->col are the screen's. */
	unsigned (*mouse)(struct view *v, const struct event_mouse *m);
	bool (*key)(struct view *v, const struct event *ev);
	/* Rows an action would work on now: marks, else 1 for the cursor's row, else 0. */
	int64_t (*selected)(struct view *v);
	/* Why this action is not possible now; NULL when it is. Needs and permission are checked
	 * before. */
	const char *(*refuse)(struct view *v, enum action_id a);
	/* Data changed (SHELL_RECALC): not called while the screen is frozen. */
	void (*changed)(struct view *v);
	/* It is on the screen, or not any more (still in the history): pause what nobody sees. */
	void (*shown)(struct view *v, bool shown);
	/* While it is behind what the relay has told: when its data was last as the relay's (wall
	 * clock, ms). 0: it is not. Asked while the link is lost. */
	int64_t (*known_wall_ms)(struct view *v);
	/* What to show behind the title: filter, object, count. */
	void (*subtitle)(struct view *v, struct buf *out);
	/* Views far back in the history are closed; save() writes what restore() brings back later.
	 */
	void (*save)(struct view *v, struct buf *out);
	void (*restore)(struct view *v, struct str saved);
};

void *view_state(const struct view *v);
struct shell *view_shell(const struct view *v);
const struct view_def *view_def_of(const struct view *v);
const char *view_arg(const struct view *v);
/* The wiring's context, given to shell_new(): connection, models. */
void *view_app(const struct view *v);
/* The same number is never used twice: pass it instead of a pointer where an answer comes later. */
uint64_t view_id(const struct view *v);

#endif
