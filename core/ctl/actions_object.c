/*
 * Holds, routes, allowlist entries and credentials as the journal sees them: JSON by kind and id,
 * put in force or taken away. What has to follow (groups judged again, sessions asked again, marks
 * moved) is done here, so that a change, its undo and an end by itself do the same.
 */
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/mem.h"
#include "base/obj.h"
#include "ctl/actions_int.h"
#include "ctl/config.h"
#include "ctl/stream_env.h"

static json_t *hold_current(const struct ctl_env *env, struct str id)
{
	const struct hold *h = holds_by_id(env->holds, id);
	return h != NULL ? holds_json(h) : NULL;
}

static json_t *route_current(const struct ctl_env *env, struct str id)
{
	const struct route *r = routes_find(env->routes, id);
	return r != NULL ? routes_json(r) : NULL;
}

static json_t *allow_current(const struct ctl_env *env, struct str id)
{
	const struct allow_entry *e = allow_find(env->allow, id);
	return e != NULL ? allow_json(e) : NULL;
}

/* Other groups than those of one domain need not be asked. */
static void rejudge_for(struct op *op, const struct filter *f)
{
	const struct ctl_env *env = op->env;
	enum filter_field field;
	struct str value;
	if (f != NULL && filter_simple_key(f, &field, &value) && field == FILTER_DOMAIN) {
		uint32_t domain = queue_name_find(env->queue, value);
		if (domain != 0)
			sched_rejudge_domain(env->sched, domain);
		return;
	}
	op->judge = true;
}

static bool is_active(const struct hold *h)
{
	return h != NULL && h->ended_ms == 0;
}

static int hold_apply(struct op *op, struct str id, const char *json, struct err *err)
{
	struct ctl_env *env = op->env;
	const struct hold *h = holds_by_id(env->holds, id);
	bool was_active = is_active(h);
	bool was_marking = was_active && h->asks;
	uint32_t number = h != NULL ? h->number : 0;
	int rc = 0;
	if (json != NULL)
		rc = holds_put(env->holds, json, err);
	else if (h != NULL)
		(void)holds_drop(env->holds, number);
	if (rc < 0)
		return rc;
	h = holds_by_id(env->holds, id);
	if (was_marking && !is_active(h))
		op_holds_add(&op->unmark, number);
	if (is_active(h) && h->asks)
		op_holds_add(&op->mark, h->number);
	if (was_active || is_active(h))
		rejudge_for(op, h != NULL ? h->target.filter : NULL);
	env->holds_generation++;
	return 0;
}

static int route_apply(struct op *op, struct str id, const char *json, struct err *err)
{
	struct ctl_env *env = op->env;
	const struct route *r = routes_find(env->routes, id);
	int rc = 0;
	if (json != NULL)
		rc = routes_put(env->routes, json, err);
	else if (r != NULL)
		(void)routes_drop(env->routes, r->number);
	return rc;
}

static json_t *stream_current(const struct ctl_env *env, struct str id)
{
	const struct mailstream *x = streams_find(env->streams, id);
	return x != NULL && x->stored ? streams_json(x) : NULL;
}

static int stream_apply(struct op *op, struct str id, const char *json, struct err *err)
{
	if (json != NULL)
		return streams_put(op->env->streams, json, err);
	(void)streams_drop(op->env->streams, id);
	return 0;
}

static json_t *pool_current(const struct ctl_env *env, struct str id)
{
	const struct pool *p = pools_find(env->pools, id);
	return p != NULL ? pools_json(p) : NULL;
}

static int pool_apply(struct op *op, struct str id, const char *json, struct err *err)
{
	if (json != NULL)
		return pools_put(op->env->pools, json, err);
	(void)pools_drop(op->env->pools, id);
	return 0;
}

static void pool_after(struct op *op)
{
	op->judge = op->judge_routes = true; /* it may have room, or none */
	pools_end_waits(op->env, 0, UINT32_MAX);
	op->env->pools_generation++;
}

