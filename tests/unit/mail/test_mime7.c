/* Messages whose lines are too long or have 8-bit bytes: what becomes of them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/mem.h"
#include "mail/header.h"
#include "mail/mime7.h"

#define L10 "0123456789"
#define L50 L10 L10 L10 L10 L10
#define L110 L50 L50 L10
#define X8 "\xc3\xa4"
#define HEAD "Subject: x\r\nMIME-Version: 1.0\r\n"
#define QP "Content-Transfer-Encoding: quoted-printable\r\n"
#define B64 "Content-Transfer-Encoding: base64\r\n"
#define BIT8 "Content-Transfer-Encoding: 8bit\r\n"
#define TEXT "Content-Type: text/plain; charset=utf-8\r\n"
#define MIXED(b) "Content-Type: multipart/mixed;\r\n boundary=" b "\r\n"

static const struct {
	const char *in;
	const char *out; /* NULL: refused */
	size_t line_max;
	bool seven_bit;
} cases[] = {
	/* in order: as it was */
	{ HEAD "\r\n" X8 "\r\n", HEAD "\r\n" X8 "\r\n", 100, false },
	{ HEAD TEXT "\r\n" L50 L50 "\r\n", HEAD TEXT "\r\n" L50 L50 "\r\n", 100, true },
	{ HEAD "\r\n" L110 X8 "\r\n", HEAD "\r\n" L110 X8 "\r\n", 0, false },
	/* text: soft line ends, what is not ASCII, what ends a line */
	{ HEAD TEXT "\r\n" L110 "\r\nb\r\n",
	  HEAD TEXT QP "\r\n" L50 L10 L10 "01234=\r\n56789" L10 L10 L10 "\r\nb\r\n", 100, false },
	{ HEAD TEXT BIT8 "\r\na" X8 "=3 \r\n\tz\r\n", HEAD TEXT QP "\r\na=C3=A4=3D3=20\r\n\tz\r\n",
	  100, true },
	{ HEAD TEXT "\r\n" X8 X8 "\r\n", HEAD TEXT B64 "\r\nw6TDpA0K\r\n", 100, true },
	/* before MIME */
	{ "Subject: x\r\n\r\nabcdefgh" X8 "\r\n",
	  "Subject: x\r\nMIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\n" QP
	  "\r\nabcdefgh=C3=A4\r\n",
	  100, true },
	{ "Subject: x\r\n\r\nabcdefgh\xe4\r\n",
	  "Subject: x\r\nMIME-Version: 1.0\r\nContent-Type: text/plain; charset=unknown-8bit\r\n" QP
	  "\r\nabcdefgh=E4\r\n",
	  100, true },
	/* not text */
	{ HEAD "Content-Type: application/json\r\n\r\n" L110 "\r\n",
	  HEAD "Content-Type: application/json\r\n" B64
	       "\r\nMDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2"
	       "\r\n"
	       "Nzg5MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDEyMzQ1Njc4OTAxMjM0NTY3ODkNCg==\r\n",
	  100, false },
	/* encoded already, in one line */
	{ HEAD B64 "\r\n" L110 "AA\r\n\r\n",
	  HEAD B64 "\r\n" L50 L10 L10 "012345\r\n6789" L10 L10 L10 "AA\r\n", 100, false },
	{ HEAD B64 "\r\n" L110 "-\r\n", NULL, 100, false },
	{ HEAD TEXT QP "\r\n" L50 L10 L10 "012=C3=A4" L50 "\r\na=\r\nb= \r\n" X8 "\r\n",
	  HEAD TEXT QP "\r\n" L50 L10 L10 "012=\r\n=C3=A4" L50 "\r\na=\r\nb=\r\n=C3=A4\r\n", 100,
	  true },
	{ HEAD "Content-Transfer-Encoding: x-uuencode\r\n\r\n" L110 "\r\n", NULL, 100, false },
	/* parts: only the one that needs it, and what is around it */
	{ HEAD MIXED("b") BIT8 "\r\npreamble " X8 "\r\n--b\r\n" TEXT BIT8 "\r\nabcdefghijklmn" X8
			       "\r\n--b \r\n\r\nplain\r\n--b--\r\nepilogue\r\n",
	  HEAD MIXED("b") "Content-Transfer-Encoding: 7bit\r\n\r\n--b\r\n" TEXT QP
			  "\r\nabcdefghijklmn=C3=A4\r\n--b \r\n\r\nplain\r\n--b--\r\nepilogue\r\n",
	  100, true },
	{ HEAD MIXED("\"a b\"") "\r\n--a b\r\n" MIXED(
		  "c") "\r\n--c\r\n\r\n" L110 "\r\n--c--\r\n--a b\r\n\r\nx\r\n--a b--\r\n",
	  HEAD MIXED("\"a b\"") "\r\n--a b\r\n" MIXED("c") "\r\n--c\r\n" QP "\r\n" L50 L10
		  L10 "01234=\r\n56789" L10 L10 L10 "\r\n--c--\r\n--a b\r\n\r\nx\r\n--a b--\r\n",
	  100, false },
	/* a part without an end, with lines that only look like delimiters */
	{ HEAD MIXED("b") "\r\n--b\r\n\r\n--bb\r\n" L110 "\r\n -- b\r\n",
	  HEAD MIXED("b") "\r\n--b\r\n" QP "\r\n--bb\r\n" L50 L10 L10 "01234=\r\n56789" L10 L10 L10
			  "\r\n -- b\r\n",
	  100, false },
	/* a message in a message */
	{ HEAD MIXED("b") "\r\n--b\r\nContent-Type: message/rfc822\r\n\r\nSubject: y\r\n\r\n" L110
			  "\r\n--b--\r\n",
	  HEAD MIXED("b") "\r\n--b\r\nContent-Type: message/rfc822\r\n\r\nSubject: y\r\n" QP
			  "\r\n" L50 L10 L10 "01234=\r\n56789" L10 L10 L10 "\r\n--b--\r\n",
	  100, false },
	/* header lines */
	{ "To: a@" L50 ".example, b@" L50 ".example,\r\n c@x\r\n\r\nx\r\n",
	  "To: a@" L50 ".example,\r\n b@" L50 ".example,\r\n c@x\r\n\r\nx\r\n", 100, false },
	{ "X: " L110 "\r\n\r\nx\r\n", "X:\r\n " L110 "\r\n\r\nx\r\n", 112, false },
	{ "X:" L110 "\r\n\r\nx\r\n", NULL, 100, false },
	{ "Subject: " X8 "\r\n\r\nx\r\n", "Subject: " X8 "\r\n\r\nx\r\n", 100, true },
	/* what may not be touched */
	{ "DKIM-Signature: v=1\r\n" HEAD "\r\n" L110 "\r\n", NULL, 100, false },
	{ HEAD "Content-Type: multipart/signed; boundary=b\r\n\r\n--b\r\n\r\n" L110 "\r\n--b--\r\n",
	  NULL, 100, false },
	{ HEAD "Content-Type: multipart/mixed\r\n\r\n--b\r\n\r\n" L110 "\r\n--b--\r\n", NULL, 100,
	  false },
	{ HEAD "Content-Type: message/partial\r\n\r\n" L110 "\r\n", NULL, 100, false },
};

