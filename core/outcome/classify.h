/*
 * classify - what a reply means: its class, hard or soft, and what to do about it.
 *
 * Model:   classes are the rows of classes.def. Rules are data (dist/replies.rules, compiled in as
 *          the default by the wiring's path or read from a file): the first rule that fits decides,
 *          those of a provider before those for everybody; without one the enhanced status code
 *          decides, then the reply code and the phase.
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

struct classify_rules;

struct classify_in {
	struct str provider;	/* site of the remote host, or empty */
	int code;		/* 0: there was no reply; the text says what went wrong instead */
	struct str enhanced;	/* or empty */
	struct str text;	/* lines joined by LF, without code and enhanced code */
	enum reply_class given; /* when there was no reply: what failed (REPLY_DNS, REPLY_TLS,
				   REPLY_NETWORK), or none */
};
struct classify_out {
	enum reply_class reply_class;
	bool hard;
	enum reply_action action;
	const char *meaning; /* one sentence for the operator */
	const char *advice;
	const char *rule; /* name of the rule that decided, or how else it was decided */
};

/* path NULL: the built-in rules. */
int classify_load(const char *path, struct classify_rules **ret_rules, struct err *err) MUST_CHECK;
void classify_free(struct classify_rules **rp);
void classify(const struct classify_rules *r, const struct classify_in *in,
	      struct classify_out *ret);
/* What a class means by itself, without a reply: for stored rows. */
void classify_class(enum reply_class c, int code, struct classify_out *ret);

#endif
