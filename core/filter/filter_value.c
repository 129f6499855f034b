/*
 * Values by kind: text to a test and its canonical spelling. One reader a kind, all of the same
 * form: they fill the value, or say what would fit.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/fmt.h"
#include "base/mem.h"
#include "base/obj.h"
#include "filter/filter_int.h"
#include "mail/address.h"
#include "mail/msgid.h"

#define WORD_ID_MIN 6 /* shorter words are not taken for the beginning of an id */
#define ENHANCED_TEXT_MAX 11

static bool has_star(struct str s)
{
	return str_index(s, '*') >= 0;
}

static void set_text(struct filter_value *v, struct str s)
{
	v->text = xstrndup(s.p != NULL ? s.p : "", s.n);
}

/* How often a pattern's stars repeat is of no meaning: "**" is "*". */
static struct str squeeze_stars(struct str s, char *to)
{
	size_t n = 0;

	for (size_t i = 0; i < s.n; i++)
		if (s.p[i] != '*' || n == 0 || to[n - 1] != '*')
			to[n++] = s.p[i];
	return str_from(to, n);
}

/* The test for a whole text. */
static void read_whole(struct filter_value *v, struct str s)
{
	AUTO_FREE char *copy = xmalloc(s.n + 1);

	s = squeeze_stars(s, copy);
	if (s.n == 0)
		v->test = TEST_EMPTY;
	else if (str_eq(s, STR("*")))
		v->test = TEST_PRESENT;
	else
		v->test = has_star(s) ? TEST_GLOB : TEST_EQUAL;
	set_text(v, s);
	if ((filter_fields[v->field].flags & FF_LOWER) != 0)
		for (char *p = v->text; *p != '\0'; p++)
			if (*p >= 'A' && *p <= 'Z')
				*p = (char)(*p - 'A' + 'a');
}

/* The test for a part of a text: a pattern with a star is anchored all the same. */
static void read_part(struct filter_value *v, struct str s)
{
	read_whole(v, s);
	if (v->test == TEST_EQUAL)
		v->test = TEST_PART;
}

static bool is_ascii(struct str s)
{
	for (size_t i = 0; i < s.n; i++)
		if ((unsigned char)s.p[i] >= 0x80)
			return false;
	return true;
}

/* Internationalised domains are stored as A-labels, and so they are looked for. */
static void read_domain(struct filter_value *v, struct str s)
{
	char domain[ADDRESS_DOMAIN_MAX + 1];

	read_whole(v, !is_ascii(s) && address_domain_canonical(s, domain) ? str_of(domain) : s);
}

static void read_address(struct filter_value *v, enum filter_op op, struct str s)
{
	struct address a;

	if (str_eq(s, STR("<>")))
		s.n = 0;
	if (!is_ascii(s) && address_parse(s, ADDRESS_UTF8, &a, NULL) >= 0)
		s = address_str(&a);
	if (s.n > 1 && s.p[0] == '@' && !has_star(s)) {
		AUTO_FREE char *pattern = xasprintf("*%.*s", STR_ARG(s));
		read_whole(v, str_of(pattern));
	} else if (op == OP_HAS && str_index(s, '@') < 0) {
		read_part(v, s);
	} else {
		read_whole(v, s);
	}
}

static int read_id(struct filter_value *v, struct str s, struct err *err)
{
	struct msgid first;
	struct msgid last;
	unsigned n = 0;
	char text[RID_TEXT_LEN];

	v->test = TEST_RANGE;
	if (s.n > 1 && s.p[s.n - 1] == '*' &&
	    msgid_parse_prefix(str_from(s.p, s.n - 1), &first, &last)) {
		msgid_text(first, text);
		text[s.n - 1] = '*';
		text[s.n] = '\0';
	} else if (msgid_parse_rcpt(s, &first, &n)) {
		last = first;
		if (n == 0)
			msgid_text(first, text);
		else
			rid_text(rid_of(first, n), text);
	} else {
		return err_set(err, ERR_SYNTAX,
			       "an id has ten letters and digits, as in id:0N4XK2M8QF; ID/N is one "
			       "recipient, 0N4X* a beginning");
	}
	v->lo = (int64_t)rid_of(first, n).v;
	v->hi = (int64_t)rid_of(last, n != 0 ? n : RID_RCPT_MAX).v;
	set_text(v, str_of(text));
	return 0;
}

