/*
 * smtpout - the client's side of SMTP: sessions to next hops, started when there is something
 * ready and ended when there is not.
 *
 * Model:   smtpout_kick() says that n records are ready for a next hop. It is resolved, and
 *          sessions are opened as the limits allow: more while there is work for them, over hosts
 *          and addresses in their order. A session asks the scheduler for one transaction after the
 *          other (sched_want), gets each by smtpout_give(), speaks it (pipelined where offered),
 *          and hands the result of every recipient to sched_done(); what a broken connection left
 *          untried goes back (sched_give_back). A next hop none of whose hosts can be reached is
 *          reported once (sched_unreachable). A session with nothing to do stays open for a moment
 *          (SMTPOUT_IDLE_MS), then quits.
 *          What TLS a connection must have follows from the next hop's demands and from what is
 *          published for each host (route/tls_policy.h); hosts for which no connection will do are
 *          passed over, with the reason.
 *          A recipient's attempt has what the peer said for it: the reply to its RCPT when that
 *          refused it, else the one that decided the transaction.
 * Owner:   smtpout borrows loop, scheduler and resolver; free it before them.
 * Context: loop thread only.
 * Errors:  none; everything that happens is an attempt's outcome.
 * Limits:  struct smtpout_config; 0 takes the default named there.
 */
#ifndef SMTPOUT_SMTPOUT_H
#define SMTPOUT_SMTPOUT_H

#include <stdbool.h>
#include <stdint.h>

#include "mail/talk.h"
#include "net/tls.h"
#include "queue/queue.h"
#include "route/resolve.h"
#include "route/tls_policy.h"
#include "sched/sched.h"

#define SMTPOUT_IDLE_MS 2000

struct smtpout;

/* What is demanded of connections to a next hop. */
struct smtpout_demands {
	enum route_tls tls;
	const char *user; /* to log in with; NULL: without. Both borrow until the loop turns. */
	const char *password;
};

/* Of which attempts it is kept what was said. */
enum smtpout_transcripts {
	SMTPOUT_TRANSCRIPTS_YES,
	SMTPOUT_TRANSCRIPTS_FAILURES, /* of those that were no success */
	SMTPOUT_TRANSCRIPTS_NO
};

/* The address that a connection comes from. */
#define SMTPOUT_EHLO_MAX 255
#define SMTPOUT_WHY_MAX 300
struct smtpout_source {
	bool bound; /* false: whatever the system takes, and nothing is counted */
	struct ipaddr ip;
	char ehlo[SMTPOUT_EHLO_MAX + 1]; /* empty: cfg.hostname */
};
struct smtpout_ask {
	const char *next_hop;
	bool v4;	  /* for a connection to an IPv4 address; else IPv6 */
	bool any;	  /* either: is there one at all? */
	int64_t until_ms; /* answer: wall clock, when there will be one again; 0: unknown */
};
enum smtpout_from {
	SMTPOUT_FROM,	    /* this one */
	SMTPOUT_FROM_OTHER, /* there is none of this family */
	SMTPOUT_FROM_NONE   /* none may be used now */
};

/* What was said just now, for those who listen. Everything borrows for the call. */
#define SMTPOUT_SPOKEN_RCPTS 16
struct smtpout_spoken {
	uint64_t session; /* the same for all of a connection */
	int64_t at_ms;	  /* wall clock */
	const char *next_hop;
	const char *host;
	const char *ip;
	const struct message *m;				/* NULL: of the connection itself */
	const struct message_rcpt *rcpts[SMTPOUT_SPOKEN_RCPTS]; /* that it is about; the first */
	unsigned rcpts_n;
	enum talk_by by;
	struct str text; /* as it came, for the host's; perhaps a piece of a line */
};

