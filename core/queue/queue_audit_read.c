/*
 * The audit log read: pages of it, and the way along its chain.
 *
 * Verifying: records are read in order. A record that does not hash to what it says was altered, or
 * stands in another's place: then there is a number with which it does hash. One that hashes, but
 * says of its predecessor what is not so, follows one that was altered and hashed again, or is what
 * the relay wrote after it had found the log rewritten. At the end the file's link must have come
 * by.
 */
#include "queue/queue_int.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/mem.h"
#include "base/obj.h"

#define SQL_MAX (FILTER_SQL_MAX + 1024)
#define SLICE 2000
#define OTHERS_MAX 100000u /* numbers on each side that are tried for a record in a wrong place */
#define OTHERS_BEHIND 1000

const char *audit_damage_name(enum audit_damage d)
{
	static const char *const names[] = {
		[AUDIT_INTACT] = "intact",
		[AUDIT_CHANGED] = "changed",
		[AUDIT_MISSING] = "missing",
		[AUDIT_SWAPPED] = "swapped",
	};
	ASSERT(d < AUDIT_DAMAGE__COUNT);
	return names[d];
}

/* --- waiting for what was posted -------------------------------------------------------------- */

/* Whoever was refused a moment ago is in the list: it is read when that is on disk. On a full disk
 * nothing is waited for. */
static void start(struct queue *q, const char *name, struct read_job *j)
{
	j->name = name;
	if (q->audit_n > 0 && !q->disk_full)
		STAILQ_INSERT_TAIL(&q->audit_waiting, j, link);
	else
		read_start(q, name, j);
}

void audit_go_on(struct queue *q)
{
	struct read_job *j;
	while ((j = STAILQ_FIRST(&q->audit_waiting)) != NULL) {
		STAILQ_REMOVE_HEAD(&q->audit_waiting, link);
		read_start(q, j->name, j);
	}
}

void audit_recorded(struct queue *q)
{
	if (--q->audit_n == 0)
		audit_go_on(q);
}

void audit_wait_done(struct queue *q)
{
	struct read_job *j;
	while ((j = STAILQ_FIRST(&q->audit_waiting)) != NULL) {
		STAILQ_REMOVE_HEAD(&q->audit_waiting, link);
		j->release(j);
	}
}

/* --- pages ------------------------------------------------------------------------------------ */

struct audit_job {
	struct read_job j;
	struct audit_query query;
	struct audit_record *rows;
	size_t n;
	bool more;
	uint64_t total;
	struct pool texts;
	queue_audit_fn *fn;
	void *arg;
};

static void keep(struct pool *p, struct audit_record *r)
{
	const char **const texts[] = { &r->who,	   &r->from_where, &r->role,   &r->method,
				       &r->target, &r->reason,	   &r->result, &r->changes,
				       &r->prev,   &r->hash };
	for (size_t k = 0; k < ARRAY_LEN(texts); k++)
		*texts[k] = pool_dup(p, str_of(*texts[k])).p;
}

static int page_sql(const struct audit_query *q, struct buf *sql, struct filter_binds *binds,
		    struct err *err)
{
	static const struct filter_columns columns = {
		.expr = { [FILTER_WHO] = "who",
			  [FILTER_ROLE] = "role",
			  [FILTER_METHOD] = "method",
			  [FILTER_TARGET] = "target",
			  [FILTER_REASON] = "reason",
			  [FILTER_RESULT] = "result",
			  [FILTER_WHERE] = "from_where",
			  [FILTER_AGE] = "at_ms" },
	};
	struct filter_columns map = columns;
	int got = 0;
	map.now_ms = q->now_ms;
	(void)buf_puts(sql, "SELECT " AUDIT_SELECT " FROM audit WHERE (");
	if (q->filter != NULL)
		got = filter_sql(q->filter, &map, sql, binds, err);
	else
		(void)buf_putc(sql, '1');
	(void)buf_puts(sql, ") AND seq > 0 AND seq < ? ORDER BY seq DESC LIMIT ?");
	filter_bind_int(binds, q->before != 0 ? (int64_t)q->before : INT64_MAX);
	filter_bind_int(binds, (int64_t)q->limit + 1);
	return got;
}

static int last_seq(struct reader *r, uint64_t *ret_seq, struct err *err)
{
	struct db_stmt *s = NULL;
	int got = reader_stmt(r, R_AUDIT_LAST, &s, err);
	if (got >= 0)
		got = db_step(s, err);
	if (got > 0) {
		*ret_seq = (uint64_t)db_int(s, 0);
		db_reset(s);
	}
	return got;
}

