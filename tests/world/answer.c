/*
 * Names in answers are written out, except the name asked for, which is a pointer to the question.
 */
#include "world/answer.h"

#include <arpa/inet.h>
#include <string.h>

#include "base/mem.h"
#include "world/dns.h"

enum { TYPE_A = 1, TYPE_CNAME = 5, TYPE_MX = 15, TYPE_AAAA = 28, TYPE_OPT = 41, TYPE_ANY = 255 };
enum { RCODE_OK = 0, RCODE_FORMERR = 1, RCODE_SERVFAIL = 2, RCODE_NXDOMAIN = 3 };
#define CLASS_IN 1
#define HEADER_LEN 12
#define NAME_MAX_LEN 255
#define LABEL_MAX_LEN 63
#define FLAG_QR 0x8000u
#define FLAG_AA 0x0400u
#define FLAG_TC 0x0200u
#define FLAG_RD 0x0100u
#define FLAG_RA 0x0080u
#define POINTER_TO_QUESTION 0xc00cu
#define EDNS_OPT_LEN 11

struct query {
	uint16_t id;
	uint16_t flags;
	uint16_t type;
	size_t question_n; /* bytes of the question section */
	size_t udp_max;
	char name[NAME_MAX_LEN + 1];
};

struct answer {
	struct buf *out;
	size_t start; /* where the message begins in out */
	unsigned rcode;
	unsigned records;
	bool truncated;
	size_t max;
};

static uint16_t get16(const uint8_t *p)
{
	return (uint16_t)(p[0] << 8 | p[1]);
}

static void put16(struct buf *b, unsigned v)
{
	buf_putc(b, (char)(v >> 8 & 0xff));
	buf_putc(b, (char)(v & 0xff));
}

static void set16(struct buf *b, size_t at, unsigned v)
{
	if (at + 2 <= b->n) {
		b->p[at] = (char)(v >> 8 & 0xff);
		b->p[at + 1] = (char)(v & 0xff);
	}
}

/* Reads the name at *pos, without compression as queries have it. */
static bool read_name(const uint8_t *p, size_t n, size_t *pos, char *ret)
{
	size_t len = 0;

	for (;;) {
		if (*pos >= n)
			return false;
		size_t label = p[(*pos)++];
		if (label == 0)
			break;
		if (label > LABEL_MAX_LEN || *pos + label > n || len + label + 1 > NAME_MAX_LEN)
			return false;
		if (len > 0)
			ret[len++] = '.';
		memcpy(ret + len, p + *pos, label);
		len += label;
		*pos += label;
	}
	ret[len] = '\0';
	return true;
}

static bool read_query(const uint8_t *p, size_t n, struct query *q)
{
	size_t pos = HEADER_LEN;

	if (n < HEADER_LEN || get16(p + 4) != 1)
		return false;
	q->id = get16(p);
	q->flags = get16(p + 2);
	if ((q->flags & FLAG_QR) || !read_name(p, n, &pos, q->name) || pos + 4 > n)
		return false;
	q->type = get16(p + pos);
	pos += 4;
	q->question_n = pos - HEADER_LEN;
	q->udp_max = DNS_UDP_PLAIN;
	/* An OPT record is the only additional record a resolver sends us: root name, type 41. */
	if (get16(p + 10) > 0 && pos + EDNS_OPT_LEN <= n && p[pos] == 0 &&
	    get16(p + pos + 1) == TYPE_OPT && get16(p + pos + 3) > DNS_UDP_PLAIN)
		q->udp_max = DNS_UDP_EDNS;
	return true;
}

static void put_name(struct buf *b, const char *name)
{
	struct str rest = str_of(name);

	while (rest.n > 0) {
		struct str label = str_cut(&rest, '.');

		buf_putc(b, (char)label.n);
		buf_put_str(b, label);
	}
	buf_putc(b, 0);
}

/* Appends a record; owner NULL is the name asked for. Rolls back and marks TC when it is too much.
 */
static void put_record(struct answer *a, const char *owner, unsigned type, struct str data)
{
	size_t before = a->out->n;

	if (a->truncated)
		return;
	if (owner == NULL)
		put16(a->out, POINTER_TO_QUESTION);
	else
		put_name(a->out, owner);
	put16(a->out, type);
	put16(a->out, CLASS_IN);
	put16(a->out, 0);
	put16(a->out, DNS_TTL_S);
	put16(a->out, (unsigned)data.n);
	buf_put_str(a->out, data);
	if (a->out->full || a->out->n - a->start > a->max) {
		a->out->n = before;
		a->truncated = true;
		return;
	}
	a->records++;
}

static void put_mx(struct answer *a, const char *owner, unsigned preference, const char *host)
{
	AUTO_BUF data = BUF_INIT(NAME_MAX_LEN + 3);

	put16(&data, preference);
	put_name(&data, host);
	put_record(a, owner, TYPE_MX, buf_str(&data));
}

