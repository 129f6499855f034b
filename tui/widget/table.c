/*
 * Two numberings: an index counts the rows of the source, a line what is drawn. They differ only
 * while the cursor's row is gone: then a line of its own stands at its last place, and the rows
 * from there on are one line further down. struct span holds what is needed to go from one to the
 * other.
 */
#include "widget/table.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/fmt.h"
#include "base/mem.h"
#include "widget/id_set.h"
#include "widget/meter.h"

#define GUTTER 2 /* cursor sign and mark */
#define GAP 1
#define WHEEL_LINES 3

/* --- life --- */

void table_init(struct table *t, struct row_source source, const struct table_column *columns,
		int n)
{
	*t = (struct table){ .source = source, .columns = columns, .sort_column = -1 };
	t->n_columns = n < TABLE_MAX_COLUMNS ? n : TABLE_MAX_COLUMNS;
	t->marks = id_set_new(TABLE_MAX_MARKS);
}

void table_done(struct table *t)
{
	id_set_free(&t->marks);
}

void table_reset(struct table *t)
{
	table_unmark_all(t);
	t->cursor = (struct row_id){ 0 };
	t->cursor_index = 0;
	t->line = 0;
}

/* --- where things are --- */

struct span {
	int64_t count;	/* rows of the source */
	int64_t total;	/* lines */
	int64_t cursor; /* line of the cursor */
	int64_t gone;	/* line that stands for the row that is gone, -1: none */
	bool exact;
};

static int64_t clamp(int64_t v, int64_t low, int64_t high)
{
	return v > high ? high : v < low ? low : v;
}

static struct span span_of(const struct table *t)
{
	struct span s = { .gone = -1, .exact = true };

	s.count = t->source.ops->count(t->source.src, &s.exact);
	s.total = s.count;
	s.cursor = t->cursor_index;
	if (t->cursor.v != 0) {
		int64_t now = t->source.ops->index_of(t->source.src, t->cursor);

		if (now >= 0) {
			s.cursor = now;
		} else if (s.count > 0 || !s.exact) {
			/* In an empty list there is nothing to act on, and it says itself why it
			 * is. */
			s.gone = clamp(t->cursor_index, 0, s.count);
			s.cursor = s.gone;
			s.total++;
		}
	}
	s.cursor = s.total > 0 ? clamp(s.cursor, 0, s.total - 1) : 0;
	return s;
}

static int64_t index_of_line(const struct span *s, int64_t line)
{
	return s->gone >= 0 && line > s->gone ? line - 1 : line;
}

static int64_t top_line(const struct table *t, const struct span *s)
{
	int64_t top = s->cursor - t->line;

	if (top > s->total - t->page)
		top = s->total - t->page;
	return top < 0 ? 0 : top;
}

int64_t table_cursor(const struct table *t, struct row_id *ret_id)
{
	struct span s = span_of(t);
	struct row_id id;

	if (s.count == 0 || s.gone >= 0)
		return -1;
	id = t->cursor.v != 0 ? t->cursor : t->source.ops->id(t->source.src, s.cursor);
	if (ret_id != NULL)
		*ret_id = id;
	return s.cursor;
}

bool table_cursor_set(struct table *t, struct row_id id)
{
	int64_t index = t->source.ops->index_of(t->source.src, id);

	if (index < 0)
		return false;
	t->cursor = id;
	t->cursor_index = index;
	return true;
}

/* --- columns --- */

struct layout {
	int width[TABLE_MAX_COLUMNS]; /* 0: not shown */
	int total;
};

static int layout_total(const struct layout *l, int n)
{
	int total = 0;

	for (int i = 0; i < n; i++)
		if (l->width[i] > 0)
			total += l->width[i] + GAP;
	return total > 0 ? total - GAP : 0;
}

static int least_important(const struct table *t, const struct layout *l)
{
	int worst = -1;

	for (int i = 0; i < t->n_columns; i++)
		if (l->width[i] > 0 && t->columns[i].priority > 0 &&
		    (worst < 0 || t->columns[i].priority >= t->columns[worst].priority))
			worst = i;
	return worst;
}

