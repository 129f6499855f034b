/*
 * filter_int - the syntax tree, shared by the files of this directory.
 *
 * A term is true when one of its values is (`negated`: when none is). Each value carries the field
 * it looks at and a test that the parser has already chosen, so that evaluation, SQL and printing
 * know nothing of the language: `code:421,4.7.*` has a value for code and one for enhanced, a bare
 * word has one for each field it searches.
 */
#ifndef FILTER_FILTER_INT_H
#define FILTER_FILTER_INT_H

#include <sys/queue.h>

#include "base/ipnet.h"
#include "filter/filter.h"

enum filter_kind {
	KIND_ID,
	KIND_STATE,
	KIND_NAME,
	KIND_ADDRESS,
	KIND_TEXT,
	KIND_CODE,
	KIND_ENHANCED,
	KIND_NETWORK,
	KIND_AGE,
	KIND_UNTIL,
	KIND_COUNT,
	KIND_SIZE
};

enum {
	FF_LOWER = 1u << 0, /* values are kept in lower case on both sides */
	FF_AUDIT = 1u << 1, /* of the audit log alone */
	FF_BOTH = 1u << 2,  /* of mail and of the audit log */
};

struct filter_field_def {
	const char *name;
	enum filter_kind kind;
	unsigned flags;
	const char *help;
	const char *example;
};
extern const struct filter_field_def filter_fields[FILTER__COUNT];

struct filter_state_def {
	const char *name;
	const char *help;
};
enum {
	FILTER_STATES = 0 /* their number: the table's rows add up */
#define FILTER_STATE(...) +1
#include "filter/filter_states.def"
#undef FILTER_STATE
};
extern const struct filter_state_def filter_states[FILTER_STATES];

enum filter_op { OP_HAS, OP_EQ, OP_NE, OP_LT, OP_LE, OP_GT, OP_GE };
#define FILTER_OPS 7
/* In the order of enum filter_op. */
extern const char *const filter_ops[FILTER_OPS];
/* The operator at the beginning of s: its length, or 0. */
size_t filter_op_read(struct str s, enum filter_op *ret_op);
/* Whether a field of that kind can be compared so. */
bool filter_op_fits(enum filter_kind kind, enum filter_op op);

enum filter_test {
	TEST_EMPTY,   /* text is none */
	TEST_PRESENT, /* text is not none */
	TEST_EQUAL,   /* whole text, ASCII case ignored */
	TEST_GLOB,    /* whole text */
	TEST_PART,    /* substring */
	TEST_RANGE,   /* lo <= number <= hi */
	TEST_COMPARE, /* number against lo by the term's operator; AGE and UNTIL are relative to now
		       */
	TEST_NETWORK
};

struct filter_value {
	enum filter_field field;
	enum filter_test test;
	char *text; /* canonical, as printed; the pattern of the text tests. Owned. */
	int64_t lo;
	int64_t hi;
	struct ipnet net;
};

#define FILTER_TERM_WORD FILTER__COUNT /* the field of a bare word */

struct filter_term {
	enum filter_field field;
	enum filter_op op;
	size_t n;
	size_t cap;
	struct filter_value *values;
};

enum filter_node_kind { NODE_AND, NODE_OR, NODE_NOT, NODE_TERM };

struct filter_node {
	enum filter_node_kind kind;
	struct filter_term term;			 /* NODE_TERM */
	STAILQ_HEAD(filter_nodes, filter_node) children; /* the others; NODE_NOT has one */
	STAILQ_ENTRY(filter_node) link;
};

struct filter {
	struct filter_node *root; /* never NULL; an AND without children matches everything */
};

struct filter_node *filter_node_new(enum filter_node_kind kind);
void filter_node_free(struct filter_node **np);
/* A cleared value at the end of the term's list; the term owns it. */
struct filter_value *filter_term_add(struct filter_term *t);

/*
 * Reads one value of a term into the term's list: text is unquoted. Errors have no column yet.
 */
int filter_value_read(struct filter_term *t, struct str text, struct err *err) MUST_CHECK;
/* The values of a bare word. */
void filter_word_read(struct filter_term *t, enum filter_about about, struct str text);

/* Names of fields near `name`, or all of them: "did you mean a or b?". */
void filter_suggest_fields(enum filter_about about, struct str name, struct buf *out);

#endif
