/*
 * The shell with a view of its own and a screen that is a grid: keys, overlays, history, refusals,
 * and how all that looks at 80x24.
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
#include "base/utf8.h"
#include "lib/screen.h"
#include "loop/loop.h"
#include "shell/shell.h"

#define WALL_MS INT64_C(1795489927000) /* 2026-11-24T04:32:07Z */

static struct loop *loop;
static struct shell *shell;
static int screen_rows = 24, screen_cols = 80;
static bool screen_ready = true;
static int presented;
static bool quit;
static int hurried;

/* --- a screen --- */

static void fake_size(void *screen, int *ret_rows, int *ret_cols)
{
	(void)screen;
	*ret_rows = screen_rows;
	*ret_cols = screen_cols;
}

static bool fake_ready(void *screen)
{
	(void)screen;
	return screen_ready;
}

static void fake_present(void *screen, const struct grid *g)
{
	(void)screen;
	(void)g;
	presented++;
}

static void fake_nothing(void *screen)
{
	(void)screen;
}

static const struct screen_ops screen_ops = { .size = fake_size,
					      .ready = fake_ready,
					      .present = fake_present,
					      .redraw = fake_nothing,
					      .suspend = fake_nothing };

/* --- a view --- */

static int opened, closed, ran_hold, changes;
static int64_t selection = 1;

struct fake {
	int moved;
	bool entered;
};

static int fake_open(struct view *v, const char *arg, struct err *err)
{
	(void)v;
	opened++;
	return strcmp(arg, "wrong") == 0 ? err_set(err, ERR_UNKNOWN, "no such thing") : 0;
}

static void fake_close(struct view *v)
{
	(void)v;
	closed++;
}

static void fake_draw(struct view *v, const struct canvas *c)
{
	struct fake *f = view_state(v);

	canvas_printf(c, 0, 2, ROLE_TEXT, "%s '%s' moved %d", view_def_of(v)->name, view_arg(v),
		      f->moved);
	canvas_hit(c, 5, 0, 1, 20, (struct hit){ HIT_ROW, f, 7 });
}

static unsigned fake_nav(struct view *v, enum nav nav)
{
	struct fake *f = view_state(v);

	if (nav == NAV_DOWN)
		f->moved++;
	if (nav == NAV_ENTER)
		(void)shell_open(view_shell(v), "detail", "7");
	return nav == NAV_BACK ? WIDGET_IGNORED : WIDGET_USED;
}

static bool committed;
static char reason_given[64];
static struct overlay_id plan_id;

static void on_plan(void *arg, struct overlay_id id, bool commit, struct str reason)
{
	(void)arg;
	(void)id;
	committed = commit;
	snprintf(reason_given, sizeof(reason_given), "%.*s", STR_ARG(reason));
}

static int on_filter(void *arg, struct str line, struct err *err)
{
	(void)arg;
	if (str_eq(line, STR("bad"))) {
		(void)err_set(err, ERR_SYNTAX, "there is no field 'bad'");
		err->column = 1;
		return -ERR_SYNTAX;
	}
	return str_eq(line, STR("wait")) ? SHELL_WAIT : 0;
}

static void fake_action(struct view *v, enum action_id a)
{
	struct shell *s = view_shell(v);

	if (a == A_HOLD) {
		ran_hold++;
		plan_id = shell_plan(s, &(struct shell_plan){ .owner = v,
							      .title = "Hold domain:gmail.example",
							      .verb = "Hold",
							      .reason_needed = true,
							      .done = on_plan });
	} else if (a == A_FILTER) {
		(void)shell_prompt(s, &(struct shell_prompt){ .owner = v,
							      .label = "filter",
							      .hint = "domain:gmail.com age>2h",
							      .enter = on_filter });
	} else if (a == A_REFRESH) {
		shell_back(s);
	}
}

static int64_t fake_selected(struct view *v)
{
	(void)v;
	return selection;
}

