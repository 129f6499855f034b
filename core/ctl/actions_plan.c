/*
 * Plans: the set of a change, fixed and described, kept until it is committed, dropped or its time
 * is over. A change that is called by itself has a plan without an id, committed at once.
 */
#include <bsd/stdlib.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/obj.h"
#include "ctl/actions_int.h"
#include "ctl/handlers.h"

/* The changes that have a set. */
struct change {
	enum method_id method;
	int (*check)(struct op *op, struct err *err); /* may be NULL */
	op_fn *commit;
	bool select; /* a call without a plan needs the set first */
	/* Where no parameter `target` says it: what it is about; owned. May be NULL. */
	char *(*target)(const json_t *params);
	json_t *(*effects)(const struct op *op); /* in the plan's description; may be NULL */
};
static const struct change changes[] = {
	{ M_QUEUE_HOLD, hold_check, hold_commit, false, NULL, NULL },
	{ M_QUEUE_RELEASE, release_check, release_commit, false, NULL, NULL },
	{ M_QUEUE_RETRY, NULL, set_retry, true, NULL, NULL },
	{ M_QUEUE_BOUNCE, NULL, set_bounce, true, NULL, NULL },
	{ M_QUEUE_DELETE, NULL, set_delete, true, NULL, NULL },
	{ M_CRED_INCIDENT, incident_check, incident_commit, false, incident_target,
	  incident_effects },
};

static const struct change *change_of(const struct method_def *m)
{
	for (size_t i = 0; i < ARRAY_LEN(changes); i++)
		if (m == &method_defs[changes[i].method])
			return &changes[i];
	return NULL;
}

/* --- the list of open ones -------------------------------------------------------------------- */

void plan_free(struct actions *a, struct plan **pp)
{
	struct plan *p = *pp;
	*pp = NULL;
	if (p == NULL)
		return;
	json_decref(p->params);
	target_done(&p->target);
	free(p->text);
	free(p->rids);
	free(p->holds);
	reap_json(a->reaper, p->edits);
	free(p);
}

void plan_close(struct actions *a, struct plan **pp)
{
	TAILQ_REMOVE(&a->plans, *pp, link);
	a->plans_n--;
	a->plans_set -= (*pp)->n;
	plan_free(a, pp);
}

struct plan *plan_find(struct actions *a, const char *id)
{
	struct plan *p;
	TAILQ_FOREACH (p, &a->plans, link)
		if (strcmp(p->id, id) == 0)
			return p;
	return NULL;
}

/* One's own open plan. */
static int plan_get(struct actions *a, const struct ctl_call *call, struct plan **ret_plan,
		    struct err *err)
{
	struct plan *p = plan_find(a, ctl_str(call, "plan"));
	if (p == NULL)
		return err_param(err, ERR_UNKNOWN, "plan",
				 "there is no such plan (any more); plans are kept for %d minutes",
				 ACTIONS_PLAN_S / 60);
	if (p->uid != ctl_who(call)->uid)
		return err_param(err, ERR_DENIED, "plan", "this plan is %s's", p->user);
	*ret_plan = p;
	return 0;
}

void plans_expire(struct actions *a)
{
	struct plan *p, *next;
	int64_t now = loop_wall_ms(a->env->loop);
	for (p = TAILQ_FIRST(&a->plans); p != NULL; p = next) {
		next = TAILQ_NEXT(p, link);
		if (!p->committing && p->expires_ms <= now)
			plan_close(a, &p);
	}
}

int64_t plans_next_ms(const struct actions *a)
{
	const struct plan *p;
	int64_t first = 0;
	TAILQ_FOREACH (p, &a->plans, link)
		if (!p->committing && (first == 0 || p->expires_ms < first))
			first = p->expires_ms;
	return first;
}

/* --- what is to be done ----------------------------------------------------------------------- */

