/*
 * allow - the allowlist: networks that may relay without authentication, or may authenticate.
 *
 * Model:   entries are objects of the store (kind "allow", id is the canonical network); this is
 *          what is asked for every connection. The most specific network that has an address
 *          decides. An entry past its end counts no more.
 *		relay		its clients may relay without authentication, and authenticate
 *		authenticate	its clients may authenticate
 *          While the list has an entry of the second kind (until it is taken away, when its time
 *          is over), who is in no network of it may not
 *          authenticate; while it has none, everybody may.
 *          What a client of a network with a stream sends without authentication belongs there.
 * Stored:  {"network", "mode" ("relay" unless said), "stream" ("" unless said), "note", "by",
 *          "created_ms", "expires_ms"}; times in wall clock
 *          milliseconds, 0 or absent: none. Beside it, now and then (ctl/uses.c), kind "allow-use"
 *          of the same id: {"hits", "last_hit_ms"}.
 * Owner:   entries belong to the list; pointers stay valid until the next change of it.
 * Context: loop thread; pure but for the counters.
 * Limits:  ALLOW_MAX entries.
 */
#ifndef POLICY_ALLOW_H
#define POLICY_ALLOW_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/ipnet.h"
#include "base/str.h"

#define ALLOW_MAX 100000
#define ALLOW_STREAM_LEN 64

enum allow_mode { ALLOW_RELAY, ALLOW_AUTHENTICATE, ALLOW_MODE__COUNT };
const char *allow_mode_name(enum allow_mode m);
/* False when it is none. */
bool allow_mode_read(const char *name, enum allow_mode *ret);

struct allow_entry {
	struct ipnet net;
	enum allow_mode mode;
	char stream[ALLOW_STREAM_LEN]; /* empty: by the rules */
	char text[IPNET_TEXT_LEN];     /* canonical; the entry's id */
	char *note;
	char *by;
	int64_t created_ms;
	int64_t expires_ms;  /* 0: never */
	int64_t last_hit_ms; /* 0: none */
	uint64_t hits;
};

struct allow;
struct allow *allow_new(void);
void allow_free(struct allow **ap);
/* From and to the text that the store keeps. A second entry of the same network replaces it, and
 * keeps its counters. ERR_LIMIT, ERR_CORRUPT. */
int allow_put(struct allow *a, const char *json, struct err *err) MUST_CHECK;
json_t *allow_json(const struct allow_entry *e); /* owned */
bool allow_drop(struct allow *a, struct str network);
/* For a list that is made beside this one: an entry of this one as it is. */
void allow_copy(struct allow *to, const struct allow_entry *e);
/* The contents change places; what was counted meanwhile goes on. */
void allow_swap(struct allow *a, struct allow *other);
/* allow_free() in steps: true while there is more of it. */
bool allow_free_some(struct allow **ap, size_t most);
const struct allow_entry *allow_find(const struct allow *a,
				     struct str network); /* exactly this one */
/* The entry that decides for this address, or NULL. */
const struct allow_entry *allow_check(const struct allow *a, const struct ipaddr *client,
				      int64_t now_ms);
/* Whether a client may authenticate for which this entry, or none, decides. */
bool allow_may_authenticate(const struct allow *a, const struct allow_entry *e);
/* The narrowest other entry in force that has all of this network, or NULL. */
const struct allow_entry *allow_above(const struct allow *a, const struct ipnet *net,
				      int64_t now_ms);
/* The same as allow_check() for a connection: counts it. */
const struct allow_entry *allow_hit(struct allow *a, const struct ipaddr *client, int64_t now_ms);
/* The next one whose counts the store has not, and which it has from now on; NULL: there is none.
 */
const struct allow_entry *allow_dirty(struct allow *a);
/* It could not have them. Nothing when there is no such entry any more. */
void allow_dirty_again(struct allow *a, struct str network);
bool allow_is_dirty(const struct allow *a);
json_t *allow_use_json(const struct allow_entry *e); /* owned */
/* What the store had of it. False: there is no such entry any more. */
bool allow_put_use(struct allow *a, struct str network, const json_t *o);
/* In the order of the networks. */
size_t allow_n(const struct allow *a);
const struct allow_entry *allow_at(const struct allow *a, size_t i);

#endif
