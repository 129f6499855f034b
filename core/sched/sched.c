/*
 * Records stand in chunks, so that growing never moves them; free places are chained. A hash finds
 * a rid's place, a heap the one that is due first (sched_index.c). Ready records are in a doubly
 * linked list of their group. Every change of a record is: detach, change, settle; the counters
 * live in detach and settle and nowhere else.
 */
#include "sched/sched_int.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/obj.h"

/* In a pass a look at a group takes as long as one at so many records. */
#define RECORDS_A_GROUP 8

static int group_cmp(const struct group *a, const struct group *b)
{
	if (a->domain != b->domain)
		return a->domain < b->domain ? -1 : 1;
	if (a->stream != b->stream)
		return a->stream < b->stream ? -1 : 1;
	return strcmp(a->dest->key, b->dest->key);
}

static int dest_cmp(const struct dest *a, const struct dest *b)
{
	return strcmp(a->key, b->key);
}

#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wnull-dereference" /* the trees' macros */
#pragma GCC diagnostic ignored "-Wunused-function"
RB_GENERATE_INTERNAL(group_tree, group, node, group_cmp, static __attribute__((unused)))
RB_GENERATE_INTERNAL(dest_tree, dest, node, dest_cmp, static __attribute__((unused)))
#pragma GCC diagnostic pop

/* --- next hops and groups --------------------------------------------------------------------- */

static enum dest_kind kind_of(const char *key)
{
	static const struct {
		const char *key;
		enum dest_kind kind;
	} special[] = { { "", DEST_UNDECIDED },
			{ "hold", DEST_HOLD },
			{ "reject", DEST_REJECT },
			{ "discard", DEST_DISCARD } };
	for (size_t i = 0; i < ARRAY_LEN(special); i++)
		if (strcmp(key, special[i].key) == 0)
			return special[i].kind;
	return DEST_REAL;
}

struct dest *sched_dest_find(const struct sched *s, const char *key)
{
	AUTO_FREE char *copy = xstrdup(key);
	struct dest probe = { .key = copy };
	struct dest_tree tree = s->dest_tree;
	return RB_FIND(dest_tree, &tree, &probe);
}

struct dest *sched_dest_get(struct sched *s, const char *key)
{
	struct dest *d = sched_dest_find(s, key);
	if (d != NULL)
		return d;
	d = xcalloc(1, sizeof(*d));
	d->key = xstrdup(key);
	d->kind = kind_of(key);
	TAILQ_INIT(&d->lanes);
	RB_INSERT(dest_tree, &s->dest_tree, d);
	return d;
}

struct dest *sched_dest_next(struct sched *s, struct dest *d)
{
	return d == NULL ? RB_MIN(dest_tree, &s->dest_tree) : RB_NEXT(dest_tree, &s->dest_tree, d);
}

void sched_dest_dirty(struct sched *s, struct dest *d)
{
	if (d->is_dirty || d->ready == 0 || d->kind == DEST_HOLD)
		return;
	d->is_dirty = true;
	TAILQ_INSERT_TAIL(&s->dirty, d, dirty);
	if (s->running && !loop_timer_pending(s->kick))
		loop_timer_set(s->kick, 0);
}

static void ring_leave(struct group *g)
{
	if (!g->in_ring)
		return;
	TAILQ_REMOVE(&g->lane->ring, g, ring);
	g->dest->ready -= g->count[P_READY];
	g->lane->ready -= g->count[P_READY];
	g->in_ring = false;
}

static void ring_enter(struct sched *s, struct group *g)
{
	if (g->in_ring || g->hold != 0 || g->count[P_READY] == 0)
		return;
	TAILQ_INSERT_TAIL(&g->lane->ring, g, ring);
	g->dest->ready += g->count[P_READY];
	g->lane->ready += g->count[P_READY];
	g->in_ring = true;
	sched_dest_dirty(s, g->dest);
}

struct group *sched_group_find(struct sched *s, uint32_t domain, uint32_t stream, struct dest *d)
{
	struct group probe = { .domain = domain, .stream = stream, .dest = d };
	return RB_FIND(group_tree, &s->group_tree, &probe);
}

