#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/mem.h"
#include "mail/msgid.h"

#define NOV_2026_MS INT64_C(1795500000000)

/* red when the clock going back, or 257 ids in one millisecond, makes an id twice */
static void test_next_only_grows(void **state)
{
	struct msgid last = { 0 };
	int64_t wall_ms = NOV_2026_MS;

	(void)state;
	for (int i = 0; i < 2000; i++) {
		struct msgid id = msgid_next(last, wall_ms);
		assert_true(id.v > last.v);
		assert_true(id.v < UINT64_C(1) << MSGID_BITS);
		last = id;
		if (i % 300 == 0)
			wall_ms -= 5000;
	}
	assert_true(msgid_time_ms(last) - NOV_2026_MS < 10);
	assert_int_equal(msgid_time_ms(msgid_next((struct msgid){ 0 }, NOV_2026_MS)), NOV_2026_MS);
	assert_int_equal(msgid_next((struct msgid){ 0 }, 0).v, 1);
}

/* red when text order and number order differ, or a value does not survive printing */
static void test_text_round_trip(void **state)
{
	static const uint64_t values[] = { 1, 31, 32, UINT64_C(0x123456789abc),
					   (UINT64_C(1) << MSGID_BITS) - 1 };
	char before[MSGID_TEXT_LEN] = "";

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(values); i++) {
		char text[MSGID_TEXT_LEN];
		struct msgid back = { 0 };
		msgid_text((struct msgid){ values[i] }, text);
		assert_int_equal(strlen(text), MSGID_LEN);
		assert_true(strcmp(before, text) < 0);
		assert_true(msgid_parse(str_of(text), &back));
		assert_int_equal(back.v, values[i]);
		memcpy(before, text, sizeof(before));
	}
}

static void test_parse(void **state)
{
	static const struct {
		const char *text;
		bool ok;
		uint64_t v;
		unsigned n;
	} cases[] = {
		{ "0000000001", true, 1, 0 },
		{ "000000000l", true, 1, 0 }, /* look-alikes */
		{ "OooooOOOOi", true, 1, 0 },
		{ "000000000z", true, 31, 0 },
		{ "0000000010/3", true, 32, 3 },
		{ "0000000010/8191", true, 32, 8191 },
		{ "0000000010/8192", false, 0, 0 },
		{ "0000000010/0", false, 0, 0 },
		{ "0000000010/", false, 0, 0 },
		{ "0000000010/1x", false, 0, 0 },
		{ "0000000000", false, 0, 0 }, /* "none" is nobody's id */
		{ "000000000u", false, 0, 0 },
		{ "00000001", false, 0, 0 },
		{ "00000000001", false, 0, 0 },
		{ "", false, 0, 0 },
		{ "/1", false, 0, 0 },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct msgid id = { 77 };
		unsigned n = 88;
		bool ok = msgid_parse_rcpt(str_of(cases[i].text), &id, &n);
		if (ok != cases[i].ok)
			fail_msg("%s: %d", cases[i].text, ok);
		assert_int_equal(id.v, ok ? cases[i].v : 77);
		assert_int_equal(n, ok ? cases[i].n : 88);
	}
}

static void test_prefix(void **state)
{
	struct msgid first;
	struct msgid last;

	(void)state;
	assert_true(msgid_parse_prefix(STR("00000000"), &first, &last));
	assert_int_equal(first.v, 0);
	assert_int_equal(last.v, 1023);
	assert_true(msgid_parse_prefix(STR(""), &first, &last));
	assert_int_equal(last.v, (UINT64_C(1) << MSGID_BITS) - 1);
	assert_false(msgid_parse_prefix(STR("0*"), &first, &last));
	assert_false(msgid_parse_prefix(STR("00000000000"), &first, &last));
}

static void test_rid(void **state)
{
	struct rid r = rid_of((struct msgid){ (UINT64_C(1) << MSGID_BITS) - 1 }, RID_RCPT_MAX);
	char text[RID_TEXT_LEN];

	(void)state;
	assert_true(r.v <= INT64_MAX); /* SQLite's integers are signed */
	assert_int_equal(rid_n(r), RID_RCPT_MAX);
	assert_int_equal(rid_msgid(r).v, (UINT64_C(1) << MSGID_BITS) - 1);
	rid_text(r, text);
	assert_string_equal(text, "ZZZZZZZZZZ/8191");
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_next_only_grows),
		cmocka_unit_test(test_text_round_trip),
		cmocka_unit_test(test_parse),
		cmocka_unit_test(test_prefix),
		cmocka_unit_test(test_rid),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
