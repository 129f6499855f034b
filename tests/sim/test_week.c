/*
 * Days of a relay in milliseconds: retries and their times, delays and failures that are reported,
 * lifetime, next hops that back off and come back by themselves.
 */
#include "sim/sim.h"

#define FROM "app@h4.test"
#define BUSY "451 4.3.0 Mailbox busy\r\n"
#define SLACK 3000 /* ticks of a second, and a connection */

static struct sim_host *const sender = &sim.host[4]; /* where reports go */

static int64_t doubled_to(int64_t first, unsigned times, int64_t max)
{
	int64_t v = first;
	for (unsigned k = 0; k < times && v < max; k++)
		v *= 2;
	return v < max ? v : max;
}

static void begin(const char *config)
{
	sim_open(config);
	sim_must("allow.add", "{\"network\":\"127.0.0.0/8\"}");
}

/* The times between attempts follow the schedule, a fifth more or less, and differ. */
static void check_schedule(const struct sim_host *h, int64_t first, int64_t max)
{
	int64_t least = INT64_MAX, most = 0;

	for (unsigned k = 1; k < h->rcpts; k++) {
		int64_t gap = h->rcpt_ms[k] - h->rcpt_ms[k - 1];
		int64_t base = doubled_to(first, k - 1, max);
		assert_in_range(gap, base * 8 / 10, base * 12 / 10 + SLACK);
		if (base < max)
			continue;
		least = gap < least ? gap : least;
		most = gap > most ? gap : most;
	}
	/* jitter: of more than 100 times the range is used */
	if (h->rcpts > 100)
		assert_true(most - least > max / 4);
}

static void test_a_week_of_retries(void **state)
{
	struct sim_host *h = &sim.host[0];
	int64_t sent_ms;

	(void)state;
	begin("queue { lifetime = \"7d\" }\n");
	h->rcpt = BUSY;
	sent_ms = sim_now();
	sim_send(FROM, "anna@h0.test");
	assert_int_equal(h->rcpts, 1);
	sim_pass(3 * HOUR + 50 * MINUTE);
	assert_int_equal(sender->letters, 0);
	/* the warning: with the first attempt after four hours, and never again */
	sim_pass(90 * MINUTE);
	assert_int_equal(sender->letters, 1);
	assert_non_null(strstr(sender->letter[0], "Action: delayed"));
	assert_non_null(strstr(sender->letter[0], "Will-Retry-Until: "));
	assert_in_range(sender->letter_ms[0] - sent_ms, 4 * HOUR, 5 * HOUR + 15 * MINUTE);
	sim_pass(6 * DAY + 18 * HOUR);
	assert_int_equal(sender->letters, 1);
	assert_int_equal(sim_queued("recipients"), 1);
	/* the end */
	sim_pass(3 * HOUR);
	assert_int_equal(sender->letters, 2);
	assert_non_null(strstr(sender->letter[1], "Action: failed"));
	assert_non_null(strstr(sender->letter[1], "Status: 4.4.7"));
	assert_in_range(sender->letter_ms[1] - sent_ms, 7 * DAY, 7 * DAY + 10 * MINUTE);
	assert_int_equal(sim_queued("recipients"), 0);
	/* six while the time doubles, then some 167 h at an hour each */
	assert_in_range(h->rcpts, 150, 200);
	check_schedule(h, MINUTE, HOUR);
	unsigned attempts = h->rcpts;
	sim_pass(DAY);
	assert_int_equal(h->rcpts, attempts);
	assert_int_equal(sender->letters, 2);
	sim_close();
}

static void test_a_schedule_of_ones_own(void **state)
{
	struct sim_host *h = &sim.host[0];

	(void)state;
	begin("queue { retry-first = \"10m\"\nretry-max = \"6h\"\ndelay-warning = \"0s\"\n"
	      "lifetime = \"2d\" }\n");
	h->rcpt = BUSY;
	sim_send(FROM, "anna@h0.test");
	sim_pass(47 * HOUR);
	check_schedule(h, 10 * MINUTE, 6 * HOUR);
	assert_in_range(h->rcpts, 10, 16);
	assert_int_equal(sender->letters, 0); /* no warning */
	sim_pass(2 * HOUR);
	assert_int_equal(sender->letters, 1);
	assert_int_equal(sim_letters_with(sender, "Action: failed"), 1);
	sim_close();
}

