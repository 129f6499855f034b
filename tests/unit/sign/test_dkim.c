/*
 * Signatures over awkward messages, checked by two verifiers that know nothing of our code.
 */
#include "sign/dkim.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/mem.h"
#include "mail/dotstuff.h"

#define HEAD                                                                                       \
	"From: Anna <anna@example.org>\r\nTo: bob@example.net\r\nSubject: test\r\n"                \
	"Date: Tue, 24 Nov 2026 03:12:07 +0000\r\nMessage-ID: <1@example.org>\r\n"

#define NINE(text) text text text text text text text text text

/* As a verifier sees them: what a client left without a line end gets one on the way. */
static const struct {
	const char *name;
	const char *text;
	size_t repeat; /* of the last line */
	bool perl;     /* Mail::DKIM is asked, too */
} messages[] = {
	{ "plain", HEAD "\r\nHello.\r\n", 0, true },
	{ "empty-body", HEAD "\r\n", 0, true },
	{ "no-body", HEAD, 0, true },
	{ "only-empty-lines", HEAD "\r\n\r\n\r\n\r\n", 0, true },
	{ "trailing-empty-lines", HEAD "\r\na\r\n\r\nb\r\n\r\n\r\n", 0, true },
	{ "blank-lines", HEAD "\r\n \t \r\na  \r\n\t\r\n", 0, true },
	{ "white-space", HEAD "\r\n  a \t b\t\tc  \r\n\td\r\n", 0, true },
	{ "no-final-line-end", HEAD "\r\nlast words", 0, true },
	{ "folded",
	  "From: Anna\r\n\t<anna@example.org>\r\nTo:bob@example.net,\r\n  carl@example.net\r\n"
	  "SUBJECT:  a \r\n  folded\r\n\tsubject \r\nDate: Tue, 24 Nov 2026 03:12:07 +0000\r\n"
	  "\r\nHello.\r\n",
	  0, true },
	{ "duplicates",
	  HEAD "Cc: c1@example.net\r\nCc: c2@example.net\r\nReferences: <1@x>\r\n\t<2@x>\r\n"
	       "List-Id: one\r\nList-Id: two\r\n\r\nHello.\r\n",
	  0, true },
	{ "two-subjects", "Subject: first\r\n" HEAD "\r\nHello.\r\n", 0, true },
	{ "nine-of-each",
	  NINE("To: a@example.net\r\nCc: c@example.net\r\n") HEAD NINE("Subject: same\r\n")
		  NINE("Content-Transfer-Encoding: 7bit\r\n") "References: <1@x>\r\n\r\nHello.\r\n",
	  0, true },
	{ "eight-bit", HEAD "X: gr\303\274n\r\n\r\nna\303\257ve \377\376 caf\303\251\r\n", 0,
	  true },
	{ "eight-bit-subject", "From: anna@example.org\r\nSubject: gr\303\274n\r\n\r\nHello.\r\n",
	  0, true },
	{ "dots", HEAD "\r\n.\r\n..\r\n.a\r\n", 0, true },
	{ "only-from", "From: anna@example.org\r\n\r\nHello.\r\n", 0, true },
	{ "empty-fields", "From: anna@example.org\r\nSubject:\r\nTo: \r\nCc:\r\n\t\r\n\r\nx\r\n", 0,
	  true },
	{ "mime",
	  HEAD "MIME-Version: 1.0\r\nContent-Type: multipart/mixed;\r\n boundary=\"b\"\r\n"
	       "List-Unsubscribe: <https://example.org/u>\r\n"
	       "List-Unsubscribe-Post: List-Unsubscribe=One-Click\r\n\r\n"
	       "--b\r\nContent-Type: text/plain\r\n\r\nx\r\n--b--\r\n",
	  0, true },
	{ "long-lines", HEAD "\r\n0123456789abcdef ", 5000, true },
	{ "many-lines", HEAD "\r\nThe same line again  and again\r\n", 4000, true },
};

static struct {
	char dir[64];
	struct dkim_key *rsa;
	struct dkim_key *ed;
} t;

static void write_file(const char *name, struct str text)
{
	char path[256];
	FILE *f;

	(void)snprintf(path, sizeof(path), "%s/%s", t.dir, name);
	f = fopen(path, "w");
	assert_non_null(f);
	assert_int_equal(fwrite(text.p, 1, text.n, f), text.n);
	assert_int_equal(fclose(f), 0);
}