struct group *sched_group_get(struct sched *s, uint32_t domain, uint32_t stream, const char *key)
{
	struct sched_verdict v = { .hold = 0 };
	if (key == NULL) {
		s->ops->judge_group(s->arg, domain, stream, &v);
		key = v.next_hop;
	}
	struct dest *d = sched_dest_get(s, key);
	struct group *g = sched_group_find(s, domain, stream, d);
	if (g != NULL)
		return g;
	if (key != v.next_hop)
		s->ops->judge_group(s->arg, domain, stream, &v);
	g = xcalloc(1, sizeof(*g));
	*g = (struct group){ .domain = domain,
			     .stream = stream,
			     .dest = d,
			     .lane = sched_lane_get(s, d, stream),
			     .hold = v.hold,
			     .asks = v.hold_asks,
			     .index = s->groups_n,
			     .head = SCHED_NONE,
			     .tail = SCHED_NONE };
	RB_INSERT(group_tree, &s->group_tree, g);
	if (s->groups_n == s->groups_cap) {
		s->groups_cap = s->groups_cap == 0 ? 64 : s->groups_cap * 2;
		s->groups = xreallocarray(s->groups, s->groups_cap, sizeof(struct group *));
	}
	s->groups[s->groups_n++] = g;
	return g;
}

/* --- records ---------------------------------------------------------------------------------- */

void sched_detach(struct sched *s, uint32_t i)
{
	struct rec *r = sched_rec(s, i);
	struct group *g = s->groups[r->group];
	if (r->place == P_READY) {
		if (r->b != SCHED_NONE)
			sched_rec(s, r->b)->a = r->a;
		else
			g->head = r->a;
		if (r->a != SCHED_NONE)
			sched_rec(s, r->a)->b = r->b;
		else
			g->tail = r->b;
		if (g->in_ring) {
			g->dest->ready--;
			g->lane->ready--;
		}
	} else if (r->place == P_DEFERRED) {
		sched_heap_drop(s, i);
	} else if (r->place == P_ACTIVE && r->a != SCHED_NONE) {
		sched_trans_leave(s, r->a);
	}
	g->count[r->place]--;
	s->trash -= r->place == P_TRASH;
	if (g->in_ring && g->count[P_READY] == 0)
		ring_leave(g);
	s->generation++;
}

void sched_note_waiting(const struct rec *r, uint32_t *oldest_s)
{
	uint32_t received_s = (uint32_t)(msgid_time_ms(rid_msgid((struct rid){ r->rid })) / 1000);
	if ((r->place == P_READY || r->place == P_DEFERRED) &&
	    (*oldest_s == 0 || received_s < *oldest_s))
		*oldest_s = received_s;
}

void sched_place(struct sched *s, uint32_t i, enum place p)
{
	struct rec *r = sched_rec(s, i);
	struct group *g = s->groups[r->group];
	r->place = (uint8_t)p;
	g->count[p]++;
	s->trash += p == P_TRASH;
	sched_note_waiting(r, &g->waiting_s);
	sched_note_waiting(r, &g->sweep_waiting_s); /* which may have passed it */
	if (p == P_READY) {
		r->a = SCHED_NONE;
		r->b = g->tail;
		if (g->tail != SCHED_NONE)
			sched_rec(s, g->tail)->a = i;
		else
			g->head = i;
		g->tail = i;
		if (g->in_ring) {
			g->dest->ready++;
			g->lane->ready++;
			sched_dest_dirty(s, g->dest);
		} else {
			ring_enter(s, g);
		}
	} else if (p == P_DEFERRED) {
		sched_heap_add(s, i);
		if (g->next_ms == 0 || r->next_ms < g->next_ms)
			g->next_ms = r->next_ms;
		if (r->a == 0)
			sched_arm(s);
	} else if (p == P_ACTIVE) {
		r->a = SCHED_NONE;
	}
	s->generation++;
}

void sched_settle(struct sched *s, uint32_t i)
{
	const struct rec *r = sched_rec(s, i);
	if (r->trash)
		sched_place(s, i, P_TRASH);
	else if (r->hold != 0)
		sched_place(s, i, P_HELD);
	else if (r->next_ms > loop_wall_ms(s->loop))
		sched_place(s, i, P_DEFERRED);
	else
		sched_place(s, i, P_READY);
}

/* Whether another recipient of the record's message is queued, and not in the trash. */
static bool has_sibling(const struct sched *s, struct rid rid)
{
	for (unsigned n = 1; n <= s->n_max; n++) {
		uint32_t i =
			n == rid_n(rid) ? SCHED_NONE : sched_lookup(s, rid_of(rid_msgid(rid), n));
		if (i != SCHED_NONE && !sched_rec(s, i)->trash)
			return true;
	}
	return false;
}

