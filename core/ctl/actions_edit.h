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
/* Before the commit: what it changes has not been changed by others since its base. ERR_CONFLICT
 * with a name. */
int edit_check(const struct op *op, const json_t *change, struct err *err) MUST_CHECK;
/* While a large edit is on its way nobody edits that kind: ERR_CONFLICT with a name. */
int edit_not_now(const struct op *op, const char *kind, struct err *err) MUST_CHECK;
/* Gives op its version. */
void edit_version(struct op *op);
void edit_stored(struct op *op); /* is in force from here on */
/* The action of the last edit of it that is known; 0: none is. Its name, as journal_name() has it;
 * else the text stays as it is. */
uint64_t edit_last(const struct actions *a, const char *kind, const char *id);
void edit_name(const struct actions *a, const char *kind, const char *id, char *ret, size_t n);
/* Whether others' edits are on their way to the disk. */
bool edits_under_way(const struct op *op);
/* Before a large one is prepared: nobody else is at it. ERR_CONFLICT with a name. */
int edit_alone(const struct op *op, struct err *err) MUST_CHECK;
/* It looks at the configuration from here on; then whether it has stayed as it is: else
 * ERR_CONFLICT with a name. */
void edit_looks(struct op *op);
int edit_unchanged(const struct op *op, struct err *err) MUST_CHECK;
/* For plan.make and plan.commit of methods with MF_EDIT. */
void edit_make(struct ctl_call *call, const struct method_def *m, json_t *params_take);
void edit_commit(struct ctl_call *call, const struct plan *p);

#endif
