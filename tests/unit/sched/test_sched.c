/*
 * The scheduler on a fake clock and a fake store: dialogs as an operator would tell them, and a
 * random walk in which every count is compared with a plain model.
 */
#include "sched_rig.h"

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

/* After a restart a destination has the class that most of its recipients have, trouble since the
 * first of them came in, and one's reply; what is met in the meantime counts more. */
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
