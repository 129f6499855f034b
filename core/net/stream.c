/*
 * Reading goes into a scratch buffer on the stack, so that an idle stream holds no memory; only
 * what was not taken is kept in `in`, and then reading continues behind it.
 *
 * Callbacks run between enter() and leave(): writes are held back until the outermost leaves
 * (settle() sends them), and stream_free() only closes the descriptor; the struct goes in leave().
 * What has to be told outside of a callback (a failed write, data to show again) is put off to the
 * loop by kick(), a timer that is due at once.
 *
 * One timer serves the idle time, the deadline and kicks. Activity only notes the time; the timer
 * finds out when it fires, and is set again for the rest.
 *
 *	state       event                     -> state
 *	CONNECTING  connected                 OPEN, on_open()
 *	OPEN        stream_close()            CLOSING
 *	CLOSING     all sent                  LINGER, or OVER
 *	LINGER      end, time or bytes over   OVER
 *	any         error, time               OVER, on_closed()
 */
#include "net/stream_int.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/obj.h"

#define IN_LIMIT ((size_t)64 * 1024)
#define OUT_LIMIT ((size_t)1024 * 1024)
#define HIGH_MARK ((size_t)64 * 1024)
#define KEEP_BYTES 4096				 /* of an empty buffer's memory */
#define LINGER_BYTES ((uint64_t)4 * 1024 * 1024) /* read and dropped at most */
#define COMPACT_AT ((size_t)64 * 1024)

int stream_net_error(struct err *err, int errnum, const char *what)
{
	(void)err_sys(err, errnum, "%s", what);
	if (err != NULL)
		err->code = ERR_NET;
	return -ERR_NET;
}

static bool not_now(int errnum)
{
	return errnum == EAGAIN || errnum == EINTR;
}

static ssize_t socket_recv(struct stream *s, void *p, size_t n, struct err *err)
{
	ssize_t got = recv(s->fd, p, n, 0);

	if (got >= 0)
		return got;
	if (not_now(errno))
		return IO_AGAIN;
	(void)stream_net_error(err, errno, "receiving");
	return IO_FAILED;
}

static ssize_t socket_send(struct stream *s, const void *p, size_t n, struct err *err)
{
	ssize_t sent = send(s->fd, p, n, MSG_NOSIGNAL);

	if (sent >= 0)
		return sent;
	if (not_now(errno))
		return IO_AGAIN;
	(void)stream_net_error(err, errno, "sending");
	return IO_FAILED;
}

static ssize_t pipe_recv(struct stream *s, void *p, size_t n, struct err *err)
{
	ssize_t got = read(s->fd, p, n);

	if (got >= 0)
		return got;
	if (not_now(errno))
		return IO_AGAIN;
	(void)stream_net_error(err, errno, "reading");
	return IO_FAILED;
}

static ssize_t pipe_send(struct stream *s, const void *p, size_t n, struct err *err)
{
	ssize_t sent = write(s->fd, p, n);

	if (sent >= 0)
		return sent;
	if (not_now(errno))
		return IO_AGAIN;
	(void)stream_net_error(err, errno, "writing");
	return IO_FAILED;
}

static const struct stream_io socket_io = { .recv = socket_recv, .send = socket_send };
static const struct stream_io pipe_io = { .recv = pipe_recv, .send = pipe_send };

/* --- time --- */

void stream_kick(struct stream *s)
{
	s->timer_at = loop_now_ms(s->loop);
	loop_timer_set(s->timer, 0);
}

/* When the next thing is due; 0 for never. */
static int64_t next_due(const struct stream *s)
{
	int64_t idle_at = s->idle_ms > 0 ? s->active_at + s->idle_ms : 0;

	if (idle_at == 0 || (s->deadline_at != 0 && s->deadline_at < idle_at))
		return s->deadline_at;
	return idle_at;
}

static void arm(struct stream *s)
{
	int64_t due = next_due(s);

	if (due == 0 || s->state == OVER || s->freed)
		return;
	if (loop_timer_pending(s->timer) && s->timer_at <= due)
		return;
	s->timer_at = due;
	loop_timer_set(s->timer, due - loop_now_ms(s->loop));
}

void stream_idle(struct stream *s, int64_t ms)
{
	s->idle_ms = ms;
	s->active_at = loop_now_ms(s->loop);
	arm(s);
}

