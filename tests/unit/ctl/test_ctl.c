/*
 * The control server over sockets, with handlers that do what a test needs.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/mem.h"
#include "ctl/ctl.h"

#define NOW 1795490000000

/* What the handlers and services below work on. */
struct world {
	struct loop *loop;
	struct ctl *ctl;
	struct ctl_call *kept; /* by queue.hold */
	unsigned holds;
	unsigned lists;
	struct ctl_call *list[16]; /* by event.list */
	unsigned holds_row;	   /* of the topic queue */
	unsigned generation;
	unsigned big; /* bytes of status.get's answer */
	bool remembers;
};

static void h_echo(struct ctl_call *call)
{
	ctl_reply(call, ctl_params(call));
}

static void h_hold(struct ctl_call *call)
{
	struct world *w = ctl_env(call);

	w->holds++;
	w->kept = call;
}

static void h_list(struct ctl_call *call)
{
	struct world *w = ctl_env(call);

	w->list[w->lists++] = call;
}

static void h_status(struct ctl_call *call)
{
	struct world *w = ctl_env(call);
	char *text = xmalloc(w->big + 1);

	memset(text, 'x', w->big);
	text[w->big] = '\0';
	ctl_reply(call, json_pack("{s:s}", "relay", text));
	free(text);
}

/* Answers with what the dispatcher made of the parameters. */
static void h_values(struct ctl_call *call)
{
	const struct target *t = ctl_target(call);

	ctl_reply(call, json_pack("{s:s}", "text", t->canonical));
}

static ctl_handler_fn *const handlers[M__COUNT] = {
	[M_PING] = ctl_ping,	       [M_METHOD_LIST] = ctl_method_list,
	[M_STATUS_GET] = h_status,     [M_QUEUE_LIST] = h_echo,
	[M_QUEUE_HOLD] = h_hold,       [M_WHY_GET] = h_values,
	[M_MESSAGE_LIST] = h_echo,     [M_MESSAGE_GET] = h_echo,
	[M_SUB_OPEN] = ctl_sub_open,   [M_SUB_CHANGE] = ctl_sub_change,
	[M_SUB_CLOSE] = ctl_sub_close, [M_ALLOW_ADD] = h_echo,
	[M_EVENT_LIST] = h_list,
};

static int replay(void *env, const struct ctl_call *call, json_t **ret, struct err *err)
{
	struct world *w = env;

	(void)err;
	if (!w->remembers || strcmp(ctl_str(call, "request"), "old") != 0)
		return 0;
	*ret = json_pack("{s:s}", "action", "7");
	return 1;
}

static json_t *status(void *env)
{
	struct world *w = env;

	return json_pack("{s:i, s:i}", "holds", (int)w->holds, "uptime_s",
			 (int)(loop_now_ms(w->loop) / 1000));
}

static json_t *changes(void *env)
{
	return json_pack("{s:i}", "queue", (int)((struct world *)env)->generation);
}

static void rows(void *env, struct ctl *ctl, uint64_t ticket, enum topic topic, const char *by,
		 const char *const *keys, size_t n)
{
	struct world *w = env;
	json_t *a = json_array();

	assert_true(topic == TOPIC_QUEUE && strcmp(by, "domain") == 0);
	for (size_t i = 0; i < n; i++)
		if (strcmp(keys[i], "none") != 0)
			json_array_append_new(a,
					      json_pack("{s:s, s:i, s:i}", "domain", keys[i],
							"held", (int)w->holds_row, "oldest_age_s",
							(int)(loop_now_ms(w->loop) / 1000)));
	ctl_rows(ctl, ticket, a);
}

static const char *row_key(enum topic topic, const json_t *row, const char *by)
{
	(void)topic;
	return json_string_value(json_object_get(row, by));
}

static const struct ctl_services services = {
	.handlers = handlers,
	.replay = replay,
	.status = status,
	.changes = changes,
	.rows = rows,
	.row_key = row_key,
};