static int work_audit(struct read_job *base, struct err *err)
{
	struct audit_job *j = (struct audit_job *)base;
	AUTO_BUF sql = BUF_INIT(SQL_MAX);
	struct filter_binds binds = FILTER_BINDS_INIT;
	struct db_stmt *s = NULL;
	int got = last_seq(base->reader, &j->total, err);
	if (got >= 0)
		got = page_sql(&j->query, &sql, &binds, err);
	if (got >= 0)
		got = list_prepare(base->reader, &sql, &binds, &s, err);
	j->rows = xcalloc(j->query.limit + 1, sizeof(*j->rows));
	while (got >= 0 && (got = db_step(s, err)) > 0 && j->n < j->query.limit) {
		audit_read(s, &j->rows[j->n]);
		keep(&j->texts, &j->rows[j->n++]);
	}
	j->more = got > 0;
	db_finalize(&s);
	filter_binds_done(&binds);
	return got < 0 ? got : 0;
}

static void answer_audit(struct read_job *base)
{
	struct audit_job *j = (struct audit_job *)base;
	const struct err *err = read_err(base);
	j->fn(j->arg, j->rows, err == NULL ? j->n : 0, j->more, j->total, err);
}

static void release_audit(struct read_job *base)
{
	struct audit_job *j = (struct audit_job *)base;
	free(j->rows);
	pool_done(&j->texts);
	free(j);
}

void queue_audit(struct queue *q, const struct audit_query *query, queue_audit_fn *fn, void *arg)
{
	struct audit_job *j = xcalloc(1, sizeof(*j));
	*j = (struct audit_job){
		.j = { .work = work_audit, .answer = answer_audit, .release = release_audit },
		.query = *query,
		.fn = fn,
		.arg = arg
	};
	if (j->query.limit > QUEUE_PAGE_MAX)
		j->query.limit = QUEUE_PAGE_MAX;
	j->j.slow = query->filter != NULL && !filter_matches_all(query->filter);
	start(q, "queue.audit", &j->j);
}

/* --- verifying -------------------------------------------------------------------------------- */

struct verify {
	struct audit_report report;
	uint8_t prev[DIGEST_LEN]; /* hash of the last good one */
	uint8_t head[DIGEST_LEN];
	char *dir;
	queue_audit_verify_fn *fn;
	void *arg;
	bool begun;
	bool over;
};

struct verify_job {
	struct read_job j;
	struct verify *v; /* NULL: handed on to the next slice */
};

static void broken(struct verify *v, enum audit_damage damage, uint64_t seq, uint64_t other)
{
	v->report.damage = damage;
	v->report.seq = seq;
	v->report.other = other;
	v->over = true;
}

/* Whether it is what it says, were this its number. */
static bool fits(const struct audit_record *r, uint64_t seq)
{
	struct audit_record as = *r;
	uint8_t computed[DIGEST_LEN], said[DIGEST_LEN];
	as.seq = seq;
	audit_hash(&as, computed);
	return digest_unhex(str_of(r->hash), said) && memcmp(computed, said, DIGEST_LEN) == 0;
}

/* The number under which it was written, looked for from its place outwards; 0 when there is none.
 * Records behind it may be gone, so numbers above the last one are tried, too. */
static uint64_t written_as(const struct audit_record *r, uint64_t last)
{
	uint64_t far = (last > r->seq ? last : r->seq) + OTHERS_BEHIND;
	for (uint64_t d = 1; d <= OTHERS_MAX && d <= far; d++) {
		if (r->seq + d <= far && fits(r, r->seq + d))
			return r->seq + d;
		if (d < r->seq && fits(r, r->seq - d))
			return r->seq - d;
	}
	return 0;
}

/* Was this number's record put where the other one belongs, or is it gone and those behind it were
 * renumbered? */
static int exchanged(struct reader *rd, uint64_t seq, uint64_t other, struct err *err)
{
	struct db_stmt *s = NULL;
	struct audit_record r;
	int got = reader_stmt(rd, R_AUDIT_AT, &s, err);
	if (got < 0)
		return got;
	db_bind_int(s, 1, (int64_t)other);
	got = db_step(s, err);
	if (got <= 0)
		return got;
	audit_read(s, &r);
	got = fits(&r, seq);
	db_reset(s);
	return got;
}

