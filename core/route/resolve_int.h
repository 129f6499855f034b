/*
 * resolve_int - one ask, for the two files that work on it: resolve.c (where), resolve_tls.c (what
 * is published about TLS there).
 */
#ifndef ROUTE_RESOLVE_INT_H
#define ROUTE_RESOLVE_INT_H

#include <bsd/sys/tree.h>
#include <sys/queue.h>

#include "route/hop.h"
#include "route/names.h"
#include "route/resolve.h"
#include "route/sts.h"
#include "route/tls_policy.h"

enum ask_phase { ASK_DOMAIN, ASK_HOSTS, ASK_RECORDS, ASK_SECOND, ASK_STS };

struct ask {
	uint32_t magic;
	struct resolver *resolver;
	uint64_t id;
	resolve_fn *fn;
	void *arg;
	unsigned wants;
	struct hop hop; /* with its port, whatever it is */
	struct names_ref domain;
	struct names_ref *hosts; /* of the domain's first hosts, in its order; or one */
	size_t hosts_n;
	enum ask_phase phase;
	size_t missing; /* facts of this phase that are not there yet */
	struct {
		struct names_ref *records; /* beside `hosts`; NULL: not asked for */
		struct sts_ref sts;
	} tls;
	bool ready;
	RB_ENTRY(ask) node;
	TAILQ_ENTRY(ask) next;
};

#define RESOLVE_ASK_MAGIC 0x4e501002u

/* Takes a reference; the phase goes on when it has its facts (a->missing). */
void resolver_want(struct ask *a, enum names_kind kind, const char *name, struct names_ref *ref);
/* A host's name as the MX record has it. */
const char *resolver_host_name(const struct ask *a, size_t i);
bool resolver_validates(const struct ask *a);

/* Begins to look for the domain's policy, where it is wanted; fn(a) when it is known, unless
 * a->tls.sts.waits is false at once. */
void resolve_tls_begin(struct ask *a, struct sts *sts, sts_fn *fn);
/* ASK_RECORDS and ASK_SECOND. */
void resolve_tls_records(struct ask *a);
void resolve_tls_second(struct ask *a);
/* What was found for the host a->hosts[i]; one reference, or NULL: nothing was asked. */
struct tls_policy *resolve_tls_policy(const struct ask *a, size_t i);
void resolve_tls_done(struct ask *a);

#endif
