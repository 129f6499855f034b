/*
 * complete - what could stand at the end of a half-written command line.
 *
 * Model:   complete_words() takes the words behind "weir", the last one unfinished, and offers
 *          candidates for it: verbs, options, and values by the parameter's type. Values that only
 *          the relay knows (domains, holds, routes, actions) come from `list`, which may be NULL.
 * Context: any; pure but for `list`.
 */
#ifndef ARGS_COMPLETE_H
#define ARGS_COMPLETE_H

#include <stdbool.h>
#include <stddef.h>

#include "base/buf.h"
#include "proto/proto.h"

#define COMPLETE_MAX 500 /* candidates */

/* The whole word that could stand there; `more`: something is to follow without a space. */
typedef void complete_offer_fn(void *arg, const char *word, const char *help, bool more);
/* Answers the named field of a listing's rows by offering each through complete_known(). */
struct complete;
struct complete_source {
	complete_offer_fn *offer;
	/* by, where: parameters of the listing, or NULL. */
	void (*list)(void *arg, struct complete *to, enum method_id method, const char *field,
		     const char *by, const char *where);
	void (*relays)(void *arg, struct complete *to);
	void *arg;
};

void complete_words(size_t n, const char *const *words, const struct complete_source *source);
/* From list() and relays(): offers a value when it goes on from what was typed. */
void complete_known(struct complete *c, const char *value, const char *help);

#endif
