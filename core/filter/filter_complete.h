/*
 * filter_complete - what could stand at the cursor of a half-written filter: for the console's
 * prompt and the shell's completion.
 *
 * Model:   candidates replace the text from `from` to the cursor. Values that only the relay knows
 *          (domains, streams) are not listed: `field` and `partial` say what to ask it for.
 * Owner:   `partial` borrows from the text; help texts are static. Context: any thread; pure.
 */
#ifndef FILTER_FILTER_COMPLETE_H
#define FILTER_FILTER_COMPLETE_H

#include <stddef.h>

#include "filter/filter.h"

#define FILTER_CANDIDATES_MAX 32
#define FILTER_CANDIDATE_LEN 48

struct filter_candidate {
	char text[FILTER_CANDIDATE_LEN];
	const char *help;
};

struct filter_completion {
	size_t from;
	enum filter_field field; /* whose values are wanted; FILTER__COUNT: none */
	struct str partial;	 /* of the value */
	size_t n;
	struct filter_candidate items[FILTER_CANDIDATES_MAX];
};

/* `cursor` is a byte offset in text. */
void filter_complete(enum filter_about about, struct str text, size_t cursor,
		     struct filter_completion *ret);

#endif
