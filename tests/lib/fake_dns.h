/*
 * fake_dns - a name server on loopback, UDP and TCP, that answers from a table.
 *
 * Model:   a name that has a row exists. Rows with data are its records; a CNAME is answered
 *          together with what it leads to. A row that acts decides what happens to every question
 *          for the name, or for one type at it. What has no row does not exist. That a name has no
 *          records of a type is secure always.
 * Owner:   whoever made it; the rows are borrowed. Context: the loop's thread.
 *
 *	static const struct fake_dns_row rows[] = {
 *		FAKE_DNS_RR("a.test", "MX", "10 mx.a.test"),
 *		FAKE_DNS_RR("mx.a.test", "A", "192.0.2.1", .ttl_s = 60),
 *		FAKE_DNS_ACT("sick.test", FAKE_DNS_SERVFAIL),
 *	};
 */
#ifndef LIB_FAKE_DNS_H
#define LIB_FAKE_DNS_H

#include <stdbool.h>
#include <stddef.h>

#include "loop/loop.h"

enum fake_dns_act {
	FAKE_DNS_RECORD, /* answered; the same as no act */
	FAKE_DNS_NXDOMAIN,
	FAKE_DNS_SERVFAIL,
	FAKE_DNS_REFUSED,
	FAKE_DNS_SILENT,
	FAKE_DNS_TRUNCATE, /* over UDP only the TC bit; all over TCP */
	FAKE_DNS_GARBAGE,  /* a header, and then no records */
	FAKE_DNS_WRONG_ID, /* the answer to a question that was not asked, then the true one */
	FAKE_DNS_WRONG_QUESTION, /* the same, with the right id and another name */
	FAKE_DNS_ALIAS_ALONE,	 /* only the CNAME, not what it leads to */
	FAKE_DNS_NO_EDNS,	 /* whoever speaks EDNS gets FORMERR */
	FAKE_DNS_OTHER_OWNER,	 /* the records, as if they were another name's */
};

struct fake_dns_row {
	const char *name;
	const char *type; /* "A", "AAAA", "MX" ("10 host", "0 ." is the root), "CNAME", "PTR", "TXT"
			     (strings of at most 255 bytes, separated by '|'), "TLSA" ("3 1 1
			     00ff"); NULL with an act: all types */
	const char *data;
	unsigned ttl_s; /* 0: 300 */
	enum fake_dns_act act;
	bool secure; /* validated: whoever sets AD gets AD, when all that was used is */
};

#define FAKE_DNS_RR(name_, type_, ...)                                                             \
	{                                                                                          \
		.name = (name_), .type = (type_), .data = __VA_ARGS__                              \
	}
#define FAKE_DNS_ACT(name_, act_)                                                                  \
	{                                                                                          \
		.name = (name_), .act = (act_)                                                     \
	}

struct fake_dns;
struct fake_dns *fake_dns_new(struct loop *l, const struct fake_dns_row *rows, size_t n);
void fake_dns_free(struct fake_dns **fp);
/* Other rows from now on. */
void fake_dns_rows(struct fake_dns *f, const struct fake_dns_row *rows, size_t n);
/* ADDRESS:PORT for dns_config.servers. Borrows. */
const char *fake_dns_address(const struct fake_dns *f);
/* Questions so far, for a name or for all (NULL); repeated ones count again. */
unsigned fake_dns_asked(const struct fake_dns *f, const char *name);
unsigned fake_dns_asked_tcp(const struct fake_dns *f);
/* While it holds, questions are kept; letting go answers them. */
void fake_dns_hold(struct fake_dns *f, bool hold);

#endif
