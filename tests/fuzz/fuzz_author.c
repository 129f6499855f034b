/* The domain of a From field: whatever the header says, it is a domain or there is none. */
#include <stddef.h>
#include <stdint.h>

#include "base/obj.h"
#include "mail/address.h"
#include "sign/author.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char domain[AUTHOR_DOMAIN_MAX + 1];

	if (author_domain(str_from((const char *)data, size), domain))
		ASSERT(address_domain_valid(str_of(domain), 0));
	return 0;
}
