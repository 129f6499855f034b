/* Forms made from the method table: their fields, and what stands in them as parameters. */
#include <stdlib.h>
#include <string.h>

#include "args/args.h"
#include "base/mem.h"
#include "base/obj.h"
#include "view/act_int.h"
#include "view/cells.h"

static enum form_kind kind_of(enum param_type type)
{
	switch (type) {
	case T_BOOL:
		return FORM_BOOL;
	case T_INT:
		return FORM_NUMBER;
	case T_AGE:
		return FORM_AGE;
	case T_ENUM:
		return FORM_CHOICE;
	case T_STRING:
	case T_TIME:
	case T_FILTER:
	case T_AUDIT_FILTER:
	case T_TARGET:
	case T_MSGID:
	case T_NETWORK:
	case T_ROUTE:
	case T_FILE:
	case T_CURSOR:
	case T_STRINGS:
	case T_OBJECT:
	case T__COUNT:
		return FORM_TEXT;
	}
	return FORM_TEXT;
}

/* What a form asks for; what the rest is for stands in it, or is no line. */
static bool is_field(const struct param_def *p)
{
	static const char *const elsewhere[] = {
		"reset",  /* what is emptied says it */
		"reason", /* the commit's */
		"base",	  /* what the form was filled from says it */
	};
	bool hidden = p->option != NULL && *p->option == '\0' && !p->positional;

	for (size_t i = 0; i < ARRAY_LEN(elsewhere); i++)
		hidden = hidden || strcmp(p->name, elsewhere[i]) == 0;
	return p->type != T_FILE && p->type != T_CURSOR && !hidden;
}

int act_n_fields(const struct method_def *m)
{
	const struct param_def *p;
	int n = 0;

	for (size_t i = 0; (p = method_param_at(m, i)) != NULL; i++)
		n += is_field(p) ? 1 : 0;
	return n;
}

bool act_has_form(const struct act *a)
{
	const struct param_def *p;

	for (size_t i = 0; (p = method_param_at(&method_defs[a->method], i)) != NULL; i++)
		if (is_field(p) && !p->positional)
			return true;
	return false;
}

/* What is not said stays as it is. */
static bool keeps_unsaid(const struct method_def *m)
{
	return str_ends_nocase(str_of(m->name), STR(".set"));
}

static bool in_list(const json_t *list, const char *name)
{
	const json_t *one;
	size_t i;

	json_array_foreach(list, i, one) if (strcmp(json_string_value(one), name) == 0) return true;
	return false;
}

/* What is known of it already: as it was filled in before, or as it is. */
static const json_t *known_of(const struct act *a, const struct param_def *p)
{
	const json_t *v = json_object_get(a->params, p->name);

	if (v == NULL && keeps_unsaid(&method_defs[a->method]) &&
	    !in_list(json_object_get(a->params, "reset"), p->name))
		v = json_object_get(a->given, p->name);
	return v;
}

/* As its field shows it; owned. */
static char *value_text(const struct param_def *p, const json_t *v)
{
	struct buf out = BUF_INIT(PROTO_REQUEST_MAX);

	if (json_is_true(v))
		return xstrdup("true");
	proto_put_value(&out, p, v);
	return buf_take(&out);
}

static void begin_with(struct act *a, const struct param_def *p, struct form_field *f)
{
	const json_t *v = known_of(a, p);

	if (v != NULL && !json_is_false(v))
		f->initial = act_keep(a, value_text(p, v));
}

/* Sets *ret_same when the field says what it said when that was all that there is; what cannot
 * stand in a line is not in either. */
static int touched(const struct act *a, const struct param_def *p, struct str text, bool *ret_same,
		   struct err *err)
{
	const json_t *given = json_object_get(a->given, p->name);
	AUTO_FREE char *was = NULL;
	struct prompt line;

	*ret_same = false;
	if (given == NULL || p->required || !keeps_unsaid(&method_defs[a->method]))
		return 0;
	was = value_text(p, given);
	prompt_init(&line, NULL);
	prompt_set(&line, str_of(was));
	*ret_same = str_eq(prompt_text(&line), text);
	prompt_done(&line);
	if (!*ret_same && text.n > 0 && strlen(was) >= PROMPT_MAX)
		return err_param(err, ERR_LIMIT, p->name,
				 "it is too long to be changed in a line: in a shell, weir %s",
				 method_defs[a->method].cli);
	return 0;
}

/* With what fits, where that is a choice of texts. */
static const char *help_of(struct act *a, const struct param_def *p)
{
	if (p->type != T_ROUTE || p->metavar == NULL)
		return p->help;
	return act_keep(a, xasprintf("%s %s", p->help, p->metavar));
}

