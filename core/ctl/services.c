/* What the control server asks of the relay, and the handlers by method. */
#include "base/json.h"
#include "ctl/actions.h"
#include "ctl/groups.h"
#include "ctl/handlers.h"
#include "ctl/views.h"

static ctl_handler_fn *const handlers[M__COUNT] = {
#define METHOD(id, fn, ...) [M_##id] = ctl_##fn,
#include "proto/methods.def"
#undef METHOD
};

static json_t *replay(void *env, const struct ctl_caller *who, const char *request)
{
	return actions_replay(env, who, request);
}

static json_t *status(void *env)
{
	return view_status(env);
}

static json_t *changes(void *arg)
{
	const struct ctl_env *env = arg;

	return json_pack(
		"{s:I, s:I, s:I, s:I, s:I}", "queue", (json_int_t)sched_generation(env->sched),
		"holds", (json_int_t)env->holds_generation, "routes",
		(json_int_t)env->routes_generation, "allow", (json_int_t)env->allow_generation,
		"actions", (json_int_t)env->actions_generation);
}

static void rows(void *env, struct ctl *ctl, uint64_t ticket, enum topic topic, const char *by,
		 const char *const *keys, size_t n)
{
	(void)ctl;
	if (topic == TOPIC_QUEUE)
		view_queue_rows(env, ticket, by, keys, n);
	else
		view_message_rows(env, ticket, keys, n);
}

static const char *row_key(enum topic topic, const json_t *row, const char *by)
{
	return json_string_value(json_object_get(
		row, topic == TOPIC_QUEUE ? groups_by_name(groups_by_find(by)) : "row"));
}

const struct ctl_services ctl_services = {
	.handlers = handlers,
	.replay = replay,
	.status = status,
	.changes = changes,
	.rows = rows,
	.row_key = row_key,
};
