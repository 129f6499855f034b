/*
 * dsn_int - what the files of dsn share: the parts' writers, and text that is safe in a field.
 */
#ifndef MAIL_DSN_INT_H
#define MAIL_DSN_INT_H

#include "mail/dsn.h"

/* How characters outside ASCII are written. */
enum dsn_charset {
	DSN_UTF8,   /* as they are; bad bytes become U+FFFD */
	DSN_ESCAPED /* \x{434}; bad bytes \xD3 */
};

bool dsn_is_ascii(struct str s);
/*
 * Appends s as words on lines of at most `width` columns, each new line begun with `indent`;
 * control characters and what could disturb a terminal count as space. The first line is taken to
 * have `column` columns already. Returns the column reached.
 */
size_t dsn_put_words(struct buf *out, struct str s, enum dsn_charset cs, const char *indent,
		     size_t column, size_t width);
/* The code and enhanced code that stood before a reply's text, "550 5.1.1 "; empty without. */
#define DSN_CODES_LEN 24
void dsn_codes(const struct dsn_rcpt *r, char ret[static DSN_CODES_LEN]);
/* A line, or the whole, of the diagnostic without the codes that dsn_codes() gives. */
struct str dsn_reply_words(const struct dsn_rcpt *r, struct str line);

/* The parts' bodies. */
void dsn_put_explanation(const struct dsn *d, struct buf *out);
void dsn_put_status(const struct dsn *d, struct buf *out);

/* Quoted-printable of lines; only CRLF and LF are line ends. */
void dsn_put_quoted_printable(struct buf *out, struct str s);
/* A header value as it is (ASCII) or in encoded words (RFC 2047), folded. */
void dsn_put_encoded(struct buf *out, struct str s, size_t column);

#endif
