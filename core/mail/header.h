/*
 * header - the header block of a message: find, count, strip, and decode for showing.
 *
 * Model:   a block is the field lines with their line ends (CRLF, or bare LF in what is read
 *          leniently), without the empty line. It ends at the empty line, or before the first line
 *          that is neither a field nor a continuation.
 * Owner:   all slices borrow from the message.
 * Limits:  the caller bounds the message; decoded text is bounded by the caller's buffer.
 * Context: any thread; pure. Peer bytes may be anything: the decoder's output is valid UTF-8
 *          without control characters, the slices are raw.
 */
#ifndef MAIL_HEADER_H
#define MAIL_HEADER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/str.h"

#define HEADER_SUBJECT_MAX 256 /* bytes of decoded text kept for lists */

struct header_field {
	struct str name;
	struct str value; /* as it stands, folded, without the last line end, trimmed */
	struct str whole; /* with name and line ends */
};

struct header_facts {
	struct str block;
	size_t body_at; /* where the body begins: behind the empty line when there is one */
	unsigned fields;
	unsigned received;
	bool has_from;
	bool has_date;
	bool has_bcc;
	bool malformed;	       /* ended by a line that is no field */
	bool eight_bit;	       /* bytes above 127 in the block */
	struct str message_id; /* raw values; empty when the field is missing */
	struct str subject;
};

/* One pass over the block at the beginning of `message`. */
void header_scan(struct str message, struct header_facts *ret);
/* Cuts the next field off *rest (a block); false at the end. */
bool header_next(struct str *rest, struct header_field *ret);
/* The first field of that name; false when there is none. */
bool header_find(struct str block, struct str name, struct header_field *ret);
/* Appends the block without the fields of that name; false when `out` is full. */
bool header_strip(struct str block, struct str name, struct buf *out);
/*
 * Appends a raw value unfolded and with its encoded words (RFC 2047) decoded, as clean UTF-8 on
 * one line. Stops between two characters when `out` is full, without setting out->full.
 */
void header_decode(struct str value, struct buf *out);

/* What the lines of a body look like, for bodies that did not come through DATA. */
struct header_lines {
	uint64_t bare_lf;
	uint64_t bare_cr;
	size_t longest; /* of a line, without its end */
	bool eight_bit;
	bool nul;
};
void header_lines_scan(struct str text, struct header_lines *ret);

#endif
