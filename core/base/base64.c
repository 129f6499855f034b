#include "base/base64.h"

bool base64_put(struct buf *out, struct str bytes)
{
	static const char digits[] =
		"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

	if (!buf_reserve(out, BASE64_LEN(bytes.n)))
		return false;
	for (size_t i = 0; i < bytes.n; i += 3) {
		size_t left = bytes.n - i;
		uint32_t v = (uint32_t)(unsigned char)bytes.p[i] << 16;
		char four[4];
		if (left > 1)
			v |= (uint32_t)(unsigned char)bytes.p[i + 1] << 8;
		if (left > 2)
			v |= (unsigned char)bytes.p[i + 2];
		four[0] = digits[v >> 18];
		four[1] = digits[v >> 12 & 63];
		four[2] = left > 1 ? digits[v >> 6 & 63] : '=';
		four[3] = left > 2 ? digits[v & 63] : '=';
		(void)buf_put(out, four, sizeof(four));
	}
	return !out->full;
}

int base64_digit(char c)
{
	if (c >= 'A' && c <= 'Z')
		return c - 'A';
	if (c >= 'a' && c <= 'z')
		return c - 'a' + 26;
	if (c >= '0' && c <= '9')
		return c - '0' + 52;
	if (c == '+')
		return 62;
	return c == '/' ? 63 : -1;
}

bool base64_read(struct buf *out, struct str text)
{
	size_t start = out->n;
	size_t pad = 0;

	if (text.n % 4 != 0 || !buf_reserve(out, text.n / 4 * 3))
		return false;
	while (pad < 2 && pad < text.n && text.p[text.n - 1 - pad] == '=')
		pad++;
	for (size_t i = 0; i < text.n; i += 4) {
		size_t n = i + 4 < text.n ? 3 : 3 - pad;
		uint32_t v = 0;
		bool good = true;
		for (size_t k = 0; k < 4; k++) {
			int d = k <= n ? base64_digit(text.p[i + k]) : 0;
			good = good && d >= 0;
			v = v << 6 | (uint32_t)(d & 63);
		}
		/* bits behind the last byte are zero */
		if (!good || (v & ((1u << (8 * (3 - n))) - 1)) != 0) {
			out->n = start;
			out->p[start] = '\0';
			return false;
		}
		for (size_t k = 0; k < n; k++)
			(void)buf_putc(out, (char)(v >> (16 - 8 * k) & 0xff));
	}
	return true;
}
