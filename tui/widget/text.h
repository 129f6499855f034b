/*
 * text - a page of text to read: wrapped or not, scrolled, searched.
 *
 * Model: the page owns a copy of its text, a list of lines, each with one role or with spans.
 * Setting new text keeps the scroll position, so a live page can be refreshed in place.
 *
 * Owner: the caller embeds struct text (_init/_done).
 *
 * Limits: TEXT_MAX_BYTES; what is beyond is cut, and the last line says so.
 */
#ifndef WIDGET_TEXT_H
#define WIDGET_TEXT_H

#include <stdbool.h>

#include "base/buf.h"
#include "cell/canvas.h"
#include "cell/event.h"
#include "theme/theme.h"
#include "widget/nav.h"

#define TEXT_MAX_BYTES (8u << 20)
#define TEXT_SEARCH_MAX 128

struct text_line;
struct text {
	bool focused;
	bool wrap;
	struct buf bytes;
	struct text_line *lines;
	int n_lines;
	int cap_lines;
	int top;  /* first line shown */
	int skip; /* columns to the right, without wrap */
	int page;
	int shown_rows; /* screen lines of the whole text at the last width */
	int width;	/* of the last draw */
	char search[TEXT_SEARCH_MAX];
	bool cut;
};

void text_init(struct text *t);
void text_done(struct text *t);
/* Empties it; the scroll position stays until the next draw finds it beyond the end. */
void text_clear(struct text *t);
/* Appends one line (without its end) or several (split at \n, \r\n). */
void text_add(struct text *t, enum role role, struct str s);
void text_addf(struct text *t, enum role role, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));
/* Appends "label   value" with the label in its own role and the value aligned at column `at`. */
void text_add_field(struct text *t, int at, const char *label, enum role role, struct str value);
/* What the last line is wrapped into goes on at that column; else where its first word stands. */
void text_hang(struct text *t, int col);
void text_draw(struct text *t, const struct canvas *c);
/* Screen lines the whole text takes at that width. */
int text_rows(const struct text *t, int width);
unsigned text_nav(struct text *t, enum nav nav);
unsigned text_mouse(struct text *t, const struct event_mouse *m);
/* Case-insensitive; goes to the first hit from the top on; false when there is none. "" ends it. */
bool text_search(struct text *t, struct str what);
bool text_search_next(struct text *t, bool backward);

#endif
