/* What the loop thread asks of the writer, and what comes back. */
#include "queue/queue_int.h"

#include <stdlib.h>
#include <sys/stat.h>
#include <sys/statvfs.h>

#include "base/log.h"
#include "base/mem.h"
#include "base/obj.h"
#include "loop/loop.h"

#define CACHE_DEFAULT (64u << 20)

/* --- items ------------------------------------------------------------------------------------ */

#define BLOCK_MAX ((size_t)65536) /* unless one object is larger */
struct text_block {
	SLIST_ENTRY(text_block) link;
	size_t n;
	size_t cap;
	char p[];
};

struct queue_batch *queue_batch_new(void)
{
	struct queue_batch *b = xcalloc(1, sizeof(*b));
	SLIST_INIT(&b->blocks);
	return b;
}

void queue_batch_free(struct queue_batch **bp)
{
	struct queue_batch *b = *bp;
	struct text_block *x;
	*bp = NULL;
	if (b == NULL)
		return;
	while ((x = SLIST_FIRST(&b->blocks)) != NULL) {
		SLIST_REMOVE_HEAD(&b->blocks, link);
		free(x);
	}
	free(b->v);
	free(b);
}

/* The first one is for one object, which is all that most changes have; then they grow. */
static struct text_block *block_for(struct queue_batch *b, size_t n)
{
	struct text_block *x = SLIST_FIRST(&b->blocks);
	size_t cap = 0;
	if (x != NULL && x->cap - x->n >= n)
		return x;
	if (x != NULL)
		cap = 4 * x->cap < BLOCK_MAX ? 4 * x->cap : BLOCK_MAX;
	if (cap < n)
		cap = n;
	x = xmalloc(sizeof(*x) + cap);
	x->n = 0;
	x->cap = cap;
	SLIST_INSERT_HEAD(&b->blocks, x, link);
	return x;
}

static const char *put_text(struct text_block *x, const char *text)
{
	size_t n = strlen(text) + 1;
	char *to = x->p + x->n;
	memcpy(to, text, n);
	x->n += n;
	return to;
}

void queue_batch_add(struct queue_batch *b, const struct queue_object *o)
{
	size_t n = strlen(o->kind) + strlen(o->id) + 2;
	struct text_block *x = block_for(b, o->json != NULL ? n + strlen(o->json) + 1 : n);
	if (b->n == b->cap) {
		b->cap = b->cap != 0 ? 2 * b->cap : 4;
		b->v = xreallocarray(b->v, b->cap, sizeof(*b->v));
	}
	b->v[b->n++] = (struct queue_object){ .kind = put_text(x, o->kind),
					      .id = put_text(x, o->id),
					      .json = o->json != NULL ? put_text(x, o->json) : NULL,
					      .secret = o->secret };
}

static void commit_free(struct item_commit *c)
{
	notes_free(&c->notes);
	free(c->block);
	free(c->rids);
	for (size_t k = 0; k < ARRAY_LEN(c->taken); k++)
		free(c->taken[k]);
	queue_batch_free(&c->batch);
}

void item_free(struct item *it)
{
	switch (it->kind) {
	case ITEM_ACCEPT:
		message_unref(&((struct item_accept *)it)->m);
		break;
	case ITEM_CONNECTION:
		connection_free(((struct item_connection *)it)->c);
		break;
	case ITEM_RECORD:
		free(((struct item_record *)it)->from);
		free(((struct item_record *)it)->talk);
		break;
	case ITEM_LATE:
		late_free((struct item_late *)it);
		break;
	case ITEM_COMMIT:
		commit_free((struct item_commit *)it);
		break;
	case ITEM_STATE:
		free(((struct item_state *)it)->state);
		free(((struct item_state *)it)->undo);
		break;
	case ITEM_AUDIT:
		free(((struct item_audit *)it)->block);
		break;
	case ITEM_SUPPRESS:
		notes_free(&((struct item_suppress *)it)->notes);
		free(((struct item_suppress *)it)->rows);
		free(((struct item_suppress *)it)->block);
		break;
	case ITEM_NAME:
	case ITEM_NEXT:
		break;
	}
	free(it->err);
	free(it);
}

