/*
 * Next hops: which host is tried, what is reported, how many connections there are, how they are
 * shared, and how all of it stops.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "outcome/classify.h"
#include "unit/smtpout/fake_hosts.h"

/* --- hosts ------------------------------------------------------------------------------------ */

static void test_next_host(void **state)
{
	(void)state;
	static const struct lines bad[] = {
		{ .greeting = "421 4.3.2 closed\r\n" HANG_UP },
		{ .greeting = "554 5.7.1 go away\r\n" },
		{ .greeting = HANG_UP },
		{ .greeting = "hello\r\n" },
		{ .greeting = "354 what\r\n" },
		{ .greeting = SAY_GREETING SAY_GREETING },
		{ .ehlo = "450 4.3.2 Not now\r\n" },
		{ .ehlo = "554 5.7.1 I do not like you\r\n" },
		{ .ehlo = HANG_UP },
		{ .ehlo = "502 no\r\n", .helo = "550 no\r\n" },
		{ .ehlo = "502 no\r\n", .helo = HANG_UP },
		{ .ehlo = SAY_EHLO SAY_OK },
	};
	for (size_t i = 0; i <= ARRAY_LEN(bad); i++) {
		struct host *first = begin(NULL);
		struct host *second = host_open("127.0.0.2");
		core_host(HOP, "mx2.d.example", 20, second->at.port, "127.0.0.2");
		if (i < ARRAY_LEN(bad))
			first->lines = bad[i];
		else
			host_down(first);
		struct letter *l = send_one(1);
		assert_int_equal(l->result[0].outcome, D);
		assert_string_equal(l->result[0].host, "mx2.d.example");
		assert_string_equal(l->result[0].ip, "127.0.0.2");
		assert_int_equal(core_hop(HOP)->reports, 0);
		/* what failed is remembered, by other next hops too */
		unsigned asked = first->accepted;
		core_host("mx:other", "mx.d.example", 10, first->at.port, "127.0.0.1 127.0.0.2");
		l = core_submit("mx:other", BODY, 1);
		core_kick("mx:other");
		settle();
		assert_string_equal(l->result[0].ip, "127.0.0.2");
		assert_int_equal(first->accepted, asked);
		finish();
	}
}

static void test_a_bad_address_is_tried_again_later(void **state)
{
	(void)state;
	struct host *first = begin(NULL);
	struct host *second = host_open("127.0.0.2");
	core_host(HOP, "mx2.d.example", 20, second->at.port, "127.0.0.2");
	first->lines.greeting = "421 4.3.2 closed\r\n" HANG_UP;
	struct letter *l = send_one(1);
	assert_string_equal(l->result[0].ip, "127.0.0.2");
	first->lines.greeting = NULL;
	pass(61000, 500);
	l = send_one(1);
	assert_string_equal(l->result[0].ip, "127.0.0.1");
	finish();
}

static const struct {
	struct lines lines;
	bool down;
	int code;
	const char *enhanced;
	const char *reply;
	enum reply_class given;
	const char *host;
} unreachable_cases[] = {
	{ .down = true,
	  .enhanced = "4.4.1",
	  .given = REPLY_NETWORK,
	  .host = "",
	  .reply = "connecting: Connection refused" },
	{ .lines = { .greeting = "421 closed\r\n" },
	  .code = 421,
	  .enhanced = "4.3.2",
	  .reply = "421 closed",
	  .host = "mx.d.example" },
	{ .lines = { .greeting = "554 5.7.1 no\r\n" },
	  .code = 554,
	  .enhanced = "5.7.1",
	  .reply = "554 5.7.1 no",
	  .host = "mx.d.example" },
	{ .lines = { .greeting = HANG_UP },
	  .enhanced = "4.4.2",
	  .given = REPLY_NETWORK,
	  .reply = "mx.d.example [127.0.0.1] closed the connection before its greeting",
	  .host = "mx.d.example" },
	{ .lines = { .ehlo = "450 4.3.2 Not now\r\n" },
	  .code = 450,
	  .enhanced = "4.3.2",
	  .reply = "450 4.3.2 Not now",
	  .host = "mx.d.example" },
	{ .lines = { .ehlo = HANG_UP },
	  .enhanced = "4.4.2",
	  .given = REPLY_NETWORK,
	  .reply = "before its reply to EHLO",
	  .host = "mx.d.example" },
	{ .lines = { .greeting = "SSH-2.0-OpenSSH_9.2p1\r\n" },
	  .enhanced = "4.5.0",
	  .given = REPLY_PROTOCOL,
	  .reply = "SSH-2.0-OpenSSH_9.2p1",
	  .host = "mx.d.example" },
};