static void fake_changed(struct view *v)
{
	(void)v;
	changes++;
}

static void fake_subtitle(struct view *v, struct buf *out)
{
	(void)v;
	(void)buf_puts(out, "by domain, 3 of 1 204");
}

static const enum action_id list_actions[] = { A_HOLD,	 A_RELEASE, A_RETRY,   A_WHY,
					       A_FILTER, A_MARK,    A_REFRESH, A_NONE };

static const struct view_def view_list = {
	.name = "queues",
	.title = "Queues",
	.help = "Where mail waits.",
	.slot = 1,
	.size = sizeof(struct fake),
	.actions = list_actions,
	.open = fake_open,
	.close = fake_close,
	.draw = fake_draw,
	.nav = fake_nav,
	.action = fake_action,
	.selected = fake_selected,
	.changed = fake_changed,
	.subtitle = fake_subtitle,
};
static const struct view_def view_detail = {
	.name = "detail",
	.title = "Detail",
	.slot = -1,
	.size = sizeof(struct fake),
	.actions = list_actions,
	.open = fake_open,
	.close = fake_close,
	.draw = fake_draw,
	.nav = fake_nav,
	.action = fake_action,
	.selected = fake_selected,
};
static const struct view_def view_home = {
	.name = "home",
	.title = "Overview",
	.slot = 0,
	.size = sizeof(struct fake),
	.draw = fake_draw,
};

static void on_quit(void *app)
{
	(void)app;
	quit = true;
}

static void on_hurry(void *app)
{
	(void)app;
	hurried++;
}

static int setup(void **state)
{
	struct shell_status status = { .relay = "mx1.example.net",
				       .role = "operator",
				       .perm = ACTION_OPERATE,
				       .link = LINK_UP,
				       .summary = "12 400 queued, oldest 3h" };

	(void)state;
	screen_rows = 24;
	screen_cols = 80;
	screen_ready = true;
	quit = false;
	opened = closed = ran_hold = changes = 0;
	selection = 1;
	loop = loop_new();
	loop_fake_clock(loop, WALL_MS);
	shell = shell_new(&(struct shell_options){
		.loop = loop, .screen_ops = &screen_ops, .quit = on_quit, .hurry = on_hurry });
	shell_register(shell, &view_home);
	shell_register(shell, &view_list);
	shell_register(shell, &view_detail);
	shell_status_set(shell, &status);
	assert_true(shell_open(shell, "queues", ""));
	shell_frame(shell);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	shell_free(&shell);
	loop_free(&loop);
	return 0;
}

static void press(uint32_t k)
{
	shell_event(shell, &EVENT_OF_KEY(k));
}

/* A key, and time to see what it did. */
static void key(uint32_t k)
{
	press(k);
	shell_frame(shell);
}

static void type(const char *text)
{
	for (; *text != '\0'; text++)
		press((uint32_t)*text);
	shell_frame(shell);
}

static bool sees(const char *text)
{
	return screen_has(shell_grid(shell), text);
}

static void test_looks(void **state)
{
	(void)state;
	screen_golden(shell_grid(shell), "shell");
	key('?');
	screen_golden(shell_grid(shell), "shell-help");
	key(K_ESC);
	key('a');
	screen_golden(shell_grid(shell), "shell-menu");
	key(K_ESC);
	key(':');
	type("re");
	screen_golden(shell_grid(shell), "shell-palette");
}

static void test_actions_and_refusals(void **state)
{
	struct shell_status status;

	(void)state;
	key('j');
	assert_true(sees("moved 1"));
	selection = 0;
	key('H');
	assert_int_equal(ran_hold, 0);
	assert_true(sees("Hold: nothing is selected"));
	selection = 1;
	status = *shell_status(shell);
	status.perm = ACTION_VIEW;
	snprintf(status.role, sizeof(status.role), "viewer");
	shell_status_set(shell, &status);
	key('H');
	assert_int_equal(ran_hold, 0);
	assert_true(sees("needs the role operator, you are viewer"));
	status.perm = ACTION_ADMIN;
	status.link = LINK_LOST;
	shell_status_set(shell, &status);
	key('H');
	assert_int_equal(ran_hold, 0);
	assert_true(sees("the relay is not connected"));
	key('B');
	assert_true(sees("Bounce: not on this screen"));
	key(K_F1 + 7);
	assert_true(sees("F8 does nothing here"));
}