void sched_forget(struct sched *s, uint32_t i)
{
	struct rec *r = sched_rec(s, i);
	struct rid rid = { r->rid };
	sched_hash_drop(s, r->rid);
	struct group *g = s->groups[r->group];
	r->place = P_FREE;
	r->a = s->free_head;
	s->free_head = i;
	s->live--;
	if (!r->trash && !has_sibling(s, rid))
		s->messages--;
	uint64_t left = 0;
	for (int p = P_READY; p < P__COUNT; p++)
		left += g->count[p];
	if (left == 0) {
		g->oldest_ms = g->next_ms = 0;
		sched_trouble(s, &g->trouble_since_ms, 0);
		g->waiting_s = 0;
		memset(g->ages, 0, sizeof(g->ages));
	}
}

static uint32_t rec_new(struct sched *s, struct rid rid)
{
	if ((s->live + 1) * 2 > s->hash_size)
		sched_hash_grow(s);
	uint32_t i = s->free_head;
	if (i != SCHED_NONE) {
		s->free_head = sched_rec(s, i)->a;
	} else {
		i = s->places++;
		if (i >> SCHED_CHUNK_BITS == s->chunks_n) {
			s->chunks = xreallocarray(s->chunks, s->chunks_n + 1, sizeof(*s->chunks));
			s->chunks[s->chunks_n++] = xcalloc(SCHED_CHUNK, sizeof(struct rec));
		}
	}
	*sched_rec(s, i) = (struct rec){ .rid = rid.v, .a = SCHED_NONE, .place = P_ACTIVE };
	sched_hash_put(s, i);
	s->live++;
	if (rid_n(rid) > s->n_max)
		s->n_max = rid_n(rid);
	return i;
}

void sched_regroup(struct sched *s, uint32_t i, struct group *to)
{
	sched_rec(s, i)->group = to->index;
}

/* The group that the rules say; asked of them once until they change. */
static struct group *group_of(struct sched *s, uint32_t domain, uint32_t stream)
{
	struct group **memo = &s->memo[(domain * 31 + stream) % SCHED_MEMO];
	if (*memo == NULL || (*memo)->domain != domain || (*memo)->stream != stream)
		*memo = sched_group_get(s, domain, stream, NULL);
	return *memo;
}

static void forget_memo(struct sched *s)
{
	memset((void *)s->memo, 0, sizeof(s->memo));
}

static void add_one(struct sched *s, const struct queue_row *row)
{
	if (sched_lookup(s, row->rid) != SCHED_NONE)
		return;
	struct group *g = group_of(s, row->domain, row->stream);
	uint32_t i = rec_new(s, row->rid);
	struct rec *r = sched_rec(s, i);
	r->group = g->index;
	r->next_ms = row->next_ms;
	r->expires_ms = row->expires_ms;
	r->attempts = row->attempts;
	r->code = row->code;
	r->reply_class = row->reply_class;
	int64_t received = msgid_time_ms(rid_msgid(row->rid));
	/* tried before, by a process that is gone: it said so when it was time */
	int64_t delay = sched_delay_ms(s, i);
	r->late = row->attempts > 0 && delay > 0 && received + delay <= loop_wall_ms(s->loop);
	if (g->oldest_ms == 0 || received < g->oldest_ms)
		g->oldest_ms = received;
	if (row->attempts > 0)
		sched_recall_note(s, g, row);
	sched_settle(s, i);
}

void sched_load(struct sched *s, const struct queue_row *row)
{
	struct msgid id = rid_msgid(row->rid);
	if (!msgid_eq(id, s->load_last))
		s->messages++;
	s->load_last = id;
	add_one(s, row);
}

void sched_add(struct sched *s, const struct message *m)
{
	s->messages++;
	for (unsigned k = 0; k < m->rcpts_n; k++) {
		const struct message_rcpt *rc = &m->rcpts[k];
		struct queue_row row = { .rid = rid_of(m->id, rc->n),
					 .domain = rc->domain,
					 .stream = m->stream,
					 .expires_ms = m->expires_ms };
		add_one(s, &row);
		uint32_t i = sched_lookup(s, row.rid);
		const struct group *g = s->groups[sched_rec(s, i)->group];
		if (!g->asks || g->hold != 0)
			continue;
		struct sched_view v;
		struct sched_verdict verdict = { .hold = 0 };
		sched_fill_view(s, i, &v);
		s->ops->judge_rcpt(s->arg, m, rc, &v, &verdict);
		if (verdict.hold != 0)
			(void)sched_hold(s, row.rid, verdict.hold);
	}
}

