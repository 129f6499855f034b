/*
 * waiting - recipients that nobody was tried for: their next hop is in back-off, and they share
 * what it is in back-off for with those that were tried.
 *
 * Model:   found in slices (find.h), counted by the next hop's reply as causes are: code, class,
 *          enhanced code, normalised text.
 * Owner:   who starts it: waiting_free(), when fn was called or views_close() has ended the find.
 *          The filter is borrowed until then.
 * Context: loop thread. fn is called once, never from inside waiting_start().
 * Limits:  WAITING_MAX causes; what is beyond is not counted.
 */
#ifndef CTL_WAITING_H
#define CTL_WAITING_H

#include "ctl/env.h"
#include "mail/reply_text.h"

#define WAITING_MAX 1000

struct waiting_cause {
	struct attempt why;
	char text[REPLY_TEXT_MAX + 1];
	uint64_t hash; /* of the key */
	uint64_t count;
	uint64_t domains;
	int64_t since_ms; /* of the next hop that is in trouble longest */
};

struct waiting;
typedef void waiting_fn(void *arg, const struct err *err);
struct waiting *waiting_start(struct ctl_env *env, const struct filter *f, waiting_fn *fn,
			      void *arg);
void waiting_free(struct waiting **wp);
size_t waiting_n(const struct waiting *w); /* NULL: 0 */
const struct waiting_cause *waiting_at(const struct waiting *w, size_t i);

#endif
