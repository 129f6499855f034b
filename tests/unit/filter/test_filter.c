#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>

#include "base/mem.h"
#include "filter/filter.h"
#include "mail/msgid.h"

#define NOW INT64_C(1795500000000)
#define HOUR INT64_C(3600000)

static struct filter *must_parse(const char *text)
{
	struct err err = ERR_INIT;
	struct filter *f = filter_parse(str_of(text), &err);

	if (f == NULL)
		fail_msg("%s: column %d: %s", text, err.column, err.msg);
	return f;
}

/* Canonical text: what equal filters have in common, and a fixed point of parsing. */
static void test_canonical(void **state)
{
	static const struct {
		const char *in;
		const char *out;
	} cases[] = {
		{ "", "" },
		{ "   ", "" },
		{ "domain:Gmail.COM", "domain:gmail.com" },
		{ "DOMAIN:gmail.com", "domain:gmail.com" },
		{ "domain:M\xc3\xbcller.example", "domain:xn--mller-kva.example" },
		{ "to:bob@m\xc3\xbcller.example", "to:bob@xn--mller-kva.example" },
		{ "  domain:a.org   age>2h ", "domain:a.org age>2h" },
		{ "domain:a.org and age>2h", "domain:a.org age>2h" },
		{ "age>120m", "age>2h" },
		{ "age>=90m", "age>=1h30m" },
		{ "age<1w", "age<7d" },
		{ "age>0s", "age>0s" },
		{ "size>1048576", "size>1M" },
		{ "size<=1500", "size<=1500" },
		{ "size:0", "size:0" },
		{ "attempts>=03", "attempts>=3" },
		{ "code:4..", "code:4xx" },
		{ "code:4*", "code:4xx" },
		{ "code:42X", "code:42x" },
		{ "code:421,4.7", "code:421,4.7.*" },
		{ "code:4.7.*", "code:4.7.*" },
		{ "code>=500", "code>=500" },
		{ "enhanced:5", "enhanced:5.*" },
		{ "enhanced:5.1.", "enhanced:5.1.*" },
		{ "client:10.0.0.0/8", "client:10.0.0.0/8" },
		{ "client:192.0.2.1/32", "client:192.0.2.1" },
		{ "from:@vip.example", "from:*@vip.example" },
		{ "from:<>", "from:\"\"" },
		{ "subject:\"two words\"", "subject:\"two words\"" },
		{ "subject:\"word\"", "subject:word" },
		{ "subject:\"a \\\"b\\\" \\\\ c\"", "subject:\"a \\\"b\\\" \\\\ c\"" },
		{ "subject:a**b", "subject:a*b" },
		{ "state:HELD,deferred", "state:held,deferred" },
		{ "id:0000000o1l", "id:0000000011" },
		{ "id:0000000011/3", "id:0000000011/3" },
		{ "id:0n4*", "id:0N4*" },
		{ "not domain:a.org", "-domain:a.org" },
		{ "not -domain:a.org", "domain:a.org" },
		{ "-(-(domain:a.org or bob))", "domain:a.org or bob" },
		{ "a or b c or d", "a or b c or d" },
		{ "a (b or c) d", "a (b or c) d" },
		{ "((a b)) (c (d))", "a b c d" },
		{ "-(a b)", "-(a b)" },
		{ "(a or b) or c", "a or b or c" },
		{ "\"or\" \"-x\" \"a:b\" \"a,b\"", "\"or\" \"-x\" \"a:b\" \"a,b\"" },
		{ "a,b", "\"a,b\"" },
		{ "order", "order" },
		{ "subject:=x", "subject:=x" },
		{ "text!=\"\"", "text!=\"\"" },
		{ "stream:a stream:b,c", "stream:a stream:b,c" },
		{ "from:j\xc3\xb6rg@x.org", "from:j\xc3\xb6rg@x.org" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		for (int round = 0; round < 2; round++) {
			AUTO(filter)
			struct filter *f = must_parse(round == 0 ? cases[i].in : cases[i].out);
			AUTO_BUF out = BUF_INIT(FILTER_TEXT_MAX);
			assert_true(filter_print(f, &out));
			if (strcmp(buf_cstr(&out), cases[i].out) != 0)
				fail_msg("%s: %s", cases[i].in, buf_cstr(&out));
		}
	}
}

/* red when an error points elsewhere, or does not say what would fit */
static void test_errors(void **state)
{
	static const struct {
		const char *in;
		int column;
		const char *hint;
	} cases[] = {
		{ "domian:gmail.com", 1, "did you mean domain?" },
		{ "domain:a.org sate:held", 14, "state" },
		{ "sender:x", 1, "sender-domain" },
		{ "zzzzzz:1", 1, "the fields are id state domain" },
		{ "age>2", 5, "2h, 3d" },
		{ "age>fast", 5, "2h, 3d" },
		{ "age:2h", 4, "age>2h" },
		{ "age>2h,3h", 7, "one value" },
		{ "domain>a.org", 7, "domain:gmail.com" },
		{ "domain:", 8, "domain:gmail.com" },
		{ "domain: a.org", 8, "domain:gmail.com" },
		{ "domain:a.org,", 14, "value" },
		{ "age > 2h", 5, "directly behind its field" },
		{ "state:deffered", 7, "deferred" },
		{ "state:held,x", 12, "deferred" },
		{ "code:4210", 6, "4.7.*" },
		{ "code:x21", 6, "4.7.*" },
		{ "code>4.7.1", 6, "code>=500" },
		{ "enhanced:4.7.1.1", 10, "4.7.*" },
		{ "client:10.0.0.1/8", 8, "10.0.0.0/8" },
		{ "client:here", 8, "10.0.0.0/8" },
		{ "size>big", 6, "10M" },
		{ "attempts>many", 10, "attempts>=3" },
		{ "id:short", 4, "ten letters" },
		{ "(a", 1, "closing parenthesis" },
		{ "a)", 2, "opening parenthesis" },
		{ "a (b or (c d)", 3, "closing parenthesis" },
		{ "()", 2, "term is expected" },
		{ "or a", 1, "term is expected" },
		{ "a or", 5, "term is expected" },
		{ "a and", 6, "term is expected" },
		{ "a or or b", 6, "term is expected" },
		{ "not", 4, "term is expected" },
		{ "-", 2, "term is expected" },
		{ "subject:\"x", 9, "closing quote" },
		{ "\"x", 1, "closing quote" },
		{ "\"\"", 1, "nothing between" },
		{ "a\"b\"", 2, "space" },
		{ "subject:a\"b\"", 10, "space or a comma" },
		{ "a\tb", 2, "control" },
		{ "\xff", 1, "UTF-8" },
		/* columns count characters, not bytes */
		{ "j\xc3\xb6rg age>x", 10, "2h" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct err err = ERR_INIT;
		struct filter *f = filter_parse(str_of(cases[i].in), &err);
		if (f != NULL || err.column != cases[i].column ||
		    strstr(err.msg, cases[i].hint) == NULL)
			fail_msg("%s: column %d: %s", cases[i].in, err.column, err.msg);
		assert_int_equal(err.code, ERR_SYNTAX);
		assert_null(filter_parse(str_of(cases[i].in), NULL));
	}
}

static void fill(struct buf *b, const char *piece, size_t times)
{
	buf_reset(b);
	for (size_t i = 0; i < times; i++)
		assert_true(buf_puts(b, piece));
}

static void test_limits(void **state)
{
	static const struct {
		const char *piece;
		size_t fits;
		size_t too_much;
	} cases[] = {
		{ "a ", FILTER_VALUES_MAX, FILTER_VALUES_MAX + 1 },
		{ "x", FILTER_TEXT_MAX, FILTER_TEXT_MAX + 1 },
		/* levels of "not" collapse, but are counted where they are read */
		{ "-", 0, 100000 },
		{ "(", 0, 4000 },
		/* 2 bytes that print as 4: short enough to read, too long to store */
		{ "\xc3\xb6,", FILTER_TEXT_MAX / 4, FILTER_TEXT_MAX / 3 + 1 },
	};
	AUTO_BUF text = BUF_INIT(200000);

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct err err = ERR_INIT;
		struct filter *f;
		if (cases[i].fits > 0) {
			fill(&text, cases[i].piece, cases[i].fits);
			f = filter_parse(buf_str(&text), &err);
			if (f == NULL)
				fail_msg("case %zu: %s", i, err.msg);
			filter_free(&f);
		}
		fill(&text, cases[i].piece, cases[i].too_much);
		f = filter_parse(buf_str(&text), &err);
		assert_null(f);
		if (i != 4)
			assert_int_equal(err.code, ERR_LIMIT);
	}
	fill(&text, "(", FILTER_DEPTH_MAX - 1);
	assert_true(buf_puts(&text, "a"));
	for (int i = 0; i < FILTER_DEPTH_MAX - 1; i++)
		assert_true(buf_puts(&text, ")"));
	struct filter *deep = must_parse(buf_cstr(&text));
	filter_free(&deep);
}

/* ---- meaning ---- */

static struct filter_row full_row(void)
{
	struct filter_row row = FILTER_ROW_INIT(NOW);
	struct msgid id = { 0 };

	assert_true(msgid_parse(STR("0N4XK2M8QF"), &id));
	filter_row_number(&row, FILTER_ID, (int64_t)rid_of(id, 3).v);
	filter_row_text(&row, FILTER_STATE, STR("deferred"));
	filter_row_text(&row, FILTER_DOMAIN, STR("gmail.com"));
	filter_row_text(&row, FILTER_PROVIDER, STR("google.com"));
	filter_row_text(&row, FILTER_STREAM, STR("Marketing"));
	filter_row_text(&row, FILTER_FROM, STR("News@shop.example"));
	filter_row_text(&row, FILTER_TO, STR("bob@gmail.com"));
	filter_row_text(&row, FILTER_SENDER_DOMAIN, STR("shop.example"));
	filter_row_text(&row, FILTER_SUBJECT, STR("100% off_today"));
	filter_row_text(&row, FILTER_CREDENTIAL, STR(""));
	filter_row_text(&row, FILTER_CLIENT, STR("10.1.2.3"));
	filter_row_number(&row, FILTER_CODE, 421);
	filter_row_text(&row, FILTER_ENHANCED, STR("4.7.28"));
	filter_row_text(&row, FILTER_CLASS, STR("rate-limited"));
	filter_row_text(&row, FILTER_TEXT, STR("Too many messages"));
	filter_row_number(&row, FILTER_AGE, NOW - 2 * HOUR);
	filter_row_number(&row, FILTER_NEXT, NOW + 600000);
	filter_row_number(&row, FILTER_ATTEMPTS, 3);
	filter_row_number(&row, FILTER_SIZE, 4096);
	filter_row_text(&row, FILTER_RELAY, STR("mx1.example.net"));
	filter_row_text(&row, FILTER_MSGID, STR("<abc@shop.example>"));
	return row;
}

static enum filter_truth ask(const char *text, const struct filter_row *row)
{
	AUTO(filter) struct filter *f = must_parse(text);

	return filter_eval(f, row);
}

static void test_eval(void **state)
{
	static const struct {
		const char *text;
		bool is;
	} cases[] = {
		{ "", true },
		{ "domain:GMAIL.com", true },
		{ "domain:mail.com", false },
		{ "domain:*mail.com", true },
		{ "domain:yahoo.com,gmail.com", true },
		{ "domain!=yahoo.com,gmail.com", false },
		{ "domain!=yahoo.com", true },
		{ "stream:marketing", true },
		{ "from:news", true },
		{ "from=news", false },
		{ "from:news@shop.example", true },
		{ "from:@shop.example", true },
		{ "from:@example", false },
		{ "from:*@*.example", true },
		{ "from:<>", false },
		{ "to:b*", true },
		{ "to:ob*", false },
		{ "subject:off", true },
		{ "subject:\"% off_\"", true },
		{ "subject:off*", false },
		{ "subject=off", false },
		{ "credential:\"\"", true },
		{ "credential:*", false },
		{ "credential:crm", false },
		{ "-credential:crm", true },
		{ "client:10.0.0.0/8", true },
		{ "client:10.1.2.3,::1", true },
		{ "client:11.0.0.0/8", false },
		{ "code:421", true },
		{ "code:4xx", true },
		{ "code:5xx", false },
		{ "code:4.7.*", true },
		{ "code:550,4.7.28", true },
		{ "code:4.7.2", false },
		{ "code>=400 code<500", true },
		{ "enhanced:4.7", true },
		{ "enhanced:4.7.2*", true },
		{ "age>2h", false },
		{ "age>=2h", true },
		{ "age>119m", true },
		{ "age<3h", true },
		{ "next<10m", false },
		{ "next<=10m", true },
		{ "attempts:3", true },
		{ "attempts!=3", false },
		{ "attempts:1,3", true },
		{ "size>4K", false },
		{ "size:4K", true },
		{ "id:0N4XK2M8QF", true },
		{ "id:0n4xk2m8qf/3", true },
		{ "id:0N4XK2M8QF/2", false },
		{ "id:0N4*", true },
		{ "id:0N5*", false },
		{ "bob", true },
		{ "shop", true },
		{ "OFF_TODAY", true },
		{ "many", false }, /* the reply's text is not searched */
		{ "0n4xk2", true },
		{ "nobody", false },
		{ "bob -shop", false },
		{ "nobody or shop", true },
		{ "nobody or shop bob", true },
		{ "(nobody or shop) zzz", false },
		{ "relay:mx1.*", true },
		{ "msgid:abc", true },
		{ "class:rate-limited text:\"too many\" state:deferred,held", true },
	};
	struct filter_row row = full_row();

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++)
		if (ask(cases[i].text, &row) != (cases[i].is ? FILTER_TRUE : FILTER_FALSE))
			fail_msg("%s is not %d", cases[i].text, cases[i].is);
}

