/*
 * The client of SMTP against servers that say what the test wants, on a fake network and a clock
 * that is told: what it says, and what becomes of each recipient. At the end of each test every
 * recipient that was given out has come back or has a result.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/ioctl.h>

#include <cmocka.h>

#include "mail/smtp_cmd.h"
#include "outcome/classify.h"
#include "unit/smtpout/fake_hosts.h"

/* --- the good case ---------------------------------------------------------------------------- */

static void test_delivers(void **state)
{
	(void)state;
	struct host *h = begin(NULL);
	struct letter *l = core_submit(HOP, BODY, 2);
	l->m.eight_bit = true;
	go();
	assert_string_equal(buf_cstr(&h->heard), "EHLO relay.example\n"
						 "MAIL FROM:<a@b.example> SIZE=26 BODY=8BITMIME\n"
						 "RCPT TO:<c1@d.example>\n"
						 "RCPT TO:<c2@d.example>\n"
						 "DATA\n"
						 "(26 bytes)\n");
	assert_string_equal(buf_cstr(&h->content), LETTER);
	for (unsigned k = 0; k < 2; k++) {
		const struct attempt *a = &l->result[k];
		assert_int_equal(l->state[k], RCPT_DONE);
		assert_int_equal(a->outcome, OUTCOME_DELIVERED);
		assert_int_equal(a->code, 250);
		assert_int_equal(a->reply_class, 0);
		assert_string_equal(a->enhanced, "2.0.0");
		assert_string_equal(a->reply, "250 2.0.0 Ok: queued as 4711");
		assert_string_equal(a->host, "mx.d.example");
		assert_string_equal(a->ip, "127.0.0.1");
		assert_string_equal(a->source, NET_SOURCE);
		assert_string_equal(a->tls, "");
	}
	assert_int_equal(core.done, 1);
	/* the next one takes the same connection, without more ado */
	buf_reset(&h->heard);
	send_one(1);
	assert_string_equal(buf_cstr(&h->heard), "MAIL FROM:<a@b.example> SIZE=26\n"
						 "RCPT TO:<c1@d.example>\nDATA\n(26 bytes)\n");
	assert_int_equal(h->accepted, 1);
	finish();
}

static void test_speaks_plainly(void **state)
{
	(void)state;
	static const struct {
		const char *ehlo;
		const char *heard;
	} cases[] = {
		{ SAY_EHLO_PLAIN, "EHLO relay.example\nMAIL FROM:<a@b.example> SIZE=26\n" },
		{ "502 5.5.2 Error: command not recognized\r\n",
		  "EHLO relay.example\nHELO relay.example\nMAIL FROM:<a@b.example>\n" },
		{ "500 What\r\n",
		  "EHLO relay.example\nHELO relay.example\nMAIL FROM:<a@b.example>\n" },
	};
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct host *h = begin(NULL);
		char all[400];
		h->lines.ehlo = cases[i].ehlo;
		(void)snprintf(
			all, sizeof(all),
			"%sRCPT TO:<c1@d.example>\nRCPT TO:<c2@d.example>\nDATA\n(26 bytes)\n",
			cases[i].heard);
		send_one(2);
		assert_string_equal(buf_cstr(&h->heard), all);
		assert_int_equal(done_with(OUTCOME_DELIVERED), 2);
		finish();
	}
}

static void test_messages_from_the_disk(void **state)
{
	(void)state;
	struct host *h = begin(NULL);
	core.later = true;
	for (int i = 0; i < 5; i++)
		(void)core_submit(HOP, BODY, 1);
	go();
	assert_int_equal(h->messages, 5);
	assert_int_equal(h->accepted, 1);
	finish();
}

static void test_durations(void **state)
{
	(void)state;
	struct host *h = begin(NULL);
	h->delay_ms = 100;
	struct letter *l = core_submit(HOP, BODY, 1);
	core_kick(HOP);
	pass(1000, 10);
	/* greeting, EHLO, the three of the envelope one after the other, the content */
	assert_in_range(l->result[0].duration_ms, 600, 660);
	assert_true(l->result[0].at_ms >= CORE_NOW_MS + 600);
	l = core_submit(HOP, BODY, 1);
	core_kick(HOP);
	pass(1000, 10);
	assert_in_range(l->result[0].duration_ms, 400, 440);
	finish();
}

/* --- what becomes of recipients --------------------------------------------------------------- */

