/*
 * suppress - the suppression list: addresses and domains that get no mail any more, of one stream
 * or of all.
 *
 * Model:   entries in the order of (address, scope), all in memory: the list is asked for every
 *          recipient. An address is kept in lower case, a domain without an '@'. An entry with
 *          `watch` is no suppression yet: so many bounces were counted, and it is forgotten
 *          when it ends. Entries of one import share its number; a dropped import is of no
 *          effect at once, and its entries go when suppress_sweep() comes to them.
 * Stored:  as an object: {"address", "scope", "source", "reason", "by", "message", "reply",
 *          "created_ms", "expires_ms", "watch", "batch"}, 0 and "" left out. Counters are not
 *          in it.
 * Owner:   entries belong to the list; pointers stay valid until the next change of it. Texts
 *          are copied; those that many entries share are kept once.
 * Context: loop thread; pure but for the counters.
 * Limits:  SUPPRESS_MAX entries.
 */
#ifndef POLICY_SUPPRESS_H
#define POLICY_SUPPRESS_H

#include <bsd/sys/tree.h>
#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/str.h"
#include "mail/address.h"

#define SUPPRESS_KIND "suppress"	  /* of objects: one entry */
#define SUPPRESS_IMPORT "suppress-import" /* one import; its entries are void without it */
#define SUPPRESS_MAX 5000000
#define SUPPRESS_SCOPE_MAX 64 /* bytes of a stream's name */
#define SUPPRESS_REASON_MAX 1000
#define SUPPRESS_REPLY_MAX 300 /* of a reply that is kept as evidence */
#define SUPPRESS_SCOPE "stream:"
#define SUPPRESS_ID_MAX (sizeof(SUPPRESS_SCOPE) + SUPPRESS_SCOPE_MAX + 1 + ADDRESS_DOMAIN_MAX)

enum suppress_source {
	SUPPRESS_HAND,
	SUPPRESS_IMPORTED,
	SUPPRESS_HARD_BOUNCE,
	SUPPRESS_COMPLAINT,
	SUPPRESS_BOUNCE, /* that came by mail */
	SUPPRESS_SOURCE__COUNT
};
const char *suppress_source_name(enum suppress_source s); /* "hand", "import", "hard-bounce", … */
bool suppress_source_find(const char *name, enum suppress_source *ret);

struct suppress_entry {
	RB_ENTRY(suppress_entry) link;
	const char *address;
	const char *scope; /* name of a stream; "": all */
	const char *reason;
	const char *by;
	const char *message; /* "id.n" of the evidence, or "" */
	const char *reply;
	int64_t created_ms;
	int64_t expires_ms; /* 0: never */
	int64_t last_hit_ms;
	uint64_t hits;
	uint64_t batch; /* number of the import; 0: none */
	uint32_t watch; /* bounces so far; 0: it is suppressed */
	enum suppress_source source;
	bool dirty; /* counters are not stored yet */
};

struct suppress;
struct suppress *suppress_new(void);
void suppress_free(struct suppress **sp);
/* Some of a large one, which is used for nothing else any more. False: that was all, and it is
 * gone. */
bool suppress_free_some(struct suppress **sp);

/* What an operator or a file calls an address or a domain ("x@y.example", "y.example",
 * "@y.example"), in its canonical spelling. ERR_INVALID. */
int suppress_address(struct str text, char ret[static ADDRESS_DOMAIN_MAX + 1],
		     struct err *err) MUST_CHECK;
bool suppress_scope_valid(struct str name);
static inline bool suppress_is_domain(const char *address)
{
	return strchr(address, '@') == NULL;
}

/* The id under which the store has an entry: "ADDRESS", or "stream:NAME ADDRESS"; and back. */
void suppress_id(const char *address, const char *scope, char ret[static SUPPRESS_ID_MAX + 1]);
bool suppress_id_parse(struct str id, struct str *ret_address, struct str *ret_scope);

/* Copies it; one of the same address and scope is replaced, and keeps its counters unless e has
 * some. ERR_LIMIT. */
int suppress_put(struct suppress *s, const struct suppress_entry *e, struct err *err) MUST_CHECK;
int suppress_put_json(struct suppress *s, const char *json, struct err *err) MUST_CHECK;
json_t *suppress_json(const struct suppress_entry *e); /* owned */
bool suppress_drop(struct suppress *s, const char *address, const char *scope);
const struct suppress_entry *suppress_find(const struct suppress *s, const char *address,
					   const char *scope); /* exactly this one, also ended */
const struct suppress_entry *suppress_by_id(const struct suppress *s, struct str id);

/* The entry because of which this recipient gets no mail of this stream, or NULL. */
struct suppress_entry *suppress_check(struct suppress *s, struct str address, struct str stream,
				      int64_t now_ms);
/* Counts a recipient that was refused or dropped. */
void suppress_hit(struct suppress *s, struct suppress_entry *e, int64_t now_ms);
/* Whether it suppresses (watches do not), and is not past its end. */
bool suppress_active(const struct suppress *s, const struct suppress_entry *e, int64_t now_ms);

/* Imports. Entries of one that was not added are void. */
void suppress_batch_add(struct suppress *s, uint64_t batch);
void suppress_batch_drop(struct suppress *s, uint64_t batch);
bool suppress_batch_has(const struct suppress *s, uint64_t batch);
size_t suppress_batch_n(const struct suppress *s, uint64_t batch); /* entries that it has left */

/* All entries that are not void. */
size_t suppress_n(const struct suppress *s);
/* In their order: the first one behind this place (NULL: the first); void ones come, too. */
const struct suppress_entry *suppress_after(const struct suppress *s, const char *address,
					    const char *scope);
const struct suppress_entry *suppress_next(const struct suppress *s,
					   const struct suppress_entry *e);

/*
 * Goes over the next `max` entries, and begins anew at the end (then true). Those that are void or
 * past their end are given to `gone` and dropped, those with counters to be stored to `counted`.
 */
struct suppress_sweep_ops {
	void (*gone)(void *arg, const struct suppress_entry *e);
	void (*counted)(void *arg, const struct suppress_entry *e);
};
bool suppress_sweep(struct suppress *s, size_t max, int64_t now_ms,
		    const struct suppress_sweep_ops *ops, void *arg);

#endif
