/*
 * The life of the connection.
 *
 *	state       event                           -> state
 *	CONNECTING  the transport is open           GREETING
 *	CONNECTING  the transport asks              ASKING
 *	ASKING      client_answer()                 CONNECTING, with new patience
 *	GREETING    hello                           UP
 *	any         failure, end, silence           LOST
 *	LOST        time (with stay), or hurry      CONNECTING
 *
 * Calls and subscriptions are in calls.c, what arrives is taken apart in lines.c.
 *
 * Everything that may call back runs between client_enter() and client_leave(); client_free() in
 * between ends the connection at once and leaves the memory to the outermost leave.
 */
#include "client/client.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "base/mem.h"
#include "base/obj.h"
#include "base/utf8.h"
#include "client/client_int.h"

#define OUT_MAX ((size_t)PROTO_CALLS_MAX * PROTO_REQUEST_MAX)
#define READ_ROOM 65536

static const struct transport_events events;

void client_enter(struct client *c)
{
	c->depth++;
}

static void destroy(struct client *c)
{
	client_calls_free(c);
	loop_timer_free(&c->timer);
	loop_timer_free(&c->kick);
	buf_done(&c->in);
	buf_done(&c->out);
	buf_done(&c->said);
	c->magic = 0;
	free(c);
}

bool client_leave(struct client *c)
{
	ASSERT(c->depth > 0);
	if (--c->depth > 0 || !c->freed)
		return !c->freed;
	destroy(c);
	return false;
}

static void say_state(struct client *c)
{
	if (c->ops.state != NULL && !c->freed)
		c->ops.state(c->arg);
}

/* --- the connection --- */

void client_watch(struct client *c)
{
	if (c->watch != NULL)
		loop_fd_want(c->watch, (c->more ? 0 : LOOP_READ) | (c->out.n > 0 ? LOOP_WRITE : 0));
}

static void hang_up(struct client *c)
{
	uint64_t question = c->question;

	loop_fd_free(&c->watch);
	c->fd = -1;
	transport_free(&c->transport);
	c->ping = 0;
	c->question = 0;
	client_lines_reset(c);
	client_calls_unsent(c);
	if (question != 0 && c->ops.withdraw != NULL && !c->freed)
		c->ops.withdraw(c->arg, question);
}

static void connect_now(struct client *c)
{
	const struct transport_ops *ops =
		c->to.addr.kind == RELAYS_SSH ? &transport_ssh : &transport_unix;

	buf_reset(&c->said);
	c->final = false;
	c->retry_wall_ms = 0;
	c->state = CLIENT_CONNECTING;
	c->transport = ops->open(c->loop, &c->to.addr, &events, c);
	loop_timer_set(c->timer, c->connect_ms);
	say_state(c);
}

/* Parts of it may come from anywhere, and have been cut. */
static void clean_trouble(struct client *c)
{
	AUTO_BUF shown = BUF_INIT(4 * sizeof(c->trouble.msg));

	(void)utf8_put_shown(&shown, str_of(c->trouble.msg));
	while (shown.n >= sizeof(c->trouble.msg))
		do
			shown.n--;
		while ((shown.p[shown.n] & 0xc0) == 0x80);
	memcpy(c->trouble.msg, buf_cstr(&shown), shown.n);
	c->trouble.msg[shown.n] = '\0';
}

void client_lost(struct client *c, const struct err *why, bool final)
{
	c->trouble = *why;
	clean_trouble(c);
	c->state = CLIENT_LOST;
	if (c->ping != 0)
		client_cancel(c, c->ping);
	c->final = final;
	hang_up(c);
	if (c->freed)
		return;
	if (c->stay && !final) {
		loop_timer_set(c->timer, c->retry_ms);
		c->retry_wall_ms = loop_wall_ms(c->loop) + c->retry_ms;
		c->retry_ms *= 2;
		if (c->retry_ms > CLIENT_RETRY_MAX_MS)
			c->retry_ms = CLIENT_RETRY_MAX_MS;
	} else {
		loop_timer_cancel(c->timer);
		c->retry_wall_ms = 0;
	}
	if (!c->stay)
		client_calls_fail(c, &c->trouble);
	say_state(c);
}

