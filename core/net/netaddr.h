/*
 * netaddr - where to connect or listen: an IP address and a port, as text and as a sockaddr.
 *
 * Model:   "127.0.0.1:2525", "[2001:db8::1]:25"; v4 is kept v4-mapped (base/ipnet.h) and becomes an
 *          AF_INET sockaddr again. No names, no zones.
 * Context: any thread; pure.
 * Errors:  ERR_INVALID, the message says what an address looks like.
 */
#ifndef NET_NETADDR_H
#define NET_NETADDR_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>

#include "base/err.h"
#include "base/ipnet.h"
#include "base/str.h"

#define NETADDR_TEXT_LEN 54 /* brackets, colon, port, terminator */

struct netaddr {
	struct ipaddr ip;
	uint16_t port;
};

int netaddr_parse(struct str s, struct netaddr *ret, struct err *err) MUST_CHECK;
void netaddr_text(const struct netaddr *a, char ret[static NETADDR_TEXT_LEN]);
/* Fills *ret and returns the length that belongs to it. */
socklen_t netaddr_sockaddr(const struct netaddr *a, struct sockaddr_storage *ret);
/* False for a family other than AF_INET and AF_INET6. */
bool netaddr_from_sockaddr(const struct sockaddr_storage *sa, struct netaddr *ret);
/* This machine can send from it. */
bool netaddr_usable(const struct ipaddr *ip);
/* The addresses of a socket's two ends; false when it has none of this kind. */
bool netaddr_local(int fd, struct netaddr *ret);
bool netaddr_peer(int fd, struct netaddr *ret);

#endif
