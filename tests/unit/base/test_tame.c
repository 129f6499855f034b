#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "base/buf.h"
#include "base/tame.h"

static size_t count(struct str s, char c)
{
	size_t n = 0;

	for (size_t i = 0; i < s.n; i++)
		n += s.p[i] == c;
	return n;
}

/* red when a fold begins to count anew, or mail as it is has something taken out */
static void test_colons(void **state)
{
	static const char plain[] = "From: a:b;\nTo: x\n\tc: d\n\nhttp://a:80/ 12:13:14\n";
	char copy[sizeof(plain)];
	struct buf b = BUF_INIT(1u << 20);

	(void)state;
	memcpy(copy, plain, sizeof(plain));
	assert_int_equal(tame_mail(copy, sizeof(plain)), sizeof(plain));
	assert_memory_equal(copy, plain, sizeof(plain));
	for (int i = 0; i < 3 * TAME_COLONS; i++)
		(void)buf_puts(&b, i % 2 == 0 ? "a:\r\n " : "b:\n\t");
	(void)buf_puts(&b, "\nTo: c:d\n");
	assert_int_equal(tame_mail(b.p, b.n), b.n);
	assert_int_equal(count(buf_str(&b), ':'), TAME_COLONS + 2);
	assert_true(str_ends_nocase(buf_str(&b), STR("\nTo: c:d\n")));
	buf_done(&b);
}

/* red when parts without number are let through, or dashes that begin no line count */
static void test_marks(void **state)
{
	struct buf b = BUF_INIT(1u << 20);

	(void)state;
	for (int i = 0; i < 2 * TAME_MARKS; i++)
		(void)buf_puts(&b, " --a\n-b--\n");
	assert_int_equal(tame_mail(b.p, b.n), b.n);
	buf_reset(&b);
	for (int i = 0; i < 2 * TAME_MARKS; i++)
		(void)buf_puts(&b, "--a\n");
	assert_int_equal(tame_mail(b.p, b.n), 4 * (TAME_MARKS - 1));
	buf_done(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_colons),
		cmocka_unit_test(test_marks),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
