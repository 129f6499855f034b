/* list - rows of a listing, page by page; and answers that are one object. */
#include <string.h>

#include "base/fmt.h"
#include "base/json.h"
#include "base/mem.h"
#include "cli/cli_int.h"
#include "cli/columns.h"

struct listing {
	struct cli *c;
	const struct args *a;
	struct columns *columns; /* laid out by the first page */
	uint64_t rows;		 /* printed */
	int64_t counted;	 /* the sum of their `count` and `waiting` */
};

static void put_json_rows(struct listing *l, struct buf *b, const json_t *rows)
{
	const json_t *row;
	size_t i;

	json_array_foreach(rows, i, row)
	{
		(void)buf_puts(b, l->rows++ == 0 ? "[\n" : ",\n");
		out_json_line(&l->c->out, b, row);
	}
}

static void put_table_rows(struct listing *l, struct buf *b, const json_t *rows)
{
	const json_t *row;
	size_t i;

	if (l->columns == NULL) {
		l->columns = columns_new(
			&(struct columns_options){
				.out = &l->c->out,
				.entity = l->a->m->entity,
				.key = json_string_value(json_object_get(l->a->params, "by")),
				.wide = l->a->own[OWN_WIDE] != NULL },
			rows);
		if (json_array_size(rows) > 0)
			columns_put_head(l->columns, b);
	}
	json_array_foreach(rows, i, row)
	{
		columns_put_row(l->columns, b, row);
		l->counted += json_get_int(row, "count") + json_get_int(row, "waiting");
	}
	l->rows += json_array_size(rows);
}

static void put_rows(struct listing *l, const json_t *rows)
{
	AUTO_BUF b = BUF_INIT(OUT_MAX);

	if (l->c->json)
		put_json_rows(l, &b, rows);
	else
		put_table_rows(l, &b, rows);
	cli_print(l->c, &b);
}

/* "100 of 12 408 shown; --limit takes more" */
static void put_end(struct listing *l, const json_t *last)
{
	AUTO_BUF b = BUF_INIT(OUT_MAX);
	char shown[FMT_TIME_LEN], all[FMT_TIME_LEN];
	bool more = cli_has(last, "next");

	if (!l->c->json)
		(void)columns_put_left_out(l->columns, &b);
	if (l->c->json) {
		(void)buf_puts(&b, l->rows > 0 ? "\n]\n" : "[]\n");
	} else if (l->rows == 0) {
		(void)buf_puts(&b, "none\n");
	} else if (more) {
		fmt_count(l->rows, shown);
		fmt_count((uint64_t)json_get_int(last, "total"), all);
		out_style(&l->c->out, &b, OUT_DIM, true);
		if (json_get_int(last, "total") > (int64_t)l->rows)
			(void)buf_printf(
				&b, "%s of %s%s shown", shown,
				json_is_true(json_object_get(last, "exact")) ? "" : "about ", all);
		else
			(void)buf_printf(&b, "%s shown, there are more", shown);
		(void)buf_printf(&b, "; %s",
				 method_param(l->a->m, "limit") != NULL ? "--limit N takes more"
									: "the rest is left out");
		out_style(&l->c->out, &b, OUT_DIM, false);
		(void)buf_putc(&b, '\n');
	}
	cli_print(l->c, &b);
}

/* What nothing has stopped yet is in no cause, and is told apart from what is stuck. */
static void put_untried(struct listing *l, const json_t *last)
{
	static const char *const asked[] = { "where", "last_s", "since", "until" };
	AUTO_BUF b = BUF_INIT(OUT_MAX);
	AUTO_BUF line = BUF_INIT(OUT_MAX);
	json_t *status = NULL;
	struct err ignored = ERR_INIT;
	char count[FMT_TIME_LEN];
	int64_t n;

	if (l->a->m != &method_defs[M_CAUSE_LIST] || l->c->json ||
	    json_get_int(last, "total") > (int64_t)l->rows)
		return;
	for (size_t i = 0; i < ARRAY_LEN(asked); i++)
		if (cli_has(l->a->params, asked[i]))
			return;
	if (talk_call(l->c, method_defs[M_STATUS_GET].name, NULL, &status, &ignored) < 0)
		return;
	n = json_get_int(json_object_get(status, "queued"), "recipients") - l->counted;
	json_decref(status);
	if (n <= 0)
		return;
	fmt_count((uint64_t)n, count);
	(void)buf_printf(
		&b,
		"%s more recipient%s not stopped by a reply: new, in delivery, or held before "
		"the first try; weir queue counts them",
		count, n == 1 ? " is" : "s are");
	out_style(&l->c->out, &line, OUT_DIM, true);
	out_wrap(&l->c->out, &line, buf_str(&b), 0);
	out_style(&l->c->out, &line, OUT_DIM, false);
	cli_print(l->c, &line);
}

