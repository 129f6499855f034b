/* suppress - the addresses and domains that get no mail; Enter says why one is among them. */
#include "shell/shell.h"
#include "view/act.h"
#include "view/listing.h"
#include "widget/text.h"

#define LABEL_COLS 12

struct suppressions {
	struct listing list;
};

static void suppress_enter(struct listing *l, const json_t *row)
{
	static const char *const fields[] = { "stream",	    "source",	  "reason", "by",
					      "created_at", "expires_at", "hits",   "last_hit_at",
					      "message",    "reply",	  "import" };
	struct shell *s = view_shell(l->view);
	struct text *t = shell_page_body(s, shell_page(s, l->view, js(row, "address")));

	if (t == NULL)
		return;
	for (size_t i = 0; i < sizeof(fields) / sizeof(fields[0]); i++) {
		const struct field_def *f = field_find("suppress", fields[i]);
		AUTO_BUF n = BUF_INIT(32);

		(void)buf_printf(&n, "%lld", (long long)ji(row, fields[i]));
		if (f == NULL || !js_has(row, fields[i]))
			continue;
		text_add_field(t, LABEL_COLS, f->title, ROLE_TEXT,
			       f->kind == FK_COUNT ? buf_str(&n) : str_of(js(row, fields[i])));
	}
	if (!js_has(row, "stream"))
		text_add_field(t, LABEL_COLS, "stream", ROLE_TEXT, STR("all mail"));
}

/* The mail that was queued for it. */
static bool suppress_where(const struct listing *l, const json_t *row, struct buf *out)
{
	const char *address = js(row, "address");

	(void)l;
	filter_term(out, strchr(address, '@') != NULL ? "to" : "domain", address);
	return true;
}

static void suppress_foot(const struct listing *l, const json_t *row, struct buf *out)
{
	(void)l;
	if (js_has(row, "reply"))
		(void)buf_printf(out, "%s: %s", js(row, "address"), js(row, "reply"));
}

static const struct cell_measure measures[] = {
	{ "address", 24, 64, 0 },   { "stream", 8, 20, 3 }, { "source", 11, 0, 1 },
	{ "reason", 14, 60, 2 },    { "by", 8, 16, 5 },	    { "created_at", 17, 0, 3 },
	{ "expires_at", 17, 0, 4 }, { "hits", 7, 0, 2 },    { .name = NULL },
};

static const struct listing_def def = {
	.method = "suppress.list",
	.entity = "suppress",
	.key = "id",
	.empty = "nobody is suppressed; A adds an address or a domain",
	.moved = RELAY_SUPPRESS,
	.filter = true,
	.where = suppress_where,
	.enter = suppress_enter,
	.foot = suppress_foot,
	.measures = measures,
};

static int suppress_open(struct view *v, const char *arg, struct err *err)
{
	struct suppressions *s = view_state(v);

	(void)err;
	listing_open(&s->list, v, &def, arg);
	return 0;
}

static void suppress_action(struct view *v, enum action_id a)
{
	struct suppressions *s = view_state(v);
	const json_t *row = listing_row(&s->list);
	struct acts *acts = listing_app(&s->list)->acts;
	json_t *params;

	if (a == A_ADD) {
		act_form(acts, M_SUPPRESS_ADD, NULL);
	} else if (a == A_DELETE && row != NULL) {
		params = json_pack("{s:s}", "address", js(row, "address"));
		if (js_has(row, "stream"))
			(void)json_object_set_new(params, "stream", json_string(js(row, "stream")));
		act_form(acts, M_SUPPRESS_REMOVE, params);
	} else {
		(void)listing_action(&s->list, a);
	}
}

static const enum action_id actions[] = {
	A_ADD, A_DELETE, A_DESCRIBE, A_FILTER, A_CLEAR, A_WIDE, A_COPY, A_SAVE, A_REFRESH, A_NONE,
};

static const struct view_verb verbs[] = {
	{ .action = A_ADD, .method = M_SUPPRESS_ADD },
	{ .action = A_DELETE, .method = M_SUPPRESS_REMOVE },
	{ .action = A_NONE },
};

const struct view_def view_suppress = {
	.name = "suppress",
	.also = "suppression",
	.title = "Suppressions",
	.help = "Addresses and domains that get no mail any more. A: add, D: take off. A filter "
		"asks "
		"for to, domain, stream, text (reason and reply) and age.",
	.slot = -1, /* :suppress */
	.size = sizeof(struct suppressions),
	.actions = actions,
	.verbs = verbs,
	.open = suppress_open,
	.action = suppress_action,
	LISTING_VIEW,
};
