/*
 * act - each plan, form or call under way is one struct act in a list; windows and answers find it
 * again, because it is freed only after its window is closed and its calls are answered or
 * cancelled. A commit on its way is never cancelled: its answer becomes a notice even when the
 * window was left.
 *
 *	plan:	PLANNING -> READY -> COMMITTING -> freed (done) or READY again (refused)
 *	form:	FILLING -> PLANNING -> a plan, or FILLING again (refused)
 *
 * What has no plan of the relay's is READY at once.
 *
 * Nothing is sent while the link is lost. A commit that was left and whose link then breaks is not
 * sent again: acts_unlinked().
 */
#include "view/act_int.h"

#include <bsd/string.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/fmt.h"
#include "base/mem.h"
#include "base/obj.h"
#include "base/utf8.h"
#include "view/cells.h"

#define ROWS_AT_ONCE 200
#define TARGET_SHOWN 60	   /* bytes of it in a notice */
#define WARNINGS_TOLD 2000 /* bytes of all of them; a notice takes what it has room for */

struct acts *acts_new(struct app *app)
{
	struct acts *a = xcalloc(1, sizeof(*a));

	a->app = app;
	LIST_INIT(&a->all);
	return a;
}

/* As titles and notices name it; owned. */
static char *target_of(const json_t *params)
{
	static const char *const names[] = { "target",	"hold",	  "name",    "id",
					     "network", "domain", "address", "to" };

	for (size_t i = 0; i < ARRAY_LEN(names); i++)
		if (js_has(params, names[i]))
			return xstrdup(js(params, names[i]));
	if (js_has(params, "version"))
		return xasprintf("version %lld", (long long)ji(params, "version"));
	return xstrdup("");
}

static void act_forget(struct act *a);

void act_take_params(struct act *a, json_t *params)
{
	json_decref(a->params);
	a->params = params;
	free(a->target);
	a->target = target_of(params);
}

char *act_window_title(const struct act *a)
{
	AUTO_FREE char *verb = act_verb(a->method);

	return xasprintf("%s%s%s", verb, *a->target != '\0' ? " " : "", a->target);
}

struct act *act_new(struct acts *acts, enum method_id method, json_t *params)
{
	struct act *a = xcalloc(1, sizeof(*a));

	a->magic = ACT_MAGIC;
	a->acts = acts;
	a->method = method;
	a->params = params != NULL ? params : json_object();
	a->target = target_of(a->params);
	if (js_has(a->params, "reason")) { /* belongs to the commit */
		a->reason = xstrdup(js(a->params, "reason"));
		(void)json_object_del(a->params, "reason");
	}
	LIST_INSERT_HEAD(&acts->all, a, link);
	return a;
}

void act_free(struct act **ap)
{
	struct act *a = *ap;

	rpc_cancel(a->acts->app->rpc, &a->call);
	LIST_REMOVE(a, link);
	json_decref(a->params);
	json_decref(a->given);
	for (int i = 0; i < a->n_texts; i++)
		free(a->texts[i]);
	free(a->target);
	free(a->plan);
	free(a->reason);
	free(a->command);
	a->magic = 0;
	free(a);
	*ap = NULL;
}

void acts_free(struct acts **ap)
{
	struct acts *a = *ap;

	if (a == NULL)
		return;
	while (!LIST_EMPTY(&a->all)) {
		struct act *first = LIST_FIRST(&a->all);

		act_free(&first);
	}
	secret_done(&a->shown);
	free(a);
	*ap = NULL;
}

/* Whoever left a commit is not to be surprised by it when the relay is back. */
void acts_unlinked(struct acts *acts)
{
	struct act *a = LIST_FIRST(&acts->all);

	while (a != NULL) {
		struct act *next = LIST_NEXT(a, link);

		if (a->committing && a->left)
			act_forget(a);
		if (a->left)
			act_free(&a);
		a = next;
	}
}

int act_linked(const struct acts *acts, struct err *err)
{
	if (shell_status(acts->app->shell)->link == LINK_UP)
		return 0;
	return err_set(err, ERR_CLOSED, "the relay is not connected: nothing was sent");
}

char *act_keep(struct act *a, char *text)
{
	ASSERT(a->n_texts < (int)ARRAY_LEN(a->texts));
	a->texts[a->n_texts++] = text;
	return text;
}

