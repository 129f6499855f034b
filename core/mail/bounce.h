/*
 * bounce - mail that reports on mail of ours: delivery status notifications of others (RFC 3464 in
 * RFC 6522, with addresses of RFC 6533), complaints (ARF, RFC 5965), and what qmail, Exim, Postfix,
 * sendmail, Exchange and others write in words.
 *
 * Model:   bounce_read() takes a mail apart (GMime) and answers what it says, as it says it;
 * whether it is genuine and whose mail it is about is for the caller to judge. Structure comes
 *          before words, words before guesses; automatic replies are told from reports.
 * Owner:   the answer owns its texts, which are clean UTF-8 without control characters.
 * Context: any thread. GMime allocates; the caller bounds the mail.
 * Errors:  none: what is not understood is BOUNCE_UNREAD.
 * Limits:  below; BOUNCE_MAIL_MAX bytes of the mail are looked at.
 */
#ifndef MAIL_BOUNCE_H
#define MAIL_BOUNCE_H

#include <stdbool.h>
#include <stddef.h>

#include "base/str.h"
#include "mail/address.h"
#include "mail/dsn.h"
#include "mail/header.h"
#include "mail/reply.h"

#define BOUNCE_MAIL_MAX ((size_t)1 << 20)
#define BOUNCE_RCPTS_MAX 16
#define BOUNCE_SENDERS_MAX 8
#define BOUNCE_TEXT_MAX 400
#define BOUNCE_NAME_MAX 255

enum bounce_kind {
	BOUNCE_UNREAD,	  /* nothing that is understood */
	BOUNCE_STATUS,	  /* of deliveries: `rcpts` */
	BOUNCE_COMPLAINT, /* about a message: `complaint` is its type */
	BOUNCE_IDLE,	  /* of no consequence: an automatic reply, a receipt, a "no spam" */
	BOUNCE_KIND__COUNT
};

struct bounce_rcpt {
	enum dsn_action action;
	/* In canonical spelling; empty when it is not said, or is no address. */
	char original[ADDRESS_MAX + 1];
	char final[ADDRESS_MAX + 1];
	int code;			  /* of a reply that is quoted; 0 */
	char enhanced[SMTP_ENHANCED_LEN]; /* or the status; empty */
	char text[BOUNCE_TEXT_MAX + 1];	  /* of that reply without its codes, or in words */
	char remote[BOUNCE_NAME_MAX + 1]; /* host that said it */
};

struct bounce {
	enum bounce_kind kind;
	const char *format; /* static: "rfc3464", "arf", "qmail", …; "" */
	struct bounce_rcpt rcpts[BOUNCE_RCPTS_MAX];
	size_t rcpts_n;
	char reporter[BOUNCE_NAME_MAX + 1]; /* the host that reports, as it says */
	char complaint[32];
	bool returned; /* a message, or its header, is in it */
	/* Envelope senders that the message reported on had, as the report says: to be recognised.
	 */
	char senders[BOUNCE_SENDERS_MAX][ADDRESS_MAX + 1];
	size_t senders_n;
	char subject[HEADER_SUBJECT_MAX + 1]; /* of the report */
	char from[HEADER_SUBJECT_MAX + 1];
	char original_id[BOUNCE_NAME_MAX + 1]; /* Message-ID of the returned message */
};

/* `null_sender`: it came from <>. */
void bounce_read(struct str mail, bool null_sender, struct bounce *ret);
/* Once, before the first bounce_read(), in the main thread. */
void bounce_init(void);

#endif
