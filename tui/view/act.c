/*
 * act - each plan, form or call under way is one struct act in a list; windows and answers find it
 * again, because it is freed only after its window is closed and its calls are answered or
 * cancelled. A commit on its way is never cancelled: its answer becomes a notice even when the
 * window was left.
 *
 *	plan:	PLANNING -> READY -> COMMITTING -> freed (done) or READY again (refused)
 *	form:	FILLING -> CALLING -> freed (done) or FILLING again (refused), or becomes a plan
 */
#include "view/act.h"

#include <bsd/string.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>

#include "base/fmt.h"
#include "base/mem.h"
#include "base/obj.h"
#include "base/secret.h"
#include "shell/shell.h"
#include "view/cells.h"

#define ACT_MAGIC 0x41637431u
#define ROWS_AT_ONCE 200

struct act {
	uint32_t magic;
	LIST_ENTRY(act) link;
	struct acts *acts;
	enum method_id method;
	json_t *params;
	char *target; /* as it is named in titles and notices */
	char *plan;
	char *command;
	uint64_t call;
	struct overlay_id overlay;
	bool committing;
	bool left; /* the window is closed */
	int64_t recipients;
	int64_t listed;
	struct form_field fields[PROTO_PARAMS_MAX + 3]; /* reason, probation, end */
	char *texts[3 * (PROTO_PARAMS_MAX + 3)];	/* titles and values the fields borrow */
	int n_texts;
	const char *choices[PROTO_PARAMS_MAX][12];
};

struct acts {
	struct app *app;
	struct secret shown; /* in a window now */
	LIST_HEAD(, act) all;
};

struct acts *acts_new(struct app *app)
{
	struct acts *a = xcalloc(1, sizeof(*a));

	a->app = app;
	LIST_INIT(&a->all);
	return a;
}

static struct act *act_new(struct acts *acts, enum method_id method, json_t *params)
{
	struct act *a = xcalloc(1, sizeof(*a));
	const char *target;

	a->magic = ACT_MAGIC;
	a->acts = acts;
	a->method = method;
	a->params = params != NULL ? params : json_object();
	target = js_has(a->params, "target") ? js(a->params, "target") : js(a->params, "hold");
	if (*target == '\0')
		target = js(a->params, "name");
	a->target = xstrdup(target);
	LIST_INSERT_HEAD(&acts->all, a, link);
	return a;
}