/* Makes op->plan from checked parameters, which it takes. */
static int prepare(struct op *op, json_t *params_take, struct err *err)
{
	const struct change *c = change_of(op->method);
	const char *target = json_string_value(json_object_get(params_take, "target"));
	AUTO_FREE char *named = NULL;
	struct plan *p = xcalloc(1, sizeof(*p));
	int rc = 0;
	op->plan = p;
	p->method = op->method;
	p->params = params_take;
	p->uid = op->who->uid;
	(void)snprintf(p->user, sizeof(p->user), "%s", op->who->user);
	ASSERT(c != NULL);
	if (c->target != NULL)
		target = named = c->target(params_take);
	if (target != NULL)
		rc = target_parse(str_of(target), &p->target, err);
	if (rc < 0) {
		if (err != NULL)
			(void)snprintf(err->param, sizeof(err->param), "%s",
				       named != NULL ? "name" : "target");
		return rc;
	}
	p->text = xstrdup(target != NULL ? p->target.canonical : "");
	if (target != NULL && named == NULL)
		(void)json_object_set_new(p->params, "target", json_text(str_of(p->text)));
	return c->check != NULL ? c->check(op, err) : 0;
}

/* A change that is called by itself. */
static void change_now(struct ctl_call *call)
{
	struct ctl_env *env = ctl_env(call);
	const struct change *c = change_of(ctl_method(call));
	struct op *op = op_new(env->actions, call, ctl_method(call));
	struct err err = ERR_INIT;
	if (prepare(op, ctl_params(call), &err) < 0) {
		op_fail(op, &err);
		return;
	}
	ctl_about(call, op->method, op->plan->text);
	if (c->select)
		op_select(op, op->plan->target.filter, c->commit);
	else
		c->commit(op);
}

void ctl_queue_hold(struct ctl_call *call)
{
	change_now(call);
}

void ctl_queue_release(struct ctl_call *call)
{
	change_now(call);
}

void ctl_queue_retry(struct ctl_call *call)
{
	change_now(call);
}

void ctl_cred_incident(struct ctl_call *call)
{
	change_now(call);
}

void ctl_queue_bounce(struct ctl_call *call)
{
	change_now(call);
}

void ctl_queue_delete(struct ctl_call *call)
{
	change_now(call);
}

/* --- plan.make -------------------------------------------------------------------------------- */

struct counts {
	uint64_t *v;
	size_t n;
};

struct description {
	uint64_t states[SCHED_STATE__COUNT];
	struct counts domains; /* by the number of the name */
	struct counts streams;
	size_t kept;
	size_t held; /* that a retry passes over */
	uint64_t messages;
	struct msgid last;
};

static void description_free(void *arg)
{
	struct description *d = arg;
	free(d->domains.v);
	free(d->streams.v);
	free(d);
}

static void count(struct counts *c, uint32_t name)
{
	if (name >= c->n) {
		size_t n = ((size_t)name + 1) * 2;
		c->v = xreallocarray(c->v, n, sizeof(*c->v));
		memset(c->v + c->n, 0, (n - c->n) * sizeof(*c->v));
		c->n = n;
	}
	c->v[name]++;
}

/* The most frequent ones, the first first. */
static json_t *largest(const struct ctl_env *env, const struct counts *c, size_t max)
{
	size_t top[PLAN_DOMAINS];
	size_t n = 0;
	json_t *o = json_object();
	ASSERT(max <= PLAN_DOMAINS);
	for (size_t i = 0; i < c->n; i++) {
		size_t at = n;
		if (c->v[i] == 0 || (n == max && c->v[top[n - 1]] >= c->v[i]))
			continue;
		if (n < max)
			n++;
		else
			at--;
		for (; at > 0 && c->v[top[at - 1]] < c->v[i]; at--)
			top[at] = top[at - 1];
		top[at] = i;
	}
	for (size_t i = 0; i < n; i++) {
		struct str name = queue_name_text(env->queue, (uint32_t)top[i]);
		(void)json_object_setn_new_nocheck(o, name.p, name.n,
						   json_integer((json_int_t)c->v[top[i]]));
	}
	return o;
}

