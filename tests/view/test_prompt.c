#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "base/mem.h"
#include "base/utf8.h"
#include "lib/screen.h"
#include "widget/prompt.h"

static struct prompt prompt;
static struct history *history;

static size_t complete(struct str line, size_t cursor, struct prompt_candidates *to, void *arg)
{
	static const char *const words[] = { "domain:", "domain:example.net", "domain:example.org",
					     "state:held", "stream:" };
	size_t from = cursor;

	(void)arg;
	while (from > 0 && line.p[from - 1] != ' ')
		from--;
	for (size_t i = 0; i < ARRAY_LEN(words); i++)
		if (str_starts(str_of(words[i]), str_from(line.p + from, cursor - from)))
			prompt_offer(to, str_of(words[i]), "a field");
	return from;
}

static int setup(void **state)
{
	(void)state;
	prompt_init(&prompt, "filter");
	history = history_new();
	prompt.history = history;
	prompt.complete = complete;
	prompt.focused = true;
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	prompt_done(&prompt);
	history_free(&history);
	return 0;
}

static unsigned key(uint32_t k)
{
	return prompt_event(&prompt, &EVENT_OF_KEY(k));
}

static void type(const char *text)
{
	struct str s = str_of(text);

	while (s.n > 0) {
		uint32_t cp;
		size_t n = utf8_decode(s, &cp);

		(void)key(cp);
		s = str_from(s.p + n, s.n - n);
	}
}

static void expect(const char *line, size_t cursor)
{
	assert_string_equal(prompt.line, line);
	assert_int_equal(prompt.cursor, cursor);
}

static void test_editing(void **state)
{
	(void)state;
	type("one two  three");
	expect("one two  three", 14);
	(void)key(K_CTRL | 'w');
	expect("one two  ", 9);
	(void)key(K_CTRL | 'w');
	expect("one ", 4);
	(void)key(K_CTRL | 'y');
	expect("one two  ", 9);
	(void)key(K_HOME);
	(void)key(K_DELETE);
	(void)key(K_CTRL | 'f');
	expect("ne two  ", 1);
	(void)key(K_ALT | 'f');
	expect("ne two  ", 2);
	(void)key(K_CTRL | 'k');
	expect("ne", 2);
	(void)key(K_CTRL | 'u');
	expect("", 0);
	(void)key(K_BACKSPACE);
	(void)key(K_LEFT);
	(void)key(K_CTRL | 'd');
	expect("", 0);
	assert_int_equal(key(K_ENTER), WIDGET_ACTIVATED);
	assert_int_equal(key(K_ESC), WIDGET_CANCELLED);
	assert_int_equal(key(K_F1), WIDGET_IGNORED);
}

/* The cursor moves over what the eye sees as one: a base with its marks, a wide character. */
static void test_graphemes(void **state)
{
	(void)state;
	type("e\314\201\346\227\245x");
	(void)key(K_LEFT);
	(void)key(K_LEFT);
	expect("e\314\201\346\227\245x", 3);
	(void)key(K_BACKSPACE);
	expect("\346\227\245x", 0);
}

/* Whatever is pasted, the line stays clean text. */
static void test_paste(void **state)
{
	struct event paste = { .kind = EVENT_PASTE,
			       .paste = STR("a\r\nb\033[2Jc\300\342\200\256d\te") };

	(void)state;
	assert_int_equal(prompt_event(&prompt, &paste), WIDGET_USED | WIDGET_CHANGED);
	assert_string_equal(prompt.line, "a  b[2Jcd e");
}

static void test_limit(void **state)
{
	(void)state;
	for (int i = 0; i < PROMPT_MAX + 100; i++)
		(void)key('x');
	assert_int_equal(prompt.n, PROMPT_MAX - 1);
	(void)key(0xe4); /* no half characters at the end either */
	assert_true(utf8_valid(prompt_text(&prompt)));
}

static void test_history(void **state)
{
	(void)state;
	type("first");
	(void)key(K_ENTER);
	prompt_set(&prompt, STR("second"));
	(void)key(K_ENTER);
	(void)key(K_ENTER); /* the same again counts once */
	prompt_set(&prompt, STR("half"));
	(void)key(K_UP);
	expect("second", 6);
	(void)key(K_UP);
	expect("first", 5);
	(void)key(K_UP);
	expect("first", 5);
	(void)key(K_DOWN);
	(void)key(K_DOWN);
	expect("half", 4); /* what was being typed comes back */
	assert_int_equal(history_count(history), 2);
	for (int i = 0; i < 2 * HISTORY_MAX; i++) {
		char line[16] = { (char)('a' + i % 26), (char)('a' + i / 26), '\0' };

		history_add(history, str_of(line));
	}
	assert_int_equal(history_count(history), HISTORY_MAX);
}

