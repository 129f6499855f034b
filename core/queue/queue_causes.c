/*
 * A cause is kept while queued recipients have it: `refs` counts them. Ids are small and used
 * again, so that by_id stays an array. What a transaction changes is noted in `delta` and on the
 * list of touched causes, and becomes true with the commit; a cause made in a transaction that is
 * rolled back goes with it.
 */
#include "queue/queue_int.h"

#include <stdlib.h>

#include "base/mem.h"
#include "base/obj.h"

struct cause {
	RB_ENTRY(cause) node;
	TAILQ_ENTRY(cause) touched;
	uint32_t id;
	uint16_t code;
	uint8_t reply_class;
	bool fresh;
	bool is_touched;
	int64_t refs;
	int64_t delta;
	struct str enhanced;
	struct str text;
	char bytes[];
};

static int str_cmp(struct str a, struct str b)
{
	int got = memcmp(a.p, b.p, a.n < b.n ? a.n : b.n);
	return got != 0 ? got : a.n < b.n ? -1 : a.n > b.n;
}

static int cause_cmp(const struct cause *a, const struct cause *b)
{
	if (a->code != b->code)
		return a->code < b->code ? -1 : 1;
	if (a->reply_class != b->reply_class)
		return a->reply_class < b->reply_class ? -1 : 1;
	int got = str_cmp(a->text, b->text);
	return got != 0 ? got : str_cmp(a->enhanced, b->enhanced);
}

QUEUE_TREE(cause_tree, cause, node, cause_cmp)

void causes_init(struct causes *c)
{
	*c = (struct causes){ .n = 0 };
	RB_INIT(&c->tree);
	TAILQ_INIT(&c->touched);
}

void causes_done(struct causes *c)
{
	for (uint32_t id = 0; id < c->n; id++)
		free(c->by_id[id]);
	free(c->by_id);
	causes_init(c);
}

static void enter(struct causes *c, struct cause *x)
{
	if (x->id >= c->n) {
		uint32_t n = c->n == 0 ? 64 : c->n;
		while (n <= x->id)
			n *= 2;
		c->by_id = xreallocarray(c->by_id, n, sizeof(struct cause *));
		for (uint32_t k = c->n; k < n; k++)
			c->by_id[k] = NULL;
		c->n = n;
	}
	c->by_id[x->id] = x;
	(void)RB_INSERT(cause_tree, &c->tree, x);
	c->count++;
}

static void leave(struct causes *c, struct cause *x)
{
	c->by_id[x->id] = NULL;
	if (x->id < c->hint)
		c->hint = x->id;
	RB_REMOVE(cause_tree, &c->tree, x);
	c->count--;
	free(x);
}

static struct cause *make(uint32_t id, uint16_t code, uint8_t reply_class, struct str enhanced,
			  struct str text)
{
	struct cause *x = xcalloc(1, sizeof(*x) + enhanced.n + text.n + 1);
	memcpy(x->bytes, enhanced.p, enhanced.n);
	memcpy(x->bytes + enhanced.n, text.p, text.n);
	x->id = id;
	x->code = code;
	x->reply_class = reply_class;
	x->enhanced = str_from(x->bytes, enhanced.n);
	x->text = str_from(x->bytes + enhanced.n, text.n);
	return x;
}

void causes_load(struct causes *c, uint32_t id, uint16_t code, uint8_t reply_class,
		 struct str enhanced, struct str text)
{
	struct cause *x = make(id, code, reply_class, enhanced, text);
	bool fits = id > 0 && id <= 2 * QUEUE_CAUSES_MAX && (id >= c->n || c->by_id[id] == NULL);
	if (fits && RB_FIND(cause_tree, &c->tree, x) == NULL)
		enter(c, x);
	else
		free(x);
}

void causes_count(struct causes *c, uint32_t id)
{
	if (id < c->n && c->by_id[id] != NULL)
		c->by_id[id]->refs++;
}

static void touch(struct causes *c, struct cause *x)
{
	if (x->is_touched)
		return;
	x->is_touched = true;
	TAILQ_INSERT_TAIL(&c->touched, x, touched);
}

void cause_ref(struct causes *c, uint32_t id, int by)
{
	if (id >= c->n || c->by_id[id] == NULL)
		return;
	c->by_id[id]->delta += by;
	touch(c, c->by_id[id]);
}

static uint32_t free_id(struct causes *c)
{
	if (c->hint == 0)
		c->hint = 1;
	while (c->hint < c->n && c->by_id[c->hint] != NULL)
		c->hint++;
	return c->hint;
}

static int insert(struct writer *w, const struct cause *x, int64_t at_ms, struct err *err)
{
	struct db_stmt *s = w->st[W_CAUSE];
	db_bind_int(s, 1, x->id);
	db_bind_int(s, 2, x->code);
	db_bind_int(s, 3, x->reply_class);
	db_bind_text(s, 4, x->enhanced);
	db_bind_text(s, 5, x->text);
	db_bind_int(s, 6, at_ms);
	return db_run(s, err);
}

int cause_get(struct writer *w, uint16_t code, uint8_t reply_class, struct str enhanced,
	      struct str reply, int64_t at_ms, uint32_t *ret_id, struct err *err)
{
	struct causes *c = &w->causes;
	char text[REPLY_TEXT_MAX + 1];
	size_t n = reply_text_normalise(reply, text);
	struct cause *x = make(0, code, reply_class, enhanced, str_from(text, n));
	struct cause *there = RB_FIND(cause_tree, &c->tree, x);
	if (there == NULL && c->count >= QUEUE_CAUSES_MAX) {
		/* texts that are all different: without them */
		x->text.n = 0;
		there = RB_FIND(cause_tree, &c->tree, x);
	}
	if (there != NULL) {
		free(x);
		*ret_id = there->id;
		return 0;
	}
	x->id = free_id(c);
	int got = insert(w, x, at_ms, err);
	if (got < 0) {
		free(x);
		return got;
	}
	x->fresh = true;
	enter(c, x);
	touch(c, x);
	*ret_id = x->id;
	return 0;
}

int causes_before_commit(struct writer *w, struct err *err)
{
	const struct cause *x;
	TAILQ_FOREACH (x, &w->causes.touched, touched) {
		if (x->refs + x->delta > 0)
			continue;
		db_bind_int(w->st[W_CAUSE_GONE], 1, x->id);
		int got = db_run(w->st[W_CAUSE_GONE], err);
		if (got < 0)
			return got;
	}
	return 0;
}

void causes_committed(struct causes *c)
{
	struct cause *x;
	while ((x = TAILQ_FIRST(&c->touched)) != NULL) {
		TAILQ_REMOVE(&c->touched, x, touched);
		x->is_touched = x->fresh = false;
		x->refs += x->delta;
		x->delta = 0;
		if (x->refs <= 0)
			leave(c, x);
	}
}

void causes_rolled_back(struct causes *c)
{
	struct cause *x;
	while ((x = TAILQ_FIRST(&c->touched)) != NULL) {
		TAILQ_REMOVE(&c->touched, x, touched);
		x->is_touched = false;
		x->delta = 0;
		if (x->fresh)
			leave(c, x);
	}
}
