/*
 * sts - the MTA-STS policies of domains (RFC 8461): discovered, fetched, kept.
 *
 * Model:   sts_get() takes a reference to what is known of a domain, and begins to look when that
 * is too old: the TXT record at _mta-sts.DOMAIN, and, when it announces another policy than the one
 * that is kept, https://mta-sts.DOMAIN/.well-known/mta-sts.txt. A policy is kept for its max_age,
 * whatever DNS and the policy's host say or do not say meanwhile; it is fetched again, behind the
 * scenes, when half of that or a day is over. Policies survive a restart: keep() hands each to
 * whoever stores it, sts_load() takes it back. A fetch that failed is not tried again for
 * STS_AGAIN_S. Owner:   a struct sts_ref is embedded by its user, who puts it back. Context: loop
 * thread. fn() comes from the loop, once, and only when the facts were not there at once; it may
 * get and put references. Errors:  failures are facts. Limits:  STS_DOMAINS_MAX; the one that was
 * not used for longest makes room.
 */
#ifndef ROUTE_STS_H
#define ROUTE_STS_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>

#include "base/err.h"
#include "base/ipnet.h"
#include "route/sts_policy.h"

#define STS_DOMAINS_MAX 50000
#define STS_CHECK_S 300 /* the TXT record is looked at again */
#define STS_AGAIN_S 300
#define STS_REFRESH_S 86400
#define STS_FETCH_MS 60000

struct loop;
struct names;
struct tls_client;

struct sts_config {
	const struct tls_client *trust;
	uint16_t port; /* 443 */
	/* A domain's policy changed: to be stored; json NULL: no longer. Borrows. */
	void (*keep)(void *arg, const char *domain, const char *json);
	void *arg;
	const struct ipnet *avoid; /* networks where no policy is fetched; borrowed */
	size_t avoid_n;
	size_t domains_max; /* 0: STS_DOMAINS_MAX */
};

struct sts_facts {
	const struct sts_policy *policy; /* NULL: none that holds now */
	int64_t until_ms;		 /* with one: wall clock */
	const char *trouble;		 /* why there is none, or no newer one; "" */
};

struct sts;
struct sts_entry;
typedef void sts_fn(void *arg);
struct sts_ref {
	struct sts_entry *entry; /* NULL: holds nothing */
	sts_fn *fn;
	void *arg;
	bool waits;
	LIST_ENTRY(sts_ref) next;
};

/* Borrows names. */
struct sts *sts_new(struct loop *l, struct names *names, const struct sts_config *cfg);
/* No reference is held any more. */
void sts_free(struct sts **sp);
/* What keep() was given; one that ended meanwhile is given to keep() again, as NULL. ERR_CORRUPT.
 */
int sts_load(struct sts *s, const char *domain, const char *json, struct err *err) MUST_CHECK;

/* The domain is a valid host name in lower case. */
void sts_get(struct sts *s, const char *domain, struct sts_ref *ref, sts_fn *fn, void *arg);
void sts_put(struct sts_ref *ref);
/* False while they are not there. Borrows until the reference is put back or the loop turns. */
bool sts_facts(const struct sts_ref *ref, struct sts_facts *ret);
/* Look at the TXT record again, and try again what failed. */
void sts_forget(struct sts *s, const char *domain);
void sts_forget_all(struct sts *s);

#endif
