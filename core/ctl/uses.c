/*
 * What is counted of credentials and allowlist entries reaches the store here: all that changed,
 * every USES_MS, so that a message costs no commit of its own. A crash forgets the counts of the
 * last moments, nothing else; a restart none.
 *
 * But for the day's messages of credentials: a limit that a crash forgets is none, and who has
 * secrets to spend sends all of a day's in seconds. Each pass notes when it began, with its last
 * transaction; at start the messages that came in since then are counted, those of a credential
 * from when its own counts were written. What was under way at that moment may count twice.
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
#define PASS "uses-pass" /* one object: {"at_ms"} */
#define DAY_MS (INT64_C(24) * 3600 * 1000)

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
	int64_t now = loop_wall_ms(env->loop);
	struct batch b = { .n = 0 };
	const struct cred *x;
	const struct allow_entry *e;
	bool more;

	if (a->uses_at == 0)
		a->uses_pass_ms = now;
	while (b.n < AT_ONCE - 1 && (x = creds_dirty(env->creds, &a->uses_at)) != NULL)
		put(&b, CRED_USE, x->name, cred_use_json(x->use, now));
	while (b.n < AT_ONCE - 1 && (e = allow_dirty(env->allow)) != NULL)
		put(&b, ALLOW_USE, e->text, allow_use_json(e));
	more = a->uses_at < creds_n(env->creds) || allow_is_dirty(env->allow);
	if (b.n > 0 && !more)
		put(&b, PASS, "", json_pack("{s:I}", "at_ms", (json_int_t)a->uses_pass_ms));
	batch_store(env, &b);
	return more;
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
	size_t n;
};

static void load_use(void *arg, const struct queue_object *q)
{
	struct load *l = arg;
	struct err err = ERR_INIT;
	json_t *o = NULL;
	bool there = false;

	l->n++;
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

static void load_pass(void *arg, const struct queue_object *q)
{
	json_t *o = NULL;

	if (json_read(q->json, &o, NULL) >= 0)
		*(int64_t *)arg = json_get_int(o, "at_ms");
	json_decref(o);
}

static void count_again(void *arg, struct str credential, int64_t received_ms)
{
	struct ctl_env *env = arg;

	creds_day_again(env->creds, credential, received_ms, loop_wall_ms(env->loop));
}

/* What came in behind the last pass. stored: counts were, if by a release without passes. */
static int count_day(struct ctl_env *env, bool stored, struct err *err)
{
	int64_t now = loop_wall_ms(env->loop);
	int64_t from_ms = now - now % DAY_MS;
	int64_t pass_ms = 0;
	int rc = queue_load_objects(env->queue, PASS, load_pass, &pass_ms, err);

	if (rc < 0 || (stored && pass_ms == 0))
		return rc;
	return queue_load_sent(env->queue, pass_ms > from_ms ? pass_ms : from_ms, count_again, env,
			       err);
}

int uses_load(struct actions *a, struct err *err)
{
	static const char *const kinds[] = { CRED_USE, ALLOW_USE };
	struct ctl_env *env = a->env;
	size_t at = 0;
	bool stored = false;
	int rc = 0;

	for (size_t i = 0; rc >= 0 && i < ARRAY_LEN(kinds); i++) {
		struct load l = { .env = env, .kind = kinds[i], .gone = json_array() };
		rc = queue_load_objects(env->queue, kinds[i], load_use, &l, err);
		forget(env, kinds[i], l.gone);
		json_decref(l.gone);
		stored = stored || l.n > 0;
	}
	while (creds_dirty(env->creds, &at) != NULL || allow_dirty(env->allow) != NULL)
		; /* what was just loaded is no news */
	return rc < 0 ? rc : count_day(env, stored, err);
}

void uses_start(struct actions *a)
{
	a->uses = loop_timer_new(a->env->loop, "ctl.uses", on_uses, a);
	loop_timer_set(a->uses, USES_MS);
}
