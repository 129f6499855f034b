#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <dirent.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "base/mem.h"
#include "theme/theme.h"

static bool same_style(struct style a, struct style b)
{
	return a.fg == b.fg && a.bg == b.bg && a.attrs == b.attrs;
}

static void check_depth(const struct theme *t, enum depth d)
{
	static const int limit[DEPTH__COUNT] = { 0, 8, 16, 256, 2 * COLOUR_RGB };

	for (int r = 0; r < ROLE__COUNT; r++) {
		struct style s = theme_style(t, d, (enum role)r, ROLE_TEXT);
		struct style on = theme_style(t, d, (enum role)r, ROLE_CURSOR);

		assert_true(s.fg < limit[d] && s.bg < limit[d]);
		assert_true(s.fg == COLOUR_DEFAULT || s.fg != s.bg);
		if (on.fg != COLOUR_DEFAULT && on.fg == on.bg)
			fail_msg("%s: %s cannot be read on the cursor at depth %d", theme_name(t),
				 theme_role_name((enum role)r), d);
	}
}

/* What every theme owes its reader at every depth: what must stand out does. */
static void check_theme(const struct theme *t)
{
	static const enum role distinct[] = { ROLE_CURSOR, ROLE_BUTTON_ON, ROLE_TAB_ON,
					      ROLE_TOPBAR, ROLE_BAD,	   ROLE_STRONG };

	for (int d = 0; d < DEPTH__COUNT; d++) {
		struct style text = theme_style(t, (enum depth)d, ROLE_TEXT, ROLE_TEXT);

		for (size_t i = 0; i < ARRAY_LEN(distinct); i++)
			if (same_style(text, theme_style(t, (enum depth)d, distinct[i], ROLE_TEXT)))
				fail_msg("%s: %s looks like text at depth %d", theme_name(t),
					 theme_role_name(distinct[i]), d);
		check_depth(t, (enum depth)d);
	}
}

static void test_all_files(void **state)
{
	DIR *dir = opendir("themes");
	int n = 0;

	(void)state;
	assert_non_null(dir);
	for (struct dirent *e = readdir(dir); e != NULL; e = readdir(dir)) {
		AUTO(theme) struct theme *t = NULL;
		struct err err = ERR_INIT;
		char path[300];

		if (e->d_name[0] == '.')
			continue;
		snprintf(path, sizeof(path), "themes/%s", e->d_name);
		if (theme_find(path, &t, &err) < 0)
			fail_msg("%s", err.msg);
		for (int r = 0; r < ROLE__COUNT; r++)
			if (!theme_covers(t, (enum role)r))
				fail_msg("%s says nothing about %s", path,
					 theme_role_name((enum role)r));
		check_theme(t);
		n++;
	}
	closedir(dir);
	assert_true(n >= 2);
}

static void test_builtin(void **state)
{
	AUTO(theme) struct theme *t = theme_builtin();

	(void)state;
	check_theme(t);
}

static void test_wrong_files(void **state)
{
	static const struct {
		const char *text;
		const char *error;
	} cases[] = {
		{ "text = red", NULL },
		{ "# c\n\ntext = #aabbcc - bold # why\n", NULL },
		{ "text = red blue bold | red | reverse", NULL },
		{ "text", "x.theme:1: a line is" },
		{ "text =", "x.theme:1: a line is" },
		{ "\ntxet = red", "x.theme:2: there is no role 'txet'" },
		{ "text = reddish", "x.theme:1: 'reddish' is no colour" },
		{ "text = #12345g", "x.theme:1: '#12345g' is no colour" },
		{ "text = 256", "'256' is no colour" },
		{ "text = red blue loud", "'loud' is no attribute" },
		{ "text = red | mauve", "'mauve' is no colour" },
		{ "text = red\ntext = blue", "x.theme:2: 'text' is set twice" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		AUTO(theme) struct theme *t = NULL;
		struct err err = ERR_INIT;
		int result = theme_parse("x.theme", str_of(cases[i].text), &t, &err);

		if (cases[i].error == NULL) {
			assert_int_equal(result, 0);
			continue;
		}
		assert_int_equal(result, -ERR_CONFIG);
		if (strstr(err.msg, cases[i].error) == NULL)
			fail_msg("'%s' is not in '%s'", cases[i].error, err.msg);
	}
}

static void test_fallbacks_and_depths(void **state)
{
	AUTO(theme) struct theme *t = NULL;
	struct err err = ERR_INIT;
	struct style s;

	(void)state;
	assert_int_equal(theme_parse("x",
				     STR("text = #ffffff #000000\nwarn = #ff0000 - bold\n"
					 "cursor = - #000080 | yellow blue | underline\n"
					 "bad = #200000\n"),
				     &t, &err),
			 0);
	s = theme_style(t, DEPTH_TRUE, ROLE_NOTICE_WARN, ROLE_TEXT); /* falls back to warn */
	assert_int_equal(s.fg, COLOUR_RGB | 0xff0000);
	assert_int_equal(s.bg, COLOUR_RGB | 0x000000); /* strong, text */
	assert_int_equal(s.attrs, STYLE_BOLD);
	s = theme_style(t, DEPTH_256, ROLE_WARN, ROLE_TEXT);
	assert_int_equal(s.fg, 196);
	s = theme_style(t, DEPTH_8, ROLE_WARN, ROLE_TEXT);
	assert_int_equal(s.fg, 1);
	s = theme_style(t, DEPTH_256, ROLE_WARN, ROLE_CURSOR); /* keeps its colour on the cursor */
	assert_int_equal(s.fg, 196);
	assert_int_equal(s.bg, 18);
	s = theme_style(t, DEPTH_256, ROLE_BAD, ROLE_CURSOR); /* could not be read there */
	assert_int_equal(s.fg, 231);
	s = theme_style(t, DEPTH_16, ROLE_WARN,
			ROLE_CURSOR); /* with few colours the cursor's wins */
	assert_int_equal(s.fg, 3);
	assert_int_equal(s.bg, 4);
	s = theme_style(t, DEPTH_MONO, ROLE_TEXT, ROLE_CURSOR);
	assert_int_equal(s.attrs, STYLE_UNDERLINE);
}

static void test_not_found(void **state)
{
	AUTO(theme) struct theme *t = NULL;
	struct err err = ERR_INIT;

	(void)state;
	assert_int_equal(theme_find("no-such-theme", &t, &err), -ERR_UNKNOWN);
	assert_non_null(strstr(err.msg, "there is no theme 'no-such-theme'; there are:"));
	assert_true(theme_find("./no/such.theme", &t, &err) < 0);
	assert_null(t);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_all_files),   cmocka_unit_test(test_builtin),
		cmocka_unit_test(test_wrong_files), cmocka_unit_test(test_fallbacks_and_depths),
		cmocka_unit_test(test_not_found),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
