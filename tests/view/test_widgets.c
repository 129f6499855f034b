/*
 * Form, menu, text and meters.
 */
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
#include "widget/form.h"
#include "widget/menu.h"
#include "widget/meter.h"
#include "widget/text.h"

static struct grid *grid;
static struct hit_map *hits;
static struct canvas canvas;

static int setup(void **state)
{
	(void)state;
	grid = grid_new(10, 60);
	hits = hit_map_new();
	canvas = canvas_of(grid, hits, false);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	grid_free(&grid);
	hit_map_free(&hits);
	return 0;
}

static void wipe(void)
{
	grid_clear(grid);
	hit_map_clear(hits);
}

/* --- form --- */

static const char *const modes[] = { "relay", "authenticate", NULL };
static const struct form_field fields[] = {
	{ .name = "network",
	  .title = "Network",
	  .help = "v4 or v6, as 10.0.0.0/8",
	  .required = true },
	{ .name = "mode", .title = "May", .kind = FORM_CHOICE, .choices = modes, .required = true },
	{ .name = "for", .title = "For", .kind = FORM_AGE, .help = "how long; empty: for ever" },
	{ .name = "quiet", .title = "Quiet", .kind = FORM_BOOL },
};

static void form_type(struct form *f, const char *text)
{
	for (; *text != '\0'; text++)
		(void)form_event(f, &EVENT_OF_KEY((uint32_t)*text));
}

static unsigned form_key(struct form *f, uint32_t key)
{
	return form_event(f, &EVENT_OF_KEY(key));
}

static void has_value(const struct form *f, const char *name, const char *value)
{
	assert_true(str_eq(form_value(f, name), str_from(value, strlen(value))));
}

/* With room for less than all of it: the field with the focus, its help and the button are there.
 */
static void test_form_scrolls(void **state)
{
	AUTO(form) struct form *f = form_new(fields, ARRAY_LEN(fields));
	struct canvas low = canvas_sub(&canvas, 0, 0, 5, canvas_cols(&canvas));

	(void)state;
	form_draw(f, &low);
	assert_true(screen_has(grid, "Network") && screen_has(grid, "v4 or v6"));
	assert_true(screen_has(grid, "[ OK ]") && screen_has(grid, "fields 1 to 2 of 4"));
	assert_false(screen_has(grid, "Quiet"));
	(void)form_key(f, K_TAB | K_SHIFT);
	assert_int_equal(form_key(f, K_ENTER), WIDGET_USED); /* back up to what is missing */
	wipe();
	form_draw(f, &low);
	assert_true(screen_has(grid, "Network is needed"));
	(void)form_key(f, K_TAB | K_SHIFT);
	wipe();
	form_draw(f, &low);
	assert_true(screen_has(grid, "Quiet") && screen_has(grid, "fields 3 to 4 of 4"));
	assert_false(screen_has(grid, "May "));
}

static void test_form(void **state)
{
	AUTO(form) struct form *f = form_new(fields, ARRAY_LEN(fields));
	struct err err = ERR_INIT;

	(void)state;
	form_draw(f, &canvas);
	screen_golden(grid, "form");
	assert_int_equal(form_key(f, K_TAB | K_SHIFT) & WIDGET_MOVED, WIDGET_MOVED); /* to OK */
	assert_int_equal(form_key(f, K_ENTER), WIDGET_USED); /* the network is missing */
	form_type(f, "10.0.0.0/8");
	has_value(f, "network", "10.0.0.0/8");
	has_value(f, "mode", "relay");
	(void)form_key(f, K_TAB);
	(void)form_key(f, ' ');
	has_value(f, "mode", "authenticate");
	(void)form_key(f, K_RIGHT);
	(void)form_key(f, K_LEFT);
	has_value(f, "mode", "authenticate");
	(void)form_key(f, K_ENTER);
	form_type(f, "soon");
	(void)form_key(f, K_ENTER);
	(void)form_key(f, ' ');
	has_value(f, "quiet", "true");
	assert_int_equal(form_key(f, K_ENTER), WIDGET_USED); /* "soon" is no time */
	wipe();
	form_draw(f, &canvas);
	assert_true(screen_has(grid, "2h or 3d fits here"));
	(void)form_key(f, K_CTRL | 'u');
	form_type(f, "2h");
	(void)form_key(f, K_DOWN);
	assert_int_equal(form_key(f, K_ENTER), WIDGET_ACTIVATED);
	/* The relay refuses: its complaint stands at the field. */
	(void)err_param(&err, ERR_EXISTS, "network", "10.0.0.0/8 is there already");
	form_error(f, &err);
	wipe();
	form_draw(f, &canvas);
	screen_golden(grid, "form-refused");
	assert_int_equal(form_key(f, K_ESC), WIDGET_CANCELLED);
}

