/*
 * sched - what is tried next and when: the working set of the queue, in memory.
 *
 * Model:   one small record per queued recipient. Records are counted in groups (recipient domain,
 *          stream, next hop); groups with something ready stand in the ring of their next hop
 *          (sched_dest), and sessions to that next hop take from the ring in turn, so that no group
 *          starves another. Deferred records wait in a heap of due times.
 *          Rules stay rules: whether a group is held and where it goes is asked of the wiring
 *          (judge_group) when rules change, in O(groups). A rule that needs more than domain,
 *          stream and provider is asked for each message when it is about to be tried
 *          (judge_rcpt), and may be marked ahead with sched_hold().
 *          Streams have priorities: the more urgent one's messages come first at each next hop,
 *          whichever session asks. They may have caps on messages a minute and at once, for all
 *          next hops of a site together (sched_streams()).
 *          Trash is a mark on a record: schedule and history stay as they are.
 * Owner:   callers hold rids and texts, never records.
 * Context: loop thread only.
 * Errors:  none; memory of records aborts when it is out (about 90 bytes a recipient).
 * Limits:  SCHED_DELIVERY_MAX recipients a transaction; slices of SCHED_SLICE records a callback.
 */
#ifndef SCHED_SCHED_H
#define SCHED_SCHED_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/str.h"
#include "mail/msgid.h"
#include "queue/attempt.h"
#include "queue/queue.h"

#define SCHED_DELIVERY_MAX 100
#define SCHED_SLICE 32768
#define SCHED_AGES 10
#define SCHED_KEY_MAX 360
#define SCHED_RETRIES_MAX 20
#define SCHED_PRIORITY 5 /* of streams that say nothing */

struct loop;
struct sched;

enum sched_state {
	SCHED_READY,
	SCHED_DEFERRED,
	SCHED_ACTIVE,
	SCHED_HELD,
	SCHED_TRASH,
	SCHED_STATE__COUNT
};
const char *sched_state_name(enum sched_state s);

/* What rules say about a group or a recipient. */
struct sched_verdict {
	char next_hop[SCHED_KEY_MAX]; /* "mx:DOMAIN", "smarthost:HOST:PORT", "reject", "discard",
					 "hold"; empty: depends on the message */
	uint32_t hold;		      /* number of the hold that covers it; 0: none */
	bool hold_asks;		      /* some hold depends on more than what the group says */
};

/* A record as others may see it. */
struct sched_view {
	struct rid rid;
	enum sched_state state;
	uint32_t domain;
	uint32_t stream;
	uint32_t hold; /* 0 when it is not held */
	uint32_t group;
	uint16_t attempts;
	uint16_t code;
	uint8_t reply_class;
	int64_t next_ms;     /* wall clock; 0: at once */
	int64_t own_next_ms; /* the same without its next hop's back-off */
	int64_t expires_ms;
};

struct sched_config {
	int64_t retry_first_ms;	  /* 60 s */
	int64_t retry_max_ms;	  /* 1 h */
	int64_t lifetime_ms;	  /* 5 d */
	int64_t delay_ms;	  /* a deferral after that is reported, once; 0: never */
	int64_t backoff_first_ms; /* of a next hop that cannot be reached: 30 s */
	int64_t backoff_max_ms;	  /* 10 min */
};

/* What is different for one stream. 0 takes what struct sched_config has. */
struct sched_stream {
	uint32_t stream; /* its name; 0: all that are not named */
	int priority;	 /* higher comes first */
	int64_t retry_ms[SCHED_RETRIES_MAX];
	unsigned retry_n;	     /* the last one repeats */
	int64_t retry_doubles_to_ms; /* not 0: retry_ms[0], and doubled up to this */
	int64_t delay_ms;	     /* 0: never, -1: as in struct sched_config */
	unsigned rate;		     /* messages a minute to one site; 0: any */
	unsigned concurrency;	     /* messages at once to one site; 0: any */
};

