/*
 * All text goes through struct scan, which turns bytes into graphemes: a base with its marks and a
 * width. What must not reach a terminal leaves the scanner as U+FFFD, so no other function in the
 * console can let it through.
 */
#include "cell/canvas.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/obj.h"
#include "base/utf8.h"

#define CANVAS_PRINTF_MAX 512 /* longer texts are cut */

/* --- bytes to graphemes --- */

struct grapheme {
	uint32_t cp[CELL_CPS];
	int width;
	size_t bytes;
};

static uint32_t cleaned(uint32_t cp, int *ret_width)
{
	/* The lines of a reply stand in one row in most places. */
	if (cp == '\t' || cp == '\n')
		cp = ' ';
	*ret_width = cell_width(cp);
	if (*ret_width < 0) {
		*ret_width = 1;
		return UTF8_REPLACEMENT;
	}
	return cp;
}

/* The first grapheme of s, which is not empty. A mark without a base becomes U+FFFD. */
static struct grapheme scan(struct str s)
{
	struct grapheme g = { .width = 0 };
	uint32_t cp;
	int marks = 0;

	g.bytes = utf8_decode(s, &cp);
	g.cp[0] = cleaned(cp, &g.width);
	if (g.width == 0) {
		g.cp[0] = UTF8_REPLACEMENT;
		g.width = 1;
		return g;
	}
	while (g.bytes < s.n) {
		int width;
		size_t n = utf8_decode(str_from(s.p + g.bytes, s.n - g.bytes), &cp);

		cp = cleaned(cp, &width);
		if (width != 0)
			break;
		g.bytes += n;
		if (marks < CELL_CPS - 1)
			g.cp[++marks] = cp;
	}
	return g;
}

static struct str rest_of(struct str s, size_t n)
{
	return str_from(s.p + n, s.n - n);
}

int text_width(struct str s)
{
	int cols = 0;

	while (s.n > 0) {
		struct grapheme g = scan(s);

		cols += g.width;
		s = rest_of(s, g.bytes);
	}
	return cols;
}

size_t text_fit(struct str s, int width, int *ret_cols)
{
	size_t bytes = 0;
	int cols = 0;

	while (bytes < s.n) {
		struct grapheme g = scan(rest_of(s, bytes));

		if (cols + g.width > width)
			break;
		cols += g.width;
		bytes += g.bytes;
	}
	*ret_cols = cols;
	return bytes;
}

size_t text_next(struct str s)
{
	return s.n > 0 ? scan(s).bytes : 0;
}

/* --- the canvas --- */

struct canvas canvas_of(struct grid *g, struct hit_map *hits, bool ascii)
{
	struct rect all = { 0, 0, grid_rows(g), grid_cols(g) };

	return (struct canvas){ .grid = g, .hits = hits, .area = all, .clip = all, .ascii = ascii };
}

struct canvas canvas_sub(const struct canvas *c, int row, int col, int rows, int cols)
{
	struct canvas sub = *c;

	sub.area.row = c->area.row + row;
	sub.area.col = c->area.col + col;
	sub.area.rows = rows > 0 ? rows : 0;
	sub.area.cols = cols > 0 ? cols : 0;
	sub.clip = rect_cut(c->clip, sub.area);
	return sub;
}

static bool visible(const struct canvas *c, int row, int col)
{
	return row >= c->clip.row && row < c->clip.row + c->clip.rows && col >= c->clip.col &&
	       col < c->clip.col + c->clip.cols;
}

static struct cell cell_of(const struct canvas *c, unsigned role, uint32_t cp)
{
	return (struct cell){ .cp = { cp }, .role = (uint8_t)role, .under = c->under, .width = 1 };
}

/* Puts one grapheme at a place on the grid; a wide one that is cut by the clip becomes blank. */
static void put(const struct canvas *c, int row, int col, unsigned role, const struct grapheme *g)
{
	struct cell cell = cell_of(c, role, ' ');
	bool first = visible(c, row, col);
	bool second = g->width == 2 && visible(c, row, col + 1);

	if (g->width == 2 && !(first && second)) {
		if (first)
			grid_set(c->grid, row, col, &cell);
		if (second)
			grid_set(c->grid, row, col + 1, &cell);
		return;
	}
	if (!first)
		return;
	memcpy(cell.cp, g->cp, sizeof(cell.cp));
	cell.width = (uint8_t)g->width;
	if (c->ascii && (cell.cp[0] >= 0x7f || cell.cp[1] != 0)) {
		cell = cell_of(c, role, '?');
		grid_set(c->grid, row, col, &cell);
		if (g->width == 2)
			grid_set(c->grid, row, col + 1, &cell);
		return;
	}
	grid_set(c->grid, row, col, &cell);
}

