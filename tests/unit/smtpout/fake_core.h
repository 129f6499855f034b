/*
 * What the client of SMTP stands on, in the place of the real one: a scheduler with a few letters,
 * and a resolver that is told its answers. Included by one file of a program.
 */
#ifndef UNIT_SMTPOUT_FAKE_CORE_H
#define UNIT_SMTPOUT_FAKE_CORE_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/mem.h"
#include "base/obj.h"
#include "loop/loop.h"
#include "smtpout/smtpout.h"

#ifndef LETTERS_MAX
#define LETTERS_MAX 600
#define HOPS_MAX 700
#endif
#define LETTER_RCPTS_MAX 4
#define CORE_NOW_MS INT64_C(1795490000000)

enum rcpt_state { RCPT_NONE, RCPT_READY, RCPT_GIVEN, RCPT_DONE };

struct letter {
	struct message m;
	struct message_rcpt rcpts[LETTER_RCPTS_MAX];
	char addresses[LETTER_RCPTS_MAX][64];
	enum rcpt_state state[LETTER_RCPTS_MAX];
	struct attempt result[LETTER_RCPTS_MAX];
	unsigned backs[LETTER_RCPTS_MAX]; /* how often it came back untried */
	char hop[64];
	int refs;
};

struct fake_hop {
	char key[64];
	int priority; /* of what is ready */
	bool waiting; /* was reported as unreachable */
	unsigned reports;
	int64_t slow_until_ms; /* wall clock */
	unsigned slowed;
	bool permanent;
	struct attempt why;
	/* the resolver's answer */
	struct resolve_host hosts[4];
	struct ipaddr addresses[4][4];
	size_t hosts_n;
	uint16_t port;
	struct resolve_failure failure;
	unsigned asked;
};

static struct {
	struct loop *loop;
	struct smtpout *out;
	struct letter letters[LETTERS_MAX];
	unsigned letters_n;
	struct fake_hop hops[HOPS_MAX];
	unsigned hops_n;
	bool later;	/* messages come only when core_turn() brings them, as from the disk */
	bool no_answer; /* the resolver says nothing */
	bool inside;	/* a call that must not call back */
	struct {
		uint64_t token;
		struct letter *l;
		unsigned ns[LETTER_RCPTS_MAX];
		unsigned n;
	} wants[64];
	unsigned wants_n;
	struct {
		uint64_t id;
		resolve_fn *fn;
		void *arg;
		struct fake_hop *hop;
	} asks[HOPS_MAX];
	unsigned asks_n;
	uint64_t ask_last;
	unsigned done; /* calls of sched_done() */
} core;

static struct fake_hop *core_hop(const char *key)
{
	for (unsigned i = 0; i < core.hops_n; i++)
		if (strcmp(core.hops[i].key, key) == 0)
			return &core.hops[i];
	ASSERT(core.hops_n < HOPS_MAX);
	struct fake_hop *h = &core.hops[core.hops_n++];
	(void)snprintf(h->key, sizeof(h->key), "%s", key);
	return h;
}

static struct letter *core_letter_of(struct msgid id)
{
	ASSERT(id.v >= 1 && id.v <= core.letters_n);
	return &core.letters[id.v - 1];
}

/* --- the scheduler ---------------------------------------------------------------------------- */

void message_unref(const struct message **mp)
{
	if (*mp != NULL)
		core_letter_of((*mp)->id)->refs--;
	*mp = NULL;
}

/* Nobody keeps what was said. */
uint64_t queue_connection(struct queue *q, struct str talk)
{
	(void)q;
	(void)talk;
	return 0;
}

void queue_talk(struct queue *q, struct rid rid, struct str talk)
{
	(void)q;
	(void)rid;
	(void)talk;
}

int sched_priority(const struct sched *s, const char *next_hop)
{
	(void)s;
	return core_hop(next_hop)->priority;
}

static unsigned core_ready(const char *hop)
{
	unsigned n = 0;
	for (unsigned i = 0; i < core.letters_n; i++)
		for (unsigned k = 0; k < core.letters[i].m.rcpts_n; k++)
			n += strcmp(core.letters[i].hop, hop) == 0 &&
			     core.letters[i].state[k] == RCPT_READY;
	return n;
}

static bool core_waits(const struct fake_hop *h)
{
	return h->waiting || h->slow_until_ms != 0;
}

void sched_slow(struct sched *s, const char *next_hop, const struct attempt *why, int64_t until_ms)
{
	(void)s;
	struct fake_hop *h = core_hop(next_hop);
	ASSERT(why->reply[0] != '\0' && until_ms > loop_wall_ms(core.loop));
	h->slow_until_ms = until_ms;
	h->slowed++;
	h->why = *why;
}

