/*
 * pools_int - the list of pools, for its two files.
 */
#ifndef ROUTE_POOLS_INT_H
#define ROUTE_POOLS_INT_H

#include "route/pools.h"

struct pools {
	struct pool *v[POOLS_MAX];
	size_t n;
	bool turned;
};

struct pool *pools_get(const struct pools *s, struct str id);

#endif
