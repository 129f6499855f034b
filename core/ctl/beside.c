/* First the objects are told apart, then each list takes what stays, then what comes. */
#include "ctl/beside.h"

#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "base/mem.h"
#include "base/obj.h"
#include "ctl/actions_int.h"
#include "loop/loop.h"

#define BESIDE_MAGIC 0x57e3c032u
#define ITEMS 32 /* of a step */
#define FREED 64

enum list { ROUTES, ALLOW, CREDS, KEYS, LIST__COUNT };
static const char *const kinds[LIST__COUNT] = {
	[ROUTES] = "route",
	[ALLOW] = "allow",
	[CREDS] = "cred",
	[KEYS] = KEYS_KIND,
};

enum phase { TELL_APART, STAYS, COMES, MADE };

struct beside {
	uint32_t magic;
	struct ctl_env *env;
	const json_t *objects;
	size_t count[LIST__COUNT];
	bool counted;
	size_t told;		  /* of the objects */
	json_t *ids[LIST__COUNT]; /* that are not as they were; NULL: no list of that kind */
	json_t *rest;
	enum phase phase;
	enum list list; /* in hand */
	size_t at;
	struct routes *routes;
	struct allow *allow;
	struct creds *creds;
	struct keys *keys;
};

/* LIST__COUNT: it is none of them. */
static enum list list_of(const json_t *object)
{
	const char *kind = json_get_str(object, "kind");
	int l = 0;

	while (l < LIST__COUNT && strcmp(kinds[l], kind) != 0)
		l++;
	return (enum list)l;
}

struct beside *beside_new(struct ctl_env *env, const json_t *objects)
{
	struct beside *b = xcalloc(1, sizeof(*b));

	b->magic = BESIDE_MAGIC;
	b->env = env;
	b->objects = objects;
	b->rest = json_array();
	return b;
}

static void make_list(struct beside *b, enum list l)
{
	b->ids[l] = json_object();
	switch (l) {
	case ROUTES:
		b->routes = routes_new();
		break;
	case ALLOW:
		b->allow = allow_new();
		break;
	case CREDS:
		b->creds = creds_new();
		break;
	case KEYS:
		b->keys = keys_beside(b->env->keys);
		break;
	case LIST__COUNT:
		break;
	}
}

/* --- what it is made of ----------------------------------------------------------------------- */

/* Goes over the objects twice: which lists there will be, then whose each is. */
static void tell_apart(struct beside *b, const json_t *object)
{
	enum list l = list_of(object);

	if (!b->counted) {
		if (l < LIST__COUNT)
			b->count[l]++;
		return;
	}
	if (l < LIST__COUNT && b->ids[l] != NULL)
		(void)json_object_set_new(b->ids[l], json_get_str(object, "id"), json_true());
	else
		(void)json_array_append(b->rest, (json_t *)(uintptr_t)object);
}

static void on_told(struct beside *b)
{
	b->at = 0;
	if (b->counted) {
		b->told = json_array_size(b->objects);
		b->phase = STAYS;
		return;
	}
	b->counted = true;
	for (int l = 0; l < LIST__COUNT; l++)
		if (b->count[l] >= BESIDE_MIN)
			make_list(b, (enum list)l);
}

static size_t stays_n(const struct beside *b)
{
	switch (b->list) {
	case ROUTES:
		return routes_n(b->env->routes);
	case ALLOW:
		return allow_n(b->env->allow);
	case CREDS:
		return creds_n(b->env->creds);
	case KEYS:
		return keys_n(b->env->keys);
	case LIST__COUNT:
		break;
	}
	return 0;
}

static int put(struct beside *b, const json_t *object, struct err *err)
{
	AUTO_FREE char *text = json_dumps(object, JSON_COMPACT);

	switch (b->list) {
	case ROUTES:
		return routes_put(b->routes, text, err);
	case ALLOW:
		return allow_put(b->allow, text, err);
	case CREDS:
		return creds_put(b->creds, text, err);
	case KEYS:
		return keys_put(b->keys, text, loop_wall_ms(b->env->loop), err);
	case LIST__COUNT:
		break;
	}
	return 0;
}

