/*
 * What ends by itself: holds, the time in which an action can be taken back, allowlist entries,
 * secrets, blocks of who guesses them, connections on which nothing comes.
 */
#include "base/base64.h"
#include "sim/sim.h"

#define FROM "app@h4.test"
#define BUSY "451 4.3.0 Mailbox busy\r\n"
#define REASON "\"reason\":\"a test\",\"request\":"

static struct sim_host *const sender = &sim.host[4];

static void begin(const char *config)
{
	sim_open(config);
	sim_must("allow.add", "{\"network\":\"127.0.0.0/8\"}");
}

/* --- holds ------------------------------------------------------------------------------------ */

static void test_a_hold_with_an_end(void **state)
{
	struct sim_host *h = &sim.host[0];
	int64_t held_ms;

	(void)state;
	begin("");
	sim_must("queue.hold", "{\"target\":\"domain:h0.test\",\"for_s\":7200," REASON "\"h1\"}");
	held_ms = sim_now();
	sim_send(FROM, "anna@h0.test");
	sim_send(FROM, "ben@h1.test");
	sim_pass(2 * HOUR - MINUTE);
	assert_int_equal(h->accepted, 0);
	assert_int_equal(sim.host[1].letters, 1);
	assert_int_equal(sim_queued("held"), 1);
	sim_pass(2 * MINUTE);
	assert_int_equal(h->letters, 1);
	assert_in_range(h->letter_ms[0] - held_ms, 2 * HOUR, 2 * HOUR + 2000);
	assert_int_equal(sim_queued("held"), 0);
	sim_close();
}

/* What was decided before a restart ends when it was to end. */
static void test_ends_over_restarts(void **state)
{
	struct sim_host *h = &sim.host[0];
	AUTO_FREE char *action = NULL;
	AUTO_FREE char *undo = NULL;
	json_t *v;

	(void)state;
	begin("");
	sim_must("allow.add", "{\"network\":\"10.0.0.0/8\",\"for_s\":3600}");
	sim_must("queue.hold", "{\"target\":\"domain:h0.test\",\"for_s\":7200," REASON "\"h1\"}");
	sim.host[1].rcpt = BUSY;
	sim_send(FROM, "anna@h0.test");
	sim_send(FROM, "ben@h1.test");
	action = sim_get("queue.delete", "{\"target\":\"domain:h1.test\"," REASON "\"d1\"}",
			 "action");
	undo = xasprintf("{\"action\":\"%s\",\"request\":\"u1\"}", action);
	sim_pass(5 * MINUTE);
	sim_restart(4 * MINUTE);
	assert_int_equal(sim_queued("trash"), 1);
	sim_must("action.undo", undo);
	assert_int_equal(sim_queued("trash"), 0);
	sim_restart(20 * MINUTE);
	v = sim_call("action.undo", "{\"action\":\"a3\",\"request\":\"u2\"}");
	assert_null(v); /* the hold: that is too late */
	sim_pass(HOUR);
	assert_int_equal(h->letters, 0);
	v = sim_do("allow.list", "{}");
	assert_int_equal(json_array_size(json_object_get(v, "rows")), 1);
	json_decref(v);
	sim_pass(40 * MINUTE);
	assert_int_equal(h->letters, 1);
	assert_in_range(h->letter_ms[0] - SIM_NOW, 2 * HOUR, 2 * HOUR + 5000);
	sim_close();
}

