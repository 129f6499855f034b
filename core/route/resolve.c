/*
 * An ask is a small machine over what names.c knows:
 *
 *	DOMAIN   waits for the domain's MX records              -> HOSTS
 *	HOSTS    waits for the addresses of all hosts           -> RECORDS, READY
 *	RECORDS  waits for the hosts' TLSA records              -> SECOND
 *	SECOND   the same at the hosts' own names               -> STS
 *	STS      waits for the domain's policy, begun at first  -> READY
 *	READY    in r->ready; on_turn() makes the answer        -> gone
 *
 * Everything else is decided when the answer is made, from facts that do not change while the ask
 * holds them: so asks of one next hop share what DNS said, and each has its own shuffle.
 */
#include "route/resolve.h"

#include <bsd/sys/tree.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/queue.h>

#include "base/mem.h"
#include "base/obj.h"
#include "loop/loop.h"
#include "net/dns.h"
#include "route/providers.h"
#include "route/resolve_int.h"
#include "route/site.h"

#define RESOLVER_MAGIC 0x4e501001u
#define BATCH 64 /* answers in one wake-up */
#define NO_CUT (UINT16_MAX + 1u)

RB_HEAD(ask_tree, ask);

struct resolver {
	uint32_t magic;
	struct dns *dns;
	struct names *names;
	struct sts *sts; /* NULL: no policies are looked for */
	struct providers *providers;
	char *hostname;
	uint16_t mx_port;
	struct ipaddr *own;
	size_t own_n;
	struct ipnet *avoid;
	size_t avoid_n;
	resolver_provider_fn *fn;
	void *arg;
	uint64_t last_id;
	struct ask_tree asks;
	TAILQ_HEAD(, ask) ready;
	struct loop_timer *turn;
};

/* An answer in the making. */
struct work {
	struct resolve_answer answer;
	struct resolve_failure failure;
	struct resolve_host hosts[RESOLVE_HOSTS_MAX];
	struct tls_policy *policies[RESOLVE_HOSTS_MAX];
	struct ipaddr addresses[RESOLVE_HOSTS_MAX][RESOLVE_ADDRESSES_MAX];
	char literal[IPADDR_TEXT_LEN];
	char avoided[IPADDR_TEXT_LEN]; /* the last address passed over for cfg->avoid, or empty */
};

static int ask_cmp(const struct ask *a, const struct ask *b)
{
	return a->id < b->id ? -1 : a->id > b->id;
}

RB_GENERATE_INTERNAL(ask_tree, ask, node, ask_cmp, static __attribute__((unused)))

/* --- the machine ------------------------------------------------------------------------------ */

static void make_ready(struct ask *a)
{
	struct resolver *r = a->resolver;

	a->ready = true;
	TAILQ_INSERT_TAIL(&r->ready, a, next);
	if (!loop_timer_pending(r->turn))
		loop_timer_set(r->turn, 0);
}

static bool is_implicit(const struct names_facts *domain)
{
	return domain->status == DNS_NODATA;
}

/* How many of a domain's hosts come into question: those better than ourselves. */
static size_t hosts_before_own(const struct names_facts *f)
{
	size_t n = 0;

	if (is_implicit(f))
		return f->own ? 0 : 1;
	if (f->status != DNS_OK)
		return 0;
	while (n < f->hosts_n && (!f->own || f->hosts[n].preference < f->own_preference))
		n++;
	return n;
}

static void advance(struct ask *a);

static void on_facts(void *arg)
{
	struct ask *a = OBJ(ask, RESOLVE_ASK_MAGIC, arg);

	if (--a->missing == 0)
		advance(a);
}

void resolver_want(struct ask *a, enum names_kind kind, const char *name, struct names_ref *ref)
{
	names_get(a->resolver->names, kind, name, ref, on_facts, a);
	if (names_facts(ref) == NULL)
		a->missing++;
}

bool resolver_validates(const struct ask *a)
{
	return dns_trusts(a->resolver->dns);
}

static struct names_host host_of(const struct names_facts *domain, size_t i)
{
	return is_implicit(domain) ? (struct names_host){ .name = domain->name } : domain->hosts[i];
}

