/*
 * plans - open plans and those that are being committed. A part of actions_int.h. (actions_plan.c)
 */
#ifndef CTL_PLANS_H
#define CTL_PLANS_H

#include <sys/queue.h>

#include "base/buf.h"
#include "ctl/actions.h"

#define PLAN_ID_LEN 16
#define PLAN_SAMPLE 20
#define PLAN_DOMAINS 20

struct plan {
	TAILQ_ENTRY(plan) link;
	char id[PLAN_ID_LEN]; /* empty: of a change without a plan */
	const struct method_def *method;
	json_t *params; /* without reason and request */
	struct target target;
	char *text; /* the target as journal and answers show it */
	uid_t uid;
	char user[CTL_USER_LEN];
	int64_t expires_ms;
	struct rid *rids; /* ascending */
	size_t n;
	size_t in_delivery;
	uint32_t *holds; /* that a release ends */
	size_t holds_n;
	bool committing;
	/* of an edit (actions_edit.c) */
	json_t *edits; /* "kind id" of what it would change; NULL: a plan with a set */
	uint64_t base; /* the version that it was made against */
};
TAILQ_HEAD(plan_list, plan);

void plan_free(struct actions *a, struct plan **pp);
/* Takes it off the list of open ones, too. */
void plan_close(struct actions *a, struct plan **pp);
/* Opens it: gives it an id and an end. ERR_LIMIT. */
int plan_open(struct actions *a, struct plan *p, struct err *err) MUST_CHECK;
struct plan *plan_find(struct actions *a, const char *id); /* an open one; NULL */
/* The plans whose time is over. */
void plans_expire(struct actions *a);
int64_t plans_next_ms(const struct actions *a); /* 0: none is open */
/* Appends the command line that does the same. */
void command_line(const struct method_def *m, const json_t *params, struct buf *out);

#endif
