/*
 * guard - who fails to authenticate: first slower, then blocked for a while.
 *
 * Model:   failures are counted for an address (of IPv6: its /64). Each answer to a failure waits
 *          longer than the one before; with failures_max the address is blocked, and for twice as
 *          long each time that it goes on afterwards. An address that is quiet for quiet_ms starts
 *          anew. A success changes nothing, or one good credential would pay for guessing others.
 * Owner:   the caller. Context: loop thread; pure. Times are wall clock milliseconds.
 * Limits:  GUARD_MAX addresses; beyond it the one whose last failure is the oldest is forgotten.
 */
#ifndef POLICY_GUARD_H
#define POLICY_GUARD_H

#include <stddef.h>
#include <stdint.h>

#include "base/ipnet.h"
#include "base/str.h"

#define GUARD_MAX 50000
#define GUARD_DELAY_MS 1000	 /* of the first failure; doubles */
#define GUARD_DELAY_MAX_MS 16000 /* a client would give up */
#define GUARD_BLOCK_TOP 5	 /* doublings of a block */

struct guard_config {
	unsigned failures_max; /* 0: 10 */
	int64_t block_ms;      /* 0: 15 min */
	int64_t quiet_ms;      /* 0: 30 min, counted from the end of a block */
};

struct guard_entry {
	struct ipnet net;
	unsigned failures; /* since it was quiet */
	unsigned blocks;
	int64_t first_ms;
	int64_t last_ms;
	int64_t until_ms; /* blocked until then; 0: it is not */
};

struct guard;
struct guard *guard_new(const struct guard_config *conf);
void guard_free(struct guard **gp);
/* Counts a failure; how long its answer has to wait. */
int64_t guard_failed(struct guard *g, const struct ipaddr *client, int64_t now_ms);
/* Until when it is blocked; 0: it is not. */
int64_t guard_blocked(struct guard *g, const struct ipaddr *client, int64_t now_ms);
/* Forgets all that is counted for addresses in this network: how many entries that were. */
size_t guard_forgive(struct guard *g, const struct ipnet *net);
/* The latest failure first; entries that are quiet are not shown. ret has room for n; how many. */
size_t guard_list(struct guard *g, int64_t now_ms, const struct guard_entry **ret, size_t n);
size_t guard_blocked_n(struct guard *g, int64_t now_ms);

#endif