static void test_plan(void **state)
{
	(void)state;
	/* Keys typed before the question is on the screen do not answer it. */
	press('H');
	press(K_TAB);
	press('x');
	shell_frame(shell);
	assert_true(shell_overlay_open(shell, plan_id));
	screen_golden(shell_grid(shell), "shell-plan-busy");
	text_add(shell_plan_body(shell, plan_id), ROLE_TEXT,
		 STR("1 204 messages, 1 310 recipients"));
	shell_plan_ready(shell, plan_id, 1204);
	shell_frame(shell);
	key(K_TAB); /* Cancel has the focus first, then the reason */
	type("they ask us to");
	key(K_TAB);
	key(K_TAB);
	key(K_ENTER); /* Hold, but the count is missing */
	assert_true(shell_overlay_open(shell, plan_id));
	assert_false(committed);
	assert_true(sees("type the count, 1 204"));
	key(K_TAB | K_SHIFT);
	type("1 204");
	key(K_TAB);
	screen_golden(shell_grid(shell), "shell-plan-ready");
	key(K_ENTER);
	assert_true(committed);
	assert_string_equal(reason_given, "they ask us to");
	assert_true(shell_overlay_open(shell, plan_id)); /* waits for the relay */
	shell_overlay_done(shell, plan_id);
	assert_false(shell_overlay_open(shell, plan_id));
}

static void test_plan_enter_is_cancel(void **state)
{
	(void)state;
	committed = true;
	key('H');
	text_add(shell_plan_body(shell, plan_id), ROLE_TEXT, STR("all of it"));
	shell_plan_ready(shell, plan_id, 0);
	key(K_ENTER);
	assert_false(shell_overlay_open(shell, plan_id));
	assert_false(committed);
	assert_null(shell_plan_body(shell, plan_id)); /* a late answer finds nothing */
	shell_plan_ready(shell, plan_id, 3);
}

static void test_prompt(void **state)
{
	struct err err = ERR_INIT;

	(void)state;
	key('/');
	screen_golden(shell_grid(shell), "shell-prompt");
	type("bad");
	key(K_ENTER);
	assert_true(sees("^ there is no field 'bad'"));
	key(K_CTRL | 'u');
	assert_false(sees("no field"));
	type("wait");
	key(K_ENTER);
	assert_true(sees("filter wait"));
	(void)err_set(&err, ERR_LIMIT, "too many filters");
	/* The relay's late answer goes to the window that waits. */
	shell_overlay_error(shell, (struct overlay_id){ 0 }, &err);
	shell_frame(shell);
	key(K_ESC);
	assert_false(sees("filter wait"));
}

static uint64_t chosen;
static int entered;

static void on_chosen(void *arg, uint64_t id)
{
	(void)arg;
	chosen = id;
}

static int on_form(void *arg, const struct form *f, struct err *err)
{
	(void)arg;
	(void)err;
	entered++;
	assert_true(str_eq(form_value(f, "network"), STR("10.0.0.0/8")));
	return SHELL_WAIT;
}

/* The relay checks what was entered: the form waits, shows the complaint at its field, and goes
 * when told. */