/* A record that is not what was written under its number. */
static int judge_place(struct verify *v, struct reader *rd, const struct audit_record *r,
		       struct err *err)
{
	uint64_t last = 0, other = 0;
	int got = last_seq(rd, &last, err);
	if (got >= 0)
		other = written_as(r, last);
	if (got >= 0)
		got = other > r->seq ? exchanged(rd, r->seq, other, err) : other != 0;
	if (got < 0)
		return got;
	if (other == 0)
		broken(v, AUDIT_CHANGED, r->seq, 0);
	else if (got > 0)
		broken(v, AUDIT_SWAPPED, r->seq, other);
	else
		broken(v, AUDIT_MISSING, r->seq, other - 1);
	return 0;
}

/* The step from the last good record to this one. */
static int judge(struct verify *v, struct reader *rd, const struct audit_record *r, struct err *err)
{
	struct audit_report *p = &v->report;
	uint8_t prev[DIGEST_LEN];
	bool follows =
		digest_unhex(str_of(r->prev), prev) && memcmp(prev, v->prev, DIGEST_LEN) == 0;
	p->records++;
	if (r->seq != p->last + 1) {
		broken(v, AUDIT_MISSING, p->last + 1, r->seq - 1);
		return 0;
	}
	if (!fits(r, r->seq))
		return judge_place(v, rd, r, err);
	if (!follows) {
		broken(v, AUDIT_CHANGED, p->last != 0 ? p->last : r->seq, 0);
		return 0;
	}
	(void)digest_unhex(str_of(r->hash), v->prev);
	p->last = r->seq;
	(void)snprintf(p->hash, sizeof(p->hash), "%s", r->hash);
	if (p->head && r->seq == p->head_seq && memcmp(v->prev, v->head, DIGEST_LEN) != 0)
		broken(v, AUDIT_CHANGED, r->seq, 0);
	return 0;
}

static void begin(struct verify *v)
{
	v->begun = true;
	v->report.head = audit_head_read(v->dir, &v->report.head_seq, v->head) > 0;
}

static int work_verify(struct read_job *base, struct err *err)
{
	struct verify *v = ((struct verify_job *)base)->v;
	struct db_stmt *s = NULL;
	unsigned n = 0;
	if (!v->begun) /* before the records: they may only be more */
		begin(v);
	int got = reader_stmt(base->reader, R_AUDIT_NEXT, &s, err);
	if (got < 0)
		return got;
	db_bind_int(s, 1, (int64_t)v->report.last);
	db_bind_int(s, 2, SLICE);
	while (!v->over && (got = db_step(s, err)) > 0) {
		struct audit_record r;
		audit_read(s, &r);
		got = judge(v, base->reader, &r, err);
		if (got < 0)
			break;
		n++;
	}
	db_reset(s);
	if (got < 0 || v->over || n == SLICE)
		return got < 0 ? got : 0;
	if (v->report.head && v->report.head_seq > v->report.last)
		broken(v, AUDIT_MISSING, v->report.last + 1, v->report.head_seq);
	v->over = true;
	return 0;
}

static void verify_slice(struct queue *q, struct verify *v);

static void answer_verify(struct read_job *base)
{
	struct verify_job *j = (struct verify_job *)base;
	struct verify *v = j->v;
	const struct err *err = read_err(base);
	if (err == NULL && !v->over) {
		j->v = NULL;
		verify_slice(base->queue, v);
		return;
	}
	v->fn(v->arg, &v->report, err);
}

static void release_verify(struct read_job *base)
{
	struct verify_job *j = (struct verify_job *)base;
	if (j->v != NULL) {
		free(j->v->dir);
		free(j->v);
	}
	free(j);
}

static void verify_slice(struct queue *q, struct verify *v)
{
	struct verify_job *j = xcalloc(1, sizeof(*j));
	*j = (struct verify_job){
		.j = { .work = work_verify, .answer = answer_verify, .release = release_verify },
		.v = v
	};
	j->j.slow = true;
	start(q, "queue.audit-verify", &j->j);
}

void queue_audit_verify(struct queue *q, queue_audit_verify_fn *fn, void *arg)
{
	struct verify *v = xcalloc(1, sizeof(*v));
	*v = (struct verify){ .dir = xstrdup(q->dir), .fn = fn, .arg = arg };
	verify_slice(q, v);
}
