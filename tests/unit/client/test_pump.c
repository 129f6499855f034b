/* Bytes between a channel of libssh and the client, with a libssh that does what it is told. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include <poll.h>
#include <pthread.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/mem.h"
#include "client/remote_int.h"

#define WAIT_MS 5000

/*
 * The channel. As in libssh, whichever stream is read, all that has come over the connection is
 * taken in, for both of them.
 */
static struct {
	int wire[2]; /* the server's end, the session's */
	char out[4096];
	size_t out_n;
	bool eof;
	const char *late; /* comes just before standard error is asked for */
} ssh;

static void take_in(void)
{
	ssize_t n =
		recv(ssh.wire[1], ssh.out + ssh.out_n, sizeof(ssh.out) - ssh.out_n, MSG_DONTWAIT);

	if (n > 0)
		ssh.out_n += (size_t)n;
	if (n == 0)
		ssh.eof = true;
}

int ssh_channel_read_nonblocking(ssh_channel channel, void *dest, uint32_t count, int is_stderr)
{
	size_t n;

	(void)channel;
	if (is_stderr != 0 && ssh.late != NULL) {
		assert_true(write(ssh.wire[0], ssh.late, strlen(ssh.late)) > 0);
		ssh.late = NULL;
	}
	if (is_stderr != 0 || ssh.out_n == 0)
		take_in();
	if (is_stderr != 0)
		return 0;
	n = ssh.out_n < count ? ssh.out_n : count;
	memcpy(dest, ssh.out, n);
	memmove(ssh.out, ssh.out + n, ssh.out_n - n);
	ssh.out_n -= n;
	return n == 0 && ssh.eof ? SSH_EOF : (int)n;
}

int ssh_channel_write(ssh_channel channel, const void *data, uint32_t len)
{
	(void)channel;
	return (int)write(ssh.wire[1], data, len);
}

uint32_t ssh_channel_window_size(ssh_channel channel)
{
	(void)channel;
	return 4096;
}

int ssh_channel_is_eof(ssh_channel channel)
{
	(void)channel;
	return ssh.eof && ssh.out_n == 0;
}

int ssh_channel_is_closed(ssh_channel channel)
{
	(void)channel;
	return ssh.eof;
}

int ssh_channel_poll(ssh_channel channel, int is_stderr)
{
	(void)channel;
	(void)is_stderr;
	return 0;
}

int ssh_channel_get_exit_status(ssh_channel channel)
{
	(void)channel;
	return -1;
}

int ssh_get_poll_flags(ssh_session session)
{
	(void)session;
	return 0;
}

socket_t ssh_get_fd(ssh_session session)
{
	(void)session;
	return ssh.wire[1];
}

int ssh_is_connected(ssh_session session)
{
	(void)session;
	return 1;
}

static struct remote remote;
static struct remote_link join;
static pthread_t thread;

static void *pump(void *arg)
{
	struct err err = ERR_INIT;

	(void)arg;
	remote_pump(&remote, &err);
	assert_int_equal(err.code, 0);
	return NULL;
}

static int setup(void **state)
{
	(void)state;
	memset(&ssh, 0, sizeof(ssh));
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ssh.wire), 0);
	join = (struct remote_link){ .refs = 2, .sock = -1 };
	assert_int_equal(pthread_mutex_init(&join.lock, NULL), 0);
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, join.ctl), 0);
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, join.data), 0);
	remote = (struct remote){ .link = &join, .said = BUF_INIT(4096), .exec = true };
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	(void)pthread_mutex_destroy(&join.lock);
	for (int i = 0; i < 2; i++) {
		(void)close(join.ctl[i]);
		(void)close(join.data[i]);
	}
	(void)close(ssh.wire[1]);
	buf_done(&remote.said);
	return 0;
}

static void expect(int fd, const char *text)
{
	struct pollfd p = { .fd = fd, .events = POLLIN };
	char got[100] = "";

	assert_int_equal(poll(&p, 1, WAIT_MS), 1);
	assert_true(read(fd, got, sizeof(got) - 1) >= 0);
	assert_string_equal(got, text);
}

static void test_both_ways(void **state)
{
	(void)state;
	assert_int_equal(pthread_create(&thread, NULL, pump, NULL), 0);
	assert_int_equal(write(join.data[0], "ask", 3), 3);
	expect(ssh.wire[0], "ask");
	assert_int_equal(write(ssh.wire[0], "answer", 6), 6);
	expect(join.data[0], "answer");
	(void)close(ssh.wire[0]);
	assert_int_equal(pthread_join(thread, NULL), 0);
}

/* What comes while standard error is looked at is not left lying about until more comes. */
static void test_what_comes_meanwhile(void **state)
{
	(void)state;
	ssh.late = "answer";
	assert_int_equal(pthread_create(&thread, NULL, pump, NULL), 0);
	expect(join.data[0], "answer");
	(void)close(ssh.wire[0]);
	assert_int_equal(pthread_join(thread, NULL), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_both_ways, setup, teardown),
		cmocka_unit_test_setup_teardown(test_what_comes_meanwhile, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
