/*
 * The server's side of SASL against libgsasl's client, and against messages made by hand.
 */
#include "policy/sasl.h"

#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <gsasl.h>

#include "base/base64.h"
#include "base/json.h"
#include "base/mem.h"
#include "lib/cred_made.h"

#define NOW_MS INT64_C(1795490000000)

static struct {
	struct loop *loop;
	struct creds *creds;
	struct sasl_server *server;
	struct sasl *x;
	unsigned answers;
	enum sasl_outcome outcome;
	struct buf challenge;
	char name[300];
	char secret[CRED_ID_LEN];
	char why[100];
	bool free_inside;
} t;

static void on_answer(void *arg, const struct sasl_answer *a)
{
	assert_ptr_equal(arg, &t);
	t.answers++;
	t.outcome = a->outcome;
	buf_reset(&t.challenge);
	(void)buf_put_str(&t.challenge, a->challenge);
	(void)snprintf(t.name, sizeof(t.name), "%s", a->name != NULL ? a->name : "-");
	(void)snprintf(t.secret, sizeof(t.secret), "%s", a->secret != NULL ? a->secret : "");
	(void)snprintf(t.why, sizeof(t.why), "%s", a->why != NULL ? a->why : "");
	if (t.free_inside)
		sasl_free(&t.x);
}

static int set_up(void **state)
{
	(void)state;
	memset(&t, 0, sizeof(t));
	t.challenge = BUF_INIT(10000);
	t.loop = loop_new();
	loop_fake_clock(t.loop, NOW_MS);
	t.creds = creds_new();
	t.server = sasl_server_new(t.loop, t.creds);
	cred_made(t.creds, "shop", "", "s1=open sesame");
	cred_made(t.creds, "two", "", "s1=old one", "s2=new one");
	cred_made(t.creds, "late", "", "s1=open sesame;1000");
	cred_made(t.creds, "gone", "\"revoked_ms\":5,", "s1=open sesame");
	cred_made(t.creds, "far", "\"networks\":[\"10.0.0.0/8\"],", "s1=open sesame");
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	sasl_free(&t.x);
	sasl_server_free(&t.server);
	loop_free(&t.loop);
	creds_free(&t.creds);
	buf_done(&t.challenge);
	return 0;
}

static void start(const char *mechanism)
{
	struct ipaddr client;

	assert_true(ipaddr_parse(STR("192.0.2.1"), &client));
	sasl_free(&t.x);
	t.x = sasl_start(t.server, str_of(mechanism), &client, on_answer, &t);
	assert_non_null(t.x);
}

/* Turns the loop until there are n answers. */
static void await(unsigned n)
{
	for (int i = 0; i < 5000 && t.answers < n; i++) {
		(void)poll(NULL, 0, 1); /* the workers live in real time */
		loop_advance(t.loop, 1);
	}
	assert_int_equal(t.answers, n);
}

static void step(struct str in)
{
	unsigned before = t.answers;

	sasl_step(t.x, in);
	await(before + 1);
}

static void plain(void **state)
{
	static const struct {
		struct str in;
		enum sasl_outcome outcome;
		const char *name;
		const char *why;
	} cases[] = {
		{ { "\0shop\0open sesame", 17 }, SASL_DONE, "shop", "" },
		{ { "shop\0shop\0open sesame", 21 }, SASL_DONE, "shop", "" },
		{ { "\0SHOP\0open sesame", 17 }, SASL_DONE, "shop", "" },
		{ { "\0shop\0Open sesame", 17 }, SASL_REFUSED, "shop", "wrong secret" },
		{ { "\0shop\0", 6 }, SASL_REFUSED, "shop", "wrong secret" },
		{ { "\0nobody\0open sesame", 19 }, SASL_REFUSED, "-", "no such credential" },
		{ { "\0\0open sesame", 13 }, SASL_REFUSED, "-", "no such credential" },
		{ { "two\0shop\0open sesame", 20 },
		  SASL_REFUSED,
		  "shop",
		  "it asks to act for somebody else" },
		{ { "\0two\0old one", 12 }, SASL_DONE, "two", "" },
		{ { "\0two\0new one", 12 }, SASL_DONE, "two", "" },
		{ { "\0two\0open sesame", 16 }, SASL_REFUSED, "two", "wrong secret" },
		{ { "\0late\0open sesame", 17 },
		  SASL_REFUSED,
		  "late",
		  "the secret is past its end" },
		{ { "\0gone\0open sesame", 17 },
		  SASL_REFUSED,
		  "gone",
		  "the credential is revoked" },
		{ { "\0gone\0wrong", 11 }, SASL_REFUSED, "gone", "wrong secret" },
		{ { "\0far\0open sesame", 16 },
		  SASL_REFUSED,
		  "far",
		  "the client is outside of the credential's networks" },
		{ { "shop\0open sesame", 16 }, SASL_MALFORMED, "-", NULL },
		{ { "shop", 4 }, SASL_MALFORMED, "-", NULL },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		start("plain");
		step(cases[i].in);
		if (t.outcome != cases[i].outcome || strcmp(t.name, cases[i].name) != 0 ||
		    (cases[i].why != NULL && strcmp(t.why, cases[i].why) != 0))
			fail_msg("case %zu: %d %s %s", i, (int)t.outcome, t.name, t.why);
		assert_int_equal(t.challenge.n, 0);
	}
	start("PLAIN");
	sasl_begin(t.x);
	assert_int_equal(t.outcome, SASL_CONTINUE);
	assert_int_equal(t.challenge.n, 0);
	step(str_from("\0two\0new one", 12));
	assert_int_equal(t.outcome, SASL_DONE);
	assert_string_equal(t.secret, "s2");
}

