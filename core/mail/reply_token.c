/*
 * Telling words from what differs between recipients. The question is always whether two replies
 * with the same cause would have the same bytes here: a user name, a queue id, an address would
 * not; the name of a block list or of a rule ("TSS04") would.
 */
#include "reply_text_int.h"

#include "base/ipnet.h"
#include "base/mem.h"

#define CODE_MAX 9     /* longer than any provider's code for a cause */
#define ID_MIN 5       /* letters and digits mixed: an id from here on */
#define HEX_MIN 8      /* only hexadecimal digits */
#define NUMBER_MAX 10  /* digits; from here on it is more likely an id */
#define RANDOM_MIN 20  /* letters only, lower and upper case mixed */
#define RANDOM_TURNS 4 /* changes of case that no word has */
#define UNIT_MAX 7

const char *const reply_token_marks[REPLY_TOKEN__COUNT] = {
	[REPLY_TOKEN_ADDR] = "<addr>", [REPLY_TOKEN_IP] = "<ip>", [REPLY_TOKEN_HOST] = "<host>",
	[REPLY_TOKEN_URL] = "<url>",   [REPLY_TOKEN_ID] = "<id>", [REPLY_TOKEN_NUMBER] = "<n>",
	[REPLY_TOKEN_TIME] = "<time>",
};

static bool is_digit(char c)
{
	return c >= '0' && c <= '9';
}

static bool is_lower(char c)
{
	return c >= 'a' && c <= 'z';
}

static bool is_upper(char c)
{
	return c >= 'A' && c <= 'Z';
}

static bool is_letter(char c)
{
	return is_lower(c) || is_upper(c);
}

static bool is_hex(char c)
{
	return is_digit(c) || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F');
}

static bool one_of(struct str s, const char *const *words, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (str_eq_nocase(s, str_of(words[i])))
			return true;
	return false;
}

/* --- addresses -------------------------------------------------------------------------------- */

static bool is_ip(struct str t)
{
	struct str host = t;
	struct ipaddr ip;
	ptrdiff_t cut;

	if (str_starts_nocase(t, STR("IPv6:")))
		host = str_from(t.p + 5, t.n - 5);
	cut = str_index(host, '/');
	if (cut > 0)
		host.n = (size_t)cut;
	if (host.n < 2 || !(is_hex(host.p[0]) || host.p[0] == ':'))
		return false;
	if (ipaddr_parse(host, &ip))
		return true;
	cut = str_index(host, ':'); /* 192.0.2.1:25 */
	return cut > 0 && ipaddr_parse(str_from(host.p, (size_t)cut), &ip);
}

/* Documentation often masks an address: x.x.x.x, 1.2.xx.xx. */
static bool is_masked_ip(struct str t)
{
	unsigned parts = 0;

	while (t.n > 0) {
		struct str part = str_cut(&t, '.');
		if (part.n == 0 || part.n > 3)
			return false;
		for (size_t i = 0; i < part.n; i++)
			if (!is_digit(part.p[i]) && part.p[i] != 'x' && part.p[i] != 'X')
				return false;
		parts++;
	}
	return parts == 4;
}

static bool is_address(struct str t)
{
	ptrdiff_t at = str_index(t, '@');

	return at > 0 && (size_t)at + 1 < t.n;
}

/* --- host names ------------------------------------------------------------------------------- */

/* Last labels of names with two labels; "unknown.Please" is no host name. */
static bool is_top_label(struct str label)
{
	static const char *const known[] = {
		"com",	  "net",    "org",     "edu",	  "gov",   "mil",      "int",	"info",
		"biz",	  "name",   "pro",     "mobi",	  "arpa",  "app",      "dev",	"cloud",
		"email",  "online", "site",    "shop",	  "store", "xyz",      "club",	"top",
		"live",	  "mail",   "example", "test",	  "local", "internal", "world", "tech",
		"agency", "group",  "space",   "website", "lan",   "invalid"
	};

	if (label.n == 2)
		return is_lower(label.p[0]) && is_lower(label.p[1]);
	return one_of(label, known, ARRAY_LEN(known));
}

