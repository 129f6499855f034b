/*
 * What comes from the relay, line by line. Before the hello anything may come: a login shell that
 * greets, a nologin that refuses. It is kept for the error's text, and forgotten with the hello.
 *
 * A callback may free the client or lose the link: after each line both are looked at.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include "base/obj.h"
#include "base/utf8.h"
#include "client/client_int.h"

#define READ_MAX 65536
#define LINES_MAX 64 /* taken in one wake-up */
#define STRANGE_MAX 16384

void client_lines_reset(struct client *c)
{
	c->in.n = 0;
	c->in.full = false;
	c->scanned = 0;
	c->more = false;
	c->strange = 0;
}

/* --- before the hello --- */

static void put_said(struct client *c, struct str line)
{
	struct str text = str_trim(line);

	if (text.n > 0 && text.p[text.n - 1] == '\r')
		text.n--;
	if (text.n > CLIENT_SAID_MAX)
		text.n = CLIENT_SAID_MAX;
	if (text.n == 0 || c->said.n >= CLIENT_SAID_MAX)
		return;
	if (c->said.n > 0)
		(void)buf_puts(&c->said, " / ");
	(void)utf8_put_shown(&c->said, text);
}

static void add_said(struct client *c, struct err *err)
{
	char before[sizeof(err->msg)];

	if (c->said.n == 0)
		return;
	(void)snprintf(before, sizeof(before), "%s", err->msg);
	(void)snprintf(err->msg, sizeof(err->msg), "%.250s; it said: %.200s", before,
		       buf_cstr(&c->said));
}

void client_lines_explain(struct client *c, struct err *err)
{
	put_said(c, buf_str(&c->in)); /* a line without its end */
	add_said(c, err);
}

static void not_ours(struct client *c)
{
	struct err err = ERR_INIT;

	(void)err_set(&err, ERR_PROTO, "%s does not speak Weir's protocol", c->to.name);
	add_said(c, &err);
	client_lost(c, &err, false);
}

static void keep_said(struct client *c, struct str line)
{
	put_said(c, line);
	c->strange += line.n + 1;
	if (c->strange > STRANGE_MAX)
		not_ours(c);
}

/* --- the hello --- */

static const char *text_of(const json_t *o, const char *name)
{
	const char *s = json_string_value(json_object_get(o, name));

	return s != NULL ? s : "";
}

static void on_hello(struct client *c, const json_t *params)
{
	json_int_t version = json_integer_value(json_object_get(params, "protocol"));
	struct err err = ERR_INIT;

	if (version != PROTO_VERSION) {
		(void)err_set(&err, ERR_PROTO,
			      "%s speaks version %lld of the control protocol (weir-relayd %.40s), "
			      "this weir version %d: the older of the two needs an update",
			      c->to.name, (long long)version, text_of(params, "version"),
			      PROTO_VERSION);
		client_lost(c, &err, false);
		return;
	}
	(void)snprintf(c->relay, sizeof(c->relay), "%s", text_of(params, "relay"));
	(void)snprintf(c->user, sizeof(c->user), "%s", text_of(params, "user"));
	c->role = access_from_name(text_of(params, "role"));
	client_up(c);
}

/* A refusal that answers no request: the relay does not want this account, or not now. */
static void on_refusal(struct client *c, const struct err *said)
{
	struct err err = *said;

	(void)err_prefix(&err, "%s", c->to.name);
	client_lost(c, &err, err.code == ERR_DENIED);
}

static void take_greeting(struct client *c, struct str line)
{
	struct proto_msg msg;

	if (proto_parse(line, &msg, NULL) < 0) {
		keep_said(c, line);
		return;
	}
	if (msg.method != NULL && strcmp(msg.method, "hello") == 0)
		on_hello(c, msg.params);
	else if (msg.is_error && !msg.has_id)
		on_refusal(c, &msg.error);
	else
		keep_said(c, line);
	proto_msg_done(&msg);
}