static const struct ctl_caller operator_ = {
	.uid = 4242, .role = ACCESS_OPERATOR, .user = "olga", .from_where = "local"
};

static void setup(struct world *w, const char *path, struct err *err, int want)
{
	struct ctl_config cfg = { .path = path,
				  .mode = 0660,
				  .group = (gid_t)-1,
				  .relay = "relay.example.net",
				  .version = "1" };

	*w = (struct world){ .loop = loop_new() };
	loop_fake_clock(w->loop, NOW);
	assert_int_equal(ctl_new(w->loop, &cfg, &services, w, &w->ctl, err), want);
}

static void done(struct world *w)
{
	ctl_free(&w->ctl);
	loop_free(&w->loop);
}

/* ---- a client ---- */

struct client {
	struct world *w;
	int fd;
	struct buf in;
};

static struct client serve(struct world *w, const struct ctl_caller *who)
{
	int fds[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds), 0);
	ctl_serve(w->ctl, fds[0], who);
	return (struct client){ .w = w, .fd = fds[1], .in = BUF_INIT(16u << 20) };
}

static void gone(struct client *c)
{
	(void)close(c->fd);
	buf_done(&c->in);
	loop_advance(c->w->loop, 0);
}

static void send_text(struct client *c, const char *text, size_t n)
{
	while (n > 0) {
		ssize_t sent = send(c->fd, text, n, MSG_NOSIGNAL);
		loop_advance(c->w->loop, 0);
		if (sent < 0 && errno == EPIPE)
			return;
		assert_true(sent > 0 || errno == EAGAIN);
		if (sent > 0) {
			text += sent;
			n -= (size_t)sent;
		}
	}
	loop_advance(c->w->loop, 0);
}

static void say(struct client *c, const char *line)
{
	send_text(c, line, strlen(line));
	send_text(c, "\n", 1);
}

static void call(struct client *c, int id, const char *method, const char *params)
{
	AUTO_FREE char *line = xasprintf("{\"jsonrpc\":\"2.0\",\"id\":%d,\"method\":\"%s\","
					 "\"params\":%s}",
					 id, method, params);

	say(c, line);
}

/* Reads what there is; false at the end of the connection. */
static bool pump(struct client *c)
{
	for (int quiet = 0; quiet < 3;) {
		ssize_t n;
		loop_advance(c->w->loop, 0);
		assert_true(buf_reserve(&c->in, 65536));
		n = recv(c->fd, c->in.p + c->in.n, 65536, MSG_DONTWAIT);
		if (n == 0 || (n < 0 && errno == ECONNRESET))
			return false;
		if (n < 0)
			quiet++;
		else
			c->in.n += (size_t)n;
	}
	return true;
}

/* The next line as JSON (owned), or NULL. */
static json_t *next(struct client *c)
{
	ptrdiff_t end;
	json_t *v;

	(void)pump(c);
	end = str_index(buf_str(&c->in), '\n');
	if (end < 0)
		return NULL;
	v = json_loadb(c->in.p, (size_t)end, 0, NULL);
	assert_non_null(v);
	buf_drop(&c->in, (size_t)end + 1);
	return v;
}

static void expect(struct client *c, int id, const char *key, const char *text)
{
	json_t *v = next(c);
	char *all = json_dumps(v, JSON_COMPACT);

	if (v == NULL || json_integer_value(json_object_get(v, "id")) != id ||
	    json_object_get(v, key) == NULL || strstr(all, text) == NULL)
		fail_msg("wanted %d %s %s: %s", id, key, text, all != NULL ? all : "nothing");
	free(all);
	json_decref(v);
}

static void hello(struct client *c)
{
	json_t *v = next(c);

	assert_string_equal(json_string_value(json_object_get(v, "method")), "hello");
	json_decref(v);
}

static struct client login(struct world *w, const struct ctl_caller *who)
{
	struct client c = serve(w, who);

	hello(&c);
	return c;
}

/* ---- tests ---- */

