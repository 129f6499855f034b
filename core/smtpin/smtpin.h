/*
 * smtpin - the server's side of SMTP: listeners and sessions.
 *
 * Model:   a session speaks RFC 5321 with one client; what it may do and what becomes of a message
 *          is asked of the wiring through struct smtpin_ops. A complete message is handed to
 *          accept() with a token, and the client gets its 250 only when smtpin_accepted() says that
 *          the message is on disk. Each accept() is answered by exactly one smtpin_accepted(), at
 *          once or later, also when the client has gone in the meantime.
 * Owner:   the caller owns the server and frees it when no accept() is outstanding any more.
 *          Message bytes belong to whoever takes them out of struct smtpin_message.
 * Context: loop thread. The ops are called from the loop and must not block.
 * Errors:  smtpin_listen() fails with ERR_CONFIG; what goes wrong in a session ends there.
 * Limits:  all of struct smtpin_config; 0 takes the default named there. When three of four
 *          connections are taken, clients get SMTPIN_STRESS_MS instead of their usual time. Of IPv6
 *          clients the /64 counts as one address.
 */
#ifndef SMTPIN_SMTPIN_H
#define SMTPIN_SMTPIN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/ipnet.h"
#include "base/str.h"
#include "loop/loop.h"
#include "mail/address.h"
#include "mail/header.h"
#include "mail/msgid.h"
#include "mail/smtp_cmd.h"
#include "net/netaddr.h"

#define SMTPIN_HELO_MAX 255
#define SMTPIN_STRESS_MS 10000
#define SMTPIN_CONNECTIONS_TOP 60000 /* what connections_max may be at most */

struct cred;
struct creds;
struct guard;
struct sasl_server;
struct smtpin;
struct tls_facts;
struct tls_server;

struct smtpin_config {
	const char *hostname; /* copied */
	/* Our certificate, which may be loaded anew at any time; borrowed, NULL without. */
	const struct tls_server *tls;
	/* Who may authenticate, all three or none; borrowed. */
	struct creds *creds;
	struct sasl_server *sasl;
	struct guard *guard;
	/* Who gets mail for postmaster, without a domain or with our name, from anybody (RFC 5321,
	 * 4.5.1); n 0: nobody. */
	struct address postmaster;
	const char *postmaster_domain; /* and of this name; borrowed, NULL: none */
	size_t line_max;	       /* of a message, longer ones are refused; 0: no limit */
	size_t size_max;	       /* of a message: 25 MiB */
	size_t memory_max;  /* of messages coming in, and handed over but not on disk: 256 MiB */
	unsigned rcpts_max; /* of a message: 1000 */
	unsigned connections_max;    /* 2000 */
	unsigned per_client_max;     /* connections of one address: 500 */
	unsigned hops_max;	     /* Received fields: 100 */
	unsigned errors_max;	     /* refused commands of a session: 20 */
	unsigned commands_max;	     /* of a session, without a message: 1000 */
	unsigned per_credential_max; /* sessions of one credential: 500 */
	/* A minute; 0: no limit. */
	unsigned connection_rate; /* of one address */
	struct smtpin_rate {
		unsigned messages;
		unsigned rcpts;
	} client_rate, credential_rate;
	int64_t command_ms;   /* to send a command, and between two bytes of DATA: 5 min */
	int64_t data_ms;      /* to send a message: 1 h */
	int64_t handshake_ms; /* of TLS: 1 min */
};

enum smtpin_auth { SMTPIN_AUTH_NONE, SMTPIN_AUTH_OPTIONAL, SMTPIN_AUTH_REQUIRED };
enum smtpin_tls { SMTPIN_TLS_NONE, SMTPIN_TLS_STARTTLS, SMTPIN_TLS_IMPLICIT };

/* The rules of one address that is listened on. All zeroes: plain SMTP. */
struct smtpin_rules {
	enum smtpin_tls tls; /* other than NONE needs a certificate */
	/*
	 * AUTH is offered under TLS, and with auth_loopback to this machine's own clients also
	 * without. REQUIRED: no mail without it, whatever the allowlist says.
	 */
	enum smtpin_auth auth;
	bool auth_loopback;
	/*
	 * Load balancers: their connections begin with a PROXY header (net/proxy_header.h), which
	 * says whose they are. One that they do not name may relay for its credential only.
	 */
	const struct ipnet *proxies; /* copied by smtpin_listen() */
	size_t n_proxies;
};

/* The answer to on_connect(). */
struct smtpin_client_facts {
	bool may_relay;
	bool no_auth; /* it may not authenticate */
	bool refused; /* no service at all: `refusal` (421 or 554) is the greeting */
	struct smtp_answer refusal;
};

struct smtpin_rcpt {
	struct address address;
	unsigned notify; /* SMTP_NOTIFY_…; 0: not said */
	char *orcpt;	 /* addr-type;xtext as it came, owned; NULL: not said */
};