static void test_unreachable(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(unreachable_cases); i++) {
		struct host *h = begin(NULL);
		h->lines = unreachable_cases[i].lines;
		if (unreachable_cases[i].down)
			host_down(h);
		for (int k = 0; k < 10; k++)
			(void)core_submit(HOP, BODY, 1);
		go();
		pass(5000, 500);
		const struct fake_hop *f = core_hop(HOP);
		assert_int_equal(f->reports, 1);
		assert_false(f->permanent);
		assert_int_equal(f->why.code, unreachable_cases[i].code);
		assert_string_equal(f->why.enhanced, unreachable_cases[i].enhanced);
		assert_has(f->why.reply, unreachable_cases[i].reply);
		assert_int_equal(f->why.reply_class, unreachable_cases[i].given);
		assert_string_equal(f->why.host, unreachable_cases[i].host);
		assert_int_equal(core_ready(HOP), 10);
		assert_int_equal(smtpout_connections(core.out), 0);
		assert_false(smtpout_hop(core.out, HOP, &(struct smtpout_hop_view){ 0 }));
		/* after the back-off it is a new round, with a new look at the names */
		core_hop(HOP)->waiting = false;
		go();
		assert_int_equal(f->reports, 2);
		assert_int_equal(f->asked, 2);
		finish();
	}
}

/* While a former connection still says goodbye. */
static void test_unreachable_with_a_leaving_session(void **state)
{
	(void)state;
	struct host *h = begin(NULL);
	h->lines.quit = "";
	(void)send_one(1);
	pass(SMTPOUT_IDLE_MS + 100, 100);
	(void)close(h->fd);
	h->fd = -1;
	(void)send_one(1);
	assert_int_equal(smtpout_connections(core.out), 1);
	assert_int_equal(core_hop(HOP)->reports, 1);
	core_hop(HOP)->waiting = false;
	go();
	assert_int_equal(core_hop(HOP)->reports, 2);
	finish();
}

static void test_every_address_is_tried_once(void **state)
{
	(void)state;
	struct host *h = begin(NULL);
	host_down(h);
	core_host(HOP, "mx2.d.example", 20, h->at.port, "127.0.0.2 127.0.0.3");
	(void)send_one(1);
	assert_int_equal(core_hop(HOP)->reports, 1);
	assert_has(core_hop(HOP)->why.reply, "mx2.d.example [127.0.0.3]:");
	assert_has(core_hop(HOP)->why.reply, "(the last of 3 addresses)");
	finish();
}

static void test_equal_hosts_take_turns(void **state)
{
	(void)state;
	static const struct smtpout_config cfg = { .per_connection_max = 1 };
	struct host *first = begin(&cfg);
	struct host *second = host_open("127.0.0.2");
	core_host(HOP, "mx2.d.example", 10, second->at.port, "127.0.0.2");
	for (int i = 0; i < 10; i++)
		(void)core_submit(HOP, BODY, 1);
	go();
	assert_int_equal(first->messages, 5);
	assert_int_equal(second->messages, 5);
	finish();
}

static void test_dns(void **state)
{
	(void)state;
	static const struct {
		struct resolve_failure f;
		enum reply_class given;
	} cases[] = {
		{ { .permanent = true, .enhanced = "5.1.2", .text = "no such domain" },
		  REPLY_BAD_DOMAIN },
		{ { .permanent = true, .enhanced = "5.1.10", .text = "takes no mail" },
		  REPLY_BAD_DOMAIN },
		{ { .permanent = true, .enhanced = "5.4.6", .text = "a loop" }, REPLY_DNS },
		{ { .permanent = false, .enhanced = "4.4.3", .text = "no answer" }, REPLY_DNS },
	};
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		core_open(&usual);
		struct fake_hop *f = core_hop(HOP);
		f->failure = cases[i].f;
		(void)send_one(1);
		assert_int_equal(f->reports, 1);
		assert_int_equal(f->permanent, cases[i].f.permanent);
		assert_int_equal(f->why.code, 0);
		assert_int_equal(f->why.reply_class, cases[i].given);
		assert_string_equal(f->why.enhanced, cases[i].f.enhanced);
		assert_string_equal(f->why.reply, cases[i].f.text);
		finish();
	}
}

/* --- how many --------------------------------------------------------------------------------- */

