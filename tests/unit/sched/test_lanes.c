/*
 * Priorities and caps of streams, on a fake clock: small dialogs, and a random walk in which no cap
 * is ever passed, nothing less urgent goes first, and everything gets away in the end.
 */
#include "sched/sched.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/mem.h"
#include "loop/loop.h"

#define START INT64_C(1790000000000)
#define LETTERS 3000
#define OUT_MAX 64
#define DAY (INT64_C(86400) * 1000)

struct letter {
	struct message m;
	struct message_rcpt rcpts[2];
	int64_t given_ms;
};

static struct {
	struct loop *loop;
	struct sched *s;
	struct letter letters[LETTERS];
	unsigned letters_n;
	bool one_site; /* all next hops have the same hosts */
	char route[SCHED_KEY_MAX];
	/* sessions with something in hand */
	struct out {
		const struct message *m;
		unsigned ns[SCHED_DELIVERY_MAX];
		unsigned n;
	} out[OUT_MAX], last;
	unsigned out_n;
	unsigned kicked; /* of the last kick */
	unsigned kicks;
	char kicked_hop[SCHED_KEY_MAX];
	struct queue_result recorded;
} t;

static struct letter *letter_of(struct msgid id)
{
	for (unsigned k = t.letters_n; k-- > 0;)
		if (msgid_eq(t.letters[k].m.id, id))
			return &t.letters[k];
	fail_msg("a message that was never submitted");
	abort();
}

void message_unref(const struct message **mp)
{
	*mp = NULL;
}

const struct message *queue_message_cached(struct queue *q, struct msgid id)
{
	(void)q;
	return &letter_of(id)->m;
}

void queue_message_read(struct queue *q, struct msgid id, bool content, queue_message_fn *fn,
			void *arg)
{
	(void)q;
	(void)content;
	fn(arg, &letter_of(id)->m, NULL);
}

void queue_entries(struct queue *q, const struct rid *rids, size_t n, queue_entries_fn *fn,
		   void *arg)
{
	(void)q;
	(void)rids;
	(void)n;
	(void)fn;
	(void)arg;
}

void queue_record(struct queue *q, const struct queue_result *r)
{
	(void)q;
	t.recorded = *r;
}

static void judge_group(void *arg, uint32_t domain, uint32_t stream, struct sched_verdict *ret)
{
	(void)arg;
	(void)stream;
	if (t.route[0] != '\0')
		(void)snprintf(ret->next_hop, sizeof(ret->next_hop), "%s", t.route);
	else
		(void)snprintf(ret->next_hop, sizeof(ret->next_hop), "mx:d%u", domain);
}

static void judge_rcpt(void *arg, const struct message *m, const struct message_rcpt *r,
		       const struct sched_view *v, struct sched_verdict *ret)
{
	(void)v;
	judge_group(arg, r->domain, m->stream, ret);
}

static int64_t extra_life(void *arg, const struct sched_view *v)
{
	(void)arg;
	(void)v;
	return 0;
}

static const char *site(void *arg, const char *next_hop)
{
	(void)arg;
	return t.one_site ? "25 mx.example" : next_hop;
}

static void kick(void *arg, const char *next_hop, unsigned n)
{
	(void)arg;
	assert_true(n > 0);
	t.kicked = n;
	t.kicks++;
	(void)snprintf(t.kicked_hop, sizeof(t.kicked_hop), "%s", next_hop);
}

static void give(void *arg, uint64_t token, const struct message *m, const unsigned *ns, unsigned n)
{
	(void)arg;
	(void)token;
	t.last = (struct out){ .m = m, .n = n };
	if (n > 0)
		memcpy(t.last.ns, ns, n * sizeof(*ns));
}

static void classify(void *arg, struct attempt *a)
{
	(void)arg;
	(void)a;
}

static void failed(void *arg, const struct message *m, const struct queue_result *results,
		   unsigned n, uint64_t ticket)
{
	(void)arg;
	(void)m;
	(void)results;
	(void)n;
	sched_failed_recorded(t.s, ticket);
}

static const struct sched_ops ops = {
	.judge_group = judge_group,
	.judge_rcpt = judge_rcpt,
	.extra_life = extra_life,
	.site = site,
	.kick = kick,
	.give = give,
	.classify = classify,
	.failed = failed,
};

