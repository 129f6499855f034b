/* The window over a list: a fake relay serves rows r0 … by keyset cursors. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "base/mem.h"
#include "lib/fake_rpc.h"
#include "model/rows.h"

static int n_rows;
static int first_row; /* rows below it are gone */
static int max_limit;
static struct rows *rows;
static int changes;

static void on_changed(void *arg)
{
	(void)arg;
	changes++;
}

/* Cursors: ">N" rows from N on, "<N" rows that end before N. */
static json_t *serve(const json_t *params)
{
	int limit = (int)ji(params, "limit");
	const char *cursor = js(params, "cursor");
	int from = first_row, to;
	json_t *out = json_array();
	json_t *answer;

	max_limit = limit > max_limit ? limit : max_limit;
	if (*cursor == '>') {
		from = atoi(cursor + 1);
		from = from < first_row ? first_row : from;
	} else if (*cursor == '<') {
		from = atoi(cursor + 1) - limit;
	} else if (json_is_true(json_object_get(params, "from_end"))) {
		from = n_rows - limit;
	}
	to = *cursor == '<' ? atoi(cursor + 1) : from + limit;
	from = from < first_row ? first_row : from;
	to = to > n_rows ? n_rows : to;
	for (int i = from; i < to; i++)
		(void)json_array_append_new(out, json_pack("{s:o}", "id", json_sprintf("r%d", i)));
	answer = json_pack("{s:o, s:i, s:b}", "rows", out, "total", n_rows - first_row, "exact", 1);
	(void)json_object_set_new(answer, "next",
				  to < n_rows ? json_sprintf(">%d", to) : json_null());
	(void)json_object_set_new(answer, "prev",
				  from > first_row ? json_sprintf("<%d", from) : json_null());
	return answer;
}

static int setup(void **state)
{
	(void)state;
	fake_rpc_reset();
	fake_rpc_answer_fn("list", serve);
	n_rows = 100000;
	first_row = 0;
	max_limit = 0;
	changes = 0;
	rows = rows_new(&(struct rows_options){ .rpc = fake_rpc(),
						.method = "list",
						.key = "id",
						.from_end = true,
						.changed = on_changed });
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	rows_free(&rows);
	fake_rpc_reset();
	return 0;
}

static void see(int64_t first)
{
	rows_want(rows, first, 20);
	fake_rpc_run();
	rows_want(rows, first, 20);
	fake_rpc_run();
}

static void test_scrolls_down_and_up(void **state)
{
	bool exact;
	char name[32];

	(void)state;
	see(0);
	assert_int_equal(rows_count(rows, &exact), 100000);
	assert_true(exact);
	for (int64_t at = 0; at < 5000; at += 15) {
		see(at);
		for (int64_t i = at; i < at + 20; i++) {
			(void)snprintf(name, sizeof(name), "r%d", (int)i);
			assert_string_equal(rows_key(rows, i), name);
		}
	}
	assert_null(rows_get(rows, 0)); /* dropped: only what is near is held */
	for (int64_t at = 5000; at >= 0; at -= 15) {
		see(at);
		(void)snprintf(name, sizeof(name), "r%d", (int)at);
		assert_string_equal(rows_key(rows, at), name);
	}
}

static void test_last_row_is_one_call_away(void **state)
{
	int calls;

	(void)state;
	see(0);
	calls = fake_rpc_calls("list");
	see(99980);
	assert_string_equal(rows_key(rows, 99999), "r99999");
	assert_in_range(fake_rpc_calls("list") - calls, 1, 2);
	see(0);
	assert_string_equal(rows_key(rows, 0), "r0");
}

static void test_refresh_keeps_the_place(void **state)
{
	uint64_t id;

	(void)state;
	see(0);
	see(150);
	see(300);
	id = rows_id(rows, 310);
	rows_refresh(rows);
	fake_rpc_run();
	assert_int_equal(rows_index_of(rows, id), 310);
	assert_string_equal(rows_key(rows, 300), "r300");
}

static void test_refresh_sees_rows_leave(void **state)
{
	uint64_t id;

	(void)state;
	see(0);
	id = rows_id(rows, 30);
	first_row = 10;
	rows_refresh(rows);
	fake_rpc_run();
	assert_int_equal(rows_index_of(rows, id), 20);
	assert_int_equal(rows_index_of(rows, rows_key_id("r5")), -1);
}

static void test_everything_here_goes(void **state)
{
	bool exact;

	(void)state;
	n_rows = 450;
	see(0);
	see(400);
	first_row = 440;
	n_rows = 440;
	rows_refresh(rows);
	fake_rpc_run();
	assert_int_equal(rows_count(rows, &exact), 0);
	assert_true(exact);
}

static void test_pages_have_a_limit(void **state)
{
	(void)state;
	see(0);
	see(50000);
	assert_in_range(max_limit, 1, 1000);
}

static void test_query_and_free_cancel(void **state)
{
	(void)state;
	rows_want(rows, 0, 20);
	rows_query(rows, json_pack("{s:s}", "where", "domain:a"));
	assert_true(rows_loading(rows));
	assert_non_null(strstr(fake_rpc_params("list"), "\"where\":\"domain:a\""));
	rows_free(&rows);
	fake_rpc_run(); /* nothing may arrive */
	assert_int_equal(changes, 0);
}

static void test_errors_show_and_go(void **state)
{
	(void)state;
	fake_rpc_fail("list", ERR_TIMEOUT, "no answer");
	see(0);
	assert_string_equal(rows_error(rows)->msg, "no answer");
	assert_int_equal(fake_rpc_calls("list"), 1); /* drawing does not hammer a broken relay */
	fake_rpc_answer("list", "{}");
	rows_refresh(rows);
	fake_rpc_run();
	assert_null(rows_error(rows));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_scrolls_down_and_up, setup, teardown),
		cmocka_unit_test_setup_teardown(test_last_row_is_one_call_away, setup, teardown),
		cmocka_unit_test_setup_teardown(test_refresh_keeps_the_place, setup, teardown),
		cmocka_unit_test_setup_teardown(test_refresh_sees_rows_leave, setup, teardown),
		cmocka_unit_test_setup_teardown(test_everything_here_goes, setup, teardown),
		cmocka_unit_test_setup_teardown(test_pages_have_a_limit, setup, teardown),
		cmocka_unit_test_setup_teardown(test_query_and_free_cancel, setup, teardown),
		cmocka_unit_test_setup_teardown(test_errors_show_and_go, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
