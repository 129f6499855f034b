/* What a plan of an edit says: the difference, what would move, and what may not have been meant.
 */
#include <string.h>

#include "base/fmt.h"
#include "view/act_int.h"
#include "view/cells.h"

#define LABEL_COLS 12

void act_put_warnings(struct text *t, const json_t *plan)
{
	const json_t *one;
	size_t i;

	json_array_foreach(json_object_get(plan, "warnings"), i, one)
		text_add_field(t, LABEL_COLS, "careful", ROLE_WARN, str_of(json_string_value(one)));
}

static void put_move(struct text *t, const json_t *move)
{
	char queued[FMT_TIME_LEN], recent[FMT_TIME_LEN];
	AUTO_BUF line = BUF_INIT(1000);
	const char *what = strcmp(js(move, "what"), "stream") == 0 ? "stream " : "";

	fmt_count((uint64_t)ji(move, "queued"), queued);
	fmt_count((uint64_t)ji(move, "recent"), recent);
	(void)buf_printf(&line, "%s queued and %s recent recipients: from %s%s to %s", queued,
			 recent, what, js(move, "from"), js(move, "to"));
	text_add_field(t, LABEL_COLS, "moves", ROLE_TEXT, buf_str(&line));
}

static void put_moves(struct text *t, const json_t *moves)
{
	const json_t *list = json_object_get(moves, "moves");
	const json_t *one;
	size_t i;

	if (!json_is_object(moves))
		return;
	json_array_foreach(list, i, one) put_move(t, one);
	if (json_array_size(list) == 0)
		text_add_field(t, LABEL_COLS, "moves", ROLE_TEXT,
			       STR("nothing that is queued or came in the last hour"));
	if (ji(moves, "in_delivery") > 0)
		text_addf(t, ROLE_TEXT, "%*s%lld more would, but are in delivery this moment",
			  LABEL_COLS, "", (long long)ji(moves, "in_delivery"));
	if (ji(moves, "undecided") > 0)
		text_addf(t, ROLE_TEXT, "%*s%lld more depend on what is not known here", LABEL_COLS,
			  "", (long long)ji(moves, "undecided"));
	if (json_is_false(json_object_get(moves, "whole")))
		text_addf(t, ROLE_TEXT, "%*sonly the newest of the last hour were looked at",
			  LABEL_COLS, "");
}

static void put_others(struct text *t, const json_t *others)
{
	const json_t *one;
	size_t i;

	json_array_foreach(others, i, one)
	{
		AUTO_BUF line = BUF_INIT(1000);
		(void)buf_printf(&line, "%s has an open plan for the same: %s %s", js(one, "who"),
				 js(one, "method"), js(one, "target"));
		text_add_field(t, LABEL_COLS, "others", ROLE_WARN, buf_str(&line));
	}
}

void act_put_changes(struct text *t, const json_t *changes, int64_t n)
{
	int64_t shown = (int64_t)json_array_size(changes);
	char more[FMT_TIME_LEN];
	const json_t *one;
	size_t i;

	json_array_foreach(changes, i, one)
	{
		AUTO_BUF line = BUF_INIT(8000);
		const char *op = js(one, "op");
		enum role role = *op == '+' ? ROLE_GOOD : *op == '-' ? ROLE_BAD : ROLE_WARN;
		(void)buf_printf(&line, "%s %s %s: %s", op, js(one, "kind"), js(one, "id"),
				 js(one, "text"));
		text_add(t, role, buf_str(&line));
	}
	if (n > shown) {
		fmt_count((uint64_t)(n - shown), more);
		text_addf(t, ROLE_TEXT, "and %s more", more);
	}
}

void act_put_changes_of(struct text *t, const json_t *row)
{
	const json_t *changes = json_object_get(row, "changes");

	act_put_changes(t, changes, ji(row, "changes_n"));
	if (json_is_true(json_object_get(row, "changes_cut")))
		text_add(t, ROLE_TEXT, STR("and very many more"));
}

void act_put_edit(struct text *t, const json_t *plan)
{
	char probation[FMT_SHORT_LEN];
	AUTO_BUF line = BUF_INIT(200);

	act_put_changes_of(t, plan);
	put_moves(t, json_object_get(plan, "moves"));
	put_others(t, json_object_get(plan, "others"));
	act_put_warnings(t, plan);
	if (js_has(plan, "probation_s")) {
		fmt_age(ji(plan, "probation_s"), probation);
		(void)buf_printf(&line, "%s, then it is taken back unless it is confirmed",
				 probation);
		text_add_field(t, LABEL_COLS, "probation", ROLE_TEXT, buf_str(&line));
	}
}
