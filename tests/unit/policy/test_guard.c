/* Failures of an address: slower, blocked, forgotten. */
#include "policy/guard.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#define S INT64_C(1000)
#define M (60 * S)

static struct ipaddr ip(const char *text)
{
	struct ipaddr a;

	assert_true(ipaddr_parse(str_of(text), &a));
	return a;
}

static struct ipnet net(const char *text)
{
	struct ipnet n;

	assert_true(ipnet_parse(str_of(text), &n, NULL) >= 0);
	return n;
}

static void slower_then_blocked(void **state)
{
	struct guard *g = guard_new(&(struct guard_config){
		.failures_max = 6, .block_ms = 10 * M, .quiet_ms = 30 * M });
	struct ipaddr a = ip("192.0.2.1");
	struct ipaddr b = ip("192.0.2.2");
	int64_t now = 1000 * M;
	static const int64_t delays[] = { 1, 2, 4, 8, 16, 16 };

	(void)state;
	for (int i = 0; i < 6; i++) {
		assert_int_equal(guard_blocked(g, &a, now), 0);
		assert_int_equal(guard_failed(g, &a, now), delays[i] * S);
	}
	assert_int_equal(guard_blocked(g, &a, now), now + 10 * M);
	assert_int_equal(guard_blocked(g, &b, now), 0);
	assert_int_equal(guard_blocked_n(g, now), 1);
	/* sessions that were open go on failing: the block does not move */
	(void)guard_failed(g, &a, now + M);
	assert_int_equal(guard_blocked(g, &a, now + M), now + 10 * M);
	now += 10 * M;
	assert_int_equal(guard_blocked(g, &a, now), 0);
	/* once more: blocked at once, and longer */
	(void)guard_failed(g, &a, now);
	assert_int_equal(guard_blocked(g, &a, now), now + 20 * M);
	for (int i = 0; i < 20; i++) {
		now = guard_blocked(g, &a, now);
		(void)guard_failed(g, &a, now);
	}
	assert_int_equal(guard_blocked(g, &a, now), now + 10 * M * 32);
	/* quiet: as if nothing had been */
	now += 10 * M * 32 + 30 * M;
	assert_int_equal(guard_failed(g, &a, now), S);
	assert_int_equal(guard_blocked(g, &a, now), 0);
	guard_free(&g);
}

static void v6_by_its_network(void **state)
{
	struct guard *g = guard_new(&(struct guard_config){ .failures_max = 2 });
	struct ipaddr a = ip("2001:db8:1:2::1");
	struct ipaddr b = ip("2001:db8:1:2:ffff::9");
	struct ipaddr c = ip("2001:db8:1:3::1");
	struct ipnet one = net("2001:db8:1:2::5");

	(void)state;
	(void)guard_failed(g, &a, M);
	(void)guard_failed(g, &b, M);
	assert_int_not_equal(guard_blocked(g, &a, M), 0);
	assert_int_equal(guard_blocked(g, &c, M), 0);
	assert_int_equal(guard_forgive(g, &one), 1);
	assert_int_equal(guard_blocked(g, &a, M), 0);
	guard_free(&g);
}

static void listed_and_forgiven(void **state)
{
	struct guard *g =
		guard_new(&(struct guard_config){ .failures_max = 3, .quiet_ms = 10 * M });
	struct ipaddr a = ip("192.0.2.1");
	struct ipaddr b = ip("192.0.2.2");
	struct ipaddr c = ip("198.51.100.1");
	const struct guard_entry *rows[5];
	struct ipnet all = net("192.0.2.0/24");

	(void)state;
	(void)guard_failed(g, &a, 1 * M);
	(void)guard_failed(g, &b, 2 * M);
	(void)guard_failed(g, &c, 3 * M);
	(void)guard_failed(g, &a, 4 * M);
	assert_int_equal(guard_list(g, 4 * M, rows, 5), 3);
	assert_true(ipaddr_eq(&rows[0]->net.addr, &a));
	assert_int_equal(rows[0]->failures, 2);
	assert_int_equal(rows[0]->first_ms, 1 * M);
	assert_true(ipaddr_eq(&rows[2]->net.addr, &b));
	assert_int_equal(guard_list(g, 4 * M, rows, 1), 1);
	assert_int_equal(guard_list(g, 13 * M, rows, 5), 1); /* the others are quiet */
	assert_int_equal(guard_forgive(g, &all), 2);
	assert_int_equal(guard_list(g, 4 * M, rows, 5), 1);
	guard_free(&g);
}

static void bounded(void **state)
{
	struct guard *g = guard_new(&(struct guard_config){ .failures_max = 3 });
	const struct guard_entry *row;
	static const struct guard_entry *rows[GUARD_MAX + 1000];
	struct ipaddr a = ip("10.0.0.0");

	(void)state;
	for (unsigned i = 0; i < GUARD_MAX + 500; i++) {
		a.b[15] = (uint8_t)i;
		a.b[14] = (uint8_t)(i >> 8);
		a.b[13] = (uint8_t)(i >> 16);
		(void)guard_failed(g, &a, M + i);
	}
	assert_int_equal(guard_list(g, 2 * M, rows, GUARD_MAX + 1000), GUARD_MAX);
	row = rows[GUARD_MAX - 1];
	assert_int_equal(row->last_ms, M + 500); /* the oldest went */
	guard_free(&g);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(slower_then_blocked),
		cmocka_unit_test(v6_by_its_network),
		cmocka_unit_test(listed_and_forgiven),
		cmocka_unit_test(bounded),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
