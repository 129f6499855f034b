/* Differences of the configuration; how they read stands in change_text.h. */
#include "ctl/config.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "base/mem.h"
#include "ctl/actions_int.h"
#include "ctl/change_text.h"

#define PAGE 50			/* versions */
#define BYTES ((size_t)1 << 20) /* that are taken of them in one go, or a single one */
#define AT_ONCE 16		/* changes of a step */

uint64_t config_generation(const struct ctl_env *env)
{
	return env->pools_generation + env->streams_generation + env->routes_generation +
	       env->allow_generation + env->creds_generation + env->keys_generation;
}

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

json_t *config_change(const json_t *object)
{
	json_t *change;

	if (config_rules(json_get_str(object, "kind")) == NULL)
		return NULL;
	change = change_of(object);
	if (config_is_change(change))
		return change;
	json_decref(change);
	return NULL;
}

/* --- differences ------------------------------------------------------------------------------ */

void config_add(json_t *diff, const json_t *change)
{
	AUTO_FREE char *key =
		xasprintf("%s %s", json_get_str(change, "kind"), json_get_str(change, "id"));
	json_t *have = json_object_get(diff, key);

	if (have == NULL) {
		(void)json_object_set_new(diff, key, json_copy((json_t *)(uintptr_t)change));
		return;
	}
	(void)json_object_set(have, "after", json_object_get(change, "after"));
	if (json_is_true(json_object_get(change, "secret")))
		(void)json_object_set_new(have, "secret", json_true());
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

json_t *config_rows_first(const char *changes, size_t bytes, bool *ret_more)
{
	const char *at = changes;
	json_t *rows = json_array();
	json_t *one;

	*ret_more = false;
	while ((size_t)(at - changes) < bytes && (one = json_read_next(&at)) != NULL) {
		(void)json_array_append_new(rows, config_row(one));
		json_decref(one);
	}
	*ret_more = at != NULL && *at == ',';
	return rows;
}

/* --- from the store --------------------------------------------------------------------------- */

static void read_on(struct config_collect *c);

static void drop_texts(struct config_collect *c)
{
	for (size_t i = 0; i < c->texts_n; i++)
		free(c->texts[i]);
	free(c->texts);
	c->texts = NULL;
	c->texts_n = c->text = 0;
}

static int refuse_version(const struct config_collect *c, struct err *err)
{
	return err_set(err, ERR_CORRUPT, "a version above %" PRIu64 " cannot be read", c->above);
}

/* Some more changes of the versions that were read. */
static enum slice step_add(void *arg)
{
	struct config_collect *c = arg;

	for (int n = 0; n < AT_ONCE && c->text < c->texts_n; n++) {
		json_t *one;
		if (c->at == NULL)
			c->at = c->texts[c->text];
		one = json_read_next(&c->at);
		if (one != NULL) {
			config_add(c->diff, one);
			json_decref(one);
			continue;
		}
		if (c->at == NULL) {
			(void)refuse_version(c, &c->err);
			return SLICE_END;
		}
		free(c->texts[c->text]);
		c->texts[c->text++] = NULL;
		c->at = NULL;
	}
	return c->text < c->texts_n ? SLICE_MORE : SLICE_END;
}

static void on_told(void *arg)
{
	struct config_collect *c = arg;

	c->fn(c->arg, NULL);
}

static enum slice step_tell(void *arg)
{
	struct config_collect *c = arg;

	for (int n = 0; n < AT_ONCE && c->iter != NULL; n++) {
		const json_t *change = json_object_iter_value(c->iter);
		c->iter = json_object_iter_next(c->diff, c->iter);
		if (!config_is_change(change))
			continue;
		c->rows_n++;
		if (c->bytes >= CONFIG_ROWS_BYTES)
			continue;
		json_t *row = config_row(change);
		c->bytes += json_dumpb(row, NULL, 0, JSON_COMPACT);
		(void)json_array_append_new(c->rows, row);
	}
	return c->iter != NULL ? SLICE_MORE : SLICE_END;
}

static void on_added(void *arg)
{
	struct config_collect *c = arg;

	drop_texts(c);
	if (c->err.code != 0) {
		c->fn(c->arg, &c->err);
	} else if (c->more) {
		read_on(c);
	} else if (c->rows_too) {
		c->rows = json_array();
		c->iter = json_object_iter(c->diff);
		slicer_run(&c->slicer, step_tell, on_told);
	} else {
		c->fn(c->arg, NULL);
	}
}

static void on_versions(void *arg, const struct queue_version *rows, size_t n, bool more,
			const struct err *err)
{
	struct config_collect *c = arg;

	if (err != NULL)
		c->err = *err;
	else if (c->n + n > CONFIG_VERSIONS_MAX)
		(void)err_set(&c->err, ERR_LIMIT,
			      "more than %d versions lie between; ask for a shorter way",
			      CONFIG_VERSIONS_MAX);
	c->more = more;
	c->at = NULL;
	c->texts = xcalloc(n + 1, sizeof(char *));
	for (size_t i = 0, bytes = 0; c->err.code == 0 && i < n && bytes < BYTES; i++) {
		bytes += strlen(rows[i].changes);
		c->texts[c->texts_n++] = xstrdup(rows[i].changes);
		c->above = rows[i].version;
	}
	if (c->texts_n < n) { /* the others are read again: from here on no more than that */
		c->more = true;
		c->page = c->texts_n;
	}
	c->n += c->texts_n;
	slicer_run(&c->slicer, step_add, on_added);
}

static void read_on(struct config_collect *c)
{
	const struct queue_versions_query q = {
		.above = c->above, .below = c->below, .ascending = true, .limit = c->page
	};

	queue_versions(c->env->queue, &q, on_versions, c);
}

void config_collect(struct config_collect *c)
{
	c->diff = json_object();
	c->page = PAGE;
	slicer_init(&c->slicer, c->env->loop, "ctl.versions", c);
	read_on(c);
}

void config_collect_done(struct config_collect *c)
{
	struct reaper *r;

	if (c->env == NULL)
		return; /* it was never begun */
	r = c->env->actions->reaper;
	slicer_done(&c->slicer);
	drop_texts(c);
	reap_json(r, c->diff);
	reap_json(r, c->rows);
	c->diff = c->rows = NULL;
}
