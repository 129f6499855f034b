/*
 * menu - a short list to choose from, narrowed by typing.
 *
 * Model: items are shown in their order, those that cannot be chosen too, with the reason. A key of
 * an item's own chooses it at once. With `filter` set letters narrow the list instead.
 *
 * Owner: the caller embeds struct menu; items are borrowed.
 */
#ifndef WIDGET_MENU_H
#define WIDGET_MENU_H

#include <stdbool.h>
#include <stdint.h>

#include "cell/canvas.h"
#include "cell/event.h"
#include "widget/nav.h"

#define MENU_MAX_ITEMS 256
#define MENU_FILTER_MAX 64

struct menu_item {
	uint64_t id;
	uint32_t key; /* 0: none */
	const char *title;
	const char *help;    /* right of the title */
	const char *why_not; /* not NULL: cannot be chosen, for this reason */
	bool danger;
	bool heading; /* only a line between groups */
};

struct menu {
	const struct menu_item *items;
	int n;
	bool filter; /* typing narrows; item keys do not work */
	int cursor;  /* index into items */
	int top;
	int page;
	char typed[MENU_FILTER_MAX];
};

void menu_init(struct menu *m, const struct menu_item *items, int n);
unsigned menu_event(struct menu *m, const struct event *ev);
void menu_draw(struct menu *m, const struct canvas *c);
/* The chosen item; NULL when the list is empty. Borrows. */
const struct menu_item *menu_chosen(const struct menu *m);
/* Columns and rows it would like to have. */
void menu_size(const struct menu *m, int *ret_rows, int *ret_cols);

#endif
