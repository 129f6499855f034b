/*
 * smtpin_int - what the server, its sessions and the message they read share.
 */
#ifndef SMTPIN_SMTPIN_INT_H
#define SMTPIN_SMTPIN_INT_H

#include <sys/queue.h>

#include "base/buf.h"
#include "mail/dotstuff.h"
#include "net/stream.h"
#include "net/tls.h"
#include "policy/creds.h"
#include "policy/guard.h"
#include "policy/limiter.h"
#include "policy/sasl.h"
#include "policy/tally.h"
#include "smtpin/smtpin.h"

#define SMTPIN_MAGIC 0x5a7b1001u
#define SMTPIN_SESSION_MAGIC 0x5a7b1002u
#define SMTPIN_DOOR_MAGIC 0x5a7b1003u
#define SMTPIN_ARRIVAL_MAGIC 0x5a7b1004u
#define SMTPIN_LISTENERS_MAX 32

struct listener;

/* A message on its way in: its own field Received, then what DATA brings. */
struct smtpin_body {
	struct buf bytes;
	size_t prefix; /* the length of our Received field */
	struct dot_decoder dot;
	size_t charged; /* to the server's memory */
	bool starved;	/* the memory was used up: swallow the rest */
	struct msgid id;
	int64_t received_ms;
};

enum session_state {
	SESSION_SHAKING, /* the TLS handshake is under way */
	SESSION_COMMAND,
	SESSION_AUTH,	  /* the next line is a response */
	SESSION_CHECKING, /* a secret */
	SESSION_TARPIT,	  /* its refusal waits */
	SESSION_DATA,
	SESSION_CHUNK,	 /* the bytes of BDAT */
	SESSION_WAITING, /* for the result of a message */
	SESSION_GONE,	 /* the client, while the result is awaited */
	SESSION_CLOSING
};

struct smtpin_session {
	uint32_t magic;
	enum session_state state;
	struct smtpin *in;
	struct stream *stream;
	TAILQ_ENTRY(smtpin_session) next;
	unsigned slot;
	uint64_t token; /* 0: no result is awaited */
	struct ipaddr client;
	struct smtpin_client_facts facts;
	unsigned relaying; /* the generation of `facts` */
	const struct smtpin_rules *rules;
	bool named;	   /* false: a balancer's connection, and it does not say whose */
	unsigned commands; /* since the last message */
	bool secure;	   /* TLS is in force */
	struct tls_facts tls;
	struct sasl *sasl; /* the exchange under way, or NULL */
	bool proved;	   /* all but an empty response is there */
	unsigned auth_failures;
	char credential[CRED_NAME_MAX + 1]; /* empty: not authenticated */
	char secret[CRED_ID_LEN];
	bool counted;	    /* as a session of the credential */
	bool day_taken;	    /* the transaction is one of the credential's messages of the day */
	size_t handed_size; /* of the message whose result is awaited */
	char stream_name[CRED_STREAM_LEN]; /* of that */
	bool greeted;
	bool esmtp;
	bool in_mail;
	bool ended;	/* the client sends no more */
	size_t skipped; /* of a line that is too long; 0: not in one */
	unsigned errors;
	char helo[SMTPIN_HELO_MAX + 1];
	struct address from;
	uint64_t declared_size;
	enum smtp_body body_type;
	bool smtputf8;
	enum smtp_ret ret;
	char envid[SMTP_ENVID_MAX + 1];
	struct smtpin_rcpt *rcpts;
	size_t n_rcpts;
	size_t cap_rcpts;
	size_t orcpt_bytes; /* charged to the server's memory */
	struct smtpin_body body;
	/* BDAT */
	bool chunked;	     /* the message has begun with it */
	bool chunk_failed;   /* and came to nothing: only RSET helps */
	bool chunk_last;     /* the one that is coming */
	bool chunk_refused;  /* its bytes are dropped, then comes `chunk_refusal` */
	uint64_t chunk_left; /* bytes of it */
	uint64_t chunk_size;
	struct smtp_answer chunk_refusal;
};

TAILQ_HEAD(smtpin_sessions, smtpin_session);
struct smtpin_arrival;
TAILQ_HEAD(smtpin_arrivals, smtpin_arrival);

struct smtpin {
	uint32_t magic;
	struct loop *loop;
	struct smtpin_config conf;
	char *hostname;
	const struct smtpin_ops *ops;
	void *arg;
	struct smtpin_door {
		uint32_t magic;
		struct smtpin *in;
		struct listener *listener;
		struct smtpin_rules rules;
		struct ipnet *proxies; /* owned; those of the rules */
	} doors[SMTPIN_LISTENERS_MAX];
	size_t n_doors; /* sessions borrow the rules: none is ever removed */
	struct smtpin_sessions sessions;
	struct smtpin_arrivals arrivals; /* connections that are nobody's yet */
	unsigned n_arrivals;
	struct limiter *limiter;
	struct tally *tally;
	bool stressed;		       /* most connections are taken */
	struct smtpin_session **slots; /* by the low bits of a token */
	unsigned *free_slots;
	unsigned n_free;
	unsigned open;	   /* sessions with a connection */
	uint64_t serial;   /* of the last token */
	unsigned relaying; /* generation of who may relay */
	bool draining;
	struct loop_timer *drain_end;
	struct smtpin_stats stats;
};

