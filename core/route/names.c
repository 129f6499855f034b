/*
 * An entry is in the tree from the first question until its time is over, somebody forgets it, or
 * room is needed. It is in the list of the unused (least recently used first) when it has its facts
 * and nobody holds it; only from there entries are thrown out. One that left the tree while it was
 * held lives until the last reference is put back.
 *
 *	asking   dns questions are under way; waiters are called when the last answer is there
 *	held     refs > 0
 *	unused   neither
 */
#include "route/names.h"

#include <bsd/sys/tree.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/mem.h"
#include "base/obj.h"

#define NAMES_MAGIC 0x3a3e0001u
#define ENTRY_MAGIC 0x3a3e0002u
#define QUESTIONS_MAX 2
#define TLSA_HEAD 3	  /* usage, selector, matching */
#define ENTRY_OVERHEAD 64 /* of the allocator, about */

struct names_entry {
	uint32_t magic;
	struct names *names;
	enum names_kind kind;
	bool in_tree;
	bool unused; /* in the list of the unused */
	unsigned refs;
	uint64_t asked[QUESTIONS_MAX]; /* 0: answered */
	enum dns_status status[QUESTIONS_MAX];
	uint32_t ttl_s; /* of what was found */
	size_t bytes;
	int64_t until_ms;
	struct names_facts facts;
	LIST_HEAD(, names_ref) waiters;
	RB_ENTRY(names_entry) node;
	TAILQ_ENTRY(names_entry) next;
	char key[];
};
RB_HEAD(entry_tree, names_entry);

struct names {
	uint32_t magic;
	struct loop *loop;
	struct dns *dns;
	const char *own;
	struct entry_tree tree;
	TAILQ_HEAD(, names_entry) unused;
	size_t max;
	size_t n; /* in the tree */
	size_t bytes;
};

static int entry_cmp(const struct names_entry *a, const struct names_entry *b)
{
	return a->kind != b->kind ? (int)a->kind - (int)b->kind : strcmp(a->key, b->key);
}

RB_GENERATE_INTERNAL(entry_tree, names_entry, node, entry_cmp, static __attribute__((unused)))

static struct names_entry *entry_new(struct names *ns, enum names_kind kind, const char *name)
{
	size_t n = strlen(name);
	struct names_entry *e = xcalloc(1, sizeof(*e) + n + 1);

	e->magic = ENTRY_MAGIC;
	e->names = ns;
	e->kind = kind;
	e->bytes = sizeof(*e) + n + ENTRY_OVERHEAD;
	LIST_INIT(&e->waiters);
	memcpy(e->key, name, n + 1);
	return e;
}

static struct names_entry *find(const struct names *ns, enum names_kind kind, const char *name)
{
	struct names_entry *e = RB_ROOT(&ns->tree);

	while (e != NULL) {
		int d = kind != e->kind ? (int)kind - (int)e->kind : strcmp(name, e->key);
		if (d == 0)
			break;
		e = d < 0 ? RB_LEFT(e, node) : RB_RIGHT(e, node);
	}
	return e;
}

static bool asking(const struct names_entry *e)
{
	return e->asked[0] != 0 || e->asked[1] != 0;
}

static void entry_free(struct names_entry *e)
{
	struct names_facts *f = &e->facts;

	for (size_t i = 0; i < QUESTIONS_MAX; i++)
		if (e->asked[i] != 0)
			dns_cancel(e->names->dns, e->asked[i]);
	for (size_t i = 0; i < f->hosts_n; i++)
		mem_auto_free(&f->hosts[i].name);
	free(f->hosts);
	free(f->v6);
	free(f->v4);
	for (size_t i = 0; i < f->tlsa_n; i++)
		free((void *)(uintptr_t)f->tlsa[i].data);
	free(f->tlsa);
	free(f->sts_id);
	free(f->site_host);
	free(f->name);
	e->magic = 0;
	free(e);
}

static void leave_tree(struct names_entry *e)
{
	struct names *ns = e->names;

	if (!e->in_tree)
		return;
	RB_REMOVE(entry_tree, &ns->tree, e);
	e->in_tree = false;
	ns->n--;
	ns->bytes -= e->bytes;
}

/* Files an entry that nobody holds: for reuse, or away. */
static void settle(struct names_entry *e)
{
	struct names *ns = e->names;

	if (e->refs > 0)
		return;
	if (!e->in_tree) {
		entry_free(e);
		return;
	}
	if (asking(e))
		return;
	TAILQ_INSERT_TAIL(&ns->unused, e, next);
	e->unused = true;
	while ((ns->n > ns->max || ns->bytes > RESOLVE_CACHE_BYTES) &&
	       (e = TAILQ_FIRST(&ns->unused)) != NULL) {
		TAILQ_REMOVE(&ns->unused, e, next);
		leave_tree(e);
		entry_free(e);
	}
}

