/*
 * bench_queue - what the queue alone can do on this disk.
 *
 *	bench_queue DIR [MESSAGES [RECIPIENTS]]
 *
 * DIR must not exist; it is left behind. Prints, a line each:
 *	disk	a plain append of 4 KiB and fdatasync, a second: what one message at a time can
 *reach accept	durable accepts of 4 KiB a second at 1, 8, 64, 256 and 1000 messages under way, time
 *		to the answer (median, 99 %), CPU time and bytes written for each
 *	finish	results of those messages a second (DELIVERED, the row moves)
 *	defer	deferrals of RECIPIENTS / 5 of many, in no order, a second
 *	list	one answer of a reader with that many queued: causes, a page by id, a page by size
 *		of those that match a filter, and a filter that nothing matches
 *	resume	queue_open() and queue_load() of RECIPIENTS recipients, the first and the second
 *time
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/obj.h"
#include "loop/loop.h"
#include "queue/queue.h"

#define BODY 4096
#define DISK_ROUNDS 500
#define UNDER_WAY_MAX 1000
#define DOMAINS 5000

struct slot {
	struct bench *bench;
	int64_t since_us;
};

struct bench {
	struct loop *loop;
	struct queue *q;
	struct queue_config cfg;
	struct slot slots[UNDER_WAY_MAX];
	size_t body;
	size_t posted;
	size_t done;
	size_t wanted;
	uint32_t *took_us;
	struct msgid *ids;
	uint32_t stream;
	uint32_t domains[DOMAINS];
};

static int64_t cpu_us(void)
{
	struct rusage u;
	(void)getrusage(RUSAGE_SELF, &u);
	return (int64_t)(u.ru_utime.tv_sec + u.ru_stime.tv_sec) * 1000000 + u.ru_utime.tv_usec +
	       u.ru_stime.tv_usec;
}

static uint64_t written_bytes(void)
{
	unsigned long long v = 0;
	char line[128];
	FILE *f = fopen("/proc/self/io", "r");
	while (f != NULL && fgets(line, sizeof(line), f) != NULL)
		(void)sscanf(line, "write_bytes: %llu", &v);
	if (f != NULL)
		(void)fclose(f);
	return v;
}

static void check(int got, const struct err *err)
{
	if (got >= 0)
		return;
	(void)fprintf(stderr, "bench_queue: %s\n", err->msg);
	exit(1);
}

static void post_one(struct slot *s);

static void on_stored(void *arg, const struct err *err)
{
	struct slot *s = arg;
	struct bench *b = s->bench;
	check(err != NULL ? -err->code : 0, err);
	b->took_us[b->done++] = (uint32_t)(loop_clock_us() - s->since_us);
	if (b->posted < b->wanted)
		post_one(s);
	else if (b->done == b->wanted)
		loop_stop(b->loop);
}

static void post_one(struct slot *s)
{
	struct bench *b = s->bench;
	char address[64];
	uint32_t d = (uint32_t)(b->posted * 7919 % DOMAINS);
	int n = snprintf(address, sizeof(address), "user%zu@d%u.example", b->posted, d);
	struct message_rcpt rcpt = { .domain = b->domains[d], .address = { address, (size_t)n } };
	struct queue_new new = { .content_take = xmalloc(b->body) };
	memset(new.content_take, 'x', b->body);
	new.m = (struct message){ .id = queue_new_id(b->q),
				  .received_ms = loop_wall_ms(b->loop),
				  .expires_ms = loop_wall_ms(b->loop) + 432000000,
				  .sender = STR("news-bounce-4711@sender.example"),
				  .client = STR("192.0.2.17"),
				  .helo = STR("app7.sender.example"),
				  .msgid_header = STR("<20260101120000.4711@sender.example>"),
				  .subject = STR("Your order has been shipped"),
				  .credential = STR("crm"),
				  .stream = b->stream,
				  .size = b->body,
				  .content = { new.content_take, b->body },
				  .rcpts = &rcpt,
				  .rcpts_n = 1 };
	b->ids[b->posted++] = new.m.id;
	s->since_us = loop_clock_us();
	queue_accept(b->q, &new, on_stored, s);
}

static void run(struct bench *b, unsigned under_way, size_t wanted)
{
	b->posted = b->done = 0;
	b->wanted = wanted;
	for (unsigned k = 0; k < under_way && b->posted < wanted; k++) {
		b->slots[k].bench = b;
		post_one(&b->slots[k]);
	}
	loop_run(b->loop);
}

static int cmp_u32(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
	return x < y ? -1 : x > y;
}

static void on_row(void *arg, const struct queue_row *row)
{
	size_t *n = arg;
	*n += row->rid.v != 0;
}

static double open_it(struct bench *b, size_t *ret_rows)
{
	struct err err = ERR_INIT;
	int64_t since = loop_clock_us();
	*ret_rows = 0;
	b->loop = loop_new();
	check(queue_open(b->loop, &b->cfg, NULL, NULL, &b->q, &err), &err);
	check(queue_load(b->q, on_row, ret_rows, &err), &err);
	double ms = (double)(loop_clock_us() - since) / 1000;
	b->stream = queue_name(b->q, STR("default"));
	for (uint32_t k = 0; k < DOMAINS; k++) {
		char name[32];
		(void)snprintf(name, sizeof(name), "d%u.example", k);
		b->domains[k] = queue_name(b->q, str_of(name));
	}
	return ms;
}

static void close_it(struct bench *b)
{
	queue_close(&b->q);
	loop_free(&b->loop);
}

static void bench_disk(const char *dir)
{
	static char block[BODY];
	AUTO_FREE char *path = xasprintf("%s/plain", dir);
	int fd = open(path, O_WRONLY | O_CREAT, 0600);
	int64_t since = loop_clock_us();
	for (int k = 0; k < DISK_ROUNDS; k++)
		if (write(fd, block, sizeof(block)) != BODY || fdatasync(fd) < 0)
			exit(1);
	(void)printf("disk     %8.0f /s\n", DISK_ROUNDS * 1e6 / (double)(loop_clock_us() - since));
	(void)close(fd);
}

static void settle(struct bench *b)
{
	struct loop_timer *t = NULL;
	while (queue_record_backlog(b->q) > 0) {
		t = loop_timer_new(b->loop, "settle", (loop_fn *)loop_stop, b->loop);
		loop_timer_set(t, 1);
		loop_run(b->loop);
		loop_timer_free(&t);
	}
}

static void record(struct bench *b, struct msgid id, enum outcome outcome)
{
	struct queue_result r = { .rid = rid_of(id, 1), .attempts = 1 };
	struct attempt *a = &r.attempt;
	bool deferred = outcome == OUTCOME_DEFERRED;
	a->at_ms = loop_wall_ms(b->loop);
	a->outcome = outcome;
	a->code = deferred ? 451 : 250;
	(void)snprintf(a->reply, sizeof(a->reply), "%s %zu",
		       deferred ? "4.7.1 Greylisted, please try again later, ticket"
				: "2.0.0 Ok: queued as 4D7F51C3E1",
		       (size_t)(id.v % 1000));
	(void)snprintf(a->host, sizeof(a->host), "mx1.d.example");
	(void)snprintf(a->ip, sizeof(a->ip), "198.51.100.7");
	queue_record(b->q, &r);
}

static void bench_record(struct bench *b, const char *name, enum outcome outcome, size_t step,
			 size_t n)
{
	int64_t since = loop_clock_us(), cpu = cpu_us();
	for (size_t k = 0; k < n; k++)
		record(b, b->ids[k * step % b->posted], outcome);
	settle(b);
	(void)printf("%-8s %8.0f /s  CPU %.0f us\n", name,
		     (double)n * 1e6 / (double)(loop_clock_us() - since),
		     (double)(cpu_us() - cpu) / (double)n);
}

static void bench_accept(struct bench *b, unsigned under_way, size_t messages)
{
	int64_t since = loop_clock_us(), cpu = cpu_us();
	uint64_t bytes = written_bytes();
	run(b, under_way, messages);
	double us = (double)(loop_clock_us() - since);
	qsort(b->took_us, b->done, sizeof(*b->took_us), cmp_u32);
	(void)printf("accept   %8.0f /s  %4u under way  answer %.2f ms (99%%: %.2f)  CPU %.0f us"
		     "  %.1f KiB written\n",
		     (double)b->done * 1e6 / us, under_way, b->took_us[b->done / 2] / 1e3,
		     b->took_us[b->done * 99 / 100] / 1e3,
		     (double)(cpu_us() - cpu) / (double)b->done,
		     (double)(written_bytes() - bytes) / 1024 / (double)b->done);
	bench_record(b, "finish", OUTCOME_DELIVERED, 1, b->posted);
}

/* --- lists ------------------------------------------------------------------------------------ */

