/*
 * words - a reply's text as plain words, and phrases found in them.
 *
 * Model:   words_of() reads a text as words: ASCII lower case, accents off (ü is ue), apostrophes
 *          off, everything else between them gone; whatever has an '@' in it is the one word "@",
 *          an IP address is "#". Of a host name, labels such as relay or spam are left out: what a
 *          host is called says nothing about the mail.
 *          A Chinese, Japanese or Korean character is a word of its own, and so is each byte of a
 *          run that is not UTF-8 (GBK as it comes). A phrase is read the same way, so how either
 *          is punctuated, spelled or encoded does not matter. In a phrase, a word ending in '*'
 *          stands for all words that begin so, and ".." for up to PHRASE_GAP words or none.
 *          A phrasebook has many phrases and finds all of them in one pass.
 * Owner:   the phrasebook owns its phrases; struct words owns its bytes and is large: keep it on
 *          the stack of one call.
 * Context: any thread; words_of() and phrases_find() are pure.
 * Errors:  ERR_SYNTAX for a phrase without words or with too many.
 */
#ifndef OUTCOME_WORDS_H
#define OUTCOME_WORDS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/str.h"

#define WORDS_TEXT_MAX 2048 /* bytes of a text looked at */
#define WORDS_MAX 512
#define WORD_LEN_MAX 64
#define PHRASE_WORDS_MAX 12
#define PHRASE_GAP 8
#define PHRASE_GAPS_MAX 3
#define PHRASES_MAX 8192
#define PHRASE_SET_LEN (PHRASES_MAX / 64)

struct words {
	char bytes[2 * WORDS_TEXT_MAX];
	size_t bytes_n;
	struct str w[WORDS_MAX]; /* point into bytes */
	unsigned n;
};
void words_of(struct str text, struct words *ret);

struct phrasebook;

struct phrasebook *phrasebook_new(void);
void phrasebook_free(struct phrasebook **bp);
/* Adds a phrase, or finds it again; *ret_phrase counts from 0. */
int phrasebook_add(struct phrasebook *b, struct str phrase, unsigned *ret_phrase,
		   struct err *err) MUST_CHECK;

/* The phrases found in a text. */
struct phrase_set {
	uint64_t bits[PHRASE_SET_LEN];
};
void phrases_find(const struct phrasebook *b, const struct words *w, struct phrase_set *ret);
static inline bool phrase_set_has(const struct phrase_set *s, unsigned phrase)
{
	return (s->bits[phrase / 64] >> (phrase % 64) & 1) != 0;
}

#endif