static void test_one_connection_does_for_fast_ones(void **state)
{
	(void)state;
	struct host *h = begin(NULL);
	for (int i = 0; i < 100; i++)
		(void)core_submit(HOP, BODY, 1);
	go();
	assert_int_equal(h->messages, 100);
	assert_int_equal(h->accepted, 1);
	finish();
}

static void test_a_slow_host_gets_more(void **state)
{
	(void)state;
	static const struct smtpout_config cfg = { .per_hop_max = 12 };
	struct host *h = begin(&cfg);
	h->delay_ms = 200;
	for (int i = 0; i < 300; i++)
		(void)core_submit(HOP, BODY, 1);
	core_kick(HOP);
	pass(420, 10);
	assert_true(h->accepted <= 2); /* before it is known what the first is worth */
	pass(30000, 10);
	assert_int_equal(h->messages, 300);
	assert_int_equal(h->open_max, 12);
	finish();
}

static void test_the_host_has_a_limit(void **state)
{
	(void)state;
	struct host *h = begin(NULL);
	h->delay_ms = 100;
	h->most = 3;
	for (int i = 0; i < 300; i++)
		(void)core_submit(HOP, BODY, 1);
	core_kick(HOP);
	pass(20000, 20);
	struct smtpout_hop_view v;
	assert_true(smtpout_hop(core.out, HOP, &v));
	assert_int_equal(v.limit, 3);
	assert_int_equal(v.connections, 3);
	pass(30000, 20);
	assert_int_equal(h->messages, 300);
	assert_int_equal(core_hop(HOP)->reports, 0);
	assert_true(h->accepted < 20);
	finish();
}

/* What the better host will not take does not go to the worse one for it. */
static void test_a_limit_is_no_failure(void **state)
{
	(void)state;
	struct host *h = begin(NULL);
	struct host *backup = host_open("127.0.0.2");
	core_host(HOP, "mx2.d.example", 20, 25, "127.0.0.2");
	h->delay_ms = backup->delay_ms = 100;
	h->most = 3;
	for (int i = 0; i < 100; i++)
		(void)core_submit(HOP, BODY, 1);
	core_kick(HOP);
	pass(30000, 20);
	assert_int_equal(h->messages, 100);
	assert_int_equal(backup->accepted, 0);
	finish();
}

static void test_pause_after_useless_connections(void **state)
{
	(void)state;
	struct host *h = begin(NULL);
	h->lines.mail = "421 4.7.0 not now\r\n" HANG_UP;
	for (int i = 0; i < 100; i++)
		(void)core_submit(HOP, BODY, 1);
	core_kick(HOP);
	pass(10000, 50);
	assert_true(h->accepted <= 5); /* at 0, 1, 3, 7 s */
	/* whoever looks sees until when, and why */
	assert_true(core_hop(HOP)->slow_until_ms > CORE_NOW_MS + 10000);
	assert_has(core_hop(HOP)->why.reply, "4.7.0 not now");
	h->lines.mail = NULL;
	pass(20000, 50);
	assert_int_equal(core_ready(HOP), 0);
	finish();
}

/* Too much was sent: half the connections, nothing for a while, then slowly more. */
static void test_slow_down(void **state)
{
	(void)state;
	static const struct smtpout_config cfg = { .per_hop_max = 8 };
	struct host *h = begin(&cfg);
	struct smtpout_hop_view v;
	h->delay_ms = 100;
	for (int i = 0; i < 590; i++)
		(void)core_submit(HOP, BODY, 1);
	core_kick(HOP);
	pass(6000, 20);
	assert_int_equal(h->open_max, 8);
	h->lines.mail = "421 4.7.28 too fast\r\n" HANG_UP;
	h->lines.later = h->lines.mail;
	pass(400, 20);
	h->lines.mail = h->lines.later = NULL;
	unsigned slowed = done_with(T);
	assert_in_range(slowed, 1, 8); /* what was under way, not the rest */
	assert_int_equal(core_hop(HOP)->slowed, 1);
	assert_has(core_hop(HOP)->why.reply, "too fast");
	unsigned before = h->messages;
	pass(500, 20);
	assert_int_equal(h->messages, before);
	h->open_max = 0;
	pass(2500, 20);
	assert_true(h->messages > before);
	assert_true(smtpout_hop(core.out, HOP, &v));
	assert_in_range(v.limit, 4, 6);
	assert_in_range(h->open_max, 1, 6);
	pass(60000, 20);
	assert_int_equal(core_ready(HOP), 0);
	assert_int_equal(done_with(T), slowed);
	finish();
}

