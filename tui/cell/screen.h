/*
 * screen - where frames go: the terminal in the console, a grid in tests.
 *
 * Model: whoever draws frames (the shell) knows a screen only by these functions. theme and
 * clipboard may be NULL. Context: loop thread.
 */
#ifndef CELL_SCREEN_H
#define CELL_SCREEN_H

#include <stdbool.h>

#include "base/err.h"
#include "base/str.h"

struct grid;

struct screen_ops {
	void (*size)(void *screen, int *ret_rows, int *ret_cols);
	bool (*ready)(void *screen); /* can take a frame without blocking */
	void (*present)(void *screen, const struct grid *g);
	void (*redraw)(void *screen);  /* forget what is on the terminal */
	void (*suspend)(void *screen); /* back to the user's shell until it is continued */
	int (*theme)(void *screen, const char *name, struct err *err);
	void (*clipboard)(void *screen, struct str text);
};

#endif
