/*
 * A part is looked at only when something in it offends; so what is in order is copied whole. A
 * multipart is cut at its own boundary before its parts are looked into, so that a part which does
 * not end properly cannot swallow its neighbours.
 */
#include "mail/mime7.h"

#include <string.h>

#include "base/base64.h"
#include "base/utf8.h"
#include "mail/header.h"

#define BOUNDARY_MAX 200 /* RFC 2046 has 70 */
#define QP_MAX 75	 /* of an encoded line, without the mark of its soft end */
#define BASE64_LINE 57	 /* bytes that make a line of 76 */
#define DENSE 6		 /* with one 8-bit byte in so many, base64 is the shorter one */

enum encoding { ENC_PLAIN, ENC_QP, ENC_BASE64, ENC_OTHER };

struct job {
	const struct mime7_want *want;
	struct buf *out;
	struct err *err;
};

/* One part: its header block, and what is behind the empty line. */
struct part {
	struct str block;
	struct str gap; /* the empty line */
	struct str body;
	struct str type; /* raw value, empty without */
	enum encoding encoding;
	bool top;
};

static int walk(struct job *j, struct str text, bool top, unsigned depth);

static int refuse(struct job *j, const char *why)
{
	return err_set(j->err, ERR_INVALID, "%s", why);
}

static bool offends(const struct job *j, struct str text)
{
	struct header_lines lines;

	header_lines_scan(text, &lines);
	return (j->want->line_max > 0 && lines.longest > j->want->line_max) ||
	       (j->want->seven_bit && lines.eight_bit);
}

/* --- header ----------------------------------------------------------------------------------- */

static bool type_is(const struct part *p, const char *prefix)
{
	return str_starts_nocase(p->type, str_of(prefix));
}

static bool has_eight_bit(struct str text)
{
	for (size_t i = 0; i < text.n; i++)
		if ((unsigned char)text.p[i] >= 0x80)
			return true;
	return false;
}

