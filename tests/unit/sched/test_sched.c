/*
 * The scheduler on a fake clock and a fake store: dialogs as an operator would tell them, and a
 * random walk in which every count is compared with a plain model.
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

static void settle(void)
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

static int setup(void **state)
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

static int teardown(void **state)
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

static struct letter *submit(unsigned n, const uint32_t *domains)
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

static struct letter *submit_to(uint32_t domain)
{
	return submit(1, &domain);
}

static void want(const char *next_hop)
{
	static uint64_t token;
	t.given = NULL;
	t.given_n = 0;
	sched_want(t.s, next_hop, ++token);
	settle();
	assert_int_equal(t.given_token, token);
}

static void answer(enum outcome o)
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

static enum sched_state state_of(const struct letter *l, unsigned n)
{
	struct sched_view v;
	if (!sched_find(t.s, rid_of(l->m.id, n), &v))
		return SCHED_STATE__COUNT;
	return v.state;
}

/* --- dialogs ---------------------------------------------------------------------------------- */

static void test_delivery(void **state)
{
	(void)state;
	struct letter *l = submit(3, (uint32_t[]){ 2, 2, 3 });
	settle();
	assert_int_equal(t.kicks, 2);
	want("mx:d2");
	assert_int_equal(t.given_n, 2);
	assert_int_equal(state_of(l, 2), SCHED_ACTIVE);
	answer(OUTCOME_DELIVERED);
	assert_int_equal(state_of(l, 1), SCHED_STATE__COUNT);
	assert_int_equal(state_of(l, 3), SCHED_READY);
	struct sched_counts c;
	uint64_t messages;
	int64_t oldest;
	sched_totals(t.s, &c, &messages, &oldest);
	assert_int_equal(messages, 1);
	assert_int_equal(c.total, 1);
	want("mx:d2");
	assert_int_equal(t.given_n, 0);
}

static void test_retry_grows(void **state)
{
	(void)state;
	struct letter *l = submit_to(2);
	int64_t last = 0;
	for (unsigned k = 0; k < 5; k++) {
		want("mx:d2");
		assert_int_equal(t.given_n, 1);
		answer(OUTCOME_DEFERRED);
		assert_int_equal(state_of(l, 1), SCHED_DEFERRED);
		struct sched_view v;
		assert_true(sched_find(t.s, rid_of(l->m.id, 1), &v));
		int64_t wait = v.next_ms - loop_wall_ms(t.loop);
		int64_t base = INT64_C(60000) << k;
		assert_in_range(wait, base * 4 / 5, base * 6 / 5 + 1);
		assert_true(wait > last);
		last = wait;
		assert_int_equal(v.attempts, k + 1);
		want("mx:d2");
		assert_int_equal(t.given_n, 0);
		loop_advance(t.loop, wait);
		assert_int_equal(state_of(l, 1), SCHED_READY);
	}
}

static int64_t trouble_of(uint32_t domain)
{
	struct sched_group_view v;
	for (uint32_t i = 0; i < sched_groups(t.s); i++)
		if (sched_group(t.s, i, &v) && v.domain == domain)
			return v.trouble_since_ms;
	return 0;
}

/* A destination that takes one now and then is in trouble since the first it did not take. */
static void test_trouble_lasts(void **state)
{
	(void)state;
	int64_t began = loop_wall_ms(t.loop);
	for (unsigned k = 0; k < 6; k++)
		(void)submit_to(2);
	for (unsigned k = 0; k < 4; k++) {
		want("mx:d2");
		assert_int_equal(t.given_n, 1);
		answer(k % 2 == 0 ? OUTCOME_DEFERRED : OUTCOME_DELIVERED);
		assert_int_equal(trouble_of(2), began);
		loop_advance(t.loop, 5000);
	}
	loop_advance(t.loop, 60000);
	want("mx:d2");
	answer(OUTCOME_DELIVERED);
	assert_int_equal(trouble_of(2), 0);
}

static struct sched_group_view group_of_domain(uint32_t domain)
{
	struct sched_group_view v = { .domain = 0 };

