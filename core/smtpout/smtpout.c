/*
 * Next hops are looked at when the loop turns (`looks`), so that whatever happened to their
 * sessions is over by then; those with work that nobody has asked for yet also with every tick
 * (`watched`), because waiting makes more sessions worth their while.
 *
 * All connections together have a limit. An eighth of it is kept for next hops that have none yet.
 * Whoever finds no room stands in line for one connection, and then again at the end of the line;
 * those that have none come before those that want another. While somebody waits:
 *   - idle sessions quit, the longest idle one first;
 *   - sessions of a next hop that has more than its share quit after the transaction that they are
 *     in; and those that have had their turn, when somebody waits for a first connection;
 *   - then, too, those that are opening for long have failed: nobody waits behind a dead host.
 */
#include "smtpout/smtpout.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/obj.h"
#include "smtpout/smtpout_int.h"

#define CONNECTIONS_TOP 60000 /* what connections_max may be at most */
#define SLOT_BITS 16	      /* of a token */
#define TICK_MS 100
#define LOOKS_MAX 64			   /* in one callback */
#define ASKS_MAX 500			   /* of the resolver at a time */
#define TURN_MS 5000			   /* of a session, while others wait */
#define PRESSED_MS 10000		   /* to open one, while others wait */
#define RESERVE_SHARE 8			   /* of all connections, for next hops without one */
#define SCRATCH_MAX (OUT_PIECE * 2 + 1024) /* encoded, a piece is at most twice as long */

static void on_turn(void *arg);
static void on_tick(void *arg);
static void on_grace(void *arg);

static void set_defaults(struct smtpout_config *c)
{
#define DEFAULT(field, value) c->field = c->field != 0 ? c->field : (value)
	DEFAULT(connections_max, 500);
	DEFAULT(per_hop_max, 20);
	DEFAULT(per_connection_max, 100);
	DEFAULT(connect_ms, 20000);
	DEFAULT(greeting_ms, 60000);
	DEFAULT(command_ms, 300000);
	DEFAULT(data_ms, 180000);
	DEFAULT(end_ms, 600000);
#undef DEFAULT
	ASSERT(c->connections_max <= CONNECTIONS_TOP);
}

struct smtpout *smtpout_new(struct loop *l, const struct smtpout_config *cfg, struct sched *s,
			    struct resolver *r)
{
	struct smtpout *o = xcalloc(1, sizeof(*o));

	o->magic = SMTPOUT_MAGIC;
	o->loop = l;
	o->sched = s;
	o->resolver = r;
	o->cfg = *cfg;
	set_defaults(&o->cfg);
	o->hostname = xstrdup(cfg->hostname);
	o->cfg.hostname = o->hostname;
	o->scratch = BUF_INIT(SCRATCH_MAX);
	o->packed = BUF_INIT(TALK_PACKED_MAX);
	RB_INIT(&o->hops);
	RB_INIT(&o->sites);
	TAILQ_INIT(&o->sites_kept);
	TAILQ_INIT(&o->looks);
	TAILQ_INIT(&o->watched);
	for (int i = 0; i < OUT_WAIT__COUNT; i++)
		TAILQ_INIT(&o->lines[i]);
	TAILQ_INIT(&o->opening);
	TAILQ_INIT(&o->idle);
	o->free_n = o->cfg.connections_max;
	o->slots = xcalloc(o->free_n, sizeof(struct out_session *));
	o->free_slots = xcalloc(o->free_n, sizeof(*o->free_slots));
	for (unsigned i = 0; i < o->free_n; i++)
		o->free_slots[i] = o->free_n - 1 - i;
	o->turn = loop_timer_new(l, "smtpout.turn", on_turn, o);
	o->tick = loop_timer_new(l, "smtpout.tick", on_tick, o);
	o->grace = loop_timer_new(l, "smtpout.grace", on_grace, o);
	return o;
}

static void end_all(struct smtpout *o)
{
	for (unsigned i = 0; i < o->cfg.connections_max; i++)
		if (o->slots[i] != NULL)
			out_session_over(o->slots[i]);
}

