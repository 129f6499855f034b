/*
 * queue - messages and recipients on disk: the durable half of the queue. What is tried next, and
 * what a recipient's state is this moment, is the scheduler's (core/sched).
 *
 * Model:   SQLite holds what is queried, segment files hold the bodies; one writer thread commits
 *          in groups. Whatever changes is posted to the writer and reported back in the loop
 *          thread; reads run on a pool of reader threads with connections of their own.
 *          A recipient row is queued (stored outcome NONE or DEFERRED) or finished; states such as
 *          ready, active, held and trash are not stored, they follow from the scheduler, the holds
 *          and the actions. Names (recipient domains, streams) are interned: small numbers for the
 *          records in memory.
 * Owner:   callers own what they pass unless a parameter says take. A struct message is shared and
 *          immutable: message_ref(), message_unref() (loop thread).
 * Context: loop thread only, but queue_open() and queue_load(), which block and are called before
 *          the loop runs. Every callback comes once, in the loop thread, never from inside the call
 *          that asked; after queue_close() none comes.
 * Errors:  ERR_NOSPC (disk full: nothing was stored), ERR_IO, ERR_CORRUPT (what is damaged is in
 *          the text; the rest goes on), ERR_TIMEOUT (a read took longer than 5 s), ERR_LIMIT (too
 *          many lists wait for their turn), ERR_INVALID (a filter on what is not known here).
 * Limits:  below.
 */
#ifndef QUEUE_QUEUE_H
#define QUEUE_QUEUE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/str.h"
#include "filter/filter.h"
#include "mail/address.h"
#include "mail/msgid.h"
#include "mail/smtp_cmd.h"
#include "queue/attempt.h"
#include "queue/audit.h"
#include "queue/versions.h"

#define QUEUE_RCPT_MAX RID_RCPT_MAX
#define QUEUE_PAGE_MAX 1000
#define QUEUE_SCAN_MAX 65536 /* recipient ids of one queue_scan() answer */

struct loop;
struct queue;

struct queue_config {
	const char *dir;	    /* exists; queue.db and seg/ are made in it */
	size_t cache_bytes;	    /* of message bodies kept for delivery; 64 MiB when 0 */
	int64_t keep_finished_ms;   /* finished messages stay readable so long */
	uint64_t keep_finished_max; /* and at most so many */
	const char *relay;	    /* host name, for the field `relay` of filters */
};

struct queue_ops {
	/* The disk got full (err set) or has room again (err NULL): pause and resume intake. */
	void (*on_disk)(void *arg, const struct err *err);
};

int queue_open(struct loop *l, const struct queue_config *cfg, const struct queue_ops *ops,
	       void *arg, struct queue **ret_queue, struct err *err) MUST_CHECK;
/* Writes what is under way, then closes. Blocks: for the end of the process. */
void queue_close(struct queue **qp);

/* --- names ------------------------------------------------------------------------------------ */

/* The number of a name (stored in lower case), from 1; a new one is stored with the next commit. */
uint32_t queue_name(struct queue *q, struct str name);
uint32_t queue_name_find(const struct queue *q, struct str name); /* 0 when it is not known */
struct str queue_name_text(const struct queue *q, uint32_t id);	  /* borrows; stays valid */

/* --- at start --------------------------------------------------------------------------------- */

/* One queued recipient, for the scheduler's record. */
struct queue_row {
	struct rid rid;
	uint32_t domain; /* names */
	uint32_t stream;
	int64_t next_ms;    /* wall clock; 0: at once */
	int64_t expires_ms; /* wall clock: end of its lifetime */
	uint16_t attempts;
	uint16_t code;	     /* of the last reply, 0 without */
	uint8_t reply_class; /* of the last reply */
};
/* Every queued recipient in the order of rid; fn returns nothing and must not call the queue. */
int queue_load(struct queue *q, void (*fn)(void *arg, const struct queue_row *row), void *arg,
	       struct err *err) MUST_CHECK;

/* --- messages --------------------------------------------------------------------------------- */

struct message_rcpt {
	unsigned n; /* of the rid, from 1 */
	uint32_t domain;
	struct str address; /* as text, canonical */
	unsigned notify;    /* SMTP_NOTIFY_…; 0: not said */
	struct str orcpt;   /* addr-type;xtext as it came, or empty */
};

