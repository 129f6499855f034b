/*
 * The writer. A batch is whatever arrived while the one before was being committed:
 *
 *	contents to the segment	-> start its sync in the sync thread
 *	BEGIN, every item, the meta row, COMMIT		(at the same time)
 *	wait for the sync	-> free what the transaction dropped, post the completion
 *
 * When it fails, accepts are refused and the rest is tried again without them: first together;
 *then, when the reason is not the disk's state, one by one, so that a damaged page stops nothing
 *but what touches it. Contents are written over only after the transaction that dropped them is on
 *disk.
 *
 * meta.synced_seq says up to which message contents were synced. It is written with the next
 * transaction, so that at start only the last batches have to be looked at: a bad content behind it
 * was never acknowledged.
 */
#include "queue/queue_int.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/statvfs.h>
#include <time.h>

#include "base/log.h"
#include "base/mem.h"
#include "base/obj.h"
#include "loop/loop.h"

#define FULL_AGAIN_MS 2000 /* refused although there seemed to be room: do not flap */
#define ENVELOPE_BYTES_MAX (4u << 20)

void places_add(struct places *p, const struct segment_place *at)
{
	if (p->n == p->cap) {
		p->cap = p->cap == 0 ? 64 : p->cap * 2;
		p->v = xreallocarray(p->v, p->cap, sizeof(*p->v));
	}
	p->v[p->n++] = *at;
}

static void drop_places(struct writer *w)
{
	for (size_t k = 0; k < w->dropped.n; k++)
		segment_drop(w->seg, &w->dropped.v[k]);
	w->dropped.n = 0;
}

/* --- the sync thread -------------------------------------------------------------------------- */

static void *sync_main(void *arg)
{
	struct writer *w = arg;
	(void)pthread_mutex_lock(&w->sync_lock);
	for (;;) {
		while (w->sync != SYNC_ASKED && w->sync != SYNC_STOP)
			(void)pthread_cond_wait(&w->sync_cond, &w->sync_lock);
		if (w->sync == SYNC_STOP)
			break;
		w->sync = SYNC_RUNNING;
		(void)pthread_mutex_unlock(&w->sync_lock);
		struct err err = ERR_INIT;
		int got = segments_sync(w->seg, &err);
		(void)pthread_mutex_lock(&w->sync_lock);
		w->sync_rc = got;
		w->sync_err = err;
		w->sync = SYNC_DONE;
		(void)pthread_cond_broadcast(&w->sync_cond);
	}
	(void)pthread_mutex_unlock(&w->sync_lock);
	return NULL;
}

static void sync_start(struct writer *w)
{
	segments_sync_begin(w->seg);
	(void)pthread_mutex_lock(&w->sync_lock);
	w->sync = SYNC_ASKED;
	(void)pthread_cond_broadcast(&w->sync_cond);
	(void)pthread_mutex_unlock(&w->sync_lock);
}

static int sync_wait(struct writer *w, struct err *err)
{
	(void)pthread_mutex_lock(&w->sync_lock);
	while (w->sync != SYNC_DONE)
		(void)pthread_cond_wait(&w->sync_cond, &w->sync_lock);
	w->sync = SYNC_IDLE;
	int got = w->sync_rc;
	if (got < 0)
		*err = w->sync_err;
	(void)pthread_mutex_unlock(&w->sync_lock);
	return got;
}

/* --- a transaction ---------------------------------------------------------------------------- */

static int write_meta(struct writer *w, struct err *err)
{
	const struct queue_meta *m = &w->meta;
	const uint64_t v[] = { m->last_id,   m->last_seq, m->synced_seq,
			       m->clean_seq, m->ended_n,  m->suppress_seq };
	struct db_stmt *s = w->st[W_META];
	for (int k = 0; k < (int)ARRAY_LEN(v); k++)
		db_bind_int(s, k + 1, (int64_t)v[k]);
	return db_run(s, err);
}

