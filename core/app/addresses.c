/* The addresses that this machine has. */
#include <ifaddrs.h>
#include <netinet/in.h>
#include <string.h>

#include "app/relayd_int.h"
#include "base/mem.h"
#include "net/netaddr.h"

static bool is_public(const struct ipaddr *a)
{
	static const char *const others[] = { "0.0.0.0/8",
					      "10.0.0.0/8",
					      "100.64.0.0/10",
					      "127.0.0.0/8",
					      "169.254.0.0/16",
					      "172.16.0.0/12",
					      "192.168.0.0/16",
					      "fc00::/7",
					      "fe80::/10",
					      "::1",
					      "::" };

	for (size_t i = 0; i < ARRAY_LEN(others); i++) {
		struct ipnet net;
		if (ipnet_parse(str_of(others[i]), &net, NULL) >= 0 && ipnet_has(&net, a))
			return false;
	}
	return true;
}

void addresses_each(address_fn *fn, void *arg)
{
	struct ifaddrs *all = NULL;

	if (getifaddrs(&all) != 0)
		return;
	for (const struct ifaddrs *i = all; i != NULL; i = i->ifa_next) {
		struct sockaddr_storage ss = { .ss_family = AF_UNSPEC };
		struct netaddr a;

		if (i->ifa_addr == NULL ||
		    (i->ifa_addr->sa_family != AF_INET && i->ifa_addr->sa_family != AF_INET6))
			continue;
		memcpy(&ss, i->ifa_addr,
		       i->ifa_addr->sa_family == AF_INET ? sizeof(struct sockaddr_in)
							 : sizeof(struct sockaddr_in6));
		if (netaddr_from_sockaddr(&ss, &a))
			fn(arg, &a.ip);
	}
	freeifaddrs(all);
}

struct found {
	struct ipaddr *v;
	size_t n;
	size_t max;
};

static void on_address(void *arg, const struct ipaddr *a)
{
	struct found *f = arg;

	if (f->n < f->max && is_public(a))
		f->v[f->n++] = *a;
}

size_t public_addresses(struct ipaddr *ret, size_t max)
{
	struct found f = { .v = ret, .max = max };

	addresses_each(on_address, &f);
	return f.n;
}
