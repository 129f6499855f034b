/*
 * Which function runs a verb: rows of verbs.def have their own; methods with something particular
 * to show stand in the table below; of all others the flags say what kind they are.
 */
#include "cli/cli_int.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/json.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/obj.h"

#define ERROR_MAX ((size_t)64 * 1024)
#define FAULT_INDENT 2

static cli_verb_fn *const verb_fns[VERB__COUNT] = {
#define VERB(id, fn, ...) [VERB_##id] = verb_##fn,
#include "args/verbs.def"
#undef VERB
};

static const struct {
	enum method_id method;
	cli_verb_fn *fn;
} particular[] = {
	{ M_STATUS_GET, run_status },	    { M_MESSAGE_GET, run_show },
	{ M_EVENT_LIST, run_events },	    { M_DKIM_SHOW, run_records },
	{ M_CHECK_DOMAIN, run_check },	    { M_AUDIT_LIST, run_audit },
	{ M_CONFIG_DIFF, run_diff },	    { M_CRED_SHOW, run_cred },
	{ M_ALLOW_LIST, run_allow },	    { M_SUPPRESS_IMPORT, run_import },
	{ M_CRED_EXPORT, run_cred_export }, { M_CONFIG_EXPORT, run_config_export },
	{ M_BOUNCES_SHOW, run_kept },	    { M_ROUTE_TEST, run_trial },
	{ M_STREAM_TEST, run_trial },	    { M_ALLOW_TEST, run_trial },
};

static cli_verb_fn *function_of(const struct args *a)
{
	if (a->local)
		return verb_fns[a->m - verb_defs];
	for (size_t i = 0; i < ARRAY_LEN(particular); i++)
		if (a->m == &method_defs[particular[i].method])
			return particular[i].fn;
	if ((a->m->flags & MF_MUTATES) != 0)
		return run_change;
	return (a->m->flags & MF_LIST) != 0 ? run_list : run_object;
}

/* --- fields ----------------------------------------------------------------------------------- */

bool cli_has(const json_t *row, const char *name)
{
	const json_t *v = json_object_get(row, name);

	return v != NULL && !json_is_null(v);
}

int64_t cli_now_ms(void)
{
	return loop_clock_us() / 1000;
}

void cli_print(struct cli *c, struct buf *b)
{
	(void)out_flush(&c->out, b);
}

void cli_print_json(struct cli *c, const json_t *v)
{
	AUTO_BUF b = BUF_INIT(OUT_MAX);

	out_json(&c->out, &b, v);
	cli_print(c, &b);
}

int cli_answer(struct cli *c, const struct args *a, cli_put_fn *put, struct err *err)
{
	AUTO_BUF b = BUF_INIT(OUT_MAX);
	json_t *answer = NULL;
	int rc = talk_call(c, a->m->name, json_copy(a->params), &answer, err);

	if (rc < 0)
		return rc;
	if (c->json) {
		cli_print_json(c, answer);
	} else {
		put(c, a, &b, answer);
		cli_print(c, &b);
	}
	json_decref(answer);
	return 0;
}

/* --- errors ----------------------------------------------------------------------------------- */

static void put_json_error(const struct err *err, struct buf *b)
{
	json_t *doc = json_pack("{s:{s:s, s:o, s:o}}", "error", "code", err_name(err->code),
				"message", json_string(err->msg), "param",
				err->param[0] != '\0' ? json_string(err->param) : json_null());

	if (doc == NULL)
		doc = json_pack("{s:{s:s, s:s, s:n}}", "error", "code", err_name(err->code),
				"message", err_text(err->code), "param");
	if (err->column > 0)
		(void)json_object_set_new(json_object_get(doc, "error"), "column",
					  json_integer(err->column));
	out_json_line(&(struct out){ .tty = true }, b, doc);
	(void)buf_putc(b, '\n');
	json_decref(doc);
}

/* The text at fault with a caret under the column, which counts characters. */
static void put_caret(const struct out *o, const char *text, int column, struct buf *b)
{
	struct str before = str_of(text);
	size_t n = 0;

	for (int i = 1; i < column && n < before.n; i++)
		do
			n++;
		while (n < before.n && ((unsigned char)before.p[n] & 0xc0) == 0x80);
	before.n = n;
	(void)buf_printf(b, "%*s", FAULT_INDENT, "");
	out_clean(o, b, str_of(text));
	(void)buf_printf(b, "\n%*s^\n", FAULT_INDENT + out_cols(o, before), "");
}

static void put_error(const struct cli *c, const struct args *a, const struct err *err,
		      struct buf *b)
{
	const char *text = a->fault_text;

	(void)buf_puts(b, "weir: ");
	out_clean_lines(&c->out, b, str_of(err->msg));
	(void)buf_putc(b, '\n');
	if (text == NULL && err->column > 0 && err->param[0] != '\0')
		text = json_get_str(a->params, err->param);
	if (text != NULL && *text != '\0' && err->column > 0)
		put_caret(&c->out, text, err->column, b);
}

/* Prints the error; the exit status. */
static int fail(const struct cli *c, const struct args *a, const struct err *err)
{
	AUTO_BUF b = BUF_INIT(ERROR_MAX);

	if (c->json)
		put_json_error(err, &b);
	else
		put_error(c, a, err, &b);
	(void)fwrite(b.p, 1, b.n, stderr);
	return err_exit_status(err->code);
}

/* --- the whole -------------------------------------------------------------------------------- */

/* The option may stand behind what is wrong. */
static bool wants_json(int argc, char **argv)
{
	for (int i = 0; i < argc && strcmp(argv[i], "--") != 0; i++)
		if (strcmp(argv[i], "--json") == 0)
			return true;
	return false;
}

static int run(struct cli *c, struct args *a, int argc, char **argv, struct err *err)
{
	AUTO_BUF b = BUF_INIT(OUT_MAX);
	int rc = args_parse(argc, (const char *const *)argv, a, err);

	if (rc < 0)
		return rc;
	if (a->own[OWN_HELP] != NULL) {
		help_put_verb(&b, a->m);
		cli_print(c, &b);
		return 0;
	}
	if (c->o->readonly && (a->m->flags & MF_MUTATES) != 0 && a->own[OWN_PLAN] == NULL)
		return err_set(err, ERR_DENIED, "%s changes the relay, and --readonly was given",
			       a->m->cli);
	if (c->o->readonly && function_of(a) == verb_stdio)
		return err_set(
			err, ERR_DENIED,
			"stdio passes on what changes the relay, too, and --readonly was given");
	if (a->own[OWN_RELAY] != NULL)
		c->relay = a->own[OWN_RELAY];
	return function_of(a)(c, a, err);
}

/* Standard error is for what the verb has to say; a script reads it as JSON. */
static void drop_line(enum log_level level, const char *line, void *arg)
{
	(void)level;
	(void)line;
	(void)arg;
}

int cli_run(const struct cli_options *o, int argc, char **argv)
{
	struct cli c = { .magic = CLI_MAGIC, .o = o, .relay = o->relay };
	struct args a = ARGS_INIT;
	struct err err = ERR_INIT;
	int status;

	c.json = o->json || wants_json(argc, argv);
	out_init(&c.out);
	log_to_fn(drop_line, NULL);
	(void)signal(SIGPIPE, SIG_IGN);
	status = run(&c, &a, argc, argv, &err);
	if (status >= 0 && out_check(&c.out, &err) < 0)
		status = -err.code;
	if (status < 0)
		status = fail(&c, &a, &err);
	talk_end(&c);
	args_done(&a);
	log_to_stderr();
	return status;
}