int writer_tx(struct writer *w, tx_fn *work, void *arg, struct err *err)
{
	struct queue_meta before = w->meta;
	ASSERT(w->dropped.n == 0);
	int got = db_run(w->st[W_BEGIN], err);
	if (got < 0)
		return got;
	got = apply_orphans(w, err);
	if (got >= 0 && work != NULL)
		got = work(w, arg, err);
	if (got >= 0)
		got = causes_before_commit(w, err);
	if (got >= 0)
		got = connections_before_commit(w, err);
	if (got >= 0)
		got = write_meta(w, err);
	if (got >= 0)
		got = db_run(w->st[W_COMMIT], err);
	if (got < 0) {
		db_rollback(w->db);
		causes_rolled_back(&w->causes);
		connections_after(w, false);
		w->meta = before;
		w->dropped.n = 0;
		return got;
	}
	causes_committed(&w->causes);
	connections_after(w, true);
	w->stored = w->meta;
	w->orphans_n = 0;
	return 0;
}

/* --- room ------------------------------------------------------------------------------------- */

static uint64_t disk_free(const struct writer *w)
{
	struct statvfs st;
	if (statvfs(w->q->dir, &st) < 0)
		return UINT64_MAX; /* then writing tells */
	return (uint64_t)st.f_bavail * st.f_frsize;
}

/* A reserve is left, so that results and deletions can be recorded on a full disk: they are what
 * makes room. */
bool writer_room(struct writer *w, size_t need)
{
	uint64_t least = QUEUE_RESERVE_BYTES + (w->full ? QUEUE_RESERVE_BYTES / 2 : 0);
	return disk_free(w) >= least + 2 * (uint64_t)need;
}

static void set_full(struct writer *w, const struct err *err, int64_t again_ms)
{
	w->full_until_ms = again_ms;
	if (w->full)
		return;
	w->full = true;
	w->tidy_at_ms = 0; /* looks for room again and again from now on */
	queue_tell_disk(w->q, err);
}

static void look_for_room(struct writer *w)
{
	if (!w->full || loop_clock_mono_ms() < w->full_until_ms || !writer_room(w, 0))
		return;
	w->full = false;
	queue_tell_disk(w->q, NULL);
}

/* --- a batch ---------------------------------------------------------------------------------- */

static void refuse(struct items *from, const struct err *err, struct items *done)
{
	struct item *it;
	STAILQ_FOREACH (it, from, link) {
		if (it->err == NULL)
			it->err = xmalloc(sizeof(*it->err));
		*it->err = *err;
	}
	STAILQ_CONCAT(done, from);
}

static int append_contents(struct writer *w, struct items *accepts, struct err *err)
{
	AUTO_BUF envelope = BUF_INIT(ENVELOPE_BYTES_MAX);
	struct item *it;
	STAILQ_FOREACH (it, accepts, link) {
		struct item_accept *a = (struct item_accept *)it;
		buf_reset(&envelope);
		envelope_write(a->m, a->stream, &envelope);
		int got = segments_append(w->seg, a->m->id, buf_str(&envelope), a->m->content,
					  &a->at, err);
		if (got < 0)
			return got;
	}
	return 0;
}

static void take_back_contents(struct writer *w, struct items *accepts)
{
	struct item *it;
	STAILQ_FOREACH (it, accepts, link) {
		struct item_accept *a = (struct item_accept *)it;
		if (a->at.segment != 0)
			segment_drop(w->seg, &a->at);
		a->at.segment = 0;
	}
}

/* What was told before is not stored: it has a content, and no rows. */
static void refuse_again(struct writer *w, struct items *accepts)
{
	struct item *it;
	STAILQ_FOREACH (it, accepts, link) {
		struct item_accept *a = (struct item_accept *)it;
		if (!a->again)
			continue;
		segment_drop(w->seg, &a->at);
		a->at.segment = 0;
		it->err = xcalloc(1, sizeof(*it->err));
		(void)err_set(it->err, ERR_EXISTS, "it was told before");
	}
}

