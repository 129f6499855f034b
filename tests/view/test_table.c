#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "base/mem.h"
#include "lib/screen.h"
#include "widget/table.h"

#define MAX_ROWS 400

/* A source whose rows can be inserted and removed anywhere. */
struct source {
	uint64_t id[MAX_ROWS];
	int n;
	uint64_t next;
	int64_t wanted_first;
	int wanted_n;
	int64_t loading_from; /* rows from here on are not known yet; -1: all are */
	bool estimate;
};

static int64_t source_count(void *arg, bool *ret_exact)
{
	struct source *s = arg;

	*ret_exact = !s->estimate;
	return s->n;
}

static enum row_state source_row(void *arg, int64_t index)
{
	struct source *s = arg;

	return s->loading_from >= 0 && index >= s->loading_from ? ROW_LOADING : ROW_READY;
}

static struct row_id source_id(void *arg, int64_t index)
{
	struct source *s = arg;

	assert_true(index >= 0 && index < s->n);
	return (struct row_id){ source_row(s, index) == ROW_READY ? s->id[index] : 0 };
}

static int64_t source_index_of(void *arg, struct row_id id)
{
	struct source *s = arg;

	for (int i = 0; i < s->n; i++)
		if (s->id[i] == id.v)
			return i;
	return -1;
}

static void source_want(void *arg, int64_t first, int n)
{
	struct source *s = arg;

	s->wanted_first = first;
	s->wanted_n = n;
}

static void source_cell(void *arg, int64_t index, int column, struct table_cell *out)
{
	struct source *s = arg;

	if (column == 2)
		out->bar = (double)(s->id[index] % 10) / 10;
	snprintf(out->scratch, sizeof(out->scratch), "%s%llu", column == 0 ? "row-" : "",
		 (unsigned long long)s->id[index]);
	out->text = str_of(out->scratch);
	out->role = column == 0 ? ROLE_TEXT : ROLE_WARN;
}

static const struct row_source_ops ops = {
	.count = source_count,
	.row = source_row,
	.id = source_id,
	.index_of = source_index_of,
	.want = source_want,
	.cell = source_cell,
};

static const struct table_column columns[] = {
	{ .name = "name", .title = "NAME", .width = 10, .max = 20, .sortable = true },
	{ .name = "n",
	  .title = "N",
	  .width = 6,
	  .align = ALIGN_RIGHT,
	  .priority = 1,
	  .sortable = true },
	{ .name = "share", .title = "SHARE", .width = 8, .priority = 2, .kind = COLUMN_BAR },
};

static struct source src;
static struct table table;
static struct grid *grid;
static struct hit_map *hits;

static int setup(void **state)
{
	(void)state;
	src = (struct source){ .next = 1, .loading_from = -1 };
	for (int i = 0; i < 100; i++)
		src.id[src.n++] = src.next++;
	table_init(&table, (struct row_source){ &ops, &src }, columns, ARRAY_LEN(columns));
	table.focused = true;
	grid = grid_new(9, 44);
	hits = hit_map_new();
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	table_done(&table);
	grid_free(&grid);
	hit_map_free(&hits);
	return 0;
}

static void draw(void)
{
	struct canvas c = canvas_of(grid, hits, false);

	grid_clear(grid);
	hit_map_clear(hits);
	table_draw(&table, &c);
}

static void insert_at(int at)
{
	memmove(src.id + at + 1, src.id + at, sizeof(src.id[0]) * (size_t)(src.n - at));
	src.id[at] = src.next++;
	src.n++;
}

static void remove_at(int at)
{
	src.n--;
	memmove(src.id + at, src.id + at + 1, sizeof(src.id[0]) * (size_t)(src.n - at));
}

static uint64_t cursor_id(void)
{
	struct row_id id = { 0 };

	return table_cursor(&table, &id) < 0 ? 0 : id.v;
}

static void test_looks(void **state)
{
	(void)state;
	table.sort_column = 1;
	table.sort = SORT_DOWN;
	draw();
	(void)table_nav(&table, NAV_DOWN);
	(void)table_mark_toggle(&table);
	draw();
	screen_golden(grid, "table");
}

