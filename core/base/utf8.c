#include "base/utf8.h"

size_t utf8_decode(struct str s, uint32_t *ret_cp)
{
	const unsigned char *p = (const unsigned char *)s.p;
	uint32_t cp;
	size_t need;
	uint32_t least;

	*ret_cp = UTF8_REPLACEMENT;
	if (p[0] < 0x80) {
		*ret_cp = p[0];
		return 1;
	}
	if (p[0] >= 0xc2 && p[0] <= 0xdf) {
		cp = p[0] & 0x1fu;
		need = 2;
		least = 0x80;
	} else if ((p[0] & 0xf0) == 0xe0) {
		cp = p[0] & 0x0fu;
		need = 3;
		least = 0x800;
	} else if (p[0] >= 0xf0 && p[0] <= 0xf4) {
		cp = p[0] & 0x07u;
		need = 4;
		least = 0x10000;
	} else {
		return 1;
	}
	if (s.n < need)
		return 1;
	for (size_t i = 1; i < need; i++) {
		if ((p[i] & 0xc0) != 0x80)
			return 1;
		cp = cp << 6 | (p[i] & 0x3fu);
	}
	if (cp < least || cp > 0x10ffff || (cp >= 0xd800 && cp <= 0xdfff))
		return 1;
	*ret_cp = cp;
	return need;
}

size_t utf8_encode(uint32_t cp, char ret[static 4])
{
	if (cp < 0x80) {
		ret[0] = (char)cp;
		return 1;
	}
	if (cp < 0x800) {
		ret[0] = (char)(0xc0 | cp >> 6);
		ret[1] = (char)(0x80 | (cp & 0x3f));
		return 2;
	}
	if (cp < 0x10000) {
		ret[0] = (char)(0xe0 | cp >> 12);
		ret[1] = (char)(0x80 | (cp >> 6 & 0x3f));
		ret[2] = (char)(0x80 | (cp & 0x3f));
		return 3;
	}
	ret[0] = (char)(0xf0 | (cp >> 18 & 0x07));
	ret[1] = (char)(0x80 | (cp >> 12 & 0x3f));
	ret[2] = (char)(0x80 | (cp >> 6 & 0x3f));
	ret[3] = (char)(0x80 | (cp & 0x3f));
	return 4;
}

bool utf8_valid(struct str s)
{
	while (s.n > 0) {
		uint32_t cp;
		size_t n = utf8_decode(s, &cp);
		if (cp == UTF8_REPLACEMENT && n == 1)
			return false;
		s.p += n;
		s.n -= n;
	}
	return true;
}

bool utf8_harmful(uint32_t cp)
{
	static const struct {
		uint32_t from;
		uint32_t to;
	} ranges[] = {
		{ 0x00, 0x1f },	    { 0x7f, 0x9f },	     { 0xad, 0xad },	 { 0x61c, 0x61c },
		{ 0x180b, 0x180f }, { 0x200b, 0x200f },	     { 0x2028, 0x202e }, { 0x2060, 0x206f },
		{ 0xd800, 0xf8ff }, { 0xfe00, 0xfe0f },	     { 0xfeff, 0xfeff }, { 0xfff0, 0xfffb },
		{ 0xfffe, 0xffff }, { 0xe0000, UINT32_MAX },
	};

	for (size_t i = 0; i < sizeof(ranges) / sizeof(ranges[0]); i++)
		if (cp >= ranges[i].from && cp <= ranges[i].to)
			return true;
	return false;
}

static uint32_t as_it_is(uint32_t cp)
{
	return cp;
}

static uint32_t as_shown(uint32_t cp)
{
	if (cp == '\n' || cp == '\r' || cp == '\t')
		return ' ';
	return utf8_harmful(cp) ? UTF8_REPLACEMENT : cp;
}

static bool put_mapped(struct buf *b, struct str s, uint32_t (*map)(uint32_t cp))
{
	while (s.n > 0) {
		uint32_t cp;
		char out[4];
		size_t n = utf8_decode(s, &cp);
		if (!buf_put(b, out, utf8_encode(map(cp), out)))
			return false;
		s.p += n;
		s.n -= n;
	}
	return true;
}

bool utf8_put_clean(struct buf *b, struct str s)
{
	return put_mapped(b, s, as_it_is);
}

bool utf8_put_shown(struct buf *b, struct str s)
{
	return put_mapped(b, s, as_shown);
}