/* red when a rule guesses about what it cannot know yet */
static void test_unknown(void **state)
{
	static const struct {
		const char *text;
		enum filter_truth is;
	} cases[] = {
		{ "domain:gmail.com", FILTER_TRUE },
		{ "provider:google.com", FILTER_UNKNOWN },
		{ "-provider:google.com", FILTER_UNKNOWN },
		{ "provider!=google.com", FILTER_UNKNOWN },
		{ "domain:gmail.com provider:google.com", FILTER_UNKNOWN },
		{ "domain:yahoo.com provider:google.com", FILTER_FALSE },
		{ "domain:gmail.com or provider:google.com", FILTER_TRUE },
		{ "domain:yahoo.com or provider:google.com", FILTER_UNKNOWN },
		{ "-(domain:yahoo.com provider:x)", FILTER_TRUE },
		{ "bob", FILTER_UNKNOWN },
		{ "code:421", FILTER_FALSE }, /* known to be none */
		{ "-code:421", FILTER_TRUE },
		{ "code:4.7.1", FILTER_UNKNOWN },
		{ "next<10m", FILTER_FALSE },
		{ "next>=10m", FILTER_FALSE },
	};
	struct filter_row row = FILTER_ROW_INIT(NOW);

	(void)state;
	filter_row_text(&row, FILTER_DOMAIN, STR("gmail.com"));
	filter_row_number(&row, FILTER_CODE, FILTER_NONE);
	filter_row_number(&row, FILTER_NEXT, FILTER_NONE);
	for (size_t i = 0; i < ARRAY_LEN(cases); i++)
		if (ask(cases[i].text, &row) != cases[i].is)
			fail_msg("%s is not %d", cases[i].text, (int)cases[i].is);
}

