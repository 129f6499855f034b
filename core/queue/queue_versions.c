/* The versions of the configuration: pages of them. */
#include "queue/queue_int.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

#define PAGE_BYTES ((size_t)1024 * 1024)

struct versions_job {
	struct read_job j;
	struct queue_versions_query query;
	struct queue_version *rows;
	size_t n;
	bool more;
	struct pool texts;
	queue_versions_fn *fn;
	void *arg;
};

void version_read(struct db_stmt *s, struct queue_version *ret)
{
	*ret = (struct queue_version){ .version = (uint64_t)db_int(s, 0),
				       .action = (uint64_t)db_int(s, 1),
				       .at_ms = db_int(s, 2),
				       .who = db_text(s, 3).p,
				       .from_where = db_text(s, 4).p,
				       .role = db_text(s, 5).p,
				       .method = db_text(s, 6).p,
				       .target = db_text(s, 7).p,
				       .reason = db_text(s, 8).p,
				       .changes = db_text(s, 9).p };
}

/* A copy of the row; its bytes. */
static size_t keep(struct pool *p, struct queue_version *v)
{
	const char **const texts[] = { &v->who,	   &v->from_where, &v->role,   &v->method,
				       &v->target, &v->reason,	   &v->changes };
	size_t n = 0;
	for (size_t k = 0; k < ARRAY_LEN(texts); k++) {
		n += strlen(*texts[k]);
		*texts[k] = pool_dup(p, str_of(*texts[k])).p;
	}
	return n;
}

static int work_versions(struct read_job *base, struct err *err)
{
	struct versions_job *j = (struct versions_job *)base;
	const struct queue_versions_query *q = &j->query;
	struct db_stmt *s = NULL;
	size_t bytes = 0;
	int got =
		reader_stmt(base->reader, q->ascending ? R_VERSIONS_UP : R_VERSIONS_DOWN, &s, err);
	if (got < 0)
		return got;
	j->rows = xcalloc(q->limit + 1, sizeof(*j->rows));
	db_bind_int(s, 1, (int64_t)q->above);
	db_bind_int(s, 2, q->below != 0 ? (int64_t)q->below : INT64_MAX);
	db_bind_int(s, 3, (int64_t)q->limit + 1);
	while ((got = db_step(s, err)) > 0 && j->n < q->limit && bytes < PAGE_BYTES) {
		version_read(s, &j->rows[j->n]);
		bytes += keep(&j->texts, &j->rows[j->n++]);
	}
	j->more = got > 0;
	db_reset(s);
	return got < 0 ? got : 0;
}

static void answer_versions(struct read_job *base)
{
	struct versions_job *j = (struct versions_job *)base;
	const struct err *err = read_err(base);
	j->fn(j->arg, j->rows, err == NULL ? j->n : 0, j->more, err);
}

static void release_versions(struct read_job *base)
{
	struct versions_job *j = (struct versions_job *)base;
	free(j->rows);
	pool_done(&j->texts);
	free(j);
}

void queue_versions(struct queue *q, const struct queue_versions_query *query,
		    queue_versions_fn *fn, void *arg)
{
	struct versions_job *j = xcalloc(1, sizeof(*j));
	*j = (struct versions_job){ .j = { .work = work_versions,
					   .answer = answer_versions,
					   .release = release_versions },
				    .query = *query,
				    .fn = fn,
				    .arg = arg };
	if (j->query.limit > QUEUE_PAGE_MAX)
		j->query.limit = QUEUE_PAGE_MAX;
	read_start(q, "queue.versions", &j->j);
}
