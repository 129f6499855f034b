#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <cmocka.h>

#include "base/mem.h"
#include "policy/holds.h"

static void put(struct holds *h, unsigned number, const char *target, const char *more)
{
	AUTO_FREE char *json =
		xasprintf("{\"id\":\"h%u\",\"target\":\"%s\",\"reason\":\"r\","
			  "\"by\":\"root\"%s%s}",
			  number, target,
			  strstr(more, "created_ms") == NULL ? ",\"created_ms\":100" : "", more);
	struct err err = ERR_INIT;

	if (holds_put(h, json, &err) < 0)
		fail_msg("%s: %s", target, err.msg);
}

/* "domain=a.org stream=x"; what is not named is not known. */
static struct filter_row row_of(const char *facts, int64_t now_ms)
{
	struct filter_row row = FILTER_ROW_INIT(now_ms);
	struct str rest = str_of(facts);

	while (rest.n > 0) {
		struct str fact = str_cut(&rest, ' ');
		struct str name = str_cut(&fact, '=');
		enum filter_field f = filter_field_find(name);
		uint64_t number = 0;
		assert_int_not_equal(f, FILTER__COUNT);
		filter_row_text(&row, f, fact);
		if (str_u64(fact, INT64_MAX, &number))
			filter_row_number(&row, f, (int64_t)number);
	}
	return row;
}

static void test_judge(void **state)
{
	static const struct {
		const char *row;
		uint32_t hold;
		bool asks;
	} cases[] = {
		{ "domain=a.org stream=s provider=google.com", 1, false },
		{ "domain=A.ORG stream=s provider=google.com", 1, false },
		{ "domain=b.org stream=s provider=google.com", 3, false },
		{ "domain=b.org stream=bulk provider=google.com", 2, false },
		{ "domain=b.org stream=bulk", 2, false },	 /* the provider's is younger */
		{ "domain=b.org stream=s", 0, true },		 /* the provider is not known */
		{ "domain=b.org stream=s provider=x", 0, true }, /* sender and attempts are not */
		{ "domain=b.org stream=s provider=x from=a@x.org attempts=1", 0, false },
		{ "domain=b.org stream=s provider=x from=Bob@x.org attempts=1", 5, false },
		{ "domain=b.org stream=s provider=x from=a@x.org attempts=3", 4, false },
		{ "domain=b.org stream=s provider=x from=Bob@x.org", 5, true },
		{ "domain=ended.org stream=s provider=x from=a@x.org attempts=1", 0, false },
	};
	struct holds *h = holds_new();

	(void)state;
	put(h, 1, "domain:a.org", "");
	put(h, 5, "sender:bob@x.org", "");
	put(h, 4, "attempts>=3", "");
	put(h, 3, "provider:google.com", "");
	put(h, 2, "stream:bulk", "");
	put(h, 6, "domain:ended.org", ",\"ended_ms\":200");
	put(h, 7, "domain:a.org", "");
	assert_int_equal(holds_active(h), 6);
	assert_int_equal(holds_n(h), 7);
	assert_int_equal(holds_next_number(h), 8);
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct filter_row row = row_of(cases[i].row, 1000);
		bool asks = false;
		uint32_t got = holds_judge(h, &row, &asks);
		if (got != cases[i].hold || asks != cases[i].asks)
			fail_msg("%s: hold %u, asks %d", cases[i].row, got, asks);
	}
	assert_false(holds_find(h, 1)->asks);
	assert_true(holds_find(h, 5)->asks);
	assert_true(holds_by_id(h, STR("h4"))->asks);
	assert_null(holds_by_id(h, STR("h99")));
	assert_null(holds_by_id(h, STR("4")));
	for (size_t i = 0; i < holds_n(h); i++)
		assert_int_equal(holds_at(h, i)->number, i + 1);
	holds_free(&h);
}

