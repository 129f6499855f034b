/*
 * Theme files and keys files: people write them by hand and copy them from anywhere.
 */
#include <stdint.h>

#include "base/obj.h"
#include "shell/action.h"
#include "theme/theme.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void try_theme(struct str text)
{
	struct theme *t = NULL;
	struct err err = ERR_INIT;

	if (theme_parse("fuzz", text, &t, &err) < 0) {
		ASSERT(t == NULL && err.code == ERR_CONFIG && err.msg[0] != '\0');
		return;
	}
	for (int depth = 0; depth < DEPTH__COUNT; depth++)
		for (int r = 0; r < ROLE__COUNT; r++)
			(void)theme_style(t, (enum depth)depth, (enum role)r, ROLE_CURSOR);
	theme_free(&t);
}

static void try_keys(struct str text)
{
	struct keymap *m = keymap_new();
	struct err err = ERR_INIT;

	if (keymap_parse(m, "fuzz", text, &err) < 0)
		ASSERT(err.code == ERR_CONFIG && keymap_find(m, 'H') == A_HOLD);
	keymap_free(&m);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct str text = str_from((const char *)data, size);

	try_theme(text);
	try_keys(text);
	return 0;
}
