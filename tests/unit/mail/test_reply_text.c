/*
 * Replies with the same cause have to read the same: single pieces, and twelve causes in a thousand
 * spellings each, with the recipients, hosts, ids and times that real replies have in them.
 */
#include "mail/reply_text.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/buf.h"
#include "base/mem.h"
#include "base/utf8.h"

static const struct {
	const char *in;
	const char *want;
} cases[] = {
	{ "", "" },
	{ "   ", "" },
	{ "User unknown", "User unknown" },
	{ "<anna@corp.example>: no", "<addr>: no" },
	{ "anna@corp.example... no", "<addr>... no" },
	{ "<anna>: no", "<addr>: no" },
	{ "<>: no", "<>: no" },
	{ "end with <CRLF>.<CRLF>", "end with <CRLF>.<CRLF>" },
	{ "rfc822;anna@corp.example", "rfc822;<addr>" },
	{ "to=<anna@corp.example>,", "to=<addr>," },
	{ "to=anna.b+c@corp.example;", "to=<addr>;" },
	{ "user=anna", "user=<addr>" },
	{ "user 'anna' unknown", "user '<addr>' unknown" },
	{ "mailbox \"anna.b\" is full", "mailbox \"<addr>\" is full" },
	{ "said \"no\"", "said \"no\"" },
	{ "anna@[192.0.2.1] no", "<addr> no" },
	{ "SRS0=abc=XY=corp.example=anna@srs.example no", "<addr> no" },
	{ "\xc3\xa4nna@b\xc3\xbc"
	  "cher.example",
	  "<addr>" },
	{ "192.0.2.7", "<ip>" },
	{ "[192.0.2.7]", "[<ip>]" },
	{ "[192.0.2.7      19]", "[<ip> <n>]" },
	{ "IP:192.0.2.7.", "IP:<ip>." },
	{ "192.0.2.7:25", "<ip>" },
	{ "192.0.2.0/24", "<ip>" },
	{ "ip=2001:db8::7,", "ip=<ip>," },
	{ "[2001:db8::7]", "[<ip>]" },
	{ "IPv6:2001:db8::7", "<ip>" },
	{ "::ffff:192.0.2.7 x", "<ip> x" },
	{ "[x.xx.xx.xx]", "[<ip>]" },
	{ "mx1.corp.example[192.0.2.7]:25 said", "<host>[<ip>]:<n> said" },
	{ "host mail.corp.co.uk.", "host <host>." },
	{ "ec2-1-2-3-4.compute.amazonaws.com", "<host>" },
	{ "unknown.Please try again", "unknown.Please try again" },
	{ "e.g. this, i.e. that", "e.g. this, i.e. that" },
	{ "[AM6PR04CA0012.eurprd04.prod.outlook.com 2026-11-24T03:12:07.123Z 08DE2B1234567890]",
	  "[<host> <time> <id>]" },
	{ "https://x.example/a?b=1&c=2.", "<url>." },
	{ "(see http://x.example/a)", "(see <url>)" },
	{ "see:http://x.example/a, please", "see:<url>, please" },
	{ "www.x.example/a", "<url>" },
	{ "support.google.com/mail/?p=NoSuchUser", "<url>" },
	{ "h1-20020a05600c4d8100b003a2si1234567wmp.12 - gsmtp", "<id> - gsmtp" },
	{ "4F2C81A2B3", "<id>" },
	{ "1234567890 123456789D", "<id> <id>" },
	{ "4bZzY20qXhz9sT8", "<id>" },
	{ "id 1a2b3c", "id <id>" },
	{ "id=<1a2b3c@x>", "id=<addr>" },
	{ "aGVsbG8gd29ybGQgdGhpcw==", "<id>" },
	{ "f47ac10b-58cc-4372-a567-0e02b2c3d479", "<id>" },
	{ "[TSS04] deferred", "[TSS04] deferred" },
	{ "[PH01] BL000010 OFR_417 S3140 AUP#In-1310",
	  "[PH01] BL000010 OFR_417 S3140 AUP#In-1310" },
	{ "(#5.1.1)", "(#5.1.1)" },
	{ "said: 550 5.1.1 no", "said: 550 5.1.1 no" },
	{ "wait 300 seconds", "wait <n> seconds" },
	{ "wait 300s", "wait <n>" },
	{ "size 12,345,678 exceeds 10MB", "size <n> exceeds <n>" },
	{ "score 7.3/5.0", "score <n>/<n>" },
	{ "try #3", "try #<n>" },
	{ "retry at 03:12:07", "retry at <time>" },
	{ "retry 2026-11-24 03:12:07.123 now", "retry <time> now" },
	{ "retry 2026-11-24T03:12:07+01:00", "retry <time>" },
	{ "until Tue, 24 Nov 2026 03:12:07 +0000 (UTC)", "until <time>" },
	{ "until Tue Nov 24 03:12:07 2026.", "until <time>." },
	{ "until 24-Nov-2026", "until <time>" },
	{ "waited 1m00s for its greeting", "waited <time> for its greeting" },
	{ "the user may be busy", "the user may be busy" },
	{ "recipient's mailbox doesn't exist", "recipient's mailbox doesn't exist" },
	{ "STARTTLS and 8BITMIME over TLS1.2, IPv6, RFC5322, SHA-256",
	  "STARTTLS and 8BITMIME over TLS1.2, IPv6, RFC5322, SHA-256" },
	{ "550-5.7.1 one\n550 5.7.1 two", "one two" },
	{ "550 no", "no" },
	{ "5.7.1 no", "no" },
	{ "a\n\n  b\r\nc", "a b c" },
	{ ". no . 1 . x", ". no . <n> . x" },
	{ "a\x1b[31mb\tc\x07", "a [<n> c" },
	{ "\xb2\xbb\xb4\xe6", "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd" },
	{ "bo\xc3\xaete pleine", "bo\xc3\xaete pleine" },
};

