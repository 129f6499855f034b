/* Names and units come from methods.def and fields.def, kind by kind: no kind is known here. */
#include "ctl/change_text.h"

#include <stdio.h>
#include <string.h>

#include "base/fmt.h"
#include "base/json.h"
#include "base/mem.h"

#define VALUE_COLS 120 /* bytes of one value in a text */

/* One member of an object as tables know it. */
struct member {
	const char *name; /* as it is kept */
	const struct param_def *p;
	const struct field_def *f;
};

static bool ends_with(const char *s, const char *end)
{
	size_t n = strlen(s), k = strlen(end);

	return n >= k && strcmp(s + n - k, end) == 0;
}

/* The parameter of "stream.set" or "stream.add". */
static const struct param_def *param_of(const char *kind, const char *name)
{
	static const char *const verbs[] = { "set", "add" };

	for (size_t i = 0; i < ARRAY_LEN(verbs); i++) {
		AUTO_FREE char *method = xasprintf("%s.%s", kind, verbs[i]);
		const struct method_def *m = method_find(method);
		const struct param_def *p = m != NULL ? method_param(m, name) : NULL;

		if (p != NULL && !p->positional)
			return p;
	}
	return NULL;
}

static struct member member_of(const char *kind, const char *name)
{
	struct member x = { .name = name, .p = param_of(kind, name), .f = field_find(kind, name) };

	if (x.f == NULL && ends_with(name, "_ms")) {
		AUTO_FREE char *at = xasprintf("%.*s_at", (int)strlen(name) - 3, name);
		x.f = field_find(kind, at);
	}
	return x;
}

/* What says who and when is in the version, and the id beside the text. */
static bool is_silent(const char *name)
{
	static const char *const names[] = { "id", "by", "created_ms" };

	for (size_t i = 0; i < ARRAY_LEN(names); i++)
		if (strcmp(names[i], name) == 0)
			return true;
	return false;
}

static bool is_place(const struct member *x)
{
	return strcmp(x->name, "place") == 0;
}

static bool is_known(const struct member *x)
{
	/* times are for people, whatever they are called */
	return !is_silent(x->name) &&
	       (x->p != NULL || x->f != NULL || is_place(x) || ends_with(x->name, "_ms"));
}

/* --- what is not there ------------------------------------------------------------------------ */

static const char *zero_of(const struct member *x)
{
	return x->f != NULL ? x->f->zero : NULL;
}

static const char *absent_of(const struct member *x)
{
	const char *words = x->f == NULL ? NULL : x->f->null != NULL ? x->f->null : x->f->empty;

	return words != NULL ? words : "none";
}

static bool is_empty(const struct member *x, const json_t *v)
{
	if (json_is_string(v))
		return json_string_length(v) == 0;
	if (json_is_integer(v))
		return json_integer_value(v) < 0 ||
		       (json_integer_value(v) == 0 && zero_of(x) == NULL);
	return v == NULL || json_is_null(v) || json_is_false(v) ||
	       (json_is_array(v) && json_array_size(v) == 0) ||
	       (json_is_object(v) && json_object_size(v) == 0);
}

/* --- values ----------------------------------------------------------------------------------- */

static void put_text(struct buf *out, const char *text)
{
	bool quote = *text == '\0' || strpbrk(text, " ,\"") != NULL;
	size_t n = strlen(text);

	(void)buf_printf(out, quote ? "\"%.*s%s\"" : "%.*s%s", VALUE_COLS, text,
			 n > VALUE_COLS ? "..." : "");
}

static void put_time(struct buf *out, int64_t ms)
{
	char when[FMT_TIME_LEN];

	fmt_time(ms, when);
	(void)buf_printf(out, "%.10s %.8sZ", when, when + 11);
}

/* What is kept of a part, such as a secret: its name, and when it ends. */
static void put_part(struct buf *out, const json_t *part)
{
	int64_t ends_ms = json_get_int(part, "expires_ms");

	(void)buf_puts(out, json_get_str(part, "id"));
	if (ends_ms > 0) {
		(void)buf_puts(out, " until ");
		put_time(out, ends_ms);
	}
}

