#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "base/mem.h"
#include "route/streams.h"

static void put(struct streams *s, const char *json)
{
	struct err err = ERR_INIT;

	if (streams_put(s, json, &err) < 0)
		fail_msg("%s: %s", json, err.msg);
}

static void order_is(const struct streams *s, const char *wanted)
{
	char got[200] = "";

	for (size_t i = 0; i < streams_n(s); i++) {
		size_t n = strlen(got);
		(void)snprintf(got + n, sizeof(got) - n, "%s%s", i > 0 ? " " : "",
			       streams_at(s, i)->id);
	}
	assert_string_equal(got, wanted);
}

static void test_order(void **state)
{
	struct streams *s = streams_new();
	double p;

	(void)state;
	order_is(s, "default");
	put(s, "{\"id\":\"b\",\"place\":2}");
	put(s, "{\"id\":\"a\",\"place\":3}");
	put(s, "{\"id\":\"default\",\"place\":1,\"lifetime_s\":60}");
	order_is(s, "b a default");
	p = streams_place(s, streams_find(s, STR("A")));
	assert_true(p > 2 && p < 3);
	assert_true(streams_place(s, streams_at(s, 0)) < 2);
	assert_true(streams_place(s, NULL) > 3);
	assert_true(streams_place(s, streams_at(s, 2)) > 3); /* before default is last */
	put(s, "{\"id\":\"b\",\"place\":4}");
	order_is(s, "a b default");
	assert_int_equal(streams_of(s, STR("gone"))->lifetime_s, 60);
	assert_true(streams_drop(s, STR("default")));
	assert_false(streams_drop(s, STR("default"))); /* there is none of anybody's making */
	order_is(s, "a b default");
	assert_int_equal(streams_of(s, STR("gone"))->lifetime_s, 0);
	assert_true(streams_drop(s, STR("a")));
	order_is(s, "b default");
	streams_free(&s);
}

static void test_settings(void **state)
{
	static const struct {
		const char *member;
		const char *param; /* at fault; NULL: taken */
	} cases[] = {
		{ "\"retry\":\"1m,5m, 2h\"", NULL },
		{ "\"retry\":\"1m..4h\"", NULL },
		{ "\"retry\":\"90\"", NULL },
		{ "\"retry\":\"1m,,2m\"", "retry" },
		{ "\"retry\":\"4h..1m\"", "retry" },
		{ "\"retry\":\"0s\"", "retry" },
		{ "\"retry\":\"8d\"", "retry" },
		{ "\"retry\":\"1m..\"", "retry" },
		{ "\"retry\":\"1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1\"", NULL },
		{ "\"retry\":\"1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1\"", "retry" },
		{ "\"priority\":9", NULL },
		{ "\"priority\":0", "priority" },
		{ "\"match\":\"from:a@b.example size>1K\"", NULL },
		{ "\"match\":\"age>1h\"", "match" },
		{ "\"match\":\"stream:x\"", "match" },
		{ "\"match\":\"from:(\"", "match" },
		{ "\"match\":\"id:0N4XK2M8QF\"", "match" },
		{ "\"headers\":[\"X-A\",\"X-B: c*\"]", NULL },
		{ "\"headers\":[\"\"]", "headers" },
		{ "\"headers\":[\"X A\"]", "headers" },
		{ "\"headers\":[\"X-A: \\n\"]", "headers" },
		{ "\"headers\":[1]", "headers" },
		{ "\"require\":[\"one-click\"]", NULL },
		{ "\"require\":[\": x\"]", "require" },
		{ "\"dkim\":\"Shop.example\"", NULL },
		{ "\"dkim\":\"not a domain\"", "dkim" },
		{ "\"id\":\"-a\"", "name" },
		{ "\"id\":\"\"", "name" },
		{ "\"id\":\"default\",\"match\":\"from:x@y\"", "match" },
		{ "\"id\":\"default\",\"headers\":[\"X\"]", "headers" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		AUTO_FREE char *json = xasprintf(
			"{%s%s}", strstr(cases[i].member, "\"id\"") != NULL ? "" : "\"id\":\"s\",",
			cases[i].member);
		json_t *o = json_loads(json, 0, NULL);
		json_t *again;
		struct err err = ERR_INIT;
		int rc = streams_check(o, &err);
		if (cases[i].param != NULL ? rc >= 0 || strcmp(err.param, cases[i].param) != 0
					   : rc < 0)
			fail_msg("%s: %d %s: %s", json, rc, err.param, err.msg);
		if (rc >= 0) { /* complete, and stays as it is */
			again = json_deep_copy(o);
			assert_int_equal(streams_check(again, NULL), 0);
			assert_true(json_equal(again, o));
			json_decref(again);
		}
		json_decref(o);
	}
}

static void test_retry(void **state)
{
	struct streams *s = streams_new();
	const struct mailstream *x;

	(void)state;
	put(s, "{\"id\":\"a\",\"retry\":\"1m,5m,2h\"}");
	put(s, "{\"id\":\"b\",\"retry\":\"30s..1h\"}");
	x = streams_find(s, STR("a"));
	assert_int_equal(x->retry.n, 3);
	assert_int_equal(x->retry.ms[2], 7200000);
	assert_int_equal(x->retry.doubles_to_ms, 0);
	x = streams_find(s, STR("b"));
	assert_int_equal(x->retry.n, 1);
	assert_int_equal(x->retry.ms[0], 30000);
	assert_int_equal(x->retry.doubles_to_ms, 3600000);
	streams_free(&s);
}

static const char *const two[] = { "a@one.example", "b@two.example" };

static void rcpt(void *arg, size_t i, struct filter_row *row)
{
	(void)arg;
	filter_row_text(row, FILTER_TO, str_of(two[i]));
	filter_row_text(row, FILTER_DOMAIN, str_of(two[i] + 2));
}

static void test_assign(void **state)
{
	static const struct {
		const char *from, *header; /* NULL: not known */
		size_t rcpts;
		bool all;
		const char *stream; /* NULL: open */
	} cases[] = {
		{ "x@news.example", "A: b\r\n", 1, true, "news" },
		{ "x@news.example", NULL, 1, true, "news" },
		{ NULL, "A: b\r\n", 1, true, NULL },
		{ "x@y", "A: b\r\n", 1, true, "default" },
		{ "x@y", NULL, 1, true, NULL }, /* headers are asked for */
		{ "x@y", "X-Stream: Bulk\r\n", 1, true, "bulk" },
		{ "x@y", "list-unsubscribe : <m>\r\n", 1, true, "bulk" },
		{ "x@y", "X-Stream:\r\n bulk\r\n\t3\r\n", 1, true, "bulk" },
		{ "x@y", "Subject: X-Stream: bulk\r\n", 1, true, "default" },
		{ "x@y", "A: b\r\n", 2, true, "two" },
		{ "x@y", "X-Stream: bulk\r\n", 2, true, "two" }, /* stands before bulk */
		{ "x@y", "A: b\r\n", 2, false, "two" },		 /* whoever comes, it matches */
		{ "x@y", "A: b\r\n", 1, false, NULL },		 /* somebody may come who matches */
		{ "x@news.example", NULL, 1, false, "news" },
	};
	struct streams *s = streams_new();

	(void)state;
	put(s, "{\"id\":\"news\",\"place\":1,\"match\":\"sender-domain:news.example\"}");
	put(s, "{\"id\":\"two\",\"place\":2,\"match\":\"domain:two.example\"}");
	put(s, "{\"id\":\"bulk\",\"place\":3,"
	       "\"headers\":[\"List-Unsubscribe\",\"X-Stream: bulk*\"]}");
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct filter_row row = FILTER_ROW_INIT(1);
		const struct mailstream *open;
		struct stream_facts f = { .row = &row,
					  .rcpts_n = cases[i].rcpts,
					  .rcpt = rcpt,
					  .all_rcpts = cases[i].all,
					  .has_header = cases[i].header != NULL,
					  .header = str_of(cases[i].header) };
		const struct mailstream *x;
		if (cases[i].from != NULL) {
			filter_row_text(&row, FILTER_FROM, str_of(cases[i].from));
			filter_row_text(&row, FILTER_SENDER_DOMAIN,
					str_of(strchr(cases[i].from, '@') + 1));
		}
		x = streams_assign(s, &f, &open);
		if ((x == NULL) != (cases[i].stream == NULL) || (x == NULL) != (open != NULL) ||
		    (x != NULL && strcmp(x->id, cases[i].stream) != 0))
			fail_msg("case %zu: %s", i, x != NULL ? x->id : "open");
	}
	streams_free(&s);
}

