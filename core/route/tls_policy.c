#include "route/tls_policy.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/obj.h"

static const char *const need_names[] = {
	[TLS_NEED_NEVER] = "none",
	[TLS_NEED_MAY] = "opportunistic",
	[TLS_NEED_ENCRYPTED] = "encrypted",
	[TLS_NEED_VALID] = "required",
	[TLS_NEED_STS] = "sts",
	[TLS_NEED_DANE] = "dane",
	[TLS_NEED_REFUSED] = "refused",
};

/* How strict each one is: by what a connection may not be. */
static const struct {
	const char *name;
	int strict;
} demands[ROUTE_TLS__COUNT] = {
	[ROUTE_TLS_OPPORTUNISTIC] = { "opportunistic", 0 },
	[ROUTE_TLS_NONE] = { "none", 1 },
	[ROUTE_TLS_UNVERIFIED] = { "unverified", 1 },
	[ROUTE_TLS_REQUIRED] = { "required", 2 },
	[ROUTE_TLS_IMPLICIT] = { "implicit", 3 },
	[ROUTE_TLS_DANE] = { "dane", 3 },
	[ROUTE_TLS_STS] = { "sts", 3 },
};

const char *route_tls_name(enum route_tls t)
{
	return demands[t].name;
}

bool route_tls_parse(struct str text, enum route_tls *ret)
{
	for (int i = 0; i < ROUTE_TLS__COUNT; i++) {
		if (!str_eq(text, str_of(demands[i].name)))
			continue;
		*ret = (enum route_tls)i;
		return true;
	}
	return false;
}

enum route_tls route_tls_with(enum route_tls route, enum route_tls stream)
{
	return demands[stream].strict > demands[route].strict ? stream : route;
}

const char *tls_need_name(enum tls_need n)
{
	return need_names[n];
}

struct tls_policy *tls_policy_new(const char *domain)
{
	struct tls_policy *p = xcalloc(1, sizeof(*p));

	p->refs = 1;
	p->domain = domain != NULL ? xstrdup(domain) : NULL;
	return p;
}

void tls_policy_tlsa(struct tls_policy *p, const char *base, const struct tls_tlsa *list, size_t n)
{
	ASSERT(p->tlsa == NULL);
	p->base = xstrdup(base);
	p->tlsa = xcalloc(n + 1, sizeof(*p->tlsa));
	for (size_t i = 0; i < n; i++) {
		uint8_t *copy;
		if (!tls_tlsa_usable(&list[i]))
			continue;
		copy = xmalloc(list[i].n + 1);
		memcpy(copy, list[i].data, list[i].n);
		p->tlsa[p->tlsa_n] = list[i];
		p->tlsa[p->tlsa_n++].data = copy;
	}
	p->dane = p->tlsa_n > 0 ? TLS_DANE_USABLE : TLS_DANE_ENCRYPT;
}

struct tls_policy *tls_policy_ref(struct tls_policy *p)
{
	if (p != NULL)
		p->refs++;
	return p;
}

void tls_policy_unref(struct tls_policy **pp)
{
	struct tls_policy *p = *pp;

	*pp = NULL;
	if (p == NULL || --p->refs > 0)
		return;
	for (size_t i = 0; i < p->tlsa_n; i++)
		free((void *)(uintptr_t)p->tlsa[i].data);
	free(p->tlsa);
	free(p->base);
	free(p->domain);
	free(p);
}

bool route_tls_wants_dane(enum route_tls demand)
{
	return demand == ROUTE_TLS_OPPORTUNISTIC || demand == ROUTE_TLS_REQUIRED ||
	       demand == ROUTE_TLS_DANE;
}

bool route_tls_wants_sts(enum route_tls demand)
{
	return demand == ROUTE_TLS_OPPORTUNISTIC || demand == ROUTE_TLS_REQUIRED ||
	       demand == ROUTE_TLS_STS;
}

static enum tls_need say(enum tls_need need, const char *why, const char **ret_why)
{
	*ret_why = why;
	return need;
}

static enum tls_need of_published(const struct tls_policy *p, const char **ret_why)
{
	switch (p->dane) {
	case TLS_DANE_USABLE:
		return say(TLS_NEED_DANE, p->dane_text, ret_why);
	case TLS_DANE_ENCRYPT:
		return say(TLS_NEED_ENCRYPTED, p->dane_text, ret_why);
	case TLS_DANE_UNKNOWN:
		return say(TLS_NEED_REFUSED, p->dane_text, ret_why);
	case TLS_DANE_NONE:
		break;
	}
	if (p->sts == TLS_STS_ENFORCE)
		return say(p->sts_listed ? TLS_NEED_STS : TLS_NEED_REFUSED, p->sts_text, ret_why);
	return say(TLS_NEED_MAY, "", ret_why);
}

/* A smarthost is what the route says of it, and nothing else. */
static enum tls_need of_required(const struct tls_policy *p, const char **ret_why)
{
	enum tls_need need =
		p != NULL && p->domain != NULL ? of_published(p, ret_why) : TLS_NEED_MAY;

	if (need == TLS_NEED_MAY || need == TLS_NEED_ENCRYPTED)
		return say(TLS_NEED_VALID, "TLS is required", ret_why);
	return need;
}

static enum tls_need of_sts(const struct tls_policy *p, const char **ret_why)
{
	bool fits = p != NULL && p->sts != TLS_STS_NONE && p->sts_listed;

	return say(fits ? TLS_NEED_STS : TLS_NEED_REFUSED,
		   p != NULL ? p->sts_text : "no policy of MTA-STS is known", ret_why);
}

static enum tls_need of_dane(const struct tls_policy *p, const char **ret_why)
{
	return say(p != NULL && p->dane == TLS_DANE_USABLE ? TLS_NEED_DANE : TLS_NEED_REFUSED,
		   p != NULL ? p->dane_text : "no TLSA records are known", ret_why);
}

enum tls_need tls_policy_need(const struct tls_policy *p, enum route_tls demand,
			      const char **ret_why)
{
	switch (demand) {
	case ROUTE_TLS_NONE:
		return say(TLS_NEED_NEVER, "none is wanted", ret_why);
	case ROUTE_TLS_REQUIRED:
		return of_required(p, ret_why);
	case ROUTE_TLS_IMPLICIT:
		return say(TLS_NEED_VALID, "TLS is required", ret_why);
	case ROUTE_TLS_DANE:
		return of_dane(p, ret_why);
	case ROUTE_TLS_STS:
		return of_sts(p, ret_why);
	case ROUTE_TLS_OPPORTUNISTIC:
		return p != NULL ? of_published(p, ret_why) : say(TLS_NEED_MAY, "", ret_why);
	case ROUTE_TLS_UNVERIFIED:
	case ROUTE_TLS__COUNT:
		break;
	}
	return say(TLS_NEED_MAY, "", ret_why);
}
