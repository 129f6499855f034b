#include "cell/key.h"

#include <stdio.h>

#include "base/mem.h"
#include "base/utf8.h"

static const struct {
	uint32_t code;
	const char *name;
	const char *label; /* on the hint line */
	const char *ascii;
} named[] = {
	{ K_ENTER, "Enter", "⏎", "Ret" },
	{ K_ESC, "Esc", "Esc", "Esc" },
	{ K_TAB, "Tab", "Tab", "Tab" },
	{ K_BACKSPACE, "Backspace", "BS", "BS" },
	{ K_DELETE, "Delete", "Del", "Del" },
	{ K_INSERT, "Insert", "Ins", "Ins" },
	{ K_UP, "Up", "↑", "Up" },
	{ K_DOWN, "Down", "↓", "Dn" },
	{ K_LEFT, "Left", "←", "Left" },
	{ K_RIGHT, "Right", "→", "Right" },
	{ K_HOME, "Home", "Home", "Home" },
	{ K_END, "End", "End", "End" },
	{ K_PAGE_UP, "PageUp", "PgUp", "PgUp" },
	{ K_PAGE_DOWN, "PageDown", "PgDn", "PgDn" },
	{ ' ', "Space", "Spc", "Spc" },
};

static const struct {
	uint32_t bit;
	const char *prefix;
	const char *label;
} mods[] = {
	{ K_CTRL, "Ctrl-", "^" },
	{ K_ALT, "Alt-", "M-" },
	{ K_SHIFT, "Shift-", "S-" },
};

uint32_t key_text(uint32_t key)
{
	return key >= ' ' && key < K_BASE && key != 0x7f ? key : 0;
}

static uint32_t parse_code(struct str s)
{
	uint64_t f;
	uint32_t cp;

	for (size_t i = 0; i < ARRAY_LEN(named); i++)
		if (str_eq_nocase(s, str_of(named[i].name)))
			return named[i].code;
	if (s.n >= 2 && s.p[0] == 'F' && str_u64(str_from(s.p + 1, s.n - 1), 12, &f) && f > 0)
		return K_F1 + (uint32_t)f - 1;
	if (s.n == 0 || utf8_decode(s, &cp) != s.n || utf8_harmful(cp) || cp == UTF8_REPLACEMENT)
		return 0;
	return cp;
}

uint32_t key_parse(struct str name)
{
	uint32_t bits = 0;
	uint32_t code;

	for (size_t i = 0; i < ARRAY_LEN(mods); i++) {
		struct str prefix = str_of(mods[i].prefix);

		if (name.n > prefix.n && str_starts_nocase(name, prefix)) {
			bits |= mods[i].bit;
			name = str_from(name.p + prefix.n, name.n - prefix.n);
		}
	}
	code = parse_code(name);
	if (code == 0 || ((bits & K_SHIFT) && code < K_BASE))
		return 0;
	if ((bits & K_CTRL) && code >= 'A' && code <= 'Z')
		code += 'a' - 'A';
	return code | bits;
}

static const char *code_text(uint32_t code, bool label, bool ascii, char buf[static KEY_NAME_LEN])
{
	char utf8[4];

	for (size_t i = 0; i < ARRAY_LEN(named); i++) {
		if (named[i].code != code)
			continue;
		if (!label)
			return named[i].name;
		return ascii ? named[i].ascii : named[i].label;
	}
	if (code >= K_F1 && code <= K_F12)
		snprintf(buf, KEY_NAME_LEN, "F%u", (unsigned)(code - K_F1 + 1));
	else if (code >= K_BASE || code < ' ')
		snprintf(buf, KEY_NAME_LEN, "?");
	else
		snprintf(buf, KEY_NAME_LEN, "%.*s", (int)utf8_encode(code, utf8), utf8);
	return buf;
}

static void spell(uint32_t key, bool label, bool ascii, char ret[static KEY_NAME_LEN])
{
	char text[KEY_NAME_LEN];
	uint32_t code = key_code(key);
	size_t n = 0;

	if ((key & K_CTRL) && code >= 'a' && code <= 'z')
		code -= 'a' - 'A';
	ret[0] = '\0';
	for (size_t i = 0; i < ARRAY_LEN(mods); i++)
		if (key & mods[i].bit)
			n += (size_t)snprintf(ret + n, KEY_NAME_LEN - n, "%s",
					      label ? mods[i].label : mods[i].prefix);
	snprintf(ret + n, KEY_NAME_LEN - n, "%s", code_text(code, label, ascii, text));
}

void key_spell(uint32_t key, char ret[static KEY_NAME_LEN])
{
	spell(key, false, false, ret);
}

void key_label(uint32_t key, bool ascii, char ret[static KEY_NAME_LEN])
{
	spell(key, true, ascii, ret);
}
