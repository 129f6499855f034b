/* Lines of the palette, read as the command line reads them: into a plan, a form, or a screen. */
#include <stdlib.h>
#include <string.h>

#include "args/args.h"
#include "args/complete.h"
#include "base/mem.h"
#include "base/utf8.h"
#include "view/act_int.h"
#include "view/cells.h"

#define TRACE_SCREEN "trace"

/* What an error points into was a part of the line. */
static void point_into(struct str line, const struct args *a, struct err *err)
{
	const char *at = a->fault_text == NULL
				 ? NULL
				 : memmem(line.p, line.n, a->fault_text, strlen(a->fault_text));

	if (err == NULL || err->column <= 0)
		return;
	if (at == NULL)
		err->column = 0;
	for (struct str before = str_from(line.p, at != NULL ? (size_t)(at - line.p) : 0);
	     before.n > 0; err->column++) {
		uint32_t cp;
		size_t n = utf8_decode(before, &cp);

		before = str_from(before.p + n, before.n - n);
	}
}

/* Its words, behind "weir" or not; `text` has them. What was read before a mistake stays. */
static int read_line(struct str line, struct buf *text, struct args *ret, struct err *err)
{
	const char *split[ARGS_SPLIT_MAX];
	const char *const *words = split;
	bool quoted;
	size_t n = args_split(str_trim(line), text, split, &quoted);
	int rc;

	*ret = ARGS_INIT;
	if (quoted)
		return err_set(err, ERR_SYNTAX, "a quote is open at its end");
	if (n == ARGS_SPLIT_MAX)
		return err_set(err, ERR_LIMIT, "it has too many words");
	if (n > 1 && strcmp(words[0], "weir") == 0) {
		words++;
		n--;
	}
	rc = args_read((int)n, words, ret, err);
	if (ret->m == NULL)
		return err_set(err, ERR_UNKNOWN, "no such action, screen or command: %.*s",
			       STR_ARG(line));
	if (rc < 0)
		point_into(line, ret, err);
	return rc;
}

bool act_in_shell_only(const struct method_def *m)
{
	if (m == &method_defs[M_SUPPRESS_IMPORT])
		return true;
	for (int i = 0; i < PROTO_PARAMS_MAX && m->params[i].name != NULL; i++)
		if (m->params[i].type == T_FILE && m->params[i].required)
			return true;
	return false;
}

static int in_shell(const struct method_def *m, const char *what, struct err *err)
{
	return err_set(err, ERR_INVALID, "%s: in a shell, weir %s%s", what, m->cli,
		       act_in_shell_only(m) ? " FILE" : "");
}

static int refuse_file(const struct method_def *m, struct err *err)
{
	return in_shell(m, "a file is read by the command line only", err);
}

/* Of the command line's own options those that mean something here. */
static bool is_ours(enum own_option o)
{
	return o == OWN_WHERE || o == OWN_PLAN || o == OWN_YES;
}

/* What only the command line does, or reads. */
static int check_shell(const struct args *a, struct err *err)
{
	const struct param_def *p;

	for (int i = 0; i < OWN__COUNT; i++) {
		AUTO_FREE char *what = NULL;

		if (a->own[i] == NULL || is_ours((enum own_option)i))
			continue;
		what = xasprintf("--%s is an option of the command line only", own_defs[i].name);
		return in_shell(a->m, what, err);
	}
	for (size_t i = 0; (p = method_param_at(a->m, i)) != NULL; i++)
		if (p->type == T_FILE && js_has(a->params, p->name))
			return refuse_file(a->m, err);
	return 0;
}

static int may(const struct acts *acts, const struct method_def *m, struct err *err)
{
	bool changes = (m->flags & MF_MUTATES) != 0;

	if (act_in_shell_only(m))
		return refuse_file(m, err);
	if (changes && acts->app->readonly)
		return err_set(err, ERR_DENIED, "the console was started with --readonly");
	if ((int)shell_status(acts->app->shell)->perm < (int)m->role - (int)ACCESS_VIEWER)
		return err_set(err, ERR_DENIED, "%s needs the role %s", m->cli,
			       access_name(m->role));
	return changes ? act_linked(acts, err) : 0;
}

/* A screen shows what it would be asked for. */
static bool to_view(struct acts *acts, enum method_id id, const json_t *params)
{
	const char *name = id == M_MESSAGE_GET ? "id" : "where";
	const char *view = app_view_of(id);

	if (view == NULL || json_object_size(params) > (js_has(params, name) ? 1u : 0u))
		return false;
	(void)shell_open(acts->app->shell, view, js(params, name));
	return true;
}

/* Takes params; `now`: without asking. */
static void run(struct acts *acts, enum method_id id, json_t *params, bool now)
{
	const struct method_def *m = &method_defs[id];
	bool asked = json_object_size(params) > 0 || act_n_fields(m) == 0;
	bool whole = asked && act_complete(m, params, NULL) >= 0;

	if (to_view(acts, id, params)) {
		json_decref(params);
	} else if (id == M_WHY_GET && js_has(params, "target")) {
		act_why(acts, js(params, "target"));
		json_decref(params);
	} else if (id == M_ACTION_UNDO) {
		if (js_has(params, "action"))
			act_undo(acts, js(params, "action"), js(params, "action"),
				 json_string_value(json_object_get(params, "reason")));
		else
			(void)shell_open(acts->app->shell, "undo", "");
		json_decref(params);
	} else if (whole && now) {
		act_plan_now(acts, id, params);
	} else if (whole && (m->flags & MF_MUTATES) != 0) {
		act_plan(acts, id, params);
	} else if (whole) {
		act_read(acts, id, params);
	} else {
		act_form_again(acts, id, params, NULL);
	}
}

