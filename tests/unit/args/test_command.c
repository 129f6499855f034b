/*
 * Command lines are read back as what they were made of: proto_put_command(), a shell's words,
 * args_parse(), for all changes of the table.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "base/mem.h"
#include "args/args.h"

#define ROUNDS 60 /* of each method */
#define WORDS 200
#define TEXT_MAX ((size_t)1 << 16)

static uint64_t seed = 1;

static unsigned any(unsigned n)
{
	seed = seed * 6364136223846793005u + 1442695040888963407u;
	return (unsigned)(seed >> 33) % n;
}

/* The words of a line as a shell makes them of plain ones and single quotes. */
static int shell_words(const char *line, char *words[static WORDS])
{
	int n = 0;

	while (*line != '\0') {
		AUTO_BUF word = BUF_INIT(TEXT_MAX);
		bool quoted = false;

		for (; *line != '\0' && (quoted || *line != ' '); line++) {
			if (*line == '\'') {
				quoted = !quoted;
				continue;
			}
			assert_true(quoted || strchr("\"$`&|;<>()*?[]#~!{}\n", *line) == NULL);
			if (!quoted && *line == '\\')
				line++;
			(void)buf_putc(&word, *line);
		}
		assert_false(quoted);
		assert_true(n < WORDS);
		words[n++] = buf_take(&word);
		line += *line == ' ';
	}
	return n;
}

static const char *nasty(void)
{
	static const char *const texts[] = {
		"",	     "a",	 "-",	       "--", "--yes", "-x",   "it's",
		"a b",	     "a,b",	 "a\\,b",      "\\", ",",     "a,",   "\\\\",
		"$HOME `x`", "\"q\"",	 "'",	       "''", "a\\'b", "x=1",  "--reason",
		"#c",	     "*",	 "<>",	       "~",  "\n",    "æøå",  "one;two",
		"X: a, b",   "a\\\\,,c", "s.example.", "no", "true",  "null", "0",
	};

	return texts[any(ARRAY_LEN(texts))];
}

static json_t *some_list(void)
{
	json_t *list = json_array();

	for (unsigned n = any(4); n > 0; n--)
		(void)json_array_append_new(list, json_string(nasty()));
	return list;
}

static json_t *some_choice(const struct param_def *p)
{
	struct str rest = str_of(p->choices);
	unsigned n = any(3);
	struct str one = str_cut(&rest, '|');

	while (n-- > 0 && rest.n > 0)
		one = str_cut(&rest, '|');
	return json_stringn(one.p, one.n);
}

static const char *one_of(const char *const *texts, size_t n)
{
	return texts[any((unsigned)n)];
}

static json_t *some_value(const struct param_def *p)
{
	static const char *const targets[] = {
		"all",	      "domain:a.example",	 "-from:vip@a.example", "where:invoice",
		"where:it's", "domain:a.example age>2h", "id:0N4XK2M8QF"
	};
	static const char *const filters[] = { "domain:a.example", "-subject:\"a b\"", "it's" };
	static const char *const networks[] = { "10.0.0.0/8", "2001:db8::/32", "192.0.2.1" };
	static const char *const routes[] = { "mx", "hold", "smarthost:h.example:25" };
	const int64_t span = p->max - p->min;

	switch (p->type) {
	case T_BOOL:
		return json_true();
	case T_INT:
	case T_AGE:
		return json_integer(any(3) == 0 ? p->max
						: p->min + (int64_t)any(1u << 30) %
								   (span > 0 ? span : 1));
	case T_ENUM:
		return some_choice(p);
	case T_FILTER:
	case T_AUDIT_FILTER:
		return json_string(one_of(filters, ARRAY_LEN(filters)));
	case T_TARGET:
		return json_string(one_of(targets, ARRAY_LEN(targets)));
	case T_NETWORK:
		return json_string(one_of(networks, ARRAY_LEN(networks)));
	case T_ROUTE:
		return json_string(one_of(routes, ARRAY_LEN(routes)));
	case T_MSGID:
		return json_string("0N4XK2M8QF");
	case T_TIME:
		return json_string("2026-11-24T03:12:07Z");
	case T_STRINGS:
		return some_list();
	case T_STRING:
	case T_FILE:
		return json_string(nasty());
	case T_CURSOR:
	case T_OBJECT:
	case T__COUNT:
		break;
	}
	fail_msg("%s cannot stand on a command line", p->name);
	return NULL;
}

