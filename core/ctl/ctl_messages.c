/*
 * message.list: a window onto all recipients that match, in one of five orders.
 *
 * Where the records of the scheduler know enough of the filter and the order, they are looked
 * through (find.h) for the first recipients behind the cursor, and only the page's rows are read
 * from the store: it has no index on domain or state. Otherwise the store is scanned page by page,
 * with what it does not know (state, provider) asked here.
 *
 *	START -> COUNT (an exact total, when it is wanted and nothing else gives it)
 *	      -> FIND -> ROWS -> FIND …   records; ROWS reads the candidates, FIND goes on behind
 *them
 *	      -> SCAN -> SCAN …		  store
 *
 * A cursor is a place in the order: sort, order, direction of reading, the row's value and its id.
 */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "ctl/find.h"
#include "ctl/handlers.h"

#define READ_ROWS 100  /* rows made in one callback: a millisecond */
#define ROUNDS_MAX 200 /* reads for one page; then it ends early, with a cursor */
/*
 * The store is asked about candidates one by one as long as there are so few of them that it takes
 * no longer than to let it search all its rows.
 */
#define CANDIDATES_MIN 2000
#define CANDIDATES_PART 64 /* of all recipients */

enum sort { SORT_ID, SORT_AGE, SORT_NEXT, SORT_SIZE, SORT_ATTEMPTS, SORT__COUNT };
static const char *const sort_names[SORT__COUNT] = {
	[SORT_ID] = "id",     [SORT_AGE] = "age",	    [SORT_NEXT] = "next",
	[SORT_SIZE] = "size", [SORT_ATTEMPTS] = "attempts",
};

struct place {
	int64_t value;
	uint64_t rid;
};

struct window {
	struct view_job job;
	const struct filter *filter; /* NULL: all */
	enum sort sort;
	bool descending;
	size_t limit;
	bool backward; /* reads against the order */
	bool from;     /* behind `at` */
	struct place at;
	bool trash;
	bool finished;
	bool decidable; /* by records */
	bool states;	/* the filter asks for states, which change by the moment */
	/* the page so far, in the direction of reading */
	json_t *rows;
	struct place first;
	struct place last;
	bool more;
	unsigned rounds;
	bool started; /* behind a cursor: something stands before the page */
	/* candidates: a heap, the last in the direction of reading on top; then sorted */
	struct place *heap;
	size_t heap_n;
	size_t heap_max;
	size_t heap_at; /* read so far */
	bool beyond;	/* there were more */
	uint64_t found;
	bool unsure;
	bool again; /* not the first look: nothing is counted */
	uint64_t total;
	bool exact;
};

/* ---- order ---- */

/* Ages grow as ids fall. */
static bool falls(const struct window *w)
{
	return (w->descending != (w->sort == SORT_AGE)) != w->backward;
}

static int compare(const struct window *w, const struct place *a, const struct place *b)
{
	int d = (a->value > b->value) - (a->value < b->value);

	if (d == 0)
		d = (a->rid > b->rid) - (a->rid < b->rid);
	return falls(w) ? -d : d;
}

/* As it is stored, so that records and store give one order. */
static int64_t value_of_view(enum sort sort, const struct sched_view *v)
{
	return sort == SORT_NEXT ? v->own_next_ms : sort == SORT_ATTEMPTS ? v->attempts : 0;
}

static int64_t value_of_entry(enum sort sort, const struct queue_entry *e)
{
	switch (sort) {
	case SORT_NEXT:
		return e->next_ms;
	case SORT_SIZE:
		return (int64_t)e->size;
	case SORT_ATTEMPTS:
		return e->attempts;
	case SORT_ID:
	case SORT_AGE:
	case SORT__COUNT:
		break;
	}
	return 0;
}

static void sift_down(struct window *w, size_t at)
{
	struct place p = w->heap[at];

	for (;;) {
		size_t child = 2 * at + 1;
		if (child >= w->heap_n)
			break;
		if (child + 1 < w->heap_n && compare(w, &w->heap[child + 1], &w->heap[child]) > 0)
			child++;
		if (compare(w, &w->heap[child], &p) <= 0)
			break;
		w->heap[at] = w->heap[child];
		at = child;
	}
	w->heap[at] = p;
}

static void offer(struct window *w, struct place p)
{
	size_t at = w->heap_n;

	if (w->heap_n == w->heap_max) {
		w->beyond = true;
		if (compare(w, &p, &w->heap[0]) < 0) {
			w->heap[0] = p;
			sift_down(w, 0);
		}
		return;
	}
	w->heap_n++;
	while (at > 0 && compare(w, &p, &w->heap[(at - 1) / 2]) > 0) {
		w->heap[at] = w->heap[(at - 1) / 2];
		at = (at - 1) / 2;
	}
	w->heap[at] = p;
}

