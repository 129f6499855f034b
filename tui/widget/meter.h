/*
 * meter - small things: tabs, labelled values with a sparkline, scroll bars.
 */
#ifndef WIDGET_METER_H
#define WIDGET_METER_H

#include <stdint.h>

#include "cell/canvas.h"
#include "theme/theme.h"

/* Names in a row, the shown one in ROLE_TAB_ON; a click on one hits HIT_ITEM with its index.
 * Returns the columns used. */
int tabs_draw(const struct canvas *c, int row, int col, const char *const *names, int n, int on,
	      const void *owner);

struct meter {
	const char *label;
	const char *value; /* right of the label */
	enum role role;	   /* of the value */
	const double *history;
	int n_history;
	enum role chart_role;
};
/* "label  value  sparkline" on one line; label_width columns for the label, value_width for the
 * value. */
void meter_draw(const struct canvas *c, int row, const struct meter *m, int label_width,
		int value_width);

/* In the last column, `rows` high from `row` on: lines top to top + rows of total are shown. */
void scroll_bar_draw(const struct canvas *c, int row, int rows, int64_t top, int64_t total);

#endif
