/*
 * One pass with a cursor whose error is sticky: the first fault stays, everything after it is a
 * no-op, and the entry points look once at the end.
 */
#include "mail/address.h"

#include <arpa/inet.h>
#include <idn2.h>
#include <stdio.h>
#include <string.h>

#include "base/utf8.h"

#define LABEL_MAX 63

struct cursor {
	struct str s;
	size_t at;
	unsigned flags;
	const char *fault; /* NULL while all is well */
	size_t fault_at;
};

static void fail(struct cursor *c, const char *text)
{
	if (c->fault == NULL) {
		c->fault = text;
		c->fault_at = c->at;
	}
}

/* The byte at the cursor, 0 at the end or after a fault; a NUL in the text is refused earlier. */
static unsigned char peek(const struct cursor *c)
{
	return c->fault == NULL && c->at < c->s.n ? (unsigned char)c->s.p[c->at] : 0;
}

static bool take(struct cursor *c, char want)
{
	if (peek(c) != (unsigned char)want)
		return false;
	c->at++;
	return true;
}

static bool is_alnum(unsigned char b)
{
	return (b >= '0' && b <= '9') || (b >= 'a' && b <= 'z') || (b >= 'A' && b <= 'Z');
}

static bool is_atext(unsigned char b)
{
	return is_alnum(b) || (b != 0 && strchr("!#$%&'*+-/=?^_`{|}~", b) != NULL);
}

/* Controls and bad UTF-8 make the whole text unusable, wherever they stand. */
static void check_bytes(struct cursor *c)
{
	for (size_t i = 0; i < c->s.n; i++) {
		unsigned char b = (unsigned char)c->s.p[i];
		c->at = i;
		if (b < 0x20 || b == 0x7f)
			fail(c, "a control character in an address");
		else if (b >= 0x80 && (c->flags & ADDRESS_UTF8) == 0)
			fail(c, "non-ASCII characters in an address need SMTPUTF8");
	}
	c->at = 0;
	if (c->fault == NULL && (c->flags & ADDRESS_UTF8) != 0 && !utf8_valid(c->s))
		fail(c, "the address is not valid UTF-8");
}

/* Output text of limited size; overflow shows as n > size. */
struct out {
	char *p;
	size_t n;
	size_t size;
};

static void out_byte(struct out *o, unsigned char b)
{
	if (o->n < o->size)
		o->p[o->n] = (char)b;
	o->n++;
}

/* dot-string or the inside of a quoted-string, unquoted, into o. */
static void parse_local(struct cursor *c, struct out *o)
{
	unsigned char b;

	if (take(c, '"')) {
		while ((b = peek(c)) != 0 && b != '"') {
			if (b == '\\') {
				c->at++;
				b = peek(c);
				if (b == 0)
					break;
			}
			out_byte(o, b);
			c->at++;
		}
		if (!take(c, '"'))
			fail(c, "the quoted local part is not closed");
		return;
	}
	for (;;) {
		size_t start = c->at;
		while (is_atext(b = peek(c)) || b >= 0x80) {
			out_byte(o, b);
			c->at++;
		}
		if (c->at == start) {
			fail(c, b == '.' ? "an empty piece between dots in the local part"
					 : "a local part is expected here");
			return;
		}
		if (!take(c, '.'))
			return;
		out_byte(o, '.');
	}
}

static bool is_dot_string(struct str s)
{
	bool need = true;

	for (size_t i = 0; i < s.n; i++) {
		unsigned char b = (unsigned char)s.p[i];
		if (b == '.' ? need : !is_atext(b) && b < 0x80)
			return false;
		need = b == '.';
	}
	return !need;
}

static void put_local(struct out *o, struct str local)
{
	bool quoted = !is_dot_string(local);

	if (quoted)
		out_byte(o, '"');
	for (size_t i = 0; i < local.n; i++) {
		if (local.p[i] == '"' || local.p[i] == '\\')
			out_byte(o, '\\');
		out_byte(o, (unsigned char)local.p[i]);
	}
	if (quoted)
		out_byte(o, '"');
}

/*
 * Letters, digits, hyphens inside labels. Underscores are let through although RFC 5321 has none:
 * such names exist in the DNS and receive mail.
 */
