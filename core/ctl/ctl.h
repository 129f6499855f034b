/*
 * ctl - the control socket: who may ask what, and the way of questions to handlers and back.
 *
 * Model:   a UNIX stream socket speaks the protocol of proto/proto.h. The account at the other end
 *          comes from the kernel and is mapped to a role when it connects. Each request becomes a
 *          struct ctl_call: permission and parameters are checked from the table, then the method's
 *          handler gets it and answers it exactly once with ctl_reply() or ctl_fail(), at once or
 *          later; the answer is dropped when the caller has gone. Subscriptions are kept here and
 *          fed by the functions of struct ctl_services.
 * Owner:   a call belongs to its handler until it is answered, and may be kept as a pointer. What
 *          can still answer calls is closed before ctl_free(), which frees those left.
 * Context: loop thread only.
 * Errors:  ctl_new(): ERR_CONFIG with the path when the socket cannot be made.
 * Limits:  below. Beyond them the caller is told: a line that is too long or repeated garbage ends
 *          the connection after an error, too many calls are refused one by one, a connection whose
 *          answers cannot be kept any more is closed. A slow reader loses pushes, not answers.
 */
#ifndef CTL_CTL_H
#define CTL_CTL_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/err.h"
#include "filter/target.h"
#include "loop/loop.h"
#include "mail/msgid.h"
#include "proto/proto.h"

#define CTL_CONNS_UID 32  /* connections of one account */
#define CTL_CONNS_MAX 256 /* of all; then accepting waits */
/* Calls of one account, also of connections that have gone. */
#define CTL_CALLS_UID (4 * PROTO_CALLS_MAX)
/* List calls of one connection at work at the same time; the others wait. A page is large. */
#define CTL_LISTS_MAX 4
#define CTL_OUT_MAX ((size_t)8 * 1024 * 1024) /* answers waiting to be read */
#define CTL_OUT_HIGH ((size_t)1024 * 1024)    /* above, no further request is read */
#define CTL_PUSH_HIGH ((size_t)256 * 1024)    /* above, pushes are dropped */
#define CTL_GARBAGE_MAX 10		      /* lines that are no requests */
#define CTL_SUBS_MAX 32			      /* subscriptions of one connection */
#define CTL_KEYS_MAX 500		      /* keys of one subscription */
#define CTL_EVENTS_MAX 500		      /* events of one push */
#define CTL_USER_LEN 64

struct ctl;
struct ctl_call;

struct ctl_caller {
	uid_t uid;
	enum access role;
	char user[CTL_USER_LEN];
	char from_where[CTL_USER_LEN]; /* "local", "ssh" */
};

/* Accounts of one role. */
struct ctl_role_rule {
	const uid_t *uids;
	size_t uids_n;
	const gid_t *gids;
	size_t gids_n;
};
/* The highest role that fits; root and the account of this process are admins. */
enum access ctl_role_of(const struct ctl_role_rule rules[static ACCESS__COUNT], uid_t uid,
			const gid_t *gids, size_t gids_n);

struct ctl_config {
	const char *path; /* NULL: no socket of its own (tests) */
	mode_t mode;
	gid_t group; /* (gid_t)-1: as it comes */
	const struct ctl_role_rule
		*roles[ACCESS__COUNT]; /* borrowed while ctl lives; NULL: nobody */
	const char *relay;	       /* host name */
	const char *version;
};

typedef void ctl_handler_fn(struct ctl_call *call);

/* A call of a method that changes something, and how it ended. */
struct ctl_change {
	const struct method_def *method;
	const char *target;
	const char *reason;
	const struct err *err; /* why it was refused; NULL: done */
};

/* What the handlers' side gives to the server. `env` is that of ctl_new(). */
struct ctl_services {
	ctl_handler_fn *const *handlers; /* M__COUNT of them */
	/* 1: this change was made before under its request id, *ret is the answer (owned). 0: it
	 * was not. -ERR_CONFLICT: another change was. */
	int (*replay)(void *env, const struct ctl_call *call, json_t **ret, struct err *err);
	/* For the audit log: a change that was refused, or was done without an action. May be NULL.
	 */
	void (*audit)(void *env, const struct ctl_caller *who, const struct ctl_change *change);
	/* A connection is gone; its calls may still be under way. May be NULL. */
	void (*gone)(void *env, uint64_t conn);
	/* The status object, and the generation numbers of topic `changes`; owned. */
	json_t *(*status)(void *env);
	json_t *(*changes)(void *env);
	/*
	 * The rows of `keys` (topic queue or messages) as they are now, in any order, without those
	 * that are gone: to be answered once with ctl_rows(). `keys` is borrowed for the call.
	 */
	void (*rows)(void *env, struct ctl *ctl, uint64_t ticket, enum topic topic, const char *by,
		     const char *const *keys, size_t n);
	const char *(*row_key)(enum topic topic, const json_t *row, const char *by);
};

