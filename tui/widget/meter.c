#include "widget/meter.h"

int tabs_draw(const struct canvas *c, int row, int col, const char *const *names, int n, int on,
	      const void *owner)
{
	int at = col;

	for (int i = 0; i < n; i++) {
		enum role role = i == on ? ROLE_TAB_ON : ROLE_TAB;
		int begin = at;

		at += canvas_puts(c, row, at, role, i == on ? STR("[") : STR(" "));
		at += canvas_puts(c, row, at, role, str_of(names[i]));
		at += canvas_puts(c, row, at, role, i == on ? STR("]") : STR(" "));
		canvas_hit(c, row, begin, 1, at - begin,
			   (struct hit){ HIT_ITEM, owner, (uint64_t)i });
		at++;
	}
	return at - col;
}

void meter_draw(const struct canvas *c, int row, const struct meter *m, int label_width,
		int value_width)
{
	int at = label_width + 1;
	int room = canvas_cols(c) - at - value_width - 2;

	canvas_field(c, row, 0, label_width, ALIGN_LEFT, ROLE_LABEL, str_of(m->label));
	canvas_field(c, row, at, value_width, ALIGN_RIGHT, m->role, str_of(m->value));
	if (m->n_history > 0 && room > 0) {
		int width = room < m->n_history ? room : m->n_history;

		canvas_spark(c, row, at + value_width + 2, width, m->chart_role, m->history,
			     m->n_history, 0);
	}
}

void scroll_bar_draw(const struct canvas *c, int row, int rows, int64_t top, int64_t total)
{
	int col = canvas_cols(c) - 1;
	int64_t size = rows * (int64_t)rows / total;
	int64_t at;

	size = size > 0 ? size : 1;
	at = total > rows ? top * (rows - size) / (total - rows) : 0;
	for (int i = 0; i < rows; i++)
		canvas_glyph(c, row + i, col, ROLE_SCROLL,
			     i >= at && i < at + size ? GLYPH_SCROLL : GLYPH_TRACK);
}
