/*
 * load - both ends of a measurement of a relay, with and without TLS (which smtp-source and
 * smtp-sink of Postfix do not have).
 *
 *	load source PORT COUNT SESSIONS BYTES [keep] [tls]
 *	load sink PORT COUNT [CERTIFICATE KEY]
 *
 * source sends COUNT messages to 127.0.0.1:PORT, one a connection or, with `keep`, all of a session
 * over one; prints when it began and ended. sink offers STARTTLS when it has a certificate, says
 * "ready", and ends when COUNT different messages came; prints when the last did, how many came
 * altogether, how many of them under TLS, and how many with a DKIM signature. Times are seconds of
 * the monotonic clock, which all programs of a machine share. Whatever is not as it should be ends
 * the program with status 1. A thread a session; blocking.
 */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/mem.h"
#include "loop/loop.h"

#define LINE_MAX_N 4096
#define COUNT_MAX 1000000
#define SESSIONS_MAX 1000
#define BYTES_MAX (1 << 20)

struct conn {
	int fd;
	SSL *ssl;
	size_t at, n;
	char in[16384];
};

static struct {
	int port;
	int count, sessions, bytes;
	bool keep, tls;
	SSL_CTX *ctx;
	char *body;
	size_t body_n;
	pthread_mutex_t lock;
	/* source */
	int next;
	/* sink */
	uint8_t *seen;
	int distinct, all, secure, signed_n;
	double last;
} g = { .lock = PTHREAD_MUTEX_INITIALIZER };

static double now(void)
{
	return (double)loop_clock_us() / 1e6;
}

static _Noreturn void fail(const char *what, const char *text)
{
	(void)fprintf(stderr, "load: %s: %s\n", what, text);
	exit(1);
}

/* --- a connection ----------------------------------------------------------------------------- */

static bool put(struct conn *c, const char *p, size_t n)
{
	while (n > 0) {
		size_t sent = 0;

		if (c->ssl != NULL) {
			if (SSL_write_ex(c->ssl, p, n, &sent) != 1)
				return false;
		} else {
			ssize_t got = send(c->fd, p, n, MSG_NOSIGNAL);
			if (got <= 0)
				return false;
			sent = (size_t)got;
		}
		p += sent;
		n -= sent;
	}
	return true;
}

static bool fill(struct conn *c)
{
	if (c->at > 0) {
		memmove(c->in, c->in + c->at, c->n - c->at);
		c->n -= c->at;
		c->at = 0;
	}
	if (c->n == sizeof(c->in))
		return false;
	if (c->ssl != NULL) {
		size_t got = 0;
		if (SSL_read_ex(c->ssl, c->in + c->n, sizeof(c->in) - c->n, &got) != 1)
			return false;
		c->n += got;
	} else {
		ssize_t got = recv(c->fd, c->in + c->n, sizeof(c->in) - c->n, 0);
		if (got <= 0)
			return false;
		c->n += (size_t)got;
	}
	return true;
}

/* The next line without its end, or NULL when there is none any more; valid until the next call. */
static char *get(struct conn *c)
{
	for (;;) {
		char *line = c->in + c->at;
		char *lf = memchr(line, '\n', c->n - c->at);

		if (lf != NULL) {
			c->at = (size_t)(lf + 1 - c->in);
			*(lf > line && lf[-1] == '\r' ? lf - 1 : lf) = '\0';
			return line;
		}
		if (!fill(c))
			return NULL;
	}
}

static bool secure(struct conn *c, bool client)
{
	c->ssl = SSL_new(g.ctx);
	return c->ssl != NULL && SSL_set_fd(c->ssl, c->fd) == 1 &&
	       (client ? SSL_connect(c->ssl) : SSL_accept(c->ssl)) == 1;
}

static void done(struct conn *c)
{
	if (c->ssl != NULL)
		(void)SSL_shutdown(c->ssl);
	SSL_free(c->ssl);
	(void)close(c->fd);
	free(c);
}

/* No small packet waits for a large one. */
static struct conn *made(int fd)
{
	struct conn *c = xcalloc(1, sizeof(*c));
	int one = 1;

