/*
 * Any bytes as the texts of a report, cut at zero bytes: a report comes out whose header has the
 * fields that we wrote, whose lines are short, and whose boundary is in no part.
 */
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "base/obj.h"
#include "mail/dsn.h"
#include "mail/header.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(struct str message, struct str returned, bool short_lines)
{
	struct header_facts facts;
	struct header_field f;
	struct str boundary;

	header_scan(message, &facts);
	ASSERT(facts.fields >= 8 && facts.fields <= 11 && !facts.malformed);
	ASSERT(header_find(facts.block, STR("Content-Type"), &f));
	boundary = f.value;
	(void)str_cut(&boundary, '"');
	boundary = str_cut(&boundary, '"');
	ASSERT(boundary.n > 0 && boundary.n <= 70);
	ASSERT(memmem(returned.p, returned.n, boundary.p, boundary.n) == NULL);
	while (short_lines && message.n > 0)
		ASSERT(str_cut(&message, '\n').n <= 999);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct str rest = str_from((const char *)data, size);
	struct dsn_rcpt r = { .address = str_cut(&rest, '\0') };
	struct dsn d = { .relay = STR("relay.example"), .message_id = STR("<1@relay.example>") };
	AUTO_BUF out = BUF_INIT(4u << 20);
	unsigned bits = size > 0 ? data[size - 1] : 0;

	d.to = str_cut(&rest, '\0');
	d.envid = str_cut(&rest, '\0');
	r.orcpt = str_cut(&rest, '\0');
	r.status = str_cut(&rest, '\0');
	r.enhanced = str_cut(&rest, '\0');
	r.remote = str_cut(&rest, '\0');
	r.diagnostic = str_cut(&rest, '\0');
	r.action = bits % 5;
	r.code = bits & 8 ? 550 : 0;
	d.full = bits & 16;
	d.original = rest;
	d.rcpts = &r;
	d.rcpts_n = 1;
	if (d.to.n < 300 && dsn_compose(&d, &out))
		check(buf_str(&out), d.full ? d.original : STR(""), d.original.n == 0);
	return 0;
}
