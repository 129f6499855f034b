/* Differences of the configuration; how they read stands in change_text.h. */
#include "ctl/config.h"

#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "base/mem.h"
#include "ctl/actions_audit.h"
#include "ctl/change_text.h"

#define PAGE 500

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

json_t *config_row(const json_t *change)
{
	AUTO_BUF text = BUF_INIT(CONFIG_TEXT_MAX);
	const json_t *before = json_object_get(change, "before");
	const json_t *after = json_object_get(change, "after");
	const char *id = json_get_str(change, "id");
	const char *op = !json_is_object(before) ? "+" : !json_is_object(after) ? "-" : "~";

	change_text_put(&text, json_get_str(change, "kind"), id, before, after);
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
