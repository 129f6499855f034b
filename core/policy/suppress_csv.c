#include "policy/suppress_csv.h"

#include <stdio.h>

#include "base/buf.h"
#include "base/fmt.h"
#include "base/mem.h"
#include "base/utf8.h"

#define FIELDS_MAX 64
#define FIELD_MAX 2048

static const struct {
	const char *name;
	enum suppress_csv_field field;
} names[] = {
	{ "address", CSV_ADDRESS },   { "email", CSV_ADDRESS },	     { "e-mail", CSV_ADDRESS },
	{ "recipient", CSV_ADDRESS }, { "domain", CSV_ADDRESS },     { "stream", CSV_STREAM },
	{ "scope", CSV_STREAM },      { "reason", CSV_REASON },	     { "note", CSV_REASON },
	{ "comment", CSV_REASON },    { "expires_at", CSV_EXPIRES }, { "expires", CSV_EXPIRES },
	{ "until", CSV_EXPIRES },
};

/* --- fields ----------------------------------------------------------------------------------- */

static int take_quoted(struct str *rest, char separator, struct buf *out, struct err *err)
{
	size_t i = 1;
	for (;; i++) {
		if (i >= rest->n)
			return err_set(err, ERR_INVALID, "a quotation mark is not closed");
		if (rest->p[i] != '"')
			(void)buf_putc(out, rest->p[i]);
		else if (i + 1 < rest->n && rest->p[i + 1] == '"')
			(void)buf_putc(out, rest->p[i++]);
		else
			break;
	}
	*rest = str_from(rest->p + i + 1, rest->n - i - 1);
	*rest = str_trim(*rest);
	if (rest->n > 0 && rest->p[0] != separator)
		return err_set(err, ERR_INVALID, "text behind a closing quotation mark");
	return 0;
}

static bool is_blank(char c, char separator)
{
	return c == ' ' || (c == '\t' && separator != '\t');
}

/* Cuts the next field off; *ret_more: a separator followed. */
static int take_field(struct str *rest, char separator, struct buf *out, bool *ret_more,
		      struct err *err)
{
	struct str text;
	int rc = 0;
	buf_reset(out);
	while (rest->n > 0 && is_blank(rest->p[0], separator))
		*rest = str_from(rest->p + 1, rest->n - 1);
	if (rest->n > 0 && rest->p[0] == '"') {
		rc = take_quoted(rest, separator, out, err);
		*ret_more = rest->n > 0;
		if (rest->n > 0)
			*rest = str_from(rest->p + 1, rest->n - 1);
	} else {
		*ret_more = str_index(*rest, separator) >= 0;
		text = str_trim(str_cut(rest, separator));
		(void)buf_put_str(out, text);
	}
	if (rc >= 0 && out->full)
		rc = err_set(err, ERR_INVALID, "a field is longer than %d bytes", FIELD_MAX);
	return rc;
}

/* --- the first line --------------------------------------------------------------------------- */

static char find_separator(struct str line)
{
	bool quoted = false;
	for (size_t i = 0; i < line.n; i++) {
		if (line.p[i] == '"')
			quoted = !quoted;
		else if (!quoted && (line.p[i] == ',' || line.p[i] == ';' || line.p[i] == '\t'))
			return line.p[i];
	}
	return ',';
}

static bool name_find(struct str name, enum suppress_csv_field *ret)
{
	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		if (!str_eq_nocase(name, str_of(names[i].name)))
			continue;
		*ret = names[i].field;
		return true;
	}
	return false;
}

/* Whether the line names its fields: then one of them is the address. */
static bool take_header(struct suppress_csv *c, struct str line)
{
	AUTO_BUF text = BUF_INIT(FIELD_MAX + 1);
	int column[CSV__COUNT];
	bool more = true;
	for (int f = 0; f < CSV__COUNT; f++)
		column[f] = -1;
	for (int i = 0; more && i < FIELDS_MAX; i++) {
		enum suppress_csv_field f;
		if (take_field(&line, c->separator, &text, &more, NULL) < 0)
			return false;
		if (name_find(buf_str(&text), &f) && column[f] < 0)
			column[f] = i;
	}
	if (column[CSV_ADDRESS] < 0)
		return false;
	memcpy(c->column, column, sizeof(column));
	return true;
}