int canvas_puts(const struct canvas *c, int row, int col, unsigned role, struct str s)
{
	int end = c->area.cols;
	int at = col;

	while (s.n > 0 && at < end) {
		struct grapheme g = scan(s);

		put(c, c->area.row + row, c->area.col + at, role, &g);
		at += g.width;
		s = rest_of(s, g.bytes);
	}
	return at - col;
}

int canvas_printf(const struct canvas *c, int row, int col, unsigned role, const char *fmt, ...)
{
	char text[CANVAS_PRINTF_MAX];
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	if (n < 0)
		return 0;
	return canvas_puts(c, row, col, role, str_of(text));
}

void canvas_fill(const struct canvas *c, int row, int col, int rows, int cols, unsigned role)
{
	struct rect r = { c->area.row + row, c->area.col + col, rows, cols };
	struct cell cell = cell_of(c, role, ' ');

	r = rect_cut(c->clip, r);
	for (int y = r.row; y < r.row + r.rows; y++)
		for (int x = r.col; x < r.col + r.cols; x++)
			grid_set(c->grid, y, x, &cell);
}

void canvas_clear(const struct canvas *c, unsigned role)
{
	canvas_fill(c, 0, 0, c->area.rows, c->area.cols, role);
}

void canvas_field(const struct canvas *c, int row, int col, int width, enum align align,
		  unsigned role, struct str s)
{
	struct canvas field = canvas_sub(c, row, col, 1, width);
	int cols;
	size_t bytes;
	int at = 0;

	if (width <= 0)
		return;
	canvas_clear(&field, role);
	bytes = text_fit(s, width, &cols);
	if (bytes < s.n) {
		bytes = text_fit(s, width - 1, &cols);
		canvas_puts(&field, 0, 0, role, str_from(s.p, bytes));
		canvas_glyph(&field, 0, cols, role, GLYPH_ELLIPSIS);
		return;
	}
	if (align == ALIGN_RIGHT)
		at = width - cols;
	else if (align == ALIGN_CENTRE)
		at = (width - cols) / 2;
	canvas_puts(&field, 0, at, role, s);
}

void canvas_field_from(const struct canvas *c, int row, int col, int width, int skip, unsigned role,
		       struct str s)
{
	int cols = 0;
	size_t bytes;

	if (skip <= 0) {
		canvas_field(c, row, col, width, ALIGN_LEFT, role, s);
		return;
	}
	bytes = text_fit(s, skip, &cols);
	if (cols < skip && bytes < s.n) /* a wide character lies across the edge */
		bytes += text_next(rest_of(s, bytes));
	canvas_field(c, row, col, width, ALIGN_LEFT, role, rest_of(s, bytes));
}

/* --- signs, lines and meters --- */

static const struct {
	const char *unicode;
	const char *ascii;
} glyphs[GLYPH__COUNT] = {
	[GLYPH_ELLIPSIS] = { "…", "~" },  [GLYPH_UP] = { "▲", "^" },
	[GLYPH_DOWN] = { "▼", "v" },	  [GLYPH_LEFT] = { "◀", "<" },
	[GLYPH_RIGHT] = { "▶", ">" },	  [GLYPH_MARK] = { "●", "*" },
	[GLYPH_CURSOR] = { "▸", ">" },	  [GLYPH_OK] = { "✓", "+" },
	[GLYPH_WARN] = { "▲", "!" },	  [GLYPH_BAD] = { "✗", "X" },
	[GLYPH_HELD] = { "■", "H" },	  [GLYPH_BULLET] = { "•", "-" },
	[GLYPH_HLINE] = { "─", "-" },	  [GLYPH_VLINE] = { "│", "|" },
	[GLYPH_CORNER_TL] = { "┌", "+" }, [GLYPH_CORNER_TR] = { "┐", "+" },
	[GLYPH_CORNER_BL] = { "└", "+" }, [GLYPH_CORNER_BR] = { "┘", "+" },
	[GLYPH_SCROLL] = { "█", "#" },	  [GLYPH_TRACK] = { "│", "|" },
};

const char *canvas_glyph_text(const struct canvas *c, enum glyph g)
{
	ASSERT(g < GLYPH__COUNT);
	return c->ascii ? glyphs[g].ascii : glyphs[g].unicode;
}

/* With c NULL it is only counted. */
static int wrap(const struct canvas *c, int row, int col, int width, int rows, unsigned role,
		struct str s)
{
	int line = 0, cols;