static void test_simple_key(void **state)
{
	static const struct {
		const char *text;
		enum filter_field field;
		const char *value; /* NULL: not simple */
	} cases[] = {
		{ "domain:Gmail.com", FILTER_DOMAIN, "gmail.com" },
		{ "domain=gmail.com", FILTER_DOMAIN, "gmail.com" },
		{ "(provider:google.com)", FILTER_PROVIDER, "google.com" },
		{ "stream:Marketing", FILTER_STREAM, "Marketing" },
		{ "credential:crm", FILTER_CREDENTIAL, "crm" },
		{ "from:bob@x.org", FILTER_FROM, "bob@x.org" },
		{ "id:0N4XK2M8QF/3", FILTER_ID, "0N4XK2M8QF/3" },
		{ "id:0N4*", 0, NULL },
		{ "from:bob", 0, NULL },
		{ "from:@x.org", 0, NULL },
		{ "to:bob@x.org", 0, NULL },
		{ "domain:*.com", 0, NULL },
		{ "domain:a.org,b.org", 0, NULL },
		{ "domain!=a.org", 0, NULL },
		{ "-domain:a.org", 0, NULL },
		{ "domain:a.org age>1h", 0, NULL },
		{ "bob", 0, NULL },
		{ "", 0, NULL },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		AUTO(filter) struct filter *f = must_parse(cases[i].text);
		enum filter_field field = FILTER__COUNT;
		struct str value;
		bool simple = filter_simple_key(f, &field, &value);
		if (simple != (cases[i].value != NULL))
			fail_msg("%s: %d", cases[i].text, simple);
		if (simple) {
			assert_int_equal(field, cases[i].field);
			assert_true(str_eq(value, str_of(cases[i].value)));
		}
	}
}