static void test_pieces(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		char got[REPLY_TEXT_MAX + 1];
		size_t n = reply_text_normalise(str_of(cases[i].in), got);
		assert_int_equal(n, strlen(got));
		if (strcmp(got, cases[i].want) != 0)
			fail_msg("%s\n  got  %s\n  want %s", cases[i].in, got, cases[i].want);
	}
}

static void test_limits(void **state)
{
	(void)state;
	char in[4096];
	char got[REPLY_TEXT_MAX + 1];

	for (size_t shift = 0; shift < 3; shift++) {
		size_t n = shift;
		memset(in, 'x', shift);
		while (n + 3 < sizeof(in)) {
			memcpy(in + n, "\xe2\x82\xac", 3);
			n += 3;
		}
		n = reply_text_normalise(str_from(in, n), got);
		assert_in_range(n, REPLY_TEXT_MAX - 3, REPLY_TEXT_MAX);
		assert_true(utf8_valid(str_from(got, n)));
	}
	memset(in, ' ', sizeof(in));
	for (size_t i = 0; i + 2 < sizeof(in); i += 3)
		memcpy(in + i, "9 x", 3);
	assert_in_range(reply_text_normalise(str_from(in, sizeof(in)), got), 190, REPLY_TEXT_MAX);
}

/* --- a thousand spellings --------------------------------------------------------------------- */

/*
 * In a cause's text: %a an address, %A one in brackets, %i an IPv4, %I an IPv6 address, %h a host,
 * %q a queue id, %g an id as Google has, %n a number, %t a time, %u a URL, %L a new line that may
 * begin with the codes again.
 */
