#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <cmocka.h>

#include "base/mem.h"
#include "base/utf8.h"
#include "mail/header.h"

#define MAIL                                                                                       \
	"Received: from a\r\n\tby b; now\r\n"                                                      \
	"RECEIVED: from c\r\n"                                                                     \
	"From: bob@example.org\r\n"                                                                \
	"Subject: one\r\n two\r\n"                                                                 \
	"Bcc: secret@example.org,\r\n other@example.org\r\n"                                       \
	"Message-Id : <1@x>\r\n"                                                                   \
	"bcc: again@example.org\r\n"
#define BODY "\r\nSubject: not this\r\n"

static void test_scan(void **state)
{
	struct header_facts h;
	struct header_field f;

	(void)state;
	header_scan(STR(MAIL BODY), &h);
	assert_int_equal(h.block.n, sizeof(MAIL) - 1);
	assert_int_equal(h.body_at, sizeof(MAIL) - 1 + 2);
	assert_int_equal(h.received, 2);
	assert_int_equal(h.fields, 7);
	assert_true(h.has_from && h.has_bcc);
	assert_false(h.has_date || h.malformed || h.eight_bit);
	assert_true(str_eq(h.message_id, STR("<1@x>")));
	assert_true(str_eq(h.subject, STR("one\r\n two")));
	assert_true(header_find(h.block, STR("bcc"), &f));
	assert_true(str_eq(f.whole, STR("Bcc: secret@example.org,\r\n other@example.org\r\n")));
	assert_false(header_find(h.block, STR("To"), &f));
}

static void test_edges(void **state)
{
	static const struct {
		const char *in;
		size_t block;
		size_t body_at;
		unsigned fields;
		bool malformed;
	} cases[] = {
		{ "", 0, 0, 0, false },
		{ "\r\nbody", 0, 2, 0, false },
		{ "\nbody", 0, 1, 0, false },
		{ "A: b", 4, 4, 1, false },
		{ "A: b\r\n", 6, 6, 1, false },
		{ "A: b\nC: d\n\nx", 10, 11, 2, false },
		{ "A: b\r\nno field\r\n", 6, 6, 1, true },
		{ " folded first\r\n\r\n", 0, 0, 0, true },
		{ "From bob Mon\r\nA: b\r\n", 0, 0, 0, true },
		{ "A:\r\n\r\n", 4, 6, 1, false },
		/* a line of blanks alone still continues the field (RFC 5322 obs-FWS) */
		{ "A: b\r\n \r\nC: d\r\n\r\n", 15, 17, 2, false },
		{ ": empty name\r\n", 0, 0, 0, true },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct header_facts h;
		header_scan(str_of(cases[i].in), &h);
		if (h.block.n != cases[i].block || h.body_at != cases[i].body_at ||
		    h.fields != cases[i].fields || h.malformed != cases[i].malformed)
			fail_msg("case %zu: block %zu body %zu fields %u malformed %d", i,
				 h.block.n, h.body_at, h.fields, h.malformed);
	}
}

static void test_strip(void **state)
{
	AUTO_BUF out = BUF_INIT(1000);
	struct header_facts h;

	(void)state;
	header_scan(STR(MAIL BODY), &h);
	assert_true(header_strip(h.block, STR("Bcc"), &out));
	assert_null(strstr(buf_cstr(&out), "secret"));
	assert_null(strstr(buf_cstr(&out), "other@"));
	assert_null(strstr(buf_cstr(&out), "again"));
	header_scan(buf_str(&out), &h);
	assert_int_equal(h.fields, 5);
}