/* A message to two recipients: what becomes of each, and what is said after it. */
static const struct outcome_case {
	const char *name;
	struct lines lines;
	struct {
		enum outcome outcome; /* NONE: came back, and was delivered afterwards */
		int code;
		const char *enhanced;
		const char *reply; /* a piece */
		enum reply_class given;
	} want[2];
	const char *next; /* the first command for the next message; NULL: a new connection */
} outcome_cases[] = {
	{ "one refused",
	  { .rcpts = { "550 5.1.1 No such user\r\n" } },
	  { { F, 550, "5.1.1", "550 5.1.1 No such user", 0 },
	    { D, 250, "2.0.0", "250 2.0.0 Ok", 0 } },
	  "MAIL" },
	{ "one later",
	  { .rcpts = { NULL, "450-4.2.0 Greylisted\r\n450 4.2.0 come back\r\n" } },
	  { { D, 250, "2.0.0", "250 ", 0 },
	    { T, 450, "4.2.0", "450 4.2.0 Greylisted\ncome back", 0 } },
	  "MAIL" },
	{ "no enhanced code",
	  { .rcpts = { "550 no\r\n", "451 not now\r\n" }, .data = "554 no valid recipients\r\n" },
	  { { F, 550, "", "550 no", 0 }, { T, 451, "", "451 not now", 0 } },
	  "RSET" },
	{ "sender refused",
	  { .mail = "553 5.1.8 Bad sender\r\n",
	    .rcpt = "503 5.5.1 MAIL first\r\n",
	    .data = "503 5.5.1 RCPT first\r\n" },
	  { { F, 553, "5.1.8", "553 5.1.8 Bad sender", 0 }, { F, 553, "5.1.8", "Bad sender", 0 } },
	  "MAIL" },
	{ "data refused",
	  { .data = "451 4.3.1 No disk\r\n" },
	  { { T, 451, "4.3.1", "No disk", 0 }, { T, 451, "4.3.1", "No disk", 0 } },
	  "RSET" },
	{ "content refused",
	  { .rcpts = { "450 4.2.0 later\r\n" }, .end = "554 5.7.1 Spam\r\n" },
	  { { T, 450, "4.2.0", "later", 0 }, { F, 554, "5.7.1", "554 5.7.1 Spam", 0 } },
	  "MAIL" },
	{ "421 to MAIL",
	  { .mail = "421 4.7.28 unusual rate\r\n" HANG_UP },
	  { { T, 421, "4.7.28", "421 4.7.28 unusual rate", 0 }, { T, 421, "4.7.28", "rate", 0 } },
	  NULL },
	{ "421 to the second RCPT",
	  { .rcpts = { "550 5.1.1 no\r\n", "421 4.3.2 going down\r\n" HANG_UP } },
	  { { F, 550, "5.1.1", "no", 0 }, { T, 421, "4.3.2", "going down", 0 } },
	  NULL },
	{ "421 to the content",
	  { .end = "421 4.3.0 crash\r\n" HANG_UP },
	  { { T, 421, "4.3.0", "421 4.3.0 crash", 0 }, { T, 421, "4.3.0", "crash", 0 } },
	  NULL },
	{ "drop at MAIL",
	  { .mail = HANG_UP },
	  { { T, 0, "4.4.2",
	      "mx.d.example [127.0.0.1] closed the connection before its reply to MAIL",
	      REPLY_NETWORK },
	    { T, 0, "4.4.2", "to MAIL", REPLY_NETWORK } },
	  NULL },
	{ "drop at RCPT",
	  { .rcpts = { "550 5.1.1 no\r\n", HANG_UP } },
	  { { F, 550, "5.1.1", "no", 0 },
	    { T, 0, "4.4.2", "before its reply to RCPT", REPLY_NETWORK } },
	  NULL },
	{ "drop at DATA",
	  { .data = HANG_UP },
	  { { T, 0, "4.4.2", "before its reply to DATA", REPLY_NETWORK },
	    { T, 0, "4.4.2", "", REPLY_NETWORK } },
	  NULL },
	{ "drop after the content",
	  { .end = HANG_UP },
	  { { T, 0, "4.4.2", "its reply to the content; it may have taken the message",
	      REPLY_NETWORK },
	    { T, 0, "4.4.2", "", REPLY_NETWORK } },
	  NULL },
	{ "too many recipients",
	  { .rcpts = { NULL, "452 4.5.3 Too many recipients\r\n" } },
	  { { D, 250, "2.0.0", "", 0 }, { 0, 0, "", "", 0 } },
	  "MAIL" },
	{ "too many, in words",
	  { .rcpts = { NULL, "552 Sorry, too many recipients\r\n" } },
	  { { D, 250, "2.0.0", "", 0 }, { 0, 0, "", "", 0 } },
	  "MAIL" },
	{ "too many, though nobody is accepted",
	  { .rcpt = "452 4.5.3 Too many recipients\r\n", .data = "503 5.5.1 no\r\n" },
	  { { T, 452, "4.5.3", "", 0 }, { T, 452, "4.5.3", "", 0 } },
	  "RSET" },
	{ "mailbox full is not too many",
	  { .rcpts = { NULL, "452 4.2.2 full\r\n" } },
	  { { D, 250, "2.0.0", "", 0 }, { T, 452, "4.2.2", "452 4.2.2 full", 0 } },
	  "MAIL" },
	/* no SMTP */
	{ "garbage",
	  { .mail = "what?\r\n" },
	  { { T, 0, "4.5.0",
	      "spoke no SMTP (not an SMTP reply: \"what?\") (its reply to MAIL was due)",
	      REPLY_PROTOCOL },
	    { T, 0, "4.5.0", "", REPLY_PROTOCOL } },
	  NULL },
	{ "354 to MAIL",
	  { .mail = SAY_GO },
	  { { T, 0, "4.5.0", "answered MAIL with 354", REPLY_PROTOCOL },
	    { T, 0, "4.5.0", "", REPLY_PROTOCOL } },
	  NULL },
	{ "354 to RCPT",
	  { .rcpts = { "550 5.1.1 no\r\n", SAY_GO } },
	  { { F, 550, "5.1.1", "no", 0 },
	    { T, 0, "4.5.0", "answered RCPT with 354", REPLY_PROTOCOL } },
	  NULL },
	{ "250 to DATA",
	  { .data = SAY_OK },
	  { { T, 0, "4.5.0", "answered DATA with 250", REPLY_PROTOCOL },
	    { T, 0, "4.5.0", "", REPLY_PROTOCOL } },
	  NULL },
	{ "354 to the content",
	  { .end = SAY_GO },
	  { { T, 0, "4.5.0", "answered the content with 354", REPLY_PROTOCOL },
	    { T, 0, "4.5.0", "", REPLY_PROTOCOL } },
	  NULL },
	{ "accepted before it was sent",
	  { .data = SAY_GO SAY_QUEUED },
	  { { T, 0, "4.5.0", "said more than it was asked for", REPLY_PROTOCOL },
	    { T, 0, "4.5.0", "", REPLY_PROTOCOL } },
	  NULL },
	{ "one reply too many at the end",
	  { .end = SAY_QUEUED SAY_QUEUED },
	  { { D, 250, "2.0.0", "", 0 }, { D, 250, "2.0.0", "", 0 } },
	  NULL },
	{ "421 behind the last reply",
	  { .end = SAY_QUEUED "421 4.4.2 bye\r\n" HANG_UP },
	  { { D, 250, "2.0.0", "", 0 }, { D, 250, "2.0.0", "", 0 } },
	  NULL },
};

