/*
 * A job takes a connection of the pool for its time in a worker thread; every statement is stepped
 * to its end or reset, so that no read transaction outlives the job. The pool outlives the queue
 * while answers are on their way: those find it closed and are dropped.
 *
 * Jobs that may go through whole tables run one at a time: the loop's workers are few, and delivery
 * reads its messages with them.
 */
#include "queue/queue_int.h"

#include <stdlib.h>

#include "base/mem.h"
#include "base/obj.h"
#include "loop/loop.h"

#define POOL_CHUNK 16384

/* --- texts ------------------------------------------------------------------------------------ */

struct pool_chunk {
	struct pool_chunk *next;
	size_t n;
	size_t cap;
	char bytes[];
};

struct str pool_dup(struct pool *p, struct str s)
{
	struct pool_chunk *c = p->chunks;
	if (c == NULL || c->cap - c->n < s.n + 1) {
		size_t cap = s.n + 1 > POOL_CHUNK ? s.n + 1 : POOL_CHUNK;
		c = xmalloc(sizeof(*c) + cap);
		*c = (struct pool_chunk){ .next = p->chunks, .cap = cap };
		p->chunks = c;
	}
	char *to = c->bytes + c->n;
	if (s.n > 0)
		memcpy(to, s.p, s.n);
	to[s.n] = '\0';
	c->n += s.n + 1;
	return str_from(to, s.n);
}

void pool_done(struct pool *p)
{
	struct pool_chunk *c;
	while ((c = p->chunks) != NULL) {
		p->chunks = c->next;
		free(c);
	}
}

/* --- readers ---------------------------------------------------------------------------------- */

static void sql_in_net(const struct str *args, int n, int64_t *ret_int, struct str *ret_text,
		       char *scratch, size_t scratch_n)
{
	(void)n;
	(void)ret_text;
	(void)scratch;
	(void)scratch_n;
	*ret_int = filter_in_net(args[0], args[1]);
}

/* The domain of an address, in lower case. */
static void sql_domain(const struct str *args, int n, int64_t *ret_int, struct str *ret_text,
		       char *scratch, size_t scratch_n)
{
	(void)n;
	(void)ret_int;
	struct str domain = address_text_domain(args[0]);
	size_t len = domain.n < scratch_n ? domain.n : scratch_n;
	for (size_t k = 0; k < len; k++) {
		char c = domain.p[k];
		scratch[k] = c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c;
	}
	*ret_text = str_from(scratch, len);
}

/* A reply without what differs from one recipient to the next. */
static void sql_normal(const struct str *args, int n, int64_t *ret_int, struct str *ret_text,
		       char *scratch, size_t scratch_n)
{
	char text[REPLY_TEXT_MAX + 1];
	size_t len = reply_text_normalise(args[0], text);
	(void)n;
	(void)ret_int;
	len = len < scratch_n ? len : scratch_n;
	memcpy(scratch, text, len);
	*ret_text = str_from(scratch, len);
}

static void reader_free(struct reader **rp)
{
	struct reader *r = *rp;
	*rp = NULL;
	for (int k = 0; k < R__COUNT; k++)
		db_finalize(&r->st[k]);
	db_close(&r->db);
	free(r);
}

static struct reader *reader_new(const char *path, struct err *err)
{
	struct reader *r = xcalloc(1, sizeof(*r));
	int got = db_open(path, DB_READ, &r->db, err);
	if (got >= 0)
		got = db_function(r->db, FILTER_SQL_IN_NET, 2, false, sql_in_net, err);
	if (got >= 0)
		got = db_function(r->db, "weir_domain", 1, true, sql_domain, err);
	if (got >= 0)
		got = db_function(r->db, QUEUE_SQL_NORMAL, 1, true, sql_normal, err);
	if (got < 0)
		reader_free(&r);
	return r;
}

int reader_stmt(struct reader *r, enum reader_stmt which, struct db_stmt **ret, struct err *err)
{
	static const char *const sql[R__COUNT] = {
#define READ_STMT(id, text) [R_##id] = text,
#include "queue/queue_reads.def"
#undef READ_STMT
	};
	int got = r->st[which] != NULL ? 0 : db_prepare(r->db, sql[which], &r->st[which], err);
	if (got >= 0)
		*ret = r->st[which];
	return got;
}

