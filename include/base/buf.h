/*
 * buf - a growing byte string with a hard limit.
 *
 * Model:   a buffer is valid from BUF_INIT(limit) on; `p` is never NULL after the first append and
 * always NUL-terminated behind `n`. Appending beyond `limit` sets the sticky flag `full`, adds
 * nothing and returns false, so that a writer can append ten pieces and look once at the end.
 * Owner:   whoever declared it; buf_done() frees the bytes.
 */
#ifndef BASE_BUF_H
#define BASE_BUF_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/str.h"

struct buf {
	char *p;
	size_t n;
	size_t cap;
	size_t limit;
	bool full;
};

#define BUF_INIT(lim) ((struct buf){ .limit = (lim) })
#define AUTO_BUF __attribute__((cleanup(buf_done))) struct buf

void buf_done(struct buf *b);  /* frees; the buffer may be used again with the same limit */
void buf_reset(struct buf *b); /* empties, keeps the memory, clears `full` */
bool buf_put(struct buf *b, const void *p, size_t n);
bool buf_putc(struct buf *b, char c);
bool buf_puts(struct buf *b, const char *s);
bool buf_put_str(struct buf *b, struct str s);
bool buf_printf(struct buf *b, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void buf_drop(struct buf *b, size_t n); /* removes n bytes at the front */
/* Room for n more bytes at b->p + b->n, for read(2) and the like; false beyond the limit. */
bool buf_reserve(struct buf *b, size_t n);
/* Gives the bytes away: a malloc'ed, terminated string; the buffer is empty afterwards. */
char *buf_take(struct buf *b);

static inline struct str buf_str(const struct buf *b)
{
	return (struct str){ b->p != NULL ? b->p : "", b->n };
}
/* Terminated text, "" when empty. Borrows. */
static inline const char *buf_cstr(const struct buf *b)
{
	return b->p != NULL ? b->p : "";
}

#endif
