/*
 * grid - the screen as cells that carry meaning (a role), not colour.
 *
 * Model: rows x cols of struct cell. A wide character takes two cells, the second one flagged
 * CELL_TAIL; grids never hold half of one. Writing goes through a canvas (canvas.h), reading is for
 * the terminal layer and for tests.
 *
 * Limits: GRID_MAX_ROWS x GRID_MAX_COLS; larger terminals are used up to there.
 */
#ifndef CELL_GRID_H
#define CELL_GRID_H

#include <stdbool.h>
#include <stdint.h>

#define GRID_MAX_ROWS 500
#define GRID_MAX_COLS 1000
#define CELL_CPS 4 /* a base and up to three combining marks; further marks are dropped */

enum cell_flag { CELL_TAIL = 1u << 0 };

struct cell {
	uint32_t cp[CELL_CPS]; /* ended by 0 when shorter; cp[0] is never 0 but in a tail */
	uint8_t role;	       /* enum role of theme/roles.def: what it is */
	uint8_t under;	       /* role of what lies beneath (cursor row, mark), 0 when nothing */
	uint8_t width;	       /* 1 or 2; 0 in a tail */
	uint8_t flags;
};

struct grid;

struct grid *grid_new(int rows, int cols);
void grid_free(struct grid **gp);
/* Changes the size; the content is gone afterwards. */
void grid_resize(struct grid *g, int rows, int cols);
/* Blanks with role 0, no cursor. */
void grid_clear(struct grid *g);
int grid_rows(const struct grid *g);
int grid_cols(const struct grid *g);
/* Borrows; row and col must be inside. */
const struct cell *grid_at(const struct grid *g, int row, int col);
/* For canvas.c and tests; keeps the rule about wide characters by blanking what is left over. */
void grid_set(struct grid *g, int row, int col, const struct cell *c);
/* Whether a row of both, of the same size, looks the same. */
bool grid_row_same(const struct grid *a, const struct grid *b, int row);
/* Makes `to` the same as `from`, its size included. */
void grid_copy(struct grid *to, const struct grid *from);
/* The text cursor, for line editors; row -1 hides it. */
void grid_cursor_set(struct grid *g, int row, int col);
bool grid_cursor(const struct grid *g, int *ret_row, int *ret_col);

/* Columns of a code point: 1 or 2, 0 for a combining mark, -1 for what never reaches a terminal.
 * Needs a UTF-8 LC_CTYPE; without one everything beyond ASCII is -1. */
int cell_width(uint32_t cp);

#endif
