/*
 * Which stream a message belongs to, and what its stream demands of it.
 *
 * What is not known yet (a header before DATA, recipients to come) makes an answer open where it
 * matters; a stream behind an open one is not asked, because the open one would come first.
 */
#include <string.h>

#include "mail/header.h"
#include "route/streams.h"

#define ABOUT_RCPT (1u << FILTER_TO | 1u << FILTER_DOMAIN)
#define VALUE_MAX 8192 /* bytes of a value that are looked at */

/* A folded value on one line. */
static struct str unfold(struct str value, char *out, size_t max)
{
	size_t n = 0;

	for (size_t i = 0; i < value.n && n < max; i++)
		if (value.p[i] != '\r' && value.p[i] != '\n')
			out[n++] = value.p[i] == '\t' ? ' ' : value.p[i];
	return str_trim(str_from(out, n));
}

/* `condition` is "NAME" or "NAME: PATTERN". */
static bool is_met(const char *condition, struct str header)
{
	struct str pattern = str_of(condition);
	struct str name = str_trim(str_cut(&pattern, ':'));
	bool any = strchr(condition, ':') == NULL;
	struct header_field f;
	char text[VALUE_MAX];

	pattern = str_trim(pattern);
	while (header_next(&header, &f))
		if (str_eq_nocase(f.name, name) &&
		    (any || str_glob(pattern, unfold(f.value, text, sizeof(text)))))
			return true;
	return false;
}

const char *streams_met(const struct mailstream *x, struct str header)
{
	for (size_t i = 0; x->headers[i] != NULL; i++)
		if (is_met(x->headers[i], header))
			return x->headers[i];
	return NULL;
}

static enum filter_truth ask_rcpts(const struct mailstream *x, const struct stream_facts *f)
{
	enum filter_truth best = f->all_rcpts ? FILTER_FALSE : FILTER_UNKNOWN;

	for (size_t i = 0; i < f->rcpts_n && best != FILTER_TRUE; i++) {
		struct filter_row row = *f->row;
		enum filter_truth t;
		f->rcpt(f->arg, i, &row);
		t = filter_eval(x->match, &row);
		if (t != FILTER_FALSE)
			best = t;
	}
	return best;
}

static enum filter_truth matches(const struct mailstream *x, const struct stream_facts *f)
{
	enum filter_truth t;

	if (x->headers[0] != NULL && f->has_header && streams_met(x, f->header) == NULL)
		return FILTER_FALSE;
	t = (filter_uses(x->match) & ABOUT_RCPT) != 0 ? ask_rcpts(x, f)
						      : filter_eval(x->match, f->row);
	if (t == FILTER_TRUE && x->headers[0] != NULL && !f->has_header)
		return FILTER_UNKNOWN;
	return t;
}

const struct mailstream *streams_assign(const struct streams *s, const struct stream_facts *f,
					const struct mailstream **ret_open)
{
	*ret_open = NULL;
	for (size_t i = 0; i + 1 < streams_n(s); i++) {
		const struct mailstream *x = streams_at(s, i);
		enum filter_truth t = matches(x, f);
		if (t == FILTER_UNKNOWN)
			*ret_open = x;
		if (t != FILTER_FALSE)
			return t == FILTER_TRUE ? x : NULL;
	}
	return streams_at(s, streams_n(s) - 1);
}

/* RFC 8058, 3.1; the signature that it wants is the relay's own business. */
static bool lacks_one_click(struct str header, struct buf *why)
{
	if (!is_met("List-Unsubscribe: *<https://*>*", header)) {
		(void)buf_puts(why, "List-Unsubscribe with an https address (one-click, "
				    "RFC 8058)");
		return true;
	}
	if (!is_met("List-Unsubscribe-Post: List-Unsubscribe=One-Click", header)) {
		(void)buf_puts(why, "List-Unsubscribe-Post: List-Unsubscribe=One-Click "
				    "(one-click, RFC 8058)");
		return true;
	}
	return false;
}

bool streams_lacks(const struct mailstream *x, struct str header, struct buf *why)
{
	for (size_t i = 0; x->require[i] != NULL; i++) {
		if (strcasecmp(x->require[i], STREAM_ONE_CLICK) == 0) {
			if (lacks_one_click(header, why))
				return true;
		} else if (!is_met(x->require[i], header)) {
			(void)buf_puts(why, x->require[i]);
			return true;
		}
	}
	return false;
}
