#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <cmocka.h>

#include "base/mem.h"
#include "proto/proto.h"

#define R ",\"request\":\"r1\""

static void test_check(void **state)
{
	static const struct {
		const char *method;
		const char *params; /* NULL: none */
		int code;	    /* 0: fine */
		const char *param;
		const char *hint;
	} cases[] = {
		{ "ping", NULL, 0, "", "" },
		{ "ping", "{}", 0, "", "" },
		{ "ping", "{\"x\":1}", ERR_INVALID, "x", "takes none" },
		{ "queue.hold", "{\"taget\":\"all\",\"reason\":\"x\"}", ERR_INVALID, "taget",
		  "did you mean target?" },
		{ "queue.hold", "{\"zzzzzz\":1}", ERR_INVALID, "zzzzzz", "keep_expiry, reason" },
		{ "queue.hold", "{\"reason\":\"x\"}", ERR_INVALID, "target", "needs target" },
		{ "queue.hold", "{\"target\":null,\"reason\":\"x\"}", ERR_INVALID, "target",
		  "needs target" },
		{ "queue.hold", "{\"target\":\"all\"}", ERR_REASON, "reason", "needs a reason" },
		{ "queue.hold", "{\"target\":\"all\",\"reason\":\" \\t\"}", ERR_REASON, "reason",
		  "needs a reason" },
		{ "queue.hold", "{\"target\":\"all\",\"reason\":7}", ERR_INVALID, "reason",
		  "a string" },
		{ "queue.hold", "{\"target\":\"all\",\"reason\":\"x\"" R "}", 0, "", "" },
		{ "queue.hold", "{\"target\":\"all\",\"reason\":\"x\",\"request\":\"\"}",
		  ERR_INVALID, "request", "without spaces" },
		{ "queue.hold", "{\"target\":\"all\",\"reason\":\"x\",\"request\":\"a b\"}",
		  ERR_INVALID, "request", "without spaces" },
		{ "queue.hold", "{\"target\":7,\"reason\":\"x\"}", ERR_INVALID, "target",
		  "a string" },
		{ "queue.hold", "{\"target\":\"all\",\"reason\":\"x\",\"for_s\":\"2h\"}", 0, "",
		  "" },
		{ "queue.hold", "{\"target\":\"all\",\"reason\":\"x\",\"for_s\":7200}", 0, "", "" },
		{ "queue.hold", "{\"target\":\"all\",\"reason\":\"x\",\"for_s\":0}", ERR_INVALID,
		  "for_s", "from 1s to" },
		{ "queue.hold", "{\"target\":\"all\",\"reason\":\"x\",\"for_s\":\"soon\"}",
		  ERR_INVALID, "for_s", "\"2h\"" },
		{ "queue.hold", "{\"target\":\"all\",\"reason\":\"x\",\"keep_expiry\":\"yes\"}",
		  ERR_INVALID, "keep_expiry", "true or false" },
		{ "queue.release", "{\"hold\":\"h1\"}", 0, "", "" },
		{ "ping", "{\"reason\":\"x\"}", ERR_INVALID, "reason", "takes none" },
		{ "stream.move", "{\"nmae\":1}", ERR_INVALID, "nmae", "did you mean name?" },
		{ "stream.move", "{\"nothing\":1}", ERR_INVALID, "nothing",
		  "reason, probation_s, base, request" },
		{ "queue.list", "{\"by\":\"stream\",\"limit\":1000}", 0, "", "" },
		{ "queue.list", "{\"by\":\"steam\"}", ERR_INVALID, "by", "did you mean stream?" },
		{ "queue.list", "{\"by\":\"nothing\"}", ERR_INVALID, "by", "domain|provider" },
		{ "queue.list", "{\"limit\":0}", ERR_INVALID, "limit", "from 1 to 1000" },
		{ "queue.list", "{\"limit\":1001}", ERR_INVALID, "limit", "from 1 to 1000" },
		{ "queue.list", "{\"limit\":\"9\"}", ERR_INVALID, "limit", "whole number" },
		{ "queue.list", "{\"limit\":9.5}", ERR_INVALID, "limit", "whole number" },
		{ "allow.add", "{\"network\":\"10.0.0.0/8\"}", 0, "", "" },
		{ "allow.add", "{\"network\":\"2001:db8::/32\"}", 0, "", "" },
		{ "allow.add", "{\"network\":\"10.0.0.1/8\"}", ERR_INVALID, "network",
		  "10.0.0.0/8" },
		{ "allow.add", "{\"network\":\"300.1.1.1\"}", ERR_INVALID, "network", "network" },
		{ "route.add", "{\"to\":\"mx\"}", 0, "", "" },
		{ "route.add", "{\"to\":\"smarthost:mail.example.org\"}", 0, "", "" },
		{ "route.add", "{\"to\":\"smarthost:127.0.0.1:2526\"}", 0, "", "" },
		{ "route.add", "{\"to\":\"smarthost:[2001:db8::1]:25\"}", 0, "", "" },
		{ "route.add", "{\"to\":\"smarthost:[::1\"}", ERR_INVALID, "to", "smarthost:HOST" },
		{ "route.add", "{\"to\":\"smarthost:\"}", ERR_INVALID, "to", "smarthost:HOST" },
		{ "route.add", "{\"to\":\"smarthost:a:99999\"}", ERR_INVALID, "to",
		  "smarthost:HOST" },
		{ "route.add", "{\"to\":\"nowhere\"}", ERR_INVALID, "to", "discard" },
		{ "plan.make", "{\"method\":\"queue.hold\",\"params\":{}}", 0, "", "" },
		{ "plan.make", "{\"method\":\"queue.hold\",\"params\":[]}", ERR_INVALID, "params",
		  "an object" },
		{ "sub.change", "{\"sub\":1,\"keys\":[\"a\",\"b\"]}", 0, "", "" },
		{ "sub.change", "{\"sub\":1,\"keys\":[\"a\",2]}", ERR_INVALID, "keys", "strings" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		const struct method_def *m = method_find(cases[i].method);
		json_t *params =
			cases[i].params != NULL ? json_loads(cases[i].params, 0, NULL) : NULL;
		struct err err = ERR_INIT;

		assert_non_null(m);
		assert_true(cases[i].params == NULL || params != NULL);
		int rc = method_check(m, params, &err);
		if (rc != -cases[i].code || strcmp(err.param, cases[i].param) != 0 ||
		    strstr(err.msg, cases[i].hint) == NULL)
			fail_msg("%s %s: %d %s %s", cases[i].method, cases[i].params, rc, err.param,
				 err.msg);
		json_decref(params);
	}
}

static void test_limits(void **state)
{
	char text[PROTO_STRING_MAX + 2];
	json_t *keys = json_array();
	struct err err = ERR_INIT;

	(void)state;
	memset(text, 'a', sizeof(text) - 1);
	text[sizeof(text) - 1] = '\0';
	json_t *params = json_pack("{s:s}", "hold", text);
	assert_int_equal(method_check(method_find("queue.release"), params, &err), -ERR_LIMIT);
	json_decref(params);
	for (int i = 0; i <= PROTO_STRINGS_MAX; i++)
		json_array_append_new(keys, json_string("k"));
	params = json_pack("{s:i,s:o}", "sub", 1, "keys", keys);
	assert_int_equal(method_check(method_find("sub.change"), params, &err), -ERR_LIMIT);
	json_decref(params);
}

static void test_method_get(void **state)
{
	const struct method_def *m = NULL;
	struct err err = ERR_INIT;

	(void)state;
	assert_int_equal(method_get("queue.hold", &m, &err), 0);
	assert_string_equal(m->name, "queue.hold");
	assert_int_equal(method_get("queue.hodl", &m, &err), -ERR_METHOD);
	assert_non_null(strstr(err.msg, "did you mean queue.hold?"));
	assert_int_equal(method_get("nonsense", &m, &err), -ERR_METHOD);
	assert_non_null(strstr(err.msg, "method.list"));
}

/* What a put writes, a parse reads: one line each, no newline inside. */
static void test_round_trip(void **state)
{
	AUTO_BUF b = BUF_INIT(4096);
	struct proto_msg msg;
	struct err err = ERR_INIT;
	struct err sent = ERR_INIT;
	json_t *v = json_pack("{s:s}", "target", "a\nb \xc3\xa9");

	(void)state;
	assert_true(proto_put_request(&b, 7, "queue.hold", v));
	assert_int_equal(str_index(buf_str(&b), '\n'), (ptrdiff_t)b.n - 1);
	assert_int_equal(proto_parse(str_trim(buf_str(&b)), &msg, &err), 0);
	assert_true(msg.has_id && msg.id == 7 && !msg.is_error && msg.result == NULL);
	assert_string_equal(msg.method, "queue.hold");
	assert_true(json_equal(msg.params, v));
	proto_msg_done(&msg);

	buf_reset(&b);
	assert_true(proto_put_result(&b, 9, NULL));
	assert_int_equal(proto_parse(buf_str(&b), &msg, &err), 0);
	assert_true(msg.id == 9 && msg.method == NULL && json_is_null(msg.result));
	proto_msg_done(&msg);

	(void)err_param(&sent, ERR_SYNTAX, "where", "no \"%s\"", "field");
	sent.column = 12;
	buf_reset(&b);
	assert_true(proto_put_error(&b, 3, &sent));
	assert_int_equal(proto_parse(buf_str(&b), &msg, &err), 0);
	assert_true(msg.is_error && msg.id == 3);
	assert_memory_equal(&msg.error.code, &sent.code, sizeof(int));
	assert_int_equal(msg.error.column, 12);
	assert_string_equal(msg.error.param, "where");
	assert_string_equal(msg.error.msg, sent.msg);
	proto_msg_done(&msg);

	buf_reset(&b);
	assert_true(proto_put_error(&b, 0, &sent));
	assert_non_null(strstr(buf_cstr(&b), "\"id\":null"));
	buf_reset(&b);
	assert_true(proto_put_notify(&b, "push", v));
	assert_int_equal(proto_parse(buf_str(&b), &msg, &err), 0);
	assert_true(!msg.has_id && msg.method != NULL);
	proto_msg_done(&msg);
	json_decref(v);
}

/* A line that does not fit must not leave half of itself behind. */
static void test_full(void **state)
{
	AUTO_BUF b = BUF_INIT(60);
	json_t *v = json_string("0123456789012345678901234567890123456789");

	(void)state;
	assert_true(proto_put_result(&b, 1, NULL));
	size_t before = b.n;
	assert_false(proto_put_result(&b, 2, v));
	assert_true(b.full);
	assert_int_equal(b.n, before);
	assert_int_equal(strlen(b.p), before);
	json_decref(v);
}

static void test_bad_frames(void **state)
{
	static const struct {
		const char *line;
		int code;
		uint64_t id;
	} cases[] = {
		{ "", ERR_PARSE, 0 },
		{ "{", ERR_PARSE, 0 },
		{ "GET / HTTP/1.1", ERR_PARSE, 0 },
		{ "{\"id\":1,\"id\":2}", ERR_PARSE, 0 },
		{ "[]", ERR_FRAME, 0 },
		{ "7", ERR_FRAME, 0 },
		{ "{\"id\":5,\"method\":\"ping\"}", ERR_FRAME, 5 },
		{ "{\"jsonrpc\":\"2.0\",\"id\":\"5\",\"method\":\"ping\"}", ERR_FRAME, 0 },
		{ "{\"jsonrpc\":\"2.0\",\"id\":0,\"method\":\"ping\"}", ERR_FRAME, 0 },
		{ "{\"jsonrpc\":\"2.0\",\"id\":-1,\"method\":\"ping\"}", ERR_FRAME, 0 },
		{ "{\"jsonrpc\":\"2.0\",\"id\":5,\"method\":7}", ERR_FRAME, 5 },
		{ "{\"jsonrpc\":\"2.0\",\"id\":5,\"method\":\"ping\",\"params\":[1]}", ERR_FRAME,
		  5 },
		{ "{\"jsonrpc\":\"2.0\",\"id\":5}", ERR_FRAME, 5 },
		{ "{\"jsonrpc\":\"2.0\",\"id\":5,\"result\":1,\"error\":{}}", ERR_FRAME, 5 },
		{ "{\"jsonrpc\":\"2.0\",\"result\":1}", ERR_FRAME, 0 },
		{ "{\"jsonrpc\":\"2.0\",\"id\":5,\"error\":3}", ERR_FRAME, 5 },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct proto_msg msg;
		struct err err = ERR_INIT;
		int rc = proto_parse(str_of(cases[i].line), &msg, &err);
		if (rc != -cases[i].code || msg.id != cases[i].id || msg.root != NULL ||
		    err.msg[0] == '\0')
			fail_msg("%s: %d %s", cases[i].line, rc, err.msg);
	}
}

/* The table itself: what dispatch, help and forms take for granted. */
static void test_table(void **state)
{
	(void)state;
	for (int i = 0; i < M__COUNT; i++) {
		const struct method_def *m = &method_defs[i];
		bool has_entity = false;

		assert_non_null(m->name);
		assert_ptr_equal(method_find(m->name), m);
		assert_true(m->role > ACCESS_NONE && m->role < ACCESS__COUNT);
		assert_true(m->summary != NULL && m->entity != NULL);
		assert_true(m->cli != NULL || (m->flags & MF_INTERNAL) != 0);
		for (size_t f = 0; f < field_defs_n; f++)
			has_entity = has_entity || strcmp(field_defs[f].entity, m->entity) == 0;
		assert_true(has_entity);
		if ((m->flags & (MF_REASON | MF_PLAN | MF_CONFIRM)) != 0)
			assert_true((m->flags & MF_MUTATES) != 0);
		for (size_t p = 0; p < PROTO_PARAMS_MAX && m->params[p].name != NULL; p++) {
			const struct param_def *d = &m->params[p];
			assert_ptr_equal(method_param(m, d->name), d);
			assert_non_null(d->help);
			assert_true((d->type == T_ENUM) == (d->choices != NULL));
			if (d->type == T_INT || d->type == T_AGE)
				assert_true(d->max > d->min);
		}
	}
	for (size_t i = 0; i < field_defs_n; i++)
		assert_ptr_equal(field_find(field_defs[i].entity, field_defs[i].name),
				 &field_defs[i]);
}

/* An option's name is derived once, and leads back to its parameter. */
static void test_options(void **state)
{
	const struct method_def *hold = &method_defs[M_QUEUE_HOLD];
	const struct method_def *set = &method_defs[M_STREAM_SET];
	char name[PROTO_OPTION_LEN];

	(void)state;
	param_option(method_param(hold, "for_s"), name);
	assert_string_equal(name, "for");
	param_option(method_param(hold, "keep_expiry"), name);
	assert_string_equal(name, "keep-expiry");
	param_option(method_param(hold, "request"), name);
	assert_string_equal(name, "");
	assert_ptr_equal(method_option(hold, STR("for")), method_param(hold, "for_s"));
	assert_null(method_option(hold, STR("for-s")));
	assert_null(method_option(hold, STR("")));
	assert_null(method_option(hold, STR("base")));
	assert_ptr_equal(method_option(set, STR("probation")), method_param(set, "probation_s"));
	assert_non_null(method_option(set, STR("base")));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_check),	   cmocka_unit_test(test_limits),
		cmocka_unit_test(test_method_get), cmocka_unit_test(test_round_trip),
		cmocka_unit_test(test_full),	   cmocka_unit_test(test_bad_frames),
		cmocka_unit_test(test_table),	   cmocka_unit_test(test_options),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
