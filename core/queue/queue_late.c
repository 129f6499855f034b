/*
 * Results that came by mail, of recipients that had ended. Each is one event behind the recipient's
 * others, once: (recipient, outcome) stays in `late` for as long as a report may come again, also
 * when the message is forgotten. Then its row, and an empty one of the message, are made anew, so
 * that the event has something to belong to, and go as those of others do.
 *
 * The message that tells the sender of it is stored before, in a transaction with a row (recipient,
 * TOLD): a kill between the two, and the same report comes again, but nobody is told again. When
 * that message turns out not to be on disk, its row goes with it.
 */
#include "queue/queue_int.h"

#include <stdlib.h>

#include "base/mem.h"
#include "base/obj.h"
#include "loop/loop.h"

#define TOLD OUTCOME_NONE

void queue_late(struct queue *q, const struct queue_late *l, queue_late_fn *done, void *arg)
{
	struct item_late *it = xcalloc(1, sizeof(*it));
	struct item_record *r =
		record_new(&(struct queue_result){ .rid = l->rid, .attempt = l->attempt });
	ASSERT(l->attempt.outcome == OUTCOME_BOUNCED || l->attempt.outcome == OUTCOME_COMPLAINED);
	*it = (struct item_late){ .i = { .kind = ITEM_LATE, .arg = arg },
				  .r = r,
				  .done = done,
				  .until_ms = l->until_ms };
	r->domain = l->domain;
	r->stream = l->stream;
	r->from = xcalloc(1, l->to.n + 2);
	r->to = r->from + 1;
	memcpy(r->to, l->to.p, l->to.n);
	q->record_n++;
	queue_post_record(q, &it->i);
}

void late_free(struct item_late *l)
{
	free(l->r->from);
	free(l->r);
}

/* --- written ---------------------------------------------------------------------------------- */

static int is_known(struct writer *w, struct rid rid, enum outcome what, struct err *err)
{
	struct db_stmt *s = w->st[W_LATE_KNOWN];
	db_bind_int(s, 1, (int64_t)rid.v);
	db_bind_int(s, 2, what);
	int got = db_step(s, err);
	db_reset(s);
	return got;
}

static int note(struct writer *w, struct rid rid, enum outcome what, int64_t until_ms,
		struct msgid report, struct err *err)
{
	struct db_stmt *s = w->st[W_LATE];
	db_bind_int(w->st[W_LATE_GONE], 1, loop_clock_wall_ms());
	int got = db_run(w->st[W_LATE_GONE], err);
	if (got < 0)
		return got;
	db_bind_int(s, 1, (int64_t)rid.v);
	db_bind_int(s, 2, what);
	db_bind_int(s, 3, until_ms);
	db_bind_int(s, 4, (int64_t)report.v);
	return db_run(s, err);
}

int late_tell(struct writer *w, struct item_accept *a, struct err *err)
{
	int got = is_known(w, a->tells, TOLD, err);
	a->again = got > 0;
	return got != 0 ? got : note(w, a->tells, TOLD, a->tells_until_ms, a->m->id, err);
}

static void take_texts(struct item_record *r, struct str from, struct str to)
{
	char *both = xmalloc(from.n + to.n + 2);
	memcpy(both, from.p, from.n);
	both[from.n] = '\0';
	memcpy(both + from.n + 1, to.p, to.n);
	both[from.n + 1 + to.n] = '\0';
	free(r->from);
	r->from = both;
	r->to = both + from.n + 1;
}

/* The row of a recipient, finished or queued: 1, 0 or < 0; *ret_prev is its last event. */
static int find(struct writer *w, struct item_record *r, enum writer_stmt which, uint64_t *ret_prev,
		struct err *err)
{
	bool queued = which == W_FIND;
	struct db_stmt *s = w->st[which];
	db_bind_int(s, 1, (int64_t)r->rid.v);
	int got = db_step(s, err);
	if (got > 0) {
		r->domain = (uint32_t)db_int(s, 0);
		r->stream = (uint32_t)db_int(s, 1);
		*ret_prev = (uint64_t)db_int(s, queued ? 3 : 2);
		take_texts(r, db_text(s, queued ? 10 : 4), db_text(s, queued ? 9 : 3));
	}
	db_reset(s);
	return got;
}