/* One message, its envelope and (when it was asked for) its content. */
struct message {
	struct msgid id;
	int64_t received_ms;
	int64_t expires_ms;
	struct str sender; /* empty: the null sender */
	struct str client; /* address text, empty for messages of our own */
	struct str helo;
	struct str msgid_header;
	struct str subject;    /* decoded, clean UTF-8, at most 256 bytes */
	struct str credential; /* empty without */
	uint32_t stream;
	bool eight_bit; /* BODY=8BITMIME */
	bool smtputf8;	/* addresses or header fields are not ASCII */
	enum smtp_ret ret;
	struct str envid;   /* xtext as it came, or empty */
	size_t size;	    /* of the content */
	struct str content; /* CRLF line ends, as it is to be sent; p NULL when not loaded */
	const struct message_rcpt *rcpts; /* in the order of n; all of them */
	unsigned rcpts_n;
};
/* A copy of everything but the content, which is m->content inside `owned` (taken); one reference.
 * Any thread. */
const struct message *message_new(const struct message *m, void *owned);
void message_ref(const struct message *m);
void message_unref(const struct message **mp);

/*
 * A message to be stored. queue_accept() copies everything but the content, which it takes
 * (malloc'ed); rcpts[i] gets n = i + 1.
 */
struct queue_new {
	struct message m; /* content set; rcpts with domain and address */
	void *content_take;
	/* The recipient of whose bounce by mail it tells, if it does: until tells_until_ms no other
	 * one is stored, also when this one is over and forgotten; done() has ERR_EXISTS then. */
	struct rid tells; /* v 0: none */
	int64_t tells_until_ms;
};
struct msgid queue_new_id(struct queue *q); /* never given before, also across restarts */
typedef void queue_done_fn(void *arg, const struct err *err); /* err NULL: done and on disk */
/* Stores it durably (content and rows fsync'ed), then calls done. */
void queue_accept(struct queue *q, const struct queue_new *n, queue_done_fn *done, void *arg);
/* Bytes of messages posted and not yet stored: for the intake's memory budget. */
size_t queue_accept_backlog(const struct queue *q);

/*
 * Reads a message, with its content or only the envelope. From the cache it may be at hand:
 * message_cached() returns a new reference or NULL without asking the disk. ERR_UNKNOWN when there
 * is none, ERR_CORRUPT when its content is damaged. When a content was asked for that is not needed
 * any more, because every recipient is finished, that is ERR_UNKNOWN with the message: in both
 * cases m is given without content.
 */
typedef void queue_message_fn(void *arg, const struct message *m_take, const struct err *err);
const struct message *queue_message_cached(struct queue *q, struct msgid id);
void queue_message_read(struct queue *q, struct msgid id, bool content, queue_message_fn *fn,
			void *arg);

/* --- results ---------------------------------------------------------------------------------- */

/*
 * Records an attempt and, for a deferral, when it is tried next. Copied; on disk with one of the
 * next commits, within 50 ms (a kill before that repeats a delivery, never loses one). When the
 * last recipient of a message is finished its content may be overwritten. A result of a recipient
 * that is finished already changes nothing. Results, times and states of actions reach the disk in
 * the order in which they were posted.
 */
struct queue_result {
	struct rid rid;
	struct attempt attempt; /* outcome DEFERRED, DELIVERED, FAILED, EXPIRED or DELETED */
	int64_t next_ms;
	int64_t expires_ms; /* 0: as it was */
	uint16_t attempts;  /* made so far, with this one */
};
void queue_record(struct queue *q, const struct queue_result *r);
/*
 * What was said (mail/talk.h), packed; copied. A connection's part is posted before the attempts
 * that have its number, and kept as long as one of them is; nobody refers to it for a while: it is
 * forgotten. A transaction's part goes with the attempt that is recorded next for the recipient;
 * one that never comes costs QUEUE_TALKS_MAX places at most.
 */
#define QUEUE_TALKS_MAX 4096u
uint64_t queue_connection(struct queue *q, struct str talk);
void queue_talk(struct queue *q, struct rid rid, struct str talk);
/* New times for recipients, without an attempt. */
void queue_record_next(struct queue *q, struct rid rid, int64_t next_ms, int64_t expires_ms);
size_t queue_record_backlog(const struct queue *q); /* results not yet on disk */
/*
 * What came back by mail: outcome BOUNCED ends what was delivered as that, COMPLAINED leaves it as
 * it was; a recipient that is still queued goes on. Copied; `again` of a recipient of which the
 * same is recorded already, until until_ms: then nothing is. Of a recipient that is forgotten the
 * row is made anew, with `to`, `domain` and `stream`, and kept as others are.
 */
