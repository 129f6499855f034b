/* Texts read as words, and phrases found in them whatever their spelling and encoding. */
#include "outcome/words.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/buf.h"
#include "base/mem.h"

static const struct {
	const char *text;
	const char *words; /* joined by '/' */
} texts[] = {
	{ "", "" },
	{ " ,.; ", "" },
	{ "User unknown.", "user/unknown" },
	{ "over-quota/OVER_QUOTA", "over/quota/over/quota" },
	{ "doesn't can\xe2\x80\x99t 'x' o'", "does/not/can/not/x/o" },
	{ "<anna.b+c@x.example>: no", "@/no" },
	{ "(anna@x.example)", "@" },
	{ "to=anna@x.example, no", "@/no" },
	{ "k @ b", "k/b" },
	{ "anna@ b", "anna/b" },
	{ "[192.0.2.1] and ip=x.xx.xxx.1.", "#/and/ip/#" },
	{ "[2001:db8::9]:25, 1::2", "#/25/1/2" },
	{ "v1.2.3.4 1.2.3.4.5 1.2.3.4a 1.2.3 1000.1.1.1 1.2.3.4.zen.example",
	  "v1/2/3/4/1/2/3/4/5/1/2/3/4a/1/2/3/1000/1/1/1/1/2/3/4/zen/example" },
	{ "12:30:05:11 k:b", "#/k/b" },
	{ "mx-relay.spam.x.example denied", "x/example/denied" },
	{ "http://relay.x.example:25/spam", "http/x/example/25/spam" },
	{ "No relay.Go away relay.x", "no/relay/go/away/relay/x" },
	{ "RESOLVER.RST.RelayDenied.User1", "resolver/rst/relaydenied/user1" },
	{ "Message.rejected.spam", "message/rejected/spam" }, /* a host's last label is none here */
	{ "at mx.example.quota", "at/example/quota" },
	{ "http://x.example/?p=NoSuchUser", "http/x/example/p/nosuchuser" },
	{ "Boîte pleine, Postämter Über groß", "boite/pleine/postaemter/ueber/gross" },
	{ "Bo\xee"
	  "te pleine",
	  "boite/pleine" },
	{ "buz\xc3\xb3n ca\xc3\xb1\xc3\xb3n \xc5\x82\xc3\xb3"
	  "d\xc5\xba",
	  "buzon/canon/lodz" },
	{ "\xd0\x9f\xd0\xbe\xd0\xbb\xd1\x8c", "\xd0\xbf\xd0\xbe\xd0\xbb\xd1\x8c" },
	{ "\xe7\x94\xa8\xe6\x88\xb7x", "\xe7\x94\xa8/\xe6\x88\xb7/x" },
	{ "\xb2\xbb\xb4\xe6", "\xb2/\xbb/\xb4/\xe6" },
};

static void join(const char *text, struct buf *ret)
{
	struct words w;

	words_of(str_of(text), &w);
	for (unsigned i = 0; i < w.n; i++) {
		(void)buf_puts(ret, i > 0 ? "/" : "");
		(void)buf_put_str(ret, w.w[i]);
	}
}

/* Every row is found, which a row out of order is not, and is the same in a phrase. */
static void test_same_words(void **state)
{
	static const char *const rows[][2] = {
#define SAME(word, as) { "x " word " y", "x " as " y" },
#include "outcome/same_words.def"
#define SAME_PAIR(first, second, as)                                                               \
	{ "x " first " " second " y", "x " as " y" }, { "x " first "-" second " y", "x " as " y" },
#include "outcome/same_words.def"
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		AUTO_BUF got = BUF_INIT(4096);
		AUTO_BUF want = BUF_INIT(4096);
		struct phrasebook *b = phrasebook_new();
		struct phrase_set set;
		struct words w;
		unsigned phrase;
		join(rows[i][0], &got);
		join(rows[i][1], &want);
		assert_string_equal(buf_cstr(&got), buf_cstr(&want));
		assert_int_equal(phrasebook_add(b, str_of(rows[i][0]), &phrase, NULL), 0);
		words_of(str_of(rows[i][1]), &w);
		phrases_find(b, &w, &set);
		assert_true(phrase_set_has(&set, phrase));
		phrasebook_free(&b);
	}
}