static int set_up(void **state)
{
	AUTO_BUF records = BUF_INIT(8192);
	struct err err = ERR_INIT;

	(void)state;
	(void)snprintf(t.dir, sizeof(t.dir), "/tmp/weir-dkim.XXXXXX");
	if (mkdtemp(t.dir) == NULL || dkim_key_new(DKIM_RSA, &t.rsa, &err) < 0 ||
	    dkim_key_new(DKIM_ED25519, &t.ed, &err) < 0)
		return -1;
	(void)buf_puts(&records, "r1._domainkey.example.org ");
	(void)dkim_key_record(t.rsa, &records);
	(void)buf_puts(&records, "\ne1._domainkey.example.org ");
	(void)dkim_key_record(t.ed, &records);
	(void)buf_puts(&records, "\n");
	write_file("records", buf_str(&records));
	return 0;
}

static int run(const char *const argv[], char *out, size_t size)
{
	int pipes[2], status = -1;
	size_t n = 0;
	ssize_t got;
	pid_t pid;

	assert_int_equal(pipe(pipes), 0);
	pid = fork();
	if (pid == 0) {
		(void)dup2(pipes[1], STDOUT_FILENO);
		(void)close(pipes[0]);
		(void)execv(argv[0], (char *const *)(uintptr_t)argv);
		_exit(127);
	}
	(void)close(pipes[1]);
	while (n + 1 < size && (got = read(pipes[0], out + n, size - 1 - n)) > 0)
		n += (size_t)got;
	out[n] = '\0';
	(void)close(pipes[0]);
	(void)waitpid(pid, &status, 0);
	return status;
}

static int tear_down(void **state)
{
	char out[16];

	(void)state;
	dkim_key_free(&t.rsa);
	dkim_key_free(&t.ed);
	return run((const char *const[]){ "/bin/rm", "-r", t.dir, NULL }, out, sizeof(out));
}

static void put_message(struct buf *to, size_t k)
{
	struct str text = str_of(messages[k].text);
	struct str last = text;
	ptrdiff_t lf;

	(void)buf_put_str(to, text);
	while ((lf = str_index(last, '\n')) >= 0 && (size_t)lf + 1 < last.n)
		last = str_from(last.p + lf + 1, last.n - (size_t)lf - 1);
	for (size_t i = 0; i < messages[k].repeat; i++)
		(void)buf_put_str(to, last);
}

/* What a receiver stores: the message as it leaves, dots unstuffed again. */
static void put_as_sent(struct buf *to, struct str message)
{
	(void)buf_put_str(to, message);
	if (message.n > 0 && message.p[message.n - 1] != '\n')
		(void)buf_puts(to, "\r\n");
}

static void test_two_verifiers_agree(void **state)
{
	const struct dkim_identity ids[] = { { STR("example.org"), STR("e1"), t.ed },
					     { STR("example.org"), STR("r1"), t.rsa } };
	char root[512], script[600], out[16384];

	(void)state;
	for (size_t k = 0; k < ARRAY_LEN(messages); k++) {
		AUTO_BUF message = BUF_INIT(1 << 20);
		AUTO_BUF sent = BUF_INIT(1 << 20);
		char name[80];

		put_message(&message, k);
		assert_true(dkim_sign(buf_str(&message), ids, 2, 1790000000000, &sent));
		put_as_sent(&sent, buf_str(&message));
		(void)snprintf(name, sizeof(name), "%s.eml", messages[k].name);
		write_file(name, buf_str(&sent));
	}
	assert_non_null(getcwd(root, sizeof(root)));
	(void)snprintf(script, sizeof(script), "%s/tests/lib/dkim_verify.py", root);
	assert_int_equal(run((const char *const[]){ "/usr/bin/python3", script, t.dir, NULL }, out,
			     sizeof(out)),
			 0);
	for (size_t k = 0; k < ARRAY_LEN(messages); k++) {
		char want[160];

		(void)snprintf(want, sizeof(want), "%s pass,pass ", messages[k].name);
		if (strstr(out, want) == NULL)
			fail_msg("dkimpy on %s: wanted '%s' in\n%s", messages[k].name, want, out);
		/* it knows no Ed25519 */
		(void)snprintf(want, sizeof(want),
			       "%s pass,pass ed25519-sha256=invalid,rsa-sha256=pass",
			       messages[k].name);
		if (messages[k].perl && strstr(out, want) == NULL)
			fail_msg("Mail::DKIM on %s: wanted '%s' in\n%s", messages[k].name, want,
				 out);
	}
}

