#include "widget/menu.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "base/utf8.h"
#include "theme/theme.h"

#define MENU_TITLE_MAX 40 /* columns; longer titles are cut */

static bool matches(const struct menu *m, const struct menu_item *it)
{
	if (m->typed[0] == '\0')
		return true;
	return !it->heading && (strcasestr(it->title, m->typed) != NULL ||
				(it->help != NULL && strcasestr(it->help, m->typed) != NULL));
}

static bool choosable(const struct menu *m, int i)
{
	return !m->items[i].heading && matches(m, &m->items[i]);
}

/* The next item that can have the cursor, from `i` on in steps; -1 when there is none. */
static int seek(const struct menu *m, int i, int step)
{
	while (i >= 0 && i < m->n && !choosable(m, i))
		i += step;
	return i >= 0 && i < m->n ? i : -1;
}

void menu_init(struct menu *m, const struct menu_item *items, int n)
{
	*m = (struct menu){ .items = items, .n = n < MENU_MAX_ITEMS ? n : MENU_MAX_ITEMS };
	m->cursor = seek(m, 0, 1);
}

const struct menu_item *menu_chosen(const struct menu *m)
{
	return m->cursor >= 0 && m->cursor < m->n ? &m->items[m->cursor] : NULL;
}

static unsigned activate(const struct menu *m)
{
	const struct menu_item *it = menu_chosen(m);

	return it != NULL && it->why_not == NULL ? WIDGET_ACTIVATED : WIDGET_USED;
}

static unsigned move(struct menu *m, int from, int step)
{
	int to = seek(m, from, step);

	if (to < 0)
		return WIDGET_USED;
	m->cursor = to;
	return WIDGET_USED | WIDGET_MOVED;
}

static unsigned refilter(struct menu *m)
{
	m->cursor = seek(m, 0, 1);
	m->top = 0;
	return WIDGET_USED | WIDGET_CHANGED;
}

static unsigned type(struct menu *m, uint32_t key)
{
	size_t n = strlen(m->typed);
	char utf8[4];

	if (key == K_BACKSPACE) {
		while (n > 0 && ((unsigned char)m->typed[n - 1] & 0xc0) == 0x80)
			n--;
		m->typed[n > 0 ? n - 1 : 0] = '\0';
		return refilter(m);
	}
	if (key_text(key) == 0 || n + 4 >= sizeof(m->typed))
		return WIDGET_IGNORED;
	memcpy(m->typed + n, utf8, utf8_encode(key_text(key), utf8));
	m->typed[n + utf8_encode(key_text(key), utf8)] = '\0';
	return refilter(m);
}

static unsigned choose_by_key(struct menu *m, uint32_t key)
{
	for (int i = 0; i < m->n; i++) {
		if (m->items[i].key == key && key != 0 && !m->items[i].heading) {
			m->cursor = i;
			return activate(m);
		}
	}
	if (key == 'j')
		return move(m, m->cursor + 1, 1);
	if (key == 'k')
		return move(m, m->cursor - 1, -1);
	return key == 'q' ? WIDGET_CANCELLED : WIDGET_IGNORED;
}

static unsigned mouse(struct menu *m, const struct event_mouse *ev)
{
	if (ev->action != MOUSE_PRESS || ev->hit.owner != m)
		return WIDGET_IGNORED;
	if (ev->button == MOUSE_WHEEL_UP)
		return move(m, m->cursor - 1, -1);
	if (ev->button == MOUSE_WHEEL_DOWN)
		return move(m, m->cursor + 1, 1);
	if (ev->hit.kind != HIT_ITEM)
		return WIDGET_USED;
	m->cursor = (int)ev->hit.id;
	return activate(m);
}

static unsigned navigate(struct menu *m, enum nav nav)
{
	int page = m->page > 1 ? m->page - 1 : 1;
	int to;

	switch (nav) {
	case NAV_UP:
	case NAV_PREV:
		return move(m, m->cursor - 1, -1);
	case NAV_DOWN:
	case NAV_NEXT:
		return move(m, m->cursor + 1, 1);
	case NAV_FIRST:
		return move(m, 0, 1);
	case NAV_LAST:
		return move(m, m->n - 1, -1);
	case NAV_PAGE_UP:
	case NAV_HALF_UP:
		to = m->cursor - page;
		return move(m, to < 0 ? 0 : to, to < 0 ? 1 : -1);
	case NAV_PAGE_DOWN:
	case NAV_HALF_DOWN:
		to = m->cursor + page;
		return move(m, to >= m->n ? m->n - 1 : to, to >= m->n ? -1 : 1);
	case NAV_ENTER:
		return activate(m);
	case NAV_BACK:
		return WIDGET_CANCELLED;
	case NAV_NONE:
	case NAV_LEFT:
	case NAV_RIGHT:
	case NAV__COUNT:
		break;
	}
	return WIDGET_IGNORED;
}

