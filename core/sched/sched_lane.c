/*
 * What streams change about when mail is tried: the order of priorities, and caps.
 *
 * The groups of a next hop stand in lanes, one a stream. Lanes are asked in the order of their
 * priorities, those of the same one in turn; so whatever session of the next hop is free takes the
 * most urgent message that there is.
 *
 * A stream's caps hold for a site: for all next hops with the same hosts together, as far as that
 * is known. What is given out is counted as a transaction (struct trans), from the moment when it
 * is picked; the records that are in it have its number while they are active, so that its end is
 * seen wherever it happens. A lane that finds no room stands in the cap's line (`blocked`); room
 * that comes free is offered to the first there, so that the lane that just ended a transaction
 * does not take it again and again. A lane that got room and has more stands in line at once: its
 * next hop is told when it may go on, whatever became of the session. An offer that is not taken
 * within OFFER_MS (its next hop cannot be reached, perhaps) goes to the next one.
 *
 * The rate is even: after each message passes its share of the minute, with a burst of a second's
 * worth at most.
 */
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/obj.h"
#include "sched/sched_int.h"

#define MINUTE_US (INT64_C(60) * 1000000)
#define BURST_US INT64_C(1000000)
#define LATE_US INT64_C(100000) /* a timer that came late is no reason to send less */
#define OFFER_MS 2000
#define SITE_AGAIN_MS 10000 /* which site it is, is asked again after so long */
#define TICK_MS 20	    /* waking up for caps: not more often */

static int cap_cmp(const struct cap *a, const struct cap *b)
{
	if (a->stream != b->stream)
		return a->stream < b->stream ? -1 : 1;
	return strcmp(a->site, b->site);
}

#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wnull-dereference" /* the trees' macros */
#pragma GCC diagnostic ignored "-Wunused-function"
RB_GENERATE_INTERNAL(cap_tree, cap, node, cap_cmp, static __attribute__((unused)))
#pragma GCC diagnostic pop

static const struct sched_stream plain = { .priority = SCHED_PRIORITY, .delay_ms = -1 };

static const struct sched_stream *conf_of(const struct sched *s, uint32_t stream)
{
	const struct sched_stream *otherwise = &plain;
	for (size_t i = 0; i < s->streams_n; i++) {
		if (s->streams[i].stream == stream)
			return &s->streams[i];
		if (s->streams[i].stream == 0)
			otherwise = &s->streams[i];
	}
	return otherwise;
}

static bool is_capped(const struct sched_stream *c)
{
	return c->rate > 0 || c->concurrency > 0;
}

/* --- caps ------------------------------------------------------------------------------------- */

static int64_t now_us(const struct sched *s)
{
	return loop_now_ms(s->loop) * 1000;
}

static int64_t interval_us(const struct cap *c)
{
	return MINUTE_US / c->conf->rate;
}

static int64_t burst_us(const struct cap *c)
{
	return interval_us(c) < BURST_US ? BURST_US - interval_us(c) : 0;
}

/* When the next message may go, by its rate. */
static int64_t due_us(const struct cap *c)
{
	return c->conf->rate > 0 ? c->tat_us - burst_us(c) : 0;
}

/* How many messages may go now, those that are offered to somebody included. */
static unsigned free_of(const struct sched *s, const struct cap *c)
{
	unsigned n = SCHED_ROOM_MAX;
	if (c->conf->concurrency > 0)
		n = c->active < c->conf->concurrency ? c->conf->concurrency - c->active : 0;
	if (c->conf->rate > 0 && n > 0) {
		int64_t over = now_us(s) - due_us(c);
		int64_t may = over < 0 ? 0 : over / interval_us(c) + 1;
		int64_t most = BURST_US / interval_us(c) + 1;
		may = may < most ? may : most;
		n = may < n ? (unsigned)may : n;
	}
	return n;
}

static unsigned room_of(const struct sched *s, const struct cap *c)
{
	unsigned n = free_of(s, c);
	return n > c->offers ? n - c->offers : 0;
}

static void cap_unref(struct sched *s, struct cap *c)
{
	if (--c->refs > 0)
		return;
	ASSERT(TAILQ_EMPTY(&c->blocked) && TAILQ_EMPTY(&c->offered));
	RB_REMOVE(cap_tree, &s->caps, c);
	free(c->site);
	free(c);
}

/* Takes the lane out of its cap's line, and its offer back. */
static void line_leave(struct sched *s, struct lane *l)
{
	struct cap *c = l->cap;
	if (l->stands == LANE_FREE)
		return;
	if (l->stands == LANE_BLOCKED) {
		TAILQ_REMOVE(&c->blocked, l, line);
	} else {
		TAILQ_REMOVE(&c->offered, l, line);
		c->offers--;
	}
	l->stands = LANE_FREE;
	if (TAILQ_EMPTY(&c->blocked) && TAILQ_EMPTY(&c->offered))
		TAILQ_REMOVE(&s->pressed, c, pressed);
}

