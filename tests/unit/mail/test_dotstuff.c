#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <cmocka.h>

#include "base/mem.h"
#include "mail/dotstuff.h"

static const struct {
	const char *in;
	const char *out;
	int rest;      /* bytes behind the end; -1: no end */
	unsigned bare; /* bare LF and bare CR */
} cases[] = {
	{ ".\r\n", "", 0, 0 },
	{ "a\r\n.\r\n", "a\r\n", 0, 0 },
	{ "a\r\n.\r\nQUIT\r\n", "a\r\n", 6, 0 },
	{ "..a\r\n...\r\n.\r\n", ".a\r\n..\r\n", 0, 0 },
	{ ".a\r\n.\r\n", "a\r\n", 0, 0 },
	{ "a.\r\n\r\n.\r\n", "a.\r\n\r\n", 0, 0 },
	/* the smuggling set: none of these ends DATA */
	{ "a\n.\n", "a\n.\n", -1, 2 },
	{ "a\n.\r\n", "a\n.\r\n", -1, 1 },
	{ "a\r\n.\n", "a\r\n\n", -1, 1 },
	{ "a\r\n.\r", "a\r\n", -1, 0 },
	{ "a\r.\r\n", "a\r.\r\n", -1, 1 },
	{ "a\r.\r", "a\r.", -1, 1 },
	{ "a\r\n.\r.\r\n", "a\r\n\r.\r\n", -1, 1 },
	{ "a\r\r\n.\r\n", "a\r\r\n", 0, 1 },
	{ ".\r\r\n.\r\n", "\r\r\n", 0, 1 },
	{ "\n.\r\n", "\n.\r\n", -1, 1 },
	{ "a\r\n\r.\r\n", "a\r\n\r.\r\n", -1, 1 },
};

static void test_decode(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		size_t n = strlen(cases[i].in);
		/* every split into two chunks gives the same */
		for (size_t cut = 0; cut <= n; cut++) {
			AUTO_BUF out = BUF_INIT(1000);
			struct dot_decoder d;
			const uint8_t *p = (const uint8_t *)cases[i].in;
			size_t used;
			dot_decoder_init(&d, 1000);
			used = dot_decode(&d, p, cut, &out);
			if (!dot_decoder_ended(&d)) {
				assert_int_equal(used, cut);
				used += dot_decode(&d, p + cut, n - cut, &out);
			}
			if (dot_decoder_ended(&d) != (cases[i].rest >= 0) ||
			    !str_eq(buf_str(&out), str_of(cases[i].out)))
				fail_msg("case %zu cut %zu: \"%s\"", i, cut, buf_cstr(&out));
			if (cases[i].rest >= 0)
				assert_int_equal(n - used, cases[i].rest);
			assert_int_equal(d.bare_lf + d.bare_cr, cases[i].bare);
			assert_int_equal(d.size, out.n);
		}
	}
}

/* red when an endless message costs memory, or hides its end */
static void test_limit(void **state)
{
	AUTO_BUF out = BUF_INIT(1000);
	struct dot_decoder d;

	(void)state;
	dot_decoder_init(&d, 4);
	(void)dot_decode(&d, (const uint8_t *)"abcdefgh\r\n.\r\n", 13, &out);
	assert_true(d.too_big);
	assert_true(dot_decoder_ended(&d));
	assert_int_equal(d.size, 10);
	assert_true(out.n <= 4);
}

static void test_marks(void **state)
{
	AUTO_BUF out = BUF_INIT(1000);
	struct dot_decoder d;

	(void)state;
	dot_decoder_init(&d, 1000);
	(void)dot_decode(&d, (const uint8_t *)"plain\r\n", 7, &out);
	assert_false(d.eight_bit || d.nul);
	(void)dot_decode(&d, (const uint8_t *)"\xc3\0\r\n", 4, &out);
	assert_true(d.eight_bit && d.nul);
}

