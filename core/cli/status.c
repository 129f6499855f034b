/* status - the relay on one screen: what waits, what moves, what needs attention. */
#include <string.h>

#include "base/fmt.h"
#include "base/json.h"
#include "base/mem.h"
#include "cli/cli_int.h"
#include "cli/columns.h"

#define TITLE_COLS 12

static void put_title(const struct out *o, struct buf *b, const char *title)
{
	out_style(o, b, OUT_DIM, true);
	(void)buf_printf(b, "%-*s", TITLE_COLS, title);
	out_style(o, b, OUT_DIM, false);
}

static void put_count(const struct out *o, struct buf *b, int64_t n)
{
	char text[FMT_TIME_LEN];

	if (o->tty)
		fmt_count(n > 0 ? (uint64_t)n : 0, text);
	(void)(o->tty ? buf_puts(b, text) : buf_printf(b, "%lld", (long long)n));
}

#define RATE_COLS 24 /* in front of the bars */

/* Counts as bars, the largest of all series at the top; the last ones, as many as there is room
 * for. */
static void put_bars(const struct out *o, struct buf *b, const json_t *counts, int64_t max)
{
	size_t room = o->width > RATE_COLS ? (size_t)(o->width - RATE_COLS) : 0;
	static const char *const blocks[] = { " ",	"\u2581", "\u2582", "\u2583", "\u2584",
					      "\u2585", "\u2586", "\u2587", "\u2588" };
	static const char ascii[] = " .:-=+*#@";
	size_t levels = ARRAY_LEN(blocks) - 1;
	const json_t *v;
	size_t i;

	json_array_foreach(counts, i, v)
	{
		int64_t n = json_integer_value(v);

		if (i + room < json_array_size(counts))
			continue;
		size_t level =
			n <= 0 || max <= 0 ? 0 : 1 + (size_t)(n * (int64_t)(levels - 1) / max);

		if (o->utf8)
			(void)buf_puts(b, blocks[level]);
		else
			(void)buf_putc(b, ascii[level]);
	}
}

static int64_t largest(const json_t *history)
{
	const char *name;
	json_t *counts, *v;
	int64_t max = 0;
	size_t i;

	json_object_foreach((json_t *)(uintptr_t)history, name, counts)
		json_array_foreach(counts, i, v) if (json_integer_value(v) > max) max =
			json_integer_value(v);
	return max;
}

static void put_rates(const struct out *o, struct buf *b, const json_t *status)
{
	static const char *const names[] = { "accepted", "delivered", "deferred", "failed" };
	const json_t *rates = json_object_get(status, "rates");
	const json_t *history = json_object_get(status, "rate_history");
	int64_t max = largest(history);

	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		AUTO_FREE char *per_s = xasprintf("%s_per_s", names[i]);

		put_title(o, b, names[i]);
		(void)buf_printf(b, "%8.1f/s", json_number_value(json_object_get(rates, per_s)));
		if (max > 0 && o->tty) {
			(void)buf_puts(b, "  ");
			put_bars(o, b, json_object_get(history, names[i]), max);
		}
		(void)buf_putc(b, '\n');
	}
}

static void put_queued(const struct out *o, struct buf *b, const json_t *status)
{
	static const char *const states[] = { "ready", "active", "deferred", "held", "trash" };
	const json_t *queued = json_object_get(status, "queued");
	char age[FMT_SHORT_LEN];

	put_title(o, b, "queued");
	put_count(o, b, json_get_int(queued, "recipients"));
	(void)buf_puts(b, " recipients of ");
	put_count(o, b, json_get_int(queued, "messages"));
	(void)buf_puts(b, " messages");
	if (cli_has(status, "oldest_age_s")) {
		fmt_age(json_get_int(status, "oldest_age_s"), age);
		(void)buf_printf(b, ", the oldest %s old", age);
	}
	(void)buf_putc(b, '\n');
	put_title(o, b, "states");
	for (size_t i = 0; i < ARRAY_LEN(states); i++) {
		int64_t n = json_get_int(queued, states[i]);
		enum out_style style = n > 0 ? out_state_style(states[i]) : OUT_PLAIN;

		(void)buf_puts(b, i > 0 ? "   " : "");
		out_style(o, b, style, true);
		(void)buf_printf(b, "%s ", states[i]);
		put_count(o, b, n);
		out_style(o, b, style, false);
	}
	(void)buf_putc(b, '\n');
}