static void sort_heap(struct window *w)
{
	size_t n = w->heap_n;

	while (w->heap_n > 1) {
		struct place last = w->heap[0];
		w->heap[0] = w->heap[--w->heap_n];
		sift_down(w, 0);
		w->heap[w->heap_n] = last;
	}
	w->heap_n = n;
}

/* ---- cursors ---- */

static char *cursor_of(const struct window *w, const struct place *p, bool backward)
{
	return xasprintf("%s:%c:%c:%" PRId64 ":%" PRIu64, sort_names[w->sort],
			 w->descending ? 'd' : 'a', backward ? 'b' : 'f', p->value, p->rid);
}

static int read_cursor(struct window *w, const char *text, struct err *err)
{
	struct str rest = str_of(text);
	struct str sort = str_cut(&rest, ':');
	struct str order = str_cut(&rest, ':');
	struct str direction = str_cut(&rest, ':');
	struct str value = str_cut(&rest, ':');
	bool negative = value.n > 0 && value.p[0] == '-';
	uint64_t n;
	uint64_t rid;

	if (!str_eq(sort, str_of(sort_names[w->sort])) ||
	    !str_eq(order, w->descending ? STR("d") : STR("a")) || direction.n != 1 ||
	    !str_u64(str_from(value.p + negative, value.n - negative), INT64_MAX, &n) ||
	    !str_u64(rest, INT64_MAX, &rid))
		return err_param(err, ERR_INVALID, "cursor",
				 "this cursor belongs to another list or order; leave it out to "
				 "begin at the first page");
	w->backward = direction.p[0] == 'b';
	w->from = true;
	w->started = true;
	w->at = (struct place){ negative ? -(int64_t)n : (int64_t)n, rid };
	return 0;
}

/* ---- the page ---- */

static void window_done(struct view_job *j)
{
	struct window *w = (struct window *)j;

	json_decref(w->rows);
	free(w->heap);
}

static void answer(struct window *w)
{
	size_t n = json_array_size(w->rows);
	json_t *rows = w->rows;
	char *next = NULL;
	char *prev = NULL;
	/* an early end has its cursor where reading stopped */
	const struct place *end = n == 0 || w->more ? &w->at : &w->last;

	w->rows = NULL;
	if (w->backward) {
		json_t *turned = json_array();
		for (size_t i = n; i-- > 0;)
			(void)json_array_append(turned, json_array_get(rows, i));
		json_decref(rows);
		rows = turned;
		if (w->started && n > 0)
			next = cursor_of(w, &w->first, false);
		if (w->more)
			prev = cursor_of(w, end, true);
	} else {
		if (w->more)
			next = cursor_of(w, end, false);
		if (w->started && n > 0)
			prev = cursor_of(w, &w->first, true);
	}
	if (!w->exact) { /* at least */
		w->total = n + (w->more ? 1 : 0);
		w->exact = !w->more && !w->started;
	}
	view_reply(&w->job, view_page(rows, next, prev, w->total, w->exact));
}

static bool is_queued(const struct queue_entry *e)
{
	return e->outcome == OUTCOME_NONE || e->outcome == OUTCOME_DEFERRED;
}

/* Whether a stored row belongs to the list as it is now. */
static bool belongs(const struct window *w, const struct queue_entry *e)
{
	struct filter_row row;
	struct sched_view v;

	if (is_queued(e)) {
		if (!sched_find(w->job.env->sched, e->rid, &v))
			return false; /* it ended a moment ago */
		if (v.state == SCHED_TRASH && !w->trash)
			return false;
	} else if (!w->finished) {
		return false;
	}
	if (w->filter == NULL || (w->decidable && w->heap != NULL && !w->states))
		return true; /* the records said so, and it has not moved since */
	env_filter_row(w->job.env, e, &row);
	return filter_eval(w->filter, &row) == FILTER_TRUE;
}

/* False: the page is full, and this row is beyond it. */
static bool take(struct window *w, const struct queue_entry *e, struct place p)
{
	if (!belongs(w, e)) {
		w->at = p;
		return true;
	}
	if (json_array_size(w->rows) == w->limit) {
		w->more = true;
		w->at = w->last;
		return false;
	}
	w->at = p;
	if (json_array_size(w->rows) == 0)
		w->first = p;
	w->last = p;
	(void)json_array_append_new(w->rows, env_message_json(w->job.env, e));
	return true;
}

