/* Numbers by key, against plain arrays. */
#include "policy/tally.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#define KEYS 50

static void as_counted_by_hand(void **state)
{
	struct tally *t = tally_new();
	unsigned n[2][KEYS] = { { 0 } };
	char key[TALLY_KEY_MAX];

	(void)state;
	srand(3);
	for (int i = 0; i < 20000; i++) {
		int what = rand() % 2;
		int k = rand() % KEYS;
		/* one is the beginning of another */
		(void)snprintf(key, sizeof(key), "%.*s", k + 1,
			       "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa");
		struct str s = str_of(key);
		if (n[what][k] > 0 && rand() % 2 == 0) {
			tally_drop(t, what == 0 ? 'x' : 'y', s);
			n[what][k]--;
		} else {
			tally_add(t, what == 0 ? 'x' : 'y', s);
			n[what][k]++;
		}
		if (tally_get(t, 'x', s) != n[0][k] || tally_get(t, 'y', s) != n[1][k])
			fail_msg("step %d, key %d", i, k);
	}
	assert_int_equal(tally_get(t, 'z', STR("aaa")), 0);
	assert_int_equal(tally_get(t, 'x', STR("")), 0);
	/* bytes, not texts */
	tally_add(t, 'x', str_from("\0\1", 2));
	assert_int_equal(tally_get(t, 'x', str_from("\0\1", 2)), 1);
	assert_int_equal(tally_get(t, 'x', str_from("\0\2", 2)), 0);
	tally_free(&t);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(as_counted_by_hand) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