/* Contents that could not be synced, of rows that are committed: the rows go again. */
static void take_back_rows(struct writer *w, struct items *accepts)
{
	struct item *it;
	STAILQ_FOREACH (it, accepts, link) {
		const struct item_accept *a = (struct item_accept *)it;
		if (a->again)
			continue;
		w->orphans = xreallocarray(w->orphans, w->orphans_n + 1, sizeof(*w->orphans));
		w->orphans[w->orphans_n++] = (struct orphan){ .id = a->m->id, .seq = a->seq };
	}
	struct err err = ERR_INIT;
	if (writer_tx(w, NULL, NULL, &err) < 0)
		log_error(NULL, "queue.take-back", F_U64("messages", w->orphans_n),
			  F_STR("error", err.msg));
}

static int apply_list(struct writer *w, struct items *list, unsigned *ended, struct err *err)
{
	struct item *it;
	STAILQ_FOREACH (it, list, link) {
		int got = apply_item(w, it, err);
		if (got < 0)
			return got;
		if (it->kind == ITEM_RECORD)
			*ended += ((struct item_record *)it)->ended;
	}
	return 0;
}

static int apply_batch(struct writer *w, void *arg, struct err *err)
{
	struct batch *b = arg;
	unsigned ended = 0;
	bool more;
	if (b->last_id > w->meta.last_id)
		w->meta.last_id = b->last_id;
	int got = apply_list(w, &b->names, &ended, err);
	if (got >= 0)
		got = apply_list(w, &b->accepts, &ended, err);
	if (got >= 0)
		got = apply_list(w, &b->commits, &ended, err);
	if (got >= 0)
		got = apply_list(w, &b->records, &ended, err);
	/* retention keeps pace with what ends */
	return got < 0 || ended == 0 ? got : tidy_slice(w, 4 * ended, &more, err);
}

/* Commits the batch. What is done goes to `done`; on failure the batch is as it was. */
static int commit_batch(struct writer *w, struct batch *b, struct items *done, struct err *err)
{
	bool contents = !STAILQ_EMPTY(&b->accepts);
	struct err sync_err = ERR_INIT;
	int synced = 0;
	int got = append_contents(w, &b->accepts, err);
	if (got < 0) {
		take_back_contents(w, &b->accepts);
		return got;
	}
	if (contents)
		sync_start(w);
	got = writer_tx(w, apply_batch, b, err);
	if (contents)
		synced = sync_wait(w, &sync_err);
	if (got < 0) {
		take_back_contents(w, &b->accepts);
		return got;
	}
	drop_places(w);
	refuse_again(w, &b->accepts);
	if (synced < 0) {
		take_back_rows(w, &b->accepts);
		take_back_contents(w, &b->accepts);
		refuse(&b->accepts, &sync_err, done);
	} else {
		w->meta.synced_seq = w->meta.last_seq;
	}
	STAILQ_CONCAT(done, &b->names);
	STAILQ_CONCAT(done, &b->accepts);
	STAILQ_CONCAT(done, &b->commits);
	STAILQ_CONCAT(done, &b->records);
	return 0;
}

/* Each item by itself; what cannot be written because something is damaged, or because it breaks a
 * constraint, is given up. */
static void commit_singly(struct writer *w, struct batch *b, struct items *done)
{
	struct batch one = { .last_id = 0 };
	struct items *const from[] = { &b->names, &b->commits, &b->records };
	struct items *const to[] = { &one.names, &one.commits, &one.records };
	STAILQ_INIT(&one.accepts);
	for (size_t k = 0; k < ARRAY_LEN(from); k++) {
		struct item *it;
		while ((it = STAILQ_FIRST(from[k])) != NULL) {
			struct err err = ERR_INIT;
			STAILQ_INIT(&one.names);
			STAILQ_INIT(&one.commits);
			STAILQ_INIT(&one.records);
			STAILQ_REMOVE_HEAD(from[k], link);
			STAILQ_INSERT_TAIL(to[k], it, link);
			int got = commit_batch(w, &one, done, &err);
			if (got == -ERR_NOSPC || got == -ERR_IO) {
				STAILQ_REMOVE_HEAD(to[k], link);
				STAILQ_INSERT_HEAD(from[k], it, link);
				return;
			}
			if (got >= 0)
				continue;
			if (log_limited("queue.write"))
				log_error(NULL, "queue.write", F_I64("kind", it->kind),
					  F_STR("error", err.msg));
			refuse(to[k], &err, done);
		}
	}
}