static void test_uses(void **state)
{
	AUTO(filter) struct filter *f = must_parse("domain:a.org -(age>2h or code:4.7.*,421)");
	AUTO(filter) struct filter *all = must_parse("");

	(void)state;
	assert_int_equal(filter_uses(f), 1u << FILTER_DOMAIN | 1u << FILTER_AGE |
						 1u << FILTER_CODE | 1u << FILTER_ENHANCED);
	assert_true(filter_matches_all(all));
	assert_false(filter_matches_all(f));
}

/* The example beside each field in the table is a filter of that field. */
static void test_table_examples(void **state)
{
	(void)state;
	for (int i = 0; i < FILTER__COUNT; i++) {
		enum filter_field field = (enum filter_field)i;
		struct str example = str_of(filter_field_example(field));
		enum filter_about about =
			filter_field_of(FILTER_MAIL, field) ? FILTER_MAIL : FILTER_AUDIT;
		struct filter *wrong = filter_parse_about(FILTER_AUDIT - about, example, NULL);
		AUTO(filter) struct filter *f = filter_parse_about(about, example, NULL);
		assert_non_null(f);
		assert_true((wrong != NULL) == (i == FILTER_AGE)); /* of both */
		filter_free(&wrong);
		/* code:4.7.* looks at the enhanced code instead */
		assert_true((filter_uses(f) & 1u << (i == FILTER_CODE ? FILTER_ENHANCED : i)) != 0);
		assert_int_equal(filter_field_find(str_of(filter_field_name(field))), field);
		assert_true(strlen(filter_field_help(field)) > 5);
	}
}

