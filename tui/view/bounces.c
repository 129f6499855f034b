/* bounces - mail to the bounce and feedback addresses that came to nothing; Enter shows it. */
#include "shell/shell.h"
#include "view/act.h"
#include "view/listing.h"
#include "widget/text.h"

#define LABEL_COLS 10

struct bounces_view {
	struct listing list;
};

static void put_mail(struct listing *l, const json_t *mail, struct text *t)
{
	static const char *const fields[] = { "why",	  "from", "to",	    "client",
					      "original", "at",	  "last_at" };

	(void)l;
	for (size_t i = 0; i < sizeof(fields) / sizeof(fields[0]); i++) {
		const struct field_def *f = field_find("bounces_show", fields[i]);
		if (f != NULL && js_has(mail, fields[i]))
			text_add_field(t, LABEL_COLS, f->title, ROLE_TEXT,
				       str_of(js(mail, fields[i])));
	}
	text_add(t, ROLE_TEXT, STR(""));
	text_add(t, ROLE_CODE, str_of(js(mail, "text")));
}

static void bounces_enter(struct listing *l, const json_t *row)
{
	if (listing_page(l, js(row, "subject")) != NULL)
		listing_ask(l, M_BOUNCES_SHOW, json_pack("{s:s}", "id", js(row, "id")), put_mail);
}

static void bounces_foot(const struct listing *l, const json_t *row, struct buf *out)
{
	(void)l;
	(void)buf_printf(out, "%s: %s", js(row, "to"), js(row, "why"));
}

static const struct cell_measure measures[] = {
	{ "id", 4, 8, 1 },     { "at", 17, 0, 1 },   { "why", 20, 70, 0 }, { "subject", 14, 50, 2 },
	{ "from", 14, 40, 3 }, { "count", 5, 0, 4 }, { "size", 6, 0, 5 },  { .name = NULL },
};

static const struct listing_def def = {
	.method = "bounces.list",
	.entity = "bounces",
	.key = "id",
	.empty = "every report that came could be read and matched",
	.moved = RELAY_BOUNCES,
	.enter = bounces_enter,
	.foot = bounces_foot,
	.measures = measures,
};

static int bounces_open(struct view *v, const char *arg, struct err *err)
{
	struct bounces_view *b = view_state(v);

	(void)arg;
	(void)err;
	listing_open(&b->list, v, &def, "");
	return 0;
}

static void bounces_action(struct view *v, enum action_id a)
{
	struct bounces_view *b = view_state(v);
	const json_t *row = listing_row(&b->list);

	if (a == A_DELETE && row != NULL)
		act_form(listing_app(&b->list)->acts, M_BOUNCES_REMOVE,
			 json_pack("{s:s}", "id", js(row, "id")));
	else
		(void)listing_action(&b->list, a);
}

static const enum action_id actions[] = {
	A_DELETE, A_DESCRIBE, A_WIDE, A_COPY, A_SAVE, A_REFRESH, A_NONE,
};

static const struct view_verb verbs[] = {
	{ .action = A_DELETE, .method = M_BOUNCES_REMOVE },
	{ .action = A_NONE },
};

const struct view_def view_bounces = {
	.name = "bounces",
	.title = "Bounces",
	.help = "Mail to the bounce and feedback addresses that could not be read or matched, and "
		"counts for nothing. Enter shows it, D forgets it. What could be read are events: "
		"bounced and complained.",
	.slot = -1, /* :bounces */
	.size = sizeof(struct bounces_view),
	.actions = actions,
	.verbs = verbs,
	.open = bounces_open,
	.action = bounces_action,
	LISTING_VIEW,
};
