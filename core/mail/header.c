/*
 * Fields are found line by line with memchr; nothing is copied until something is decoded.
 * header_decode() lives in header_decode.c.
 */
#include "mail/header.h"

#include <string.h>

/* The next line of *rest with its end; empty at the end. */
static struct str take_line(struct str *rest)
{
	ptrdiff_t lf = str_index(*rest, '\n');
	struct str line = str_from(rest->p, lf >= 0 ? (size_t)lf + 1 : rest->n);

	rest->p += line.n;
	rest->n -= line.n;
	return line;
}

static struct str without_end(struct str line)
{
	if (line.n > 0 && line.p[line.n - 1] == '\n')
		line.n--;
	if (line.n > 0 && line.p[line.n - 1] == '\r')
		line.n--;
	return line;
}

/* The length of the field name at the beginning of a line, 0 when there is none. */
static size_t name_length(struct str line)
{
	size_t n = 0;
	size_t colon;

	while (n < line.n && line.p[n] > ' ' && line.p[n] < 0x7f && line.p[n] != ':')
		n++;
	/* RFC 5322 (4.5.2) has spaces before the colon in its obsolete syntax */
	for (colon = n; colon < line.n && (line.p[colon] == ' ' || line.p[colon] == '\t');)
		colon++;
	return colon < line.n && line.p[colon] == ':' ? n : 0;
}

static bool is_continuation(struct str s)
{
	return s.n > 0 && (s.p[0] == ' ' || s.p[0] == '\t');
}

bool header_next(struct str *rest, struct header_field *ret)
{
	struct str line = without_end(str_from(rest->p, rest->n));
	struct str whole = { rest->p, 0 };
	size_t name = name_length(line);
	struct str value;

	if (name == 0)
		return false;
	do
		whole.n += take_line(rest).n;
	while (is_continuation(*rest) && without_end(*rest).n > 0);
	value = without_end(whole);
	(void)str_cut(&value, ':');
	ret->name = str_from(whole.p, name);
	ret->value = str_trim(value);
	ret->whole = whole;
	return true;
}

void header_scan(struct str message, struct header_facts *ret)
{
	struct str rest = message;
	struct header_field f;
	struct header_facts facts = { .message_id = { message.p, 0 }, .subject = { message.p, 0 } };

	while (header_next(&rest, &f)) {
		facts.fields++;
		if (str_eq_nocase(f.name, STR("Received")))
			facts.received++;
		else if (str_eq_nocase(f.name, STR("From")))
			facts.has_from = true;
		else if (str_eq_nocase(f.name, STR("Date")))
			facts.has_date = true;
		else if (str_eq_nocase(f.name, STR("Bcc")))
			facts.has_bcc = true;
		else if (str_eq_nocase(f.name, STR("Message-ID")) && facts.message_id.n == 0)
			facts.message_id = f.value;
		else if (str_eq_nocase(f.name, STR("Subject")) && facts.subject.n == 0)
			facts.subject = f.value;
	}
	facts.block = str_from(message.p, message.n - rest.n);
	for (size_t i = 0; i < facts.block.n && !facts.eight_bit; i++)
		facts.eight_bit = (unsigned char)facts.block.p[i] >= 0x80;
	if (rest.n > 0) {
		struct str line = take_line(&rest);
		facts.malformed = without_end(line).n > 0;
		facts.body_at = message.n - rest.n - (facts.malformed ? line.n : 0);
	} else {
		facts.body_at = message.n;
	}
	*ret = facts;
}

bool header_find(struct str block, struct str name, struct header_field *ret)
{
	struct header_field f;

	while (header_next(&block, &f))
		if (str_eq_nocase(f.name, name)) {
			*ret = f;
			return true;
		}
	return false;
}

bool header_strip(struct str block, struct str name, struct buf *out)
{
	struct header_field f;

	while (header_next(&block, &f))
		if (!str_eq_nocase(f.name, name) && !buf_put_str(out, f.whole))
			return false;
	return true;
}

void header_lines_scan(struct str text, struct header_lines *ret)
{
	struct header_lines l = { .nul = text.n > 0 && memchr(text.p, 0, text.n) != NULL };
	struct str rest = text;

	for (size_t i = 0; i < text.n && !l.eight_bit; i++)
		l.eight_bit = (unsigned char)text.p[i] >= 0x80;
	while (rest.n > 0) {
		struct str line = take_line(&rest);
		bool lf = line.p[line.n - 1] == '\n';
		bool crlf = lf && line.n > 1 && line.p[line.n - 2] == '\r';
		ptrdiff_t cr;
		line.n -= lf + crlf;
		l.bare_lf += lf && !crlf;
		if (line.n > l.longest)
			l.longest = line.n;
		while ((cr = str_index(line, '\r')) >= 0) {
			l.bare_cr++;
			line = str_from(line.p + cr + 1, line.n - (size_t)cr - 1);
		}
	}
	*ret = l;
}
