/* Words against the real table of methods. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "args/args.h"
#include "base/mem.h"

struct parsed {
	struct args a;
	struct err err;
	int rc;
	struct buf text;
	const char *words[ARGS_SPLIT_MAX];
};

static void parse(struct parsed *p, const char *line)
{
	bool quoted;
	size_t n;

	*p = (struct parsed){ .err = ERR_INIT, .text = BUF_INIT(1000) };
	n = args_split(str_of(line), &p->text, p->words, &quoted);
	assert_false(quoted);
	n -= *p->words[n - 1] == '\0'; /* the word that has not begun */
	p->rc = args_parse((int)n, p->words, &p->a, &p->err);
}

static void done(struct parsed *p)
{
	args_done(&p->a);
	buf_done(&p->text);
}

static void test_good(void **state)
{
	static const struct {
		const char *line;
		const char *method;
		const char *params; /* ' for " */
		const char *own;    /* options of our own that are set */
	} cases[] = {
		{ "status", "status.get", "{}", "" },
		{ "status --json", "status.get", "{}", "json" },
		{ "hold domain:Gmail.com --reason 'a b'", "queue.hold",
		  "{'reason':'a b','target':'domain:gmail.com'}", "" },
		{ "hold --reason=r --for 2h domain:gmail.com", "queue.hold",
		  "{'for_s':7200,'reason':'r','target':'domain:gmail.com'}", "" },
		{ "hold --for=90 all --reason r --keep-expiry", "queue.hold",
		  "{'for_s':90,'keep_expiry':true,'reason':'r','target':'all'}", "" },
		{ "hold --where 'domain:a.example age>2h' --reason r", "queue.hold",
		  "{'reason':'r','target':'domain:a.example age>2h'}", "where" },
		{ "hold --where invoice --reason r", "queue.hold",
		  "{'reason':'r','target':'where:invoice'}", "where" },
		{ "hold --reason r -- -from:vip@a.example", "queue.hold",
		  "{'reason':'r','target':'-from:vip@a.example'}", "" },
		{ "hold all --reason=--yes", "queue.hold", "{'reason':'--yes','target':'all'}",
		  "" },
		{ "release --hold h1", "queue.release", "{'hold':'h1'}", "" },
		{ "flush all", "queue.retry", "{'target':'all'}", "" },
		{ "retry sender:bob@a.example", "queue.retry", "{'target':'sender:bob@a.example'}",
		  "" },
		{ "delete all --plan", "queue.delete", "{'target':'all'}", "plan" },
		{ "delete all -y --reason r", "queue.delete", "{'reason':'r','target':'all'}",
		  "yes" },
		{ "why 0N4XK2M8QF", "why.get", "{'target':'id:0N4XK2M8QF'}", "" },
		{ "why 0N4XK2M8QF/2", "why.get", "{'target':'id:0N4XK2M8QF/2'}", "" },
		{ "why domain:a.example", "why.get", "{'target':'domain:a.example'}", "" },
		{ "show 0n4xk2m8qf", "message.get", "{'id':'0N4XK2M8QF'}", "" },
		{ "show 0N4XK2M8QF/3 --raw", "message.get", "{'id':'0N4XK2M8QF'}", "raw" },
		{ "messages --limit 5 --where -domain:a.example -w", "message.list",
		  "{'limit':5,'where':'-domain:a.example'}", "wide" },
		{ "messages --limit 2500 --descending", "message.list",
		  "{'descending':true,'limit':1000}", "" },
		{ "queue --by stream --sort oldest", "queue.list",
		  "{'by':'stream','sort':'oldest'}", "" },
		{ "allow add 127.0.0.0/8 --note why", "allow.add",
		  "{'network':'127.0.0.0/8','note':'why'}", "" },
		{ "allow add --for 1d 2001:db8::/32", "allow.add",
		  "{'for_s':86400,'network':'2001:db8::/32'}", "" },
		{ "route add --to smarthost:h.example:2525 --match domain:a.example", "route.add",
		  "{'match':'domain:a.example','to':'smarthost:h.example:2525'}", "" },
		{ "route test bob@a.example", "route.test", "{'to':'bob@a.example'}", "" },
		{ "undo", "action.undo", "{}", "" },
		{ "undo a7 --reason oops", "action.undo", "{'action':'a7','reason':'oops'}", "" },
		{ "events -f --after 0", "event.list", "{'after':0}", "follow" },
		{ "events -runix:/x", "event.list", "{}", "relay" },
		{ "events -r unix:/x --where to:bob", "event.list", "{'where':'to:bob'}", "relay" },
		{ "help allow add", "help", "{'verb':['allow','add']}", "" },
		{ "demo --rate 5 --no-console", "demo", "{'no_console':true,'rate':5}", "" },
		{ "completion bash", "completion", "{'shell':'bash'}", "" },
		{ "hold --help", "queue.hold", "{}", "help" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		AUTO_BUF own = BUF_INIT(200);
		struct parsed p;
		char *params;

		parse(&p, cases[i].line);
		if (p.rc < 0)
			fail_msg("%s: %s", cases[i].line, p.err.msg);
		params = json_dumps(p.a.params, JSON_COMPACT | JSON_SORT_KEYS);
		for (char *c = params; *c != '\0'; c++)
			*c = *c == '"' ? '\'' : *c;
		for (int o = 0; o < OWN__COUNT; o++)
			if (p.a.own[o] != NULL)
				(void)buf_puts(&own, own_defs[o].name);
		if (strcmp(p.a.m->name, cases[i].method) != 0 ||
		    strcmp(params, cases[i].params) != 0 ||
		    strcmp(buf_cstr(&own), cases[i].own) != 0)
			fail_msg("%s: %s %s own %s", cases[i].line, p.a.m->name, params,
				 buf_cstr(&own));
		free(params);
		done(&p);
	}
}

static void test_limit(void **state)
{
	struct parsed p;

	(void)state;
	parse(&p, "messages --limit 2500");
	assert_true(p.a.has_limit);
	assert_int_equal(p.a.limit, 2500);
	done(&p);
	/* causes have no pages: what the relay refuses is refused here */
	parse(&p, "causes --limit 2500");
	assert_int_equal(p.rc, -ERR_INVALID);
	done(&p);
}

static void test_bad(void **state)
{
	static const struct {
		const char *line;
		int code;
		const char *param;
		int column;
		const char *hint;
	} cases[] = {
		{ "frobnicate", ERR_METHOD, "", 0, "no verb \"frobnicate\"" },
		{ "statsu", ERR_METHOD, "", 0, "did you mean status?" },
		{ "flsh all", ERR_METHOD, "", 0, "did you mean flush?" },
		{ "alow list", ERR_METHOD, "", 0, "did you mean allow list?" },
		{ "allow", ERR_METHOD, "", 0, "add, set, remove, test" },
		{ "allow lst", ERR_METHOD, "", 0, "did you mean allow list?" },
		{ "allow frobnicate", ERR_METHOD, "", 0, "wants one of" },
		{ "status --frobnicate", ERR_INVALID, "frobnicate", 0, "weir help status" },
		{ "status --jsno", ERR_INVALID, "jsno", 0, "did you mean --json?" },
		{ "status --plan", ERR_INVALID, "plan", 0, "no option --plan" },
		{ "hold all --resaon x", ERR_INVALID, "resaon", 0, "did you mean --reason?" },
		{ "status -q", ERR_INVALID, "-q", 0, "no option -q" },
		{ "status -w", ERR_INVALID, "-w", 0, "no option -w" },
		{ "status now", ERR_INVALID, "now", 0, "does not take \"now\"" },
		{ "hold all", ERR_REASON, "reason", 0, "--reason TEXT" },
		{ "hold all --reason ' '", ERR_REASON, "reason", 0, "--reason TEXT" },
		{ "hold --reason r", ERR_INVALID, "target", 0, "domain:D, provider:P" },
		{ "hold all --reason", ERR_INVALID, "reason", 0, "--reason needs TEXT" },
		{ "hold all --reason --for 2h", ERR_INVALID, "reason", 0, "--reason=" },
		{ "hold all --reason r --for soon", ERR_INVALID, "for_s", 0, "--for must be" },
		{ "hold all --reason r --for 0", ERR_INVALID, "for_s", 0, "--for must be from" },
		{ "hold all --reason r --reason r", ERR_INVALID, "reason", 0, "given twice" },
		{ "hold all all --reason r", ERR_INVALID, "target", 0, "--where" },
		{ "hold all --where to:x --reason r", ERR_INVALID, "target", 0, "two" },
		{ "hold planet:mars --reason r", ERR_SYNTAX, "target", 1, "planet" },
		{ "hold gmail.com --reason r", ERR_SYNTAX, "target", 1, "domain:gmail.com" },
		{ "hold --where 'to:a colour:red' --reason r", ERR_SYNTAX, "target", 6, "colour" },
		{ "messages --where 'to:a age>' ", ERR_SYNTAX, "where", 0, "age" },
		{ "messages --limit zero", ERR_INVALID, "limit", 0, "--limit must be" },
		{ "messages --limit 0", ERR_INVALID, "limit", 0, "1 or more" },
		{ "messages --limit -3", ERR_INVALID, "limit", 0, "1 or more" },
		{ "messages --sort colour", ERR_INVALID, "sort", 0, "--sort cannot be" },
		{ "messages --cursor x", ERR_INVALID, "cursor", 0, "no option --cursor" },
		{ "show", ERR_INVALID, "id", 0, "show needs ID" },
		{ "show nosuchid", ERR_INVALID, "id", 0, "no message id" },
		{ "allow add 300.0.0.0/8", ERR_INVALID, "network", 0, "300.0.0.0/8" },
		{ "route add --to nowhere", ERR_INVALID, "to", 0, "smarthost:HOST" },
		{ "route add", ERR_INVALID, "to", 0, "route add needs --to" },
		{ "delete all --plan --yes", ERR_INVALID, "plan", 0, "one of them" },
		{ "delete all --yes=1 --reason r", ERR_INVALID, "yes", 0, "takes no value" },
		{ "completion tcsh", ERR_INVALID, "shell", 0, "bash|zsh|fish" },
		{ "status --json=x", ERR_INVALID, "json", 0, "takes no value" },
		{ "events -r", ERR_INVALID, "r", 0, "-r needs RELAY" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct parsed p;

		parse(&p, cases[i].line);
		if (p.rc != -cases[i].code || strcmp(p.err.param, cases[i].param) != 0 ||
		    strstr(p.err.msg, cases[i].hint) == NULL ||
		    (cases[i].column > 0 && p.err.column != cases[i].column) ||
		    (p.err.column > 0 && p.a.fault_text == NULL))
			fail_msg("%s: %d %s %d %s", cases[i].line, p.rc, p.err.param, p.err.column,
				 p.err.msg);
		done(&p);
	}
}

static void test_not_utf8(void **state)
{
	struct parsed p;

	(void)state;
	parse(&p, "allow add ::1 --note \xff");
	assert_int_equal(p.rc, -ERR_INVALID);
	assert_string_equal(p.err.param, "note");
	done(&p);
	parse(&p, "hold all --reason \xc3(");
	assert_int_equal(p.rc, -ERR_INVALID);
	done(&p);
}

/* Every verb can be found, and explains every option with a text. */
static void test_tables(void **state)
{
	const struct method_def *m;
	const struct param_def *p;
	char name[PROTO_OPTION_LEN];

	(void)state;
	for (size_t i = 0; (m = args_verb(i)) != NULL; i++) {
		assert_ptr_equal(args_verb_find(m->cli), m);
		assert_true(strlen(m->summary) > 0);
		for (size_t k = 0; (p = method_param_at(m, k)) != NULL; k++) {
			param_option(p, name);
			assert_true(strlen(p->help) > 0);
			assert_null(strchr(name, '_'));
			for (size_t l = 0; l < k; l++) {
				char other[PROTO_OPTION_LEN];

				param_option(method_param_at(m, l), other);
				assert_true(name[0] == '\0' || strcmp(name, other) != 0);
			}
		}
	}
}

static void test_split(void **state)
{
	static const struct {
		const char *line;
		const char *words; /* each behind a '|' */
		bool quoted;
	} cases[] = {
		{ "weir", "|weir", false },
		{ "weir ", "|weir|", false },
		{ "weir a  b", "|weir|a|b", false },
		{ "weir a 'b c' d", "|weir|a|b c|d", false },
		{ "weir \"b \\\" c", "|weir|b \" c", true },
		{ "weir 'b \\", "|weir|b \\", true },
		{ "weir \"b\\c\\\\d\"", "|weir|b\\c\\d", false },
		{ "weir b\\ c ", "|weir|b c|", false },
		{ "weir ''", "|weir|", false },
		{ "", "|", false },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		const char *words[ARGS_SPLIT_MAX];
		AUTO_BUF text = BUF_INIT(1000);
		AUTO_BUF joined = BUF_INIT(1000);
		bool quoted;
		size_t n = args_split(str_of(cases[i].line), &text, words, &quoted);

		for (size_t k = 0; k < n; k++)
			(void)buf_printf(&joined, "|%s", words[k]);
		if (strcmp(buf_cstr(&joined), cases[i].words) != 0 || quoted != cases[i].quoted)
			fail_msg("%s: %s", cases[i].line, buf_cstr(&joined));
	}
}

static void test_many_words(void **state)
{
	const char *words[ARGS_SPLIT_MAX];
	AUTO_BUF line = BUF_INIT(100000);
	AUTO_BUF text = BUF_INIT(100000);
	AUTO_BUF small = BUF_INIT(10);
	bool quoted;

	(void)state;
	for (int i = 0; i < 2 * ARGS_SPLIT_MAX; i++)
		(void)buf_puts(&line, "w ");
	assert_true(args_split(buf_str(&line), &text, words, &quoted) <= ARGS_SPLIT_MAX);
	assert_int_equal(args_split(buf_str(&line), &small, words, &quoted), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_good),	   cmocka_unit_test(test_limit),
		cmocka_unit_test(test_bad),	   cmocka_unit_test(test_not_utf8),
		cmocka_unit_test(test_tables),	   cmocka_unit_test(test_split),
		cmocka_unit_test(test_many_words),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
