/*
 * One next hop.
 *
 * Its addresses are tried in their order, in rounds: what failed in a round is not tried again in
 * it, and when a connection is made a new round begins. A round that ends without any connection is
 * reported, once, with the last failure. What failed is also remembered for all next hops
 * (BAD_MS): it is tried after the others, and when that time is over by one session first.
 *
 * How many sessions: one, and another when what is waiting would keep those there are busy for
 * longer than a new one takes to open. At most as many are opening as are open, so the number
 * doubles with success and a host that only opens slowly is not besieged. The estimate is the mean
 * time of a transaction, or how long the slowest is taking already. How many it may have is a
 * matter of its site (smtpout_site.c).
 *
 * A next hop exists while it has work, sessions, or something under way.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/mem.h"
#include "base/obj.h"
#include "outcome/classify.h"
#include "smtpout/smtpout_int.h"

#define BAD_MS 60000	       /* an address that failed is remembered so long */
#define GROW_MS 100	       /* worth another session, at least */
#define RESOLVE_AGAIN_MS 30000 /* for new connections; the resolver keeps answers for their TTL */
#define MEAN_UNIT 16
#define MEAN_WEIGHT 8

static int hop_cmp(const struct out_hop *a, const struct out_hop *b)
{
	return strcmp(a->key, b->key);
}

#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wnull-dereference" /* the tree's macros */
#pragma GCC diagnostic ignored "-Wunused-function"
RB_GENERATE_INTERNAL(out_hop_tree, out_hop, node, hop_cmp, static __attribute__((unused)))
#pragma GCC diagnostic pop

const char *out_hop_demands(const struct out_hop *h)
{
	const char *at = strchr(h->key, '#');

	return at != NULL ? at : "";
}

/* --- addresses remembered as bad -------------------------------------------------------------- */

static unsigned slot_of(const struct netaddr *a)
{
	char key[sizeof(a->ip.b) + sizeof(a->port)];

	memcpy(key, a->ip.b, sizeof(a->ip.b));
	memcpy(key + sizeof(a->ip.b), &a->port, sizeof(a->port));
	return (unsigned)(str_hash(str_from(key, sizeof(key))) % OUT_BAD_MAX);
}

static struct out_bad *bad_slot(struct smtpout *o, const struct netaddr *a)
{
	return &o->bad[slot_of(a)];
}

static bool bad_is(const struct out_bad *b, const struct netaddr *a)
{
	return b->until_ms != 0 && b->addr.port == a->port && ipaddr_eq(&b->addr.ip, &a->ip);
}

static void bad_note(struct smtpout *o, const struct netaddr *a)
{
	*bad_slot(o, a) = (struct out_bad){ .addr = *a, .until_ms = loop_now_ms(o->loop) + BAD_MS };
}

bool out_plain_is(const struct smtpout *o, const struct netaddr *a)
{
	const struct out_bad *b = &o->plain[slot_of(a)];

	return bad_is(b, a) && b->until_ms > loop_now_ms(o->loop);
}

void out_plain_note(struct smtpout *o, const struct netaddr *a, int64_t ms)
{
	o->plain[slot_of(a)] =
		(struct out_bad){ .addr = *a, .until_ms = loop_now_ms(o->loop) + ms };
}

/* --- hosts ------------------------------------------------------------------------------------ */

static void forget_hosts(struct out_hop *h)
{
	while (h->names_n > 0) {
		free(h->names[--h->names_n]);
		tls_policy_unref(&h->policies[h->names_n]);
	}
	h->targets_n = 0;
	h->resolved = false;
}

static void note_hosts(struct out_hop *h, const struct resolve_answer *answer)
{
	forget_hosts(h);
	for (size_t i = 0; i < answer->hosts_n && h->names_n < RESOLVE_HOSTS_MAX; i++) {
		const struct resolve_host *from = &answer->hosts[i];
		h->names[h->names_n] = xstrdup(from->name);
		h->policies[h->names_n] = tls_policy_ref(from->tls);
		for (size_t k = 0; k < from->addresses_n && h->targets_n < OUT_TARGETS_MAX; k++)
			h->targets[h->targets_n++] = (struct out_target){
				.addr = { .ip = from->addresses[k], .port = answer->port },
				.host = h->names_n,
				.preference = from->preference,
			};
		h->names_n++;
	}
	out_site_join(h, answer);
	h->hurried = false;
	h->round++;
	h->resolved = true;
	h->resolved_ms = loop_now_ms(h->o->loop);
}

