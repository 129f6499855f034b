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
	if (l->n >= EDIT_LOG_MAX)
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

/* --- before the commit ------------------------------------------------------------------------ */

static uint64_t base_of(const struct op *op)
{
	if (op->plan != NULL && op->plan->objects != NULL)
		return op->plan->base;
	return op->call != NULL ? (uint64_t)ctl_int(op->call, "base", 0) : 0;
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

static int check_base(const struct op *op, uint64_t base, const char *kind, const char *id,
		      struct err *err)
{
	const struct edit *e = changed_since(op->a->edits, base, kind, id);
	if (e == NULL)
		return 0;
	return err_set(err, ERR_CONFLICT,
		       "%s %.200s was changed by %s since version %" PRIu64
		       ", which this was made against (version %" PRIu64 ", %s, a%" PRIu64
		       "): look at it again",
		       e->kind, e->id, e->who, base, e->version,
		       e->method != NULL ? e->method->name : "?", e->action);
}

static int check_edited(const struct op *op, const json_t *edited, struct err *err)
{
	uint64_t base = base_of(op);
	const json_t *one;
	size_t i;
	int rc = 0;
	if (base == 0 || edited == NULL)
		return 0;
	if (base > op->a->version || base + 1 < op->a->edits->from)
		return err_param(err, ERR_INVALID, "base",
				 "version %" PRIu64 " is %s; the newest is %" PRIu64, base,
				 base > op->a->version ? "still to come" : "too long ago",
				 op->a->version);
	json_array_foreach(edited, i, one)
	{
		const char *kind = json_get_str(one, "kind");
		const char *id = json_get_str(one, "id");
		if (rc >= 0)
			rc = check_base(op, base, kind, id, err);
		if (rc >= 0)
			rc = check_under_way(op, kind, id, err);
	}
	return rc;
}

int edit_check(const struct op *op, struct err *err)
{
	json_t *edited = config_changes(op->objects);
	int rc = check_edited(op, edited, err);
	json_decref(edited);
	return rc;
}

int edit_take_version(struct op *op, struct err *err)
{
	json_t *edited = config_changes(op->objects);
	if (edited == NULL)
		return 0;
	if (check_edited(op, edited, err) < 0) {
		json_decref(edited);
		return -err->code;
	}
	op->edited = edited;
	op->version = ++op->a->last_version;
	if (op->result != NULL)
		(void)json_object_set_new(op->result, "version",
					  json_integer((json_int_t)op->version));
	return 0;
}

void edit_stored(struct op *op)
{
	const json_t *one;
	size_t i;
	json_array_foreach(op->edited, i, one)
		note(op->a->edits, op->version, op->id, op->who->user, op->method, one);
	if (op->version > op->a->version)
		op->a->version = op->version;
}

/* --- plans ------------------------------------------------------------------------------------ */

/* Open plans of other accounts that would change the same. */
static json_t *others(const struct op *op)
{
	json_t *list = json_array();
	const struct plan *p;
	TAILQ_FOREACH (p, &op->a->plans, link) {
		const json_t *mine;
		bool same = false;
		size_t i;
		if (p->objects == NULL || p->uid == op->who->uid)
			continue;
		json_array_foreach(op->objects, i, mine)
		{
			same = same || edits(p->objects, json_get_str(mine, "kind"),
					     json_get_str(mine, "id"));
		}
		if (same)
			(void)json_array_append_new(
				list,
				json_pack("{s:o, s:s, s:o, s:o}", "who", json_text(str_of(p->user)),
					  "method", p->method->name, "target",
					  json_text(str_of(p->text)), "expires_at",
					  json_time(p->expires_ms)));
	}
	return list;
}

static json_t *rows_of(const struct op *op)
{
	json_t *diff = json_object();
	json_t *changes = config_changes(op->objects);
	json_t *rows;
	config_add(diff, changes);
	rows = config_rows(diff);
	json_decref(changes);
	json_decref(diff);
	return rows;
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
	(void)json_object_set_new(o, "changes", rows_of(op));
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
	p->objects = json_incref(op->objects);
	if (p->objects == NULL)
		p->objects = json_array();
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

void edit_plan(struct op *op)
{
	if (replay_wanted(op->objects))
		op->replay = replay_start(op->env, op->objects, on_replayed, op);
	else
		publish(op, NULL);
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
