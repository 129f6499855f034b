/*
 * Groups whose next hop is in no back-off are passed over as wholes; of the others each record is
 * looked at. What a group's next hop says is looked up with its first record. When no next hop is
 * in back-off, which is the rule, nothing is gone through but the groups.
 */
#include "ctl/waiting.h"

#include <stdlib.h>

#include "base/mem.h"
#include "ctl/find.h"

#define NONE UINT32_MAX

struct waiting {
	struct ctl_env *env;
	struct waiting_cause *v;
	size_t n;
	uint32_t *of_group; /* cause + 1; NONE; 0: not looked up yet */
	uint32_t groups_n;  /* when it began */
	uint64_t *pairs;    /* cause and domain of each group that has some */
	size_t pairs_n;
	size_t pairs_cap;
	waiting_fn *fn;
	void *arg;
};

void waiting_free(struct waiting **wp)
{
	struct waiting *w = *wp;

	if (w == NULL)
		return;
	*wp = NULL;
	free(w->v);
	free(w->of_group);
	free(w->pairs);
	free(w);
}

size_t waiting_n(const struct waiting *w)
{
	return w != NULL ? w->n : 0;
}

const struct waiting_cause *waiting_at(const struct waiting *w, size_t i)
{
	return &w->v[i];
}

static bool is_backed_off(const struct ctl_env *env, const struct sched_group_view *g,
			  struct sched_dest_view *ret)
{
	return g->hold == 0 && sched_dest(env->sched, g->next_hop, ret) &&
	       ret->backoff_until_ms != 0 && ret->why != NULL;
}

static uint64_t hash_of(const struct attempt *why, const char *text)
{
	return str_hash(str_of(text)) ^ str_hash(str_of(why->enhanced)) * 31u ^
	       ((uint64_t)why->code << 8 | why->reply_class);
}

static bool is_same(const struct waiting_cause *x, uint64_t hash, const struct attempt *why,
		    const char *text)
{
	return x->hash == hash && x->why.code == why->code &&
	       x->why.reply_class == why->reply_class &&
	       strcmp(x->why.enhanced, why->enhanced) == 0 && strcmp(x->text, text) == 0;
}

/* Its number, or NONE. */
static uint32_t cause_get(struct waiting *w, const struct attempt *why)
{
	char text[REPLY_TEXT_MAX + 1];
	struct waiting_cause *x;
	uint64_t hash;

	(void)reply_text_normalise(str_of(why->reply), text);
	hash = hash_of(why, text);
	for (size_t i = 0; i < w->n; i++)
		if (is_same(&w->v[i], hash, why, text))
			return (uint32_t)i;
	if (w->n == WAITING_MAX)
		return NONE;
	if (w->v == NULL)
		w->v = xcalloc(WAITING_MAX, sizeof(*w->v));
	x = &w->v[w->n];
	*x = (struct waiting_cause){ .why = *why, .hash = hash };
	memcpy(x->text, text, sizeof(text));
	return (uint32_t)w->n++;
}

static void add_domain(struct waiting *w, uint32_t cause, uint32_t domain)
{
	if (w->pairs_n == w->pairs_cap) {
		w->pairs_cap = w->pairs_cap != 0 ? 2 * w->pairs_cap : 64;
		w->pairs = xreallocarray(w->pairs, w->pairs_cap, sizeof(*w->pairs));
	}
	w->pairs[w->pairs_n++] = (uint64_t)cause << 32 | domain;
}

/* The cause of a group's next hop, or NONE. */
static uint32_t cause_of(struct waiting *w, uint32_t group)
{
	struct sched_group_view g;
	struct sched_dest_view d;
	uint32_t cause;

	if (group >= w->groups_n)
		return NONE; /* it is new */
	if (w->of_group[group] != 0)
		return w->of_group[group] == NONE ? NONE : w->of_group[group] - 1;
	w->of_group[group] = NONE;
	if (!sched_group(w->env->sched, group, &g) || !is_backed_off(w->env, &g, &d))
		return NONE;
	cause = cause_get(w, d.why);
	if (cause == NONE)
		return NONE;
	if (w->v[cause].since_ms == 0 || d.since_ms < w->v[cause].since_ms)
		w->v[cause].since_ms = d.since_ms;
	add_domain(w, cause, g.domain);
	w->of_group[group] = cause + 1;
	return cause;
}

static bool each(void *arg, const struct sched_view *v, const struct queue_entry *e, bool sure)
{
	struct waiting *w = arg;
	uint32_t cause;

	(void)e;
	(void)sure;
	if (v->attempts > 0 || v->state != SCHED_DEFERRED)
		return true;
	cause = cause_of(w, v->group);
	if (cause != NONE)
		w->v[cause].count++;
	return true;
}

static bool pass_over(void *arg, uint32_t i, const struct sched_group_view *g)
{
	struct waiting *w = arg;
	struct sched_dest_view d;

	(void)i;
	return !is_backed_off(w->env, g, &d);
}

static int by_pair(const void *a, const void *b)
{
	const uint64_t *x = a;
	const uint64_t *y = b;

	return (*x > *y) - (*x < *y);
}

static void on_found(void *arg, const struct err *err)
{
	struct waiting *w = arg;

	if (w->pairs_n > 0)
		qsort(w->pairs, w->pairs_n, sizeof(*w->pairs), by_pair);
	for (size_t i = 0; i < w->pairs_n; i++)
		if (i == 0 || w->pairs[i] != w->pairs[i - 1])
			w->v[w->pairs[i] >> 32].domains++;
	w->fn(w->arg, err);
}

struct waiting *waiting_start(struct ctl_env *env, const struct filter *f, waiting_fn *fn,
			      void *arg)
{
	static const struct find_ops ops = { .each = each, .whole = pass_over, .done = on_found };
	struct waiting *w = xcalloc(1, sizeof(*w));

	*w = (struct waiting){
		.env = env, .groups_n = sched_groups(env->sched), .fn = fn, .arg = arg
	};
	w->of_group = xcalloc((size_t)w->groups_n + 1, sizeof(*w->of_group));
	find_start(env, f, 0, &ops, w);
	return w;
}