static void parse_labels(struct cursor *c, struct out *o)
{
	bool numeric = false;

	for (;;) {
		size_t start = c->at;
		bool ascii = true;
		unsigned char b;
		numeric = true;
		while (is_alnum(b = peek(c)) || b == '-' || b == '_' || b >= 0x80) {
			numeric = numeric && b >= '0' && b <= '9';
			ascii = ascii && b < 0x80;
			out_byte(o, b >= 'A' && b <= 'Z' ? (unsigned char)(b - 'A' + 'a') : b);
			c->at++;
		}
		if (c->at == start)
			fail(c, b == '[' ? "an address literal stands alone after the @"
					 : "a domain is expected here");
		else if (c->s.p[start] == '-' || c->s.p[c->at - 1] == '-')
			fail(c, "a domain label begins or ends with a hyphen");
		else if (ascii && c->at - start > LABEL_MAX)
			fail(c, "a domain label is longer than 63 characters");
		if (c->fault != NULL || !take(c, '.'))
			break;
		out_byte(o, '.');
	}
	if (c->fault == NULL && numeric)
		fail(c, "an IP address in an address must stand in brackets");
}

/* A name with U-labels becomes one of A-labels (IDNA 2008 with the mapping of UTS 46). */
static void parse_domain(struct cursor *c, struct out *o)
{
	char name[ADDRESS_DOMAIN_MAX + 1];
	struct out unicode = { name, 0, ADDRESS_DOMAIN_MAX };
	char *ascii = NULL;
	bool international = false;

	parse_labels(c, &unicode);
	if (c->fault != NULL || unicode.n > ADDRESS_DOMAIN_MAX) {
		o->n += unicode.n;
		return;
	}
	name[unicode.n] = '\0';
	for (size_t i = 0; i < unicode.n; i++)
		international = international || (unsigned char)name[i] >= 0x80;
	if (international &&
	    idn2_to_ascii_8z(name, &ascii, IDN2_NONTRANSITIONAL | IDN2_NFC_INPUT) != IDN2_OK)
		fail(c, "that is no internationalised domain");
	/* what stands for nothing is mapped to nothing, and what is left may be no name */
	if (ascii != NULL && !address_domain_valid(str_of(ascii), 0))
		fail(c, "that is no internationalised domain");
	for (const char *p = ascii != NULL ? ascii : name; *p != '\0'; p++)
		out_byte(o, (unsigned char)*p);
	idn2_free(ascii);
}

static void parse_literal(struct cursor *c, struct out *o)
{
	struct str text = { c->s.p + c->at, 0 };
	char ip[64];
	unsigned char bin[16];
	static const struct str v6 = { "IPv6:", 5 };
	unsigned char b;

	while ((b = peek(c)) != 0 && b != ']') {
		c->at++;
		text.n++;
	}
	if (!take(c, ']')) {
		fail(c, "the address literal has no closing bracket");
		return;
	}
	out_byte(o, '[');
	if (str_starts_nocase(text, v6)) {
		(void)snprintf(ip, sizeof(ip), "%.*s", (int)(text.n - v6.n), text.p + v6.n);
		if (inet_pton(AF_INET6, ip, bin) != 1)
			fail(c, "that is not an IPv6 address");
		for (size_t i = 0; i < v6.n; i++)
			out_byte(o, (unsigned char)v6.p[i]);
	} else {
		(void)snprintf(ip, sizeof(ip), "%.*s", STR_ARG(text));
		if (inet_pton(AF_INET, ip, bin) != 1)
			fail(c, "an address literal is [192.0.2.1] or [IPv6:2001:db8::1]");
	}
	for (const char *p = ip; *p != '\0'; p++)
		out_byte(o, (unsigned char)(*p >= 'A' && *p <= 'F' ? *p - 'A' + 'a' : *p));
	out_byte(o, ']');
}

static void parse_mailbox(struct cursor *c, struct address *a)
{
	char local[ADDRESS_LOCAL_MAX];
	struct out raw = { local, 0, sizeof(local) };
	struct out o = { a->text, 0, ADDRESS_MAX };
	size_t domain_at;

	parse_local(c, &raw);
	if (raw.n > sizeof(local)) {
		fail(c, "the local part is longer than 64 characters");
		return;
	}
	put_local(&o, str_from(local, raw.n));
	a->local_n = (unsigned char)o.n;
	if (o.n > ADDRESS_LOCAL_MAX)
		fail(c, "the local part is longer than 64 characters");
	if ((c->flags & ADDRESS_POSTMASTER) != 0 && peek(c) != '@' &&
	    str_eq_nocase(str_from(local, raw.n), STR("postmaster"))) {
		a->n = (unsigned char)o.n;
		return;
	}
	if (!take(c, '@')) {
		fail(c, "an @ and a domain are expected after the local part");
		return;
	}
	out_byte(&o, '@');
	domain_at = o.n;
	a->literal = take(c, '[');
	if (a->literal)
		parse_literal(c, &o);
	else
		parse_domain(c, &o);
	if (o.n - domain_at > ADDRESS_DOMAIN_MAX || o.n > ADDRESS_MAX)
		fail(c, "the address is longer than 254 characters");
	else
		a->n = (unsigned char)o.n;
}