/* What is left over goes, one by one, to the columns that can use it. */
static void layout_widen(const struct table *t, struct layout *l, int room)
{
	bool grown = true;

	while (room > 0 && grown) {
		grown = false;
		for (int i = 0; i < t->n_columns && room > 0; i++) {
			if (l->width[i] == 0 || l->width[i] >= t->columns[i].max)
				continue;
			l->width[i]++;
			room--;
			grown = true;
		}
	}
}

static struct layout layout_of(const struct table *t, int room)
{
	struct layout l = { .total = 0 };

	for (int i = 0; i < t->n_columns; i++) {
		const struct table_column *col = &t->columns[i];

		l.width[i] = t->wide && col->max > col->width ? col->max : col->width;
	}
	if (!t->wide) {
		int worst;

		while (layout_total(&l, t->n_columns) > room &&
		       (worst = least_important(t, &l)) >= 0)
			l.width[worst] = 0;
		layout_widen(t, &l, room - layout_total(&l, t->n_columns));
	}
	l.total = layout_total(&l, t->n_columns);
	return l;
}

/* --- drawing --- */

static void draw_head(const struct table *t, const struct canvas *c, const struct layout *l)
{
	struct canvas head = canvas_sub(c, 0, GUTTER, 1, canvas_cols(c) - GUTTER);
	int at = -t->skip;

	canvas_fill(c, 0, 0, 1, canvas_cols(c), ROLE_HEADING);
	for (int i = 0; i < t->n_columns; i++) {
		const struct table_column *col = &t->columns[i];
		bool sorted = i == t->sort_column && t->sort != SORT_NONE;
		int sign = sorted && l->width[i] > 3 ? 1 : 0;
		int width = l->width[i] - sign;
		enum role role = sorted ? ROLE_SORTED : ROLE_HEADING;

		if (l->width[i] == 0)
			continue;
		canvas_field(&head, 0, at, width, col->align, role, str_of(col->title));
		if (sign > 0)
			canvas_glyph(&head, 0, at + width, role,
				     t->sort == SORT_UP ? GLYPH_UP : GLYPH_DOWN);
		canvas_hit(&head, 0, at, 1, l->width[i],
			   (struct hit){ HIT_COLUMN, t, (uint64_t)i });
		at += l->width[i] + GAP;
	}
}

static void draw_cell(const struct canvas *c, int at, int width, const struct table_column *col,
		      const struct table_cell *cell, bool gone)
{
	enum role role = gone ? ROLE_GONE : cell->role;

	if (col->kind == COLUMN_BAR)
		canvas_bar(c, 0, at, width, role, cell->bar, 1.0);
	else
		canvas_field(c, 0, at, width, col->align, role, cell->text);
}

static void draw_fields(const struct table *t, const struct canvas *row, const struct layout *l,
			int64_t index, enum row_state state)
{
	struct canvas fields = canvas_sub(row, 0, GUTTER, 1, canvas_cols(row) - GUTTER);
	int at = -t->skip;

	for (int i = 0; i < t->n_columns; i++) {
		struct table_cell cell;

		if (l->width[i] == 0)
			continue;
		if (state == ROW_LOADING) {
			canvas_glyph(&fields, 0, at, ROLE_PENDING, GLYPH_ELLIPSIS);
		} else {
			cell.text = STR("");
			cell.role = ROLE_TEXT;
			cell.bar = 0;
			t->source.ops->cell(t->source.src, index, i, &cell);
			draw_cell(&fields, at, l->width[i], &t->columns[i], &cell,
				  state == ROW_GONE);
		}
		at += l->width[i] + GAP;
	}
}

static bool in_range(const struct table *t, const struct span *s, int64_t index)
{
	int64_t from;

	if (!t->range || s->gone >= 0)
		return false;
	from = t->source.ops->index_of(t->source.src, t->range_from);
	return from >= 0 && index >= (from < s->cursor ? from : s->cursor) &&
	       index <= (from < s->cursor ? s->cursor : from);
}

