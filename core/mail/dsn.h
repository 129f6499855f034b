/*
 * dsn - delivery status notifications: multipart/report (RFC 3461, 3464, 6522, 6533).
 *
 * Model:   dsn_compose() appends a whole message with CRLF line ends: header, an explanation for
 *          people, message/delivery-status, and the original's header block (text/rfc822-headers)
 *          or the whole original (message/rfc822). The caller gives it an id and a null sender.
 *          Everything is 7 bit, but: an original with 8-bit bytes makes the report 8bit (and
 *          message/global-headers or message/global when its header is UTF-8), and a sender whose
 *          address is not ASCII gets a report that needs SMTPUTF8, with
 *          message/global-delivery-status. Elsewhere such addresses are written as RFC 6533 has
 *          it, "utf-8; \x{434}@example".
 * Owner:   all texts are borrowed and may be any bytes: none of them can end a field or a part.
 * Context: any thread; pure.
 * Errors:  false when `out` is full; what was written until then stays in it.
 */
#ifndef MAIL_DSN_H
#define MAIL_DSN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/str.h"

enum dsn_action { DSN_FAILED, DSN_DELAYED, DSN_DELIVERED, DSN_RELAYED, DSN_EXPANDED };

struct dsn_rcpt {
	enum dsn_action action;
	struct str address;
	struct str orcpt;    /* addr-type;xtext as it came, or empty */
	struct str status;   /* "5.1.1"; when it is none, the action's general one */
	int code;	     /* of the reply that decided; 0: `diagnostic` is not a peer's */
	struct str enhanced; /* of that reply, or empty */
	/* The reply's text, lines joined by LF, or what went wrong; raw. Codes before it may be in
	 * it. */
	struct str diagnostic;
	struct str remote; /* host name that said it, or empty */
	int64_t at_ms;	   /* last attempt; 0: none */
	int64_t until_ms;  /* of a delay: it is tried until then */
};

struct dsn {
	struct str relay;      /* host name */
	struct str message_id; /* for the report: "<…@relay>" */
	struct str to;	       /* the original's sender */
	struct str envid;      /* xtext as it came, or empty */
	int64_t now_ms;
	int64_t arrived_ms;
	const struct dsn_rcpt *rcpts;
	size_t rcpts_n;
	struct str original; /* the content; only its header block is returned unless `full` */
	bool full;
};
bool dsn_compose(const struct dsn *d, struct buf *out);

#endif