static void test_roles(void **state)
{
	uid_t admins[] = { 4001 };
	gid_t ops[] = { 5001, 5002 };
	gid_t view[] = { 5003 };
	struct ctl_role_rule r[ACCESS__COUNT] = {
		[ACCESS_VIEWER] = { .gids = view, .gids_n = 1 },
		[ACCESS_OPERATOR] = { .gids = ops, .gids_n = 2 },
		[ACCESS_ADMIN] = { .uids = admins, .uids_n = 1 },
	};

	(void)state;
	assert_int_equal(ctl_role_of(r, 4001, NULL, 0), ACCESS_ADMIN);
	assert_int_equal(ctl_role_of(r, 0, NULL, 0), ACCESS_ADMIN);
	assert_int_equal(ctl_role_of(r, geteuid(), NULL, 0), ACCESS_ADMIN);
	assert_int_equal(ctl_role_of(r, 4002, (gid_t[]){ 9, 5002, 5003 }, 3), ACCESS_OPERATOR);
	assert_int_equal(ctl_role_of(r, 4002, (gid_t[]){ 5003 }, 1), ACCESS_VIEWER);
	assert_int_equal(ctl_role_of(r, 4002, (gid_t[]){ 4001 }, 1), ACCESS_NONE);
}

static void test_dispatch(void **state)
{
	struct world w;
	struct err err = ERR_INIT;
	struct client c;

	(void)state;
	setup(&w, NULL, &err, 0);
	c = login(&w, &operator_);
	call(&c, 1, "ping", "{}");
	expect(&c, 1, "result", "now_at");
	call(&c, 2, "queue.lits", "{}");
	expect(&c, 2, "error", "did you mean queue.list?");
	call(&c, 3, "allow.add", "{\"network\":\"10.0.0.0/8\"}");
	expect(&c, 3, "error", "needs the role admin; olga is operator");
	call(&c, 4, "queue.list", "{\"where\":\"domian:x\"}");
	expect(&c, 4, "error", "\"param\":\"where\",\"column\":1");
	call(&c, 5, "message.get", "{\"id\":\"nonsense\"}");
	expect(&c, 5, "error", "\"param\":\"id\"");
	call(&c, 6, "why.get", "{\"target\":\"0n4xk2m8qf\"}");
	expect(&c, 6, "result", "id:0N4XK2M8QF");
	call(&c, 7, "queue.hold", "{\"target\":\"gmail.com\",\"reason\":\"x\"}");
	expect(&c, 7, "error", "did you mean domain:gmail.com?");
	call(&c, 8, "queue.hold", "{\"target\":\"all\"}");
	expect(&c, 8, "error", "no-reason");
	assert_int_equal(w.holds, 0);
	call(&c, 9, "method.list", "{}");
	expect(&c, 9, "result", "queue.hold");
	gone(&c);
	done(&w);
}

#define HOLD(request) "{\"target\":\"all\",\"reason\":\"x\",\"request\":\"" request "\"}"

/* The link breaks between a change and its answer: the repetition must not act again. */
static void test_repeated_request(void **state)
{
	struct world w;
	struct err err = ERR_INIT;
	struct client first;
	struct client second;

	(void)state;
	setup(&w, NULL, &err, 0);
	first = login(&w, &operator_);
	call(&first, 1, "queue.hold", HOLD("r1"));
	gone(&first);
	second = login(&w, &operator_);
	call(&second, 5, "queue.hold", HOLD("r1"));
	assert_int_equal(w.holds, 1);
	call(&second, 8, "queue.hold",
	     "{\"target\":\"domain:x.example\",\"reason\":\"x\",\"request\":\"r1\"}");
	expect(&second, 8, "error", "another change");
	assert_int_equal(w.holds, 1);
	ctl_reply(w.kept, json_pack("{s:s}", "action", "1"));
	expect(&second, 5, "result", "\"action\":\"1\"");
	w.remembers = true;
	call(&second, 6, "queue.hold", HOLD("old"));
	expect(&second, 6, "result", "\"action\":\"7\"");
	assert_int_equal(w.holds, 1);
	call(&second, 7, "queue.hold", HOLD("new"));
	assert_int_equal(w.holds, 2);
	gone(&second);
	done(&w); /* a call that is never answered is freed */
}

