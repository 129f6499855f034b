/*
 * The terminal layer against libvterm: what a user's terminal would show, cell by cell.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>
#include <cmocka.h>

#include "base/mem.h"
#include "base/obj.h"
#include "cell/canvas.h"
#include "lib/screen.h"
#include "lib/vt.h"
#include "loop/loop.h"
#include "term/term.h"

#define ROWS 24
#define COLS 80

/* newterm() of ncurses 6.4 loses a little when it refuses a terminal. */
const char *__lsan_default_suppressions(void);
const char *__lsan_default_suppressions(void)
{
	return "leak:new_prescr";
}

static struct vt *vt;
static struct loop *loop;
static struct term *term;
static struct grid *grid;
static struct event last;
static int events;
static int awaited;

static void on_event(const struct event *ev, void *arg)
{
	(void)arg;
	last = *ev;
	events++;
	if (events == awaited)
		loop_stop(loop);
}

static void start(const char *type, bool no_colour, const char *theme_text)
{
	struct theme *theme = NULL;
	struct err err = ERR_INIT;

	if (theme_text != NULL)
		assert_int_equal(theme_parse("test", str_of(theme_text), &theme, &err), 0);
	vt = vt_new(ROWS, COLS);
	loop = loop_new();
	events = 0;
	term = term_new(&(struct term_options){ .loop = loop,
						.fd = vt_slave(vt),
						.type = type,
						.theme = theme,
						.no_colour = no_colour,
						.event = on_event });
	if (term_start(term, &err) < 0)
		fail_msg("%s", err.msg);
	grid = grid_new(ROWS, COLS);
}

static int teardown(void **state)
{
	(void)state;
	grid_free(&grid);
	term_free(&term);
	loop_free(&loop);
	vt_free(&vt);
	return 0;
}

static void present(void)
{
	term_present(term, grid);
	vt_sync(vt);
}

static void wait_events(int n)
{
	events = 0;
	awaited = n;
	loop_run(loop);
}

static void expect_row(int row, const char *text)
{
	char *now = vt_row(vt, row);

	assert_string_equal(now, text);
	free(now);
}

static const char test_theme[] = "text = default default\n"
				 "warn = #ffaf00 - bold | yellow - bold\n"
				 "cursor = white 24\n";

static void test_text_and_colours(void **state)
{
	struct canvas c;
	struct vt_cell cell;

	(void)state;
	start("xterm-256color", false, test_theme);
	assert_int_equal(term_depth(term), DEPTH_256);
	c = canvas_of(grid, NULL, false);
	canvas_puts(&c, 0, 0, ROLE_TEXT, STR("plain"));
	canvas_puts(&c, 1, 2, ROLE_WARN, STR("warn e\314\201 \346\227\245\346\234\254"));
	c.under = ROLE_CURSOR;
	canvas_field(&c, 2, 0, COLS, ALIGN_LEFT, ROLE_WARN, STR("on the cursor"));
	canvas_puts(&c, ROWS - 1, COLS - 3, ROLE_TEXT, STR("end"));
	present();
	expect_row(0, "plain");
	expect_row(1, "  warn e\314\201 \346\227\245\346\234\254");
	cell = vt_cell(vt, ROWS - 1, COLS - 1);
	assert_int_equal(cell.cp[0], 'd');
	cell = vt_cell(vt, 1, 2);
	assert_true(cell.bold && cell.fg_indexed && cell.fg == 214 && cell.bg_default);
	cell = vt_cell(vt, 2, COLS - 1);
	assert_true(cell.bg_indexed && cell.bg == 24);
	cell = vt_cell(vt, 0, 0);
	assert_true(cell.fg_default && cell.bg_default && !cell.bold);
}

static void test_direct_colour(void **state)
{
	struct canvas c;
	struct vt_cell cell;

	(void)state;
	start("xterm-direct2", false, test_theme);
	assert_int_equal(term_depth(term), DEPTH_TRUE);
	c = canvas_of(grid, NULL, false);
	canvas_puts(&c, 0, 0, ROLE_WARN, STR("x"));
	present();
	cell = vt_cell(vt, 0, 0);
	assert_true(!cell.fg_indexed && cell.fg == 0xffaf00);
}

static void test_few_colours(void **state)
{
	struct canvas c;
	struct vt_cell cell;

	(void)state;
	start("linux", false, test_theme);
	assert_int_equal(term_depth(term), DEPTH_8);
	c = canvas_of(grid, NULL, false);
	canvas_puts(&c, 0, 0, ROLE_WARN, STR("x"));
	present();
	cell = vt_cell(vt, 0, 0);
	assert_true(cell.fg_indexed && (cell.fg & 7) == 3 && cell.bold);
	assert_false(vt_wrote(vt, "\033[?2004h")); /* it would not understand */
}

