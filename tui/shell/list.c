#include "shell/list.h"

#include "base/buf.h"
#include "shell/shell.h"

#define COPY_MAX 4096

static enum list_result marked(struct shell *s, bool all_right, const char *why)
{
	if (!all_right)
		shell_notice(s, NOTICE_WARN, "not marked: %s", why);
	return LIST_DONE;
}

/* Down, then up, then the next column that can be sorted by. */
static enum list_result sort_next(struct shell *s, struct table *t)
{
	int at = t->sort_column;

	if (at >= 0 && t->sort == SORT_DOWN) {
		t->sort = SORT_UP;
		return LIST_SORTED;
	}
	for (int i = 1; i <= t->n_columns; i++) {
		int next = (at + i + t->n_columns) % t->n_columns;

		if (!t->columns[next].sortable)
			continue;
		t->sort_column = next;
		t->sort = SORT_DOWN;
		return LIST_SORTED;
	}
	shell_notice(s, NOTICE_INFO, "this list has one order only");
	return LIST_DONE;
}

/* The cursor's row, its fields separated by tabs. */
static enum list_result copy_row(struct shell *s, const struct table *t)
{
	AUTO_BUF line = BUF_INIT(COPY_MAX);
	int64_t index = table_cursor(t, NULL);

	if (index < 0 || t->source.ops->row(t->source.src, index) != ROW_READY)
		return LIST_DONE;
	for (int i = 0; i < t->n_columns; i++) {
		struct table_cell cell = { .text = STR("") };

		if (t->columns[i].kind != COLUMN_TEXT)
			continue;
		t->source.ops->cell(t->source.src, index, i, &cell);
		(void)buf_puts(&line, line.n > 0 ? "\t" : "");
		(void)buf_put_str(&line, cell.text);
	}
	shell_clipboard(s, buf_str(&line));
	shell_notice(s, NOTICE_INFO, "copied the row, if your terminal takes OSC 52");
	return LIST_DONE;
}

enum list_result list_action(struct shell *s, struct table *t, enum action_id a)
{
	if (a == A_MARK)
		return marked(s, table_mark_toggle(t),
			      "too many marks; * marks everything that matches");
	if (a == A_RANGE)
		return marked(s, table_mark_range(t),
			      "the range is too large or not fetched yet; * marks everything that "
			      "matches");
	if (a == A_MARK_ALL)
		table_mark_all(t);
	else if (a == A_UNMARK)
		table_unmark_all(t);
	else if (a == A_WIDE)
		t->wide = !t->wide;
	else if (a == A_SORT)
		return sort_next(s, t);
	else if (a == A_COPY)
		return copy_row(s, t);
	else
		return LIST_NOT_MINE;
	return LIST_DONE;
}
