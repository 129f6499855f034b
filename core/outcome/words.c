/*
 * Reading a text as words. Both sides go through here, what a peer wrote and what a rule says, so
 * the only demand is that the same comes out of what people would call the same.
 */
#include "outcome/words.h"

#include "base/mem.h"
#include "base/utf8.h"

#define LATIN_RUN_MAX 2 /* bytes above 127 side by side that are still taken for ISO 8859-1 */
#define HOST_DOTS_MIN 2 /* in a name that is surely a host's, and no sentence without a space */
#define HOST_TOP_MAX 10 /* bytes of its last label */

/* U+00C0 to U+00FF and U+0100 to U+017F without their accents; '.' is a separator. */
static const char *const latin1[64] = {
	"a", "a", "a", "a", "ae", "a", "ae", "c", "e", "e", "e", "e", "i",  "i", "i",  "i",
	"d", "n", "o", "o", "o",  "o", "oe", ".", "o", "u", "u", "u", "ue", "y", "th", "ss",
	"a", "a", "a", "a", "ae", "a", "ae", "c", "e", "e", "e", "e", "i",  "i", "i",  "i",
	"d", "n", "o", "o", "o",  "o", "oe", ".", "o", "u", "u", "u", "ue", "y", "th", "y",
};
static const char latin_a[] = "aaaaaaccccccccddddeeeeeeeeeegggggggghhhhiiiiiiiiiiiijjkkklllllllll"
			      "lnnnnnnnnnoooooooorrrrrrssssssssttttttuuuuuuuuuuuuwwyyyzzzzzzs";
_Static_assert(sizeof(latin_a) == 0x80 + 1, "one letter for each of U+0100 to U+017F");

/* What hosts are called for what they do. As labels of a host name these say nothing. */
static const char *const host_labels[] = {
	"account", "accounts", "antispam", "antivirus", "auth",	  "bounce",   "bounces",
	"client",  "content",  "dns",	   "domain",	"filter", "gateway",  "host",
	"hosting", "ip",       "list",	   "lists",	"mta",	  "mx",	      "nospam",
	"policy",  "quota",    "relay",	   "relays",	"secure", "security", "sender",
	"server",  "spam",     "ssl",	   "tls",	"user",	  "users",    "virus",
};

struct same {
	const char *first;
	const char *second; /* NULL: the first stands by itself */
	const char *as;
};
static const struct same same_words[] = {
#define SAME(word, as) { word, NULL, as },
#include "outcome/same_words.def"
};
static const struct same same_pairs[] = {
#define SAME_PAIR(first, second, as) { first, second, as },
#include "outcome/same_words.def"
};

