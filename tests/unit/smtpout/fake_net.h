/*
 * A network that is as quick as a function call: TCP sockets of this program are UNIX sockets in
 * truth, so what was sent is there, and nothing is in flight when a test looks. Included by one
 * file of a program; it takes the place of the C library's socket(), connect(), getsockname().
 */
#ifndef UNIT_SMTPOUT_FAKE_NET_H
#define UNIT_SMTPOUT_FAKE_NET_H

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/obj.h"
#include "net/netaddr.h"

#define NET_SOURCE "192.0.2.77" /* our own address in it */

static struct {
	bool black_hole; /* nobody answers */
	bool no_route;
	unsigned connects;
} net;

static socklen_t net_address(const struct netaddr *a, struct sockaddr_un *ret)
{
	char text[NETADDR_TEXT_LEN];

	netaddr_text(a, text);
	memset(ret, 0, sizeof(*ret));
	ret->sun_family = AF_UNIX;
	/* abstract: begins with a zero byte, needs no file */
	int n = snprintf(ret->sun_path + 1, sizeof(ret->sun_path) - 1, "weir-test-%d-%s",
			 (int)getpid(), text);
	return (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + (size_t)n);
}

static int net_listen(const struct netaddr *a)
{
	struct sockaddr_un sa;
	socklen_t n = net_address(a, &sa);
	int fd = (int)syscall(SYS_socket, AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	if (fd < 0 || bind(fd, (struct sockaddr *)&sa, n) != 0 || listen(fd, 128) != 0)
		BUG("no listener: %d", errno);
	return fd;
}

int socket(int domain, int type, int protocol)
{
	return (int)syscall(SYS_socket, domain == AF_INET || domain == AF_INET6 ? AF_UNIX : domain,
			    type, protocol);
}

/* Puts a socket that is never writable in the place of fd. */
static void net_stuff(int fd)
{
	static const char zeroes[4096];
	int pair[2];

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pair) != 0)
		BUG("no socketpair");
	while (send(pair[0], zeroes, sizeof(zeroes), MSG_NOSIGNAL) > 0)
		;
	if (dup3(pair[0], fd, O_CLOEXEC) < 0)
		BUG("no descriptor");
	(void)close(pair[0]); /* the other end stays open, unread, until the program ends */
}

/* The argument types are the C library's: unions of pointers. */
int connect(int fd, __CONST_SOCKADDR_ARG arg, socklen_t n)
{
	const struct sockaddr *sa = arg.__sockaddr__;
	struct sockaddr_storage to = { .ss_family = AF_UNSPEC };
	struct sockaddr_un un;
	struct netaddr a;

	memcpy(&to, sa, n);
	if (!netaddr_from_sockaddr(&to, &a))
		return (int)syscall(SYS_connect, fd, sa, n);
	net.connects++;
	if (net.no_route) {
		errno = ENETUNREACH;
		return -1;
	}
	if (net.black_hole) {
		net_stuff(fd);
		errno = EINPROGRESS;
		return -1;
	}
	n = net_address(&a, &un);
	return (int)syscall(SYS_connect, fd, (struct sockaddr *)&un, n);
}

int getsockname(int fd, __SOCKADDR_ARG arg, socklen_t *n)
{
	struct sockaddr *sa = arg.__sockaddr__;
	struct netaddr a = { .port = 40000 };
	struct sockaddr_storage own;

	if (syscall(SYS_getsockname, fd, sa, n) != 0)
		return -1;
	if (sa->sa_family != AF_UNIX || !ipaddr_parse(STR(NET_SOURCE), &a.ip))
		return 0;
	*n = netaddr_sockaddr(&a, &own);
	memcpy(sa, &own, *n);
	return 0;
}

#endif
