/*
 * tally - how many there are of each key now: connections of an address, sessions of a credential.
 *
 * Model:   a key is there while its number is not 0. `what` tells apart what is counted of the same
 *          key. Owner: the caller. Context: loop thread; pure.
 * Limits:  as many keys as there are things counted; keys have TALLY_KEY_MAX bytes.
 */
#ifndef POLICY_TALLY_H
#define POLICY_TALLY_H

#include "base/str.h"

#define TALLY_KEY_MAX 64

struct tally;
struct tally *tally_new(void);
void tally_free(struct tally **tp);
unsigned tally_get(const struct tally *t, char what, struct str key);
void tally_add(struct tally *t, char what, struct str key);
void tally_drop(struct tally *t, char what, struct str key); /* that was added */

#endif