void stream_deadline(struct stream *s, int64_t ms)
{
	s->deadline_at = ms > 0 ? loop_now_ms(s->loop) + ms : 0;
	arm(s);
}

/* --- ends --- */

static void close_fd(struct stream *s)
{
	loop_fd_free(&s->watch);
	loop_timer_cancel(s->timer);
	if (s->fd >= 0)
		(void)close(s->fd);
	s->fd = -1;
}

void stream_finish(struct stream *s, const struct err *err)
{
	if (s->freed || s->state == OVER)
		return;
	s->state = OVER;
	close_fd(s);
	s->ops->on_closed(s->arg, err);
}

static void finish_with(struct stream *s, int code, const char *text)
{
	struct err err = ERR_INIT;

	if (code != ERR_NONE)
		(void)err_set(&err, code, "%s", text);
	stream_finish(s, &err);
}

static bool live(const struct stream *s)
{
	return !s->freed && s->state != OVER;
}

static void destroy(struct stream *s)
{
	loop_timer_free(&s->timer);
	stream_tls_done(s);
	buf_done(&s->in);
	buf_done(&s->out);
	s->magic = 0;
	free(s);
}

void stream_free(struct stream **sp)
{
	struct stream *s = sp != NULL ? *sp : NULL;

	if (s == NULL)
		return;
	*sp = NULL;
	s->freed = true;
	close_fd(s);
	if (s->depth == 0)
		destroy(s);
}

/* --- sending --- */

size_t stream_pending(const struct stream *s)
{
	return s->out.n - s->out_at;
}

bool stream_full(const struct stream *s)
{
	return stream_pending(s) > s->high;
}

static void shrink(struct buf *b)
{
	if (b->cap > KEEP_BYTES)
		buf_done(b);
	else
		buf_reset(b);
}

static void say_bye(struct stream *s)
{
	if (s->io->bye != NULL)
		s->io->bye(s);
}

static void all_sent(struct stream *s)
{
	shrink(&s->out);
	s->out_at = 0;
	if (s->shutdown) {
		s->shutdown = false;
		say_bye(s);
		(void)shutdown(s->fd, SHUT_WR);
	}
}

int stream_flush(struct stream *s, struct err *err)
{
	if (s->shaking)
		return 0;
	while (s->out_at < s->out.n) {
		ssize_t n = s->io->send(s, s->out.p + s->out_at, stream_pending(s), err);
		if (n == IO_FAILED)
			return -1;
		if (n < 0)
			return 0;
		s->out_at += (size_t)n;
		s->bytes_out += (uint64_t)n;
		s->active_at = loop_now_ms(s->loop);
	}
	all_sent(s);
	return 0;
}

static void set_wants(struct stream *s)
{
	unsigned want = 0;

	if (s->state == CONNECTING || s->shaking) {
		loop_fd_want(s->watch, s->shaking ? s->io_wants : LOOP_WRITE);
		return;
	}
	if (!s->end && !s->unread && s->state != CLOSING)
		want |= LOOP_READ;
	if (s->cork == 0 && s->out_at < s->out.n)
		want |= LOOP_WRITE;
	loop_fd_want(s->watch, want | s->io_wants);
}

static void drained(struct stream *s)
{
	if (!s->above || stream_pending(s) > s->low)
		return;
	s->above = false;
	if (s->ops->on_drain != NULL && s->state == OPEN)
		s->ops->on_drain(s->arg);
}

static void all_closed(struct stream *s)
{
	if (s->state != CLOSING || (s->out_at < s->out.n && !s->shaking))
		return;
	say_bye(s);
	if (s->tls != NULL) {
		s->io = &socket_io; /* what still comes is dropped as it is */
		s->shaking = false;
		s->io_wants = 0;
		buf_reset(&s->out);
		s->out_at = 0;
	}
	if (s->linger_ms == 0 || s->end) {
		finish_with(s, ERR_NONE, "");
		return;
	}
	s->state = LINGER;
	s->linger_from = s->bytes_in;
	s->unread = false;
	s->idle_ms = 0;
	(void)shutdown(s->fd, SHUT_WR);
	stream_deadline(s, s->linger_ms);
}

static bool wants_data(const struct stream *s)
{
	return live(s) && s->state == OPEN && !s->paused;
}

/* Whether there is something to read without the descriptor saying so. */
static bool pending(const struct stream *s)
{
	return !s->shaking && !s->end && s->io->pending != NULL && s->io->pending(s);
}

