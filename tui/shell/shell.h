/*
 * shell - the console around the views: frame cycle, top bar, hint line, notices, overlays, keys,
 * palette, help, history.
 *
 * Model: events come in through shell_event() and go to the topmost overlay, or by the keymap to
 * the shell or the view on the screen. What changed is noted with shell_dirty(); one frame timer
 * lays out (SHELL_RELAYOUT), lets the view take new data (SHELL_RECALC) and draws (SHELL_REPAINT)
 * into a grid, which the screen (the terminal or a test) presents. While the screen is not ready,
 * frames are skipped.
 *
 * Owner: shell_new() borrows loop, screen and app for its life. The shell owns views and overlays.
 *
 * Context: loop thread. Results of overlays come through their `done` callback, exactly once,
 * unless the view that owns the overlay is closed before: then never.
 *
 *	term = term_new(&(struct term_options){ .loop = loop, .fd = -1, .event = on_event });
 *	if (term_start(term, &err) < 0)
 *		…
 *	shell = shell_new(&(struct shell_options){ .loop = loop, .screen_ops = &term_screen,
 *						   .screen = term, .app = app, .quit = on_quit });
 *	shell_register(shell, &view_overview);
 *	shell_status_set(shell, &status);
 *	shell_open(shell, "overview", "");
 *	loop_run(loop);		(on_event() hands each event to shell_event())
 *
 * Limits: SHELL_MAX_OVERLAYS; history of SHELL_HISTORY screens, of which SHELL_LIVE stay open;
 * notices, commands and log lines are rings of SHELL_RING lines.
 */
#ifndef SHELL_SHELL_H
#define SHELL_SHELL_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "base/log.h"
#include "base/str.h"
#include "cell/event.h"
#include "cell/grid.h"
#include "cell/screen.h"
#include "shell/action.h"
#include "shell/view.h"
#include "widget/form.h"
#include "widget/menu.h"
#include "widget/plan.h"
#include "widget/prompt.h"
#include "widget/text.h"

#define SHELL_MAX_VIEWS 32
#define SHELL_MAX_OVERLAYS 8
#define SHELL_HISTORY 32
#define SHELL_LIVE 6
#define SHELL_RING 500
#define SHELL_FRAME_MS 16
#define SHELL_MIN_ROWS 10
#define SHELL_MIN_COLS 40

struct loop;

/* --- wiring --- */

struct shell_options {
	struct loop *loop;
	const struct screen_ops *screen_ops; /* term_screen in the console */
	void *screen;
	void *app;	       /* view_app() */
	struct keymap *keymap; /* taken; NULL: the keys of the table */
	bool ascii;
	bool readonly; /* refuses everything in GROUP_CHANGE */
	void (*quit)(void *app);
	/* Palette: commands of the application besides actions and views; both may be NULL. */
	prompt_complete_fn *complete;
	int (*command)(void *app, struct str line, struct err *err);
	void (*relays)(void *app); /* '@'; NULL: not possible */
	void (*hurry)(void *app);  /* Ctrl-R while there is no link; may be NULL */
};

struct shell *shell_new(const struct shell_options *o);
void shell_free(struct shell **sp);
void shell_register(struct shell *s, const struct view_def *def);
void shell_event(struct shell *s, const struct event *ev);

enum shell_dirty {
	SHELL_RELAYOUT = 1u << 0,
	SHELL_RECALC = 1u << 1,
	SHELL_REPAINT = 1u << 2,
};
void shell_dirty(struct shell *s, unsigned bits);
/* Draws now instead of at the next frame (start, tests). */
void shell_frame(struct shell *s);
const struct grid *shell_grid(const struct shell *s);

/* --- what is always on the screen --- */

enum shell_link {
	LINK_CONNECTING,
	LINK_ASKING, /* a question is open */
	LINK_UP,
	LINK_LOST,
	LINK_REFUSED, /* not tried again by itself */
};

struct shell_status {
	char relay[64];	  /* name of the relay */
	char role[32];	  /* of the user there: viewer, operator, admin */
	char summary[96]; /* right side of the top bar: queue and age in a few words */
	enum role summary_role;
	/* A line of its own while something waits for a decision, and what is to be typed for one;
	 * empty: none. */
	char banner[256];
	int64_t banner_wall_ms; /* how long until then stands behind it; 0: nothing does */
	char banner_about[160]; /* and behind that, as far as there is room */
	char banner_keys[48];
	char trouble[464]; /* why it is connecting, lost or refused */
	enum shell_link link;
	enum action_perm perm;
	bool production;
	int64_t data_wall_ms;  /* when what is on the screen was last known to be true; 0: now */
	int64_t retry_wall_ms; /* when the next attempt to connect is due; 0: unknown */
};
void shell_status_set(struct shell *s, const struct shell_status *status); /* copies */
const struct shell_status *shell_status(const struct shell *s);

enum notice_level { NOTICE_INFO, NOTICE_WARN, NOTICE_BAD };
/* A line above the hint line; goes away by itself, a bad one with the next key. */
void shell_notice(struct shell *s, enum notice_level level, const char *fmt, ...) PRINTF_LIKE(3, 4);
void shell_notice_err(struct shell *s, const char *what, const struct err *err);
/* The command log: `command` is what the command line would have been, `result` a few words. */
void shell_log_command(struct shell *s, const char *command, const char *result);
/* For log_to_fn(): the console's own log, shown by A_LOG. `arg` is the shell. */
void shell_log_line(enum log_level level, const char *line, void *arg);

