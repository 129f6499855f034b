/*
 * Edits of the configuration: planned, committed, and noticed by those who edit the same.
 *
 * A plan of an edit is its own handler, run up to the commit: the objects that it would change are
 * shown and kept. The commit runs the handler again, on the same parameters, and is refused when
 * any of those objects was changed since: then the plan showed what is not so any more. A caller
 * that plans nothing can say the version that he saw (`base`) and is told the same.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/obj.h"
#include "ctl/actions_int.h"
#include "ctl/config.h"
#include "ctl/handlers.h"

/* --- who changed what ------------------------------------------------------------------------- */

/* In memory, so that who edits what he saw before that is told by whom it was changed; what was
 * before the first entry is too long ago to be known. */
#define EDIT_LOG_MAX 2000
#define PLANNED_AT_ONCE 8 /* objects of a plan */
struct edit_log {
	struct edit {
		uint64_t version;
		uint64_t action;
		char *kind;
		char *id;
		char *who;
		const struct method_def *method; /* NULL: of another release */
	} v[EDIT_LOG_MAX];
	size_t n;      /* ever put in */
	uint64_t from; /* versions below are not known */
};

static void edit_done(struct edit *e)
{
	free(e->kind);
	free(e->id);
	free(e->who);
	*e = (struct edit){ .version = 0 };
}

static void note(struct edit_log *l, uint64_t version, uint64_t action, const char *who,
		 const struct method_def *method, const json_t *change)
{
	struct edit *e = &l->v[l->n % EDIT_LOG_MAX];
	if (l->n >= EDIT_LOG_MAX && e->version >= l->from)
		l->from = e->version + 1;
	edit_done(e);
	*e = (struct edit){ .version = version,
			    .action = action,
			    .kind = json_dup_str(change, "kind"),
			    .id = json_dup_str(change, "id"),
			    .who = xstrdup(who),
			    .method = method };
	l->n++;
}

static void load_version(void *arg, const struct queue_version *v)
{
	struct actions *a = arg;
	json_t *changes = json_loads(v->changes, 0, NULL);
	const json_t *one;
	size_t i;
	json_array_foreach(changes, i, one)
		note(a->edits, v->version, v->action, v->who, method_find(v->method), one);
	json_decref(changes);
}

int edits_open(struct actions *a, struct err *err)
{
	a->edits = xcalloc(1, sizeof(*a->edits));
	a->last_version = a->version = queue_last_version(a->env->queue);
	if (a->version > EDIT_LOG_MAX)
		a->edits->from = a->version - EDIT_LOG_MAX;
	return queue_load_versions(a->env->queue, a->edits->from, load_version, a, err);
}

void edits_close(struct actions *a)
{
	for (size_t i = 0; a->edits != NULL && i < EDIT_LOG_MAX; i++)
		edit_done(&a->edits->v[i]);
	free(a->edits);
	a->edits = NULL;
}

/* Whether editing one is editing the other, too. */
static bool concerns(const char *kind, const char *id, const char *kind2, const char *id2)
{
	const struct config_rules *r = config_rules(kind);
	return strcmp(kind, kind2) == 0 && (strcmp(id, id2) == 0 || (r != NULL && r->ordered));
}

static const struct edit *changed_since(const struct edit_log *l, uint64_t base, const char *kind,
					const char *id)
{
	size_t n = l->n < EDIT_LOG_MAX ? l->n : EDIT_LOG_MAX;
	for (size_t i = 1; i <= n; i++) {
		const struct edit *e = &l->v[(l->n - i) % EDIT_LOG_MAX];
		if (e->version <= base)
			return NULL;
		if (concerns(kind, id, e->kind, e->id))
			return e;
	}
	return NULL;
}

/* The last edit of this one; else, in an ordered kind, of another. */
static const struct edit *last_edit(const struct edit_log *l, const char *kind, const char *id)
{
	size_t n = l->n < EDIT_LOG_MAX ? l->n : EDIT_LOG_MAX;
	for (size_t i = 1; i <= n; i++) {
		const struct edit *e = &l->v[(l->n - i) % EDIT_LOG_MAX];
		if (strcmp(kind, e->kind) == 0 && strcmp(id, e->id) == 0)
			return e;
	}
	return changed_since(l, 0, kind, id);
}

uint64_t edit_last(const struct actions *a, const char *kind, const char *id)
{
	const struct edit *e = last_edit(a->edits, kind, id);
	return e != NULL ? e->action : 0;
}

