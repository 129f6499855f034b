/* Answers: of what only reads, in a page; and what a change tells besides that it is done. */
#include <string.h>

#include "base/mem.h"
#include "base/obj.h"
#include "view/act_int.h"
#include "view/cells.h"

#define LABEL_COLS 14
#define LINE_BYTES 4096

/* --- what a change tells ---------------------------------------------------------------------- */

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

	secret_set(&acts->shown, str_of(js(result, "secret")));
	(void)buf_printf(&title, "The secret of %.80s", js(result, "name"));
	(void)buf_printf(&text, "%.*s\n\nIt is shown this once and kept nowhere.",
			 STR_ARG(str_from(acts->shown.p, acts->shown.n)));
	(void)shell_ask(acts->app->shell, &(struct shell_ask){ .title = buf_cstr(&title),
							       .text = buf_cstr(&text),
							       .yes = "Copy",
							       .no = "Close",
							       .done = on_shown,
							       .arg = acts });
	secret_wipe(text.p, text.n);
}

/* Lines of a zone file, as they are copied. */
static void show_publish(struct acts *acts, const json_t *lines)
{
	AUTO_BUF text = BUF_INIT(64 * 1024);
	const json_t *one;
	size_t i;

	json_array_foreach(lines, i, one)(void)
		buf_printf(&text, "%s%s", i > 0 ? "\n" : "", json_string_value(one));
	secret_set(&acts->shown, buf_str(&text));
	(void)shell_ask(acts->app->shell, &(struct shell_ask){ .title = "To be published in DNS",
							       .text = buf_cstr(&text),
							       .yes = "Copy",
							       .no = "Close",
							       .done = on_shown,
							       .arg = acts });
}

void act_show_told(struct acts *acts, const json_t *result)
{
	if (js_has(result, "secret"))
		show_secret(acts, result);
	else if (json_array_size(json_object_get(result, "publish")) > 0)
		show_publish(acts, json_object_get(result, "publish"));
}

/* --- answers ---------------------------------------------------------------------------------- */

/* "a, b"; of objects "name value, name value". */
static void put_plain(struct buf *out, const json_t *v)
{
	const char *name;
	const json_t *one;
	size_t i;
	bool begun = false;

	if (json_is_string(v)) {
		(void)buf_puts(out, json_string_value(v));
	} else if (json_is_integer(v)) {
		(void)buf_printf(out, "%lld", (long long)json_integer_value(v));
	} else if (json_is_real(v)) {
		(void)buf_printf(out, "%g", json_real_value(v));
	} else if (json_is_boolean(v)) {
		(void)buf_puts(out, json_is_true(v) ? "yes" : "no");
	} else if (json_is_array(v)) {
		json_array_foreach(v, i, one)
		{
			(void)buf_puts(out, i > 0 ? ", " : "");
			put_plain(out, one);
		}
	} else if (json_is_object(v)) {
		json_object_foreach((json_t *)(uintptr_t)v, name, one)
		{
			if (json_is_null(one) || (json_is_array(one) && json_array_size(one) == 0))
				continue;
			(void)buf_printf(out, "%s%s ", begun ? ", " : "", name);
			put_plain(out, one);
			begun = true;
		}
	}
}

static void put_object(struct text *t, const char *title, const json_t *v)
{
	const json_t *one;
	size_t i;

	if (!json_is_array(v) || !json_is_object(json_array_get(v, 0))) {
		AUTO_BUF line = BUF_INIT(LINE_BYTES);

		put_plain(&line, v);
		text_add_field(t, LABEL_COLS, title, ROLE_TEXT, buf_str(&line));
		return;
	}
	json_array_foreach(v, i, one)
	{
		AUTO_BUF line = BUF_INIT(LINE_BYTES);
		put_plain(&line, one);
		text_add_field(t, LABEL_COLS, i == 0 ? title : "", ROLE_TEXT, buf_str(&line));
	}
}

