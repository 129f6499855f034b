/*
 * classify - what a reply means: its class, hard or soft, and what to do about it.
 *
 * Model:   classes are the rows of classes.def. Rules are data: dist/replies.rules, built into the
 *          program, or a file in its place; that file's head says how they are written. The first
 *          rule that fits decides. The built-in file has first what single providers write, then
 *          words that mean the same with everybody, then the enhanced status codes, then reply
 *          codes and phases.
 *          Rules of a provider hold when the host is one of its sites, and also when the text has
 *          one of its hints, so that a reply out of a log is judged as well.
 * Owner:   classify_load() returns owned. Texts of the answer are static or belong to the rules.
 * Context: loop thread; classify() is pure and quick (microseconds).
 * Errors:  ERR_CONFIG, "FILE:LINE: what is wrong and what would be right".
 */
#ifndef OUTCOME_CLASSIFY_H
#define OUTCOME_CLASSIFY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/str.h"

/* Numbers are stored: rows are only ever added at the end. 0 is "none". */
enum reply_class {
#define REPLY_CLASS(id, ...) REPLY_##id,
#include "outcome/classes.def"
#undef REPLY_CLASS
	REPLY_CLASS__COUNT
};
const char *reply_class_name(enum reply_class c);   /* "bad-mailbox", …; "" for none */
enum reply_class reply_class_find(struct str name); /* REPLY_NONE when unknown */

enum reply_action {
	REPLY_RETRY,
	REPLY_SUPPRESS,
	REPLY_FIX_SENDER,
	REPLY_SLOW_DOWN,
	REPLY_ACTION__COUNT
};
const char *reply_action_name(enum reply_action a); /* retry, suppress, fix-sender, slow-down */

/* When it was said; rules may ask for it. */
enum classify_phase {
	CLASSIFY_PHASE_UNKNOWN,
	CLASSIFY_PHASE_CONNECT, /* the greeting, EHLO, STARTTLS, AUTH */
	CLASSIFY_PHASE_MAIL,
	CLASSIFY_PHASE_RCPT,
	CLASSIFY_PHASE_DATA, /* DATA and the end of the content */
	CLASSIFY_PHASE__COUNT
};

struct classify_rules;

struct classify_in {
	struct str provider;	/* site of the remote host, or empty */
	int code;		/* 0: there was no reply; the text says what went wrong instead */
	struct str enhanced;	/* or empty: one in the text, such as (#5.1.1), is then taken */
	struct str text;	/* lines joined by LF, without code and enhanced code */
	enum reply_class given; /* when there was no reply: what failed (REPLY_DNS, REPLY_TLS,
				   REPLY_NETWORK), or none */
	enum classify_phase phase;
};
struct classify_out {
	enum reply_class reply_class;
	bool hard;
	enum reply_action action;
	const char *meaning; /* one sentence for the operator */
	const char *advice;
	const char *rule; /* name of the rule that decided, or how else it was decided */
};

#define CLASSIFY_RULES_MAX 4000
#define CLASSIFY_FILE_MAX (1u << 20)

/* path NULL: the built-in rules. */
int classify_load(const char *path, struct classify_rules **ret_rules, struct err *err) MUST_CHECK;
void classify_free(struct classify_rules **rp);
void classify(const struct classify_rules *r, const struct classify_in *in,
	      struct classify_out *ret);
/* The same from a text already read, errors with `name` for the file. */
int classify_parse(const char *name, struct str text, struct classify_rules **ret_rules,
		   struct err *err) MUST_CHECK;
size_t classify_rules_count(const struct classify_rules *r);
/* The i-th rule's name, in their order. */
const char *classify_rule_name(const struct classify_rules *r, size_t i);

/* What a class means by itself, without a reply: for stored rows. */
void classify_class(enum reply_class c, int code, struct classify_out *ret);

#endif
