/*
 * Steps, each in slices or by pages of the store:
 *
 *	BUILD	the lists as they would be
 *	GROUPS	all queued recipients of groups that both lists decide; the others are left open
 *	QUEUED	recipients of open groups, one by one
 *	RECENT	the last hour, the newest first
 */
#include "ctl/replay.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "base/mem.h"
#include "base/obj.h"
#include "ctl/slicer.h"
#include "route/streams.h"

#define REPLAY_MAGIC 0x57e3c02cu
#define BUILD_ITEMS 50
#define GROUP_ITEMS 64
#define PAGE 200 /* rows that are decided in one go */

enum phase { QUEUED, RECENT };

struct replay {
	uint32_t magic;
	struct ctl_env *env;
	const json_t *objects;
	replay_fn *fn;
	void *arg;
	struct slicer slicer;
	struct routes *routes; /* as they would be; NULL: they stay as they are */
	struct streams *streams;
	size_t at;
	uint8_t *open; /* groups, a bit each, that need a look at their recipients */
	uint32_t groups_n;
	bool any_open;
	enum phase phase;
	struct rid after;
	bool after_set;
	uint64_t looked;
	int64_t since_ms;
	/* found */
	json_t *moves; /* by "what\nfrom\nto": [queued, recent] */
	uint64_t queued;
	uint64_t recent;
	uint64_t undecided;
	bool whole;
};

bool replay_wanted(const json_t *objects)
{
	const json_t *o;
	size_t i;

	json_array_foreach(objects, i, o)
	{
		const char *kind = json_get_str(o, "kind");
		if (strcmp(kind, "route") == 0 || strcmp(kind, STREAMS_KIND) == 0)
			return true;
	}
	return false;
}

void replay_free(struct replay **rp)
{
	struct replay *r = *rp;

	*rp = NULL;
	if (r == NULL)
		return;
	slicer_done(&r->slicer);
	routes_free(&r->routes);
	streams_free(&r->streams);
	json_decref(r->moves);
	free(r->open);
	r->magic = 0;
	free(r);
}

static void fail(struct replay *r, const struct err *err)
{
	r->fn(r->arg, NULL, err);
}

/* --- what is counted -------------------------------------------------------------------------- */

static void count(struct replay *r, const char *what, const char *from, const char *to, uint64_t n)
{
	AUTO_FREE char *key = xasprintf("%s\n%s\n%s", what, from, to);
	json_t *pair = json_object_get(r->moves, key);
	size_t k = r->phase == RECENT;

	if (pair == NULL) {
		pair = json_pack("[i, i]", 0, 0);
		(void)json_object_set_new(r->moves, key, pair);
	}
	(void)json_array_set_new(
		pair, k, json_integer(json_integer_value(json_array_get(pair, k)) + (json_int_t)n));
	if (r->phase == RECENT)
		r->recent += n;
	else
		r->queued += n;
}

/* "mx:gmail.com#required" is "mx#required": a domain's hosts are no other way than another's. */
static void shorten(char hop[static ROUTE_HOP_MAX])
{
	const char *demands = strchr(hop, '#');

	if (strncmp(hop, "mx:", 3) == 0)
		memmove(hop + 2, demands != NULL ? demands : "",
			strlen(demands != NULL ? demands : "") + 1);
}

/* False: a list could not decide. */
static bool ask_routes(struct replay *r, const struct filter_row *row, struct str domain,
		       uint64_t n)
{
	const struct route *route;
	char now[ROUTE_HOP_MAX], then[ROUTE_HOP_MAX];

	if (r->routes == NULL)
		return true;
	if (!routes_judge(r->env->routes, row, domain, &route, now) ||
	    !routes_judge(r->routes, row, domain, &route, then))
		return false;
	shorten(now);
	shorten(then);
	if (strcmp(now, then) != 0)
		count(r, "route", now, then, n);
	return true;
}

static void put_rcpt(void *arg, size_t i, struct filter_row *row)
{
	(void)i;
	*row = *(const struct filter_row *)arg;
}

static bool ask_streams(struct replay *r, struct filter_row *row)
{
	const struct stream_facts facts = {
		.row = row, .rcpts_n = 1, .rcpt = put_rcpt, .arg = row, .all_rcpts = true
	};
	const struct mailstream *open, *now, *then;

	if (r->streams == NULL)
		return true;
	now = streams_assign(r->env->streams, &facts, &open);
	then = streams_assign(r->streams, &facts, &open);
	if (now == NULL || then == NULL)
		return false;
	if (strcmp(now->id, then->id) != 0)
		count(r, "stream", now->id, then->id, 1);
	return true;
}

/* --- the answer ------------------------------------------------------------------------------- */

static int64_t sum(const json_t *move)
{
	return json_get_int(move, "queued") + json_get_int(move, "recent");
}