	for (uint32_t i = 0; i < sched_groups(t.s); i++)
		if (sched_group(t.s, i, &v) && v.domain == domain)
			return v;
	fail_msg("no group of d%u", domain);
	return v;
}

static struct rid load(uint32_t domain, unsigned n, uint8_t class)
{
	int64_t now = loop_wall_ms(t.loop);
	struct queue_row row = { .rid = rid_of(
					 msgid_next((struct msgid){ 0 }, now - 60000 * (int64_t)n),
					 1),
				 .domain = domain,
				 .stream = 1,
				 .next_ms = now + 3600000,
				 .attempts = class != 0,
				 .code = class != 0 ? 451 : 0,
				 .reply_class = class };

	sched_load(t.s, &row);
	return row.rid;
}

/* After a restart a destination has the class that most of its recipients have, trouble since the
 * first of them came in, and one's reply; what is met in the meantime counts more. */
static void test_trouble_is_recalled(void **state)
{
	(void)state;
	(void)load(2, 9, 5);
	for (unsigned k = 1; k < 4; k++)
		(void)load(2, k, 7);
	(void)load(3, 20, 0);
	(void)load(4, 21, 5);
	assert_int_equal(group_of_domain(2).last_class, 7);
	assert_int_equal(
		group_of_domain(2).trouble_since_ms,
		msgid_time_ms(msgid_next((struct msgid){ 0 }, loop_wall_ms(t.loop) - 9 * 60000)));
	assert_int_equal(group_of_domain(3).last_class, 0);
	assert_int_equal(group_of_domain(3).trouble_since_ms, 0);
	sched_stop(t.s);
	sched_start(t.s);
	assert_int_equal(t.asked_n, 2);
	struct queue_entry rows[2] = {
		{ .rid = t.asked[0], .reply_class = 7, .reply = STR("450 four"), .code = 450 },
		{ .rid = t.asked[1], .reply_class = 5, .reply = STR("451 one"), .code = 451 },
	};
	t.asked_n = 0;
	t.told(t.told_arg, rows, 2, NULL);
	assert_string_equal(group_of_domain(2).last_reply, "450 four");
	assert_string_equal(group_of_domain(4).last_reply, "451 one");
	assert_int_equal(t.asked_n, 0);
	(void)submit_to(2);
	want("mx:d2");
	answer(OUTCOME_DEFERRED);
	assert_int_equal(group_of_domain(2).last_class, 3);
}

/* What was known of its beginning counts more, of what is in trouble still and nothing else. */
static void test_trouble_has_its_beginning(void **state)
{
	int64_t now = loop_wall_ms(t.loop);
	struct sched_dest_view d;

	(void)state;
	(void)load(2, 9, 5);
	(void)load(3, 8, 0);
	sched_load_trouble(t.s, 2, 1, "mx:d2", now - 1234, 0);
	sched_load_trouble(t.s, 3, 1, "mx:d3", now - 1234, now - 567);
	sched_load_trouble(t.s, 4, 1, "mx:d4", now - 1234, now - 567);
	assert_int_equal(group_of_domain(2).trouble_since_ms, now - 1234);
	assert_int_equal(group_of_domain(3).trouble_since_ms, 0);
	assert_true(sched_dest(t.s, "mx:d3", &d));
	assert_int_equal(d.since_ms, now - 567);
	assert_false(sched_dest(t.s, "mx:d4", &d));
	assert_int_equal(t.troubles, 0);
	(void)submit_to(5);
	want("mx:d5");
	answer(OUTCOME_DEFERRED);
	assert_int_equal(t.troubles, 1);
	(void)submit_to(5);
	want("mx:d5");
	answer(OUTCOME_DEFERRED);
	assert_int_equal(t.troubles, 1);
	loop_advance(t.loop, 60000);
	(void)submit_to(5);
	want("mx:d5");
	answer(OUTCOME_DELIVERED);
	assert_int_equal(group_of_domain(5).trouble_since_ms, 0);
	assert_int_equal(t.troubles, 2);
}

