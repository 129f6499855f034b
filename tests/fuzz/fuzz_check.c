/* Texts from DNS in a check of a domain: SPF, DKIM and DMARC records, each piece of the input one.
 */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/obj.h"
#include "ctl/check.h"
#include "route/spf.h"

#define PEM                                                                                        \
	"-----BEGIN PRIVATE KEY-----\n"                                                            \
	"MC4CAQAwBQYDK2VwBCIEIBhCyhhpOIbrdW5Wx+jYbLQ3nM4wHOxUyGjBCbVeRg8Z\n"                       \
	"-----END PRIVATE KEY-----\n"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct keys *make_keys(void)
{
	struct keys *keys = keys_new();
	struct dkim_key *key = NULL;
	char secret[KEY_SECRET_LEN];
	char *text, *json;
	json_t *o;

	ASSERT(dkim_key_parse(STR(PEM), &key, NULL) >= 0);
	text = keys_secret(key, secret);
	o = keys_public(STR("a.test"), STR("s1"), key, KEY_ACTIVE, "x", 1);
	json = json_dumps(o, 0);
	ASSERT(keys_put_secret(keys, secret, text, 0, NULL) >= 0 &&
	       keys_put(keys, json, 0, NULL) >= 0);
	keys_wipe(&text);
	free(json);
	json_decref(o);
	dkim_key_free(&key);
	return keys;
}

static void put(struct dnsbook *b, const char *name, enum dns_type type, const struct dns_record *r)
{
	dnsbook_put(b, name, type,
		    &(struct dns_answer){ .status = r != NULL ? DNS_OK : DNS_NODATA,
					  .trouble = "",
					  .name = name,
					  .records = r,
					  .records_n = r != NULL });
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const char *const names[] = { "a.test", "_dmarc.a.test", "s1._domainkey.a.test",
					     "b.test", "_mta-sts.a.test" };
	static struct keys *keys;
	struct ipaddr own;
	struct dnsbook *b = dnsbook_new(NULL, NULL, NULL);
	struct str rest = str_from((const char *)data, size);
	const struct dns_record address = { .ip = { { [10] = 0xff, 0xff, 192, 0, 2, 1 } } };
	const struct dns_record mx = { .host = "mx.a.test", .preference = 10 };
	struct dns_record tlsa = { .host = NULL };
	json_t *rows;

	if (keys == NULL)
		keys = make_keys();
	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		struct dns_record r = { .text = str_cut(&rest, '\n') };
		if (r.text.p == NULL)
			r.text.p = "";
		put(b, names[i], DNS_TYPE_TXT, &r);
	}
	tlsa.text = rest;
	put(b, "a.test", DNS_TYPE_A, &address);
	put(b, "a.test", DNS_TYPE_AAAA, NULL);
	put(b, "a.test", DNS_TYPE_MX, &mx);
	put(b, "_25._tcp.mx.a.test", DNS_TYPE_TLSA, &tlsa);
	put(b, "1.2.0.192.in-addr.arpa", DNS_TYPE_PTR, NULL);
	ASSERT(ipaddr_parse(STR("192.0.2.1"), &own));
	rows = check_rows(&(struct check_in){ .book = b,
					      .keys = keys,
					      .domain = "a.test",
					      .hostname = "a.test",
					      .own = &own,
					      .own_n = 1 });
	ASSERT(rows == NULL || json_array_size(rows) == 8);
	json_decref(rows);
	dnsbook_free(&b);
	return 0;
}
