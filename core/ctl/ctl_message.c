/*
 * message.get and message.content: one message, its recipients, every attempt; its headers and its
 * body in pieces.
 *
 * Somebody who reads a large body asks for many pieces in a row: the message that was read last is
 * kept for a few seconds, so that it is read from disk once.
 */
#include <stdlib.h>
#include <string.h>

#include "base/base64.h"
#include "base/json.h"
#include "base/mem.h"
#include "ctl/handlers.h"
#include "ctl/transcript.h"
#include "ctl/views.h"
#include "loop/loop.h"
#include "route/hop.h"

#define RECIPIENTS_MAX 1000	/* shown with a message */
#define ATTEMPTS_MAX 1000	/* the latest */
#define CHUNK 250		/* rows of one callback */
#define CHECK_MAX (1024 * 1024) /* contents up to here are read to see whether they are well */
#define PIECE 65536
#define SOURCES_TEXT_MAX ((size_t)POOL_SOURCES_MAX * (IPADDR_TEXT_LEN + 2))

static void no_message(struct view_job *j, const struct err *err)
{
	struct err e = ERR_INIT;
	char id[MSGID_TEXT_LEN];

	if (err->code != ERR_UNKNOWN) {
		view_fail(j, err);
		return;
	}
	msgid_text(ctl_msgid(j->call), id);
	(void)err_param(
		&e, ERR_UNKNOWN, "id",
		"there is no message %s here, or it ended so long ago that it was forgotten", id);
	view_fail(j, &e);
}

/* ---- message.get ---- */

struct detail {
	struct view_job job;
	const struct message *m;
	json_t *recipients;
	unsigned at; /* recipient */
	bool queued; /* one is */
	const char *content;
};

static void detail_done(struct view_job *j)
{
	struct detail *d = (struct detail *)j;

	if (d->m != NULL)
		message_unref(&d->m);
	json_decref(d->recipients);
}

static void set(json_t *o, const char *name, json_t *value_take)
{
	(void)json_object_set_new(o, name, value_take);
}

static json_t *attempt_json(const struct detail *d, const struct queue_event *e)
{
	const struct attempt *a = &e->attempt;
	json_t *o = json_object();
	json_t *phases;
	json_t *lines;

	set(o, "at", json_time(a->at_ms));
	set(o, "to", json_text(e->to));
	set(o, "outcome", json_string(outcome_name(a->outcome)));
	set(o, "code", json_integer(a->code));
	set(o, "enhanced", json_text_or_null(str_of(a->enhanced)));
	set(o, "class", env_class(a->reply_class));
	set(o, "reply", json_text_or_null(str_of(a->reply)));
	set(o, "host", json_text_or_null(str_of(a->host)));
	set(o, "ip", json_text_or_null(str_of(a->ip)));
	set(o, "source", json_text_or_null(str_of(a->source)));
	set(o, "tls", json_text_or_null(str_of(a->tls)));
	set(o, "duration_ms", json_integer(a->duration_ms));
	phases = transcript_phases(e, d->m->size);
	if (phases != NULL)
		set(o, "phases", phases);
	if (ctl_bool(d->job.call, "transcripts")) {
		lines = transcript_json(e, d->m->size);
		set(o, "transcript", lines != NULL ? lines : json_null());
	}
	return o;
}

static json_t *detail_json(const struct detail *d, json_t *attempts_take)
{
	const struct message *m = d->m;
	char id[MSGID_TEXT_LEN];
	json_t *o = json_object();

	msgid_text(m->id, id);
	set(o, "id", json_string(id));
	set(o, "from", json_text(m->sender));
	set(o, "received_at", json_time(m->received_ms));
	set(o, "expires_at", json_time(m->expires_ms));
	set(o, "size", json_integer((json_int_t)m->size));
	set(o, "stream", json_text(queue_name_text(d->job.env->queue, m->stream)));
	set(o, "credential", json_text_or_null(m->credential));
	set(o, "client", json_text_or_null(m->client));
	set(o, "helo", json_text_or_null(m->helo));
	set(o, "msgid", json_text_or_null(m->msgid_header));
	set(o, "subject", json_text_or_null(m->subject));
	set(o, "content", json_string(d->content));
	set(o, "recipients_n", json_integer(m->rcpts_n));
	set(o, "recipients", json_incref(d->recipients));
	set(o, "attempts", attempts_take);
	return o;
}