static void stream_after(struct op *op)
{
	op->judge = op->judge_routes = true; /* what they want of connections */
	streams_in_force(op->env);
}

static int allow_apply(struct op *op, struct str id, const char *json, struct err *err)
{
	if (json != NULL)
		return allow_put(op->env->allow, json, err);
	(void)allow_drop(op->env->allow, id);
	return 0;
}

static json_t *key_current(const struct ctl_env *env, struct str id)
{
	const struct key_entry *e = keys_find(env->keys, id);
	return e != NULL ? keys_json(e) : NULL;
}

static int key_apply(struct op *op, struct str id, const char *json, struct err *err)
{
	int64_t now = loop_wall_ms(op->env->loop);
	if (json != NULL)
		return keys_put(op->env->keys, json, now, err);
	(void)keys_drop(op->env->keys, id, now);
	return 0;
}

static json_t *secret_current(const struct ctl_env *env, struct str id)
{
	(void)env;
	(void)id;
	return NULL;
}

/* New ones are no objects of a change (op_secret()); only their end is. */
static int secret_apply(struct op *op, struct str id, const char *json, struct err *err)
{
	(void)json;
	(void)err;
	keys_drop_secret(op->env->keys, id.p);
	return 0;
}

static void secrets_apply(struct op *op)
{
	for (size_t i = 0; i < op->secrets_n; i++) {
		struct err err = ERR_INIT;
		if (keys_put_secret(op->env->keys, op->secrets[i].id, op->secrets[i].json,
				    op->at_ms, &err) < 0)
			log_error(op->secrets[i].id, "actions.apply",
				  F_STR("kind", op->secrets[i].kind), F_STR("error", err.msg));
	}
}

static void key_after(struct op *op)
{
	op->env->keys_generation++;
}

static json_t *suppress_current(const struct ctl_env *env, struct str id)
{
	const struct suppress_entry *e = suppress_by_id(env->suppress, id);
	return e != NULL ? suppress_json(e) : NULL;
}

static int suppress_apply(struct op *op, struct str id, const char *json, struct err *err)
{
	struct suppress *s = op->env->suppress;
	const struct suppress_entry *e = suppress_by_id(s, id);
	if (json != NULL)
		return suppress_put_json(s, json, err);
	if (e != NULL)
		(void)suppress_drop(s, e->address, e->scope);
	return 0;
}

static json_t *import_current(const struct ctl_env *env, struct str id)
{
	uint64_t batch;
	return str_u64(id, INT64_MAX, &batch) && suppress_batch_has(env->suppress, batch)
		       ? suppress_import_json(batch)
		       : NULL;
}

/* What an import brought is void from now on; its rows go when the list is next tended. New ones
 * come with their own entries (actions_suppress.c). */
static int import_apply(struct op *op, struct str id, const char *json, struct err *err)
{
	uint64_t batch;
	(void)err;
	if (json == NULL && str_u64(id, INT64_MAX, &batch))
		suppress_batch_drop(op->env->suppress, batch);
	return 0;
}

static void suppress_after_change(struct op *op)
{
	op->env->suppress_generation++;
}

static json_t *probation_current(const struct ctl_env *env, struct str id)
{
	const struct probation *p = env->probation;
	return p != NULL && str_eq(str_of(p->id), id) ? json_incref(p->json) : NULL;
}

static int probation_apply(struct op *op, struct str id, const char *json, struct err *err)
{
	(void)id;
	if (json != NULL)
		return probation_put(op->env, json, err);
	probation_drop(op->env);
	return 0;
}

static json_t *unread_current(const struct ctl_env *env, struct str id)
{
	(void)env; /* nobody may have it but by bounces.show */
	(void)id;
	return NULL;
}

static int unread_apply(struct op *op, struct str id, const char *json, struct err *err)
{
	uint64_t number;
	(void)err;
	if (json == NULL && str_u64(id, INT64_MAX, &number))
		(void)unread_drop(op->env->unread, number);
	return 0;
}

static void unread_after(struct op *op)
{
	op->env->unread_generation++;
}

