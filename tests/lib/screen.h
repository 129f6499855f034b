/*
 * screen - what view tests need: a grid as text, and comparison with golden files.
 *
 * Model: a dump has the text of each row, then a map with one letter for each cell's role, its
 * legend, and which stretches lie on something (cursor row, dialog). screen_golden() compares a
 * dump with tests/view/golden/NAME.txt; run with GOLDEN=1 in the environment it writes the file
 * instead: look at what changed before it is committed. Tests run in the root of the tree.
 */
#ifndef LIB_SCREEN_H
#define LIB_SCREEN_H

#include <stdbool.h>

#include "cell/grid.h"

/* A UTF-8 locale, which widths need; call it first in main(). */
void screen_locale(void);
char *screen_text(const struct grid *g); /* rows without trailing blanks; returns owned */
bool screen_has(const struct grid *g, const char *text);
/* The row in which text stands, -1 when it is nowhere. */
int screen_row_of(const struct grid *g, const char *text);
/* Fails the test with both dumps when they differ. */
void screen_golden(const struct grid *g, const char *name);

#endif
