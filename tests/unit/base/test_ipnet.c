#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/ipnet.h"
#include "base/mem.h"

static void test_parse_and_text(void **state)
{
	static const struct {
		const char *in;
		const char *text;  /* NULL: refused */
		const char *error; /* a part of the refusal */
	} cases[] = {
		{ "10.0.0.0/8", "10.0.0.0/8", NULL },
		{ "192.0.2.1", "192.0.2.1", NULL },
		{ "192.0.2.1/32", "192.0.2.1", NULL },
		{ "0.0.0.0/0", "0.0.0.0/0", NULL },
		{ "::/0", "::/0", NULL },
		{ "2001:DB8::/32", "2001:db8::/32", NULL },
		{ "2001:db8::1/128", "2001:db8::1", NULL },
		{ "::ffff:192.0.2.1", "192.0.2.1", NULL },
		{ "10.1.2.3/8", NULL, "the network is 10.0.0.0/8" },
		{ "10.0.0.0/33", NULL, "0 to 32" },
		{ "::/129", NULL, "0 to 128" },
		{ "10.0.0.0/", NULL, "prefix" },
		{ "10.0.0/8", NULL, "not an address" },
		{ "10.0.0.0/8 ", NULL, "prefix" },
		{ "host", NULL, "not an address" },
		{ "", NULL, "not an address" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct ipnet net;
		struct err err = ERR_INIT;
		char text[IPNET_TEXT_LEN];
		int rc = ipnet_parse(str_of(cases[i].in), &net, &err);
		if ((rc == 0) != (cases[i].text != NULL))
			fail_msg("%s: %s", cases[i].in, err.msg);
		if (rc < 0) {
			if (strstr(err.msg, cases[i].error) == NULL)
				fail_msg("%s: %s", cases[i].in, err.msg);
			continue;
		}
		ipnet_text(&net, text);
		assert_string_equal(text, cases[i].text);
	}
}

static void test_has(void **state)
{
	static const struct {
		const char *net;
		const char *addr;
		bool in;
	} cases[] = {
		{ "10.0.0.0/8", "10.255.1.2", true },
		{ "10.0.0.0/8", "11.0.0.1", false },
		{ "10.0.0.0/9", "10.127.255.255", true },
		{ "10.0.0.0/9", "10.128.0.0", false },
		{ "192.0.2.1", "192.0.2.1", true },
		{ "192.0.2.1", "192.0.2.2", false },
		{ "0.0.0.0/0", "255.1.1.1", true },
		{ "0.0.0.0/0", "::ffff:1.2.3.4", true },
		{ "0.0.0.0/0", "2001:db8::1", false },
		{ "::/0", "192.0.2.1", false },
		{ "::/0", "2001:db8::1", true },
		{ "2001:db8::/33", "2001:db8:7fff::1", true },
		{ "2001:db8::/33", "2001:db8:8000::1", false },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct ipnet net;
		struct ipaddr a;
		assert_int_equal(ipnet_parse(str_of(cases[i].net), &net, NULL), 0);
		assert_true(ipaddr_parse(str_of(cases[i].addr), &a));
		if (ipnet_has(&net, &a) != cases[i].in)
			fail_msg("%s in %s", cases[i].addr, cases[i].net);
	}
}

static void test_covers(void **state)
{
	struct ipnet wide;
	struct ipnet narrow;
	struct ipnet six;

	(void)state;
	assert_int_equal(ipnet_parse(STR("10.0.0.0/8"), &wide, NULL), 0);
	assert_int_equal(ipnet_parse(STR("10.1.0.0/16"), &narrow, NULL), 0);
	assert_int_equal(ipnet_parse(STR("::/0"), &six, NULL), 0);
	assert_true(ipnet_covers(&wide, &narrow) && ipnet_covers(&wide, &wide));
	assert_false(ipnet_covers(&narrow, &wide));
	assert_false(ipnet_covers(&six, &narrow));
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_parse_and_text),
		cmocka_unit_test(test_has),
		cmocka_unit_test(test_covers),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
