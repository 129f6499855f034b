/*
 * Three ways to the same set, the cheapest that fits:
 *
 *	IDS	the filter names messages: look-ups
 *	HELD	what certain holds hold: one pass over records
 *	FIND	all other filters: see find.h
 *
 * The filter is a copy, and a cancelled selection stays until the search or the sorting that is
 * under way has answered, because those work on it elsewhere.
 */
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/mem.h"
#include "base/obj.h"
#include "ctl/actions_int.h"
#include "ctl/find.h"

#define SELECT_MAGIC 0x57e3c012u
#define SORT_HERE_MAX 2048 /* more are sorted by a worker */

enum busy { BUSY_NO, BUSY_FIND, BUSY_SORT };

struct select {
	uint32_t magic;
	LIST_ENTRY(select) link;
	bool listed;
	struct ctl_env *env;
	struct filter *filter;
	select_fn *fn; /* NULL: cancelled */
	void *arg;
	struct slicer slicer;
	enum busy busy;
	struct selection found;
	size_t cap;
	bool unsorted;
	struct err err;
	/* IDS */
	struct filter_range *ranges;
	size_t ranges_n;
	size_t range;
	/* HELD */
	uint32_t *holds;
	size_t holds_n;
	uint32_t place;
};

void selection_done(struct selection *s)
{
	free(s->rids);
	*s = (struct selection){ .n = 0 };
}

static void select_free(struct select **sp)
{
	struct select *s = *sp;
	*sp = NULL;
	if (s->listed)
		LIST_REMOVE(s, link);
	slicer_done(&s->slicer);
	filter_free(&s->filter);
	selection_done(&s->found);
	free(s->ranges);
	free(s->holds);
	s->magic = 0;
	free(s);
}

void selects_close(struct actions *a)
{
	struct select *s;
	while ((s = LIST_FIRST(&a->selects)) != NULL) {
		LIST_REMOVE(s, link);
		s->listed = false;
		s->fn = NULL;
		if (s->busy != BUSY_SORT) /* which the loop ends */
			select_free(&s);
	}
}

/* --- the end ---------------------------------------------------------------------------------- */

static void finish(struct select *s)
{
	select_fn *fn = s->fn;
	void *arg = s->arg;
	struct err err = s->err;
	struct selection found = s->found;
	s->found = (struct selection){ .n = 0 };
	select_free(&s);
	if (fn == NULL || err.code != 0)
		selection_done(&found);
	if (fn != NULL)
		fn(arg, &found, err.code != 0 ? &err : NULL);
}

static int rid_cmp(const void *a, const void *b)
{
	const struct rid *x = a;
	const struct rid *y = b;
	return (x->v > y->v) - (x->v < y->v);
}

/* An id that was named twice counts once. */
static void sort_work(void *arg)
{
	struct select *s = arg;
	struct selection *f = &s->found;
	size_t n = 0;
	qsort(f->rids, f->n, sizeof(struct rid), rid_cmp);
	for (size_t i = 0; i < f->n; i++)
		if (n == 0 || f->rids[n - 1].v != f->rids[i].v)
			f->rids[n++] = f->rids[i];
	f->n = n;
}

static void sort_done(void *arg)
{
	struct select *s = OBJ(select, SELECT_MAGIC, arg);
	s->busy = BUSY_NO;
	finish(s);
}

static void sort_and_finish(struct select *s)
{
	if (s->unsorted && s->found.n > SORT_HERE_MAX) {
		s->busy = BUSY_SORT;
		(void)loop_job_start(s->env->loop, "ctl.select", sort_work, sort_done, s);
		return;
	}
	if (s->unsorted)
		sort_work(s);
	finish(s);
}

static void on_looked(void *arg)
{
	sort_and_finish(OBJ(select, SELECT_MAGIC, arg));
}

static void take(struct select *s, const struct sched_view *v)
{
	struct selection *f = &s->found;
	if (v->state == SCHED_TRASH)
		return;
	if (v->state == SCHED_ACTIVE) {
		f->in_delivery++;
		return;
	}
	if (f->n == s->cap) {
		s->cap = s->cap == 0 ? 256 : s->cap * 2;
		f->rids = xreallocarray(f->rids, s->cap, sizeof(*f->rids));
	}
	s->unsorted = s->unsorted || (f->n > 0 && f->rids[f->n - 1].v >= v->rid.v);
	f->rids[f->n++] = v->rid;
}

