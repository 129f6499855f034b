/*
 * The life of a change: its set, passes over it, its transaction, its answer. See actions_int.h.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/mem.h"
#include "base/obj.h"
#include "ctl/actions_int.h"
#include "ctl/config.h"

static const struct ctl_caller itself = {
	.uid = (uid_t)-1, .role = ACCESS_ADMIN, .user = "weir-relayd", .from_where = "local"
};

struct op *op_new(struct actions *a, struct ctl_call *call, const struct method_def *m)
{
	struct op *op = xcalloc(1, sizeof(*op));
	op->magic = OP_MAGIC;
	op->a = a;
	op->env = a->env;
	op->call = call;
	op->who = call != NULL ? ctl_who(call) : &itself;
	op->method = m;
	edit_looks(op);
	op->locks = json_object();
	op->was_text = BUF_INIT(OP_TEXT_MAX);
	op_texts_init(op);
	slicer_init(&op->slicer, a->env->loop, "ctl.actions", op);
	TAILQ_INSERT_TAIL(&a->ops, op, link);
	return op;
}

bool op_planned(const struct op *op)
{
	return op->plan != NULL && op->plan->id[0] != '\0';
}

void op_free(struct op **opp)
{
	struct op *op = *opp;
	*opp = NULL;
	if (op == NULL)
		return;
	TAILQ_REMOVE(&op->a->ops, op, link);
	slicer_done(&op->slicer);
	select_cancel(&op->select);
	replay_free(&op->replay);
	if (op_planned(op))
		op->plan->committing = false;
	else
		plan_free(op->a, &op->plan);
	if (op->of != NULL)
		op->of->busy = false;
	reap_json(op->a->reaper, op->locks);
	json_decref(op->result);
	json_decref(op->edited);
	json_decref(op->met);
	reap_json(op->a->reaper, op->rows);
	if (op->beside != NULL)
		reap(op->a->reaper, op->beside, beside_free_some);
	op_texts_done(op);
	reap_json(op->a->reaper, op->undo_objects);
	reap_json(op->a->reaper, op->objects);
	json_decref(op->left);
	free(op->set);
	free(op->set_copy);
	free(op->was);
	buf_done(&op->was_text);
	free(op->groups);
	free(op->unmark.v);
	free(op->mark.v);
	selection_done(&op->to_mark);
	if (op->more_free != NULL)
		op->more_free(op->more);
	for (size_t i = 0; i < op->secrets_n; i++) {
		free(op->secrets[i].kind);
		free(op->secrets[i].id);
		keys_wipe(&op->secrets[i].json);
	}
	op->magic = 0;
	free(op);
}

void op_fail(struct op *op, const struct err *err)
{
	if (op->call != NULL)
		ctl_fail(op->call, err);
	else
		log_warn(NULL, "actions.failed", F_STR("error", err->msg));
	op_free(&op);
}

void op_answer(struct op *op)
{
	if (op->call != NULL)
		ctl_reply(op->call, json_incref(op->result));
	if (op_planned(op) && op->plan->committing)
		plan_close(op->a, &op->plan);
	op_free(&op);
}

void op_name(struct op *op, const char *text)
{
	if (op->call != NULL && ctl_acting(op->call) == CTL_COMMITTING) {
		op->plan = plan_find(op->a, ctl_str(op->call, "plan"));
		ASSERT(op->plan != NULL);
		op->plan->committing = true;
		return;
	}
	op->plan = xcalloc(1, sizeof(*op->plan));
	op->plan->method = op->method;
	op->plan->text = xstrdup(text);
}

int op_lock(struct op *op, const char *kind, const char *id, struct err *err)
{
	AUTO_FREE char *lock = xasprintf("%s:%s", kind, id);
	const struct op *other;
	int rc = edit_not_now(op, kind, err);
	if (rc < 0)
		return rc;
	TAILQ_FOREACH (other, &op->a->ops, link)
		if (other != op && json_object_get(other->locks, lock) != NULL)
			return err_set(err, ERR_CONFLICT,
				       "%s is changing %s %s this moment; try again",
				       other->who->user, kind, id);
	(void)json_object_set_new_nocheck(op->locks, lock, json_true());
	return 0;
}

/* --- the set ---------------------------------------------------------------------------------- */

static void on_selected(void *arg, struct selection *take, const struct err *err)
{
	struct op *op = OBJ(op, OP_MAGIC, arg);
	op->select = NULL;
	if (err != NULL) {
		struct err copy = *err;
		op_fail(op, &copy);
		return;
	}
	free(op->plan->rids);
	op->plan->rids = take->rids;
	op->plan->n = take->n;
	op->plan->in_delivery = take->in_delivery;
	*take = (struct selection){ .n = 0 };
	op->then(op);
}

void op_select(struct op *op, const struct filter *f, op_fn *then)
{
	op->then = then;
	if (f != NULL)
		op->select = select_start(op->env, f, on_selected, op);
	else
		op->select =
			select_held(op->env, op->plan->holds, op->plan->holds_n, on_selected, op);
}

