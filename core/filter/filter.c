/*
 * The tree's life, its canonical text, and small questions about it. Parsing is in filter_parse.c
 * and filter_value.c, meaning in filter_eval.c and filter_sql.c.
 */
#include "filter/filter.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/obj.h"
#include "filter/filter_int.h"

const struct filter_field_def filter_fields[FILTER__COUNT] = {
#define FILTER_FIELD(id, name, kind, flags, help, example)                                         \
	[FILTER_##id] = { name, KIND_##kind, flags, help, example },
#include "filter/filter_fields.def"
#undef FILTER_FIELD
};

const struct filter_state_def filter_states[FILTER_STATES] = {
#define FILTER_STATE(name, help) { name, help },
#include "filter/filter_states.def"
#undef FILTER_STATE
};

const char *const filter_ops[FILTER_OPS] = { ":", "=", "!=", "<", "<=", ">", ">=" };

_Static_assert(FILTER__COUNT <= 32, "fields fit the masks");

struct filter_node *filter_node_new(enum filter_node_kind kind)
{
	struct filter_node *n = xcalloc(1, sizeof(*n));

	n->kind = kind;
	STAILQ_INIT(&n->children);
	return n;
}

/* Recursion is bounded by FILTER_DEPTH_MAX. */
void filter_node_free(struct filter_node **np)
{
	struct filter_node *n = *np;

	if (n == NULL)
		return;
	while (!STAILQ_EMPTY(&n->children)) {
		struct filter_node *child = STAILQ_FIRST(&n->children);
		STAILQ_REMOVE_HEAD(&n->children, link);
		filter_node_free(&child);
	}
	for (size_t i = 0; i < n->term.n; i++)
		free(n->term.values[i].text);
	free(n->term.values);
	free(n);
	*np = NULL;
}

void filter_free(struct filter **fp)
{
	if (fp == NULL || *fp == NULL)
		return;
	filter_node_free(&(*fp)->root);
	free(*fp);
	*fp = NULL;
}

struct filter_value *filter_term_add(struct filter_term *t)
{
	if (t->n == t->cap) {
		t->cap = t->cap != 0 ? 2 * t->cap : 4;
		t->values = xreallocarray(t->values, t->cap, sizeof(*t->values));
	}
	memset(&t->values[t->n], 0, sizeof(t->values[0]));
	return &t->values[t->n++];
}

/* ---- printing ---- */

static bool plain_byte(unsigned char b, bool word)
{
	if (b <= ' ' || b == 0x7f || strchr("()\",\\", b) != NULL)
		return false;
	/* a word must not look like a field and its operator */
	return !word || strchr(":=<>!", b) == NULL;
}

static bool is_plain(struct str s, bool word)
{
	if (s.n == 0)
		return false;
	for (size_t i = 0; i < s.n; i++)
		if (!plain_byte((unsigned char)s.p[i], word))
			return false;
	return !word || (s.p[0] != '-' && !str_eq_nocase(s, STR("or")) &&
			 !str_eq_nocase(s, STR("and")) && !str_eq_nocase(s, STR("not")));
}

static void print_text(struct str s, bool word, struct buf *out)
{
	if (is_plain(s, word)) {
		(void)buf_put_str(out, s);
		return;
	}
	(void)buf_putc(out, '"');
	for (size_t i = 0; i < s.n; i++) {
		if (s.p[i] == '"' || s.p[i] == '\\')
			(void)buf_putc(out, '\\');
		(void)buf_putc(out, s.p[i]);
	}
	(void)buf_putc(out, '"');
}

static void print_term(const struct filter_term *t, struct buf *out)
{
	if (t->field == FILTER_TERM_WORD) {
		print_text(str_of(t->values[0].text), true, out);
		return;
	}
	(void)buf_puts(out, filter_fields[t->field].name);
	(void)buf_puts(out, filter_ops[t->op]);
	for (size_t i = 0; i < t->n; i++) {
		if (i > 0)
			(void)buf_putc(out, ',');
		print_text(str_of(t->values[i].text), false, out);
	}
}

static void print_node(const struct filter_node *n, const struct filter_node *parent,
		       struct buf *out)
{
	const struct filter_node *child;
	/* `and` binds tighter than `or`: no parentheses that would add to the depth */
	bool parens = parent != NULL &&
		      (n->kind == NODE_OR || (n->kind == NODE_AND && parent->kind == NODE_NOT));

	if (n->kind == NODE_TERM) {
		print_term(&n->term, out);
		return;
	}
	if (n->kind == NODE_NOT)
		(void)buf_putc(out, '-');
	if (parens)
		(void)buf_putc(out, '(');
	STAILQ_FOREACH (child, &n->children, link) {
		if (child != STAILQ_FIRST(&n->children))
			(void)buf_puts(out, n->kind == NODE_OR ? " or " : " ");
		print_node(child, n, out);
	}
	if (parens)
		(void)buf_putc(out, ')');
}

bool filter_print(const struct filter *f, struct buf *out)
{
	print_node(f->root, NULL, out);
	return !out->full;
}

/* ---- questions ---- */

bool filter_matches_all(const struct filter *f)
{
	return f->root->kind == NODE_AND && STAILQ_EMPTY(&f->root->children);
}

static uint32_t node_uses(const struct filter_node *n)
{
	const struct filter_node *child;
	uint32_t mask = 0;

	for (size_t i = 0; i < n->term.n; i++)
		mask |= 1u << n->term.values[i].field;
	STAILQ_FOREACH (child, &n->children, link)
		mask |= node_uses(child);
	return mask;
}

uint32_t filter_uses(const struct filter *f)
{
	return node_uses(f->root);
}

bool filter_simple_key(const struct filter *f, enum filter_field *ret_field, struct str *ret_value)
{
	static const uint32_t keys = 1u << FILTER_DOMAIN | 1u << FILTER_PROVIDER |
				     1u << FILTER_STREAM | 1u << FILTER_FROM |
				     1u << FILTER_CREDENTIAL | 1u << FILTER_ID;
	const struct filter_term *t = &f->root->term;
	bool exact;

	if (f->root->kind != NODE_TERM || t->n != 1 || t->field == FILTER_TERM_WORD ||
	    (keys & 1u << t->field) == 0 || (t->op != OP_HAS && t->op != OP_EQ))
		return false;
	exact = t->values[0].test == TEST_EQUAL ||
		(t->field == FILTER_ID && strchr(t->values[0].text, '*') == NULL);
	if (!exact)
		return false;
	*ret_field = t->field;
	*ret_value = str_of(t->values[0].text);
	return true;
}

size_t filter_id_ranges(const struct filter *f, struct filter_range *ret, size_t max)
{
	const struct filter_term *t = &f->root->term;

	if (f->root->kind != NODE_TERM || t->field != FILTER_ID || t->n > max ||
	    (t->op != OP_HAS && t->op != OP_EQ))
		return 0;
	for (size_t i = 0; i < t->n; i++)
		ret[i] = (struct filter_range){ .first = (uint64_t)t->values[i].lo,
						.last = (uint64_t)t->values[i].hi };
	return t->n;
}

static bool node_splits(const struct filter_node *n, uint32_t fields, uint32_t known)
{
	uint32_t uses = node_uses(n);
	const struct filter_node *child;

	if ((uses & fields) == 0 || (uses & ~known) == 0)
		return true;
	if (n->kind != NODE_AND)
		return false;
	STAILQ_FOREACH (child, &n->children, link)
		if (!node_splits(child, fields, known))
			return false;
	return true;
}

bool filter_splits(const struct filter *f, uint32_t fields, uint32_t known)
{
	return node_splits(f->root, fields, known);
}

static bool node_names_state(const struct filter_node *n, struct str state, bool positive)
{
	const struct filter_node *child;

	if (n->kind == NODE_NOT)
		positive = !positive;
	if (n->kind == NODE_TERM && n->term.field == FILTER_STATE &&
	    positive == (n->term.op != OP_NE))
		for (size_t i = 0; i < n->term.n; i++)
			if (str_eq(str_of(n->term.values[i].text), state))
				return true;
	STAILQ_FOREACH (child, &n->children, link)
		if (node_names_state(child, state, positive))
			return true;
	return false;
}

bool filter_names_state(const struct filter *f, struct str state)
{
	return node_names_state(f->root, state, true);
}

bool filter_field_of(enum filter_about about, enum filter_field field)
{
	ASSERT(field < FILTER__COUNT);
	unsigned flags = filter_fields[field].flags;
	if ((flags & FF_BOTH) != 0)
		return true;
	return ((flags & FF_AUDIT) != 0) == (about == FILTER_AUDIT);
}

const char *filter_field_name(enum filter_field field)
{
	ASSERT(field < FILTER__COUNT);
	return filter_fields[field].name;
}

const char *filter_field_help(enum filter_field field)
{
	ASSERT(field < FILTER__COUNT);
	return filter_fields[field].help;
}

const char *filter_field_example(enum filter_field field)
{
	ASSERT(field < FILTER__COUNT);
	return filter_fields[field].example;
}

enum filter_field filter_field_find(struct str name)
{
	for (int i = 0; i < FILTER__COUNT; i++)
		if (str_eq_nocase(name, str_of(filter_fields[i].name)))
			return (enum filter_field)i;
	return FILTER__COUNT;
}

size_t filter_op_read(struct str s, enum filter_op *ret_op)
{
	size_t best = 0;

	for (int i = 0; i < FILTER_OPS; i++) {
		struct str op = str_of(filter_ops[i]);
		if (op.n > best && str_starts(s, op)) {
			best = op.n;
			*ret_op = (enum filter_op)i;
		}
	}
	return best;
}

bool filter_op_fits(enum filter_kind kind, enum filter_op op)
{
	bool equality = op == OP_HAS || op == OP_EQ || op == OP_NE;

	switch (kind) {
	case KIND_AGE:
	case KIND_UNTIL:
		return !equality;
	case KIND_COUNT:
	case KIND_SIZE:
	case KIND_CODE:
		return true;
	case KIND_ID:
	case KIND_STATE:
	case KIND_NAME:
	case KIND_ADDRESS:
	case KIND_TEXT:
	case KIND_ENHANCED:
	case KIND_NETWORK:
		return equality;
	}
	BUG("filter kind %d", (int)kind);
}
