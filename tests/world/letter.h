/*
 * letter - plausible mail for the source: receipts, password resets, newsletters, invoices.
 *
 * Model:   letter_write() composes one message with its envelope from random bits of the world:
 *          sizes from 1 to 60 KiB, subjects with encoded words, raw UTF-8 and now and then an
 *          escape sequence, one or several parts, recipients that exist and some that do not.
 */
#ifndef WORLD_LETTER_H
#define WORLD_LETTER_H

#include "base/buf.h"
#include "world/world.h"

#define LETTER_RCPTS_MAX 40
#define LETTER_MAX (96u * 1024)

struct letter {
	const char *from;
	size_t rcpts_n;
	char rcpts[LETTER_RCPTS_MAX][96];
	struct buf text; /* with CRLF, dot-stuffed, without the final dot */
};

void letter_init(struct letter *l);
void letter_done(struct letter *l);
/* To one recipient at `only`, or to whom it likes when that is NULL. */
void letter_write(struct letter *l, struct world *w, const struct domain *only);

#endif
