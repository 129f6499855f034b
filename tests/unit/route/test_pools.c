#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "base/mem.h"
#include "route/pools.h"

#define DAY (INT64_C(86400) * 1000)
#define NOW (INT64_C(20000) * DAY + 3600000)

static void put(struct pools *s, const char *json)
{
	struct err err = ERR_INIT;

	if (pools_put(s, json, &err) < 0)
		fail_msg("%s: %s", json, err.msg);
}

static void test_plans(void **state)
{
	static const struct {
		const char *plan;
		size_t days; /* 0: refused */
		unsigned first, second, last;
	} cases[] = {
		{ "50,100,200", 3, 50, 100, 200 },
		{ "50..400", 4, 50, 100, 400 },
		{ "50..401", 5, 50, 100, 401 },
		{ "100..1000*1.5", 7, 100, 150, 1000 },
		{ "7..7", 1, 7, 0, 7 },
		{ "3..4*1.1", 5, 3, 3, 4 }, /* small steps add up */
		{ " 5 , 6 ", 2, 5, 6, 6 },
		{ "50..49", 0, 0, 0, 0 },
		{ "0,1", 0, 0, 0, 0 },
		{ "5,,6", 0, 0, 0, 0 },
		{ "5..10*1", 0, 0, 0, 0 },
		{ "5..10*0.5", 0, 0, 0, 0 },
		{ "5..10*x", 0, 0, 0, 0 },
		{ "1..1000000*1.01", 0, 0, 0, 0 },
		{ "..", 0, 0, 0, 0 },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct pools *s = pools_new();
		AUTO_FREE char *json = xasprintf("{\"id\":\"p\",\"sources\":[\"192.0.2.1\"],"
						 "\"warmup\":\"%s\"}",
						 cases[i].plan);
		const struct pool *p;
		int rc = pools_put(s, json, NULL);
		if ((rc >= 0) != (cases[i].days > 0))
			fail_msg("%s: %d", cases[i].plan, rc);
		p = pools_find(s, STR("p"));
		if (rc >= 0 && (p->days != cases[i].days || p->caps[0] != cases[i].first ||
				(p->days > 1 && p->caps[1] != cases[i].second) ||
				p->caps[p->days - 1] != cases[i].last))
			fail_msg("%s: %zu days, %u … %u", cases[i].plan, p->days, p->caps[0],
				 p->caps[p->days - 1]);
		pools_free(&s);
	}
}

static void test_days(void **state)
{
	struct pools *s = pools_new();
	AUTO_FREE char *json = xasprintf("{\"id\":\"p\",\"sources\":[\"192.0.2.1\"],"
					 "\"warmup\":\"2,3\",\"warmup_from_ms\":%lld}",
					 (long long)NOW);
	const struct pool_source *x;
	char why[POOL_WHY_MAX];
	const struct pool *p;

	(void)state;
	put(s, json);
	p = pools_find(s, STR("P"));
	(void)pools_turned(s);
	assert_int_equal(pools_plan_day(p, NOW), 1);
	assert_int_equal(pools_plan_day(p, NOW - 5 * DAY), 1); /* the clock was set back */
	for (int day = 1; day <= 3; day++) {
		int64_t now = NOW + (day - 1) * DAY;
		unsigned cap = day == 1 ? 2 : day == 2 ? 3 : 0;
		assert_int_equal(pools_cap(p, now), cap);
		assert_int_equal(pools_sent(&p->sources[0], now), 0);
		for (unsigned k = 0; k < (cap > 0 ? cap : 10); k++)
			assert_true(pools_take(s, STR("p"), &p->sources[0].ip, now));
		assert_int_equal(pools_has_room(p, now), day == 3);
		assert_int_equal(pools_turned(s), day < 3);
		if (day == 3)
			break;
		assert_false(pools_take(s, STR("p"), &p->sources[0].ip, now));
		assert_int_equal(pools_pick(s, STR("p"), true, false, now, &x, why), POOL_CAPPED);
		pools_untake(s, STR("p"), &p->sources[0].ip, now);
		assert_true(pools_turned(s));
		assert_true(pools_take(s, STR("p"), &p->sources[0].ip, now));
		(void)pools_turned(s);
	}
	pools_free(&s);
}

