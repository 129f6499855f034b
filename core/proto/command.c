/*
 * A method's call as a command line. Options stand first and then, where one of them needs it, "--"
 * and the positional words; a value that begins with '-' is joined to its option. tests/unit/args
 * reads every line that is made here back with what reads command lines.
 */
#include <string.h>

#include "base/mem.h"
#include "proto/proto.h"

#define LIST_MAX ((size_t)PROTO_REQUEST_MAX)

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

void proto_put_age(struct buf *out, int64_t s)
{
	static const struct {
		int64_t s;
		char letter;
	} units[] = { { 86400, 'd' }, { 3600, 'h' }, { 60, 'm' }, { 1, 's' } };
	size_t before = out->n;

	for (size_t i = 0; i < ARRAY_LEN(units); i++) {
		if (s >= units[i].s)
			(void)buf_printf(out, "%lld%c", (long long)(s / units[i].s),
					 units[i].letter);
		s %= units[i].s;
	}
	if (out->n == before)
		(void)buf_puts(out, "0s");
}

/* With commas; '\' takes their meaning from commas and from itself. An empty text at the end is
 * told from none by a comma behind it. */
static void put_list(const json_t *list, struct buf *out)
{
	size_t n = json_array_size(list);

	for (size_t i = 0; i < n; i++) {
		const char *one = json_string_value(json_array_get(list, i));

		if (i > 0)
			(void)buf_putc(out, ',');
		for (const char *p = one != NULL ? one : ""; *p != '\0'; p++) {
			if (*p == ',' || *p == '\\')
				(void)buf_putc(out, '\\');
			(void)buf_putc(out, *p);
		}
		if (i + 1 == n && (one == NULL || *one == '\0'))
			(void)buf_putc(out, ',');
	}
}

/* Up to the next comma that means one. */
static json_t *next_string(struct str *rest)
{
	AUTO_BUF one = BUF_INIT(rest->n);
	size_t i = 0;

	for (; i < rest->n && rest->p[i] != ','; i++) {
		if (rest->p[i] == '\\' && i + 1 < rest->n &&
		    (rest->p[i + 1] == ',' || rest->p[i + 1] == '\\'))
			i++;
		(void)buf_putc(&one, rest->p[i]);
	}
	i += i < rest->n;
	rest->p += i;
	rest->n -= i;
	return json_stringn(buf_cstr(&one), one.n);
}

json_t *proto_strings(struct str text)
{
	json_t *all = json_array();

	while (text.n > 0)
		(void)json_array_append_new(all, next_string(&text));
	return all;
}

void proto_put_value(struct buf *out, const struct param_def *p, const json_t *v)
{
	if (json_is_integer(v) && p->type == T_AGE)
		proto_put_age(out, json_integer_value(v));
	else if (json_is_integer(v))
		(void)buf_printf(out, "%lld", (long long)json_integer_value(v));
	else if (json_is_array(v))
		put_list(v, out);
	else
		(void)buf_put_str(out, str_from(json_string_value(v), json_string_length(v)));
}

static void put_option(const struct param_def *p, struct buf *out)
{
	char name[PROTO_OPTION_LEN];

	param_option(p, name);
	(void)buf_printf(out, " --%s", name);
}

/* A demanded reason is called as help calls it, when none is said yet. */
static void put_reason(const struct method_def *m, struct buf *out)
{
	const struct param_def *p = method_param(m, "reason");

	put_option(p, out);
	(void)buf_printf(out, " %s", p->metavar);
}

static const json_t *given(const struct param_def *p, const json_t *params)
{
	const json_t *v = json_object_get(params, p->name);

	return v == NULL || json_is_null(v) || json_is_false(v) ? NULL : v;
}

static void put_named(const struct param_def *p, const json_t *params, struct buf *out)
{
	AUTO_BUF value = BUF_INIT(LIST_MAX);
	const json_t *v = given(p, params);

	if (v == NULL || (p->option != NULL && *p->option == '\0'))
		return;
	put_option(p, out);
	if (json_is_true(v))
		return;
	proto_put_value(&value, p, v);
	(void)buf_putc(out, value.n > 0 && value.p[0] == '-' ? '=' : ' ');
	put_word(out, buf_str(&value));
}

/* Whether the word would be taken for an option. */
static bool put_positional(const struct param_def *p, const json_t *params, struct buf *out)
{
	AUTO_BUF value = BUF_INIT(LIST_MAX);
	const json_t *v = given(p, params);

	if (v == NULL)
		return false;
	proto_put_value(&value, p, v);
	(void)buf_putc(out, ' ');
	put_word(out, buf_str(&value));
	return value.n > 1 && value.p[0] == '-';
}

void proto_put_command(struct buf *b, const struct method_def *m, const json_t *params)
{
	AUTO_BUF words = BUF_INIT(LIST_MAX);
	AUTO_BUF named = BUF_INIT(LIST_MAX);
	const struct param_def *p;
	bool dashes = false;

	for (size_t i = 0; (p = method_param_at(m, i)) != NULL; i++) {
		if (!p->positional)
			put_named(p, params, &named);
		else if (put_positional(p, params, &words))
			dashes = true;
	}
	if ((m->flags & MF_REASON) != 0 && given(method_param(m, "reason"), params) == NULL)
		put_reason(m, &named);
	(void)buf_printf(b, "weir %s", m->cli != NULL ? m->cli : m->name);
	if (!dashes)
		(void)buf_put_str(b, buf_str(&words));
	(void)buf_put_str(b, buf_str(&named));
	if (dashes) {
		(void)buf_puts(b, " --");
		(void)buf_put_str(b, buf_str(&words));
	}
}
