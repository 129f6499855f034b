#include "net/netaddr.h"

#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define PORT_MAX 65535

static int wrong(struct str s, struct err *err)
{
	return err_set(err, ERR_INVALID,
		       "'%.*s' is not an address with a port, such as 127.0.0.1:25 or [::1]:25",
		       (int)(s.n < 80 ? s.n : 80), s.p);
}

int netaddr_parse(struct str s, struct netaddr *ret, struct err *err)
{
	struct netaddr a = { .port = 0 };
	bool brackets = s.n > 0 && s.p[0] == '[';
	struct str rest = brackets ? str_from(s.p + 1, s.n - 1) : s;
	struct str host = str_cut(&rest, brackets ? ']' : ':');
	uint64_t port;

	if (brackets) {
		if (rest.n == 0 || rest.p[0] != ':')
			return wrong(s, err);
		rest = str_from(rest.p + 1, rest.n - 1);
	}
	if (!ipaddr_parse(host, &a.ip) || !str_u64(rest, PORT_MAX, &port))
		return wrong(s, err);
	if (!brackets && !ipaddr_is_v4(&a.ip))
		return wrong(s, err);
	a.port = (uint16_t)port;
	*ret = a;
	return 0;
}

void netaddr_text(const struct netaddr *a, char ret[static NETADDR_TEXT_LEN])
{
	char ip[IPADDR_TEXT_LEN];

	ipaddr_text(&a->ip, ip);
	(void)snprintf(ret, NETADDR_TEXT_LEN, ipaddr_is_v4(&a->ip) ? "%s:%u" : "[%s]:%u", ip,
		       (unsigned)a->port);
}

socklen_t netaddr_sockaddr(const struct netaddr *a, struct sockaddr_storage *ret)
{
	struct sockaddr_in v4 = { .sin_family = AF_INET, .sin_port = htons(a->port) };
	struct sockaddr_in6 v6 = { .sin6_family = AF_INET6, .sin6_port = htons(a->port) };

	memset(ret, 0, sizeof(*ret));
	if (ipaddr_is_v4(&a->ip)) {
		memcpy(&v4.sin_addr, a->ip.b + 12, sizeof(v4.sin_addr));
		memcpy(ret, &v4, sizeof(v4));
		return sizeof(v4);
	}
	memcpy(&v6.sin6_addr, a->ip.b, sizeof(v6.sin6_addr));
	memcpy(ret, &v6, sizeof(v6));
	return sizeof(v6);
}

bool netaddr_from_sockaddr(const struct sockaddr_storage *sa, struct netaddr *ret)
{
	static const uint8_t mapped[12] = { [10] = 0xff, [11] = 0xff };
	struct sockaddr_in v4;
	struct sockaddr_in6 v6;

	if (sa->ss_family == AF_INET) {
		memcpy(&v4, sa, sizeof(v4));
		memcpy(ret->ip.b, mapped, sizeof(mapped));
		memcpy(ret->ip.b + sizeof(mapped), &v4.sin_addr, sizeof(v4.sin_addr));
		ret->port = ntohs(v4.sin_port);
		return true;
	}
	if (sa->ss_family != AF_INET6)
		return false;
	memcpy(&v6, sa, sizeof(v6));
	memcpy(ret->ip.b, &v6.sin6_addr, sizeof(ret->ip.b));
	ret->port = ntohs(v6.sin6_port);
	return true;
}

typedef int name_fn(int fd, struct sockaddr *sa, socklen_t *n);

static bool name_of(int fd, name_fn *fn, struct netaddr *ret)
{
	struct sockaddr_storage sa = { .ss_family = AF_UNSPEC };
	socklen_t n = sizeof(sa);

	return fn(fd, (struct sockaddr *)&sa, &n) == 0 && netaddr_from_sockaddr(&sa, ret);
}

bool netaddr_local(int fd, struct netaddr *ret)
{
	return name_of(fd, getsockname, ret);
}

bool netaddr_peer(int fd, struct netaddr *ret)
{
	return name_of(fd, getpeername, ret);
}

bool netaddr_usable(const struct ipaddr *ip)
{
	struct netaddr at = { .ip = *ip };
	struct sockaddr_storage sa;
	socklen_t n = netaddr_sockaddr(&at, &sa);
	int fd = socket(sa.ss_family, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	bool usable = fd >= 0 && bind(fd, (const struct sockaddr *)&sa, n) == 0;

	if (fd >= 0)
		(void)close(fd);
	return usable;
}
