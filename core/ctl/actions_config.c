/*
 * config.rollback: an earlier version of the configuration brought back, as an edit like others,
 * which has a plan, makes a version of its own and can be taken back. What no version has, secrets,
 * stays as it is now.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/obj.h"
#include "ctl/actions_rules.h"
#include "ctl/config.h"
#include "ctl/handlers.h"

#define AT_ONCE 16 /* objects of a step */

static void collect_free(void *arg)
{
	struct config_collect *c = arg;
	config_collect_done(c);
	free(c);
}

/* The object as it was, with what stays as it is. */
static int restored(const struct op *op, const json_t *change, const json_t *now, json_t **ret,
		    struct err *err)
{
	const struct config_rules *r = config_rules(json_get_str(change, "kind"));
	const json_t *was = json_object_get(change, "before");
	json_t *object;
	int rc = 0;
	*ret = NULL;
	if (r == NULL)
		return err_set(err, ERR_STATE, "this release knows no %s",
			       json_get_str(change, "kind"));
	if (!json_is_object(was))
		return 0;
	object = json_deep_copy(was);
	for (size_t i = 0; r->keeps[i] != NULL && now != NULL; i++)
		(void)json_object_set(object, r->keeps[i], json_object_get(now, r->keeps[i]));
	if (r->restore != NULL)
		rc = r->restore(op->env, now, object, err);
	if (rc < 0)
		json_decref(object);
	else
		*ret = object;
	return rc;
}

static int roll_back(struct op *op, const json_t *change, struct err *err)
{
	const char *kind = json_get_str(change, "kind");
	const char *id = json_get_str(change, "id");
	json_t *now = object_current(op->env, kind, id);
	json_t *then = NULL;
	int rc = restored(op, change, now, &then, err);
	if (rc >= 0 && (now == NULL) == (then == NULL) && (now == NULL || json_equal(now, then))) {
		json_decref(now);
		json_decref(then);
		return 0;
	}
	if (rc >= 0)
		rc = op_lock(op, kind, id, err);
	if (rc < 0) {
		json_decref(now);
		json_decref(then);
		return rc;
	}
	op_object(op, kind, id, now, then);
	return 0;
}

/* Some more of the objects; all are done when no change is left. */
static enum slice step_back(void *arg)
{
	struct op *op = arg;
	struct config_collect *c = op->more;
	for (int n = 0; n < AT_ONCE && c->iter != NULL; n++) {
		const json_t *change = json_object_iter_value(c->iter);
		c->iter = json_object_iter_next(c->diff, c->iter);
		if (config_is_change(change) && roll_back(op, change, &op->err) < 0)
			return SLICE_END;
	}
	return c->iter != NULL ? SLICE_MORE : SLICE_END;
}

static void on_rolled(void *arg)
{
	struct op *op = OBJ(op, OP_MAGIC, arg);
	struct err err = op->err;
	if (err.code == 0)
		(void)!edit_unchanged(op, &err);
	if (err.code == 0 && op->objects == NULL)
		(void)err_set(&err, ERR_STATE, "the configuration is as it was in %s",
			      op->plan->text);
	if (err.code != 0) {
		op_fail(op, &err);
		return;
	}
	op_begin(op, true);
	rule_store(op);
}

static void on_collected(void *arg, const struct err *err)
{
	struct op *op = OBJ(op, OP_MAGIC, arg);
	struct config_collect *c = op->more;
	struct err wrong = ERR_INIT;
	if (err != NULL) {
		wrong = *err;
		op_fail(op, &wrong);
		return;
	}
	c->iter = json_object_iter(c->diff);
	slicer_run(&op->slicer, step_back, on_rolled);
}

/* Others' edits that are on their way to the disk come first: they are a part of what is gone back
 * from. */
static enum slice step_begin(void *arg)
{
	return edits_under_way(arg) ? SLICE_WAIT : SLICE_END;
}

static void on_begin(void *arg)
{
	struct op *op = OBJ(op, OP_MAGIC, arg);
	edit_looks(op);
	config_collect(op->more);
}

static int check_version(const struct ctl_env *env, uint64_t version, struct err *err)
{
	if (version < env->actions->version)
		return 0;
	if (version == env->actions->version)
		return err_param(err, ERR_STATE, "version",
				 "version %" PRIu64 " is the one in force", version);
	return err_param(err, ERR_UNKNOWN, "version",
			 "there is no version %" PRIu64
			 " yet; weir config history has those there are",
			 version);
}

/* Without a version: what is on probation is taken back, as its undo would do it. */
static void end_probation(struct ctl_call *call)
{
	struct ctl_env *env = ctl_env(call);
	const struct probation *p = env->probation;
	struct action *x = p != NULL ? journal_find(env->actions, p->action) : NULL;
	struct err err = ERR_INIT;
	struct op *op;
	if (x == NULL || x->state != ACTION_UNDOABLE) {
		(void)err_param(&err, ERR_STATE, "version",
				"no edit is on probation: say which version is to come back, as "
				"weir config history lists them");
		ctl_fail(call, &err);
		return;
	}
	if (x->busy) {
		(void)err_set(&err, ERR_CONFLICT, "it is being taken back this moment");
		ctl_fail(call, &err);
		return;
	}
	op = rule_op(call, p->id);
	op_begin(op, false);
	undo_objects(op, x, rule_refused);
}

void ctl_config_rollback(struct ctl_call *call)
{
	struct ctl_env *env = ctl_env(call);
	uint64_t version = (uint64_t)ctl_int(call, "version", 0);
	struct config_collect *c;
	struct err err = ERR_INIT;
	struct op *op;
	char name[40];
	if (ctl_json(call, "version") == NULL) {
		end_probation(call);
		return;
	}
	(void)snprintf(name, sizeof(name), "version %" PRIu64, version);
	op = rule_op(call, name);
	if (check_version(env, version, &err) < 0) {
		op_fail(op, &err);
		return;
	}
	c = xcalloc(1, sizeof(*c));
	*c = (struct config_collect){
		.env = env, .above = version, .below = INT64_MAX, .fn = on_collected, .arg = op
	};
	op->more = c;
	op->more_free = collect_free;
	slicer_run(&op->slicer, step_begin, on_begin);
}
