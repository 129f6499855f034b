#include "args/complete.h"

#include <string.h>

#include "base/mem.h"
#include "args/args.h"
#include "filter/filter_complete.h"

struct complete {
	const struct complete_source *source;
	const char *typed;  /* the unfinished word */
	const char *prefix; /* what stands before the value in it: "--where=", "domain:" */
	const char *value;  /* the rest of it */
};

/* Values that only the relay knows: of which parameter, and where they are listed. */
static const struct {
	enum method_id of;
	const char *param;
	enum method_id list;
	const char *field;
} known_values[] = {
	{ M_QUEUE_RELEASE, "hold", M_HOLD_LIST, "id" },
	{ M_QUEUE_RELEASE, "target", M_HOLD_LIST, "target" },
	{ M_ROUTE_REMOVE, "id", M_ROUTE_LIST, "id" },
	{ M_ROUTE_MOVE, "id", M_ROUTE_LIST, "id" },
	{ M_ROUTE_MOVE, "before", M_ROUTE_LIST, "id" },
	{ M_ROUTE_ADD, "before", M_ROUTE_LIST, "id" },
	{ M_ALLOW_REMOVE, "network", M_ALLOW_LIST, "network" },
	{ M_CRED_SHOW, "name", M_CRED_LIST, "name" },
	{ M_CRED_SET, "name", M_CRED_LIST, "name" },
	{ M_CRED_ROTATE, "name", M_CRED_LIST, "name" },
	{ M_CRED_RETIRE, "name", M_CRED_LIST, "name" },
	{ M_CRED_INCIDENT, "name", M_CRED_LIST, "name" },
	{ M_CRED_DISABLE, "name", M_CRED_LIST, "name" },
	{ M_CRED_ENABLE, "name", M_CRED_LIST, "name" },
	{ M_CRED_REVOKE, "name", M_CRED_LIST, "name" },
	{ M_CRED_UNBLOCK, "network", M_CRED_BLOCKED, "network" },
	{ M_ACTION_UNDO, "action", M_ACTION_LIST, "action" },
};

/* Fields of filters and targets whose values are groups of the queue. */
static const struct {
	const char *word;
	const char *by;
} grouped[] = {
	{ "domain:", "domain" }, { "provider:", "provider" },	  { "stream:", "stream" },
	{ "sender:", "sender" }, { "credential:", "credential" },
};

/* --- offering --------------------------------------------------------------------------------- */

static void offer(struct complete *c, const char *prefix, const char *value, const char *help,
		  bool more)
{
	AUTO_FREE char *word = xasprintf("%s%s", prefix, value);

	if (str_starts(str_of(word), str_of(c->typed)))
		c->source->offer(c->source->arg, word, help != NULL ? help : "", more);
}

void complete_known(struct complete *c, const char *value, const char *help)
{
	offer(c, c->prefix, value, help, false);
}

static void offer_choices(struct complete *c, const char *choices)
{
	struct str rest = str_of(choices);

	while (rest.n > 0) {
		struct str one = str_cut(&rest, '|');
		AUTO_FREE char *word = xstrndup(one.p, one.n);

		offer(c, c->prefix, word, "", false);
	}
}

/* --- values ----------------------------------------------------------------------------------- */

