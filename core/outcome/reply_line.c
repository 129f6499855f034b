/*
 * Finding the reply in a line: at its beginning, or behind what programs put before it. The first
 * reply counts: one that is quoted inside another ("said: 450 …" in a 550) is that one's text.
 */
#include "outcome/reply_line.h"

#include <stdio.h>

static bool is_digit(char c)
{
	return c >= '0' && c <= '9';
}

/* A reply code at the beginning of s, or 0. */
static int code_at(struct str s)
{
	if (s.n < 3 || (s.p[0] != '4' && s.p[0] != '5') || !is_digit(s.p[1]) || !is_digit(s.p[2]))
		return 0;
	if (s.n > 3 && s.p[3] != ' ' && s.p[3] != '-' && s.p[3] != '\n' && s.p[3] != '\t')
		return 0;
	return (s.p[0] - '0') * 100 + (s.p[1] - '0') * 10 + (s.p[2] - '0');
}

static struct str skip(struct str s, size_t n)
{
	return n < s.n ? str_from(s.p + n, s.n - n) : str_from(s.p + s.n, 0);
}

static struct str skip_spaces(struct str s)
{
	while (s.n > 0 && (s.p[0] == ' ' || s.p[0] == '\t' || s.p[0] == '\n'))
		s = skip(s, 1);
	return s;
}

/*
 * The code in "(550, b'5.7.1 …')", as Python's smtplib says it, or in "[421] …", or 0; *ret_text is
 * what stands behind it. A number in brackets that is neither ("smtpd[421]", "(500, 3)") is none.
 */
static int code_alone(struct str s, size_t opener, struct str *ret_text)
{
	struct str rest = skip(s, opener + 1);
	bool word = opener > 0 && s.p[opener - 1] != ' ' && s.p[opener - 1] != '\n';

	if (rest.n < 4 || code_at(str_from(rest.p, 3)) == 0)
		return 0;
	*ret_text = skip_spaces(skip(rest, 4));
	if (s.p[opener] == '[')
		return rest.p[3] == ']' && !word ? code_at(str_from(rest.p, 3)) : 0;
	if (str_starts(*ret_text, STR("b'")) || str_starts(*ret_text, STR("b\"")))
		*ret_text = skip(*ret_text, 1);
	if (s.p[opener] != '(' || rest.p[3] != ',' ||
	    !(str_starts(*ret_text, STR("'")) || str_starts(*ret_text, STR("\""))))
		return 0;
	*ret_text = skip(*ret_text, 1);
	return code_at(str_from(rest.p, 3));
}

/*
 * Whether a reply can begin behind this character. Behind a bracket a code is more often a number
 * of something ("(512 KB max)"), unless its enhanced code follows; "<<< " is how sendmail quotes.
 */
static bool opens(struct str s, size_t i)
{
	switch (s.p[i]) {
	case ':':
	case ';':
	case '\'':
	case '"':
		return true;
	case '<':
		return i >= 2 && s.p[i - 1] == '<' && s.p[i - 2] == '<';
	case '(':
	case '[':
		return smtp_enhanced_length(skip(skip_spaces(skip(s, i + 1)), 4)) > 0;
	default:
		return false;
	}
}

/*
 * Where the reply begins: behind "smtp;", "said:", "<…>:", a quote and the like; or s itself.
 * *ret_code is its code when that stands before it by itself, or 0.
 */
static struct str find_reply(struct str s, int *ret_code)
{
	*ret_code = 0;
	if (code_at(s) != 0)
		return s;
	for (size_t i = 0; i + 1 < s.n; i++) {
		struct str rest;
		*ret_code = code_alone(s, i, &rest);
		if (*ret_code != 0)
			return rest;
		rest = skip_spaces(skip(s, i + 1));
		if (code_at(rest) == 0 || !opens(s, i))
			continue;
		if (rest.n > 3)
			return rest;
		*ret_code = code_at(rest); /* "over your quota, SMTP code: 552" */
		return s;
	}
	return s;
}

/* Line ends written out, as in many logs. */
static void unescape(struct str line, struct buf *out)
{
	while (line.n > 0) {
		size_t n = 0;
		if (str_starts(line, STR("\\r\\n")))
			n = 4;
		else if (str_starts(line, STR("\\n")))
			n = 2;
		else if (str_starts(line, STR("\r\n")))
			n = 2;
		if (n > 0)
			(void)buf_putc(out, '\n');
		else
			(void)buf_putc(out, line.p[0]);
		line = skip(line, n > 0 ? n : 1);
	}
}

static bool contains(struct str s, const char *what)
{
	size_t n = strlen(what);

	for (size_t i = 0; i + n <= s.n; i++)
		if (strncasecmp(s.p + i, what, n) == 0)
			return true;
	return false;
}

static size_t find(struct str s, const char *what)
{
	size_t n = strlen(what);

	for (size_t i = 0; i + n <= s.n; i++)
		if (memcmp(s.p + i, what, n) == 0)
			return i;
	return s.n;
}

/*
 * What a line of a mail log says at its end: "…, relay=…, dsn=4.4.1, status=deferred (…)"
 * (Postfix), "…, dsn=4.0.0, stat=Deferred: …" (sendmail). The pairs before it are no words of the
 * reply.
 */
static struct str log_remark(struct str s, struct str *ret_dsn)
{
	size_t dsn = find(s, " dsn=");
	size_t status = find(s, " status=");
	size_t stat = find(s, " stat=");

