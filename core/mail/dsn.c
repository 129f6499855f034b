/*
 * The parts are written first, then a boundary is chosen that occurs in none of them, then all is
 * put together.
 */
#include "mail/dsn.h"

#include <string.h>

#include "base/fmt.h"
#include "base/utf8.h"
#include "dsn_int.h"
#include "mail/header.h"

#define PARTS 3
#define BOUNDARY_PREFIX "=_weir_"
#define BOUNDARY_DIGITS 8 /* 16 to the eighth occurrences before it could run out */
#define BOUNDARY_LEN (sizeof(BOUNDARY_PREFIX) + BOUNDARY_DIGITS)
#define SUBJECT_MAX 120
#define MSGID_HEADER_MAX 500

struct part {
	const char *type;
	const char *description;
	const char *encoding;
	struct str body;
};

/* How often each hexadecimal digit follows `prefix` in s. */
static void count_next(struct str s, struct str prefix, size_t counts[static 16])
{
	const char *end = s.p + s.n;
	const char *p = s.p;

	while (s.n > 0 && (p = memmem(p, (size_t)(end - p), prefix.p, prefix.n)) != NULL) {
		p += prefix.n;
		if (p < end && *p >= '0' && *p <= '9')
			counts[*p - '0']++;
		else if (p < end && *p >= 'a' && *p <= 'f')
			counts[*p - 'a' + 10]++;
	}
}

/*
 * Digit by digit the one that occurs least often behind what is chosen already: whatever a sender
 * or a peer wrote, after a few digits nothing like it is left. (Part bodies that are longer than
 * 16^8 boundaries do not exist.)
 */
static void choose_boundary(const struct part parts[static PARTS], char ret[static BOUNDARY_LEN])
{
	size_t n = strlen(BOUNDARY_PREFIX);

	memcpy(ret, BOUNDARY_PREFIX, n);
	for (size_t digit = 0; digit < BOUNDARY_DIGITS; digit++) {
		size_t counts[16] = { 0 };
		size_t least = 0;
		for (size_t i = 0; i < PARTS; i++)
			count_next(parts[i].body, str_from(ret, n), counts);
		for (size_t i = 1; i < 16; i++)
			if (counts[i] < counts[least])
				least = i;
		ret[n++] = "0123456789abcdef"[least];
		if (counts[least] == 0)
			break;
	}
	ret[n] = '\0';
}

/* What the report is about, worst first. */
static const char *headline(const struct dsn *d)
{
	static const char *const lines[] = {
		[DSN_FAILED] = "Not delivered",	      [DSN_DELAYED] = "Not delivered yet",
		[DSN_DELIVERED] = "Delivered",	      [DSN_RELAYED] = "Handed on",
		[DSN_EXPANDED] = "Sent on to a list",
	};
	enum dsn_action worst = DSN_EXPANDED;

	for (size_t i = 0; i < d->rcpts_n; i++)
		if (d->rcpts[i].action < worst)
			worst = d->rcpts[i].action;
	return lines[worst];
}

static bool is_msgid(struct str s)
{
	if (s.n < 3 || s.n > MSGID_HEADER_MAX || s.p[0] != '<' || s.p[s.n - 1] != '>')
		return false;
	for (size_t i = 1; i + 1 < s.n; i++)
		if (s.p[i] <= ' ' || s.p[i] > '~' || s.p[i] == '<' || s.p[i] == '>')
			return false;
	return true;
}

/* An address or host name from the envelope: it was checked long ago, but never trust that. */
static void put_atom(struct buf *out, struct str s)
{
	for (size_t i = 0; i < s.n; i++)
		(void)buf_putc(out, (unsigned char)s.p[i] <= ' ' || s.p[i] == 0x7f ? '?' : s.p[i]);
}

static void put_header(const struct dsn *d, const char *boundary, bool eight_bit, struct buf *out)
{
	AUTO_BUF subject = BUF_INIT(SUBJECT_MAX);
	struct header_facts facts;
	char date[FMT_TIME_LEN];
	const char *line = headline(d);

	header_scan(d->original, &facts);
	header_decode(facts.subject, &subject);
	fmt_mail_date(d->now_ms, date);
	(void)buf_printf(out, "Date: %s\r\nFrom: Mail Delivery System <postmaster@", date);
	put_atom(out, d->relay);
	(void)buf_puts(out, ">\r\nTo: <");
	put_atom(out, d->to);
	(void)buf_printf(out, ">\r\nSubject: %s%s", line, subject.n > 0 ? ": " : "");
	dsn_put_encoded(out, buf_str(&subject), strlen("Subject: : ") + strlen(line));
	(void)buf_puts(out, "\r\nMessage-ID: ");
	put_atom(out, d->message_id);
	(void)buf_puts(out, "\r\n");
	if (is_msgid(facts.message_id))
		(void)buf_printf(out, "In-Reply-To: %.*s\r\nReferences: %.*s\r\n",
				 STR_ARG(facts.message_id), STR_ARG(facts.message_id));
	(void)buf_printf(out,
			 "Auto-Submitted: auto-replied\r\n"
			 "MIME-Version: 1.0\r\n"
			 "Content-Type: multipart/report; report-type=%sdelivery-status;\r\n"
			 "\tboundary=\"%s\"\r\n%s\r\n"
			 "This is a delivery report in MIME format (RFC 3464).\r\n",
			 dsn_is_ascii(d->to) ? "" : "global-", boundary,
			 eight_bit ? "Content-Transfer-Encoding: 8bit\r\n" : "");
}

