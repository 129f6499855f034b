/*
 * check - what DNS says about a sending domain beside what is sent.
 *
 * Model:   a plain function of what DNS says (net/dnsbook.h): rows of entity "check", each with its
 *          status, what was found, what was wanted and the record to publish. Lines: spf (one for
 *          each source address), dkim (one for each key), dmarc, mx, mta-sts, tlsa, ehlo, ptr
 *          (one for each source address); where envelope senders are the relay's own, bounce-spf
 *          (as spf), bounce-mx and alignment.
 * Context: loop thread.
 */
#ifndef CTL_CHECK_H
#define CTL_CHECK_H

#include <jansson.h>

#include "net/dnsbook.h"
#include "sign/keys.h"

#define CHECK_SOURCES_MAX 16 /* addresses that are looked at */

struct check_in {
	struct dnsbook *book;
	const struct keys *keys;
	const char *domain; /* lower case */
	const char *hostname;
	const char *bounce_domain; /* of envelope senders; NULL: they stay as they are */
	/* Where mail leaves from: these, and unless `only` what DNS has for our name. */
	const struct ipaddr *own;
	size_t own_n;
	bool only;
};

/* Owned; NULL while answers are missing: dnsbook_ask(), and again. */
json_t *check_rows(const struct check_in *in);

#endif