static void on_causes(void *arg, const struct queue_cause *rows, size_t n, const struct err *err)
{
	(void)rows;
	(void)n;
	check(err != NULL ? -err->code : 0, err);
	loop_stop(arg);
}

static void on_scan(void *arg, const struct queue_entry *rows, size_t n, bool more,
		    const struct err *err)
{
	(void)rows;
	(void)n;
	(void)more;
	check(err != NULL ? -err->code : 0, err);
	loop_stop(arg);
}

static void scan_it(struct bench *b, const char *what, const char *filter, enum queue_sort sort)
{
	struct filter *f = filter_parse(str_of(filter), NULL);
	struct queue_scan scan = {
		.filter = f, .sort = sort, .limit = 100, .now_ms = loop_wall_ms(b->loop)
	};
	int64_t since = loop_clock_us();
	queue_scan(b->q, &scan, on_scan, b->loop);
	loop_run(b->loop);
	(void)printf("list     %8.1f ms  %s\n", (double)(loop_clock_us() - since) / 1000, what);
	filter_free(&f);
}

static void bench_lists(struct bench *b)
{
	for (int k = 0; k < 2; k++) {
		int64_t since = loop_clock_us();
		queue_causes(b->q, NULL, 100, loop_wall_ms(b->loop), on_causes, b->loop);
		loop_run(b->loop);
		(void)printf("list     %8.1f ms  causes\n",
			     (double)(loop_clock_us() - since) / 1000);
	}
	scan_it(b, "a page by id", "", QUEUE_SORT_ID);
	scan_it(b, "a page of one domain", "domain:d17.example", QUEUE_SORT_ID);
	scan_it(b, "a page by size", "", QUEUE_SORT_SIZE);
	scan_it(b, "a page by next attempt of code 451", "code:451", QUEUE_SORT_NEXT);
	scan_it(b, "no recipient like this", "to:nobody@nowhere", QUEUE_SORT_ID);
	scan_it(b, "no subject like this", "subject:nonesuch", QUEUE_SORT_ID);
	scan_it(b, "no reply like this", "text:nonesuch", QUEUE_SORT_ID);
}

