/* allow - the networks that may relay, or may authenticate; Tab goes back to the credentials. */
#include "shell/shell.h"
#include "view/act.h"
#include "view/listing.h"

struct allow {
	struct listing list;
};

/* What is worth knowing of an entry. */
static void allow_foot(const struct listing *l, const json_t *row, struct buf *out)
{
	const json_t *notices = json_object_get(row, "notices");
	const char *first = json_string_value(json_array_get(notices, 0));

	(void)l;
	if (first != NULL)
		(void)buf_printf(out, "%s: %s", js(row, "network"), first);
	if (json_array_size(notices) > 1)
		(void)buf_printf(out, " (and %zu more: d)", json_array_size(notices) - 1);
}

static void allow_describe(const json_t *row, struct text *t)
{
	size_t i;
	const json_t *one;

	json_array_foreach(json_object_get(row, "notices"), i, one)
		text_add(t, ROLE_WARN, str_of(json_string_value(one)));
}

static const struct cell_measure measures[] = {
	{ "network", 18, 43, 0 }, { "mode", 12, 0, 1 },	       { "note", 12, 60, 2 },
	{ "by", 8, 16, 6 },	  { "last_hit_at", 17, 0, 2 }, { "hits", 7, 0, 3 },
	{ .name = NULL },
};

static const struct listing_def def = {
	.measures = measures,
	.method = "allow.list",
	.foot = allow_foot,
	.describe = allow_describe,
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
	else if (id == A_EDIT && row != NULL)
		act_edit(listing_app(&a->list)->acts, M_ALLOW_SET, act_settings(M_ALLOW_SET, row),
			 listing_version(&a->list));
	else if (id == A_DELETE && row != NULL)
		act_form(listing_app(&a->list)->acts, M_ALLOW_REMOVE,
			 json_pack("{s:s}", "network", js(row, "network")));
	else
		(void)listing_action(&a->list, id);
}

static const enum action_id actions[] = {
	A_ADD, A_EDIT, A_DELETE, A_DESCRIBE, A_WIDE, A_COPY, A_SAVE, A_REFRESH, A_NONE,
};

static const struct view_verb verbs[] = {
	{ .action = A_ADD, .method = M_ALLOW_ADD },
	{ .action = A_EDIT, .method = M_ALLOW_SET },
	{ .action = A_DELETE, .method = M_ALLOW_REMOVE },
	{ .action = A_NONE },
};

const struct view_def view_allow = {
	.name = "allow",
	.title = "Allowlist",
	.beside = "access",
	.help = "The networks that may relay without authentication, or may authenticate. Tab: the "
		"credentials.",
	.slot = -1, /* :allow list, and Tab from Access */
	.size = sizeof(struct allow),
	.actions = actions,
	.verbs = verbs,
	.open = allow_open,
	.action = allow_action,
	LISTING_VIEW,
};