/* What this relay decides is nothing that the destination said. */
static void test_own_ends_are_no_trouble(void **state)
{
	(void)state;
	(void)submit_to(2);
	t.ends = true;
	want("mx:d2");
	assert_int_equal(t.given_n, 0);
	t.ends = false;
	(void)submit_to(2);
	assert_int_equal(group_of_domain(2).trouble_since_ms, 0);
	assert_string_equal(group_of_domain(2).last_reply, "");
	assert_int_equal(t.recorded_n, 1);
}

/* Replies are recalled page after page; one that cannot be read takes only its own texts along. */
static void test_trouble_is_recalled_in_pages(void **state)
{
	enum { FIRST = 2, PAGE = 200, MORE = 50 };
	struct queue_entry rows[MORE];
	struct err err = ERR_INIT;
	unsigned told = 0;

	(void)state;
	for (uint32_t d = FIRST; d < FIRST + PAGE + MORE; d++)
		(void)load(d, d, 7);
	sched_stop(t.s);
	sched_start(t.s);
	assert_int_equal(t.asked_n, PAGE);
	(void)err_set(&err, ERR_IO, "the disk is gone");
	t.told(t.told_arg, NULL, 0, &err);
	assert_int_equal(t.asked_n, MORE);
	for (size_t k = 0; k < MORE; k++)
		rows[k] = (struct queue_entry){
			.rid = t.asked[k], .reply_class = 7, .reply = STR("450 later"), .code = 450
		};
	t.asked_n = 0;
	t.told(t.told_arg, rows, MORE, NULL);
	assert_int_equal(t.asked_n, 0);
	for (uint32_t d = FIRST; d < FIRST + PAGE + MORE; d++)
		told += strcmp(group_of_domain(d).last_reply, "450 later") == 0;
	assert_int_equal(told, MORE);
	assert_string_equal(group_of_domain(FIRST).last_reply, "");
	assert_int_equal(group_of_domain(FIRST).last_class, 7);
}

static void test_expires(void **state)
{
	(void)state;
	struct letter *l = submit_to(2);
	t.extra = DAY;
	want("mx:d2");
	answer(OUTCOME_DEFERRED);
	loop_advance(t.loop, 5 * DAY);
	settle();
	assert_int_equal(state_of(l, 1), SCHED_READY); /* held for a day: it has one more */
	loop_advance(t.loop, DAY);
	settle();
	assert_int_equal(state_of(l, 1), SCHED_STATE__COUNT);
	assert_int_equal(t.recorded[t.recorded_n - 1].attempt.outcome, OUTCOME_EXPIRED);
}

static void test_hold_is_a_rule(void **state)
{
	(void)state;
	struct letter *l = submit_to(2);
	t.held_domain = 2;
	sched_rejudge(t.s, false);
	assert_int_equal(state_of(l, 1), SCHED_HELD);
	struct letter *later = submit_to(2);
	assert_int_equal(state_of(later, 1), SCHED_HELD);
	want("mx:d2");
	assert_int_equal(t.given_n, 0);
	loop_advance(t.loop, 10 * DAY);
	settle();
	assert_int_equal(state_of(l, 1), SCHED_HELD); /* lifetime stops */
	t.held_domain = 0;
	t.extra = 10 * DAY;
	t.kicks = 0;
	sched_rejudge(t.s, false);
	settle();
	assert_int_equal(t.kicks, 1);
	want("mx:d2");
	assert_int_equal(t.given_n, 1);
	answer(OUTCOME_DELIVERED);
}

static void test_hold_that_asks(void **state)
{
	(void)state;
	struct letter *a = submit_to(2);
	struct letter *b = submit_to(2);
	t.asked_sender_hold = 9;
	sched_rejudge(t.s, false);
	struct letter *c = submit_to(2);
	struct letter *d = submit_to(2);
	assert_int_equal(state_of(d, 1), SCHED_HELD); /* judged as it comes in */
	want("mx:d2");
	assert_ptr_equal(t.given, &a->m);
	answer(OUTCOME_DELIVERED);
	want("mx:d2");
	assert_ptr_equal(t.given, &c->m); /* b is found held when it would be tried */
	answer(OUTCOME_DELIVERED);
	assert_int_equal(state_of(b, 1), SCHED_HELD);
	t.asked_sender_hold = 0;
	assert_int_equal(sched_unhold(t.s, 9), 2);
	sched_rejudge(t.s, false);
	assert_int_equal(state_of(b, 1), SCHED_READY);
	want("mx:d2");
	struct letter *given = letter_of(t.given->id);
	t.asked_sender_hold = 9;
	sched_rejudge(t.s, false);
	answer(OUTCOME_DEFERRED); /* held while it was in delivery */
	assert_int_equal(state_of(given, 1), SCHED_HELD);
}

