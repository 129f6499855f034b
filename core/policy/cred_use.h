/*
 * cred_use - what became of a credential: who used which secret, when, and how much was sent.
 *
 * Model:   stands beside a credential, so that it outlives every edit of it, and the loss of a
 *          secret that is brought back. Clients are told apart by address and EHLO name; of each
 *          secret the CRED_USERS_MAX that were seen last are known, the others counted.
 * Stored:  kind "cred-use", id is the credential's name; written now and then, never with a
 *          message (ctl/uses.c), so a crash forgets the last moments, but for the day's
 *          messages: these are counted again from at_ms on:
 *	{"messages", "recipients", "bytes", "at_ms", "day", "day_messages", "secrets": [
 *	  {"id", "last_ms", "last_client", "uses", "messages", "refused", "forgotten", "users": [
 *	    {"client", "helo", "stream", "first_ms", "last_ms", "uses", "messages", "refused"}]}]}
 *
 * Owner:   the credential it belongs to.
 * Context: loop thread; pure. Times are wall clock milliseconds; days are those of UTC.
 */
#ifndef POLICY_CRED_USE_H
#define POLICY_CRED_USE_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/ipnet.h"
#include "base/str.h"

#define CRED_ID_LEN 8
#define CRED_USERS_MAX 20	/* of a secret */
#define CRED_USE_SECRETS_MAX 16 /* with those that were taken away */
#define CRED_HELO_LEN 64	/* what is kept of longer ones */
#define CRED_STREAM_LEN 64

struct cred_user {
	struct ipaddr client;
	char helo[CRED_HELO_LEN];
	char stream[CRED_STREAM_LEN]; /* of its last message; empty: not known */
	int64_t first_ms;
	int64_t last_ms;
	uint64_t uses; /* sessions */
	uint64_t messages;
	uint64_t refused; /* sessions that knew the secret and could not have it any more */
};

struct cred_secret_use {
	char id[CRED_ID_LEN];
	int64_t last_ms; /* 0: never */
	struct ipaddr last_client;
	uint64_t uses;
	uint64_t messages;
	uint64_t refused;
	uint64_t forgotten; /* clients that gave way to others */
	struct cred_user *users;
	size_t n_users;
};

struct cred_use {
	uint64_t messages;
	uint64_t recipients;
	uint64_t bytes;
	int64_t day;
	uint64_t day_messages;
	int64_t at_ms; /* when what was loaded was written; 0: nothing was */
	struct cred_secret_use secrets[CRED_USE_SECRETS_MAX];
	size_t n_secrets;
	bool dirty; /* the store has less */
};

enum cred_sign {
	CRED_CAME, /* authenticated */
	CRED_SENT, /* a message that was accepted */
	CRED_LATE, /* knew the secret, and was refused: it is past its end, revoked, … */
};

/* What was seen; borrows. */
struct cred_sight {
	enum cred_sign sign;
	struct str secret; /* its id */
	const struct ipaddr *client;
	struct str helo;
	struct str stream;   /* SENT: empty when not known */
	uint64_t recipients; /* SENT */
	uint64_t bytes;	     /* SENT */
};

void cred_use_free(struct cred_use **up);
void cred_use_note(struct cred_use *u, const struct cred_sight *s, int64_t now_ms);
/* Never NULL: one that is not known was not used. */
const struct cred_secret_use *cred_use_of(const struct cred_use *u, struct str secret);
/* Takes one of the messages of this day; false when `max` (0: no limit) were taken. */
bool cred_use_day_take(struct cred_use *u, uint64_t max, int64_t now_ms);
void cred_use_day_give(struct cred_use *u, int64_t now_ms); /* it came to nothing */
uint64_t cred_use_today(const struct cred_use *u, int64_t now_ms);
/* From and to the text that the store keeps. False when it is damaged; u is empty then. */
bool cred_use_read(struct cred_use *u, const json_t *o);
json_t *cred_use_json(const struct cred_use *u, int64_t now_ms); /* owned */

#endif
