/* Each line is taken apart from left to right; what is left behind its parts may be a comment. */
#include "ctl/config_text.h"

#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "base/utf8.h"

#define PARAM "text" /* of the methods that take such a text */
#define SHOWN 40     /* bytes of a wrong word that are repeated */

void config_reader_init(struct config_reader *r, struct str text)
{
	*r = (struct config_reader){ .rest = text, .value = BUF_INIT(CONFIG_TEXT_VALUE_MAX) };
}

void config_reader_done(struct config_reader *r)
{
	buf_done(&r->value);
}

int config_text_at(struct err *err, const char *param, int line)
{
	if (err != NULL)
		(void)snprintf(err->param, sizeof(err->param), "%s", param);
	return err_prefix(err, "line %d", line);
}

static int refuse(const struct config_reader *r, const char *what, struct str at, struct err *err)
{
	int n = at.n < SHOWN ? (int)at.n : SHOWN;

	(void)err_set(err, ERR_INVALID, at.n > 0 ? "%s, not \"%.*s\"" : "%s", what, n, at.p);
	return config_text_at(err, PARAM, r->line);
}

/* --- pieces of a line ------------------------------------------------------------------------- */

static bool is_word(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
	       (c != '\0' && strchr("-_.:/+", c) != NULL);
}

static struct str cut_word(struct str *s)
{
	size_t n = 0;
	struct str word;

	while (n < s->n && is_word(s->p[n]))
		n++;
	word = str_from(s->p, n);
	*s = str_trim(str_from(s->p + n, s->n - n));
	return word;
}

static bool cut_char(struct str *s, char c)
{
	if (s->n == 0 || s->p[0] != c)
		return false;
	*s = str_trim(str_from(s->p + 1, s->n - 1));
	return true;
}

/* "{1F600}" */
static bool read_code(struct str *s, uint32_t *ret)
{
	uint32_t cp = 0;
	size_t i = 1;

	if (s->n == 0 || s->p[0] != '{')
		return false;
	for (; i < s->n && i < 8 && s->p[i] != '}'; i++) {
		char c = s->p[i];
		if (c >= '0' && c <= '9')
			cp = cp * 16 + (uint32_t)(c - '0');
		else if (c >= 'A' && c <= 'F')
			cp = cp * 16 + (uint32_t)(c - 'A' + 10);
		else if (c >= 'a' && c <= 'f')
			cp = cp * 16 + (uint32_t)(c - 'a' + 10);
		else
			return false;
	}
	if (i < 2 || i >= s->n || s->p[i] != '}' || cp == 0 || cp > 0x10ffff ||
	    (cp >= 0xd800 && cp <= 0xdfff))
		return false;
	*s = str_from(s->p + i + 1, s->n - i - 1);
	*ret = cp;
	return true;
}

static bool put_escape(struct buf *out, struct str *s)
{
	static const char from[] = "\"\\ntr", to[] = "\"\\\n\t\r";
	const char *at = s->n > 0 && s->p[0] != '\0' ? strchr(from, s->p[0]) : NULL;
	char text[4];
	uint32_t cp;
	bool code = s->n > 0 && s->p[0] == 'u';

	if (!code && at == NULL)
		return false;
	*s = str_from(s->p + 1, s->n - 1);
	if (at != NULL)
		return buf_putc(out, to[at - from]);
	return read_code(s, &cp) && buf_put(out, text, utf8_encode(cp, text));
}

/* Behind the first quote, up to the last one. */
static int read_quoted(struct config_reader *r, struct str *s, struct err *err)
{
	while (s->n > 0 && s->p[0] != '"') {
		char c = s->p[0];
		*s = str_from(s->p + 1, s->n - 1);
		if (c != '\\' ? !buf_putc(&r->value, c) : !put_escape(&r->value, s))
			return r->value.full
				       ? refuse(r, "a text is longer than 8192 bytes", STR(""), err)
				       : refuse(r,
						"behind a backslash in a text stands one of \" \\ "
						"n t r, or u{CODE}",
						*s, err);
	}
	if (s->n == 0)
		return refuse(r, "a text in quotes does not end on its line", STR(""), err);
	(void)cut_char(s, '"');
	return 0;
}

static int read_value(struct config_reader *r, struct str *s, struct err *err)
{
	struct str word;

	buf_reset(&r->value);
	r->quoted = s->n > 0 && s->p[0] == '"';
	if (r->quoted) {
		*s = str_from(s->p + 1, s->n - 1);
		return read_quoted(r, s, err);
	}
	word = cut_word(s);
	if (word.n == 0)
		return refuse(r, "a value is a word or a text in quotes", *s, err);
	return buf_put_str(&r->value, word)
		       ? 0
		       : refuse(r, "a word is longer than 8192 bytes", STR(""), err);
}

/* --- lines ------------------------------------------------------------------------------------ */

static int read_rest(const struct config_reader *r, struct str s, int found, struct err *err)
{
	if (s.n == 0 || s.p[0] == '#')
		return found;
	return refuse(r, "the line ends here, or a comment begins with #", s, err);
}

static int read_line(struct config_reader *r, struct str s, struct err *err)
{
	int rc;

	if (cut_char(&s, '}'))
		return read_rest(r, s, CONFIG_LINE_CLOSE, err);
	r->word = cut_word(&s);
	if (r->word.n == 0)
		return refuse(r, "a line is KEY = VALUE, KIND \"TITLE\" { or }", s, err);
	if (cut_char(&s, '=')) {
		rc = read_value(r, &s, err);
		return rc < 0 ? rc : read_rest(r, s, CONFIG_LINE_KEY, err);
	}
	buf_reset(&r->value);
	r->quoted = false;
	if (s.n > 0 && s.p[0] == '"') {
		rc = read_value(r, &s, err);
		if (rc < 0)
			return rc;
	}
	if (!cut_char(&s, '{'))
		return refuse(r, "behind a word stands = VALUE, or \"TITLE\" {", s, err);
	return read_rest(r, s, CONFIG_LINE_OPEN, err);
}

int config_reader_next(struct config_reader *r, struct err *err)
{
	while (r->rest.n > 0) {
		struct str s = str_cut(&r->rest, '\n');

		r->line++;
		if (s.n > 0 && s.p[s.n - 1] == '\r')
			s.n--;
		if (!utf8_valid(s) || (s.n > 0 && memchr(s.p, '\0', s.n) != NULL))
			return refuse(r, "this is no text in UTF-8", STR(""), err);
		s = str_trim(s);
		if (s.n > 0 && s.p[0] != '#')
			return read_line(r, s, err);
	}
	return CONFIG_LINE_END;
}

/* --- writing ---------------------------------------------------------------------------------- */

void config_text_put(struct buf *out, struct str value)
{
	(void)buf_putc(out, '"');
	while (value.n > 0) {
		uint32_t cp;
		size_t n = utf8_decode(value, &cp);
		if (cp == '"' || cp == '\\')
			(void)buf_printf(out, "\\%c", (char)cp);
		else if (cp == '\n' || cp == '\t' || cp == '\r')
			(void)buf_puts(out, cp == '\n' ? "\\n" : cp == '\t' ? "\\t" : "\\r");
		else if (utf8_harmful(cp))
			(void)buf_printf(out, "\\u{%X}", (unsigned)cp);
		else
			(void)buf_put(out, value.p, n);
		value = str_from(value.p + n, value.n - n);
	}
	(void)buf_putc(out, '"');
}
