/*
 * mem - memory for small internal objects; running out of it aborts. Whatever is sized by a peer
 * goes through a limited struct buf instead.
 */
#ifndef BASE_MEM_H
#define BASE_MEM_H

#include <stddef.h>

void *xmalloc(size_t n) __attribute__((malloc, returns_nonnull));
void *xcalloc(size_t n, size_t size) __attribute__((malloc, returns_nonnull));
void *xreallocarray(void *p, size_t n, size_t size) __attribute__((returns_nonnull));
char *xstrdup(const char *s) __attribute__((malloc, returns_nonnull));
char *xstrndup(const char *s, size_t n) __attribute__((malloc, returns_nonnull));
char *xasprintf(const char *fmt, ...)
	__attribute__((format(printf, 1, 2), malloc, returns_nonnull));

/* AUTO(x) struct x *p = NULL; calls x_free(&p) when p leaves its scope. AUTO_FREE does it with
 * free(). */
#define AUTO(x) __attribute__((cleanup(x##_free)))
void mem_auto_free(void *pp);
#define AUTO_FREE __attribute__((cleanup(mem_auto_free)))

#define ARRAY_LEN(a) (sizeof(a) / sizeof((a)[0]))

#endif
