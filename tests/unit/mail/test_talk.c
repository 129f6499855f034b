#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <cmocka.h>

#include "base/mem.h"
#include "mail/talk.h"

static const struct talk_facts facts = {
	.sender = { "app@shop.example", 16 },
	.rcpt = { "anna@fast.example", 17 },
	.reply = { "250 2.0.0 Ok: queued as 4711", 28 },
	.size = 1234,
};

struct spoken {
	enum talk_by by;
	enum talk_step step;
	unsigned rcpt;
	int64_t at_ms;
	const char *text;
};

static void add(struct talk_log *l, const struct spoken *s)
{
	talk_log_add(l, s->by, s->step, s->rcpt, s->at_ms, str_of(s->text));
}

static const struct spoken clean[] = {
	{ TALK_RELAY, TALK_MAIL, 0, 100, "MAIL FROM:<app@shop.example> SIZE=1234" },
	{ TALK_HOST, TALK_MAIL, 0, 103, "250 2.1.0 Ok\r\n" },
	{ TALK_RELAY, TALK_RCPT, 1, 103, "RCPT TO:<anna@fast.example>" },
	{ TALK_HOST, TALK_RCPT, 1, 110, "250 2.1.5 Ok\r\n" },
	{ TALK_RELAY, TALK_DATA, 0, 110, "DATA" },
	{ TALK_HOST, TALK_DATA, 0, 111, "354 Go ahead\r\n" },
	{ TALK_CONTENT, TALK_END, 0, 111, "1234" },
	{ TALK_HOST, TALK_END, 0, 290, "250 2.0.0 Ok: queued as 4711\r\n" },
};

static void pack_usual(const struct talk_log *l, struct talk_facts *f, struct buf *connection)
{
	static const enum talk_step steps[] = { TALK_MAIL, TALK_RCPT, TALK_DATA };
	struct talk_log opening = TALK_LOG_INIT;

	talk_log_begin(&opening, 0);
	talk_log_add(&opening, TALK_HOST, TALK_GREETING, 0, 5, STR("220 hello\r\n"));
	talk_pack(&opening, 0, 0, NULL, connection);
	for (size_t i = 0; i < ARRAY_LEN(steps); i++)
		talk_pack_usual(steps[i], talk_reply_of(l, steps[i]), connection);
	talk_log_done(&opening);
	*f = facts;
	talk_usual(buf_str(connection), f);
}

static void check(struct talk_reader *r, const struct spoken *s, int64_t last_ms)
{
	struct talk_record got;

	assert_true(talk_next(r, &got));
	assert_int_equal(got.by, s->by);
	assert_int_equal(got.step, s->step);
	assert_int_equal(got.after_ms, s->at_ms - last_ms);
	assert_int_equal(got.text.n, strlen(s->text));
	assert_memory_equal(got.text.p, s->text, got.text.n);
}

/* A clean delivery takes two bytes a record, and comes back word for word. */
static void test_clean(void **state)
{
	struct talk_log l = TALK_LOG_INIT;
	AUTO_BUF out = BUF_INIT(TALK_PACKED_MAX);
	AUTO_BUF connection = BUF_INIT(TALK_PACKED_MAX);
	struct talk_facts f;
	struct talk_reader r;
	struct talk_record got;
	struct talk_times times = TALK_TIMES_NONE;
	int64_t last = 100;

	(void)state;
	talk_log_begin(&l, 100);
	for (size_t i = 0; i < ARRAY_LEN(clean); i++)
		add(&l, &clean[i]);
	pack_usual(&l, &f, &connection);
	talk_pack(&l, 1, 1, &f, &out);
	assert_in_range(out.n, 1, 1 + 2 * ARRAY_LEN(clean) + 1);
	talk_reader_init(&r, buf_str(&out), &f);
	assert_int_equal(r.number, 1);
	for (size_t i = 0; i < ARRAY_LEN(clean); i++) {
		check(&r, &clean[i], last);
		last = clean[i].at_ms;
	}
	assert_false(talk_next(&r, &got));
	talk_reader_done(&r);
	talk_reader_init(&r, buf_str(&out), &f);
	while (talk_next(&r, &got))
		talk_time(&times, &got);
	talk_reader_done(&r);
	assert_int_equal(times.ms[TALK_MAIL], 3);
	assert_int_equal(times.ms[TALK_RCPT], 7);
	assert_int_equal(times.ms[TALK_DATA] + times.ms[TALK_END], 180);
	assert_int_equal(times.ms[TALK_AUTH], -1);
	/* the connection's own part has its greeting only */
	talk_reader_init(&r, buf_str(&connection), NULL);
	assert_true(talk_next(&r, &got) && str_eq(got.text, STR("220 hello\r\n")));
	assert_false(talk_next(&r, &got));
	talk_reader_done(&r);
	talk_log_done(&l);
}

