/*
 * stream_env - streams as the relay's other parts see them: their names, their mail, and what the
 * scheduler has to know of them.
 *
 * Context: loop thread.
 */
#ifndef CTL_STREAM_ENV_H
#define CTL_STREAM_ENV_H

#include "ctl/env.h"
#include "route/streams.h"

/* The settings of a stream: parameters, and members of the stored object. */
#define STREAM_SETTINGS                                                                            \
	"match", "headers", "require", "priority", "retry", "lifetime_s", "delay_s", "rate",       \
		"concurrency", "tls", "pool", "dkim", "suppressed", "note"

/* The stream that `param` names: ERR_UNKNOWN. */
int stream_get(const struct streams *streams, const char *param, const char *name,
	       const struct mailstream **ret, struct err *err) MUST_CHECK;
/* Queued recipients of a stream, without the trash. */
uint64_t stream_recipients(const struct ctl_env *env, const char *id);
/* Before one goes: that what is looked at names it nowhere. ERR_STATE. */
int stream_check_unused(const struct ctl_env *env, const char *id, bool entries, bool creds,
			struct err *err) MUST_CHECK;
/* The streams have changed. */
void streams_in_force(struct ctl_env *env);

/* How a pool's reasons to wait begin (route/pools.h). */
#define POOL_WHY "pool "
/* Of the groups from..to: next hops that wait for a pool that has room now wait no more. */
void pools_end_waits(struct ctl_env *env, uint32_t from, uint32_t to);
/* What sends from the pool, "the stream" and its id for one; NULL when none of these does. */
#define POOL_OF_STREAMS (1u << 0)
#define POOL_OF_ROUTES (1u << 1)
#define POOL_OF_POOLS (1u << 2) /* as their overflow */
#define POOL_OF_ANY (POOL_OF_STREAMS | POOL_OF_ROUTES | POOL_OF_POOLS)
const char *pool_user(const struct ctl_env *env, const struct pool *p, unsigned of,
		      const char **ret_id);
/* A parameter that names a pool: ERR_UNKNOWN. NULL and "" are none. (actions_pool.c) */
int pool_check_name(const struct ctl_env *env, const char *param, const char *name,
		    struct err *err) MUST_CHECK;

#endif
