/*
 * Judging replies: replies.tsv has some nine hundred with what they mean; every rule has to be met
 * by one of them. Then the grammar of rules files, each mistake with its line, and what codes,
 * phases and providers do to an answer.
 */
#include "outcome/classify.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/buf.h"
#include "base/mem.h"
#include "outcome/reply_line.h"

#define REPLIES "tests/unit/outcome/replies.tsv"
#define RULES_LEAST 200

static int setup(void **state)
{
	struct classify_rules *rules = NULL;
	struct err err = ERR_INIT;

	if (classify_load(NULL, &rules, &err) < 0) {
		(void)fprintf(stderr, "%s\n", err.msg);
		return -1;
	}
	*state = rules;
	return 0;
}

static int teardown(void **state)
{
	struct classify_rules *rules = *state;

	classify_free(&rules);
	return 0;
}

static void judge(const struct classify_rules *rules, const char *line, struct classify_out *ret)
{
	AUTO_BUF text = BUF_INIT(SMTP_REPLY_TEXT_MAX);
	struct reply_line r;

	reply_line_read(str_of(line), &r, &text);
	classify(rules,
		 &(struct classify_in){ .code = r.code,
					.enhanced = str_of(r.enhanced),
					.text = buf_str(&text),
					.phase = r.phase },
		 ret);
}

static void mark(const struct classify_rules *rules, const char *name, bool *met)
{
	for (size_t i = 0; i < classify_rules_count(rules); i++)
		if (strcmp(classify_rule_name(rules, i), name) == 0)
			met[i] = true;
}

static void test_replies(void **state)
{
	const struct classify_rules *rules = *state;
	bool met[CLASSIFY_RULES_MAX] = { false };
	FILE *f = fopen(REPLIES, "re");
	char line[4096];
	unsigned wrong = 0;

	assert_non_null(f);
	while (fgets(line, sizeof(line), f) != NULL) {
		struct str rest = str_from(line, strcspn(line, "\n"));
		struct str name = str_cut(&rest, '\t');
		struct str action = str_cut(&rest, '\t');
		struct classify_out out;
		if (line[0] == '#')
			continue;
		line[strcspn(line, "\n")] = '\0';
		judge(rules, rest.p, &out);
		mark(rules, out.rule, met);
		if (str_eq(name, str_of(reply_class_name(out.reply_class))) &&
		    str_eq(action, str_of(reply_action_name(out.action))))
			continue;
		(void)printf("# %s %s by %s, not %.*s %.*s: %s\n",
			     reply_class_name(out.reply_class), reply_action_name(out.action),
			     out.rule, STR_ARG(name), STR_ARG(action), rest.p);
		wrong++;
	}
	(void)fclose(f);
	assert_int_equal(wrong, 0);
	assert_true(classify_rules_count(rules) >= RULES_LEAST);
	for (size_t i = 0; i < classify_rules_count(rules); i++)
		if (!met[i])
			fail_msg("no reply meets rule %s", classify_rule_name(rules, i));
}

/* --- what stands beside the text ----------------------------------------------------------------
 */

