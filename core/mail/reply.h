/*
 * reply - SMTP replies as the client reads them (RFC 5321, 4.2; RFC 2034, 3463).
 *
 * Model:   smtp_reply_feed() takes bytes as they arrive and stops behind the last line of one
 *          reply, so that pipelined replies come out one by one. `text` has the lines joined by LF,
 *          without code and enhanced code, as the peer sent them: escape before showing.
 * Owner:   the caller owns the struct; smtp_reply_done() frees its text. Reuse it after
 *          smtp_reply_reset().
 * Errors:  ERR_PROTO with what came, escaped, in the message; the connection is then of no use.
 * Limits:  below; a longer line or more lines are ERR_PROTO, text beyond its limit is cut.
 */
#ifndef MAIL_REPLY_H
#define MAIL_REPLY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/str.h"

#define SMTP_REPLY_LINE_MAX 2048 /* RFC 5321 says 512; real servers exceed it */
#define SMTP_REPLY_LINES_MAX 128
#define SMTP_REPLY_TEXT_MAX 8192
#define SMTP_ENHANCED_LEN 12 /* "5.999.999" and the terminator */

struct smtp_reply {
	int code;			  /* 200 to 599; 0 while nothing is complete */
	char enhanced[SMTP_ENHANCED_LEN]; /* "5.1.1", or empty */
	unsigned lines;
	struct buf text;
	struct buf line; /* an incomplete line; internal */
	bool complete;
};

#define SMTP_REPLY_INIT                                                                            \
	((struct smtp_reply){ .text = BUF_INIT(SMTP_REPLY_TEXT_MAX),                               \
			      .line = BUF_INIT(SMTP_REPLY_LINE_MAX) })
void smtp_reply_done(struct smtp_reply *r);
/* Ready for the next reply; keeps the memory. */
void smtp_reply_reset(struct smtp_reply *r);
/*
 * Takes bytes; 1 when the reply is complete, 0 when more are needed. *ret_used is how many were
 * taken (all, or up to the end of the reply). Resets r first when it was complete.
 */
int smtp_reply_feed(struct smtp_reply *r, struct str in, size_t *ret_used,
		    struct err *err) MUST_CHECK;
/* The i-th line of the text (0 is the first); empty when there is none. For EHLO. */
struct str smtp_reply_line(const struct smtp_reply *r, unsigned i);
/*
 * An enhanced status code at the beginning of s, followed by a space or the end: its length, or 0.
 */
size_t smtp_enhanced_length(struct str s);

static inline bool smtp_reply_is(const struct smtp_reply *r, int hundred)
{
	return r->code / 100 == hundred;
}

#endif
