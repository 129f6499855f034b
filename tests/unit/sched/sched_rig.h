/*
 * sched_rig - the scheduler on a fake store and a clock that stands still: letters, whoever takes
 * them, and what they answer. One program, one rig.
 */
#ifndef TESTS_SCHED_RIG_H
#define TESTS_SCHED_RIG_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/mem.h"
#include "loop/loop.h"
#include "sched/sched.h"

#define RIG_UNUSED __attribute__((__unused__)) static
#define START INT64_C(1790000000000)
#define MESSAGES 400
#define RCPTS 3
#define DOMAINS 5
#define DAY (INT64_C(86400) * 1000)

struct letter {
	struct message m;
	struct message_rcpt rcpts[RCPTS];
	int refs;
};

static struct {
	struct loop *loop;
	struct sched *s;
	struct letter letters[MESSAGES];
	unsigned letters_n;
	bool cached; /* reads answer at once */
	struct {
		struct msgid id;
		queue_message_fn *fn;
		void *arg;
	} reads[256];
	unsigned reads_n;
	int read_error;
	/* rules */
	uint32_t held_domain;
	uint32_t asked_sender_hold; /* a hold of letters with an odd index */
	char route[SCHED_KEY_MAX];  /* for domain 1; empty: MX */
	bool undecided;		    /* domain 1 depends on the message */
	int64_t extra;
	/* what was seen */
	char kicked[SCHED_KEY_MAX];
	unsigned kicks;
	unsigned delayed; /* recipients */
	unsigned troubles;
	const struct message *given;
	unsigned given_ns[SCHED_DELIVERY_MAX];
	unsigned given_n;
	uint64_t given_token;
	struct queue_result recorded[8192];
	unsigned recorded_n;
	uint64_t tickets[512];
	unsigned tickets_n;
	bool keep_tickets;
	bool ends;
	struct rid asked[200]; /* queue_entries() */
	size_t asked_n;
	queue_entries_fn *told;
	void *told_arg;
} t;

/* --- the fake store --------------------------------------------------------------------------- */

static struct letter *letter_of(struct msgid id)
{
	for (unsigned k = 0; k < t.letters_n; k++)
		if (msgid_eq(t.letters[k].m.id, id))
			return &t.letters[k];
	fail_msg("a message that was never submitted");
	abort();
}

void message_unref(const struct message **mp)
{
	if (*mp != NULL)
		letter_of((*mp)->id)->refs--;
	*mp = NULL;
}

const struct message *queue_message_cached(struct queue *q, struct msgid id)
{
	(void)q;
	struct letter *l = letter_of(id);
	if (!t.cached)
		return NULL;
	l->refs++;
	return &l->m;
}

void queue_message_read(struct queue *q, struct msgid id, bool content, queue_message_fn *fn,
			void *arg)
{
	(void)q;
	(void)content;
	assert_true(t.reads_n < ARRAY_LEN(t.reads));
	t.reads[t.reads_n].id = id;
	t.reads[t.reads_n].fn = fn;
	t.reads[t.reads_n++].arg = arg;
}

void queue_record(struct queue *q, const struct queue_result *r)
{
	(void)q;
	assert_true(t.recorded_n < ARRAY_LEN(t.recorded));
	t.recorded[t.recorded_n++] = *r;
}

void queue_entries(struct queue *q, const struct rid *rids, size_t n, queue_entries_fn *fn,
		   void *arg)
{
	(void)q;
	assert_true(n <= ARRAY_LEN(t.asked));
	memcpy(t.asked, rids, n * sizeof(*rids));
	t.asked_n = n;
	t.told = fn;
	t.told_arg = arg;
}

/* --- the wiring ------------------------------------------------------------------------------- */

static void judge_group(void *arg, uint32_t domain, uint32_t stream, struct sched_verdict *ret)
{
	(void)arg;
	(void)stream;
	if (domain == 1 && t.undecided)
		ret->next_hop[0] = '\0';
	else if (domain == 1 && t.route[0] != '\0')
		(void)snprintf(ret->next_hop, sizeof(ret->next_hop), "%s", t.route);
	else
		(void)snprintf(ret->next_hop, sizeof(ret->next_hop), "mx:d%u", domain);
	ret->hold = domain == t.held_domain ? 7 : 0;
	ret->hold_asks = t.asked_sender_hold != 0;
}

static void judge_rcpt(void *arg, const struct message *m, const struct message_rcpt *r,
		       const struct sched_view *v, struct sched_verdict *ret)
{
	judge_group(arg, r->domain, v->stream, ret);
	if (r->domain == 1 && t.undecided)
		(void)snprintf(ret->next_hop, sizeof(ret->next_hop), "smarthost:h:25");
	if (ret->hold == 0 && t.asked_sender_hold != 0 && (letter_of(m->id) - t.letters) % 2 == 1)
		ret->hold = t.asked_sender_hold;
}

static int64_t extra_life(void *arg, const struct sched_view *v)
{
	(void)arg;
	(void)v;
	return t.extra;
}

static void kick(void *arg, const char *next_hop, unsigned n)
{
	(void)arg;
	assert_true(n > 0);
	(void)snprintf(t.kicked, sizeof(t.kicked), "%s", next_hop);
	t.kicks++;
}

static void give(void *arg, uint64_t token, const struct message *m, const unsigned *ns, unsigned n)
{
	(void)arg;
	t.given_token = token;
	t.given = m;
	t.given_n = n;
	if (n > 0)
		memcpy(t.given_ns, ns, n * sizeof(*ns));
}

