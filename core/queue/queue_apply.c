/* One item inside the transaction. Nothing here outlives a rollback but what writer_tx() takes
 * back: the meta row, the causes, the list of dropped contents. */
#include "queue/queue_int.h"

#include <stdlib.h>

#include "base/log.h"
#include "base/mem.h"
#include "base/obj.h"
#include "loop/loop.h"

#define RIDS_BYTES_MAX (64u << 20)

static int64_t first_rid(struct msgid id)
{
	return (int64_t)rid_of(id, 0).v;
}

static int64_t last_rid(struct msgid id)
{
	return (int64_t)rid_of(id, RID_RCPT_MAX).v;
}

static void bind_texts(struct db_stmt *s, int first, const struct str *texts, int n)
{
	for (int k = 0; k < n; k++)
		db_bind_text(s, first + k, texts[k]);
}

static void bind_ints(struct db_stmt *s, int first, const int64_t *v, int n)
{
	for (int k = 0; k < n; k++)
		db_bind_int(s, first + k, v[k]);
}

/* Steps a query that gives at most one row and reads its integers: 1, 0 or < 0; resets it. */
static int one_row(struct db_stmt *s, int64_t *ret, int n, struct err *err)
{
	int got = db_step(s, err);
	if (got <= 0)
		return got;
	for (int k = 0; k < n; k++)
		ret[k] = db_int(s, k);
	db_reset(s);
	return 1;
}

/* --- messages --------------------------------------------------------------------------------- */

/* What a person needs to bring a message back from a segment file alone: one "name value" a line,
 * then an empty one. */
void envelope_write(const struct message *m, struct str stream, struct buf *out)
{
	char id[MSGID_TEXT_LEN];
	msgid_text(m->id, id);
	(void)buf_printf(out, "weir-envelope 1\nid %s\nreceived_ms %lld\nexpires_ms %lld\n", id,
			 (long long)m->received_ms, (long long)m->expires_ms);
	(void)buf_printf(out, "stream %.*s\nbody %s\nfrom %.*s\nclient %.*s\nhelo %.*s\n",
			 STR_ARG(stream), m->eight_bit ? "8bitmime" : "7bit", STR_ARG(m->sender),
			 STR_ARG(m->client), STR_ARG(m->helo));
	(void)buf_printf(out, "credential %.*s\n", STR_ARG(m->credential));
	if (m->smtputf8)
		(void)buf_puts(out, "smtputf8 yes\n");
	if (m->ret != SMTP_RET_UNSAID)
		(void)buf_printf(out, "ret %s\n", m->ret == SMTP_RET_FULL ? "full" : "hdrs");
	if (m->envid.n > 0)
		(void)buf_printf(out, "envid %.*s\n", STR_ARG(m->envid));
	for (unsigned k = 0; k < m->rcpts_n; k++) {
		const struct message_rcpt *r = &m->rcpts[k];
		(void)buf_printf(out, "to %u %.*s\n", r->n, STR_ARG(r->address));
		if (r->notify != 0)
			(void)buf_printf(out, "notify %u %#x\n", r->n, r->notify);
		if (r->orcpt.n > 0)
			(void)buf_printf(out, "orcpt %u %.*s\n", r->n, STR_ARG(r->orcpt));
	}
	(void)buf_putc(out, '\n');
}

int insert_event(struct writer *w, const int64_t ints[10], const struct str texts[AT__COUNT],
		 const struct item_record *said, struct err *err)
{
	struct db_stmt *s = w->st[W_EVENT];
	bind_ints(s, 1, ints, 10);
	bind_texts(s, 11, texts, AT__COUNT);
	db_bind_int(s, 17, said != NULL ? (int64_t)said->connection : 0);
	if (said == NULL || said->talk == NULL) {
		db_bind_null(s, 18);
	} else {
		struct str talk = talk_squeeze(w, str_from(said->talk->bytes, said->talk->n));
		db_bind_blob(s, 18, talk.p, talk.n);
	}
	db_bind_int(s, 19, said != NULL ? said->phase : 0);
	if (said != NULL)
		connection_ref(w, said->connection, 1);
	return db_run(s, err);
}