const char *resolver_host_name(const struct ask *a, size_t i)
{
	const struct names_facts *f = names_facts(&a->domain);

	return f == NULL ? a->hop.name : host_of(f, i).name;
}

static void want_hosts(struct ask *a)
{
	const struct names_facts *f = names_facts(&a->domain);

	a->hosts_n = f != NULL ? hosts_before_own(f) : 1;
	a->hosts = xcalloc(a->hosts_n + 1, sizeof(*a->hosts));
	for (size_t i = 0; i < a->hosts_n; i++)
		resolver_want(a, NAMES_ADDRESSES, resolver_host_name(a, i), &a->hosts[i]);
}

static void next_phase(struct ask *a)
{
	switch (a->phase) {
	case ASK_DOMAIN:
		a->phase = ASK_HOSTS;
		want_hosts(a);
		break;
	case ASK_HOSTS:
		/* without a host all else is of no use */
		a->phase = a->hosts_n > 0 ? ASK_RECORDS : ASK_STS;
		if (a->hosts_n > 0)
			resolve_tls_records(a);
		else
			sts_put(&a->tls.sts);
		break;
	case ASK_RECORDS:
		a->phase = ASK_SECOND;
		resolve_tls_second(a);
		break;
	case ASK_SECOND:
	case ASK_STS:
		a->phase = ASK_STS;
		break;
	}
}

static void advance(struct ask *a)
{
	while (a->missing == 0 && a->phase != ASK_STS)
		next_phase(a);
	if (a->phase == ASK_STS && !a->tls.sts.waits && !a->ready)
		make_ready(a);
}

static void on_sts(void *arg)
{
	advance(OBJ(ask, RESOLVE_ASK_MAGIC, arg));
}

static void ask_start(struct ask *a)
{
	struct resolver *r = a->resolver;

	switch (a->hop.kind) {
	case HOP_DOMAIN:
		resolve_tls_begin(a, r->sts, on_sts);
		resolver_want(a, NAMES_MX, a->hop.name, &a->domain);
		advance(a);
		break;
	case HOP_HOST:
		advance(a);
		break;
	case HOP_LITERAL:
	case HOP_ADDRESS:
	case HOP_WRONG:
		make_ready(a);
		break;
	}
}

/* Out of all lists: nobody finds it any more. */
static void take_out(struct ask *a)
{
	struct resolver *r = a->resolver;

	RB_REMOVE(ask_tree, &r->asks, a);
	if (a->ready)
		TAILQ_REMOVE(&r->ready, a, next);
}

static void ask_free(struct ask *a)
{
	resolve_tls_done(a);
	for (size_t i = 0; i < a->hosts_n; i++)
		names_put(&a->hosts[i]);
	names_put(&a->domain);
	free(a->hosts);
	hop_done(&a->hop);
	a->magic = 0;
	free(a);
}

/* --- answers ---------------------------------------------------------------------------------- */

static void fail(struct work *w, bool permanent, const char *enhanced, const char *fmt, ...)
	PRINTF_LIKE(4, 5);

static void fail(struct work *w, bool permanent, const char *enhanced, const char *fmt, ...)
{
	va_list ap;

	w->failure.permanent = permanent;
	(void)snprintf(w->failure.enhanced, sizeof(w->failure.enhanced), "%s", enhanced);
	va_start(ap, fmt);
	(void)vsnprintf(w->failure.text, sizeof(w->failure.text), fmt, ap);
	va_end(ap);
	w->answer.failure = &w->failure;
}

static void shuffle(void *list, size_t n, size_t size)
{
	char *p = list;
	char spare[sizeof(struct ipaddr)];

	ASSERT(size <= sizeof(spare));
	for (size_t i = n; i > 1; i--) {
		size_t k = arc4random_uniform((uint32_t)i);
		memcpy(spare, p + k * size, size);
		memmove(p + k * size, p + (i - 1) * size, size);
		memcpy(p + (i - 1) * size, spare, size);
	}
}

static void shuffled(const struct ipaddr *list, size_t n, struct ipaddr *to)
{
	for (size_t i = 0; i < n; i++)
		to[i] = list[i];
	shuffle(to, n, sizeof(*to));
}

