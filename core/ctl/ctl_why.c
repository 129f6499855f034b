/*
 * why.get: the one thing that binds a recipient, a message, or a destination now.
 *
 * The order for a recipient, the first that holds:
 *
 *	done		it ended
 *	trash		deleted or bounced, and can be taken back
 *	held		a hold covers it
 *	credential	(of a credential:) it is revoked, disabled or expired
 *	route		a route keeps, rejects or discards it
 *	rate		it is due, and a stream's rate is used up; of a credential, its
 *			day's or its minute's
 *	concurrency	it is due, and its stream, the next hop or the relay has all at
 *			once that it may have
 *	warmup source	its pool has no address that may send now
 *	dns tls connect backoff
 *			its next hop is in back-off, for that reason, and longer than its
 *			own time lasts
 *	dns tls connect	its last attempt failed before a reply
 *	remote		the remote host said to come back
 *	retry		its time has not come, for no reason of the last attempt's
 *	waiting		it is due, and a connection will take it
 *	delivering	it is in a session this moment
 *
 * A message is what binds the first of its recipients in that order; a destination what binds most
 * of its recipients.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/fmt.h"
#include "base/mem.h"
#include "ctl/find.h"
#include "ctl/handlers.h"
#include "ctl/why.h"

#define RECIPIENTS_MAX 250 /* of a message that are looked at */

struct one {
	struct view_job job;
	struct rid rid; /* n 0: the message */
	struct rid rids[RECIPIENTS_MAX];
	unsigned n;
	struct rid chosen;
};

static void nothing_there(struct view_job *j)
{
	struct err err = ERR_INIT;

	(void)err_param(&err, ERR_UNKNOWN, "target",
			"there is no such message here, or it ended so long ago that it was "
			"forgotten");
	view_fail(j, &err);
}

/* The recipient that binds the message: the earliest in the order of enum binding. */
static int rank(struct ctl_env *env, const struct queue_entry *e)
{
	struct why w = WHY_INIT;

	why_recipient(env, e, NULL, &w);
	buf_done(&w.text);
	return (int)w.binding;
}

struct told {
	struct one *one;
	struct queue_event last;
	bool has_last;
};

static void on_one(void *arg, const struct queue_entry *rows, size_t n, const struct err *err)
{
	struct told *t = arg;
	struct one *o = t->one;
	struct why w = WHY_INIT;

	if (err != NULL) {
		view_fail(&o->job, err);
	} else if (n == 0) {
		nothing_there(&o->job);
	} else {
		char to[300];
		(void)snprintf(to, sizeof(to), "%.*s", STR_ARG(rows[0].to));
		if (o->n > 1)
			why_say(&w, "%s: ", to);
		why_recipient(o->job.env, &rows[0], t->has_last ? &t->last : NULL, &w);
		view_reply(&o->job, why_json(&w));
	}
	free(t);
}

static void on_last(void *arg, const struct queue_event *rows, size_t n, bool more,
		    const struct err *err)
{
	struct one *o = arg;
	struct told *t;

	(void)more;
	if (err != NULL) {
		view_fail(&o->job, err);
		return;
	}
	t = xcalloc(1, sizeof(*t));
	t->one = o;
	for (size_t i = 0; i < n && !t->has_last; i++)
		if (rows[i].rid.v == o->chosen.v) {
			t->last = rows[i];
			t->has_last = true;
		}
	queue_entries(o->job.env->queue, &o->chosen, 1, on_one, t);
}

static void on_candidates(void *arg, const struct queue_entry *rows, size_t n,
			  const struct err *err)
{
	struct one *o = arg;
	int best = B__COUNT;
	struct queue_event_query q = { .of = rid_msgid(o->rid),
				       .limit = QUEUE_PAGE_MAX,
				       .now_ms = loop_wall_ms(o->job.env->loop) };

	if (err != NULL) {
		view_fail(&o->job, err);
		return;
	}
	if (n == 0) {
		nothing_there(&o->job);
		return;
	}
	for (size_t i = 0; i < n; i++) {
		int r = rank(o->job.env, &rows[i]);
		if (r < best) {
			best = r;
			o->chosen = rows[i].rid;
		}
	}
	queue_events(o->job.env->queue, &q, on_last, o);
}

