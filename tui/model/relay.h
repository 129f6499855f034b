/*
 * relay - what the console knows of the relay as a whole: its status and what changed lately.
 *
 * Model:   one subscription to `status` and one to `changes`; who is interested registers a
 *          listener. Bits say what moved; after a lost link all of them.
 * Owner:   relay_free() ends the subscriptions. Status is borrowed until the next push.
 * Limits:  RELAY_LISTENERS.
 */
#ifndef MODEL_RELAY_H
#define MODEL_RELAY_H

#include "model/rpc.h"

#define RELAY_LISTENERS 64

enum relay_moved {
	RELAY_STATUS = 1u << 0,
	RELAY_QUEUE = 1u << 1,
	RELAY_HOLDS = 1u << 2,
	RELAY_ROUTES = 1u << 3,
	RELAY_ALLOW = 1u << 4,
	RELAY_ACTIONS = 1u << 5,
	RELAY_KEYS = 1u << 6,
	RELAY_CREDS = 1u << 7,
	RELAY_SUPPRESS = 1u << 8,
	RELAY_STREAMS = 1u << 9,
	RELAY_POOLS = 1u << 10,
	RELAY_BOUNCES = 1u << 11,
	RELAY_ALL = (1u << 12) - 1,
};

struct relay;
typedef void relay_fn(void *arg, unsigned moved);

struct relay *relay_new(struct rpc rpc);
void relay_free(struct relay **rp);
/* The relay's status object; NULL before the first one. */
const json_t *relay_status(const struct relay *r);
void relay_listen(struct relay *r, relay_fn *fn, void *arg);
void relay_unlisten(struct relay *r, void *arg);
/* Asks for the status now and tells everybody to fetch again. */
void relay_refresh(struct relay *r);

#endif
