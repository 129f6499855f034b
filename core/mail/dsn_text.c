/*
 * Text from peers and senders made safe: control characters and whatever could end a line, a field
 * or a part is a space before it is written; lines are broken here and nowhere else.
 */
#include "dsn_int.h"

#include <stdio.h>

#include "base/utf8.h"
#include "mail/reply.h"

#define WORD_MAX 900 /* longer ones are cut: a line may have 998 bytes (RFC 5322, 2.1.1) */
#define QP_LINE 75
#define ENCODED_WORD_MAX 75

bool dsn_is_ascii(struct str s)
{
	for (size_t i = 0; i < s.n; i++)
		if ((unsigned char)s.p[i] > 0x7f)
			return false;
	return true;
}

static bool is_space(uint32_t cp)
{
	return cp == ' ' || (utf8_harmful(cp) && cp != UTF8_REPLACEMENT);
}

/* Writes the next character of *s to piece; returns its bytes, 0 for a space. */
static size_t next_piece(struct str *s, enum dsn_charset cs, char piece[static 16],
			 size_t *ret_columns)
{
	uint32_t cp;
	size_t n = utf8_decode(*s, &cp);
	bool bad = cp == UTF8_REPLACEMENT && n == 1;
	unsigned char byte = (unsigned char)s->p[0];
	int len;

	s->p += n;
	s->n -= n;
	*ret_columns = 1;
	if (is_space(cp))
		return 0;
	if (cp < 0x80) {
		piece[0] = (char)cp;
		return 1;
	}
	if (cs == DSN_UTF8)
		return utf8_encode(cp, piece);
	len = bad ? snprintf(piece, 16, "\\x%02X", byte)
		  : snprintf(piece, 16, "\\x{%X}", (unsigned)cp);
	*ret_columns = (size_t)len;
	return (size_t)len;
}

/* The next word, cleaned; false at the end. *ret_columns is its width. */
static bool next_word(struct str *s, enum dsn_charset cs, struct buf *word, size_t *ret_columns)
{
	buf_reset(word);
	*ret_columns = 0;
	while (s->n > 0) {
		struct str before = *s;
		char piece[16];
		size_t columns;
		size_t n = next_piece(s, cs, piece, &columns);
		if (n == 0 && word->n > 0)
			break;
		if (n > 0 && word->n + n > WORD_MAX) {
			*s = before;
			break;
		}
		(void)buf_put(word, piece, n);
		*ret_columns += n > 0 ? columns : 0;
	}
	return word->n > 0;
}

size_t dsn_put_words(struct buf *out, struct str s, enum dsn_charset cs, const char *indent,
		     size_t column, size_t width)
{
	AUTO_BUF word = BUF_INIT(WORD_MAX);
	bool first = true;
	size_t columns;

	while (!out->full && next_word(&s, cs, &word, &columns)) {
		if (!first && column + 1 + columns > width) {
			(void)buf_printf(out, "\r\n%s", indent);
			column = strlen(indent);
		} else if (!first) {
			(void)buf_putc(out, ' ');
			column++;
		}
		(void)buf_put_str(out, buf_str(&word));
		column += columns;
		first = false;
	}
	return column;
}

void dsn_codes(const struct dsn_rcpt *r, char ret[static DSN_CODES_LEN])
{
	size_t n = smtp_enhanced_length(r->enhanced);

	ret[0] = '\0';
	if (r->code < 100 || r->code > 999)
		return;
	if (n > 0 && n < SMTP_ENHANCED_LEN)
		(void)snprintf(ret, DSN_CODES_LEN, "%d %.*s ", r->code, (int)n, r->enhanced.p);
	else
		(void)snprintf(ret, DSN_CODES_LEN, "%d ", r->code);
}

struct str dsn_reply_words(const struct dsn_rcpt *r, struct str line)
{
	char codes[DSN_CODES_LEN];
	struct str code;
	size_t n;

	dsn_codes(r, codes);
	code = str_from(codes, strlen(codes) < 3 ? 0 : 3);
	if (code.n == 0 || !str_starts(line, code) ||
	    (line.n > 3 && line.p[3] != ' ' && line.p[3] != '-'))
		return line;
	line = line.n > 4 ? str_from(line.p + 4, line.n - 4) : str_from(line.p + line.n, 0);
	n = smtp_enhanced_length(line);
	if (n > 0 && str_eq(str_from(line.p, n), r->enhanced))
		line = str_from(line.p + n, line.n - n);
	return str_trim(line);
}

static bool qp_literal(char c)
{
	return c >= ' ' && c <= '~' && c != '=';
}

static void qp_line(struct buf *out, struct str line)
{
	size_t column = 0;

	for (size_t i = 0; i < line.n; i++) {
		bool literal = qp_literal(line.p[i]) && !(line.p[i] == ' ' && i + 1 == line.n);
		size_t width = literal ? 1 : 3;
		if (column + width > QP_LINE) {
			(void)buf_puts(out, "=\r\n");
			column = 0;
		}
		if (literal)
			(void)buf_putc(out, line.p[i]);
		else
			(void)buf_printf(out, "=%02X", (unsigned char)line.p[i]);
		column += width;
	}
	(void)buf_puts(out, "\r\n");
}

void dsn_put_quoted_printable(struct buf *out, struct str s)
{
	while (s.n > 0 && !out->full) {
		struct str line = str_cut(&s, '\n');
		if (line.n > 0 && line.p[line.n - 1] == '\r')
			line.n--;
		qp_line(out, line);
	}
}

/* Characters that stand for themselves in a Q word anywhere (RFC 2047, 5, rule 3). */
static bool q_literal(uint32_t cp)
{
	return (cp >= 'a' && cp <= 'z') || (cp >= 'A' && cp <= 'Z') || (cp >= '0' && cp <= '9') ||
	       cp == '-' || cp == '!' || cp == '*' || cp == '+' || cp == '/';
}

static size_t q_char(uint32_t cp, char ret[static 16])
{
	char bytes[4];
	size_t n;

	if (q_literal(cp) || cp == ' ') {
		ret[0] = cp == ' ' ? '_' : (char)cp;
		return 1;
	}
	n = utf8_encode(cp, bytes);
	for (size_t i = 0; i < n; i++)
		(void)snprintf(ret + 3 * i, 4, "=%02X", (unsigned char)bytes[i]);
	return 3 * n;
}

void dsn_put_encoded(struct buf *out, struct str s, size_t column)
{
	size_t word = 0; /* length of the encoded word that is open; 0: none */

	if (dsn_is_ascii(s)) {
		(void)dsn_put_words(out, s, DSN_ESCAPED, " ", column, ENCODED_WORD_MAX);
		return;
	}
	while (s.n > 0) {
		uint32_t cp;
		char piece[16];
		size_t used = utf8_decode(s, &cp);
		size_t n = q_char(is_space(cp) ? ' ' : cp, piece);
		s = str_from(s.p + used, s.n - used);
		if (word != 0 && column + n + 2 > ENCODED_WORD_MAX) {
			(void)buf_puts(out, "?=\r\n ");
			column = 1;
			word = 0;
		}
		if (word == 0) {
			word = strlen("=?utf-8?Q?");
			(void)buf_puts(out, "=?utf-8?Q?");
			column += word;
		}
		(void)buf_put(out, piece, n);
		column += n;
	}
	if (word != 0)
		(void)buf_puts(out, "?=");
}