unsigned menu_event(struct menu *m, const struct event *ev)
{
	enum nav nav;

	if (ev->kind == EVENT_MOUSE)
		return mouse(m, &ev->mouse);
	if (ev->kind != EVENT_KEY)
		return WIDGET_IGNORED;
	nav = nav_of_key(ev->key);
	if (nav != NAV_NONE)
		return navigate(m, nav);
	return m->filter ? type(m, ev->key) : choose_by_key(m, ev->key);
}

static int title_width(const struct menu *m)
{
	int width = 0;

	for (int i = 0; i < m->n; i++) {
		int w = text_width(str_of(m->items[i].title));

		if (!m->items[i].heading && w > width)
			width = w;
	}
	return width < MENU_TITLE_MAX ? width : MENU_TITLE_MAX;
}

static int key_width(const struct menu *m)
{
	for (int i = 0; i < m->n; i++)
		if (m->items[i].key != 0)
			return 5;
	return 0;
}

static const char *side_text(const struct menu_item *it)
{
	if (it->why_not != NULL)
		return it->why_not;
	return it->help != NULL ? it->help : "";
}

void menu_size(const struct menu *m, int *ret_rows, int *ret_cols)
{
	int side = 0;

	for (int i = 0; i < m->n; i++) {
		int w = text_width(
			str_of(m->items[i].heading ? m->items[i].title : side_text(&m->items[i])));

		side = w > side ? w : side;
	}
	*ret_rows = m->n + (m->filter ? 1 : 0);
	*ret_cols = 2 + key_width(m) + title_width(m) + 2 + side;
}

static void draw_item(const struct menu *m, const struct canvas *c, int row, int i)
{
	const struct menu_item *it = &m->items[i];
	struct canvas r = canvas_sub(c, row, 0, 1, canvas_cols(c));
	int key = key_width(m);
	int title = title_width(m);
	enum role key_role = it->danger ? ROLE_KEY_DANGER : ROLE_KEY;

	if (it->heading) {
		canvas_field(&r, 0, 0, canvas_cols(&r), ALIGN_LEFT, ROLE_LABEL, str_of(it->title));
		return;
	}
	if (i == m->cursor) {
		r.under = ROLE_CURSOR;
		canvas_clear(&r, ROLE_TEXT);
		canvas_glyph(&r, 0, 0, ROLE_STRONG, GLYPH_CURSOR);
	}
	if (it->key != 0) {
		char label[KEY_NAME_LEN];

		key_label(it->key, r.ascii, label);
		canvas_field(&r, 0, 2, key - 1, ALIGN_LEFT,
			     it->why_not != NULL ? ROLE_KEY_OFF : key_role, str_of(label));
	}
	canvas_field(&r, 0, 2 + key, title, ALIGN_LEFT,
		     it->why_not != NULL ? ROLE_KEY_OFF : ROLE_TEXT, str_of(it->title));
	canvas_field(&r, 0, 2 + key + title + 2, canvas_cols(&r) - key - title - 4, ALIGN_LEFT,
		     it->why_not != NULL ? ROLE_KEY_OFF : ROLE_DIM, str_of(side_text(it)));
	canvas_hit(&r, 0, 0, 1, canvas_cols(&r), (struct hit){ HIT_ITEM, m, (uint64_t)i });
}

/* Shown items between top and the cursor, the cursor's included. */
static int lines_to_cursor(const struct menu *m)
{
	int n = 0;

	for (int i = m->top; i <= m->cursor; i++)
		if (matches(m, &m->items[i]))
			n++;
	return n;
}

void menu_draw(struct menu *m, const struct canvas *c)
{
	int row = 0;

	canvas_hit(c, 0, 0, canvas_rows(c), canvas_cols(c), (struct hit){ HIT_BODY, m, 0 });
	if (m->filter) {
		int at = canvas_puts(c, 0, 0, ROLE_LABEL, STR("find "));

		canvas_field(c, 0, at, canvas_cols(c) - at, ALIGN_LEFT, ROLE_INPUT,
			     str_of(m->typed));
		canvas_cursor(c, 0, at + text_width(str_of(m->typed)));
		row = 1;
	}
	m->page = canvas_rows(c) - row;
	if (m->cursor >= 0 && m->cursor < m->top)
		m->top = m->cursor > 0 && m->items[m->cursor - 1].heading ? m->cursor - 1
									  : m->cursor;
	while (m->top < m->cursor && lines_to_cursor(m) > m->page)
		m->top++;
	if (m->cursor < 0)
		canvas_puts(c, row, 0, ROLE_DIM, STR("nothing matches"));
	for (int i = m->top; i < m->n && row < canvas_rows(c); i++)
		if (matches(m, &m->items[i]))
			draw_item(m, c, row++, i);
}