	*ret_dsn = dsn < s.n ? skip(s, dsn + 5) : str_from(s.p, 0);
	if (stat < s.n)
		return skip(s, stat + 6);
	while (status < s.n && s.p[status] != '(')
		status++;
	if (status >= s.n)
		return s;
	s = skip(s, status + 1);
	return s.n > 0 && s.p[s.n - 1] == ')' ? str_from(s.p, s.n - 1) : s;
}

/* What Postfix, Exim and others say about when it was. */
static enum classify_phase phase_of(struct str s)
{
	static const struct {
		const char *what;
		enum classify_phase phase;
	} signs[] = {
		{ "reply to MAIL FROM", CLASSIFY_PHASE_MAIL },
		{ "after MAIL FROM", CLASSIFY_PHASE_MAIL },
		{ "sending MAIL FROM", CLASSIFY_PHASE_MAIL },
		{ "after pipelined MAIL", CLASSIFY_PHASE_MAIL },
		{ "reply to RCPT TO", CLASSIFY_PHASE_RCPT },
		{ "after RCPT TO", CLASSIFY_PHASE_RCPT },
		{ "sending RCPT TO", CLASSIFY_PHASE_RCPT },
		{ "reply to end of DATA", CLASSIFY_PHASE_DATA },
		{ "reply to DATA", CLASSIFY_PHASE_DATA },
		{ "after end of data", CLASSIFY_PHASE_DATA },
		{ "after DATA", CLASSIFY_PHASE_DATA },
		{ "refused to talk to me", CLASSIFY_PHASE_CONNECT },
		{ "after initial connection", CLASSIFY_PHASE_CONNECT },
		{ "initial server greeting", CLASSIFY_PHASE_CONNECT },
		{ "reply to EHLO", CLASSIFY_PHASE_CONNECT },
		{ "reply to HELO", CLASSIFY_PHASE_CONNECT },
		{ "after EHLO", CLASSIFY_PHASE_CONNECT },
		{ "after HELO", CLASSIFY_PHASE_CONNECT },
	};

	for (size_t i = 0; i < sizeof(signs) / sizeof(signs[0]); i++)
		if (contains(s, signs[i].what))
			return signs[i].phase;
	return CLASSIFY_PHASE_UNKNOWN;
}

/* Without "(in reply to RCPT TO command)" at its end: that is no part of the reply. */
static struct str without_remark(struct str s)
{
	static const char remark[] = "(in reply ";
	size_t n = sizeof(remark) - 1;

	for (size_t i = s.n; i-- > 0;)
		if (s.p[i] == '(' && s.n - i >= n && memcmp(s.p + i, remark, n) == 0)
			return str_trim(str_from(s.p, i));
	return s;
}

/* Takes "550-5.1.1 " or "550 5.1.1 " off, when it is this code. Returns the bytes it has, or 0. */
static size_t prefix_length(struct str s, const struct reply_line *r, bool dash_only)
{
	struct str rest;
	size_t n;

	if (code_at(s) != r->code || (dash_only && (s.n < 4 || s.p[3] != '-')))
		return 0;
	rest = skip(s, 4);
	n = smtp_enhanced_length(rest);
	if (n > 0 && !str_eq(str_from(rest.p, n), str_of(r->enhanced)))
		n = 0;
	return (s.n < 4 ? s.n : 4) + n;
}

/*
 * The text without the codes that begin its lines, also where the lines were joined by spaces:
 * "550-" says that one begins, "550 " only in a reply that has the other (`dashes`).
 */
static void put_text(struct str s, const struct reply_line *r, bool dashes, struct buf *text)
{
	bool begin = true; /* of a line */

	while (s.n > 0) {
		size_t n = 0;
		if (r->code != 0 && begin)
			n = prefix_length(s, r, false);
		if (n > 0) {
			s = skip_spaces(skip(s, n));
		} else if (s.n > 3 && r->code != 0 && s.p[0] == ' ' &&
			   prefix_length(skip(s, 1), r, !dashes) > 0) {
			(void)buf_putc(text, '\n');
			s = skip(s, 1);
			begin = true;
			continue;
		}
		if (s.n == 0)
			break;
		begin = s.p[0] == '\n';
		(void)buf_putc(text, s.p[0]);
		s = skip(s, 1);
	}
}

static void read_enhanced(struct str s, struct reply_line *r)
{
	size_t n = smtp_enhanced_length(s);

	if (n > 0 && n < SMTP_ENHANCED_LEN)
		(void)snprintf(r->enhanced, sizeof(r->enhanced), "%.*s", (int)n, s.p);
}

void reply_line_read(struct str line, struct reply_line *ret, struct buf *text)
{
	AUTO_BUF plain = BUF_INIT(SMTP_REPLY_TEXT_MAX);
	struct str s, dsn;
	bool alone;

	*ret = (struct reply_line){ .code = 0 };
	unescape(line.n > SMTP_REPLY_TEXT_MAX ? str_from(line.p, SMTP_REPLY_TEXT_MAX) : line,
		 &plain);
	s = str_trim(buf_str(&plain));
	ret->phase = phase_of(s);
	s = without_remark(find_reply(log_remark(s, &dsn), &ret->code));
	alone = ret->code != 0 || code_at(s) == 0;
	if (ret->code == 0)
		ret->code = code_at(s);
	read_enhanced(alone ? s : skip(s, 4), ret);
	if (alone)
		s = skip_spaces(skip(s, smtp_enhanced_length(s)));
	if (ret->code == 0 && ret->enhanced[0] == '\0')
		read_enhanced(str_cut(&dsn, ','), ret);
	put_text(s, ret, ret->code != 0 && s.n > 3 && s.p[3] == '-', text);
}
