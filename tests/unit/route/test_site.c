#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/mem.h"
#include "route/site.h"

static void test_sites(void **state)
{
	static const struct {
		const char *host;
		const char *site;
	} cases[] = {
		{ "gmail-smtp-in.l.google.com", "google.com" },
		{ "alt4.aspmx.l.google.com", "google.com" },
		{ "outlook-com.olc.protection.outlook.com", "outlook.com" },
		{ "mta7.am0.yahoodns.net", "yahoodns.net" },
		{ "mx.mail.example.co.uk", "example.co.uk" },
		{ "mx.parliament.uk", "parliament.uk" },
		{ "mx.foo.kawasaki.jp", "mx.foo.kawasaki.jp" }, /* *.kawasaki.jp */
		{ "mx.city.kawasaki.jp", "city.kawasaki.jp" },	/* and its exception */
		{ "inbound-smtp.us-east-1.amazonaws.com", "amazonaws.com" },
		{ "mx1.fast.example", "fast.example" },
		{ "mx.sub.fast.example", "fast.example" },
		{ "fast.example", "fast.example" },
		{ "mx.xn--strae-oqa.xn--p1ai", "xn--strae-oqa.xn--p1ai" },
		{ "co.uk", "co.uk" },
		{ "com", "com" },
		{ "localhost", "localhost" },
		{ "", "" },
		{ "odd.", "odd." },
		{ "a..b", "a..b" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		const char *site = site_of(cases[i].host);
		assert_string_equal(site, cases[i].site);
		assert_ptr_equal(site, cases[i].host + strlen(cases[i].host) - strlen(site));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_sites) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
