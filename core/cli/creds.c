/*
 * creds - one credential: what it may, its secrets, and who uses them; and the allowlist with what
 * is worth knowing about its entries.
 */
#include "base/json.h"
#include "cli/cli_int.h"
#include "cli/columns.h"

#define TITLE_COLS 12

/* "senders     shop.example, *.news.example", or that there is no bound. */
static void put_texts(const struct out *o, struct buf *b, const char *title, const json_t *list)
{
	size_t i;
	const json_t *one;

	(void)buf_printf(b, "%-*s", TITLE_COLS, title);
	if (json_array_size(list) == 0)
		(void)buf_puts(b, "all");
	json_array_foreach(list, i, one)
	{
		(void)buf_puts(b, i > 0 ? ", " : "");
		out_clean(o, b, str_of(json_string_value(one)));
	}
	(void)buf_putc(b, '\n');
}

static void put_heading(const struct out *o, struct buf *b, const char *title)
{
	(void)buf_putc(b, '\n');
	out_style(o, b, OUT_HEAD, true);
	(void)buf_puts(b, title);
	out_style(o, b, OUT_HEAD, false);
	(void)buf_putc(b, '\n');
}

static void put_table(const struct out *o, struct buf *b, const char *entity, const json_t *rows)
{
	struct columns *columns =
		columns_new(&(struct columns_options){ .out = o, .entity = entity }, rows);
	const json_t *row;
	size_t i;

	columns_put_head(columns, b);
	json_array_foreach(rows, i, row) columns_put_row(columns, b, row);
	columns_free(&columns);
}

static void put_cred(const struct out *o, struct buf *b, const json_t *cred)
{
	const json_t *users = json_object_get(cred, "users");

	columns_put_fields(o, b, "cred", NULL, cred);
	put_texts(o, b, "senders", json_object_get(cred, "senders"));
	put_texts(o, b, "streams", json_object_get(cred, "streams"));
	put_texts(o, b, "networks", json_object_get(cred, "networks"));
	put_heading(o, b, "Secrets");
	put_table(o, b, "cred_secret", json_object_get(cred, "secrets"));
	put_heading(o, b, "Used by");
	if (json_array_size(users) == 0)
		(void)buf_puts(b, "Nobody has used it yet.\n");
	else
		put_table(o, b, "cred_user", users);
}

static void put_answer(struct cli *c, const struct args *a, struct buf *b, const json_t *cred)
{
	(void)a;
	put_cred(&c->out, b, cred);
}

int run_cred(struct cli *c, const struct args *a, struct err *err)
{
	return cli_answer(c, a, put_answer, err);
}

/* --- the allowlist ---------------------------------------------------------------------------- */

#define NOTICE_COLS 4

static void put_notices(const struct out *o, struct buf *b, const json_t *row)
{
	const json_t *one;
	size_t i;

	json_array_foreach(json_object_get(row, "notices"), i, one)
	{
		out_style(o, b, OUT_WARN, true);
		(void)buf_printf(b, "%s: ", json_get_str(row, "network"));
		out_style(o, b, OUT_WARN, false);
		out_wrap_at(o, b, out_cols(o, str_of(json_get_str(row, "network"))) + 2,
			    str_of(json_string_value(one)), NOTICE_COLS);
	}
}

static void put_allow(struct cli *c, const struct args *a, struct buf *b, const json_t *page)
{
	const json_t *rows = json_object_get(page, "rows");
	const json_t *row;
	size_t i;

	if (json_array_size(rows) == 0)
		(void)buf_puts(b, "none\n");
	else
		put_table(&c->out, b, a->m->entity, rows);
	json_array_foreach(rows, i, row) put_notices(&c->out, b, row);
}

int run_allow(struct cli *c, const struct args *a, struct err *err)
{
	if (c->json || a->own[OWN_WIDE] != NULL)
		return run_list(c, a, err);
	return cli_answer(c, a, put_allow, err);
}

/* --- an export, which is read by programs and kept in files ----------------------------------- */

int run_cred_export(struct cli *c, const struct args *a, struct err *err)
{
	json_t *page = NULL;
	int rc = talk_call(c, a->m->name, json_copy(a->params), &page, err);

	if (rc < 0)
		return rc;
	cli_print_json(c, json_object_get(page, "rows"));
	json_decref(page);
	return 0;
}

static void put_text(struct cli *c, const struct args *a, struct buf *b, const json_t *answer)
{
	(void)c;
	(void)a;
	(void)buf_puts(b, json_get_str(answer, "text"));
}

int run_config_export(struct cli *c, const struct args *a, struct err *err)
{
	return cli_answer(c, a, put_text, err);
}
