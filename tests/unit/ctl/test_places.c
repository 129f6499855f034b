/* Orders: what stays, what ascends, and what is left when there is no room. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/mem.h"
#include "ctl/places.h"

static void ascends(const double *v, size_t n)
{
	for (size_t i = 1; i < n; i++)
		assert_true(v[i - 1] < v[i]);
}

static size_t kept(const double *was, const double *is, size_t n)
{
	size_t k = 0;

	for (size_t i = 0; i < n; i++)
		k += !(was[i] < is[i]) && !(was[i] > is[i]) && was[i] == was[i];
	return k;
}

static void test_places(void **state)
{
	static const struct {
		double was[6];
		size_t n;
		size_t kept;
	} cases[] = {
		{ { 0 }, 0, 0 },
		{ { PLACE_NEW, PLACE_NEW }, 2, 0 },
		{ { 1, 2, 3, 4 }, 4, 4 },
		{ { 4, 1, 2, 3 }, 4, 3 }, /* the last one goes to the front */
		{ { 2, 3, 4, 1 }, 4, 3 }, /* and back */
		{ { 1, PLACE_NEW, 2, PLACE_NEW }, 4, 2 },
		{ { PLACE_NEW, PLACE_NEW, 5, 6 }, 4, 2 },
		{ { 3, 2, 1 }, 3, 1 },
		{ { 1, PLACE_NEW, PLACE_NEW, PLACE_NEW, 1.0000000000000002, 2 },
		  6,
		  0 }, /* no room */
	};

	(void)state;
	for (size_t c = 0; c < ARRAY_LEN(cases); c++) {
		double v[6];
		for (size_t i = 0; i < cases[c].n; i++)
			v[i] = cases[c].was[i];
		places_make(v, cases[c].n);
		ascends(v, cases[c].n);
		if (cases[c].kept > 0)
			assert_int_equal(kept(cases[c].was, v, cases[c].n), cases[c].kept);
	}
}

/* One that was moved, however far, is one change. */
static void test_one_moved(void **state)
{
	enum { N = 20 };

	(void)state;
	for (size_t from = 0; from < N; from++) {
		for (size_t to = 0; to < N; to++) {
			double was[N], v[N];
			size_t k = 0;

			for (size_t i = 0; i < N; i++) {
				if (i == to)
					was[i] = (double)(from + 1);
				else
					was[i] = (double)(1 + (k < from ? k : k + 1)), k++;
				v[i] = was[i];
			}
			places_make(v, N);
			ascends(v, N);
			assert_in_range(kept(was, v, N), N - 1, N);
		}
	}
}

/* Any order of a list, with new ones in it: it ascends, and what ascends stays. */
static void test_random(void **state)
{
	enum { N = 40 };

	(void)state;
	srand(7);
	for (int round = 0; round < 2000; round++) {
		double was[N], v[N];
		size_t n = (size_t)(rand() % N);
		for (size_t i = 0; i < n; i++)
			was[i] = rand() % 4 == 0 ? PLACE_NEW : (double)(rand() % 1000);
		for (size_t i = 0; i < n; i++)
			v[i] = was[i];
		places_make(v, n);
		ascends(v, n);
		for (size_t i = 0; i < n; i++)
			was[i] = v[i];
		places_make(v, n);
		assert_int_equal(kept(was, v, n), n);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_places),
		cmocka_unit_test(test_one_moved),
		cmocka_unit_test(test_random),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
