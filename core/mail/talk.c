/*
 * Records of a log: who and step (1 byte), recipient (2), milliseconds (4), length (2), text.
 *
 * Packed: the transaction's number, then records: who (2 bits), step (4 bits) and form (2 bits) in
 * a byte, milliseconds, and length and text where the form has one. Numbers have seven bits a byte,
 * the lowest first.
 */
#include "mail/talk.h"

#include <stdio.h>
#include <string.h>

#include "base/obj.h"

#define HEAD 9 /* bytes before a log's text */
#define MS_MAX INT64_C(0x7fffffff)
#define LAST_ROOM ((size_t)16 * 1024) /* kept in a log for what is said to all recipients */

/*
 *	TEXT	what was said stands there
 *	FIRST	relay: MAIL with the sender and SIZE, RCPT, DATA; host: its usual reply to the step;
 *		content: the message's size
 *	SECOND	relay: MAIL or RCPT with the address, and what follows that stands there; host: the
 *		reply of the attempt
 *	USUAL	a usual reply, which was not said here
 */
enum form { FORM_TEXT, FORM_FIRST, FORM_SECOND, FORM_USUAL };

/* --- a log ------------------------------------------------------------------------------------ */

void talk_log_done(struct talk_log *l)
{
	buf_done(&l->b);
	l->left = 0;
}

void talk_log_begin(struct talk_log *l, int64_t now_ms)
{
	buf_reset(&l->b);
	l->at_ms = now_ms;
	l->left = 0;
}

void talk_log_add(struct talk_log *l, enum talk_by by, enum talk_step step, unsigned rcpt,
		  int64_t now_ms, struct str text)
{
	size_t room = rcpt != 0 ? TALK_LOG_MAX - LAST_ROOM : TALK_LOG_MAX;
	size_t n = text.n < TALK_TEXT_MAX ? text.n : TALK_TEXT_MAX;
	int64_t after = now_ms > l->at_ms ? now_ms - l->at_ms : 0;
	uint32_t ms = (uint32_t)(after < MS_MAX ? after : MS_MAX);
	uint8_t head[HEAD] = { (uint8_t)((unsigned)by | (unsigned)step << 2),
			       (uint8_t)rcpt,
			       (uint8_t)(rcpt >> 8),
			       (uint8_t)ms,
			       (uint8_t)(ms >> 8),
			       (uint8_t)(ms >> 16),
			       (uint8_t)(ms >> 24),
			       (uint8_t)n,
			       (uint8_t)(n >> 8) };

	if (l->b.n + HEAD + n > room) {
		l->left++;
		return;
	}
	l->left += n < text.n;
	l->at_ms = now_ms;
	(void)buf_put(&l->b, head, HEAD);
	(void)buf_put(&l->b, text.p, n);
}

struct logged {
	struct talk_record r;
	unsigned rcpt;
};

/* Our own bytes: they are well-formed. */
static bool log_next(struct str *rest, struct logged *ret)
{
	const uint8_t *h = (const uint8_t *)rest->p;
	size_t n;

	if (rest->n < HEAD)
		return false;
	n = h[7] | (size_t)h[8] << 8;
	ret->r = (struct talk_record){
		.by = (enum talk_by)(h[0] & 3),
		.step = (enum talk_step)(h[0] >> 2),
		.after_ms = (int64_t)(h[3] | (uint32_t)h[4] << 8 | (uint32_t)h[5] << 16 |
				      (uint32_t)h[6] << 24),
		.text = str_from(rest->p + HEAD, n),
	};
	ret->rcpt = h[1] | (unsigned)h[2] << 8;
	*rest = str_from(rest->p + HEAD + n, rest->n - HEAD - n);
	return true;
}

static bool is_whole_reply(struct str s)
{
	size_t line = s.n;

	if (s.n < 4 || s.n > TALK_USUAL_MAX || s.p[s.n - 1] != '\n')
		return false;
	for (line--; line > 0 && s.p[line - 1] != '\n';)
		line--;
	return s.n - line >= 4 && s.p[line + 3] != '-';
}

struct str talk_reply_of(const struct talk_log *l, enum talk_step step)
{
	struct str rest = buf_str(&l->b);
	struct logged g;

	while (log_next(&rest, &g))
		if (g.r.by == TALK_HOST && g.r.step == step)
			return is_whole_reply(g.r.text) ? g.r.text : STR("");
	return STR("");
}

