/*
 * What stands in front of a balancer's connection: complete or not does not depend on what follows,
 * and what is complete is never longer than what there is.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/obj.h"
#include "net/proxy_header.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct proxy_header whole = { .named = false };
	struct proxy_header part = { .named = false };
	size_t used = 0;
	size_t again = 0;
	enum proxy_result result = proxy_header_parse(data, size, &whole, &used);

	if (result != PROXY_DONE)
		return 0;
	ASSERT(used > 0 && used <= size && used <= PROXY_HEADER_MAX);
	/* a copy that ends with it: nothing behind it was looked at */
	AUTO_FREE uint8_t *copy = xmalloc(used);
	memcpy(copy, data, used);
	ASSERT(proxy_header_parse(copy, used, &part, &again) == PROXY_DONE && again == used);
	ASSERT(part.named == whole.named && ipaddr_eq(&part.client.ip, &whole.client.ip));
	for (size_t n = 0; n < used; n++)
		ASSERT(proxy_header_parse(copy, n, &part, &again) == PROXY_MORE);
	return 0;
}
