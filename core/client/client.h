/*
 * client - a connection to a relay's control socket, here or elsewhere.
 *
 * Model:   RELAY is a name from the relays file, unix:PATH, an absolute path, or
 *          ssh://[user@]host[:port][/path/to/socket]; NULL is $WEIR_RELAY, else the local default.
 *          Behind it is a transport (core/client/transport.h): a UNIX socket, or libssh in a thread
 *          that pumps between its channel and a socketpair. The client speaks the protocol over
 *          it: hello, calls, subscriptions, heartbeat.
 *
 *	CONNECTING -> (ASKING) -> GREETING -> UP -> LOST -> CONNECTING …
 *
 *          With `stay`, a lost link is made again, later each time; calls wait meanwhile and are
 *          sent again (a change carries a request id by which the relay knows it), and
 *          subscriptions are opened again and pushed `resync`. Where trying again needs somebody
 *          who changes something first (a refused key or password, no role there), the client
 *          stays LOST until client_hurry(). Without `stay` (the command line) the first failure
 *          answers every call with that error, and those made later too.
 * Owner:   params are taken; results and pushed data are borrowed for the length of the callback.
 * Context: loop thread. Answers never come from inside client_call(). A call is answered exactly
 *          once, unless it was cancelled before. client_free() answers nothing.
 * Errors:  ERR_NET, ERR_TIMEOUT, ERR_CLOSED, ERR_PROTO: the relay was not reached or got lost;
 *          ERR_DENIED: it does not let us in; ERR_INVALID (param "relay"): no such name. What the
 *          relay refused comes with its own code, parameter and column.
 * Limits:  those of proto/proto.h: what is more than PROTO_CALLS_MAX waits, a larger request fails.
 *          A change that waited CLIENT_STALE_MS is not sent any more.
 */
#ifndef CLIENT_CLIENT_H
#define CLIENT_CLIENT_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "proto/proto.h"

#define CLIENT_STALE_MS 60000
#define CLIENT_CONNECT_MS 15000
#define CLIENT_BEAT_MS 5000  /* of silence, then a ping */
#define CLIENT_DEAD_MS 15000 /* of silence, then the link is lost */
#define CLIENT_RETRY_FIRST_MS 500
#define CLIENT_RETRY_MAX_MS 10000

struct loop;
struct client;

enum client_state {
	CLIENT_CONNECTING,
	CLIENT_ASKING,	 /* waits for client_answer() */
	CLIENT_GREETING, /* waits for the relay's hello */
	CLIENT_UP,
	CLIENT_LOST, /* with `stay`: until the next attempt; else the end */
	CLIENT_STATE__COUNT
};

/* What has to be asked of a person. */
enum client_question_kind { CLIENT_ASK_HOST_KEY, CLIENT_ASK_SECRET, CLIENT_ASK_TEXT };
struct client_question {
	uint64_t id;
	enum client_question_kind kind;
	const char *title; /* "ops@mx1.example.net: passphrase of ~/.ssh/id_ed25519" */
	const char *text;  /* more lines: the fingerprint, the server's instruction; may be "" */
};

struct client_view {
	enum client_state state;
	const char *name;  /* as it was asked for, for people: "mx1", "unix:/run/…" */
	const char *relay; /* host name of the relay; "" before the first hello */
	const char *user;  /* our account there; "" */
	enum access role;
	bool was_up;
	const char *doing;     /* while CONNECTING: "logging in as ops"; else "" */
	struct err trouble;    /* code 0: none */
	int64_t heard_wall_ms; /* last bytes from the relay; 0 */
	int64_t retry_wall_ms; /* next attempt; 0: none before client_hurry() */
	bool production;       /* the relays file says so */
};

struct client_ops {
	/* Something of client_view() changed. May be NULL. */
	void (*state)(void *arg);
	/* Answer with client_answer(), at once or later. NULL: every question is refused, and the
	 * connection fails with a text that says what would have been asked. */
	void (*ask)(void *arg, const struct client_question *q);
	/* A question is not to be answered any more: its connection ended. May be NULL. */
	void (*withdraw)(void *arg, uint64_t question);
	/* A subscription could not be opened, and is gone. May be NULL. */
	void (*unsubscribed)(void *arg, uint64_t sub, const struct err *err);
};

struct client_options {
	const char *relay;
	bool stay;
	int64_t connect_ms; /* for one attempt, without the time of questions: 0: CLIENT_CONNECT_MS
			     */
};

int client_new(struct loop *l, const struct client_options *o, const struct client_ops *ops,
	       void *arg, struct client **ret_client, struct err *err) MUST_CHECK;
void client_free(struct client **cp);
void client_view(const struct client *c,
		 struct client_view *ret); /* borrows until the loop turns */
/* For CLIENT_ASK_HOST_KEY "yes" accepts and remembers the key; NULL refuses. The text is copied and
 * wiped after use. */
void client_answer(struct client *c, uint64_t question, const char *text);
/* Tries again at once instead of at retry_wall_ms. */
void client_hurry(struct client *c);

/* `result` is NULL when it failed; then err says why. */
typedef void client_answer_fn(void *arg, const json_t *result, const struct err *err);
/* A change whose params have no `request` gets one. */
uint64_t client_call(struct client *c, const char *method, json_t *params_take,
		     client_answer_fn *fn, void *arg);
void client_cancel(struct client *c, uint64_t call);

typedef void client_push_fn(void *arg, const json_t *data, bool resync);
/* params: what sub.open takes besides the topic, or NULL. */
uint64_t client_sub(struct client *c, const char *topic, json_t *params_take, client_push_fn *fn,
		    void *arg);
void client_unsub(struct client *c, uint64_t sub);

/* Names of the relays file (~/.config/weir/relays, /etc/weir/relays), for completion and the
 * console's @ menu. fn is called for each. */
typedef void client_relay_fn(void *arg, const char *name, const char *url, bool production);
int client_relays(client_relay_fn *fn, void *arg, struct err *err) MUST_CHECK;

#endif
