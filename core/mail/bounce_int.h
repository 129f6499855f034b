/*
 * bounce_int - what the readers of reports share.
 *
 *	bounce.c	MIME: which parts there are, and what decides
 *	bounce_fields.c	message/delivery-status, message/feedback-report, returned headers
 *	bounce_text.c	reports in words
 *	bounce_reply.c	the reply that is quoted in a text
 */
#ifndef MAIL_BOUNCE_INT_H
#define MAIL_BOUNCE_INT_H

#include "mail/bounce.h"

/* The value of a field in a block; empty without. */
struct str bounce_field(struct str block, const char *name);
/* The clean text that fits. */
void bounce_copy(struct str s, char *ret, size_t size);
/* An address with or without angle brackets and quotes; "" when it is none. */
bool bounce_address(struct str s, char ret[static ADDRESS_MAX + 1]);
/* NULL when there is no room. */
struct bounce_rcpt *bounce_add(struct bounce *b, enum dsn_action action);
void bounce_add_sender(struct bounce *b, struct str address);

/* Code, enhanced code and text of the reply in `s`; of an anonymous text, the text alone. A status
 * that is there already stays unless the reply has a more exact one. */
void bounce_reply(struct str s, struct bounce_rcpt *r);

/* What `from` knows of the reply; a status stays unless it is a general one. */
void bounce_take(const struct bounce_rcpt *from, struct bounce_rcpt *to);

void bounce_status(struct str fields, struct bounce *b);
void bounce_feedback(struct str fields, struct bounce *b);
void bounce_returned(struct str headers, struct bounce *b);

/* `failed`: the value of X-Failed-Recipients, or empty. True when it is a report. */
bool bounce_text(struct str text, struct str failed, bool daemon, struct bounce *b);

#endif
