/*
 * event - what reaches the console from the terminal, already decoded.
 *
 * Owner: the text of a paste is borrowed, valid only during the call that delivers the event.
 */
#ifndef CELL_EVENT_H
#define CELL_EVENT_H

#include <stdbool.h>
#include <stdint.h>

#include "base/str.h"
#include "cell/hit.h"
#include "cell/key.h"

enum event_kind { EVENT_KEY, EVENT_MOUSE, EVENT_PASTE, EVENT_RESIZE, EVENT_FOCUS, EVENT__COUNT };

enum mouse_button {
	MOUSE_NONE,
	MOUSE_LEFT,
	MOUSE_MIDDLE,
	MOUSE_RIGHT,
	MOUSE_WHEEL_UP,
	MOUSE_WHEEL_DOWN,
	MOUSE__COUNT
};
enum mouse_action { MOUSE_PRESS, MOUSE_RELEASE, MOUSE_DRAG, MOUSE_ACTION__COUNT };

struct event_mouse {
	enum mouse_button button;
	enum mouse_action action;
	unsigned mods;	/* K_CTRL, K_ALT, K_SHIFT */
	int row, col;	/* on the screen, from 0 */
	bool twice;	/* the second press of a double click */
	struct hit hit; /* what was drawn there; filled in by the shell */
};

struct event {
	enum event_kind kind;
	uint32_t key;		  /* EVENT_KEY */
	struct event_mouse mouse; /* EVENT_MOUSE */
	struct str paste;	  /* EVENT_PASTE: raw bytes, may hold anything */
	int rows, cols;		  /* EVENT_RESIZE */
	bool focused;		  /* EVENT_FOCUS */
};

#define EVENT_OF_KEY(k) ((struct event){ .kind = EVENT_KEY, .key = (k) })

#endif
