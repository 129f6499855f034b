/*
 * Recursive descent, one function a rule:
 *
 *	either  = both { "or" both }
 *	both    = factor { ["and"] factor }
 *	factor  = ("not" | "-") factor | "(" either ")" | term
 *	term    = FIELD op value { "," value } | word
 *
 * The first error stays in the struct parser with its place; every rule returns NULL after it.
 * Groups inside groups of the same kind are flattened, and "not not" goes, so that equal filters
 * print alike.
 */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/utf8.h"
#include "filter/filter_int.h"

#define NEAR_MAX 2 /* edits between a name and what was meant */

struct parser {
	struct str s;
	enum filter_about about;
	size_t at;
	unsigned depth;
	unsigned values;
	bool failed;
	struct err err;
	size_t err_at;
};

static struct filter_node *parse_either(struct parser *p);

static void *PRINTF_LIKE(4, 5) fail(struct parser *p, size_t at, int code, const char *fmt, ...)
{
	va_list ap;

	if (p->failed)
		return NULL;
	p->failed = true;
	p->err_at = at;
	va_start(ap, fmt);
	(void)err_set(&p->err, code, "%s", "");
	(void)vsnprintf(p->err.msg, sizeof(p->err.msg), fmt, ap);
	va_end(ap);
	return NULL;
}

/* ---- bytes and words ---- */

static struct str rest_of(const struct parser *p)
{
	return str_from(p->s.p + p->at, p->s.n - p->at);
}

static char peek(const struct parser *p)
{
	return p->at < p->s.n ? p->s.p[p->at] : '\0';
}

static void skip_space(struct parser *p)
{
	while (peek(p) == ' ')
		p->at++;
}

static bool is_name_char(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
	       c == '-' || c == '_';
}

/* The letters at the cursor that could be a field's name. */
static struct str name_at(const struct parser *p)
{
	struct str s = rest_of(p);
	size_t n = 0;

	while (n < s.n && is_name_char(s.p[n]))
		n++;
	return str_from(s.p, n);
}

static size_t op_at(const struct parser *p, size_t at, enum filter_op *ret_op)
{
	return filter_op_read(str_from(p->s.p + at, p->s.n - at), ret_op);
}

/* A keyword stands alone: "or", not "order" and not "or:". */
static bool keyword_at(const struct parser *p, const char *word)
{
	struct str rest = rest_of(p);
	size_t n = strlen(word);

	if (!str_starts_nocase(rest, str_of(word)))
		return false;
	return rest.n == n || rest.p[n] == ' ' || rest.p[n] == '(' || rest.p[n] == ')';
}

static bool take_keyword(struct parser *p, const char *word)
{
	skip_space(p);
	if (!keyword_at(p, word))
		return false;
	p->at += strlen(word);
	return true;
}

/* The inside of a quoted text at the cursor, its escapes resolved, appended to out. */
static bool take_quoted(struct parser *p, struct buf *out)
{
	size_t open = p->at++;

	while (p->at < p->s.n && peek(p) != '"') {
		char c = p->s.p[p->at++];
		if (c == '\\' && (peek(p) == '"' || peek(p) == '\\'))
			c = p->s.p[p->at++];
		(void)buf_putc(out, c);
	}
	if (p->at == p->s.n) {
		(void)fail(p, open, ERR_SYNTAX, "the closing quote of this text is missing");
		return false;
	}
	p->at++;
	return true;
}

static bool count_value(struct parser *p, size_t at)
{
	if (++p->values <= FILTER_VALUES_MAX)
		return true;
	(void)fail(p, at, ERR_LIMIT, "a filter has at most %d values", FILTER_VALUES_MAX);
	return false;
}

/* ---- names ---- */

void filter_suggest_fields(enum filter_about about, struct str name, struct buf *out)
{
	unsigned found = 0;

	for (int i = 0; i < FILTER__COUNT; i++) {
		struct str field = str_of(filter_fields[i].name);
		if (!filter_field_of(about, (enum filter_field)i))
			continue;
		bool close = str_distance(name, field) <= (name.n > 3 ? NEAR_MAX : 1);
		if (!close && !(name.n > 1 && str_starts_nocase(field, name)))
			continue;
		(void)buf_printf(out, "%s%s", found++ > 0 ? " or " : "did you mean ",
				 filter_fields[i].name);
	}
	if (found > 0) {
		(void)buf_puts(out, "?");
		return;
	}
	(void)buf_puts(out, "the fields are");
	for (int i = 0; i < FILTER__COUNT; i++)
		if (filter_field_of(about, (enum filter_field)i))
			(void)buf_printf(out, " %s", filter_fields[i].name);
}

static struct filter_node *unknown_field(struct parser *p, size_t at, struct str name)
{
	AUTO_BUF hint = BUF_INIT(300);
	int shown = name.n < 40 ? (int)name.n : 40;

