#include "policy/tally.h"

#include <bsd/sys/tree.h>
#include <stdlib.h>

#include "base/mem.h"
#include "base/obj.h"

struct tally_node {
	RB_ENTRY(tally_node) link;
	unsigned n;
	unsigned char size;
	char key[TALLY_KEY_MAX + 1]; /* `what`, then the key */
};
RB_HEAD(tally_tree, tally_node);

struct tally {
	struct tally_tree tree;
};

static int node_cmp(const struct tally_node *a, const struct tally_node *b)
{
	int d = memcmp(a->key, b->key, a->size < b->size ? a->size : b->size);

	return d != 0 ? d : (a->size > b->size) - (a->size < b->size);
}

#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wnull-dereference" /* the tree's macros */
RB_GENERATE_INTERNAL(tally_tree, tally_node, link, node_cmp, static __attribute__((unused)))
#pragma GCC diagnostic pop

struct tally *tally_new(void)
{
	struct tally *t = xcalloc(1, sizeof(*t));

	RB_INIT(&t->tree);
	return t;
}

static void take_out(struct tally *t, struct tally_node *n)
{
	RB_REMOVE(tally_tree, &t->tree, n);
	free(n);
}

void tally_free(struct tally **tp)
{
	struct tally_node *n;

	if (tp == NULL || *tp == NULL)
		return;
	while ((n = RB_ROOT(&(*tp)->tree)) != NULL)
		take_out(*tp, n);
	free(*tp);
	*tp = NULL;
}

static void set_key(struct tally_node *n, char what, struct str key)
{
	ASSERT(key.n <= TALLY_KEY_MAX);
	n->key[0] = what;
	if (key.n > 0)
		memcpy(n->key + 1, key.p, key.n);
	n->size = (unsigned char)(key.n + 1);
}

static struct tally_node *find(const struct tally *t, char what, struct str key)
{
	struct tally_node probe = { .n = 0 };
	struct tally_tree tree = t->tree; /* looking does not change it */

	set_key(&probe, what, key);
	return RB_FIND(tally_tree, &tree, &probe);
}

unsigned tally_get(const struct tally *t, char what, struct str key)
{
	const struct tally_node *n = find(t, what, key);

	return n != NULL ? n->n : 0;
}

void tally_add(struct tally *t, char what, struct str key)
{
	struct tally_node *n = find(t, what, key);

	if (n == NULL) {
		n = xcalloc(1, sizeof(*n));
		set_key(n, what, key);
		RB_INSERT(tally_tree, &t->tree, n);
	}
	n->n++;
}

void tally_drop(struct tally *t, char what, struct str key)
{
	struct tally_node *n = find(t, what, key);

	ASSERT(n != NULL);
	if (--n->n == 0)
		take_out(t, n);
}
