/*
 * Differences of the configuration, and how they read. The text of a change goes through the fields
 * of whatever object it is, so that a new kind reads like the others without a line of code.
 */
#include "ctl/config.h"

#include <stdlib.h>
#include <string.h>

#include "base/fmt.h"
#include "base/json.h"
#include "base/mem.h"
#include "ctl/actions_audit.h"

#define PAGE 500
#define VALUE_COLS 120		 /* bytes of one value in a text */
#define TIMES_FROM 1000000000000 /* milliseconds: larger ones are times */

/* --- changes ---------------------------------------------------------------------------------- */

static bool both_or_none(const json_t *a, const json_t *b)
{
	if (json_is_null(a) || json_is_null(b) || a == NULL || b == NULL)
		return (a == NULL || json_is_null(a)) && (b == NULL || json_is_null(b));
	return json_equal(a, b);
}

bool config_is_change(const json_t *change)
{
	return json_is_true(json_object_get(change, "secret")) ||
	       !both_or_none(json_object_get(change, "before"), json_object_get(change, "after"));
}

/* Deeper ones have a name beside them that is no secret, and changes with them. */
static bool secret_changed(const char *const *secrets, const json_t *before, const json_t *after)
{
	for (; json_is_object(before) && json_is_object(after) && *secrets != NULL; secrets++)
		if (!both_or_none(json_object_get(before, *secrets),
				  json_object_get(after, *secrets)))
			return true;
	return false;
}

static json_t *change_of(const json_t *object)
{
	const char *kind = json_get_str(object, "kind");
	const json_t *before = json_object_get(object, "before");
	const json_t *after = json_object_get(object, "after");
	const char *const *secrets = object_secrets(kind);

	return json_pack("{s:s, s:s, s:o, s:o, s:b}", "kind", kind, "id",
			 json_get_str(object, "id"), "before", audit_without(secrets, before),
			 "after", audit_without(secrets, after), "secret",
			 secret_changed(secrets, before, after));
}

json_t *config_changes(const json_t *objects)
{
	json_t *list = NULL, *change;
	const json_t *o;
	size_t i;

	json_array_foreach(objects, i, o)
	{
		if (config_rules(json_get_str(o, "kind")) == NULL)
			continue;
		change = change_of(o);
		if (!config_is_change(change)) {
			json_decref(change);
			continue;
		}
		if (list == NULL)
			list = json_array();
		(void)json_array_append_new(list, change);
	}
	return list;
}

/* --- differences ------------------------------------------------------------------------------ */

void config_add(json_t *diff, const json_t *changes)
{
	const json_t *one;
	size_t i;

	json_array_foreach(changes, i, one)
	{
		AUTO_FREE char *key =
			xasprintf("%s %s", json_get_str(one, "kind"), json_get_str(one, "id"));
		json_t *have = json_object_get(diff, key);

		if (have == NULL) {
			(void)json_object_set_new(diff, key, json_copy((json_t *)(uintptr_t)one));
			continue;
		}
		(void)json_object_set(have, "after", json_object_get(one, "after"));
		if (json_is_true(json_object_get(one, "secret")))
			(void)json_object_set_new(have, "secret", json_true());
	}
}

json_t *config_rows(const json_t *diff)
{
	json_t *rows = json_array();
	const char *key;
	json_t *change;

	json_object_foreach((json_t *)(uintptr_t)diff, key, change)
	{
		if (config_is_change(change))
			(void)json_array_append_new(rows, config_row(change));
	}
	return rows;
}

/* --- texts ------------------------------------------------------------------------------------ */

static bool ends_with(const char *s, const char *end)
{
	size_t n = strlen(s), k = strlen(end);

	return n >= k && strcmp(s + n - k, end) == 0;
}

/* What says who and when is in the version. */
static bool is_silent(const char *name)
{
	static const char *const names[] = { "id", "by", "created_ms" };

	for (size_t i = 0; i < ARRAY_LEN(names); i++)
		if (strcmp(names[i], name) == 0)
			return true;
	return false;
}

static bool is_empty(const json_t *v)
{
	if (json_is_string(v))
		return json_string_length(v) == 0;
	if (json_is_integer(v))
		return json_integer_value(v) == 0;
	return v == NULL || json_is_null(v) || json_is_false(v) ||
	       (json_is_array(v) && json_array_size(v) == 0) ||
	       (json_is_object(v) && json_object_size(v) == 0);
}

static void put_text(struct buf *out, const char *text)
{
	bool quote = *text == '\0' || strpbrk(text, " ,\"") != NULL;
	size_t n = strlen(text);

	(void)buf_printf(out, quote ? "\"%.*s%s\"" : "%.*s%s", VALUE_COLS, text,
			 n > VALUE_COLS ? "..." : "");
}

