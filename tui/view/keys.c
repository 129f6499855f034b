/* keys - the DKIM keys; Enter shows the records to publish, E does the next step of a rotation. */
#include "shell/shell.h"
#include "view/act.h"
#include "view/listing.h"
#include "widget/text.h"

#define LABEL_COLS 10

struct keys_view {
	struct listing list;
};

static void put_record(struct text *t, const json_t *r)
{
	static const char *const fields[] = {
		"state", "algorithm", "name", "type", "value", "zone"
	};

	text_add(t, ROLE_HEADING, str_of(js(r, "id")));
	for (size_t i = 0; i < sizeof(fields) / sizeof(fields[0]); i++)
		text_add_field(t, LABEL_COLS, fields[i], i < 2 ? ROLE_TEXT : ROLE_CODE,
			       str_of(js(r, fields[i])));
	text_add(t, ROLE_TEXT, STR(""));
}

static void put_records(struct listing *l, const json_t *answer, struct text *t)
{
	const json_t *r;
	size_t i;

	(void)l;
	json_array_foreach(json_object_get(answer, "records"), i, r) put_record(t, r);
}

static void keys_enter(struct listing *l, const json_t *row)
{
	if (listing_page(l, js(row, "id")) != NULL)
		listing_ask(l, M_DKIM_SHOW,
			    json_pack("{s:s, s:s}", "domain", js(row, "domain"), "selector",
				      js(row, "selector")),
			    put_records);
}

static const struct listing_def def = {
	.method = "dkim.list",
	.entity = "dkim",
	.key = "id",
	.empty = "mail is not signed; A makes a key for a domain",
	.moved = RELAY_KEYS,
	.whole = true,
	.enter = keys_enter,
};

static int keys_open(struct view *v, const char *arg, struct err *err)
{
	struct keys_view *k = view_state(v);

	(void)arg;
	(void)err;
	listing_open(&k->list, v, &def, "");
	return 0;
}

/* Active: new keys are made; else it begins to sign. */
static void next_step(struct acts *acts, const json_t *row)
{
	if (str_eq(str_of(js(row, "state")), STR("active")))
		act_form(acts, M_DKIM_ROTATE, json_pack("{s:s}", "domain", js(row, "domain")));
	else
		act_form(acts, M_DKIM_ACTIVATE,
			 json_pack("{s:s, s:s}", "domain", js(row, "domain"), "selector",
				   js(row, "selector")));
}

static void keys_action(struct view *v, enum action_id a)
{
	struct keys_view *k = view_state(v);
	const json_t *row = listing_row(&k->list);
	struct acts *acts = listing_app(&k->list)->acts;

	if (a == A_ADD)
		act_form(acts, M_DKIM_ADD, NULL);
	else if (a == A_EDIT && row != NULL)
		next_step(acts, row);
	else if (a == A_DELETE && row != NULL)
		act_form(acts, M_DKIM_REMOVE, json_pack("{s:s}", "id", js(row, "id")));
	else
		(void)listing_action(&k->list, a);
}

static const enum action_id actions[] = {
	A_ADD, A_EDIT, A_DELETE, A_DESCRIBE, A_WIDE, A_COPY, A_SAVE, A_REFRESH, A_NONE,
};

static const struct view_verb verbs[] = {
	{ .action = A_ADD, .method = M_DKIM_ADD },
	{ .action = A_EDIT,
	  .help = "Of an active key the next one is made; a waiting or retired one begins "
		  "to sign." },
	{ .action = A_DELETE, .method = M_DKIM_REMOVE },
	{ .action = A_NONE },
};

const struct view_def view_keys = {
	.name = "keys",
	.also = "dkim",
	.title = "Keys",
	.help = "The DKIM keys. Enter shows the records to publish; E makes the next key of an "
		"active "
		"one, or signs with a waiting one.",
	.slot = 9,
	.size = sizeof(struct keys_view),
	.actions = actions,
	.verbs = verbs,
	.open = keys_open,
	.action = keys_action,
	LISTING_VIEW,
};