struct sched_ops {
	/* What the rules say about all mail of this domain and stream. */
	void (*judge_group)(void *arg, uint32_t domain, uint32_t stream, struct sched_verdict *ret);
	/* The same with everything known; asked before a message is tried for the group's reasons.
	 */
	void (*judge_rcpt)(void *arg, const struct message *m, const struct message_rcpt *r,
			   const struct sched_view *v, struct sched_verdict *ret);
	/* A recipient that is about to be tried is not to be any more: true ends it as *ret says
	 * (outcome FAILED or DELETED, codes, class and texts). May be NULL. */
	bool (*ends)(void *arg, const struct message *m, const struct message_rcpt *r,
		     struct attempt *ret);
	/* The recipient has its transactions to itself: no other of the message is given with it.
	 * May be NULL. */
	bool (*alone)(void *arg, const struct message *m, const struct message_rcpt *r);
	/* The lifetime is over: how much longer holds make it, in ms. m may be NULL. */
	int64_t (*extra_life)(void *arg, const struct sched_view *v);
	/* The site of a next hop, as far as it is known: those with the same hosts have the same
	 * one. Borrowed for the call. May be NULL. */
	const char *(*site)(void *arg, const char *next_hop);
	/* There are n records ready for a next hop. */
	void (*kick)(void *arg, const char *next_hop, unsigned n);
	/* Answers sched_want(): m_take is a reference with content, rcpts point into it; NULL:
	 * there is nothing. */
	void (*give)(void *arg, uint64_t token, const struct message *m_take,
		     const unsigned *rcpts_n, unsigned n);
	/* Completes an attempt's class before it is recorded. */
	void (*classify)(void *arg, struct attempt *a);
	/* Recipients that are late were deferred; once each, as far as this process knows. m may be
	 * NULL. May be NULL. */
	void (*delayed)(void *arg, const struct message *m, const struct queue_result *results,
			unsigned n);
	/* Recipients came to their end without success: a report is due. Before it is recorded;
	 * `recorded` must be called (sched_failed_recorded) when the report is on disk. */
	void (*failed)(void *arg, const struct message *m, const struct queue_result *results,
		       unsigned n, uint64_t ticket);
	/* A group or a next hop came into trouble, or out of it: trouble_since_ms, since_ms of some
	 * changed. May be NULL. */
	void (*trouble)(void *arg);
};

struct sched *sched_new(struct loop *l, struct queue *q, const struct sched_config *cfg,
			const struct sched_ops *ops, void *arg);
void sched_free(struct sched **sp);
/* At start, for each row of queue_load(); then sched_start(). */
void sched_load(struct sched *s, const struct queue_row *row);
/* And when all are loaded: since when a group of which some were tried, and its next hop, were in
 * trouble as far as the process before this one knew (wall clock, 0: not). */
void sched_load_trouble(struct sched *s, uint32_t domain, uint32_t stream, const char *next_hop,
			int64_t since_ms, int64_t hop_since_ms);
void sched_start(struct sched *s);
void sched_stop(struct sched *s); /* gives nothing more out */
/* A message that is on disk now. */
void sched_add(struct sched *s, const struct message *m);

/* --- delivery --------------------------------------------------------------------------------- */

/* A session to next_hop can take a transaction: answered by give(), at once or later. */
void sched_want(struct sched *s, const char *next_hop, uint64_t token);
/* A session that wanted is gone; a message given to it later would be lost. */
void sched_unwant(struct sched *s, uint64_t token);
/* Results of recipients that were given, each once. outcome, code and texts set; class not. */
struct sched_result {
	struct rid rid;
	struct attempt attempt;
};
void sched_done(struct sched *s, const struct message *m, const struct sched_result *r, unsigned n);
/* Given recipients that were not tried after all: ready again, no attempt counted. */
void sched_give_back(struct sched *s, const struct rid *rids, unsigned n);
/* The next hop could not be reached. Permanent: what is queued for it fails; else it backs off. */
void sched_unreachable(struct sched *s, const char *next_hop, const struct attempt *why,
		       bool permanent);
/*
 * The next hop said to slow down, or nothing comes of its connections: nothing more is tried there
 * until then (wall clock), and no attempt is counted. A back-off that ends later stays.
 */
void sched_slow(struct sched *s, const char *next_hop, const struct attempt *why, int64_t until_ms);
void sched_failed_recorded(struct sched *s, uint64_t ticket);

/* --- rules and actions ------------------------------------------------------------------------ */

/* Rules changed: every group is judged again; with `routes`, every record's next hop too. */
void sched_rejudge(struct sched *s, bool routes);
/* The same in slices of some n groups, for many of them; true: there are more. What was not judged
 * yet goes by the rules before. Start from an all-zero pass. */
struct sched_pass {
	uint32_t group;
	uint32_t place;
	bool moves;
};
bool sched_rejudge_some(struct sched *s, bool routes, struct sched_pass *at, uint32_t n);
/* The provider of a domain became known or changed. */
void sched_rejudge_domain(struct sched *s, uint32_t domain);
/* All that streams say, instead of what they said before. Copied. */
void sched_streams(struct sched *s, const struct sched_stream *v, size_t n);
/* Marks single records as held by a hold (which must be one that asks); false: not there, or in
 * delivery. */
