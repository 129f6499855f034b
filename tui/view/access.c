/*
 * access - the credentials: what they may, their secrets, and who still uses an old one. Tab goes
 * on to the allowlist, which is the other half of who may send.
 */
#include <stdlib.h>
#include <string.h>

#include "base/fmt.h"
#include "shell/shell.h"
#include "view/act.h"
#include "view/listing.h"
#include "widget/text.h"

#define LABEL_COLS 12

struct access_view {
	struct listing list;
	json_t *chosen; /* the row that the menu is about */
	int64_t chosen_version;
};

/* --- one credential --------------------------------------------------------------------------- */

static void put_texts(struct text *t, const char *label, const json_t *list)
{
	AUTO_BUF line = BUF_INIT(16384);
	size_t i;
	const json_t *one;

	json_array_foreach(list, i, one)(void)
		buf_printf(&line, "%s%s", i > 0 ? ", " : "", json_string_value(one));
	text_add_field(t, LABEL_COLS, label, ROLE_TEXT,
		       json_array_size(list) == 0 ? STR("all") : buf_str(&line));
}

static void put_limit(struct text *t, const char *label, const json_t *cred, const char *name)
{
	char n[FMT_TIME_LEN];

	if (!js_has(cred, name))
		return;
	fmt_count((uint64_t)ji(cred, name), n);
	text_add_field(t, LABEL_COLS, label, ROLE_TEXT, str_of(n));
}

/* "s1  old  until 04:15Z, in 6d; last used …" */
static void put_secret(struct text *t, const json_t *s, int64_t now_ms)
{
	AUTO_BUF line = BUF_INIT(400);
	bool ended = strcmp(js(s, "state"), "ended") == 0;

	(void)buf_printf(&line, "%-4s %-5s  last used ", js(s, "id"), js(s, "state"));
	cell_time(js(s, "last_used_at"), now_ms, &line);
	if (js_has(s, "last_client"))
		(void)buf_printf(&line, " from %s", js(s, "last_client"));
	(void)buf_printf(&line, ", %lld times", (long long)ji(s, "uses"));
	if (js_has(s, "expires_at")) {
		(void)buf_puts(&line, ended ? "; ended " : "; ends ");
		cell_time(js(s, "expires_at"), now_ms, &line);
	}
	text_add(t, ended ? ROLE_DIM : ROLE_TEXT, buf_str(&line));
}

static void put_user(struct text *t, const json_t *u, int64_t now_ms)
{
	AUTO_BUF line = BUF_INIT(600);
	bool straggler = json_is_true(json_object_get(u, "straggler"));

	(void)buf_printf(&line, "%s %-4s %s (%s)  ", straggler ? "!" : " ", js(u, "secret"),
			 js(u, "client"), js_has(u, "helo") ? js(u, "helo") : "no name");
	cell_time(js(u, "last_at"), now_ms, &line);
	(void)buf_printf(&line, ", %lld messages", (long long)ji(u, "messages"));
	if (js_has(u, "stream"))
		(void)buf_printf(&line, " of %s", js(u, "stream"));
	if (ji(u, "refused") > 0)
		(void)buf_printf(&line, ", refused %lld times", (long long)ji(u, "refused"));
	text_add(t, straggler ? ROLE_WARN : ROLE_TEXT, buf_str(&line));
}

