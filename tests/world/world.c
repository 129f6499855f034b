/*
 * The table of domains.def is one row a domain with its behaviour in the words of the `set`
 * command, so that the table, the command and --help cannot differ.
 */
#include "world/world.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>

#include "base/fmt.h"
#include "base/mem.h"
#include "base/obj.h"
#include "base/utf8.h"

/* How often the recipient of a tagged message got it. */
struct tag {
	RB_ENTRY(tag) entry;
	size_t value_n;
	int64_t count;
	char text[]; /* value, a tab, recipient */
};

static int tag_cmp(const struct tag *a, const struct tag *b)
{
	return strcmp(a->text, b->text);
}
RB_GENERATE_INTERNAL(tags, tag, entry, tag_cmp, __attribute__((unused)) static)

static const struct site site_rows[SITE__COUNT] = {
#define SITE(id, addr, name, text)                                                                 \
	[SITE_##id] = { .address = (addr), .host = (name), .banner = (text), .owner = -1 },
#include "world/sites.def"
#undef SITE
};

struct domain_row {
	const char *name;
	unsigned weight;
	struct mx mx[WORLD_MX_MAX];
	const char *words;
};

#define MX(pref, name, id) { .preference = (pref), .host = (name), .site = SITE_##id },
static const struct domain_row domain_rows[] = {
#define DOMAIN(nm, share, records, behaviour_words)                                                \
	{ .name = (nm), .weight = (share), .mx = { records }, .words = (behaviour_words) },
#include "world/domains.def"
#undef DOMAIN
};
#undef MX

struct world *world_new(struct loop *loop, size_t keep, uint64_t seed)
{
	struct world *w = xcalloc(1, sizeof(*w));
	struct err err = ERR_INIT;

	w->loop = loop;
	w->keep = keep;
	w->random = seed;
	RB_INIT(&w->tags);
	memcpy(w->sites, site_rows, sizeof(w->sites));
	w->domains_n = ARRAY_LEN(domain_rows);
	w->domains = xcalloc(w->domains_n, sizeof(*w->domains));
	for (size_t i = 0; i < w->domains_n; i++) {
		const struct domain_row *row = &domain_rows[i];
		struct domain *d = &w->domains[i];

		d->name = row->name;
		d->weight = row->weight;
		d->last = BUF_INIT(CONTENT_HEAD_MAX);
		d->records = xcalloc(keep, sizeof(*d->records));
		for (; d->mx_n < WORLD_MX_MAX && row->mx[d->mx_n].host != NULL; d->mx_n++) {
			struct mx mx = row->mx[d->mx_n];

			d->mx[d->mx_n] = mx;
			if (w->sites[mx.site].owner < 0)
				w->sites[mx.site].owner = (int)i;
		}
		if (world_set(w, d, row->words, &err) < 0)
			BUG("domains.def: %s: %s", d->name, err.msg);
	}
	for (size_t i = 0; i < SITE__COUNT; i++)
		ASSERT(w->sites[i].owner >= 0);
	return w;
}

static void forget_accepted(struct world *w)
{
	struct tag *t;

	while ((t = RB_MIN(tags, &w->tags)) != NULL) {
		RB_REMOVE(tags, &w->tags, t);
		free(t);
	}
	w->tags_n = 0;
	w->tags_overflow = 0;
	for (size_t i = 0; i < w->domains_n; i++) {
		for (size_t k = 0; k < w->keep; k++) {
			json_decref(w->domains[i].records[k]);
			w->domains[i].records[k] = NULL;
		}
		buf_reset(&w->domains[i].last);
	}
}

void world_free(struct world **wp)
{
	struct world *w = wp != NULL ? *wp : NULL;

	if (w == NULL)
		return;
	forget_accepted(w);
	for (size_t i = 0; i < w->domains_n; i++) {
		struct domain *d = &w->domains[i];

		behaviour_state_done(&d->state);
		buf_done(&d->last);
		free(d->records);
		free(d->words);
	}
	free(w->domains);
	free(w);
	*wp = NULL;
}

/* SplitMix64: small, and the same mail for the same seed. */
uint64_t world_random(struct world *w)
{
	uint64_t z = (w->random += 0x9e3779b97f4a7c15u);

	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
	z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
	return z ^ (z >> 31);
}

struct domain *world_domain(struct world *w, struct str name)
{
	if (name.n > 0 && name.p[name.n - 1] == '.')
		name.n--;
	for (size_t i = 0; i < w->domains_n; i++) {
		struct str row = str_of(w->domains[i].name);

		if (str_eq_nocase(row, name) ||
		    (row.p[0] == '*' && str_ends_nocase(name, str_from(row.p + 1, row.n - 1))))
			return &w->domains[i];
	}
	return NULL;
}

struct domain *world_domain_of(struct world *w, struct str address)
{
	size_t at = address.n;

	while (at > 0 && address.p[at - 1] != '@')
		at--;
	return at == 0 ? NULL : world_domain(w, str_from(address.p + at, address.n - at));
}

unsigned domain_mx_of(const struct domain *d, enum site_id site)
{
	for (unsigned i = 0; i < d->mx_n; i++)
		if (d->mx[i].site == site)
			return i + 1;
	return 0;
}

struct domain *site_owner(struct world *w, enum site_id site)
{
	return &w->domains[w->sites[site].owner];
}

bool site_is_down(struct world *w, enum site_id site)
{
	const struct domain *owner = site_owner(w, site);

	return behaviour_is_down(&owner->behaviour, domain_mx_of(owner, site));
}

socklen_t site_sockaddr(const struct site *s, uint16_t port, struct sockaddr_storage *ret)
{
	struct sockaddr_in *v4 = (struct sockaddr_in *)ret;
	struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)ret;

	memset(ret, 0, sizeof(*ret));
	if (inet_pton(AF_INET, s->address, &v4->sin_addr) == 1) {
		v4->sin_family = AF_INET;
		v4->sin_port = htons(port);
		return sizeof(*v4);
	}
	ASSERT(inet_pton(AF_INET6, s->address, &v6->sin6_addr) == 1);
	v6->sin6_family = AF_INET6;
	v6->sin6_port = htons(port);
	return sizeof(*v6);
}

