/*
 * What is read at start, in the loop thread, before the writer's thread runs.
 *
 * A damaged page of the database is told and gone around: recipients are read from the front up to
 * it, then from the back. What it held is lost to the queue, but not its contents: no segment file
 * is written over until somebody has looked.
 */
#include "queue/queue_int.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/log.h"
#include "base/mem.h"
#include "base/obj.h"

/* Steps a query over all its rows; fn reads the columns. */
typedef void row_fn(struct queue *q, struct db_stmt *s, void *arg);

static int each_in(struct queue *q, struct db *d, const char *sql, row_fn *fn, void *arg,
		   struct err *err)
{
	struct db_stmt *s = NULL;
	int got = db_prepare(d, sql, &s, err);
	if (got < 0)
		return got;
	while ((got = db_step(s, err)) > 0)
		fn(q, s, arg);
	db_finalize(&s);
	return got;
}

static int each(struct queue *q, const char *sql, row_fn *fn, void *arg, struct err *err)
{
	return each_in(q, q->writer.db, sql, fn, arg, err);
}

/* The same for what can be done without: damage is told, and that is all. */
static int each_if(struct queue *q, const char *what, const char *sql, row_fn *fn, void *arg,
		   struct err *err)
{
	struct err damage = ERR_INIT;
	int got = each(q, sql, fn, arg, &damage);
	if (got == -ERR_CORRUPT) {
		log_error(NULL, "queue.damaged", F_STR("what", what), F_STR("error", damage.msg));
		(void)snprintf(q->unreadable, sizeof(q->unreadable), "%s", what);
		return 0;
	}
	if (got < 0 && err != NULL)
		*err = damage;
	return got;
}

static void on_meta(struct queue *q, struct db_stmt *s, void *arg)
{
	(void)arg;
	q->writer.meta = (struct queue_meta){ .last_id = (uint64_t)db_int(s, 0),
					      .last_seq = (uint64_t)db_int(s, 1),
					      .synced_seq = (uint64_t)db_int(s, 2),
					      .clean_seq = (uint64_t)db_int(s, 3),
					      .ended_n = (uint64_t)db_int(s, 4),
					      .suppress_seq = (uint64_t)db_int(s, 5) };
	q->suppress_seen = q->writer.meta.suppress_seq;
	q->opened_seq = q->writer.meta.last_seq;
}

static void on_number(struct queue *q, struct db_stmt *s, void *arg)
{
	uint64_t *to = arg;
	(void)q;
	*to = (uint64_t)db_int(s, 0);
}

static void on_name(struct queue *q, struct db_stmt *s, void *arg)
{
	(void)arg;
	names_load(&q->names, (uint32_t)db_int(s, 0), db_text(s, 1));
}

static void on_cause(struct queue *q, struct db_stmt *s, void *arg)
{
	(void)arg;
	causes_load(&q->writer.causes, (uint32_t)db_int(s, 0), (uint16_t)db_int(s, 1),
		    (uint8_t)db_int(s, 2), db_text(s, 3), db_text(s, 4));
}

/* A message behind the synced mark. */
static void on_unsynced(struct queue *q, struct db_stmt *s, void *arg)
{
	struct writer *w = &q->writer;
	struct segment_place at = { .segment = (uint32_t)db_int(s, 2),
				    .offset = (uint64_t)db_int(s, 3),
				    .length = (uint32_t)db_int(s, 4) };
	struct orphan x = { .id = { (uint64_t)db_int(s, 0) }, .seq = (uint64_t)db_int(s, 1) };
	AUTO_FREE void *frame = NULL;
	struct str envelope, content;
	(void)arg;
	int got = segments_read(w->seg, x.id, &at, &frame, &envelope, &content, NULL);
	if (got != -ERR_CORRUPT && got != -ERR_UNKNOWN)
		return;
	w->orphans = xreallocarray(w->orphans, w->orphans_n + 1, sizeof(*w->orphans));
	w->orphans[w->orphans_n++] = x;
}

