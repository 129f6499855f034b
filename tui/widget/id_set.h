/*
 * id_set - a set of row ids with a limit, in order.
 */
#ifndef WIDGET_ID_SET_H
#define WIDGET_ID_SET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct id_set;

struct id_set *id_set_new(size_t limit);
void id_set_free(struct id_set **sp);
void id_set_clear(struct id_set *s);
bool id_set_add(struct id_set *s, uint64_t id);	   /* false at the limit */
bool id_set_remove(struct id_set *s, uint64_t id); /* false when it was not there */
bool id_set_has(const struct id_set *s, uint64_t id);
int64_t id_set_count(const struct id_set *s);
/* The i-th in order; false behind the last one. */
bool id_set_get(const struct id_set *s, size_t i, uint64_t *ret_id);

#endif
