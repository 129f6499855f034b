/*
 * env - what the handlers of the control protocol work on: the relay's parts, put together by the
 * wiring (core/app), and what they do with them in common.
 *
 * Owner:   the wiring owns everything here. Context: loop thread only.
 */
#ifndef CTL_ENV_H
#define CTL_ENV_H

#include <jansson.h>

#include "ctl/ctl.h"
#include "outcome/classify.h"
#include "policy/allow.h"
#include "policy/creds.h"
#include "policy/guard.h"
#include "policy/holds.h"
#include "policy/suppress.h"
#include "policy/unread.h"
#include "queue/queue.h"
#include "route/pools.h"
#include "route/resolve.h"
#include "route/routes.h"
#include "route/streams.h"
#include "sched/sched.h"
#include "sign/keys.h"
#include "smtpin/smtpin.h"
#include "smtpout/smtpout.h"
#include "stats/rates.h"

struct conf;	  /* conf/conf.h */
struct actions;	  /* ctl/actions.h */
struct views;	  /* ctl/views.h */
struct sinks;	  /* ctl/sinks.h */
struct probation; /* ctl/probation.h */
struct tls_server;

/* What became of mail to the bounce and feedback addresses. */
enum report_fate {
	REPORT_BOUNCE,	  /* recorded */
	REPORT_COMPLAINT, /* recorded */
	REPORT_DELAY,	  /* it is still tried */
	REPORT_SUCCESS,	  /* delivered, relayed, expanded */
	REPORT_IDLE,	  /* an automatic reply or the like */
	REPORT_REPEATED,  /* the same was recorded before */
	REPORT_KEPT,	  /* for the operator */
	REPORT_FATE__COUNT
};
/* And why a recipient at the bounce domain was refused. */
enum report_refusal {
	REPORT_REFUSED_UNKNOWN,
	REPORT_REFUSED_CUT,
	REPORT_REFUSED_FORGED,
	REPORT_REFUSED_EXPIRED,
	REPORT_REFUSAL__COUNT
};

struct ctl_env {
	struct loop *loop;
	struct queue *queue;
	struct sched *sched;
	struct holds *holds;
	struct routes *routes;
	struct streams *streams;
	struct pools *pools;
	struct allow *allow;
	struct creds *creds;
	struct guard *guard;
	struct suppress *suppress;
	struct unread *unread;		/* mail to those addresses that came to nothing */
	const char *bounce_domain;	/* NULL: envelope senders stay as they are */
	const struct address *feedback; /* for complaints; NULL or n 0: none */
	uint64_t suppressed_refused;	/* recipients, at RCPT */
	uint64_t reports[REPORT_FATE__COUNT];
	uint64_t reports_refused[REPORT_REFUSAL__COUNT];
	struct keys *keys; /* of DKIM */
	struct resolver *resolver;
	struct dns *dns;		/* for checks */
	const struct ipaddr *addresses; /* public ones of this machine */
	size_t addresses_n;
	struct classify_rules *rules;
	struct smtpin *smtpin;
	struct smtpout *smtpout;
	struct ctl *ctl;
	struct actions *actions;
	const struct tls_server *tls; /* our certificate; NULL without */
	struct sinks *sinks;	      /* where events go; NULL: not open yet */
	struct views *views;	      /* made when it is first needed; views_close() */
	struct rates rates;
	const struct conf *conf; /* NULL: as a test has it */
	const char *hostname;
	int64_t started_ms; /* wall clock */
	int64_t undo_window_ms;
	int64_t probation_ms;	     /* of edits that do not say; 0: none */
	struct probation *probation; /* the edit that is on it; NULL (ctl/probation.h) */
	int64_t bounce_grace_ms;
	uint64_t encoded;	 /* messages whose lines were too long, or of 8 bits */
	uint64_t double_bounces; /* failures of mail from the null sender: dropped */
	bool disk_full;
	/* Generation numbers for topic `changes`; whoever changes these objects counts up. */
	uint64_t holds_generation;
	uint64_t routes_generation;
	uint64_t streams_generation;
	uint64_t pools_generation;
	uint64_t allow_generation;
	uint64_t creds_generation;
	uint64_t keys_generation;
	uint64_t suppress_generation;
	uint64_t unread_generation;
	uint64_t actions_generation;
};

