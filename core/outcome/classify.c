/*
 * Judging a reply: its text is read as words once, all phrases of all rules are looked for in one
 * pass, then the rules are asked in their order. classify_load.c makes the rules.
 */
#include "outcome/classify.h"

#include "base/obj.h"
#include "classify_int.h"

#define HARD true
#define SOFT false

struct class_row {
	const char *name;
	bool hard;
	enum reply_action action; /* after a 5xx */
	enum reply_action later;  /* after a 4xx */
	const char *meaning;
	const char *advice;
};

static const struct class_row class_rows[REPLY_CLASS__COUNT] = {
#define REPLY_CLASS(id, nm, kind, act, lat, mean, adv)                                             \
	[REPLY_##id] = { .name = nm,                                                               \
			 .hard = kind,                                                             \
			 .action = REPLY_##act,                                                    \
			 .later = REPLY_##lat,                                                     \
			 .meaning = mean,                                                          \
			 .advice = adv },
#include "outcome/classes.def"
#undef REPLY_CLASS
};

static const char *const action_names[REPLY_ACTION__COUNT] = {
	[REPLY_RETRY] = "retry",
	[REPLY_SUPPRESS] = "suppress",
	[REPLY_FIX_SENDER] = "fix-sender",
	[REPLY_SLOW_DOWN] = "slow-down",
};

const char *reply_class_name(enum reply_class c)
{
	return class_rows[c].name;
}

enum reply_class reply_class_find(struct str name)
{
	for (unsigned i = 1; i < REPLY_CLASS__COUNT; i++)
		if (str_eq(name, str_of(class_rows[i].name)))
			return (enum reply_class)i;
	return REPLY_NONE;
}

const char *reply_action_name(enum reply_action a)
{
	return action_names[a];
}

/* --- codes ------------------------------------------------------------------------------------ */

struct enhanced {
	int part[3];
	bool known;
};

static bool is_digit(char c)
{
	return c >= '0' && c <= '9';
}

/* An enhanced status code at the beginning of s; the bytes it takes, or 0. */
static size_t read_enhanced(struct str s, struct enhanced *ret)
{
	static const int most[3] = { 5, 7, 999 };
	size_t at = 0;

	for (int i = 0; i < 3; i++) {
		size_t from = at;
		int v = 0;
		for (; at < s.n && at < from + 3 && is_digit(s.p[at]); at++)
			v = v * 10 + (s.p[at] - '0');
		if (at == from || v > most[i])
			return 0;
		if (i < 2 && (at >= s.n || s.p[at] != '.'))
			return 0;
		at += i < 2;
		ret->part[i] = v;
	}
	ret->known = ret->part[0] >= 4;
	if (at < s.n &&
	    (is_digit(s.p[at]) || (s.p[at] == '.' && at + 1 < s.n && is_digit(s.p[at + 1]))))
		return 0;
	return ret->known ? at : 0;
}

/*
 * The reply's enhanced code; without one, the first in its text, as qmail "(#5.1.1)" and gateways
 * that put their own name first have it. One that contradicts the reply's code is not meant for us.
 */
static void find_enhanced(const struct classify_in *in, struct enhanced *ret)
{
	ret->known = false;
	if (in->enhanced.n > 0 && read_enhanced(in->enhanced, ret) == in->enhanced.n)
		return;
	ret->known = false;
	for (size_t i = 0; i + 5 <= in->text.n; i++) {
		if (!is_digit(in->text.p[i]) ||
		    (i > 0 && (is_digit(in->text.p[i - 1]) || in->text.p[i - 1] == '.')))
			continue;
		if (read_enhanced(str_from(in->text.p + i, in->text.n - i), ret) > 0 &&
		    (in->code == 0 || in->code / 100 == ret->part[0]))
			return;
		ret->known = false;
	}
}

static bool code_fits(const struct rule *rule, int code)
{
	char digits[3] = { (char)('0' + code / 100 % 10), (char)('0' + code / 10 % 10),
			   (char)('0' + code % 10) };

	for (unsigned i = 0; i < rule->codes_n; i++) {
		const char *want = rule->codes[i];
		if ((want[0] == digits[0]) && (want[1] == 'x' || want[1] == digits[1]) &&
		    (want[2] == 'x' || want[2] == digits[2]))
			return true;
	}
	return rule->codes_n == 0;
}