static json_t *some_params(const struct method_def *m)
{
	json_t *params = json_object();
	const struct param_def *p;
	bool before = true; /* positional words leave no gap */

	for (size_t i = 0; (p = method_param_at(m, i)) != NULL; i++) {
		bool reason = strcmp(p->name, "reason") == 0;

		if (p->option != NULL && *p->option == '\0' && !p->positional)
			continue; /* no line says it */
		if (reason)
			(void)json_object_set_new(params, p->name,
						  json_string("it's for 'x', -- \"y\""));
		else if (p->required || (any(2) == 0 && (before || !p->positional)))
			(void)json_object_set_new(params, p->name, some_value(p));
		else if (p->positional)
			before = false;
	}
	return params;
}

static void round_trip(const struct method_def *m, const json_t *params)
{
	AUTO_BUF line = BUF_INIT(TEXT_MAX);
	struct args a = ARGS_INIT;
	struct err err = ERR_INIT;
	char *words[WORDS];
	int n;

	proto_put_command(&line, m, params);
	n = shell_words(buf_cstr(&line), words);
	assert_string_equal(words[0], "weir");
	if (args_parse(n - 1, (const char *const *)words + 1, &a, &err) < 0)
		fail_msg("%s: %s", buf_cstr(&line), err.msg);
	assert_ptr_equal(a.m, m);
	if (!json_equal(a.params, params)) {
		AUTO_FREE char *want = json_dumps(params, JSON_SORT_KEYS);
		AUTO_FREE char *got = json_dumps(a.params, JSON_SORT_KEYS);

		fail_msg("%s: %s, not %s", buf_cstr(&line), got, want);
	}
	args_done(&a);
	for (int i = 0; i < n; i++)
		free(words[i]);
}

static void test_all_changes(void **state)
{
	(void)state;
	for (int i = 0; i < M__COUNT; i++) {
		const struct method_def *m = &method_defs[i];

		if (m->cli == NULL || (m->flags & MF_MUTATES) == 0)
			continue;
		for (int n = 0; n < ROUNDS; n++) {
			json_t *params = some_params(m);

			round_trip(m, params);
			json_decref(params);
		}
	}
}

static void test_spelling(void **state)
{
	static const struct {
		enum method_id m;
		const char *params;
		const char *line;
	} cases[] = {
		{ M_QUEUE_HOLD, "{'target':'domain:a.example','for_s':7200}",
		  "weir hold domain:a.example --for 2h --reason TEXT" },
		{ M_CRED_ADD, "{'name':'shop','senders':['a.example','b.example'],'networks':[]}",
		  "weir cred add shop --senders a.example,b.example --networks ''" },
		{ M_STREAM_ADD, "{'name':'n','headers':['X-A: b, c']}",
		  "weir stream add n --header 'X-A: b\\, c'" },
		{ M_CRED_RETIRE, "{'name':'-x','secret':'s1'}", "weir cred retire -- -x s1" },
		{ M_ALLOW_ADD, "{'network':'10.0.0.0/8','note':'--','probation_s':90}",
		  "weir allow add 10.0.0.0/8 --note=-- --probation 1m30s" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		AUTO_FREE char *text = xstrdup(cases[i].params);
		AUTO_BUF line = BUF_INIT(TEXT_MAX);
		json_t *params;

		for (char *c = text; *c != '\0'; c++)
			*c = *c == '\'' ? '"' : *c;
		params = json_loads(text, 0, NULL);
		assert_non_null(params);
		proto_put_command(&line, &method_defs[cases[i].m], params);
		assert_string_equal(buf_cstr(&line), cases[i].line);
		json_decref(params);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_all_changes),
		cmocka_unit_test(test_spelling),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
