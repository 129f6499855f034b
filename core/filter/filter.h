/*
 * filter - the filter language (DESIGN.md, section 5): text to syntax tree and back, and its
 * meaning for one row.
 *
 *	domain:gmail.com code:4.7.* age>2h (stream:marketing or size>1M) -from:*@vip.example
 *
 * Model:   terms separated by space are all required; `or`, `not` (or a leading '-') and
 *          parentheses combine. A term is FIELD and an operator (: = != < <= > >=) and a value, or
 *          several values with commas of which one must match. '*' is a wildcard in values, quotes
 *          are for spaces (\" and \\ inside). A bare word searches sender, recipient, subject and
 *          id. Letter case is of no importance. filter_fields.def has the fields.
 *          The empty text is the filter that everything matches.
 * Unknown: filter_eval() knows three answers, so that a rule can be asked before everything is
 *          known: a field that is known to be none (no reply yet, no credential) does not match,
 *          a field that is not known makes the answer unknown where it matters.
 * Owner:   filter_parse() returns owned, filter_free() frees. A filter does not change, and may be
 *          shared between threads.
 * Errors:  ERR_SYNTAX or ERR_LIMIT, with the 1-based column (in characters) and what would fit
 *          there.
 * Limits:  FILTER_TEXT_MAX bytes (of the canonical text as well, so that it can be stored and read
 *          back), FILTER_DEPTH_MAX levels, FILTER_VALUES_MAX values.
 */
#ifndef FILTER_FILTER_H
#define FILTER_FILTER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/str.h"

#define FILTER_TEXT_MAX 4096
#define FILTER_DEPTH_MAX 32
#define FILTER_VALUES_MAX 256

enum filter_field {
#define FILTER_FIELD(id, ...) FILTER_##id,
#include "filter/filter_fields.def"
#undef FILTER_FIELD
	FILTER__COUNT
};

/* What the rows are: each kind has its fields, and a bare word searches other ones (audit log: who,
 * method, target, reason and result). */
enum filter_about { FILTER_MAIL, FILTER_AUDIT };
bool filter_field_of(enum filter_about about, enum filter_field field);

struct filter;

struct filter *filter_parse(struct str text, struct err *err); /* about mail */
struct filter *filter_parse_about(enum filter_about about, struct str text, struct err *err);
void filter_free(struct filter **fp);
/* Appends the canonical text: filter_parse() of it gives the same filter. False when out is full.
 */
bool filter_print(const struct filter *f, struct buf *out);
bool filter_matches_all(const struct filter *f); /* the empty filter */
/* 1u << FILTER_X for each field whose value can matter. */
uint32_t filter_uses(const struct filter *f);
/*
 * True when the whole filter asks one of domain, provider, stream, from, credential or id for one
 * exact value: rules of that kind are found by a look-up. The value borrows from f; it is lower
 * case for domain and provider, and to be compared without case for the others.
 */
bool filter_simple_key(const struct filter *f, enum filter_field *ret_field, struct str *ret_value);

/*
 * When the whole filter asks for ids and nothing else: the recipient ids that it covers, as ranges
 * with both ends; their number, 0 when it is another filter or there are more than max.
 */
struct filter_range {
	uint64_t first;
	uint64_t last;
};
size_t filter_id_ranges(const struct filter *f, struct filter_range *ret, size_t max);
/*
 * Whether `fields` can be asked apart from the rest: each of the required terms depends either on
 * none of them, or on nothing outside `known`. A row for which the former are true and the latter
 * are true, asked in two places, matches.
 */
bool filter_splits(const struct filter *f, uint32_t fields, uint32_t known);

/*
 * Whether the filter asks for rows in that state by its name ("state:trash", "not state!=trash"): a
 * list that does not show them otherwise shows them then.
 */
bool filter_names_state(const struct filter *f, struct str state);

enum filter_truth { FILTER_FALSE, FILTER_TRUE, FILTER_UNKNOWN };

/* A number that is known to be none: no reply, no next attempt. Text that is none is empty. */
#define FILTER_NONE INT64_MIN

/* What is known of a row. Start from FILTER_ROW_INIT(now) and set fields with the functions below.
 */
struct filter_row {
	uint32_t known; /* 1u << FILTER_X */
	int64_t now_ms; /* wall clock, for ages */
	struct str text[FILTER__COUNT];
	int64_t number[FILTER__COUNT];
};
#define FILTER_ROW_INIT(now) ((struct filter_row){ .now_ms = (now) })

static inline void filter_row_text(struct filter_row *row, enum filter_field field,
				   struct str value)
{
	row->text[field] = value;
	row->known |= 1u << field;
}
/*
 * id: the rid; code: 100 to 599; attempts; size: bytes; age: when it was accepted, next: when it is
 * due, both in wall clock milliseconds.
 */
static inline void filter_row_number(struct filter_row *row, enum filter_field field, int64_t value)
{
	row->number[field] = value;
	row->known |= 1u << field;
}

enum filter_truth filter_eval(const struct filter *f, const struct filter_row *row);

/* The table, for help texts. Names and texts are static. */
const char *filter_field_name(enum filter_field field);
const char *filter_field_help(enum filter_field field);
const char *filter_field_example(enum filter_field field);
/* FILTER__COUNT when there is no such field. */
enum filter_field filter_field_find(struct str name);

#endif
