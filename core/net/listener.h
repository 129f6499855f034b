/*
 * listener - a listening socket: accepts in batches, pauses at a cap and when descriptors run out.
 *
 * Model:   on_accept() takes each new descriptor (non-blocking, close-on-exec) with the peer's
 *          address, which is all zeroes for a UNIX socket. It returns false when it wants no more
 * for now; listener_resume() goes on. Out of descriptors (EMFILE, ENFILE), the listener tries again
 *          every LISTENER_RETRY_MS and logs it once; the kernel's queue holds the callers.
 * Owner:   whoever made it frees it. Context: loop thread; on_accept() may free the listener.
 * Errors:  ERR_CONFIG for an address that cannot be bound, with the address in the message.
 * Limits:  LISTENER_BATCH connections a wake-up.
 */
#ifndef NET_LISTENER_H
#define NET_LISTENER_H

#include <stdbool.h>

#include "base/err.h"
#include "loop/loop.h"
#include "net/netaddr.h"

#define LISTENER_BATCH 64
#define LISTENER_RETRY_MS 250

struct listener;

/* Takes fd, which has been accepted. */
typedef bool listener_fn(int fd, const struct netaddr *peer, void *arg);

int listener_new(struct loop *l, const struct netaddr *at, listener_fn *on_accept, void *arg,
		 struct listener **ret, struct err *err) MUST_CHECK;
/* Takes a socket that listens already (UNIX sockets, sockets from the supervisor). */
struct listener *listener_adopt(struct loop *l, int fd, listener_fn *on_accept, void *arg);
void listener_free(struct listener **lp);
void listener_pause(struct listener *l);
void listener_resume(struct listener *l);
/* The address it is bound to: the port is known even when 0 was asked for. */
struct netaddr listener_address(const struct listener *l);

#endif
