/*
 * target - what a command acts on (DESIGN.md, section 6): domain:D, provider:P, stream:S,
 * credential:C, sender:A, id:ID[/N], `all`, or a filter.
 *
 * Model:   every target is a filter; the short forms are filters of one term. `canonical` is the
 *          text to store and to show: "domain:gmail.com", "sender:bob@example.org", "all", or the
 *          filter's own canonical text; target_parse() of it gives the same target.
 *          Bare words are refused: what acts on mail must say what it means. With --where, or as
 *          "where:FILTER", they are taken.
 * Owner:   target_done() frees. Errors: as filter_parse(), with column.
 */
#ifndef FILTER_TARGET_H
#define FILTER_TARGET_H

#include "base/err.h"
#include "filter/filter.h"

struct target {
	struct filter *filter; /* the empty filter for `all` */
	char *canonical;
};

#define TARGET_INIT ((struct target){ .filter = NULL })
int target_parse(struct str text, struct target *ret, struct err *err) MUST_CHECK;
/* From the text of --where: any filter but the empty one. */
int target_from_filter(struct str text, struct target *ret, struct err *err) MUST_CHECK;
void target_done(struct target *t);

/* One line of help: the forms a target can take. */
const char *target_forms(void);

#endif