static const struct {
	const char *in;
	const char *out;
} subjects[] = {
	{ "plain", "plain" },
	{ "two\r\n\tlines", "two lines" },
	{ "=?UTF-8?Q?J=C3=B6rg?=", "J\xc3\xb6rg" },
	{ "=?utf-8?q?a_b?= c", "a b c" },
	{ "=?utf-8?B?SsO2cmc=?=", "J\xc3\xb6rg" },
	{ "=?utf-8?B?SsO2cmc?=", "J\xc3\xb6rg" },
	{ "=?iso-8859-1?Q?J=F6rg?= x", "J\xc3\xb6rg x" },
	{ "=?ISO-8859-15?Q?=A4?=", "\xe2\x82\xac" },
	{ "=?windows-1252?Q?=80?=", "\xe2\x82\xac" },
	{ "=?koi8-r?B?8NLJ18XU?=", "\xd0\x9f\xd1\x80\xd0\xb8\xd0\xb2\xd0\xb5\xd1\x82" },
	{ "=?ISO-2022-JP?B?GyRCRnxLXBsoQg==?=", "\xe6\x97\xa5\xe6\x9c\xac" },
	/* white space between encoded words goes, elsewhere it stays */
	{ "=?utf-8?Q?a?= =?utf-8?Q?b?=", "ab" },
	{ "=?utf-8?Q?a?=\r\n =?iso-8859-1?Q?=E9?=", "a\xc3\xa9" },
	{ "x =?utf-8?Q?a?= y", "x a y" },
	{ "x=?utf-8?Q?a?=y", "xay" },
	/* a character split between two words */
	{ "=?utf-8?Q?J=C3?= =?utf-8?Q?=B6?=", "J\xc3\xb6" },
	{ "=?utf-8*de?Q?a?=", "a" },
	/* broken ones stand as they are */
	{ "=?utf-8?Q?a=4?=", "=?utf-8?Q?a=4?=" },
	{ "=?utf-8?X?a?=", "=?utf-8?X?a?=" },
	{ "=?utf-8?Q?a", "=?utf-8?Q?a" },
	{ "=?", "=?" },
	{ "=?=?utf-8?Q?a?=", "=?a" },
	/* nothing that reaches a list breaks its line or its encoding */
	{ "=?utf-8?Q?a=0D=0Ab=1B[2J?=", "a  b [2J" },
	{ "raw \xff byte", "raw \xef\xbf\xbd byte" },
	{ "=?utf-8?Q?=FF?=", "\xef\xbf\xbd" },
	{ "=?euc-jp?Q?=FFa?=", "\xef\xbf\xbd"
			       "a" },
	{ "=?no-such-charset?Q?=E9?=", "\xc3\xa9" },
	{ "", "" },
};

static void test_decode(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(subjects); i++) {
		AUTO_BUF out = BUF_INIT(HEADER_SUBJECT_MAX);
		header_decode(str_of(subjects[i].in), &out);
		if (!str_eq(buf_str(&out), str_of(subjects[i].out)))
			fail_msg("%s: \"%s\"", subjects[i].in, buf_cstr(&out));
	}
}

/* red when a long subject is cut inside a character, or overflows */
static void test_decode_is_cut_between_characters(void **state)
{
	(void)state;
	for (size_t limit = 0; limit < 12; limit++) {
		AUTO_BUF out = BUF_INIT(limit);
		header_decode(STR("=?utf-8?Q?=C3=B6=C3=B6=E2=82=AC=C3=B6?= tail"), &out);
		assert_true(out.n <= limit);
		assert_true(utf8_valid(buf_str(&out)));
	}
}

static void test_lines(void **state)
{
	struct header_lines l;

	(void)state;
	header_lines_scan(STR("ab\r\nc\nd\re\r\r\n\r\nlonger\xc3"), &l);
	assert_int_equal(l.bare_lf, 1);
	assert_int_equal(l.bare_cr, 2);
	assert_int_equal(l.longest, 7);
	assert_true(l.eight_bit);
	assert_false(l.nul);
	header_lines_scan(str_from("a\0\r\n", 4), &l);
	assert_true(l.nul);
	assert_int_equal(l.bare_cr + l.bare_lf, 0);
	header_lines_scan(STR(""), &l);
	assert_int_equal(l.longest, 0);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_scan),
		cmocka_unit_test(test_edges),
		cmocka_unit_test(test_strip),
		cmocka_unit_test(test_decode),
		cmocka_unit_test(test_lines),
		cmocka_unit_test(test_decode_is_cut_between_characters),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