static void test_calls_max(void **state)
{
	struct world w;
	struct err err = ERR_INIT;
	struct client c;

	(void)state;
	setup(&w, NULL, &err, 0);
	c = login(&w, &operator_);
	for (int i = 1; i <= PROTO_CALLS_MAX; i++)
		call(&c, i, "queue.hold", "{\"target\":\"all\",\"reason\":\"x\"}");
	assert_int_equal(w.holds, PROTO_CALLS_MAX);
	call(&c, 99, "ping", "{}");
	expect(&c, 99, "error", "under way");
	ctl_reply(w.kept, json_object());
	expect(&c, PROTO_CALLS_MAX, "result", "");
	call(&c, 100, "ping", "{}");
	expect(&c, 100, "result", "now_at");
	gone(&c);
	done(&w);
}

/* A page is large: few are made at a time for one connection, the others wait in their order. */
static void test_lists_wait_for_each_other(void **state)
{
	struct world w;
	struct err err = ERR_INIT;
	struct client c;

	(void)state;
	setup(&w, NULL, &err, 0);
	c = login(&w, &operator_);
	for (int i = 1; i <= CTL_LISTS_MAX + 3; i++)
		call(&c, i, "event.list", "{}");
	assert_int_equal(w.lists, CTL_LISTS_MAX);
	call(&c, 99, "ping", "{}");
	expect(&c, 99, "result", "now_at");
	ctl_reply(w.list[1], json_object());
	expect(&c, 2, "result", "");
	assert_int_equal(w.lists, CTL_LISTS_MAX + 1);
	ctl_reply(w.list[CTL_LISTS_MAX], json_object());
	expect(&c, CTL_LISTS_MAX + 1, "result", "");
	assert_int_equal(w.lists, CTL_LISTS_MAX + 2);
	gone(&c);
	done(&w); /* frees those at work and the one that waits */
}

static void test_garbage(void **state)
{
	struct world w;
	struct err err = ERR_INIT;
	struct client c;

	(void)state;
	setup(&w, NULL, &err, 0);
	c = login(&w, &operator_);
	say(&c, "GET / HTTP/1.1\r");
	expect(&c, 0, "error", "bad-json");
	say(&c, "");
	call(&c, 1, "ping", "{}");
	expect(&c, 1, "result", "");
	for (int i = 1; i < CTL_GARBAGE_MAX; i++) {
		say(&c, "{}");
		expect(&c, 0, "error", "bad-frame");
	}
	expect(&c, 0, "error", "goodbye");
	assert_false(pump(&c));
	gone(&c);
	done(&w);
}

static void test_long_line(void **state)
{
	struct world w;
	struct err err = ERR_INIT;
	struct client c;
	char *text = xmalloc(PROTO_REQUEST_MAX + 10);

	(void)state;
	memset(text, ' ', PROTO_REQUEST_MAX + 10);
	setup(&w, NULL, &err, 0);
	c = login(&w, &operator_);
	send_text(&c, text, PROTO_REQUEST_MAX - 60);
	call(&c, 1, "ping", "{}"); /* 60 bytes with its end: just fits */
	expect(&c, 1, "result", "");
	send_text(&c, text, PROTO_REQUEST_MAX + 10);
	expect(&c, 0, "error", "at most 262144 bytes");
	gone(&c);
	free(text);
	done(&w);
}

