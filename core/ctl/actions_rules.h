/*
 * actions_rules - what changes of single objects have in common: routes, the allowlist,
 * credentials.
 *
 * A handler makes the change with rule_op(), locks and checks, calls op_begin() and op_object(),
 * and stores it with op_commit(op, rule_in_force, rule_refused).
 */
#ifndef CTL_ACTIONS_RULES_H
#define CTL_ACTIONS_RULES_H

#include "ctl/actions_int.h"

/* A change of what the journal calls `name`. */
struct op *rule_op(struct ctl_call *call, const char *name);
/* Puts the objects in force and answers; or tells what went wrong. */
op_fn rule_in_force, rule_refused;
/* The end of most: stored, put in force, answered. What stands in op->result under "warnings" and
 * "publish" is answered too. */
void rule_store(struct op *op);
void rule_warn(struct op *op, char *text_take);

#endif
