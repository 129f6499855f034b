/*
 *	GROUPS   verdicts of the scheduler's groups; ends here when none is left open
 *	RECORDS  the records of open groups, by place
 *	STORE    pages of the store, in the order of ids
 */
#include "ctl/find.h"

#include <stdlib.h>

#include "base/mem.h"
#include "base/obj.h"

#define CLOCK_EVERY 128 /* items between two looks at the clock */
#define STORE_IDS 8192	/* ids of one page: some 2 ms of work */
#define STORE_ROWS 500	/* rows of one page */

enum phase { GROUPS, RECORDS, STORE };

struct find {
	struct view_job job;
	const struct filter *filter;
	unsigned flags;
	const struct find_ops *ops;
	void *arg;
	enum phase phase;
	uint8_t *verdicts; /* of groups: enum filter_truth + 1; 0: not asked yet */
	uint32_t verdicts_n;
	uint32_t at; /* group, or place */
	bool open;   /* some group is */
	uint32_t row_group;
	struct filter_row row; /* of row_group */
	struct rid last;       /* STORE */
	bool ids_only;
};

#define MEMORY_FIELDS                                                                              \
	(1u << FILTER_ID | 1u << FILTER_STATE | 1u << FILTER_DOMAIN | 1u << FILTER_PROVIDER |      \
	 1u << FILTER_STREAM | 1u << FILTER_CODE | 1u << FILTER_CLASS | 1u << FILTER_AGE |         \
	 1u << FILTER_NEXT | 1u << FILTER_ATTEMPTS | 1u << FILTER_RELAY)

uint32_t find_fields(void)
{
	return MEMORY_FIELDS;
}

bool find_decidable(const struct filter *f)
{
	return f == NULL || (filter_uses(f) & ~MEMORY_FIELDS) == 0;
}

bool find_only_finished(const struct filter *f)
{
	for (int i = 0; f != NULL && i < SCHED_STATE__COUNT; i++) {
		struct filter_row row = FILTER_ROW_INIT(0);
		filter_row_text(&row, FILTER_STATE, str_of(sched_state_name((enum sched_state)i)));
		if (filter_eval(f, &row) != FILTER_FALSE)
			return false;
	}
	return f != NULL;
}

static void find_done(struct view_job *j)
{
	struct find *f = (struct find *)j;

	free(f->verdicts);
}

static void finish(struct find *f, const struct err *err)
{
	const struct find_ops *ops = f->ops;
	void *arg = f->arg;

	view_end(&f->job);
	ops->done(arg, err);
}

static void too_many(struct find *f)
{
	struct err err = ERR_INIT;

	(void)err_set(&err, ERR_LIMIT, "too many different rows; narrow it down with where");
	finish(f, &err);
}

/* ---- memory ---- */

static enum filter_truth eval(const struct find *f, const struct filter_row *row)
{
	return f->filter != NULL ? filter_eval(f->filter, row) : FILTER_TRUE;
}

/* Where the state is all that is missing: it may be the same for all of the group. */
static enum filter_truth eval_states(const struct find *f, const struct sched_group_view *v,
				     struct filter_row *row)
{
	enum filter_truth all = FILTER_UNKNOWN;
	bool first = true;

	for (int k = 0; k < SCHED_STATE__COUNT; k++) {
		enum filter_truth t;
		if (v->counts.state[k] == 0 || (k == SCHED_TRASH && (f->flags & FIND_TRASH) == 0))
			continue;
		filter_row_text(row, FILTER_STATE, str_of(sched_state_name((enum sched_state)k)));
		t = eval(f, row);
		if (!first && t != all)
			return FILTER_UNKNOWN;
		all = t;
		first = false;
	}
	return all;
}

static enum filter_truth verdict_of(const struct find *f, const struct sched_group_view *v)
{
	struct filter_row row;
	enum filter_truth t;

	env_group_row(f->job.env, v->domain, v->stream, &row);
	t = eval(f, &row);
	if (t == FILTER_UNKNOWN && (filter_uses(f->filter) & 1u << FILTER_STATE) != 0)
		t = eval_states(f, v, &row);
	return t;
}