/* --- rules and actions ------------------------------------------------------------------------ */

static void group_judge(struct sched *s, struct group *g, struct sched_verdict *v)
{
	memset(v, 0, sizeof(*v));
	s->ops->judge_group(s->arg, g->domain, g->stream, v);
	g->asks = v->hold_asks;
	if (g->hold == v->hold)
		return;
	g->hold = v->hold;
	if (g->hold != 0)
		ring_leave(g);
	else
		ring_enter(s, g);
}

/* Those in delivery are counted at the next hop that they will come back to. */
static void move_active(struct dest *from, struct dest *to, uint32_t n)
{
	from->active -= n < from->active ? n : from->active;
	to->active += n;
}

/* Gives g its new next hop, or notes the group that has it already and takes g's records. */
static void group_redirect(struct sched *s, struct group *g, const char *key)
{
	struct dest *d = sched_dest_get(s, key);
	g->to = NULL;
	if (d == g->dest)
		return;
	g->to = sched_group_find(s, g->domain, g->stream, d);
	if (g->to != NULL)
		return;
	ring_leave(g);
	RB_REMOVE(group_tree, &s->group_tree, g);
	move_active(g->dest, d, g->count[P_ACTIVE]);
	g->dest = d;
	g->lane = sched_lane_get(s, d, g->stream);
	RB_INSERT(group_tree, &s->group_tree, g);
	ring_enter(s, g);
}

static void move_record(struct sched *s, uint32_t i)
{
	const struct rec *r = sched_rec(s, i);
	enum place p = (enum place)r->place;
	struct group *from = s->groups[r->group];
	if (p == P_FREE || from->to == NULL)
		return;
	uint32_t trans = p == P_ACTIVE ? r->a : SCHED_NONE;
	if (trans != SCHED_NONE) /* it stays in its transaction */
		sched_rec(s, i)->a = SCHED_NONE;
	sched_detach(s, i);
	sched_regroup(s, i, from->to);
	if (p == P_ACTIVE)
		move_active(from->dest, from->to->dest, 1);
	if (p == P_ACTIVE || p == P_FAILING)
		sched_place(s, i, p);
	else
		sched_settle(s, i);
	if (trans != SCHED_NONE)
		sched_rec(s, i)->a = trans;
}

bool sched_rejudge_some(struct sched *s, bool routes, struct sched_pass *at, uint32_t n)
{
	forget_memo(s);
	s->generation++;
	for (; n > 0 && at->group < s->groups_n; n--, at->group++) {
		struct group *g = s->groups[at->group];
		struct sched_verdict v;
		group_judge(s, g, &v);
		if (routes)
			group_redirect(s, g, v.next_hop);
		at->moves = at->moves || (routes && g->to != NULL);
	}
	if (!at->moves)
		return at->group < s->groups_n;
	for (n *= RECORDS_A_GROUP; n > 0 && at->place < s->places; n--, at->place++)
		move_record(s, at->place);
	return at->place < s->places;
}

void sched_rejudge(struct sched *s, bool routes)
{
	struct sched_pass all = { .group = 0 };
	while (sched_rejudge_some(s, routes, &all, s->groups_n + 1))
		;
}

void sched_rejudge_domain(struct sched *s, uint32_t domain)
{
	forget_memo(s);
	struct group probe = { .domain = domain, .dest = sched_dest_get(s, "") };
	for (struct group *g = RB_NFIND(group_tree, &s->group_tree, &probe);
	     g != NULL && g->domain == domain; g = RB_NEXT(group_tree, &s->group_tree, g)) {
		struct sched_verdict v;
		group_judge(s, g, &v);
	}
	s->generation++;
}

/* The place of a record that nobody has in hand, or SCHED_NONE. */
static uint32_t lookup_idle(const struct sched *s, struct rid rid)
{
	uint32_t i = sched_lookup(s, rid);
	if (i == SCHED_NONE)
		return i;
	const struct rec *r = sched_rec(s, i);
	return r->place == P_ACTIVE || r->place == P_FAILING ? SCHED_NONE : i;
}

