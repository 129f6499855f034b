/* bounces - mail to the bounce and feedback addresses that came to nothing; Enter shows it. */
#include "shell/shell.h"
#include "view/act.h"
#include "view/listing.h"
#include "widget/text.h"

#define LABEL_COLS 10

struct bounces_view {
	struct listing list;
	uint64_t call;
	struct overlay_id page;
};

static void put_mail(struct text *t, const json_t *mail)
{
	static const char *const fields[] = { "why",	  "from", "to",	    "client",
					      "original", "at",	  "last_at" };
	struct str rest = str_of(js(mail, "text"));

	for (size_t i = 0; i < sizeof(fields) / sizeof(fields[0]); i++) {
		const struct field_def *f = field_find("bounces_show", fields[i]);
		if (f != NULL && js_has(mail, fields[i]))
			text_add_field(t, LABEL_COLS, f->title, ROLE_TEXT,
				       str_of(js(mail, fields[i])));
	}
	text_add(t, ROLE_TEXT, STR(""));
	while (rest.n > 0) {
		struct str line = str_cut(&rest, '\n');
		if (line.n > 0 && line.p[line.n - 1] == '\r')
			line.n--;
		text_add(t, ROLE_CODE, line);
	}
}

static void on_mail(void *arg, const json_t *result, const struct err *err)
{
	struct view *v = arg;
	struct bounces_view *b = view_state(v);
	struct text *t = shell_page_body(view_shell(v), b->page);

	b->call = 0;
	if (t == NULL)
		return;
	text_clear(t);
	if (result == NULL)
		text_add(t, ROLE_BAD, str_of(err->msg));
	else
		put_mail(t, result);
	shell_dirty(view_shell(v), SHELL_RELAYOUT | SHELL_REPAINT);
}

static void bounces_enter(struct listing *l, const json_t *row)
{
	struct bounces_view *b = view_state(l->view);
	struct shell *s = view_shell(l->view);
	struct rpc rpc = listing_app(l)->rpc;

	rpc_cancel(rpc, &b->call);
	b->page = shell_page(s, l->view, js(row, "subject"));
	if (b->page.v == 0)
		return;
	text_add(shell_page_body(s, b->page), ROLE_PENDING, STR("asking"));
	b->call = rpc_call(rpc, "bounces.show", json_pack("{s:s}", "id", js(row, "id")), on_mail,
			   l->view);
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

static void bounces_close(struct view *v)
{
	struct bounces_view *b = view_state(v);

	rpc_cancel(listing_app(&b->list)->rpc, &b->call);
	listing_close(v);
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
	.close = bounces_close,
	.draw = listing_draw,
	.nav = listing_nav,
	.mouse = listing_mouse,
	.selected = listing_selected,
	.changed = listing_changed,
	.shown = listing_shown,
	.known_wall_ms = listing_known_wall_ms,
	.subtitle = listing_subtitle,
	.save = listing_save,
	.restore = listing_restore,
	.action = bounces_action,
};
