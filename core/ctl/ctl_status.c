/*
 * status.get, alert.list and the topic `status`: the relay on one page, made from the scheduler's
 * groups, once a second for every subscriber together.
 *
 * Attention: destinations (recipient domains) in the order in which somebody who was just woken up
 * should look at them: those to which nothing gets through, the largest backlog first; then those
 * that lie about without a failure; then those that fail and are held already. What passes by
 * itself (greylisting of the last hour, full mailboxes) does not wake anybody.
 */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/json.h"
#include "base/mem.h"
#include "ctl/alerts.h"
#include "ctl/groups.h"
#include "ctl/handlers.h"
#include "ctl/probation.h"
#include "ctl/sinks.h"
#include "ctl/views.h"

#define ATTENTION_MAX 10
#define URGENT_MAX 10			   /* other alerts in the status */
#define ATTENTION_MS 900		   /* a list is kept so long */
#define FEW_GROUPS 5000			   /* so many are gone through on the spot: a millisecond */
#define STALE_MS (INT64_C(30) * 60 * 1000) /* of mail that lies about without a failure */
#define GREYLIST_MS (INT64_C(60) * 60 * 1000) /* so long it is nothing unusual */

enum urgency { CALM, KNOWN, STALE, TROUBLE };

static enum urgency urgency_of(const struct group_row *r, int64_t now_ms)
{
	uint64_t waiting = r->state[SCHED_READY] + r->state[SCHED_DEFERRED];
	bool passes = r->last_class == REPLY_MAILBOX_FULL ||
		      (r->last_class == REPLY_GREYLISTED && now_ms - r->trouble_ms < GREYLIST_MS);

