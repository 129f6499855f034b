/*
 * replay - what an edit of routes or streams would do to mail that is here, and to mail of the last
 * hour.
 *
 * Model:   the lists as they would be are made beside those in force, and both are asked, by the
 *          functions that decide (ctl/decide.h), about every queued recipient and about those that
 *          came and left in the last hour. What they answer differently would move: counted by
 *          where it goes now and where it would. Queued mail is decided by whole groups of the
 *          scheduler; only where the rules ask for more, recipients are read from the store. A
 * queued message stays in its stream, so that streams are only asked about the last hour: all
 * messages that came in, with all their recipients. But from which pool, and with what TLS, it goes
 * follows its stream as it is. The answer is {"queued", "recent", "in_delivery", "undecided",
 * "since_at", "whole", "moves": [{"what", "from", "to", "queued", "recent"}, …]}, the largest
 * first: counts of recipients; in_delivery would move, but are on their way now; undecided is what
 * depends on what is not known here (a provider, a header field); whole is false when there was
 *          more in the last hour than is looked at.
 * Owner:   who started it frees it, also before it is done.
 * Context: loop thread, in slices. done() is called once, never from inside replay_start().
 * Limits:  REPLAY_RECENT_MAX recipients of the last hour; REPLAY_MOVES different moves are listed.
 */
#ifndef CTL_REPLAY_H
#define CTL_REPLAY_H

#include "ctl/env.h"

#define REPLAY_RECENT_MAX 200000
#define REPLAY_RECENT_MS (INT64_C(3600) * 1000)
#define REPLAY_MOVES 50

struct replay;
/* answer_take NULL: err says why. */
typedef void replay_fn(void *arg, json_t *answer_take, const struct err *err);
/* Whether these objects {kind, id, before, after} can move mail. */
bool replay_wanted(const json_t *objects);
/* Borrows objects for its life. */
struct replay *replay_start(struct ctl_env *env, const json_t *objects, replay_fn *fn, void *arg);
void replay_free(struct replay **rp);

#endif