static void login(void **state)
{
	(void)state;
	for (int initial = 0; initial < 2; initial++) {
		start("LOGIN");
		if (initial == 0) {
			sasl_begin(t.x);
			assert_int_equal(t.outcome, SASL_CONTINUE);
			assert_true(t.challenge.n > 0);
		}
		step(STR("shop"));
		assert_int_equal(t.outcome, SASL_CONTINUE);
		assert_string_equal(buf_cstr(&t.challenge), "Password");
		step(initial == 0 ? STR("open sesame") : STR("wrong"));
		assert_int_equal(t.outcome, initial == 0 ? SASL_DONE : SASL_REFUSED);
	}
	start("LOGIN");
	step(str_from("sh\0op", 5));
	assert_int_equal(t.outcome, SASL_MALFORMED);
}

static int on_client_asked(Gsasl *g, Gsasl_session *session, Gsasl_property p)
{
	(void)g;
	(void)session;
	(void)p;
	return GSASL_NO_CALLBACK;
}

/* An exchange with libgsasl's client; whether the client took the server for the right one. */
static bool scram(const char *name, const char *secret, const char *for_whom)
{
	Gsasl *g;
	Gsasl_session *client;
	char *out = NULL;
	size_t n = 0;
	int rc;

	assert_int_equal(gsasl_init(&g), GSASL_OK);
	gsasl_callback_set(g, on_client_asked);
	assert_int_equal(gsasl_client_start(g, "SCRAM-SHA-256", &client), GSASL_OK);
	(void)gsasl_property_set(client, GSASL_AUTHID, name);
	(void)gsasl_property_set(client, GSASL_PASSWORD, secret);
	if (for_whom != NULL)
		(void)gsasl_property_set(client, GSASL_AUTHZID, for_whom);
	start("SCRAM-SHA-256");
	t.outcome = SASL_CONTINUE;
	rc = gsasl_step(client, "", 0, &out, &n);
	while (t.outcome == SASL_CONTINUE) {
		assert_true(rc == GSASL_OK || rc == GSASL_NEEDS_MORE);
		step(str_from(out, n));
		gsasl_free(out);
		out = NULL;
		if (t.challenge.n > 0)
			rc = gsasl_step(client, t.challenge.p, t.challenge.n, &out, &n);
	}
	gsasl_free(out);
	gsasl_finish(client);
	gsasl_done(g);
	return rc == GSASL_OK;
}

