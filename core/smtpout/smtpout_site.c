/*
 * A site: the hosts that several next hops have in common (domains with the same mail exchangers).
 * Its limit of connections, and what it said about them, hold for all of these next hops.
 *
 * The limit begins at the configured one; that connections are opened only as long as they bring
 * something (smtpout_hop.c) is the slow start. It falls
 *   - to what there is, when the host refuses a connection while it serves others (full): it is
 *     doubled after LIMIT_MS;
 *   - to half of what there is, when a reply says that we send too much (slow): from then on it
 *     grows by one for every few rounds of deliveries without such a reply.
 * A slow site gets nothing for a while, which doubles with each such reply up to SLOW_MAX_MS and is
 * halved as deliveries succeed. The scheduler is told (sched_slow), so that whoever looks sees the
 * reply and the time. So it is when connections come to nothing (421 to each MAIL), for less long.
 *
 * A next hop without a connection whose site is full stands in the site's line: a session of
 * another next hop there serves it when it has nothing to do, or has had its turn.
 *
 * A site is kept for KEEP_MS after its last next hop went.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/obj.h"
#include "smtpout/smtpout_int.h"

#define LIMIT_MS 30000	    /* a lowered limit stays so long, then doubles */
#define PAUSE_FIRST_MS 1000 /* after a connection that came to nothing, doubled each time */
#define PAUSE_MAX_MS 8000
#define SLOW_FIRST_MS 1000
#define SLOW_MAX_MS 300000
#define SLOW_LIMIT_MS 1800000 /* a limit that was halved and is not tried is lifted then */
#define CREEP_ROUNDS 4	      /* deliveries of each connection before one more is allowed */
#define KEEP_MS 900000
#define KEY_MAX ((size_t)RESOLVE_HOSTS_MAX * 260)

static int site_cmp(const struct out_site *a, const struct out_site *b)
{
	return strcmp(a->key, b->key);
}

#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wnull-dereference" /* the tree's macros */
#pragma GCC diagnostic ignored "-Wunused-function"
RB_GENERATE_INTERNAL(out_site_tree, out_site, node, site_cmp, static __attribute__((unused)))
#pragma GCC diagnostic pop

/* --- which ------------------------------------------------------------------------------------ */

static int name_cmp(const void *a, const void *b)
{
	const char *const *x = a;
	const char *const *y = b;

	return strcmp(*x, *y);
}

static void make_key(const struct resolve_answer *answer, struct buf *b)
{
	const char *names[RESOLVE_HOSTS_MAX];
	size_t n = answer->hosts_n < RESOLVE_HOSTS_MAX ? answer->hosts_n : RESOLVE_HOSTS_MAX;

	for (size_t i = 0; i < n; i++)
		names[i] = answer->hosts[i].name;
	qsort(names, n, sizeof(names[0]), name_cmp);
	(void)buf_printf(b, "%u", (unsigned)answer->port);
	for (size_t i = 0; i < n; i++)
		(void)buf_printf(b, " %s", names[i]);
}

static void site_free(struct out_site *t)
{
	RB_REMOVE(out_site_tree, &t->o->sites, t);
	free(t->why);
	free(t->key);
	t->magic = 0;
	free(t);
}

static void unkeep(struct out_site *t)
{
	TAILQ_REMOVE(&t->o->sites_kept, t, kept);
	t->o->sites_kept_n--;
}

static void keep(struct out_site *t)
{
	struct smtpout *o = t->o;
	int64_t now = loop_now_ms(o->loop);
	struct out_site *old;

	if (t->hops_n + t->sessions_n > 0)
		return;
	t->left_ms = now;
	TAILQ_INSERT_TAIL(&o->sites_kept, t, kept);
	o->sites_kept_n++;
	while ((old = TAILQ_FIRST(&o->sites_kept)) != NULL &&
	       (o->sites_kept_n > OUT_SITES_KEPT || now - old->left_ms > KEEP_MS)) {
		unkeep(old);
		site_free(old);
	}
}

static struct out_site *site_get(struct smtpout *o, const char *key)
{
	AUTO_FREE char *copy = xstrdup(key);
	struct out_site probe = { .key = copy };
	struct out_site *t = RB_FIND(out_site_tree, &o->sites, &probe);