/* Which rids a filter of ids names, so that they are looked up instead of searched. */
static void test_id_ranges(void **state)
{
	static const struct {
		const char *text;
		size_t n;
	} cases[] = {
		{ "id:0N4XK2M8QF", 1 },
		{ "id:0N4XK2M8QF,0N4XK2M8QG/3", 2 },
		{ "id:0N4XK2M8QF,0N4XK2M8QG,0N4*", 3 },
		{ "id!=0N4XK2M8QF", 0 },
		{ "-id:0N4XK2M8QF", 0 },
		{ "id:0N4XK2M8QF size>1", 0 },
		{ "0N4XK2M8QF", 0 },
		{ "", 0 },
		{ "id:0N4*,1N4*,2N4*,3N4*", 0 },
	};
	struct filter_range r[3];
	struct msgid id;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		AUTO(filter) struct filter *f = must_parse(cases[i].text);
		if (filter_id_ranges(f, r, ARRAY_LEN(r)) != cases[i].n)
			fail_msg("%s", cases[i].text);
	}
	AUTO(filter) struct filter *two = must_parse("id:0N4XK2M8QF,0N4XK2M8QG/3");
	assert_int_equal(filter_id_ranges(two, r, ARRAY_LEN(r)), 2);
	assert_true(msgid_parse(STR("0N4XK2M8QF"), &id));
	assert_true(r[0].first <= rid_of(id, 1).v && r[0].last == rid_of(id, RID_RCPT_MAX).v);
	assert_true(msgid_parse(STR("0N4XK2M8QG"), &id));
	assert_true(r[1].first == rid_of(id, 3).v && r[1].last == rid_of(id, 3).v);
}

static void test_splits(void **state)
{
	static const struct {
		const char *text;
		bool splits; /* asking for state apart, with domain known */
	} cases[] = {
		{ "from:bob", true },
		{ "state:held", true },
		{ "from:bob state:held", true },
		{ "from:bob (state:held or domain:a.org) size>1", true },
		{ "from:bob -state:held", true },
		{ "from:bob or state:held", false },
		{ "size>1 (from:bob or state:held)", false },
		{ "-(from:bob state:held)", false },
		{ "from:bob or from:eve", true },
	};
	uint32_t st = 1u << FILTER_STATE;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		AUTO(filter) struct filter *f = must_parse(cases[i].text);
		if (filter_splits(f, st, st | 1u << FILTER_DOMAIN) != cases[i].splits)
			fail_msg("%s", cases[i].text);
	}
}

static void test_names_state(void **state)
{
	static const struct {
		const char *filter;
		bool names;
	} cases[] = {
		{ "", false },
		{ "state:trash", true },
		{ "state:held,TRASH domain:a.org", true },
		{ "domain:a.org or (size>1K state=trash)", true },
		{ "-state:trash", false },
		{ "not (state:trash or state:held)", false },
		{ "state!=trash", false },
		{ "not state!=trash", true },
		{ "-(not state:trash)", true },
		{ "subject:trash trash", false },
		{ "state:held", false },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct filter *f = filter_parse(str_of(cases[i].filter), NULL);
		assert_non_null(f);
		if (filter_names_state(f, STR("trash")) != cases[i].names)
			fail_msg("%s", cases[i].filter);
		filter_free(&f);
	}
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_canonical),   cmocka_unit_test(test_errors),
		cmocka_unit_test(test_limits),	    cmocka_unit_test(test_eval),
		cmocka_unit_test(test_unknown),	    cmocka_unit_test(test_simple_key),
		cmocka_unit_test(test_uses),	    cmocka_unit_test(test_table_examples),
		cmocka_unit_test(test_id_ranges),   cmocka_unit_test(test_splits),
		cmocka_unit_test(test_names_state),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
