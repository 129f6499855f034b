/*
 * What moves records: sessions that want a message, results, back-off, due times, the sweep.
 *
 * A record that is given out is ACTIVE from the moment it is picked, while its message is read as
 * well; whatever happens then ends in sched_done(), sched_give_back() or in one of the functions
 * here, each of which settles it. Nothing else touches an ACTIVE record.
 *
 * Next hops without a network behind them (undecided, reject, discard) and next hops that failed
 * for good are worked off here, a few messages at a time, because each needs its message read.
 */
#include "sched/sched_int.h"

#include <bsd/stdlib.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/mem.h"
#include "base/obj.h"

#define SWEEP_MS 1000
#define REREAD_MS (INT64_C(60) * 1000)
#define DAMAGED_MS (INT64_C(3600) * 1000)

static const int64_t age_limits_min[SCHED_AGES - 1] = { 5, 10, 20, 40, 80, 160, 320, 640, 1280 };

/* base, a fifth more or less, so that what failed together does not come back together */
static int64_t jitter(int64_t base)
{
	uint32_t span = base > INT64_C(0x7fffffff) ? 0x7fffffffu : (uint32_t)base;
	return base - base / 5 + arc4random_uniform(span * 2 / 5 + 1);
}

static int64_t doubled(int64_t first, unsigned times, int64_t max)
{
	int64_t v = first;
	for (unsigned k = 0; k < times && v < max; k++)
		v *= 2;
	return v < max ? v : max;
}

static int64_t retry_ms(const struct sched *s, const struct sched_stream *c, unsigned attempts)
{
	unsigned before = attempts > 0 ? attempts - 1 : 0;
	if (c->retry_n == 0)
		return jitter(doubled(s->cfg.retry_first_ms, before, s->cfg.retry_max_ms));
	if (c->retry_doubles_to_ms > 0)
		return jitter(doubled(c->retry_ms[0], before, c->retry_doubles_to_ms));
	return jitter(c->retry_ms[before < c->retry_n ? before : c->retry_n - 1]);
}

static int64_t longest_retry_ms(const struct sched *s, const struct sched_stream *c)
{
	int64_t most = c->retry_doubles_to_ms;
	if (c->retry_n == 0)
		return s->cfg.retry_max_ms;
	for (unsigned k = 0; k < c->retry_n; k++)
		most = c->retry_ms[k] > most ? c->retry_ms[k] : most;
	return most;
}

/* --- picking ---------------------------------------------------------------------------------- */

/* A record comes back from whoever had it. */
static void put_back(struct sched *s, uint32_t i)
{
	struct dest *d = s->groups[sched_rec(s, i)->group]->dest;
	if (d->active > 0)
		d->active--;
	sched_detach(s, i);
	sched_settle(s, i);
}

/* The same, and it does not count for its stream's rate. */
static void put_back_unsent(struct sched *s, uint32_t i)
{
	uint32_t trans = sched_rec(s, i)->a;
	if (trans != SCHED_NONE)
		sched_trans_undo(s, trans);
	put_back(s, i);
}

/* True when a rule that asks for more than the group covers this recipient; it is marked then. */
static bool now_held(struct sched *s, uint32_t i, const struct message *m,
		     const struct message_rcpt *r)
{
	struct rec *rec = sched_rec(s, i);
	const struct group *g = s->groups[rec->group];
	if (g->hold != 0)
		return true;
	if (!g->asks)
		return false;
	struct sched_view v;
	struct sched_verdict verdict = { .hold = 0 };
	sched_fill_view(s, i, &v);
	s->ops->judge_rcpt(s->arg, m, r, &v, &verdict);
	rec->hold = verdict.hold;
	return verdict.hold != 0;
}

static const struct message_rcpt *rcpt_of(const struct message *m, unsigned n)
{
	for (unsigned k = 0; k < m->rcpts_n; k++)
		if (m->rcpts[k].n == n)
			return &m->rcpts[k];
	return NULL;
}

