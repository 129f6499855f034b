/*
 * Taking back, and the journal's list. An undo is an action of its own: when it is on disk the
 * other one is undone, whatever happens then.
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

#define AT_ONCE 16   /* objects of a step */
#define LEFT_TOLD 20 /* one by one; of others how many there are */

/* --- which one -------------------------------------------------------------------------------- */

static bool may_undo(const struct ctl_caller *who, const struct action *x)
{
	return x->method != NULL && who->role >= x->method->role;
}

static struct action *own_last(struct actions *a, const struct ctl_caller *who)
{
	struct action *x;
	TAILQ_FOREACH_REVERSE(x, &a->recent, action_list, link)
	if (strcmp(x->who, who->user) == 0 && !x->busy && may_undo(who, x) &&
	    journal_state_now(a, x) == ACTION_UNDOABLE)
		return x;
	return NULL;
}

static int find_action(struct actions *a, const struct ctl_call *call, struct action **ret,
		       struct err *err)
{
	const char *text = ctl_str(call, "action");
	uint64_t id;
	if (text == NULL) {
		*ret = own_last(a, ctl_who(call));
		return *ret != NULL ? 0
				    : err_set(err, ERR_UNKNOWN,
					      "%s has done nothing that can still be taken back",
					      ctl_who(call)->user);
	}
	if (!journal_id_parse(str_of(text), &id))
		return err_param(err, ERR_INVALID, "action",
				 "an action's id looks like a12; weir actions lists them");
	*ret = journal_find(a, id);
	if (*ret != NULL)
		return 0;
	if (id <= a->last_id)
		return err_param(err, ERR_EXPIRED, "action",
				 "too late: a%" PRIu64 " cannot be taken back any more", id);
	return err_param(err, ERR_UNKNOWN, "action",
			 "there is no action %.40s; weir actions lists them", text);
}

static int refuse_undone(struct actions *a, const struct action *x, struct err *err)
{
	const struct action *by;
	char id[ACTION_ID_LEN];
	char at[FMT_TIME_LEN];
	journal_id_text(x->id, id);
	TAILQ_FOREACH_REVERSE(by, &a->recent, action_list, link)
	{
		if (!journal_is_undo(by) || strcmp(by->target, id) != 0)
			continue;
		fmt_time(by->at_ms, at);
		return err_set(err, ERR_STATE, "%s was taken back already, by %s at %s", id,
			       by->who, at);
	}
	return err_set(err, ERR_STATE, "%s was taken back already", id);
}

static int check_state(struct actions *a, const struct ctl_caller *who, const struct action *x,
		       struct err *err)
{
	char id[ACTION_ID_LEN];
	char until[FMT_TIME_LEN];
	journal_id_text(x->id, id);
	fmt_time(x->undo_until_ms, until);
	if (x->state == ACTION_UNDONE)
		return refuse_undone(a, x, err);
	if (x->undo_until_ms == 0 || x->method == NULL)
		return err_set(err, ERR_STATE, "%s (%s) is nothing that can be taken back", id,
			       x->method != NULL ? x->method->name : "?");
	if (!may_undo(who, x))
		return err_set(err, ERR_DENIED, "taking back %s (%s) needs the role %s", id,
			       x->method->name, access_name(x->method->role));
	if (journal_state_now(a, x) != ACTION_UNDOABLE)
		return err_set(err, ERR_EXPIRED, "too late: %s could be taken back until %s", id,
			       until);
	if (x->busy)
		return err_set(err, ERR_CONFLICT, "%s is being taken back this moment", id);
	return 0;
}

/* --- objects ---------------------------------------------------------------------------------- */

/* Who changed it last. The journal does not keep the objects of large changes for long, and not
 * every change of an object is an edit: the later one of both is it. */
static void name_changed(struct op *op, const char *kind, const char *id, char *ret, size_t n)
{
	const struct action *x = journal_on_object(op->a, kind, id);
	uint64_t edit = edit_last(op->a, kind, id);
	if (edit != 0 && (x == NULL || edit > x->id)) {
		x = journal_find(op->a, edit);
		if (x == NULL)
			edit_name(op->a, kind, id, ret, n);
	}
	if (x != NULL && x != op->of)
		journal_name(x, ret, n);
}

