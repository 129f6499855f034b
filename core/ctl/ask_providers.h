/*
 * ask_providers - who takes the mail of the queued domains, asked of DNS where it is not known.
 *
 * Model:   goes through the scheduler's groups and asks for some domains at a time, until all are
 *          known or the time is over: what is not known then stays unknown.
 * Owner:   the caller; fn() is called once, never from inside ask_providers_start(), and not after
 *          ask_providers_free().
 * Context: loop thread.
 * Limits:  ASK_PROVIDERS_MS; ASK_PROVIDERS_MAX domains.
 */
#ifndef CTL_ASK_PROVIDERS_H
#define CTL_ASK_PROVIDERS_H

#include "ctl/env.h"

#define ASK_PROVIDERS_MS 5000
#define ASK_PROVIDERS_MAX 20000

struct ask_providers;
struct ask_providers *ask_providers_start(struct ctl_env *env, void (*fn)(void *arg), void *arg);
void ask_providers_free(struct ask_providers **ap);

#endif
