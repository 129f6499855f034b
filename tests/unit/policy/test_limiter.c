/* So many a minute, evenly, for any number of keys. */
#include "policy/limiter.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

static void a_minutes_worth_then_evenly(void **state)
{
	struct limiter *l = limiter_new();
	int64_t now = 1000000;
	unsigned got = 0;

	(void)state;
	for (int i = 0; i < 100; i++)
		got += limiter_take(l, 'm', STR("a"), 1, 30, now);
	assert_int_equal(got, 30);
	/* asking takes nothing */
	assert_false(limiter_has(l, 'm', STR("a"), 1, 30, now + 1999));
	for (int i = 0; i < 3; i++)
		assert_true(limiter_has(l, 'm', STR("a"), 1, 30, now + 2000));
	/* two seconds bring one */
	assert_false(limiter_take(l, 'm', STR("a"), 1, 30, now + 1999));
	assert_true(limiter_take(l, 'm', STR("a"), 1, 30, now + 2000));
	assert_false(limiter_take(l, 'm', STR("a"), 1, 30, now + 2000));
	/* a minute brings them all, and ten no more */
	got = 0;
	for (int i = 0; i < 100; i++)
		got += limiter_take(l, 'm', STR("a"), 1, 30, now + 600000);
	assert_int_equal(got, 30);
	/* several at once, or none */
	assert_true(limiter_take(l, 'r', STR("a"), 20, 30, now));
	assert_false(limiter_take(l, 'r', STR("a"), 20, 30, now));
	assert_true(limiter_take(l, 'r', STR("a"), 10, 30, now));
	/* other keys and other things are counted apart */
	assert_true(limiter_take(l, 'm', STR("b"), 1, 30, now));
	assert_true(limiter_take(l, 'x', STR("a"), 30, 30, now));
	/* no limit, and high ones */
	for (int i = 0; i < 100; i++)
		assert_true(limiter_take(l, 'm', STR("a"), 1, 0, now));
	got = 0;
	for (int i = 0; i < 1100000; i++)
		got += limiter_take(l, 'h', STR("a"), 1, 1000000, now);
	assert_in_range(got, 1000000, 1000000);
	limiter_free(&l);
}

static void many_keys(void **state)
{
	struct limiter *l = limiter_new();
	char key[20];
	unsigned kept = 0;

	(void)state;
	for (int round = 0; round < 2; round++)
		for (int i = 0; i < LIMITER_KEYS / 4; i++) {
			(void)snprintf(key, sizeof(key), "k%d", i);
			bool got = limiter_take(l, 'm', str_of(key), 1, 1, 1000);
			if (round == 0)
				assert_true(got);
			else
				kept += !got;
		}
	/* a quarter full, hardly any is forgotten */
	assert_in_range(kept, LIMITER_KEYS / 4 - 400, LIMITER_KEYS / 4);
	/* overfull: never stuck */
	for (int i = 0; i < 4 * LIMITER_KEYS; i++) {
		(void)snprintf(key, sizeof(key), "new%d", i);
		assert_true(limiter_take(l, 'm', str_of(key), 1, 1, 1000));
	}
	limiter_free(&l);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_minutes_worth_then_evenly),
		cmocka_unit_test(many_keys),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
