/*
 * config.export: the objects in force, as text. It is written in slices; when the configuration
 * changes meanwhile it begins anew, so that the text is one that was in force.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/json.h"
#include "base/mem.h"
#include "base/obj.h"
#include "ctl/actions_int.h"
#include "ctl/config.h"
#include "ctl/config_file.h"
#include "ctl/handlers.h"

#define AT_ONCE 16 /* objects of a step */
#define TOLD_AT_ONCE ((size_t)16384)
#define BEGUN_MAX 20 /* times; then somebody edits all the time */

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

struct exporting {
	const struct ctl_env *env;
	struct buf out;
	unsigned kinds;
	int kind; /* in hand */
	size_t at;
	uint64_t generation;
	unsigned begun; /* how often */
	struct buf json;
	size_t told; /* bytes of the text that are in it */
};

static void exporting_free(void *more)
{
	struct exporting *x = more;

	buf_done(&x->out);
	buf_done(&x->json);
	free(x);
}

static void begin(struct exporting *x)
{
	x->begun++;
	x->generation = config_generation(x->env);
	x->kind = 0;
	x->at = 0;
	x->told = 0;
	buf_reset(&x->json);
	buf_reset(&x->out);
	config_file_put_head(&x->out, x->kinds);
}

static void put_one(struct exporting *x)
{
	json_t *o = object_at(x->env, (enum config_kind)x->kind, x->at++);

	if (o != NULL)
		config_file_put(&x->out, (enum config_kind)x->kind, o);
	json_decref(o);
}

/* Some more of the text as JSON: all of it at once would take too long. */
static bool tell_some(struct exporting *x, uint64_t version)
{
	struct str rest = str_from(x->out.p + x->told, x->out.n - x->told);

	if (x->told == 0)
		(void)buf_printf(&x->json, "{\"version\":%" PRIu64 ",\"text\":\"", version);
	rest.n = rest.n < TOLD_AT_ONCE ? rest.n : TOLD_AT_ONCE;
	json_put_escaped(&x->json, rest);
	x->told += rest.n;
	if (x->told < x->out.n)
		return true;
	(void)buf_puts(&x->json, "\"}");
	return false;
}

static enum slice step(void *arg)
{
	struct op *op = arg;
	struct exporting *x = op->more;

	if (ctl_is_gone(op->call))
		return SLICE_END;
	if (x->generation != config_generation(x->env)) {
		if (x->begun > BEGUN_MAX)
			return SLICE_END;
		begin(x);
	}
	for (int n = 0; n < AT_ONCE && x->kind < CONFIG_KIND__COUNT; n++) {
		bool more = (x->kinds & 1u << x->kind) != 0 &&
			    x->at < count(x->env, (enum config_kind)x->kind);
		if (more) {
			put_one(x);
			continue;
		}
		x->kind++;
		x->at = 0;
	}
	if (x->out.full || x->json.full)
		return SLICE_END;
	if (x->kind < CONFIG_KIND__COUNT)
		return SLICE_MORE;
	return tell_some(x, op->a->version) ? SLICE_MORE : SLICE_END;
}

static void on_written(void *arg)
{
	struct op *op = OBJ(op, OP_MAGIC, arg);
	const struct exporting *x = op->more;
	struct err err = ERR_INIT;

	if (x->out.full || x->json.full)
		(void)err_param(&err, ERR_LIMIT, "only",
				"all of it is more than an answer has room for (%u bytes at "
				"most); export some kinds at a time (--only)",
				PROTO_CONFIG_MAX);
	else if (x->kind < CONFIG_KIND__COUNT)
		(void)err_set(&err, ERR_CONFLICT,
			      "the configuration is edited all the time; try again");
	if (err.code != 0) {
		op_fail(op, &err);
		return;
	}
	ctl_reply_text(op->call, buf_str(&x->json));
	op_free(&op);
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
	struct exporting *x;
	struct err err = ERR_INIT;
	struct op *op;
	unsigned kinds;

	if (read_kinds(call, &kinds, &err) < 0) {
		ctl_fail(call, &err);
		return;
	}
	x = xcalloc(1, sizeof(*x));
	*x = (struct exporting){ .env = env,
				 .kinds = kinds,
				 .out = BUF_INIT(PROTO_CONFIG_MAX),
				 .json = BUF_INIT(PROTO_RESPONSE_MAX - 1000) };
	begin(x);
	op = op_new(env->actions, call, ctl_method(call));
	op->more = x;
	op->more_free = exporting_free;
	slicer_run(&op->slicer, step, on_written);
}