static void test_form_waits(void **state)
{
	static const struct form_field fields[] = {
		{ .name = "network", .title = "Network", .required = true },
		{ .name = "note", .title = "Note" },
	};
	struct err err = ERR_INIT;
	struct overlay_id id;

	(void)state;
	id = shell_form(shell, &(struct shell_form){ .title = "Allow",
						     .fields = fields,
						     .n = ARRAY_LEN(fields),
						     .enter = on_form });
	shell_frame(shell);
	type("10.0.0.0/8");
	key(K_ENTER);
	entered = 0;
	key(K_ENTER);
	assert_int_equal(entered, 1);
	assert_true(shell_overlay_open(shell, id));
	(void)err_param(&err, ERR_EXISTS, "network", "it is there already");
	shell_overlay_error(shell, id, &err);
	shell_frame(shell);
	screen_golden(shell_grid(shell), "shell-form");
	shell_overlay_done(shell, id);
	assert_false(shell_overlay_open(shell, id));
	shell_overlay_error(shell, id, &err); /* too late: becomes a notice */
	shell_frame(shell);
	assert_true(sees("it is there already"));
}

static void test_menu(void **state)
{
	char title[] = "Hold";
	struct menu_item items[] = { { .id = 5, .key = 'H', .title = title },
				     { .id = 6, .title = "No" } };

	(void)state;
	(void)shell_menu(
		shell,
		&(struct shell_menu){
			.title = "Menu", .items = items, .n = 2, .current = 6, .done = on_chosen });
	memset(title, 'x', 4); /* items were copied */
	shell_frame(shell);
	assert_true(sees("Hold"));
	key(K_ENTER);
	assert_int_equal(chosen, 6);
	(void)shell_menu(
		shell,
		&(struct shell_menu){ .title = "Menu", .items = items, .n = 2, .done = on_chosen });
	key(K_CTRL | 'c');
	assert_int_equal(chosen, 0);
	assert_false(quit);
}

/* A view that is closed takes its windows with it, without a word to whoever asked. */
static void test_windows_of_a_closed_view(void **state)
{
	(void)state;
	key(K_ENTER);
	chosen = 99;
	(void)shell_menu(shell,
			 &(struct shell_menu){ .owner = shell_view(shell),
					       .title = "Menu",
					       .items = &(struct menu_item){ .title = "one" },
					       .n = 1,
					       .done = on_chosen });
	shell_run(shell, A_CLOSE);
	shell_frame(shell);
	assert_false(sees("Menu"));
	assert_int_equal(chosen, 99);
}

static void test_history(void **state)
{
	(void)state;
	key('j');
	key(K_ENTER);
	assert_true(sees("detail '7'"));
	key(K_ESC);
	assert_true(sees("queues '' moved 1")); /* as it was left */
	key(']');
	assert_true(sees("detail '7'"));
	key('0');
	assert_true(sees("home"));
	key('1');
	assert_true(sees("queues '' moved 1")); /* the same, not a second one */
	key('q');
	key('q');
	assert_true(sees("detail '7'"));
	key('q');
	assert_true(sees("Leave the console?"));
	key(K_ENTER);
	assert_false(quit); /* Enter alone is no */
	key('q');
	key(K_TAB);
	key(K_ENTER);
	assert_true(quit);
}

/* From a screen to the one right before it in the history, by its digit. */
static void test_digit_of_the_one_before(void **state)
{
	(void)state;
	key('0');
	assert_true(sees("home"));
	key('1');
	assert_true(sees("queues ''"));
	key('0');
	assert_true(sees("home"));
	key('1');
	assert_true(sees("queues ''"));
}

static void test_views_are_limited(void **state)
{
	char arg[16];

	(void)state;
	for (int i = 0; i < SHELL_HISTORY + 20; i++) {
		snprintf(arg, sizeof(arg), "%d", i);
		assert_true(shell_open(shell, "detail", arg));
		shell_frame(shell);
		assert_true(opened - closed <= SHELL_LIVE);
	}
	for (int i = 0; i < SHELL_HISTORY + 20; i++) {
		key('[');
		assert_true(opened - closed <= SHELL_LIVE);
	}
	assert_true(sees("detail '20'")); /* the oldest one still remembered, opened anew */
	assert_false(shell_open(shell, "detail", "wrong"));
	shell_frame(shell);
	assert_true(sees("Detail: no such thing"));
	assert_false(shell_open(shell, "nowhere", ""));
}

