#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "base/mem.h"
#include "stats/rates.h"

#define NOW INT64_C(1795490000000) /* the beginning of a step */

static void test_mean(void **state)
{
	struct rates r = { .step = 0 };

	(void)state;
	for (int64_t t = 0; t < 120000; t += 100)
		rates_add(&r, RATE_ACCEPTED, 5, NOW + t);
	double got = rates_per_s(&r, RATE_ACCEPTED, NOW + 119900);
	assert_true(got > 49.9 && got < 50.3);
	assert_true(rates_per_s(&r, RATE_FAILED, NOW + 119900) < 0.001);
	assert_int_equal(r.totals[RATE_ACCEPTED], 6000);
	/* half a minute later half of it is gone, a minute later all */
	got = rates_per_s(&r, RATE_ACCEPTED, NOW + 150000);
	assert_true(got > 23 && got < 27);
	assert_true(rates_per_s(&r, RATE_ACCEPTED, NOW + 182000) < 0.001);
}

static void test_history(void **state)
{
	struct rates r = { .step = 0 };
	uint32_t h[RATES_STEPS];

	(void)state;
	rates_add(&r, RATE_DELIVERED, 1, NOW);
	rates_add(&r, RATE_DELIVERED, 2, NOW + RATES_STEP_MS - 1);
	rates_add(&r, RATE_DELIVERED, 7, NOW + 3 * RATES_STEP_MS);
	rates_history(&r, RATE_DELIVERED, NOW + 4 * RATES_STEP_MS, h);
	for (int i = 0; i < RATES_STEPS; i++)
		assert_int_equal(h[i], i == 55 ? 3 : i == 58 ? 7 : 0);
	/* the first leaves on the left; after a long silence there is nothing */
	rates_history(&r, RATE_DELIVERED, NOW + 60 * RATES_STEP_MS, h);
	assert_int_equal(h[2], 7);
	rates_history(&r, RATE_DELIVERED, NOW + 1000 * RATES_STEP_MS, h);
	for (int i = 0; i < RATES_STEPS; i++)
		assert_int_equal(h[i], 0);
	assert_int_equal(r.totals[RATE_DELIVERED], 10);
}

static void test_clock_set_back(void **state)
{
	struct rates r = { .step = 0 };
	uint32_t h[RATES_STEPS];

	(void)state;
	rates_add(&r, RATE_DEFERRED, 1, NOW);
	rates_add(&r, RATE_DEFERRED, 1, NOW - 3000); /* a little: goes on counting */
	rates_history(&r, RATE_DEFERRED, NOW, h);
	assert_int_equal(h[RATES_STEPS - 1], 2);
	rates_add(&r, RATE_DEFERRED, 4, NOW - 3600000); /* an hour: begins again */
	rates_history(&r, RATE_DEFERRED, NOW - 3600000, h);
	assert_int_equal(h[RATES_STEPS - 1], 4);
	assert_int_equal(r.totals[RATE_DEFERRED], 6);
}

static void test_names(void **state)
{
	(void)state;
	assert_string_equal(rate_name(RATE_ACCEPTED), "accepted");
	assert_string_equal(rate_name(RATE_FAILED), "failed");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_mean),
		cmocka_unit_test(test_history),
		cmocka_unit_test(test_clock_set_back),
		cmocka_unit_test(test_names),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