bool all_single(const struct ctl_env *env, uint64_t *ret_messages)
{
	struct sched_counts c;
	int64_t oldest;
	sched_totals(env->sched, &c, ret_messages, &oldest);
	return c.total == *ret_messages;
}

/* --- passes ----------------------------------------------------------------------------------- */

static void put_was(struct buf *out, int64_t was)
{
	static const char digits[] = WAS_ALPHABET;
	for (int k = WAS_DIGITS - 1; k >= 0; k--)
		(void)buf_putc(out, digits[(uint64_t)was >> (6 * k) & 63]);
}

static void touched(struct op *op, struct rid rid)
{
	op->touched++;
	if (!msgid_eq(op->last, rid_msgid(rid)))
		op->messages++;
	op->last = rid_msgid(rid);
	if (!op->keep)
		return;
	bool retry = op->method == &method_defs[M_QUEUE_RETRY];
	if (op->set_n == op->set_cap) {
		op->set_cap = op->set_cap == 0 ? 256 : op->set_cap * 2;
		op->set = xreallocarray(op->set, op->set_cap, sizeof(*op->set));
		op->set_copy = xreallocarray(op->set_copy, op->set_cap, sizeof(*op->set_copy));
		if (retry)
			op->was = xreallocarray(op->was, op->set_cap, sizeof(*op->was));
	}
	if (retry) {
		op->was[op->set_n] = op->was_one;
		if (op->set_n == 0)
			(void)buf_puts(&op->was_text, WAS_BEGIN);
		put_was(&op->was_text, op->was_one);
	}
	op->set_copy[op->set_n] = rid;
	op->set[op->set_n++] = rid;
}

static enum slice step_pass(void *arg)
{
	struct op *op = arg;
	if (op->records && queue_record_backlog(op->env->queue) > ACTIONS_RECORDS_MAX)
		return SLICE_WAIT;
	for (size_t end = op->at + SLICER_ITEMS; op->at < end; op->at++) {
		if (op->at >= op->pass_n || op->stop)
			return SLICE_END;
		if (op->touch(op, op->pass[op->at]))
			touched(op, op->pass[op->at]);
	}
	return SLICE_MORE;
}

static void on_passed(void *arg)
{
	struct op *op = OBJ(op, OP_MAGIC, arg);
	op->then(op);
}

void op_pass(struct op *op, const struct rid *rids, size_t n, op_touch_fn *touch, bool keep,
	     op_fn *then)
{
	op->pass = rids;
	op->pass_n = n;
	op->at = 0;
	op->touch = touch;
	op->keep = keep;
	op->stop = false;
	op->touched = 0;
	op->messages = 0;
	op->last = (struct msgid){ 0 };
	op->then = then;
	slicer_run(&op->slicer, step_pass, on_passed);
}

/* --- the transaction -------------------------------------------------------------------------- */

void op_begin(struct op *op, bool undoable)
{
	int64_t window = op->method == &method_defs[M_QUEUE_BOUNCE] ? op->env->bounce_grace_ms
								    : op->env->undo_window_ms;
	bool planning = op->call != NULL && ctl_acting(op->call) == CTL_PLANNING;
	op->id = planning ? op->a->last_id + 1 : ++op->a->last_id;
	op->at_ms = loop_wall_ms(op->env->loop);
	op->undo_until_ms = undoable ? op->at_ms + window : 0;
}

void op_result(struct op *op, size_t recipients, uint64_t messages)
{
	char id[ACTION_ID_LEN];
	bool undoable = op->undo_until_ms > op->at_ms;
	journal_id_text(op->id, id);
	json_decref(op->result);
	op->result = json_pack("{s:s, s:I, s:I, s:I, s:o}", "action", id, "messages",
			       (json_int_t)messages, "recipients", (json_int_t)recipients,
			       "skipped", (json_int_t)op->skipped, "undo_until_at",
			       json_time(undoable ? op->undo_until_ms : 0));
}

void op_object(struct op *op, const char *kind, const char *id, json_t *before_take,
	       json_t *after_take)
{
	if (op->objects == NULL)
		op->objects = json_array();
	op->of_config = op->of_config || config_rules(kind) != NULL;
	(void)json_array_append_new(
		op->objects, json_pack("{s:s, s:s, s:o, s:o}", "kind", kind, "id", id, "before",
				       before_take != NULL ? before_take : json_null(), "after",
				       after_take != NULL ? after_take : json_null()));
}

void op_secret(struct op *op, const char *kind, const char *id, char *json_take)
{
	ASSERT(op->secrets_n < OP_SECRETS_MAX);
	op->secrets[op->secrets_n++] =
		(struct op_secret){ .kind = xstrdup(kind), .id = xstrdup(id), .json = json_take };
}

void op_holds_add(struct op_holds *h, uint32_t number)
{
	for (size_t i = 0; i < h->n; i++)
		if (h->v[i] == number)
			return;
	h->v = xreallocarray(h->v, h->n + 1, sizeof(*h->v));
	h->v[h->n++] = number;
}