static void put_cred(struct listing *l, const json_t *cred, struct text *t)
{
	int64_t now_ms = shell_wall_ms(view_shell(l->view));
	const json_t *users = json_object_get(cred, "users");
	const json_t *one;
	size_t i;

	text_add_field(t, LABEL_COLS, "status", ROLE_STRONG, str_of(js(cred, "status")));
	if (js_has(cred, "note"))
		text_add_field(t, LABEL_COLS, "note", ROLE_TEXT, str_of(js(cred, "note")));
	put_texts(t, "senders", json_object_get(cred, "senders"));
	put_texts(t, "streams", json_object_get(cred, "streams"));
	put_texts(t, "networks", json_object_get(cred, "networks"));
	put_limit(t, "a minute", cred, "per_minute");
	put_limit(t, "a day", cred, "per_day");
	put_limit(t, "today", cred, "today");
	put_limit(t, "recipients", cred, "recipients_max");
	put_limit(t, "messages", cred, "messages");
	text_add(t, ROLE_TEXT, STR(""));
	text_add(t, ROLE_HEADING, STR("Secrets"));
	json_array_foreach(json_object_get(cred, "secrets"), i, one) put_secret(t, one, now_ms);
	text_add(t, ROLE_TEXT, STR(""));
	text_add(t, ROLE_HEADING,
		 ji(cred, "stragglers") > 0
			 ? STR("Used by (! with an old secret, and not with the newest since)")
			 : STR("Used by"));
	if (json_array_size(users) == 0)
		text_add(t, ROLE_DIM, STR("nobody so far"));
	json_array_foreach(users, i, one) put_user(t, one, now_ms);
}

static void access_enter(struct listing *l, const json_t *row)
{
	if (listing_page(l, js(row, "name")) != NULL)
		listing_ask(l, M_CRED_SHOW, json_pack("{s:s}", "name", js(row, "name")), put_cred);
}

/* --- the list --------------------------------------------------------------------------------- */

static void access_foot(const struct listing *l, const json_t *row, struct buf *out)
{
	long long n = (long long)ji(row, "stragglers");

	(void)l;
	if (n > 0)
		(void)buf_printf(out,
				 "%lld client%s of %s still use%s an old secret: Enter names them",
				 n, n == 1 ? "" : "s", js(row, "name"), n == 1 ? "s" : "");
	else if (js_has(row, "note"))
		(void)buf_puts(out, js(row, "note"));
}

static bool access_where(const struct listing *l, const json_t *row, struct buf *out)
{
	(void)l;
	filter_term(out, "credential", js(row, "name"));
	return true;
}

static const struct cell_measure measures[] = {
	{ "name", 16, 40, 0 },	      { "stragglers", 10, 0, 1 },   { "note", 16, 60, 4 },
	{ "last_used_at", 17, 0, 2 }, { "last_client", 15, 39, 3 }, { .name = NULL },
};

static const struct listing_def def = {
	.method = "cred.list",
	.entity = "cred",
	.key = "name",
	.empty = "no credentials; A makes one. Tab: the allowlist",
	.moved = RELAY_CREDS,
	.whole = true,
	.where = access_where,
	.enter = access_enter,
	.foot = access_foot,
	.measures = measures,
};

static int access_open(struct view *v, const char *arg, struct err *err)
{
	struct access_view *a = view_state(v);

	(void)arg;
	(void)err;
	listing_open(&a->list, v, &def, "");
	return 0;
}

static void access_close(struct view *v)
{
	struct access_view *a = view_state(v);

	json_decref(a->chosen);
	listing_close(v);
}

/* --- what is done to one ---------------------------------------------------------------------- */

enum step { STEP_BOUNDS = 1, STEP_ROTATE, STEP_RETIRE, STEP_SWITCH, STEP_REVOKE, STEP_INCIDENT };

static json_t *named(const json_t *row)
{
	return json_pack("{s:s}", "name", js(row, "name"));
}

/* The oldest secret that is good. */
static json_t *retirement_of(const json_t *row)
{
	json_t *given = named(row);
	const json_t *s;
	size_t i;

	json_array_foreach(json_object_get(row, "secrets"), i, s)
	{
		if (strcmp(js(s, "state"), "old") != 0)
			continue;
		(void)json_object_set_new(given, "secret", json_string(js(s, "id")));
		break;
	}
	return given;
}

static bool is_disabled(const json_t *row)
{
	return strcmp(js(row, "status"), "disabled") == 0;
}

