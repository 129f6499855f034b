/*
 * reaper - frees what is large in slices, so that the loop goes on meanwhile.
 *
 * Owner:   what is given to it is its own. reaper_free() frees what is left at once.
 * Context: loop thread.
 */
#ifndef CTL_REAPER_H
#define CTL_REAPER_H

#include <jansson.h>
#include <stdbool.h>

struct loop;
struct reaper;
/* Frees some of it: some 100 us. False: that was all, and the thing itself is gone. */
typedef bool reap_fn(void *thing);

struct reaper *reaper_new(struct loop *loop);
void reaper_free(struct reaper **rp);
void reap(struct reaper *r, void *thing_take, reap_fn *some);
/* An array or an object whose members may be many. NULL is nothing; what others have, too, stays
 * theirs. */
void reap_json(struct reaper *r, json_t *v_take);

#endif