void sched_want(struct sched *s, const char *next_hop, uint64_t token)
{
	(void)s;
	ASSERT(!core.inside);
	for (unsigned i = 0; i < core.letters_n && !core_waits(core_hop(next_hop)); i++) {
		struct letter *l = &core.letters[i];
		unsigned ns[LETTER_RCPTS_MAX];
		unsigned n = 0;
		if (strcmp(l->hop, next_hop) != 0)
			continue;
		for (unsigned k = 0; k < l->m.rcpts_n; k++)
			if (l->state[k] == RCPT_READY) {
				l->state[k] = RCPT_GIVEN;
				ns[n++] = k + 1;
			}
		if (n == 0)
			continue;
		l->refs++;
		if (!core.later) {
			smtpout_give(core.out, token, &l->m, ns, n);
			return;
		}
		ASSERT(core.wants_n < ARRAY_LEN(core.wants));
		core.wants[core.wants_n].token = token;
		core.wants[core.wants_n].l = l;
		memcpy(core.wants[core.wants_n].ns, ns, sizeof(ns));
		core.wants[core.wants_n++].n = n;
		return;
	}
	smtpout_give(core.out, token, NULL, NULL, 0);
}

static void core_back(struct letter *l, unsigned n)
{
	ASSERT(l->state[n - 1] == RCPT_GIVEN);
	l->state[n - 1] = RCPT_READY;
	l->backs[n - 1]++;
}

void sched_unwant(struct sched *s, uint64_t token)
{
	(void)s;
	for (unsigned i = 0; i < core.wants_n; i++)
		if (core.wants[i].token == token)
			core.wants[i].token = 0;
}

void sched_give_back(struct sched *s, const struct rid *rids, unsigned n)
{
	(void)s;
	ASSERT(n > 0);
	for (unsigned i = 0; i < n; i++)
		core_back(core_letter_of(rid_msgid(rids[i])), rid_n(rids[i]));
}

void sched_done(struct sched *s, const struct message *m, const struct sched_result *r, unsigned n)
{
	(void)s;
	ASSERT(m != NULL && n > 0);
	core.done++;
	for (unsigned i = 0; i < n; i++) {
		struct letter *l = core_letter_of(rid_msgid(r[i].rid));
		unsigned k = rid_n(r[i].rid) - 1;
		const struct attempt *a = &r[i].attempt;
		ASSERT(m == &l->m && k < l->m.rcpts_n && l->state[k] == RCPT_GIVEN);
		ASSERT(a->outcome == OUTCOME_DELIVERED || a->outcome == OUTCOME_DEFERRED ||
		       a->outcome == OUTCOME_FAILED);
		ASSERT(a->at_ms >= CORE_NOW_MS && a->at_ms <= loop_wall_ms(core.loop));
		ASSERT(a->reply[0] != '\0');
		ASSERT(a->code == 0 || a->reply_class == 0);
		ASSERT(a->outcome != OUTCOME_DELIVERED || a->code / 100 == 2);
		l->state[k] = RCPT_DONE;
		l->result[k] = *a;
	}
}

void sched_unreachable(struct sched *s, const char *next_hop, const struct attempt *why,
		       bool permanent)
{
	(void)s;
	struct fake_hop *h = core_hop(next_hop);
	ASSERT(!h->waiting && why->reply[0] != '\0');
	h->waiting = true;
	h->reports++;
	h->permanent = permanent;
	h->why = *why;
}

/* --- the resolver ----------------------------------------------------------------------------- */

uint64_t resolver_ask(struct resolver *r, const char *next_hop, unsigned wants, resolve_fn *fn,
		      void *arg)
{
	(void)wants;
	(void)r;
	ASSERT(core.asks_n < ARRAY_LEN(core.asks));
	struct fake_hop *h = core_hop(next_hop);
	h->asked++;
	core.asks[core.asks_n].id = ++core.ask_last;
	core.asks[core.asks_n].fn = fn;
	core.asks[core.asks_n].arg = arg;
	core.asks[core.asks_n++].hop = h;
	return core.ask_last;
}

void resolver_cancel(struct resolver *r, uint64_t ask)
{
	(void)r;
	for (unsigned i = 0; i < core.asks_n; i++)
		if (core.asks[i].id == ask) {
			core.asks[i] = core.asks[--core.asks_n];
			return;
		}
	BUG("cancelled what was not asked");
}

