/*
 * Replies as they are quoted: at the beginning of a Diagnostic-Code, or somewhere in a sentence,
 * "host mx.example[192.0.2.1] said: 550 5.1.1 No such user (in reply to RCPT TO command)". Three
 * digits are a reply's code when a 4 or 5 comes first, nothing belongs to them on the left, and an
 * enhanced code follows or they stand where replies stand: first, or behind a colon, a quote,
 * "<<<".
 */
#include <stdio.h>

#include "base/mem.h"
#include "base/utf8.h"
#include "mail/bounce_int.h"

void bounce_copy(struct str s, char *ret, size_t size)
{
	struct buf out = { .p = ret, .cap = size, .limit = size - 1 };
	bool space = false;

	ret[0] = '\0';
	s = str_trim(s);
	while (s.n > 0) {
		uint32_t cp;
		size_t n = utf8_decode(s, &cp);
		char piece[4];
		bool blank = cp == ' ' || cp == '\n' || cp == '\r' || cp == '\t';
		if (!blank && utf8_harmful(cp) && cp != UTF8_REPLACEMENT)
			cp = UTF8_REPLACEMENT;
		if (blank)
			space = out.n > 0;
		else if (out.n + space + utf8_encode(cp, piece) > out.limit)
			return;
		if (!blank && space)
			(void)buf_putc(&out, ' ');
		if (!blank)
			(void)buf_put(&out, piece, utf8_encode(cp, piece));
		space = blank && space;
		s.p += n;
		s.n -= n;
	}
}

static bool is_digit(char c)
{
	return c >= '0' && c <= '9';
}

static bool is_word(char c)
{
	return is_digit(c) || ((c | 0x20) >= 'a' && (c | 0x20) <= 'z') || c == '.' || c == '@' ||
	       c == '_' || c == '-' || c == '/' || c == '+';
}

/* Three digits of a reply's code at the beginning. */
static int code_at(struct str s)
{
	if (s.n < 3 || (s.p[0] != '4' && s.p[0] != '5') || !is_digit(s.p[1]) || !is_digit(s.p[2]))
		return 0;
	if (s.n > 3 && s.p[3] != ' ' && s.p[3] != '-' && s.p[3] != '\r' && s.p[3] != '\n' &&
	    s.p[3] != '\t' && s.p[3] != '\'' && s.p[3] != '"' && s.p[3] != ':' && s.p[3] != '#')
		return 0;
	return (s.p[0] - '0') * 100 + (s.p[1] - '0') * 10 + s.p[2] - '0';
}

static size_t blanks(struct str s)
{
	size_t n = 0;

	while (n < s.n && (s.p[n] == ' ' || s.p[n] == '-' || s.p[n] == '#' || s.p[n] == ':' ||
			   s.p[n] == '\t' || s.p[n] == '\r' || s.p[n] == '\n'))
		n++;
	return n;
}

static struct str from(struct str s, size_t n)
{
	return n < s.n ? str_from(s.p + n, s.n - n) : str_from(s.p, 0);
}

/* An enhanced code of a failure at the beginning, whatever ends it; its length or 0. */
static size_t enhanced_at(struct str s)
{
	size_t n = 0;
	int dots = 0, run = 0;

	if (s.n < 5 || (s.p[0] != '4' && s.p[0] != '5'))
		return 0;
	for (; n < s.n && n < SMTP_ENHANCED_LEN - 1; n++) {
		if (is_digit(s.p[n]) && run < 3) {
			run++;
		} else if (s.p[n] == '.' && run > 0 && dots < 2) {
			dots++;
			run = 0;
		} else {
			break;
		}
	}
	if (dots == 2 && run == 0) /* a period ends the sentence */
		return 0;
	if (dots != 2 || s.p[1] != '.' || (n < s.n && is_word(s.p[n]) && s.p[n] != '.'))
		return 0;
	return n < s.n && s.p[n] == '.' && n + 1 < s.n && is_digit(s.p[n + 1]) ? 0 : n;
}

/* "#5.1.1", "(5.1.1)", " 5.1.1 " somewhere. */
static size_t find_enhanced(struct str s, size_t *ret_at)
{
	for (size_t i = 0; i < s.n; i++) {
		size_t n = i > 0 && is_word(s.p[i - 1]) ? 0 : enhanced_at(from(s, i));
		*ret_at = i;
		if (n > 0)
			return n;
	}
	return 0;
}

