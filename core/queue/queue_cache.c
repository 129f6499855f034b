/* Message objects are one block: the struct, its recipients, its texts. The reference count is the
 * loop thread's; a reader or the writer only looks at what does not change. */
#include "queue/queue_int.h"

#include <stdlib.h>

#include "base/mem.h"
#include "base/obj.h"

#define MESSAGE_MAGIC 0x900e0001u

struct shared {
	uint32_t magic;
	unsigned refs;
	void *owned; /* has the content */
	size_t bytes;
	struct message m;
};

struct cache_entry {
	RB_ENTRY(cache_entry) node;
	TAILQ_ENTRY(cache_entry) order;
	const struct message *m;
	struct msgid id;
	size_t bytes;
};

static int cache_cmp(const struct cache_entry *a, const struct cache_entry *b)
{
	return a->id.v < b->id.v ? -1 : a->id.v > b->id.v;
}

QUEUE_TREE(cache_tree, cache_entry, node, cache_cmp)

static struct shared *shared_of(const struct message *m)
{
	uintptr_t at = (uintptr_t)m - offsetof(struct shared, m);
	return OBJ(shared, MESSAGE_MAGIC, (void *)at);
}

void message_ref(const struct message *m)
{
	shared_of(m)->refs++;
}

void message_unref(const struct message **mp)
{
	if (mp == NULL || *mp == NULL)
		return;
	struct shared *s = shared_of(*mp);
	*mp = NULL;
	ASSERT(s->refs > 0);
	if (--s->refs > 0)
		return;
	s->magic = 0;
	free(s->owned);
	free(s);
}

static struct str put(char **at, struct str s)
{
	struct str to = { *at, s.n };
	if (s.n > 0)
		memcpy(*at, s.p, s.n);
	(*at)[s.n] = '\0';
	*at += s.n + 1;
	return to;
}

const struct message *message_new(const struct message *m, void *owned)
{
	size_t text_n = m->sender.n + m->client.n + m->helo.n + m->msgid_header.n + m->subject.n +
			m->credential.n + m->envid.n + 7;
	for (unsigned k = 0; k < m->rcpts_n; k++)
		text_n += m->rcpts[k].address.n + m->rcpts[k].orcpt.n + 2;
	size_t rcpts_size = m->rcpts_n * sizeof(struct message_rcpt);
	struct shared *s = xmalloc(sizeof(*s) + rcpts_size + text_n);
	*s = (struct shared){ .magic = MESSAGE_MAGIC, .refs = 1, .owned = owned, .m = *m };
	s->bytes = sizeof(*s) + rcpts_size + text_n + m->content.n;
	struct message_rcpt *rcpts = (struct message_rcpt *)(void *)(s + 1);
	char *at = (char *)(rcpts + m->rcpts_n);
	s->m.sender = put(&at, m->sender);
	s->m.client = put(&at, m->client);
	s->m.helo = put(&at, m->helo);
	s->m.msgid_header = put(&at, m->msgid_header);
	s->m.subject = put(&at, m->subject);
	s->m.credential = put(&at, m->credential);
	s->m.envid = put(&at, m->envid);
	for (unsigned k = 0; k < m->rcpts_n; k++) {
		rcpts[k] = m->rcpts[k];
		rcpts[k].address = put(&at, m->rcpts[k].address);
		rcpts[k].orcpt = put(&at, m->rcpts[k].orcpt);
	}
	s->m.rcpts = rcpts;
	return &s->m;
}

/* --- the cache -------------------------------------------------------------------------------- */

void cache_init(struct cache *c, size_t limit)
{
	*c = (struct cache){ .limit = limit };
	RB_INIT(&c->tree);
	TAILQ_INIT(&c->order);
}

static void remove_entry(struct cache *c, struct cache_entry *e)
{
	RB_REMOVE(cache_tree, &c->tree, e);
	TAILQ_REMOVE(&c->order, e, order);
	c->bytes -= e->bytes;
	message_unref(&e->m);
	free(e);
}

void cache_done(struct cache *c)
{
	struct cache_entry *e;
	while ((e = TAILQ_FIRST(&c->order)) != NULL)
		remove_entry(c, e);
}

static struct cache_entry *find(struct cache *c, struct msgid id)
{
	struct cache_entry key = { .id = id };
	return RB_FIND(cache_tree, &c->tree, &key);
}

void cache_put(struct cache *c, const struct message *m)
{
	size_t bytes = shared_of(m)->bytes + sizeof(struct cache_entry);
	if (bytes > c->limit / 4 || find(c, m->id) != NULL)
		return;
	while (c->bytes + bytes > c->limit)
		remove_entry(c, TAILQ_LAST(&c->order, cache_list));
	struct cache_entry *e = xcalloc(1, sizeof(*e));
	*e = (struct cache_entry){ .m = m, .id = m->id, .bytes = bytes };
	message_ref(m);
	(void)RB_INSERT(cache_tree, &c->tree, e);
	TAILQ_INSERT_HEAD(&c->order, e, order);
	c->bytes += bytes;
}

const struct message *cache_get(struct cache *c, struct msgid id)
{
	struct cache_entry *e = find(c, id);
	if (e == NULL)
		return NULL;
	TAILQ_REMOVE(&c->order, e, order);
	TAILQ_INSERT_HEAD(&c->order, e, order);
	message_ref(e->m);
	return e->m;
}

void cache_drop(struct cache *c, struct msgid id)
{
	struct cache_entry *e = find(c, id);
	if (e != NULL)
		remove_entry(c, e);
}