static void hold(struct names_entry *e)
{
	if (e->unused)
		TAILQ_REMOVE(&e->names->unused, e, next);
	e->unused = false;
	e->refs++;
}

static void release(struct names_entry *e)
{
	ASSERT(e->refs > 0);
	e->refs--;
	settle(e);
}

/* --- answers ---------------------------------------------------------------------------------- */

bool names_host_valid(const char *name)
{
	struct ipaddr ip;
	size_t n = strlen(name);

	if (n == 0 || n > DNS_NAME_MAX || ipaddr_parse(str_of(name), &ip))
		return false;
	return strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789-_.") == n;
}

bool names_address_usable(const struct ipaddr *a)
{
	static const struct ipaddr none = { .b = { 0 } };
	static const uint8_t broadcast[4] = { 255, 255, 255, 255 };
	const uint8_t *v4 = a->b + 12;

	if (ipaddr_is_v4(a))
		return v4[0] != 0 && (v4[0] & 0xf0) != 0xe0 &&
		       memcmp(v4, broadcast, sizeof(broadcast)) != 0;
	return !ipaddr_eq(a, &none) && a->b[0] != 0xff;
}

static void take_addresses(const struct dns_answer *a, struct ipaddr **list, size_t *n)
{
	*list = xcalloc(RESOLVE_ADDRESSES_MAX, sizeof(**list));
	for (size_t i = 0; i < a->records_n && *n < RESOLVE_ADDRESSES_MAX; i++) {
		const struct ipaddr *ip = &a->records[i].ip;
		bool known = false;
		for (size_t k = 0; k < *n; k++)
			known |= ipaddr_eq(&(*list)[k], ip);
		if (!known && names_address_usable(ip))
			(*list)[(*n)++] = *ip;
	}
	*list = xreallocarray(*list, *n + 1, sizeof(**list));
}

struct candidate {
	const char *host;
	uint32_t random;
	uint16_t preference;
};

static int by_name(const void *x, const void *y)
{
	const struct candidate *a = x;
	const struct candidate *b = y;
	int d = strcmp(a->host, b->host);

	return d != 0 ? d : (int)a->preference - (int)b->preference;
}

static int by_preference(const void *x, const void *y)
{
	const struct candidate *a = x;
	const struct candidate *b = y;

	if (a->preference != b->preference)
		return (int)a->preference - (int)b->preference;
	return a->random < b->random ? -1 : a->random > b->random;
}

/* Among all hosts, also those that there is no room for: ourselves, and who is the site. */
static void note_hosts(struct names_entry *e, const struct candidate *c, size_t n)
{
	struct names_facts *f = &e->facts;
	const struct candidate *best = NULL;

	for (size_t i = 0; i < n; i++) {
		if (strcasecmp(c[i].host, e->names->own) == 0) {
			f->own = true;
			f->own_preference = c[i].preference;
		}
		if (best == NULL || c[i].preference < best->preference)
			best = &c[i];
	}
	f->site_host = best != NULL ? xstrdup(best->host) : NULL;
}

static void keep_hosts(struct names_facts *f, const struct candidate *c, size_t n)
{
	f->hosts_n = n < RESOLVE_HOSTS_MAX ? n : RESOLVE_HOSTS_MAX;
	f->hosts = xcalloc(f->hosts_n + 1, sizeof(*f->hosts));
	for (size_t i = 0; i < f->hosts_n; i++)
		f->hosts[i] = (struct names_host){ .name = xstrdup(c[i].host),
						   .preference = c[i].preference };
}

static void take_mx(struct names_entry *e, const struct dns_answer *a)
{
	struct candidate c[DNS_RECORDS_MAX];
	size_t n = 0;
	size_t unique = 0;

	for (size_t i = 0; i < a->records_n && n < DNS_RECORDS_MAX; i++) {
		e->facts.null_mx |= a->records[i].host[0] == '\0';
		if (names_host_valid(a->records[i].host))
			c[n++] = (struct candidate){ .host = a->records[i].host,
						     .random = arc4random(),
						     .preference = a->records[i].preference };
	}
	/* The root is a null MX only when nothing else is there (RFC 7505, 3). */
	e->facts.null_mx &= n == 0;
	qsort(c, n, sizeof(c[0]), by_name);
	for (size_t i = 0; i < n; i++)
		if (unique == 0 || strcmp(c[unique - 1].host, c[i].host) != 0)
			c[unique++] = c[i];
	note_hosts(e, c, unique);
	qsort(c, unique, sizeof(c[0]), by_preference);
	keep_hosts(&e->facts, c, unique);
}