static void test_requires(void **state)
{
	static const struct {
		const char *header;
		const char *lacks; /* NULL: nothing */
	} cases[] = {
		{ "", "List-Unsubscribe with" },
		{ "List-Unsubscribe: <mailto:a@b>\r\n", "List-Unsubscribe with" },
		{ "List-Unsubscribe: <http://b/>\r\n", "List-Unsubscribe with" },
		{ "List-Unsubscribe: <mailto:a@b>,\r\n <HTTPS://b/x>\r\n",
		  "List-Unsubscribe-Post" },
		{ "List-Unsubscribe: <https://b/x>\r\nList-Unsubscribe-Post: yes\r\n",
		  "List-Unsubscribe-Post" },
		{ "List-Unsubscribe: <https://b/x>\r\n"
		  "List-Unsubscribe-Post:\tlist-unsubscribe=one-click\r\n",
		  "X-Kind: a*" },
		{ "List-Unsubscribe: <https://b/x>\r\nX-Kind: b\r\nX-Kind: abc\r\n"
		  "List-Unsubscribe-Post: List-Unsubscribe=One-Click\r\n",
		  NULL },
	};
	struct streams *s = streams_new();

	(void)state;
	put(s, "{\"id\":\"m\",\"require\":[\"One-Click\",\"X-Kind: a*\"]}");
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		AUTO_BUF why = BUF_INIT(400);
		bool lacks =
			streams_lacks(streams_find(s, STR("m")), str_of(cases[i].header), &why);
		if (lacks != (cases[i].lacks != NULL) ||
		    (lacks && strncmp(buf_cstr(&why), cases[i].lacks, strlen(cases[i].lacks)) != 0))
			fail_msg("%s: %s", cases[i].header, buf_cstr(&why));
	}
	streams_free(&s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_order),	 cmocka_unit_test(test_settings),
		cmocka_unit_test(test_retry),	 cmocka_unit_test(test_assign),
		cmocka_unit_test(test_requires),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
