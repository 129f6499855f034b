/*
 * What is counted of credentials and allowlist entries reaches the store here: all that changed,
 * every USES_MS, so that a message costs no commit of its own. A crash forgets the counts of the
 * last moments, nothing else; a restart none.
 *
 * But for the day's messages of credentials: a limit that a crash forgets is none, and who has
 * secrets to spend sends all of a day's in seconds. Each pass notes when it began, with its last
 * transaction; at start the messages that came in since then are counted, those of a credential
 * from when its own counts were written. What was under way at that moment may count twice.
 *
 * So a pass has one transaction at a time, and ends with one that fails: what that had is news
 * again. At the end there is one for everything; it notes nothing while another is under way.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>

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

struct uses {
	struct loop_timer *timer;   /* not while a transaction of a pass is under way */
	bool begun;		    /* a pass */
	int64_t pass_ms;	    /* when it began */
	char at[CRED_NAME_MAX + 1]; /* it is behind this credential */
	LIST_HEAD(, batch) under_way;
};

struct used {
	const char *kind;
	char *id;
};

/* A transaction, and whose counts it has. */
struct batch {
	LIST_ENTRY(batch) link; /* under way */
	struct actions *a;
	struct queue_batch *objects;
	struct used *v;
	size_t n;
	size_t cap;
	bool last; /* of its pass */
};

static void put_object(struct queue_batch *q, const char *kind, const char *id, json_t *o_take)
{
	AUTO_FREE char *text = json_dumps(o_take, JSON_COMPACT);

	queue_batch_add(q, &(struct queue_object){ .kind = kind, .id = id, .json = text });
	json_decref(o_take);
}

static void put(struct batch *b, const char *kind, const char *id, json_t *o_take)
{
	if (b->n == b->cap) {
		b->cap = b->cap != 0 ? 2 * b->cap : 16;
		b->v = xreallocarray(b->v, b->cap, sizeof(*b->v));
	}
	b->v[b->n++] = (struct used){ .kind = kind, .id = xstrdup(id) };
	put_object(b->objects, kind, id, o_take);
}

static void batch_free(struct batch *b)
{
	queue_batch_free(&b->objects);
	for (size_t i = 0; i < b->n; i++)
		free(b->v[i].id);
	free(b->v);
	free(b);
}

static void news_again(const struct ctl_env *env, const struct batch *b)
{
	for (size_t i = 0; i < b->n; i++) {
		if (strcmp(b->v[i].kind, CRED_USE) == 0)
			creds_dirty_again(env->creds, str_of(b->v[i].id));
		else
			allow_dirty_again(env->allow, str_of(b->v[i].id));
	}
}

static void on_stored(void *arg, const struct err *err)
{
	struct batch *b = arg;
	struct uses *u = b->a->uses;
	bool over = err != NULL || b->last;

	LIST_REMOVE(b, link);
	if (err != NULL) {
		log_warn(NULL, "uses.store", F_STR("error", err->msg));
		news_again(b->a->env, b);
	}
	if (over)
		u->begun = false;
	loop_timer_set(u->timer, over ? USES_MS : USES_MORE_MS);
	batch_free(b);
}

/* The pass's next transaction, of so many objects; NULL: there was nothing. */
static struct batch *gather(struct actions *a, size_t most)
{
	const struct ctl_env *env = a->env;
	struct uses *u = a->uses;
	int64_t now = loop_wall_ms(env->loop);
	struct batch *b = xcalloc(1, sizeof(*b));
	bool goes_on = u->begun;
	const struct cred *x;
	const struct allow_entry *e;

	*b = (struct batch){ .a = a, .objects = queue_batch_new() };
	if (!goes_on) {
		u->begun = true;
		u->pass_ms = now;
		u->at[0] = '\0';
	}
	while (b->n < most && (x = creds_dirty(env->creds, str_of(u->at))) != NULL) {
		put(b, CRED_USE, x->name, cred_use_json(x->use, now));
		(void)snprintf(u->at, sizeof(u->at), "%s", x->name);
	}
	while (b->n < most && (e = allow_dirty(env->allow)) != NULL)
		put(b, ALLOW_USE, e->text, allow_use_json(e));
	b->last = b->n < most;
	if (b->n == 0 && !goes_on) {
		batch_free(b);
		u->begun = false;
		return NULL;
	}
	if (b->last && LIST_EMPTY(&u->under_way))
		put_object(b->objects, PASS, "",
			   json_pack("{s:I}", "at_ms", (json_int_t)u->pass_ms));
	return b;
}

