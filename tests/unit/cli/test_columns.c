/* Tables and text for people: widths, cuts, and what must never come out. */
#include <locale.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "base/mem.h"
#include "base/utf8.h"
#include "cli/columns.h"

static const struct out plain = { .utf8 = true };

static json_t *rows_of(const char *json)
{
	char *text = xstrdup(json);
	json_t *rows;

	for (char *c = text; *c != '\0'; c++)
		*c = *c == '\'' ? '"' : *c;
	rows = json_loads(text, 0, NULL);
	free(text);
	assert_non_null(rows);
	return rows;
}

static void put_table(struct buf *b, const struct columns_options *o, const char *json)
{
	json_t *rows = rows_of(json);
	struct columns *c = columns_new(o, rows);
	const json_t *row;
	size_t i;

	columns_put_head(c, b);
	json_array_foreach(rows, i, row) columns_put_row(c, b, row);
	columns_free(&c);
	json_decref(rows);
}

#define QUEUE                                                                                      \
	"[{'domain':'gmail.com','total':12408,'ready':0,'deferred':12408,'held':0,"                \
	"'oldest_age_s':7500,'hold':null,'class':'rate-limited',"                                  \
	"'last_reply':'421 4.7.28 Our system has detected an unusual rate of mail'},"              \
	"{'domain':'a.example','total':1,'ready':1,'deferred':0,'held':0,'oldest_age_s':3}]"

static void test_pipe(void **state)
{
	AUTO_BUF b = BUF_INIT(10000);

	(void)state;
	put_table(&b, &(struct columns_options){ .out = &plain, .entity = "queue" }, QUEUE);
	assert_string_equal(
		buf_cstr(&b),
		"DOMAIN     TOTAL  READY  DEFER  HELD  OLDEST  CLASS         LAST REPLY\n"
		"gmail.com  12408      0  12408     0   2h05m  rate-limited  421 4.7.28 Our system "
		"has detected an unusual rate of mail\n"
		"a.example      1      1      0     0      3s  -             -\n");
}

/* What there is no room for is named. */
static void test_left_out(void **state)
{
	struct out o = { .utf8 = true, .tty = false, .width = 64 };
	AUTO_BUF b = BUF_INIT(10000);
	json_t *rows = rows_of(QUEUE);
	struct columns *c =
		columns_new(&(struct columns_options){ .out = &o, .entity = "queue" }, rows);

	(void)state;
	assert_true(columns_put_left_out(c, &b));
	assert_string_equal(buf_cstr(&b), "no room for oldest, ready, held; --wide shows all\n");
	columns_free(&c);
	buf_reset(&b);
	c = columns_new(&(struct columns_options){ .out = &plain, .entity = "queue" }, rows);
	assert_false(columns_put_left_out(c, &b));
	columns_free(&c);
	json_decref(rows);
}

/* A title that is longer than most has a blank behind it, too. */
static void test_long_titles(void **state)
{
	AUTO_BUF b = BUF_INIT(10000);
	json_t *row = rows_of("{'state':'a','may_authenticate':true}");

	(void)state;
	columns_put_fields(&plain, &b, "allow_test", NULL, row);
	assert_non_null(strstr(buf_cstr(&b), "may authenticate yes\n"));
	json_decref(row);
}

/* Lines break between words. */
static void test_wraps_between_words(void **state)
{
	struct out o = { .utf8 = true, .width = 30 };
	AUTO_BUF b = BUF_INIT(10000);

	(void)state;
	(void)buf_puts(&b, "Careful: ");
	out_wrap_at(&o, &b, 9, STR("all mail of the relay is concerned"), 9);
	assert_string_equal(buf_cstr(&b), "Careful: all mail of the relay\n"
					  "         is concerned\n");
}

static void test_narrow(void **state)
{
	struct out o = { .utf8 = true, .tty = true, .width = 64 };
	AUTO_BUF b = BUF_INIT(10000);

	(void)state;
	put_table(&b, &(struct columns_options){ .out = &o, .entity = "queue" }, QUEUE);
	/* what was said is worth more than some of the counts, and shown cut rather than not */
	assert_string_equal(buf_cstr(&b),
			    "DOMAIN      TOTAL   DEFER  CLASS         LAST REPLY\n"
			    "gmail.com  12 408  12 408  rate-limited  421 4.7.28 Our system …\n"
			    "a.example       1       0  -             -\n");
}

