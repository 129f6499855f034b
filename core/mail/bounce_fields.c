/* Reports that are made of fields. Lenient: blocks may have any line ends, and any order. */
#include <stdio.h>
#include <stdlib.h>

#include "base/mem.h"
#include "base/utf8.h"
#include "mail/bounce_int.h"
#include "mail/verp.h"

#define VALUE_MAX 2000

/* The first block of *rest, up to an empty line; false at the end. */
static bool next_block(struct str *rest, struct str *ret)
{
	const char *begin = rest->p;
	bool any = false;

	while (rest->n > 0) {
		struct str before = *rest;
		struct str line = str_cut(rest, '\n');
		if (line.n > 0 && line.p[line.n - 1] == '\r')
			line.n--;
		if (line.n > 0) {
			if (!any)
				begin = before.p;
			any = true;
		} else if (any) {
			*ret = str_from(begin, (size_t)(before.p - begin));
			return true;
		}
	}
	*ret = str_from(begin, (size_t)(rest->p - begin));
	return any;
}

struct str bounce_field(struct str block, const char *name)
{
	struct header_field f;

	return header_find(block, str_of(name), &f) ? f.value : STR("");
}

/* What follows "TYPE;". */
static struct str behind_type(struct str value)
{
	struct str rest = value;

	(void)str_cut(&rest, ';');
	return str_trim(rest.n > 0 ? rest : value);
}

/* "\x{434}" of RFC 6533, 3. */
static void put_unescaped(struct str s, struct buf *out)
{
	while (s.n > 0) {
		char *end = NULL;
		char hex[8] = "";
		char piece[4];
		unsigned long cp;
		const char *close = s.n > 4 && s.p[0] == '\\' && s.p[1] == 'x' && s.p[2] == '{'
					    ? memchr(s.p, '}', s.n < 12 ? s.n : 12)
					    : NULL;
		if (close != NULL && close - s.p - 3 < (ptrdiff_t)sizeof(hex)) {
			memcpy(hex, s.p + 3, (size_t)(close - s.p - 3));
			cp = strtoul(hex, &end, 16);
			if (end == hex + strlen(hex) && cp > 0 && cp < 0x110000) {
				(void)buf_put(out, piece, utf8_encode((uint32_t)cp, piece));
				s.n -= (size_t)(close - s.p) + 1;
				s.p = close + 1;
				continue;
			}
		}
		(void)buf_putc(out, s.p[0]);
		s.p++;
		s.n--;
	}
}

static struct str strip(struct str s)
{
	s = str_trim(s);
	while (s.n > 0 && (s.p[0] == '<' || s.p[0] == '\'' || s.p[0] == '"')) {
		s.p++;
		s.n--;
	}
	while (s.n > 0 && strchr(">'\":,;.", s.p[s.n - 1]) != NULL)
		s.n--;
	return s;
}

bool bounce_address(struct str s, char ret[static ADDRESS_MAX + 1])
{
	struct address a;
	struct str plain = strip(s);

	ret[0] = '\0';
	if ((plain.n == 0 || address_parse(str_trim(s), ADDRESS_UTF8, &a, NULL) < 0) &&
	    (plain.n == 0 || address_parse(plain, ADDRESS_UTF8, &a, NULL) < 0))
		return false;
	memcpy(ret, a.text, (size_t)a.n + 1);
	return true;
}

static void typed_address(struct str value, char ret[static ADDRESS_MAX + 1])
{
	AUTO_BUF plain = BUF_INIT(VALUE_MAX);

	put_unescaped(behind_type(value), &plain);
	(void)bounce_address(buf_str(&plain), ret);
}

struct bounce_rcpt *bounce_add(struct bounce *b, enum dsn_action action)
{
	struct bounce_rcpt *r;

	if (b->rcpts_n == BOUNCE_RCPTS_MAX)
		return NULL;
	r = &b->rcpts[b->rcpts_n++];
	memset(r, 0, sizeof(*r));
	r->action = action;
	return r;
}

void bounce_add_sender(struct bounce *b, struct str address)
{
	char text[ADDRESS_MAX + 1];

	if (b->senders_n == BOUNCE_SENDERS_MAX || !bounce_address(address, text))
		return;
	for (size_t i = 0; i < b->senders_n; i++)
		if (strcmp(b->senders[i], text) == 0)
			return;
	memcpy(b->senders[b->senders_n++], text, sizeof(text));
}

