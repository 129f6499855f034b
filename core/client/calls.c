/*
 * Calls and subscriptions. Calls stand in one list in the order they were made; at most
 * PROTO_CALLS_MAX of them are with the relay, the others wait for an answer to make room.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "base/mem.h"
#include "base/obj.h"
#include "client/client_int.h"

/* --- sending --- */

void client_kick(struct client *c)
{
	loop_timer_set(c->kick, 0);
}

void client_flush(struct client *c)
{
	while (c->out.n > 0) {
		ssize_t n = send(c->fd, c->out.p, c->out.n, MSG_NOSIGNAL | MSG_DONTWAIT);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			break; /* a broken connection shows when it is read */
		buf_drop(&c->out, (size_t)n);
	}
}

static void fail(struct client *c, struct pending *p, const struct err *err)
{
	if (p->failed)
		return;
	if (p->sent)
		c->sent--;
	p->sent = false;
	p->failed = true;
	p->err = *err;
	client_kick(c);
}

static void send_one(struct client *c, struct pending *p)
{
	AUTO_BUF line = BUF_INIT(PROTO_REQUEST_MAX);
	struct err err = ERR_INIT;

	if (!proto_put_request(&line, p->id, p->method, p->params)) {
		(void)err_set(&err, ERR_LIMIT, "the request is larger than %u bytes",
			      PROTO_REQUEST_MAX);
		fail(c, p, &err);
	} else if (buf_put_str(&c->out, buf_str(&line))) {
		p->sent = true;
		p->was_sent = true;
		c->sent++;
	}
}

static bool is_stale(const struct client *c, const struct pending *p)
{
	return p->changes && !p->sent && !p->failed &&
	       loop_now_ms(c->loop) - p->made_ms >= CLIENT_STALE_MS;
}

static void refuse_stale(struct client *c, struct pending *p)
{
	struct err err = ERR_INIT;

	if (p->was_sent)
		(void)err_set(&err, ERR_TIMEOUT,
			      "the link was lost before an answer came; the undo journal says "
			      "whether it was done");
	else
		(void)err_set(&err, ERR_TIMEOUT,
			      "the relay was not reached for %d s: nothing was sent, and nothing "
			      "will be",
			      CLIENT_STALE_MS / 1000);
	fail(c, p, &err);
}

void client_calls_send(struct client *c)
{
	struct pending *p;

	if (c->state != CLIENT_UP)
		return;
	TAILQ_FOREACH (p, &c->calls, next) {
		if (c->sent >= PROTO_CALLS_MAX)
			break;
		if (is_stale(c, p))
			refuse_stale(c, p);
		else if (!p->sent && !p->failed)
			send_one(c, p);
	}
	client_watch(c);
}

/* --- calls --- */

static struct pending *pending_find(struct client *c, uint64_t id)
{
	struct pending *p;

	TAILQ_FOREACH (p, &c->calls, next)
		if (p->id == id)
			return p;
	return NULL;
}

static void pending_free(struct client *c, struct pending *p)
{
	if (p->sent)
		c->sent--;
	TAILQ_REMOVE(&c->calls, p, next);
	free(p->method);
	json_decref(p->params);
	free(p);
}

uint64_t client_call(struct client *c, const char *method, json_t *params_take,
		     client_answer_fn *fn, void *arg)
{
	const struct method_def *m = method_find(method);
	struct pending *p = xcalloc(1, sizeof(*p));

	p->id = ++c->last_id;
	p->method = xstrdup(method);
	p->params = params_take != NULL ? params_take : json_object();
	p->fn = fn;
	p->arg = arg;
	p->changes = m != NULL && (m->flags & MF_MUTATES) != 0;
	p->made_ms = loop_now_ms(c->loop);
	if (p->changes && json_object_get(p->params, "request") == NULL)
		(void)json_object_set_new(
			p->params, "request",
			json_sprintf("%s-%llu", c->session, (unsigned long long)p->id));
	TAILQ_INSERT_TAIL(&c->calls, p, next);
	if (c->state == CLIENT_LOST && !c->stay)
		fail(c, p, &c->trouble);
	else if (c->state != CLIENT_UP && p->changes)
		client_kick(c);
	client_calls_send(c);
	return p->id;
}

void client_cancel(struct client *c, uint64_t call)
{
	struct pending *p = pending_find(c, call);

	if (p == NULL)
		return;
	pending_free(c, p); /* an answer that still comes finds nobody */
	client_calls_send(c);
}

static void finish(struct client *c, struct pending *p, const json_t *result, const struct err *err)
{
	client_answer_fn *fn = p->fn;
	void *arg = p->arg;

	pending_free(c, p);
	fn(arg, result, err);
}

void client_calls_answer(struct client *c, uint64_t id, const json_t *result, const struct err *err)
{
	struct pending *p = pending_find(c, id);

	if (p == NULL || !p->sent)
		return;
	if (result != NULL)
		finish(c, p, result, NULL);
	else
		finish(c, p, NULL, err);
	if (!c->freed)
		client_calls_send(c);
}

static void on_nothing(void *arg, const json_t *result, const struct err *err)
{
	(void)arg;
	(void)result;
	(void)err;
}

static void sub_close(struct client *c, json_int_t remote)
{
	(void)client_call(c, "sub.close", json_pack("{s:I}", "sub", remote), on_nothing, NULL);
}

/* It was given up before the relay's answer came. */
static void on_unwanted(void *arg, const json_t *result, const struct err *err)
{
	(void)err;
	if (result != NULL)
		sub_close(OBJ(client, CLIENT_MAGIC, arg),
			  json_integer_value(json_object_get(result, "sub")));
}