static void test_encode(void **state)
{
	static const struct {
		const char *in;
		const char *out;
	} rows[] = {
		{ "", ".\r\n" },
		{ "a", "a\r\n.\r\n" },
		{ "a\r\n", "a\r\n.\r\n" },
		{ ".\r\n..\r\n", "..\r\n...\r\n.\r\n" },
		{ "a\r\n\r\n", "a\r\n\r\n.\r\n" },
		/* nothing but CRLF line ends leaves the house */
		{ "a\n.\nb", "a\r\n..\r\nb\r\n.\r\n" },
		{ "a\r.\rb\r", "a\r\n..\r\nb\r\n.\r\n" },
		{ "\r\r\n", "\r\n\r\n.\r\n" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		size_t n = strlen(rows[i].in);
		for (size_t cut = 0; cut <= n; cut++) {
			AUTO_BUF out = BUF_INIT(1000);
			struct dot_encoder e = DOT_ENCODER_INIT;
			const uint8_t *p = (const uint8_t *)rows[i].in;
			assert_true(dot_encode(&e, p, cut, &out));
			assert_true(dot_encode(&e, p + cut, n - cut, &out));
			assert_true(dot_encode_end(&e, &out));
			if (!str_eq(buf_str(&out), str_of(rows[i].out)))
				fail_msg("case %zu cut %zu: \"%s\"", i, cut, buf_cstr(&out));
		}
	}
}

/* Whatever is stored: on the wire only CR LF ends lines, and only the end looks like one, also to a
 * receiver that is not strict (smuggling outwards). All texts of up to eight such bytes. */
static void test_nothing_is_smuggled_out(void **state)
{
	static const char bytes[] = { '\r', '\n', '.', 'a' };

	(void)state;
	for (unsigned n = 0, all = 1; n <= 8; n++, all *= 4)
		for (unsigned code = 0; code < all; code++) {
			AUTO_BUF wire = BUF_INIT(100);
			struct dot_encoder e = DOT_ENCODER_INIT;
			uint8_t in[8];
			const char *end;
			for (unsigned i = 0, c = code; i < n; i++, c /= 4)
				in[i] = (uint8_t)bytes[c % 4];
			assert_true(buf_puts(&wire, "\r\n"));
			assert_true(dot_encode(&e, in, n, &wire));
			assert_true(dot_encode_end(&e, &wire));
			for (size_t i = 0; i < wire.n; i++)
				if ((wire.p[i] == '\r') != (wire.p[i + 1] == '\n'))
					fail_msg("a bare line end of text %u", code);
			end = strstr(buf_cstr(&wire), "\r\n.\r\n");
			assert_non_null(end);
			assert_int_equal(end - wire.p, wire.n - 5);
		}
}

/* What is encoded decodes to itself, for random texts of proper lines. */
static void test_round_trip(void **state)
{
	static const char *const pieces[] = { ".", "..", "a", "\r\n", "\r\n.", "\r\n..", "xyz " };

	(void)state;
	srand(7);
	for (int round = 0; round < 2000; round++) {
		AUTO_BUF in = BUF_INIT(4000);
		AUTO_BUF wire = BUF_INIT(8000);
		AUTO_BUF back = BUF_INIT(4000);
		struct dot_encoder e = DOT_ENCODER_INIT;
		struct dot_decoder d;
		for (int k = rand() % 20; k > 0; k--)
			assert_true(buf_puts(&in, pieces[(size_t)rand() % ARRAY_LEN(pieces)]));
		assert_true(buf_puts(&in, "\r\n"));
		assert_true(dot_encode(&e, (const uint8_t *)in.p, in.n, &wire));
		assert_true(dot_encode_end(&e, &wire));
		dot_decoder_init(&d, 4000);
		assert_int_equal(dot_decode(&d, (const uint8_t *)wire.p, wire.n, &back), wire.n);
		assert_true(dot_decoder_ended(&d));
		assert_true(str_eq(buf_str(&in), buf_str(&back)));
	}
}

static void test_raw(void **state)
{
	static const struct {
		const char *in;
		const char *out;
		unsigned bare_lf;
		unsigned bare_cr;
	} rows[] = {
		{ "", "", 0, 0 },
		{ "a\r\n", "a\r\n", 0, 0 },
		{ "a", "a\r\n", 0, 0 },
		{ ".\r\n..\r\n.a", ".\r\n..\r\n.a\r\n", 0, 0 },
		{ "\r\n\r\n.\r\n", "\r\n\r\n.\r\n", 0, 0 },
		{ "a\n", "a\n\r\n", 1, 0 },
		{ "\n", "\n\r\n", 1, 0 },
		{ "a\r", "a\r\r\n", 0, 1 },
		{ "a\rb\r\r\n", "a\rb\r\r\n", 0, 2 },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		size_t n = strlen(rows[i].in);
		for (size_t cut = 0; cut <= n; cut++) {
			AUTO_BUF out = BUF_INIT(1000);
			struct dot_decoder d;
			const uint8_t *p = (const uint8_t *)rows[i].in;
			dot_decoder_init(&d, 1000);
			raw_decode(&d, p, cut, &out);
			raw_decode(&d, p + cut, n - cut, &out);
			raw_end(&d, &out);
			if (!str_eq(buf_str(&out), str_of(rows[i].out)) ||
			    d.bare_lf != rows[i].bare_lf || d.bare_cr != rows[i].bare_cr)
				fail_msg("case %zu cut %zu: \"%s\"", i, cut, buf_cstr(&out));
			assert_int_equal(d.size, out.n);
		}
	}
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_decode),
		cmocka_unit_test(test_limit),
		cmocka_unit_test(test_marks),
		cmocka_unit_test(test_encode),
		cmocka_unit_test(test_nothing_is_smuggled_out),
		cmocka_unit_test(test_round_trip),
		cmocka_unit_test(test_raw),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
