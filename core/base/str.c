#include "base/str.h"

#include <ctype.h>
#include <sys/random.h>

bool str_starts(struct str s, struct str prefix)
{
	return s.n >= prefix.n && memcmp(s.p, prefix.p, prefix.n) == 0;
}

bool str_starts_nocase(struct str s, struct str prefix)
{
	return s.n >= prefix.n && strncasecmp(s.p, prefix.p, prefix.n) == 0;
}

bool str_ends_nocase(struct str s, struct str suffix)
{
	return s.n >= suffix.n && strncasecmp(s.p + s.n - suffix.n, suffix.p, suffix.n) == 0;
}

struct str str_trim(struct str s)
{
	while (s.n > 0 && (s.p[0] == ' ' || s.p[0] == '\t')) {
		s.p++;
		s.n--;
	}
	while (s.n > 0 && (s.p[s.n - 1] == ' ' || s.p[s.n - 1] == '\t'))
		s.n--;
	return s;
}

struct str str_cut(struct str *rest, char sep)
{
	ptrdiff_t i = str_index(*rest, sep);
	struct str head = *rest;

	if (i < 0) {
		rest->p += rest->n;
		rest->n = 0;
		return head;
	}
	head.n = (size_t)i;
	rest->p += i + 1;
	rest->n -= (size_t)i + 1;
	return head;
}

ptrdiff_t str_index(struct str s, char c)
{
	const char *q = s.n > 0 ? memchr(s.p, c, s.n) : NULL;

	return q != NULL ? q - s.p : -1;
}

static char lower(char c)
{
	return (char)tolower((unsigned char)c);
}

bool str_glob(struct str pattern, struct str s)
{
	size_t pi = 0;
	size_t si = 0;
	size_t star = SIZE_MAX;
	size_t mark = 0;

	while (si < s.n) {
		if (pi < pattern.n && pattern.p[pi] == '*') {
			star = pi++;
			mark = si;
		} else if (pi < pattern.n && lower(pattern.p[pi]) == lower(s.p[si])) {
			pi++;
			si++;
		} else if (star != SIZE_MAX) {
			pi = star + 1;
			si = ++mark;
		} else {
			return false;
		}
	}
	while (pi < pattern.n && pattern.p[pi] == '*')
		pi++;
	return pi == pattern.n;
}

bool str_u64(struct str s, uint64_t max, uint64_t *ret_value)
{
	uint64_t v = 0;

	if (s.n == 0)
		return false;
	for (size_t i = 0; i < s.n; i++) {
		unsigned d = (unsigned)((unsigned char)s.p[i] - '0');
		if (d > 9 || v > (UINT64_MAX - d) / 10)
			return false;
		v = v * 10 + d;
	}
	if (v > max)
		return false;
	*ret_value = v;
	return true;
}

/* Seeded, so that a peer that chooses domain names cannot choose collisions. */
static uint64_t hash_seed(void)
{
	static uint64_t seed;

	if (seed == 0) {
		uint64_t fresh = 0;
		if (getrandom(&fresh, sizeof(fresh), GRND_NONBLOCK) != (ssize_t)sizeof(fresh))
			fresh = 0x9e3779b97f4a7c15u;
		seed = fresh | 1;
	}
	return seed;
}

static uint64_t mix(uint64_t h)
{
	h ^= h >> 32;
	h *= 0xd6e8feb86659fd93u;
	h ^= h >> 32;
	return h;
}

uint64_t str_hash(struct str s)
{
	uint64_t h = 0xcbf29ce484222325u ^ hash_seed();

	for (size_t i = 0; i < s.n; i++)
		h = (h ^ (unsigned char)s.p[i]) * 0x100000001b3u;
	return mix(h);
}

uint64_t str_hash_nocase(struct str s)
{
	uint64_t h = 0xcbf29ce484222325u ^ hash_seed();

	for (size_t i = 0; i < s.n; i++)
		h = (h ^ (unsigned char)lower(s.p[i])) * 0x100000001b3u;
	return mix(h);
}

unsigned str_distance(struct str a, struct str b)
{
	unsigned d[STR_DISTANCE_MAX + 1][STR_DISTANCE_MAX + 1];

	if (a.n > STR_DISTANCE_MAX || b.n > STR_DISTANCE_MAX)
		return STR_DISTANCE_MAX;
	for (size_t i = 0; i <= a.n; i++)
		d[i][0] = (unsigned)i;
	for (size_t j = 0; j <= b.n; j++)
		d[0][j] = (unsigned)j;
	for (size_t i = 1; i <= a.n; i++) {
		for (size_t j = 1; j <= b.n; j++) {
			bool same = (a.p[i - 1] | 0x20) == (b.p[j - 1] | 0x20);
			unsigned best = d[i - 1][j - 1] + !same;
			if (d[i - 1][j] + 1 < best)
				best = d[i - 1][j] + 1;
			if (d[i][j - 1] + 1 < best)
				best = d[i][j - 1] + 1;
			if (i > 1 && j > 1 && a.p[i - 1] == b.p[j - 2] &&
			    a.p[i - 2] == b.p[j - 1] && d[i - 2][j - 2] + 1 < best)
				best = d[i - 2][j - 2] + 1;
			d[i][j] = best;
		}
	}
	return d[a.n][b.n];
}