bool sched_hold(struct sched *s, struct rid rid, uint32_t hold);
/* Ends the marks of a hold; the records are ready or deferred as before. Returns how many. */
size_t sched_unhold(struct sched *s, uint32_t hold);
/* The same for the n places from *place on (0 at first), which moves on; true: there are more. */
bool sched_unhold_some(struct sched *s, uint32_t hold, uint32_t *place, uint32_t n);
/* Into the trash or out of it; false: not there, in delivery, or as it was. */
bool sched_trash(struct sched *s, struct rid rid, bool in);
/* Takes a record out for good. */
bool sched_remove(struct sched *s, struct rid rid);
/* Tried now instead of later; *ret_was is the time before. False: not deferred. */
bool sched_retry(struct sched *s, struct rid rid, int64_t *ret_was);
/* The next time of a deferred or ready record. */
bool sched_set_next(struct sched *s, struct rid rid, int64_t next_ms);
/* Ends a next hop's back-off. All next hops when NULL. */
void sched_end_backoff(struct sched *s, const char *next_hop);

/* --- looking ---------------------------------------------------------------------------------- */

bool sched_find(const struct sched *s, struct rid rid, struct sched_view *ret);
/* Records by their place, for scans in slices: from place 0 up to sched_places(). False: empty. */
uint32_t sched_places(const struct sched *s);
bool sched_at(const struct sched *s, uint32_t place, struct sched_view *ret);
/* What a record knows by itself: for scans of which most is skipped, several times quicker. */
struct sched_peek {
	struct rid rid;
	uint32_t group;
	int64_t next_ms; /* its own, whatever its next hop is in */
	uint16_t attempts;
	bool trash;
};
bool sched_peek(const struct sched *s, uint32_t place, struct sched_peek *ret);

struct sched_counts {
	uint64_t total; /* without trash */
	uint64_t state[SCHED_STATE__COUNT];
};
struct sched_group_view {
	uint32_t domain;
	uint32_t stream;
	uint32_t hold; /* that covers the whole group */
	const char *next_hop;
	struct sched_counts counts;
	int64_t oldest_ms;  /* received; 0 when empty */
	int64_t waiting_ms; /* the oldest ready or deferred one, to the second; 0: there is none */
	int64_t next_ms;    /* earliest due time; 0 when none is deferred */
	uint64_t ages[SCHED_AGES];
	uint8_t last_class;	/* of the last attempt that was no success; 0 with last_reply "" */
	const char *last_reply; /* borrowed until the loop turns */
	int64_t last_ms;
	int64_t trouble_since_ms; /* first failure since a calm minute ended with a success; 0. Of
				     what was queued at the start, unless sched_load_trouble() said
				     it: since the first came in. */
};
uint32_t sched_groups(const struct sched *s);
bool sched_group(const struct sched *s, uint32_t i, struct sched_group_view *ret);
/* How much there is, in O(1); states are asked of the groups. */
struct sched_size {
	uint64_t messages;   /* without those of which all is in the trash */
	uint64_t recipients; /* without trash */
	uint64_t trash;
};
void sched_size(const struct sched *s, struct sched_size *ret);
void sched_totals(const struct sched *s, struct sched_counts *ret, uint64_t *ret_messages,
		  int64_t *ret_oldest_ms);

struct sched_dest_view {
	const char *next_hop;
	int64_t backoff_until_ms;  /* 0: none */
	bool slowed;		   /* by sched_slow(): it can be reached */
	int64_t since_ms;	   /* of the trouble */
	const char *reply;	   /* why; borrowed */
	const struct attempt *why; /* all of it, classified; borrowed, NULL without */
	uint32_t active;
};
bool sched_dest(const struct sched *s, const char *next_hop, struct sched_dest_view *ret);
bool sched_backs_off(const struct sched *s); /* some next hop is in back-off */
/* The highest priority of what could be sent there now; 0: nothing can. */
int sched_priority(const struct sched *s, const char *next_hop);

/* A stream's caps keep what is ready for a next hop from being sent now; false: they do not. */
struct sched_cap_view {
	unsigned rate;
	unsigned concurrency;
	unsigned active; /* messages in delivery to the site */
	bool full;	 /* active has reached concurrency */
	int64_t next_ms; /* wall clock: the rate allows the next one then; 0: now */
};
bool sched_cap(const struct sched *s, const char *next_hop, uint32_t stream,
	       struct sched_cap_view *ret);

/* Changes with every change of any record or group: for lists that watch. */
uint64_t sched_generation(const struct sched *s);

#endif