void edit_name(const struct actions *a, const char *kind, const char *id, char *ret, size_t n)
{
	const struct edit *e = last_edit(a->edits, kind, id);
	if (e != NULL)
		(void)snprintf(ret, n, "%s by %s (a%" PRIu64 ")",
			       e->method != NULL ? e->method->name : "?", e->who, e->action);
}

/* --- before the commit ------------------------------------------------------------------------ */

/* False: whatever was before is all right. */
static bool base_of(const struct op *op, uint64_t *ret)
{
	*ret = op->call != NULL ? (uint64_t)ctl_int(op->call, "base", 0) : 0;
	if (!op_planned(op) || op->plan->edits == NULL)
		return *ret != 0;
	*ret = op->plan->base;
	return true;
}

static bool edits(const json_t *changes, const char *kind, const char *id)
{
	const json_t *one;
	size_t i;
	json_array_foreach(changes, i, one)
	{
		if (concerns(kind, id, json_get_str(one, "kind"), json_get_str(one, "id")))
			return true;
	}
	return false;
}

/* Others whose commit of the same is under way. */
static int check_under_way(const struct op *op, const char *kind, const char *id, struct err *err)
{
	const struct op *other;
	TAILQ_FOREACH (other, &op->a->ops, link)
		if (other != op && other->version > op->a->version &&
		    edits(other->edited, kind, id))
			return err_set(err, ERR_CONFLICT,
				       "%s is changing %s %s this moment; try again",
				       other->who->user, kind, id);
	return 0;
}

static int refuse_edited(const struct edit *e, uint64_t base, struct err *err)
{
	return err_set(err, ERR_CONFLICT,
		       "%s %.200s was changed by %s since version %" PRIu64
		       ", which this was made against (version %" PRIu64 ", %s, a%" PRIu64
		       "): look at it again",
		       e->kind, e->id, e->who, base, e->version,
		       e->method != NULL ? e->method->name : "?", e->action);
}

static int refuse_whole(const struct op *whole, struct err *err)
{
	return err_set(err, ERR_CONFLICT,
		       "%s is changing %zu objects of the configuration this moment (%s); try "
		       "again",
		       whole->who->user, json_array_size(whole->objects), whole->method->name);
}

static int check_base(const struct op *op, const char *kind, const char *id, struct err *err)
{
	const struct edit *e;
	uint64_t base;
	if (!base_of(op, &base))
		return 0;
	if (base > op->a->version || base + 1 < op->a->edits->from)
		return err_param(err, ERR_INVALID, "base",
				 "version %" PRIu64 " is %s; the newest is %" PRIu64, base,
				 base > op->a->version ? "still to come" : "too long ago",
				 op->a->version);
	e = changed_since(op->a->edits, base, kind, id);
	return e != NULL ? refuse_edited(e, base, err) : check_under_way(op, kind, id, err);
}

int edit_not_now(const struct op *op, const char *kind, struct err *err)
{
	const struct op *whole = op_whole(op->a);
	if (whole == NULL || whole == op || config_rules(kind) == NULL)
		return 0;
	return refuse_whole(whole, err);
}

int edit_check(const struct op *op, const json_t *change, struct err *err)
{
	const char *kind = json_get_str(change, "kind");
	int rc = edit_not_now(op, kind, err);
	return rc < 0 ? rc : check_base(op, kind, json_get_str(change, "id"), err);
}

void edit_version(struct op *op)
{
	if (op->edited_n == 0)
		return;
	op->version = ++op->a->last_version;
	if (op->result != NULL)
		(void)json_object_set_new(op->result, "version",
					  json_integer((json_int_t)op->version));
}

/* Of many the last ones are all that the log has room for. */
static void note_last(struct op *op)
{
	size_t n = json_array_size(op->objects);
	for (size_t i = n > EDIT_LOG_MAX + 1 ? n - EDIT_LOG_MAX - 1 : 0; i < n; i++) {
		json_t *change = config_change(json_array_get(op->objects, i));
		if (change != NULL)
			note(op->a->edits, op->version, op->id, op->who->user, op->method, change);
		json_decref(change);
	}
	if (op->edited_n > EDIT_LOG_MAX)
		op->a->edits->from = op->version + 1;
}

void edit_stored(struct op *op)
{
	const json_t *one;
	size_t i;
	if (op->whole)
		note_last(op);
	json_array_foreach(op->edited, i, one)
		note(op->a->edits, op->version, op->id, op->who->user, op->method, one);
	if (op->version > op->a->version)
		op->a->version = op->version;
}

/* --- many objects ----------------------------------------------------------------------------- */