static void put_part(const struct part *p, const char *boundary, struct buf *out)
{
	(void)buf_printf(out,
			 "\r\n--%s\r\nContent-Type: %s\r\nContent-Description: %s\r\n"
			 "Content-Transfer-Encoding: %s\r\n\r\n",
			 boundary, p->type, p->description, p->encoding);
	(void)buf_put_str(out, p->body);
}

/* Every line with CRLF; a header block may come with bare line feeds from elsewhere. */
static void put_lines(struct buf *out, struct str s)
{
	while (s.n > 0 && !out->full) {
		struct str line = str_cut(&s, '\n');
		if (line.n > 0 && line.p[line.n - 1] == '\r')
			line.n--;
		(void)buf_put_str(out, line);
		(void)buf_puts(out, "\r\n");
	}
}

static bool has_controls(struct str s)
{
	for (size_t i = 0; i < s.n; i++)
		if ((unsigned char)s.p[i] < ' ' && s.p[i] != '\t' && s.p[i] != '\n' &&
		    !(s.p[i] == '\r' && i + 1 < s.n && s.p[i + 1] == '\n'))
			return true;
	return false;
}

static void explanation_part(const struct dsn *d, struct buf *tmp, struct buf *body,
			     struct part *ret)
{
	dsn_put_explanation(d, tmp);
	*ret = (struct part){ .type = "text/plain; charset=utf-8",
			      .description = "What happened",
			      .encoding = "7bit",
			      .body = buf_str(tmp) };
	if (!dsn_is_ascii(ret->body)) {
		dsn_put_quoted_printable(body, ret->body);
		ret->encoding = "quoted-printable";
		ret->body = buf_str(body);
	}
}

static void status_part(const struct dsn *d, struct buf *body, struct part *ret)
{
	bool ascii = dsn_is_ascii(d->to);

	dsn_put_status(d, body);
	*ret = (struct part){ .type = ascii ? "message/delivery-status"
					    : "message/global-delivery-status",
			      .description = "Delivery report",
			      .encoding = ascii ? "7bit" : "8bit",
			      .body = buf_str(body) };
}

/*
 * Headers that are UTF-8 have a type of their own (RFC 6533, 6); with other bytes, or with control
 * characters, they travel encoded, so that what is reported is what came.
 */
static void headers_part(struct str block, struct buf *body, struct part *ret)
{
	*ret = (struct part){ .type = "text/rfc822-headers",
			      .description = "Header of the message",
			      .encoding = "7bit" };
	if (has_controls(block) || (!dsn_is_ascii(block) && !utf8_valid(block))) {
		ret->encoding = "quoted-printable";
		dsn_put_quoted_printable(body, block);
	} else {
		if (!dsn_is_ascii(block)) {
			ret->type = "message/global-headers";
			ret->encoding = "8bit";
		}
		put_lines(body, block);
	}
	ret->body = buf_str(body);
}

static void message_part(struct str original, struct str block, struct part *ret)
{
	bool global = !dsn_is_ascii(block) && utf8_valid(block);

	*ret = (struct part){ .type = global ? "message/global" : "message/rfc822",
			      .description = "The message",
			      .encoding = dsn_is_ascii(original) ? "7bit" : "8bit",
			      .body = original };
}

bool dsn_compose(const struct dsn *d, struct buf *out)
{
	AUTO_BUF text = BUF_INIT(out->limit);
	AUTO_BUF encoded = BUF_INIT(out->limit);
	AUTO_BUF status = BUF_INIT(out->limit);
	AUTO_BUF headers = BUF_INIT(out->limit);
	struct part parts[PARTS];
	struct header_facts facts;
	char boundary[BOUNDARY_LEN];
	bool eight_bit = false;

	header_scan(d->original, &facts);
	explanation_part(d, &text, &encoded, &parts[0]);
	status_part(d, &status, &parts[1]);
	if (d->full)
		message_part(d->original, facts.block, &parts[2]);
	else
		headers_part(facts.block, &headers, &parts[2]);
	for (size_t i = 0; i < PARTS; i++)
		eight_bit = eight_bit || strcmp(parts[i].encoding, "8bit") == 0;
	choose_boundary(parts, boundary);
	put_header(d, boundary, eight_bit, out);
	for (size_t i = 0; i < PARTS; i++)
		put_part(&parts[i], boundary, out);
	(void)buf_printf(out, "\r\n--%s--\r\n", boundary);
	return !out->full && !text.full && !encoded.full && !status.full && !headers.full;
}
