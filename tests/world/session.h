/*
 * session - one client at one site: ESMTP commands in, replies out.
 *
 * Model:   session_new() takes the descriptor; the session frees itself when its connection ends,
 *          and tells so by `ended`. Context: loop thread only.
 */
#ifndef WORLD_SESSION_H
#define WORLD_SESSION_H

#include <stdint.h>

#include "world/world.h"

struct session;
typedef void session_ended_fn(struct session *s, enum site_id site, void *arg);

struct session *session_new(struct world *w, enum site_id site, int fd, const char *client,
			    session_ended_fn *ended, void *arg);
/* Closes the connection; `ended` is not called. */
void session_free(struct session **sp);

#endif
