/*
 * unread - mail to the relay's bounce and feedback addresses that came to nothing, kept for the
 * operator to look at.
 *
 * Model:   a list, the latest first, of at most `max` mails for `keep_ms` each; of each so much as
 *          shows what it is. The same content again is counted, and not kept twice.
 * Stored:  as objects of kind UNREAD_KIND by number, {"at_ms", "last_ms", "count", "client",
 *          "from", "to", "subject", "original", "why", "size", "digest", "text"}. Whoever has the
 *          list stores what unread_add() answers and drops what unread_pop() names.
 * Owner:   the list owns its mails; pointers stay valid until the next change.
 * Context: loop thread.
 */
#ifndef POLICY_UNREAD_H
#define POLICY_UNREAD_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/queue.h>

#include "base/err.h"
#include "base/str.h"

#define UNREAD_KIND "report" /* of objects */
#define UNREAD_TEXT_MAX ((size_t)16 * 1024)
#define UNREAD_ID_LEN 21 /* a number as text, with the terminator */

struct unread_mail {
	TAILQ_ENTRY(unread_mail) link;
	uint64_t id;
	int64_t at_ms;
	int64_t last_ms; /* the last one of the same content */
	uint64_t count;
	uint64_t size; /* of all of it */
	char *client;
	char *from; /* envelope; "" for the null sender */
	char *to;
	char *subject;
	char *original; /* Message-ID of what it returns; "" */
	char *why;
	char *digest;
	char *text; /* its beginning */
};

struct unread;
struct unread *unread_new(size_t max, int64_t keep_ms);
void unread_free(struct unread **up);

/* What came: borrowed. */
struct unread_new_mail {
	struct str content;
	const char *client;
	const char *from;
	const char *to;
	const char *subject;
	const char *original;
	const char *why;
};
const struct unread_mail *unread_add(struct unread *u, const struct unread_new_mail *m,
				     int64_t now_ms);
/* Drops one that is past its time or too many; *ret_id is its number. False: there is none. */
bool unread_pop(struct unread *u, int64_t now_ms, uint64_t *ret_id);
bool unread_drop(struct unread *u, uint64_t id);
const struct unread_mail *unread_find(const struct unread *u, uint64_t id);
/* The latest; then the next older one. */
const struct unread_mail *unread_first(const struct unread *u);
const struct unread_mail *unread_next(const struct unread_mail *m);
size_t unread_n(const struct unread *u);

json_t *unread_json(const struct unread_mail *m); /* owned */
/* At start, in any order. */
int unread_put_json(struct unread *u, const char *id, const char *json, struct err *err) MUST_CHECK;

#endif
