/*
 * status.get and the topic `status`: the relay on one page, made from the scheduler's groups, once
 * a second for every subscriber together.
 *
 * Attention: destinations (recipient domains) in the order in which somebody who was just woken up
 * should look at them: those to which nothing gets through, the largest backlog first; then those
 * that lie about without a failure; then those that fail and are held already. What passes by
 * itself (greylisting of the last hour, full mailboxes) does not wake anybody.
 */
#include <math.h>

#include "base/json.h"
#include "base/mem.h"
#include "ctl/groups.h"
#include "ctl/handlers.h"
#include "ctl/views.h"

#define ATTENTION_MAX 10
#define STALE_MS (INT64_C(30) * 60 * 1000)    /* of mail that lies about without a failure */
#define GREYLIST_MS (INT64_C(60) * 60 * 1000) /* so long it is nothing unusual */

enum urgency { CALM, KNOWN, STALE, TROUBLE };

static enum urgency urgency_of(const struct group_row *r, int64_t now_ms)
{
	uint64_t waiting = r->state[SCHED_READY] + r->state[SCHED_DEFERRED];
	bool passes = r->last_class == REPLY_MAILBOX_FULL ||
		      (r->last_class == REPLY_GREYLISTED && now_ms - r->trouble_ms < GREYLIST_MS);

	if (r->trouble_ms != 0 && !passes && waiting > 0)
		return TROUBLE;
	if (waiting > 0 && r->oldest_ms != 0 && now_ms - r->oldest_ms > STALE_MS &&
	    r->trouble_ms == 0)
		return STALE;
	return r->trouble_ms != 0 && !passes && r->state[SCHED_HELD] > 0 ? KNOWN : CALM;
}

struct urgent {
	enum urgency urgency;
	const struct group_row *row;
};

static bool before(const struct urgent *a, const struct urgent *b)
{
	if (a->urgency != b->urgency)
		return a->urgency > b->urgency;
	if (a->row->total != b->row->total)
		return a->row->total > b->row->total;
	return a->row->oldest_ms < b->row->oldest_ms;
}

static json_t *attention_row(const struct groups *g, const struct group_row *r)
{
	json_t *row = groups_json(g, r);
	int64_t since_ms = r->trouble_ms != 0 ? r->trouble_ms : r->oldest_ms;

	(void)json_object_set_new(row, "stream", json_text(groups_main_stream(g, r)));
	(void)json_object_set_new(row, "since_at", json_time(since_ms));
	(void)json_object_set_new(
		row, "cause",
		view_cause(r->trouble_ms != 0 ? r->last_class : (uint8_t)REPLY_NONE,
			   groups_last_reply(g, r)));
	return row;
}

/* The first rows; *ret_n is how many there would be (those that are held do not count). */
static json_t *attention(struct ctl_env *env, size_t *ret_n)
{
	struct groups *g = groups_new(env, BY_DOMAIN, false);
	struct urgent top[ATTENTION_MAX];
	struct sched_group_view v;
	int64_t now_ms = loop_wall_ms(env->loop);
	json_t *rows = json_array();
	size_t n = 0;

	*ret_n = 0;
	for (uint32_t i = 0; i < sched_groups(env->sched); i++)
		if (sched_group(env->sched, i, &v))
			groups_add_group(g, i, &v);
	for (size_t i = 0; i < groups_n(g); i++) {
		struct urgent u = { urgency_of(groups_at(g, i), now_ms), groups_at(g, i) };
		size_t at = n;
		if (u.urgency == CALM)
			continue;
		*ret_n += u.urgency > KNOWN;
		if (n < ATTENTION_MAX)
			n++;
		else if (before(&u, &top[n - 1]))
			at = n - 1;
		else
			continue;
		for (; at > 0 && before(&u, &top[at - 1]); at--)
			top[at] = top[at - 1];
		top[at] = u;
	}
	for (size_t i = 0; i < n; i++)
		(void)json_array_append_new(rows, attention_row(g, top[i].row));
	groups_free(&g);
	return rows;
}