/* --- what is expected ------------------------------------------------------------------------- */

static bool expect_relay(enum talk_step step, enum form form, const struct talk_facts *f,
			 struct buf *b)
{
	switch (step) {
	case TALK_MAIL:
		(void)buf_puts(b, "MAIL FROM:<");
		(void)buf_put_str(b, f->sender);
		(void)buf_puts(b, ">");
		if (form == FORM_FIRST)
			(void)buf_printf(b, " SIZE=%zu", f->size);
		return true;
	case TALK_RCPT:
		(void)buf_puts(b, "RCPT TO:<");
		(void)buf_put_str(b, f->rcpt);
		(void)buf_puts(b, ">");
		return true;
	case TALK_DATA:
		(void)buf_puts(b, "DATA");
		return form == FORM_FIRST;
	case TALK_DNS:
	case TALK_CONNECT:
	case TALK_GREETING:
	case TALK_EHLO:
	case TALK_STARTTLS:
	case TALK_TLS:
	case TALK_AUTH:
	case TALK_RSET:
	case TALK_END:
	case TALK_QUIT:
	case TALK_STEP__COUNT:
		break;
	}
	return false;
}

/* The text that this form stands for; false: none. */
static bool expected(const struct talk_record *r, enum form form, const struct talk_facts *f,
		     struct buf *b, struct str *ret)
{
	bool is = false;

	buf_reset(b);
	switch (r->by) {
	case TALK_RELAY:
		is = expect_relay(r->step, form, f, b);
		break;
	case TALK_HOST:
		if (form == FORM_FIRST) {
			*ret = f->usual[r->step];
			return ret->n > 0;
		}
		(void)buf_put_str(b, f->reply);
		(void)buf_puts(b, "\r\n");
		is = f->reply.n > 0;
		break;
	case TALK_CONTENT:
		(void)buf_printf(b, "%zu", f->size);
		is = form == FORM_FIRST;
		break;
	case TALK_NOTE:
		break;
	}
	*ret = buf_str(b);
	return is && !b->full;
}

/* --- packing ---------------------------------------------------------------------------------- */

static void put_number(struct buf *out, uint64_t v)
{
	for (; v >= 0x80; v >>= 7)
		(void)buf_putc(out, (char)(v | 0x80));
	(void)buf_putc(out, (char)v);
}

static bool has_text(const struct talk_record *r, enum form form)
{
	return form == FORM_TEXT || form == FORM_USUAL ||
	       (form == FORM_SECOND && r->by == TALK_RELAY);
}

static void put(const struct talk_record *r, enum form form, struct buf *out)
{
	(void)buf_putc(out, (char)((unsigned)r->by | (unsigned)r->step << 2 | (unsigned)form << 6));
	put_number(out, (uint64_t)r->after_ms);
	if (!has_text(r, form))
		return;
	put_number(out, r->text.n);
	(void)buf_put_str(out, r->text);
}

static void put_shortest(const struct talk_record *r, const struct talk_facts *f, struct buf *b,
			 struct buf *out)
{
	struct talk_record rest = *r;
	struct str text;

	if (f != NULL && expected(r, FORM_FIRST, f, b, &text) && str_eq(text, r->text)) {
		put(r, FORM_FIRST, out);
		return;
	}
	if (f == NULL || !expected(r, FORM_SECOND, f, b, &text) || !str_starts(r->text, text) ||
	    (r->by != TALK_RELAY && text.n != r->text.n)) {
		put(r, FORM_TEXT, out);
		return;
	}
	rest.text = str_from(r->text.p + text.n, r->text.n - text.n);
	put(&rest, FORM_SECOND, out);
}

static void put_note(enum talk_step step, int64_t after_ms, const char *text, struct buf *out)
{
	struct talk_record r = {
		.by = TALK_NOTE, .step = step, .after_ms = after_ms, .text = str_of(text)
	};

	put(&r, FORM_TEXT, out);
}

/* What was said about other recipients. */
struct skipped {
	unsigned n;
	int64_t ms;
};

static void put_skipped(struct skipped *s, struct buf *out)
{
	char text[64];

	if (s->n == 0)
		return;
	(void)snprintf(text, sizeof(text), "%u lines about other recipients", s->n);
	put_note(TALK_RCPT, s->ms, text, out);
	*s = (struct skipped){ .n = 0 };
}

