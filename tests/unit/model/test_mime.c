/* Messages as people read them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "base/utf8.h"
#include "model/mime.h"

static struct buf headers = { .limit = MIME_TEXT_MAX };
static struct buf body = { .limit = MIME_TEXT_MAX };
static struct buf parts = { .limit = 65536 };

static void read_text(const char *raw)
{
	buf_done(&headers);
	buf_done(&body);
	buf_done(&parts);
	mime_read(str_of(raw), &headers, &body, &parts);
}

static int teardown(void **state)
{
	(void)state;
	read_text("");
	buf_done(&headers);
	buf_done(&body);
	buf_done(&parts);
	return 0;
}

static void test_encoded_words_and_quoted_printable(void **state)
{
	(void)state;
	read_text(
		"Subject: =?utf-8?q?gr=C3=BCn?=\r\nContent-Type: text/plain; charset=iso-8859-1\r\n"
		"Content-Transfer-Encoding: quoted-printable\r\n\r\ncaf=E9\r\n");
	assert_non_null(strstr(buf_cstr(&headers), "Subject: gr\u00fcn\n"));
	assert_non_null(strstr(buf_cstr(&body), "caf\u00e9"));
}

static void test_plain_is_preferred_to_html(void **state)
{
	(void)state;
	read_text("Content-Type: multipart/alternative; boundary=x\r\n\r\n--x\r\n"
		  "Content-Type: text/plain\r\n\r\nplain words\r\n--x\r\n"
		  "Content-Type: text/html\r\n\r\n<b>html words</b>\r\n--x--\r\n");
	assert_non_null(strstr(buf_cstr(&body), "plain words"));
	assert_null(strstr(buf_cstr(&body), "html words"));
	assert_non_null(strstr(buf_cstr(&parts), "  text/html"));
}

static void test_html_without_tags_and_scripts(void **state)
{
	(void)state;
	read_text("Content-Type: text/html\r\n\r\n<p>a &amp; b<script>evil()</script></p><p>c</p>");
	assert_non_null(strstr(buf_cstr(&body), "a & b"));
	assert_null(strstr(buf_cstr(&body), "evil"));
	assert_null(strstr(buf_cstr(&body), "<"));
}

static void test_attachments_are_named_not_shown(void **state)
{
	(void)state;
	read_text(
		"Content-Type: multipart/mixed; boundary=x\r\n\r\n--x\r\nContent-Type: text/plain; "
		"name=a.txt\r\nContent-Disposition: attachment; filename=a.txt\r\n\r\nsecret\r\n"
		"--x--\r\n");
	assert_null(strstr(buf_cstr(&body), "secret"));
	assert_non_null(strstr(buf_cstr(&parts), "a.txt"));
}

static void test_unknown_charset_is_still_shown(void **state)
{
	(void)state;
	read_text("Content-Type: text/plain; charset=x-nonsense\r\n\r\nbytes \xff here\r\n");
	assert_non_null(strstr(buf_cstr(&body), "bytes "));
	assert_true(utf8_valid(buf_str(&body)));
}

static void test_base64_pieces_join(void **state)
{
	struct buf out = BUF_INIT(8);

	(void)state;
	assert_true(mime_base64("aGVs", &out));
	assert_true(mime_base64("bG8=", &out));
	assert_string_equal(buf_cstr(&out), "hello");
	assert_false(mime_base64("", &out));
	assert_false(mime_base64("aGVsbG8=", &out)); /* beyond the limit */
	buf_done(&out);
}

/* red when the parser is let loose on groups in groups, which end it */
static void test_groups_in_groups(void **state)
{
	struct buf raw = BUF_INIT(1u << 20);

	(void)state;
	(void)buf_puts(&raw, "From: ");
	for (int i = 0; i < 60000; i++)
		(void)buf_puts(&raw, "a:a:a:a:\n ");
	(void)buf_puts(&raw, "\nSubject: there\n\nstill read\n");
	read_text(buf_cstr(&raw));
	assert_non_null(strstr(buf_cstr(&headers), "Subject: there\n"));
	assert_non_null(strstr(buf_cstr(&body), "still read"));
	buf_done(&raw);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_groups_in_groups),
		cmocka_unit_test(test_encoded_words_and_quoted_printable),
		cmocka_unit_test(test_plain_is_preferred_to_html),
		cmocka_unit_test(test_html_without_tags_and_scripts),
		cmocka_unit_test(test_attachments_are_named_not_shown),
		cmocka_unit_test(test_unknown_charset_is_still_shown),
		cmocka_unit_test(test_base64_pieces_join),
	};

	return cmocka_run_group_tests(tests, NULL, teardown);
}