static void test_somebody_is_in_a_hurry(void **state)
{
	(void)state;
	struct host *h = begin(NULL);
	h->lines.mail = "421 4.7.28 too fast\r\n" HANG_UP;
	(void)send_one(1);
	(void)core_submit(HOP, BODY, 1);
	h->lines.mail = NULL;
	assert_true(core_hop(HOP)->slow_until_ms != 0);
	/* as `retry` does: the scheduler forgets its back-off, and so do we */
	smtpout_hurry(core.out, HOP);
	core_hop(HOP)->slow_until_ms = 0;
	go();
	assert_int_equal(core_ready(HOP), 0);
	assert_int_equal(h->messages, 1);
	finish();
}

/* Domains with the same mail exchangers: one limit, and connections that go from one to another. */
static void test_a_site_is_shared(void **state)
{
	(void)state;
	static const struct smtpout_config cfg = { .per_hop_max = 2 };
	struct host *h = begin(&cfg);
	char key[64];
	h->delay_ms = 50;
	for (int k = 0; k < 20; k++) {
		(void)snprintf(key, sizeof(key), "mx:d%d.example", k);
		core_host(key, "mx.d.example", 10, h->at.port, "127.0.0.1");
		for (int i = 0; i < 5; i++)
			(void)core_submit(key, BODY, 1);
	}
	for (int k = 0; k < 20; k++) {
		(void)snprintf(key, sizeof(key), "mx:d%d.example", k);
		core_kick(key);
	}
	pass(30000, 20);
	assert_int_equal(done_with(D), 100);
	assert_int_equal(h->open_max, 2);
	assert_in_range(h->accepted, 2, 4);
	finish();
}

/* Demands on the connection part next hops: none is given another's. */
static void test_demands_are_not_shared(void **state)
{
	(void)state;
	static const struct smtpout_config cfg = { .per_hop_max = 1 };
	struct host *h = begin(&cfg);
	core_host(HOP "#none", "mx.d.example", 10, h->at.port, "127.0.0.1");
	(void)core_submit(HOP, BODY, 1);
	(void)core_submit(HOP "#none", BODY, 1);
	core_kick(HOP);
	core_kick(HOP "#none");
	pass(10000, 20);
	assert_int_equal(done_with(D), 2);
	assert_int_equal(h->accepted, 2);
	assert_int_equal(h->open_max, 1);
	finish();
}

/* The limit of all connections, with a host that hangs, a slow one, and a fast one. */
static void test_room_is_shared(void **state)
{
	(void)state;
	static const struct smtpout_config cfg = { .connections_max = 4, .per_hop_max = 4 };
	struct host *slow = begin(&cfg);
	struct host *hung = host_open("127.0.0.2");
	struct host *fast = host_open("127.0.0.3");
	slow->delay_ms = 500;
	hung->lines.greeting = "";
	char key[64];
	for (int i = 0; i < 40; i++)
		(void)core_submit(HOP, BODY, 1);
	core_kick(HOP);
	pass(5000, 50);
	for (int i = 0; i < 20; i++) {
		(void)snprintf(key, sizeof(key), "mx:hung%d.example", i);
		core_host(key, "mx.hung.example", 10, hung->at.port, "127.0.0.2");
		(void)core_submit(key, BODY, 1);
		core_kick(key);
	}
	pass(1000, 50);
	core_host("mx:fast", "mx.fast.example", 10, fast->at.port, "127.0.0.3");
	for (int i = 0; i < 5; i++)
		(void)core_submit("mx:fast", BODY, 1);
	core_kick("mx:fast");
	pass(1000, 50);
	struct smtpout_hop_view v;
	assert_true(smtpout_hop(core.out, "mx:fast", &v));
	assert_true(v.waits_for_room);
	unsigned before = slow->messages;
	for (int t = 0; t < 120 && fast->messages < 5; t++) {
		pass(1000, 50);
		assert_true(smtpout_connections(core.out) <= 4);
	}
	assert_int_equal(fast->messages, 5);
	/* meanwhile the slow one had its share, and those that hang have been reported */
	for (int t = 0; t < 120; t++)
		pass(1000, 50);
	assert_true(slow->messages > before);
	assert_int_equal(slow->messages, 40);
	for (int i = 0; i < 20; i++) {
		(void)snprintf(key, sizeof(key), "mx:hung%d.example", i);
		assert_int_equal(core_hop(key)->reports, 1);
	}
	finish();
}

