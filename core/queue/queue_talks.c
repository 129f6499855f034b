/*
 * What was said in attempts (mail/talk.h).
 *
 * A transaction's part waits in the loop thread for queue_record() of its recipient, goes to the
 * writer with it, and stands in the event's row. A connection's part comes before the attempts
 * that refer to it: the writer keeps it until a transaction has a reference, then it is a row whose
 * `refs` counts the events that have its id; with the last of them it goes. Attempts whose
 * connection was dropped meanwhile, or lost with a kill, have none.
 *
 * In a row: a byte that says how, then the bytes as they are (RAW), or deflated with the dictionary
 * below (DEFLATED). The dictionary is never changed, only another one added.
 */
#include "queue/queue_int.h"

#include <stdlib.h>
#include <zlib.h>

#include "base/mem.h"
#include "base/obj.h"
#include "loop/loop.h"
#include "mail/talk.h"

#define RAW '\0'
#define DEFLATED '\1'
#define LONG 160 /* bytes from which on deflating is tried */
#define LEVEL 6
#define WINDOW (-12) /* 4 KiB, without a header */
#define MEMORY 5
#define WAITING_MAX 2048 /* connections that nobody refers to yet */

static const char dictionary[] =
	"550 5.1.1 User unknown\r\n550 5.7.1 blocked 554 5.7.1 rejected 451 4.7.1 Greylisted, try "
	"again later\r\n421 4.7.0 Service not available, closing connection "
	"https://support.\r\n452 4.2.2 Mailbox full\r\n504 502 Command not implemented\r\n"
	"looked up connected to  from the connection was closed TLSv1.2 "
	"ECDHE-RSA-AES256-GCM-SHA384 "
	"TLSv1.3 TLS_AES_256_GCM_SHA384 unverified dane AUTH PLAIN LOGIN SCRAM-SHA-256\r\n235 "
	"2.7.0 "
	"Authentication successful\r\n334 (left out)\r\n220 2.0.0 Ready to start TLS\r\n220  ESMTP "
	"Postfix\r\nSTARTTLS EHLO 250- at your service, []\r\n250-PIPELINING\r\n250-SIZE 52428800"
	"\r\n250-ETRN\r\n250-STARTTLS\r\n250-AUTH PLAIN LOGIN\r\n250-ENHANCEDSTATUSCODES\r\n"
	"250-8BITMIME\r\n250-DSN\r\n250-SMTPUTF8\r\n250 CHUNKING\r\n250-mx.example.com Hello []"
	"\r\nMAIL FROM:<> SIZE= BODY=8BITMIME RCPT TO:<DATA250 2.1.0 Ok\r\n250 2.1.5 Ok\r\n354 End "
	"data with <CR><LF>.<CR><LF>\r\n250 2.0.0 Ok: queued as ";

/* --- rows ------------------------------------------------------------------------------------- */

static bool deflate_to(struct str in, struct buf *out)
{
	z_stream z = { .next_in = (z_const Bytef *)(uintptr_t)in.p, .avail_in = (uInt)in.n };

	if (!buf_putc(out, DEFLATED) || !buf_reserve(out, in.n))
		return false;
	if (deflateInit2(&z, LEVEL, Z_DEFLATED, WINDOW, MEMORY, Z_DEFAULT_STRATEGY) != Z_OK)
		return false;
	(void)deflateSetDictionary(&z, (const Bytef *)dictionary, sizeof(dictionary) - 1);
	z.next_out = (Bytef *)out->p + out->n;
	z.avail_out = (uInt)in.n;
	bool done = deflate(&z, Z_FINISH) == Z_STREAM_END;
	out->n += in.n - z.avail_out;
	(void)deflateEnd(&z);
	return done;
}

struct str talk_squeeze(struct writer *w, struct str talk)
{
	struct buf *out = &w->squeezed;
	out->limit = 2 * TALK_PACKED_MAX + 2;
	buf_reset(out);
	if (talk.n >= LONG && deflate_to(talk, out))
		return buf_str(out);
	buf_reset(out);
	(void)buf_putc(out, RAW);
	(void)buf_put_str(out, talk);
	return buf_str(out);
}