static void test_codes(void **state)
{
	static const struct {
		int code;
		enum classify_phase phase;
		enum reply_class given;
		const char *enhanced;
		const char *text;
		enum reply_class reply_class;
		enum reply_action action;
		bool hard;
	} cases[] = {
		/* the same words, for good and for now */
		{ 550, CLASSIFY_PHASE_UNKNOWN, REPLY_NONE, "", "User unknown", REPLY_BAD_MAILBOX,
		  REPLY_SUPPRESS, true },
		{ 450, CLASSIFY_PHASE_UNKNOWN, REPLY_NONE, "", "User unknown", REPLY_BAD_MAILBOX,
		  REPLY_RETRY, false },
		{ 552, CLASSIFY_PHASE_UNKNOWN, REPLY_NONE, "", "Mailbox full", REPLY_MAILBOX_FULL,
		  REPLY_RETRY, false },
		/* words before codes, codes before nothing */
		{ 550, CLASSIFY_PHASE_UNKNOWN, REPLY_NONE, "5.7.1", "user unknown",
		  REPLY_BAD_MAILBOX, REPLY_SUPPRESS, true },
		{ 550, CLASSIFY_PHASE_UNKNOWN, REPLY_NONE, "5.1.1", "listed at zen.spamhaus.org",
		  REPLY_BLOCK_LISTED, REPLY_FIX_SENDER, false },
		{ 550, CLASSIFY_PHASE_UNKNOWN, REPLY_NONE, "5.1.1", "x", REPLY_BAD_MAILBOX,
		  REPLY_SUPPRESS, true },
		{ 550, CLASSIFY_PHASE_UNKNOWN, REPLY_NONE, "", "x (#5.2.2)", REPLY_MAILBOX_FULL,
		  REPLY_RETRY, false },
		{ 550, CLASSIFY_PHASE_UNKNOWN, REPLY_NONE, "", "x 4.2.2 1.5.2.2 5.2.2.9",
		  REPLY_POLICY, REPLY_FIX_SENDER, true },
		{ 550, CLASSIFY_PHASE_UNKNOWN, REPLY_NONE, "", "", REPLY_POLICY, REPLY_FIX_SENDER,
		  true },
		/* what a rule says of its own: not to suppress for what may pass */
		{ 550, CLASSIFY_PHASE_UNKNOWN, REPLY_NONE, "", "rejected by recipient",
		  REPLY_POLICY, REPLY_SUPPRESS, true },
		{ 450, CLASSIFY_PHASE_UNKNOWN, REPLY_NONE, "", "rejected by recipient",
		  REPLY_POLICY, REPLY_FIX_SENDER, false },
		/* phases */
		{ 550, CLASSIFY_PHASE_RCPT, REPLY_NONE, "", "", REPLY_BAD_MAILBOX, REPLY_SUPPRESS,
		  true },
		{ 550, CLASSIFY_PHASE_MAIL, REPLY_NONE, "", "", REPLY_POLICY, REPLY_FIX_SENDER,
		  true },
		{ 554, CLASSIFY_PHASE_CONNECT, REPLY_NONE, "", "", REPLY_BLOCK_LISTED,
		  REPLY_FIX_SENDER, false },
		/* no reply: what failed is known */
		{ 0, CLASSIFY_PHASE_UNKNOWN, REPLY_NETWORK, "4.4.1", "user unknown", REPLY_NETWORK,
		  REPLY_RETRY, false },
		{ 0, CLASSIFY_PHASE_UNKNOWN, REPLY_BAD_DOMAIN, "5.1.2", "", REPLY_BAD_DOMAIN,
		  REPLY_SUPPRESS, true },
		{ 0, CLASSIFY_PHASE_UNKNOWN, REPLY_TLS, "", "", REPLY_TLS, REPLY_RETRY, false },
		{ 0, CLASSIFY_PHASE_UNKNOWN, REPLY_NONE, "5.6.3", "does not offer 8BITMIME",
		  REPLY_PROTOCOL, REPLY_FIX_SENDER, false },
		{ 0, CLASSIFY_PHASE_UNKNOWN, REPLY_NONE, "", "hm", REPLY_OTHER, REPLY_RETRY,
		  false },
		{ 250, CLASSIFY_PHASE_UNKNOWN, REPLY_NONE, "", "ok", REPLY_OTHER, REPLY_RETRY,
		  false },
	};
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct classify_out out;
		classify(*state,
			 &(struct classify_in){ .code = cases[i].code,
						.phase = cases[i].phase,
						.given = cases[i].given,
						.enhanced = str_of(cases[i].enhanced),
						.text = str_of(cases[i].text) },
			 &out);
		if (out.reply_class != cases[i].reply_class || out.action != cases[i].action ||
		    out.hard != cases[i].hard)
			fail_msg("case %zu: %s %s %s by %s", i, reply_class_name(out.reply_class),
				 reply_action_name(out.action), out.hard ? "hard" : "soft",
				 out.rule);
		assert_true(out.meaning[0] != '\0' && out.advice[0] != '\0' && out.rule[0] != '\0');
	}
}

static void test_providers(void **state)
{
	static const struct {
		const char *provider;
		const char *text;
		const char *rule;
	} cases[] = {
		{ "google.com", "the user is receiving mail too quickly", "google-user-rate" },
		{ "mx1.GOOGLE.com", "the user is receiving mail too quickly", "google-user-rate" },
		{ "notgoogle.com", "the user is receiving mail too quickly", "rate" },
		{ "", "the user is receiving mail too quickly - gsmtp", "google-user-rate" },
		{ "", "the user is receiving mail too quickly", "rate" },
	};
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct classify_out out;
		classify(*state,
			 &(struct classify_in){ .provider = str_of(cases[i].provider),
						.code = 450,
						.text = str_of(cases[i].text) },
			 &out);
		assert_string_equal(out.rule, cases[i].rule);
	}
}