static void test_words(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
		AUTO_BUF got = BUF_INIT(4096);
		join(texts[i].text, &got);
		assert_string_equal(buf_cstr(&got), texts[i].words);
	}
}

static const struct {
	const char *phrase;
	const char *text;
	bool found;
} phrases[] = {
	{ "user unknown", "550 User unknown", true },
	{ "user unknown", "user: unknown!", true },
	{ "user unknown", "user is unknown", false },
	{ "the e-mail not valid", "Email invalid", true },
	{ "the block*", "blocked", true },
	{ "user .. the block*", "user is blocked", true },
	{ "an @ not found", "anna@x.example not found", true },
	{ "user unknown", "superuser unknown", false },
	{ "user unknown", "user", false },
	{ "user unknown", "user user unknown", true },
	{ "user .. unknown", "user unknown", true },
	{ "user .. unknown", "user k b c d e f g h unknown", true },
	{ "user .. unknown", "user k b c d e f g h i unknown", false },
	{ "k .. b c", "k b x b c", true },
	{ "k .. b .. c", "k c b c", true },
	{ "k .. b .. c", "k c b", false },
	{ "block*", "blocked", true },
	{ "block*", "block", true },
	{ "block*", "bloc", false },
	{ "is block* by", "it is blocked by us", true },
	{ "ab*", "abc", true },
	{ "@ not found", "anna@x.example not found", true },
	{ "@ not found", "anna not found", false },
	{ "doesn't exist", "DOESNT EXIST", true },
	{ "boite pleine", "Boîte  PLEINE", true },
	{ "\xd3\xc3\xbb\xa7\xb2\xbb\xb4\xe6\xd4\xda",
	  "x\xb5\xc4\xd3\xc3\xbb\xa7\xb2\xbb\xb4\xe6\xd4\xda", true },
	{ "\xe4\xb8\x8d\xe5\xad\x98\xe5\x9c\xa8",
	  "\xe7\x94\xa8\xe6\x88\xb7\xe4\xb8\x8d\xe5\xad\x98\xe5\x9c\xa8", true },
};

static void test_phrases(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(phrases); i++) {
		struct phrasebook *b = phrasebook_new();
		struct err err = ERR_INIT;
		struct phrase_set set;
		struct words w;
		unsigned id = 99;
		unsigned again = 98;
		if (phrasebook_add(b, str_of(phrases[i].phrase), &id, &err) < 0)
			fail_msg("%s: %s", phrases[i].phrase, err.msg);
		assert_int_equal(id, 0);
		assert_int_equal(phrasebook_add(b, str_of(phrases[i].phrase), &again, NULL), 0);
		assert_int_equal(again, 0);
		words_of(str_of(phrases[i].text), &w);
		phrases_find(b, &w, &set);
		if (phrase_set_has(&set, id) != phrases[i].found)
			fail_msg("%s in %s", phrases[i].phrase, phrases[i].text);
		phrasebook_free(&b);
		assert_null(b);
	}
}

static void test_no_phrase(void **state)
{
	static const char *const wrong[] = { "",	"the",	       "a the an",
					     "user ..", "user .. the", "the .. user" };

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(wrong); i++) {
		struct phrasebook *b = phrasebook_new();
		unsigned id;

		assert_true(phrasebook_add(b, str_of(wrong[i]), &id, NULL) < 0);
		phrasebook_free(&b);
	}
}

/* Many at once, and each found alone. */
static void test_many(void **state)
{
	struct phrasebook *b = phrasebook_new();
	struct words w;
	struct phrase_set set;
	char text[64];
	unsigned id;

	(void)state;
	for (unsigned i = 0; i < 3000; i++) {
		(void)snprintf(text, sizeof(text), "word%u .. word%u", i % 50, i / 50);
		assert_int_equal(phrasebook_add(b, str_of(text), &id, NULL), 0);
		assert_int_equal(id, i);
	}
	words_of(STR("a word7 b word11 c"), &w);
	phrases_find(b, &w, &set);
	for (unsigned i = 0; i < 3000; i++)
		assert_int_equal(phrase_set_has(&set, i), i % 50 == 7 && i / 50 == 11);
	phrasebook_free(&b);
	phrasebook_free(NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_words),	cmocka_unit_test(test_same_words),
		cmocka_unit_test(test_phrases), cmocka_unit_test(test_no_phrase),
		cmocka_unit_test(test_many),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
