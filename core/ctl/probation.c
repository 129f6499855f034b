/* The edit that is on probation, as the store has it; actions_probation.c has what happens. */
#include "ctl/probation.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/json.h"
#include "base/mem.h"

void probation_drop(struct ctl_env *env)
{
	if (env->probation == NULL)
		return;
	json_decref(env->probation->json);
	free(env->probation);
	env->probation = NULL;
}

int probation_put(struct ctl_env *env, const char *json, struct err *err)
{
	json_t *o = NULL;
	struct probation *p;
	const char *id;
	uint64_t action;
	int rc = json_read(json, &o, err);

	id = json_get_str(o, "action"); /* "a12" */
	if (rc >= 0 && !journal_id_parse(str_of(id), &action))
		rc = err_set(err, ERR_CORRUPT, "a probation has no proper action");
	if (rc < 0) {
		json_decref(o);
		return rc;
	}
	probation_drop(env);
	p = xcalloc(1, sizeof(*p));
	p->action = action;
	(void)snprintf(p->id, sizeof(p->id), "%s", id);
	p->version = (uint64_t)json_get_int(o, "version");
	p->until_ms = json_get_int(o, "until_ms");
	p->json = o;
	env->probation = p;
	return 0;
}

bool probation_is(const struct ctl_env *env, uint64_t action)
{
	return env->probation != NULL && env->probation->action == action;
}

json_t *probation_row_of(const struct ctl_env *env, const json_t *o)
{
	static const char *const texts[] = { "action", "who",	 "from_where",
					     "method", "target", "reason" };
	int64_t until_ms = json_get_int(o, "until_ms");
	json_t *row = json_pack("{s:O, s:o, s:o, s:o}", "version", json_object_get(o, "version"),
				"at", json_time(json_get_int(o, "at_ms")), "until_at",
				json_time(until_ms), "left_s", env_until(env, until_ms));

	for (size_t i = 0; i < ARRAY_LEN(texts); i++)
		(void)json_object_set(row, texts[i], json_object_get(o, texts[i]));
	return row;
}

json_t *probation_row(const struct ctl_env *env)
{
	return env->probation != NULL ? probation_row_of(env, env->probation->json) : json_null();
}