static void items_free(struct items *list)
{
	struct item *it;
	while ((it = STAILQ_FIRST(list)) != NULL) {
		STAILQ_REMOVE_HEAD(list, link);
		item_free(it);
	}
}

/* The writer is woken when the time changes at which it has something to do. */
static void post(struct queue *q, struct items *to, struct item *it)
{
	bool wake = true;
	(void)pthread_mutex_lock(&q->lock);
	STAILQ_INSERT_TAIL(to, it, link);
	q->waiting.last_id = q->last_id.v;
	if (to == &q->waiting.records) {
		size_t n = ++q->records_waiting;
		if (n == 1)
			q->records_since_ms = loop_clock_mono_ms();
		wake = n == 1 || n == QUEUE_BATCH_RECORDS / 2;
	}
	if (wake)
		(void)pthread_cond_signal(&q->work);
	(void)pthread_mutex_unlock(&q->lock);
}

void queue_post_commit(struct queue *q, struct item *it)
{
	q->commit_n++;
	post(q, &q->waiting.commits, it);
}

void queue_post_record(struct queue *q, struct item *it)
{
	post(q, &q->waiting.records, it);
}

/* --- messages --------------------------------------------------------------------------------- */

struct msgid queue_new_id(struct queue *q)
{
	q->last_id = msgid_next(q->last_id, loop_wall_ms(q->loop));
	return q->last_id;
}

void queue_accept(struct queue *q, const struct queue_new *n, queue_done_fn *done, void *arg)
{
	ASSERT(n->m.rcpts_n > 0 && n->m.rcpts_n <= QUEUE_RCPT_MAX);
	struct message_rcpt *rcpts = xcalloc(n->m.rcpts_n, sizeof(*rcpts));
	for (unsigned k = 0; k < n->m.rcpts_n; k++) {
		rcpts[k] = n->m.rcpts[k];
		rcpts[k].n = k + 1;
	}
	struct message m = n->m;
	m.rcpts = rcpts;
	struct item_accept *a = xcalloc(1, sizeof(*a));
	*a = (struct item_accept){ .i = { .kind = ITEM_ACCEPT, .done = done, .arg = arg },
				   .m = message_new(&m, n->content_take),
				   .stream = queue_name_text(q, m.stream),
				   .tells = n->tells,
				   .tells_until_ms = n->tells_until_ms };
	free(rcpts);
	q->accept_bytes += m.content.n;
	post(q, &q->waiting.accepts, &a->i);
}

size_t queue_accept_backlog(const struct queue *q)
{
	return q->accept_bytes;
}

const struct message *queue_message_cached(struct queue *q, struct msgid id)
{
	return cache_get(&q->cache, id);
}

/* --- results ---------------------------------------------------------------------------------- */

struct str record_text(const struct item_record *r, enum attempt_text which)
{
	const char *p = r->text;
	for (int k = 0; k < (int)which; k++)
		p += r->text_n[k];
	return str_from(p, r->text_n[which]);
}

struct item_record *record_new(const struct queue_result *r)
{
	const struct attempt *a = &r->attempt;
	ASSERT(a->outcome >= OUTCOME_DEFERRED && a->outcome < OUTCOME__COUNT);
	const char *const texts[AT__COUNT] = { a->enhanced, a->reply,  a->host,
					       a->ip,	    a->source, a->tls };
	static const size_t sizes[AT__COUNT] = { sizeof(a->enhanced), sizeof(a->reply),
						 sizeof(a->host),     sizeof(a->ip),
						 sizeof(a->source),   sizeof(a->tls) };
	uint16_t text_n[AT__COUNT];
	size_t n = 0;
	for (int k = 0; k < AT__COUNT; k++)
		n += text_n[k] = (uint16_t)strnlen(texts[k], sizes[k] - 1);
	struct item_record *it = xcalloc(1, sizeof(*it) + n);
	it->i.kind = ITEM_RECORD;
	it->rid = r->rid;
	it->next_ms = r->next_ms;
	it->expires_ms = r->expires_ms;
	it->at_ms = a->at_ms;
	it->outcome = a->outcome;
	it->duration_ms = a->duration_ms;
	it->attempts = r->attempts;
	it->code = (uint16_t)a->code;
	it->reply_class = a->reply_class;
	it->phase = a->phase;
	it->connection = a->connection;
	char *to = it->text;
	for (int k = 0; k < AT__COUNT; k++) {
		it->text_n[k] = text_n[k];
		memcpy(to, texts[k], text_n[k]);
		to += text_n[k];
	}
	return it;
}

