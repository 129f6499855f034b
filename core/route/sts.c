/*
 * An entry's steps:
 *
 *	IDLE    nothing is under way
 *	RECORD  asks for the TXT record                -> IDLE, HOST
 *	HOST    asks for the policy host's addresses   -> FETCH; IDLE when there are none
 *	FETCH   https                                  -> IDLE
 *
 * Who waits is called at IDLE; with `behind` set the policy that is kept still holds, HOST and
 *FETCH only renew it, and nobody waits. An entry that nobody holds and that has neither a policy
 *nor a failure to remember goes at once: that a domain has no TXT record, names.c remembers.
 */
#include "route/sts.h"

#include <bsd/sys/tree.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/json.h"
#include "base/mem.h"
#include "base/obj.h"
#include "loop/loop.h"
#include "net/https.h"
#include "route/names.h"

#define STS_MAGIC 0x57550001u
#define STS_ENTRY_MAGIC 0x57550002u
#define POLICY_PATH "/.well-known/mta-sts.txt"
#define TROUBLE_MAX 200

enum step { IDLE, RECORD, HOST, FETCH };

struct sts_entry {
	uint32_t magic;
	struct sts *sts;
	enum step step;
	bool behind;
	bool unused; /* in the list of the unused */
	unsigned refs;
	bool has_policy;
	struct sts_policy policy;
	char id[STS_ID_MAX + 1]; /* of the record that announced it */
	int64_t fetched_ms;	 /* wall clock */
	int64_t until_ms;	 /* wall clock */
	int64_t check_ms;	 /* the record is looked at from then on */
	int64_t again_ms;	 /* nothing is fetched before */
	char trouble[TROUBLE_MAX];
	char new_id[STS_ID_MAX + 1];
	struct names_ref record;
	struct names_ref host;
	uint64_t get;
	LIST_HEAD(, sts_ref) waiters;
	RB_ENTRY(sts_entry) node;
	TAILQ_ENTRY(sts_entry) next;
	char domain[];
};
RB_HEAD(sts_tree, sts_entry);

struct sts {
	uint32_t magic;
	struct loop *loop;
	struct names *names;
	struct https *https;
	struct sts_config cfg;
	struct sts_tree tree;
	TAILQ_HEAD(, sts_entry) unused; /* least recently used first */
	size_t n;
};

static int entry_cmp(const struct sts_entry *a, const struct sts_entry *b)
{
	return strcmp(a->domain, b->domain);
}

#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wnull-dereference" /* the tree's macros */
RB_GENERATE_INTERNAL(sts_tree, sts_entry, node, entry_cmp, static __attribute__((unused)))
#pragma GCC diagnostic pop

static struct sts_entry *find(const struct sts *s, const char *domain)
{
	struct sts_entry *e = RB_ROOT(&s->tree);

	while (e != NULL) {
		int d = strcmp(domain, e->domain);
		if (d == 0)
			break;
		e = d < 0 ? RB_LEFT(e, node) : RB_RIGHT(e, node);
	}
	return e;
}

static struct sts_entry *entry_new(struct sts *s, const char *domain)
{
	size_t n = strlen(domain);
	struct sts_entry *e = xcalloc(1, sizeof(*e) + n + 1);

	e->magic = STS_ENTRY_MAGIC;
	e->sts = s;
	LIST_INIT(&e->waiters);
	memcpy(e->domain, domain, n + 1);
	RB_INSERT(sts_tree, &s->tree, e);
	s->n++;
	return e;
}

static void stop(struct sts_entry *e)
{
	names_put(&e->record);
	names_put(&e->host);
	if (e->get != 0)
		https_cancel(e->sts->https, e->get);
	e->get = 0;
	e->step = IDLE;
	e->behind = false;
}

static void entry_free(struct sts_entry *e)
{
	struct sts *s = e->sts;

	stop(e);
	RB_REMOVE(sts_tree, &s->tree, e);
	s->n--;
	sts_policy_done(&e->policy);
	e->magic = 0;
	free(e);
}

static void drop_policy(struct sts_entry *e)
{
	if (!e->has_policy)
		return;
	e->has_policy = false;
	sts_policy_done(&e->policy);
	e->sts->cfg.keep(e->sts->cfg.arg, e->domain, NULL);
}