struct queue_late {
	struct rid rid;
	struct attempt attempt;
	int64_t until_ms;
	struct str to;
	uint32_t domain;
	uint32_t stream;
};
typedef void queue_late_fn(void *arg, bool again, const struct err *err);
void queue_late(struct queue *q, const struct queue_late *l, queue_late_fn *done, void *arg);
/*
 * The feed as it is written: called for every event, in order of seq, for live subscribers.
 * SUPPRESSED, UNSUPPRESSED and REFUSED belong to no message: rid is 0, `to` the address or domain
 * (empty for an import), stream the one that it is about (0: all), and of the attempt reply is the
 * evidence, host the reason, ip who did it (of REFUSED: whose mail it was), source where the entry
 * is from, tls the message whose outcome it was.
 */
struct queue_event {
	uint64_t seq;
	struct rid rid; /* n 0 for RECEIVED */
	struct attempt attempt;
	struct str from; /* borrowed for the call; empty texts when unknown */
	struct str to;
	uint32_t domain;
	uint32_t stream;
	/* Of queue_events() with `talks`, as they were posted; empty when nothing is kept. */
	struct str connection;
	struct str talk;
};
/* The number of the last event before it was opened: those of this run have higher ones. */
uint64_t queue_opened_seq(const struct queue *q);
typedef void queue_event_fn(void *arg, const struct queue_event *e);
void queue_watch(struct queue *q, queue_event_fn *fn, void *arg);
/* Writes such an event, by itself; seq is given. Copied. */
void queue_note(struct queue *q, const struct queue_event *e);

/* --- lists ------------------------------------------------------------------------------------ */

/* One recipient as stored; the scheduler's state is laid over it by the caller. */
struct queue_entry {
	struct rid rid;
	enum outcome outcome; /* NONE or DEFERRED: queued; otherwise how it ended */
	int64_t received_ms;
	int64_t next_ms;
	size_t size;
	uint16_t attempts;
	uint32_t domain;
	uint32_t stream;
	uint16_t code;
	uint8_t reply_class;
	uint8_t phase; /* of the last reply */
	char enhanced[SMTP_ENHANCED_LEN];
	struct str from, to, subject, credential, client, msgid_header, reply, host; /* borrowed */
};

/* Rows of given recipients, in that order; unknown ones are left out. At most QUEUE_PAGE_MAX. */
typedef void queue_entries_fn(void *arg, const struct queue_entry *rows, size_t n,
			      const struct err *err);
void queue_entries(struct queue *q, const struct rid *rids, size_t n, queue_entries_fn *fn,
		   void *arg);

enum queue_sort { QUEUE_SORT_ID, QUEUE_SORT_SIZE, QUEUE_SORT_NEXT, QUEUE_SORT_ATTEMPTS };
struct queue_scan {
	const struct filter *filter; /* borrowed until the answer; NULL: all */
	enum queue_sort sort;
	bool descending;
	bool finished;	     /* finished recipients as well */
	bool finished_only;  /* these, and no queued ones */
	bool after_set;	     /* continue behind this place */
	int64_t after_value; /* of the sort; ignored for SORT_ID */
	struct rid after;
	size_t limit;  /* of rows; at most QUEUE_PAGE_MAX with rows, QUEUE_SCAN_MAX with ids only */
	bool ids_only; /* rows have rid and the sort's value (in size/next/attempts) and nothing
			  else */
	int64_t now_ms; /* wall clock, for ages */
};
/*
 * Rows whose stored fields match. Terms on state, provider and hold are not known here: rows for
 * which the filter depends on them come as well, and the caller asks filter_eval() again with
 * everything known. `more` tells whether rows may follow the last one.
 */
typedef void queue_scan_fn(void *arg, const struct queue_entry *rows, size_t n, bool more,
			   const struct err *err);
void queue_scan(struct queue *q, const struct queue_scan *scan, queue_scan_fn *fn, void *arg);

/*
 * The feed, newest first (or oldest first from `after_seq` on). of: only events of this message.
 * Terms on state, provider and hold as for queue_scan(). An event is kept as long as its message:
 * while it is queued, then keep_finished_ms and keep_finished_max, and QUEUE_FEED_MAX events at
 * most behind the one with which it ended.
 */