static bool is_label(struct str label)
{
	for (size_t i = 0; i < label.n; i++) {
		char c = label.p[i];
		if (!is_letter(c) && !is_digit(c) && c != '-' && c != '_' &&
		    (unsigned char)c < 0x80)
			return false;
	}
	return label.n > 0 && label.n <= 63 && label.p[0] != '-';
}

static bool is_host(struct str t)
{
	struct str last = { t.p, 0 };
	struct str rest = t;
	unsigned labels = 0;
	ptrdiff_t colon = str_index(t, ':');
	uint64_t port;

	if (colon > 0) {
		if (!str_u64(str_from(t.p + colon + 1, t.n - (size_t)colon - 1), 65535, &port))
			return false;
		rest.n = (size_t)colon;
	}
	while (rest.n > 0) {
		last = str_cut(&rest, '.');
		if (!is_label(last))
			return false;
		labels++;
	}
	if (labels < 2 || last.n < 2 || !is_letter(last.p[0]))
		return false;
	if (labels == 2)
		return is_top_label(last);
	return !(is_upper(last.p[0]) && is_lower(last.p[1]));
}

/* A name with a path, written without its scheme. */
static bool is_page(struct str t)
{
	ptrdiff_t slash = str_index(t, '/');

	return slash > 0 && is_host(str_from(t.p, (size_t)slash));
}

/* --- times ------------------------------------------------------------------------------------ */

static size_t digits(struct str s)
{
	size_t n = 0;

	while (n < s.n && is_digit(s.p[n]))
		n++;
	return n;
}

/* hh:mm, with seconds, a fraction and a zone if there are. */
static bool is_clock(struct str t)
{
	unsigned parts = 0;

	for (;;) {
		size_t n = digits(t);
		if (n == 0 || n > 2 || parts == 3)
			return false;
		parts++;
		t = str_from(t.p + n, t.n - n);
		if (t.n == 0 || t.p[0] != ':')
			break;
		t = str_from(t.p + 1, t.n - 1);
	}
	if (t.n > 0 && (t.p[0] == '.' || t.p[0] == ','))
		t = str_from(t.p + 1 + digits(str_from(t.p + 1, t.n - 1)),
			     t.n - 1 - digits(str_from(t.p + 1, t.n - 1)));
	return parts >= 2 && (t.n == 0 || t.p[0] == 'Z' || t.p[0] == '+' || t.p[0] == '-' ||
			      str_eq_nocase(t, STR("am")) || str_eq_nocase(t, STR("pm")));
}

static bool is_month(struct str t)
{
	static const char *const months[] = { "jan", "feb", "mar", "apr", "may", "jun",
					      "jul", "aug", "sep", "oct", "nov", "dec" };

	return t.n == 3 && one_of(t, months, ARRAY_LEN(months));
}

/* 2026-11-24, 24/11/2026, 24.11.2026, 24-Nov-2026, and ISO 8601 with the time behind it. */
static bool is_day(struct str t)
{
	size_t a = digits(t);
	size_t b;
	size_t c;
	char sep;

	if (a == 0 || a > 4 || a == 3 || a >= t.n)
		return false;
	sep = t.p[a];
	if (sep != '-' && sep != '/' && sep != '.')
		return false;
	t = str_from(t.p + a + 1, t.n - a - 1);
	b = is_month(str_from(t.p, t.n < 3 ? t.n : 3)) ? 3 : digits(t);
	if (b == 0 || b > 3 || (b == 3 && is_digit(t.p[0])) || b >= t.n || t.p[b] != sep)
		return false;
	t = str_from(t.p + b + 1, t.n - b - 1);
	c = digits(t);
	if (!((a == 4 && c > 0 && c <= 2) || (a <= 2 && c == 4)))
		return false;
	t = str_from(t.p + c, t.n - c);
	if (t.n == 0)
		return true;
	return (t.p[0] == 'T' || t.p[0] == '_' || t.p[0] == '-') &&
	       is_clock(str_from(t.p + 1, t.n - 1));
}

static bool is_weekday(struct str t)
{
	static const char *const days[] = { "mon", "tue", "wed", "thu", "fri", "sat", "sun" };

	return t.n == 3 && one_of(t, days, ARRAY_LEN(days));
}