/* Owned; NULL when it does not stay as it is. */
static json_t *stays_at(const struct beside *b, size_t i)
{
	const struct ctl_env *env = b->env;
	const json_t *ids = b->ids[b->list];

	if (b->list == ROUTES)
		return json_object_get(ids, routes_at(env->routes, i)->id) == NULL
			       ? routes_json(routes_at(env->routes, i))
			       : NULL;
	if (b->list == CREDS)
		return json_object_get(ids, creds_at(env->creds, i)->name) == NULL
			       ? creds_json(creds_at(env->creds, i))
			       : NULL;
	return json_object_get(ids, keys_at(env->keys, i)->id) == NULL
		       ? keys_json(keys_at(env->keys, i))
		       : NULL;
}

static int stay(struct beside *b, size_t i, struct err *err)
{
	json_t *o;
	int rc = 0;

	if (b->list == ALLOW) {
		const struct allow_entry *e = allow_at(b->env->allow, i);
		if (json_object_get(b->ids[ALLOW], e->text) == NULL)
			allow_copy(b->allow, e);
		return 0;
	}
	o = stays_at(b, i);
	if (o != NULL)
		rc = put(b, o, err);
	json_decref(o);
	return rc;
}

static int come(struct beside *b, size_t i, struct err *err)
{
	const json_t *object = json_array_get(b->objects, i);
	const json_t *after = json_object_get(object, "after");

	return list_of(object) == b->list && json_is_object(after) ? put(b, after, err) : 0;
}

/* The next list, or what is next in all. */
static void next_list(struct beside *b)
{
	b->at = 0;
	b->list++;
	if (b->list < LIST__COUNT)
		return;
	if (b->phase == COMES && b->allow != NULL && allow_n(b->allow) > 0)
		(void)allow_at(b->allow, 0); /* its order is made here, and not in the last step */
	b->phase++;
	b->list = 0;
}

int beside_step(struct beside *b, struct err *err)
{
	size_t n = json_array_size(b->objects);
	int rc = 0;

	if (b->phase == TELL_APART) {
		for (size_t end = b->at + ITEMS; b->at < end && b->at < n; b->at++)
			tell_apart(b, json_array_get(b->objects, b->at));
		if (b->at >= n)
			on_told(b);
		return 1;
	}
	if (b->phase == MADE)
		return 0;
	if (b->phase == STAYS)
		n = stays_n(b);
	if (b->ids[b->list] == NULL)
		n = 0;
	for (size_t end = b->at + ITEMS; rc >= 0 && b->at < end && b->at < n; b->at++)
		rc = b->phase == STAYS ? stay(b, b->at, err) : come(b, b->at, err);
	if (rc < 0)
		return rc;
	if (b->at >= n)
		next_list(b);
	return 1;
}

/* --- in force --------------------------------------------------------------------------------- */

const json_t *beside_rest(struct beside *b)
{
	for (; b->told < json_array_size(b->objects); b->told++) {
		json_t *late = json_array_get(b->objects, b->told);
		ASSERT(list_of(late) == LIST__COUNT);
		(void)json_array_append(b->rest, late);
	}
	return b->rest;
}

void beside_swap(struct beside *b, void (*changed)(void *arg, const char *kind), void *arg)
{
	ASSERT(b->phase == MADE);
	if (b->routes != NULL)
		routes_swap(b->env->routes, b->routes);
	if (b->allow != NULL)
		allow_swap(b->env->allow, b->allow);
	if (b->creds != NULL)
		creds_swap(b->env->creds, b->creds);
	if (b->keys != NULL)
		keys_swap(b->env->keys, b->keys);
	for (int l = 0; l < LIST__COUNT; l++)
		if (b->ids[l] != NULL)
			changed(arg, kinds[l]);
}

bool beside_free_some(void *arg)
{
	struct beside *b = OBJ(beside, BESIDE_MAGIC, arg);

	if (b->routes != NULL)
		return routes_free_some(&b->routes, FREED), true;
	if (b->allow != NULL)
		return allow_free_some(&b->allow, FREED), true;
	if (b->creds != NULL)
		return creds_free_some(&b->creds, FREED), true;
	if (b->keys != NULL)
		return keys_free_some(&b->keys, FREED, loop_wall_ms(b->env->loop)), true;
	for (int l = 0; l < LIST__COUNT; l++)
		reap_json(b->env->actions->reaper, b->ids[l]);
	reap_json(b->env->actions->reaper, b->rest);
	b->magic = 0;
	free(b);
	return false;
}
