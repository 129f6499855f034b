/*
 * versions - the configuration that operators edit, version by version.
 *
 * Model:   a version is an action that changed routes, allowlist entries, credentials or what else
 *          is configuration (ctl/config.h says which), and what it changed: a JSON array of
 * {"kind", "id", "before", "after", "secret"}, without anything secret. Versions have numbers from
 *          the caller, ascending, maybe with gaps. They are stored with their action in one
 *          transaction, and kept.
 * Context: loop thread only; see queue.h.
 */
#ifndef QUEUE_VERSIONS_H
#define QUEUE_VERSIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

struct queue;

struct queue_version {
	uint64_t version;
	uint64_t action;
	int64_t at_ms;
	const char *who;
	const char *from_where;
	const char *role;
	const char *method;
	const char *target;
	const char *reason;
	const char *changes;
};

struct queue_versions_query {
	uint64_t above; /* only versions greater than this */
	uint64_t below; /* and less than this; 0: without end */
	bool ascending; /* the oldest first, else the newest */
	size_t limit;	/* at most QUEUE_PAGE_MAX */
};
/* A page ends early, with `more`, when its texts are large. Rows are borrowed. */
typedef void queue_versions_fn(void *arg, const struct queue_version *rows, size_t n, bool more,
			       const struct err *err);
void queue_versions(struct queue *q, const struct queue_versions_query *query,
		    queue_versions_fn *fn, void *arg);

uint64_t queue_last_version(const struct queue *q); /* 0 at first */
/* At start, blocking: versions greater than `above`, the oldest first. */
int queue_load_versions(struct queue *q, uint64_t above,
			void (*fn)(void *arg, const struct queue_version *v), void *arg,
			struct err *err) MUST_CHECK;

#endif
