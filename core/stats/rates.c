#include "stats/rates.h"

#include <string.h>

#include "base/obj.h"

#define MINUTE_STEPS (60000 / RATES_STEP_MS)

_Static_assert(MINUTE_STEPS <= RATES_STEPS, "a minute is remembered");

static const char *const names[RATE__COUNT] = {
	[RATE_ACCEPTED] = "accepted",
	[RATE_DELIVERED] = "delivered",
	[RATE_DEFERRED] = "deferred",
	[RATE_FAILED] = "failed",
};

const char *rate_name(enum rate r)
{
	ASSERT(r < RATE__COUNT);
	return names[r];
}

/* Makes the step of now_ms the current one; the steps in between had nothing. A clock that was set
 * back goes on counting into the step that it had reached. */
static void advance(struct rates *r, int64_t now_ms)
{
	int64_t step = now_ms / RATES_STEP_MS;

	if (step - r->step >= RATES_STEPS || r->step - step >= RATES_STEPS) {
		memset(r->counts, 0, sizeof(r->counts));
		r->step = step;
	}
	while (r->step < step) {
		r->step++;
		for (int i = 0; i < RATE__COUNT; i++)
			r->counts[i][r->step % RATES_STEPS] = 0;
	}
}

void rates_add(struct rates *r, enum rate what, uint32_t n, int64_t now_ms)
{
	ASSERT(what < RATE__COUNT);
	advance(r, now_ms);
	r->counts[what][r->step % RATES_STEPS] += n;
	r->totals[what] += n;
}

double rates_per_s(struct rates *r, enum rate what, int64_t now_ms)
{
	int64_t span_ms;
	uint64_t sum = 0;

	ASSERT(what < RATE__COUNT);
	advance(r, now_ms);
	for (int64_t i = 0; i < MINUTE_STEPS && i <= r->step; i++)
		sum += r->counts[what][(r->step - i) % RATES_STEPS];
	/* the current step has only begun */
	span_ms = (MINUTE_STEPS - 1) * RATES_STEP_MS + 1 + now_ms % RATES_STEP_MS;
	return (double)sum * 1000 / (double)span_ms;
}

void rates_history(struct rates *r, enum rate what, int64_t now_ms,
		   uint32_t ret[static RATES_STEPS])
{
	ASSERT(what < RATE__COUNT);
	advance(r, now_ms);
	for (int64_t i = 0; i < RATES_STEPS; i++) {
		int64_t step = r->step - (RATES_STEPS - 1) + i;
		ret[i] = step < 0 ? 0 : r->counts[what][step % RATES_STEPS];
	}
}
