/*
 * The suppression list's rows. Single ones come as objects of an action, in its transaction;
 * imports, counters and what ends come in chunks of their own.
 */
#include "queue/queue_int.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/json.h"
#include "base/mem.h"
#include "base/obj.h"

#define TEXTS 6

static void texts_of(struct queue_suppress *r, const char **ret[static TEXTS])
{
	const char **const texts[TEXTS] = { &r->id, &r->source,	 &r->reason,
					    &r->by, &r->message, &r->reply };
	memcpy(ret, texts, sizeof(texts));
}

void queue_suppress_put(struct queue *q, const struct queue_suppress *rows, size_t n,
			queue_done_fn *done, void *arg)
{
	struct item_suppress *s = xcalloc(1, sizeof(*s));
	const char **texts[TEXTS];
	size_t bytes = 1;
	char *at;
	s->i = (struct item){ .kind = ITEM_SUPPRESS, .done = done, .arg = arg };
	s->seen = q->suppress_seen;
	s->n = n;
	s->rows = xcalloc(n + 1, sizeof(*s->rows));
	for (size_t i = 0; i < n; i++) {
		s->rows[i] = rows[i];
		texts_of(&s->rows[i], texts);
		for (int k = 0; k < TEXTS; k++)
			bytes += (*texts[k] != NULL ? strlen(*texts[k]) : 0) + 1;
	}
	at = s->block = xmalloc(bytes);
	for (size_t i = 0; i < n; i++) {
		texts_of(&s->rows[i], texts);
		for (int k = 0; k < TEXTS; k++) {
			const char *from = *texts[k] != NULL ? *texts[k] : "";
			size_t size = strlen(from) + 1;
			memcpy(at, from, size);
			*texts[k] = at;
			at += size;
		}
	}
	notes_of_rows(q, s->rows, n, &s->notes);
	queue_post_commit(q, &s->i);
}

void queue_note(struct queue *q, const struct queue_event *e)
{
	struct item_suppress *s = xcalloc(1, sizeof(*s));
	s->i.kind = ITEM_SUPPRESS;
	s->seen = q->suppress_seen;
	notes_of_event(e, &s->notes);
	queue_post_commit(q, &s->i);
}

void queue_suppress_seen(struct queue *q, uint64_t seq)
{
	q->suppress_seen = seq;
}

/* --- written ---------------------------------------------------------------------------------- */

static int put_row(struct writer *w, const struct queue_suppress *r, struct err *err)
{
	struct db_stmt *s = w->st[W_SUPPRESS];
	const char *const texts[TEXTS] = {
		r->id, r->source, r->reason, r->by, r->message, r->reply
	};
	const int64_t ints[] = { r->created_ms,	   r->expires_ms,     r->last_hit_ms,
				 (int64_t)r->hits, (int64_t)r->batch, r->watch };
	for (int k = 0; k < TEXTS; k++)
		db_bind_text(s, 1 + k, str_of(texts[k]));
	for (int k = 0; k < (int)ARRAY_LEN(ints); k++)
		db_bind_int(s, 1 + TEXTS + k, ints[k]);
	return db_run(s, err);
}

static int drop_row(struct writer *w, const char *id, struct err *err)
{
	db_bind_text(w->st[W_SUPPRESS_GONE], 1, str_of(id));
	return db_run(w->st[W_SUPPRESS_GONE], err);
}

static int count_row(struct writer *w, const struct queue_suppress *r, struct err *err)
{
	struct db_stmt *s = w->st[W_SUPPRESS_COUNT];
	db_bind_text(s, 1, str_of(r->id));
	db_bind_int(s, 2, (int64_t)r->hits);
	db_bind_int(s, 3, r->last_hit_ms);
	return db_run(s, err);
}

int suppress_apply(struct writer *w, struct item_suppress *s, struct err *err)
{
	int got = 0;
	if (s->seen > w->meta.suppress_seq)
		w->meta.suppress_seq = s->seen;
	for (size_t i = 0; i < s->n && got >= 0; i++) {
		const struct queue_suppress *r = &s->rows[i];
		got = r->gone	   ? drop_row(w, r->id, err)
		      : r->counted ? count_row(w, r, err)
				   : put_row(w, r, err);
	}
	return got >= 0 ? notes_apply(w, &s->notes, err) : got;
}

