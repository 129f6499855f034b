/*
 * fake_rpc - a relay for model and view tests: calls wait until fake_rpc_run() answers them.
 *
 * Model:   a method is answered with what fake_rpc_answer() set for it, or by a function; a method
 *          that nothing was set for stays unanswered. The params of the last call of each method
 *          are kept.
 */
#ifndef LIB_FAKE_RPC_H
#define LIB_FAKE_RPC_H

#include "model/rpc.h"

/* Returns owned; NULL leaves the call unanswered. */
typedef json_t *fake_rpc_fn(const json_t *params);

void fake_rpc_reset(void);
struct rpc fake_rpc(void);
/* JSON text; with single quotes for double ones, to be readable in C. */
void fake_rpc_answer(const char *method, const char *json);
void fake_rpc_answer_fn(const char *method, fake_rpc_fn *fn);
void fake_rpc_fail(const char *method, int code, const char *text);
/* Answers everything that waits, and what is called meanwhile. */
void fake_rpc_run(void);
void fake_rpc_push(const char *topic, const char *json, bool resync);
int fake_rpc_calls(const char *method);
/* The last call's params as compact JSON with sorted keys; "" when it was not called. Borrows. */
const char *fake_rpc_params(const char *method);
int fake_rpc_subs(void);

#endif
