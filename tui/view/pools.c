/* pools - the addresses that mail leaves from, and how far their warm-up has come. */
#include <string.h>

#include "shell/shell.h"
#include "view/act.h"
#include "view/listing.h"

#define LABEL_COLS 18

struct pools_view {
	struct listing list;
};

/* "192.0.2.1=mta1.example.net*2", as forms take it. */
static json_t *source_text(const json_t *x)
{
	AUTO_BUF b = BUF_INIT(600);

	(void)buf_puts(&b, js(x, "address"));
	if (*js(x, "ehlo") != '\0')
		(void)buf_printf(&b, "=%s", js(x, "ehlo"));
	if (json_integer_value(json_object_get(x, "weight")) > 1)
		(void)buf_printf(&b, "*%lld",
				 (long long)json_integer_value(json_object_get(x, "weight")));
	return json_string(buf_cstr(&b));
}

static json_t *settings_of(const json_t *row)
{
	static const char *const texts[] = { "warmup", "overflow", "note" };
	json_t *params = json_pack("{s:s}", "name", js(row, "id"));
	json_t *sources = json_array();
	const json_t *x;
	size_t i;

	json_array_foreach(json_object_get(row, "sources"), i, x)(void)
		json_array_append_new(sources, source_text(x));
	(void)json_object_set_new(params, "sources", sources);
	for (i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
		if (*js(row, texts[i]) != '\0')
			(void)json_object_set_new(params, texts[i], json_string(js(row, texts[i])));
	return params;
}

/* What is wrong with one of its addresses. */
static void pools_foot(const struct listing *l, const json_t *row, struct buf *out)
{
	const json_t *x;
	size_t i;

	(void)l;
	json_array_foreach(json_object_get(row, "sources"), i, x)
	{
		if (*js(x, "trouble") == '\0')
			continue;
		(void)buf_printf(out, "%s cannot be used: %s", js(x, "address"), js(x, "trouble"));
		return;
	}
}

static void pools_describe(const json_t *row, struct text *t)
{
	const json_t *x;
	size_t i;

	json_array_foreach(json_object_get(row, "sources"), i, x)
	{
		AUTO_BUF b = BUF_INIT(1000);
		const json_t *cap = json_object_get(x, "cap");
		(void)buf_printf(&b, "%lld today",
				 (long long)json_integer_value(json_object_get(x, "sent_today")));
		if (json_is_integer(cap))
			(void)buf_printf(&b, " of %lld", (long long)json_integer_value(cap));
		(void)buf_printf(&b, ", weight %lld",
				 (long long)json_integer_value(json_object_get(x, "weight")));
		if (*js(x, "ehlo") != '\0')
			(void)buf_printf(&b, ", EHLO %s", js(x, "ehlo"));
		if (*js(x, "trouble") != '\0')
			(void)buf_printf(&b, "; cannot be used: %s", js(x, "trouble"));
		text_add_field(t, LABEL_COLS, js(x, "address"),
			       *js(x, "trouble") != '\0' ? ROLE_WARN : ROLE_TEXT, buf_str(&b));
	}
}

static const struct cell_measure measures[] = {
	{ "id", 10, 24, 0 },	   { "addresses", 14, 70, 3 }, { "progress", 38, 48, 1 },
	{ "sent_today", 7, 0, 2 }, { "cap", 7, 0, 7 },	       { "day", 4, 0, 8 },
	{ "warmup", 14, 24, 6 },   { "overflow", 10, 20, 4 },  { "note", 12, 40, 5 },
	{ "by", 8, 16, 8 },	   { "created_at", 17, 0, 9 }, { .name = NULL },
};

static const struct listing_def def = {
	.measures = measures,
	.method = "pool.list",
	.entity = "pool",
	.key = "id",
	.empty = "mail leaves from whatever address the system takes; A makes a pool",
	.moved = RELAY_POOLS | RELAY_QUEUE,
	.whole = true,
	.foot = pools_foot,
	.describe = pools_describe,
};

static int pools_open(struct view *v, const char *arg, struct err *err)
{
	struct pools_view *p = view_state(v);

	(void)arg;
	(void)err;
	listing_open(&p->list, v, &def, "");
	return 0;
}

static void pools_action(struct view *v, enum action_id a)
{
	struct pools_view *p = view_state(v);
	const json_t *row = listing_row(&p->list);
	struct acts *acts = listing_app(&p->list)->acts;

	if (a == A_ADD)
		act_form(acts, M_POOL_ADD, NULL);
	else if (a == A_EDIT && row != NULL)
		act_edit(acts, M_POOL_SET, settings_of(row), listing_version(&p->list));
	else if (a == A_DELETE && row != NULL)
		act_form(acts, M_POOL_REMOVE, json_pack("{s:s}", "name", js(row, "id")));
	else
		(void)listing_action(&p->list, a);
}

static const enum action_id actions[] = {
	A_ADD, A_EDIT, A_DELETE, A_DESCRIBE, A_WIDE, A_COPY, A_SAVE, A_REFRESH, A_NONE,
};

static const struct view_verb verbs[] = {
	{ .action = A_ADD, .method = M_POOL_ADD },
	{ .action = A_EDIT, .method = M_POOL_SET },
	{ .action = A_DELETE, .method = M_POOL_REMOVE },
	{ .action = A_NONE },
};

const struct view_def view_pools = {
	.name = "pools",
	.title = "Pools",
	.beside = "routes",
	.before = "streams",
	.help = "The addresses that mail leaves from, what they sent today and how far their "
		"warm-up has come; d shows each address. Tab: the routes, then the streams.",
	.slot = -1, /* :pools, and Tab from Streams */
	.size = sizeof(struct pools_view),
	.actions = actions,
	.verbs = verbs,
	.open = pools_open,
	.action = pools_action,
	LISTING_VIEW,
};