/* A view may close itself from inside its own callback. */
static void test_closes_itself(void **state)
{
	(void)state;
	key(K_ENTER);
	key('H');
	assert_true(shell_overlay_open(shell, plan_id));
	key(K_ESC);
	key('q');
	assert_int_equal(closed, 1);
	key(K_ENTER);
	key(K_CTRL | 'r'); /* goes back */
	assert_true(sees("queues"));
}

static void test_palette(void **state)
{
	(void)state;
	key(':');
	type("hold");
	key(K_ENTER);
	assert_int_equal(ran_hold, 1);
	key(K_ESC);
	key(':');
	type("home");
	key(K_ENTER);
	assert_true(sees("home ''"));
	key(':');
	type("frobnicate");
	key(K_ENTER);
	assert_true(sees("no action, screen or command has this name"));
	key(K_ESC);
	key(':');
	type("qu");
	key(K_TAB);
	assert_true(sees("que"));
}

static void test_mouse(void **state)
{
	struct event ev = {
		.kind = EVENT_MOUSE,
		.mouse = { .button = MOUSE_LEFT, .action = MOUSE_PRESS, .row = 23, .col = 2 }
	};

	(void)state;
	shell_event(shell, &ev); /* "H Hold" on the hint line */
	assert_int_equal(ran_hold, 1);
	shell_frame(shell);
	key(K_ESC);
	ev.mouse.row = screen_row_of(shell_grid(shell), "0 Overview");
	for (ev.mouse.col = 0; ev.mouse.col < 80 && !sees("home ''"); ev.mouse.col++) {
		shell_event(shell, &ev);
		shell_frame(shell);
	}
	assert_true(sees("home ''"));
}

static void test_freeze(void **state)
{
	(void)state;
	shell_dirty(shell, SHELL_RECALC);
	shell_frame(shell);
	assert_int_equal(changes, 1);
	key('p');
	assert_true(sees("FROZEN"));
	shell_dirty(shell, SHELL_RECALC);
	shell_frame(shell);
	assert_int_equal(changes, 1);
	key('p');
	shell_frame(shell);
	assert_int_equal(changes, 2);
}

static void test_frames(void **state)
{
	(void)state;
	presented = 0;
	for (int i = 0; i < 50; i++)
		press('j');
	loop_advance(loop, SHELL_FRAME_MS);
	assert_in_range(presented, 1, 2); /* fifty keys, one frame */
	screen_ready = false;
	presented = 0;
	press('j');
	loop_advance(loop, 500);
	assert_int_equal(presented, 0);
	screen_ready = true;
	loop_advance(loop, 100);
	assert_in_range(presented, 1, 2);
}

static void test_lost_link(void **state)
{
	struct shell_status status = *shell_status(shell);

	(void)state;
	status.link = LINK_LOST;
	snprintf(status.trouble, sizeof(status.trouble), "closed");
	status.data_wall_ms = WALL_MS - 130000;
	status.retry_wall_ms = WALL_MS + 4000;
	shell_status_set(shell, &status);
	shell_frame(shell);
	screen_golden(shell_grid(shell), "shell-lost");
	status.production = true;
	status.link = LINK_UP;
	shell_status_set(shell, &status);
	shell_notice(shell, NOTICE_BAD, "hold refused: %s", "somebody else is faster");
	shell_frame(shell);
	screen_golden(shell_grid(shell), "shell-production");
}

