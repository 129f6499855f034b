/*
 * canvas - where drawing happens: a window onto a grid, with clipping and a hit map.
 *
 * Model: a value; canvas_sub() narrows it. Rows and columns count from the canvas' own corner, and
 * nothing outside is ever touched, so drawing code needs no bounds checks. canvas_puts() and what
 *is built on it are the only way from bytes to cells and a security gate: bad UTF-8, control, bidi
 *and invisible characters become U+FFFD (a tab or line end a space), wide characters are never
 *split, and combining marks stay with their base.
 *
 * Owner: grid and hit map are borrowed for the length of a draw call.
 *
 *	struct canvas box = canvas_sub(c, 2, 4, 5, 30);
 *	canvas_box(&box, ROLE_BORDER, STR("Holds"));
 *	canvas_field(&box, 1, 1, 28, ALIGN_LEFT, ROLE_TEXT, subject);
 */
#ifndef CELL_CANVAS_H
#define CELL_CANVAS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/str.h"
#include "cell/grid.h"
#include "cell/hit.h"

enum align { ALIGN_LEFT, ALIGN_RIGHT, ALIGN_CENTRE, ALIGN__COUNT };

/* Signs that have an ASCII stand-in. */
enum glyph {
	GLYPH_ELLIPSIS,
	GLYPH_UP,
	GLYPH_DOWN,
	GLYPH_LEFT,
	GLYPH_RIGHT,
	GLYPH_MARK,   /* a marked row */
	GLYPH_CURSOR, /* the cursor's row, for terminals without colour */
	GLYPH_OK,
	GLYPH_WARN,
	GLYPH_BAD,
	GLYPH_HELD,
	GLYPH_BULLET,
	GLYPH_HLINE,
	GLYPH_VLINE,
	GLYPH_CORNER_TL,
	GLYPH_CORNER_TR,
	GLYPH_CORNER_BL,
	GLYPH_CORNER_BR,
	GLYPH_SCROLL, /* the thumb of a scroll bar */
	GLYPH_TRACK,
	GLYPH__COUNT
};

struct canvas {
	struct grid *grid;
	struct hit_map *hits; /* NULL: clicks are not recorded */
	struct rect area;     /* on the grid; what (0, 0) and the size mean to the drawing code */
	struct rect clip;     /* on the grid; inside area and all parents */
	uint8_t under;	      /* goes into every cell written: the role beneath */
	bool ascii;
};

struct canvas canvas_of(struct grid *g, struct hit_map *hits, bool ascii);
struct canvas canvas_sub(const struct canvas *c, int row, int col, int rows, int cols);
static inline int canvas_rows(const struct canvas *c)
{
	return c->area.rows;
}
static inline int canvas_cols(const struct canvas *c)
{
	return c->area.cols;
}

/* Draws s from (row, col) to the right edge; returns the columns it took. */
int canvas_puts(const struct canvas *c, int row, int col, unsigned role, struct str s);
int canvas_printf(const struct canvas *c, int row, int col, unsigned role, const char *fmt, ...)
	__attribute__((format(printf, 5, 6)));
/* Draws s into exactly `width` columns: padded with blanks, or cut with an ellipsis. */
void canvas_field(const struct canvas *c, int row, int col, int width, enum align align,
		  unsigned role, struct str s);
/* The same, without the first `skip` columns of s (horizontal scrolling). */
void canvas_field_from(const struct canvas *c, int row, int col, int width, int skip, unsigned role,
		       struct str s);
/* Draws s in at most `rows` lines to the right edge, broken at blanks; returns the lines it took.
 */
int canvas_wrap(const struct canvas *c, int row, int col, int rows, unsigned role, struct str s);
/* The lines that it would take, at most `rows`. */
int canvas_wrap_rows(int width, int rows, struct str s);
int canvas_glyph(const struct canvas *c, int row, int col, unsigned role, enum glyph g);
/* The text of a glyph, for composing strings. Static. */
const char *canvas_glyph_text(const struct canvas *c, enum glyph g);
void canvas_fill(const struct canvas *c, int row, int col, int rows, int cols, unsigned role);
void canvas_clear(const struct canvas *c, unsigned role);
void canvas_hline(const struct canvas *c, int row, int col, int cols, unsigned role);
void canvas_vline(const struct canvas *c, int row, int col, int rows, unsigned role);
/* A frame along the canvas' edge, with a title in its upper side when it has one. */
void canvas_box(const struct canvas *c, unsigned role, struct str title);
/* A horizontal bar of `width` columns, filled for value/max of it in eighths of a column. */
void canvas_bar(const struct canvas *c, int row, int col, int width, unsigned role, double value,
		double max);
/* The last `width` of n values as a sparkline; max 0 takes the largest value shown. */
void canvas_spark(const struct canvas *c, int row, int col, int width, unsigned role,
		  const double *values, int n, double max);
/* Shows the text cursor there, if inside. */
void canvas_cursor(const struct canvas *c, int row, int col);
/* Records that a click there means `hit`. */
void canvas_hit(const struct canvas *c, int row, int col, int rows, int cols, struct hit hit);

/* Columns s would take on a canvas. */
int text_width(struct str s);
/* Bytes of the longest beginning of s that fits into `width` columns; *ret_cols what it takes. */
size_t text_fit(struct str s, int width, int *ret_cols);
/* Bytes of the grapheme (base and marks) s begins with; 0 when s is empty. */
size_t text_next(struct str s);

#endif