	filter_suggest_fields(p->about, name, &hint);
	return fail(p, at, ERR_SYNTAX, "there is no field \"%.*s\": %s", shown, name.p,
		    buf_cstr(&hint));
}

/* ---- terms ---- */

static struct filter_node *misfit_op(struct parser *p, size_t at,
				     const struct filter_field_def *def)
{
	bool number = filter_op_fits(def->kind, OP_LT);

	return fail(p, at, ERR_SYNTAX, "%s is %s, as in %s", def->name,
		    number ? "compared with < <= > or >=" : "matched with : = or !=", def->example);
}

static bool ends_value(char c)
{
	return c == '\0' || c == ' ' || c == ',' || c == '(' || c == ')' || c == '"';
}

/* One value behind an operator or a comma. */
static bool parse_value(struct parser *p, struct filter_term *t)
{
	AUTO_BUF text = BUF_INIT(FILTER_TEXT_MAX);
	size_t at = p->at;
	struct err err = ERR_INIT;

	if (!count_value(p, at))
		return false;
	if (peek(p) == '"') {
		if (!take_quoted(p, &text))
			return false;
	} else {
		while (p->at < p->s.n && !ends_value(peek(p)))
			(void)buf_putc(&text, p->s.p[p->at++]);
		if (text.n == 0) {
			(void)fail(p, at, ERR_SYNTAX, "a value is expected here, as in %s",
				   filter_fields[t->field].example);
			return false;
		}
	}
	if (!ends_value(peek(p)) || peek(p) == '(' || peek(p) == '"') {
		(void)fail(p, p->at, ERR_SYNTAX, "a space or a comma is expected here");
		return false;
	}
	if (filter_value_read(t, buf_str(&text), &err) < 0) {
		(void)fail(p, at, ERR_SYNTAX, "%s", err.msg);
		return false;
	}
	return true;
}

static struct filter_node *parse_field_term(struct parser *p, struct str name)
{
	size_t at = p->at;
	enum filter_field field = filter_field_find(name);
	enum filter_op op = OP_HAS;
	size_t n = op_at(p, at + name.n, &op);
	struct filter_node *node;

	if (field == FILTER__COUNT || !filter_field_of(p->about, field))
		return unknown_field(p, at, name);
	if (!filter_op_fits(filter_fields[field].kind, op))
		return misfit_op(p, at + name.n, &filter_fields[field]);
	p->at += name.n + n;
	node = filter_node_new(NODE_TERM);
	node->term.field = field;
	node->term.op = op;
	while (parse_value(p, &node->term)) {
		if (peek(p) != ',')
			return node;
		if (filter_op_fits(KIND_AGE, op)) {
			(void)fail(p, p->at, ERR_SYNTAX, "%s takes one value", filter_ops[op]);
			break;
		}
		p->at++;
	}
	filter_node_free(&node);
	return NULL;
}

static struct filter_node *parse_word(struct parser *p)
{
	AUTO_BUF text = BUF_INIT(FILTER_TEXT_MAX);
	struct filter_node *node;
	enum filter_op op;
	size_t at = p->at;

	if (op_at(p, at, &op) > 0)
		return fail(p, at, ERR_SYNTAX,
			    "an operator stands directly behind its field, as in age>2h");
	if (!count_value(p, at))
		return NULL;
	if (peek(p) == '"') {
		if (!take_quoted(p, &text))
			return NULL;
		if (text.n == 0)
			return fail(p, at, ERR_SYNTAX, "there is nothing between these quotes");
	} else {
		while (p->at < p->s.n && memchr(" ()\"", peek(p), 4) == NULL)
			(void)buf_putc(&text, p->s.p[p->at++]);
	}
	if (p->at < p->s.n && peek(p) != ' ' && peek(p) != ')')
		return fail(p, p->at, ERR_SYNTAX, "a space is expected here");
	node = filter_node_new(NODE_TERM);
	node->term.field = FILTER_TERM_WORD;
	filter_word_read(&node->term, p->about, buf_str(&text));
	return node;
}

static struct filter_node *parse_term(struct parser *p)
{
	struct str name = name_at(p);
	enum filter_op op;

	if (name.n > 0 && op_at(p, p->at + name.n, &op) > 0)
		return parse_field_term(p, name);
	return parse_word(p);
}

/* ---- groups ---- */

/* Adds child to the group; a child of the same kind gives its own children instead. */
static void adopt(struct filter_node *group, struct filter_node *child)
{
	if (child->kind == group->kind) {
		STAILQ_CONCAT(&group->children, &child->children);
		filter_node_free(&child);
	} else {
		STAILQ_INSERT_TAIL(&group->children, child, link);
	}
}

/* A group of one is its child. */
static struct filter_node *unwrap(struct filter_node *group)
{
	struct filter_node *only = STAILQ_FIRST(&group->children);

	if (only == NULL || STAILQ_NEXT(only, link) != NULL)
		return group;
	STAILQ_INIT(&group->children);
	filter_node_free(&group);
	return only;
}

