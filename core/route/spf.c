/*
 * A record is read twice: all of its terms are checked first, because a mistake anywhere makes the
 * whole of it an error; then they are evaluated in order until one matches.
 */
#include "route/spf.h"

#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "base/obj.h"

#define VERSION "v=spf1"

static const char *const result_names[SPF_RESULT__COUNT] = {
	[SPF_WAIT] = "wait",	       [SPF_NONE] = "none",	      [SPF_PASS] = "pass",
	[SPF_FAIL] = "fail",	       [SPF_SOFTFAIL] = "softfail",   [SPF_NEUTRAL] = "neutral",
	[SPF_TEMPERROR] = "temperror", [SPF_PERMERROR] = "permerror", [SPF_UNKNOWN] = "unknown",
};

const char *spf_result_name(enum spf_result r)
{
	ASSERT(r < SPF_RESULT__COUNT);
	return result_names[r];
}

enum kind { ALL, INCLUDE, A, MX, PTR, IP4, IP6, EXISTS, REDIRECT, MODIFIER, KIND__COUNT };

static const char *const mechanisms[] = {
	[ALL] = "all", [INCLUDE] = "include", [A] = "a",     [MX] = "mx",
	[PTR] = "ptr", [IP4] = "ip4",	      [IP6] = "ip6", [EXISTS] = "exists",
};

struct term {
	enum kind kind;
	enum spf_result result; /* of its qualifier */
	struct str domain;	/* empty: the current one */
	struct ipnet net;	/* ip4, ip6 */
	unsigned bits4;
	unsigned bits6;
};

struct eval {
	struct dnsbook *book;
	const struct ipaddr *ip;
	unsigned lookups;
	unsigned voids;
	const char *why;
};

static enum spf_result trouble(struct eval *e, enum spf_result r, const char *why)
{
	e->why = why;
	return r;
}

/* --- the record ------------------------------------------------------------------------------- */

struct str spf_record(const struct dns_answer *txt, size_t *ret_n)
{
	struct str found = { NULL, 0 };

	*ret_n = 0;
	for (size_t i = 0; i < txt->records_n; i++) {
		struct str t = txt->records[i].text;
		if (!str_starts_nocase(t, STR(VERSION)) ||
		    (t.n > sizeof(VERSION) - 1 && t.p[sizeof(VERSION) - 1] != ' '))
			continue;
		if ((*ret_n)++ == 0)
			found = t;
	}
	return found;
}

/* "/24", "//64", "/24//64" at the end of a mechanism. */
static bool take_cidr(struct str *s, struct term *t)
{
	ptrdiff_t at = str_index(*s, '/');
	struct str cidr;
	uint64_t bits;

	t->bits4 = 32;
	t->bits6 = 128;
	if (at < 0)
		return true;
	cidr = str_from(s->p + at, s->n - (size_t)at);
	s->n = (size_t)at;
	if (!str_starts(cidr, STR("//"))) {
		struct str four;
		cidr = str_from(cidr.p + 1, cidr.n - 1);
		four = str_from(cidr.p, cidr.n);
		at = str_index(cidr, '/');
		if (at >= 0)
			four.n = (size_t)at;
		if (!str_u64(four, 32, &bits))
			return false;
		t->bits4 = (unsigned)bits;
		cidr = str_from(cidr.p + four.n, cidr.n - four.n);
	}
	if (cidr.n == 0)
		return true;
	if (!str_starts(cidr, STR("//")) || !str_u64(str_from(cidr.p + 2, cidr.n - 2), 128, &bits))
		return false;
	t->bits6 = (unsigned)bits;
	return true;
}

static struct ipnet net_of(const struct ipaddr *a, unsigned bits4, unsigned bits6)
{
	struct ipnet net = { .addr = *a, .bits = ipaddr_is_v4(a) ? 96 + bits4 : bits6 };

