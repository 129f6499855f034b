/*
 * The text before the cursor is cut to the word that is being written (quotes respected), and that
 * word is one of: a field's beginning, a field with its operator missing, or a value's beginning.
 */
#include "filter/filter_complete.h"

#include <stdarg.h>
#include <stdio.h>

#include "filter/filter_int.h"

static void PRINTF_LIKE(3, 4)
	add(struct filter_completion *c, const char *help, const char *fmt, ...)
{
	struct filter_candidate *item = &c->items[c->n];
	va_list ap;

	if (c->n == FILTER_CANDIDATES_MAX)
		return;
	va_start(ap, fmt);
	(void)vsnprintf(item->text, sizeof(item->text), fmt, ap);
	va_end(ap);
	item->help = help;
	c->n++;
}

/* Where the word that ends at the cursor begins; its minus sign is left out. */
static size_t word_start(struct str text)
{
	size_t start = 0;
	bool quoted = false;

	for (size_t i = 0; i < text.n; i++) {
		char c = text.p[i];
		if (c == '\\' && quoted)
			i++;
		else if (c == '"')
			quoted = !quoted;
		else if (!quoted && (c == ' ' || c == '(' || c == ')'))
			start = i + 1;
	}
	if (start < text.n && text.p[start] == '-')
		start++;
	return start;
}

static const char *op_help(enum filter_op op)
{
	switch (op) {
	case OP_HAS:
		return "matches";
	case OP_EQ:
		return "is";
	case OP_NE:
		return "is not";
	case OP_LT:
		return "less than";
	case OP_LE:
		return "at most";
	case OP_GT:
		return "more than";
	case OP_GE:
		return "at least";
	}
	return "";
}

static void offer_fields(enum filter_about about, struct filter_completion *c, struct str word)
{
	for (int i = 0; i < FILTER__COUNT; i++) {
		const struct filter_field_def *def = &filter_fields[i];
		bool match = filter_op_fits(def->kind, OP_HAS);
		if (filter_field_of(about, (enum filter_field)i) &&
		    str_starts_nocase(str_of(def->name), word))
			add(c, def->help, "%s%s", def->name, match ? ":" : ">");
	}
	if (word.n > 0 && str_starts_nocase(STR("or"), word))
		add(c, "one of both sides", "or ");
	if (word.n > 0 && str_starts_nocase(STR("not"), word))
		add(c, "the opposite of what follows", "not ");
}

static void offer_ops(struct filter_completion *c, enum filter_field field)
{
	const struct filter_field_def *def = &filter_fields[field];

	for (int op = 0; op < FILTER_OPS; op++)
		if (filter_op_fits(def->kind, (enum filter_op)op))
			add(c, op_help((enum filter_op)op), "%s%s", def->name, filter_ops[op]);
}

static void offer_values(struct filter_completion *c)
{
	static const char *const ages[] = { "10m", "1h", "2h", "1d", "3d" };
	static const char *const sizes[] = { "100K", "1M", "10M" };
	static const char *const codes[] = { "4xx", "5xx", "421", "4.7.*", "5.1.1" };
	enum filter_kind kind = filter_fields[c->field].kind;
	const char *const *list = NULL;
	size_t n = 0;

	if (kind == KIND_AGE || kind == KIND_UNTIL) {
		list = ages;
		n = sizeof(ages) / sizeof(ages[0]);
	} else if (kind == KIND_SIZE) {
		list = sizes;
		n = sizeof(sizes) / sizeof(sizes[0]);
	} else if (kind == KIND_CODE) {
		list = codes;
		n = sizeof(codes) / sizeof(codes[0]);
	}
	for (size_t i = 0; i < n; i++)
		if (str_starts_nocase(str_of(list[i]), c->partial))
			add(c, "", "%s", list[i]);
	if (kind == KIND_STATE)
		for (size_t i = 0; i < FILTER_STATES; i++)
			if (str_starts_nocase(str_of(filter_states[i].name), c->partial))
				add(c, filter_states[i].help, "%s", filter_states[i].name);
}

void filter_complete(enum filter_about about, struct str text, size_t cursor,
		     struct filter_completion *ret)
{
	struct str word;
	struct str value;
	size_t name = 0;
	enum filter_op op = OP_HAS;
	size_t op_n = 0;

	text.n = cursor < text.n ? cursor : text.n;
	*ret = (struct filter_completion){ .from = word_start(text), .field = FILTER__COUNT };
	word = str_from(text.p + ret->from, text.n - ret->from);
	ret->partial = str_from(text.p + text.n, 0);
	for (name = 0; name < word.n && op_n == 0; name += op_n == 0)
		op_n = filter_op_read(str_from(word.p + name, word.n - name), &op);
	ret->field = filter_field_find(str_from(word.p, name));
	if (ret->field != FILTER__COUNT && !filter_field_of(about, ret->field))
		ret->field = FILTER__COUNT;
	if (op_n == 0) {
		if (ret->field != FILTER__COUNT)
			offer_ops(ret, ret->field);
		ret->field = FILTER__COUNT;
		if (ret->n == 0)
			offer_fields(about, ret, word);
		return;
	}
	if (ret->field == FILTER__COUNT)
		return;
	value = str_from(word.p + name + op_n, word.n - name - op_n);
	ret->partial = value;
	while (str_index(value, ',') >= 0) {
		(void)str_cut(&value, ',');
		ret->partial = value;
	}
	ret->from = (size_t)(ret->partial.p - text.p);
	offer_values(ret);
}