/* A hold may have come while it was in delivery. */
static void mark_held(struct sched *s, uint32_t i, const struct message *m)
{
	const struct message_rcpt *r = NULL;
	if (m != NULL)
		r = rcpt_of(m, rid_n((struct rid){ sched_rec(s, i)->rid }));
	if (r != NULL)
		(void)now_held(s, i, m, r);
}

/* --- results ---------------------------------------------------------------------------------- */

static void note_trouble(struct sched *s, struct group *g, const struct attempt *a)
{
	g->last_class = a->reply_class;
	g->last_ms = a->at_ms;
	if (g->trouble_since_ms == 0)
		sched_trouble(s, &g->trouble_since_ms, a->at_ms);
	if (g->last_reply == NULL || strcmp(g->last_reply, a->reply) != 0) {
		free(g->last_reply);
		g->last_reply = xstrdup(a->reply);
	}
}

static int64_t end_of_life(struct sched *s, uint32_t i)
{
	struct sched_view v;
	sched_fill_view(s, i, &v);
	if (v.expires_ms == 0)
		return INT64_MAX;
	return v.expires_ms + s->ops->extra_life(s->arg, &v);
}

static void deferred(struct sched *s, uint32_t i, struct attempt *a, bool own,
		     struct queue_result *ret)
{
	struct rec *r = sched_rec(s, i);
	struct group *g = s->groups[r->group];
	if (r->attempts < UINT16_MAX)
		r->attempts++;
	r->code = (uint16_t)a->code;
	r->reply_class = a->reply_class;
	if (!own)
		note_trouble(s, g, a);
	*ret = (struct queue_result){ .rid = { r->rid }, .attempts = r->attempts };
	int64_t now = loop_wall_ms(s->loop);
	int64_t longest = longest_retry_ms(s, g->lane->conf);
	int64_t end = r->expires_ms != 0 && r->expires_ms <= now + longest * 2 ? end_of_life(s, i)
									       : INT64_MAX;
	if (end <= now) {
		a->outcome = OUTCOME_EXPIRED;
	} else {
		r->next_ms = now + retry_ms(s, g->lane->conf, r->attempts);
		if (g->dest->is_waiting && r->next_ms < g->dest->backoff_until_ms)
			r->next_ms = g->dest->backoff_until_ms;
		if (r->next_ms > end) /* a last try at the end */
			r->next_ms = end;
	}
	ret->attempt = *a;
	ret->next_ms = r->next_ms;
}

/* Recipients that ended without success: the report is stored first, then the end. */
static void fail(struct sched *s, const struct message *m, const struct queue_result *v, unsigned n,
		 bool own)
{
	struct ticket *t = xcalloc(1, sizeof(*t));
	t->id = ++s->ticket_last;
	t->n = n;
	t->results = xreallocarray(NULL, n, sizeof(*v));
	memcpy(t->results, v, n * sizeof(*v));
	LIST_INSERT_HEAD(&s->tickets, t, link);
	for (unsigned k = 0; k < n; k++) {
		uint32_t i = sched_lookup(s, v[k].rid);
		ASSERT(i != SCHED_NONE);
		struct group *g = s->groups[sched_rec(s, i)->group];
		if (!own)
			note_trouble(s, g, &v[k].attempt);
		if (g->dest->active > 0)
			g->dest->active--;
		sched_detach(s, i);
		sched_place(s, i, P_FAILING);
	}
	s->ops->failed(s->arg, m, t->results, n, t->id);
}

void sched_failed_recorded(struct sched *s, uint64_t id)
{
	struct ticket *t;
	LIST_FOREACH (t, &s->tickets, link)
		if (t->id == id)
			break;
	if (t == NULL)
		return;
	LIST_REMOVE(t, link);
	for (unsigned k = 0; k < t->n; k++) {
		queue_record(s->queue, &t->results[k]);
		uint32_t i = sched_lookup(s, t->results[k].rid);
		if (i == SCHED_NONE)
			continue;
		sched_detach(s, i);
		sched_forget(s, i);
	}
	free(t->results);
	free(t);
}