/* Two messages of five days, held for three: the lifetime of the one stops meanwhile. */
static void test_lifetime_and_holds(void **state)
{
	(void)state;
	begin("queue { delay-warning = \"0s\" }\n");
	sim.host[0].rcpt = sim.host[1].rcpt = BUSY;
	sim_must("queue.hold", "{\"target\":\"domain:h0.test\",\"for_s\":259200," REASON "\"h1\"}");
	sim_must("queue.hold", "{\"target\":\"domain:h1.test\",\"for_s\":259200,"
			       "\"keep_expiry\":true," REASON "\"h2\"}");
	sim_send(FROM, "anna@h0.test");
	sim_send(FROM, "ben@h1.test");
	sim_pass(5 * DAY - HOUR);
	assert_int_equal(sim_queued("recipients"), 2);
	assert_int_equal(sender->letters, 0);
	sim_pass(2 * HOUR);
	assert_int_equal(sim_queued("recipients"), 1);
	assert_int_equal(sim_letters_with(sender, "ben@h1.test"), 1);
	sim_pass(3 * DAY - 2 * HOUR);
	assert_int_equal(sim_queued("recipients"), 1);
	sim_pass(2 * HOUR);
	assert_int_equal(sim_queued("recipients"), 0);
	assert_int_equal(sim_letters_with(sender, "anna@h0.test"), 1);
	sim_close();
}

/* --- what can be taken back ------------------------------------------------------------------- */

/* Deletes, waits, and undoes. */
static bool undo_after(int64_t ms, const char *method)
{
	AUTO_FREE char *params = xasprintf("{\"target\":\"domain:h0.test\"," REASON "\"%s%d\"}",
					   method, sim.last_id);
	AUTO_FREE char *action = sim_get(method, params, "action");
	AUTO_FREE char *undo =
		xasprintf("{\"action\":\"%s\",\"request\":\"u%d\"}", action, sim.last_id);
	json_t *v;

	sim_pass(ms);
	v = sim_call("action.undo", undo);
	json_decref(v);
	sim_settle();
	return v != NULL;
}

static void test_undo_of_a_deletion(void **state)
{
	struct sim_host *h = &sim.host[0];

	(void)state;
	begin("");
	h->rcpt = BUSY;
	sim_send(FROM, "anna@h0.test");
	assert_true(undo_after(9 * MINUTE + 55000, "queue.delete"));
	assert_int_equal(sim_queued("recipients"), 1);
	assert_false(undo_after(10 * MINUTE + 2000, "queue.delete"));
	assert_int_equal(sim_queued("recipients"), 0);
	assert_int_equal(sim_queued("trash"), 0);
	h->rcpt = NULL;
	sim_pass(6 * DAY);
	assert_int_equal(h->letters, 0);
	assert_int_equal(sender->letters, 0); /* deleted: nobody is told */
	sim_close();
}

static void test_grace_of_a_bounce(void **state)
{
	struct sim_host *h = &sim.host[0];

	(void)state;
	begin("queue { bounce-grace = \"5m\" }\n");
	h->rcpt = BUSY;
	sim_send(FROM, "anna@h0.test");
	assert_true(undo_after(4 * MINUTE + 55000, "queue.bounce"));
	assert_int_equal(sender->letters, 0);
	assert_int_equal(sim_queued("recipients"), 1);
	assert_false(undo_after(5 * MINUTE + 5000, "queue.bounce"));
	assert_int_equal(sender->letters, 1);
	assert_int_equal(sim_letters_with(sender, "Action: failed"), 1);
	assert_int_equal(sim_queued("recipients"), 0);
	sim_close();
}

/* --- access ----------------------------------------------------------------------------------- */

static int rcpt_code(void)
{
	char said[512];
	int fd = sim_client();
	int code;

	sim_expect(fd, NULL, 220);
	sim_expect(fd, "EHLO client.test\r\n", 250);
	sim_expect(fd, "MAIL FROM:<" FROM ">\r\n", 250);
	code = sim_smtp(fd, "RCPT TO:<anna@h0.test>\r\n", said);
	(void)close(fd);
	sim_settle();
	return code;
}

static void test_allowed_for_an_hour(void **state)
{
	(void)state;
	sim_open("");
	assert_int_equal(rcpt_code(), 550);
	sim_must("allow.add", "{\"network\":\"127.0.0.1/32\",\"for_s\":3600}");
	assert_int_equal(rcpt_code(), 250);
	sim_pass(HOUR - 1000);
	assert_int_equal(rcpt_code(), 250);
	sim_pass(2000);
	assert_int_equal(rcpt_code(), 550);
	sim_close();
}

