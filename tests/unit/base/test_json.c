#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "base/json.h"
#include "base/mem.h"

/* Whatever bytes come in: what is printed can be read again. */
static void test_text(void **state)
{
	static const struct {
		struct str in;
		const char *out;
	} cases[] = {
		{ { "", 0 }, "" },
		{ { NULL, 0 }, "" },
		{ { "plain", 5 }, "plain" },
		{ { "\xc3\xa9", 2 }, "\xc3\xa9" },
		{ { "a\xff\xfe", 3 }, "a\xef\xbf\xbd\xef\xbf\xbd" },
		{ { "a\0b", 3 },
		  "a\xef\xbf\xbd"
		  "b" },
		{ { "\0", 1 }, "\xef\xbf\xbd" },
		{ { "x\0\xff", 3 }, "x\xef\xbf\xbd\xef\xbf\xbd" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		json_t *v = json_text(cases[i].in);
		AUTO_FREE char *text = json_dumps(v, JSON_ENCODE_ANY);
		json_t *again = json_loads(text, JSON_DECODE_ANY, NULL);
		assert_non_null(again);
		assert_string_equal(json_string_value(again), cases[i].out);
		json_decref(v);
		json_decref(again);
	}
}

static void test_read(void **state)
{
	json_t *o = NULL;
	struct err err = ERR_INIT;

	(void)state;
	assert_int_equal(json_read("[1]", &o, &err), -ERR_CORRUPT);
	assert_int_equal(json_read("{\"a\":1", &o, &err), -ERR_CORRUPT);
	assert_int_equal(json_read("{\"a\":1,\"b\":\"x\",\"c\":true}", &o, &err), 0);
	assert_int_equal(json_get_int(o, "a"), 1);
	assert_int_equal(json_get_int(o, "b"), 0);
	assert_string_equal(json_get_str(o, "b"), "x");
	assert_string_equal(json_get_str(o, "a"), "");
	assert_true(json_get_bool(o, "c"));
	assert_false(json_get_bool(o, "d"));
	json_decref(o);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_text),
		cmocka_unit_test(test_read),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
