/*
 * One walk over the field's value. Quoted strings and comments are passed over; what stands behind
 * the last '@' of the first address is its domain, also behind an obsolete route. White space ends
 * an address that has no brackets.
 */
#include "sign/author.h"

#include <string.h>

#include "mail/address.h"
#include "mail/header.h"

struct walk {
	struct str s;
	size_t at;
	char *domain;
	size_t n;
	bool behind; /* an '@' */
	bool angle;  /* in "<…>" */
	bool gap;    /* white space or a comment since the last character */
	bool bad;
};

static void skip_quoted(struct walk *w)
{
	while (++w->at < w->s.n && w->s.p[w->at] != '"')
		if (w->s.p[w->at] == '\\')
			w->at++;
}

static void skip_comment(struct walk *w)
{
	unsigned depth = 1;

	while (depth > 0 && ++w->at < w->s.n) {
		char c = w->s.p[w->at];
		if (c == '\\')
			w->at++;
		else if (c == '(')
			depth++;
		else if (c == ')')
			depth--;
	}
}

static void begin(struct walk *w, bool behind)
{
	w->behind = behind;
	w->n = 0;
	w->gap = false;
}

/* False at the end of the address. */
static bool put(struct walk *w, char c)
{
	bool joins = c == '.' || (w->n > 0 && w->domain[w->n - 1] == '.');

	if (!w->behind)
		return true;
	if (w->gap && w->n > 0 && !joins) {
		w->bad = w->angle;
		return false;
	}
	w->gap = false;
	w->bad = w->n == AUTHOR_DOMAIN_MAX;
	if (!w->bad)
		w->domain[w->n++] = (char)(c >= 'A' && c <= 'Z' ? c | 0x20 : c);
	return !w->bad;
}

/* False at the end of the address. */
static bool step(struct walk *w)
{
	char c = w->s.p[w->at];

	switch (c) {
	case '"':
		skip_quoted(w);
		return true;
	case '(':
		skip_comment(w);
		w->gap = true;
		return true;
	case ' ':
	case '\t':
	case '\r':
	case '\n':
		w->gap = true;
		return true;
	case '<':
		w->angle = true;
		begin(w, false);
		return true;
	case '@':
		begin(w, true);
		return true;
	case ':': /* a group's name, or a route */
		begin(w, false);
		return true;
	case '>':
		return !w->angle;
	case ',':
	case ';':
		if (!w->angle && w->n > 0)
			return false;
		begin(w, false);
		return true;
	default:
		return put(w, c);
	}
}

static bool first_domain(struct str value, char ret[static AUTHOR_DOMAIN_MAX + 1])
{
	struct walk w = { .s = value, .domain = ret };

	for (; w.at < w.s.n; w.at++)
		if (!step(&w))
			break;
	ret[w.n] = '\0';
	return !w.bad && w.n > 0 && ret[0] != '[' && address_domain_valid(str_from(ret, w.n), 0);
}

bool author_domain(struct str content, char ret[static AUTHOR_DOMAIN_MAX + 1])
{
	char other[AUTHOR_DOMAIN_MAX + 1];
	struct header_field f;
	bool found = false;

	while (header_next(&content, &f)) {
		if (!str_eq_nocase(f.name, STR("From")))
			continue;
		if (!first_domain(f.value, found ? other : ret) ||
		    (found && strcmp(ret, other) != 0))
			return false;
		found = true;
	}
	return found;
}
