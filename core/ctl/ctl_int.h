/*
 * ctl_int - connections, calls and subscriptions, shared by the files of this directory.
 *
 * A connection is found by id; it goes at once when its stream is closed, its calls stay until
 * their handlers have answered them.
 */
#ifndef CTL_CTL_INT_H
#define CTL_CTL_INT_H

#include <sys/queue.h>

#include "ctl/ctl.h"
#include "net/listener.h"
#include "net/stream.h"

#define CTL_MAGIC 0x57e3c001u
#define CTL_CONN_MAGIC 0x57e3c002u
#define CTL_CALL_MAGIC 0x57e3c003u

struct ctl_sub;
LIST_HEAD(ctl_subs, ctl_sub);

struct ctl_conn {
	uint32_t magic;
	uint64_t id;
	struct ctl *ctl;
	struct stream *stream;
	struct ctl_caller who;
	unsigned calls;
	unsigned lists; /* of them, list calls that their handlers have */
	unsigned garbage;
	unsigned subs_n;
	bool ended;   /* sends no more: closed after the last answer */
	bool held_up; /* not read until it has read */
	struct ctl_subs subs;
	LIST_ENTRY(ctl_conn) link;
};

struct ctl_call {
	uint32_t magic;
	struct ctl *ctl;
	uint64_t conn; /* id */
	uint64_t id;   /* of the request */
	const struct method_def *method;
	struct proto_msg msg;
	struct ctl_caller who;
	const char *request;	 /* of changes; borrowed from msg */
	struct ctl_call *leader; /* the same request is under way: gets its answer */
	bool runs;		 /* a handler has it, or had it */
	bool waits;		 /* for another list call of its connection to end */
	struct filter *filter;
	struct target target;
	struct msgid msgid;
	const struct method_def *as; /* what it goes on as: ctl_act() */
	json_t *as_params;	     /* owned; msg.params borrows them */
	enum ctl_acting acting;
	const struct method_def *about; /* for the log */
	char *about_target;
	LIST_ENTRY(ctl_call) link;
};

struct ctl {
	uint32_t magic;
	struct loop *loop;
	struct ctl_config cfg;
	const struct ctl_services *services;
	void *env;
	struct listener *listener;
	dev_t dev; /* of the socket's file */
	ino_t ino;
	uint64_t last_id; /* of connections, subscriptions and tickets */
	unsigned conns_n;
	struct accounts *accounts;
	LIST_HEAD(, ctl_arrival) arrivals; /* wait for the account's name */
	unsigned arrivals_n;
	LIST_HEAD(, ctl_conn) conns;
	LIST_HEAD(, ctl_call) calls;
	struct loop_timer *tick; /* of subscriptions */
	unsigned ticks;
	bool tick_rest; /* of this tick, some subscribers have nothing yet */
	unsigned subs_n;
	unsigned event_subs_n;
	unsigned trace_subs_n;
	json_t *last_status; /* without what always moves */
	json_t *last_changes;
};

struct ctl_conn *ctl_conn_find(struct ctl *c, uint64_t id);
/* Writes one line; a connection that cannot take it is closed. */
void ctl_send(struct ctl_conn *conn, struct str line);
void ctl_send_error(struct ctl_conn *conn, uint64_t id, const struct err *err);
/* One line from the peer, without its end. */
void ctl_take_line(struct ctl_conn *conn, struct str line);
void ctl_call_free(struct ctl_call **cp);
/* The connection goes: frees its calls that no handler has. */
void ctl_calls_drop(struct ctl_conn *conn);

void ctl_subs_drop(struct ctl_conn *conn);
void ctl_subs_done(struct ctl *c);

#endif
