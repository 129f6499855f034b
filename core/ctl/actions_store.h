/*
 * actions_store - the transaction of a change. A part of actions_int.h. (actions_store.c)
 */
#ifndef CTL_ACTIONS_STORE_H
#define CTL_ACTIONS_STORE_H

#include <stdbool.h>

struct action;
struct actions;
struct op;
typedef void op_fn(struct op *op);

/* Stores the action (its set is op->set) and the objects; then `then` or, with op->err, `failed`.
 * (actions_store.c) */
void op_commit(struct op *op, op_fn *then, op_fn *failed);
/* The objects without an action, for what happens by itself; `then` in any case. */
void op_commit_objects(struct op *op, op_fn *then);
/* What a journal keeps of an action that is over has no secrets: in slices, then the store has it.
 */
void op_strip(struct actions *a, struct action *x);
void journal_stripped(struct actions *a, const struct action *x, const char *undo);
void op_texts_init(struct op *op);
void op_texts_done(struct op *op);
bool op_is_large(const struct op *op);
/* An edit whose objects are many is on its way: others wait or are refused. NULL: none. */
const struct op *op_whole(const struct actions *a);

#endif