static int setup(void **state)
{
	static const struct sched_config cfg = { .retry_first_ms = 60000,
						 .retry_max_ms = 3600000,
						 .lifetime_ms = 5 * DAY,
						 .backoff_first_ms = 30000,
						 .backoff_max_ms = 600000 };
	(void)state;
	memset(&t, 0, sizeof(t));
	t.loop = loop_new();
	loop_fake_clock(t.loop, START);
	t.s = sched_new(t.loop, NULL, &cfg, &ops, NULL);
	sched_start(t.s);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	sched_free(&t.s);
	loop_free(&t.loop);
	return 0;
}

static struct letter *submit(uint32_t stream, unsigned n, uint32_t domain)
{
	assert_true(t.letters_n < LETTERS);
	struct letter *l = &t.letters[t.letters_n++];
	struct msgid before = { t.letters_n > 1 ? t.letters[t.letters_n - 2].m.id.v : 0 };
	l->m.id = msgid_next(before, loop_wall_ms(t.loop));
	l->m.stream = stream;
	l->m.expires_ms = loop_wall_ms(t.loop) + 5 * DAY;
	l->m.content = STR("x\r\n");
	for (unsigned k = 0; k < n; k++)
		l->rcpts[k] = (struct message_rcpt){ .n = k + 1, .domain = domain };
	l->m.rcpts = l->rcpts;
	l->m.rcpts_n = n;
	sched_add(t.s, &l->m);
	loop_advance(t.loop, 0);
	return l;
}

/* A session asks: the stream that it was given a message of, or 0. */
static uint32_t want(const char *next_hop)
{
	sched_want(t.s, next_hop, 1);
	if (t.last.m == NULL)
		return 0;
	assert_true(t.out_n < OUT_MAX);
	letter_of(t.last.m->id)->given_ms = loop_wall_ms(t.loop);
	t.out[t.out_n++] = t.last;
	return t.last.m->stream;
}

static void answer(unsigned i, enum outcome o)
{
	struct sched_result r[SCHED_DELIVERY_MAX];
	struct out x = t.out[i];
	memset(r, 0, sizeof(r));
	for (unsigned k = 0; k < x.n; k++) {
		r[k].rid = rid_of(x.m->id, x.ns[k]);
		r[k].attempt = (struct attempt){ .at_ms = loop_wall_ms(t.loop), .outcome = o };
	}
	t.out[i] = t.out[--t.out_n];
	sched_done(t.s, x.m, r, x.n);
	loop_advance(t.loop, 0);
}

static void streams(struct sched_stream a, struct sched_stream b)
{
	struct sched_stream v[2] = { a, b };
	for (int i = 0; i < 2; i++) {
		v[i].stream = (uint32_t)i + 1;
		v[i].delay_ms = -1;
		v[i].priority = v[i].priority > 0 ? v[i].priority : SCHED_PRIORITY;
	}
	sched_streams(t.s, v, 2);
	loop_advance(t.loop, 0);
}
#define S(...) ((struct sched_stream){ __VA_ARGS__ })

/* --- dialogs ---------------------------------------------------------------------------------- */

static void test_urgent_first(void **state)
{
	(void)state;
	streams(S(.priority = 2), S(.priority = 8));
	for (int i = 0; i < 5; i++)
		(void)submit(1, 1, 1);
	assert_int_equal(sched_priority(t.s, "mx:d1"), 2);
	assert_int_equal(want("mx:d1"), 1);
	(void)submit(2, 1, 1);
	assert_int_equal(sched_priority(t.s, "mx:d1"), 8);
	assert_int_equal(want("mx:d1"), 2);
	assert_int_equal(want("mx:d1"), 1);
	(void)submit(2, 1, 1);
	streams(S(.priority = 8), S(.priority = 2)); /* turned round while they wait */
	assert_int_equal(want("mx:d1"), 1);
	streams(S(.priority = 5), S(.priority = 5)); /* and in turn when they are as urgent */
	(void)submit(2, 1, 1);
	uint32_t first = want("mx:d1");
	assert_int_equal(want("mx:d1"), 3 - first);
	(void)submit(9, 1, 1); /* no such stream: as others without settings */
	assert_int_equal(sched_priority(t.s, "mx:d1"), SCHED_PRIORITY);
}