static void put_damage(const struct out *o, struct buf *b, const json_t *disk)
{
	const char *unreadable = json_get_str(disk, "unreadable");
	int64_t damaged = json_get_int(disk, "damaged");

	if (*unreadable == '\0' && damaged == 0)
		return;
	put_title(o, b, "damaged");
	out_style(o, b, OUT_BAD, true);
	if (damaged > 0)
		(void)buf_printf(b, "the content of %lld message%s, which the log names%s",
				 (long long)damaged, damaged == 1 ? "" : "s",
				 *unreadable != '\0' ? "; " : "");
	if (*unreadable != '\0') {
		(void)buf_puts(b, "the database: ");
		out_clean(o, b, str_of(unreadable));
	}
	out_style(o, b, OUT_BAD, false);
	(void)buf_putc(b, '\n');
}

/* What is the matter besides the destinations, which follow. */
static void put_urgent(const struct out *o, struct buf *b, const json_t *rows)
{
	const json_t *row;
	size_t i;

	json_array_foreach(rows, i, row)
	{
		bool bad = strcmp(json_get_str(row, "severity"), "bad") == 0;
		enum out_style style = bad ? OUT_BAD : OUT_WARN;
		char since[COLUMNS_SCRATCH];

		put_title(o, b, i == 0 ? "look at" : "");
		out_style(o, b, style, true);
		out_clean(o, b, str_of(json_get_str(row, "text")));
		out_style(o, b, style, false);
		(void)buf_puts(b, "; since ");
		out_clean(o, b, columns_time(json_get_str(row, "since_at"), since));
		(void)buf_printf(b, ": %s\n", json_get_str(row, "command"));
	}
}

static void put_machine(const struct out *o, struct buf *b, const json_t *status)
{
	const json_t *connections = json_object_get(status, "connections");
	const json_t *disk = json_object_get(status, "disk");
	char size[FMT_SHORT_LEN];
	bool full = json_is_false(json_object_get(disk, "ok"));

	put_title(o, b, "holds");
	put_count(o, b, json_get_int(status, "holds"));
	(void)buf_puts(b, "   alerts ");
	out_style(o, b, json_get_int(status, "alerts") > 0 ? OUT_WARN : OUT_PLAIN, true);
	put_count(o, b, json_get_int(status, "alerts"));
	out_style(o, b, json_get_int(status, "alerts") > 0 ? OUT_WARN : OUT_PLAIN, false);
	(void)buf_putc(b, '\n');
	put_urgent(o, b, json_object_get(status, "urgent"));
	if (connections != NULL) {
		put_title(o, b, "connections");
		(void)buf_printf(b, "%lld in, %lld out\n",
				 (long long)json_get_int(connections, "in"),
				 (long long)json_get_int(connections, "out"));
	}
	if (disk != NULL) {
		fmt_size((uint64_t)json_get_int(disk, "free_bytes"), size);
		put_title(o, b, "disk");
		out_style(o, b, full ? OUT_BAD : OUT_PLAIN, true);
		(void)buf_printf(b, "%s%s free", full ? "FULL: no mail is taken; " : "", size);
		out_style(o, b, full ? OUT_BAD : OUT_PLAIN, false);
		fmt_size((uint64_t)json_get_int(disk, "used_bytes"), size);
		(void)buf_printf(b, ", %s used by the queue\n", size);
		put_damage(o, b, disk);
	}
}

