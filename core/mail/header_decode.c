/*
 * RFC 2047 for lists. Encoded words of one charset that follow each other are joined before they
 * are converted, because senders split characters between them although they must not.
 *
 * The charset's name comes from the mail, and iconv_open() loads a module by that name: only the
 * charsets of the table below reach it (older C libraries have had holes in rare ones).
 */
#include "mail/header.h"

#include <iconv.h>
#include <stdio.h>
#include <string.h>

#include "base/base64.h"
#include "base/mem.h"
#include "base/utf8.h"

#define WORD_MAX 256	 /* bytes of one encoded word; RFC 2047 says 75 */
#define PENDING_MAX 1024 /* decoded bytes waiting for conversion */
#define CHARSET_MAX 24

static const char *const charsets[] = {
	"ISO-8859-2",	"ISO-8859-3",	"ISO-8859-4",	"ISO-8859-5",	"ISO-8859-6",
	"ISO-8859-7",	"ISO-8859-8",	"ISO-8859-9",	"ISO-8859-10",	"ISO-8859-13",
	"ISO-8859-14",	"ISO-8859-15",	"ISO-8859-16",	"WINDOWS-1250", "WINDOWS-1251",
	"WINDOWS-1252", "WINDOWS-1253", "WINDOWS-1254", "WINDOWS-1255", "WINDOWS-1256",
	"WINDOWS-1257", "WINDOWS-1258", "KOI8-R",	"KOI8-U",	"SHIFT_JIS",
	"ISO-2022-JP",	"EUC-JP",	"EUC-KR",	"GB2312",	"GBK",
	"GB18030",	"BIG5",		"TIS-620",
};

struct decoder {
	struct buf *out;
	char charset[CHARSET_MAX]; /* of what is pending */
	struct buf pending;
	bool full;
};

static void put_cp(struct decoder *d, uint32_t cp)
{
	char bytes[4];
	size_t n;

	if (cp < 0x20 || (cp >= 0x7f && cp < 0xa0))
		cp = ' ';
	n = utf8_encode(cp, bytes);
	if (n > d->out->limit - d->out->n)
		d->full = true;
	if (!d->full)
		(void)buf_put(d->out, bytes, n);
}

static void put_utf8(struct decoder *d, struct str s)
{
	while (s.n > 0 && !d->full) {
		uint32_t cp;
		size_t n = utf8_decode(s, &cp);
		put_cp(d, cp);
		s = str_from(s.p + n, s.n - n);
	}
}

static void put_latin1(struct decoder *d, struct str s)
{
	for (size_t i = 0; i < s.n && !d->full; i++)
		put_cp(d, (unsigned char)s.p[i]);
}

/* By the C library; a byte that does not convert becomes U+FFFD. */
static void put_iconv(struct decoder *d, const char *charset)
{
	iconv_t cd = iconv_open("UTF-8", charset);
	char *in = d->pending.p;
	size_t left = d->pending.n;
	char utf8[4 * PENDING_MAX];
	char *to = utf8;
	size_t room = sizeof(utf8);

	if (cd == (iconv_t)-1) { /* NOLINT: the documented error value */
		put_latin1(d, buf_str(&d->pending));
		return;
	}
	while (left > 0 && room >= 4) {
		if (iconv(cd, &in, &left, &to, &room) != (size_t)-1 || left == 0 || room < 4)
			break;
		in++;
		left--;
		to += utf8_encode(UTF8_REPLACEMENT, to);
		room = sizeof(utf8) - (size_t)(to - utf8);
	}
	(void)iconv_close(cd);
	put_utf8(d, str_from(utf8, sizeof(utf8) - room));
}

static void flush(struct decoder *d)
{
	struct str charset = str_of(d->charset);

	if (d->pending.n == 0)
		return;
	if (str_eq_nocase(charset, STR("UTF-8")) || str_eq_nocase(charset, STR("US-ASCII"))) {
		put_utf8(d, buf_str(&d->pending));
	} else {
		const char *known = NULL;
		for (size_t i = 0; i < ARRAY_LEN(charsets); i++)
			if (str_eq_nocase(charset, str_of(charsets[i])))
				known = charsets[i];
		if (known != NULL)
			put_iconv(d, known);
		else /* ISO-8859-1, and the best guess for what is unknown */
			put_latin1(d, buf_str(&d->pending));
	}
	buf_reset(&d->pending);
}