static long rss_kib(void)
{
	long pages = 0, all = 0;
	FILE *f = fopen("/proc/self/statm", "r");
	if (f != NULL) {
		if (fscanf(f, "%ld %ld", &all, &pages) != 2)
			pages = 0;
		(void)fclose(f);
	}
	return pages * 4;
}

int main(int argc, char **argv)
{
	static struct bench b;
	static const unsigned under_way[] = { 1, 8, 64, 256, 1000 };
	size_t messages = argc > 2 ? strtoul(argv[2], NULL, 10) : 20000;
	size_t recipients = argc > 3 ? strtoul(argv[3], NULL, 10) : 1000000;
	if (argc < 2 || mkdir(argv[1], 0700) < 0) {
		(void)fprintf(stderr, "usage: bench_queue DIR [MESSAGES [RECIPIENTS]]: %s\n",
			      strerrordesc_np(errno));
		return 2;
	}
	size_t most = messages > recipients ? messages : recipients;
	size_t rows;
	b.took_us = xcalloc(most + 1, sizeof(*b.took_us));
	b.ids = xcalloc(most + 1, sizeof(*b.ids));
	b.cfg = (struct queue_config){ .dir = argv[1],
				       .keep_finished_ms = 86400000,
				       .keep_finished_max = 100000 };
	bench_disk(argv[1]);
	(void)open_it(&b, &rows);
	b.body = BODY;
	for (size_t k = 0; k < ARRAY_LEN(under_way); k++)
		bench_accept(&b, under_way[k], k == 0 ? messages / 4 : messages);
	b.body = 200;
	run(&b, UNDER_WAY_MAX, recipients);
	bench_record(&b, "defer", OUTCOME_DEFERRED, 999983, recipients / 5);
	bench_lists(&b);
	close_it(&b);
	for (int k = 0; k < 2; k++) {
		int64_t cpu = cpu_us();
		double ms = open_it(&b, &rows);
		(void)printf(
			"resume   %8.0f ms for %zu recipients, CPU %.0f ms, %ld MiB resident\n", ms,
			rows, (double)(cpu_us() - cpu) / 1000, rss_kib() / 1024);
		close_it(&b);
	}
	free(b.took_us);
	free(b.ids);
	return 0;
}
