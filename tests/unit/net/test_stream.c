/*
 * Streams over socketpairs on a loop whose clock is told.
 */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/buf.h"
#include "base/mem.h"
#include "net/listener.h"
#include "net/stream.h"

struct side {
	struct loop *loop;
	struct stream *stream;
	int peer; /* the other end */
	struct buf got;
	size_t take;	  /* at most so much at once; 0: all */
	size_t keep_last; /* leave so much untaken */
	bool pause_at_data;
	bool free_at_data;
	bool close_at_drain;
	bool echo;
	size_t refill; /* written at each drain */
	unsigned calls;
	unsigned opens;
	unsigned ends;
	unsigned drains;
	unsigned timeouts;
	unsigned closes;
	int code;
};

static size_t on_data(void *arg, struct str in)
{
	struct side *t = arg;
	size_t n = in.n;

	t->calls++;
	if (t->take != 0 && n > t->take)
		n = t->take;
	n = n > t->keep_last ? n - t->keep_last : 0;
	(void)buf_put(&t->got, in.p, n);
	if (t->echo) {
		for (size_t i = 0; i < n; i++)
			assert_true(stream_write(t->stream, in.p + i, 1));
	}
	if (t->pause_at_data)
		stream_pause(t->stream, true);
	if (t->free_at_data)
		stream_free(&t->stream);
	return n;
}

static void on_closed(void *arg, const struct err *err)
{
	struct side *t = arg;

	t->closes++;
	t->code = err->code;
}

static void on_open(void *arg)
{
	((struct side *)arg)->opens++;
}

static void on_end(void *arg)
{
	((struct side *)arg)->ends++;
}

static void on_drain(void *arg)
{
	struct side *t = arg;
	static const char zeroes[4096];

	t->drains++;
	for (size_t n = 0; n < t->refill; n += sizeof(zeroes))
		(void)stream_write(t->stream, zeroes, sizeof(zeroes));
}

static void on_timeout(void *arg)
{
	((struct side *)arg)->timeouts++;
}

static const struct stream_ops plain = {
	.name = "test",
	.on_data = on_data,
	.on_closed = on_closed,
	.on_open = on_open,
	.on_drain = on_drain,
};
static const struct stream_ops full = {
	.name = "test",
	.out_limit = 200000,
	.high = 1000,
	.low = 100,
	.on_data = on_data,
	.on_closed = on_closed,
	.on_end = on_end,
	.on_drain = on_drain,
	.on_timeout = on_timeout,
};

static void open_side(struct side *t, const struct stream_ops *ops)
{
	int fd[2];

	*t = (struct side){ .loop = loop_new(), .got = BUF_INIT(4 << 20), .code = -1 };
	loop_fake_clock(t->loop, 0);
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, fd), 0);
	t->peer = fd[1];
	(void)fcntl(t->peer, F_SETFL, O_NONBLOCK);
	t->stream = stream_new(t->loop, fd[0], ops, t);
}

static void close_side(struct side *t)
{
	stream_free(&t->stream);
	if (t->peer >= 0)
		(void)close(t->peer);
	buf_done(&t->got);
	loop_free(&t->loop);
}

static void send_text(struct side *t, const char *text)
{
	assert_int_equal(send(t->peer, text, strlen(text), 0), (ssize_t)strlen(text));
	loop_advance(t->loop, 0);
}

/* What the peer can read now. */
static size_t peer_reads(struct side *t, char *to, size_t room)
{
	ssize_t n = recv(t->peer, to, room, 0);

	return n > 0 ? (size_t)n : 0;
}

static void untaken_bytes_are_shown_again(void **state)
{
	struct side t;

	(void)state;
	open_side(&t, &plain);
	t.keep_last = 3;
	send_text(&t, "hello");
	assert_string_equal(buf_cstr(&t.got), "he");
	assert_int_equal(t.calls, 1);
	send_text(&t, "!");
	assert_string_equal(buf_cstr(&t.got), "hel");
	t.keep_last = 0;
	send_text(&t, "?");
	assert_string_equal(buf_cstr(&t.got), "hello!?");
	close_side(&t);
}

static void a_paused_stream_resumes_with_what_it_kept(void **state)
{
	struct side t;

	(void)state;
	open_side(&t, &plain);
	t.pause_at_data = true;
	t.take = 2;
	send_text(&t, "abcd");
	assert_string_equal(buf_cstr(&t.got), "ab");
	send_text(&t, "ef");
	assert_int_equal(t.calls, 1);
	t.pause_at_data = false;
	t.take = 0;
	stream_pause(t.stream, false);
	assert_int_equal(t.calls, 1); /* never from inside the call */
	loop_advance(t.loop, 0);
	assert_string_equal(buf_cstr(&t.got), "abcdef");
	close_side(&t);
}