static void test_concurrency(void **state)
{
	struct sched_cap_view c;
	(void)state;
	streams(S(.concurrency = 2), S(.priority = 5));
	for (int i = 0; i < 6; i++)
		(void)submit(1, 2, 1);
	assert_int_equal(t.kicked, 2); /* no sessions for what may not go */
	assert_false(sched_cap(t.s, "mx:d1", 1, &c));
	assert_int_equal(want("mx:d1"), 1);
	assert_int_equal(want("mx:d1"), 1);
	assert_int_equal(t.out[0].n, 2); /* one message, two recipients: one */
	assert_int_equal(want("mx:d1"), 0);
	assert_true(sched_cap(t.s, "mx:d1", 1, &c));
	assert_true(c.full);
	assert_int_equal(c.active, 2);
	assert_int_equal(c.concurrency, 2);
	(void)submit(2, 1, 1);
	assert_int_equal(want("mx:d1"), 2); /* others are not concerned */
	unsigned before = t.kicks;
	answer(0, OUTCOME_DEFERRED);
	assert_true(t.kicks > before);
	assert_int_equal(want("mx:d1"), 1);
	assert_int_equal(want("mx:d1"), 0);
	/* what is given back makes room, too */
	struct rid back[2] = { rid_of(t.last.m != NULL ? t.last.m->id : t.out[0].m->id, 1),
			       rid_of(t.out[0].m->id, 2) };
	back[0] = rid_of(t.out[0].m->id, 1);
	sched_give_back(t.s, back, t.out[0].n);
	t.out[0] = t.out[--t.out_n];
	assert_true(want("mx:d1") != 0);
	/* without the cap they go at once */
	streams(S(.priority = 5), S(.priority = 5));
	while (want("mx:d1") != 0)
		;
	assert_false(sched_cap(t.s, "mx:d1", 1, &c));
	while (t.out_n > 0)
		answer(0, OUTCOME_DELIVERED);
}

static void test_rate(void **state)
{
	struct sched_cap_view c;
	unsigned n = 0;
	(void)state;
	streams(S(.rate = 60), S(.priority = 5));
	for (int i = 0; i < 200; i++)
		(void)submit(1, 1, 1);
	while (want("mx:d1") != 0)
		n++;
	assert_int_equal(n, 1);
	assert_true(sched_cap(t.s, "mx:d1", 1, &c));
	assert_int_equal(c.rate, 60);
	assert_true(c.next_ms > loop_wall_ms(t.loop) && c.next_ms <= loop_wall_ms(t.loop) + 1000);
	/* what was not sent after all does not count */
	struct rid rid = rid_of(t.out[0].m->id, 1);
	sched_give_back(t.s, &rid, 1);
	t.out_n = 0;
	assert_int_equal(want("mx:d1"), 1);
	for (int ms = 0; ms < 120000; ms += 100) {
		unsigned before = t.kicks;
		loop_advance(t.loop, 100);
		if (t.kicks > before)
			while (want("mx:d1") != 0)
				n++;
		while (t.out_n > 0)
			answer(0, OUTCOME_DELIVERED);
	}
	assert_in_range(n, 118, 122);
}

/* The next hops of one site share the cap, and each has its turn. */
static void test_site(void **state)
{
	unsigned n[3] = { 0 };
	(void)state;
	t.one_site = true;
	streams(S(.concurrency = 1), S(.priority = 5));
	for (uint32_t d = 0; d < 3; d++)
		for (int i = 0; i < 20; i++)
			(void)submit(1, 1, d);
	assert_int_equal(want("mx:d0"), 1);
	assert_int_equal(want("mx:d1"), 0);
	assert_int_equal(want("mx:d2"), 0);
	assert_int_equal(want("mx:d0"), 0);
	for (int i = 0; i < 30; i++) {
		unsigned before = t.kicks;
		answer(0, OUTCOME_DELIVERED);
		assert_true(t.kicks > before); /* the next one is told */
		uint32_t d = (uint32_t)atoi(t.kicked_hop + 4);
		assert_int_equal(want(t.kicked_hop), 1);
		n[d]++;
	}
	for (int d = 0; d < 3; d++)
		assert_int_equal(n[d], 10);
	/* one that does not take what it was offered loses it to the others */
	answer(0, OUTCOME_DELIVERED);
	char lost[SCHED_KEY_MAX];
	(void)snprintf(lost, sizeof(lost), "%s", t.kicked_hop);
	for (int i = 0; i < 50 && strcmp(lost, t.kicked_hop) == 0; i++)
		loop_advance(t.loop, 100);
	assert_string_not_equal(lost, t.kicked_hop);
	assert_int_equal(want(t.kicked_hop), 1);
}