static int accept_message(struct writer *w, const struct item_accept *a, struct err *err)
{
	const struct message *m = a->m;
	struct db_stmt *s = w->st[W_MESSAGE];
	const int64_t ints[] = { (int64_t)m->id.v, m->received_ms, m->expires_ms,
				 (int64_t)m->size, m->stream,	   m->eight_bit,
				 (int64_t)a->seq,  m->smtputf8,	   m->ret };
	const struct str texts[] = { m->sender,	 m->client,	m->helo, m->msgid_header,
				     m->subject, m->credential, m->envid };
	bind_ints(s, 1, ints, ARRAY_LEN(ints));
	bind_texts(s, 1 + (int)ARRAY_LEN(ints), texts, ARRAY_LEN(texts));
	return db_run(s, err);
}

static int apply_accept(struct writer *w, struct item_accept *a, struct err *err)
{
	static const struct str none[AT__COUNT] = { { "", 0 } };
	const struct message *m = a->m;
	int got = a->tells.v != 0 ? late_tell(w, a, err) : 0;
	if (got < 0 || a->again)
		return got;
	a->seq = ++w->meta.last_seq;
	got = accept_message(w, a, err);
	struct db_stmt *s = w->st[W_RCPT];
	for (unsigned k = 0; k < m->rcpts_n && got >= 0; k++) {
		const struct message_rcpt *r = &m->rcpts[k];
		const int64_t ints[] = { (int64_t)rid_of(m->id, r->n).v,
					 r->domain,
					 m->stream,
					 m->expires_ms,
					 (int64_t)m->size,
					 a->at.segment,
					 (int64_t)a->at.offset,
					 a->at.length,
					 r->notify };
		bind_ints(s, 1, ints, ARRAY_LEN(ints));
		db_bind_text(s, 1 + (int)ARRAY_LEN(ints), r->address);
		db_bind_text(s, 2 + (int)ARRAY_LEN(ints), r->orcpt);
		got = db_run(s, err);
	}
	const int64_t event[10] = {
		(int64_t)a->seq, first_rid(m->id), 0, m->received_ms, OUTCOME_RECEIVED, 0, 0, 0, 0,
		m->stream
	};
	return got < 0 ? got : insert_event(w, event, none, NULL, err);
}

static int run_range(struct writer *w, enum writer_stmt which, struct msgid id, struct err *err)
{
	db_bind_int(w->st[which], 1, first_rid(id));
	db_bind_int(w->st[which], 2, last_rid(id));
	return db_run(w->st[which], err);
}

static int run_id(struct writer *w, enum writer_stmt which, uint64_t id, struct err *err)
{
	db_bind_int(w->st[which], 1, (int64_t)id);
	return db_run(w->st[which], err);
}

int apply_orphans(struct writer *w, struct err *err)
{
	for (size_t k = 0; k < w->orphans_n; k++) {
		int got = run_range(w, W_RCPTS_GONE, w->orphans[k].id, err);
		if (got >= 0)
			got = run_id(w, W_MESSAGE_GONE, w->orphans[k].id.v, err);
		if (got >= 0)
			got = run_id(w, W_EVENT_GONE, w->orphans[k].seq, err);
		if (got >= 0)
			got = run_id(w, W_LATE_UNTOLD, w->orphans[k].id.v, err);
		if (got < 0)
			return got;
	}
	return 0;
}

/* Deletes a chain of events, from the last to the first. */
static int forget_chain(struct writer *w, uint64_t seq, struct err *err)
{
	int got = 0;
	while (seq != 0 && got >= 0) {
		int64_t row[2] = { 0, 0 }; /* prev, connection */
		db_bind_int(w->st[W_EVENT_PREV], 1, (int64_t)seq);
		got = one_row(w->st[W_EVENT_PREV], row, ARRAY_LEN(row), err);
		if (got > 0)
			got = run_id(w, W_EVENT_GONE, seq, err);
		connection_ref(w, (uint64_t)row[1], -1);
		seq = (uint64_t)row[0];
	}
	return got < 0 ? got : 0;
}

int apply_forget(struct writer *w, struct msgid id, uint64_t received_seq, struct err *err)
{
	struct db_stmt *s = w->st[W_DONE_SEQS];
	db_bind_int(s, 1, first_rid(id));
	db_bind_int(s, 2, last_rid(id));
	int got;
	while ((got = db_step(s, err)) > 0) {
		got = forget_chain(w, (uint64_t)db_int(s, 0), err);
		if (got < 0) {
			db_reset(s);
			return got;
		}
	}
	if (got >= 0)
		got = run_id(w, W_EVENT_GONE, received_seq, err);
	if (got >= 0)
		got = run_range(w, W_DONE_GONE, id, err);
	return got < 0 ? got : run_id(w, W_MESSAGE_GONE, id.v, err);
}

