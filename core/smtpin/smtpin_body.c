/*
 * The bytes of DATA are decoded straight behind our Received field, which is known before they
 * come. Most messages need nothing else; only one without Message-ID or Date, with a Bcc, or with a
 * header that does not end in an empty line gets a new head, and its body is moved once.
 */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/fmt.h"
#include "base/mem.h"
#include "base/obj.h"
#include "smtpin/smtpin_int.h"

#define HEAD_ROOM 4096		      /* what we add to a message, at most */
#define HEAD_MAX ((size_t)512 * 1024) /* of the client's header block */
#define FIRST_RESERVE ((size_t)4096)  /* nearly every message is smaller, or not much larger */
#define DECLARED_RESERVE ((size_t)256 * 1024) /* taken at a client's word, at most */

bool smtpin_refuse(struct smtp_answer *a, int code, const char *enhanced, const char *fmt, ...)
{
	va_list ap;

	*a = (struct smtp_answer){ .code = code };
	(void)snprintf(a->enhanced, sizeof(a->enhanced), "%s", enhanced);
	va_start(ap, fmt);
	(void)vsnprintf(a->text, sizeof(a->text), fmt, ap);
	va_end(ap);
	return false;
}

/* Brings what is charged to the server in line with what the buffer holds. */
static void charge(struct smtpin *in, struct smtpin_body *b)
{
	in->stats.memory += b->bytes.cap;
	in->stats.memory -= b->charged;
	b->charged = b->bytes.cap;
}

/* Nothing more is kept of this message. */
static void give_up(struct smtpin *in, struct smtpin_body *b)
{
	buf_done(&b->bytes);
	b->bytes = BUF_INIT(0);
	charge(in, b);
}

/* A name as it may stand in a header: what a client calls itself is its own invention. */
static void put_name(struct buf *out, struct str name)
{
	for (size_t i = 0; i < name.n; i++) {
		char c = name.p[i];
		bool plain = (c >= '0' && c <= '9') || ((c | 0x20) >= 'a' && (c | 0x20) <= 'z') ||
			     (c != '\0' && strchr(".-_:[]", c) != NULL);
		(void)buf_putc(out, plain ? c : '?');
	}
}

/* RFC 3848, and 6531, 4.3 */
static const char *protocol(const struct smtpin_envelope *e)
{
	bool authenticated = e->credential.n > 0;

	if (!e->esmtp)
		return "SMTP";
	if (e->smtputf8 && e->tls != NULL)
		return authenticated ? "UTF8SMTPSA" : "UTF8SMTPS";
	if (e->smtputf8)
		return authenticated ? "UTF8SMTPA" : "UTF8SMTP";
	if (e->tls != NULL)
		return authenticated ? "ESMTPSA" : "ESMTPS";
	return authenticated ? "ESMTPA" : "ESMTP";
}

static void put_received(struct smtpin *in, struct smtpin_body *b, const struct smtpin_envelope *e)
{
	char ip[IPADDR_TEXT_LEN];
	char id[MSGID_TEXT_LEN];
	char date[FMT_TIME_LEN];

	ipaddr_text(&e->client, ip);
	msgid_text(b->id, id);
	fmt_mail_date(b->received_ms, date);
	(void)buf_puts(&b->bytes, "Received: from ");
	put_name(&b->bytes, e->helo);
	(void)buf_printf(&b->bytes, " ([%s%s])\r\n", ipaddr_is_v4(&e->client) ? "" : "IPv6:", ip);
	if (e->tls != NULL)
		(void)buf_printf(&b->bytes, "\t(%s %s)\r\n", e->tls->protocol, e->tls->cipher);
	(void)buf_printf(&b->bytes, "\tby %s with %s id %s;\r\n\t%s\r\n", in->hostname, protocol(e),
			 id, date);
}

void body_begin(struct smtpin *in, struct smtpin_body *b, const struct smtpin_envelope *e)
{
	size_t reserve = FIRST_RESERVE;

	*b = (struct smtpin_body){ .bytes = BUF_INIT(in->conf.size_max + HEAD_ROOM),
				   .id = in->ops->new_id(in->arg),
				   .received_ms = loop_wall_ms(in->loop) };
	if (e->declared_size > reserve)
		reserve = e->declared_size < DECLARED_RESERVE ? (size_t)e->declared_size
							      : DECLARED_RESERVE;
	(void)buf_reserve(&b->bytes, reserve);
	put_received(in, b, e);
	b->prefix = b->bytes.n;
	dot_decoder_init(&b->dot, in->conf.size_max);
	charge(in, b);
}

/* What was added is accounted for; nothing is kept that cannot become a message. */
static void account(struct smtpin *in, struct smtpin_body *b)
{
	charge(in, b);
	if (in->stats.memory > in->conf.memory_max) {
		b->starved = true;
		give_up(in, b);
	} else if (b->dot.too_big && b->bytes.cap > 0) {
		give_up(in, b);
	}
}

size_t body_take(struct smtpin *in, struct smtpin_body *b, struct str bytes)
{
	size_t used = dot_decode(&b->dot, (const uint8_t *)bytes.p, bytes.n, &b->bytes);

	account(in, b);
	return used;
}

void body_take_raw(struct smtpin *in, struct smtpin_body *b, struct str bytes)
{
	raw_decode(&b->dot, (const uint8_t *)bytes.p, bytes.n, &b->bytes);
	account(in, b);
}

