/*
 * dns_parse - the records in a name server's answer.
 *
 * Model:   bytes in, records out. Only records of the asked type and aliases count, and only along
 *          the chain that begins at the name asked for.
 * Owner:   dns_parsed_done() frees what is in the struct.
 * Context: any thread; pure.
 * Errors:  ERR_PROTO for bytes that are no answer; ERR_LIMIT for a chain of aliases that turns in a
 *          circle or is longer than DNS_ALIASES_MAX.
 */
#ifndef NET_DNS_PARSE_H
#define NET_DNS_PARSE_H

#include "net/dns.h"

struct dns_parsed {
	char *name;	  /* where the chain ends; lower case */
	unsigned aliases; /* its length */
	uint32_t ttl_s;	  /* the least of what is in it; UINT32_MAX with neither alias nor record */
	struct dns_record *records;
	size_t records_n;
};

int dns_parse(const uint8_t *p, size_t n, const char *name, enum dns_type type,
	      struct dns_parsed *ret, struct err *err) MUST_CHECK;
void dns_parsed_done(struct dns_parsed *x);

#endif