/* A kill between the two syncs leaves rows without contents: never acknowledged, so they go. */
static int drop_unsynced(struct queue *q, struct err *err)
{
	static const char sql[] = "SELECT m.id, e.seq, r.segment, r.offset, r.length FROM events e"
				  " JOIN messages m ON m.id = e.rid >> 13"
				  " JOIN rcpt r ON r.rid = (SELECT min(rid) FROM rcpt"
				  "  WHERE rid BETWEEN m.id << 13 AND m.id << 13 | 8191)"
				  " WHERE e.seq > (SELECT synced_seq FROM meta) AND e.outcome = 1";
	struct writer *w = &q->writer;
	int got = each_if(q, "the last messages that came in", sql, on_unsynced, NULL, err);
	if (got < 0)
		return got;
	if (w->orphans_n > 0)
		log_warn(NULL, "queue.recovered", F_U64("dropped", w->orphans_n),
			 F_STR("why", "not acknowledged: their contents were not on disk"));
	w->meta.synced_seq = w->meta.last_seq;
	got = w->orphans_n > 0 ? writer_tx(w, NULL, NULL, err) : 0;
	return got == -ERR_NOSPC ? 0 : got; /* with the next transaction, then */
}

static int sweep_names(struct queue *q, struct err *err)
{
	uint64_t n = 0;
	int got = each(q, "SELECT count(*) FROM names", on_number, &n, err);
	if (got < 0 || n <= QUEUE_NAMES_SWEEP)
		return got;
	return db_exec(q->writer.db,
		       "DELETE FROM names WHERE id NOT IN (SELECT domain FROM rcpt UNION"
		       " SELECT domain FROM done UNION SELECT domain FROM events UNION"
		       " SELECT stream FROM messages)",
		       err);
}

int load_meta(struct queue *q, struct err *err)
{
	uint64_t last = 0;
	int got = each(q,
		       "SELECT last_id, last_seq, synced_seq, clean_seq, ended_n, suppress_seq"
		       " FROM meta",
		       on_meta, NULL, err);
	q->writer.stored = q->writer.meta;
	if (got >= 0)
		got = sweep_names(q, err);
	if (got >= 0)
		got = each(q, "SELECT id, text FROM names", on_name, NULL, err);
	if (got >= 0)
		got = each_if(q, "causes", "SELECT id, code, class, enhanced, text FROM causes",
			      on_cause, NULL, err);
	if (got >= 0)
		got = each_if(q, "the last message", "SELECT max(id) FROM messages", on_number,
			      &last, err);
	if (got >= 0)
		got = each(q, "SELECT max(id) FROM actions", on_number, &q->last_action, err);
	if (got >= 0)
		got = each_if(q, "what was said on connections", "SELECT max(id) FROM connections",
			      on_number, &q->last_connection, err);
	if (got >= 0)
		got = each(q, "SELECT max(version) FROM config", on_number, &q->last_version, err);
	if (last > q->writer.meta.last_id)
		q->writer.meta.last_id = last;
	q->last_id = (struct msgid){ q->writer.meta.last_id };
	q->waiting.last_id = q->last_id.v;
	return got < 0 ? got : drop_unsynced(q, err);
}

/* --- recipients ------------------------------------------------------------------------------- */

struct load {
	void (*fn)(void *arg, const struct queue_row *row);
	void *arg;
	struct rid last;
	struct queue_row *back; /* rows from the back, to be given in their order */
	size_t back_n;
	size_t back_cap;
};

#define ROW_SELECT                                                                                 \
	"SELECT rid, domain, stream, attempts, code, class, cause, next_ms, expires_ms,"           \
	" segment, offset, length FROM rcpt"

