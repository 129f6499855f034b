/*
 * Delivery reports, read back by Python's email package: what we write, an independent parser has
 * to find, field by field, and nothing else.
 */
#include "mail/dsn.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/mem.h"

#define OUT_MAX (4u << 20)
#define AT 1795489927000ll /* Tue, 24 Nov 2026 03:12:07 +0000 */
#define PARSER "tests/lib/parse_report.py"

/* Runs the parser on what was composed; its output is taken into ret. */
static void parse(struct str message, struct buf *ret)
{
	char path[] = "/tmp/weir-dsn-XXXXXX";
	int fd = mkstemp(path);
	int out[2];
	int status = 0;
	ssize_t n;
	pid_t pid;

	assert_true(fd >= 0);
	(void)unlink(path);
	assert_int_equal(write(fd, message.p, message.n), (ssize_t)message.n);
	assert_int_equal(lseek(fd, 0, SEEK_SET), 0);
	assert_int_equal(pipe(out), 0);
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		(void)dup2(fd, STDIN_FILENO);
		(void)dup2(out[1], STDOUT_FILENO);
		(void)close(out[0]);
		(void)setenv("PYTHONIOENCODING", "utf-8", 1);
		(void)execl("/usr/bin/python3", "python3", PARSER, (char *)NULL);
		_exit(127);
	}
	(void)close(out[1]);
	(void)close(fd);
	while (buf_reserve(ret, 65536) && (n = read(out[0], ret->p + ret->n, 65536)) > 0)
		ret->n += (size_t)n;
	assert_false(ret->full);
	(void)buf_puts(ret, "");
	(void)close(out[0]);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	if (!WIFEXITED(status) || WEXITSTATUS(status) != 0)
		fail_msg("the parser failed (%d) on:\n%.*s", status, STR_ARG(message));
}

static bool has_line(const struct buf *b, const char *line)
{
	struct str rest = buf_str(b);

	while (rest.n > 0)
		if (str_eq(str_cut(&rest, '\n'), str_of(line)))
			return true;
	return false;
}

static void check(const struct dsn *d, const char *const *want)
{
	AUTO_BUF message = BUF_INIT(OUT_MAX);
	AUTO_BUF got = BUF_INIT(OUT_MAX);

	assert_true(dsn_compose(d, &message));
	parse(buf_str(&message), &got);
	for (; *want != NULL; want++) {
		bool absent = (*want)[0] == '!';
		if (!absent && !has_line(&got, *want))
			fail_msg("missing: %s\n%s\n---\n%s", *want, buf_cstr(&got),
				 buf_cstr(&message));
		if (absent && strstr(buf_cstr(&got), *want + 1) != NULL)
			fail_msg("there: %s\n%s", *want + 1, buf_cstr(&got));
	}
	if (strstr(buf_cstr(&got), "\ndefect=") != NULL)
		fail_msg("%s", buf_cstr(&got));
}

#define ORIGINAL                                                                                   \
	"Received: from a by b; now\r\nSubject: Your order\r\nMessage-ID: <1@shop.example>\r\n"    \
	"To: x@corp.example\r\n\r\nthe body\r\n"

/* Statement expressions would do; a function keeps it plain. */
static struct dsn report(const struct dsn_rcpt *rcpts, size_t n, const char *original)
{
	return (struct dsn){ .relay = STR("relay.test.example"),
			     .message_id = STR("<0N4XK2M8QF@relay.test.example>"),
			     .to = STR("app@shop.example"),
			     .now_ms = AT + 60000,
			     .arrived_ms = AT,
			     .rcpts = rcpts,
			     .rcpts_n = n,
			     .original = str_of(original) };
}

