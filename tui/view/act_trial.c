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

void act_put_trial(struct text *t, const json_t *result)
{
	const json_t *row;
	size_t i;

	text_addf(t, role_of(js(result, "verdict")), "%s: %s", js(result, "verdict"),
		  js(result, "text"));
	text_add(t, ROLE_TEXT, STR(""));
	json_array_foreach(json_object_get(result, "steps"), i, row) put_step(t, row);
}

void act_trial_of(struct acts *acts, const json_t *row)
{
	static const char *const same[] = { "to", "from", "stream", "client", "credential" };
	json_t *params = json_object();

	for (size_t i = 0; i < ARRAY_LEN(same); i++)
		if (js_has(row, same[i]))
			(void)json_object_set(params, same[i], json_object_get(row, same[i]));
	act_read(acts, M_ROUTE_TEST, params);
}