static void classify(void *arg, struct attempt *a)
{
	(void)arg;
	a->reply_class = 3;
}

static void failed(void *arg, const struct message *m, const struct queue_result *results,
		   unsigned n, uint64_t ticket)
{
	(void)arg;
	(void)m;
	(void)results;
	assert_true(n > 0);
	if (t.keep_tickets) {
		assert_true(t.tickets_n < ARRAY_LEN(t.tickets));
		t.tickets[t.tickets_n++] = ticket;
	} else {
		sched_failed_recorded(t.s, ticket);
	}
}

static void delayed(void *arg, const struct message *m, const struct queue_result *results,
		    unsigned n)
{
	(void)arg;
	(void)m;
	for (unsigned k = 0; k < n; k++)
		assert_int_equal(results[k].attempt.outcome, OUTCOME_DEFERRED);
	t.delayed += n;
}

static bool end_all(void *arg, const struct message *m, const struct message_rcpt *r,
		    struct attempt *ret)
{
	(void)arg;
	(void)m;
	(void)r;
	if (!t.ends)
		return false;
	*ret = (struct attempt){ .outcome = OUTCOME_FAILED, .code = 550, .enhanced = "5.7.1" };
	(void)snprintf(ret->reply, sizeof(ret->reply), "the address is suppressed");
	return true;
}

static void trouble(void *arg)
{
	(void)arg;
	t.troubles++;
}

static const struct sched_ops ops = {
	.judge_group = judge_group,
	.judge_rcpt = judge_rcpt,
	.ends = end_all,
	.extra_life = extra_life,
	.kick = kick,
	.give = give,
	.classify = classify,
	.delayed = delayed,
	.failed = failed,
	.trouble = trouble,
};

RIG_UNUSED void settle(void)
{
	loop_advance(t.loop, 0);
	while (t.reads_n > 0) {
		queue_message_fn *fn = t.reads[0].fn;
		void *arg = t.reads[0].arg;
		struct letter *l = letter_of(t.reads[0].id);
		memmove(&t.reads[0], &t.reads[1], --t.reads_n * sizeof(t.reads[0]));
		if (t.read_error != 0) {
			struct err err = { .code = t.read_error, .msg = "broken" };
			fn(arg, NULL, &err);
		} else {
			l->refs++;
			fn(arg, &l->m, NULL);
		}
		loop_advance(t.loop, 0);
	}
}

RIG_UNUSED int setup(void **state)
{
	(void)state;
	memset(&t, 0, sizeof(t));
	t.cached = true;
	t.loop = loop_new();
	loop_fake_clock(t.loop, START);
	static const struct sched_config cfg = { .retry_first_ms = 60000,
						 .retry_max_ms = 3600000,
						 .lifetime_ms = 5 * DAY,
						 .delay_ms = DAY / 6,
						 .backoff_first_ms = 30000,
						 .backoff_max_ms = 600000 };
	t.s = sched_new(t.loop, NULL, &cfg, &ops, NULL);
	sched_start(t.s);
	return 0;
}

RIG_UNUSED int teardown(void **state)
{
	(void)state;
	while (t.reads_n > 0)
		settle();
	sched_free(&t.s);
	loop_free(&t.loop);
	for (unsigned k = 0; k < t.letters_n; k++)
		if (t.letters[k].refs != 0)
			return -1; /* a message was not given back */
	return 0;
}

RIG_UNUSED struct letter *submit(unsigned n, const uint32_t *domains)
{
	assert_true(t.letters_n < MESSAGES && n <= RCPTS);
	struct letter *l = &t.letters[t.letters_n++];
	struct msgid last = { t.letters_n > 1 ? t.letters[t.letters_n - 2].m.id.v : 0 };
	l->m.id = msgid_next(last, loop_wall_ms(t.loop));
	l->m.stream = 1;
	l->m.expires_ms = loop_wall_ms(t.loop) + 5 * DAY;
	l->m.content = STR("x\r\n");
	for (unsigned k = 0; k < n; k++)
		l->rcpts[k] = (struct message_rcpt){ .n = k + 1, .domain = domains[k] };
	l->m.rcpts = l->rcpts;
	l->m.rcpts_n = n;
	sched_add(t.s, &l->m);
	return l;
}

RIG_UNUSED struct letter *submit_to(uint32_t domain)
{
	return submit(1, &domain);
}

RIG_UNUSED void want(const char *next_hop)
{
	static uint64_t token;
	t.given = NULL;
	t.given_n = 0;
	sched_want(t.s, next_hop, ++token);
	settle();
	assert_int_equal(t.given_token, token);
}

RIG_UNUSED void answer(enum outcome o)
{
	struct sched_result r[SCHED_DELIVERY_MAX];
	memset(r, 0, sizeof(r));
	for (unsigned k = 0; k < t.given_n; k++) {
		r[k].rid = rid_of(t.given->id, t.given_ns[k]);
		r[k].attempt.at_ms = loop_wall_ms(t.loop);
		r[k].attempt.outcome = o;
		r[k].attempt.code = o == OUTCOME_DELIVERED ? 250 : o == OUTCOME_FAILED ? 550 : 451;
	}
	sched_done(t.s, t.given, r, t.given_n);
	message_unref(&t.given);
	settle();
}

RIG_UNUSED enum sched_state state_of(const struct letter *l, unsigned n)
{
	struct sched_view v;
	if (!sched_find(t.s, rid_of(l->m.id, n), &v))
		return SCHED_STATE__COUNT;
	return v.state;
}

#endif