/* Nothing that only looks like what is expected is taken for it. */
static void test_nearly(void **state)
{
	static const struct spoken lines[] = {
		{ TALK_RELAY, TALK_MAIL, 0, 0, "MAIL FROM:<app@shop.example> SIZE=12345" },
		{ TALK_RELAY, TALK_MAIL, 0, 0,
		  "MAIL FROM:<app@shop.example> SIZE=1234 BODY=8BITMIME" },
		{ TALK_RELAY, TALK_MAIL, 0, 0, "MAIL FROM:<app@shop.example>" },
		{ TALK_RELAY, TALK_MAIL, 0, 0, "MAIL FROM:<app@shop.exampl" },
		{ TALK_RELAY, TALK_RCPT, 0, 0, "RCPT TO:<anna@fast.example> NOTIFY=NEVER" },
		{ TALK_HOST, TALK_END, 0, 0, "250 2.0.0 Ok: queued as 4711\r\n." },
		{ TALK_HOST, TALK_MAIL, 0, 0, "250 2.1.0 ok\r\n" },
		{ TALK_HOST, TALK_RCPT, 0, 0, "250 2.0.0 Ok: queued as 4711\r\n" },
		{ TALK_HOST, TALK_RCPT, 0, 0, "250 2.0.0 Ok: queued as 4711\n" },
		{ TALK_HOST, TALK_END, 0, 0, "250-2.0.0 Ok: queued as 4711\r\n" },
		{ TALK_RELAY, TALK_RCPT, 0, 0, "RCPT TO:<Anna@fast.example>" },
		{ TALK_NOTE, TALK_END, 0, 0, "" },
	};
	struct talk_log l = TALK_LOG_INIT;
	AUTO_BUF out = BUF_INIT(TALK_PACKED_MAX);
	struct talk_reader r;

	(void)state;
	talk_log_begin(&l, 0);
	for (size_t i = 0; i < ARRAY_LEN(lines); i++)
		add(&l, &lines[i]);
	talk_pack(&l, 1, 1, &facts, &out);
	talk_reader_init(&r, buf_str(&out), &facts);
	for (size_t i = 0; i < ARRAY_LEN(lines); i++)
		check(&r, &lines[i], 0);
	talk_reader_done(&r);
	talk_log_done(&l);
}

static void test_others(void **state)
{
	struct talk_log l = TALK_LOG_INIT;
	AUTO_BUF out = BUF_INIT(TALK_PACKED_MAX);
	struct talk_reader r;
	struct talk_record got;
	int64_t sum = 0;
	unsigned n = 0;

	(void)state;
	talk_log_begin(&l, 0);
	for (unsigned i = 1; i <= 50; i++)
		talk_log_add(&l, TALK_HOST, TALK_RCPT, i, i * 10, STR("450 4.2.0 no\r\n"));
	talk_log_add(&l, TALK_HOST, TALK_DATA, 0, 510, STR("554 5.5.1 nobody\r\n"));
	talk_pack(&l, 20, 3, &facts, &out);
	talk_reader_init(&r, buf_str(&out), &facts);
	assert_int_equal(r.number, 3);
	while (talk_next(&r, &got)) {
		sum += got.after_ms;
		n++;
		if (n == 1)
			assert_true(str_eq(got.text, STR("19 lines about other recipients")));
	}
	assert_int_equal(n, 4); /* others, its own, others, DATA */
	assert_int_equal(sum, 510);
	talk_reader_done(&r);
	talk_log_done(&l);
}

/* A host that talks without end fills what it may, and the end of the transaction is kept. */
static void test_limits(void **state)
{
	static char big[2 * TALK_TEXT_MAX];
	struct talk_log l = TALK_LOG_INIT;
	AUTO_BUF out = BUF_INIT(TALK_PACKED_MAX);
	struct talk_reader r;
	struct talk_record got;
	bool end = false;
	bool told = false;

	(void)state;
	memset(big, 'x', sizeof(big));
	talk_log_begin(&l, 0);
	for (unsigned i = 1; i <= 100; i++)
		talk_log_add(&l, TALK_HOST, TALK_RCPT, i, 0, str_from(big, sizeof(big)));
	talk_log_add(&l, TALK_HOST, TALK_END, 0, 0, STR("250 ok\r\n"));
	assert_in_range(l.b.n, 1, TALK_LOG_MAX);
	talk_pack(&l, 1, 1, &facts, &out);
	assert_in_range(out.n, 1, TALK_PACKED_MAX);
	talk_reader_init(&r, buf_str(&out), &facts);
	while (talk_next(&r, &got)) {
		assert_in_range(got.text.n, 0, TALK_TEXT_MAX);
		end = end || str_eq(got.text, STR("250 ok\r\n"));
		told = told || str_eq(got.text, STR("100 lines were too many or too long to keep"));
	}
	assert_true(end && told);
	talk_reader_done(&r);
	talk_log_done(&l);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_clean),
		cmocka_unit_test(test_nearly),
		cmocka_unit_test(test_others),
		cmocka_unit_test(test_limits),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
