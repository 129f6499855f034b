/*
 * smtpout_int - what the parts of the client share.
 *
 *	smtpout.c	   the sessions' tokens, the limit of all connections, draining
 *	smtpout_hop.c	   one next hop: its hosts, and how many sessions it needs
 *	smtpout_site.c	   next hops with the same hosts: how many connections they may have
 *	smtpout_session.c  one connection: its states and what happens to it
 *	smtpout_open.c	   its beginning: connecting, greeting, EHLO
 *	smtpout_secure.c   TLS
 *	smtpout_login.c	   AUTH
 *	smtpout_mail.c	   one transaction on it: envelope, content, the result of each recipient
 *	smtpout_source.c   the address that a connection comes from
 *	smtpout_evidence.c what an attempt's record says
 *	smtpout_talk.c	   every word that was said, to be kept with it
 *
 * Connections and transactions are described in smtpout_session_int.h.
 *
 * Nothing here calls the scheduler or opens a connection from inside smtpout_kick(), but that an
 * idle session asks for work: next hops are looked at when the loop turns.
 */
#ifndef SMTPOUT_SMTPOUT_INT_H
#define SMTPOUT_SMTPOUT_INT_H

#include <bsd/sys/tree.h>
#include <stddef.h>
#include <sys/queue.h>

#include "base/buf.h"
#include "smtpout/smtpout.h"
#include "smtpout/smtpout_session_int.h"

#define SMTPOUT_MAGIC 0x5a7b2001u
#define OUT_HOP_MAGIC 0x5a7b2002u
#define OUT_SESSION_MAGIC 0x5a7b2003u
#define OUT_SITE_MAGIC 0x5a7b2004u

#define OUT_TARGETS_MAX 32	      /* addresses of one next hop that are tried */
#define OUT_SITES_KEPT 4096u	      /* sites without a next hop that are remembered */
#define OUT_BAD_MAX 1024u	      /* addresses remembered as bad; a newer one takes the place */
#define OUT_PIECE ((size_t)64 * 1024) /* of content, encoded and written at once */

TAILQ_HEAD(out_hops, out_hop);
TAILQ_HEAD(out_sites, out_site);
RB_HEAD(out_site_tree, out_site);
RB_HEAD(out_hop_tree, out_hop);

/* --- one next hop ----------------------------------------------------------------------------- */

struct out_target {
	struct netaddr addr;
	unsigned host; /* index of its name */
	uint16_t preference;
	unsigned failed_round;
};
/* What a next hop waits in line for. */
enum out_wait { OUT_WAIT_NONE, OUT_WAIT_DNS, OUT_WAIT_FIRST, OUT_WAIT_MORE, OUT_WAIT__COUNT };

struct out_hop {
	uint32_t magic;
	RB_ENTRY(out_hop) node;
	TAILQ_ENTRY(out_hop) look;  /* to be looked at when the loop turns */
	TAILQ_ENTRY(out_hop) watch; /* to be looked at with the next tick */
	TAILQ_ENTRY(out_hop) queue; /* of those that wait */
	bool looking;
	bool watched;
	enum out_wait wait;
	struct smtpout *o;
	char *key;
	uint64_t ask; /* of the resolver; 0 */
	bool resolved;
	int64_t resolved_ms;
	int64_t asked_ms;
	int64_t dns_ms; /* the last answer took so long */
	char *names[RESOLVE_HOSTS_MAX];
	struct tls_policy *policies[RESOLVE_HOSTS_MAX]; /* of these hosts; NULL: none is known */
	unsigned names_n;
	struct out_target targets[OUT_TARGETS_MAX];
	unsigned targets_n;
	unsigned round; /* of trying them; a target that failed in it is not tried again */
	unsigned turn;
	struct attempt *failure; /* the last one of the round */
	struct out_sessions sessions;
	unsigned sessions_n;
	unsigned n[OUT_PHASE__COUNT];
	unsigned work; /* recipients that are ready and not yet asked for, about */
	int priority;  /* of the most urgent of them, when it was last said */
	int64_t mean;  /* time of a transaction, sixteenths of a millisecond */
	int64_t setup_ms;
	struct out_site *site; /* since it was resolved */
	TAILQ_ENTRY(out_hop) of_site;
	TAILQ_ENTRY(out_hop) line; /* of the site: those that have no connection and wait for one */
	bool lined;
	bool hurried;		 /* somebody wants it tried at once */
	struct attempt *trouble; /* the last deferral of one of its recipients */
};

/* Next hops with the same hosts share what these take. */
struct out_site {
	uint32_t magic;
	RB_ENTRY(out_site) node;
	TAILQ_ENTRY(out_site) kept; /* without next hops and sessions, the longest so first */
	char *key;
	struct smtpout *o;
	struct out_hops hops;
	struct out_hops line;
	unsigned hops_n;
	unsigned sessions_n;
	unsigned limit;
	int64_t limit_until_ms;
	bool creeps;	  /* the limit grows with deliveries: it was halved */
	unsigned good;	  /* deliveries since the limit was last changed */
	int64_t pause_ms; /* connections that came to nothing keep it from opening more */
	int64_t pause_until_ms;
	int64_t slow_ms; /* it said to slow down: nothing is sent */
	int64_t slow_until_ms;
	struct attempt *why; /* it is slow or pauses */
	int64_t left_ms;     /* since when it is kept */
};

struct out_bad {
	struct netaddr addr;
	int64_t until_ms; /* 0: empty */
};

