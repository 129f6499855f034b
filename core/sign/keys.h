/*
 * keys - the DKIM keys of the sending domains.
 *
 * Model:   a key has a domain, a selector and a state: waiting (its record is published first, it
 *          does not sign yet), active, retired (it signs no more; its record stays while mail that
 *          it signed is under way). All active keys of a domain sign, one signature each.
 *          Keys are objects of the store in two parts: the public one (kind "dkim", id
 *          "DOMAIN/SELECTOR"), which journals and answers may show, names the private one (kind
 *          "dkim-secret"), which nothing shows. A private part that no key names any more is an
 *          orphan: it stays for as long as an undo may want it. A public part may come without its
 *          private one (from another relay, by config import): such a key signs nothing until that
 *          is added.
 * Stored:  {"domain", "selector", "state", "secret", "public", "by", "created_ms"}, and
 *          {"pem"} for a secret, whose id is a digest of the public key.
 * Owner:   entries belong to the list; pointers stay valid until its next change. The struct
 *          dkim_key of an entry is shared: sign_key_ref() keeps it for a signature under way.
 * Context: loop thread; a key that is referenced may be used in any thread.
 * Errors:  ERR_LIMIT, ERR_CORRUPT with what is wrong.
 * Limits:  KEYS_MAX keys, KEYS_DOMAIN_MAX of one domain.
 */
#ifndef SIGN_KEYS_H
#define SIGN_KEYS_H

#include <jansson.h>

#include "base/digest.h"
#include "sign/dkim.h"

#define KEYS_KIND "dkim"
#define KEYS_KIND_SECRET "dkim-secret"
#define KEYS_MAX 100000
#define KEYS_DOMAIN_MAX 8
#define KEY_DOMAIN_MAX 253
#define KEY_SELECTOR_MAX 63 /* labels and dots; together with the domain a name in DNS */
#define KEY_ID_MAX (KEY_DOMAIN_MAX + KEY_SELECTOR_MAX + 1)
#define KEY_SECRET_LEN DIGEST_HEX_LEN /* of a secret's id, with its end */

enum key_state { KEY_WAITING, KEY_ACTIVE, KEY_RETIRED, KEY_STATE__COUNT };
const char *key_state_name(enum key_state s);

/* A private key in use; counted in the loop thread. */
struct sign_key;
struct sign_key *sign_key_ref(struct sign_key *k);
void sign_key_unref(struct sign_key **kp);
const struct dkim_key *sign_key_dkim(const struct sign_key *k);

struct key_entry {
	char id[KEY_ID_MAX + 1];
	char domain[KEY_DOMAIN_MAX + 1]; /* lower case */
	char selector[KEY_SELECTOR_MAX + 1];
	char secret[KEY_SECRET_LEN];
	enum key_state state;
	struct sign_key *key; /* NULL: its private part is not here */
	char *record;	      /* what is published */
	char *by;
	int64_t created_ms;
	uint64_t signed_n; /* since the start */
	uint64_t failed_n;
	int64_t last_ms; /* 0: none since the start */
};

struct keys;
struct keys *keys_new(void);
void keys_free(struct keys **kp);

/* Whether a key may be called so: ERR_INVALID names the parameter. *ret_id is DOMAIN/SELECTOR. */
int keys_name(struct str domain, struct str selector, char ret_id[static KEY_ID_MAX + 1],
	      struct err *err) MUST_CHECK;
/* The private part: its id and its text for the store, a secret (owned; keys_wipe()). */
char *keys_secret(const struct dkim_key *k, char ret_id[static KEY_SECRET_LEN]);
void keys_wipe(char **textp);
/* The public part of a new key; owned. NULL when it cannot be written. */
json_t *keys_public(struct str domain, struct str selector, const struct dkim_key *k,
		    enum key_state state, const char *by, int64_t created_ms);

enum dkim_algorithm keys_algorithm(const struct key_entry *e);
/* The public part from what is published: of a key whose private one may be elsewhere. ERR_INVALID
 * names what is wrong: id, state or public. */
int keys_public_read(const char *id, const char *state, const char *record, const char *by,
		     int64_t created_ms, json_t **ret, struct err *err) MUST_CHECK;

/* From and to the texts of the store. Secrets come before the keys that name them. */
int keys_put_secret(struct keys *k, const char *id, const char *json, int64_t now_ms,
		    struct err *err) MUST_CHECK;
void keys_drop_secret(struct keys *k, const char *id);
bool keys_has_secret(const struct keys *k, const char *id);
int keys_put(struct keys *k, const char *json, int64_t now_ms, struct err *err) MUST_CHECK;
bool keys_drop(struct keys *k, struct str id, int64_t now_ms);
json_t *keys_json(const struct key_entry *e); /* owned; without anything secret */
/* A list beside this one, of the same private parts, which it borrows: no key in it yet. */
struct keys *keys_beside(struct keys *k);
/* The keys of a list beside this one change places with its own; what is counted goes on. */
void keys_swap(struct keys *k, struct keys *beside);
/* Frees a list beside another one in steps: true while there is more of it. */
bool keys_free_some(struct keys **kp, size_t most, int64_t now_ms);

/* The record's name in DNS, and a TXT record as a line of a zone file: strings of 255 bytes. */
bool keys_record_name(const char *domain, const char *selector, struct buf *out);
bool keys_zone_txt(const char *name, struct str text, struct buf *out);

const struct key_entry *keys_find(const struct keys *k, struct str id);
/* In the order of their ids; those of a domain stand together. */
size_t keys_n(const struct keys *k);
const struct key_entry *keys_at(const struct keys *k, size_t i);
size_t keys_empty_n(const struct keys *k); /* whose private part is not here */
size_t keys_mute_n(const struct keys *k);  /* of them, those that are to sign */
/* How many keys a domain has, and the place of the first for keys_at(). */
size_t keys_of(const struct keys *k, struct str domain, size_t *ret_first);
/* A private part that was orphaned before that time, or NULL. */
const char *keys_orphan(const struct keys *k, int64_t before_ms);
int64_t keys_orphan_ms(const struct keys *k); /* when the first one was, 0 without any */
/* What became of a signature. The key may be gone meanwhile. */
void keys_count(struct keys *k, struct str id, bool good, int64_t now_ms);

#endif