static void test_failure(void **state)
{
	(void)state;
	const struct dsn_rcpt rcpt = { .action = DSN_FAILED,
				       .address = STR("x@corp.example"),
				       .orcpt = STR("rfc822;x+2Bold@corp.example"),
				       .status = STR("5.1.1"),
				       .code = 550,
				       .enhanced = STR("5.1.1"),
				       .diagnostic = STR("<x@corp.example>: no such\nuser here"),
				       .remote = STR("mx.corp.example."),
				       .at_ms = AT + 1000 };
	struct dsn d = report(&rcpt, 1, ORIGINAL);
	static const char *const want[] = {
		"Date=Tue, 24 Nov 2026 03:13:07 +0000",
		"From=Mail Delivery System <postmaster@relay.test.example>",
		"To=app@shop.example",
		"Subject=Not delivered: Your order",
		"Message-ID=<0N4XK2M8QF@relay.test.example>",
		"In-Reply-To=<1@shop.example>",
		"References=<1@shop.example>",
		"Auto-Submitted=auto-replied",
		"MIME-Version=1.0",
		"type=multipart/report",
		"report-type=delivery-status",
		"long=False",
		"ascii=True",
		"names=Date,From,To,Subject,Message-ID,In-Reply-To,References,Auto-Submitted,MIME-"
		"Version,Content-Type",
		"parts=3",
		"types=text/plain,message/delivery-status,text/rfc822-headers",
		"encodings=7bit,7bit,7bit",
		"text=x@corp.example",
		"text=550 5.1.1 <x@corp.example>: no such",
		"text=550 5.1.1 user here",
		"text=Check the address for a typing error; the mailbox does not exist.",
		"0.Original-Envelope-Id=QQ 314159",
		"0.Reporting-MTA=dns; relay.test.example",
		"0.Arrival-Date=Tue, 24 Nov 2026 03:12:07 +0000",
		"1.Original-Recipient=rfc822; x+old@corp.example",
		"1.Final-Recipient=rfc822; x@corp.example",
		"1.Action=failed",
		"1.Status=5.1.1",
		"1.Remote-MTA=dns; mx.corp.example",
		"1.Diagnostic-Code=smtp; 550 5.1.1 <x@corp.example>: no such user here",
		"1.Last-Attempt-Date=Tue, 24 Nov 2026 03:12:08 +0000",
		"original=Received: from a by b; now\\nSubject: Your order\\nMessage-ID: "
		"<1@shop.example>\\nTo: x@corp.example\\n",
		"!the body",
		"!Will-Retry-Until",
		NULL,
	};
	d.envid = STR("QQ+20314159");
	check(&d, want);
}

static void test_whole_original(void **state)
{
	(void)state;
	const struct dsn_rcpt rcpt = { .action = DSN_FAILED, .address = STR("x@corp.example") };
	struct dsn d = report(&rcpt, 1, ORIGINAL);
	static const char *const want[] = {
		"types=text/plain,message/delivery-status,message/rfc822",
		"original=Received: from a by b; now\\nSubject: Your order\\nMessage-ID: "
		"<1@shop.example>\\nTo: x@corp.example\\n\\nthe body\\n",
		"1.Status=5.0.0",
		"!Diagnostic-Code",
		"!Remote-MTA",
		"!Last-Attempt-Date",
		"!Original-Recipient",
		"!Original-Envelope-Id",
		NULL,
	};
	d.full = true;
	check(&d, want);
}

