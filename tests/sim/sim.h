/*
 * sim - the whole relay in one process on a clock that is told: clients, hosts, name server and
 * control connection are in the same loop, so a week passes in the time that its events take.
 * Included by one file of a program.
 *
 * The sockets are loopback's, and the disk is real: whatever is under way is waited for before the
 * clock moves on. sim_pass() goes from timer to timer.
 */
#ifndef TESTS_SIM_SIM_H
#define TESTS_SIM_SIM_H

#include <errno.h>
#include <event2/event.h>
#include <ftw.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>
#include <cmocka.h>

#include "app/relayd_int.h"
#include "base/fmt.h"
#include "base/json.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/obj.h"
#include "lib/fake_dns.h"
#include "loop/loop.h"
#include "mail/dotstuff.h"

#define SIM_NOW INT64_C(1795500000000)
#define SIM_WAIT_MS 20000 /* real time; then the test fails */
#define SIM_QUIET 4	  /* turns of the loop in which nothing came */
#define SIM_UNUSED __attribute__((__unused__)) static
#define SIM_MAGIC 0x57e351aau
#define SIM_HOSTS 5
#define SIM_TIMES 4000
#define SIM_LETTERS 32
#define SIM_EHLO "250-host\r\n250-PIPELINING\r\n250-8BITMIME\r\n250 SMTPUTF8\r\n"

#define MINUTE INT64_C(60000)
#define HOUR (60 * MINUTE)
#define DAY (24 * HOUR)

/* A host that mail goes to: hN.test has its MX at 127.0.1.N. */
struct sim_host {
	uint32_t magic;
	unsigned n;
	int fd; /* of the listener; -1: nobody listens */
	/* what is said; NULL: the usual, "": nothing any more */
	const char *greeting, *ehlo, *mail, *rcpt, *data, *end;
	unsigned connections; /* open */
	unsigned accepted;
	unsigned quits;
	int64_t closed_ms; /* wall clock: the last one */
	unsigned rcpts;	   /* RCPT commands, with their times */
	int64_t rcpt_ms[SIM_TIMES];
	unsigned letters; /* messages taken, with their times, and all contents */
	int64_t letter_ms[SIM_LETTERS];
	char *letter[SIM_LETTERS];
};

struct sim_conn {
	uint32_t magic;
	struct sim_host *h;
	struct loop_fd *w;
	int fd;
	bool data;
	bool mute;
	struct dot_decoder dots;
	struct buf in, content;
	struct sim_conn *next;
};

static struct sim {
	char dir[64];
	char config[2048];
	uint16_t mx_port, port;
	int reserved; /* the port is, also while the relay is away */
	struct loop *loop;
	struct conf *conf;
	struct relayd *relay;
	struct fake_dns *dns;
	struct sim_host host[SIM_HOSTS];
	struct loop_fd *listener[SIM_HOSTS];
	struct sim_conn *conns;
	int ctl;
	struct buf in;
	int last_id;
	char refused[600]; /* what was said to the last call that was refused */
	char log[65536];
	void (*made)(void); /* called before a relay opens its queue; NULL: nothing */
} sim;

static const struct fake_dns_row sim_names[] = {
	FAKE_DNS_RR("h0.test", "MX", "10 mx.h0.test"), FAKE_DNS_RR("mx.h0.test", "A", "127.0.1.1"),
	FAKE_DNS_RR("h1.test", "MX", "10 mx.h1.test"), FAKE_DNS_RR("mx.h1.test", "A", "127.0.1.2"),
	FAKE_DNS_RR("h2.test", "MX", "10 mx.h2.test"), FAKE_DNS_RR("mx.h2.test", "A", "127.0.1.3"),
	FAKE_DNS_RR("h3.test", "MX", "10 mx.h3.test"), FAKE_DNS_RR("mx.h3.test", "A", "127.0.1.4"),
	FAKE_DNS_RR("h4.test", "MX", "10 mx.h4.test"), FAKE_DNS_RR("mx.h4.test", "A", "127.0.1.5"),
};

/* --- time ------------------------------------------------------------------------------------- */

static int64_t sim_now(void)
{
	return loop_wall_ms(sim.loop);
}

/* Real time, in small pieces, for disks and threads. */
static void sim_wait(unsigned n)
{
	if (n > SIM_WAIT_MS)
		fail_msg("nothing came; log: %s", sim.log);
	(void)poll(NULL, 0, 1);
}

static bool sim_busy(void)
{
	const struct queue *q = sim.relay->env.queue;

	return queue_accept_backlog(q) > 0 || queue_commit_backlog(q) > 0 ||
	       loop_jobs(sim.loop) > 0;
}

