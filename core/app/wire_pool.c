/*
 * Pools at work: which address a connection comes from, what was sent from it today, and what
 * follows when a pool has no room any more or has room again: mail goes by the pool behind it, or
 * waits for the next day.
 *
 * The counts are stored COUNT_MS after they changed, and at the end.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "app/relayd_int.h"
#include "base/json.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/obj.h"
#include "ctl/stream_env.h"
#include "loop/loop.h"
#include "route/hop.h"

#define COUNT_MS 1000
#define TURN_MS 200 /* after which routes are judged again */
#define SLICE 1000  /* groups */
#define SLICE_MS 2

static int64_t wall_ms(const struct relayd *r)
{
	return loop_wall_ms(r->env.loop);
}

static void note_change(struct relayd *r)
{
	if (!loop_timer_pending(r->pool_counts))
		loop_timer_set(r->pool_counts, COUNT_MS);
	if (pools_turned(r->env.pools))
		wire_pools_turned(r);
}

enum smtpout_from wire_source(void *arg, struct smtpout_ask *ask, struct smtpout_source *ret,
			      char why[static SMTPOUT_WHY_MAX])
{
	struct relayd *r = OBJ(relayd, RELAYD_MAGIC, arg);
	struct str pool = hop_ways(ask->next_hop).pool;
	const struct pool_source *x = NULL;

	_Static_assert(POOL_WHY_MAX == SMTPOUT_WHY_MAX && POOL_EHLO_MAX == SMTPOUT_EHLO_MAX,
		       "texts fit");
	*ret = (struct smtpout_source){ .bound = false };
	if (pool.n == 0)
		return SMTPOUT_FROM;
	switch (pools_pick(r->env.pools, pool, ask->v4, ask->any, wall_ms(r), &x, why)) {
	case POOL_FOUND:
		ret->bound = true;
		ret->ip = x->ip;
		memcpy(ret->ehlo, x->ehlo, sizeof(ret->ehlo));
		return SMTPOUT_FROM;
	case POOL_OTHER_FAMILY:
		return SMTPOUT_FROM_OTHER;
	case POOL_CAPPED:
		ask->until_ms = pools_next_day_ms(wall_ms(r));
		return SMTPOUT_FROM_NONE;
	case POOL_UNUSABLE:
		break;
	}
	return SMTPOUT_FROM_NONE;
}

bool wire_source_take(void *arg, const char *next_hop, const struct ipaddr *ip)
{
	struct relayd *r = OBJ(relayd, RELAYD_MAGIC, arg);
	bool taken = pools_take(r->env.pools, hop_ways(next_hop).pool, ip, wall_ms(r));

	note_change(r);
	return taken;
}

void wire_source_untake(void *arg, const char *next_hop, const struct ipaddr *ip)
{
	struct relayd *r = OBJ(relayd, RELAYD_MAGIC, arg);

	pools_untake(r->env.pools, hop_ways(next_hop).pool, ip, wall_ms(r));
	note_change(r);
}

void wire_source_bad(void *arg, const char *next_hop, const struct ipaddr *ip, const char *why)
{
	struct relayd *r = OBJ(relayd, RELAYD_MAGIC, arg);

	pools_bad(r->env.pools, hop_ways(next_hop).pool, ip, why, wall_ms(r));
}

/* ---- what is kept ---- */

static void on_counted(void *arg, const struct err *err)
{
	(void)arg;
	if (err != NULL && log_limited("relayd.pool-count"))
		log_warn(NULL, "relayd.pool-count", F_STR("error", err->msg));
}

void wire_pools_store(struct relayd *r)
{
	struct queue_object o[POOLS_MAX];
	size_t n = 0;

	for (size_t i = 0; i < pools_n(r->env.pools); i++) {
		json_t *count = pools_count_json(r->env.pools, i);
		if (count == NULL)
			continue;
		o[n++] = (struct queue_object){ .kind = POOLS_KIND_COUNT,
						.id = pools_at(r->env.pools, i)->id,
						.json = json_dumps(count, JSON_COMPACT),
						.secret = true }; /* no versions are kept */
		json_decref(count);
	}
	if (n > 0)
		queue_commit(r->env.queue, NULL, o, n, on_counted, r);
	for (size_t i = 0; i < n; i++)
		free((void *)(uintptr_t)o[i].json);
}

static void on_counts(void *arg)
{
	wire_pools_store(OBJ(relayd, RELAYD_MAGIC, arg));
}

/* ---- what follows ---- */

static void on_turned(void *arg)
{
	struct relayd *r = OBJ(relayd, RELAYD_MAGIC, arg);
	int64_t day = pools_next_day_ms(wall_ms(r)) - wall_ms(r) + 1;
	bool more;

	if (r->ending)
		return;
	pools_end_waits(&r->env, r->pool_pass.group, r->pool_pass.group + SLICE);
	more = sched_rejudge_some(r->env.sched, true, &r->pool_pass, SLICE);
	if (!more)
		r->pool_pass = (struct sched_pass){ .group = 0 };
	loop_timer_set(r->pool_turn, more ? SLICE_MS : day);
}

void wire_pools_turned(struct relayd *r)
{
	if (r->pool_pass.group > 0 || r->pool_pass.place > 0)
		r->pool_pass = (struct sched_pass){ .group = 0 }; /* from the beginning */
	loop_timer_set(r->pool_turn, TURN_MS);
}

void wire_pools_open(struct relayd *r)
{
	r->pool_counts = loop_timer_new(r->env.loop, "relayd.pool-counts", on_counts, r);
	r->pool_turn = loop_timer_new(r->env.loop, "relayd.pool-turn", on_turned, r);
	loop_timer_set(r->pool_turn, TURN_MS);
}

void wire_pools_close(struct relayd *r)
{
	loop_timer_free(&r->pool_counts);
	loop_timer_free(&r->pool_turn);
}
