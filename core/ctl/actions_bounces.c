/* bounces.remove: what the operator has looked at goes, for good. */
#include <inttypes.h>
#include <stdio.h>

#include "ctl/actions_rules.h"
#include "ctl/handlers.h"

#define ALL "all"

static const struct unread_mail *find(const struct unread *u, const char *id, struct err *err)
{
	uint64_t number;
	const struct unread_mail *m =
		str_u64(str_of(id), INT64_MAX, &number) ? unread_find(u, number) : NULL;

	if (m == NULL)
		(void)err_param(err, ERR_UNKNOWN, "id",
				"there is no report %.20s (any more); weir bounces list shows them",
				id);
	return m;
}

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
	const struct unread_mail *m = all ? unread_first(env->unread) : find(env->unread, id, &err);
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
