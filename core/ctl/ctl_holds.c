/*
 * hold.list: the active holds, each with what it holds now. Groups know that where a hold covers
 * all of a group and every message has one recipient; otherwise the records are counted.
 */
#include <stdlib.h>

#include "base/mem.h"
#include "base/obj.h"
#include "ctl/actions_int.h"
#include "ctl/handlers.h"

struct held {
	uint32_t number;
	uint64_t recipients;
	uint64_t messages;
	struct msgid last;
};

struct tally {
	struct held *v; /* ascending */
	size_t n;
	size_t at; /* where the last record's hold was found */
	uint32_t place;
};

static void tally_free(void *arg)
{
	struct tally *t = arg;
	free(t->v);
	free(t);
}

static struct held *held_find(struct tally *t, uint32_t number)
{
	size_t lo = 0, hi = t->n;
	if (t->at < t->n && t->v[t->at].number == number)
		return &t->v[t->at];
	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;
		if (t->v[mid].number < number)
			lo = mid + 1;
		else
			hi = mid;
	}
	t->at = lo;
	return lo < t->n && t->v[lo].number == number ? &t->v[lo] : NULL;
}

/* Whether a recipient of the same message with a lower number is held by the same hold. */
static bool has_earlier(const struct op *op, const struct sched_view *v)
{
	struct sched_view other;
	for (unsigned n = 1; n < rid_n(v->rid); n++)
		if (sched_find(op->env->sched, rid_of(rid_msgid(v->rid), n), &other) &&
		    other.state == SCHED_HELD && other.hold == v->hold)
			return true;
	return false;
}

static enum slice step_records(void *arg)
{
	struct op *op = arg;
	struct tally *t = op->more;
	for (uint32_t end = t->place + SLICER_ITEMS; t->place < end; t->place++) {
		struct sched_view v;
		struct held *h;
		if (t->place >= sched_places(op->env->sched))
			return SLICE_END;
		if (!sched_at(op->env->sched, t->place, &v) || v.state != SCHED_HELD)
			continue;
		h = held_find(t, v.hold);
		if (h == NULL)
			continue;
		h->recipients++;
		if (!msgid_eq(h->last, rid_msgid(v.rid)) && !has_earlier(op, &v))
			h->messages++;
		h->last = rid_msgid(v.rid);
	}
	return SLICE_MORE;
}

static void on_tallied(void *arg)
{
	struct op *op = OBJ(op, OP_MAGIC, arg);
	const struct tally *t = op->more;
	json_t *rows = json_array();
	for (size_t i = 0; i < t->n; i++) {
		const struct hold *h = holds_find(op->env->holds, t->v[i].number);
		if (h != NULL && h->ended_ms == 0)
			(void)json_array_append_new(
				rows, hold_row(h, t->v[i].recipients, t->v[i].messages));
	}
	op->result = json_pack("{s:o, s:n, s:n, s:I, s:b}", "rows", rows, "next", "prev", "total",
			       (json_int_t)json_array_size(rows), "exact", 1);
	op_answer(op);
}

static enum slice step_groups(void *arg)
{
	struct op *op = arg;
	struct tally *t = op->more;
	for (uint32_t end = t->place + SLICER_ITEMS; t->place < end; t->place++) {
		struct sched_group_view g;
		struct held *h;
		if (t->place >= sched_groups(op->env->sched))
			return SLICE_END;
		if (!sched_group(op->env->sched, t->place, &g) || g.hold == 0)
			continue;
		h = held_find(t, g.hold);
		if (h == NULL)
			continue;
		h->recipients += g.counts.state[SCHED_HELD];
		h->messages = h->recipients;
	}
	return SLICE_MORE;
}

void ctl_hold_list(struct ctl_call *call)
{
	struct ctl_env *env = ctl_env(call);
	struct op *op = op_new(env->actions, call, ctl_method(call));
	struct tally *t = xcalloc(1, sizeof(*t));
	uint64_t messages;
	bool groups_tell = all_single(env, &messages);
	op->more = t;
	op->more_free = tally_free;
	t->v = xcalloc(holds_active(env->holds) + 1, sizeof(*t->v));
	for (size_t i = 0; i < holds_n(env->holds); i++) {
		const struct hold *h = holds_at(env->holds, i);
		if (h->ended_ms != 0)
			continue;
		t->v[t->n++].number = h->number;
		groups_tell = groups_tell && !h->asks;
	}
	slicer_run(&op->slicer, groups_tell || t->n == 0 ? step_groups : step_records, on_tallied);
}
