/* Against the examples of RFC 6234, 4231 and 7914 (section 11). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/digest.h"
#include "base/secret.h"

static void check(const uint8_t *got, const char *hex)
{
	char text[DIGEST_HEX_LEN];

	digest_hex(got, text);
	assert_string_equal(text, hex);
}

static void examples(void **state)
{
	uint8_t out[DIGEST_LEN];

	(void)state;
	digest_sha256(STR("abc"), out);
	check(out, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
	digest_hmac((const uint8_t *)"Jefe", 4, STR("what do ya want for nothing?"), out);
	check(out, "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843");
	digest_pbkdf2(STR("passwd"), (const uint8_t *)"salt", 4, 1, out);
	check(out, "55ac046e56e3089fec1691c22544b605f94185216dde0465e68b9d57c20dacbc");
	digest_pbkdf2(STR("Password"), (const uint8_t *)"NaCl", 4, 80000, out);
	check(out, "4ddcd8f60b98be21830cee5ef22701f9641a4418d04c0414aeff08876b34ab56");
}

static void hexadecimal(void **state)
{
	static const char good[] =
		"00ff10a0ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61";
	uint8_t bytes[DIGEST_LEN], was[DIGEST_LEN];
	char bad[sizeof(good)];

	(void)state;
	assert_true(digest_unhex(str_of(good), bytes));
	check(bytes, good);
	memcpy(was, bytes, sizeof(was));
	for (size_t i = 0; i < 4; i++) {
		memcpy(bad, good, sizeof(bad));
		bad[63 - i] = "Fg \0"[i];
		assert_false(digest_unhex(str_from(bad, sizeof(bad) - 1), bytes));
	}
	assert_false(digest_unhex(str_from(good, sizeof(good) - 2), bytes));
	assert_false(digest_unhex(str_from(good, sizeof(good)), bytes));
	assert_memory_equal(bytes, was, sizeof(was));
}

static void random_bytes(void **state)
{
	uint8_t a[1000] = { 0 };
	uint8_t b[1000] = { 0 };
	size_t zeroes = 0;

	(void)state;
	digest_random(a, sizeof(a));
	digest_random(b, sizeof(b));
	assert_false(digest_equal(a, b, sizeof(a)));
	assert_true(digest_equal(a, a, sizeof(a)));
	for (size_t i = 0; i < sizeof(a); i++)
		zeroes += a[i] == 0;
	assert_in_range(zeroes, 0, 50); /* filled to its end */
}

static void secrets(void **state)
{
	struct secret s = { .n = 0 };

	(void)state;
	secret_set(&s, STR("one"));
	secret_set(&s, str_from("two\0x", 5));
	assert_int_equal(s.n, 5);
	assert_memory_equal(s.p, "two\0x", 6);
	secret_done(&s);
	assert_null(s.p);
	secret_done(&s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(examples),
		cmocka_unit_test(hexadecimal),
		cmocka_unit_test(random_bytes),
		cmocka_unit_test(secrets),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