/* True: the line is a header. */
static bool begin(struct suppress_csv *c, struct str line)
{
	c->begun = true;
	c->separator = find_separator(line);
	for (int f = 0; f < CSV__COUNT; f++)
		c->column[f] = -1;
	if (take_header(c, line))
		return true;
	c->column[CSV_ADDRESS] = 0;
	c->column[CSV_REASON] = 1;
	return false;
}

/* --- rows ------------------------------------------------------------------------------------- */

static int take_expiry(struct str text, int64_t *ret_ms, struct err *err)
{
	AUTO_FREE char *whole = NULL;
	if (text.n == 0)
		return 0;
	if (text.n == 10)
		whole = xasprintf("%.*sT00:00:00Z", STR_ARG(text));
	if (fmt_parse_time(whole != NULL ? str_of(whole) : text, ret_ms))
		return 0;
	return err_set(err, ERR_INVALID, "its end is no time such as 2027-01-31T00:00:00Z");
}

static int take(struct suppress_csv_row *row, enum suppress_csv_field f, struct str text,
		struct err *err)
{
	switch (f) {
	case CSV_ADDRESS:
		return suppress_address(text, row->address, err);
	case CSV_STREAM:
		if (str_starts(text, STR(SUPPRESS_SCOPE)))
			text = str_from(text.p + sizeof(SUPPRESS_SCOPE) - 1,
					text.n - (sizeof(SUPPRESS_SCOPE) - 1));
		if (str_eq(text, STR("all")))
			text = STR("");
		if (!suppress_scope_valid(text))
			return err_set(err, ERR_INVALID, "this is no stream's name");
		(void)snprintf(row->scope, sizeof(row->scope), "%.*s", STR_ARG(text));
		return 0;
	case CSV_REASON:
		if (text.n > SUPPRESS_REASON_MAX)
			return err_set(err, ERR_INVALID, "the reason has more than %d bytes",
				       SUPPRESS_REASON_MAX);
		(void)snprintf(row->reason, sizeof(row->reason), "%.*s", STR_ARG(text));
		return 0;
	case CSV_EXPIRES:
		return take_expiry(text, &row->expires_ms, err);
	case CSV__COUNT:
		break;
	}
	return 0;
}

/* U+FFFD is what a program before us made of bytes that were none. */
static bool is_text(struct str line)
{
	for (size_t i = 0; i < line.n; i++)
		if (((unsigned char)line.p[i] < ' ' && line.p[i] != '\t') ||
		    (line.n - i >= 3 && memcmp(line.p + i, "\xef\xbf\xbd", 3) == 0))
			return false;
	return utf8_valid(line);
}

int suppress_csv_line(struct suppress_csv *c, struct str line, struct suppress_csv_row *ret_row,
		      struct err *err)
{
	AUTO_BUF text = BUF_INIT(FIELD_MAX + 1);
	bool more = true;
	int rc = 0;
	if (line.n > 0 && line.p[line.n - 1] == '\r')
		line.n--;
	if (!c->begun && str_starts(line, STR("\xef\xbb\xbf")))
		line = str_from(line.p + 3, line.n - 3);
	if (str_trim(line).n == 0 || str_trim(line).p[0] == '#')
		return 0;
	if (!is_text(line))
		return err_set(err, ERR_INVALID, "control characters, or no UTF-8");
	if (!c->begun && begin(c, line))
		return 0;
	*ret_row = (struct suppress_csv_row){ .expires_ms = 0 };
	for (int i = 0; rc >= 0 && more && i < FIELDS_MAX; i++) {
		rc = take_field(&line, c->separator, &text, &more, err);
		for (int f = 0; rc >= 0 && f < CSV__COUNT; f++)
			if (c->column[f] == i)
				rc = take(ret_row, (enum suppress_csv_field)f, buf_str(&text), err);
	}
	if (rc >= 0 && ret_row->address[0] == '\0')
		rc = err_set(err, ERR_INVALID, "there is no address in it");
	return rc < 0 ? rc : 1;
}

bool suppress_csv_put(struct buf *out, struct str field)
{
	bool quote = false;
	for (size_t i = 0; i < field.n; i++)
		quote = quote || strchr("\",;\t\r\n#", field.p[i]) != NULL;
	if (!quote)
		return buf_put_str(out, field);
	(void)buf_putc(out, '"');
	for (size_t i = 0; i < field.n; i++) {
		char ch = field.p[i] == '\r' || field.p[i] == '\n' ? ' ' : field.p[i];
		if (ch == '"')
			(void)buf_putc(out, '"');
		(void)buf_putc(out, ch);
	}
	return buf_putc(out, '"');
}
