/*
 * The transaction of a change: its checks, its texts, and what it leaves in memory.
 *
 * An edit of few objects is stored at once, and has each of them for itself until it is in force.
 * One of many is prepared in slices: its texts, and the lists as they will be (ctl/beside.h), so
 * that neither storing it nor putting it in force takes long. From then until it is in force nobody
 * else edits the configuration (op->whole): what was prepared is what will be.
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

#define UNDO_BEGIN "{\"objects\":["
#define UNDO_END "]}"
#define ITEMS 16 /* objects of a step */

/* --- texts ------------------------------------------------------------------------------------ */

void op_texts_init(struct op *op)
{
	op->texts = (struct op_texts){ .changes = BUF_INIT(OP_TEXT_MAX),
				       .edited = BUF_INIT(OP_TEXT_MAX),
				       .undo = BUF_INIT(OP_TEXT_MAX) };
}

void op_texts_done(struct op *op)
{
	queue_batch_free(&op->texts.batch);
	buf_done(&op->texts.changes);
	buf_done(&op->texts.edited);
	buf_done(&op->texts.undo);
	reap_json(op->a->reaper, op->texts.shown);
	op->texts.shown = NULL;
}

static int dump_into(const char *text, size_t n, void *to)
{
	return buf_put(to, text, n) ? 0 : -1;
}

/* One more of a list; the first stands behind `begin`. */
static void add_json(struct buf *list, const char *begin, const json_t *v)
{
	(void)buf_puts(list, list->n == 0 ? begin : ",");
	(void)json_dump_callback(v, dump_into, list, JSON_COMPACT);
}

static void add_to_batch(struct queue_batch *b, const json_t *o)
{
	const json_t *after = json_object_get(o, "after");
	const char *kind = json_get_str(o, "kind");
	const char *const *secrets = object_secrets(kind);
	AUTO_FREE char *json = json_is_null(after) ? NULL : json_dumps(after, JSON_COMPACT);
	const struct queue_object q = { .kind = kind,
					.id = json_get_str(o, "id"),
					.json = json,
					.secret = secrets == NULL || secrets[0] != NULL };

	queue_batch_add(b, &q);
}

/* Nothing shows them: they stand behind the others. */
static void add_secrets(struct op *op)
{
	for (size_t i = 0; i < op->secrets_n; i++) {
		const struct queue_object q = { .kind = op->secrets[i].kind,
						.id = op->secrets[i].id,
						.json = op->secrets[i].json,
						.secret = true };
		queue_batch_add(op->texts.batch, &q);
	}
}

static int add_edited(struct op *op, const json_t *o, struct err *err)
{
	json_t *change = config_change(o);
	int rc = 0;

	if (change == NULL)
		return 0;
	rc = edit_check(op, change, err);
	op->edited_n++;
	add_json(&op->texts.edited, "[", change);
	if (rc >= 0 && !op->whole) {
		if (op->edited == NULL)
			op->edited = json_array();
		(void)json_array_append(op->edited, change);
	}
	json_decref(change);
	return rc;
}

/* What cannot be taken back needs no secrets for it. */
static void add_changes(struct op *op, const json_t *o)
{
	struct op_texts *t = &op->texts;
	json_t *shown = audit_object_without(o);
	bool undoable = op->undo_until_ms != 0;

	t->secrets = t->secrets || !json_equal(shown, o);
	add_json(&t->changes, "[", shown);
	add_json(&t->undo, UNDO_BEGIN, undoable ? o : shown);
	if (!undoable) {
		if (t->shown == NULL)
			t->shown = json_array();
		(void)json_array_append(t->shown, shown);
	}
	json_decref(shown);
}

static int add_object(struct op *op, const json_t *o, struct err *err)
{
	int rc = add_edited(op, o, err);

	if (rc < 0)
		return rc;
	if (op->texts.batch == NULL)
		op->texts.batch = queue_batch_new();
	add_to_batch(op->texts.batch, o);
	add_changes(op, o);
	if (op->texts.changes.full || op->texts.edited.full || op->texts.undo.full)
		return err_set(err, ERR_LIMIT, "it changes more than one action can");
	return 0;
}

/* Up to so many of those that are not in the texts yet. */
static int add_objects(struct op *op, size_t most, struct err *err)
{
	size_t n = json_array_size(op->objects);
	int rc = 0;

	for (; rc >= 0 && most > 0 && op->texts.at < n; most--, op->texts.at++)
		rc = add_object(op, json_array_get(op->objects, op->texts.at), err);
	return rc;
}

/* --- the action ------------------------------------------------------------------------------- */