static const char *first_command(const struct host *h)
{
	static char line[64];
	(void)snprintf(line, sizeof(line), "%.*s", 4, buf_cstr(&h->heard));
	return line;
}

static void run_outcome_case(const struct outcome_case *c, const char *ehlo)
{
	struct host *h = begin(NULL);
	h->lines = c->lines;
	h->lines.ehlo = ehlo;
	struct letter *l = core_submit(HOP, BODY, 2);
	/* stop before what came back is tried again */
	go();
	for (unsigned k = 0; k < 2; k++) {
		const struct attempt *a = &l->result[k];
		assert_int_equal(l->state[k], RCPT_DONE);
		if (c->want[k].outcome == OUTCOME_NONE) {
			assert_int_equal(l->backs[k], 1);
			assert_int_equal(a->outcome, OUTCOME_DELIVERED);
			continue;
		}
		assert_int_equal(l->backs[k], 0);
		assert_int_equal(a->outcome, c->want[k].outcome);
		assert_int_equal(a->code, c->want[k].code);
		assert_string_equal(a->enhanced, c->want[k].enhanced);
		assert_has(a->reply, c->want[k].reply);
		assert_int_equal(a->reply_class, c->want[k].given);
		assert_string_equal(a->host, "mx.d.example");
	}
	/* the next message */
	unsigned connections = h->accepted;
	h->lines = (struct lines){ .ehlo = ehlo };
	buf_reset(&h->heard);
	l = core_submit(HOP, BODY, 1);
	core_kick(HOP);
	pass(1500, 100);
	assert_int_equal(l->result[0].outcome, OUTCOME_DELIVERED);
	assert_int_equal(h->accepted, connections + (c->next == NULL));
	assert_string_equal(first_command(h), c->next != NULL ? c->next : "EHLO");
	finish();
}

static void test_outcomes_pipelined(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(outcome_cases); i++) {
		print_message("# %s\n", outcome_cases[i].name);
		run_outcome_case(&outcome_cases[i], SAY_EHLO);
	}
}

static void test_outcomes_one_by_one(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(outcome_cases); i++) {
		print_message("# %s\n", outcome_cases[i].name);
		run_outcome_case(&outcome_cases[i], SAY_EHLO_PLAIN);
	}
}

static void test_nobody_accepted_and_yet_354(void **state)
{
	(void)state;
	struct host *h = begin(NULL);
	h->lines.rcpt = "550 5.1.1 no\r\n";
	send_one(2);
	/* an empty message, for nobody; the connection is clean afterwards */
	assert_has(buf_cstr(&h->heard), "DATA\n(0 bytes)\n");
	assert_int_equal(done_with(F), 2);
	h->lines.rcpt = NULL;
	buf_reset(&h->heard);
	send_one(1);
	assert_string_equal(first_command(h), "MAIL");
	assert_int_equal(h->accepted, 1);
	finish();
}