static void put_back(struct queue *q, struct batch *b)
{
	(void)pthread_mutex_lock(&q->lock);
	struct item *it;
	STAILQ_FOREACH (it, &b->records, link)
		q->records_waiting++;
	STAILQ_CONCAT(&b->names, &q->waiting.names);
	STAILQ_CONCAT(&b->commits, &q->waiting.commits);
	STAILQ_CONCAT(&b->records, &q->waiting.records);
	STAILQ_CONCAT(&q->waiting.names, &b->names);
	STAILQ_CONCAT(&q->waiting.commits, &b->commits);
	STAILQ_CONCAT(&q->waiting.records, &b->records);
	(void)pthread_mutex_unlock(&q->lock);
}

static bool has_more(const struct batch *b)
{
	return !STAILQ_EMPTY(&b->names) || !STAILQ_EMPTY(&b->commits) || !STAILQ_EMPTY(&b->records);
}

static void refuse_without_room(struct writer *w, struct batch *b, struct items *done)
{
	size_t need = 0;
	const struct item *it;
	STAILQ_FOREACH (it, &b->accepts, link)
		need += ((const struct item_accept *)it)->m->content.n;
	if (STAILQ_EMPTY(&b->accepts) ||
	    (loop_clock_mono_ms() >= w->full_until_ms && writer_room(w, need)))
		return;
	struct err err = ERR_INIT;
	(void)err_set(&err, ERR_NOSPC, "the disk of %s is full", w->q->dir);
	set_full(w, &err, w->full_until_ms);
	refuse(&b->accepts, &err, done);
}

static void run_batch(struct writer *w, struct batch *b)
{
	struct items done = STAILQ_HEAD_INITIALIZER(done);
	struct err err = ERR_INIT;
	refuse_without_room(w, b, &done);
	bool accepts = !STAILQ_EMPTY(&b->accepts);
	w->retry_at_ms = 0;
	int got = accepts || has_more(b) ? commit_batch(w, b, &done, &err) : 0;
	if (got < 0 && accepts) {
		if (log_limited("queue.accept"))
			log_error(NULL, "queue.accept", F_STR("error", err.msg));
		if (got == -ERR_NOSPC)
			set_full(w, &err, loop_clock_mono_ms() + FULL_AGAIN_MS);
		refuse(&b->accepts, &err, &done);
		got = has_more(b) ? commit_batch(w, b, &done, &err) : 0;
	}
	if (got < 0 && got != -ERR_NOSPC && got != -ERR_IO) {
		commit_singly(w, b, &done);
	} else if (got < 0 && log_limited("queue.commit")) {
		log_error(NULL, "queue.commit", F_STR("error", err.msg));
	}
	if (has_more(b)) {
		put_back(w->q, b);
		w->retry_at_ms = loop_clock_mono_ms() + QUEUE_RETRY_MS;
	}
	if (got == -ERR_NOSPC)
		set_full(w, &err, loop_clock_mono_ms() + FULL_AGAIN_MS);
	queue_complete(w->q, &done);
	tidy_checkpoint(w, false);
}

/* --- the thread ------------------------------------------------------------------------------- */