static json_t *queued(struct ctl_env *env, int64_t *ret_oldest_ms)
{
	struct sched_counts c;
	uint64_t messages;

	sched_totals(env->sched, &c, &messages, ret_oldest_ms);
	return json_pack(
		"{s:I, s:I, s:I, s:I, s:I, s:I, s:I}", "messages", (json_int_t)messages,
		"recipients", (json_int_t)c.total, "ready", (json_int_t)c.state[SCHED_READY],
		"active", (json_int_t)c.state[SCHED_ACTIVE], "deferred",
		(json_int_t)c.state[SCHED_DEFERRED], "held", (json_int_t)c.state[SCHED_HELD],
		"trash", (json_int_t)c.state[SCHED_TRASH]);
}

static json_t *rates(struct ctl_env *env)
{
	json_t *o = json_object();

	for (int i = 0; i < RATE__COUNT; i++) {
		AUTO_FREE char *name = xasprintf("%s_per_s", rate_name((enum rate)i));
		double per_s = rates_per_s(&env->rates, (enum rate)i, loop_wall_ms(env->loop));
		(void)json_object_set_new(o, name, json_real(round(per_s * 100) / 100));
	}
	return o;
}

static json_t *history(struct ctl_env *env)
{
	json_t *o = json_object();

	for (int i = 0; i < RATE__COUNT; i++) {
		uint32_t steps[RATES_STEPS];
		json_t *a = json_array();
		rates_history(&env->rates, (enum rate)i, loop_wall_ms(env->loop), steps);
		for (int k = 0; k < RATES_STEPS; k++)
			(void)json_array_append_new(a, json_integer(steps[k]));
		(void)json_object_set_new(o, rate_name((enum rate)i), a);
	}
	return o;
}

static json_t *disk(const struct ctl_env *env)
{
	struct queue_figures f;

	queue_figures(env->queue, &f);
	return json_pack("{s:I, s:I, s:I, s:b}", "free_bytes", (json_int_t)f.free_bytes,
			 "used_bytes", (json_int_t)f.used_bytes, "damaged", (json_int_t)f.damaged,
			 "ok", (int)(!f.disk_full && !env->disk_full));
}

json_t *view_status(struct ctl_env *env)
{
	int64_t oldest_ms = 0;
	size_t alerts = 0;
	json_t *o = json_object();
	json_t *now = queued(env, &oldest_ms);
	json_t *first = attention(env, &alerts);
	json_t *room = disk(env);

	alerts += !json_get_bool(room, "ok");
	(void)json_object_set_new(o, "relay", json_string(env->hostname));
	(void)json_object_set_new(o, "version", json_string(WEIR_VERSION));
	(void)json_object_set_new(o, "now_at", json_time(loop_wall_ms(env->loop)));
	(void)json_object_set_new(o, "uptime_s", env_age(env, env->started_ms));
	(void)json_object_set_new(o, "queued", now);
	(void)json_object_set_new(o, "oldest_age_s", env_age(env, oldest_ms));
	(void)json_object_set_new(o, "rates", rates(env));
	(void)json_object_set_new(o, "rate_history", history(env));
	(void)json_object_set_new(o, "holds", json_integer((json_int_t)holds_active(env->holds)));
	(void)json_object_set_new(o, "alerts", json_integer((json_int_t)alerts));
	(void)json_object_set_new(o, "attention", first);
	(void)json_object_set_new(
		o, "connections",
		json_pack("{s:i, s:i}", "in",
			  env->smtpin != NULL ? (int)smtpin_connections(env->smtpin) : 0, "out",
			  env->smtpout != NULL ? (int)smtpout_connections(env->smtpout) : 0));
	(void)json_object_set_new(o, "disk", room);
	return o;
}

void ctl_status_get(struct ctl_call *call)
{
	ctl_reply(call, view_status(ctl_env(call)));
}
