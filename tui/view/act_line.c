/* Lines of the palette, as on the command line: into a plan, a form, or a screen. */
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "view/act_int.h"
#include "view/cells.h"

/* Cuts the next word off; quotes keep blanks. */
static bool next_word(struct str *rest, struct buf *word)
{
	char quote = '\0';

	buf_reset(word);
	*rest = str_trim(*rest);
	if (rest->n == 0)
		return false;
	while (rest->n > 0 && (quote != '\0' || *rest->p != ' ')) {
		if (quote == '\0' && *rest->p == '\'')
			quote = *rest->p;
		else if (quote != '\0' && *rest->p == quote)
			quote = '\0';
		else
			(void)buf_putc(word, *rest->p);
		rest->p++;
		rest->n--;
	}
	return true;
}

static enum method_id method_of_line(struct str *rest)
{
	enum method_id best = M__COUNT;
	size_t best_n = 0;

	for (int m = 0; m < M__COUNT; m++) {
		const char *const names[] = { method_defs[m].cli, method_defs[m].alias };

		for (size_t i = 0; i < ARRAY_LEN(names); i++) {
			struct str name = str_of(names[i]);

			if (names[i] != NULL && name.n > best_n && str_starts(*rest, name) &&
			    (rest->n == name.n || rest->p[name.n] == ' ')) {
				best = (enum method_id)m;
				best_n = name.n;
			}
		}
	}
	rest->p += best_n;
	rest->n -= best_n;
	return best;
}

static const struct param_def *option_of(const struct method_def *m, const char *option)
{
	for (int i = 0; i < PROTO_PARAMS_MAX && m->params[i].name != NULL; i++) {
		AUTO_FREE char *derived = act_title(&m->params[i]);
		bool none = m->params[i].option != NULL && *m->params[i].option == '\0';

		if ((!none && strcmp(derived, option) == 0) ||
		    (m->params[i].alias != NULL && strcmp(m->params[i].alias, option) == 0))
			return &m->params[i];
	}
	if (strcmp(option, "probation") == 0)
		return method_param(m, "probation_s");
	return strcmp(option, "reason") == 0 ? method_param(m, option) : NULL;
}

static int parse_words(const struct method_def *m, struct str rest, json_t *params, struct err *err)
{
	AUTO_BUF word = BUF_INIT(PROMPT_MAX);
	int positional = 0, result = 0;

	while (result >= 0 && next_word(&rest, &word)) {
		const struct param_def *p;

		if (str_starts(buf_str(&word), STR("--"))) {
			p = option_of(m, buf_cstr(&word) + 2);
			if (p == NULL)
				return err_set(err, ERR_INVALID, "%s has no option %s", m->cli,
					       buf_cstr(&word));
			if (p->type == T_BOOL)
				(void)buf_puts((buf_reset(&word), &word), "true");
			else if (!next_word(&rest, &word))
				return err_set(err, ERR_INVALID, "--%s needs a value", p->name);
		} else {
			while (positional < PROTO_PARAMS_MAX &&
			       m->params[positional].name != NULL &&
			       !m->params[positional].positional)
				positional++;
			if (positional >= PROTO_PARAMS_MAX || m->params[positional].name == NULL)
				return err_set(err, ERR_INVALID, "%s takes no %s", m->cli,
					       buf_cstr(&word));
			p = &m->params[positional++];
		}
		result = act_param(params, p, buf_str(&word), err);
	}
	return result;
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

static int may(const struct acts *acts, const struct method_def *m, struct err *err)
{
	bool changes = (m->flags & MF_MUTATES) != 0;

	if (act_in_shell_only(m))
		return err_set(err, ERR_INVALID,
			       "a file is read by the command line only: in a shell, weir %s FILE",
			       m->cli);
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

/* Takes params. */
static void run(struct acts *acts, enum method_id id, json_t *params)
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
			act_undo(acts, js(params, "action"), js(params, "action"));
		else
			(void)shell_open(acts->app->shell, "undo", "");
		json_decref(params);
	} else if (whole && (m->flags & MF_MUTATES) != 0) {
		act_plan(acts, id, params);
	} else if (whole) {
		act_read(acts, id, params);
	} else {
		act_form_again(acts, id, params, NULL);
	}
}

int act_command(struct acts *acts, struct str line, struct err *err)
{
	struct str rest = str_trim(line);
	enum method_id id;
	const struct method_def *m;
	json_t *params;
	int result;

	if (str_starts(rest, STR("weir ")))
		rest = str_trim(str_from(rest.p + 5, rest.n - 5));
	id = method_of_line(&rest);
	if (id == M__COUNT)
		return err_set(err, ERR_UNKNOWN, "no such action, screen or command: %.*s",
			       STR_ARG(line));
	m = &method_defs[id];
	result = may(acts, m, err);
	if (result < 0)
		return result;
	params = json_object();
	result = parse_words(m, rest, params, err);
	if (result < 0) {
		json_decref(params);
		return result;
	}
	run(acts, id, params);
	return 0;
}
