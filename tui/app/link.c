/*
 * link - one connection at a time over the relay's UNIX socket.
 *
 *	DOWN -> (timer) connect -> GREETING (until hello) -> UP -> lost: DOWN again, later each time
 *
 * Calls wait while the link is not up and are sent again after it was lost: reading twice does no
 * harm, and a change carries a request id by which the relay knows it again. A change that waited
 * longer than STALE_MS is not sent any more: nobody expects it to happen then.
 */
#include "app/link.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/fmt.h"
#include "base/mem.h"
#include "base/obj.h"
#include "loop/loop.h"
#include "proto/proto.h"

#define LINK_MAGIC 0x4c696e6bu
#define DEFAULT_SOCKET "/run/weir/control.sock"
#define OUT_MAX ((size_t)PROTO_CALLS_MAX * PROTO_REQUEST_MAX)
#define READ_MAX 65536
#define LINES_MAX 64 /* taken in one wake-up */
#define RETRY_FIRST_MS 500
#define RETRY_MAX_MS 10000
#define BEAT_MS 10000 /* silence after which a ping is sent; twice that is a lost link */
#define STALE_MS 60000

struct link_call {
	TAILQ_ENTRY(link_call) next;
	uint64_t id;
	char *method;
	json_t *params;
	rpc_answer_fn *fn;
	void *arg;
	bool sent;
	bool changes;
	int64_t made_ms;
};

struct link_sub {
	TAILQ_ENTRY(link_sub) next;
	struct link *link;
	uint64_t id;
	uint64_t remote; /* the relay's number, 0 while it has none */
	uint64_t call;
	bool again; /* it was open before */
	char *topic;
	json_t *params;
	rpc_push_fn *fn;
	void *arg;
};

struct link {
	uint32_t magic;
	struct loop *loop;
	char path[sizeof(((struct sockaddr_un *)0)->sun_path)];
	link_state_fn *state;
	void *arg;
	int fd;
	struct loop_fd *watch;
	struct loop_timer *timer; /* the next attempt, or the next heartbeat */
	struct buf in;
	struct buf out;
	TAILQ_HEAD(, link_call) calls;
	TAILQ_HEAD(, link_sub) subs;
	uint64_t last_id;
	uint64_t ping;
	char session[17]; /* makes request ids differ from those of other consoles */
	bool up;
	bool was_up;
	char relay[64];
	enum access role;
	char trouble[160];
	int64_t heard_ms; /* monotonic */
	int64_t heard_wall_ms;
	int64_t retry_ms;
	int64_t retry_wall_ms;
};

/* --- sending --- */

static void lost(struct link *l, const char *why);

static void flush(struct link *l)
{
	while (l->out.n > 0) {
		ssize_t n = send(l->fd, l->out.p, l->out.n, MSG_NOSIGNAL | MSG_DONTWAIT);

		if (n > 0) {
			buf_drop(&l->out, (size_t)n);
			continue;
		}
		if (n < 0 && errno == EINTR)
			continue;
		break; /* a broken connection shows when it is read */
	}
	loop_fd_want(l->watch, LOOP_READ | (l->out.n > 0 ? LOOP_WRITE : 0));
}

static void send_call(struct link *l, struct link_call *c)
{
	c->sent = proto_put_request(&l->out, c->id, c->method, c->params);
}

static struct link_call *call_find(struct link *l, uint64_t id)
{
	struct link_call *c;

	TAILQ_FOREACH (c, &l->calls, next) {
		if (c->id == id)
			return c;
	}
	return NULL;
}

static void call_free(struct link *l, struct link_call *c)
{
	TAILQ_REMOVE(&l->calls, c, next);
	free(c->method);
	json_decref(c->params);
	free(c);
}

static uint64_t link_call(void *conn, const char *method, json_t *params, rpc_answer_fn *fn,
			  void *arg)
{
	struct link *l = OBJ(link, LINK_MAGIC, conn);
	const struct method_def *m = method_find(method);
	struct link_call *c = xcalloc(1, sizeof(*c));

	c->id = ++l->last_id;
	c->method = xstrdup(method);
	c->params = params != NULL ? params : json_object();
	c->fn = fn;
	c->arg = arg;
	c->changes = m != NULL && (m->flags & MF_MUTATES) != 0;
	c->made_ms = loop_now_ms(l->loop);
	if (c->changes)
		(void)json_object_set_new(
			c->params, "request",
			json_sprintf("%s-%llu", l->session, (unsigned long long)c->id));
	TAILQ_INSERT_TAIL(&l->calls, c, next);
	if (l->up) {
		send_call(l, c);
		loop_fd_want(l->watch, LOOP_READ | LOOP_WRITE);
	}
	return c->id;
}

