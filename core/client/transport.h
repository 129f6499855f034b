/*
 * transport - the way to a relay's control socket, as a byte stream.
 *
 * Model:   a transport is opened once; it tells `opened` with a descriptor over which the protocol
 *          flows, or `failed`. Meanwhile it may ask questions, one at a time. When the descriptor
 *          ends, transport_trouble() says what the transport knows about the reason.
 * Owner:   the descriptor belongs to the transport, until transport_free(). Events come from the
 *          loop only, none after transport_free(), which never waits for anything.
 * Context: loop thread. `opened`, `failed` and `ask` may free the transport.
 * Errors:  texts for people: which host, which step, what to do. `final` is true when trying again
 *          does not help before somebody changed something.
 */
#ifndef CLIENT_TRANSPORT_H
#define CLIENT_TRANSPORT_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "client/client.h"

struct loop;
struct relays_addr;
struct transport;

struct transport_events {
	void (*opened)(void *arg, int fd);
	void (*failed)(void *arg, const struct err *err, bool final);
	/* To be answered with transport_answer(); texts are borrowed for the call. */
	void (*ask)(void *arg, enum client_question_kind kind, const char *title, const char *text);
	void (*doing)(void *arg); /* transport_doing() changed */
};

struct transport_ops {
	struct transport *(*open)(struct loop *l, const struct relays_addr *to,
				  const struct transport_events *events, void *arg);
	/* NULL refuses. */
	void (*answer)(struct transport *t, const char *text);
	/* The step that is under way, "logging in as ops", "" when it takes no time; borrowed
	 * until the loop turns. */
	const char *(*doing)(struct transport *t);
	/* After the descriptor's end: sets *err if there is something to say. */
	void (*trouble)(struct transport *t, struct err *err, bool *ret_final);
	void (*free)(struct transport *t);
};

/* What every transport begins with; the magic number is that of its kind. */
struct transport {
	uint32_t magic;
	const struct transport_ops *ops;
};

extern const struct transport_ops transport_unix, transport_ssh;

static inline void transport_free(struct transport **tp)
{
	if (*tp != NULL)
		(*tp)->ops->free(*tp);
	*tp = NULL;
}

#endif
