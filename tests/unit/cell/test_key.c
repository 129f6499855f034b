#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/mem.h"
#include "cell/key.h"

static void test_names(void **state)
{
	static const struct {
		const char *name;
		uint32_t key;
		const char *spelled; /* NULL: as given */
		const char *label;
	} cases[] = {
		{ "j", 'j', NULL, "j" },
		{ "H", 'H', NULL, "H" },
		{ "\\", '\\', NULL, "\\" },
		{ "Space", ' ', NULL, "Spc" },
		{ "Ctrl-D", K_CTRL | 'd', NULL, "^D" },
		{ "ctrl-d", K_CTRL | 'd', "Ctrl-D", "^D" },
		{ "Alt-x", K_ALT | 'x', NULL, "M-x" },
		{ "Ctrl-Alt-x", K_CTRL | K_ALT | 'x', "Ctrl-Alt-X", "^M-X" },
		{ "Shift-Tab", K_SHIFT | K_TAB, NULL, "S-Tab" },
		{ "pagedown", K_PAGE_DOWN, "PageDown", "PgDn" },
		{ "F1", K_F1, NULL, "F1" },
		{ "F12", K_F12, NULL, "F12" },
		{ "-", '-', NULL, "-" },
		{ "Ctrl--", K_CTRL | '-', NULL, "^-" },
		{ "\303\244", 0xe4, NULL, "\303\244" },
		{ "F13", 0, NULL, NULL },
		{ "F0", 0, NULL, NULL },
		{ "jj", 0, NULL, NULL },
		{ "", 0, NULL, NULL },
		{ "Ctrl-", 0, NULL, NULL },
		{ "Shift-j", 0, NULL, NULL }, /* that is J */
		{ "\033", 0, NULL, NULL },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		char text[KEY_NAME_LEN];

		assert_int_equal(key_parse(str_of(cases[i].name)), cases[i].key);
		if (cases[i].key == 0)
			continue;
		key_spell(cases[i].key, text);
		assert_string_equal(text,
				    cases[i].spelled != NULL ? cases[i].spelled : cases[i].name);
		key_label(cases[i].key, true, text);
		assert_string_equal(text, cases[i].label);
	}
}

static void test_text(void **state)
{
	(void)state;
	assert_int_equal(key_text('a'), 'a');
	assert_int_equal(key_text(0x65e5), 0x65e5);
	assert_int_equal(key_text(K_CTRL | 'a'), 0);
	assert_int_equal(key_text(K_UP), 0);
	assert_int_equal(key_text(K_ALT | 'a'), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_names),
		cmocka_unit_test(test_text),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