static bool may_try(const struct out_hop *h, const struct out_target *t, bool bad_too)
{
	const struct out_bad *b = bad_slot(h->o, &t->addr);

	if (t->failed_round == h->round)
		return false;
	return bad_too || !bad_is(b, &t->addr) || b->until_ms <= loop_now_ms(h->o->loop);
}

/* The first in order; sessions take turns among hosts of the same preference. */
static const struct out_target *choose(struct out_hop *h, bool bad_too)
{
	const struct out_target *found[RESOLVE_HOSTS_MAX];
	unsigned n = 0;

	for (unsigned i = 0; i < h->targets_n && n < RESOLVE_HOSTS_MAX; i++) {
		const struct out_target *t = &h->targets[i];
		if (!may_try(h, t, bad_too))
			continue;
		if (n > 0 && t->preference != found[0]->preference)
			break;
		if (n == 0 || t->host != found[n - 1]->host)
			found[n++] = t;
	}
	return n == 0 ? NULL : found[h->turn++ % n];
}

bool out_hop_pick(struct out_hop *h, unsigned *ret_host, struct netaddr *ret_addr)
{
	const struct out_target *t = choose(h, false);

	if (t == NULL)
		t = choose(h, true);
	if (t == NULL)
		return false;
	/* one session finds out whether it is still bad */
	if (bad_is(bad_slot(h->o, &t->addr), &t->addr))
		bad_note(h->o, &t->addr);
	*ret_host = t->host;
	*ret_addr = t->addr;
	return true;
}

static bool is_exhausted(const struct out_hop *h)
{
	for (unsigned i = 0; i < h->targets_n; i++)
		if (h->targets[i].failed_round != h->round)
			return false;
	return true;
}

void out_hop_failed(struct out_hop *h, const struct netaddr *addr, const struct attempt *why)
{
	for (unsigned i = 0; i < h->targets_n; i++)
		if (h->targets[i].addr.port == addr->port &&
		    ipaddr_eq(&h->targets[i].addr.ip, &addr->ip))
			h->targets[i].failed_round = h->round;
	if (*out_hop_demands(h) == '\0' && why->reply_class != REPLY_TLS)
		bad_note(h->o, addr); /* else it may do for others */
	if (h->failure == NULL)
		h->failure = xcalloc(1, sizeof(*h->failure));
	*h->failure = *why;
}

void out_hop_opened(struct out_hop *h, const struct out_session *s)
{
	struct out_bad *b = bad_slot(h->o, &s->addr);
	int64_t took = loop_now_ms(h->o->loop) - s->opened_ms;

	if (bad_is(b, &s->addr))
		b->until_ms = 0;
	h->round++;
	h->setup_ms = h->setup_ms == 0 ? took : (h->setup_ms * 3 + took) / 4;
	free(h->failure);
	h->failure = NULL;
	if (h->work > 0)
		out_look(h);
}

/* --- how many --------------------------------------------------------------------------------- */

void out_hop_full(struct out_hop *h)
{
	if (h->site != NULL)
		out_site_full(h->site, h->site->sessions_n > 1 ? h->site->sessions_n - 1 : 1);
	h->round++;
}

void out_hop_timed(struct out_hop *h, int64_t ms)
{
	if (h->mean == 0)
		h->mean = ms * MEAN_UNIT;
	else
		h->mean += (ms * MEAN_UNIT - h->mean) / MEAN_WEIGHT;
}

/* How long those that are open would need for what is waiting. */
static int64_t clear_ms(const struct out_hop *h)
{
	int64_t now = loop_now_ms(h->o->loop);
	int64_t each = h->mean;
	const struct out_session *s;

	TAILQ_FOREACH (s, &h->sessions, of_hop)
		if (s->mail.m != NULL && (now - s->mail.given_ms) * MEAN_UNIT > each)
			each = (now - s->mail.given_ms) * MEAN_UNIT;
	return each * h->work / (MEAN_UNIT * (int64_t)(h->n[OUT_OPEN] + h->n[OUT_OPENING]));
}

