/*
 * The rule about wide characters is kept in one place: whoever overwrites half of one leaves a
 * blank in the other half (grid_set).
 */
#include "cell/grid.h"

#include <stdlib.h>
#include <string.h>
#include <wchar.h>

#include "base/mem.h"
#include "base/obj.h"
#include "base/utf8.h"

struct grid {
	int rows, cols;
	int cursor_row, cursor_col;
	struct cell *cells;
};

static const struct cell blank = { .cp = { ' ' }, .width = 1 };

static int limited(int n, int max)
{
	return n < 1 ? 1 : n > max ? max : n;
}

struct grid *grid_new(int rows, int cols)
{
	struct grid *g = xcalloc(1, sizeof(*g));

	grid_resize(g, rows, cols);
	return g;
}

void grid_free(struct grid **gp)
{
	if (gp == NULL || *gp == NULL)
		return;
	free((*gp)->cells);
	free(*gp);
	*gp = NULL;
}

void grid_resize(struct grid *g, int rows, int cols)
{
	rows = limited(rows, GRID_MAX_ROWS);
	cols = limited(cols, GRID_MAX_COLS);
	if (g->cells == NULL || rows != g->rows || cols != g->cols) {
		free(g->cells);
		g->cells = xcalloc((size_t)rows * (size_t)cols, sizeof(struct cell));
		g->rows = rows;
		g->cols = cols;
	}
	grid_clear(g);
}

void grid_clear(struct grid *g)
{
	size_t n = (size_t)g->rows * (size_t)g->cols;

	for (size_t i = 0; i < n; i++)
		g->cells[i] = blank;
	g->cursor_row = -1;
	g->cursor_col = -1;
}

int grid_rows(const struct grid *g)
{
	return g->rows;
}

int grid_cols(const struct grid *g)
{
	return g->cols;
}

static struct cell *cell_at(const struct grid *g, int row, int col)
{
	ASSERT(row >= 0 && row < g->rows && col >= 0 && col < g->cols);
	return &g->cells[(size_t)row * (size_t)g->cols + (size_t)col];
}

const struct cell *grid_at(const struct grid *g, int row, int col)
{
	return cell_at(g, row, col);
}

static void blank_text(struct cell *c)
{
	memset(c->cp, 0, sizeof(c->cp));
	c->cp[0] = ' ';
	c->width = 1;
	c->flags = 0;
}

/* Makes (row, col) a cell of its own, blanking the other half of a wide character. */
static void split(struct grid *g, int row, int col)
{
	struct cell *c = cell_at(g, row, col);

	if (c->flags & CELL_TAIL)
		blank_text(c - 1);
	else if (c->width == 2)
		blank_text(c + 1);
	blank_text(c);
}

void grid_set(struct grid *g, int row, int col, const struct cell *c)
{
	struct cell *to = cell_at(g, row, col);

	ASSERT(c->width == 1 || (c->width == 2 && col + 1 < g->cols));
	split(g, row, col);
	if (c->width == 2) {
		split(g, row, col + 1);
		to[1] = (struct cell){ .role = c->role, .under = c->under, .flags = CELL_TAIL };
	}
	*to = *c;
}

bool grid_row_same(const struct grid *a, const struct grid *b, int row)
{
	/* struct cell has no padding: memcmp() compares exactly what is drawn. */
	_Static_assert(sizeof(struct cell) == CELL_CPS * sizeof(uint32_t) + 4, "padding in a cell");
	ASSERT(a->cols == b->cols);
	return memcmp(cell_at(a, row, 0), cell_at(b, row, 0),
		      (size_t)a->cols * sizeof(struct cell)) == 0;
}

void grid_copy(struct grid *to, const struct grid *from)
{
	grid_resize(to, from->rows, from->cols);
	memcpy(to->cells, from->cells,
	       (size_t)from->rows * (size_t)from->cols * sizeof(struct cell));
	to->cursor_row = from->cursor_row;
	to->cursor_col = from->cursor_col;
}

void grid_cursor_set(struct grid *g, int row, int col)
{
	g->cursor_row = row < g->rows ? row : -1;
	g->cursor_col = col < g->cols ? col : g->cols - 1;
}

bool grid_cursor(const struct grid *g, int *ret_row, int *ret_col)
{
	if (g->cursor_row < 0)
		return false;
	*ret_row = g->cursor_row;
	*ret_col = g->cursor_col;
	return true;
}

int cell_width(uint32_t cp)
{
	int w;

	if (cp >= 0x20 && cp < 0x7f)
		return 1;
	if (utf8_harmful(cp))
		return -1;
	w = wcwidth((wchar_t)cp);
	return w > 2 ? -1 : w;
}
