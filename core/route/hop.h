/*
 * hop - a next hop's text taken apart: "mx:DOMAIN", "mx:[ADDRESS]", "smarthost:HOST:PORT".
 *
 * Model:   behind a '#' may stand what the route demands of the connection; it has no part in where
 *          that is.
 * Owner:   hop_done() frees the name. Context: any thread; pure.
 * Errors:  none; what is no next hop has kind HOP_WRONG.
 */
#ifndef ROUTE_HOP_H
#define ROUTE_HOP_H

#include <stdint.h>

#include "base/ipnet.h"
#include "base/str.h"

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
void hop_done(struct hop *h);

#endif
