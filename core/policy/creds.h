/*
 * creds - credentials: names that may authenticate, with verifiers of their secrets and bounds.
 *
 * Model:   credentials are objects of the store (kind "cred", id is the name). Of a secret there is
 *          never more than what SCRAM-SHA-256 needs to check it (RFC 5802: StoredKey, ServerKey;
 *          RFC 7677); PLAIN and LOGIN are checked by deriving the same. All secrets of a credential
 *          share one salt, so that any of them can be offered while one takes the other's place. A
 *          name that is not known gets a salt and keys as well, always the same ones, so that
 *          nobody can tell.
 *          When a secret is replaced, the old one stays good until its end: a date, and earlier
 *          when it was not used for silent_ms. The newest one is the last.
 *          Empty bounds are no bounds: senders ("shop.example", "*.shop.example",
 *          "app@shop.example", "<>" for the null sender), networks of clients, streams that its
 *          mail may belong to, messages in a minute and in a day (UTC), recipients of a message.
 * Stored:  {"name", "note", "by", "created_ms", "revoked_ms", "disabled_ms", "expires_ms", "salt",
 *          "iterations", "senders": […], "networks": […], "streams": […], "per_minute", "per_day",
 *          "recipients_max", "secrets": [{"id", "created_ms", "expires_ms", "replaced_ms",
 *          "silent_ms", "stored_key", "server_key"}]}; bytes in base64; times in wall clock
 *          milliseconds, 0: none. What was done with it is stored apart (cred_use.h).
 * Owner:   credentials belong to the list; pointers stay valid until the next change of it.
 * Context: loop thread, but cred_derive(), which takes milliseconds and may run anywhere.
 * Limits:  below.
 */
#ifndef POLICY_CREDS_H
#define POLICY_CREDS_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/digest.h"
#include "base/err.h"
#include "base/ipnet.h"
#include "base/str.h"
#include "mail/address.h"
#include "policy/cred_use.h"

#define CREDS_MAX 10000
#define CRED_NAME_MAX 64
#define CRED_SECRETS_MAX 8
#define CRED_BOUNDS_MAX 100 /* of each kind */
#define CRED_SENDER_LEN 260
#define CRED_SALT_LEN 16
#define CRED_LIMIT_TOP 1000000000 /* of messages and recipients */
#define CRED_ITERATIONS 4096	  /* the secrets are random: more would stop nobody */
#define CRED_SECRET_LEN 35	  /* seven groups of four with hyphens, terminated: 140 bits */
#define CRED_GIVEN_MIN 12	  /* of secrets that are not of our making */
#define CRED_GIVEN_MAX 200

struct cred_keys {
	uint8_t stored[DIGEST_LEN];
	uint8_t server[DIGEST_LEN];
};

struct cred_secret {
	char id[CRED_ID_LEN]; /* unique in its credential */
	int64_t created_ms;
	int64_t expires_ms;  /* 0: never */
	int64_t replaced_ms; /* when a newer one came; 0: it is the newest */
	int64_t silent_ms;   /* ends when it was not used for so long; 0: not for that */
	struct cred_keys keys;
};

struct cred {
	char *name;
	char *note;
	char *by;
	int64_t created_ms;
	int64_t revoked_ms;  /* 0: it is not */
	int64_t disabled_ms; /* 0: it is not; else until it is enabled again */
	int64_t expires_ms;  /* 0: never */
	uint8_t salt[CRED_SALT_LEN];
	struct cred_secret *secrets;
	size_t n_secrets;
	char **senders;
	size_t n_senders;
	struct ipnet *networks;
	size_t n_networks;
	char **streams;
	size_t n_streams;
	/* 0: no bound of its own */
	unsigned per_minute; /* messages */
	unsigned per_day;
	unsigned recipients_max; /* of a message */
	struct cred_use *use;	 /* never NULL in the list */
};

struct creds;
struct creds *creds_new(void);
void creds_free(struct creds **cp);
/* From and to the text that the store keeps. A second one of the same name replaces it and goes on
 * with what was counted. ERR_LIMIT, ERR_CORRUPT. */
int creds_put(struct creds *c, const char *json, struct err *err) MUST_CHECK;
json_t *creds_json(const struct cred *x);	       /* owned */
json_t *cred_secret_json(const struct cred_secret *s); /* one of "secrets"; owned */
bool creds_drop(struct creds *c, struct str name);
/* For a list that was made beside this one: the credentials change places; what is counted of those
 * that stay goes on. */