	(void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	c->fd = fd;
	return c;
}

static struct sockaddr_in loopback(void)
{
	return (struct sockaddr_in){ .sin_family = AF_INET,
				     .sin_port = htons((uint16_t)g.port),
				     .sin_addr = { htonl(INADDR_LOOPBACK) } };
}

/* --- the source ------------------------------------------------------------------------------- */

/* Says a line and demands the answer. */
static void say(struct conn *c, const char *line, const char *want)
{
	const char *got;

	if (line != NULL && !(put(c, line, strlen(line)) && put(c, "\r\n", 2)))
		fail(line, "the connection broke");
	do
		got = get(c);
	while (got != NULL && strlen(got) > 3 && got[3] == '-');
	if (got == NULL || strncmp(got, want, 3) != 0)
		fail(line != NULL ? line : "the greeting", got != NULL ? got : "no answer");
}

static struct conn *call(void)
{
	struct sockaddr_in to = loopback();
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	struct conn *c;

	if (fd < 0 || connect(fd, (struct sockaddr *)&to, sizeof(to)) != 0)
		fail("connecting", "refused");
	c = made(fd);
	say(c, NULL, "220");
	say(c, "EHLO load.example", "250");
	if (g.tls) {
		say(c, "STARTTLS", "220");
		if (!secure(c, true))
			fail("TLS", ERR_reason_error_string(ERR_peek_last_error()));
		say(c, "EHLO load.example", "250");
	}
	return c;
}

static void send_one(struct conn *c, int number)
{
	char head[512];
	int n = snprintf(head, sizeof(head),
			 "From: <sender@bench.example>\r\nTo: <user@example.com>\r\n"
			 "Subject: message %d\r\nDate: Tue, 24 Nov 2026 03:12:07 +0000\r\n"
			 "Message-ID: <%d@load.example>\r\nX-Load: %d\r\n\r\n",
			 number, number, number);

	say(c, "MAIL FROM:<sender@bench.example>", "250");
	say(c, "RCPT TO:<user@example.com>", "250");
	say(c, "DATA", "354");
	if (!put(c, head, (size_t)n) || !put(c, g.body, g.body_n))
		fail("the message", "the connection broke");
	say(c, ".", "250");
}

static int take_number(void)
{
	int number;

	(void)pthread_mutex_lock(&g.lock);
	number = g.next < g.count ? g.next++ : -1;
	(void)pthread_mutex_unlock(&g.lock);
	return number;
}

static void *source_session(void *arg)
{
	struct conn *c = NULL;
	int number;

	while ((number = take_number()) >= 0) {
		if (c == NULL)
			c = call();
		send_one(c, number);
		if (!g.keep) {
			say(c, "QUIT", "221");
			done(c);
			c = NULL;
		}
	}
	if (c != NULL) {
		say(c, "QUIT", "221");
		done(c);
	}
	return arg;
}

static int source(void)
{
	static pthread_t threads[SESSIONS_MAX];
	double began = now();

	g.body = xcalloc(1, (size_t)g.bytes + 80);
	while (g.body_n < (size_t)g.bytes) {
		memset(g.body + g.body_n, 'x', 70);
		memcpy(g.body + g.body_n + 70, "\r\n", 2);
		g.body_n += 72;
	}
	for (int i = 0; i < g.sessions; i++)
		if (pthread_create(&threads[i], NULL, source_session, NULL) != 0)
			fail("a thread", "none left");
	for (int i = 0; i < g.sessions; i++)
		(void)pthread_join(threads[i], NULL);
	(void)printf("%.6f %.6f\n", began, now());
	free(g.body);
	return 0;
}

/* --- the sink --------------------------------------------------------------------------------- */

/* Reads a message; false when the connection broke before its end. */
static bool receive(struct conn *c, int *ret_number, bool *ret_signed)
{
	bool head = true;
	char *line;

	while ((line = get(c)) != NULL && strcmp(line, ".") != 0) {
		head = head && line[0] != '\0';
		if (head && strncasecmp(line, "X-Load:", 7) == 0)
			*ret_number = (int)strtol(line + 7, NULL, 10);
		if (head && strncasecmp(line, "DKIM-Signature:", 15) == 0)
			*ret_signed = true;
	}
	return line != NULL;
}

static void count_one(int number, bool under_tls, bool is_signed)
{
	(void)pthread_mutex_lock(&g.lock);
	g.all++;
	g.secure += under_tls;
	g.signed_n += is_signed;
	if (number >= 0 && number < g.count && !g.seen[number]) {
		g.seen[number] = 1;
		g.distinct++;
		g.last = now();
	}
	(void)pthread_mutex_unlock(&g.lock);
}

static bool answer(struct conn *c, const char *text)
{
	return put(c, text, strlen(text));
}

/* One command; false at the end of the connection. */
static bool obey(struct conn *c, const char *line)
{
	if (strncasecmp(line, "EHLO", 4) == 0)
		return answer(c,
			      g.ctx != NULL && c->ssl == NULL
				      ? "250-sink.example\r\n250-PIPELINING\r\n250-STARTTLS\r\n"
					"250 8BITMIME\r\n"
				      : "250-sink.example\r\n250-PIPELINING\r\n250 8BITMIME\r\n");
	if (strncasecmp(line, "STARTTLS", 8) == 0)
		return answer(c, "220 go ahead\r\n") && secure(c, false);
	if (strncasecmp(line, "DATA", 4) == 0) {
		int number = -1;
		bool is_signed = false;

		if (!answer(c, "354 go ahead\r\n") || !receive(c, &number, &is_signed))
			return false;
		count_one(number, c->ssl != NULL, is_signed);
		return answer(c, "250 2.0.0 kept\r\n");
	}
	if (strncasecmp(line, "QUIT", 4) == 0) {
		(void)answer(c, "221 bye\r\n");
		return false;
	}
	return answer(c, "250 2.0.0 ok\r\n");
}

static void *sink_session(void *arg)
{
	struct conn *c = arg;
	const char *line;

	if (answer(c, "220 sink.example ESMTP\r\n"))
		while ((line = get(c)) != NULL && obey(c, line))
			;
	done(c);
	return NULL;
}

static void *sink_accept(void *arg)
{
	const int *listener = arg;

	for (;;) {
		int fd = accept4(*listener, NULL, NULL, SOCK_CLOEXEC);
		struct conn *c;
		pthread_t thread;

		if (fd < 0)
			continue;
		c = made(fd);
		if (pthread_create(&thread, NULL, sink_session, c) == 0)
			(void)pthread_detach(thread);
		else
			done(c);
	}
	return NULL;
}

static int sink(void)
{
	static int listener;
	struct sockaddr_in at = loopback();
	int one = 1;
	bool all;
	pthread_t thread;

	g.seen = xcalloc((size_t)g.count, 1);
	listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	(void)setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	if (bind(listener, (struct sockaddr *)&at, sizeof(at)) != 0 || listen(listener, 1024) != 0)
		fail("the port", "in use");
	if (pthread_create(&thread, NULL, sink_accept, &listener) != 0)
		fail("a thread", "none left");
	(void)printf("ready\n");
	(void)fflush(stdout);
	do {
		(void)usleep(10000);
		(void)pthread_mutex_lock(&g.lock);
		all = g.distinct == g.count;
		(void)pthread_mutex_unlock(&g.lock);
	} while (!all);
	(void)usleep(300000); /* for what comes twice */
	(void)pthread_mutex_lock(&g.lock);
	(void)printf("%.6f %d %d %d\n", g.last, g.all, g.secure, g.signed_n);
	(void)fflush(stdout);
	_exit(0); /* sessions may be open still */
}

/* --- both ------------------------------------------------------------------------------------- */

static int number(const char *text, int max)
{
	char *end;
	long v = strtol(text, &end, 10);

	if (*text == '\0' || *end != '\0' || v < 1 || v > max)
		fail("not a number that will do", text);
	return (int)v;
}

int main(int argc, char **argv)
{
	bool is_source = argc >= 6 && strcmp(argv[1], "source") == 0;

	if (!is_source && !((argc == 4 || argc == 6) && strcmp(argv[1], "sink") == 0))
		fail("usage", "load source PORT COUNT SESSIONS BYTES [keep] [tls]; "
			      "load sink PORT COUNT [CERTIFICATE KEY]");
	(void)signal(SIGPIPE, SIG_IGN);
	g.port = number(argv[2], 65535);
	g.count = number(argv[3], COUNT_MAX);
	if (is_source) {
		g.sessions = number(argv[4], SESSIONS_MAX);
		g.bytes = number(argv[5], BYTES_MAX);
		for (int i = 6; i < argc; i++) {
			g.keep = g.keep || strcmp(argv[i], "keep") == 0;
			g.tls = g.tls || strcmp(argv[i], "tls") == 0;
		}
		g.ctx = SSL_CTX_new(TLS_client_method());
		return source();
	}
	if (argc == 6) {
		g.ctx = SSL_CTX_new(TLS_server_method());
		if (SSL_CTX_use_certificate_chain_file(g.ctx, argv[4]) != 1 ||
		    SSL_CTX_use_PrivateKey_file(g.ctx, argv[5], SSL_FILETYPE_PEM) != 1)
			fail(argv[4], "no certificate with its key");
	}
	return sink();
}
