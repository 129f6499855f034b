#include "lib/reply_schema.h"

#include <stdlib.h>
#include <string.h>

#include "base/fmt.h"
#include "base/mem.h"

/* Objects and arrays whose parts are rows of another entity. */
static const struct {
	const char *entity;
	const char *field;
	const char *rows;
} inner[] = {
	{ "status", "attention", "attention" },	   { "status", "sinks", "sink" },
	{ "detail", "recipients", "message" },	   { "detail", "attempts", "attempt" },
	{ "plan", "sample", "message" },	   { "attempt", "phases", "phases" },
	{ "attempt", "transcript", "spoken" },	   { "action", "hold", "hold" },
	{ "dkim_show", "records", "dkim_record" }, { "cred", "users", "cred_user" },
	{ "cred", "secrets", "cred_secret" },
};

static const char *inner_of(const struct field_def *f)
{
	for (size_t i = 0; i < ARRAY_LEN(inner); i++)
		if (strcmp(inner[i].entity, f->entity) == 0 && strcmp(inner[i].field, f->name) == 0)
			return inner[i].rows;
	return NULL;
}

static bool fits(enum field_kind kind, const json_t *v)
{
	int64_t ms;

	switch (kind) {
	case FK_TEXT:
		return json_is_string(v);
	case FK_INT:
		return json_is_integer(v);
	case FK_COUNT:
	case FK_SIZE:
	case FK_AGE:
	case FK_MS:
		return json_is_integer(v) && json_integer_value(v) >= 0;
	case FK_TIME:
		return json_is_string(v) && fmt_parse_time(str_of(json_string_value(v)), &ms);
	case FK_BOOL:
		return json_is_boolean(v);
	case FK_OBJECT:
		return json_is_object(v) || json_is_array(v);
	}
	return false;
}

/* The endings that INTERFACES.md promises. */
static bool named_well(const struct field_def *f)
{
	static const struct {
		enum field_kind kind;
		const char *ending;
	} endings[] = { { FK_AGE, "_s" }, { FK_MS, "_ms" } };

	for (size_t i = 0; i < ARRAY_LEN(endings); i++)
		if (f->kind == endings[i].kind &&
		    !str_ends_nocase(str_of(f->name), str_of(endings[i].ending)))
			return false;
	return true;
}

static char *check_inner(const char *entity, const json_t *v)
{
	size_t i;
	json_t *row;
	if (json_is_object(v))
		return reply_schema_object(entity, NULL, v);
	json_array_foreach(v, i, row)
	{
		char *wrong = reply_schema_object(entity, NULL, row);
		if (wrong != NULL)
			return wrong;
	}
	return NULL;
}

static char *check_field(const struct field_def *f, const json_t *v)
{
	if (!named_well(f))
		return xasprintf("%s.%s has the wrong ending for its kind", f->entity, f->name);
	if (json_is_null(v))
		return NULL;
	if (!fits(f->kind, v)) {
		AUTO_FREE char *text = json_dumps(v, JSON_ENCODE_ANY);
		return xasprintf("%s.%s is %.80s", f->entity, f->name, text);
	}
	return inner_of(f) != NULL ? check_inner(inner_of(f), v) : NULL;
}

/* Rows of attention are rows of queue with something more. */
static const struct field_def *find(const char *entity, const char *key, const char *name)
{
	const struct field_def *f;

	if (key != NULL && strcmp(name, key) == 0)
		return field_find(entity, "domain");
	f = field_find(entity, name);
	if (f == NULL && strcmp(entity, "attention") == 0)
		f = field_find("queue", name);
	return f;
}

char *reply_schema_object(const char *entity, const char *key, const json_t *object)
{
	const char *name;
	json_t *v;

	if (!json_is_object(object))
		return xasprintf("%s is no object", entity);
	json_object_foreach((json_t *)(uintptr_t)object, name, v)
	{
		const struct field_def *f = find(entity, key, name);
		char *wrong;
		if (f == NULL)
			return xasprintf("%s has an unknown field %s", entity, name);
		wrong = check_field(f, v);
		if (wrong != NULL)
			return wrong;
	}
	for (size_t i = 0; i < field_defs_n; i++) {
		const struct field_def *f = &field_defs[i];
		bool grouped = key != NULL && strcmp(f->name, "domain") == 0;
		if (strcmp(f->entity, entity) == 0 && (f->flags & FF_HIDE) == 0 &&
		    f->kind != FK_OBJECT &&
		    json_object_get(object, grouped ? key : f->name) == NULL)
			return xasprintf("%s has no field %s", entity, grouped ? key : f->name);
	}
	return NULL;
}

static char *check_list(const struct method_def *m, const char *key, const json_t *result)
{
	const json_t *rows = json_object_get(result, "rows");
	const json_t *next = json_object_get(result, "next");
	const json_t *prev = json_object_get(result, "prev");
	bool config = (m->flags & MF_CONFIG) != 0;
	size_t i;
	json_t *row;

	if (!json_is_array(rows))
		return xasprintf("%s: no rows", m->name);
	if (!(json_is_string(next) || json_is_null(next)) ||
	    !(json_is_string(prev) || json_is_null(prev)))
		return xasprintf("%s: next and prev are cursors or null", m->name);
	if (!json_is_integer(json_object_get(result, "total")) ||
	    !json_is_boolean(json_object_get(result, "exact")) ||
	    json_is_integer(json_object_get(result, "version")) != config ||
	    json_object_size(result) != (config ? 6u : 5u))
		return xasprintf("%s: a list has rows next prev total exact%s", m->name,
				 config ? " version" : "");
	json_array_foreach(rows, i, row)
	{
		char *wrong = reply_schema_object(m->entity, key, row);
		if (wrong != NULL)
			return wrong;
	}
	return NULL;
}

char *reply_schema_check(const struct method_def *m, const json_t *params, const json_t *result)
{
	const char *by = json_string_value(json_object_get(params, "by"));
	const char *key = NULL;

	if (strcmp(m->entity, "queue") == 0)
		key = by != NULL ? by : "domain";
	if ((m->flags & MF_LIST) != 0)
		return check_list(m, key, result);
	return reply_schema_object(m->entity, key, result);
}
