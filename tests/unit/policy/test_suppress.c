#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "base/mem.h"
#include "policy/suppress.h"
#include "proto/proto.h"

static void put(struct suppress *s, const char *address, const char *scope, int64_t expires_ms,
		uint64_t batch, uint32_t watch)
{
	const struct suppress_entry e = { .address = address,
					  .scope = scope,
					  .reason = "r",
					  .by = "root",
					  .created_ms = 5,
					  .expires_ms = expires_ms,
					  .batch = batch,
					  .watch = watch };
	struct err err = ERR_INIT;

	if (suppress_put(s, &e, &err) < 0)
		fail_msg("%s: %s", address, err.msg);
}

static const char *who(struct suppress *s, const char *address, const char *stream, int64_t now_ms)
{
	const struct suppress_entry *e = suppress_check(s, str_of(address), str_of(stream), now_ms);

	return e != NULL ? e->address : "nobody";
}

static void test_what_covers(void **state)
{
	struct suppress *s = suppress_new();

	(void)state;
	put(s, "anna@a.example", "", 0, 0, 0);
	put(s, "bela@a.example", "bulk", 0, 0, 0);
	put(s, "chen@a.example", "", 100, 0, 0);
	put(s, "dora@a.example", "", 0, 0, 2);
	put(s, "b.example", "", 0, 0, 0);
	put(s, "c.example", "bulk", 0, 0, 0);
	assert_string_equal(who(s, "ANNA@a.example", "x", 50), "anna@a.example");
	assert_string_equal(who(s, "bela@a.example", "x", 50), "nobody");
	assert_string_equal(who(s, "bela@a.example", "bulk", 50), "bela@a.example");
	assert_string_equal(who(s, "chen@a.example", "x", 99), "chen@a.example");
	assert_string_equal(who(s, "chen@a.example", "x", 100), "nobody");
	assert_string_equal(who(s, "dora@a.example", "x", 50), "nobody"); /* watched only */
	assert_string_equal(who(s, "x@b.example", "x", 50), "b.example");
	assert_string_equal(who(s, "x@sub.b.example", "x", 50), "nobody");
	assert_string_equal(who(s, "x@c.example", "bulk", 50), "c.example");
	assert_string_equal(who(s, "x@c.example", "x", 50), "nobody");
	assert_string_equal(who(s, "\"a@b\"@b.example", "x", 50), "b.example");
	suppress_free(&s);
}

static void test_json_is_what_was_put(void **state)
{
	struct suppress *s = suppress_new();
	const struct suppress_entry *e;
	json_t *before, *after;
	char *text;

	(void)state;
	put(s, "a@a.example", "bulk", 7, 3, 2);
	suppress_batch_add(s, 3);
	e = suppress_by_id(s, STR("stream:bulk a@a.example"));
	assert_non_null(e);
	before = suppress_json(e);
	text = json_dumps(before, JSON_COMPACT);
	assert_true(suppress_put_json(s, text, NULL) >= 0);
	after = suppress_json(suppress_by_id(s, STR("stream:bulk a@a.example")));
	assert_true(json_equal(before, after));
	assert_null(suppress_by_id(s, STR("a@a.example")));
	assert_true(suppress_put_json(s, "{\"address\":\"x@y.example\"}", NULL) < 0);
	free(text);
	json_decref(before);
	json_decref(after);
	suppress_free(&s);
}

struct seen {
	size_t gone;
	size_t counted;
};

static void on_gone(void *arg, const struct suppress_entry *e)
{
	(void)e;
	((struct seen *)arg)->gone++;
}

static void on_counted(void *arg, const struct suppress_entry *e)
{
	(void)e;
	((struct seen *)arg)->counted++;
}

/* A dropped import is void at once, the sweep takes its entries out in slices, and what was put in
 * by others in between stays. */
