/*
 * The command line of a plan. What a file would have may be a secret, and base belongs to the
 * client that read the configuration; neither is repeated.
 */
#include "base/json.h"
#include "ctl/actions_int.h"

void command_line(const struct method_def *m, const json_t *params, struct buf *out)
{
	json_t *shown = json_copy((json_t *)(uintptr_t)params);

	for (size_t i = 0; i < PROTO_PARAMS_MAX && m->params[i].name != NULL; i++)
		if (m->params[i].type == T_FILE && json_object_get(shown, m->params[i].name))
			(void)json_object_set_new(shown, m->params[i].name, json_string("FILE"));
	(void)json_object_del(shown, "base");
	proto_put_command(out, m, shown);
	json_decref(shown);
}
