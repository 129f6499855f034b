/*
 * answer - from the bytes of a DNS query to the bytes of the answer.
 */
#ifndef WORLD_ANSWER_H
#define WORLD_ANSWER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "world/world.h"

/*
 * Appends the answer to `out`. `udp` answers are cut to what the query allows, with the TC bit set.
 * False when there is to be none: the query is no query, or the domain's form is a timeout.
 */
bool answer_query(struct world *w, const uint8_t *query, size_t n, bool udp, struct buf *out);

#endif
