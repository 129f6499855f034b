/*
 * dump - the tables as text: pieces of the manual (roff), the reference of the protocol, JSON.
 *
 * doc/fill puts the pieces into the pages under doc/, where a line "@verbs@" stands for one.
 */
#include <stdio.h>
#include <string.h>

#include "base/fmt.h"
#include "base/mem.h"
#include "base/utf8.h"
#include "cli/cli_int.h"
#include "filter/target.h"

#define PIECE_MAX ((size_t)1024 * 1024)

/* --- roff ------------------------------------------------------------------------------------- */

static void put_entry(struct buf *b, const char *head, const char *text)
{
	(void)buf_puts(b, ".TP\n.B ");
	fmt_put_roff(b, head);
	(void)buf_putc(b, '\n');
	fmt_put_roff(b, text);
	(void)buf_putc(b, '\n');
}

static void put_param(struct buf *b, const struct param_def *p)
{
	AUTO_FREE char *head = help_param_head(p);

	if (head != NULL)
		put_entry(b, head, p->help);
}

static void put_verbs(const struct cli_options *o, struct buf *b)
{
	const struct method_def *m;
	const struct param_def *p;

	(void)o;
	for (size_t i = 0; (m = args_verb(i)) != NULL; i++) {
		AUTO_BUF synopsis = BUF_INIT(4096);

		help_put_synopsis(&synopsis, m);
		(void)buf_puts(b, ".SS ");
		fmt_put_roff(b, m->cli);
		(void)buf_puts(b, "\n.B ");
		if (synopsis.n > 0)
			synopsis.p[synopsis.n - 1] = '\0';
		fmt_put_roff(b, buf_cstr(&synopsis));
		(void)buf_puts(b, "\n.PP\n");
		fmt_put_roff(b, m->summary);
		if (m->alias != NULL)
			(void)buf_printf(b, "\nAlso spelled\n.BR %s .", m->alias);
		if (m->role > ACCESS_VIEWER)
			(void)buf_printf(b, "\nNeeds the role %s.", access_name(m->role));
		(void)buf_putc(b, '\n');
		for (size_t k = 0; (p = method_param_at(m, k)) != NULL; k++)
			put_param(b, p);
		for (int own = 0; own < OWN__COUNT; own++)
			if (own_defs[own].place == ON_METHOD &&
			    own_applies((enum own_option)own, m)) {
				AUTO_FREE char *head = xasprintf("--%s", own_defs[own].name);

				put_entry(b, head, own_defs[own].help);
			}
	}
}

static void put_options(const struct cli_options *o, struct buf *b)
{
	(void)o;
	for (int i = 0; i < OWN__COUNT; i++) {
		const struct own_def *own = &own_defs[i];
		AUTO_FREE char *head = NULL;

		if (own->place == ON_METHOD)
			continue;
		head = own->letter != 0
			       ? xasprintf("-%c, --%s%s%s", own->letter, own->name,
					   own->metavar != NULL ? " " : "",
					   own->metavar != NULL ? own->metavar : "")
			       : xasprintf("--%s%s%s", own->name, own->metavar != NULL ? " " : "",
					   own->metavar != NULL ? own->metavar : "");
		put_entry(b, head, own->help);
	}
}

static void put_targets(const struct cli_options *o, struct buf *b)
{
	(void)o;
	fmt_put_roff(b, target_forms());
	(void)buf_puts(b, ".\n");
}

static void put_filter(const struct cli_options *o, struct buf *b)
{
	(void)o;
	for (int f = 0; f < FILTER__COUNT; f++) {
		AUTO_FREE char *text = xasprintf("%s%s; for instance %s",
						 filter_field_of(FILTER_MAIL, (enum filter_field)f)
							 ? ""
							 : "in the audit log: ",
						 filter_field_help((enum filter_field)f),
						 filter_field_example((enum filter_field)f));

		put_entry(b, filter_field_name((enum filter_field)f), text);
	}
}

/* Each status with what leads to it. */
static void put_status(const struct cli_options *o, struct buf *b)
{
	static const char *const meaning[] = { "Done.", "Refused or failed", "Wrong usage",
					       "The relay was not reached", "Not permitted" };

	(void)o;
	put_entry(b, "0", meaning[0]);
	for (int status = 1; status < (int)ARRAY_LEN(meaning); status++) {
		AUTO_BUF text = BUF_INIT(1024);
		const char *before = ": ";
		AUTO_FREE char *head = xasprintf("%d", status);

		(void)buf_puts(&text, meaning[status]);
		for (int code = 1; code < ERR__COUNT; code++)
			if (err_exit_status(code) == status) {
				(void)buf_printf(&text, "%s%s", before, err_name(code));
				before = ", ";
			}
		(void)buf_putc(&text, '.');
		put_entry(b, head, buf_cstr(&text));
	}
}