static void put_probation(const struct out *o, struct buf *b, const json_t *p)
{
	char until[COLUMNS_SCRATCH];
	char left[FMT_SHORT_LEN];

	if (!json_is_object(p))
		return;
	fmt_age(json_get_int(p, "left_s"), left);
	put_title(o, b, "probation");
	out_style(o, b, OUT_WARN, true);
	(void)buf_printf(b, "version %lld (", (long long)json_get_int(p, "version"));
	out_clean(o, b, str_of(json_get_str(p, "method")));
	(void)buf_putc(b, ' ');
	out_clean(o, b, str_of(json_get_str(p, "target")));
	(void)buf_puts(b, " by ");
	out_clean(o, b, str_of(json_get_str(p, "who")));
	(void)buf_puts(b, ") is taken back at ");
	(void)buf_put_str(b, columns_time(json_get_str(p, "until_at"), until));
	(void)buf_printf(b, " (%s)", left);
	out_style(o, b, OUT_WARN, false);
	(void)buf_puts(b,
		       "\n            keep it: weir config confirm; take it back now: weir config "
		       "rollback --reason TEXT\n");
}

/* Since when, and what the other side says. */
static void put_evidence(const struct out *o, struct buf *b, const json_t *row)
{
	AUTO_BUF line = BUF_INIT(OUT_MAX);
	char since[COLUMNS_SCRATCH];

	if (!cli_has(row, "since_at"))
		return;
	(void)buf_puts(&line, "since ");
	(void)buf_put_str(&line, columns_time(json_get_str(row, "since_at"), since));
	if (cli_has(row, "last_reply"))
		(void)buf_printf(&line, ": %s", json_get_str(row, "last_reply"));
	(void)buf_puts(b, "  ");
	if (o->width > 0)
		(void)out_fit(o, b, buf_str(&line), o->width - 2);
	else
		out_clean(o, b, buf_str(&line));
	(void)buf_putc(b, '\n');
}

static void put_attention(const struct out *o, struct buf *b, const json_t *rows)
{
	struct columns *columns;
	const json_t *row;
	size_t i;

	if (json_array_size(rows) == 0)
		return;
	columns = columns_new(&(struct columns_options){ .out = o,
							 .entity = "queue",
							 .skip = " active next_attempt_s "
								 "last_reply " },
			      rows);
	(void)buf_puts(b, "\nWhat needs attention first:\n");
	columns_put_head(columns, b);
	json_array_foreach(rows, i, row)
	{
		columns_put_row(columns, b, row);
		put_evidence(o, b, row);
	}
	columns_free(&columns);
}

static void put_status(const struct out *o, struct buf *b, const json_t *status)
{
	char text[COLUMNS_SCRATCH];
	char up[FMT_SHORT_LEN];

	fmt_age(json_get_int(status, "uptime_s"), up);
	out_style(o, b, OUT_HEAD, true);
	out_clean(o, b, str_of(json_get_str(status, "relay")));
	out_style(o, b, OUT_HEAD, false);
	(void)buf_puts(b, "   weir-relayd ");
	out_clean(o, b, str_of(json_get_str(status, "version")));
	(void)buf_printf(b, "   up %s   ", up);
	out_clean(o, b, columns_time(json_get_str(status, "now_at"), text));
	(void)buf_putc(b, '\n');
	put_queued(o, b, status);
	put_rates(o, b, status);
	put_machine(o, b, status);
	put_probation(o, b, json_object_get(status, "probation"));
	put_attention(o, b, json_object_get(status, "attention"));
}

static void put_answer(struct cli *c, const struct args *a, struct buf *b, const json_t *status)
{
	(void)a;
	put_status(&c->out, b, status);
}

int run_status(struct cli *c, const struct args *a, struct err *err)
{
	return cli_answer(c, a, put_answer, err);
}