/* The page is full, or there is no more to be looked at; or else: it looks on, but not for ever
 * when there is something to show already. */
static void go_on(struct window *w, bool over)
{
	bool tired = !over && ++w->rounds >= ROUNDS_MAX && json_array_size(w->rows) > 0;

	w->more |= tired;
	if (over || tired)
		answer(w);
	else
		view_soon(&w->job);
}

/* ---- from the store ---- */

static void on_scan(void *arg, const struct queue_entry *rows, size_t n, bool more,
		    const struct err *err)
{
	struct window *w = arg;
	bool full = false;

	if (err != NULL) {
		view_fail(&w->job, err);
		return;
	}
	for (size_t i = 0; i < n && !full; i++)
		full = !take(w, &rows[i],
			     (struct place){ value_of_entry(w->sort, &rows[i]), rows[i].rid.v });
	if (n > 0)
		w->from = true;
	go_on(w, full || !more || n == 0);
}

static void scan(struct window *w)
{
	static const enum queue_sort sorts[SORT__COUNT] = {
		[SORT_ID] = QUEUE_SORT_ID,
		[SORT_AGE] = QUEUE_SORT_ID,
		[SORT_NEXT] = QUEUE_SORT_NEXT,
		[SORT_SIZE] = QUEUE_SORT_SIZE,
		[SORT_ATTEMPTS] = QUEUE_SORT_ATTEMPTS,
	};
	size_t left = w->limit - json_array_size(w->rows) + 1;
	struct queue_scan s = { .filter = w->filter,
				.sort = sorts[w->sort],
				.descending = falls(w),
				.finished = w->finished,
				.finished_only = w->finished && find_only_finished(w->filter),
				.after_set = w->from,
				.after_value = w->at.value,
				.after = { w->at.rid },
				.limit = left < READ_ROWS ? left : READ_ROWS,
				.now_ms = loop_wall_ms(w->job.env->loop) };

	if (w->rounds > 0)
		s.limit = READ_ROWS; /* much drops out */
	queue_scan(w->job.env->queue, &s, on_scan, w);
}

/* ---- from the records ---- */

static void read_candidates(struct window *w);

static bool on_record(void *arg, const struct sched_view *v, const struct queue_entry *e, bool sure)
{
	struct window *w = arg;
	struct place p = { value_of_view(w->sort, v), v->rid.v };

	(void)e;
	if (!w->again) {
		w->found++;
		w->unsure = w->unsure || !sure;
	}
	if (!w->from || compare(w, &p, &w->at) > 0)
		offer(w, p);
	return true;
}

static void on_looked(void *arg, const struct err *err)
{
	struct window *w = arg;

	if (err != NULL) {
		view_fail(&w->job, err);
		return;
	}
	if (!w->again && !w->unsure) {
		w->total = w->found;
		w->exact = true;
	}
	if (!w->again && w->unsure && w->found > w->heap_max) {
		free(w->heap);
		w->heap = NULL;
		scan(w);
		return;
	}
	w->again = true;
	w->heap_at = 0;
	sort_heap(w);
	read_candidates(w);
}

static void look(struct window *w)
{
	static const struct find_ops ops = { .each = on_record, .done = on_looked };

	w->heap_n = 0;
	w->beyond = false;
	find_start(w->job.env, w->filter,
		   FIND_IDS | (w->decidable ? 0u : FIND_MAYBE) | (w->trash ? FIND_TRASH : 0u), &ops,
		   w);
}

/* Rows come in the order of their candidates, but those that are gone are left out. */
static void on_rows(void *arg, const struct queue_entry *rows, size_t n, const struct err *err)
{
	struct window *w = arg;
	size_t end = w->heap_at + READ_ROWS < w->heap_n ? w->heap_at + READ_ROWS : w->heap_n;
	bool full = false;

	if (err != NULL) {
		view_fail(&w->job, err);
		return;
	}
	for (size_t i = 0; i < n && !full; i++) {
		while (w->heap_at < end && w->heap[w->heap_at].rid != rows[i].rid.v)
			w->heap_at++;
		if (w->heap_at < end)
			full = !take(w, &rows[i], w->heap[w->heap_at]);
	}
	if (full) {
		answer(w);
		return;
	}
	w->heap_at = end;
	if (end > 0)
		w->at = w->heap[end - 1];
	w->from = true;
	go_on(w, end == w->heap_n && !w->beyond);
}

static void read_candidates(struct window *w)
{
	struct rid rids[READ_ROWS];
	size_t n = 0;

	while (n < READ_ROWS && w->heap_at + n < w->heap_n) {
		rids[n] = (struct rid){ w->heap[w->heap_at + n].rid };
		n++;
	}
	if (n > 0)
		queue_entries(w->job.env->queue, rids, n, on_rows, w);
	else
		answer(w);
}