static void delivered(struct sched *s, uint32_t i, const struct attempt *a, bool own)
{
	struct rec *r = sched_rec(s, i);
	struct group *g = s->groups[r->group];
	struct dest *d = g->dest;
	/* A success now and then between failures is no end of the trouble. */
	if (!own && a->at_ms - g->last_ms >= SCHED_CALM_MS)
		sched_trouble(s, &g->trouble_since_ms, 0);
	if (!own) {
		d->fails = 0;
		sched_trouble(s, &d->since_ms, 0);
	}
	if (d->active > 0)
		d->active--;
	struct queue_result qr = { .rid = { r->rid },
				   .attempt = *a,
				   .attempts = (uint16_t)(r->attempts + 1) };
	queue_record(s->queue, &qr);
	sched_detach(s, i);
	sched_forget(s, i);
}

/* It is late, and that was not said yet. */
static bool is_late(struct sched *s, uint32_t i)
{
	struct rec *r = sched_rec(s, i);
	int64_t since = msgid_time_ms(rid_msgid((struct rid){ r->rid }));
	int64_t delay = sched_delay_ms(s, i);
	if (delay <= 0 || r->late || since + delay > loop_wall_ms(s->loop))
		return false;
	r->late = true;
	return true;
}

/* own: this relay's decision, which says nothing about the next hop. */
static void done(struct sched *s, const struct message *m, const struct sched_result *v, unsigned n,
		 bool own)
{
	AUTO_FREE struct queue_result *ended = xcalloc(n + 1, sizeof(*ended));
	AUTO_FREE struct queue_result *late = NULL;
	unsigned ended_n = 0;
	unsigned late_n = 0;
	for (unsigned k = 0; k < n; k++) {
		uint32_t i = sched_lookup(s, v[k].rid);
		if (i == SCHED_NONE || sched_rec(s, i)->place != P_ACTIVE)
			continue;
		struct attempt a = v[k].attempt;
		s->ops->classify(s->arg, &a);
		if (a.outcome == OUTCOME_DELIVERED || a.outcome == OUTCOME_DELETED) {
			delivered(s, i, &a, own);
			continue;
		}
		struct queue_result *qr = &ended[ended_n];
		if (a.outcome == OUTCOME_DEFERRED) {
			deferred(s, i, &a, own, qr);
			if (a.outcome == OUTCOME_DEFERRED) {
				queue_record(s->queue, qr);
				if (s->ops->delayed != NULL && is_late(s, i)) {
					late = late != NULL ? late : xcalloc(n, sizeof(*late));
					late[late_n++] = *qr;
				}
				mark_held(s, i, m);
				put_back(s, i);
				continue;
			}
		} else {
			*qr = (struct queue_result){
				.rid = v[k].rid,
				.attempt = a,
				.attempts = (uint16_t)(sched_rec(s, i)->attempts + 1),
			};
		}
		ended_n++;
	}
	if (ended_n > 0)
		fail(s, m, ended, ended_n, own);
	if (late_n > 0)
		s->ops->delayed(s->arg, m, late, late_n);
}

void sched_done(struct sched *s, const struct message *m, const struct sched_result *v, unsigned n)
{
	done(s, m, v, n, false);
}

void sched_give_back(struct sched *s, const struct rid *rids, unsigned n)
{
	for (unsigned k = 0; k < n; k++) {
		uint32_t i = sched_lookup(s, rids[k]);
		if (i != SCHED_NONE && sched_rec(s, i)->place == P_ACTIVE)
			put_back_unsent(s, i);
	}
}

/* --- messages for sessions -------------------------------------------------------------------- */

