#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/mem.h"
#include "policy/unread.h"

#define NOW INT64_C(1795500000000)

static const struct unread_mail *add(struct unread *u, const char *content, int64_t now_ms)
{
	return unread_add(u,
			  &(struct unread_new_mail){ .content = str_of(content),
						     .client = "192.0.2.1",
						     .from = "",
						     .to = "f@x.example",
						     .subject = "s",
						     .original = "<1@x>",
						     .why = "w" },
			  now_ms);
}

/* red when there are more than there may be, they stay longer, or the latest is not the first */
static void test_bounds(void **state)
{
	struct unread *u = unread_new(3, 1000);
	char text[32];
	uint64_t id;

	(void)state;
	for (int i = 0; i < 5; i++) {
		(void)snprintf(text, sizeof(text), "H: x\r\n\r\n%d", i);
		(void)add(u, text, NOW + i);
		while (unread_pop(u, NOW + i, &id))
			assert_int_equal(id, i - 2);
	}
	assert_int_equal(unread_n(u), 3);
	assert_int_equal(unread_first(u)->id, 5);
	assert_int_equal(unread_next(unread_first(u))->id, 4);
	assert_false(unread_pop(u, NOW + 1001, &id));
	assert_true(unread_pop(u, NOW + 1002, &id));
	assert_int_equal(id, 3);
	assert_true(unread_drop(u, 5));
	assert_false(unread_drop(u, 5));
	assert_int_equal(add(u, "H: x\r\n\r\nnew", NOW)->id, 6); /* no number twice */
	unread_free(&u);
}

/* red when the same mail over another way is kept twice, or two different ones are one */
static void test_same_content(void **state)
{
	struct unread *u = unread_new(10, 1000);

	(void)state;
	(void)add(u, "Received: a\r\n\r\nbody", NOW);
	assert_int_equal(add(u, "Received: b\r\n\r\nbody", NOW + 5)->count, 2);
	assert_int_equal(unread_first(u)->last_ms, NOW + 5);
	(void)add(u, "Received: b\r\n\r\nbody2", NOW + 6);
	assert_int_equal(unread_n(u), 2);
	unread_free(&u);
}

/* red when something does not come back from the store, or a large mail is kept whole */
static void test_store(void **state)
{
	struct unread *u = unread_new(10, 1000), *v = unread_new(10, 1000);
	size_t n = 3 * UNREAD_TEXT_MAX;
	char *big = xmalloc(n + 1);
	const struct unread_mail *m;
	struct err err = ERR_INIT;
	json_t *o;
	char *json;

	(void)state;
	for (size_t i = 0; i < n; i++)
		big[i] = (char)(i % 7 == 0 ? 0xff : 'a');
	big[n] = '\0';
	m = add(u, big, NOW);
	assert_int_equal(m->size, n);
	assert_true(strlen(m->text) <= 3 * UNREAD_TEXT_MAX);
	o = unread_json(m);
	json = json_dumps(o, JSON_COMPACT);
	assert_int_equal(unread_put_json(v, "1", json, &err), 0);
	assert_string_equal(unread_find(v, 1)->text, m->text);
	assert_string_equal(unread_find(v, 1)->digest, m->digest);
	assert_string_equal(unread_find(v, 1)->original, "<1@x>");
	assert_int_equal(unread_find(v, 1)->size, n);
	assert_true(unread_put_json(v, "x", json, &err) < 0);
	assert_true(unread_put_json(v, "2", "nonsense", &err) < 0);
	assert_int_equal(unread_n(v), 1);
	json_decref(o);
	free(json);
	free(big);
	unread_free(&u);
	unread_free(&v);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_bounds),
		cmocka_unit_test(test_same_content),
		cmocka_unit_test(test_store),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
