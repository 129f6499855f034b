/* What balancers say, complete and cut anywhere, and what is not that. */
#include "net/proxy_header.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/mem.h"

#define SIG "\r\n\r\n\0\r\nQUIT\n"
#define B(literal) literal, sizeof(literal) - 1

static const struct {
	const char *bytes;
	size_t n;
	enum proxy_result result;
	size_t used;
	const char *client; /* NULL: not named */
} cases[] = {
	{ B("PROXY TCP4 192.0.2.1 198.51.100.9 56324 25\r\nEHLO"), PROXY_DONE, 44,
	  "192.0.2.1:56324" },
	{ B("PROXY TCP6 2001:db8::1 2001:db8::2 1 65535\r\n"), PROXY_DONE, 44, "[2001:db8::1]:1" },
	{ B("PROXY TCP6 ::ffff:192.0.2.1 ::ffff:198.51.100.9 1 2\r\n"), PROXY_DONE, 53,
	  "192.0.2.1:1" },
	{ B("PROXY UNKNOWN\r\n"), PROXY_DONE, 15, NULL },
	{ B("PROXY UNKNOWN ffff:f...f:ffff 65535 65535\r\nX"), PROXY_DONE, 43, NULL },
	{ B("PROXY TCP4 192.0.2.1 198.51.100.9 56324 25\n"), PROXY_WRONG, 0, NULL },
	{ B("PROXY TCP4 192.0.2.1 198.51.100.9 56324 65536\r\n"), PROXY_WRONG, 0, NULL },
	{ B("PROXY TCP4 192.0.2.1 198.51.100.9 56324\r\n"), PROXY_WRONG, 0, NULL },
	{ B("PROXY TCP4 192.0.2.1 198.51.100.9 56324 25 1\r\n"), PROXY_WRONG, 0, NULL },
	{ B("PROXY TCP4 2001:db8::1 2001:db8::2 1 2\r\n"), PROXY_WRONG, 0, NULL },
	{ B("PROXY TCP5 192.0.2.1 198.51.100.9 56324 25\r\n"), PROXY_WRONG, 0, NULL },
	{ B("PROXY \r\n"), PROXY_WRONG, 0, NULL },
	{ B("PROXY \n"), PROXY_WRONG, 0, NULL },
	{ B("EHLO me\r\n"), PROXY_WRONG, 0, NULL },
	{ B("PRoxy TCP4"), PROXY_WRONG, 0, NULL },
	{ B("\x16\x03\x01"), PROXY_WRONG, 0, NULL }, /* TLS */
	{ B(SIG "\x21\x11\0\x0c\xc0\0\x02\x01\xc6\x33\x64\x09\xdc\x04\0\x19"
		"more"),
	  PROXY_DONE, 28, "192.0.2.1:56324" },
	/* with something that is skipped */
	{ B(SIG "\x21\x11\0\x10\xc0\0\x02\x01\xc6\x33\x64\x09\xdc\x04\0\x19\x04\0\x01x"),
	  PROXY_DONE, 32, "192.0.2.1:56324" },
	{ B(SIG "\x21\x21\0\x24\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\x01"
		"\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\x02\0\x07\0\x19"),
	  PROXY_DONE, 52, "[2001:db8::1]:7" },
	{ B(SIG "\x20\0\0\0"), PROXY_DONE, 16, NULL }, /* LOCAL */
	{ B(SIG "\x20\x11\0\x0c\xc0\0\x02\x01\xc6\x33\x64\x09\xdc\x04\0\x19"), PROXY_DONE, 28,
	  NULL },
	{ B(SIG "\x21\0\0\0"), PROXY_DONE, 16, NULL },	     /* UNSPEC */
	{ B(SIG "\x21\x31\0\x02xx"), PROXY_DONE, 18, NULL }, /* a UNIX socket */
	{ B(SIG "\x21\x12\0\0"), PROXY_DONE, 16, NULL },     /* a datagram */
	{ B(SIG "\x21\x11\0\x0b\xc0\0\x02\x01\xc6\x33\x64\x09\xdc\x04\0"), PROXY_WRONG, 0, NULL },
	{ B(SIG "\x11\x11\0\x0c"), PROXY_WRONG, 0, NULL }, /* version 1 in version 2 */
	{ B(SIG "\x22\x11\0\x0c"), PROXY_WRONG, 0, NULL }, /* no such command */
	{ B(SIG "\x21\x11\xff\xff"), PROXY_WRONG, 0, NULL },
	{ B("\r\n\r\n\0\r\nQUIT\r"), PROXY_WRONG, 0, NULL },
};

static void headers(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		const uint8_t *p = (const uint8_t *)cases[i].bytes;
		for (size_t n = 0; n <= cases[i].n; n++) {
			struct proxy_header h = { .named = false };
			size_t used = 0;
			/* a copy, so that reading beyond it is seen */
			AUTO_FREE uint8_t *copy = xmalloc(n + 1);
			memcpy(copy, p, n);
			copy[n] = '1';
			enum proxy_result got = proxy_header_parse(copy, n, &h, &used);
			char text[NETADDR_TEXT_LEN];
			if (cases[i].result == PROXY_DONE && n < cases[i].used) {
				if (got != PROXY_MORE)
					fail_msg("case %zu, %zu bytes: %d", i, n, (int)got);
				continue;
			}
			if (cases[i].result == PROXY_WRONG) {
				if (got == PROXY_DONE || (n == cases[i].n && got != PROXY_WRONG))
					fail_msg("case %zu, %zu bytes: %d", i, n, (int)got);
				continue;
			}
			netaddr_text(&h.client, text);
			if (got != PROXY_DONE || used != cases[i].used ||
			    h.named != (cases[i].client != NULL) ||
			    (h.named && strcmp(text, cases[i].client) != 0))
				fail_msg("case %zu, %zu bytes: %d, %zu used, %s", i, n, (int)got,
					 used, text);
		}
	}
}

static void endless_lines(void **state)
{
	uint8_t line[200];
	struct proxy_header h;
	size_t used;

	(void)state;
	memset(line, 'x', sizeof(line));
	memcpy(line, "PROXY UNKNOWN ", 14);
	assert_int_equal(proxy_header_parse(line, 106, &h, &used), PROXY_MORE);
	assert_int_equal(proxy_header_parse(line, 107, &h, &used), PROXY_WRONG);
	memcpy(line + 105, "\r\n", 2);
	assert_int_equal(proxy_header_parse(line, 200, &h, &used), PROXY_DONE);
	assert_int_equal(used, 107);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(headers),
		cmocka_unit_test(endless_lines),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
