/*
 * crash - the terminal is given back even when the process dies of a bug.
 *
 * Model: crash_arm() remembers the terminal's modes, hooks into BUG() and into the signals a broken
 * program gets; crash_disarm() when the terminal was given back in order. Restoring uses write(2)
 * and tcsetattr(3) alone, so it may run in a signal handler. That is also why its state is global;
 * there is one terminal in a process.
 */
#ifndef TERM_CRASH_H
#define TERM_CRASH_H

#include <stddef.h>

/* What terminfo does not know: bracketed paste, focus, SGR mouse, synchronised output. */
#define MODES_ON "\033[?2004h\033[?1004h"
#define MOUSE_ON "\033[?1000h\033[?1002h\033[?1006h"
#define MOUSE_OFF "\033[?1006l\033[?1002l\033[?1000l"
#define MODES_OFF MOUSE_OFF "\033[?1004l\033[?2004l"
#define SYNC_BEGIN "\033[?2026h"
#define SYNC_END "\033[?2026l"

/* Before the terminal's modes are changed. */
void crash_arm(int fd);
void crash_disarm(void);
/* Writes all of it, whatever interrupts; gives up silently when the terminal is gone. */
void term_put_bytes(int fd, const char *s, size_t n);

#endif