static bool is_zone(struct str t)
{
	static const char *const zones[] = { "utc", "gmt", "z",	  "cet", "cest", "est",
					     "edt", "cst", "cdt", "mst", "mdt",	 "pst",
					     "pdt", "jst", "am",  "pm" };

	if (t.n == 5 && (t.p[0] == '+' || t.p[0] == '-'))
		return digits(str_from(t.p + 1, 4)) == 4;
	return one_of(t, zones, ARRAY_LEN(zones));
}

/* The word at the beginning of s, with the spaces, commas and brackets before it. */
static struct str date_word(struct str s, bool first, size_t *ret_used)
{
	size_t from = 0;
	size_t n;

	while (!first && from < s.n && (s.p[from] == ' ' || s.p[from] == ',' || s.p[from] == '('))
		from++;
	n = from;
	while (n < s.n && s.p[n] != ' ' && s.p[n] != ',' && s.p[n] != ')' && s.p[n] != ']' &&
	       s.p[n] != ';')
		n++;
	*ret_used = n;
	return str_from(s.p + from, n - from);
}

size_t reply_token_date(struct str s)
{
	size_t at = 0;
	unsigned months = 0;
	unsigned numbers = 0;
	bool clock = false;

	if (!is_digit(s.p[0]) && (s.n < 4 || is_letter(s.p[3])))
		return 0;
	for (unsigned i = 0; i < 7; i++) {
		size_t used;
		struct str t = date_word(str_from(s.p + at, s.n - at), i == 0, &used);
		if (t.n == 0)
			break;
		if (t.n > 1 && t.p[t.n - 1] == '.') {
			t.n--;
			used--;
		}
		if (is_month(t))
			months++;
		else if (digits(t) == t.n && t.n <= 4)
			numbers++;
		else if (is_clock(t))
			clock = true;
		else if (is_day(t))
			numbers += 2, months++;
		else if (!(i == 0 && is_weekday(t)) && !(clock && is_zone(t)))
			break;
		at += used;
		if (i > 0 && t.p[-1] == '(' && at < s.n && s.p[at] == ')') /* (UTC) */
			at++;
	}
	return months == 1 && (numbers >= 2 || (numbers == 1 && clock)) ? at : 0;
}

/* --- numbers and ids -------------------------------------------------------------------------- */

/* Class, subject and detail of RFC 3463: they say why, so they stay. */
static bool is_enhanced(struct str t)
{
	struct str rest = t;
	uint64_t v;

	return t.n >= 5 && (t.p[0] == '4' || t.p[0] == '5') && t.p[1] == '.' &&
	       str_u64(str_cut(&rest, '.'), 9, &v) && str_u64(str_cut(&rest, '.'), 999, &v) &&
	       str_u64(rest, 999, &v);
}

static bool is_unit(struct str t)
{
	static const char *const units[] = { "",    "%",     "s",     "sec",	 "secs", "seconds",
					     "m",   "min",   "mins",  "minutes", "h",	 "hr",
					     "hrs", "hours", "d",     "days",	 "ms",	 "b",
					     "k",   "kb",    "kib",   "mb",	 "mib",	 "g",
					     "gb",  "gib",   "bytes", "x",	 "st",	 "nd",
					     "rd",  "th" };

	return t.n <= UNIT_MAX && one_of(t, units, ARRAY_LEN(units));
}

static bool is_number(struct str t)
{
	size_t i = t.n > 0 && (t.p[0] == '-' || t.p[0] == '+' || t.p[0] == '$');

	if (i >= t.n || !is_digit(t.p[i]))
		return false;
	while (i < t.n && (is_digit(t.p[i]) || t.p[i] == '.' || t.p[i] == ',' || t.p[i] == '-' ||
			   t.p[i] == '_'))
		i++;
	/* a queue id may have digits only, or one letter at its end */
	if (digits(t) >= (i == t.n ? NUMBER_MAX : HEX_MIN))
		return false;
	return is_unit(str_from(t.p + i, t.n - i));
}

struct makeup {
	size_t digits;
	size_t lower;
	size_t upper;
	size_t hex;
	size_t other; /* neither letter nor digit */
	size_t turns; /* from lower to upper case */
	bool foreign; /* a byte that ids do not have */
};

static struct makeup makeup_of(struct str t)
{
	struct makeup m = { 0 };

