/*
 * Those that stay are a longest ascending sequence (patience sorting); what stands between two of
 * them is spread evenly. Where doubles have no room left, all get new places.
 */
#include "ctl/places.h"

#include <math.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>

#include "base/mem.h"

#define NONE SIZE_MAX

/* The first pile whose top does not stand before this place. */
static size_t pile_for(const double *place, const size_t *top, size_t piles, double at)
{
	size_t lo = 0, hi = piles;

	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;
		if (place[top[mid]] < at)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo;
}

/* All others lose their place. */
static void keep_longest(double *place, size_t n)
{
	size_t *top = xcalloc(n + 1, sizeof(*top));
	size_t *before = xcalloc(n + 1, sizeof(*before));
	bool *stays = xcalloc(n + 1, sizeof(*stays));
	size_t piles = 0;

	for (size_t i = 0; i < n; i++) {
		size_t p;
		if (isnan(place[i]))
			continue;
		p = pile_for(place, top, piles, place[i]);
		before[i] = p > 0 ? top[p - 1] : NONE;
		top[p] = i;
		piles = p == piles ? piles + 1 : piles;
	}
	for (size_t i = piles > 0 ? top[piles - 1] : NONE; i != NONE; i = before[i])
		stays[i] = true;
	for (size_t i = 0; i < n; i++)
		if (!stays[i])
			place[i] = PLACE_NEW;
	free(top);
	free(before);
	free(stays);
}

/* place[from] to place[to - 1] have none; their neighbours, if there are any, have one. */
static void spread(double *place, size_t n, size_t from, size_t to)
{
	double count = (double)(to - from);
	double left = from > 0 ? place[from - 1] : to < n ? place[to] - count - 1 : 0;
	double step = to < n ? (place[to] - left) / (count + 1) : 1;

	for (size_t i = from; i < to; i++)
		place[i] = left + step * (double)(i - from + 1);
}

void places_make(double *place, size_t n)
{
	keep_longest(place, n);
	for (size_t i = 0; i < n; i++) {
		size_t to = i;
		while (to < n && isnan(place[to]))
			to++;
		if (to > i)
			spread(place, n, i, to);
		i = to > i ? to - 1 : i;
	}
	for (size_t i = 1; i < n; i++) {
		if (place[i - 1] < place[i])
			continue;
		for (size_t k = 0; k < n; k++)
			place[k] = (double)k + 1;
		return;
	}
}
