/* Each reason says what is the case, with numbers and times, and what comes next. */
#include "ctl/why.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/fmt.h"
#include "base/json.h"
#include "base/mem.h"
#include "ctl/verdict.h"
#include "ctl/views.h"
#include "route/hop.h"

#define REPLY_SHOWN 240

static const char *const binding_names[B__COUNT] = {
	[B_HELD] = "held",
	[B_CREDENTIAL] = "credential",
	[B_ROUTE] = "route",
	[B_BACKOFF] = "backoff",
	[B_DNS] = "dns",
	[B_TLS] = "tls",
	[B_WARMUP] = "warmup",
	[B_SOURCE] = "source",
	[B_CONNECT] = "connect",
	[B_RATE] = "rate",
	[B_CONCURRENCY] = "concurrency",
	[B_REMOTE] = "remote",
	[B_RETRY] = "retry",
	[B_WAITING] = "waiting",
	[B_DELIVERING] = "delivering",
	[B_TRASH] = "trash",
	[B_DONE] = "done",
	[B_UNKNOWN] = "unknown",
};

json_t *why_json(struct why *w)
{
	bool limited = w->current >= 0;
	json_t *o = json_pack("{s:s, s:o, s:o, s:o, s:o, s:o, s:o}", "binding",
			      binding_names[w->binding], "text", json_text(buf_str(&w->text)),
			      "since_at", json_time(w->since_ms), "until_at",
			      json_time(w->until_ms), "rule", json_text_or_null(str_of(w->rule)),
			      "current", limited ? json_integer(w->current) : json_null(), "limit",
			      limited ? json_integer(w->limit) : json_null());

	buf_done(&w->text);
	return o;
}

void why_say(struct why *w, const char *fmt, ...)
{
	char part[WHY_TEXT_MAX];
	va_list ap;

	va_start(ap, fmt);
	(void)vsnprintf(part, sizeof(part), fmt, ap);
	va_end(ap);
	(void)buf_puts(&w->text, part);
}

/* "in 12m", "8m ago" */
static const char *span(int64_t ms, char ret[static FMT_SHORT_LEN])
{
	fmt_age(ms > 0 ? ms / 1000 : 0, ret);
	return ret;
}

static const char *number(uint64_t n, char ret[static FMT_TIME_LEN])
{
	fmt_count(n, ret);
	return ret;
}

/* ---- reasons ---- */

void why_held(const struct ctl_env *env, struct why *w, uint32_t number_of_hold)
{
	const struct hold *x = holds_find(env->holds, number_of_hold);
	int64_t now_ms = loop_wall_ms(env->loop);
	char age[FMT_SHORT_LEN];

	w->binding = B_HELD;
	if (x == NULL) {
		why_say(w, "held");
		return;
	}
	(void)snprintf(w->rule, sizeof(w->rule), "%s", x->id);
	w->since_ms = x->created_ms;
	w->until_ms = x->expires_ms;
	why_say(w, "held by %s (hold %s on %s, for %s so far): %s", x->by, x->id,
		x->target.canonical, span(now_ms - x->created_ms, age), x->reason);
	if (x->expires_ms != 0)
		why_say(w, "; it ends by itself in %s", span(x->expires_ms - now_ms, age));
	else
		why_say(w, "; until somebody releases it");
}

/* Mail that goes nowhere by a route. */
bool why_route(const struct ctl_env *env, struct why *w, const char *next_hop,
	       const struct filter_row *row)
{
	static const char *const words[][2] = {
		{ "hold", "keeps it back" },
		{ "reject", "rejects it" },
		{ "discard", "discards it" },
	};
	const struct route *r = NULL;
	char hop[ROUTE_HOP_MAX];

	for (size_t i = 0; i < ARRAY_LEN(words); i++) {
		if (strcmp(next_hop, words[i][0]) != 0)
			continue;
		w->binding = B_ROUTE;
		(void)routes_judge(env->routes, row, row->text[FILTER_DOMAIN], &r, hop);
		if (r != NULL) {
			(void)snprintf(w->rule, sizeof(w->rule), "%s", r->id);
			w->since_ms = r->created_ms;
			why_say(w, "route %s (%s) %s%s%s", r->id,
				*r->match_text != '\0' ? r->match_text : "all mail", words[i][1],
				*r->note != '\0' ? ": " : "", r->note);
		} else {
			why_say(w, "a route %s", words[i][1]);
		}
		return true;
	}
	return false;
}