static json_t *by_state(const struct description *d)
{
	json_t *o = json_object();
	for (int s = 0; s < SCHED_STATE__COUNT; s++)
		if (d->states[s] > 0)
			(void)json_object_set_new(o, sched_state_name((enum sched_state)s),
						  json_integer((json_int_t)d->states[s]));
	return o;
}

static json_t *age_of(const struct op *op, struct rid rid)
{
	return env_age(op->env, msgid_time_ms(rid_msgid(rid)));
}

static json_t *describe(const struct op *op, json_t *sample_take)
{
	const struct plan *p = op->plan;
	const struct description *d = op->more;
	const struct change *c = change_of(p->method);
	bool bounce = p->method == &method_defs[M_QUEUE_BOUNCE];
	int64_t window = bounce ? op->env->bounce_grace_ms : op->env->undo_window_ms;
	AUTO_BUF command = BUF_INIT(4 * FILTER_TEXT_MAX + 1000);
	json_t *o = json_object();
	command_line(p->method, p->params, &command);
	(void)json_object_set_new(o, "plan", json_string(p->id));
	(void)json_object_set_new(o, "method", json_string(p->method->name));
	(void)json_object_set_new(o, "target", json_text(str_of(p->text)));
	(void)json_object_set_new(o, "messages", json_integer((json_int_t)d->messages));
	(void)json_object_set_new(o, "recipients", json_integer((json_int_t)p->n));
	(void)json_object_set_new(o, "in_delivery", json_integer((json_int_t)p->in_delivery));
	(void)json_object_set_new(o, "by_state", by_state(d));
	(void)json_object_set_new(o, "by_domain", largest(op->env, &d->domains, PLAN_DOMAINS));
	(void)json_object_set_new(o, "by_stream", largest(op->env, &d->streams, PLAN_DOMAINS));
	(void)json_object_set_new(o, "oldest_age_s",
				  p->n > 0 ? age_of(op, p->rids[0]) : json_null());
	(void)json_object_set_new(o, "newest_age_s",
				  p->n > 0 ? age_of(op, p->rids[p->n - 1]) : json_null());
	(void)json_object_set_new(o, "sample", sample_take);
	(void)json_object_set_new(o, "undo_window_s", json_integer(window / 1000));
	(void)json_object_set_new(o, "expires_at", json_time(p->expires_ms));
	(void)json_object_set_new(o, "command", json_text(buf_str(&command)));
	if (d->held > 0)
		(void)json_object_set_new(o, "warnings", retry_warnings(d->held));
	if (c != NULL && c->effects != NULL)
		(void)json_object_set_new(o, "effects", c->effects(op));
	return o;
}

int plan_open(struct actions *a, struct plan *p, struct err *err)
{
	if (a->plans_n >= ACTIONS_PLANS || a->plans_set + p->n > ACTIONS_SET_MAX)
		return err_set(err, ERR_LIMIT,
			       "too many plans are open (%zu, of %zu recipients); drop or commit "
			       "some",
			       a->plans_n, a->plans_set);
	(void)snprintf(p->id, sizeof(p->id), "p%08" PRIx32, arc4random());
	p->expires_ms = loop_wall_ms(a->env->loop) + INT64_C(1000) * ACTIONS_PLAN_S;
	TAILQ_INSERT_TAIL(&a->plans, p, link);
	a->plans_n++;
	a->plans_set += p->n;
	actions_arm(a);
	return 0;
}

/* The plan is open from here on. */
static void publish(struct op *op, json_t *sample_take)
{
	struct err err = ERR_INIT;
	if (plan_open(op->a, op->plan, &err) < 0) {
		json_decref(sample_take);
		op_fail(op, &err);
		return;
	}
	op->result = describe(op, sample_take);
	op_answer(op);
}

static void on_sample(void *arg, json_t *rows_take, const struct err *err)
{
	struct op *op = OBJ(op, OP_MAGIC, arg);
	if (err != NULL) {
		struct err copy = *err;
		json_decref(rows_take);
		op_fail(op, &copy);
		return;
	}
	publish(op, rows_take);
}

