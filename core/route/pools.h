/*
 * pools - the addresses that mail leaves from, and how much each may send while it is new.
 *
 * Model:   a pool has source addresses with an EHLO name and a weight each; streams and routes name
 *          pools, and whoever opens a connection asks for a source. A warm-up plan gives each
 *          address a cap a day (UTC), which grows from day to day: a list, or "50..10000*1.5" from
 *          the first to the last by a factor (2 unless said); behind the last day there is no cap.
 *          What is over the caps goes to the pool that is named for it, or waits.
 *          A message counts when it is about to be sent (pools_take()), and no more when nobody
 *          took it (pools_untake()).
 *          Each is an object of the store (kind "pool", id is its name); what was sent today is
 *          kept in others (kind "pool-count"), of which no versions are.
 * Stored:  {"id", "sources": ["ADDRESS=EHLO*WEIGHT", …], "warmup", "warmup_from_ms", "overflow",
 *          "note", "by", "created_ms"}; {"id", "day", "sent": {ADDRESS: N}}.
 * Owner:   pools belong to the list; pointers stay valid until the next change of it.
 * Context: loop thread; pure. Times are the wall clock's.
 * Errors:  pools_check() names the parameter at fault.
 * Limits:  below.
 */
#ifndef ROUTE_POOLS_H
#define ROUTE_POOLS_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/ipnet.h"
#include "base/str.h"

#define POOLS_KIND "pool"
#define POOLS_KIND_COUNT "pool-count"
#define POOLS_MAX 200
#define POOL_NAME_MAX 40
#define POOL_SOURCES_MAX 64
#define POOL_DAYS_MAX 120
#define POOL_EHLO_MAX 255
#define POOL_WHY_MAX 300
#define POOL_BAD_MAX 104
#define POOL_BAD_MS 60000 /* an address that cannot be used is tried again after so long */

struct pool_source {
	struct ipaddr ip;
	char text[IPADDR_TEXT_LEN];
	char ehlo[POOL_EHLO_MAX + 1]; /* empty: the relay's own name */
	unsigned weight;
	int64_t day; /* that `sent` is about, since the epoch */
	unsigned sent;
	int64_t bad_until_ms;
	char bad[POOL_BAD_MAX]; /* why it is */
};

struct pool {
	char id[POOL_NAME_MAX + 1];
	struct pool_source *sources;
	size_t n;
	char *warmup_text; /* "": no plan */
	unsigned caps[POOL_DAYS_MAX];
	size_t days;
	int64_t warmup_from_ms;
	char *overflow; /* "": it waits */
	char *note;
	char *by;
	int64_t created_ms;
	bool count_changed;
};

struct pools;
struct pools *pools_new(void);
void pools_free(struct pools **pp);
int pools_name(struct str text, char ret[static POOL_NAME_MAX + 1], struct err *err) MUST_CHECK;
/* Completes what could be a pool: ERR_INVALID with the parameter. */
int pools_check(json_t *o, struct err *err) MUST_CHECK;
int pools_put(struct pools *s, const char *json, struct err *err) MUST_CHECK;
json_t *pools_json(const struct pool *p); /* owned; what the store keeps */
bool pools_drop(struct pools *s, struct str id);
const struct pool *pools_find(const struct pools *s, struct str id);
size_t pools_n(const struct pools *s);
const struct pool *pools_at(const struct pools *s, size_t i); /* by name */

/* --- days ------------------------------------------------------------------------------------- */

int64_t pools_day(int64_t now_ms);
int64_t pools_next_day_ms(int64_t now_ms);
/* The day of the plan, from 1; 0: there is none, or it is over. */
unsigned pools_plan_day(const struct pool *p, int64_t now_ms);
/* Messages of each address today; 0: any number. */
unsigned pools_cap(const struct pool *p, int64_t now_ms);
unsigned pools_sent(const struct pool_source *x, int64_t now_ms);
/* Some address of it may send. */
bool pools_has_room(const struct pool *p, int64_t now_ms);
/* The pool itself, or the first of those behind it that has room; the pool when none has. Empty:
 * there is no such pool. */
const char *pools_effective(const struct pools *s, const char *id, int64_t now_ms);

/* --- sending ---------------------------------------------------------------------------------- */

enum pool_answer {
	POOL_FOUND,
	POOL_OTHER_FAMILY, /* it has none for that kind of address */
	POOL_CAPPED,	   /* the plan allows no more today */
	POOL_UNUSABLE	   /* no address is usable, or there is no such pool */
};
/* Any one of the addresses that may send, by weight; why says what keeps it otherwise. `v4`: for a
 * connection to an IPv4 address; any: either will do. */
enum pool_answer pools_pick(const struct pools *s, struct str id, bool v4, bool any, int64_t now_ms,
			    const struct pool_source **ret, char why[static POOL_WHY_MAX]);
/* All that pools_pick() chooses from. */
size_t pools_choice(const struct pools *s, struct str id, bool v4, int64_t now_ms,
		    const struct pool_source *ret[static POOL_SOURCES_MAX]);
/* Counts a message; false: there is no room for it. */
bool pools_take(struct pools *s, struct str id, const struct ipaddr *ip, int64_t now_ms);
void pools_untake(struct pools *s, struct str id, const struct ipaddr *ip, int64_t now_ms);
void pools_bad(struct pools *s, struct str id, const struct ipaddr *ip, const char *why,
	       int64_t now_ms);
/* A pool has got or lost its room since this was asked last. */
bool pools_turned(struct pools *s);

/* What was sent today, for the store; NULL when nothing changed since this was asked last. */
json_t *pools_count_json(struct pools *s, size_t i);
void pools_count_put(struct pools *s, const char *json);

#endif
