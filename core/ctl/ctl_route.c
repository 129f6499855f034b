/* route.list */
#include "base/json.h"
#include "ctl/config_list.h"
#include "ctl/handlers.h"

static json_t *route_json(const struct route *r)
{
	return json_pack("{s:s, s:s, s:s, s:s, s:o, s:o, s:o, s:o, s:o}", "id", r->id, "match",
			 r->match_text, "to", r->to, "tls", route_tls_name(r->tls), "user",
			 json_text_or_null(str_of(r->user)), "pool",
			 json_text_or_null(str_of(r->pool)), "note",
			 json_text_or_null(str_of(r->note)), "by", json_text(str_of(r->by)),
			 "created_at", json_time(r->created_ms));
}

/* It is no object: it cannot be removed, and nothing stands behind it. */
static json_t *default_json(void)
{
	return json_pack("{s:s, s:s, s:s, s:s, s:n, s:n, s:s, s:s, s:n}", "id", ROUTE_DEFAULT,
			 "match", "", "to", "mx", "tls", route_tls_name(ROUTE_TLS_OPPORTUNISTIC),
			 "user", "pool", "note", "everything else", "by", "", "created_at");
}

static size_t rows_n(const struct ctl_env *env)
{
	return routes_n(env->routes) + 1;
}

static json_t *row(const struct ctl_env *env, size_t at)
{
	return at < routes_n(env->routes) ? route_json(routes_at(env->routes, at)) : default_json();
}

void ctl_route_list(struct ctl_call *call)
{
	static const struct config_list list = { .n = rows_n, .row = row };

	config_list(call, &list);
}
