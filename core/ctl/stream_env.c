/* Few streams and many groups: what is asked here is asked by people. */
#include "ctl/stream_env.h"

uint64_t stream_recipients(const struct ctl_env *env, const char *id)
{
	uint32_t name = queue_name_find(env->queue, str_of(id));
	uint64_t n = 0;

	for (uint32_t i = 0; name != 0 && i < sched_groups(env->sched); i++) {
		struct sched_group_view g;
		if (sched_group(env->sched, i, &g) && g.stream == name)
			n += g.counts.total;
	}
	return n;
}

void streams_in_force(struct ctl_env *env)
{
	env->streams_generation++;
}
