/*
 * allow_notices - what is worth knowing about an entry of the allowlist beside the others: that it
 * is very wide, that another one has all of it, that it takes something out of another one.
 *
 * Context: loop thread; pure.
 */
#ifndef CTL_ALLOW_NOTICES_H
#define CTL_ALLOW_NOTICES_H

#include <jansson.h>
#include <stdint.h>

#include "policy/allow.h"

/* Of an entry that is on the list, or could be; an array of texts, owned. */
json_t *allow_notices(const struct allow *a, const struct allow_entry *e, int64_t now_ms);

#endif
