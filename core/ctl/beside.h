/*
 * beside - the lists of rules as a change of many objects will leave them, made beside those in
 * force, so that putting it in force is one short step.
 *
 * Model:   routes, the allowlist, credentials and keys have a list of their own here when the
 * change has many objects of the kind. It is made of what stays in the relay's list and of the
 *          objects; nobody changes the relay's list until they have changed places.
 * Owner:   what was in force is beside after the change of places, and goes with it.
 * Context: loop thread; a step takes some 100 us.
 */
#ifndef CTL_BESIDE_H
#define CTL_BESIDE_H

#include "ctl/env.h"

#define BESIDE_MIN 200 /* objects of a kind; fewer are put in force one by one */

struct beside;
/* Borrows the objects: {kind, id, before, after}. */
struct beside *beside_new(struct ctl_env *env, const json_t *objects);
/* 1: there is more to do, 0: all is made. */
int beside_step(struct beside *b, struct err *err) MUST_CHECK;
/* The objects that belong to no list of it, also those that came after it was made. */
const json_t *beside_rest(struct beside *b);
/* In force from here on. Tells of each kind that was. */
void beside_swap(struct beside *b, void (*changed)(void *arg, const char *kind), void *arg);
/* For a reaper. */
bool beside_free_some(void *beside);

#endif