/* What follows the outermost callback: sends, tells, and watches for what is needed next. */
static void settle(struct stream *s)
{
	struct err err = ERR_INIT;

	if (live(s) && s->failed.code != 0) {
		err = s->failed;
		stream_finish(s, &err);
	}
	if (!live(s) || s->state == CONNECTING)
		return;
	if (s->cork == 0 && stream_flush(s, &err) < 0) {
		stream_finish(s, &err);
		return;
	}
	drained(s);
	if (live(s))
		all_closed(s);
	if (live(s)) {
		set_wants(s);
		arm(s);
		if (wants_data(s) && ((s->again && s->in.n > 0) || pending(s)))
			stream_kick(s);
	}
}

void stream_enter(struct stream *s)
{
	s->depth++;
}

void stream_leave(struct stream *s)
{
	if (s->depth == 1)
		settle(s);
	if (--s->depth == 0 && s->freed)
		destroy(s);
}

/* After a change from outside of any callback. */
static void push(struct stream *s)
{
	if (s->depth > 0 || s->cork > 0 || !live(s) || s->state == CONNECTING)
		return;
	if (s->failed.code == 0 && stream_flush(s, &s->failed) < 0) {
		stream_kick(s);
		return;
	}
	set_wants(s);
	arm(s);
	if ((s->above && stream_pending(s) <= s->low) || (s->state == CLOSING && s->out.n == 0))
		stream_kick(s);
}

static bool may_write(struct stream *s, size_t n)
{
	if (!live(s) || s->state == CLOSING || s->state == LINGER)
		return false;
	if (s->out_at > COMPACT_AT) {
		buf_drop(&s->out, s->out_at);
		s->out_at = 0;
	}
	/* asked for here, so that the buffer's sticky flag is never set */
	return n <= s->out.limit && s->out.n <= s->out.limit - n;
}

static void written(struct stream *s)
{
	if (stream_full(s))
		s->above = true;
	push(s);
}

bool stream_write(struct stream *s, const void *p, size_t n)
{
	if (!may_write(s, n))
		return false;
	(void)buf_put(&s->out, p, n);
	written(s);
	return true;
}

bool stream_writev(struct stream *s, const struct str *pieces, size_t n)
{
	size_t all = 0;

	for (size_t i = 0; i < n; i++)
		all += pieces[i].n;
	if (!may_write(s, all))
		return false;
	for (size_t i = 0; i < n; i++)
		(void)buf_put_str(&s->out, pieces[i]);
	written(s);
	return true;
}

bool stream_printf(struct stream *s, const char *fmt, ...)
{
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = vsnprintf(NULL, 0, fmt, ap);
	va_end(ap);
	if (n < 0 || !may_write(s, (size_t)n) || !buf_reserve(&s->out, (size_t)n))
		return false;
	va_start(ap, fmt);
	(void)vsnprintf(s->out.p + s->out.n, (size_t)n + 1, fmt, ap);
	va_end(ap);
	s->out.n += (size_t)n;
	written(s);
	return true;
}

void stream_cork(struct stream *s)
{
	s->cork++;
}

void stream_uncork(struct stream *s)
{
	ASSERT(s->cork > 0);
	s->cork--;
	push(s);
}

void stream_shutdown(struct stream *s)
{
	if (!live(s))
		return;
	s->shutdown = true;
	push(s);
}

void stream_close(struct stream *s, int64_t linger_ms)
{
	if (!live(s) || s->state == CLOSING || s->state == LINGER)
		return;
	if (s->state == CONNECTING)
		(void)err_set(&s->failed, ERR_CANCELLED, "cancelled");
	s->state = s->state == CONNECTING ? CONNECTING : CLOSING;
	s->linger_ms = linger_ms;
	s->idle_ms = 0;
	stream_deadline(s, STREAM_CLOSE_MS);
	if (s->depth == 0)
		stream_kick(s);
}

bool stream_closing(const struct stream *s)
{
	return s->state == CLOSING || s->state == LINGER || s->state == OVER;
}

/* --- receiving --- */

