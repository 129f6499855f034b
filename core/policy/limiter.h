/*
 * limiter - so many a minute of one key: connections of an address, messages of a credential.
 *
 * Model:   a key may take a minute's worth at once; what it took comes back evenly. Keys are
 *          remembered by a hash in a table of fixed size: no memory grows with their number. A key
 *          that is pushed out by newer ones starts with a full allowance.
 * Owner:   the caller. Context: loop thread; pure. Times are monotonic milliseconds.
 * Limits:  LIMITER_KEYS keys that are in use at a time.
 */
#ifndef POLICY_LIMITER_H
#define POLICY_LIMITER_H

#include <stdbool.h>
#include <stdint.h>

#include "base/str.h"

#define LIMITER_KEYS 65536

struct limiter;
struct limiter *limiter_new(void);
void limiter_free(struct limiter **lp);
/* Takes n; false when they are not there, and then nothing is taken. per_minute 0: no limit. `what`
 * tells apart what is counted of the same key. */
bool limiter_take(struct limiter *l, char what, struct str key, unsigned n, unsigned per_minute,
		  int64_t now_ms);
/* Whether they would be there; takes nothing. */
bool limiter_has(struct limiter *l, char what, struct str key, unsigned n, unsigned per_minute,
		 int64_t now_ms);

#endif
