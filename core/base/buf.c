#include "base/buf.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/obj.h"

void buf_done(struct buf *b)
{
	free(b->p);
	*b = BUF_INIT(b->limit);
}

void buf_reset(struct buf *b)
{
	b->n = 0;
	b->full = false;
	if (b->p != NULL)
		b->p[0] = '\0';
}

bool buf_reserve(struct buf *b, size_t n)
{
	size_t want;

	if (b->full || n > b->limit || b->n > b->limit - n) {
		b->full = true;
		return false;
	}
	want = b->n + n + 1;
	if (want > b->cap) {
		size_t cap = b->cap != 0 ? b->cap : 64;
		while (cap < want)
			cap *= 2;
		b->p = xreallocarray(b->p, cap, 1);
		b->p[b->n] = '\0';
		b->cap = cap;
	}
	return true;
}

bool buf_put(struct buf *b, const void *p, size_t n)
{
	if (!buf_reserve(b, n))
		return false;
	if (n > 0)
		memcpy(b->p + b->n, p, n);
	b->n += n;
	b->p[b->n] = '\0';
	return true;
}

bool buf_putc(struct buf *b, char c)
{
	return buf_put(b, &c, 1);
}

bool buf_puts(struct buf *b, const char *s)
{
	return buf_put(b, s, strlen(s));
}

bool buf_put_str(struct buf *b, struct str s)
{
	return buf_put(b, s.p, s.n);
}

bool buf_printf(struct buf *b, const char *fmt, ...)
{
	va_list ap;
	va_list again;
	int n;
	bool ok = false;

	va_start(ap, fmt);
	va_copy(again, ap);
	n = vsnprintf(NULL, 0, fmt, ap);
	if (n >= 0 && buf_reserve(b, (size_t)n)) {
		(void)vsnprintf(b->p + b->n, (size_t)n + 1, fmt, again);
		b->n += (size_t)n;
		ok = true;
	}
	va_end(again);
	va_end(ap);
	return ok;
}

void buf_drop(struct buf *b, size_t n)
{
	ASSERT(n <= b->n);
	if (n == 0)
		return;
	memmove(b->p, b->p + n, b->n - n);
	b->n -= n;
	b->p[b->n] = '\0';
}

char *buf_take(struct buf *b)
{
	char *p = b->p != NULL ? b->p : xstrdup("");

	*b = BUF_INIT(b->limit);
	return p;
}