bool out_hop_wants(struct out_hop *h)
{
	unsigned open = h->n[OUT_OPEN];
	unsigned opening = h->n[OUT_OPENING];
	int64_t worth = h->setup_ms > GROW_MS ? h->setup_ms : GROW_MS;

	if (h->o->draining || h->work <= opening)
		return false;
	if (h->site != NULL &&
	    (out_site_waits(h->site) || h->site->sessions_n >= out_site_limit(h->site)))
		return false;
	if (open + opening == 0)
		return true;
	return opening < open && clear_ms(h) > worth;
}

/* --- work ------------------------------------------------------------------------------------- */

static void report(struct out_hop *h, struct attempt *a, bool permanent)
{
	if (log_limited_at(LOG_LEVEL_INFO, "smtpout.unreachable"))
		log_info(NULL, "smtpout.unreachable", F_STR("next_hop", h->key),
			 F_I64("permanent", permanent), F_I64("code", a->code),
			 F_STR("reply", a->reply));
	h->work = 0;
	forget_hosts(h);
	sched_unreachable(h->o->sched, h->key, a, permanent);
}

static void report_round(struct out_hop *h)
{
	struct attempt a = *h->failure;

	if (a.code == 0 && h->targets_n > 1) {
		size_t n = strlen(a.reply);
		(void)snprintf(a.reply + n, sizeof(a.reply) - n, " (the last of %u addresses)",
			       h->targets_n);
	}
	free(h->failure);
	h->failure = NULL;
	report(h, &a, false);
}

static void report_dns(struct out_hop *h, const struct resolve_failure *f)
{
	struct attempt a;
	bool bad_domain = f->permanent && strncmp(f->enhanced, "5.1.", 4) == 0;

	memset(&a, 0, sizeof(a));
	a.at_ms = loop_wall_ms(h->o->loop);
	a.outcome = f->permanent ? OUTCOME_FAILED : OUTCOME_DEFERRED;
	a.reply_class = bad_domain ? REPLY_BAD_DOMAIN : REPLY_DNS;
	memcpy(a.enhanced, f->enhanced, sizeof(a.enhanced));
	(void)snprintf(a.reply, sizeof(a.reply), "%s", f->text);
	report(h, &a, f->permanent);
}

static void on_resolved(void *arg, const struct resolve_answer *answer)
{
	static const struct resolve_failure nothing = { .enhanced = "4.4.3",
							.text = "no host has an address" };
	struct out_hop *h = OBJ(out_hop, OUT_HOP_MAGIC, arg);

	h->ask = 0;
	h->dns_ms = loop_now_ms(h->o->loop) - h->asked_ms;
	h->o->asks--;
	out_turn(h->o); /* the next one's turn to ask */
	out_look(h);
	if (answer->hosts_n > 0) {
		note_hosts(h, answer);
	} else if (h->n[OUT_OPEN] + h->n[OUT_OPENING] > 0) {
		h->resolved_ms = loop_now_ms(h->o->loop); /* what we have still works */
	} else {
		report_dns(h, answer->failure != NULL ? answer->failure : &nothing);
	}
}

/* What has to be looked for besides the hosts. */
static unsigned wanted(const struct out_hop *h)
{
	const struct smtpout_config *cfg = &h->o->cfg;
	struct smtpout_demands d = { .tls = ROUTE_TLS_OPPORTUNISTIC };

	if (cfg->tls == NULL || (cfg->demands != NULL && !cfg->demands(cfg->arg, h->key, &d)))
		return 0;
	return (route_tls_wants_dane(d.tls) ? RESOLVE_DANE : 0) |
	       (route_tls_wants_sts(d.tls) ? RESOLVE_STS : 0);
}

void out_hop_ask(struct out_hop *h)
{
	h->o->asks++;
	h->asked_ms = loop_now_ms(h->o->loop);
	h->ask = resolver_ask(h->o->resolver, h->key, wanted(h), on_resolved, h);
}

