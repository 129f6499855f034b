/* journal - what operators did, and taking it back. */
#include <bsd/string.h>
#include <stdio.h>
#include <string.h>

#include "base/buf.h"
#include "base/fmt.h"
#include "base/mem.h"
#include "shell/shell.h"
#include "view/act.h"
#include "view/listing.h"

#define VERSIONS_SEEN 1000 /* among which an edit is looked for */

struct journal {
	struct listing list;
	char action[32]; /* that the page is about */
};

static void journal_enter(struct listing *l, const json_t *row)
{
	AUTO_BUF what = BUF_INIT(2048);
	char count[FMT_TIME_LEN];

	if (strcmp(js(row, "state"), "undoable") != 0) {
		shell_notice(view_shell(l->view), NOTICE_WARN, "%s cannot be taken back: it is %s",
			     js(row, "action"), js(row, "state"));
		return;
	}
	if (shell_refusal(view_shell(l->view), A_ADD) != NULL &&
	    (listing_app(l)->readonly ||
	     shell_status(view_shell(l->view))->perm < ACTION_OPERATE)) {
		shell_notice(view_shell(l->view), NOTICE_WARN,
			     "taking back needs the role operator");
		return;
	}
	(void)buf_printf(&what, "%s %s by %s", js(row, "method"), js(row, "target"),
			 js(row, "who"));
	if (ji(row, "recipients") > 0) {
		fmt_count((uint64_t)ji(row, "recipients"), count);
		(void)buf_printf(&what, ", %s recipients", count);
	}
	if (*js(row, "reason") != '\0')
		(void)buf_printf(&what, ": %s", js(row, "reason"));
	act_undo(listing_app(l)->acts, js(row, "action"), buf_cstr(&what), NULL);
}

static void journal_foot(const struct listing *l, const json_t *row, struct buf *out)
{
	(void)l;
	(void)buf_printf(out, "%s %s %s", js(row, "who"), js(row, "method"), js(row, "target"));
	if (*js(row, "reason") != '\0')
		(void)buf_printf(out, ": %s", js(row, "reason"));
}

static const struct cell_measure measures[] = {
	{ "action", 8, 12, 5 },	 { "at", 17, 0, 1 },	  { "who", 8, 16, 1 },
	{ "method", 13, 16, 2 }, { "target", 16, 60, 0 }, { "recipients", 7, 0, 3 },
	{ "reason", 14, 80, 4 }, { "state", 9, 0, 0 },	  { "undo_until_at", 17, 0, 6 },
	{ .name = NULL },
};

static const struct listing_def def = {
	.foot = journal_foot,
	.measures = measures,
	.method = "action.list",
	.entity = "journal",
	.key = "action",
	.empty = "nothing was done yet",
	.moved = RELAY_ACTIONS,
	.enter = journal_enter,
};

static int journal_open(struct view *v, const char *arg, struct err *err)
{
	struct journal *j = view_state(v);

	(void)arg;
	(void)err;
	listing_open(&j->list, v, &def, "");
	return 0;
}

/* --- what one did ----------------------------------------------------------------------------- */

static void put_versions(struct listing *l, const json_t *answer, struct text *t)
{
	const struct journal *j = view_state(l->view);
	const json_t *one;
	size_t i;

	json_array_foreach(json_object_get(answer, "rows"), i, one)
	{
		if (strcmp(js(one, "action"), j->action) != 0)
			continue;
		text_add(t, ROLE_TEXT, STR(""));
		text_addf(t, ROLE_HEADING, "Version %lld changed", (long long)ji(one, "version"));
		act_put_changes_of(t, one);
	}
}

/* The row as all lists describe theirs; of an edit also the difference that it made. */
static void describe(struct view *v)
{
	struct journal *j = view_state(v);
	const json_t *row = listing_row(&j->list);
	struct shell *s = view_shell(v);
	const struct method_def *m = method_find(js(row, "method"));
	AUTO_FREE char *title = xasprintf("Action %s", js(row, "action"));
	struct text *t = listing_page(&j->list, title);

	if (t == NULL)
		return;
	cell_describe(t, "journal", row, shell_wall_ms(s), shell_ascii(s));
	if (m == NULL || (m->flags & MF_EDIT) == 0)
		return;
	(void)strlcpy(j->action, js(row, "action"), sizeof(j->action));
	listing_ask(&j->list, M_CONFIG_HISTORY, json_pack("{s:i}", "limit", VERSIONS_SEEN),
		    put_versions);
}

static void journal_action(struct view *v, enum action_id a)
{
	struct journal *j = view_state(v);

	if (a == A_DESCRIBE && listing_row(&j->list) != NULL) {
		describe(v);
		return;
	}
	if (a == A_UNDO && listing_row(&j->list) != NULL)
		journal_enter(&j->list, listing_row(&j->list));
	else
		(void)listing_action(&j->list, a);
}

static const enum action_id actions[] = {
	A_UNDO, A_DESCRIBE, A_WIDE, A_COPY, A_SAVE, A_REFRESH, A_NONE,
};

const struct view_def view_journal = {
	.name = "undo",
	.also = "journal actions",
	.title = "Undo",
	.help = "What was done lately, by whom and why; Enter or z takes the row back.",
	.slot = 6,
	.size = sizeof(struct journal),
	.actions = actions,
	.open = journal_open,
	.action = journal_action,
	LISTING_VIEW,
};
