#include "base/fmt.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/utf8.h"

static void split(int64_t wall_ms, struct tm *ret)
{
	int64_t s = wall_ms >= 0 ? wall_ms / 1000 : (wall_ms - 999) / 1000;
	time_t t = (time_t)s;

	(void)gmtime_r(&t, ret);
}

void fmt_time(int64_t wall_ms, char ret[static FMT_TIME_LEN])
{
	struct tm tm;
	int64_t ms = wall_ms % 1000;
	size_t n;

	split(wall_ms, &tm);
	n = strftime(ret, FMT_TIME_LEN, "%Y-%m-%dT%H:%M:%S", &tm);
	(void)snprintf(ret + n, FMT_TIME_LEN - n, ".%03dZ", (int)(ms < 0 ? ms + 1000 : ms));
}

void fmt_mail_date(int64_t wall_ms, char ret[static FMT_TIME_LEN])
{
	static const char days[7][4] = { "Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat" };
	static const char months[12][4] = { "Jan", "Feb", "Mar", "Apr", "May", "Jun",
					    "Jul", "Aug", "Sep", "Oct", "Nov", "Dec" };
	struct tm tm;

	/* not strftime: the names must stay English in every locale (RFC 5322, 3.3) */
	split(wall_ms, &tm);
	(void)snprintf(ret, FMT_TIME_LEN, "%s, %d %s %d %02d:%02d:%02d +0000", days[tm.tm_wday % 7],
		       tm.tm_mday % 32, months[tm.tm_mon % 12], (tm.tm_year + 1900) % 10000,
		       tm.tm_hour % 24, tm.tm_min % 60, tm.tm_sec % 61);
}

static bool digits(struct str *s, size_t n, int *ret)
{
	uint64_t v;

	if (s->n < n || !str_u64(str_from(s->p, n), 9999, &v))
		return false;
	*ret = (int)v;
	s->p += n;
	s->n -= n;
	return true;
}

static bool literal(struct str *s, const char *any)
{
	if (s->n == 0 || strchr(any, s->p[0]) == NULL)
		return false;
	s->p++;
	s->n--;
	return true;
}

static bool parse_fraction(struct str *s, int64_t *ret_ms)
{
	int64_t scale = 100;
	int64_t ms = 0;

	if (!literal(s, "."))
		return true;
	if (s->n == 0 || s->p[0] < '0' || s->p[0] > '9')
		return false;
	while (s->n > 0 && s->p[0] >= '0' && s->p[0] <= '9') {
		ms += (s->p[0] - '0') * scale;
		scale /= 10;
		s->p++;
		s->n--;
	}
	*ret_ms = ms;
	return true;
}

bool fmt_parse_time(struct str s, int64_t *ret_wall_ms)
{
	struct tm tm = { 0 };
	int64_t ms = 0;
	int64_t offset_s = 0;
	int oh;
	int om;

	if (!digits(&s, 4, &tm.tm_year) || !literal(&s, "-") || !digits(&s, 2, &tm.tm_mon) ||
	    !literal(&s, "-") || !digits(&s, 2, &tm.tm_mday) || !literal(&s, "Tt ") ||
	    !digits(&s, 2, &tm.tm_hour) || !literal(&s, ":") || !digits(&s, 2, &tm.tm_min) ||
	    !literal(&s, ":") || !digits(&s, 2, &tm.tm_sec) || !parse_fraction(&s, &ms))
		return false;
	if (tm.tm_mon < 1 || tm.tm_mon > 12 || tm.tm_mday < 1 || tm.tm_mday > 31 ||
	    tm.tm_hour > 23 || tm.tm_min > 59 || tm.tm_sec > 60)
		return false;
	if (s.n > 0 && (s.p[0] == '+' || s.p[0] == '-')) {
		int sign = s.p[0] == '-' ? -1 : 1;
		(void)literal(&s, "+-");
		if (!digits(&s, 2, &oh) || !literal(&s, ":") || !digits(&s, 2, &om))
			return false;
		offset_s = sign * (oh * 3600 + om * 60);
	} else if (!literal(&s, "Zz")) {
		return false;
	}
	if (s.n != 0)
		return false;
	tm.tm_year -= 1900;
	tm.tm_mon -= 1;
	*ret_wall_ms = ((int64_t)timegm(&tm) - offset_s) * 1000 + ms;
	return true;
}