static const struct {
	int code;
	const char *enhanced;
	const char *text;
} causes[] = {
	{ 550, "5.1.1", "%A: Recipient address rejected: User unknown in virtual mailbox table" },
	{ 550, "5.1.1",
	  "The email account that you tried to reach does not exist. Please try%Ldouble-checking "
	  "the "
	  "recipient's email address for typos or%Lunnecessary spaces. For more information, go "
	  "to%L%u %g - gsmtp" },
	{ 421, "4.7.28",
	  "[%i      %n] Our system has detected an unusual rate of%Lunsolicited mail originating "
	  "from "
	  "your IP address. %g - gsmtp" },
	{ 450, "4.2.0", "%A: Recipient address rejected: Greylisted, see %u" },
	{ 451, "4.7.1", "Greylisting in action, please come back in %n seconds (%t)" },
	{ 552, "5.2.2", "%a mailbox is over its quota: %n of %n bytes used" },
	{ 421, "4.7.0",
	  "[TSS04] Messages from %i temporarily deferred due to unexpected volume or user "
	  "complaints - %n; see %u" },
	{ 550, "5.7.1",
	  "Service unavailable, Client host [%i] blocked using Spamhaus. To request removal from "
	  "this "
	  "list see %u [%h %t %q]" },
	{ 554, "5.7.1", "%h[%I]: Client host rejected: cannot find your hostname, [%I]" },
	{ 451, "4.3.0", "queue file write error on %h, id=%q, %t" },
	{ 550, "",
	  "Verification failed for %A%LThe mail server could not deliver mail to %a.%L"
	  "Sender verify failed" },
	{ 421, "4.4.2", "%h Error: timeout exceeded after %n s, session %q ended %t" },
};
#define SPELLINGS 1000

static unsigned rnd(unsigned *seed, unsigned n)
{
	*seed = *seed * 1103515245u + 12345u;
	return (*seed >> 16) % n;
}

static void put_random(struct buf *b, unsigned *seed, const char *alphabet, unsigned n)
{
	while (n-- > 0)
		(void)buf_putc(b, alphabet[rnd(seed, (unsigned)strlen(alphabet))]);
}

#define LETTERS "abcdefghijklmnopqrstuvwxyz"
#define DIGITS "0123456789"

static void put_host(struct buf *b, unsigned *seed)
{
	static const char *const tops[] = { "com", "net", "org", "de", "co.uk", "fr", "example" };

	put_random(b, seed, LETTERS, 1);
	if (rnd(seed, 2) == 0)
		put_random(b, seed, LETTERS DIGITS "-", rnd(seed, 9));
	put_random(b, seed, LETTERS DIGITS, 1);
	(void)buf_putc(b, '.');
	put_random(b, seed, LETTERS, 3 + rnd(seed, 8));
	(void)buf_printf(b, ".%s", tops[rnd(seed, ARRAY_LEN(tops))]);
}

static void put_address(struct buf *b, unsigned *seed)
{
	put_random(b, seed, LETTERS, 1);
	put_random(b, seed, LETTERS DIGITS "_+-", rnd(seed, 7));
	if (rnd(seed, 2) == 0)
		(void)buf_putc(b, '.');
	put_random(b, seed, LETTERS DIGITS, 1 + rnd(seed, 8));
	(void)buf_putc(b, '@');
	put_host(b, seed);
}

static void put_time(struct buf *b, unsigned *seed)
{
	static const char *const days[] = { "Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun" };
	static const char *const months[] = { "Jan", "Feb", "Mar", "Apr", "May", "Jun",
					      "Jul", "Aug", "Sep", "Oct", "Nov", "Dec" };
	unsigned day = 1 + rnd(seed, 28);
	unsigned m = rnd(seed, 12);
	unsigned year = 2020 + rnd(seed, 10);
	unsigned h = rnd(seed, 24);
	unsigned s = rnd(seed, 60);

	switch (rnd(seed, 4)) {
	case 0:
		(void)buf_printf(b, "%s, %u %s %u %02u:%02u:%02u +0%u00", days[rnd(seed, 7)], day,
				 months[m], year, h, s, s, rnd(seed, 10));
		break;
	case 1:
		(void)buf_printf(b, "%u-%02u-%02uT%02u:%02u:%02u.%03uZ", year, m + 1, day, h, s, s,
				 rnd(seed, 1000));
		break;
	case 2:
		(void)buf_printf(b, "%u-%02u-%02u %02u:%02u:%02u", year, m + 1, day, h, s, s);
		break;
	default:
		(void)buf_printf(b, "%s %s %2u %02u:%02u:%02u %u", days[rnd(seed, 7)], months[m],
				 day, h, s, s, year);
	}
}