static void put_integer(struct buf *out, const struct member *x, int64_t n)
{
	if (n == 0 && zero_of(x) != NULL)
		(void)buf_puts(out, zero_of(x));
	else if (ends_with(x->name, "_ms"))
		put_time(out, n);
	else if (ends_with(x->name, "_s"))
		proto_put_age(out, n);
	else
		(void)buf_printf(out, "%lld", (long long)n);
}

static void put_value(struct buf *out, const struct member *x, const json_t *v)
{
	const json_t *one;
	size_t i;

	if (is_empty(x, v)) {
		(void)buf_puts(out, absent_of(x));
	} else if (json_is_string(v)) {
		put_text(out, json_string_value(v));
	} else if (json_is_array(v)) {
		json_array_foreach(v, i, one)
		{
			if (i > 0)
				(void)buf_putc(out, ',');
			put_value(out, x, one);
		}
	} else if (json_is_object(v)) {
		put_part(out, v);
	} else if (json_is_integer(v)) {
		put_integer(out, x, json_integer_value(v));
	} else {
		(void)buf_puts(out, json_is_true(v) ? "yes" : "no");
	}
}

/* --- the whole -------------------------------------------------------------------------------- */

static void put_name(struct buf *out, const struct member *x)
{
	const char *name = x->name;
	size_t n;

	if (x->p != NULL)
		name = x->p->option != NULL ? x->p->option : x->p->name;
	else if (x->f != NULL)
		name = x->f->title;
	n = strlen(name);
	n -= ends_with(name, "_s") ? 2 : ends_with(name, "_ms") ? 3 : 0;
	(void)buf_puts(out, out->n > 0 ? ", " : "");
	for (size_t i = 0; i < n; i++)
		(void)buf_putc(out, name[i] == '_' ? '-' : name[i]);
}

static bool same(const json_t *a, const json_t *b)
{
	return a == b || (a != NULL && b != NULL && json_equal(a, b));
}

static void put_whole(struct buf *out, const char *kind, const char *id, const json_t *object)
{
	const char *name;
	json_t *v;

	json_object_foreach((json_t *)(uintptr_t)object, name, v)
	{
		struct member x = member_of(kind, name);

		if (!is_known(&x) || is_empty(&x, v) || is_place(&x) ||
		    (json_is_string(v) && strcmp(json_string_value(v), id) == 0))
			continue;
		put_name(out, &x);
		(void)buf_putc(out, ' ');
		put_value(out, &x, v);
	}
}

static void put_member(struct buf *out, const struct member *x, const json_t *before,
		       const json_t *after)
{
	if (!is_known(x) || same(before, after) || (is_empty(x, before) && is_empty(x, after)))
		return;
	put_name(out, x);
	if (is_place(x)) {
		(void)buf_puts(out, json_number_value(after) < json_number_value(before)
					    ? " earlier"
					    : " later");
		return;
	}
	(void)buf_putc(out, ' ');
	put_value(out, x, before);
	(void)buf_puts(out, " -> ");
	put_value(out, x, after);
}

static void put_difference(struct buf *out, const char *kind, const json_t *before,
			   const json_t *after)
{
	const char *name;
	json_t *v;

	json_object_foreach((json_t *)(uintptr_t)before, name, v)
	{
		struct member x = member_of(kind, name);
		put_member(out, &x, v, json_object_get(after, name));
	}
	json_object_foreach((json_t *)(uintptr_t)after, name, v)
	{
		struct member x = member_of(kind, name);
		if (json_object_get(before, name) == NULL)
			put_member(out, &x, NULL, v);
	}
}

void change_text_put(struct buf *out, const char *kind, const char *id, const json_t *before,
		     const json_t *after)
{
	if (json_is_object(before) && json_is_object(after))
		put_difference(out, kind, before, after);
	else
		put_whole(out, kind, id, json_is_object(after) ? after : before);
}