static void link_cancel(void *conn, uint64_t id)
{
	struct link *l = OBJ(link, LINK_MAGIC, conn);
	struct link_call *c = call_find(l, id);

	if (c != NULL)
		call_free(l, c); /* an answer that still comes finds nobody */
}

static void finish(struct link *l, struct link_call *c, const json_t *result, const struct err *err)
{
	rpc_answer_fn *fn = c->fn;
	void *arg = c->arg;

	call_free(l, c);
	fn(arg, result, err);
}

/* --- subscriptions --- */

static void on_nothing(void *arg, const json_t *result, const struct err *err)
{
	(void)arg;
	(void)result;
	(void)err;
}

static void on_opened(void *arg, const json_t *result, const struct err *err)
{
	struct link_sub *s = arg;

	(void)err; /* without it the screen is fetched on demand only */
	s->call = 0;
	if (result == NULL)
		return;
	s->remote = (uint64_t)ji(result, "sub");
	if (s->again)
		s->fn(s->arg, NULL, true);
	else
		s->again = true;
}

static void sub_open(struct link *l, struct link_sub *s)
{
	json_t *params = s->params != NULL ? json_copy(s->params) : json_object();

	(void)json_object_set_new(params, "topic", json_string(s->topic));
	s->remote = 0;
	s->call = link_call(l, "sub.open", params, on_opened, s);
}

static uint64_t link_sub(void *conn, const char *topic, json_t *params, rpc_push_fn *fn, void *arg)
{
	struct link *l = OBJ(link, LINK_MAGIC, conn);
	struct link_sub *s = xcalloc(1, sizeof(*s));

	s->link = l;
	s->id = ++l->last_id;
	s->topic = xstrdup(topic);
	s->params = params;
	s->fn = fn;
	s->arg = arg;
	TAILQ_INSERT_TAIL(&l->subs, s, next);
	if (l->up)
		sub_open(l, s);
	return s->id;
}

static void sub_free(struct link *l, struct link_sub *s)
{
	if (s->call != 0)
		link_cancel(l, s->call);
	TAILQ_REMOVE(&l->subs, s, next);
	free(s->topic);
	json_decref(s->params);
	free(s);
}

static void link_unsub(void *conn, uint64_t id)
{
	struct link *l = OBJ(link, LINK_MAGIC, conn);
	struct link_sub *s;

	TAILQ_FOREACH (s, &l->subs, next) {
		if (s->id != id)
			continue;
		if (s->remote != 0 && l->up)
			(void)link_call(l, "sub.close",
					json_pack("{s:I}", "sub", (json_int_t)s->remote),
					on_nothing, NULL);
		sub_free(l, s);
		return;
	}
}

static void on_push(struct link *l, const json_t *params)
{
	uint64_t remote = (uint64_t)ji(params, "sub");
	struct link_sub *s;

	TAILQ_FOREACH (s, &l->subs, next) {
		if (s->remote != remote || remote == 0)
			continue;
		s->fn(s->arg, json_object_get(params, "data"),
		      json_is_true(json_object_get(params, "resync")));
		return;
	}
}

/* --- receiving --- */

static void on_hello(struct link *l, const json_t *params)
{
	struct link_call *c, *next_call;
	struct link_sub *s;

	if (ji(params, "protocol") != PROTO_VERSION) {
		lost(l, "the relay speaks another version of the protocol");
		return;
	}
	(void)snprintf(l->relay, sizeof(l->relay), "%s", js(params, "relay"));
	l->role = access_from_name(js(params, "role"));
	l->up = true;
	l->was_up = true;
	l->retry_ms = RETRY_FIRST_MS;
	l->trouble[0] = '\0';
	for (c = TAILQ_FIRST(&l->calls); c != NULL; c = next_call) {
		next_call = TAILQ_NEXT(c, next);
		if (strcmp(c->method, "sub.close") == 0)
			call_free(l, c); /* that subscription went with its connection */
		else if (c->changes && loop_now_ms(l->loop) - c->made_ms > STALE_MS)
			c->sent = false;
		else
			send_call(l, c);
	}
	TAILQ_FOREACH (s, &l->subs, next) {
		if (s->call == 0)
			sub_open(l, s);
	}
	loop_timer_set(l->timer, BEAT_MS);
	flush(l);
	l->state(l->arg);
}

