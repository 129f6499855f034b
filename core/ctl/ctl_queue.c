/*
 * queue.list: the queue in groups. Counting is a table of groups (groups.h) filled from the
 * scheduler; a page is the best `limit` rows behind its cursor, chosen with a heap, so that only
 * they become JSON however many groups there are.
 *
 * A cursor is a place in the order: by, sort, direction, the row's value and its name.
 */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "base/mem.h"
#include "ctl/find.h"
#include "ctl/groups.h"
#include "ctl/handlers.h"

enum sort {
	SORT_TOTAL,
	SORT_READY,
	SORT_DEFERRED,
	SORT_HELD,
	SORT_ACTIVE,
	SORT_OLDEST,
	SORT_NAME,
	SORT__COUNT
};
static const char *const sort_names[SORT__COUNT] = {
	[SORT_TOTAL] = "total", [SORT_READY] = "ready",	  [SORT_DEFERRED] = "deferred",
	[SORT_HELD] = "held",	[SORT_ACTIVE] = "active", [SORT_OLDEST] = "oldest",
	[SORT_NAME] = "name",
};

/* A row's place in the order: smaller values first, then names. */
struct place {
	int64_t value;
	struct str name;
};

enum phase { COUNT, SELECT, ROWS };

struct listing {
	struct view_job job;
	enum phase phase;
	struct groups *groups;
	enum groups_by by;
	enum sort sort;
	size_t limit;
	bool backward;
	bool from; /* behind `place` */
	struct place place;
	uint32_t at;  /* group of the scheduler */
	size_t *heap; /* rows; the last in the order on top */
	size_t heap_n;
	bool more;
	uint64_t rows_n;
	size_t row_at; /* of the groups' rows, or of the page's */
	json_t *rows;
};

/* ---- order ---- */

static int64_t value_of(enum sort sort, const struct group_row *r)
{
	switch (sort) {
	case SORT_TOTAL:
		return -(int64_t)r->total;
	case SORT_READY:
		return -(int64_t)r->state[SCHED_READY];
	case SORT_DEFERRED:
		return -(int64_t)r->state[SCHED_DEFERRED];
	case SORT_HELD:
		return -(int64_t)r->state[SCHED_HELD];
	case SORT_ACTIVE:
		return -(int64_t)r->state[SCHED_ACTIVE];
	case SORT_OLDEST:
		return r->oldest_ms != 0 ? r->oldest_ms : INT64_MAX;
	case SORT_NAME:
	case SORT__COUNT:
		break;
	}
	return 0;
}

static int compare_names(struct str a, struct str b)
{
	int d = memcmp(a.p, b.p, a.n < b.n ? a.n : b.n);

	return d != 0 ? d : (a.n > b.n) - (a.n < b.n);
}

static struct place place_of(const struct listing *l, const struct group_row *r)
{
	return (struct place){ value_of(l->sort, r), groups_name(l->groups, r) };
}

/* In the direction of reading. */
static int compare_to(const struct listing *l, const struct group_row *r, const struct place *p)
{
	int64_t value = value_of(l->sort, r);
	int d = (value > p->value) - (value < p->value);

	if (d == 0)
		d = compare_names(groups_name(l->groups, r), p->name);
	return l->backward ? -d : d;
}

static int compare(const struct listing *l, size_t a, size_t b)
{
	const struct group_row *ra = groups_at(l->groups, a);
	const struct group_row *rb = groups_at(l->groups, b);
	int64_t va = value_of(l->sort, ra);
	int64_t vb = value_of(l->sort, rb);
	int d = (va > vb) - (va < vb);

	if (d == 0)
		d = compare_names(groups_name(l->groups, ra), groups_name(l->groups, rb));
	return l->backward ? -d : d;
}

static void sift_down(struct listing *l, size_t at)
{
	size_t row = l->heap[at];

	for (;;) {
		size_t child = 2 * at + 1;
		if (child >= l->heap_n)
			break;
		if (child + 1 < l->heap_n && compare(l, l->heap[child + 1], l->heap[child]) > 0)
			child++;
		if (compare(l, l->heap[child], row) <= 0)
			break;
		l->heap[at] = l->heap[child];
		at = child;
	}
	l->heap[at] = row;
}