static bool enhanced_fits(const struct rule *rule, const struct enhanced *e)
{
	for (unsigned i = 0; e->known && i < rule->enhanced_n; i++) {
		const int16_t *want = rule->enhanced[i].part;
		if ((want[0] < 0 || want[0] == e->part[0]) &&
		    (want[1] < 0 || want[1] == e->part[1]) &&
		    (want[2] < 0 || want[2] == e->part[2]))
			return true;
	}
	return rule->enhanced_n == 0;
}

/* --- rules ------------------------------------------------------------------------------------ */

struct question {
	const struct classify_in *in;
	struct enhanced enhanced;
	uint64_t providers;
	int hundred; /* 4 or 5; 0: neither code tells */
	struct phrase_set found;
};

static bool any(const struct classify_rules *r, const struct rule_span *span,
		const struct phrase_set *found)
{
	for (uint32_t i = 0; i < span->n; i++)
		if (phrase_set_has(found, r->phrases[span->at + i]))
			return true;
	return false;
}

static bool rule_fits(const struct classify_rules *r, const struct rule *rule,
		      const struct question *q)
{
	if (rule->providers != 0 && (rule->providers & q->providers) == 0)
		return false;
	if (rule->text.n > 0 && !any(r, &rule->text, &q->found))
		return false;
	if (!code_fits(rule, q->in->code != 0 ? q->in->code : q->hundred * 100))
		return false;
	if (!enhanced_fits(rule, &q->enhanced))
		return false;
	if (rule->phases != 0 && (rule->phases >> q->in->phase & 1) == 0)
		return false;
	for (unsigned i = 0; i < rule->with_n; i++)
		if (!any(r, &rule->with[i], &q->found))
			return false;
	return !any(r, &rule->without, &q->found);
}

static bool at_site(const struct rule_provider *p, struct str host)
{
	for (size_t i = 0; i < p->sites_n; i++) {
		struct str site = str_of(p->sites[i]);
		if (str_eq_nocase(host, site) ||
		    (host.n > site.n && host.p[host.n - site.n - 1] == '.' &&
		     str_ends_nocase(host, site)))
			return true;
	}
	return false;
}

static uint64_t providers_of(const struct classify_rules *r, const struct question *q)
{
	uint64_t mask = 0;

	for (unsigned i = 0; i < r->providers_n; i++)
		if (at_site(&r->providers[i], q->in->provider) ||
		    any(r, &r->providers[i].hints, &q->found))
			mask |= 1ull << i;
	return mask;
}

static void answer(enum reply_class c, int hundred, struct classify_out *ret)
{
	const struct class_row *row = &class_rows[c];
	bool permanent = hundred == 5 || (hundred != 4 && row->hard);

	*ret = (struct classify_out){ .reply_class = c,
				      .hard = row->hard && permanent,
				      .action = permanent ? row->action : row->later,
				      .meaning = row->meaning,
				      .advice = row->advice,
				      .rule = "class" };
}

static void answer_rule(const struct rule *rule, int hundred, struct classify_out *ret)
{
	answer(rule->reply_class, hundred, ret);
	if (rule->hard != RULE_UNSET)
		ret->hard = rule->hard != 0 && hundred != 4;
	if (rule->action != RULE_UNSET && !(rule->action == REPLY_SUPPRESS && hundred == 4))
		ret->action = (enum reply_action)rule->action;
	if (rule->meaning != NULL)
		ret->meaning = rule->meaning;
	if (rule->advice != NULL)
		ret->advice = rule->advice;
	ret->rule = rule->name;
}

static void ask_rules(const struct classify_rules *r, struct question *q, struct classify_out *ret)
{
	struct words words;

	words_of(q->in->text, &words);
	phrases_find(r->book, &words, &q->found);
	q->providers = providers_of(r, q);
	for (size_t i = 0; i < r->rules_n; i++)
		if (rule_fits(r, &r->rules[i], q)) {
			answer_rule(&r->rules[i], q->hundred, ret);
			return;
		}
	answer(REPLY_OTHER, q->hundred, ret);
	ret->rule = "no-rule";
}

void classify(const struct classify_rules *r, const struct classify_in *in,
	      struct classify_out *ret)
{
	struct question q = { .in = in };

	find_enhanced(in, &q.enhanced);
	q.hundred = in->code != 0 ? in->code / 100 : q.enhanced.known ? q.enhanced.part[0] : 0;
	if (in->code == 0 && in->given != REPLY_NONE) {
		answer(in->given, q.hundred, ret);
		ret->rule = "no-reply";
		return;
	}
	ask_rules(r, &q, ret);
}

void classify_class(enum reply_class c, int code, struct classify_out *ret)
{
	answer(c, code / 100, ret);
}