bool talk_expand(struct str row, struct buf *out)
{
	if (row.n == 0 || (row.p[0] != RAW && row.p[0] != DEFLATED))
		return false;
	struct str in = str_from(row.p + 1, row.n - 1);
	if (row.p[0] == RAW)
		return buf_put_str(out, in);
	z_stream z = { .next_in = (z_const Bytef *)(uintptr_t)in.p, .avail_in = (uInt)in.n };
	if (!buf_reserve(out, TALK_PACKED_MAX) || inflateInit2(&z, WINDOW) != Z_OK)
		return false;
	(void)inflateSetDictionary(&z, (const Bytef *)dictionary, sizeof(dictionary) - 1);
	z.next_out = (Bytef *)out->p + out->n;
	z.avail_out = TALK_PACKED_MAX;
	bool done = inflate(&z, Z_FINISH) == Z_STREAM_END;
	out->n += TALK_PACKED_MAX - z.avail_out;
	(void)inflateEnd(&z);
	return done;
}

/* --- loop thread: transactions ---------------------------------------------------------------- */

static int talk_cmp(const struct talk *a, const struct talk *b)
{
	return a->rid.v < b->rid.v ? -1 : a->rid.v > b->rid.v;
}

QUEUE_TREE(talk_tree, talk, node, talk_cmp)

static void talk_leave(struct talks *t, struct talk *x)
{
	RB_REMOVE(talk_tree, &t->tree, x);
	TAILQ_REMOVE(&t->order, x, order);
	t->n--;
}

struct talk *talk_take(struct queue *q, struct rid rid)
{
	struct talk key = { .rid = rid };
	struct talk *x = q->talks.n > 0 ? RB_FIND(talk_tree, &q->talks.tree, &key) : NULL;
	if (x != NULL)
		talk_leave(&q->talks, x);
	return x;
}

void queue_talk(struct queue *q, struct rid rid, struct str talk)
{
	struct talks *t = &q->talks;
	free(talk_take(q, rid));
	struct talk *oldest = TAILQ_FIRST(&t->order);
	if (oldest != NULL && t->n >= QUEUE_TALKS_MAX) {
		talk_leave(t, oldest);
		free(oldest);
	}
	struct talk *x = xmalloc(sizeof(*x) + talk.n);
	*x = (struct talk){ .rid = rid, .n = talk.n };
	memcpy(x->bytes, talk.p, talk.n);
	(void)RB_INSERT(talk_tree, &t->tree, x);
	TAILQ_INSERT_TAIL(&t->order, x, order);
	t->n++;
}

void talks_done(struct talks *t)
{
	struct talk *x;
	while ((x = TAILQ_FIRST(&t->order)) != NULL) {
		talk_leave(t, x);
		free(x);
	}
}

/* --- writer thread: connections --------------------------------------------------------------- */

struct connection {
	RB_ENTRY(connection) node;
	TAILQ_ENTRY(connection) waiting;
	TAILQ_ENTRY(connection) touched;
	uint64_t id;
	int64_t delta; /* of references, in this transaction */
	bool is_touched;
	bool has_bytes; /* not stored yet: it is on the waiting list */
	bool stored;	/* in this transaction */
	size_t n;
	char bytes[];
};

static int connection_cmp(const struct connection *a, const struct connection *b)
{
	return a->id < b->id ? -1 : a->id > b->id;
}

QUEUE_TREE(connection_tree, connection, node, connection_cmp)

void connections_init(struct connections *c)
{
	*c = (struct connections){ .waiting_n = 0 };
	RB_INIT(&c->tree);
	TAILQ_INIT(&c->waiting);
	TAILQ_INIT(&c->touched);
}

void connection_free(struct connection *c)
{
	free(c);
}

static void connection_leave(struct connections *cs, struct connection *c)
{
	RB_REMOVE(connection_tree, &cs->tree, c);
	if (c->has_bytes) {
		TAILQ_REMOVE(&cs->waiting, c, waiting);
		cs->waiting_n--;
	}
	free(c);
}

