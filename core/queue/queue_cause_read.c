/*
 * Causes, for lists.
 *
 * Of what is queued each recipient's row has its cause's number. Of what happened the events are
 * gone through and their texts normalised: those of a time are found by seq, which grows with it,
 * but for the moment that an event waits to be written.
 */
#include "queue/queue_int.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/mem.h"
#include "base/obj.h"

#define SQL_MAX (FILTER_SQL_MAX + 1024)
#define LATE_MS 5000 /* events may be written so much later than they happened */

struct causes_job {
	struct read_job j;
	const struct filter *filter;
	int64_t now_ms;
	size_t limit;
	struct queue_cause *rows;
	uint64_t *ids;
	uint64_t *lasts; /* event of the latest */
	struct attempt *samples;
	size_t n;
	struct pool texts;
	/* of what happened */
	struct queue_past past;
	uint64_t from_seq;
	bool all;
	queue_causes_fn *fn;
	queue_past_fn *past_fn;
	void *arg;
};

static void cut(char *to, size_t size, struct str s)
{
	(void)snprintf(to, size, "%.*s", STR_ARG(s));
}

/* --- queued ----------------------------------------------------------------------------------- */

static int read_groups(struct causes_job *j, struct err *err)
{
	AUTO_BUF sql = BUF_INIT(SQL_MAX);
	struct filter_binds binds = FILTER_BINDS_INIT;
	struct db_stmt *s = NULL;
	(void)buf_puts(&sql, "SELECT r.cause, count(*), count(DISTINCT r.domain),"
			     " max(r.last_seq) FROM ");
	int got =
		list_sql(LIST_CAUSES, j->filter, j->j.readers->relay, j->now_ms, &sql, &binds, err);
	if (got >= 0) {
		(void)buf_puts(&sql,
			       " AND r.cause > 0 GROUP BY r.cause ORDER BY 2 DESC, 1 LIMIT ?");
		filter_bind_int(&binds, (int64_t)j->limit);
		got = list_prepare(j->j.reader, &sql, &binds, &s, err);
	}
	while (got >= 0 && (got = db_step(s, err)) > 0) {
		j->ids[j->n] = (uint64_t)db_int(s, 0);
		j->lasts[j->n] = (uint64_t)db_int(s, 3);
		j->rows[j->n++] = (struct queue_cause){ .count = (uint64_t)db_int(s, 1),
							.domains = (uint64_t)db_int(s, 2) };
	}
	db_finalize(&s);
	filter_binds_done(&binds);
	return got;
}

static int read_sample(struct causes_job *j, size_t k, struct err *err)
{
	struct db_stmt *s = NULL;
	int got = reader_stmt(j->j.reader, R_EVENT_SAID, &s, err);
	if (got < 0)
		return got;
	db_bind_int(s, 1, (int64_t)j->lasts[k]);
	got = db_step(s, err);
	if (got > 0) {
		struct attempt a = { .at_ms = db_int(s, 0),
				     .code = (int)db_int(s, 1),
				     .reply_class = (uint8_t)db_int(s, 2),
				     .phase = (uint8_t)db_int(s, 3) };
		cut(a.enhanced, sizeof(a.enhanced), db_text(s, 4));
		cut(a.reply, sizeof(a.reply), db_text(s, 5));
		cut(a.host, sizeof(a.host), db_text(s, 6));
		j->samples[k] = a;
		j->rows[k].sample = &j->samples[k];
		if (j->rows[k].since_ms == 0)
			j->rows[k].since_ms = a.at_ms;
	}
	db_reset(s);
	return got < 0 ? got : 0;
}

static int read_cause(struct causes_job *j, size_t k, struct err *err)
{
	struct queue_cause *c = &j->rows[k];
	struct db_stmt *s = NULL;
	int got = reader_stmt(j->j.reader, R_CAUSE, &s, err);
	if (got < 0)
		return got;
	db_bind_int(s, 1, (int64_t)j->ids[k]);
	got = db_step(s, err);
	if (got > 0) {
		c->code = (uint16_t)db_int(s, 0);
		c->reply_class = (uint8_t)db_int(s, 1);
		cut(c->enhanced, sizeof(c->enhanced), db_text(s, 2));
		c->text = pool_dup(&j->texts, db_text(s, 3));
		c->since_ms = db_int(s, 4);
	}
	db_reset(s);
	return got < 0 ? got : 0;
}