static json_t *cred_current(const struct ctl_env *env, struct str id)
{
	const struct cred *x = creds_find(env->creds, id);
	return x != NULL ? creds_json(x) : NULL;
}

static int cred_apply(struct op *op, struct str id, const char *json, struct err *err)
{
	if (json != NULL)
		return creds_put(op->env->creds, json, err);
	(void)creds_drop(op->env->creds, id);
	return 0;
}

static void hold_after(struct op *op)
{
	(void)op; /* each hold did it by itself */
}

static void route_after(struct op *op)
{
	op->judge = op->judge_routes = true;
	op->env->routes_generation++;
}

static void allow_after(struct op *op)
{
	struct ctl_env *env = op->env;
	if (env->smtpin != NULL)
		smtpin_recheck(env->smtpin);
	env->allow_generation++;
}

static void cred_after(struct op *op)
{
	struct ctl_env *env = op->env;
	if (env->smtpin != NULL)
		smtpin_recheck(env->smtpin); /* sessions of what is revoked end */
	env->creds_generation++;
}

/* --- what comes back with an earlier version -------------------------------------------------- */

static int route_restore(const struct ctl_env *env, const json_t *now, json_t *route,
			 struct err *err)
{
	const char *user = json_get_str(route, "user");
	(void)env;
	if (*user == '\0') {
		(void)json_object_set_new(route, "password", json_string(""));
		return 0;
	}
	if (*json_get_str(route, "password") != '\0' &&
	    strcmp(json_get_str(now, "user"), user) == 0 &&
	    strcmp(json_get_str(now, "to"), json_get_str(route, "to")) == 0)
		return 0;
	return err_set(err, ERR_STATE,
		       "route %s logs in at %.200s as %.100s, and its password is not kept: add it "
		       "with weir route add",
		       json_get_str(route, "id"), json_get_str(route, "to"), user);
}

/* One that is gone comes back without a secret: it has to get a new one. */
static int cred_restore(const struct ctl_env *env, const json_t *now, json_t *cred, struct err *err)
{
	(void)env;
	if (now != NULL)
		return 0;
	return err_set(err, ERR_STATE,
		       "the credential %.100s is gone, and its secrets are not kept: make it anew "
		       "with weir cred add",
		       json_get_str(cred, "name"));
}

static int key_restore(const struct ctl_env *env, const json_t *now, json_t *key, struct err *err)
{
	(void)now;
	if (keys_has_secret(env->keys, json_get_str(key, "secret")))
		return 0;
	return err_set(err, ERR_STATE,
		       "the private part of the key %.100s/%.100s is erased: make a new one with "
		       "weir dkim add",
		       json_get_str(key, "domain"), json_get_str(key, "selector"));
}

/* ---------------------------------------------------------------------------------------------- */

/* Keys by which a credential's secret can be guessed at. */
static const char *const cred_secrets[] = { "salt", "stored_key", "server_key", NULL };
static const char *const route_secrets[] = { "password", NULL }; /* of a smarthost */
static const char *const no_secrets[] = { NULL };

static const char *const cred_keeps[] = { "salt", "iterations", "secrets", "revoked_ms", NULL };
static const char *const route_keeps[] = { "password", NULL };
static const char *const key_keeps[] = { NULL };

static const struct config_rules allow_config = { .keeps = no_secrets };
static const struct config_rules cred_config = { .keeps = cred_keeps, .restore = cred_restore };
static const struct config_rules key_config = { .keeps = key_keeps, .restore = key_restore };
static const struct config_rules pool_config = { .keeps = no_secrets };
static const struct config_rules stream_config = { .keeps = no_secrets, .ordered = true };
static const struct config_rules route_config = { .keeps = route_keeps,
						  .ordered = true,
						  .restore = route_restore };

