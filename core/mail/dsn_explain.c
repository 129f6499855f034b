/*
 * The explanation: what happened to which recipient, what the other side said, what to do. It is
 * for the sender of the message, who may never have heard of SMTP.
 */
#include "dsn_int.h"

#include "base/fmt.h"
#include "mail/header.h"
#include "mail/reply.h"

#define WIDTH 72

static const char *const headings[] = {
	[DSN_FAILED] = "Your message could not be delivered to:",
	[DSN_DELAYED] = "Your message has not been delivered yet to:",
	[DSN_DELIVERED] = "Your message was delivered to:",
	[DSN_RELAYED] = "Your message was handed on to a system that sends no such reports, for:",
	[DSN_EXPANDED] = "Your message was sent on to the members of the list:",
};

/* What the sender can do, by subject and detail of the status; -1: any detail. */
static const struct {
	int subject;
	int detail;
	const char *text;
} remedies[] = {
	{ 1, 1, "Check the address for a typing error; the mailbox does not exist." },
	{ 1, 2, "Check what stands behind the @ for a typing error; that domain takes no mail." },
	{ 1, 3, "Check the address for a typing error; it is not written as an address is." },
	{ 1, 6, "The recipient has moved. Ask for the new address by another way." },
	{ 1, 7, "Your own address was refused; ask the people who run your mail system." },
	{ 1, 8, "Your own address was refused; ask the people who run your mail system." },
	{ 1, 10, "Check what stands behind the @ for a typing error; that domain takes no mail." },
	{ 1, -1, "Check the address for a typing error." },
	{ 2, 1, "The mailbox is closed. Reach the recipient by another way." },
	{ 2, 2,
	  "The mailbox is full. Reach the recipient by another way, or send it again later." },
	{ 2, 3, "The message is too large. Send a smaller one, or a link to what is attached." },
	{ 3, 4, "The message is too large. Send a smaller one, or a link to what is attached." },
	{ 4, 7, "The other system could not be reached in time. Send it again later." },
	{ 4, -1, "The other system could not be reached. Send it again later." },
	{ 7, -1,
	  "The other system's rules refuse it. Its answer may tell why; the people who run your "
	  "mail system, or the recipient's, can help." },
};
#define REMEDY_GENERAL                                                                             \
	"If the reason does not help you, ask the people who run your mail system and show "       \
	"them this report."

static const char *remedy(struct str status)
{
	struct str rest = status;
	uint64_t subject = 0;
	uint64_t detail = 0;

	(void)str_cut(&rest, '.');
	if (!str_u64(str_cut(&rest, '.'), 999, &subject) || !str_u64(rest, 999, &detail))
		return REMEDY_GENERAL;
	for (size_t i = 0; i < sizeof(remedies) / sizeof(remedies[0]); i++)
		if (remedies[i].subject == (int)subject &&
		    (remedies[i].detail == (int)detail || remedies[i].detail < 0))
			return remedies[i].text;
	return REMEDY_GENERAL;
}

static void put_paragraph(struct buf *out, struct str s, const char *indent)
{
	(void)buf_puts(out, indent);
	(void)dsn_put_words(out, s, DSN_UTF8, indent, strlen(indent), WIDTH);
	(void)buf_puts(out, "\r\n");
}

/* Line by line, as the peer broke it. */
static void put_said(const struct dsn_rcpt *r, struct buf *out)
{
	struct str rest = r->diagnostic;
	char codes[DSN_CODES_LEN];
	struct str remote = r->remote.n > 0 ? r->remote : STR("The other system");

	if (r->code != 0) {
		(void)buf_puts(out, "  ");
		(void)dsn_put_words(out, remote, DSN_UTF8, "  ", 2, WIDTH);
		(void)buf_puts(out, " answered:\r\n");
	} else {
		(void)buf_puts(out, "  The reason:\r\n");
	}
	dsn_codes(r, codes);
	do {
		struct str line = dsn_reply_words(r, str_cut(&rest, '\n'));
		(void)buf_printf(out, "    %s", codes);
		(void)dsn_put_words(out, line, DSN_UTF8, "      ", 4 + strlen(codes), WIDTH);
		(void)buf_puts(out, "\r\n");
	} while (rest.n > 0 && !out->full);
}

static void put_what_now(const struct dsn_rcpt *r, struct buf *out)
{
	char date[FMT_TIME_LEN];

	if (r->action == DSN_FAILED) {
		(void)buf_puts(out, "\r\n");
		put_paragraph(out, str_of(remedy(r->status)), "  ");
		(void)buf_puts(out, "  It will not be tried again.\r\n");
	} else if (r->action == DSN_DELAYED) {
		(void)buf_puts(out, "\r\n  You need not do anything: it is tried again");
		fmt_mail_date(r->until_ms, date);
		if (r->until_ms != 0)
			(void)buf_printf(out, " until\r\n  %s", date);
		(void)buf_puts(out, ".\r\n");
	}
}

static bool same_story(const struct dsn_rcpt *a, const struct dsn_rcpt *b)
{
	return a->action == b->action && a->code == b->code && a->until_ms == b->until_ms &&
	       str_eq(a->status, b->status) && str_eq(a->enhanced, b->enhanced) &&
	       str_eq(a->diagnostic, b->diagnostic) && str_eq(a->remote, b->remote);
}

static void put_message(const struct dsn *d, struct buf *out)
{
	struct header_facts facts;
	AUTO_BUF subject = BUF_INIT(HEADER_SUBJECT_MAX);
	char date[FMT_TIME_LEN];

	header_scan(d->original, &facts);
	header_decode(facts.subject, &subject);
	(void)buf_puts(out, "The message:\r\n");
	if (subject.n > 0) {
		(void)buf_puts(out, "  Subject: ");
		(void)dsn_put_words(out, buf_str(&subject), DSN_UTF8, "    ", 11, WIDTH);
		(void)buf_puts(out, "\r\n");
	}
	if (d->arrived_ms != 0) {
		fmt_mail_date(d->arrived_ms, date);
		(void)buf_printf(out, "  Received here: %s\r\n", date);
	}
	if (facts.message_id.n > 0) {
		(void)buf_puts(out, "  Message-ID: ");
		(void)dsn_put_words(out, facts.message_id, DSN_UTF8, "    ", 14, WIDTH);
		(void)buf_puts(out, "\r\n");
	}
}

void dsn_put_explanation(const struct dsn *d, struct buf *out)
{
	(void)buf_puts(out, "This is the mail system of ");
	(void)dsn_put_words(out, d->relay, DSN_UTF8, "", 27, WIDTH);
	(void)buf_puts(out, ".\r\n");
	for (size_t i = 0; i < d->rcpts_n && !out->full;) {
		const struct dsn_rcpt *r = &d->rcpts[i];
		(void)buf_printf(out, "\r\n%s\r\n\r\n", headings[r->action]);
		for (; i < d->rcpts_n && same_story(r, &d->rcpts[i]); i++)
			put_paragraph(out, d->rcpts[i].address, "  ");
		if (r->diagnostic.n > 0 || r->code != 0) {
			(void)buf_puts(out, "\r\n");
			put_said(r, out);
		}
		put_what_now(r, out);
	}
	(void)buf_puts(out, "\r\n");
	put_message(d, out);
	(void)buf_printf(out, "\r\nAttached are the details for programs and %s.\r\n",
			 d->full ? "your message" : "the header of your message");
}
