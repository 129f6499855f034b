/*
 * sinks - the feed of events, brought to files and to programs elsewhere.
 *
 * Model:   each sink has a cursor, the number of the last event that it has for certain, kept
 *          in the store (kind "sink"). It reads the feed behind its cursor, a batch at a time,
 *          hands it over, and moves the cursor when the batch is on disk (file) or answered
 *          with 2xx (url). What is not known to have arrived is sent again: every event at
 *          least once, in the order of the feed. What its filter does not match is passed over.
 *          A sink that fails waits, twice as long each time; nothing else waits for it. A new
 *          sink begins with what happens from then on: its cursor is the first that is stored.
 *          The feed forgets (queue.h): a sink that was away for longer goes on with what there
 *          is, and counts what is missing.
 * Owner:   the wiring. sinks_free() after queue_close(), before the loop's end.
 * Context: loop thread; files are written by workers.
 * Errors:  sinks_new(): ERR_CONFIG, ERR_IO.
 * Limits:  one batch of each sink under way; SINK_BATCH events and SINK_BODY_MAX bytes in it.
 */
#ifndef CTL_SINKS_H
#define CTL_SINKS_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"

#define SINK_KIND "sink"
#define SINK_BATCH 250
#define SINK_BODY_MAX ((size_t)4 << 20)
#define SINK_SECRET_MIN 16
#define SINK_SECRET_MAX 256

struct ctl_env;
struct tls_client;

struct sink_config {
	const char *name;
	const char *file;   /* NULL: url */
	const char *filter; /* only events that match; NULL: all */
	uint64_t size;
	unsigned keep;
	const char *url;
	const char *secret; /* copied */
	struct tls_client
		*trust_take; /* whose certificates its host may have; NULL: those of all */
	unsigned batch;
	int64_t timeout_ms;
};

enum sink_state {
	SINK_IDLE,    /* has all there is */
	SINK_SENDING, /* is being brought what is new */
	SINK_FAILING, /* the last batch was not taken; it is tried again */
	SINK_STATE__COUNT
};
const char *sink_state_name(enum sink_state s);

/* Checks what the configuration says; `where` names the parameter in messages. */
int sink_check(const struct sink_config *c, struct err *err) MUST_CHECK;

struct sinks;
/* After the queue is open and before it is loaded. `trust` is whose certificates https needs;
 * borrowed. Takes those of the configurations, which are NULL then. */
int sinks_new(struct ctl_env *env, const struct tls_client *trust, struct sink_config *cfg,
	      size_t n, struct sinks **ret, struct err *err) MUST_CHECK;
void sinks_start(struct sinks *s);
void sinks_free(struct sinks **sp);
void sinks_wake(struct sinks *s, uint64_t seq); /* there is a new event */

size_t sinks_n(const struct sinks *s);	   /* s may be NULL */
json_t *sinks_json(const struct sinks *s); /* rows of entity "sink"; owned */

struct sink_view {
	const char *name;
	enum sink_state state;
	uint64_t cursor;
	uint64_t behind; /* events that it does not have yet */
	uint64_t sent;
	uint64_t missed; /* forgotten by the feed before they could be sent */
	uint64_t failures;
	bool dead; /* fails for longer than a moment */
	int64_t failing_ms;
	const char *error;
};
void sinks_at(const struct sinks *s, size_t i, struct sink_view *ret);

#endif