static void act_free(struct act **ap)
{
	struct act *a = *ap;

	rpc_cancel(a->acts->app->rpc, &a->call);
	LIST_REMOVE(a, link);
	json_decref(a->params);
	for (int i = 0; i < a->n_texts; i++)
		free(a->texts[i]);
	free(a->target);
	free(a->plan);
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

static struct shell *shell_of(const struct act *a)
{
	return a->acts->app->shell;
}

static uint64_t call(struct act *a, const char *method, json_t *params, rpc_answer_fn *fn)
{
	return rpc_call(a->acts->app->rpc, method, params, fn, a);
}

/* "Hold", from the verb of the command line. */
static char *verb_of(enum method_id method)
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

static void report(struct act *a, const json_t *result)
{
	char count[FMT_TIME_LEN], skipped[FMT_TIME_LEN];
	AUTO_FREE char *verb = verb_of(a->method);
	const json_t *undo = json_object_get(result, "undo_until_at");
	AUTO_BUF text = BUF_INIT(400);

	fmt_count((uint64_t)ji(result, "recipients"), count);
	fmt_count((uint64_t)ji(result, "skipped"), skipped);
	(void)buf_printf(&text, "%s %s: %s recipients", verb, a->target, count);
	if (ji(result, "skipped") > 0)
		(void)buf_printf(&text, ", %s in delivery or gone", skipped);
	if (json_is_string(undo))
		(void)buf_printf(&text, "; z takes it back until %.8sZ",
				 strlen(json_string_value(undo)) > 19 ? json_string_value(undo) + 11
								      : json_string_value(undo));
	shell_notice(shell_of(a), NOTICE_INFO, "%s", buf_cstr(&text));
	shell_log_command(shell_of(a),
			  a->command != NULL ? a->command : method_defs[a->method].name,
			  buf_cstr(&text));
	relay_refresh(a->acts->app->relay);
}

static void on_shown(void *arg, bool copy)
{
	struct acts *acts = arg;

	if (copy)
		shell_clipboard(acts->app->shell, str_from(acts->shown.p, acts->shown.n));
	secret_done(&acts->shown);
}

/* What the relay tells this once stays on the screen until it is sent away, and nowhere else. */
static void show_secret(struct acts *acts, const json_t *result)
{
	AUTO_BUF title = BUF_INIT(200);
	AUTO_BUF text = BUF_INIT(1000);

	if (!js_has(result, "secret"))
		return;
	secret_set(&acts->shown, str_of(js(result, "secret")));
	(void)buf_printf(&title, "The secret of %.80s", js(result, "name"));
	(void)buf_printf(&text, "%.*s\n\nIt is shown this once and kept nowhere.",
			 STR_ARG(str_from(acts->shown.p, acts->shown.n)));
	(void)shell_ask(acts->app->shell, &(struct shell_ask){ .title = buf_cstr(&title),
							       .text = buf_cstr(&text),
							       .yes = "Copy",
							       .done = on_shown,
							       .arg = acts });
	secret_wipe(text.p, text.n);
}

static void put_word(struct buf *out, const char *word)
{
	if (*word != '\0' && strspn(word, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
					  "0123456789._@/+=:,-") == strlen(word)) {
		(void)buf_puts(out, word);
		return;
	}
	(void)buf_putc(out, '\'');
	for (; *word != '\0'; word++) {
		if (*word == '\'')
			(void)buf_puts(out, "'\\''");
		else
			(void)buf_putc(out, *word);
	}
	(void)buf_putc(out, '\'');
}

/* As it stands on a command line; owned. */
static char *value_text(const json_t *v)
{
	AUTO_BUF list = BUF_INIT(8192);

	if (json_is_integer(v))
		return xasprintf("%lld", (long long)json_integer_value(v));
	if (json_is_string(v))
		return xstrdup(json_string_value(v));
	for (size_t i = 0; i < json_array_size(v); i++)
		(void)buf_printf(&list, "%s%s", i > 0 ? "," : "",
				 json_string_value(json_array_get(v, i)));
	return xstrdup(buf_cstr(&list));
}

/* The same as a command line, for what is done without a plan that would bring it. */
static char *command_of(enum method_id method, const json_t *params)
{
	const struct method_def *m = &method_defs[method];
	struct buf out = BUF_INIT(8192);
	const char *name;
	json_t *v;

	(void)buf_printf(&out, "weir %s", m->cli != NULL ? m->cli : m->name);
	json_object_foreach((json_t *)(uintptr_t)params, name, v)
	{
		const struct param_def *p = method_param(m, name);
		AUTO_FREE char *value = NULL;
		size_t n = strlen(name);

		if (p == NULL || p->type == T_FILE || strcmp(name, "request") == 0 ||
		    json_is_false(v))
			continue;
		if (n > 2 && strcmp(name + n - 2, "_s") == 0)
			n -= 2;
		if (!p->positional && p->option != NULL) {
			(void)buf_printf(&out, " --%s", p->option);
		} else if (!p->positional) {
			(void)buf_puts(&out, " --");
			for (size_t i = 0; i < n; i++)
				(void)buf_putc(&out, name[i] == '_' ? '-' : name[i]);
		}
		if (json_is_true(v))
			continue;
		(void)buf_putc(&out, ' ');
		value = value_text(v);
		put_word(&out, value);
	}
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

static void put_plan(struct act *a, struct text *t, const json_t *plan)
{
	char messages[FMT_TIME_LEN], recipients[FMT_TIME_LEN], active[FMT_TIME_LEN];
	char oldest[FMT_SHORT_LEN], newest[FMT_SHORT_LEN], undo[FMT_SHORT_LEN];
	AUTO_BUF ages = BUF_INIT(100);
	const json_t *effect;
	size_t i;

	fmt_count((uint64_t)ji(plan, "messages"), messages);
	fmt_count((uint64_t)ji(plan, "recipients"), recipients);
	fmt_count((uint64_t)ji(plan, "in_delivery"), active);
	fmt_age(ji(plan, "oldest_age_s"), oldest);
	fmt_age(ji(plan, "newest_age_s"), newest);
	fmt_age(ji(plan, "undo_window_s"), undo);
	text_addf(t, ROLE_STRONG, "%s recipients of %s messages", recipients, messages);
	json_array_foreach(json_object_get(plan, "effects"), i, effect) text_add_field(
		t, 12, i == 0 ? "also" : "", ROLE_TEXT, str_of(json_string_value(effect)));
	if (ji(plan, "in_delivery") > 0)
		text_addf(t, ROLE_WARN, "%s more are in delivery this moment: not touched", active);
	put_counts(t, "states", json_object_get(plan, "by_state"));
	put_counts(t, "domains", json_object_get(plan, "by_domain"));
	put_counts(t, "streams", json_object_get(plan, "by_stream"));
	if (js_has(plan, "oldest_age_s")) {
		(void)buf_printf(&ages, "oldest %s, newest %s", oldest, newest);
		text_add_field(t, 12, "age", ROLE_TEXT, buf_str(&ages));
	}
	if (js_has(plan, "undo_window_s") && ji(plan, "undo_window_s") > 0)
		text_add_field(t, 12, "undo", ROLE_TEXT, str_of(undo));
	else
		text_add_field(t, 12, "undo", ROLE_BAD, STR("cannot be taken back"));
	text_add_field(t, 12, "command", ROLE_CODE, str_of(a->command));
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
			 a->recipients > ACT_TYPE_COUNT ? (uint64_t)a->recipients : 0);
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
	act_free(&a);
}

static void on_nothing(void *arg, const json_t *result, const struct err *err)
{
	(void)arg;
	(void)result;
	(void)err;
}

static void on_plan_decided(void *arg, struct overlay_id id, bool commit, struct str reason)
{
	struct act *a = OBJ(act, ACT_MAGIC, arg);

	(void)id;
	if (commit && a->plan != NULL && !a->committing) {
		json_t *params = json_pack("{s:s}", "plan", a->plan);

		if (reason.n > 0)
			(void)json_object_set_new(params, "reason",
						  json_stringn(reason.p, reason.n));
		rpc_cancel(a->acts->app->rpc, &a->call);
		a->committing = true;
		a->call = call(a, "plan.commit", params, on_committed);
		return;
	}
	a->left = true;
	if (a->committing)
		return;
	if (a->plan != NULL)
		(void)rpc_call(a->acts->app->rpc, "plan.drop", json_pack("{s:s}", "plan", a->plan),
			       on_nothing, NULL);
	act_free(&a);
}

static void plan_open(struct act *a)
{
	AUTO_FREE char *verb = verb_of(a->method);
	AUTO_FREE char *title = xasprintf("%s %s", verb, a->target);
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
						   .done = on_plan_decided,
						   .arg = a });
	if (a->overlay.v == 0) {
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

/* --- without a plan --- */

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
		shell_notice_err(s, method_defs[a->method].name, err);
	} else {
		free(a->command);
		a->command = command_of(a->method, a->params);
		shell_notice(s, NOTICE_INFO, "Done: %s", a->command);
		shell_log_command(s, a->command, "done");
		relay_refresh(a->acts->app->relay);
	}
	if (overlay.v != 0 && !a->left) {
		a->left = true;
		shell_overlay_done(s, overlay);
	}
	if (result != NULL)
		show_secret(a->acts, result);
	act_free(&a);
}

