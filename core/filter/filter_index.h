/*
 * filter_index - many rules asked as one: the first that matches a row.
 *
 * Model:   a rule is a filter at a place in an order (place, then number). Filters that ask one
 *          field for one exact value (filter_simple_key) are found by look-up, so that ten thousand
 *          holds on single domains cost no more than one; the others are tried in their order.
 *          What is not known of the row leaves rules open (three-valued logic, see filter.h).
 * Owner:   filters and rules are borrowed while they are in the index.
 * Context: any thread, one at a time; pure.
 */
#ifndef FILTER_FILTER_INDEX_H
#define FILTER_FILTER_INDEX_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "filter/filter.h"

struct filter_index;

struct filter_rule {
	double place;
	uint32_t number; /* unique in the index */
	const struct filter *filter;
	const void *arg; /* the caller's */
};

struct filter_index *filter_index_new(void);
void filter_index_free(struct filter_index **ip);
/* Up to so many of its rules. False: that was all, and it is gone. */
bool filter_index_free_some(struct filter_index **ip, size_t most);
void filter_index_add(struct filter_index *ix, const struct filter_rule *rule); /* copied */
/* The rule that was added with these values; false when there is none. */
bool filter_index_drop(struct filter_index *ix, const struct filter_rule *rule);
size_t filter_index_n(const struct filter_index *ix);

/*
 * The `arg` of the first rule that matches, NULL without one. *ret_open: a rule before it (or any,
 * when none matches) cannot be decided from what is known of the row.
 */
const void *filter_index_first(const struct filter_index *ix, const struct filter_row *row,
			       bool *ret_open);
/* Every rule that matches or may match (known false), in no particular order. */
typedef void filter_index_fn(void *arg, const struct filter_rule *rule, bool known);
void filter_index_each(const struct filter_index *ix, const struct filter_row *row,
		       filter_index_fn *fn, void *arg);

#endif
