/*
 * What is published about the TLS of a next hop's hosts.
 *
 * TLSA records (RFC 7672) count only where all that leads to them was validated: the MX records,
 * the host's address records with their aliases, and the records themselves. They are looked for at
 * the end of the host's aliases first, then at its own name. Where the way is not secure they are
 * not even asked for: there are name servers that do not answer such questions, and mail to them
 * would wait for nothing (2.2.2).
 *
 * The policy of MTA-STS is the domain's, and is looked for side by side with the hosts.
 */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "route/resolve_int.h"

void resolve_tls_begin(struct ask *a, struct sts *sts, sts_fn *fn)
{
	if ((a->wants & RESOLVE_STS) != 0 && sts != NULL && a->hop.kind == HOP_DOMAIN &&
	    names_host_valid(a->hop.name))
		sts_get(sts, a->hop.name, &a->tls.sts, fn, a);
}

/* --- TLSA records ----------------------------------------------------------------------------- */

/* The MX records, or that there are none, were validated; a smarthost has no such step. */
static bool way_is_secure(const struct ask *a)
{
	const struct names_facts *domain = names_facts(&a->domain);

	return domain == NULL || domain->secure;
}

static void get_records(struct ask *a, size_t i, const char *host)
{
	char name[DNS_NAME_MAX + 32];

	(void)snprintf(name, sizeof(name), "_%u._tcp.%s", (unsigned)a->hop.port, host);
	names_put(&a->tls.records[i]);
	resolver_want(a, NAMES_TLSA, name, &a->tls.records[i]);
}

void resolve_tls_records(struct ask *a)
{
	if ((a->wants & RESOLVE_DANE) == 0 || !resolver_validates(a) || !way_is_secure(a))
		return;
	a->tls.records = xcalloc(a->hosts_n + 1, sizeof(*a->tls.records));
	for (size_t i = 0; i < a->hosts_n; i++) {
		const struct names_facts *f = names_facts(&a->hosts[i]);
		if (f->status == DNS_OK && f->secure)
			get_records(a, i, f->name);
	}
}

static bool has_none(const struct names_facts *f)
{
	return f->status == DNS_NODATA || f->status == DNS_NXDOMAIN ||
	       (f->status == DNS_OK && !f->secure);
}

void resolve_tls_second(struct ask *a)
{
	for (size_t i = 0; a->tls.records != NULL && i < a->hosts_n; i++) {
		const struct names_facts *f = names_facts(&a->tls.records[i]);
		const char *own = resolver_host_name(a, i);
		if (f != NULL && has_none(f) && strcmp(own, names_facts(&a->hosts[i])->name) != 0)
			get_records(a, i, own);
	}
}

/* --- the policy of a host --------------------------------------------------------------------- */

/* "_25._tcp.mx.example.org" without its first two labels. */
static const char *base_of(const char *tlsa_name)
{
	const char *dot = strchr(tlsa_name, '.');

	dot = dot != NULL ? strchr(dot + 1, '.') : NULL;
	return dot != NULL ? dot + 1 : tlsa_name;
}

static void PRINTF_LIKE(2, 3) say(char to[static TLS_POLICY_TEXT_MAX], const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	(void)vsnprintf(to, TLS_POLICY_TEXT_MAX, fmt, ap);
	va_end(ap);
}

/* Why no TLSA records were asked for. */
static void say_insecure(const struct ask *a, const char *host, struct tls_policy *p)
{
	if (!resolver_validates(a))
		say(p->dane_text,
		    "the name servers are not trusted to validate (trust-ad in section dns)");
	else if (!way_is_secure(a))
		say(p->dane_text, "the MX records of %.150s are not signed (DNSSEC)", a->hop.name);
	else
		say(p->dane_text, "the addresses of %.150s are not signed (DNSSEC)", host);
}

static void put_dane(const struct ask *a, size_t i, struct tls_policy *p)
{
	const struct names_ref *ref = a->tls.records != NULL ? &a->tls.records[i] : NULL;
	const struct names_facts *f = ref != NULL ? names_facts(ref) : NULL;
	const char *host = resolver_host_name(a, i);

	if (f == NULL) {
		say_insecure(a, host, p);
	} else if (f->status == DNS_TROUBLE) {
		p->dane = TLS_DANE_UNKNOWN;
		say(p->dane_text, "DNS lookup of its TLSA records (DANE): %s", f->trouble);
	} else if (f->status != DNS_OK || f->tlsa_n == 0) {
		say(p->dane_text, "%.200s has no TLSA records", host);
	} else if (!f->secure) {
		say(p->dane_text, "the TLSA records of %.150s are not signed (DNSSEC)", host);
	} else {
		tls_policy_tlsa(p, base_of(names_key(ref)), f->tlsa, f->tlsa_n);
		if (p->dane == TLS_DANE_USABLE)
			say(p->dane_text, "%zu TLSA record%s at %.180s (DANE)", p->tlsa_n,
			    p->tlsa_n == 1 ? "" : "s", names_key(ref));
		else
			say(p->dane_text,
			    "TLSA records at %.150s, none of which can be used: any "
			    "certificate will do",
			    names_key(ref));
	}
}

static void put_sts(const struct ask *a, const char *host, struct tls_policy *p)
{
	struct sts_facts f;

	if (!sts_facts(&a->tls.sts, &f)) {
		say(p->sts_text, "no policy of MTA-STS was looked for");
	} else if (f.policy == NULL) {
		say(p->sts_text,
		    f.trouble[0] != '\0' ? "no MTA-STS policy of %.80s: %.150s"
					 : "%.80s publishes no MTA-STS policy%s",
		    a->hop.name, f.trouble);
	} else if (f.policy->mode == STS_MODE_NONE) {
		say(p->sts_text, "the MTA-STS policy of %.150s is \"none\"", a->hop.name);
	} else {
		p->sts = f.policy->mode == STS_MODE_ENFORCE ? TLS_STS_ENFORCE : TLS_STS_TESTING;
		p->sts_listed = sts_policy_matches(f.policy, host);
		say(p->sts_text, "the MTA-STS policy of %.100s (%s)%s", a->hop.name,
		    sts_mode_name(f.policy->mode), p->sts_listed ? "" : " does not list this host");
	}
}

struct tls_policy *resolve_tls_policy(const struct ask *a, size_t i)
{
	const char *host = resolver_host_name(a, i);
	struct tls_policy *p;

	if (a->wants == 0)
		return NULL;
	p = tls_policy_new(a->hop.kind == HOP_DOMAIN ? a->hop.name : NULL);
	put_dane(a, i, p);
	put_sts(a, host, p);
	return p;
}

void resolve_tls_done(struct ask *a)
{
	for (size_t i = 0; a->tls.records != NULL && i < a->hosts_n; i++)
		names_put(&a->tls.records[i]);
	free(a->tls.records);
	a->tls.records = NULL;
	sts_put(&a->tls.sts);
}
