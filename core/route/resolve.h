/*
 * resolve - from a next hop to hosts and addresses, in the order in which they are tried.
 *
 * Model:   "mx:DOMAIN" follows RFC 5321, 5.1: MX by preference (equal ones shuffled at each
 *          answer), the implicit MX without any, null MX (RFC 7505), CNAME; our own name or
 *          addresses among the hosts cut the list there, and an empty rest is a loop. A smarthost
 *          "HOST:PORT" is an address or a name with A or AAAA records. A domain that is an address
 *          literal goes to that address. Addresses of v6 and v4 alternate, in any order of their
 *          own at each answer.
 *          What DNS said is kept by name, for next hops to share, as long as its TTL says, between
 *          RESOLVE_TTL_MIN_S and RESOLVE_TTL_MAX_S; failures for RESOLVE_FAIL_S.
 *          On demand the hosts come with what is published about their TLS: TLSA records, where DNS
 *          is validated, and the domain's MTA-STS policy.
 *          A domain's provider is the site of its mail exchangers: the registered domain of the
 *          most preferred host ("google.com"), and the domain itself for an implicit MX, and when
 *          it is certain that nobody takes its mail.
 * Owner:   copies its configuration; the answer borrows for the length of the callback.
 * Context: loop thread. A callback comes once, never from inside resolver_ask(); after
 *          resolver_cancel() none comes. Callbacks may ask, cancel and forget, but not free.
 * Errors:  a failure is an answer (struct resolve_failure), ready for an attempt's record. Those of
 *          a smarthost are never permanent: somebody's mistake in a route must not return mail.
 * Limits:  below.
 */
#ifndef ROUTE_RESOLVE_H
#define ROUTE_RESOLVE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/ipnet.h"
#include "base/str.h"
#include "mail/reply.h"
#include "net/dns.h"

#define RESOLVE_HOSTS_MAX 16	 /* hosts of one answer */
#define RESOLVE_ADDRESSES_MAX 16 /* addresses of one host */
#define RESOLVE_CACHE_MAX 100000 /* names remembered; the least recently used one makes room */
#define RESOLVE_CACHE_BYTES ((size_t)64 << 20)
#define RESOLVE_PROVIDERS_MAX 250000 /* domains; the one that was not asked for longest goes */
#define RESOLVE_HOP_MAX 300	     /* of a next hop's text */
#define RESOLVE_TTL_MIN_S 30
#define RESOLVE_TTL_MAX_S 3600
#define RESOLVE_FAIL_S 30

/* What to look for besides, about TLS (route/tls_policy.h). */
enum { RESOLVE_DANE = 1u << 0, RESOLVE_STS = 1u << 1 };

struct loop;
struct resolver;
struct tls_client;
struct tls_policy;

struct resolve_host {
	const char *name; /* lower case, without the last dot; the address text for a literal */
	uint16_t preference;
	const struct ipaddr *addresses; /* v6 and v4 in the order of trying */
	size_t addresses_n;
	struct tls_policy *tls; /* what is published; NULL where nothing was looked for. Borrowed:
				   who keeps it takes a reference. */
};

struct resolve_failure {
	bool permanent; /* no such domain, null MX, a loop; else DNS is in trouble */
	char enhanced[SMTP_ENHANCED_LEN]; /* 5.1.2, 5.1.10, 5.4.6, 4.4.3; 4.3.5 for a route */
	char text[256];			  /* in plain words, with the names */
};

struct resolve_answer {
	const struct resolve_host *hosts; /* those with addresses; n 0: see failure */
	size_t hosts_n;
	uint16_t port;			       /* of the next hop */
	const char *provider;		       /* "" for a smarthost */
	const struct resolve_failure *failure; /* NULL when there are hosts */
};

struct resolver_config {
	const char *hostname;	    /* this relay's own name: an MX that would be a loop */
	const char *const *servers; /* ADDRESS:PORT; none: the system's */
	size_t servers_n;
	uint16_t mx_port;	  /* 25 */
	const struct ipaddr *own; /* our addresses, with mx_port: a loop. May be NULL. */
	size_t own_n;
	/* Where no MX, no address record of a domain and no address literal may lead; a smarthost
	 * may. May be NULL. */
	const struct ipnet *avoid;
	size_t avoid_n;
	int64_t dns_timeout_ms; /* of the first try; 0: DNS_TIMEOUT_MS */
	unsigned dns_tries;	/* 0: DNS_TRIES */
	size_t cache_max;	/* 0: RESOLVE_CACHE_MAX */
	enum dns_trust trust;	/* does the AD bit count? */
	/* For policies of MTA-STS: who certifies their hosts (borrowed; NULL: no policy is looked
	 * for), their port, and who stores them (json NULL: no longer). */
	const struct tls_client *sts_trust;
	uint16_t sts_port;
	void (*sts_keep)(void *arg, const char *domain, const char *json);
};

/* The provider of a domain became known or changed. Called before the answers that wait for it. */
typedef void resolver_provider_fn(void *arg, struct str domain, const char *provider);

int resolver_new(struct loop *l, const struct resolver_config *cfg, resolver_provider_fn *fn,
		 void *arg, struct resolver **ret_resolver, struct err *err) MUST_CHECK;
void resolver_free(struct resolver **rp);

/* A policy that sts_keep() was given, at start. ERR_CORRUPT. */
int resolver_load_sts(struct resolver *r, const char *domain, const char *json,
		      struct err *err) MUST_CHECK;

/* What was known of a domain before a restart. DNS has the last word. */
void resolver_load_provider(struct resolver *r, struct str domain, const char *provider);

/* next_hop: "mx:DOMAIN" or "smarthost:HOST:PORT"; wants: RESOLVE_DANE, RESOLVE_STS. Answers a
 * number for resolver_cancel(), never 0. */
typedef void resolve_fn(void *arg, const struct resolve_answer *answer);
uint64_t resolver_ask(struct resolver *r, const char *next_hop, unsigned wants, resolve_fn *fn,
		      void *arg);
void resolver_cancel(struct resolver *r, uint64_t ask);
/* Forgets what is remembered about a next hop, or everything (NULL). Providers stay. */
void resolver_forget(struct resolver *r, const char *next_hop);
/* NULL while it is not known. The domain is in lower case. Borrows until the loop turns. */
const char *resolver_provider(const struct resolver *r, struct str domain);

#endif
