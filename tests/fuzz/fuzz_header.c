/*
 * Any bytes as a message's header, as an address and as a path: slices stay inside, decoded texts
 * are clean UTF-8, what an address parser takes has a canonical spelling that it takes again.
 */
#include <stdint.h>

#include "base/obj.h"
#include "base/utf8.h"
#include "mail/address.h"
#include "mail/header.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void inside(struct str part, struct str all)
{
	ASSERT(part.n == 0 || (part.p >= all.p && part.p + part.n <= all.p + all.n));
}

static void scan(struct str all)
{
	AUTO_BUF decoded = BUF_INIT(HEADER_SUBJECT_MAX);
	struct header_facts facts;
	struct header_field field;
	struct str rest;
	unsigned n = 0;

	header_scan(all, &facts);
	ASSERT(facts.body_at <= all.n);
	inside(facts.block, all);
	inside(facts.subject, all);
	inside(facts.message_id, all);
	for (rest = facts.block; header_next(&rest, &field); n++) {
		inside(field.whole, all);
		inside(field.value, field.whole);
	}
	ASSERT(n == facts.fields);
	header_decode(facts.subject, &decoded);
	ASSERT(utf8_valid(buf_str(&decoded)) && str_index(buf_str(&decoded), '\n') < 0);
}

static void address(struct str text, unsigned flags)
{
	struct address a, again;
	struct err err = ERR_INIT;
	size_t used;

	if (address_parse(text, flags, &a, &err) >= 0) {
		ASSERT(address_parse(address_str(&a), flags, &again, &err) >= 0);
		ASSERT(str_eq(address_str(&a), address_str(&again)));
		ASSERT(str_index(address_str(&a), '\n') < 0 &&
		       str_index(address_str(&a), '\r') < 0);
	}
	if (address_parse_path(text, flags, &a, &used, &err) >= 0)
		ASSERT(used <= text.n);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct str all = { (const char *)data, size };

	scan(all);
	address(all, 0);
	address(all, ADDRESS_UTF8 | ADDRESS_NULL | ADDRESS_POSTMASTER);
	return 0;
}
