/*
 * alerts - what is the matter now: what somebody who was just woken up has to know, with its cause,
 * since when, how much it reaches, and the command at hand.
 *
 * Model:   the kinds are the rows of alerts.def. The list is made anew whenever it is asked for,
 *          from what the relay's parts know; the worst first, in the order of the table. Of what
 *          has no beginning of its own (a pool that reached its cap) it is remembered when it was
 *          seen first, for as long as it is seen.
 * Context: loop thread. Cheap: it goes through pools and credentials, not through the queue.
 * Limits:  ALERTS_MAX rows; ALERTS_DESTINATIONS of them name destinations. All empty keys are one.
 */
#ifndef CTL_ALERTS_H
#define CTL_ALERTS_H

#include <stddef.h>

#include "ctl/env.h"
#include "ctl/views.h"

#define ALERTS_MAX 100
#define ALERTS_DESTINATIONS 10

/* Kept by the views between two lists. */
struct alerts_seen {
	struct alert_seen *v;
	size_t n;
	uint64_t turn;
};
void alerts_forget(struct alerts_seen *s);

bool alert_is_destination(const json_t *row); /* it tells of one */
/* How many of the rows are how bad, the worst first. NULL behind the last one. */
const char *alerts_severity(const json_t *rows, size_t i, uint64_t *ret_n);

/* Rows of entity "alert"; owned. */
json_t *alerts_json(struct ctl_env *env, const struct view_attention *a);

#endif
