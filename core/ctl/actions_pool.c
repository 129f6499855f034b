/*
 * Changes of pools: objects without a set, in force when they are on disk.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/obj.h"
#include "ctl/actions_rules.h"
#include "ctl/handlers.h"
#include "ctl/stream_env.h"
#include "net/netaddr.h"

static const char *const settings[] = { "sources", "warmup", "overflow", "note" };

static void take_settings(const struct ctl_call *call, json_t *o)
{
	for (size_t i = 0; i < ARRAY_LEN(settings); i++) {
		const json_t *v = ctl_json(call, settings[i]);
		if (v != NULL)
			(void)json_object_set_new(o, settings[i], json_deep_copy(v));
	}
}

int pool_check_name(const struct ctl_env *env, const char *param, const char *name, struct err *err)
{
	if (name == NULL || *name == '\0' || pools_find(env->pools, str_of(name)) != NULL)
		return 0;
	return err_param(err, ERR_UNKNOWN, param,
			 "there is no pool %.40s; weir pool list has those there are", name);
}

void pool_begin_plan(json_t *o, const json_t *was, int64_t now_ms, int64_t day)
{
	bool same =
		was != NULL && strcmp(json_get_str(was, "warmup"), json_get_str(o, "warmup")) == 0;

	if (same && day == 0)
		(void)json_object_set(o, "warmup_from_ms", json_object_get(was, "warmup_from_ms"));
	else
		(void)json_object_set_new(
			o, "warmup_from_ms",
			json_integer((pools_day(now_ms) - (day > 0 ? day - 1 : 0)) * 86400000));
}

static int read_pool(const struct ctl_call *call, json_t *o, const struct pool *was,
		     struct err *err)
{
	const struct ctl_env *env = ctl_env(call);
	json_t *before = was != NULL ? pools_json(was) : NULL;
	int rc;

	take_settings(call, o);
	pool_begin_plan(o, before, loop_wall_ms(env->loop), ctl_int(call, "warmup_day", 0));
	json_decref(before);
	rc = pools_check(o, err);
	if (rc >= 0)
		rc = pool_check_name(ctl_env(call), "overflow", json_get_str(o, "overflow"), err);
	return rc;
}

static void warn_of_sources(struct op *op, const json_t *o)
{
	const json_t *v;
	size_t i;

	json_array_foreach(json_object_get(o, "sources"), i, v)
	{
		struct str rest = str_of(json_string_value(v));
		struct str text = str_cut(&rest, '=');
		struct ipaddr ip;
		if (rest.n == 0)
			text.n = strcspn(text.p, "*");
		if (ipaddr_parse(text, &ip) && !netaddr_usable(&ip))
			rule_warn(op, xasprintf("%.*s is no address of this machine now; nothing "
						"leaves from it",
						STR_ARG(text)));
	}
}

static void store(struct op *op, const char *name, json_t *before, json_t *o)
{
	struct err err = ERR_INIT;

	if (op_lock(op, POOLS_KIND, name, &err) < 0) {
		json_decref(before);
		json_decref(o);
		op_fail(op, &err);
		return;
	}
	op_begin(op, true);
	if (o != NULL && before == NULL) {
		(void)json_object_set_new(o, "by", json_text(str_of(op->who->user)));
		(void)json_object_set_new(o, "created_ms", json_integer(op->at_ms));
	}
	if (o != NULL)
		warn_of_sources(op, o);
	op_object(op, POOLS_KIND, name, before, o);
	rule_store(op);
}

void ctl_pool_add(struct ctl_call *call)
{
	const struct ctl_env *env = ctl_env(call);
	struct err err = ERR_INIT;
	char name[POOL_NAME_MAX + 1];
	json_t *o = json_object();
	int rc = pools_name(str_of(ctl_str(call, "name")), name, &err);

	if (rc >= 0 && pools_find(env->pools, str_of(name)) != NULL)
		rc = err_param(&err, ERR_EXISTS, "name",
			       "there is a pool %s already; weir pool set changes it", name);
	if (rc >= 0 && pools_n(env->pools) >= POOLS_MAX)
		rc = err_set(&err, ERR_LIMIT, "there are %d pools already", POOLS_MAX);
	if (rc >= 0) {
		(void)json_object_set_new(o, "id", json_string(name));
		rc = read_pool(call, o, NULL, &err);
	}
	if (rc < 0) {
		json_decref(o);
		ctl_fail(call, &err);
		return;
	}
	store(rule_op(call, name), name, NULL, o);
}

static const struct pool *find(const struct ctl_call *call, struct err *err)
{
	const struct ctl_env *env = ctl_env(call);
	const char *name = ctl_str(call, "name");

	return pool_check_name(env, "name", name, err) < 0 ? NULL
							   : pools_find(env->pools, str_of(name));
}

void ctl_pool_set(struct ctl_call *call)
{
	struct err err = ERR_INIT;
	const struct pool *p = find(call, &err);
	json_t *o = p != NULL ? pools_json(p) : NULL;

	if (p == NULL || read_pool(call, o, p, &err) < 0) {
		json_decref(o);
		ctl_fail(call, &err);
		return;
	}
	store(rule_op(call, p->id), p->id, pools_json(p), o);
}

void ctl_pool_remove(struct ctl_call *call)
{
	struct err err = ERR_INIT;
	const struct pool *p = find(call, &err);
	const char *who = NULL;
	const char *id = "";

	if (p != NULL && (who = pool_user(ctl_env(call), p, POOL_OF_ANY, &id)) != NULL)
		(void)err_param(&err, ERR_STATE, "name", "%s %s sends from it", who, id);
	if (p == NULL || who != NULL)
		ctl_fail(call, &err);
	else
		store(rule_op(call, p->id), p->id, pools_json(p), NULL);
}