static void take_tlsa(struct names_facts *f, const struct dns_answer *a)
{
	f->tlsa = xcalloc(a->records_n + 1, sizeof(*f->tlsa));
	for (size_t i = 0; i < a->records_n && f->tlsa_n < NAMES_TLSA_MAX; i++) {
		struct str s = a->records[i].text;
		const uint8_t *p = (const uint8_t *)s.p;
		if (s.n < TLSA_HEAD)
			continue;
		f->tlsa[f->tlsa_n++] = (struct tls_tlsa){ .usage = p[0],
							  .selector = p[1],
							  .matching = p[2],
							  .data = (uint8_t *)xstrndup(
								  s.p + TLSA_HEAD, s.n - TLSA_HEAD),
							  .n = s.n - TLSA_HEAD };
	}
}

/* Other TXT records there are none of MTA-STS' business; two of its own are as good as none. */
static void take_sts(struct names_facts *f, const struct dns_answer *a)
{
	char id[STS_ID_MAX + 1];
	size_t n = 0;
	bool good = false;

	for (size_t i = 0; i < a->records_n; i++) {
		if (!sts_record_is(a->records[i].text))
			continue;
		n++;
		good = sts_record_parse(a->records[i].text, id);
	}
	f->sts_wrong = n > 1 || (n == 1 && !good);
	if (n == 1 && good)
		f->sts_id = xstrdup(id);
}

static size_t facts_bytes(const struct names_facts *f)
{
	size_t n = strlen(f->name) + ENTRY_OVERHEAD;

	for (size_t i = 0; i < f->hosts_n; i++)
		n += sizeof(f->hosts[i]) + strlen(f->hosts[i].name) + ENTRY_OVERHEAD;
	if (f->site_host != NULL)
		n += strlen(f->site_host) + ENTRY_OVERHEAD;
	for (size_t i = 0; i < f->tlsa_n; i++)
		n += sizeof(f->tlsa[i]) + f->tlsa[i].n + ENTRY_OVERHEAD;
	return n + (f->v4_n + f->v6_n) * sizeof(struct ipaddr);
}

/* The verdict over one or two answers, and how long it holds. */
static void conclude(struct names_entry *e)
{
	struct names_facts *f = &e->facts;
	enum dns_status a = e->status[0];
	enum dns_status b = e->kind == NAMES_ADDRESSES ? e->status[1] : a;
	int64_t keep_s = RESOLVE_FAIL_S;

	if (a == DNS_OK || b == DNS_OK)
		f->status = DNS_OK;
	else if (a == DNS_TROUBLE || b == DNS_TROUBLE)
		f->status = DNS_TROUBLE;
	else
		f->status = a == DNS_NXDOMAIN && b == DNS_NXDOMAIN ? DNS_NXDOMAIN : DNS_NODATA;
	f->secure &= f->status != DNS_TROUBLE;
	if (f->trouble == NULL)
		f->trouble = "";
	if (f->status == DNS_OK && f->trouble[0] == '\0') {
		keep_s = e->ttl_s < RESOLVE_TTL_MAX_S ? e->ttl_s : RESOLVE_TTL_MAX_S;
		keep_s = keep_s > RESOLVE_TTL_MIN_S ? keep_s : RESOLVE_TTL_MIN_S;
	}
	if ((e->kind == NAMES_TLSA || e->kind == NAMES_STS) &&
	    (f->status == DNS_NODATA || f->status == DNS_NXDOMAIN))
		keep_s = NAMES_NONE_S;
	e->until_ms = loop_now_ms(e->names->loop) + keep_s * 1000;
	if (e->in_tree)
		e->names->bytes += facts_bytes(f);
	e->bytes += facts_bytes(f);
}

static void take_records(struct names_entry *e, size_t i, const struct dns_answer *a)
{
	struct names_facts *f = &e->facts;

	switch (e->kind) {
	case NAMES_MX:
		take_mx(e, a);
		break;
	case NAMES_ADDRESSES:
		if (i == 0)
			take_addresses(a, &f->v6, &f->v6_n);
		else
			take_addresses(a, &f->v4, &f->v4_n);
		break;
	case NAMES_TLSA:
		take_tlsa(f, a);
		break;
	case NAMES_STS:
		take_sts(f, a);
		break;
	}
}

static void take_answer(struct names_entry *e, size_t i, const struct dns_answer *a)
{
	struct names_facts *f = &e->facts;

	e->asked[i] = 0;
	e->status[i] = a->status;
	if (a->status == DNS_TROUBLE)
		f->trouble = a->trouble;
	else
		f->secure &= a->secure;
	if (f->name == NULL)
		f->name = xstrdup(a->name);
	if (a->status == DNS_OK) {
		if (a->ttl_s < e->ttl_s)
			e->ttl_s = a->ttl_s;
		take_records(e, i, a);
	}
	if (e->kind == NAMES_MX && a->status == DNS_NODATA)
		f->own = strcasecmp(a->name, e->names->own) == 0;
	if (!asking(e))
		conclude(e);
}