/* Moves at most max items, and accepts up to the batch's bytes. */
static size_t move(struct items *from, struct items *to, size_t max)
{
	size_t n = 0, bytes = 0;
	struct item *it;
	while (n < max && bytes < QUEUE_BATCH_BYTES && (it = STAILQ_FIRST(from)) != NULL) {
		STAILQ_REMOVE_HEAD(from, link);
		STAILQ_INSERT_TAIL(to, it, link);
		n++;
		if (it->kind == ITEM_ACCEPT)
			bytes += ((struct item_accept *)it)->m->content.n;
	}
	return n;
}

/* Locked. */
static void take(struct queue *q, bool retry, struct batch *b)
{
	STAILQ_INIT(&b->names);
	STAILQ_INIT(&b->accepts);
	STAILQ_INIT(&b->commits);
	STAILQ_INIT(&b->records);
	b->last_id = q->waiting.last_id;
	STAILQ_CONCAT(&b->names, &q->waiting.names);
	if (!q->stopping) /* nobody would hear of it any more */
		(void)move(&q->waiting.accepts, &b->accepts, QUEUE_BATCH_ACCEPTS);
	if (!retry)
		return;
	STAILQ_CONCAT(&b->commits, &q->waiting.commits);
	q->records_waiting -= move(&q->waiting.records, &b->records, QUEUE_BATCH_RECORDS);
	q->records_since_ms = loop_clock_mono_ms();
}

static int64_t min_ms(int64_t a, int64_t b)
{
	return a < b ? a : b;
}

/* When there is something to do: a monotonic time, 0 for at once. Locked. */
static int64_t due_ms(const struct queue *q)
{
	const struct writer *w = &q->writer;
	if (q->stopping || !STAILQ_EMPTY(&q->waiting.accepts))
		return 0;
	int64_t due = min_ms(w->tidy_at_ms, audit_head_due(w));
	if (!STAILQ_EMPTY(&q->waiting.commits) || q->records_waiting >= QUEUE_BATCH_RECORDS / 2)
		due = min_ms(due, w->retry_at_ms);
	else if (q->records_waiting > 0)
		due = min_ms(due, q->records_since_ms + QUEUE_RECORD_DELAY_MS > w->retry_at_ms
					  ? q->records_since_ms + QUEUE_RECORD_DELAY_MS
					  : w->retry_at_ms);
	return due;
}

/* Waits until something is due; false: the end. Locked. */
static bool wait_for_work(struct queue *q)
{
	for (;;) {
		if (q->stopping && STAILQ_EMPTY(&q->waiting.commits) && q->records_waiting == 0)
			return false;
		int64_t due = q->loaded || q->stopping ? due_ms(q) : INT64_MAX;
		if (due <= loop_clock_mono_ms())
			return true;
		if (due == INT64_MAX) {
			(void)pthread_cond_wait(&q->work, &q->lock);
			continue;
		}
		struct timespec until = { .tv_sec = due / 1000, .tv_nsec = due % 1000 * 1000000 };
		(void)pthread_cond_timedwait(&q->work, &q->lock, &until);
	}
}

static void *writer_main(void *arg)
{
	struct queue *q = arg;
	struct writer *w = &q->writer;
	(void)pthread_mutex_lock(&q->lock);
	while (wait_for_work(q)) {
		struct batch b;
		bool stopping = q->stopping;
		take(q, stopping || loop_clock_mono_ms() >= w->retry_at_ms, &b);
		bool empty = STAILQ_EMPTY(&b.accepts) && !has_more(&b);
		(void)pthread_mutex_unlock(&q->lock);
		if (!empty)
			run_batch(w, &b);
		audit_head(w, false);
		look_for_room(w);
		bool busy = false;
		if (!stopping && loop_clock_mono_ms() >= w->tidy_at_ms) {
			(void)pthread_mutex_lock(&q->lock);
			busy = !STAILQ_EMPTY(&q->waiting.accepts);
			(void)pthread_mutex_unlock(&q->lock);
			if (!busy)
				tidy_idle(w);
		}
		(void)pthread_mutex_lock(&q->lock);
		if (stopping && w->retry_at_ms != 0) { /* as a kill would */
			log_error(NULL, "queue.lost", F_U64("results", q->records_waiting));
			break;
		}
	}
	(void)pthread_mutex_unlock(&q->lock);
	return NULL;
}