void act_call(struct acts *acts, enum method_id method, json_t *params)
{
	struct act *a = act_new(acts, method, params);

	a->committing = true;
	a->call = call(a, method_defs[method].name, json_incref(a->params), on_called);
}

/* --- forms --- */

static enum form_kind kind_of(enum param_type type)
{
	switch (type) {
	case T_BOOL:
		return FORM_BOOL;
	case T_INT:
		return FORM_NUMBER;
	case T_AGE:
		return FORM_AGE;
	case T_ENUM:
		return FORM_CHOICE;
	case T_STRING:
	case T_TIME:
	case T_FILTER:
	case T_AUDIT_FILTER:
	case T_TARGET:
	case T_MSGID:
	case T_NETWORK:
	case T_ROUTE:
	case T_FILE:
	case T_CURSOR:
	case T_STRINGS:
	case T_OBJECT:
	case T__COUNT:
		return FORM_TEXT;
	}
	return FORM_TEXT;
}

static char *keep(struct act *a, char *text)
{
	ASSERT(a->n_texts < (int)ARRAY_LEN(a->texts));
	a->texts[a->n_texts++] = text;
	return text;
}

static char *title_of(const char *name)
{
	size_t n = strlen(name);
	char *title = xstrdup(name);

	if (n > 2 && strcmp(title + n - 2, "_s") == 0)
		title[n - 2] = '\0';
	for (char *c = title; *c != '\0'; c++)
		*c = *c == '_' ? ' ' : *c;
	return title;
}

