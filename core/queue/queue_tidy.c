/*
 * Work of the writer that nobody waits for, in slices.
 *
 * Retention walks the feed from its old end (meta.clean_seq). An event that is too old is passed;
 * when it is the one with which its message ended, the message goes with everything of it. Events
 * of messages that are still queued, or ended later, stay behind the mark until then: attempts live
 * as long as their message. Events of no message go when they are passed.
 *
 * Compaction goes through the queued rows once and moves what lives in sparse segment files. The
 * new place is synced before the rows say so: there is no way to tell an unsynced move from damage.
 *
 * Checkpoints: beside the writer while the WAL is of moderate length, by the writer itself when it
 * has become long; one at a time.
 */
#include "queue/queue_int.h"

#include <stdlib.h>

#include "base/log.h"
#include "base/mem.h"
#include "base/obj.h"
#include "loop/loop.h"

#define FEED_SLICE 2048u
#define WALK_SLICE 4096u
#define MOVE_BYTES (1u << 20)
#define COMPACT_MS 60000
#define COMPACT_STUCK_MS 3600000 /* a pass moved nothing: what is left is damaged */

/* --- retention -------------------------------------------------------------------------------- */

struct feed_row {
	uint64_t seq;
	struct msgid id;
	int64_t at_ms;
};

static size_t read_feed(struct writer *w, struct feed_row *ret, size_t max, int *ret_rc,
			struct err *err)
{
	struct db_stmt *s = w->st[W_FEED];
	size_t n = 0;
	db_bind_int(s, 1, (int64_t)w->meta.clean_seq);
	db_bind_int(s, 2, (int64_t)max);
	while (n < max && (*ret_rc = db_step(s, err)) > 0) {
		struct rid rid = { (uint64_t)db_int(s, 1) };
		ret[n++] = (struct feed_row){ .seq = (uint64_t)db_int(s, 0),
					      .id = rid_msgid(rid),
					      .at_ms = db_int(s, 2) };
	}
	db_reset(s);
	return n;
}

static bool too_old(const struct writer *w, const struct feed_row *row, int64_t now_ms)
{
	return w->meta.ended_n > w->keep_max || row->at_ms < now_ms - w->keep_ms ||
	       w->meta.last_seq - w->meta.clean_seq > QUEUE_FEED_MAX;
}

static int pass_row(struct writer *w, const struct feed_row *row, struct err *err)
{
	struct db_stmt *s = w->st[W_ENDED_SEQ];
	db_bind_int(s, 1, (int64_t)row->id.v);
	int got = db_step(s, err);
	uint64_t ended = got > 0 ? (uint64_t)db_int(s, 0) : 0;
	uint64_t received = got > 0 ? (uint64_t)db_int(s, 1) : 0;
	db_reset(s);
	if (got >= 0 && row->id.v == 0) {
		db_bind_int(w->st[W_EVENT_GONE], 1, (int64_t)row->seq);
		got = db_run(w->st[W_EVENT_GONE], err);
	}
	if (got >= 0 && ended != 0 && ended == row->seq) {
		got = apply_forget(w, row->id, received, err);
		if (got >= 0 && w->meta.ended_n > 0)
			w->meta.ended_n--;
	}
	if (got >= 0)
		w->meta.clean_seq = row->seq;
	return got < 0 ? got : 0;
}

int tidy_slice(struct writer *w, unsigned limit, bool *ret_more, struct err *err)
{
	struct feed_row rows[FEED_SLICE];
	int64_t now = loop_clock_wall_ms();
	int got = 0;
	size_t max = limit < FEED_SLICE ? limit : FEED_SLICE;
	size_t n = read_feed(w, rows, max, &got, err);
	*ret_more = n == max;
	for (size_t k = 0; k < n && got >= 0; k++) {
		if (!too_old(w, &rows[k], now)) {
			*ret_more = false;
			break;
		}
		got = pass_row(w, &rows[k], err);
	}
	return got < 0 ? got : 0;
}

static int retention_tx(struct writer *w, void *arg, struct err *err)
{
	return tidy_slice(w, FEED_SLICE / 8, arg, err);
}

