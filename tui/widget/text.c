/*
 * Lines are slices of one buffer. How many screen lines each takes is remembered per line for the
 * width of the last draw, so that a frame only adds numbers up and scans what it shows.
 */
#include "widget/text.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/mem.h"
#include "base/secret.h"
#include "widget/meter.h"

#define TAB_STOP 8
#define HANG_MAX 16 /* blanks that a line begins with, for those it is wrapped into */
#define WHEEL_LINES 3
#define SIDE_STEP 8
#define ADDF_MAX 1024 /* longer texts are cut */

struct text_line {
	size_t at; /* in bytes.p */
	size_t n;
	int label;  /* bytes of it that are a label */
	int indent; /* column where the rest begins, with a label */
	int hang;   /* and where what is wrapped goes on */
	int rows;   /* at the width of the last draw, 0: not counted yet */
	enum role role;
};

void text_init(struct text *t)
{
	*t = (struct text){ .bytes = BUF_INIT(TEXT_MAX_BYTES) };
}

/* A secret may have stood there, of which nothing is to be left. */
static void wipe(struct text *t)
{
	if (t->bytes.n > 0)
		secret_wipe(t->bytes.p, t->bytes.n);
}

void text_done(struct text *t)
{
	wipe(t);
	buf_done(&t->bytes);
	free(t->lines);
	t->lines = NULL;
	t->n_lines = 0;
	t->cap_lines = 0;
}

void text_clear(struct text *t)
{
	wipe(t);
	buf_reset(&t->bytes);
	t->n_lines = 0;
	t->cut = false;
}

static struct text_line *add_line(struct text *t, enum role role)
{
	struct text_line *line;

	if (t->n_lines == t->cap_lines) {
		t->cap_lines = t->cap_lines > 0 ? 2 * t->cap_lines : 64;
		t->lines = xreallocarray(t->lines, (size_t)t->cap_lines, sizeof(*t->lines));
	}
	line = &t->lines[t->n_lines++];
	*line = (struct text_line){ .at = t->bytes.n, .role = role };
	return line;
}

/* Copies s with tabs as blanks; returns what was added. */
static size_t put_expanded(struct text *t, struct str s)
{
	size_t before = t->bytes.n;

	while (s.n > 0) {
		ptrdiff_t tab = str_index(s, '\t');
		size_t n = tab < 0 ? s.n : (size_t)tab;

		if (!buf_put(&t->bytes, s.p, n))
			break;
		if (tab >= 0) {
			int col = text_width(str_from(t->bytes.p + before, t->bytes.n - before));

			do
				(void)buf_putc(&t->bytes, ' ');
			while (++col % TAB_STOP != 0);
			n++;
		}
		s = str_from(s.p + n, s.n - n);
	}
	return t->bytes.n - before;
}

/* At the limit a last line says that there was more; text_clear() makes room again. */
static void note_cut(struct text *t)
{
	static const char note[] = "(cut here: too long to show)";
	struct text_line *l;

	if (!t->bytes.full || t->cut)
		return;
	t->cut = true;
	l = add_line(t, ROLE_WARN);
	t->bytes.full = false;
	t->bytes.limit += sizeof(note);
	l->n = buf_puts(&t->bytes, note) ? sizeof(note) - 1 : 0;
	t->bytes.limit -= sizeof(note);
}

void text_add(struct text *t, enum role role, struct str s)
{
	do {
		struct str line = str_cut(&s, '\n');
		struct text_line *l;

		if (t->cut)
			return;
		if (line.n > 0 && line.p[line.n - 1] == '\r')
			line.n--;
		l = add_line(t, role);
		l->n = put_expanded(t, line);
		while (l->hang < HANG_MAX && (size_t)l->hang < l->n &&
		       t->bytes.p[l->at + (size_t)l->hang] == ' ')
			l->hang++;
		note_cut(t);
	} while (s.n > 0);
}

void text_addf(struct text *t, enum role role, const char *fmt, ...)
{
	char line[ADDF_MAX];
	va_list ap;

	va_start(ap, fmt);
	(void)vsnprintf(line, sizeof(line), fmt, ap);
	va_end(ap);
	text_add(t, role, str_of(line));
}

void text_add_field(struct text *t, int at, const char *label, enum role role, struct str value)
{
	struct text_line *l;
	size_t n;

	if (t->cut)
		return;
	l = add_line(t, role);
	n = put_expanded(t, str_of(label));
	l->label = (int)n;
	l->indent = at;
	l->hang = at;
	l->n = n + put_expanded(t, value);
	note_cut(t);
}

