/*
 * Reading a rules file: lines "KEY VALUE" in blocks that begin with `provider NAME` or `rule NAME`.
 * The head of dist/replies.rules is its manual.
 */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/buf.h"
#include "base/mem.h"
#include "base/obj.h"
#include "classify_int.h"

#define NAME_MAX_LEN 64
#define TEXT_MAX_LEN 400
#define KEY_MAX_LEN 24
#define READ_SIZE 65536
#define HEX_DIGITS "0123456789abcdefABCDEF"
#define BUILTIN_NAME "replies.rules (built in)"

struct loader {
	struct classify_rules *r;
	const char *name; /* of the file, for messages */
	unsigned line;
	struct rule *rule; /* the block we are in */
	struct rule_provider *provider;
	struct rule_span *last; /* the phrases that a line with '|' in front goes on with */
	bool inside_builtin;
	bool had_builtin;
};

static int wrong(const struct loader *l, struct err *err, const char *fmt, ...) PRINTF_LIKE(3, 4);

static int wrong(const struct loader *l, struct err *err, const char *fmt, ...)
{
	char text[320];
	va_list ap;

	va_start(ap, fmt);
	(void)vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	return err_set(err, ERR_CONFIG, "%s:%u: %s", l->name, l->line, text);
}

/* --- values ----------------------------------------------------------------------------------- */

/* "\xd3" becomes the byte: for phrases in an encoding that is not this file's. */
static int unescape(const struct loader *l, struct str s, struct buf *out, struct err *err)
{
	for (size_t i = 0; i < s.n; i++) {
		char hex[3] = { 0 };
		if (s.p[i] != '\\') {
			(void)buf_putc(out, s.p[i]);
			continue;
		}
		if (i + 3 < s.n)
			memcpy(hex, s.p + i + 2, 2);
		if (i + 3 >= s.n || s.p[i + 1] != 'x' || strspn(hex, HEX_DIGITS) != 2)
			return wrong(l, err, "after a backslash come x and two hexadecimal digits");
		(void)buf_putc(out, (char)strtoul(hex, NULL, 16));
		i += 3;
	}
	return 0;
}

static bool append_phrase(struct classify_rules *r, struct rule_span *span, unsigned phrase)
{
	if (span->n == RULE_PHRASES_MAX)
		return false;
	/* a span grows at the end of the list, where the last line of its block was put */
	if (span->n == 0)
		span->at = (uint32_t)r->phrases_n;
	if (span->at + span->n != r->phrases_n) {
		uint32_t at = (uint32_t)r->phrases_n;
		r->phrases = xreallocarray(r->phrases, r->phrases_n + span->n, sizeof(*r->phrases));
		memcpy(r->phrases + at, r->phrases + span->at, span->n * sizeof(*r->phrases));
		r->phrases_n += span->n;
		span->at = at;
	}
	r->phrases = xreallocarray(r->phrases, r->phrases_n + 1, sizeof(*r->phrases));
	r->phrases[r->phrases_n++] = (uint16_t)phrase;
	span->n++;
	return true;
}

/* Phrases separated by '|'. */
static int add_phrases(struct loader *l, struct str value, struct rule_span *span, struct err *err)
{
	AUTO_BUF text = BUF_INIT(CLASSIFY_FILE_MAX);
	struct str rest;

	if (unescape(l, value, &text, err) < 0)
		return -ERR_CONFIG;
	l->last = span;
	rest = buf_str(&text);
	do {
		struct err why = ERR_INIT;
		unsigned phrase;
		if (phrasebook_add(l->r->book, str_trim(str_cut(&rest, '|')), &phrase, &why) < 0)
			return wrong(l, err, "%s", why.msg);
		if (!append_phrase(l->r, span, phrase))
			return wrong(l, err, "more than %d phrases in one place", RULE_PHRASES_MAX);
	} while (rest.n > 0);
	return 0;
}