/* Many that turn out to be held when they would be tried are not worked off in one call. */
static void test_held_ones_in_a_row(void **state)
{
	(void)state;
	for (int k = 0; k < 200; k++) {
		struct letter *l = submit_to(2);
		if (k % 2 == 0)
			assert_true(sched_trash(t.s, rid_of(l->m.id, 1), true));
	}
	t.asked_sender_hold = 9;
	sched_rejudge(t.s, false);
	t.given_token = 0;
	sched_want(t.s, "mx:d2", 4711);
	struct sched_counts c;
	uint64_t messages;
	int64_t oldest_ms;
	sched_totals(t.s, &c, &messages, &oldest_ms);
	assert_in_range(c.state[SCHED_HELD], 1, 64);
	assert_int_equal(t.given_token, 0);
	settle();
	assert_int_equal(t.given_token, 4711);
	assert_null(t.given);
	sched_totals(t.s, &c, &messages, &oldest_ms);
	assert_int_equal(c.state[SCHED_HELD], 100);
}

static void test_backoff(void **state)
{
	(void)state;
	struct letter *l[30];
	for (unsigned k = 0; k < 30; k++)
		l[k] = submit_to(2);
	settle();
	struct attempt why = { .outcome = OUTCOME_DEFERRED, .reply = "connection refused" };
	sched_unreachable(t.s, "mx:d2", &why, false);
	settle();
	struct sched_view v;
	assert_true(sched_find(t.s, rid_of(l[0]->m.id, 1), &v));
	assert_int_equal(v.attempts, 1);
	assert_true(sched_find(t.s, rid_of(l[29]->m.id, 1), &v));
	assert_int_equal(v.attempts, 0);
	assert_int_equal(v.state, SCHED_DEFERRED);
	struct sched_dest_view d;
	struct letter *due = submit_to(2);
	assert_true(sched_find(t.s, rid_of(due->m.id, 1), &v));
	assert_true(v.state == SCHED_DEFERRED && v.next_ms > 0 && v.own_next_ms == 0);
	assert_true(sched_dest(t.s, "mx:d2", &d));
	assert_true(d.backoff_until_ms > loop_wall_ms(t.loop));
	assert_string_equal(d.reply, "connection refused");
	t.kicks = 0;
	(void)submit_to(2);
	settle();
	assert_int_equal(t.kicks, 0);
	loop_advance(t.loop, 40000);
	assert_true(t.kicks > 0);
	want("mx:d2");
	assert_int_equal(t.given_n, 1);
	answer(OUTCOME_DELIVERED);
}

static void test_slow(void **state)
{
	(void)state;
	struct letter *l = submit_to(2);
	settle();
	struct attempt why = { .outcome = OUTCOME_DEFERRED, .reply = "421 4.7.28 too fast" };
	int64_t until = loop_wall_ms(t.loop) + 5000;
	sched_slow(t.s, "mx:d2", &why, until);
	settle();
	struct sched_view v;
	struct sched_dest_view d;
	/* deferred without an attempt, and it can be seen why */
	assert_true(sched_find(t.s, rid_of(l->m.id, 1), &v));
	assert_true(v.state == SCHED_DEFERRED && v.attempts == 0 && v.next_ms == until);
	assert_true(sched_dest(t.s, "mx:d2", &d));
	assert_true(d.slowed && d.backoff_until_ms == until);
	assert_string_equal(d.reply, "421 4.7.28 too fast");
	/* a shorter one changes nothing */
	sched_slow(t.s, "mx:d2", &why, until - 1000);
	assert_true(sched_dest(t.s, "mx:d2", &d));
	assert_true(d.backoff_until_ms == until);
	t.kicks = 0;
	loop_advance(t.loop, 5001);
	assert_true(t.kicks > 0);
	want("mx:d2");
	assert_int_equal(t.given_n, 1);
	answer(OUTCOME_DELIVERED);
}

