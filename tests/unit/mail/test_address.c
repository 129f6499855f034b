#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <cmocka.h>

#include "base/mem.h"
#include "mail/address.h"

static const struct {
	const char *in;
	unsigned flags;
	const char *text; /* NULL: refused */
	const char *local;
	const char *domain;
	int column; /* of the refusal */
} cases[] = {
	{ "bob@example.org", 0, "bob@example.org", "bob", "example.org", 0 },
	{ "Bob.X+tag@EXAMPLE.Org", 0, "Bob.X+tag@example.org", "Bob.X+tag", "example.org", 0 },
	{ "b@localhost", 0, "b@localhost", "b", "localhost", 0 },
	{ "b@my_host.example", 0, "b@my_host.example", "b", "my_host.example", 0 },
	/* quotes stay only where they are needed */
	{ "\"bob\"@example.org", 0, "bob@example.org", "bob", "example.org", 0 },
	{ "\"b\\ob\"@example.org", 0, "bob@example.org", "bob", "example.org", 0 },
	{ "\"b ob\"@example.org", 0, "\"b ob\"@example.org", "\"b ob\"", "example.org", 0 },
	{ "\"a@b\"@example.org", 0, "\"a@b\"@example.org", "\"a@b\"", "example.org", 0 },
	{ "\"a\\\"b\"@example.org", 0, "\"a\\\"b\"@example.org", "\"a\\\"b\"", "example.org", 0 },
	{ "\"\"@example.org", 0, "\"\"@example.org", "\"\"", "example.org", 0 },
	{ "b@[192.0.2.1]", 0, "b@[192.0.2.1]", "b", "[192.0.2.1]", 0 },
	{ "b@[ipv6:2001:DB8::1]", 0, "b@[IPv6:2001:db8::1]", "b", "[IPv6:2001:db8::1]", 0 },
	{ "b@[192.0.2.256]", 0, NULL, NULL, NULL, 16 },
	{ "b@[IPv6:zz]", 0, NULL, NULL, NULL, 12 },
	{ "b@[192.0.2.1", 0, NULL, NULL, NULL, 13 },
	{ "b@192.0.2.1", 0, NULL, NULL, NULL, 12 },
	{ "", 0, NULL, NULL, NULL, 1 },
	{ "", ADDRESS_NULL, "", "", "", 0 },
	{ "bob", 0, NULL, NULL, NULL, 4 },
	{ "postmaster", ADDRESS_POSTMASTER, "postmaster", "postmaster", "", 0 },
	{ "PostMaster", ADDRESS_POSTMASTER, "PostMaster", "PostMaster", "", 0 },
	{ "postmistress", ADDRESS_POSTMASTER, NULL, NULL, NULL, 13 },
	{ "postmaster@x.org", ADDRESS_POSTMASTER, "postmaster@x.org", "postmaster", "x.org", 0 },
	{ "@example.org", 0, NULL, NULL, NULL, 1 },
	{ "bob@", 0, NULL, NULL, NULL, 5 },
	{ "bob@.org", 0, NULL, NULL, NULL, 5 },
	{ "bob@x..org", 0, NULL, NULL, NULL, 7 },
	{ "bob@x.org.", 0, NULL, NULL, NULL, 11 },
	{ "bob@-x.org", 0, NULL, NULL, NULL, 7 },
	{ ".bob@x.org", 0, NULL, NULL, NULL, 1 },
	{ "bob.@x.org", 0, NULL, NULL, NULL, 5 },
	{ "b..b@x.org", 0, NULL, NULL, NULL, 3 },
	{ "b b@x.org", 0, NULL, NULL, NULL, 2 },
	{ "bob@x.org>", 0, NULL, NULL, NULL, 10 },
	{ "bob@x.org\r\nRCPT", 0, NULL, NULL, NULL, 10 },
	{ "\"b\rb\"@x.org", 0, NULL, NULL, NULL, 3 },
	{ "b\x7f@x.org", 0, NULL, NULL, NULL, 2 },
	{ "\"bob@x.org", 0, NULL, NULL, NULL, 11 },
	{ "j\xc3\xb6rg@x.org", 0, NULL, NULL, NULL, 2 },
	{ "j\xc3\xb6rg@x.org", ADDRESS_UTF8, "j\xc3\xb6rg@x.org", "j\xc3\xb6rg", "x.org", 0 },
	{ "j\xc3rg@x.org", ADDRESS_UTF8, NULL, NULL, NULL, 1 },
	/* internationalised domains: one spelling, whatever was written */
	{ "bob@m\xc3\xbcller.example", ADDRESS_UTF8, "bob@xn--mller-kva.example", "bob",
	  "xn--mller-kva.example", 0 },
	{ "bob@M\xc3\x9cLLER.Example", ADDRESS_UTF8, "bob@xn--mller-kva.example", "bob",
	  "xn--mller-kva.example", 0 },
	{ "bob@mu\xcc\x88ller.example", ADDRESS_UTF8, "bob@xn--mller-kva.example", "bob",
	  "xn--mller-kva.example", 0 },
	{ "bob@\xe4\xbe\x8b\xe5\xad\x90.xn--mller-kva", ADDRESS_UTF8,
	  "bob@xn--fsqu00a.xn--mller-kva", "bob", "xn--fsqu00a.xn--mller-kva", 0 },
	{ "bob@m\xc3\xbcller.example", 0, NULL, NULL, NULL, 6 },
	{ "bob@\xe2\x98\x83\xcd\x8f.\xcc\x81", ADDRESS_UTF8, NULL, NULL, NULL, 13 },
	{ "bob@a.\xe2\x80\xae"
	  "b",
	  ADDRESS_UTF8, NULL, NULL, NULL, 11 },
};