void smtpout_free(struct smtpout **op)
{
	struct smtpout *o = op != NULL ? *op : NULL;
	struct out_hop *h;

	if (o == NULL)
		return;
	*op = NULL;
	o->draining = true;
	end_all(o);
	while ((h = out_hop_next(o, NULL)) != NULL)
		out_hop_free(&h);
	out_sites_free(o);
	out_login_free(o);
	loop_timer_free(&o->turn);
	loop_timer_free(&o->tick);
	loop_timer_free(&o->grace);
	buf_done(&o->scratch);
	buf_done(&o->packed);
	free(o->slots);
	free(o->free_slots);
	free(o->hostname);
	o->magic = 0;
	free(o);
}

/* --- tokens ----------------------------------------------------------------------------------- */

void out_slot_take(struct smtpout *o, struct out_session *s)
{
	unsigned slot;

	ASSERT(o->free_n > 0);
	slot = o->free_slots[--o->free_n];
	o->slots[slot] = s;
	s->token = ++o->serial << SLOT_BITS | slot;
}

static unsigned slot_of(uint64_t token)
{
	return (unsigned)(token & ((1u << SLOT_BITS) - 1));
}

void out_slot_give(struct smtpout *o, const struct out_session *s)
{
	o->slots[slot_of(s->token)] = NULL;
	o->free_slots[o->free_n++] = slot_of(s->token);
}

void smtpout_give(struct smtpout *o, uint64_t token, const struct message *m_take,
		  const unsigned *rcpts_n, unsigned n)
{
	struct out_session *s =
		slot_of(token) < o->cfg.connections_max ? o->slots[slot_of(token)] : NULL;

	/* a session that goes says so (sched_unwant): one that does not wait is a bug of ours */
	ASSERT(s != NULL && s->token == token && s->state == OUT_ASKING);
	out_session_given(s, m_take, rcpts_n, n);
}

/* --- whose turn it is ------------------------------------------------------------------------- */

void out_turn(struct smtpout *o)
{
	if (!loop_timer_pending(o->turn))
		loop_timer_set(o->turn, 0);
}

void out_look(struct out_hop *h)
{
	if (h->looking)
		return;
	h->looking = true;
	h->o->looks_n++;
	TAILQ_INSERT_TAIL(&h->o->looks, h, look);
	out_turn(h->o);
}

void out_look_done(struct out_hop *h)
{
	if (!h->looking)
		return;
	h->looking = false;
	h->o->looks_n--;
	TAILQ_REMOVE(&h->o->looks, h, look);
}

void out_watch(struct out_hop *h)
{
	struct smtpout *o = h->o;

	if (h->watched)
		return;
	h->watched = true;
	TAILQ_INSERT_TAIL(&o->watched, h, watch);
	if (!loop_timer_pending(o->tick))
		loop_timer_set(o->tick, TICK_MS);
}

static bool fits(const struct smtpout *o, const struct out_hop *h)
{
	unsigned reserve = h->sessions_n > 0 ? o->cfg.connections_max / RESERVE_SHARE : 0;

	return o->total < o->cfg.connections_max - reserve;
}

static unsigned waiting(const struct smtpout *o)
{
	return o->lines_n[OUT_WAIT_FIRST] + o->lines_n[OUT_WAIT_MORE];
}

bool out_has_room(const struct smtpout *o, const struct out_hop *h)
{
	unsigned before = h->sessions_n > 0 ? waiting(o) : o->lines_n[OUT_WAIT_FIRST];

	return before == 0 && fits(o, h);
}

/* Behind those that are as urgent. */
static void insert_urgent(struct out_hops *line, struct out_hop *h)
{
	struct out_hop *at = TAILQ_LAST(line, out_hops);

	while (at != NULL && at->priority < h->priority)
		at = TAILQ_PREV(at, out_hops, queue);
	if (at != NULL)
		TAILQ_INSERT_AFTER(line, at, h, queue);
	else
		TAILQ_INSERT_HEAD(line, h, queue);
}

