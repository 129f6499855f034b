/*
 * queue_int - what the files of the queue share.
 *
 *	queue.c		open and close, what is asked of the writer, and its answers
 *	queue_names.c	numbers of names
 *	queue_cache.c	message objects, and the cache of those just accepted
 *	queue_schema.c	tables, statements
 *	queue_load.c	what is read at start
 *	queue_writer.c	the writer thread: batches, group commit, a full disk
 *	queue_apply.c	one item of a batch inside the transaction
 *	queue_causes.c	causes of deferrals, interned and counted
 *	queue_talks.c	what was said in attempts: on its way, small, counted
 *	queue_tidy.c	retention, compaction, checkpoints
 *	queue_readers.c	the pool of readers and its jobs
 *	queue_read.c	messages, rows and actions
 *	queue_suppress.c the suppression list's rows
 *	queue_audit.c	the audit log: its chain, written
 *	queue_audit_read.c	and read: lists, verification
 *	queue_versions.c	versions of the configuration, read
 *	queue_filter.c	filters as SQL over these tables
 *	queue_scan.c	filtered lists: recipients, events
 *	queue_cause_read.c	causes: of what is queued, and of what happened
 *
 * Threads: the loop thread owns struct queue but what stands behind `lock`; the writer thread owns
 * struct writer and every item from its taking until the batch's completion is posted; a reader
 * thread owns one struct reader and its job.
 */
#ifndef QUEUE_QUEUE_INT_H
#define QUEUE_QUEUE_INT_H

#include <bsd/sys/tree.h>
#include <pthread.h>
#include <sys/queue.h>

#include "base/digest.h"
#include "filter/filter_sql.h"
#include "mail/reply_text.h"
#include "queue/queue.h"
#include "queue/segment.h"
#include "store/db.h"

/* RB_GENERATE for one file, without complaints about what of it is not used. */
#define QUEUE_UNUSED __attribute__((__unused__)) static
#define QUEUE_TREE(name, type, field, cmp)                                                         \
	RB_PROTOTYPE_INTERNAL(name, type, field, cmp, QUEUE_UNUSED)                                \
	RB_GENERATE_INTERNAL(name, type, field, cmp, QUEUE_UNUSED)

#define QUEUE_BATCH_ACCEPTS 256
#define QUEUE_BATCH_BYTES (4u << 20)
#define QUEUE_BATCH_RECORDS 1024
#define QUEUE_RECORD_DELAY_MS 30
#define QUEUE_RETRY_MS 500 /* after a failed commit */
#define QUEUE_TIDY_MS 1000 /* idle work: slices until nothing is left, then this pause */
#define QUEUE_RESERVE_BYTES (8u << 20) /* accepting ends when less is free */
#define QUEUE_CAUSES_MAX 50000u
#define QUEUE_NAMES_SWEEP 200000u /* names above which unused ones are dropped at start */
#define QUEUE_NAME_MAX 255
#define QUEUE_DAMAGED_MAX 10000u
#define QUEUE_COMPLETION_SLICE 64
#define QUEUE_WAL_IDLE_PAGES 256u   /* 1 MiB: in a pause */
#define QUEUE_WAL_SOFT_PAGES 4096u  /* 16 MiB: a checkpoint beside the writer */
#define QUEUE_WAL_HARD_PAGES 32768u /* 128 MiB: one that stops it */
#define QUEUE_READ_MS 5000	    /* a read's deadline */
#define QUEUE_SLOW_MAX 64	    /* lists that wait for their turn */

/* --- items: what the loop thread asks of the writer ------------------------------------------- */

enum item_kind {
	ITEM_ACCEPT,
	ITEM_NAME,
	ITEM_CONNECTION,
	ITEM_RECORD,
	ITEM_NEXT,
	ITEM_LATE,
	ITEM_COMMIT,
	ITEM_STATE,
	ITEM_AUDIT,
	ITEM_SUPPRESS
};

struct item {
	STAILQ_ENTRY(item) link;
	enum item_kind kind;
	struct err *err; /* owned; NULL: it is on disk */
	queue_done_fn *done;
	void *arg;
};
STAILQ_HEAD(items, item);

