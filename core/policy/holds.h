/*
 * holds - the rules that keep mail back.
 *
 * Model:   a hold is a target (a filter) with who, why and until when; an object of the store (kind
 *          "hold", id "h1", "h2", …; the number is what the scheduler keeps). Holds on one domain,
 *          provider or stream, and on all, decide for a whole group of recipients by look-up.
 *          Others ask: for more than a group can say, each recipient is judged by itself.
 *          A hold past its expires_ms covers until it is ended (ended_ms), which is what tells the
 *          scheduler.
 *          A hold that ended leaves its time behind as long as it matters: it made lifetimes
 *          longer (unless keep_expiry).
 * Stored:  {"id", "target", "reason", "by", "created_ms", "expires_ms", "ended_ms", "keep_expiry"};
 *          times in wall clock milliseconds, 0 or absent: none.
 * Owner:   holds belong to the list; pointers stay valid until the next change of it.
 * Context: loop thread; pure.
 * Limits:  HOLDS_MAX active ones.
 */
#ifndef POLICY_HOLDS_H
#define POLICY_HOLDS_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "filter/target.h"

#define HOLDS_MAX 10000

struct hold {
	uint32_t number;
	char id[16];
	struct target target;
	char *reason;
	char *by;
	int64_t created_ms;
	int64_t expires_ms; /* 0: never */
	int64_t ended_ms;   /* 0: active */
	bool keep_expiry;
	bool asks; /* depends on more than domain, provider, stream and relay */
};

struct holds;
struct holds *holds_new(void);
void holds_free(struct holds **hp);
int holds_put(struct holds *h, const char *json, struct err *err) MUST_CHECK;
json_t *holds_json(const struct hold *x); /* owned; what the store keeps */
bool holds_drop(struct holds *h, uint32_t number);
const struct hold *holds_find(const struct holds *h, uint32_t number); /* active or ended; NULL */
const struct hold *holds_by_id(const struct holds *h, struct str id);
uint32_t holds_next_number(const struct holds *h);
size_t holds_active(const struct holds *h);
/* Active and ended, oldest first. */
size_t holds_n(const struct holds *h);
const struct hold *holds_at(const struct holds *h, size_t i);

/*
 * The active hold that covers a row, the oldest first; 0: none. *ret_asks: an active hold that
 * would come before that one (or any, when there is none) cannot be decided from what is known of
 * the row.
 */
uint32_t holds_judge(const struct holds *h, const struct filter_row *row, bool *ret_asks);
/*
 * How long ended and active holds stopped the lifetime of a row that was received at received_ms,
 * up to row->now_ms. Time under several holds counts once. A hold that cannot be decided from what
 * is known counts: mail is rather kept too long than given up too early.
 */
int64_t holds_extra_life(const struct holds *h, const struct filter_row *row, int64_t received_ms);
/* The earliest time at which an active hold ends by itself; 0: none does. */
int64_t holds_next_end(const struct holds *h);

#endif