/* Its fields; what is a list or an object as well as it can be said in a line. */
static void put_fields(struct text *t, const char *entity, const json_t *row, const struct shell *s)
{
	json_t *rest = json_copy((json_t *)(uintptr_t)row);

	if (js_has(rest, "text")) {
		text_add(t, ROLE_STRONG, str_of(js(rest, "text")));
		(void)json_object_del(rest, "text");
	}
	cell_describe(t, entity, rest, shell_wall_ms(s), shell_ascii(s));
	for (size_t i = 0; i < field_defs_n; i++) {
		const struct field_def *f = &field_defs[i];
		const json_t *v = json_object_get(rest, f->name);

		if (strcmp(f->entity, entity) == 0 && f->kind == FK_OBJECT &&
		    (json_object_size(v) > 0 || json_array_size(v) > 0))
			put_object(t, f->title, v);
	}
	json_decref(rest);
}

static void put_rows(struct text *t, const struct method_def *m, const json_t *answer,
		     const struct shell *s)
{
	const json_t *rows = json_object_get(answer, "rows");
	const json_t *one;
	size_t i;

	if (strcmp(m->entity, "change") == 0) {
		act_put_changes(t, rows, ji(answer, "total"));
		return;
	}
	json_array_foreach(rows, i, one)
	{
		if (i > 0)
			text_add(t, ROLE_TEXT, STR(""));
		put_fields(t, m->entity, one, s);
	}
}

static void put_answer(struct text *t, const struct method_def *m, const json_t *answer,
		       const struct shell *s)
{
	text_clear(t);
	if (js_has(answer, "steps"))
		act_put_trial(t, answer);
	else if ((m->flags & MF_LIST) == 0 || !json_is_array(json_object_get(answer, "rows")))
		put_fields(t, m->entity, answer, s);
	else
		put_rows(t, m, answer, s);
	if (json_is_string(json_object_get(answer, "next")))
		text_add(t, ROLE_DIM, STR("and more; limit says how many are shown"));
	if (t->n_lines == 0)
		text_add(t, ROLE_DIM, STR("none"));
}

static struct overlay_id open_page(const struct act *a)
{
	AUTO_FREE char *title = act_window_title(a);

	return shell_page(a->acts->app->shell, NULL, title);
}

void act_show_answer(const struct act *a, const json_t *answer)
{
	struct shell *s = a->acts->app->shell;
	struct text *t = shell_page_body(s, open_page(a));

	if (t != NULL)
		put_answer(t, &method_defs[a->method], answer, s);
	shell_dirty(s, SHELL_RELAYOUT | SHELL_REPAINT);
}

static void on_read(void *arg, const json_t *answer, const struct err *err)
{
	struct act *a = OBJ(act, ACT_MAGIC, arg);
	struct shell *s = a->acts->app->shell;
	struct text *t = shell_page_body(s, a->overlay);

	a->call = 0;
	if (t != NULL && answer != NULL) {
		put_answer(t, &method_defs[a->method], answer, s);
	} else if (t != NULL) {
		text_clear(t);
		text_add(t, ROLE_BAD, str_of(err->msg));
	}
	shell_dirty(s, SHELL_RELAYOUT | SHELL_REPAINT);
	act_free(&a);
}

/* The page is there at once, and says what it waits for. */
static bool open_asking(struct act *a, const char *title)
{
	struct shell *s = a->acts->app->shell;
	bool linked = act_linked(a->acts, NULL) >= 0;

	a->overlay = title != NULL ? shell_page(s, NULL, title) : open_page(a);
	if (a->overlay.v == 0)
		return false;
	text_add(shell_page_body(s, a->overlay), ROLE_PENDING,
		 linked ? STR("asking") : STR("the relay is not connected; waiting for it"));
	return true;
}

void act_read(struct acts *acts, enum method_id method, json_t *params)
{
	struct act *a = act_new(acts, method, params);

	if (!open_asking(a, NULL)) {
		act_free(&a);
		return;
	}
	a->call = rpc_call(acts->app->rpc, method_defs[method].name, json_incref(a->params),
			   on_read, a);
}

void act_why(struct acts *acts, const char *target)
{
	struct act *a = act_new(acts, M_WHY_GET, json_pack("{s:s}", "target", target));
	AUTO_FREE char *title = xasprintf("Why %s waits", target);

	if (!open_asking(a, title)) {
		act_free(&a);
		return;
	}
	a->call = rpc_call(acts->app->rpc, "why.get", json_incref(a->params), on_read, a);
}