static void test_size(void **state)
{
	(void)state;
	struct host *h = begin(NULL);
	h->lines.ehlo = "250-mx\r\n250 SIZE 25\r\n";
	for (int i = 0; i < 50; i++)
		(void)core_submit(HOP, BODY, 2);
	go();
	assert_int_equal(done_with(F), 100);
	assert_string_equal(buf_cstr(&h->heard), "EHLO relay.example\n");
	const struct attempt *a = &core.letters[49].result[1];
	assert_string_equal(a->enhanced, "5.3.4");
	assert_int_equal(a->code, 0);
	assert_int_equal(a->reply_class, REPLY_TOO_LARGE);
	assert_string_equal(
		a->reply,
		"mx.d.example [127.0.0.1] takes messages of up to 25 bytes, this one has 26");
	/* the session is as good as before */
	(void)core_submit(HOP, STR("x\r\n"), 1);
	go();
	assert_int_equal(done_with(D), 1);
	assert_int_equal(h->accepted, 1);
	finish();
}

static void test_refusals_of_our_own_take_turns(void **state)
{
	(void)state;
	struct host *h = begin(NULL);
	h->lines.ehlo = "250-mx\r\n250 SIZE 30\r\n";
	(void)send_one(1);
	for (int i = 0; i < 500; i++)
		(void)core_submit(HOP, STR(LETTER LETTER), 1);
	core_kick(HOP);
	assert_in_range(done_with(F), 1, 32); /* in one call */
	settle();
	assert_int_equal(done_with(F), 500);
	assert_int_equal(h->accepted, 1);
	finish();
}

static void test_eight_bit(void **state)
{
	(void)state;
	struct host *h = begin(NULL);
	h->lines.ehlo = "250-mx\r\n250 PIPELINING\r\n";
	struct letter *ascii = core_submit(HOP, BODY, 1);
	struct letter *eight = core_submit(HOP, STR("Gr\xc3\xbc\xc3\x9f\x65\r\n"), 1);
	ascii->m.eight_bit = eight->m.eight_bit = true;
	go();
	assert_int_equal(ascii->result[0].outcome, D);
	assert_int_equal(eight->result[0].outcome, F);
	assert_string_equal(eight->result[0].enhanced, "5.6.3");
	assert_null(strstr(buf_cstr(&h->heard), "BODY"));
	finish();
}

/* --- time ------------------------------------------------------------------------------------- */

static const struct {
	struct lines lines;
	int64_t after_s;
	const char *reply;
	bool opening;
} timeout_cases[] = {
	{ { .greeting = "" }, 60, "waited 1m00s for its greeting", true },
	{ { .greeting = "220-slow\r\n" }, 60, "waited 1m00s for its greeting", true },
	{ { .ehlo = "" }, 60, "waited 1m00s for its reply to EHLO", true },
	{ { .ehlo = "502 no\r\n", .helo = "" }, 60, "waited 1m00s for its reply to HELO", true },
	{ { .mail = "" }, 300, "waited 5m00s for its reply to MAIL", false },
	{ { .rcpt = "" }, 300, "waited 5m00s for its reply to RCPT", false },
	{ { .data = "" }, 300, "waited 5m00s for its reply to DATA", false },
	{ { .end = "" }, 600, "waited 10m00s for its reply to the content; it may have", false },
};

static void test_timeouts(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(timeout_cases); i++) {
		struct host *h = begin(NULL);
		h->lines = timeout_cases[i].lines;
		struct letter *l = send_one(1);
		pass(timeout_cases[i].after_s * 1000 - 1000, 1000);
		assert_int_equal(smtpout_connections(core.out), 1);
		assert_int_equal(l->state[0], timeout_cases[i].opening ? RCPT_READY : RCPT_GIVEN);
		pass(2000, 1000);
		const struct attempt *a =
			timeout_cases[i].opening ? &core_hop(HOP)->why : &l->result[0];
		assert_int_equal(a->outcome, OUTCOME_DEFERRED);
		assert_string_equal(a->enhanced, "4.4.2");
		assert_int_equal(a->reply_class, REPLY_NETWORK);
		assert_has(a->reply, timeout_cases[i].reply);
		assert_int_equal(smtpout_connections(core.out), 0);
		finish();
	}
}

static void test_no_answer_to_connecting(void **state)
{
	(void)state;
	static const struct smtpout_config cfg = { .connect_ms = 7000 };
	(void)begin(&cfg);
	net.black_hole = true;
	(void)send_one(1);
	pass(6500, 500);
	assert_int_equal(core_hop(HOP)->reports, 0);
	pass(1000, 500);
	assert_int_equal(core_hop(HOP)->reports, 1);
	assert_string_equal(core_hop(HOP)->why.enhanced, "4.4.1");
	assert_string_equal(core_hop(HOP)->why.reply,
			    "mx.d.example [127.0.0.1]:25: no answer to connecting within 7s");
	finish();
}

static void test_no_route(void **state)
{
	(void)state;
	(void)begin(NULL);
	core_host(HOP, "mx2.d.example", 20, 25, "2001:db8::1 192.0.2.1");
	net.no_route = true;
	(void)send_one(1);
	assert_int_equal(net.connects, 3);
	assert_int_equal(core_hop(HOP)->reports, 1);
	assert_has(core_hop(HOP)->why.reply, "mx2.d.example [192.0.2.1]:25: ");
	assert_has(core_hop(HOP)->why.reply, "unreachable");
	finish();
}