void creds_swap(struct creds *c, struct creds *other);
/* creds_free() in steps: true while there is more of it. */
bool creds_free_some(struct creds **cp, size_t most);
/* Letter case is ignored; NULL when there is none. */
const struct cred *creds_find(const struct creds *c, struct str name);
/* In the order of the names. */
size_t creds_n(const struct creds *c);
const struct cred *creds_at(const struct creds *c, size_t i);

/* Lower-case letters, digits and .-_+@, the first a letter or a digit. ERR_INVALID. */
int cred_name_check(struct str name, struct err *err) MUST_CHECK;
/* A bound as it is kept: domains in their canonical spelling. ERR_INVALID. */
int cred_sender_read(struct str sender, char ret[static CRED_SENDER_LEN],
		     struct err *err) MUST_CHECK;

/* active, revoked, disabled, expired (also when every secret is), empty (it has none). */
const char *cred_status(const struct cred *x, int64_t now_ms);
bool cred_in_networks(const struct cred *x, const struct ipaddr *client);
bool cred_in_streams(const struct cred *x, struct str stream);
bool cred_may_send(const struct cred *x, const struct address *from);
const struct cred_secret *cred_secret_find(const struct cred *x, struct str id);
bool cred_secret_usable(const struct cred *x, const struct cred_secret *s, int64_t now_ms);
/* Why it may not be used now, in words for the log; NULL when it may. */
const char *cred_objection(const struct cred *x, const struct cred_secret *s, int64_t now_ms);

/* When it ends because nobody uses it, as far as is known now; 0: not for that, or it has ended. */
int64_t cred_silent_end_ms(const struct cred *x, const struct cred_secret *s, int64_t now_ms);
/* Whether this client of an old secret has not been seen with the newest one since. */
bool cred_is_straggler(const struct cred *x, const struct cred_secret *s,
		       const struct cred_user *u);
/* Of all old secrets that are still good. */
size_t cred_stragglers(const struct cred *x, int64_t now_ms);
/* An id that no secret of it has or had. */
void cred_next_id(const struct cred *x, char ret[static CRED_ID_LEN]);

/* --- what is counted -------------------------------------------------------------------------- */

/* Nothing when there is no such credential, or it has no such secret. */
void creds_note(struct creds *c, struct str name, const struct cred_sight *s, int64_t now_ms);
/* Takes one of the messages of the day; false when there is none left. */
bool creds_day_take(struct creds *c, struct str name, int64_t now_ms);
void creds_day_give(struct creds *c, struct str name, int64_t now_ms);
/* What the store had of it. False: there is no such credential any more. */
bool creds_put_use(struct creds *c, struct str name, const json_t *o);
/* A message of this day that came in at a time: counted, unless the store had it counted. */
void creds_day_again(struct creds *c, struct str name, int64_t received_ms, int64_t now_ms);
/* The next one behind a name (empty: the first) whose counts the store has not, and which it has
 * from now on; NULL: no more. */
const struct cred *creds_dirty(struct creds *c, struct str behind);
/* It could not have them. Nothing when there is no such credential any more. */
void creds_dirty_again(struct creds *c, struct str name);

/* --- secrets ---------------------------------------------------------------------------------- */

/* Whether a secret that somebody chose can be one: its length, printable ASCII. ERR_INVALID. */
int cred_given_check(struct str secret, struct err *err) MUST_CHECK;
/* A new secret: letters and digits that are hard to mistake for one another. */
void cred_secret_make(char ret[static CRED_SECRET_LEN]);
void cred_derive(struct str secret, const uint8_t salt[static CRED_SALT_LEN],
		 struct cred_keys *ret);

/*
 * The salt of a name, known or not. The salts of unknown names follow from random bytes that have
 * to be the same after the next start: the store keeps them (kind "pepper").
 */
void creds_salt(const struct creds *c, struct str name, uint8_t ret[static CRED_SALT_LEN]);
/* Keys that no secret has, for names that are not known. */
void creds_no_keys(const struct creds *c, struct str name, struct cred_keys *ret);
int creds_put_pepper(struct creds *c, const char *json, struct err *err) MUST_CHECK;
json_t *creds_pepper_json(const struct creds *c); /* owned */

#endif
