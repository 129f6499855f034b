/*
 * key - one keystroke as a number.
 *
 * Model: a Unicode code point, or one of the K_ codes above the Unicode range, or'ed with K_CTRL,
 * K_ALT and (named keys only) K_SHIFT. Ctrl with a letter is K_CTRL | 'd', always lower case; Tab,
 * Enter, Esc and Backspace are named keys, never control characters. 0 is no key.
 *
 * Names, as in the keys file and in help: "j", "H", "Ctrl-D", "Alt-x", "Shift-Tab", "PageDown",
 * "F5", "Space".
 */
#ifndef CELL_KEY_H
#define CELL_KEY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/str.h"

#define K_BASE 0x110000u
#define K_CODE_MASK 0x1fffffu
#define K_CTRL (1u << 24)
#define K_ALT (1u << 25)
#define K_SHIFT (1u << 26)

enum key_code {
	K_ENTER = K_BASE,
	K_ESC,
	K_TAB,
	K_BACKSPACE,
	K_DELETE,
	K_INSERT,
	K_UP,
	K_DOWN,
	K_LEFT,
	K_RIGHT,
	K_HOME,
	K_END,
	K_PAGE_UP,
	K_PAGE_DOWN,
	K_F1, /* K_F1 + 11 is F12 */
	K_F12 = K_F1 + 11,
	K__END
};

#define KEY_NAME_LEN 32

static inline uint32_t key_code(uint32_t key)
{
	return key & K_CODE_MASK;
}

/* The text a key types: a code point from space on without Ctrl or Alt, else 0. */
uint32_t key_text(uint32_t key);
/* "Ctrl-D" to a key; 0 when it is not one. */
uint32_t key_parse(struct str name);
void key_spell(uint32_t key, char ret[static KEY_NAME_LEN]);
/* The same, short enough for the hint line: "^D", "PgDn", arrows as arrows unless ascii. */
void key_label(uint32_t key, bool ascii, char ret[static KEY_NAME_LEN]);

#endif
