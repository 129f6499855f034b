/* help - usage from the tables. */
#include <string.h>

#include "base/mem.h"
#include "cli/cli_int.h"
#include "filter/target.h"

#define VERB_COLS 18
#define OPTION_COLS 30
#define HELP_MAX ((size_t)256 * 1024)
#define TERM_COLS 14

static const char *metavar_of(const struct param_def *p)
{
	if (p->metavar != NULL)
		return p->metavar;
	return p->choices != NULL ? p->choices : p->type == T_INT ? "N" : "VALUE";
}

static bool is_demanded(const struct method_def *m, const struct param_def *p)
{
	return p->required || ((m->flags & MF_REASON) != 0 && strcmp(p->name, "reason") == 0);
}

/* --- one verb --------------------------------------------------------------------------------- */

void help_put_synopsis(struct buf *b, const struct method_def *m)
{
	const struct param_def *p;
	char name[PROTO_OPTION_LEN];

	(void)buf_printf(b, "weir %s", m->cli);
	for (size_t i = 0; (p = method_param_at(m, i)) != NULL; i++) {
		bool demanded = is_demanded(m, p);

		param_option(p, name);
		if (p->positional)
			(void)buf_printf(b, demanded ? " %s%s" : " [%s%s]", metavar_of(p),
					 p->type == T_STRINGS ? "…" : "");
		else if (name[0] != '\0' && p->type == T_BOOL)
			(void)buf_printf(b, " [--%s]", name);
		else if (name[0] != '\0')
			(void)buf_printf(b, demanded ? " --%s %s" : " [--%s %s]", name,
					 metavar_of(p));
	}
	for (int i = 0; i < OWN__COUNT; i++) {
		const struct own_def *o = &own_defs[i];

		if (o->place == ON_ALL || !own_applies((enum own_option)i, m))
			continue;
		(void)buf_printf(b, o->metavar != NULL ? " [--%s %s]" : " [--%s%s]", o->name,
				 o->metavar != NULL ? o->metavar : "");
	}
	(void)buf_putc(b, '\n');
}

static void put_option(struct buf *b, const char *left, const char *help)
{
	(void)buf_printf(b, "  %-*s %s\n", OPTION_COLS, left, help);
}

char *help_param_head(const struct param_def *p)
{
	char name[PROTO_OPTION_LEN];

	param_option(p, name);
	if (p->positional)
		return xstrdup(metavar_of(p));
	if (name[0] == '\0')
		return NULL;
	return p->type == T_BOOL ? xasprintf("--%s", name)
				 : xasprintf("--%s %s", name, metavar_of(p));
}

static void put_param(struct buf *b, const struct param_def *p)
{
	AUTO_FREE char *left = help_param_head(p);

	if (left != NULL)
		put_option(b, left, p->help);
}

static void put_own(struct buf *b, const struct own_def *o)
{
	AUTO_FREE char *left =
		xasprintf("%s%c%s--%s%s%s", o->letter != 0 ? "-" : "",
			  o->letter != 0 ? o->letter : ' ', o->letter != 0 ? ", " : "", o->name,
			  o->metavar != NULL ? " " : "", o->metavar != NULL ? o->metavar : "");

	put_option(b, o->letter != 0 ? left : left + 1, o->help);
}

void help_put_verb(struct buf *b, const struct method_def *m)
{
	const struct param_def *p;

	(void)buf_puts(b, "usage: ");
	help_put_synopsis(b, m);
	(void)buf_printf(b, "\n%s\n", m->summary);
	if (m->alias != NULL)
		(void)buf_printf(b, "Also spelled: %s\n", m->alias);
	if (m->role > ACCESS_VIEWER)
		(void)buf_printf(b, "Needs the role %s.\n", access_name(m->role));
	(void)buf_putc(b, '\n');
	for (size_t i = 0; (p = method_param_at(m, i)) != NULL; i++)
		put_param(b, p);
	for (int i = 0; i < OWN__COUNT; i++)
		if (own_applies((enum own_option)i, m))
			put_own(b, &own_defs[i]);
	for (size_t i = 0; (p = method_param_at(m, i)) != NULL; i++) {
		if (p->type == T_TARGET)
			(void)buf_printf(b, "\nA target is %s; see weir help targets.\n",
					 target_forms());
		if (p->type == T_TARGET || p->type == T_FILTER) {
			(void)buf_printf(b, "%sFilters: see weir help filter.\n",
					 p->type == T_FILTER ? "\n" : "");
			break;
		}
	}
}