static void on_answer(struct names_entry *e, size_t i, const struct dns_answer *a)
{
	struct names_ref *ref;

	take_answer(e, i, a);
	if (asking(e))
		return;
	hold(e); /* while it is told around */
	while ((ref = LIST_FIRST(&e->waiters)) != NULL) {
		LIST_REMOVE(ref, next);
		ref->waits = false;
		ref->fn(ref->arg);
	}
	release(e);
}

static void on_first(void *arg, const struct dns_answer *a)
{
	on_answer(OBJ(names_entry, ENTRY_MAGIC, arg), 0, a);
}

static void on_second(void *arg, const struct dns_answer *a)
{
	on_answer(OBJ(names_entry, ENTRY_MAGIC, arg), 1, a);
}

static void ask(struct names_entry *e)
{
	static const enum dns_type types[] = { [NAMES_MX] = DNS_TYPE_MX,
					       [NAMES_ADDRESSES] = DNS_TYPE_AAAA,
					       [NAMES_TLSA] = DNS_TYPE_TLSA,
					       [NAMES_STS] = DNS_TYPE_TXT };
	struct dns *d = e->names->dns;

	e->ttl_s = UINT32_MAX;
	e->facts.secure = true;
	e->asked[0] = dns_ask(d, e->key, types[e->kind], on_first, e);
	if (e->kind == NAMES_ADDRESSES)
		e->asked[1] = dns_ask(d, e->key, DNS_TYPE_A, on_second, e);
}

/* --- references ------------------------------------------------------------------------------- */

/* Out of the tree; gone at once when nobody needs it. */
static void drop(struct names_entry *e)
{
	leave_tree(e);
	if (e->unused)
		TAILQ_REMOVE(&e->names->unused, e, next);
	if (e->refs == 0)
		entry_free(e);
}

void names_get(struct names *ns, enum names_kind kind, const char *name, struct names_ref *ref,
	       names_fn *fn, void *arg)
{
	struct names_entry *e = find(ns, kind, name);

	if (e != NULL && !asking(e) && e->until_ms <= loop_now_ms(ns->loop)) {
		drop(e);
		e = NULL;
	}
	if (e == NULL) {
		e = entry_new(ns, kind, name);
		RB_INSERT(entry_tree, &ns->tree, e);
		e->in_tree = true;
		ns->n++;
		ns->bytes += e->bytes;
		ask(e);
	}
	hold(e);
	*ref = (struct names_ref){ .entry = e, .fn = fn, .arg = arg };
	ref->waits = asking(e);
	if (ref->waits)
		LIST_INSERT_HEAD(&e->waiters, ref, next);
}

void names_put(struct names_ref *ref)
{
	struct names_entry *e = ref->entry;

	if (e == NULL)
		return;
	if (ref->waits)
		LIST_REMOVE(ref, next);
	*ref = (struct names_ref){ .entry = NULL };
	release(e);
}

const struct names_facts *names_facts(const struct names_ref *ref)
{
	return ref->entry != NULL && !asking(ref->entry) ? &ref->entry->facts : NULL;
}

const char *names_key(const struct names_ref *ref)
{
	return ref->entry->key;
}

const struct names_facts *names_look(const struct names *ns, enum names_kind kind, const char *name)
{
	const struct names_entry *e = find(ns, kind, name);

	return e != NULL && !asking(e) ? &e->facts : NULL;
}

void names_forget(struct names *ns, enum names_kind kind, const char *name)
{
	struct names_entry *e = find(ns, kind, name);

	if (e != NULL)
		drop(e);
}

void names_forget_all(struct names *ns)
{
	struct names_entry *e;

	while ((e = RB_ROOT(&ns->tree)) != NULL)
		drop(e);
}

struct names *names_new(struct loop *l, struct dns *d, const char *own, size_t max)
{
	struct names *ns = xcalloc(1, sizeof(*ns));

	ns->magic = NAMES_MAGIC;
	ns->loop = l;
	ns->dns = d;
	ns->own = own;
	ns->max = max != 0 ? max : RESOLVE_CACHE_MAX;
	RB_INIT(&ns->tree);
	TAILQ_INIT(&ns->unused);
	return ns;
}

void names_free(struct names **np)
{
	struct names *ns = np != NULL ? *np : NULL;
	struct names_entry *e;

	if (ns == NULL)
		return;
	while ((e = RB_ROOT(&ns->tree)) != NULL) {
		leave_tree(e);
		ASSERT(e->refs == 0);
		entry_free(e);
	}
	free(ns);
	*np = NULL;
}
