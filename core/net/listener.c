#include "net/listener.h"

#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/log.h"
#include "base/mem.h"
#include "base/obj.h"

#define LISTENER_MAGIC 0x57e3a002u
#define BACKLOG 1024

struct listener {
	uint32_t magic;
	int fd;
	struct loop_fd *watch;
	struct loop_timer *retry;
	bool short_of_fds; /* logged */
	bool paused;
	bool *freed; /* set while accepting */
	listener_fn *on_accept;
	void *arg;
};

static void watch(struct listener *l)
{
	bool waiting = loop_timer_pending(l->retry);

	loop_fd_want(l->watch, l->paused || waiting ? 0 : LOOP_READ);
}

/* Errors of a connection that was over before it was accepted (accept(2), "Error handling"). */
static bool passing_error(int errnum)
{
	switch (errnum) {
	case ECONNABORTED:
	case EINTR:
	case EPROTO:
	case ENETDOWN:
	case ENOPROTOOPT:
	case EHOSTDOWN:
	case ENONET:
	case EHOSTUNREACH:
	case ENETUNREACH:
	case EOPNOTSUPP:
	case EPERM:
		return true;
	default:
		return false;
	}
}

static void out_of_descriptors(struct listener *l, int errnum)
{
	struct err err = ERR_INIT;

	if (!l->short_of_fds) {
		(void)err_sys(&err, errnum, "accepting connections");
		log_warn(NULL, "net.accept", F_STR("error", err.msg));
	}
	l->short_of_fds = true;
	loop_timer_set(l->retry, LISTENER_RETRY_MS);
	watch(l);
}

/* One connection; false when there is no more to do in this wake-up. */
static bool accept_one(struct listener *l)
{
	struct sockaddr_storage sa = { .ss_family = AF_UNSPEC };
	socklen_t n = sizeof(sa);
	struct netaddr peer = { .port = 0 };
	bool freed = false;
	int fd = accept4(l->fd, (struct sockaddr *)&sa, &n, SOCK_NONBLOCK | SOCK_CLOEXEC);
	bool more;

	if (fd < 0) {
		if (errno == EAGAIN)
			return false;
		if (passing_error(errno))
			return true;
		out_of_descriptors(l, errno);
		return false;
	}
	l->short_of_fds = false;
	(void)netaddr_from_sockaddr(&sa, &peer);
	l->freed = &freed;
	more = l->on_accept(fd, &peer, l->arg);
	if (freed)
		return false;
	l->freed = NULL;
	if (!more)
		listener_pause(l);
	return !l->paused;
}

static void on_readable(int fd, unsigned what, void *arg)
{
	struct listener *l = OBJ(listener, LISTENER_MAGIC, arg);
	int n = 0;

	(void)fd;
	(void)what;
	while (n < LISTENER_BATCH && accept_one(l))
		n++;
}

static void on_retry(void *arg)
{
	watch(OBJ(listener, LISTENER_MAGIC, arg));
}

struct listener *listener_adopt(struct loop *loop, int fd, listener_fn *on_accept, void *arg)
{
	struct listener *l = xcalloc(1, sizeof(*l));

	l->magic = LISTENER_MAGIC;
	l->fd = fd;
	l->on_accept = on_accept;
	l->arg = arg;
	l->retry = loop_timer_new(loop, "net.accept", on_retry, l);
	l->watch = loop_fd_new(loop, "net.accept", fd, LOOP_READ, on_readable, l);
	return l;
}

static int refused(const struct netaddr *at, int errnum, struct err *err)
{
	char text[NETADDR_TEXT_LEN];

	netaddr_text(at, text);
	(void)err_sys(err, errnum, "cannot listen on %s", text);
	if (err != NULL)
		err->code = ERR_CONFIG;
	return -ERR_CONFIG;
}

int listener_new(struct loop *loop, const struct netaddr *at, listener_fn *on_accept, void *arg,
		 struct listener **ret, struct err *err)
{
	struct sockaddr_storage sa;
	socklen_t n = netaddr_sockaddr(at, &sa);
	int fd = socket(sa.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	int on = 1;
	int rc;

	if (fd < 0)
		return refused(at, errno, err);
	(void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	/* [::]:25 beside 0.0.0.0:25 is two listeners */
	if (sa.ss_family == AF_INET6)
		(void)setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof(on));
	if (bind(fd, (struct sockaddr *)&sa, n) != 0 || listen(fd, BACKLOG) != 0) {
		rc = refused(at, errno, err);
		(void)close(fd);
		return rc;
	}
	*ret = listener_adopt(loop, fd, on_accept, arg);
	return 0;
}

void listener_free(struct listener **lp)
{
	struct listener *l = lp != NULL ? *lp : NULL;

	if (l == NULL)
		return;
	*lp = NULL;
	if (l->freed != NULL)
		*l->freed = true;
	loop_fd_free(&l->watch);
	loop_timer_free(&l->retry);
	(void)close(l->fd);
	l->magic = 0;
	free(l);
}

void listener_pause(struct listener *l)
{
	l->paused = true;
	watch(l);
}

void listener_resume(struct listener *l)
{
	l->paused = false;
	watch(l);
}

struct netaddr listener_address(const struct listener *l)
{
	struct netaddr at = { .port = 0 };

	(void)netaddr_local(l->fd, &at);
	return at;
}