static json_t *listed(const struct replay *r)
{
	json_t *list = json_array();
	const char *key;
	json_t *pair;

	json_object_foreach(r->moves, key, pair)
	{
		struct str rest = str_of(key);
		struct str what = str_cut(&rest, '\n');
		struct str from = str_cut(&rest, '\n');
		json_t *move =
			json_pack("{s:o, s:o, s:o, s:O, s:O}", "what", json_text(what), "from",
				  json_text(from), "to", json_text(rest), "queued",
				  json_array_get(pair, 0), "recent", json_array_get(pair, 1));
		size_t at = json_array_size(list);
		while (at > 0 && sum(json_array_get(list, at - 1)) < sum(move))
			at--;
		if (at < REPLAY_MOVES)
			(void)json_array_insert_new(list, at, move);
		else
			json_decref(move);
		if (json_array_size(list) > REPLAY_MOVES)
			(void)json_array_remove(list, REPLAY_MOVES);
	}
	return list;
}

static void finish(struct replay *r)
{
	json_t *answer = json_pack("{s:I, s:I, s:I, s:o, s:b, s:o}", "queued",
				   (json_int_t)r->queued, "recent", (json_int_t)r->recent,
				   "undecided", (json_int_t)r->undecided, "since_at",
				   json_time(r->since_ms), "whole", r->whole, "moves", listed(r));

	r->fn(r->arg, answer, NULL);
}

/* --- recipients ------------------------------------------------------------------------------- */

static void scan(struct replay *r);

static bool is_open(const struct replay *r, const struct queue_entry *e)
{
	struct sched_view v;

	if (!sched_find(r->env->sched, e->rid, &v) || v.state == SCHED_TRASH)
		return false;
	return v.group >= r->groups_n || (r->open[v.group / 8] & 1u << v.group % 8) != 0;
}

static void look(struct replay *r, const struct queue_entry *e)
{
	struct filter_row row;
	struct str domain = queue_name_text(r->env->queue, e->domain);
	bool decided;

	if (r->phase == QUEUED && !is_open(r, e))
		return;
	env_filter_row(r->env, e, &row);
	decided = ask_routes(r, &row, domain, 1);
	if (r->phase == RECENT)
		decided = ask_streams(r, &row) && decided;
	if (!decided)
		r->undecided++;
}

static void next_phase(struct replay *r)
{
	if (r->phase == RECENT) {
		finish(r);
		return;
	}
	r->phase = RECENT;
	r->after_set = false;
	r->looked = 0;
	scan(r);
}

static bool is_too_old(const struct replay *r, const struct queue_entry *e)
{
	return r->phase == RECENT && msgid_time_ms(rid_msgid(e->rid)) < r->since_ms;
}

static void on_rows(void *arg, const struct queue_entry *rows, size_t n, bool more,
		    const struct err *err)
{
	struct replay *r = OBJ(replay, REPLAY_MAGIC, arg);

	if (err != NULL) {
		fail(r, err);
		return;
	}
	for (size_t i = 0; i < n && more; i++)
		more = !is_too_old(r, &rows[i]);
	for (size_t i = 0; i < n; i++)
		if (!is_too_old(r, &rows[i]))
			look(r, &rows[i]);
	r->looked += n;
	if (n > 0)
		r->after = rows[n - 1].rid;
	r->after_set = true;
	if (more && r->phase == RECENT && r->looked >= REPLAY_RECENT_MAX) {
		r->whole = false;
		more = false;
	}
	if (more && n > 0)
		scan(r);
	else
		next_phase(r);
}

static void scan(struct replay *r)
{
	const struct queue_scan q = { .sort = QUEUE_SORT_ID,
				      .descending = r->phase == RECENT,
				      .finished = r->phase == RECENT,
				      .finished_only = r->phase == RECENT,
				      .after_set = r->after_set,
				      .after = r->after,
				      .limit = PAGE,
				      .now_ms = loop_wall_ms(r->env->loop) };

	queue_scan(r->env->queue, &q, on_rows, r);
}

/* --- groups ----------------------------------------------------------------------------------- */

static enum slice step_groups(void *arg)
{
	struct replay *r = OBJ(replay, REPLAY_MAGIC, arg);

	for (size_t end = r->at + GROUP_ITEMS; r->at < end; r->at++) {
		struct sched_group_view v;
		struct filter_row row;
		if (r->at >= r->groups_n)
			return SLICE_END;
		if (!sched_group(r->env->sched, (uint32_t)r->at, &v) || v.counts.total == 0)
			continue;
		env_group_row(r->env, v.domain, v.stream, &row);
		if (ask_routes(r, &row, queue_name_text(r->env->queue, v.domain), v.counts.total))
			continue;
		r->open[r->at / 8] = (uint8_t)(r->open[r->at / 8] | 1u << r->at % 8);
		r->any_open = true;
	}
	return SLICE_MORE;
}

