/* Lines of the palette, as on the command line: into a plan, a form, or a screen. */
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "view/act_int.h"
#include "view/cells.h"

/* Cuts the next word off, as a shell does: what stands in quotes or behind '\\' is itself. */
static bool next_word(struct str *rest, struct buf *word)
{
	char quote = '\0';

	buf_reset(word);
	*rest = str_trim(*rest);
	if (rest->n == 0)
		return false;
	for (; rest->n > 0 && (quote != '\0' || *rest->p != ' '); rest->p++, rest->n--) {
		char c = *rest->p;
		bool escapes =
			c == '\\' && rest->n > 1 &&
			(quote == '\0' || (quote == '"' && strchr("\"\\$`", rest->p[1]) != NULL));

		if (escapes) {
			rest->p++;
			rest->n--;
			(void)buf_putc(word, *rest->p);
		} else if (quote == '\0' && (c == '\'' || c == '"')) {
			quote = c;
		} else if (c == quote) {
			quote = '\0';
		} else {
			(void)buf_putc(word, c);
		}
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

/* Lists grow when they are said again; of what else is said twice, one was not meant. */
static int put_param(json_t *params, const struct param_def *p, struct str text, struct err *err)
{
	json_t *before = json_object_get(params, p->name);

	if (before != NULL && p->type == T_STRINGS) {
		json_t *more = proto_strings(text);

		(void)json_array_extend(before, more);
		json_decref(more);
		return 0;
	}
	if (before != NULL && p->type != T_BOOL)
		return err_param(err, ERR_INVALID, p->name, "%s is given twice", p->name);
	return act_param(params, p, text, err);
}

/* "--name VALUE", "--name=VALUE" or, of what is or is not, "--name". */
static int put_option(const struct method_def *m, struct buf *word, struct str *rest,
		      json_t *params, struct err *err)
{
	struct str name = str_from(word->p + 2, word->n - 2);
	ptrdiff_t equals = str_index(name, '=');
	struct str value = STR("true");
	const struct param_def *p;

	if (equals >= 0) {
		value = str_from(name.p + equals + 1, name.n - (size_t)equals - 1);
		name.n = (size_t)equals;
	}
	p = method_option(m, name);
	if (p == NULL)
		return err_set(err, ERR_INVALID, "%s has no option --%.*s", m->cli, STR_ARG(name));
	if (equals < 0 && p->type != T_BOOL) {
		if (!next_word(rest, word) || str_starts(buf_str(word), STR("--")))
			return err_set(err, ERR_INVALID, "--%s needs a value", p->name);
		value = buf_str(word);
	}
	return put_param(params, p, value, err);
}

static int put_word(const struct method_def *m, struct str word, json_t *params, struct err *err)
{
	for (int i = 0; i < PROTO_PARAMS_MAX && m->params[i].name != NULL; i++) {
		const struct param_def *p = &m->params[i];

		if (p->positional &&
		    (json_object_get(params, p->name) == NULL || p->type == T_STRINGS))
			return put_param(params, p, word, err);
	}
	return err_set(err, ERR_INVALID, "%s takes no %.*s", m->cli, STR_ARG(word));
}

static int parse_words(const struct method_def *m, struct str rest, json_t *params, struct err *err)
{
	AUTO_BUF word = BUF_INIT(PROMPT_MAX);
	bool options = true; /* "--" ends them */
	int result = 0;

	while (result >= 0 && next_word(&rest, &word)) {
		if (options && str_eq(buf_str(&word), STR("--")))
			options = false;
		else if (options && str_starts(buf_str(&word), STR("--")))
			result = put_option(m, &word, &rest, params, err);
		else
			result = put_word(m, buf_str(&word), params, err);
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
			act_undo(acts, js(params, "action"), js(params, "action"),
				 json_string_value(json_object_get(params, "reason")));
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

/* The method, behind "weir" or not; the words that follow it are left. */
static enum method_id cut_method(struct str *rest)
{
	*rest = str_trim(*rest);
	if (str_starts(*rest, STR("weir ")))
		*rest = str_trim(str_from(rest->p + 5, rest->n - 5));
	return method_of_line(rest);
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
	enum method_id id = cut_method(&line);
	const char *view = id != M__COUNT ? list_view_of(id) : NULL;
	json_t *params;

	if (view == NULL)
		return false;
	params = json_object();
	(void)parse_words(&method_defs[id], line, params, NULL);
	(void)shell_open(acts->app->shell, view, js(params, "where"));
	json_decref(params);
	return true;
}

int act_command(struct acts *acts, struct str line, struct err *err)
{
	struct str rest = line;
	enum method_id id = cut_method(&rest);
	const struct method_def *m;
	json_t *params;
	int result;

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