static void test_classes(void **state)
{
	struct classify_out out;

	(void)state;
	for (unsigned i = 1; i < REPLY_CLASS__COUNT; i++) {
		const char *name = reply_class_name((enum reply_class)i);
		assert_int_equal(reply_class_find(str_of(name)), i);
		for (int code = 0; code <= 550; code += 275 * 2) {
			classify_class((enum reply_class)i, code, &out);
			assert_int_equal(out.reply_class, i);
			assert_true(out.meaning[0] != '\0' && out.advice[0] != '\0');
		}
		classify_class((enum reply_class)i, 450, &out);
		assert_false(out.hard);
		assert_int_not_equal(out.action, REPLY_SUPPRESS);
	}
	assert_int_equal(reply_class_find(STR("")), REPLY_NONE);
	assert_int_equal(reply_class_find(STR("bad mailbox")), REPLY_NONE);
}

/* --- rules files ---------------------------------------------------------------------------------
 */

static const struct {
	const char *text;
	const char *message; /* NULL: it is right */
} files[] = {
	{ "rule a\n text x\n class policy\n", NULL },
	{ "# only this\r\n\r\nrule a\r\n\ttext x\r\n\tclass policy\r\n", NULL },
	{ "provider p\nsite a.example b.example\nhint x y\nrule a\ncode 550 5.1.*\nat p\nclass "
	  "policy",
	  NULL },
	{ "rule a\ntext x\nclass policy\nbuiltin\n", NULL },
	{ "builtin\n", NULL },
	{ "rule a\nphase rcpt\nclass policy\nkind soft\naction retry\nmeaning M.\nadvice A.\n",
	  NULL },
	{ "rule a\ntext x\n | y | z\nwith k\n| b\nclass policy\n", NULL },
	{ "rule a\ntext x\nclass policy\n| y\n", "f:4: a rule has no '|'" },
	{ "rule a\n| y\n", "f:2: a rule has no '|'" },
	{ "", "f: no rule in it; `builtin` takes ours" },
	{ "text x\n", "f:1: 'text' stands in no block: begin one with `rule NAME`" },
	{ "rule\n", "f:1: 'rule' needs a value" },
	{ "rule A\n", "f:1: a rule's name has lower-case letters, digits and hyphens, at most 64" },
	{ "rule a\ntext x\n", "f:1: rule a has no class" },
	{ "\nrule a\nclass policy\n",
	  "f:2: rule a would fit everything: give it a text or a code" },
	{ "rule a\ntext x\nclass policy\nrule a\n", "f:4: there is a rule a already" },
	{ "rule a\ntext x\nclass polity\n", "f:3: 'polity' is no class; there are: bad-mailbox" },
	{ "rule a\ntext\n", "f:2: 'text' needs a value" },
	{ "rule a\ntext | y\n", "f:2: a phrase begins and ends with a word: ''" },
	{ "rule a\ntext x .. | y\n", "f:2: a phrase begins and ends with a word: 'x ..'" },
	{ "rule a\ntext .. x\n", "f:2: a phrase begins and ends with a word: '.. x'" },
	{ "rule a\ntext x ! y\n", "f:2: no word in '!'" },
	{ "rule a\ntext k*\n", "f:2: 'k*': 2 letters or more before the *" },
	{ "rule a\ntext b c d e f g h i j k l m n\n", "f:2: a phrase has at most 12 words" },
	{ "rule a\ntext k .. b .. c .. d .. e\n", "f:2: a phrase has at most 3 gaps (..)" },
	{ "rule a\ntext \\xZZ\n", "f:2: after a backslash come x and two hexadecimal digits" },
	{ "rule a\ntext \\x4\n", "f:2: after a backslash come x and two hexadecimal digits" },
	{ "rule a\ncode 55\n", "f:2: '55' is no code: 550, 4xx, none, 5.1.1, x.2.2 and 5.7.* are" },
	{ "rule a\ncode 250\n", "f:2: '250' is no code" },
	{ "rule a\ncode 5.8.1\n", "f:2: '5.8.1' is no code" },
	{ "rule a\ncode 5.1\n", "f:2: '5.1' is no code" },
	{ "rule a\nphase data end\n",
	  "f:2: 'end' is no phase: unknown, connect, mail, rcpt, data are" },
	{ "rule a\nat nobody\n", "f:2: no provider 'nobody' stands above" },
	{ "rule a\naction wait\n",
	  "f:2: 'wait' is no action: retry, suppress, fix-sender, slow-down are" },
	{ "rule a\nkind warm\n", "f:2: kind is hard or soft, not 'warm'" },
	{ "rule a\nmeaning x\nmeaning y\n", "f:3: the rule has this text already" },
	{ "rule a\ncolour x\n", "f:2: a rule has no 'colour'; it has: text with" },
	{ "provider p\ntext x\n", "f:2: a provider has no 'text'; it has: site hint" },
	{ "provider p\nprovider p\n", "f:2: there is a provider p already" },
	{ "builtin\nbuiltin\n", "f:2: the built-in rules can stand here only once" },
	{ "rule spf\ntext x\nclass policy\nbuiltin\n", "there is a rule spf already" },
};

