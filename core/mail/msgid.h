/*
 * msgid - message ids and recipient ids.
 *
 * Model:   a message id is (milliseconds since 2024-01-01) << 8 | counter, below 2^50: it sorts by
 *          time, is never reused, and prints as exactly ten characters of Crockford base32, short
 *          enough to read over the phone ("0N4XK2M8QF"). A recipient id is msgid << 13 | n with n
 *          from 1, printed as "0N4XK2M8QF/3". A value of 0 means "none" and is never printed.
 * Context: any thread; pure functions.
 * Errors:  parsing answers false.
 */
#ifndef MAIL_MSGID_H
#define MAIL_MSGID_H

#include <stdbool.h>
#include <stdint.h>

#include "base/str.h"

struct msgid {
	uint64_t v;
};
struct rid {
	uint64_t v;
};

#define MSGID_LEN 10	  /* characters */
#define MSGID_TEXT_LEN 11 /* with the terminator */
#define MSGID_BITS 50
#define RID_TEXT_LEN 16 /* "0123456789/8191" and the terminator */
#define RID_BITS 13
#define RID_RCPT_MAX 8191u /* recipients of one message */

static inline bool msgid_eq(struct msgid a, struct msgid b)
{
	return a.v == b.v;
}
static inline bool msgid_is_none(struct msgid id)
{
	return id.v == 0;
}

/* The next id after `last`, at wall clock wall_ms: time goes on even when the clock steps back. */
struct msgid msgid_next(struct msgid last, int64_t wall_ms);
/* When the id was made, milliseconds since the epoch. */
int64_t msgid_time_ms(struct msgid id);
/* Upper-case text, terminated. */
void msgid_text(struct msgid id, char ret[static MSGID_TEXT_LEN]);
/* Exactly ten characters in any case; O reads as 0, I and L as 1. */
bool msgid_parse(struct str s, struct msgid *ret_id);
/* The same, with an optional "/N"; *ret_n is 0 without one. */
bool msgid_parse_rcpt(struct str s, struct msgid *ret_id, unsigned *ret_n);
/*
 * The ids that begin with `prefix` (0 to 10 characters): *ret_first to *ret_last, both included.
 */
bool msgid_parse_prefix(struct str prefix, struct msgid *ret_first, struct msgid *ret_last);

static inline struct rid rid_of(struct msgid id, unsigned n)
{
	return (struct rid){ id.v << RID_BITS | (n & RID_RCPT_MAX) };
}
static inline struct msgid rid_msgid(struct rid r)
{
	return (struct msgid){ r.v >> RID_BITS };
}
static inline unsigned rid_n(struct rid r)
{
	return (unsigned)(r.v & RID_RCPT_MAX);
}
void rid_text(struct rid r, char ret[static RID_TEXT_LEN]);

#endif
