/* base64 - RFC 4648, with padding, without line breaks. */
#ifndef BASE_BASE64_H
#define BASE_BASE64_H

#include <stdbool.h>

#include "base/buf.h"
#include "base/str.h"

#define BASE64_LEN(n) (((n) + 2) / 3 * 4)

/* Appends; false when out is full. */
bool base64_put(struct buf *out, struct str bytes);
/* 0 to 63, or -1. */
int base64_digit(char c);
/* Appends the bytes of a canonical text; false (and nothing appended) for any other, or when out is
 * full. */
bool base64_read(struct buf *out, struct str text);

#endif
