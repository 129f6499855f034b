#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "base/buf.h"
#include "base/mem.h"

/* Room that nothing was put into is still an empty text. */
static void test_reserve_keeps_the_text(void **state)
{
	(void)state;
	for (size_t n = 0; n < 300; n += 50) {
		char *dirty = xmalloc(64); /* what the allocator hands out next */
		memset(dirty, 'x', 64);
		free(dirty);
		AUTO_BUF b = BUF_INIT(1000);
		assert_true(buf_reserve(&b, n));
		assert_string_equal(buf_cstr(&b), "");
		(void)buf_puts(&b, "abc");
		assert_true(buf_reserve(&b, n));
		assert_string_equal(buf_cstr(&b), "abc");
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_reserve_keeps_the_text) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
