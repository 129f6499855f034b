/*
 * actions_suppress - the suppression list's part of actions_int.h. (actions_suppress.c)
 */
#ifndef CTL_ACTIONS_SUPPRESS_H
#define CTL_ACTIONS_SUPPRESS_H

#include "ctl/actions.h"

/* The object of an import; owned. */
json_t *suppress_import_json(uint64_t batch);
/* Imports, then entries. Blocking, at start. */
int suppress_load(struct ctl_env *env, struct err *err) MUST_CHECK;

#endif