static void test_no_colour(void **state)
{
	struct canvas c;
	struct vt_cell cell;

	(void)state;
	start("xterm-256color", true, NULL);
	assert_int_equal(term_depth(term), DEPTH_MONO);
	c = canvas_of(grid, NULL, false);
	c.under = ROLE_CURSOR;
	canvas_puts(&c, 0, 0, ROLE_BAD, STR("x"));
	present();
	cell = vt_cell(vt, 0, 0);
	assert_true(cell.fg_default && cell.bg_default && cell.reverse && cell.bold);
}

/* Random frames, each on top of the one before: what curses sends leaves exactly what was drawn. */
static void random_frames(unsigned seed)
{
	struct canvas c = canvas_of(grid, NULL, false);

	for (int frame = 0; frame < 20; frame++) {
		for (int i = 0; i < 60; i++) {
			int row = rand_r(&seed) % ROWS;
			int col = rand_r(&seed) % COLS;

			c.under = rand_r(&seed) % 4 == 0 ? ROLE_CURSOR : ROLE_TEXT;
			canvas_puts(&c, row, col, (unsigned)rand_r(&seed) % ROLE__COUNT,
				    STR("some text \303\274ber alles, und \302\265 more"));
		}
		present();
		for (int row = 0; row < ROWS; row++)
			for (int col = 0; col < COLS; col++)
				assert_int_equal(vt_cell(vt, row, col).cp[0] == 0
							 ? ' '
							 : vt_cell(vt, row, col).cp[0],
						 grid_at(grid, row, col)->cp[0]);
	}
}

static void test_many_terminals(void **state)
{
	static const char *const types[] = { "xterm-256color", "tmux-256color", "screen",
					     "linux",	       "vt100",		"konsole-direct" };

	for (size_t i = 0; i < ARRAY_LEN(types); i++) {
		start(types[i], false, NULL);
		random_frames((unsigned)i + 1);
		(void)teardown(state);
	}
}

static void test_frames_are_small(void **state)
{
	struct canvas c;

	(void)state;
	start("xterm-256color", false, NULL);
	c = canvas_of(grid, NULL, false);
	for (int row = 0; row < ROWS; row++)
		canvas_printf(&c, row, 0, ROLE_TEXT, "row %d of some text that is long enough",
			      row);
	present();
	vt_mark(vt);
	present();
	present();
	vt_sync(vt);
	assert_true(vt_written(vt) < 60); /* nothing but our own sync marks */
	vt_mark(vt);
	canvas_printf(&c, 5, 4, ROLE_TEXT, "X");
	present();
	assert_true(vt_written(vt) < 90);
	expect_row(5, "row X of some text that is long enough");
	vt_mark(vt);
	term_redraw(term);
	present();
	assert_true(vt_written(vt) > 500);
	assert_true(vt_wrote(vt, "\033[?2026h"));
}

static void test_input(void **state)
{
	(void)state;
	start("xterm-256color", false, NULL);
	present();
	vt_type(vt, "j\033[<0;300;5M\033[<0;300;5m\033[<0;300;5M");
	wait_events(4);
	assert_int_equal(last.kind, EVENT_MOUSE);
	assert_int_equal(last.mouse.col, 299);
	assert_true(last.mouse.twice);
	vt_type(vt, "\033"); /* alone: sure only after a while */
	wait_events(1);
	assert_int_equal(last.key, K_ESC);
	vt_type(vt, "\032\003"); /* raw: the terminal driver makes no signals of them */
	wait_events(2);
	assert_int_equal(last.key, K_CTRL | 'c');
}

static void test_resize(void **state)
{
	struct canvas c;

	(void)state;
	start("xterm-256color", false, NULL);
	present();
	vt_resize(vt, 40, 100);
	(void)raise(SIGWINCH);
	wait_events(1);
	assert_int_equal(last.kind, EVENT_RESIZE);
	assert_int_equal(last.rows, 40);
	assert_int_equal(last.cols, 100);
	grid_resize(grid, 40, 100);
	c = canvas_of(grid, NULL, false);
	canvas_puts(&c, 39, 96, ROLE_TEXT, STR("here"));
	present();
	assert_int_equal(vt_cell(vt, 39, 99).cp[0], 'e');
	vt_resize(vt, 10, 40);
	(void)raise(SIGWINCH);
	wait_events(1);
	grid_resize(grid, 10, 40);
	c = canvas_of(grid, NULL, false);
	canvas_puts(&c, 9, 36, ROLE_TEXT, STR("here"));
	present();
	assert_int_equal(vt_cell(vt, 9, 39).cp[0], 'e');
}

