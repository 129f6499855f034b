/*
 * cred.import: credentials as cred.export has them, without secrets. Each is new, different or the
 * same; what is not in the file stays as it is, and so does what is not said of one. A new one has
 * no secret until it is rotated. All of it is one change.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/fmt.h"
#include "base/mem.h"
#include "base/obj.h"
#include "ctl/actions_rules.h"
#include "ctl/cred_bounds.h"
#include "ctl/handlers.h"
#include "ctl/stream_env.h"

#define IMPORT_MAX 1000 /* credentials of one file */

struct importing {
	struct op *op;
	int64_t now_ms;
	size_t added;
	size_t changed;
	size_t same;
};

/* --- what stands in the file ------------------------------------------------------------------ */

static bool is_texts(const json_t *v)
{
	for (size_t i = 0; i < json_array_size(v); i++)
		if (!json_is_string(json_array_get(v, i)))
			return false;
	return json_is_array(v) || json_is_null(v);
}

static bool is_text(const json_t *v)
{
	return (json_is_string(v) && json_string_length(v) <= PROTO_STRING_MAX) || json_is_null(v);
}

static bool is_limit(const json_t *v)
{
	return json_is_null(v) || (json_is_integer(v) && json_integer_value(v) >= 0 &&
				   json_integer_value(v) <= CRED_LIMIT_TOP);
}

static bool is_time(const json_t *v)
{
	int64_t ms;

	return json_is_null(v) ||
	       (json_is_string(v) && fmt_parse_time(str_of(json_string_value(v)), &ms));
}

static bool is_bool(const json_t *v)
{
	return json_is_boolean(v);
}

static const struct member {
	const char *name;
	bool (*fits)(const json_t *v);
	const char *what;
} members[] = {
	{ "name", is_text, "a text" },
	{ "note", is_text, "a text or null" },
	{ "senders", is_texts, "an array of texts" },
	{ "networks", is_texts, "an array of texts" },
	{ "streams", is_texts, "an array of texts" },
	{ "per_minute", is_limit, "a number or null" },
	{ "per_day", is_limit, "a number or null" },
	{ "recipients_max", is_limit, "a number or null" },
	{ "expires_at", is_time, "a time such as \"2026-11-24T03:12:07Z\", or null" },
	{ "disabled", is_bool, "true or false" },
};

static int check_members(const json_t *row, size_t number, struct err *err)
{
	const char *key;
	json_t *v;

	if (!json_is_object(row))
		return err_param(err, ERR_INVALID, "text", "credential %zu is no object", number);
	json_object_foreach((json_t *)(uintptr_t)row, key, v)
	{
		size_t i = 0;
		while (i < ARRAY_LEN(members) && strcmp(members[i].name, key) != 0)
			i++;
		if (i == ARRAY_LEN(members))
			return err_param(err, ERR_INVALID, "text",
					 "credential %zu: there is no member %.40s", number, key);
		if (!members[i].fits(v))
			return err_param(err, ERR_INVALID, "text", "credential %zu: %s is %s",
					 number, key, members[i].what);
	}
	return cred_name_check(str_of(json_string_value(json_object_get(row, "name"))), err);
}

/* As cred_bounds_put() takes it: null is no bound. Owned. */
static json_t *bounds_of(const json_t *row)
{
	json_t *params = json_object();

	for (size_t i = 0; i < ARRAY_LEN(members); i++) {
		json_t *v = json_object_get(row, members[i].name);
		if (v == NULL || members[i].fits == is_time || members[i].fits == is_bool)
			continue;
		if (!json_is_null(v))
			(void)json_object_set(params, members[i].name, v);
		else if (members[i].fits == is_texts)
			(void)json_object_set_new(params, members[i].name, json_array());
		else if (members[i].fits == is_limit)
			(void)json_object_set_new(params, members[i].name, json_integer(0));
		else
			(void)json_object_set_new(params, members[i].name, json_string(""));
	}
	return params;
}

static void put_times(const json_t *row, int64_t now_ms, json_t *cred)
{
	const json_t *disabled = json_object_get(row, "disabled");
	const json_t *expires = json_object_get(row, "expires_at");
	int64_t ms = 0;

	if (expires != NULL) {
		if (json_is_string(expires))
			(void)fmt_parse_time(str_of(json_string_value(expires)), &ms);
		(void)json_object_set_new(cred, "expires_ms", json_integer(ms));
	}
	if (disabled != NULL && json_is_true(disabled) != (json_get_int(cred, "disabled_ms") != 0))
		(void)json_object_set_new(cred, "disabled_ms",
					  json_integer(json_is_true(disabled) ? now_ms : 0));
}