static void offer(struct listing *l, size_t row)
{
	size_t at = l->heap_n;

	if (l->heap_n == l->limit) {
		l->more = true;
		if (compare(l, row, l->heap[0]) < 0) {
			l->heap[0] = row;
			sift_down(l, 0);
		}
		return;
	}
	l->heap_n++;
	while (at > 0 && compare(l, row, l->heap[(at - 1) / 2]) > 0) {
		l->heap[at] = l->heap[(at - 1) / 2];
		at = (at - 1) / 2;
	}
	l->heap[at] = row;
}

/* The heap's rows in the direction of reading. */
static void sort_heap(struct listing *l)
{
	size_t n = l->heap_n;

	while (l->heap_n > 1) {
		size_t last = l->heap[0];
		l->heap[0] = l->heap[--l->heap_n];
		sift_down(l, 0);
		l->heap[l->heap_n] = last;
	}
	l->heap_n = n;
}

/* ---- cursors ---- */

static char *cursor_of(const struct listing *l, size_t row, bool backward)
{
	struct place p = place_of(l, groups_at(l->groups, row));

	return xasprintf("%s:%s:%c:%" PRId64 ":%.*s", groups_by_name(l->by), sort_names[l->sort],
			 backward ? 'b' : 'f', p.value, STR_ARG(p.name));
}

static int read_cursor(struct listing *l, const char *text, struct err *err)
{
	struct str rest = str_of(text);
	struct str by = str_cut(&rest, ':');
	struct str sort = str_cut(&rest, ':');
	struct str direction = str_cut(&rest, ':');
	struct str value = str_cut(&rest, ':');
	bool negative = value.n > 0 && value.p[0] == '-';
	uint64_t n;

	if (!str_eq(by, str_of(groups_by_name(l->by))) ||
	    !str_eq(sort, str_of(sort_names[l->sort])) || direction.n != 1 ||
	    !str_u64(str_from(value.p + negative, value.n - negative), INT64_MAX, &n))
		return err_param(err, ERR_INVALID, "cursor",
				 "this cursor belongs to another list or order; leave it out to "
				 "begin at the first page");
	l->backward = direction.p[0] == 'b';
	l->from = true;
	l->place = (struct place){ negative ? -(int64_t)n : (int64_t)n, rest };
	return 0;
}

/* ---- the answer ---- */

static void answer(struct listing *l)
{
	size_t n = l->heap_n;
	char *first = NULL; /* cursors beyond both ends of the page */
	char *last = NULL;

	if (n > 0 && (l->backward || l->more))
		last = cursor_of(l, l->heap[l->backward ? 0 : n - 1], false);
	if (n > 0 && (l->backward ? l->more : l->from))
		first = cursor_of(l, l->heap[l->backward ? n - 1 : 0], true);
	view_reply(&l->job, view_page(json_incref(l->rows), last, first, l->rows_n, true));
}

/* Chooses the page's rows. */
static void select_step(struct listing *l)
{
	for (size_t n = groups_n(l->groups); l->row_at < n; l->row_at++) {
		const struct group_row *r = groups_at(l->groups, l->row_at);
		if (l->row_at % 128 == 127 && view_slice_over(&l->job))
			break;
		if (r->total == 0)
			continue;
		l->rows_n++;
		if (!l->from || compare_to(l, r, &l->place) > 0)
			offer(l, l->row_at);
	}
	if (l->row_at >= groups_n(l->groups)) {
		sort_heap(l);
		l->row_at = 0;
		l->phase = ROWS;
	}
	view_soon(&l->job);
}

static void rows_step(struct listing *l)
{
	for (size_t n = l->heap_n; l->row_at < n; l->row_at++) {
		size_t row = l->heap[l->backward ? n - 1 - l->row_at : l->row_at];
		if (l->row_at % 16 == 15 && view_slice_over(&l->job)) {
			view_soon(&l->job);
			return;
		}
		(void)json_array_append_new(l->rows,
					    groups_json(l->groups, groups_at(l->groups, row)));
	}
	answer(l);
}

static void counted(struct listing *l)
{
	l->phase = SELECT;
	view_soon(&l->job);
}

static bool each(void *arg, const struct sched_view *v, const struct queue_entry *e, bool sure)
{
	struct listing *l = arg;

	(void)sure;
	return groups_add_one(l->groups, v, e);
}

static bool whole(void *arg, uint32_t i, const struct sched_group_view *v)
{
	struct listing *l = arg;

	groups_add_group(l->groups, i, v);
	return true;
}

static void on_found(void *arg, const struct err *err)
{
	struct listing *l = arg;

	if (err != NULL)
		view_fail(&l->job, err);
	else
		counted(l);
}