/* --- after it --- */

static void take_line(struct client *c, struct str line)
{
	struct proto_msg msg;
	struct err err = ERR_INIT;

	if (proto_parse(line, &msg, &err) < 0) {
		err.code = ERR_PROTO;
		(void)err_prefix(&err, "%s sent a line that is no message", c->to.name);
		client_lost(c, &err, false);
		return;
	}
	if (msg.method != NULL && strcmp(msg.method, "push") == 0)
		client_subs_push(c, msg.params);
	else if (msg.has_id && msg.method == NULL)
		client_calls_answer(c, msg.id, msg.is_error ? NULL : msg.result,
				    msg.is_error ? &msg.error : NULL);
	else if (msg.is_error)
		on_refusal(c, &msg.error);
	proto_msg_done(&msg);
}

static bool connected(const struct client *c)
{
	return !c->freed && (c->state == CLIENT_GREETING || c->state == CLIENT_UP);
}

static bool has_line(struct client *c, struct str *ret_line)
{
	const char *end = NULL;

	if (c->in.n > c->scanned)
		end = memchr(c->in.p + c->scanned, '\n', c->in.n - c->scanned);
	if (end == NULL) {
		c->scanned = c->in.n;
		return false;
	}
	*ret_line = str_from(c->in.p, (size_t)(end - c->in.p));
	return true;
}

void client_lines_take(struct client *c)
{
	struct str line;

	for (int i = 0; i < LINES_MAX; i++) {
		size_t n;

		if (!has_line(c, &line)) {
			c->more = false;
			client_watch(c);
			return;
		}
		n = line.n + 1;
		/* The line stays where it is: nothing is read while it is handled. */
		if (c->state == CLIENT_GREETING)
			take_greeting(c, line);
		else
			take_line(c, line);
		if (!connected(c))
			return;
		buf_drop(&c->in, n);
		c->scanned = 0;
	}
	c->more = has_line(c, &line);
	if (c->more)
		client_kick(c);
	client_watch(c);
}

static void at_end(struct client *c, int errnum)
{
	struct err err = ERR_INIT;
	bool final = false;

	if (errnum != 0 && errnum != ECONNRESET)
		(void)err_sys(&err, errnum, "the link to %s broke", c->to.name);
	else if (c->state == CLIENT_UP)
		(void)err_set(&err, ERR_CLOSED, "%s ended the connection", c->to.name);
	else
		(void)err_set(&err, ERR_CLOSED, "%s ended the connection before its greeting",
			      c->to.name);
	if (err.code != ERR_CLOSED)
		err.code = ERR_NET;
	c->transport->ops->trouble(c->transport, &err, &final);
	if (c->state == CLIENT_GREETING)
		client_lines_explain(c, &err);
	client_lost(c, &err, final);
}

void client_lines_read(struct client *c)
{
	struct err err = ERR_INIT;
	ssize_t n;

	if (c->more)
		return;
	if (!buf_reserve(&c->in, READ_MAX)) {
		(void)err_set(&err, ERR_PROTO, "%s sent a line of more than %u bytes", c->to.name,
			      PROTO_RESPONSE_MAX);
		client_lost(c, &err, false);
		return;
	}
	n = recv(c->fd, c->in.p + c->in.n, READ_MAX, MSG_DONTWAIT);
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n <= 0) {
		at_end(c, n < 0 ? errno : 0);
		return;
	}
	c->in.n += (size_t)n;
	c->in.p[c->in.n] = '\0';
	c->heard_ms = loop_now_ms(c->loop);
	c->heard_wall_ms = loop_wall_ms(c->loop);
	if (c->state == CLIENT_GREETING && c->in.n > STRANGE_MAX &&
	    memchr(c->in.p, '\n', c->in.n) == NULL) {
		put_said(c, buf_str(&c->in));
		not_ours(c);
		return;
	}
	client_lines_take(c);
}