int suppress_apply_object(struct writer *w, const struct queue_object *o, struct err *err)
{
	json_t *v = NULL;
	int got;
	if (o->json == NULL)
		return drop_row(w, o->id, err);
	got = json_read(o->json, &v, err);
	if (got < 0)
		return got;
	const struct queue_suppress r = {
		.id = o->id,
		.source = json_get_str(v, "source"),
		.reason = json_get_str(v, "reason"),
		.by = json_get_str(v, "by"),
		.message = json_get_str(v, "message"),
		.reply = json_get_str(v, "reply"),
		.created_ms = json_get_int(v, "created_ms"),
		.expires_ms = json_get_int(v, "expires_ms"),
		.batch = (uint64_t)json_get_int(v, "batch"),
		.watch = (uint32_t)json_get_int(v, "watch"),
	};
	got = put_row(w, &r, err);
	json_decref(v);
	return got;
}

/* --- at start --------------------------------------------------------------------------------- */

int queue_load_suppress(struct queue *q, void (*fn)(void *arg, const struct queue_suppress *row),
			void *arg, struct err *err)
{
	struct db *d = NULL;
	struct db_stmt *s = NULL;
	int got = db_open(q->db_path, DB_READ, &d, err);
	if (got >= 0)
		got = db_prepare(d,
				 "SELECT id, source, reason, by, message, reply, created_ms,"
				 " expires_ms, last_hit_ms, hits, batch, watch FROM suppress",
				 &s, err);
	while (got >= 0 && (got = db_step(s, err)) > 0) {
		const struct queue_suppress r = {
			.id = db_text(s, 0).p,
			.source = db_text(s, 1).p,
			.reason = db_text(s, 2).p,
			.by = db_text(s, 3).p,
			.message = db_text(s, 4).p,
			.reply = db_text(s, 5).p,
			.created_ms = db_int(s, 6),
			.expires_ms = db_int(s, 7),
			.last_hit_ms = db_int(s, 8),
			.hits = (uint64_t)db_int(s, 9),
			.batch = (uint64_t)db_int(s, 10),
			.watch = (uint32_t)db_int(s, 11),
		};
		fn(arg, &r);
	}
	db_finalize(&s);
	db_close(&d);
	return got;
}

struct unseen {
	queue_event_fn *fn;
	void *arg;
};

static void give_unseen(struct db_stmt *s, const struct unseen *u)
{
	struct queue_event e = { .seq = (uint64_t)db_int(s, 0),
				 .rid = { (uint64_t)db_int(s, 1) },
				 .attempt = { .at_ms = db_int(s, 2),
					      .outcome = (enum outcome)db_int(s, 3),
					      .code = (int)db_int(s, 4),
					      .reply_class = (uint8_t)db_int(s, 5) },
				 .from = STR(""),
				 .to = db_text(s, 9),
				 .domain = (uint32_t)db_int(s, 6),
				 .stream = (uint32_t)db_int(s, 7) };
	(void)snprintf(e.attempt.reply, sizeof(e.attempt.reply), "%.*s", STR_ARG(db_text(s, 8)));
	u->fn(u->arg, &e);
}

int queue_load_unseen(struct queue *q, queue_event_fn *fn, void *arg, struct err *err)
{
	static const char sql[] =
		"SELECT e.seq, e.rid, e.at_ms, e.outcome, e.code, e.class, e.domain, e.stream,"
		" e.reply, coalesce(d.address, r.address) FROM events e"
		" LEFT JOIN done d ON d.rid = e.rid LEFT JOIN rcpt r ON r.rid = e.rid"
		" WHERE e.seq > ?1 AND e.outcome IN (?2, ?3, ?4)"
		" AND coalesce(d.address, r.address) IS NOT NULL ORDER BY e.seq";
	static const enum outcome of[] = { OUTCOME_FAILED, OUTCOME_BOUNCED, OUTCOME_COMPLAINED };
	const struct unseen u = { .fn = fn, .arg = arg };
	struct db *d = NULL;
	struct db_stmt *s = NULL;
	int got = db_open(q->db_path, DB_READ, &d, err);
	if (got >= 0)
		got = db_prepare(d, sql, &s, err);
	if (got >= 0) {
		db_bind_int(s, 1, (int64_t)q->suppress_seen);
		for (int k = 0; k < (int)ARRAY_LEN(of); k++)
			db_bind_int(s, 2 + k, of[k]);
	}
	while (got >= 0 && (got = db_step(s, err)) > 0)
		give_unseen(s, &u);
	db_finalize(&s);
	db_close(&d);
	return got;
}