struct item_accept {
	struct item i;
	const struct message *m; /* a reference */
	struct str stream;
	struct segment_place at;
	uint64_t seq;
	struct rid tells;
	int64_t tells_until_ms;
	bool again; /* found by the writer: somebody was told before */
};

struct item_name {
	struct item i;
	uint32_t id;
	struct str text; /* borrows from the names */
};

enum attempt_text { AT_ENHANCED, AT_REPLY, AT_HOST, AT_IP, AT_SOURCE, AT_TLS, AT__COUNT };

/* A result without the empty part of its arrays: a million of them may wait. */
struct item_record {
	struct item i;
	struct rid rid;
	int64_t next_ms;
	int64_t expires_ms;
	int64_t at_ms;
	enum outcome outcome;
	uint32_t duration_ms;
	uint16_t attempts;
	uint16_t code;
	uint8_t reply_class;
	uint8_t phase;
	/* found by the writer: */
	bool known;
	bool ended; /* the message's last one */
	uint32_t domain;
	uint32_t stream;
	uint64_t seq;
	char *from; /* one block with `to` */
	char *to;
	uint64_t connection;
	struct talk *talk; /* owned; NULL without */
	uint16_t text_n[AT__COUNT];
	char text[]; /* in the order of enum attempt_text, not terminated */
};
struct str record_text(const struct item_record *r, enum attempt_text which);
struct item_record *record_new(const struct queue_result *r);

/* A result that came by mail (queue_late.c). */
struct item_late {
	struct item i;
	struct item_record *r; /* owned */
	queue_late_fn *done;
	int64_t until_ms;
	bool again; /* found by the writer: it was recorded before */
};
void late_free(struct item_late *l); /* what it owns */

struct item_connection {
	struct item i;
	struct connection *c; /* owned, until the writer takes it */
};

struct item_next {
	struct item i;
	struct rid rid;
	int64_t next_ms;
	int64_t expires_ms;
};

/* Events without an attempt (queue_notes.c). */
enum note_text {
	NOTE_ADDRESS,
	NOTE_REPLY,
	NOTE_REASON,
	NOTE_BY,
	NOTE_SOURCE,
	NOTE_MESSAGE,
	NOTE_ENHANCED,
	NOTE__COUNT
};
struct note {
	uint64_t seq; /* given by the writer */
	int64_t at_ms;
	enum outcome outcome;
	uint32_t domain;
	uint32_t stream;
	uint16_t code;
	uint8_t reply_class;
	char *texts[NOTE__COUNT];
};
struct notes {
	struct note *v;
	size_t n;
};

/* Texts stand in blocks, so that more can come without moving them. */
struct queue_batch {
	struct queue_object *v;
	size_t n;
	size_t cap;
	SLIST_HEAD(, text_block) blocks;
};

struct item_commit {
	struct item i;
	bool has_action;
	struct queue_action action; /* texts in `block`, but those that were taken */
	struct queue_batch *batch;
	struct rid *rids;
	char *taken[3]; /* undo, changes, edited */
	char *block;
	struct notes notes;
};

struct item_state {
	struct item i;
	uint64_t id;
	bool drop_rids;
	bool has_undo;
	char *state;
	char *undo;
};

struct item_audit {
	struct item i;
	struct audit_record r; /* texts in `block` */
	char *block;
};

struct item_suppress {
	struct item i;
	struct queue_suppress *rows; /* texts in `block` */
	size_t n;
	uint64_t seen;
	char *block;
	struct notes notes;
};

void item_free(struct item *it);
/* Wakes the writer for it. */
void queue_post_commit(struct queue *q, struct item *it);
void queue_post_record(struct queue *q, struct item *it); /* behind the results before it */

/* A batch's answer on its way to the loop. */
struct completion {
	struct queue *queue; /* NULL: closed meanwhile */
	struct items items;
	LIST_ENTRY(completion) link;
};

/* --- names and messages ----------------------------------------------------------------------- */

