/*
 * fill - puts many messages into a relay's state directory, through the queue itself, without SMTP.
 *
 *	fill DIR MESSAGES DOMAINS [STREAM DOMAIN]
 *
 * Half of the messages go to big.example, the others to d0.bulk.example and so on; or all of one
 * stream to one domain. Each has one recipient and 2 KiB. The relay must not run.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/mem.h"
#include "loop/loop.h"
#include "queue/queue.h"

#define AHEAD 2048
#define BODY 2048

static struct {
	struct loop *loop;
	struct queue *queue;
	unsigned long posted;
	unsigned long stored;
	unsigned long n;
	unsigned long domains;
	const char *stream;
	const char *domain; /* NULL: many */
	char body[BODY];
} t;

static void post(void);

static void on_stored(void *arg, const struct err *err)
{
	(void)arg;
	if (err != NULL) {
		(void)fprintf(stderr, "fill: %s\n", err->msg);
		exit(1);
	}
	t.stored++;
	if (t.stored == t.n)
		loop_stop(t.loop);
	else if (t.posted < t.n)
		post();
}

static void post(void)
{
	char domain[64], to[128], from[64], subject[64];
	char *content = xmalloc(BODY);
	struct message_rcpt rcpt = { .n = 1 };
	struct queue_new n = { .content_take = content };
	unsigned long k = t.posted++;

	if (t.domain != NULL)
		(void)snprintf(domain, sizeof(domain), "%.60s", t.domain);
	else if (k % 2 == 0)
		(void)snprintf(domain, sizeof(domain), "big.example");
	else
		(void)snprintf(domain, sizeof(domain), "d%lu.bulk.example", k / 2 % t.domains);
	(void)snprintf(to, sizeof(to), "user%lu@%s", k, domain);
	(void)snprintf(from, sizeof(from), "app%lu@shop.example", k % 7);
	(void)snprintf(subject, sizeof(subject), "Your order %lu", k);
	memcpy(content, t.body, BODY);
	rcpt.domain = queue_name(t.queue, str_of(domain));
	rcpt.address = str_of(to);
	n.m = (struct message){ .id = queue_new_id(t.queue),
				.received_ms = loop_clock_us() / 1000,
				.sender = str_of(from),
				.client = STR("127.0.0.1"),
				.helo = STR("fill"),
				.subject = str_of(subject),
				.stream = queue_name(t.queue, str_of(t.stream)),
				.size = BODY,
				.content = str_from(content, BODY),
				.rcpts = &rcpt,
				.rcpts_n = 1 };
	n.m.expires_ms = n.m.received_ms + INT64_C(5) * 86400 * 1000;
	queue_accept(t.queue, &n, on_stored, NULL);
}

static void on_row(void *arg, const struct queue_row *row)
{
	(void)arg;
	(void)row;
}

int main(int argc, char **argv)
{
	struct queue_config cfg = { .cache_bytes = 1 << 20, .relay = "bench.example" };
	static const struct queue_ops ops = { .on_disk = NULL };
	struct err err = ERR_INIT;
	int64_t from_us;

	if (argc != 4 && argc != 6) {
		(void)fprintf(stderr, "usage: fill DIR MESSAGES DOMAINS [STREAM DOMAIN]\n");
		return 2;
	}
	cfg.dir = argv[1];
	t.n = strtoul(argv[2], NULL, 10);
	t.domains = strtoul(argv[3], NULL, 10);
	t.stream = argc == 6 ? argv[4] : "default";
	t.domain = argc == 6 ? argv[5] : NULL;
	(void)snprintf(t.body, sizeof(t.body), "From: app@shop.example\r\nSubject: bench\r\n\r\n");
	memset(t.body + strlen(t.body), 'x', sizeof(t.body) - strlen(t.body));
	for (size_t i = 100; i + 2 < sizeof(t.body); i += 78)
		memcpy(t.body + i, "\r\n", 2);
	memcpy(t.body + sizeof(t.body) - 2, "\r\n", 2);
	t.loop = loop_new();
	if (queue_open(t.loop, &cfg, &ops, NULL, &t.queue, &err) < 0 ||
	    queue_load(t.queue, on_row, NULL, &err) < 0) {
		(void)fprintf(stderr, "fill: %s\n", err.msg);
		return 1;
	}
	from_us = loop_clock_us();
	for (unsigned k = 0; k < AHEAD && t.posted < t.n; k++)
		post();
	if (t.n > 0)
		loop_run(t.loop);
	(void)printf("%lu messages in %.1f s\n", t.n, (double)(loop_clock_us() - from_us) / 1e6);
	queue_close(&t.queue);
	loop_free(&t.loop);
	return 0;
}
