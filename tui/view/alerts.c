/* alerts - what is the matter now, the worst first; Enter goes where it can be mended. */
#include <string.h>

#include "shell/shell.h"
#include "view/act.h"
#include "view/cells.h"
#include "view/listing.h"

struct alerts {
	struct listing list;
};

static bool alerts_where(const struct listing *l, const json_t *row, struct buf *out)
{
	(void)l;
	if (strcmp(js(row, "kind"), "destination") != 0)
		return false;
	filter_term(out, "domain", js(row, "target"));
	return true;
}

static void alerts_enter(struct listing *l, const json_t *row)
{
	AUTO_BUF where = BUF_INIT(VIEW_ARG_MAX);

	if (alerts_where(l, row, &where))
		(void)shell_open(view_shell(l->view), "messages", buf_cstr(&where));
	else if (!act_follow(listing_app(l)->acts, str_of(js(row, "command"))))
		shell_run(view_shell(l->view), A_DESCRIBE);
}

static void alerts_foot(const struct listing *l, const json_t *row, struct buf *out)
{
	(void)l;
	(void)buf_printf(out, "%s: %s", js(row, "command"), js(row, "text"));
}

static const struct cell_measure measures[] = {
	{ "severity", 4, 0, 0 }, { "kind", 15, 0, 0 },	   { "recipients", 7, 0, 2 },
	{ "target", 12, 24, 4 }, { "class", 12, 0, 5 },	   { "since_at", 12, 18, 1 },
	{ "text", 24, 200, 0 },	 { "command", 26, 40, 3 }, { .name = NULL },
};

static const struct listing_def def = {
	.foot = alerts_foot,
	.measures = measures,
	.method = "alert.list",
	.entity = "alert",
	.key = "id",
	.empty = "nothing is the matter",
	.moved = RELAY_STATUS,
	.whole = true,
	.where = alerts_where,
	.live = alerts_where,
	.enter = alerts_enter,
};

static int alerts_open(struct view *v, const char *arg, struct err *err)
{
	struct alerts *a = view_state(v);

	(void)err;
	listing_open(&a->list, v, &def, arg);
	return 0;
}

static const enum action_id actions[] = {
	A_HOLD, A_RETRY,    A_WHY,  A_TAIL,    A_RELATED, A_WIDE,
	A_COPY, A_DESCRIBE, A_SAVE, A_REFRESH, A_NONE,
};

static const char *alerts_refuse(struct view *v, enum action_id a)
{
	const struct alerts *s = view_state(v);
	const json_t *row = listing_row(&s->list);
	bool of_mail = a == A_HOLD || a == A_RETRY || a == A_WHY || a == A_RELATED || a == A_TAIL;

	return of_mail && row != NULL && strcmp(js(row, "kind"), "destination") != 0
		       ? "it is about no destination"
		       : NULL;
}

const struct view_def view_alerts = {
	.name = "alerts",
	.title = "Alerts",
	.help = "What is the matter now, the worst first: the cause, since when, how much it "
		"reaches. "
		"Enter goes where it can be seen to.",
	.slot = -1,
	.size = sizeof(struct alerts),
	.actions = actions,
	.open = alerts_open,
	.action = listing_on_action,
	.refuse = alerts_refuse,
	LISTING_VIEW,
};
