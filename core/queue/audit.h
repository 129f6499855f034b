/*
 * audit - who changed what, and who was refused: a log in which nothing can be altered unseen.
 *
 * Model:   records have numbers from 1 without gaps. Each carries the hash of the one before it and
 *          its own, SHA-256 over all its fields and that hash; so a record that was altered, taken
 *          out or moved is found by going along the chain (queue_audit_verify()). The last link is
 *          kept in the file AUDIT_HEAD beside the database as well, at most AUDIT_HEAD_MS behind:
 *          by that a log whose end was cut off is found. Whoever can write both files and knows
 *          this page can write another log; keep a copy of the file elsewhere to notice that, too.
 *          An action of queue_commit() is recorded in the action's own transaction, always;
 *          refusals by queue_audit_append(). The writer thread gives numbers and hashes.
 * Hash:    over the concatenation of AUDIT_TAG, seq, at_ms, uid, action, who, from_where, role,
 *          method, target, reason, result, changes, prev: each as its length in eight bytes, the
 *          highest first, and its bytes; numbers as eight such bytes, prev as its 64 characters.
 * Start:   without AUDIT_HEAD it cannot be said whether the end was cut off: audit.head-missing is
 *          logged. When the two do not agree, audit.cut or audit.rewritten is, and the chain goes
 *          on from the file's link, so that the break stays to be seen.
 * Limits:  none: the log is kept for ever. Its writers bound what strangers can put into it.
 */
#ifndef QUEUE_AUDIT_H
#define QUEUE_AUDIT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/digest.h"
#include "base/err.h"
#include "filter/filter.h"

#define AUDIT_TAG "weir-audit-1"
#define AUDIT_HEAD "audit.head" /* one line: "weir-audit-1 SEQ HASH" */
#define AUDIT_HEAD_MS 1000
#define AUDIT_NOBODY (-1) /* uid: the relay by itself */
#define AUDIT_DONE "done"

struct queue;

struct audit_record {
	uint64_t seq; /* given by the writer, as the hashes are */
	int64_t at_ms;
	int64_t uid;
	uint64_t action; /* 0: none was made */
	const char *who;
	const char *from_where;
	const char *role;
	const char *method;
	const char *target;
	const char *reason;
	const char *result;  /* AUDIT_DONE, or "refused: CODE text" */
	const char *changes; /* JSON: [{kind, id, before, after}], without secrets; or empty */
	const char *prev;
	const char *hash;
};

/* Copied; on disk with the next commit. For what is not an action: refusals. done may be NULL. */
typedef void queue_audit_done_fn(void *arg, const struct err *err);
void queue_audit_append(struct queue *q, const struct audit_record *r, queue_audit_done_fn *done,
			void *arg);

/* Newest first, with all that was appended before the call (unless the disk is full), below
 * `before` (0: from the newest). total: records that there are. */
struct audit_query {
	const struct filter *filter; /* about FILTER_AUDIT; borrowed until the answer; NULL: all */
	uint64_t before;
	size_t limit; /* at most QUEUE_PAGE_MAX */
	int64_t now_ms;
};
typedef void queue_audit_fn(void *arg, const struct audit_record *rows, size_t n, bool more,
			    uint64_t total, const struct err *err);
void queue_audit(struct queue *q, const struct audit_query *query, queue_audit_fn *fn, void *arg);

enum audit_damage {
	AUDIT_INTACT,
	AUDIT_CHANGED, /* not what was written */
	AUDIT_MISSING, /* taken out, or the end cut off */
	AUDIT_SWAPPED, /* another record stands in its place */
	AUDIT_DAMAGE__COUNT
};
const char *audit_damage_name(enum audit_damage d);

/* The first break, when there is one. */
struct audit_report {
	enum audit_damage damage;
	uint64_t records; /* that were gone along */
	uint64_t last;	  /* number of the last good one */
	uint64_t seq;	  /* of the first that is not as it was written */
	uint64_t other;	  /* SWAPPED: the record that stands there; MISSING: last of those gone */
	bool head;	  /* AUDIT_HEAD was there */
	uint64_t head_seq;
	char hash[DIGEST_HEX_LEN]; /* of the last good one */
};
typedef void queue_audit_verify_fn(void *arg, const struct audit_report *r, const struct err *err);
/* Goes along the whole chain, a slice a job, beside everything else. */
void queue_audit_verify(struct queue *q, queue_audit_verify_fn *fn, void *arg);

#endif
