/*
 * Probation: begun with an edit, called off by config.confirm, or brought to its end by the timer
 * of the journal. The edit's action keeps what is needed to take it back until then (its undo
 * window is made as long).
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/fmt.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/obj.h"
#include "ctl/actions_rules.h"
#include "ctl/handlers.h"
#include "ctl/stream_env.h"

#define AGAIN_MS 5000

/* --- edits ------------------------------------------------------------------------------------ */

static bool can_be_on_it(const char *kind)
{
	static const char *const kinds[] = { "route", STREAMS_KIND, POOLS_KIND, "allow" };

	for (size_t i = 0; i < ARRAY_LEN(kinds); i++)
		if (strcmp(kinds[i], kind) == 0)
			return true;
	return false;
}

static bool concerns(const json_t *objects)
{
	const json_t *o;
	size_t i;

	json_array_foreach(objects, i, o)
	{
		if (can_be_on_it(json_get_str(o, "kind")))
			return true;
	}
	return false;
}

/* Somebody whose edit begins one, and is not on disk yet. */
static const struct op *begins(const struct op *op)
{
	const struct op *other;

	TAILQ_FOREACH (other, &op->a->ops, link)
		if (other != op && other->probation)
			return other;
	return NULL;
}

int probation_check(const struct op *op, struct err *err)
{
	const struct probation *p = op->env->probation;
	const struct op *other;
	char left[FMT_SHORT_LEN];

	/* what the relay does by itself (an entry of the allowlist ends) was meant to happen */
	if (op->call == NULL || !concerns(op->objects))
		return 0;
	other = begins(op);
	if (other != NULL)
		return err_set(err, ERR_CONFLICT, "%s is making an edit on probation this moment",
			       other->who->user);
	if (p == NULL || (op->of != NULL && op->of->id == p->action))
		return 0;
	fmt_age((p->until_ms - loop_wall_ms(op->env->loop)) / 1000, left);
	return err_set(err, ERR_STATE,
		       "version %" PRIu64 " (%s %.100s by %.60s) is on probation for another %s: "
		       "confirm it (weir config confirm) or take it back (weir config rollback) "
		       "first",
		       p->version, json_get_str(p->json, "method"), json_get_str(p->json, "target"),
		       json_get_str(p->json, "who"), left);
}

int64_t probation_wanted_ms(const struct op *op)
{
	if (op->call == NULL || (op->method->flags & MF_PROBATION) == 0 || op->of != NULL ||
	    !concerns(op->objects))
		return 0;
	if (ctl_json(op->call, "probation_s") != NULL)
		return ctl_age(op->call, "probation_s") * 1000;
	return op->env->probation_ms;
}

static const char *reason_of(const struct op *op)
{
	const char *reason = ctl_str(op->call, "reason");

	return reason != NULL ? reason : "";
}

int probation_begin(struct op *op, struct err *err)
{
	int64_t ms = probation_wanted_ms(op);
	char id[ACTION_ID_LEN];
	json_t *o;

	if (ms == 0 && op->call != NULL && op->version != 0 && op->of == NULL &&
	    ctl_json(op->call, "probation_s") != NULL && ctl_age(op->call, "probation_s") > 0)
		return err_param(err, ERR_INVALID, "probation_s",
				 "it changes only credentials and keys, which are never on "
				 "probation");
	if (ms == 0 || op->version == 0)
		return 0;
	journal_id_text(op->id, id);
	op->probation = true;
	if (op->undo_until_ms < op->at_ms + ms)
		op->undo_until_ms = op->at_ms + ms;
	o = json_pack("{s:s, s:I, s:o, s:o, s:s, s:o, s:o, s:I, s:I}", "action", id, "version",
		      (json_int_t)op->version, "who", json_text(str_of(op->who->user)),
		      "from_where", json_text(str_of(op->who->from_where)), "method",
		      op->method->name, "target", json_text(str_of(op->plan->text)), "reason",
		      json_text(str_of(reason_of(op))), "at_ms", (json_int_t)op->at_ms, "until_ms",
		      (json_int_t)(op->at_ms + ms));
	(void)json_object_set_new(op->result, "undo_until_at", json_time(op->undo_until_ms));
	(void)json_object_set_new(op->result, "probation", probation_row_of(op->env, o));
	op_object(op, PROBATION_KIND, id, NULL, o);
	return op_lock(op, PROBATION_KIND, id, err);
}