bool edits_under_way(const struct op *op)
{
	const struct op *other;
	TAILQ_FOREACH (other, &op->a->ops, link)
		if (other != op && other->storing_now && other->edited_n > 0)
			return true;
	return false;
}

/* "kind:id" */
static bool is_of_config(const char *lock)
{
	struct str rest = str_of(lock);
	struct str kind = str_cut(&rest, ':');
	AUTO_FREE char *name = xstrndup(kind.p, kind.n);
	return config_rules(name) != NULL;
}

int edit_alone(const struct op *op, struct err *err)
{
	const struct op *other = op_whole(op->a);
	const char *lock;
	json_t *v;
	if (other != NULL)
		return refuse_whole(other, err);
	TAILQ_FOREACH (other, &op->a->ops, link) {
		if (other == op)
			continue;
		json_object_foreach(other->locks, lock, v)
		{
			if (is_of_config(lock))
				return err_set(err, ERR_CONFLICT,
					       "%s is changing %.300s this moment; try again",
					       other->who->user, lock);
		}
	}
	return 0;
}

void edit_looks(struct op *op)
{
	op->seen = op->a->version;
	op->given = op->a->last_version;
	op->generation = config_generation(op->env);
}

int edit_unchanged(const struct op *op, struct err *err)
{
	const struct actions *a = op->a;
	const struct edit_log *l = a->edits;
	const struct edit *e = l->n > 0 ? &l->v[(l->n - 1) % EDIT_LOG_MAX] : NULL;
	if (a->last_version == op->given && a->version == op->seen &&
	    config_generation(op->env) == op->generation)
		return 0;
	if (e != NULL && e->version > op->seen)
		return refuse_edited(e, op->seen, err);
	return err_set(err, ERR_CONFLICT,
		       "the configuration is being changed this moment; try again");
}

/* --- plans ------------------------------------------------------------------------------------ */

/* The same for all that editing one is editing, too. */
static char *key_of(const json_t *object)
{
	const char *kind = json_get_str(object, "kind");
	const struct config_rules *r = config_rules(kind);
	bool ordered = r != NULL && r->ordered;
	return xasprintf("%s %s", kind, ordered ? "" : json_get_str(object, "id"));
}

/* Notes what the plan would change, and which open plans of others would change it, too. */
static void note_planned(struct op *op, const json_t *object)
{
	AUTO_FREE char *key = key_of(object);
	const struct plan *p;
	(void)json_object_set_new_nocheck(op->plan->edits, key, json_true());
	TAILQ_FOREACH (p, &op->a->plans, link)
		if (p->uid != op->who->uid && json_object_get(p->edits, key) != NULL)
			(void)json_object_set_new(op->met, p->id, json_true());
}

static json_t *others(const struct op *op)
{
	json_t *list = json_array();
	const struct plan *p;
	TAILQ_FOREACH (p, &op->a->plans, link)
		if (json_object_get(op->met, p->id) != NULL)
			(void)json_array_append_new(
				list,
				json_pack("{s:o, s:s, s:o, s:o}", "who", json_text(str_of(p->user)),
					  "method", p->method->name, "target",
					  json_text(str_of(p->text)), "expires_at",
					  json_time(p->expires_ms)));
	return list;
}

/* The first ones are told, as many as an answer has room for. */
static void tell_planned(struct op *op, const json_t *change)
{
	json_t *row;
	if (op->rows_bytes >= CONFIG_ROWS_BYTES)
		return;
	row = config_row(change);
	op->rows_bytes += json_dumpb(row, NULL, 0, JSON_COMPACT);
	(void)json_array_append_new(op->rows, row);
}

static int plan_object(struct op *op, const json_t *object, struct err *err)
{
	json_t *change = config_change(object);
	int rc = 0;
	note_planned(op, object);
	if (change == NULL)
		return 0;
	rc = check_base(op, json_get_str(change, "kind"), json_get_str(change, "id"), err);
	if (rc >= 0)
		tell_planned(op, change);
	json_decref(change);
	return rc;
}