static void put_value(struct buf *out, const char *name, const json_t *v)
{
	char when[FMT_TIME_LEN];
	size_t i;
	json_t *one;

	if (json_is_string(v)) {
		put_text(out, json_string_value(v));
	} else if (json_is_array(v)) {
		json_array_foreach(v, i, one)
		{
			if (i > 0)
				(void)buf_putc(out, ',');
			put_value(out, name, one);
		}
		if (json_array_size(v) == 0)
			(void)buf_puts(out, "none");
	} else if (json_is_integer(v) && ends_with(name, "_ms") &&
		   json_integer_value(v) >= TIMES_FROM) {
		fmt_time(json_integer_value(v), when);
		(void)buf_puts(out, when);
	} else if (is_empty(v)) {
		(void)buf_puts(out, "none");
	} else {
		AUTO_FREE char *text = json_dumps(v, JSON_COMPACT | JSON_ENCODE_ANY);
		(void)buf_printf(out, "%.*s", VALUE_COLS, text);
	}
}

static void put_name(struct buf *out, const char *name)
{
	size_t n = strlen(name);

	if (ends_with(name, "_ms") || ends_with(name, "_at"))
		n -= 3;
	(void)buf_printf(out, "%s%.*s", out->n > 0 ? ", " : "", (int)n, name);
}

static void put_whole(struct buf *out, const char *id, const json_t *object)
{
	const char *name;
	json_t *v;

	json_object_foreach((json_t *)(uintptr_t)object, name, v)
	{
		if (is_silent(name) || is_empty(v) || strcmp(name, "place") == 0 ||
		    (json_is_string(v) && strcmp(json_string_value(v), id) == 0))
			continue;
		put_name(out, name);
		(void)buf_putc(out, ' ');
		put_value(out, name, v);
	}
}

static void put_field(struct buf *out, const char *name, const json_t *before, const json_t *after)
{
	if (is_silent(name) || both_or_none(before, after) || (is_empty(before) && is_empty(after)))
		return;
	put_name(out, name);
	if (strcmp(name, "place") == 0) {
		(void)buf_puts(out, json_number_value(after) < json_number_value(before)
					    ? " earlier"
					    : " later");
		return;
	}
	(void)buf_putc(out, ' ');
	put_value(out, name, before);
	(void)buf_puts(out, " -> ");
	put_value(out, name, after);
}

static void put_difference(struct buf *out, const json_t *before, const json_t *after)
{
	const char *name;
	json_t *v;

	json_object_foreach((json_t *)(uintptr_t)before, name, v)
		put_field(out, name, v, json_object_get(after, name));
	json_object_foreach((json_t *)(uintptr_t)after, name, v)
	{
		if (json_object_get(before, name) == NULL)
			put_field(out, name, NULL, v);
	}
}

json_t *config_row(const json_t *change)
{
	AUTO_BUF text = BUF_INIT(CONFIG_TEXT_MAX);
	const json_t *before = json_object_get(change, "before");
	const json_t *after = json_object_get(change, "after");
	const char *id = json_get_str(change, "id");
	const char *op = !json_is_object(before) ? "+" : !json_is_object(after) ? "-" : "~";

	if (*op == '~')
		put_difference(&text, before, after);
	else
		put_whole(&text, id, *op == '+' ? after : before);
	if (json_is_true(json_object_get(change, "secret")))
		(void)buf_printf(&text, "%sanother secret", text.n > 0 ? ", " : "");
	return json_pack("{s:s, s:s, s:s, s:o, s:O?, s:O?}", "op", op, "kind",
			 json_get_str(change, "kind"), "id", id, "text", json_text(buf_str(&text)),
			 "before", before, "after", after);
}

/* --- from the store --------------------------------------------------------------------------- */

static void read_on(struct config_collect *c);

static void on_versions(void *arg, const struct queue_version *rows, size_t n, bool more,
			const struct err *err)
{
	struct config_collect *c = arg;
	struct err wrong = ERR_INIT;

	if (err == NULL && (c->n += n) > CONFIG_VERSIONS_MAX) {
		(void)err_set(&wrong, ERR_LIMIT,
			      "more than %d versions lie between; ask for a shorter way",
			      CONFIG_VERSIONS_MAX);
		err = &wrong;
	}
	for (size_t i = 0; err == NULL && i < n; i++) {
		json_t *changes = json_loads(rows[i].changes, 0, NULL);
		if (!json_is_array(changes)) {
			(void)err_set(&wrong, ERR_CORRUPT, "version %llu cannot be read",
				      (unsigned long long)rows[i].version);
			err = &wrong;
		}
		config_add(c->diff, changes);
		json_decref(changes);
		c->above = rows[i].version;
	}
	if (err == NULL && more)
		read_on(c);
	else
		c->fn(c->arg, err);
}

static void read_on(struct config_collect *c)
{
	const struct queue_versions_query q = {
		.above = c->above, .below = c->below, .ascending = true, .limit = PAGE
	};

	queue_versions(c->env->queue, &q, on_versions, c);
}

void config_collect(struct config_collect *c)
{
	c->diff = json_object();
	read_on(c);
}

void config_collect_done(struct config_collect *c)
{
	json_decref(c->diff);
	c->diff = NULL;
}