static void test_idle_session_quits(void **state)
{
	(void)state;
	struct host *h = begin(NULL);
	(void)send_one(1);
	pass(SMTPOUT_IDLE_MS - 100, 100);
	assert_int_equal(h->open, 1);
	pass(300, 100);
	assert_int_equal(h->open, 0);
	assert_has(buf_cstr(&h->heard), "QUIT\n");
	assert_int_equal(smtpout_connections(core.out), 0);
	/* one that does not answer QUIT either is not waited for */
	h->lines.quit = "";
	(void)send_one(1);
	pass(SMTPOUT_IDLE_MS + 6000, 500);
	assert_int_equal(h->open, 0);
	finish();
}

/* Each reply has its own time. */
static void test_slow_replies(void **state)
{
	(void)state;
	struct host *h = begin(NULL);
	struct letter *l = send_one(1);
	assert_int_equal(l->result[0].outcome, D);
	h->delay_ms = 100000;
	l = send_one(2);
	pass(510000, 1000);
	assert_int_equal(l->result[0].outcome, D);
	assert_int_equal(l->result[1].outcome, D);
	finish();
}

/* --- connections that end --------------------------------------------------------------------- */

static void test_closed_while_idle(void **state)
{
	(void)state;
	struct host *h = begin(NULL);
	(void)send_one(1);
	conn_close(h, &h->conns[0]);
	struct letter *l = core_submit(HOP, BODY, 1);
	core_kick(HOP); /* before the client has seen it */
	settle();
	core_kick(HOP);
	settle();
	assert_int_equal(l->result[0].outcome, D);
	assert_int_equal(l->backs[0], 1);
	assert_int_equal(h->accepted, 2);
	finish();
}

static void test_421_while_idle(void **state)
{
	(void)state;
	struct host *h = begin(NULL);
	(void)send_one(1);
	say(h, &h->conns[0], "421 4.4.2 Idle for too long\r\n" HANG_UP);
	settle();
	assert_int_equal(smtpout_connections(core.out), 0);
	struct letter *l = send_one(1);
	assert_int_equal(l->result[0].outcome, D);
	assert_int_equal(l->backs[0], 0);
	finish();
}

static void test_half_a_reply_while_idle(void **state)
{
	(void)state;
	struct host *h = begin(NULL);
	(void)send_one(1);
	say(h, &h->conns[0], "250 2.0.0 O");
	settle();
	struct letter *l = send_one(1);
	go();
	assert_int_equal(l->result[0].outcome, D);
	assert_int_equal(l->backs[0], 1);
	assert_int_equal(h->accepted, 2);
	finish();
}

/* Said to MAIL on a used connection: only policy is the recipient's attempt. */
static void test_421_on_a_used_connection(void **state)
{
	(void)state;
	for (int policy = 0; policy < 2; policy++) {
		struct host *h = begin(NULL);
		(void)send_one(1);
		h->lines.later = policy ? "421 4.7.28 too fast\r\n" HANG_UP
					: "421 4.4.2 enough for one connection\r\n" HANG_UP;
		struct letter *l = send_one(1);
		go();
		assert_int_equal(l->result[0].outcome, policy ? T : D);
		assert_int_equal(l->backs[0], policy ? 0 : 1);
		finish();
	}
}

static void test_share_of_a_connection(void **state)
{
	(void)state;
	static const struct smtpout_config cfg = { .per_connection_max = 3 };
	struct host *h = begin(&cfg);
	for (int i = 0; i < 10; i++)
		(void)core_submit(HOP, BODY, 1);
	go();
	assert_int_equal(h->messages, 10);
	assert_int_equal(h->accepted, 4);
	assert_in_range(h->open_max, 1, 2); /* one may open while the other quits */
	finish();
}

/* The first connection ends after n bytes of what the server has to say, for every n. */
static void cut_everywhere(const char *ehlo, bool later)
{
	bool whole = false;
	for (size_t n = 0; !whole; n++) {
		struct host *h = begin(NULL);
		h->lines.ehlo = ehlo;
		h->lines.rcpts[1] = "550 5.1.1 no\r\n";
		h->cut = true;
		h->cut_at = n;
		core.later = later;
		for (int i = 0; i < 3; i++)
			(void)core_submit(HOP, BODY, 2);
		go();
		whole = h->accepted == 1 && h->open == 1;
		if (core_hop(HOP)->waiting) {
			assert_has(core_hop(HOP)->why.reply, " before ");
			core_hop(HOP)->waiting = false;
		}
		for (int i = 0; i < 8; i++) {
			go(); /* what came back */
			pass(200, 100);
		}
		assert_int_equal(core_ready(HOP), 0);
		/* nothing is taken for delivered that the server did not accept; what it accepted
		 * is at most once unknown */
		unsigned delivered = done_with(D);
		assert_true(delivered <= h->messages && delivered + 1 >= h->messages);
		assert_true(done_with(T) <= 2);
		assert_int_equal(done_with(D) + done_with(T) + done_with(F), 6);
		for (unsigned i = 0; i < 3; i++)
			for (unsigned k = 0; k < 2; k++)
				if (core.letters[i].result[k].outcome == T)
					assert_has(core.letters[i].result[k].reply, " before ");
		finish();
	}
}

