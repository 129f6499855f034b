/*
 * An entry stands in the tree of its kind, by place: one tree for each field that keys can ask, one
 * for all other rules. Entries with a key also stand in a slot, the list of those that ask for the
 * same value. The first in a field's tree is what is open when the field is not known.
 */
#include "filter/filter_index.h"

#include <bsd/sys/tree.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/queue.h>

#include "base/mem.h"
#include "base/obj.h"
#include "mail/msgid.h"

#define OTHERS FILTER__COUNT /* the tree of rules without a key */

TAILQ_HEAD(entry_list, entry);

struct slot {
	RB_ENTRY(slot) node;
	enum filter_field field;
	struct str value;	   /* borrows from a filter in `entries` */
	struct entry_list entries; /* in their order */
};
RB_HEAD(slot_tree, slot);

struct entry {
	RB_ENTRY(entry) node;
	TAILQ_ENTRY(entry) link;
	struct slot *slot; /* NULL without a key */
	struct filter_rule rule;
};
RB_HEAD(entry_tree, entry);

struct filter_index {
	size_t n;
	struct slot_tree slots;
	struct entry_tree trees[FILTER__COUNT + 1];
};

static int entry_cmp(const struct entry *a, const struct entry *b)
{
	if (a->rule.place < b->rule.place || a->rule.place > b->rule.place)
		return a->rule.place < b->rule.place ? -1 : 1;
	return (a->rule.number > b->rule.number) - (a->rule.number < b->rule.number);
}

static int slot_cmp(const struct slot *a, const struct slot *b)
{
	if (a->field != b->field)
		return a->field < b->field ? -1 : 1;
	if (a->value.n != b->value.n)
		return a->value.n < b->value.n ? -1 : 1;
	return strncasecmp(a->value.p, b->value.p, a->value.n);
}

#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wnull-dereference" /* the trees' macros */
RB_GENERATE_INTERNAL(entry_tree, entry, node, entry_cmp, static __attribute__((unused)))
RB_GENERATE_INTERNAL(slot_tree, slot, node, slot_cmp, static __attribute__((unused)))
#pragma GCC diagnostic pop

struct filter_index *filter_index_new(void)
{
	struct filter_index *ix = xcalloc(1, sizeof(*ix));

	RB_INIT(&ix->slots);
	for (int i = 0; i <= FILTER__COUNT; i++)
		RB_INIT(&ix->trees[i]);
	return ix;
}

static struct slot *slot_find(const struct filter_index *ix, enum filter_field field,
			      struct str value)
{
	struct slot probe = { .field = field, .value = value };
	struct slot_tree slots = ix->slots; /* looking does not change it */

	return RB_FIND(slot_tree, &slots, &probe);
}

static void slot_enter(struct filter_index *ix, struct entry *e, enum filter_field field,
		       struct str value)
{
	struct slot *s = slot_find(ix, field, value);
	struct entry *before;

	if (s == NULL) {
		s = xcalloc(1, sizeof(*s));
		s->field = field;
		s->value = value;
		TAILQ_INIT(&s->entries);
		RB_INSERT(slot_tree, &ix->slots, s);
	}
	e->slot = s;
	TAILQ_FOREACH_REVERSE(before, &s->entries, entry_list, link)
	if (entry_cmp(before, e) < 0) {
		TAILQ_INSERT_AFTER(&s->entries, before, e, link);
		return;
	}
	TAILQ_INSERT_HEAD(&s->entries, e, link);
}

static void slot_leave(struct filter_index *ix, struct entry *e)
{
	struct slot *s = e->slot;
	enum filter_field field;

	if (s == NULL)
		return;
	TAILQ_REMOVE(&s->entries, e, link);
	e = TAILQ_FIRST(&s->entries);
	if (e != NULL) { /* the value may have been that of the filter that goes */
		(void)filter_simple_key(e->rule.filter, &field, &s->value);
		return;
	}
	RB_REMOVE(slot_tree, &ix->slots, s);
	free(s);
}

void filter_index_add(struct filter_index *ix, const struct filter_rule *rule)
{
	struct entry *e = xcalloc(1, sizeof(*e));
	enum filter_field field = OTHERS;
	struct str value = STR("");

	e->rule = *rule;
	if (filter_simple_key(rule->filter, &field, &value))
		slot_enter(ix, e, field, value);
	if (RB_INSERT(entry_tree, &ix->trees[field], e) != NULL)
		BUG("two rules have the number %u", rule->number);
	ix->n++;
}

