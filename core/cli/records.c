/*
 * records - DNS records that are to be published, unbroken, so that they can be copied; and what a
 * check says, line by line.
 */
#include <string.h>

#include "base/json.h"
#include "base/mem.h"
#include "cli/cli_int.h"
#include "cli/columns.h"

static void put_line(const struct out *o, struct buf *b, const char *title, const char *text)
{
	(void)buf_printf(b, "  %-8s", title);
	out_clean(o, b, str_of(text));
	(void)buf_putc(b, '\n');
}

static void put_record(const struct out *o, struct buf *b, const json_t *r)
{
	out_style(o, b, OUT_HEAD, true);
	out_clean(o, b, str_of(json_get_str(r, "id")));
	out_style(o, b, OUT_HEAD, false);
	(void)buf_printf(b, "  %s  %s\n", json_get_str(r, "state"), json_get_str(r, "algorithm"));
	put_line(o, b, "name", json_get_str(r, "name"));
	put_line(o, b, "type", json_get_str(r, "type"));
	put_line(o, b, "value", json_get_str(r, "value"));
	put_line(o, b, "zone", json_get_str(r, "zone"));
}

static void put_records(struct cli *c, const struct args *a, struct buf *b, const json_t *answer)
{
	const json_t *r;
	size_t i;

	(void)a;
	json_array_foreach(json_object_get(answer, "records"), i, r)
	{
		if (i > 0)
			(void)buf_putc(b, '\n');
		put_record(&c->out, b, r);
	}
}

int run_records(struct cli *c, const struct args *a, struct err *err)
{
	return cli_answer(c, a, put_records, err);
}

/* --- a mail that came to nothing ---------------------------------------------------------------
 */

static void put_kept(struct cli *c, const struct args *a, struct buf *b, const json_t *row)
{
	columns_put_fields(&c->out, b, a->m->entity, " text ", row);
	(void)buf_putc(b, '\n');
	out_clean_lines(&c->out, b, str_of(json_get_str(row, "text")));
}

int run_kept(struct cli *c, const struct args *a, struct err *err)
{
	return cli_answer(c, a, put_kept, err);
}

/* --- check ------------------------------------------------------------------------------------ */

#define STATUS_COLS 9

static enum out_style style_of(const char *status)
{
	if (strcmp(status, "ok") == 0)
		return OUT_GOOD;
	return strcmp(status, "wrong") == 0 || strcmp(status, "missing") == 0 ? OUT_BAD : OUT_WARN;
}

static void put_detail(const struct out *o, struct buf *b, const json_t *row, const char *name)
{
	if (!cli_has(row, name))
		return;
	(void)buf_printf(b, "          %-8s ", name);
	out_clean(o, b, str_of(json_get_str(row, name)));
	(void)buf_putc(b, '\n');
}

/* "missing   dkim s1  not published; mail is signed with it, and does not verify" */
static void put_check(const struct out *o, struct buf *b, const json_t *row)
{
	const char *status = json_get_str(row, "status");
	const char *about = json_get_str(row, "about");
	int at = STATUS_COLS + 3 + out_cols(o, str_of(json_get_str(row, "name")));

	out_style(o, b, style_of(status), true);
	(void)buf_printf(b, "%-*s", STATUS_COLS, status);
	out_style(o, b, style_of(status), false);
	(void)buf_printf(b, " %s", json_get_str(row, "name"));
	if (cli_has(row, "about")) {
		(void)buf_putc(b, ' ');
		out_clean(o, b, str_of(about));
		at += 1 + out_cols(o, str_of(about));
	}
	(void)buf_puts(b, "  ");
	out_wrap_at(o, b, at, str_of(json_get_str(row, "text")), STATUS_COLS + 1);
	put_detail(o, b, row, "found");
	if (strcmp(status, "ok") == 0)
		return;
	if (!cli_has(row, "publish"))
		put_detail(o, b, row, "wanted");
	put_detail(o, b, row, "publish");
}

void check_warn_of_keys(struct cli *c, const struct args *a, json_t *answer)
{
	const char *selector = json_get_str(a->params, "selector");
	json_t *list = json_array(), *page = NULL;
	struct err ignored = ERR_INIT;
	const json_t *row;
	size_t i;

	if (talk_call(c, method_defs[M_CHECK_DOMAIN].name,
		      json_pack("{s:s}", "domain", json_get_str(a->params, "domain")), &page,
		      &ignored) < 0)
		page = NULL; /* it can be asked later: weir check */
	json_array_foreach(json_object_get(page, "rows"), i, row)
	{
		const char *about = json_get_str(row, "about");

		if (strcmp(json_get_str(row, "name"), "dkim") == 0 && *about != '\0' &&
		    style_of(json_get_str(row, "status")) == OUT_BAD &&
		    (*selector == '\0' || str_eq_nocase(str_of(selector), str_of(about))))
			(void)json_array_append_new(
				list, json_sprintf("%s: %s", about, json_get_str(row, "text")));
	}
	if (json_array_size(list) > 0)
		(void)json_object_set(answer, "warnings", list);
	json_decref(list);
	json_decref(page);
}

static void put_checks(struct cli *c, const struct args *a, struct buf *b, const json_t *page)
{
	const json_t *row;
	size_t i;

	(void)a;
	json_array_foreach(json_object_get(page, "rows"), i, row) put_check(&c->out, b, row);
}

int run_check(struct cli *c, const struct args *a, struct err *err)
{
	return c->json ? run_list(c, a, err) : cli_answer(c, a, put_checks, err);
}