/* Until nothing is under way; the clock stands. */
static void sim_settle(void)
{
	unsigned waits = 0;

	for (unsigned quiet = 0; quiet < SIM_QUIET;) {
		uint64_t before = loop_heard(sim.loop);
		loop_advance(sim.loop, 0);
		if (loop_heard(sim.loop) != before)
			quiet = 0;
		else if (sim_busy())
			sim_wait(waits++);
		else if (++quiet == 1 && sim.conns != NULL)
			(void)poll(NULL, 0, 1); /* a busy machine may be late with loopback */
	}
}

SIM_UNUSED void sim_pass(int64_t ms)
{
	sim_settle();
	while (ms > 0) {
		int64_t next = loop_next_ms(sim.loop);
		int64_t step = next < 0 || next > ms ? ms : next;
		uint64_t before = loop_heard(sim.loop);
		loop_advance(sim.loop, step);
		if (loop_heard(sim.loop) != before || sim_busy())
			sim_settle();
		ms -= step;
	}
	sim_settle();
}

/* --- hosts ------------------------------------------------------------------------------------ */

static void sim_conn_end(struct sim_conn *c)
{
	struct sim_conn **at = &sim.conns;

	while (*at != c)
		at = &(*at)->next;
	*at = c->next;
	c->h->connections--;
	c->h->closed_ms = sim_now();
	loop_fd_free(&c->w);
	(void)close(c->fd);
	buf_done(&c->in);
	buf_done(&c->content);
	free(c);
}

/* "" is silence from then on. */
static void sim_say(struct sim_conn *c, const char *said, const char *usual)
{
	const char *text = said != NULL ? said : usual;
	c->mute = c->mute || text[0] == '\0';
	if (c->mute)
		return;
	(void)send(c->fd, text, strlen(text), MSG_NOSIGNAL);
}

static void sim_letter(struct sim_conn *c)
{
	struct sim_host *h = c->h;

	c->data = false;
	if (h->end == NULL || h->end[0] == '2') {
		assert_true(h->letters < SIM_LETTERS);
		h->letter[h->letters] = xasprintf("%s", buf_cstr(&c->content));
		h->letter_ms[h->letters++] = sim_now();
	}
	sim_say(c, h->end, "250 2.0.0 taken\r\n");
}

/* False: the connection is over. */
static bool sim_command(struct sim_conn *c, struct str line)
{
	struct sim_host *h = c->h;

	if (str_starts_nocase(line, STR("EHLO"))) {
		sim_say(c, h->ehlo, SIM_EHLO);
	} else if (str_starts_nocase(line, STR("MAIL"))) {
		sim_say(c, h->mail, "250 2.1.0 ok\r\n");
	} else if (str_starts_nocase(line, STR("RCPT"))) {
		assert_true(h->rcpts < SIM_TIMES);
		h->rcpt_ms[h->rcpts++] = sim_now();
		sim_say(c, h->rcpt, "250 2.1.5 ok\r\n");
	} else if (str_starts_nocase(line, STR("DATA"))) {
		c->data = h->data == NULL && (h->rcpt == NULL || h->rcpt[0] == '2') &&
			  (h->mail == NULL || h->mail[0] == '2');
		dot_decoder_init(&c->dots, 1u << 20);
		buf_reset(&c->content);
		sim_say(c, c->data || h->data != NULL ? h->data : "554 5.5.1 nobody\r\n",
			"354 go\r\n");
	} else if (str_starts_nocase(line, STR("QUIT"))) {
		h->quits++;
		sim_say(c, NULL, "221 2.0.0 bye\r\n");
		return false;
	} else {
		sim_say(c, NULL, "250 2.0.0 ok\r\n");
	}
	return true;
}

static void on_sim_read(int fd, unsigned what, void *arg)
{
	struct sim_conn *c = OBJ(sim_conn, SIM_MAGIC + 1, arg);
	ssize_t n;

	(void)what;
	if (!buf_reserve(&c->in, 65536) || (n = recv(fd, c->in.p + c->in.n, 65536, 0)) <= 0) {
		sim_conn_end(c);
		return;
	}
	c->in.n += (size_t)n;
	for (;;) {
		ptrdiff_t end = str_index(buf_str(&c->in), '\n');
		if (c->data) {
			size_t used = dot_decode(&c->dots, (const uint8_t *)c->in.p, c->in.n,
						 &c->content);
			buf_drop(&c->in, used);
			if (!dot_decoder_ended(&c->dots))
				return;
			sim_letter(c);
		} else if (end < 0) {
			return;
		} else {
			bool goes_on = sim_command(c, str_from(c->in.p, (size_t)end));
			buf_drop(&c->in, (size_t)end + 1);
			if (!goes_on) {
				sim_conn_end(c);
				return;
			}
		}
	}
}

