/*
 * world - the state of the demo world: sites, domains, their counters and what they accepted.
 *
 * Model:   domains (domains.def) have MX records that name hosts at sites (sites.def). A site has
 *          one loopback address and one owner, the first domain whose MX it is. Everything else
 *          (dns, receiver, source, control) reads and counts here.
 * Owner:   main(). Context: loop thread only.
 * Limits:  `keep` accepted messages a domain, TAGS_MAX different (X-Weir-Test, recipient) pairs,
 *          CONTENT_HEAD_MAX bytes of each domain's last message. What is beyond is dropped, oldest
 * first; pairs beyond are counted as `overflow`.
 */
#ifndef WORLD_WORLD_H
#define WORLD_WORLD_H

#include <bsd/sys/tree.h>
#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/str.h"
#include "loop/loop.h"
#include "world/behaviour.h"
#include "world/content.h"

#define WORLD_MX_MAX 4
#define TAGS_MAX 500000

enum site_id {
#define SITE(id, ...) SITE_##id,
#include "world/sites.def"
#undef SITE
	SITE__COUNT
};

struct site {
	const char *address;
	const char *host;   /* its name in the greeting */
	const char *banner; /* what follows the name there */
	int owner;	    /* index of a domain */
	int64_t connections;
	int64_t current;
	int64_t max_connections; /* at the same time */
	int64_t transactions;
	int64_t protocol_errors;
	char last_protocol_error[96];
};

struct mx {
	unsigned preference;
	const char *host;
	enum site_id site;
};

struct domain_stats {
	int64_t transactions; /* with at least one recipient of the domain */
	int64_t messages;
	int64_t recipients;
	int64_t rejected;    /* 5xx replies */
	int64_t deferred;    /* 4xx replies */
	int64_t broken;	     /* hung or dropped on purpose */
	int64_t dns_queries; /* for the domain's own name */
};

struct domain {
	const char *name; /* "*.x" stands for every name below x */
	unsigned weight;  /* share of the source's mail */
	size_t mx_n;
	struct mx mx[WORLD_MX_MAX];
	char *words; /* the behaviour as it was set; owned */
	struct behaviour behaviour;
	struct behaviour_state state;
	struct domain_stats stats;
	json_t **records; /* ring of `keep` */
	size_t records_next;
	struct buf last; /* the head of the last message */
};

struct tag;
RB_HEAD(tags, tag);

struct world {
	struct loop *loop;
	uint64_t random; /* state of the generator */
	size_t keep;
	uint16_t smtp_port;
	struct site sites[SITE__COUNT];
	struct domain *domains;
	size_t domains_n;
	struct tags tags;
	size_t tags_n;
	int64_t tags_overflow;
};

/* A message as it was accepted. Digests are SHA-256, in hex. */
struct accepted {
	struct str from;
	struct str msgid;
	struct str tag;	    /* value of X-Weir-Test, empty without */
	const char *sha256; /* of all that came after DATA, without dot-stuffing */
	const char
		*body_sha256; /* of what follows the trace fields (Received, Return-Path) on top */
	size_t size;
	struct str head; /* the first CONTENT_HEAD_MAX bytes */
};

struct world *world_new(struct loop *loop, size_t keep, uint64_t seed);
void world_free(struct world **wp);

uint64_t world_random(struct world *w);
/* By name; a name below a "*." row finds that row. NULL when the world has no such domain. */
struct domain *world_domain(struct world *w, struct str name);
/* The domain of an address. */
struct domain *world_domain_of(struct world *w, struct str address);
/* Which MX of the domain the site is, from 1; 0 when it is none. */
unsigned domain_mx_of(const struct domain *d, enum site_id site);
struct domain *site_owner(struct world *w, enum site_id site);
bool site_is_down(struct world *w, enum site_id site);
/* The site's socket address on `port`. */
socklen_t site_sockaddr(const struct site *s, uint16_t port, struct sockaddr_storage *ret);

/* Gives the domain another behaviour; its state starts anew. */
int world_set(struct world *w, struct domain *d, const char *words, struct err *err) MUST_CHECK;

/* Counts and records what a domain accepted for `rcpts` (array of strings; borrowed). */
void world_accept(struct world *w, struct domain *d, const struct accepted *m, json_t *rcpts);

/* Documents for the control socket; the caller owns them. */
json_t *world_domains_json(struct world *w);
json_t *world_stats_json(struct world *w);
json_t *world_records_json(struct world *w, const struct domain *d, size_t limit);
json_t *world_tags_json(struct world *w);
void world_reset(struct world *w); /* forgets counters and what was accepted */

#endif