/* Files an entry that nobody holds: for reuse, or away. */
static void settle(struct sts_entry *e)
{
	struct sts *s = e->sts;

	if (e->refs > 0 || e->step != IDLE || e->unused)
		return;
	if (!e->has_policy && e->again_ms <= loop_now_ms(s->loop)) {
		entry_free(e);
		return;
	}
	TAILQ_INSERT_TAIL(&s->unused, e, next);
	e->unused = true;
	while (s->n > s->cfg.domains_max && (e = TAILQ_FIRST(&s->unused)) != NULL) {
		TAILQ_REMOVE(&s->unused, e, next);
		drop_policy(e);
		entry_free(e);
	}
}

static void hold(struct sts_entry *e)
{
	if (e->unused)
		TAILQ_REMOVE(&e->sts->unused, e, next);
	e->unused = false;
	e->refs++;
}

static void release(struct sts_entry *e)
{
	ASSERT(e->refs > 0);
	e->refs--;
	settle(e);
}

static void tell(struct sts_entry *e)
{
	struct sts_ref *ref;

	hold(e); /* while it is told around */
	while ((ref = LIST_FIRST(&e->waiters)) != NULL) {
		LIST_REMOVE(ref, next);
		ref->waits = false;
		ref->fn(ref->arg);
	}
	release(e);
}

static void set_trouble(struct sts_entry *e, const char *fmt, ...) PRINTF_LIKE(2, 3);

static void set_trouble(struct sts_entry *e, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	(void)vsnprintf(e->trouble, sizeof(e->trouble), fmt, ap);
	va_end(ap);
}

/* --- the policy ------------------------------------------------------------------------------- */

static void keep(struct sts_entry *e)
{
	AUTO_FREE char *text = sts_policy_text(&e->policy);
	AUTO_FREE char *json = NULL;
	json_t *o = json_pack("{s:s, s:I, s:I, s:s}", "id", e->id, "fetched_ms",
			      (json_int_t)e->fetched_ms, "until_ms", (json_int_t)e->until_ms,
			      "policy", text);

	json = json_dumps(o, JSON_COMPACT);
	json_decref(o);
	e->sts->cfg.keep(e->sts->cfg.arg, e->domain, json);
}

static void fetch_failed(struct sts_entry *e)
{
	e->again_ms = loop_now_ms(e->sts->loop) + (int64_t)STS_AGAIN_S * 1000;
	stop(e);
	tell(e);
}

static bool is_plain_text(const char *type)
{
	struct str rest = str_of(type);

	return str_eq_nocase(str_trim(str_cut(&rest, ';')), STR("text/plain"));
}

/* What was fetched becomes the policy, or says why not. */
static bool take_document(struct sts_entry *e, const struct https_answer *a)
{
	struct sts_policy p;
	struct err err = ERR_INIT;

	if (a->trouble != NULL)
		set_trouble(e, "https://mta-sts.%.80s: %.100s", e->domain, a->trouble);
	else if (a->status != 200)
		set_trouble(e, "https://mta-sts.%.120s answers with status %d", e->domain,
			    a->status);
	else if (!is_plain_text(a->content_type))
		set_trouble(e, "https://mta-sts.%.80s does not answer with text/plain, but %.60s",
			    e->domain, a->content_type);
	else if (sts_policy_parse(a->body, &p, &err) < 0)
		set_trouble(e, "the policy at https://mta-sts.%.80s is wrong: %.80s", e->domain,
			    err.msg);
	else {
		sts_policy_done(&e->policy);
		e->policy = p;
		return true;
	}
	return false;
}

static void on_document(void *arg, const struct https_answer *a)
{
	struct sts_entry *e = OBJ(sts_entry, STS_ENTRY_MAGIC, arg);

	e->get = 0;
	if (!take_document(e, a)) {
		fetch_failed(e);
		return;
	}
	e->has_policy = true;
	e->trouble[0] = '\0';
	memcpy(e->id, e->new_id, sizeof(e->id));
	e->fetched_ms = loop_wall_ms(e->sts->loop);
	e->until_ms = e->fetched_ms + e->policy.max_age_s * 1000;
	keep(e);
	stop(e);
	tell(e);
}

