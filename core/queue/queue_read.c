/* One message, rows by their ids, the journal. */
#include "queue/queue_int.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/log.h"
#include "base/mem.h"
#include "base/obj.h"
#include "loop/loop.h"

/* --- damage ----------------------------------------------------------------------------------- */

struct damage_node {
	RB_ENTRY(damage_node) node;
	struct msgid id;
};

static int damage_cmp(const struct damage_node *a, const struct damage_node *b)
{
	return a->id.v < b->id.v ? -1 : a->id.v > b->id.v;
}

QUEUE_TREE(damage_tree, damage_node, node, damage_cmp)

void queue_damage(struct queue *q, struct msgid id, const char *text)
{
	struct damage_node key = { .id = id };
	char name[MSGID_TEXT_LEN];
	if (RB_FIND(damage_tree, &q->damage, &key) != NULL || q->damaged >= QUEUE_DAMAGED_MAX)
		return;
	struct damage_node *n = xcalloc(1, sizeof(*n));
	n->id = id;
	(void)RB_INSERT(damage_tree, &q->damage, n);
	q->damaged++;
	msgid_text(id, name);
	log_error(name, "queue.damaged", F_STR("what", text));
}

static void damage_remove(struct queue *q, struct damage_node *n)
{
	RB_REMOVE(damage_tree, &q->damage, n);
	q->damaged--;
	free(n);
}

void queue_damage_over(struct queue *q, struct msgid id)
{
	struct damage_node key = { .id = id };
	struct damage_node *n = RB_FIND(damage_tree, &q->damage, &key);
	if (n != NULL)
		damage_remove(q, n);
}

void queue_damage_done(struct queue *q)
{
	struct damage_node *n;
	while ((n = RB_ROOT(&q->damage)) != NULL)
		damage_remove(q, n);
}

/* --- a message -------------------------------------------------------------------------------- */

struct message_job {
	struct read_job j;
	struct msgid id;
	bool content;
	queue_message_fn *fn;
	void *arg;
	const struct message *m;
};

static void bind_range(struct db_stmt *s, struct msgid id)
{
	db_bind_int(s, 1, (int64_t)rid_of(id, 0).v);
	db_bind_int(s, 2, (int64_t)rid_of(id, RID_RCPT_MAX).v);
}

struct rcpts {
	struct message_rcpt *v;
	size_t n;
	size_t cap;
};

/* All recipients, and where the content is. */
static int read_rcpts(struct read_job *j, struct msgid id, struct pool *texts, struct rcpts *ret,
		      struct segment_place *ret_at, struct err *err)
{
	struct db_stmt *s = NULL;
	int got = reader_stmt(j->reader, R_RCPTS, &s, err);
	if (got < 0)
		return got;
	ret->n = 0;
	*ret_at = (struct segment_place){ .segment = 0 };
	bind_range(s, id);
	while ((got = db_step(s, err)) > 0) {
		if (ret->n == ret->cap) {
			ret->cap = ret->cap == 0 ? 8 : ret->cap * 2;
			ret->v = xreallocarray(ret->v, ret->cap, sizeof(*ret->v));
		}
		struct rid rid = { (uint64_t)db_int(s, 0) };
		ret->v[ret->n++] = (struct message_rcpt){ .n = rid_n(rid),
							  .domain = (uint32_t)db_int(s, 1),
							  .address = pool_dup(texts, db_text(s, 2)),
							  .notify = (unsigned)db_int(s, 6),
							  .orcpt = pool_dup(texts, db_text(s, 7)) };
		if (db_int(s, 3) != 0)
			*ret_at = (struct segment_place){ .segment = (uint32_t)db_int(s, 3),
							  .offset = (uint64_t)db_int(s, 4),
							  .length = (uint32_t)db_int(s, 5) };
	}
	return got;
}