static int auth_code(const char *user, const char *secret)
{
	AUTO_BUF line = BUF_INIT(1024);
	char plain[256], said[512];
	int n = snprintf(plain, sizeof(plain), "%c%s%c%s", 0, user, 0, secret);
	int fd = sim_client();
	int code = sim_smtp(fd, NULL, said);

	if (code == 220) {
		sim_expect(fd, "EHLO client.test\r\n", 250);
		(void)buf_puts(&line, "AUTH PLAIN ");
		(void)base64_put(&line, str_from(plain, (size_t)n));
		(void)buf_puts(&line, "\r\n");
		(void)send(fd, buf_cstr(&line), line.n, MSG_NOSIGNAL);
		/* the answer to a failure is held back, a bit longer each time */
		sim_pass(GUARD_DELAY_MAX_MS);
		code = sim_smtp(fd, NULL, said);
	}
	(void)close(fd);
	sim_settle();
	return code;
}

static void test_a_secret_for_a_day(void **state)
{
	AUTO_FREE char *secret = NULL;

	(void)state;
	sim_open("");
	secret = sim_get("cred.add", "{\"name\":\"shop\",\"for_s\":86400}", "secret");
	assert_int_equal(auth_code("shop", secret), 235);
	sim_pass(DAY - HOUR);
	assert_int_equal(auth_code("shop", secret), 235);
	sim_pass(HOUR);
	assert_int_equal(auth_code("shop", secret), 535);
	sim.log[0] = '\0'; /* that one failed is logged */
	sim_close();
}

/* Who guesses is blocked, for twice as long the next time, and not for ever. */
static void test_blocks_end(void **state)
{
	AUTO_FREE char *secret = NULL;

	(void)state;
	sim_open("limits { auth-failures = 3\nauth-block = \"15m\" }\n");
	secret = sim_get("cred.add", "{\"name\":\"shop\"}", "secret");
	for (int k = 0; k < 3; k++)
		assert_int_equal(auth_code("shop", "wrong"), k < 2 ? 535 : 421);
	assert_int_not_equal(auth_code("shop", secret), 235);
	sim_pass(13 * MINUTE);
	assert_int_not_equal(auth_code("shop", secret), 235);
	sim_pass(2 * MINUTE);
	assert_int_equal(auth_code("shop", secret), 235);
	assert_int_equal(auth_code("shop", "wrong"), 421);
	sim_pass(20 * MINUTE);
	assert_int_not_equal(auth_code("shop", secret), 235);
	sim_pass(10 * MINUTE);
	assert_int_equal(auth_code("shop", secret), 235);
	sim.log[0] = '\0';
	sim_close();
}

/* --- connections ------------------------------------------------------------------------------ */

static void test_idle_clients_go(void **state)
{
	char said[512] = "";
	int fd;

	(void)state;
	begin("limits { command-time = \"5m\"\nmessage-time = \"1h\" }\n");
	fd = sim_client();
	sim_expect(fd, NULL, 220);
	sim_expect(fd, "EHLO client.test\r\n", 250);
	sim_pass(5 * MINUTE - 1000);
	sim_expect(fd, "NOOP\r\n", 250); /* and the time begins anew */
	sim_pass(5 * MINUTE - 1000);
	assert_int_equal(smtpin_connections(sim.relay->env.smtpin), 1);
	sim_pass(2000);
	assert_int_equal(sim_smtp(fd, NULL, said), 421);
	assert_int_equal(sim_smtp(fd, NULL, said), 0);
	(void)close(fd);
	sim_settle();
	assert_int_equal(smtpin_connections(sim.relay->env.smtpin), 0);
	sim_close();
}