static const struct find_ops by_group = { .each = each, .whole = whole, .done = on_found };
static const struct find_ops by_one = { .each = each, .done = on_found };

/* Adds what the slice allows; true when all of them are there. */
static bool add_groups(struct view_job *j, struct groups *g, uint32_t *at)
{
	struct sched_group_view v;
	uint32_t n = sched_groups(j->env->sched);

	for (; *at < n; (*at)++) {
		if (*at % 128 == 127 && view_slice_over(j)) {
			view_soon(j);
			return false;
		}
		if (sched_group(j->env->sched, *at, &v))
			groups_add_group(g, *at, &v);
	}
	return true;
}

static void listing_step(struct view_job *j)
{
	struct listing *l = (struct listing *)j;

	if (l->phase == SELECT)
		select_step(l);
	else if (l->phase == ROWS)
		rows_step(l);
	else if (add_groups(j, l->groups, &l->at)) /* without a filter */
		counted(l);
}

static void listing_done(struct view_job *j)
{
	struct listing *l = (struct listing *)j;

	groups_free(&l->groups);
	free(l->heap);
	json_decref(l->rows);
}

static enum sort sort_find(const char *name)
{
	for (int i = 0; name != NULL && i < SORT__COUNT; i++)
		if (strcmp(sort_names[i], name) == 0)
			return (enum sort)i;
	return SORT_TOTAL;
}

void ctl_queue_list(struct ctl_call *call)
{
	static const struct view_job_ops ops = { .step = listing_step, .done = listing_done };
	struct ctl_env *env = ctl_env(call);
	struct listing *l = xcalloc(1, sizeof(*l));
	const struct filter *f = ctl_filter(call);
	const char *cursor = ctl_str(call, "cursor");
	struct err err = ERR_INIT;

	l->by = groups_by_find(ctl_str(call, "by"));
	l->sort = sort_find(ctl_str(call, "sort"));
	l->limit = (size_t)ctl_int(call, "limit", VIEW_LIMIT);
	l->heap = xcalloc(l->limit, sizeof(l->heap[0]));
	l->rows = json_array();
	if (f != NULL && filter_matches_all(f))
		f = NULL;
	view_begin(&l->job, env, call, &ops);
	l->groups = groups_new(env, l->by, f != NULL || l->by > BY_STREAM);
	if (cursor != NULL && read_cursor(l, cursor, &err) < 0)
		view_fail(&l->job, &err);
	else if (l->by == BY_SENDER || l->by == BY_CREDENTIAL)
		find_start(env, f, FIND_ENTRIES, &by_one, l);
	else if (l->by == BY_CAUSE)
		find_start(env, f, 0, &by_one, l);
	else if (f != NULL)
		find_start(env, f, 0, &by_group, l);
	else
		view_soon(&l->job);
}

/* ---- subscriptions ---- */

struct watch {
	struct view_job job;
	struct groups *groups;
	char **keys;
	size_t keys_n;
	uint64_t ticket;
	uint32_t at;
};

static void watch_step(struct view_job *j)
{
	struct watch *w = (struct watch *)j;
	struct ctl_env *env = j->env;
	uint64_t ticket = w->ticket;
	json_t *rows;

	if (!add_groups(j, w->groups, &w->at))
		return;
	rows = json_array();
	for (size_t i = 0; i < w->keys_n; i++) {
		const struct group_row *r = groups_find(w->groups, str_of(w->keys[i]));
		if (r != NULL && r->total > 0)
			(void)json_array_append_new(rows, groups_json(w->groups, r));
	}
	view_end(j);
	ctl_rows(env->ctl, ticket, rows);
}

static void watch_done(struct view_job *j)
{
	struct watch *w = (struct watch *)j;

	groups_free(&w->groups);
	for (size_t i = 0; i < w->keys_n; i++)
		free(w->keys[i]);
	free(w->keys);
}

void view_queue_rows(struct ctl_env *env, uint64_t ticket, const char *by, const char *const *keys,
		     size_t keys_n)
{
	static const struct view_job_ops ops = { .step = watch_step, .done = watch_done };
	struct watch *w = xcalloc(1, sizeof(*w));

	w->ticket = ticket;
	w->keys = xcalloc(keys_n + 1, sizeof(char *));
	for (size_t i = 0; i < keys_n; i++)
		w->keys[w->keys_n++] = xstrdup(keys[i]);
	view_begin(&w->job, env, NULL, &ops);
	w->groups = groups_new(env, groups_by_find(by), false);
	view_soon(&w->job);
}
