/* holds - the rules that keep mail back, and ending them. */
#include "shell/shell.h"
#include "view/act.h"
#include "view/cells.h"
#include "view/listing.h"

struct holds {
	struct listing list;
};

static bool holds_where(const struct listing *l, const json_t *row, struct buf *out)
{
	(void)l;
	(void)buf_puts(out, js(row, "target"));
	return out->n > 0;
}

static void holds_enter(struct listing *l, const json_t *row)
{
	AUTO_BUF what = BUF_INIT(VIEW_ARG_MAX);
	AUTO_BUF where = BUF_INIT(VIEW_ARG_MAX);

	if (filter_of_target(js(row, "target"), &what))
		filter_and(&where, buf_cstr(&what), "state:held");
	(void)shell_open(view_shell(l->view), "messages", buf_cstr(&where));
}

static void holds_foot(const struct listing *l, const json_t *row, struct buf *out)
{
	(void)l;
	(void)buf_printf(out, "%s held by %s: %s", js(row, "target"), js(row, "by"),
			 js(row, "reason"));
}

static const struct cell_measure measures[] = {
	{ "target", 20, 60, 0 },    { "reason", 14, 80, 3 },	{ "by", 8, 16, 4 },
	{ "created_at", 17, 0, 5 }, { "expires_at", 17, 0, 2 }, { .name = NULL },
};

static const struct listing_def def = {
	.foot = holds_foot,
	.measures = measures,
	.method = "hold.list",
	.entity = "hold",
	.key = "id",
	.empty = "nothing is held",
	.moved = RELAY_HOLDS | RELAY_QUEUE,
	.whole = true,
	.where = holds_where,
	.enter = holds_enter,
};

static int holds_open(struct view *v, const char *arg, struct err *err)
{
	struct holds *h = view_state(v);

	(void)arg;
	(void)err;
	listing_open(&h->list, v, &def, "");
	return 0;
}

static void holds_action(struct view *v, enum action_id a)
{
	struct holds *h = view_state(v);
	const json_t *row = listing_row(&h->list);

	if (a == A_RELEASE && row != NULL)
		act_plan(listing_app(&h->list)->acts, M_QUEUE_RELEASE,
			 json_pack("{s:s}", "hold", js(row, "id")));
	else if (a == A_ADD)
		act_form(listing_app(&h->list)->acts, M_QUEUE_HOLD, NULL);
	else
		(void)listing_action(&h->list, a);
}

static const enum action_id actions[] = {
	A_RELEASE, A_ADD, A_RELATED, A_TAIL, A_DESCRIBE, A_WIDE, A_COPY, A_SAVE, A_REFRESH, A_NONE,
};

static const struct view_verb verbs[] = {
	{ .action = A_ADD, .method = M_QUEUE_HOLD },
	{ .action = A_NONE },
};

const struct view_def view_holds = {
	.name = "holds",
	.title = "Holds",
	.help = "What is held, by whom, why and until when. Enter shows the messages.",
	.slot = 4,
	.size = sizeof(struct holds),
	.actions = actions,
	.verbs = verbs,
	.open = holds_open,
	.action = holds_action,
	LISTING_VIEW,
};