static void draw_line(const struct table *t, const struct canvas *c, const struct span *s,
		      const struct layout *l, int64_t line, int row)
{
	struct canvas r = canvas_sub(c, row, 0, 1, canvas_cols(c));
	int64_t index = index_of_line(s, line);
	enum row_state state;
	struct row_id id;

	if (line == s->cursor)
		r.under = t->focused ? ROLE_CURSOR : ROLE_CURSOR_IDLE;
	canvas_clear(&r, ROLE_TEXT);
	if (line == s->cursor)
		canvas_glyph(&r, 0, 0, ROLE_STRONG, GLYPH_CURSOR);
	if (line == s->gone) {
		canvas_field(&r, 0, GUTTER, canvas_cols(&r) - GUTTER, ALIGN_LEFT, ROLE_GONE,
			     STR("(this row is gone; move on to act on another one)"));
		return;
	}
	state = t->source.ops->row(t->source.src, index);
	id = t->source.ops->id(t->source.src, index);
	if (id.v != 0 && table_is_marked(t, id))
		canvas_glyph(&r, 0, 1, ROLE_MARK, GLYPH_MARK);
	else if (in_range(t, s, index))
		canvas_glyph(&r, 0, 1, ROLE_MARK, GLYPH_BULLET);
	draw_fields(t, &r, l, index, state);
	canvas_hit(&r, 0, 0, 1, canvas_cols(&r), (struct hit){ HIT_ROW, t, id.v });
}

static void draw_empty(const struct table *t, const struct canvas *c, int row, bool exact)
{
	const char *text = t->empty != NULL ? t->empty : "nothing here";

	canvas_field(c, row, GUTTER, canvas_cols(c) - GUTTER, ALIGN_LEFT, ROLE_DIM,
		     exact ? str_of(text) : STR("loading"));
}

/* A cursor without an id takes the one of the row it stands on as soon as that is known. */
static void adopt(struct table *t, const struct span *s)
{
	if (t->cursor.v == 0 && s->count > 0)
		t->cursor = t->source.ops->id(t->source.src, s->cursor);
	if (s->gone < 0)
		t->cursor_index = s->cursor;
}

void table_draw(struct table *t, const struct canvas *c)
{
	int head = t->no_head ? 0 : 1;
	struct span s = span_of(t);
	struct canvas body = *c;
	struct layout l;
	int64_t top;
	bool scroll;

	canvas_hit(c, 0, 0, canvas_rows(c), canvas_cols(c), (struct hit){ HIT_BODY, t, 0 });
	t->page = canvas_rows(c) - head > 0 ? canvas_rows(c) - head : 0;
	scroll = s.total > t->page && t->page > 0;
	if (scroll)
		body = canvas_sub(c, 0, 0, canvas_rows(c), canvas_cols(c) - 1);
	t->room = canvas_cols(&body) - GUTTER;
	l = layout_of(t, t->room);
	t->skip = (int)clamp(t->skip, 0, l.total > t->room ? l.total - t->room : 0);
	if (head > 0)
		draw_head(t, &body, &l);
	if (s.total == 0) {
		draw_empty(t, &body, head, s.exact);
		return;
	}
	adopt(t, &s);
	t->line = (int)clamp(t->line, 0, t->page > 0 ? t->page - 1 : 0);
	top = top_line(t, &s);
	t->line = (int)(s.cursor - top);
	for (int row = 0; row < t->page && top + row < s.total; row++)
		draw_line(t, &body, &s, &l, top + row, head + row);
	if (scroll)
		scroll_bar_draw(c, head, t->page, top, s.total);
	t->source.ops->want(t->source.src, index_of_line(&s, top), t->page);
}

bool table_cut(const struct table *t, int column, struct table_cell *ret_cell)
{
	struct layout l = layout_of(t, t->room);
	int64_t at = table_cursor(t, NULL);

	ret_cell->text = STR("");
	ret_cell->role = ROLE_TEXT;
	if (at < 0 || t->source.ops->row(t->source.src, at) != ROW_READY)
		return false;
	t->source.ops->cell(t->source.src, at, column, ret_cell);
	return text_width(ret_cell->text) > l.width[column];
}