bool sched_hold(struct sched *s, struct rid rid, uint32_t hold)
{
	uint32_t i = lookup_idle(s, rid);
	if (i == SCHED_NONE || sched_rec(s, i)->hold != 0)
		return false;
	sched_detach(s, i);
	sched_rec(s, i)->hold = hold;
	sched_settle(s, i);
	return true;
}

static size_t unhold(struct sched *s, uint32_t hold, uint32_t from, uint32_t to)
{
	size_t n = 0;
	for (uint32_t i = from; i < to; i++) {
		struct rec *r = sched_rec(s, i);
		if (r->place == P_FREE || r->hold != hold)
			continue;
		n++;
		if (r->place == P_ACTIVE || r->place == P_FAILING) {
			r->hold = 0;
			continue;
		}
		sched_detach(s, i);
		r->hold = 0;
		sched_settle(s, i);
	}
	return n;
}

size_t sched_unhold(struct sched *s, uint32_t hold)
{
	return unhold(s, hold, 0, s->places);
}

bool sched_unhold_some(struct sched *s, uint32_t hold, uint32_t *place, uint32_t n)
{
	uint32_t to = s->places - *place < n ? s->places : *place + n;
	(void)unhold(s, hold, *place, to);
	*place = to;
	return to < s->places;
}

bool sched_trash(struct sched *s, struct rid rid, bool in)
{
	uint32_t i = lookup_idle(s, rid);
	if (i == SCHED_NONE || sched_rec(s, i)->trash == in)
		return false;
	sched_detach(s, i);
	sched_rec(s, i)->trash = in;
	if (!has_sibling(s, rid))
		s->messages = in ? s->messages - 1 : s->messages + 1;
	sched_settle(s, i);
	return true;
}

bool sched_remove(struct sched *s, struct rid rid)
{
	uint32_t i = lookup_idle(s, rid);
	if (i == SCHED_NONE)
		return false;
	sched_detach(s, i);
	sched_forget(s, i);
	return true;
}

bool sched_set_next(struct sched *s, struct rid rid, int64_t next_ms)
{
	uint32_t i = lookup_idle(s, rid);
	if (i == SCHED_NONE)
		return false;
	sched_detach(s, i);
	sched_rec(s, i)->next_ms = next_ms;
	sched_settle(s, i);
	return true;
}

bool sched_retry(struct sched *s, struct rid rid, int64_t *ret_was)
{
	uint32_t i = lookup_idle(s, rid);
	if (i == SCHED_NONE || sched_rec(s, i)->trash ||
	    sched_rec(s, i)->next_ms <= loop_wall_ms(s->loop))
		return false;
	*ret_was = sched_rec(s, i)->next_ms;
	return sched_set_next(s, rid, 0);
}

/* --- life ------------------------------------------------------------------------------------- */

struct sched *sched_new(struct loop *l, struct queue *q, const struct sched_config *cfg,
			const struct sched_ops *ops, void *arg)
{
	struct sched *s = xcalloc(1, sizeof(*s));
	s->loop = l;
	s->queue = q;
	s->cfg = *cfg;
	s->ops = ops;
	s->arg = arg;
	s->free_head = SCHED_NONE;
	RB_INIT(&s->group_tree);
	RB_INIT(&s->dest_tree);
	TAILQ_INIT(&s->dirty);
	TAILQ_INIT(&s->waiting);
	RB_INIT(&s->caps);
	TAILQ_INIT(&s->pressed);
	s->trans_free = SCHED_NONE;
	LIST_INIT(&s->fetches);
	LIST_INIT(&s->tickets);
	sched_run_init(s);
	return s;
}

void sched_free(struct sched **sp)
{
	if (sp == NULL || *sp == NULL)
		return;
	struct sched *s = *sp;
	*sp = NULL;
	sched_run_done(s);
	for (uint32_t k = 0; k < s->groups_n; k++) {
		free(s->groups[k]->last_reply);
		free(s->groups[k]);
	}
	struct dest *d, *next;
	for (d = RB_MIN(dest_tree, &s->dest_tree); d != NULL; d = next) {
		next = RB_NEXT(dest_tree, &s->dest_tree, d);
		RB_REMOVE(dest_tree, &s->dest_tree, d);
		sched_lanes_free(s, d);
		free(d->why);
		free(d->key);
		free(d);
	}
	sched_lanes_done(s);
	for (uint32_t k = 0; k < s->chunks_n; k++)
		free(s->chunks[k]);
	free(s->chunks);
	free(s->groups);
	free(s->hash);
	free(s->heap);
	free(s);
}
