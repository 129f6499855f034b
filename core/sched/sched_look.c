/* What others may see of records, groups, next hops and totals. */
#include "sched/sched_int.h"

#include <string.h>

#include "base/mem.h"
#include "base/obj.h"

static const char *const state_names[SCHED_STATE__COUNT] = {
	[SCHED_READY] = "ready", [SCHED_DEFERRED] = "deferred", [SCHED_ACTIVE] = "active",
	[SCHED_HELD] = "held",	 [SCHED_TRASH] = "trash",
};

const char *sched_state_name(enum sched_state st)
{
	ASSERT(st < SCHED_STATE__COUNT);
	return state_names[st];
}

void sched_fill_view(const struct sched *s, uint32_t i, struct sched_view *ret)
{
	const struct rec *r = sched_rec(s, i);
	const struct group *g = s->groups[r->group];
	const struct dest *d = g->dest;
	*ret = (struct sched_view){ .rid = { r->rid },
				    .domain = g->domain,
				    .stream = g->stream,
				    .group = r->group,
				    .attempts = r->attempts,
				    .code = r->code,
				    .reply_class = r->reply_class,
				    .next_ms = r->next_ms,
				    .own_next_ms = r->next_ms,
				    .expires_ms = r->expires_ms };
	bool due = r->next_ms <= loop_wall_ms(s->loop);
	if (r->place == P_TRASH) {
		ret->state = SCHED_TRASH;
	} else if (r->place == P_ACTIVE || r->place == P_FAILING) {
		ret->state = SCHED_ACTIVE;
	} else if (g->hold != 0 || r->hold != 0 || d->kind == DEST_HOLD) {
		ret->state = SCHED_HELD;
		ret->hold = g->hold != 0 ? g->hold : r->hold;
	} else if (!due) {
		ret->state = SCHED_DEFERRED;
	} else if (d->is_waiting) {
		ret->state = SCHED_DEFERRED;
		ret->next_ms = d->backoff_until_ms;
	} else {
		ret->state = SCHED_READY;
	}
}

bool sched_find(const struct sched *s, struct rid rid, struct sched_view *ret)
{
	uint32_t i = sched_lookup(s, rid);
	if (i == SCHED_NONE)
		return false;
	sched_fill_view(s, i, ret);
	return true;
}

uint32_t sched_places(const struct sched *s)
{
	return s->places;
}

bool sched_at(const struct sched *s, uint32_t place, struct sched_view *ret)
{
	if (place >= s->places || sched_rec(s, place)->place == P_FREE)
		return false;
	sched_fill_view(s, place, ret);
	return true;
}

bool sched_peek(const struct sched *s, uint32_t place, struct sched_peek *ret)
{
	const struct rec *r;
	if (place >= s->places)
		return false;
	r = sched_rec(s, place);
	if (r->place == P_FREE)
		return false;
	*ret = (struct sched_peek){ .rid = { r->rid },
				    .group = r->group,
				    .next_ms = r->next_ms,
				    .attempts = r->attempts,
				    .trash = r->place == P_TRASH };
	return true;
}

static void group_counts(const struct group *g, struct sched_counts *ret)
{
	memset(ret, 0, sizeof(*ret));
	uint64_t idle_ready = g->count[P_READY], deferred = g->count[P_DEFERRED];
	ret->state[SCHED_HELD] = g->count[P_HELD];
	if (g->hold != 0 || g->dest->kind == DEST_HOLD) {
		ret->state[SCHED_HELD] += idle_ready + deferred;
	} else {
		ret->state[g->dest->is_waiting ? SCHED_DEFERRED : SCHED_READY] += idle_ready;
		ret->state[SCHED_DEFERRED] += deferred;
	}
	ret->state[SCHED_ACTIVE] = (uint64_t)g->count[P_ACTIVE] + g->count[P_FAILING];
	ret->state[SCHED_TRASH] = g->count[P_TRASH];
	for (int st = 0; st < SCHED_TRASH; st++)
		ret->total += ret->state[st];
}

uint32_t sched_groups(const struct sched *s)
{
	return s->groups_n;
}

bool sched_group(const struct sched *s, uint32_t i, struct sched_group_view *ret)
{
	if (i >= s->groups_n)
		return false;
	const struct group *g = s->groups[i];
	*ret = (struct sched_group_view){ .domain = g->domain,
					  .stream = g->stream,
					  .hold = g->hold,
					  .next_hop = g->dest->key,
					  .oldest_ms = g->oldest_ms,
					  .next_ms = g->count[P_DEFERRED] > 0 ? g->next_ms : 0,
					  .last_class = g->last_class,
					  .last_reply = g->last_reply != NULL ? g->last_reply : "",
					  .last_ms = g->last_ms,
					  .trouble_since_ms = g->trouble_since_ms };
	group_counts(g, &ret->counts);
	if (ret->counts.state[SCHED_READY] + ret->counts.state[SCHED_DEFERRED] > 0)
		ret->waiting_ms = (int64_t)g->waiting_s * 1000;
	for (int k = 0; k < SCHED_AGES; k++)
		ret->ages[k] = g->ages[k];
	return ret->counts.total + ret->counts.state[SCHED_TRASH] > 0;
}

void sched_size(const struct sched *s, struct sched_size *ret)
{
	*ret = (struct sched_size){ .messages = s->messages,
				    .recipients = s->live - s->trash,
				    .trash = s->trash };
}

void sched_totals(const struct sched *s, struct sched_counts *ret, uint64_t *ret_messages,
		  int64_t *ret_oldest_ms)
{
	memset(ret, 0, sizeof(*ret));
	int64_t oldest = 0;
	for (uint32_t k = 0; k < s->groups_n; k++) {
		struct sched_counts c;
		group_counts(s->groups[k], &c);
		ret->total += c.total;
		for (int st = 0; st < SCHED_STATE__COUNT; st++)
			ret->state[st] += c.state[st];
		if (c.total > 0 && s->groups[k]->oldest_ms != 0 &&
		    (oldest == 0 || s->groups[k]->oldest_ms < oldest))
			oldest = s->groups[k]->oldest_ms;
	}
	*ret_messages = s->messages;
	*ret_oldest_ms = oldest;
}

bool sched_dest(const struct sched *s, const char *next_hop, struct sched_dest_view *ret)
{
	const struct dest *d = sched_dest_find(s, next_hop);
	if (d == NULL)
		return false;
	*ret = (struct sched_dest_view){ .next_hop = d->key,
					 .backoff_until_ms =
						 d->is_waiting ? d->backoff_until_ms : 0,
					 .slowed = d->is_waiting && d->slowed,
					 .since_ms = d->since_ms,
					 .reply = d->why != NULL ? d->why->reply : "",
					 .why = d->why,
					 .active = d->active };
	return true;
}

bool sched_backs_off(const struct sched *s)
{
	return !TAILQ_EMPTY(&s->waiting);
}

uint64_t sched_generation(const struct sched *s)
{
	return s->generation;
}