static const struct kind {
	const char *name;
	const struct config_rules *config; /* NULL: it is none */
	const char *const *secrets;	   /* not in the audit log; NULL: nothing of it is */
	json_t *(*current)(const struct ctl_env *env, struct str id);
	int (*apply)(struct op *op, struct str id, const char *json, struct err *err);
	void (*after)(struct op *op);
} kinds[] = {
	{ "hold", NULL, no_secrets, hold_current, hold_apply, hold_after },
	{ "route", &route_config, route_secrets, route_current, route_apply, route_after },
	{ STREAMS_KIND, &stream_config, no_secrets, stream_current, stream_apply, stream_after },
	{ POOLS_KIND, &pool_config, no_secrets, pool_current, pool_apply, pool_after },
	{ "allow", &allow_config, no_secrets, allow_current, allow_apply, allow_after },
	{ "cred", &cred_config, cred_secrets, cred_current, cred_apply, cred_after },
	{ KEYS_KIND, &key_config, no_secrets, key_current, key_apply, key_after },
	{ PROBATION_KIND, NULL, no_secrets, probation_current, probation_apply, hold_after },
	{ KEYS_KIND_SECRET, NULL, NULL, secret_current, secret_apply, key_after },
	{ SUPPRESS_KIND, NULL, no_secrets, suppress_current, suppress_apply,
	  suppress_after_change },
	{ UNREAD_KIND, NULL, NULL, unread_current, unread_apply, unread_after },
	{ SUPPRESS_IMPORT, NULL, no_secrets, import_current, import_apply, suppress_after_change },
};

static const struct kind *kind_of(const char *name)
{
	for (size_t i = 0; i < ARRAY_LEN(kinds); i++)
		if (strcmp(kinds[i].name, name) == 0)
			return &kinds[i];
	return NULL;
}

const char *const *object_secrets(const char *kind)
{
	const struct kind *k = kind_of(kind);
	return k != NULL ? k->secrets : NULL;
}

const struct config_rules *config_rules(const char *kind)
{
	const struct kind *k = kind_of(kind);
	return k != NULL ? k->config : NULL;
}

json_t *object_current(const struct ctl_env *env, const char *kind, const char *id)
{
	const struct kind *k = kind_of(kind);
	return k != NULL ? k->current(env, str_of(id)) : NULL;
}

/* What goes away, or what stays. */
static void apply_some(struct op *op, const json_t *objects, bool removals,
		       bool changed[static ARRAY_LEN(kinds)])
{
	size_t i;
	json_t *o;
	json_array_foreach(objects, i, o)
	{
		const json_t *after = json_object_get(o, "after");
		const struct kind *k = kind_of(json_get_str(o, "kind"));
		struct err err = ERR_INIT;
		char *json;
		if (k == NULL || json_is_null(after) != removals)
			continue;
		json = removals ? NULL : json_dumps(after, JSON_COMPACT);
		if (k->apply(op, str_of(json_get_str(o, "id")), json, &err) < 0)
			log_error(json_get_str(o, "id"), "actions.apply", F_STR("kind", k->name),
				  F_STR("error", err.msg));
		free(json);
		changed[k - kinds] = true;
	}
}

static void on_swapped(void *arg, const char *kind)
{
	bool *changed = arg;
	const struct kind *k = kind_of(kind);
	ASSERT(k != NULL);
	changed[k - kinds] = true;
}

void objects_apply(struct op *op)
{
	bool changed[ARRAY_LEN(kinds)] = { false };
	const json_t *objects = op->beside != NULL ? beside_rest(op->beside) : op->objects;
	secrets_apply(op);			/* what keys name */
	apply_some(op, objects, true, changed); /* a full list takes others in their place */
	apply_some(op, objects, false, changed);
	if (op->beside != NULL)
		beside_swap(op->beside, on_swapped, changed);
	op->whole = false;
	for (size_t i = 0; i < ARRAY_LEN(kinds); i++)
		if (changed[i])
			kinds[i].after(op);
	actions_arm(op->a); /* some of it may end sooner than all else */
}

json_t *hold_ended(const json_t *hold, int64_t now_ms)
{
	json_t *ended = json_deep_copy(hold);
	(void)json_object_set_new(ended, "ended_ms", json_integer(now_ms));
	return ended;
}