void text_hang(struct text *t, int col)
{
	if (t->n_lines > 0)
		t->lines[t->n_lines - 1].hang = col;
}

/* --- lines and screen lines --- */

/* Where the first screen line of it begins, or the others; a narrow page has no room for that. */
static int column_of(const struct text_line *l, bool first, int width)
{
	if (first)
		return l->indent;
	return l->hang < width / 2 ? l->hang : l->indent;
}

static struct str line_body(const struct text *t, const struct text_line *l)
{
	return str_from(t->bytes.p + l->at + l->label, l->n - (size_t)l->label);
}

/* Bytes of s that go on one screen line of `width`, broken behind a blank if there is one. */
static size_t wrap_at(struct str s, int width)
{
	int cols;
	size_t n = text_fit(s, width > 0 ? width : 1, &cols);

	if (n == s.n)
		return n;
	for (size_t i = n; i > 0; i--)
		if (s.p[i - 1] == ' ')
			return i;
	return n > 0 ? n : text_next(s);
}

static int count_rows(const struct text *t, const struct text_line *l, int width)
{
	struct str s = line_body(t, l);
	int rows = 0;

	if (!t->wrap)
		return 1;
	do {
		size_t n = wrap_at(s, width - column_of(l, rows == 0, width));

		s = str_from(s.p + n, s.n - n);
		rows++;
	} while (s.n > 0);
	return rows;
}

int text_rows(const struct text *t, int width)
{
	int total = 0;

	for (int i = 0; i < t->n_lines; i++)
		total +=
			count_rows(t, &t->lines[i], width - 1); /* a column is for the scroll bar */
	return total;
}

static void measure(struct text *t, int width)
{
	int total = 0;

	for (int i = 0; i < t->n_lines; i++) {
		struct text_line *l = &t->lines[i];

		if (l->rows == 0 || width != t->width)
			l->rows = count_rows(t, l, width);
		total += l->rows;
	}
	t->width = width;
	t->shown_rows = total;
}

static void scroll_to(struct text *t, int top)
{
	int max = t->shown_rows > t->page ? t->shown_rows - t->page : 0;

	t->top = top > max ? max : top < 0 ? 0 : top;
}

/* --- searching --- */

static ptrdiff_t find(struct str s, const char *what)
{
	size_t n = strlen(what);

	for (size_t i = 0; n > 0 && i + n <= s.n; i++)
		if (strncasecmp(s.p + i, what, n) == 0)
			return (ptrdiff_t)i;
	return -1;
}

static int first_row(const struct text *t, int line)
{
	int row = 0;

	for (int i = 0; i < line; i++)
		row += t->lines[i].rows > 0 ? t->lines[i].rows : 1;
	return row;
}

static int line_at(const struct text *t, int row)
{
	int i = 0;

	while (i < t->n_lines && row >= (t->lines[i].rows > 0 ? t->lines[i].rows : 1)) {
		row -= t->lines[i].rows > 0 ? t->lines[i].rows : 1;
		i++;
	}
	return i;
}

static bool go_to_match(struct text *t, int from, int step)
{
	for (int i = from; i >= 0 && i < t->n_lines; i += step) {
		if (find(line_body(t, &t->lines[i]), t->search) >= 0) {
			scroll_to(t, first_row(t, i));
			return true;
		}
	}
	return false;
}

bool text_search(struct text *t, struct str what)
{
	snprintf(t->search, sizeof(t->search), "%.*s", STR_ARG(what));
	if (t->search[0] == '\0')
		return true;
	return go_to_match(t, line_at(t, t->top), 1) || go_to_match(t, 0, 1);
}

bool text_search_next(struct text *t, bool backward)
{
	int here = line_at(t, t->top);

	if (t->search[0] == '\0' || t->n_lines == 0)
		return false;
	if (backward)
		return go_to_match(t, here - 1, -1) || go_to_match(t, t->n_lines - 1, -1);
	return go_to_match(t, here + 1, 1) || go_to_match(t, 0, 1);
}

/* --- drawing --- */

static void draw_matches(const struct text *t, const struct canvas *c, int row, int col,
			 struct str s)
{
	size_t n = strlen(t->search);
	size_t at = 0;
	ptrdiff_t hit;

