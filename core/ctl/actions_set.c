/*
 * Delete, bounce and retry: changes of a set of recipients. Their marks in memory come first, so
 * that nothing of the set is tried any more while it is written down, and are taken back when it
 * cannot be.
 */
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/obj.h"
#include "ctl/actions_int.h"

/* --- into the trash --------------------------------------------------------------------------- */

/* What was planned and is in the trash by now is somebody else's decision. */
static void refuse_trashed(struct op *op, struct rid rid)
{
	const struct action *x = journal_on_rid(op->a, rid);
	char name[200] = "another change";
	struct sched_view v;
	if (!sched_find(op->env->sched, rid, &v) || v.state != SCHED_TRASH)
		return;
	if (x != NULL)
		journal_name(x, name, sizeof(name));
	(void)err_set(&op->err, ERR_CONFLICT,
		      "some of these recipients went into the trash since the plan was made: %s; "
		      "plan again",
		      name);
	op->stop = true;
}

static bool touch_trash(struct op *op, struct rid rid)
{
	if (sched_trash(op->env->sched, rid, true))
		return true;
	if (op_planned(op))
		refuse_trashed(op, rid);
	return false;
}

bool touch_untrash(struct op *op, struct rid rid)
{
	return sched_trash(op->env->sched, rid, false);
}

static void trash_refused(struct op *op)
{
	op_fail(op, &op->err);
}

static void trash_rollback(struct op *op)
{
	op_pass(op, op->set, op->set_n, touch_untrash, false, trash_refused);
}

static void set_store(struct op *op, op_fn *failed)
{
	op->skipped = op->plan->n - op->touched;
	if (!op_planned(op))
		op->skipped += op->plan->in_delivery;
	if (op->touched == 0)
		op->undo_until_ms = 0;
	op_result(op, op->touched, op->messages);
	if (op->held > 0)
		(void)json_object_set_new(op->result, "warnings", retry_warnings(op->held));
	op_commit(op, op_answer, failed);
}

static void trash_store(struct op *op)
{
	if (op->stop)
		trash_rollback(op);
	else
		set_store(op, trash_rollback);
}

static void set_trash(struct op *op)
{
	op_begin(op, true);
	op_pass(op, op->plan->rids, op->plan->n, touch_trash, true, trash_store);
}

void set_delete(struct op *op)
{
	set_trash(op);
}

void set_bounce(struct op *op)
{
	set_trash(op);
}

/* --- retry ------------------------------------------------------------------------------------ */

static void note_group(struct op *op, uint32_t group)
{
	if (group >= op->groups_n) {
		uint32_t n = sched_groups(op->env->sched);
		op->groups = xreallocarray(op->groups, n, 1);
		memset(op->groups + op->groups_n, 0, n - op->groups_n);
		op->groups_n = n;
	}
	op->groups[group] = 1;
}

static bool touch_retry(struct op *op, struct rid rid)
{
	struct sched_view v;
	if (!sched_find(op->env->sched, rid, &v))
		return false;
	op->held += v.state == SCHED_HELD;
	if (v.state != SCHED_DEFERRED)
		return false;
	if (!sched_retry(op->env->sched, rid, &op->was_one))
		op->was_one = 0; /* only its next hop waits */
	note_group(op, v.group);
	return true;
}

/* What was not tried meanwhile gets its time back; on disk where the new one is there. */
bool touch_restore(struct op *op, struct rid rid)
{
	const struct action *x = op->of;
	int64_t was = x != NULL ? x->was[op->at] : op->was[op->at];
	struct sched_view v;
	if (!sched_find(op->env->sched, rid, &v) || v.state == SCHED_ACTIVE || v.own_next_ms != 0 ||
	    was == 0 || !sched_set_next(op->env->sched, rid, was))
		return false;
	if (x != NULL && op->at < x->stored)
		queue_record_next(op->env->queue, rid, was, 0);
	return true;
}

json_t *retry_warnings(size_t held)
{
	json_t *list = json_array();
	if (held == 1)
		(void)json_array_append_new(
			list,
			json_string("1 recipient is held and stays so; weir holds says by what"));
	else if (held > 1)
		(void)json_array_append_new(list, json_sprintf("%zu recipients are held and stay "
							       "so; weir holds says by what",
							       held));
	return list;
}

static void retry_rollback(struct op *op)
{
	op_pass(op, op->set, op->set_n, touch_restore, false, trash_refused);
}

static void on_hops(void *arg)
{
	struct op *op = OBJ(op, OP_MAGIC, arg);
	if (!op_planned(op)) /* what was not deferred was never meant */
		op->plan->n = op->touched;
	set_store(op, retry_rollback);
}

/* The next hops concerned are asked for and tried again, whatever was known of them. */
static enum slice step_hops(void *arg)
{
	struct op *op = arg;
	struct sched_group_view g;
	for (uint32_t end = op->place + SLICER_ITEMS; op->place < end; op->place++) {
		if (op->place >= op->groups_n)
			return SLICE_END;
		if (op->groups[op->place] == 0)
			continue;
		(void)sched_group(op->env->sched, op->place, &g);
		if (op->env->resolver != NULL)
			resolver_forget(op->env->resolver, g.next_hop);
		if (op->env->smtpout != NULL && strchr(g.next_hop, ':') != NULL)
			smtpout_hurry(op->env->smtpout, g.next_hop);
		sched_end_backoff(op->env->sched, g.next_hop);
	}
	return SLICE_MORE;
}

static void retry_hops(struct op *op)
{
	op->place = 0;
	slicer_run(&op->slicer, step_hops, on_hops);
}

void set_retry(struct op *op)
{
	op_begin(op, true);
	op_pass(op, op->plan->rids, op->plan->n, touch_retry, true, retry_hops);
}