/* The table of handlers and the services of struct ctl_services (ctl/services.c). */
extern const struct ctl_services ctl_services;

/* --- rows (ctl/rows.c) ------------------------------------------------------------------------ */

/* What is known of a recipient for filters: the stored row with the scheduler's state over it. */
void env_filter_row(const struct ctl_env *env, const struct queue_entry *e, struct filter_row *ret);
/* The same for a group: domain, stream, and the provider when it is known. */
void env_group_row(const struct ctl_env *env, uint32_t domain, uint32_t stream,
		   struct filter_row *ret);
/* The same for a record of the scheduler: what is known without asking the store. */
void env_view_row(const struct ctl_env *env, const struct sched_view *v, struct filter_row *ret);
void env_view_over(const struct sched_view *v, struct filter_row *row); /* over its group's row */
/* The same for a message that is about to be tried or just came in. v may be NULL. */
void env_rcpt_row(const struct ctl_env *env, const struct message *m, const struct message_rcpt *r,
		  const struct sched_view *v, struct filter_row *ret);
/* The same for an event. What happened stands for the state: "delivered", "deferred", …, and
 * "ready" for a message that came in. */
void env_event_row(const struct ctl_env *env, const struct queue_event *e, struct filter_row *ret);
/* The fields that an event's row has. */
#define ENV_EVENT_FIELDS                                                                           \
	(1u << FILTER_ID | 1u << FILTER_STATE | 1u << FILTER_DOMAIN | 1u << FILTER_PROVIDER |      \
	 1u << FILTER_STREAM | 1u << FILTER_FROM | 1u << FILTER_SENDER_DOMAIN | 1u << FILTER_TO |  \
	 1u << FILTER_CODE | 1u << FILTER_ENHANCED | 1u << FILTER_CLASS | 1u << FILTER_TEXT |      \
	 1u << FILTER_AGE | 1u << FILTER_RELAY)
/* A row of entity "message"; owned. */
json_t *env_message_json(const struct ctl_env *env, const struct queue_entry *e);
/*
 * Rows of entity "message" for given recipients, in that order, those that are gone left out;
 * finished ones are there as long as the store keeps them. At most QUEUE_PAGE_MAX; fn is called
 * once, never from inside.
 */
typedef void env_rows_fn(void *arg, json_t *rows_take, const struct err *err);
void env_message_rows(struct ctl_env *env, const struct rid *rids, size_t n, env_rows_fn *fn,
		      void *arg);
/* An event for subscribers and lists; owned. */
json_t *env_event_json(const struct ctl_env *env, const struct queue_event *e);

/* A time for JSON: RFC 3339, or null for 0. */
json_t *env_time(int64_t wall_ms);
/* Seconds from a wall clock time until now (>= 0), or null for 0. */
json_t *env_age(const struct ctl_env *env, int64_t wall_ms);
json_t *env_until(const struct ctl_env *env, int64_t wall_ms); /* seconds until then, >= 0 */
json_t *env_class(uint8_t reply_class);			       /* its name, or null for none */
json_t *env_hold(const struct ctl_env *env, uint32_t number);  /* its id, or null */

/* --- selections (ctl/select.c) ---------------------------------------------------------------- */

/*
 * All queued recipients (not in the trash) that match, in the order of their ids; those in delivery
 * are only counted. Works in slices: ids are looked up; groups and records where domain, stream,
 * provider, state, id, age, attempts, next, code and class decide; the store where more is asked.
 * A row for which the answer is not known (its provider) does not match.
 */
struct selection {
	struct rid *rids; /* owned by the receiver: selection_done() */
	size_t n;
	size_t in_delivery;
};
void selection_done(struct selection *s);
/* Once, and not from inside select_start(); the selection is over then. */
typedef void select_fn(void *arg, struct selection *take, const struct err *err);
struct select;
/* The filter is copied. Needs env->actions. */
struct select *select_start(struct ctl_env *env, const struct filter *f, select_fn *fn, void *arg);
/* Its fn is not called any more. */
void select_cancel(struct select **sp);

#endif
