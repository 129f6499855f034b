/*
 * sched_int - what the files of the scheduler share: records, groups, next hops.
 */
#ifndef SCHED_SCHED_INT_H
#define SCHED_SCHED_INT_H

#include <bsd/sys/tree.h>
#include <sys/queue.h>

#include "loop/loop.h"
#include "sched/sched.h"

#define SCHED_NONE UINT32_MAX
#define SCHED_CHUNK_BITS 14
#define SCHED_CHUNK (1u << SCHED_CHUNK_BITS)
#define SCHED_MEMO 4096		  /* groups found again without asking the rules */
#define SCHED_WORK_MAX 64	  /* messages being read for the scheduler's own work */
#define SCHED_PROBES_MAX 20	  /* recipients that take an unreachable next hop's attempt */
#define SCHED_TRIES_MAX 32	  /* messages looked at for a session, before the loop turns */
#define SCHED_CALM_MS 60000	  /* of success without a failure end a group's trouble */
#define SCHED_EXPIRE_MAX 256	  /* recipients given up in one sweep */
#define SCHED_ROOM_MAX (1u << 30) /* of what has no cap */

/*
 * Where a record is. It follows from its facts (settle()), but for those in somebody's hands.
 *
 *	TRASH    marked as trash                      no list
 *	HELD     marked as held                       no list
 *	DEFERRED due later                            heap, `a` is the place in it
 *	READY    due                                  list of its group, `a` next, `b` previous
 *	ACTIVE   given to a session, or being read    no list, `a` the transaction or NONE
 *	FAILING  ended; the report is being stored    no list
 */
enum place { P_FREE, P_READY, P_DEFERRED, P_HELD, P_TRASH, P_ACTIVE, P_FAILING, P__COUNT };

struct rec {
	uint64_t rid;
	int64_t next_ms;
	int64_t expires_ms;
	uint32_t group;
	uint32_t a;
	uint32_t b;
	uint32_t hold; /* mark of one hold; 0 */
	uint16_t attempts;
	uint16_t code;
	uint8_t reply_class;
	uint8_t place;
	bool trash;
	bool late; /* its delay was reported */
};

struct group {
	RB_ENTRY(group) node;
	TAILQ_ENTRY(group) ring;
	uint32_t index;
	uint32_t domain;
	uint32_t stream;
	struct dest *dest;
	struct lane *lane;
	struct group *to; /* that takes its records, while they are being moved */
	uint32_t hold;
	bool asks;
	bool in_ring;
	uint32_t head, tail; /* ready records */
	uint32_t count[P__COUNT];
	/* published by the last sweep */
	int64_t oldest_ms;
	int64_t next_ms;
	uint32_t ages[SCHED_AGES];
	uint32_t waiting_s; /* when the oldest ready or deferred one came, a second of the clock */
	/* gathered by the running sweep */
	uint32_t sweep_waiting_s;
	int64_t sweep_oldest_ms;
	int64_t sweep_next_ms;
	uint32_t sweep_ages[SCHED_AGES];
	uint8_t last_class;
	char *last_reply;
	int64_t last_ms;
	int64_t trouble_since_ms;
	/* of what the process before this one met (sched_recall.c) */
	uint32_t votes;
	uint64_t told; /* a recipient that was told it; 0: none */
};
RB_HEAD(group_tree, group);
TAILQ_HEAD(group_ring, group);
TAILQ_HEAD(lane_list, lane);

/* What a stream may send to a site. */
struct cap {
	RB_ENTRY(cap) node;
	TAILQ_ENTRY(cap) pressed; /* somebody is blocked */
	char *site;
	uint32_t stream;
	const struct sched_stream *conf;
	unsigned refs;		  /* lanes and transactions */
	unsigned active;	  /* transactions */
	unsigned offers;	  /* lanes in `offered` */
	int64_t tat_us;		  /* monotonic: when the rate is made up for */
	struct lane_list blocked; /* wait for room, the longest so first */
	struct lane_list offered; /* may take it, and have not yet */
};
RB_HEAD(cap_tree, cap);
TAILQ_HEAD(cap_list, cap);

/* The groups of one stream at one next hop. */
struct lane {
	TAILQ_ENTRY(lane) of_dest; /* by priority */
	TAILQ_ENTRY(lane) line;	   /* of the cap */
	struct dest *dest;
	uint32_t stream;
	uint32_t ready; /* records in the ring's groups */
	struct group_ring ring;
	const struct sched_stream *conf;
	struct cap *cap; /* NULL: none, or not known yet */
	int64_t cap_ms;	 /* when it was asked for */
	bool cap_known;	 /* which site it is */
	enum { LANE_FREE, LANE_BLOCKED, LANE_OFFERED } stands;
	int64_t offered_ms;
};

/* Records that were given to a session together, of a stream with caps. */
struct trans {
	struct cap *cap;
	uint32_t left; /* records; of a free one: the next */
};

enum dest_kind { DEST_REAL, DEST_UNDECIDED, DEST_HOLD, DEST_REJECT, DEST_DISCARD };

struct dest {
	RB_ENTRY(dest) node;
	TAILQ_ENTRY(dest) dirty;   /* on the list of those to kick */
	TAILQ_ENTRY(dest) waiting; /* on the list of those in back-off */
	char *key;
	enum dest_kind kind;
	struct lane_list lanes;
	uint32_t ready; /* records in the rings' groups */
	uint32_t active;
	bool is_dirty;
	bool is_waiting;
	bool slowed;  /* waits, but could be reached */
	bool failing; /* what is ready fails with `why`, until nothing is */
	unsigned fails;
	int64_t backoff_until_ms;
	int64_t since_ms;
	struct attempt *why;
};
RB_HEAD(dest_tree, dest);
TAILQ_HEAD(dest_list, dest);