static struct shell *shell_of(const struct act *a)
{
	return a->acts->app->shell;
}

static uint64_t call(struct act *a, const char *method, json_t *params, rpc_answer_fn *fn)
{
	return rpc_call(a->acts->app->rpc, method, params, fn, a);
}

/* It was on its way when the link broke. */
static void act_forget(struct act *a)
{
	rpc_cancel(a->acts->app->rpc, &a->call);
	shell_notice(shell_of(a), NOTICE_WARN,
		     "%s is not sent again; whether it was done before the link broke, z says",
		     a->command != NULL ? a->command : method_defs[a->method].name);
}

/* "Hold", from the verb of the command line. */
char *act_verb(enum method_id method)
{
	char *verb = xstrdup(method_defs[method].cli != NULL ? method_defs[method].cli : "Do");

	if (verb[0] >= 'a' && verb[0] <= 'z')
		verb[0] = (char)(verb[0] - 'a' + 'A');
	if (method == M_QUEUE_RETRY) {
		free(verb);
		verb = xstrdup("Retry now");
	}
	return verb;
}

/* --- what came of it --- */

/* All of it, or its beginning and an ellipsis. */
static void put_cut(struct buf *out, struct str text, size_t max)
{
	size_t n = 0;

	if (text.n <= max) {
		(void)buf_put_str(out, text);
		return;
	}
	for (;;) {
		uint32_t cp;
		size_t one = utf8_decode(str_from(text.p + n, text.n - n), &cp);

		if (n + one > max)
			break;
		n += one;
	}
	(void)buf_printf(out, "%.*s…", (int)n, text.p);
}

/* "; careful: …" for each: behind what is done, which a notice is never to lose for them. */
static void put_warnings(struct buf *out, const json_t *warnings)
{
	const json_t *one;
	size_t i;

	json_array_foreach(warnings, i, one) if (json_is_string(one))(void)
		buf_printf(out, "; careful: %s", json_string_value(one));
}

static enum notice_level level_of(const json_t *warnings)
{
	return json_array_size(warnings) > 0 ? NOTICE_WARN : NOTICE_INFO;
}

static void report(struct act *a, const json_t *result)
{
	char count[FMT_TIME_LEN], skipped[FMT_TIME_LEN];
	AUTO_FREE char *verb = act_verb(a->method);
	const json_t *undo = json_object_get(result, "undo_until_at");
	const json_t *warnings = json_object_get(result, "warnings");
	AUTO_BUF text = BUF_INIT(400 + WARNINGS_TOLD);

	fmt_count((uint64_t)ji(result, "recipients"), count);
	fmt_count((uint64_t)ji(result, "skipped"), skipped);
	(void)buf_printf(&text, "%s%s", verb, *a->target != '\0' ? " " : "");
	put_cut(&text, str_of(a->target), TARGET_SHOWN);
	(void)buf_puts(&text, ": ");
	if ((method_defs[a->method].flags & MF_EDIT) != 0)
		(void)buf_puts(&text, "done");
	else
		(void)buf_printf(&text, "%s recipients", count);
	if (ji(result, "skipped") > 0)
		(void)buf_printf(&text, ", %s in delivery or gone", skipped);
	if (json_is_string(undo))
		(void)buf_printf(&text, "; z takes it back until %.8sZ",
				 strlen(json_string_value(undo)) > 19 ? json_string_value(undo) + 11
								      : json_string_value(undo));
	put_warnings(&text, warnings);
	shell_notice(shell_of(a), level_of(warnings), "%s", buf_cstr(&text));
	shell_log_command(shell_of(a),
			  a->command != NULL ? a->command : method_defs[a->method].name,
			  buf_cstr(&text));
	relay_refresh(a->acts->app->relay);
}

/* The same as a command line, for what is done without a plan that would bring it; what a file
 * would have is not repeated. */
static char *command_of(enum method_id method, const json_t *params)
{
	const struct method_def *m = &method_defs[method];
	json_t *shown = json_copy((json_t *)(uintptr_t)params);
	struct buf out = BUF_INIT(8192);

	for (size_t i = 0; i < PROTO_PARAMS_MAX && m->params[i].name != NULL; i++)
		if (m->params[i].type == T_FILE)
			(void)json_object_del(shown, m->params[i].name);
	proto_put_command(&out, m, shown);
	json_decref(shown);
	return buf_take(&out);
}