/* --- one by one ------------------------------------------------------------------------------- */

json_t *cred_empty(const struct op *op, const char *name, int64_t now_ms)
{
	AUTO_FREE char *by = xstrdup(op->who->user);
	AUTO_FREE char *own = xstrdup(name);
	struct cred x = { .name = own, .note = (char[]){ "" }, .by = by, .created_ms = now_ms };

	creds_salt(op->env->creds, str_of(name), x.salt);
	return creds_json(&x);
}

static int import_one(struct importing *im, const json_t *row, struct err *err)
{
	const struct ctl_env *env = im->op->env;
	const char *name = json_get_str(row, "name");
	const struct cred *x = creds_find(env->creds, str_of(name));
	json_t *before = x != NULL ? creds_json(x) : NULL;
	json_t *after = x != NULL ? creds_json(x) : cred_empty(im->op, name, im->now_ms);
	json_t *params = bounds_of(row);
	int rc = cred_bounds_put(after, params, env->streams, im->now_ms, err);

	json_decref(params);
	put_times(row, im->now_ms, after);
	if (rc >= 0 && before != NULL && json_equal(before, after)) {
		im->same++;
		json_decref(before);
		json_decref(after);
		return 0;
	}
	if (rc >= 0)
		rc = op_lock(im->op, "cred", name, err);
	if (rc < 0) {
		json_decref(before);
		json_decref(after);
		return err_prefix(err, "%.64s", name);
	}
	im->added += before == NULL;
	im->changed += before != NULL;
	op_object(im->op, "cred", name, before, after);
	return 0;
}

/* A name that stands there twice would be taken from the wrong one of both. */
static int check_twice(const json_t *rows, size_t i, struct err *err)
{
	const char *name = json_get_str(json_array_get(rows, i), "name");

	for (size_t k = 0; k < i; k++)
		if (strcmp(json_get_str(json_array_get(rows, k), "name"), name) == 0)
			return err_param(err, ERR_INVALID, "text", "%.64s is there twice", name);
	return 0;
}

static int import_all(struct importing *im, const json_t *rows, struct err *err)
{
	int rc = 0;

	if (!json_is_array(rows) || json_array_size(rows) > IMPORT_MAX)
		return err_param(err, ERR_INVALID, "text",
				 "an array of up to %d credentials, as weir cred export prints it",
				 IMPORT_MAX);
	for (size_t i = 0; rc >= 0 && i < json_array_size(rows); i++) {
		const json_t *row = json_array_get(rows, i);
		rc = check_members(row, i + 1, err);
		if (rc >= 0)
			rc = check_twice(rows, i, err);
		if (rc >= 0)
			rc = import_one(im, row, err);
		if (rc < 0 && err != NULL)
			(void)snprintf(err->param, sizeof(err->param), "text");
	}
	if (rc >= 0 && im->added + im->changed == 0)
		rc = err_set(err, ERR_STATE, "that is how they are already: %zu credentials",
			     im->same);
	if (rc >= 0 && creds_n(im->op->env->creds) + im->added > CREDS_MAX)
		rc = err_set(err, ERR_LIMIT, "there would be more than %d credentials", CREDS_MAX);
	return rc;
}

void ctl_cred_import(struct ctl_call *call)
{
	struct ctl_env *env = ctl_env(call);
	const char *text = ctl_str(call, "text");
	struct importing im = { .op = rule_op(call, "credentials of a file"),
				.now_ms = loop_wall_ms(env->loop) };
	struct err err = ERR_INIT;
	json_error_t where;
	json_t *rows = json_loads(text, JSON_REJECT_DUPLICATES, &where);
	int rc = rows != NULL ? import_all(&im, rows, &err)
			      : err_param(&err, ERR_INVALID, "text", "line %d, column %d: %s",
					  where.line, where.column, where.text);

	json_decref(rows);
	if (rc < 0) {
		op_fail(im.op, &err);
		return;
	}
	op_begin(im.op, true);
	if (im.added > 0)
		rule_warn(im.op, xasprintf("%zu of them %s new, and can be used when weir cred "
					   "rotate has given %s a secret",
					   im.added, im.added == 1 ? "is" : "are",
					   im.added == 1 ? "it" : "each"));
	rule_store(im.op);
}
