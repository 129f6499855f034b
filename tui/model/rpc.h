/*
 * rpc - calls and subscriptions as the models see them.
 *
 * Model:   a table of functions over a connection: the client in the console, a script in tests.
 *          Answers never come from inside call(). A call is answered exactly once, unless it was
 *          cancelled before; a call that was under way when the link broke is answered with an
 *          error. Subscriptions outlive a broken link: after it is up again they get a push with
 *          `resync` true.
 * Owner:   params is taken; results and pushed data are borrowed for the length of the callback.
 */
#ifndef MODEL_RPC_H
#define MODEL_RPC_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"

/* `result` is NULL when it failed; then err says why. */
typedef void rpc_answer_fn(void *arg, const json_t *result, const struct err *err);
typedef void rpc_push_fn(void *arg, const json_t *data, bool resync);

struct rpc_ops {
	/* A number for cancel(), never 0. */
	uint64_t (*call)(void *conn, const char *method, json_t *params, rpc_answer_fn *fn,
			 void *arg);
	void (*cancel)(void *conn, uint64_t call);
	/* params: what sub.open takes besides the topic, or NULL. */
	uint64_t (*sub)(void *conn, const char *topic, json_t *params, rpc_push_fn *fn, void *arg);
	void (*unsub)(void *conn, uint64_t sub);
};

struct rpc {
	const struct rpc_ops *ops;
	void *conn;
};

static inline uint64_t rpc_call(struct rpc r, const char *method, json_t *params, rpc_answer_fn *fn,
				void *arg)
{
	return r.ops->call(r.conn, method, params, fn, arg);
}

/* Cancels what is under way, if anything is. */
static inline void rpc_cancel(struct rpc r, uint64_t *call)
{
	if (*call != 0)
		r.ops->cancel(r.conn, *call);
	*call = 0;
}

static inline uint64_t rpc_sub(struct rpc r, const char *topic, json_t *params, rpc_push_fn *fn,
			       void *arg)
{
	return r.ops->sub(r.conn, topic, params, fn, arg);
}

static inline void rpc_unsub(struct rpc r, uint64_t *sub)
{
	if (*sub != 0)
		r.ops->unsub(r.conn, *sub);
	*sub = 0;
}

/* Fields of rows, as they come: "" and 0 when absent, null or of another type. Borrow. */
const char *js(const json_t *row, const char *name);
int64_t ji(const json_t *row, const char *name);
bool js_has(const json_t *row, const char *name); /* there, and not null */

#endif