/* ---- the beginning ---- */

static bool on_counted_one(void *arg, const struct sched_view *v, const struct queue_entry *e,
			   bool sure)
{
	struct window *w = arg;

	(void)v;
	(void)e;
	(void)sure;
	w->total++;
	return true;
}

static bool on_counted_group(void *arg, uint32_t i, const struct sched_group_view *v)
{
	struct window *w = arg;

	(void)i;
	w->total += v->counts.total;
	return true;
}

static size_t candidates_max(const struct ctl_env *env)
{
	size_t part = sched_places(env->sched) / CANDIDATES_PART;

	return part > CANDIDATES_MIN ? part : CANDIDATES_MIN;
}

static void begin(struct window *w)
{
	uint32_t uses = w->filter != NULL ? filter_uses(w->filter) : 0;
	bool by_id = w->sort == SORT_ID || w->sort == SORT_AGE;
	/* what the records rule out must be worth a look; all of it in the order of ids is not */
	bool narrows = uses != 0 && (uses & ~find_fields()) != uses;

	if (w->finished || w->sort == SORT_SIZE || (w->filter == NULL && by_id) ||
	    (w->filter != NULL && !narrows)) {
		scan(w);
		return;
	}
	w->heap_max = w->decidable ? w->limit + 1 : candidates_max(w->job.env);
	w->heap = xcalloc(w->heap_max, sizeof(w->heap[0]));
	look(w);
}

static void on_counted(void *arg, const struct err *err)
{
	struct window *w = arg;

	if (err != NULL) {
		view_fail(&w->job, err);
		return;
	}
	w->exact = true;
	begin(w);
}

static void window_step(struct view_job *j)
{
	struct window *w = (struct window *)j;

	if (w->heap == NULL)
		scan(w);
	else if (w->heap_at < w->heap_n)
		read_candidates(w);
	else
		look(w);
}

static bool names_finished(const struct filter *f)
{
	static const enum outcome ends[] = { OUTCOME_DELIVERED, OUTCOME_FAILED, OUTCOME_EXPIRED,
					     OUTCOME_DELETED, OUTCOME_BOUNCED };

	for (size_t i = 0; i < ARRAY_LEN(ends); i++)
		if (filter_names_state(f, str_of(outcome_name(ends[i]))))
			return true;
	return false;
}

/* Counting comes first when it has to be exact and the records do not count by the way. */
static void count(struct window *w)
{
	static const struct find_ops ops = { .each = on_counted_one,
					     .whole = on_counted_group,
					     .done = on_counted };
	struct sched_size size;

	if (w->filter == NULL) {
		sched_size(w->job.env->sched, &size);
		w->total = size.recipients;
		w->exact = true;
	} else if (ctl_bool(w->job.call, "count") && (w->finished || !w->decidable)) {
		find_start(w->job.env, w->filter,
			   (w->trash ? FIND_TRASH : 0u) | (w->finished ? FIND_FINISHED : 0u), &ops,
			   w);
		return;
	}
	begin(w);
}

void ctl_message_list(struct ctl_call *call)
{
	static const struct view_job_ops ops = { .step = window_step, .done = window_done };
	struct window *w = xcalloc(1, sizeof(*w));
	const char *sort = ctl_str(call, "sort");
	const char *cursor = ctl_str(call, "cursor");
	const struct filter *f = ctl_filter(call);
	struct err err = ERR_INIT;

	for (int i = 0; sort != NULL && i < SORT__COUNT; i++)
		if (strcmp(sort_names[i], sort) == 0)
			w->sort = (enum sort)i;
	w->filter = f != NULL && !filter_matches_all(f) ? f : NULL;
	w->descending = ctl_bool(call, "descending");
	w->limit = (size_t)ctl_int(call, "limit", VIEW_LIMIT);
	w->trash =
		w->filter != NULL && filter_names_state(f, str_of(sched_state_name(SCHED_TRASH)));
	w->finished = w->filter != NULL && names_finished(f);
	w->decidable = find_decidable(w->filter);
	w->states = w->filter != NULL && (filter_uses(f) & 1u << FILTER_STATE) != 0;
	w->rows = json_array();
	view_begin(&w->job, ctl_env(call), call, &ops);
	if (cursor != NULL && read_cursor(w, cursor, &err) < 0) {
		view_fail(&w->job, &err);
		return;
	}
	if (cursor == NULL && ctl_bool(call, "from_end"))
		w->backward = true;
	count(w);
}
