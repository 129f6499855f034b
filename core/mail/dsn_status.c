/*
 * message/delivery-status (RFC 3464): a group of fields for the message, then one for each
 * recipient. In message/global-delivery-status (RFC 6533) the values may be UTF-8.
 */
#include "dsn_int.h"

#include <stdio.h>

#include "base/fmt.h"
#include "mail/reply.h"

#define FIELD_WIDTH 76
#define ADDR_TYPE_MAX 32
#define XTEXT_MAX 512

static const char *const action_names[] = {
	[DSN_FAILED] = "failed",   [DSN_DELAYED] = "delayed",	[DSN_DELIVERED] = "delivered",
	[DSN_RELAYED] = "relayed", [DSN_EXPANDED] = "expanded",
};
static const char *const general_status[] = {
	[DSN_FAILED] = "5.0.0",	 [DSN_DELAYED] = "4.0.0",  [DSN_DELIVERED] = "2.0.0",
	[DSN_RELAYED] = "2.0.0", [DSN_EXPANDED] = "2.0.0",
};

static void put_field(struct buf *out, const char *name, const char *type, struct str value,
		      enum dsn_charset cs)
{
	size_t at = out->n;

	(void)buf_printf(out, "%s: %s", name, type);
	(void)dsn_put_words(out, value, cs, " ", out->n - at, FIELD_WIDTH);
	(void)buf_puts(out, "\r\n");
}

static void put_date(struct buf *out, const char *name, int64_t at_ms)
{
	char date[FMT_TIME_LEN];

	if (at_ms == 0)
		return;
	fmt_mail_date(at_ms, date);
	(void)buf_printf(out, "%s: %s\r\n", name, date);
}

static int hex_value(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

/*
 * Decodes xtext (RFC 3461, 4). False when it is none, or when it hides a control character: it is
 * then reported as it came.
 */
static bool xtext_decode(struct str s, struct buf *out)
{
	for (size_t i = 0; i < s.n; i++) {
		int c = (unsigned char)s.p[i];
		if (c == '+') {
			int high = i + 2 < s.n ? hex_value(s.p[i + 1]) : -1;
			int low = i + 2 < s.n ? hex_value(s.p[i + 2]) : -1;
			if (high < 0 || low < 0)
				return false;
			c = high * 16 + low;
			i += 2;
		}
		if (c < ' ' || c == 0x7f)
			return false;
		(void)buf_putc(out, (char)c);
	}
	return !out->full;
}

static struct str xtext_text(struct str s, struct buf *tmp)
{
	buf_reset(tmp);
	return xtext_decode(s, tmp) ? buf_str(tmp) : s;
}

static bool is_addr_type(struct str s)
{
	for (size_t i = 0; i < s.n; i++) {
		char c = s.p[i];
		if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
		      c == '-'))
			return false;
	}
	return s.n > 0 && s.n <= ADDR_TYPE_MAX;
}

static void put_original_recipient(struct buf *out, struct str orcpt, enum dsn_charset cs)
{
	AUTO_BUF tmp = BUF_INIT(XTEXT_MAX);
	struct str address = orcpt;
	struct str type = str_cut(&address, ';');
	char prefix[ADDR_TYPE_MAX + 4];

	if (!is_addr_type(type) || address.n == 0)
		return;
	(void)snprintf(prefix, sizeof(prefix), "%.*s; ", STR_ARG(type));
	put_field(out, "Original-Recipient", prefix, xtext_text(address, &tmp), cs);
}

static bool is_ip(struct str host)
{
	bool digit = false;

	for (size_t i = 0; i < host.n; i++) {
		char c = host.p[i];
		if (c == ':')
			return true;
		if (!((c >= '0' && c <= '9') || c == '.'))
			return false;
		digit = true;
	}
	return digit;
}

static void put_remote(struct buf *out, struct str host, enum dsn_charset cs)
{
	AUTO_BUF literal = BUF_INIT(64);

	if (host.n > 1 && host.p[host.n - 1] == '.')
		host.n--;
	if (host.n == 0)
		return;
	if (is_ip(host) && buf_printf(&literal, "[%.*s]", STR_ARG(host)))
		host = buf_str(&literal);
	put_field(out, "Remote-MTA", "dns; ", host, cs);
}

static void put_rcpt(struct buf *out, const struct dsn_rcpt *r, enum dsn_charset cs)
{
	bool ascii = dsn_is_ascii(r->address);
	struct str status = r->status;
	char type[8 + DSN_CODES_LEN];
	char codes[DSN_CODES_LEN];

	if (smtp_enhanced_length(status) != status.n || status.n == 0)
		status = str_of(general_status[r->action]);
	(void)buf_puts(out, "\r\n");
	put_original_recipient(out, r->orcpt, cs);
	put_field(out, "Final-Recipient", ascii ? "rfc822; " : "utf-8; ", r->address, cs);
	(void)buf_printf(out, "Action: %s\r\n", action_names[r->action]);
	(void)buf_printf(out, "Status: %.*s\r\n", STR_ARG(status));
	put_remote(out, r->remote, cs);
	if (r->diagnostic.n > 0 || r->code != 0) {
		dsn_codes(r, codes);
		(void)snprintf(type, sizeof(type), r->code != 0 ? "smtp; %s" : "x-weir; %s", codes);
		put_field(out, "Diagnostic-Code", type, dsn_reply_words(r, r->diagnostic), cs);
	}
	put_date(out, "Last-Attempt-Date", r->at_ms);
	if (r->action == DSN_DELAYED)
		put_date(out, "Will-Retry-Until", r->until_ms);
}

void dsn_put_status(const struct dsn *d, struct buf *out)
{
	enum dsn_charset cs = dsn_is_ascii(d->to) ? DSN_ESCAPED : DSN_UTF8;
	AUTO_BUF tmp = BUF_INIT(XTEXT_MAX);

	if (d->envid.n > 0)
		put_field(out, "Original-Envelope-Id", "", xtext_text(d->envid, &tmp), cs);
	put_field(out, "Reporting-MTA", "dns; ", d->relay, cs);
	put_date(out, "Arrival-Date", d->arrived_ms);
	for (size_t i = 0; i < d->rcpts_n && !out->full; i++)
		put_rcpt(out, &d->rcpts[i], cs);
}
