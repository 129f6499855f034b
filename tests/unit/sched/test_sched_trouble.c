/* Since when destinations are in trouble and why, also over restarts. */
#include "sched_rig.h"

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

int main(void)
{
#define T(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)
	static const struct CMUnitTest tests[] = {
		T(test_trouble_lasts),
		T(test_trouble_is_recalled),
		T(test_trouble_has_its_beginning),
		T(test_own_ends_are_no_trouble),
		T(test_trouble_is_recalled_in_pages),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