/* --- moving --- */

static unsigned move_to(struct table *t, const struct span *s, int64_t line, int screen_line)
{
	line = clamp(line, 0, s->total - 1);
	t->line = (int)clamp(screen_line, 0, t->page > 0 ? t->page - 1 : 0);
	if (line == s->cursor)
		return WIDGET_USED;
	t->cursor_index = index_of_line(s, line);
	t->cursor = t->source.ops->id(t->source.src, t->cursor_index);
	return WIDGET_USED | WIDGET_MOVED;
}

/* By n lines with the screen following only at its edges. */
static unsigned move_by(struct table *t, const struct span *s, int64_t n)
{
	int64_t line = clamp(s->cursor + n, 0, s->total - 1);

	return move_to(t, s, line, (int)clamp(t->line + (line - s->cursor), 0, t->page - 1));
}

/* By n lines with the screen moving along. */
static unsigned scroll_by(struct table *t, const struct span *s, int64_t n)
{
	int64_t line = clamp(s->cursor + n, 0, s->total - 1);
	int screen_line = t->line;

	if (line == 0)
		screen_line = 0;
	else if (line == s->total - 1)
		screen_line = t->page - 1;
	return move_to(t, s, line, screen_line);
}

unsigned table_nav(struct table *t, enum nav nav)
{
	struct span s = span_of(t);
	int64_t page = t->page > 1 ? t->page - 1 : 1;
	int64_t half = t->page > 2 ? t->page / 2 : 1;

	if (nav == NAV_LEFT || nav == NAV_RIGHT) {
		if (!t->wide)
			return WIDGET_IGNORED;
		t->skip += nav == NAV_RIGHT ? 8 : t->skip > 8 ? -8 : -t->skip;
		return WIDGET_USED;
	}
	if (s.total == 0)
		return WIDGET_IGNORED;
	switch (nav) {
	case NAV_UP:
		return move_by(t, &s, -1);
	case NAV_DOWN:
		return move_by(t, &s, 1);
	case NAV_PAGE_UP:
		return scroll_by(t, &s, -page);
	case NAV_PAGE_DOWN:
		return scroll_by(t, &s, page);
	case NAV_HALF_UP:
		return scroll_by(t, &s, -half);
	case NAV_HALF_DOWN:
		return scroll_by(t, &s, half);
	case NAV_FIRST:
		return move_to(t, &s, 0, 0);
	case NAV_LAST:
		return move_to(t, &s, s.total - 1, t->page - 1);
	case NAV_ENTER:
		return s.gone >= 0 ? WIDGET_USED : WIDGET_USED | WIDGET_ACTIVATED;
	case NAV_NONE:
	case NAV_LEFT:
	case NAV_RIGHT:
	case NAV_NEXT:
	case NAV_PREV:
	case NAV_BACK:
	case NAV__COUNT:
		break;
	}
	return WIDGET_IGNORED;
}

static unsigned click_row(struct table *t, const struct event_mouse *m)
{
	struct row_id id = { m->hit.id };
	unsigned result = WIDGET_USED;
	struct span s = span_of(t);
	int64_t index = id.v != 0 ? t->source.ops->index_of(t->source.src, id) : -1;

	if (index < 0)
		return WIDGET_USED;
	if (!row_id_eq(t->cursor, id)) {
		t->line = (int)clamp(t->line + (index - s.cursor), 0, t->page - 1);
		t->cursor = id;
		t->cursor_index = index;
		result |= WIDGET_MOVED;
	}
	if (m->mods & K_CTRL) {
		(void)table_mark_toggle(t);
		return result | WIDGET_CHANGED;
	}
	return m->twice ? result | WIDGET_ACTIVATED : result;
}

