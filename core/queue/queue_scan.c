/*
 * Filtered lists. A page is made in two steps inside one read transaction: first the keys of its
 * rows, in order and limited, then the rows by their keys; so that sorting a million rows carries
 * two numbers of each. What is queued and what is finished are two tables: their keys are merged
 * here.
 */
#include "queue/queue_int.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/mem.h"
#include "base/obj.h"
#include "mail/talk.h"

#define SQL_MAX (FILTER_SQL_MAX + 2048)

static bool is_filtered(const struct filter *f)
{
	return f != NULL && !filter_matches_all(f);
}

/* --- recipients ------------------------------------------------------------------------------- */

struct key {
	uint64_t rid;
	int64_t value;
};

struct scan_job {
	struct read_job j;
	struct queue_scan scan;
	struct key *keys;
	size_t keys_n;
	struct queue_entry *rows;
	size_t n;
	bool more;
	struct pool texts;
	queue_scan_fn *fn;
	void *arg;
};

static const char *const sort_columns[] = {
	[QUEUE_SORT_ID] = "0",
	[QUEUE_SORT_SIZE] = "r.size",
	[QUEUE_SORT_NEXT] = "r.next_ms",
	[QUEUE_SORT_ATTEMPTS] = "r.attempts",
};

static void page_sql(const struct queue_scan *scan, struct buf *sql, struct filter_binds *binds)
{
	const char *column = sort_columns[scan->sort];
	const char *way = scan->descending ? " DESC" : "";
	char than = scan->descending ? '<' : '>';
	bool by_id = scan->sort == QUEUE_SORT_ID;
	if (scan->after_set && by_id) {
		(void)buf_printf(sql, " AND r.rid %c ?", than);
	} else if (scan->after_set) {
		(void)buf_printf(sql, " AND (%s, r.rid) %c (?, ?)", column, than);
		filter_bind_int(binds, scan->after_value);
	}
	if (scan->after_set)
		filter_bind_int(binds, (int64_t)scan->after.v);
	(void)buf_puts(sql, " ORDER BY ");
	if (!by_id)
		(void)buf_printf(sql, "%s%s, ", column, way);
	(void)buf_printf(sql, "r.rid%s LIMIT ?", way);
	filter_bind_int(binds, (int64_t)scan->limit + 1);
}

/* One more than the limit, when there are. */
static int read_keys(struct scan_job *j, enum list_kind kind, struct err *err)
{
	const struct queue_scan *scan = &j->scan;
	AUTO_BUF sql = BUF_INIT(SQL_MAX);
	struct filter_binds binds = FILTER_BINDS_INIT;
	struct db_stmt *s = NULL;
	(void)buf_printf(&sql, "SELECT r.rid, %s FROM ", sort_columns[scan->sort]);
	int got =
		list_sql(kind, scan->filter, j->j.readers->relay, scan->now_ms, &sql, &binds, err);
	if (got >= 0) {
		page_sql(scan, &sql, &binds);
		got = list_prepare(j->j.reader, &sql, &binds, &s, err);
	}
	while (got >= 0 && (got = db_step(s, err)) > 0)
		j->keys[j->keys_n++] =
			(struct key){ .rid = (uint64_t)db_int(s, 0), .value = db_int(s, 1) };
	db_finalize(&s);
	filter_binds_done(&binds);
	return got;
}

static int key_cmp(const void *a, const void *b)
{
	const struct key *x = a, *y = b;
	if (x->value != y->value)
		return x->value < y->value ? -1 : 1;
	return x->rid < y->rid ? -1 : x->rid > y->rid;
}

static int key_cmp_down(const void *a, const void *b)
{
	return key_cmp(b, a);
}

static void merge_keys(struct scan_job *j)
{
	if (j->scan.finished)
		qsort(j->keys, j->keys_n, sizeof(*j->keys),
		      j->scan.descending ? key_cmp_down : key_cmp);
	j->more = j->keys_n > j->scan.limit;
	if (j->more)
		j->keys_n = j->scan.limit;
}

static void key_row(struct queue_entry *e, const struct key *k, enum queue_sort sort)
{
	*e = (struct queue_entry){ .rid = { k->rid } };
	switch (sort) {
	case QUEUE_SORT_SIZE:
		e->size = (size_t)k->value;
		break;
	case QUEUE_SORT_NEXT:
		e->next_ms = k->value;
		break;
	case QUEUE_SORT_ATTEMPTS:
		e->attempts = (uint16_t)k->value;
		break;
	case QUEUE_SORT_ID:
		break;
	}
}

static int fill_rows(struct scan_job *j, struct err *err)
{
	j->rows = xcalloc(j->keys_n + 1, sizeof(*j->rows));
	for (size_t k = 0; k < j->keys_n; k++) {
		struct rid rid = { j->keys[k].rid };
		int got = 1;
		if (j->scan.ids_only)
			key_row(&j->rows[j->n], &j->keys[k], j->scan.sort);
		else
			got = read_entry(j->j.reader, rid, &j->texts, &j->rows[j->n], err);
		if (got < 0)
			return got;
		j->n += got > 0;
	}
	return 0;
}

