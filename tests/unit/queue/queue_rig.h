/*
 * queue_rig - a queue in a directory of its own, with calls that wait for their answer. One
 * program, one rig.
 */
#ifndef TESTS_QUEUE_RIG_H
#define TESTS_QUEUE_RIG_H

#include <ftw.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

#include "base/log.h"
#include "base/mem.h"
#include "loop/loop.h"
#include "queue/queue.h"

#define RIG_WAIT_MS 30000
#define RIG_UNUSED __attribute__((__unused__)) static

static struct rig {
	char dir[64];
	struct loop *loop;
	struct queue *q;
	struct loop_timer *timer;
	struct queue_config cfg;
	char log[8192]; /* lines of level warn and above */
	/* of queue_watch() */
	struct queue_event events[256];
	char events_from[256][64];
	char events_to[256][64];
	size_t events_n;
	/* of queue_load() */
	struct queue_row *rows;
	size_t rows_n;
	size_t rows_cap;
	int disk_told; /* on_disk() calls */
	bool disk_full;
} rig;

RIG_UNUSED void rig_log(enum log_level level, const char *line, void *arg)
{
	(void)arg;
	size_t n = strlen(rig.log);
	if (level <= LOG_LEVEL_WARN)
		(void)snprintf(rig.log + n, sizeof(rig.log) - n, "%s\n", line);
}

RIG_UNUSED void rig_late(void *arg)
{
	(void)arg;
	fail_msg("no answer; log: %s", rig.log);
}

/* Runs the loop until somebody calls rig_wake(). */
RIG_UNUSED void rig_wait(void)
{
	loop_timer_set(rig.timer, RIG_WAIT_MS);
	loop_run(rig.loop);
	loop_timer_cancel(rig.timer);
}

RIG_UNUSED void rig_wake(void)
{
	loop_stop(rig.loop);
}

RIG_UNUSED void rig_tick(void *arg)
{
	(void)arg;
	rig_wake();
}

/* Runs the loop for a moment. */
RIG_UNUSED void rig_pause(int64_t ms)
{
	struct loop_timer *t = loop_timer_new(rig.loop, "pause", rig_tick, NULL);
	loop_timer_set(t, ms);
	rig_wait();
	loop_timer_free(&t);
}

/* --- opening ---------------------------------------------------------------------------------- */

RIG_UNUSED void rig_on_row(void *arg, const struct queue_row *row)
{
	(void)arg;
	if (rig.rows_n == rig.rows_cap) {
		rig.rows_cap = rig.rows_cap == 0 ? 256 : 2 * rig.rows_cap;
		rig.rows = xreallocarray(rig.rows, rig.rows_cap, sizeof(*rig.rows));
	}
	rig.rows[rig.rows_n++] = *row;
}

RIG_UNUSED void rig_on_event(void *arg, const struct queue_event *e)
{
	(void)arg;
	if (rig.events_n == ARRAY_LEN(rig.events))
		return;
	(void)snprintf(rig.events_from[rig.events_n], 64, "%.*s", STR_ARG(e->from));
	(void)snprintf(rig.events_to[rig.events_n], 64, "%.*s", STR_ARG(e->to));
	rig.events[rig.events_n++] = *e;
}

RIG_UNUSED void rig_on_disk(void *arg, const struct err *err)
{
	(void)arg;
	rig.disk_told++;
	rig.disk_full = err != NULL;
}

RIG_UNUSED int rig_try_open(struct err *err)
{
	static const struct queue_ops ops = { .on_disk = rig_on_disk };
	rig.cfg.dir = rig.dir;
	rig.loop = loop_new();
	rig.timer = loop_timer_new(rig.loop, "late", rig_late, NULL);
	rig.rows_n = rig.events_n = 0;
	rig.log[0] = '\0';
	log_to_fn(rig_log, NULL);
	int got = queue_open(rig.loop, &rig.cfg, &ops, NULL, &rig.q, err);
	if (got >= 0)
		got = queue_load(rig.q, rig_on_row, NULL, err);
	if (got >= 0)
		queue_watch(rig.q, rig_on_event, NULL);
	return got;
}

RIG_UNUSED void rig_open(void)
{
	struct err err = ERR_INIT;
	if (rig_try_open(&err) < 0)
		fail_msg("%s", err.msg);
}

