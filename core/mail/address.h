/*
 * address - RFC 5321 mailboxes and paths.
 *
 * Model:   `struct address` holds one checked mailbox in its canonical spelling: the local part as
 *          written (quotes only where they are needed), the domain in ASCII lower case
 *          (internationalised ones as A-labels, RFC 5890), an address literal in brackets. The null
 * sender <> has empty text. It owns its bytes and may be copied. Limits:  local part 64, domain
 * 255, whole path 256 with its brackets (RFC 5321, 4.5.3.1). Errors:  ERR_SYNTAX with a message for
 * the client and the 1-based column; no peer bytes in it.
 */
#ifndef MAIL_ADDRESS_H
#define MAIL_ADDRESS_H

#include <stdbool.h>
#include <stddef.h>

#include "base/err.h"
#include "base/str.h"

#define ADDRESS_LOCAL_MAX 64
#define ADDRESS_DOMAIN_MAX 255
#define ADDRESS_MAX 254
#define ADDRESS_PATH_MAX 256 /* with brackets and source route; twice of non-ASCII ones */

enum {
	ADDRESS_UTF8 = 1u << 0,	      /* SMTPUTF8: non-ASCII local parts and domains (RFC 6531) */
	ADDRESS_NULL = 1u << 1,	      /* <> is allowed (MAIL) */
	ADDRESS_POSTMASTER = 1u << 2, /* <postmaster> without a domain is allowed (RCPT) */
};

struct address {
	char text[ADDRESS_MAX + 1];
	unsigned char local_n;
	unsigned char n;
	bool literal; /* the domain is an address literal */
	bool utf8;    /* non-ASCII bytes occur, in the local part */
};

/* A mailbox without brackets: local@domain. */
int address_parse(struct str s, unsigned flags, struct address *ret, struct err *err) MUST_CHECK;
/*
 * A path "<local@domain>" at the beginning of s; *ret_used is its length with brackets. A source
 * route (<@a,@b:local@domain>) is checked and dropped, as RFC 5321 appendix C wants.
 */
int address_parse_path(struct str s, unsigned flags, struct address *ret, size_t *ret_used,
		       struct err *err) MUST_CHECK;
/* A domain name (not a literal) by the same rules, for configuration and filters. */
bool address_domain_valid(struct str s, unsigned flags);
/* Its canonical spelling; false when it is none. */
bool address_domain_canonical(struct str s, char ret[static ADDRESS_DOMAIN_MAX + 1]);

static inline bool address_is_null(const struct address *a)
{
	return a->n == 0;
}
static inline struct str address_str(const struct address *a)
{
	return (struct str){ a->text, a->n };
}
static inline struct str address_local(const struct address *a)
{
	return (struct str){ a->text, a->local_n };
}
/* Empty for the null sender and for a bare postmaster. */
static inline struct str address_domain(const struct address *a)
{
	return a->n > a->local_n
		       ? (struct str){ a->text + a->local_n + 1, (size_t)(a->n - a->local_n - 1) }
		       : (struct str){ a->text, 0 };
}
/* Splits the text of an address that was checked before (from the store): at its last '@'. */
struct str address_text_domain(struct str text);

#endif