static int make_fields(struct act *a)
{
	const struct method_def *m = &method_defs[a->method];
	const struct param_def *p;
	int n = 0;

	for (size_t k = 0; (p = method_param_at(m, k)) != NULL; k++) {
		struct form_field *f = &a->fields[n];
		char title[PROTO_OPTION_LEN];

		if (!is_field(p))
			continue;
		param_option(p, title);
		*f = (struct form_field){ .name = p->name,
					  .title = act_keep(
						  a, xstrdup(*title != '\0' ? title : p->name)),
					  .help = help_of(a, p),
					  .kind = kind_of(p->type),
					  .required = p->required };
		begin_with(a, p, f);
		if (p->type == T_FILTER || p->type == T_TARGET)
			f->complete = filter_prompt_complete;
		if (p->type == T_ENUM) {
			struct str rest = str_of(p->choices);

			for (size_t i = 0; rest.n > 0 && i + 1 < ARRAY_LEN(a->choices[n]); i++) {
				struct str word = str_cut(&rest, '|');

				a->choices[n][i] = act_keep(a, xstrndup(word.p, word.n));
			}
			f->choices = a->choices[n];
		}
		n++;
	}
	return n;
}

/* As the command line reads it; what is not so stands in no parameter. */
static int put_typed(json_t *params, const struct param_def *p, struct str text, struct err *err)
{
	AUTO_FREE char *typed = xstrndup(text.p, text.n);
	struct args a = ARGS_INIT;
	json_t *v = NULL;
	int rc = args_value(&a, p, typed, &v, err);

	args_done(&a);
	if (rc >= 0 && v == NULL)
		rc = err_param(err, ERR_INVALID, p->name, "it is not %s",
			       p->type == T_OBJECT ? "a JSON object" : "UTF-8 text");
	if (rc < 0 || json_is_false(v))
		json_decref(v);
	else
		(void)json_object_set_new(params, p->name, v);
	return rc;
}

/* "a, b" is typed by hand: blanks around a comma mean nothing. */
static void trim_strings(json_t *params, const struct param_def *p)
{
	json_t *list = json_object_get(params, p->name);
	size_t i = 0;

	if (p->type != T_STRINGS)
		return;
	while (i < json_array_size(list)) {
		const json_t *v = json_array_get(list, i);
		struct str one = str_trim(str_from(json_string_value(v), json_string_length(v)));

		if (one.n == 0)
			(void)json_array_remove(list, i);
		else
			(void)json_array_set_new(list, i++, json_stringn(one.p, one.n));
	}
}

/* What is said of a field takes the place of its reset, which another form may have left. */
static void drop_reset(json_t *params, const char *name)
{
	json_t *list = json_object_get(params, "reset");
	size_t i = 0;

	while (i < json_array_size(list)) {
		if (strcmp(json_string_value(json_array_get(list, i)), name) == 0)
			(void)json_array_remove(list, i);
		else
			i++;
	}
	if (list != NULL && json_array_size(list) == 0)
		(void)json_object_del(params, "reset");
}

/* What was said of what is no field goes on as it is. */
static json_t *begin_params(const struct act *a)
{
	json_t *params = json_object();
	const char *name;
	json_t *v;

	json_object_foreach(a->params, name, v)
	{
		const struct param_def *p = method_param(&method_defs[a->method], name);
		if (p == NULL || !is_field(p))
			(void)json_object_set_new(params, name, json_deep_copy(v));
	}
	return params;
}

/* Nothing stands where something stood: it is to go. */
static int put_emptied(const struct method_def *m, json_t *params, const struct param_def *p,
		       const json_t *given, struct err *err)
{
	bool texts = p->type == T_STRING || p->type == T_FILTER;
	json_t *gone = NULL;

	if (given == NULL || (json_is_array(given) && json_array_size(given) == 0) || p->required)
		return 0;
	if (method_param(m, "reset") != NULL)
		gone = json_string(p->name);
	else if (p->type == T_STRINGS || (p->type == T_INT && p->min == 0))
		gone = p->type == T_INT ? json_integer(0) : json_array();
	else if (texts && keeps_unsaid(m))
		gone = json_string("");
	else if (keeps_unsaid(m))
		return err_param(err, ERR_INVALID, p->name, "it cannot be left empty");
	if (gone == NULL)
		return 0;
	if (method_param(m, "reset") == NULL)
		(void)json_object_set_new(params, p->name, gone);
	else if (json_object_get(params, "reset") != NULL)
		(void)json_array_append_new(json_object_get(params, "reset"), gone);
	else
		(void)json_object_set_new(params, "reset", json_pack("[o]", gone));
	return 0;
}

/* What is wrong with it stands at its field; a plan takes the place of the form. */
static void on_planned(void *arg, const json_t *plan, const struct err *err)
{
	struct act *a = OBJ(act, ACT_MAGIC, arg);
	struct shell *s = a->acts->app->shell;
	struct overlay_id form = a->overlay;

	a->call = 0;
	if (a->left) {
		act_left(a, plan);
		return;
	}
	if (plan == NULL) {
		shell_overlay_error(s, form, err);
		return;
	}
	a->overlay.v = 0;
	shell_overlay_done(s, form);
	act_planned(a, plan);
}