/* A byte now and then keeps a message going for an hour, and no longer. */
static void test_slow_messages_end(void **state)
{
	char said[512] = "";
	unsigned minutes = 0;
	int fd;

	(void)state;
	begin("limits { command-time = \"5m\"\nmessage-time = \"1h\" }\n");
	fd = sim_client();
	sim_expect(fd, NULL, 220);
	sim_expect(fd, "EHLO client.test\r\n", 250);
	sim_expect(fd, "MAIL FROM:<" FROM ">\r\n", 250);
	sim_expect(fd, "RCPT TO:<anna@h0.test>\r\n", 250);
	sim_expect(fd, "DATA\r\n", 354);
	for (; minutes < 120 && smtpin_connections(sim.relay->env.smtpin) == 1; minutes += 4) {
		(void)send(fd, "x", 1, MSG_NOSIGNAL);
		sim_pass(4 * MINUTE);
	}
	assert_in_range(minutes, 60, 64);
	assert_int_equal(sim_smtp(fd, NULL, said), 421);
	assert_int_equal(sim_queued("recipients"), 0);
	(void)close(fd);
	sim_close();
}

/* Ours to a host: kept for the next message for a moment, then ended with QUIT. */
static void test_idle_sessions_quit(void **state)
{
	struct sim_host *h = &sim.host[0];

	(void)state;
	begin("");
	sim_send(FROM, "anna@h0.test");
	sim_pass(SMTPOUT_IDLE_MS - 500);
	sim_send(FROM, "anna@h0.test");
	assert_int_equal(h->letters, 2);
	assert_int_equal(h->accepted, 1); /* the same connection */
	assert_int_equal(h->connections, 1);
	sim_pass(SMTPOUT_IDLE_MS + 100);
	assert_int_equal(h->connections, 0);
	assert_int_equal(h->quits, 1);
	assert_int_equal(smtpout_connections(sim.relay->env.smtpout), 0);
	sim_close();
}

/* A host that goes silent in the middle is given up, and the message stays. RFC 5321, 4.5.3.2. */
static void test_silent_hosts_are_given_up(void **state)
{
	static const struct {
		const char *greeting, *mail, *data, *end;
		int64_t least, most; /* until it is given up */
	} at[] = {
		{ .greeting = "", .least = MINUTE, .most = 6 * MINUTE },
		{ .mail = "", .least = 4 * MINUTE, .most = 6 * MINUTE },
		{ .data = "", .least = 2 * MINUTE, .most = 6 * MINUTE },
		{ .end = "", .least = 9 * MINUTE, .most = 11 * MINUTE },
	};
	struct sim_host *h = &sim.host[0];

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(at); i++) {
		begin("");
		h->greeting = at[i].greeting;
		h->mail = at[i].mail;
		h->data = at[i].data;
		h->end = at[i].end;
		int64_t from_ms = sim_now();
		sim_send(FROM, "anna@h0.test");
		for (unsigned s = 0; s < 1200 && h->closed_ms == 0; s++)
			sim_pass(1000);
		assert_in_range(h->closed_ms - from_ms, at[i].least, at[i].most);
		assert_int_equal(sim_queued("recipients"), 1);
		h->greeting = h->mail = h->data = h->end = NULL;
		sim_pass(HOUR);
		assert_int_equal(sim_queued("recipients"), 0);
		sim_close();
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_a_hold_with_an_end),
		cmocka_unit_test(test_ends_over_restarts),
		cmocka_unit_test(test_lifetime_and_holds),
		cmocka_unit_test(test_undo_of_a_deletion),
		cmocka_unit_test(test_grace_of_a_bounce),
		cmocka_unit_test(test_allowed_for_an_hour),
		cmocka_unit_test(test_a_secret_for_a_day),
		cmocka_unit_test(test_blocks_end),
		cmocka_unit_test(test_idle_clients_go),
		cmocka_unit_test(test_slow_messages_end),
		cmocka_unit_test(test_idle_sessions_quit),
		cmocka_unit_test(test_silent_hosts_are_given_up),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
