/*
 * nav - movement, as widgets understand it.
 *
 * Model: the shell turns keys into actions and actions into these (shell/actions.def), so that
 * moving is rebound in one place; line editors, menus and forms, where letters are text, take
 * nav_of_key().
 */
#ifndef WIDGET_NAV_H
#define WIDGET_NAV_H

#include <stdint.h>

enum nav {
	NAV_NONE,
	NAV_UP,
	NAV_DOWN,
	NAV_LEFT,
	NAV_RIGHT,
	NAV_PAGE_UP,
	NAV_PAGE_DOWN,
	NAV_HALF_UP,
	NAV_HALF_DOWN,
	NAV_FIRST,
	NAV_LAST,
	NAV_NEXT, /* pane, field or button */
	NAV_PREV,
	NAV_ENTER,
	NAV_BACK,
	NAV__COUNT
};

/* Arrows, paging keys, Home, End, Tab, Enter, Esc, Ctrl-C (as Esc); NAV_NONE for all others. */
enum nav nav_of_key(uint32_t key);

/* What a widget did with an event. */
enum widget_result {
	WIDGET_IGNORED = 0,
	WIDGET_USED = 1u << 0,	    /* taken; the screen changed */
	WIDGET_MOVED = 1u << 1,	    /* another row, item or field has the cursor */
	WIDGET_CHANGED = 1u << 2,   /* a value or the marks changed */
	WIDGET_ACTIVATED = 1u << 3, /* Enter, double click or button: do it */
	WIDGET_CANCELLED = 1u << 4, /* Esc: leave without doing it */
	WIDGET_SORT = 1u << 5,	    /* a column head was clicked */
};

#endif