	if (t != NULL) {
		if (t->hops_n + t->sessions_n == 0)
			unkeep(t);
		return t;
	}
	t = xcalloc(1, sizeof(*t));
	t->magic = OUT_SITE_MAGIC;
	t->o = o;
	t->key = xstrdup(key);
	t->limit = o->cfg.per_hop_max;
	TAILQ_INIT(&t->hops);
	TAILQ_INIT(&t->line);
	RB_INSERT(out_site_tree, &o->sites, t);
	return t;
}

void out_sites_free(struct smtpout *o)
{
	struct out_site *t;

	while ((t = RB_MIN(out_site_tree, &o->sites)) != NULL)
		site_free(t);
}

/* --- what the scheduler is told --------------------------------------------------------------- */

static int64_t waits_until(const struct out_site *t)
{
	return t->slow_until_ms > t->pause_until_ms ? t->slow_until_ms : t->pause_until_ms;
}

bool out_site_waits(const struct out_site *t)
{
	return loop_now_ms(t->o->loop) < waits_until(t);
}

/* It wakes us when the time is over. */
static void tell(const struct out_site *t, struct out_hop *h)
{
	int64_t left = waits_until(t) - loop_now_ms(t->o->loop);

	if (t->why == NULL || left <= 0 || t->o->draining)
		return;
	h->work = 0;
	sched_slow(t->o->sched, h->key, t->why, loop_wall_ms(t->o->loop) + left);
	out_look(h);
}

void out_site_hurry(struct out_site *t)
{
	t->pause_until_ms = t->slow_until_ms = 0;
}

static void tell_all(const struct out_site *t)
{
	struct out_hop *h;

	TAILQ_FOREACH (h, &t->hops, of_site)
		tell(t, h);
}

static void note_why(struct out_site *t, const struct attempt *why)
{
	if (why == NULL)
		return;
	if (t->why == NULL)
		t->why = xcalloc(1, sizeof(*t->why));
	*t->why = *why;
}

/* --- members ---------------------------------------------------------------------------------- */

void out_site_join(struct out_hop *h, const struct resolve_answer *answer)
{
	AUTO_BUF key = BUF_INIT(KEY_MAX);
	struct out_site *t;

	make_key(answer, &key);
	t = site_get(h->o, buf_cstr(&key));
	if (t == h->site)
		return;
	t->hops_n++; /* first: a site without members may go when the old one is left */
	out_site_leave(h);
	TAILQ_INSERT_TAIL(&t->hops, h, of_site);
	h->site = t;
	if (h->hurried)
		out_site_hurry(t);
	else
		tell(t, h);
}

void out_site_leave(struct out_hop *h)
{
	struct out_site *t = h->site;

	if (t == NULL)
		return;
	out_site_line_done(h);
	TAILQ_REMOVE(&t->hops, h, of_site);
	t->hops_n--;
	h->site = NULL;
	keep(t);
}

void out_site_begin(struct out_session *s)
{
	s->site = s->hop->site;
	s->site->sessions_n++;
}

void out_site_end(struct out_session *s)
{
	struct out_site *t = s->site;
	struct out_hop *h;

	s->site = NULL;
	t->sessions_n--;
	h = TAILQ_FIRST(&t->line);
	if (h != NULL)
		out_look(h);
	keep(t);
}

/* --- the line --------------------------------------------------------------------------------- */

/* The most urgent is first; of those that are as urgent, who came first. */
void out_site_line(struct out_hop *h)
{
	struct out_hop *at = TAILQ_LAST(&h->site->line, out_hops);

	if (h->lined)
		return;
	h->lined = true;
	while (at != NULL && at->priority < h->priority)
		at = TAILQ_PREV(at, out_hops, line);
	if (at != NULL)
		TAILQ_INSERT_AFTER(&h->site->line, at, h, line);
	else
		TAILQ_INSERT_HEAD(&h->site->line, h, line);
}

void out_site_line_done(struct out_hop *h)
{
	if (!h->lined)
		return;
	h->lined = false;
	TAILQ_REMOVE(&h->site->line, h, line);
}