static void on_groups(void *arg)
{
	struct replay *r = OBJ(replay, REPLAY_MAGIC, arg);

	if (r->any_open)
		scan(r);
	else
		next_phase(r);
}

/* --- the lists as they would be --------------------------------------------------------------- */

static bool edits(const struct replay *r, const char *kind)
{
	const json_t *o;
	size_t i;

	json_array_foreach(r->objects, i, o)
	{
		if (strcmp(json_get_str(o, "kind"), kind) == 0)
			return true;
	}
	return false;
}

static int put(struct replay *r, const char *kind, const json_t *object, struct err *err)
{
	AUTO_FREE char *text = json_dumps(object, JSON_COMPACT);

	if (strcmp(kind, "route") == 0)
		return routes_put(r->routes, text, err);
	return streams_put(r->streams, text, err);
}

static int put_edit(struct replay *r, const json_t *o, struct err *err)
{
	const char *kind = json_get_str(o, "kind");
	const char *id = json_get_str(o, "id");
	const json_t *after = json_object_get(o, "after");
	const struct route *x;

	if (strcmp(kind, "route") != 0 && strcmp(kind, STREAMS_KIND) != 0)
		return 0;
	if (json_is_object(after))
		return put(r, kind, after, err);
	if (strcmp(kind, STREAMS_KIND) == 0)
		(void)streams_drop(r->streams, str_of(id));
	else if ((x = routes_find(r->routes, str_of(id))) != NULL)
		(void)routes_drop(r->routes, x->number);
	return 0;
}

static int put_streams(struct replay *r, struct err *err)
{
	int rc = 0;

	for (size_t i = 0; rc >= 0 && i < streams_n(r->env->streams); i++) {
		const struct mailstream *x = streams_at(r->env->streams, i);
		json_t *json = x->stored ? streams_json(x) : NULL;
		if (json != NULL)
			rc = put(r, STREAMS_KIND, json, err);
		json_decref(json);
	}
	return rc;
}

static int put_route(struct replay *r, const struct route *x, struct err *err)
{
	json_t *json = routes_json(x);
	int rc = put(r, "route", json, err);

	json_decref(json);
	return rc;
}

static int build(struct replay *r, bool *ret_more, struct err *err)
{
	const struct routes *now = r->env->routes;
	size_t routes = r->routes != NULL ? routes_n(now) : 0;
	int rc = 0;

	if (r->at == 0 && r->streams != NULL)
		rc = put_streams(r, err);
	for (size_t end = r->at + BUILD_ITEMS; rc >= 0 && r->at < end; r->at++) {
		if (r->at < routes)
			rc = put_route(r, routes_at(now, r->at), err);
		else if (r->at - routes < json_array_size(r->objects))
			rc = put_edit(r, json_array_get(r->objects, r->at - routes), err);
		else
			break;
	}
	*ret_more = r->at < routes + json_array_size(r->objects);
	return rc;
}

static void on_built(struct replay *r)
{
	r->at = 0;
	r->groups_n = sched_groups(r->env->sched);
	r->open = xcalloc(r->groups_n / 8 + 1, 1);
	if (r->routes != NULL)
		slicer_run(&r->slicer, step_groups, on_groups);
	else
		next_phase(r);
}

static enum slice step_build(void *arg)
{
	struct replay *r = OBJ(replay, REPLAY_MAGIC, arg);
	bool more = false;

	if (build(r, &more, NULL) < 0)
		r->at = SIZE_MAX;
	return more && r->at != SIZE_MAX ? SLICE_MORE : SLICE_END;
}

static void on_build_end(void *arg)
{
	struct replay *r = OBJ(replay, REPLAY_MAGIC, arg);
	struct err err = ERR_INIT;

	if (r->at == SIZE_MAX) {
		(void)err_set(&err, ERR_CORRUPT, "the rules as they would be cannot be read");
		fail(r, &err);
		return;
	}
	on_built(r);
}

struct replay *replay_start(struct ctl_env *env, const json_t *objects, replay_fn *fn, void *arg)
{
	struct replay *r = xcalloc(1, sizeof(*r));

	r->magic = REPLAY_MAGIC;
	r->env = env;
	r->objects = objects;
	r->fn = fn;
	r->arg = arg;
	r->whole = true;
	r->moves = json_object();
	r->since_ms = loop_wall_ms(env->loop) - REPLAY_RECENT_MS;
	slicer_init(&r->slicer, env->loop, "ctl.replay", r);
	if (edits(r, "route"))
		r->routes = routes_new();
	if (edits(r, STREAMS_KIND))
		r->streams = streams_new();
	slicer_run(&r->slicer, step_build, on_build_end);
	return r;
}