static bool is_avoided(const struct sts *s, const struct ipaddr *a)
{
	for (size_t i = 0; i < s->cfg.avoid_n; i++)
		if (ipnet_has(&s->cfg.avoid[i], a))
			return true;
	return false;
}

static size_t put_addresses(const struct sts *s, struct ipaddr *to, size_t n,
			    const struct ipaddr *from, size_t from_n)
{
	for (size_t i = 0; i < from_n && n < HTTPS_ADDRESSES_MAX; i++)
		if (!is_avoided(s, &from[i]))
			to[n++] = from[i];
	return n;
}

static void take_host(struct sts_entry *e)
{
	const struct names_facts *f = names_facts(&e->host);
	struct ipaddr list[HTTPS_ADDRESSES_MAX];
	char host[DNS_NAME_MAX + 1];
	size_t n = put_addresses(e->sts, list, 0, f->v6, f->v6_n);

	n = put_addresses(e->sts, list, n, f->v4, f->v4_n);
	(void)snprintf(host, sizeof(host), "mta-sts.%s", e->domain);
	if (n == 0) {
		set_trouble(e, "%.120s, which has its policy, has no address that can be used%s%s",
			    host, f->trouble[0] != '\0' ? ": " : "", f->trouble);
		fetch_failed(e);
		return;
	}
	e->step = FETCH;
	e->get = https_get(e->sts->https,
			   &(struct https_request){ .host = host,
						    .port = e->sts->cfg.port,
						    .path = POLICY_PATH,
						    .addresses = list,
						    .addresses_n = n,
						    .body_max = STS_TEXT_MAX,
						    .timeout_ms = STS_FETCH_MS },
			   on_document, e);
	names_put(&e->host);
}

static void on_host(void *arg)
{
	take_host(OBJ(sts_entry, STS_ENTRY_MAGIC, arg));
}

/* --- the record ------------------------------------------------------------------------------- */

static void ask(struct sts_entry *e, enum names_kind kind, const char *prefix,
		struct names_ref *ref, names_fn *fn)
{
	char name[DNS_NAME_MAX + 16];

	(void)snprintf(name, sizeof(name), "%s.%s", prefix, e->domain);
	names_get(e->sts->names, kind, name, ref, fn, e);
}

static bool is_due(const struct sts_entry *e)
{
	int64_t age = loop_wall_ms(e->sts->loop) - e->fetched_ms;

	return age > (int64_t)STS_REFRESH_S * 1000 || age > e->policy.max_age_s * 500;
}

static void begin_fetch(struct sts_entry *e, bool behind)
{
	e->step = HOST;
	e->behind = behind;
	ask(e, NAMES_ADDRESSES, "mta-sts", &e->host, on_host);
	if (behind)
		tell(e);
	if (names_facts(&e->host) != NULL)
		take_host(e);
}

static void take_record(struct sts_entry *e)
{
	const struct names_facts *f = names_facts(&e->record);
	const char *id = f->sts_id;
	int64_t now = loop_now_ms(e->sts->loop);
	bool same;

	e->check_ms = now + (int64_t)STS_CHECK_S * 1000;
	if (e->has_policy && e->until_ms <= loop_wall_ms(e->sts->loop))
		drop_policy(e);
	same = id != NULL && e->has_policy && strcmp(id, e->id) == 0;
	if (id == NULL && f->trouble[0] != '\0')
		set_trouble(e, "DNS lookup of _mta-sts.%.100s: %s", e->domain, f->trouble);
	else if (id == NULL && f->status == DNS_OK && f->sts_wrong)
		set_trouble(e, "the record at _mta-sts.%.120s is wrong", e->domain);
	else if (id == NULL)
		e->trouble[0] = '\0';
	if (id == NULL || (same && !is_due(e)) || e->again_ms > now) {
		stop(e);
		tell(e);
		return;
	}
	memcpy(e->new_id, id, strlen(id) + 1);
	names_put(&e->record);
	begin_fetch(e, same);
}

static void on_record(void *arg)
{
	take_record(OBJ(sts_entry, STS_ENTRY_MAGIC, arg));
}

static void begin(struct sts_entry *e)
{
	e->step = RECORD;
	ask(e, NAMES_STS, "_mta-sts", &e->record, on_record);
	if (names_facts(&e->record) != NULL)
		take_record(e);
}

