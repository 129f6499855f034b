#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "base/mem.h"
#include "cell/key.h"
#include "shell/action.h"

/* The promises of the design: every action explains itself, no key stands twice, capitals change,
 * small do not. */
static void test_the_table(void **state)
{
	struct keymap *m = keymap_new(); /* a key bound twice is a bug there */

	(void)state;
	for (int a = 0; a < A__COUNT; a++) {
		const struct action_def *d = &action_defs[a];
		uint32_t key = keymap_key(m, (enum action_id)a, 0);

		assert_non_null(d->name);
		assert_true(d->title[0] != '\0' && strlen(d->title) <= 16);
		assert_true(strlen(d->help) > 5 && d->help[strlen(d->help) - 1] == '.');
		assert_int_equal(action_find(str_of(d->name)), a);
		assert_int_not_equal(key, 0);
		assert_int_equal(d->danger != DANGER_NONE, d->group == GROUP_CHANGE);
		if (d->group == GROUP_CHANGE) {
			assert_true(key >= 'A' && key <= 'Z');
			assert_true(d->perm >= ACTION_OPERATE);
		} else if (key >= 'A' && key <= 'Z') {
			assert_true(a == A_LAST || a == A_SEARCH_PREV);
		}
		for (int b = 0; b < a; b++)
			assert_string_not_equal(d->name, action_defs[b].name);
	}
	keymap_free(&m);
}

/* The keys of DESIGN.md, but for T and K: there is no method that slows a target down or ends a
 * session. */
static void test_promised_keys(void **state)
{
	static const char promised[] = "jkgGq0123456789[]/nN!\\v*udwhxylro.pc|HLRBDMEASaz:@?";
	static const char *const named[] = { "Ctrl-D", "Ctrl-U", "Tab",	   "Enter", "Esc",
					     "Space",  "Ctrl-S", "Ctrl-R", "Up",    "Down" };
	struct keymap *m = keymap_new();

	(void)state;
	for (const char *p = promised; *p != '\0'; p++)
		assert_int_not_equal(keymap_find(m, (uint32_t)*p), A_NONE);
	for (size_t i = 0; i < ARRAY_LEN(named); i++)
		assert_int_not_equal(keymap_find(m, key_parse(str_of(named[i]))), A_NONE);
	keymap_free(&m);
}

static void test_keys_file(void **state)
{
	static const struct {
		const char *file;
		const char *error; /* NULL: taken */
	} cases[] = {
		{ "", NULL },
		{ "# nothing\n\nhold = X\n", NULL },
		{ "up = j\ndown = k\n", NULL }, /* exchanged */
		{ "hold =\n", NULL },
		{ "hold X\n", "keys:1: a line is" },
		{ "\n\nhodl = X\n", "keys:3: there is no action 'hodl'" },
		{ "hold = Strg-X\n", "keys:1: 'Strg-X' is no key" },
		{ "hold = L\n", "keys:1: L is bound to 'release' already" },
		{ "hold = X X\n", "keys:1: X is bound to 'hold' already" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct keymap *m = keymap_new();
		struct err err = ERR_INIT;
		int result = keymap_parse(m, "keys", str_of(cases[i].file), &err);

		if (cases[i].error == NULL) {
			assert_int_equal(result, 0);
		} else {
			assert_int_equal(result, -ERR_CONFIG);
			assert_non_null(strstr(err.msg, cases[i].error));
			assert_int_equal(keymap_find(m, 'H'), A_HOLD); /* unchanged */
		}
		keymap_free(&m);
	}
}

static void test_rebound(void **state)
{
	struct keymap *m = keymap_new();
	struct err err = ERR_INIT;
	char keys[KEYMAP_KEYS_LEN];

	(void)state;
	assert_int_equal(
		keymap_parse(m, "keys", STR("up = i Up\ndown = k Down\nhold = Alt-h\n"), &err), 0);
	assert_int_equal(keymap_find(m, 'k'), A_DOWN);
	assert_int_equal(keymap_find(m, 'j'), A_NONE);
	assert_int_equal(keymap_find(m, 'H'), A_NONE);
	keymap_keys(m, A_UP, keys);
	assert_string_equal(keys, "i Up");
	keymap_free(&m);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_the_table),
		cmocka_unit_test(test_promised_keys),
		cmocka_unit_test(test_keys_file),
		cmocka_unit_test(test_rebound),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
