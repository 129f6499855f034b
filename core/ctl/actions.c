/*
 * The journal's recent part: what can still be taken back, what is still to be brought to its end,
 * and the answers of the last hour. The store has the rest.
 *
 * After a restart everything follows from the stored actions: an action whose undo is in the
 * journal was taken back, even when its own state was not written any more; what is in the set of
 * an open delete or bounce is in the trash; a retry whose times are still the old ones is done
 * again. Holds, routes and the allowlist are objects and need no action for that.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/mem.h"
#include "base/obj.h"
#include "ctl/actions_int.h"
#include "ctl/stream_env.h"

#define TIMER_MIN_MS 20
#define TIMER_MAX_MS 60000
#define PEPPER "pepper" /* the kind: see policy/creds.h */

static const char *const state_names[ACTION_STATE__COUNT] = {
	[ACTION_UNDOABLE] = "undoable",
	[ACTION_DONE] = "done",
	[ACTION_UNDONE] = "undone",
	[ACTION_EXPIRED] = "expired",
};

const char *journal_state_name(enum action_state s)
{
	ASSERT(s < ACTION_STATE__COUNT);
	return state_names[s];
}

static enum action_state state_of(const char *text)
{
	for (int s = 0; s < ACTION_STATE__COUNT; s++)
		if (strcmp(state_names[s], text) == 0)
			return (enum action_state)s;
	return ACTION_DONE;
}

bool journal_is(const struct action *x, enum method_id m)
{
	return x->method == &method_defs[m];
}

bool journal_is_undo(const struct action *x)
{
	uint64_t id;
	return journal_is(x, M_ACTION_UNDO) ||
	       (journal_is(x, M_CONFIG_ROLLBACK) && journal_id_parse(str_of(x->target), &id));
}

struct action *journal_find(struct actions *a, uint64_t id)
{
	struct action *x;
	TAILQ_FOREACH_REVERSE(x, &a->recent, action_list, link)
	if (x->id == id)
		return x;
	return NULL;
}

enum action_state journal_state_now(const struct actions *a, const struct action *x)
{
	if (x->state != ACTION_UNDOABLE || x->undo_until_ms > loop_wall_ms(a->env->loop))
		return x->state;
	return journal_is(x, M_QUEUE_DELETE) || journal_is(x, M_QUEUE_BOUNCE) ? ACTION_DONE
									      : ACTION_EXPIRED;
}

const struct action *journal_on_object(struct actions *a, const char *kind, const char *id)
{
	const struct action *x;
	size_t i;
	json_t *o;
	TAILQ_FOREACH_REVERSE(x, &a->recent, action_list, link)
	json_array_foreach(x->objects, i, o) if (strcmp(json_get_str(o, "kind"), kind) == 0 &&
						 strcmp(json_get_str(o, "id"), id) == 0) return x;
	return NULL;
}

static int rid_cmp(const void *a, const void *b)
{
	const struct rid *x = a;
	const struct rid *y = b;
	return (x->v > y->v) - (x->v < y->v);
}

const struct action *journal_on_rid(struct actions *a, struct rid rid)
{
	const struct action *x;
	TAILQ_FOREACH_REVERSE(x, &a->recent, action_list, link)
	if (x->state == ACTION_UNDOABLE && x->n > 0 && !journal_is(x, M_QUEUE_RETRY) &&
	    bsearch(&rid, x->rids, x->n, sizeof(rid), rid_cmp) != NULL)
		return x;
	return NULL;
}

void journal_name(const struct action *x, char *ret, size_t n)
{
	char id[ACTION_ID_LEN];
	journal_id_text(x->id, id);
	(void)snprintf(ret, n, "%s %s by %s (%s)", x->method != NULL ? x->method->name : "?",
		       x->target, x->who, id);
}

static void action_free(struct actions *a, struct action *x)
{
	TAILQ_REMOVE(&a->recent, x, link);
	a->recent_n--;
	free(x->who);
	free(x->target);
	free(x->reason);
	free(x->request);
	json_decref(x->result);
	reap_json(a->reaper, x->objects);
	free(x->rids);
	free(x->was);
	free(x);
}

static void on_state(void *arg, const struct err *err)
{
	(void)arg;
	if (err != NULL) /* not lost: it follows from the journal at the next start */
		log_warn(NULL, "actions.state", F_STR("error", err->msg));
}