/* --- the ways --------------------------------------------------------------------------------- */

static enum slice step_ids(void *arg)
{
	struct select *s = arg;
	const struct filter_range *r;
	struct sched_view v;
	if (s->range == s->ranges_n)
		return SLICE_END;
	r = &s->ranges[s->range++];
	for (uint64_t rid = r->first; rid <= r->last; rid++)
		if (sched_find(s->env->sched, (struct rid){ rid }, &v))
			take(s, &v);
	return SLICE_MORE;
}

static bool is_held(const struct select *s, const struct sched_view *v)
{
	for (size_t i = 0; v->state == SCHED_HELD && i < s->holds_n; i++)
		if (s->holds[i] == v->hold)
			return true;
	return false;
}

static enum slice step_held(void *arg)
{
	struct select *s = arg;
	for (uint32_t end = s->place + SLICER_ITEMS; s->place < end; s->place++) {
		struct sched_view v;
		if (s->place >= sched_places(s->env->sched))
			return SLICE_END;
		if (sched_at(s->env->sched, s->place, &v) && is_held(s, &v))
			take(s, &v);
	}
	return SLICE_MORE;
}

static bool find_each(void *arg, const struct sched_view *v, const struct queue_entry *e, bool sure)
{
	struct select *s = OBJ(select, SELECT_MAGIC, arg);
	(void)e;
	if (sure)
		take(s, v);
	return s->fn != NULL; /* cancelled: enough */
}

static void find_over(void *arg, const struct err *err)
{
	struct select *s = OBJ(select, SELECT_MAGIC, arg);
	s->busy = BUSY_NO;
	if (s->fn == NULL) {
		select_free(&s);
		return;
	}
	if (err != NULL) {
		s->err = *err;
		finish(s);
		return;
	}
	sort_and_finish(s);
}

static const struct find_ops find_ops = { .each = find_each, .done = find_over };

/* --- start and cancel ------------------------------------------------------------------------- */

static struct filter *copy_of(const struct filter *f)
{
	AUTO_BUF text = BUF_INIT(FILTER_TEXT_MAX + 1);
	struct filter *copy;
	(void)filter_print(f, &text);
	copy = filter_parse(buf_str(&text), NULL);
	ASSERT(copy != NULL);
	return copy;
}

/* A filter of ids, none of them only a beginning. */
static bool by_ids(struct select *s)
{
	s->ranges = xcalloc(FILTER_VALUES_MAX, sizeof(*s->ranges));
	s->ranges_n = filter_id_ranges(s->filter, s->ranges, FILTER_VALUES_MAX);
	for (size_t i = 0; i < s->ranges_n; i++)
		if (s->ranges[i].first >> RID_BITS != s->ranges[i].last >> RID_BITS)
			return false;
	return s->ranges_n > 0;
}

static struct select *select_new(struct ctl_env *env, select_fn *fn, void *arg)
{
	struct select *s = xcalloc(1, sizeof(*s));
	s->magic = SELECT_MAGIC;
	s->env = env;
	s->fn = fn;
	s->arg = arg;
	slicer_init(&s->slicer, env->loop, "ctl.select", s);
	s->listed = true;
	LIST_INSERT_HEAD(&env->actions->selects, s, link);
	return s;
}

struct select *select_held(struct ctl_env *env, const uint32_t *holds, size_t n, select_fn *fn,
			   void *arg)
{
	struct select *s = select_new(env, fn, arg);
	s->holds = xreallocarray(NULL, n + 1, sizeof(*holds));
	if (n > 0)
		memcpy(s->holds, holds, n * sizeof(*holds));
	s->holds_n = n;
	slicer_run(&s->slicer, step_held, on_looked);
	return s;
}

struct select *select_start(struct ctl_env *env, const struct filter *f, select_fn *fn, void *arg)
{
	struct select *s = select_new(env, fn, arg);
	s->filter = copy_of(f);
	if (by_ids(s)) {
		slicer_run(&s->slicer, step_ids, on_looked);
	} else {
		s->busy = BUSY_FIND;
		find_start(env, s->filter, 0, &find_ops, s);
	}
	return s;
}

void select_cancel(struct select **sp)
{
	struct select *s = *sp;
	*sp = NULL;
	if (s == NULL)
		return;
	s->fn = NULL;
	if (s->busy == BUSY_NO)
		select_free(&s);
}