/* --- results ---------------------------------------------------------------------------------- */

/* The row as it was. */
struct found {
	uint32_t cause;
	uint64_t last_seq;
	int64_t size;
	int64_t expires_ms;
	struct segment_place at;
};

static int find_row(struct writer *w, struct item_record *r, struct found *ret, struct err *err)
{
	struct db_stmt *s = w->st[W_FIND];
	db_bind_int(s, 1, (int64_t)r->rid.v);
	int got = db_step(s, err);
	r->known = got > 0;
	if (got <= 0)
		return got;
	r->domain = (uint32_t)db_int(s, 0);
	r->stream = (uint32_t)db_int(s, 1);
	*ret = (struct found){ .cause = (uint32_t)db_int(s, 2),
			       .last_seq = (uint64_t)db_int(s, 3),
			       .size = db_int(s, 4),
			       .expires_ms = db_int(s, 8),
			       .at = { .segment = (uint32_t)db_int(s, 5),
				       .offset = (uint64_t)db_int(s, 6),
				       .length = (uint32_t)db_int(s, 7) } };
	struct str to = db_text(s, 9), from = db_text(s, 10);
	free(r->from);
	r->from = xmalloc(from.n + to.n + 2);
	r->to = r->from + from.n + 1;
	memcpy(r->from, from.p, from.n);
	memcpy(r->to, to.p, to.n);
	r->from[from.n] = r->to[to.n] = '\0';
	db_reset(s);
	return 1;
}

static int defer_row(struct writer *w, const struct item_record *r, const struct found *was,
		     struct err *err)
{
	uint32_t cause = 0;
	int got = cause_get(w, r->code, r->reply_class, record_text(r, AT_ENHANCED),
			    record_text(r, AT_REPLY), r->at_ms, &cause, err);
	if (got < 0)
		return got;
	cause_ref(&w->causes, was->cause, -1);
	cause_ref(&w->causes, cause, 1);
	const int64_t ints[] = {
		(int64_t)r->rid.v, OUTCOME_DEFERRED,
		r->attempts,	   r->code,
		r->reply_class,	   cause,
		r->next_ms,	   r->expires_ms != 0 ? r->expires_ms : was->expires_ms,
		(int64_t)r->seq
	};
	bind_ints(w->st[W_DEFER], 1, ints, ARRAY_LEN(ints));
	return db_run(w->st[W_DEFER], err);
}

static int finish_row(struct writer *w, struct item_record *r, const struct found *was,
		      struct err *err)
{
	const int64_t ints[] = { (int64_t)r->rid.v, r->domain, r->stream,      r->outcome,
				 r->attempts,	    r->code,   r->reply_class, was->expires_ms,
				 (int64_t)r->seq,   was->size };
	struct msgid id = rid_msgid(r->rid);
	int64_t one;
	cause_ref(&w->causes, was->cause, -1);
	bind_ints(w->st[W_DONE], 1, ints, ARRAY_LEN(ints));
	db_bind_text(w->st[W_DONE], 1 + (int)ARRAY_LEN(ints), str_of(r->to));
	int got = db_run(w->st[W_DONE], err);
	if (got >= 0)
		got = run_id(w, W_GONE, r->rid.v, err);
	if (got < 0)
		return got;
	db_bind_int(w->st[W_LEFT], 1, first_rid(id));
	db_bind_int(w->st[W_LEFT], 2, last_rid(id));
	got = one_row(w->st[W_LEFT], &one, 1, err);
	r->ended = got == 0;
	if (got != 0)
		return got;
	if (was->at.segment != 0)
		places_add(&w->dropped, &was->at);
	w->meta.ended_n++;
	db_bind_int(w->st[W_ENDED], 1, (int64_t)id.v);
	db_bind_int(w->st[W_ENDED], 2, (int64_t)r->seq);
	return db_run(w->st[W_ENDED], err);
}

