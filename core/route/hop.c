#include "route/hop.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "net/netaddr.h"
#include "route/names.h"
#include "route/resolve.h"

static char *lower_dup(struct str s)
{
	char *text = xstrndup(s.p, s.n);

	for (char *p = text; *p != '\0'; p++)
		if (*p >= 'A' && *p <= 'Z')
			*p = (char)(*p - 'A' + 'a');
	return text;
}

/* "[192.0.2.1]", "[IPv6:2001:db8::1]" */
static bool parse_literal(struct str s, struct ipaddr *ret)
{
	static const char tag[] = "IPv6:";

	if (s.n < 2 || s.p[s.n - 1] != ']')
		return false;
	s = str_from(s.p + 1, s.n - 2);
	if (str_starts_nocase(s, str_of(tag)))
		s = str_from(s.p + sizeof(tag) - 1, s.n - sizeof(tag) + 1);
	return ipaddr_parse(s, ret);
}

static enum hop_kind parse_domain(struct hop *h, struct str s)
{
	h->name = lower_dup(s);
	if (s.n == 0)
		return HOP_WRONG;
	if (s.p[0] != '[')
		return HOP_DOMAIN;
	return parse_literal(s, &h->ip) ? HOP_LITERAL : HOP_WRONG;
}

static enum hop_kind parse_smarthost(struct hop *h, struct str s)
{
	struct netaddr at;
	struct str host = s;
	uint64_t port = 0;

	if (netaddr_parse(s, &at, NULL) >= 0) {
		h->ip = at.ip;
		h->port = at.port;
		h->name = lower_dup(s);
		return at.port != 0 ? HOP_ADDRESS : HOP_WRONG;
	}
	while (host.n > 0 && host.p[host.n - 1] != ':')
		host.n--;
	if (host.n == 0 || !str_u64(str_from(s.p + host.n, s.n - host.n), UINT16_MAX, &port))
		return HOP_WRONG;
	h->name = lower_dup(str_from(s.p, host.n - 1));
	h->port = (uint16_t)port;
	return port != 0 && names_host_valid(h->name) ? HOP_HOST : HOP_WRONG;
}

struct hop hop_parse(struct str text)
{
	struct hop h = { .kind = HOP_WRONG };
	ptrdiff_t demands = str_index(text, '#');
	struct str rest;
	struct str what;

	if (demands >= 0)
		text.n = (size_t)demands;
	rest = text;
	what = str_cut(&rest, ':');

	if (text.n > RESOLVE_HOP_MAX)
		text.n = RESOLVE_HOP_MAX;
	else if (str_eq(what, STR("mx")))
		h.kind = parse_domain(&h, rest);
	else if (str_eq(what, STR("smarthost")))
		h.kind = parse_smarthost(&h, rest);
	if (h.kind == HOP_WRONG) {
		free(h.name);
		h.name = lower_dup(text);
	}
	return h;
}

void hop_done(struct hop *h)
{
	free(h->name);
	h->name = NULL;
}

struct str hop_place(const char *next_hop)
{
	return str_from(next_hop, strcspn(next_hop, "#"));
}

/* What a stream wants of TLS; names of pools begin otherwise. */
static const char signs[ROUTE_TLS__COUNT] = {
	[ROUTE_TLS_REQUIRED] = '!',   [ROUTE_TLS_DANE] = '=', [ROUTE_TLS_STS] = '~',
	[ROUTE_TLS_UNVERIFIED] = '?', [ROUTE_TLS_NONE] = '+',
};

struct hop_ways hop_ways(const char *next_hop)
{
	size_t place = strcspn(next_hop, "#");
	struct str rest = str_of(next_hop + place + (next_hop[place] == '#'));
	struct hop_ways w = { .demands = str_cut(&rest, '@'), .pool = rest };

	w.tls = ROUTE_TLS_OPPORTUNISTIC;
	for (int i = 0; i < ROUTE_TLS__COUNT && rest.n > 0; i++) {
		if (signs[i] == '\0' || rest.p[0] != signs[i])
			continue;
		w.tls = (enum route_tls)i;
		w.pool = str_from(rest.p + 1, rest.n - 1);
	}
	return w;
}

void hop_add(char *next_hop, size_t max, enum route_tls tls, const char *pool)
{
	size_t n = strlen(next_hop);
	const char sign[2] = { signs[tls], '\0' };

	if (strchr(next_hop, ':') == NULL || (*sign == '\0' && *pool == '\0') ||
	    n + strlen(pool) + 4 > max)
		return;
	(void)snprintf(next_hop + n, max - n, "%s@%s%s", strchr(next_hop, '#') != NULL ? "" : "#",
		       sign, pool);
}