static void test_mailboxes(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct address a;
		struct err err = ERR_INIT;
		int rc = address_parse(str_of(cases[i].in), cases[i].flags, &a, &err);
		if ((rc == 0) != (cases[i].text != NULL))
			fail_msg("%s: %s", cases[i].in, rc == 0 ? a.text : err.msg);
		if (rc < 0) {
			if (err.column != cases[i].column)
				fail_msg("%s: column %d", cases[i].in, err.column);
			continue;
		}
		assert_string_equal(a.text, cases[i].text);
		assert_true(str_eq(address_local(&a), str_of(cases[i].local)));
		assert_true(str_eq(address_domain(&a), str_of(cases[i].domain)));
		/* the canonical text is a fixed point, and splits the same way */
		if (a.n > 0) {
			struct address again;
			assert_int_equal(
				address_parse(address_str(&a), cases[i].flags, &again, NULL), 0);
			assert_string_equal(again.text, a.text);
			assert_true(
				str_eq(address_text_domain(address_str(&a)), address_domain(&a)));
		}
	}
}

static void test_nul_is_refused(void **state)
{
	struct address a;

	(void)state;
	assert_int_equal(address_parse(str_from("a\0b@x.org", 9), 0, &a, NULL), -ERR_SYNTAX);
	assert_int_equal(address_parse(str_from("ab@x.org\0", 9), 0, &a, NULL), -ERR_SYNTAX);
}

static void test_lengths(void **state)
{
	char text[400];
	struct address a;
	static const struct {
		int local, label, labels;
		bool ok;
	} sizes[] = {
		{ 64, 10, 1, true }, { 65, 10, 1, false }, { 3, 63, 1, true },
		{ 3, 64, 1, false }, { 1, 62, 4, true }, /* 1 + 1 + 4 * 62 + 3 = 253 */
		{ 2, 62, 4, true },  { 3, 62, 4, false },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(sizes); i++) {
		size_t n = 0;
		for (int k = 0; k < sizes[i].local; k++)
			text[n++] = 'l';
		for (int k = 0; k < sizes[i].labels; k++) {
			text[n++] = k == 0 ? '@' : '.';
			for (int m = 0; m < sizes[i].label; m++)
				text[n++] = 'd';
		}
		if ((address_parse(str_from(text, n), 0, &a, NULL) == 0) != sizes[i].ok)
			fail_msg("local %d, %d labels of %d", sizes[i].local, sizes[i].labels,
				 sizes[i].label);
	}
}

