#include "ctl/metrics.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "base/mem.h"
#include "base/obj.h"
#include "ctl/alerts.h"
#include "ctl/sinks.h"
#include "ctl/views.h"
#include "loop/loop.h"

#define CLASSES 64
#define STREAMS_SEEN 256 /* that are counted by themselves; the others together, under "" */
#define BUCKETS 10

/* Seconds from arrival to delivery. */
static const int64_t bucket_s[BUCKETS] = { 1, 2, 5, 10, 30, 60, 300, 1800, 3600, 86400 };

struct metrics {
	struct tally {
		uint32_t stream; /* name */
		uint64_t n[OUTCOME__COUNT];
	} tallies[STREAMS_SEEN];
	size_t tallies_n;
	uint64_t failed[CLASSES];
	uint64_t deferred[CLASSES];
	uint64_t buckets[BUCKETS];
	uint64_t delivered;
	uint64_t waited_ms;
};

struct metrics *metrics_new(void)
{
	return xcalloc(1, sizeof(struct metrics));
}

void metrics_free(struct metrics **mp)
{
	free(*mp);
	*mp = NULL;
}

static struct tally *tally_of(struct metrics *m, uint32_t stream)
{
	for (size_t i = 0; i < m->tallies_n; i++)
		if (m->tallies[i].stream == stream)
			return &m->tallies[i];
	if (m->tallies_n == STREAMS_SEEN)
		return tally_of(m, m->tallies[STREAMS_SEEN - 1].stream);
	m->tallies[m->tallies_n].stream = m->tallies_n + 1 < STREAMS_SEEN ? stream : 0;
	return &m->tallies[m->tallies_n++];
}

static void note_latency(struct metrics *m, const struct queue_event *e)
{
	int64_t ms = e->attempt.at_ms - msgid_time_ms(rid_msgid(e->rid));
	ms = ms > 0 ? ms : 0;
	for (int k = 0; k < BUCKETS; k++)
		m->buckets[k] += ms <= bucket_s[k] * 1000;
	m->delivered++;
	m->waited_ms += (uint64_t)ms;
}

void metrics_event(struct metrics *m, const struct queue_event *e)
{
	const struct attempt *a = &e->attempt;
	if (e->rid.v == 0)
		return; /* no mail */
	tally_of(m, e->stream)->n[a->outcome]++;
	if (a->outcome == OUTCOME_FAILED && a->reply_class < CLASSES)
		m->failed[a->reply_class]++;
	if (a->outcome == OUTCOME_DEFERRED && a->reply_class < CLASSES)
		m->deferred[a->reply_class]++;
	if (a->outcome == OUTCOME_DELIVERED)
		note_latency(m, e);
}

/* --- the page --------------------------------------------------------------------------------- */

static void head(struct buf *out, const char *name, const char *type, const char *help)
{
	(void)buf_printf(out, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, type);
}

static void one(struct buf *out, const char *name, const char *type, const char *help, uint64_t v)
{
	head(out, name, type, help);
	(void)buf_printf(out, "%s %" PRIu64 "\n", name, v);
}

/* NAME{label="value"} v; what stands in the value is escaped as the format wants. */
static void labelled(struct buf *out, const char *name, const char *label, struct str value,
		     uint64_t v)
{
	(void)buf_printf(out, "%s{%s=\"", name, label);
	for (size_t i = 0; i < value.n; i++) {
		if (value.p[i] == '"' || value.p[i] == '\\')
			(void)buf_putc(out, '\\');
		(void)buf_putc(out, value.p[i] == '\n' ? ' ' : value.p[i]);
	}
	(void)buf_printf(out, "\"} %" PRIu64 "\n", v);
}

static void put_outcomes(const struct metrics *m, const struct ctl_env *env, struct buf *out)
{
	static const struct {
		enum outcome outcome;
		const char *name;
		const char *help;
	} rows[] = {
		{ OUTCOME_RECEIVED, "weir_messages_accepted_total", "Messages taken and on disk." },
		{ OUTCOME_DELIVERED, "weir_recipients_delivered_total",
		  "Recipients that a next hop took." },
		{ OUTCOME_DEFERRED, "weir_deliveries_deferred_total",
		  "Attempts after which a recipient waits." },
		{ OUTCOME_FAILED, "weir_recipients_failed_total",
		  "Recipients that failed for good." },
		{ OUTCOME_EXPIRED, "weir_recipients_expired_total",
		  "Recipients whose lifetime was over." },
		{ OUTCOME_DELETED, "weir_recipients_deleted_total",
		  "Recipients that were deleted or dropped." },
		{ OUTCOME_BOUNCED, "weir_recipients_bounced_total",
		  "Recipients of which a report came by mail that they failed after all." },
		{ OUTCOME_COMPLAINED, "weir_recipients_complained_total",
		  "Recipients that complained." },
	};
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		head(out, rows[i].name, "counter", rows[i].help);
		for (size_t k = 0; k < m->tallies_n; k++)
			labelled(out, rows[i].name, "stream",
				 m->tallies[k].stream != 0
					 ? queue_name_text(env->queue, m->tallies[k].stream)
					 : STR(""),
				 m->tallies[k].n[rows[i].outcome]);
	}
}