/* --- the plan dialog --- */

static void put_counts(struct text *t, const char *label, const json_t *counts)
{
	AUTO_BUF line = BUF_INIT(2048);
	const char *name;
	json_t *v;

	json_object_foreach((json_t *)(uintptr_t)counts, name, v)
	{
		char n[FMT_TIME_LEN];

		if (json_integer_value(v) == 0)
			continue;
		fmt_count((uint64_t)json_integer_value(v), n);
		(void)buf_printf(&line, "%s%s %s", line.n > 0 ? ", " : "", name, n);
	}
	if (line.n > 0)
		text_add_field(t, 12, label, ROLE_TEXT, buf_str(&line));
}

static void put_row(struct text *t, const json_t *row)
{
	char age[FMT_SHORT_LEN];

	fmt_age(ji(row, "age_s"), age);
	text_addf(t, ROLE_TEXT, "  %-10s %-8s %6s  %s > %s", js(row, "id"), js(row, "state"), age,
		  *js(row, "from") != '\0' ? js(row, "from") : "<>", js(row, "to"));
}

static void put_ends(const struct act *a, struct text *t, const json_t *plan)
{
	char undo[FMT_SHORT_LEN];

	fmt_age(ji(plan, "undo_window_s"), undo);
	if (js_has(plan, "undo_window_s") && ji(plan, "undo_window_s") > 0)
		text_add_field(t, 12, "undo", ROLE_TEXT, str_of(undo));
	else
		text_add_field(t, 12, "undo", ROLE_BAD, STR("cannot be taken back"));
	text_add_field(t, 12, "command", ROLE_CODE, str_of(a->command));
}

static void put_end_of_hold(const struct act *a, struct text *t)
{
	char after[FMT_SHORT_LEN];
	AUTO_BUF line = BUF_INIT(200);

	if (a->method != M_QUEUE_HOLD)
		return;
	fmt_age(ji(a->params, "for_s"), after);
	if (ji(a->params, "for_s") > 0)
		(void)buf_printf(&line, "by itself after %s", after);
	else
		(void)buf_puts(&line, "when it is released; Change sets a time");
	text_add_field(t, 12, "ends", ROLE_TEXT, buf_str(&line));
}

static void put_plan(struct act *a, struct text *t, const json_t *plan)
{
	char messages[FMT_TIME_LEN], recipients[FMT_TIME_LEN], active[FMT_TIME_LEN];
	char oldest[FMT_SHORT_LEN], newest[FMT_SHORT_LEN];
	AUTO_BUF ages = BUF_INIT(100);
	const json_t *effect;
	size_t i;

	if (json_is_array(json_object_get(plan, "changes"))) {
		act_put_edit(t, plan);
		put_ends(a, t, plan);
		return;
	}

	fmt_count((uint64_t)ji(plan, "messages"), messages);
	fmt_count((uint64_t)ji(plan, "recipients"), recipients);
	fmt_count((uint64_t)ji(plan, "in_delivery"), active);
	fmt_age(ji(plan, "oldest_age_s"), oldest);
	fmt_age(ji(plan, "newest_age_s"), newest);
	text_addf(t, ROLE_STRONG, "%s recipients of %s messages", recipients, messages);
	json_array_foreach(json_object_get(plan, "effects"), i, effect) text_add_field(
		t, 12, i == 0 ? "also" : "", ROLE_TEXT, str_of(json_string_value(effect)));
	act_put_warnings(t, plan);
	put_end_of_hold(a, t);
	if (ji(plan, "in_delivery") > 0)
		text_addf(t, ROLE_WARN, "%s more are in delivery this moment: not touched", active);
	put_counts(t, "states", json_object_get(plan, "by_state"));
	put_counts(t, "domains", json_object_get(plan, "by_domain"));
	put_counts(t, "streams", json_object_get(plan, "by_stream"));
	if (js_has(plan, "oldest_age_s")) {
		(void)buf_printf(&ages, "oldest %s, newest %s", oldest, newest);
		text_add_field(t, 12, "age", ROLE_TEXT, buf_str(&ages));
	}
	put_ends(a, t, plan);
	if (a->recipients > 0)
		text_add(t, ROLE_HEADING, STR("What it touches"));
}