static int work_scan(struct read_job *base, struct err *err)
{
	struct scan_job *j = (struct scan_job *)base;
	struct db *d = base->reader->db;
	j->keys = xcalloc(2 * (j->scan.limit + 1), sizeof(*j->keys));
	int got = db_exec(d, "BEGIN", err);
	if (got >= 0 && !j->scan.finished_only)
		got = read_keys(j, LIST_QUEUED, err);
	if (got >= 0 && (j->scan.finished || j->scan.finished_only))
		got = read_keys(j, LIST_ENDED, err);
	if (got >= 0) {
		merge_keys(j);
		got = fill_rows(j, err);
	}
	db_rollback(d);
	return got;
}

static void answer_scan(struct read_job *base)
{
	struct scan_job *j = (struct scan_job *)base;
	const struct err *err = read_err(base);
	j->fn(j->arg, j->rows, err == NULL ? j->n : 0, j->more, err);
}

static void release_scan(struct read_job *base)
{
	struct scan_job *j = (struct scan_job *)base;
	free(j->keys);
	free(j->rows);
	pool_done(&j->texts);
	free(j);
}

void queue_scan(struct queue *q, const struct queue_scan *scan, queue_scan_fn *fn, void *arg)
{
	struct scan_job *j = xcalloc(1, sizeof(*j));
	size_t max = scan->ids_only ? QUEUE_SCAN_MAX : QUEUE_PAGE_MAX;
	*j = (struct scan_job){
		.j = { .work = work_scan, .answer = answer_scan, .release = release_scan },
		.scan = *scan,
		.fn = fn,
		.arg = arg
	};
	if (j->scan.limit > max)
		j->scan.limit = max;
	j->j.slow = scan->sort != QUEUE_SORT_ID || is_filtered(scan->filter);
	read_start(q, "queue.scan", &j->j);
}

/* --- events ----------------------------------------------------------------------------------- */

struct events_job {
	struct read_job j;
	struct queue_event_query query;
	uint64_t *seqs;
	size_t seqs_n;
	struct queue_event *rows;
	size_t n;
	bool more;
	struct pool texts;
	queue_events_fn *fn;
	void *arg;
};

/* The events of one message: from its recipients along their chains. */
static void of_message(struct msgid id, struct buf *sql, struct filter_binds *binds)
{
	int64_t first = (int64_t)rid_of(id, 0).v, last = (int64_t)rid_of(id, RID_RCPT_MAX).v;
	(void)buf_puts(sql, " AND e.seq IN (WITH RECURSIVE c(seq) AS ("
			    "SELECT last_seq FROM rcpt WHERE rid BETWEEN ? AND ?"
			    " UNION ALL SELECT last_seq FROM done WHERE rid BETWEEN ? AND ?"
			    " UNION ALL SELECT x.prev FROM c JOIN events x ON x.seq = c.seq"
			    " WHERE x.prev > 0)"
			    " SELECT seq FROM c UNION ALL"
			    " SELECT received_seq FROM messages WHERE id = ?)");
	for (int k = 0; k < 2; k++) {
		filter_bind_int(binds, first);
		filter_bind_int(binds, last);
	}
	filter_bind_int(binds, (int64_t)id.v);
}

static void feed_sql(const struct queue_event_query *q, struct buf *sql, struct filter_binds *binds)
{
	if (!msgid_is_none(q->of))
		of_message(q->of, sql, binds);
	if (q->ascending) {
		(void)buf_puts(sql, " AND e.seq > ?");
		filter_bind_int(binds, (int64_t)q->after_seq);
	} else if (q->before_seq != 0) {
		(void)buf_puts(sql, " AND e.seq < ?");
		filter_bind_int(binds, (int64_t)q->before_seq);
	}
	(void)buf_printf(sql, " ORDER BY e.seq%s LIMIT ?", q->ascending ? "" : " DESC");
	filter_bind_int(binds, (int64_t)q->limit + 1);
}

static int read_seqs(struct events_job *j, struct err *err)
{
	AUTO_BUF sql = BUF_INIT(SQL_MAX);
	struct filter_binds binds = FILTER_BINDS_INIT;
	struct db_stmt *s = NULL;
	(void)buf_puts(&sql, "SELECT e.seq FROM ");
	int got = list_sql(LIST_EVENTS, j->query.filter, j->j.readers->relay, j->query.now_ms, &sql,
			   &binds, err);
	if (got >= 0) {
		feed_sql(&j->query, &sql, &binds);
		got = list_prepare(j->j.reader, &sql, &binds, &s, err);
	}
	while (got >= 0 && (got = db_step(s, err)) > 0)
		j->seqs[j->seqs_n++] = (uint64_t)db_int(s, 0);
	db_finalize(&s);
	filter_binds_done(&binds);
	j->more = j->seqs_n > j->query.limit;
	if (j->more)
		j->seqs_n = j->query.limit;
	return got;
}