void journal_stripped(struct actions *a, const struct action *x, const char *undo)
{
	queue_action_state(a->env->queue, x->id, journal_state_name(x->state), undo, false,
			   on_state, NULL);
}

void journal_close(struct actions *a, struct action *x, enum action_state state)
{
	bool set = x->n > 0;
	/* the times are of no more use */
	const char *undo = set && x->was != NULL ? "{}" : NULL;
	end_retry_stop(a, x);
	x->state = state;
	x->busy = false;
	x->n = 0;
	free(x->rids);
	x->rids = NULL;
	free(x->was);
	x->was = NULL;
	queue_action_state(a->env->queue, x->id, journal_state_name(state), undo, set, on_state,
			   NULL);
	if (x->wipe)
		op_strip(a, x);
	a->env->actions_generation++;
}

/* --- time ------------------------------------------------------------------------------------- */

static void trim(struct actions *a)
{
	struct action *x, *next;
	int64_t now = loop_wall_ms(a->env->loop);
	for (x = TAILQ_FIRST(&a->recent); x != NULL; x = next) {
		next = TAILQ_NEXT(x, link);
		if (x->busy || x->n > 0 || x->wipe || journal_state_now(a, x) == ACTION_UNDOABLE)
			continue;
		if (x->at_ms < now - ACTIONS_KEEP_MS || a->recent_n > ACTIONS_RECENT_MAX) {
			action_free(a, x);
		} else if (json_array_size(x->objects) >= OP_LARGE) {
			/* nothing takes it back any more; whose they are is in the log of edits */
			reap_json(a->reaper, x->objects);
			x->objects = NULL;
		}
	}
}

static int64_t earlier(int64_t a, int64_t b)
{
	if (a == 0 || b == 0)
		return a == 0 ? b : a;
	return a < b ? a : b;
}

void actions_arm(struct actions *a)
{
	int64_t next = plans_next_ms(a);
	int64_t wait = TIMER_MAX_MS;
	if (!a->started)
		return;
	next = earlier(next, ends_next_ms(a));
	next = earlier(next, expiry_next_ms(a));
	next = earlier(next, probation_next_ms(a));
	if (next != 0 && next - loop_wall_ms(a->env->loop) < wait)
		wait = next - loop_wall_ms(a->env->loop);
	loop_timer_set(a->timer, wait < TIMER_MIN_MS ? TIMER_MIN_MS : wait);
}

static void on_timer(void *arg)
{
	struct actions *a = OBJ(actions, ACTIONS_MAGIC, arg);
	plans_expire(a);
	uploads_expire(a);
	probation_run(a);
	ends_run(a);
	expiry_run(a);
	refusals_run(a);
	trim(a);
	actions_arm(a);
}

/* --- at start --------------------------------------------------------------------------------- */

struct load {
	struct ctl_env *env;
	const char *kind;
	size_t n;
};

static void load_object(void *arg, const struct queue_object *o)
{
	struct load *l = arg;
	struct err err = ERR_INIT;
	int rc = 0;
	if (strcmp(l->kind, "hold") == 0)
		rc = holds_put(l->env->holds, o->json, &err);
	else if (strcmp(l->kind, "route") == 0)
		rc = routes_put(l->env->routes, o->json, &err);
	else if (strcmp(l->kind, POOLS_KIND) == 0)
		rc = pools_put(l->env->pools, o->json, &err);
	else if (strcmp(l->kind, POOLS_KIND_COUNT) == 0)
		pools_count_put(l->env->pools, o->json);
	else if (strcmp(l->kind, STREAMS_KIND) == 0)
		rc = streams_put(l->env->streams, o->json, &err);
	else if (strcmp(l->kind, "allow") == 0)
		rc = allow_put(l->env->allow, o->json, &err);
	else if (strcmp(l->kind, "cred") == 0)
		rc = creds_put(l->env->creds, o->json, &err);
	else if (strcmp(l->kind, PROBATION_KIND) == 0)
		rc = probation_put(l->env, o->json, &err);
	else if (strcmp(l->kind, KEYS_KIND_SECRET) == 0)
		rc = keys_put_secret(l->env->keys, o->id, o->json, loop_wall_ms(l->env->loop),
				     &err);
	else if (strcmp(l->kind, KEYS_KIND) == 0)
		rc = keys_put(l->env->keys, o->json, loop_wall_ms(l->env->loop), &err);
	else
		rc = creds_put_pepper(l->env->creds, o->json, &err);
	if (rc < 0) /* the others hold, route and allow all the same */
		log_error(o->id, "actions.object", F_STR("kind", l->kind), F_STR("error", err.msg));
	l->n++;
}