/* v: the group, when it is at hand; else NULL. */
static enum filter_truth verdict(struct find *f, uint32_t group, const struct sched_group_view *v)
{
	struct sched_group_view here;
	uint32_t n = f->verdicts_n != 0 ? f->verdicts_n : 1024;

	if (group >= f->verdicts_n) {
		while (n <= group)
			n *= 2;
		f->verdicts = xreallocarray(f->verdicts, n, 1);
		memset(f->verdicts + f->verdicts_n, 0, n - f->verdicts_n);
		f->verdicts_n = n;
	}
	if (f->verdicts[group] == 0) {
		if (v == NULL) {
			(void)sched_group(f->job.env->sched, group, &here);
			v = &here;
		}
		f->verdicts[group] = (uint8_t)(verdict_of(f, v) + 1);
	}
	return (enum filter_truth)(f->verdicts[group] - 1);
}

/* True when all groups are through. */
static bool step_groups(struct find *f)
{
	struct sched_group_view v;
	uint32_t n = sched_groups(f->job.env->sched);

	for (; f->at < n; f->at++) {
		enum filter_truth t;
		if (f->at % CLOCK_EVERY == CLOCK_EVERY - 1 && view_slice_over(&f->job))
			return false;
		if (!sched_group(f->job.env->sched, f->at, &v))
			continue;
		t = verdict(f, f->at, &v);
		if (t == FILTER_TRUE && f->ops->whole != NULL && (f->flags & FIND_TRASH) == 0 &&
		    f->ops->whole(f->arg, f->at, &v))
			f->verdicts[f->at] = FILTER_FALSE + 1; /* its records are counted */
		else if (t != FILTER_FALSE)
			f->open = true;
	}
	return true;
}

/* The row of a record; what its group says is made once for neighbours. */
static const struct filter_row *row_of(struct find *f, const struct sched_view *v)
{
	if (v->group != f->row_group) {
		f->row_group = v->group;
		env_group_row(f->job.env, v->domain, v->stream, &f->row);
	}
	env_view_over(v, &f->row);
	return &f->row;
}

/* False: too many. */
static bool record(struct find *f, uint32_t place)
{
	struct sched_peek p;
	struct sched_view v;
	enum filter_truth t;

	if (!sched_peek(f->job.env->sched, place, &p) || (p.trash && (f->flags & FIND_TRASH) == 0))
		return true;
	t = verdict(f, p.group, NULL);
	if (t == FILTER_FALSE)
		return true;
	if (t == FILTER_TRUE && (f->flags & FIND_IDS) != 0) {
		v = (struct sched_view){ .rid = p.rid,
					 .group = p.group,
					 .attempts = p.attempts,
					 .own_next_ms = p.next_ms };
		return f->ops->each(f->arg, &v, NULL, true);
	}
	if (!sched_at(f->job.env->sched, place, &v))
		return true;
	if (t == FILTER_UNKNOWN)
		t = eval(f, row_of(f, &v));
	if (t == FILTER_TRUE)
		return f->ops->each(f->arg, &v, NULL, true);
	if (t == FILTER_UNKNOWN && (f->flags & FIND_MAYBE) != 0)
		return f->ops->each(f->arg, &v, NULL, false);
	return true;
}

static void step_records(struct find *f)
{
	uint32_t n = sched_places(f->job.env->sched);

	for (; f->at < n; f->at++) {
		if (f->at % CLOCK_EVERY == CLOCK_EVERY - 1 && view_slice_over(&f->job)) {
			n = 0;
			break;
		}
		if (!record(f, f->at)) {
			too_many(f);
			return;
		}
	}
	if (f->at < n || n == 0)
		view_soon(&f->job);
	else
		finish(f, NULL);
}

/* ---- store ---- */