unsigned table_mouse(struct table *t, const struct event_mouse *m)
{
	struct span s = span_of(t);

	if (m->hit.owner != t || m->action != MOUSE_PRESS || s.total == 0)
		return WIDGET_IGNORED;
	if (m->button == MOUSE_WHEEL_UP || m->button == MOUSE_WHEEL_DOWN)
		return scroll_by(t, &s, m->button == MOUSE_WHEEL_UP ? -WHEEL_LINES : WHEEL_LINES);
	if (m->hit.kind == HIT_ROW && m->button != MOUSE_MIDDLE)
		return click_row(t, m);
	if (m->hit.kind == HIT_COLUMN && m->button == MOUSE_LEFT) {
		int column = (int)m->hit.id;

		if (!t->columns[column].sortable)
			return WIDGET_USED;
		table_sort_toggle(t, column);
		return WIDGET_USED | WIDGET_SORT;
	}
	return WIDGET_IGNORED;
}

void table_sort_toggle(struct table *t, int column)
{
	t->sort = column == t->sort_column && t->sort == SORT_DOWN ? SORT_UP : SORT_DOWN;
	t->sort_column = column;
}

/* --- marking --- */

bool table_is_marked(const struct table *t, struct row_id id)
{
	return id_set_has(t->marks, id.v) != t->all_marked;
}

bool table_mark_toggle(struct table *t)
{
	struct row_id id = { 0 };

	if (table_cursor(t, &id) < 0 || id.v == 0)
		return true;
	if (!id_set_remove(t->marks, id.v) && !id_set_add(t->marks, id.v))
		return false;
	(void)table_nav(t, NAV_DOWN);
	return true;
}

static bool mark_between(struct table *t, int64_t from, int64_t to)
{
	if (to - from >= TABLE_MAX_MARKS - id_set_count(t->marks))
		return false;
	for (int64_t i = from; i <= to; i++)
		if (t->source.ops->id(t->source.src, i).v == 0)
			return false;
	for (int64_t i = from; i <= to; i++) {
		struct row_id id = t->source.ops->id(t->source.src, i);

		if (t->all_marked)
			(void)id_set_remove(t->marks, id.v);
		else
			(void)id_set_add(t->marks, id.v);
	}
	return true;
}

bool table_mark_range(struct table *t)
{
	struct row_id id = { 0 };
	int64_t to = table_cursor(t, &id);
	int64_t from;

	if (to < 0 || id.v == 0)
		return true;
	if (!t->range) {
		t->range = true;
		t->range_from = id;
		t->range_index = to;
		return true;
	}
	t->range = false;
	from = t->source.ops->index_of(t->source.src, t->range_from);
	if (from < 0)
		from = clamp(t->range_index, 0, to);
	return mark_between(t, from < to ? from : to, from < to ? to : from);
}

void table_mark_all(struct table *t)
{
	id_set_clear(t->marks);
	t->all_marked = true;
	t->range = false;
}

void table_unmark_all(struct table *t)
{
	id_set_clear(t->marks);
	t->all_marked = false;
	t->range = false;
}

int64_t table_marked(const struct table *t, bool *ret_exact)
{
	bool exact = true;
	int64_t n = id_set_count(t->marks);

	if (t->all_marked)
		n = t->source.ops->count(t->source.src, &exact) - n;
	if (ret_exact != NULL)
		*ret_exact = exact;
	return n > 0 ? n : 0;
}

void table_marks_each(const struct table *t, table_mark_fn *fn, void *arg)
{
	struct row_id id;

	for (size_t i = 0; id_set_get(t->marks, i, &id.v); i++)
		fn(id, arg);
}

void table_position(const struct table *t, char ret[static TABLE_POSITION_LEN])
{
	struct span s = span_of(t);
	bool exact;
	int64_t marked = table_marked(t, &exact);
	char count[FMT_TIME_LEN];
	char at[FMT_TIME_LEN];

	fmt_count((uint64_t)s.count, count);
	fmt_count((uint64_t)(s.count > 0 ? s.cursor + 1 : 0), at);
	if (marked > 0) {
		fmt_count((uint64_t)marked, at);
		snprintf(ret, TABLE_POSITION_LEN, "%s%s marked of %s%s", exact ? "" : "~", at,
			 s.exact ? "" : "~", count);
	} else {
		snprintf(ret, TABLE_POSITION_LEN, "%s of %s%s", at, s.exact ? "" : "~", count);
	}
}
