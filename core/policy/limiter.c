/*
 * Each key has the time at which all that it took will have come back: at most a minute ahead.
 * A key's place is one of WAYS in the row that its hash names; the one that comes back first gives
 * way.
 */
#include "policy/limiter.h"

#include <stdlib.h>

#include "base/mem.h"

#define WAYS 8
#define ROWS (LIMITER_KEYS / WAYS)
#define MINUTE_US INT64_C(60000000)

struct slot {
	uint64_t key;
	int64_t back_us;
};
struct limiter {
	struct slot rows[ROWS][WAYS];
};

struct limiter *limiter_new(void)
{
	return xcalloc(1, sizeof(struct limiter));
}

void limiter_free(struct limiter **lp)
{
	if (lp == NULL)
		return;
	free(*lp);
	*lp = NULL;
}

static struct slot *find(struct limiter *l, uint64_t key)
{
	struct slot *row = l->rows[key % ROWS];
	struct slot *oldest = &row[0];

	for (int i = 0; i < WAYS; i++) {
		if (row[i].key == key)
			return &row[i];
		if (row[i].back_us < oldest->back_us)
			oldest = &row[i];
	}
	*oldest = (struct slot){ .key = key };
	return oldest;
}

/* When the last of n more is back; the slot is the key's. */
static int64_t after(struct limiter *l, char what, struct str key, unsigned n, unsigned per_minute,
		     int64_t now_us, struct slot **ret)
{
	struct slot *s = find(l, str_hash(key) * 31 + (unsigned char)what);

	*ret = s;
	return (s->back_us > now_us ? s->back_us : now_us) + MINUTE_US / per_minute * n;
}

bool limiter_take(struct limiter *l, char what, struct str key, unsigned n, unsigned per_minute,
		  int64_t now_ms)
{
	int64_t now_us = now_ms * 1000;
	struct slot *s;
	int64_t back_us;

	if (per_minute == 0)
		return true;
	back_us = after(l, what, key, n, per_minute, now_us, &s);
	if (back_us > now_us + MINUTE_US)
		return false;
	s->back_us = back_us;
	return true;
}

bool limiter_has(struct limiter *l, char what, struct str key, unsigned n, unsigned per_minute,
		 int64_t now_ms)
{
	int64_t now_us = now_ms * 1000;
	struct slot *s;

	return per_minute == 0 ||
	       after(l, what, key, n, per_minute, now_us, &s) <= now_us + MINUTE_US;
}
