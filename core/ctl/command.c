/*
 * The command line that does what a method with these parameters does, to be copied into a shell.
 */
#include <string.h>

#include "base/mem.h"
#include "ctl/actions_int.h"

/* One word for a POSIX shell. */
static void put_word(struct buf *out, struct str word)
{
	static const char plain[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
				    "0123456789._@/+=:,%-";
	bool quote = word.n == 0;
	for (size_t i = 0; i < word.n; i++)
		quote = quote || word.p[i] == '\0' || strchr(plain, word.p[i]) == NULL;
	if (!quote) {
		(void)buf_put_str(out, word);
		return;
	}
	(void)buf_putc(out, '\'');
	for (size_t i = 0; i < word.n; i++) {
		if (word.p[i] == '\'')
			(void)buf_puts(out, "'\\''");
		else
			(void)buf_putc(out, word.p[i]);
	}
	(void)buf_putc(out, '\'');
}

static void put_value(const struct param_def *p, const json_t *v, struct buf *out)
{
	const char *text = json_string_value(v);
	if (json_is_integer(v)) {
		(void)buf_printf(out, "%lld%s", (long long)json_integer_value(v),
				 p->type == T_AGE ? "s" : "");
		return;
	}
	if (json_is_array(v)) {
		AUTO_BUF list = BUF_INIT(FILTER_TEXT_MAX);
		for (size_t i = 0; i < json_array_size(v); i++)
			(void)buf_printf(&list, "%s%s", i > 0 ? "," : "",
					 json_string_value(json_array_get(v, i)));
		put_word(out, buf_str(&list));
		return;
	}
	if (p->type == T_FILE) { /* it may be a secret */
		(void)buf_puts(out, "FILE");
		return;
	}
	/* what begins with a dash would be an option */
	if (p->positional && p->type == T_TARGET && text != NULL && text[0] == '-') {
		AUTO_FREE char *where = xasprintf("where:%s", text);
		put_word(out, str_of(where));
		return;
	}
	put_word(out, str_of(text != NULL ? text : ""));
}

/* --for of for_s. */
static void put_option(const struct param_def *p, struct buf *out)
{
	size_t n = strlen(p->name);
	if (p->option != NULL) {
		(void)buf_printf(out, " --%s", p->option);
		return;
	}
	if (n > 2 && strcmp(p->name + n - 2, "_s") == 0)
		n -= 2;
	(void)buf_puts(out, " --");
	for (size_t i = 0; i < n; i++)
		(void)buf_putc(out, p->name[i] == '_' ? '-' : p->name[i]);
}

static void put_param(const struct param_def *p, const json_t *params, struct buf *out)
{
	const json_t *v = p != NULL ? json_object_get(params, p->name) : NULL;
	if (v == NULL || json_is_null(v) || json_is_false(v))
		return;
	if (!p->positional)
		put_option(p, out);
	if (json_is_true(v))
		return;
	(void)buf_putc(out, ' ');
	put_value(p, v, out);
}

void command_line(const struct method_def *m, const json_t *params, struct buf *out)
{
	(void)buf_printf(out, "weir %s", m->cli != NULL ? m->cli : m->name);
	for (size_t i = 0; i < PROTO_PARAMS_MAX && m->params[i].name != NULL; i++)
		put_param(&m->params[i], params, out);
	put_param(method_param(m, "probation_s"), params, out);
}
