/*
 * dotstuff - the transparency of DATA (RFC 5321, 4.5.2), both ways, on chunks of any size.
 *
 * Model:   the decoder takes bytes as they come from the wire, removes the stuffed dots and stops
 *          behind CRLF "." CRLF and nothing else. A bare LF or bare CR never ends DATA and never
 *          counts as a line end (SMTP smuggling); it is let through and reported, for the session
 *          to refuse the message. The encoder is strict the other way: what it writes has only CRLF
 *          line ends, whatever it was given.
 * Limits:  the decoder counts up to `limit` bytes; beyond it (or when `out` is full) it sets
 *          too_big, adds nothing more, and still finds the end.
 * Context: any thread; the structs are plain values without anything to free.
 */
#ifndef MAIL_DOTSTUFF_H
#define MAIL_DOTSTUFF_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"

enum dot_state {
	DOT_LINE_START,
	DOT_DOT,    /* a dot at the start of a line */
	DOT_DOT_CR, /* and a CR after it */
	DOT_TEXT,
	DOT_CR, /* a CR in or after text, not yet written */
	DOT_END
};

struct dot_decoder {
	enum dot_state state;
	uint64_t size; /* decoded bytes, counted beyond the limit as well */
	uint64_t limit;
	uint64_t bare_lf;
	uint64_t bare_cr;
	uint64_t line;	  /* bytes of the present line so far */
	uint64_t longest; /* of a line, without its end */
	bool eight_bit;	  /* a byte above 127 occurred */
	bool nul;
	bool too_big;
};

void dot_decoder_init(struct dot_decoder *d, uint64_t limit);
/*
 * Decodes from p and appends to out; returns the bytes taken. All are taken unless the end was
 * reached (dot_decoder_ended), then those behind it are the next commands.
 */
size_t dot_decode(struct dot_decoder *d, const uint8_t *p, size_t n, struct buf *out);
static inline bool dot_decoder_ended(const struct dot_decoder *d)
{
	return d->state == DOT_END;
}

/*
 * The same for bytes that come counted (BDAT, RFC 3030): nothing is stuffed and nothing ends them
 * before raw_end(), which also ends the last line if need be. Line ends are judged as in DATA.
 */
void raw_decode(struct dot_decoder *d, const uint8_t *p, size_t n, struct buf *out);
void raw_end(struct dot_decoder *d, struct buf *out);

struct dot_encoder {
	bool in_line; /* something was written since the last line end */
	bool cr;      /* the last byte was a CR, not yet written */
};

#define DOT_ENCODER_INIT ((struct dot_encoder){ .in_line = false })
/* Appends the stuffed form; false when `out` is full. */
bool dot_encode(struct dot_encoder *e, const uint8_t *p, size_t n, struct buf *out);
/* Ends the last line if need be, and the message: "." CRLF. */
bool dot_encode_end(struct dot_encoder *e, struct buf *out);

#endif