static const char *reason_of(const struct op *op)
{
	const char *reason = op->call != NULL ? ctl_str(op->call, "reason") : op->reason;
	return reason != NULL ? reason : "";
}

static const char *request_of(const struct op *op)
{
	const char *request = op->call != NULL ? ctl_str(op->call, "request") : NULL;
	return request != NULL ? request : "";
}

static enum action_state state_at_first(const struct op *op)
{
	return op->undo_until_ms != 0 ? ACTION_UNDOABLE : ACTION_DONE;
}

/* In the order of ids, although commits may overtake each other. */
static void insert(struct actions *a, struct action *x)
{
	struct action *before = TAILQ_LAST(&a->recent, action_list);
	while (before != NULL && before->id > x->id)
		before = TAILQ_PREV(before, action_list, link);
	if (before != NULL)
		TAILQ_INSERT_AFTER(&a->recent, before, x, link);
	else
		TAILQ_INSERT_HEAD(&a->recent, x, link);
	a->recent_n++;
}

static void remember(struct op *op)
{
	struct action *x = xcalloc(1, sizeof(*x));
	x->id = op->id;
	x->at_ms = op->at_ms;
	x->undo_until_ms = op->undo_until_ms;
	x->method = op->method;
	x->who = xstrdup(op->who->user);
	x->target = xstrdup(op->plan->text);
	x->reason = xstrdup(reason_of(op));
	x->request = xstrdup(request_of(op));
	x->state = state_at_first(op);
	x->result = json_incref(op->result);
	x->objects = json_incref(op->undo_objects);
	x->wipe = op->wipe;
	x->rids = op->set;
	x->n = op->set_n;
	x->was = op->was;
	op->set = NULL;
	op->set_n = 0;
	op->was = NULL;
	insert(op->a, x);
	op->env->actions_generation++;
	if (x->method == &method_defs[M_QUEUE_RETRY] && x->n > 0)
		end_retry_store(op->a, x);
}

static void on_committed(void *arg, const struct err *err)
{
	struct op *op = OBJ(op, OP_MAGIC, arg);
	op->storing_now = false;
	if (err != NULL) {
		op->err = *err;
		op->failed(op);
		return;
	}
	remember(op);
	edit_stored(op);
	actions_arm(op->a);
	op->then(op);
}

/* Owned by the caller; NULL when there is none. */
static char *take_list(struct buf *list, const char *end)
{
	if (list->n == 0)
		return NULL;
	(void)buf_puts(list, end);
	return buf_take(list);
}

static char *undo_text(struct op *op)
{
	char *text;
	if (op->was_text.n > 0) {
		(void)buf_puts(&op->was_text, WAS_END);
		return buf_take(&op->was_text);
	}
	text = take_list(&op->texts.undo, UNDO_END);
	return text != NULL ? text : xstrdup("{}");
}

static void for_undo(struct op *op)
{
	struct op_texts *t = &op->texts;
	/* what is on probation is kept like that, too: until the end of its window, however far */
	op->wipe = (t->secrets || op->probation) && op->undo_until_ms != 0;
	op->undo_objects = json_incref(t->secrets && !op->wipe ? t->shown : op->objects);
}

static void store(struct op *op)
{
	char *result = json_dumps(op->result, JSON_COMPACT);
	struct queue_batch *batch = op->texts.batch;
	for_undo(op);
	struct queue_action a = {
		.id = op->id,
		.at_ms = op->at_ms,
		.undo_until_ms = op->undo_until_ms,
		.who = op->who->user,
		.from_where = op->who->from_where,
		.role = access_name(op->who->role),
		.method = op->method->name,
		.target = op->plan->text,
		.reason = reason_of(op),
		.request = request_of(op),
		.state = journal_state_name(state_at_first(op)),
		.result = result,
		.undo = undo_text(op),
		.wipe = op->wipe,
		.take_texts = true,
		.rids = op->set_copy,
		.rids_n = op->set_n,
		.take_rids = true,
		.uid = (int32_t)op->who->uid, /* -1: the relay itself */
		.changes = take_list(&op->texts.changes, "]"),
		.version = op->version,
		.edited = take_list(&op->texts.edited, "]"),
	};
	op->set_copy = NULL;
	op->texts.batch = NULL;
	op->storing_now = true;
	queue_commit_batch(op->env->queue, &a, batch, on_committed, op);
	free(result);
}

/* All is in the texts, but for what follows from the version. */
static void finish(struct op *op)
{
	edit_version(op);
	if (probation_begin(op, &op->err) < 0 || add_objects(op, SIZE_MAX, &op->err) < 0) {
		op->failed(op);
		return;
	}
	if (op->texts.batch == NULL)
		op->texts.batch = queue_batch_new();
	add_secrets(op);
	store(op);
}

