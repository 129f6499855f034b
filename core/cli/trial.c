/*
 * trial - what would happen to a message or a client, a step a line:
 *
 *	refused   client: 192.0.2.7 may not relay: the allowlist is empty …
 *
 *	client      refused    192.0.2.7 may not relay: the allowlist is empty
 *	                       change: weir allow add 192.0.2.7
 */
#include <string.h>

#include "base/json.h"
#include "cli/cli_int.h"

#define TEXT_AT 22 /* column of the texts */

static enum out_style style_of(const char *verdict)
{
	static const struct {
		const char *verdict;
		enum out_style style;
	} styles[] = {
		{ "ok", OUT_GOOD },	  { "none", OUT_DIM },	{ "open", OUT_WARN },
		{ "waits", OUT_WARN },	  { "held", OUT_HELD }, { "fails", OUT_BAD },
		{ "discarded", OUT_BAD },
	};

	for (size_t i = 0; i < sizeof(styles) / sizeof(styles[0]); i++)
		if (strcmp(styles[i].verdict, verdict) == 0)
			return styles[i].style;
	return OUT_BAD;
}

static void put_note(const struct out *o, struct buf *b, const json_t *row)
{
	AUTO_BUF note = BUF_INIT(OUT_MAX);
	bool rule = cli_has(row, "rule");

	if (rule)
		(void)buf_printf(&note, "rule: %s", json_get_str(row, "rule"));
	if (cli_has(row, "change"))
		(void)buf_printf(&note, "%schange: %s", rule ? "; " : "",
				 json_get_str(row, "change"));
	if (note.n == 0)
		return;
	out_style(o, b, OUT_DIM, true);
	out_wrap(o, b, buf_str(&note), TEXT_AT);
	out_style(o, b, OUT_DIM, false);
}

static void put_step(const struct out *o, struct buf *b, const json_t *row)
{
	const char *verdict = json_get_str(row, "verdict");

	out_style(o, b, OUT_HEAD, true);
	(void)buf_printf(b, "%-11s", json_get_str(row, "step"));
	out_style(o, b, OUT_HEAD, false);
	out_style(o, b, style_of(verdict), true);
	(void)buf_printf(b, "%-*s", TEXT_AT - 11, strcmp(verdict, "none") == 0 ? "-" : verdict);
	out_style(o, b, style_of(verdict), false);
	out_wrap_at(o, b, TEXT_AT, str_of(json_get_str(row, "text")), TEXT_AT);
	put_note(o, b, row);
}

static void put_trial(struct cli *c, const struct args *a, struct buf *b, const json_t *answer)
{
	const struct out *o = &c->out;
	const char *verdict = json_get_str(answer, "verdict");
	const json_t *row;
	size_t i;

	(void)a;
	out_style(o, b, style_of(verdict), true);
	out_clean(o, b, str_of(verdict));
	out_style(o, b, style_of(verdict), false);
	(void)buf_putc(b, '\n');
	out_wrap(o, b, str_of(json_get_str(answer, "text")), 0);
	(void)buf_putc(b, '\n');
	json_array_foreach(json_object_get(answer, "steps"), i, row) put_step(o, b, row);
}

int run_trial(struct cli *c, const struct args *a, struct err *err)
{
	return cli_answer(c, a, put_trial, err);
}
