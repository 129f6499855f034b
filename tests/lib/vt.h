/*
 * vt - a terminal for tests: a pty with libvterm on its master side.
 *
 * Model: a reader thread feeds what is written to the slave into libvterm. vt_sync() writes a
 * window title with a number to the slave and waits until the reader saw it: then everything
 * written before is on the screen. No test sleeps. vt_free() stops the thread.
 */
#ifndef LIB_VT_H
#define LIB_VT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct vt;

struct vt_cell {
	uint32_t cp[6];
	int width;
	bool bold, underline, reverse;
	bool fg_default, bg_default;
	bool fg_indexed, bg_indexed;
	int fg, bg; /* index, or rrggbb */
};

struct vt *vt_new(int rows, int cols);
void vt_free(struct vt **vp);
int vt_slave(const struct vt *v);
void vt_hangup(
	struct vt *v); /* the terminal's window is closed; nothing but vt_free() after that */
void vt_resize(struct vt *v, int rows, int cols); /* tells the kernel, not the process */
void vt_type(struct vt *v, const char *bytes);
void vt_sync(struct vt *v);
char *vt_row(struct vt *v, int row); /* without trailing blanks; returns owned */
struct vt_cell vt_cell(struct vt *v, int row, int col);
/* Bytes the process wrote since vt_mark(), and whether a string is among them. */
void vt_mark(struct vt *v);
size_t vt_written(struct vt *v);
bool vt_wrote(struct vt *v, const char *bytes);

#endif