/* A reader that asks and never reads: bounded, and nobody else notices. */
static void test_never_reads(void **state)
{
	struct world w;
	struct err err = ERR_INIT;
	struct client c;
	struct client other;
	const char *line = "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"status.get\"}\n";
	unsigned answers = 0;

	(void)state;
	setup(&w, NULL, &err, 0);
	w.big = 300000;
	c = login(&w, &operator_);
	for (int i = 0; i < 40; i++) {
		(void)send(c.fd, line, strlen(line), MSG_NOSIGNAL);
		loop_advance(w.loop, 0);
	}
	other = login(&w, &operator_);
	call(&other, 1, "ping", "{}");
	expect(&other, 1, "result", "");
	/* and when it reads at last, nothing is missing */
	for (json_t *v = next(&c); v != NULL; v = next(&c)) {
		json_decref(v);
		answers++;
	}
	assert_int_equal(answers, 40);
	w.big = PROTO_RESPONSE_MAX;
	call(&c, 2, "status.get", "{}");
	expect(&c, 2, "error", "fewer rows");
	gone(&c);
	gone(&other);
	done(&w);
}

/* printf … | weir stdio: the answer comes although the asker's side has ended. */
static void test_half_closed(void **state)
{
	struct world w;
	struct err err = ERR_INIT;
	struct client c;

	(void)state;
	setup(&w, NULL, &err, 0);
	c = login(&w, &operator_);
	call(&c, 1, "queue.hold", "{\"target\":\"all\",\"reason\":\"x\"}");
	assert_int_equal(shutdown(c.fd, SHUT_WR), 0);
	assert_true(pump(&c));
	ctl_reply(w.kept, json_object());
	assert_false(pump(&c));
	expect(&c, 1, "result", "");
	gone(&c);
	done(&w);
}

static void test_caps(void **state)
{
	static const struct ctl_caller nobody = { .uid = 9, .role = ACCESS_NONE, .user = "eve" };
	struct world w;
	struct err err = ERR_INIT;
	struct client c[CTL_CONNS_UID];
	struct client more;

	(void)state;
	setup(&w, NULL, &err, 0);
	more = serve(&w, &nobody);
	expect(&more, 0, "error", "eve has no role");
	assert_false(pump(&more));
	gone(&more);
	for (int i = 0; i < CTL_CONNS_UID; i++)
		c[i] = login(&w, &operator_);
	more = serve(&w, &operator_);
	expect(&more, 0, "error", "connections already");
	gone(&more);
	for (int i = 0; i < CTL_CONNS_UID; i++)
		gone(&c[i]);
	loop_advance(w.loop, 1000);
	more = login(&w, &operator_);
	gone(&more);
	done(&w);
}

/* ---- subscriptions ---- */

static void expect_push(struct client *c, const char *text)
{
	json_t *v = next(c);
	char *all = json_dumps(v, JSON_COMPACT);

	if (all == NULL || strstr(all, "\"push\"") == NULL || strstr(all, text) == NULL)
		fail_msg("wanted %s: %s", text, all != NULL ? all : "nothing");
	free(all);
	json_decref(v);
}

static void expect_silence(struct client *c)
{
	json_t *v = next(c);

	if (v != NULL)
		fail_msg("unexpected: %s", json_dumps(v, 0));
}

static void test_shared_topics(void **state)
{
	struct world w;
	struct err err = ERR_INIT;
	struct client c;

	(void)state;
	setup(&w, NULL, &err, 0);
	c = login(&w, &operator_);
	call(&c, 1, "sub.open", "{\"topic\":\"status\"}");
	expect(&c, 1, "result", "sub");
	call(&c, 2, "sub.open", "{\"topic\":\"changes\"}");
	expect(&c, 2, "result", "sub");
	loop_advance(w.loop, 300);
	expect_push(&c, "\"queue\":0");
	loop_advance(w.loop, 1000);
	expect_push(&c, "\"holds\":0");
	/* only the uptime moves */
	loop_advance(w.loop, 5000);
	expect_silence(&c);
	w.holds = 3;
	w.generation = 1;
	loop_advance(w.loop, 1000);
	expect_push(&c, "\"queue\":1");
	expect_push(&c, "\"holds\":3");
	call(&c, 3, "sub.open", "{\"topic\":\"nothing\"}");
	expect(&c, 3, "error", "\"param\":\"topic\"");
	call(&c, 4, "sub.open", "{\"topic\":\"status\",\"keys\":[]}");
	expect(&c, 4, "error", "\"param\":\"keys\"");
	call(&c, 5, "sub.close", "{\"sub\":999}");
	expect(&c, 5, "error", "unknown");
	gone(&c);
	loop_advance(w.loop, 1000);
	done(&w);
}