int probation_end(struct op *op, struct err *err)
{
	const struct probation *p = op->env->probation;
	int rc = op_lock(op, PROBATION_KIND, p->id, err);

	if (rc >= 0)
		op_object(op, PROBATION_KIND, p->id, json_incref(p->json), NULL);
	return rc;
}

/* --- its end ---------------------------------------------------------------------------------- */

static void on_refused(struct op *op)
{
	struct actions *a = op->a;

	log_error(op->plan->text, "probation.rollback", F_STR("error", op->err.msg));
	if (a->env->probation != NULL)
		a->env->probation->again_ms = loop_wall_ms(a->env->loop) + AGAIN_MS;
	op_free(&op);
	actions_arm(a);
}

static void on_gone(struct op *op)
{
	objects_apply(op);
	op_free(&op);
}

/* Nothing is left that could be taken back: somebody did, and was killed at the wrong moment. */
static void forget(struct op *op)
{
	struct err err = ERR_INIT;

	if (probation_end(op, &err) < 0) {
		op_fail(op, &err);
		return;
	}
	op_commit_objects(op, on_gone);
}

void probation_run(struct actions *a)
{
	struct probation *p = a->env->probation;
	int64_t now = loop_wall_ms(a->env->loop);
	struct action *x;
	struct op *op;
	char age[FMT_SHORT_LEN];

	if (p == NULL || p->until_ms > now || p->again_ms > now)
		return;
	x = journal_find(a, p->action);
	p->again_ms = now + AGAIN_MS;
	if (x != NULL && x->busy)
		return; /* being taken back */
	op = op_new(a, NULL, &method_defs[M_CONFIG_ROLLBACK]);
	if (x == NULL || x->state != ACTION_UNDOABLE) {
		forget(op);
		return;
	}
	fmt_age((p->until_ms - json_get_int(p->json, "at_ms")) / 1000, age);
	op->more = xasprintf("version %" PRIu64 " was on probation, and not confirmed within %s",
			     p->version, age);
	op->more_free = free;
	op->reason = op->more;
	op_name(op, p->id);
	op_begin(op, false);
	log_info(json_get_str(p->json, "who"), "probation.over", F_U64("version", p->version),
		 F_STR("method", json_get_str(p->json, "method")),
		 F_STR("target", json_get_str(p->json, "target")));
	undo_objects(op, x, on_refused);
}

int64_t probation_next_ms(const struct actions *a)
{
	const struct probation *p = a->env->probation;

	if (p == NULL)
		return 0;
	return p->again_ms > p->until_ms ? p->again_ms : p->until_ms;
}

/* --- config.confirm --------------------------------------------------------------------------- */

static int refuse_none(const struct ctl_call *call, struct err *err)
{
	const struct ctl_env *env = ctl_env(call);
	const struct probation *p = env->probation;
	int64_t version = ctl_int(call, "version", 0);

	if (p == NULL)
		return err_set(err, ERR_STATE, "no edit is on probation");
	if (version != 0 && (uint64_t)version != p->version)
		return err_param(err, ERR_STATE, "version",
				 "it is version %" PRIu64 " that is on probation", p->version);
	return 0;
}

void ctl_config_confirm(struct ctl_call *call)
{
	struct ctl_env *env = ctl_env(call);
	struct err err = ERR_INIT;
	struct op *op;
	char name[40];

	if (refuse_none(call, &err) < 0) {
		ctl_fail(call, &err);
		return;
	}
	(void)snprintf(name, sizeof(name), "version %" PRIu64, env->probation->version);
	op = rule_op(call, name);
	if (probation_end(op, &err) < 0) {
		op_fail(op, &err);
		return;
	}
	op_begin(op, false);
	rule_store(op);
}