/* Told once, when four hours are over. */
static void test_late_once(void **state)
{
	(void)state;
	struct letter *l = submit_to(2);
	for (int64_t age = 0; age < DAY; age = loop_wall_ms(t.loop) - START) {
		struct sched_view v;
		want("mx:d2");
		answer(OUTCOME_DEFERRED);
		assert_int_equal(t.delayed, age >= DAY / 6);
		assert_true(sched_find(t.s, rid_of(l->m.id, 1), &v));
		loop_advance(t.loop, v.next_ms - loop_wall_ms(t.loop));
	}
	assert_int_equal(t.delayed, 1);
}

static void test_permanent(void **state)
{
	(void)state;
	for (unsigned k = 0; k < 200; k++)
		(void)submit_to(2);
	settle();
	struct attempt why = { .outcome = OUTCOME_FAILED, .code = 550, .reply = "no such domain" };
	t.cached = false;
	sched_unreachable(t.s, "mx:d2", &why, true);
	settle();
	struct sched_counts c;
	uint64_t messages;
	int64_t oldest;
	sched_totals(t.s, &c, &messages, &oldest);
	assert_int_equal(c.total, 0);
	assert_int_equal(messages, 0);
	assert_int_equal(t.recorded_n, 200);
	(void)submit_to(2); /* what comes later is tried anew */
	t.kicks = 0;
	settle();
	assert_int_equal(t.kicks, 1);
}

static void test_report_before_end(void **state)
{
	(void)state;
	struct letter *l = submit_to(2);
	t.keep_tickets = true;
	want("mx:d2");
	answer(OUTCOME_FAILED);
	assert_int_equal(t.recorded_n, 0);
	assert_int_equal(state_of(l, 1), SCHED_ACTIVE);
	assert_false(sched_trash(t.s, rid_of(l->m.id, 1), true));
	sched_failed_recorded(t.s, t.tickets[0]);
	assert_int_equal(t.recorded_n, 1);
	assert_int_equal(state_of(l, 1), SCHED_STATE__COUNT);
}

static void test_trash_keeps_the_schedule(void **state)
{
	(void)state;
	struct letter *l = submit_to(2);
	want("mx:d2");
	answer(OUTCOME_DEFERRED);
	struct sched_view before, after;
	assert_true(sched_find(t.s, rid_of(l->m.id, 1), &before));
	assert_true(sched_trash(t.s, before.rid, true));
	assert_false(sched_trash(t.s, before.rid, true));
	int64_t was;
	assert_false(sched_retry(t.s, before.rid, &was));
	assert_int_equal(state_of(l, 1), SCHED_TRASH);
	assert_true(sched_trash(t.s, before.rid, false));
	assert_true(sched_find(t.s, before.rid, &after));
	assert_int_equal(after.state, before.state);
	assert_int_equal(after.domain, before.domain);
	assert_int_equal(after.stream, before.stream);
	assert_int_equal(after.group, before.group);
	assert_int_equal(after.hold, before.hold);
	assert_int_equal(after.attempts, before.attempts);
	assert_int_equal(after.code, before.code);
	assert_int_equal(after.reply_class, before.reply_class);
	assert_int_equal(after.next_ms, before.next_ms);
	assert_int_equal(after.own_next_ms, before.own_next_ms);
	assert_int_equal(after.expires_ms, before.expires_ms);
}