/* The parameters of the next page; without a limit the relay's own counts. */
static json_t *page_params(const struct listing *l, uint64_t wanted, const char *cursor)
{
	json_t *params = json_copy(l->a->params);
	uint64_t left = wanted - l->rows;

	if (method_param(l->a->m, "limit") != NULL && (l->a->has_limit || !l->c->json))
		(void)json_object_set_new(
			params, "limit",
			json_integer((json_int_t)(left < PROTO_PAGE_MAX ? left : PROTO_PAGE_MAX)));
	if (cursor != NULL)
		(void)json_object_set_new(params, "cursor", json_string(cursor));
	return params;
}

static uint64_t wanted_rows(const struct args *a)
{
	if (a->has_limit)
		return a->limit;
	if (json_is_integer(json_object_get(a->params, "limit")))
		return (uint64_t)json_get_int(a->params, "limit");
	return method_param(a->m, "limit") != NULL ? CLI_ROWS_DEFAULT : UINT64_MAX;
}

int run_list(struct cli *c, const struct args *a, struct err *err)
{
	struct listing l = { .c = c, .a = a };
	uint64_t wanted = wanted_rows(a);
	bool pages = method_param(a->m, "cursor") != NULL;
	json_t *page = NULL;
	int rc;

	do {
		json_t *params =
			page_params(&l, wanted, page != NULL ? json_get_str(page, "next") : NULL);

		json_decref(page);
		page = NULL;
		rc = talk_call(c, a->m->name, params, &page, err);
		if (rc >= 0)
			put_rows(&l, json_object_get(page, "rows"));
	} while (rc >= 0 && pages && l.rows < wanted && cli_has(page, "next") &&
		 json_array_size(json_object_get(page, "rows")) > 0 && c->out.errnum == 0 &&
		 (a->has_limit || !c->json));
	if (rc >= 0)
		put_end(&l, page);
	if (rc >= 0)
		put_untried(&l, page);
	json_decref(page);
	columns_free(&l.columns);
	return rc;
}

/* --- one object ------------------------------------------------------------------------------- */

/* What is no plain field: arrays of objects and objects, one a line. */
static void put_inner(struct cli *c, struct buf *b, const char *title, const json_t *v)
{
	const json_t *one;
	size_t i;

	if (json_is_array(v) && json_array_size(v) > 0) {
		(void)buf_printf(b, "%s\n", title);
		json_array_foreach(v, i, one) put_inner(c, b, "", one);
		return;
	}
	if (json_is_object(v)) {
		const char *name;
		json_t *value;
		bool first = true;

		(void)buf_printf(b, *title != '\0' ? "%-12s" : "  %s", title);
		json_object_foreach((json_t *)(uintptr_t)v, name, value)
		{
			AUTO_BUF text = BUF_INIT(OUT_MAX);

			if (json_is_null(value))
				continue;
			if (json_is_string(value))
				(void)buf_puts(&text, json_string_value(value));
			else
				out_json_line(&c->out, &text, value);
			(void)buf_printf(b, "%s%s ", first ? "" : "  ", name);
			out_clean(&c->out, b, buf_str(&text));
			first = false;
		}
		(void)buf_putc(b, '\n');
	} else if (json_is_string(v)) {
		(void)buf_puts(b, "  ");
		out_clean(&c->out, b, str_of(json_string_value(v)));
		(void)buf_putc(b, '\n');
	}
}

static void put_object(struct cli *c, const struct args *a, struct buf *b, const json_t *object)
{
	columns_put_fields(&c->out, b, a->m->entity, NULL, object);
	for (size_t i = 0; i < field_defs_n; i++)
		if (strcmp(field_defs[i].entity, a->m->entity) == 0 &&
		    field_defs[i].kind == FK_OBJECT)
			put_inner(c, b, field_defs[i].title,
				  json_object_get(object, field_defs[i].name));
}

int run_object(struct cli *c, const struct args *a, struct err *err)
{
	return cli_answer(c, a, put_object, err);
}