static void put_classes(struct buf *out, const char *name, const char *help, const uint64_t *n)
{
	head(out, name, "counter", help);
	for (int c = 0; c < REPLY_CLASS__COUNT && c < CLASSES; c++)
		if (n[c] > 0)
			labelled(out, name, "class",
				 c > 0 ? str_of(reply_class_name((enum reply_class)c))
				       : STR("none"),
				 n[c]);
}

static void put_reports(const struct ctl_env *env, struct buf *out)
{
	static const char *const fates[REPORT_FATE__COUNT] = {
		[REPORT_BOUNCE] = "bounce",   [REPORT_COMPLAINT] = "complaint",
		[REPORT_DELAY] = "delay",     [REPORT_SUCCESS] = "success",
		[REPORT_IDLE] = "auto-reply", [REPORT_REPEATED] = "repeated",
		[REPORT_KEPT] = "kept",
	};
	static const char *const refusals[REPORT_REFUSAL__COUNT] = {
		[REPORT_REFUSED_UNKNOWN] = "unknown",
		[REPORT_REFUSED_CUT] = "truncated",
		[REPORT_REFUSED_FORGED] = "forged",
		[REPORT_REFUSED_EXPIRED] = "expired",
	};
	head(out, "weir_reports_total", "counter",
	     "Mail to the bounce and feedback addresses, by what became of it.");
	for (int i = 0; i < REPORT_FATE__COUNT; i++)
		labelled(out, "weir_reports_total", "result", str_of(fates[i]), env->reports[i]);
	head(out, "weir_reports_refused_total", "counter",
	     "Recipients at the bounce domain that were refused.");
	for (int i = 0; i < REPORT_REFUSAL__COUNT; i++)
		labelled(out, "weir_reports_refused_total", "reason", str_of(refusals[i]),
			 env->reports_refused[i]);
	one(out, "weir_reports_kept", "gauge", "Of these, kept for the operator.",
	    unread_n(env->unread));
}

static void put_latency(const struct metrics *m, struct buf *out)
{
	static const char name[] = "weir_delivery_latency_seconds";
	head(out, name, "histogram",
	     "From arrival to the next hop's yes, of delivered recipients.");
	for (int k = 0; k < BUCKETS; k++)
		(void)buf_printf(out, "%s_bucket{le=\"%" PRId64 "\"} %" PRIu64 "\n", name,
				 bucket_s[k], m->buckets[k]);
	(void)buf_printf(out, "%s_bucket{le=\"+Inf\"} %" PRIu64 "\n", name, m->delivered);
	(void)buf_printf(out, "%s_sum %" PRIu64 ".%03u\n%s_count %" PRIu64 "\n", name,
			 m->waited_ms / 1000, (unsigned)(m->waited_ms % 1000), name, m->delivered);
}

static void put_queue(struct ctl_env *env, struct buf *out)
{
	static const char *const states[SCHED_STATE__COUNT] = {
		[SCHED_READY] = "ready", [SCHED_ACTIVE] = "active", [SCHED_DEFERRED] = "deferred",
		[SCHED_HELD] = "held",	 [SCHED_TRASH] = "trash",
	};
	struct sched_counts c;
	uint64_t messages = 0;
	int64_t oldest_ms = 0, now = loop_wall_ms(env->loop);
	sched_totals(env->sched, &c, &messages, &oldest_ms);
	one(out, "weir_queue_messages", "gauge", "Queued messages.", messages);
	head(out, "weir_queue_recipients", "gauge", "Queued recipients.");
	for (int s = 0; s < SCHED_STATE__COUNT; s++)
		labelled(out, "weir_queue_recipients", "state", str_of(states[s]), c.state[s]);
	one(out, "weir_queue_oldest_age_seconds", "gauge", "Age of the oldest queued message.",
	    oldest_ms != 0 && oldest_ms < now ? (uint64_t)(now - oldest_ms) / 1000 : 0);
	one(out, "weir_holds_active", "gauge", "Active holds.", holds_active(env->holds));
	one(out, "weir_suppressions", "gauge", "Entries of the suppression list.",
	    suppress_n(env->suppress));
}