void queue_record(struct queue *q, const struct queue_result *r)
{
	struct item_record *it = record_new(r);
	it->talk = talk_take(q, r->rid);
	q->record_n++;
	post(q, &q->waiting.records, &it->i);
}

void queue_record_next(struct queue *q, struct rid rid, int64_t next_ms, int64_t expires_ms)
{
	struct item_next *it = xcalloc(1, sizeof(*it));
	*it = (struct item_next){
		.i.kind = ITEM_NEXT, .rid = rid, .next_ms = next_ms, .expires_ms = expires_ms
	};
	q->record_n++;
	post(q, &q->waiting.records, &it->i);
}

size_t queue_record_backlog(const struct queue *q)
{
	return q->record_n;
}

size_t queue_commit_backlog(const struct queue *q)
{
	return q->commit_n;
}

uint64_t queue_opened_seq(const struct queue *q)
{
	return q->opened_seq;
}

void queue_watch(struct queue *q, queue_event_fn *fn, void *arg)
{
	q->watch = fn;
	q->watch_arg = arg;
}

/* --- actions ---------------------------------------------------------------------------------- */

/* The texts of an action, for copying them in one go. */
#define ACTION_TEXTS 12
static void action_texts(struct queue_action *a, const char **ret[static ACTION_TEXTS])
{
	const char **const texts[ACTION_TEXTS] = { &a->who,	&a->from_where, &a->role,
						   &a->method,	&a->target,	&a->reason,
						   &a->request, &a->state,	&a->result,
						   &a->undo,	&a->changes,	&a->edited };
	memcpy(ret, texts, sizeof(texts));
}

static size_t text_size(const char *s)
{
	return (s != NULL ? strlen(s) : 0) + 1;
}

static const char *copy_text(char **at, const char *s)
{
	char *to = *at;
	size_t n = text_size(s);
	memcpy(to, s != NULL ? s : "", n);
	*at += n;
	return to;
}

static void copy_texts(struct item_commit *c)
{
	const char **texts[ACTION_TEXTS];
	size_t n = 1;
	action_texts(&c->action, texts);
	for (int k = 0; k < ACTION_TEXTS; k++)
		n += text_size(*texts[k]);
	char *at = c->block = xmalloc(n);
	for (int k = 0; k < ACTION_TEXTS; k++)
		*texts[k] = copy_text(&at, *texts[k]);
}

static void take_text(char **owned, const char *text, const char **ret)
{
	*owned = (char *)(uintptr_t)text;
	if (text != NULL)
		*ret = text;
}

/* The texts that are taken stay where they are. */
static void keep_action(struct item_commit *c, const struct queue_action *a)
{
	c->has_action = true;
	c->action = *a;
	if (a->take_texts)
		c->action.undo = c->action.changes = c->action.edited = NULL;
	copy_texts(c);
	if (a->take_texts) {
		take_text(&c->taken[0], a->undo, &c->action.undo);
		take_text(&c->taken[1], a->changes, &c->action.changes);
		take_text(&c->taken[2], a->edited, &c->action.edited);
	}
	if (a->take_rids) {
		c->rids = (struct rid *)(uintptr_t)a->rids;
	} else if (a->rids != NULL) {
		c->rids = xcalloc(a->rids_n + 1, sizeof(*c->rids));
		memcpy(c->rids, a->rids, a->rids_n * sizeof(*c->rids));
	}
	c->action.rids = c->rids;
}

