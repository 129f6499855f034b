/*
 * hit - what lies under the mouse: rectangles recorded while drawing, looked up on a click.
 *
 * Model: the last rectangle recorded wins, as the last thing drawn covers what is below it. The map
 * is emptied at the start of each frame.
 *
 * Owner: the frame. `owner` is only compared, never followed, so a widget that is gone does no
 * harm.
 *
 * Limits: HIT_MAX rectangles a frame; further ones are not recorded and cannot be clicked.
 */
#ifndef CELL_HIT_H
#define CELL_HIT_H

#include <stdint.h>

#define HIT_MAX 2048

struct rect {
	int row, col, rows, cols;
};

enum hit_kind {
	HIT_NONE,
	HIT_ACTION, /* id: enum action_id; a click runs it */
	HIT_VIEW,   /* id: slot of a view; a click opens it */
	HIT_ROW,    /* id: row id of a table or list */
	HIT_COLUMN, /* id: column index of a table; a click sorts */
	HIT_ITEM,   /* id: the owner's own number: tab, button, field, menu item */
	HIT_BODY,   /* the owner's background; the wheel acts on it */
	HIT__COUNT
};

struct hit {
	enum hit_kind kind;
	const void *owner;
	uint64_t id;
};

struct hit_map;

struct hit_map *hit_map_new(void);
void hit_map_free(struct hit_map **mp);
void hit_map_clear(struct hit_map *m);
void hit_map_add(struct hit_map *m, struct rect area, struct hit hit);
/* What is at that place; HIT_NONE when nothing is. */
struct hit hit_map_find(const struct hit_map *m, int row, int col);

struct rect rect_cut(struct rect a,
		     struct rect b); /* what both share; rows or cols 0 when nothing */

#endif
