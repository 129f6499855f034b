/*
 * smtpout_session_int - one connection of the client, and one transaction on it.
 */
#ifndef SMTPOUT_SMTPOUT_SESSION_INT_H
#define SMTPOUT_SMTPOUT_SESSION_INT_H

#include <gsasl.h>
#include <sys/queue.h>

#include "mail/dotstuff.h"
#include "mail/reply.h"
#include "mail/talk.h"
#include "net/stream.h"
#include "smtpout/smtpout.h"

struct out_hop;
struct out_site;
TAILQ_HEAD(out_sessions, out_session);

/* What a host offers in its reply to EHLO. */
enum {
	OUT_EXT_PIPELINING = 1u << 0,
	OUT_EXT_SIZE = 1u << 1,
	OUT_EXT_8BITMIME = 1u << 2,
	OUT_EXT_STARTTLS = 1u << 3,
	OUT_EXT_AUTH = 1u << 4,
	OUT_EXT_SMTPUTF8 = 1u << 5,
	OUT_EXT_DSN = 1u << 6,
	OUT_EXT_CHUNKING = 1u << 7,
};

/* --- one transaction -------------------------------------------------------------------------- */

enum out_step { OUT_STEP_RSET, OUT_STEP_MAIL, OUT_STEP_RCPT, OUT_STEP_DATA };
enum out_fate {
	OUT_FATE_OPEN,
	OUT_FATE_ACCEPTED, /* by the reply to RCPT: the end of the content decides */
	OUT_FATE_DECIDED,  /* has a result */
	OUT_FATE_BACK,	   /* not tried after all */
};
struct out_rcpt {
	const struct message_rcpt *r;
	enum out_fate fate;
};
struct out_mail {
	const struct message *m; /* NULL: no transaction is open */
	struct out_rcpt *rcpts;
	unsigned rcpts_n;
	unsigned rcpts_cap;
	struct sched_result *results;
	unsigned results_n;
	unsigned results_cap;
	unsigned accepted;
	enum out_step step; /* whose reply comes next */
	unsigned at;	    /* of the recipients, in OUT_STEP_RCPT */
	bool pipelined;
	bool open;    /* MAIL was accepted: the server has a transaction */
	bool replied; /* something was said to it */
	bool nobody;  /* all recipients were refused and yet 354 came: only the dot is sent */
	int64_t given_ms;
	struct dot_encoder dots;
	size_t sent;	 /* of the content */
	unsigned number; /* in the connection, from 1 */
	bool disguised;	 /* with `sender` instead of the message's */
	char sender[ADDRESS_MAX + 1];
	struct talk_log log;
};
#define OUT_MAIL_INIT ((struct out_mail){ .log = TALK_LOG_INIT })

/* --- one connection --------------------------------------------------------------------------- */

enum out_state {
	OUT_CONNECTING,
	OUT_GREETING,
	OUT_EHLO,
	OUT_HELO,
	OUT_STARTTLS,
	OUT_HANDSHAKE,
	OUT_AUTH,
	OUT_ASKING,
	OUT_IDLE,
	OUT_ENVELOPE,
	OUT_CONTENT,
	OUT_END,
	OUT_QUITTING,
	OUT_OVER
};
enum out_phase { OUT_OPENING, OUT_OPEN, OUT_LEAVING, OUT_PHASE__COUNT };

struct out_session {
	uint32_t magic;
	enum out_state state;
	struct smtpout *o;
	struct out_hop *hop;
	struct out_site *site;
	TAILQ_ENTRY(out_session) of_hop; /* the last that went idle is first */
	TAILQ_ENTRY(out_session) order;
	struct out_sessions *in; /* `opening` or `idle` of struct smtpout; or NULL */
	struct stream *stream;
	unsigned depth; /* calls we are in; freed when the outermost ends */
	uint64_t token;
	bool asking;  /* inside of sched_want() */
	bool again;   /* what it gave was decided at once */
	bool ending;  /* nothing more may be sent: 421, or more came than was asked for */
	bool unclean; /* the server still has a transaction: RSET before the next */
	bool rested;  /* was idle: the next attempt's time begins with its transaction */
	struct smtp_reply reply;
	unsigned extensions;
	uint64_t size_max; /* of a message; 0: not said */
	struct netaddr addr;
	char host[256];
	char ip[IPADDR_TEXT_LEN];
	char source[IPADDR_TEXT_LEN];
	struct smtpout_source from;
	bool taken;			/* a message was counted for it */
	bool sourceless;		/* there is none now: the next hop waits */
	struct smtpout_demands demands; /* user and password are copies */
	struct tls_policy *policy;	/* of the host; NULL */
	enum tls_need need;
	const char *need_why;	   /* borrows from the policy, or is static */
	bool secure;		   /* TLS */
	bool valid;		   /* with a certificate that is valid for the host */
	bool dane;		   /* with one that the TLSA records name */
	char tls[ATTEMPT_TLS_MAX]; /* protocol and cipher, or why there is none */
	unsigned mechanisms;	   /* of AUTH that are offered and known */
	unsigned mechanism;
	Gsasl_session *login; /* while it goes on */
	bool proven;	      /* the server knows the secret */
	bool logged_in;
	int64_t born_ms;   /* began with its first address */
	int64_t opened_ms; /* began to connect to this one */
	int64_t since_ms;  /* the attempt's beginning */
	int64_t step_ms;   /* what is awaited now, since */
	unsigned transactions;
	bool used;   /* a transaction was begun */
	bool useful; /* a recipient was delivered */
	struct out_mail mail;
	/* what was said (smtpout_talk.c) */
	struct talk_log opening;
	uint64_t connection; /* the queue's number of it; 0: not handed over yet */
	char usual[3][TALK_USUAL_MAX];
	uint8_t usual_n[3];
	char *login_said; /* the last line of the login, wiped when it is over */
};