#define QUEUE_FEED_MAX 2000000
struct queue_event_query {
	const struct filter *filter; /* borrowed until the answer; NULL: all */
	struct msgid of;	     /* 0: all */
	uint64_t before_seq;	     /* newest first, below this; 0: from the newest */
	uint64_t after_seq;	     /* when `ascending`: above this */
	bool ascending;
	bool talks; /* with what was said */
	size_t limit;
	int64_t now_ms;
};
typedef void queue_events_fn(void *arg, const struct queue_event *rows, size_t n, bool more,
			     const struct err *err);
void queue_events(struct queue *q, const struct queue_event_query *query, queue_events_fn *fn,
		  void *arg);

/* Groups of queued recipients by the cause of their last deferral. */
struct queue_cause {
	uint16_t code;
	uint8_t reply_class;
	char enhanced[SMTP_ENHANCED_LEN];
	struct str text; /* normalised; borrowed */
	uint64_t count;
	uint64_t domains;
	int64_t since_ms;	      /* there has been somebody with it since */
	const struct attempt *sample; /* the latest; borrowed, NULL when it is not known */
	/* of queue_past_causes(): attempts in its first and its second half */
	uint64_t before;
	uint64_t recent;
};
typedef void queue_causes_fn(void *arg, const struct queue_cause *rows, size_t n,
			     const struct err *err);
/* The filter cannot ask for state, provider or hold: counts cannot be corrected later. ERR_INVALID.
 */
void queue_causes(struct queue *q, const struct filter *filter, size_t limit, int64_t now_ms,
		  queue_causes_fn *fn, void *arg);

/*
 * The same of what happened: deferrals and failures of a time, each recipient counted once.
 * since_ms is the first in that time. Of many only the last QUEUE_PAST_MAX are looked at, which
 * `all` tells.
 */
#define QUEUE_PAST_MAX 500000u
struct queue_past {
	const struct filter
		*filter; /* borrowed until the answer; NULL: all. As for queue_events() */
	int64_t from_ms;
	int64_t to_ms;
	uint64_t most; /* events that are looked at; 0: QUEUE_PAST_MAX */
	size_t limit;
	int64_t now_ms;
};
typedef void queue_past_fn(void *arg, const struct queue_cause *rows, size_t n, bool all,
			   const struct err *err);
void queue_past_causes(struct queue *q, const struct queue_past *past, queue_past_fn *fn,
		       void *arg);

/* --- objects and actions ---------------------------------------------------------------------- */

/*
 * What operators edit (holds, routes, allowlist entries): JSON texts by kind and id. An action is a
 * row of the journal; it is committed together with the objects it changes.
 */
struct queue_object {
	const char *kind; /* "hold", "route", "allow", "dkim", "dkim-secret", … */
	const char *id;
	const char *json; /* NULL: deleted */
	bool secret;	  /* what is deleted or replaced is overwritten in the file */
};

struct queue_action {
	uint64_t id; /* from 1, given by the caller, ascending */
	int64_t at_ms;
	int64_t undo_until_ms; /* 0: cannot be undone */
	const char *who;
	const char *from_where;
	const char *role;
	const char *method;
	const char *target;
	const char *reason;
	const char *request;	/* client-made id, unique for an hour; empty without */
	const char *state;	/* a word of the caller's */
	const char *result;	/* JSON: the answer that was given */
	const char *undo;	/* JSON: what undo needs */
	bool wipe;		/* there are secrets in it: to be replaced in the end */
	const struct rid *rids; /* the set it acts on; NULL without */
	size_t rids_n;
	/* For queue_commit(): these are malloc'ed, and the queue's from now on. A set of a million
	 * takes too long to copy in one go. */
	bool take_rids;
	bool take_texts; /* undo, changes, edited */
	/* Only for the audit log, in which every action is recorded (queue/audit.h). */
	int64_t uid;
	const char *changes; /* NULL: none */
	/* Of an edit of the configuration: the version that it makes (queue/versions.h). */
	uint64_t version;   /* 0: none */
	const char *edited; /* its changes */
};
/* Commits the action (when not NULL) and the objects in one transaction, durably. Copied, but for
 * what it takes. */
void queue_commit(struct queue *q, const struct queue_action *a, const struct queue_object *objects,
		  size_t objects_n, queue_done_fn *done, void *arg);
/* The same for objects that were collected one by one, because they are too many to be copied at
 * once. Takes the batch. */