/* What need not be chosen can be left empty again. */
static void test_choices_end_with_none(void **state)
{
	static const struct form_field free_choice[] = {
		{ .name = "mode", .title = "May", .kind = FORM_CHOICE, .choices = modes },
	};
	AUTO(form) struct form *f = form_new(free_choice, ARRAY_LEN(free_choice));

	(void)state;
	has_value(f, "mode", "");
	(void)form_key(f, ' ');
	has_value(f, "mode", "relay");
	(void)form_key(f, ' ');
	(void)form_key(f, ' ');
	has_value(f, "mode", "");
	(void)form_key(f, K_LEFT);
	has_value(f, "mode", "authenticate");
}

static size_t complete_states(struct str line, size_t cursor, struct prompt_candidates *to,
			      void *arg)
{
	static const char *const words[] = { "state:held", "subject:", "subject-words:" };

	(void)arg;
	for (size_t i = 0; i < ARRAY_LEN(words); i++)
		if (str_starts(str_of(words[i]), str_from(line.p, cursor)))
			prompt_offer(to, str_of(words[i]), "");
	return 0;
}

/* Tab completes what can be, and then goes on. */
static void test_tab_leaves_complete_words(void **state)
{
	static const struct form_field filter[] = {
		{ .name = "match", .title = "Match", .complete = complete_states },
		{ .name = "note", .title = "Note" },
	};
	AUTO(form) struct form *f = form_new(filter, ARRAY_LEN(filter));

	(void)state;
	form_type(f, "st");
	assert_int_equal(form_key(f, K_TAB), WIDGET_USED | WIDGET_CHANGED);
	has_value(f, "match", "state:held");
	assert_int_equal(form_key(f, K_TAB), WIDGET_USED | WIDGET_MOVED);
	form_type(f, "x");
	has_value(f, "note", "x");
	(void)form_key(f, K_UP);
	(void)form_key(f, K_CTRL | 'u');
	form_type(f, "subject"); /* two begin so: they are shown first */
	assert_int_equal(form_key(f, K_TAB) & WIDGET_MOVED, 0);
	assert_int_equal(form_key(f, K_TAB) & WIDGET_MOVED, 0);
	has_value(f, "match", "subject:");
}

/* --- menu --- */

static const struct menu_item items[] = {
	{ .title = "Changing", .heading = true },
	{ .id = 1, .key = 'H', .title = "Hold", .help = "stop delivering", .danger = true },
	{ .id = 2,
	  .key = 'L',
	  .title = "Release",
	  .help = "end a hold",
	  .why_not = "it is not held" },
	{ .title = "Looking", .heading = true },
	{ .id = 3, .key = 'w', .title = "Why", .help = "what binds it" },
};

static void test_menu(void **state)
{
	struct menu m;

	(void)state;
	menu_init(&m, items, ARRAY_LEN(items));
	menu_draw(&m, &canvas);
	screen_golden(grid, "menu");
	assert_int_equal(menu_chosen(&m)->id, 1); /* not the heading */
	(void)menu_event(&m, &EVENT_OF_KEY(K_DOWN));
	assert_int_equal(menu_chosen(&m)->id, 2);
	assert_int_equal(menu_event(&m, &EVENT_OF_KEY(K_ENTER)),
			 WIDGET_USED); /* cannot be chosen */
	(void)menu_event(&m, &EVENT_OF_KEY('j'));
	assert_int_equal(menu_chosen(&m)->id, 3);
	assert_int_equal(menu_event(&m, &EVENT_OF_KEY('L')), WIDGET_USED);
	assert_int_equal(menu_event(&m, &EVENT_OF_KEY('H')), WIDGET_ACTIVATED);
	assert_int_equal(menu_chosen(&m)->id, 1);
	assert_int_equal(menu_event(&m, &EVENT_OF_KEY(K_ESC)), WIDGET_CANCELLED);
}

static void test_menu_filter(void **state)
{
	struct menu m;

	(void)state;
	menu_init(&m, items, ARRAY_LEN(items));
	m.filter = true;
	(void)menu_event(&m, &EVENT_OF_KEY('B'));
	(void)menu_event(&m, &EVENT_OF_KEY('i')); /* "what binds it" */
	assert_int_equal(menu_chosen(&m)->id, 3);
	(void)menu_event(&m, &EVENT_OF_KEY('x'));
	assert_null(menu_chosen(&m));
	assert_int_equal(menu_event(&m, &EVENT_OF_KEY(K_ENTER)), WIDGET_USED);
	menu_draw(&m, &canvas);
	assert_true(screen_has(grid, "nothing matches"));
	(void)menu_event(&m, &EVENT_OF_KEY(K_BACKSPACE));
	assert_int_equal(menu_chosen(&m)->id, 3);
}

static void test_long_menu_scrolls(void **state)
{
	struct menu_item many[100];
	char titles[100][16];
	struct menu m;

	(void)state;
	for (int i = 0; i < 100; i++) {
		snprintf(titles[i], sizeof(titles[i]), "item %d.", i);
		many[i] = (struct menu_item){ .id = (uint64_t)i + 1, .title = titles[i] };
	}
	menu_init(&m, many, 100);
	menu_draw(&m, &canvas);
	for (int i = 0; i < 57; i++) {
		(void)menu_event(&m, &EVENT_OF_KEY(K_DOWN));
		wipe();
		menu_draw(&m, &canvas);
	}
	assert_true(screen_has(grid, "item 57."));
	(void)menu_event(&m, &EVENT_OF_KEY(K_HOME));
	wipe();
	menu_draw(&m, &canvas);
	assert_true(screen_has(grid, "item 0."));
}