static int refuse_changed(struct op *op, const char *kind, const char *id, struct err *err)
{
	char name[250] = "by itself";
	name_changed(op, kind, id, name, sizeof(name));
	return err_set(err, ERR_CONFLICT, "%s %s was changed since: %s", kind, id, name);
}

static bool same(const json_t *a, const json_t *b)
{
	if (a == NULL || b == NULL || json_is_null(a) || json_is_null(b))
		return (a == NULL || json_is_null(a)) && (b == NULL || json_is_null(b));
	return json_equal(a, b);
}

/* A hold that would come back must not meet another one on its target. */
static int check_hold_free(struct op *op, const json_t *hold, struct err *err)
{
	const char *target = json_get_str(hold, "target");
	for (size_t i = 0; i < holds_n(op->env->holds); i++) {
		const struct hold *h = holds_at(op->env->holds, i);
		if (h->ended_ms == 0 && strcmp(h->target.canonical, target) == 0)
			return err_set(err, ERR_EXISTS,
				       "%.150s is held again meanwhile, by %s (%s)", target, h->by,
				       h->id);
	}
	return 0;
}

/* Its time is over, as the change had said. */
static bool is_past(const struct op *op, const json_t *object)
{
	int64_t expires_ms = json_get_int(object, "expires_ms");
	return expires_ms != 0 && expires_ms <= op->at_ms;
}

/* Whether the object is as the change had left it. */
static bool is_left(const struct op *op, const json_t *current, const json_t *after)
{
	return same(current, after) || (current == NULL && is_past(op, after));
}

/* Who is not asked about each of them (op->leave) leaves what was changed since. */
static bool leave(struct op *op, const char *kind, const char *id)
{
	struct err err = ERR_INIT;
	if (!op->leave)
		return false;
	if (op->left_n++ >= LEFT_TOLD)
		return true;
	(void)refuse_changed(op, kind, id, &err);
	if (op->left == NULL)
		op->left = json_array();
	(void)json_array_append_new(op->left, json_pack("{s:s, s:s, s:o}", "kind", kind, "id", id,
							"why", json_text(str_of(err.msg))));
	rule_warn(op, xasprintf("%s; it stays as it is", err.msg));
	return true;
}

static size_t left_more(const struct op *op)
{
	return op->left_n - json_array_size(op->left);
}

static int undo_object(struct op *op, const json_t *o, struct err *err)
{
	const char *kind = json_get_str(o, "kind");
	const char *id = json_get_str(o, "id");
	json_t *before = json_object_get(o, "before");
	json_t *current = object_current(op->env, kind, id);
	bool is_hold = strcmp(kind, "hold") == 0;
	bool left = is_left(op, current, json_object_get(o, "after"));
	int rc = 0;
	if (!left && leave(op, kind, id)) {
		json_decref(current);
		return 0;
	}
	rc = op_lock(op, kind, id, err);
	if (rc >= 0 && !left)
		rc = refuse_changed(op, kind, id, err);
	if (rc >= 0 && is_hold && json_is_object(before))
		rc = check_hold_free(op, before, err);
	if (rc < 0) {
		json_decref(current);
		return rc;
	}
	/* a hold that was has made lifetimes longer, so it ends instead of being gone */
	if (is_hold && json_is_null(before))
		before = hold_ended(current, op->at_ms);
	else
		json_incref(before);
	op_object(op, kind, id, current, json_is_null(before) ? NULL : json_incref(before));
	json_decref(before);
	return 0;
}

/* Some more of them; all are done at the array's end. */
static int undo_some(struct op *op, size_t most, struct err *err)
{
	const json_t *objects = op->of->objects;
	int rc = 0;
	for (; rc >= 0 && most > 0 && op->at < json_array_size(objects); most--, op->at++) {
		const json_t *o = json_array_get(objects, op->at);
		if (strcmp(json_get_str(o, "kind"), PROBATION_KIND) != 0)
			rc = undo_object(op, o, err);
	}
	return rc;
}

