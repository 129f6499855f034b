/*
 * SQL's own NULL logic is not used: a term on NULL is false and its negation true (IS NOT TRUE),
 * because in a table NULL means "none", which is known.
 */
#include "filter/filter_sql.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/obj.h"
#include "filter/filter_int.h"
#include "mail/msgid.h"

struct writer {
	const struct filter_columns *map;
	struct buf *sql;
	struct filter_binds *binds;
	struct err *err;
	bool negated; /* inside an odd number of negations */
};

void filter_binds_done(struct filter_binds *b)
{
	for (size_t i = 0; i < b->n; i++)
		free(b->v[i].text);
	free(b->v);
	*b = FILTER_BINDS_INIT;
}

static struct filter_bind *add_bind(struct filter_binds *b)
{
	if (b->n == b->cap) {
		b->cap = b->cap != 0 ? 2 * b->cap : 8;
		b->v = xreallocarray(b->v, b->cap, sizeof(*b->v));
	}
	b->v[b->n] = (struct filter_bind){ .text = NULL };
	return &b->v[b->n++];
}

void filter_bind_text(struct filter_binds *b, struct str text)
{
	add_bind(b)->text = xstrndup(text.n > 0 ? text.p : "", text.n);
}

void filter_bind_int(struct filter_binds *b, int64_t i)
{
	add_bind(b)->i = i;
}

bool filter_in_net(struct str address, struct str network)
{
	struct ipaddr a;
	struct ipnet net;

	return ipaddr_parse(address, &a) && ipnet_parse(network, &net, NULL) == 0 &&
	       ipnet_has(&net, &a);
}

bool filter_like(struct str pattern, bool part, struct buf *out)
{
	if (part)
		(void)buf_putc(out, '%');
	for (size_t i = 0; i < pattern.n; i++) {
		char c = pattern.p[i];
		if (c == '%' || c == '_' || c == '\\')
			(void)buf_putc(out, '\\');
		(void)buf_putc(out, c == '*' ? '%' : c);
	}
	if (part)
		(void)buf_putc(out, '%');
	return !out->full;
}

static void write_like(struct writer *w, const char *expr, const struct filter_value *v)
{
	AUTO_BUF like = BUF_INIT(2 * FILTER_TEXT_MAX + 2);

	(void)filter_like(str_of(v->text), v->test == TEST_PART, &like);
	(void)buf_printf(w->sql, "%s LIKE ? ESCAPE '\\'", expr);
	filter_bind_text(w->binds, buf_str(&like));
}

static int write_range(struct writer *w, const char *expr, const struct filter_value *v)
{
	int64_t lo = v->lo;
	int64_t hi = v->hi;

	if (v->field == FILTER_ID && w->map->id_is_message) {
		if (lo == hi)
			return err_set(w->err, ERR_INVALID,
				       "this list has messages: ID/N, one recipient, cannot be "
				       "asked for here");
		lo = (int64_t)((uint64_t)lo >> RID_BITS);
		hi = (int64_t)((uint64_t)hi >> RID_BITS);
	}
	(void)buf_printf(w->sql, lo == hi ? "%s = ?" : "%s BETWEEN ? AND ?", expr);
	filter_bind_int(w->binds, lo);
	if (lo != hi)
		filter_bind_int(w->binds, hi);
	return 0;
}

static const char *sql_op(enum filter_op op)
{
	return op == OP_HAS || op == OP_NE ? "=" : filter_ops[op];
}

/* age > v is now - v > at */
static void write_compare(struct writer *w, const char *expr, const struct filter_value *v,
			  enum filter_op op)
{
	enum filter_kind kind = filter_fields[v->field].kind;

	if (kind == KIND_AGE)
		(void)buf_printf(w->sql, "? %s %s", sql_op(op), expr);
	else
		(void)buf_printf(w->sql, "%s %s ?", expr, sql_op(op));
	filter_bind_int(w->binds, kind == KIND_AGE     ? w->map->now_ms - v->lo
				  : kind == KIND_UNTIL ? w->map->now_ms + v->lo
						       : v->lo);
}

static int write_value(struct writer *w, const char *expr, const struct filter_value *v,
		       enum filter_op op)
{
	bool lower = (filter_fields[v->field].flags & FF_LOWER) != 0;