static void put_keys(const struct cli_options *o, struct buf *b)
{
	const char *keys, *help, *group;
	const char *before = "";

	if (o->app == NULL || o->app->key == NULL)
		return;
	for (size_t i = 0; o->app->key(o->app->arg, i, &keys, &help, &group); i++) {
		if (strcmp(group, before) != 0) {
			(void)buf_puts(b, ".SS ");
			fmt_put_roff(b, group);
			(void)buf_putc(b, '\n');
			before = group;
		}
		put_entry(b, keys, help);
	}
}

/* --- the protocol ----------------------------------------------------------------------------- */

static const char *const type_names[T__COUNT] = {
	[T_STRING] = "string",	     [T_BOOL] = "boolean",    [T_INT] = "integer",
	[T_AGE] = "seconds",	     [T_TIME] = "time",	      [T_ENUM] = "word",
	[T_FILTER] = "filter",	     [T_TARGET] = "target",   [T_MSGID] = "message id",
	[T_AUDIT_FILTER] = "filter", [T_NETWORK] = "network", [T_ROUTE] = "route",
	[T_CURSOR] = "cursor",	     [T_STRINGS] = "strings", [T_OBJECT] = "object",
	[T_FILE] = "text",
};

static const char *kind_name(enum field_kind k)
{
	switch (k) {
	case FK_TEXT:
		return "text";
	case FK_INT:
	case FK_COUNT:
		return "integer";
	case FK_SIZE:
		return "bytes";
	case FK_AGE:
		return "seconds";
	case FK_MS:
		return "milliseconds";
	case FK_TIME:
		return "time";
	case FK_BOOL:
		return "boolean";
	case FK_OBJECT:
		return "object or array";
	}
	return "";
}

/* Those that its flags imply, by name. */
static void put_implied(struct buf *b, const struct method_def *m)
{
	const struct param_def *p;
	size_t own = 0, n;

	while (own < PROTO_PARAMS_MAX && m->params[own].name != NULL)
		own++;
	for (n = own; (p = method_param_at(m, n)) != NULL; n++)
		(void)buf_printf(b, "%s%s", n == own ? " Takes " : ", ", p->name);
	if (n > own)
		(void)buf_putc(b, '.');
}

static void put_reference_params(struct buf *b, const struct method_def *m)
{
	for (size_t i = 0; i < PROTO_PARAMS_MAX && m->params[i].name != NULL; i++) {
		const struct param_def *p = &m->params[i];
		AUTO_FREE char *head = xasprintf("%s (%s%s)", p->name, type_names[p->type],
						 p->required ? ", required" : "");
		AUTO_FREE char *text = p->choices != NULL
					       ? xasprintf("%s One of %s.", p->help, p->choices)
					       : xstrdup(p->help);

		put_entry(b, head, text);
	}
}

static void put_field(struct buf *b, const struct field_def *f)
{
	AUTO_BUF help = BUF_INIT(PIECE_MAX);
	AUTO_FREE char *head = xasprintf("%s (%s)", f->name, kind_name(f->kind));

	field_put_help(&help, f);
	put_entry(b, head, buf_cstr(&help));
}

static void put_reference(const struct cli_options *o, struct buf *b)
{
	const char *entity = "";

	(void)o;
	(void)buf_puts(b, ".SH METHODS\n");
	for (size_t i = 0; i < M__COUNT; i++) {
		const struct method_def *m = &method_defs[i];

		(void)buf_printf(b, ".SS %s\n", m->name);
		fmt_put_roff(b, m->summary);
		(void)buf_printf(b, "\nRole: %s. Answers %s%s%s.", access_name(m->role),
				 (m->flags & MF_LIST) != 0 ? "rows of " : "", m->entity,
				 (m->flags & MF_CONFIG) != 0 ? ", and their version" : "");
		put_implied(b, m);
		(void)buf_puts(b,
			       (m->flags & MF_REASON) != 0 ? " The reason is demanded.\n" : "\n");
		put_reference_params(b, m);
	}
	(void)buf_puts(b, ".SH FIELDS\n");
	for (size_t i = 0; i < field_defs_n; i++) {
		const struct field_def *f = &field_defs[i];

		if (strcmp(f->entity, entity) != 0)
			(void)buf_printf(b, ".SS %s\n", f->entity);
		entity = f->entity;
		put_field(b, f);
	}
	(void)buf_puts(b, ".SH TOPICS\n");
	for (int t = 0; t < TOPIC__COUNT; t++)
		put_entry(b, topic_name((enum topic)t), topic_help((enum topic)t));
	(void)buf_puts(b, ".SH ERRORS\n");
	for (int code = 1; code < ERR__COUNT; code++) {
		AUTO_FREE char *head = xasprintf("%s (%d)", err_name(code), err_rpc_code(code));

		put_entry(b, head, err_text(code));
	}
}

