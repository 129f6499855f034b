/*
 * out - standard output of the command line: what the terminal can do, and text made harmless.
 *
 * Model:   everything for people passes through out_clean() or out_fit(): bytes from mail never
 *          reach a terminal as control characters, nor as direction or joining marks.
 * Errors:  a failed write is remembered in `errnum`; a reader that has gone (EPIPE) is no failure.
 */
#ifndef CLI_OUT_H
#define CLI_OUT_H

#include <jansson.h>
#include <stdbool.h>

#include "base/buf.h"
#include "base/err.h"

#define OUT_WIDTH_MIN 40
#define OUT_WIDTH_MAX 1000
#define OUT_MAX ((size_t)64 * 1024 * 1024) /* one piece of output */

struct out {
	bool tty;
	bool colour; /* a terminal, and neither NO_COLOR nor TERM=dumb */
	bool utf8;   /* false: no signs beyond ASCII */
	int width;   /* columns; 0: as wide as it comes */
	int errnum;  /* of the first write that failed */
};

enum out_style { OUT_PLAIN, OUT_HEAD, OUT_DIM, OUT_GOOD, OUT_WARN, OUT_BAD, OUT_HELD, OUT_ACTIVE };

/* Looks at standard output and the environment. */
void out_init(struct out *o);
/* Writes and empties b; false when nobody reads any more or writing failed. */
bool out_flush(struct out *o, struct buf *b);
/* Fails when a write did, but for a reader that has gone. */
int out_check(const struct out *o, struct err *err) MUST_CHECK;

/* The style of a state's or outcome's word. */
enum out_style out_state_style(const char *word);
/* Switches a style on, or off; nothing without colours. */
void out_style(const struct out *o, struct buf *b, enum out_style style, bool on);

/* Columns that the text takes when it is cleaned. */
int out_cols(const struct out *o, struct str s);
/* Appends all of it on one line: line ends and tabs become spaces. */
void out_clean(const struct out *o, struct buf *b, struct str s);
/* The same, keeping line ends and tabs. */
void out_clean_lines(const struct out *o, struct buf *b, struct str s);
/* Appends at most `cols` columns, with a mark where something was cut; returns those used. */
int out_fit(const struct out *o, struct buf *b, struct str s, int cols);
/* Appends the text in lines of the output's width, each behind `indent` spaces. */
void out_wrap(const struct out *o, struct buf *b, struct str s, int indent);
/* The same behind `at` columns that the first line has already. */
void out_wrap_at(const struct out *o, struct buf *b, int at, struct str s, int indent);

/* Appends one JSON document with its line end. */
void out_json(const struct out *o, struct buf *b, const json_t *v);
/* The same as one line, without its end. */
void out_json_line(const struct out *o, struct buf *b, const json_t *v);

#endif