static void line_join(struct sched *s, struct lane *l)
{
	struct cap *c = l->cap;
	if (l->stands == LANE_BLOCKED)
		return;
	line_leave(s, l);
	if (TAILQ_EMPTY(&c->blocked) && TAILQ_EMPTY(&c->offered))
		TAILQ_INSERT_TAIL(&s->pressed, c, pressed);
	TAILQ_INSERT_TAIL(&c->blocked, l, line);
	l->stands = LANE_BLOCKED;
	if (c->conf->rate > 0)
		sched_arm(s);
}

/* Offers what room there is to those that wait. */
static void cap_serve(struct sched *s, struct cap *c)
{
	struct lane *l;
	for (unsigned room = room_of(s, c); room > 0 && (l = TAILQ_FIRST(&c->blocked)) != NULL;) {
		if (l->ready == 0 || l->dest->is_waiting) {
			line_leave(s, l); /* it comes again by itself */
			continue;
		}
		TAILQ_REMOVE(&c->blocked, l, line);
		TAILQ_INSERT_TAIL(&c->offered, l, line);
		l->stands = LANE_OFFERED;
		l->offered_ms = loop_now_ms(s->loop);
		c->offers++;
		room--;
		sched_dest_dirty(s, l->dest);
	}
	if (c->conf->rate > 0 && !TAILQ_EMPTY(&c->blocked))
		sched_arm(s);
}

static void lane_uncap(struct sched *s, struct lane *l)
{
	if (l->cap == NULL)
		return;
	line_leave(s, l);
	cap_unref(s, l->cap);
	l->cap = NULL;
}

static struct cap *cap_get(struct sched *s, const char *site, uint32_t stream)
{
	AUTO_FREE char *copy = xstrdup(site);
	struct cap probe = { .site = copy, .stream = stream };
	struct cap *c = RB_FIND(cap_tree, &s->caps, &probe);
	if (c != NULL)
		return c;
	c = xcalloc(1, sizeof(*c));
	c->site = xstrdup(site);
	c->stream = stream;
	c->conf = conf_of(s, stream);
	TAILQ_INIT(&c->blocked);
	TAILQ_INIT(&c->offered);
	RB_INSERT(cap_tree, &s->caps, c);
	return c;
}

/* The cap that holds for a lane now; NULL without one. */
static struct cap *cap_of(struct sched *s, struct lane *l)
{
	int64_t now = loop_now_ms(s->loop);
	const char *site;
	struct cap *c;
	if (!is_capped(l->conf))
		return NULL;
	if (l->cap != NULL && l->cap_known && now - l->cap_ms < SITE_AGAIN_MS)
		return l->cap;
	site = s->ops->site != NULL ? s->ops->site(s->arg, l->dest->key) : NULL;
	l->cap_ms = now;
	l->cap_known = site != NULL;
	if (site == NULL && l->cap != NULL)
		return l->cap;
	c = cap_get(s, site != NULL ? site : l->dest->key, l->stream);
	if (c == l->cap)
		return c;
	c->refs++;
	lane_uncap(s, l);
	l->cap = c;
	return c;
}

/* --- transactions ----------------------------------------------------------------------------- */

static uint32_t trans_new(struct sched *s, struct cap *c)
{
	uint32_t i = s->trans_free;
	if (i != SCHED_NONE) {
		s->trans_free = s->trans[i].left;
	} else {
		if (s->trans_n == s->trans_cap) {
			s->trans_cap = s->trans_cap == 0 ? 64 : s->trans_cap * 2;
			s->trans = xreallocarray(s->trans, s->trans_cap, sizeof(*s->trans));
		}
		i = s->trans_n++;
	}
	c->refs++;
	c->active++;
	s->trans[i] = (struct trans){ .cap = c };
	return i;
}

void sched_trans_join(struct sched *s, uint32_t i, uint32_t trans)
{
	ASSERT(sched_rec(s, i)->place == P_ACTIVE);
	sched_rec(s, i)->a = trans;
	if (trans != SCHED_NONE)
		s->trans[trans].left++;
}

void sched_trans_leave(struct sched *s, uint32_t trans)
{
	struct trans *t = &s->trans[trans];
	struct cap *c = t->cap;
	if (--t->left > 0)
		return;
	t->cap = NULL;
	t->left = s->trans_free;
	s->trans_free = trans;
	c->active--;
	cap_serve(s, c);
	cap_unref(s, c);
}

void sched_trans_undo(struct sched *s, uint32_t trans)
{
	struct trans *t = &s->trans[trans];
	if (t->left == 1 && t->cap->conf->rate > 0)
		t->cap->tat_us -= interval_us(t->cap);
}

