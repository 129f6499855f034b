/*
 * The text is read as a filter after `sender:` has become `from:`; what is particular to targets
 * is what they refuse, and the hints that go with it.
 */
#include "filter/target.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "filter/filter_int.h"
#include "mail/msgid.h"

#define SENDER "sender:"
#define FROM "from:"
#define WHERE "where:"

const char *target_forms(void)
{
	return "domain:D, provider:P, stream:S, credential:C, sender:A, id:ID, all, or a filter";
}

void target_done(struct target *t)
{
	filter_free(&t->filter);
	free(t->canonical);
	*t = TARGET_INIT;
}

static bool has_word(const struct filter_node *n)
{
	const struct filter_node *child;

	if (n->kind == NODE_TERM)
		return n->term.field == FILTER_TERM_WORD;
	STAILQ_FOREACH (child, &n->children, link)
		if (has_word(child))
			return true;
	return false;
}

/* "everything" has ten letters of the ids' alphabet, too; a real id has digits. */
static bool looks_like_id(struct str s)
{
	bool digit = false;
	struct msgid id;
	unsigned n;

	for (size_t i = 0; i < s.n; i++)
		digit = digit || (s.p[i] >= '0' && s.p[i] <= '9');
	return digit && msgid_parse_rcpt(s, &id, &n);
}

/* "gmail.com" alone: say what it was probably meant to be. */
static int refuse_word(const struct filter *f, struct err *err)
{
	struct str word =
		f->root->kind == NODE_TERM ? str_of(f->root->term.values[0].text) : STR("");
	int shown = word.n < 80 ? (int)word.n : 80;

	if (looks_like_id(word))
		return err_set(err, ERR_SYNTAX, "did you mean id:%.*s?", shown, word.p);
	if (str_index(word, '@') >= 0)
		return err_set(err, ERR_SYNTAX, "did you mean sender:%.*s, or to:%.*s?", shown,
			       word.p, shown, word.p);
	if (str_index(word, '.') >= 0)
		return err_set(err, ERR_SYNTAX, "did you mean domain:%.*s?", shown, word.p);
	return err_set(err, ERR_SYNTAX,
		       "a target does not search words; it is %s, for instance from:*@example.org",
		       target_forms());
}

/* The filter is all well; is it one for a target? */
static int check(const struct filter *f, bool sender, struct err *err)
{
	const struct filter_term *t = &f->root->term;

	if (has_word(f->root))
		return refuse_word(f, err);
	if (!sender)
		return 0;
	if (f->root->kind != NODE_TERM)
		return err_set(err, ERR_SYNTAX,
			       "sender: stands alone; in a filter the field is from:");
	for (size_t i = 0; i < t->n; i++)
		if (t->values[i].test == TEST_PART)
			return err_set(err, ERR_SYNTAX,
				       "a sender is a whole address or a pattern: "
				       "sender:bob@example.org, sender:*@example.org");
	return 0;
}

static int parse(struct str text, bool sender, struct target *ret, struct err *err)
{
	AUTO_BUF as_filter = BUF_INIT(FILTER_TEXT_MAX + 1);
	AUTO_BUF printed = BUF_INIT(FILTER_TEXT_MAX + sizeof(SENDER));
	AUTO(filter) struct filter *f = NULL;
	struct err scratch = ERR_INIT;
	size_t skip = sender ? sizeof(SENDER) - 1 : 0;

	if (err == NULL)
		err = &scratch;
	if (sender)
		(void)buf_puts(&as_filter, FROM);
	(void)buf_put(&as_filter, text.p + skip, text.n - skip);
	if (as_filter.full)
		return err_set(err, ERR_LIMIT, "a target has at most %d characters",
			       FILTER_TEXT_MAX);
	f = filter_parse(buf_str(&as_filter), err);
	if (f == NULL) {
		if (sender && err->column > (int)(sizeof(FROM) - 1))
			err->column += (int)(sizeof(SENDER) - sizeof(FROM));
		return -err->code;
	}
	if (check(f, sender, err) < 0) {
		err->column = 1;
		return -err->code;
	}
	(void)filter_print(f, &printed);
	if (sender) {
		buf_drop(&printed, sizeof(FROM) - 1);
		ret->canonical = xasprintf(SENDER "%s", buf_cstr(&printed));
	} else {
		ret->canonical = buf_take(&printed);
	}
	ret->filter = f;
	f = NULL;
	return 0;
}

/* Spaces at the ends mean nothing, and are only dropped at the right so that columns hold. */
static struct str trim_right(struct str s)
{
	while (s.n > 0 && s.p[s.n - 1] == ' ')
		s.n--;
	return s;
}

static int refuse_empty(struct err *err)
{
	(void)err_set(err, ERR_SYNTAX, "a target is missing: %s", target_forms());
	if (err != NULL)
		err->column = 1;
	return -ERR_SYNTAX;
}

int target_parse(struct str text, struct target *ret, struct err *err)
{
	text = trim_right(text);
	if (str_trim(text).n == 0)
		return refuse_empty(err);
	if (str_eq_nocase(str_trim(text), STR("all"))) {
		struct filter *f = filter_parse(STR(""), err);
		if (f == NULL)
			return -ERR_INTERNAL;
		*ret = (struct target){ .filter = f, .canonical = xstrdup("all") };
		return 0;
	}
	if (str_starts_nocase(text, STR(WHERE))) {
		size_t skip = sizeof(WHERE) - 1;
		int rc = target_from_filter(str_from(text.p + skip, text.n - skip), ret, err);
		if (rc < 0 && err != NULL)
			err->column += (int)skip;
		return rc;
	}
	return parse(text, str_starts_nocase(text, STR(SENDER)), ret, err);
}

int target_from_filter(struct str text, struct target *ret, struct err *err)
{
	struct filter *f;
	AUTO_BUF printed = BUF_INIT(FILTER_TEXT_MAX + sizeof(WHERE));

	if (str_trim(text).n == 0)
		return refuse_empty(err);
	f = filter_parse(text, err);
	if (f == NULL)
		return err != NULL ? -err->code : -ERR_SYNTAX;
	if (has_word(f->root))
		(void)buf_puts(&printed, WHERE);
	(void)filter_print(f, &printed);
	*ret = (struct target){ .filter = f, .canonical = buf_take(&printed) };
	return 0;
}
