/*
 * event.list: pages of the feed, the newest first; with `after` those behind a number, the oldest
 * first. What the store does not know of a filter (state, provider) is asked here, and pages are
 * filled up.
 *
 * A cursor is the direction and the number of the page's last event.
 */
#include <inttypes.h>
#include <stdlib.h>

#include "base/mem.h"
#include "ctl/find.h"
#include "ctl/handlers.h"
#include "ctl/sinks.h"

#define READ_ROWS 250  /* events made into JSON in one callback */
#define ROUNDS_MAX 200 /* reads for one page; then it ends early, with a cursor */
#define NOT_STORED (1u << FILTER_STATE | 1u << FILTER_PROVIDER)

struct listing {
	struct view_job job;
	const struct filter *filter;
	bool splits; /* what the store said needs no second look */
	bool ascending;
	uint64_t at;
	size_t limit;
	json_t *rows;
	unsigned rounds;
};

static void listing_done(struct view_job *j)
{
	json_decref(((struct listing *)j)->rows);
}

static void answer(struct listing *l, bool more)
{
	char *next = more ? xasprintf("%c:%" PRIu64, l->ascending ? 'a' : 'b', l->at) : NULL;
	size_t n = json_array_size(l->rows);

	view_reply(&l->job, view_page(json_incref(l->rows), next, NULL, n + (more ? 1 : 0), false));
}

static bool belongs(const struct listing *l, const struct queue_event *e)
{
	struct filter_row row;
	enum filter_truth t;

	if (l->filter == NULL || (filter_uses(l->filter) & NOT_STORED) == 0)
		return true;
	env_event_row(l->job.env, e, &row);
	t = filter_eval(l->filter, &row);
	return t == FILTER_TRUE || (t == FILTER_UNKNOWN && l->splits);
}

static void on_events(void *arg, const struct queue_event *rows, size_t n, bool more,
		      const struct err *err)
{
	struct listing *l = arg;

	if (err != NULL) {
		view_fail(&l->job, err);
		return;
	}
	for (size_t i = 0; i < n; i++) {
		if (!belongs(l, &rows[i])) {
			l->at = rows[i].seq;
			continue;
		}
		if (json_array_size(l->rows) == l->limit) {
			answer(l, true);
			return;
		}
		l->at = rows[i].seq;
		(void)json_array_append_new(l->rows, env_event_json(l->job.env, &rows[i]));
	}
	if (!more || n == 0)
		answer(l, false);
	else if (++l->rounds >= ROUNDS_MAX && json_array_size(l->rows) > 0)
		answer(l, true);
	else
		view_soon(&l->job);
}

static void listing_step(struct view_job *j)
{
	struct listing *l = (struct listing *)j;
	size_t left = l->limit - json_array_size(l->rows) + 1;
	struct queue_event_query q = { .filter = l->filter,
				       .ascending = l->ascending,
				       .limit = left < READ_ROWS ? left : READ_ROWS,
				       .now_ms = loop_wall_ms(j->env->loop) };

	if (l->ascending)
		q.after_seq = l->at;
	else
		q.before_seq = l->at;
	queue_events(j->env->queue, &q, on_events, l);
}

static int read_cursor(struct listing *l, const char *text, struct err *err)
{
	struct str rest = str_of(text);
	struct str direction = str_cut(&rest, ':');

	if ((!str_eq(direction, STR("a")) && !str_eq(direction, STR("b"))) ||
	    !str_u64(rest, INT64_MAX, &l->at))
		return err_param(err, ERR_INVALID, "cursor",
				 "this is no cursor of this list; leave it out to begin with the "
				 "newest event");
	l->ascending = direction.p[0] == 'a';
	return 0;
}

void ctl_sink_list(struct ctl_call *call)
{
	const struct ctl_env *env = ctl_env(call);
	size_t n = sinks_n(env->sinks);

	ctl_reply(call, view_page(sinks_json(env->sinks), NULL, NULL, n, true));
}

void ctl_event_list(struct ctl_call *call)
{
	static const struct view_job_ops ops = { .step = listing_step, .done = listing_done };
	struct listing *l = xcalloc(1, sizeof(*l));
	const char *cursor = ctl_str(call, "cursor");
	const struct filter *f = ctl_filter(call);
	struct err err = ERR_INIT;

	l->filter = f != NULL && !filter_matches_all(f) ? f : NULL;
	l->splits = l->filter != NULL && filter_splits(f, NOT_STORED, ENV_EVENT_FIELDS);
	l->limit = (size_t)ctl_int(call, "limit", VIEW_LIMIT);
	l->rows = json_array();
	if (ctl_json(call, "after") != NULL) {
		l->ascending = true;
		l->at = (uint64_t)ctl_int(call, "after", 0);
	}
	view_begin(&l->job, ctl_env(call), call, &ops);
	if (cursor != NULL && read_cursor(l, cursor, &err) < 0)
		view_fail(&l->job, &err);
	else
		listing_step(&l->job);
}