static void test_rows(void **state)
{
	struct world w;
	struct err err = ERR_INIT;
	struct client c;

	(void)state;
	setup(&w, NULL, &err, 0);
	c = login(&w, &operator_);
	call(&c, 1, "sub.open", "{\"topic\":\"queue\",\"keys\":[\"a\",\"none\"]}");
	expect(&c, 1, "result", "\"sub\":2");
	loop_advance(w.loop, 200);
	expect_push(&c, "\"gone\":[\"none\"]");
	loop_advance(w.loop, 3000); /* ages alone are no change */
	expect_silence(&c);
	w.holds_row = 5;
	loop_advance(w.loop, 600);
	expect_push(&c, "\"held\":5");
	call(&c, 2, "sub.change", "{\"sub\":2,\"keys\":[\"b\"]}");
	expect(&c, 2, "result", "\"sub\":2");
	loop_advance(w.loop, 200);
	expect_push(&c, "\"domain\":\"b\"");
	call(&c, 3, "sub.close", "{\"sub\":2}");
	expect(&c, 3, "result", "\"sub\":2");
	w.holds_row = 6;
	loop_advance(w.loop, 3000);
	expect_silence(&c);
	gone(&c);
	done(&w);
}

static json_t *make_event(void *arg)
{
	return json_pack("{s:I, s:s}", "seq", (json_int_t) * (int *)arg, "event", "deferred");
}

static void event(struct world *w, int seq, const char *domain)
{
	struct filter_row row = FILTER_ROW_INIT(NOW);

	filter_row_text(&row, FILTER_DOMAIN, str_of(domain));
	ctl_event(w->ctl, &row, make_event, &seq);
}

static void test_events(void **state)
{
	struct world w;
	struct err err = ERR_INIT;
	struct client c;

	(void)state;
	setup(&w, NULL, &err, 0);
	c = login(&w, &operator_);
	assert_false(ctl_events_wanted(w.ctl));
	call(&c, 1, "sub.open", "{\"topic\":\"events\",\"where\":\"domain:a.org\"}");
	expect(&c, 1, "result", "sub");
	assert_true(ctl_events_wanted(w.ctl));
	event(&w, 1, "a.org");
	event(&w, 2, "b.org");
	event(&w, 3, "a.org");
	expect_silence(&c);
	loop_advance(w.loop, 200);
	expect_push(&c, "[{\"seq\":1,\"event\":\"deferred\"},{\"seq\":3,\"event\":\"deferred\"}]");
	/* more than one push may hold: the reader is told */
	for (int i = 0; i < CTL_EVENTS_MAX + 1; i++)
		event(&w, 10 + i, "a.org");
	loop_advance(w.loop, 200);
	expect_push(&c, "\"resync\":true");
	event(&w, 9999, "a.org");
	loop_advance(w.loop, 200);
	expect_push(&c, "\"resync\":false");
	gone(&c);
	assert_false(ctl_events_wanted(w.ctl));
	done(&w);
}