static int64_t *read_was(const char *text, size_t n)
{
	static const char digits[] = WAS_ALPHABET;
	int64_t *was = xcalloc(n + 1, sizeof(*was));
	size_t have = strlen(text) / WAS_DIGITS;
	for (size_t i = 0; i < n && i < have; i++) {
		uint64_t v = 0;
		for (size_t k = 0; k < WAS_DIGITS; k++) {
			const char *at = strchr(digits, text[i * WAS_DIGITS + k]);
			v = v << 6 | (uint64_t)(at != NULL && *at != '\0' ? at - digits : 0);
		}
		was[i] = (int64_t)v;
	}
	return was;
}

static void load_action(void *arg, const struct queue_action *q)
{
	struct actions *a = arg;
	struct action *x = xcalloc(1, sizeof(*x));
	json_t *undo = NULL;
	x->id = q->id;
	x->at_ms = q->at_ms;
	x->undo_until_ms = q->undo_until_ms;
	x->method = method_find(q->method);
	x->who = xstrdup(q->who);
	x->target = xstrdup(q->target);
	x->reason = xstrdup(q->reason);
	x->request = xstrdup(q->request);
	x->state = state_of(q->state);
	if (q->result == NULL || json_read(q->result, &x->result, NULL) < 0)
		x->result = json_object();
	if (q->undo != NULL && json_read(q->undo, &undo, NULL) >= 0)
		x->objects = json_incref(json_object_get(undo, "objects"));
	x->wipe = q->wipe;
	if (q->rids != NULL && q->rids_n > 0) { /* rids_n stays when the set is dropped */
		x->n = q->rids_n;
		x->rids = xreallocarray(NULL, x->n, sizeof(*x->rids));
		memcpy(x->rids, q->rids, x->n * sizeof(*x->rids));
		if (journal_is(x, M_QUEUE_RETRY))
			x->was = read_was(json_get_str(undo, "was"), x->n);
	}
	json_decref(undo);
	TAILQ_INSERT_TAIL(&a->recent, x, link);
	a->recent_n++;
}

/* What the stored actions say about the records that were just loaded. */
static void derive(struct actions *a)
{
	struct sched *s = a->env->sched;
	struct action *x;
	int64_t was;
	uint64_t id;
	TAILQ_FOREACH (x, &a->recent, link) {
		struct action *of = NULL;
		if (journal_is_undo(x) && journal_id_parse(str_of(x->target), &id))
			of = journal_find(a, id);
		if (of != NULL && of->state == ACTION_UNDOABLE)
			of->state = ACTION_UNDONE;
	}
	TAILQ_FOREACH (x, &a->recent, link) {
		struct sched_view v;
		if (x->state != ACTION_UNDOABLE)
			continue;
		if (!journal_is(x, M_QUEUE_RETRY)) {
			for (size_t i = 0; i < x->n; i++)
				(void)sched_trash(s, x->rids[i], true);
			continue;
		}
		for (size_t i = 0; i < x->n; i++)
			if (x->was[i] != 0 && sched_find(s, x->rids[i], &v) &&
			    v.own_next_ms == x->was[i])
				(void)sched_retry(s, x->rids[i], &was);
	}
}

static void on_pepper(void *arg, const struct err *err)
{
	(void)arg;
	if (err != NULL)
		log_warn(NULL, "actions.pepper", F_STR("error", err->msg));
}

/* At the very first start. */
static void store_pepper(struct ctl_env *env)
{
	json_t *o = creds_pepper_json(env->creds);
	char *text = json_dumps(o, JSON_COMPACT);
	struct queue_object object = { .kind = PEPPER, .id = "1", .json = text };
	queue_commit(env->queue, NULL, &object, 1, on_pepper, NULL);
	free(text);
	json_decref(o);
}

