/*
 * A name server that answers anything to a question for a.test: the first byte chooses the type
 * asked for. What comes out is within its limits, and owned by the end of the chain.
 */
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "base/mem.h"
#include "base/obj.h"
#include "net/dns_parse.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const enum dns_type types[] = { DNS_TYPE_A,   DNS_TYPE_MX,  DNS_TYPE_AAAA,
					       DNS_TYPE_PTR, DNS_TYPE_TXT, DNS_TYPE_TLSA };
	struct dns_parsed x;
	enum dns_type type;

	if (size < 1 || size > UINT16_MAX)
		return 0;
	type = types[data[0] % ARRAY_LEN(types)];
	if (dns_parse(data + 1, size - 1, "A.test", type, &x, NULL) < 0)
		return 0;
	ASSERT(x.name != NULL && x.aliases <= DNS_ALIASES_MAX);
	ASSERT(x.aliases > 0 || strcmp(x.name, "a.test") == 0);
	ASSERT(x.records_n <= DNS_RECORDS_MAX);
	ASSERT((x.ttl_s == UINT32_MAX) == (x.records_n == 0 && x.aliases == 0));
	for (size_t i = 0; i < x.records_n; i++) {
		const char *host = x.records[i].host;
		ASSERT((host != NULL) == (type == DNS_TYPE_MX || type == DNS_TYPE_PTR));
		ASSERT((x.records[i].text.p != NULL) ==
		       (type == DNS_TYPE_TXT || type == DNS_TYPE_TLSA));
		ASSERT(host == NULL || strlen(host) <= 4 * DNS_NAME_MAX);
		for (size_t k = 0; host != NULL && host[k] != '\0'; k++)
			ASSERT(host[k] >= ' ' && host[k] <= '~' &&
			       !(host[k] >= 'A' && host[k] <= 'Z'));
	}
	dns_parsed_done(&x);
	return 0;
}
