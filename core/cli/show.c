/* show - one message: envelope, recipients, attempts; or a part of it alone. */
#include <string.h>

#include "base/json.h"
#include "base/mem.h"
#include "cli/cli_int.h"
#include "cli/columns.h"
#include "proto/ways.h"

#define REPLY_INDENT 4

static void put_heading(const struct out *o, struct buf *b, const char *title, size_t n,
			int64_t all)
{
	(void)buf_putc(b, '\n');
	out_style(o, b, OUT_HEAD, true);
	if (all > (int64_t)n)
		(void)buf_printf(b, "%s (%zu of %lld)", title, n, (long long)all);
	else
		(void)buf_printf(b, "%s (%zu)", title, n);
	out_style(o, b, OUT_HEAD, false);
	(void)buf_putc(b, '\n');
}

static void put_table(const struct out *o, struct buf *b, const char *entity, const char *skip,
		      const json_t *rows)
{
	struct columns *columns = columns_new(
		&(struct columns_options){ .out = o, .entity = entity, .skip = skip }, rows);
	const json_t *row;
	size_t i;

	columns_put_head(columns, b);
	json_array_foreach(rows, i, row) columns_put_row(columns, b, row);
	columns_free(&columns);
}

static void put_word(const struct out *o, struct buf *b, const char *before, const char *text)
{
	if (*text == '\0')
		return;
	(void)buf_puts(b, before);
	out_clean(o, b, str_of(text));
}

/* "2026-11-24 03:12:07Z  deferred  anna@fast.example  mx1.fast.example [127.0.10.5]  12ms" */
static void put_attempt(const struct out *o, struct buf *b, const json_t *at)
{
	char when[COLUMNS_SCRATCH];
	const char *outcome = json_get_str(at, "outcome");

	(void)buf_put_str(b, columns_time(json_get_str(at, "at"), when));
	(void)buf_puts(b, "  ");
	out_style(o, b, out_state_style(outcome), true);
	out_clean(o, b, str_of(outcome));
	out_style(o, b, out_state_style(outcome), false);
	put_word(o, b, "  ", json_get_str(at, "to"));
	(void)buf_putc(b, '\n');
	(void)buf_printf(b, "%*s", REPLY_INDENT - 1, "");
	put_word(o, b, " ", json_get_str(at, "host"));
	if (*json_get_str(at, "ip") != '\0') {
		put_word(o, b, " [", json_get_str(at, "ip"));
		(void)buf_putc(b, ']');
	}
	put_word(o, b, "  from ", json_get_str(at, "source"));
	put_word(o, b, "  tls ", json_get_str(at, "tls"));
	(void)buf_printf(b, "  %lldms", (long long)json_get_int(at, "duration_ms"));
	put_word(o, b, "  class ", json_get_str(at, "class"));
	(void)buf_putc(b, '\n');
	out_wrap(o, b, str_of(json_get_str(at, "reply")), REPLY_INDENT);
}

static const char *spoken_mark(const char *by)
{
	if (strcmp(by, "relay") == 0)
		return "->";
	return strcmp(by, "host") == 0 ? "<-" : "**";
}

/* "    12ms  <- 250 2.1.0 Ok": without a time what came at once. */
static void put_transcript(const struct out *o, struct buf *b, const json_t *lines)
{
	const json_t *line;
	size_t i;

	if (json_array_size(lines) == 0)
		(void)buf_printf(b, "%*sWhat was said was not kept.\n", REPLY_INDENT, "");
	json_array_foreach(lines, i, line)
	{
		const char *by = json_get_str(line, "by");
		int64_t ms = json_get_int(line, "after_ms");
		enum out_style style = strcmp(by, "host") == 0 ? OUT_PLAIN : OUT_DIM;
		if (ms > 0)
			(void)buf_printf(b, "%9lldms ", (long long)ms);
		else
			(void)buf_printf(b, "%12s", "");
		out_style(o, b, style, true);
		(void)buf_printf(b, "%s ", spoken_mark(by));
		out_clean(o, b, str_of(json_get_str(line, "text")));
		out_style(o, b, style, false);
		(void)buf_putc(b, '\n');
	}
}

