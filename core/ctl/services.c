/* What the control server asks of the relay, and the handlers by method. */
#include <stdlib.h>

#include "base/json.h"
#include "base/mem.h"
#include "ctl/actions.h"
#include "ctl/groups.h"
#include "ctl/handlers.h"
#include "ctl/uploads.h"
#include "ctl/views.h"

static ctl_handler_fn *const handlers[M__COUNT] = {
#define METHOD(id, fn, ...) [M_##id] = ctl_##fn,
#include "proto/methods.def"
#undef METHOD
};

static int replay(void *env, const struct ctl_call *call, json_t **ret, struct err *err)
{
	return actions_replay(env, call, ret, err);
}

static void audit(void *env, const struct ctl_caller *who, const struct ctl_change *change)
{
	actions_audit(env, who, change);
}

static void gone(void *arg, uint64_t conn)
{
	const struct ctl_env *env = arg;

	if (env->actions != NULL)
		uploads_gone(env->actions, conn);
}

static json_t *status(void *env)
{
	return view_status(env);
}

static json_t *changes(void *arg)
{
	const struct ctl_env *env = arg;

	return json_pack(
		"{s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I}", "queue",
		(json_int_t)sched_generation(env->sched), "holds",
		(json_int_t)env->holds_generation, "routes", (json_int_t)env->routes_generation,
		"streams", (json_int_t)env->streams_generation, "pools",
		(json_int_t)env->pools_generation, "allow", (json_int_t)env->allow_generation,
		"creds", (json_int_t)env->creds_generation, "keys",
		(json_int_t)env->keys_generation, "suppress", (json_int_t)env->suppress_generation,
		"bounces", (json_int_t)env->unread_generation, "actions",
		(json_int_t)env->actions_generation);
}

/* ---- rows of recipients for subscriptions ---- */

struct watch {
	struct ctl_env *env;
	uint64_t ticket;
};

static void on_watched(void *arg, json_t *rows_take, const struct err *err)
{
	struct watch *w = arg;

	(void)err; /* without rows the subscription asks again the next time */
	ctl_rows(w->env->ctl, w->ticket, rows_take);
	free(w);
}

static void message_rows(struct ctl_env *env, uint64_t ticket, const char *const *keys,
			 size_t keys_n)
{
	struct rid rids[CTL_KEYS_MAX];
	struct watch *w = xcalloc(1, sizeof(*w));
	size_t n = 0;

	for (size_t i = 0; i < keys_n && i < CTL_KEYS_MAX; i++) {
		struct msgid id;
		unsigned rcpt;
		if (msgid_parse_rcpt(str_of(keys[i]), &id, &rcpt) && rcpt != 0)
			rids[n++] = rid_of(id, rcpt);
	}
	*w = (struct watch){ .env = env, .ticket = ticket };
	env_message_rows(env, rids, n, on_watched, w);
}

static void rows(void *env, struct ctl *ctl, uint64_t ticket, enum topic topic, const char *by,
		 const char *const *keys, size_t n)
{
	(void)ctl;
	if (topic == TOPIC_QUEUE)
		view_queue_rows(env, ticket, by, keys, n);
	else
		message_rows(env, ticket, keys, n);
}

static const char *row_key(enum topic topic, const json_t *row, const char *by)
{
	return json_string_value(json_object_get(
		row, topic == TOPIC_QUEUE ? groups_by_name(groups_by_find(by)) : "row"));
}

const struct ctl_services ctl_services = {
	.handlers = handlers,
	.replay = replay,
	.audit = audit,
	.gone = gone,
	.status = status,
	.changes = changes,
	.rows = rows,
	.row_key = row_key,
};
