/*
 * ipnet - IP addresses and networks (CIDR), v4 and v6 in one type.
 *
 * Model:   an address is 16 bytes; v4 is kept v4-mapped (::ffff:192.0.2.1), and text in that form
 *          is read as v4, so that a dual-stack socket's peers compare equal. A v4 network never
 *          has v6 addresses in it, and the other way round: 0.0.0.0/0 and ::/0 are different.
 * Errors:  ipnet_parse() says what is wrong and, for set host bits, what the network would be.
 */
#ifndef BASE_IPNET_H
#define BASE_IPNET_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "base/str.h"

#define IPADDR_TEXT_LEN 46
#define IPNET_TEXT_LEN 50

struct ipaddr {
	uint8_t b[16];
};
struct ipnet {
	struct ipaddr addr;
	unsigned bits; /* of the 128; a v4 /8 is 104 */
};

/* "192.0.2.1", "2001:db8::1"; no brackets, no zone. */
bool ipaddr_parse(struct str s, struct ipaddr *ret);
bool ipaddr_is_v4(const struct ipaddr *a);
bool ipaddr_eq(const struct ipaddr *a, const struct ipaddr *b);
void ipaddr_text(const struct ipaddr *a, char ret[static IPADDR_TEXT_LEN]);

/* "ADDRESS/PREFIX" or one ADDRESS. */
int ipnet_parse(struct str s, struct ipnet *ret, struct err *err) MUST_CHECK;
bool ipnet_has(const struct ipnet *net, const struct ipaddr *a);
/* Every address of `inner` is in `outer`. */
bool ipnet_covers(const struct ipnet *outer, const struct ipnet *inner);
/* Canonical: with "/PREFIX" unless it is one address. */
void ipnet_text(const struct ipnet *net, char ret[static IPNET_TEXT_LEN]);
/* The prefix length as it is written: 0 to 32 for v4. */
unsigned ipnet_prefix(const struct ipnet *net);

#endif