struct smtpout_config {
	const char *hostname;	      /* for EHLO; copied */
	unsigned connections_max;     /* all together: 500 */
	unsigned per_hop_max;	      /* of next hops with the same hosts: 20 */
	unsigned per_connection_max;  /* transactions of one connection: 100 */
	int64_t connect_ms;	      /* to one address: 20 s */
	int64_t greeting_ms;	      /* and EHLO: 60 s */
	int64_t command_ms;	      /* MAIL, RCPT, DATA: 5 min (RFC 5321, 4.5.3.2) */
	int64_t data_ms;	      /* to send the content, without progress: 180 s */
	int64_t end_ms;		      /* for the reply to the end of data: 600 s */
	const struct tls_client *tls; /* borrowed; NULL: there is no TLS */
	struct queue *queue;	      /* borrowed: keeps what was said; NULL: nothing is kept */
	enum smtpout_transcripts transcripts;
	/* False: nobody wants that next hop any more. NULL: opportunistic for all. */
	bool (*demands)(void *arg, const char *next_hop, struct smtpout_demands *ret);
	/* Where connections to a next hop come from; why: what keeps it when there is no address.
	 * NULL: it does not matter. */
	enum smtpout_from (*source)(void *arg, struct smtpout_ask *ask, struct smtpout_source *ret,
				    char why[static SMTPOUT_WHY_MAX]);
	/* Counts a message for the address; false: it may send no more. And it was not sent. */
	bool (*source_take)(void *arg, const char *next_hop, const struct ipaddr *ip);
	void (*source_untake)(void *arg, const char *next_hop, const struct ipaddr *ip);
	/* The address is none of this machine's. */
	void (*source_bad)(void *arg, const char *next_hop, const struct ipaddr *ip,
			   const char *why);
	/* Does this deferral say that we send too much? NULL: 421 with 4.7.x does. */
	bool (*slows)(void *arg, const struct attempt *a);
	/* Results of a message of which a recipient has NOTIFY=SUCCESS, at a host without DSN;
	 * before they are recorded. May be NULL. */
	void (*relayed)(void *arg, const struct message *m, const struct sched_result *r,
			unsigned n);
	/* Another envelope sender than the message's, for a transaction with this recipient alone
	 * (sched_ops.alone); false: the message's. Failures are asked for then, whatever the
	 * message's sender wanted to hear. May be NULL. */
	bool (*sender)(void *arg, const struct message *m, const struct message_rcpt *r,
		       char ret[static ADDRESS_MAX + 1]);
	/* Whether anybody listens, and what they hear then. May be NULL. */
	bool (*heard)(void *arg);
	void (*spoken)(void *arg, const struct smtpout_spoken *s);
	void *arg; /* of these */
};

struct smtpout *smtpout_new(struct loop *l, const struct smtpout_config *cfg, struct sched *s,
			    struct resolver *r);
/* Ends every session at once; what they had is given back first. */
void smtpout_free(struct smtpout **op);

/* sched_ops.kick and sched_ops.give lead here. */
void smtpout_kick(struct smtpout *o, const char *next_hop, unsigned n);
void smtpout_give(struct smtpout *o, uint64_t token, const struct message *m_take,
		  const unsigned *rcpts_n, unsigned n);
/*
 * Takes on nothing new; sessions end after the transaction that they are in, at the latest after
 * grace_ms. done() when all have (also at once, but never from inside the call).
 */
typedef void smtpout_drained_fn(void *arg);
void smtpout_drain(struct smtpout *o, int64_t grace_ms, smtpout_drained_fn *done, void *arg);

/* Somebody wants it tried at once, whatever its hosts said: a pause ends. */
void smtpout_hurry(struct smtpout *o, const char *next_hop);

unsigned smtpout_connections(const struct smtpout *o); /* open or opening */

/* A name for what the next hop shares with others that have the same hosts; NULL: it is not known
 * now. Borrows until the loop turns. */
const char *smtpout_site(const struct smtpout *o, const char *next_hop);

/* What happens with a next hop now, for `why`. False: nothing is being done about it. */
struct smtpout_hop_view {
	unsigned connections; /* open */
	unsigned opening;
	unsigned limit;		/* connections that its site may have now; 0: not known yet */
	unsigned of_site;	/* connections that this has, with those of other next hops */
	bool waits_for_room;	/* the limit of all connections keeps it from opening more */
	int64_t pause_until_ms; /* wall clock: connections that came to nothing, or a reply that
				   said to slow down, keep it from opening more until then; 0 */
	const char *reason;	/* that reply; ""; borrows until the loop turns */
};
bool smtpout_hop(const struct smtpout *o, const char *next_hop, struct smtpout_hop_view *ret);

#endif