/* Delayed beside failed beside delivered; no reply at all; the peer an address. */
static void test_several(void **state)
{
	(void)state;
	const struct dsn_rcpt rcpts[] = {
		{ .action = DSN_FAILED,
		  .address = STR("a@corp.example"),
		  .status = STR("5.2.2"),
		  .code = 552,
		  .diagnostic = STR("full"),
		  .remote = STR("192.0.2.7") },
		{ .action = DSN_FAILED,
		  .address = STR("b@corp.example"),
		  .status = STR("5.2.2"),
		  .code = 552,
		  .diagnostic = STR("full"),
		  .remote = STR("192.0.2.7") },
		{ .action = DSN_DELAYED,
		  .address = STR("c@down.example"),
		  .status = STR("4.4.1"),
		  .diagnostic = STR("connection refused"),
		  .remote = STR("2001:db8::1"),
		  .until_ms = AT + 86400000 },
		{ .action = DSN_DELIVERED, .address = STR("d@fast.example"), .code = 250 },
		{ .action = DSN_FAILED,
		  .address = STR("g@fast.example"),
		  .code = 550,
		  .enhanced = STR("5.7.1"),
		  .diagnostic = STR("550 5.7.1 no\n550-5.7.1 never") },
		{ .action = DSN_RELAYED, .address = STR("e@fast.example"), .status = STR("x") },
		{ .action = DSN_EXPANDED, .address = STR("f@fast.example") },
	};
	struct dsn d = report(rcpts, ARRAY_LEN(rcpts), ORIGINAL);
	static const char *const want[] = {
		"Subject=Not delivered: Your order",
		"text=a@corp.example",
		"text=b@corp.example",
		"text=552 full",
		"text=192.0.2.7 answered:",
		"text=The mailbox is full. Reach the recipient by another way, or send it",
		"text=connection refused",
		"text=You need not do anything: it is tried again until",
		"text=Wed, 25 Nov 2026 03:12:07 +0000.",
		"1.Remote-MTA=dns; [192.0.2.7]",
		"1.Diagnostic-Code=smtp; 552 full",
		"2.Final-Recipient=rfc822; b@corp.example",
		"3.Remote-MTA=dns; [2001:db8::1]",
		"3.Action=delayed",
		"3.Status=4.4.1",
		"3.Diagnostic-Code=x-weir; connection refused",
		"3.Will-Retry-Until=Wed, 25 Nov 2026 03:12:07 +0000",
		"4.Action=delivered",
		"4.Status=2.0.0",
		"4.Diagnostic-Code=smtp; 250",
		"5.Diagnostic-Code=smtp; 550 5.7.1 no 550-5.7.1 never",
		"text=550 5.7.1 no",
		"text=550 5.7.1 never",
		"6.Action=relayed",
		"6.Status=2.0.0",
		"7.Action=expanded",
		NULL,
	};
	check(&d, want);
}

/* A peer, a client and a sender who try to write fields and parts of their own. */
static void test_injection(void **state)
{
	(void)state;
	const struct dsn_rcpt rcpt = {
		.action = DSN_FAILED,
		.address = STR("x@corp.example\r\nAction: delivered"),
		.orcpt = STR("rfc822;x+0D+0AAction: delivered@y"),
		.status = STR("5.1.1\r\nX: y"),
		.code = 550,
		.enhanced = STR("5.1.1\r\nX: y"),
		.diagnostic = STR("no\r\n\r\nFinal-Recipient: rfc822; z@y\n\n\x1b]0;t\x07--=_weir_0"
				  "\n--=_weir_00--\n"),
		.remote = STR("mx\r\nX: y"),
	};
	struct dsn d = report(&rcpt, 1,
			      "Subject: a\r\nMessage-ID: <a\x07@b>\r\nX: --=_weir_1\r\n"
			      "Y: =_weir_2 =_weir_3 =_weir_4 =_weir_5 =_weir_6 =_weir_7\r\n"
			      "Z: =_weir_8 =_weir_9 =_weir_a =_weir_b =_weir_c =_weir_d\r\n"
			      "W: =_weir_e =_weir_f =_weir_f =_weir_1\r\n\r\nbody\r\n");
	static const char *const want[] = {
		"parts=3",
		"names=Date,From,To,Subject,Message-ID,Auto-Submitted,MIME-Version,Content-Type",
		"To=a?Bcc",
		"1.Final-Recipient=rfc822; x@corp.example Action: delivered",
		"1.Original-Recipient=rfc822; x+0D+0AAction: delivered@y",
		"1.Status=5.0.0",
		"1.Remote-MTA=dns; mx X: y",
		"1.Diagnostic-Code=smtp; 550 no Final-Recipient: rfc822; z@y ]0;t --=_weir_0 "
		"--=_weir_00--",
		"0.Original-Envelope-Id=a+0Ab",
		"!1.Action=delivered",
		"!2.",
		"!\x1b",
		NULL,
	};
	d.to = STR("a\nBcc: c@d.example");
	d.envid = STR("a+0Ab");
	check(&d, want);
}