/* Whether the oldest event in the feed is past its time. */
static bool retention_due(struct writer *w)
{
	struct feed_row row;
	int rc = 0;
	return read_feed(w, &row, 1, &rc, NULL) == 1 && too_old(w, &row, loop_clock_wall_ms());
}

/* True when there is more of it. */
static bool tidy_store(struct writer *w)
{
	bool more = false;
	bool due = retention_due(w);
	struct err err = ERR_INIT;
	if (!due && memcmp(&w->meta, &w->stored, sizeof(w->meta)) == 0)
		return false;
	if (writer_tx(w, due ? retention_tx : NULL, &more, &err) < 0) {
		if (!w->full && log_limited("queue.tidy"))
			log_error(NULL, "queue.tidy", F_STR("error", err.msg));
		return false;
	}
	return more;
}

/* --- compaction ------------------------------------------------------------------------------- */

struct moved {
	struct msgid id;
	struct segment_place from;
	struct segment_place to;
};

struct moves {
	struct moved v[WALK_SLICE];
	size_t n;
	size_t bytes;
};

static int move_one(struct writer *w, struct msgid id, const struct segment_place *at,
		    struct moves *m)
{
	struct moved *x = &m->v[m->n];
	struct str envelope, content;
	AUTO_FREE void *frame = NULL;
	if (segments_read(w->seg, id, at, &frame, &envelope, &content, NULL) < 0)
		return 0; /* damaged: whoever reads it says so */
	int got = segments_append(w->seg, id, envelope, content, &x->to, NULL);
	if (got < 0)
		return got;
	x->id = id;
	x->from = *at;
	m->bytes += at->length;
	m->n++;
	return 0;
}

/* Copies what lives in sparse files among the next rows; true: the pass is over. */
static bool walk(struct writer *w, struct moves *m)
{
	struct db_stmt *s = w->st[W_WALK];
	struct msgid last = { 0 };
	size_t n = 0;
	int got;
	db_bind_int(s, 1, (int64_t)w->compact_rid);
	db_bind_int(s, 2, WALK_SLICE);
	while ((got = db_step(s, NULL)) > 0 && m->bytes < MOVE_BYTES) {
		struct rid rid = { (uint64_t)db_int(s, 0) };
		struct segment_place at = { .segment = (uint32_t)db_int(s, 1),
					    .offset = (uint64_t)db_int(s, 2),
					    .length = (uint32_t)db_int(s, 3) };
		if (!msgid_eq(rid_msgid(rid), last) && segment_sparse(w->seg, at.segment) &&
		    (!writer_room(w, at.length) || move_one(w, rid_msgid(rid), &at, m) < 0))
			break;
		last = rid_msgid(rid);
		w->compact_rid = rid.v;
		n++;
	}
	db_reset(s);
	return got < 0 || (got == 0 && n < WALK_SLICE);
}

static int moves_tx(struct writer *w, void *arg, struct err *err)
{
	const struct moves *m = arg;
	struct db_stmt *s = w->st[W_MOVE];
	int got = 0;
	for (size_t k = 0; k < m->n && got >= 0; k++) {
		const struct moved *x = &m->v[k];
		db_bind_int(s, 1, (int64_t)rid_of(x->id, 0).v);
		db_bind_int(s, 2, (int64_t)rid_of(x->id, RID_RCPT_MAX).v);
		db_bind_int(s, 3, x->to.segment);
		db_bind_int(s, 4, (int64_t)x->to.offset);
		db_bind_int(s, 5, x->to.length);
		got = db_run(s, err);
	}
	return got;
}

/* True when the pass goes on. */
static bool compact(struct writer *w)
{
	struct moves *m = xcalloc(1, sizeof(*m));
	struct err err = ERR_INIT;
	bool over = walk(w, m);
	int got = 0;
	if (m->n > 0) {
		segments_sync_begin(w->seg);
		got = segments_sync(w->seg, &err);
		if (got >= 0)
			got = writer_tx(w, moves_tx, m, &err);
		for (size_t k = 0; k < m->n; k++)
			segment_drop(w->seg, got < 0 ? &m->v[k].to : &m->v[k].from);
	}
	if (got < 0)
		log_error(NULL, "queue.compact", F_STR("error", err.msg));
	else
		w->compact_moved += (unsigned)m->n;
	free(m);
	return !over && got >= 0;
}

