/*
 * reply_line - a reply as it stands in a log, a bounce or a transcript, on one line.
 *
 * Model:   "550-5.1.1 no\r\n550 5.1.1 such user" (line ends written as \r\n or \n, or the lines
 *          joined by spaces), "smtp; 550 …", "host mx[192.0.2.1] said: 550 … (in reply to RCPT TO
 *          command)", "SMTP error from remote mail server after MAIL FROM:<…>: 550 …", a whole line
 *          of a mail log (dsn=…, status=deferred (…)), what client libraries print ("(550,
 *          b'5.7.1 …')"), and lines without any code, such as "connection timed out".
 * Context: any thread; pure.
 * Errors:  none: what is not understood is text.
 */
#ifndef OUTCOME_REPLY_LINE_H
#define OUTCOME_REPLY_LINE_H

#include "base/buf.h"
#include "base/str.h"
#include "mail/reply.h"
#include "outcome/classify.h"

struct reply_line {
	int code; /* 0 when there is none */
	char enhanced[SMTP_ENHANCED_LEN];
	enum classify_phase phase;
};
/* Appends the text, its lines joined by LF, to `text`. */
void reply_line_read(struct str line, struct reply_line *ret, struct buf *text);

#endif
