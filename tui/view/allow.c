/* allow - the networks that may relay. */
#include "shell/shell.h"
#include "view/act.h"
#include "view/listing.h"

struct allow {
	struct listing list;
};

static const struct listing_def def = {
	.method = "allow.list",
	.entity = "allow",
	.key = "network",
	.empty = "nobody may relay; A adds a network",
	.moved = RELAY_ALLOW,
	.whole = true,
};

static int allow_open(struct view *v, const char *arg, struct err *err)
{
	struct allow *a = view_state(v);

	(void)arg;
	(void)err;
	listing_open(&a->list, v, &def, "");
	return 0;
}

static void allow_action(struct view *v, enum action_id id)
{
	struct allow *a = view_state(v);
	const json_t *row = listing_row(&a->list);

	if (id == A_ADD)
		act_form(listing_app(&a->list)->acts, M_ALLOW_ADD, NULL);
	else if (id == A_DELETE && row != NULL)
		act_form(listing_app(&a->list)->acts, M_ALLOW_REMOVE,
			 json_pack("{s:s}", "network", js(row, "network")));
	else
		(void)listing_action(&a->list, id);
}

/* Adding and removing is for admins, unlike the same keys elsewhere. */
static const char *allow_refuse(struct view *v, enum action_id id)
{
	if ((id == A_ADD || id == A_DELETE) && shell_status(view_shell(v))->perm < ACTION_ADMIN)
		return "needs the role admin";
	return NULL;
}

static const enum action_id actions[] = {
	A_ADD, A_DELETE, A_DESCRIBE, A_WIDE, A_COPY, A_SAVE, A_REFRESH, A_NONE,
};

const struct view_def view_allow = {
	.name = "allow",
	.title = "Allowlist",
	.help = "The networks that may relay without authentication.",
	.slot = 7,
	.size = sizeof(struct allow),
	.actions = actions,
	.open = allow_open,
	.action = allow_action,
	.refuse = allow_refuse,
	LISTING_VIEW,
};
