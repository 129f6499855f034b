/*
 * The client's questions as windows: how they look, that a secret is not on the screen, what is
 * answered by which key, and that a question that is over takes no answer.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "app/ask.h"
#include "lib/screen.h"
#include "loop/loop.h"
#include "shell/shell.h"

#define WALL_MS INT64_C(1795489927000) /* 2026-11-24T04:32:07Z */

static struct loop *loop;
static struct shell *shell;
static struct ask *ask;
static int answers;
static uint64_t answered;
static bool refused;
static char text[128];

static void fake_size(void *screen, int *ret_rows, int *ret_cols)
{
	(void)screen;
	*ret_rows = 24;
	*ret_cols = 80;
}

static bool fake_ready(void *screen)
{
	(void)screen;
	return true;
}

static void fake_present(void *screen, const struct grid *g)
{
	(void)screen;
	(void)g;
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

static void on_answer(void *arg, uint64_t question, const char *given)
{
	(void)arg;
	answers++;
	answered = question;
	refused = given == NULL;
	(void)snprintf(text, sizeof(text), "%s", given != NULL ? given : "");
}

static int setup(void **state)
{
	(void)state;
	answers = 0;
	loop = loop_new();
	loop_fake_clock(loop, WALL_MS);
	shell = shell_new(&(struct shell_options){ .loop = loop, .screen_ops = &screen_ops });
	ask = ask_new(shell, on_answer, NULL);
	shell_frame(shell);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	ask_free(&ask);
	shell_free(&shell);
	loop_free(&loop);
	return 0;
}

static void key(uint32_t k)
{
	shell_event(shell, &EVENT_OF_KEY(k));
	shell_frame(shell);
}

static void type(const char *s)
{
	for (; *s != '\0'; s++)
		key((uint32_t)*s);
}

static bool sees(const char *s)
{
	return screen_has(shell_grid(shell), s);
}

static void show(uint64_t id, enum client_question_kind kind, const char *title, const char *body)
{
	ask_show(ask, &(struct client_question){ id, kind, title, body });
	shell_frame(shell);
}

static void test_host_key(void **state)
{
	static const char body[] = "mx1 port 22 was never seen from here. Its key is\n\n"
				   "  SHA256:hGSUTg3lfF/X/SWN16iDgPkXJq1WNOo+zHQpSgireuw\n"
				   "  (ssh-ed25519)\n\nIf it is right, accept it.";

	(void)state;
	show(7, CLIENT_ASK_HOST_KEY, "mx1: unknown host key", body);
	screen_golden(shell_grid(shell), "ask-host-key");
	key(K_ENTER); /* the focus is on no */
	assert_int_equal(answers, 1);
	assert_int_equal(answered, 7);
	assert_true(refused);
	show(8, CLIENT_ASK_HOST_KEY, "mx1: unknown host key", body);
	key(K_TAB);
	key(K_ENTER);
	assert_int_equal(answered, 8);
	assert_string_equal(text, "yes");
}

static void test_secret(void **state)
{
	(void)state;
	show(1, CLIENT_ASK_SECRET, "ops@mx1: passphrase of ~/.ssh/id_ed25519",
	     "That was not the passphrase of this key.");
	type("s3cret");
	screen_golden(shell_grid(shell), "ask-secret");
	assert_false(sees("s3cret"));
	assert_int_equal(answers, 0);
	key(K_ENTER);
	assert_int_equal(answers, 1);
	assert_string_equal(text, "s3cret");
	assert_false(sees("passphrase"));
	show(2, CLIENT_ASK_SECRET, "ops@mx1: password", "");
	key(K_ESC);
	assert_int_equal(answered, 2);
	assert_true(refused);
}

static void test_text(void **state)
{
	(void)state;
	show(1, CLIENT_ASK_TEXT, "ops@mx1: Token", "Look at your device.");
	type("123456");
	assert_true(sees("123456"));
	key(K_ENTER);
	assert_string_equal(text, "123456");
}

/* Keys that were meant for a list are no part of a password. */
static void test_type_ahead(void **state)
{
	(void)state;
	ask_show(ask, &(struct client_question){ 1, CLIENT_ASK_SECRET, "password", "" });
	shell_event(shell, &EVENT_OF_KEY('j'));
	shell_event(shell, &EVENT_OF_KEY(K_ENTER));
	assert_int_equal(answers, 0);
	shell_frame(shell);
	type("x");
	key(K_ENTER);
	assert_int_equal(answers, 1);
	assert_string_equal(text, "x");
}

static void test_withdrawn(void **state)
{
	(void)state;
	show(1, CLIENT_ASK_SECRET, "ops@mx1: password", "");
	ask_withdraw(ask, 9);
	shell_frame(shell);
	assert_true(sees("ops@mx1: password"));
	ask_withdraw(ask, 1);
	shell_frame(shell);
	assert_false(sees("ops@mx1: password"));
	key(K_ENTER);
	assert_int_equal(answers, 0);
	show(2, CLIENT_ASK_SECRET, "first", "");
	show(3, CLIENT_ASK_SECRET, "second", "");
	assert_false(sees("first"));
	key(K_ENTER);
	assert_int_equal(answers, 1);
	assert_int_equal(answered, 3);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_host_key, setup, teardown),
		cmocka_unit_test_setup_teardown(test_secret, setup, teardown),
		cmocka_unit_test_setup_teardown(test_text, setup, teardown),
		cmocka_unit_test_setup_teardown(test_type_ahead, setup, teardown),
		cmocka_unit_test_setup_teardown(test_withdrawn, setup, teardown),
	};

	screen_locale();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
