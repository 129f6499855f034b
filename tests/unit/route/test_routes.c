#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "base/mem.h"
#include "route/routes.h"

static void put(struct routes *r, unsigned number, double place, const char *match, const char *to)
{
	AUTO_FREE char *json = xasprintf("{\"id\":\"r%u\",\"place\":%g,\"match\":\"%s\","
					 "\"to\":\"%s\",\"note\":\"n\",\"by\":\"root\","
					 "\"created_ms\":7}",
					 number, place, match, to);
	struct err err = ERR_INIT;

	if (routes_put(r, json, &err) < 0)
		fail_msg("%s: %s", json, err.msg);
}

static struct filter_row row_of(const char *domain, const char *stream, const char *from)
{
	struct filter_row row = FILTER_ROW_INIT(1000);

	filter_row_text(&row, FILTER_DOMAIN, str_of(domain));
	filter_row_text(&row, FILTER_STREAM, str_of(stream));
	if (from != NULL)
		filter_row_text(&row, FILTER_FROM, str_of(from));
	return row;
}

static void test_parse_to(void **state)
{
	static const struct {
		const char *in;
		const char *out; /* NULL: refused, with a part of the message */
		const char *hint;
	} cases[] = {
		{ "mx", "mx", "" },
		{ " Reject ", "reject", "" },
		{ "hold", "hold", "" },
		{ "discard", "discard", "" },
		{ "smarthost:Mail.Example.net", "smarthost:mail.example.net:25", "" },
		{ "SMARTHOST:mail.example.net:2525", "smarthost:mail.example.net:2525", "" },
		{ "smarthost:localhost:1", "smarthost:localhost:1", "" },
		{ "smarthost:192.0.2.7", "smarthost:192.0.2.7:25", "" },
		{ "smarthost:127.0.0.1:10025", "smarthost:127.0.0.1:10025", "" },
		{ "smarthost:[2001:DB8::0:1]:587", "smarthost:[2001:db8::1]:587", "" },
		{ "smarthost:[2001:db8::1]", "smarthost:[2001:db8::1]:25", "" },
		{ "smarthost:2001:db8::1", NULL, "in brackets" },
		{ "smarthost:", NULL, "name or an address" },
		{ "smarthost:a b", NULL, "name or an address" },
		{ "smarthost:[192.0.2.7]:25", NULL, "name or an address" },
		{ "smarthost:[2001:db8::1", NULL, "[ADDRESS]:PORT" },
		{ "smarthost:[2001:db8::1]x", NULL, "[ADDRESS]:PORT" },
		{ "smarthost:[2001:db8::1]:", NULL, "[ADDRESS]:PORT" },
		{ "smarthost:h:", NULL, "HOST:PORT" },
		{ "smarthost:h:0", NULL, "1 to 65535" },
		{ "smarthost:h:65536", NULL, "1 to 65535" },
		{ "smarthost:h:25:26", NULL, "1 to 65535" },
		{ "smtp:h", NULL, "smarthost:HOST" },
		{ "", NULL, "smarthost:HOST" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		char to[ROUTE_HOP_MAX] = "untouched";
		struct err err = ERR_INIT;
		int rc = routes_parse_to(str_of(cases[i].in), to, &err);
		if (cases[i].out != NULL
			    ? rc < 0 || strcmp(to, cases[i].out) != 0
			    : rc != -ERR_INVALID || strstr(err.msg, cases[i].hint) == NULL)
			fail_msg("%s: %d %s: %s", cases[i].in, rc, to, err.msg);
	}
}

static void test_judge(void **state)
{
	static const struct {
		const char *domain, *stream, *from;
		const char *route; /* "" without */
		const char *hop;   /* NULL: cannot be decided */
	} cases[] = {
		{ "a.org", "default", "x@y", "r3", "smarthost:a:26" },
		{ "b.org", "default", "x@y", "r1", "reject" },
		{ "c.org", "bulk", NULL, "", NULL }, /* r4 comes first and asks for the sender */
		{ "c.org", "bulk", "x@y", "r2", "hold" },
		{ "c.org", "bulk", "boss@x.org", "r4", "mx:c.org" },
		{ "a.org", "bulk", NULL, "r3", "smarthost:a:26" }, /* decided before r4 asks */
		{ "c.org", "default", "x@y", "", "mx:c.org" },
	};
	struct routes *r = routes_new();

	(void)state;
	put(r, 1, 2, "domain:b.org", "reject");
	put(r, 2, 5, "stream:bulk", "hold");
	put(r, 3, 1, "domain:A.org", "smarthost:a:26");
	put(r, 4, 4, "from:boss@x.org", "mx");
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct filter_row row = row_of(cases[i].domain, cases[i].stream, cases[i].from);
		const struct route *x = NULL;
		char hop[ROUTE_HOP_MAX];
		bool known = routes_judge(r, &row, str_of(cases[i].domain), &x, hop);
		if (known != (cases[i].hop != NULL) ||
		    strcmp(hop, cases[i].hop != NULL ? cases[i].hop : "") != 0 ||
		    strcmp(x != NULL ? x->id : "", cases[i].route) != 0)
			fail_msg("%zu: %s by %s", i, hop, x != NULL ? x->id : "none");
	}
	put(r, 5, 0, "", "discard"); /* in front of all */
	struct filter_row row = row_of("a.org", "default", NULL);
	const struct route *x = NULL;
	char hop[ROUTE_HOP_MAX];
	assert_true(routes_judge(r, &row, STR("a.org"), &x, hop));
	assert_string_equal(hop, "discard");
	routes_free(&r);
}