/* A message that cannot be read: its recipient waits, or is dropped when there is none. */
static void unreadable(struct sched *s, uint32_t i, const struct err *err)
{
	struct rec *r = sched_rec(s, i);
	char id[RID_TEXT_LEN];
	rid_text((struct rid){ r->rid }, id);
	log_error(id, "sched.unreadable", F_STR("error", err->msg));
	if (err->code == ERR_UNKNOWN) {
		struct dest *d = s->groups[r->group]->dest;
		if (d->active > 0)
			d->active--;
		sched_detach(s, i);
		sched_forget(s, i);
		return;
	}
	struct sched_result v = { .rid = { r->rid },
				  .attempt = { .at_ms = loop_wall_ms(s->loop),
					       .outcome = OUTCOME_DEFERRED,
					       .enhanced = "4.3.0" } };
	(void)snprintf(v.attempt.reply, sizeof(v.attempt.reply),
		       "this relay could not read the message: %.400s", err->msg);
	struct rid rid = v.rid;
	done(s, NULL, &v, 1, true);
	(void)sched_set_next(s, rid,
			     loop_wall_ms(s->loop) +
				     (err->code == ERR_CORRUPT ? DAMAGED_MS : REREAD_MS));
}

static void end_as(struct sched *s, uint32_t i, const struct message *m, const struct attempt *how,
		   bool own)
{
	struct sched_result v = { .rid = { sched_rec(s, i)->rid }, .attempt = *how };
	v.attempt.at_ms = loop_wall_ms(s->loop);
	done(s, m, &v, 1, own);
}

/* Whether the recipient is not to be tried any more; then it has ended. */
static bool ends(struct sched *s, uint32_t i, const struct message *m, const struct message_rcpt *r)
{
	struct attempt how = { .code = 0 };
	if (s->ops->ends == NULL || !s->ops->ends(s->arg, m, r, &how))
		return false;
	end_as(s, i, m, &how, true);
	return true;
}

static bool is_alone(const struct sched *s, const struct message *m, const struct message_rcpt *r)
{
	return s->ops->alone != NULL && s->ops->alone(s->arg, m, r);
}

/* Gives the message with all its recipients that are ready for d; false: they turned out to be
 * held, and nothing was given. */
static bool hand_over(struct sched *s, uint64_t token, struct dest *d, struct rid first,
		      const struct message *m)
{
	unsigned ns[SCHED_DELIVERY_MAX];
	unsigned n = 0;
	uint32_t i = sched_lookup(s, first);
	ASSERT(i != SCHED_NONE);
	const struct message_rcpt *r = rcpt_of(m, rid_n(first));
	uint32_t trans = sched_rec(s, i)->a;
	if (r == NULL || now_held(s, i, m, r))
		put_back_unsent(s, i);
	else if (!ends(s, i, m, r))
		ns[n++] = r->n;
	bool more = n > 0 && !is_alone(s, m, r);
	for (unsigned k = 0; more && k < m->rcpts_n && n < SCHED_DELIVERY_MAX; k++) {
		uint32_t j = sched_lookup(s, rid_of(m->id, m->rcpts[k].n));
		if (j == SCHED_NONE || sched_rec(s, j)->place != P_READY ||
		    is_alone(s, m, &m->rcpts[k]))
			continue;
		const struct group *g = s->groups[sched_rec(s, j)->group];
		if (g->dest != d || !g->in_ring)
			continue;
		sched_detach(s, j);
		sched_place(s, j, P_ACTIVE);
		sched_trans_join(s, j, trans);
		d->active++;
		if (now_held(s, j, m, &m->rcpts[k]))
			put_back(s, j);
		else if (!ends(s, j, m, &m->rcpts[k]))
			ns[n++] = m->rcpts[k].n;
	}
	if (n > 0)
		s->ops->give(s->arg, token, m, ns, n);
	else
		message_unref(&m);
	return n > 0;
}

static void on_message(void *arg, const struct message *m, const struct err *err)
{
	struct fetch *f = arg;
	struct sched *s = f->s;
	struct fetch copy = *f;
	LIST_REMOVE(f, link);
	free(f);
	uint32_t i = sched_lookup(s, copy.rid);
	if (err != NULL) {
		if (m != NULL)
			message_unref(&m);
		if (i != SCHED_NONE)
			unreadable(s, i, err);
		if (copy.token != 0)
			sched_want(s, copy.dest->key, copy.token);
		return;
	}
	if (copy.token == 0 || i == SCHED_NONE || !s->running) {
		if (i != SCHED_NONE)
			put_back(s, i);
		message_unref(&m);
		return;
	}
	if (!hand_over(s, copy.token, copy.dest, copy.rid, m))
		sched_want(s, copy.dest->key, copy.token);
}