static void on_described(void *arg)
{
	struct op *op = OBJ(op, OP_MAGIC, arg);
	struct plan *p = op->plan;
	p->n = ((struct description *)op->more)->kept;
	if (p->n == 0) {
		publish(op, json_array());
		return;
	}
	env_message_rows(op->env, p->rids, p->n < PLAN_SAMPLE ? p->n : PLAN_SAMPLE, on_sample, op);
}

/* Counts, and drops from the set what is not in it (any more). */
static void describe_one(struct op *op, struct rid rid)
{
	struct description *d = op->more;
	struct sched_view v;
	if (!sched_find(op->env->sched, rid, &v) || v.state == SCHED_TRASH)
		return;
	if (v.state == SCHED_ACTIVE) {
		op->plan->in_delivery++;
		return;
	}
	if (op->method == &method_defs[M_QUEUE_RETRY] && v.state != SCHED_DEFERRED) {
		d->held += v.state == SCHED_HELD;
		return;
	}
	d->states[v.state]++;
	count(&d->domains, v.domain);
	count(&d->streams, v.stream);
	if (!msgid_eq(d->last, rid_msgid(rid)))
		d->messages++;
	d->last = rid_msgid(rid);
	op->plan->rids[d->kept++] = rid;
}

static enum slice step_describe(void *arg)
{
	struct op *op = arg;
	for (size_t end = op->at + SLICER_ITEMS; op->at < end; op->at++) {
		if (op->at >= op->plan->n)
			return SLICE_END;
		describe_one(op, op->plan->rids[op->at]);
	}
	return SLICE_MORE;
}

static void plan_selected(struct op *op)
{
	op->more = xcalloc(1, sizeof(struct description));
	op->more_free = description_free;
	op->at = 0;
	slicer_run(&op->slicer, step_describe, on_described);
}

/* The parameters of the planned method, checked as if it were called. */
static int planned_params(const struct ctl_call *call, const struct method_def **ret_m,
			  json_t **ret_params, struct err *err)
{
	json_t *params;
	int rc = method_get(ctl_str(call, "method"), ret_m, err);
	if (rc < 0 || ((*ret_m)->flags & MF_PLAN) == 0) {
		if (rc >= 0)
			rc = err_set(err, ERR_INVALID, "%s cannot be planned", (*ret_m)->name);
		(void)snprintf(err->param, sizeof(err->param), "method");
		return rc;
	}
	if (ctl_who(call)->role < (*ret_m)->role)
		return err_set(err, ERR_DENIED, "%s needs the role %s", (*ret_m)->name,
			       access_name((*ret_m)->role));
	params = json_copy((json_t *)(uintptr_t)ctl_json(call, "params"));
	(void)json_object_set_new(params, "reason", json_string("a plan needs none yet"));
	rc = method_check(*ret_m, params, err);
	(void)json_object_del(params, "reason");
	(void)json_object_del(params, "request");
	if (rc < 0)
		json_decref(params);
	else
		*ret_params = params;
	return rc;
}

void ctl_plan_make(struct ctl_call *call)
{
	struct ctl_env *env = ctl_env(call);
	const struct method_def *m;
	struct err err = ERR_INIT;
	json_t *params = NULL;
	struct op *op;
	if (planned_params(call, &m, &params, &err) < 0) {
		ctl_fail(call, &err);
		return;
	}
	if (change_of(m) == NULL) {
		edit_make(call, m, params);
		return;
	}
	op = op_new(env->actions, call, m);
	if (prepare(op, params, &err) < 0) {
		op_fail(op, &err);
		return;
	}
	if (m == &method_defs[M_QUEUE_RELEASE])
		op_select(op, NULL, plan_selected);
	else
		op_select(op, op->plan->target.filter, plan_selected);
}

/* --- plan.rows, plan.commit, plan.drop -------------------------------------------------------- */