static void test_narrow_columns_go(void **state)
{
	(void)state;
	grid_resize(grid, 6, 24);
	draw();
	screen_golden(grid, "table-narrow");
	table.wide = true;
	(void)table_nav(&table, NAV_RIGHT);
	draw();
	screen_golden(grid, "table-wide");
}

static void test_moving(void **state)
{
	static const struct {
		enum nav nav;
		uint64_t id;
	} steps[] = {
		{ NAV_DOWN, 2 },       { NAV_UP, 1 },	  { NAV_UP, 1 },     { NAV_PAGE_DOWN, 8 },
		{ NAV_HALF_DOWN, 12 }, { NAV_LAST, 100 }, { NAV_DOWN, 100 }, { NAV_HALF_UP, 96 },
		{ NAV_PAGE_UP, 89 },   { NAV_FIRST, 1 },
	};

	(void)state;
	draw();
	for (size_t i = 0; i < ARRAY_LEN(steps); i++) {
		(void)table_nav(&table, steps[i].nav);
		draw();
		assert_int_equal(cursor_id(), steps[i].id);
	}
	assert_int_equal(src.wanted_first, 0);
	assert_int_equal(src.wanted_n, 8);
}

/* The point of the widget: rows that come and go elsewhere move neither the cursor's id nor its
 * line. */
static void test_anchor(void **state)
{
	unsigned seed = 99;
	int line;

	(void)state;
	draw();
	for (int i = 0; i < 40; i++)
		(void)table_nav(&table, NAV_DOWN);
	(void)table_nav(&table, NAV_UP);
	draw();
	line = table.line;
	for (int i = 0; i < 3000; i++) {
		int cursor = (int)source_index_of(&src, (struct row_id){ 40 });
		int at = rand_r(&seed) % src.n;

		if (src.n > 350 || (rand_r(&seed) % 2 && at != cursor && src.n > 60))
			at != cursor ? remove_at(at) : (void)0;
		else
			insert_at(at);
		draw();
		assert_int_equal(cursor_id(), 40);
		cursor = (int)source_index_of(&src, (struct row_id){ 40 });
		if (cursor >= 8 && cursor < src.n - 8)
			assert_int_equal(table.line, line);
		line = table.line;
	}
}

/* A row that goes away under the cursor must not hand its place, and the next action, to its
 * neighbour. */
static void test_gone(void **state)
{
	(void)state;
	draw();
	for (int i = 0; i < 4; i++)
		(void)table_nav(&table, NAV_DOWN);
	draw();
	assert_int_equal(cursor_id(), 5);
	remove_at(4);
	draw();
	assert_int_equal(cursor_id(), 0);
	assert_true(screen_has(grid, "gone"));
	assert_int_equal(table_nav(&table, NAV_ENTER) & WIDGET_ACTIVATED, 0);
	assert_true(table_mark_toggle(&table));
	assert_int_equal(table_marked(&table, NULL), 0);
	screen_golden(grid, "table-gone");
	(void)table_nav(&table, NAV_DOWN);
	draw();
	assert_int_equal(cursor_id(), 6);
	assert_false(screen_has(grid, "gone"));
}

static void test_everything_goes(void **state)
{
	(void)state;
	draw();
	(void)table_nav(&table, NAV_LAST);
	src.n = 0;
	draw();
	assert_int_equal(cursor_id(), 0);
	assert_true(screen_has(grid, "nothing here"));
	assert_false(screen_has(grid, "gone"));
	(void)table_nav(&table, NAV_DOWN);
	(void)table_nav(&table, NAV_PAGE_UP);
	draw();
	table_reset(&table);
	draw();
	assert_true(screen_has(grid, "nothing here"));
	src.estimate = true;
	draw();
	assert_true(screen_has(grid, "loading"));
}

static void test_loading(void **state)
{
	(void)state;
	src.loading_from = 3;
	draw();
	screen_golden(grid, "table-loading");
	for (int i = 0; i < 5; i++)
		(void)table_nav(&table, NAV_DOWN);
	draw();
	assert_int_equal(cursor_id(), 0); /* nothing to act on yet */
	src.loading_from = -1;
	draw();
	assert_int_equal(cursor_id(), 6);
	insert_at(0);
	draw();
	assert_int_equal(cursor_id(), 6); /* and from then on it is anchored */
}