static int read_envelope(struct read_job *j, struct msgid id, struct pool *texts,
			 struct message *ret, struct err *err)
{
	struct db_stmt *s = NULL;
	int got = reader_stmt(j->reader, R_MESSAGE, &s, err);
	if (got < 0)
		return got;
	db_bind_int(s, 1, (int64_t)id.v);
	got = db_step(s, err);
	if (got == 0)
		return err_set(err, ERR_UNKNOWN, "there is no such message");
	if (got < 0)
		return got;
	*ret = (struct message){ .id = id,
				 .received_ms = db_int(s, 0),
				 .expires_ms = db_int(s, 1),
				 .size = (size_t)db_int(s, 2),
				 .stream = (uint32_t)db_int(s, 3),
				 .eight_bit = db_int(s, 4) != 0,
				 .sender = pool_dup(texts, db_text(s, 5)),
				 .client = pool_dup(texts, db_text(s, 6)),
				 .helo = pool_dup(texts, db_text(s, 7)),
				 .msgid_header = pool_dup(texts, db_text(s, 8)),
				 .subject = pool_dup(texts, db_text(s, 9)),
				 .credential = pool_dup(texts, db_text(s, 10)),
				 .smtputf8 = db_int(s, 11) != 0,
				 .ret = (enum smtp_ret)db_int(s, 12),
				 .envid = pool_dup(texts, db_text(s, 13)) };
	db_reset(s);
	return 0;
}

static bool same_place(const struct segment_place *a, const struct segment_place *b)
{
	return a->segment == b->segment && a->offset == b->offset;
}

/* The content may be dropped, or moved, while it is read: then the row says so. */
static int read_content(struct read_job *j, struct msgid id, struct segment_place at,
			struct pool *texts, struct rcpts *rcpts, void **ret_frame,
			struct str *ret_content, struct err *err)
{
	for (;;) {
		struct str envelope;
		struct segment_place was = at;
		if (at.segment == 0)
			return err_set(err, ERR_UNKNOWN,
				       "the content is gone: it was needed no more");
		int got = segments_read(j->readers->seg, id, &at, ret_frame, &envelope, ret_content,
					err);
		if (got != -ERR_UNKNOWN && got != -ERR_CORRUPT)
			return got;
		struct err ignored = ERR_INIT;
		int rc = read_rcpts(j, id, texts, rcpts, &at, &ignored);
		if (rc < 0 || same_place(&at, &was))
			return got == -ERR_CORRUPT
				       ? got
				       : err_set(err, ERR_CORRUPT,
						 "segment %08u has another content at byte %llu",
						 was.segment, (unsigned long long)was.offset);
	}
}

static int work_message(struct read_job *base, struct err *err)
{
	struct message_job *j = (struct message_job *)base;
	struct pool texts = { .chunks = NULL };
	struct rcpts rcpts = { .n = 0 };
	struct segment_place at;
	struct message m;
	void *frame = NULL;
	int got = read_envelope(base, j->id, &texts, &m, err);
	if (got >= 0)
		got = read_rcpts(base, j->id, &texts, &rcpts, &at, err);
	if (got >= 0) {
		if (j->content)
			got = read_content(base, j->id, at, &texts, &rcpts, &frame, &m.content,
					   err);
		m.rcpts = rcpts.v;
		m.rcpts_n = (unsigned)rcpts.n;
		j->m = message_new(&m, frame);
	}
	free(rcpts.v);
	pool_done(&texts);
	return got;
}

static void answer_message(struct read_job *base)
{
	struct message_job *j = (struct message_job *)base;
	struct queue *q = base->queue;
	const struct err *err = read_err(base);
	const struct message *m = j->m;
	j->m = NULL;
	if (m != NULL && m->content.p != NULL)
		cache_put(&q->cache, m);
	if (m != NULL && err != NULL && err->code == ERR_CORRUPT)
		queue_damage(q, j->id, err->msg);
	j->fn(j->arg, m, err);
}

static void release_message(struct read_job *base)
{
	struct message_job *j = (struct message_job *)base;
	message_unref(&j->m);
	free(j);
}