/* Changes that waited too long, one a call: their owners may call again. */
static void refuse_stale(struct link *l)
{
	struct err err = ERR_INIT;
	struct link_call *c;

	(void)err_set(&err, ERR_TIMEOUT,
		      "the link was lost before an answer came; the undo journal (z) says whether "
		      "it was done");
	do {
		TAILQ_FOREACH (c, &l->calls, next) {
			if (!c->sent && c->changes && loop_now_ms(l->loop) - c->made_ms > STALE_MS)
				break;
		}
		if (c != NULL)
			finish(l, c, NULL, &err);
	} while (c != NULL);
}

static bool take_line(struct link *l, struct str line)
{
	struct proto_msg msg;
	struct err err = ERR_INIT;
	struct link_call *c;

	if (proto_parse(line, &msg, &err) < 0) {
		lost(l, err.msg);
		return false;
	}
	if (msg.method != NULL && strcmp(msg.method, "hello") == 0) {
		on_hello(l, msg.params);
		if (l->up)
			refuse_stale(l);
	} else if (msg.method != NULL && strcmp(msg.method, "push") == 0) {
		on_push(l, msg.params);
	} else if (msg.has_id && (c = call_find(l, msg.id)) != NULL) {
		finish(l, c, msg.is_error ? NULL : msg.result, msg.is_error ? &msg.error : NULL);
	}
	proto_msg_done(&msg);
	return l->fd >= 0;
}

static bool take_lines(struct link *l)
{
	for (int i = 0; i < LINES_MAX; i++) {
		struct str all = buf_str(&l->in);
		ptrdiff_t end = str_index(all, '\n');

		if (end < 0)
			return false;
		/* The line stays where it is: nothing is read while it is handled. */
		if (!take_line(l, str_from(all.p, (size_t)end)))
			return false;
		buf_drop(&l->in, (size_t)end + 1);
	}
	return str_index(buf_str(&l->in), '\n') >= 0;
}

static void on_more(void *arg);

static void on_ready(int fd, unsigned what, void *arg)
{
	struct link *l = OBJ(link, LINK_MAGIC, arg);
	ssize_t n;

	(void)what;
	flush(l);
	if (!buf_reserve(&l->in, READ_MAX)) {
		lost(l, "the relay sent an endless line");
		return;
	}
	n = recv(fd, l->in.p + l->in.n, READ_MAX, MSG_DONTWAIT);
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n <= 0) {
		lost(l, "the relay ended the connection");
		return;
	}
	l->in.n += (size_t)n;
	l->in.p[l->in.n] = '\0';
	l->heard_ms = loop_now_ms(l->loop);
	l->heard_wall_ms = loop_wall_ms(l->loop);
	on_more(l);
}

/* Goes on in the next round of the loop when there are many lines. */
static void on_more(void *arg)
{
	struct link *l = OBJ(link, LINK_MAGIC, arg);

	if (take_lines(l))
		loop_timer_set(l->timer, 0);
}

/* --- the connection's life --- */

static void hang_up(struct link *l)
{
	struct link_sub *s;

	loop_fd_free(&l->watch);
	if (l->fd >= 0)
		(void)close(l->fd);
	l->fd = -1;
	l->up = false;
	l->ping = 0;
	l->in.n = 0;
	buf_reset(&l->out);
	TAILQ_FOREACH (s, &l->subs, next)
		s->remote = 0;
}

static void lost(struct link *l, const char *why)
{
	hang_up(l);
	(void)snprintf(l->trouble, sizeof(l->trouble), "%s", why);
	loop_timer_set(l->timer, l->retry_ms);
	l->retry_wall_ms = loop_wall_ms(l->loop) + l->retry_ms;
	l->retry_ms = l->retry_ms * 2 > RETRY_MAX_MS ? RETRY_MAX_MS : l->retry_ms * 2;
	l->state(l->arg);
}