/* The time of all its addresses together counts. */
static void test_nobody_waits_behind_a_long_walk(void **state)
{
	(void)state;
	static const struct smtpout_config cfg = { .connections_max = 1, .greeting_ms = 4000 };
	struct host *first = begin(&cfg);
	struct host *other = host_open("127.0.0.9");
	first->lines.greeting = "";
	for (unsigned i = 2; i < 5; i++) {
		char ip[16];
		(void)snprintf(ip, sizeof(ip), "127.0.0.%u", i);
		host_open(ip)->lines.greeting = "";
		core_host(HOP, "mx.d.example", 10, 25, ip);
	}
	(void)send_one(1);
	core_host("mx:b", "mx.b.example", 10, 25, "127.0.0.9");
	(void)core_submit("mx:b", BODY, 1);
	core_kick("mx:b");
	pass(9500, 100);
	assert_int_equal(other->messages, 0);
	pass(1000, 100);
	assert_int_equal(other->messages, 1);
	pass(20000, 100);
	assert_int_equal(core_hop(HOP)->reports, 1); /* all of them were tried */
	assert_has(core_hop(HOP)->why.reply, "the last of 4 addresses");
	finish();
}

/* Next hops that always have work make room for others: by their share, and by their turn. */
static void test_busy_sessions_yield(void **state)
{
	(void)state;
	for (unsigned max = 1; max <= 2; max++) {
		const struct smtpout_config cfg = { .connections_max = max };
		struct host *busy = begin(&cfg);
		struct host *other = host_open("127.0.0.2");
		busy->delay_ms = 50;
		for (int i = 0; i < 500; i++)
			(void)core_submit(HOP, BODY, 1);
		core_kick(HOP);
		pass(2000, 10);
		assert_int_equal(busy->open, max);
		core_host("mx:b", "mx.b.example", 10, 25, "127.0.0.2");
		(void)core_submit("mx:b", BODY, 1);
		core_kick("mx:b");
		pass(max == 1 ? 4000 : 1000, 10);
		assert_int_equal(other->messages, 1);
		unsigned before = busy->messages;
		pass(5000, 10);
		assert_true(busy->messages > before);
		finish();
	}
}

static void test_some_room_is_kept(void **state)
{
	(void)state;
	static const struct smtpout_config cfg = { .connections_max = 8 };
	struct host *busy = begin(&cfg);
	struct host *other = host_open("127.0.0.2");
	busy->delay_ms = 200;
	for (int i = 0; i < 500; i++)
		(void)core_submit(HOP, BODY, 1);
	core_kick(HOP);
	pass(5000, 10);
	assert_int_equal(busy->open, 7);
	core_host("mx:b", "mx.b.example", 10, 25, "127.0.0.2");
	(void)core_submit("mx:b", BODY, 1);
	core_kick("mx:b");
	settle();
	assert_int_equal(other->messages, 1);
	finish();
}

static void test_idle_connections_make_room(void **state)
{
	(void)state;
	static const struct smtpout_config cfg = { .connections_max = 2 };
	struct host *h = begin(&cfg);
	(void)send_one(1);
	core_host("mx:b", "mx.b.example", 10, h->at.port, "127.0.0.1");
	(void)core_submit("mx:b", BODY, 1);
	core_kick("mx:b");
	settle();
	assert_int_equal(h->open, 2);
	core_host("mx:c", "mx.c.example", 10, h->at.port, "127.0.0.1");
	(void)core_submit("mx:c", BODY, 1);
	core_kick("mx:c");
	settle();
	assert_int_equal(h->messages, 3);
	assert_int_equal(h->open_max, 2);
	assert_int_equal(h->open, 2);
	finish();
}

static void test_many_next_hops_take_turns(void **state)
{
	(void)state;
	static const struct smtpout_config cfg = { .connections_max = 8 };
	struct host *h = begin(&cfg);
	char key[64];
	for (int i = 0; i < 300; i++) {
		(void)snprintf(key, sizeof(key), "mx:%d.example", i);
		core_host(key, "mx.example", 10, h->at.port, "127.0.0.1");
		(void)core_submit(key, BODY, 1);
		core_kick(key);
	}
	settle();
	pass(1000, 100);
	assert_int_equal(h->messages, 300);
	assert_true(h->open_max <= 8);
	finish();
}

/* --- stopping --------------------------------------------------------------------------------- */

static unsigned drains;

static void on_drained(void *arg)
{
	(void)arg;
	drains++;
	assert_false(core.inside);
}