static void test_routes(void **state)
{
	(void)state;
	struct letter *l = submit_to(1);
	settle();
	(void)snprintf(t.route, sizeof(t.route), "smarthost:h:25");
	sched_rejudge(t.s, true);
	settle();
	assert_string_equal(t.kicked, "smarthost:h:25");
	want("mx:d1");
	assert_int_equal(t.given_n, 0);
	t.undecided = true;
	sched_rejudge(t.s, true);
	settle(); /* read and decided: smarthost */
	want("smarthost:h:25");
	assert_int_equal(t.given_n, 1);
	answer(OUTCOME_DEFERRED);
	t.undecided = false;
	t.route[0] = '\0';
	sched_rejudge(t.s, true); /* the two groups of domain 1 become one */
	loop_advance(t.loop, 90000);
	settle();
	want("mx:d1");
	assert_int_equal(t.given_n, 1);
	answer(OUTCOME_DEFERRED);
	(void)snprintf(t.route, sizeof(t.route), "reject");
	sched_rejudge(t.s, true);
	loop_advance(t.loop, 300000);
	settle();
	assert_int_equal(state_of(l, 1), SCHED_STATE__COUNT);
	assert_int_equal(t.recorded[t.recorded_n - 1].attempt.outcome, OUTCOME_FAILED);
}

static void test_unreadable(void **state)
{
	(void)state;
	struct letter *l = submit_to(2);
	t.cached = false;
	t.read_error = ERR_CORRUPT;
	want("mx:d2");
	assert_int_equal(t.given_n, 0);
	struct sched_view v;
	assert_true(sched_find(t.s, rid_of(l->m.id, 1), &v));
	assert_int_equal(v.state, SCHED_DEFERRED);
	assert_non_null(strstr(t.recorded[0].attempt.reply, "broken"));
	t.read_error = ERR_UNKNOWN;
	loop_advance(t.loop, 3700000);
	want("mx:d2");
	assert_int_equal(state_of(l, 1), SCHED_STATE__COUNT);
}

/* Groups of one next hop take turns: a large one does not starve a small one. */
static void test_fair(void **state)
{
	(void)state;
	(void)snprintf(t.route, sizeof(t.route), "mx:d2");
	for (unsigned k = 0; k < 50; k++)
		(void)submit_to(2);
	struct letter *small = submit_to(1);
	for (unsigned k = 0; k < 2; k++) {
		want("mx:d2");
		answer(OUTCOME_DELIVERED);
	}
	assert_int_equal(state_of(small, 1), SCHED_STATE__COUNT);
}

/* --- a random walk ---------------------------------------------------------------------------- */

static void check_counts(void)
{
	struct sched_counts by_record = { .total = 0 }, by_group = { .total = 0 };
	for (uint32_t p = 0; p < sched_places(t.s); p++) {
		struct sched_view v;
		struct sched_peek peek;
		assert_int_equal(sched_at(t.s, p, &v), sched_peek(t.s, p, &peek));
		if (!sched_at(t.s, p, &v))
			continue;
		assert_int_equal(peek.rid.v, v.rid.v);
		assert_int_equal(peek.group, v.group);
		assert_int_equal(peek.trash, v.state == SCHED_TRASH);
		by_record.state[v.state]++;
		by_record.total += v.state != SCHED_TRASH;
	}
	uint64_t messages;
	int64_t oldest;
	sched_totals(t.s, &by_group, &messages, &oldest);
	assert_memory_equal(&by_record, &by_group, sizeof(by_record));
	uint64_t expect = 0;
	for (unsigned k = 0; k < t.letters_n; k++) {
		bool any = false;
		for (unsigned n = 1; n <= RCPTS; n++)
			any = any || (state_of(&t.letters[k], n) != SCHED_STATE__COUNT &&
				      state_of(&t.letters[k], n) != SCHED_TRASH);
		expect += any;
	}
	assert_int_equal(messages, expect);
	struct sched_size size;
	sched_size(t.s, &size);
	assert_int_equal(size.messages, messages);
	assert_int_equal(size.recipients, by_group.total);
	assert_int_equal(size.trash, by_group.state[SCHED_TRASH]);
}