static void test_cut_everywhere(void **state)
{
	(void)state;
	cut_everywhere(SAY_EHLO, false);
	cut_everywhere(SAY_EHLO_PLAIN, true);
}

static void test_byte_by_byte(void **state)
{
	(void)state;
	for (size_t piece = 1; piece <= 7; piece++) {
		struct host *h = begin(NULL);
		h->piece = piece;
		h->lines.rcpts[1] = "550-5.1.1 no\r\n550 5.1.1 really\r\n";
		for (int i = 0; i < 3; i++)
			(void)core_submit(HOP, BODY, 2);
		go();
		assert_int_equal(done_with(D), 3);
		assert_int_equal(done_with(F), 3);
		assert_string_equal(core.letters[2].result[1].reply, "550 5.1.1 no\nreally");
		assert_int_equal(h->accepted, 1);
		assert_null(strstr(buf_cstr(&h->heard), "RSET"));
		finish();
	}
}

/* --- hostile servers -------------------------------------------------------------------------- */

static void test_endless_replies(void **state)
{
	(void)state;
	AUTO_BUF line = BUF_INIT(1 << 20);
	AUTO_BUF lines = BUF_INIT(1 << 20);
	for (int i = 0; i < 100000; i++)
		(void)buf_putc(&line, 'x');
	for (int i = 0; i < 20000; i++)
		(void)buf_puts(&lines, "250-X-MORE\r\n");
	for (int i = 0; i < 4; i++) {
		struct host *h = begin(NULL);
		const char *text = i % 2 == 0 ? buf_cstr(&line) : buf_cstr(&lines);
		if (i < 2)
			h->lines.ehlo = text;
		else
			h->lines.end = text;
		struct letter *l = send_one(1);
		const struct attempt *a = i < 2 ? &core_hop(HOP)->why : &l->result[0];
		assert_string_equal(a->enhanced, "4.5.0");
		assert_int_equal(a->reply_class, REPLY_PROTOCOL);
		assert_int_equal(smtpout_connections(core.out), 0);
		finish();
	}
}

static void test_reply_with_zero_bytes_and_too_long(void **state)
{
	(void)state;
	struct host *h = begin(NULL);
	AUTO_BUF text = BUF_INIT(1 << 16);
	for (int i = 0; i < 100; i++)
		(void)buf_puts(&text, "550-5.7.1 because of this and that\r\n");
	(void)buf_puts(&text, "550 5.7.1 no\r\n");
	h->lines.mail = buf_cstr(&text);
	h->lines.rcpt = h->lines.data = "503 no\r\n";
	struct letter *l = send_one(1);
	assert_int_equal(l->result[0].outcome, F);
	assert_int_equal(strlen(l->result[0].reply), ATTEMPT_REPLY_MAX - 1);
	finish();
}

/* --- the content ------------------------------------------------------------------------------ */

static struct str large(struct buf *b, size_t n)
{
	while (b->n + 80 < n)
		(void)buf_puts(b, ".a line that begins with a dot, as some do, and goes on\r\n");
	(void)buf_puts(b, "the end\r\n");
	return buf_str(b);
}

static void test_large_content(void **state)
{
	(void)state;
	AUTO_BUF b = BUF_INIT(8 << 20);
	struct str content_is = large(&b, 5000000);
	for (int later = 0; later < 2; later++) {
		struct host *h = begin(NULL);
		core.later = later;
		for (int i = 0; i < 3; i++)
			(void)core_submit(HOP, content_is, 1);
		go();
		assert_int_equal(h->messages, 3);
		assert_true(str_eq(buf_str(&h->content), content_is));
		finish();
	}
}

static void test_content_is_not_taken(void **state)
{
	(void)state;
	AUTO_BUF b = BUF_INIT(32 << 20);
	struct str content_is = large(&b, 8000000);
	struct host *h = begin(NULL);
	h->deaf_in_data = true;
	struct letter *l = core_submit(HOP, content_is, 1);
	go();
	pass(179000, 1000);
	assert_int_equal(l->state[0], RCPT_GIVEN);
	pass(25000, 1000); /* a look at the buffer may have moved a few bytes */
	assert_int_equal(l->result[0].outcome, T);
	assert_has(l->result[0].reply, "takes the content too slowly: ");
	assert_has(l->result[0].reply, "of 79999");
	finish();
}

/* 250 while the end of the content is still with us: the server cannot mean this message. */
static void test_accepted_too_early(void **state)
{
	(void)state;
	unsigned early = 0;
	for (size_t size = 50000; size < 500000; size += 10000) {
		AUTO_BUF b = BUF_INIT(1 << 20);
		struct str content_is = large(&b, size);
		struct host *h = begin(NULL);
		int there = 0;
		h->deaf_in_data = true;
		struct letter *l = core_submit(HOP, content_is, 1);
		go();
		for (int i = 0; i < 20; i++)
			core_turn(); /* all that the buffers between take */
		assert_int_equal(ioctl(h->conns[0].fd, FIONREAD, &there), 0);
		say(h, &h->conns[0], SAY_QUEUED);
		settle();
		if ((size_t)there < content_is.n) {
			early++;
			assert_int_equal(l->result[0].outcome, T);
			assert_has(l->result[0].reply, "answered unfinished content with 250");
		} else {
			assert_int_equal(l->result[0].outcome, D);
		}
		finish();
	}
	assert_in_range(early, 5, 44); /* both cases occurred */
}

