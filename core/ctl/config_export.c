/* config.export: the objects in force, as text. */
#include <stdio.h>

#include "base/json.h"
#include "ctl/actions_int.h"
#include "ctl/config_file.h"
#include "ctl/handlers.h"

#define TEXT_MAX ((size_t)3 << 20) /* of an answer of PROTO_RESPONSE_MAX, with its escapes */

static size_t count(const struct ctl_env *env, enum config_kind k)
{
	switch (k) {
	case CONFIG_POOL:
		return pools_n(env->pools);
	case CONFIG_STREAM:
		return streams_n(env->streams);
	case CONFIG_ROUTE:
		return routes_n(env->routes);
	case CONFIG_ALLOW:
		return allow_n(env->allow);
	case CONFIG_CRED:
		return creds_n(env->creds);
	case CONFIG_KEY:
		return keys_n(env->keys);
	case CONFIG_KIND__COUNT:
		break;
	}
	return 0;
}

/* The first day of a plan that there is none of says nothing. */
static json_t *pool_object(const struct pool *p)
{
	json_t *o = pools_json(p);

	if (*p->warmup_text == '\0')
		(void)json_object_del(o, "warmup_from_ms");
	return o;
}

static json_t *allow_object(const struct allow_entry *e)
{
	json_t *o = allow_json(e);

	(void)json_object_set_new(
		o, "everything",
		json_boolean(e->mode == ALLOW_RELAY && ipnet_prefix(&e->net) == 0));
	return o;
}

static json_t *cred_object(const struct cred *x)
{
	json_t *o = x->revoked_ms == 0 ? creds_json(x) : NULL;

	if (o != NULL)
		(void)json_object_set_new(o, "disabled", json_boolean(x->disabled_ms != 0));
	return o;
}

static json_t *key_object(const struct key_entry *e)
{
	json_t *o = keys_json(e);

	(void)json_object_set_new(o, "id", json_string(e->id));
	return o;
}

/* Owned; NULL: it is not in the text. */
static json_t *object_at(const struct ctl_env *env, enum config_kind k, size_t i)
{
	switch (k) {
	case CONFIG_POOL:
		return pool_object(pools_at(env->pools, i));
	case CONFIG_STREAM:
		return streams_at(env->streams, i)->stored
			       ? streams_json(streams_at(env->streams, i))
			       : NULL;
	case CONFIG_ROUTE:
		return routes_json(routes_at(env->routes, i));
	case CONFIG_ALLOW:
		return allow_object(allow_at(env->allow, i));
	case CONFIG_CRED:
		return cred_object(creds_at(env->creds, i));
	case CONFIG_KEY:
		return key_object(keys_at(env->keys, i));
	case CONFIG_KIND__COUNT:
		break;
	}
	return NULL;
}

static void put_kind(const struct ctl_env *env, enum config_kind k, struct buf *out)
{
	for (size_t i = 0, n = count(env, k); i < n && !out->full; i++) {
		json_t *o = object_at(env, k, i);
		if (o != NULL)
			config_file_put(out, k, o);
		json_decref(o);
	}
}

static int read_kinds(const struct ctl_call *call, unsigned *ret_kinds, struct err *err)
{
	const json_t *only = ctl_json(call, "only");
	const json_t *one;
	size_t i;

	*ret_kinds = only == NULL ? CONFIG_ALL : 0;
	json_array_foreach(only, i, one)
	{
		unsigned more;
		int rc = config_kinds_read(str_of(json_string_value(one)), &more, err);
		if (rc < 0 && err != NULL)
			(void)snprintf(err->param, sizeof(err->param), "only");
		if (rc < 0)
			return rc;
		*ret_kinds |= more;
	}
	return 0;
}

void ctl_config_export(struct ctl_call *call)
{
	const struct ctl_env *env = ctl_env(call);
	AUTO_BUF out = BUF_INIT(TEXT_MAX);
	struct err err = ERR_INIT;
	unsigned kinds;

	if (read_kinds(call, &kinds, &err) < 0) {
		ctl_fail(call, &err);
		return;
	}
	config_file_put_head(&out, kinds);
	for (int k = 0; k < CONFIG_KIND__COUNT; k++)
		if ((kinds & 1u << k) != 0)
			put_kind(env, (enum config_kind)k, &out);
	if (out.full) {
		(void)err_param(&err, ERR_LIMIT, "only",
				"all of it would be more than %zu bytes; export some kinds at a "
				"time (--only)",
				TEXT_MAX);
		ctl_fail(call, &err);
		return;
	}
	ctl_reply(call, json_pack("{s:I, s:o}", "version", (json_int_t)env->actions->version,
				  "text", json_text(buf_str(&out))));
}
