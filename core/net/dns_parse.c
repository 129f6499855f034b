/*
 * c-ares has parsers of its own, but its MX records come without their TTL and without their
 * owner, so that a record of another name could not be told from one that was asked for. Names are
 * its business all the same: ares_expand_name() knows compression, and escapes what is no text.
 *
 * A name that is longer than names can be ends the parsing: pointers that make kilobytes of name
 * from a few bytes are then expanded once, not for each record.
 */
#include "net/dns_parse.h"

#include <ares.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/str.h"

#define HEADER_LEN 12
#define QUESTIONS_AT 4
#define ANSWERS_AT 6
#define ESCAPED_MAX (4 * DNS_NAME_MAX) /* "\007" is one byte of the name */
#define TYPE_CNAME 5
#define CLASS_IN 1
#define TTL_MAX 0x7fffffffu /* RFC 2181, 8: more is taken as 0 */

struct cursor {
	const uint8_t *p;
	size_t n;
	size_t at;
	bool bad; /* sticky */
};

struct rr {
	char *owner;
	unsigned type;
	uint32_t ttl_s;
	struct ipaddr ip;
	uint16_t preference;
	char *target; /* CNAME, MX, PTR */
	char *text;   /* TXT, TLSA */
	size_t text_n;
};

struct rrs {
	struct rr rr[DNS_RECORDS_MAX];
	size_t n;
};

static bool has(struct cursor *c, size_t n)
{
	if (c->bad || c->n - c->at < n)
		c->bad = true;
	return !c->bad;
}

static unsigned get16(struct cursor *c)
{
	unsigned v;

	if (!has(c, 2))
		return 0;
	v = (unsigned)(c->p[c->at] << 8 | c->p[c->at + 1]);
	c->at += 2;
	return v;
}

static uint32_t get32(struct cursor *c)
{
	uint32_t high = get16(c);

	return high << 16 | get16(c);
}

static char *lower_dup(const char *text)
{
	char *name = xstrdup(text);

	for (char *p = name; *p != '\0'; p++)
		if (*p >= 'A' && *p <= 'Z')
			*p = (char)(*p - 'A' + 'a');
	return name;
}

/* Lower case and owned; NULL when there is none. */
static char *get_name(struct cursor *c)
{
	char *text = NULL;
	char *name = NULL;
	long used = 0;

	if (!has(c, 1) ||
	    ares_expand_name(c->p + c->at, c->p, (int)c->n, &text, &used) != ARES_SUCCESS) {
		c->bad = true;
		return NULL;
	}
	if (strlen(text) > ESCAPED_MAX || used < 0 || !has(c, (size_t)used)) {
		c->bad = true;
	} else {
		name = lower_dup(text);
		c->at += (size_t)used;
	}
	ares_free_string(text);
	return name;
}

static void get_ip(struct cursor *c, size_t n, struct ipaddr *ret)
{
	static const uint8_t mapped[12] = { [10] = 0xff, [11] = 0xff };

	if (!has(c, n))
		return;
	memcpy(ret->b, mapped, sizeof(mapped));
	memcpy(ret->b + sizeof(ret->b) - n, c->p + c->at, n);
	c->at += n;
}

/* Character strings up to `end`, without what separates them. */
static void get_text(struct cursor *c, size_t end, struct rr *r)
{
	r->text = xmalloc(end - c->at + 1);
	while (c->at < end) {
		size_t n = c->p[c->at++];
		if (n > end - c->at) {
			c->bad = true;
			break;
		}
		memcpy(r->text + r->text_n, c->p + c->at, n);
		r->text_n += n;
		c->at += n;
	}
	r->text[r->text_n] = '\0';
}

/* All bytes up to `end`. */
static void get_data(struct cursor *c, size_t end, struct rr *r)
{
	r->text_n = end - c->at;
	r->text = xmalloc(r->text_n + 1);
	memcpy(r->text, c->p + c->at, r->text_n);
	r->text[r->text_n] = '\0';
	c->at = end;
}

static void rr_done(struct rr *r)
{
	free(r->owner);
	free(r->target);
	free(r->text);
}