static int hex_value(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c |= 0x20;
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static bool decode_q(struct str s, struct buf *out)
{
	for (size_t i = 0; i < s.n; i++) {
		char c = s.p[i] == '_' ? ' ' : s.p[i];
		if (c == '=') {
			int hi = i + 2 < s.n ? hex_value(s.p[i + 1]) : -1;
			int lo = i + 2 < s.n ? hex_value(s.p[i + 2]) : -1;
			if (hi < 0 || lo < 0)
				return false;
			c = (char)(hi << 4 | lo);
			i += 2;
		}
		(void)buf_putc(out, c);
	}
	return true;
}

static bool decode_b(struct str s, struct buf *out)
{
	uint32_t bits = 0;
	int have = 0;

	while (s.n > 0 && s.p[s.n - 1] == '=')
		s.n--;
	for (size_t i = 0; i < s.n; i++) {
		int v = base64_digit(s.p[i]);
		if (v < 0)
			return false;
		bits = bits << 6 | (uint32_t)v;
		have += 6;
		if (have >= 8) {
			have -= 8;
			(void)buf_putc(out, (char)(bits >> have & 0xff));
		}
	}
	return true;
}

/* "=?charset?B|Q?text?=" at the beginning of s: its length, and its bytes appended to pending. */
static size_t take_encoded_word(struct decoder *d, struct str s)
{
	struct str rest = str_from(s.p + 2, s.n - 2);
	struct str charset = str_cut(&rest, '?');
	struct str encoding = str_cut(&rest, '?');
	struct str text = str_cut(&rest, '?');
	AUTO_BUF bytes = BUF_INIT(WORD_MAX);
	size_t length = (size_t)(rest.p - s.p) + 1;
	bool ok;

	charset = str_cut(&charset, '*'); /* RFC 2231's language is of no interest */
	if (rest.n == 0 || rest.p[0] != '=' || charset.n == 0 || charset.n >= CHARSET_MAX ||
	    encoding.n != 1 || text.n > WORD_MAX || str_index(text, ' ') >= 0)
		return 0;
	if (str_eq_nocase(encoding, STR("Q")))
		ok = decode_q(text, &bytes);
	else
		ok = str_eq_nocase(encoding, STR("B")) && decode_b(text, &bytes);
	if (!ok)
		return 0;
	if (!str_eq_nocase(charset, str_of(d->charset)) ||
	    d->pending.n + bytes.n > d->pending.limit)
		flush(d);
	(void)snprintf(d->charset, sizeof(d->charset), "%.*s", STR_ARG(charset));
	(void)buf_put_str(&d->pending, buf_str(&bytes));
	return length;
}

static size_t space_length(struct str s)
{
	size_t n = 0;

	while (n < s.n && memchr(" \t\r\n", s.p[n], 4) != NULL)
		n++;
	return n;
}

void header_decode(struct str value, struct buf *out)
{
	struct decoder d = { .out = out, .pending = BUF_INIT(PENDING_MAX) };
	bool after_word = false;

	while (value.n > 0 && !d.full) {
		size_t space = space_length(value);
		struct str next = str_from(value.p + space, value.n - space);
		size_t n = 0;
		bool word = str_starts(next, STR("=?"));
		if (word)
			n = take_encoded_word(&d, next);
		if (n > 0) {
			/* white space between encoded words is not part of the text; the word just
			 * read is still pending, so that this comes before it */
			if (space > 0 && !after_word && d.out->n > 0)
				put_cp(&d, ' ');
			after_word = true;
			value = str_from(next.p + n, next.n - n);
			continue;
		}
		flush(&d);
		if (space > 0 && next.n > 0)
			put_cp(&d, ' ');
		n = word ? 2 : 0;
		while (n < next.n && space_length(str_from(next.p + n, 1)) == 0 &&
		       !(next.p[n] == '=' && n + 1 < next.n && next.p[n + 1] == '?'))
			n++;
		put_utf8(&d, str_from(next.p, n));
		after_word = false;
		value = str_from(next.p + n, next.n - n);
	}
	flush(&d);
	buf_done(&d.pending);
}