void client_up(struct client *c)
{
	c->state = CLIENT_UP;
	c->was_up = true;
	c->trouble = ERR_INIT;
	c->retry_ms = CLIENT_RETRY_FIRST_MS;
	buf_reset(&c->said);
	loop_timer_set(c->timer, CLIENT_BEAT_MS);
	client_subs_open(c);
	client_calls_send(c);
	say_state(c);
}

static void on_ready(int fd, unsigned what, void *arg)
{
	struct client *c = OBJ(client, CLIENT_MAGIC, arg);

	(void)fd;
	client_enter(c);
	if ((what & LOOP_WRITE) != 0) {
		client_flush(c);
		client_watch(c);
	}
	if ((what & LOOP_READ) != 0)
		client_lines_read(c);
	(void)client_leave(c);
}

/* --- what the transport tells --- */

static void on_opened(void *arg, int fd)
{
	struct client *c = OBJ(client, CLIENT_MAGIC, arg);

	client_enter(c);
	c->state = CLIENT_GREETING;
	c->fd = fd;
	c->watch = loop_fd_new(c->loop, "client", fd, LOOP_READ, on_ready, c);
	say_state(c);
	(void)client_leave(c);
}

static void on_failed(void *arg, const struct err *err, bool final)
{
	struct client *c = OBJ(client, CLIENT_MAGIC, arg);
	struct err own = *err; /* it may belong to the transport, which ends here */

	client_enter(c);
	client_lost(c, &own, final);
	(void)client_leave(c);
}

static void refuse_question(struct client *c, const char *title)
{
	struct err err = ERR_INIT;

	(void)err_set(&err, ERR_DENIED, "nobody can be asked here: %.300s", title);
	client_lost(c, &err, true);
}

static void on_ask(void *arg, enum client_question_kind kind, const char *title, const char *text)
{
	struct client *c = OBJ(client, CLIENT_MAGIC, arg);
	struct client_question q = { .kind = kind, .title = title, .text = text };

	client_enter(c);
	if (c->ops.ask == NULL) {
		refuse_question(c, title);
	} else {
		q.id = ++c->last_id;
		c->question = q.id;
		c->state = CLIENT_ASKING;
		loop_timer_cancel(c->timer);
		say_state(c);
		if (!c->freed && c->question == q.id)
			c->ops.ask(c->arg, &q);
	}
	(void)client_leave(c);
}

static void on_doing(void *arg)
{
	struct client *c = OBJ(client, CLIENT_MAGIC, arg);

	client_enter(c);
	say_state(c);
	(void)client_leave(c);
}

static const struct transport_events events = {
	.opened = on_opened, .failed = on_failed, .ask = on_ask, .doing = on_doing
};

void client_answer(struct client *c, uint64_t question, const char *text)
{
	if (question == 0 || c->question != question || c->freed)
		return;
	client_enter(c);
	c->question = 0;
	c->state = CLIENT_CONNECTING;
	loop_timer_set(c->timer, c->connect_ms);
	c->transport->ops->answer(c->transport, text);
	say_state(c);
	(void)client_leave(c);
}

/* --- time --- */

static void lose_patience(struct client *c)
{
	struct err err = ERR_INIT;
	const char *doing = c->state == CLIENT_GREETING ? "waiting for the relay's greeting"
							: c->transport->ops->doing(c->transport);

	(void)err_set(&err, ERR_TIMEOUT, "%s: no answer in %lld s while %.200s", c->to.name,
		      (long long)(c->connect_ms / 1000), doing);
	if (c->state == CLIENT_GREETING)
		client_lines_explain(c, &err);
	client_lost(c, &err, false);
}

static void on_pong(void *arg, const json_t *result, const struct err *err)
{
	struct client *c = OBJ(client, CLIENT_MAGIC, arg);

	(void)result;
	(void)err;
	c->ping = 0;
	loop_timer_set(c->timer, CLIENT_BEAT_MS);
}

/*
 * What is there is read first: this process may have been stopped for a while, and then it is not
 * the relay that was silent.
 */
