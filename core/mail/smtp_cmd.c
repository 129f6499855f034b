/*
 * The verb's row says what may follow; MAIL and RCPT go on to the path and then to the parameter
 * table, whose functions read one value each into the command.
 */
#include "mail/smtp_cmd.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "base/obj.h"
#include "base/utf8.h"

#define ORCPT_MAX 500
#define HELLO_MAX 255
#define KEYWORD_MAX 32

enum verb_arg { ARG_NONE, ARG_OPTIONAL, ARG_REQUIRED, ARG_FROM_PATH, ARG_TO_PATH, ARG_CHUNK };

static const struct verb_row {
	const char *name;
	enum verb_arg arg;
	unsigned extension;
	const char *syntax;
} verbs[SMTP_VERB__COUNT] = {
#define VERB(id, name, arg, extension, syntax) [SMTP_VERB_##id] = { name, arg, extension, syntax },
#include "mail/smtp_verbs.def"
#undef VERB
};

static bool PRINTF_LIKE(4, 5)
	refuse(struct smtp_answer *a, int code, const char *enhanced, const char *fmt, ...)
{
	va_list ap;

	a->code = code;
	(void)snprintf(a->enhanced, sizeof(a->enhanced), "%s", enhanced);
	va_start(ap, fmt);
	(void)vsnprintf(a->text, sizeof(a->text), fmt, ap);
	va_end(ap);
	return false;
}

static bool parse_number(struct str s, uint64_t *ret)
{
	return s.n <= 20 && str_u64(s, UINT64_MAX, ret);
}

/* xtext of RFC 3461, section 4: printable ASCII without '+' and '='; or "+XX" in hexadecimal. */
static bool is_xtext(struct str s)
{
	for (size_t i = 0; i < s.n; i++) {
		unsigned char b = (unsigned char)s.p[i];
		if (b == '+') {
			static const char hex[] = "0123456789ABCDEF";
			if (i + 2 >= s.n || memchr(hex, s.p[i + 1], 16) == NULL ||
			    memchr(hex, s.p[i + 2], 16) == NULL)
				return false;
			i += 2;
		} else if (b <= ' ' || b >= 0x7f || b == '=') {
			return false;
		}
	}
	return s.n > 0;
}

static bool read_size(struct str v, struct smtp_cmd *c)
{
	return parse_number(v, &c->size);
}

static bool read_body(struct str v, struct smtp_cmd *c)
{
	if (str_eq_nocase(v, STR("7BIT")))
		c->body = SMTP_BODY_7BIT;
	else if (str_eq_nocase(v, STR("8BITMIME")))
		c->body = SMTP_BODY_8BITMIME;
	return c->body != SMTP_BODY_UNSAID;
}

static bool read_smtputf8(struct str v, struct smtp_cmd *c)
{
	(void)c;
	return v.n == 0;
}

static bool read_ret(struct str v, struct smtp_cmd *c)
{
	if (str_eq_nocase(v, STR("FULL")))
		c->ret = SMTP_RET_FULL;
	else if (str_eq_nocase(v, STR("HDRS")))
		c->ret = SMTP_RET_HDRS;
	return c->ret != SMTP_RET_UNSAID;
}

static bool read_envid(struct str v, struct smtp_cmd *c)
{
	c->envid = v;
	return v.n <= SMTP_ENVID_MAX && is_xtext(v);
}

static bool read_auth(struct str v, struct smtp_cmd *c)
{
	c->auth = v;
	return is_xtext(v);
}

static bool read_notify(struct str v, struct smtp_cmd *c)
{
	static const struct {
		struct str word;
		unsigned flag;
	} words[] = {
		{ { "NEVER", 5 }, SMTP_NOTIFY_NEVER },
		{ { "SUCCESS", 7 }, SMTP_NOTIFY_SUCCESS },
		{ { "FAILURE", 7 }, SMTP_NOTIFY_FAILURE },
		{ { "DELAY", 5 }, SMTP_NOTIFY_DELAY },
	};

	do {
		struct str word = str_cut(&v, ',');
		unsigned flag = 0;
		for (size_t i = 0; i < ARRAY_LEN(words); i++)
			if (str_eq_nocase(word, words[i].word))
				flag = words[i].flag;
		if (flag == 0)
			return false;
		c->notify |= flag;
	} while (v.n > 0);
	/* NEVER stands alone */
	return (c->notify & SMTP_NOTIFY_NEVER) == 0 || c->notify == SMTP_NOTIFY_NEVER;
}