static bool is_alnum(char c)
{
	return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

static bool is_high(char c)
{
	return (unsigned char)c >= 0x80;
}

/* --- words being made ------------------------------------------------------------------------- */

struct reader {
	struct words *out;
	size_t from;  /* of the word that is being read */
	bool in_host; /* and whether that is a host name's label */
};

static bool is_host_label(struct str word)
{
	for (size_t i = 0; i < ARRAY_LEN(host_labels); i++)
		if (str_eq(word, str_of(host_labels[i])))
			return true;
	return false;
}

/* Below, at or above 0, as the word is before, at or behind the other in the order of bytes. */
static int compare(struct str word, const char *with)
{
	struct str other = str_of(with);
	int c = memcmp(word.p, other.p, word.n < other.n ? word.n : other.n);

	return c != 0 ? c : (word.n > other.n) - (word.n < other.n);
}

static const struct same *find_same(const struct same *table, size_t n, struct str first,
				    struct str second)
{
	size_t low = 0;

	while (low < n) {
		size_t mid = low + (n - low) / 2;
		int c = compare(first, table[mid].first);
		if (c == 0 && table[mid].second != NULL)
			c = compare(second, table[mid].second);
		if (c == 0)
			return &table[mid];
		if (c > 0)
			low = mid + 1;
		else
			n = mid;
	}
	return NULL;
}

static void put_plain(struct words *w, struct str word)
{
	if (word.n > 0 && w->n < WORDS_MAX)
		w->w[w->n++] = word;
}

static void put_all(struct words *w, const char *as)
{
	struct str rest = str_of(as);

	while (rest.n > 0)
		put_plain(w, str_cut(&rest, ' '));
}

/* A word that is read; with the one before it, it may be another. */
static void put_word(struct words *w, struct str word)
{
	const struct same *found = find_same(same_words, ARRAY_LEN(same_words), word, STR(""));
	struct str rest = found != NULL ? str_of(found->as) : word;

	while (rest.n > 0) {
		struct str one = found != NULL ? str_cut(&rest, ' ') : rest;
		const struct same *pair =
			w->n > 0 ? find_same(same_pairs, ARRAY_LEN(same_pairs), w->w[w->n - 1], one)
				 : NULL;
		if (pair != NULL) {
			w->n--;
			put_all(w, pair->as);
		} else {
			put_plain(w, one);
		}
		if (found == NULL)
			break;
	}
}

static void end_word(struct reader *r)
{
	struct words *w = r->out;
	struct str word = str_from(w->bytes + r->from, w->bytes_n - r->from);

	if (r->in_host && is_host_label(word))
		w->bytes_n = r->from;
	else if (word.n > 0)
		put_word(w, word);
	r->from = w->bytes_n;
}

static void add(struct reader *r, const char *p, size_t n)
{
	struct words *w = r->out;

	if (w->bytes_n - r->from + n > WORD_LEN_MAX || w->bytes_n + n > sizeof(w->bytes))
		return;
	memcpy(w->bytes + w->bytes_n, p, n);
	w->bytes_n += n;
}

static void add_single(struct reader *r, const char *p, size_t n)
{
	end_word(r);
	add(r, p, n);
	end_word(r);
}

static void add_folded(struct reader *r, const char *letters)
{
	if (letters[0] == '.')
		end_word(r);
	else
		add(r, letters, strlen(letters));
}

static void add_char(struct reader *r, uint32_t cp)
{
	char bytes[4];

	if (cp >= 0xc0 && cp <= 0xff) {
		add_folded(r, latin1[cp - 0xc0]);
	} else if (cp >= 0x100 && cp <= 0x17f) {
		add(r, latin_a + (cp - 0x100), 1);
	} else if (cp == 0x2019 || cp == 0x2bc) {
		/* an apostrophe inside a word: dropped as the ASCII one is */
	} else if (cp < 0xc0 || (cp >= 0x2000 && cp <= 0x206f) || (cp >= 0x3000 && cp <= 0x303f) ||
		   cp >= 0xff00) {
		end_word(r);
	} else if (cp >= 0x2e80) {
		add_single(r, bytes, utf8_encode(cp, bytes));
	} else {
		if (cp >= 0x410 && cp <= 0x42f) /* Cyrillic capitals */
			cp += 0x20;
		else if (cp >= 0x400 && cp <= 0x40f)
			cp += 0x50;
		else if (cp >= 0x391 && cp <= 0x3a9) /* Greek ones */
			cp += 0x20;
		add(r, bytes, utf8_encode(cp, bytes));
	}
}

/* --- runs ------------------------------------------------------------------------------------- */

/* Bytes above 127 side by side: UTF-8, a letter of ISO 8859-1, or whatever they are. */
static size_t read_high(struct reader *r, struct str s)
{
	size_t n = 0;
	struct str run;

	while (n < s.n && is_high(s.p[n]))
		n++;
	run = str_from(s.p, n);
	if (utf8_valid(run)) {
		while (run.n > 0) {
			uint32_t cp;
			size_t used = utf8_decode(run, &cp);
			add_char(r, cp);
			run = str_from(run.p + used, run.n - used);
		}
	} else {
		for (size_t i = 0; i < n; i++) {
			unsigned char c = (unsigned char)run.p[i];
			if (n > LATIN_RUN_MAX)
				add_single(r, run.p + i, 1);
			else
				add_char(r, c < 0xc0 ? ' ' : c);
		}
	}
	return n;
}

/* The length of an address, or of anything else with an '@' inside, at the beginning of s. */
static size_t address_length(struct str s)
{
	size_t n = 0;
	size_t at = 0;

	while (n < s.n && (unsigned char)s.p[n] > ' ' && strchr("<>()[]\",;|", s.p[n]) == NULL) {
		if (s.p[n] == '@')
			at = n;
		n++;
	}
	while (n > 0 && (s.p[n - 1] == '.' || s.p[n - 1] == ':'))
		n--;
	if (at > 0 && at + 1 == n && n < s.n && s.p[n] == '[') /* user@[192.0.2.1] */
		return n;
	return at > 0 && at + 1 < n ? n : 0;
}

/* The digits, or letters x that somebody put for them, at the beginning of s: one to three. */
static size_t octet_length(struct str s)
{
	size_t n = 0;

	while (n < s.n && (s.p[n] == 'x' || s.p[n] == 'X' || (s.p[n] >= '0' && s.p[n] <= '9')))
		n++;
	return n <= 3 ? n : 0;
}

/* The length of an IPv4 address at the beginning of s, or 0. */
static size_t ipv4_length(struct str s)
{
	size_t at = 0;

	for (int i = 0; i < 4; i++) {
		size_t n = octet_length(str_from(s.p + at, s.n - at));
		if (n == 0)
			return 0;
		at += n;
		if (i < 3 && (at >= s.n || s.p[at] != '.'))
			return 0;
		at += i < 3;
	}
	if (at < s.n && (is_alnum(s.p[at]) || s.p[at] == '-'))
		return 0;
	return at + 1 < s.n && s.p[at] == '.' && is_alnum(s.p[at + 1]) ? 0 : at;
}

/* The same for an IPv6 address: hexadecimal digits with three colons or more. */
static size_t ipv6_length(struct str s)
{
	size_t n = 0;
	unsigned colons = 0;

	while (n < s.n && (s.p[n] == ':' || (s.p[n] >= '0' && s.p[n] <= '9') ||
			   (s.p[n] >= 'a' && s.p[n] <= 'f') || (s.p[n] >= 'A' && s.p[n] <= 'F')))
		colons += s.p[n++] == ':';
	return colons >= 3 && (n == s.n || !is_alnum(s.p[n])) ? n : 0;
}

static size_t ip_length(struct str s)
{
	size_t n = ipv4_length(s);

	return n > 0 ? n : ipv6_length(s);
}

/* The length of a host name at the beginning of s: labels and dots, at the end letters. */
static size_t host_length(struct str s)
{
	size_t n = 0;
	size_t dots = 0;
	size_t top = 0; /* where the last label begins */

	while (n < s.n && (is_alnum(s.p[n]) || s.p[n] == '-' ||
			   (s.p[n] == '.' && n + 1 < s.n && is_alnum(s.p[n + 1])))) {
		if (s.p[n] == '.') {
			dots++;
			top = n + 1;
		}
		n++;
	}
	if (dots < HOST_DOTS_MIN || n - top < 2 || n - top > HOST_TOP_MAX)
		return 0;
	for (size_t i = top; i < n; i++)
		if (!is_alnum(s.p[i]) || (s.p[i] >= '0' && s.p[i] <= '9'))
			return 0;
	return n;
}

static size_t read_ascii(struct reader *r, struct str s)
{
	size_t n = 0;

	while (n < s.n && (is_alnum(s.p[n]) || s.p[n] == '\'')) {
		char c = s.p[n];
		if (c >= 'A' && c <= 'Z')
			c = (char)(c + ('a' - 'A'));
		if (c != '\'')
			add(r, &c, 1);
		else if (n == 0 || n + 1 >= s.n || !(is_alnum(s.p[n + 1]) || is_high(s.p[n + 1])))
			end_word(r);
		n++;
	}
	return n;
}

void words_of(struct str text, struct words *ret)
{
	struct reader r = { .out = ret };
	bool edge = true;  /* where an address could begin */
	bool fresh = true; /* where an IP address could, or a host name */
	const char *host_end = text.p;

	ret->n = 0;
	ret->bytes_n = 0;
	if (text.n > WORDS_TEXT_MAX)
		text.n = WORDS_TEXT_MAX;
	while (text.n > 0 && ret->n < WORDS_MAX) {
		size_t n = edge ? address_length(text) : 0;
		size_t ip = fresh && n == 0 ? ip_length(text) : 0;
		if (fresh && n == 0 && ip == 0)
			host_end = text.p + host_length(text);
		edge = fresh = false;
		if (n > 0) {
			add_single(&r, "@", 1);
		} else if (ip > 0) {
			add_single(&r, "#", 1);
			n = ip;
		} else if (is_high(text.p[0])) {
			n = read_high(&r, text);
		} else if (is_alnum(text.p[0]) || text.p[0] == '\'') {
			n = read_ascii(&r, text);
		} else {
			r.in_host = text.p < host_end;
			end_word(&r);
			edge = (unsigned char)text.p[0] <= ' ' ||
			       strchr("<>()[]\",;|", text.p[0]) != NULL;
			fresh = text.p[0] != '.' && text.p[0] != '-';
			n = 1;
		}
		text = str_from(text.p + n, text.n - n);
	}
	r.in_host = false;
	end_word(&r);
}
