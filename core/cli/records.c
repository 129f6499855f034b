/* records - DNS records that are to be published, unbroken, so that they can be copied. */
#include "base/json.h"
#include "cli/cli_int.h"

static void put_line(const struct out *o, struct buf *b, const char *title, const char *text)
{
	(void)buf_printf(b, "  %-7s", title);
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

int run_records(struct cli *c, const struct args *a, struct err *err)
{
	AUTO_BUF b = BUF_INIT(OUT_MAX);
	json_t *result = NULL;
	const json_t *r;
	size_t i;
	int rc = talk_call(c, a->m->name, json_copy(a->params), &result, err);

	if (rc < 0)
		return rc;
	if (c->json) {
		cli_print_json(c, result);
	} else {
		json_array_foreach(json_object_get(result, "records"), i, r)
		{
			if (i > 0)
				(void)buf_putc(&b, '\n');
			put_record(&c->out, &b, r);
		}
		cli_print(c, &b);
	}
	json_decref(result);
	return 0;
}