static struct filter_node *negate(struct filter_node *n)
{
	struct filter_node *inverse = filter_node_new(NODE_NOT);

	if (n->kind == NODE_NOT) {
		filter_node_free(&inverse);
		return unwrap(n);
	}
	STAILQ_INSERT_TAIL(&inverse->children, n, link);
	return inverse;
}

static struct filter_node *parse_parens(struct parser *p)
{
	size_t open = p->at++;
	struct filter_node *n = parse_either(p);

	if (n == NULL)
		return NULL;
	skip_space(p);
	if (peek(p) != ')') {
		filter_node_free(&n);
		return fail(p, open, ERR_SYNTAX, "the closing parenthesis of this one is missing");
	}
	p->at++;
	return n;
}

static bool take_not(struct parser *p)
{
	if (take_keyword(p, "not"))
		return true;
	if (peek(p) != '-')
		return false;
	p->at++;
	return true;
}

static struct filter_node *parse_factor(struct parser *p)
{
	struct filter_node *n;

	skip_space(p);
	if (++p->depth > FILTER_DEPTH_MAX)
		return fail(p, p->at, ERR_LIMIT, "a filter has at most %d levels",
			    FILTER_DEPTH_MAX);
	if (take_not(p)) {
		n = parse_factor(p);
		n = n != NULL ? negate(n) : NULL;
	} else if (peek(p) == '(') {
		n = parse_parens(p);
	} else if (peek(p) == '\0' || peek(p) == ')' || keyword_at(p, "or") ||
		   keyword_at(p, "and")) {
		n = fail(p, p->at, ERR_SYNTAX, "a term is expected here, as in %s or age>2h",
			 p->about == FILTER_MAIL ? "domain:gmail.com" : "who:eva");
	} else {
		n = parse_term(p);
	}
	p->depth--;
	return n;
}

static struct filter_node *parse_both(struct parser *p)
{
	struct filter_node *group = filter_node_new(NODE_AND);

	for (;;) {
		struct filter_node *n = parse_factor(p);
		if (n == NULL) {
			filter_node_free(&group);
			return NULL;
		}
		adopt(group, n);
		if (take_keyword(p, "and"))
			continue;
		if (p->at == p->s.n || peek(p) == ')' || keyword_at(p, "or"))
			return unwrap(group);
	}
}

static struct filter_node *parse_either(struct parser *p)
{
	struct filter_node *group = filter_node_new(NODE_OR);

	do {
		struct filter_node *n = parse_both(p);
		if (n == NULL) {
			filter_node_free(&group);
			return NULL;
		}
		adopt(group, n);
	} while (take_keyword(p, "or"));
	return unwrap(group);
}

/* ---- the whole ---- */

static void check_bytes(struct parser *p)
{
	for (size_t i = 0; i < p->s.n; i++) {
		unsigned char b = (unsigned char)p->s.p[i];
		if (b < ' ' || b == 0x7f)
			(void)fail(p, i, ERR_SYNTAX, "a control character in a filter");
	}
	if (!utf8_valid(p->s))
		(void)fail(p, 0, ERR_SYNTAX, "the filter is not valid UTF-8");
}

/* The 1-based column in characters. */
static int column_of(struct str s, size_t at)
{
	int column = 1;

	for (size_t i = 0; i < at && i < s.n; i++)
		column += ((unsigned char)s.p[i] & 0xc0) != 0x80;
	return column;
}

static void check_printed(struct parser *p, const struct filter *f)
{
	AUTO_BUF text = BUF_INIT(FILTER_TEXT_MAX);

	if (!filter_print(f, &text))
		(void)fail(p, 0, ERR_LIMIT, "a filter has at most %d characters", FILTER_TEXT_MAX);
}

struct filter *filter_parse(struct str text, struct err *err)
{
	return filter_parse_about(FILTER_MAIL, text, err);
}

struct filter *filter_parse_about(enum filter_about about, struct str text, struct err *err)
{
	struct parser p = { .s = text, .about = about, .err = ERR_INIT };
	struct filter *f = xcalloc(1, sizeof(*f));

	if (text.n > FILTER_TEXT_MAX)
		(void)fail(&p, 0, ERR_LIMIT, "a filter has at most %d characters", FILTER_TEXT_MAX);
	else
		check_bytes(&p);
	skip_space(&p);
	if (!p.failed)
		f->root = p.at == text.n ? filter_node_new(NODE_AND) : parse_either(&p);
	if (!p.failed && p.at < text.n) /* only a parenthesis stops parse_either() early */
		(void)fail(&p, p.at, ERR_SYNTAX, "there is no opening parenthesis for this one");
	if (!p.failed)
		check_printed(&p, f);
	if (p.failed) {
		p.err.column = column_of(text, p.err_at);
		if (err != NULL)
			*err = p.err;
		if (f->root != NULL)
			filter_node_free(&f->root);
		free(f);
		return NULL;
	}
	return f;
}
