/*
 * attempt - what one attempt to deliver one recipient met: the evidence that stays with it.
 *
 * Model:   a plain value, copied freely; texts are cut to their arrays and hold what the peer sent,
 *          escaped nowhere: clean them before showing.
 */
#ifndef QUEUE_ATTEMPT_H
#define QUEUE_ATTEMPT_H

#include <stdint.h>

#include "mail/msgid.h"
#include "mail/reply.h"

#define ATTEMPT_REPLY_MAX 512
#define ATTEMPT_TLS_MAX 80

/* What happened to a recipient; stored as the number. */
enum outcome {
	OUTCOME_NONE,
	OUTCOME_RECEIVED, /* the message came in; a row of the feed, n of the rid is 0 */
	OUTCOME_DEFERRED,
	OUTCOME_DELIVERED,
	OUTCOME_FAILED,
	OUTCOME_EXPIRED,
	OUTCOME_DELETED,
	OUTCOME_SUPPRESSED,   /* came on the suppression list; an event of its own, as the next */
	OUTCOME_UNSUPPRESSED, /* is on it no more */
	OUTCOME_BOUNCED,      /* a report came by mail that it was not delivered after all */
	OUTCOME_COMPLAINED,   /* the recipient did, by mail */
	OUTCOME_REFUSED,      /* at RCPT, because it is suppressed; belongs to no message */
	OUTCOME__COUNT
};
const char *outcome_name(enum outcome o); /* "deferred", … */

struct attempt {
	int64_t at_ms; /* wall clock, when it ended */
	enum outcome outcome;
	int code; /* 200 to 599; 0 when there was no reply */
	char enhanced[SMTP_ENHANCED_LEN];
	uint8_t reply_class; /* enum reply_class (core/outcome) */
	uint8_t phase;	     /* enum classify_phase (core/outcome): when it was said */
	uint32_t duration_ms;
	uint64_t connection; /* what was said on it, see queue_connection(); 0: nothing is kept */
	char reply[ATTEMPT_REPLY_MAX]; /* lines joined by LF; or what went wrong instead */
	char host[256];		       /* the remote host's name; empty when none was reached */
	char ip[46];
	char source[46];
	char tls[ATTEMPT_TLS_MAX]; /* protocol, cipher, verified|unverified|dane; or "none: "
				      and why; empty without */
};

#endif