	for (unsigned i = 0; i < sizeof(net.addr.b); i++) {
		if (net.bits <= i * 8)
			net.addr.b[i] = 0;
		else if (net.bits < i * 8 + 8)
			net.addr.b[i] &= (uint8_t)(0xff << (i * 8 + 8 - net.bits));
	}
	return net;
}

static bool take_ip(struct str s, struct term *t)
{
	ptrdiff_t at = str_index(s, '/');
	struct str address = at < 0 ? s : str_from(s.p, (size_t)at);
	bool v4 = t->kind == IP4;
	struct ipaddr ip;
	uint64_t bits = v4 ? 32 : 128;

	if (!ipaddr_parse(address, &ip) || ipaddr_is_v4(&ip) != v4)
		return false;
	if (at >= 0 && !str_u64(str_from(s.p + at + 1, s.n - (size_t)at - 1), bits, &bits))
		return false;
	t->net = net_of(&ip, (unsigned)bits, (unsigned)bits);
	return true;
}

static bool is_mechanism(struct str name, enum kind *ret)
{
	for (size_t k = 0; k < ARRAY_LEN(mechanisms); k++)
		if (str_eq_nocase(name, str_of(mechanisms[k]))) {
			*ret = (enum kind)k;
			return true;
		}
	return false;
}

static enum spf_result take_qualifier(struct str *s)
{
	enum spf_result r = SPF_PASS;

	if (s->n == 0 || strchr("+-~?", s->p[0]) == NULL)
		return r;
	if (s->p[0] == '-')
		r = SPF_FAIL;
	else if (s->p[0] == '~')
		r = SPF_SOFTFAIL;
	else if (s->p[0] == '?')
		r = SPF_NEUTRAL;
	*s = str_from(s->p + 1, s->n - 1);
	return r;
}

/* Where the name of a term ends. */
static size_t name_length(struct str s)
{
	size_t n = 0;

	while (n < s.n && s.p[n] != ':' && s.p[n] != '=' && s.p[n] != '/')
		n++;
	return n;
}

static bool parse_mechanism(struct str name, struct str rest, struct term *t)
{
	bool colon = rest.n > 0 && rest.p[0] == ':';

	if (!is_mechanism(name, &t->kind))
		return false;
	if (colon)
		rest = str_from(rest.p + 1, rest.n - 1);
	if (t->kind == ALL)
		return rest.n == 0 && !colon;
	if (t->kind == IP4 || t->kind == IP6)
		return colon && take_ip(rest, t);
	if ((t->kind == A || t->kind == MX) && !take_cidr(&rest, t))
		return false;
	t->domain = rest;
	return (colon || rest.n == 0) && colon == (rest.n > 0) &&
	       (rest.n > 0 || (t->kind != INCLUDE && t->kind != EXISTS));
}

static bool parse_term(struct str s, struct term *t)
{
	size_t n = name_length(s);
	struct str name = str_from(s.p, n);
	struct str rest = str_from(s.p + n, s.n - n);

	*t = (struct term){ .kind = MODIFIER };
	if (rest.n > 0 && rest.p[0] == '=') {
		t->domain = str_from(rest.p + 1, rest.n - 1);
		if (str_eq_nocase(name, STR("redirect")))
			t->kind = REDIRECT;
		return n > 0 && (t->kind != REDIRECT || t->domain.n > 0);
	}
	t->result = take_qualifier(&name);
	return parse_mechanism(name, rest, t);
}

static bool next_term(struct str *rest, struct str *ret)
{
	do {
		if (rest->n == 0)
			return false;
		*ret = str_cut(rest, ' ');
	} while (ret->n == 0);
	return true;
}

static bool check_record(struct str terms)
{
	unsigned redirects = 0;
	struct str one;
	struct term t;

	while (next_term(&terms, &one)) {
		if (!parse_term(one, &t))
			return false;
		redirects += t.kind == REDIRECT;
	}
	return redirects <= 1;
}

