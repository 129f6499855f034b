#include "ctl/ask_providers.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/mem.h"
#include "base/obj.h"

#define ASK_PROVIDERS_MAGIC 0x57e3c0f2u
#define AT_ONCE 64
#define GROUPS 256 /* that are looked at in one go */

struct slot {
	struct ask_providers *a;
	uint64_t ask; /* 0: free */
};

struct ask_providers {
	uint32_t magic;
	struct ctl_env *env;
	void (*fn)(void *arg);
	void *arg;
	struct loop_timer *turn;
	struct loop_timer *deadline;
	struct slot slots[AT_ONCE];
	unsigned running;
	unsigned asked;
	uint32_t at; /* the next group */
};

static void end(struct ask_providers *a)
{
	void (*fn)(void *arg) = a->fn;

	if (fn == NULL)
		return;
	a->fn = NULL;
	loop_timer_cancel(a->turn);
	fn(a->arg); /* may free it */
}

static void on_answer(void *arg, const struct resolve_answer *answer)
{
	struct slot *s = arg;
	struct ask_providers *a = s->a;

	(void)answer;
	s->ask = 0;
	a->running--;
	if (a->fn != NULL && !loop_timer_pending(a->turn))
		loop_timer_set(a->turn, 0);
}

static struct slot *free_slot(struct ask_providers *a)
{
	for (size_t i = 0; i < AT_ONCE; i++)
		if (a->slots[i].ask == 0)
			return &a->slots[i];
	return NULL;
}

static void ask(struct ask_providers *a, struct str domain)
{
	struct slot *s = free_slot(a);
	char hop[ROUTE_HOP_MAX];

	ASSERT(s != NULL);
	(void)snprintf(hop, sizeof(hop), "mx:%.*s", STR_ARG(domain));
	s->a = a;
	s->ask = resolver_ask(a->env->resolver, hop, 0, on_answer, s);
	a->running++;
	a->asked++;
}

static void on_turn(void *arg)
{
	struct ask_providers *a = OBJ(ask_providers, ASK_PROVIDERS_MAGIC, arg);
	const struct sched *s = a->env->sched;
	uint32_t stop = a->at + GROUPS;

	for (; a->at < sched_groups(s) && a->at < stop && a->running < AT_ONCE &&
	       a->asked < ASK_PROVIDERS_MAX;
	     a->at++) {
		struct sched_group_view v;
		struct str domain;
		if (!sched_group(s, a->at, &v) || v.counts.total == 0)
			continue;
		domain = queue_name_text(a->env->queue, v.domain);
		if (domain.n > 0 && resolver_provider(a->env->resolver, domain) == NULL)
			ask(a, domain);
	}
	if (a->running == AT_ONCE)
		return; /* an answer goes on */
	if (a->at < sched_groups(s) && a->asked < ASK_PROVIDERS_MAX)
		loop_timer_set(a->turn, 0);
	else if (a->running == 0)
		end(a);
}

static void on_deadline(void *arg)
{
	end(OBJ(ask_providers, ASK_PROVIDERS_MAGIC, arg));
}

struct ask_providers *ask_providers_start(struct ctl_env *env, void (*fn)(void *arg), void *arg)
{
	struct ask_providers *a = xcalloc(1, sizeof(*a));

	a->magic = ASK_PROVIDERS_MAGIC;
	a->env = env;
	a->fn = fn;
	a->arg = arg;
	a->turn = loop_timer_new(env->loop, "ctl.ask-providers", on_turn, a);
	a->deadline = loop_timer_new(env->loop, "ctl.ask-providers-end", on_deadline, a);
	loop_timer_set(a->turn, 0);
	loop_timer_set(a->deadline, ASK_PROVIDERS_MS);
	return a;
}

void ask_providers_free(struct ask_providers **ap)
{
	struct ask_providers *a = *ap;

	*ap = NULL;
	if (a == NULL)
		return;
	for (size_t i = 0; i < AT_ONCE; i++)
		if (a->slots[i].ask != 0 && a->env->resolver != NULL)
			resolver_cancel(a->env->resolver, a->slots[i].ask);
	loop_timer_free(&a->turn);
	loop_timer_free(&a->deadline);
	a->magic = 0;
	free(a);
}
