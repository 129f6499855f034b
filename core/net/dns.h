/*
 * dns - questions to name servers, answered through the event loop.
 *
 * Model:   dns_ask() asks for the records of one type at a name. Aliases (CNAME) are followed, also
 *          where the server leaves that to us; what is not owned by the name at their end is not
 *          taken. "No such name" and "no such record" are told apart from trouble, which may be
 *          over in a while. Nothing is remembered here.
 *          Whether an answer is secure (DNSSEC) is what a validating server says of it (the AD bit,
 *          RFC 6840, 5.7 and 5.8); it is believed only where the configuration trusts the server
 *          and the way to it.
 *          Several servers are tried one after the other, on silence as on a failure that another
 *          one may not have; truncated answers are fetched again over TCP.
 * Owner:   the answer and all that is in it borrow for the length of the callback.
 * Context: loop thread. A callback comes once, never from inside dns_ask() or dns_cancel(); after
 *          dns_cancel() none comes. A callback may ask and cancel, but not free.
 * Errors:  dns_new(): ERR_CONFIG for a server's address; else everything is an answer.
 * Limits:  below. What is asked while DNS_WAITING_MAX questions wait is answered with trouble.
 */
#ifndef NET_DNS_H
#define NET_DNS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/ipnet.h"
#include "base/str.h"
#include "loop/loop.h"

#define DNS_NAME_MAX 253       /* of a name in text, without the last dot */
#define DNS_ACTIVE_MAX 200     /* with the servers at a time: a socket's buffer holds some 250 */
#define DNS_WAITING_MAX 100000 /* behind them */
#define DNS_ALIASES_MAX 8      /* followed, from one name to the next */
#define DNS_RECORDS_MAX 256    /* looked at in one answer; more are left out */
#define DNS_TIMEOUT_MS 2000    /* for the first try; each round doubles it */
#define DNS_TRIES 3	       /* at each server: 14 s with one */

enum dns_type { /* as on the wire */
		DNS_TYPE_A = 1,
		DNS_TYPE_PTR = 12,
		DNS_TYPE_MX = 15,
		DNS_TYPE_TXT = 16,
		DNS_TYPE_AAAA = 28,
		DNS_TYPE_TLSA = 52
};

enum dns_status {
	DNS_OK,	      /* with records */
	DNS_NODATA,   /* the name exists, and has no records of this type */
	DNS_NXDOMAIN, /* no such name */
	DNS_TROUBLE,  /* not known now */
	DNS_STATUS__COUNT
};

struct dns_record {
	struct ipaddr ip;    /* A, AAAA */
	uint16_t preference; /* MX */
	const char *host;    /* MX, PTR: lower case, without the last dot; "" is the root */
	struct str text;     /* TXT: its strings joined; TLSA: its data. Any bytes */
};

struct dns_answer {
	enum dns_status status;
	const char *trouble; /* static, in plain words; "" without */
	bool secure;	     /* validated, also that there is none; never with trouble */
	const char *name;    /* where the aliases led; the name asked for without any */
	uint32_t ttl_s;	     /* of the records and aliases, the least; 0 without records */
	const struct dns_record *records;
	size_t records_n;
};

enum dns_trust {
	DNS_TRUST_NO,
	DNS_TRUST_AUTO, /* servers that are all on the loopback interface */
	DNS_TRUST_YES
};

struct dns_config {
	const char *const *servers; /* ADDRESS:PORT; none: the system's */
	size_t servers_n;
	int64_t timeout_ms; /* 0: DNS_TIMEOUT_MS */
	unsigned tries;	    /* 0: DNS_TRIES */
	enum dns_trust trust;
};

struct dns;
int dns_new(struct loop *l, const struct dns_config *cfg, struct dns **ret,
	    struct err *err) MUST_CHECK;
void dns_free(struct dns **dp); /* no callback comes any more */
/* False: no answer is ever secure. */
bool dns_trusts(const struct dns *d);

/* Answers a number for dns_cancel(), never 0. */
typedef void dns_fn(void *arg, const struct dns_answer *answer);
uint64_t dns_ask(struct dns *d, const char *name, enum dns_type type, dns_fn *fn, void *arg);
/* Numbers that are no more are ignored. */
void dns_cancel(struct dns *d, uint64_t id);

/* Where an address has its PTR records: "7.2.0.192.in-addr.arpa". */
#define DNS_REVERSE_LEN 80
void dns_reverse(const struct ipaddr *a, char ret[static DNS_REVERSE_LEN]);

#endif