/* In turn, so that a family that does not work here costs one attempt for each that may. */
static size_t put_addresses(const struct names_facts *f, struct ipaddr *to)
{
	struct ipaddr v6[RESOLVE_ADDRESSES_MAX];
	struct ipaddr v4[RESOLVE_ADDRESSES_MAX];
	size_t n = 0;

	shuffled(f->v6, f->v6_n, v6);
	shuffled(f->v4, f->v4_n, v4);
	for (size_t i = 0; i < RESOLVE_ADDRESSES_MAX; i++) {
		if (i < f->v6_n && n < RESOLVE_ADDRESSES_MAX)
			to[n++] = v6[i];
		if (i < f->v4_n && n < RESOLVE_ADDRESSES_MAX)
			to[n++] = v4[i];
	}
	return n;
}

/* An address where a domain may not lead us: its first, or n when there is none. */
static size_t find_avoided(const struct resolver *r, const struct ipaddr *list, size_t n)
{
	for (size_t i = 0; i < n; i++)
		for (size_t k = 0; k < r->avoid_n; k++)
			if (ipnet_has(&r->avoid[k], &list[i]))
				return i;
	return n;
}

/* The same for a host of a domain; notes in the work what was passed over. */
static size_t put_public(const struct resolver *r, const struct names_facts *f, struct ipaddr *to,
			 struct work *w)
{
	size_t n = put_addresses(f, to);

	for (size_t i = find_avoided(r, to, n); i < n; i = find_avoided(r, to, n)) {
		ipaddr_text(&to[i], w->avoided);
		memmove(&to[i], &to[i + 1], (--n - i) * sizeof(*to));
	}
	return n;
}

static void put_host(struct work *w, const char *name, uint16_t preference, size_t addresses_n,
		     struct tls_policy *tls_take)
{
	size_t i = w->answer.hosts_n++;

	w->policies[i] = tls_take;
	w->hosts[i] = (struct resolve_host){ .name = name,
					     .preference = preference,
					     .addresses = w->addresses[i],
					     .addresses_n = addresses_n,
					     .tls = tls_take };
}

static bool is_own(const struct resolver *r, const struct ipaddr *list, size_t n)
{
	for (size_t i = 0; i < n; i++)
		for (size_t k = 0; k < r->own_n; k++)
			if (ipaddr_eq(&list[i], &r->own[k]))
				return true;
	return false;
}

static bool host_is_own(const struct ask *a, const struct names_facts *f)
{
	const struct resolver *r = a->resolver;

	return a->hop.port == r->mx_port &&
	       (is_own(r, f->v6, f->v6_n) || is_own(r, f->v4, f->v4_n));
}

/* The places of the domain's hosts in the order of trying: by preference, equal ones shuffled. */
static void order_hosts(const struct names_facts *domain, size_t n, size_t *ret)
{
	size_t from = 0;

	for (size_t i = 0; i < n; i++) {
		ret[i] = i;
		if (i + 1 < n && domain->hosts[i].preference == domain->hosts[i + 1].preference)
			continue;
		shuffle(ret + from, i + 1 - from, sizeof(*ret));
		from = i + 1;
	}
}

/* A domain without a usable host. `own`: the name behind which we found ourselves, or NULL. */
static void fail_domain(const struct ask *a, const struct names_facts *domain, const char *own,
			struct work *w)
{
	if (own != NULL)
		fail(w, true, "5.4.6",
		     "mail for %.100s would come back here: its mail server is %.100s", a->hop.name,
		     own);
	else if (w->avoided[0] != '\0')
		fail(w, true, "5.1.2",
		     "%.150s leads to %s, where this relay sends nothing for a domain's asking",
		     a->hop.name, w->avoided);
	else if (is_implicit(domain))
		fail(w, true, "5.1.2",
		     "%.180s takes no mail: it has neither MX nor address records", a->hop.name);
	else
		fail(w, true, "5.1.2", "no mail server of %.180s has an address that can be used",
		     a->hop.name);
}

