/*
 * Lines are gathered until LF (a CR before it is dropped: some servers forget one of the two), then
 * read as "NNN-text" or "NNN text". All lines of one reply carry the same code.
 */
#include "mail/reply.h"

#include <stdio.h>
#include <string.h>

#define SHOWN_MAX 80 /* bytes of a bad line that an error quotes */

void smtp_reply_done(struct smtp_reply *r)
{
	buf_done(&r->text);
	buf_done(&r->line);
	smtp_reply_reset(r);
}

void smtp_reply_reset(struct smtp_reply *r)
{
	r->code = 0;
	r->enhanced[0] = '\0';
	r->lines = 0;
	r->complete = false;
	buf_reset(&r->text);
	buf_reset(&r->line);
}

static bool is_digit(char c)
{
	return c >= '0' && c <= '9';
}

/* One to three digits and `end` behind them (0: end of text or a space): how many digits, or 0. */
static size_t digits_before(struct str s, char end)
{
	size_t n = 0;

	while (n < s.n && n < 3 && is_digit(s.p[n]))
		n++;
	if (n == s.n)
		return end == '\0' ? n : 0;
	return s.p[n] == end || (end == '\0' && s.p[n] == ' ') ? n : 0;
}

size_t smtp_enhanced_length(struct str s)
{
	size_t subject;
	size_t detail;

	if (s.n < 5 || memchr("245", s.p[0], 3) == NULL || s.p[1] != '.')
		return 0;
	subject = digits_before(str_from(s.p + 2, s.n - 2), '.');
	if (subject == 0)
		return 0;
	detail = digits_before(str_from(s.p + 3 + subject, s.n - 3 - subject), '\0');
	return detail != 0 ? 3 + subject + detail : 0;
}

/* Errors travel to logs and screens: only printable ASCII of the peer's line goes into them. */
static int bad_line(struct err *err, const char *what, struct str line)
{
	char shown[SHOWN_MAX + 1];
	size_t n = line.n < SHOWN_MAX ? line.n : SHOWN_MAX;

	for (size_t i = 0; i < n; i++)
		shown[i] = line.p[i] >= ' ' && line.p[i] < 0x7f ? line.p[i] : '?';
	shown[n] = '\0';
	return err_set(err, ERR_PROTO, "%s: \"%s\"%s", what, shown, n < line.n ? "…" : "");
}

/* Text beyond the limit is cut, not refused: a code is worth more than an essay. */
static void add_text(struct smtp_reply *r, struct str text)
{
	size_t room = r->text.limit - r->text.n;

	if (r->lines > 0 && room > 0) {
		(void)buf_putc(&r->text, '\n');
		room--;
	}
	if (text.n > room)
		text.n = room;
	(void)buf_put_str(&r->text, text);
}

static int take_line(struct smtp_reply *r, struct err *err)
{
	struct str line = buf_str(&r->line);
	size_t enhanced;
	bool more;
	int code;

	if (line.n > 0 && line.p[line.n - 1] == '\r')
		line.n--;
	if (line.n < 3 || !is_digit(line.p[0]) || !is_digit(line.p[1]) || !is_digit(line.p[2]) ||
	    (line.n > 3 && line.p[3] != ' ' && line.p[3] != '-'))
		return bad_line(err, "not an SMTP reply", line);
	code = (line.p[0] - '0') * 100 + (line.p[1] - '0') * 10 + (line.p[2] - '0');
	if (code < 200 || code > 599)
		return bad_line(err, "reply code out of range", line);
	if (r->lines > 0 && code != r->code)
		return bad_line(err, "reply code changed between lines", line);
	if (r->lines == SMTP_REPLY_LINES_MAX)
		return bad_line(err, "reply of too many lines", line);
	more = line.n > 3 && line.p[3] == '-';
	line = str_from(line.p + (line.n > 3 ? 4 : 3), line.n > 3 ? line.n - 4 : 0);
	enhanced = smtp_enhanced_length(line);
	if (enhanced > 0 && r->lines == 0)
		(void)snprintf(r->enhanced, sizeof(r->enhanced), "%.*s", (int)enhanced, line.p);
	/* later lines repeat it (RFC 2034, 4); a different one is text */
	if (enhanced > 0 && str_eq(str_from(line.p, enhanced), str_of(r->enhanced)))
		line = str_trim(str_from(line.p + enhanced, line.n - enhanced));
	add_text(r, line);
	r->code = code;
	r->lines++;
	r->complete = !more;
	buf_reset(&r->line);
	return 0;
}

int smtp_reply_feed(struct smtp_reply *r, struct str in, size_t *ret_used, struct err *err)
{
	struct str rest = in;

	if (r->complete)
		smtp_reply_reset(r);
	*ret_used = 0;
	while (rest.n > 0 && !r->complete) {
		ptrdiff_t lf = str_index(rest, '\n');
		size_t n = lf >= 0 ? (size_t)lf : rest.n;
		int rc;
		if (!buf_put(&r->line, rest.p, n))
			return bad_line(err, "reply line too long", str_from(rest.p, n));
		n += lf >= 0;
		rest = str_from(rest.p + n, rest.n - n);
		*ret_used = in.n - rest.n;
		if (lf < 0)
			break;
		rc = take_line(r, err);
		if (rc < 0)
			return rc;
	}
	return r->complete ? 1 : 0;
}

struct str smtp_reply_line(const struct smtp_reply *r, unsigned i)
{
	struct str rest = buf_str(&r->text);
	struct str line = str_cut(&rest, '\n');

	if (i >= r->lines)
		return str_from(rest.p, 0);
	while (i-- > 0)
		line = str_cut(&rest, '\n');
	return line;
}
