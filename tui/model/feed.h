/*
 * feed - the relay's events as they happen: a ring of the last ones.
 *
 * Model:   filled by event.list once and by the subscription from then on; rows in order of seq,
 *          each once, whichever way it came. Older ones are fetched when feed_older() asks. After
 *          a lost link what was missed is fetched.
 * Owner:   feed_free() ends the subscription. Rows are borrowed until the next call into the loop.
 * Limits:  FEED_MAX rows; the oldest go first.
 */
#ifndef MODEL_FEED_H
#define MODEL_FEED_H

#include "model/rpc.h"

#define FEED_MAX 5000

struct feed;

/* `where`: a filter, "" for all. */
struct feed *feed_new(struct rpc rpc, const char *where, void (*changed)(void *arg), void *arg);
void feed_free(struct feed **fp);
int64_t feed_count(const struct feed *f);
const json_t *feed_get(const struct feed *f, int64_t index);
int64_t feed_index_of(const struct feed *f, int64_t seq); /* -1: not here */
void feed_older(struct feed *f);
const struct err *feed_error(const struct feed *f);

#endif