	for (size_t i = 0; i < t.n; i++) {
		char c = t.p[i];
		m.digits += is_digit(c);
		m.lower += is_lower(c);
		m.upper += is_upper(c);
		m.hex += is_hex(c);
		m.turns += i > 0 && is_upper(c) && is_lower(t.p[i - 1]);
		if (!is_digit(c) && !is_letter(c)) {
			m.other++;
			m.foreign = m.foreign || strchr("-._+=/~:!$", c) == NULL;
		}
	}
	return m;
}

bool reply_token_is_code(struct str t)
{
	size_t letters = 0;
	size_t at;

	while (letters < t.n && is_upper(t.p[letters]))
		letters++;
	at = letters;
	if (at < t.n && (t.p[at] == '_' || t.p[at] == '-' || t.p[at] == '#'))
		at++;
	if (str_starts(str_from(t.p + at, t.n - at), STR("In-"))) /* AUP#In-1310 */
		at += 3;
	return letters > 0 && at < t.n && t.n - at <= 6 && letters <= 5 &&
	       (t.n <= CODE_MAX || t.p[letters] == '#') &&
	       digits(str_from(t.p + at, t.n - at)) == t.n - at;
}

/* Names of standards and the like, lower case with a number. */
static bool is_term(struct str t)
{
	static const char *const terms[] = { "ipv4",	 "ipv6",    "utf8",    "utf-8",	 "sha1",
					     "sha256",	 "sha-1",   "sha-256", "base64", "x509",
					     "x.509",	 "8bit",    "7bit",    "sslv3",	 "tls1",
					     "8bitmime", "tlsv1",   "tls1.0",  "tls1.1", "tls1.2",
					     "tls1.3",	 "tlsv1.2", "tlsv1.3" };

	return one_of(t, terms, ARRAY_LEN(terms)) ||
	       (str_starts_nocase(t, STR("rfc")) && digits(str_from(t.p + 3, t.n - 3)) > 2);
}

static bool is_id(struct str t)
{
	struct makeup m = makeup_of(t);

	if (m.foreign || reply_token_is_code(t) || is_term(t))
		return false;
	if (m.digits == 0)
		return t.n >= RANDOM_MIN && m.other == 0 && m.turns >= RANDOM_TURNS;
	if (m.lower + m.upper == 0)
		return t.n >= HEX_MIN;
	if (m.hex == t.n && t.n >= HEX_MIN)
		return true;
	/* "mx1", "a1-b2": short, but a name or an id all the same when digits are in the middle */
	return t.n >= ID_MIN || (is_letter(t.p[0]) && m.digits > 1) || m.lower > 0;
}

/* "1m00s", "2h5m"; of one unit it is a number. */
static bool is_duration(struct str t)
{
	static const char *const units[] = { "s",    "sec", "secs", "m", "min",
					     "mins", "h",   "hrs",  "d", "ms" };
	bool any = false;

	while (t.n > 0) {
		size_t n = digits(t), letters = 0;

		while (n + letters < t.n && is_letter(t.p[n + letters]))
			letters++;
		if (n == 0 || n > 5 || letters == 0 || is_upper(t.p[n]) ||
		    !one_of(str_from(t.p + n, letters), units, ARRAY_LEN(units)))
			return false;
		t = str_from(t.p + n + letters, t.n - n - letters);
		any = true;
	}
	return any;
}

/* Most pieces are: letters only, of a word's length. */
static bool is_plain(struct str t)
{
	for (size_t i = 0; i < t.n; i++)
		if (!is_letter(t.p[i]))
			return false;
	return t.n < RANDOM_MIN;
}

enum reply_token reply_token_of(struct str t)
{
	if (is_plain(t) || is_enhanced(t))
		return REPLY_TOKEN_WORD;
	if (is_ip(t) || is_masked_ip(t))
		return REPLY_TOKEN_IP;
	if (is_clock(t) || is_day(t))
		return REPLY_TOKEN_TIME;
	if (is_number(t))
		return REPLY_TOKEN_NUMBER;
	if (is_duration(t))
		return REPLY_TOKEN_TIME;
	if (is_address(t))
		return REPLY_TOKEN_ADDR;
	if (is_host(t))
		return REPLY_TOKEN_HOST;
	if (is_page(t))
		return REPLY_TOKEN_URL;
	if (is_id(t))
		return REPLY_TOKEN_ID;
	return REPLY_TOKEN_WORD;
}