static void resuming_without_anything_kept_reads_on(void **state)
{
	struct side t;

	(void)state;
	open_side(&t, &plain);
	stream_pause(t.stream, true);
	send_text(&t, "late");
	assert_int_equal(t.calls, 0);
	stream_pause(t.stream, false);
	loop_advance(t.loop, 0);
	assert_string_equal(buf_cstr(&t.got), "late");
	close_side(&t);
}

static void replies_of_one_wakeup_leave_together(void **state)
{
	struct side t;
	char text[64] = "";
	int pair[2];

	(void)state;
	open_side(&t, &plain);
	/* packets keep their borders on this kind of socket, so that writes can be told apart */
	stream_free(&t.stream);
	(void)close(t.peer);
	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, pair), 0);
	t.peer = pair[1];
	(void)fcntl(t.peer, F_SETFL, O_NONBLOCK);
	t.stream = stream_new(t.loop, pair[0], &plain, &t);
	t.echo = true;
	send_text(&t, "abc");
	assert_int_equal(peer_reads(&t, text, sizeof(text)), 3);
	stream_cork(t.stream);
	(void)stream_write(t.stream, "x", 1);
	(void)stream_printf(t.stream, "%d%s", 12, "z");
	assert_int_equal(peer_reads(&t, text, sizeof(text)), 0);
	stream_uncork(t.stream);
	assert_int_equal(peer_reads(&t, text, sizeof(text)), 4);
	assert_memory_equal(text, "x12z", 4);
	close_side(&t);
}

static void water_marks_and_the_limit(void **state)
{
	struct side t;
	static char big[150000];
	static char sink[400000];
	size_t all = 0;

	(void)state;
	open_side(&t, &full);
	while (stream_pending(t.stream) == 0)
		assert_true(stream_write(t.stream, big, 1000));
	assert_true(stream_write(t.stream, big, sizeof(big)));
	assert_true(stream_full(t.stream));
	assert_false(stream_write(t.stream, big, 100000));
	assert_int_equal(t.drains, 0);
	for (int i = 0; i < 100 && stream_pending(t.stream) > 0; i++) {
		all += peer_reads(&t, sink, sizeof(sink));
		loop_advance(t.loop, 0);
	}
	assert_false(stream_full(t.stream));
	assert_int_equal(t.drains, 1);
	/* the refused write left nothing behind, and the stream goes on */
	for (size_t n = 1; n > 0; all += n)
		n = peer_reads(&t, sink, sizeof(sink));
	assert_true(stream_write(t.stream, "end", 3));
	assert_int_equal(peer_reads(&t, sink, sizeof(sink)), 3);
	assert_memory_equal(sink, "end", 3);
	assert_true(all > sizeof(big));
	close_side(&t);
}

/* A writer that refills at each drain must not keep the loop from its other work. */
static void draining_gives_way_to_others(void **state)
{
	struct side t;
	static const char zeroes[4096];

	(void)state;
	open_side(&t, &full);
	t.refill = sizeof(zeroes);
	stream_cork(t.stream);
	(void)stream_write(t.stream, zeroes, sizeof(zeroes));
	stream_uncork(t.stream);
	loop_advance(t.loop, 0);
	assert_in_range(t.drains, 1, 100);
	close_side(&t);
}

static void closing_sends_what_is_pending(void **state)
{
	struct side t;
	char text[64] = "";

	(void)state;
	open_side(&t, &plain);
	stream_cork(t.stream);
	(void)stream_write(t.stream, "bye", 3);
	stream_close(t.stream, 0);
	assert_false(stream_write(t.stream, "more", 4));
	stream_uncork(t.stream);
	assert_int_equal(t.closes, 0);
	loop_advance(t.loop, 0);
	assert_int_equal(t.closes, 1);
	assert_int_equal(t.code, ERR_NONE);
	assert_int_equal(peer_reads(&t, text, sizeof(text)), 3);
	assert_int_equal(recv(t.peer, text, 1, 0), 0);
	assert_int_equal(stream_fd(t.stream), -1);
	close_side(&t);
}

static void closing_gives_up_on_a_peer_that_does_not_read(void **state)
{
	struct side t;
	static char big[150000];

	(void)state;
	open_side(&t, &full);
	while (stream_pending(t.stream) == 0)
		assert_true(stream_write(t.stream, big, 1000));
	stream_close(t.stream, 0);
	loop_advance(t.loop, STREAM_CLOSE_MS - 1);
	assert_int_equal(t.closes, 0);
	loop_advance(t.loop, 1);
	assert_int_equal(t.closes, 1);
	assert_int_equal(t.code, ERR_TIMEOUT);
	assert_int_equal(t.timeouts, 0);
	close_side(&t);
}