void sched_want(struct sched *s, const char *next_hop, uint64_t token)
{
	struct dest *d = sched_dest_find(s, next_hop);
	for (unsigned tries = 0;; tries++) {
		uint32_t i = SCHED_NONE;
		if (s->running && d != NULL && d->kind == DEST_REAL && !d->is_waiting &&
		    !d->failing)
			i = sched_pick(s, d, true);
		if (i == SCHED_NONE) {
			s->ops->give(s->arg, token, NULL, NULL, 0);
			return;
		}
		struct rid rid = { sched_rec(s, i)->rid };
		const struct message *m = queue_message_cached(s->queue, rid_msgid(rid));
		if (m != NULL && m->content.p != NULL && tries < SCHED_TRIES_MAX) {
			if (hand_over(s, token, d, rid, m))
				return;
			continue;
		}
		message_unref(&m);
		struct fetch *f = xcalloc(1, sizeof(*f));
		*f = (struct fetch){ .s = s, .token = token, .rid = rid, .dest = d };
		LIST_INSERT_HEAD(&s->fetches, f, link);
		queue_message_read(s->queue, rid_msgid(rid), true, on_message, f);
		return;
	}
}

void sched_unwant(struct sched *s, uint64_t token)
{
	struct fetch *f;
	LIST_FOREACH (f, &s->fetches, link)
		if (f->token == token)
			f->token = 0; /* the record goes back when the message arrives */
}

/* --- the scheduler's own work ----------------------------------------------------------------- */

static void work(struct sched *s, struct dest *d);

static void end_one(struct sched *s, uint32_t i, const struct message *m, enum outcome o, int code,
		    const char *enhanced, const char *text)
{
	struct attempt how = { .outcome = o, .code = code };
	(void)snprintf(how.enhanced, sizeof(how.enhanced), "%s", enhanced);
	(void)snprintf(how.reply, sizeof(how.reply), "%s", text);
	end_as(s, i, m, &how, true);
}

static void work_one(struct sched *s, const struct fetch *f, uint32_t i, const struct message *m)
{
	const struct message_rcpt *r = rcpt_of(m, rid_n(f->rid));
	struct dest *d = f->dest;
	if (f->expire) {
		end_one(s, i, m, OUTCOME_EXPIRED, 0, "4.4.7", "the message's lifetime is over");
	} else if (r == NULL || now_held(s, i, m, r)) {
		put_back(s, i);
	} else if (ends(s, i, m, r)) {
		return;
	} else if (d->kind == DEST_REJECT) {
		end_one(s, i, m, OUTCOME_FAILED, 550, "5.7.1",
			"a route of this relay rejects mail for this recipient");
	} else if (d->kind == DEST_DISCARD) {
		end_one(s, i, m, OUTCOME_DELETED, 0, "2.0.0", "discarded by a route");
	} else if (d->kind == DEST_UNDECIDED) {
		struct sched_view v;
		struct sched_verdict verdict = { .hold = 0 };
		sched_fill_view(s, i, &v);
		s->ops->judge_rcpt(s->arg, m, r, &v, &verdict);
		if (verdict.next_hop[0] == '\0')
			(void)snprintf(verdict.next_hop, sizeof(verdict.next_hop), "hold");
		struct rec *rec = sched_rec(s, i);
		const struct group *g = s->groups[rec->group];
		struct group *to = sched_group_get(s, g->domain, g->stream, verdict.next_hop);
		if (d->active > 0)
			d->active--;
		sched_detach(s, i);
		sched_regroup(s, i, to);
		sched_settle(s, i);
	} else if (d->why != NULL) {
		end_as(s, i, m, d->why, false);
	} else {
		put_back(s, i);
	}
}