/* A relay that is restarted each day keeps its schedule, its lifetime, and what it has said. */
static void test_a_week_over_restarts(void **state)
{
	struct sim_host *h = &sim.host[0];
	int64_t sent_ms;

	(void)state;
	begin("");
	h->rcpt = BUSY;
	sent_ms = sim_now();
	sim_send(FROM, "anna@h0.test");
	for (unsigned day = 0; day < 4; day++) {
		sim_pass(DAY - 20 * MINUTE);
		sim_restart(20 * MINUTE);
		assert_int_equal(sim_queued("recipients"), 1);
	}
	for (unsigned k = 7; k < h->rcpts; k++)
		assert_in_range(h->rcpt_ms[k] - h->rcpt_ms[k - 1], HOUR * 8 / 10,
				HOUR * 12 / 10 + 20 * MINUTE + SLACK);
	assert_in_range(h->rcpts, 85, 125);
	assert_int_equal(sender->letters, 1); /* the warning */
	sim_pass(DAY + 10 * MINUTE);
	assert_int_equal(sender->letters, 2);
	assert_int_equal(sim_letters_with(sender, "Action: failed"), 1);
	assert_in_range(sender->letter_ms[1] - sent_ms, 5 * DAY, 5 * DAY + 10 * MINUTE);
	sim_close();
}

static void test_recovery_after_days(void **state)
{
	struct sim_host *h = &sim.host[0];
	int64_t well_ms;

	(void)state;
	begin("");
	h->rcpt = BUSY;
	sim_send(FROM, "anna@h0.test");
	sim_pass(3 * DAY);
	h->rcpt = NULL;
	well_ms = sim_now();
	sim_pass(2 * HOUR);
	assert_int_equal(h->letters, 1);
	assert_in_range(h->letter_ms[0] - well_ms, 0, HOUR * 12 / 10 + SLACK);
	assert_non_null(strstr(h->letter[0], "Subject: a week"));
	sim_pass(4 * DAY);
	assert_int_equal(h->letters, 1);
	assert_int_equal(sender->letters, 1); /* the warning, and no failure */
	assert_int_equal(sim_letters_with(sender, "Action: delayed"), 1);
	sim_close();
}

/* RFC 3461: who asked for nothing hears nothing; who asked only for failures is not warned. */
static void test_reports_that_were_asked_for(void **state)
{
	(void)state;
	begin("");
	for (unsigned i = 0; i < 4; i++)
		sim.host[i].rcpt = BUSY;
	sim_send_with(FROM, "", "a@h0.test", " NOTIFY=NEVER");
	sim_send_with(FROM, "", "b@h1.test", " NOTIFY=FAILURE");
	sim_send_with(FROM, "", "c@h2.test", " NOTIFY=DELAY");
	sim_send_with("", "", "d@h3.test", "");
	sim_pass(6 * DAY);
	assert_int_equal(sim_queued("recipients"), 0);
	assert_int_equal(sender->letters, 2);
	assert_int_equal(sim_letters_with(sender, "a@h0.test"), 0);
	assert_int_equal(sim_letters_with(sender, "d@h3.test"), 0);
	assert_non_null(strstr(sender->letter[0], "c@h2.test"));
	assert_non_null(strstr(sender->letter[0], "Action: delayed"));
	assert_non_null(strstr(sender->letter[1], "b@h1.test"));
	assert_non_null(strstr(sender->letter[1], "Action: failed"));
	sim_close();
}