static void lingering_drops_what_still_comes(void **state)
{
	struct side t;
	char text[8];

	(void)state;
	open_side(&t, &plain);
	stream_close(t.stream, 2000);
	loop_advance(t.loop, 0);
	assert_int_equal(recv(t.peer, text, 1, 0), 0); /* our direction is over */
	send_text(&t, "babble");
	assert_int_equal(t.calls, 0);
	assert_int_equal(t.closes, 0);
	(void)close(t.peer);
	t.peer = -1;
	loop_advance(t.loop, 0);
	assert_int_equal(t.closes, 1);
	assert_int_equal(t.code, ERR_NONE);
	close_side(&t);

	open_side(&t, &plain);
	stream_close(t.stream, 2000);
	loop_advance(t.loop, 1999);
	assert_int_equal(t.closes, 0);
	loop_advance(t.loop, 1);
	assert_int_equal(t.closes, 1);
	assert_int_equal(t.code, ERR_NONE);
	close_side(&t);
}

static void idle_time_counts_from_the_last_byte(void **state)
{
	struct side t;

	(void)state;
	open_side(&t, &full);
	stream_idle(t.stream, 1000);
	loop_advance(t.loop, 900);
	send_text(&t, "x");
	loop_advance(t.loop, 900);
	assert_int_equal(t.timeouts, 0);
	loop_advance(t.loop, 100);
	assert_int_equal(t.timeouts, 1);
	assert_int_equal(t.closes, 0);
	loop_advance(t.loop, 100000); /* told once */
	assert_int_equal(t.timeouts, 1);
	close_side(&t);

	open_side(&t, &plain);
	stream_idle(t.stream, 1000);
	loop_advance(t.loop, 1000);
	assert_int_equal(t.code, ERR_TIMEOUT);
	close_side(&t);
}

static void a_deadline_can_be_moved_both_ways(void **state)
{
	struct side t;

	(void)state;
	open_side(&t, &full);
	stream_deadline(t.stream, 1000);
	stream_deadline(t.stream, 5000);
	loop_advance(t.loop, 4999);
	assert_int_equal(t.timeouts, 0);
	loop_advance(t.loop, 1);
	assert_int_equal(t.timeouts, 1);
	stream_deadline(t.stream, 5000);
	stream_deadline(t.stream, 1000);
	loop_advance(t.loop, 1000);
	assert_int_equal(t.timeouts, 2);
	stream_deadline(t.stream, 1000);
	stream_deadline(t.stream, 0);
	loop_advance(t.loop, 100000);
	assert_int_equal(t.timeouts, 2);
	close_side(&t);
}

static void the_end_of_the_peer(void **state)
{
	struct side t;
	char text[8];

	(void)state;
	open_side(&t, &plain);
	(void)shutdown(t.peer, SHUT_WR);
	loop_advance(t.loop, 0);
	assert_int_equal(t.code, ERR_CLOSED);
	close_side(&t);

	open_side(&t, &full);
	send_text(&t, "last");
	(void)shutdown(t.peer, SHUT_WR);
	loop_advance(t.loop, 0);
	assert_int_equal(t.ends, 1);
	assert_int_equal(t.closes, 0);
	assert_true(stream_write(t.stream, "ok", 2));
	stream_close(t.stream, 1000);
	loop_advance(t.loop, 0);
	assert_int_equal(t.closes, 1);
	assert_int_equal(peer_reads(&t, text, sizeof(text)), 2);
	close_side(&t);
}

/* What was kept while paused comes before the end that follows it. */
static void the_end_waits_for_what_was_kept(void **state)
{
	struct side t;

	(void)state;
	open_side(&t, &full);
	t.pause_at_data = true;
	t.take = 2;
	send_text(&t, "abcd");
	(void)shutdown(t.peer, SHUT_WR);
	loop_advance(t.loop, 0);
	assert_int_equal(t.ends, 0);
	t.pause_at_data = false;
	stream_pause(t.stream, false);
	loop_advance(t.loop, 0);
	assert_string_equal(buf_cstr(&t.got), "abcd");
	assert_int_equal(t.ends, 1);
	close_side(&t);
}