/* --- lanes ------------------------------------------------------------------------------------ */

/* Behind those that are as urgent. */
static void lane_place(struct lane *l)
{
	struct lane *at = TAILQ_LAST(&l->dest->lanes, lane_list);
	while (at != NULL && at->conf->priority < l->conf->priority)
		at = TAILQ_PREV(at, lane_list, of_dest);
	if (at != NULL)
		TAILQ_INSERT_AFTER(&l->dest->lanes, at, l, of_dest);
	else
		TAILQ_INSERT_HEAD(&l->dest->lanes, l, of_dest);
}

struct lane *sched_lane_get(struct sched *s, struct dest *d, uint32_t stream)
{
	struct lane *l;
	TAILQ_FOREACH (l, &d->lanes, of_dest)
		if (l->stream == stream)
			return l;
	l = xcalloc(1, sizeof(*l));
	l->dest = d;
	l->stream = stream;
	l->conf = conf_of(s, stream);
	TAILQ_INIT(&l->ring);
	lane_place(l);
	return l;
}

void sched_lanes_free(struct sched *s, struct dest *d)
{
	struct lane *l;
	while ((l = TAILQ_FIRST(&d->lanes)) != NULL) {
		TAILQ_REMOVE(&d->lanes, l, of_dest);
		lane_uncap(s, l);
		free(l);
	}
}

/* Whether the lane may give a message away now; the cap is not charged yet. */
static bool may_go(struct sched *s, struct lane *l)
{
	struct cap *c = cap_of(s, l);
	if (c == NULL)
		return true;
	cap_serve(s, c);
	if (l->stands == LANE_OFFERED ? free_of(s, c) > 0 : room_of(s, c) > 0)
		return true;
	line_join(s, l);
	return false;
}

static uint32_t lane_charge(struct sched *s, struct lane *l)
{
	struct cap *c = is_capped(l->conf) ? l->cap : NULL;
	int64_t from;
	if (c == NULL)
		return SCHED_NONE;
	line_leave(s, l);
	from = now_us(s) - LATE_US;
	if (c->conf->rate > 0)
		c->tat_us = (c->tat_us > from ? c->tat_us : from) + interval_us(c);
	return trans_new(s, c);
}

/* Lanes of one priority take turns, and so do the groups of one lane. */
static void rotate(struct lane *l, struct group *g)
{
	struct lane *next = TAILQ_NEXT(l, of_dest);
	if (TAILQ_NEXT(g, ring) != NULL) {
		TAILQ_REMOVE(&l->ring, g, ring);
		TAILQ_INSERT_TAIL(&l->ring, g, ring);
	}
	if (next == NULL || next->conf->priority != l->conf->priority)
		return;
	TAILQ_REMOVE(&l->dest->lanes, l, of_dest);
	lane_place(l);
}

uint32_t sched_pick(struct sched *s, struct dest *d, bool sends)
{
	struct lane *l;
	TAILQ_FOREACH (l, &d->lanes, of_dest)
		if (l->ready > 0 && (!sends || may_go(s, l)))
			break;
	if (l == NULL)
		return SCHED_NONE;
	struct group *g = TAILQ_FIRST(&l->ring);
	ASSERT(g != NULL);
	uint32_t i = g->head;
	uint32_t trans = sends ? lane_charge(s, l) : SCHED_NONE;
	ASSERT(i != SCHED_NONE);
	rotate(l, g);
	sched_detach(s, i);
	sched_place(s, i, P_ACTIVE);
	sched_trans_join(s, i, trans);
	d->active++;
	if (trans != SCHED_NONE && l->ready > 0) { /* in line for the next one */
		line_join(s, l);
		cap_serve(s, l->cap);
	}
	return i;
}

unsigned sched_runnable(struct sched *s, struct dest *d)
{
	struct lane *l;
	uint64_t n = 0;
	TAILQ_FOREACH (l, &d->lanes, of_dest) {
		if (l->ready == 0 || !may_go(s, l))
			continue;
		struct cap *c = is_capped(l->conf) ? l->cap : NULL;
		unsigned room = SCHED_ROOM_MAX;
		if (c != NULL)
			room = room_of(s, c) + (l->stands == LANE_OFFERED);
		n += l->ready < room ? l->ready : room;
	}
	return n < SCHED_ROOM_MAX ? (unsigned)n : SCHED_ROOM_MAX;
}

int sched_priority(const struct sched *s, const char *next_hop)
{
	const struct dest *d = sched_dest_find(s, next_hop);
	const struct lane *l;
	if (d == NULL || d->is_waiting)
		return 0;
	TAILQ_FOREACH (l, &d->lanes, of_dest)
		if (l->ready > 0 && l->stands != LANE_BLOCKED)
			return l->conf->priority;
	return 0;
}