static json_t *describe(const struct op *op)
{
	const struct plan *p = op->plan;
	const json_t *warnings = json_object_get(op->result, "warnings");
	int64_t probation = probation_wanted_ms(op);
	int64_t undo = op->undo_until_ms == 0		     ? 0
		       : probation > op->env->undo_window_ms ? probation
							     : op->env->undo_window_ms;
	AUTO_BUF command = BUF_INIT(4 * FILTER_TEXT_MAX + 1000);
	json_t *o;
	command_line(p->method, p->params, &command);
	o = json_pack("{s:s, s:s, s:o, s:i, s:i, s:i, s:{}, s:{}, s:{}, s:n, s:n, s:[], s:I, s:o, "
		      "s:o}",
		      "plan", p->id, "method", p->method->name, "target",
		      json_text(str_of(p->text)), "messages", 0, "recipients", 0, "in_delivery", 0,
		      "by_state", "by_domain", "by_stream", "oldest_age_s", "newest_age_s",
		      "sample", "undo_window_s", (json_int_t)(undo / 1000), "expires_at",
		      json_time(p->expires_ms), "command", json_text(buf_str(&command)));
	(void)json_object_set(o, "changes", op->rows);
	if (op->rows_bytes >= CONFIG_ROWS_BYTES)
		(void)json_object_set_new(o, "changes_n",
					  json_integer((json_int_t)json_array_size(op->objects)));
	(void)json_object_set_new(o, "base", json_integer((json_int_t)p->base));
	(void)json_object_set_new(o, "others", others(op));
	(void)json_object_set_new(o, "probation_s",
				  probation > 0 ? json_integer(probation / 1000) : json_null());
	if (warnings != NULL)
		(void)json_object_set(o, "warnings", (json_t *)(uintptr_t)warnings);
	return o;
}

/* The plan is open from here on. */
static void publish(struct op *op, json_t *replayed_take)
{
	struct plan *p = op->plan;
	struct err err = ERR_INIT;
	json_t *answer;
	p->method = op->method;
	p->params = ctl_params(op->call);
	p->uid = op->who->uid;
	(void)snprintf(p->user, sizeof(p->user), "%s", op->who->user);
	p->base = op->seen;
	if (plan_open(op->a, p, &err) < 0) {
		json_decref(replayed_take);
		op_fail(op, &err);
		return;
	}
	answer = describe(op);
	if (replayed_take != NULL)
		(void)json_object_set_new(answer, "moves", replayed_take);
	json_decref(op->result);
	op->result = answer;
	op_answer(op);
}

static void on_replayed(void *arg, json_t *answer_take, const struct err *err)
{
	struct op *op = OBJ(op, OP_MAGIC, arg);
	struct err copy;
	if (err == NULL) {
		publish(op, answer_take);
		return;
	}
	copy = *err;
	op_fail(op, &copy);
}

static void on_noted(void *arg)
{
	struct op *op = OBJ(op, OP_MAGIC, arg);
	struct err err = op->err;
	if (err.code != 0)
		op_fail(op, &err);
	else if (replay_wanted(op->objects))
		op->replay = replay_start(op->env, op->objects, on_replayed, op);
	else
		publish(op, NULL);
}

/* Some more of the objects; all are done at the array's end. */
static int plan_some(struct op *op, size_t most, struct err *err)
{
	size_t n = json_array_size(op->objects);
	int rc = 0;
	for (; rc >= 0 && most > 0 && op->at < n; most--, op->at++)
		rc = plan_object(op, json_array_get(op->objects, op->at), err);
	return rc;
}

static enum slice step_plan(void *arg)
{
	struct op *op = arg;
	if (plan_some(op, PLANNED_AT_ONCE, &op->err) < 0)
		return SLICE_END;
	return op->at < json_array_size(op->objects) ? SLICE_MORE : SLICE_END;
}

void edit_plan(struct op *op)
{
	op->plan->edits = json_object();
	op->met = json_object();
	op->rows = json_array();
	op->at = 0;
	if (op_is_large(op)) {
		slicer_run(&op->slicer, step_plan, on_noted);
		return;
	}
	(void)!plan_some(op, SIZE_MAX, &op->err);
	on_noted(op);
}

void edit_make(struct ctl_call *call, const struct method_def *m, json_t *params_take)
{
	struct err err = ERR_INIT;
	if (ctl_act(call, m, params_take, CTL_PLANNING, &err) < 0)
		ctl_fail(call, &err);
	else
		ctl_handler(call, m)(call);
}

void edit_commit(struct ctl_call *call, const struct plan *p)
{
	static const char *const outer[] = { "plan", "reason", "request" };
	json_t *params = json_deep_copy(p->params);
	struct err err = ERR_INIT;
	for (size_t i = 0; i < ARRAY_LEN(outer); i++)
		if (ctl_str(call, outer[i]) != NULL)
			(void)json_object_set_new(params, outer[i],
						  json_string(ctl_str(call, outer[i])));
	if (ctl_act(call, p->method, params, CTL_COMMITTING, &err) < 0)
		ctl_fail(call, &err);
	else
		ctl_handler(call, p->method)(call);
}
