/*
 * transcript - what was said in an attempt, and how long its steps took, as JSON.
 *
 * Owner:   results are owned by the caller. Texts are made harmless (json_text()).
 */
#ifndef CTL_TRANSCRIPT_H
#define CTL_TRANSCRIPT_H

#include <jansson.h>

#include "queue/queue.h"

/* Rows of `spoken`, one a line; of an event that was read with `talks`. NULL: nothing is kept. */
json_t *transcript_json(const struct queue_event *e, size_t size);
/* An object of `phases`; NULL: nothing is kept. */
json_t *transcript_phases(const struct queue_event *e, size_t size);

#endif
