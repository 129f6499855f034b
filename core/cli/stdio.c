/*
 * stdio - the control socket joined to standard input and output, byte for byte.
 *
 * Either direction ends by itself: at the end of standard input the socket's sending side is shut
 * down, and what the relay still answers is passed on; when the relay ends, so do we. It waits in
 * poll(2), not in the loop, because standard input may be a file, which epoll does not take.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/mem.h"
#include "cli/cli_int.h"
#include "client/relays.h"

#define PIPE_ROOM 65536 /* bytes on their way, a direction */

struct flow {
	int from;
	int to;
	size_t n;
	size_t done;
	bool ended;  /* nothing more comes from `from` */
	bool broken; /* nobody takes what goes to `to` */
	char bytes[PIPE_ROOM];
};

static int open_socket(const struct cli *c, int *ret_fd, struct err *err)
{
	struct sockaddr_un to = { .sun_family = AF_UNIX };
	struct relays_found found;
	int rc = relays_find(c->relay, &found, err);
	int fd;

	if (rc < 0)
		return rc;
	if (found.addr.kind != RELAYS_UNIX)
		return err_param(err, ERR_INVALID, "relay",
				 "stdio joins a socket of this machine; %s is elsewhere",
				 found.name);
	memcpy(to.sun_path, found.addr.path, sizeof(to.sun_path));
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0 || connect(fd, (const struct sockaddr *)&to, sizeof(to)) < 0) {
		int why = errno;

		if (fd >= 0)
			(void)close(fd);
		(void)err_sys(err, why, "%s", found.addr.path);
		if (err != NULL)
			err->code = why == EACCES ? ERR_DENIED : ERR_NET;
		return why == EACCES ? -ERR_DENIED : -ERR_NET;
	}
	*ret_fd = fd;
	return 0;
}

static void take(struct flow *f)
{
	ssize_t n = read(f->from, f->bytes, sizeof(f->bytes));

	if (n > 0) {
		f->n = (size_t)n;
		f->done = 0;
	} else if (n == 0 || (errno != EINTR && errno != EAGAIN)) {
		f->ended = true;
	}
}

/* At most what a writable pipe takes at once: a blocking descriptor must not hold up the other
 * direction. */
static void give(struct flow *f)
{
	size_t left = f->n - f->done;
	ssize_t n = write(f->to, f->bytes + f->done, left < PIPE_BUF ? left : PIPE_BUF);

	if (n >= 0)
		f->done += (size_t)n;
	else if (errno != EINTR && errno != EAGAIN)
		f->broken = true;
}

static short wanted(const struct flow *f, bool reading)
{
	bool waiting = f->done < f->n;

	if (f->broken)
		return 0;
	if (reading)
		return !waiting && !f->ended ? POLLIN : 0;
	return waiting ? POLLOUT : 0;
}

/* A descriptor that is asked for nothing is left out: poll(2) reports errors of all others. */
static struct pollfd entry(int fd, short events)
{
	return (struct pollfd){ .fd = events != 0 ? fd : -1, .events = events };
}

static void move(struct flow *in, struct flow *out)
{
	bool shut = false;

	while (!(out->ended && out->done == out->n) && !out->broken) {
		struct pollfd fds[] = {
			entry(in->from, wanted(in, true)),
			entry(in->to, wanted(in, false)),
			entry(out->from, wanted(out, true)),
			entry(out->to, wanted(out, false)),
		};

		if (poll(fds, 4, -1) < 0 && errno != EINTR)
			return;
		if (fds[0].revents != 0)
			take(in);
		if (fds[1].revents != 0)
			give(in);
		if (fds[2].revents != 0)
			take(out);
		if (fds[3].revents != 0)
			give(out);
		if (in->ended && in->done == in->n && !shut) {
			(void)shutdown(in->to, SHUT_WR);
			shut = true;
		}
	}
}

int verb_stdio(struct cli *c, const struct args *a, struct err *err)
{
	struct flow *flows;
	int fd = -1;
	int rc = open_socket(c, &fd, err);

	(void)a;
	if (rc < 0)
		return rc;
	flows = xcalloc(2, sizeof(*flows));
	flows[0].from = STDIN_FILENO;
	flows[0].to = fd;
	flows[1].from = fd;
	flows[1].to = STDOUT_FILENO;
	move(&flows[0], &flows[1]);
	free(flows);
	(void)close(fd);
	return 0;
}