static void on_rows(void *arg, const json_t *result, const struct err *err);

static void ask_rows(struct act *a, const char *cursor)
{
	json_t *params = json_pack("{s:s, s:i}", "plan", a->plan, "limit", ROWS_AT_ONCE);

	if (cursor != NULL)
		(void)json_object_set_new(params, "cursor", json_string(cursor));
	a->call = call(a, "plan.rows", params, on_rows);
}

static void on_rows(void *arg, const json_t *result, const struct err *err)
{
	struct act *a = OBJ(act, ACT_MAGIC, arg);
	struct text *t = shell_plan_body(shell_of(a), a->overlay);
	const char *next = json_string_value(json_object_get(result, "next"));
	size_t i;
	json_t *row;

	a->call = 0;
	if (t == NULL)
		return;
	if (result == NULL)
		text_addf(t, ROLE_BAD, "  the rest could not be listed: %s", err->msg);
	json_array_foreach(json_object_get(result, "rows"), i, row)
	{
		put_row(t, row);
		a->listed++;
	}
	if (next != NULL && a->listed >= ACT_ROWS_MAX)
		text_addf(t, ROLE_DIM, "  and %lld more, like the first %d",
			  (long long)(a->recipients - a->listed), ACT_ROWS_MAX);
	else if (next != NULL)
		ask_rows(a, next);
	shell_dirty(shell_of(a), SHELL_RELAYOUT | SHELL_REPAINT);
}

static void on_planned(void *arg, const json_t *plan, const struct err *err)
{
	struct act *a = OBJ(act, ACT_MAGIC, arg);
	struct text *t = shell_plan_body(shell_of(a), a->overlay);

	a->call = 0;
	if (a->left) {
		act_left(a, plan);
		return;
	}
	if (t == NULL)
		return;
	if (plan == NULL) {
		struct overlay_id overlay = a->overlay;
		struct shell *s = shell_of(a);

		shell_notice_err(s, "No plan", err);
		a->overlay.v = 0;
		act_free(&a);
		shell_overlay_done(s, overlay);
		return;
	}
	a->plan = xstrdup(js(plan, "plan"));
	free(a->command);
	a->command = xstrdup(js(plan, "command"));
	a->recipients = ji(plan, "recipients");
	text_clear(t);
	put_plan(a, t, plan);
	if (a->recipients > 0)
		ask_rows(a, NULL);
	shell_plan_ready(shell_of(a), a->overlay,
			 a->recipients > ACT_TYPE_COUNT && !a->now ? (uint64_t)a->recipients : 0);
	if (a->now)
		shell_plan_commit(shell_of(a), a->overlay);
}

static void on_committed(void *arg, const json_t *result, const struct err *err)
{
	struct act *a = OBJ(act, ACT_MAGIC, arg);
	struct shell *s = shell_of(a);
	struct overlay_id overlay = a->overlay;

	a->call = 0;
	a->committing = false;
	if (result == NULL && !a->left) {
		shell_overlay_error(s, overlay, err);
		return;
	}
	if (result == NULL)
		shell_notice_err(s, a->command, err);
	else
		report(a, result);
	if (!a->left) {
		a->overlay.v = 0;
		shell_overlay_done(s, overlay);
	}
	if (result != NULL)
		act_show_told(a->acts, result);
	act_free(&a);
}

static void on_nothing(void *arg, const json_t *result, const struct err *err)
{
	(void)arg;
	(void)result;
	(void)err;
}

static void drop(struct act *a)
{
	if (a->plan != NULL)
		(void)rpc_call(a->acts->app->rpc, "plan.drop", json_pack("{s:s}", "plan", a->plan),
			       on_nothing, NULL);
}

static void commit_now(struct act *a, struct overlay_id id, struct str reason)
{
	json_t *why = reason.n > 0 ? json_stringn(reason.p, reason.n) : NULL;
	struct err err = ERR_INIT;

	if (act_linked(a->acts, &err) < 0) {
		json_decref(why);
		shell_overlay_error(shell_of(a), id, &err);
		return;
	}
	rpc_cancel(a->acts->app->rpc, &a->call);
	a->committing = true;
	if (a->plan != NULL) {
		json_t *params = json_pack("{s:s}", "plan", a->plan);

		if (why != NULL)
			(void)json_object_set_new(params, "reason", why);
		a->call = call(a, "plan.commit", params, on_committed);
		return;
	}
	if (why != NULL)
		(void)json_object_set_new(a->params, "reason", why);
	else
		(void)json_object_del(a->params, "reason");
	act_send(a);
}

