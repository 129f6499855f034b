/*
 * Replies and bounces come to the domain's own mail exchangers: what it publishes about their TLS.
 * Nobody has to, so that nothing is "missing" here; but what is there can be wrong.
 */
#include <stdlib.h>

#include "base/mem.h"
#include "ctl/check_int.h"
#include "net/tls.h"
#include "route/sts_policy.h"

#define HOSTS_MAX 8 /* mail exchangers that are looked at */
#define TLSA_HEAD 3 /* usage, selector, matching */

void check_sts(struct check *c)
{
	AUTO_FREE char *name = xasprintf("_mta-sts.%s", c->in->domain);
	const struct dns_answer *txt = check_get(c, name, DNS_TYPE_TXT);
	struct check_line l = { .name = "mta-sts", .status = CHECK_OK };
	AUTO_FREE char *found = NULL;
	char id[STS_ID_MAX + 1];
	bool good = false;
	size_t n = 0;

	if (txt == NULL || check_in_trouble(c, &l, name, txt))
		return;
	for (size_t i = 0; i < txt->records_n; i++) {
		struct str text = txt->records[i].text;
		if (!sts_record_is(text) || n++ > 0)
			continue;
		found = xstrndup(text.p, text.n);
		good = sts_record_parse(text, id);
	}
	l.found = found;
	if (n > 1 || (n == 1 && !good)) {
		l.status = CHECK_WRONG;
		l.wanted = "one record: v=STSv1; id=LETTERS_AND_DIGITS;";
		check_add(c, &l, "senders ignore it: %s",
			  n > 1 ? "there are several" : "no proper id");
	} else if (n == 1) {
		check_add(c, &l, "a policy is announced, at https://mta-sts.%s", c->in->domain);
	} else {
		check_add(c, &l, "none: who sends to %s need not encrypt", c->in->domain);
	}
}

static size_t count_usable(const struct dns_answer *a)
{
	size_t n = 0;

	for (size_t i = 0; i < a->records_n; i++) {
		const uint8_t *p = (const uint8_t *)a->records[i].text.p;
		size_t len = a->records[i].text.n;
		n += len >= TLSA_HEAD &&
		     tls_tlsa_usable(&(struct tls_tlsa){ .usage = p[0],
							 .selector = p[1],
							 .matching = p[2],
							 .data = p + TLSA_HEAD,
							 .n = len - TLSA_HEAD });
	}
	return n;
}

/* Whether there is something to say of the host. */
static bool check_host(struct check *c, const char *host)
{
	AUTO_FREE char *name = xasprintf("_25._tcp.%s", host);
	const struct dns_answer *a = check_get(c, name, DNS_TYPE_TLSA);
	struct check_line l = { .name = "tlsa", .about = host, .status = CHECK_OK };

	if (a == NULL || check_in_trouble(c, &l, name, a))
		return true;
	if (a->records_n == 0)
		return false;
	if (count_usable(a) == 0) {
		l.status = CHECK_WRONG;
		l.wanted = "3 1 1 SHA256_OF_THE_KEY";
		check_add(c, &l, "%zu TLSA records, none of which senders can use", a->records_n);
	} else if (!a->secure) {
		l.status = CHECK_WARNING;
		check_add(c, &l,
			  "TLSA records that are not seen to be signed (DNSSEC): senders ignore "
			  "them then");
	} else {
		check_add(c, &l,
			  "signed TLSA records: senders with DANE demand a certificate that "
			  "they name");
	}
	return true;
}

void check_tlsa(struct check *c)
{
	const struct dns_answer *mx = check_get(c, c->in->domain, DNS_TYPE_MX);
	bool said = false;

	for (size_t i = 0; mx != NULL && i < mx->records_n && i < HOSTS_MAX; i++)
		if (*mx->records[i].host != '\0')
			said |= check_host(c, mx->records[i].host);
	if (!said && mx != NULL && mx->records_n > 0 && *mx->records[0].host != '\0')
		check_add(c, &(struct check_line){ .name = "tlsa", .status = CHECK_OK },
			  "none: the mail servers of %s have no TLSA records (DANE)",
			  c->in->domain);
}
