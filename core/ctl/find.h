/*
 * find - every queued recipient that matches a filter, found in slices.
 *
 * Model:   what the scheduler's records can tell (state, domain, provider, stream, id, code, class,
 *          age, next, attempts) is decided in memory: whole groups first, then the records of those
 *          groups that a filter leaves open. Where the filter asks for more, the store is scanned.
 *	find_decidable()  the records are enough
 *          Otherwise FIND_MAYBE finds the candidates in memory, those that the records cannot rule
 *          out, and without it the store decides.
 * Owner:   the filter is borrowed until done() was called. A find that is left at the end goes with
 *          views_close().
 * Context: loop thread. done() is called once, never from inside find_start().
 */
#ifndef CTL_FIND_H
#define CTL_FIND_H

#include "ctl/views.h"

enum {
	FIND_TRASH = 1u << 0,	 /* also what is in the trash */
	FIND_ENTRIES = 1u << 1,	 /* each() needs the stored row */
	FIND_MAYBE = 1u << 2,	 /* in memory only; each() says what is sure */
	FIND_IDS = 1u << 3,	 /* v has rid, group, attempts and own_next_ms only */
	FIND_FINISHED = 1u << 4, /* finished recipients too; implies FIND_ENTRIES */
};

struct find_ops {
	/* v is NULL for finished recipients, e unless FIND_ENTRIES. False: enough, end with an
	 * error of ERR_LIMIT. */
	bool (*each)(void *arg, const struct sched_view *v, const struct queue_entry *e, bool sure);
	/* All of the scheduler's group i matches: true when it was taken as a whole. May be NULL.
	 */
	bool (*whole)(void *arg, uint32_t i, const struct sched_group_view *v);
	void (*done)(void *arg, const struct err *err);
};

uint32_t find_fields(void);		     /* of filters, that records know */
bool find_decidable(const struct filter *f); /* NULL: everything */
/* No queued recipient can match, whatever else it is: only finished ones are to be looked at. */
bool find_only_finished(const struct filter *f);
void find_start(struct ctl_env *env, const struct filter *f, unsigned flags,
		const struct find_ops *ops, void *arg);

#endif