static void half_close(void **state)
{
	struct side t;
	char text[8];

	(void)state;
	open_side(&t, &plain);
	(void)stream_write(t.stream, "x", 1);
	stream_shutdown(t.stream);
	assert_int_equal(peer_reads(&t, text, sizeof(text)), 1);
	assert_int_equal(recv(t.peer, text, 1, 0), 0);
	send_text(&t, "still");
	assert_string_equal(buf_cstr(&t.got), "still");
	close_side(&t);
}

static void a_broken_write_is_told_by_the_loop(void **state)
{
	struct side t;

	(void)state;
	open_side(&t, &plain);
	stream_pause(t.stream, true);
	(void)close(t.peer);
	t.peer = -1;
	(void)stream_write(t.stream, "x", 1);
	assert_int_equal(t.closes, 0);
	loop_advance(t.loop, 0);
	assert_int_equal(t.closes, 1);
	assert_int_equal(t.code, ERR_NET);
	close_side(&t);
}

static void freeing_in_a_callback(void **state)
{
	struct side t;

	(void)state;
	open_side(&t, &plain);
	t.free_at_data = true;
	send_text(&t, "x");
	assert_null(t.stream);
	assert_int_equal(t.closes, 0);
	close_side(&t);
}

static void too_much_that_nobody_takes(void **state)
{
	struct side t;
	static char big[STREAM_READ_SIZE];

	(void)state;
	open_side(&t, &plain);
	t.keep_last = SIZE_MAX;
	for (int i = 0; i < 8 && t.closes == 0; i++) {
		(void)send(t.peer, big, sizeof(big), MSG_NOSIGNAL);
		loop_advance(t.loop, 0);
	}
	assert_int_equal(t.closes, 1);
	assert_int_equal(t.code, ERR_LIMIT);
	close_side(&t);
}

static void pipes_work_too(void **state)
{
	struct side t;
	int in[2];

	(void)state;
	open_side(&t, &plain);
	stream_free(&t.stream);
	assert_int_equal(pipe(in), 0);
	t.stream = stream_new(t.loop, in[0], &plain, &t);
	assert_int_equal(write(in[1], "x", 1), 1);
	loop_advance(t.loop, 0);
	assert_string_equal(buf_cstr(&t.got), "x");
	(void)close(in[1]);
	loop_advance(t.loop, 0);
	assert_int_equal(t.code, ERR_CLOSED);
	close_side(&t);
}

struct accepted {
	int fds[8];
	unsigned n;
	unsigned cap;
	struct netaddr peer;
};

static bool on_accept(int fd, const struct netaddr *peer, void *arg)
{
	struct accepted *a = arg;

	a->peer = *peer;
	a->fds[a->n++] = fd;
	return a->n < a->cap;
}

/* Connections complete in the kernel at once on loopback, but the events take their time. */
static void turn(struct side *t)
{
	for (int i = 0; i < 200 && t->opens + t->closes == 0; i++) {
		loop_advance(t->loop, 0);
		(void)usleep(1000);
	}
	loop_advance(t->loop, 0);
}

static void connecting_to_a_listener(void **state)
{
	struct side t = { .loop = loop_new(), .got = BUF_INIT(100), .peer = -1 };
	struct accepted a = { .cap = 1 };
	struct listener *l = NULL;
	struct netaddr at;
	struct netaddr mine;
	struct ipaddr source;
	struct stream *other = NULL;

	(void)state;
	loop_fake_clock(t.loop, 0);
	assert_int_equal(netaddr_parse(STR("127.0.0.1:0"), &at, NULL), 0);
	assert_int_equal(listener_new(t.loop, &at, on_accept, &a, &l, NULL), 0);
	at = listener_address(l);
	assert_true(ipaddr_parse(STR("127.0.0.9"), &source));
	assert_int_equal(stream_connect(t.loop, &at, &source, 1000, &plain, &t, &t.stream, NULL),
			 0);
	assert_true(stream_write(t.stream, "early", 5));
	turn(&t);
	assert_int_equal(t.opens, 1);
	assert_int_equal(a.n, 1);
	assert_true(ipaddr_eq(&a.peer.ip, &source));
	assert_true(netaddr_local(stream_fd(t.stream), &mine));
	assert_int_equal(mine.port, a.peer.port);
	(void)usleep(1000);
	char text[8];
	assert_int_equal(recv(a.fds[0], text, sizeof(text), 0), 5);

	/* at its cap the listener waits */
	assert_int_equal(stream_connect(t.loop, &at, NULL, 1000, &plain, &t, &other, NULL), 0);
	t.opens = 0;
	turn(&t);
	assert_int_equal(a.n, 1);
	a.cap = 8;
	listener_resume(l);
	loop_advance(t.loop, 0);
	assert_int_equal(a.n, 2);

	/* a port where nobody listens */
	stream_free(&other);
	listener_free(&l);
	t.opens = 0;
	t.closes = 0;
	struct err err = ERR_INIT;
	int rc = stream_connect(t.loop, &at, NULL, 1000, &plain, &t, &other, &err);
	if (rc == 0) {
		turn(&t);
		assert_int_equal(t.opens, 0);
		assert_int_equal(t.code, ERR_NET);
	} else {
		assert_int_equal(rc, -ERR_NET);
	}
	for (unsigned i = 0; i < a.n; i++)
		(void)close(a.fds[i]);
	stream_free(&other);
	close_side(&t);
}

