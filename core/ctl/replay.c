/*
 * Steps, each in slices or by pages of the store:
 *
 *	BUILD	the lists as they would be
 *	ASK	DNS for providers, where a route asks for them
 *	GROUPS	all queued recipients of groups that both lists decide; the others are left open
 *	QUEUED	recipients of open groups, one by one
 *	RECENT	the last hour, the newest first: recipients that are gone for routes, messages that
 *		came in, wherever they are now, for streams
 *
 * A page may end within a message: its recipients are read again with the next page, because they
 * decide its stream together.
 */
#include "ctl/replay.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "base/mem.h"
#include "base/obj.h"
#include "ctl/actions_int.h"
#include "ctl/ask_providers.h"
#include "ctl/decide.h"
#include "route/hop.h"

#define REPLAY_MAGIC 0x57e3c02cu
#define BUILD_ITEMS 50
#define GROUP_ITEMS 64
#define FREED 64 /* routes of a step */
#define PAGE 200 /* rows that are decided in one go */
#define WAY_MAX (ROUTE_HOP_MAX + 200)

enum phase { QUEUED, RECENT };

struct replay {
	uint32_t magic;
	struct ctl_env *env;
	const json_t *objects;
	replay_fn *fn;
	void *arg;
	struct slicer slicer;
	struct ask_providers *providers;
	struct routes *routes; /* as they would be; NULL: they stay as they are */
	struct streams *streams;
	struct decide_rules now;
	struct decide_rules then;
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
	uint64_t in_delivery; /* would move, if they were not on their way already */
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

static bool free_routes(void *thing)
{
	struct routes *routes = thing;

	return routes_free_some(&routes, FREED);
}

void replay_free(struct replay **rp)
{
	struct replay *r = *rp;

	*rp = NULL;
	if (r == NULL)
		return;
	slicer_done(&r->slicer);
	ask_providers_free(&r->providers);
	if (r->routes != NULL)
		reap(r->env->actions->reaper, r->routes, free_routes);
	streams_free(&r->streams);
	reap_json(r->env->actions->reaper, r->moves);
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

/* "mx:gmail.com#required@bulk" is "mx, tls required, pool bulk": a domain's hosts are no other way
 * than another's. */
static void describe(const struct decide_rules *rules, const struct decide_way *way,
		     char ret[static WAY_MAX])
{
	struct str place = hop_place(way->next_hop);
	struct hop_ways ways = hop_ways(way->next_hop);
	struct route_demands d;
	size_t n;

	if (str_starts(place, STR("mx:")))
		place.n = 2;
	n = (size_t)snprintf(ret, WAY_MAX, "%.*s", STR_ARG(place));
	if (strchr(way->next_hop, '#') == NULL)
		return;
	(void)routes_demands(rules->routes, way->next_hop, &d);
	if (d.tls != ROUTE_TLS_OPPORTUNISTIC)
		n += (size_t)snprintf(ret + n, WAY_MAX - n, ", tls %s", route_tls_name(d.tls));
	if (d.user != NULL && *d.user != '\0')
		n += (size_t)snprintf(ret + n, WAY_MAX - n, ", login %.40s", d.user);
	if (ways.pool.n > 0)
		(void)snprintf(ret + n, WAY_MAX - n, ", pool %.*s", STR_ARG(ways.pool));
}

/* Where it goes, of n recipients and some in delivery besides. False: a list could not decide. */
static bool ask_routes(struct replay *r, const struct filter_row *row, struct str domain,
		       uint64_t n, uint64_t in_delivery)
{
	struct decide_way now, then;
	char from[WAY_MAX], to[WAY_MAX];

	decide_way(&r->now, row, domain, &now);
	decide_way(&r->then, row, domain, &then);
	if (!now.known || !then.known)
		return false;
	if (strcmp(now.next_hop, then.next_hop) == 0)
		return true;
	describe(&r->now, &now, from);
	describe(&r->then, &then, to);
	if (n > 0)
		count(r, "route", from, to, n);
	r->in_delivery += in_delivery;
	return true;
}

/* A message's recipients, as they stand in a page. */
struct letter {
	const struct replay *r;
	const struct queue_entry *rows;
};

static void put_rcpt(void *arg, size_t i, struct filter_row *row)
{
	const struct letter *l = arg;

	filter_row_text(row, FILTER_TO, l->rows[i].to);
	filter_row_text(row, FILTER_DOMAIN, queue_name_text(l->r->env->queue, l->rows[i].domain));
}

/* Whose a client's mail is that the allowlist has a stream for, whatever the rules say. */
static const struct mailstream *of_network(const struct replay *r, const struct streams *streams,
					   const struct queue_entry *e)
{
	const struct allow_entry *x;
	struct ipaddr client;

	if (e->credential.n > 0 || !ipaddr_parse(e->client, &client))
		return NULL;
	x = decide_network(r->env, streams, &client);
	return x != NULL ? streams_find(streams, str_of(x->stream)) : NULL;
}

static const struct mailstream *assigned(const struct replay *r, const struct streams *streams,
					 const struct stream_facts *facts,
					 const struct queue_entry *e)
{
	const struct mailstream *x = of_network(r, streams, e);
	const struct mailstream *open;

	return x != NULL ? x : streams_assign(streams, facts, &open);
}

/* The stream of a message with n recipients. */
static void ask_streams(struct replay *r, const struct queue_entry *rows, size_t n)
{
	struct letter l = { .r = r, .rows = rows };
	struct filter_row row;
	const struct stream_facts facts = {
		.row = &row, .rcpts_n = n, .rcpt = put_rcpt, .arg = &l, .all_rcpts = true
	};
	const struct mailstream *now, *then;

	if (rows[0].client.n == 0)
		return; /* a report of the relay's own: no rule was asked for it */
	env_filter_row(r->env, &rows[0], &row);
	now = assigned(r, r->now.streams, &facts, &rows[0]);
	then = assigned(r, r->then.streams, &facts, &rows[0]);
	if (now == NULL || then == NULL)
		r->undecided += n;
	else if (strcmp(now->id, then->id) != 0)
		count(r, "stream", now->id, then->id, n);
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
	json_t *answer = json_pack("{s:I, s:I, s:I, s:I, s:o, s:b, s:o}", "queued",
				   (json_int_t)r->queued, "recent", (json_int_t)r->recent,
				   "in_delivery", (json_int_t)r->in_delivery, "undecided",
				   (json_int_t)r->undecided, "since_at", json_time(r->since_ms),
				   "whole", r->whole, "moves", listed(r));

	r->fn(r->arg, answer, NULL);
}

/* --- recipients ------------------------------------------------------------------------------- */

static void scan(struct replay *r);

/* A recipient that was not counted with its group. */
static bool is_open(const struct replay *r, const struct queue_entry *e, bool *ret_active)
{
	struct sched_view v;

	if (!sched_find(r->env->sched, e->rid, &v) || v.state == SCHED_TRASH)
		return false;
	*ret_active = v.state == SCHED_ACTIVE;
	return v.group >= r->groups_n || (r->open[v.group / 8] & 1u << v.group % 8) != 0;
}

static bool is_finished(const struct queue_entry *e)
{
	return e->outcome != OUTCOME_NONE && e->outcome != OUTCOME_DEFERRED;
}

static void look(struct replay *r, const struct queue_entry *e)
{
	struct filter_row row;
	struct str domain = queue_name_text(r->env->queue, e->domain);
	bool active = false;

	if (r->phase == QUEUED ? !is_open(r, e, &active) : !is_finished(e))
		return;
	env_filter_row(r->env, e, &row);
	if (!ask_routes(r, &row, domain, active ? 0 : 1, active ? 1 : 0))
		r->undecided++;
}

/* How many of the rows at this place belong to one message. */
static size_t letter_n(const struct queue_entry *rows, size_t n)
{
	size_t k = 1;

	while (k < n && rid_msgid(rows[k].rid).v == rid_msgid(rows[0].rid).v)
		k++;
	return k;
}

/* Looks at the rows; how many were done with. more: the last message may go on behind them. */
static size_t look_at(struct replay *r, const struct queue_entry *rows, size_t n, bool more)
{
	size_t i = 0;

	while (i < n) {
		size_t k = letter_n(rows + i, n - i);
		if (more && i > 0 && i + k == n)
			break;
		if (r->phase == RECENT && r->streams != NULL)
			ask_streams(r, rows + i, k);
		for (size_t j = i; j < i + k; j++)
			look(r, &rows[j]);
		i += k;
	}
	return i;
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
	while (n > 0 && is_too_old(r, &rows[n - 1])) {
		more = false;
		n--;
	}
	n = look_at(r, rows, n, more);
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
				      .finished_only = r->phase == RECENT && r->streams == NULL,
				      .after_set = r->after_set,
				      .after = r->after,
				      .limit = r->phase == RECENT ? QUEUE_PAGE_MAX : PAGE,
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
		if (ask_routes(r, &row, queue_name_text(r->env->queue, v.domain),
			       v.counts.total - v.counts.state[SCHED_ACTIVE],
			       v.counts.state[SCHED_ACTIVE]))
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

static int put_edit(struct replay *r, const json_t *o, bool removal, struct err *err)
{
	const char *kind = json_get_str(o, "kind");
	const char *id = json_get_str(o, "id");
	const json_t *after = json_object_get(o, "after");
	const struct route *x;

	if (strcmp(kind, "route") != 0 && strcmp(kind, STREAMS_KIND) != 0)
		return 0;
	if (json_is_object(after) == removal)
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

/* The rules of now, then what goes away, then what comes: the lists have their limits. */
static int build(struct replay *r, bool *ret_more, struct err *err)
{
	const struct routes *now = r->env->routes;
	size_t routes = r->routes != NULL ? routes_n(now) : 0;
	size_t edits_n = json_array_size(r->objects);
	int rc = 0;

	if (r->at == 0 && r->streams != NULL)
		rc = put_streams(r, err);
	for (size_t end = r->at + BUILD_ITEMS; rc >= 0 && r->at < end; r->at++) {
		if (r->at < routes)
			rc = put_route(r, routes_at(now, r->at), err);
		else if (r->at - routes < 2 * edits_n)
			rc = put_edit(r, json_array_get(r->objects, (r->at - routes) % edits_n),
				      r->at - routes < edits_n, err);
		else
			break;
	}
	*ret_more = r->at < routes + 2 * edits_n;
	return rc;
}

static void look_at_groups(void *arg)
{
	struct replay *r = OBJ(replay, REPLAY_MAGIC, arg);

	r->at = 0;
	r->groups_n = sched_groups(r->env->sched);
	r->open = xcalloc(r->groups_n / 8 + 1, 1);
	slicer_run(&r->slicer, step_groups, on_groups);
}

static bool ask_for_providers(const struct routes *routes)
{
	for (size_t i = 0; i < routes_n(routes); i++)
		if ((filter_uses(routes_at(routes, i)->match) & 1u << FILTER_PROVIDER) != 0)
			return true;
	return false;
}

static void on_built(struct replay *r)
{
	r->now = r->then = decide_rules_of(r->env);
	if (r->routes != NULL)
		r->then.routes = r->routes;
	if (r->streams != NULL)
		r->then.streams = r->streams;
	if (ask_for_providers(r->now.routes) || ask_for_providers(r->then.routes))
		r->providers = ask_providers_start(r->env, look_at_groups, r);
	else
		look_at_groups(r);
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