struct names {
	struct str *v; /* by id; [0] is not used */
	uint32_t n;    /* the highest id */
	uint32_t cap;
	uint32_t *slots; /* ids by hash, 0: free */
	uint32_t slots_n;
	uint32_t used;
};
void names_done(struct names *ns);
void names_load(struct names *ns, uint32_t id, struct str text);

struct cache_entry;
RB_HEAD(cache_tree, cache_entry);
TAILQ_HEAD(cache_list, cache_entry);
struct cache {
	struct cache_tree tree;
	struct cache_list order; /* last used first */
	size_t bytes;
	size_t limit;
};
void cache_init(struct cache *c, size_t limit);
void cache_done(struct cache *c);
void cache_put(struct cache *c, const struct message *m);
const struct message *cache_get(struct cache *c, struct msgid id); /* a new reference */
void cache_drop(struct cache *c, struct msgid id);

/* --- the writer ------------------------------------------------------------------------------- */

enum writer_stmt {
#define STMT(id, sql) W_##id,
#include "queue/queue_stmts.def"
#undef STMT
	W__COUNT
};

/* The row that is written with every commit. */
struct queue_meta {
	uint64_t last_id;
	uint64_t last_seq;
	uint64_t synced_seq;   /* contents of messages up to here were synced */
	uint64_t clean_seq;    /* retention is done up to here */
	uint64_t ended_n;      /* finished messages kept */
	uint64_t suppress_seq; /* up to here, suppressions that follow from events are made */
	/* the audit log's last link, which is stored there and not in the row */
	uint64_t audit_seq;
	uint8_t audit_hash[DIGEST_LEN];
};

/* What was said, in the loop thread until its attempt is recorded. */
struct talk {
	RB_ENTRY(talk) node;
	TAILQ_ENTRY(talk) order;
	struct rid rid;
	size_t n;
	char bytes[];
};
TAILQ_HEAD(talk_list, talk);
RB_HEAD(talk_tree, talk);
struct talks {
	struct talk_tree tree;
	struct talk_list order; /* the oldest first */
	unsigned n;
};

/* Connections that this transaction refers to, more or less often than before, and those that wait
 * for somebody to refer to them. */
struct connection;
TAILQ_HEAD(connection_list, connection);
RB_HEAD(connection_tree, connection);
struct connections {
	struct connection_tree tree;
	struct connection_list waiting; /* the oldest first */
	struct connection_list touched;
	unsigned waiting_n;
};

struct cause;
TAILQ_HEAD(cause_list, cause);
RB_HEAD(cause_tree, cause);
struct causes {
	struct cause_tree tree;
	struct cause **by_id;
	uint32_t n; /* length of by_id */
	uint32_t count;
	uint32_t hint;		   /* no id below it is free */
	struct cause_list touched; /* in this transaction */
};

struct places {
	struct segment_place *v;
	size_t n;
	size_t cap;
};
void places_add(struct places *p, const struct segment_place *at);

struct orphan {
	struct msgid id;
	uint64_t seq;
};

struct writer {
	struct queue *q;
	struct db *db;
	struct db_stmt *st[W__COUNT];
	struct segments *seg;
	struct queue_meta meta;
	struct queue_meta stored;
	struct causes causes;
	struct connections connections;
	struct buf squeezed;
	struct places dropped;	/* contents that are free once the transaction is on disk */
	struct orphan *orphans; /* refused after all, and still in the database */
	size_t orphans_n;
	bool loaded;
	bool full;
	int64_t full_until_ms; /* monotonic: not open again before */
	int64_t retry_at_ms;   /* monotonic; 0: at once */
	int64_t tidy_at_ms;
	int64_t compact_at_ms;
	bool compacting;
	uint64_t compact_rid;
	unsigned compact_moved; /* in this pass */
	uint64_t head_seq;	/* in the audit log's file */
	int64_t head_at_ms;	/* monotonic: not written again before */
	int64_t keep_ms;
	uint64_t keep_max;
	/* the sync thread */
	pthread_t sync_thread;
	pthread_mutex_t sync_lock;
	pthread_cond_t sync_cond;
	enum { SYNC_IDLE, SYNC_ASKED, SYNC_RUNNING, SYNC_DONE, SYNC_STOP } sync;
	int sync_rc;
	struct err sync_err;
	/* the checkpoint thread */
	pthread_t check_thread;
	pthread_mutex_t check_lock; /* held over a checkpoint */
	pthread_mutex_t ask_lock;
	pthread_cond_t ask_cond;
	bool check_asked;
	bool check_stop;
	struct db *check_db;
	unsigned check_pages; /* WAL length at the last checkpoint */
	bool threads;
};