static int work_causes(struct read_job *base, struct err *err)
{
	struct causes_job *j = (struct causes_job *)base;
	struct db *d = base->reader->db;
	j->rows = xcalloc(j->limit + 1, sizeof(*j->rows));
	j->ids = xcalloc(j->limit + 1, sizeof(*j->ids));
	j->lasts = xcalloc(j->limit + 1, sizeof(*j->lasts));
	j->samples = xcalloc(j->limit + 1, sizeof(*j->samples));
	int got = db_exec(d, "BEGIN", err);
	if (got >= 0)
		got = read_groups(j, err);
	for (size_t k = 0; k < j->n && got >= 0; k++) {
		got = read_cause(j, k, err);
		if (got >= 0)
			got = read_sample(j, k, err);
	}
	db_rollback(d);
	return got;
}

static void answer_causes(struct read_job *base)
{
	struct causes_job *j = (struct causes_job *)base;
	const struct err *err = read_err(base);
	j->fn(j->arg, j->rows, err == NULL ? j->n : 0, err);
}

static void release_causes(struct read_job *base)
{
	struct causes_job *j = (struct causes_job *)base;
	free(j->rows);
	free(j->ids);
	free(j->lasts);
	free(j->samples);
	pool_done(&j->texts);
	free(j);
}

void queue_causes(struct queue *q, const struct filter *filter, size_t limit, int64_t now_ms,
		  queue_causes_fn *fn, void *arg)
{
	struct causes_job *j = xcalloc(1, sizeof(*j));
	*j = (struct causes_job){

		.j = { .slow = true,
		       .work = work_causes,
		       .answer = answer_causes,
		       .release = release_causes },
		.filter = filter,
		.limit = limit < QUEUE_PAGE_MAX ? limit : QUEUE_PAGE_MAX,
		.now_ms = now_ms,
		.fn = fn,
		.arg = arg
	};
	read_start(q, "queue.causes", &j->j);
}

/* --- past ------------------------------------------------------------------------------------- */

/* The first event from seq on: 1, or 0 when there is none. */
static int event_from(struct causes_job *j, uint64_t seq, uint64_t *ret_seq, int64_t *ret_ms,
		      struct err *err)
{
	struct db_stmt *s = NULL;
	int got = reader_stmt(j->j.reader, R_EVENT_FROM, &s, err);
	if (got < 0)
		return got;
	db_bind_int(s, 1, (int64_t)seq);
	got = db_step(s, err);
	if (got > 0) {
		*ret_seq = (uint64_t)db_int(s, 0);
		*ret_ms = db_int(s, 1);
	}
	db_reset(s);
	return got;
}

static int last_event(struct causes_job *j, uint64_t *ret, struct err *err)
{
	struct db_stmt *s = NULL;
	int got = reader_stmt(j->j.reader, R_EVENT_LAST, &s, err);
	if (got < 0)
		return got;
	got = db_step(s, err);
	if (got > 0)
		*ret = (uint64_t)db_int(s, 0);
	db_reset(s);
	return got < 0 ? got : 0;
}

/* Where to begin: by bisection, and not further back than `most`. */
static int find_start(struct causes_job *j, struct err *err)
{
	uint64_t low = 0, high = 0;
	int got = last_event(j, &high, err);
	uint64_t last = high;
	while (got >= 0 && low < high) {
		uint64_t mid = low + (high - low) / 2, seq = 0;
		int64_t at_ms = 0;
		got = event_from(j, mid, &seq, &at_ms, err);
		if (got > 0 && at_ms < j->past.from_ms - LATE_MS)
			low = seq + 1;
		else
			high = mid;
	}
	j->all = last - low <= j->past.most;
	j->from_seq = j->all ? low : last - j->past.most;
	return got < 0 ? got : 0;
}

static int64_t middle(const struct queue_past *p)
{
	return p->from_ms + (p->to_ms - p->from_ms) / 2;
}

