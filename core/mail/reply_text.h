/*
 * reply_text - a reply's text with everything that differs from one recipient to the next taken
 * out, so that the same cause reads the same.
 *
 * Model:   addresses become <addr>, IP addresses <ip>, host names <host>, URLs <url>, ids (long
 *          runs of letters and digits, hexadecimal, base64, quoted-printable tickets) <id>, numbers
 *          <n>, dates <time>; lines are joined by a space, runs of space are one, a repeated
 *          code and enhanced code at the beginning of each line go. The result is clean UTF-8.
 * Limits:  REPLY_TEXT_MAX bytes, cut at a character.
 * Context: any thread; pure.
 */
#ifndef MAIL_REPLY_TEXT_H
#define MAIL_REPLY_TEXT_H

#include "base/str.h"

#define REPLY_TEXT_MAX 200

/* Writes the terminated result, returns its length. */
size_t reply_text_normalise(struct str text, char ret[static REPLY_TEXT_MAX + 1]);

#endif