static enum binding binding_of_class(uint8_t reply_class, enum binding otherwise)
{
	if (reply_class == REPLY_DNS)
		return B_DNS;
	if (reply_class == REPLY_TLS)
		return B_TLS;
	if (reply_class == REPLY_NETWORK)
		return B_CONNECT;
	return otherwise;
}

/* Where it goes; not how. */
static const char *place_of(const char *next_hop, char ret[static ROUTE_HOP_MAX])
{
	struct str place = hop_place(next_hop);

	if (str_index(place, ':') >= 0)
		(void)str_cut(&place, ':');
	(void)snprintf(ret, ROUTE_HOP_MAX, "%.*s", STR_ARG(place));
	return ret;
}
#define HOP_NAME(next_hop) place_of(next_hop, (char[ROUTE_HOP_MAX]){ "" })

/* The pool that it leaves from has no address for it. */
static bool why_pool(const struct ctl_env *env, struct why *w, const char *next_hop)
{
	struct str name = hop_ways(next_hop).pool;
	int64_t now_ms = loop_wall_ms(env->loop);
	const struct pool_source *x;
	const struct pool *p;
	char why[POOL_WHY_MAX];
	char left[FMT_SHORT_LEN];
	enum pool_answer got;

	if (name.n == 0)
		return false;
	got = pools_pick(env->pools, name, false, true, now_ms, &x, why);
	if (got != POOL_CAPPED && got != POOL_UNUSABLE)
		return false;
	p = pools_find(env->pools, name);
	(void)snprintf(w->rule, sizeof(w->rule), "%.*s", STR_ARG(name));
	w->binding = got == POOL_CAPPED ? B_WARMUP : B_SOURCE;
	why_say(w, "%s", why);
	if (got != POOL_CAPPED || p == NULL)
		return true;
	w->limit = (int64_t)pools_cap(p, now_ms) * (int64_t)p->n;
	w->current = 0;
	for (size_t i = 0; i < p->n; i++)
		w->current += pools_sent(&p->sources[i], now_ms);
	w->until_ms = pools_next_day_ms(now_ms);
	why_say(w, "; day %u of its plan ends in %s", pools_plan_day(p, now_ms),
		span(w->until_ms - now_ms, left));
	return true;
}

bool why_backoff(const struct ctl_env *env, struct why *w, const char *next_hop,
		 uint8_t reply_class)
{
	struct sched_dest_view d;
	int64_t now_ms = loop_wall_ms(env->loop);
	char left[FMT_SHORT_LEN];
	char age[FMT_SHORT_LEN];
	AUTO_FREE char *reply = NULL;

	if (!sched_dest(env->sched, next_hop, &d) || d.backoff_until_ms == 0)
		return false;
	if (why_pool(env, w, next_hop))
		return true;
	reply = view_quote(d.reply, REPLY_SHOWN);
	w->binding = d.slowed ? B_BACKOFF : binding_of_class(reply_class, B_BACKOFF);
	w->since_ms = d.since_ms;
	w->until_ms = d.backoff_until_ms;
	if (d.slowed)
		why_say(w, "mail to %s is slowed down for %s; more is sent in %s. %s",
			HOP_NAME(next_hop), span(now_ms - d.since_ms, age),
			span(d.backoff_until_ms - now_ms, left), reply);
	else
		why_say(w, "%s cannot be reached for %s; it is tried again in %s. %s",
			HOP_NAME(next_hop), span(now_ms - d.since_ms, age),
			span(d.backoff_until_ms - now_ms, left), reply);
	return true;
}

/* A stream's cap keeps it back. */
static bool why_cap(const struct ctl_env *env, struct why *w, const char *next_hop, uint32_t stream,
		    uint64_t ready)
{
	struct str name = queue_name_text(env->queue, stream);
	struct sched_cap_view c;
	char n[FMT_TIME_LEN];
	char left[FMT_SHORT_LEN];

	if (!sched_cap(env->sched, next_hop, stream, &c))
		return false;
	(void)snprintf(w->rule, sizeof(w->rule), "%.*s", STR_ARG(name));
	if (c.full || c.rate == 0) {
		w->binding = B_CONCURRENCY;
		w->current = c.active;
		w->limit = c.concurrency;
		why_say(w,
			"due now; the stream %.*s may have %u message%s at once on the way to %s, "
			"and has %u; %s recipients wait",
			STR_ARG(name), c.concurrency, c.concurrency == 1 ? "" : "s",
			HOP_NAME(next_hop), c.active, number(ready, n));
		return true;
	}
	w->binding = B_RATE;
	w->current = w->limit = c.rate;
	w->until_ms = c.next_ms;
	why_say(w,
		"due now; the stream %.*s sends at most %u messages a minute to %s, and %s "
		"recipients wait for that",
		STR_ARG(name), c.rate, HOP_NAME(next_hop), number(ready, n));
	if (c.next_ms != 0)
		why_say(w, "; the next one goes in %s",
			span(c.next_ms - loop_wall_ms(env->loop) + 999, left));
	return true;
}

