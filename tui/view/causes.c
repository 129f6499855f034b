/* causes - thousands of deferrals as a handful of causes. */
#include "shell/shell.h"
#include "view/cells.h"
#include "view/listing.h"

struct causes {
	struct listing list;
};

static bool causes_where(const struct listing *l, const json_t *row, struct buf *out)
{
	(void)l;
	(void)buf_puts(out, js(row, "where"));
	return out->n > 0;
}

static void causes_enter(struct listing *l, const json_t *row)
{
	AUTO_BUF where = BUF_INIT(VIEW_ARG_MAX);

	filter_and(&where, js(row, "where"), l->filter);
	(void)shell_open(view_shell(l->view), "messages", buf_cstr(&where));
}

static void causes_foot(const struct listing *l, const json_t *row, struct buf *out)
{
	(void)l;
	struct str text = str_of(js(row, "text"));

	/* replies may end with a full stop, our own sentences do */
	(void)buf_put_str(out, text);
	if (*js(row, "meaning") != '\0')
		(void)buf_printf(out, "%s %s", str_ends_nocase(text, STR(".")) ? "" : ".",
				 js(row, "meaning"));
	if (*js(row, "advice") != '\0')
		(void)buf_printf(out, " %s", js(row, "advice"));
}

static const struct cell_measure measures[] = {
	{ "class", 13, 20, 0 }, { "count", 7, 0, 0 },	  { "waiting", 7, 0, 1 },
	{ "domains", 7, 0, 3 }, { "since_at", 17, 0, 2 }, { "trend", 7, 0, 3 },
	{ "kind", 4, 0, 4 },	{ "text", 20, 200, 0 },	  { "code", 4, 0, 1 },
	{ .name = NULL },
};

static const struct listing_def def = {
	.foot = causes_foot,
	.measures = measures,
	.method = "cause.list",
	.entity = "cause",
	.key = "where",
	.empty = "nothing is stuck",
	.moved = RELAY_QUEUE,
	.filter = true,
	.where = causes_where,
	.live = causes_where,
	.enter = causes_enter,
};

static int causes_open(struct view *v, const char *arg, struct err *err)
{
	struct causes *c = view_state(v);

	(void)err;
	listing_open(&c->list, v, &def, arg);
	return 0;
}

static const enum action_id actions[] = {
	A_HOLD,	   A_RETRY, A_FILTER, A_CLEAR,	A_WIDE, A_COPY,	   A_DESCRIBE,
	A_RELATED, A_TAIL,  A_BOUNCE, A_DELETE, A_SAVE, A_REFRESH, A_NONE,
};

const struct view_def view_causes = {
	.name = "causes",
	.title = "Causes",
	.help = "What is stuck, grouped by the reply: class, code and text without names and "
		"numbers.",
	.slot = 3,
	.size = sizeof(struct causes),
	.actions = actions,
	.open = causes_open,
	.action = listing_on_action,
	LISTING_VIEW,
};