struct out_hop *out_site_next(const struct out_session *s)
{
	return s->site == s->hop->site ? TAILQ_FIRST(&s->site->line) : NULL;
}

bool out_site_fits(const struct out_session *s, const struct out_hop *h)
{
	return s->site == h->site && strcmp(out_hop_demands(s->hop), out_hop_demands(h)) == 0 &&
	       out_secure_meets(s, h);
}

struct out_session *out_site_idle(const struct out_hop *h)
{
	struct out_session *s;

	TAILQ_FOREACH (s, &h->o->idle, order)
		if (out_site_fits(s, h))
			return s;
	return NULL;
}

/* --- how many --------------------------------------------------------------------------------- */

unsigned out_site_limit(struct out_site *t)
{
	int64_t now = loop_now_ms(t->o->loop);
	unsigned most = t->o->cfg.per_hop_max;

	if (t->limit < most && now >= t->limit_until_ms) {
		t->limit = t->limit > most / 2 ? most : t->limit * 2;
		t->limit_until_ms = now + LIMIT_MS;
	}
	return t->limit;
}

void out_site_full(struct out_site *t, unsigned have)
{
	t->limit = have > 0 ? have : 1;
	t->creeps = false;
	t->limit_until_ms = loop_now_ms(t->o->loop) + LIMIT_MS;
}

void out_site_pause(struct out_site *t, const struct attempt *why)
{
	t->pause_ms = t->pause_ms == 0 ? PAUSE_FIRST_MS : t->pause_ms * 2;
	if (t->pause_ms > PAUSE_MAX_MS)
		t->pause_ms = PAUSE_MAX_MS;
	t->pause_until_ms = loop_now_ms(t->o->loop) + t->pause_ms;
	note_why(t, why);
	if (t->sessions_n == 0)
		tell_all(t); /* else the others go on */
}

static bool is_slow_down(const struct smtpout *o, const struct attempt *a)
{
	if (a->outcome != OUTCOME_DEFERRED || a->code == 0)
		return false;
	if (o->cfg.slows != NULL)
		return o->cfg.slows(o->cfg.arg, a);
	return a->code == 421 && strncmp(a->enhanced, "4.7.", 4) == 0;
}

static void slow_down(struct out_site *t, const struct attempt *a)
{
	int64_t now = loop_now_ms(t->o->loop);

	if (now < t->slow_until_ms)
		return; /* what was under way then says the same */
	t->slow_ms = t->slow_ms == 0 ? SLOW_FIRST_MS : t->slow_ms * 2;
	if (t->slow_ms > SLOW_MAX_MS)
		t->slow_ms = SLOW_MAX_MS;
	t->slow_until_ms = now + t->slow_ms;
	if (t->limit > t->sessions_n)
		t->limit = t->sessions_n;
	t->limit = t->limit > 1 ? t->limit / 2 : 1;
	t->limit_until_ms = now + SLOW_LIMIT_MS;
	t->creeps = true;
	t->good = 0;
	note_why(t, a);
	if (log_limited_at(LOG_LEVEL_INFO, "smtpout.slow-down"))
		log_info(NULL, "smtpout.slow-down", F_STR("host", a->host),
			 F_U64("connections", t->limit), F_I64("ms", t->slow_ms),
			 F_STR("reply", a->reply));
	tell_all(t);
}

void out_site_result(struct out_session *s, const struct attempt *a)
{
	struct out_site *t = s->site;

	if (a->outcome == OUTCOME_DEFERRED) {
		if (s->hop->trouble == NULL)
			s->hop->trouble = xcalloc(1, sizeof(*s->hop->trouble));
		*s->hop->trouble = *a;
	}
	if (is_slow_down(t->o, a)) {
		slow_down(t, a);
		return;
	}
	if (a->outcome != OUTCOME_DELIVERED)
		return;
	t->pause_ms = 0;
	if (++t->good < t->limit * CREEP_ROUNDS)
		return;
	t->good = 0;
	t->slow_ms = t->slow_ms > SLOW_FIRST_MS ? t->slow_ms / 2 : 0;
	if (t->creeps && t->limit < t->o->cfg.per_hop_max)
		t->limit++;
}
