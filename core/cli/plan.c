/* plan - what a change would touch, as people read it before they decide. */
#include <string.h>

#include "base/fmt.h"
#include "base/json.h"
#include "base/mem.h"
#include "cli/cli_int.h"
#include "cli/columns.h"

#define TITLE_COLS 12
#define SHARES_SHOWN 8 /* lines of by_domain */
#define SAMPLE_SHOWN 10

static void put_count(const struct out *o, struct buf *b, int64_t n)
{
	char text[FMT_TIME_LEN];

	fmt_count(n > 0 ? (uint64_t)n : 0, text);
	(void)(o->tty ? buf_puts(b, text) : buf_printf(b, "%lld", (long long)n));
}

/* "gmail.com 1 204, yahoo.com 18, 3 more" in the order of the answer, the largest first. */
static void put_shares(const struct out *o, struct buf *b, const char *title, const json_t *shares)
{
	AUTO_BUF line = BUF_INIT(OUT_MAX);
	const char *name;
	json_t *v;
	size_t n = 0;

	if (json_object_size(shares) == 0)
		return;
	json_object_foreach((json_t *)(uintptr_t)shares, name, v)
	{
		if (++n > SHARES_SHOWN)
			break;
		(void)buf_printf(&line, "%s%s ", n > 1 ? ", " : "", name);
		put_count(o, &line, json_integer_value(v));
	}
	if (json_object_size(shares) > SHARES_SHOWN)
		(void)buf_printf(&line, ", %zu more", json_object_size(shares) - SHARES_SHOWN);
	(void)buf_printf(b, "%-*s", TITLE_COLS, title);
	out_clean(o, b, buf_str(&line));
	(void)buf_putc(b, '\n');
}

static void put_effects(const struct out *o, struct buf *b, const json_t *effects)
{
	const json_t *one;
	size_t i;

	json_array_foreach(effects, i, one)
	{
		(void)buf_printf(b, "%-*s", TITLE_COLS, i == 0 ? "also" : "");
		out_clean(o, b, str_of(json_string_value(one)));
		(void)buf_putc(b, '\n');
	}
}

static void put_ages(struct buf *b, const json_t *plan)
{
	char oldest[FMT_SHORT_LEN], newest[FMT_SHORT_LEN];

	if (!cli_has(plan, "oldest_age_s"))
		return;
	fmt_age(json_get_int(plan, "oldest_age_s"), oldest);
	fmt_age(json_get_int(plan, "newest_age_s"), newest);
	(void)buf_printf(b, "%-*s%s to %s\n", TITLE_COLS, "age", newest, oldest);
}

static void put_sample(const struct out *o, struct buf *b, const json_t *plan)
{
	const json_t *sample = json_object_get(plan, "sample");
	size_t n = json_array_size(sample);
	struct columns *columns;

	if (n == 0)
		return;
	columns = columns_new(&(struct columns_options){ .out = o,
							 .entity = "message",
							 .skip = " next_attempt_s size " },
			      sample);
	(void)buf_putc(b, '\n');
	columns_put_head(columns, b);
	for (size_t i = 0; i < n && i < SAMPLE_SHOWN; i++)
		columns_put_row(columns, b, json_array_get(sample, i));
	columns_free(&columns);
	if (json_get_int(plan, "recipients") > SAMPLE_SHOWN) {
		(void)buf_puts(b, "and ");
		put_count(o, b, json_get_int(plan, "recipients") - SAMPLE_SHOWN);
		(void)buf_puts(b, " more\n");
	}
}

/* "~ allow 10.0.0.0/8: note "old" -> "new"" */
static void put_change(const struct out *o, struct buf *b, const json_t *change)
{
	const char *op = json_get_str(change, "op");
	enum out_style style = *op == '+' ? OUT_GOOD : *op == '-' ? OUT_BAD : OUT_WARN;

	out_style(o, b, style, true);
	(void)buf_printf(b, "%s %s ", op, json_get_str(change, "kind"));
	out_clean(o, b, str_of(json_get_str(change, "id")));
	out_style(o, b, style, false);
	(void)buf_puts(b, ": ");
	out_clean(o, b, str_of(json_get_str(change, "text")));
	(void)buf_putc(b, '\n');
}

void plan_put_changes(const struct out *o, struct buf *b, const json_t *changes)
{
	const json_t *one;
	size_t i;

	json_array_foreach(changes, i, one) put_change(o, b, one);
}

static void put_others(const struct out *o, struct buf *b, const json_t *others)
{
	const json_t *one;
	size_t i;

	json_array_foreach(others, i, one)
	{
		(void)buf_printf(b, "%-*s", TITLE_COLS, "others");
		out_clean(o, b, str_of(json_get_str(one, "who")));
		(void)buf_printf(b, " has an open plan for the same: %s ",
				 json_get_str(one, "method"));
		out_clean(o, b, str_of(json_get_str(one, "target")));
		(void)buf_putc(b, '\n');
	}
}

/* "1 204 queued and 18 330 of the last hour would go by mx instead of smarthost:…" */
static void put_move(const struct out *o, struct buf *b, const json_t *move)
{
	bool stream = strcmp(json_get_str(move, "what"), "stream") == 0;

	(void)buf_printf(b, "%-*s", TITLE_COLS, "moves");
	put_count(o, b, json_get_int(move, "queued"));
	(void)buf_puts(b, " queued and ");
	put_count(o, b, json_get_int(move, "recent"));
	(void)buf_printf(b, " recent recipients: from %s", stream ? "stream " : "");
	out_clean(o, b, str_of(json_get_str(move, "from")));
	(void)buf_puts(b, " to ");
	out_clean(o, b, str_of(json_get_str(move, "to")));
	(void)buf_putc(b, '\n');
}