/* What is known of a transaction so far; borrows from the session. */
struct smtpin_envelope {
	struct ipaddr client;
	struct str helo; /* as the client said it */
	bool esmtp;
	bool may_relay;
	const struct tls_facts *tls; /* NULL without */
	struct str credential;	     /* empty: not authenticated */
	const struct address *from;
	const struct smtpin_rcpt *rcpts; /* accepted so far */
	size_t n_rcpts;
	uint64_t declared_size; /* 0: not said */
	enum smtp_body body;
	bool smtputf8; /* the client said that it may need it */
	enum smtp_ret ret;
	struct str envid; /* xtext as it came, or empty */
};

struct smtpin_message {
	struct smtpin_envelope envelope; /* borrows, for the time of the call */
	struct msgid id;
	char *data; /* malloc'ed and terminated; who sets it to NULL has taken it and frees it */
	size_t size;
	size_t body_at; /* where the body begins, behind the empty line */
	size_t longest_line;
	bool eight_bit;			      /* bytes above 127 anywhere */
	bool smtputf8;			      /* the next hop has to know SMTPUTF8 */
	struct str message_id;		      /* with its angle brackets; borrows from data */
	char subject[HEADER_SUBJECT_MAX + 1]; /* decoded, clean UTF-8 */
	int64_t received_ms;		      /* wall clock */
};

struct smtpin_token {
	uint64_t v;
};

struct smtpin_ops {
	void (*on_connect)(void *arg, const struct ipaddr *client, struct smtpin_client_facts *ret);
	/* May be NULL. False refuses with *ret_refusal: 452 4.3.1 while the disk is full. */
	bool (*on_mail)(void *arg, const struct smtpin_envelope *e,
			struct smtp_answer *ret_refusal);
	/* Mail for this recipient ends here: everybody may write to it, as far as on_rcpt() lets
	 * them. May be NULL. */
	bool (*is_ours)(void *arg, const struct address *rcpt);
	/* Only called for clients that may relay, and for recipients that are ours. */
	bool (*on_rcpt)(void *arg, const struct smtpin_envelope *e, const struct address *rcpt,
			struct smtp_answer *ret_refusal);
	struct msgid (*new_id)(void *arg);
	void (*accept)(void *arg, struct smtpin_message *take, struct smtpin_token token);
	/* May be NULL: the last session is over after smtpin_drain(). */
	void (*on_drained)(void *arg);
};

struct smtpin_stats {
	uint64_t connections;
	uint64_t connections_refused;
	uint64_t secured;	/* sessions with TLS */
	uint64_t secure_failed; /* handshakes that came to nothing */
	uint64_t authenticated;
	uint64_t auth_failed;
	uint64_t accepted; /* messages */
	uint64_t accepted_bytes;
	uint64_t refused_rcpts;
	uint64_t refused_messages;
	uint64_t memory; /* bytes held now */
};

struct smtpin *smtpin_new(struct loop *l, const struct smtpin_config *conf,
			  const struct smtpin_ops *ops, void *arg);
void smtpin_free(struct smtpin **sp);

/*
 * May be called for several addresses; the rules are copied. *ret_bound (may be NULL) has the port
 * that was bound.
 */
int smtpin_listen(struct smtpin *s, const struct netaddr *at, const struct smtpin_rules *rules,
		  struct netaddr *ret_bound, struct err *err) MUST_CHECK;
/* Serves a connected descriptor, which it takes. The rules are borrowed while the server lives. */
void smtpin_serve(struct smtpin *s, int fd, const struct ipaddr *client,
		  const struct smtpin_rules *rules);

/* The result of accept(): NULL when the message is on disk, else the reply to give. */
void smtpin_accepted(struct smtpin *s, struct smtpin_token token,
		     const struct smtp_answer *refusal);

/* The stream of a message that accept() has, before its result: for what is counted of its
 * credential. */
void smtpin_in_stream(struct smtpin *s, struct smtpin_token token, struct str stream);

/*
 * Who may relay has changed: every session asks on_connect() again before its next message, and
 * those end whose credential is no longer good.
 */
void smtpin_recheck(struct smtpin *s);
/*
 * Listens no more, ends idle sessions with 421 at once, those in DATA after their message, and
 * whatever is left after grace_ms.
 */
void smtpin_drain(struct smtpin *s, int64_t grace_ms);

/* Sessions that a credential has; or only those whose message is being stored, also when the client
 * is gone. */
unsigned smtpin_sessions_of(const struct smtpin *s, struct str credential, bool storing);
unsigned smtpin_connections(const struct smtpin *s); /* open now */
/* Whether it has sent the messages of a minute, and how many these are. */
bool smtpin_credential_full(const struct smtpin *s, const struct cred *x, unsigned *ret_limit);
const struct smtpin_stats *smtpin_stats(const struct smtpin *s);

#endif