/* Newest first they come, oldest first they are shown. */
static void on_attempts(void *arg, const struct queue_event *rows, size_t n, bool more,
			const struct err *err)
{
	struct detail *d = arg;
	json_t *attempts;

	(void)more;
	if (err != NULL) {
		view_fail(&d->job, err);
		return;
	}
	attempts = json_array();
	for (size_t i = n; i-- > 0;)
		if (rows[i].attempt.outcome != OUTCOME_RECEIVED)
			(void)json_array_append_new(attempts, attempt_json(d, &rows[i]));
	view_reply(&d->job, detail_json(d, attempts));
}

static void ask_attempts(struct detail *d)
{
	struct queue_event_query q = { .of = d->m->id,
				       .limit = ATTEMPTS_MAX,
				       .talks = true,
				       .now_ms = loop_wall_ms(d->job.env->loop) };

	queue_events(d->job.env->queue, &q, on_attempts, d);
}

static void on_checked(void *arg, const struct message *m_take, const struct err *err)
{
	struct detail *d = arg;

	if (err != NULL)
		d->content = err->code == ERR_CORRUPT ? "damaged" : "gone";
	if (m_take != NULL)
		message_unref(&m_take);
	ask_attempts(d);
}

static void check_content(struct detail *d)
{
	d->content = d->queued ? "stored" : "gone";
	if (d->queued && d->m->size <= CHECK_MAX)
		queue_message_read(d->job.env->queue, d->m->id, true, on_checked, d);
	else
		ask_attempts(d);
}

/* What a connection of the pool may come from (app/wire_pool.c), of either kind. */
static void put_sources(const struct ctl_env *env, struct str pool, struct buf *out)
{
	const struct pool_source *may[POOL_SOURCES_MAX];

	for (int v4 = 1; v4 >= 0; v4--) {
		size_t n = pools_choice(env->pools, pool, v4, loop_wall_ms(env->loop), may);
		for (size_t i = 0; i < n; i++)
			(void)buf_printf(out, "%s%s", out->n > 0 ? ", " : "", may[i]->text);
	}
}

/* How those that are queued go. */
static void put_way(const struct ctl_env *env, struct rid rid, json_t *row)
{
	struct sched_view v;
	struct sched_group_view g = { .next_hop = "" };
	AUTO_BUF sources = BUF_INIT(SOURCES_TEXT_MAX);
	struct str pool;

	if (sched_find(env->sched, rid, &v))
		(void)sched_group(env->sched, v.group, &g);
	pool = hop_ways(g.next_hop).pool;
	if (pool.n > 0)
		put_sources(env, pool, &sources);
	set(row, "next_hop", json_text_or_null(str_of(g.next_hop)));
	set(row, "pool", json_text_or_null(pool));
	set(row, "sources", json_text_or_null(buf_str(&sources)));
}

static void on_recipients(void *arg, const struct queue_entry *rows, size_t n,
			  const struct err *err)
{
	struct detail *d = arg;

	if (err != NULL) {
		view_fail(&d->job, err);
		return;
	}
	for (size_t i = 0; i < n; i++) {
		d->queued = d->queued || rows[i].outcome == OUTCOME_NONE ||
			    rows[i].outcome == OUTCOME_DEFERRED;
		json_t *row = env_message_json(d->job.env, &rows[i]);
		put_way(d->job.env, rows[i].rid, row);
		(void)json_array_append_new(d->recipients, row);
	}
	view_soon(&d->job);
}