/* utf-8-addr-unitext (RFC 6533, 3): xtext where characters beyond ASCII stand as they are. */
static bool is_unitext(struct str s)
{
	struct str ascii = s;
	bool all = utf8_valid(s) && s.n > 0;

	while (all && s.n > 0) {
		ascii.n = 0;
		while (ascii.n < s.n && (unsigned char)s.p[ascii.n] < 0x80)
			ascii.n++;
		ascii.p = s.p;
		all = ascii.n == 0 || is_xtext(ascii);
		s = str_from(s.p + ascii.n, s.n - ascii.n);
		while (s.n > 0 && (unsigned char)s.p[0] >= 0x80)
			s = str_from(s.p + 1, s.n - 1);
	}
	return all;
}

static bool read_orcpt(struct str v, struct smtp_cmd *c)
{
	struct str rest = v;
	struct str type = str_cut(&rest, ';');

	c->orcpt = v;
	return v.n <= ORCPT_MAX && is_xtext(type) &&
	       (str_eq_nocase(type, STR("utf-8")) ? is_unitext(rest) : is_xtext(rest));
}

static const struct param_row {
	const char *name;
	enum smtp_verb verb;
	unsigned extension;
	bool (*read)(struct str value, struct smtp_cmd *c);
} params[SMTP_PARAM__COUNT] = {
#define PARAM(id, name, verb, extension, read) [SMTP_PARAM_##id] = { name, verb, extension, read },
#include "mail/smtp_params.def"
#undef PARAM
};

static bool is_keyword(struct str s)
{
	for (size_t i = 0; i < s.n; i++) {
		unsigned char b = (unsigned char)s.p[i];
		bool alnum = (b >= '0' && b <= '9') || ((b | 0x20) >= 'a' && (b | 0x20) <= 'z');
		if (!alnum && b != '-')
			return false;
	}
	return s.n > 0 && s.n <= KEYWORD_MAX;
}

static bool parse_param(struct str word, unsigned extensions, struct smtp_cmd *c,
			struct smtp_answer *a)
{
	struct str value = word;
	struct str name = str_cut(&value, '=');

	if (!is_keyword(name))
		return refuse(a, 501, "5.5.4", "A parameter is KEYWORD or KEYWORD=value");
	for (int i = 0; i < SMTP_PARAM__COUNT; i++) {
		const struct param_row *row = &params[i];
		if (row->verb != c->verb || (row->extension & extensions) == 0 ||
		    !str_eq_nocase(name, str_of(row->name)))
			continue;
		if ((c->given & 1u << i) != 0)
			return refuse(a, 501, "5.5.4", "%s is given twice", row->name);
		c->given |= 1u << i;
		if (!row->read(value, c))
			return refuse(a, 501, "5.5.4", "Wrong value of %s", row->name);
		return true;
	}
	return refuse(a, 555, "5.5.4", "%s does not take the parameter %.*s", verbs[c->verb].name,
		      STR_ARG(name));
}

static bool parse_path(struct str rest, unsigned extensions, struct smtp_cmd *c,
		       struct smtp_answer *a)
{
	bool mail = c->verb == SMTP_VERB_MAIL;
	unsigned flags = mail ? ADDRESS_NULL : ADDRESS_POSTMASTER;
	struct str word = mail ? STR("FROM:") : STR("TO:");
	struct err err = ERR_INIT;
	size_t used;

	if (!str_starts_nocase(rest, word))
		return refuse(a, 501, "5.5.4", "Syntax: %s", verbs[c->verb].syntax);
	/* a space after the colon is wrong, common and harmless */
	rest = str_trim(str_from(rest.p + word.n, rest.n - word.n));
	flags |= (extensions & SMTP_EXT_SMTPUTF8) != 0 ? ADDRESS_UTF8 : 0;
	if (address_parse_path(rest, flags, &c->address, &used, &err) < 0)
		return refuse(a, 501, mail ? "5.1.7" : "5.1.3", "Bad %s address: %s",
			      mail ? "sender" : "recipient", err.msg);
	for (size_t i = 0; i < used; i++)
		c->utf8 = c->utf8 || (unsigned char)rest.p[i] >= 0x80;
	rest = str_from(rest.p + used, rest.n - used);
	if (rest.n > 0 && rest.p[0] != ' ')
		return refuse(a, 501, "5.5.4", "A space is expected after the address");
	while ((rest = str_trim(rest)).n > 0)
		if (!parse_param(str_cut(&rest, ' '), extensions, c, a))
			return false;
	if (mail && c->utf8 && (c->given & 1u << SMTP_PARAM_SMTPUTF8) == 0)
		return refuse(a, 553, "5.6.7", "A non-ASCII address needs the parameter SMTPUTF8");
	return true;
}