static void drain(int64_t grace_ms)
{
	drains = 0;
	core.inside = true;
	smtpout_drain(core.out, grace_ms, on_drained, NULL);
	core.inside = false;
}

static void test_drain(void **state)
{
	(void)state;
	/* nothing there */
	(void)begin(NULL);
	drain(1000);
	assert_int_equal(drains, 0);
	settle();
	assert_int_equal(drains, 1);
	core_kick(HOP);
	pass(3000, 100);
	assert_int_equal(drains, 1);
	finish();
	/* an idle session says QUIT */
	struct host *h = begin(NULL);
	(void)send_one(1);
	drain(1000);
	settle();
	assert_int_equal(drains, 1);
	assert_has(buf_cstr(&h->heard), "QUIT");
	finish();
	/* a transaction is finished, another not begun */
	h = begin(NULL);
	h->delay_ms = 100;
	(void)core_submit(HOP, BODY, 1);
	(void)core_submit(HOP, BODY, 1);
	core_kick(HOP);
	pass(300, 10);
	drain(5000);
	pass(1000, 10);
	assert_int_equal(drains, 1);
	assert_int_equal(done_with(D), 1);
	assert_int_equal(core_ready(HOP), 1);
	finish();
	/* the grace is over */
	h = begin(NULL);
	h->lines.end = "";
	(void)core_submit(HOP, BODY, 1);
	go();
	drain(1000);
	pass(900, 100);
	assert_int_equal(drains, 0);
	pass(200, 100);
	assert_int_equal(drains, 1);
	assert_int_equal(core_ready(HOP), 1);
	finish();
	/* while names are resolved, and while a message is read */
	(void)begin(NULL);
	core.no_answer = true;
	(void)send_one(1);
	drain(1000);
	settle();
	assert_int_equal(drains, 1);
	assert_int_equal(core.asks_n, 0);
	finish();
}

/* Freed after n bytes of what the server has to say, and while messages are on their way. */
static void test_free_anywhere(void **state)
{
	(void)state;
	for (size_t n = 0; n < 340; n++) {
		struct host *h = begin(NULL);
		h->piece = 1;
		h->lines.ehlo = n % 2 == 0 ? SAY_EHLO : SAY_EHLO_PLAIN;
		core.later = n % 3 == 0;
		(void)core_submit(HOP, BODY, 2);
		(void)core_submit(HOP, BODY, 2);
		core_kick(HOP);
		for (size_t i = 0; i < n; i++) {
			core_turn();
			hosts_turn();
		}
		finish();
	}
}

static void test_drain_anywhere(void **state)
{
	(void)state;
	for (size_t n = 0; n < 340; n++) {
		struct host *h = begin(NULL);
		h->piece = 1;
		core.later = n % 3 == 0;
		(void)core_submit(HOP, BODY, 2);
		(void)core_submit(HOP, BODY, 2);
		core_kick(HOP);
		for (size_t i = 0; i < n; i++) {
			core_turn();
			hosts_turn();
		}
		drain(60000);
		settle();
		assert_int_equal(drains, 1);
		finish();
	}
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_next_host),
		cmocka_unit_test(test_a_bad_address_is_tried_again_later),
		cmocka_unit_test(test_unreachable),
		cmocka_unit_test(test_unreachable_with_a_leaving_session),
		cmocka_unit_test(test_every_address_is_tried_once),
		cmocka_unit_test(test_equal_hosts_take_turns),
		cmocka_unit_test(test_dns),
		cmocka_unit_test(test_one_connection_does_for_fast_ones),
		cmocka_unit_test(test_a_slow_host_gets_more),
		cmocka_unit_test(test_the_host_has_a_limit),
		cmocka_unit_test(test_a_limit_is_no_failure),
		cmocka_unit_test(test_pause_after_useless_connections),
		cmocka_unit_test(test_slow_down),
		cmocka_unit_test(test_somebody_is_in_a_hurry),
		cmocka_unit_test(test_a_site_is_shared),
		cmocka_unit_test(test_demands_are_not_shared),
		cmocka_unit_test(test_room_is_shared),
		cmocka_unit_test(test_nobody_waits_behind_a_long_walk),
		cmocka_unit_test(test_busy_sessions_yield),
		cmocka_unit_test(test_some_room_is_kept),
		cmocka_unit_test(test_idle_connections_make_room),
		cmocka_unit_test(test_many_next_hops_take_turns),
		cmocka_unit_test(test_drain),
		cmocka_unit_test(test_free_anywhere),
		cmocka_unit_test(test_drain_anywhere),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
