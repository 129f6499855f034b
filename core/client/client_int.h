/*
 * What the files of the client share. Nothing else includes this.
 */
#ifndef CLIENT_CLIENT_INT_H
#define CLIENT_CLIENT_INT_H

#include <sys/queue.h>

#include "base/buf.h"
#include "client/client.h"
#include "client/relays.h"
#include "client/transport.h"
#include "loop/loop.h"

#define CLIENT_MAGIC 0x7c110001u
#define CLIENT_SAID_MAX 400 /* of what comes before the hello */

struct pending {
	TAILQ_ENTRY(pending) next;
	uint64_t id;
	char *method;
	json_t *params;
	client_answer_fn *fn;
	void *arg;
	bool sent; /* on this connection */
	bool was_sent;
	bool changes;
	bool failed; /* `err` is its answer, to come from the loop */
	struct err err;
	int64_t made_ms;
};

struct subscription {
	TAILQ_ENTRY(subscription) next;
	struct client *client;
	uint64_t id;
	uint64_t remote; /* the relay's number, 0 while it has none */
	uint64_t call;	 /* sub.open under way */
	bool again;	 /* it was open before */
	char *topic;
	json_t *params;
	client_push_fn *fn;
	void *arg;
};

struct client {
	uint32_t magic;
	struct loop *loop;
	struct client_ops ops;
	void *arg;
	bool stay;
	int64_t connect_ms;
	struct relays_found to;

	enum client_state state;
	bool final; /* LOST until client_hurry() */
	struct transport *transport;
	int fd; /* of the transport; -1 */
	struct loop_fd *watch;
	struct loop_timer *timer; /* the end of patience, the next attempt, the next heartbeat */
	struct loop_timer *kick;  /* answers that wait, lines that wait, changes growing stale */
	unsigned depth;		  /* callbacks of ours we are in */
	bool freed;

	struct buf in;
	size_t scanned; /* of `in`: no line end before */
	bool more;	/* lines of `in` wait for their turn; nothing is read meanwhile */
	struct buf out;
	struct buf said; /* before the hello, which is none of ours */
	size_t strange;	 /* bytes before the hello */

	TAILQ_HEAD(, pending) calls;
	TAILQ_HEAD(, subscription) subs;
	size_t sent; /* calls without an answer */
	uint64_t last_id;
	uint64_t ping;
	uint64_t question; /* open; 0: none */
	char session[17];  /* makes request ids differ from those of other clients */

	char relay[256];
	char user[64];
	enum access role;
	bool was_up;
	struct err trouble;
	int64_t heard_ms; /* monotonic */
	int64_t heard_wall_ms;
	int64_t pinged_ms;
	int64_t retry_ms;
	int64_t retry_wall_ms;
};

/* client.c. What calls back stands between the two; after leave() the client may be gone: false. */
void client_enter(struct client *c);
bool client_leave(struct client *c);
void client_lost(struct client *c, const struct err *err, bool final);
void client_up(struct client *c);
/* Reading and writing as they are wanted now. */
void client_watch(struct client *c);
void client_kick(struct client *c);

/* lines.c */
void client_lines_read(struct client *c);
void client_lines_reset(struct client *c);
/* Takes lines that are there; `more` says whether some are left for the next turn of the loop. */
void client_lines_take(struct client *c);
/* While GREETING: adds what was said instead of a hello to the reason. */
void client_lines_explain(struct client *c, struct err *err);

/* calls.c */
void client_flush(struct client *c);
void client_calls_send(struct client *c);
/* The connection is gone: nothing is under way any more. */
void client_calls_unsent(struct client *c);
/* Every call gets this answer, from the loop. */
void client_calls_fail(struct client *c, const struct err *err);
void client_calls_answer(struct client *c, uint64_t id, const json_t *result,
			 const struct err *err);
/* Gives the answers that wait; false when the client was freed meanwhile. */
bool client_calls_settle(struct client *c);
void client_subs_open(struct client *c);
void client_subs_push(struct client *c, const json_t *params);
void client_calls_free(struct client *c);

#endif
