/*
 * The channel to the control socket, and the bytes between it and the client.
 *
 * The socket is opened by the server itself (unix-forward): that works without a shell and with
 * nothing installed there. When that fails, for whichever reason (the answer is the same for a
 * socket that is missing, one that may not be used, and forwarding switched off), `weir stdio` is
 * run on the same session: it says what is wrong in words.
 *
 * In the pump one poll waits for the connection, the client's descriptor
 * and the loop. What the client does not take is not read from the connection.
 */
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include "base/buf.h"
#include "base/mem.h"
#include "base/obj.h"
#include "base/utf8.h"
#include "client/remote_int.h"

#define FLOW_SIZE 32768
#define SAID_KEEP 250
#define LAST_WORDS_MS 1000 /* for the exit status behind the end of the output */

/* --- opening --- */

static bool open_forward(struct remote *r)
{
	int rc;

	if (ssh_get_openssh_version(r->session) == 0)
		return false; /* libssh does not even ask others */
	r->channel = ssh_channel_new(r->session);
	if (r->channel == NULL)
		return false;
	do
		rc = ssh_channel_open_forward_unix(r->channel, r->to.path, "localhost", 0);
	while (rc == SSH_AGAIN && remote_more(r));
	if (rc == SSH_OK)
		return true;
	ssh_channel_free(r->channel);
	r->channel = NULL;
	return false;
}

static void put_quoted(struct buf *b, const char *s)
{
	(void)buf_putc(b, '\'');
	for (; *s != '\0'; s++) {
		if (*s == '\'')
			(void)buf_puts(b, "'\\''");
		else
			(void)buf_putc(b, *s);
	}
	(void)buf_putc(b, '\'');
}

static int open_exec(struct remote *r, struct err *err)
{
	AUTO_BUF command = BUF_INIT(1024);
	int rc;

	(void)buf_puts(&command, "weir ");
	if (r->to.own_path) {
		AUTO_BUF url = BUF_INIT(256);

		(void)buf_printf(&url, "unix:%s", r->to.path);
		(void)buf_puts(&command, "-r ");
		put_quoted(&command, buf_cstr(&url));
		(void)buf_putc(&command, ' ');
	}
	(void)buf_puts(&command, "stdio");
	r->exec = true;
	r->channel = ssh_channel_new(r->session);
	if (r->channel == NULL)
		return remote_fail(r, err, "opening a session");
	do
		rc = ssh_channel_open_session(r->channel);
	while (rc == SSH_AGAIN && remote_more(r));
	if (rc != SSH_OK)
		return remote_fail(r, err, "opening a session");
	do
		rc = ssh_channel_request_exec(r->channel, buf_cstr(&command));
	while (rc == SSH_AGAIN && remote_more(r));
	return rc == SSH_OK ? 0 : remote_fail(r, err, "running `weir stdio` there");
}

int remote_open(struct remote *r, struct err *err)
{
	remote_doing(r, "opening the relay's socket on %s", r->host);
	if (open_forward(r))
		return 0;
	if (remote_cancelled(r))
		return -ERR_CANCELLED;
	if (!ssh_is_connected(r->session))
		return remote_fail(r, err, "opening the relay's socket");
	remote_doing(r, "running weir stdio on %s", r->host);
	return open_exec(r, err);
}

/* --- the pump --- */

struct flow {
	char bytes[FLOW_SIZE];
	size_t from;
	size_t n;
};

struct pump {
	struct remote *r;
	struct flow in;	 /* from the relay */
	struct flow out; /* to it */
	bool broken;
	bool client_gone;
};

/* The end of what was said counts: banners come first. */
static void keep_said(struct remote *r, const char *bytes, int n)
{
	if (r->said.n > SAID_KEEP)
		buf_drop(&r->said, r->said.n - SAID_KEEP);
	(void)utf8_put_shown(&r->said, str_from(bytes, (size_t)n));
	r->said.full = false;
}

/* Takes all that has arrived for the client, and passes it on as far as it is taken. */
static bool pump_in(struct pump *p)
{
	struct flow *f = &p->in;
	int n = 0;

	do {
		if (f->n == 0) {
			n = ssh_channel_read_nonblocking(p->r->channel, f->bytes, sizeof(f->bytes),
							 0);
			f->from = 0;
			f->n = n > 0 ? (size_t)n : 0;
		}
		while (f->n > 0) {
			ssize_t sent = send(p->r->link->data[1], f->bytes + f->from, f->n,
					    MSG_NOSIGNAL | MSG_DONTWAIT);

			if (sent < 0 && errno == EAGAIN)
				return true;
			if (sent < 0 && errno != EINTR)
				p->client_gone = true;
			if (p->client_gone)
				return false;
			if (sent > 0) {
				f->from += (size_t)sent;
				f->n -= (size_t)sent;
			}
		}
	} while (n > 0);
	p->broken = n == SSH_ERROR;
	return !p->broken;
}

