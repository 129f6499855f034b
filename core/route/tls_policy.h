/*
 * tls_policy - what is published about the TLS of a mail host, and what follows for a connection.
 *
 * Model:   a struct tls_policy says what was found for one host of one domain: TLSA records (RFC
 *          7672) and the domain's MTA-STS policy (RFC 8461). tls_policy_need() puts it together
 *          with what a route demands. Where a host has TLSA records these decide, and MTA-STS is
 *          not asked.
 * Owner:   counted references; a policy does not change.
 * Context: loop thread; pure.
 */
#ifndef ROUTE_TLS_POLICY_H
#define ROUTE_TLS_POLICY_H

#include <stdbool.h>
#include <stddef.h>

#include "base/str.h"
#include "net/tls.h"

#define TLS_POLICY_TEXT_MAX 256

/* What a route demands of connections. */
enum route_tls {
	ROUTE_TLS_OPPORTUNISTIC, /* where it is offered and works; more where it is published */
	ROUTE_TLS_NONE,
	ROUTE_TLS_REQUIRED,   /* STARTTLS and a certificate that is valid for the host, or what is
				 published for an MX host */
	ROUTE_TLS_IMPLICIT,   /* TLS from the first byte on (port 465), with a valid certificate */
	ROUTE_TLS_DANE,	      /* TLSA records, and a certificate that they name */
	ROUTE_TLS_STS,	      /* a policy of MTA-STS, as if it said "enforce" */
	ROUTE_TLS_UNVERIFIED, /* where it is offered and works, whatever is published */
	ROUTE_TLS__COUNT
};

const char *route_tls_name(enum route_tls t); /* "opportunistic", … */
bool route_tls_parse(struct str text, enum route_tls *ret);
/*
 * What a stream makes of a route's demand. One that demands nothing leaves it; where the route
 * demands nothing itself the stream's stands; where both do, the stricter one, and of two that are
 * as strict the route's, which knows the host.
 */
enum route_tls route_tls_with(enum route_tls route, enum route_tls stream);

enum tls_dane {
	TLS_DANE_NONE,	  /* no TLSA records, or none that can be trusted */
	TLS_DANE_USABLE,  /* some that can be used */
	TLS_DANE_ENCRYPT, /* some, none of which can be used: TLS with any certificate */
	TLS_DANE_UNKNOWN  /* the question failed: the host is not used (RFC 7672, 2.1.2) */
};

enum tls_sts { TLS_STS_NONE, TLS_STS_TESTING, TLS_STS_ENFORCE };

struct tls_policy {
	unsigned refs;
	enum tls_dane dane;
	char *base;	       /* the name that the TLSA records stand at; NULL without */
	struct tls_tlsa *tlsa; /* those that can be used */
	size_t tlsa_n;
	enum tls_sts sts;
	bool sts_listed; /* the policy names the host */
	char *domain;	 /* whose mail: its name may be in the certificate, too (RFC 7672); NULL */
	/* In plain words what was found, or why nothing was. */
	char dane_text[TLS_POLICY_TEXT_MAX];
	char sts_text[TLS_POLICY_TEXT_MAX];
};

/* One reference; the texts are empty. `domain` may be NULL. */
struct tls_policy *tls_policy_new(const char *domain);
/* Takes over what can be used of the records (copied). */
void tls_policy_tlsa(struct tls_policy *p, const char *base, const struct tls_tlsa *list, size_t n);
struct tls_policy *tls_policy_ref(struct tls_policy *p); /* NULL stays NULL */
void tls_policy_unref(struct tls_policy **pp);

/* What a connection must be. */
enum tls_need {
	TLS_NEED_NEVER,	    /* plain */
	TLS_NEED_MAY,	    /* TLS when it is offered and works */
	TLS_NEED_ENCRYPTED, /* TLS; any certificate */
	TLS_NEED_VALID,	    /* a certificate that is valid for the host: the route */
	TLS_NEED_STS,	    /* the same: the domain */
	TLS_NEED_DANE,	    /* a certificate that the TLSA records name */
	TLS_NEED_REFUSED    /* no connection will do */
};
const char *tls_need_name(enum tls_need n); /* "none", "opportunistic", "encrypted", … */

/* p NULL: nothing is known to be published. *ret_why (borrows from p or is static): who demands it,
 * or why the host is refused. */
enum tls_need tls_policy_need(const struct tls_policy *p, enum route_tls demand,
			      const char **ret_why);
/* What has to be asked for a demand. */
bool route_tls_wants_dane(enum route_tls demand);
bool route_tls_wants_sts(enum route_tls demand);

#endif