struct batch {
	struct items names, accepts, commits, records;
	uint64_t last_id;
};

/* queue_writer.c */
int writer_open(struct queue *q, struct writer *w, struct err *err) MUST_CHECK;
void writer_start(struct writer *w);
void writer_close(struct writer *w); /* writes what waits; joins the threads */
/* One transaction; `work` may be NULL when only the meta row is to be written. */
typedef int tx_fn(struct writer *w, void *arg, struct err *err);
int writer_tx(struct writer *w, tx_fn *work, void *arg, struct err *err) MUST_CHECK;
bool writer_room(struct writer *w, size_t need);
void queue_thread(pthread_t *t, void *(*fn)(void *), void *arg); /* with all signals blocked */

/* queue_apply.c */
int apply_item(struct writer *w, struct item *it, struct err *err) MUST_CHECK;
int late_apply(struct writer *w, struct item_late *l, struct err *err) MUST_CHECK;
/* Sets `again` of a message that tells what was told before, or notes that it is told now. */
int late_tell(struct writer *w, struct item_accept *a, struct err *err) MUST_CHECK;
/* said: the attempt, for what was said in it; NULL for other events. */
int insert_event(struct writer *w, const int64_t ints[10], const struct str texts[AT__COUNT],
		 const struct item_record *said, struct err *err) MUST_CHECK;
int apply_orphans(struct writer *w, struct err *err) MUST_CHECK;
int apply_forget(struct writer *w, struct msgid id, uint64_t received_seq,
		 struct err *err) MUST_CHECK;
/* Reads at most max rids of an action's set; returns how many. */
size_t rids_unpack(const void *p, size_t n, struct rid *ret, size_t max);
void envelope_write(const struct message *m, struct str stream, struct buf *out);

/* queue_suppress.c */
int suppress_apply(struct writer *w, struct item_suppress *s, struct err *err) MUST_CHECK;
/* An object of kind QUEUE_SUPPRESS. */
int suppress_apply_object(struct writer *w, const struct queue_object *o,
			  struct err *err) MUST_CHECK;

/* queue_notes.c: what is made of a change (appended), written with it, and told after it. */
void notes_of_commit(struct queue *q, const struct queue_action *a, const struct queue_object *o,
		     size_t n, struct notes *ret);
void notes_of_event(const struct queue_event *e, struct notes *ret);
void notes_of_rows(struct queue *q, const struct queue_suppress *rows, size_t n, struct notes *ret);
int notes_apply(struct writer *w, struct notes *ns, struct err *err) MUST_CHECK;
void notes_give(struct queue *q, const struct notes *ns);
void notes_free(struct notes *ns);

/* queue_causes.c */
void causes_init(struct causes *c);
void causes_done(struct causes *c);
void causes_load(struct causes *c, uint32_t id, uint16_t code, uint8_t reply_class,
		 struct str enhanced, struct str text);
void causes_count(struct causes *c, uint32_t id);
int cause_get(struct writer *w, uint16_t code, uint8_t reply_class, struct str enhanced,
	      struct str reply, int64_t at_ms, uint32_t *ret_id, struct err *err) MUST_CHECK;
void cause_ref(struct causes *c, uint32_t id, int by);
int causes_before_commit(struct writer *w, struct err *err) MUST_CHECK;
void causes_committed(struct causes *c);
void causes_rolled_back(struct causes *c);

/* queue_talks.c */
struct talk *talk_take(struct queue *q, struct rid rid); /* owned; NULL: there is none */
void talks_done(struct talks *t);
/* The row's form of it: marked, and deflated when it is long. In w->squeezed. */
struct str talk_squeeze(struct writer *w, struct str talk);
/* The other way round; false: damaged. */
bool talk_expand(struct str row, struct buf *out);
void connections_init(struct connections *c);
void connections_done(struct connections *c);
void connection_free(struct connection *c);
void connection_add(struct writer *w, struct connection *c_take);
void connection_ref(struct writer *w, uint64_t id, int by);
int connections_before_commit(struct writer *w, struct err *err) MUST_CHECK;
void connections_after(struct writer *w, bool committed);