static void put_events(const struct cli_options *o, struct buf *b)
{
	(void)o;
	for (size_t i = 0; i < field_defs_n; i++)
		if (strcmp(field_defs[i].entity, "event") == 0)
			put_field(b, &field_defs[i]);
}

/* --- JSON ------------------------------------------------------------------------------------- */

static json_t *json_of_params(const struct method_def *m)
{
	json_t *all = json_array();

	for (size_t i = 0; i < PROTO_PARAMS_MAX && m->params[i].name != NULL; i++) {
		const struct param_def *p = &m->params[i];
		char option[PROTO_OPTION_LEN];

		param_option(p, option);
		(void)json_array_append_new(
			all, json_pack("{s:s, s:s, s:b, s:b, s:s, s:s?, s:s}", "name", p->name,
				       "type", type_names[p->type], "required", p->required,
				       "positional", p->positional, "option", option, "choices",
				       p->choices, "help", p->help));
	}
	return all;
}

static json_t *json_of_method(const struct method_def *m)
{
	return json_pack("{s:s, s:s, s:s?, s:s?, s:b, s:b, s:b, s:b, s:b, s:s?, s:s, s:o}", "name",
			 m->name, "role", access_name(m->role), "verb", m->cli, "alias", m->alias,
			 "changes", (m->flags & MF_MUTATES) != 0, "reason",
			 (m->flags & MF_REASON) != 0, "plan", (m->flags & MF_PLAN) != 0, "confirm",
			 (m->flags & MF_CONFIRM) != 0, "list", (m->flags & MF_LIST) != 0, "entity",
			 m->entity, "summary", m->summary, "params", json_of_params(m));
}

static void put_json(const struct cli_options *o, struct buf *b)
{
	json_t *methods = json_array(), *verbs = json_array(), *fields = json_array();
	json_t *doc;

	(void)o;
	for (size_t i = 0; i < M__COUNT; i++)
		(void)json_array_append_new(methods, json_of_method(&method_defs[i]));
	for (size_t i = 0; i < VERB__COUNT; i++)
		(void)json_array_append_new(verbs, json_of_method(&verb_defs[i]));
	for (size_t i = 0; i < field_defs_n; i++) {
		AUTO_BUF help = BUF_INIT(PIECE_MAX);

		field_put_help(&help, &field_defs[i]);
		(void)json_array_append_new(
			fields, json_pack("{s:s, s:s, s:s, s:s}", "entity", field_defs[i].entity,
					  "name", field_defs[i].name, "kind",
					  kind_name(field_defs[i].kind), "help", buf_cstr(&help)));
	}
	doc = json_pack("{s:i, s:o, s:o, s:o}", "protocol", PROTO_VERSION, "methods", methods,
			"verbs", verbs, "fields", fields);
	out_json(&(struct out){ .utf8 = true }, b, doc);
	json_decref(doc);
}

/* --- the whole -------------------------------------------------------------------------------- */

static const struct {
	const char *name;
	void (*put)(const struct cli_options *o, struct buf *b);
} pieces[] = {
	{ "verbs", put_verbs },		{ "options", put_options }, { "targets", put_targets },
	{ "filter", put_filter },	{ "status", put_status },   { "keys", put_keys },
	{ "reference", put_reference }, { "events", put_events },   { "json", put_json },
};

int cli_dump(const struct cli_options *o, const char *what)
{
	AUTO_BUF b = BUF_INIT(PIECE_MAX);
	struct out out = { .utf8 = true };

	for (size_t i = 0; i < ARRAY_LEN(pieces); i++) {
		if (strcmp(pieces[i].name, what) != 0)
			continue;
		pieces[i].put(o, &b);
		return out_flush(&out, &b) ? 0 : 1;
	}
	(void)buf_printf(&b, "weir: --dump-tables cannot be \"%.60s\"; it is one of", what);
	for (size_t i = 0; i < ARRAY_LEN(pieces); i++)
		(void)buf_printf(&b, "%s %s", i > 0 ? "," : "", pieces[i].name);
	(void)fprintf(stderr, "%s\n", buf_cstr(&b));
	return err_exit_status(ERR_INVALID);
}
