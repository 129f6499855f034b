/* relay - generation numbers are compared with those seen before; only differences are reported. */
#include "model/relay.h"

#include <stdlib.h>

#include "base/mem.h"
#include "base/obj.h"

#define RELAY_MAGIC 0x52656c61u

struct relay {
	uint32_t magic;
	struct rpc rpc;
	uint64_t sub_status;
	uint64_t sub_changes;
	uint64_t call;
	json_t *status;
	json_t *generations;
	struct {
		relay_fn *fn;
		void *arg;
	} listeners[RELAY_LISTENERS];
	int n_listeners;
};

static const struct {
	const char *name;
	unsigned bit;
} sources[] = {
	{ "queue", RELAY_QUEUE },	{ "holds", RELAY_HOLDS },     { "routes", RELAY_ROUTES },
	{ "allow", RELAY_ALLOW },	{ "creds", RELAY_CREDS },     { "actions", RELAY_ACTIONS },
	{ "keys", RELAY_KEYS },		{ "streams", RELAY_STREAMS }, { "pools", RELAY_POOLS },
	{ "suppress", RELAY_SUPPRESS }, { "bounces", RELAY_BOUNCES },
};

static void tell(struct relay *r, unsigned moved)
{
	for (int i = 0; moved != 0 && i < r->n_listeners; i++)
		r->listeners[i].fn(r->listeners[i].arg, moved);
}

static void take_status(struct relay *r, const json_t *data)
{
	if (!json_is_object(data))
		return;
	json_decref(r->status);
	r->status = json_deep_copy(data);
	tell(r, RELAY_STATUS);
}

static void on_status(void *arg, const json_t *data, bool resync)
{
	struct relay *r = OBJ(relay, RELAY_MAGIC, arg);

	take_status(r, data);
	if (resync && !json_is_object(data))
		relay_refresh(r);
}

static void on_changes(void *arg, const json_t *data, bool resync)
{
	struct relay *r = OBJ(relay, RELAY_MAGIC, arg);
	unsigned moved = resync ? RELAY_ALL & ~(unsigned)RELAY_STATUS : 0;

	for (size_t i = 0; i < ARRAY_LEN(sources); i++) {
		const json_t *v = json_object_get(data, sources[i].name);

		if (v == NULL)
			continue;
		if (!json_equal(v, json_object_get(r->generations, sources[i].name)))
			moved |= sources[i].bit;
		(void)json_object_set_new(r->generations, sources[i].name, json_deep_copy(v));
	}
	tell(r, moved);
}

static void on_answer(void *arg, const json_t *result, const struct err *err)
{
	struct relay *r = OBJ(relay, RELAY_MAGIC, arg);

	(void)err; /* the next push brings it */
	r->call = 0;
	take_status(r, result);
}

struct relay *relay_new(struct rpc rpc)
{
	struct relay *r = xcalloc(1, sizeof(*r));

	r->magic = RELAY_MAGIC;
	r->rpc = rpc;
	r->generations = json_object();
	r->sub_status = rpc_sub(rpc, "status", NULL, on_status, r);
	r->sub_changes = rpc_sub(rpc, "changes", NULL, on_changes, r);
	r->call = rpc_call(rpc, "status.get", NULL, on_answer, r);
	return r;
}

void relay_free(struct relay **rp)
{
	struct relay *r = *rp;

	if (r == NULL)
		return;
	rpc_cancel(r->rpc, &r->call);
	rpc_unsub(r->rpc, &r->sub_status);
	rpc_unsub(r->rpc, &r->sub_changes);
	json_decref(r->status);
	json_decref(r->generations);
	free(r);
	*rp = NULL;
}

const json_t *relay_status(const struct relay *r)
{
	return r->status;
}

void relay_listen(struct relay *r, relay_fn *fn, void *arg)
{
	ASSERT(r->n_listeners < RELAY_LISTENERS);
	r->listeners[r->n_listeners].fn = fn;
	r->listeners[r->n_listeners++].arg = arg;
}

void relay_unlisten(struct relay *r, void *arg)
{
	for (int i = 0; i < r->n_listeners; i++) {
		if (r->listeners[i].arg == arg) {
			r->listeners[i] = r->listeners[--r->n_listeners];
			return;
		}
	}
}

void relay_refresh(struct relay *r)
{
	rpc_cancel(r->rpc, &r->call);
	r->call = rpc_call(r->rpc, "status.get", NULL, on_answer, r);
	tell(r, RELAY_ALL & ~(unsigned)RELAY_STATUS);
}