void queue_commit_batch(struct queue *q, const struct queue_action *a,
			struct queue_batch *batch_take, queue_done_fn *done, void *arg)
{
	struct item_commit *c = xcalloc(1, sizeof(*c));
	c->i = (struct item){ .kind = ITEM_COMMIT, .done = done, .arg = arg };
	c->batch = batch_take;
	if (a != NULL)
		keep_action(c, a);
	notes_of_commit(q, a, c->batch->v, c->batch->n, &c->notes);
	if (a != NULL && a->id > q->last_action)
		q->last_action = a->id;
	if (a != NULL && a->version > q->last_version)
		q->last_version = a->version;
	queue_post_commit(q, &c->i);
}

void queue_commit(struct queue *q, const struct queue_action *a, const struct queue_object *objects,
		  size_t objects_n, queue_done_fn *done, void *arg)
{
	struct queue_batch *b = queue_batch_new();
	for (size_t k = 0; k < objects_n; k++)
		queue_batch_add(b, &objects[k]);
	queue_commit_batch(q, a, b, done, arg);
}

void queue_action_state(struct queue *q, uint64_t id, const char *state, const char *undo,
			bool drop_rids, queue_done_fn *done, void *arg)
{
	struct item_state *t = xcalloc(1, sizeof(*t));
	*t = (struct item_state){ .i = { .kind = ITEM_STATE, .done = done, .arg = arg },
				  .id = id,
				  .drop_rids = drop_rids,
				  .has_undo = undo != NULL,
				  .state = xstrdup(state),
				  .undo = xstrdup(undo != NULL ? undo : "") };
	/* behind the results that were posted before: they are what it is about */
	q->record_n++;
	post(q, &q->waiting.records, &t->i);
}

uint64_t queue_last_action(const struct queue *q)
{
	return q->last_action;
}

uint64_t queue_last_version(const struct queue *q)
{
	return q->last_version;
}

/* --- answers ---------------------------------------------------------------------------------- */

static void give_text(char *to, size_t size, struct str s)
{
	size_t n = s.n < size ? s.n : size - 1;
	memcpy(to, s.p, n);
	to[n] = '\0';
}

static void give_received(struct queue *q, const struct item_accept *a)
{
	const struct message *m = a->m;
	struct queue_event e = { .seq = a->seq,
				 .rid = rid_of(m->id, 0),
				 .attempt = { .at_ms = m->received_ms,
					      .outcome = OUTCOME_RECEIVED },
				 .from = m->sender,
				 .to = STR(""),
				 .stream = m->stream };
	q->watch(q->watch_arg, &e);
}

static void give_event(struct queue *q, const struct item_record *r)
{
	struct queue_event e = { .seq = r->seq,
				 .rid = r->rid,
				 .from = str_of(r->from),
				 .to = str_of(r->to),
				 .domain = r->domain,
				 .stream = r->stream };
	struct attempt *a = &e.attempt;
	a->at_ms = r->at_ms;
	a->outcome = r->outcome;
	a->code = r->code;
	a->reply_class = r->reply_class;
	a->phase = r->phase;
	a->duration_ms = r->duration_ms;
	give_text(a->enhanced, sizeof(a->enhanced), record_text(r, AT_ENHANCED));
	give_text(a->reply, sizeof(a->reply), record_text(r, AT_REPLY));
	give_text(a->host, sizeof(a->host), record_text(r, AT_HOST));
	give_text(a->ip, sizeof(a->ip), record_text(r, AT_IP));
	give_text(a->source, sizeof(a->source), record_text(r, AT_SOURCE));
	give_text(a->tls, sizeof(a->tls), record_text(r, AT_TLS));
	q->watch(q->watch_arg, &e);
}

static void ended(struct queue *q, struct msgid id)
{
	cache_drop(&q->cache, id);
	queue_damage_over(q, id);
}

