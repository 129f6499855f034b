/*
 * What happens when a window is over: what was deleted is recorded as deleted, what was bounced is
 * returned to its senders, and the sets that undo needed go. Also the times of a retry, written
 * behind its answer.
 *
 * A kill in between repeats what was not recorded: the set is only dropped behind the last result,
 * and those reach the disk in that order. A bounce whose report was stored and whose result was
 * not is reported twice.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/mem.h"
#include "base/obj.h"
#include "ctl/actions_int.h"

#define BOUNCE_MAGIC 0x57e3c013u
#define BOUNCES_MAX 16 /* messages whose reports are being made at a time */
#define BOUNCE_STATUS "5.3.0"

int64_t ends_next_ms(struct actions *a)
{
	const struct action *x;
	int64_t first = 0;
	TAILQ_FOREACH (x, &a->recent, link) {
		if (x->state != ACTION_UNDOABLE || x->busy || (x->n == 0 && !x->wipe) ||
		    probation_is(a->env, x->id))
			continue;
		if (first == 0 || x->undo_until_ms < first)
			first = x->undo_until_ms;
	}
	return first;
}

/* --- delete ----------------------------------------------------------------------------------- */

static void delete_one(struct op *op, struct rid rid)
{
	const struct action *x = op->of;
	struct sched_view v;
	struct queue_result r;
	char id[ACTION_ID_LEN];
	if (!sched_find(op->env->sched, rid, &v) || v.state != SCHED_TRASH)
		return;
	journal_id_text(x->id, id);
	r = (struct queue_result){ .rid = rid,
				   .attempt = { .at_ms = loop_wall_ms(op->env->loop),
						.outcome = OUTCOME_DELETED },
				   .attempts = v.attempts };
	(void)snprintf(r.attempt.reply, sizeof(r.attempt.reply), "deleted by %s (%s): %.300s",
		       x->who, id, x->reason);
	queue_record(op->env->queue, &r);
	(void)sched_remove(op->env->sched, rid);
}

static enum slice step_delete(void *arg)
{
	struct op *op = arg;
	if (queue_record_backlog(op->env->queue) > ACTIONS_RECORDS_MAX)
		return SLICE_WAIT;
	for (size_t end = op->at + SLICER_ITEMS; op->at < end; op->at++) {
		if (op->at >= op->of->n)
			return SLICE_END;
		delete_one(op, op->of->rids[op->at]);
	}
	return SLICE_MORE;
}

static void end_reached(struct op *op)
{
	struct actions *a = op->a;
	struct action *x = op->of;
	op->of = NULL;
	log_info(x->who, "actions.final", F_STR("method", x->method->name),
		 F_STR("target", x->target), F_U64("action", x->id));
	journal_close(a, x, ACTION_DONE);
	op_free(&op);
	actions_arm(a);
}

static void on_deleted(void *arg)
{
	end_reached(OBJ(op, OP_MAGIC, arg));
}

/* --- bounce ----------------------------------------------------------------------------------- */

struct bounced {
	uint64_t ticket;
	struct queue_result *results;
	unsigned n;
	TAILQ_ENTRY(bounced) link;
};
struct bounces {
	uint32_t magic;
	struct op *op;
	unsigned under_way;
	uint64_t last;
	TAILQ_HEAD(, bounced) list;
};

static void bounces_free(void *arg)
{
	struct bounces *b = arg;
	struct bounced *m;
	while ((m = TAILQ_FIRST(&b->list)) != NULL) {
		TAILQ_REMOVE(&b->list, m, link);
		free(m->results);
		free(m);
	}
	b->magic = 0;
	free(b);
}

/* The reports are on disk, so the recipients may end. */
static void on_reported(void *arg, uint64_t ticket)
{
	struct bounces *b = OBJ(bounces, BOUNCE_MAGIC, arg);
	struct ctl_env *env = b->op->env;
	struct bounced *m;
	TAILQ_FOREACH (m, &b->list, link)
		if (m->ticket == ticket)
			break;
	ASSERT(m != NULL);
	for (unsigned i = 0; i < m->n; i++) {
		queue_record(env->queue, &m->results[i]);
		(void)sched_remove(env->sched, m->results[i].rid);
	}
	TAILQ_REMOVE(&b->list, m, link);
	b->under_way--;
	free(m->results);
	free(m);
}

