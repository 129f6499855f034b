/*
 * source - steady mixed mail into a relay, over connections that stay open.
 *
 * Model:   a tick earns `rate` letters a second; they and the bursts asked for wait as counts until
 *          a connection is free, which composes a letter and sends it pipelined. A connection
 *          that fails is opened again after a pause; the letter it carried is counted as failed.
 * Owner:   main(). Context: loop thread only. Borrows the world.
 * Limits:  SOURCE_CONNECTIONS connections; steady letters beyond SOURCE_BACKLOG_S seconds' worth
 *          are not made up for; SOURCE_BURSTS_MAX bursts at a time.
 */
#ifndef WORLD_SOURCE_H
#define WORLD_SOURCE_H

#include <jansson.h>

#include "base/err.h"
#include "world/world.h"

#define SOURCE_CONNECTIONS 6
#define SOURCE_BACKLOG_S 2
#define SOURCE_BURSTS_MAX 64
#define SOURCE_RATE_MAX 100000

struct source;

/* `relay` is HOST:PORT with a numeric v4 address, or [v6]:port. */
int source_start(struct world *w, const char *relay, int64_t rate, struct source **ret,
		 struct err *err) MUST_CHECK;
void source_free(struct source **sp);
void source_rate(struct source *s, int64_t rate);
/* Sends n letters to one domain, as fast as the relay takes them. */
int source_burst(struct source *s, const struct domain *d, uint64_t n, struct err *err) MUST_CHECK;
json_t *source_stats_json(const struct source *s);

#endif