void connections_done(struct connections *cs)
{
	struct connection *c;
	while ((c = RB_ROOT(&cs->tree)) != NULL)
		connection_leave(cs, c);
	connections_init(cs);
}

static struct connection *connection_new(uint64_t id, struct str talk)
{
	struct connection *c = xcalloc(1, sizeof(*c) + talk.n);
	c->id = id;
	c->n = talk.n;
	c->has_bytes = talk.n > 0;
	if (talk.n > 0)
		memcpy(c->bytes, talk.p, talk.n);
	return c;
}

void connection_add(struct writer *w, struct connection *c)
{
	struct connections *cs = &w->connections;
	if (c == NULL) /* it was taken before the transaction was rolled back */
		return;
	struct connection *oldest = TAILQ_FIRST(&cs->waiting);
	if (oldest != NULL && cs->waiting_n >= WAITING_MAX && !oldest->is_touched)
		connection_leave(cs, oldest);
	if (RB_INSERT(connection_tree, &cs->tree, c) != NULL) {
		free(c);
		return;
	}
	TAILQ_INSERT_TAIL(&cs->waiting, c, waiting);
	cs->waiting_n++;
}

void connection_ref(struct writer *w, uint64_t id, int by)
{
	struct connections *cs = &w->connections;
	if (id == 0)
		return;
	struct connection key = { .id = id };
	struct connection *c = RB_FIND(connection_tree, &cs->tree, &key);
	if (c == NULL) {
		c = connection_new(id, STR(""));
		(void)RB_INSERT(connection_tree, &cs->tree, c);
	}
	c->delta += by;
	if (c->is_touched)
		return;
	c->is_touched = true;
	TAILQ_INSERT_TAIL(&cs->touched, c, touched);
}

static int store(struct writer *w, struct connection *c, struct err *err)
{
	struct db_stmt *s = w->st[W_CONNECTION];
	struct str talk = talk_squeeze(w, str_from(c->bytes, c->n));
	db_bind_int(s, 1, (int64_t)c->id);
	db_bind_int(s, 2, c->delta);
	db_bind_blob(s, 3, talk.p, talk.n);
	c->stored = true;
	return db_run(s, err);
}

static int count(struct writer *w, const struct connection *c, struct err *err)
{
	db_bind_int(w->st[W_CONNECTION_REFS], 1, (int64_t)c->id);
	db_bind_int(w->st[W_CONNECTION_REFS], 2, c->delta);
	int got = db_run(w->st[W_CONNECTION_REFS], err);
	if (got < 0 || c->delta > 0)
		return got;
	db_bind_int(w->st[W_CONNECTION_GONE], 1, (int64_t)c->id);
	return db_run(w->st[W_CONNECTION_GONE], err);
}

int connections_before_commit(struct writer *w, struct err *err)
{
	struct connection *c;
	int got = 0;
	TAILQ_FOREACH (c, &w->connections.touched, touched) {
		if (c->has_bytes && c->delta > 0)
			got = store(w, c, err);
		else if (!c->has_bytes && c->delta != 0)
			got = count(w, c, err);
		if (got < 0)
			return got;
	}
	return 0;
}

void connections_after(struct writer *w, bool committed)
{
	struct connections *cs = &w->connections;
	struct connection *c;
	while ((c = TAILQ_FIRST(&cs->touched)) != NULL) {
		TAILQ_REMOVE(&cs->touched, c, touched);
		bool waits = c->has_bytes && !(committed && c->stored);
		c->is_touched = c->stored = false;
		c->delta = 0;
		if (!waits)
			connection_leave(cs, c);
	}
}

/* --- loop thread: connections ----------------------------------------------------------------- */

uint64_t queue_connection(struct queue *q, struct str talk)
{
	uint64_t now = (uint64_t)loop_wall_ms(q->loop) * 1000;
	if (talk.n == 0)
		return 0;
	q->last_connection = now > q->last_connection ? now : q->last_connection + 1;
	struct item_connection *it = xcalloc(1, sizeof(*it));
	it->i.kind = ITEM_CONNECTION;
	it->c = connection_new(q->last_connection, talk);
	q->record_n++;
	queue_post_record(q, &it->i);
	return q->last_connection;
}