static void test_cases(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		const struct mime7_want want = { cases[i].line_max, cases[i].seven_bit };
		AUTO_BUF out = BUF_INIT(100000);
		struct err err = ERR_INIT;
		int rc = mime7_encode(str_of(cases[i].in), &want, &out, &err);
		if ((rc == 0) != (cases[i].out != NULL))
			fail_msg("case %zu: %d %s", i, rc, err.msg);
		if (rc == 0 && strcmp(buf_cstr(&out), cases[i].out) != 0)
			fail_msg("case %zu:\n%s\n--- instead of\n%s", i, buf_cstr(&out),
				 cases[i].out);
		assert_true(rc == 0 || (err.msg[0] != '\0' && strlen(err.msg) <= 70));
	}
}

static void test_depth(void **state)
{
	const struct mime7_want want = { 100, false };
	AUTO_BUF in = BUF_INIT(1u << 20);
	AUTO_BUF out = BUF_INIT(1u << 20);
	struct err err = ERR_INIT;

	(void)state;
	for (int i = 0; i < 1000; i++)
		assert_true(buf_puts(&in, "Content-Type: message/rfc822\r\n\r\n"));
	assert_true(buf_puts(&in, "\r\n" L110 "\r\n"));
	assert_true(mime7_encode(buf_str(&in), &want, &out, &err) < 0);
	assert_non_null(strstr(err.msg, "nested"));
}

static void test_no_room(void **state)
{
	const struct mime7_want want = { 100, true };
	AUTO_BUF out = BUF_INIT(100);
	struct err err = ERR_INIT;

	(void)state;
	assert_int_equal(mime7_encode(STR(HEAD "\r\n" L110 L110 L110 "\r\n"), &want, &out, &err),
			 -ERR_LIMIT);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_cases),
		cmocka_unit_test(test_depth),
		cmocka_unit_test(test_no_room),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