/* --- references ------------------------------------------------------------------------------- */

static bool waits(const struct sts_entry *e)
{
	return e->step != IDLE && !e->behind;
}

void sts_get(struct sts *s, const char *domain, struct sts_ref *ref, sts_fn *fn, void *arg)
{
	struct sts_entry *e = find(s, domain);

	if (e == NULL)
		e = entry_new(s, domain);
	hold(e);
	*ref = (struct sts_ref){ .entry = e, .fn = fn, .arg = arg };
	if (e->step == IDLE && e->check_ms <= loop_now_ms(s->loop))
		begin(e);
	ref->waits = waits(e);
	if (ref->waits)
		LIST_INSERT_HEAD(&e->waiters, ref, next);
}

void sts_put(struct sts_ref *ref)
{
	struct sts_entry *e = ref->entry;

	if (e == NULL)
		return;
	if (ref->waits)
		LIST_REMOVE(ref, next);
	*ref = (struct sts_ref){ .entry = NULL };
	release(e);
}

bool sts_facts(const struct sts_ref *ref, struct sts_facts *ret)
{
	const struct sts_entry *e = ref->entry;

	if (e == NULL || ref->waits)
		return false;
	/* it may have ended since the record was looked at */
	*ret = (struct sts_facts){ .policy =
					   e->has_policy && e->until_ms > loop_wall_ms(e->sts->loop)
						   ? &e->policy
						   : NULL,
				   .until_ms = e->until_ms,
				   .trouble = e->trouble };
	return true;
}

void sts_forget(struct sts *s, const char *domain)
{
	struct sts_entry *e = find(s, domain);

	if (e != NULL)
		e->check_ms = e->again_ms = 0;
}

void sts_forget_all(struct sts *s)
{
	struct sts_entry *e;

	RB_FOREACH(e, sts_tree, &s->tree)
	e->check_ms = e->again_ms = 0;
}

/* --- making ----------------------------------------------------------------------------------- */

int sts_load(struct sts *s, const char *domain, const char *json, struct err *err)
{
	struct sts_policy p;
	struct sts_entry *e;
	const char *id;
	json_t *o = NULL;
	int rc = json_read(json, &o, err);

	if (rc < 0) {
		(void)err_prefix(err, "the MTA-STS policy of %s", domain);
		return rc;
	}
	id = json_get_str(o, "id");
	rc = sts_policy_parse(str_of(json_get_str(o, "policy")), &p, err);
	if (rc < 0 || strlen(id) > STS_ID_MAX || find(s, domain) != NULL) {
		json_decref(o);
		if (rc >= 0)
			sts_policy_done(&p);
		return err_set(err, ERR_CORRUPT, "the MTA-STS policy of %s", domain);
	}
	if (json_get_int(o, "until_ms") <= loop_wall_ms(s->loop)) {
		sts_policy_done(&p);
		json_decref(o);
		s->cfg.keep(s->cfg.arg, domain, NULL);
		return 0;
	}
	e = entry_new(s, domain);
	e->has_policy = true;
	e->policy = p;
	memcpy(e->id, id, strlen(id) + 1);
	e->fetched_ms = json_get_int(o, "fetched_ms");
	e->until_ms = json_get_int(o, "until_ms");
	json_decref(o);
	settle(e);
	return 0;
}

struct sts *sts_new(struct loop *l, struct names *names, const struct sts_config *cfg)
{
	struct sts *s = xcalloc(1, sizeof(*s));

	s->magic = STS_MAGIC;
	s->loop = l;
	s->names = names;
	s->cfg = *cfg;
	if (s->cfg.domains_max == 0)
		s->cfg.domains_max = STS_DOMAINS_MAX;
	s->https = https_new(l, cfg->trust);
	RB_INIT(&s->tree);
	TAILQ_INIT(&s->unused);
	return s;
}

void sts_free(struct sts **sp)
{
	struct sts *s = sp != NULL ? *sp : NULL;
	struct sts_entry *e;

	if (s == NULL)
		return;
	while ((e = RB_ROOT(&s->tree)) != NULL) {
		ASSERT(e->refs == 0);
		entry_free(e);
	}
	https_free(&s->https);
	s->magic = 0;
	free(s);
	*sp = NULL;
}
