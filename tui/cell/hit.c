#include "cell/hit.h"

#include <stddef.h>
#include <stdlib.h>

#include "base/mem.h"

struct hit_map {
	int n;
	struct {
		struct rect area;
		struct hit hit;
	} entry[HIT_MAX];
};

struct hit_map *hit_map_new(void)
{
	return xcalloc(1, sizeof(struct hit_map));
}

void hit_map_free(struct hit_map **mp)
{
	if (mp == NULL || *mp == NULL)
		return;
	free(*mp);
	*mp = NULL;
}

void hit_map_clear(struct hit_map *m)
{
	m->n = 0;
}

void hit_map_add(struct hit_map *m, struct rect area, struct hit hit)
{
	if (m->n == HIT_MAX || area.rows <= 0 || area.cols <= 0)
		return;
	m->entry[m->n].area = area;
	m->entry[m->n].hit = hit;
	m->n++;
}

struct hit hit_map_find(const struct hit_map *m, int row, int col)
{
	for (int i = m->n - 1; i >= 0; i--) {
		const struct rect *a = &m->entry[i].area;

		if (row >= a->row && row < a->row + a->rows && col >= a->col &&
		    col < a->col + a->cols)
			return m->entry[i].hit;
	}
	return (struct hit){ .kind = HIT_NONE };
}

struct rect rect_cut(struct rect a, struct rect b)
{
	int row_end = a.row + a.rows < b.row + b.rows ? a.row + a.rows : b.row + b.rows;
	int col_end = a.col + a.cols < b.col + b.cols ? a.col + a.cols : b.col + b.cols;
	struct rect r;

	r.row = a.row > b.row ? a.row : b.row;
	r.col = a.col > b.col ? a.col : b.col;
	r.rows = row_end > r.row ? row_end - r.row : 0;
	r.cols = col_end > r.col ? col_end - r.col : 0;
	return r;
}
