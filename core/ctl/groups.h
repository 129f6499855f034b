/*
 * groups - queued recipients counted by domain, provider, stream, sender, credential or cause.
 *
 * Model:   a table of rows, one a name. Domains, providers and streams are sums of the scheduler's
 *          groups (groups_add_group); what a filter leaves of them, and everything else, is counted
 *          one recipient at a time. A row knows the scheduler's groups behind it, so that replies
 *          and back-off are looked up for the few rows that are shown.
 * Owner:   the table owns its rows; pointers stay valid until the next row is made.
 * Context: loop thread; a table is not kept for longer than an answer takes.
 * Limits:  GROUPS_TEXT_MAX rows whose names are texts of mail (senders, credentials).
 */
#ifndef CTL_GROUPS_H
#define CTL_GROUPS_H

#include "ctl/env.h"

#define GROUPS_TEXT_MAX 200000

enum groups_by { BY_DOMAIN, BY_PROVIDER, BY_STREAM, BY_SENDER, BY_CREDENTIAL, BY_CAUSE, BY__COUNT };
const char *groups_by_name(enum groups_by by);
enum groups_by groups_by_find(const char *name); /* BY_DOMAIN for NULL */

struct group_row {
	uint64_t total; /* without trash */
	uint64_t state[SCHED_STATE__COUNT];
	int64_t oldest_ms;
	int64_t waiting_ms; /* of those that are ready or deferred; whole groups only */
	int64_t next_ms;
	uint32_t id;	    /* domain or stream; 0: the name is a text */
	uint32_t text;	    /* its place among the texts */
	uint32_t first;	    /* group of the scheduler; GROUPS_NONE */
	uint32_t hold;	    /* that covers all of it; 0 */
	bool open;	    /* something of it is not covered by a hold of groups */
	uint8_t last_class; /* of the last failed attempt */
	uint16_t code;	    /* BY_CAUSE */
	uint32_t last;	    /* group that had it; GROUPS_NONE */
	int64_t last_ms;
	int64_t trouble_ms; /* since when nothing gets through, of some of it; 0 */
};
#define GROUPS_NONE UINT32_MAX

struct groups;
/* single: recipients will be counted one by one (too). */
struct groups *groups_new(struct ctl_env *env, enum groups_by by, bool single);
void groups_free(struct groups **gp);

/* Adds the scheduler's group i, which is at hand as v, with all its recipients. */
void groups_add_group(struct groups *g, uint32_t i, const struct sched_group_view *v);
/* Adds one recipient. BY_SENDER and BY_CREDENTIAL need the stored row. False: too many rows. */
bool groups_add_one(struct groups *g, const struct sched_view *v, const struct queue_entry *e);

size_t groups_n(const struct groups *g);
const struct group_row *groups_at(const struct groups *g, size_t i);
const struct group_row *groups_find(const struct groups *g, struct str name);
bool groups_has(const struct groups *g, uint32_t id); /* a row of that domain or stream */
struct str groups_name(const struct groups *g, const struct group_row *r);
/* A row of entity "queue"; owned. */
json_t *groups_json(const struct groups *g, const struct group_row *r);
/* What one of the row's next hops is in back-off for; false: none is (that was looked at). */
bool groups_backoff(const struct groups *g, const struct group_row *r, struct sched_dest_view *ret);
struct str groups_main_stream(const struct groups *g, const struct group_row *r); /* or empty */
const char *groups_last_reply(const struct groups *g, const struct group_row *r); /* "" */

#endif