void talk_pack(const struct talk_log *l, unsigned rcpt, unsigned number, const struct talk_facts *f,
	       struct buf *out)
{
	AUTO_BUF b = BUF_INIT(TALK_TEXT_MAX);
	struct str rest = buf_str(&l->b);
	struct skipped skipped = { .n = 0 };
	struct logged g;
	char text[64];

	put_number(out, number);
	while (log_next(&rest, &g)) {
		if (g.rcpt != 0 && g.rcpt != rcpt) {
			skipped.n++;
			skipped.ms += g.r.after_ms;
			continue;
		}
		put_skipped(&skipped, out);
		put_shortest(&g.r, number > 0 ? f : NULL, &b, out);
	}
	put_skipped(&skipped, out);
	if (l->left > 0) {
		(void)snprintf(text, sizeof(text), "%u lines were too many or too long to keep",
			       l->left);
		put_note(TALK_END, 0, text, out);
	}
}

void talk_pack_usual(enum talk_step step, struct str reply, struct buf *out)
{
	struct talk_record r = { .by = TALK_HOST, .step = step, .text = reply };

	if (reply.n > 0 && reply.n <= TALK_USUAL_MAX)
		put(&r, FORM_USUAL, out);
}

/* --- reading ---------------------------------------------------------------------------------- */

static bool take_number(struct str *rest, uint64_t *ret)
{
	uint64_t v = 0;

	for (unsigned shift = 0; shift < 63 && rest->n > 0; shift += 7) {
		uint8_t c = (uint8_t)rest->p[0];
		*rest = str_from(rest->p + 1, rest->n - 1);
		v |= (uint64_t)(c & 0x7f) << shift;
		if ((c & 0x80) == 0) {
			*ret = v;
			return true;
		}
	}
	return false;
}

static bool take(struct str *rest, struct talk_record *ret, enum form *ret_form)
{
	uint64_t ms;
	uint64_t n;
	uint8_t c;

	if (rest->n == 0)
		return false;
	c = (uint8_t)rest->p[0];
	*rest = str_from(rest->p + 1, rest->n - 1);
	if ((c >> 2 & 15) >= TALK_STEP__COUNT || !take_number(rest, &ms) || ms > (uint64_t)MS_MAX)
		return false;
	*ret_form = (enum form)(c >> 6);
	*ret = (struct talk_record){ .by = (enum talk_by)(c & 3),
				     .step = (enum talk_step)(c >> 2 & 15),
				     .after_ms = (int64_t)ms,
				     .text = STR("") };
	if (!has_text(ret, *ret_form))
		return true;
	if (!take_number(rest, &n) || n > rest->n || n > TALK_TEXT_MAX)
		return false;
	ret->text = str_from(rest->p, (size_t)n);
	*rest = str_from(rest->p + n, rest->n - (size_t)n);
	return true;
}

void talk_reader_init(struct talk_reader *r, struct str packed, const struct talk_facts *f)
{
	uint64_t number = 0;

	*r = (struct talk_reader){ .rest = packed, .text = BUF_INIT(TALK_TEXT_MAX) };
	if (f != NULL)
		r->facts = *f;
	if (!take_number(&r->rest, &number))
		r->rest.n = 0;
	r->number = number < UINT32_MAX ? (unsigned)number : UINT32_MAX;
}

void talk_reader_done(struct talk_reader *r)
{
	buf_done(&r->text);
	r->rest = STR("");
}

bool talk_next(struct talk_reader *r, struct talk_record *ret)
{
	struct str rest;
	enum form form;

	do {
		if (!take(&r->rest, ret, &form)) {
			r->rest.n = 0;
			return false;
		}
	} while (form == FORM_USUAL);
	if (form == FORM_TEXT)
		return true;
	rest = ret->text;
	if (!expected(ret, form, &r->facts, &r->text, &ret->text)) {
		ret->text = STR("(not kept)");
	} else if (rest.n > 0) {
		(void)buf_put_str(&r->text, rest);
		ret->text = buf_str(&r->text);
	}
	return true;
}

void talk_usual(struct str packed, struct talk_facts *f)
{
	struct talk_record r;
	uint64_t number;
	enum form form;

	if (!take_number(&packed, &number))
		return;
	while (take(&packed, &r, &form))
		if (form == FORM_USUAL)
			f->usual[r.step] = r.text;
}

void talk_time(struct talk_times *t, const struct talk_record *r)
{
	t->ms[r->step] = (t->ms[r->step] < 0 ? 0 : t->ms[r->step]) + r->after_ms;
}