static void on_envelope(void *arg, const struct message *m_take, const struct err *err)
{
	struct one *o = arg;

	if (m_take == NULL) {
		if (err->code == ERR_UNKNOWN)
			nothing_there(&o->job);
		else
			view_fail(&o->job, err);
		return;
	}
	for (unsigned i = 0; i < m_take->rcpts_n && o->n < RECIPIENTS_MAX; i++)
		o->rids[o->n++] = rid_of(m_take->id, m_take->rcpts[i].n);
	message_unref(&m_take);
	queue_entries(o->job.env->queue, o->rids, o->n, on_candidates, o);
}

static void why_one(struct ctl_call *call, struct rid rid)
{
	static const struct view_job_ops ops = { .step = NULL };
	struct one *o = xcalloc(1, sizeof(*o));
	struct ctl_env *env = ctl_env(call);

	o->rid = rid;
	view_begin(&o->job, env, call, &ops);
	if (rid_n(rid) == 0) {
		queue_message_read(env->queue, rid_msgid(rid), false, on_envelope, o);
	} else {
		o->rids[o->n++] = rid;
		queue_entries(env->queue, o->rids, 1, on_candidates, o);
	}
}

/* ---- many recipients ---- */

struct many {
	struct view_job job;
	struct sched_counts counts;
	uint64_t holds_n; /* recipients under `hold` */
	uint32_t hold;	  /* of the largest group that one covers */
	uint64_t hold_most;
	uint64_t group_most;
	uint32_t group; /* the largest one that is not held */
	bool has_group;
	int64_t trouble_ms;
	int64_t next_ms;
	uint32_t last_group;
	uint32_t last_n;	  /* records of the same group in a row */
	struct sched_view sample; /* of the largest group, deferred */
};

static void add_group(struct many *m, uint32_t i, const struct sched_group_view *v,
		      const struct sched_counts *c)
{
	uint64_t waiting = c->state[SCHED_READY] + c->state[SCHED_DEFERRED];

	for (int k = 0; k < SCHED_STATE__COUNT; k++)
		m->counts.state[k] += c->state[k];
	m->counts.total += c->total;
	if (v->hold != 0 && c->state[SCHED_HELD] > m->hold_most) {
		m->hold_most = c->state[SCHED_HELD];
		m->hold = v->hold;
	}
	if (!m->has_group || waiting > m->group_most) {
		m->has_group = true;
		m->group_most = waiting;
		m->group = i;
	}
	if (v->trouble_since_ms != 0 && (m->trouble_ms == 0 || v->trouble_since_ms < m->trouble_ms))
		m->trouble_ms = v->trouble_since_ms;
	if (c->state[SCHED_DEFERRED] > 0 && v->next_ms != 0 &&
	    (m->next_ms == 0 || v->next_ms < m->next_ms))
		m->next_ms = v->next_ms;
}

static bool whole(void *arg, uint32_t i, const struct sched_group_view *v)
{
	/* holds on single recipients: which ones, their records know */
	if (v->counts.state[SCHED_HELD] > 0 && v->hold == 0 && strcmp(v->next_hop, "hold") != 0)
		return false;
	add_group(arg, i, v, &v->counts);
	return true;
}

static bool each(void *arg, const struct sched_view *v, const struct queue_entry *e, bool sure)
{
	struct many *m = arg;
	struct sched_group_view g;
	struct sched_counts one = { .total = v->state != SCHED_TRASH };

	(void)e;
	(void)sure;
	one.state[v->state] = 1;
	if (!sched_group(m->job.env->sched, v->group, &g))
		return true;
	if (v->hold != 0)
		g.hold = v->hold;
	add_group(m, v->group, &g, &one);
	return true;
}

static const char *number(uint64_t n, char ret[static FMT_TIME_LEN])
{
	fmt_count(n, ret);
	return ret;
}

/* ". Besides: 12 in delivery, 40 waiting for their next attempt" */
static void say_rest(const struct many *m, struct why *w, enum sched_state told)
{
	static const struct {
		enum sched_state state;
		const char *text;
	} parts[] = {
		{ SCHED_ACTIVE, "in delivery" },
		{ SCHED_READY, "due" },
		{ SCHED_DEFERRED, "waiting for their next attempt" },
		{ SCHED_HELD, "held" },
	};
	const char *comma = ". Besides: ";
	char n[FMT_TIME_LEN];

	for (size_t i = 0; i < ARRAY_LEN(parts); i++) {
		if (parts[i].state == told || m->counts.state[parts[i].state] == 0)
			continue;
		why_say(w, "%s%s %s", comma, number(m->counts.state[parts[i].state], n),
			parts[i].text);
		comma = ", ";
	}
}

