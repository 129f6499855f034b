#include "base/ipnet.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>

#define V4_BITS 96 /* of the mapped prefix */
#define ALL_BITS 128

static const uint8_t mapped[12] = { 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff };

bool ipaddr_is_v4(const struct ipaddr *a)
{
	return memcmp(a->b, mapped, sizeof(mapped)) == 0;
}

bool ipaddr_eq(const struct ipaddr *a, const struct ipaddr *b)
{
	return memcmp(a->b, b->b, sizeof(a->b)) == 0;
}

bool ipaddr_parse(struct str s, struct ipaddr *ret)
{
	char text[IPADDR_TEXT_LEN];
	struct ipaddr a;

	if (s.n == 0 || s.n >= sizeof(text) || memchr(s.p, 0, s.n) != NULL)
		return false;
	memcpy(text, s.p, s.n);
	text[s.n] = '\0';
	if (inet_pton(AF_INET, text, a.b + sizeof(mapped)) == 1)
		memcpy(a.b, mapped, sizeof(mapped));
	else if (inet_pton(AF_INET6, text, a.b) != 1)
		return false;
	*ret = a;
	return true;
}

void ipaddr_text(const struct ipaddr *a, char ret[static IPADDR_TEXT_LEN])
{
	if (ipaddr_is_v4(a))
		(void)inet_ntop(AF_INET, a->b + sizeof(mapped), ret, IPADDR_TEXT_LEN);
	else
		(void)inet_ntop(AF_INET6, a->b, ret, IPADDR_TEXT_LEN);
}

/* a with everything behind the first `bits` bits cleared */
static struct ipaddr masked(const struct ipaddr *a, unsigned bits)
{
	struct ipaddr m = *a;

	for (unsigned i = 0; i < sizeof(m.b); i++) {
		if (bits <= i * 8)
			m.b[i] = 0;
		else if (bits < i * 8 + 8)
			m.b[i] &= (uint8_t)(0xff << (i * 8 + 8 - bits));
	}
	return m;
}

int ipnet_parse(struct str s, struct ipnet *ret, struct err *err)
{
	ptrdiff_t slash = str_index(s, '/');
	struct ipnet net = { .bits = ALL_BITS };
	struct ipnet meant;
	char text[IPNET_TEXT_LEN];
	unsigned base;
	uint64_t prefix;

	if (!ipaddr_parse(str_from(s.p, slash >= 0 ? (size_t)slash : s.n), &net.addr))
		return err_set(err, ERR_INVALID,
			       "not an address or network: 192.0.2.1, 10.0.0.0/8 or 2001:db8::/32 "
			       "would be one");
	base = ipaddr_is_v4(&net.addr) ? V4_BITS : 0;
	if (slash >= 0) {
		if (!str_u64(str_from(s.p + slash + 1, s.n - (size_t)slash - 1), ALL_BITS - base,
			     &prefix))
			return err_set(err, ERR_INVALID,
				       "the prefix length is a number from 0 to %u",
				       ALL_BITS - base);
		net.bits = base + (unsigned)prefix;
	}
	meant = (struct ipnet){ masked(&net.addr, net.bits), net.bits };
	if (!ipaddr_eq(&meant.addr, &net.addr)) {
		ipnet_text(&meant, text);
		return err_set(err, ERR_INVALID,
			       "the address has bits behind its prefix: the network is %s", text);
	}
	*ret = net;
	return 0;
}

bool ipnet_has(const struct ipnet *net, const struct ipaddr *a)
{
	struct ipaddr m = masked(a, net->bits);

	return ipaddr_is_v4(a) == (net->bits >= V4_BITS && ipaddr_is_v4(&net->addr)) &&
	       ipaddr_eq(&m, &net->addr);
}

bool ipnet_covers(const struct ipnet *outer, const struct ipnet *inner)
{
	return outer->bits <= inner->bits && ipnet_has(outer, &inner->addr);
}

unsigned ipnet_prefix(const struct ipnet *net)
{
	return net->bits - (ipaddr_is_v4(&net->addr) ? V4_BITS : 0);
}

void ipnet_text(const struct ipnet *net, char ret[static IPNET_TEXT_LEN])
{
	char addr[IPADDR_TEXT_LEN];

	ipaddr_text(&net->addr, addr);
	if (net->bits == ALL_BITS)
		(void)snprintf(ret, IPNET_TEXT_LEN, "%s", addr);
	else
		(void)snprintf(ret, IPNET_TEXT_LEN, "%s/%u", addr, ipnet_prefix(net));
}