/* From which preference on we find ourselves among the hosts, by address; *ret_own is the name. */
static unsigned find_cut(const struct ask *a, const struct names_facts *domain,
			 const char **ret_own)
{
	for (size_t i = 0; i < a->hosts_n; i++) {
		struct names_host h = host_of(domain, i);
		if (host_is_own(a, names_facts(&a->hosts[i]))) {
			*ret_own = h.name;
			return h.preference;
		}
	}
	return NO_CUT;
}

static void answer_hosts(const struct ask *a, const struct names_facts *domain, struct work *w)
{
	size_t order[RESOLVE_HOSTS_MAX] = { 0 };
	const char *own = domain->own ? a->resolver->hostname : NULL;
	unsigned cut = find_cut(a, domain, &own);
	const struct names_facts *trouble = NULL;

	if (!is_implicit(domain))
		order_hosts(domain, a->hosts_n, order);
	for (size_t i = 0; i < a->hosts_n; i++) {
		const struct names_facts *f = names_facts(&a->hosts[order[i]]);
		struct names_host h = host_of(domain, order[i]);
		size_t n;
		if (h.preference >= cut)
			break;
		n = put_public(a->resolver, f, w->addresses[w->answer.hosts_n], w);
		if (n > 0)
			put_host(w, h.name, h.preference, n, resolve_tls_policy(a, order[i]));
		else if (f->trouble[0] != '\0' && trouble == NULL)
			trouble = f;
	}
	if (w->answer.hosts_n == 0 && trouble != NULL)
		fail(w, false, "4.4.3", "DNS lookup of %.80s, for %.80s: %s", trouble->name,
		     a->hop.name, trouble->trouble);
	else if (w->answer.hosts_n == 0)
		fail_domain(a, domain, own, w);
}

static void answer_domain(const struct ask *a, struct work *w)
{
	const struct names_facts *f = names_facts(&a->domain);

	if (f->status == DNS_TROUBLE)
		fail(w, false, "4.4.3", "DNS lookup of the mail servers of %.100s: %s", a->hop.name,
		     f->trouble);
	else if (f->status == DNS_NXDOMAIN)
		fail(w, true, "5.1.2", "the domain %.200s does not exist", a->hop.name);
	else if (f->null_mx)
		fail(w, true, "5.1.10", "%.200s takes no mail: it says so by a null MX",
		     a->hop.name);
	else
		answer_hosts(a, f, w);
	if (f->site_host != NULL)
		w->answer.provider = site_of(f->site_host);
	else if ((is_implicit(f) && w->answer.hosts_n > 0) ||
		 (w->answer.failure != NULL && w->answer.failure->permanent))
		w->answer.provider = a->hop.name;
}

static void answer_smarthost(const struct ask *a, struct work *w)
{
	const struct names_facts *f = names_facts(&a->hosts[0]);
	bool own_name = strcasecmp(a->hop.name, a->resolver->hostname) == 0;
	size_t n;

	if (f->trouble[0] != '\0' && f->status != DNS_OK) {
		fail(w, false, "4.4.3", "DNS lookup of the smarthost %.100s: %s", a->hop.name,
		     f->trouble);
	} else if (f->status == DNS_NXDOMAIN) {
		fail(w, false, "4.3.5", "the smarthost %.100s does not exist", a->hop.name);
	} else if (host_is_own(a, f) || (own_name && a->hop.port == a->resolver->mx_port)) {
		fail(w, false, "4.3.5", "the smarthost %.100s is this relay itself", a->hop.name);
	} else {
		n = put_addresses(f, w->addresses[0]);
		if (n > 0)
			put_host(w, a->hop.name, 0, n, resolve_tls_policy(a, 0));
		else
			fail(w, false, "4.3.5", "the smarthost %.100s has no usable address",
			     a->hop.name);
	}
}