/* A subscriber that does not read loses states, hears so when it reads again, and gets them. */
static void test_slow_subscriber(void **state)
{
	struct world w;
	struct err err = ERR_INIT;
	struct client c;
	const char *ask = "{\"jsonrpc\":\"2.0\",\"id\":9,\"method\":\"status.get\"}\n";
	bool resync = false;
	int holds = 0;

	(void)state;
	setup(&w, NULL, &err, 0);
	c = login(&w, &operator_);
	call(&c, 1, "sub.open", "{\"topic\":\"status\"}");
	expect(&c, 1, "result", "sub");
	loop_advance(w.loop, 1000);
	expect_push(&c, "\"holds\":0");
	w.big = 900000;
	(void)send(c.fd, ask, strlen(ask), MSG_NOSIGNAL);
	for (w.holds = 1; w.holds < 50; w.holds++)
		loop_advance(w.loop, 1000);
	for (int i = 0; i < 3; i++) {
		for (json_t *v = next(&c); v != NULL; v = next(&c)) {
			json_t *p = json_object_get(v, "params");
			json_t *data = json_object_get(p, "data");
			if (p != NULL) {
				resync = resync || json_is_true(json_object_get(p, "resync"));
				holds = (int)json_integer_value(json_object_get(data, "holds"));
			}
			json_decref(v);
		}
		loop_advance(w.loop, 1000);
	}
	assert_true(resync);
	assert_int_equal(holds, 50);
	gone(&c);
	done(&w);
}

/* ---- the socket's file ---- */

static int connect_to(const char *path)
{
	struct sockaddr_un at = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0);

	(void)snprintf(at.sun_path, sizeof(at.sun_path), "%s", path);
	if (connect(fd, (struct sockaddr *)&at, sizeof(at)) == 0)
		return fd;
	(void)close(fd);
	return -1;
}

static void test_socket(void **state)
{
	char dir[] = "/tmp/weir-ctl-XXXXXX";
	char path[64];
	struct world w;
	struct world second;
	struct err err = ERR_INIT;
	struct stat st;
	struct client c = { .in = BUF_INIT(1u << 20) };

	(void)state;
	assert_non_null(mkdtemp(dir));
	(void)snprintf(path, sizeof(path), "%s/control.sock", dir);
	setup(&w, path, &err, 0);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0660);
	c.w = &w;
	c.fd = connect_to(path);
	hello(&c); /* this account is the relay's own: admin */
	call(&c, 1, "allow.add", "{\"network\":\"10.0.0.0/8\"}");
	expect(&c, 1, "result", "10.0.0.0/8");
	/* a second relay must not take the socket away */
	setup(&second, path, &err, -ERR_CONFIG);
	assert_non_null(strstr(err.msg, "another relay"));
	done(&second);
	assert_int_equal(stat(path, &st), 0);
	gone(&c);
	done(&w);
	assert_int_equal(stat(path, &st), -1);

	/* what a killed relay left is replaced */
	struct sockaddr_un at = { .sun_family = AF_UNIX };
	int left = socket(AF_UNIX, SOCK_STREAM, 0);
	(void)snprintf(at.sun_path, sizeof(at.sun_path), "%s", path);
	assert_int_equal(bind(left, (struct sockaddr *)&at, sizeof(at)), 0);
	(void)close(left);
	setup(&w, path, &err, 0);
	done(&w);

	/* a file that is no socket is not */
	FILE *f = fopen(path, "w");
	assert_non_null(f);
	(void)fclose(f);
	setup(&w, path, &err, -ERR_CONFIG);
	assert_non_null(strstr(err.msg, "is not a socket"));
	done(&w);
	assert_int_equal(unlink(path), 0);
	assert_int_equal(rmdir(dir), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_roles),
		cmocka_unit_test(test_dispatch),
		cmocka_unit_test(test_repeated_request),
		cmocka_unit_test(test_calls_max),
		cmocka_unit_test(test_lists_wait_for_each_other),
		cmocka_unit_test(test_garbage),
		cmocka_unit_test(test_long_line),
		cmocka_unit_test(test_never_reads),
		cmocka_unit_test(test_half_closed),
		cmocka_unit_test(test_caps),
		cmocka_unit_test(test_shared_topics),
		cmocka_unit_test(test_rows),
		cmocka_unit_test(test_events),
		cmocka_unit_test(test_slow_subscriber),
		cmocka_unit_test(test_socket),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
