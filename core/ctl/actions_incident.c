/*
 * A credential that leaked: it is revoked, its sessions end, and what it queued is held; one plan,
 * one transaction, one undo. In memory all of it is in force before the transaction: what is on its
 * way in then is waited for, so that nothing of the credential is accepted behind the transaction,
 * and what is held is all there is. When the disk refuses it is taken back, but for the sessions.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/mem.h"
#include "base/obj.h"
#include "ctl/actions_int.h"

static const struct cred *cred_of(const struct op *op)
{
	return creds_find(op->env->creds, str_of(json_get_str(op->plan->params, "name")));
}

char *incident_target(const json_t *params)
{
	char *text = xasprintf("credential:%s", json_get_str(params, "name"));

	for (char *p = text; *p != '\0'; p++) /* names are kept so */
		if (*p >= 'A' && *p <= 'Z')
			*p = (char)(*p - 'A' + 'a');
	return text;
}

int incident_check(struct op *op, struct err *err)
{
	const struct cred *x = cred_of(op);

	if (x == NULL)
		return err_param(err, ERR_UNKNOWN, "name",
				 "there is no credential %.64s; weir cred list has those there are",
				 json_get_str(op->plan->params, "name"));
	if (x->revoked_ms != 0 && hold_active_on(op->env, op->plan->text) != NULL)
		return err_param(err, ERR_STATE, "name",
				 "%s is revoked already, and what it sent is held", x->name);
	if (holds_active(op->env->holds) >= HOLDS_MAX)
		return err_set(err, ERR_LIMIT, "there are %d holds already; release some",
			       HOLDS_MAX);
	return 0;
}

static void add_effect(json_t *list, char *text_take)
{
	(void)json_array_append_new(list, json_text(str_of(text_take)));
	free(text_take);
}

json_t *incident_effects(const struct op *op)
{
	const struct cred *x = cred_of(op);
	const struct hold *h = hold_active_on(op->env, op->plan->text);
	json_t *list = json_array();
	unsigned sessions;

	if (x == NULL)
		return list;
	sessions = op->env->smtpin != NULL
			   ? smtpin_sessions_of(op->env->smtpin, str_of(x->name), false)
			   : 0;
	add_effect(list, x->revoked_ms != 0
				 ? xasprintf("%s is revoked already", x->name)
				 : xasprintf("revokes %s, which is %s", x->name,
					     cred_status(x, loop_wall_ms(op->env->loop))));
	if (sessions > 0)
		add_effect(list, xasprintf("ends the sessions that use it: %u", sessions));
	add_effect(list,
		   h != NULL ? xasprintf("what it sent is held already (%s)", h->id)
			     : xasprintf("holds what it sent, until the hold is released or taken "
					 "back"));
	return list;
}

/* --- the commit ------------------------------------------------------------------------------- */

static void incident_refused(struct op *op)
{
	op_fail(op, &op->err);
}

/* The disk did not take it: as if it had never been. */
static void incident_rollback(struct op *op)
{
	size_t i;
	json_t *o;

	json_array_foreach(op->objects, i, o)(void)
		json_object_set(o, "after", json_object_get(o, "before"));
	objects_apply(op);
	op_marks(op, incident_refused);
}

static void incident_done(struct op *op)
{
	marks_again(op->a); /* what came after the plan */
	op_answer(op);
}

static void incident_store(struct op *op)
{
	const struct hold *h = holds_find(op->env->holds, op->hold);

	ASSERT(h != NULL);
	op->skipped = op->plan->n - op->touched;
	if (!op_planned(op))
		op->skipped += op->plan->in_delivery;
	op_result(op, op->touched, op->messages);
	(void)json_object_set_new(op->result, "name",
				  json_string(json_get_str(op->plan->params, "name")));
	(void)json_object_set_new(op->result, "hold", hold_row(h, op->touched, op->messages));
	op_commit(op, incident_done, incident_rollback);
}

static void incident_pass(struct op *op)
{
	op_pass(op, op->plan->rids, op->plan->n, touch_hold, false, incident_store);
}

/* Messages that are being stored: they were handed over before. */
static enum slice step_arriving(void *arg)
{
	const struct op *op = arg;
	const struct cred *x = cred_of(op);

	if (x == NULL || op->env->smtpin == NULL)
		return SLICE_END;
	return smtpin_sessions_of(op->env->smtpin, str_of(x->name), true) > 0 ? SLICE_WAIT
									      : SLICE_END;
}

static void on_arrived(void *arg)
{
	struct op *op = OBJ(op, OP_MAGIC, arg);

	if (op_planned(op))
		incident_pass(op);
	else
		op_select(op, op->plan->target.filter, incident_pass);
}

static void incident_count(struct op *op)
{
	const struct hold *h = hold_active_on(op->env, op->plan->text);

	ASSERT(h != NULL);
	op->mark.n = 0; /* done by the pass */
	op->hold = h->number;
	slicer_run(&op->slicer, step_arriving, on_arrived);
}

static int add_hold(struct op *op, struct err *err)
{
	char id[16];
	int rc;

	if (hold_active_on(op->env, op->plan->text) != NULL)
		return 0;
	(void)snprintf(id, sizeof(id), "h%" PRIu32, (uint32_t)op->id);
	rc = op_lock(op, "hold", id, err);
	if (rc >= 0)
		op_object(op, "hold", id, NULL, hold_make(op));
	return rc;
}

static int add_revocation(struct op *op, struct err *err)
{
	const struct cred *x = cred_of(op);
	json_t *after;
	int rc;

	if (x == NULL || x->revoked_ms != 0)
		return 0;
	rc = op_lock(op, "cred", x->name, err);
	if (rc < 0)
		return rc;
	after = creds_json(x);
	(void)json_object_set_new(after, "revoked_ms", json_integer(op->at_ms));
	op_object(op, "cred", x->name, creds_json(x), after);
	return 0;
}

void incident_commit(struct op *op)
{
	struct err err = ERR_INIT;
	int rc = incident_check(op, &err);

	if (rc >= 0) {
		op_begin(op, true);
		rc = add_hold(op, &err);
	}
	if (rc >= 0)
		rc = add_revocation(op, &err);
	if (rc < 0) {
		op_fail(op, &err);
		return;
	}
	objects_apply(op);
	op_judge(op, incident_count);
}
