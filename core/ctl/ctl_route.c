/* route.list */
#include "base/json.h"
#include "base/mem.h"
#include "ctl/handlers.h"
#include "ctl/views.h"

#define STEP_ROWS 500

struct listing {
	struct view_job job;
	json_t *rows;
	size_t at;
};

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

static void listing_step(struct view_job *j)
{
	struct listing *l = (struct listing *)j;
	const struct routes *r = j->env->routes;

	for (size_t end = l->at + STEP_ROWS; l->at < routes_n(r) && l->at < end; l->at++)
		(void)json_array_append_new(l->rows, route_json(routes_at(r, l->at)));
	if (l->at < routes_n(r)) {
		view_soon(j);
		return;
	}
	(void)json_array_append_new(l->rows, default_json());
	view_reply(j, view_page(json_incref(l->rows), NULL, NULL, routes_n(r) + 1, true));
}

static void listing_done(struct view_job *j)
{
	json_decref(((struct listing *)j)->rows);
}

void ctl_route_list(struct ctl_call *call)
{
	static const struct view_job_ops ops = { .step = listing_step, .done = listing_done };
	struct listing *l = xcalloc(1, sizeof(*l));

	l->rows = json_array();
	view_begin(&l->job, ctl_env(call), call, &ops);
	listing_step(&l->job);
}