static void on_work(void *arg, const struct message *m, const struct err *err)
{
	struct fetch *f = arg;
	struct sched *s = f->s;
	struct fetch copy = *f;
	LIST_REMOVE(f, link);
	free(f);
	s->work--;
	uint32_t i = sched_lookup(s, copy.rid);
	if (i != SCHED_NONE && err != NULL && m == NULL)
		unreadable(s, i, err);
	else if (i != SCHED_NONE && s->running)
		work_one(s, &copy, i, m);
	else if (i != SCHED_NONE)
		put_back(s, i);
	if (m != NULL)
		message_unref(&m);
	if (!copy.expire)
		work(s, copy.dest);
	if (s->work == 0 && s->running)
		loop_timer_set(s->kick, 0);
}

static void fetch_work(struct sched *s, uint32_t i, struct dest *d, bool expire)
{
	struct fetch *f = xcalloc(1, sizeof(*f));
	*f = (struct fetch){ .s = s, .rid = { sched_rec(s, i)->rid }, .dest = d, .expire = expire };
	LIST_INSERT_HEAD(&s->fetches, f, link);
	s->work++;
	queue_message_read(s->queue, rid_msgid(f->rid), true, on_work, f);
}

/* Works off a next hop without a network behind it, as far as the limit allows. */
static void work(struct sched *s, struct dest *d)
{
	while (s->running && s->work < SCHED_WORK_MAX) {
		uint32_t i = sched_pick(s, d, false);
		if (i == SCHED_NONE) {
			d->failing = false;
			return;
		}
		fetch_work(s, i, d, false);
	}
	if (d->ready > 0)
		sched_dest_dirty(s, d);
}

/* What its stream's caps keep back comes again when they have room. */
static void kick(struct sched *s, struct dest *d)
{
	unsigned n = sched_runnable(s, d);
	if (n > 0)
		s->ops->kick(s->arg, d->key, n);
}

static void on_kick(void *arg)
{
	struct sched *s = arg;
	struct dest_list now = TAILQ_HEAD_INITIALIZER(now);
	TAILQ_CONCAT(&now, &s->dirty, dirty);
	struct dest *d;
	while ((d = TAILQ_FIRST(&now)) != NULL) {
		TAILQ_REMOVE(&now, d, dirty);
		d->is_dirty = false;
		if (d->ready == 0 || d->is_waiting)
			continue;
		if (d->kind == DEST_REAL && !d->failing)
			kick(s, d);
		else if (s->work < SCHED_WORK_MAX)
			work(s, d);
		else
			sched_dest_dirty(s, d);
	}
	while (s->expire_n > 0 && s->work < SCHED_WORK_MAX) {
		uint32_t i = sched_lookup(s, s->expire[--s->expire_n]);
		if (i == SCHED_NONE ||
		    (sched_rec(s, i)->place != P_READY && sched_rec(s, i)->place != P_DEFERRED))
			continue;
		sched_detach(s, i);
		sched_place(s, i, P_ACTIVE);
		struct dest *of = s->groups[sched_rec(s, i)->group]->dest;
		of->active++;
		fetch_work(s, i, of, true);
	}
	/* the rest waits for the work under way, which sets the timer when it is through */
	if (s->work >= SCHED_WORK_MAX)
		loop_timer_cancel(s->kick);
}

/* --- back-off --------------------------------------------------------------------------------- */

static void backoff_end(struct sched *s, struct dest *d)
{
	if (!d->is_waiting)
		return;
	TAILQ_REMOVE(&s->waiting, d, waiting);
	d->is_waiting = false;
	d->backoff_until_ms = 0;
	s->generation++;
	sched_dest_dirty(s, d);
}

void sched_end_backoff(struct sched *s, const char *next_hop)
{
	struct dest *d, *next;
	if (next_hop != NULL) {
		d = sched_dest_find(s, next_hop);
		if (d != NULL)
			backoff_end(s, d);
		return;
	}
	for (d = TAILQ_FIRST(&s->waiting); d != NULL; d = next) {
		next = TAILQ_NEXT(d, waiting);
		backoff_end(s, d);
	}
}