RIG_UNUSED void rig_close(void)
{
	queue_close(&rig.q);
	loop_timer_free(&rig.timer);
	loop_free(&rig.loop);
}

RIG_UNUSED void rig_reopen(void)
{
	rig_close();
	rig_open();
}

RIG_UNUSED int rig_setup(void **state)
{
	(void)state;
	memset(&rig, 0, sizeof(rig));
	(void)snprintf(rig.dir, sizeof(rig.dir), "/tmp/weir-queue-XXXXXX");
	if (mkdtemp(rig.dir) == NULL)
		return -1;
	rig.cfg = (struct queue_config){ .keep_finished_ms = INT64_C(
						 315360000000), /* ten years: by the clock */
					 .keep_finished_max = 1000,
					 .relay = "mx.example.net" };
	rig_open();
	return 0;
}

RIG_UNUSED int rig_unlink(const char *path, const struct stat *st, int type, struct FTW *at)
{
	(void)st;
	(void)type;
	(void)at;
	return remove(path);
}

RIG_UNUSED int rig_teardown(void **state)
{
	(void)state;
	rig_close();
	free(rig.rows);
	return nftw(rig.dir, rig_unlink, 8, FTW_DEPTH | FTW_PHYS);
}

/* --- messages --------------------------------------------------------------------------------- */

struct rig_done {
	bool called;
	int code;
};

RIG_UNUSED void rig_on_done(void *arg, const struct err *err)
{
	struct rig_done *d = arg;
	assert_false(d->called);
	d->called = true;
	d->code = err != NULL ? err->code : 0;
	rig_wake();
}

struct rig_letter {
	const char *from;
	const char *to; /* several with commas */
	const char *subject;
	const char *content;
	const char *stream;
	const char *credential;
	const char *client;
	size_t content_n; /* of content repeated; 0: as it is */
	int64_t received_ms;
	int64_t expires_ms;
	struct rid tells;
	int64_t tells_until_ms;
};

RIG_UNUSED char *rig_content(const struct rig_letter *l, size_t *ret_n)
{
	const char *text = l->content != NULL ? l->content : "Subject: x\r\n\r\nbody\r\n";
	size_t one = strlen(text), n = l->content_n != 0 ? l->content_n : one;
	char *p = malloc(n + 1);
	for (size_t k = 0; k < n; k++)
		p[k] = text[k % one];
	*ret_n = n;
	return p;
}

static inline struct str rig_str(const char *s)
{
	return s != NULL ? str_of(s) : STR("");
}

/* Posts a letter; d tells when it is stored. */
RIG_UNUSED struct msgid rig_post(const struct rig_letter *l, struct rig_done *d)
{
	struct message_rcpt rcpts[64];
	struct queue_new n = { .tells = l->tells, .tells_until_ms = l->tells_until_ms };
	struct str to = str_of(l->to != NULL ? l->to : "anna@example.org");
	unsigned k = 0;
	while (to.n > 0 && k < ARRAY_LEN(rcpts)) {
		struct str one = str_cut(&to, ',');
		rcpts[k++] = (struct message_rcpt){
			.address = one, .domain = queue_name(rig.q, address_text_domain(one))
		};
	}
	size_t size;
	char *content = rig_content(l, &size);
	n.content_take = content;
	n.m = (struct message){
		.id = queue_new_id(rig.q),
		.received_ms = l->received_ms != 0 ? l->received_ms : loop_wall_ms(rig.loop),
		.expires_ms = l->expires_ms,
		.sender = rig_str(l->from),
		.client = rig_str(l->client),
		.helo = STR("client.example"),
		.msgid_header = STR("<1@example>"),
		.subject = rig_str(l->subject),
		.credential = rig_str(l->credential),
		.stream = queue_name(rig.q, rig_str(l->stream != NULL ? l->stream : "default")),
		.eight_bit = true,
		.size = size,
		.content = str_from(content, size),
		.rcpts = rcpts,
		.rcpts_n = k
	};
	*d = (struct rig_done){ .called = false };
	queue_accept(rig.q, &n, rig_on_done, d);
	return n.m.id;
}

RIG_UNUSED void rig_done_wait(struct rig_done *d)
{
	while (!d->called)
		rig_wait();
}

RIG_UNUSED struct msgid rig_accept(const struct rig_letter *l)
{
	struct rig_done d;
	struct msgid id = rig_post(l, &d);
	assert_false(d.called);
	rig_done_wait(&d);
	assert_int_equal(d.code, 0);
	return id;
}

