/* bounces.remove: what the operator has looked at goes, for good. */
#include <stdio.h>

#include "ctl/actions_rules.h"
#include "ctl/handlers.h"
#include "ctl/views.h"

#define ALL "all"

static void drop(struct op *op, const struct unread_mail *m)
{
	char id[UNREAD_ID_LEN];

	(void)snprintf(id, sizeof(id), "%llu", (unsigned long long)m->id);
	op_object(op, UNREAD_KIND, id, NULL, NULL);
}

void ctl_bounces_remove(struct ctl_call *call)
{
	const struct ctl_env *env = ctl_env(call);
	const char *id = ctl_str(call, "id");
	bool all = strcmp(id, ALL) == 0;
	struct err err = ERR_INIT;
	const struct unread_mail *m = all ? unread_first(env->unread) : view_report(env, id, &err);
	struct op *op = rule_op(call, id);
	int rc = m != NULL || all ? op_lock(op, UNREAD_KIND, id, &err) : -ERR_UNKNOWN;

	if (rc < 0) {
		op_fail(op, &err);
		return;
	}
	op_begin(op, false);
	for (; m != NULL; m = all ? unread_next(m) : NULL)
		drop(op, m);
	rule_store(op);
}
