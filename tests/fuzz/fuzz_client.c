/*
 * A relay that sends anything, in any pieces: the first byte chooses the size of the pieces,
 * whether a hello comes before, and whether the client is freed by its first callback. What the
 * client makes of the bytes does not depend on the pieces, and each call is answered once.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/obj.h"
#include "base/utf8.h"
#include "client/client.h"
#include "loop/loop.h"

#define HELLO                                                                                      \
	"{\"jsonrpc\":\"2.0\",\"method\":\"hello\",\"params\":{\"protocol\":1,\"relay\":\"r\","    \
	"\"role\":\"admin\",\"user\":\"u\"}}\n"
#define CALLS 4

struct run {
	struct loop *loop;
	struct client *client;
	int listener;
	int conn;
	bool free_early;
	int answered[CALLS];
	struct buf seen;
};

static void turn(struct run *r)
{
	for (int i = 0; i < 4; i++)
		loop_advance(r->loop, 0);
}

static void on_answer(void *arg, const json_t *result, const struct err *err)
{
	struct run *r = arg;
	char *text = result != NULL ? json_dumps(result, JSON_COMPACT | JSON_ENCODE_ANY) : NULL;

	ASSERT((result != NULL) != (err != NULL));
	r->answered[0]++;
	(void)buf_printf(&r->seen, "answer %s\n", text != NULL ? text : err->msg);
	free(text);
	if (r->free_early)
		client_free(&r->client);
}

static void on_push(void *arg, const json_t *data, bool resync)
{
	struct run *r = arg;

	(void)data;
	(void)buf_printf(&r->seen, "push %d\n", resync);
	if (r->free_early)
		client_free(&r->client);
}

static void on_unsubscribed(void *arg, uint64_t sub, const struct err *err)
{
	struct run *r = arg;

	ASSERT(sub != 0 && err != NULL && err->code != 0);
	(void)buf_printf(&r->seen, "unsubscribed %s\n", err->msg);
}

static void on_state(void *arg)
{
	struct run *r = arg;
	struct client_view v;

	client_view(r->client, &v);
	ASSERT(utf8_valid(str_of(v.trouble.msg)));
	ASSERT((v.state == CLIENT_LOST) == (v.trouble.code != 0));
	(void)buf_printf(&r->seen, "state %d %s %s %d\n", v.state, v.trouble.msg, v.relay, v.role);
}

static const struct client_ops ops = { .state = on_state, .unsubscribed = on_unsubscribed };

static int listener(char *path, size_t n)
{
	static int fd = -1;
	static struct sockaddr_un at = { .sun_family = AF_UNIX };

	if (fd < 0) {
		(void)snprintf(at.sun_path, sizeof(at.sun_path), "/tmp/weir-fuzz-client.%d",
			       (int)getpid());
		(void)unlink(at.sun_path);
		fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
		ASSERT(bind(fd, (const struct sockaddr *)&at, sizeof(at)) == 0);
		ASSERT(listen(fd, 5) == 0);
	}
	(void)snprintf(path, n, "%s", at.sun_path);
	return fd;
}

static void play(struct run *r, struct str bytes, size_t piece)
{
	if (piece == 0)
		piece = bytes.n;
	while (bytes.n > 0 && r->client != NULL) {
		size_t n = bytes.n < piece ? bytes.n : piece;
		ssize_t sent = send(r->conn, bytes.p, n, MSG_NOSIGNAL | MSG_DONTWAIT);

		turn(r);
		if (sent < 0)
			return; /* it hung up */
		bytes = str_from(bytes.p + sent, bytes.n - (size_t)sent);
	}
}

static void run(struct str bytes, size_t piece, bool hello, bool free_early, struct buf *seen)
{
	struct run r = { .free_early = free_early, .seen = BUF_INIT((size_t)8 << 20) };
	char path[128];
	struct err err = ERR_INIT;

	r.listener = listener(path, sizeof(path));
	r.loop = loop_new();
	loop_fake_clock(r.loop, 1800000000000);
	ASSERT(client_new(r.loop, &(struct client_options){ .relay = path }, &ops, &r, &r.client,
			  &err) == 0);
	for (int i = 0; i < CALLS; i++)
		(void)client_call(r.client, i % 2 == 0 ? "status.get" : "queue.hold", NULL,
				  on_answer, &r);
	(void)client_sub(r.client, "status", NULL, on_push, &r);
	turn(&r);
	r.conn = accept(r.listener, NULL, NULL);
	ASSERT(r.conn >= 0);
	turn(&r);
	if (hello)
		play(&r, STR(HELLO), 0);
	play(&r, bytes, piece);
	(void)shutdown(r.conn, SHUT_RDWR);
	turn(&r);
	loop_advance(r.loop, 120000);
	ASSERT(free_early || r.answered[0] == CALLS);
	client_free(&r.client);
	loop_free(&r.loop);
	(void)close(r.conn);
	(void)buf_put_str(seen, buf_str(&r.seen));
	buf_done(&r.seen);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	AUTO_BUF whole = BUF_INIT((size_t)8 << 20);
	AUTO_BUF cut = BUF_INIT((size_t)8 << 20);
	struct str bytes;

	if (size < 1 || size > 60000)
		return 0;
	bytes = str_from((const char *)data + 1, size - 1);
	run(bytes, 0, data[0] & 1, data[0] & 2, &whole);
	run(bytes, (data[0] >> 2) + 1u, data[0] & 1, data[0] & 2, &cut);
	if (!str_eq(buf_str(&whole), buf_str(&cut)))
		BUG("whole:\n%s\ncut:\n%s", buf_cstr(&whole), buf_cstr(&cut));
	return 0;
}