static int apply_record(struct writer *w, struct item_record *r, struct err *err)
{
	struct found was;
	int got = find_row(w, r, &was, err);
	if (got <= 0)
		return got;
	r->seq = ++w->meta.last_seq;
	const int64_t ints[10] = { (int64_t)r->seq, (int64_t)r->rid.v, (int64_t)was.last_seq,
				   r->at_ms,	    r->outcome,	       r->code,
				   r->reply_class,  r->duration_ms,    r->domain,
				   r->stream };
	struct str texts[AT__COUNT];
	for (int k = 0; k < AT__COUNT; k++)
		texts[k] = record_text(r, (enum attempt_text)k);
	got = insert_event(w, ints, texts, r, err);
	if (got < 0)
		return got;
	return r->outcome == OUTCOME_DEFERRED ? defer_row(w, r, &was, err)
					      : finish_row(w, r, &was, err);
}

static int apply_next(struct writer *w, const struct item_next *n, struct err *err)
{
	const int64_t ints[] = { (int64_t)n->rid.v, n->next_ms, n->expires_ms };
	bind_ints(w->st[W_NEXT], 1, ints, ARRAY_LEN(ints));
	return db_run(w->st[W_NEXT], err);
}

/* --- actions and objects ---------------------------------------------------------------------- */

/* Sets are ascending as a rule: the distance to the one before, zigzag, seven bits a byte. */
static void rids_pack(const struct rid *rids, size_t n, struct buf *out)
{
	uint64_t last = 0;
	for (size_t k = 0; k < n; k++) {
		int64_t d = (int64_t)(rids[k].v - last);
		uint64_t z = ((uint64_t)d << 1) ^ (d < 0 ? UINT64_MAX : 0);
		for (; z >= 0x80; z >>= 7)
			(void)buf_putc(out, (char)(z | 0x80));
		(void)buf_putc(out, (char)z);
		last = rids[k].v;
	}
}

size_t rids_unpack(const void *p, size_t n, struct rid *ret, size_t max)
{
	const unsigned char *c = p;
	size_t count = 0;
	uint64_t last = 0;
	for (size_t k = 0; k < n && count < max; count++) {
		uint64_t z = 0;
		unsigned shift = 0;
		while (k < n && (c[k] & 0x80) != 0 && shift < 63) {
			z |= (uint64_t)(c[k++] & 0x7f) << shift;
			shift += 7;
		}
		if (k < n)
			z |= (uint64_t)c[k++] << shift;
		last += (z >> 1) ^ ((z & 1) != 0 ? UINT64_MAX : 0);
		ret[count] = (struct rid){ last };
	}
	return count;
}

static int put_action(struct writer *w, const struct item_commit *c, struct err *err)
{
	const struct queue_action *a = &c->action;
	AUTO_BUF rids = BUF_INIT(RIDS_BYTES_MAX);
	struct db_stmt *s = w->st[W_ACTION];
	const int64_t ints[] = { (int64_t)a->id, a->at_ms, a->undo_until_ms };
	const struct str texts[] = { str_of(a->who),	 str_of(a->from_where), str_of(a->role),
				     str_of(a->method),	 str_of(a->target),	str_of(a->reason),
				     str_of(a->request), str_of(a->state),	str_of(a->result),
				     str_of(a->undo) };
	bind_ints(s, 1, ints, ARRAY_LEN(ints));
	bind_texts(s, 4, texts, ARRAY_LEN(texts));
	rids_pack(c->rids, a->rids_n, &rids);
	if (rids.full)
		return err_set(err, ERR_LIMIT, "an action on %zu recipients is too large",
			       a->rids_n);
	if (c->rids != NULL)
		db_bind_blob(s, 14, buf_cstr(&rids), rids.n);
	else
		db_bind_null(s, 14);
	db_bind_int(s, 15, (int64_t)a->rids_n);
	db_bind_int(s, 16, a->wipe);
	return db_run(s, err);
}

/* What is overwritten in the file: deleted or replaced secrets. */
static int wiping(struct writer *w, bool on, struct err *err)
{
	if (on)
		return db_exec(w->db, "PRAGMA secure_delete=ON", err);
	if (db_exec(w->db, "PRAGMA secure_delete=OFF", NULL) < 0)
		log_warn(NULL, "queue.secure-delete"); /* slower from now on, nothing else */
	return 0;
}