static void pump_said(struct pump *p)
{
	char bytes[1024];
	int n;

	while ((n = ssh_channel_read_nonblocking(p->r->channel, bytes, sizeof(bytes), 1)) > 0)
		keep_said(p->r, bytes, n);
}

static bool pump_out(struct pump *p)
{
	struct flow *f = &p->out;
	uint32_t window;
	int n;

	if (f->n == 0) {
		ssize_t got = recv(p->r->link->data[1], f->bytes, sizeof(f->bytes), MSG_DONTWAIT);

		if (got == 0 || (got < 0 && errno != EAGAIN && errno != EINTR))
			p->client_gone = true;
		f->from = 0;
		f->n = got > 0 ? (size_t)got : 0;
	}
	while (f->n > 0 && (window = ssh_channel_window_size(p->r->channel)) > 0) {
		n = ssh_channel_write(p->r->channel, f->bytes + f->from,
				      f->n < window ? (uint32_t)f->n : window);
		if (n <= 0) {
			p->broken = n < 0 && n != SSH_AGAIN;
			break;
		}
		f->from += (size_t)n;
		f->n -= (size_t)n;
	}
	return !p->broken && !p->client_gone;
}

static bool pump_wait(struct pump *p, int timeout_ms)
{
	struct remote *r = p->r;
	int flags = ssh_get_poll_flags(r->session);
	struct pollfd fds[] = {
		{ .fd = r->link->ctl[1] },
		{ .fd = r->link->data[1],
		  .events = (short)((p->out.n == 0 ? POLLIN : 0) | (p->in.n > 0 ? POLLOUT : 0)) },
		{ .fd = ssh_get_fd(r->session),
		  .events = (short)((p->in.n == 0 ? POLLIN : 0) |
				    ((flags & SSH_WRITE_PENDING) != 0 ? POLLOUT : 0)) },
	};
	int n = poll(fds, ARRAY_LEN(fds), timeout_ms);

	if (n < 0 && errno != EINTR)
		return false;
	return n != 0 && (fds[0].revents & (POLLHUP | POLLERR)) == 0 && !remote_cancelled(r);
}

/* What the command had to say, and how it ended. */
static void explain_exec(struct remote *r, struct err *err)
{
	int status = ssh_channel_get_exit_status(r->channel);
	struct str said = str_trim(buf_str(&r->said));

	if (said.n > SAID_KEEP)
		said = str_from(said.p + said.n - SAID_KEEP, SAID_KEEP);
	if (status < 0 && said.n == 0)
		return;
	if (status == 127)
		(void)err_set(
			err, ERR_NET,
			"%s: sshd does not open %s, and `weir stdio` is not found there "
			"either. Is the relay running there, and may %s use the socket? (%.*s)",
			r->who, r->to.path, r->user, STR_ARG(said));
	else
		(void)err_set(err, ERR_NET, "%s: `weir stdio` there ended with status %d%s%.*s",
			      r->who, status, said.n > 0 ? ": " : "", STR_ARG(said));
}

static void last_words(struct pump *p)
{
	struct remote *r = p->r;

	while (!ssh_channel_is_closed(r->channel) && ssh_is_connected(r->session) &&
	       pump_wait(p, LAST_WORDS_MS)) {
		pump_said(p);
		if (ssh_channel_poll(r->channel, 0) < 0)
			break;
	}
	pump_said(p);
}

void remote_pump(struct remote *r, struct err *err)
{
	struct pump *p = xcalloc(1, sizeof(*p));

	p->r = r;
	for (;;) {
		if (!pump_out(p))
			break;
		pump_said(p); /* takes in what has come for either; so it is not the last */
		if (!pump_in(p))
			break;
		if (p->in.n == 0 &&
		    (ssh_channel_is_eof(r->channel) || ssh_channel_is_closed(r->channel)))
			break;
		if (!pump_wait(p, -1))
			break;
	}
	if (!ssh_is_connected(r->session) || p->broken) {
		(void)remote_fail(r, err, "the SSH connection");
	} else if (r->exec && !p->client_gone && !remote_cancelled(r)) {
		p->out.n = 1; /* nothing more is taken from the client */
		last_words(p);
		explain_exec(r, err);
	}
	free(p);
}
