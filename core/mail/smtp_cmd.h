/*
 * smtp_cmd - the server's side of the command grammar (RFC 5321, 4.1).
 *
 * Model:   one command line, without its CRLF, becomes a struct smtp_cmd; or a struct smtp_answer,
 *          ready to send, that says what is wrong with it. Verbs and parameters are rows of
 *          smtp_verbs.def and smtp_params.def; those of an extension the session does not offer are
 *          refused as if unknown.
 * Owner:   the slices of struct smtp_cmd borrow from the line.
 * Limits:  the caller bounds the line (SMTP_CMD_LINE_MAX without the extensions' additions).
 * Context: any thread; pure.
 */
#ifndef MAIL_SMTP_CMD_H
#define MAIL_SMTP_CMD_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "base/str.h"
#include "mail/address.h"

#define SMTP_CMD_LINE_MAX 2048 /* 512, and what the extensions add to it */

#define SMTP_ENVID_MAX 100

/* Extensions a session offers at this moment. */
enum {
	SMTP_EXT_SIZE = 1u << 0,
	SMTP_EXT_8BITMIME = 1u << 1,
	SMTP_EXT_SMTPUTF8 = 1u << 2,
	SMTP_EXT_DSN = 1u << 3,
	SMTP_EXT_CHUNKING = 1u << 4,
	SMTP_EXT_STARTTLS = 1u << 5,
	SMTP_EXT_AUTH = 1u << 6,
};

enum smtp_verb {
#define VERB(id, ...) SMTP_VERB_##id,
#include "mail/smtp_verbs.def"
#undef VERB
	SMTP_VERB__COUNT
};

enum smtp_param_id {
#define PARAM(id, ...) SMTP_PARAM_##id,
#include "mail/smtp_params.def"
#undef PARAM
	SMTP_PARAM__COUNT
};

enum smtp_body { SMTP_BODY_UNSAID, SMTP_BODY_7BIT, SMTP_BODY_8BITMIME };
enum smtp_ret { SMTP_RET_UNSAID, SMTP_RET_FULL, SMTP_RET_HDRS };
/* NOTIFY; 0 when it was not given */
enum {
	SMTP_NOTIFY_NEVER = 1u << 0,
	SMTP_NOTIFY_SUCCESS = 1u << 1,
	SMTP_NOTIFY_FAILURE = 1u << 2,
	SMTP_NOTIFY_DELAY = 1u << 3,
};

struct smtp_cmd {
	enum smtp_verb verb;
	struct str arg;		/* what follows the verb, trimmed */
	struct address address; /* MAIL, RCPT */
	bool utf8;		/* and it was given with non-ASCII characters */
	unsigned given;		/* 1u << SMTP_PARAM_X for each parameter that was there */
	uint64_t size;		/* SIZE, or the size of a BDAT chunk */
	bool last;		/* BDAT ... LAST */
	enum smtp_body body;
	enum smtp_ret ret;
	unsigned notify;
	struct str envid; /* xtext, checked */
	struct str orcpt; /* addr-type;xtext, checked */
	struct str auth;  /* xtext, checked */
};

/* A reply to send: "%d %s %s\r\n". */
struct smtp_answer {
	int code;
	char enhanced[8];
	char text[160];
};

/* False: the command is refused with *ret_answer, and *ret_cmd holds nothing but a verb (or
 * SMTP_VERB__COUNT for one that is not known). */
bool smtp_cmd_parse(struct str line, unsigned extensions, struct smtp_cmd *ret_cmd,
		    struct smtp_answer *ret_answer) MUST_CHECK;
const char *smtp_verb_name(enum smtp_verb verb);
/* Whether it is known to a session that offers these extensions. */
bool smtp_verb_offered(enum smtp_verb verb, unsigned extensions);
/* The syntax line, as in HELP and in refusals. */
const char *smtp_verb_syntax(enum smtp_verb verb);

#endif
