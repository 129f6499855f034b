/*
 * The client against a relay that is played here, on a UNIX socket, with the clock in our hand:
 * what it says when the relay is late, talks nonsense, hangs up, or is silent; and what becomes of
 * calls and subscriptions meanwhile.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include <bsd/string.h>
#include <fcntl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/mem.h"
#include "client/client.h"
#include "loop/loop.h"
#include "proto/proto.h"

#define HELLO                                                                                      \
	"{\"jsonrpc\":\"2.0\",\"method\":\"hello\",\"params\":{\"protocol\":1,\"relay\":"          \
	"\"mx1.example.net\",\"version\":\"0\",\"role\":\"operator\",\"user\":\"eva\"}}\n"
#define ANSWERS_MAX 300

/* --- the rig --- */

static struct {
	char dir[64];
	char url[96];
	int listener;
	int conn;
	struct buf got; /* lines of the client that were not looked at yet */
	struct loop *loop;
	struct client *client;
	struct client_view view;
	int states;
	int answers;
	struct err last;	 /* of the last answer; code 0: it was good */
	int values[ANSWERS_MAX]; /* "v" of good answers, in order */
	int pushes;
	int resyncs;
	int unsubscribed;
	bool free_at_answer;
	bool free_at_push;
	bool free_at_state;
} rig;

static void turn(void)
{
	for (int i = 0; i < 8; i++)
		loop_advance(rig.loop, 0);
}

static void pass(int64_t ms)
{
	loop_advance(rig.loop, ms);
	turn();
}

static void on_state(void *arg)
{
	(void)arg;
	rig.states++;
	if (rig.free_at_state)
		client_free(&rig.client);
}

static void on_unsubscribed(void *arg, uint64_t sub, const struct err *err)
{
	(void)arg;
	assert_true(sub != 0);
	rig.last = *err;
	rig.unsubscribed++;
}

static void on_answer(void *arg, const json_t *result, const struct err *err)
{
	(void)arg;
	if (result != NULL && rig.answers < ANSWERS_MAX)
		rig.values[rig.answers] = (int)json_integer_value(json_object_get(result, "v"));
	rig.last = err != NULL ? *err : ERR_INIT;
	rig.answers++;
	if (rig.free_at_answer)
		client_free(&rig.client);
}

static void on_push(void *arg, const json_t *data, bool resync)
{
	(void)arg;
	(void)data;
	rig.pushes++;
	rig.resyncs += resync;
	if (rig.free_at_push)
		client_free(&rig.client);
}

static const struct client_ops ops = { .state = on_state, .unsubscribed = on_unsubscribed };

static void listen_now(void)
{
	struct sockaddr_un at = { .sun_family = AF_UNIX };

	(void)strlcpy(at.sun_path, rig.url + 5, sizeof(at.sun_path));
	rig.listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	assert_int_equal(bind(rig.listener, (struct sockaddr *)&at, sizeof(at)), 0);
	assert_int_equal(listen(rig.listener, 5), 0);
}

static int setup(void **state)
{
	(void)state;
	memset(&rig, 0, sizeof(rig));
	(void)strlcpy(rig.dir, "/tmp/weir-client-XXXXXX", sizeof(rig.dir));
	assert_non_null(mkdtemp(rig.dir));
	(void)snprintf(rig.url, sizeof(rig.url), "unix:%s/s", rig.dir);
	rig.conn = -1;
	rig.got = BUF_INIT((size_t)64 * 1024 * 1024);
	listen_now();
	rig.loop = loop_new();
	loop_fake_clock(rig.loop, 1800000000000);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	client_free(&rig.client);
	loop_free(&rig.loop);
	if (rig.conn >= 0)
		(void)close(rig.conn);
	if (rig.listener >= 0)
		(void)close(rig.listener);
	(void)unlink(rig.url + 5);
	(void)rmdir(rig.dir);
	buf_done(&rig.got);
	return 0;
}

static void open_client(bool stay)
{
	struct err err = ERR_INIT;

	assert_int_equal(client_new(rig.loop,
				    &(struct client_options){ .relay = rig.url, .stay = stay },
				    &ops, NULL, &rig.client, &err),
			 0);
}