static bool is_plain(const char *s)
{
	return strspn(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._@+=-") ==
	       strlen(s);
}

/* The groups of the queue whose name begins as the value does; `before` stays in front. */
static void offer_groups(struct complete *c, const char *by, const char *before, const char *value)
{
	AUTO_FREE char *prefix = xasprintf("%s%s", c->prefix, before);
	AUTO_FREE char *where = *value != '\0' && is_plain(value) && strcmp(by, "sender") != 0
					? xasprintf("%s:%s*", by, value)
					: NULL;
	struct complete inner = *c;

	if (c->source->list == NULL)
		return;
	inner.prefix = prefix;
	inner.value = value;
	c->source->list(c->source->arg, &inner, M_QUEUE_LIST, by, by, where);
}

static void offer_targets(struct complete *c)
{
	static const struct {
		const char *word;
		const char *help;
	} forms[] = {
		{ "domain:", "a recipient domain" },
		{ "provider:", "domains of one site" },
		{ "stream:", "a stream" },
		{ "credential:", "what it submitted" },
		{ "sender:", "an envelope sender" },
		{ "id:", "one message" },
		{ "all", "everything" },
	};

	for (size_t i = 0; i < ARRAY_LEN(grouped); i++)
		if (str_starts(str_of(c->value), str_of(grouped[i].word))) {
			offer_groups(c, grouped[i].by, grouped[i].word,
				     c->value + strlen(grouped[i].word));
			return;
		}
	for (size_t i = 0; i < ARRAY_LEN(forms); i++)
		offer(c, c->prefix, forms[i].word, forms[i].help,
		      strcmp(forms[i].word, "all") != 0);
}

static void offer_filters(struct complete *c, enum filter_about about)
{
	struct filter_completion f;
	AUTO_FREE char *before = NULL;

	filter_complete(about, str_of(c->value), strlen(c->value), &f);
	before = xasprintf("%s%.*s", c->prefix, (int)f.from, c->value);
	for (size_t i = 0; i < f.n; i++) {
		size_t n = strlen(f.items[i].text);

		offer(c, before, f.items[i].text, f.items[i].help,
		      n > 0 && strchr(":=<>", f.items[i].text[n - 1]) != NULL);
	}
	for (size_t i = 0; f.field != FILTER__COUNT && i < ARRAY_LEN(grouped); i++)
		if (strcmp(filter_field_name(f.field), grouped[i].by) == 0) {
			/* up to the value itself, which may be one of several with commas */
			size_t at = (size_t)(f.partial.p - c->value);
			AUTO_FREE char *head = xstrndup(c->value, at);
			AUTO_FREE char *partial = xstrndup(f.partial.p, f.partial.n);

			offer_groups(c, grouped[i].by, head, partial);
		}
}

static void offer_routes(struct complete *c)
{
	static const char *const words[] = { "mx", "hold", "reject", "discard" };

	for (size_t i = 0; i < ARRAY_LEN(words); i++)
		offer(c, c->prefix, words[i], "", false);
	offer(c, c->prefix, "smarthost:", "HOST or HOST:PORT", true);
}

static void offer_ages(struct complete *c)
{
	static const char *const words[] = { "10m", "30m", "1h", "4h", "12h", "1d", "7d" };

	for (size_t i = 0; i < ARRAY_LEN(words); i++)
		offer(c, c->prefix, words[i], "", false);
}

static void offer_by_type(struct complete *c, enum param_type type, const char *choices)
{
	switch (type) {
	case T_ENUM:
		offer_choices(c, choices);
		break;
	case T_TARGET:
		offer_targets(c);
		break;
	case T_FILTER:
		offer_filters(c, FILTER_MAIL);
		break;
	case T_AUDIT_FILTER:
		offer_filters(c, FILTER_AUDIT);
		break;
	case T_ROUTE:
		offer_routes(c);
		break;
	case T_AGE:
		offer_ages(c);
		break;
	case T_STRING:
	case T_BOOL:
	case T_INT:
	case T_TIME:
	case T_MSGID:
	case T_NETWORK:
	case T_CURSOR:
	case T_FILE:
	case T_STRINGS:
	case T_OBJECT:
	case T__COUNT:
		break;
	}
}

static void offer_values(struct complete *c, const struct method_def *m, const struct param_def *p)
{
	const struct method_def *verb;

	offer_by_type(c, p->type, p->choices);
	for (size_t i = 0; i < ARRAY_LEN(known_values); i++)
		if (c->source->list != NULL && m == &method_defs[known_values[i].of] &&
		    strcmp(p->name, known_values[i].param) == 0)
			c->source->list(c->source->arg, c, known_values[i].list,
					known_values[i].field, NULL, NULL);
	if (m != &verb_defs[VERB_HELP])
		return;
	for (size_t i = 0; (verb = args_verb(i)) != NULL; i++)
		if (strchr(verb->cli, ' ') == NULL)
			offer(c, c->prefix, verb->cli, verb->summary, false);
}

/* --- options ---------------------------------------------------------------------------------- */

static bool is_given(const char *const *words, size_t n, const char *name)
{
	AUTO_FREE char *plain = xasprintf("--%s", name);
	AUTO_FREE char *valued = xasprintf("--%s=", name);

	for (size_t i = 0; i < n; i++)
		if (strcmp(words[i], plain) == 0 || str_starts(str_of(words[i]), str_of(valued)))
			return true;
	return false;
}

static void offer_options(struct complete *c, const struct method_def *m, const char *const *words,
			  size_t n)
{
	const struct param_def *p;
	char name[PROTO_OPTION_LEN];

	for (size_t i = 0; (p = method_param_at(m, i)) != NULL; i++) {
		param_option(p, name);
		if (name[0] != '\0' && !p->positional && !is_given(words, n, name)) {
			AUTO_FREE char *word = xasprintf("--%s", name);

			offer(c, "", word, p->help, false);
		}
	}
	for (int i = 0; i < OWN__COUNT; i++)
		if (own_applies((enum own_option)i, m) && !is_given(words, n, own_defs[i].name)) {
			AUTO_FREE char *word = xasprintf("--%s", own_defs[i].name);

			offer(c, "", word, own_defs[i].help, false);
		}
}

/* The parameter or own option that "--name" or "-x" means; false when it takes no value. */
struct wanted {
	const struct param_def *p;
	const struct own_def *own;
};

static bool wants_value(const struct method_def *m, struct str word, struct wanted *ret)
{
	bool is_long = str_starts(word, STR("--"));

	*ret = (struct wanted){ NULL, NULL };
	if (word.n < 2 || word.p[0] != '-')
		return false;
	if (m != NULL && is_long)
		ret->p = method_option(m, str_from(word.p + 2, word.n - 2));
	if (ret->p != NULL && ret->p->type == T_BOOL)
		ret->p = NULL;
	for (int i = 0; i < OWN__COUNT; i++) {
		const struct own_def *o = &own_defs[i];
		bool applies = m != NULL ? own_applies((enum own_option)i, m) : o->place == ON_ALL;
		bool named = is_long ? str_eq(str_of(o->name), str_from(word.p + 2, word.n - 2))
				     : o->letter != 0 && word.n == 2 && word.p[1] == o->letter;

		if (applies && named && o->type != T_BOOL)
			ret->own = o;
	}
	return ret->p != NULL || ret->own != NULL;
}

static void offer_wanted(struct complete *c, const struct method_def *m, const struct wanted *w)
{
	if (w->p != NULL)
		offer_values(c, m, w->p);
	else if (w->own == &own_defs[OWN_RELAY] && c->source->relays != NULL)
		c->source->relays(c->source->arg, c);
	else
		offer_by_type(c, w->own->type, NULL);
}

/* --- words ------------------------------------------------------------------------------------ */

/* Verbs, or their second words behind `first`. */
static void offer_verbs(struct complete *c, const char *first)
{
	AUTO_FREE char *prefix = first != NULL ? xasprintf("%s ", first) : xstrdup("");
	const struct method_def *m;
	char before[PROTO_OPTION_LEN] = "";

	for (size_t i = 0; (m = args_verb(i)) != NULL; i++) {
		const char *rest = m->cli + strlen(prefix);
		size_t n;
		AUTO_FREE char *word = NULL;

		if (!str_starts(str_of(m->cli), str_of(prefix)))
			continue;
		n = strcspn(rest, " ");
		word = xstrndup(rest, n);
		if (strcmp(word, before) != 0) /* those of one first word stand together */
			offer(c, "", word, rest[n] == ' ' ? "" : m->summary, false);
		if (n < sizeof(before))
			memcpy(before, word, n + 1);
	}
	if (first == NULL)
		for (size_t i = 0; i < M__COUNT; i++)
			if (method_defs[i].alias != NULL)
				offer(c, "", method_defs[i].alias, method_defs[i].summary, false);
}

static void offer_positional(struct complete *c, const struct method_def *m,
			     const char *const *words, size_t n)
{
	const struct param_def *p;
	struct wanted w;
	size_t taken = 0, k = 0;

	for (size_t i = 0; i < n; i++) {
		if (words[i][0] != '-')
			taken++;
		else if (wants_value(m, str_of(words[i]), &w))
			i++;
	}
	for (size_t i = 0; (p = method_param_at(m, i)) != NULL; i++)
		if (p->positional && k++ == taken)
			offer_values(c, m, p);
}

/* words: behind the verb, without the unfinished one. */
static void complete_verb(struct complete *c, const struct method_def *m, const char *const *words,
			  size_t n)
{
	ptrdiff_t equals = str_index(str_of(c->typed), '=');
	struct wanted w;

	if (n > 0 && wants_value(m, str_of(words[n - 1]), &w)) {
		offer_wanted(c, m, &w);
	} else if (equals > 0 && str_starts(str_of(c->typed), STR("--")) &&
		   wants_value(m, str_from(c->typed, (size_t)equals), &w)) {
		AUTO_FREE char *prefix = xstrndup(c->typed, (size_t)equals + 1);

		c->prefix = prefix;
		c->value = c->typed + equals + 1;
		offer_wanted(c, m, &w);
	} else if (c->typed[0] == '-') {
		offer_options(c, m, words, n);
	} else {
		offer_positional(c, m, words, n);
	}
}

/* Options before the verb. */
static void offer_globals(struct complete *c)
{
	for (int i = 0; i < OWN__COUNT; i++)
		if (own_defs[i].place == ON_ALL) {
			AUTO_FREE char *word = xasprintf("--%s", own_defs[i].name);

			offer(c, "", word, own_defs[i].help, false);
		}
}

void complete_words(size_t n, const char *const *words, const struct complete_source *source)
{
	struct complete c = { .source = source, .prefix = "" };
	const struct method_def *m = NULL;
	struct wanted w;
	size_t i = 0;

	c.typed = n > 0 ? words[n - 1] : "";
	c.value = c.typed;
	n = n > 0 ? n - 1 : 0;
	for (; i < n && words[i][0] == '-'; i++)
		if (wants_value(NULL, str_of(words[i]), &w) && ++i == n) {
			offer_wanted(&c, NULL, &w);
			return;
		}
	if (i >= n && c.typed[0] == '-') {
		offer_globals(&c);
	} else if (i >= n) {
		offer_verbs(&c, NULL);
	} else {
		AUTO_FREE char *both =
			i + 1 < n ? xasprintf("%s %s", words[i], words[i + 1]) : NULL;

		m = both != NULL ? args_verb_find(both) : NULL;
		i += m != NULL ? 2 : 1;
		if (m == NULL)
			m = args_verb_find(words[i - 1]);
		if (m != NULL)
			complete_verb(&c, m, words + i, n - i);
		else if (i == n)
			offer_verbs(&c, words[i - 1]);
	}
}