/* queue_tidy.c */
int tidy_slice(struct writer *w, unsigned limit, bool *ret_more, struct err *err) MUST_CHECK;
void tidy_idle(struct writer *w); /* sets tidy_at_ms */
void tidy_checkpoint(struct writer *w, bool idle);
int tidy_open(struct writer *w, const char *db_path, struct err *err) MUST_CHECK;
void tidy_start(struct writer *w);
void tidy_stop(struct writer *w);

/* queue_audit.c */
void audit_hash(const struct audit_record *r, uint8_t ret[static DIGEST_LEN]);
/* The file's link: 1, or 0 when there is none that can be read. */
int audit_head_read(const char *dir, uint64_t *ret_seq, uint8_t ret_hash[static DIGEST_LEN]);
int audit_load(struct writer *w, struct err *err) MUST_CHECK;
/* The next record; seq, prev and hash of *r are not looked at. */
int audit_put(struct writer *w, const struct audit_record *r, struct err *err) MUST_CHECK;
/* Writes the file when it is due, or `now`. */
void audit_head(struct writer *w, bool now);
/* Loop thread: a record is on disk; lists need not wait any more. */
void audit_recorded(struct queue *q);
void audit_go_on(struct queue *q);
void audit_wait_done(struct queue *q);
int64_t audit_head_due(const struct writer *w); /* monotonic; INT64_MAX: nothing to write */
#define AUDIT_SELECT                                                                               \
	"seq, at_ms, uid, action, who, from_where, role, method, target, reason, result,"          \
	" changes, prev, hash"
/* From the columns of AUDIT_SELECT; texts borrow from the row. */
void audit_read(struct db_stmt *s, struct audit_record *ret);

/* queue_versions.c */
#define VERSION_SELECT                                                                             \
	"c.version, c.action, a.at_ms, a.who, a.from_where, a.role, a.method, a.target, a.reason," \
	" c.changes FROM config c JOIN actions a ON a.id = c.action"
/* From the columns of VERSION_SELECT; texts borrow from the row. */
void version_read(struct db_stmt *s, struct queue_version *ret);

/* queue_schema.c */
/* Whether there is nothing in it yet. Before schema_open(). */
int schema_new(struct db *d, bool *ret_new, struct err *err) MUST_CHECK;
int schema_open(struct db *d, struct err *err) MUST_CHECK;
int schema_prepare(struct writer *w, struct err *err) MUST_CHECK;

/* queue_load.c */
int load_meta(struct queue *q, struct err *err) MUST_CHECK;

/* --- readers ---------------------------------------------------------------------------------- */

enum reader_stmt {
#define READ_STMT(id, sql) R_##id,
#include "queue/queue_reads.def"
#undef READ_STMT
	R__COUNT
};

struct reader {
	struct db *db;
	struct db_stmt *st[R__COUNT]; /* prepared when first used */
	SLIST_ENTRY(reader) link;
};

struct read_job;
STAILQ_HEAD(read_jobs, read_job);

/* Outlives the queue while jobs are under way. */
struct readers {
	pthread_mutex_t lock;
	pthread_cond_t idle;
	char *path;
	char *relay;
	struct segments *seg;
	SLIST_HEAD(, reader) free;
	unsigned running;
	bool closed;
	/* loop thread: */
	unsigned refs;
	unsigned slow_running;
	unsigned waiting_n;
	struct read_jobs waiting;
};

