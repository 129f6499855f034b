#include "ctl/reaper.h"

#include <stdlib.h>
#include <sys/queue.h>

#include "base/mem.h"
#include "base/obj.h"
#include "ctl/slicer.h"

#define REAPER_MAGIC 0x57e3c031u
#define MEMBERS 32 /* at a time */
#define LARGER 4096
#define SMALL 256 /* members of what is freed at once */

struct heap {
	STAILQ_ENTRY(heap) link;
	void *thing;
	reap_fn *some;
};

struct reaper {
	uint32_t magic;
	struct slicer slicer;
	bool ends;
	STAILQ_HEAD(, heap) heaps;
};

struct reaper *reaper_new(struct loop *loop)
{
	struct reaper *r = xcalloc(1, sizeof(*r));

	r->magic = REAPER_MAGIC;
	STAILQ_INIT(&r->heaps);
	slicer_init(&r->slicer, loop, "ctl.reaper", r);
	return r;
}

/* The C library joins small pieces that were freed when somebody wants a larger one: all of them,
 * which may be very many. So somebody does after each step. */
static void join_pieces(void)
{
	free(xmalloc(LARGER));
}

/* Some of the first one. False: nothing is left. */
static bool work(struct reaper *r)
{
	struct heap *h = STAILQ_FIRST(&r->heaps);

	if (h != NULL && !h->some(h->thing)) {
		STAILQ_REMOVE_HEAD(&r->heaps, link);
		free(h);
	}
	join_pieces();
	return !STAILQ_EMPTY(&r->heaps);
}

void reaper_free(struct reaper **rp)
{
	struct reaper *r = *rp;

	if (r == NULL)
		return;
	slicer_done(&r->slicer);
	r->ends = true;
	while (work(r))
		;
	*rp = NULL; /* what went may have given it more */
	r->magic = 0;
	free(r);
}

static enum slice step(void *arg)
{
	return work(OBJ(reaper, REAPER_MAGIC, arg)) ? SLICE_MORE : SLICE_END;
}

static void on_end(void *arg)
{
	(void)arg;
}

void reap(struct reaper *r, void *thing, reap_fn *some)
{
	struct heap *h = xcalloc(1, sizeof(*h));

	*h = (struct heap){ .thing = thing, .some = some };
	STAILQ_INSERT_TAIL(&r->heaps, h, link);
	if (!r->ends && !slicer_busy(&r->slicer))
		slicer_run(&r->slicer, step, on_end);
}

static size_t size_of(const json_t *v)
{
	return json_is_array(v) ? json_array_size(v) : json_object_size(v);
}

static bool members(void *thing)
{
	json_t *v = thing;

	for (int k = 0; k < MEMBERS && size_of(v) > 0; k++) {
		if (json_is_array(v))
			(void)json_array_remove(v, json_array_size(v) - 1);
		else
			(void)json_object_del(v, json_object_iter_key(json_object_iter(v)));
	}
	if (size_of(v) > 0)
		return true;
	json_decref(v);
	return false;
}

void reap_json(struct reaper *r, json_t *v)
{
	if (v == NULL || v->refcount > 1 || size_of(v) <= SMALL)
		json_decref(v);
	else
		reap(r, v, members);
}