static bool stored_id(struct find *f, const struct queue_entry *e)
{
	struct sched_view v;

	if (!sched_find(f->job.env->sched, e->rid, &v) ||
	    (v.state == SCHED_TRASH && (f->flags & FIND_TRASH) == 0) ||
	    eval(f, row_of(f, &v)) == FILTER_FALSE)
		return true;
	return f->ops->each(f->arg, &v, NULL, true);
}

static bool stored_row(struct find *f, const struct queue_entry *e)
{
	struct filter_row row;
	struct sched_view v;
	bool queued = e->outcome == OUTCOME_NONE || e->outcome == OUTCOME_DEFERRED;

	if (queued && (!sched_find(f->job.env->sched, e->rid, &v) ||
		       (v.state == SCHED_TRASH && (f->flags & FIND_TRASH) == 0)))
		return true;
	if (f->filter != NULL) {
		env_filter_row(f->job.env, e, &row);
		if (filter_eval(f->filter, &row) != FILTER_TRUE)
			return true;
	}
	return f->ops->each(f->arg, queued ? &v : NULL, e, true);
}

static void on_page(void *arg, const struct queue_entry *rows, size_t n, bool more,
		    const struct err *err)
{
	struct find *f = arg;

	f->row_group = UINT32_MAX;
	if (err != NULL) {
		finish(f, err);
		return;
	}
	for (size_t i = 0; i < n; i++)
		if (!(f->ids_only ? stored_id(f, &rows[i]) : stored_row(f, &rows[i]))) {
			too_many(f);
			return;
		}
	if (n > 0)
		f->last = rows[n - 1].rid;
	if (more && n > 0)
		view_soon(&f->job);
	else
		finish(f, NULL);
}

static void step_store(struct find *f)
{
	struct queue_scan scan = { .filter = f->filter,
				   .sort = QUEUE_SORT_ID,
				   .finished = (f->flags & FIND_FINISHED) != 0,
				   .finished_only = (f->flags & FIND_FINISHED) != 0 &&
						    find_only_finished(f->filter),
				   .after_set = f->last.v != 0,
				   .after = f->last,
				   .limit = f->ids_only ? STORE_IDS : STORE_ROWS,
				   .ids_only = f->ids_only,
				   .now_ms = loop_wall_ms(f->job.env->loop) };

	queue_scan(f->job.env->queue, &scan, on_page, f);
}

/* ---- */

static void find_step(struct view_job *j)
{
	struct find *f = (struct find *)j;

	f->row_group = UINT32_MAX; /* its texts were borrowed for a turn of the loop */
	if (f->phase == STORE) {
		step_store(f);
	} else if (f->phase == RECORDS) {
		step_records(f);
	} else if (!step_groups(f)) {
		view_soon(j);
	} else if (f->open) {
		f->phase = RECORDS;
		f->at = 0;
		view_soon(j);
	} else {
		finish(f, NULL);
	}
}

void find_start(struct ctl_env *env, const struct filter *filter, unsigned flags,
		const struct find_ops *ops, void *arg)
{
	static const struct view_job_ops job_ops = { .step = find_step, .done = find_done };
	struct find *f = xcalloc(1, sizeof(*f));
	bool memory = (flags & (FIND_ENTRIES | FIND_FINISHED)) == 0 &&
		      ((flags & FIND_MAYBE) != 0 || find_decidable(filter));

	f->filter = filter;
	f->flags = flags;
	f->ops = ops;
	f->arg = arg;
	f->phase = memory ? GROUPS : STORE;
	f->row_group = UINT32_MAX;
	/* ids are enough when what only we know can be asked apart from what only the store knows;
	 * a provider may be unknown to both, and then it does not match */
	f->ids_only =
		(flags & (FIND_ENTRIES | FIND_FINISHED)) == 0 &&
		(filter == NULL || ((filter_uses(filter) & 1u << FILTER_PROVIDER) == 0 &&
				    filter_splits(filter, 1u << FILTER_STATE, MEMORY_FIELDS)));
	view_begin(&f->job, env, NULL, &job_ops);
	view_soon(&f->job);
}