/* One record; its data must have the length that it says. */
static void get_rr(struct cursor *c, enum dns_type type, struct rrs *to)
{
	struct rr r = { .owner = get_name(c) };
	unsigned class;
	size_t end;
	bool wanted;

	r.type = get16(c);
	class = get16(c);
	r.ttl_s = get32(c);
	if (r.ttl_s > TTL_MAX)
		r.ttl_s = 0;
	end = get16(c);
	if (has(c, end)) {
		end += c->at;
		wanted = class == CLASS_IN && (r.type == TYPE_CNAME || r.type == (unsigned)type);
		if (!wanted) {
			c->at = end;
		} else if (r.type == DNS_TYPE_A || r.type == DNS_TYPE_AAAA) {
			get_ip(c, r.type == DNS_TYPE_A ? 4 : sizeof(r.ip.b), &r.ip);
		} else if (r.type == DNS_TYPE_TXT) {
			get_text(c, end, &r);
		} else if (r.type == DNS_TYPE_TLSA) {
			get_data(c, end, &r);
		} else {
			if (r.type == DNS_TYPE_MX)
				r.preference = (uint16_t)get16(c);
			r.target = get_name(c);
		}
		c->bad |= c->at != end;
		if (!c->bad && wanted) {
			to->rr[to->n++] = r;
			return;
		}
	}
	rr_done(&r);
}

/* Follows aliases from x->name to the end of the chain. */
static int follow(const struct rrs *all, struct dns_parsed *x, struct err *err)
{
	bool found;

	do {
		found = false;
		for (size_t i = 0; i < all->n && !found; i++) {
			const struct rr *r = &all->rr[i];
			if (r->type != TYPE_CNAME || strcmp(r->owner, x->name) != 0)
				continue;
			found = true;
			free(x->name);
			x->name = xstrdup(r->target);
			if (r->ttl_s < x->ttl_s)
				x->ttl_s = r->ttl_s;
		}
		if (found && ++x->aliases > DNS_ALIASES_MAX)
			return err_set(err, ERR_LIMIT, "the aliases lead nowhere");
	} while (found);
	return 0;
}

static void take_records(struct rrs *all, unsigned type, struct dns_parsed *x)
{
	x->records = xcalloc(all->n + 1, sizeof(*x->records));
	for (size_t i = 0; i < all->n; i++) {
		struct rr *r = &all->rr[i];
		if (r->type != type || strcmp(r->owner, x->name) != 0)
			continue;
		x->records[x->records_n++] = (struct dns_record){ .ip = r->ip,
								  .preference = r->preference,
								  .host = r->target,
								  .text = { r->text, r->text_n } };
		r->target = NULL;
		r->text = NULL;
		if (r->ttl_s < x->ttl_s)
			x->ttl_s = r->ttl_s;
	}
}

static void get_answers(struct cursor *c, enum dns_type type, struct rrs *to)
{
	unsigned questions;
	unsigned answers;

	c->at = QUESTIONS_AT;
	questions = get16(c);
	c->at = ANSWERS_AT;
	answers = get16(c);
	c->at = HEADER_LEN;
	c->bad |= c->n < HEADER_LEN || questions != 1;
	if (!c->bad) {
		free(get_name(c));
		(void)get32(c); /* type and class */
	}
	for (unsigned i = 0; i < answers && to->n < DNS_RECORDS_MAX && !c->bad; i++)
		get_rr(c, type, to);
}

int dns_parse(const uint8_t *p, size_t n, const char *name, enum dns_type type,
	      struct dns_parsed *ret, struct err *err)
{
	struct cursor c = { .p = p, .n = n, .bad = n < HEADER_LEN };
	struct dns_parsed x = { .name = lower_dup(name), .ttl_s = UINT32_MAX };
	struct rrs *all = xcalloc(1, sizeof(*all));
	int rc;

	get_answers(&c, type, all);
	rc = c.bad ? err_set(err, ERR_PROTO, "not a DNS answer") : follow(all, &x, err);
	if (rc == 0) {
		take_records(all, (unsigned)type, &x);
		*ret = x;
	} else {
		dns_parsed_done(&x);
	}
	for (size_t i = 0; i < all->n; i++)
		rr_done(&all->rr[i]);
	free(all);
	return rc;
}

void dns_parsed_done(struct dns_parsed *x)
{
	for (size_t i = 0; i < x->records_n; i++) {
		mem_auto_free(&x->records[i].host);
		mem_auto_free(&x->records[i].text.p);
	}
	free(x->records);
	free(x->name);
	*x = (struct dns_parsed){ .name = NULL };
}