void act_left(struct act *a, const json_t *plan)
{
	if (plan != NULL)
		a->plan = xstrdup(js(plan, "plan"));
	drop(a);
	act_free(&a);
}

void act_leave(struct act *a)
{
	bool planning = a->call != 0 && a->plan == NULL && !a->committing &&
			(method_defs[a->method].flags & MF_PLAN) != 0;

	a->left = true;
	if (!planning)
		act_left(a, NULL);
}

/* Back to what it was made from, to be planned once more. */
static void on_change(void *arg, struct str reason)
{
	struct act *a = OBJ(act, ACT_MAGIC, arg);
	json_t *params = json_deep_copy(a->params);

	if (reason.n > 0)
		(void)json_object_set_new(params, "reason", json_stringn(reason.p, reason.n));
	act_form_again(a->acts, a->method, params, a->given != NULL ? json_incref(a->given) : NULL);
	act_leave(a);
}

static void on_plan_decided(void *arg, struct overlay_id id, bool commit, struct str reason)
{
	struct act *a = OBJ(act, ACT_MAGIC, arg);

	if (commit && !a->committing) {
		commit_now(a, id, reason);
		return;
	}
	a->left = true;
	if (a->committing && act_linked(a->acts, NULL) >= 0) {
		shell_notice(shell_of(a), NOTICE_WARN, "%s was sent; what came of it is told here",
			     a->command != NULL ? a->command : method_defs[a->method].name);
		return;
	}
	if (a->committing) {
		act_forget(a);
		act_left(a, NULL);
	} else {
		act_leave(a);
	}
}

static bool open_window(struct act *a)
{
	AUTO_FREE char *title = act_window_title(a);
	const char *buttons[] = {
		[M_QUEUE_HOLD] = "Hold",       [M_QUEUE_RELEASE] = "Release",
		[M_QUEUE_RETRY] = "Retry now", [M_QUEUE_BOUNCE] = "Bounce",
		[M_QUEUE_DELETE] = "Delete",   [M_CRED_INCIDENT] = "Revoke and hold"
	};
	const char *button = (size_t)a->method < ARRAY_LEN(buttons) ? buttons[a->method] : NULL;

	a->overlay = shell_plan(
		shell_of(a), &(struct shell_plan){ .title = title,
						   .verb = button != NULL ? button : "Commit",
						   .reason_needed = (method_defs[a->method].flags &
								     MF_REASON) != 0,
						   .reason = a->reason,
						   .done = on_plan_decided,
						   .change = act_has_form(a) ? on_change : NULL,
						   .arg = a });
	return a->overlay.v != 0;
}

void act_planned(struct act *a, const json_t *plan)
{
	if (open_window(a))
		on_planned(a, plan, NULL);
	else
		act_free(&a);
}

void act_ask(struct act *a)
{
	struct text *t;

	if (!open_window(a)) {
		act_free(&a);
		return;
	}
	t = shell_plan_body(shell_of(a), a->overlay);
	free(a->command);
	a->command = command_of(a->method, a->params);
	text_add(t, ROLE_STRONG, str_of(method_defs[a->method].summary));
	text_add_field(t, 12, "command", ROLE_CODE, str_of(a->command));
	shell_plan_ready(shell_of(a), a->overlay, 0);
}

static void plan_open(struct act *a)
{
	struct err err = ERR_INIT;

	if (act_linked(a->acts, &err) < 0) {
		shell_notice_err(shell_of(a), "No plan", &err);
		act_free(&a);
		return;
	}
	if ((method_defs[a->method].flags & MF_PLAN) == 0) {
		act_ask(a);
		return;
	}
	if (!open_window(a)) {
		act_free(&a);
		return;
	}
	a->call = call(
		a, "plan.make",
		json_pack("{s:s, s:O}", "method", method_defs[a->method].name, "params", a->params),
		on_planned);
}

