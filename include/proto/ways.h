/*
 * ways - where the recipients of a message go and how, each once: the same in the console and on
 * the command line.
 *
 * Owner:   the texts are those of the rows.
 * Limits:  WAYS_SHOWN of each kind; of the rest there is a count.
 */
#ifndef PROTO_WAYS_H
#define PROTO_WAYS_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

#define WAYS_SHOWN 5

struct ways {
	const char *title; /* "goes by" */
	const char *texts[WAYS_SHOWN];
	size_t n;
	size_t more; /* others that are not among the texts */
};

/* The i-th kind of them, in rows of entity "message"; false behind the last. */
bool ways_at(const json_t *recipients, size_t i, struct ways *ret);

#endif
