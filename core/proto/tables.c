#include <string.h>

#include "base/mem.h"
#include "proto/proto.h"

const struct method_def method_defs[M__COUNT] = {
#define METHOD(id, fn, ...) [M_##id] = { __VA_ARGS__ },
#include "proto/methods.def"
#undef METHOD
};

const struct field_def field_defs[] = {
#define FIELD(name_of_entity, ...) { .entity = name_of_entity, __VA_ARGS__ },
#include "proto/fields.def"
#undef FIELD
};
const size_t field_defs_n = ARRAY_LEN(field_defs);

static const struct {
	const char *name;
	const char *help;
} topics[TOPIC__COUNT] = {
#define TOPIC(id, name, help) [TOPIC_##id] = { name, help },
#include "proto/topics.def"
#undef TOPIC
};

static const char *const access_names[ACCESS__COUNT] = {
	[ACCESS_NONE] = "none",
	[ACCESS_VIEWER] = "viewer",
	[ACCESS_OPERATOR] = "operator",
	[ACCESS_ADMIN] = "admin",
};

/* What methods with a flag take beside their own parameters, in the order of method_param_at(). */
#define PROBATION_MAX_S 86400
static const struct {
	unsigned flag;
	struct param_def param;
} implied[] = {
	{ MF_MUTATES,
	  { .name = "reason",
	    .type = T_STRING,
	    .metavar = "TEXT",
	    .help = "Why; kept in the journal." } },
	{ MF_PROBATION,
	  { .name = "probation_s",
	    .type = T_AGE,
	    .min = 0,
	    .max = PROBATION_MAX_S,
	    .metavar = "AGE",
	    .help = "The relay takes it back by itself unless config confirm comes within this "
		    "time; 0: it stays." } },
	{ MF_EDIT,
	  { .name = "base",
	    .type = T_INT,
	    .min = 1,
	    .max = INT64_MAX,
	    .metavar = "VERSION",
	    .help = "Only if nobody changed the same since this version of the configuration." } },
	{ MF_MUTATES,
	  { .name = "request",
	    .option = "",
	    .type = T_STRING,
	    .help = "A client-made id; a repetition does not act again." } },
};

const char *access_name(enum access r)
{
	return access_names[r];
}

enum access access_from_name(const char *name)
{
	for (int i = 1; i < ACCESS__COUNT; i++)
		if (strcmp(access_names[i], name) == 0)
			return (enum access)i;
	return ACCESS_NONE;
}

const struct method_def *method_find(const char *name)
{
	for (size_t i = 0; i < M__COUNT; i++)
		if (strcmp(method_defs[i].name, name) == 0)
			return &method_defs[i];
	return NULL;
}

const struct param_def *method_param_at(const struct method_def *m, size_t n)
{
	size_t own = 0;

	while (own < PROTO_PARAMS_MAX && m->params[own].name != NULL)
		own++;
	if (n < own)
		return &m->params[n];
	n -= own;
	for (size_t i = 0; i < ARRAY_LEN(implied); i++)
		if ((m->flags & implied[i].flag) != 0 && n-- == 0)
			return &implied[i].param;
	return NULL;
}

const struct param_def *method_param(const struct method_def *m, const char *name)
{
	const struct param_def *p;

	for (size_t i = 0; (p = method_param_at(m, i)) != NULL; i++)
		if (strcmp(p->name, name) == 0)
			return p;
	return NULL;
}

void param_option(const struct param_def *p, char ret[static PROTO_OPTION_LEN])
{
	struct str name = str_of(p->option != NULL ? p->option : p->name);
	size_t i;

	if (p->option == NULL && str_ends_nocase(name, STR("_s")))
		name.n -= 2;
	for (i = 0; i < name.n && i + 1 < PROTO_OPTION_LEN; i++)
		ret[i] = name.p[i] == '_' ? '-' : name.p[i];
	ret[i] = '\0';
}

const struct param_def *method_option(const struct method_def *m, struct str option)
{
	const struct param_def *p;
	char name[PROTO_OPTION_LEN];

	for (size_t i = 0; (p = method_param_at(m, i)) != NULL; i++) {
		param_option(p, name);
		if ((name[0] != '\0' && str_eq(str_of(name), option)) ||
		    (p->alias != NULL && str_eq(str_of(p->alias), option)))
			return p;
	}
	return NULL;
}

const struct field_def *field_find(const char *entity, const char *name)
{
	for (size_t i = 0; i < field_defs_n; i++)
		if (strcmp(field_defs[i].entity, entity) == 0 &&
		    strcmp(field_defs[i].name, name) == 0)
			return &field_defs[i];
	return NULL;
}

void field_put_help(struct buf *b, const struct field_def *f)
{
	const char *const meanings[][2] = { { "empty", f->empty },
					    { "0", f->zero },
					    { "null", f->null } };

	(void)buf_puts(b, f->help);
	for (size_t i = 0; i < ARRAY_LEN(meanings); i++)
		if (meanings[i][1] != NULL)
			(void)buf_printf(b, "; %s: %s", meanings[i][0], meanings[i][1]);
}

const char *topic_name(enum topic t)
{
	return topics[t].name;
}

const char *topic_help(enum topic t)
{
	return topics[t].help;
}

int topic_from_name(const char *name)
{
	for (int i = 0; i < TOPIC__COUNT; i++)
		if (strcmp(topics[i].name, name) == 0)
			return i;
	return -1;
}
