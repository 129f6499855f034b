/*
 * One pass over the words. What is given twice is refused rather than overridden, and a value that
 * looks like an option is refused rather than taken: `--reason --yes` must not delete anything.
 */
#include "args/args_int.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "filter/target.h"

#define NEAR_MAX 2 /* edits between a word and what was meant */

const struct own_def own_defs[OWN__COUNT] = {
#define OWN(id, name, letter, type, place, method, metavar, help)                                  \
	[OWN_##id] = { name, letter, type, place, method, metavar, help },
#include "args/own.def"
#undef OWN
};

const struct method_def verb_defs[VERB__COUNT] = {
#define VERB(id, fn, ...) [VERB_##id] = { __VA_ARGS__ },
#include "args/verbs.def"
#undef VERB
};

/* --- tables ----------------------------------------------------------------------------------- */

static const struct method_def *row(size_t n)
{
	if (n < M__COUNT)
		return &method_defs[n];
	return n < M__COUNT + VERB__COUNT ? &verb_defs[n - M__COUNT] : NULL;
}

const struct method_def *args_verb(size_t n)
{
	const struct method_def *m;

	for (size_t i = 0; (m = row(i)) != NULL; i++)
		if (m->cli != NULL && (m->flags & MF_INTERNAL) == 0 && n-- == 0)
			return m;
	return NULL;
}

const struct method_def *args_verb_find(const char *words)
{
	const struct method_def *m;

	for (size_t i = 0; (m = row(i)) != NULL; i++)
		if (m->cli != NULL && (strcmp(m->cli, words) == 0 ||
				       (m->alias != NULL && strcmp(m->alias, words) == 0)))
			return m;
	return NULL;
}

static const struct param_def *param_of_type(const struct method_def *m, enum param_type type)
{
	const struct param_def *p;

	for (size_t i = 0; (p = method_param_at(m, i)) != NULL; i++)
		if (p->type == type)
			return p;
	return NULL;
}

bool own_applies(enum own_option o, const struct method_def *m)
{
	switch (own_defs[o].place) {
	case ON_ALL:
		return true;
	case ON_TARGET:
		return param_of_type(m, T_TARGET) != NULL;
	case ON_PLAN:
		return (m->flags & MF_PLAN) != 0;
	case ON_LIST:
		return (m->flags & MF_LIST) != 0;
	case ON_METHOD:
		return m == &method_defs[own_defs[o].method];
	}
	return false;
}

/* --- the verb --------------------------------------------------------------------------------- */

static bool is_near(const char *typed, const char *name)
{
	return str_distance(str_of(typed), str_of(name)) <= (strlen(typed) > 3 ? NEAR_MAX : 1u);
}

/* "add, list, remove, test" for "allow"; false when no verb begins with that word. */
static bool second_words(const char *first, struct buf *out)
{
	AUTO_FREE char *prefix = xasprintf("%s ", first);
	const struct method_def *m;

	for (size_t i = 0; (m = args_verb(i)) != NULL; i++)
		if (str_starts(str_of(m->cli), str_of(prefix)))
			(void)buf_printf(out, "%s%s", out->n > 0 ? ", " : "",
					 m->cli + strlen(prefix));
	return out->n > 0;
}

static int refuse_verb(const char *first, const char *second, struct err *err)
{
	AUTO_FREE char *both = second != NULL ? xasprintf("%s %s", first, second) : NULL;
	AUTO_BUF seconds = BUF_INIT(400);
	const struct method_def *m;

	for (size_t i = 0; (m = args_verb(i)) != NULL; i++) {
		if (both != NULL && strchr(m->cli, ' ') != NULL && is_near(both, m->cli))
			return err_set(err, ERR_METHOD, "no verb \"%.*s\"; did you mean %s?",
				       ARGS_SHOWN, both, m->cli);
	}
	if (second_words(first, &seconds))
		return err_set(err, ERR_METHOD, "%s wants one of: %s", first, buf_cstr(&seconds));
	for (size_t i = 0; (m = args_verb(i)) != NULL; i++) {
		const char *space = strchr(m->cli, ' ');
		AUTO_FREE char *head =
			xstrndup(m->cli, space != NULL ? (size_t)(space - m->cli) : strlen(m->cli));

		if (is_near(first, head) || (m->alias != NULL && is_near(first, m->alias)))
			return err_set(err, ERR_METHOD, "no verb \"%.*s\"; did you mean %s?",
				       ARGS_SHOWN, first, is_near(first, head) ? head : m->alias);
	}
	return err_set(err, ERR_METHOD, "no verb \"%.*s\"; weir help lists them", ARGS_SHOWN,
		       first);
}

/* The number of words that the verb took. */
static int find_verb(int argc, const char *const *argv, struct args *a, struct err *err)
{
	int words = 0;

	if (argc > 1) {
		AUTO_FREE char *both = xasprintf("%s %s", argv[0], argv[1]);

		a->m = args_verb_find(both);
		words = 2;
	}
	if (a->m == NULL) {
		a->m = args_verb_find(argv[0]);
		words = 1;
	}
	if (a->m == NULL)
		return refuse_verb(argv[0], argc > 1 && argv[1][0] != '-' ? argv[1] : NULL, err);
	a->local = a->m >= verb_defs && a->m < verb_defs + VERB__COUNT;
	return words;
}

/* --- parameters --------------------------------------------------------------------------------
 */

/* A limit above one page is the command line's business: it pages. */
static int limit_value(struct args *a, const struct param_def *p, json_t *v, struct err *err)
{
	if (strcmp(p->name, "limit") != 0 || method_param(a->m, "cursor") == NULL ||
	    !json_is_integer(v))
		return 0;
	if (json_integer_value(v) < 1)
		return err_param(err, ERR_INVALID, p->name, "--limit must be 1 or more");
	a->has_limit = true;
	a->limit = (uint64_t)json_integer_value(v);
	if (a->limit > PROTO_PAGE_MAX)
		(void)json_integer_set(v, PROTO_PAGE_MAX);
	return 0;
}

static int set_param(struct args *a, const struct param_def *p, const char *text, struct err *err)
{
	char name[PROTO_OPTION_LEN];
	json_t *before = json_object_get(a->params, p->name);
	json_t *v = NULL;
	int rc;

	param_option(p, name);
	if (before != NULL && p->type == T_STRINGS && p->positional) {
		(void)json_array_append_new(before, json_string(text));
		return 0;
	}
	if (before != NULL && p->type == T_STRINGS) { /* --header A --header B */
		rc = args_value(a, p, text, &v, err);
		if (rc >= 0)
			(void)json_array_extend(before, v);
		json_decref(v);
		return rc;
	}
	if (before != NULL && p->type != T_BOOL)
		return err_param(err, ERR_INVALID, p->name, "%s%s is given twice",
				 p->positional ? "" : "--",
				 p->positional && p->metavar != NULL ? p->metavar : name);
	if (p->type == T_STRINGS && p->positional) {
		v = json_pack("[s]", text);
	} else {
		rc = args_value(a, p, text, &v, err);
		if (rc < 0)
			return rc;
	}
	if (v == NULL)
		return err_param(err, ERR_INVALID, p->name, "--%s: the value is not %s", name,
				 p->type == T_OBJECT ? "a JSON object" : "UTF-8 text");
	rc = limit_value(a, p, v, err);
	if (rc < 0)
		json_decref(v);
	else
		(void)json_object_set_new(a->params, p->name, v);
	return rc;
}

/* --- options ---------------------------------------------------------------------------------- */

/* An option as it was found in the tables: one of the two. */
struct option {
	const struct param_def *p;
	enum own_option own; /* OWN__COUNT: none */
};

static struct option find_option(const struct method_def *m, struct str name)
{
	struct option found = { .p = method_option(m, name), .own = OWN__COUNT };

	if (found.p != NULL)
		return found;
	for (int o = 0; o < OWN__COUNT; o++)
		if (own_applies((enum own_option)o, m) && str_eq(str_of(own_defs[o].name), name))
			found.own = (enum own_option)o;
	return found;
}

static int refuse_option(const struct method_def *m, struct str name, struct err *err)
{
	const struct param_def *p;
	char known[PROTO_OPTION_LEN];
	AUTO_FREE char *typed = xstrndup(name.p, name.n < ARGS_SHOWN ? name.n : ARGS_SHOWN);

	for (size_t i = 0; (p = method_param_at(m, i)) != NULL; i++) {
		param_option(p, known);
		if (known[0] != '\0' && is_near(typed, known))
			return err_param(err, ERR_INVALID, typed,
					 "%s has no option --%s; did you mean --%s?", m->cli, typed,
					 known);
	}
	for (int o = 0; o < OWN__COUNT; o++)
		if (own_applies((enum own_option)o, m) && is_near(typed, own_defs[o].name))
			return err_param(err, ERR_INVALID, typed,
					 "%s has no option --%s; did you mean --%s?", m->cli, typed,
					 own_defs[o].name);
	return err_param(err, ERR_INVALID, typed, "%s has no option --%s; weir help %s lists them",
			 m->cli, typed, m->cli);
}

/* The words still to come. */
struct words {
	int n;
	const char *const *v;
};

static int take_value(const char *dashes, const char *name, const char *metavar, struct words *rest,
		      const char **ret_value, struct err *err)
{
	if (rest->n == 0)
		return err_param(err, ERR_INVALID, name, "%s%s needs %s", dashes, name, metavar);
	if (str_starts(str_of(rest->v[0]), STR("--")))
		return err_param(err, ERR_INVALID, name,
				 "%s%s needs %s, and \"%.*s\" looks like an option; write --%s=… "
				 "if it is meant",
				 dashes, name, metavar, ARGS_SHOWN, rest->v[0], name);
	*ret_value = rest->v[0];
	rest->v++;
	rest->n--;
	return 0;
}

static int set_own(struct args *a, enum own_option o, const char *text, struct err *err)
{
	if (a->own[o] != NULL && own_defs[o].type != T_BOOL)
		return err_param(err, ERR_INVALID, own_defs[o].name, "--%s is given twice",
				 own_defs[o].name);
	if (own_defs[o].type == T_BOOL && *text != '\0')
		return err_param(err, ERR_INVALID, own_defs[o].name, "--%s takes no value",
				 own_defs[o].name);
	a->own[o] = text;
	return 0;
}

/* How what it wants is called. */
static const char *wanted_of(const struct option *o)
{
	if (o->p == NULL)
		return own_defs[o->own].metavar;
	if (o->p->metavar != NULL)
		return o->p->metavar;
	return o->p->choices != NULL ? o->p->choices : "a value";
}

/* "--name" or "--name=value". */
static int long_option(struct args *a, const char *word, struct words *rest, struct err *err)
{
	struct str name = str_of(word + 2);
	ptrdiff_t equals = str_index(name, '=');
	const char *value = "";
	struct option found;
	bool flag;
	int rc = 0;

	if (equals >= 0) {
		value = name.p + equals + 1;
		name.n = (size_t)equals;
	}
	found = find_option(a->m, name);
	if (found.p == NULL && found.own == OWN__COUNT)
		return refuse_option(a->m, name, err);
	flag = (found.p != NULL ? found.p->type : own_defs[found.own].type) == T_BOOL;
	if (equals < 0 && !flag) {
		AUTO_FREE char *typed = xstrndup(name.p, name.n);

		rc = take_value("--", typed, wanted_of(&found), rest, &value, err);
	}
	if (rc < 0)
		return rc;
	return found.p != NULL ? set_param(a, found.p, value, err)
			       : set_own(a, found.own, value, err);
}

/* "-w", "-r RELAY", "-rRELAY". */
static int short_option(struct args *a, const char *word, struct words *rest, struct err *err)
{
	const char *value = "";
	int rc = 0;

	for (int i = 0; i < OWN__COUNT; i++) {
		enum own_option o = (enum own_option)i;
		char letter[2] = { own_defs[o].letter, '\0' };

		if (letter[0] != word[1] || !own_applies(o, a->m))
			continue;
		if (own_defs[o].type != T_BOOL && word[2] != '\0')
			value = word + 2;
		else if (own_defs[o].type != T_BOOL)
			rc = take_value("-", letter, own_defs[o].metavar, rest, &value, err);
		else if (word[2] != '\0')
			break;
		return rc < 0 ? rc : set_own(a, o, value, err);
	}
	return err_param(err, ERR_INVALID, word,
			 "%s has no option %.*s; a word that begins with - stands behind --",
			 a->m->cli, ARGS_SHOWN, word);
}

static int positional(struct args *a, const char *word, struct err *err)
{
	const struct param_def *p;
	bool full = false;

	for (size_t i = 0; (p = method_param_at(a->m, i)) != NULL; i++) {
		if (!p->positional)
			continue;
		if (json_object_get(a->params, p->name) == NULL || p->type == T_STRINGS)
			return set_param(a, p, word, err);
		full = true;
	}
	if (param_of_type(a->m, T_TARGET) != NULL && full)
		return err_param(err, ERR_INVALID, "target",
				 "\"%.*s\" is one word too many; a target of several terms stands "
				 "in quotes or behind --where",
				 ARGS_SHOWN, word);
	return err_param(err, ERR_INVALID, word,
			 "%s does not take \"%.*s\"; weir help %s says what", a->m->cli, ARGS_SHOWN,
			 word, a->m->cli);
}

/* --- the whole -------------------------------------------------------------------------------- */

static int take_where(struct args *a, struct err *err)
{
	const struct param_def *p = param_of_type(a->m, T_TARGET);
	json_t *v = NULL;
	int rc;

	if (a->own[OWN_WHERE] == NULL)
		return 0;
	if (json_object_get(a->params, p->name) != NULL)
		return err_param(err, ERR_INVALID, p->name,
				 "a target and --where are two; one of them says what is meant");
	rc = args_target_value(a, p, a->own[OWN_WHERE], true, &v, err);
	if (rc >= 0)
		(void)json_object_set_new(a->params, p->name, v);
	return rc;
}

static int refuse_pair(const struct args *a, struct err *err)
{
	if (a->own[OWN_PLAN] == NULL || a->own[OWN_YES] == NULL)
		return 0;
	return err_param(err, ERR_INVALID, "plan", "--plan only looks, --yes does it: one of them");
}

static int refuse_missing(const struct args *a, const struct param_def *p, struct err *err)
{
	char name[PROTO_OPTION_LEN];
	const char *metavar = p->metavar != NULL ? p->metavar : "VALUE";

	param_option(p, name);
	if (p->type == T_TARGET)
		return err_param(err, ERR_INVALID, p->name, "%s needs %s: %s", a->m->cli, metavar,
				 target_forms());
	if (p->positional)
		return err_param(err, ERR_INVALID, p->name, "%s needs %s: %s", a->m->cli, metavar,
				 p->help);
	return err_param(err, ERR_INVALID, p->name, "%s needs --%s %s: %s", a->m->cli, name,
			 metavar, p->help);
}

/* Messages of the protocol name parameters; people typed options. */
static void name_option(const struct method_def *m, struct err *err)
{
	const struct param_def *p = err != NULL ? method_param(m, err->param) : NULL;
	char name[PROTO_OPTION_LEN];
	struct err copy;

	if (p == NULL || !str_starts(str_of(err->msg), str_of(p->name)))
		return;
	param_option(p, name);
	copy = *err;
	if (p->positional || name[0] == '\0')
		(void)err_param(err, copy.code, copy.param, "%s%s",
				p->metavar != NULL ? p->metavar : name, copy.msg + strlen(p->name));
	else
		(void)err_param(err, copy.code, copy.param, "--%s%s", name,
				copy.msg + strlen(p->name));
	err->column = copy.column;
}

static int check(struct args *a, struct err *err)
{
	bool plan_only = a->own[OWN_PLAN] != NULL;
	json_t *reason = json_object_get(a->params, "reason");
	const struct param_def *p;
	json_t *checked;
	int rc;

	for (size_t i = 0; (p = method_param_at(a->m, i)) != NULL; i++)
		if (p->required && json_object_get(a->params, p->name) == NULL)
			return refuse_missing(a, p, err);
	if (!plan_only && (a->m->flags & MF_REASON) != 0 &&
	    str_trim(str_of(reason != NULL ? json_string_value(reason) : "")).n == 0)
		return err_param(err, ERR_REASON, "reason",
				 "%s needs --reason TEXT: a few words for those who find it later",
				 a->m->cli);
	checked = json_copy(a->params);
	if (plan_only && reason == NULL)
		(void)json_object_set_new(checked, "reason", json_string("plan"));
	rc = method_check(a->m, checked, err);
	json_decref(checked);
	if (rc < 0)
		name_option(a->m, err);
	return rc;
}

static int parse_words(struct args *a, struct words rest, struct err *err)
{
	bool options = true;
	int rc = 0;

	while (rc >= 0 && rest.n > 0) {
		const char *word = rest.v[0];

		rest.v++;
		rest.n--;
		if (options && strcmp(word, "--") == 0)
			options = false;
		else if (options && str_starts(str_of(word), STR("--")))
			rc = long_option(a, word, &rest, err);
		else if (options && word[0] == '-' && word[1] != '\0')
			rc = short_option(a, word, &rest, err);
		else
			rc = positional(a, word, err);
	}
	return rc;
}

int args_read(int argc, const char *const *argv, struct args *ret, struct err *err)
{
	int rc;

	*ret = ARGS_INIT;
	if (argc < 1 || argc > ARGS_WORDS_MAX)
		return err_set(err, ERR_METHOD, "a verb is missing; weir help lists them");
	rc = find_verb(argc, argv, ret, err);
	if (rc < 0)
		return rc;
	ret->params = json_object();
	rc = parse_words(ret, (struct words){ argc - rc, argv + rc }, err);
	if (rc < 0 || ret->own[OWN_HELP] != NULL)
		return rc;
	rc = take_where(ret, err);
	return rc < 0 ? rc : refuse_pair(ret, err);
}

int args_parse(int argc, const char *const *argv, struct args *ret, struct err *err)
{
	int rc = args_read(argc, argv, ret, err);

	return rc < 0 || ret->own[OWN_HELP] != NULL ? rc : check(ret, err);
}

void args_done(struct args *a)
{
	json_decref(a->params);
	free(a->fault_text);
	*a = ARGS_INIT;
}