/* A message being read: for a session (token), or for the scheduler's own work (token 0). */
struct fetch {
	LIST_ENTRY(fetch) link;
	struct sched *s;
	uint64_t token;
	struct rid rid;
	struct dest *dest;
	bool expire;
};

/* Results whose report is being stored. */
struct ticket {
	LIST_ENTRY(ticket) link;
	uint64_t id;
	unsigned n;
	struct queue_result *results;
};

struct sched {
	struct loop *loop;
	struct queue *queue;
	struct sched_config cfg;
	const struct sched_ops *ops;
	void *arg;
	bool running;

	struct rec **chunks;
	uint32_t places; /* records ever used */
	uint32_t chunks_n;
	uint32_t free_head;
	uint32_t *hash;
	uint32_t hash_size;
	uint32_t live;
	uint32_t trash;
	uint32_t *heap;
	uint32_t heap_n;
	uint32_t heap_cap;
	unsigned n_max; /* highest recipient number seen */
	uint64_t messages;
	struct msgid load_last;

	struct group *memo[SCHED_MEMO]; /* where the last recipients of a domain went */
	struct group **groups;
	uint32_t groups_n;
	uint32_t groups_cap;
	struct group_tree group_tree;
	struct dest_tree dest_tree;
	struct dest_list dirty;
	struct dest_list waiting;
	struct sched_stream *streams;
	size_t streams_n;
	struct cap_tree caps;
	struct cap_list pressed;
	struct trans *trans;
	uint32_t trans_n;
	uint32_t trans_cap;
	uint32_t trans_free;
	LIST_HEAD(, fetch) fetches;
	LIST_HEAD(, ticket) tickets;
	uint64_t ticket_last;
	unsigned work; /* fetches of our own */
	struct rid *expire;
	unsigned expire_n;

	uint32_t recall_at; /* the group that is recalled next */
	struct loop_timer *tick;
	struct loop_timer *kick;
	struct loop_timer *sweep;
	uint32_t sweep_at;
	uint64_t generation;
};

static inline struct rec *sched_rec(const struct sched *s, uint32_t i)
{
	return &s->chunks[i >> SCHED_CHUNK_BITS][i & (SCHED_CHUNK - 1)];
}

/* sched_index.c: the hash of rids (grow: makes it and puts all in) and the heap of due times. */
void sched_hash_grow(struct sched *s);
void sched_hash_put(struct sched *s, uint32_t i);
void sched_hash_drop(struct sched *s, uint64_t rid);
uint32_t sched_lookup(const struct sched *s, struct rid rid); /* SCHED_NONE when there is none */
void sched_heap_add(struct sched *s, uint32_t i);
void sched_heap_drop(struct sched *s, uint32_t i);
uint32_t sched_due(const struct sched *s); /* the record due first; SCHED_NONE */

/* Takes a record off whatever list it is on. */
void sched_detach(struct sched *s, uint32_t i);
/* Puts a detached record where its facts say. */
void sched_settle(struct sched *s, uint32_t i);
/* Puts a detached record into somebody's hands. */
void sched_place(struct sched *s, uint32_t i, enum place p);
void sched_note_waiting(const struct rec *r, uint32_t *oldest_s); /* if it is older */
void sched_forget(struct sched *s, uint32_t i);			  /* detached: out of memory */
struct group *sched_group_get(struct sched *s, uint32_t domain, uint32_t stream, const char *key);
void sched_regroup(struct sched *s, uint32_t i, struct group *to); /* detached */
struct dest *sched_dest_get(struct sched *s, const char *key);
struct dest *sched_dest_find(const struct sched *s, const char *key);
void sched_dest_dirty(struct sched *s, struct dest *d);
void sched_fill_view(const struct sched *s, uint32_t i, struct sched_view *ret);
/* NULL: the first one. */
struct dest *sched_dest_next(struct sched *s, struct dest *d);
void sched_arm(struct sched *s); /* the tick for what is due next */
void sched_run_init(struct sched *s);
void sched_run_done(struct sched *s);

/* sched_recall.c: a loaded recipient of g that was tried before; and what they were told, once all
 * are loaded. */
void sched_recall_note(struct sched *s, struct group *g, const struct queue_row *row);
void sched_recall_start(struct sched *s);
/* The beginning of a trouble, or 0; says so when it is another one. */
void sched_trouble(struct sched *s, int64_t *since_ms, int64_t to_ms);
struct group *sched_group_find(struct sched *s, uint32_t domain, uint32_t stream, struct dest *d);

/* sched_lane.c */
struct lane *sched_lane_get(struct sched *s, struct dest *d, uint32_t stream);
void sched_lanes_free(struct sched *s, struct dest *d);
void sched_lanes_done(struct sched *s);
/* Takes the next ready record of a next hop out of its group, the most urgent one. `sends`: caps
 * count. SCHED_NONE: there is none, or none that may go now. */
uint32_t sched_pick(struct sched *s, struct dest *d, bool sends);
/* How many records sessions could be given now, about. */
unsigned sched_runnable(struct sched *s, struct dest *d);
/* An active record belongs to a transaction, or to none. */
void sched_trans_join(struct sched *s, uint32_t i, uint32_t trans);
void sched_trans_leave(struct sched *s, uint32_t trans);
void sched_trans_undo(struct sched *s, uint32_t trans); /* before: nothing was sent */
/* What the stream of a record says. */
const struct sched_stream *sched_conf(const struct sched *s, uint32_t i);
int64_t sched_delay_ms(const struct sched *s, uint32_t i);
int64_t sched_caps_next_ms(const struct sched *s); /* from now; INT64_MAX: never */
void sched_caps_tick(struct sched *s);
void sched_caps_sweep(struct sched *s);

#endif