int world_set(struct world *w, struct domain *d, const char *words, struct err *err)
{
	(void)w;
	if (behaviour_parse(words, &d->behaviour, err) < 0)
		return -err->code;
	behaviour_state_done(&d->state);
	behaviour_state_init(&d->state);
	free(d->words);
	d->words = xstrdup(words);
	return 0;
}

static void count_tag(struct world *w, struct str value, const char *rcpt)
{
	size_t size = value.n + strlen(rcpt) + 2;
	struct tag *t = xcalloc(1, sizeof(*t) + size);

	memcpy(t->text, value.p, value.n);
	t->text[value.n] = '\t';
	memcpy(t->text + value.n + 1, rcpt, strlen(rcpt));
	t->value_n = value.n;
	struct tag *known = RB_FIND(tags, &w->tags, t);
	if (known != NULL || w->tags_n >= TAGS_MAX) {
		free(t);
		if (known != NULL)
			known->count++;
		else
			w->tags_overflow++;
		return;
	}
	t->count = 1;
	RB_INSERT(tags, &w->tags, t);
	w->tags_n++;
}

/* A JSON string of bytes from outside. */
static json_t *text_json(struct str s)
{
	AUTO_BUF b = BUF_INIT(4 * CONTENT_HEAD_MAX);

	utf8_put_clean(&b, s);
	return json_stringn(buf_cstr(&b), b.n);
}

void world_accept(struct world *w, struct domain *d, const struct accepted *m, json_t *rcpts)
{
	char at[FMT_TIME_LEN];
	size_t i;
	json_t *rcpt;

	d->stats.messages++;
	d->stats.recipients += (int64_t)json_array_size(rcpts);
	if (m->tag.n > 0)
		json_array_foreach(rcpts, i, rcpt) count_tag(w, m->tag, json_string_value(rcpt));
	buf_reset(&d->last);
	buf_put_str(&d->last, m->head);
	if (w->keep == 0)
		return;
	fmt_time(loop_wall_ms(w->loop), at);
	json_t **slot = &d->records[d->records_next++ % w->keep];
	json_decref(*slot);
	*slot = json_pack("{s:s, s:o, s:O, s:o, s:o, s:I, s:s, s:s}", "at", at, "from",
			  text_json(m->from), "to", rcpts, "msgid", text_json(m->msgid), "tag",
			  m->tag.n > 0 ? text_json(m->tag) : json_null(), "size",
			  (json_int_t)m->size, "sha256", m->sha256, "body_sha256", m->body_sha256);
}

