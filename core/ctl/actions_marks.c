/*
 * Marks: what a hold that asks holds is marked ahead, so that it reads as held at once; the rule
 * itself is asked before each try, so mail is safe without a mark. Marks come off one hold after
 * the other by passes over the records, and are set from selections. What was under two holds gets
 * the other one's mark afterwards, in the background.
 */
#include "base/log.h"
#include "base/mem.h"
#include "base/obj.h"
#include "ctl/actions_int.h"

#define UNMARK_PLACES 2048 /* looked at in a step */
#define JUDGE_GROUPS 256

static void next(struct op *op);

static void on_slices(void *arg)
{
	next(OBJ(op, OP_MAGIC, arg));
}

static enum slice step_unmark(void *arg)
{
	struct op *op = arg;
	return sched_unhold_some(op->env->sched, op->hold, &op->place, UNMARK_PLACES) ? SLICE_MORE
										      : SLICE_END;
}

static enum slice step_mark(void *arg)
{
	struct op *op = arg;
	const struct hold *h = holds_find(op->env->holds, op->hold);
	if (h == NULL || h->ended_ms != 0)
		return SLICE_END;
	for (size_t end = op->at + SLICER_ITEMS; op->at < end; op->at++) {
		if (op->at >= op->to_mark.n)
			return SLICE_END;
		(void)sched_hold(op->env->sched, op->to_mark.rids[op->at], op->hold);
	}
	return SLICE_MORE;
}

static void on_to_mark(void *arg, struct selection *take, const struct err *err)
{
	struct op *op = OBJ(op, OP_MAGIC, arg);
	op->select = NULL;
	if (err != NULL) {
		log_warn(NULL, "actions.marks", F_STR("error", err->msg));
		next(op);
		return;
	}
	selection_done(&op->to_mark);
	op->to_mark = *take;
	*take = (struct selection){ .n = 0 };
	op->at = 0;
	slicer_run(&op->slicer, step_mark, on_slices);
}

static void next(struct op *op)
{
	selection_done(&op->to_mark);
	if (op->unmark.n > 0) {
		op->hold = op->unmark.v[--op->unmark.n];
		op->place = 0;
		slicer_run(&op->slicer, step_unmark, on_slices);
		return;
	}
	while (op->mark.n > 0) {
		const struct hold *h = holds_find(op->env->holds, op->mark.v[--op->mark.n]);
		if (h == NULL || h->ended_ms != 0 || !h->asks)
			continue;
		op->hold = h->number;
		op->select = select_start(op->env, h->target.filter, on_to_mark, op);
		return;
	}
	op->marked(op);
}

static enum slice step_judge(void *arg)
{
	struct op *op = arg;
	return sched_rejudge_some(op->env->sched, op->judge_routes, &op->judged, JUDGE_GROUPS)
		       ? SLICE_MORE
		       : SLICE_END;
}

static void on_judged(void *arg)
{
	struct op *op = OBJ(op, OP_MAGIC, arg);
	op->judge = op->judge_routes = false;
	op->judged_then(op);
}

void op_judge(struct op *op, op_fn *then)
{
	op->judged_then = then;
	op->judged = (struct sched_pass){ .group = 0 };
	if (op->judge)
		slicer_run(&op->slicer, step_judge, on_judged);
	else
		then(op);
}

void op_marks(struct op *op, op_fn *then)
{
	op->marked = then;
	op_judge(op, next);
}

static void on_marked(struct op *op)
{
	struct actions *a = op->a;
	a->marking = NULL;
	op_free(&op);
	if (a->mark_again)
		marks_again(a);
}

void marks_again(struct actions *a)
{
	struct op *op;
	if (a->marking != NULL || !a->started) {
		a->mark_again = a->marking != NULL;
		return;
	}
	a->mark_again = false;
	op = op_new(a, NULL, NULL);
	for (size_t i = 0; i < holds_n(a->env->holds); i++) {
		const struct hold *h = holds_at(a->env->holds, i);
		if (h->ended_ms == 0 && h->asks)
			op_holds_add(&op->mark, h->number);
	}
	a->marking = op;
	op_marks(op, on_marked);
}