static void undo_take(struct op *op, struct action *x)
{
	op->of = x;
	op->at = 0;
	x->busy = true;
	op->leave = op->method == &method_defs[M_CONFIG_ROLLBACK];
}

/* --- the undo --------------------------------------------------------------------------------- */

static void undo_refused(struct op *op)
{
	op_fail(op, &op->err);
}

static void undo_done(struct op *op)
{
	struct action *x = op->of;
	op->of = NULL;
	journal_close(op->a, x, ACTION_UNDONE);
	marks_again(op->a); /* what comes out of the trash may be held meanwhile */
	op_answer(op);
}

/* A plan leaves nothing, nor does what the disk refuses. */
static void log_left(const struct op *op)
{
	const json_t *o;
	size_t i;
	json_array_foreach(op->left, i, o)
		log_warn(op->plan->text, "undo.left", F_STR("kind", json_get_str(o, "kind")),
			 F_STR("id", json_get_str(o, "id")), F_STR("why", json_get_str(o, "why")));
	if (left_more(op) > 0)
		log_warn(op->plan->text, "undo.left", F_U64("more", left_more(op)));
}

static void undo_effect(struct op *op)
{
	struct action *x = op->of;
	x->state = ACTION_UNDONE;
	log_left(op);
	if (x->objects != NULL) {
		objects_apply(op);
		op_marks(op, undo_done);
	} else if (journal_is(x, M_QUEUE_RETRY)) {
		op->records = true;
		op_pass(op, x->rids, x->n, touch_restore, false, undo_done);
	} else {
		op_pass(op, x->rids, x->n, touch_untrash, false, undo_done);
	}
}

static void undo_commit(struct op *op, size_t recipients, uint64_t messages, op_fn *refused)
{
	const struct action *x = op->of;
	json_t *more = json_incref(op->result);
	char id[ACTION_ID_LEN];
	journal_id_text(x->id, id);
	op_result(op, recipients, messages);
	if (more != NULL)
		(void)json_object_update(op->result, more);
	json_decref(more);
	(void)json_object_set_new(op->result, "undone",
				  json_pack("{s:s, s:s, s:o}", "action", id, "method",
					    x->method->name, "target",
					    json_text(str_of(x->target))));
	op_commit(op, undo_effect, refused);
}

static enum slice step_undo(void *arg)
{
	struct op *op = arg;
	if (undo_some(op, AT_ONCE, &op->err) < 0)
		return SLICE_END;
	return op->at < json_array_size(op->of->objects) ? SLICE_MORE : SLICE_END;
}

static void on_objects(void *arg)
{
	struct op *op = OBJ(op, OP_MAGIC, arg);
	const struct action *x = op->of;
	struct err err = op->err;
	if (err.code == 0 && probation_is(op->env, x->id))
		(void)!probation_end(op, &err);
	if (err.code != 0) {
		op_fail(op, &err);
		return;
	}
	if (left_more(op) > 0)
		rule_warn(op, xasprintf("%zu more were changed since; they stay as they are",
					left_more(op)));
	undo_commit(op, (size_t)json_get_int(x->result, "recipients"),
		    (uint64_t)json_get_int(x->result, "messages"), op->refused);
}

void undo_objects(struct op *op, struct action *x, op_fn *refused)
{
	undo_take(op, x);
	op->refused = refused;
	if (json_array_size(x->objects) >= OP_LARGE) {
		slicer_run(&op->slicer, step_undo, on_objects);
		return;
	}
	(void)!undo_some(op, SIZE_MAX, &op->err);
	on_objects(op);
}

static void undo_store(struct op *op)
{
	op->skipped = op->pass_n - op->touched;
	undo_commit(op, op->touched, op->messages, undo_refused);
}