/* --- all of them ------------------------------------------------------------------------------ */

void help_put_verbs(struct buf *b)
{
	const struct method_def *m;

	for (size_t i = 0; (m = args_verb(i)) != NULL; i++)
		(void)buf_printf(b, "  %-*s %s\n", VERB_COLS, m->cli, m->summary);
}

bool cli_verbs(struct buf *out)
{
	help_put_verbs(out);
	return !out->full;
}

static void put_targets(struct buf *b)
{
	(void)buf_printf(b, "A target is %s.\n\n", target_forms());
	(void)buf_puts(
		b, "  domain:gmail.com          all mail for a recipient domain\n"
		   "  provider:google.com       all domains whose mail exchangers are one site\n"
		   "  stream:marketing          a stream\n"
		   "  credential:crm            what a credential submitted\n"
		   "  sender:bob@example.org    an envelope sender\n"
		   "  id:0N4XK2M8QF             one message; id:0N4XK2M8QF/2 one recipient of it\n"
		   "  all                       everything\n"
		   "  --where FILTER            whatever a filter finds; see weir help filter\n");
}

static void put_fields(struct buf *b, enum filter_about about)
{
	for (int f = 0; f < FILTER__COUNT; f++)
		if (filter_field_of(about, (enum filter_field)f))
			(void)buf_printf(b, "  %-*s %s\n  %-*s   %s\n", TERM_COLS,
					 filter_field_name((enum filter_field)f),
					 filter_field_help((enum filter_field)f), TERM_COLS, "",
					 filter_field_example((enum filter_field)f));
}

static void put_filter(struct buf *b)
{
	(void)buf_puts(
		b,
		"A filter is terms with spaces between them, all of which must match. or, not\n"
		"(or a leading -) and parentheses combine. A term is FIELD:VALUE, or FIELD with\n"
		"= != < <= > >= and a value. * is a wildcard, commas separate several values,\n"
		"quotes are for spaces; a word alone searches sender, recipient, subject and id.\n"
		"\n");
	put_fields(b, FILTER_MAIL);
	(void)buf_puts(b,
		       "\nIn the audit log a word alone searches who, method, target, reason and "
		       "result:\n\n");
	put_fields(b, FILTER_AUDIT);
}

static const struct {
	const char *name;
	void (*put)(struct buf *b);
} topics[] = {
	{ "targets", put_targets },
	{ "target", put_targets },
	{ "filter", put_filter },
	{ "filters", put_filter },
};

static void put_overview(struct buf *b)
{
	(void)buf_puts(
		b,
		"usage: weir [-r RELAY] [--json] VERB …     without a verb the console opens\n\n");
	help_put_verbs(b);
	(void)buf_puts(
		b, "\nweir help VERB says what a verb takes; also: weir help targets, weir help "
		   "filter.\n");
}

int verb_help(struct cli *c, const struct args *a, struct err *err)
{
	AUTO_BUF b = BUF_INIT(HELP_MAX);
	AUTO_BUF words = BUF_INIT(HELP_MAX);
	const json_t *verb = json_object_get(a->params, "verb");
	const struct method_def *m = NULL;
	const json_t *word;
	size_t i;

	json_array_foreach(verb, i, word)(void)
		buf_printf(&words, "%s%s", i > 0 ? " " : "", json_string_value(word));
	for (i = 0; i < ARRAY_LEN(topics) && b.n == 0; i++)
		if (strcmp(topics[i].name, buf_cstr(&words)) == 0)
			topics[i].put(&b);
	if (words.n == 0)
		put_overview(&b);
	else if (b.n == 0)
		m = args_verb_find(buf_cstr(&words));
	if (m != NULL)
		help_put_verb(&b, m);
	if (b.n == 0) { /* the first word of several verbs */
		AUTO_FREE char *prefix = xasprintf("%s ", buf_cstr(&words));

		for (i = 0; (m = args_verb(i)) != NULL; i++)
			if (str_starts(str_of(m->cli), str_of(prefix)))
				(void)buf_printf(&b, "  %-*s %s\n", VERB_COLS, m->cli, m->summary);
	}
	if (b.n == 0)
		return err_param(err, ERR_METHOD, "verb", "no verb \"%.60s\"; weir help lists them",
				 buf_cstr(&words));
	cli_print(c, &b);
	return 0;
}