/* --- evaluation ------------------------------------------------------------------------------- */

/* PASS: there are records; NONE: there are none; else why not. */
static enum spf_result ask(struct eval *e, const char *name, enum dns_type type,
			   const struct dns_answer **ret)
{
	const struct dns_answer *a = dnsbook_get(e->book, name, type);

	*ret = a;
	if (a == NULL)
		return SPF_WAIT;
	if (a->status == DNS_TROUBLE)
		return trouble(e, SPF_TEMPERROR, "DNS is in trouble");
	return a->records_n > 0 ? SPF_PASS : SPF_NONE;
}

static enum spf_result count_lookup(struct eval *e)
{
	if (++e->lookups > SPF_LOOKUPS_MAX)
		return trouble(e, SPF_PERMERROR, "it takes more than 10 DNS lookups");
	return SPF_PASS;
}

static enum spf_result count_void(struct eval *e)
{
	if (++e->voids > SPF_VOID_MAX)
		return trouble(e, SPF_PERMERROR, "more than 2 of its names have no records");
	return SPF_NONE;
}

/* PASS: one of the host's addresses is in the network with ours. */
static enum spf_result match_host(struct eval *e, const char *host, const struct term *t)
{
	const struct dns_answer *a;
	enum spf_result r = ask(e, host, ipaddr_is_v4(e->ip) ? DNS_TYPE_A : DNS_TYPE_AAAA, &a);

	for (size_t i = 0; r == SPF_PASS && i < a->records_n; i++) {
		struct ipnet net = net_of(&a->records[i].ip, t->bits4, t->bits6);
		if (ipnet_has(&net, e->ip))
			return SPF_PASS;
	}
	return r == SPF_PASS ? SPF_NEUTRAL : r; /* NEUTRAL: records, but none of them */
}

static enum spf_result match_a(struct eval *e, const char *domain, const struct term *t)
{
	enum spf_result r = match_host(e, domain, t);

	return r == SPF_NONE ? count_void(e) : r;
}

static enum spf_result match_mx(struct eval *e, const char *domain, const struct term *t)
{
	const struct dns_answer *mx;
	enum spf_result r = ask(e, domain, DNS_TYPE_MX, &mx);
	bool waits = false;

	if (r != SPF_PASS)
		return r == SPF_NONE ? count_void(e) : r;
	if (mx->records_n > SPF_MX_MAX)
		return trouble(e, SPF_PERMERROR,
			       "a domain that it names has more than 10 MX hosts");
	for (size_t i = 0; i < mx->records_n; i++) {
		if (mx->records[i].host[0] == '\0')
			continue;
		r = match_host(e, mx->records[i].host, t);
		waits |= r == SPF_WAIT; /* the others are asked for meanwhile */
		if (r == SPF_PASS || r == SPF_TEMPERROR)
			return waits ? SPF_WAIT : r;
	}
	return waits ? SPF_WAIT : SPF_NEUTRAL;
}

static enum spf_result check_domain(struct eval *e, const char *domain);

static enum spf_result match_include(struct eval *e, const char *domain)
{
	enum spf_result r = check_domain(e, domain);

	switch (r) {
	case SPF_PASS:
	case SPF_WAIT:
	case SPF_TEMPERROR:
	case SPF_PERMERROR:
	case SPF_UNKNOWN:
		return r;
	case SPF_NONE:
		return trouble(e, SPF_PERMERROR, "a domain that it includes has no SPF record");
	case SPF_FAIL:
	case SPF_SOFTFAIL:
	case SPF_NEUTRAL:
	case SPF_RESULT__COUNT:
		break;
	}
	return SPF_NEUTRAL;
}

