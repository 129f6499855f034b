/*
 * spf - whether a domain's SPF record (RFC 7208) lets an address send its mail.
 *
 * Model:   a plain function of what DNS says (net/dnsbook.h). Evaluated are ip4, ip6, a, mx,
 *          include, redirect and all; what ptr, exists and macros would say depends on each
 * message, so a record that comes to them is not judged. Context: loop thread. Limits:
 * SPF_LOOKUPS_MAX terms that ask DNS, SPF_VOID_MAX of them without an answer, SPF_MX_MAX hosts of
 * one mx, as the RFC has it.
 */
#ifndef ROUTE_SPF_H
#define ROUTE_SPF_H

#include "base/ipnet.h"
#include "base/str.h"
#include "net/dnsbook.h"

#define SPF_LOOKUPS_MAX 10
#define SPF_VOID_MAX 2
#define SPF_MX_MAX 10

enum spf_result {
	SPF_WAIT, /* answers are missing: dnsbook_ask(), and again */
	SPF_NONE,
	SPF_PASS,
	SPF_FAIL,
	SPF_SOFTFAIL,
	SPF_NEUTRAL,
	SPF_TEMPERROR,
	SPF_PERMERROR,
	SPF_UNKNOWN, /* it depends on the message */
	SPF_RESULT__COUNT
};
const char *spf_result_name(enum spf_result r);

/* The one SPF record among an answer's texts: NULL text without one; *ret_n says how many. */
struct str spf_record(const struct dns_answer *txt, size_t *ret_n);
/* ret_why: static text of what is wrong or unknown; "" otherwise. */
enum spf_result spf_check(struct dnsbook *b, const char *domain, const struct ipaddr *ip,
			  const char **ret_why);

#endif