static bool parse_chunk(struct str rest, struct smtp_cmd *c, struct smtp_answer *a)
{
	struct str size = str_cut(&rest, ' ');

	rest = str_trim(rest);
	c->last = str_eq_nocase(rest, STR("LAST"));
	if (!parse_number(size, &c->size) || (rest.n > 0 && !c->last))
		return refuse(a, 501, "5.5.4", "Syntax: %s", verbs[c->verb].syntax);
	return true;
}

bool smtp_verb_offered(enum smtp_verb verb, unsigned extensions)
{
	return (verbs[verb].extension & extensions) == verbs[verb].extension;
}

static enum smtp_verb find_verb(struct str word, unsigned extensions)
{
	for (int i = 0; i < SMTP_VERB__COUNT; i++)
		if (str_eq_nocase(word, str_of(verbs[i].name)) &&
		    smtp_verb_offered((enum smtp_verb)i, extensions))
			return (enum smtp_verb)i;
	return SMTP_VERB__COUNT;
}

/* Controls anywhere, and bytes above 127 outside of addresses, make a line garbage. */
static bool clean_line(struct str line, bool eight_bit_ok)
{
	for (size_t i = 0; i < line.n; i++) {
		unsigned char b = (unsigned char)line.p[i];
		if ((b < 0x20 && b != '\t') || b == 0x7f || (b >= 0x80 && !eight_bit_ok))
			return false;
	}
	return true;
}

static bool parse_arg(struct str rest, unsigned extensions, struct smtp_cmd *c,
		      struct smtp_answer *a)
{
	const struct verb_row *row = &verbs[c->verb];
	bool hello = c->verb == SMTP_VERB_EHLO || c->verb == SMTP_VERB_HELO;

	c->arg = rest;
	switch (row->arg) {
	case ARG_NONE:
		if (rest.n > 0)
			return refuse(a, 501, "5.5.4", "%s takes no argument", row->name);
		return true;
	case ARG_OPTIONAL:
		return true;
	case ARG_REQUIRED:
		if (rest.n == 0 || (hello && (rest.n > HELLO_MAX || str_index(rest, ' ') >= 0)))
			return refuse(a, 501, "5.5.4", "Syntax: %s", row->syntax);
		return true;
	case ARG_FROM_PATH:
	case ARG_TO_PATH:
		return parse_path(rest, extensions, c, a);
	case ARG_CHUNK:
		return parse_chunk(rest, c, a);
	}
	BUG("verb argument %d", (int)row->arg);
}

bool smtp_cmd_parse(struct str line, unsigned extensions, struct smtp_cmd *ret_cmd,
		    struct smtp_answer *ret_answer)
{
	struct smtp_cmd c = { .verb = SMTP_VERB__COUNT };
	struct str rest = str_trim(line);
	struct str word = str_cut(&rest, ' ');

	*ret_cmd = c;
	c.verb = find_verb(word, extensions);
	ret_cmd->verb = c.verb;
	if (!clean_line(line, c.verb == SMTP_VERB_MAIL || c.verb == SMTP_VERB_RCPT))
		return refuse(ret_answer, 500, "5.5.2", "Unexpected bytes in a command");
	if (c.verb == SMTP_VERB__COUNT)
		return refuse(ret_answer, 500, "5.5.1", "Command not recognised");
	if (!parse_arg(str_trim(rest), extensions, &c, ret_answer))
		return false;
	*ret_cmd = c;
	return true;
}

const char *smtp_verb_name(enum smtp_verb verb)
{
	return verb < SMTP_VERB__COUNT ? verbs[verb].name : "?";
}

const char *smtp_verb_syntax(enum smtp_verb verb)
{
	return verb < SMTP_VERB__COUNT ? verbs[verb].syntax : "?";
}
