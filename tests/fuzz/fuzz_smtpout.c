/*
 * A server that says anything, in any pieces, on one connection after the other: the first byte
 * chooses their size, whether messages come late, and how it ends. Every recipient that was given
 * out comes back or has exactly one result (fake_core.h asserts it), only a 2xx delivers, nothing
 * hangs, and nothing is left behind.
 */
#include <stdint.h>

#define LETTERS_MAX 8
#define HOPS_MAX 2
#include "unit/smtpout/fake_core.h"
#include "unit/smtpout/fake_net.h"

#define HOP "mx:d.example"
#define LETTER "Subject: x\r\n\r\n.\r\nbody\r\n"
#define HOUR_MS 3600000

struct server {
	int listener;
	int fd; /* the connection served; -1 */
};

/* What the client says is of no interest. False: it has gone. */
static bool read_all(int fd)
{
	char bytes[65536];
	ssize_t n;

	do
		n = recv(fd, bytes, sizeof(bytes), MSG_DONTWAIT);
	while (n > 0);
	return n < 0 && errno == EAGAIN;
}

static void serve(struct server *s)
{
	core_turn();
	if (s->fd >= 0 && !read_all(s->fd)) {
		(void)close(s->fd);
		s->fd = -1;
	}
	if (s->fd < 0)
		s->fd = accept4(s->listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	core_turn();
}

static void submit(void)
{
	core_submit(HOP, STR(LETTER), 3)->m.eight_bit = true;
	(void)core_submit(HOP, STR("\xff" LETTER), 1);
	(void)core_submit(HOP, STR(LETTER), 2);
	(void)core_submit(HOP, STR(LETTER), 1);
}

/* A minute passes, or the back-off; what came back is tried again. */
static void pass(struct server *s, int64_t ms)
{
	loop_advance(core.loop, ms);
	core_hop(HOP)->waiting = false;
	core_kick(HOP);
	serve(s);
}

static void run(struct str bytes, size_t piece, uint8_t how)
{
	static const struct smtpout_config cfg = { .connections_max = 3, .per_connection_max = 3 };
	struct netaddr at = { .port = 25 };
	struct server s = { .fd = -1 };

	core_open(&cfg);
	core.later = (how & 1) != 0;
	if (!ipaddr_parse(STR("192.0.2.1"), &at.ip))
		BUG("no address");
	s.listener = net_listen(&at);
	core_host(HOP, "mx.d.example", 10, at.port, "192.0.2.1 192.0.2.1");
	submit();
	core_kick(HOP);
	for (int i = 0; i < 4; i++)
		serve(&s);
	for (size_t idle = 0; bytes.n > 0 && idle < 20;) {
		size_t n = piece < bytes.n ? piece : bytes.n;
		if (s.fd < 0) {
			idle++;
			pass(&s, 10000);
			continue;
		}
		if (send(s.fd, bytes.p, n, MSG_NOSIGNAL) == (ssize_t)n)
			bytes = str_from(bytes.p + n, bytes.n - n);
		serve(&s);
	}
	if ((how & 2) != 0 && s.fd >= 0)
		(void)shutdown(s.fd, SHUT_RDWR);
	serve(&s);
	if ((how & 4) != 0)
		for (int i = 0; i < 5; i++)
			pass(&s, HOUR_MS);
	core_close();
	if (s.fd >= 0)
		(void)close(s.fd);
	(void)close(s.listener);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (size < 1 || size > 20000)
		return 0;
	run(str_from((const char *)data + 1, size - 1), (data[0] >> 3) * 8u + 1, data[0] & 7);
	return 0;
}
