#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>

#include "base/mem.h"
#include "mail/verp.h"

#define NOW_MS INT64_C(1795500000000)
#define DAY_MS INT64_C(86400000)

static const uint8_t key[VERP_KEY_LEN] = "0123456789abcdefghijklmnopqrstu";
static const uint8_t other_key[VERP_KEY_LEN] = "another-key-of-thirty-two-bytes";
#define DOMAIN STR("bounces.example")

static struct rid rid(unsigned n)
{
	return rid_of(msgid_next((struct msgid){ 0 }, NOW_MS), n);
}

static void make(unsigned n, uint32_t stream, const char *rcpt, char ret[VERP_LOCAL_LEN])
{
	verp_make(key, DOMAIN, rid(n), stream, str_of(rcpt), NOW_MS + 7 * DAY_MS, ret);
}

/* red when a value does not come back, or an address is longer than a local part may be */
static void test_round_trip(void **state)
{
	static const uint32_t streams[] = { 0, 1, 31, 32, 1024, 1u << 20, UINT32_MAX };
	static const unsigned ns[] = { 1, 31, 32, RID_RCPT_MAX };

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(streams); i++)
		for (size_t k = 0; k < ARRAY_LEN(ns); k++) {
			char local[VERP_LOCAL_LEN];
			struct verp v;
			make(ns[k], streams[i], "Gone@fast.example", local);
			assert_true(strlen(local) <= 50);
			assert_int_equal(verp_read(key, DOMAIN, str_of(local), NOW_MS, &v),
					 VERP_GOOD);
			assert_int_equal(v.rid.v, rid(ns[k]).v);
			assert_int_equal(v.stream, streams[i]);
			assert_true(v.expires_ms > NOW_MS + 7 * DAY_MS);
			assert_true(v.expires_ms <= NOW_MS + 8 * DAY_MS);
			assert_true(verp_is_for(key, &v, STR("gone@FAST.example")));
			assert_false(verp_is_for(key, &v, STR("gone2@fast.example")));
			assert_false(verp_is_for(other_key, &v, STR("gone@fast.example")));
		}
}

/* red when an end is not kept, or letter case matters, which hosts on the way change */
static void test_end_and_case(void **state)
{
	char local[VERP_LOCAL_LEN];
	struct verp v;

	(void)state;
	make(1, 7, "a@b.example", local);
	for (char *p = local; *p != '\0'; p++)
		*p = (char)(*p >= 'a' && *p <= 'z' ? *p - 32 : *p);
	assert_int_equal(verp_read(key, STR("BOUNCES.example"), str_of(local), NOW_MS, &v),
			 VERP_GOOD);
	assert_int_equal(verp_read(key, DOMAIN, str_of(local), v.expires_ms - 1, &v), VERP_GOOD);
	assert_int_equal(verp_read(key, DOMAIN, str_of(local), v.expires_ms, &v), VERP_EXPIRED);
}

/* red when any other character, a cut, another domain or another key is taken for good */
static void test_forgeries(void **state)
{
	static const char digits[] = "0123456789abcdefghjkmnpqrstvwxyz-";
	char local[VERP_LOCAL_LEN], copy[VERP_LOCAL_LEN];
	struct verp v;
	size_t n;

	(void)state;
	make(3, 12345, "a@b.example", local);
	n = strlen(local);
	for (size_t i = 0; i < n; i++)
		for (size_t d = 0; d < sizeof(digits) - 1; d++) {
			memcpy(copy, local, sizeof(copy));
			copy[i] = digits[d];
			if (strcmp(copy, local) != 0)
				assert_int_not_equal(
					verp_read(key, DOMAIN, str_of(copy), NOW_MS, &v),
					VERP_GOOD);
		}
	for (size_t i = 0; i < n; i++) {
		assert_int_not_equal(verp_read(key, DOMAIN, str_from(local, i), NOW_MS, &v),
				     VERP_GOOD);
		assert_int_equal(verp_read(key, DOMAIN, str_from(local + i, n - i), NOW_MS, &v) ==
					 VERP_GOOD,
				 i == 0);
	}
	assert_int_equal(verp_read(key, STR("b.example"), str_of(local), NOW_MS, &v), VERP_FORGED);
	assert_int_equal(verp_read(other_key, DOMAIN, str_of(local), NOW_MS, &v), VERP_FORGED);
	assert_int_equal(verp_read(key, DOMAIN, STR("anna"), NOW_MS, &v), VERP_STRANGE);
	assert_int_equal(verp_read(key, DOMAIN, STR(""), NOW_MS, &v), VERP_STRANGE);
	assert_int_equal(verp_read(key, DOMAIN, STR("b-"), NOW_MS, &v), VERP_CUT);
}

/* red when two recipients, messages or days share an address, or one attempt differs from another
 */
static void test_one_for_each(void **state)
{
	char a[VERP_LOCAL_LEN], b[VERP_LOCAL_LEN];

	(void)state;
	make(1, 7, "a@b.example", a);
	make(1, 7, "a@b.example", b);
	assert_string_equal(a, b);
	make(2, 7, "a@b.example", b);
	assert_string_not_equal(a, b);
	make(1, 7, "c@b.example", b);
	assert_string_not_equal(a, b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_round_trip),
		cmocka_unit_test(test_end_and_case),
		cmocka_unit_test(test_forgeries),
		cmocka_unit_test(test_one_for_each),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