static void count_mark(struct row_id id, void *arg)
{
	*(uint64_t *)arg += id.v;
}

static void test_marks(void **state)
{
	uint64_t sum = 0;
	bool exact;

	(void)state;
	draw();
	assert_true(table_mark_toggle(&table)); /* 1, and down */
	assert_true(table_mark_toggle(&table)); /* 2 */
	(void)table_nav(&table, NAV_DOWN);
	assert_true(table_mark_range(&table)); /* from 4 … */
	(void)table_nav(&table, NAV_DOWN);
	(void)table_nav(&table, NAV_DOWN);
	assert_true(table_mark_range(&table)); /* … to 6 */
	table_marks_each(&table, count_mark, &sum);
	assert_int_equal(sum, 1 + 2 + 4 + 5 + 6);
	remove_at(0); /* a mark stays until it is dropped; the relay says what became of the row */
	assert_int_equal(table_marked(&table, &exact), 5);
	table_mark_all(&table);
	assert_int_equal(table_marked(&table, &exact), 99);
	assert_true(exact);
	assert_true(table_mark_toggle(&table)); /* an exception */
	assert_int_equal(table_marked(&table, &exact), 98);
	assert_false(table_is_marked(&table, (struct row_id){ 6 }));
	src.estimate = true;
	(void)table_marked(&table, &exact);
	assert_false(exact);
	table_unmark_all(&table);
	assert_int_equal(table_marked(&table, NULL), 0);
}

static void test_range_over_unknown_rows(void **state)
{
	(void)state;
	src.loading_from = 20;
	draw();
	assert_true(table_mark_range(&table));
	src.loading_from = -1;
	(void)table_nav(&table, NAV_LAST);
	draw();
	src.id[50] = 0; /* one in between is not fetched */
	assert_false(table_mark_range(&table));
	assert_int_equal(table_marked(&table, NULL), 0);
}

static unsigned click(int row, int col, bool twice)
{
	struct event_mouse m = {
		.button = MOUSE_LEFT, .action = MOUSE_PRESS, .row = row, .col = col, .twice = twice
	};

	m.hit = hit_map_find(hits, row, col);
	return table_mouse(&table, &m);
}

static void test_mouse(void **state)
{
	struct event_mouse wheel = { .button = MOUSE_WHEEL_DOWN, .action = MOUSE_PRESS };

	(void)state;
	draw();
	assert_int_equal(click(4, 5, false), WIDGET_USED | WIDGET_MOVED);
	assert_int_equal(cursor_id(), 4);
	assert_true(click(4, 5, true) & WIDGET_ACTIVATED);
	assert_true(click(0, 5, false) & WIDGET_SORT);
	assert_int_equal(table.sort_column, 0);
	draw();
	wheel.hit = hit_map_find(hits, 3, 3);
	assert_true(table_mouse(&table, &wheel) & WIDGET_MOVED);
	wheel.hit.owner = &src; /* another widget's */
	assert_int_equal(table_mouse(&table, &wheel), WIDGET_IGNORED);
}

static void test_position(void **state)
{
	char text[TABLE_POSITION_LEN];

	(void)state;
	draw();
	table_position(&table, text);
	assert_string_equal(text, "1 of 100");
	src.estimate = true;
	assert_true(table_mark_toggle(&table));
	table_position(&table, text);
	assert_string_equal(text, "1 marked of ~100");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_looks, setup, teardown),
		cmocka_unit_test_setup_teardown(test_narrow_columns_go, setup, teardown),
		cmocka_unit_test_setup_teardown(test_moving, setup, teardown),
		cmocka_unit_test_setup_teardown(test_anchor, setup, teardown),
		cmocka_unit_test_setup_teardown(test_gone, setup, teardown),
		cmocka_unit_test_setup_teardown(test_everything_goes, setup, teardown),
		cmocka_unit_test_setup_teardown(test_loading, setup, teardown),
		cmocka_unit_test_setup_teardown(test_marks, setup, teardown),
		cmocka_unit_test_setup_teardown(test_range_over_unknown_rows, setup, teardown),
		cmocka_unit_test_setup_teardown(test_mouse, setup, teardown),
		cmocka_unit_test_setup_teardown(test_position, setup, teardown),
	};

	screen_locale();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