static void test_imports(void **state)
{
	static const struct suppress_sweep_ops ops = { on_gone, on_counted };
	struct suppress *s = suppress_new();
	struct seen seen = { 0 };
	char address[32];
	int slices = 0;

	(void)state;
	suppress_batch_add(s, 9);
	suppress_batch_add(s, 4);
	for (int i = 0; i < 1000; i++) {
		(void)snprintf(address, sizeof(address), "u%d@a.example", i);
		put(s, address, "", 0, i % 2 == 0 ? 9 : 4, 0);
	}
	assert_int_equal(suppress_n(s), 1000);
	assert_int_equal(suppress_batch_n(s, 9), 500);
	suppress_batch_drop(s, 9);
	assert_int_equal(suppress_n(s), 500);
	assert_string_equal(who(s, "u2@a.example", "x", 1), "nobody");
	assert_string_equal(who(s, "u3@a.example", "x", 1), "u3@a.example");
	assert_null(suppress_find(s, "u2@a.example", ""));
	put(s, "u2@a.example", "", 0, 0, 0); /* by hand, over a void one */
	assert_int_equal(suppress_n(s), 501);
	suppress_hit(s, suppress_check(s, STR("u2@a.example"), STR("x"), 1), 1);
	while (!suppress_sweep(s, 100, 1, &ops, &seen))
		slices++;
	assert_in_range(slices, 9, 10);
	assert_int_equal(seen.gone, 499);
	assert_int_equal(seen.counted, 1);
	assert_int_equal(suppress_n(s), 501);
	assert_string_equal(who(s, "u2@a.example", "x", 1), "u2@a.example");
	while (!suppress_sweep(s, 100, 1, &ops, &seen))
		;
	assert_int_equal(seen.gone + seen.counted, 500);
	suppress_free(&s);
}

static void test_canonical(void **state)
{
	static const struct {
		const char *text;
		const char *canonical; /* NULL: refused */
	} cases[] = {
		{ "Anna@A.Example", "anna@a.example" },
		{ " <anna@a.example> ", "anna@a.example" },
		{ "@A.Example", "a.example" },
		{ "A.Example", "a.example" },
		{ "anna@m\xc3\xbcller.example", "anna@xn--mller-kva.example" },
		{ "anna", NULL },
		{ "", NULL },
		{ "@", NULL },
		{ "<>", NULL },
		{ "a b@c.example", NULL },
		{ "a@\xef\xbb\xbf", NULL }, /* a domain of nothing */
		{ "a@b.\xef\xbb\xbf.example", NULL },
		{ "anna@", NULL },
	};
	char address[ADDRESS_DOMAIN_MAX + 1];

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		int rc = suppress_address(str_of(cases[i].text), address, NULL);
		if ((rc >= 0) != (cases[i].canonical != NULL))
			fail_msg("'%s': %d", cases[i].text, rc);
		if (rc >= 0)
			assert_string_equal(address, cases[i].canonical);
	}
}

/* What filters by source, and the manual of events, know all of them. */
static void test_sources_are_told(void **state)
{
	struct str rest = STR(SUPPRESS_SOURCES);
	const struct field_def *f = field_find("event", "source");
	unsigned n = 0;

	(void)state;
	while (rest.n > 0) {
		struct str word = str_cut(&rest, '|');
		int k = 0;

		while (k < SUPPRESS_SOURCE__COUNT &&
		       !str_eq(word, str_of(suppress_source_name((enum suppress_source)k))))
			k++;
		assert_true(k < SUPPRESS_SOURCE__COUNT);
		n++;
	}
	assert_int_equal(n, SUPPRESS_SOURCE__COUNT);
	for (int k = 0; k < SUPPRESS_SOURCE__COUNT; k++)
		assert_non_null(strstr(f->help, suppress_source_name((enum suppress_source)k)));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_what_covers),
		cmocka_unit_test(test_json_is_what_was_put),
		cmocka_unit_test(test_imports),
		cmocka_unit_test(test_canonical),
		cmocka_unit_test(test_sources_are_told),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