struct readers *readers_new(const char *path, const char *relay, struct segments *seg)
{
	struct readers *rs = xcalloc(1, sizeof(*rs));
	*rs = (struct readers){
		.path = xstrdup(path), .relay = xstrdup(relay), .seg = seg, .refs = 1
	};
	(void)pthread_mutex_init(&rs->lock, NULL);
	(void)pthread_cond_init(&rs->idle, NULL);
	SLIST_INIT(&rs->free);
	STAILQ_INIT(&rs->waiting);
	return rs;
}

static void readers_unref(struct readers *rs)
{
	if (--rs->refs > 0)
		return;
	(void)pthread_mutex_destroy(&rs->lock);
	(void)pthread_cond_destroy(&rs->idle);
	free(rs->path);
	free(rs->relay);
	free(rs);
}

void readers_close(struct readers **rp)
{
	struct readers *rs = *rp;
	if (rs == NULL)
		return;
	*rp = NULL;
	struct read_job *j;
	while ((j = STAILQ_FIRST(&rs->waiting)) != NULL) {
		STAILQ_REMOVE_HEAD(&rs->waiting, link);
		j->release(j);
		rs->refs--;
	}
	(void)pthread_mutex_lock(&rs->lock);
	rs->closed = true;
	while (rs->running > 0)
		(void)pthread_cond_wait(&rs->idle, &rs->lock);
	struct reader *r;
	while ((r = SLIST_FIRST(&rs->free)) != NULL) {
		SLIST_REMOVE_HEAD(&rs->free, link);
		reader_free(&r);
	}
	(void)pthread_mutex_unlock(&rs->lock);
	readers_unref(rs);
}

/* False: closed. *ret is NULL when a connection is to be made. */
static bool readers_take(struct readers *rs, struct reader **ret)
{
	(void)pthread_mutex_lock(&rs->lock);
	bool open = !rs->closed;
	if (open) {
		rs->running++;
		*ret = SLIST_FIRST(&rs->free);
		if (*ret != NULL)
			SLIST_REMOVE_HEAD(&rs->free, link);
	}
	(void)pthread_mutex_unlock(&rs->lock);
	return open;
}

static void readers_give(struct readers *rs, struct reader *r)
{
	(void)pthread_mutex_lock(&rs->lock);
	if (r != NULL)
		SLIST_INSERT_HEAD(&rs->free, r, link);
	rs->running--;
	(void)pthread_cond_signal(&rs->idle);
	(void)pthread_mutex_unlock(&rs->lock);
}

static void on_done(void *arg);

static void on_work(void *arg)
{
	struct read_job *j = arg;
	struct reader *r = NULL;
	if (!readers_take(j->readers, &r))
		return;
	j->err = ERR_INIT;
	if (r == NULL)
		r = reader_new(j->readers->path, &j->err);
	if (r != NULL) {
		j->reader = r;
		db_deadline(r->db, QUEUE_READ_MS);
		(void)j->work(j, &j->err);
		db_deadline(r->db, 0);
	}
	readers_give(j->readers, r);
}

static void start(struct read_job *j)
{
	j->readers->slow_running += j->slow;
	(void)err_set(&j->err, ERR_CANCELLED, "the relay stops"); /* unless it is worked on */
	(void)loop_job_start(j->loop, j->name, on_work, on_done, j);
}

static void on_done(void *arg)
{
	struct read_job *j = arg;
	struct readers *rs = j->readers;
	struct read_job *next = NULL;
	if (j->slow && --rs->slow_running == 0 && !rs->closed)
		next = STAILQ_FIRST(&rs->waiting);
	if (next != NULL) {
		STAILQ_REMOVE_HEAD(&rs->waiting, link);
		rs->waiting_n--;
		start(next);
	}
	if (!rs->closed)
		j->answer(j);
	j->release(j);
	readers_unref(rs);
}

static void attach(struct queue *q, struct read_job *j)
{
	j->queue = q;
	j->loop = q->loop;
	j->readers = q->readers;
	j->readers->refs++;
}

void read_answer(struct queue *q, struct read_job *j)
{
	attach(q, j);
	loop_post(q->loop, on_done, j);
}

void read_start(struct queue *q, const char *name, struct read_job *j)
{
	struct readers *rs = q->readers;
	j->name = name;
	if (j->slow && rs->waiting_n >= QUEUE_SLOW_MAX) {
		j->slow = false;
		(void)err_set(&j->err, ERR_LIMIT, "too many lists are being made");
		read_answer(q, j);
		return;
	}
	attach(q, j);
	if (j->slow && rs->slow_running > 0) {
		STAILQ_INSERT_TAIL(&rs->waiting, j, link);
		rs->waiting_n++;
		return;
	}
	start(j);
}
