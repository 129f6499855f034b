/*
 * why - what binds a recipient, in words.
 *
 * Model:   a reason is a word of a fixed list (fields.def, why.binding), a text, and where they are
 *          known since when, until when, and the rule. The functions below set the word and append
 *          to the text.
 * Owner:   why_json() frees the text.
 */
#ifndef CTL_WHY_H
#define CTL_WHY_H

#include "ctl/env.h"

#define WHY_TEXT_MAX 2000

/* In the order in which they bind. */
enum binding {
	B_HELD,
	B_CREDENTIAL,
	B_ROUTE,
	B_RATE,
	B_CONCURRENCY,
	B_WARMUP,
	B_SOURCE,
	B_DNS,
	B_TLS,
	B_CONNECT,
	B_BACKOFF,
	B_REMOTE,
	B_RETRY,
	B_WAITING,
	B_DELIVERING,
	B_TRASH,
	B_DONE,
	B_UNKNOWN,
	B__COUNT
};

struct why {
	enum binding binding;
	int64_t since_ms;
	int64_t until_ms;
	char rule[64];
	int64_t current; /* of what is limited; -1: nothing */
	int64_t limit;
	struct buf text;
};
#define WHY_INIT                                                                                   \
	((struct why){ .binding = B_UNKNOWN, .current = -1, .text = BUF_INIT(WHY_TEXT_MAX) })
json_t *why_json(struct why *w);
void why_say(struct why *w, const char *fmt, ...) PRINTF_LIKE(2, 3);

void why_held(const struct ctl_env *env, struct why *w, uint32_t hold);
/* A route keeps, rejects or discards it; false: the next hop is a real one. */
bool why_route(const struct ctl_env *env, struct why *w, const char *next_hop,
	       const struct filter_row *row);
/* False: the next hop is not in back-off. */
bool why_backoff(const struct ctl_env *env, struct why *w, const char *next_hop,
		 uint8_t reply_class);
void why_due(const struct ctl_env *env, struct why *w, const char *next_hop, uint32_t stream,
	     uint64_t ready);
/* site: of the provider, for the rules. */
void why_deferred(const struct ctl_env *env, struct why *w, struct str site, uint8_t reply_class,
		  const char *reply, int64_t next_ms);
/* A credential that sends nothing now: it may not, or has reached its limit. False: it may. */
bool why_credential(const struct ctl_env *env, struct why *w, struct str name);
/* All of it for one recipient; `last` is its last event, or NULL. */
void why_recipient(const struct ctl_env *env, const struct queue_entry *e,
		   const struct queue_event *last, struct why *w);

#endif