static void past_sql(const struct causes_job *j, struct buf *sql, struct filter_binds *binds)
{
	const int64_t v[] = { (int64_t)j->from_seq, j->past.from_ms,	   j->past.to_ms,
			      OUTCOME_DEFERRED,	    OUTCOME_FAILED,	   OUTCOME_EXPIRED,
			      OUTCOME_BOUNCED,	    (int64_t)j->past.limit };
	(void)buf_puts(sql,
		       " AND e.seq >= ? AND e.at_ms BETWEEN ? AND ? AND e.outcome IN (?, ?, ?, ?)"
		       " GROUP BY 1, 2, 3, 4 ORDER BY 5 DESC, 1 LIMIT ?");
	for (size_t k = 0; k < ARRAY_LEN(v); k++)
		filter_bind_int(binds, v[k]);
}

static void past_row(struct causes_job *j, struct db_stmt *s)
{
	struct queue_cause *c = &j->rows[j->n];
	*c = (struct queue_cause){ .code = (uint16_t)db_int(s, 0),
				   .reply_class = (uint8_t)db_int(s, 1),
				   .text = pool_dup(&j->texts, db_text(s, 3)),
				   .count = (uint64_t)db_int(s, 4),
				   .domains = (uint64_t)db_int(s, 5),
				   .since_ms = db_int(s, 6),
				   .recent = (uint64_t)db_int(s, 8),
				   .before = (uint64_t)db_int(s, 9) };
	cut(c->enhanced, sizeof(c->enhanced), db_text(s, 2));
	j->lasts[j->n++] = (uint64_t)db_int(s, 7);
}

static int read_past(struct causes_job *j, struct err *err)
{
	AUTO_BUF sql = BUF_INIT(SQL_MAX);
	struct filter_binds binds = FILTER_BINDS_INIT;
	struct db_stmt *s = NULL;
	filter_bind_int(&binds, middle(&j->past));
	filter_bind_int(&binds, middle(&j->past));
	(void)buf_puts(&sql, "SELECT e.code, e.class, e.enhanced, " QUEUE_SQL_NORMAL "(e.reply),"
			     " count(DISTINCT e.rid), count(DISTINCT e.domain), min(e.at_ms),"
			     " max(e.seq), sum(e.at_ms >= ?), sum(e.at_ms < ?) FROM ");
	int got = list_sql(LIST_EVENTS, j->past.filter, j->j.readers->relay, j->past.now_ms, &sql,
			   &binds, err);
	if (got >= 0) {
		past_sql(j, &sql, &binds);
		got = list_prepare(j->j.reader, &sql, &binds, &s, err);
	}
	while (got >= 0 && (got = db_step(s, err)) > 0)
		past_row(j, s);
	db_finalize(&s);
	filter_binds_done(&binds);
	return got;
}

static int work_past(struct read_job *base, struct err *err)
{
	struct causes_job *j = (struct causes_job *)base;
	struct db *d = base->reader->db;
	j->rows = xcalloc(j->past.limit + 1, sizeof(*j->rows));
	j->lasts = xcalloc(j->past.limit + 1, sizeof(*j->lasts));
	j->samples = xcalloc(j->past.limit + 1, sizeof(*j->samples));
	int got = db_exec(d, "BEGIN", err);
	if (got >= 0)
		got = find_start(j, err);
	if (got >= 0)
		got = read_past(j, err);
	for (size_t k = 0; k < j->n && got >= 0; k++)
		got = read_sample(j, k, err);
	db_rollback(d);
	return got;
}

static void answer_past(struct read_job *base)
{
	struct causes_job *j = (struct causes_job *)base;
	const struct err *err = read_err(base);
	j->past_fn(j->arg, j->rows, err == NULL ? j->n : 0, j->all, err);
}

void queue_past_causes(struct queue *q, const struct queue_past *past, queue_past_fn *fn, void *arg)
{
	struct causes_job *j = xcalloc(1, sizeof(*j));
	*j = (struct causes_job){

		.j = { .slow = true,
		       .work = work_past,
		       .answer = answer_past,
		       .release = release_causes },
		.past = *past,
		.past_fn = fn,
		.arg = arg
	};
	if (past->limit > QUEUE_PAGE_MAX)
		j->past.limit = QUEUE_PAGE_MAX;
	if (past->most == 0 || past->most > QUEUE_PAST_MAX)
		j->past.most = QUEUE_PAST_MAX;
	read_start(q, "queue.past-causes", &j->j);
}