void out_hop_wake(struct out_hop *h)
{
	struct out_session *s;

	/* each at most once: one that finds only what it decides at once is idle again */
	for (unsigned n = h->sessions_n; n > 0 && h->work > 0; n--) {
		TAILQ_FOREACH (s, &h->sessions, of_hop)
			if (s->state == OUT_IDLE)
				break;
		if (s == NULL)
			return;
		out_session_wake(s);
	}
}

static void open_more(struct out_hop *h)
{
	int64_t now = loop_now_ms(h->o->loop);

	while (h->ask == 0 && h->wait == OUT_WAIT_NONE && out_hop_wants(h)) {
		if (!h->resolved || now - h->resolved_ms >= RESOLVE_AGAIN_MS) {
			out_wait(h, OUT_WAIT_DNS);
		} else if (is_exhausted(h)) {
			if (h->n[OUT_OPEN] > 0)
				out_hop_full(h);
			return;
		} else if (!out_has_room(h->o, h)) {
			out_wait_for_room(h);
		} else {
			out_session_open(h);
		}
	}
}

static void stand_in_line(struct out_hop *h)
{
	struct out_site *t = h->site;
	bool full = t != NULL && t->sessions_n >= out_site_limit(t);

	if (h->work > 0 && h->sessions_n == 0 && full)
		out_site_line(h);
	else
		out_site_line_done(h);
	if (t != NULL && !full && !TAILQ_EMPTY(&t->line))
		out_look(TAILQ_FIRST(&t->line));
}

/* An idle connection of another next hop with the same hosts is as good as one of its own. */
static void take_over(struct out_hop *h)
{
	struct out_session *s;

	if (h->work == 0 || h->sessions_n > 0 || h->site == NULL)
		return;
	s = out_site_idle(h);
	if (s == NULL)
		return;
	out_session_move(s, h);
	out_session_wake(s);
}

void out_hop_work(struct out_hop *h)
{
	out_hop_wake(h);
	take_over(h);
	if (h->failure != NULL && h->resolved && h->n[OUT_OPEN] + h->n[OUT_OPENING] == 0 &&
	    is_exhausted(h))
		report_round(h);
	if (h->wait == OUT_WAIT_MORE)
		out_wait_for_room(h); /* it may have none any more */
	open_more(h);
	stand_in_line(h);
	if (h->work > 0 && (h->n[OUT_OPEN] > 0 || (h->site != NULL && out_site_waits(h->site))))
		out_watch(h); /* else something is under way, and brings us back */
	else if (h->work == 0 && h->sessions_n == 0 && h->ask == 0 && !h->looking)
		out_hop_free(&h);
}

/* --- making ----------------------------------------------------------------------------------- */

struct out_hop *out_hop_find(const struct smtpout *o, const char *key)
{
	AUTO_FREE char *copy = xstrdup(key);
	struct out_hop probe = { .key = copy };
	struct out_hop_tree tree = o->hops;

	return RB_FIND(out_hop_tree, &tree, &probe);
}

struct out_hop *out_hop_next(struct smtpout *o, struct out_hop *h)
{
	return h == NULL ? RB_MIN(out_hop_tree, &o->hops) : RB_NEXT(out_hop_tree, &o->hops, h);
}

struct out_hop *out_hop_get(struct smtpout *o, const char *key)
{
	struct out_hop *h = out_hop_find(o, key);

	if (h != NULL)
		return h;
	h = xcalloc(1, sizeof(*h));
	h->magic = OUT_HOP_MAGIC;
	h->o = o;
	h->key = xstrdup(key);
	TAILQ_INIT(&h->sessions);
	RB_INSERT(out_hop_tree, &o->hops, h);
	return h;
}

void out_hop_free(struct out_hop **hp)
{
	struct out_hop *h = *hp;
	struct smtpout *o = h->o;

	*hp = NULL;
	ASSERT(h->sessions_n == 0);
	if (h->ask != 0) {
		resolver_cancel(o->resolver, h->ask);
		o->asks--;
	}
	out_wait(h, OUT_WAIT_NONE);
	out_look_done(h);
	if (h->watched)
		TAILQ_REMOVE(&o->watched, h, watch);
	RB_REMOVE(out_hop_tree, &o->hops, h);
	forget_hosts(h);
	out_site_leave(h);
	free(h->failure);
	free(h->trouble);
	free(h->key);
	h->magic = 0;
	free(h);
}