static void detail_step(struct view_job *j)
{
	struct detail *d = (struct detail *)j;
	struct rid rids[CHUNK];
	unsigned n = 0;

	while (n < CHUNK && d->at < d->m->rcpts_n && d->at < RECIPIENTS_MAX)
		rids[n++] = rid_of(d->m->id, d->m->rcpts[d->at++].n);
	if (n > 0)
		queue_entries(j->env->queue, rids, n, on_recipients, d);
	else
		check_content(d);
}

static void on_envelope(void *arg, const struct message *m_take, const struct err *err)
{
	struct detail *d = arg;

	d->m = m_take;
	if (m_take == NULL) {
		no_message(&d->job, err);
		return;
	}
	detail_step(&d->job);
}

void ctl_message_get(struct ctl_call *call)
{
	static const struct view_job_ops ops = { .step = detail_step, .done = detail_done };
	struct detail *d = xcalloc(1, sizeof(*d));
	struct ctl_env *env = ctl_env(call);

	d->recipients = json_array();
	view_begin(&d->job, env, call, &ops);
	queue_message_read(env->queue, ctl_msgid(call), false, on_envelope, d);
}

/* ---- message.content ---- */

/* Where the headers end, with their empty line. */
static size_t headers_length(struct str content)
{
	const char *end = content.n > 0 ? memmem(content.p, content.n, "\r\n\r\n", 4) : NULL;

	if (content.n >= 2 && memcmp(content.p, "\r\n", 2) == 0)
		return 2;
	return end != NULL ? (size_t)(end - content.p) + 4 : content.n;
}

static bool wants_headers(const struct ctl_call *call)
{
	const char *part = ctl_str(call, "part");

	return part != NULL && strcmp(part, "headers") == 0;
}

static json_t *piece(const struct ctl_call *call, struct str content)
{
	bool headers = wants_headers(call);
	size_t total = headers ? headers_length(content) : content.n;
	uint64_t offset = (uint64_t)ctl_int(call, "offset", 0);
	size_t limit = (size_t)ctl_int(call, "limit", PIECE);
	size_t at = offset < total ? (size_t)offset : total;
	size_t n = total - at < limit ? total - at : limit;
	AUTO_BUF text = BUF_INIT(BASE64_LEN(limit) + 1);

	(void)base64_put(&text, str_from(content.p + at, n));
	return json_pack("{s:s, s:I, s:I, s:s}", "part", headers ? "headers" : "raw", "offset",
			 (json_int_t)offset, "total", (json_int_t)total, "base64", buf_cstr(&text));
}

static void gone(struct view_job *j)
{
	struct err err = ERR_INIT;

	(void)err_param(&err, ERR_STATE, "id",
			"the content of this message is gone: it is kept until its last recipient "
			"has been dealt with");
	view_fail(j, &err);
}

static void on_content(void *arg, const struct message *m_take, const struct err *err)
{
	struct view_job *j = arg;

	if (m_take == NULL) {
		no_message(j, err);
		return;
	}
	if (err != NULL && err->code != ERR_UNKNOWN) {
		view_fail(j, err);
	} else if (err != NULL || m_take->content.p == NULL) {
		gone(j);
	} else {
		view_keep(j->env, m_take);
		view_reply(j, piece(j->call, m_take->content));
	}
	message_unref(&m_take);
}

static bool may_read(struct ctl_call *call)
{
	struct err err = ERR_INIT;

	if (wants_headers(call) || ctl_who(call)->role > ACCESS_VIEWER)
		return true;
	(void)err_param(&err, ERR_DENIED, "part",
			"viewers read headers only (part headers); bodies need the role operator");
	ctl_fail(call, &err);
	return false;
}

void ctl_message_content(struct ctl_call *call)
{
	static const struct view_job_ops ops = { .step = NULL };
	struct ctl_env *env = ctl_env(call);
	const struct message *kept = view_kept(env, ctl_msgid(call));
	struct view_job *j;

	if (!may_read(call))
		return;
	if (kept != NULL) {
		ctl_reply(call, piece(call, kept->content));
		return;
	}
	j = xcalloc(1, sizeof(*j));
	view_begin(j, env, call, &ops);
	queue_message_read(env->queue, ctl_msgid(call), true, on_content, j);
}