static bool tidy_segments(struct writer *w, int64_t now)
{
	if (!w->compacting) {
		if (now < w->compact_at_ms || w->full || !segments_sparse(w->seg))
			return false;
		w->compacting = true;
		w->compact_rid = 0;
		w->compact_moved = 0;
	}
	uint64_t from = w->compact_rid;
	w->compacting = compact(w) && w->compact_rid != from;
	if (!w->compacting)
		w->compact_at_ms = now + (w->compact_moved > 0 ? COMPACT_MS : COMPACT_STUCK_MS);
	return w->compacting;
}

void tidy_idle(struct writer *w)
{
	int64_t now = loop_clock_mono_ms();
	bool more = tidy_store(w);
	if (tidy_segments(w, now))
		more = true;
	w->tidy_at_ms = more ? now : now + (w->full ? QUEUE_RETRY_MS : QUEUE_TIDY_MS);
	tidy_checkpoint(w, true);
}

/* --- checkpoints ------------------------------------------------------------------------------ */

static void *check_main(void *arg)
{
	struct writer *w = arg;
	(void)pthread_mutex_lock(&w->ask_lock);
	for (;;) {
		while (!w->check_asked && !w->check_stop)
			(void)pthread_cond_wait(&w->ask_cond, &w->ask_lock);
		if (w->check_stop)
			break;
		w->check_asked = false;
		(void)pthread_mutex_unlock(&w->ask_lock);
		(void)pthread_mutex_lock(&w->check_lock);
		(void)db_checkpoint(w->check_db, false);
		(void)pthread_mutex_unlock(&w->check_lock);
		segments_reap(w->seg);
		(void)pthread_mutex_lock(&w->ask_lock);
	}
	(void)pthread_mutex_unlock(&w->ask_lock);
	return NULL;
}

static void ask(struct writer *w)
{
	(void)pthread_mutex_lock(&w->ask_lock);
	w->check_asked = true;
	(void)pthread_cond_signal(&w->ask_cond);
	(void)pthread_mutex_unlock(&w->ask_lock);
}

/* Once it is all copied and nobody reads it, the WAL begins anew with the next commit: that comes
 * about in a pause only. */
void tidy_checkpoint(struct writer *w, bool idle)
{
	unsigned pages = db_wal_pages(w->db);
	if (pages < w->check_pages)
		w->check_pages = 0; /* it began anew */
	if (pages - w->check_pages < (idle ? QUEUE_WAL_IDLE_PAGES : QUEUE_WAL_SOFT_PAGES)) {
		if (idle && segments_garbage(w->seg))
			ask(w);
		return;
	}
	w->check_pages = pages;
	if (pages >= QUEUE_WAL_HARD_PAGES) {
		(void)pthread_mutex_lock(&w->check_lock);
		(void)db_checkpoint(w->db, true);
		(void)pthread_mutex_unlock(&w->check_lock);
		return;
	}
	ask(w);
}

int tidy_open(struct writer *w, const char *db_path, struct err *err)
{
	(void)pthread_mutex_init(&w->check_lock, NULL);
	(void)pthread_mutex_init(&w->ask_lock, NULL);
	(void)pthread_cond_init(&w->ask_cond, NULL);
	return db_open(db_path, DB_READ, &w->check_db, err);
}

void tidy_start(struct writer *w)
{
	queue_thread(&w->check_thread, check_main, w);
}

void tidy_stop(struct writer *w)
{
	(void)pthread_mutex_lock(&w->ask_lock);
	w->check_stop = true;
	(void)pthread_cond_signal(&w->ask_cond);
	(void)pthread_mutex_unlock(&w->ask_lock);
	(void)pthread_join(w->check_thread, NULL);
	(void)pthread_mutex_destroy(&w->check_lock);
	(void)pthread_mutex_destroy(&w->ask_lock);
	(void)pthread_cond_destroy(&w->ask_cond);
}