	for (s = str_trim(s); s.n > 0 && line < rows && width > 0; line++) {
		size_t n = text_fit(s, width, &cols);

		if (n < s.n && line + 1 < rows) {
			size_t blank = n;

			while (blank > 0 && s.p[blank] != ' ')
				blank--;
			n = blank > 0 ? blank : n;
			if (c != NULL)
				(void)canvas_puts(c, row + line, col, role, str_from(s.p, n));
		} else {
			if (c != NULL)
				canvas_field(c, row + line, col, width, ALIGN_LEFT, role, s);
			n = s.n;
		}
		s = str_trim(str_from(s.p + n, s.n - n));
	}
	return line;
}

int canvas_wrap(const struct canvas *c, int row, int col, int rows, unsigned role, struct str s)
{
	return wrap(c, row, col, canvas_cols(c) - col, rows, role, s);
}

int canvas_wrap_rows(int width, int rows, struct str s)
{
	return wrap(NULL, 0, 0, width, rows, 0, s);
}

int canvas_glyph(const struct canvas *c, int row, int col, unsigned role, enum glyph g)
{
	return canvas_puts(c, row, col, role, str_of(canvas_glyph_text(c, g)));
}

void canvas_hline(const struct canvas *c, int row, int col, int cols, unsigned role)
{
	for (int i = 0; i < cols; i++)
		canvas_glyph(c, row, col + i, role, GLYPH_HLINE);
}

void canvas_vline(const struct canvas *c, int row, int col, int rows, unsigned role)
{
	for (int i = 0; i < rows; i++)
		canvas_glyph(c, row + i, col, role, GLYPH_VLINE);
}

void canvas_box(const struct canvas *c, unsigned role, struct str title)
{
	int bottom = c->area.rows - 1;
	int right = c->area.cols - 1;
	int room = c->area.cols - 6;

	canvas_hline(c, 0, 1, right - 1, role);
	canvas_hline(c, bottom, 1, right - 1, role);
	canvas_vline(c, 1, 0, bottom - 1, role);
	canvas_vline(c, 1, right, bottom - 1, role);
	canvas_glyph(c, 0, 0, role, GLYPH_CORNER_TL);
	canvas_glyph(c, 0, right, role, GLYPH_CORNER_TR);
	canvas_glyph(c, bottom, 0, role, GLYPH_CORNER_BL);
	canvas_glyph(c, bottom, right, role, GLYPH_CORNER_BR);
	if (title.n > 0 && room > 0) {
		int width = text_width(title);

		width = width < room ? width : room;
		canvas_puts(c, 0, 2, role, STR(" "));
		canvas_field(c, 0, 3, width, ALIGN_LEFT, role, title);
		canvas_puts(c, 0, 3 + width, role, STR(" "));
	}
}

void canvas_bar(const struct canvas *c, int row, int col, int width, unsigned role, double value,
		double max)
{
	static const char *const part[] = { " ", "▏", "▎", "▍", "▌", "▋", "▊", "▉" };
	int eighths = 0;

	if (max > 0 && value > 0)
		eighths = (int)lrint(fmin(value / max, 1.0) * width * 8);
	if (value > 0 && eighths == 0)
		eighths = 1; /* something is not nothing */
	for (int i = 0; i < width; i++, eighths -= 8) {
		const char *s = " ";

		if (eighths >= 8)
			s = c->ascii ? "#" : "█";
		else if (eighths > 0)
			s = c->ascii ? (eighths >= 4 || i == 0 ? "#" : " ") : part[eighths];
		canvas_puts(c, row, col + i, role, str_of(s));
	}
}

void canvas_spark(const struct canvas *c, int row, int col, int width, unsigned role,
		  const double *values, int n, double max)
{
	static const char *const high[] = { "▁", "▂", "▃", "▄", "▅", "▆", "▇", "█" };
	static const char *const low[] = { "_", ".", "-", "-", "=", "=", "#", "#" };
	int first = n > width ? n - width : 0;

	canvas_fill(c, row, col, 1, width, role);
	if (max <= 0)
		for (int i = first; i < n; i++)
			max = fmax(max, values[i]);
	for (int i = first; i < n; i++) {
		int x = col + width - (n - i);
		int level = 0;

		if (max > 0 && values[i] > 0)
			level = (int)ceil(fmin(values[i] / max, 1.0) * 8) - 1;
		else
			level = -1;
		if (level < 0)
			canvas_puts(c, row, x, role, STR(" "));
		else
			canvas_puts(c, row, x, role, str_of(c->ascii ? low[level] : high[level]));
	}
}

void canvas_cursor(const struct canvas *c, int row, int col)
{
	if (visible(c, c->area.row + row, c->area.col + col))
		grid_cursor_set(c->grid, c->area.row + row, c->area.col + col);
}

void canvas_hit(const struct canvas *c, int row, int col, int rows, int cols, struct hit hit)
{
	struct rect r = { c->area.row + row, c->area.col + col, rows, cols };

	if (c->hits != NULL)
		hit_map_add(c->hits, rect_cut(c->clip, r), hit);
}