static void test_files(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(files); i++) {
		AUTO(classify) struct classify_rules *rules = NULL;
		struct err err = ERR_INIT;
		int rc = classify_parse("f", str_of(files[i].text), &rules, &err);
		if (files[i].message == NULL && rc < 0)
			fail_msg("%s\n%s", files[i].text, err.msg);
		if (files[i].message == NULL)
			continue;
		assert_int_equal(rc, -ERR_CONFIG);
		assert_null(rules);
		if (strstr(err.msg, files[i].message) == NULL)
			fail_msg("%s\ngot  %s\nwant %s", files[i].text, err.msg, files[i].message);
	}
}

static void test_file_with_a_zero_byte(void **state)
{
	AUTO(classify) struct classify_rules *rules = NULL;
	struct err err = ERR_INIT;

	(void)state;
	assert_int_equal(classify_parse("f", STR("rule a\0\n"), &rules, &err), -ERR_CONFIG);
	assert_string_equal(err.msg, "f:1: a zero byte: this is no text file");
}

/* Rules of one's own go before the built-in ones, and say what they want. */
static void test_own_rules(void **state)
{
	static const char text[] = "rule mine\n"
				   "  text   user unknown\n"
				   "  with   today | tonight\n"
				   "         | this evening\n"
				   "  without never\n"
				   "  code   550 5.1.1\n"
				   "  class  policy\n"
				   "  action slow-down\n"
				   "  kind   soft\n"
				   "  meaning It is so # really.\n"
				   "  advice Do it.\n"
				   "builtin\n";
	AUTO(classify) struct classify_rules *rules = NULL;
	struct err err = ERR_INIT;
	char path[] = "/tmp/weir-rules-XXXXXX";
	int fd = mkstemp(path);
	struct classify_out out;

	(void)state;
	assert_true(fd >= 0);
	assert_int_equal(write(fd, text, strlen(text)), (ssize_t)strlen(text));
	(void)close(fd);
	if (classify_load(path, &rules, &err) < 0)
		fail_msg("%s", err.msg);
	(void)unlink(path);
	judge(rules, "550 5.1.1 user unknown, this evening", &out);
	assert_string_equal(out.rule, "mine");
	judge(rules, "550 5.1.1 user unknown, tonight", &out);
	assert_string_equal(out.rule, "mine");
	assert_int_equal(out.reply_class, REPLY_POLICY);
	assert_int_equal(out.action, REPLY_SLOW_DOWN);
	assert_false(out.hard);
	assert_string_equal(out.meaning, "It is so # really.");
	assert_string_equal(out.advice, "Do it.");
	judge(rules, "550 5.1.1 user unknown", &out);
	assert_string_equal(out.rule, "unknown-user");
	judge(rules, "550 5.1.1 user unknown today, never tomorrow", &out);
	assert_string_equal(out.rule, "unknown-user");
	judge(rules, "551 5.1.1 user unknown today", &out);
	assert_string_equal(out.rule, "unknown-user");
	assert_int_equal(classify_load("/nonexistent/rules", &rules, &err), -ERR_IO);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_replies),	  cmocka_unit_test(test_codes),
		cmocka_unit_test(test_providers), cmocka_unit_test(test_classes),
		cmocka_unit_test(test_files),	  cmocka_unit_test(test_file_with_a_zero_byte),
		cmocka_unit_test(test_own_rules),
	};
	return cmocka_run_group_tests(tests, setup, teardown);
}
