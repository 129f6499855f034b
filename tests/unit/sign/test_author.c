#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "base/mem.h"
#include "sign/author.h"

#define LABEL "a23456789b123456789c123456789d123456789e123456789f123456789g12"

static void test_domains(void **state)
{
	static const struct {
		const char *header;
		const char *domain; /* NULL: none */
	} cases[] = {
		{ "From: a@b.example\r\n\r\n", "b.example" },
		{ "From: \"Shop, Inc. <x@evil.example>\" <a@Shop.Example>\r\n\r\n",
		  "shop.example" },
		{ "Received: x\r\nfrom : A (b@c.example \\) ) <\"a@d\"@shop.example> (e)\r\n",
		  "shop.example" },
		{ "From: =?utf-8?q?a=40b?= <a@b.example>,\r\n c <c@d.example>\r\n\r\n",
		  "b.example" },
		{ "From: a@b.example, c@d.example\r\n", "b.example" },
		{ "From: a@b.example (A Name)\r\n", "b.example" },
		{ "From: a@b . example\r\n", "b.example" },
		{ "From: Team: a@b.example, c@d.example;\r\n", "b.example" },
		{ "From: <@r1.example,@r2.example:a@b.example>\r\n", "b.example" },
		{ "From:\r\n\ta@b.example\r\n", "b.example" },
		{ "From: a@b.example junk\r\n", "b.example" },
		{ "From: a@b.example\r\nFrom: x@B.example\r\n", "b.example" },
		{ "From: a@b.example\r\nFrom: x@c.example\r\n", NULL },
		{ "From: a@b.example\r\nFrom: nobody\r\n", NULL },
		{ "From: <a@b.example c.example>\r\n", NULL },
		{ "From: a@[192.0.2.1]\r\n", NULL },
		{ "From: undisclosed:;\r\n", NULL },
		{ "From: <>\r\n", NULL },
		{ "From: a@\r\n", NULL },
		{ "From: a@b..example\r\n", NULL },
		{ "From: a@b\xc3\xbc"
		  "cher.example\r\n",
		  NULL },
		{ "From: \"a@b.example\r\n", NULL },
		{ "From: (a@b.example\r\n", NULL },
		{ "From: \\\r\n", NULL },
		{ "From: a@" LABEL "." LABEL "." LABEL "." LABEL ".example\r\n", NULL },
		{ "Subject: x\r\n\r\nFrom: a@b.example\r\n", NULL },
		{ "", NULL },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		char domain[AUTHOR_DOMAIN_MAX + 1];
		bool found = author_domain(str_of(cases[i].header), domain);
		if (found != (cases[i].domain != NULL) ||
		    (found && strcmp(domain, cases[i].domain) != 0))
			fail_msg("%s: %s", cases[i].header, found ? domain : "none");
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_domains) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
