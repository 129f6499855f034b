/*
 * str - a borrowed piece of text: pointer and length, not terminated, never owned.
 */
#ifndef BASE_STR_H
#define BASE_STR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <strings.h>

struct str {
	const char *p;
	size_t n;
};

#define STR(literal) ((struct str){ "" literal, sizeof(literal) - 1 })
/* For printf: "%.*s", STR_ARG(s) */
#define STR_ARG(s) (int)(s).n, (s).p

static inline struct str str_from(const char *p, size_t n)
{
	return (struct str){ p, n };
}

static inline struct str str_of(const char *cstr)
{
	return (struct str){ cstr, cstr != NULL ? strlen(cstr) : 0 };
}

static inline bool str_eq(struct str a, struct str b)
{
	return a.n == b.n && (a.n == 0 || memcmp(a.p, b.p, a.n) == 0);
}

/* ASCII case-insensitive. */
static inline bool str_eq_nocase(struct str a, struct str b)
{
	return a.n == b.n && (a.n == 0 || strncasecmp(a.p, b.p, a.n) == 0);
}

bool str_starts(struct str s, struct str prefix);
bool str_starts_nocase(struct str s, struct str prefix);
bool str_ends_nocase(struct str s, struct str suffix);
struct str str_trim(struct str s); /* without spaces and tabs at both ends */
/* Cuts the piece before the first `sep` off *rest and returns it; without a `sep`, all of *rest. */
struct str str_cut(struct str *rest, char sep);
/* Finds the first c: its index, or -1. */
ptrdiff_t str_index(struct str s, char c);
/* Glob with `*` only, ASCII case-insensitive; linear time in practice, no recursion. */
bool str_glob(struct str pattern, struct str s);
/* Decimal without sign or space; false when empty, not a number or above max. */
bool str_u64(struct str s, uint64_t max, uint64_t *ret_value);
/* Edits between two names for "did you mean": two swapped letters are one, letter case is none.
 * Names longer than STR_DISTANCE_MAX are that far from everything. */
#define STR_DISTANCE_MAX 24
unsigned str_distance(struct str a, struct str b);
uint64_t str_hash(struct str s);	/* FNV-1a with a per-process seed */
uint64_t str_hash_nocase(struct str s); /* the same over ASCII lower case */

#endif