static void open_socket(struct link *l)
{
	struct sockaddr_un to = { .sun_family = AF_UNIX };
	struct err err = ERR_INIT;

	memcpy(to.sun_path, l->path, sizeof(to.sun_path));
	l->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (l->fd < 0 || connect(l->fd, (const struct sockaddr *)&to, sizeof(to)) < 0) {
		(void)err_sys(&err, errno, "%s", l->path);
		lost(l, err.msg);
		return;
	}
	l->heard_ms = loop_now_ms(l->loop);
	l->watch = loop_fd_new(l->loop, "link", l->fd, LOOP_READ, on_ready, l);
	loop_timer_set(l->timer, BEAT_MS);
}

static void on_pong(void *arg, const json_t *result, const struct err *err)
{
	(void)result;
	(void)err;
	OBJ(link, LINK_MAGIC, arg)->ping = 0;
}

static void on_timer(void *arg)
{
	struct link *l = OBJ(link, LINK_MAGIC, arg);
	int64_t silent;

	if (l->fd < 0) {
		open_socket(l);
		return;
	}
	silent = loop_now_ms(l->loop) - l->heard_ms;
	if (silent >= 2 * BEAT_MS) {
		lost(l, "the relay does not answer");
		return;
	}
	if (silent >= BEAT_MS && l->up && l->ping == 0)
		l->ping = link_call(l, "ping", NULL, on_pong, l);
	loop_timer_set(l->timer, BEAT_MS);
	on_more(l);
}

int link_new(struct loop *loop, const char *relay, link_state_fn *state, void *arg,
	     struct link **ret_link, struct err *err)
{
	const char *path = relay != NULL ? relay : DEFAULT_SOCKET;
	struct link *l;
	uint64_t random = 0;

	if (strncmp(path, "unix:", 5) == 0)
		path += 5;
	if (path[0] != '/' || strlen(path) >= sizeof(l->path))
		return err_param(err, ERR_INVALID, "relay",
				 "%s is not a relay; unix:PATH with an absolute path would be",
				 relay);
	l = xcalloc(1, sizeof(*l));
	l->magic = LINK_MAGIC;
	l->loop = loop;
	(void)snprintf(l->path, sizeof(l->path), "%s", path);
	(void)snprintf(l->relay, sizeof(l->relay), "%s", path);
	l->state = state;
	l->arg = arg;
	l->fd = -1;
	l->in = BUF_INIT(PROTO_RESPONSE_MAX + READ_MAX);
	l->out = BUF_INIT(OUT_MAX);
	l->retry_ms = RETRY_FIRST_MS;
	TAILQ_INIT(&l->calls);
	TAILQ_INIT(&l->subs);
	if (getentropy(&random, sizeof(random)) < 0)
		random = (uint64_t)loop_clock_us();
	(void)snprintf(l->session, sizeof(l->session), "%016llx", (unsigned long long)random);
	l->timer = loop_timer_new(loop, "link.timer", on_timer, l);
	loop_timer_set(l->timer, 0);
	*ret_link = l;
	return 0;
}

void link_free(struct link **lp)
{
	struct link *l = *lp;

	if (l == NULL)
		return;
	while (!TAILQ_EMPTY(&l->subs))
		sub_free(l, TAILQ_FIRST(&l->subs));
	while (!TAILQ_EMPTY(&l->calls))
		call_free(l, TAILQ_FIRST(&l->calls));
	hang_up(l);
	loop_timer_free(&l->timer);
	buf_done(&l->in);
	buf_done(&l->out);
	free(l);
	*lp = NULL;
}

struct rpc link_rpc(struct link *l)
{
	static const struct rpc_ops ops = {
		.call = link_call, .cancel = link_cancel, .sub = link_sub, .unsub = link_unsub
	};

	return (struct rpc){ &ops, l };
}

void link_status(const struct link *l, struct shell_status *out)
{
	(void)snprintf(out->relay, sizeof(out->relay), "%s", l->relay);
	if (l->role != ACCESS_NONE)
		(void)snprintf(out->role, sizeof(out->role), "%s", access_name(l->role));
	(void)snprintf(out->trouble, sizeof(out->trouble), "%s", l->trouble);
	out->perm = l->role >= ACCESS_ADMIN	 ? ACTION_ADMIN
		    : l->role >= ACCESS_OPERATOR ? ACTION_OPERATE
						 : ACTION_VIEW;
	out->link = l->up ? LINK_UP : l->was_up ? LINK_LOST : LINK_CONNECTING;
	out->data_wall_ms = l->up ? 0 : l->heard_wall_ms;
	out->retry_wall_ms = l->fd < 0 ? l->retry_wall_ms : 0;
}
