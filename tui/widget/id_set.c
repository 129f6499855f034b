/*
 * A sorted array: a few thousand ids at most, looked up for every row of every frame, changed by
 * hand.
 */
#include "widget/id_set.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

struct id_set {
	size_t limit;
	size_t n;
	size_t cap;
	uint64_t *ids;
};

struct id_set *id_set_new(size_t limit)
{
	struct id_set *s = xcalloc(1, sizeof(*s));

	s->limit = limit;
	return s;
}

void id_set_free(struct id_set **sp)
{
	if (sp == NULL || *sp == NULL)
		return;
	free((*sp)->ids);
	free(*sp);
	*sp = NULL;
}

void id_set_clear(struct id_set *s)
{
	s->n = 0;
}

/* Where id is, or where it would have to be. */
static size_t place_of(const struct id_set *s, uint64_t id)
{
	size_t low = 0;
	size_t high = s->n;

	while (low < high) {
		size_t mid = low + (high - low) / 2;

		if (s->ids[mid] < id)
			low = mid + 1;
		else
			high = mid;
	}
	return low;
}

bool id_set_has(const struct id_set *s, uint64_t id)
{
	size_t at = place_of(s, id);

	return at < s->n && s->ids[at] == id;
}

bool id_set_add(struct id_set *s, uint64_t id)
{
	size_t at = place_of(s, id);

	if (at < s->n && s->ids[at] == id)
		return true;
	if (s->n == s->limit)
		return false;
	if (s->n == s->cap) {
		s->cap = s->cap > 0 ? 2 * s->cap : 16;
		s->ids = xreallocarray(s->ids, s->cap, sizeof(*s->ids));
	}
	memmove(s->ids + at + 1, s->ids + at, (s->n - at) * sizeof(*s->ids));
	s->ids[at] = id;
	s->n++;
	return true;
}

bool id_set_remove(struct id_set *s, uint64_t id)
{
	size_t at = place_of(s, id);

	if (at == s->n || s->ids[at] != id)
		return false;
	memmove(s->ids + at, s->ids + at + 1, (s->n - at - 1) * sizeof(*s->ids));
	s->n--;
	return true;
}

int64_t id_set_count(const struct id_set *s)
{
	return (int64_t)s->n;
}

bool id_set_get(const struct id_set *s, size_t i, uint64_t *ret_id)
{
	if (i >= s->n)
		return false;
	*ret_id = s->ids[i];
	return true;
}
