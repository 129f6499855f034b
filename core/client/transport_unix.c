/*
 * A UNIX socket. The kernel connects at once or not at all; the outcome is told in the next turn of
 * the loop.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/obj.h"
#include "client/relays.h"
#include "client/transport.h"
#include "loop/loop.h"

#define TRANSPORT_UNIX_MAGIC 0x7a4e0001u

struct transport_unix {
	struct transport base;
	const struct transport_events *events;
	void *arg;
	struct loop_timer *tell;
	int fd;
	struct err err;
};

_Static_assert(RELAYS_PATH_MAX <= sizeof(((struct sockaddr_un *)0)->sun_path), "paths fit");

static void explain(struct err *err, int errnum, const char *path)
{
	if (errnum == ENOENT)
		(void)err_set(err, ERR_NET, "there is no socket %s: is weir-relayd running here?",
			      path);
	else if (errnum == ECONNREFUSED)
		(void)err_set(err, ERR_NET, "nobody answers on %s: weir-relayd is not running",
			      path);
	else if (errnum == EACCES || errnum == EPERM)
		(void)err_set(err, ERR_DENIED,
			      "this account may not use %s; the group of that socket may", path);
	else if (errnum == EAGAIN)
		(void)err_set(err, ERR_NET, "the relay is too busy to answer on %s", path);
	else {
		(void)err_sys(err, errnum, "%s", path);
		err->code = ERR_NET;
	}
}

static void on_tell(void *arg)
{
	struct transport_unix *t = OBJ(transport_unix, TRANSPORT_UNIX_MAGIC, arg);

	if (t->fd >= 0)
		t->events->opened(t->arg, t->fd);
	else
		t->events->failed(t->arg, &t->err, false);
}

static struct transport *unix_open(struct loop *l, const struct relays_addr *to,
				   const struct transport_events *events, void *arg)
{
	struct transport_unix *t = xcalloc(1, sizeof(*t));
	struct sockaddr_un at = { .sun_family = AF_UNIX };

	t->base.ops = &transport_unix;
	t->base.magic = TRANSPORT_UNIX_MAGIC;
	t->events = events;
	t->arg = arg;
	memcpy(at.sun_path, to->path, sizeof(to->path));
	t->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (t->fd < 0 || connect(t->fd, (const struct sockaddr *)&at, sizeof(at)) < 0) {
		explain(&t->err, errno, to->path);
		if (t->fd >= 0)
			(void)close(t->fd);
		t->fd = -1;
	}
	t->tell = loop_timer_new(l, "client.unix", on_tell, t);
	loop_timer_set(t->tell, 0);
	return &t->base;
}

static void unix_answer(struct transport *base, const char *text)
{
	(void)base;
	(void)text;
}

static const char *unix_doing(struct transport *base)
{
	(void)base;
	return "";
}

static void unix_trouble(struct transport *base, struct err *err, bool *ret_final)
{
	(void)base;
	(void)err;
	*ret_final = false;
}

static void unix_free(struct transport *base)
{
	struct transport_unix *t = OBJ(transport_unix, TRANSPORT_UNIX_MAGIC, base);

	loop_timer_free(&t->tell);
	if (t->fd >= 0)
		(void)close(t->fd);
	t->base.magic = 0;
	free(t);
}

const struct transport_ops transport_unix = {
	.open = unix_open,
	.answer = unix_answer,
	.doing = unix_doing,
	.trouble = unix_trouble,
	.free = unix_free,
};