static void test_gives_back(void **state)
{
	struct termios before, during, after;
	struct vt *other;

	(void)state;
	other = vt_new(ROWS, COLS);
	assert_int_equal(tcgetattr(vt_slave(other), &before), 0);
	vt_free(&other);
	start("xterm-256color", false, NULL);
	present();
	assert_int_equal(tcgetattr(vt_slave(vt), &during), 0);
	assert_true(!(during.c_lflag & (ICANON | ECHO | ISIG)));
	vt_mark(vt);
	term_stop(term);
	assert_true(vt_wrote(vt, "\033[?1006l"));
	assert_true(vt_wrote(vt, "\033[?2004l"));
	assert_true(vt_wrote(vt, "\033[?1049l"));
	assert_int_equal(tcgetattr(vt_slave(vt), &after), 0);
	assert_int_equal(after.c_lflag, before.c_lflag);
	assert_int_equal(after.c_iflag, before.c_iflag);
	assert_int_equal(after.c_oflag, before.c_oflag);
}

/* A bug while the console runs must not leave the user with a terminal that does not echo. */
static void test_gives_back_after_a_bug(void **state)
{
	struct termios before, after;
	pid_t child;
	int status;

	(void)state;
	vt = vt_new(ROWS, COLS);
	assert_int_equal(tcgetattr(vt_slave(vt), &before), 0);
	vt_mark(vt);
	child = fork();
	if (child == 0) {
		struct err err = ERR_INIT;

		(void)close(STDERR_FILENO);
		(void)signal(SIGABRT, SIG_DFL);
		loop = loop_new();
		term = term_new(&(struct term_options){
			.loop = loop, .fd = vt_slave(vt), .type = "xterm", .event = on_event });
		if (term_start(term, &err) < 0)
			_exit(1);
		BUG("on purpose");
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT);
	assert_true(vt_wrote(vt, "\033[?1006l"));
	assert_true(vt_wrote(vt, "\033[?1049l"));
	assert_int_equal(tcgetattr(vt_slave(vt), &after), 0);
	assert_int_equal(after.c_lflag, before.c_lflag);
}

static void on_hangup(void *arg)
{
	(void)arg;
	loop_stop(loop);
}

/* The window is closed: the console hears of it, and neither spins nor hangs. */
static void test_hangup(void **state)
{
	struct err err = ERR_INIT;

	(void)state;
	(void)signal(SIGHUP, SIG_IGN);
	vt = vt_new(ROWS, COLS);
	loop = loop_new();
	grid = grid_new(ROWS, COLS);
	term = term_new(&(struct term_options){ .loop = loop,
						.fd = vt_slave(vt),
						.type = "xterm",
						.event = on_event,
						.hangup = on_hangup });
	assert_int_equal(term_start(term, &err), 0);
	vt_hangup(vt);
	loop_run(loop);
	term_present(term, grid);
}

static void test_clipboard(void **state)
{
	(void)state;
	start("xterm-256color", false, NULL);
	vt_mark(vt);
	term_clipboard(term, STR("a\033b"));
	assert_true(vt_wrote(vt, "\033]52;c;YWI=\a")); /* without the Esc */
}

static void test_refusals(void **state)
{
	struct err err = ERR_INIT;

	(void)state;
	vt = vt_new(ROWS, COLS);
	loop = loop_new();
	term = term_new(&(struct term_options){
		.loop = loop, .fd = vt_slave(vt), .type = "no-such-terminal", .event = on_event });
	assert_int_equal(term_start(term, &err), -ERR_CONFIG);
	assert_non_null(strstr(err.msg, "no-such-terminal"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_teardown(test_text_and_colours, teardown),
		cmocka_unit_test_teardown(test_direct_colour, teardown),
		cmocka_unit_test_teardown(test_few_colours, teardown),
		cmocka_unit_test_teardown(test_no_colour, teardown),
		cmocka_unit_test_teardown(test_many_terminals, teardown),
		cmocka_unit_test_teardown(test_frames_are_small, teardown),
		cmocka_unit_test_teardown(test_input, teardown),
		cmocka_unit_test_teardown(test_resize, teardown),
		cmocka_unit_test_teardown(test_gives_back, teardown),
		cmocka_unit_test_teardown(test_gives_back_after_a_bug, teardown),
		cmocka_unit_test_teardown(test_hangup, teardown),
		cmocka_unit_test_teardown(test_clipboard, teardown),
		cmocka_unit_test_teardown(test_refusals, teardown),
	};

	screen_locale();
	(void)unsetenv("NO_COLOR");
	return cmocka_run_group_tests(tests, NULL, NULL);
}
