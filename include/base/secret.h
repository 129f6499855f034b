/*
 * secret - bytes that nobody may see: passwords on their way to being checked.
 *
 * Model:   a copy of its own, wiped when it goes. No formatter and no log field takes the type.
 * Owner:   whoever declared it; secret_done(), or AUTO(secret).
 */
#ifndef BASE_SECRET_H
#define BASE_SECRET_H

#include <stddef.h>

#include "base/str.h"

struct secret {
	char *p; /* terminated; NULL when there is none */
	size_t n;
};

/* Takes a copy in the place of what was there. */
void secret_set(struct secret *s, struct str bytes);
void secret_done(struct secret *s);
/* Wipes memory in a way that compilers leave alone. */
void secret_wipe(void *p, size_t n);

#endif