static void test_paths(void **state)
{
	static const struct {
		const char *in;
		unsigned flags;
		const char *text;
		size_t used;
	} paths[] = {
		{ "<bob@x.org>", 0, "bob@x.org", 11 },
		{ "<bob@x.org> SIZE=3", 0, "bob@x.org", 11 },
		{ "<>", ADDRESS_NULL, "", 2 },
		{ "<>", 0, NULL, 0 },
		{ "<@a.org,@b.org:bob@x.org>", 0, "bob@x.org", 25 },
		{ "<@a.org:bob@x.org>", 0, "bob@x.org", 18 },
		{ "<@a.org,bob@x.org>", 0, NULL, 0 },
		{ "<\"a>b\"@x.org>", 0, "\"a>b\"@x.org", 13 },
		{ "<\"a\\\">b\"@x.org>", 0, "\"a\\\">b\"@x.org", 15 },
		{ "bob@x.org", 0, NULL, 0 },
		{ "<bob@x.org", 0, NULL, 0 },
		{ "<bob@x.org junk>", 0, NULL, 0 },
		{ "< bob@x.org>", 0, NULL, 0 },
		{ "", 0, NULL, 0 },
		{ "<", ADDRESS_NULL, NULL, 0 },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(paths); i++) {
		struct address a;
		size_t used = 0;
		struct err err = ERR_INIT;
		int rc = address_parse_path(str_of(paths[i].in), paths[i].flags, &a, &used, &err);
		if ((rc == 0) != (paths[i].text != NULL))
			fail_msg("%s: %s", paths[i].in, rc == 0 ? a.text : err.msg);
		assert_int_equal(used, paths[i].used);
		if (rc == 0)
			assert_string_equal(a.text, paths[i].text);
		else
			assert_true(err.column > 0);
	}
}

/* RFC 5321, 4.5.3.1.3 */
static void test_long_paths(void **state)
{
	char path[400];
	struct address a;
	size_t used;

	(void)state;
	for (int n = 200; n < 280; n++) {
		(void)snprintf(
			path, sizeof(path), "<@%.*s:a@b.example>", n - 15,
			"a.bb.cc.dd.ee.ff.gg.hh.ii.jj.kk.ll.mm.nn.oo.pp.qq.rr.ss.tt.uu.vv.ww."
			"a.bb.cc.dd.ee.ff.gg.hh.ii.jj.kk.ll.mm.nn.oo.pp.qq.rr.ss.tt.uu.vv.ww."
			"a.bb.cc.dd.ee.ff.gg.hh.ii.jj.kk.ll.mm.nn.oo.pp.qq.rr.ss.tt.uu.vv.ww."
			"a.bb.cc.dd.ee.ff.gg.hh.ii.jj.kk.ll.mm.nn.oo.pp.qq.rr.ss.tt.uu.vv.ww.");
		if (path[n - 14] == '.')
			continue;
		assert_int_equal(strlen(path), n);
		if ((address_parse_path(str_of(path), 0, &a, &used, NULL) == 0) != (n <= 256))
			fail_msg("%d: %s", n, path);
	}
}

static void test_domains(void **state)
{
	(void)state;
	assert_true(address_domain_valid(STR("Gmail.com"), 0));
	assert_false(address_domain_valid(STR("gmail.com."), 0));
	assert_false(address_domain_valid(STR("a@b.org"), 0));
	assert_false(address_domain_valid(STR("10.0.0.1"), 0));
	assert_false(address_domain_valid(STR(""), 0));
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_mailboxes),  cmocka_unit_test(test_nul_is_refused),
		cmocka_unit_test(test_lengths),	   cmocka_unit_test(test_paths),
		cmocka_unit_test(test_long_paths), cmocka_unit_test(test_domains),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