/* Edits of the configuration are done from their form. */
static bool has_plan(const struct method_def *m)
{
	return (m->flags & (MF_PLAN | MF_EDIT)) == MF_PLAN;
}

/* With what is known of it already. */
static void begin_with(struct act *a, struct form_field *f)
{
	const json_t *given = json_object_get(a->params, f->name);

	if (json_is_string(given))
		f->initial = keep(a, xstrdup(json_string_value(given)));
	else if (json_is_integer(given))
		f->initial = keep(a, xasprintf("%lld", (long long)json_integer_value(given)));
	else if (json_array_size(given) > 0)
		f->initial = keep(a, value_text(given));
	else if (json_is_true(given))
		f->initial = "true";
}

/* What changes take besides their own parameters; a plan asks for the reason itself. */
static int add_implied(struct act *a, int n)
{
	const struct method_def *m = &method_defs[a->method];

	if ((m->flags & MF_PROBATION) != 0)
		a->fields[n++] = (struct form_field){ .name = "probation_s",
						      .title = "probation",
						      .help = method_param(m, "probation_s")->help,
						      .kind = FORM_AGE };
	if ((m->flags & MF_MUTATES) != 0 && !has_plan(m))
		a->fields[n++] = (struct form_field){ .name = "reason",
						      .title = "reason",
						      .help = "Why; it is kept in the audit log.",
						      .required = (m->flags & MF_REASON) != 0 };
	return n;
}

static int make_fields(struct act *a)
{
	const struct method_def *m = &method_defs[a->method];
	int n = 0;

	for (size_t k = 0; k < PROTO_PARAMS_MAX && m->params[k].name != NULL; k++) {
		const struct param_def *p = &m->params[k];
		struct form_field *f = &a->fields[n];

		if (p->type == T_FILE) /* no line of a form */
			continue;

		*f = (struct form_field){ .name = p->name,
					  .title = keep(a, title_of(p->name)),
					  .help = p->help,
					  .kind = kind_of(p->type),
					  .required = p->required };
		begin_with(a, f);
		if (p->type == T_FILTER || p->type == T_TARGET)
			f->complete = filter_prompt_complete;
		if (p->type == T_ENUM) {
			struct str rest = str_of(p->choices);

			for (size_t i = 0; rest.n > 0 && i + 1 < ARRAY_LEN(a->choices[n]); i++) {
				struct str word = str_cut(&rest, '|');

				a->choices[n][i] = keep(a, xstrndup(word.p, word.n));
			}
			f->choices = a->choices[n];
		}
		n++;
	}
	for (int i = n, end = add_implied(a, n); i < end; i++, n++)
		begin_with(a, &a->fields[i]);
	return n;
}

