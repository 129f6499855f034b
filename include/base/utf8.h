/*
 * utf8 - decoding and cleaning of UTF-8 that came from outside.
 */
#ifndef BASE_UTF8_H
#define BASE_UTF8_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/str.h"

#define UTF8_REPLACEMENT 0xfffdu

/*
 * Decodes the first code point of s (s.n > 0) and returns the bytes it takes, at least 1. Overlong
 * forms, surrogates, values above U+10FFFF and cut sequences give UTF8_REPLACEMENT and one byte.
 */
size_t utf8_decode(struct str s, uint32_t *ret_cp);
/* Encodes cp into ret; returns the number of bytes, 1 to 4. */
size_t utf8_encode(uint32_t cp, char ret[static 4]);
bool utf8_valid(struct str s);
/* True for what must never reach a terminal: C0, DEL, C1, bidi controls, ZWJ/ZWNJ, variation
 * selectors, line and paragraph separators, tags, private use and unassigned planes. */
bool utf8_harmful(uint32_t cp);
/* Appends s as valid UTF-8: bad bytes become U+FFFD (jansson and others refuse them otherwise). */
bool utf8_put_clean(struct buf *b, struct str s);
/* The same for texts that people will read: what is harmful becomes U+FFFD too, line ends and tabs
 * become a space. */
bool utf8_put_shown(struct buf *b, struct str s);

#endif