static void test_group_key(void **state)
{
	AUTO_BUF b = BUF_INIT(10000);

	(void)state;
	put_table(&b,
		  &(struct columns_options){ .out = &plain, .entity = "queue", .key = "stream" },
		  "[{'stream':'marketing','total':3}]");
	assert_string_equal(buf_cstr(&b), "STREAM     TOTAL\nmarketing      3\n");
}

static void test_values(void **state)
{
	static const struct {
		const char *entity;
		const char *name;
		const char *json;
		const char *text;
	} cases[] = {
		{ "message", "from", "['']", "<>" },
		{ "message", "to", "['']", "-" },
		{ "message", "last_code", "[0]", "-" },
		{ "message", "last_code", "[451]", "451" },
		{ "message", "size", "[4200]", "4.1K" },
		{ "message", "age_s", "[7500]", "2h05m" },
		{ "message", "next_attempt_s", "[null]", "-" },
		{ "attempt", "duration_ms", "[250]", "250ms" },
		{ "attempt", "duration_ms", "[25000]", "25.0s" },
		{ "attempt", "at", "['2026-11-24T03:12:07.250Z']", "2026-11-24 03:12:07Z" },
		{ "attempt", "at", "['2026-11-24T04:12:07+01:00']", "2026-11-24 03:12:07Z" },
		{ "attempt", "at", "['garbage']", "-" },
		{ "allow_test", "may_relay", "[true]", "yes" },
		{ "queue", "total", "[{'a':1}]", "-" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		json_t *v = rows_of(cases[i].json);
		char scratch[COLUMNS_SCRATCH];
		struct str text = columns_value(&plain, field_find(cases[i].entity, cases[i].name),
						json_array_get(v, 0), scratch);

		if (!str_eq(text, str_of(cases[i].text)))
			fail_msg("%s %s: %.*s", cases[i].name, cases[i].json, STR_ARG(text));
		json_decref(v);
	}
}

static void test_fit(void **state)
{
	static const struct {
		const char *text;
		int cols;
		bool utf8;
		const char *result;
		int used;
	} cases[] = {
		{ "abc", 3, true, "abc", 3 },
		{ "abcd", 3, true, "ab\u2026", 3 },
		{ "abcd", 3, false, "ab~", 3 },
		{ "\u4e2d\u6587", 4, true, "\u4e2d\u6587", 4 },
		{ "\u4e2d\u6587", 3, true, "\u4e2d\u2026", 3 },
		{ "\u4e2d\u6587", 2, true, "\u2026", 1 }, /* a wide sign is not cut in two */
		{ "\u4e2d\u6587", 4, false, "??", 2 },
		{ "e\u0301e\u0301", 2, true, "e\u0301e\u0301", 2 },
		{ "a\tb\nc", 9, true, "a b c", 5 },
		{ "abc", 0, true, "", 0 },
		{ "\x1b[2J", 9, true, "\ufffd[2J", 4 },
		{ "\xff\xfe", 9, true, "\ufffd\ufffd", 2 },
		{ "\x1b[2J\x9b", 9, false, "?[2J?", 5 },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct out o = { .utf8 = cases[i].utf8 };
		AUTO_BUF b = BUF_INIT(1000);
		int used = out_fit(&o, &b, str_of(cases[i].text), cases[i].cols);

		if (strcmp(buf_cstr(&b), cases[i].result) != 0 || used != cases[i].used)
			fail_msg("%zu: %s %d", i, buf_cstr(&b), used);
	}
}

static void test_wrap(void **state)
{
	struct out o = { .utf8 = true, .width = 16 };
	AUTO_BUF b = BUF_INIT(1000);

	(void)state;
	out_wrap(&o, &b, STR("one two three averyveryverylongword"), 2);
	assert_string_equal(buf_cstr(&b), "  one two three\n  averyveryveryl\n  ongword\n");
	buf_reset(&b);
	out_wrap(&o, &b, STR(""), 2);
	assert_string_equal(buf_cstr(&b), "  \n");
}

/* Every code point, in each form of output. */
static void test_harmless(void **state)
{
	static const struct out kinds[] = { { .utf8 = true }, { .utf8 = false } };

	(void)state;
	for (size_t k = 0; k < ARRAY_LEN(kinds); k++) {
		for (uint32_t cp = 0; cp < 0x110000; cp++) {
			char bytes[4];
			size_t n = utf8_encode(cp, bytes);
			AUTO_BUF b = BUF_INIT(100);
			struct str rest;

			out_clean(&kinds[k], &b, str_from(bytes, n));
			out_clean_lines(&kinds[k], &b, str_from(bytes, n));
			rest = buf_str(&b);
			while (rest.n > 0) {
				uint32_t got;
				size_t used = utf8_decode(rest, &got);

				if (utf8_harmful(got) &&
				    !((got == '\n' || got == '\t') && got == cp))
					fail_msg("%x came out as %x", cp, got);
				if (got > 0x7e && !kinds[k].utf8)
					fail_msg("%x came out as %x", cp, got);
				rest = str_from(rest.p + used, rest.n - used);
			}
		}
	}
}

/* The row of any content is as wide as the terminal at most, at every width. */
static void test_every_width(void **state)
{
	static const char *const texts[] = {
		"x",
		"\u4e2d\u6587\u4e2d\u6587\u4e2d\u6587",
		"a rather long text with spaces in it",
		"e\u0301",
		"\x1b[1m",
		"",
	};

	(void)state;
	for (int width = OUT_WIDTH_MIN; width < 200; width++) {
		struct out o = { .utf8 = true, .tty = true, .width = width };
		json_t *rows = json_array();
		struct columns *c;
		AUTO_BUF b = BUF_INIT(100000);
		struct str rest;

		for (size_t i = 0; i < ARRAY_LEN(texts); i++)
			json_array_append_new(
				rows, json_pack("{s:s, s:s, s:s, s:s, s:i, s:s, s:s, s:i}", "id",
						"0N4XK2M8QF", "to", texts[i], "from", texts[i],
						"last_reply", texts[(i + 1) % ARRAY_LEN(texts)],
						"age_s", 90000, "state", "deferred", "class",
						"rate-limited", "attempts", 12));
		c = columns_new(&(struct columns_options){ .out = &o, .entity = "message" }, rows);
		columns_put_head(c, &b);
		for (size_t i = 0; i < json_array_size(rows); i++)
			columns_put_row(c, &b, json_array_get(rows, i));
		rest = buf_str(&b);
		while (rest.n > 0) {
			struct str line = str_cut(&rest, '\n');

			if (out_cols(&o, line) > width)
				fail_msg("%d: %.*s", width, STR_ARG(line));
		}
		columns_free(&c);
		json_decref(rows);
	}
}

static void test_colour(void **state)
{
	struct out o = { .utf8 = true, .tty = true, .width = 80, .colour = true };
	AUTO_BUF b = BUF_INIT(1000);

	(void)state;
	put_table(&b, &(struct columns_options){ .out = &o, .entity = "message", .skip = " row " },
		  "[{'id':'0N4XK2M8QF','state':'failed'}]");
	assert_non_null(strstr(buf_cstr(&b), "\033[31mfailed\033[0m"));
}

static int use_utf8(void **state)
{
	(void)state;
	return setlocale(LC_CTYPE, "C.UTF-8") == NULL;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_pipe),
		cmocka_unit_test(test_narrow),
		cmocka_unit_test(test_left_out),
		cmocka_unit_test(test_long_titles),
		cmocka_unit_test(test_wraps_between_words),
		cmocka_unit_test(test_group_key),
		cmocka_unit_test(test_values),
		cmocka_unit_test(test_fit),
		cmocka_unit_test(test_wrap),
		cmocka_unit_test(test_harmless),
		cmocka_unit_test(test_every_width),
		cmocka_unit_test(test_colour),
	};

	return cmocka_run_group_tests(tests, use_utf8, NULL);
}
