/* What would happen to a message: asked in a form, or at once, and answered step by step. */
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/obj.h"
#include "view/act_int.h"
#include "view/cells.h"

#define TEXT_AT 12 /* column of what the steps say */

static enum role role_of(const char *verdict)
{
	if (strcmp(verdict, "ok") == 0)
		return ROLE_GOOD;
	if (strcmp(verdict, "none") == 0)
		return ROLE_DIM;
	if (strcmp(verdict, "held") == 0)
		return ROLE_HELD;
	return strcmp(verdict, "open") == 0 || strcmp(verdict, "waits") == 0 ? ROLE_WARN : ROLE_BAD;
}

static void put_step(struct text *t, const json_t *row)
{
	const char *verdict = js(row, "verdict");
	AUTO_BUF b = BUF_INIT(8192);

	if (strcmp(verdict, "ok") != 0 && strcmp(verdict, "none") != 0)
		(void)buf_printf(&b, "%s: ", verdict);
	(void)buf_puts(&b, js(row, "text"));
	text_add_field(t, TEXT_AT, js(row, "step"), role_of(verdict), buf_str(&b));
	b.n = 0;
	if (js_has(row, "rule"))
		(void)buf_printf(&b, "rule: %s", js(row, "rule"));
	if (js_has(row, "change"))
		(void)buf_printf(&b, "%schange: %s", b.n > 0 ? "; " : "", js(row, "change"));
	if (b.n > 0)
		text_add_field(t, TEXT_AT, "", ROLE_DIM, buf_str(&b));
}

static void show(struct act *a, const json_t *result)
{
	struct shell *s = a->acts->app->shell;
	AUTO_FREE char *title = js_has(a->params, "to")
					? xasprintf("A message for %s", js(a->params, "to"))
					: xasprintf("The client %s", js(a->params, "address"));
	struct overlay_id page = shell_page(s, NULL, title);
	struct text *t = shell_page_body(s, page);
	const json_t *row;
	size_t i;

	if (t == NULL)
		return;
	text_addf(t, role_of(js(result, "verdict")), "%s: %s", js(result, "verdict"),
		  js(result, "text"));
	text_add(t, ROLE_TEXT, STR(""));
	json_array_foreach(json_object_get(result, "steps"), i, row) put_step(t, row);
	shell_dirty(s, SHELL_RELAYOUT | SHELL_REPAINT);
}

static void on_answer(void *arg, const json_t *result, const struct err *err)
{
	struct act *a = OBJ(act, ACT_MAGIC, arg);
	struct shell *s = a->acts->app->shell;
	struct overlay_id form = a->overlay;
	bool open = form.v != 0 && !a->left;

	a->call = 0;
	a->committing = false;
	if (result == NULL && open) {
		shell_overlay_error(s, form, err);
		return;
	}
	if (open) {
		a->left = a->committing = true; /* the form goes, and not what it asked */
		shell_overlay_done(s, form);
	}
	if (result == NULL)
		shell_notice_err(s, method_defs[a->method].name, err);
	else
		show(a, result);
	act_free(&a);
}

bool act_asks(enum method_id method)
{
	return method == M_ROUTE_TEST || method == M_STREAM_TEST || method == M_ALLOW_TEST;
}

void act_ask(struct act *a)
{
	a->committing = true;
	a->call = rpc_call(a->acts->app->rpc, method_defs[a->method].name, json_incref(a->params),
			   on_answer, a);
}

void act_trial(struct acts *acts, enum method_id method, json_t *params)
{
	act_ask(act_new(acts, method, params));
}

void act_trial_of(struct acts *acts, const json_t *row)
{
	static const char *const same[] = { "to", "from", "stream", "client", "credential" };
	json_t *params = json_object();

	for (size_t i = 0; i < ARRAY_LEN(same); i++)
		if (js_has(row, same[i]))
			(void)json_object_set(params, same[i], json_object_get(row, same[i]));
	act_trial(acts, M_ROUTE_TEST, params);
}