/* Text to the JSON a parameter takes. */
static int put_param(json_t *params, const struct param_def *p, struct str text, struct err *err)
{
	int64_t seconds = 0;
	uint64_t number = 0;
	json_t *v;

	if (text.n == 0)
		return 0;
	if (p->type == T_FILE)
		return err_param(err, ERR_INVALID, p->name,
				 "a file is read by the command line only: weir in a shell");
	if (p->type == T_BOOL) {
		if (!str_eq(text, STR("true")) && !str_eq(text, STR("yes")))
			return 0;
		v = json_true();
	} else if (p->type == T_STRINGS) {
		v = json_array();
		while (text.n > 0) {
			struct str one = str_trim(str_cut(&text, ','));
			if (one.n > 0)
				(void)json_array_append_new(v, json_stringn(one.p, one.n));
		}
	} else if (p->type == T_AGE) {
		if (!fmt_parse_age(text, &seconds))
			return err_param(err, ERR_INVALID, p->name,
					 "%.*s is not an age; 90s, 2h or 3d would be",
					 STR_ARG(text));
		v = json_integer(seconds);
	} else if (p->type == T_INT) {
		if (!str_u64(text, INT64_MAX, &number))
			return err_param(err, ERR_INVALID, p->name, "%.*s is not a number",
					 STR_ARG(text));
		v = json_integer((json_int_t)number);
	} else {
		v = json_stringn(text.p, text.n);
	}
	(void)json_object_set_new(params, p->name, v);
	return 0;
}

/* Nothing stands where something stood: it is to go. */
static void put_emptied(const struct method_def *m, json_t *params, const struct param_def *p,
			const json_t *given)
{
	bool texts = p->type == T_STRING || p->type == T_FILTER;
	json_t *gone = NULL;

	if (given == NULL || (json_is_array(given) && json_array_size(given) == 0) || p->required)
		return;
	if (method_param(m, "reset") != NULL)
		gone = json_string(p->name);
	else if (p->type == T_STRINGS || (p->type == T_INT && p->min == 0))
		gone = p->type == T_INT ? json_integer(0) : json_array();
	else if (texts && str_ends_nocase(str_of(m->name), STR(".set")))
		gone = json_string("");
	if (gone == NULL)
		return;
	if (method_param(m, "reset") == NULL)
		(void)json_object_set_new(params, p->name, gone);
	else if (json_object_get(params, "reset") != NULL)
		(void)json_array_append_new(json_object_get(params, "reset"), gone);
	else
		(void)json_object_set_new(params, "reset", json_pack("[o]", gone));
}

static int on_form(void *arg, const struct form *form, struct err *err)
{
	struct act *a = OBJ(act, ACT_MAGIC, arg);
	const struct method_def *m = &method_defs[a->method];
	json_t *params = json_object();
	int result = 0;

	for (int i = 0; result >= 0 && a->fields[i].name != NULL; i++) {
		const struct param_def *p = method_param(m, a->fields[i].name);
		struct str text = form_value(form, p->name);

		result = put_param(params, p, text, err);
		if (text.n == 0)
			put_emptied(m, params, p, json_object_get(a->params, p->name));
	}
	if (result >= 0 && !has_plan(m))
		result = method_check(m, params, err);
	if (result < 0) {
		json_decref(params);
		return result;
	}
	if (has_plan(m)) {
		act_plan(a->acts, a->method, params);
		act_free(&a);
		return 0;
	}
	json_decref(a->params);
	a->params = params;
	a->committing = true;
	a->call = call(a, m->name, json_incref(params), on_called);
	return SHELL_WAIT;
}