static void test_refused_in_the_midst_of_the_content(void **state)
{
	(void)state;
	AUTO_BUF b = BUF_INIT(32 << 20);
	struct str content_is = large(&b, 8000000);
	static const struct {
		const char *text;
		enum outcome outcome;
		int code;
	} cases[] = {
		{ "552 5.3.4 Too large\r\n", F, 552 },
		{ "421 4.3.0 No more\r\n", T, 421 },
		{ "250 2.0.0 Thanks, that will do\r\n", T, 0 },
	};
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct host *h = begin(NULL);
		h->deaf_in_data = true;
		struct letter *l = core_submit(HOP, content_is, 1);
		go();
		assert_int_equal(l->state[0], RCPT_GIVEN);
		say(h, &h->conns[0], cases[i].text);
		settle();
		assert_int_equal(l->result[0].outcome, cases[i].outcome);
		assert_int_equal(l->result[0].code, cases[i].code);
		assert_int_equal(smtpout_connections(core.out), 0);
		finish();
	}
}

#define SAY_EHLO_MORE                                                                              \
	"250-mx.example\r\n250-PIPELINING\r\n250-8BITMIME\r\n250-SMTPUTF8\r\n250 DSN\r\n"

/* Addresses that are not ASCII go only where they are taken; the others' mail is not lost. */
static void test_smtputf8(void **state)
{
	(void)state;
	static const struct {
		const char *ehlo, *sender, *content;
		bool said; /* by the client */
		enum outcome first, second;
		const char *mail;
	} cases[] = {
		{ SAY_EHLO_MORE, "a@b.example", LETTER, true, D, D,
		  "MAIL FROM:<a@b.example> SMTPUTF8\n" },
		{ SAY_EHLO, "a@b.example", LETTER, true, D, F,
		  "MAIL FROM:<a@b.example> SIZE=26\nRCPT TO:<c1@d.example>\nDATA\n" },
		{ SAY_EHLO_PLAIN, "a@b.example", LETTER, true, D, F,
		  "RCPT TO:<c1@d.example>\nDATA\n" },
		{ SAY_EHLO, "\xc3\xa4@b.example", LETTER, true, F, F, "" },
		{ SAY_EHLO, "a@b.example", "Subject: \xc3\xa4\r\n\r\nx\r\n", true, F, F, "" },
		/* who does not speak of it has always sent what it liked in the header */
		{ SAY_EHLO, "a@b.example", "Subject: \xc3\xa4\r\n\r\nx\r\n", false, D, F,
		  "DATA\n" },
	};
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct host *h = begin(NULL);
		h->lines.ehlo = cases[i].ehlo;
		struct letter *l = core_submit(HOP, str_of(cases[i].content), 2);
		l->m.sender = str_of(cases[i].sender);
		l->m.smtputf8 = cases[i].said;
		l->rcpts[1].address = STR("\xd0\xb6@d.example");
		go();
		assert_int_equal(l->result[0].outcome, cases[i].first);
		assert_int_equal(l->result[1].outcome, cases[i].second);
		if (cases[i].second == F)
			assert_string_equal(l->result[1].enhanced, "5.6.7");
		assert_has(buf_cstr(&h->heard), cases[i].mail);
		finish();
	}
}

static struct {
	unsigned calls, n;
} relayed;

static void on_relayed(void *arg, const struct message *m, const struct sched_result *r, unsigned n)
{
	(void)arg;
	(void)r;
	ASSERT(m != NULL);
	relayed.calls++;
	relayed.n += n;
}

/* What the sender asked for is passed on, or answered by us where it cannot be. */
static void test_dsn_parameters(void **state)
{
	(void)state;
	static const struct smtpout_config cfg = { .relayed = on_relayed };
	for (int offered = 0; offered < 2; offered++) {
		struct host *h = begin(&cfg);
		h->lines.ehlo = offered ? SAY_EHLO_MORE : SAY_EHLO;
		memset(&relayed, 0, sizeof(relayed));
		struct letter *l = core_submit(HOP, BODY, 3);
		l->m.ret = SMTP_RET_HDRS;
		l->m.envid = STR("QQ+2B314159");
		l->rcpts[0].notify = SMTP_NOTIFY_SUCCESS | SMTP_NOTIFY_FAILURE;
		l->rcpts[0].orcpt = STR("rfc822;c1+40d.example");
		l->rcpts[1].notify = SMTP_NOTIFY_NEVER;
		go();
		assert_int_equal(done_with(D), 3);
		if (offered) {
			assert_has(buf_cstr(&h->heard),
				   "MAIL FROM:<a@b.example> RET=HDRS ENVID=QQ+2B314159\n"
				   "RCPT TO:<c1@d.example> NOTIFY=SUCCESS,FAILURE "
				   "ORCPT=rfc822;c1+40d.example\n"
				   "RCPT TO:<c2@d.example> NOTIFY=NEVER\n"
				   "RCPT TO:<c3@d.example>\n");
			assert_int_equal(relayed.calls, 0);
		} else {
			assert_null(strstr(buf_cstr(&h->heard), "NOTIFY"));
			assert_null(strstr(buf_cstr(&h->heard), "ENVID"));
			assert_int_equal(relayed.calls, 1);
			assert_int_equal(relayed.n, 3);
		}
		finish();
	}
}

