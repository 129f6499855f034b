/* Against the examples of RFC 6234, 4231 and 7914 (section 11). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/digest.h"
#include "base/secret.h"

static void check(const uint8_t *got, const char *hex)
{
	char text[2 * DIGEST_LEN + 1];

	for (size_t i = 0; i < DIGEST_LEN; i++)
		(void)snprintf(text + 2 * i, 3, "%02x", got[i]);
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
		cmocka_unit_test(random_bytes),
		cmocka_unit_test(secrets),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