static void test_a_change_breaks_it(void **state)
{
	static const struct {
		const char *name;
		const char *before;
		const char *after;
	} changes[] = {
		{ "body", "Hello.", "Hallo." },
		{ "subject", "Subject: test", "Subject: text" },
		{ "second-from", "From: Anna", "From: eve@example.com\r\nFrom: Anna" },
		{ "added-subject", "To: bob", "Subject: more\r\nTo: bob" },
	};
	const struct dkim_identity id = { STR("example.org"), STR("e1"), t.ed };
	char root[512], script[600], out[4096];

	(void)state;
	assert_int_equal(
		run((const char *const[]){ "/bin/sh", "-c", "rm -f \"$0\"/*.eml", t.dir, NULL },
		    out, sizeof(out)),
		0);
	for (size_t k = 0; k < ARRAY_LEN(changes); k++) {
		AUTO_BUF sent = BUF_INIT(65536);
		AUTO_BUF changed = BUF_INIT(65536);
		char name[80];
		const char *at;

		assert_true(dkim_sign(STR(HEAD "\r\nHello.\r\n"), &id, 1, 1790000000000, &sent));
		(void)buf_puts(&sent, HEAD "\r\nHello.\r\n");
		at = strstr(buf_cstr(&sent), changes[k].before);
		assert_non_null(at);
		(void)buf_put(&changed, sent.p, (size_t)(at - sent.p));
		(void)buf_puts(&changed, changes[k].after);
		(void)buf_puts(&changed, at + strlen(changes[k].before));
		(void)snprintf(name, sizeof(name), "%s.eml", changes[k].name);
		write_file(name, buf_str(&changed));
	}
	assert_non_null(getcwd(root, sizeof(root)));
	(void)snprintf(script, sizeof(script), "%s/tests/lib/dkim_verify.py", root);
	(void)run((const char *const[]){ "/usr/bin/python3", script, t.dir, NULL }, out,
		  sizeof(out));
	assert_null(strstr(out, "pass"));
	assert_non_null(strstr(out, "second-from fail"));
}

static void test_lines_are_short(void **state)
{
	const struct dkim_identity id = { STR("example.org"), STR("r1"), t.rsa };
	AUTO_BUF out = BUF_INIT(65536);
	struct str rest, line;

	(void)state;
	assert_true(dkim_sign(STR(HEAD "\r\nHello.\r\n"), &id, 1, 1790000000000, &out));
	rest = buf_str(&out);
	assert_true(str_starts(rest, STR("DKIM-Signature: ")));
	while (rest.n > 0) {
		line = str_cut(&rest, '\n');
		assert_true(line.n <= 79);
		assert_int_equal(line.p[line.n - 1], '\r');
	}
}

static void test_keys_are_read_back(void **state)
{
	struct dkim_key *const keys[] = { t.rsa, t.ed };
	struct err err = ERR_INIT;

	(void)state;
	for (size_t k = 0; k < 2; k++) {
		AUTO_BUF pem = BUF_INIT(8192);
		AUTO_BUF record = BUF_INIT(8192);
		struct dkim_key *again = NULL;
		const char *why = NULL;

		assert_true(dkim_key_pem(keys[k], &pem) && dkim_key_record(keys[k], &record));
		assert_true(dkim_key_parse(buf_str(&pem), &again, &err) >= 0);
		assert_int_equal(dkim_key_algorithm(again), dkim_key_algorithm(keys[k]));
		assert_true(dkim_record_fits(again, buf_str(&record), &why));
		assert_false(dkim_record_fits(keys[1 - k], buf_str(&record), &why));
		assert_non_null(strstr(why, "another kind"));
		assert_false(dkim_record_fits(again, STR("v=DKIM1; k=rsa; p="), &why));
		assert_non_null(strstr(why, "revoked"));
		dkim_key_free(&again);
	}
}

static void test_what_is_no_key(void **state)
{
	static const char *const texts[] = {
		"", "hello", "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n",
		"-----BEGIN PRIVATE KEY-----\n"
		"MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgevZzL1gdAFr88hb2\n"
		"OF/2NxApJCzGCEDdfSp6VQO30hyhRANCAAQRWz+jn65BtOMvdyHKcvjBeBSDZH2r\n"
		"1RTwjmYSi9R/zpBnuQ4EiMnCqfMPWiZqB4QdbAd0E7oH50VpuZ1P087G\n"
		"-----END PRIVATE KEY-----\n", /* P-256 */
	};
	(void)state;
	for (size_t k = 0; k < ARRAY_LEN(texts); k++) {
		struct dkim_key *key = NULL;
		struct err err = ERR_INIT;

		assert_int_equal(dkim_key_parse(str_of(texts[k]), &key, &err), -ERR_INVALID);
		assert_non_null(strstr(err.msg, "RSA or Ed25519"));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_two_verifiers_agree),
		cmocka_unit_test(test_a_change_breaks_it),
		cmocka_unit_test(test_lines_are_short),
		cmocka_unit_test(test_keys_are_read_back),
		cmocka_unit_test(test_what_is_no_key),
	};
	return cmocka_run_group_tests(tests, set_up, tear_down);
}
