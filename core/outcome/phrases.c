/*
 * All phrases at once: every word of the text is looked up in the phrasebook's own words; where a
 * phrase begins with it the rest is compared. A reply has some thirty words, and few phrases begin
 * with the same one, so this costs about as much as reading the text.
 */
#include <stdlib.h>

#include "base/mem.h"
#include "base/obj.h"
#include "outcome/words.h"

#define NONE UINT16_MAX
#define ATOMS_MAX 16384 /* words known to a phrasebook */
#define ATOM_SLOTS (2 * ATOMS_MAX)
#define WORD_ATOMS_MAX 6 /* known words that one word of a text is: itself, and beginnings */
#define PREFIX_MIN 2

/* A word of phrases: as a whole, or (prefix) all words that begin so. */
struct atom {
	char *text;
	uint8_t n;
	bool prefix;
	uint16_t first_phrase; /* of those that begin with it; chained */
	uint16_t next_prefix;  /* with the same first byte */
};

struct element {
	uint16_t atom;
	bool gap; /* ".." stands before it */
};

struct phrase {
	struct element e[PHRASE_WORDS_MAX];
	uint16_t n;
	uint16_t next; /* with the same first word */
};

struct phrasebook {
	struct atom *atoms;
	unsigned atoms_n;
	uint16_t *slots;	/* hash table of whole words */
	uint16_t prefixes[256]; /* by first byte */
	struct phrase *phrases;
	unsigned phrases_n;
};

struct phrasebook *phrasebook_new(void)
{
	struct phrasebook *b = xcalloc(1, sizeof(*b));

	b->slots = xcalloc(ATOM_SLOTS, sizeof(*b->slots));
	memset(b->slots, 0xff, ATOM_SLOTS * sizeof(*b->slots));
	memset(b->prefixes, 0xff, sizeof(b->prefixes));
	return b;
}

void phrasebook_free(struct phrasebook **bp)
{
	struct phrasebook *b = bp != NULL ? *bp : NULL;

	if (b == NULL)
		return;
	for (unsigned i = 0; i < b->atoms_n; i++)
		free(b->atoms[i].text);
	free(b->atoms);
	free(b->slots);
	free(b->phrases);
	free(b);
	*bp = NULL;
}

/* --- making it -------------------------------------------------------------------------------- */

/* The slot of a whole word: its own, or the empty one where it would be. */
static uint16_t *slot_of(const struct phrasebook *b, struct str word)
{
	size_t i = str_hash(word) % ATOM_SLOTS;

	while (b->slots[i] != NONE) {
		const struct atom *a = &b->atoms[b->slots[i]];
		if (str_eq(str_from(a->text, a->n), word))
			break;
		i = (i + 1) % ATOM_SLOTS;
	}
	return &b->slots[i];
}

static uint16_t find_prefix(const struct phrasebook *b, struct str word)
{
	uint16_t i = b->prefixes[(unsigned char)word.p[0]];

	while (i != NONE && !str_eq(str_from(b->atoms[i].text, b->atoms[i].n), word))
		i = b->atoms[i].next_prefix;
	return i;
}

static int add_atom(struct phrasebook *b, struct str word, bool prefix, uint16_t *ret_atom,
		    struct err *err)
{
	uint16_t *slot = prefix ? NULL : slot_of(b, word);
	uint16_t *bucket = &b->prefixes[(unsigned char)word.p[0]];

	*ret_atom = prefix ? find_prefix(b, word) : *slot;
	if (*ret_atom != NONE)
		return 0;
	if (b->atoms_n == ATOMS_MAX)
		return err_set(err, ERR_LIMIT, "more than %d different words", ATOMS_MAX);
	b->atoms = xreallocarray(b->atoms, b->atoms_n + 1, sizeof(*b->atoms));
	b->atoms[b->atoms_n] = (struct atom){ .text = xstrndup(word.p, word.n),
					      .n = (uint8_t)word.n,
					      .prefix = prefix,
					      .first_phrase = NONE,
					      .next_prefix = prefix ? *bucket : NONE };
	*ret_atom = (uint16_t)b->atoms_n++;
	if (prefix)
		*bucket = *ret_atom;
	else
		*slot = *ret_atom;
	return 0;
}

static bool is_star(struct str piece)
{
	return piece.n > 1 && piece.p[piece.n - 1] == '*';
}

/* Words, and not "..", '@', '#' or marks that make no word. */
static bool is_plain(struct str piece)
{
	unsigned char c = piece.n > 0 ? (unsigned char)piece.p[0] : 'x'; /* of two spaces */
	bool letter = (c | 0x20) >= 'a' && (c | 0x20) <= 'z';

	return !is_star(piece) && (c >= 0x80 || letter || (c >= '0' && c <= '9'));
}

/*
 * The next piece of a phrase: plain words up to one that is not, which is a piece by itself. Words
 * are read together because two may be the same as one.
 */
static struct str next_piece(struct str *rest)
{
	struct str piece = str_cut(rest, ' ');

	while (is_plain(piece) && rest->n > 0) {
		struct str more = *rest;
		struct str word = str_cut(&more, ' ');
		if (!is_plain(word))
			break;
		piece.n = (size_t)(word.p + word.n - piece.p);
		*rest = more;
	}
	return str_trim(piece);
}

/* The words of one piece of a phrase. */
static int add_piece(struct phrasebook *b, struct str piece, bool gap, struct phrase *p,
		     struct err *err)
{
	bool star = is_star(piece);
	struct words w;