typedef void read_fn(struct read_job *j);
/* The first member of every reader's job. */
struct read_job {
	struct readers *readers;
	struct queue *queue; /* loop thread, only while not closed */
	struct loop *loop;
	const char *name;
	bool slow; /* may go through a whole table: waits for its turn */
	STAILQ_ENTRY(read_job) link;
	struct reader *reader;
	int (*work)(struct read_job *j, struct err *err); /* reader thread */
	read_fn *answer;				  /* loop thread */
	read_fn *release;
	struct err err;
};
struct readers *readers_new(const char *path, const char *relay, struct segments *seg);
void readers_close(struct readers **rp);
void read_start(struct queue *q, const char *name, struct read_job *j);
void read_answer(struct queue *q, struct read_job *j); /* without work: it is all there */
static inline const struct err *read_err(const struct read_job *j)
{
	return j->err.code != 0 ? &j->err : NULL;
}
int reader_stmt(struct reader *r, enum reader_stmt which, struct db_stmt **ret,
		struct err *err) MUST_CHECK;

#define ACTION_SELECT                                                                              \
	"id, at_ms, undo_until_ms, rids_n, who, from_where, role, method, target, reason, "        \
	"request,"                                                                                 \
	" state, result, undo, wipe"
#define ACTION_COLUMNS 15
/* From the columns of ACTION_SELECT; texts borrow from the row. */
void action_read(struct db_stmt *s, struct queue_action *ret);

/* Texts of one answer. */
struct pool_chunk;
struct pool {
	struct pool_chunk *chunks;
};
struct str pool_dup(struct pool *p, struct str s);
void pool_done(struct pool *p);

/* Fills a row with texts in the pool: 1, or 0 when there is no such recipient. */
int read_entry(struct reader *r, struct rid rid, struct pool *texts, struct queue_entry *ret,
	       struct err *err) MUST_CHECK;

/* In SQL: a reply's text, normalised. */
#define QUEUE_SQL_NORMAL "weir_normal"

/* queue_filter.c */
enum list_kind { LIST_QUEUED, LIST_ENDED, LIST_EVENTS, LIST_CAUSES };
/* Appends "TABLES WHERE (FILTER)"; r, m, e are the recipient, its message and its last event. */
int list_sql(enum list_kind kind, const struct filter *f, const char *relay, int64_t now_ms,
	     struct buf *sql, struct filter_binds *binds, struct err *err) MUST_CHECK;
/* The finished statement with its parameters; binds must stay. */
int list_prepare(struct reader *r, const struct buf *sql, const struct filter_binds *binds,
		 struct db_stmt **ret_stmt, struct err *err) MUST_CHECK;

/* --- the queue -------------------------------------------------------------------------------- */

struct damage_node;
RB_HEAD(damage_tree, damage_node);

struct queue {
	struct loop *loop;
	struct queue_ops ops;
	void *arg;
	char *dir;
	char *db_path;
	/* loop thread */
	struct names names;
	struct cache cache;
	struct msgid last_id;
	uint64_t last_action;
	uint64_t last_connection;
	struct talks talks;
	uint64_t last_version;
	uint64_t opened_seq;		/* the last event of the runs before */
	size_t audit_n;			/* records not yet on disk */
	struct read_jobs audit_waiting; /* to see them */
	queue_event_fn *watch;
	void *watch_arg;
	size_t accept_bytes;
	size_t record_n;
	size_t commit_n;
	uint64_t suppress_seen;
	struct damage_tree damage;
	uint64_t damaged;
	char unreadable[160]; /* what could not be read at start */
	bool disk_full;
	LIST_HEAD(, completion) completions; /* behind lock */
	struct readers *readers;
	/* behind lock: */
	pthread_mutex_t lock;
	pthread_cond_t work;
	struct batch waiting;
	size_t records_waiting;
	int64_t records_since_ms; /* monotonic, of the oldest */
	bool stopping;
	bool loaded;
	/* of the writer thread */
	pthread_t writer_thread;
	struct writer writer;
};

/* Loop thread: content of a message was found damaged (logged once), and such a message is over. */
void queue_damage(struct queue *q, struct msgid id, const char *text);
void queue_damage_over(struct queue *q, struct msgid id);
void queue_damage_done(struct queue *q);
/* Writer thread: hands finished items back (empties the list). */
void queue_complete(struct queue *q, struct items *done);
/* Writer thread: the disk's state as the loop is to know it; err NULL: there is room. */
void queue_tell_disk(struct queue *q, const struct err *err);

#endif
