/* queues - where mail waits, in groups that can be switched. */
#include <bsd/string.h>
#include <string.h>

#include "base/mem.h"
#include "shell/shell.h"
#include "view/act.h"
#include "view/cells.h"
#include "view/listing.h"

struct queues {
	struct listing list;
};

static const char *const groupings[] = { "domain", "provider",	 "stream",
					 "sender", "credential", "cause" };

static const char *queues_field(const struct listing *l)
{
	if (strcmp(l->key, "sender") == 0)
		return "from";
	return strcmp(l->key, "cause") == 0 ? NULL : l->key;
}

static bool queues_where(const struct listing *l, const json_t *row, struct buf *out)
{
	AUTO_BUF group = BUF_INIT(2048);

	if (queues_field(l) != NULL)
		filter_term(&group, queues_field(l), js(row, l->key));
	else if (js_has(row, "where"))
		(void)buf_puts(&group, js(row, "where"));
	else if (js_has(row, "class"))
		filter_term(&group, "class", js(row, "class"));
	else
		return false;
	filter_and(out, buf_cstr(&group), l->filter);
	return !group.full;
}

/* The filter of the list is no matter of the connection. */
static bool queues_live(const struct listing *l, const json_t *row, struct buf *out)
{
	if (queues_field(l) == NULL)
		return queues_where(l, row, out);
	filter_term(out, queues_field(l), js(row, l->key));
	return !out->full;
}

static void queues_enter(struct listing *l, const json_t *row)
{
	AUTO_BUF where = BUF_INIT(VIEW_ARG_MAX);

	if (queues_where(l, row, &where))
		(void)shell_open(view_shell(l->view), "messages", buf_cstr(&where));
}

static void queues_params(const struct listing *l, json_t *params)
{
	(void)json_object_set_new(params, "by", json_string(l->key));
}

static void queues_foot(const struct listing *l, const json_t *row, struct buf *out)
{
	(void)buf_printf(out, "%s: %s", js(row, l->key),
			 *js(row, "last_reply") != '\0' ? js(row, "last_reply")
							: "nothing was refused lately");
	if (*js(row, "hold") != '\0')
		(void)buf_printf(out, ". Held by %s", js(row, "hold"));
	if (*js(row, "backoff") != '\0')
		(void)buf_printf(out, ". Slowed down: %s", js(row, "backoff"));
}

static const struct cell_measure measures[] = {
	{ "domain", 18, 60, 0 },     { "total", 7, 0, 0 },
	{ "ready", 7, 0, 6 },	     { "active", 6, 0, 7 },
	{ "deferred", 7, 0, 1 },     { "held", 6, 0, 2 },
	{ "oldest_age_s", 6, 0, 1 }, { "next_attempt_s", 6, 0, 5 },
	{ "hold", 5, 0, 3 },	     { "last_reply", 14, 200, 3 },
	{ "class", 13, 0, 4 },	     { "backoff", 12, 24, 6 },
	{ "ages", 10, 0, 6 },	     { .name = NULL },
};

static const struct listing_def def = {
	.foot = queues_foot,
	.measures = measures,
	.method = "queue.list",
	.entity = "queue",
	.key = "domain",
	.empty = "the queue is empty",
	.problems = "state:deferred,held",
	.moved = RELAY_QUEUE | RELAY_HOLDS,
	.filter = true,
	.sort = true,
	.where = queues_where,
	.live = queues_live,
	.field = queues_field,
	.enter = queues_enter,
	.params = queues_params,
};

/* The first column is what is grouped by. */
static void name_group(struct queues *q)
{
	q->list.columns[0].name = q->list.key;
	q->list.columns[0].title = q->list.key;
	q->list.columns[0].max = 60;
}

static int queues_open(struct view *v, const char *arg, struct err *err)
{
	struct queues *q = view_state(v);

	(void)err;
	listing_open(&q->list, v, &def, arg);
	name_group(q);
	return 0;
}

static void group_by(struct queues *q, const char *by)
{
	if (strcmp(q->list.key, by) == 0)
		return;
	(void)strlcpy(q->list.key, by, sizeof(q->list.key));
	name_group(q);
	listing_again(&q->list);
}

static void on_group(void *arg, uint64_t id)
{
	struct view *v = arg;

	if (id > 0 && id <= ARRAY_LEN(groupings))
		group_by(view_state(v), groupings[id - 1]);
}

static void ask_group(struct view *v)
{
	static const struct menu_item items[] = {
		{ .id = 1, .key = 'd', .title = "domain", .help = "recipient domain" },
		{ .id = 2,
		  .key = 'p',
		  .title = "provider",
		  .help = "all domains of one mail site" },
		{ .id = 3, .key = 's', .title = "stream" },
		{ .id = 4, .key = 'f', .title = "sender", .help = "envelope sender" },
		{ .id = 5, .key = 'c', .title = "credential" },
		{ .id = 6,
		  .key = 'r',
		  .title = "cause",
		  .help = "the last reply, alike ones as one" },
	};
	const struct queues *q = view_state(v);
	uint64_t current = 1;

	for (size_t i = 0; i < ARRAY_LEN(groupings); i++)
		current = strcmp(groupings[i], q->list.key) == 0 ? i + 1 : current;
	(void)shell_menu(view_shell(v), &(struct shell_menu){ .owner = v,
							      .title = "Group by",
							      .items = items,
							      .n = (int)ARRAY_LEN(items),
							      .current = current,
							      .done = on_group,
							      .arg = v });
}

static void queues_action(struct view *v, enum action_id a)
{
	struct queues *q = view_state(v);

	if (a == A_GROUP)
		ask_group(v);
	else
		(void)listing_action(&q->list, a);
}

static const enum action_id actions[] = {
	A_HOLD, A_RELEASE, A_RETRY,    A_WHY,	 A_GROUP, A_FILTER,  A_PROBLEMS, A_CLEAR,
	A_MARK, A_RANGE,   A_MARK_ALL, A_UNMARK, A_SORT,  A_WIDE,    A_COPY,	 A_DESCRIBE,
	A_TAIL, A_RELATED, A_BOUNCE,   A_DELETE, A_SAVE,  A_REFRESH, A_NONE,
};

const struct view_def view_queues = {
	.name = "queues",
	.also = "queue",
	.title = "Queues",
	.help = "Where mail waits: counts by state, age, the last reply of each group.",
	.slot = 1,
	.size = sizeof(struct queues),
	.actions = actions,
	.open = queues_open,
	.action = queues_action,
	LISTING_VIEW,
};