bool filter_index_drop(struct filter_index *ix, const struct filter_rule *rule)
{
	struct entry probe = { .rule = *rule };
	enum filter_field field = OTHERS;
	struct str value;
	struct entry *e;

	(void)filter_simple_key(rule->filter, &field, &value);
	e = RB_FIND(entry_tree, &ix->trees[field], &probe);
	if (e == NULL)
		return false;
	RB_REMOVE(entry_tree, &ix->trees[field], e);
	slot_leave(ix, e);
	free(e);
	ix->n--;
	return true;
}

bool filter_index_free_some(struct filter_index **ip, size_t most)
{
	struct filter_index *ix = *ip;

	for (int i = 0; i <= FILTER__COUNT; i++) {
		struct entry *e;
		for (; most > 0 && (e = RB_ROOT(&ix->trees[i])) != NULL; most--) {
			struct filter_rule rule = e->rule;
			(void)filter_index_drop(ix, &rule);
		}
	}
	if (ix->n > 0)
		return true;
	free(ix);
	*ip = NULL;
	return false;
}

void filter_index_free(struct filter_index **ip)
{
	if (ip != NULL && *ip != NULL)
		(void)filter_index_free_some(ip, SIZE_MAX);
}

size_t filter_index_n(const struct filter_index *ix)
{
	return ix->n;
}

/* ---- asking ---- */

/* The slots that a known field leads to; an id leads to its message and to its recipient. */
static size_t slots_of(const struct filter_index *ix, enum filter_field field,
		       const struct filter_row *row, const struct slot *ret[static 2])
{
	char text[RID_TEXT_LEN];
	struct rid rid = { (uint64_t)row->number[field] };
	size_t n = 0;

	if (field != FILTER_ID) {
		ret[0] = slot_find(ix, field, row->text[field]);
		return ret[0] != NULL;
	}
	if (row->number[field] <= 0)
		return 0;
	msgid_text(rid_msgid(rid), text);
	ret[0] = slot_find(ix, field, str_of(text));
	n += ret[0] != NULL;
	rid_text(rid, text);
	ret[n] = slot_find(ix, field, str_of(text));
	return n + (ret[n] != NULL);
}

static const struct entry *earlier(const struct entry *a, const struct entry *b)
{
	if (a == NULL || b == NULL)
		return a == NULL ? b : a;
	return entry_cmp(a, b) <= 0 ? a : b;
}

static const struct entry *tree_first(const struct filter_index *ix, int i)
{
	struct entry_tree tree = ix->trees[i];

	return RB_MIN(entry_tree, &tree);
}

/* Each entry with its successor; looking does not change the tree. */
static const struct entry *tree_next(const struct entry *e)
{
	return entry_tree_RB_NEXT((struct entry *)(uintptr_t)e);
}

const void *filter_index_first(const struct filter_index *ix, const struct filter_row *row,
			       bool *ret_open)
{
	const struct entry *best = NULL;
	const struct entry *open = NULL;
	const struct entry *e;

	for (int i = 0; i < FILTER__COUNT; i++) {
		const struct slot *slots[2];
		size_t n;
		if (RB_EMPTY(&ix->trees[i]))
			continue;
		if ((row->known & 1u << i) == 0) {
			open = earlier(open, tree_first(ix, i));
			continue;
		}
		n = slots_of(ix, (enum filter_field)i, row, slots);
		for (size_t k = 0; k < n; k++)
			best = earlier(best, TAILQ_FIRST(&slots[k]->entries));
	}
	for (e = tree_first(ix, OTHERS); e != NULL && earlier(e, best) == e; e = tree_next(e)) {
		enum filter_truth t = filter_eval(e->rule.filter, row);
		if (t == FILTER_TRUE)
			best = e;
		else if (t == FILTER_UNKNOWN)
			open = earlier(open, e);
	}
	*ret_open = open != NULL && earlier(open, best) == open;
	return best != NULL ? best->rule.arg : NULL;
}

void filter_index_each(const struct filter_index *ix, const struct filter_row *row,
		       filter_index_fn *fn, void *arg)
{
	const struct entry *e;

	for (int i = 0; i < FILTER__COUNT; i++) {
		const struct slot *slots[2];
		size_t n;
		if (RB_EMPTY(&ix->trees[i]))
			continue;
		if ((row->known & 1u << i) == 0) {
			for (e = tree_first(ix, i); e != NULL; e = tree_next(e))
				fn(arg, &e->rule, false);
			continue;
		}
		n = slots_of(ix, (enum filter_field)i, row, slots);
		for (size_t k = 0; k < n; k++)
			TAILQ_FOREACH (e, &slots[k]->entries, link)
				fn(arg, &e->rule, true);
	}
	for (e = tree_first(ix, OTHERS); e != NULL; e = tree_next(e)) {
		enum filter_truth t = filter_eval(e->rule.filter, row);
		if (t != FILTER_FALSE)
			fn(arg, &e->rule, t == FILTER_TRUE);
	}
}