json_t *world_domains_json(struct world *w)
{
	json_t *list = json_array();

	for (size_t i = 0; i < w->domains_n; i++) {
		const struct domain *d = &w->domains[i];
		json_t *sites = json_array();

		for (size_t k = 0; k < d->mx_n; k++)
			json_array_append_new(sites, json_string(w->sites[d->mx[k].site].address));
		json_array_append_new(
			list, json_pack("{s:s, s:s, s:s, s:s, s:o}", "domain", d->name, "behaviour",
					d->behaviour.name, "set", d->words, "site",
					w->sites[d->mx[0].site].host, "addresses", sites));
	}
	return list;
}

static json_t *site_json(const struct site *s)
{
	return json_pack("{s:s, s:I, s:I, s:I, s:I, s:I, s:s}", "address", s->address,
			 "connections", (json_int_t)s->connections, "current",
			 (json_int_t)s->current, "max_connections", (json_int_t)s->max_connections,
			 "transactions", (json_int_t)s->transactions, "protocol_errors",
			 (json_int_t)s->protocol_errors, "last_protocol_error",
			 s->last_protocol_error);
}

/* Counters of connections are those of the domain's sites, also where other domains share them. */
static json_t *domain_json(const struct world *w, const struct domain *d)
{
	json_int_t connections = 0, max_connections = 0, protocol_errors = 0;

	for (size_t i = 0; i < d->mx_n; i++) {
		const struct site *s = &w->sites[d->mx[i].site];

		connections += s->connections;
		protocol_errors += s->protocol_errors;
		if (s->max_connections > max_connections)
			max_connections = s->max_connections;
	}
	return json_pack(
		"{s:s, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I}", "behaviour",
		d->behaviour.name, "connections", connections, "max_connections", max_connections,
		"protocol_errors", protocol_errors, "transactions",
		(json_int_t)d->stats.transactions, "messages", (json_int_t)d->stats.messages,
		"recipients", (json_int_t)d->stats.recipients, "rejected",
		(json_int_t)d->stats.rejected, "deferred", (json_int_t)d->stats.deferred, "broken",
		(json_int_t)d->stats.broken, "dns_queries", (json_int_t)d->stats.dns_queries);
}

json_t *world_stats_json(struct world *w)
{
	json_t *domains = json_object();
	json_t *sites = json_object();

	for (size_t i = 0; i < w->domains_n; i++)
		json_object_set_new(domains, w->domains[i].name, domain_json(w, &w->domains[i]));
	for (size_t i = 0; i < SITE__COUNT; i++)
		json_object_set_new(sites, w->sites[i].address, site_json(&w->sites[i]));
	return json_pack("{s:o, s:o}", "domains", domains, "sites", sites);
}

json_t *world_records_json(struct world *w, const struct domain *d, size_t limit)
{
	json_t *list = json_array();
	size_t n = d->records_next < w->keep ? d->records_next : w->keep;

	if (n > limit)
		n = limit;
	for (size_t i = d->records_next - n; i < d->records_next; i++)
		json_array_append(list, d->records[i % w->keep]);
	return list;
}

json_t *world_tags_json(struct world *w)
{
	json_t *counts = json_object();
	json_t *repeated = json_array();
	json_int_t accepted = 0, duplicates = 0;
	struct tag *t;

	RB_FOREACH(t, tags, &w->tags)
	{
		AUTO_FREE char *value = xstrndup(t->text, t->value_n);
		json_int_t sum = json_integer_value(json_object_get(counts, value)) + t->count;

		json_object_set_new(counts, value, json_integer(sum));
		accepted += t->count;
		if (t->count == 1)
			continue;
		duplicates += t->count - 1;
		json_array_append_new(repeated, json_pack("{s:s, s:s, s:I}", "tag", value, "to",
							  t->text + t->value_n + 1, "count",
							  (json_int_t)t->count));
	}
	return json_pack("{s:I, s:I, s:I, s:I, s:o, s:o}", "values",
			 (json_int_t)json_object_size(counts), "accepted", accepted, "duplicates",
			 duplicates, "overflow", (json_int_t)w->tags_overflow, "repeated", repeated,
			 "counts", counts);
}

void world_reset(struct world *w)
{
	forget_accepted(w);
	for (size_t i = 0; i < w->domains_n; i++) {
		w->domains[i].stats = (struct domain_stats){ 0 };
		w->domains[i].records_next = 0;
	}
	for (size_t i = 0; i < SITE__COUNT; i++) {
		struct site *s = &w->sites[i];

		s->connections = s->transactions = s->protocol_errors = 0;
		s->max_connections = s->current;
		s->last_protocol_error[0] = '\0';
	}
}