void queue_message_read(struct queue *q, struct msgid id, bool content, queue_message_fn *fn,
			void *arg)
{
	struct message_job *j = xcalloc(1, sizeof(*j));
	*j = (struct message_job){
		.j = { .work = work_message, .answer = answer_message, .release = release_message },
		.id = id,
		.content = content,
		.fn = fn,
		.arg = arg
	};
	j->m = cache_get(&q->cache, id);
	if (j->m == NULL) {
		read_start(q, "queue.message", &j->j);
		return;
	}
	read_answer(q, &j->j);
}

/* --- rows ------------------------------------------------------------------------------------- */

static void entry_read(struct db_stmt *s, struct rid rid, struct pool *texts,
		       struct queue_entry *ret)
{
	struct str enhanced = db_text(s, 9);
	*ret = (struct queue_entry){ .rid = rid,
				     .outcome = (enum outcome)db_int(s, 0),
				     .received_ms = db_int(s, 1),
				     .next_ms = db_int(s, 2),
				     .size = (size_t)db_int(s, 3),
				     .attempts = (uint16_t)db_int(s, 4),
				     .domain = (uint32_t)db_int(s, 5),
				     .stream = (uint32_t)db_int(s, 6),
				     .code = (uint16_t)db_int(s, 7),
				     .reply_class = (uint8_t)db_int(s, 8),
				     .phase = (uint8_t)db_int(s, 18) };
	(void)snprintf(ret->enhanced, sizeof(ret->enhanced), "%.*s", STR_ARG(enhanced));
	struct str *const to[] = { &ret->from,	     &ret->to,	   &ret->subject,
				   &ret->credential, &ret->client, &ret->msgid_header,
				   &ret->reply,	     &ret->host };
	for (int k = 0; k < (int)ARRAY_LEN(to); k++)
		*to[k] = pool_dup(texts, db_text(s, 10 + k));
}

int read_entry(struct reader *r, struct rid rid, struct pool *texts, struct queue_entry *ret,
	       struct err *err)
{
	static const enum reader_stmt from[] = { R_QUEUED, R_ENDED };
	for (size_t k = 0; k < ARRAY_LEN(from); k++) {
		struct db_stmt *s = NULL;
		int got = reader_stmt(r, from[k], &s, err);
		if (got < 0)
			return got;
		db_bind_int(s, 1, (int64_t)rid.v);
		got = db_step(s, err);
		if (got < 0)
			return got;
		if (got > 0) {
			entry_read(s, rid, texts, ret);
			db_reset(s);
			return 1;
		}
	}
	return 0;
}

struct entries_job {
	struct read_job j;
	struct rid *rids;
	size_t rids_n;
	struct queue_entry *rows;
	size_t n;
	struct pool texts;
	queue_entries_fn *fn;
	void *arg;
};

static int work_entries(struct read_job *base, struct err *err)
{
	struct entries_job *j = (struct entries_job *)base;
	j->rows = xcalloc(j->rids_n + 1, sizeof(*j->rows));
	for (size_t k = 0; k < j->rids_n; k++) {
		struct err one = ERR_INIT;
		int got = read_entry(base->reader, j->rids[k], &j->texts, &j->rows[j->n], &one);
		if (got == -ERR_CORRUPT && log_limited("queue.damaged-row")) {
			char id[RID_TEXT_LEN];
			rid_text(j->rids[k], id);
			log_error(id, "queue.damaged-row", F_STR("error", one.msg));
		}
		if (got < 0 && got != -ERR_CORRUPT) { /* the others can be shown */
			*err = one;
			return got;
		}
		j->n += got > 0;
	}
	return 0;
}

static void answer_entries(struct read_job *base)
{
	struct entries_job *j = (struct entries_job *)base;
	const struct err *err = read_err(base);
	j->fn(j->arg, j->rows, err == NULL ? j->n : 0, err);
}

static void release_entries(struct read_job *base)
{
	struct entries_job *j = (struct entries_job *)base;
	free(j->rids);
	free(j->rows);
	pool_done(&j->texts);
	free(j);
}