static void on_step(void *arg, uint64_t id)
{
	struct view *v = arg;
	struct access_view *a = view_state(v);
	struct acts *acts = listing_app(&a->list)->acts;
	const json_t *row = a->chosen;

	if (row == NULL)
		return;
	switch ((enum step)id) {
	case STEP_BOUNDS:
		act_edit(acts, M_CRED_SET, act_settings(M_CRED_SET, row), a->chosen_version);
		return;
	case STEP_ROTATE:
		act_form(acts, M_CRED_ROTATE, named(row));
		return;
	case STEP_RETIRE:
		act_form(acts, M_CRED_RETIRE, retirement_of(row));
		return;
	case STEP_SWITCH:
		act_form(acts, is_disabled(row) ? M_CRED_ENABLE : M_CRED_DISABLE, named(row));
		return;
	case STEP_REVOKE:
		act_form(acts, M_CRED_REVOKE, named(row));
		return;
	case STEP_INCIDENT:
		act_plan(acts, M_CRED_INCIDENT, named(row));
		return;
	}
}

static void ask_step(struct view *v, const json_t *row, bool end)
{
	const struct menu_item edits[] = {
		{ .id = STEP_BOUNDS, .key = 'b', .title = "bounds", .help = "what it may" },
		{ .id = STEP_ROTATE,
		  .key = 'r',
		  .title = "rotate",
		  .help = "a new secret beside the old one" },
		{ .id = STEP_RETIRE,
		  .key = 't',
		  .title = "retire",
		  .help = "end an old secret now" },
		{ .id = STEP_SWITCH,
		  .key = 'd',
		  .title = is_disabled(row) ? "enable" : "disable",
		  .help = is_disabled(row) ? "let it be used again" : "until it is enabled again" },
	};
	static const struct menu_item ends[] = {
		{ .id = STEP_INCIDENT,
		  .key = 'i',
		  .title = "incident",
		  .help = "it leaked: revoke it, end its sessions, hold its mail" },
		{ .id = STEP_REVOKE,
		  .key = 'r',
		  .title = "revoke",
		  .help = "end it and its sessions; its mail goes on" },
	};
	struct access_view *a = view_state(v);

	json_decref(a->chosen);
	a->chosen = json_deep_copy(row);
	a->chosen_version = listing_version(&a->list);
	(void)shell_menu(view_shell(v),
			 &(struct shell_menu){ .owner = v,
					       .title = js(a->chosen, "name"),
					       .items = end ? ends : edits,
					       .n = end ? (int)(sizeof(ends) / sizeof(ends[0]))
							: (int)(sizeof(edits) / sizeof(edits[0])),
					       .done = on_step,
					       .arg = v });
}

static void access_action(struct view *v, enum action_id id)
{
	struct access_view *a = view_state(v);
	const json_t *row = listing_row(&a->list);

	if (id == A_ADD)
		act_form(listing_app(&a->list)->acts, M_CRED_ADD, NULL);
	else if ((id == A_EDIT || id == A_DELETE) && row != NULL)
		ask_step(v, row, id == A_DELETE);
	else
		(void)listing_action(&a->list, id);
}

static const enum action_id actions[] = {
	A_ADD,	A_EDIT, A_DELETE, A_RELATED, A_TAIL, A_DESCRIBE,
	A_WIDE, A_COPY, A_SAVE,	  A_REFRESH, A_NONE,
};

static const struct view_verb verbs[] = {
	{ .action = A_ADD, .method = M_CRED_ADD },
	{ .action = A_EDIT, .help = "Change what it may, or its secrets; disable or enable it." },
	{ .action = A_DELETE,
	  .method = M_CRED_REVOKE,
	  .help = "End it: revoke it, or treat it as leaked." },
	{ .action = A_NONE },
};

const struct view_def view_access = {
	.name = "access",
	.also = "credentials creds",
	.title = "Access",
	.beside = "allow",
	.help = "The credentials. Enter shows what one may, its secrets and who uses them; E edits "
		"it or its secrets, D ends it. Tab: the allowlist.",
	.slot = 7,
	.size = sizeof(struct access_view),
	.actions = actions,
	.verbs = verbs,
	.open = access_open,
	.close = access_close,
	.action = access_action,
	.nav = listing_nav,
	LISTING_PARTS,
};