static void test_schedules(void **state)
{
	static const int64_t own[] = { 10, 100, 1000, 1000 };
	static const int64_t grows[] = { 10, 20, 40, 50, 50 };
	(void)state;
	streams(S(.retry_ms = { 10000, 100000, 1000000 }, .retry_n = 3),
		S(.retry_ms = { 10000 }, .retry_n = 1, .retry_doubles_to_ms = 50000));
	for (uint32_t stream = 1; stream <= 2; stream++) {
		const int64_t *s = stream == 1 ? own : grows;
		(void)submit(stream, 1, stream);
		for (int i = 0; i < (stream == 1 ? 4 : 5); i++) {
			char hop[20];
			(void)snprintf(hop, sizeof(hop), "mx:d%u", stream);
			assert_int_equal(want(hop), stream);
			answer(0, OUTCOME_DEFERRED);
			int64_t wait = t.recorded.next_ms - loop_wall_ms(t.loop);
			assert_in_range(wait, s[i] * 800, s[i] * 1200);
			loop_advance(t.loop, wait);
		}
	}
}

/* --- a random walk ---------------------------------------------------------------------------- */

static unsigned active_of(uint32_t stream)
{
	unsigned n = 0;
	for (unsigned k = 0; k < t.out_n; k++)
		n += t.out[k].m->stream == stream;
	return n;
}

static unsigned in_last_minute(uint32_t stream)
{
	unsigned n = 0;
	for (unsigned k = 0; k < t.letters_n; k++)
		n += t.letters[k].m.stream == stream &&
		     t.letters[k].given_ms > loop_wall_ms(t.loop) - 60000;
	return n;
}

static void step(void)
{
	struct sched_cap_view c;
	char hop[20];
	uint32_t stream;
	switch (rand() % 8) {
	case 0:
	case 1:
		if (t.letters_n < LETTERS)
			(void)submit(1 + (uint32_t)rand() % 2, 1 + (unsigned)rand() % 2,
				     (uint32_t)rand() % 3);
		break;
	case 2:
	case 3:
		(void)snprintf(hop, sizeof(hop), "mx:d%d", rand() % 3);
		int most = sched_priority(t.s, hop);
		if (t.out_n == OUT_MAX)
			break;
		stream = want(hop);
		if (stream == 1) /* the less urgent one: the other one had nothing to give */
			assert_true(most < 8 || sched_cap(t.s, hop, 2, &c));
		break;
	case 4:
	case 5:
		if (t.out_n > 0)
			answer((unsigned)rand() % t.out_n,
			       rand() % 4 == 0 ? OUTCOME_DEFERRED : OUTCOME_DELIVERED);
		break;
	case 6:
		loop_advance(t.loop, rand() % 500);
		break;
	default:
		if (rand() % 50 != 0)
			break;
		/* all mail by another way, and back */
		(void)snprintf(t.route, sizeof(t.route), "%s",
			       rand() % 2 == 0 ? "" : "smarthost:h:25");
		sched_rejudge(t.s, true);
		break;
	}
}

static void test_random(void **state)
{
	struct sched_counts c;
	uint64_t messages;
	int64_t oldest;
	(void)state;
	srand(7);
	t.one_site = true;
	streams(S(.priority = 2, .rate = 600, .concurrency = 2),
		S(.priority = 8, .concurrency = 3));
	for (int i = 0; i < 20000; i++) {
		step();
		assert_true(active_of(1) <= 2);
		assert_true(active_of(2) <= 3);
		if (i % 16 == 0)
			assert_true(in_last_minute(1) <= 600 + 11);
	}
	/* Everything gets away, told by kicks alone. */
	t.route[0] = '\0';
	sched_rejudge(t.s, true);
	while (t.out_n > 0)
		answer(0, OUTCOME_DELIVERED);
	t.kicked_hop[0] = '\0';
	for (int i = 0; i < 200000; i++) {
		sched_totals(t.s, &c, &messages, &oldest);
		if (c.total == 0)
			break;
		if (t.kicked_hop[0] == '\0' || want(t.kicked_hop) == 0) {
			t.kicked_hop[0] = '\0';
			loop_advance(t.loop, 50);
		} else {
			answer(0, OUTCOME_DELIVERED);
		}
	}
	assert_int_equal(c.total, 0);
}

#define T(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(test_urgent_first), T(test_concurrency), T(test_rate),
		T(test_site),	      T(test_schedules),   T(test_random),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