	if (r->trouble_ms != 0 && !passes && waiting > 0)
		return TROUBLE;
	if (waiting > 0 && r->waiting_ms != 0 && now_ms - r->waiting_ms > STALE_MS &&
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

static json_t *attention_row(const struct ctl_env *env, const struct groups *g,
			     const struct group_row *r)
{
	struct filter_row of;
	json_t *row = groups_json(g, r);
	int64_t since_ms = r->trouble_ms != 0 ? r->trouble_ms : r->waiting_ms;

	env_group_row(env, r->id, 0, &of);
	(void)json_object_set_new(row, "stream", json_text(groups_main_stream(g, r)));
	(void)json_object_set_new(row, "since_at", json_time(since_ms));
	(void)json_object_set_new(
		row, "cause",
		view_cause(env, of.text[FILTER_PROVIDER],
			   r->trouble_ms != 0 ? r->last_class : (uint8_t)REPLY_NONE,
			   groups_last_reply(g, r)));
	return row;
}

/*
 * The list is made by a job: groups that are in trouble or old first (TROUBLED), then what else
 * their domains have (COMPLETE), so that a calm queue of a hundred thousand destinations costs
 * little. The answer is kept for a second. With few groups it is made on the spot.
 */
enum phase { TROUBLED, COMPLETE, ROWS };

struct search {
	struct view_job job;
	struct groups *groups;
	struct sched_counts counts;
	int64_t oldest_ms;
	int64_t waiting_ms;
	uint32_t waiting_domain;
	enum phase phase;
	uint32_t at;
};

static void search_done(struct view_job *j)
{
	struct search *s = (struct search *)j;

	groups_free(&s->groups);
	view_attention(j->env)->busy = NULL;
}

static void keep_rows(struct search *s)
{
	struct view_attention *a = view_attention(s->job.env);
	int64_t now_ms = loop_wall_ms(s->job.env->loop);
	struct urgent top[ATTENTION_MAX];
	size_t n = 0;

	json_decref(a->rows);
	*a = (struct view_attention){ .rows = json_array(),
				      .counts = s->counts,
				      .oldest_ms = s->oldest_ms,
				      .waiting_ms = s->waiting_ms,
				      .at_ms = loop_now_ms(s->job.env->loop),
				      .busy = a->busy };
	if (s->waiting_domain != 0)
		(void)snprintf(a->waiting_domain, sizeof(a->waiting_domain), "%.*s",
			       STR_ARG(queue_name_text(s->job.env->queue, s->waiting_domain)));
	for (size_t i = 0; i < groups_n(s->groups); i++) {
		const struct group_row *r = groups_at(s->groups, i);
		struct urgent u = { urgency_of(r, now_ms), r };
		size_t at = n;
		if (u.urgency == CALM)
			continue;
		a->n += u.urgency > KNOWN;
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
		(void)json_array_append_new(a->rows,
					    attention_row(s->job.env, s->groups, top[i].row));
}

static bool looks_bad(const struct sched_group_view *v, int64_t now_ms)
{
	return v->trouble_since_ms != 0 ||
	       (v->waiting_ms != 0 && now_ms - v->waiting_ms > STALE_MS);
}

static void sum_up(struct search *s, const struct sched_group_view *v)
{
	for (int k = 0; k < SCHED_STATE__COUNT; k++)
		s->counts.state[k] += v->counts.state[k];
	s->counts.total += v->counts.total;
	if (v->counts.total > 0 && v->oldest_ms != 0 &&
	    (s->oldest_ms == 0 || v->oldest_ms < s->oldest_ms))
		s->oldest_ms = v->oldest_ms;
	if (v->waiting_ms != 0 && (s->waiting_ms == 0 || v->waiting_ms < s->waiting_ms)) {
		s->waiting_ms = v->waiting_ms;
		s->waiting_domain = v->domain;
	}
}

/* False: the slice is over. */
static bool pass(struct search *s, bool sliced)
{
	const struct sched *sched = s->job.env->sched;
	int64_t now_ms = loop_wall_ms(s->job.env->loop);
	struct sched_group_view v;

	for (uint32_t n = sched_groups(sched); s->at < n; s->at++) {
		if (sliced && s->at % 128 == 127 && view_slice_over(&s->job))
			return false;
		if (!sched_group(sched, s->at, &v))
			continue;
		if (s->phase == TROUBLED)
			sum_up(s, &v);
		if (s->phase == TROUBLED
			    ? looks_bad(&v, now_ms)
			    : !looks_bad(&v, now_ms) && groups_has(s->groups, v.domain))
			groups_add_group(s->groups, s->at, &v);
	}
	s->at = 0;
	s->phase = s->phase == TROUBLED && groups_n(s->groups) > 0 ? COMPLETE : ROWS;
	return true;
}

static void answer_later(struct view_job *j);

static void search_step(struct view_job *j)
{
	struct search *s = (struct search *)j;

	if (s->phase == ROWS) {
		keep_rows(s);
		answer_later(j);
		return;
	}
	(void)pass(s, true);
	view_soon(j);
}

/* The list as it is known now; starts to make it anew when it is old. */
static const struct view_attention *attention(struct ctl_env *env)
{
	static const struct view_job_ops ops = { .step = search_step, .done = search_done };
	struct view_attention *a = view_attention(env);
	bool few = sched_groups(env->sched) <= FEW_GROUPS;
	struct search *s;

	if (a->busy != NULL ||
	    (!few && a->rows != NULL && loop_now_ms(env->loop) - a->at_ms < ATTENTION_MS))
		return a;
	s = xcalloc(1, sizeof(*s));
	view_begin(&s->job, env, NULL, &ops);
	s->groups = groups_new(env, BY_DOMAIN, false);
	a->busy = &s->job;
	if (!few) {
		view_soon(&s->job);
		return a;
	}
	while (s->phase != ROWS)
		(void)pass(s, false);
	keep_rows(s);
	view_end(&s->job);
	return a;
}

static json_t *queued(const struct ctl_env *env, const struct view_attention *a)
{
	struct sched_size size;
	const uint64_t *state = a->counts.state;

	sched_size(env->sched, &size);
	return json_pack("{s:I, s:I, s:I, s:I, s:I, s:I, s:I}", "messages",
			 (json_int_t)size.messages, "recipients", (json_int_t)size.recipients,
			 "ready", (json_int_t)state[SCHED_READY], "active",
			 (json_int_t)state[SCHED_ACTIVE], "deferred",
			 (json_int_t)state[SCHED_DEFERRED], "held", (json_int_t)state[SCHED_HELD],
			 "trash", (json_int_t)size.trash);
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
	return json_pack("{s:I, s:I, s:I, s:s?, s:b}", "free_bytes", (json_int_t)f.free_bytes,
			 "used_bytes", (json_int_t)f.used_bytes, "damaged", (json_int_t)f.damaged,
			 "unreadable", f.unreadable[0] != '\0' ? f.unreadable : NULL, "ok",
			 (int)(!f.disk_full && !env->disk_full));
}

/* Of the alerts (taken) those that the rows of `attention` do not tell. */
static json_t *besides(json_t *alerts_take)
{
	json_t *out = json_array();
	json_t *row;
	size_t i;

	json_array_foreach(alerts_take, i, row)
	{
		if (!alert_is_destination(row) && json_array_size(out) < URGENT_MAX)
			(void)json_array_append(out, row);
	}
	json_decref(alerts_take);
	return out;
}

json_t *view_status(struct ctl_env *env)
{
	json_t *o = json_object();
	const struct view_attention *first = attention(env);
	json_t *alerts = alerts_json(env, first);

	(void)json_object_set_new(o, "relay", json_string(env->hostname));
	(void)json_object_set_new(o, "version", json_string(WEIR_VERSION));
	(void)json_object_set_new(o, "now_at", json_time(loop_wall_ms(env->loop)));
	(void)json_object_set_new(o, "uptime_s", env_age(env, env->started_ms));
	(void)json_object_set_new(o, "queued", queued(env, first));
	(void)json_object_set_new(o, "oldest_age_s", env_age(env, first->oldest_ms));
	(void)json_object_set_new(o, "rates", rates(env));
	(void)json_object_set_new(o, "encoded", json_integer((json_int_t)env->encoded));
	(void)json_object_set_new(o, "double_bounces",
				  json_integer((json_int_t)env->double_bounces));
	(void)json_object_set_new(o, "rate_history", history(env));
	(void)json_object_set_new(o, "holds", json_integer((json_int_t)holds_active(env->holds)));
	(void)json_object_set_new(o, "probation", probation_row(env));
	(void)json_object_set_new(o, "alerts", json_integer((json_int_t)json_array_size(alerts)));
	(void)json_object_set_new(o, "attention",
				  first->rows != NULL ? json_incref(first->rows) : json_array());
	(void)json_object_set_new(o, "urgent", besides(alerts));
	(void)json_object_set_new(
		o, "connections",
		json_pack("{s:i, s:i}", "in",
			  env->smtpin != NULL ? (int)smtpin_connections(env->smtpin) : 0, "out",
			  env->smtpout != NULL ? (int)smtpout_connections(env->smtpout) : 0));
	(void)json_object_set_new(
		o, "blocked",
		json_integer((json_int_t)guard_blocked_n(env->guard, loop_wall_ms(env->loop))));
	(void)json_object_set_new(o, "disk", disk(env));
	(void)json_object_set_new(o, "sinks", sinks_json(env->sinks));
	return o;
}

json_t *view_alert_rows(struct ctl_env *env)
{
	return alerts_json(env, attention(env));
}

static json_t *alert_page(struct ctl_env *env)
{
	json_t *rows = view_alert_rows(env);
	size_t n = json_array_size(rows);

	return view_page(rows, NULL, NULL, n, true);
}

static json_t *answer_of(struct ctl_env *env, const struct ctl_call *call)
{
	return ctl_method(call) == &method_defs[M_ALERT_LIST] ? alert_page(env) : view_status(env);
}

/* The search that was made for a call is over, or nobody waits for it. */
static void answer_later(struct view_job *j)
{
	struct ctl_env *env = j->env;
	struct ctl_call *call = j->call;

	view_end(j);
	if (call != NULL)
		ctl_reply(call, answer_of(env, call));
}

static void when_known(struct ctl_call *call)
{
	struct ctl_env *env = ctl_env(call);
	const struct view_attention *a = attention(env);

	/* the first question ever waits for the first list */
	if (a->rows == NULL && a->busy != NULL && a->busy->call == NULL)
		a->busy->call = call;
	else
		ctl_reply(call, answer_of(env, call));
}

void ctl_status_get(struct ctl_call *call)
{
	when_known(call);
}

void ctl_alert_list(struct ctl_call *call)
{
	when_known(call);
}