static enum sched_state largest(const struct many *m)
{
	enum sched_state best = SCHED_READY;

	for (int k = 0; k < SCHED_TRASH; k++)
		if (m->counts.state[k] > m->counts.state[best])
			best = (enum sched_state)k;
	return best;
}

/* The target is a credential, and what binds is that it sends nothing; unless its mail is held. */
static bool why_of_credential(const struct many *m, struct why *w, bool held)
{
	const struct target *t = ctl_target(m->job.call);
	enum filter_field field;
	struct str name;
	char n[FMT_TIME_LEN];

	if (held || !filter_simple_key(t->filter, &field, &name) || field != FILTER_CREDENTIAL ||
	    !why_credential(m->job.env, w, name))
		return false;
	if (m->counts.total > 0)
		why_say(w, ". Of what it sent before %s recipient%s still queued, and go%s out",
			number(m->counts.total, n), m->counts.total == 1 ? " is" : "s are",
			m->counts.total == 1 ? "es" : "");
	return true;
}

static void why_many(struct many *m, const char *target, struct why *w)
{
	struct ctl_env *env = m->job.env;
	struct sched_group_view g = { .next_hop = "" };
	struct filter_row row;
	enum sched_state s = largest(m);
	char n[FMT_TIME_LEN];

	if (why_of_credential(m, w, s == SCHED_HELD && m->counts.total > 0))
		return;
	if (m->counts.total == 0) {
		w->binding = B_DONE;
		why_say(w, "nothing is queued for %s", target);
		return;
	}
	(void)sched_group(env->sched, m->group, &g);
	env_group_row(env, g.domain, g.stream, &row);
	w->since_ms = m->trouble_ms;
	why_say(w, "%s: ", target);
	if (m->counts.state[s] < m->counts.total)
		why_say(w, "%s of ", number(m->counts.state[s], n));
	why_say(w, "%s recipient%s ", number(m->counts.total, n), m->counts.total == 1 ? "" : "s");
	switch (s) {
	case SCHED_HELD:
		if (m->hold != 0)
			why_held(env, w, m->hold);
		else if (!why_route(env, w, g.next_hop, &row))
			why_say(w, "held");
		break;
	case SCHED_ACTIVE:
		w->binding = B_DELIVERING;
		why_say(w, "in delivery this moment");
		break;
	case SCHED_READY:
		if (!why_route(env, w, g.next_hop, &row))
			why_due(env, w, g.next_hop, g.stream, g.counts.state[SCHED_READY]);
		break;
	case SCHED_DEFERRED:
		why_say(w, "waiting: ");
		if (!why_backoff(env, w, g.next_hop, g.last_class))
			why_deferred(env, w, row.text[FILTER_PROVIDER], g.last_class, g.last_reply,
				     m->next_ms);
		break;
	case SCHED_TRASH:
	case SCHED_STATE__COUNT:
		break;
	}
	say_rest(m, w, s);
}

static void on_found(void *arg, const struct err *err)
{
	struct many *m = arg;
	struct why w = WHY_INIT;

	if (err != NULL) {
		view_fail(&m->job, err);
		return;
	}
	why_many(m, ctl_target(m->job.call)->canonical, &w);
	view_reply(&m->job, why_json(&w));
}

/* ---- */

/* The target is one message or one recipient. */
static bool is_one(const struct target *t, struct rid *ret_rid)
{
	enum filter_field field;
	struct str value;
	struct msgid id;
	unsigned n;

	if (!filter_simple_key(t->filter, &field, &value) || field != FILTER_ID ||
	    !msgid_parse_rcpt(value, &id, &n))
		return false;
	*ret_rid = rid_of(id, n);
	return true;
}

void ctl_why_get(struct ctl_call *call)
{
	static const struct view_job_ops ops = { .step = NULL };
	static const struct find_ops find = { .each = each, .whole = whole, .done = on_found };
	const struct target *t = ctl_target(call);
	struct many *m;
	struct rid rid;

	if (is_one(t, &rid)) {
		why_one(call, rid);
		return;
	}
	m = xcalloc(1, sizeof(*m));
	view_begin(&m->job, ctl_env(call), call, &ops);
	find_start(m->job.env, t->filter, 0, &find, m);
}
