/*
 * The stack of windows on top of the view, and where on the screen they are. What is in them:
 * windows.c. A callback may open or close anything: overlay_close() only takes the window off the
 * stack, its memory goes after the event.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/obj.h"
#include "shell/shell_int.h"

#define FRAME_ROWS 2 /* a line above and one below */
#define FRAME_COLS 4 /* a line and a blank on each side */

/* --- the stack --- */

struct overlay *overlay_push(struct shell *s, const struct overlay_ops *ops, struct view *owner,
			     const char *title, void *state)
{
	struct overlay *o = xcalloc(1, sizeof(*o));

	if (s->n_overlays == SHELL_MAX_OVERLAYS) {
		shell_notice(s, NOTICE_WARN, "too many windows are open");
		overlay_close(s->overlay[0]);
	}
	o->ops = ops;
	o->shell = s;
	o->owner = owner;
	o->id = ++s->next_id;
	o->open = true;
	o->state = state;
	snprintf(o->title, sizeof(o->title), "%s", title != NULL ? title : "");
	s->overlay[s->n_overlays++] = o;
	shell_dirty(s, SHELL_REPAINT);
	return o;
}

void overlay_close(struct overlay *o)
{
	struct shell *s = o->shell;
	int kept = 0;

	if (!o->open)
		return;
	o->open = false;
	for (int i = 0; i < s->n_overlays; i++)
		if (s->overlay[i] != o)
			s->overlay[kept++] = s->overlay[i];
	s->n_overlays = kept;
	o->next_dead = s->dead_overlays;
	s->dead_overlays = o;
	shell_dirty(s, SHELL_REPAINT);
}

struct overlay *overlay_top(const struct shell *s)
{
	return s->n_overlays > 0 ? s->overlay[s->n_overlays - 1] : NULL;
}

void overlays_close_of(struct shell *s, const struct view *owner)
{
	for (int i = s->n_overlays - 1; i >= 0; i--)
		if (s->overlay[i]->owner == owner)
			overlay_close(s->overlay[i]);
}

struct overlay *overlay_find(const struct shell *s, struct overlay_id id,
			     const struct overlay_ops *ops)
{
	for (int i = 0; i < s->n_overlays; i++)
		if (s->overlay[i]->id == id.v && (ops == NULL || s->overlay[i]->ops == ops))
			return s->overlay[i];
	return NULL;
}

bool shell_overlay_open(const struct shell *s, struct overlay_id id)
{
	return overlay_find(s, id, NULL) != NULL;
}

void shell_overlay_done(struct shell *s, struct overlay_id id)
{
	struct overlay *o = overlay_find(s, id, NULL);

	if (o != NULL)
		overlay_close(o);
}

void shell_overlay_error(struct shell *s, struct overlay_id id, const struct err *err)
{
	struct overlay *o = overlay_find(s, id, NULL);

	if (o == NULL || o->ops->error == NULL)
		shell_notice_err(s, "refused", err);
	else
		o->ops->error(o, err);
	shell_dirty(s, SHELL_REPAINT);
}

static int at_most(int v, int max)
{
	return v < max ? v : max;
}

static struct canvas place_bottom(struct overlay *o, const struct canvas *c)
{
	int rows = canvas_rows(c) / 2;
	int cols = canvas_cols(c);
	struct canvas at;

	o->ops->size(o, &rows, &cols);
	rows = at_most(rows, canvas_rows(c) / 2);
	/* Above the hint line, which says what its keys are. */
	at = canvas_sub(c, canvas_rows(c) - rows - 2, 0, rows + 1, canvas_cols(c));
	at.under = ROLE_DIALOG;
	canvas_clear(&at, ROLE_TEXT);
	canvas_hline(&at, 0, 0, canvas_cols(&at),
		     o->danger ? ROLE_DANGER_FRAME : ROLE_DIALOG_FRAME);
	return canvas_sub(&at, 1, 1, rows, canvas_cols(&at) - 2);
}

static struct canvas place_middle(struct overlay *o, const struct canvas *c)
{
	int max_rows = canvas_rows(c) - 2 - FRAME_ROWS;
	int max_cols = canvas_cols(c) - 2 - FRAME_COLS;
	int rows = max_rows;
	int cols = max_cols;
	int title = text_width(str_of(o->title)) + 4;
	struct canvas at;

	o->ops->size(o, &rows, &cols);
	rows = at_most(rows, max_rows);
	cols = at_most(cols > title ? cols : title, max_cols);
	at = canvas_sub(c, (canvas_rows(c) - rows - FRAME_ROWS) / 2,
			(canvas_cols(c) - cols - FRAME_COLS) / 2, rows + FRAME_ROWS,
			cols + FRAME_COLS);
	at.under = ROLE_DIALOG;
	canvas_clear(&at, ROLE_TEXT);
	canvas_box(&at, o->danger ? ROLE_DANGER_FRAME : ROLE_DIALOG_FRAME, str_of(o->title));
	canvas_hit(&at, 0, 0, canvas_rows(&at), canvas_cols(&at), (struct hit){ HIT_BODY, o, 0 });
	return canvas_sub(&at, 1, 2, rows, cols);
}

void overlays_draw(struct shell *s, const struct canvas *c)
{
	for (int i = 0; i < s->n_overlays; i++) {
		struct overlay *o = s->overlay[i];
		struct canvas at;

		grid_cursor_set(s->grid, -1, 0);
		at = o->ops->bottom ? place_bottom(o, c) : place_middle(o, c);
		o->ops->draw(o, &at);
		o->shown = true;
	}
}
