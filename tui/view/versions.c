/* versions - the configuration that operators edit, version by version; Enter shows the difference,
 * Z brings one back, C keeps what is on probation. */
#include <string.h>

#include "base/fmt.h"
#include "base/mem.h"
#include "shell/shell.h"
#include "view/act.h"
#include "view/listing.h"
#include "widget/text.h"

#define LABEL_COLS 12

struct versions {
	struct listing list;
};

static void put_head(struct text *t, const json_t *row)
{
	AUTO_BUF line = BUF_INIT(4000);

	(void)buf_printf(&line, "%s (%s, %s) %s %s", js(row, "who"), js(row, "role"),
			 js(row, "from_where"), js(row, "method"), js(row, "target"));
	text_add_field(t, LABEL_COLS, "by", ROLE_TEXT, buf_str(&line));
	text_add_field(t, LABEL_COLS, "at", ROLE_TEXT, str_of(js(row, "at")));
	if (*js(row, "reason") != '\0')
		text_add_field(t, LABEL_COLS, "reason", ROLE_TEXT, str_of(js(row, "reason")));
	if (js_has(row, "probation_until_at"))
		text_add_field(t, LABEL_COLS, "probation", ROLE_WARN,
			       str_of(js(row, "probation_until_at")));
	text_add(t, ROLE_HEADING, STR("What it changed"));
	act_put_changes_of(t, row);
}

static void put_since(struct listing *l, const json_t *answer, struct text *t)
{
	const json_t *rows = json_object_get(answer, "rows");

	(void)l;
	if (json_array_size(rows) == 0)
		text_add(t, ROLE_TEXT, STR("nothing"));
	act_put_changes(t, rows, ji(answer, "total"));
}

static void versions_enter(struct listing *l, const json_t *row)
{
	AUTO_FREE char *title = xasprintf("Version %lld", (long long)ji(row, "version"));
	struct text *t = listing_page(l, title);

	if (t == NULL)
		return;
	put_head(t, row);
	text_add(t, ROLE_HEADING, STR("What was changed since, which Z would take back"));
	listing_ask(l, M_CONFIG_DIFF, json_pack("{s:I}", "a", (json_int_t)ji(row, "version")),
		    put_since);
}

static void versions_foot(const struct listing *l, const json_t *row, struct buf *out)
{
	(void)l;
	if (js_has(row, "probation_until_at"))
		(void)buf_printf(out, "on probation until %.8sZ; C keeps it, Z takes it back. ",
				 strlen(js(row, "probation_until_at")) > 19
					 ? js(row, "probation_until_at") + 11
					 : js(row, "probation_until_at"));
	(void)buf_printf(out, "%s", js(row, "text"));
	if (*js(row, "reason") != '\0')
		(void)buf_printf(out, " (%s)", js(row, "reason"));
}

static void versions_describe(const json_t *row, struct text *t)
{
	act_put_changes_of(t, row);
}

static const struct cell_measure measures[] = {
	{ "version", 7, 9, 0 }, { "at", 17, 0, 0 },
	{ "who", 8, 16, 0 },	{ "method", 14, 16, 2 },
	{ "text", 22, 100, 0 }, { "reason", 14, 80, 3 },
	{ "action", 6, 8, 5 },	{ "probation_until_at", 17, 0, 4 },
	{ .name = NULL },
};

static const struct listing_def def = {
	.foot = versions_foot,
	.describe = versions_describe,
	.measures = measures,
	.method = "config.history",
	.entity = "version",
	.key = "action", /* each makes at most one */
	.empty = "nothing was edited yet",
	.moved = RELAY_ACTIONS,
	.enter = versions_enter,
};

static int versions_open(struct view *v, const char *arg, struct err *err)
{
	struct versions *x = view_state(v);

	(void)arg;
	(void)err;
	listing_open(&x->list, v, &def, "");
	return 0;
}

static void versions_action(struct view *v, enum action_id a)
{
	struct versions *x = view_state(v);
	const json_t *row = listing_row(&x->list);
	struct acts *acts = listing_app(&x->list)->acts;

	if (a == A_ROLL_BACK && row != NULL)
		act_plan(acts, M_CONFIG_ROLLBACK,
			 js_has(row, "probation_until_at")
				 ? NULL
				 : json_pack("{s:I}", "version", (json_int_t)ji(row, "version")));
	else if (a == A_CONFIRM)
		act_plan(acts, M_CONFIG_CONFIRM, NULL);
	else
		(void)listing_action(&x->list, a);
}

static const enum action_id actions[] = {
	A_ROLL_BACK, A_CONFIRM, A_DESCRIBE, A_WIDE, A_COPY, A_SAVE, A_REFRESH, A_NONE,
};

const struct view_def view_versions = {
	.name = "versions",
	.also = "config history",
	.title = "Versions",
	.help = "The configuration, version by version: who changed what, and why. Enter shows the "
		"difference, and what was changed since; Z brings a version back, or takes back "
		"what is "
		"on probation, which C keeps.",
	.slot = -1, /* :versions */
	.size = sizeof(struct versions),
	.actions = actions,
	.open = versions_open,
	.action = versions_action,
	LISTING_VIEW,
};