/* --- time ------------------------------------------------------------------------------------- */

int64_t sched_caps_next_ms(const struct sched *s)
{
	const struct cap *c;
	int64_t at = INT64_MAX;
	TAILQ_FOREACH (c, &s->pressed, pressed) {
		if (TAILQ_EMPTY(&c->blocked))
			continue;
		bool full = c->conf->concurrency > 0 && c->active >= c->conf->concurrency;
		if (c->conf->rate > 0 && !full && due_us(c) < at)
			at = due_us(c);
	}
	if (at == INT64_MAX)
		return at;
	at = (at - now_us(s) + 999) / 1000;
	return at > TICK_MS ? at : TICK_MS;
}

void sched_caps_tick(struct sched *s)
{
	struct cap *c, *next;
	for (c = TAILQ_FIRST(&s->pressed); c != NULL; c = next) {
		next = TAILQ_NEXT(c, pressed);
		cap_serve(s, c);
	}
}

/* Takes offers back that nobody took, for those behind. */
void sched_caps_sweep(struct sched *s)
{
	struct cap *c, *next;
	struct lane *l;
	int64_t now = loop_now_ms(s->loop);
	for (c = TAILQ_FIRST(&s->pressed); c != NULL; c = next) {
		next = TAILQ_NEXT(c, pressed);
		while ((l = TAILQ_FIRST(&c->offered)) != NULL && now - l->offered_ms > OFFER_MS)
			line_join(s, l);
		cap_serve(s, c);
	}
}

/* --- what streams say ------------------------------------------------------------------------- */

static void lane_again(struct sched *s, struct lane *l)
{
	lane_uncap(s, l);
	l->conf = conf_of(s, l->stream);
	TAILQ_REMOVE(&l->dest->lanes, l, of_dest);
	lane_place(l);
}

void sched_streams(struct sched *s, const struct sched_stream *v, size_t n)
{
	struct sched_stream *old = s->streams;
	struct lane *l, *last;
	struct cap *c;
	struct dest *d;
	s->streams = xcalloc(n + 1, sizeof(*v));
	s->streams_n = n;
	if (n > 0)
		memcpy(s->streams, v, n * sizeof(*v));
	RB_FOREACH(c, cap_tree, &s->caps) /* of transactions under way */
	c->conf = conf_of(s, c->stream);
	for (d = sched_dest_next(s, NULL); d != NULL; d = sched_dest_next(s, d)) {
		struct lane_list lanes = TAILQ_HEAD_INITIALIZER(lanes);
		TAILQ_CONCAT(&lanes, &d->lanes, of_dest);
		while ((l = TAILQ_FIRST(&lanes)) != NULL) {
			TAILQ_REMOVE(&lanes, l, of_dest);
			TAILQ_INSERT_TAIL(&d->lanes, l, of_dest);
			last = l;
			lane_again(s, last);
		}
		sched_dest_dirty(s, d);
	}
	free(old);
	s->generation++;
	sched_arm(s);
}

const struct sched_stream *sched_conf(const struct sched *s, uint32_t i)
{
	return s->groups[sched_rec(s, i)->group]->lane->conf;
}

int64_t sched_delay_ms(const struct sched *s, uint32_t i)
{
	int64_t own = sched_conf(s, i)->delay_ms;
	return own >= 0 ? own : s->cfg.delay_ms;
}

bool sched_cap(const struct sched *s, const char *next_hop, uint32_t stream,
	       struct sched_cap_view *ret)
{
	const struct dest *d = sched_dest_find(s, next_hop);
	const struct lane *l = NULL;
	const struct cap *c;
	if (d != NULL)
		TAILQ_FOREACH (l, &d->lanes, of_dest)
			if (l->stream == stream)
				break;
	c = l != NULL && is_capped(l->conf) ? l->cap : NULL;
	if (c == NULL || (l->stands != LANE_BLOCKED && free_of(s, c) > 0))
		return false;
	*ret = (struct sched_cap_view){ .rate = c->conf->rate,
					.concurrency = c->conf->concurrency,
					.active = c->active };
	ret->full = c->conf->concurrency > 0 && c->active >= c->conf->concurrency;
	if (c->conf->rate > 0 && due_us(c) > now_us(s))
		ret->next_ms = loop_wall_ms(s->loop) + (due_us(c) - now_us(s)) / 1000;
	return true;
}

void sched_lanes_done(struct sched *s)
{
	struct cap *c;
	while ((c = RB_MIN(cap_tree, &s->caps)) != NULL) { /* of transactions under way */
		RB_REMOVE(cap_tree, &s->caps, c);
		free(c->site);
		free(c);
	}
	free(s->trans);
	free(s->streams);
}