static bool is_space(char c)
{
	return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

static void skip_space(struct str *s)
{
	while (s->n > 0 && is_space(s->p[0])) {
		s->p++;
		s->n--;
	}
}

/* Takes a token or a quoted string off *s; false when it is too long or does not end. */
static bool take_value(struct str *s, struct buf *ret)
{
	bool quoted = s->n > 0 && s->p[0] == '"';
	size_t i = quoted ? 1 : 0;

	buf_reset(ret);
	for (; i < s->n; i++) {
		if (quoted ? s->p[i] == '"' : is_space(s->p[i]) || s->p[i] == ';')
			break;
		if (quoted && s->p[i] == '\\' && i + 1 < s->n)
			i++;
		(void)buf_putc(ret, s->p[i]);
	}
	if (quoted && i == s->n)
		return false;
	i += quoted;
	*s = str_from(s->p + i, s->n - i);
	return !ret->full;
}

/* The boundary of a Content-Type; false when there is none that can be used. */
static bool find_boundary(struct str type, struct buf *ret)
{
	ptrdiff_t semicolon = str_index(type, ';');

	while (semicolon >= 0) {
		struct str name;
		ptrdiff_t equals;
		type = str_from(type.p + semicolon + 1, type.n - (size_t)semicolon - 1);
		skip_space(&type);
		equals = str_index(type, '=');
		if (equals < 0)
			return false;
		name = str_trim(str_from(type.p, (size_t)equals));
		type = str_from(type.p + equals + 1, type.n - (size_t)equals - 1);
		skip_space(&type);
		if (!take_value(&type, ret))
			return false;
		if (str_eq_nocase(name, STR("boundary")))
			return ret->n > 0 && !is_space(ret->p[ret->n - 1]);
		semicolon = str_index(type, ';');
	}
	return false;
}

static enum encoding encoding_of(struct str block)
{
	static const char *const plain[] = { "7bit", "8bit", "binary" };
	struct header_field f;

	if (!header_find(block, STR("Content-Transfer-Encoding"), &f))
		return ENC_PLAIN;
	for (size_t i = 0; i < sizeof(plain) / sizeof(plain[0]); i++)
		if (str_eq_nocase(f.value, str_of(plain[i])))
			return ENC_PLAIN;
	if (str_eq_nocase(f.value, STR("quoted-printable")))
		return ENC_QP;
	return str_eq_nocase(f.value, STR("base64")) ? ENC_BASE64 : ENC_OTHER;
}

static void read_part(struct str text, bool top, struct part *ret)
{
	struct header_facts facts;
	struct header_field f;

	header_scan(text, &facts);
	*ret = (struct part){ .block = facts.block,
			      .gap = str_from(text.p + facts.block.n,
					      facts.body_at - facts.block.n),
			      .body = str_from(text.p + facts.body_at, text.n - facts.body_at),
			      .encoding = encoding_of(facts.block),
			      .top = top };
	if (header_find(facts.block, STR("Content-Type"), &f))
		ret->type = f.value;
}

/* Where a line of n bytes is cut so that at most max stay: before a white space that has something
 * else before it. 0: nowhere. */
static size_t fold_at(const char *p, size_t n, size_t max)
{
	size_t from = 0;

	while (from < n && is_space(p[from]))
		from++;
	for (size_t i = max; i > from; i--)
		if ((p[i] == ' ' || p[i] == '\t') && !is_space(p[i - 1]))
			return i;
	return 0;
}

static int put_field(struct job *j, struct str whole)
{
	while (whole.n > 0) {
		ptrdiff_t lf = str_index(whole, '\n');
		struct str line = str_from(whole.p, lf >= 0 ? (size_t)lf + 1 : whole.n);
		size_t n = line.n;
		whole = str_from(whole.p + line.n, whole.n - line.n);
		while (n > 0 && (line.p[n - 1] == '\n' || line.p[n - 1] == '\r'))
			n--;
		while (j->want->line_max > 0 && n > j->want->line_max) {
			size_t cut = fold_at(line.p, n, j->want->line_max);
			if (cut == 0)
				return refuse(j, "a header line has no place to fold it");
			(void)buf_put(j->out, line.p, cut);
			(void)buf_puts(j->out, "\r\n");
			line = str_from(line.p + cut, line.n - cut);
			n -= cut;
		}
		(void)buf_put_str(j->out, line);
	}
	return 0;
}

/* The header and the empty line, with another encoding when one is named. */
static int put_header(struct job *j, const struct part *p, const char *encoding)
{
	struct str rest = p->block;
	struct header_field f;

	while (header_next(&rest, &f)) {
		bool replaced =
			encoding != NULL && str_eq_nocase(f.name, STR("Content-Transfer-Encoding"));
		int rc = replaced ? 0 : put_field(j, f.whole);
		if (rc < 0)
			return rc;
	}
	if (encoding != NULL && p->top && !header_find(p->block, STR("MIME-Version"), &f))
		(void)buf_puts(j->out, "MIME-Version: 1.0\r\n");
	if (encoding != NULL && p->top && p->type.n == 0 && has_eight_bit(p->body))
		(void)buf_printf(j->out, "Content-Type: text/plain; charset=%s\r\n",
				 utf8_valid(p->body) ? "utf-8" : "unknown-8bit");
	if (encoding != NULL)
		(void)buf_printf(j->out, "Content-Transfer-Encoding: %s\r\n", encoding);
	if (encoding != NULL && p->gap.n == 0)
		(void)buf_puts(j->out, "\r\n");
	(void)buf_put_str(j->out, p->gap);
	return 0;
}

/* --- encodings -------------------------------------------------------------------------------- */

/* A line of quoted-printable that grows: soft ends where it gets long. */
struct qp {
	struct buf *out;
	size_t n;
};

static void qp_put(struct qp *q, const char *p, size_t n)
{
	if (q->n + n > QP_MAX) {
		(void)buf_puts(q->out, "=\r\n");
		q->n = 0;
	}
	(void)buf_put(q->out, p, n);
	q->n += n;
}

static void qp_byte(struct qp *q, char c, bool last)
{
	static const char hex[] = "0123456789ABCDEF";
	unsigned char u = (unsigned char)c;
	char code[3] = { '=', hex[u >> 4], hex[u & 15] };

	if ((u > ' ' && u < 0x7f && c != '=') || ((c == ' ' || c == '\t') && !last))
		qp_put(q, &c, 1);
	else
		qp_put(q, code, 3);
}

static bool at_line_end(struct str s, size_t i)
{
	return i + 1 < s.n && s.p[i] == '\r' && s.p[i + 1] == '\n';
}

static void put_qp(struct str body, struct buf *out)
{
	struct qp q = { .out = out };

	for (size_t i = 0; i < body.n; i++) {
		if (!at_line_end(body, i)) {
			qp_byte(&q, body.p[i], i + 1 == body.n || at_line_end(body, i + 1));
			continue;
		}
		(void)buf_puts(out, "\r\n");
		q.n = 0;
		i++;
	}
}

static bool is_hex(char c)
{
	return (c >= '0' && c <= '9') || ((c | 0x20) >= 'a' && (c | 0x20) <= 'f');
}

/* The length of a soft line end at i, without its CR LF, and maybe with spaces; or 0. */
static size_t soft_end(struct str s, size_t i)
{
	size_t n = 1;

	if (s.p[i] != '=')
		return 0;
	while (i + n < s.n && (s.p[i + n] == ' ' || s.p[i + n] == '\t'))
		n++;
	return at_line_end(s, i + n) ? n : 0;
}

/* What is quoted-printable already: cut between its codes; what may not stand in it is encoded. */
static void wrap_qp(struct str body, struct buf *out)
{
	struct qp q = { .out = out };

	for (size_t i = 0; i < body.n; i++) {
		size_t soft = soft_end(body, i);
		if (soft > 0)
			(void)buf_putc(out, '=');
		i += soft;
		if (at_line_end(body, i)) {
			(void)buf_puts(out, "\r\n");
			q.n = 0;
			i++;
		} else if (body.p[i] == '=' && i + 2 < body.n && is_hex(body.p[i + 1]) &&
			   is_hex(body.p[i + 2])) {
			qp_put(&q, body.p + i, 3);
			i += 2;
		} else if (body.p[i] == '=') {
			qp_put(&q, "=", 1); /* wrong, and nobody knows what was meant */
		} else {
			qp_byte(&q, body.p[i], i + 1 == body.n || at_line_end(body, i + 1));
		}
	}
}

static void put_base64(struct str body, struct buf *out)
{
	for (size_t i = 0; i < body.n; i += BASE64_LINE) {
		size_t n = body.n - i < BASE64_LINE ? body.n - i : BASE64_LINE;
		if (i > 0)
			(void)buf_puts(out, "\r\n");
		(void)base64_put(out, str_from(body.p + i, n));
	}
}

/* What is base64 already, in lines of 76. */
static int wrap_base64(struct job *j, struct str body)
{
	size_t n = 0;

	for (size_t i = 0; i < body.n; i++) {
		char c = body.p[i];
		if (is_space(c))
			continue;
		if (!((c >= '0' && c <= '9') || ((c | 0x20) >= 'a' && (c | 0x20) <= 'z') ||
		      c == '+' || c == '/' || c == '='))
			return refuse(j, "a part that should be base64 is not");
		if (n > 0 && n % 76 == 0)
			(void)buf_puts(j->out, "\r\n");
		(void)buf_putc(j->out, c);
		n++;
	}
	return 0;
}

/* --- parts ------------------------------------------------------------------------------------ */

static bool is_dense(struct str body)
{
	size_t n = 0;

	for (size_t i = 0; i < body.n; i++)
		n += (unsigned char)body.p[i] >= 0x80;
	return n > body.n / DENSE;
}

static int put_leaf(struct job *j, const struct part *p)
{
	bool text = p->type.n == 0 || type_is(p, "text/");
	int rc;

	if (!offends(j, p->body)) {
		rc = put_header(j, p, NULL);
		(void)buf_put_str(j->out, p->body);
		return rc;
	}
	if (type_is(p, "message/"))
		return refuse(j, "it is in a part that may not be encoded");
	switch (p->encoding) {
	case ENC_PLAIN:
		rc = put_header(j, p, text && !is_dense(p->body) ? "quoted-printable" : "base64");
		if (text && !is_dense(p->body))
			put_qp(p->body, j->out);
		else
			put_base64(p->body, j->out);
		return rc;
	case ENC_QP:
		rc = put_header(j, p, NULL);
		wrap_qp(p->body, j->out);
		return rc;
	case ENC_BASE64:
		rc = put_header(j, p, NULL);
		return rc < 0 ? rc : wrap_base64(j, p->body);
	case ENC_OTHER:
		break;
	}
	return refuse(j, "a part has an encoding that is not known");
}

/* The header of a part that has parts: what is in it will need 7 bits. */
static int put_outer_header(struct job *j, const struct part *p)
{
	struct header_field f;
	bool said = header_find(p->block, STR("Content-Transfer-Encoding"), &f) &&
		    !str_eq_nocase(f.value, STR("7bit"));

	if (p->encoding != ENC_PLAIN)
		return refuse(j, "a part that has parts is encoded");
	return put_header(j, p, said && j->want->seven_bit ? "7bit" : NULL);
}

enum delimiter { NO_DELIMITER, DELIMITER, LAST_DELIMITER };

static enum delimiter delimiter_of(struct str line, struct str boundary)
{
	bool last;

	if (line.n < boundary.n + 2 || line.p[0] != '-' || line.p[1] != '-' ||
	    memcmp(line.p + 2, boundary.p, boundary.n) != 0)
		return NO_DELIMITER;
	line = str_from(line.p + 2 + boundary.n, line.n - 2 - boundary.n);
	last = str_starts(line, STR("--"));
	if (last)
		line = str_from(line.p + 2, line.n - 2);
	skip_space(&line);
	if (line.n > 0)
		return NO_DELIMITER;
	return last ? LAST_DELIMITER : DELIMITER;
}

/* Up to the next delimiter line; what is before it without the line end, which belongs to it. */
static enum delimiter next_delimiter(struct str *rest, struct str boundary, struct str *ret_before,
				     struct str *ret_line)
{
	const char *from = rest->p;

	while (rest->n > 0) {
		ptrdiff_t lf = str_index(*rest, '\n');
		struct str line = str_from(rest->p, lf >= 0 ? (size_t)lf + 1 : rest->n);
		enum delimiter d = delimiter_of(line, boundary);
		*rest = str_from(rest->p + line.n, rest->n - line.n);
		if (d == NO_DELIMITER)
			continue;
		*ret_before = str_from(from, (size_t)(line.p - from));
		if (ret_before->n >= 2 && line.p[-2] == '\r')
			ret_before->n -= 2;
		*ret_line = str_from(line.p - (line.p - from - (ptrdiff_t)ret_before->n),
				     line.n + (size_t)(line.p - from) - ret_before->n);
		return d;
	}
	*ret_before = str_from(from, (size_t)(rest->p - from));
	*ret_line = str_from(rest->p, 0);
	return NO_DELIMITER;
}

/* As it stands, or without the spaces that make it too long. */
static void put_delimiter(struct job *j, struct str line, struct str boundary, bool last)
{
	if (!offends(j, line)) {
		(void)buf_put_str(j->out, line);
		return;
	}
	if (str_starts(line, STR("\r\n")))
		(void)buf_puts(j->out, "\r\n");
	(void)buf_printf(j->out, "--%.*s%s\r\n", STR_ARG(boundary), last ? "--" : "");
}

static int put_multipart(struct job *j, const struct part *p, unsigned depth)
{
	char text[BOUNDARY_MAX + 1];
	struct buf name = { .p = text, .cap = sizeof(text), .limit = BOUNDARY_MAX };
	struct str rest = p->body, before, line;
	enum delimiter d;
	int rc;

	if (type_is(p, "multipart/signed") || type_is(p, "multipart/encrypted"))
		return refuse(j, "it is in a part that is signed or encrypted");
	if (!find_boundary(p->type, &name))
		return refuse(j, "a multipart has no boundary");
	rc = put_outer_header(j, p);
	d = next_delimiter(&rest, buf_str(&name), &before, &line);
	if (d == NO_DELIMITER)
		return refuse(j, "a multipart has no parts");
	/* what is before and behind the parts is for nobody to read */
	if (!offends(j, before))
		(void)buf_put_str(j->out, before);
	else if (str_starts(line, STR("\r\n")))
		line = str_from(line.p + 2, line.n - 2);
	while (rc == 0 && d == DELIMITER) {
		put_delimiter(j, line, buf_str(&name), false);
		d = next_delimiter(&rest, buf_str(&name), &before, &line);
		rc = walk(j, before, false, depth + 1);
	}
	put_delimiter(j, line, buf_str(&name), d == LAST_DELIMITER);
	if (!offends(j, rest))
		(void)buf_put_str(j->out, rest);
	return rc;
}

static int walk(struct job *j, struct str text, bool top, unsigned depth)
{
	struct part p;
	int rc;

	if (!offends(j, text)) {
		(void)buf_put_str(j->out, text);
		return 0;
	}
	if (depth > MIME7_DEPTH)
		return refuse(j, "its parts are nested too deep");
	read_part(text, top, &p);
	if (type_is(&p, "multipart/"))
		return offends(j, p.body) ? put_multipart(j, &p, depth) : put_leaf(j, &p);
	if ((type_is(&p, "message/rfc822") || type_is(&p, "message/global")) &&
	    !type_is(&p, "message/global-") && offends(j, p.body)) {
		rc = put_outer_header(j, &p);
		return rc < 0 ? rc : walk(j, p.body, false, depth + 1);
	}
	return put_leaf(j, &p);
}

int mime7_encode(struct str message, const struct mime7_want *want, struct buf *out,
		 struct err *err)
{
	struct job j = { .want = want, .out = out, .err = err };
	struct header_facts facts;
	struct header_field f;
	int rc;

	header_scan(message, &facts);
	if (header_find(facts.block, STR("DKIM-Signature"), &f))
		return refuse(&j, "the message is signed already");
	rc = walk(&j, message, true, 0);
	if (rc == 0 && message.n >= 2 && out->n >= 2 && memcmp(out->p + out->n - 2, "\r\n", 2) != 0)
		(void)buf_puts(out, "\r\n");
	if (rc == 0 && out->full)
		return err_set(err, ERR_LIMIT, "it becomes too large when it is encoded");
	return rc;
}