int actions_open(struct ctl_env *env, struct err *err)
{
	static const char *const kinds[] = { "hold",	       POOLS_KIND,   POOLS_KIND_COUNT,
					     "route",	       STREAMS_KIND, "allow",
					     KEYS_KIND_SECRET, KEYS_KIND,    "cred",
					     PROBATION_KIND,   PEPPER };
	size_t peppers = 0;
	struct actions *a = xcalloc(1, sizeof(*a));
	int64_t keep =
		env->undo_window_ms > ACTIONS_KEEP_MS ? env->undo_window_ms : ACTIONS_KEEP_MS;
	int rc = 0;
	a->magic = ACTIONS_MAGIC;
	a->env = env;
	TAILQ_INIT(&a->recent);
	TAILQ_INIT(&a->plans);
	TAILQ_INIT(&a->ops);
	LIST_INIT(&a->selects);
	a->reaper = reaper_new(env->loop);
	a->timer = loop_timer_new(env->loop, "ctl.actions", on_timer, a);
	reports_init(a);
	LIST_INIT(&a->uploads.list);
	a->last_id = queue_last_action(env->queue);
	for (size_t i = 0; rc >= 0 && i < ARRAY_LEN(kinds); i++) {
		struct load l = { .env = env, .kind = kinds[i] };
		rc = queue_load_objects(env->queue, kinds[i], load_object, &l, err);
		peppers = l.n; /* of the last kind */
	}
	if (rc >= 0)
		rc = edits_open(a, err);
	if (rc >= 0 && peppers == 0)
		store_pepper(env);
	if (rc >= 0)
		rc = uses_load(a, err);
	if (rc >= 0)
		rc = suppress_load(env, err);
	if (rc >= 0)
		rc = queue_load_actions(env->queue, loop_wall_ms(env->loop) - keep, load_action, a,
					err);
	if (rc < 0) {
		actions_close(&a);
		return rc;
	}
	streams_in_force(env);
	if (holds_n(env->holds) > 0 || routes_n(env->routes) > 0 || streams_n(env->streams) > 1 ||
	    streams_at(env->streams, 0)->stored)
		sched_rejudge(env->sched, true);
	derive(a);
	env->actions = a;
	return 0;
}

void actions_start(struct actions *a)
{
	struct action *x;
	a->started = true;
	TAILQ_FOREACH (x, &a->recent, link) {
		if ((x->n > 0 || x->wipe) && x->state != ACTION_UNDOABLE)
			journal_close(a, x, x->state);
		else if (x->n > 0 && journal_is(x, M_QUEUE_RETRY))
			end_retry_store(a, x);
	}
	uses_start(a);
	marks_again(a);
	probation_run(a);
	actions_arm(a);
}

void actions_close(struct actions **ap)
{
	struct actions *a = *ap;
	struct op *op;
	struct plan *p;
	struct action *x;
	if (a == NULL)
		return;
	while ((op = TAILQ_FIRST(&a->ops)) != NULL)
		op_free(&op);
	while ((p = TAILQ_FIRST(&a->plans)) != NULL) {
		TAILQ_REMOVE(&a->plans, p, link);
		plan_free(a, &p);
	}
	while ((x = TAILQ_FIRST(&a->recent)) != NULL)
		action_free(a, x);
	edits_close(a);
	probation_drop(a->env);
	selects_close(a);
	reports_close(a);
	uploads_close(a);
	reaper_free(&a->reaper);
	loop_timer_free(&a->timer);
	uses_close(a);
	if (a->env->actions == a)
		a->env->actions = NULL;
	a->magic = 0;
	free(a);
	*ap = NULL;
}

/* A plan's method and target are its action's; its commit only names the plan. */
static bool is_that_change(const struct action *x, const struct ctl_call *call)
{
	const struct method_def *m = ctl_method(call);
	const struct target *target = ctl_target(call);
	if (m == &method_defs[M_PLAN_COMMIT])
		return true;
	return m == x->method && (target == NULL || strcmp(target->canonical, x->target) == 0);
}

int actions_replay(struct ctl_env *env, const struct ctl_call *call, json_t **ret, struct err *err)
{
	struct action *x;
	int64_t since = loop_wall_ms(env->loop) - ACTIONS_KEEP_MS;
	const char *request = ctl_str(call, "request");
	char name[200];
	if (env->actions == NULL)
		return 0;
	TAILQ_FOREACH_REVERSE(x, &env->actions->recent, action_list, link)
	if (x->at_ms >= since && strcmp(x->request, request) == 0 &&
	    strcmp(x->who, ctl_who(call)->user) == 0)
		break;
	if (x == NULL)
		return 0;
	if (!is_that_change(x, call)) {
		journal_name(x, name, sizeof(name));
		return err_param(err, ERR_CONFLICT, "request",
				 "this request id was used for %s; each change needs its own",
				 name);
	}
	*ret = json_incref(x->result);
	return 1;
}