struct rig_read {
	bool called;
	const struct message *m;
	int code;
};

RIG_UNUSED void rig_on_read(void *arg, const struct message *m, const struct err *err)
{
	struct rig_read *r = arg;
	assert_false(r->called);
	r->called = true;
	r->m = m;
	r->code = err != NULL ? err->code : 0;
	rig_wake();
}

RIG_UNUSED struct rig_read rig_read(struct msgid id, bool content)
{
	struct rig_read r = { .called = false };
	queue_message_read(rig.q, id, content, rig_on_read, &r);
	assert_false(r.called);
	while (!r.called)
		rig_wait();
	return r;
}

/* --- results ---------------------------------------------------------------------------------- */

struct rig_result {
	struct rid rid;
	enum outcome outcome;
	int code;
	const char *enhanced;
	const char *reply;
	uint8_t reply_class;
	int64_t next_ms;
	int64_t at_ms;
	uint16_t attempts;
};

RIG_UNUSED void rig_record(const struct rig_result *r)
{
	struct queue_result qr = { .rid = r->rid, .next_ms = r->next_ms, .attempts = r->attempts };
	struct attempt *a = &qr.attempt;
	a->at_ms = r->at_ms != 0 ? r->at_ms : loop_wall_ms(rig.loop);
	a->outcome = r->outcome;
	a->code = r->code;
	a->reply_class = r->reply_class;
	a->duration_ms = 17;
	(void)snprintf(a->enhanced, sizeof(a->enhanced), "%s",
		       r->enhanced != NULL ? r->enhanced : "");
	(void)snprintf(a->reply, sizeof(a->reply), "%s", r->reply != NULL ? r->reply : "");
	(void)snprintf(a->host, sizeof(a->host), "mx.example.org");
	(void)snprintf(a->ip, sizeof(a->ip), "192.0.2.1");
	queue_record(rig.q, &qr);
}

/* Waits until all results are on disk. */
RIG_UNUSED void rig_settle(void)
{
	for (int k = 0; queue_record_backlog(rig.q) > 0; k++) {
		if (k == RIG_WAIT_MS / 5)
			fail_msg("results are not written; log: %s", rig.log);
		rig_pause(5);
	}
}

RIG_UNUSED void rig_finish(struct rid rid, enum outcome outcome)
{
	rig_record(
		&(struct rig_result){ .rid = rid, .outcome = outcome, .code = 250, .attempts = 1 });
}

RIG_UNUSED void rig_defer(struct rid rid, int code, const char *enhanced, const char *reply)
{
	rig_record(&(struct rig_result){ .rid = rid,
					 .outcome = OUTCOME_DEFERRED,
					 .code = code,
					 .enhanced = enhanced,
					 .reply = reply,
					 .next_ms = 5000,
					 .attempts = 1 });
}

/* --- rows ------------------------------------------------------------------------------------- */

/* A copy of what a list answered. */
struct rig_rows {
	bool called;
	struct queue_entry v[QUEUE_PAGE_MAX + 1];
	char texts[QUEUE_PAGE_MAX + 1][4][256]; /* from to subject reply */
	size_t n;
	bool more;
	int code;
	char msg[512];
};

RIG_UNUSED void rig_keep_rows(struct rig_rows *r, const struct queue_entry *rows, size_t n)
{
	r->n = n;
	for (size_t k = 0; k < n && k < ARRAY_LEN(r->v); k++) {
		r->v[k] = rows[k];
		const struct str texts[] = { rows[k].from, rows[k].to, rows[k].subject,
					     rows[k].reply };
		for (int i = 0; i < 4; i++)
			(void)snprintf(r->texts[k][i], 256, "%.*s", STR_ARG(texts[i]));
	}
}

RIG_UNUSED void rig_on_entries(void *arg, const struct queue_entry *rows, size_t n,
			       const struct err *err)
{
	struct rig_rows *r = arg;
	r->called = true;
	r->code = err != NULL ? err->code : 0;
	rig_keep_rows(r, rows, n);
	rig_wake();
}

RIG_UNUSED struct rig_rows *rig_entries(const struct rid *rids, size_t n)
{
	static struct rig_rows r;
	r.called = false;
	queue_entries(rig.q, rids, n, rig_on_entries, &r);
	while (!r.called)
		rig_wait();
	return &r;
}

#endif
