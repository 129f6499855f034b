/*
 * prompt - a line editor with history, completion and an error that points at its place.
 *
 * Model: the line is valid UTF-8 without control characters, whatever is typed or pasted. Keys:
 * arrows, Home/End, Ctrl-A E B F, Backspace, Delete, Ctrl-W U K, Alt-B F D, Ctrl-Y (what was cut
 * last); Up and Down walk the history, Tab completes; Enter gives WIDGET_ACTIVATED, Esc
 * WIDGET_CANCELLED.
 *
 * Owner: the caller embeds struct prompt (_init/_done). History is shared between prompts and
 * borrowed.
 *
 * Limits: PROMPT_MAX bytes a line; further text is refused. PROMPT_MAX_COMPLETIONS candidates are
 * kept.
 */
#ifndef WIDGET_PROMPT_H
#define WIDGET_PROMPT_H

#include <stdbool.h>

#include "base/err.h"
#include "base/str.h"
#include "cell/canvas.h"
#include "cell/event.h"
#include "theme/theme.h"
#include "widget/nav.h"

#define PROMPT_MAX 2048
#define PROMPT_MAX_COMPLETIONS 200
#define PROMPT_CANDIDATE_MAX 128
#define HISTORY_MAX 200

/* The last lines entered, newest last; the same line twice in a row counts once. */
struct history;
struct history *history_new(void);
void history_free(struct history **hp);
void history_add(struct history *h, struct str line);
int history_count(const struct history *h);
struct str history_get(const struct history *h, int back); /* 0: the newest. Borrows. */

struct prompt;
struct prompt_candidates;
/* Offers a completion: `text` replaces the word from byte `from` on up to the cursor. */
void prompt_offer(struct prompt_candidates *to, struct str text, const char *help);
/* Calls prompt_offer() for what fits at the cursor; returns where the word being completed begins.
 */
typedef size_t prompt_complete_fn(struct str line, size_t cursor, struct prompt_candidates *to,
				  void *arg);

struct prompt {
	const char *label; /* before the line, e.g. "filter" */
	const char *hint;  /* shown while the line is empty */
	bool focused;
	bool secret; /* shows dots; no history */
	bool eager;  /* offers completions while typing, not only on Tab */
	struct history *history;
	prompt_complete_fn *complete;
	void *complete_arg;

	/* The rest belongs to the prompt. */
	char line[PROMPT_MAX];
	size_t n;
	size_t cursor;		/* byte offset, on a grapheme's begin */
	int scroll;		/* columns scrolled out to the left */
	int back;		/* place in the history, -1: the line being typed */
	char draft[PROMPT_MAX]; /* the line being typed, while walking the history */
	char cut[PROMPT_MAX];	/* what Ctrl-W, U, K cut last */
	char error[sizeof(((struct err *)0)->msg)];
	int error_column; /* 1-based code point, 0: none */
	struct prompt_candidates *candidates;
	int chosen; /* candidate shown, -1: none */
};

void prompt_init(struct prompt *p, const char *label);
void prompt_done(struct prompt *p);
struct str prompt_text(const struct prompt *p); /* borrows */
void prompt_set(struct prompt *p, struct str text);
/* Shows err->msg below the line, with a ^ under err->column; cleared by the next key. */
void prompt_error(struct prompt *p, const struct err *err);
/* What completes the word stands below it, to be gone through. */
bool prompt_choosing(const struct prompt *p);
unsigned prompt_event(struct prompt *p, const struct event *ev);
/* Lines it would like: the line, and what is below it now. */
int prompt_height(const struct prompt *p, int width);
/* Draws the line, and below it the error or the candidates, as far as the canvas has lines. */
void prompt_draw(struct prompt *p, const struct canvas *c);

#endif
