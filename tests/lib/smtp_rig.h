/*
 * smtp_rig - an SMTP server whose clients are socketpairs, with a queue that is told what to say.
 */
#ifndef LIB_SMTP_RIG_H
#define LIB_SMTP_RIG_H

#include "base/buf.h"
#include "policy/creds.h"
#include "policy/guard.h"
#include "policy/sasl.h"
#include "smtpin/smtpin.h"

#define RIG_WAITING_MAX 64

struct smtp_rig {
	struct loop *loop;
	struct smtpin *in;
	/* the credential "shop" with the secret "open sesame" */
	struct creds *creds;
	struct sasl_server *sasl;
	struct guard *guard;
	int peer;		   /* the client's end, -1 when closed */
	struct smtpin_rules rules; /* of clients that connect from now on */
	bool may_relay;
	bool later;	/* results come from smtp_rig_result() */
	bool disk_full; /* at MAIL */
	bool lost;	/* the result of accept() is a refusal */
	bool drained;
	uint64_t last_id;
	unsigned asked;	      /* on_connect() */
	struct ipaddr client; /* the last of them */
	unsigned n_messages;
	struct smtpin_token waiting[RIG_WAITING_MAX];
	unsigned n_waiting;
	struct buf message; /* the last one */
	struct buf seen;    /* of each message: sender, recipients, subject, one line */
	char dsn[700]; /* of the last: what was asked about reports, and its need of SMTPUTF8 */
	char credential[CRED_NAME_MAX + 1]; /* of the last message */
	struct msgid id;
	size_t body_at;
	char msgid_text[128];
};

/* conf->hostname is set here. */
void smtp_rig_open(struct smtp_rig *r, struct smtpin_config conf);
void smtp_rig_close(struct smtp_rig *r);
/* A new client in the place of the last; returns the former's end, which the caller closes. */
int smtp_rig_connect(struct smtp_rig *r, const char *ip);
/* Sends bytes in pieces of `piece` (0: all at once) and lets the server work on each. */
void smtp_rig_send(struct smtp_rig *r, struct str bytes, size_t piece);
/* Appends what the server has said. True while the connection is open. */
bool smtp_rig_read(struct smtp_rig *r, struct buf *to);
void smtp_rig_result(struct smtp_rig *r, unsigned i, const struct smtp_answer *refusal);

#endif
