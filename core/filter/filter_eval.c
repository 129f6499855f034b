/*
 * Meaning for one row, in Kleene's three-valued logic. filter_sql.c says the same in SQL; a
 * property test holds the two together.
 */
#include <string.h>

#include "base/obj.h"
#include "filter/filter_int.h"

static enum filter_truth truth(bool b)
{
	return b ? FILTER_TRUE : FILTER_FALSE;
}

static enum filter_truth negated(enum filter_truth t)
{
	if (t == FILTER_UNKNOWN)
		return t;
	return truth(t == FILTER_FALSE);
}

static bool contains_nocase(struct str hay, struct str needle)
{
	for (size_t i = 0; i + needle.n <= hay.n; i++)
		if (str_starts_nocase(str_from(hay.p + i, hay.n - i), needle))
			return true;
	return false;
}

static bool in_network(const struct ipnet *net, struct str text)
{
	struct ipaddr a;

	return ipaddr_parse(text, &a) && ipnet_has(net, &a);
}

/* Ages are compared on the clock's side, as SQL does it: age > v is at < now - v. */
static bool compare(const struct filter_value *v, enum filter_op op, int64_t x, int64_t now_ms)
{
	int64_t y = v->lo;

	if (filter_fields[v->field].kind == KIND_UNTIL) {
		y = now_ms + v->lo;
	} else if (filter_fields[v->field].kind == KIND_AGE) {
		int64_t at = x;
		x = now_ms - v->lo;
		y = at;
	}
	switch (op) {
	case OP_HAS:
	case OP_EQ:
	case OP_NE:
		return x == y;
	case OP_LT:
		return x < y;
	case OP_LE:
		return x <= y;
	case OP_GT:
		return x > y;
	case OP_GE:
		return x >= y;
	}
	BUG("filter operator %d", (int)op);
}

static bool test_value(const struct filter_value *v, enum filter_op op,
		       const struct filter_row *row)
{
	struct str text = row->text[v->field];
	struct str pattern = str_of(v->text);
	int64_t number = row->number[v->field];

	switch (v->test) {
	case TEST_EMPTY:
		return text.n == 0;
	case TEST_PRESENT:
		return text.n != 0;
	case TEST_EQUAL:
		return str_eq_nocase(text, pattern);
	case TEST_GLOB:
		return text.n > 0 && str_glob(pattern, text);
	case TEST_PART:
		return contains_nocase(text, pattern);
	case TEST_RANGE:
		return number != FILTER_NONE && number >= v->lo && number <= v->hi;
	case TEST_COMPARE:
		return number != FILTER_NONE && compare(v, op, number, row->now_ms);
	case TEST_NETWORK:
		return in_network(&v->net, text);
	}
	BUG("filter test %d", (int)v->test);
}

static enum filter_truth eval_term(const struct filter_term *t, const struct filter_row *row)
{
	enum filter_truth result = FILTER_FALSE;

	for (size_t i = 0; i < t->n && result != FILTER_TRUE; i++) {
		const struct filter_value *v = &t->values[i];
		if ((row->known & 1u << v->field) == 0)
			result = FILTER_UNKNOWN;
		else if (test_value(v, t->op, row))
			result = FILTER_TRUE;
	}
	return t->op == OP_NE ? negated(result) : result;
}

/* AND stops at a false child, OR at a true one; an unknown child makes the rest undecided. */
static enum filter_truth eval_node(const struct filter_node *n, const struct filter_row *row)
{
	enum filter_truth decisive = n->kind == NODE_OR ? FILTER_TRUE : FILTER_FALSE;
	enum filter_truth result = negated(decisive);
	const struct filter_node *child;

	if (n->kind == NODE_TERM)
		return eval_term(&n->term, row);
	if (n->kind == NODE_NOT)
		return negated(eval_node(STAILQ_FIRST(&n->children), row));
	STAILQ_FOREACH (child, &n->children, link) {
		enum filter_truth t = eval_node(child, row);
		if (t == decisive)
			return decisive;
		if (t == FILTER_UNKNOWN)
			result = FILTER_UNKNOWN;
	}
	return result;
}

enum filter_truth filter_eval(const struct filter *f, const struct filter_row *row)
{
	return eval_node(f->root, row);
}
