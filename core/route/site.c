#include "route/site.h"

#include <libpsl.h>
#include <stdbool.h>
#include <stddef.h>
#include <string.h>

/* What follows the first label; NULL after the last. */
static const char *parent_of(const char *name)
{
	const char *dot = strchr(name, '.');

	return dot != NULL && dot[1] != '\0' ? dot + 1 : NULL;
}

/* The list takes every last label that it does not know for a suffix; without a list so do we. */
static bool is_suffix(const psl_ctx_t *list, const char *name)
{
	return list != NULL ? psl_is_public_suffix2(list, name, PSL_TYPE_ICANN) != 0
			    : parent_of(name) == NULL;
}

const char *site_of(const char *host)
{
	const psl_ctx_t *list = psl_builtin();
	const char *site = host;
	const char *parent;

	while ((parent = parent_of(site)) != NULL && !is_suffix(list, parent))
		site = parent;
	return site;
}
