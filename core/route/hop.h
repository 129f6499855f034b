/*
 * hop - a next hop's text taken apart: "mx:DOMAIN", "mx:[ADDRESS]", "smarthost:HOST:PORT".
 *
 * Model:   behind a '#' may stand what the route demands of the connection (route/routes.h), and
 *          behind an '@' what the stream does ("@!bulk": TLS, from the addresses of the pool bulk;
 *          hop.c has the other signs of TLS); they have no part in where that is.
 * Owner:   hop_done() frees the name.
 * Context: any thread; pure.
 * Errors:  none; what is no next hop has kind HOP_WRONG.
 */
#ifndef ROUTE_HOP_H
#define ROUTE_HOP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/ipnet.h"
#include "base/str.h"
#include "route/tls_policy.h"

enum hop_kind {
	HOP_DOMAIN,  /* the mail exchangers of a domain */
	HOP_LITERAL, /* a domain that is an address */
	HOP_HOST,    /* a smarthost by name */
	HOP_ADDRESS, /* a smarthost by address */
	HOP_WRONG
};

struct hop {
	enum hop_kind kind;
	char *name;	  /* domain or host in lower case, without the port; all of a wrong one */
	struct ipaddr ip; /* HOP_LITERAL, HOP_ADDRESS */
	uint16_t port;	  /* of a smarthost; 0 */
};

struct hop hop_parse(struct str text);
/* The text up to the '#'. */
struct str hop_place(const char *next_hop);
struct hop_ways {
	struct str demands; /* the route's, without the '#' */
	enum route_tls tls; /* the stream's */
	struct str pool;    /* empty: none */
};
struct hop_ways hop_ways(const char *next_hop);
/* Appends what a stream wants to a next hop that has a place; no room: it stays as it is. */
void hop_add(char *next_hop, size_t max, enum route_tls tls, const char *pool);
void hop_done(struct hop *h);

#endif