/* --- views --- */

/* Opens a view by name; errors become notices. True when it is on the screen. */
bool shell_open(struct shell *s, const char *view, const char *arg);
void shell_back(struct shell *s);
struct view *shell_view(const struct shell *s); /* on the screen, NULL before the first */
struct view *shell_view_by_id(const struct shell *s, uint64_t id);
/* Runs an action as if its key was pressed, with all checks. */
void shell_run(struct shell *s, enum action_id a);
/* Why it cannot be run now; NULL when it can. Borrows until the next call. */
const char *shell_refusal(struct shell *s, enum action_id a);
bool shell_frozen(const struct shell *s);
bool shell_ascii(const struct shell *s);
int64_t shell_now_ms(const struct shell *s);
int64_t shell_wall_ms(const struct shell *s);
const struct keymap *shell_keymap(const struct shell *s);
void shell_clipboard(struct shell *s, struct str text);

/* --- overlays --- */

struct overlay_id {
	uint64_t v; /* 0: none */
};

/* Yes or no; focus on no. */
struct shell_ask {
	struct view *owner;
	const char *title;
	const char *text;
	const char *yes; /* verb on the button */
	const char *no;	 /* on the other one; NULL: "Cancel" */
	bool danger;
	void (*done)(void *arg, bool yes);
	void *arg;
};
struct overlay_id shell_ask(struct shell *s, const struct shell_ask *ask);

/*
 * A line at the bottom. `enter` gets the line: >= 0 closes, -ERR shows err and goes on editing, and
 * SHELL_WAIT keeps it open until shell_overlay_done() or shell_overlay_error(); a form says so and
 * takes nothing but Esc meanwhile. `changed` gets
 * every intermediate line (live filter). `cancel` is called when it is left by Esc.
 */
#define SHELL_WAIT 1
struct shell_prompt {
	struct view *owner;
	const char *label;
	const char *hint;
	const char *initial;
	bool secret;
	bool eager; /* offers completions while typing */
	struct history *history;
	prompt_complete_fn *complete; /* gets `arg` too */
	int (*enter)(void *arg, struct str line, struct err *err);
	void (*changed)(void *arg, struct str line);
	void (*cancel)(void *arg);
	void *arg;
};
struct overlay_id shell_prompt(struct shell *s, const struct shell_prompt *p);

/* Fields in a window; results as with a prompt. The fields are borrowed until it is closed. */
struct shell_form {
	struct view *owner;
	const char *title;
	const char *text; /* above the fields; NULL: none */
	const struct form_field *fields;
	int n;
	bool danger;
	int (*enter)(void *arg, const struct form *form, struct err *err);
	void (*cancel)(void *arg);
	void *arg;
};
struct overlay_id shell_form(struct shell *s, const struct shell_form *f);

/* A choice. Items are copied, their texts too. `done` gets 0 when nothing was chosen. */
struct shell_menu {
	struct view *owner;
	const char *title;
	const struct menu_item *items;
	int n;
	bool filter;
	uint64_t current; /* cursor begins there */
	void (*done)(void *arg, uint64_t id);
	void *arg;
};
struct overlay_id shell_menu(struct shell *s, const struct shell_menu *m);

/*
 * A plan. It may be opened at once, busy, and filled when the plan arrives: text_add() to
 * shell_plan_body(), then shell_plan_ready(). `done` gets commit false when it was cancelled; with
 * commit true the dialog stays, busy, until shell_overlay_done() or shell_overlay_error().
 */
struct shell_plan {
	struct view *owner;
	const char *title;
	const char *verb;
	bool reason_needed;
	const char *reason; /* typed already; NULL */
	void (*done)(void *arg, struct overlay_id id, bool commit, struct str reason);
	/* A button back to what it was made from, which ends it; NULL: none. */
	void (*change)(void *arg, struct str reason);
	void *arg;
};
struct overlay_id shell_plan(struct shell *s, const struct shell_plan *p);
struct text *shell_plan_body(struct shell *s, struct overlay_id id); /* NULL when it was closed */
/* type_count > 0: that number must be typed before it can be committed. */
void shell_plan_ready(struct shell *s, struct overlay_id id, uint64_t type_count);
/* As if its button were pressed; nothing while something that it demands is missing. */
void shell_plan_commit(struct shell *s, struct overlay_id id);

/* A text to read; `body` of the result can be filled and refilled while it is open. */
struct overlay_id shell_page(struct shell *s, struct view *owner, const char *title);
struct text *shell_page_body(struct shell *s, struct overlay_id id); /* NULL when it was closed */

/* Ends a waiting overlay: without a word, or going on with an error shown at its place. */
void shell_overlay_done(struct shell *s, struct overlay_id id);
void shell_overlay_error(struct shell *s, struct overlay_id id, const struct err *err);
bool shell_overlay_open(const struct shell *s, struct overlay_id id);

#endif
