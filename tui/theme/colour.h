/*
 * colour - colours, and what becomes of them on terminals that have fewer.
 *
 * A colour is COLOUR_DEFAULT (the terminal's own), an index into the palette of 8, 16 or 256, or
 * COLOUR_RGB | rrggbb.
 */
#ifndef THEME_COLOUR_H
#define THEME_COLOUR_H

#include <stdbool.h>

#define COLOUR_DEFAULT (-1)
#define COLOUR_RGB 0x1000000

/* What the terminal can show. */
enum depth { DEPTH_MONO, DEPTH_8, DEPTH_16, DEPTH_256, DEPTH_TRUE, DEPTH__COUNT };

/* The nearest colour that a terminal of this depth has. */
int colour_down(int colour, enum depth depth);
/* Whether text in one can be read on the other; the terminal's own colours are taken to. */
bool colour_readable(int fg, int bg);

#endif