static void put_moves(const struct out *o, struct buf *b, const json_t *moves)
{
	const json_t *list = json_object_get(moves, "moves");
	const json_t *one;
	size_t i;

	if (moves == NULL)
		return;
	json_array_foreach(list, i, one) put_move(o, b, one);
	if (json_array_size(list) == 0)
		(void)buf_printf(b, "%-*snothing that is queued or came in the last hour\n",
				 TITLE_COLS, "moves");
	if (json_get_int(moves, "in_delivery") > 0) {
		(void)buf_printf(b, "%-*s", TITLE_COLS, "");
		put_count(o, b, json_get_int(moves, "in_delivery"));
		(void)buf_puts(b, " more would, but are in delivery this moment\n");
	}
	if (json_get_int(moves, "undecided") > 0) {
		(void)buf_printf(b, "%-*s", TITLE_COLS, "");
		put_count(o, b, json_get_int(moves, "undecided"));
		(void)buf_puts(b, " more depend on what is not known here\n");
	}
	if (json_is_false(json_object_get(moves, "whole")))
		(void)buf_printf(b, "%-*sonly the newest of the last hour were looked at\n",
				 TITLE_COLS, "");
}

/* Texts, each on a line. */
static void put_texts(const struct out *o, struct buf *b, const char *title, const json_t *texts)
{
	const json_t *one;
	size_t i;

	json_array_foreach(texts, i, one)
	{
		(void)buf_printf(b, "%-*s", TITLE_COLS, title);
		out_wrap_at(o, b, TITLE_COLS, str_of(json_string_value(one)), TITLE_COLS);
	}
}

/* Of very many the first ones are there. */
static void put_more(const struct out *o, struct buf *b, const json_t *changes, int64_t n)
{
	int64_t shown = (int64_t)json_array_size(changes);

	if (n <= shown)
		return;
	(void)buf_puts(b, "and ");
	put_count(o, b, n - shown);
	(void)buf_puts(b, " more\n");
}

static void put_edit(const struct out *o, struct buf *b, const json_t *plan)
{
	char window[FMT_SHORT_LEN];

	plan_put_changes(o, b, json_object_get(plan, "changes"));
	put_more(o, b, json_object_get(plan, "changes"), json_get_int(plan, "changes_n"));
	put_moves(o, b, json_object_get(plan, "moves"));
	put_others(o, b, json_object_get(plan, "others"));
	put_texts(o, b, "careful", json_object_get(plan, "warnings"));
	if (cli_has(plan, "probation_s")) {
		fmt_age(json_get_int(plan, "probation_s"), window);
		(void)buf_printf(b, "%-*s%s, then it is taken back unless it is confirmed\n",
				 TITLE_COLS, "probation", window);
	}
	fmt_age(json_get_int(plan, "undo_window_s"), window);
	if (json_get_int(plan, "undo_window_s") > 0)
		(void)buf_printf(b, "%-*sfor %s, with weir undo\n", TITLE_COLS, "undo", window);
	(void)buf_printf(b, "%-*s", TITLE_COLS, "command");
	out_clean(o, b, str_of(json_get_str(plan, "command")));
	(void)buf_putc(b, '\n');
}

void plan_put(const struct out *o, struct buf *b, const json_t *plan)
{
	char window[FMT_SHORT_LEN];

	(void)buf_printf(b, "%-*s", TITLE_COLS, "target");
	out_clean(o, b, str_of(json_get_str(plan, "target")));
	(void)buf_putc(b, '\n');
	if (json_is_array(json_object_get(plan, "changes"))) {
		put_edit(o, b, plan);
		return;
	}
	(void)buf_printf(b, "%-*s", TITLE_COLS, "touches");
	put_count(o, b, json_get_int(plan, "recipients"));
	(void)buf_puts(b, " recipients of ");
	put_count(o, b, json_get_int(plan, "messages"));
	(void)buf_puts(b, " messages\n");
	if (json_get_int(plan, "in_delivery") > 0) {
		(void)buf_printf(b, "%-*s", TITLE_COLS, "not");
		put_count(o, b, json_get_int(plan, "in_delivery"));
		(void)buf_puts(b, " more that are in delivery this moment\n");
	}
	put_effects(o, b, json_object_get(plan, "effects"));
	put_texts(o, b, "careful", json_object_get(plan, "warnings"));
	put_shares(o, b, "states", json_object_get(plan, "by_state"));
	put_shares(o, b, "domains", json_object_get(plan, "by_domain"));
	put_shares(o, b, "streams", json_object_get(plan, "by_stream"));
	put_ages(b, plan);
	if (json_get_int(plan, "undo_window_s") > 0) {
		fmt_age(json_get_int(plan, "undo_window_s"), window);
		(void)buf_printf(b, "%-*sfor %s, with weir undo\n", TITLE_COLS, "undo", window);
	}
	(void)buf_printf(b, "%-*s", TITLE_COLS, "command");
	out_clean(o, b, str_of(json_get_str(plan, "command")));
	(void)buf_putc(b, '\n');
	put_sample(o, b, plan);
}

static void put_diff(struct cli *c, const struct args *a, struct buf *b, const json_t *page)
{
	(void)a;
	plan_put_changes(&c->out, b, json_object_get(page, "rows"));
	put_more(&c->out, b, json_object_get(page, "rows"), json_get_int(page, "total"));
}

int run_diff(struct cli *c, const struct args *a, struct err *err)
{
	return c->json ? run_list(c, a, err) : cli_answer(c, a, put_diff, err);
}