/* Due, and not in a session. */
void why_due(const struct ctl_env *env, struct why *w, const char *next_hop, uint32_t stream,
	     uint64_t ready)
{
	struct smtpout_hop_view hop = { .connections = 0 };
	bool known = env->smtpout != NULL && smtpout_hop(env->smtpout, next_hop, &hop);
	char n[FMT_TIME_LEN];

	w->binding = B_WAITING;
	if (*next_hop == '\0') {
		why_say(w, "due now; its route is being decided");
	} else if (why_cap(env, w, next_hop, stream, ready) || why_pool(env, w, next_hop)) {
		return;
	} else if (known && hop.waits_for_room) {
		w->binding = B_CONCURRENCY;
		why_say(w,
			"due now, but the relay has as many connections open as it may; %s wait "
			"for "
			"%s, which has %u",
			number(ready, n), HOP_NAME(next_hop), hop.connections);
	} else if (known && hop.pause_until_ms > loop_wall_ms(env->loop)) {
		AUTO_FREE char *reply = view_quote(hop.reason, REPLY_SHOWN);
		w->binding = *reply != '\0' ? B_BACKOFF : B_CONNECT;
		w->until_ms = hop.pause_until_ms;
		why_say(w,
			"due now, but the last connections to %s came to nothing; more are made in "
			"%s%s%s",
			HOP_NAME(next_hop), span(hop.pause_until_ms - loop_wall_ms(env->loop), n),
			*reply != '\0' ? ". " : "", reply);
	} else if (known && hop.limit > 0 && hop.of_site >= hop.limit) {
		w->binding = B_CONCURRENCY;
		why_say(w,
			"due now; %s has all of the %u connections that it may have, and %s "
			"recipients wait for them",
			HOP_NAME(next_hop), hop.limit, number(ready, n));
	} else if (known && hop.opening > 0) {
		why_say(w, "due now; a connection to %s is being made", HOP_NAME(next_hop));
	} else {
		why_say(w, "due now; a connection to %s takes it next", HOP_NAME(next_hop));
	}
}

/* Its time has not come; the last attempt says why. */
void why_deferred(const struct ctl_env *env, struct why *w, struct str site, uint8_t reply_class,
		  const char *reply_text, int64_t next_ms)
{
	int64_t now_ms = loop_wall_ms(env->loop);
	char left[FMT_SHORT_LEN];
	AUTO_FREE char *reply = view_quote(reply_text, REPLY_SHOWN);
	struct classify_out c = { .meaning = "" };
	int code = verdict_code(reply_text);

	if (reply_class != REPLY_NONE)
		verdict_text(env->rules, site, reply_class, reply_text, &c);
	w->binding = binding_of_class(reply_class, code != 0 ? B_REMOTE : B_RETRY);
	w->until_ms = next_ms;
	if (code != 0)
		why_say(w, "the remote host said to come back: %s", reply);
	else if (*reply != '\0')
		why_say(w, "the last attempt failed: %s", reply);
	else
		why_say(w, "it waits for its time");
	if (next_ms != 0)
		why_say(w, ". Next attempt in %s", span(next_ms - now_ms, left));
	if (c.meaning[0] != '\0')
		why_say(w, ". %s", c.meaning);
}

/* ---- credentials ---- */

static void say_status(struct why *w, const struct cred *x, const char *status, int64_t now_ms)
{
	int64_t since_ms = x->revoked_ms != 0				   ? x->revoked_ms
			   : x->disabled_ms != 0			   ? x->disabled_ms
			   : x->expires_ms != 0 && x->expires_ms <= now_ms ? x->expires_ms
									   : 0;
	char age[FMT_SHORT_LEN];

	w->binding = B_CREDENTIAL;
	w->since_ms = since_ms;
	why_say(w, "the credential %s is %s", x->name,
		strcmp(status, "empty") == 0 ? "without a secret" : status);
	if (since_ms != 0)
		why_say(w, " (%s ago)", span(now_ms - since_ms, age));
	why_say(w, ": nobody can log in with it");
	if (x->note != NULL && *x->note != '\0')
		why_say(w, "; its note: %s", x->note);
}