void act_plan(struct acts *acts, enum method_id method, json_t *params)
{
	plan_open(act_new(acts, method, params));
}

void act_plan_now(struct acts *acts, enum method_id method, json_t *params)
{
	struct act *a = act_new(acts, method, params);

	a->now = true;
	plan_open(a);
}

/* --- without a plan --- */

static void notice_done(struct shell *s, const char *command, const json_t *warnings)
{
	AUTO_BUF text = BUF_INIT(400 + WARNINGS_TOLD);

	put_cut(&text, str_of(command), json_array_size(warnings) > 0 ? TARGET_SHOWN : 400);
	put_warnings(&text, warnings);
	shell_notice(s, level_of(warnings), "Done: %s", buf_cstr(&text));
}

static void on_called(void *arg, const json_t *result, const struct err *err)
{
	struct act *a = OBJ(act, ACT_MAGIC, arg);
	struct shell *s = shell_of(a);
	struct overlay_id overlay = a->overlay;

	a->call = 0;
	a->committing = false;
	if (result == NULL && overlay.v != 0 && !a->left) {
		shell_overlay_error(s, overlay, err);
		return;
	}
	if (result == NULL) {
		shell_notice_err(s, a->command != NULL ? a->command : method_defs[a->method].name,
				 err);
	} else {
		free(a->command);
		a->command = command_of(a->method, a->params);
		notice_done(s, a->command, json_object_get(result, "warnings"));
		shell_log_command(s, a->command, "done");
		relay_refresh(a->acts->app->relay);
	}
	if (overlay.v != 0 && !a->left) {
		a->left = true;
		shell_overlay_done(s, overlay);
	}
	if (result != NULL)
		act_show_told(a->acts, result);
	act_free(&a);
}

void act_send(struct act *a)
{
	a->committing = true;
	a->call = call(a, method_defs[a->method].name, json_incref(a->params), on_called);
}

/* --- undo --- */

static void on_undo_decided(void *arg, bool yes)
{
	struct act *a = OBJ(act, ACT_MAGIC, arg);

	struct err err = ERR_INIT;

	if (yes && act_linked(a->acts, &err) < 0)
		shell_notice_err(shell_of(a), "Not taken back", &err);
	if (!yes || err.code != 0) {
		act_free(&a);
		return;
	}
	a->overlay.v = 0;
	a->committing = true;
	a->left = true; /* nothing stands on the screen for it */
	if (a->reason != NULL)
		(void)json_object_set_new(a->params, "reason", json_string(a->reason));
	a->command = command_of(a->method, a->params);
	a->call = call(a, "action.undo", json_incref(a->params), on_called);
}

void act_undo(struct acts *acts, const char *action, const char *what, const char *reason)
{
	struct act *a = act_new(acts, M_ACTION_UNDO,
				json_pack("{s:s, s:s*}", "action", action, "reason", reason));
	AUTO_FREE char *text =
		xasprintf("%s\nEverything it changed goes back to what it was.", what);

	a->overlay = shell_ask(acts->app->shell, &(struct shell_ask){ .title = "Take it back?",
								      .text = text,
								      .yes = "Undo",
								      .danger = true,
								      .done = on_undo_decided,
								      .arg = a });
	if (a->overlay.v == 0)
		act_free(&a);
}

/* --- others with the same cause --- */

static void on_cause(void *arg, const json_t *result, const struct err *err)
{
	struct act *a = OBJ(act, ACT_MAGIC, arg);
	const json_t *row = json_array_get(json_object_get(result, "rows"), 0);

	a->call = 0;
	if (result == NULL)
		shell_notice(shell_of(a), NOTICE_BAD, "%s", err->msg);
	else if (row == NULL || *js(row, "where") == '\0')
		shell_notice(shell_of(a), NOTICE_INFO, "no reply keeps it waiting");
	else
		(void)shell_open(shell_of(a), "messages", js(row, "where"));
	act_free(&a);
}

void act_same_cause(struct acts *acts, const char *id)
{
	struct act *a = act_new(acts, M_CAUSE_LIST, NULL);

	a->call = call(a, "cause.list",
		       json_pack("{s:o, s:i}", "where", json_sprintf("id:%s", id), "limit", 1),
		       on_cause);
}
