/*
 * The gate between bytes and the terminal: whatever comes, cells hold only what may be shown, and
 * wide characters stay whole. The first four bytes choose place and size.
 */
#include <stdint.h>
#include <string.h>

#include "base/obj.h"
#include "cell/canvas.h"
#include "lib/screen.h"
#include "theme/theme.h"

#define ROWS 3
#define COLS 23

static void check(const struct grid *g)
{
	for (int row = 0; row < ROWS; row++) {
		for (int col = 0; col < COLS; col++) {
			const struct cell *c = grid_at(g, row, col);

			if (c->flags & CELL_TAIL) {
				ASSERT(col > 0 && grid_at(g, row, col - 1)->width == 2);
				continue;
			}
			ASSERT(cell_width(c->cp[0]) == c->width);
			ASSERT(c->width == 1 || (grid_at(g, row, col + 1)->flags & CELL_TAIL));
			for (int i = 1; i < CELL_CPS && c->cp[i] != 0; i++)
				ASSERT(cell_width(c->cp[i]) == 0);
		}
	}
}

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	(void)argc;
	(void)argv;
	screen_locale();
	return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct grid *g = grid_new(ROWS, COLS);
	struct canvas all = canvas_of(g, NULL, size > 0 && (data[0] & 1));
	struct canvas c;
	struct str text;

	if (size < 4) {
		grid_free(&g);
		return 0;
	}
	c = canvas_sub(&all, data[0] % 4 - 1, data[1] % 30 - 3, data[2] % 5, data[3] % 30);
	text = str_from((const char *)data + 4, size - 4);
	canvas_puts(&c, 0, data[3] % 7 - 3, ROLE_TEXT, text);
	canvas_field(&c, 1, data[2] % 5 - 2, data[1] % 25, ALIGN_RIGHT, ROLE_TEXT, text);
	canvas_field_from(&all, 2, 0, data[0] % 25, data[1] % 9, ROLE_TEXT, text);
	check(g);
	grid_free(&g);
	return 0;
}