static void read_row(struct queue *q, struct db_stmt *s, struct msgid last, struct queue_row *ret)
{
	*ret = (struct queue_row){ .rid = { (uint64_t)db_int(s, 0) },
				   .domain = (uint32_t)db_int(s, 1),
				   .stream = (uint32_t)db_int(s, 2),
				   .attempts = (uint16_t)db_int(s, 3),
				   .code = (uint16_t)db_int(s, 4),
				   .reply_class = (uint8_t)db_int(s, 5),
				   .next_ms = db_int(s, 7),
				   .expires_ms = db_int(s, 8) };
	int64_t cause = db_int(s, 6);
	if (cause != 0)
		causes_count(&q->writer.causes, (uint32_t)cause);
	if (msgid_eq(rid_msgid(ret->rid), last))
		return;
	struct segment_place at = { .segment = (uint32_t)db_int(s, 9),
				    .offset = (uint64_t)db_int(s, 10),
				    .length = (uint32_t)db_int(s, 11) };
	segment_keep(q->writer.seg, &at);
}

static void on_rcpt(struct queue *q, struct db_stmt *s, void *arg)
{
	struct load *l = arg;
	struct queue_row row;
	read_row(q, s, rid_msgid(l->last), &row);
	l->last = row.rid;
	l->fn(l->arg, &row);
}

static void on_rcpt_back(struct queue *q, struct db_stmt *s, void *arg)
{
	struct load *l = arg;
	if (l->back_n == l->back_cap) {
		l->back_cap = l->back_cap == 0 ? 1024 : 2 * l->back_cap;
		l->back = xreallocarray(l->back, l->back_cap, sizeof(*l->back));
	}
	struct msgid last = { l->back_n > 0 ? rid_msgid(l->back[l->back_n - 1].rid).v : 0 };
	read_row(q, s, last, &l->back[l->back_n++]);
}

/* The scan met a damaged page: whatever can be read behind it. */
static int load_behind(struct queue *q, struct db *d, struct load *l, const struct err *damage,
		       struct err *err)
{
	char from[RID_TEXT_LEN] = "the first", to[RID_TEXT_LEN] = "the last";
	AUTO_FREE char *sql = xasprintf(ROW_SELECT " WHERE rid > %llu ORDER BY rid DESC",
					(unsigned long long)l->last.v);
	int got = each_in(q, d, sql, on_rcpt_back, l, err);
	if (got < 0 && got != -ERR_CORRUPT)
		return got;
	if (l->last.v != 0)
		rid_text(l->last, from);
	if (l->back_n > 0)
		rid_text(l->back[l->back_n - 1].rid, to);
	log_error(NULL, "queue.damaged", F_STR("what", "recipients cannot be read"),
		  F_STR("after", from), F_STR("before", to), F_STR("error", damage->msg));
	(void)snprintf(q->unreadable, sizeof(q->unreadable),
		       "recipients between %s and %s; their contents are kept", from, to);
	for (size_t k = l->back_n; k > 0; k--)
		l->fn(l->arg, &l->back[k - 1]);
	segments_pin(q->writer.seg);
	return 0;
}

/* On a connection of its own, whose cache goes with it. */
static int load_rows(struct queue *q, struct load *l, struct err *err)
{
	struct db *d = NULL;
	struct err damage = ERR_INIT;
	int got = db_open(q->db_path, DB_READ, &d, err);
	if (got < 0)
		return got;
	got = each_in(q, d, ROW_SELECT " ORDER BY rid", on_rcpt, l, &damage);
	if (got == -ERR_CORRUPT)
		got = load_behind(q, d, l, &damage, err);
	else if (got < 0 && err != NULL)
		*err = damage;
	db_close(&d);
	return got;
}

int queue_load(struct queue *q, void (*fn)(void *arg, const struct queue_row *row), void *arg,
	       struct err *err)
{
	struct load l = { .fn = fn, .arg = arg };
	ASSERT(!q->loaded);
	int got = load_rows(q, &l, err);
	free(l.back);
	if (got < 0)
		return got;
	segments_ready(q->writer.seg);
	(void)pthread_mutex_lock(&q->lock);
	q->loaded = true;
	(void)pthread_cond_signal(&q->work);
	(void)pthread_mutex_unlock(&q->lock);
	return 0;
}

/* --- objects and actions ---------------------------------------------------------------------- */