	while (n > 0 && (hit = find(str_from(s.p + at, s.n - at), t->search)) >= 0) {
		at += (size_t)hit;
		canvas_puts(c, row, col + text_width(str_from(s.p, at)), ROLE_MATCH,
			    str_from(s.p + at, n));
		at += n;
	}
}

/* Draws screen lines `from` on of a line, at most `room`; returns how many. */
static int draw_line(const struct text *t, const struct canvas *c, const struct text_line *l,
		     int row, int from, int room)
{
	struct str s = line_body(t, l);
	int drawn = 0;

	if (l->label > 0 && from == 0)
		canvas_puts(c, row, 0, ROLE_LABEL, str_from(t->bytes.p + l->at, (size_t)l->label));
	if (!t->wrap) {
		canvas_field_from(c, row, l->indent, canvas_cols(c) - l->indent, t->skip, l->role,
				  s);
		if (t->skip == 0)
			draw_matches(t, c, row, l->indent, s);
		return 1;
	}
	for (int i = 0; i < l->rows && drawn < room; i++) {
		int col = column_of(l, i == 0, canvas_cols(c));
		size_t n = wrap_at(s, canvas_cols(c) - col);
		struct str piece = str_from(s.p, n);

		if (i >= from) {
			canvas_puts(c, row + drawn, col, l->role, piece);
			draw_matches(t, c, row + drawn, col, piece);
			drawn++;
		}
		s = str_from(s.p + n, s.n - n);
	}
	return drawn;
}

void text_draw(struct text *t, const struct canvas *c)
{
	struct canvas body = canvas_sub(c, 0, 0, canvas_rows(c), canvas_cols(c) - 1);
	int row = 0;
	int line;
	int from;

	canvas_hit(c, 0, 0, canvas_rows(c), canvas_cols(c), (struct hit){ HIT_BODY, t, 0 });
	t->page = canvas_rows(c);
	measure(t, canvas_cols(&body));
	scroll_to(t, t->top);
	line = line_at(t, t->top);
	from = t->top - first_row(t, line);
	for (; line < t->n_lines && row < t->page; line++, from = 0)
		row += draw_line(t, &body, &t->lines[line], row, from, t->page - row);
	if (t->shown_rows > t->page && t->page > 0)
		scroll_bar_draw(c, 0, t->page, t->top, t->shown_rows);
}

unsigned text_nav(struct text *t, enum nav nav)
{
	int page = t->page > 1 ? t->page - 1 : 1;

	switch (nav) {
	case NAV_UP:
		scroll_to(t, t->top - 1);
		return WIDGET_USED;
	case NAV_DOWN:
		scroll_to(t, t->top + 1);
		return WIDGET_USED;
	case NAV_PAGE_UP:
		scroll_to(t, t->top - page);
		return WIDGET_USED;
	case NAV_PAGE_DOWN:
		scroll_to(t, t->top + page);
		return WIDGET_USED;
	case NAV_HALF_UP:
		scroll_to(t, t->top - page / 2);
		return WIDGET_USED;
	case NAV_HALF_DOWN:
		scroll_to(t, t->top + page / 2);
		return WIDGET_USED;
	case NAV_FIRST:
		scroll_to(t, 0);
		return WIDGET_USED;
	case NAV_LAST:
		scroll_to(t, t->shown_rows);
		return WIDGET_USED;
	case NAV_LEFT:
		t->skip = t->skip > SIDE_STEP ? t->skip - SIDE_STEP : 0;
		return WIDGET_USED;
	case NAV_RIGHT:
		if (!t->wrap)
			t->skip += SIDE_STEP;
		return WIDGET_USED;
	case NAV_NONE:
	case NAV_NEXT:
	case NAV_PREV:
	case NAV_ENTER:
	case NAV_BACK:
	case NAV__COUNT:
		break;
	}
	return WIDGET_IGNORED;
}

unsigned text_mouse(struct text *t, const struct event_mouse *m)
{
	if (m->hit.owner != t || m->action != MOUSE_PRESS)
		return WIDGET_IGNORED;
	if (m->button == MOUSE_WHEEL_UP)
		scroll_to(t, t->top - WHEEL_LINES);
	else if (m->button == MOUSE_WHEEL_DOWN)
		scroll_to(t, t->top + WHEEL_LINES);
	else
		return WIDGET_IGNORED;
	return WIDGET_USED;
}