static void test_completion(void **state)
{
	(void)state;
	type("x do");
	(void)key(K_TAB);
	expect("x domain:", 9); /* what is common */
	(void)key(K_TAB);	/* then one after the other */
	(void)key(K_TAB);
	expect("x domain:example.net", 20);
	(void)key(K_TAB);
	expect("x domain:example.org", 20);
	(void)key(K_TAB | K_SHIFT);
	expect("x domain:example.net", 20);
	prompt_set(&prompt, STR("sta"));
	(void)key(K_LEFT);
	(void)key(K_RIGHT);
	(void)key(K_TAB);
	expect("state:held", 10); /* the only one */
	prompt_set(&prompt, STR("zzz"));
	(void)key(K_TAB);
	expect("zzz", 3);
}

static void test_secret(void **state)
{
	struct grid *g = grid_new(1, 30);
	struct canvas c = canvas_of(g, NULL, false);

	(void)state;
	prompt.secret = true;
	type("hunter2");
	prompt_draw(&prompt, &c);
	assert_true(screen_has(g, "filter *******"));
	(void)key(K_ENTER);
	assert_int_equal(history_count(history), 0);
	grid_free(&g);
}

static void test_looks(void **state)
{
	struct grid *g = grid_new(6, 50);
	struct canvas c = canvas_of(g, NULL, false);
	struct err err = ERR_INIT;

	(void)state;
	prompt.hint = "domain:gmail.com age>2h";
	prompt_draw(&prompt, &c);
	screen_golden(g, "prompt-empty");
	type("state:held colour:red");
	(void)err_set(&err, ERR_SYNTAX, "there is no field 'colour'");
	err.column = 12;
	prompt_error(&prompt, &err);
	assert_int_equal(prompt_height(&prompt, 50), 2);
	grid_clear(g);
	prompt_draw(&prompt, &c);
	screen_golden(g, "prompt-error");
	(void)key(K_CTRL | 'u');
	assert_int_equal(prompt_height(&prompt, 50), 1); /* the error goes with the next key */
	type("do");
	(void)key(K_TAB);
	(void)key(K_TAB);
	grid_clear(g);
	prompt_draw(&prompt, &c);
	screen_golden(g, "prompt-completion");
	grid_free(&g);
}

/* One that fits neither before nor behind its column has lines of its own. */
static void test_errors_are_not_cut(void **state)
{
	struct grid *g = grid_new(6, 78);
	struct canvas c = canvas_of(g, NULL, false);
	struct err err = ERR_INIT;

	(void)state;
	prompt.label = NULL;
	type("state:held domain:example.org age>12h foo:1");
	(void)err_set(&err, ERR_SYNTAX, "there is no field foo; did you mean from?");
	err.column = 37;
	prompt_error(&prompt, &err);
	assert_int_equal(prompt_height(&prompt, 78), 3);
	prompt_draw(&prompt, &c);
	assert_true(screen_has(g, "there is no field foo; did you mean from?"));
	assert_int_equal(prompt_height(&prompt, 80), 2);
	grid_free(&g);
}

static void test_long_line_scrolls(void **state)
{
	struct grid *g = grid_new(1, 20);
	struct canvas c = canvas_of(g, NULL, false);
	int row, col;

	(void)state;
	type("0123456789abcdefghijklmnop");
	prompt_draw(&prompt, &c);
	assert_true(screen_has(g, "mnop"));
	assert_true(grid_cursor(g, &row, &col));
	assert_int_equal(col, 19);
	(void)key(K_HOME);
	prompt_draw(&prompt, &c);
	assert_true(screen_has(g, "filter 0123"));
	grid_free(&g);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_editing, setup, teardown),
		cmocka_unit_test_setup_teardown(test_graphemes, setup, teardown),
		cmocka_unit_test_setup_teardown(test_paste, setup, teardown),
		cmocka_unit_test_setup_teardown(test_limit, setup, teardown),
		cmocka_unit_test_setup_teardown(test_history, setup, teardown),
		cmocka_unit_test_setup_teardown(test_completion, setup, teardown),
		cmocka_unit_test_setup_teardown(test_secret, setup, teardown),
		cmocka_unit_test_setup_teardown(test_looks, setup, teardown),
		cmocka_unit_test_setup_teardown(test_errors_are_not_cut, setup, teardown),
		cmocka_unit_test_setup_teardown(test_long_line_scrolls, setup, teardown),
	};

	screen_locale();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