void body_end_raw(struct smtpin *in, struct smtpin_body *b)
{
	raw_end(&b->dot, &b->bytes);
	account(in, b);
}

bool body_alive(struct smtpin *in, const struct smtpin_body *b, struct smtp_answer *a)
{
	if (b->starved)
		return smtpin_refuse(a, 452, "4.3.1", "Too much mail at once, try again later");
	if (b->dot.too_big)
		return smtpin_refuse(a, 552, "5.3.4", "The message is larger than %zu bytes",
				     in->conf.size_max);
	return true;
}

/* Refuses what cannot be a message, or must not go on its way. */
static bool check(struct smtpin *in, const struct smtpin_body *b, struct smtp_answer *a)
{
	if (!body_alive(in, b, a))
		return false;
	if (b->dot.bare_lf + b->dot.bare_cr > 0)
		return smtpin_refuse(a, 550, "5.6.11",
				     "The message has line ends other than CR LF");
	if (b->dot.nul)
		return smtpin_refuse(a, 550, "5.6.0", "The message has NUL bytes");
	if (in->conf.line_max > 0 && b->dot.longest > in->conf.line_max)
		return smtpin_refuse(a, 550, "5.6.0",
				     "The message has a line of %llu bytes, %zu are allowed",
				     (unsigned long long)b->dot.longest, in->conf.line_max);
	return true;
}

static bool check_head(struct smtpin *in, const struct header_facts *f, struct smtp_answer *a)
{
	if (f->received > in->conf.hops_max)
		return smtpin_refuse(a, 554, "5.4.6", "Mail loop: %u Received fields", f->received);
	if (f->block.n > HEAD_MAX)
		return smtpin_refuse(a, 552, "5.3.4", "The header is larger than %zu bytes",
				     HEAD_MAX);
	return true;
}

static bool needs_new_head(const struct header_facts *f)
{
	return f->message_id.n == 0 || !f->has_date || f->has_bcc || f->malformed;
}

/* Puts what is missing into the head, and takes Bcc out. */
static void write_head(struct smtpin *in, struct smtpin_body *b, const struct header_facts *f)
{
	AUTO_BUF head = BUF_INIT(b->prefix + f->block.n + HEAD_ROOM);
	size_t body_at = b->prefix + f->body_at;
	size_t body_n = b->bytes.n - body_at;
	char text[FMT_TIME_LEN];

	(void)buf_put(&head, b->bytes.p, b->prefix);
	if (f->message_id.n == 0) {
		msgid_text(b->id, text);
		(void)buf_printf(&head, "Message-ID: <%s@%s>\r\n", text, in->hostname);
	}
	if (!f->has_date) {
		fmt_mail_date(b->received_ms, text);
		(void)buf_printf(&head, "Date: %s\r\n", text);
	}
	(void)header_strip(f->block, STR("Bcc"), &head);
	(void)buf_puts(&head, "\r\n");
	/* the limit leaves room for it: HEAD_ROOM is more than our fields take */
	if (head.full || !buf_reserve(&b->bytes, head.n))
		BUG("no room for a head of %zu bytes", head.n);
	memmove(b->bytes.p + head.n, b->bytes.p + body_at, body_n);
	memcpy(b->bytes.p, head.p, head.n);
	b->bytes.n = head.n + body_n;
	b->bytes.p[b->bytes.n] = '\0';
	b->prefix = 0;
	charge(in, b);
}

/* RFC 6531, 3.6: asked for, and needed for an address or a header field. */
static bool needs_smtputf8(const struct smtpin_envelope *e, const struct header_facts *f)
{
	bool needed = e->from->utf8 || f->eight_bit;

	for (size_t i = 0; i < e->n_rcpts; i++)
		needed = needed || e->rcpts[i].address.utf8;
	return e->smtputf8 && needed;
}

bool body_end(struct smtpin *in, struct smtpin_body *b, struct smtpin_message *ret,
	      struct smtp_answer *ret_refusal)
{
	struct header_facts f;
	struct buf subject;

	if (!check(in, b, ret_refusal))
		return false;
	header_scan(str_from(b->bytes.p + b->prefix, b->bytes.n - b->prefix), &f);
	if (!check_head(in, &f, ret_refusal))
		return false;
	if (needs_new_head(&f)) {
		write_head(in, b, &f);
		header_scan(buf_str(&b->bytes), &f);
	}
	ret->id = b->id;
	ret->data = b->bytes.p;
	ret->size = b->bytes.n;
	ret->body_at = b->prefix + f.body_at;
	ret->eight_bit = b->dot.eight_bit;
	ret->longest_line = (size_t)b->dot.longest;
	ret->smtputf8 = needs_smtputf8(&ret->envelope, &f);
	ret->message_id = f.message_id;
	ret->received_ms = b->received_ms;
	/* decoded in place: a buffer of exactly its limit does not grow */
	subject = (struct buf){ .p = ret->subject,
				.cap = sizeof(ret->subject),
				.limit = sizeof(ret->subject) - 1 };
	ret->subject[0] = '\0';
	header_decode(f.subject, &subject);
	ASSERT(subject.p == ret->subject);
	return true;
}

void body_drop(struct smtpin *in, struct smtpin_body *b)
{
	give_up(in, b);
}