static int read_state(struct filter_value *v, struct str s, struct err *err)
{
	AUTO_BUF all = BUF_INIT(256);

	for (size_t i = 0; i < FILTER_STATES; i++) {
		if (str_eq_nocase(s, str_of(filter_states[i].name))) {
			v->test = TEST_EQUAL;
			set_text(v, str_of(filter_states[i].name));
			return 0;
		}
		(void)buf_printf(&all, "%s%s", i > 0 ? " " : "", filter_states[i].name);
	}
	return err_set(err, ERR_SYNTAX, "a state is one of %s", buf_cstr(&all));
}

/* D.D.D with stars for pieces; "4.7" is completed to "4.7.*". */
static bool read_enhanced(struct filter_value *v, struct str s)
{
	static const char chars[] = "0123456789.*";
	unsigned dots = 0;
	char text[ENHANCED_TEXT_MAX + 3];
	const char *open = "";
	char last;

	if (s.n == 0 || s.n > ENHANCED_TEXT_MAX)
		return false;
	for (size_t i = 0; i < s.n; i++) {
		if (memchr(chars, s.p[i], sizeof(chars) - 1) == NULL)
			return false;
		dots += s.p[i] == '.';
	}
	last = s.p[s.n - 1];
	if (dots > 2 || s.p[0] == '.')
		return false;
	if (last == '.')
		open = "*";
	else if (dots < 2 && last != '*')
		open = ".*";
	(void)snprintf(text, sizeof(text), "%.*s%s", STR_ARG(s), open);
	v->field = FILTER_ENHANCED;
	read_whole(v, str_of(text));
	return true;
}

/* 421, 42x, 4xx, also written 4.. or 4*. */
static bool read_basic_code(struct filter_value *v, struct str s)
{
	int64_t lo = 0;
	int64_t span = 1;
	char text[4] = "xxx";

	if (s.n == 2 && s.p[1] == '*')
		s.n = 1;
	else if (s.n != 3)
		return false;
	for (size_t i = 0; i < 3; i++) {
		char c = i < s.n ? s.p[i] : 'x';
		bool open = c == 'x' || c == 'X' || c == '.' || c == '*';
		if (!open && (c < '0' || c > '9'))
			return false;
		if (open ? i == 0 : span != 1)
			return false;
		lo = lo * 10 + (open ? 0 : c - '0');
		span *= open ? 10 : 1;
		text[i] = open ? 'x' : c;
	}
	v->test = TEST_RANGE;
	v->lo = lo;
	v->hi = lo + span - 1;
	set_text(v, str_from(text, 3));
	return true;
}

static int read_code(struct filter_value *v, enum filter_op op, struct str s, struct err *err)
{
	bool equality = filter_op_fits(KIND_NAME, op);
	bool plain = s.n != 3 || s.p[1] != '.' || s.p[2] == '.';

	if (plain && read_basic_code(v, s) && (equality || v->lo == v->hi)) {
		if (!equality)
			v->test = TEST_COMPARE;
		return 0;
	}
	if (!equality)
		return err_set(err, ERR_SYNTAX, "a reply code is expected, as in code>=500");
	if (str_index(s, '.') > 0 && read_enhanced(v, s))
		return 0;
	return err_set(err, ERR_SYNTAX, "a code is 421, 4xx, 4.7.28 or 4.7.*");
}

static int read_network(struct filter_value *v, struct str s, struct err *err)
{
	char text[IPNET_TEXT_LEN];

	if (ipnet_parse(s, &v->net, err) < 0)
		return -ERR_SYNTAX;
	ipnet_text(&v->net, text);
	v->test = TEST_NETWORK;
	set_text(v, str_of(text));
	return 0;
}

/* Exact, unlike fmt_age(): "1h30m". */
static void print_age(int64_t s, struct buf *out)
{
	static const struct {
		char unit;
		int64_t s;
	} units[] = { { 'd', 86400 }, { 'h', 3600 }, { 'm', 60 }, { 's', 1 } };

	if (s == 0)
		(void)buf_puts(out, "0s");
	for (size_t i = 0; i < ARRAY_LEN(units); i++) {
		if (s >= units[i].s)
			(void)buf_printf(out, "%lld%c", (long long)(s / units[i].s), units[i].unit);
		s %= units[i].s;
	}
}

static int read_age(struct filter_value *v, struct str s, struct err *err)
{
	AUTO_BUF text = BUF_INIT(64);
	bool unit = s.n > 0 && (s.p[s.n - 1] < '0' || s.p[s.n - 1] > '9');
	int64_t age_s;

	if (!unit || !fmt_parse_age(s, &age_s) || age_s > INT64_C(366) * 100 * 86400)
		return err_set(err, ERR_SYNTAX,
			       "a time is a number and a unit of s m h d w: 2h, 3d, 1h30m");
	v->test = TEST_COMPARE;
	v->lo = age_s * 1000;
	print_age(age_s, &text);
	set_text(v, buf_str(&text));
	return 0;
}