static void on_sim_accept(int fd, unsigned what, void *arg)
{
	struct sim_host *h = OBJ(sim_host, SIM_MAGIC, arg);
	struct sim_conn *c;
	int in = accept4(fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
	int on = 1;

	(void)what;
	if (in < 0)
		return;
	/* what is said is there at once, not 40 ms of real time later */
	(void)setsockopt(in, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	c = xcalloc(1, sizeof(*c));
	*c = (struct sim_conn){ .magic = SIM_MAGIC + 1,
				.h = h,
				.fd = in,
				.in = BUF_INIT(1u << 20),
				.content = BUF_INIT(1u << 20),
				.next = sim.conns };
	sim.conns = c;
	h->connections++;
	h->accepted++;
	c->w = loop_fd_new(sim.loop, "sim", in, LOOP_READ, on_sim_read, c);
	sim_say(c, h->greeting, "220 host ESMTP\r\n");
}

/* A socket at an address; port 0: a free one, told in *port. -1: it is taken. Nobody listens there,
 * but as long as it is open nobody else is given the port. */
static int sim_reserve(const char *ip, uint16_t *port)
{
	struct netaddr a = { .port = *port };
	struct sockaddr_storage ss;
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	int on = 1;
	socklen_t n;

	assert_true(ipaddr_parse(str_of(ip), &a.ip));
	n = netaddr_sockaddr(&a, &ss);
	(void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	if (bind(fd, (struct sockaddr *)&ss, n) != 0) {
		(void)close(fd);
		return -1;
	}
	n = sizeof(ss);
	assert_int_equal(getsockname(fd, (struct sockaddr *)&ss, &n), 0);
	assert_true(netaddr_from_sockaddr(&ss, &a));
	*port = a.port;
	return fd;
}

/* And it listens. */
static int sim_bind(const char *ip, uint16_t *port)
{
	int fd = sim_reserve(ip, port);

	if (fd >= 0 && listen(fd, 128) != 0) {
		(void)close(fd);
		fd = -1;
	}
	return fd;
}

SIM_UNUSED void sim_host_open(unsigned i)
{
	struct sim_host *h = &sim.host[i];
	char ip[32];

	(void)snprintf(ip, sizeof(ip), "127.0.1.%u", i + 1);
	h->magic = SIM_MAGIC;
	h->n = i;
	h->fd = sim_bind(ip, &sim.mx_port);
	assert_true(h->fd >= 0);
	sim.listener[i] = loop_fd_new(sim.loop, "sim", h->fd, LOOP_READ, on_sim_accept, h);
}

SIM_UNUSED void sim_host_close(unsigned i)
{
	if (sim.listener[i] == NULL)
		return;
	loop_fd_free(&sim.listener[i]);
	(void)close(sim.host[i].fd);
	sim.host[i].fd = -1;
}

/* --- the relay -------------------------------------------------------------------------------- */

static void sim_log(enum log_level level, const char *line, void *arg)
{
	size_t n = strlen(sim.log);

	(void)arg;
	(void)level;
	if (n + strlen(line) + 2 > sizeof(sim.log))
		sim.log[n = 0] = '\0';
	(void)snprintf(sim.log + n, sizeof(sim.log) - n, "%s\n", line);
}

static void sim_ctl_open(void)
{
	struct sockaddr_un un = { .sun_family = AF_UNIX };

	(void)snprintf(un.sun_path, sizeof(un.sun_path), "%s/ctl", sim.dir);
	sim.ctl = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (connect(sim.ctl, (struct sockaddr *)&un, sizeof(un)) != 0)
		fail_msg("control socket: %d", errno);
	buf_reset(&sim.in);
}

/* The relay begins, on the loop that the hosts are in. */
static void sim_relay_open(void)
{
	AUTO_FREE char *path = xasprintf("%s/conf", sim.dir);
	struct err err = ERR_INIT;
	FILE *f = fopen(path, "w");

	assert_non_null(f);
	(void)fprintf(f,
		      "hostname = \"relay.test\"\nstate-dir = \"%s\"\n"
		      "control { socket = \"%s/ctl\"\nmode = \"0600\" }\n"
		      "listen in { address = \"127.0.0.1:%u\"\nauth = \"optional\"\n"
		      "loopback-auth = \"yes\" }\n"
		      "dns { servers = {\"%s\"} }\ndelivery { port = %u }\n%s",
		      sim.dir, sim.dir, sim.port, fake_dns_address(sim.dns), sim.mx_port,
		      sim.config);
	assert_int_equal(fclose(f), 0);
	if (conf_load(path, &sim.conf, &err) < 0)
		fail_msg("%s", err.msg);
	if (relayd_new(sim.conf, sim.loop, &sim.relay, &err) < 0)
		fail_msg("%s", err.msg);
	if (sim.made != NULL)
		sim.made();
	if (relayd_open(sim.relay, &err) < 0)
		fail_msg("%s", err.msg);
	sim_ctl_open();
}

/* A loop with the hosts and the name server, and the relay on it. */
static void sim_start(int64_t wall_ms, const bool closed[SIM_HOSTS])
{
	sim.loop = loop_new();
	loop_fake_clock(sim.loop, wall_ms);
	sim.dns = fake_dns_new(sim.loop, sim_names, ARRAY_LEN(sim_names));
	for (unsigned i = 0; i < SIM_HOSTS; i++)
		if (!closed[i])
			sim_host_open(i);
	sim_relay_open();
}

static void sim_stop(void)
{
	(void)close(sim.ctl);
	while (sim.conns != NULL)
		sim_conn_end(sim.conns);
	for (unsigned i = 0; i < SIM_HOSTS; i++)
		sim_host_close(i);
	fake_dns_free(&sim.dns);
	relayd_free(&sim.relay); /* and the loop */
	conf_free(&sim.conf);
}

/* `config` is added to the file. */
SIM_UNUSED void sim_open(const char *config)
{
	static const bool closed[SIM_HOSTS] = { false };

	memset(&sim, 0, sizeof(sim));
	sim.in = BUF_INIT(16u << 20);
	(void)snprintf(sim.dir, sizeof(sim.dir), "/tmp/weir-sim-XXXXXX");
	assert_non_null(mkdtemp(sim.dir));
	(void)snprintf(sim.config, sizeof(sim.config), "%s", config);
	log_to_fn(sim_log, NULL);
	log_level_set(LOG_LEVEL_WARN);
	sim.reserved = sim_reserve("127.0.0.1", &sim.port);
	assert_true(sim.reserved >= 0);
	sim_start(SIM_NOW, closed);
}

/* The relay ends, and another one begins some time later. */
SIM_UNUSED void sim_restart(int64_t after_ms)
{
	int64_t wall_ms = sim_now() + after_ms;
	bool closed[SIM_HOSTS];

	for (unsigned i = 0; i < SIM_HOSTS; i++)
		closed[i] = sim.listener[i] == NULL;
	sim_settle();
	sim_stop();
	sim_start(wall_ms, closed);
}

static int sim_unlink(const char *path, const struct stat *st, int type, struct FTW *at)
{
	(void)st;
	(void)type;
	(void)at;
	return remove(path);
}

/* What was logged at warn and above must be empty unless a test has looked at it. */
SIM_UNUSED void sim_close(void)
{
	sim_stop();
	(void)close(sim.reserved);
	for (unsigned i = 0; i < SIM_HOSTS; i++)
		for (unsigned k = 0; k < sim.host[i].letters; k++)
			free(sim.host[i].letter[k]);
	buf_done(&sim.in);
	(void)nftw(sim.dir, sim_unlink, 8, FTW_DEPTH | FTW_PHYS);
	assert_string_equal(sim.log, "");
}

/* --- control ---------------------------------------------------------------------------------- */

static json_t *sim_line(void)
{
	ptrdiff_t end;
	json_t *v;
	ssize_t n;

	while ((end = str_index(buf_str(&sim.in), '\n')) < 0) {
		assert_true(buf_reserve(&sim.in, 65536));
		n = recv(sim.ctl, sim.in.p + sim.in.n, 65536, MSG_DONTWAIT);
		if (n <= 0)
			return NULL;
		sim.in.n += (size_t)n;
	}
	v = json_loadb(sim.in.p, (size_t)end, 0, NULL);
	assert_non_null(v);
	buf_drop(&sim.in, (size_t)end + 1);
	return v;
}

/* The result (owned), or NULL with sim.refused. */
SIM_UNUSED json_t *sim_call(const char *method, const char *params)
{
	AUTO_FREE char *line = xasprintf("{\"jsonrpc\":\"2.0\",\"id\":%d,\"method\":\"%s\","
					 "\"params\":%s}\n",
					 ++sim.last_id, method, params);
	json_t *result;

	assert_int_equal(send(sim.ctl, line, strlen(line), MSG_NOSIGNAL), (ssize_t)strlen(line));
	for (unsigned n = 0;; n++) {
		json_t *v = sim_line();
		if (v == NULL) {
			loop_advance(sim.loop, 0);
			if (n % 16 == 15)
				sim_wait(n / 16);
			continue;
		}
		if (json_get_int(v, "id") != sim.last_id) {
			json_decref(v);
			continue;
		}
		result = json_incref(json_object_get(v, "result"));
		(void)snprintf(
			sim.refused, sizeof(sim.refused), "%s",
			result != NULL ? "" : json_get_str(json_object_get(v, "error"), "message"));
		json_decref(v);
		return result;
	}
}

/* Must succeed; owned. */
SIM_UNUSED json_t *sim_do(const char *method, const char *params)
{
	json_t *v = sim_call(method, params);

	if (v == NULL)
		fail_msg("%s %s: %s", method, params, sim.refused);
	return v;
}

/* Does it, and gives a text of the answer. */
SIM_UNUSED char *sim_get(const char *method, const char *params, const char *key)
{
	json_t *v = sim_do(method, params);
	char *text = xasprintf("%s", json_get_str(v, key) != NULL ? json_get_str(v, key) : "");

	json_decref(v);
	return text;
}

SIM_UNUSED void sim_must(const char *method, const char *params)
{
	json_decref(sim_do(method, params));
}

/* A number of status.get, in `queued`. */
SIM_UNUSED int64_t sim_queued(const char *what)
{
	json_t *v = sim_do("status.get", "{}");
	int64_t n = json_get_int(json_object_get(v, "queued"), what);

	json_decref(v);
	return n;
}

/* --- mail in ---------------------------------------------------------------------------------- */

SIM_UNUSED int sim_client(void)
{
	struct netaddr a = { .port = sim.port };
	struct sockaddr_storage ss;
	socklen_t n;
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	int on = 1;

	(void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	assert_true(ipaddr_parse(STR("127.0.0.1"), &a.ip));
	n = netaddr_sockaddr(&a, &ss);
	assert_int_equal(connect(fd, (struct sockaddr *)&ss, n), 0);
	return fd;
}

/* Sends, and takes one reply into `ret`; its code, 0 at the end of the connection. */
SIM_UNUSED int sim_smtp(int fd, const char *send_it, char ret[static 512])
{
	size_t n = 0;
	const char *last;

	if (send_it != NULL)
		(void)send(fd, send_it, strlen(send_it), MSG_NOSIGNAL);
	for (unsigned waits = 0;;) {
		ssize_t got = recv(fd, ret + n, 511 - n, MSG_DONTWAIT);
		if (got == 0)
			return 0;
		n += got > 0 ? (size_t)got : 0;
		ret[n] = '\0';
		if (n >= 2 && ret[n - 1] == '\n') {
			ret[n - 2] = '\0';
			last = strrchr(ret, '\n');
			last = last != NULL ? last + 1 : ret;
			if (last[3] != '-')
				return (int)strtol(last, NULL, 10);
			ret[n - 2] = '\r';
		}
		if (got > 0)
			continue;
		loop_advance(sim.loop, 0);
		if (++waits % 8 == 0)
			sim_wait(waits / 8);
	}
}

SIM_UNUSED void sim_expect(int fd, const char *line, int code)
{
	char said[512] = "";

	if (sim_smtp(fd, line, said) != code)
		fail_msg("%s: %s", line != NULL ? line : "(greeting)", said);
}

/* One message, with more parameters of MAIL and RCPT. */
SIM_UNUSED void sim_send_with(const char *from, const char *mail, const char *to, const char *rcpt)
{
	AUTO_FREE char *m = xasprintf("MAIL FROM:<%s>%s\r\n", from, mail);
	AUTO_FREE char *r = xasprintf("RCPT TO:<%s>%s\r\n", to, rcpt);
	int fd = sim_client();

	sim_expect(fd, NULL, 220);
	sim_expect(fd, "EHLO client.test\r\n", 250);
	sim_expect(fd, m, 250);
	sim_expect(fd, r, 250);
	sim_expect(fd, "DATA\r\n", 354);
	sim_expect(fd, "Subject: a week\r\n\r\nhello\r\n.\r\n", 250);
	sim_expect(fd, "QUIT\r\n", 221);
	(void)close(fd);
	sim_settle();
}

SIM_UNUSED void sim_send(const char *from, const char *to)
{
	sim_send_with(from, "", to, "");
}

/* Whether one of the letters that a host took has this text in it: how many. */
SIM_UNUSED unsigned sim_letters_with(const struct sim_host *h, const char *text)
{
	unsigned n = 0;

	for (unsigned i = 0; i < h->letters; i++)
		n += strstr(h->letter[i], text) != NULL;
	return n;
}

#endif