static void put_variable(struct buf *b, unsigned *seed, char what, size_t cause)
{
	switch (what) {
	case 'a':
		put_address(b, seed);
		break;
	case 'A':
		(void)buf_putc(b, '<');
		put_address(b, seed);
		(void)buf_putc(b, '>');
		break;
	case 'i':
		(void)buf_printf(b, "%u.%u.%u.%u", 1 + rnd(seed, 223), rnd(seed, 256),
				 rnd(seed, 256), rnd(seed, 256));
		break;
	case 'I':
		(void)buf_printf(b, "2001:db8:%x::%x", rnd(seed, 65536), 1 + rnd(seed, 65535));
		break;
	case 'h':
		put_host(b, seed);
		break;
	case 'q':
		put_random(b, seed, DIGITS, 1);
		put_random(b, seed, "0123456789ABCDEF", 9 + rnd(seed, 3));
		break;
	case 'g':
		put_random(b, seed, "0123456789abcdef", 10);
		(void)buf_putc(b, '-');
		put_random(b, seed, "0123456789abcdef", 15);
		(void)buf_printf(b, "si%uqkb.%u", rnd(seed, 30000), rnd(seed, 999));
		break;
	case 'n':
		(void)buf_printf(b, "%u", rnd(seed, 30000));
		break;
	case 't':
		put_time(b, seed);
		break;
	case 'u':
		(void)buf_puts(b, "https://");
		put_host(b, seed);
		(void)buf_printf(b, "/x?p=%u&i=", rnd(seed, 9999));
		put_random(b, seed, LETTERS, 5);
		break;
	default:
		(void)buf_putc(b, '\n');
		if (rnd(seed, 3) == 0)
			(void)buf_printf(b, "%d-%s ", causes[cause].code, causes[cause].enhanced);
		else if (rnd(seed, 2) == 0)
			(void)buf_printf(b, "%s ", causes[cause].enhanced);
	}
}

static void spell(struct buf *b, unsigned *seed, size_t cause)
{
	buf_reset(b);
	for (const char *p = causes[cause].text; *p != '\0'; p++) {
		if (*p == '%')
			put_variable(b, seed, *++p, cause);
		else if (*p == ' ' && rnd(seed, 40) == 0)
			(void)buf_puts(b, "  ");
		else
			(void)buf_putc(b, *p);
	}
}

static void test_thousand_spellings(void **state)
{
	(void)state;
	char first[ARRAY_LEN(causes)][REPLY_TEXT_MAX + 1];
	AUTO_BUF text = BUF_INIT(4096);
	unsigned seed = 1;

	for (size_t c = 0; c < ARRAY_LEN(causes); c++) {
		for (size_t i = 0; i < SPELLINGS; i++) {
			char got[REPLY_TEXT_MAX + 1];
			spell(&text, &seed, c);
			(void)reply_text_normalise(buf_str(&text), got);
			if (i == 0)
				memcpy(first[c], got, sizeof(got));
			if (strcmp(got, first[c]) != 0)
				fail_msg("cause %zu\n%s\n%s\n%s", c, buf_cstr(&text), got,
					 first[c]);
		}
		for (size_t other = 0; other < c; other++)
			assert_string_not_equal(first[c], first[other]);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_pieces),
		cmocka_unit_test(test_limits),
		cmocka_unit_test(test_thousand_spellings),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