static void on_form_left(void *arg)
{
	struct act *a = OBJ(act, ACT_MAGIC, arg);

	a->left = true;
	if (!a->committing)
		act_free(&a);
}

void act_form(struct acts *acts, enum method_id method, json_t *given)
{
	struct act *a = act_new(acts, method, given);
	AUTO_FREE char *verb = verb_of(method);
	int n = make_fields(a);

	a->overlay = shell_form(acts->app->shell,
				&(struct shell_form){ .title = verb,
						      .text = method_defs[method].summary,
						      .fields = a->fields,
						      .n = n,
						      .danger = true,
						      .enter = on_form,
						      .cancel = on_form_left,
						      .arg = a });
	if (a->overlay.v == 0)
		act_free(&a);
}

/* --- undo --- */

static void on_undo_decided(void *arg, bool yes)
{
	struct act *a = OBJ(act, ACT_MAGIC, arg);

	if (!yes) {
		act_free(&a);
		return;
	}
	a->overlay.v = 0;
	a->committing = true;
	a->call = call(a, "action.undo", json_incref(a->params), on_called);
}

void act_undo(struct acts *acts, const char *action, const char *what)
{
	struct act *a = act_new(acts, M_ACTION_UNDO, json_pack("{s:s}", "action", action));
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

/* --- why --- */

static void on_why(void *arg, const json_t *result, const struct err *err)
{
	struct act *a = OBJ(act, ACT_MAGIC, arg);
	struct text *t = shell_page_body(shell_of(a), a->overlay);

	a->call = 0;
	if (t != NULL) {
		text_clear(t);
		if (result == NULL) {
			text_add(t, ROLE_BAD, str_of(err->msg));
		} else {
			json_t *rest = json_copy((json_t *)(uintptr_t)result);

			text_add(t, ROLE_STRONG, str_of(js(result, "text")));
			text_add(t, ROLE_TEXT, STR(""));
			(void)json_object_del(rest, "text"); /* stands above */
			cell_describe(t, "why", rest, shell_wall_ms(shell_of(a)),
				      shell_ascii(shell_of(a)));
			json_decref(rest);
		}
		shell_dirty(shell_of(a), SHELL_RELAYOUT | SHELL_REPAINT);
	}
	act_free(&a);
}

void act_why(struct acts *acts, const char *target)
{
	struct act *a = act_new(acts, M_WHY_GET, json_pack("{s:s}", "target", target));
	AUTO_FREE char *title = xasprintf("Why %s waits", target);

	a->overlay = shell_page(acts->app->shell, NULL, title);
	if (a->overlay.v == 0) {
		act_free(&a);
		return;
	}
	text_add(shell_page_body(acts->app->shell, a->overlay), ROLE_PENDING, STR("asking"));
	a->call = call(a, "why.get", json_incref(a->params), on_why);
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

/* --- the palette --- */

/* Cuts the next word off; quotes keep blanks. */
static bool next_word(struct str *rest, struct buf *word)
{
	char quote = '\0';

	buf_reset(word);
	*rest = str_trim(*rest);
	if (rest->n == 0)
		return false;
	while (rest->n > 0 && (quote != '\0' || *rest->p != ' ')) {
		if (quote == '\0' && *rest->p == '\'')
			quote = *rest->p;
		else if (quote != '\0' && *rest->p == quote)
			quote = '\0';
		else
			(void)buf_putc(word, *rest->p);
		rest->p++;
		rest->n--;
	}
	return true;
}

static enum method_id method_of_line(struct str *rest)
{
	enum method_id best = M__COUNT;
	size_t best_n = 0;

	for (int m = 0; m < M__COUNT; m++) {
		const char *const names[] = { method_defs[m].cli, method_defs[m].alias };

		for (size_t i = 0; i < ARRAY_LEN(names); i++) {
			struct str name = str_of(names[i]);

			if (names[i] != NULL && name.n > best_n && str_starts(*rest, name) &&
			    (rest->n == name.n || rest->p[name.n] == ' ')) {
				best = (enum method_id)m;
				best_n = name.n;
			}
		}
	}
	rest->p += best_n;
	rest->n -= best_n;
	return best;
}

static const struct param_def *option_of(const struct method_def *m, const char *option)
{
	for (int i = 0; i < PROTO_PARAMS_MAX && m->params[i].name != NULL; i++) {
		AUTO_FREE char *derived = title_of(m->params[i].name);

		for (char *c = derived; *c != '\0'; c++)
			*c = *c == ' ' ? '-' : *c;
		if (strcmp(m->params[i].option != NULL ? m->params[i].option : derived, option) ==
		    0)
			return &m->params[i];
	}
	if (strcmp(option, "probation") == 0)
		return method_param(m, "probation_s");
	return strcmp(option, "reason") == 0 ? method_param(m, option) : NULL;
}

static int parse_words(const struct method_def *m, struct str rest, json_t *params, struct err *err)
{
	AUTO_BUF word = BUF_INIT(PROMPT_MAX);
	int positional = 0, result = 0;

	while (result >= 0 && next_word(&rest, &word)) {
		const struct param_def *p;

		if (str_starts(buf_str(&word), STR("--"))) {
			p = option_of(m, buf_cstr(&word) + 2);
			if (p == NULL)
				return err_set(err, ERR_INVALID, "%s has no option %s", m->cli,
					       buf_cstr(&word));
			if (p->type == T_BOOL)
				(void)buf_puts((buf_reset(&word), &word), "true");
			else if (!next_word(&rest, &word))
				return err_set(err, ERR_INVALID, "--%s needs a value", p->name);
		} else {
			while (positional < PROTO_PARAMS_MAX &&
			       m->params[positional].name != NULL &&
			       !m->params[positional].positional)
				positional++;
			if (positional >= PROTO_PARAMS_MAX || m->params[positional].name == NULL)
				return err_set(err, ERR_INVALID, "%s takes no %s", m->cli,
					       buf_cstr(&word));
			p = &m->params[positional++];
		}
		result = put_param(params, p, buf_str(&word), err);
	}
	return result;
}

int act_command(struct acts *acts, struct str line, struct err *err)
{
	struct str rest = str_trim(line);
	enum method_id id;
	const struct method_def *m;
	json_t *params;
	int result;

	if (str_starts(rest, STR("weir ")))
		rest = str_trim(str_from(rest.p + 5, rest.n - 5));
	id = method_of_line(&rest);
	if (id == M__COUNT)
		return err_set(err, ERR_UNKNOWN, "no such action, screen or command: %.*s",
			       STR_ARG(line));
	m = &method_defs[id];
	if ((m->flags & MF_MUTATES) != 0 && acts->app->readonly)
		return err_set(err, ERR_DENIED, "the console was started with --readonly");
	if ((int)shell_status(acts->app->shell)->perm < (int)m->role - (int)ACCESS_VIEWER)
		return err_set(err, ERR_DENIED, "%s needs the role %s", m->cli,
			       access_name(m->role));
	params = json_object();
	result = parse_words(m, rest, params, err);
	if (result < 0) {
		json_decref(params);
		return result;
	}
	if (app_view_of(id) != NULL) {
		const char *arg = id == M_MESSAGE_GET ? js(params, "id") : js(params, "where");

		(void)shell_open(acts->app->shell, app_view_of(id), arg);
	} else if (id == M_WHY_GET && js_has(params, "target")) {
		act_why(acts, js(params, "target"));
	} else if (id == M_ACTION_UNDO) {
		if (js_has(params, "action"))
			act_undo(acts, js(params, "action"), js(params, "action"));
		else
			(void)shell_open(acts->app->shell, "undo", "");
	} else if (has_plan(m) && json_object_size(params) > 0) {
		act_plan(acts, id, json_incref(params));
	} else {
		act_form(acts, id, json_incref(params));
	}
	json_decref(params);
	return 0;
}