static int read_size(struct filter_value *v, struct str s, struct err *err)
{
	static const char units[] = "GMK";
	AUTO_BUF text = BUF_INIT(64);
	uint64_t size;
	unsigned shift = 30;

	if (!fmt_parse_size(s, &size) || size > (uint64_t)INT64_MAX)
		return err_set(err, ERR_SYNTAX, "a size is bytes, or a number with K, M or G: 10M");
	v->test = TEST_COMPARE;
	v->lo = (int64_t)size;
	for (const char *u = units; *u != '\0' && text.n == 0; u++, shift -= 10)
		if (size != 0 && size % (UINT64_C(1) << shift) == 0 && size >> shift < 1000000)
			(void)buf_printf(&text, "%llu%c", (unsigned long long)(size >> shift), *u);
	if (text.n == 0)
		(void)buf_printf(&text, "%llu", (unsigned long long)size);
	set_text(v, buf_str(&text));
	return 0;
}

static int read_count(struct filter_value *v, struct str s, struct err *err)
{
	uint64_t n;
	char text[24];

	if (!str_u64(s, INT32_MAX, &n))
		return err_set(err, ERR_SYNTAX, "a number is expected, as in attempts>=3");
	v->test = TEST_COMPARE;
	v->lo = (int64_t)n;
	(void)snprintf(text, sizeof(text), "%llu", (unsigned long long)n);
	set_text(v, str_of(text));
	return 0;
}

int filter_value_read(struct filter_term *t, struct str text, struct err *err)
{
	const struct filter_field_def *def = &filter_fields[t->field];
	struct filter_value *v = filter_term_add(t);

	v->field = t->field;
	switch (def->kind) {
	case KIND_ID:
		return read_id(v, text, err);
	case KIND_STATE:
		return read_state(v, text, err);
	case KIND_NAME:
		if ((def->flags & FF_LOWER) != 0)
			read_domain(v, text);
		else
			read_whole(v, text);
		return 0;
	case KIND_ADDRESS:
		read_address(v, t->op, text);
		return 0;
	case KIND_TEXT:
		if (t->op == OP_HAS)
			read_part(v, text);
		else
			read_whole(v, text);
		return 0;
	case KIND_CODE:
		return read_code(v, t->op, text, err);
	case KIND_ENHANCED:
		if (read_enhanced(v, text))
			return 0;
		return err_set(err, ERR_SYNTAX,
			       "an enhanced code is 4.7.28, or 4.7.* for all of 4.7");
	case KIND_NETWORK:
		return read_network(v, text, err);
	case KIND_AGE:
	case KIND_UNTIL:
		return read_age(v, text, err);
	case KIND_COUNT:
		return read_count(v, text, err);
	case KIND_SIZE:
		return read_size(v, text, err);
	}
	BUG("filter kind %d", (int)def->kind);
}

static void search(struct filter_term *t, const enum filter_field *fields, size_t n,
		   struct str text)
{
	for (size_t i = 0; i < n; i++) {
		struct filter_value *v = filter_term_add(t);
		v->field = fields[i];
		read_part(v, text);
	}
}

void filter_word_read(struct filter_term *t, enum filter_about about, struct str text)
{
	static const enum filter_field mail[] = { FILTER_FROM, FILTER_TO, FILTER_SUBJECT };
	static const enum filter_field audit[] = { FILTER_WHO, FILTER_METHOD, FILTER_TARGET,
						   FILTER_REASON, FILTER_RESULT };
	struct filter_value *v;
	struct msgid first;
	struct msgid last;
	unsigned n = 0;

	if (about == FILTER_AUDIT) {
		search(t, audit, ARRAY_LEN(audit), text);
		return;
	}
	search(t, mail, ARRAY_LEN(mail), text);
	if (msgid_parse_rcpt(text, &first, &n))
		last = first;
	else if (text.n < WORD_ID_MIN || !msgid_parse_prefix(text, &first, &last))
		return;
	v = filter_term_add(t);
	v->field = FILTER_ID;
	v->test = TEST_RANGE;
	v->lo = (int64_t)rid_of(first, n).v;
	v->hi = (int64_t)rid_of(last, n != 0 ? n : RID_RCPT_MAX).v;
	set_text(v, text);
}
