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

static struct slot *row_of(struct limiter *l, uint64_t key)
{
	return l->rows[key % ROWS];
}

/* NULL: nothing is counted of it. */
static struct slot *find(struct limiter *l, uint64_t key)
{
	struct slot *row = row_of(l, key);

	for (int i = 0; i < WAYS; i++)
		if (row[i].key == key)
			return &row[i];
	return NULL;
}

/* In the place of what is forgotten for it. */
static struct slot *add(struct limiter *l, uint64_t key)
{
	struct slot *row = row_of(l, key);
	struct slot *oldest = &row[0];

	for (int i = 0; i < WAYS; i++)
		if (row[i].back_us < oldest->back_us)
			oldest = &row[i];
	*oldest = (struct slot){ .key = key };
	return oldest;
}

static uint64_t key_of(char what, struct str key)
{
	return str_hash(key) * 31 + (unsigned char)what;
}

/* When the last of n more is back. s may be NULL. */
static int64_t after(const struct slot *s, unsigned n, unsigned per_minute, int64_t now_us)
{
	return (s != NULL && s->back_us > now_us ? s->back_us : now_us) +
	       MINUTE_US / per_minute * n;
}

bool limiter_take(struct limiter *l, char what, struct str key, unsigned n, unsigned per_minute,
		  int64_t now_ms)
{
	int64_t now_us = now_ms * 1000;
	int64_t back_us;
	struct slot *s;

	if (per_minute == 0)
		return true;
	s = find(l, key_of(what, key));
	back_us = after(s, n, per_minute, now_us);
	if (back_us > now_us + MINUTE_US)
		return false;
	if (s == NULL)
		s = add(l, key_of(what, key));
	s->back_us = back_us;
	return true;
}

bool limiter_has(struct limiter *l, char what, struct str key, unsigned n, unsigned per_minute,
		 int64_t now_ms)
{
	int64_t now_us = now_ms * 1000;

	return per_minute == 0 ||
	       after(find(l, key_of(what, key)), n, per_minute, now_us) <= now_us + MINUTE_US;
}