/* A smarthost by address, or a domain that is one. */
static void answer_address(const struct ask *a, struct work *w)
{
	const struct resolver *r = a->resolver;
	bool smarthost = a->hop.kind == HOP_ADDRESS;

	if (!smarthost)
		w->answer.provider = a->hop.name;
	ipaddr_text(&a->hop.ip, w->literal);
	w->addresses[0][0] = a->hop.ip;
	if (!names_address_usable(&a->hop.ip))
		fail(w, !smarthost, smarthost ? "4.3.5" : "5.1.2",
		     "no mail can be sent to the address %s", w->literal);
	else if (a->hop.port == r->mx_port && is_own(r, &a->hop.ip, 1))
		fail(w, !smarthost, smarthost ? "4.3.5" : "5.4.6",
		     "mail for %s would come back here: it is this relay's address", w->literal);
	else if (!smarthost && find_avoided(r, &a->hop.ip, 1) == 0)
		fail(w, true, "5.1.2", "this relay sends nothing to %s for a recipient's asking",
		     w->literal);
	else
		put_host(w, w->literal, 0, 1, NULL);
}

static void make_answer(const struct ask *a, struct work *w)
{
	w->answer =
		(struct resolve_answer){ .hosts = w->hosts, .port = a->hop.port, .provider = "" };
	w->avoided[0] = '\0';
	switch (a->hop.kind) {
	case HOP_DOMAIN:
		answer_domain(a, w);
		break;
	case HOP_HOST:
		answer_smarthost(a, w);
		break;
	case HOP_LITERAL:
	case HOP_ADDRESS:
		answer_address(a, w);
		break;
	case HOP_WRONG:
		fail(w, false, "4.3.5", "'%.200s' is no next hop", a->hop.name);
		break;
	}
}

static struct ask *find(struct resolver *r, uint64_t id)
{
	return RB_FIND(ask_tree, &r->asks, &(struct ask){ .id = id });
}

/* Who is told of the provider may cancel; the answer then goes nowhere. */
static void deliver(struct resolver *r, struct ask *a)
{
	struct work w;
	uint64_t id = a->id;

	make_answer(a, &w);
	if (w.answer.provider[0] != '\0' &&
	    providers_put(r->providers, str_of(a->hop.name), w.answer.provider))
		r->fn(r->arg, str_of(a->hop.name), w.answer.provider);
	a = find(r, id);
	if (a != NULL) {
		take_out(a);
		a->fn(a->arg, &w.answer);
		ask_free(a);
	}
	for (size_t i = 0; i < w.answer.hosts_n; i++)
		tls_policy_unref(&w.policies[i]);
}

static void on_turn(void *arg)
{
	struct resolver *r = OBJ(resolver, RESOLVER_MAGIC, arg);
	struct ask *a;

	for (unsigned i = 0; i < BATCH && (a = TAILQ_FIRST(&r->ready)) != NULL; i++)
		deliver(r, a);
	if (!TAILQ_EMPTY(&r->ready))
		loop_timer_set(r->turn, 0);
}

uint64_t resolver_ask(struct resolver *r, const char *next_hop, unsigned wants, resolve_fn *fn,
		      void *arg)
{
	struct ask *a = xcalloc(1, sizeof(*a));

	a->magic = RESOLVE_ASK_MAGIC;
	a->resolver = r;
	a->id = ++r->last_id;
	a->fn = fn;
	a->arg = arg;
	a->wants = wants;
	RB_INSERT(ask_tree, &r->asks, a);
	a->hop = hop_parse(str_of(next_hop));
	if (a->hop.kind == HOP_DOMAIN || a->hop.kind == HOP_LITERAL)
		a->hop.port = r->mx_port;
	ask_start(a);
	return a->id;
}

void resolver_cancel(struct resolver *r, uint64_t ask)
{
	struct ask *a = find(r, ask);

	if (a == NULL)
		return;
	take_out(a);
	ask_free(a);
}

static void forget_domain(struct names *names, const char *domain)
{
	const struct names_facts *f = names_look(names, NAMES_MX, domain);

	for (size_t i = 0; f != NULL && i < f->hosts_n; i++)
		names_forget(names, NAMES_ADDRESSES, f->hosts[i].name);
	if (f != NULL)
		names_forget(names, NAMES_ADDRESSES, f->name);
	names_forget(names, NAMES_MX, domain);
}