/* A report that cannot be delivered ends after its lifetime, and nobody hears of it. */
static void test_reports_do_not_bounce(void **state)
{
	(void)state;
	begin("");
	sim.host[0].rcpt = "550 5.1.1 No such user\r\n";
	sender->rcpt = BUSY;
	sim_send(FROM, "anna@h0.test");
	sim_pass(MINUTE);
	assert_int_equal(sim_queued("recipients"), 1); /* the report */
	sim_pass(5 * DAY + HOUR);
	assert_int_equal(sim_queued("recipients"), 0);
	sender->rcpt = NULL;
	sim_pass(6 * DAY);
	assert_int_equal(sender->letters, 0);
	assert_int_equal(sim_queued("recipients"), 0);
	for (unsigned i = 0; i < SIM_HOSTS; i++)
		assert_int_equal(sim.host[i].letters, 0);
	sim_close();
}

/* Nobody listens: tried again and again without wearing out the messages, and at once when it is
 * back, without anybody's doing. */
static void test_a_dead_host_comes_back(void **state)
{
	struct sim_host *h = &sim.host[0];
	int64_t back_ms;

	(void)state;
	begin("");
	sim_host_close(0);
	for (unsigned i = 0; i < 10; i++)
		sim_send(FROM, "anna@h0.test");
	sim_send(FROM, "ben@h1.test");
	sim_pass(MINUTE);
	assert_int_equal(sim.host[1].letters, 1); /* others are not in its way */
	sim_pass(2 * DAY);
	assert_int_equal(sim_queued("recipients"), 10);
	assert_int_equal(sender->letters, 10); /* a warning each */
	sim_host_open(0);
	back_ms = sim_now();
	sim_pass(90 * MINUTE);
	assert_int_equal(h->letters, 10);
	assert_int_equal(sim_queued("recipients"), 0);
	assert_in_range(h->letter_ms[0] - back_ms, 0, HOUR * 12 / 10 + 10 * MINUTE);
	sim_close();
}

/* The figures of the one destination. */
static char *backoff_of(const char *domain)
{
	AUTO_FREE char *params = xasprintf("{\"where\":\"domain:%s\"}", domain);
	json_t *v = sim_do("queue.list", params);
	const json_t *rows = json_is_array(v) ? v : json_object_get(v, "rows");
	const json_t *b = json_object_get(json_array_get(rows, 0), "backoff");
	char *text = b == NULL || json_is_null(b) ? NULL : json_dumps(b, JSON_ENCODE_ANY);

	json_decref(v);
	return text;
}

/* A site that says "too fast" is left alone for a while, with its reason, and only for a while. */
static void test_a_slowed_site_is_taken_up_again(void **state)
{
	struct sim_host *h = &sim.host[0];
	AUTO_FREE char *during = NULL;
	AUTO_FREE char *after = NULL;
	unsigned tried;

	(void)state;
	begin("");
	h->mail = "421 4.7.28 Too many messages from your address, slow down\r\n";
	for (unsigned i = 0; i < 20; i++)
		sim_send(FROM, "anna@h0.test");
	sim_pass(MINUTE);
	during = backoff_of("h0.test");
	assert_non_null(during);
	tried = h->accepted;
	sim_pass(HOUR);
	/* not as often as there are messages and retries: one now and then finds out */
	assert_in_range(h->accepted - tried, 2, 120);
	assert_int_equal(sim_queued("recipients"), 20);
	h->mail = NULL;
	sim_pass(90 * MINUTE);
	assert_int_equal(h->letters, 20);
	sim_send(FROM, "anna@h0.test");
	assert_int_equal(h->letters, 21); /* at once again */
	after = backoff_of("h0.test");
	assert_null(after);
	sim_close();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_a_week_of_retries),
		cmocka_unit_test(test_a_schedule_of_ones_own),
		cmocka_unit_test(test_a_week_over_restarts),
		cmocka_unit_test(test_recovery_after_days),
		cmocka_unit_test(test_reports_that_were_asked_for),
		cmocka_unit_test(test_reports_do_not_bounce),
		cmocka_unit_test(test_a_dead_host_comes_back),
		cmocka_unit_test(test_a_slowed_site_is_taken_up_again),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
