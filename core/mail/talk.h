/*
 * talk - what was said in an attempt to deliver, as bytes that can be kept.
 *
 * Model:   a talk_log gathers records while a session goes on: who said it, at which step, how long
 *          after the one before, for which recipient of the transaction (0: for all), and the text.
 *          talk_pack() makes of it what one recipient's attempt keeps. Texts that follow from what
 *          is kept anyway (the addresses, the size, the reply of the attempt, the usual replies of
 *          the connection) take one byte, so that a clean delivery has about a dozen. talk_next()
 *          gives the records back, with the same facts.
 *          A connection's part comes first: connecting, greeting, EHLO, TLS, AUTH, and the replies
 *          that are usual in it; then a transaction's.
 *          Text of the host is kept as it came, with its line ends; ours without them.
 * Owner:   logs and readers belong to the caller; texts borrow (a reader's until the next record).
 * Errors:  none: what does not fit is counted and told as a note; damaged bytes end the reading.
 * Limits:  below.
 */
#ifndef MAIL_TALK_H
#define MAIL_TALK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"

#define TALK_TEXT_MAX 4096		    /* of one record; what is longer is cut */
#define TALK_LOG_MAX ((size_t)128 * 1024)   /* of one log */
#define TALK_PACKED_MAX ((size_t)24 * 1024) /* of an attempt, and of a connection */
#define TALK_USUAL_MAX 160		    /* of a usual reply */

enum talk_by {
	TALK_RELAY,
	TALK_HOST,
	TALK_NOTE,   /* ours: what happened without words */
	TALK_CONTENT /* the message's: its text is the number of its bytes */
};
enum talk_step {
	TALK_DNS,
	TALK_CONNECT,
	TALK_GREETING,
	TALK_EHLO,
	TALK_STARTTLS,
	TALK_TLS,
	TALK_AUTH,
	TALK_RSET,
	TALK_MAIL,
	TALK_RCPT,
	TALK_DATA,
	TALK_END, /* the content, and the reply to it */
	TALK_QUIT,
	TALK_STEP__COUNT
};

struct talk_log {
	struct buf b;
	int64_t at_ms; /* of the last record; any clock */
	unsigned left; /* records that did not fit, or were cut */
};
#define TALK_LOG_INIT ((struct talk_log){ .b = BUF_INIT(TALK_LOG_MAX) })
void talk_log_done(struct talk_log *l);
void talk_log_begin(struct talk_log *l, int64_t now_ms);
void talk_log_add(struct talk_log *l, enum talk_by by, enum talk_step step, unsigned rcpt,
		  int64_t now_ms, struct str text);

/* What the texts of a transaction are expected to follow from. */
struct talk_facts {
	struct str sender;
	struct str rcpt;
	struct str reply; /* that decided: "CODE TEXT" */
	size_t size;
	struct str usual[TALK_STEP__COUNT]; /* replies, with their line ends; empty: none */
};

/* number: of the transaction in its connection, from 1; 0: the connection's own part. */
void talk_pack(const struct talk_log *l, unsigned rcpt, unsigned number, const struct talk_facts *f,
	       struct buf *out);
/* Behind a connection's records. */
void talk_pack_usual(enum talk_step step, struct str reply, struct buf *out);
/* The first complete reply of a step in a log, when it would do as a usual one; else empty. */
struct str talk_reply_of(const struct talk_log *l, enum talk_step step);

struct talk_record {
	enum talk_by by;
	enum talk_step step;
	int64_t after_ms; /* after the one before */
	struct str text;
};
struct talk_reader {
	struct str rest;
	unsigned number;
	struct talk_facts facts;
	struct buf text;
};
/* Begins to read; the facts of a connection's part are not looked at. */
void talk_reader_init(struct talk_reader *r, struct str packed, const struct talk_facts *f);
void talk_reader_done(struct talk_reader *r);
bool talk_next(struct talk_reader *r, struct talk_record *ret);
/* Notes the usual replies of a connection in the facts; they borrow from `packed`. */
void talk_usual(struct str packed, struct talk_facts *f);

/* How long each step took: of both parts, as far as they belong to the attempt. -1: did not come to
 * it. */
struct talk_times {
	int64_t ms[TALK_STEP__COUNT];
};
#define TALK_TIMES_NONE                                                                            \
	((struct talk_times){ { -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1 } })
void talk_time(struct talk_times *t, const struct talk_record *r);

#endif