static void put_alerts(struct ctl_env *env, struct buf *out)
{
	json_t *rows = view_alert_rows(env);
	const char *severity;
	uint64_t n;

	head(out, "weir_alerts", "gauge", "What is the matter now; weir alerts lists it.");
	for (size_t k = 0; (severity = alerts_severity(rows, k, &n)) != NULL; k++)
		labelled(out, "weir_alerts", "severity", str_of(severity), n);
	json_decref(rows);
}

static void put_smtp(const struct ctl_env *env, struct buf *out)
{
	const struct smtpin_stats *in;
	if (env->smtpin == NULL || env->smtpout == NULL)
		return;
	in = smtpin_stats(env->smtpin);
	one(out, "weir_smtp_server_connections", "gauge", "Open connections of clients.",
	    smtpin_connections(env->smtpin));
	one(out, "weir_smtp_server_connections_total", "counter", "Connections of clients.",
	    in->connections);
	one(out, "weir_smtp_server_connections_refused_total", "counter",
	    "Connections of clients that were turned away.", in->connections_refused);
	one(out, "weir_smtp_server_received_bytes_total", "counter", "Bytes of messages taken.",
	    in->accepted_bytes);
	one(out, "weir_smtp_server_recipients_refused_total", "counter",
	    "Recipients that were refused.", in->refused_rcpts);
	one(out, "weir_smtp_server_messages_refused_total", "counter",
	    "Messages that were refused after DATA.", in->refused_messages);
	one(out, "weir_smtp_server_auth_failures_total", "counter",
	    "Attempts to authenticate that failed.", in->auth_failed);
	one(out, "weir_smtp_client_connections", "gauge", "Open connections to next hops.",
	    smtpout_connections(env->smtpout));
}

static void put_sinks(const struct ctl_env *env, struct buf *out)
{
	struct sink_view v;
	size_t n = sinks_n(env->sinks);
	if (n == 0)
		return;
	head(out, "weir_sink_events_total", "counter", "Events that a sink has taken.");
	for (size_t i = 0; i < n; i++) {
		sinks_at(env->sinks, i, &v);
		labelled(out, "weir_sink_events_total", "sink", str_of(v.name), v.sent);
	}
	head(out, "weir_sink_failures_total", "counter", "Batches that a sink did not take.");
	for (size_t i = 0; i < n; i++) {
		sinks_at(env->sinks, i, &v);
		labelled(out, "weir_sink_failures_total", "sink", str_of(v.name), v.failures);
	}
	head(out, "weir_sink_behind_events", "gauge", "Events that a sink does not have yet.");
	for (size_t i = 0; i < n; i++) {
		sinks_at(env->sinks, i, &v);
		labelled(out, "weir_sink_behind_events", "sink", str_of(v.name), v.behind);
	}
}

void metrics_text(const struct metrics *m, struct ctl_env *env, struct buf *out)
{
	struct queue_figures f;
	queue_figures(env->queue, &f);
	head(out, "weir_build_info", "gauge", "The release.");
	labelled(out, "weir_build_info", "version", STR(WEIR_VERSION), 1);
	one(out, "weir_start_time_seconds", "gauge", "When the relay started, Unix time.",
	    (uint64_t)env->started_ms / 1000);
	put_outcomes(m, env, out);
	one(out, "weir_recipients_refused_total", "counter",
	    "Recipients that were refused because they are suppressed.", env->suppressed_refused);
	put_classes(out, "weir_failures_total", "Permanent failures by class of the reply.",
		    m->failed);
	put_classes(out, "weir_deferrals_total", "Deferrals by class of the reply.", m->deferred);
	put_reports(env, out);
	put_latency(m, out);
	put_queue(env, out);
	put_alerts(env, out);
	put_smtp(env, out);
	one(out, "weir_disk_free_bytes", "gauge", "Room for the state directory.", f.free_bytes);
	one(out, "weir_disk_used_bytes", "gauge", "Of the state directory.", f.used_bytes);
	put_sinks(env, out);
}
