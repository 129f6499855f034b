/* A hundred thousand deferred recipients, a thousand spellings of twelve causes: twelve rows. */
#include "queue_rig.h"

#include "mail/address.h"
#include "outcome/classify.h"

#define MESSAGES 20u
#define RCPTS 5000u
#define SPELLINGS 1000u

static const char *const causes[] = {
	"421 4.7.28 [{ip}] Our system has detected an unusual rate of unsolicited mail. {url} {id} "
	"- gsmtp",
	"450 4.2.0 <{addr}>: Recipient address rejected: Greylisted for {n} seconds",
	"451 4.7.1 <{addr}>: Temporarily deferred; see {url}",
	"452 4.2.2 The email account {addr} that you tried to reach is over quota. {url}",
	"421 4.7.0 [TSS04] Messages from {ip} temporarily deferred due to unexpected volume or "
	"user complaints - {n}",
	"451 4.3.0 Temporary lookup failure (id {id})",
	"454 4.7.5 Certificate of {host} could not be verified",
	"450 4.1.8 <{addr}>: Sender address rejected: Domain not found",
	"451 4.7.650 The mail server [{ip}] has been temporarily rate limited due to IP "
	"reputation. [{host}]",
	"421 {host} Service not available, closing transmission channel",
	"452 4.3.1 Insufficient system storage, queue file {id}",
	"451 Client host [{ip}] blocked using zen.spamhaus.org; {url}{ip}",
};

static uint64_t state = 88172645463325252u;

static unsigned below(unsigned n)
{
	state ^= state << 13;
	state ^= state >> 7;
	state ^= state << 17;
	return (unsigned)(state % n);
}

static void put_word(struct buf *b, unsigned n)
{
	while (n-- > 0)
		(void)buf_putc(b, (char)('a' + below(26)));
}

static void put_id(struct buf *b)
{
	static const char set[] = "ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnpqrstuvwxyz0123456789";

	for (int i = 0; i < 14; i++)
		(void)buf_putc(b, set[below(sizeof(set) - 1)]);
	(void)buf_puts(b, "7Q");
}

static void put_value(struct buf *b, struct str name)
{
	if (str_eq(name, STR("ip"))) {
		(void)buf_printf(b, "%u.%u.%u.%u", 1 + below(254), below(255), below(255),
				 1 + below(254));
	} else if (str_eq(name, STR("n"))) {
		(void)buf_printf(b, "%u", 1 + below(9999));
	} else if (str_eq(name, STR("id"))) {
		put_id(b);
	} else if (str_eq(name, STR("url"))) {
		(void)buf_puts(b, "https://www.");
		put_word(b, 6);
		(void)buf_puts(b, ".example/p?id=");
		put_id(b);
	} else if (str_eq(name, STR("host"))) {
		(void)buf_printf(b, "mx%u.", below(90));
		put_word(b, 7);
		(void)buf_puts(b, ".example");
	} else {
		put_word(b, 5);
		(void)buf_printf(b, ".%u@", below(99));
		put_word(b, 7);
		(void)buf_puts(b, ".example");
	}
}

static void spell(const char *cause, struct buf *b)
{
	struct str rest = str_of(cause);

	buf_reset(b);
	while (rest.n > 0) {
		struct str plain = str_cut(&rest, '{');
		(void)buf_put_str(b, plain);
		if (rest.n > 0)
			put_value(b, str_cut(&rest, '}'));
	}
}

static char *spellings[SPELLINGS];

static void defer(const struct classify_rules *rules, struct rid rid, const char *reply)
{
	struct classify_out out;
	struct queue_result r = { .rid = rid, .next_ms = 5000, .attempts = 1 };
	struct attempt *a = &r.attempt;
	struct str text = str_of(reply + 4);
	size_t n = smtp_enhanced_length(text);

	a->at_ms = loop_wall_ms(rig.loop);
	a->outcome = OUTCOME_DEFERRED;
	a->code = (reply[0] - '0') * 100 + (reply[1] - '0') * 10 + reply[2] - '0';
	(void)snprintf(a->enhanced, sizeof(a->enhanced), "%.*s", (int)n, text.p);
	(void)snprintf(a->reply, sizeof(a->reply), "%s", reply);
	classify(rules,
		 &(struct classify_in){ .code = a->code,
					.enhanced = str_of(a->enhanced),
					.text = str_trim(str_from(text.p + n, text.n - n)) },
		 &out);
	a->reply_class = (uint8_t)out.reply_class;
	queue_record(rig.q, &r);
}

static struct msgid accept_many(struct rig_done *d)
{
	static struct message_rcpt rcpts[RCPTS];
	struct queue_new n = { .content_take = xstrdup("Subject: x\r\n\r\n") };

	for (unsigned k = 0; k < RCPTS; k++)
		rcpts[k] = (struct message_rcpt){ .address = STR("a@x.example"),
						  .domain = queue_name(rig.q, STR("x.example")) };
	n.m = (struct message){ .id = queue_new_id(rig.q),
				.received_ms = loop_wall_ms(rig.loop),
				.expires_ms = loop_wall_ms(rig.loop) + 86400000,
				.stream = queue_name(rig.q, STR("default")),
				.size = 14,
				.content = str_from(n.content_take, 14),
				.rcpts = rcpts,
				.rcpts_n = RCPTS };
	*d = (struct rig_done){ .called = false };
	queue_accept(rig.q, &n, rig_on_done, d);
	return n.m.id;
}