static void note_why(struct sched *s, struct dest *d, const struct attempt *why, enum outcome o)
{
	if (d->why == NULL)
		d->why = xcalloc(1, sizeof(*d->why));
	*d->why = *why;
	d->why->outcome = o;
	s->ops->classify(s->arg, d->why);
	if (d->since_ms == 0)
		sched_trouble(s, &d->since_ms, loop_wall_ms(s->loop));
	s->generation++;
}

static void wait_for(struct sched *s, struct dest *d)
{
	if (d->is_waiting)
		return;
	d->is_waiting = true;
	TAILQ_INSERT_TAIL(&s->waiting, d, waiting);
}

void sched_slow(struct sched *s, const char *next_hop, const struct attempt *why, int64_t until_ms)
{
	struct dest *d = sched_dest_find(s, next_hop);
	if (d == NULL || d->kind != DEST_REAL || (d->is_waiting && d->backoff_until_ms >= until_ms))
		return;
	note_why(s, d, why, OUTCOME_DEFERRED);
	d->slowed = true;
	wait_for(s, d);
	d->backoff_until_ms = until_ms;
	sched_arm(s);
}

void sched_unreachable(struct sched *s, const char *next_hop, const struct attempt *why,
		       bool permanent)
{
	struct dest *d = sched_dest_find(s, next_hop);
	if (d == NULL || d->kind != DEST_REAL)
		return;
	note_why(s, d, why, permanent ? OUTCOME_FAILED : OUTCOME_DEFERRED);
	if (permanent) {
		d->failing = d->ready > 0;
		sched_dest_dirty(s, d);
		return;
	}
	d->slowed = false;
	wait_for(s, d);
	d->backoff_until_ms =
		loop_wall_ms(s->loop) +
		jitter(doubled(s->cfg.backoff_first_ms, d->fails++, s->cfg.backoff_max_ms));
	/* Some recipients take the attempt as theirs; the others wait for the next hop. */
	for (unsigned k = 0; k < SCHED_PROBES_MAX; k++) {
		uint32_t i = sched_pick(s, d, false);
		if (i == SCHED_NONE)
			break;
		struct sched_result v = { .rid = { sched_rec(s, i)->rid }, .attempt = *d->why };
		sched_done(s, NULL, &v, 1);
	}
	sched_arm(s);
}

/* --- time ------------------------------------------------------------------------------------- */

void sched_arm(struct sched *s)
{
	if (!s->running)
		return;
	int64_t at = INT64_MAX;
	uint32_t first = sched_due(s);
	if (first != SCHED_NONE)
		at = sched_rec(s, first)->next_ms;
	struct dest *d;
	TAILQ_FOREACH (d, &s->waiting, waiting)
		if (d->backoff_until_ms < at)
			at = d->backoff_until_ms;
	int64_t left = sched_caps_next_ms(s);
	if (at == INT64_MAX && left == INT64_MAX)
		return;
	if (at != INT64_MAX && at - loop_wall_ms(s->loop) < left)
		left = at - loop_wall_ms(s->loop);
	/* the wall clock may be set: look at least once a minute */
	loop_timer_set(s->tick, left < 0 ? 0 : left > 60000 ? 60000 : left);
}

static void on_tick(void *arg)
{
	struct sched *s = arg;
	int64_t now = loop_wall_ms(s->loop);
	for (unsigned k = 0; k < 4096; k++) {
		uint32_t i = sched_due(s);
		if (i == SCHED_NONE || sched_rec(s, i)->next_ms > now)
			break;
		sched_detach(s, i);
		sched_place(s, i, P_READY);
	}
	struct dest *d, *next;
	for (d = TAILQ_FIRST(&s->waiting); d != NULL; d = next) {
		next = TAILQ_NEXT(d, waiting);
		if (d->backoff_until_ms <= now)
			backoff_end(s, d);
	}
	sched_caps_tick(s);
	sched_arm(s);
}