struct smtpout {
	uint32_t magic;
	struct loop *loop;
	struct smtpout_config cfg;
	char *hostname;
	struct sched *sched;
	struct resolver *resolver;
	struct out_hop_tree hops;
	struct out_site_tree sites;
	struct out_sites sites_kept;
	unsigned sites_kept_n;
	struct out_hops looks;
	unsigned looks_n;
	struct out_hops watched;
	struct out_hops
		lines[OUT_WAIT__COUNT]; /* the resolver; a connection, the first or another */
	unsigned lines_n[OUT_WAIT__COUNT];
	unsigned asks;		     /* under way */
	struct out_sessions opening; /* in the order of their start */
	struct out_sessions idle;    /* the longest idle one first */
	struct out_session **slots;  /* by the low bits of a token */
	unsigned *free_slots;
	unsigned free_n;
	unsigned total;	    /* connections */
	unsigned leaving;   /* of them, those that said QUIT */
	unsigned hops_live; /* next hops that have one */
	uint64_t serial;    /* of the last token */
	struct loop_timer *turn;
	struct loop_timer *tick;
	struct loop_timer *grace;
	bool draining;
	smtpout_drained_fn *drained;
	void *drained_arg;
	struct buf scratch; /* what is about to be written */
	struct buf packed;  /* what is about to be kept */
	struct out_bad bad[OUT_BAD_MAX];
	struct out_bad plain[OUT_BAD_MAX]; /* hosts whose TLS did not work */
	Gsasl *gsasl;			   /* NULL before the first login */
};

/* smtpout.c */
void out_turn(struct smtpout *o); /* soon */
void out_look(struct out_hop *h); /* soon */
void out_look_done(struct out_hop *h);
void out_watch(struct out_hop *h); /* with the next tick */
bool out_has_room(const struct smtpout *o, const struct out_hop *h);
void out_wait(struct out_hop *h, enum out_wait what);
void out_wait_for_room(struct out_hop *h);
/* Another next hop waits for the session's connection, and has a better right to it. */
bool out_must_yield(const struct out_session *s);
/* What waits for `h` is more urgent than what the session's next hop has. */
bool out_more_urgent(const struct out_hop *h, const struct out_session *s);
void out_slot_take(struct smtpout *o, struct out_session *s);
void out_slot_give(struct smtpout *o, const struct out_session *s);

/* smtpout_hop.c */
struct out_hop *out_hop_find(const struct smtpout *o, const char *key);
struct out_hop *out_hop_get(struct smtpout *o, const char *key);
struct out_hop *out_hop_next(struct smtpout *o, struct out_hop *h); /* NULL: the first */
void out_hop_free(struct out_hop **hp);
/* Does what is due: wakes idle sessions, opens, asks, reports; frees a next hop without purpose. */
void out_hop_work(struct out_hop *h);
/* What stands behind '#' in its text: "" without. */
const char *out_hop_demands(const struct out_hop *h);
void out_hop_ask(struct out_hop *h);
void out_hop_wake(struct out_hop *h);
bool out_hop_wants(struct out_hop *h);
/* The address that is tried next, and the index of its host; false: none is left in this round. */
bool out_hop_pick(struct out_hop *h, unsigned *ret_host, struct netaddr *ret_addr);
void out_hop_failed(struct out_hop *h, const struct netaddr *addr, const struct attempt *why);
/* The host's TLS does not work. */
bool out_plain_is(const struct smtpout *o, const struct netaddr *a);
void out_plain_note(struct smtpout *o, const struct netaddr *a, int64_t ms);
void out_hop_opened(struct out_hop *h, const struct out_session *s);
void out_hop_full(struct out_hop *h);		   /* more connections it does not take */
void out_hop_timed(struct out_hop *h, int64_t ms); /* a transaction took so long */

/* smtpout_source.c */
/* The name for EHLO. */
const char *out_source_name(const struct out_session *s);
/* Sets s->from for s->addr; false: there is none, and why. */
bool out_source_choose(struct out_session *s, char why[static SMTPOUT_WHY_MAX]);
/* A connection could not be made: true when the source is to blame, which is noted. */
bool out_source_failed(struct out_session *s, const char *error);
/* False: the next hop has to wait for a source; it is told. */
bool out_source_any(struct out_hop *h);
/* A message is about to be asked for; false: the address may send no more. */
bool out_source_take(struct out_session *s);
/* It was sent, or not. */
void out_source_done(struct out_session *s, bool sent);

/* smtpout_site.c */
void out_site_join(struct out_hop *h, const struct resolve_answer *answer);
void out_site_leave(struct out_hop *h);
void out_site_begin(struct out_session *s); /* counts the session */
void out_site_end(struct out_session *s);
void out_sites_free(struct smtpout *o);
/* How many connections it may have now. */
unsigned out_site_limit(struct out_site *t);
bool out_site_waits(const struct out_site *t); /* nothing is opened now */
void out_site_full(struct out_site *t, unsigned have);
/* A connection came to nothing; why: what its last recipient met, or NULL. */
void out_site_pause(struct out_site *t, const struct attempt *why);
/* A recipient's result: the site may say by it that it wants less. */
void out_site_result(struct out_session *s, const struct attempt *a);
/* The next hop has no connection and the site has no room for one. */
void out_site_line(struct out_hop *h);
void out_site_line_done(struct out_hop *h);
/* The next hop that waits for a connection of this session's site; NULL. */
struct out_hop *out_site_next(const struct out_session *s);
/* The session can serve that next hop as well: the same hosts, the same demands, and what is
 * published for the next hop's domain is met. */
bool out_site_fits(const struct out_session *s, const struct out_hop *h);
struct out_session *out_site_idle(const struct out_hop *h); /* one that fits; NULL */
void out_site_hurry(struct out_site *t);		    /* ends what it waits for */

#endif
