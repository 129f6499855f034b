#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "base/buf.h"
#include "base/mem.h"
#include "cell/key.h"
#include "term/input.h"
#include "term/term.h"

/* Events as words, one after the other. */
static struct buf seen;
static struct input *in;

static void on_event(const struct event *ev, void *arg)
{
	static const char *const buttons[] = { "none",	"left",	    "middle",
					       "right", "wheel-up", "wheel-down" };
	static const char *const actions[] = { "press", "release", "drag" };
	char name[KEY_NAME_LEN];

	(void)arg;
	(void)buf_puts(&seen, seen.n > 0 ? " " : "");
	switch (ev->kind) {
	case EVENT_KEY:
		key_spell(ev->key, name);
		(void)buf_puts(&seen, name);
		break;
	case EVENT_MOUSE:
		(void)buf_printf(&seen, "%s%s-%s@%d,%d", ev->mouse.mods & K_CTRL ? "Ctrl-" : "",
				 buttons[ev->mouse.button], actions[ev->mouse.action],
				 ev->mouse.row, ev->mouse.col);
		break;
	case EVENT_PASTE:
		(void)buf_printf(&seen, "paste:%.*s", STR_ARG(ev->paste));
		break;
	case EVENT_FOCUS:
		(void)buf_puts(&seen, ev->focused ? "focus" : "blur");
		break;
	case EVENT_RESIZE:
	case EVENT__COUNT:
		fail_msg("the decoder made an event of kind %d", ev->kind);
	}
}

static int setup(void **state)
{
	(void)state;
	seen = BUF_INIT(1u << 20);
	in = input_new(on_event, NULL);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	input_free(&in);
	buf_done(&seen);
	return 0;
}

static const struct {
	const char *bytes;
	const char *events;
} cases[] = {
	{ "jG 1", "j G Space 1" },
	{ "\r\t\177\010", "Enter Tab Backspace Backspace" },
	{ "\004\025\032", "Ctrl-D Ctrl-U Ctrl-Z" },
	{ "\034\035", "Ctrl-\\ Ctrl-]" },
	{ "\303\244\346\227\245", "\303\244 \346\227\245" },
	{ "\377a\302\233b\200", "a b" }, /* no text: nothing */
	{ "\033[A\033OB\033[C\033OD", "Up Down Right Left" },
	{ "\033[1;5C\033[1;2A\033[1;3B", "Ctrl-Right Shift-Up Alt-Down" },
	{ "\033[H\033[F\033OH\033[1~\033[4~\033[7~\033[8~", "Home End Home Home End Home End" },
	{ "\033[5~\033[6~\033[3~\033[2~\033[3;5~", "PageUp PageDown Delete Insert Ctrl-Delete" },
	{ "\033OP\033[11~\033[15~\033[24~\033[[A\033[[E", "F1 F1 F5 F12 F1 F5" },
	{ "\033[Z\033[9;2u", "Shift-Tab Shift-Tab" },
	{ "\033x\033X\033\r\033\303\244", "Alt-x Alt-X Alt-Enter Alt-\303\244" },
	{ "\033\033[A", "Esc Up" },
	{ "\033[104;5u\033[27;5;104~\033[13;5u", "Ctrl-H Ctrl-H Ctrl-Enter" },
	{ "\033[<0;1;1M\033[<0;1;1m", "left-press@0,0 left-release@0,0" },
	{ "\033[<0;300;120M", "left-press@119,299" }, /* beyond what X10 mouse can say */
	{ "\033[<64;5;6M\033[<65;5;6M\033[<66;5;6M", "wheel-up-press@5,4 wheel-down-press@5,4" },
	{ "\033[<34;3;4M\033[<16;3;4M", "right-drag@3,2 Ctrl-left-press@3,2" },
	{ "\033[M !!\033[M#!!", "left-press@0,0 none-release@0,0" },
	{ "\033[I\033[O", "focus blur" },
	{ "\033[200~a\033[Ab\r\nc\033[201~d", "paste:a\033[Ab\r\nc d" },
	{ "\033[200~\033[201\033[201~x", "paste:\033[201 x" },
	{ "\033]0;title\ax", "x" },
	{ "\033]52;c;abc\033\\x", "x" },
	{ "\033P1$r0m\033\\x", "x" },
	{ "\033[?1;2cx\033[?2026;2$yx\033[>0;276;0cx", "x x x" }, /* answers of the terminal */
	{ "\033[1;2;3;4;5;6;7;8qx", "x" },
	{ "\033[99999999999999999999~x", "x" },
};

static void test_table(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		buf_reset(&seen);
		input_feed(in, (const uint8_t *)cases[i].bytes, strlen(cases[i].bytes));
		assert_string_equal(buf_cstr(&seen), cases[i].events);
		assert_false(input_pending(in));
	}
}

/* The same with every byte arriving alone: slow links cut anywhere. */
static void test_byte_by_byte(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		buf_reset(&seen);
		for (const char *p = cases[i].bytes; *p != '\0'; p++)
			input_feed(in, (const uint8_t *)p, 1);
		assert_string_equal(buf_cstr(&seen), cases[i].events);
	}
}

static void test_escape_alone(void **state)
{
	(void)state;
	input_feed(in, (const uint8_t *)"\033", 1);
	assert_true(input_pending(in));
	assert_int_equal(seen.n, 0);
	input_timeout(in);
	assert_string_equal(buf_cstr(&seen), "Esc");
	input_feed(in, (const uint8_t *)"\033[", 2);
	input_timeout(in);
	assert_string_equal(buf_cstr(&seen), "Esc Alt-[");
	input_feed(in, (const uint8_t *)"\033[1;", 4);
	input_timeout(in); /* broken off: nothing, and what follows counts */
	input_feed(in, (const uint8_t *)"A", 1);
	assert_string_equal(buf_cstr(&seen), "Esc Alt-[ A");
}

static void test_defined(void **state)
{
	(void)state;
	input_define(in, "\033[25~", K_HOME);
	input_define(in, "\033Oz", K_END);
	input_define(in, "x", K_END); /* not a sequence */
	input_feed(in, (const uint8_t *)"\033[25~\033Ozx", 9);
	assert_string_equal(buf_cstr(&seen), "Home End x");
}

static void test_limits(void **state)
{
	char *big = xmalloc(2 * TERM_PASTE_MAX);

	(void)state;
	memset(big, 'p', 2 * TERM_PASTE_MAX);
	input_feed(in, (const uint8_t *)"\033[200~", 6);
	input_feed(in, (const uint8_t *)big, 2 * TERM_PASTE_MAX);
	assert_int_equal(seen.n, 0);
	input_timeout(in); /* the end mark got lost */
	assert_true(seen.n > TERM_PASTE_MAX - 16 && seen.n <= TERM_PASTE_MAX + 8);
	buf_reset(&seen);
	memset(big, ';', 1000);
	big[0] = '\033';
	big[1] = '[';
	input_feed(in, (const uint8_t *)big, 1000);
	input_feed(in, (const uint8_t *)"\rj", 2);
	assert_non_null(strstr(buf_cstr(&seen), "j")); /* it recovers */
	free(big);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_table, setup, teardown),
		cmocka_unit_test_setup_teardown(test_byte_by_byte, setup, teardown),
		cmocka_unit_test_setup_teardown(test_escape_alone, setup, teardown),
		cmocka_unit_test_setup_teardown(test_defined, setup, teardown),
		cmocka_unit_test_setup_teardown(test_limits, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