/* "dns 2ms  connect 11ms  mail 4ms" */
static void put_phases(struct buf *b, const json_t *phases)
{
	const char *name;
	const json_t *v;

	if (json_object_size(phases) == 0)
		return;
	(void)buf_printf(b, "%*s", REPLY_INDENT - 2, "");
	json_object_foreach((json_t *)(uintptr_t)phases, name, v)
	{
		const struct field_def *f = field_find("phases", name);
		if (f != NULL)
			(void)buf_printf(b, "  %s %lldms", f->title,
					 (long long)json_integer_value(v));
	}
	(void)buf_putc(b, '\n');
}

void show_put_attempts(const struct out *o, struct buf *b, const json_t *attempts)
{
	const json_t *at;
	size_t i;

	if (json_array_size(attempts) == 0)
		(void)buf_puts(b, "Nothing was tried yet.\n");
	json_array_foreach(attempts, i, at)
	{
		put_attempt(o, b, at);
		put_phases(b, json_object_get(at, "phases"));
		if (json_object_get(at, "transcript") != NULL)
			put_transcript(o, b, json_object_get(at, "transcript"));
	}
}

static void put_title(const struct out *o, struct buf *b, const char *title)
{
	out_style(o, b, OUT_DIM, true);
	(void)buf_printf(b, "%-12s", title);
	out_style(o, b, OUT_DIM, false);
}

/* "goes by     smarthost:127.0.0.1:2526", each once. */
static void put_ways(const struct out *o, struct buf *b, const json_t *recipients)
{
	struct ways ways;

	for (size_t i = 0; ways_at(recipients, i, &ways); i++) {
		for (size_t k = 0; k < ways.n; k++) {
			put_title(o, b, k == 0 ? ways.title : "");
			out_clean(o, b, str_of(ways.texts[k]));
			(void)buf_putc(b, '\n');
		}
		if (ways.more > 0) {
			put_title(o, b, "");
			(void)buf_printf(b, "and %zu more\n", ways.more);
		}
	}
}

static void put_detail(const struct out *o, struct buf *b, const json_t *detail)
{
	const json_t *recipients = json_object_get(detail, "recipients");
	const json_t *attempts = json_object_get(detail, "attempts");

	columns_put_fields(o, b, "detail", NULL, detail);
	put_ways(o, b, recipients);
	put_heading(o, b, "Recipients", json_array_size(recipients),
		    json_get_int(detail, "recipients_n"));
	put_table(o, b, "message", " id from size age_s ", recipients);
	put_heading(o, b, "Attempts", json_array_size(attempts), 0);
	show_put_attempts(o, b, attempts);
}

/* More than one part at a time is no answer to anything. */
static int one_part(const struct args *a, struct err *err)
{
	static const enum own_option parts[] = { OWN_RAW, OWN_HEADERS, OWN_ATTEMPTS,
						 OWN_TRANSCRIPT };
	int n = 0;

	for (size_t i = 0; i < ARRAY_LEN(parts); i++)
		n += a->own[parts[i]] != NULL;
	if (n <= 1)
		return 0;
	return err_param(err, ERR_INVALID, "raw",
			 "one of --raw, --headers, --attempts and --transcript at a time");
}

int run_show(struct cli *c, const struct args *a, struct err *err)
{
	AUTO_BUF b = BUF_INIT(OUT_MAX);
	json_t *detail = NULL;
	const json_t *attempts;
	json_t *params;
	int rc = one_part(a, err);

	if (rc < 0)
		return rc;
	if (a->own[OWN_RAW] != NULL || a->own[OWN_HEADERS] != NULL)
		return content_print(c, json_get_str(a->params, "id"), a->own[OWN_HEADERS] != NULL,
				     err);
	params = json_copy(a->params);
	if (a->own[OWN_TRANSCRIPT] != NULL)
		(void)json_object_set_new(params, "transcripts", json_true());
	rc = talk_call(c, a->m->name, params, &detail, err);
	if (rc < 0)
		return rc;
	attempts = json_object_get(detail, "attempts");
	if (c->json) {
		cli_print_json(c, a->own[OWN_ATTEMPTS] != NULL || a->own[OWN_TRANSCRIPT] != NULL
					  ? attempts
					  : detail);
	} else {
		if (a->own[OWN_TRANSCRIPT] != NULL)
			show_put_attempts(&c->out, &b, attempts);
		else if (a->own[OWN_ATTEMPTS] != NULL)
			put_table(&c->out, &b, "attempt", NULL, attempts);
		else
			put_detail(&c->out, &b, detail);
		cli_print(c, &b);
	}
	json_decref(detail);
	return 0;
}