/* Replies that are not ASCII: the people's part has them as text, the programs' part escaped. */
static void test_other_bytes(void **state)
{
	(void)state;
	const struct dsn_rcpt rcpt = { .action = DSN_FAILED,
				       .address = STR("x@corp.example"),
				       .status = STR("5.1.1"),
				       .code = 550,
				       .diagnostic = STR("gibt\u00e9s nicht \xd3\xc3") };
	struct dsn d = report(&rcpt, 1,
			      "Subject: =?utf-8?Q?Gr=C3=BC=C3=9Fe?= an alle, die das hier "
			      "lesen, und noch einmal\r\n\r\nk\xc3\xb6rper\r\n");
	static const char *const want[] = {
		"ascii=True",
		"Subject=Not delivered: Grüße an alle, die das hier lesen, und noch einmal",
		"text=550 gibtés nicht \xef\xbf\xbd\xef\xbf\xbd",
		"encodings=quoted-printable,7bit,7bit",
		"1.Diagnostic-Code=smtp; 550 gibt\\x{E9}s nicht \\xD3\\xC3",
		NULL,
	};
	static const char *const full[] = {
		"ascii=False",
		"Content-Transfer-Encoding=8bit",
		"types=text/plain,message/delivery-status,message/rfc822",
		"encodings=quoted-printable,7bit,8bit",
		NULL,
	};
	check(&d, want);
	d.full = true;
	check(&d, full);
}

static void test_headers_with_other_bytes(void **state)
{
	(void)state;
	const struct dsn_rcpt rcpt = { .action = DSN_FAILED, .address = STR("x@corp.example") };
	struct dsn utf8 = report(&rcpt, 1, "Subject: Gr\xc3\xbc\xc3\x9f\x65\r\n\r\nbody\r\n");
	struct dsn latin = report(&rcpt, 1, "Subject: Gr\xfc\xdf\x65=\r\nX: a \r\n\r\nbody\r\n");
	static const char *const global[] = {
		"Subject=Not delivered: Grüße",
		"types=text/plain,message/delivery-status,message/global-headers",
		"encodings=quoted-printable,7bit,8bit",
		NULL,
	};
	static const char *const encoded[] = {
		"ascii=True",
		"types=text/plain,message/delivery-status,text/rfc822-headers",
		"encodings=quoted-printable,7bit,quoted-printable",
		"original=Subject: Gr\\xfc\\xdfe=\\nX: a \\n",
		NULL,
	};
	static const char *const whole[] = {
		"types=text/plain,message/delivery-status,message/global",
		NULL,
	};
	check(&utf8, global);
	check(&latin, encoded);
	utf8.full = true;
	check(&utf8, whole);
}

/* RFC 6533: addresses outside ASCII, with a sender who can and one who cannot take UTF-8. */
static void test_international_addresses(void **state)
{
	(void)state;
	const struct dsn_rcpt rcpt = { .action = DSN_FAILED,
				       .address = STR("дом@пример.example"),
				       .orcpt = STR("utf-8;дом@пример.example"),
				       .code = 550,
				       .diagnostic = STR("нет") };
	struct dsn d = report(&rcpt, 1, ORIGINAL);
	static const char *const escaped[] = {
		"report-type=delivery-status",
		"ascii=True",
		"1.Final-Recipient=utf-8; "
		"\\x{434}\\x{43E}\\x{43C}@\\x{43F}\\x{440}\\x{438}\\x{43C}\\x{435}\\x{440}.example",
		"1.Original-Recipient=utf-8; "
		"\\x{434}\\x{43E}\\x{43C}@\\x{43F}\\x{440}\\x{438}\\x{43C}\\x{435}\\x{440}.example",
		"text=дом@пример.example",
		NULL,
	};
	static const char *const global[] = {
		"To=я@пример.example",
		"report-type=global-delivery-status",
		"types=text/plain,message/global-delivery-status,text/rfc822-headers",
		"encodings=quoted-printable,8bit,7bit",
		"1.Final-Recipient=utf-8; дом@пример.example",
		"1.Diagnostic-Code=smtp; 550 нет",
		NULL,
	};
	check(&d, escaped);
	d.to = STR("я@пример.example");
	check(&d, global);
}

