/*
 * console - the interactive console: connection, terminal, screens, until the user leaves.
 *
 * Owner:   options are borrowed until console_run() returns.
 * Errors:  what keeps it from starting (no terminal, unknown theme, bad relay name) is returned; a
 *          relay that is not reached is shown inside, and tried again.
 */
#ifndef APP_CONSOLE_H
#define APP_CONSOLE_H

#include <stdbool.h>

#include "base/err.h"

struct console_options {
	const char *relay; /* a name, unix:PATH or ssh://…; NULL: the local default */
	const char *theme; /* NULL: "dark" */
	bool readonly;
	bool ascii;
	bool no_mouse;
};

int console_run(const struct console_options *o, struct err *err) MUST_CHECK;

#endif
