/* Few streams and many groups: what is asked here is asked by people. */
#include "ctl/stream_env.h"

#include <string.h>

#include "base/mem.h"
#include "route/hop.h"

int stream_get(const struct streams *streams, const char *param, const char *name,
	       const struct mailstream **ret, struct err *err)
{
	const struct mailstream *x = streams_find(streams, str_of(name));

	if (x == NULL)
		return err_param(err, ERR_UNKNOWN, param,
				 "there is no stream %.40s; weir stream list has those there are",
				 name);
	*ret = x;
	return 0;
}

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

int stream_check_unused(const struct ctl_env *env, const char *id, bool entries, bool creds,
			struct err *err)
{
	for (size_t i = 0; entries && i < allow_n(env->allow); i++)
		if (strcmp(allow_at(env->allow, i)->stream, id) == 0)
			return err_set(err, ERR_STATE,
				       "the network %s of the allowlist sends in the stream %s",
				       allow_at(env->allow, i)->text, id);
	for (size_t i = 0; creds && i < creds_n(env->creds); i++) {
		const struct cred *x = creds_at(env->creds, i);
		if (x->revoked_ms == 0 && x->n_streams > 0 && cred_in_streams(x, str_of(id)))
			return err_set(err, ERR_STATE,
				       "the credential %s may send in the stream %s", x->name, id);
	}
	return 0;
}

static struct sched_stream sched_of(const struct ctl_env *env, const struct mailstream *x)
{
	struct sched_stream v = { .stream = queue_name(env->queue, str_of(x->id)),
				  .priority = x->priority,
				  .retry_n = x->retry.n,
				  .retry_doubles_to_ms = x->retry.doubles_to_ms,
				  .delay_ms = x->delay_s < 0 ? -1 : x->delay_s * 1000,
				  .rate = x->rate,
				  .concurrency = x->concurrency };

	_Static_assert(STREAM_RETRIES_MAX <= SCHED_RETRIES_MAX, "all of them fit");
	memcpy(v.retry_ms, x->retry.ms, x->retry.n * sizeof(x->retry.ms[0]));
	return v;
}

void streams_in_force(struct ctl_env *env)
{
	size_t n = streams_n(env->streams);
	AUTO_FREE struct sched_stream *v = xcalloc(n + 1, sizeof(*v));

	for (size_t i = 0; i < n; i++)
		v[i] = sched_of(env, streams_at(env->streams, i));
	v[n] = v[n - 1]; /* whatever has no stream any more is as `default` is */
	v[n].stream = 0;
	sched_streams(env->sched, v, n + 1);
	env->streams_generation++;
}

void pools_end_waits(struct ctl_env *env, uint32_t from, uint32_t to)
{
	int64_t now = loop_wall_ms(env->loop);

	for (uint32_t i = from; i < to && i < sched_groups(env->sched); i++) {
		struct sched_group_view g;
		struct sched_dest_view d;
		struct str pool;
		const struct pool *p;
		if (!sched_group(env->sched, i, &g))
			continue;
		pool = hop_ways(g.next_hop).pool;
		p = pool.n > 0 ? pools_find(env->pools, pool) : NULL;
		if (p != NULL && pools_has_room(p, now) && sched_dest(env->sched, g.next_hop, &d) &&
		    d.slowed && strncmp(d.reply, POOL_WHY, strlen(POOL_WHY)) == 0)
			sched_end_backoff(env->sched, g.next_hop);
	}
}

const char *pool_user(const struct ctl_env *env, const struct pool *p, unsigned of,
		      const char **ret_id)
{
	for (size_t i = 0; (of & POOL_OF_STREAMS) != 0 && i < streams_n(env->streams); i++) {
		*ret_id = streams_at(env->streams, i)->id;
		if (strcmp(streams_at(env->streams, i)->pool, p->id) == 0)
			return "the stream";
	}
	for (size_t i = 0; (of & POOL_OF_ROUTES) != 0 && i < routes_n(env->routes); i++) {
		*ret_id = routes_at(env->routes, i)->id;
		if (strcmp(routes_at(env->routes, i)->pool, p->id) == 0)
			return "route";
	}
	for (size_t i = 0; (of & POOL_OF_POOLS) != 0 && i < pools_n(env->pools); i++) {
		*ret_id = pools_at(env->pools, i)->id;
		if (strcmp(pools_at(env->pools, i)->overflow, p->id) == 0)
			return "the overflow of pool";
	}
	return NULL;
}
