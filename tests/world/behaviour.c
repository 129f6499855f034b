/*
 * The tables are behaviours.def and params.def; a `set` command copies a row and changes members of
 * the copy by their offset. Conditions are evaluated in one place, behaviour_acts().
 */
#include "world/behaviour.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/obj.h"

#define WORD_MAX 1024
#define PERCENT_ALL 100

struct triple {
	RB_ENTRY(triple) entry;
	uint64_t key;
	int64_t first_ms;
};

static int triple_cmp(const struct triple *a, const struct triple *b)
{
	return a->key < b->key ? -1 : a->key > b->key;
}
RB_GENERATE_INTERNAL(triples, triple, entry, triple_cmp, __attribute__((unused)) static)

enum behaviour_id {
#define BEHAVIOUR(id, ...) BEHAVIOUR_##id,
#include "world/behaviours.def"
#undef BEHAVIOUR
	BEHAVIOUR__COUNT
};

static const struct behaviour behaviours[BEHAVIOUR__COUNT] = {
#define BEHAVIOUR(id, nm, hlp, ...)                                                                \
	[BEHAVIOUR_##id] = { .name = (nm), .help = (hlp), .percent = PERCENT_ALL, __VA_ARGS__ },
#include "world/behaviours.def"
#undef BEHAVIOUR
};

/* In the order of enum stage and enum dns_form. */
static const char *const stage_words[] = { "banner", "helo", "mail", "rcpt",
					   "data",   "body", "eod",  NULL };
static const char *const dns_words[] = { "mx",	     "implicit", "cname",   "many",    "null",
					 "nxdomain", "servfail", "timeout", "garbage", NULL };

enum param_kind { PARAM_NUMBER, PARAM_CHOICE, PARAM_TEXT };
struct param {
	const char *name;
	enum param_kind kind;
	size_t offset;
	size_t size;
	uint64_t max;
	const char *const *words;
	const char *help;
};

#define BOUND_NUMBER(x) .max = (x)
#define BOUND_CHOICE(x) .words = (x)
#define BOUND_TEXT(x) .max = (x)
static const struct param params[] = {
#define PARAM(member, knd, bound, hlp)                                                             \
	{ .name = #member,                                                                         \
	  .kind = PARAM_##knd,                                                                     \
	  .offset = offsetof(struct behaviour, member),                                            \
	  .size = sizeof(((struct behaviour *)0)->member),                                         \
	  BOUND_##knd(bound),                                                                      \
	  .help = (hlp) },
#include "world/params.def"
#undef PARAM
};

/* Cuts the next word off *rest into buf, without its quotes; a backslash guards a quote. */
static bool next_word(struct str *rest, char *buf, size_t size)
{
	size_t n = 0;
	bool quoted = false;

	while (rest->n > 0 && (*rest->p == ' ' || *rest->p == '\t'))
		*rest = str_from(rest->p + 1, rest->n - 1);
	if (rest->n == 0)
		return false;
	while (rest->n > 0 && (quoted || (*rest->p != ' ' && *rest->p != '\t'))) {
		char c = *rest->p;

		*rest = str_from(rest->p + 1, rest->n - 1);
		if (c == '"') {
			quoted = !quoted;
			continue;
		}
		if (c == '\\' && rest->n > 0 && *rest->p == '"') {
			c = '"';
			*rest = str_from(rest->p + 1, rest->n - 1);
		}
		if (n + 1 < size)
			buf[n++] = c;
	}
	buf[n] = '\0';
	return true;
}

static int set_param(struct behaviour *b, const struct param *p, struct str value, struct err *err)
{
	char *member = (char *)b + p->offset;
	uint64_t number = 0;

	switch (p->kind) {
	case PARAM_NUMBER:
		if (!str_u64(value, p->max, &number))
			return err_param(err, ERR_INVALID, p->name, "%s: a number from 0 to %llu",
					 p->name, (unsigned long long)p->max);
		break;
	case PARAM_CHOICE:
		while (p->words[number] != NULL && !str_eq(value, str_of(p->words[number])))
			number++;
		if (p->words[number] == NULL)
			return err_param(err, ERR_INVALID, p->name, "%s: %s", p->name, p->help);
		break;
	case PARAM_TEXT:
		if (value.n >= p->size)
			return err_param(err, ERR_INVALID, p->name, "%s: at most %zu bytes",
					 p->name, p->size - 1);
		memcpy(member, value.p, value.n);
		member[value.n] = '\0';
		return 0;
	}
	int64_t signed_number = (int64_t)number;
	memcpy(member, &signed_number, sizeof(signed_number));
	return 0;
}

static bool is_reply(const char *text)
{
	uint64_t code;

	return strlen(text) > 4 && text[3] == ' ' && str_u64(str_from(text, 3), 599, &code) &&
	       code >= 400;
}

int behaviour_parse(const char *words, struct behaviour *ret, struct err *err)
{
	struct str rest = str_of(words);
	char word[WORD_MAX];
	size_t i = 0;

	if (!next_word(&rest, word, sizeof(word)))
		return err_set(err, ERR_INVALID, "a behaviour is missing");
	while (i < BEHAVIOUR__COUNT && strcmp(word, behaviours[i].name) != 0)
		i++;
	if (i == BEHAVIOUR__COUNT)
		return err_param(err, ERR_INVALID, "behaviour", "no behaviour is called %s", word);

	struct behaviour b = behaviours[i];
	while (next_word(&rest, word, sizeof(word))) {
		struct str value = str_of(word);
		struct str key = str_cut(&value, '=');
		size_t k = 0;

		while (k < ARRAY_LEN(params) && !str_eq(key, str_of(params[k].name)))
			k++;
		if (k == ARRAY_LEN(params))
			return err_param(err, ERR_INVALID, "key", "no parameter is called %.*s",
					 STR_ARG(key));
		if (set_param(&b, &params[k], value, err) < 0)
			return -err->code;
	}
	if (b.act == ACT_REPLY && !is_reply(b.text))
		return err_param(err, ERR_INVALID, "text", "text: 4xx or 5xx, a space and a text");
	*ret = b;
	return 0;
}

void behaviour_state_init(struct behaviour_state *state)
{
	*state = (struct behaviour_state){ .first_contact_ms = -1 };
	RB_INIT(&state->triples);
}

static void forget_triples(struct behaviour_state *state)
{
	struct triple *t;

	while ((t = RB_MIN(triples, &state->triples)) != NULL) {
		RB_REMOVE(triples, &state->triples, t);
		free(t);
	}
	state->triples_n = 0;
}

void behaviour_state_done(struct behaviour_state *state)
{
	forget_triples(state);
}

/* True while the triple of the contact is younger than `seconds`. */
static bool is_new_triple(const struct behaviour *b, struct behaviour_state *state,
			  const struct contact *c)
{
	uint64_t key = str_hash(c->client) ^ (str_hash_nocase(c->from) * 3) ^
		       (str_hash_nocase(c->rcpt) * 7);
	struct triple *t = RB_FIND(triples, &state->triples, &(struct triple){ .key = key });

	if (t == NULL) {
		if (state->triples_n >= GREYLIST_MAX)
			forget_triples(state);
		t = xcalloc(1, sizeof(*t));
		t->key = key;
		t->first_ms = c->now_ms;
		RB_INSERT(triples, &state->triples, t);
		state->triples_n++;
	}
	return c->now_ms - t->first_ms < b->seconds * 1000;
}

static bool in_period(const struct behaviour *b, struct behaviour_state *state,
		      const struct contact *c)
{
	if (state->first_contact_ms < 0)
		state->first_contact_ms = c->now_ms;
	int64_t since_ms = c->now_ms - state->first_contact_ms;
	if (b->every > 0)
		since_ms %= b->every * 1000;
	return since_ms < b->seconds * 1000;
}

static bool over_rate(const struct behaviour *b, struct behaviour_state *state,
		      const struct contact *c)
{
	if (c->now_ms - state->window_start_ms >= b->window * 1000) {
		state->window_start_ms = c->now_ms;
		state->window_count = 0;
	}
	return ++state->window_count > b->rate;
}

bool behaviour_acts(const struct behaviour *b, struct behaviour_state *state,
		    const struct contact *c)
{
	bool acts = false;

	if (b->act == ACT_NONE || b->act == ACT_DOWN || b->at != (int64_t)c->at)
		return false;
	if (b->mx != 0 && b->mx != (int64_t)c->mx)
		return false;
	switch (b->when) {
	case WHEN_ALWAYS:
		acts = true;
		break;
	case WHEN_RATE:
		acts = over_rate(b, state, c);
		break;
	case WHEN_PERIOD:
		acts = in_period(b, state, c);
		break;
	case WHEN_TRIPLE:
		acts = is_new_triple(b, state, c);
		break;
	case WHEN_PREFIX:
		acts = str_starts_nocase(c->rcpt, str_of(b->prefix));
		break;
	}
	return acts && (int64_t)(c->dice % PERCENT_ALL) < b->percent;
}

bool behaviour_is_down(const struct behaviour *b, unsigned mx)
{
	return b->act == ACT_DOWN && (b->mx == 0 || b->mx == (int64_t)mx);
}

/* Appends what stands for %letter in a reply's text. */
static void put_variable(const struct behaviour *b, const struct contact *c, const char *host,
			 char letter, struct buf *out)
{
	switch (letter) {
	case 'r':
		buf_put_str(out, c->rcpt);
		break;
	case 'f':
		buf_put_str(out, c->from);
		break;
	case 'i':
		buf_put_str(out, c->client);
		break;
	case 'h':
		buf_puts(out, host);
		break;
	case 's':
		buf_printf(out, "%lld", (long long)b->seconds);
		break;
	case 'q':
		buf_printf(out, "%012llx", (unsigned long long)(c->dice >> 16));
		break;
	default:
		buf_putc(out, letter);
		break;
	}
}

int behaviour_reply(const struct behaviour *b, const struct contact *c, const char *host,
		    struct buf *out)
{
	const char *code = b->text;
	size_t line_start = out->n;

	buf_put(out, code, 4);
	for (const char *p = code + 4; *p != '\0'; p++) {
		if (p[0] == '%' && p[1] != '\0') {
			put_variable(b, c, host, *++p, out);
		} else if (p[0] == '\\' && p[1] == 'n') {
			p++;
			if (!out->full)
				out->p[line_start + 3] = '-';
			buf_puts(out, "\r\n");
			line_start = out->n;
			buf_put(out, code, 4);
		} else {
			buf_putc(out, *p);
		}
	}
	buf_puts(out, "\r\n");
	return (code[0] - '0') * 100 + (code[1] - '0') * 10 + (code[2] - '0');
}

void behaviour_help(struct buf *out)
{
	buf_puts(out, "\nBehaviours:\n");
	for (size_t i = 0; i < BEHAVIOUR__COUNT; i++)
		buf_printf(out, "  %-12s %s\n", behaviours[i].name, behaviours[i].help);
	buf_puts(out, "\nParameters of behaviours (key=value, quotes around spaces):\n");
	for (size_t i = 0; i < ARRAY_LEN(params); i++)
		buf_printf(out, "  %-12s %s\n", params[i].name, params[i].help);
}