static void beat(struct client *c)
{
	struct err err = ERR_INIT;
	int64_t now = loop_now_ms(c->loop);
	int64_t silent;

	client_lines_read(c);
	if (c->freed || c->state != CLIENT_UP)
		return;
	silent = now - c->heard_ms;
	if (silent >= CLIENT_DEAD_MS && c->ping != 0 &&
	    now - c->pinged_ms >= CLIENT_DEAD_MS - CLIENT_BEAT_MS) {
		(void)err_set(&err, ERR_TIMEOUT, "%s is silent for %lld s", c->to.name,
			      (long long)(silent / 1000));
		client_lost(c, &err, false);
		return;
	}
	if (silent >= CLIENT_BEAT_MS && c->ping == 0) {
		c->ping = client_call(c, "ping", NULL, on_pong, c);
		c->pinged_ms = now;
	}
	loop_timer_set(c->timer, silent >= CLIENT_BEAT_MS ? CLIENT_DEAD_MS - CLIENT_BEAT_MS
							  : CLIENT_BEAT_MS - silent);
}

static void on_timer(void *arg)
{
	struct client *c = OBJ(client, CLIENT_MAGIC, arg);

	client_enter(c);
	switch (c->state) {
	case CLIENT_LOST:
		connect_now(c);
		break;
	case CLIENT_CONNECTING:
		if (c->transport == NULL)
			connect_now(c); /* the first time */
		else
			lose_patience(c);
		break;
	case CLIENT_GREETING:
		lose_patience(c);
		break;
	case CLIENT_UP:
		beat(c);
		break;
	case CLIENT_ASKING:
	case CLIENT_STATE__COUNT:
		break;
	}
	(void)client_leave(c);
}

static void on_kick(void *arg)
{
	struct client *c = OBJ(client, CLIENT_MAGIC, arg);

	client_enter(c);
	if (c->more)
		client_lines_take(c);
	if (!c->freed)
		(void)client_calls_settle(c);
	(void)client_leave(c);
}

/* --- from outside --- */

void client_hurry(struct client *c)
{
	if (c->state == CLIENT_LOST)
		loop_timer_set(c->timer, 0);
}

void client_view(const struct client *c, struct client_view *ret)
{
	*ret = (struct client_view){
		.state = c->state,
		.name = c->to.name,
		.relay = c->relay,
		.user = c->user,
		.role = c->role,
		.was_up = c->was_up,
		.doing = "",
		.trouble = c->trouble,
		.heard_wall_ms = c->heard_wall_ms,
		.retry_wall_ms = c->state == CLIENT_LOST ? c->retry_wall_ms : 0,
		.production = c->to.production,
	};
	if (c->state == CLIENT_CONNECTING && c->transport != NULL)
		ret->doing = c->transport->ops->doing(c->transport);
}

int client_new(struct loop *l, const struct client_options *o, const struct client_ops *ops,
	       void *arg, struct client **ret_client, struct err *err)
{
	struct relays_found to;
	struct client *c;
	uint64_t random = 0;
	int result = relays_find(o->relay, &to, err);

	if (result < 0)
		return result;
	c = xcalloc(1, sizeof(*c));
	c->magic = CLIENT_MAGIC;
	c->loop = l;
	if (ops != NULL)
		c->ops = *ops;
	c->arg = arg;
	c->stay = o->stay;
	c->connect_ms = o->connect_ms > 0 ? o->connect_ms : CLIENT_CONNECT_MS;
	c->to = to;
	c->fd = -1;
	c->in = BUF_INIT(PROTO_RESPONSE_MAX + READ_ROOM);
	c->out = BUF_INIT(OUT_MAX);
	c->said = BUF_INIT(4 * CLIENT_SAID_MAX);
	c->retry_ms = CLIENT_RETRY_FIRST_MS;
	TAILQ_INIT(&c->calls);
	TAILQ_INIT(&c->subs);
	if (getentropy(&random, sizeof(random)) < 0)
		random = (uint64_t)loop_clock_us();
	(void)snprintf(c->session, sizeof(c->session), "%016llx", (unsigned long long)random);
	c->timer = loop_timer_new(l, "client.timer", on_timer, c);
	c->kick = loop_timer_new(l, "client.kick", on_kick, c);
	loop_timer_set(c->timer, 0);
	*ret_client = c;
	return 0;
}

void client_free(struct client **cp)
{
	struct client *c = *cp;

	if (c == NULL)
		return;
	*cp = NULL;
	c->freed = true;
	client_enter(c);
	hang_up(c);
	loop_timer_cancel(c->timer);
	loop_timer_cancel(c->kick);
	(void)client_leave(c);
}