static bool read_part(struct str s, int16_t most, int16_t *ret)
{
	uint64_t v;

	if (str_eq(s, STR("*")) || str_eq(s, STR("x"))) {
		*ret = RULE_UNSET;
		return true;
	}
	if (!str_u64(s, (uint64_t)most, &v))
		return false;
	*ret = (int16_t)v;
	return true;
}

static bool read_enhanced_pattern(struct str s, struct rule_enhanced *ret)
{
	struct str rest = s;

	return read_part(str_cut(&rest, '.'), 5, &ret->part[0]) &&
	       read_part(str_cut(&rest, '.'), 7, &ret->part[1]) &&
	       read_part(rest, 999, &ret->part[2]);
}

static bool is_code(struct str s)
{
	if (s.n != 3 || (s.p[0] != '4' && s.p[0] != '5'))
		return false;
	for (int i = 1; i < 3; i++)
		if (s.p[i] != 'x' && (s.p[i] < '0' || s.p[i] > '9'))
			return false;
	return true;
}

/* The next word of a list separated by spaces; false at its end. */
static bool next_word(struct str *rest, struct str *ret)
{
	do
		*ret = str_cut(rest, ' ');
	while (ret->n == 0 && rest->n > 0);
	return ret->n > 0;
}

static int set_codes(struct loader *l, struct str value, struct err *err)
{
	struct rule *rule = l->rule;
	struct str word;

	while (next_word(&value, &word)) {
		bool dots = str_index(word, '.') >= 0;
		if (rule->codes_n == RULE_CODES_MAX || rule->enhanced_n == RULE_CODES_MAX)
			return wrong(l, err, "a rule has at most %d codes", RULE_CODES_MAX);
		if (dots && read_enhanced_pattern(word, &rule->enhanced[rule->enhanced_n]))
			rule->enhanced_n++;
		else if (!dots && is_code(word))
			memcpy(rule->codes[rule->codes_n++], word.p, 3);
		else if (str_eq(word, STR("none")))
			memcpy(rule->codes[rule->codes_n++], "000", 3);
		else
			return wrong(
				l, err,
				"'%.*s' is no code: 550, 4xx, none, 5.1.1, x.2.2 and 5.7.* are",
				STR_ARG(word));
	}
	return 0;
}

static int set_phases(struct loader *l, struct str value, struct err *err)
{
	static const char *const names[CLASSIFY_PHASE__COUNT] = {
		[CLASSIFY_PHASE_UNKNOWN] = "unknown", [CLASSIFY_PHASE_CONNECT] = "connect",
		[CLASSIFY_PHASE_MAIL] = "mail",	      [CLASSIFY_PHASE_RCPT] = "rcpt",
		[CLASSIFY_PHASE_DATA] = "data",
	};
	struct str word;

	while (next_word(&value, &word)) {
		unsigned i = 0;
		while (i < CLASSIFY_PHASE__COUNT && !str_eq(word, str_of(names[i])))
			i++;
		if (i == CLASSIFY_PHASE__COUNT)
			return wrong(l, err,
				     "'%.*s' is no phase: unknown, connect, mail, rcpt, data are",
				     STR_ARG(word));
		l->rule->phases |= 1u << i;
	}
	return 0;
}

static int set_providers(struct loader *l, struct str value, struct err *err)
{
	struct str word;

	while (next_word(&value, &word)) {
		unsigned i = 0;
		while (i < l->r->providers_n && !str_eq(word, str_of(l->r->providers[i].name)))
			i++;
		if (i == l->r->providers_n)
			return wrong(l, err, "no provider '%.*s' stands above", STR_ARG(word));
		l->rule->providers |= 1ull << i;
	}
	return 0;
}

static int set_class(struct loader *l, struct str value, struct err *err)
{
	AUTO_BUF names = BUF_INIT(300);

	l->rule->reply_class = reply_class_find(value);
	if (l->rule->reply_class != REPLY_NONE)
		return 0;
	for (unsigned i = 1; i < REPLY_CLASS__COUNT; i++)
		(void)buf_printf(&names, " %s", reply_class_name((enum reply_class)i));
	return wrong(l, err, "'%.*s' is no class; there are:%s", STR_ARG(value), buf_cstr(&names));
}