/* The place of the first recipient behind `after`. */
static size_t place_behind(const struct plan *p, uint64_t after)
{
	size_t lo = 0, hi = p->n;
	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;
		if (p->rids[mid].v <= after)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo;
}

static void on_rows(void *arg, json_t *rows_take, const struct err *err)
{
	struct op *op = OBJ(op, OP_MAGIC, arg);
	if (err != NULL) {
		struct err copy = *err;
		json_decref(rows_take);
		op_fail(op, &copy);
		return;
	}
	(void)json_object_set_new(op->result, "rows", rows_take);
	op_answer(op);
}

void ctl_plan_rows(struct ctl_call *call)
{
	struct ctl_env *env = ctl_env(call);
	const char *cursor = ctl_str(call, "cursor");
	size_t limit = (size_t)ctl_int(call, "limit", 100);
	struct err err = ERR_INIT;
	struct plan *p;
	struct op *op;
	uint64_t after = 0;
	size_t from, n;
	char next[32];
	if (cursor != NULL && !str_u64(str_of(cursor), UINT64_MAX, &after)) {
		(void)err_param(&err, ERR_INVALID, "cursor", "not a cursor of this list");
		ctl_fail(call, &err);
		return;
	}
	if (plan_get(env->actions, call, &p, &err) < 0) {
		ctl_fail(call, &err);
		return;
	}
	from = place_behind(p, after);
	n = p->n - from < limit ? p->n - from : limit;
	op = op_new(env->actions, call, p->method);
	if (from + n < p->n)
		(void)snprintf(next, sizeof(next), "%" PRIu64, p->rids[from + n - 1].v);
	op->result = json_pack("{s:o, s:n, s:I, s:b}", "next",
			       from + n < p->n ? json_string(next) : json_null(), "prev", "total",
			       (json_int_t)p->n, "exact", 1);
	if (n == 0)
		on_rows(op, json_array(), NULL);
	else
		env_message_rows(env, p->rids + from, n, on_rows, op);
}

static int commit_check(const struct ctl_call *call, const struct plan *p, struct err *err)
{
	const char *reason = ctl_str(call, "reason");
	if (p->committing)
		return err_set(err, ERR_CONFLICT, "this plan is being committed already");
	if (ctl_who(call)->role < p->method->role)
		return err_set(err, ERR_DENIED, "%s needs the role %s", p->method->name,
			       access_name(p->method->role));
	if ((p->method->flags & MF_REASON) != 0 &&
	    (reason == NULL || str_trim(str_of(reason)).n == 0))
		return err_param(err, ERR_REASON, "reason", "%s needs a reason", p->method->name);
	return 0;
}

void ctl_plan_commit(struct ctl_call *call)
{
	struct ctl_env *env = ctl_env(call);
	struct err err = ERR_INIT;
	const struct change *c;
	struct plan *p;
	struct op *op;
	if (plan_get(env->actions, call, &p, &err) < 0) {
		ctl_fail(call, &err);
		return;
	}
	c = change_of(p->method);
	ctl_about(call, p->method, p->text);
	if (commit_check(call, p, &err) < 0) {
		ctl_fail(call, &err);
		return;
	}
	if (c == NULL) {
		edit_commit(call, p);
		return;
	}
	p->committing = true;
	op = op_new(env->actions, call, p->method);
	op->plan = p;
	c->commit(op);
}

void ctl_plan_drop(struct ctl_call *call)
{
	struct ctl_env *env = ctl_env(call);
	struct err err = ERR_INIT;
	struct plan *p = plan_find(env->actions, ctl_str(call, "plan"));
	if (p != NULL && plan_get(env->actions, call, &p, &err) < 0) {
		ctl_fail(call, &err);
		return;
	}
	if (p != NULL && !p->committing)
		plan_close(env->actions, &p);
	ctl_reply(call, json_pack("{s:o}", "now_at", json_time(loop_wall_ms(env->loop))));
}
