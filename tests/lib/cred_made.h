/*
 * cred_made - credentials for tests.
 *
 * cred_made(c, "shop", "\"networks\":[…],", "s1=secret", "s2=other;EXPIRES_MS"): with these
 * secrets, at most four; `more` is JSON that stands beside them, with its comma.
 */
#ifndef LIB_CRED_MADE_H
#define LIB_CRED_MADE_H

#include "policy/creds.h"

void cred_make_with(struct creds *c, const char *name, const char *more,
		    const char *const secrets[4]);
#define cred_made(c, name, more, ...)                                                              \
	cred_make_with(c, name, more, (const char *const[4]){ __VA_ARGS__ })

#endif