static void finish_item(struct queue *q, struct item *it)
{
	const struct notes *notes = NULL;

	switch (it->kind) {
	case ITEM_ACCEPT: {
		const struct item_accept *a = (struct item_accept *)it;
		q->accept_bytes -= a->m->content.n;
		if (it->err == NULL)
			cache_put(&q->cache, a->m);
		if (it->done != NULL)
			it->done(it->arg, it->err);
		if (it->err == NULL && q->watch != NULL)
			give_received(q, a);
		return;
	}
	case ITEM_RECORD: {
		const struct item_record *r = (struct item_record *)it;
		q->record_n--;
		if (r->ended)
			ended(q, rid_msgid(r->rid));
		if (it->err == NULL && r->known && q->watch != NULL)
			give_event(q, r);
		return;
	}
	case ITEM_LATE: {
		const struct item_late *l = (struct item_late *)it;
		q->record_n--;
		if (it->err == NULL && !l->again && q->watch != NULL)
			give_event(q, l->r);
		l->done(it->arg, l->again, it->err);
		return;
	}
	case ITEM_CONNECTION:
	case ITEM_NEXT:
		q->record_n--;
		return;
	case ITEM_STATE:
		q->record_n--;
		break;
	case ITEM_AUDIT:
		q->commit_n--;
		audit_recorded(q);
		break;
	case ITEM_COMMIT:
		q->commit_n--;
		notes = &((const struct item_commit *)it)->notes;
		break;
	case ITEM_SUPPRESS:
		q->commit_n--;
		notes = &((const struct item_suppress *)it)->notes;
		break;
	case ITEM_NAME:
		break;
	}
	if (it->done != NULL)
		it->done(it->arg, it->err);
	if (it->err == NULL && notes != NULL)
		notes_give(q, notes);
}

static void on_completion(void *arg)
{
	struct completion *c = arg;
	struct queue *q = c->queue;
	if (q == NULL) {
		free(c);
		return;
	}
	struct item *it;
	for (int k = 0; k < QUEUE_COMPLETION_SLICE && (it = STAILQ_FIRST(&c->items)) != NULL; k++) {
		STAILQ_REMOVE_HEAD(&c->items, link);
		finish_item(q, it);
		item_free(it);
	}
	if (!STAILQ_EMPTY(&c->items)) {
		loop_post(q->loop, on_completion, c);
		return;
	}
	(void)pthread_mutex_lock(&q->lock);
	LIST_REMOVE(c, link);
	(void)pthread_mutex_unlock(&q->lock);
	free(c);
}

static void post_completion(struct queue *q, struct completion *c)
{
	(void)pthread_mutex_lock(&q->lock);
	LIST_INSERT_HEAD(&q->completions, c, link);
	(void)pthread_mutex_unlock(&q->lock);
}

void queue_complete(struct queue *q, struct items *done)
{
	if (STAILQ_EMPTY(done))
		return;
	struct completion *c = xcalloc(1, sizeof(*c));
	c->queue = q;
	STAILQ_INIT(&c->items);
	STAILQ_CONCAT(&c->items, done);
	post_completion(q, c);
	loop_post(q->loop, on_completion, c);
}

/* --- the disk --------------------------------------------------------------------------------- */

struct disk_news {
	struct completion c; /* without items */
	bool full;
	struct err err;
};

static void on_disk_news(void *arg)
{
	struct disk_news *n = arg;
	struct queue *q = n->c.queue;
	if (q != NULL) {
		(void)pthread_mutex_lock(&q->lock);
		LIST_REMOVE(&n->c, link);
		(void)pthread_mutex_unlock(&q->lock);
		q->disk_full = n->full;
		if (n->full)
			audit_go_on(q);
		if (q->ops.on_disk != NULL)
			q->ops.on_disk(q->arg, n->full ? &n->err : NULL);
	}
	free(n);
}

void queue_tell_disk(struct queue *q, const struct err *err)
{
	struct disk_news *n = xcalloc(1, sizeof(*n));
	n->c.queue = q;
	STAILQ_INIT(&n->c.items);
	n->full = err != NULL;
	if (err != NULL)
		n->err = *err;
	post_completion(q, &n->c);
	loop_post(q->loop, on_disk_news, n);
}