#define DAY_MS INT64_C(86400000)

bool why_credential(const struct ctl_env *env, struct why *w, struct str name)
{
	const struct cred *x = creds_find(env->creds, name);
	int64_t now_ms = loop_wall_ms(env->loop);
	const char *status;
	char left[FMT_SHORT_LEN];
	unsigned limit;

	if (x == NULL)
		return false;
	(void)snprintf(w->rule, sizeof(w->rule), "%s", x->name);
	status = cred_status(x, now_ms);
	if (strcmp(status, "active") != 0) {
		say_status(w, x, status, now_ms);
		return true;
	}
	if (x->per_day != 0 && x->use->day == now_ms / DAY_MS &&
	    x->use->day_messages >= x->per_day) {
		w->binding = B_RATE;
		w->current = (int64_t)x->use->day_messages;
		w->limit = x->per_day;
		w->until_ms = (now_ms / DAY_MS + 1) * DAY_MS;
		why_say(w,
			"the credential %s has sent the %u messages that it may send in a day; the "
			"next day begins in %s",
			x->name, x->per_day, span(w->until_ms - now_ms, left));
		return true;
	}
	if (env->smtpin != NULL && smtpin_credential_full(env->smtpin, x, &limit)) {
		w->binding = B_RATE;
		w->current = w->limit = limit;
		why_say(w,
			"the credential %s has sent the %u messages that it may send in a minute; "
			"they come back one by one",
			x->name, limit);
		return true;
	}
	w->rule[0] = '\0';
	return false;
}

/* ---- one recipient ---- */

/* Of its own retry timer and its next hop's back-off the one that ends later. */
static bool own_time_binds(const struct ctl_env *env, const struct sched_view *v,
			   const char *next_hop)
{
	struct sched_dest_view d = { .backoff_until_ms = 0 };

	(void)sched_dest(env->sched, next_hop, &d);
	return v->own_next_ms > loop_wall_ms(env->loop) && v->own_next_ms >= d.backoff_until_ms;
}

/* e: what the store has of it; last: its last event, or NULL. */
void why_recipient(const struct ctl_env *env, const struct queue_entry *e,
		   const struct queue_event *last, struct why *w)
{
	struct sched_group_view g = { .next_hop = "" };
	struct filter_row row;
	struct sched_view v;
	AUTO_FREE char *reply = xstrndup(e->reply.n > 0 ? e->reply.p : "", e->reply.n);
	AUTO_FREE char *quoted = view_quote(reply, REPLY_SHOWN);
	bool queued = e->outcome == OUTCOME_NONE || e->outcome == OUTCOME_DEFERRED;

	w->since_ms = last != NULL ? last->attempt.at_ms : 0;
	if (!queued) {
		w->binding = B_DONE;
		why_say(w, "%s%s%s%s%s", outcome_name(e->outcome),
			last != NULL && last->attempt.host[0] != '\0' ? " by " : "",
			last != NULL ? last->attempt.host : "", *quoted != '\0' ? ": " : "",
			quoted);
		return;
	}
	if (!sched_find(env->sched, e->rid, &v)) {
		w->binding = B_DELIVERING;
		why_say(w, "its last attempt is being recorded");
		return;
	}
	(void)sched_group(env->sched, v.group, &g);
	env_filter_row(env, e, &row);
	switch (v.state) {
	case SCHED_TRASH:
		w->binding = B_TRASH;
		why_say(w,
			"in the trash: it was deleted or bounced, and can be taken back as long as "
			"the action can be undone");
		return;
	case SCHED_HELD:
		if (v.hold != 0 || !why_route(env, w, g.next_hop, &row))
			why_held(env, w, v.hold);
		return;
	case SCHED_ACTIVE:
		w->binding = B_DELIVERING;
		why_say(w, "in delivery to %s this moment", HOP_NAME(g.next_hop));
		return;
	case SCHED_READY:
		if (!why_route(env, w, g.next_hop, &row))
			why_due(env, w, g.next_hop, g.stream, g.counts.state[SCHED_READY]);
		return;
	case SCHED_DEFERRED:
		if (own_time_binds(env, &v, g.next_hop) ||
		    !why_backoff(env, w, g.next_hop, g.last_class))
			why_deferred(env, w, row.text[FILTER_PROVIDER], e->reply_class, reply,
				     v.next_ms);
		return;
	case SCHED_STATE__COUNT:
		break;
	}
	w->binding = B_UNKNOWN;
	why_say(w, "unknown");
}