static void cut(char *to, size_t size, struct str s)
{
	(void)snprintf(to, size, "%.*s", STR_ARG(s));
}

/* What cannot be read again is as if it had not been kept. */
static struct str expand(struct events_job *j, struct db_stmt *s, int column)
{
	AUTO_BUF out = BUF_INIT(TALK_PACKED_MAX);
	size_t n;
	const void *row = db_blob(s, column, &n);
	return n > 0 && talk_expand(str_from(row, n), &out) ? pool_dup(&j->texts, buf_str(&out))
							    : STR("");
}

static int read_connection(struct events_job *j, uint64_t id, struct queue_event *e,
			   struct err *err)
{
	struct db_stmt *s = NULL;
	int got = reader_stmt(j->j.reader, R_CONNECTION, &s, err);
	if (got < 0)
		return got;
	db_bind_int(s, 1, (int64_t)id);
	got = db_step(s, err);
	if (got > 0)
		e->connection = expand(j, s, 0);
	db_reset(s);
	return got;
}

static int read_event(struct events_job *j, uint64_t seq, struct queue_event *e, struct err *err)
{
	struct db_stmt *s = NULL;
	int got = reader_stmt(j->j.reader, R_EVENT, &s, err);
	if (got < 0)
		return got;
	db_bind_int(s, 1, (int64_t)seq);
	got = db_step(s, err);
	if (got <= 0)
		return got;
	*e = (struct queue_event){ .seq = seq,
				   .rid = { (uint64_t)db_int(s, 0) },
				   .domain = (uint32_t)db_int(s, 6),
				   .stream = (uint32_t)db_int(s, 7),
				   .from = pool_dup(&j->texts, db_text(s, 14)),
				   .to = pool_dup(&j->texts, db_text(s, 15)) };
	struct attempt *a = &e->attempt;
	a->at_ms = db_int(s, 1);
	a->outcome = (enum outcome)db_int(s, 2);
	a->code = (int)db_int(s, 3);
	a->reply_class = (uint8_t)db_int(s, 4);
	a->duration_ms = (uint32_t)db_int(s, 5);
	a->phase = (uint8_t)db_int(s, 18);
	cut(a->enhanced, sizeof(a->enhanced), db_text(s, 8));
	cut(a->reply, sizeof(a->reply), db_text(s, 9));
	cut(a->host, sizeof(a->host), db_text(s, 10));
	cut(a->ip, sizeof(a->ip), db_text(s, 11));
	cut(a->source, sizeof(a->source), db_text(s, 12));
	cut(a->tls, sizeof(a->tls), db_text(s, 13));
	uint64_t connection = (uint64_t)db_int(s, 16);
	got = 0;
	if (j->query.talks)
		e->talk = expand(j, s, 17);
	db_reset(s);
	if (got >= 0 && j->query.talks && connection != 0)
		got = read_connection(j, connection, e, err);
	return got < 0 ? got : 1;
}

static int work_events(struct read_job *base, struct err *err)
{
	struct events_job *j = (struct events_job *)base;
	struct db *d = base->reader->db;
	j->seqs = xcalloc(j->query.limit + 1, sizeof(*j->seqs));
	int got = db_exec(d, "BEGIN", err);
	if (got >= 0)
		got = read_seqs(j, err);
	j->rows = xcalloc(j->seqs_n + 1, sizeof(*j->rows));
	for (size_t k = 0; k < j->seqs_n && got >= 0; k++) {
		got = read_event(j, j->seqs[k], &j->rows[j->n], err);
		j->n += got > 0;
	}
	db_rollback(d);
	return got;
}

static void answer_events(struct read_job *base)
{
	struct events_job *j = (struct events_job *)base;
	const struct err *err = read_err(base);
	j->fn(j->arg, j->rows, err == NULL ? j->n : 0, j->more, err);
}

static void release_events(struct read_job *base)
{
	struct events_job *j = (struct events_job *)base;
	free(j->seqs);
	free(j->rows);
	pool_done(&j->texts);
	free(j);
}

void queue_events(struct queue *q, const struct queue_event_query *query, queue_events_fn *fn,
		  void *arg)
{
	struct events_job *j = xcalloc(1, sizeof(*j));
	*j = (struct events_job){
		.j = { .work = work_events, .answer = answer_events, .release = release_events },
		.query = *query,
		.fn = fn,
		.arg = arg
	};
	if (j->query.limit > QUEUE_PAGE_MAX)
		j->query.limit = QUEUE_PAGE_MAX;
	j->j.slow = msgid_is_none(query->of) && is_filtered(query->filter);
	read_start(q, "queue.events", &j->j);
}