static uint64_t file_bytes(const char *path, const char *suffix)
{
	struct stat st;
	AUTO_FREE char *name = xasprintf("%s%s", path, suffix);
	return stat(name, &st) == 0 ? (uint64_t)st.st_size : 0;
}

void queue_figures(const struct queue *q, struct queue_figures *ret)
{
	struct segments_figures seg;
	struct statvfs st;
	segments_figures(q->writer.seg, &seg);
	*ret = (struct queue_figures){ .segments = seg.files,
				       .damaged = q->damaged,
				       .unreadable = q->unreadable,
				       .disk_full = q->disk_full };
	ret->used_bytes = seg.bytes + file_bytes(q->db_path, "") + file_bytes(q->db_path, "-wal");
	if (statvfs(q->dir, &st) == 0)
		ret->free_bytes = (uint64_t)st.f_bavail * st.f_frsize;
}

/* --- opening and closing ---------------------------------------------------------------------- */

static void init_lock(struct queue *q)
{
	pthread_condattr_t attr;
	(void)pthread_condattr_init(&attr);
	(void)pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	(void)pthread_mutex_init(&q->lock, NULL);
	(void)pthread_cond_init(&q->work, &attr);
	(void)pthread_condattr_destroy(&attr);
	STAILQ_INIT(&q->waiting.names);
	STAILQ_INIT(&q->waiting.accepts);
	STAILQ_INIT(&q->waiting.commits);
	STAILQ_INIT(&q->waiting.records);
	LIST_INIT(&q->completions);
	TAILQ_INIT(&q->talks.order);
	STAILQ_INIT(&q->audit_waiting);
}

int queue_open(struct loop *l, const struct queue_config *cfg, const struct queue_ops *ops,
	       void *arg, struct queue **ret_queue, struct err *err)
{
	struct queue *q = xcalloc(1, sizeof(*q));
	q->loop = l;
	q->ops = ops != NULL ? *ops : (struct queue_ops){ .on_disk = NULL };
	q->arg = arg;
	q->dir = xstrdup(cfg->dir);
	q->db_path = xasprintf("%s/queue.db", cfg->dir);
	q->writer.keep_ms = cfg->keep_finished_ms;
	q->writer.keep_max = cfg->keep_finished_max;
	init_lock(q);
	cache_init(&q->cache, cfg->cache_bytes != 0 ? cfg->cache_bytes : CACHE_DEFAULT);
	int got = writer_open(q, &q->writer, err);
	if (got >= 0)
		got = load_meta(q, err);
	if (got >= 0)
		got = audit_load(&q->writer, err);
	if (got < 0) {
		queue_close(&q);
		return got;
	}
	q->readers = readers_new(q->db_path, cfg->relay != NULL ? cfg->relay : "", q->writer.seg);
	writer_start(&q->writer);
	*ret_queue = q;
	return 0;
}

/* Answers that are on their way find nobody. */
static void drop_completions(struct queue *q)
{
	struct completion *c;
	while ((c = LIST_FIRST(&q->completions)) != NULL) {
		LIST_REMOVE(c, link);
		items_free(&c->items);
		c->queue = NULL;
	}
}

void queue_close(struct queue **qp)
{
	if (qp == NULL || *qp == NULL)
		return;
	struct queue *q = *qp;
	*qp = NULL;
	audit_wait_done(q);
	readers_close(&q->readers);
	writer_close(&q->writer);
	drop_completions(q);
	items_free(&q->waiting.names);
	items_free(&q->waiting.accepts);
	items_free(&q->waiting.commits);
	items_free(&q->waiting.records);
	cache_done(&q->cache);
	names_done(&q->names);
	talks_done(&q->talks);
	queue_damage_done(q);
	(void)pthread_mutex_destroy(&q->lock);
	(void)pthread_cond_destroy(&q->work);
	free(q->dir);
	free(q->db_path);
	free(q);
}