static void connecting_takes_no_longer_than_told(void **state)
{
	struct side t = { .loop = loop_new(), .peer = -1 };
	struct listener *l = NULL;
	struct stream *s[3] = { NULL };
	struct netaddr at;

	/* a listener whose queue is full does not answer */
	(void)state;
	loop_fake_clock(t.loop, 0);
	struct sockaddr_storage sa;
	int fd = socket(AF_INET, SOCK_STREAM, 0);
	assert_int_equal(netaddr_parse(STR("127.0.0.1:0"), &at, NULL), 0);
	socklen_t n = netaddr_sockaddr(&at, &sa);
	assert_int_equal(bind(fd, (struct sockaddr *)&sa, n), 0);
	assert_int_equal(listen(fd, 0), 0);
	assert_true(netaddr_local(fd, &at));
	for (size_t i = 0; i < ARRAY_LEN(s); i++)
		assert_int_equal(stream_connect(t.loop, &at, NULL, 1000, &full, &t, &s[i], NULL),
				 0);
	loop_advance(t.loop, 0);
	loop_advance(t.loop, 1000);
	assert_true(t.closes >= 1);
	assert_int_equal(t.code, ERR_TIMEOUT);
	assert_int_equal(t.timeouts, 0);
	for (size_t i = 0; i < ARRAY_LEN(s); i++)
		stream_free(&s[i]);
	listener_free(&l);
	(void)close(fd);
	close_side(&t);
}

static void addresses(void **state)
{
	static const char *const good[] = { "127.0.0.1:2525", "[::1]:25", "0.0.0.0:0",
					    "[2001:db8::1]:65535" };
	static const char *const bad[] = { "",	      "127.0.0.1",    "127.0.0.1:",    "::1:25",
					   "[::1]",   "[::1]25",      "1.2.3.4:65536", "host:25",
					   "[::1:25", "127.0.0.1:-1", "127.0.0.1:25x", ":25" };
	struct netaddr a;
	struct netaddr b;
	struct sockaddr_storage sa;
	char text[NETADDR_TEXT_LEN];

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(good); i++) {
		assert_int_equal(netaddr_parse(str_of(good[i]), &a, NULL), 0);
		netaddr_text(&a, text);
		assert_string_equal(text, good[i]);
		(void)netaddr_sockaddr(&a, &sa);
		assert_true(netaddr_from_sockaddr(&sa, &b));
		netaddr_text(&b, text);
		assert_string_equal(text, good[i]);
	}
	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		assert_int_equal(netaddr_parse(str_of(bad[i]), &a, NULL), -ERR_INVALID);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(untaken_bytes_are_shown_again),
		cmocka_unit_test(a_paused_stream_resumes_with_what_it_kept),
		cmocka_unit_test(resuming_without_anything_kept_reads_on),
		cmocka_unit_test(replies_of_one_wakeup_leave_together),
		cmocka_unit_test(water_marks_and_the_limit),
		cmocka_unit_test(draining_gives_way_to_others),
		cmocka_unit_test(closing_sends_what_is_pending),
		cmocka_unit_test(closing_gives_up_on_a_peer_that_does_not_read),
		cmocka_unit_test(lingering_drops_what_still_comes),
		cmocka_unit_test(idle_time_counts_from_the_last_byte),
		cmocka_unit_test(a_deadline_can_be_moved_both_ways),
		cmocka_unit_test(the_end_of_the_peer),
		cmocka_unit_test(the_end_waits_for_what_was_kept),
		cmocka_unit_test(half_close),
		cmocka_unit_test(a_broken_write_is_told_by_the_loop),
		cmocka_unit_test(freeing_in_a_callback),
		cmocka_unit_test(too_much_that_nobody_takes),
		cmocka_unit_test(pipes_work_too),
		cmocka_unit_test(connecting_to_a_listener),
		cmocka_unit_test(connecting_takes_no_longer_than_told),
		cmocka_unit_test(addresses),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
