/* An open hash table of ids over an array of texts; texts never move and are never freed before the
 * queue, so that what was borrowed stays valid. */
#include "queue/queue_int.h"

#include <stdlib.h>

#include "base/mem.h"
#include "base/obj.h"

#define SLOTS_FIRST 1024u

static char lower(char c)
{
	return c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c;
}

/* The slot where a name is, or would be. */
static uint32_t slot_of(const struct names *ns, struct str name)
{
	uint32_t mask = ns->slots_n - 1;
	uint32_t k = (uint32_t)str_hash_nocase(name) & mask;
	while (ns->slots[k] != 0 && !str_eq_nocase(ns->v[ns->slots[k]], name))
		k = (k + 1) & mask;
	return k;
}

static void make_room(struct names *ns)
{
	if (ns->slots_n > 0 && ns->used * 2 < ns->slots_n)
		return;
	uint32_t n = ns->slots_n == 0 ? SLOTS_FIRST : ns->slots_n * 2;
	free(ns->slots);
	ns->slots = xcalloc(n, sizeof(*ns->slots));
	ns->slots_n = n;
	for (uint32_t id = 1; id <= ns->n; id++)
		if (ns->v[id].p != NULL)
			ns->slots[slot_of(ns, ns->v[id])] = id;
}

void names_load(struct names *ns, uint32_t id, struct str text)
{
	while (id >= ns->cap) {
		uint32_t cap = ns->cap == 0 ? SLOTS_FIRST : ns->cap * 2;
		ns->v = xreallocarray(ns->v, cap, sizeof(*ns->v));
		for (uint32_t k = ns->cap; k < cap; k++)
			ns->v[k] = (struct str){ .p = NULL };
		ns->cap = cap;
	}
	if (ns->v[id].p != NULL)
		return;
	make_room(ns);
	char *p = xmalloc(text.n + 1);
	for (size_t k = 0; k < text.n; k++)
		p[k] = lower(text.p[k]);
	p[text.n] = '\0';
	ns->v[id] = str_from(p, text.n);
	if (id > ns->n)
		ns->n = id;
	ns->slots[slot_of(ns, ns->v[id])] = id;
	ns->used++;
}

void names_done(struct names *ns)
{
	for (uint32_t id = 1; id <= ns->n; id++) {
		void *p = (void *)(uintptr_t)ns->v[id].p;
		free(p);
	}
	free(ns->v);
	free(ns->slots);
	*ns = (struct names){ .n = 0 };
}

uint32_t queue_name_find(const struct queue *q, struct str name)
{
	return q->names.slots_n == 0 ? 0 : q->names.slots[slot_of(&q->names, name)];
}

uint32_t queue_name(struct queue *q, struct str name)
{
	if (name.n > QUEUE_NAME_MAX)
		name.n = QUEUE_NAME_MAX;
	uint32_t id = queue_name_find(q, name);
	if (id != 0)
		return id;
	id = q->names.n + 1;
	names_load(&q->names, id, name);
	struct item_name *it = xcalloc(1, sizeof(*it));
	*it = (struct item_name){ .i.kind = ITEM_NAME, .id = id, .text = q->names.v[id] };
	(void)pthread_mutex_lock(&q->lock);
	STAILQ_INSERT_TAIL(&q->waiting.names, &it->i, link);
	(void)pthread_mutex_unlock(&q->lock);
	return id;
}

struct str queue_name_text(const struct queue *q, uint32_t id)
{
	bool known = id != 0 && id <= q->names.n && q->names.v[id].p != NULL;
	return known ? q->names.v[id] : STR("");
}