/* Whether there is something to take back for this recipient. */
static bool touch_look(struct op *op, struct rid rid)
{
	const struct action *x = op->of;
	struct sched_view v;
	if (!sched_find(op->env->sched, rid, &v))
		return false;
	if (!journal_is(x, M_QUEUE_RETRY))
		return v.state == SCHED_TRASH;
	return v.state != SCHED_ACTIVE && v.own_next_ms == 0 && x->was[op->at] != 0;
}

void ctl_action_undo(struct ctl_call *call)
{
	struct ctl_env *env = ctl_env(call);
	struct actions *a = env->actions;
	struct err err = ERR_INIT;
	struct action *x = NULL;
	struct op *op;
	char id[ACTION_ID_LEN];
	if (find_action(a, call, &x, &err) < 0 || x == NULL ||
	    check_state(a, ctl_who(call), x, &err) < 0) {
		ctl_fail(call, &err);
		return;
	}
	journal_id_text(x->id, id);
	op = op_new(a, call, ctl_method(call));
	op_name(op, id);
	ctl_about(call, op->method, id);
	op_begin(op, false);
	if (x->objects != NULL) {
		undo_objects(op, x, undo_refused);
		return;
	}
	undo_take(op, x);
	op_pass(op, x->rids, x->n, touch_look, false, undo_store);
}

/* --- the list --------------------------------------------------------------------------------- */

static const char *state_of(struct actions *a, const struct queue_action *q)
{
	const struct action *x = journal_find(a, q->id);
	struct action stored = { .undo_until_ms = q->undo_until_ms,
				 .method = method_find(q->method) };
	if (x != NULL)
		return journal_state_name(journal_state_now(a, x));
	if (strcmp(q->state, journal_state_name(ACTION_UNDOABLE)) != 0)
		return q->state;
	return journal_state_name(journal_state_now(a, &stored));
}

static json_t *journal_row(struct actions *a, const struct queue_action *q)
{
	char id[ACTION_ID_LEN];
	json_t *result = NULL;
	json_t *row;
	journal_id_text(q->id, id);
	if (json_read(q->result, &result, NULL) < 0)
		result = NULL;
	row = json_pack("{s:s, s:o, s:o, s:o, s:s, s:s, s:o, s:I, s:o, s:s, s:o}", "action", id,
			"at", json_time(q->at_ms), "who", json_text(str_of(q->who)), "from_where",
			json_text(str_of(q->from_where)), "role", q->role, "method", q->method,
			"target", json_text(str_of(q->target)), "recipients",
			(json_int_t)json_get_int(result, "recipients"), "reason",
			json_text(str_of(q->reason)), "state", state_of(a, q), "undo_until_at",
			json_time(q->undo_until_ms));
	json_decref(result);
	return row;
}

static void on_actions(void *arg, const struct queue_action *rows, size_t n, bool more,
		       const struct err *err)
{
	struct op *op = OBJ(op, OP_MAGIC, arg);
	json_t *list;
	char next[32];
	if (err != NULL) {
		struct err copy = *err;
		op_fail(op, &copy);
		return;
	}
	list = json_array();
	for (size_t i = 0; i < n; i++)
		(void)json_array_append_new(list, journal_row(op->a, &rows[i]));
	(void)snprintf(next, sizeof(next), "%" PRIu64, n > 0 ? rows[n - 1].id : 0);
	op->result = json_pack("{s:o, s:o, s:n, s:I, s:b}", "rows", list, "next",
			       more && n > 0 ? json_string(next) : json_null(), "prev", "total",
			       (json_int_t)op->a->last_id, "exact", 0);
	op_answer(op);
}

void ctl_action_list(struct ctl_call *call)
{
	struct ctl_env *env = ctl_env(call);
	const char *cursor = ctl_str(call, "cursor");
	struct err err = ERR_INIT;
	uint64_t before = 0;
	if (cursor != NULL && !str_u64(str_of(cursor), INT64_MAX, &before)) {
		(void)err_param(&err, ERR_INVALID, "cursor", "not a cursor of this list");
		ctl_fail(call, &err);
		return;
	}
	queue_actions(env->queue, before, (size_t)ctl_int(call, "limit", 100), on_actions,
		      op_new(env->actions, call, ctl_method(call)));
}