static struct {
	bool called;
	size_t n;
	uint64_t count;
	int64_t since_ms;
	uint64_t halves;
	bool all;
} got;

static void note(const struct queue_cause *rows, size_t n, const struct err *err)
{
	assert_null(err);
	memset(&got, 0, sizeof(got));
	got.n = n;
	for (size_t k = 0; k < n; k++) {
		got.count += rows[k].count;
		got.halves += rows[k].recent + rows[k].before;
		got.since_ms = rows[k].since_ms;
		assert_non_null(rows[k].sample);
		assert_int_equal(rows[k].sample->code, rows[k].code);
		if (n > ARRAY_LEN(causes))
			print_error("%.*s\n", STR_ARG(rows[k].text));
	}
	got.called = true;
	rig_wake();
}

static void on_causes(void *arg, const struct queue_cause *rows, size_t n, const struct err *err)
{
	(void)arg;
	note(rows, n, err);
}

static void on_past(void *arg, const struct queue_cause *rows, size_t n, bool all,
		    const struct err *err)
{
	(void)arg;
	note(rows, n, err);
	got.all = all;
}

static void ask_now(void)
{
	got.called = false;
	queue_causes(rig.q, NULL, 1000, loop_wall_ms(rig.loop), on_causes, NULL);
	while (!got.called)
		rig_wait();
}

static void ask_past(int64_t from_ms, int64_t to_ms, uint64_t most)
{
	struct queue_past past = { .from_ms = from_ms,
				   .to_ms = to_ms,
				   .most = most,
				   .limit = 1000,
				   .now_ms = loop_wall_ms(rig.loop) };

	got.called = false;
	queue_past_causes(rig.q, &past, on_past, NULL);
	while (!got.called)
		rig_wait();
}

static void test_twelve(void **unused)
{
	struct classify_rules *rules = NULL;
	struct rig_done done[MESSAGES];
	struct msgid ids[MESSAGES];
	AUTO_BUF b = BUF_INIT(1024);
	int64_t from_ms = loop_wall_ms(rig.loop);

	(void)unused;
	assert_true(classify_load(NULL, &rules, NULL) >= 0);
	for (unsigned k = 0; k < SPELLINGS; k++) {
		spell(causes[k % ARRAY_LEN(causes)], &b);
		spellings[k] = xstrdup(buf_cstr(&b));
	}
	for (unsigned k = 0; k < MESSAGES; k++)
		ids[k] = accept_many(&done[k]);
	for (unsigned k = 0; k < MESSAGES; k++) {
		rig_done_wait(&done[k]);
		assert_int_equal(done[k].code, 0);
	}
	for (unsigned k = 0; k < MESSAGES; k++)
		for (unsigned n = 1; n <= RCPTS; n++)
			defer(rules, rid_of(ids[k], n), spellings[(k * RCPTS + n) % SPELLINGS]);
	rig_settle();
	ask_now();
	assert_int_equal(got.n, ARRAY_LEN(causes));
	assert_int_equal(got.count, MESSAGES * RCPTS);
	ask_past(from_ms, loop_wall_ms(rig.loop) + 1000, 0);
	assert_int_equal(got.n, ARRAY_LEN(causes));
	assert_int_equal(got.count, MESSAGES * RCPTS);
	assert_int_equal(got.halves, MESSAGES * RCPTS);
	assert_true(got.all);
	ask_past(from_ms, loop_wall_ms(rig.loop) + 1000, 1000);
	assert_false(got.all);
	assert_in_range(got.count, 990, 1001);
	ask_past(from_ms - 100000, from_ms - 1, 0);
	assert_int_equal(got.n, 0);
	for (unsigned k = 0; k < SPELLINGS; k++)
		free(spellings[k]);
	classify_free(&rules);
}

/* A cause is as old as it is without a break, whatever is retried. */
static void test_since(void **unused)
{
	struct msgid id = rig_accept(&(struct rig_letter){ .to = "a@x.example,b@x.example" });
	int64_t first;

	(void)unused;
	rig_defer(rid_of(id, 1), 451, "4.7.1", "451 4.7.1 later");
	rig_settle();
	ask_now();
	first = got.since_ms;
	assert_in_range(first, 1, loop_wall_ms(rig.loop));
	rig_pause(20);
	rig_defer(rid_of(id, 2), 451, "4.7.1", "451 4.7.1 later");
	rig_defer(rid_of(id, 1), 451, "4.7.1", "451 4.7.1 later");
	rig_settle();
	rig_reopen();
	ask_now();
	assert_int_equal(got.n, 1);
	assert_int_equal(got.since_ms, first);
	rig_finish(rid_of(id, 1), OUTCOME_DELIVERED);
	rig_finish(rid_of(id, 2), OUTCOME_DELIVERED);
	rig_settle();
	ask_now();
	assert_int_equal(got.n, 0);
}

int main(void)
{
#define T(fn) cmocka_unit_test_setup_teardown(fn, rig_setup, rig_teardown)
	const struct CMUnitTest tests[] = { T(test_twelve), T(test_since) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
