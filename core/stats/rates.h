/*
 * rates - how much happened lately: counts in steps of time, for rates and sparklines.
 *
 * Context: loop thread; pure. The clock is the caller's (wall clock milliseconds).
 */
#ifndef STATS_RATES_H
#define STATS_RATES_H

#include <stdint.h>

#define RATES_STEP_MS 2000
#define RATES_STEPS 60

enum rate { RATE_ACCEPTED, RATE_DELIVERED, RATE_DEFERRED, RATE_FAILED, RATE__COUNT };
const char *rate_name(enum rate r); /* "accepted", … */

struct rates {
	int64_t step; /* number of the current step */
	uint32_t counts[RATE__COUNT][RATES_STEPS];
	uint64_t totals[RATE__COUNT];
};
void rates_add(struct rates *r, enum rate what, uint32_t n, int64_t now_ms);
/* A second's mean over the last minute. */
double rates_per_s(struct rates *r, enum rate what, int64_t now_ms);
/* Oldest first. */
void rates_history(struct rates *r, enum rate what, int64_t now_ms,
		   uint32_t ret[static RATES_STEPS]);

#endif