struct queue_batch;
struct queue_batch *queue_batch_new(void);
void queue_batch_free(struct queue_batch **bp);
void queue_batch_add(struct queue_batch *b, const struct queue_object *o); /* copied */
void queue_commit_batch(struct queue *q, const struct queue_action *a,
			struct queue_batch *batch_take, queue_done_fn *done, void *arg);
/* Of these, of suppressions, events of their own and records of the audit log: not yet on disk. */
size_t queue_commit_backlog(const struct queue *q);
/* Changes the state (and undo text, when not NULL) of an action. drop_rids: the set is no longer
 * needed. */
void queue_action_state(struct queue *q, uint64_t id, const char *state, const char *undo,
			bool drop_rids, queue_done_fn *done, void *arg);

/* At start, blocking: all current objects of a kind, in the order of id; all actions since. */
int queue_load_objects(struct queue *q, const char *kind,
		       void (*fn)(void *arg, const struct queue_object *o), void *arg,
		       struct err *err) MUST_CHECK;
/* Actions newer than since_ms, or with a set that is still kept, or with secrets that are to be
 * wiped, oldest first, with their rids. */
int queue_load_actions(struct queue *q, int64_t since_ms,
		       void (*fn)(void *arg, const struct queue_action *a), void *arg,
		       struct err *err) MUST_CHECK;
/* Messages that came in after since_ms, by whom; blocking. */
typedef void queue_sent_fn(void *arg, struct str credential, int64_t received_ms);
int queue_load_sent(struct queue *q, int64_t since_ms, queue_sent_fn *fn, void *arg,
		    struct err *err) MUST_CHECK;
uint64_t queue_last_action(const struct queue *q); /* highest id ever used; 0 at first */

/* The journal, newest first, below `before` (0: from the newest); rids are not given (rids_n is).
 */
typedef void queue_actions_fn(void *arg, const struct queue_action *rows, size_t n, bool more,
			      const struct err *err);
void queue_actions(struct queue *q, uint64_t before, size_t limit, queue_actions_fn *fn, void *arg);

/* --- suppressions ------------------------------------------------------------------------------
 */

/*
 * The suppression list's entries, in a table of their own: there may be millions. An object of kind
 * QUEUE_SUPPRESS in queue_commit() is such a row, in the transaction of its action; its id is
 * "ADDRESS" or "stream:NAME ADDRESS", its JSON has the fields below (policy/suppress.h), and no
 * earlier versions are kept. Many at a time are put and dropped without an action, in chunks.
 */
#define QUEUE_SUPPRESS "suppress"
#define QUEUE_SUPPRESS_IMPORT                                                                      \
	"suppress-import" /* objects: an import; its entries are told as one */
#define QUEUE_SUPPRESS_CHUNK 1000
struct queue_suppress {
	const char *id;
	const char *source;
	const char *reason;
	const char *by;
	const char *message;
	const char *reply;
	int64_t created_ms;
	int64_t expires_ms;
	int64_t last_hit_ms;
	uint64_t hits;
	uint64_t batch;
	uint32_t watch;
	bool tell;    /* it is an event: came on the list, or with `gone`, is on it no more */
	bool gone;    /* dropped; the rest is for the event */
	bool counted; /* only hits and last_hit_ms are written, if it is there */
};
/* In one transaction; copied. done may be NULL. */
void queue_suppress_put(struct queue *q, const struct queue_suppress *rows, size_t n,
			queue_done_fn *done, void *arg);
/* At start, blocking: all of them. */
int queue_load_suppress(struct queue *q, void (*fn)(void *arg, const struct queue_suppress *row),
			void *arg, struct err *err) MUST_CHECK;

/*
 * Entries that follow from events: whoever makes them says up to which event it is, before it puts
 * that one's. This is written with whatever is put next, also with no rows at all. At start it has,
 * blocking, the failures, bounces and complaints behind that one, in order: a kill came between.
 */
void queue_suppress_seen(struct queue *q, uint64_t seq);
int queue_load_unseen(struct queue *q, queue_event_fn *fn, void *arg, struct err *err) MUST_CHECK;

/* --- figures ---------------------------------------------------------------------------------- */

struct queue_figures {
	uint64_t used_bytes; /* database, WAL and segments */
	uint64_t free_bytes; /* of the file system */
	uint64_t segments;
	uint64_t damaged;	/* messages whose content was found damaged */
	const char *unreadable; /* what of the database could not be read at start; "": nothing */
	bool disk_full;
};
void queue_figures(const struct queue *q, struct queue_figures *ret);

#endif