void queue_entries(struct queue *q, const struct rid *rids, size_t n, queue_entries_fn *fn,
		   void *arg)
{
	struct entries_job *j = xcalloc(1, sizeof(*j));
	*j = (struct entries_job){
		.j = { .work = work_entries, .answer = answer_entries, .release = release_entries },
		.rids_n = n < QUEUE_PAGE_MAX ? n : QUEUE_PAGE_MAX,
		.fn = fn,
		.arg = arg
	};
	j->rids = xcalloc(j->rids_n + 1, sizeof(*j->rids));
	for (size_t k = 0; k < j->rids_n; k++)
		j->rids[k] = rids[k];
	read_start(q, "queue.entries", &j->j);
}

/* --- the journal ------------------------------------------------------------------------------ */

struct actions_job {
	struct read_job j;
	uint64_t before;
	size_t limit;
	struct queue_action *rows;
	size_t n;
	bool more;
	struct pool texts;
	queue_actions_fn *fn;
	void *arg;
};

void action_read(struct db_stmt *s, struct queue_action *ret)
{
	*ret = (struct queue_action){ .id = (uint64_t)db_int(s, 0),
				      .at_ms = db_int(s, 1),
				      .undo_until_ms = db_int(s, 2),
				      .rids_n = (size_t)db_int(s, 3),
				      .who = db_text(s, 4).p,
				      .from_where = db_text(s, 5).p,
				      .role = db_text(s, 6).p,
				      .method = db_text(s, 7).p,
				      .target = db_text(s, 8).p,
				      .reason = db_text(s, 9).p,
				      .request = db_text(s, 10).p,
				      .state = db_text(s, 11).p,
				      .result = db_text(s, 12).p,
				      .undo = db_text(s, 13).p,
				      .wipe = db_int(s, 14) != 0 };
}

static int work_actions(struct read_job *base, struct err *err)
{
	struct actions_job *j = (struct actions_job *)base;
	struct db_stmt *s = NULL;
	int got = reader_stmt(base->reader, R_ACTIONS, &s, err);
	if (got < 0)
		return got;
	j->rows = xcalloc(j->limit + 1, sizeof(*j->rows));
	db_bind_int(s, 1, j->before != 0 ? (int64_t)j->before : INT64_MAX);
	db_bind_int(s, 2, (int64_t)j->limit + 1);
	while ((got = db_step(s, err)) > 0 && j->n < j->limit) {
		struct queue_action *a = &j->rows[j->n++];
		action_read(s, a);
		const char **const texts[] = { &a->who,	   &a->from_where, &a->role,	&a->method,
					       &a->target, &a->reason,	   &a->request, &a->state,
					       &a->result, &a->undo };
		for (size_t k = 0; k < ARRAY_LEN(texts); k++)
			*texts[k] = pool_dup(&j->texts, str_of(*texts[k])).p;
	}
	j->more = got > 0;
	db_reset(s);
	return got < 0 ? got : 0;
}

static void answer_actions(struct read_job *base)
{
	struct actions_job *j = (struct actions_job *)base;
	const struct err *err = read_err(base);
	j->fn(j->arg, j->rows, err == NULL ? j->n : 0, j->more, err);
}

static void release_actions(struct read_job *base)
{
	struct actions_job *j = (struct actions_job *)base;
	free(j->rows);
	pool_done(&j->texts);
	free(j);
}

void queue_actions(struct queue *q, uint64_t before, size_t limit, queue_actions_fn *fn, void *arg)
{
	struct actions_job *j = xcalloc(1, sizeof(*j));
	*j = (struct actions_job){
		.j = { .work = work_actions, .answer = answer_actions, .release = release_actions },
		.before = before,
		.limit = limit < QUEUE_PAGE_MAX ? limit : QUEUE_PAGE_MAX,
		.fn = fn,
		.arg = arg
	};
	read_start(q, "queue.actions", &j->j);
}