/* Shows what is kept. */
static void show_kept(struct stream *s)
{
	while (wants_data(s) && s->again && s->in.n > 0) {
		size_t used;
		s->again = false;
		used = s->ops->on_data(s->arg, buf_str(&s->in));
		if (s->freed)
			return;
		ASSERT(used <= s->in.n);
		buf_drop(&s->in, s->shaking ? s->in.n : used);
	}
	s->again = false;
	if (s->in.n == 0)
		shrink(&s->in);
}

static void at_end(struct stream *s)
{
	s->end = true;
	if (s->state == LINGER)
		finish_with(s, ERR_NONE, "");
	else if (s->ops->on_end == NULL)
		finish_with(s, ERR_CLOSED, "the other side closed the connection");
	else
		s->ops->on_end(s->arg);
}

/* Room to read into behind what is kept, or in the scratch buffer; 0 when the limit is reached. */
static size_t read_room(struct stream *s, char *scratch, char **ret)
{
	size_t room = s->in.limit - s->in.n;

	*ret = scratch;
	if (s->in.n == 0 || s->state != OPEN)
		return STREAM_READ_SIZE;
	if (room > STREAM_READ_SIZE)
		room = STREAM_READ_SIZE;
	(void)buf_reserve(&s->in, room);
	*ret = s->in.p + s->in.n;
	return room;
}

static void take_new(struct stream *s, char *p, size_t n, bool scratch)
{
	size_t used;

	if (!scratch) {
		s->in.n += n;
		s->in.p[s->in.n] = '\0';
		s->again = true;
	} else {
		used = s->ops->on_data(s->arg, str_from(p, n));
		if (s->freed)
			return;
		ASSERT(used <= n);
		if (used < n && !s->shaking)
			(void)buf_put(&s->in, p + used, n - used); /* the limit is above n */
	}
	show_kept(s);
}

static void take_input(struct stream *s)
{
	char scratch[STREAM_READ_SIZE];
	struct err err = ERR_INIT;
	char *p;
	size_t room = read_room(s, scratch, &p);
	ssize_t n;

	if (room == 0) {
		finish_with(s, ERR_LIMIT, "more came in than can be taken");
		return;
	}
	n = s->io->recv(s, p, room, &err);
	if (n == IO_AGAIN)
		return;
	if (n == IO_FAILED) {
		stream_finish(s, &err);
		return;
	}
	s->bytes_in += (uint64_t)n;
	s->active_at = loop_now_ms(s->loop);
	if (n == 0)
		at_end(s);
	else if (s->state == OPEN)
		take_new(s, p, (size_t)n, p == scratch);
	else if (s->bytes_in - s->linger_from > LINGER_BYTES)
		finish_with(s, ERR_NONE, "");
}

void stream_pause(struct stream *s, bool pause)
{
	if (s->paused == pause)
		return;
	s->paused = pause;
	if (pause || !live(s))
		return;
	s->unread = false;
	s->again = s->in.n > 0;
	if (s->depth == 0 && (s->again || pending(s)))
		stream_kick(s);
	if (s->depth == 0 && s->state != CONNECTING)
		set_wants(s);
}

static void finish_connect(struct stream *s)
{
	struct err err = ERR_INIT;
	int errnum = 0;
	socklen_t n = sizeof(errnum);

	if (getsockopt(s->fd, SOL_SOCKET, SO_ERROR, &errnum, &n) != 0)
		errnum = errno;
	if (errnum != 0) {
		(void)stream_net_error(&err, errnum, "connecting");
		stream_finish(s, &err);
		return;
	}
	s->state = OPEN;
	s->deadline_at = 0;
	s->active_at = loop_now_ms(s->loop);
	if (s->ops->on_open != NULL)
		s->ops->on_open(s->arg);
}

static void readable(struct stream *s)
{
	/* what is kept comes first: behind it may be the end */
	if (s->again)
		show_kept(s);
	if (!live(s))
		return;
	if (s->paused && s->state == OPEN)
		s->unread = true; /* only now: most pauses end before more comes */
	else if (s->state != CLOSING)
		take_input(s);
}

static void on_fd(int fd, unsigned what, void *arg)
{
	struct stream *s = OBJ(stream, STREAM_MAGIC, arg);

	(void)fd;
	stream_enter(s);
	if (s->state == CONNECTING)
		finish_connect(s);
	else if (s->shaking)
		stream_tls_step(s);
	else if ((what & LOOP_READ) != 0)
		readable(s);
	stream_leave(s);
}