/* --- without secrets -------------------------------------------------------------------------- */

static enum slice step_strip(void *arg)
{
	struct op *op = arg;
	const struct action *x = op->of;
	struct op_texts *t = &op->texts;
	for (int n = 0; n < ITEMS && t->at < json_array_size(x->objects); n++, t->at++) {
		json_t *shown = audit_object_without(json_array_get(x->objects, t->at));
		add_json(&t->undo, UNDO_BEGIN, shown);
		(void)json_array_append_new(t->shown, shown);
	}
	return t->at < json_array_size(x->objects) ? SLICE_MORE : SLICE_END;
}

static void on_stripped(void *arg)
{
	struct op *op = OBJ(op, OP_MAGIC, arg);
	struct action *x = op->of;
	char *text = undo_text(op);
	reap_json(op->a->reaper, x->objects);
	x->objects = op->texts.shown;
	op->texts.shown = NULL;
	x->wipe = false;
	journal_stripped(op->a, x, text);
	free(text);
	op_free(&op);
}

void op_strip(struct actions *a, struct action *x)
{
	struct op *op = op_new(a, NULL, NULL);
	op->of = x;
	x->busy = true;
	op->texts.shown = json_array();
	slicer_run(&op->slicer, step_strip, on_stripped);
}

/* --- in slices -------------------------------------------------------------------------------- */

bool op_is_large(const struct op *op)
{
	return json_array_size(op->objects) >= OP_LARGE;
}

const struct op *op_whole(const struct actions *a)
{
	const struct op *op;
	TAILQ_FOREACH (op, &a->ops, link)
		if (op->whole)
			return op;
	return NULL;
}

static enum slice step_prepare(void *arg)
{
	struct op *op = arg;
	int rc = 1;
	if (edits_under_way(op))
		return SLICE_WAIT;
	if (op->texts.at < json_array_size(op->objects)) {
		rc = add_objects(op, ITEMS, &op->err);
		return rc < 0 ? SLICE_END : SLICE_MORE;
	}
	if (op->beside == NULL)
		op->beside = beside_new(op->env, op->objects);
	rc = beside_step(op->beside, &op->err);
	return rc > 0 ? SLICE_MORE : SLICE_END;
}

static void on_prepared(void *arg)
{
	struct op *op = OBJ(op, OP_MAGIC, arg);
	if (op->err.code != 0)
		op->failed(op);
	else
		finish(op);
}

/* Whose edit of one of them began before, with what was in force then, comes first. */
static int lock_edited(struct op *op, struct err *err)
{
	const json_t *o;
	size_t i;
	json_array_foreach(op->objects, i, o)
	{
		const char *kind = json_get_str(o, "kind");
		if (config_rules(kind) != NULL && op_lock(op, kind, json_get_str(o, "id"), err) < 0)
			return -err->code;
	}
	return 0;
}

/* Others than edits (a release of many holds) change what nobody has to be kept from meanwhile. */
static int take_edited(struct op *op, struct err *err)
{
	int rc;
	if (!op->of_config)
		return 0;
	if (!op_is_large(op))
		return lock_edited(op, err);
	rc = edit_alone(op, err);
	op->whole = rc >= 0;
	return rc;
}

void op_commit(struct op *op, op_fn *then, op_fn *failed)
{
	bool planning = op->call != NULL && ctl_acting(op->call) == CTL_PLANNING;
	op->then = then;
	op->failed = failed;
	if (probation_check(op, &op->err) < 0 || (!planning && take_edited(op, &op->err) < 0))
		failed(op);
	else if (planning)
		edit_plan(op);
	else if (op->whole)
		slicer_run(&op->slicer, step_prepare, on_prepared);
	else if (add_objects(op, SIZE_MAX, &op->err) < 0)
		failed(op);
	else
		finish(op);
}

static void on_objects(void *arg, const struct err *err)
{
	struct op *op = OBJ(op, OP_MAGIC, arg);
	if (err != NULL) /* what is due stays due: it happens again after the next start */
		log_warn(NULL, "actions.objects", F_STR("error", err->msg));
	op->then(op);
}

void op_commit_objects(struct op *op, op_fn *then)
{
	struct queue_batch *batch = queue_batch_new();
	const json_t *o;
	size_t i;
	json_array_foreach(op->objects, i, o) add_to_batch(batch, o);
	op->then = then;
	queue_commit_batch(op->env->queue, NULL, batch, on_objects, op);
}