/* Long lines are folded, longer words cut; nothing is lost but the space where they are cut. */
static void test_long(void **state)
{
	(void)state;
	char word[2001];
	char text[8001];
	struct dsn_rcpt rcpt = { .action = DSN_FAILED,
				 .address = STR("x@corp.example"),
				 .code = 554 };
	struct dsn d = report(&rcpt, 1, "");
	static const char *const want[] = { "long=False", "parts=3", "original=", NULL };

	memset(word, 'w', sizeof(word) - 1);
	word[sizeof(word) - 1] = '\0';
	for (size_t i = 0; i < 8000; i++)
		text[i] = i % 7 == 6 ? ' ' : 'x';
	text[8000] = '\0';
	rcpt.diagnostic = str_of(word);
	check(&d, want);
	rcpt.diagnostic = str_of(text);
	check(&d, want);
	rcpt.remote = str_of(word);
	d.original = (struct str){ NULL, 0 };
	check(&d, want);
}

/* A boundary that occurs in the message would end the report: every candidate is in there. */
static void test_boundary(void **state)
{
	(void)state;
	const struct dsn_rcpt rcpt = { .action = DSN_FAILED, .address = STR("x@corp.example") };
	AUTO_BUF original = BUF_INIT(OUT_MAX);
	AUTO_BUF message = BUF_INIT(OUT_MAX);
	struct dsn d;
	const char *at;

	(void)buf_puts(&original, "Subject: x\r\n\r\n");
	for (unsigned i = 0; i < 0x1000; i++)
		(void)buf_printf(&original, "--=_weir_%03x\r\n--=_weir_%03x--\r\n", i, i);
	d = report(&rcpt, 1, buf_cstr(&original));
	d.full = true;
	assert_true(dsn_compose(&d, &message));
	at = strstr(buf_cstr(&message), "boundary=\"");
	assert_non_null(at);
	at += strlen("boundary=\"");
	AUTO_FREE char *boundary = xstrndup(at, strcspn(at, "\""));
	assert_null(strstr(buf_cstr(&original), boundary));
	check(&d, (const char *const[]){ "parts=3", NULL });
}

static void test_limit(void **state)
{
	(void)state;
	const struct dsn_rcpt rcpt = { .action = DSN_FAILED, .address = STR("x@corp.example") };
	struct dsn d = report(&rcpt, 1, ORIGINAL);
	AUTO_BUF whole = BUF_INIT(OUT_MAX);

	assert_true(dsn_compose(&d, &whole));
	for (size_t limit = 0; limit < whole.n; limit += 7) {
		AUTO_BUF out = BUF_INIT(limit);
		assert_false(dsn_compose(&d, &out));
	}
	AUTO_BUF out = BUF_INIT(whole.n);
	assert_true(dsn_compose(&d, &out));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_failure),
		cmocka_unit_test(test_whole_original),
		cmocka_unit_test(test_several),
		cmocka_unit_test(test_injection),
		cmocka_unit_test(test_other_bytes),
		cmocka_unit_test(test_headers_with_other_bytes),
		cmocka_unit_test(test_international_addresses),
		cmocka_unit_test(test_long),
		cmocka_unit_test(test_boundary),
		cmocka_unit_test(test_limit),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