void out_wait(struct out_hop *h, enum out_wait what)
{
	struct smtpout *o = h->o;

	if (h->wait != OUT_WAIT_NONE) {
		TAILQ_REMOVE(&o->lines[h->wait], h, queue);
		o->lines_n[h->wait]--;
	}
	h->wait = what;
	if (what == OUT_WAIT_NONE)
		return;
	if (what == OUT_WAIT_FIRST)
		insert_urgent(&o->lines[what], h);
	else
		TAILQ_INSERT_TAIL(&o->lines[what], h, queue);
	o->lines_n[what]++;
	if (what != OUT_WAIT_DNS && !loop_timer_pending(o->tick))
		loop_timer_set(o->tick, TICK_MS);
	out_turn(o);
}

void out_wait_for_room(struct out_hop *h)
{
	enum out_wait what = h->sessions_n > 0 ? OUT_WAIT_MORE : OUT_WAIT_FIRST;

	if (h->wait != what)
		out_wait(h, what);
}

static bool had_turn(const struct out_session *s)
{
	return loop_now_ms(s->o->loop) - s->opened_ms >= TURN_MS;
}

bool out_more_urgent(const struct out_hop *h, const struct out_session *s)
{
	return h->priority > sched_priority(s->o->sched, s->hop->key);
}

bool out_must_yield(const struct out_session *s)
{
	const struct smtpout *o = s->o;
	unsigned first = o->lines_n[OUT_WAIT_FIRST];
	unsigned more = o->lines_n[OUT_WAIT_MORE] - (s->hop->wait == OUT_WAIT_MORE);
	unsigned share = o->cfg.connections_max / (o->hops_live + first);

	const struct out_hop *next = out_site_next(s);

	if (next != NULL && (s->hop->sessions_n > 1 || had_turn(s) || out_more_urgent(next, s)))
		return true;
	if (first + more == 0)
		return false;
	if (first > o->leaving && out_more_urgent(TAILQ_FIRST(&o->lines[OUT_WAIT_FIRST]), s))
		return true;
	return s->hop->sessions_n > (share > 0 ? share : 1) || (first > 0 && had_turn(s));
}

static void serve_dns(struct smtpout *o)
{
	struct out_hop *h;

	while (o->asks < ASKS_MAX && (h = TAILQ_FIRST(&o->lines[OUT_WAIT_DNS])) != NULL) {
		out_wait(h, OUT_WAIT_NONE);
		out_hop_ask(h);
	}
}

static void serve_line(struct smtpout *o, enum out_wait line)
{
	struct out_hop *h;

	for (unsigned n = o->lines_n[line]; n > 0; n--) {
		h = TAILQ_FIRST(&o->lines[line]);
		if (!fits(o, h))
			return;
		out_wait(h, OUT_WAIT_NONE);
		if (out_hop_wants(h))
			out_session_open(h);
		out_look(h); /* which may stand in line again, at the end */
	}
}

static void serve_room(struct smtpout *o)
{
	serve_line(o, OUT_WAIT_FIRST);
	if (o->lines_n[OUT_WAIT_FIRST] == 0)
		serve_line(o, OUT_WAIT_MORE);
	while (o->leaving < waiting(o) && !TAILQ_EMPTY(&o->idle))
		out_session_quit(TAILQ_FIRST(&o->idle));
}

static void on_turn(void *arg)
{
	struct smtpout *o = OBJ(smtpout, SMTPOUT_MAGIC, arg);
	struct out_hop *h;

	/* those there are now: who comes again has had enough for one turn */
	for (unsigned n = o->looks_n < LOOKS_MAX ? o->looks_n : LOOKS_MAX;
	     n > 0 && (h = TAILQ_FIRST(&o->looks)) != NULL; n--) {
		out_look_done(h);
		out_hop_work(h);
	}
	serve_dns(o);
	serve_room(o);
	if (!TAILQ_EMPTY(&o->looks))
		out_turn(o);
	if (o->draining && o->total == 0 && o->drained != NULL) {
		smtpout_drained_fn *drained = o->drained;
		o->drained = NULL;
		loop_timer_cancel(o->grace);
		drained(o->drained_arg); /* may free us */
	}
}

