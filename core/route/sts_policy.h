/*
 * sts_policy - what domains publish for MTA-STS (RFC 8461): the TXT record, and the policy that it
 * announces.
 *
 * Owner:   sts_policy_done() frees what is in the struct. Context: any thread; pure.
 * Errors:  ERR_PROTO, with the line at fault.
 * Limits:  below. More patterns than STS_MX_MAX are an error, not cut off: a host that is left out
 *          would be refused.
 */
#ifndef ROUTE_STS_POLICY_H
#define ROUTE_STS_POLICY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/str.h"

#define STS_TEXT_MAX ((size_t)64 * 1024) /* of a policy */
#define STS_MX_MAX 200
#define STS_ID_MAX 32
#define STS_AGE_MAX_S 31557600 /* more is taken for this */

enum sts_mode { STS_MODE_NONE, STS_MODE_TESTING, STS_MODE_ENFORCE, STS_MODE__COUNT };
const char *sts_mode_name(enum sts_mode m); /* as in a policy */

struct sts_policy {
	enum sts_mode mode;
	int64_t max_age_s;
	char **mx; /* lower case: "mx.example.org", "*.example.org" */
	size_t mx_n;
};

/* The text of "version: STSv1", "mode: …" lines. */
int sts_policy_parse(struct str text, struct sts_policy *ret, struct err *err) MUST_CHECK;
/* The same as a text, for keeping; owned. */
char *sts_policy_text(const struct sts_policy *p);
void sts_policy_done(struct sts_policy *p);
/* The host (lower case) is one of the policy's. */
bool sts_policy_matches(const struct sts_policy *p, const char *host);

/* It begins as a record of MTA-STS does, whatever follows: two of them are as good as none. */
bool sts_record_is(struct str text);
/* "v=STSv1; id=…;": false when it is not as it should be. */
bool sts_record_parse(struct str text, char ret_id[static STS_ID_MAX + 1]);

#endif
