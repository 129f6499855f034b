/*
 * actions_edit - edits of the configuration: planned, committed, and noticed by those who edit the
 * same. A part of actions_int.h. (actions_edit.c)
 */
#ifndef CTL_ACTIONS_EDIT_H
#define CTL_ACTIONS_EDIT_H

#include "ctl/actions.h"

struct op;
struct plan;

struct edit_log; /* who changed what lately */
int edits_open(struct actions *a, struct err *err) MUST_CHECK;
void edits_close(struct actions *a);

/* The op is to be planned and not done: its objects become an open plan. Answers. */
void edit_plan(struct op *op);
/* What it would change has not been changed by others since its base. ERR_CONFLICT with a name. */
int edit_check(const struct op *op, struct err *err) MUST_CHECK;
/* The same before the commit; gives op its version. */
int edit_take_version(struct op *op, struct err *err) MUST_CHECK;
void edit_stored(struct op *op); /* is in force from here on */
/* For plan.make and plan.commit of methods with MF_EDIT. */
void edit_make(struct ctl_call *call, const struct method_def *m, json_t *params_take);
void edit_commit(struct ctl_call *call, const struct plan *p);

#endif