/* "@a,@b:" is dropped; what it named is of no use to anybody any more. */
static void skip_source_route(struct cursor *c)
{
	char sink[ADDRESS_DOMAIN_MAX];
	struct out o = { sink, 0, sizeof(sink) };

	if (peek(c) != '@')
		return;
	while (take(c, '@')) {
		parse_domain(c, &o);
		if (!take(c, ','))
			break;
	}
	if (!take(c, ':'))
		fail(c, "a source route ends with a colon");
}

static int finish(struct cursor *c, const struct address *a, struct address *ret, struct err *err)
{
	if (c->fault != NULL) {
		(void)err_set(err, ERR_SYNTAX, "%s", c->fault);
		if (err != NULL)
			err->column = (int)c->fault_at + 1;
		return -ERR_SYNTAX;
	}
	*ret = *a;
	ret->text[ret->n] = '\0';
	for (size_t i = 0; i < ret->n; i++)
		ret->utf8 = ret->utf8 || (unsigned char)ret->text[i] >= 0x80;
	return 0;
}

int address_parse(struct str s, unsigned flags, struct address *ret, struct err *err)
{
	struct cursor c = { .s = s, .flags = flags };
	struct address a = { .n = 0 };

	check_bytes(&c);
	if ((flags & ADDRESS_NULL) == 0 || s.n > 0)
		parse_mailbox(&c, &a);
	if (c.fault == NULL && c.at != s.n)
		fail(&c, "this does not belong to an address");
	return finish(&c, &a, ret, err);
}

/* The length of the path at the beginning of s, brackets included; 0 when it does not end. */
static size_t path_length(struct str s)
{
	bool quoted = false;

	for (size_t i = 1; i < s.n; i++) {
		if (s.p[i] == '\\' && quoted)
			i++;
		else if (s.p[i] == '"')
			quoted = !quoted;
		else if (s.p[i] == '>' && !quoted)
			return i + 1;
	}
	return 0;
}

static size_t path_max(struct str path)
{
	for (size_t i = 0; i < path.n; i++)
		if ((path.p[i] & 0x80) != 0)
			return (size_t)2 * ADDRESS_PATH_MAX;
	return ADDRESS_PATH_MAX;
}

int address_parse_path(struct str s, unsigned flags, struct address *ret, size_t *ret_used,
		       struct err *err)
{
	struct address a = { .n = 0 };
	size_t used = s.n > 0 && s.p[0] == '<' ? path_length(s) : 0;
	struct cursor c = { .s = str_from(s.p, used), .flags = flags };
	int rc;

	if (used == 0)
		fail(&c, s.n > 0 && s.p[0] == '<' ? "the address has no closing >"
						  : "an address in <> is expected");
	else if (used > path_max(c.s))
		fail(&c, "the path is longer than 256 bytes");
	else
		check_bytes(&c);
	(void)take(&c, '<');
	if ((flags & ADDRESS_NULL) == 0 || peek(&c) != '>') {
		skip_source_route(&c);
		parse_mailbox(&c, &a);
	}
	if (!take(&c, '>'))
		fail(&c, "this does not belong to an address");
	rc = finish(&c, &a, ret, err);
	if (rc == 0)
		*ret_used = used;
	return rc;
}

static bool read_domain(struct str s, unsigned flags, struct out *o)
{
	struct cursor c = { .s = s, .flags = flags };

	check_bytes(&c);
	parse_domain(&c, o);
	return c.fault == NULL && c.at == s.n && o->n <= o->size;
}

bool address_domain_valid(struct str s, unsigned flags)
{
	char sink[ADDRESS_DOMAIN_MAX];

	return read_domain(s, flags, &(struct out){ sink, 0, sizeof(sink) });
}

bool address_domain_canonical(struct str s, char ret[static ADDRESS_DOMAIN_MAX + 1])
{
	struct out o = { ret, 0, ADDRESS_DOMAIN_MAX };

	if (!read_domain(s, ADDRESS_UTF8, &o))
		return false;
	ret[o.n] = '\0';
	return true;
}

struct str address_text_domain(struct str text)
{
	for (size_t i = text.n; i > 0; i--)
		if (text.p[i - 1] == '@')
			return str_from(text.p + i, text.n - i);
	return str_from(text.p, 0);
}
