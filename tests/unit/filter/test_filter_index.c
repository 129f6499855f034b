/*
 * The index against the plain way: every rule in its order, each asked by itself.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <cmocka.h>

#include "base/mem.h"
#include "filter/filter_index.h"
#include "mail/msgid.h"
#include "random_filter.h"

#define RULES 40
#define NOW INT64_C(1795490000000)

static struct filter_row random_row(void)
{
	static const char *const texts[] = { "",	  "a.org", "b.org",	 "Bulk", "bulk",
					     "bob@a.org", "CRM",   "google.com", "held", "a b" };
	struct filter_row row = FILTER_ROW_INIT(NOW);
	struct msgid id;
	unsigned n;

	assert_true(msgid_parse_rcpt(STR("0N4XK2M8QF"), &id, &n));
	for (int i = 0; i < FILTER__COUNT; i++) {
		if (pick(3) == 0)
			continue;
		filter_row_text(&row, (enum filter_field)i, str_of(texts[pick(ARRAY_LEN(texts))]));
		row.number[i] = (int64_t)pick(600);
	}
	if (pick(2) == 0)
		row.number[FILTER_ID] = (int64_t)rid_of(id, 1 + (unsigned)pick(3)).v;
	return row;
}

/* The rules in the order of place and number, without the index. */
struct plain {
	struct filter_rule rules[RULES];
	size_t n;
};

static bool stands_before(const struct filter_rule *a, const struct filter_rule *b)
{
	if (a->place < b->place || a->place > b->place)
		return a->place < b->place;
	return a->number < b->number;
}

static void check_first(const struct filter_index *ix, const struct plain *p,
			const struct filter_row *row)
{
	const struct filter_rule *first = NULL;
	const struct filter_rule *unknown = NULL;
	bool open;
	const void *got = filter_index_first(ix, row, &open);

	for (size_t i = 0; i < p->n; i++) {
		const struct filter_rule *r = &p->rules[i];
		enum filter_truth t = filter_eval(r->filter, row);
		if (t == FILTER_TRUE && (first == NULL || stands_before(r, first)))
			first = r;
		if (t == FILTER_UNKNOWN && (unknown == NULL || stands_before(r, unknown)))
			unknown = r;
	}
	assert_ptr_equal(got, first != NULL ? first->arg : NULL);
	assert_int_equal(open, unknown != NULL && (first == NULL || stands_before(unknown, first)));
}

struct seen {
	unsigned known[RULES];
	unsigned maybe[RULES];
};

static void see(void *arg, const struct filter_rule *rule, bool known)
{
	struct seen *s = arg;

	(known ? s->known : s->maybe)[rule->number]++;
}

static void check_each(const struct filter_index *ix, const struct plain *p,
		       const struct filter_row *row)
{
	struct seen s = { .known = { 0 } };

	filter_index_each(ix, row, see, &s);
	for (size_t i = 0; i < p->n; i++) {
		enum filter_truth t = filter_eval(p->rules[i].filter, row);
		assert_int_equal(s.known[p->rules[i].number], t == FILTER_TRUE);
		assert_int_equal(s.maybe[p->rules[i].number], t == FILTER_UNKNOWN);
	}
}

static void test_as_plain(void **state)
{
	(void)state;
	srand(20);
	for (int round = 0; round < 300; round++) {
		struct filter_index *ix = filter_index_new();
		struct plain p = { .n = 0 };
		struct filter *owned[RULES];
		while (p.n < RULES) {
			AUTO_BUF text = BUF_INIT(FILTER_TEXT_MAX);
			struct filter_rule *r = &p.rules[p.n];
			if (pick(2) == 0)
				random_term(&text);
			else
				random_filter_text(&text, 1);
			owned[p.n] = filter_parse(buf_str(&text), NULL);
			assert_non_null(owned[p.n]);
			*r = (struct filter_rule){ .place = (double)pick(8),
						   .number = (uint32_t)p.n,
						   .filter = owned[p.n],
						   .arg = &owned[p.n] };
			filter_index_add(ix, r);
			p.n++;
		}
		while (p.n > 0) {
			size_t gone = pick(p.n);
			for (int k = 0; k < 5; k++) {
				struct filter_row row = random_row();
				check_first(ix, &p, &row);
				check_each(ix, &p, &row);
			}
			assert_int_equal(filter_index_n(ix), p.n);
			assert_true(filter_index_drop(ix, &p.rules[gone]));
			assert_false(filter_index_drop(ix, &p.rules[gone]));
			p.rules[gone] = p.rules[--p.n];
		}
		for (size_t i = 0; i < RULES; i++)
			filter_free(&owned[i]);
		filter_index_free(&ix);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_as_plain) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
