#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "base/mem.h"
#include "lib/screen.h"
#include "loop/loop.h"
#include "shell/list.h"
#include "shell/shell.h"

#define N_ROWS (2 * TABLE_MAX_MARKS)

static char clipboard[256];
static struct loop *loop;
static struct shell *shell;
static struct table table;

static void screen_size(void *screen, int *ret_rows, int *ret_cols)
{
	(void)screen;
	*ret_rows = 24;
	*ret_cols = 80;
}

static bool screen_ready(void *screen)
{
	(void)screen;
	return true;
}

static void screen_present(void *screen, const struct grid *g)
{
	(void)screen;
	(void)g;
}

static void screen_clipboard(void *screen, struct str text)
{
	(void)screen;
	snprintf(clipboard, sizeof(clipboard), "%.*s", STR_ARG(text));
}

static const struct screen_ops screen_ops = { .size = screen_size,
					      .ready = screen_ready,
					      .present = screen_present,
					      .clipboard = screen_clipboard };

static int64_t count(void *src, bool *ret_exact)
{
	(void)src;
	*ret_exact = true;
	return N_ROWS;
}

static enum row_state row(void *src, int64_t index)
{
	(void)src;
	(void)index;
	return ROW_READY;
}

static struct row_id id_at(void *src, int64_t index)
{
	(void)src;
	return (struct row_id){ (uint64_t)index + 1 };
}

static int64_t index_of(void *src, struct row_id id)
{
	(void)src;
	return (int64_t)id.v - 1;
}

static void want(void *src, int64_t first, int n)
{
	(void)src;
	(void)first;
	(void)n;
}

static void cell(void *src, int64_t index, int column, struct table_cell *out)
{
	(void)src;
	snprintf(out->scratch, sizeof(out->scratch), "r%dc%d", (int)index, column);
	out->text = str_of(out->scratch);
}

static const struct row_source_ops ops = { count, row, id_at, index_of, want, cell };
static const struct table_column columns[] = {
	{ .name = "a", .title = "A", .width = 5, .sortable = true },
	{ .name = "b", .title = "B", .width = 5 },
	{ .name = "c", .title = "C", .width = 5, .sortable = true },
	{ .name = "d", .title = "D", .width = 5, .kind = COLUMN_BAR },
};

static int setup(void **state)
{
	(void)state;
	loop = loop_new();
	loop_fake_clock(loop, 1000);
	shell = shell_new(&(struct shell_options){ .loop = loop, .screen_ops = &screen_ops });
	table_init(&table, (struct row_source){ &ops, NULL }, columns, ARRAY_LEN(columns));
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	table_done(&table);
	shell_free(&shell);
	loop_free(&loop);
	return 0;
}

static void test_sort_goes_round(void **state)
{
	static const struct {
		int column;
		enum table_sort sort;
	} steps[] = {
		{ 0, SORT_DOWN }, { 0, SORT_UP }, { 2, SORT_DOWN }, { 2, SORT_UP }, { 0, SORT_DOWN }
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(steps); i++) {
		assert_int_equal(list_action(shell, &table, A_SORT), LIST_SORTED);
		assert_int_equal(table.sort_column, steps[i].column);
		assert_int_equal(table.sort, steps[i].sort);
	}
	table.columns = columns + 1;
	table.n_columns = 1;
	table.sort_column = -1;
	assert_int_equal(list_action(shell, &table, A_SORT), LIST_DONE);
}

static void test_marks(void **state)
{
	(void)state;
	assert_int_equal(list_action(shell, &table, A_MARK), LIST_DONE);
	assert_int_equal(table_marked(&table, NULL), 1);
	assert_int_equal(list_action(shell, &table, A_RANGE), LIST_DONE);
	(void)table_nav(&table, NAV_LAST);
	assert_int_equal(list_action(shell, &table, A_RANGE), LIST_DONE);
	shell_frame(shell);
	assert_true(screen_has(shell_grid(shell), "not marked: the range is too large"));
	assert_int_equal(table_marked(&table, NULL), 1); /* not a half of it */
	assert_int_equal(list_action(shell, &table, A_MARK_ALL), LIST_DONE);
	assert_int_equal(table_marked(&table, NULL), N_ROWS);
	assert_int_equal(list_action(shell, &table, A_UNMARK), LIST_DONE);
	assert_int_equal(table_marked(&table, NULL), 0);
	assert_int_equal(list_action(shell, &table, A_HOLD), LIST_NOT_MINE);
}

static void test_copy(void **state)
{
	(void)state;
	(void)table_nav(&table, NAV_DOWN);
	assert_int_equal(list_action(shell, &table, A_COPY), LIST_DONE);
	assert_string_equal(clipboard, "r1c0\tr1c1\tr1c2");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_sort_goes_round, setup, teardown),
		cmocka_unit_test_setup_teardown(test_marks, setup, teardown),
		cmocka_unit_test_setup_teardown(test_copy, setup, teardown),
	};

	screen_locale();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
