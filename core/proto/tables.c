#include <string.h>

#include "base/mem.h"
#include "proto/proto.h"

const struct method_def method_defs[M__COUNT] = {
#define METHOD(id, fn, ...) [M_##id] = { __VA_ARGS__ },
#include "proto/methods.def"
#undef METHOD
};

const struct field_def field_defs[] = {
#define FIELD(entity, name, kind, title, width, priority, flags, help)                             \
	{ entity, name, kind, title, width, priority, flags, help },
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

/* What methods with a flag take beside their own parameters. */
static const struct param_def edit_params[] = {
	{ .name = "base",
	  .type = T_INT,
	  .min = 1,
	  .max = INT64_MAX,
	  .metavar = "VERSION",
	  .help = "Only if nobody changed the same since this version of the configuration." },
};
#define PROBATION_MAX_S 86400
static const struct param_def probation_params[] = {
	{ .name = "probation_s",
	  .type = T_AGE,
	  .min = 0,
	  .max = PROBATION_MAX_S,
	  .metavar = "AGE",
	  .help = "The relay takes it back by itself unless config confirm comes within this time; "
		  "0: it stays." },
};
static const struct param_def implied_params[] = {
	{ .name = "reason",
	  .type = T_STRING,
	  .metavar = "TEXT",
	  .help = "Why; kept in the journal." },
	{ .name = "request",
	  .option = "",
	  .type = T_STRING,
	  .help = "A client-made id; a repetition does not act again." },
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

static const struct {
	unsigned flag;
	const struct param_def *params;
	size_t n;
} implied[] = {
	{ MF_MUTATES, implied_params, ARRAY_LEN(implied_params) },
	{ MF_EDIT, edit_params, ARRAY_LEN(edit_params) },
	{ MF_PROBATION, probation_params, ARRAY_LEN(probation_params) },
};

const struct param_def *method_param(const struct method_def *m, const char *name)
{
	for (size_t i = 0; i < PROTO_PARAMS_MAX && m->params[i].name != NULL; i++)
		if (strcmp(m->params[i].name, name) == 0)
			return &m->params[i];
	for (size_t k = 0; k < ARRAY_LEN(implied); k++)
		for (size_t i = 0; (m->flags & implied[k].flag) != 0 && i < implied[k].n; i++)
			if (strcmp(implied[k].params[i].name, name) == 0)
				return &implied[k].params[i];
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