	if (str_eq(piece, STR("@")))
		piece = STR("a@b");
	else if (str_eq(piece, STR("#")))
		piece = STR("192.0.2.1");
	words_of(piece, &w);
	if (w.n == 0 && is_plain(piece)) /* articles, which do not count */
		return 0;
	if (w.n == 0)
		return err_set(err, ERR_SYNTAX, "no word in '%.*s'", STR_ARG(piece));
	for (unsigned i = 0; i < w.n; i++) {
		bool prefix = star && i + 1 == w.n;
		struct element *e = &p->e[p->n];
		if (p->n == PHRASE_WORDS_MAX)
			return err_set(err, ERR_SYNTAX, "a phrase has at most %d words",
				       PHRASE_WORDS_MAX);
		if (prefix && w.w[i].n < PREFIX_MIN)
			return err_set(err, ERR_SYNTAX, "'%.*s': %d letters or more before the *",
				       STR_ARG(piece), PREFIX_MIN);
		if (add_atom(b, w.w[i], prefix, &e->atom, err) < 0)
			return -ERR_SYNTAX;
		e->gap = gap && i == 0;
		p->n++;
	}
	return 0;
}

static bool same(const struct phrase *a, const struct phrase *b)
{
	for (unsigned i = 0; i < a->n; i++)
		if (a->n != b->n || a->e[i].atom != b->e[i].atom || a->e[i].gap != b->e[i].gap)
			return false;
	return a->n == b->n;
}

int phrasebook_add(struct phrasebook *b, struct str phrase, unsigned *ret_phrase, struct err *err)
{
	struct phrase p = { .n = 0 };
	struct str rest = str_trim(phrase);
	bool gap = false;
	unsigned gaps = 0, had;
	uint16_t *first;

	while (rest.n > 0) {
		struct str piece = next_piece(&rest);
		if (piece.n == 0)
			continue;
		if (str_eq(piece, STR(".."))) {
			if (++gaps > PHRASE_GAPS_MAX)
				return err_set(err, ERR_SYNTAX, "a phrase has at most %d gaps (..)",
					       PHRASE_GAPS_MAX);
			gap = true;
			continue;
		}
		had = p.n;
		if (add_piece(b, piece, gap, &p, err) < 0)
			return -ERR_SYNTAX;
		gap = gap && p.n == had;
	}
	if (p.n == 0 || p.e[0].gap || gap)
		return err_set(err, ERR_SYNTAX, "a phrase begins and ends with a word: '%.*s'",
			       STR_ARG(phrase));
	first = &b->atoms[p.e[0].atom].first_phrase;
	for (uint16_t i = *first; i != NONE; i = b->phrases[i].next)
		if (same(&b->phrases[i], &p)) {
			*ret_phrase = i;
			return 0;
		}
	if (b->phrases_n == PHRASES_MAX)
		return err_set(err, ERR_LIMIT, "more than %d phrases", PHRASES_MAX);
	p.next = *first;
	b->phrases = xreallocarray(b->phrases, b->phrases_n + 1, sizeof(*b->phrases));
	b->phrases[b->phrases_n] = p;
	*first = (uint16_t)b->phrases_n;
	*ret_phrase = b->phrases_n++;
	return 0;
}

/* --- finding ---------------------------------------------------------------------------------- */

struct seen {
	uint16_t atoms[WORD_ATOMS_MAX];
	unsigned n;
};

static void look_up(const struct phrasebook *b, struct str word, struct seen *ret)
{
	uint16_t i = *slot_of(b, word);

	ret->n = 0;
	if (i != NONE)
		ret->atoms[ret->n++] = i;
	for (i = b->prefixes[(unsigned char)word.p[0]]; i != NONE; i = b->atoms[i].next_prefix) {
		const struct atom *a = &b->atoms[i];
		if (a->n <= word.n && memcmp(a->text, word.p, a->n) == 0 && ret->n < WORD_ATOMS_MAX)
			ret->atoms[ret->n++] = i;
	}
}

static bool is(const struct seen *s, uint16_t atom)
{
	for (unsigned i = 0; i < s->n; i++)
		if (s->atoms[i] == atom)
			return true;
	return false;
}

/*
 * Whether the elements from `i` on stand at word `at` and behind; the first one exactly there. A
 * gap takes the nearest place, and looks further when what follows does not fit there.
 */
static bool fits(const struct phrase *p, unsigned i, const struct seen *s, unsigned n, unsigned at)
{
	do {
		if (at >= n || !is(&s[at], p->e[i].atom))
			return false;
		i++;
		at++;
	} while (i < p->n && !p->e[i].gap);
	if (i == p->n)
		return true;
	for (unsigned skip = 0; skip <= PHRASE_GAP; skip++)
		if (fits(p, i, s, n, at + skip))
			return true;
	return false;
}

void phrases_find(const struct phrasebook *b, const struct words *w, struct phrase_set *ret)
{
	struct seen seen[WORDS_MAX];

	memset(ret, 0, sizeof(*ret));
	for (unsigned i = 0; i < w->n; i++)
		look_up(b, w->w[i], &seen[i]);
	for (unsigned i = 0; i < w->n; i++)
		for (unsigned j = 0; j < seen[i].n; j++)
			for (uint16_t k = b->atoms[seen[i].atoms[j]].first_phrase; k != NONE;
			     k = b->phrases[k].next)
				if (!phrase_set_has(ret, k) &&
				    fits(&b->phrases[k], 0, seen, w->n, i))
					ret->bits[k / 64] |= 1ull << (k % 64);
}