/* --- message/delivery-status ------------------------------------------------------------------ */

static bool action_of(struct str value, enum dsn_action *ret)
{
	static const struct {
		const char *word;
		enum dsn_action action;
	} words[] = { { "failed", DSN_FAILED },	  { "failure", DSN_FAILED },
		      { "delayed", DSN_DELAYED }, { "delivered", DSN_DELIVERED },
		      { "relayed", DSN_RELAYED }, { "expanded", DSN_EXPANDED } };

	for (size_t i = 0; i < ARRAY_LEN(words); i++)
		if (str_starts_nocase(value, str_of(words[i].word))) {
			*ret = words[i].action;
			return true;
		}
	return false;
}

/* Without an action, or with one that nobody knows, the status says how it went. */
static enum dsn_action action_by(struct str status)
{
	return status.n > 0 && status.p[0] == '4'   ? DSN_DELAYED
	       : status.n > 0 && status.p[0] == '2' ? DSN_DELIVERED
						    : DSN_FAILED;
}

static void read_rcpt(struct str block, struct bounce *b)
{
	struct str status = bounce_field(block, "Status");
	enum dsn_action action = action_by(status);
	struct bounce_rcpt *r;
	size_t n;

	(void)action_of(bounce_field(block, "Action"), &action);
	r = bounce_add(b, action);
	if (r == NULL)
		return;
	typed_address(bounce_field(block, "Original-Recipient"), r->original);
	typed_address(bounce_field(block, "Final-Recipient"), r->final);
	for (n = 0; n < status.n && strchr("0123456789.", status.p[n]) != NULL; n++)
		;
	if (smtp_enhanced_length(str_from(status.p, n)) > 0)
		(void)snprintf(r->enhanced, sizeof(r->enhanced), "%.*s", (int)n, status.p);
	bounce_copy(behind_type(bounce_field(block, "Remote-MTA")), r->remote, sizeof(r->remote));
	bounce_reply(behind_type(bounce_field(block, "Diagnostic-Code")), r);
}

void bounce_status(struct str fields, struct bounce *b)
{
	struct str rest = fields;
	struct str block;

	while (next_block(&rest, &block)) {
		struct str reporter = bounce_field(block, "Reporting-MTA");
		if (reporter.n > 0)
			bounce_copy(behind_type(reporter), b->reporter, sizeof(b->reporter));
		if (bounce_field(block, "Final-Recipient").n > 0 ||
		    bounce_field(block, "Original-Recipient").n > 0 ||
		    bounce_field(block, "Action").n > 0)
			read_rcpt(block, b);
	}
}

/* --- message/feedback-report ------------------------------------------------------------------ */

void bounce_feedback(struct str fields, struct bounce *b)
{
	struct str rest = fields;
	struct str block;
	struct bounce_rcpt *r;

	if (!next_block(&rest, &block))
		return;
	bounce_copy(bounce_field(block, "Feedback-Type"), b->complaint, sizeof(b->complaint));
	bounce_copy(behind_type(bounce_field(block, "Reporting-MTA")), b->reporter,
		    sizeof(b->reporter));
	bounce_add_sender(b, bounce_field(block, "Original-Mail-From"));
	r = bounce_add(b, DSN_DELIVERED);
	if (r != NULL)
		(void)bounce_address(bounce_field(block, "Original-Rcpt-To"), r->original);
}

/* --- what is returned ------------------------------------------------------------------------- */

void bounce_returned(struct str headers, struct bounce *b)
{
	static const char *const names[] = { "Return-Path", "X-Original-Return-Path",
					     "X-Envelope-From", VERP_FIELD };
	struct str rest = headers;
	struct header_field f;

	b->returned = true;
	while (header_next(&rest, &f)) {
		for (size_t i = 0; i < ARRAY_LEN(names); i++)
			if (str_eq_nocase(f.name, str_of(names[i])))
				bounce_add_sender(b, f.value);
		if (str_eq_nocase(f.name, STR("Message-ID")) && b->original_id[0] == '\0')
			bounce_copy(f.value, b->original_id, sizeof(b->original_id));
	}
}
