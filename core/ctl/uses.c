/*
 * What is counted of credentials and allowlist entries reaches the store here: all that changed,
 * every USES_MS, so that a message costs no commit of its own. A crash forgets the counts of the
 * last moments, nothing else; a restart none.
 */
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/mem.h"
#include "base/obj.h"
#include "ctl/actions_int.h"

#define USES_MS 10000
#define USES_MORE_MS 50 /* when there is more than one transaction takes */
#define AT_ONCE 256	/* objects of one transaction */
#define CRED_USE "cred-use"
#define ALLOW_USE "allow-use"

struct batch {
	struct queue_object v[AT_ONCE];
	size_t n;
};

static void put(struct batch *b, const char *kind, const char *id, json_t *o_take)
{
	ASSERT(b->n < AT_ONCE);
	b->v[b->n++] =
		(struct queue_object){ .kind = kind,
				       .id = id,
				       .json = o_take != NULL ? json_dumps(o_take, JSON_COMPACT)
							      : NULL };
	json_decref(o_take);
}

static void on_stored(void *arg, const struct err *err)
{
	(void)arg;
	if (err != NULL) /* written again with the next use */
		log_warn(NULL, "uses.store", F_STR("error", err->msg));
}

static void batch_store(const struct ctl_env *env, struct batch *b)
{
	if (b->n > 0)
		queue_commit(env->queue, NULL, b->v, b->n, on_stored, NULL);
	for (size_t i = 0; i < b->n; i++) {
		char *text = (char *)(uintptr_t)b->v[i].json;
		free(text);
	}
	b->n = 0;
}

/* One transaction; whether there may be more. */
static bool store_some(struct actions *a)
{
	const struct ctl_env *env = a->env;
	struct batch b = { .n = 0 };
	const struct cred *x;
	const struct allow_entry *e;

	while (b.n < AT_ONCE && (x = creds_dirty(env->creds, &a->uses_at)) != NULL)
		put(&b, CRED_USE, x->name, cred_use_json(x->use));
	while (b.n < AT_ONCE && (e = allow_dirty(env->allow)) != NULL)
		put(&b, ALLOW_USE, e->text, allow_use_json(e));
	batch_store(env, &b);
	return a->uses_at < creds_n(env->creds) || allow_is_dirty(env->allow);
}

static void on_uses(void *arg)
{
	struct actions *a = OBJ(actions, ACTIONS_MAGIC, arg);
	bool more = store_some(a);

	if (!more)
		a->uses_at = 0;
	loop_timer_set(a->uses, more ? USES_MORE_MS : USES_MS);
}

void actions_flush(struct actions *a)
{
	a->uses_at = 0;
	while (store_some(a))
		;
}

/* --- at start --------------------------------------------------------------------------------- */

struct load {
	struct ctl_env *env;
	const char *kind;
	json_t *gone; /* ids of what is not there any more */
};

static void load_use(void *arg, const struct queue_object *q)
{
	struct load *l = arg;
	struct err err = ERR_INIT;
	json_t *o = NULL;
	bool there = false;

	if (json_read(q->json, &o, &err) < 0)
		log_warn(q->id, "uses.load", F_STR("error", err.msg));
	else if (strcmp(l->kind, CRED_USE) == 0)
		there = creds_put_use(l->env->creds, str_of(q->id), o);
	else
		there = allow_put_use(l->env->allow, str_of(q->id), o);
	if (!there)
		(void)json_array_append_new(l->gone, json_text(str_of(q->id)));
	json_decref(o);
}

static void forget(struct ctl_env *env, const char *kind, const json_t *gone)
{
	struct batch b = { .n = 0 };

	for (size_t i = 0; i < json_array_size(gone); i++) {
		put(&b, kind, json_string_value(json_array_get(gone, i)), NULL);
		if (b.n == AT_ONCE)
			batch_store(env, &b);
	}
	batch_store(env, &b);
}

int uses_load(struct actions *a, struct err *err)
{
	static const char *const kinds[] = { CRED_USE, ALLOW_USE };
	struct ctl_env *env = a->env;
	size_t at = 0;
	int rc = 0;

	for (size_t i = 0; rc >= 0 && i < ARRAY_LEN(kinds); i++) {
		struct load l = { .env = env, .kind = kinds[i], .gone = json_array() };
		rc = queue_load_objects(env->queue, kinds[i], load_use, &l, err);
		forget(env, kinds[i], l.gone);
		json_decref(l.gone);
	}
	while (creds_dirty(env->creds, &at) != NULL || allow_dirty(env->allow) != NULL)
		; /* what was just loaded is no news */
	return rc;
}

void uses_start(struct actions *a)
{
	a->uses = loop_timer_new(a->env->loop, "ctl.uses", on_uses, a);
	loop_timer_set(a->uses, USES_MS);
}