/* What is published about TLS: a mistake there is mended by somebody who then says "retry". */
static void forget_tls(struct resolver *r, const char *domain, uint16_t port)
{
	const struct names_facts *f = names_look(r->names, NAMES_MX, domain);
	char name[DNS_NAME_MAX + 32];

	for (size_t i = 0; f != NULL && i < f->hosts_n; i++) {
		(void)snprintf(name, sizeof(name), "_%u._tcp.%s", (unsigned)port, f->hosts[i].name);
		names_forget(r->names, NAMES_TLSA, name);
	}
	(void)snprintf(name, sizeof(name), "_mta-sts.%.*s", DNS_NAME_MAX, domain);
	names_forget(r->names, NAMES_STS, name);
	if (r->sts != NULL)
		sts_forget(r->sts, domain);
}

void resolver_forget(struct resolver *r, const char *next_hop)
{
	struct hop h;

	if (next_hop == NULL) {
		names_forget_all(r->names);
		if (r->sts != NULL)
			sts_forget_all(r->sts);
		return;
	}
	h = hop_parse(str_of(next_hop));
	if (h.kind == HOP_DOMAIN) {
		forget_tls(r, h.name, r->mx_port);
		forget_domain(r->names, h.name);
	}
	if (h.kind == HOP_HOST)
		names_forget(r->names, NAMES_ADDRESSES, h.name);
	hop_done(&h);
}

int resolver_load_sts(struct resolver *r, const char *domain, const char *json, struct err *err)
{
	return r->sts != NULL ? sts_load(r->sts, domain, json, err) : 0;
}

void resolver_load_provider(struct resolver *r, struct str domain, const char *provider)
{
	(void)providers_put(r->providers, domain, provider);
}

const char *resolver_provider(const struct resolver *r, struct str domain)
{
	return providers_find(r->providers, domain);
}

int resolver_new(struct loop *l, const struct resolver_config *cfg, resolver_provider_fn *fn,
		 void *arg, struct resolver **ret_resolver, struct err *err)
{
	const struct dns_config dns = { .servers = cfg->servers,
					.servers_n = cfg->servers_n,
					.timeout_ms = cfg->dns_timeout_ms,
					.tries = cfg->dns_tries,
					.trust = cfg->trust };
	struct resolver *r;
	struct dns *d = NULL;
	int rc = dns_new(l, &dns, &d, err);

	if (rc < 0)
		return rc;
	r = xcalloc(1, sizeof(*r));
	r->magic = RESOLVER_MAGIC;
	r->dns = d;
	r->hostname = xstrdup(cfg->hostname);
	r->names = names_new(l, d, r->hostname, cfg->cache_max);
	r->providers = providers_new();
	r->mx_port = cfg->mx_port;
	r->own_n = cfg->own_n;
	r->own = xcalloc(cfg->own_n + 1, sizeof(*r->own));
	if (cfg->own_n > 0)
		memcpy(r->own, cfg->own, cfg->own_n * sizeof(*r->own));
	r->avoid_n = cfg->avoid_n;
	r->avoid = xcalloc(cfg->avoid_n + 1, sizeof(*r->avoid));
	if (cfg->avoid_n > 0)
		memcpy(r->avoid, cfg->avoid, cfg->avoid_n * sizeof(*r->avoid));
	if (cfg->sts_trust != NULL)
		r->sts = sts_new(l, r->names,
				 &(struct sts_config){ .trust = cfg->sts_trust,
						       .port = cfg->sts_port,
						       .keep = cfg->sts_keep,
						       .avoid = r->avoid,
						       .avoid_n = r->avoid_n,
						       .arg = arg });
	r->fn = fn;
	r->arg = arg;
	RB_INIT(&r->asks);
	TAILQ_INIT(&r->ready);
	r->turn = loop_timer_new(l, "resolve.turn", on_turn, r);
	*ret_resolver = r;
	return 0;
}

void resolver_free(struct resolver **rp)
{
	struct resolver *r = rp != NULL ? *rp : NULL;
	struct ask *a;

	if (r == NULL)
		return;
	while ((a = RB_ROOT(&r->asks)) != NULL) {
		take_out(a);
		ask_free(a);
	}
	sts_free(&r->sts);
	names_free(&r->names);
	dns_free(&r->dns);
	providers_free(&r->providers);
	loop_timer_free(&r->turn);
	free(r->own);
	free(r->avoid);
	free(r->hostname);
	r->magic = 0;
	free(r);
	*rp = NULL;
}