static bool stands_as_reply(struct str s, size_t at)
{
	size_t i = at;

	while (i > 0 && (s.p[i - 1] == ' ' || s.p[i - 1] == '\t'))
		i--;
	return i == 0 || s.p[i - 1] == '\n' || s.p[i - 1] == ':' || s.p[i - 1] == '\'' ||
	       s.p[i - 1] == '"' || s.p[i - 1] == '<' || s.p[i - 1] == '(' || s.p[i - 1] == '#' ||
	       s.p[i - 1] == ';';
}

/* Where the first reply is; false without one. */
static bool find_reply(struct str s, size_t *ret_at)
{
	for (size_t i = 0; i < s.n; i++) {
		struct str rest = from(s, i);
		int code = i > 0 && is_word(s.p[i - 1]) ? 0 : code_at(rest);
		if (code == 0)
			continue;
		rest = from(rest, 3);
		*ret_at = i;
		if (stands_as_reply(s, i) || enhanced_at(from(rest, blanks(rest))) > 0)
			return true;
	}
	return false;
}

static bool is_general(const char *enhanced)
{
	return enhanced[0] == '\0' || strcmp(enhanced + 1, ".0.0") == 0;
}

static void take_enhanced(struct str s, size_t n, struct bounce_rcpt *r)
{
	/* X.0.0 says less than what is known */
	if (n > 0 && n < sizeof(r->enhanced) &&
	    (is_general(r->enhanced) || (n > 4 && memcmp(s.p + 1, ".0.0", 4) != 0)))
		(void)snprintf(r->enhanced, sizeof(r->enhanced), "%.*s", (int)n, s.p);
}

/* Further lines of one reply, joined: their codes go. */
static void drop_codes(char *text, int code, const char *enhanced)
{
	char lead[8];
	char *to = text;
	struct str s = str_of(text);

	(void)snprintf(lead, sizeof(lead), "%d", code);
	while (s.n > 0) {
		bool word = to == text || to[-1] == ' ';
		if (word && s.n > 4 && str_starts(s, str_of(lead)) &&
		    (s.p[3] == '-' || s.p[3] == ' ') &&
		    (s.p[3] == '-' || str_starts(from(s, 4), str_of(enhanced)))) {
			s = from(s, 4);
			if (*enhanced != '\0' && str_starts(s, str_of(enhanced)))
				s = from(s, strlen(enhanced));
			s = from(s, s.n > 0 && s.p[0] == ' ');
			continue;
		}
		*to++ = s.p[0];
		s = from(s, 1);
	}
	*to = '\0';
}

/* What the program that quotes the reply says behind it is no part of it. */
static void cut_quoted(char *text)
{
	static const char *const ends[] = { " (in reply to ", " ----- ", "' ##", " ##" };
	int open = 0;

	for (size_t i = 0; i < ARRAY_LEN(ends); i++) {
		char *at = strstr(text, ends[i]);
		if (at != NULL)
			*at = '\0';
	}
	for (char *at = text; *at != '\0'; at++) {
		open += *at == '(' ? 1 : *at == ')' ? -1 : 0;
		if (open < 0) { /* it stood in parentheses */
			*at = '\0';
			return;
		}
	}
}

void bounce_take(const struct bounce_rcpt *from, struct bounce_rcpt *to)
{
	to->code = from->code;
	take_enhanced(str_of(from->enhanced), strlen(from->enhanced), to);
	memcpy(to->text, from->text, sizeof(to->text));
}

void bounce_reply(struct str s, struct bounce_rcpt *r)
{
	size_t at = 0;
	size_t n;

	s = str_trim(s);
	if (find_reply(s, &at)) {
		struct str rest = from(s, at);
		r->code = code_at(rest);
		rest = from(rest, 3);
		rest = from(rest, blanks(rest));
		n = enhanced_at(rest);
		take_enhanced(rest, n, r);
		rest = from(rest, n);
		bounce_copy(from(rest, blanks(rest)), r->text, sizeof(r->text));
		cut_quoted(r->text);
		drop_codes(r->text, r->code, r->enhanced);
		if (n == 0) {
			n = find_enhanced(str_of(r->text), &at);
			take_enhanced(from(str_of(r->text), at), n, r);
		}
		return;
	}
	n = find_enhanced(s, &at);
	take_enhanced(from(s, at), n, r);
	if (n > 0 && at == 0)
		s = from(s, n);
	bounce_copy(s, r->text, sizeof(r->text));
}