int ctl_new(struct loop *l, const struct ctl_config *cfg, const struct ctl_services *services,
	    void *env, struct ctl **ret_ctl, struct err *err) MUST_CHECK;
void ctl_free(struct ctl **cp);
/* A connected socket of that account, as if it had been accepted. Takes fd. For tests and for
 * sockets that are passed on. */
void ctl_serve(struct ctl *c, int fd, const struct ctl_caller *who);

/* --- calls, for handlers ---------------------------------------------------------------------- */

void ctl_reply(struct ctl_call *call, json_t *result_take);
/* The same for a result that is JSON already; not of changes. */
void ctl_reply_text(struct ctl_call *call, struct str result);
void ctl_fail(struct ctl_call *call, const struct err *err);

void *ctl_env(const struct ctl_call *call);
struct ctl *ctl_of(const struct ctl_call *call);
const struct ctl_caller *ctl_who(const struct ctl_call *call);
uint64_t ctl_conn_id(const struct ctl_call *call); /* never 0 */
/* Nobody waits for its answer any more. */
bool ctl_is_gone(const struct ctl_call *call);
const struct method_def *ctl_method(const struct ctl_call *call);
/* A copy of params without reason and request; owned. */
json_t *ctl_params(const struct ctl_call *call);

/*
 * The call goes on as one of another method, whose parameters these are (taken), checked as if they
 * had come so: ctl_method(), ctl_str() and the others are that method's from then on, also when it
 * fails. For plan.make and plan.commit of edits, which run the edit's own handler.
 */
enum ctl_acting { CTL_DOING, CTL_PLANNING, CTL_COMMITTING };
int ctl_act(struct ctl_call *call, const struct method_def *m, json_t *params_take,
	    enum ctl_acting acting, struct err *err) MUST_CHECK;
enum ctl_acting ctl_acting(const struct ctl_call *call);
ctl_handler_fn *ctl_handler(const struct ctl_call *call, const struct method_def *m);

/* For the log, when the call itself does not say it: what is changed, and on what (copied). */
void ctl_about(struct ctl_call *call, const struct method_def *method, const char *target);

/* Parameters, checked by the table; all borrowed until the answer. */
const char *ctl_str(const struct ctl_call *call, const char *name); /* NULL when absent */
int64_t ctl_int(const struct ctl_call *call, const char *name, int64_t otherwise);
bool ctl_bool(const struct ctl_call *call, const char *name);
int64_t ctl_age(const struct ctl_call *call, const char *name); /* 0 when absent */
const json_t *ctl_json(const struct ctl_call *call, const char *name);
const struct filter *ctl_filter(const struct ctl_call *call); /* NULL when absent */
const struct target *ctl_target(const struct ctl_call *call); /* NULL when absent */
struct msgid ctl_msgid(const struct ctl_call *call);

/* --- subscriptions, for the services ---------------------------------------------------------- */

/* Takes rows (an array). */
void ctl_rows(struct ctl *c, uint64_t ticket, json_t *rows_take);
/* Whether anybody listens to events; then each goes through ctl_event(). */
bool ctl_events_wanted(const struct ctl *c);
/* An event: what filters see of it, and how it is made into JSON (owned) if anybody wants it. */
typedef json_t *ctl_event_fn(void *arg);
void ctl_event(struct ctl *c, const struct filter_row *row, ctl_event_fn *make, void *arg);

/* Handlers that are the server's own business. */
ctl_handler_fn ctl_ping, ctl_method_list, ctl_sub_open, ctl_sub_change, ctl_sub_close;

/* The same for lines that are spoken with next hops. */
#define CTL_TRACE_MAX 500 /* lines of one push; what is more is counted only */
struct ctl_line {
	const char *hop;
	const struct filter_row *rows; /* of the recipients that it is about */
	size_t rows_n;
	bool opening; /* there is no message yet: one row with what is known of the place */
};
bool ctl_trace_wanted(const struct ctl *c);
void ctl_trace(struct ctl *c, const struct ctl_line *line, ctl_event_fn *make, void *arg);

#endif