void fmt_age(int64_t s, char ret[static FMT_SHORT_LEN])
{
	unsigned long long v = s > 0 ? (unsigned long long)s : 0;

	if (v < 60)
		(void)snprintf(ret, FMT_SHORT_LEN, "%llus", v);
	else if (v < 3600)
		(void)snprintf(ret, FMT_SHORT_LEN, "%llum%02llus", v / 60, v % 60);
	else if (v < 86400)
		(void)snprintf(ret, FMT_SHORT_LEN, "%lluh%02llum", v / 3600, v % 3600 / 60);
	else
		(void)snprintf(ret, FMT_SHORT_LEN, "%llud%lluh", v / 86400 % 100000,
			       v % 86400 / 3600);
}

static int64_t unit_s(char c)
{
	switch (c) {
	case 's':
		return 1;
	case 'm':
		return 60;
	case 'h':
		return 3600;
	case 'd':
		return 86400;
	case 'w':
		return 7 * 86400;
	default:
		return 0;
	}
}

bool fmt_parse_age(struct str s, int64_t *ret_s)
{
	int64_t total = 0;
	uint64_t v;

	if (s.n == 0)
		return false;
	if (str_u64(s, INT32_MAX, &v)) {
		*ret_s = (int64_t)v;
		return true;
	}
	while (s.n > 0) {
		size_t n = 0;
		while (n < s.n && s.p[n] >= '0' && s.p[n] <= '9')
			n++;
		if (n == s.n || unit_s(s.p[n]) == 0 || !str_u64(str_from(s.p, n), INT32_MAX, &v))
			return false;
		total += (int64_t)v * unit_s(s.p[n]);
		s.p += n + 1;
		s.n -= n + 1;
	}
	*ret_s = total;
	return true;
}

void fmt_size(uint64_t bytes, char ret[static FMT_SHORT_LEN])
{
	static const char units[] = "KMGTPE";
	double v = (double)bytes;
	size_t u = 0;

	if (bytes < 1024) {
		(void)snprintf(ret, FMT_SHORT_LEN, "%u", (unsigned)bytes);
		return;
	}
	v /= 1024;
	while (v >= 1023.5 && u + 2 < sizeof(units)) {
		v /= 1024;
		u++;
	}
	(void)snprintf(ret, FMT_SHORT_LEN, v < 9.95 ? "%.1f%c" : "%.0f%c", v, units[u]);
}

bool fmt_parse_size(struct str s, uint64_t *ret_bytes)
{
	uint64_t whole;
	uint64_t tenths = 0;
	unsigned shift = 0;
	struct str head;

	if (s.n > 0) {
		static const char units[] = "KMG";
		const char *at = strchr(units, s.p[s.n - 1] & ~0x20);
		if (at != NULL && *at != '\0') {
			shift = 10 * (1 + (unsigned)(at - units));
			s.n--;
		}
	}
	head = str_cut(&s, '.');
	if (!str_u64(head, UINT32_MAX * (uint64_t)256, &whole))
		return false;
	if (s.n > 0 && (shift == 0 || s.n > 1 || !str_u64(s, 9, &tenths)))
		return false;
	*ret_bytes = (whole << shift) + (tenths << shift) / 10;
	return true;
}

void fmt_count(uint64_t n, char ret[static FMT_TIME_LEN])
{
	char plain[FMT_TIME_LEN];
	int len = snprintf(plain, sizeof(plain), "%llu", (unsigned long long)n);
	size_t o = 0;

	for (int i = 0; i < len; i++) {
		if (i > 0 && (len - i) % 3 == 0)
			ret[o++] = ' ';
		ret[o++] = plain[i];
	}
	ret[o] = '\0';
}

void fmt_count_short(uint64_t n, char ret[static FMT_SHORT_LEN])
{
	static const char units[] = "kMGTPE";
	double v = (double)n;
	size_t u = 0;

	if (n < 1000) {
		(void)snprintf(ret, FMT_SHORT_LEN, "%u", (unsigned)n);
		return;
	}
	v /= 1000;
	while (v >= 999.5 && u + 2 < sizeof(units)) {
		v /= 1000;
		u++;
	}
	(void)snprintf(ret, FMT_SHORT_LEN, v < 9.95 ? "%.1f%c" : "%.0f%c", v, units[u]);
}

void fmt_put_roff(struct buf *out, const char *text)
{
	struct str rest = str_of(text);

	if (*text == '.' || *text == '\'')
		(void)buf_puts(out, "\\&");
	while (rest.n > 0) {
		uint32_t cp;
		size_t n = utf8_decode(rest, &cp);

		if (cp == '\\')
			(void)buf_puts(out, "\\e");
		else if (cp == '-')
			(void)buf_puts(out, "\\-");
		else if (cp < 0x80)
			(void)buf_putc(out, (char)cp);
		else
			(void)buf_printf(out, "\\[u%04X]", (unsigned)cp);
		rest = str_from(rest.p + n, rest.n - n);
	}
}
