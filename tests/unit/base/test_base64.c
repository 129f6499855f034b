#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "base/base64.h"
#include "base/mem.h"

/* RFC 4648, section 10, and bytes above 127. */
static void test_encode(void **state)
{
	static const struct {
		const char *in;
		const char *out;
	} cases[] = {
		{ "", "" },
		{ "f", "Zg==" },
		{ "fo", "Zm8=" },
		{ "foo", "Zm9v" },
		{ "foob", "Zm9vYg==" },
		{ "fooba", "Zm9vYmE=" },
		{ "foobar", "Zm9vYmFy" },
		{ "\xff\xfe\xfd\x80", "//79gA==" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		AUTO_BUF b = BUF_INIT(100);
		assert_true(base64_put(&b, str_of(cases[i].in)));
		assert_string_equal(buf_cstr(&b), cases[i].out);
		assert_int_equal(b.n, BASE64_LEN(strlen(cases[i].in)));
		AUTO_BUF back = BUF_INIT(100);
		assert_true(base64_read(&back, buf_str(&b)));
		assert_string_equal(buf_cstr(&back), cases[i].in);
	}
}

static void test_decode_refuses(void **state)
{
	static const char *const cases[] = { "Z",    "Zg",   "Zg=",  "Zg==Zg==", "Zh==",    "Zm9=",
					     "Z===", "====", "Zm 9", "Zm9v\n",	 "Zm9v-_8=" };

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		AUTO_BUF b = BUF_INIT(100);
		(void)buf_puts(&b, "x");
		if (base64_read(&b, str_of(cases[i])))
			fail_msg("%s was read", cases[i]);
		assert_string_equal(buf_cstr(&b), "x");
	}
}

static void test_limit(void **state)
{
	AUTO_BUF b = BUF_INIT(7);

	(void)state;
	assert_false(base64_put(&b, STR("foobar")));
	assert_false(base64_read(&b, STR("Zm9vYmFyZm9v")));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_encode),
		cmocka_unit_test(test_decode_refuses),
		cmocka_unit_test(test_limit),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