static void scram_with_a_client(void **state)
{
	static const struct {
		const char *name;
		const char *secret;
		const char *for_whom;
		enum sasl_outcome outcome;
		const char *secret_id;
		const char *why;
	} cases[] = {
		{ "shop", "open sesame", NULL, SASL_DONE, "s1", "" },
		{ "shop", "open sesame", "shop", SASL_DONE, "s1", "" },
		{ "Shop", "open sesame", NULL, SASL_DONE, "s1", "" },
		{ "two", "old one", NULL, SASL_DONE, "s1", "" },
		{ "two", "new one", NULL, SASL_DONE, "s2", "" },
		{ "two", "open sesame", NULL, SASL_REFUSED, NULL, "wrong secret" },
		{ "shop", "open sesamE", NULL, SASL_REFUSED, NULL, "wrong secret" },
		{ "nobody", "open sesame", NULL, SASL_REFUSED, NULL, "no such credential" },
		{ "shop", "open sesame", "two", SASL_REFUSED, NULL,
		  "it asks to act for somebody else" },
		{ "late", "open sesame", NULL, SASL_REFUSED, NULL, "the secret is past its end" },
		{ "gone", "open sesame", NULL, SASL_REFUSED, NULL, "the credential is revoked" },
		{ "far", "open sesame", NULL, SASL_REFUSED, NULL,
		  "the client is outside of the credential's networks" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		bool trusts = scram(cases[i].name, cases[i].secret, cases[i].for_whom);
		if (t.outcome != cases[i].outcome || strcmp(t.why, cases[i].why) != 0)
			fail_msg("case %zu: %d %s", i, (int)t.outcome, t.why);
		assert_int_equal(trusts, cases[i].outcome == SASL_DONE);
		if (cases[i].secret_id != NULL)
			assert_string_equal(t.secret, cases[i].secret_id);
		if (t.outcome == SASL_REFUSED)
			assert_int_equal(t.challenge.n, 0); /* the server's signature stays here */
	}
}

/* Asked twice, an unknown name gets the same salt, as a known one does; nothing tells them apart.
 */
static void scram_for_the_unknown(void **state)
{
	char salt[2][2][100];
	static const char *const names[] = { "shop", "nobody" };

	(void)state;
	for (int k = 0; k < 2; k++)
		for (int i = 0; i < 2; i++) {
			AUTO_FREE char *first = xasprintf("n,,n=%s,r=abcdefghijklmnop", names[k]);
			start("SCRAM-SHA-256");
			step(str_of(first));
			assert_int_equal(t.outcome, SASL_CONTINUE);
			const char *s = strstr(buf_cstr(&t.challenge), ",s=");
			assert_non_null(s);
			(void)snprintf(salt[k][i], sizeof(salt[k][i]), "%s", s);
		}
	assert_string_equal(salt[0][0], salt[0][1]);
	assert_string_equal(salt[1][0], salt[1][1]);
	assert_string_not_equal(salt[0][0], salt[1][0]);
	assert_int_equal(strlen(salt[0][0]), strlen(salt[1][0]));
}

static void scram_malformed(void **state)
{
	static const struct str firsts[] = {
		{ "", 0 },
		{ "x", 1 },
		{ "n,,n=shop", 9 },
		{ "p=tls-unique,,n=shop,r=abc", 26 },
		{ "n,,m=x,n=shop,r=abc", 19 },
		{ "n,,n=sh\0p,r=abc", 15 },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(firsts); i++) {
		start("SCRAM-SHA-256");
		step(firsts[i]);
		if (t.outcome == SASL_CONTINUE)
			step(STR("c=biws,r=nonsense"));
		if (t.outcome != SASL_MALFORMED && t.outcome != SASL_REFUSED)
			fail_msg("case %zu: %d", i, (int)t.outcome);
	}
	/* another nonce than the server's */
	start("SCRAM-SHA-256");
	step(STR("n,,n=shop,r=abc"));
	step(STR("c=biws,r=abcd,p=AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="));
	assert_int_not_equal(t.outcome, SASL_DONE);
}

static void mechanisms(void **state)
{
	struct ipaddr client = { { 0 } };

	(void)state;
	assert_true(sasl_knows(STR("scram-sha-256")));
	assert_false(sasl_knows(STR("")));
	assert_null(sasl_start(t.server, STR("CRAM-MD5"), &client, on_answer, &t));
	assert_null(sasl_start(t.server, STR("ANONYMOUS"), &client, on_answer, &t));
	assert_null(sasl_start(t.server, STR("SCRAM-SHA-256-PLUS"), &client, on_answer, &t));
}

/* A client that goes while its secret is checked, or inside of the answer. */
static void freed_early(void **state)
{
	(void)state;
	start("PLAIN");
	sasl_step(t.x, str_from("\0shop\0open sesame", 17));
	sasl_free(&t.x);
	for (int i = 0; i < 50; i++) {
		(void)poll(NULL, 0, 1);
		loop_advance(t.loop, 1);
	}
	assert_int_equal(t.answers, 0);
	t.free_inside = true;
	start("PLAIN");
	sasl_step(t.x, str_from("\0shop\0open sesame", 17));
	await(1);
	start("SCRAM-SHA-256");
	sasl_step(t.x, STR("n,,n=shop,r=abc"));
	await(2);
	/* and a server that goes first */
	start("PLAIN");
	sasl_step(t.x, str_from("\0shop\0open sesame", 17));
	sasl_free(&t.x);
	sasl_server_free(&t.server);
}

static void at_its_limit(void **state)
{
	struct sasl *many[SASL_JOBS_MAX];
	struct ipaddr client = { { 0 } };

	(void)state;
	for (int i = 0; i < SASL_JOBS_MAX; i++) {
		many[i] = sasl_start(t.server, STR("PLAIN"), &client, on_answer, &t);
		sasl_step(many[i], str_from("\0shop\0wrong", 11));
	}
	start("PLAIN");
	sasl_step(t.x, str_from("\0shop\0open sesame", 17));
	assert_int_equal(t.answers, 1);
	assert_int_equal(t.outcome, SASL_BUSY);
	await(SASL_JOBS_MAX + 1);
	for (int i = 0; i < SASL_JOBS_MAX; i++)
		sasl_free(&many[i]);
	start("PLAIN");
	step(str_from("\0shop\0open sesame", 17));
	assert_int_equal(t.outcome, SASL_DONE);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		TEST(plain),
		TEST(login),
		TEST(scram_with_a_client),
		TEST(scram_for_the_unknown),
		TEST(scram_malformed),
		TEST(mechanisms),
		TEST(freed_early),
		TEST(at_its_limit),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
