/*
 * Two passes: the text is made one clean line without the codes that begin its lines; then it is
 * walked through piece by piece, and what reply_token.c takes for more than a word becomes a mark.
 */
#include "mail/reply_text.h"

#include <stdbool.h>

#include "base/mem.h"
#include "base/utf8.h"
#include "mail/reply.h"
#include "reply_text_int.h"

#define LINE_MAX 2048 /* looked at; marks are short, so more cannot come into the result */
#define ANGLE_MAX 320 /* an address in angle brackets is not longer */

struct line {
	char p[LINE_MAX];
	size_t n;
};

struct sink {
	char *p;
	size_t n;
	bool space; /* one is due before the next piece */
	bool full;
	enum reply_token last; /* written last, WORD for anything else */
};

static bool is_digit(char c)
{
	return c >= '0' && c <= '9';
}

static bool is_alnum(char c)
{
	return is_digit(c) || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

/* --- one clean line --------------------------------------------------------------------------- */

/* Without "550-5.1.1 " and the like at its beginning. */
static struct str without_codes(struct str s)
{
	size_t n;

	s = str_trim(s);
	if (s.n >= 3 && (s.p[0] == '4' || s.p[0] == '5') && is_digit(s.p[1]) && is_digit(s.p[2]) &&
	    (s.n == 3 || s.p[3] == ' ' || s.p[3] == '-'))
		s = str_trim(str_from(s.p + (s.n == 3 ? 3 : 4), s.n - (s.n == 3 ? 3 : 4)));
	n = smtp_enhanced_length(s);
	return str_trim(str_from(s.p + n, s.n - n));
}

static void put_clean(struct line *l, struct str s)
{
	while (s.n > 0 && l->n + 4 <= LINE_MAX) {
		uint32_t cp;
		size_t n;
		if (s.p[0] >= ' ' && s.p[0] < 0x7f) {
			l->p[l->n++] = s.p[0];
			s = str_from(s.p + 1, s.n - 1);
			continue;
		}
		n = utf8_decode(s, &cp);
		if (utf8_harmful(cp) && cp != UTF8_REPLACEMENT)
			cp = ' ';
		l->n += utf8_encode(cp, l->p + l->n);
		s = str_from(s.p + n, s.n - n);
	}
}

static void join_lines(struct line *l, struct str text)
{
	l->n = 0;
	while (text.n > 0) {
		struct str line = without_codes(str_cut(&text, '\n'));
		if (l->n > 0)
			put_clean(l, STR(" "));
		put_clean(l, line);
	}
}

/* --- the result ------------------------------------------------------------------------------- */

/* As much of s as fits, cut at a character. */
static void put(struct sink *o, struct str s)
{
	size_t room = REPLY_TEXT_MAX - o->n;

	if (o->full || s.n == 0)
		return;
	if (o->space && o->n > 0) {
		if (room < 2) {
			o->full = true;
			return;
		}
		o->p[o->n++] = ' ';
		room--;
	}
	o->space = false;
	o->full = s.n > room;
	if (o->full)
		for (s.n = room; s.n > 0 && ((unsigned char)s.p[s.n] & 0xc0) == 0x80;)
			s.n--;
	memcpy(o->p + o->n, s.p, s.n);
	o->n += s.n;
	o->last = REPLY_TOKEN_WORD;
}

static void put_mark(struct sink *o, enum reply_token t)
{
	struct str mark = str_of(reply_token_marks[t]);

	if (t == REPLY_TOKEN_TIME && o->last == REPLY_TOKEN_TIME)
		return; /* a date and its time are one */
	if (REPLY_TEXT_MAX - o->n < mark.n + 1)
		o->full = true;
	put(o, mark);
	o->last = t;
}

/* --- pieces ----------------------------------------------------------------------------------- */

static bool is_people_word(struct str t)
{
	static const char *const words[] = { "user",	  "mailbox", "recipient", "account",
					     "address",	  "rcpt",    "sender",	  "from",
					     "to",	  "name",    "username",  "alias",
					     "recipients" };

	for (size_t i = 0; i < ARRAY_LEN(words); i++)
		if (str_eq_nocase(t, str_of(words[i])))
			return true;
	return false;
}

static bool is_separator(char c)
{
	return strchr(" ()[]{}<>\"',;|`", c) != NULL;
}

/* Where a piece ends: at a separator, but an apostrophe inside a word belongs to it. */
static size_t piece_length(struct str s)
{
	size_t n = 0;

	while (n < s.n) {
		bool inside = s.p[n] == '\'' && n > 0 && n + 1 < s.n && is_alnum(s.p[n - 1]) &&
			      is_alnum(s.p[n + 1]);
		bool thousands = s.p[n] == ',' && n > 0 && n + 1 < s.n && is_digit(s.p[n - 1]) &&
				 is_digit(s.p[n + 1]);
		if (is_separator(s.p[n]) && !inside && !thousands)
			break;
		n++;
	}
	return n;
}

/* A URL at the beginning of s: its length, or 0. */
static size_t url_length(struct str s)
{
	size_t n = 0;

	if (!str_starts_nocase(s, STR("http://")) && !str_starts_nocase(s, STR("https://")) &&
	    !str_starts_nocase(s, STR("ftp://")) && !str_starts_nocase(s, STR("www.")))
		return 0;
	while (n < s.n && strchr(" <>\"'|)]}`", s.p[n]) == NULL)
		n++;
	while (n > 0 && strchr(".,;:!?", s.p[n - 1]) != NULL)
		n--;
	return n;
}

static size_t find_url(struct str piece)
{
	for (size_t i = 1; i < piece.n; i++)
		if ((piece.p[i] == 'h' || piece.p[i] == 'H') && !is_alnum(piece.p[i - 1]) &&
		    url_length(str_from(piece.p + i, piece.n - i)) > 0)
			return i;
	return piece.n;
}

/* Takes a field "key=" or "key:" off the front of a piece, when the key is a word. */
static struct str take_key(struct str *piece)
{
	size_t n = 0;

	while (n < piece->n &&
	       (is_alnum(piece->p[n]) || piece->p[n] == '.' || piece->p[n] == '-' ||
		piece->p[n] == '_') &&
	       !is_digit(piece->p[n]))
		n++;
	if (n == 0 || n >= piece->n || (piece->p[n] != '=' && piece->p[n] != ':'))
		n = 0;
	else
		n++;
	*piece = str_from(piece->p + n, piece->n - n);
	return str_from(piece->p - n, n);
}

/* A piece that is nothing as a whole, by its parts. */
static void put_parts(struct sink *o, struct str t)
{
	while (t.n > 0 && !o->full) {
		size_t n = 0;
		enum reply_token k;
		struct str part;
		while (n < t.n && strchr("/:=#&*!?%\\~+", t.p[n]) == NULL)
			n++;
		part = str_from(t.p, n);
		k = reply_token_of(part);
		if (k != REPLY_TOKEN_WORD)
			put_mark(o, k);
		else
			put(o, part);
		put(o, str_from(t.p + n, n < t.n));
		t = str_from(t.p + n + (n < t.n), t.n - n - (n < t.n));
	}
}

static bool is_edge(char c)
{
	return strchr(".:!?*=-~#+/\\&%_", c) != NULL;
}

/* A piece with its punctuation; `person`: whatever it is, it stands where a user's name would. */
static void put_piece(struct sink *o, struct str piece, bool person)
{
	struct str core = piece;
	enum reply_token k;
	struct str key;

	while (core.n > 0 && is_edge(core.p[0]) && !(core.p[0] == ':' && core.n > 2))
		core = str_from(core.p + 1, core.n - 1);
	put(o, str_from(piece.p, piece.n - core.n));
	key = take_key(&core);
	put(o, key);
	person = person || (key.n > 0 && is_people_word(str_from(key.p, key.n - 1)));
	piece = core;
	while (core.n > 0 && is_edge(core.p[core.n - 1]))
		core.n--;
	k = reply_token_of(core);
	if (person && core.n > 0 && (k == REPLY_TOKEN_WORD || k == REPLY_TOKEN_ID))
		k = REPLY_TOKEN_ADDR;
	while (k == REPLY_TOKEN_ID && core.n < piece.n && core.p[core.n] == '=')
		core.n++; /* base64 */
	if (k != REPLY_TOKEN_WORD)
		put_mark(o, k);
	else if (reply_token_is_code(core))
		put(o, core);
	else
		put_parts(o, core);
	put(o, str_from(core.p + core.n, piece.n - core.n));
}

/* "<x>": what is inside, when it is one of something. Returns the bytes taken, 0 when not. */
static size_t put_angle(struct sink *o, struct str s)
{
	size_t n = 1;
	struct str inner;
	enum reply_token k;
	bool word = true;

	while (n < s.n && n < ANGLE_MAX && s.p[n] != '>' && s.p[n] != ' ' && s.p[n] != '<')
		n++;
	if (n >= s.n || s.p[n] != '>' || n == 1)
		return 0;
	inner = str_from(s.p + 1, n - 1);
	for (size_t i = 0; i < inner.n; i++)
		word = word && inner.p[i] >= 'A' && inner.p[i] <= 'Z';
	if (word) { /* <CRLF> */
		put(o, str_from(s.p, n + 1));
		return n + 1;
	}
	k = url_length(inner) > 0 ? REPLY_TOKEN_URL : reply_token_of(inner);
	put_mark(o, k == REPLY_TOKEN_WORD || k == REPLY_TOKEN_ID ? REPLY_TOKEN_ADDR : k);
	return n + 1;
}

/* 'x' or "x" behind a word such as `user`. Returns the bytes taken, 0 when it is no such thing. */
static size_t put_quoted(struct sink *o, struct str s, struct str before)
{
	size_t n = 1;

	while (n < s.n && s.p[n] != s.p[0] && s.p[n] != ' ')
		n++;
	if (n >= s.n || s.p[n] != s.p[0] || n == 1 || !is_people_word(before))
		return 0;
	put(o, str_from(s.p, 1));
	put_piece(o, str_from(s.p + 1, n - 1), true);
	put(o, str_from(s.p + n, 1));
	return n + 1;
}

/* A code of SMTP that stands before an enhanced code in the middle of a text stays. */
static bool is_quoted_reply(struct str piece, struct str rest)
{
	if (piece.n != 3 || (piece.p[0] != '4' && piece.p[0] != '5') || rest.n == 0)
		return false;
	return smtp_enhanced_length(str_from(rest.p + 1, rest.n - 1)) > 0;
}

static size_t put_next(struct sink *o, struct str s, struct str *before)
{
	size_t n = url_length(s);
	size_t close;

	if (n > 0) {
		put_mark(o, REPLY_TOKEN_URL);
		return n;
	}
	n = reply_token_date(s);
	if (n > 0) {
		put_mark(o, REPLY_TOKEN_TIME);
		return n;
	}
	n = s.p[0] == '<' ? put_angle(o, s) : 0;
	if (n == 0 && (s.p[0] == '"' || s.p[0] == '\'' || s.p[0] == '`'))
		n = put_quoted(o, s, *before);
	if (n > 0)
		return n;
	n = piece_length(s);
	if (n == 0) {
		put(o, str_from(s.p, 1));
		return 1;
	}
	n = find_url(str_from(s.p, n));
	for (close = n; close < s.n && s.p[close] != ']' && s.p[close] != ' ';)
		close++;
	if (n > 1 && s.p[n - 1] == '@' && n < s.n && s.p[n] == '[' && close < s.n) {
		put_mark(o, REPLY_TOKEN_ADDR); /* user@[192.0.2.1] */
		return close + 1;
	}
	if (is_quoted_reply(str_from(s.p, n), str_from(s.p + n, s.n - n)))
		put(o, str_from(s.p, n));
	else
		put_piece(o, str_from(s.p, n), false);
	for (*before = str_from(s.p, n); before->n > 0 && before->p[before->n - 1] == ':';)
		before->n--;
	return n;
}

size_t reply_text_normalise(struct str text, char ret[static REPLY_TEXT_MAX + 1])
{
	struct line line;
	struct sink o = { .p = ret };
	struct str before = { "", 0 };
	struct str s;

	join_lines(&line, text);
	s = str_from(line.p, line.n);
	while (s.n > 0 && !o.full) {
		size_t n = 1;
		if (s.p[0] == ' ')
			o.space = true;
		else
			n = put_next(&o, s, &before);
		s = str_from(s.p + n, s.n - n);
	}
	ret[o.n] = '\0';
	return o.n;
}