static void test_pick(void **state)
{
	struct pools *s = pools_new();
	const struct pool_source *x = NULL;
	char why[POOL_WHY_MAX] = "";
	unsigned n[3] = { 0 };
	const struct pool *p;

	(void)state;
	put(s, "{\"id\":\"p\",\"sources\":[\"192.0.2.1=a.example\",\"192.0.2.2=b.example*9\","
	       "\"2001:db8::1\"]}");
	p = pools_find(s, STR("p"));
	assert_string_equal(p->sources[1].ehlo, "b.example");
	for (int i = 0; i < 2000; i++) {
		assert_int_equal(pools_pick(s, STR("p"), true, false, NOW, &x, why), POOL_FOUND);
		n[x - p->sources]++;
	}
	assert_int_equal(n[2], 0);
	assert_in_range(n[0], 120, 300); /* one of ten */
	assert_int_equal(pools_pick(s, STR("p"), false, false, NOW, &x, why), POOL_FOUND);
	assert_ptr_equal(x, &p->sources[2]);
	/* what cannot be used is left out for a while */
	pools_bad(s, STR("p"), &p->sources[1].ip, "not here", NOW);
	for (int i = 0; i < 100; i++) {
		assert_int_equal(pools_pick(s, STR("p"), true, false, NOW, &x, why), POOL_FOUND);
		assert_ptr_equal(x, &p->sources[0]);
	}
	pools_bad(s, STR("p"), &p->sources[0].ip, "not here", NOW);
	assert_int_equal(pools_pick(s, STR("p"), true, false, NOW, &x, why), POOL_UNUSABLE);
	assert_non_null(strstr(why, "192.0.2."));
	assert_int_equal(pools_pick(s, STR("p"), true, false, NOW + POOL_BAD_MS, &x, why),
			 POOL_FOUND);
	put(s, "{\"id\":\"q\",\"sources\":[\"192.0.2.1\"]}");
	assert_int_equal(pools_pick(s, STR("q"), false, false, NOW, &x, why), POOL_OTHER_FAMILY);
	assert_int_equal(pools_pick(s, STR("q"), false, true, NOW, &x, why), POOL_FOUND);
	assert_int_equal(pools_pick(s, STR("gone"), true, false, NOW, &x, why), POOL_UNUSABLE);
	pools_free(&s);
}

static void test_overflow(void **state)
{
	struct pools *s = pools_new();
	struct ipaddr ip;

	(void)state;
	assert_true(ipaddr_parse(STR("192.0.2.1"), &ip));
	put(s, "{\"id\":\"a\",\"sources\":[\"192.0.2.1\"],\"warmup\":\"1\",\"overflow\":\"b\","
	       "\"warmup_from_ms\":1728003600000}");
	put(s, "{\"id\":\"b\",\"sources\":[\"192.0.2.1\"],\"warmup\":\"1\",\"overflow\":\"a\","
	       "\"warmup_from_ms\":1728003600000}");
	assert_string_equal(pools_effective(s, "A", NOW), "a");
	assert_true(pools_take(s, STR("a"), &ip, NOW));
	assert_string_equal(pools_effective(s, "a", NOW), "b");
	assert_true(pools_take(s, STR("b"), &ip, NOW));
	assert_string_equal(pools_effective(s, "a", NOW), "a"); /* round and round: it waits */
	assert_string_equal(pools_effective(s, "c", NOW), "");
	pools_free(&s);
}

/* What was sent today outlives an edit and a restart. */
static void test_counts(void **state)
{
	struct pools *s = pools_new();
	struct pools *again = pools_new();
	const char *json = "{\"id\":\"a\",\"sources\":[\"192.0.2.1\",\"192.0.2.2\"]}";
	struct ipaddr ip;
	json_t *count;
	char *text;

	(void)state;
	assert_true(ipaddr_parse(STR("192.0.2.2"), &ip));
	put(s, json);
	assert_null(pools_count_json(s, 0));
	assert_true(pools_take(s, STR("a"), &ip, NOW));
	assert_true(pools_take(s, STR("a"), &ip, NOW));
	put(s, "{\"id\":\"a\",\"sources\":[\"192.0.2.2\"]}");
	assert_int_equal(pools_sent(&pools_at(s, 0)->sources[0], NOW), 2);
	count = pools_count_json(s, 0);
	assert_non_null(count);
	assert_null(pools_count_json(s, 0));
	text = json_dumps(count, JSON_COMPACT);
	put(again, json);
	pools_count_put(again, text);
	pools_count_put(again, "{\"id\":\"gone\"}");
	assert_int_equal(pools_sent(&pools_at(again, 0)->sources[1], NOW), 2);
	assert_int_equal(pools_sent(&pools_at(again, 0)->sources[1], NOW + DAY), 0);
	free(text);
	json_decref(count);
	pools_free(&s);
	pools_free(&again);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_plans),  cmocka_unit_test(test_days),
		cmocka_unit_test(test_pick),   cmocka_unit_test(test_overflow),
		cmocka_unit_test(test_counts),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