static void step(void)
{
	static const enum outcome outcomes[] = { OUTCOME_DELIVERED, OUTCOME_DEFERRED,
						 OUTCOME_DEFERRED, OUTCOME_FAILED };
	char key[32];
	(void)snprintf(key, sizeof(key), "mx:d%d", rand() % DOMAINS + 1);
	unsigned k = t.letters_n > 0 ? (unsigned)rand() % t.letters_n : 0;
	struct rid rid = rid_of(t.letters[k].m.id, (unsigned)rand() % RCPTS + 1);
	struct attempt why = { .outcome = OUTCOME_DEFERRED, .reply = "down" };
	int64_t was;
	switch (rand() % 14) {
	case 0:
	case 1:
	case 2:
		if (t.letters_n < MESSAGES)
			(void)submit(1 + (unsigned)rand() % RCPTS,
				     (uint32_t[]){ (uint32_t)rand() % DOMAINS + 1,
						   (uint32_t)rand() % DOMAINS + 1,
						   (uint32_t)rand() % DOMAINS + 1 });
		break;
	case 3:
	case 4:
	case 5:
		want(key);
		if (t.given_n > 0)
			answer(outcomes[rand() % 4]);
		break;
	case 6:
		loop_advance(t.loop, rand() % 200000);
		break;
	case 7:
		t.held_domain = (uint32_t)rand() % (DOMAINS + 1);
		sched_rejudge(t.s, false);
		break;
	case 8:
		t.asked_sender_hold = t.asked_sender_hold != 0 ? 0 : 9;
		if (t.asked_sender_hold == 0)
			(void)sched_unhold(t.s, 9);
		sched_rejudge(t.s, false);
		break;
	case 9:
		(void)sched_trash(t.s, rid, rand() % 2 == 0);
		break;
	case 10:
		(void)sched_retry(t.s, rid, &was);
		break;
	case 11:
		t.undecided = rand() % 2 == 0;
		(void)snprintf(t.route, sizeof(t.route), "%s", rand() % 2 ? "smarthost:h:25" : "");
		sched_rejudge(t.s, true);
		break;
	case 12:
		sched_unreachable(t.s, key, &why, rand() % 4 == 0);
		break;
	default:
		(void)sched_remove(t.s, rid);
		break;
	}
	settle();
}

static void test_random(void **state)
{
	for (unsigned seed = 1; seed <= 12; seed++) {
		srand(seed);
		for (unsigned k = 0; k < 1500; k++) {
			t.cached = rand() % 2 == 0;
			step();
			check_counts();
		}
		/* whatever was done, what is left can be delivered to the last recipient */
		t.held_domain = t.asked_sender_hold = 0;
		t.undecided = false;
		t.route[0] = '\0';
		(void)sched_unhold(t.s, 9);
		sched_rejudge(t.s, true);
		sched_end_backoff(t.s, NULL);
		struct sched_counts c;
		uint64_t messages = 1;
		int64_t oldest;
		for (unsigned round = 0; messages > 0 && round < 4000; round++) {
			for (unsigned k = 0; k < t.letters_n; k++)
				for (unsigned n = 1; round == 0 && n <= RCPTS; n++)
					(void)sched_trash(t.s, rid_of(t.letters[k].m.id, n), false);
			loop_advance(t.loop, 4000);
			for (unsigned d = 1; d <= DOMAINS; d++) {
				char key[32];
				(void)snprintf(key, sizeof(key), "mx:d%u", d);
				want(key);
				if (t.given_n > 0)
					answer(OUTCOME_DELIVERED);
			}
			sched_totals(t.s, &c, &messages, &oldest);
		}
		assert_int_equal(messages, 0);
		assert_int_equal(teardown(state), 0);
		assert_int_equal(setup(state), 0);
	}
}

int main(void)
{
#define T(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)
	const struct CMUnitTest tests[] = {
		T(test_delivery),
		T(test_retry_grows),
		T(test_trouble_lasts),
		T(test_trouble_is_recalled),
		T(test_trouble_has_its_beginning),
		T(test_own_ends_are_no_trouble),
		T(test_trouble_is_recalled_in_pages),
		T(test_expires),
		T(test_hold_is_a_rule),
		T(test_hold_that_asks),
		T(test_held_ones_in_a_row),
		T(test_backoff),
		T(test_slow),
		T(test_late_once),
		T(test_permanent),
		T(test_report_before_end),
		T(test_trash_keeps_the_schedule),
		T(test_routes),
		T(test_unreadable),
		T(test_fair),
		T(test_random),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
