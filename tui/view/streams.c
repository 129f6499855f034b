/* streams - which mail belongs together and what is different for it; Tab goes on to the pools. */
#include <string.h>

#include "shell/shell.h"
#include "view/act.h"
#include "view/listing.h"

struct streams_view {
	struct listing list;
};

static json_t *settings_of(const json_t *row)
{
	json_t *params = act_settings(M_STREAM_SET, row);

	(void)json_object_set_new(params, "name", json_string(js(row, "id")));
	return params;
}

static void streams_enter(struct listing *l, const json_t *row)
{
	char filter[128];

	(void)snprintf(filter, sizeof(filter), "stream:%s", js(row, "id"));
	(void)shell_open(view_shell(l->view), "messages", filter);
}

static void put_list(struct buf *out, const char *title, const json_t *list)
{
	const json_t *one;
	size_t i;

	json_array_foreach(list, i, one)(void)
		buf_printf(out, "%s%s", i == 0 ? title : ", ", json_string_value(one));
}

static void streams_foot(const struct listing *l, const json_t *row, struct buf *out)
{
	AUTO_BUF cut = BUF_INIT(out->limit);

	put_list(out, "refused without ", json_object_get(row, "require"));
	listing_cut(l, &cut);
	if (cut.n > 0)
		(void)buf_printf(out, "%s%s", out->n > 0 ? "; " : "", buf_cstr(&cut));
}

static void streams_describe(const json_t *row, struct text *t)
{
	AUTO_BUF b = BUF_INIT(8000);

	put_list(&b,
		 "header fields of which one has to be there: ", json_object_get(row, "headers"));
	if (b.n > 0)
		text_add(t, ROLE_TEXT, buf_str(&b));
	buf_reset(&b);
	put_list(&b, "refused without: ", json_object_get(row, "require"));
	if (b.n > 0)
		text_add(t, ROLE_TEXT, buf_str(&b));
}

static const struct cell_measure measures[] = {
	{ "id", 13, 30, 0 },	{ "rule", 22, 90, 0 },	    { "priority", 4, 0, 1 },
	{ "rate", 6, 0, 3 },	{ "concurrency", 4, 0, 3 }, { "retry", 8, 20, 4 },
	{ "delay_s", 8, 0, 8 }, { "tls", 13, 0, 6 },	    { "lifetime_s", 8, 0, 4 },
	{ "pool", 8, 20, 2 },	{ "dkim", 12, 30, 7 },	    { "note", 12, 40, 6 },
	{ "by", 8, 16, 8 },	{ "created_at", 17, 0, 9 }, { "suppressed", 10, 0, 8 },
	{ .name = NULL },
};

static const struct listing_def def = {
	.measures = measures,
	.method = "stream.list",
	.entity = "stream",
	.key = "id",
	.empty = "no streams",
	.moved = RELAY_STREAMS,
	.whole = true,
	.enter = streams_enter,
	.foot = streams_foot,
	.describe = streams_describe,
};

static int streams_open(struct view *v, const char *arg, struct err *err)
{
	struct streams_view *s = view_state(v);

	(void)arg;
	(void)err;
	listing_open(&s->list, v, &def, "");
	return 0;
}

static void streams_action(struct view *v, enum action_id a)
{
	struct streams_view *s = view_state(v);
	const json_t *row = listing_row(&s->list);
	struct acts *acts = listing_app(&s->list)->acts;

	if (a == A_TEST)
		act_form(acts, M_ROUTE_TEST, NULL);
	else if (a == A_ADD)
		act_form(acts, M_STREAM_ADD,
			 row != NULL ? json_pack("{s:s}", "before", js(row, "id")) : NULL);
	else if (a == A_EDIT && row != NULL)
		act_edit(acts, M_STREAM_SET, settings_of(row), listing_version(&s->list));
	else if (a == A_DELETE && row != NULL)
		act_form(acts, M_STREAM_REMOVE, json_pack("{s:s}", "name", js(row, "id")));
	else if (a == A_MOVE && row != NULL)
		act_form(acts, M_STREAM_MOVE, json_pack("{s:s}", "name", js(row, "id")));
	else
		(void)listing_action(&s->list, a);
}

static const enum action_id actions[] = {
	A_ADD,	A_EDIT, A_MOVE, A_DELETE,  A_TEST, A_DESCRIBE,
	A_WIDE, A_COPY, A_SAVE, A_REFRESH, A_NONE,
};

static const struct view_verb verbs[] = {
	{ .action = A_ADD, .method = M_STREAM_ADD },
	{ .action = A_EDIT, .method = M_STREAM_SET },
	{ .action = A_MOVE, .method = M_STREAM_MOVE },
	{ .action = A_DELETE, .method = M_STREAM_REMOVE },
	{ .action = A_NONE },
};

const struct view_def view_streams = {
	.name = "streams",
	.title = "Streams",
	.beside = "pools",
	.before = "routes",
	.help = "The streams in the order in which they are asked for a message; Enter shows what "
		"is queued in one. Tab: the pools, then the routes.",
	.slot = -1, /* :streams, and Tab from Routes */
	.size = sizeof(struct streams_view),
	.actions = actions,
	.verbs = verbs,
	.open = streams_open,
	.action = streams_action,
	LISTING_VIEW,
};