/* smtpin.c */
bool smtpin_slot_take(struct smtpin *in, struct smtpin_session *s, unsigned *ret);
void smtpin_slot_give(struct smtpin *in, unsigned slot);

/* Serves a connection whose client is known; `named` unless a balancer did not say. */
void smtpin_admit(struct smtpin *in, int fd, const struct ipaddr *client,
		  const struct smtpin_rules *rules, bool named);
/* The time that a client gets, of what it gets usually. */
int64_t smtpin_patience(const struct smtpin *in, int64_t usual_ms);
/* Takes one of what an address or a credential may have in a minute. */
bool smtpin_take(struct smtpin *in, char what, const struct smtpin_session *s);
/* Recipients of one message. */
unsigned smtpin_rcpts_max(const struct smtpin *in, const struct smtpin_session *s);
/* Counts the session for its client, and for its credential: false when that has too many. */
void smtpin_comes(struct smtpin *in, const struct smtpin_session *s);
void smtpin_goes(struct smtpin *in, const struct smtpin_session *s);
bool smtpin_authenticates(struct smtpin *in, struct smtpin_session *s);

/* smtpin_proxy.c */
bool proxy_trusts(const struct smtpin_rules *rules, const struct ipaddr *client);
void proxy_arrives(struct smtpin *in, int fd, const struct ipaddr *balancer,
		   const struct smtpin_rules *rules);
void proxy_drop_all(struct smtpin *in);

/* smtpin_session.c */
void session_start(struct smtpin *in, int fd, const struct ipaddr *client,
		   const struct smtpin_rules *rules, bool named);
/* Everybody's time has become shorter. */
void session_hurry(struct smtpin_session *s);
void session_free(struct smtpin_session **sp);
void session_result(struct smtpin_session *s, uint64_t token, const struct smtp_answer *refusal);
void session_drain(struct smtpin_session *s, bool now);
/* Ends it when its credential is no longer good. */
void session_recheck(struct smtpin_session *s);
void session_say(struct smtpin_session *s, struct str line);
void session_sayf(struct smtpin_session *s, const char *fmt, ...) PRINTF_LIKE(2, 3);
/* Too many refusals end the session. */
void session_answer(struct smtpin_session *s, const struct smtp_answer *a);
void session_refuse(struct smtpin_session *s, int code, const char *enhanced, const char *fmt, ...)
	PRINTF_LIKE(4, 5);
void session_hang_up(struct smtpin_session *s, int64_t linger_ms);
void session_end(struct smtpin_session *s, const char *text); /* with 421 */
/* Asks on_connect() what the client may do. */
void session_ask(struct smtpin_session *s);
/* No transaction is open any more. */
void session_reset(struct smtpin_session *s);
struct smtpin_envelope session_envelope(const struct smtpin_session *s);

/* From here on all is TLS; what the client said before is forgotten. */
void session_secure(struct smtpin_session *s);

/* Waits for the next command, unless there is a reason to end. */
void session_ready(struct smtpin_session *s);
bool session_may_relay(const struct smtpin_session *s);

/* Hands the message over, or refuses it. */
void session_hand_over(struct smtpin_session *s);

/* smtpin_chunk.c */
void chunk_begin(struct smtpin_session *s, uint64_t size, bool last);
size_t chunk_take(struct smtpin_session *s, struct str in);
void chunk_reset(struct smtpin_session *s);

/* smtpin_auth.c */
bool auth_offered(const struct smtpin_session *s);
void auth_command(struct smtpin_session *s, struct str arg);
void auth_response(struct smtpin_session *s, struct str line);
void auth_line_too_long(struct smtpin_session *s);
void auth_tarpit_over(struct smtpin_session *s);
void auth_drop(struct smtpin_session *s); /* the exchange */
/* Whether what the client authenticated with is still good; also when it did not. */
bool auth_good(const struct smtpin_session *s);
bool auth_blocked(const struct smtpin_session *s);
/* Counts the message that was accepted for its credential. */
void auth_sent(const struct smtpin_session *s);

/* smtpin_cmd.c. last: nothing else has come behind the line. */
void session_command(struct smtpin_session *s, struct str line, bool last);
void session_line_too_long(struct smtpin_session *s, struct str part);

/* smtpin_body.c */
void body_begin(struct smtpin *in, struct smtpin_body *b, const struct smtpin_envelope *e);
/* Bytes of BDAT; and behind the last of them. */
void body_take_raw(struct smtpin *in, struct smtpin_body *b, struct str bytes);
void body_end_raw(struct smtpin *in, struct smtpin_body *b);
/* Whether it can still become a message. */
bool body_alive(struct smtpin *in, const struct smtpin_body *b, struct smtp_answer *ret_refusal);
size_t body_take(struct smtpin *in, struct smtpin_body *b, struct str bytes);
/* Fills in what the bytes say; false when the message is refused. Leaves the bytes in b. */
bool body_end(struct smtpin *in, struct smtpin_body *b, struct smtpin_message *ret,
	      struct smtp_answer *ret_refusal);
void body_drop(struct smtpin *in, struct smtpin_body *b);
bool PRINTF_LIKE(4, 5)
	smtpin_refuse(struct smtp_answer *a, int code, const char *enhanced, const char *fmt, ...);

#endif