/* And so does the answer to what only reads. */
static void on_read(void *arg, const json_t *answer, const struct err *err)
{
	struct act *a = OBJ(act, ACT_MAGIC, arg);
	struct shell *s = a->acts->app->shell;

	a->call = 0;
	if (answer == NULL) {
		shell_overlay_error(s, a->overlay, err);
		return;
	}
	shell_overlay_done(s, a->overlay);
	act_show_answer(a, answer);
	act_free(&a);
}

static void ask_relay(struct act *a)
{
	const struct method_def *m = &method_defs[a->method];

	if ((m->flags & MF_PLAN) != 0)
		a->call = rpc_call(a->acts->app->rpc, "plan.make",
				   json_pack("{s:s, s:O}", "method", m->name, "params", a->params),
				   on_planned, a);
	else
		a->call = rpc_call(a->acts->app->rpc, m->name, json_incref(a->params), on_read, a);
}

int act_complete(const struct method_def *m, json_t *params, struct err *err)
{
	bool later = (m->flags & MF_MUTATES) != 0 && !js_has(params, "reason");
	int result;

	if (later)
		(void)json_object_set_new(params, "reason", json_string("not asked for yet"));
	result = method_check(m, params, err);
	if (later)
		(void)json_object_del(params, "reason");
	return result;
}

/* What stands in its field, as it goes into params. */
static int put_field(const struct act *a, json_t *params, const struct param_def *p,
		     struct str text, struct err *err)
{
	const json_t *given = json_object_get(a->given, p->name);
	bool same;
	int result = touched(a, p, text, &same, err);

	if (result < 0)
		return result;
	if (text.n > 0 || given != NULL)
		drop_reset(params, p->name);
	if (same)
		return 0;
	if (text.n == 0)
		return put_emptied(&method_defs[a->method], params, p, given, err);
	result = put_typed(params, p, text, err);
	trim_strings(params, p);
	return result;
}

static int on_form(void *arg, const struct form *form, struct err *err)
{
	struct act *a = OBJ(act, ACT_MAGIC, arg);
	const struct method_def *m = &method_defs[a->method];
	json_t *params = begin_params(a);
	int result = 0;

	for (int i = 0; result >= 0 && a->fields[i].name != NULL; i++) {
		const struct param_def *p = method_param(m, a->fields[i].name);

		result = put_field(a, params, p, form_value(form, p->name), err);
	}
	if (result >= 0)
		result = act_complete(m, params, err);
	if (result >= 0)
		result = act_linked(a->acts, err);
	if (result < 0) {
		json_decref(params);
		return result;
	}
	act_take_params(a, params);
	if ((m->flags & (MF_MUTATES | MF_PLAN)) == MF_MUTATES) {
		act_ask(a); /* the form goes when this returns */
		return 0;
	}
	ask_relay(a);
	return SHELL_WAIT;
}

/* Nothing of it has been sent that changes anything. */
static void on_form_left(void *arg)
{
	act_leave(OBJ(act, ACT_MAGIC, arg));
}

void act_form_again(struct acts *acts, enum method_id method, json_t *params, json_t *given)
{
	struct act *a = act_new(acts, method, params);
	AUTO_FREE char *verb = act_verb(method);
	int n;

	a->given = given;
	n = make_fields(a);
	a->overlay = shell_form(
		acts->app->shell,
		&(struct shell_form){ .title = verb,
				      .text = method_defs[method].summary,
				      .fields = a->fields,
				      .n = n,
				      .danger = (method_defs[method].flags & MF_MUTATES) != 0,
				      .enter = on_form,
				      .cancel = on_form_left,
				      .arg = a });
	if (a->overlay.v == 0)
		act_free(&a);
}

json_t *act_settings(enum method_id method, const json_t *row)
{
	const struct method_def *m = &method_defs[method];
	json_t *params = json_object();

	for (size_t i = 0; i < PROTO_PARAMS_MAX && m->params[i].name != NULL; i++) {
		json_t *v = json_object_get(row, m->params[i].name);
		if (v != NULL && !json_is_null(v) && m->params[i].type != T_FILE)
			(void)json_object_set(params, m->params[i].name, v);
	}
	return params;
}

void act_form(struct acts *acts, enum method_id method, json_t *given)
{
	act_form_again(acts, method, given, given != NULL ? json_deep_copy(given) : NULL);
}

void act_edit(struct acts *acts, enum method_id method, json_t *settings, int64_t version)
{
	if (version > 0)
		(void)json_object_set_new(settings, "base", json_integer(version));
	act_form(acts, method, settings);
}
