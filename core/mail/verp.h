/*
 * verp - the envelope senders that the relay uses towards next hops: one for each recipient of each
 * message, signed, so that a report that comes back to it is known to be about that recipient, and
 * nobody can make one up.
 *
 * Model:   "b-PAYLOAD-TAGMAC" before the '@', in 32 characters that survive a change of letter
 *          case: the payload has the recipient's id, the day on which the address ends and the
 *          number of the stream's name; the tag tells the recipient's address from all others when
 *          the message itself is forgotten; the MAC (HMAC-SHA-256, 80 bits, with the domain) covers
 *          both. The same message, recipient and day make the same address, as greylisting wants.
 * Owner:   the caller owns the key. Nothing here knows the time: callers say it.
 * Context: any thread; pure.
 * Limits:  VERP_LOCAL_LEN is below the 64 octets of RFC 5321, 4.5.3.1.1.
 */
#ifndef MAIL_VERP_H
#define MAIL_VERP_H

#include <stdbool.h>
#include <stdint.h>

#include "base/str.h"
#include "mail/msgid.h"

/* The header field that has the address, too: complaints often come without the envelope. */
#define VERP_FIELD "X-Weir-Report"
#define VERP_KEY_LEN 32
#define VERP_LOCAL_LEN 64 /* with the terminator; 50 characters are the most that is made */
#define VERP_TAG_LEN 9	  /* with the terminator */

struct verp {
	struct rid rid;
	uint32_t stream;    /* name of the queue's */
	int64_t expires_ms; /* wall clock: it is good before that */
	char tag[VERP_TAG_LEN];
};

enum verp_verdict {
	VERP_GOOD,
	VERP_STRANGE, /* nothing that looks like one of ours */
	VERP_CUT,     /* one of ours with a piece missing or too many */
	VERP_FORGED,  /* the signature is not ours */
	VERP_EXPIRED
};

/* `rcpt` is the recipient's address, in any letter case; the day of `expires_ms` is its last. */
void verp_make(const uint8_t key[static VERP_KEY_LEN], struct str domain, struct rid rid,
	       uint32_t stream, struct str rcpt, int64_t expires_ms,
	       char ret[static VERP_LOCAL_LEN]);
/* Of a local part; *ret_verp is set when it is good or has expired. */
enum verp_verdict verp_read(const uint8_t key[static VERP_KEY_LEN], struct str domain,
			    struct str local, int64_t now_ms, struct verp *ret_verp);
/* Whether it was made for this recipient. */
bool verp_is_for(const uint8_t key[static VERP_KEY_LEN], const struct verp *v, struct str rcpt);

#endif