/* smtpout_session.c */
extern const struct stream_ops out_session_ops;
enum out_phase out_phase(enum out_state state);
/* Around whatever may end the session, so that it stays until the outermost call returns. */
void out_session_enter(struct out_session *s);
void out_session_leave(struct out_session *s);
void out_session_state(struct out_session *s, enum out_state state);
void out_session_await(struct out_session *s, int64_t ms);
/* A transaction is over, or none was begun: what is next. */
void out_session_go_on(struct out_session *s);
void out_session_wake(struct out_session *s); /* IDLE: asks for work */
/* ASKING or IDLE: works for another next hop from now on. */
void out_session_move(struct out_session *s, struct out_hop *h);
void out_session_given(struct out_session *s, const struct message *m_take, const unsigned *ns,
		       unsigned n);
void out_session_quit(struct out_session *s);
/* Ends it now; what was not decided is given back. */
void out_session_over(struct out_session *s);
void out_session_drain(struct out_session *s);
/* OPENING, and others wait: as if the time were over. */
void out_session_give_way(struct out_session *s);
/* The peer did not speak SMTP; `why` completes "HOST [IP] …". */
void out_session_garbage(struct out_session *s, const char *why);

/* smtpout_open.c */
void out_session_open(struct out_hop *h);
void out_open_connected(struct out_session *s);
void out_open_reply(struct out_session *s); /* GREETING, EHLO, HELO */
void out_open_greeting(struct out_session *s);
void out_open_hello(struct out_session *s);  /* EHLO */
void out_open_go_on(struct out_session *s);  /* what EHLO leads to: login, or work */
void out_open_forget(struct out_session *s); /* what it was opened with */
void out_open_again(struct out_session *s);  /* the same address from the beginning */
/* The address will not do. `said`: the host refused in words. */
void out_open_failed(struct out_session *s, const struct attempt *a, bool said);

/* smtpout_secure.c */
/* What is published for its host, from now on. */
void out_secure_policy(struct out_session *s, struct tls_policy *p);
/* The host may be connected to; else the address has failed. */
bool out_secure_allows(struct out_session *s);
/* What the connection has would do for that host of the next hop, too. */
bool out_secure_meets(const struct out_session *s, const struct out_hop *h);
/* For the attempt's record: with the result of the verification. */
void out_secure_tell(const struct out_session *s, char ret[static ATTEMPT_TLS_MAX]);
/* After EHLO. False: there is nothing to do. */
bool out_secure_begin(struct out_session *s);
void out_secure_shake(struct out_session *s);
void out_secure_reply(struct out_session *s);		      /* STARTTLS */
void out_secure_done(struct out_session *s);		      /* HANDSHAKE: over */
void out_secure_lost(struct out_session *s, const char *why); /* STARTTLS, HANDSHAKE: failed */

/* smtpout_login.c */
void out_login_offer(struct out_session *s, struct str names); /* in the reply to EHLO */
bool out_login_begin(struct out_session *s);		       /* false: there is nothing to do */
void out_login_reply(struct out_session *s);
void out_login_done(struct out_session *s);
void out_login_free(struct smtpout *o);

/* smtpout_mail.c */
/* False: it was decided without being sent. */
bool out_mail_begin(struct out_session *s, const struct message *m_take, const unsigned *ns,
		    unsigned n);
void out_mail_reply(struct out_session *s); /* ENVELOPE, CONTENT, END */
void out_mail_feed(struct out_session *s);  /* CONTENT: the next piece */
/* Whoever is not decided yet shares the attempt; then the end. */
void out_mail_broken(struct out_session *s, const struct attempt *a);
/* Hands over the results; what has none is given back. */
void out_mail_end(struct out_session *s);
void out_mail_done(struct out_mail *ml);

/* smtpout_talk.c */
void out_talk_begin(struct out_session *s); /* another address */
void out_talk_mail(struct out_session *s);  /* another transaction */
void out_talk_said(struct out_session *s, struct str line);
/* Lines of one step, each with its end; rcpt: n of the recipient they are about, 0: of all. */
void out_talk_step(struct out_session *s, enum talk_step step, unsigned rcpt, struct str lines);
enum talk_step out_talk_step_of(enum out_step step);
void out_talk_note(struct out_session *s, const char *text);
void out_talk_content(struct out_session *s, size_t n);
void out_talk_heard(struct out_session *s, struct str raw);	   /* as it came, with line ends */
void out_talk_mask(const struct out_session *s, struct buf *text); /* what it repeats of a secret */
/* The number for attempts that belong to this connection. */
uint64_t out_talk_connection(struct out_session *s);
void out_talk_keep(struct out_session *s); /* the results of the transaction are complete */

/* smtpout_evidence.c */
/* Where, when and how long; nothing of what was said. */
void out_attempt(const struct out_session *s, enum outcome outcome, struct attempt *ret);
/* With the reply that is complete now; the outcome follows from its code. */
void out_attempt_reply(const struct out_session *s, struct attempt *ret);
void out_attempt_lost(const struct out_session *s, const struct err *err, struct attempt *ret);
void out_attempt_timeout(const struct out_session *s, struct attempt *ret);
/* "HOST [IP] WHAT: WHY" */
void out_attempt_said(const struct out_session *s, const char *enhanced, uint8_t reply_class,
		      const char *what, const char *why, struct attempt *ret);
void out_attempt_garbage(const struct out_session *s, const char *why, struct attempt *ret);

#endif