static void batch_store(struct batch *b)
{
	struct queue_batch *objects = b->objects;

	b->objects = NULL;
	LIST_INSERT_HEAD(&b->a->uses->under_way, b, link);
	queue_commit_batch(b->a->env->queue, NULL, objects, on_stored, b);
}

static void on_uses(void *arg)
{
	struct actions *a = OBJ(actions, ACTIONS_MAGIC, arg);
	struct batch *b = gather(a, AT_ONCE - 1);

	if (b != NULL)
		batch_store(b);
	else
		loop_timer_set(a->uses->timer, USES_MS);
}

void actions_flush(struct actions *a)
{
	struct batch *b;

	a->uses->begun = false;
	b = gather(a, SIZE_MAX);
	if (b != NULL)
		batch_store(b);
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

static void on_forgotten(void *arg, const struct err *err)
{
	(void)arg;
	if (err != NULL) /* at the next start, then */
		log_warn(NULL, "uses.forget", F_STR("error", err->msg));
}

static void forget(struct ctl_env *env, const char *kind, const json_t *gone)
{
	struct queue_batch *b;

	if (json_array_size(gone) == 0)
		return;
	b = queue_batch_new();
	for (size_t i = 0; i < json_array_size(gone); i++)
		queue_batch_add(b, &(struct queue_object){
					   .kind = kind,
					   .id = json_string_value(json_array_get(gone, i)) });
	queue_commit_batch(env->queue, NULL, b, on_forgotten, NULL);
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

/* What came in behind the last pass. stored: counts were, if by a release without passes. Nobody to
 * count for: not looked for, among a million messages that takes a tenth of a second. */
static int count_day(struct ctl_env *env, bool stored, struct err *err)
{
	int64_t now = loop_wall_ms(env->loop);
	int64_t from_ms = now - now % DAY_MS;
	int64_t pass_ms = 0;
	int rc = queue_load_objects(env->queue, PASS, load_pass, &pass_ms, err);

	if (rc < 0 || (stored && pass_ms == 0) || creds_n(env->creds) == 0)
		return rc;
	return queue_load_sent(env->queue, pass_ms > from_ms ? pass_ms : from_ms, count_again, env,
			       err);
}

int uses_load(struct actions *a, struct err *err)
{
	static const char *const kinds[] = { CRED_USE, ALLOW_USE };
	struct ctl_env *env = a->env;
	const struct cred *x = NULL;
	bool stored = false;
	int rc = 0;

	a->uses = xcalloc(1, sizeof(*a->uses));
	a->uses->timer = loop_timer_new(env->loop, "ctl.uses", on_uses, a);
	for (size_t i = 0; rc >= 0 && i < ARRAY_LEN(kinds); i++) {
		struct load l = { .env = env, .kind = kinds[i], .gone = json_array() };
		rc = queue_load_objects(env->queue, kinds[i], load_use, &l, err);
		forget(env, kinds[i], l.gone);
		json_decref(l.gone);
		stored = stored || l.n > 0;
	}
	/* what was just loaded is no news */
	while ((x = creds_dirty(env->creds, str_of(x != NULL ? x->name : ""))) != NULL)
		;
	while (allow_dirty(env->allow) != NULL)
		;
	return rc < 0 ? rc : count_day(env, stored, err);
}

void uses_start(struct actions *a)
{
	loop_timer_set(a->uses->timer, USES_MS);
}

/* Behind queue_close(): what it has written then, nobody is told of. */
void uses_close(struct actions *a)
{
	struct batch *b;

	if (a->uses == NULL)
		return;
	while ((b = LIST_FIRST(&a->uses->under_way)) != NULL) {
		LIST_REMOVE(b, link);
		batch_free(b);
	}
	loop_timer_free(&a->uses->timer);
	free(a->uses);
	a->uses = NULL;
}