/* --- text --- */

static void test_text(void **state)
{
	struct text t;

	(void)state;
	text_init(&t);
	t.wrap = true;
	text_add(&t, ROLE_TITLE, STR("Attempts"));
	text_add_field(&t, 12, "Reply", ROLE_QUOTE,
		       STR("421 4.7.28 Our system has detected an unusual rate of mail from you, "
			   "try later"));
	text_add_field(&t, 12, "Host", ROLE_TEXT, STR("mx.example.net\ttab"));
	text_add(&t, ROLE_TEXT, STR("one\r\ntwo\n\nafter an empty line"));
	text_add(&t, ROLE_QUOTE,
		 STR("    a reply that is long enough to be wrapped goes on below its first word"));
	text_draw(&t, &canvas);
	screen_golden(grid, "text");
	assert_int_equal(text_rows(&t, 60), t.shown_rows);
	text_done(&t);
}

static void test_text_scroll_and_search(void **state)
{
	struct text t;

	(void)state;
	text_init(&t);
	for (int i = 0; i < 1000; i++)
		text_addf(&t, ROLE_TEXT, "line %d %s", i, i % 100 == 42 ? "Needle" : "hay");
	text_draw(&t, &canvas);
	(void)text_nav(&t, NAV_LAST);
	wipe();
	text_draw(&t, &canvas);
	assert_true(screen_has(grid, "line 999"));
	assert_true(text_search(&t, STR("needle")));
	wipe();
	text_draw(&t, &canvas);
	assert_int_equal(screen_row_of(grid, "line 42 "), 0); /* around the end */
	assert_int_equal(grid_at(grid, 0, 8)->role, ROLE_MATCH);
	assert_true(text_search_next(&t, false));
	wipe();
	text_draw(&t, &canvas);
	assert_int_equal(screen_row_of(grid, "line 142 "), 0);
	assert_true(text_search_next(&t, true));
	assert_int_equal(t.top, 42);
	assert_false(text_search(&t, STR("nowhere")));
	text_clear(&t); /* shorter text: no scrolling beyond its end */
	text_add(&t, ROLE_TEXT, STR("short"));
	wipe();
	text_draw(&t, &canvas);
	assert_int_equal(screen_row_of(grid, "short"), 0);
	text_done(&t);
}

static void test_text_limit(void **state)
{
	char *big = xmalloc(TEXT_MAX_BYTES);
	struct text t;

	(void)state;
	memset(big, 'x', TEXT_MAX_BYTES);
	text_init(&t);
	text_add(&t, ROLE_TEXT, STR("first"));
	text_add(&t, ROLE_TEXT, str_from(big, TEXT_MAX_BYTES));
	text_add(&t, ROLE_TEXT, STR("last"));
	assert_true(t.cut);
	(void)text_nav(&t, NAV_LAST);
	text_draw(&t, &canvas);
	assert_true(screen_has(grid, "cut here"));
	text_done(&t);
	free(big);
}

static void test_meters(void **state)
{
	static const char *const names[] = { "Envelope", "Attempts", "Body" };
	static const double history[] = { 1, 2, 3, 4, 8, 4, 2, 1, 0, 0, 5 };
	struct meter m = { .label = "in",
			   .value = "118/s",
			   .role = ROLE_GOOD,
			   .history = history,
			   .n_history = ARRAY_LEN(history),
			   .chart_role = ROLE_CHART };

	(void)state;
	(void)tabs_draw(&canvas, 0, 1, names, ARRAY_LEN(names), 1, names);
	meter_draw(&canvas, 2, &m, 10, 8);
	screen_golden(grid, "meters");
	assert_int_equal(hit_map_find(hits, 0, 14).id, 1);
	assert_int_equal(hit_map_find(hits, 0, 14).kind, HIT_ITEM);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_choices_end_with_none, setup, teardown),
		cmocka_unit_test_setup_teardown(test_tab_leaves_complete_words, setup, teardown),
		cmocka_unit_test_setup_teardown(test_form, setup, teardown),
		cmocka_unit_test_setup_teardown(test_form_scrolls, setup, teardown),
		cmocka_unit_test_setup_teardown(test_menu, setup, teardown),
		cmocka_unit_test_setup_teardown(test_menu_filter, setup, teardown),
		cmocka_unit_test_setup_teardown(test_long_menu_scrolls, setup, teardown),
		cmocka_unit_test_setup_teardown(test_text, setup, teardown),
		cmocka_unit_test_setup_teardown(test_text_scroll_and_search, setup, teardown),
		cmocka_unit_test_setup_teardown(test_text_limit, setup, teardown),
		cmocka_unit_test_setup_teardown(test_meters, setup, teardown),
	};

	screen_locale();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