	switch (v->test) {
	case TEST_EMPTY:
		(void)buf_printf(w->sql, "coalesce(%s, '') = ''", expr);
		return 0;
	case TEST_PRESENT:
		(void)buf_printf(w->sql, "coalesce(%s, '') <> ''", expr);
		return 0;
	case TEST_EQUAL:
		(void)buf_printf(w->sql, "%s = ?%s", expr, lower ? "" : " COLLATE NOCASE");
		filter_bind_text(w->binds, str_of(v->text));
		return 0;
	case TEST_GLOB:
	case TEST_PART:
		write_like(w, expr, v);
		return 0;
	case TEST_RANGE:
		return write_range(w, expr, v);
	case TEST_COMPARE:
		write_compare(w, expr, v, op);
		return 0;
	case TEST_NETWORK:
		(void)buf_printf(w->sql, FILTER_SQL_IN_NET "(%s, ?)", expr);
		filter_bind_text(w->binds, str_of(v->text));
		return 0;
	}
	BUG("filter test %d", (int)v->test);
}

/* 1 when something was written, 0 when the field is not available. */
static int write_known(struct writer *w, const struct filter_value *v, enum filter_op op)
{
	const char *expr = w->map->expr[v->field];
	int rc;

	if ((w->map->unknown & 1u << v->field) != 0) { /* what leaves the row in */
		(void)buf_putc(w->sql, w->negated ? '0' : '1');
		return 1;
	}
	if (expr == NULL && w->map->special != NULL) {
		const char *around = v->test == TEST_PART ? "*" : "";
		AUTO_FREE char *pattern = xasprintf("%s%s%s", around, v->text, around);
		return w->map->special(w->map->arg, v->field, str_of(pattern), w->sql, w->binds,
				       w->err);
	}
	if (expr == NULL)
		return 0;
	rc = write_value(w, expr, v, op);
	return rc < 0 ? rc : 1;
}

/* Takes back what a value that came to nothing has left behind: the " OR " before it. */
static void cut_back(struct buf *b, size_t n)
{
	if (b->p == NULL)
		return;
	b->n = n;
	b->p[n] = '\0';
}

static int write_values(struct writer *w, const struct filter_term *t)
{
	bool any = false;

	for (size_t i = 0; i < t->n; i++) {
		size_t before = w->sql->n;
		int rc;
		if (any)
			(void)buf_puts(w->sql, " OR ");
		rc = write_known(w, &t->values[i], t->op);
		if (rc < 0)
			return rc;
		any = any || rc > 0;
		if (rc > 0)
			continue;
		/* a bare word searches what there is */
		cut_back(w->sql, before);
		if (t->field != FILTER_TERM_WORD)
			return err_set(w->err, ERR_INVALID, "%s cannot be asked for here",
				       filter_fields[t->values[i].field].name);
	}
	return any ? 0 : err_set(w->err, ERR_INVALID, "there is no text to search here");
}

static int write_term(struct writer *w, const struct filter_term *t)
{
	bool negates = t->op == OP_NE;
	int rc;

	(void)buf_putc(w->sql, '(');
	w->negated ^= negates;
	rc = write_values(w, t);
	w->negated ^= negates;
	(void)buf_puts(w->sql, negates ? ") IS NOT TRUE" : ")");
	return rc;
}

static int write_node(struct writer *w, const struct filter_node *n)
{
	const struct filter_node *child;
	bool negates = n->kind == NODE_NOT;

	if (n->kind == NODE_TERM)
		return write_term(w, &n->term);
	(void)buf_putc(w->sql, '(');
	w->negated ^= negates;
	STAILQ_FOREACH (child, &n->children, link) {
		int rc;
		if (child != STAILQ_FIRST(&n->children))
			(void)buf_puts(w->sql, n->kind == NODE_OR ? " OR " : " AND ");
		rc = write_node(w, child);
		if (rc < 0)
			return rc;
	}
	w->negated ^= negates;
	(void)buf_puts(w->sql, negates ? ") IS NOT TRUE" : ")");
	return 0;
}

int filter_sql(const struct filter *f, const struct filter_columns *map, struct buf *sql,
	       struct filter_binds *binds, struct err *err)
{
	struct writer w = { .map = map, .sql = sql, .binds = binds, .err = err };
	int rc;

	if (filter_matches_all(f))
		rc = buf_putc(sql, '1') ? 0 : -ERR_LIMIT;
	else
		rc = write_node(&w, f->root);
	if (rc >= 0 && sql->full)
		return err_set(err, ERR_LIMIT, "the filter is too long");
	return rc;
}