void client_calls_unsent(struct client *c)
{
	struct subscription *s;
	struct pending *p;
	struct pending *after;

	buf_reset(&c->out);
	for (p = TAILQ_FIRST(&c->calls); p != NULL; p = after) {
		after = TAILQ_NEXT(p, next);
		if (p->fn == on_nothing || p->fn == on_unwanted) {
			pending_free(c, p); /* its subscription went with the connection */
			continue;
		}
		if (p->sent)
			c->sent--;
		p->sent = false;
	}
	TAILQ_FOREACH (s, &c->subs, next)
		s->remote = 0;
	client_kick(c);
}

void client_calls_fail(struct client *c, const struct err *err)
{
	struct pending *p;

	TAILQ_FOREACH (p, &c->calls, next) {
		struct err own = *err;

		if (p->changes && p->was_sent)
			(void)err_set(&own, err->code,
				      "%.300s; whether it was done, `weir audit` says", err->msg);
		fail(c, p, &own);
	}
}

/* --- answers that wait --- */

/* Changes that wait too long for a connection; the kick comes back for the next one. */
static void find_stale(struct client *c)
{
	int64_t now = loop_now_ms(c->loop);
	int64_t soonest = INT64_MAX;
	struct pending *p;

	TAILQ_FOREACH (p, &c->calls, next) {
		if (!p->changes || p->sent || p->failed)
			continue;
		if (is_stale(c, p))
			refuse_stale(c, p);
		else if (p->made_ms + CLIENT_STALE_MS < soonest)
			soonest = p->made_ms + CLIENT_STALE_MS;
	}
	if (c->state != CLIENT_UP && soonest != INT64_MAX && !loop_timer_pending(c->kick))
		loop_timer_set(c->kick, soonest - now);
}

static struct pending *next_failed(struct client *c)
{
	struct pending *p;

	TAILQ_FOREACH (p, &c->calls, next)
		if (p->failed)
			return p;
	return NULL;
}

bool client_calls_settle(struct client *c)
{
	struct pending *p;

	client_enter(c);
	find_stale(c);
	/* One by one: their owners may call again, and cancel others. */
	while (!c->freed && (p = next_failed(c)) != NULL) {
		struct err err = p->err;

		finish(c, p, NULL, &err);
	}
	return client_leave(c);
}

/* --- subscriptions --- */

static void sub_free(struct client *c, struct subscription *s)
{
	if (s->call != 0)
		client_cancel(c, s->call);
	TAILQ_REMOVE(&c->subs, s, next);
	free(s->topic);
	json_decref(s->params);
	free(s);
}

static void on_opened(void *arg, const json_t *result, const struct err *err)
{
	struct subscription *s = arg;
	struct client *c = s->client;
	uint64_t id = s->id;

	s->call = 0;
	if (result == NULL) {
		sub_free(c, s);
		if (c->ops.unsubscribed != NULL)
			c->ops.unsubscribed(c->arg, id, err);
		return;
	}
	s->remote = (uint64_t)json_integer_value(json_object_get(result, "sub"));
	if (s->again)
		s->fn(s->arg, NULL, true);
	else
		s->again = true;
}

/* With a lost connection a call to open it goes out again by itself. */
static void sub_open(struct client *c, struct subscription *s)
{
	json_t *params = s->params != NULL ? json_copy(s->params) : json_object();

	(void)json_object_set_new(params, "topic", json_string(s->topic));
	s->call = client_call(c, "sub.open", params, on_opened, s);
}

void client_subs_open(struct client *c)
{
	struct subscription *s;

	TAILQ_FOREACH (s, &c->subs, next)
		if (s->call == 0 && s->remote == 0)
			sub_open(c, s);
}

uint64_t client_sub(struct client *c, const char *topic, json_t *params_take, client_push_fn *fn,
		    void *arg)
{
	struct subscription *s = xcalloc(1, sizeof(*s));

	s->client = c;
	s->id = ++c->last_id;
	s->topic = xstrdup(topic);
	s->params = params_take;
	s->fn = fn;
	s->arg = arg;
	TAILQ_INSERT_TAIL(&c->subs, s, next);
	sub_open(c, s);
	return s->id;
}

void client_unsub(struct client *c, uint64_t sub)
{
	struct subscription *s;
	struct pending *p;

	TAILQ_FOREACH (s, &c->subs, next) {
		if (s->id != sub)
			continue;
		p = s->call != 0 ? pending_find(c, s->call) : NULL;
		if (s->remote != 0)
			sub_close(c, (json_int_t)s->remote);
		if (p != NULL && p->sent) {
			p->fn = on_unwanted;
			p->arg = c;
			s->call = 0;
		}
		sub_free(c, s);
		return;
	}
}

void client_subs_push(struct client *c, const json_t *params)
{
	json_int_t remote = json_integer_value(json_object_get(params, "sub"));
	struct subscription *s;

	TAILQ_FOREACH (s, &c->subs, next) {
		if (remote <= 0 || s->remote != (uint64_t)remote)
			continue;
		s->fn(s->arg, json_object_get(params, "data"),
		      json_is_true(json_object_get(params, "resync")));
		return;
	}
}

void client_calls_free(struct client *c)
{
	while (!TAILQ_EMPTY(&c->subs))
		sub_free(c, TAILQ_FIRST(&c->subs));
	while (!TAILQ_EMPTY(&c->calls))
		pending_free(c, TAILQ_FIRST(&c->calls));
}