/* The list that one of its rows is shown of: pool.list for pool.show. */
static const char *list_view_of(enum method_id id)
{
	const struct method_def *m = &method_defs[id];
	struct str rest = str_of(m->name);
	struct str area = str_cut(&rest, '.');
	AUTO_FREE char *name = NULL;

	if ((m->flags & MF_LIST) != 0)
		return app_view_of(id);
	if (!str_eq(rest, STR("show")))
		return NULL;
	name = xasprintf("%.*s.list", STR_ARG(area));
	m = method_find(name);
	return m != NULL ? app_view_of((enum method_id)(m - method_defs)) : NULL;
}

bool act_follow(struct acts *acts, struct str line)
{
	AUTO_BUF text = BUF_INIT(PROMPT_MAX);
	struct args a;
	int rc = read_line(line, &text, &a, NULL);
	bool method = a.m != NULL && !a.local;
	const char *view = method ? list_view_of((enum method_id)(a.m - method_defs)) : NULL;

	(void)rc;
	if (view != NULL)
		(void)shell_open(acts->app->shell, view, js(a.params, "where"));
	args_done(&a);
	return view != NULL;
}

/* A verb that is no method: a screen does the same, or none does. */
static int run_local(struct acts *acts, const struct args *a, struct err *err)
{
	const char *target = js(a->params, "target");

	if (a->m != &verb_defs[VERB_TRACE] ||
	    json_object_size(a->params) > (js_has(a->params, "target") ? 1u : 0u))
		return in_shell(a->m, "it is the command line's", err);
	(void)shell_open(acts->app->shell, TRACE_SCREEN, strcmp(target, "all") != 0 ? target : "");
	return 0;
}

int act_command(struct acts *acts, struct str line, struct err *err)
{
	AUTO_BUF text = BUF_INIT(PROMPT_MAX);
	struct args a;
	int rc = read_line(line, &text, &a, err);

	if (a.m != NULL && !a.local) {
		struct err denied = ERR_INIT;

		if (may(acts, a.m, &denied) < 0) {
			rc = -denied.code;
			*err = denied;
		}
	}
	if (rc >= 0)
		rc = check_shell(&a, err);
	if (rc >= 0 && a.local)
		rc = run_local(acts, &a, err);
	else if (rc >= 0)
		run(acts, (enum method_id)(a.m - method_defs), json_incref(a.params),
		    a.own[OWN_YES] != NULL);
	args_done(&a);
	return rc < 0 ? rc : 0;
}

/* --- what a half-written line could become ---------------------------------------------------- */

static void offer_verb(const struct method_def *m, const char *verb, struct str typed,
		       struct prompt_candidates *to)
{
	if (verb != NULL && !act_in_shell_only(m) && str_starts(str_of(verb), typed))
		prompt_offer(to, str_of(verb), m->summary);
}

static void offer_verbs(struct str typed, struct prompt_candidates *to)
{
	for (int i = 0; i < M__COUNT; i++)
		offer_verb(&method_defs[i], method_defs[i].cli, typed, to);
	for (int i = 0; i < M__COUNT; i++)
		offer_verb(&method_defs[i], method_defs[i].alias, typed, to);
}

static size_t skip_blanks(struct str s, size_t at)
{
	while (at < s.n && s.p[at] == ' ')
		at++;
	return at;
}

static void on_offer(void *arg, const char *word, const char *help, bool more)
{
	(void)more;
	for (int i = 0; i < OWN__COUNT; i++)
		if (!is_ours((enum own_option)i) && str_starts(str_of(word), STR("--")) &&
		    strcmp(word + 2, own_defs[i].name) == 0)
			return;
	prompt_offer(arg, str_of(word), help);
}

/* The verb, when it stands there whole and something behind it. */
static const struct method_def *verb_of(const char *const *words, size_t n)
{
	AUTO_FREE char *both = n > 2 ? xasprintf("%s %s", words[0], words[1]) : NULL;
	const struct method_def *m = both != NULL ? args_verb_find(both) : NULL;

	return m != NULL || n < 2 ? m : args_verb_find(words[0]);
}

size_t act_complete_line(struct str line, size_t cursor, struct prompt_candidates *to, void *arg)
{
	struct complete_source source = { .offer = on_offer, .arg = to };
	struct str typed = str_from(line.p, cursor < line.n ? cursor : line.n);
	AUTO_BUF text = BUF_INIT(PROMPT_MAX);
	const char *split[ARGS_SPLIT_MAX];
	const char *const *words = split;
	size_t from = skip_blanks(typed, 0);
	bool quoted;
	size_t n = args_split(typed, &text, split, &quoted);
	struct str last;

	(void)arg;
	if (n > 1 && strcmp(words[0], "weir") == 0) {
		from = skip_blanks(typed, from + strlen(words[0]));
		words++;
		n--;
	}
	if (verb_of(words, n) == NULL) {
		offer_verbs(str_from(typed.p + from, typed.n - from), to);
		return from;
	}
	last = str_of(words[n - 1]);
	if (quoted || !str_ends_nocase(typed, last)) /* in quotes: it is not what it is */
		return typed.n;
	complete_words(n, words, &source);
	return typed.n - last.n;
}