static int set_action(struct loader *l, struct str value, struct err *err)
{
	for (int i = 0; i < REPLY_ACTION__COUNT; i++)
		if (str_eq(value, str_of(reply_action_name((enum reply_action)i)))) {
			l->rule->action = i;
			return 0;
		}
	return wrong(l, err, "'%.*s' is no action: retry, suppress, fix-sender, slow-down are",
		     STR_ARG(value));
}

static int set_kind(struct loader *l, struct str value, struct err *err)
{
	if (!str_eq(value, STR("hard")) && !str_eq(value, STR("soft")))
		return wrong(l, err, "kind is hard or soft, not '%.*s'", STR_ARG(value));
	l->rule->hard = str_eq(value, STR("hard"));
	return 0;
}

static int set_sentence(struct loader *l, struct str value, char **ret, struct err *err)
{
	if (value.n > TEXT_MAX_LEN)
		return wrong(l, err, "the text is longer than %d bytes", TEXT_MAX_LEN);
	if (*ret != NULL)
		return wrong(l, err, "the rule has this text already");
	*ret = xstrndup(value.p, value.n);
	return 0;
}

/* --- blocks ----------------------------------------------------------------------------------- */

static bool is_name(struct str s)
{
	for (size_t i = 0; i < s.n; i++) {
		char c = s.p[i];
		if (!((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-'))
			return false;
	}
	return s.n > 0 && s.n <= NAME_MAX_LEN;
}

/* A rule ends: it must say something, and ask something. */
static int end_block(struct loader *l, struct err *err)
{
	struct rule *rule = l->rule;
	unsigned line = l->line;

	l->rule = NULL;
	l->provider = NULL;
	l->last = NULL;
	if (rule == NULL)
		return 0;
	l->line = rule->line;
	if (rule->reply_class == REPLY_NONE)
		return wrong(l, err, "rule %s has no class", rule->name);
	if (rule->text.n + rule->codes_n + rule->enhanced_n + rule->with_n == 0 &&
	    rule->phases == 0)
		return wrong(l, err, "rule %s would fit everything: give it a text or a code",
			     rule->name);
	l->line = line;
	return 0;
}

static int begin_rule(struct loader *l, struct str name, struct err *err)
{
	struct classify_rules *r = l->r;

	if (!is_name(name))
		return wrong(l, err,
			     "a rule's name has lower-case letters, digits and hyphens, at most %d",
			     NAME_MAX_LEN);
	for (size_t i = 0; i < r->rules_n; i++)
		if (str_eq(name, str_of(r->rules[i].name)))
			return wrong(l, err, "there is a rule %s already", r->rules[i].name);
	if (r->rules_n == CLASSIFY_RULES_MAX)
		return wrong(l, err, "there are more than %d rules", CLASSIFY_RULES_MAX);
	r->rules = xreallocarray(r->rules, r->rules_n + 1, sizeof(*r->rules));
	l->rule = &r->rules[r->rules_n++];
	*l->rule = (struct rule){ .name = xstrndup(name.p, name.n),
				  .action = RULE_UNSET,
				  .hard = RULE_UNSET,
				  .line = l->line };
	return 0;
}

static int begin_provider(struct loader *l, struct str name, struct err *err)
{
	struct classify_rules *r = l->r;

	if (!is_name(name))
		return wrong(
			l, err,
			"a provider's name has lower-case letters, digits and hyphens, at most %d",
			NAME_MAX_LEN);
	for (unsigned i = 0; i < r->providers_n; i++)
		if (str_eq(name, str_of(r->providers[i].name)))
			return wrong(l, err, "there is a provider %s already",
				     r->providers[i].name);
	if (r->providers_n == RULE_PROVIDERS_MAX)
		return wrong(l, err, "there are more than %d providers", RULE_PROVIDERS_MAX);
	l->provider = &r->providers[r->providers_n++];
	*l->provider = (struct rule_provider){ .name = xstrndup(name.p, name.n) };
	return 0;
}

static int add_sites(struct loader *l, struct str value)
{
	struct rule_provider *p = l->provider;
	struct str word;

	while (next_word(&value, &word)) {
		p->sites = xreallocarray(p->sites, p->sites_n + 1, sizeof(*p->sites));
		p->sites[p->sites_n++] = xstrndup(word.p, word.n);
	}
	return 0;
}

/* --- lines ------------------------------------------------------------------------------------ */

static int parse(struct loader *l, struct str text, struct err *err);

static int include_builtin(struct loader *l, struct err *err)
{
	struct loader inner = *l;

	if (l->had_builtin || l->inside_builtin)
		return wrong(l, err, "the built-in rules can stand here only once");
	inner.name = BUILTIN_NAME;
	inner.inside_builtin = true;
	l->had_builtin = true;
	return parse(&inner, classify_builtin(), err);
}

static int rule_line(struct loader *l, struct str key, struct str value, struct err *err)
{
	struct rule *rule = l->rule;

	l->last = NULL;
	if (str_eq(key, STR("text")))
		return add_phrases(l, value, &rule->text, err);
	if (str_eq(key, STR("with"))) {
		if (rule->with_n == RULE_GROUPS_MAX)
			return wrong(l, err, "a rule has at most %d lines `with`", RULE_GROUPS_MAX);
		return add_phrases(l, value, &rule->with[rule->with_n++], err);
	}
	if (str_eq(key, STR("without")))
		return add_phrases(l, value, &rule->without, err);
	if (str_eq(key, STR("code")))
		return set_codes(l, value, err);
	if (str_eq(key, STR("phase")))
		return set_phases(l, value, err);
	if (str_eq(key, STR("at")))
		return set_providers(l, value, err);
	if (str_eq(key, STR("class")))
		return set_class(l, value, err);
	if (str_eq(key, STR("action")))
		return set_action(l, value, err);
	if (str_eq(key, STR("kind")))
		return set_kind(l, value, err);
	if (str_eq(key, STR("meaning")))
		return set_sentence(l, value, &rule->meaning, err);
	if (str_eq(key, STR("advice")))
		return set_sentence(l, value, &rule->advice, err);
	return wrong(l, err,
		     "a rule has no '%.*s'; it has: text with without code phase at class action "
		     "kind meaning advice",
		     STR_ARG(key));
}

static int provider_line(struct loader *l, struct str key, struct str value, struct err *err)
{
	if (str_eq(key, STR("site")))
		return add_sites(l, value);
	if (str_eq(key, STR("hint")))
		return add_phrases(l, value, &l->provider->hints, err);
	return wrong(l, err, "a provider has no '%.*s'; it has: site hint", STR_ARG(key));
}

static int take_line(struct loader *l, struct str line, struct err *err)
{
	struct str value = line;
	struct str key = str_cut(&value, ' ');
	bool block = str_eq(key, STR("rule")) || str_eq(key, STR("provider")) ||
		     str_eq(key, STR("builtin"));

	value = str_trim(value);
	if (str_eq(key, STR("|")) && l->last != NULL)
		return add_phrases(l, value, l->last, err);
	if (key.n > KEY_MAX_LEN)
		return wrong(l, err, "a line begins with a word such as rule, text, class");
	if (block && end_block(l, err) < 0)
		return -ERR_CONFIG;
	if (str_eq(key, STR("builtin")))
		return include_builtin(l, err);
	if (value.n == 0)
		return wrong(l, err, "'%.*s' needs a value", STR_ARG(key));
	if (str_eq(key, STR("rule")))
		return begin_rule(l, value, err);
	if (str_eq(key, STR("provider")))
		return begin_provider(l, value, err);
	if (l->rule != NULL)
		return rule_line(l, key, value, err);
	if (l->provider != NULL)
		return provider_line(l, key, value, err);
	return wrong(l, err, "'%.*s' stands in no block: begin one with `rule NAME`", STR_ARG(key));
}

static int parse(struct loader *l, struct str text, struct err *err)
{
	AUTO_BUF line = BUF_INIT(CLASSIFY_FILE_MAX);

	l->line = 0;
	l->rule = NULL;
	l->provider = NULL;
	l->last = NULL;
	while (text.n > 0) {
		struct str raw = str_cut(&text, '\n');
		l->line++;
		if (memchr(raw.p, '\0', raw.n) != NULL)
			return wrong(l, err, "a zero byte: this is no text file");
		buf_reset(&line);
		for (size_t i = 0; i < raw.n; i++) {
			char c = raw.p[i] == '\t' || raw.p[i] == '\r' ? ' ' : raw.p[i];
			(void)buf_putc(&line, c);
		}
		raw = str_trim(buf_str(&line));
		if (raw.n > 0 && raw.p[0] != '#' && take_line(l, raw, err) < 0)
			return -ERR_CONFIG;
	}
	return end_block(l, err);
}

/* --- the whole -------------------------------------------------------------------------------- */

int classify_parse(const char *name, struct str text, struct classify_rules **ret_rules,
		   struct err *err)
{
	AUTO(classify) struct classify_rules *r = xcalloc(1, sizeof(*r));
	struct loader l = { .r = r, .name = name };

	r->book = phrasebook_new();
	if (text.n > CLASSIFY_FILE_MAX)
		return err_set(err, ERR_CONFIG, "%s: larger than %u bytes", name,
			       CLASSIFY_FILE_MAX);
	if (parse(&l, text, err) < 0)
		return -ERR_CONFIG;
	if (r->rules_n == 0)
		return err_set(err, ERR_CONFIG, "%s: no rule in it; `builtin` takes ours", name);
	*ret_rules = r;
	r = NULL;
	return 0;
}

static int read_file(const char *path, struct buf *out, struct err *err)
{
	FILE *f = fopen(path, "re");
	size_t n;

	if (f == NULL)
		return err_sys(err, errno, "%s", path);
	while (buf_reserve(out, READ_SIZE) && (n = fread(out->p + out->n, 1, READ_SIZE, f)) > 0)
		out->n += n;
	if (ferror(f)) {
		int saved = errno;
		(void)fclose(f);
		return err_sys(err, saved, "%s", path);
	}
	(void)fclose(f);
	return 0;
}

int classify_load(const char *path, struct classify_rules **ret_rules, struct err *err)
{
	AUTO_BUF text = BUF_INIT(CLASSIFY_FILE_MAX + 2 * READ_SIZE);
	int rc;

	if (path == NULL)
		return classify_parse(BUILTIN_NAME, classify_builtin(), ret_rules, err);
	rc = read_file(path, &text, err);
	if (rc < 0)
		return rc;
	return classify_parse(path, buf_str(&text), ret_rules, err);
}

void classify_free(struct classify_rules **rp)
{
	struct classify_rules *r = rp != NULL ? *rp : NULL;

	if (r == NULL)
		return;
	for (size_t i = 0; i < r->rules_n; i++) {
		free(r->rules[i].name);
		free(r->rules[i].meaning);
		free(r->rules[i].advice);
	}
	for (unsigned i = 0; i < r->providers_n; i++) {
		for (size_t j = 0; j < r->providers[i].sites_n; j++)
			free(r->providers[i].sites[j]);
		free(r->providers[i].sites);
		free(r->providers[i].name);
	}
	phrasebook_free(&r->book);
	free(r->phrases);
	free(r->rules);
	free(r);
	*rp = NULL;
}

size_t classify_rules_count(const struct classify_rules *r)
{
	return r->rules_n;
}

const char *classify_rule_name(const struct classify_rules *r, size_t i)
{
	ASSERT(i < r->rules_n);
	return r->rules[i].name;
}
