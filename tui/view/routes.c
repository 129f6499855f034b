/* routes - where mail goes: the first route that matches decides. */
#include "shell/shell.h"
#include "view/act.h"
#include "view/listing.h"

struct routes {
	struct listing list;
};

static void routes_enter(struct listing *l, const json_t *row)
{
	(void)shell_open(view_shell(l->view), "messages", js(row, "match"));
}

static const struct listing_def def = {
	.method = "route.list",
	.entity = "route",
	.key = "id",
	.empty = "no routes",
	.moved = RELAY_ROUTES,
	.whole = true,
	.enter = routes_enter,
};

static int routes_open(struct view *v, const char *arg, struct err *err)
{
	struct routes *r = view_state(v);

	(void)arg;
	(void)err;
	listing_open(&r->list, v, &def, "");
	return 0;
}

static void routes_action(struct view *v, enum action_id a)
{
	struct routes *r = view_state(v);
	const json_t *row = listing_row(&r->list);
	struct acts *acts = listing_app(&r->list)->acts;

	if (a == A_TEST)
		act_form(acts, M_ROUTE_TEST, NULL);
	else if (a == A_ADD)
		act_form(acts, M_ROUTE_ADD,
			 row != NULL ? json_pack("{s:s}", "before", js(row, "id")) : NULL);
	else if (a == A_EDIT && row != NULL)
		act_edit(acts, M_ROUTE_SET, act_settings(M_ROUTE_SET, row),
			 listing_version(&r->list));
	else if (a == A_DELETE && row != NULL)
		act_form(acts, M_ROUTE_REMOVE, json_pack("{s:s}", "id", js(row, "id")));
	else if (a == A_MOVE && row != NULL)
		act_form(acts, M_ROUTE_MOVE, json_pack("{s:s}", "id", js(row, "id")));
	else
		(void)listing_action(&r->list, a);
}

static const enum action_id actions[] = {
	A_ADD,	A_EDIT, A_MOVE, A_DELETE,  A_TEST, A_DESCRIBE,
	A_WIDE, A_COPY, A_SAVE, A_REFRESH, A_NONE,
};

static const struct view_verb verbs[] = {
	{ .action = A_ADD, .method = M_ROUTE_ADD },
	{ .action = A_EDIT, .method = M_ROUTE_SET },
	{ .action = A_MOVE, .method = M_ROUTE_MOVE },
	{ .action = A_DELETE, .method = M_ROUTE_REMOVE },
	{ .action = A_NONE },
};

const struct view_def view_routes = {
	.name = "routes",
	.title = "Routes",
	.beside = "streams",
	.before = "pools",
	.help = "Where mail goes, in the order of trying; Enter shows what is queued for a route. "
		"Tab: the streams, then the pools.",
	.slot = 8,
	.size = sizeof(struct routes),
	.actions = actions,
	.verbs = verbs,
	.open = routes_open,
	.action = routes_action,
	LISTING_VIEW,
};