static void sweep_publish(struct sched *s)
{
	for (uint32_t k = 0; k < s->groups_n; k++) {
		struct group *g = s->groups[k];
		g->oldest_ms = g->sweep_oldest_ms;
		g->next_ms = g->sweep_next_ms;
		g->waiting_s = g->sweep_waiting_s;
		memcpy(g->ages, g->sweep_ages, sizeof(g->ages));
		g->sweep_oldest_ms = g->sweep_next_ms = 0;
		g->sweep_waiting_s = 0;
		memset(g->sweep_ages, 0, sizeof(g->sweep_ages));
	}
}

static void sweep_one(struct sched *s, uint32_t i, int64_t now)
{
	const struct rec *r = sched_rec(s, i);
	struct group *g = s->groups[r->group];
	int64_t received = msgid_time_ms(rid_msgid((struct rid){ r->rid }));
	if (g->sweep_oldest_ms == 0 || received < g->sweep_oldest_ms)
		g->sweep_oldest_ms = received;
	sched_note_waiting(r, &g->sweep_waiting_s);
	unsigned age = 0;
	while (age < SCHED_AGES - 1 && now - received >= age_limits_min[age] * 60000)
		age++;
	g->sweep_ages[age]++;
	if (r->place == P_DEFERRED && (g->sweep_next_ms == 0 || r->next_ms < g->sweep_next_ms))
		g->sweep_next_ms = r->next_ms;
	if (r->expires_ms != 0 && r->expires_ms <= now && s->expire_n < SCHED_EXPIRE_MAX &&
	    g->hold == 0 && g->dest->kind != DEST_HOLD &&
	    (r->place == P_READY || r->place == P_DEFERRED) && end_of_life(s, i) <= now)
		s->expire[s->expire_n++] = (struct rid){ r->rid };
}

/* Ages move by themselves: one pass over all records, a slice at a time. */
static void on_sweep(void *arg)
{
	struct sched *s = arg;
	int64_t now = loop_wall_ms(s->loop);
	uint32_t end = s->sweep_at + SCHED_SLICE;
	for (; s->sweep_at < s->places && s->sweep_at < end; s->sweep_at++) {
		enum place p = (enum place)sched_rec(s, s->sweep_at)->place;
		if (p != P_FREE && p != P_TRASH)
			sweep_one(s, s->sweep_at, now);
	}
	if (s->sweep_at < s->places) {
		loop_timer_set(s->sweep, 5);
		return;
	}
	s->sweep_at = 0;
	sweep_publish(s);
	sched_caps_sweep(s);
	if (s->expire_n > 0)
		loop_timer_set(s->kick, 0);
	loop_timer_set(s->sweep, SWEEP_MS);
}

void sched_start(struct sched *s)
{
	s->running = true;
	loop_timer_set(s->kick, 0);
	loop_timer_set(s->sweep, 0);
	sched_arm(s);
	sched_recall_start(s);
}

void sched_stop(struct sched *s)
{
	s->running = false;
	loop_timer_cancel(s->tick);
	loop_timer_cancel(s->kick);
	loop_timer_cancel(s->sweep);
}

void sched_run_init(struct sched *s)
{
	s->tick = loop_timer_new(s->loop, "sched.tick", on_tick, s);
	s->kick = loop_timer_new(s->loop, "sched.kick", on_kick, s);
	s->sweep = loop_timer_new(s->loop, "sched.sweep", on_sweep, s);
	s->expire = xcalloc(SCHED_EXPIRE_MAX, sizeof(*s->expire));
}

void sched_run_done(struct sched *s)
{
	loop_timer_free(&s->tick);
	loop_timer_free(&s->kick);
	loop_timer_free(&s->sweep);
	struct fetch *f;
	while ((f = LIST_FIRST(&s->fetches)) != NULL) {
		LIST_REMOVE(f, link);
		free(f);
	}
	struct ticket *t;
	while ((t = LIST_FIRST(&s->tickets)) != NULL) {
		LIST_REMOVE(t, link);
		free(t->results);
		free(t);
	}
	free(s->expire);
}
