/*
 * actions_audit - what goes into the audit log besides the actions themselves, and what of them
 * must not. A part of actions_int.h. (actions_audit.c)
 */
#ifndef CTL_ACTIONS_AUDIT_H
#define CTL_ACTIONS_AUDIT_H

#include "ctl/actions.h"

#define REFUSALS_ACCOUNTS 64
#define REFUSALS_MS 60000

struct refusals {
	struct refusal {
		bool used;
		struct ctl_caller who;
		const struct method_def *method; /* of the last one */
		int64_t since_ms;
		unsigned n;
		unsigned more; /* that were only counted */
	} v[REFUSALS_ACCOUNTS];
};
/* Records how many were only counted, when their minute is over. */
void refusals_run(struct actions *a);
/* An object without what is secret in it, to be read and not changed; owned. */
json_t *audit_without(const char *const *secrets, const json_t *v);
/* The same for {kind, id, before, after}. */
json_t *audit_object_without(const json_t *o);
/* What of an object of that kind is secret: names in a list ended by NULL, at any depth. NULL: all
 * of it, for the kind is not known. */
const char *const *object_secrets(const char *kind);

#endif