static void bounce_result(const struct op *op, const struct sched_view *v, struct queue_result *ret)
{
	*ret = (struct queue_result){ .rid = v->rid,
				      .attempt = { .at_ms = loop_wall_ms(op->env->loop),
						   .outcome = OUTCOME_FAILED,
						   .reply_class = REPLY_OTHER,
						   .enhanced = BOUNCE_STATUS },
				      .attempts = v->attempts };
	(void)snprintf(ret->attempt.reply, sizeof(ret->attempt.reply),
		       "returned to its sender by the operators of %.200s", op->env->hostname);
}

/* All recipients of the set's next message, in one report. */
static void bounce_message(struct op *op, struct bounces *b)
{
	const struct action *x = op->of;
	struct msgid id = rid_msgid(x->rids[op->at]);
	struct bounced *m = xcalloc(1, sizeof(*m));
	size_t end = op->at;
	while (end < x->n && msgid_eq(rid_msgid(x->rids[end]), id))
		end++;
	m->results = xcalloc(end - op->at, sizeof(*m->results));
	for (; op->at < end; op->at++) {
		struct sched_view v;
		if (sched_find(op->env->sched, x->rids[op->at], &v) && v.state == SCHED_TRASH)
			bounce_result(op, &v, &m->results[m->n++]);
	}
	m->ticket = ++b->last;
	TAILQ_INSERT_TAIL(&b->list, m, link);
	b->under_way++;
	if (m->n > 0)
		report_start(op->env, NULL, m->results, m->n, on_reported, b, m->ticket);
	else
		on_reported(b, m->ticket);
}

static enum slice step_bounce(void *arg)
{
	struct op *op = arg;
	struct bounces *b = op->more;
	if (op->at >= op->of->n && b->under_way == 0)
		return SLICE_END;
	if (op->at >= op->of->n || b->under_way >= BOUNCES_MAX)
		return SLICE_WAIT;
	bounce_message(op, b);
	return SLICE_MORE;
}

static void bounce_start(struct op *op)
{
	struct bounces *b = xcalloc(1, sizeof(*b));
	b->magic = BOUNCE_MAGIC;
	b->op = op;
	TAILQ_INIT(&b->list);
	op->more = b;
	op->more_free = bounces_free;
	slicer_run(&op->slicer, step_bounce, on_deleted);
}

/* --- all ends --------------------------------------------------------------------------------- */

static void end_one(struct actions *a, struct action *x)
{
	struct op *op;
	if (!journal_is(x, M_QUEUE_DELETE) && !journal_is(x, M_QUEUE_BOUNCE)) {
		journal_close(a, x, ACTION_EXPIRED);
		return;
	}
	op = op_new(a, NULL, x->method);
	op->of = x;
	x->busy = true;
	if (journal_is(x, M_QUEUE_BOUNCE))
		bounce_start(op);
	else
		slicer_run(&op->slicer, step_delete, on_deleted);
}

void ends_run(struct actions *a)
{
	struct action *x, *next;
	int64_t now = loop_wall_ms(a->env->loop);
	for (x = TAILQ_FIRST(&a->recent); x != NULL; x = next) {
		next = TAILQ_NEXT(x, link);
		if (x->state == ACTION_UNDOABLE && !x->busy && (x->n > 0 || x->wipe) &&
		    x->undo_until_ms <= now && !probation_is(a->env, x->id))
			end_one(a, x);
	}
}

/* --- the times of a retry --------------------------------------------------------------------- */

static enum slice step_store(void *arg)
{
	struct op *op = arg;
	struct action *x = op->storing;
	size_t end = x->stored + SLICER_ITEMS;
	if (queue_record_backlog(op->env->queue) > ACTIONS_RECORDS_MAX / 4)
		return SLICE_WAIT;
	for (; x->stored < end; x->stored++) {
		struct sched_view v;
		if (x->stored >= x->n)
			return SLICE_END;
		if (x->was[x->stored] != 0 && sched_find(op->env->sched, x->rids[x->stored], &v) &&
		    v.own_next_ms == 0)
			queue_record_next(op->env->queue, x->rids[x->stored], 0, 0);
	}
	return SLICE_MORE;
}

static void on_stored(void *arg)
{
	struct op *op = OBJ(op, OP_MAGIC, arg);
	op_free(&op);
}

/* So that a retry holds after a restart even when its set is gone; until then the set tells. */
void end_retry_store(struct actions *a, struct action *x)
{
	struct op *op = op_new(a, NULL, x->method);
	op->storing = x;
	slicer_run(&op->slicer, step_store, on_stored);
}

void end_retry_stop(struct actions *a, const struct action *x)
{
	struct op *op;
	TAILQ_FOREACH (op, &a->ops, link)
		if (op->storing == x)
			break;
	if (op != NULL)
		op_free(&op);
}