static enum spf_result term_domain(struct eval *e, const char *current, const struct term *t,
				   char ret[static DNS_NAME_MAX + 1])
{
	struct str d = t->domain.n > 0 ? t->domain : str_of(current);

	if (str_index(d, '%') >= 0)
		return trouble(e, SPF_UNKNOWN, "it has macros, which depend on the message");
	if (d.n > 0 && d.p[d.n - 1] == '.')
		d.n--;
	if (d.n == 0 || d.n > DNS_NAME_MAX || memchr(d.p, '\0', d.n) != NULL)
		return trouble(e, SPF_PERMERROR, "it names no proper domain");
	(void)snprintf(ret, DNS_NAME_MAX + 1, "%.*s", STR_ARG(d));
	return SPF_PASS;
}

/* PASS: it matches; NONE and NEUTRAL: it does not; else that is the result of the whole. */
static enum spf_result match(struct eval *e, const char *domain, const struct term *t)
{
	char name[DNS_NAME_MAX + 1];
	enum spf_result r = SPF_PASS;

	if (t->kind == A || t->kind == MX || t->kind == INCLUDE) {
		r = term_domain(e, domain, t, name);
		if (r == SPF_PASS)
			r = count_lookup(e);
	}
	if (r != SPF_PASS)
		return r;
	switch (t->kind) {
	case ALL:
		return SPF_PASS;
	case IP4:
	case IP6:
		return ipnet_has(&t->net, e->ip) ? SPF_PASS : SPF_NEUTRAL;
	case A:
		return match_a(e, name, t);
	case MX:
		return match_mx(e, name, t);
	case INCLUDE:
		return match_include(e, name);
	case PTR:
	case EXISTS:
		return trouble(e, SPF_UNKNOWN,
			       "it has ptr or exists, which are not looked up here");
	case REDIRECT:
	case MODIFIER:
	case KIND__COUNT:
		break;
	}
	return SPF_NEUTRAL;
}

static enum spf_result redirect(struct eval *e, const char *domain, const struct term *t)
{
	char name[DNS_NAME_MAX + 1];
	enum spf_result r = term_domain(e, domain, t, name);

	if (r == SPF_PASS)
		r = count_lookup(e);
	if (r == SPF_PASS)
		r = check_domain(e, name);
	else
		return r;
	return r == SPF_NONE ? trouble(e, SPF_PERMERROR,
				       "the domain that it redirects to has no SPF "
				       "record")
			     : r;
}

static enum spf_result run(struct eval *e, const char *domain, struct str terms)
{
	struct term later = { .kind = MODIFIER };
	struct term t;
	struct str one;

	while (next_term(&terms, &one)) {
		enum spf_result r;
		(void)parse_term(one, &t);
		if (t.kind == REDIRECT)
			later = t;
		if (t.kind == REDIRECT || t.kind == MODIFIER)
			continue;
		r = match(e, domain, &t);
		if (r == SPF_PASS)
			return t.result;
		if (r != SPF_NONE && r != SPF_NEUTRAL)
			return r;
	}
	return later.kind == REDIRECT ? redirect(e, domain, &later) : SPF_NEUTRAL;
}

static enum spf_result check_domain(struct eval *e, const char *domain)
{
	const struct dns_answer *txt;
	enum spf_result r = ask(e, domain, DNS_TYPE_TXT, &txt);
	struct str record;
	size_t n;

	if (r != SPF_PASS)
		return r;
	record = spf_record(txt, &n);
	if (n == 0)
		return SPF_NONE;
	if (n > 1)
		return trouble(e, SPF_PERMERROR, "a domain has more than one SPF record");
	record = str_from(record.p + sizeof(VERSION) - 1, record.n - (sizeof(VERSION) - 1));
	if (!check_record(record))
		return trouble(e, SPF_PERMERROR, "a record has a mistake in its syntax");
	return run(e, domain, record);
}

enum spf_result spf_check(struct dnsbook *b, const char *domain, const struct ipaddr *ip,
			  const char **ret_why)
{
	struct eval e = { .book = b, .ip = ip, .why = "" };
	enum spf_result r = check_domain(&e, domain);

	*ret_why = e.why;
	return r;
}