static void put_address(struct answer *a, const char *owner, unsigned type, const struct site *s)
{
	uint8_t raw[sizeof(struct in6_addr)];

	if (type == TYPE_A && inet_pton(AF_INET, s->address, raw) == 1)
		put_record(a, owner, type, str_from((char *)raw, sizeof(struct in_addr)));
	else if (type == TYPE_AAAA && inet_pton(AF_INET6, s->address, raw) == 1)
		put_record(a, owner, type, str_from((char *)raw, sizeof(struct in6_addr)));
}

/* The records of a domain that exists, in its form. */
static void put_domain(struct answer *a, const struct world *w, const struct domain *d,
		       const struct query *q)
{
	const char *owner = NULL;
	AUTO_BUF alias = BUF_INIT(NAME_MAX_LEN);
	AUTO_BUF target = BUF_INIT(2 * NAME_MAX_LEN);

	if (d->behaviour.dns == DNS_CNAME) {
		buf_printf(&alias, "real.%s", q->name);
		put_name(&target, buf_cstr(&alias));
		put_record(a, NULL, TYPE_CNAME, buf_str(&target));
		owner = buf_cstr(&alias);
	}
	if (d->behaviour.dns == DNS_NULL && q->type == TYPE_MX) {
		put_mx(a, NULL, 0, "");
	} else if (d->behaviour.dns == DNS_IMPLICIT) {
		put_address(a, NULL, q->type, &w->sites[d->mx[0].site]);
	} else if (q->type == TYPE_MX && d->behaviour.dns != DNS_NULL) {
		for (size_t i = 0; i < d->mx_n; i++)
			put_mx(a, owner, d->mx[i].preference, d->mx[i].host);
		for (unsigned i = 0; d->behaviour.dns == DNS_MANY && i < DNS_MANY_N; i++)
			put_mx(a, owner, 100 + i, d->mx[0].host);
	}
}

/* A host of some MX record: its address. */
static bool put_host(struct answer *a, const struct world *w, const struct query *q)
{
	for (size_t i = 0; i < w->domains_n; i++)
		for (size_t k = 0; k < w->domains[i].mx_n; k++) {
			const struct mx *mx = &w->domains[i].mx[k];

			if (!str_eq_nocase(str_of(mx->host), str_of(q->name)))
				continue;
			put_address(a, NULL, q->type, &w->sites[mx->site]);
			return true;
		}
	return false;
}

/* A "real.<domain>" that a CNAME led to is the domain. */
static struct domain *find_domain(struct world *w, struct str name)
{
	struct domain *d = world_domain(w, name);

	if (d == NULL && str_starts_nocase(name, STR("real.")))
		d = world_domain(w, str_from(name.p + 5, name.n - 5));
	return d;
}

/* Fills the answer section. False when there is to be no answer at all. */
static bool fill(struct answer *a, struct world *w, const struct query *q)
{
	struct domain *d = find_domain(w, str_of(q->name));

	/* A host below a "*." row is itself, not one of its domains. */
	if ((d == NULL || d->name[0] == '*') && put_host(a, w, q))
		return true;
	if (d == NULL) {
		a->rcode = RCODE_NXDOMAIN;
		return true;
	}
	d->stats.dns_queries++;
	switch ((enum dns_form)d->behaviour.dns) {
	case DNS_TIMEOUT:
		return false;
	case DNS_GARBAGE:
		for (int i = 0; i < 5; i++)
			buf_put(a->out, "\xc0\xff\xff\xff\x00\x0f", 6);
		a->records = 5;
		return true;
	case DNS_SERVFAIL:
		a->rcode = RCODE_SERVFAIL;
		return true;
	case DNS_NXDOMAIN:
		a->rcode = RCODE_NXDOMAIN;
		return true;
	case DNS_MX:
	case DNS_IMPLICIT:
	case DNS_CNAME:
	case DNS_MANY:
	case DNS_NULL:
	case DNS_FORM__COUNT:
		break;
	}
	put_domain(a, w, d, q);
	return true;
}

bool answer_query(struct world *w, const uint8_t *query, size_t n, bool udp, struct buf *out)
{
	struct query q = { .id = 0 };

	if (!read_query(query, n, &q))
		return false;
	struct answer a = { .out = out,
			    .start = out->n,
			    .rcode = RCODE_OK,
			    .max = udp ? q.udp_max : DNS_MESSAGE_MAX };
	buf_put(out, "\0\0\0\0\0\1\0\0\0\0\0\0", HEADER_LEN);
	buf_put(out, query + HEADER_LEN, q.question_n);
	if (!fill(&a, w, &q)) {
		out->n = a.start;
		return false;
	}
	set16(out, a.start, q.id);
	set16(out, a.start + 2,
	      FLAG_QR | FLAG_AA | FLAG_RA | (q.flags & FLAG_RD) | (a.truncated ? FLAG_TC : 0) |
		      a.rcode);
	set16(out, a.start + 6, a.records);
	return true;
}
