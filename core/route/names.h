/*
 * names - what DNS says of names, asked once and remembered: mail exchangers of domains, addresses
 * of hosts, and what they publish about TLS.
 *
 * Model:   names_get() takes a reference to what is known, or begins to ask; whoever else wants the
 *          same meanwhile waits for the same answer. names_facts() is NULL until it is there.
 *          What is of no use is left out here: hosts whose names are none, addresses that nobody
 *          can have.
 * Owner:   a struct names_ref is embedded by its user, who puts it back. Facts stay as they are as
 *          long as a reference is held.
 * Context: loop thread. fn() comes from the loop, once, and only when the facts were not there at
 *          once; it may get and put references.
 * Errors:  failures are facts.
 * Limits:  RESOLVE_CACHE_MAX entries or RESOLVE_CACHE_BYTES of them: those that nobody used for
 *          longest make room. RESOLVE_HOSTS_MAX of a domain's hosts, the preferred ones;
 *          RESOLVE_ADDRESSES_MAX of a host's addresses of each family; NAMES_TLSA_MAX records.
 */
#ifndef ROUTE_NAMES_H
#define ROUTE_NAMES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/queue.h>

#include "base/ipnet.h"
#include "net/dns.h"
#include "net/tls.h"
#include "route/resolve.h"
#include "route/sts_policy.h"

#define NAMES_TLSA_MAX 32
#define NAMES_NONE_S 300 /* that there are no records about TLS is remembered so long */

enum names_kind {
	NAMES_MX,
	NAMES_ADDRESSES,
	NAMES_TLSA, /* of "_25._tcp.HOST" */
	NAMES_STS   /* of "_mta-sts.DOMAIN" */
};

struct names_host {
	const char *name;
	uint16_t preference;
};

struct names_facts {
	enum dns_status status;
	const char *trouble; /* static; with DNS_OK: the other address family is not known */
	bool secure;	     /* validated (DNSSEC): all that was found, or that there is nothing */
	char *name;	     /* where the aliases led */

	/* NAMES_MX, by preference; equal ones in any order, without repetition. */
	struct names_host *hosts;
	size_t hosts_n;
	bool null_mx;		 /* says that it takes no mail (RFC 7505) */
	bool own;		 /* our own name is among the hosts, or is the domain's */
	uint16_t own_preference; /* with own: the best that it has */
	char *site_host;	 /* of the most preferred ones the first by name; NULL without */

	/* NAMES_ADDRESSES */
	struct ipaddr *v6;
	size_t v6_n;
	struct ipaddr *v4;
	size_t v4_n;

	/* NAMES_TLSA */
	struct tls_tlsa *tlsa;
	size_t tlsa_n;

	/* NAMES_STS */
	char *sts_id;	/* NULL: none */
	bool sts_wrong; /* a record that cannot be read, or several */
};

struct names;
struct names_entry;

typedef void names_fn(void *arg);
struct names_ref {
	struct names_entry *entry; /* NULL: holds nothing */
	names_fn *fn;
	void *arg;
	bool waits;
	LIST_ENTRY(names_ref) next; /* of those who wait */
};

/* Borrows all; own is this relay's name, in any case. max 0: RESOLVE_CACHE_MAX. */
struct names *names_new(struct loop *l, struct dns *d, const char *own, size_t max);
/* No reference is held any more. */
void names_free(struct names **np);

void names_get(struct names *ns, enum names_kind kind, const char *name, struct names_ref *ref,
	       names_fn *fn, void *arg);
void names_put(struct names_ref *ref);
const struct names_facts *names_facts(const struct names_ref *ref);
const char *names_key(const struct names_ref *ref); /* what was asked for */
/* What is known, without asking or keeping. Borrows until the loop turns. */
const struct names_facts *names_look(const struct names *ns, enum names_kind kind,
				     const char *name);
/* Who asks from now on gets a new answer; references keep the old one. */
void names_forget(struct names *ns, enum names_kind kind, const char *name);
void names_forget_all(struct names *ns);

/* Letters, digits, hyphens and underscores between dots, and no address. */
bool names_host_valid(const char *name);
/* Not 0.0.0.0/8, ::, multicast or broadcast, which no host has, whatever DNS says. */
bool names_address_usable(const struct ipaddr *a);

#endif