static void test_changes(void **state)
{
	struct holds *h = holds_new();
	struct filter_row row = row_of("domain=a.org stream=s", 1000);
	bool asks;
	json_t *json;
	char *text;

	(void)state;
	put(h, 1, "domain:a.org", ",\"expires_ms\":900,\"keep_expiry\":true");
	put(h, 2, "all", ",\"expires_ms\":700");
	assert_int_equal(holds_next_end(h), 700);
	json = holds_json(holds_find(h, 1));
	text = json_dumps(json, 0);
	assert_int_equal(holds_put(h, text, NULL), 0);
	free(text);
	json_decref(json);
	assert_int_equal(holds_n(h), 2);
	assert_int_equal(holds_find(h, 1)->expires_ms, 900);
	assert_int_equal(holds_find(h, 1)->created_ms, 100);
	assert_true(holds_find(h, 1)->keep_expiry);
	assert_string_equal(holds_find(h, 1)->reason, "r");
	assert_string_equal(holds_find(h, 1)->target.canonical, "domain:a.org");
	assert_int_equal(holds_judge(h, &row, &asks), 1);
	put(h, 1, "domain:a.org", ",\"ended_ms\":800");
	assert_int_equal(holds_judge(h, &row, &asks), 2);
	assert_true(holds_drop(h, 2));
	assert_false(holds_drop(h, 2));
	assert_int_equal(holds_judge(h, &row, &asks), 0);
	assert_false(asks);
	assert_int_equal(holds_next_end(h), 0);
	holds_free(&h);
}

static void test_extra_life(void **state)
{
	static const struct {
		const char *row;
		int64_t received_ms;
		int64_t extra_ms;
	} cases[] = {
		/* h1 100..300, h2 (all) 200..500, h3 100.. (runs), h4 600..now */
		{ "domain=a.org stream=s from=x@y", 0, 400 },
		{ "domain=a.org stream=s from=x@y", 250, 250 },
		{ "domain=b.org stream=s from=x@y", 0, 300 },
		{ "domain=b.org stream=s from=x@y", 600, 0 },
		{ "domain=b.org stream=s from=bob@x.org", 0, 700 },
		{ "domain=b.org stream=s from=bob@x.org", 900, 100 },
		{ "domain=b.org stream=s", 900, 100 }, /* not known: counts */
		{ "domain=c.org stream=s from=x@y", 0, 300 },
	};
	struct holds *h = holds_new();

	(void)state;
	put(h, 1, "domain:a.org", ",\"ended_ms\":300");
	put(h, 2, "all", ",\"created_ms\":200,\"ended_ms\":500");
	put(h, 3, "domain:c.org", ",\"keep_expiry\":true");
	put(h, 4, "sender:bob@x.org", ",\"created_ms\":600,\"expires_ms\":2000");
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct filter_row row = row_of(cases[i].row, 1000);
		int64_t got = holds_extra_life(h, &row, cases[i].received_ms);
		if (got != cases[i].extra_ms)
			fail_msg("%s from %d: %d", cases[i].row, (int)cases[i].received_ms,
				 (int)got);
	}
	holds_free(&h);
}

static void test_limit_and_damage(void **state)
{
	static const char *const bad[] = { "x",
					   "{}",
					   "{\"id\":\"h0\",\"target\":\"all\"}",
					   "{\"id\":\"r1\",\"target\":\"all\"}",
					   "{\"id\":\"h1\",\"target\":\"domian:x\"}",
					   "{\"id\":\"h1\"}" };
	struct holds *h = holds_new();
	struct err err = ERR_INIT;
	struct filter_row row = row_of("domain=d9999.example stream=s provider=p", 1000);
	bool asks;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		assert_int_equal(holds_put(h, bad[i], &err), -ERR_CORRUPT);
	for (unsigned i = 1; i <= HOLDS_MAX; i++) {
		char target[64];
		(void)snprintf(target, sizeof(target), "domain:d%u.example", i);
		put(h, i, target, "");
	}
	assert_int_equal(holds_put(h, "{\"id\":\"h20000\",\"target\":\"all\"}", &err), -ERR_LIMIT);
	put(h, 5, "domain:other.example", ""); /* one that is there can be changed */
	put(h, 20001, "all", ",\"ended_ms\":1");
	/* a look-up, not a walk: a walk over these takes a hundred times as long */
	clock_t begin = clock();
	for (int i = 0; i < 100000; i++)
		assert_int_equal(holds_judge(h, &row, &asks), 9999);
	assert_true((double)(clock() - begin) / CLOCKS_PER_SEC < 2.0);
	holds_free(&h);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_judge),
		cmocka_unit_test(test_changes),
		cmocka_unit_test(test_extra_life),
		cmocka_unit_test(test_limit_and_damage),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