static void test_order(void **state)
{
	struct routes *r = routes_new();
	json_t *json;
	char *text;

	(void)state;
	assert_int_equal(routes_next_number(r), 1);
	for (unsigned i = 1; i <= 3; i++) /* each at the end */
		put(r, i, routes_place(r, NULL), "", "mx");
	put(r, 4, routes_place(r, routes_find(r, STR("r1"))), "", "hold");
	put(r, 5, routes_place(r, routes_find(r, STR("r3"))), "age>2h  stream:x", "reject");
	static const char *const want[] = { "r4", "r1", "r2", "r5", "r3" };
	for (size_t i = 0; i < routes_n(r); i++)
		assert_string_equal(routes_at(r, i)->id, want[i]);
	json = routes_json(routes_at(r, 3));
	text = json_dumps(json, 0);
	assert_int_equal(routes_put(r, text, NULL), 0);
	free(text);
	json_decref(json);
	assert_string_equal(routes_at(r, 3)->match_text, "age>2h stream:x");
	assert_string_equal(routes_at(r, 3)->to, "reject");
	assert_string_equal(routes_at(r, 3)->note, "n");
	assert_int_equal(routes_at(r, 3)->created_ms, 7);
	assert_true(routes_drop(r, 5));
	assert_false(routes_drop(r, 5));
	assert_int_equal(routes_n(r), 4);
	assert_int_equal(routes_next_number(r), 6); /* numbers are not used again */
	assert_null(routes_find(r, STR("r5")));
	routes_free(&r);
}

/* What is demanded of connections goes with the next hop's text. */
static void test_demands(void **state)
{
	static const struct {
		const char *to, *tls, *user, *hop;
		enum route_tls is;
	} cases[] = {
		{ "mx", "", "", "mx:a.org", ROUTE_TLS_OPPORTUNISTIC },
		{ "mx", "required", "", "mx:a.org#required", ROUTE_TLS_REQUIRED },
		{ "smarthost:h:25", "none", "", "smarthost:h:25#none", ROUTE_TLS_NONE },
		{ "smarthost:h:465", "implicit", "u", "smarthost:h:465#r7", ROUTE_TLS_IMPLICIT },
		{ "smarthost:h:25", "", "u", "smarthost:h:25#r7", ROUTE_TLS_REQUIRED },
		{ "smarthost:127.0.0.1:25", "", "u", "smarthost:127.0.0.1:25#r7",
		  ROUTE_TLS_OPPORTUNISTIC },
		{ "discard", "", "", "discard", ROUTE_TLS_OPPORTUNISTIC },
	};
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct routes *r = routes_new();
		struct filter_row row = row_of("a.org", "default", NULL);
		const struct route *x;
		struct route_demands d;
		char hop[ROUTE_HOP_MAX], text[300];
		(void)snprintf(text, sizeof(text),
			       "{\"id\":\"r7\",\"to\":\"%s\",\"tls\":\"%s\",\"user\":\"%s\","
			       "\"password\":\"%s\"}",
			       cases[i].to, cases[i].tls, cases[i].user,
			       *cases[i].user != '\0' ? "pw" : "");
		assert_int_equal(routes_put(r, text, NULL), 0);
		assert_true(routes_judge(r, &row, STR("a.org"), &x, hop));
		assert_string_equal(hop, cases[i].hop);
		assert_true(routes_demands(r, hop, &d));
		assert_int_equal(d.tls, cases[i].is);
		if (*cases[i].user != '\0')
			assert_string_equal(d.password, "pw");
		else
			assert_null(d.user);
		assert_true(routes_drop(r, 7));
		/* a login that is gone is not replaced by none */
		assert_int_equal(routes_demands(r, hop, &d), *cases[i].user == '\0');
		routes_free(&r);
	}
	assert_int_equal(routes_check_demands("mx", ROUTE_TLS_IMPLICIT, "", "", NULL),
			 -ERR_INVALID);
	assert_int_equal(routes_check_demands("hold", ROUTE_TLS_REQUIRED, "", "", NULL),
			 -ERR_INVALID);
	assert_int_equal(routes_check_demands("mx", ROUTE_TLS_REQUIRED, "u", "p", NULL),
			 -ERR_INVALID);
	assert_int_equal(routes_check_demands("smarthost:h:25", ROUTE_TLS_NONE, "u", "p", NULL),
			 -ERR_INVALID);
	assert_int_equal(routes_check_demands("smarthost:h:25", ROUTE_TLS_REQUIRED, "u", "", NULL),
			 -ERR_INVALID);
	assert_int_equal(
		routes_check_demands("smarthost:127.0.0.1:25", ROUTE_TLS_NONE, "u", "p", NULL), 0);
}

static void test_damaged(void **state)
{
	static const char *const bad[] = {
		"{",
		"{\"id\":\"h1\",\"to\":\"mx\"}",
		"{\"id\":\"r1\",\"to\":\"nowhere\"}",
		"{\"id\":\"r1\",\"to\":\"mx\",\"match\":\"domian:x\"}",
		"{\"id\":\"r99999999999\",\"to\":\"mx\"}",
	};
	struct routes *r = routes_new();

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		struct err err = ERR_INIT;
		assert_int_equal(routes_put(r, bad[i], &err), -ERR_CORRUPT);
	}
	assert_int_equal(routes_n(r), 0);
	routes_free(&r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_parse_to), cmocka_unit_test(test_judge),
		cmocka_unit_test(test_order),	 cmocka_unit_test(test_demands),
		cmocka_unit_test(test_damaged),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
