/* audit - who changed what, and who was refused; whether the log is whole. */
#include <string.h>

#include "base/mem.h"
#include "base/obj.h"
#include "shell/shell.h"
#include "view/listing.h"

struct audit {
	struct listing list;
	uint64_t verifying; /* call */
};

static void audit_foot(const struct listing *l, const json_t *row, struct buf *out)
{
	(void)l;
	(void)buf_printf(out, "%s (%s, %s) %s %s: %s", js(row, "who"), js(row, "role"),
			 js(row, "from_where"), js(row, "method"), js(row, "target"),
			 js(row, "result"));
	if (*js(row, "reason") != '\0')
		(void)buf_printf(out, " (%s)", js(row, "reason"));
}

/* One line of JSON, which the page breaks. */
static void put_object(struct text *t, const char *label, const json_t *v)
{
	char *text;

	if (v == NULL || json_is_null(v))
		return;
	text = json_dumps(v, JSON_COMPACT | JSON_ENCODE_ANY);
	if (text != NULL)
		text_add_field(t, 14, label, ROLE_TEXT, str_of(text));
	free(text);
}

static void audit_describe(const json_t *row, struct text *t)
{
	const json_t *o;
	size_t i;

	json_array_foreach(json_object_get(row, "changes"), i, o)
	{
		text_addf(t, ROLE_STRONG, "%s %s", js(o, "kind"), js(o, "id"));
		put_object(t, "before", json_object_get(o, "before"));
		put_object(t, "after", json_object_get(o, "after"));
	}
}

static const struct cell_measure measures[] = {
	{ "seq", 5, 9, 5 },	 { "at", 17, 0, 0 },	    { "who", 8, 16, 0 },
	{ "role", 8, 0, 6 },	 { "from_where", 5, 0, 6 }, { "method", 13, 16, 1 },
	{ "target", 16, 60, 0 }, { "reason", 14, 80, 3 },   { "result", 10, 80, 2 },
	{ .name = NULL },
};

static const struct listing_def def = {
	.foot = audit_foot,
	.describe = audit_describe,
	.measures = measures,
	.method = "audit.list",
	.entity = "audit",
	.key = "hash",
	.empty = "nothing is recorded yet",
	.moved = RELAY_ACTIONS,
	.filter = true,
	.about = FILTER_AUDIT,
};

static int audit_open(struct view *v, const char *arg, struct err *err)
{
	struct audit *a = view_state(v);

	(void)err;
	listing_open(&a->list, v, &def, arg);
	return 0;
}

static void audit_close(struct view *v)
{
	struct audit *a = view_state(v);

	rpc_cancel(listing_app(&a->list)->rpc, &a->verifying);
	listing_close(v);
}

static void on_verified(void *arg, const json_t *result, const struct err *err)
{
	struct audit *a = arg;
	struct shell *s = view_shell(a->list.view);

	a->verifying = 0;
	if (err != NULL)
		shell_notice_err(s, "verifying the audit log", err);
	else
		shell_notice(s,
			     json_is_true(json_object_get(result, "intact")) ? NOTICE_INFO
									     : NOTICE_BAD,
			     "%s", js(result, "text"));
}

static void audit_action(struct view *v, enum action_id action)
{
	struct audit *a = view_state(v);

	if (action != A_VERIFY) {
		(void)listing_action(&a->list, action);
		return;
	}
	if (a->verifying == 0)
		a->verifying = rpc_call(listing_app(&a->list)->rpc, "audit.verify", json_object(),
					on_verified, a);
}

static const enum action_id actions[] = {
	A_VERIFY, A_DESCRIBE, A_FILTER, A_CLEAR, A_WIDE, A_COPY, A_SAVE, A_REFRESH, A_NONE,
};

const struct view_def view_audit = {
	.name = "audit",
	.title = "Audit",
	.help = "Who changed what, and who was refused; s looks whether the log is whole.",
	.slot = -1, /* :audit */
	.size = sizeof(struct audit),
	.actions = actions,
	.open = audit_open,
	.action = audit_action,
	.close = audit_close,
	.nav = listing_nav,
	LISTING_PARTS,
};
