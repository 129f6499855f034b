/*
 * probation - an edit of routes, streams, pools or the allowlist that the relay takes back by
 * itself unless somebody confirms it in time.
 *
 * Model:   it is an undo that happens unless it is called off. The edit is in force at once; in its
 *          transaction an object (kind "probation", id is the action's) says until when. Confirming
 *          takes the object away; every way of taking the edit back (action.undo, config.rollback,
 *          the relay at the end of the time) takes it away with the edit. Whoever made the edit
 *          need not be there any more. After a restart the object is there again; what ran out
 *          meanwhile is taken back at the start.
 *          There is one at a time. Until it is over nobody edits anything else of these kinds, so
 *          that what comes back is what was. Credentials and keys can be edited, as a leak does not
 *          wait; where such an edit changed what an import on probation had changed, that stays
 *          when the import is taken back.
 * Context: loop thread only.
 */
#ifndef CTL_PROBATION_H
#define CTL_PROBATION_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "ctl/env.h"
#include "ctl/journal.h"

#define PROBATION_KIND "probation"

struct op;

struct probation {
	uint64_t action;
	char id[ACTION_ID_LEN];
	uint64_t version;
	int64_t until_ms;
	int64_t again_ms; /* taking it back has failed: not before this is it tried again */
	json_t *json;	  /* what the store keeps */
};

/* From the text of the store. */
int probation_put(struct ctl_env *env, const char *json, struct err *err) MUST_CHECK;
void probation_drop(struct ctl_env *env);
json_t *probation_row_of(const struct ctl_env *env, const json_t *o); /* one; owned */
json_t *probation_row(const struct ctl_env *env); /* of entity "probation", or null; owned */
/* Whether this action's edit is on probation. */
bool probation_is(const struct ctl_env *env, uint64_t action);

/* --- what happens (actions_probation.c) ------------------------------------------------------- */

/* Before an edit is planned or committed: that it meets no other one. ERR_STATE with who and how
 * long. */
int probation_check(const struct op *op, struct err *err) MUST_CHECK;
/* How long the edit is to be on probation; 0: it stays. */
int64_t probation_wanted_ms(const struct op *op);
/* The edit, which has its version, begins its probation if one is wanted. ERR_INVALID. */
int probation_begin(struct op *op, struct err *err) MUST_CHECK;
/* What takes the edit back takes the object away, too. */
int probation_end(struct op *op, struct err *err) MUST_CHECK;

/* Takes back what ran out. */
void probation_run(struct actions *a);
int64_t probation_next_ms(const struct actions *a); /* 0: nothing waits */

#endif