static int put_event(struct writer *w, struct item_record *r, uint64_t prev, struct err *err)
{
	const int64_t ints[10] = { (int64_t)r->seq, (int64_t)r->rid.v, (int64_t)prev,
				   r->at_ms,	    r->outcome,	       r->code,
				   r->reply_class,  r->duration_ms,    r->domain,
				   r->stream };
	struct str texts[AT__COUNT];
	for (int k = 0; k < AT__COUNT; k++)
		texts[k] = record_text(r, (enum attempt_text)k);
	return insert_event(w, ints, texts, NULL, err);
}

/* Its row, and the message's unless another recipient brought that back. */
static int bring_back(struct writer *w, const struct item_record *r, struct err *err)
{
	struct msgid id = rid_msgid(r->rid);
	struct db_stmt *s = w->st[W_ENDED_SEQ];
	db_bind_int(s, 1, (int64_t)id.v);
	int got = db_step(s, err);
	db_reset(s);
	if (got == 0) {
		s = w->st[W_MESSAGE];
		const int64_t ints[] = {
			(int64_t)id.v, msgid_time_ms(id), 0, 0, r->stream, 0, 0, 0, 0
		};
		for (int k = 0; k < (int)ARRAY_LEN(ints); k++)
			db_bind_int(s, 1 + k, ints[k]);
		for (int k = 0; k < 7; k++)
			db_bind_text(s, 1 + (int)ARRAY_LEN(ints) + k, STR(""));
		got = db_run(s, err);
		w->meta.ended_n++;
	}
	if (got < 0)
		return got;
	s = w->st[W_LATE_ROW];
	const int64_t row[] = { (int64_t)r->rid.v,
				r->domain,
				r->stream,
				r->outcome == OUTCOME_BOUNCED ? OUTCOME_BOUNCED : OUTCOME_DELIVERED,
				r->code,
				r->reply_class,
				(int64_t)r->seq };
	for (int k = 0; k < (int)ARRAY_LEN(row); k++)
		db_bind_int(s, 1 + k, row[k]);
	db_bind_text(s, 1 + (int)ARRAY_LEN(row), str_of(r->to));
	got = db_run(s, err);
	if (got < 0)
		return got;
	db_bind_int(w->st[W_ENDED], 1, (int64_t)id.v);
	db_bind_int(w->st[W_ENDED], 2, (int64_t)r->seq);
	return db_run(w->st[W_ENDED], err);
}

static int update_row(struct writer *w, const struct item_record *r, bool finished, struct err *err)
{
	struct db_stmt *s = w->st[finished ? W_LATE_DONE : W_LATE_QUEUED];
	db_bind_int(s, 1, (int64_t)r->rid.v);
	db_bind_int(s, 2, (int64_t)r->seq);
	if (finished) {
		db_bind_int(s, 3, r->outcome == OUTCOME_BOUNCED ? OUTCOME_BOUNCED : 0);
		db_bind_int(s, 4, r->code);
		db_bind_int(s, 5, r->reply_class);
	}
	return db_run(s, err);
}

int late_apply(struct writer *w, struct item_late *l, struct err *err)
{
	struct item_record *r = l->r;
	uint64_t prev = 0;
	bool finished = true;
	int got = is_known(w, r->rid, r->outcome, err);
	l->again = got > 0;
	if (got != 0)
		return got;
	got = note(w, r->rid, r->outcome, l->until_ms, (struct msgid){ 0 }, err);
	if (got >= 0)
		got = find(w, r, W_LATE_FIND, &prev, err);
	if (got == 0) {
		finished = false;
		got = find(w, r, W_FIND, &prev, err);
	}
	if (got < 0)
		return got;
	bool known = got > 0;
	r->seq = ++w->meta.last_seq;
	got = put_event(w, r, prev, err);
	if (got < 0)
		return got;
	return known ? update_row(w, r, finished, err) : bring_back(w, r, err);
}
