/*
 * term - the terminal: input decoded to events, frames brought to the screen. The only user of
 * <curses.h>.
 *
 * Model: term_start() takes the terminal over, term_stop() gives it back as it was; in between
 * nothing else may write to it. Input is decoded here (not by curses), so that mouse beyond column
 * 223, bracketed paste and Alt work the same on every terminal; curses computes what to send for a
 * frame.
 *
 * Owner: term_free() stops and frees. Context: loop thread; events come from the loop through
 * `event`. On a bug (base/obj.h) the terminal is restored before the process aborts.
 *
 * Errors: ERR_IO when there is no terminal, ERR_CONFIG when TERM is not known.
 *
 * Limits: TERM_PASTE_MAX bytes a paste (the rest is dropped); one frame in TERM_FRAME_MS.
 */
#ifndef TERM_TERM_H
#define TERM_TERM_H

#include <stdbool.h>

#include "base/err.h"
#include "base/str.h"
#include "cell/event.h"
#include "cell/grid.h"
#include "cell/screen.h"
#include "theme/theme.h"

#define TERM_PASTE_MAX 65536
#define TERM_ESC_DELAY_MS 25

struct loop;
struct term;

typedef void term_event_fn(const struct event *ev, void *arg);

struct term_options {
	struct loop *loop;
	int fd;		     /* the terminal; -1: /dev/tty */
	const char *type;    /* NULL: $TERM */
	struct theme *theme; /* taken; NULL: the built-in one */
	bool no_mouse;
	bool no_colour; /* as well as when NO_COLOR is set */
	term_event_fn *event;
	void (*hangup)(void *arg); /* the terminal is gone */
	void *arg;
};

/* Sets LC_CTYPE from the environment; false when it is not UTF-8 (then --ascii is right). */
bool term_locale(void);
struct term *term_new(const struct term_options *o);
void term_free(struct term **tp);
int term_start(struct term *t, struct err *err) MUST_CHECK;
void term_stop(struct term *t);

void term_size(struct term *t, int *ret_rows, int *ret_cols);
/* Whether a frame can be sent without waiting for the terminal. */
bool term_ready(struct term *t);
void term_present(struct term *t, const struct grid *g);
void term_redraw(struct term *t);  /* the next frame is sent whole */
void term_suspend(struct term *t); /* stops the process group; returns after SIGCONT */
void term_theme_set(struct term *t, struct theme **theme); /* takes it */
enum depth term_depth(const struct term *t);
/* Puts text on the clipboard of the user's terminal (OSC 52), cleaned of control characters. */
void term_clipboard(struct term *t, struct str text);

/* The functions above as a screen for the shell; its `screen` is the struct term. */
extern const struct screen_ops term_screen;

#endif
