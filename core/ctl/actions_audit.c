/*
 * What goes into the audit log besides the actions themselves, and what of them must not.
 *
 * Whoever may connect can be refused as often as he likes. So that nobody fills the disk with that,
 * or buries something in it, an account's refusals are recorded one by one up to a number a minute;
 * the others are counted, and their number is recorded when the minute is over. A count that is not
 * complete when the relay stops is lost.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/mem.h"
#include "base/obj.h"
#include "ctl/actions_int.h"

#define TEXT_MAX 1000 /* bytes of a refused call's texts */

/* --- what a change does to objects ------------------------------------------------------------ */

static bool is_secret(const char *const *secrets, const char *name)
{
	for (; *secrets != NULL; secrets++)
		if (strcmp(*secrets, name) == 0)
			return true;
	return false;
}

/* The depth is that of objects we wrote; nobody changes them once they are an action's, so that
 * what has no secrets needs no copy. */
json_t *audit_without(const char *const *secrets, const json_t *v)
{
	json_t *copy, *one;
	const char *name;
	size_t i;

	if (*secrets == NULL)
		return v != NULL ? json_incref((json_t *)(uintptr_t)v) : NULL;
	if (json_is_array(v)) {
		copy = json_array();
		json_array_foreach(v, i, one)(void)
			json_array_append_new(copy, audit_without(secrets, one));
		return copy;
	}
	if (!json_is_object(v))
		return json_deep_copy(v);
	copy = json_object();
	json_object_foreach((json_t *)(uintptr_t)v, name, one)
	{
		if (!is_secret(secrets, name))
			(void)json_object_set_new(copy, name, audit_without(secrets, one));
	}
	return copy;
}

json_t *audit_object_without(const json_t *o)
{
	const char *const *secrets = object_secrets(json_get_str(o, "kind"));
	json_t *shown = json_pack("{s:O, s:O}", "kind", json_object_get(o, "kind"), "id",
				  json_object_get(o, "id"));

	if (secrets != NULL) {
		const json_t *before = json_object_get(o, "before");
		const json_t *after = json_object_get(o, "after");
		(void)json_object_set_new(shown, "before", audit_without(secrets, before));
		(void)json_object_set_new(shown, "after", audit_without(secrets, after));
	}
	return shown;
}

/* --- refusals --------------------------------------------------------------------------------- */

static void on_recorded(void *arg, const struct err *err)
{
	struct ctl_env *env = arg;

	if (err == NULL)
		env->actions_generation++;
	else if (log_limited("audit.append"))
		log_error(NULL, "audit.append", F_STR("error", err->msg));
}

static void record(struct ctl_env *env, const struct ctl_caller *who,
		   const struct method_def *method, const char *target, const char *reason,
		   const char *result)
{
	const struct audit_record r = { .at_ms = loop_wall_ms(env->loop),
					.uid = who->uid,
					.who = who->user,
					.from_where = who->from_where,
					.role = access_name(who->role),
					.method = method->name,
					.target = target,
					.reason = reason,
					.result = result };

	queue_audit_append(env->queue, &r, on_recorded, env);
}

/* The minute of an account is over. */
static void settle(struct ctl_env *env, struct refusal *r)
{
	AUTO_FREE char *result = xasprintf("refused: %s %u more calls were refused within a minute",
					   err_name(ERR_LIMIT), r->more);

	if (r->used && r->more > 0)
		record(env, &r->who, r->method, "", "", result);
	*r = (struct refusal){ .used = false };
}

static struct refusal *refusal_of(struct actions *a, const struct ctl_caller *who)
{
	struct refusal *best = &a->refusals.v[0];

	for (size_t i = 0; i < REFUSALS_ACCOUNTS; i++) {
		struct refusal *r = &a->refusals.v[i];
		if (r->used && r->who.uid == who->uid)
			return r;
		if (best->used && (!r->used || r->since_ms < best->since_ms))
			best = r;
	}
	settle(a->env, best);
	return best;
}

/* Whether this refusal is recorded by itself. */
static bool count(struct actions *a, const struct ctl_caller *who, const struct method_def *method)
{
	struct refusal *r = refusal_of(a, who);
	int64_t now = loop_now_ms(a->env->loop);

	if (r->used && now - r->since_ms >= REFUSALS_MS)
		settle(a->env, r);
	if (!r->used)
		*r = (struct refusal){ .used = true, .who = *who, .since_ms = now };
	r->method = method;
	if (r->n < AUDIT_REFUSALS) {
		r->n++;
		return true;
	}
	r->more++;
	return false;
}

void refusals_run(struct actions *a)
{
	int64_t now = loop_now_ms(a->env->loop);

	for (size_t i = 0; i < REFUSALS_ACCOUNTS; i++) {
		struct refusal *r = &a->refusals.v[i];
		if (r->used && now - r->since_ms >= REFUSALS_MS)
			settle(a->env, r);
	}
}

void actions_audit(struct ctl_env *env, const struct ctl_caller *who,
		   const struct ctl_change *change)
{
	AUTO_FREE char *target = xasprintf("%.*s", TEXT_MAX, change->target);
	AUTO_FREE char *reason = xasprintf("%.*s", TEXT_MAX, change->reason);
	AUTO_FREE char *result = NULL;

	if (env->actions == NULL)
		return;
	if (change->err == NULL) {
		record(env, who, change->method, target, reason, AUDIT_DONE);
		return;
	}
	if (!count(env->actions, who, change->method))
		return;
	result = xasprintf("refused: %s %s", err_name(change->err->code), change->err->msg);
	record(env, who, change->method, target, reason, result);
}
