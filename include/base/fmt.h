/*
 * fmt - times, durations and sizes as people and scripts write them.
 */
#ifndef BASE_FMT_H
#define BASE_FMT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/str.h"

#define FMT_TIME_LEN 32
#define FMT_SHORT_LEN 32

/* RFC 3339 UTC with milliseconds, "2026-11-24T03:12:07.250Z", from milliseconds since the epoch. */
void fmt_time(int64_t wall_ms, char ret[static FMT_TIME_LEN]);
/* RFC 5322 date-time in UTC, "Tue, 24 Nov 2026 03:12:07 +0000". */
void fmt_mail_date(int64_t wall_ms, char ret[static FMT_TIME_LEN]);
/* RFC 3339 (any offset, optional fraction) to milliseconds since the epoch. */
bool fmt_parse_time(struct str s, int64_t *ret_wall_ms);
/* At most two units: "47s", "3m20s", "2h05m", "4d3h". Negative counts as zero. */
void fmt_age(int64_t s, char ret[static FMT_SHORT_LEN]);
/* "2h", "3d", "90s", "1h30m"; a bare number is seconds. Units s m h d w. */
bool fmt_parse_age(struct str s, int64_t *ret_s);
/* "812", "4.1K", "23M": at most five characters, powers of 1024. */
void fmt_size(uint64_t bytes, char ret[static FMT_SHORT_LEN]);
/* "10M", "4K", "1.5G"; a bare number is bytes. */
bool fmt_parse_size(struct str s, uint64_t *ret_bytes);
/* A text for a manual: dashes stay dashes, a dot at its beginning is no command. */
void fmt_put_roff(struct buf *out, const char *text);
/* "1 234 567" with a thin grouping that terminals keep: plain spaces. */
void fmt_count(uint64_t n, char ret[static FMT_TIME_LEN]);
/* Four characters at most: "999", "12k", "1.2M". */
void fmt_count_short(uint64_t n, char ret[static FMT_SHORT_LEN]);

#endif