static void time_over(struct stream *s)
{
	s->idle_ms = 0;
	s->deadline_at = 0;
	if (s->state == LINGER)
		finish_with(s, ERR_NONE, "");
	else if (s->state == CONNECTING)
		finish_with(s, ERR_TIMEOUT, "connecting: timed out");
	else if (s->state == OPEN && s->ops->on_timeout != NULL)
		s->ops->on_timeout(s->arg);
	else
		finish_with(s, ERR_TIMEOUT, "timed out");
}

static void on_timer(void *arg)
{
	struct stream *s = OBJ(stream, STREAM_MAGIC, arg);
	int64_t due;

	stream_enter(s);
	show_kept(s);
	if (wants_data(s) && pending(s))
		take_input(s);
	if (live(s) && s->failed.code == 0) {
		due = next_due(s);
		if (due != 0 && due <= loop_now_ms(s->loop))
			time_over(s);
	}
	stream_leave(s);
}

/* --- making --- */

static struct stream *make(struct loop *l, int fd, const struct stream_ops *ops, void *arg)
{
	struct stream *s = xcalloc(1, sizeof(*s));
	int type;
	int on = 1;
	socklen_t n = sizeof(type);

	s->magic = STREAM_MAGIC;
	s->loop = l;
	s->fd = fd;
	s->ops = ops;
	s->arg = arg;
	s->state = OPEN;
	s->io = getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &n) == 0 ? &socket_io : &pipe_io;
	s->in.limit = ops->in_limit != 0 ? ops->in_limit : IN_LIMIT;
	if (s->in.limit < STREAM_READ_SIZE)
		s->in.limit = STREAM_READ_SIZE;
	s->out.limit = ops->out_limit != 0 ? ops->out_limit : OUT_LIMIT;
	s->high = ops->high != 0 ? ops->high : HIGH_MARK;
	s->low = ops->low != 0 ? ops->low : s->high / 4;
	s->active_at = loop_now_ms(l);
	s->timer = loop_timer_new(l, ops->name, on_timer, s);
	s->watch = loop_fd_new(l, ops->name, fd, 0, on_fd, s);
	(void)fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK);
	(void)fcntl(fd, F_SETFD, FD_CLOEXEC);
	/* replies must not wait for the peer's delayed acknowledgement; no matter on other sockets
	 */
	(void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	return s;
}

struct stream *stream_new(struct loop *l, int fd, const struct stream_ops *ops, void *arg)
{
	struct stream *s = make(l, fd, ops, arg);

	set_wants(s);
	return s;
}

static int bind_source(int fd, const struct ipaddr *source, struct err *err)
{
	struct netaddr from = { .ip = *source };
	struct sockaddr_storage sa;
	socklen_t n = netaddr_sockaddr(&from, &sa);
	char text[IPADDR_TEXT_LEN];
	int on = 1;

	/* the port is chosen at connect, so that one address serves many destinations */
	(void)setsockopt(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &on, sizeof(on));
	if (bind(fd, (struct sockaddr *)&sa, n) == 0)
		return 0;
	(void)stream_net_error(err, errno, "the address cannot be used");
	ipaddr_text(source, text);
	return err_prefix(err, "source %s", text);
}

int stream_connect(struct loop *l, const struct netaddr *to, const struct ipaddr *source,
		   int64_t deadline_ms, const struct stream_ops *ops, void *arg,
		   struct stream **ret, struct err *err)
{
	struct sockaddr_storage sa;
	socklen_t n = netaddr_sockaddr(to, &sa);
	int fd = socket(sa.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	struct stream *s;
	int rc;

	if (fd < 0)
		return stream_net_error(err, errno, "no socket");
	if (source != NULL && (rc = bind_source(fd, source, err)) < 0) {
		(void)close(fd);
		return rc;
	}
	if (connect(fd, (struct sockaddr *)&sa, n) != 0 && errno != EINPROGRESS) {
		rc = stream_net_error(err, errno, "connecting");
		(void)close(fd);
		return rc;
	}
	s = make(l, fd, ops, arg);
	s->state = CONNECTING;
	set_wants(s);
	stream_deadline(s, deadline_ms);
	*ret = s;
	return 0;
}

int stream_fd(const struct stream *s)
{
	return s->fd;
}

uint64_t stream_bytes_in(const struct stream *s)
{
	return s->bytes_in;
}

uint64_t stream_bytes_out(const struct stream *s)
{
	return s->bytes_out;
}
