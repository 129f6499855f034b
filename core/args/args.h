/*
 * args - words of a command line, in a shell or in the console, to a method and its parameters.
 *
 * Model:   args_parse() finds the verb (one or two words), then takes options and positional words
 *          in any order: --name VALUE, --name=VALUE, a bare --flag, "--" before words that begin
 *          with '-'. Values become JSON by the parameter's type; filters, targets and ids are
 *          parsed here so that mistakes are told before anything is sent. Verbs that are no method
 *          (demo, stdio, …) are rows of verbs.def; options beside those of methods are rows of
 *          own.def.
 * Owner:   args_done() frees; argv must outlive the args.
 * Errors:  ERR_METHOD for verbs, ERR_INVALID, ERR_SYNTAX, ERR_REASON with the parameter's name;
 *          with a column, fault_text is the text that it points into.
 */
#ifndef ARGS_ARGS_H
#define ARGS_ARGS_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

#include "base/buf.h"
#include "base/err.h"
#include "proto/proto.h"

#define ARGS_WORDS_MAX 10000 /* words of one command */

enum own_place { ON_ALL, ON_TARGET, ON_PLAN, ON_LIST, ON_METHOD };
enum own_option {
#define OWN(id, ...) OWN_##id,
#include "args/own.def"
#undef OWN
	OWN__COUNT
};
struct own_def {
	const char *name;
	char letter; /* 0: none */
	enum param_type type;
	enum own_place place;
	enum method_id method;
	const char *metavar;
	const char *help;
};
extern const struct own_def own_defs[OWN__COUNT];
bool own_applies(enum own_option o, const struct method_def *m);

enum verb_id {
#define VERB(id, ...) VERB_##id,
#include "args/verbs.def"
#undef VERB
	VERB__COUNT
};
extern const struct method_def verb_defs[VERB__COUNT];

/* All verbs, those of methods first; NULL behind the last. Internal ones are left out. */
const struct method_def *args_verb(size_t n);
/* By its words, "allow add"; an alias too. NULL when there is none. */
const struct method_def *args_verb_find(const char *words);

struct args {
	const struct method_def *m; /* NULL while no verb is found */
	bool local;		    /* m is one of verb_defs */
	json_t *params;
	const char *own[OWN__COUNT]; /* NULL: not given; "" for flags */
	bool has_limit;
	uint64_t limit;	  /* beyond PROTO_PAGE_MAX when the method has pages */
	char *fault_text; /* what err.column points into, or NULL */
};
#define ARGS_INIT ((struct args){ .m = NULL })

/* One value, owned; NULL when the text cannot be one. `a` keeps what an error points into. */
int args_value(struct args *a, const struct param_def *p, const char *text, json_t **ret,
	       struct err *err) MUST_CHECK;

/*
 * Splits a line as a shell does (quotes, backslashes) into words; the last one is unfinished, and
 * empty behind a space. Words are terminated inside `text`; 0 when it has no room for them.
 * *ret_quoted: the line ends within quotes.
 */
#define ARGS_SPLIT_MAX 256
size_t args_split(struct str line, struct buf *text, const char *ret_words[static ARGS_SPLIT_MAX],
		  bool *ret_quoted);

/* Reads the words, whether or not all that the verb demands is among them. */
int args_read(int argc, const char *const *argv, struct args *ret, struct err *err) MUST_CHECK;
/* The same, and checks that the call is whole. */
int args_parse(int argc, const char *const *argv, struct args *ret, struct err *err) MUST_CHECK;
void args_done(struct args *a);

#endif
