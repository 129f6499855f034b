#include "base/json.h"

#include "base/buf.h"
#include "base/fmt.h"
#include "base/mem.h"
#include "base/utf8.h"

json_t *json_text(struct str s)
{
	AUTO_BUF clean = BUF_INIT(3 * s.n + 1); /* U+FFFD has three bytes */
	json_t *v;

	if (s.n == 0)
		return json_string("");
	v = memchr(s.p, 0, s.n) == NULL ? json_stringn(s.p, s.n) : NULL;
	if (v != NULL)
		return v;
	for (struct str rest = s; rest.n > 0;) {
		struct str piece = str_cut(&rest, '\0');
		(void)utf8_put_clean(&clean, piece);
		if (piece.n + rest.n < (size_t)(s.p + s.n - piece.p))
			(void)buf_puts(&clean, "\xef\xbf\xbd"); /* readers refuse NUL */
	}
	return json_stringn_nocheck(buf_cstr(&clean), clean.n);
}

json_t *json_text_or_null(struct str s)
{
	return s.n > 0 ? json_text(s) : json_null();
}

json_t *json_time(int64_t wall_ms)
{
	char text[FMT_TIME_LEN];

	if (wall_ms == 0)
		return json_null();
	fmt_time(wall_ms, text);
	return json_string(text);
}

int json_read(const char *text, json_t **ret_object, struct err *err)
{
	json_error_t why;
	json_t *v = json_loads(text, JSON_REJECT_DUPLICATES, &why);

	if (v == NULL)
		return err_set(err, ERR_CORRUPT, "not JSON: %s at byte %d", why.text, why.position);
	if (!json_is_object(v)) {
		json_decref(v);
		return err_set(err, ERR_CORRUPT, "not a JSON object");
	}
	*ret_object = v;
	return 0;
}

const char *json_get_str(const json_t *object, const char *name)
{
	const char *s = json_string_value(json_object_get(object, name));

	return s != NULL ? s : "";
}

char *json_dup_str(const json_t *object, const char *name)
{
	return xstrdup(json_get_str(object, name));
}

int64_t json_get_int(const json_t *object, const char *name)
{
	return json_integer_value(json_object_get(object, name));
}

bool json_get_bool(const json_t *object, const char *name)
{
	return json_is_true(json_object_get(object, name));
}

void json_put_escaped(struct buf *out, struct str text)
{
	size_t from = 0;

	for (size_t i = 0; i < text.n; i++) {
		unsigned char c = (unsigned char)text.p[i];
		if (c >= ' ' && c != '"' && c != '\\')
			continue;
		(void)buf_put(out, text.p + from, i - from);
		from = i + 1;
		if (c == '"' || c == '\\')
			(void)buf_printf(out, "\\%c", c);
		else if (c == '\n' || c == '\t')
			(void)buf_puts(out, c == '\n' ? "\\n" : "\\t");
		else
			(void)buf_printf(out, "\\u%04x", (unsigned)c);
	}
	(void)buf_put(out, text.p + from, text.n - from);
}

json_t *json_read_next(const char **at)
{
	json_error_t e;
	json_t *v;

	if (**at != '[' && **at != ',') {
		*at = strcmp(*at, "]") == 0 ? *at : NULL;
		return NULL;
	}
	if (strcmp(*at, "[]") == 0)
		return (*at)++, NULL;
	v = json_loads(*at + 1, JSON_DISABLE_EOF_CHECK | JSON_DECODE_ANY, &e);
	*at = v != NULL ? *at + 1 + e.position : NULL;
	return v;
}
