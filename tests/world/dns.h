/*
 * dns - the name server of the demo world, UDP and TCP on 127.0.0.1.
 *
 * Model:   answers MX, A, AAAA and CNAME for the domains of domains.def and the hosts of their MX
 *          records, in the form that the domain's behaviour says; every other name does not exist.
 *          Answers that do not fit the datagram go out truncated, and whole over TCP.
 * Owner:   main(). Context: loop thread only. Borrows the world.
 * Limits:  DNS_TCP_MAX connections at a time; messages of DNS_MESSAGE_MAX bytes.
 */
#ifndef WORLD_DNS_H
#define WORLD_DNS_H

#include "base/err.h"
#include "world/world.h"

#define DNS_TCP_MAX 256
#define DNS_MESSAGE_MAX 16384
#define DNS_UDP_PLAIN 512
#define DNS_UDP_EDNS 1232
#define DNS_TTL_S 2
#define DNS_MANY_N 40

struct dns;

/* Port 0 picks a free one; ret_port tells which. */
int dns_start(struct world *w, uint16_t port, struct dns **ret, uint16_t *ret_port,
	      struct err *err) MUST_CHECK;
void dns_free(struct dns **dp);

#endif
