#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "base/mem.h"
#include "base/utf8.h"
#include "cell/canvas.h"
#include "lib/screen.h"
#include "theme/theme.h"

#define ROWS 4
#define COLS 20

static struct grid *grid;
static struct canvas canvas;

static int setup(void **state)
{
	(void)state;
	grid = grid_new(ROWS, COLS);
	canvas = canvas_of(grid, NULL, false);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	grid_free(&grid);
	return 0;
}

static void expect_row(int row, const char *text)
{
	char *all = screen_text(grid);
	struct str rest = str_of(all);
	struct str line = STR("");

	for (int i = 0; i <= row; i++)
		line = str_cut(&rest, '\n');
	if (!str_eq(line, str_from(text, strlen(text))))
		print_error("row %d is not '%s' in:\n%s", row, text, all);
	assert_true(str_eq(line, str_from(text, strlen(text))));
	free(all);
}

/* Everything that can drive a terminal, or make a line look like another one, ends as U+FFFD. */
static void test_harmless(void **state)
{
	static const struct {
		const char *in;
		const char *shown;
	} cases[] = {
		{ "plain", "plain" },
		{ "\033[2Jx", "\357\277\275[2Jx" },
		{ "a\rb\nc", "a\357\277\275b c" },
		{ "a\tb", "a b" },
		{ "\x9b"
		  "31m",
		  "\357\277\275"
		  "31m" }, /* C1 CSI as a byte */
		{ "\302\233"
		  "31m",
		  "\357\277\275"
		  "31m" },					  /* C1 CSI as UTF-8 */
		{ "\342\200\256gpj.exe", "\357\277\275gpj.exe" }, /* right-to-left override */
		{ "a\342\200\215b", "a\357\277\275"
				    "b" },				    /* zero width joiner */
		{ "\342\235\244\357\270\217", "\342\235\244\357\277\275" }, /* variation selector */
		{ "\300\257", "\357\277\275\357\277\275" },		    /* overlong slash */
		{ "\355\240\200", "\357\277\275\357\277\275\357\277\275" }, /* surrogate */
		{ "\342\202", "\357\277\275\357\277\275" },		    /* cut off */
		{ "\177", "\357\277\275" },
		{ "\314\201x", "\357\277\275x" }, /* a mark without a base */
		{ "e\314\201x", "e\314\201x" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		grid_clear(grid);
		canvas_puts(&canvas, 0, 0, ROLE_TEXT, str_of(cases[i].in));
		expect_row(0, cases[i].shown);
	}
}

static void test_marks_are_limited(void **state)
{
	const char *zalgo = "e\314\201\314\202\314\203\314\204\314\205x";

	(void)state;
	assert_int_equal(canvas_puts(&canvas, 0, 0, ROLE_TEXT, str_of(zalgo)), 2);
	assert_int_equal(grid_at(grid, 0, 0)->cp[CELL_CPS - 1], 0x303);
	assert_int_equal(grid_at(grid, 0, 1)->cp[0], 'x');
}

static void test_wide_never_split(void **state)
{
	struct canvas narrow = canvas_sub(&canvas, 0, 2, 1, 3);

	(void)state;
	canvas_puts(&narrow, 0, 0, ROLE_TEXT, STR("\346\227\245\346\234\254"));
	expect_row(0, "  \346\227\245"); /* the second one is cut: blank */
	assert_int_equal(grid_at(grid, 0, 3)->flags & CELL_TAIL, CELL_TAIL);
	canvas_puts(&narrow, 0, -1, ROLE_TEXT, STR("\346\227\245\346\234\254"));
	expect_row(0, "   \346\234\254");
	/* Writing on one half blanks the other. */
	canvas_puts(&canvas, 0, 4, ROLE_TEXT, STR("x"));
	expect_row(0, "    x");
}

static void test_field(void **state)
{
	static const struct {
		const char *in;
		enum align align;
		const char *shown;
	} cases[] = {
		{ "abc", ALIGN_LEFT, "[abc   ]" },
		{ "abc", ALIGN_RIGHT, "[   abc]" },
		{ "abc", ALIGN_CENTRE, "[ abc  ]" },
		{ "abcdef", ALIGN_LEFT, "[abcdef]" },
		{ "abcdefg", ALIGN_LEFT, "[abcde\342\200\246]" },
		{ "abcdefg", ALIGN_RIGHT, "[abcde\342\200\246]" },
		{ "abcd\346\227\245\346\234\254", ALIGN_LEFT, "[abcd\342\200\246 ]" },
		{ "", ALIGN_LEFT, "[      ]" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		canvas_puts(&canvas, 0, 0, ROLE_TEXT, STR("[zzzzzz]"));
		canvas_field(&canvas, 0, 1, 6, cases[i].align, ROLE_TEXT, str_of(cases[i].in));
		expect_row(0, cases[i].shown);
	}
	canvas_field_from(&canvas, 1, 0, 4, 2, ROLE_TEXT, STR("abcdefgh"));
	expect_row(1, "cde\342\200\246");
}

static void test_ascii(void **state)
{
	struct canvas ascii = canvas_of(grid, NULL, true);

	(void)state;
	canvas_puts(&ascii, 0, 0, ROLE_TEXT, STR("\303\244b\346\227\245c"));
	expect_row(0, "?b??c");
	canvas_field(&ascii, 1, 0, 4, ALIGN_LEFT, ROLE_TEXT, STR("abcdef"));
	expect_row(1, "abc~");
	canvas_bar(&ascii, 2, 0, 8, ROLE_CHART, 1, 2);
	expect_row(2, "####");
	for (int row = 0; row < ROWS; row++)
		for (int col = 0; col < COLS; col++)
			assert_true(grid_at(grid, row, col)->cp[0] < 0x7f);
}

static void test_bars_and_sparks(void **state)
{
	static const double values[] = { 0, 1, 4, 8 };

	(void)state;
	canvas_bar(&canvas, 0, 0, 8, ROLE_CHART, 5, 16);
	expect_row(0, "\342\226\210\342\226\210\342\226\214"); /* two and a half columns of eight */
	canvas_bar(&canvas, 1, 0, 8, ROLE_CHART, 0.001, 16);
	expect_row(1, "\342\226\217"); /* little, but not nothing */
	canvas_bar(&canvas, 2, 0, 8, ROLE_CHART, 99, 16);
	canvas_spark(&canvas, 3, 0, 4, ROLE_CHART, values, 4, 0);
	expect_row(3, " \342\226\201\342\226\204\342\226\210");
	assert_int_equal(grid_at(grid, 2, 8)->cp[0], ' ');
}

static void test_clip(void **state)
{
	struct canvas outer = canvas_sub(&canvas, 1, 5, 2, 6);
	struct canvas inner = canvas_sub(&outer, -1, -2, 10, 30);

	(void)state;
	canvas_clear(&inner, ROLE_WARN);
	for (int row = 0; row < ROWS; row++)
		for (int col = 0; col < COLS; col++) {
			bool inside = row >= 1 && row < 3 && col >= 5 && col < 11;

			assert_int_equal(grid_at(grid, row, col)->role,
					 inside ? ROLE_WARN : ROLE_TEXT);
		}
}

static void test_hits(void **state)
{
	struct hit_map *hits = hit_map_new();
	struct canvas c = canvas_of(grid, hits, false);
	struct canvas sub = canvas_sub(&c, 1, 1, 2, 4);

	(void)state;
	canvas_hit(&c, 0, 0, ROWS, COLS, (struct hit){ HIT_BODY, NULL, 1 });
	canvas_hit(&sub, 0, 0, 9, 9, (struct hit){ HIT_ROW, NULL, 2 });
	assert_int_equal(hit_map_find(hits, 1, 1).id, 2);
	assert_int_equal(hit_map_find(hits, 2, 4).id, 2);
	assert_int_equal(hit_map_find(hits, 2, 5).id, 1); /* clipped by the canvas */
	assert_int_equal(hit_map_find(hits, 9, 9).kind, HIT_NONE);
	for (int i = 0; i < 2 * HIT_MAX; i++)
		canvas_hit(&c, 0, 0, 1, 1, (struct hit){ HIT_ROW, NULL, 3 });
	assert_int_equal(hit_map_find(hits, 0, 0).id, 3);
	hit_map_free(&hits);
}

/* Random bytes at random places: whatever comes, wide characters stay whole and nothing harmful is
 * in a cell. */
static void test_random(void **state)
{
	unsigned seed = 4711;

	(void)state;
	for (int round = 0; round < 20000; round++) {
		char bytes[24];
		struct canvas sub =
			canvas_sub(&canvas, rand_r(&seed) % 6 - 1, rand_r(&seed) % 24 - 2,
				   rand_r(&seed) % 5, rand_r(&seed) % 24);

		for (size_t i = 0; i < sizeof(bytes); i++)
			bytes[i] = (char)(rand_r(&seed) % 3 ? rand_r(&seed)
							    : 0xe4 + rand_r(&seed) % 4);
		canvas_puts(&sub, rand_r(&seed) % 3, rand_r(&seed) % 9 - 4, ROLE_TEXT,
			    str_from(bytes, sizeof(bytes)));
	}
	for (int row = 0; row < ROWS; row++)
		for (int col = 0; col < COLS; col++) {
			const struct cell *c = grid_at(grid, row, col);

			if (c->width == 2)
				assert_true(grid_at(grid, row, col + 1)->flags & CELL_TAIL);
			if (c->flags & CELL_TAIL)
				assert_int_equal(grid_at(grid, row, col - 1)->width, 2);
			else
				assert_true(cell_width(c->cp[0]) > 0);
			for (int i = 1; i < CELL_CPS && c->cp[i] != 0; i++)
				assert_int_equal(cell_width(c->cp[i]), 0);
		}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_harmless, setup, teardown),
		cmocka_unit_test_setup_teardown(test_marks_are_limited, setup, teardown),
		cmocka_unit_test_setup_teardown(test_wide_never_split, setup, teardown),
		cmocka_unit_test_setup_teardown(test_field, setup, teardown),
		cmocka_unit_test_setup_teardown(test_ascii, setup, teardown),
		cmocka_unit_test_setup_teardown(test_bars_and_sparks, setup, teardown),
		cmocka_unit_test_setup_teardown(test_clip, setup, teardown),
		cmocka_unit_test_setup_teardown(test_hits, setup, teardown),
		cmocka_unit_test_setup_teardown(test_random, setup, teardown),
	};

	screen_locale();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