static enum client_state view_state(void)
{
	client_view(rig.client, &rig.view);
	return rig.view.state;
}

/* The client's connection, which has to be there. */
static void take_conn(void)
{
	turn();
	if (rig.conn >= 0)
		(void)close(rig.conn);
	rig.conn = accept4(rig.listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	assert_true(rig.conn >= 0);
	buf_reset(&rig.got);
	turn();
	assert_int_equal(view_state(), CLIENT_GREETING);
}

static bool has_conn(void)
{
	int fd = accept4(rig.listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

	if (fd >= 0)
		(void)close(fd);
	return fd >= 0;
}

static void say(const char *text)
{
	size_t n = strlen(text);

	while (n > 0) { /* more than the socket takes at once */
		ssize_t sent = send(rig.conn, text, n, MSG_NOSIGNAL);

		if (sent > 0) {
			text += sent;
			n -= (size_t)sent;
		} else if (view_state() == CLIENT_LOST) {
			return;
		}
		turn();
	}
	turn();
}

static void hang_up(void)
{
	(void)close(rig.conn);
	rig.conn = -1;
	turn();
}

static void go_up(bool stay)
{
	open_client(stay);
	take_conn();
	say(HELLO);
	assert_int_equal(view_state(), CLIENT_UP);
}

/* The next request of the client; NULL when there is none. Owned. */
static json_t *next_request(void)
{
	ssize_t n;
	json_t *o;
	ptrdiff_t end;

	turn();
	while (buf_reserve(&rig.got, 65536) &&
	       (n = recv(rig.conn, rig.got.p + rig.got.n, 65536, 0)) > 0) {
		rig.got.n += (size_t)n;
		turn();
	}
	end = str_index(buf_str(&rig.got), '\n');
	if (end < 0)
		return NULL;
	o = json_loadb(rig.got.p, (size_t)end, 0, NULL);
	assert_non_null(o);
	buf_drop(&rig.got, (size_t)end + 1);
	return o;
}

static int64_t id_of(const json_t *request)
{
	return json_integer_value(json_object_get(request, "id"));
}

static const char *method_of(const json_t *request)
{
	return json_string_value(json_object_get(request, "method"));
}

static const char *param_of(const json_t *request, const char *name)
{
	const char *s =
		json_string_value(json_object_get(json_object_get(request, "params"), name));

	return s != NULL ? s : "";
}

static void expect_request(const char *method, int64_t *ret_id)
{
	json_t *o = next_request();

	if (o == NULL)
		fail_msg("%s does not come", method);
	assert_string_equal(method_of(o), method);
	if (ret_id != NULL)
		*ret_id = id_of(o);
	json_decref(o);
}

static void expect_no_request(void)
{
	json_t *o = next_request();

	if (o != NULL)
		fail_msg("%s came", method_of(o));
}

static void answer(int64_t id, int v)
{
	char line[128];

	(void)snprintf(line, sizeof(line),
		       "{\"jsonrpc\":\"2.0\",\"id\":%lld,\"result\":{\"v\":%d,\"sub\":%d}}\n",
		       (long long)id, v, v);
	say(line);
}

static uint64_t call(const char *method)
{
	return client_call(rig.client, method, NULL, on_answer, NULL);
}

static void expect_lost(int code, const char *text)
{
	assert_int_equal(view_state(), CLIENT_LOST);
	assert_int_equal(rig.view.trouble.code, code);
	if (strstr(rig.view.trouble.msg, text) == NULL)
		fail_msg("'%s' does not say '%s'", rig.view.trouble.msg, text);
}

/* --- the greeting --- */

static void test_hello_late(void **state)
{
	int64_t id;

	(void)state;
	open_client(true);
	take_conn();
	(void)call("status.get");
	pass(CLIENT_CONNECT_MS - 1000);
	assert_int_equal(view_state(), CLIENT_GREETING);
	expect_no_request();
	say(HELLO);
	assert_int_equal(view_state(), CLIENT_UP);
	assert_string_equal(rig.view.relay, "mx1.example.net");
	assert_string_equal(rig.view.user, "eva");
	assert_int_equal(rig.view.role, ACCESS_OPERATOR);
	expect_request("status.get", &id);
	answer(id, 7);
	assert_int_equal(rig.answers, 1);
	assert_int_equal(rig.values[0], 7);
}

static void test_hello_never(void **state)
{
	(void)state;
	open_client(false);
	take_conn();
	(void)call("status.get");
	pass(CLIENT_CONNECT_MS + 1);
	expect_lost(ERR_TIMEOUT, "greeting");
	assert_int_equal(rig.answers, 1);
	assert_int_equal(rig.last.code, ERR_TIMEOUT);
	assert_int_equal(rig.view.retry_wall_ms, 0);
}

static void test_noise_before_hello(void **state)
{
	(void)state;
	open_client(true);
	take_conn();
	say("Welcome to mx1\r\n\r\n{\"a\":1}\nLast login: today\n" HELLO);
	assert_int_equal(view_state(), CLIENT_UP);
	hang_up();
	expect_lost(ERR_CLOSED, "ended the connection");
	assert_null(strstr(rig.view.trouble.msg, "Welcome"));
}

static void test_words_instead_of_hello(void **state)
{
	(void)state;
	open_client(false);
	take_conn();
	say("This account is \033[31mcurrently\n not available.");
	hang_up();
	expect_lost(ERR_CLOSED, "This account is");
	assert_non_null(strstr(rig.view.trouble.msg, "not available."));
	assert_null(strchr(rig.view.trouble.msg, '\033'));
}

static void test_endless_line_instead_of_hello(void **state)
{
	AUTO_FREE char *line = xcalloc(1, 200001);

	(void)state;
	memset(line, 'x', 200000);
	open_client(true);
	take_conn();
	say(line);
	expect_lost(ERR_PROTO, "does not speak");
}

static void test_many_lines_instead_of_hello(void **state)
{
	(void)state;
	open_client(true);
	take_conn();
	for (int i = 0; i < 3000 && view_state() == CLIENT_GREETING; i++)
		say("go away\n");
	expect_lost(ERR_PROTO, "go away");
}

static void test_wrong_version(void **state)
{
	(void)state;
	open_client(true);
	take_conn();
	say("{\"jsonrpc\":\"2.0\",\"method\":\"hello\",\"params\":{\"protocol\":9}}\n");
	expect_lost(ERR_PROTO, "version 9");
}

/* Somebody has to change something: no attempt by itself, not even in an hour. */
static void test_refused(void **state)
{
	(void)state;
	open_client(true);
	take_conn();
	say("{\"jsonrpc\":\"2.0\",\"id\":null,\"error\":{\"code\":-32003,\"message\":"
	    "\"the account eva has no role\",\"data\":{\"name\":\"denied\"}}}\n");
	expect_lost(ERR_DENIED, "no role");
	assert_int_equal(rig.view.retry_wall_ms, 0);
	pass(3600000);
	assert_false(has_conn());
	client_hurry(rig.client);
	take_conn();
	say(HELLO);
	assert_int_equal(view_state(), CLIENT_UP);
}

static void test_no_socket(void **state)
{
	(void)state;
	(void)unlink(rig.url + 5);
	open_client(false);
	(void)call("status.get");
	turn();
	expect_lost(ERR_NET, "weir-relayd");
	assert_int_equal(rig.answers, 1);
	(void)call("status.get");
	assert_int_equal(rig.answers, 1); /* not from inside the call */
	turn();
	assert_int_equal(rig.answers, 2);
	assert_int_equal(rig.last.code, ERR_NET);
}

/* --- what comes later --- */

static void test_answer_in_pieces(void **state)
{
	static const char text[] = "{\"jsonrpc\":\"2.0\",\"id\":1,\"result\":{\"v\":42}}\n";

	(void)state;
	go_up(true);
	assert_int_equal(call("status.get"), 1);
	turn();
	for (size_t i = 0; text[i] != '\0'; i++) {
		char piece[2] = { text[i], '\0' };

		assert_int_equal(rig.answers, 0);
		say(piece);
	}
	assert_int_equal(rig.answers, 1);
	assert_int_equal(rig.values[0], 42);
}

/* More than is taken in one turn, in one piece, in order, without another byte to wake it up. */
static void test_many_lines_at_once(void **state)
{
	AUTO_BUF all = BUF_INIT((size_t)1024 * 1024);

	(void)state;
	go_up(true);
	for (int i = 0; i < PROTO_CALLS_MAX; i++)
		(void)call("status.get");
	turn();
	for (int i = 0; i < PROTO_CALLS_MAX; i++) {
		(void)buf_printf(&all, "{\"jsonrpc\":\"2.0\",\"id\":%d,\"result\":{\"v\":%d}}\n",
				 i + 1, i);
		for (int k = 0; k < 5; k++)
			(void)buf_puts(&all, "{\"jsonrpc\":\"2.0\",\"method\":\"push\",\"params\":"
					     "{\"sub\":99}}\n");
	}
	(void)send(rig.conn, all.p, all.n, MSG_NOSIGNAL);
	loop_advance(rig.loop, 0);
	turn();
	assert_int_equal(rig.answers, PROTO_CALLS_MAX);
	for (int i = 0; i < PROTO_CALLS_MAX; i++)
		assert_int_equal(rig.values[i], i);
}

static void test_endless_line(void **state)
{
	AUTO_FREE char *line = xcalloc(1, PROTO_RESPONSE_MAX + 200001);

	(void)state;
	memset(line, 'x', PROTO_RESPONSE_MAX + 200000);
	go_up(true);
	say(line);
	expect_lost(ERR_PROTO, "sent a line of more than");
}

static void test_garbage(void **state)
{
	(void)state;
	go_up(true);
	say("{\"jsonrpc\":\"2.0\",\n");
	expect_lost(ERR_PROTO, "no message");
}

static void test_strange_but_good(void **state)
{
	(void)state;
	go_up(true);
	say("{\"jsonrpc\":\"2.0\",\"id\":77,\"result\":null}\n"
	    "{\"jsonrpc\":\"2.0\",\"method\":\"news\",\"params\":{}}\n"
	    "{\"jsonrpc\":\"2.0\",\"method\":\"push\"}\n"
	    "{\"jsonrpc\":\"2.0\",\"method\":\"push\",\"params\":{\"sub\":-1}}\n"
	    "{\"jsonrpc\":\"2.0\",\"method\":\"status.get\",\"id\":3}\n");
	assert_int_equal(view_state(), CLIENT_UP);
	assert_int_equal(rig.answers, 0);
}

/* --- lost and found --- */

static void test_closed_in_an_answer(void **state)
{
	int64_t id;

	(void)state;
	go_up(true);
	(void)call("status.get");
	expect_request("status.get", &id);
	say("{\"jsonrpc\":\"2.0\",\"id\":1,\"resu");
	hang_up();
	expect_lost(ERR_CLOSED, "ended the connection");
	assert_int_equal(rig.answers, 0);
	pass(CLIENT_RETRY_FIRST_MS);
	take_conn();
	say(HELLO);
	expect_request("status.get", &id);
	answer(id, 5);
	assert_int_equal(rig.answers, 1);
	assert_int_equal(rig.values[0], 5);
}

static void test_change_keeps_its_request_id(void **state)
{
	json_t *first;
	json_t *second;

	(void)state;
	go_up(true);
	(void)call("queue.hold");
	first = next_request();
	assert_non_null(first);
	assert_string_not_equal(param_of(first, "request"), "");
	hang_up();
	pass(CLIENT_RETRY_FIRST_MS);
	take_conn();
	say(HELLO);
	second = next_request();
	assert_non_null(second);
	assert_string_equal(param_of(first, "request"), param_of(second, "request"));
	expect_no_request();
	answer(id_of(second), 1);
	assert_int_equal(rig.answers, 1);
	json_decref(first);
	json_decref(second);
}

static void test_stale_change_is_not_sent(void **state)
{
	(void)state;
	(void)unlink(rig.url + 5);
	open_client(true);
	(void)call("queue.hold");
	(void)call("status.get");
	pass(CLIENT_STALE_MS - 1000);
	assert_int_equal(rig.answers, 0);
	pass(2000); /* while the relay is still away */
	assert_int_equal(rig.answers, 1);
	assert_int_equal(rig.last.code, ERR_TIMEOUT);
	assert_non_null(strstr(rig.last.msg, "nothing was sent"));
	(void)close(rig.listener);
	listen_now();
	pass(CLIENT_RETRY_MAX_MS);
	take_conn();
	say(HELLO);
	expect_request("status.get", NULL);
	expect_no_request();
}

static void test_stale_change_that_was_sent(void **state)
{
	(void)state;
	go_up(true);
	(void)call("queue.hold");
	expect_request("queue.hold", NULL);
	(void)unlink(rig.url + 5);
	hang_up();
	pass(CLIENT_STALE_MS + 1000);
	assert_int_equal(rig.answers, 1);
	assert_int_equal(rig.last.code, ERR_TIMEOUT);
	assert_non_null(strstr(rig.last.msg, "undo journal"));
}

static void test_later_each_time(void **state)
{
	static const int64_t delays[] = { 500, 1000, 2000, 4000, 8000, 10000, 10000 };

	(void)state;
	go_up(true);
	(void)unlink(rig.url + 5);
	hang_up();
	for (size_t i = 0; i < ARRAY_LEN(delays); i++) {
		(void)view_state();
		assert_int_equal(rig.view.retry_wall_ms - loop_wall_ms(rig.loop), delays[i]);
		assert_true(rig.view.was_up);
		pass(delays[i]);
	}
	(void)close(rig.listener);
	listen_now();
	client_hurry(rig.client);
	take_conn();
	say(HELLO);
	hang_up();
	(void)view_state();
	assert_int_equal(rig.view.retry_wall_ms - loop_wall_ms(rig.loop), 500);
}

static void test_not_to_stay(void **state)
{
	(void)state;
	go_up(false);
	(void)call("status.get");
	(void)call("queue.hold");
	turn();
	hang_up();
	expect_lost(ERR_CLOSED, "ended the connection");
	assert_int_equal(rig.answers, 2);
	assert_int_equal(rig.last.code, ERR_CLOSED);
	assert_non_null(strstr(rig.last.msg, "whether it was done"));
	pass(60000);
	assert_false(has_conn());
}

/* --- heartbeat --- */

static void test_heartbeat(void **state)
{
	int64_t id;

	(void)state;
	go_up(true);
	for (int i = 0; i < 5; i++) {
		pass(CLIENT_BEAT_MS - 10);
		expect_no_request();
		pass(20);
		expect_request("ping", &id);
		answer(id, 0);
	}
	assert_int_equal(view_state(), CLIENT_UP);
	pass(CLIENT_BEAT_MS);
	expect_request("ping", &id);
	pass(CLIENT_DEAD_MS - CLIENT_BEAT_MS - 100);
	assert_int_equal(view_state(), CLIENT_UP);
	pass(200);
	expect_lost(ERR_TIMEOUT, "silent");
	assert_int_equal(rig.answers, 0);
}

/* Any byte is a sign of life, also without an answer to the ping. */
static void test_pushes_are_signs_of_life(void **state)
{
	(void)state;
	go_up(true);
	for (int i = 0; i < 20; i++) {
		pass(CLIENT_BEAT_MS - 500);
		say("{\"jsonrpc\":\"2.0\",\"method\":\"push\",\"params\":{\"sub\":1}}\n");
	}
	assert_int_equal(view_state(), CLIENT_UP);
	expect_no_request();
}

/* --- limits --- */

static void test_calls_beyond_the_limit_wait(void **state)
{
	int64_t first = 0;
	int n = 0;
	json_t *o;

	(void)state;
	go_up(true);
	for (int i = 0; i < PROTO_CALLS_MAX + 10; i++)
		(void)call("status.get");
	while ((o = next_request()) != NULL) {
		first = first == 0 ? id_of(o) : first;
		json_decref(o);
		n++;
	}
	assert_int_equal(n, PROTO_CALLS_MAX);
	answer(first, 1);
	expect_request("status.get", NULL);
	expect_no_request();
	client_cancel(rig.client, (uint64_t)first + 1);
	expect_request("status.get", NULL);
	expect_no_request();
}

static void test_large_request(void **state)
{
	AUTO_FREE char *text = xcalloc(1, PROTO_REQUEST_MAX + 1);

	(void)state;
	memset(text, 'x', PROTO_REQUEST_MAX);
	go_up(true);
	(void)client_call(rig.client, "status.get", json_pack("{s:s}", "x", text), on_answer, NULL);
	assert_int_equal(rig.answers, 0);
	turn();
	assert_int_equal(rig.answers, 1);
	assert_int_equal(rig.last.code, ERR_LIMIT);
	(void)call("status.get");
	expect_request("status.get", NULL);
}

static void test_cancel(void **state)
{
	int64_t id;
	uint64_t c;

	(void)state;
	go_up(true);
	c = call("status.get");
	expect_request("status.get", &id);
	client_cancel(rig.client, c);
	client_cancel(rig.client, c);
	answer(id, 1);
	assert_int_equal(rig.answers, 0);
	assert_int_equal(view_state(), CLIENT_UP);
}

/* --- subscriptions --- */

static void push_to(int sub)
{
	char line[128];

	(void)snprintf(line, sizeof(line),
		       "{\"jsonrpc\":\"2.0\",\"method\":\"push\",\"params\":{\"sub\":%d,"
		       "\"data\":{}}}\n",
		       sub);
	say(line);
}

static void test_subscription_comes_back(void **state)
{
	int64_t id;

	(void)state;
	open_client(true);
	(void)client_sub(rig.client, "status", NULL, on_push, NULL);
	take_conn();
	say(HELLO);
	expect_request("sub.open", &id);
	expect_no_request();
	answer(id, 3);
	assert_int_equal(rig.pushes, 0);
	push_to(3);
	push_to(4);
	assert_int_equal(rig.pushes, 1);
	hang_up();
	pass(CLIENT_RETRY_FIRST_MS);
	take_conn();
	say(HELLO);
	expect_request("sub.open", &id);
	expect_no_request();
	push_to(3); /* a number of the old connection */
	assert_int_equal(rig.pushes, 1);
	answer(id, 8);
	assert_int_equal(rig.resyncs, 1);
	push_to(8);
	assert_int_equal(rig.pushes, 3);
}

/* Lost while it was being opened: opened once, not twice. */
static void test_subscription_lost_in_opening(void **state)
{
	int64_t id;

	(void)state;
	go_up(true);
	(void)client_sub(rig.client, "status", NULL, on_push, NULL);
	expect_request("sub.open", &id);
	hang_up();
	pass(CLIENT_RETRY_FIRST_MS);
	take_conn();
	say(HELLO);
	expect_request("sub.open", &id);
	expect_no_request();
	answer(id, 3);
	assert_int_equal(rig.resyncs, 0);
}

static void test_unsubscribe(void **state)
{
	int64_t id;
	uint64_t sub;

	(void)state;
	go_up(true);
	sub = client_sub(rig.client, "status", NULL, on_push, NULL);
	expect_request("sub.open", &id);
	client_unsub(rig.client, sub); /* before the relay's number is known */
	client_unsub(rig.client, sub);
	expect_no_request();
	answer(id, 3);
	expect_request("sub.close", &id);
	answer(id, 0);
	push_to(3);
	assert_int_equal(rig.pushes, 0);
	sub = client_sub(rig.client, "status", NULL, on_push, NULL);
	expect_request("sub.open", &id);
	answer(id, 4);
	client_unsub(rig.client, sub);
	expect_request("sub.close", NULL);
	hang_up();
	pass(CLIENT_RETRY_FIRST_MS);
	take_conn();
	say(HELLO);
	expect_no_request();
}

static void test_refused_subscription(void **state)
{
	char line[256];
	int64_t id;

	(void)state;
	go_up(true);
	(void)client_sub(rig.client, "events", json_pack("{s:s}", "where", "((("), on_push, NULL);
	expect_request("sub.open", &id);
	(void)snprintf(line, sizeof(line),
		       "{\"jsonrpc\":\"2.0\",\"id\":%lld,\"error\":{\"code\":-32602,\"message\":"
		       "\"no\",\"data\":{\"name\":\"syntax\",\"param\":\"where\",\"column\":3}}}\n",
		       (long long)id);
	say(line);
	assert_int_equal(rig.unsubscribed, 1);
	assert_int_equal(rig.last.code, ERR_SYNTAX);
	assert_int_equal(rig.last.column, 3);
	hang_up();
	pass(CLIENT_RETRY_FIRST_MS);
	take_conn();
	say(HELLO);
	expect_no_request();
}

/* --- the end --- */

static void test_free_in_callbacks(void **state)
{
	int64_t id;

	(void)state;
	go_up(true);
	rig.free_at_answer = true;
	(void)call("status.get");
	(void)call("queue.list");
	expect_request("status.get", &id);
	answer(id, 1);
	assert_null(rig.client);
	assert_int_equal(rig.answers, 1);
	turn();
	rig.free_at_answer = false;
	go_up(true);
	rig.free_at_push = true;
	(void)client_sub(rig.client, "status", NULL, on_push, NULL);
	expect_request("sub.open", &id);
	answer(id, 1);
	say("{\"jsonrpc\":\"2.0\",\"method\":\"push\",\"params\":{\"sub\":1}}\n"
	    "{\"jsonrpc\":\"2.0\",\"method\":\"push\",\"params\":{\"sub\":1}}\n");
	assert_null(rig.client);
	assert_int_equal(rig.pushes, 1);
}

static void test_free_at_each_state(void **state)
{
	(void)state;
	go_up(true);
	rig.free_at_state = true;
	hang_up();
	assert_null(rig.client);
	open_client(true);
	turn();
	assert_null(rig.client);
	rig.free_at_state = false;
	while (has_conn())
		;
	open_client(true);
	take_conn();
	rig.free_at_state = true;
	say(HELLO);
	assert_null(rig.client);
	rig.free_at_state = false;
	open_client(false);
	take_conn();
	rig.free_at_answer = true; /* by the first of the answers that a lost link gives */
	(void)call("status.get");
	(void)call("status.get");
	rig.answers = 0;
	hang_up();
	assert_null(rig.client);
	assert_int_equal(rig.answers, 1);
}

static void test_not_a_relay(void **state)
{
	static const char *const wrong[] = { "unix:relative", "ssh://", "ssh://host:0",
					     "http://host", "no/such" };
	struct err err;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(wrong); i++) {
		err = ERR_INIT;
		assert_int_equal(client_new(rig.loop, &(struct client_options){ .relay = wrong[i] },
					    &ops, NULL, &rig.client, &err),
				 -ERR_INVALID);
		assert_string_equal(err.param, "relay");
		assert_null(rig.client);
	}
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(test_hello_late),
		T(test_hello_never),
		T(test_noise_before_hello),
		T(test_words_instead_of_hello),
		T(test_endless_line_instead_of_hello),
		T(test_many_lines_instead_of_hello),
		T(test_wrong_version),
		T(test_refused),
		T(test_no_socket),
		T(test_answer_in_pieces),
		T(test_many_lines_at_once),
		T(test_endless_line),
		T(test_garbage),
		T(test_strange_but_good),
		T(test_closed_in_an_answer),
		T(test_change_keeps_its_request_id),
		T(test_stale_change_is_not_sent),
		T(test_stale_change_that_was_sent),
		T(test_later_each_time),
		T(test_not_to_stay),
		T(test_heartbeat),
		T(test_pushes_are_signs_of_life),
		T(test_calls_beyond_the_limit_wait),
		T(test_large_request),
		T(test_cancel),
		T(test_subscription_comes_back),
		T(test_subscription_lost_in_opening),
		T(test_unsubscribe),
		T(test_refused_subscription),
		T(test_free_in_callbacks),
		T(test_free_at_each_state),
		T(test_not_a_relay),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
