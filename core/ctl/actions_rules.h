/*
 * actions_rules - what changes of single objects have in common: routes, the allowlist,
 * credentials.
 *
 * A handler makes the change with rule_op(), locks and checks, calls op_begin() and op_object(),
 * and stores it with op_commit(op, rule_in_force, rule_refused).
 */
#ifndef CTL_ACTIONS_RULES_H
#define CTL_ACTIONS_RULES_H

#include "base/secret.h"
#include "ctl/actions_int.h"

/* A change of what the journal calls `name`. */
struct op *rule_op(struct ctl_call *call, const char *name);
/* Puts the objects in force and answers; or tells what went wrong. */
op_fn rule_in_force, rule_refused;
/* The end of most: stored, put in force, answered. What stands in op->result under "warnings" and
 * "publish" is answered too. */
void rule_store(struct op *op);
void rule_store_then(struct op *op, op_fn *then); /* which ends with rule_in_force() */
void rule_warn(struct op *op, char *text_take);
/* What it is called from now on, for the answer. */
void rule_answer_id(struct op *op, const char *id);

/* What a route can ask for. ERR_INVALID names `match`. (actions_rules.c) */
int route_check_match(const struct filter *match, struct err *err) MUST_CHECK;
/* A parameter that names a route: ERR_UNKNOWN, ERR_STATE. (actions_rules.c) */
int route_find(const struct ctl_call *call, const char *param, const struct route **ret,
	       struct err *err) MUST_CHECK;
/* A route to there can have this pool, or none (""). ERR_INVALID names `pool`. */
int route_check_pool(const char *to, const char *pool, struct err *err) MUST_CHECK;
/* The change of a route into the op, with a warning when it decides for all mail from now on. self:
 * as it is, NULL: a new one; before: what it stands in front of then, NULL: nothing. */
void route_object(struct op *op, const char *id, const struct route *self, json_t *after_take,
		  const struct route *before);
/* The first line of the file that has it. */
void route_password(const struct ctl_call *call, struct secret *ret);
/* A plan of warm-up begins anew when it becomes another one, on that day; 0: today, and one that
 * stays goes on. was: the pool before, or NULL. (actions_pool.c) */
void pool_begin_plan(json_t *o, const json_t *was, int64_t now_ms, int64_t day);
/* What may not have been meant with a new entry of the allowlist. (actions_allow.c) */
void allow_warn(struct op *op, const struct allow_entry *e, int64_t now_ms);
/* A new credential without a secret; owned. (actions_cred_import.c) */
json_t *cred_empty(const struct op *op, const char *name, int64_t now_ms);

#endif
