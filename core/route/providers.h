/*
 * providers - who takes the mail of a domain, as far as it is known.
 *
 * Model:   a map from domain to provider that keeps what DNS no longer needs to: holds and filters
 *          name providers of domains that nobody has written to for a while.
 * Context: loop thread.
 * Limits:  RESOLVE_PROVIDERS_MAX; the domain that was put longest ago makes room.
 */
#ifndef ROUTE_PROVIDERS_H
#define ROUTE_PROVIDERS_H

#include <stdbool.h>

#include "base/str.h"

struct providers;
struct providers *providers_new(void);
void providers_free(struct providers **pp);
/* True when it was not known, or another one. */
bool providers_put(struct providers *p, struct str domain, const char *provider);
/* Borrows until the next providers_put(); NULL when it is not known. */
const char *providers_find(const struct providers *p, struct str domain);

#endif
