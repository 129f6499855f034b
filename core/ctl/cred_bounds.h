/*
 * cred_bounds - what an operator may say of a credential besides its name and secrets, as it stands
 * in parameters of methods and in an exported file, to be put into the credential's stored text.
 *
 *	senders, networks, streams	arrays of texts; empty, or only "all": no bound
 *	per_minute, per_day, recipients_max	numbers; 0: no bound
 *	note				text
 *	for_s				age, from now on; 0: it does not end
 *
 * What is not there stays as it was.
 */
#ifndef CTL_CRED_BOUNDS_H
#define CTL_CRED_BOUNDS_H

#include <jansson.h>
#include <stdint.h>

#include "base/err.h"

struct streams;

/* `cred`: from creds_json(). Types have been checked (proto/check.c). ERR_INVALID, ERR_LIMIT,
 * ERR_UNKNOWN (a stream), with the parameter at fault; `cred` may have been changed in part then.
 */
int cred_bounds_put(json_t *cred, const json_t *params, const struct streams *streams,
		    int64_t now_ms, struct err *err) MUST_CHECK;

#endif
