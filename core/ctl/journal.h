/*
 * journal - the recent part of the journal in memory: what can still be taken back, what is still
 * to be brought to its end, and the answers of the last hour (actions.c). The store has the rest.
 */
#ifndef CTL_JOURNAL_H
#define CTL_JOURNAL_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/queue.h>

#include "base/str.h"
#include "mail/msgid.h"
#include "proto/proto.h"

struct actions;

#define ACTION_ID_LEN 24
/* Times in the undo text of a retry: eight digits of six bits each, the highest first. */
#define WAS_DIGITS 8
#define WAS_BEGIN "{\"was\":\""
#define WAS_END "\"}"
#define WAS_ALPHABET "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"

enum action_state {
	ACTION_UNDOABLE, /* stored; past its time it reads as EXPIRED, or as DONE with a set */
	ACTION_DONE,	 /* final, or never could be taken back */
	ACTION_UNDONE,
	ACTION_EXPIRED,
	ACTION_STATE__COUNT
};
const char *journal_state_name(enum action_state s);

struct action {
	TAILQ_ENTRY(action) link;
	uint64_t id;
	int64_t at_ms;
	int64_t undo_until_ms;		 /* 0: cannot be taken back */
	const struct method_def *method; /* NULL: of another version */
	char *who;
	char *target;
	char *reason;
	char *request;
	enum action_state state;
	json_t *result;	  /* the answer */
	json_t *objects;  /* array of {kind, id, before, after}, or NULL */
	struct rid *rids; /* ascending */
	size_t n;
	int64_t *was;  /* of retry: next times before; 0: only its next hop waited */
	size_t stored; /* of retry: so many of the set have their new times on disk */
	bool wipe;     /* secrets are in objects: they go with the end of its window */
	bool busy;     /* being taken back or brought to its end */
};
TAILQ_HEAD(action_list, action);

void journal_id_text(uint64_t id, char ret[static ACTION_ID_LEN]);
bool journal_id_parse(struct str text, uint64_t *ret_id);
struct action *journal_find(struct actions *a, uint64_t id);
enum action_state journal_state_now(const struct actions *a, const struct action *x);
bool journal_is(const struct action *x, enum method_id m);
/* Its target is the action that it took back. */
bool journal_is_undo(const struct action *x);
/* The newest one that changed this object, or has this recipient in its trash; NULL. */
const struct action *journal_on_object(struct actions *a, const char *kind, const char *id);
const struct action *journal_on_rid(struct actions *a, struct rid rid);
/* "queue.delete domain:x by olga (a7)" */
void journal_name(const struct action *x, char *ret, size_t n);
/* New state; drops the set. */
void journal_close(struct actions *a, struct action *x, enum action_state state);

#endif