static void on_tick(void *arg)
{
	struct smtpout *o = OBJ(smtpout, SMTPOUT_MAGIC, arg);
	struct out_session *s;
	struct out_hop *h;

	while ((h = TAILQ_FIRST(&o->watched)) != NULL) {
		TAILQ_REMOVE(&o->watched, h, watch);
		h->watched = false;
		out_look(h);
	}
	for (unsigned n = o->lines_n[OUT_WAIT_FIRST];
	     n > 0 && (s = TAILQ_FIRST(&o->opening)) != NULL; n--) {
		if (loop_now_ms(o->loop) - s->born_ms < PRESSED_MS)
			break;
		out_session_give_way(s);
	}
	if (waiting(o) > 0 && !loop_timer_pending(o->tick))
		loop_timer_set(o->tick, TICK_MS);
}

/* --- from outside ----------------------------------------------------------------------------- */

/* A next hop that waits moves up with it. */
static void set_priority(struct out_hop *h, int priority)
{
	bool more = priority > h->priority;

	h->priority = priority;
	if (more && h->wait == OUT_WAIT_FIRST)
		out_wait(h, OUT_WAIT_FIRST);
	if (more && h->lined) {
		out_site_line_done(h);
		out_site_line(h);
	}
}

void smtpout_kick(struct smtpout *o, const char *next_hop, unsigned n)
{
	struct out_hop *h;

	if (o->draining || n == 0)
		return;
	h = out_hop_get(o, next_hop);
	h->work = n;
	set_priority(h, sched_priority(o->sched, next_hop));
	out_hop_wake(h);
	if (h->work > 0 || h->sessions_n == 0)
		out_look(h);
}

void smtpout_hurry(struct smtpout *o, const char *next_hop)
{
	struct out_hop *h;

	if (o->draining)
		return;
	h = out_hop_get(o, next_hop);
	if (h->site != NULL)
		out_site_hurry(h->site);
	else
		h->hurried = true; /* when it is known */
	out_watch(h);		   /* which sees whether anything came of it */
}

void smtpout_drain(struct smtpout *o, int64_t grace_ms, smtpout_drained_fn *done, void *arg)
{
	struct out_hop *h, *next;

	o->draining = true;
	o->drained = done;
	o->drained_arg = arg;
	for (unsigned i = 0; i < o->cfg.connections_max; i++)
		if (o->slots[i] != NULL)
			out_session_drain(o->slots[i]);
	for (h = out_hop_next(o, NULL); h != NULL; h = next) {
		next = out_hop_next(o, h);
		h->work = 0;
		out_wait(h, OUT_WAIT_NONE);
		if (h->sessions_n == 0)
			out_hop_free(&h);
	}
	loop_timer_set(o->grace, grace_ms);
	out_turn(o);
}

static void on_grace(void *arg)
{
	struct smtpout *o = OBJ(smtpout, SMTPOUT_MAGIC, arg);

	end_all(o);
	out_turn(o);
}

unsigned smtpout_connections(const struct smtpout *o)
{
	return o->total;
}

const char *smtpout_site(const struct smtpout *o, const char *next_hop)
{
	const struct out_hop *h = out_hop_find(o, next_hop);

	return h != NULL && h->site != NULL ? h->site->key : NULL;
}

bool smtpout_hop(const struct smtpout *o, const char *next_hop, struct smtpout_hop_view *ret)
{
	struct out_hop *h = out_hop_find(o, next_hop);

	if (h == NULL)
		return false;
	*ret = (struct smtpout_hop_view){
		.connections = h->sessions_n - h->n[OUT_OPENING],
		.opening = h->n[OUT_OPENING],
		.limit = h->site != NULL ? out_site_limit(h->site) : 0,
		.of_site = h->site != NULL ? h->site->sessions_n : 0,
		.waits_for_room = h->wait == OUT_WAIT_FIRST || h->wait == OUT_WAIT_MORE,
		.pause_until_ms = 0,
		.reason = "",
	};
	if (h->site != NULL && out_site_waits(h->site)) {
		int64_t until = h->site->slow_until_ms > h->site->pause_until_ms
					? h->site->slow_until_ms
					: h->site->pause_until_ms;
		ret->pause_until_ms = loop_wall_ms(o->loop) + until - loop_now_ms(o->loop);
		ret->reason = h->site->why != NULL ? h->site->why->reply : "";
	}
	return true;
}