static void core_resolve(void)
{
	for (unsigned n = core.no_answer ? 0 : core.asks_n; n > 0 && core.asks_n > 0; n--) {
		struct fake_hop *h = core.asks[0].hop;
		resolve_fn *fn = core.asks[0].fn;
		void *arg = core.asks[0].arg;
		struct resolve_answer a = { .hosts = h->hosts,
					    .hosts_n = h->hosts_n,
					    .port = h->port,
					    .provider = "",
					    .failure = h->hosts_n == 0 ? &h->failure : NULL };
		memmove(&core.asks[0], &core.asks[1], --core.asks_n * sizeof(core.asks[0]));
		fn(arg, &a);
	}
}

/* A host of a next hop, with addresses parted by spaces. */
static void core_host(const char *hop, const char *name, uint16_t preference, uint16_t port,
		      const char *addresses)
{
	struct fake_hop *h = core_hop(hop);
	struct str rest = str_of(addresses);
	size_t i = h->hosts_n++;
	size_t n = 0;

	ASSERT(i < ARRAY_LEN(h->hosts));
	while (rest.n > 0)
		if (!ipaddr_parse(str_cut(&rest, ' '), &h->addresses[i][n++]))
			BUG("no address in %s", addresses);
	h->port = port;
	h->hosts[i] = (struct resolve_host){ .name = name,
					     .preference = preference,
					     .addresses = h->addresses[i],
					     .addresses_n = n };
}

/* --- letters ---------------------------------------------------------------------------------- */

/* A letter to n recipients, c1@d.example and so on. The content is borrowed. */
static struct letter *core_submit(const char *hop, struct str content, unsigned n)
{
	ASSERT(core.letters_n < LETTERS_MAX && n <= LETTER_RCPTS_MAX);
	struct letter *l = &core.letters[core.letters_n++];
	*l = (struct letter){ .m = { .id = { core.letters_n },
				     .sender = STR("a@b.example"),
				     .size = content.n,
				     .content = content,
				     .rcpts = l->rcpts,
				     .rcpts_n = n } };
	(void)snprintf(l->hop, sizeof(l->hop), "%s", hop);
	for (unsigned k = 0; k < n; k++) {
		(void)snprintf(l->addresses[k], sizeof(l->addresses[k]), "c%u@d.example", k + 1);
		l->rcpts[k] =
			(struct message_rcpt){ .n = k + 1, .address = str_of(l->addresses[k]) };
		l->state[k] = RCPT_READY;
	}
	return l;
}

static void core_kick(const char *hop)
{
	unsigned n = core_ready(hop);
	if (n > 0 && !core_waits(core_hop(hop)))
		smtpout_kick(core.out, hop, n);
}

/* Messages that were asked for come, names are resolved, the loop turns. */
static void core_turn(void)
{
	for (unsigned n = core.wants_n; n > 0; n--) {
		uint64_t token = core.wants[0].token;
		struct letter *l = core.wants[0].l;
		unsigned ns[LETTER_RCPTS_MAX];
		unsigned ns_n = core.wants[0].n;
		memcpy(ns, core.wants[0].ns, sizeof(ns));
		memmove(&core.wants[0], &core.wants[1], --core.wants_n * sizeof(core.wants[0]));
		if (token != 0) {
			smtpout_give(core.out, token, &l->m, ns, ns_n);
			continue;
		}
		const struct message *m = &l->m;
		for (unsigned k = 0; k < ns_n; k++)
			core_back(l, ns[k]);
		message_unref(&m);
	}
	for (unsigned i = 0; i < core.hops_n; i++)
		if (core.hops[i].slow_until_ms != 0 &&
		    core.hops[i].slow_until_ms <= loop_wall_ms(core.loop)) {
			core.hops[i].slow_until_ms = 0;
			core_kick(core.hops[i].key);
		}
	core_resolve();
	loop_advance(core.loop, 0);
}

static void core_open(const struct smtpout_config *cfg)
{
	memset(&core, 0, sizeof(core));
	log_level_set(LOG_LEVEL_WARN);
	core.loop = loop_new();
	loop_fake_clock(core.loop, CORE_NOW_MS);
	struct smtpout_config c = *cfg;
	c.hostname = "relay.example";
	core.out = smtpout_new(core.loop, &c, NULL, NULL);
}

/* Whatever was given out is back or decided, and nobody holds a message. */
static void core_close(void)
{
	smtpout_free(&core.out);
	core_turn();
	ASSERT(core.asks_n == 0);
	for (unsigned i = 0; i < core.letters_n; i++) {
		ASSERT(core.letters[i].refs == 0);
		for (unsigned k = 0; k < core.letters[i].m.rcpts_n; k++)
			ASSERT(core.letters[i].state[k] != RCPT_GIVEN);
	}
	loop_free(&core.loop);
}

#endif
