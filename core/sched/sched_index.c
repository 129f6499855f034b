/*
 * Finding records: by rid in a hash with linear probing, by due time in a binary heap; both have
 * places.
 */
#include "sched/sched_int.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/obj.h"

/* --- the hash of rids ------------------------------------------------------------------------- */

static uint32_t hash_slot(const struct sched *s, uint64_t rid)
{
	uint64_t h = rid * UINT64_C(0x9e3779b97f4a7c15);
	return (uint32_t)(h >> 32) & (s->hash_size - 1);
}

void sched_hash_put(struct sched *s, uint32_t i)
{
	uint32_t slot = hash_slot(s, sched_rec(s, i)->rid);
	while (s->hash[slot] != SCHED_NONE)
		slot = (slot + 1) & (s->hash_size - 1);
	s->hash[slot] = i;
}

void sched_hash_grow(struct sched *s)
{
	s->hash_size = s->hash_size == 0 ? 1024 : s->hash_size * 2;
	free(s->hash);
	s->hash = xreallocarray(NULL, s->hash_size, sizeof(*s->hash));
	memset(s->hash, 0xff, (size_t)s->hash_size * sizeof(*s->hash));
	for (uint32_t i = 0; i < s->places; i++)
		if (sched_rec(s, i)->place != P_FREE)
			sched_hash_put(s, i);
}

static uint32_t hash_find(const struct sched *s, uint64_t rid)
{
	if (s->hash_size == 0)
		return SCHED_NONE;
	for (uint32_t slot = hash_slot(s, rid);; slot = (slot + 1) & (s->hash_size - 1)) {
		uint32_t i = s->hash[slot];
		if (i == SCHED_NONE)
			return SCHED_NONE;
		if (sched_rec(s, i)->rid == rid)
			return slot;
	}
}

/* Linear probing without tombstones: what stands behind the hole moves up when it may. */
void sched_hash_drop(struct sched *s, uint64_t rid)
{
	uint32_t hole = hash_find(s, rid);
	ASSERT(hole != SCHED_NONE);
	uint32_t mask = s->hash_size - 1;
	for (uint32_t at = (hole + 1) & mask; s->hash[at] != SCHED_NONE; at = (at + 1) & mask) {
		uint32_t home = hash_slot(s, sched_rec(s, s->hash[at])->rid);
		if (((at - home) & mask) >= ((at - hole) & mask)) {
			s->hash[hole] = s->hash[at];
			hole = at;
		}
	}
	s->hash[hole] = SCHED_NONE;
}

uint32_t sched_lookup(const struct sched *s, struct rid rid)
{
	uint32_t slot = hash_find(s, rid.v);
	return slot == SCHED_NONE ? SCHED_NONE : s->hash[slot];
}

/* --- the heap of due times -------------------------------------------------------------------- */

static void heap_set(struct sched *s, uint32_t at, uint32_t i)
{
	s->heap[at] = i;
	sched_rec(s, i)->a = at;
}

static void heap_up(struct sched *s, uint32_t at, uint32_t i)
{
	int64_t due = sched_rec(s, i)->next_ms;
	while (at > 0) {
		uint32_t parent = (at - 1) / 2;
		if (sched_rec(s, s->heap[parent])->next_ms <= due)
			break;
		heap_set(s, at, s->heap[parent]);
		at = parent;
	}
	heap_set(s, at, i);
}

static void heap_down(struct sched *s, uint32_t at, uint32_t i)
{
	int64_t due = sched_rec(s, i)->next_ms;
	for (;;) {
		uint32_t child = at * 2 + 1;
		if (child >= s->heap_n)
			break;
		if (child + 1 < s->heap_n && sched_rec(s, s->heap[child + 1])->next_ms <
						     sched_rec(s, s->heap[child])->next_ms)
			child++;
		if (sched_rec(s, s->heap[child])->next_ms >= due)
			break;
		heap_set(s, at, s->heap[child]);
		at = child;
	}
	heap_set(s, at, i);
}

void sched_heap_add(struct sched *s, uint32_t i)
{
	if (s->heap_n == s->heap_cap) {
		s->heap_cap = s->heap_cap == 0 ? 256 : s->heap_cap * 2;
		s->heap = xreallocarray(s->heap, s->heap_cap, sizeof(*s->heap));
	}
	heap_up(s, s->heap_n++, i);
}

void sched_heap_drop(struct sched *s, uint32_t i)
{
	uint32_t at = sched_rec(s, i)->a;
	uint32_t last = s->heap[--s->heap_n];
	if (last == i)
		return;
	if (at > 0 && sched_rec(s, s->heap[(at - 1) / 2])->next_ms > sched_rec(s, last)->next_ms)
		heap_up(s, at, last);
	else
		heap_down(s, at, last);
}

uint32_t sched_due(const struct sched *s)
{
	return s->heap_n > 0 ? s->heap[0] : SCHED_NONE;
}
