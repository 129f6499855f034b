#include "base/secret.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

void secret_wipe(void *p, size_t n)
{
	explicit_bzero(p, n);
}

void secret_set(struct secret *s, struct str bytes)
{
	secret_done(s);
	s->p = xmalloc(bytes.n + 1);
	if (bytes.n > 0)
		memcpy(s->p, bytes.p, bytes.n);
	s->p[bytes.n] = '\0';
	s->n = bytes.n;
}

void secret_done(struct secret *s)
{
	if (s->p != NULL)
		secret_wipe(s->p, s->n);
	free(s->p);
	*s = (struct secret){ .n = 0 };
}