/* What waits for a decision has a line of its own, above notices, at the cost of the view. */
static void test_banner(void **state)
{
	struct shell_status status = *shell_status(shell);

	(void)state;
	snprintf(status.banner, sizeof(status.banner),
		 "version 12 goes back in 7m12s: route.add discard by olga, and much more than "
		 "there "
		 "is room for");
	snprintf(status.banner_keys, sizeof(status.banner_keys), ":config confirm");
	shell_status_set(shell, &status);
	shell_frame(shell);
	screen_golden(shell_grid(shell), "shell-banner");
	shell_notice(shell, NOTICE_BAD, "refused");
	shell_frame(shell);
	assert_true(sees(":config confirm") && sees("refused"));
	status.banner[0] = '\0';
	shell_status_set(shell, &status);
	shell_frame(shell);
	assert_false(sees(":config confirm"));
}

/* Each state of the link in words, and Ctrl-R, which connects where there is no link. */
static void test_link_states(void **state)
{
	static const struct {
		enum shell_link link;
		const char *trouble, *says;
	} cases[] = {
		{ LINK_CONNECTING, "logging in as ops", "CONNECTING: logging in as ops" },
		{ LINK_ASKING, "", "WAITING FOR YOU" },
		{ LINK_REFUSED, "no role", "REFUSED, Ctrl-R tries again: no role" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct shell_status status = *shell_status(shell);

		status.link = cases[i].link;
		snprintf(status.trouble, sizeof(status.trouble), "%s", cases[i].trouble);
		shell_status_set(shell, &status);
		shell_frame(shell);
		assert_true(sees(cases[i].says));
		hurried = 0;
		key('r' | K_CTRL);
		assert_int_equal(hurried, 1);
	}
	assert_true(sees("Queues")); /* what the view does on Ctrl-R was not done */
}

static void resize(int rows, int cols)
{
	struct event ev = { .kind = EVENT_RESIZE, .rows = rows, .cols = cols };

	screen_rows = rows;
	screen_cols = cols;
	shell_event(shell, &ev);
	shell_frame(shell);
}

static void test_sizes(void **state)
{
	(void)state;
	key('H');
	for (int rows = 1; rows < 60; rows += 3) {
		for (int cols = 1; cols < 220; cols += 7) {
			resize(rows, cols);
			assert_int_equal(grid_rows(shell_grid(shell)), rows);
		}
	}
	resize(8, 30);
	assert_true(sees("too small"));
	resize(24, 80);
	assert_true(sees("Hold domain:gmail.example"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_looks, setup, teardown),
		cmocka_unit_test_setup_teardown(test_actions_and_refusals, setup, teardown),
		cmocka_unit_test_setup_teardown(test_plan, setup, teardown),
		cmocka_unit_test_setup_teardown(test_plan_enter_is_cancel, setup, teardown),
		cmocka_unit_test_setup_teardown(test_prompt, setup, teardown),
		cmocka_unit_test_setup_teardown(test_form_waits, setup, teardown),
		cmocka_unit_test_setup_teardown(test_menu, setup, teardown),
		cmocka_unit_test_setup_teardown(test_windows_of_a_closed_view, setup, teardown),
		cmocka_unit_test_setup_teardown(test_history, setup, teardown),
		cmocka_unit_test_setup_teardown(test_digit_of_the_one_before, setup, teardown),
		cmocka_unit_test_setup_teardown(test_views_are_limited, setup, teardown),
		cmocka_unit_test_setup_teardown(test_closes_itself, setup, teardown),
		cmocka_unit_test_setup_teardown(test_palette, setup, teardown),
		cmocka_unit_test_setup_teardown(test_mouse, setup, teardown),
		cmocka_unit_test_setup_teardown(test_freeze, setup, teardown),
		cmocka_unit_test_setup_teardown(test_frames, setup, teardown),
		cmocka_unit_test_setup_teardown(test_lost_link, setup, teardown),
		cmocka_unit_test_setup_teardown(test_banner, setup, teardown),
		cmocka_unit_test_setup_teardown(test_link_states, setup, teardown),
		cmocka_unit_test_setup_teardown(test_sizes, setup, teardown),
	};

	screen_locale();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