static int put_object(struct writer *w, const struct queue_object *o, struct err *err)
{
	struct db_stmt *s = w->st[o->json != NULL ? W_OBJECT : W_OBJECT_GONE];
	if (strcmp(o->kind, QUEUE_SUPPRESS) == 0)
		return suppress_apply_object(w, o, err);
	db_bind_text(s, 1, str_of(o->kind));
	db_bind_text(s, 2, str_of(o->id));
	if (o->json != NULL)
		db_bind_text(s, 3, str_of(o->json));
	return db_run(s, err);
}

static int put_objects(struct writer *w, const struct queue_batch *b, struct err *err)
{
	bool on = false;
	int got = 0;
	for (size_t k = 0; k < b->n && got >= 0; k++) {
		if (b->v[k].secret != on)
			got = wiping(w, !on, err);
		on = got >= 0 ? b->v[k].secret : on;
		if (got >= 0)
			got = put_object(w, &b->v[k], err);
	}
	if (on)
		(void)wiping(w, false, NULL);
	return got;
}

/* What was done, beside it. */
static int audit_action(struct writer *w, const struct queue_action *a, struct err *err)
{
	const struct audit_record r = { .at_ms = a->at_ms,
					.uid = a->uid,
					.action = a->id,
					.who = a->who,
					.from_where = a->from_where,
					.role = a->role,
					.method = a->method,
					.target = a->target,
					.reason = a->reason,
					.result = AUDIT_DONE,
					.changes = a->changes };
	return audit_put(w, &r, err);
}

/* The version that the action makes. */
static int put_config(struct writer *w, const struct queue_action *a, struct err *err)
{
	struct db_stmt *s = w->st[W_CONFIG];
	db_bind_int(s, 1, (int64_t)a->version);
	db_bind_int(s, 2, (int64_t)a->id);
	db_bind_text(s, 3, str_of(a->edited));
	return db_run(s, err);
}

static int apply_commit(struct writer *w, struct item_commit *c, struct err *err)
{
	int got = c->has_action ? put_action(w, c, err) : 0;
	if (got >= 0 && c->has_action && c->action.version != 0)
		got = put_config(w, &c->action, err);
	if (got >= 0 && c->has_action)
		got = audit_action(w, &c->action, err);
	if (got >= 0)
		got = put_objects(w, c->batch, err);
	return got >= 0 ? notes_apply(w, &c->notes, err) : got;
}

static int apply_state(struct writer *w, const struct item_state *t, struct err *err)
{
	struct db_stmt *s = w->st[W_ACTION_STATE];
	int got = t->has_undo ? wiping(w, true, err) : 0;
	if (got < 0)
		return got;
	db_bind_int(s, 1, (int64_t)t->id);
	db_bind_text(s, 2, str_of(t->state));
	db_bind_int(s, 3, t->has_undo);
	db_bind_text(s, 4, str_of(t->undo));
	db_bind_int(s, 5, t->drop_rids);
	got = db_run(s, err);
	if (t->has_undo)
		(void)wiping(w, false, NULL);
	return got;
}

static int apply_name(struct writer *w, const struct item_name *n, struct err *err)
{
	db_bind_int(w->st[W_NAME], 1, n->id);
	db_bind_text(w->st[W_NAME], 2, n->text);
	return db_run(w->st[W_NAME], err);
}

int apply_item(struct writer *w, struct item *it, struct err *err)
{
	switch (it->kind) {
	case ITEM_ACCEPT:
		return apply_accept(w, (struct item_accept *)it, err);
	case ITEM_NAME:
		return apply_name(w, (struct item_name *)it, err);
	case ITEM_CONNECTION: {
		struct item_connection *c = (struct item_connection *)it;
		connection_add(w, c->c);
		c->c = NULL;
		return 0;
	}
	case ITEM_RECORD:
		return apply_record(w, (struct item_record *)it, err);
	case ITEM_NEXT:
		return apply_next(w, (struct item_next *)it, err);
	case ITEM_LATE:
		return late_apply(w, (struct item_late *)it, err);
	case ITEM_COMMIT:
		return apply_commit(w, (struct item_commit *)it, err);
	case ITEM_STATE:
		return apply_state(w, (struct item_state *)it, err);
	case ITEM_AUDIT:
		return audit_put(w, &((struct item_audit *)it)->r, err);
	case ITEM_SUPPRESS:
		return suppress_apply(w, (struct item_suppress *)it, err);
	}
	BUG("queue item %d", (int)it->kind);
}