/* On a connection of its own: the writer may run already. Binds `text` or else `number`. */
static int each_of(struct queue *q, const char *sql, const char *text, int64_t number,
		   void (*fn)(struct db_stmt *s, void *arg), void *arg, struct err *err)
{
	struct db *d = NULL;
	struct db_stmt *s = NULL;
	int got = db_open(q->db_path, DB_READ, &d, err);
	if (got >= 0)
		got = db_prepare(d, sql, &s, err);
	if (got >= 0) {
		if (text != NULL)
			db_bind_text(s, 1, str_of(text));
		else
			db_bind_int(s, 1, number);
		while ((got = db_step(s, err)) > 0)
			fn(s, arg);
	}
	db_finalize(&s);
	db_close(&d);
	return got;
}

struct load_objects {
	const char *kind;
	void (*fn)(void *arg, const struct queue_object *o);
	void *arg;
};

static void on_object(struct db_stmt *s, void *arg)
{
	const struct load_objects *l = arg;
	struct queue_object o = { .kind = l->kind, .id = db_text(s, 0).p, .json = db_text(s, 1).p };
	l->fn(l->arg, &o);
}

int queue_load_objects(struct queue *q, const char *kind,
		       void (*fn)(void *arg, const struct queue_object *o), void *arg,
		       struct err *err)
{
	struct load_objects l = { .kind = kind, .fn = fn, .arg = arg };
	return each_of(q, "SELECT id, json FROM objects WHERE kind=?1 ORDER BY id", kind, 0,
		       on_object, &l, err);
}

struct load_actions {
	void (*fn)(void *arg, const struct queue_action *a);
	void *arg;
};

static void on_action(struct db_stmt *s, void *arg)
{
	const struct load_actions *l = arg;
	struct queue_action a;
	size_t n = 0;
	action_read(s, &a);
	const void *p = db_blob(s, ACTION_COLUMNS, &n);
	AUTO_FREE struct rid *rids = NULL;
	if (p != NULL && a.rids_n <= n) { /* a byte each, at least */
		rids = xcalloc(a.rids_n + 1, sizeof(*rids));
		a.rids_n = rids_unpack(p, n, rids, a.rids_n);
		a.rids = rids;
	}
	l->fn(l->arg, &a);
}

int queue_load_actions(struct queue *q, int64_t since_ms,
		       void (*fn)(void *arg, const struct queue_action *a), void *arg,
		       struct err *err)
{
	struct load_actions l = { .fn = fn, .arg = arg };
	return each_of(q,
		       "SELECT " ACTION_SELECT ", rids FROM actions"
		       " WHERE at_ms >= ?1 OR rids IS NOT NULL OR wipe <> 0 ORDER BY id",
		       NULL, since_ms, on_action, &l, err);
}

struct load_versions {
	void (*fn)(void *arg, const struct queue_version *v);
	void *arg;
};

static void on_version(struct db_stmt *s, void *arg)
{
	const struct load_versions *l = arg;
	struct queue_version v;
	version_read(s, &v);
	l->fn(l->arg, &v);
}

int queue_load_versions(struct queue *q, uint64_t above,
			void (*fn)(void *arg, const struct queue_version *v), void *arg,
			struct err *err)
{
	struct load_versions l = { .fn = fn, .arg = arg };
	return each_of(q, "SELECT " VERSION_SELECT " WHERE c.version > ?1 ORDER BY c.version", NULL,
		       (int64_t)above, on_version, &l, err);
}

struct load_sent {
	queue_sent_fn *fn;
	void *arg;
};

static void on_sent(struct db_stmt *s, void *arg)
{
	const struct load_sent *l = arg;
	l->fn(l->arg, db_text(s, 0), db_int(s, 1));
}

int queue_load_sent(struct queue *q, int64_t since_ms, queue_sent_fn *fn, void *arg,
		    struct err *err)
{
	struct load_sent l = { .fn = fn, .arg = arg };
	struct msgid after = msgid_next((struct msgid){ 0 }, since_ms);
	return each_of(q,
		       "SELECT credential, received_ms FROM messages"
		       " WHERE id >= ?1 AND credential <> ''",
		       NULL, (int64_t)after.v, on_sent, &l, err);
}
