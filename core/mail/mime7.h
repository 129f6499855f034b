/*
 * mime7 - a message in lines that every host takes: none too long, and without 8-bit bytes where
 * that is wanted (RFC 6152, 3; RFC 6376, 5.3).
 *
 * Model:   parts of a message (RFC 2046) that have such lines are encoded as quoted-printable or
 *          base64 (RFC 2045), or wrapped anew when they are; their Content-Transfer-Encoding says
 *          so, and that of the parts around them. Header lines are folded at white space.
 *          Everything else stays as it is, byte for byte. What somebody signed is not touched: it
 *          would not be worth its signature any more.
 * Owner:   slices borrow; the output is the caller's.
 * Context: any thread; pure, linear in the message for each level of nesting.
 * Errors:  ERR_INVALID with a reason that can be told to the message's client; ERR_LIMIT when `out`
 *          is full.
 * Limits:  MIME7_DEPTH parts within parts.
 */
#ifndef MAIL_MIME7_H
#define MAIL_MIME7_H

#include <stdbool.h>
#include <stddef.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/str.h"

#define MIME7_DEPTH 20
/* Never more than this comes of a message of n bytes. */
#define MIME7_GROWTH(n) (4 * (n) + (size_t)64 * 1024)

struct mime7_want {
	size_t line_max; /* bytes of a line without its end; 0: any, at least 300 */
	bool seven_bit;	 /* no bytes above 127, but in header fields */
};

/* Appends the message (CRLF line ends) as it is wanted. */
int mime7_encode(struct str message, const struct mime7_want *want, struct buf *out,
		 struct err *err) MUST_CHECK;

#endif