/* A route that demands TLS, at hosts that have none: nothing of the letter is said. */
static bool demands_tls(void *arg, const char *next_hop, struct smtpout_demands *ret)
{
	(void)arg;
	(void)next_hop;
	*ret = (struct smtpout_demands){ .tls = ROUTE_TLS_REQUIRED };
	return true;
}

static void test_tls_that_is_not_there(void **state)
{
	(void)state;
	static const struct smtpout_config cfg = { .demands = demands_tls };
	static const char *const hellos[] = { SAY_EHLO, "502 5.5.1 no\r\n",
					      "250-mx.example\r\n250 STARTTLS\r\n" };
	for (size_t i = 0; i < ARRAY_LEN(hellos); i++) {
		struct host *h = begin(&cfg);
		h->lines.ehlo = hellos[i];
		(void)send_one(1);
		assert_int_equal(core_hop(HOP)->reports, 1);
		assert_string_equal(core_hop(HOP)->why.enhanced, "4.7.4");
		assert_int_equal(core_hop(HOP)->why.reply_class, REPLY_TLS);
		assert_null(strstr(buf_cstr(&h->heard), "MAIL"));
		finish();
	}
}

static bool demands_login(void *arg, const char *next_hop, struct smtpout_demands *ret)
{
	(void)arg;
	(void)next_hop;
	*ret = (struct smtpout_demands){ .tls = ROUTE_TLS_NONE,
					 .user = "user",
					 .password = "pencil" };
	return true;
}

/* In the clear a password is for this machine only. */
static void test_login_in_the_clear(void **state)
{
	(void)state;
	static const struct smtpout_config cfg = { .demands = demands_login };
	struct host *h = begin(&cfg);
	h->lines.ehlo = "250-mx.example\r\n250 AUTH LOGIN PLAIN\r\n";
	(void)send_one(1);
	assert_has(buf_cstr(&h->heard), "AUTH PLAIN AHVzZXIAcGVuY2ls\n");
	assert_string_equal(core_hop(HOP)->why.reply, "500 5.5.1 What?");
	finish();
	h = begin(&cfg);
	struct host *far = host_open("192.0.2.1");
	h->lines.greeting = "421 4.3.2 closed\r\n" HANG_UP;
	far->lines.ehlo = "250-mx.example\r\n250 AUTH LOGIN PLAIN\r\n";
	core_host(HOP, "far.example", 20, far->at.port, "192.0.2.1");
	(void)send_one(1);
	assert_string_equal(buf_cstr(&far->heard), "EHLO relay.example\n");
	assert_has(core_hop(HOP)->why.reply, "not encrypted");
	finish();
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_delivers),
		cmocka_unit_test(test_speaks_plainly),
		cmocka_unit_test(test_messages_from_the_disk),
		cmocka_unit_test(test_durations),
		cmocka_unit_test(test_outcomes_pipelined),
		cmocka_unit_test(test_outcomes_one_by_one),
		cmocka_unit_test(test_nobody_accepted_and_yet_354),
		cmocka_unit_test(test_size),
		cmocka_unit_test(test_refusals_of_our_own_take_turns),
		cmocka_unit_test(test_eight_bit),
		cmocka_unit_test(test_timeouts),
		cmocka_unit_test(test_slow_replies),
		cmocka_unit_test(test_no_answer_to_connecting),
		cmocka_unit_test(test_no_route),
		cmocka_unit_test(test_idle_session_quits),
		cmocka_unit_test(test_closed_while_idle),
		cmocka_unit_test(test_smtputf8),
		cmocka_unit_test(test_dsn_parameters),
		cmocka_unit_test(test_tls_that_is_not_there),
		cmocka_unit_test(test_login_in_the_clear),
		cmocka_unit_test(test_421_while_idle),
		cmocka_unit_test(test_half_a_reply_while_idle),
		cmocka_unit_test(test_421_on_a_used_connection),
		cmocka_unit_test(test_share_of_a_connection),
		cmocka_unit_test(test_cut_everywhere),
		cmocka_unit_test(test_byte_by_byte),
		cmocka_unit_test(test_endless_replies),
		cmocka_unit_test(test_reply_with_zero_bytes_and_too_long),
		cmocka_unit_test(test_large_content),
		cmocka_unit_test(test_content_is_not_taken),
		cmocka_unit_test(test_accepted_too_early),
		cmocka_unit_test(test_refused_in_the_midst_of_the_content),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