void queue_thread(pthread_t *t, void *(*fn)(void *), void *arg)
{
	sigset_t all, old;
	(void)sigfillset(&all);
	(void)pthread_sigmask(SIG_SETMASK, &all, &old);
	int rc = pthread_create(t, NULL, fn, arg);
	(void)pthread_sigmask(SIG_SETMASK, &old, NULL);
	if (rc != 0)
		BUG("no thread: %d", rc);
}

/* An empty database beside contents is a lost one: to go on would write over what is left. */
static int refuse_orphans(const struct writer *w, const char *db_path, const char *seg,
			  struct err *err)
{
	struct segments_figures f;
	segments_figures(w->seg, &f);
	if (f.bytes == 0)
		return 0;
	return err_set(
		err, ERR_CORRUPT,
		"%s is missing or empty, but %s has the contents of a queue; put the database "
		"back, or move %s away to begin with an empty queue",
		db_path, seg, seg);
}

int writer_open(struct queue *q, struct writer *w, struct err *err)
{
	bool fresh = false;
	w->q = q;
	causes_init(&w->causes);
	connections_init(&w->connections);
	(void)pthread_mutex_init(&w->sync_lock, NULL);
	(void)pthread_cond_init(&w->sync_cond, NULL);
	AUTO_FREE char *seg = xasprintf("%s/seg", q->dir);
	int got = db_open(q->db_path, DB_WRITE, &w->db, err);
	if (got >= 0)
		got = schema_new(w->db, &fresh, err);
	if (got >= 0)
		got = segments_open(seg, &w->seg, err);
	if (got >= 0 && fresh)
		got = refuse_orphans(w, q->db_path, seg, err);
	if (got >= 0)
		got = schema_open(w->db, err);
	if (got >= 0)
		got = schema_prepare(w, err);
	return got < 0 ? got : tidy_open(w, q->db_path, err);
}

void writer_start(struct writer *w)
{
	w->threads = true;
	w->tidy_at_ms = loop_clock_mono_ms() + QUEUE_TIDY_MS;
	tidy_start(w);
	queue_thread(&w->sync_thread, sync_main, w);
	queue_thread(&w->q->writer_thread, writer_main, w->q);
}

static void stop_threads(struct writer *w)
{
	struct queue *q = w->q;
	(void)pthread_mutex_lock(&q->lock);
	q->stopping = true;
	(void)pthread_cond_broadcast(&q->work);
	(void)pthread_mutex_unlock(&q->lock);
	(void)pthread_join(q->writer_thread, NULL);
	(void)pthread_mutex_lock(&w->sync_lock);
	w->sync = SYNC_STOP;
	(void)pthread_cond_broadcast(&w->sync_cond);
	(void)pthread_mutex_unlock(&w->sync_lock);
	(void)pthread_join(w->sync_thread, NULL);
	tidy_stop(w);
	struct err err = ERR_INIT;
	if (memcmp(&w->meta, &w->stored, sizeof(w->meta)) != 0 &&
	    writer_tx(w, NULL, NULL, &err) < 0)
		log_error(NULL, "queue.close", F_STR("error", err.msg));
	audit_head(w, true);
}

void writer_close(struct writer *w)
{
	if (w->threads)
		stop_threads(w);
	for (int k = 0; k < W__COUNT; k++)
		db_finalize(&w->st[k]);
	db_close(&w->check_db);
	db_close(&w->db);
	segments_close(&w->seg);
	causes_done(&w->causes);
	connections_done(&w->connections);
	buf_done(&w->squeezed);
	free(w->dropped.v);
	free(w->orphans);
	(void)pthread_mutex_destroy(&w->sync_lock);
	(void)pthread_cond_destroy(&w->sync_cond);
}
