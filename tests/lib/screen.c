#include "lib/screen.h"

#include <locale.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "base/buf.h"
#include "base/obj.h"
#include "base/utf8.h"
#include "theme/theme.h"

#define DUMP_MAX (1u << 20)
#define PATH_LEN 256

static const char letters[] = ".abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789";

void screen_locale(void)
{
	if (setlocale(LC_CTYPE, "C.UTF-8") == NULL)
		BUG("the C.UTF-8 locale is missing");
}

static void put_cell(struct buf *b, const struct cell *c)
{
	for (int i = 0; i < CELL_CPS && c->cp[i] != 0; i++) {
		char utf8[4];

		(void)buf_put(b, utf8, utf8_encode(c->cp[i], utf8));
	}
}

static void trim(struct buf *b, size_t from)
{
	while (b->n > from && b->p[b->n - 1] == ' ')
		b->n--;
	b->p[b->n] = '\0';
}

static void put_text_row(struct buf *b, const struct grid *g, int row)
{
	size_t from = b->n;

	(void)buf_puts(b, "");
	for (int col = 0; col < grid_cols(g); col++)
		put_cell(b, grid_at(g, row, col));
	if (b->n > from)
		trim(b, from);
	(void)buf_putc(b, '\n');
}

char *screen_text(const struct grid *g)
{
	struct buf b = BUF_INIT(DUMP_MAX);

	for (int row = 0; row < grid_rows(g); row++)
		put_text_row(&b, g, row);
	return buf_take(&b);
}

int screen_row_of(const struct grid *g, const char *text)
{
	for (int row = 0; row < grid_rows(g); row++) {
		AUTO_BUF b = BUF_INIT(DUMP_MAX);

		put_text_row(&b, g, row);
		if (strstr(buf_cstr(&b), text) != NULL)
			return row;
	}
	return -1;
}

bool screen_has(const struct grid *g, const char *text)
{
	return screen_row_of(g, text) >= 0;
}

static void put_role_row(struct buf *b, const struct grid *g, int row, bool *used)
{
	for (int col = 0; col < grid_cols(g); col++) {
		unsigned role = grid_at(g, row, col)->role;

		used[role] = true;
		(void)buf_putc(b, letters[role]);
	}
	(void)buf_putc(b, '\n');
}

static void put_under(struct buf *b, const struct grid *g, int row)
{
	int from = 0;

	for (int col = 1; col <= grid_cols(g); col++) {
		unsigned under = grid_at(g, row, from)->under;

		if (col < grid_cols(g) && grid_at(g, row, col)->under == under)
			continue;
		if (under != 0)
			(void)buf_printf(b, "row %d, columns %d to %d lie on %s\n", row, from,
					 col - 1, theme_role_name((enum role)under));
		from = col;
	}
}

static char *dump(const struct grid *g)
{
	struct buf b = BUF_INIT(DUMP_MAX);
	bool used[ROLE__COUNT] = { false };
	int row, col;

	for (int r = 0; r < grid_rows(g); r++)
		put_text_row(&b, g, r);
	(void)buf_puts(&b, "--- roles\n");
	for (int r = 0; r < grid_rows(g); r++)
		put_role_row(&b, g, r, used);
	for (int i = 1; i < ROLE__COUNT; i++)
		if (used[i])
			(void)buf_printf(&b, "%c %s\n", letters[i], theme_role_name((enum role)i));
	for (int r = 0; r < grid_rows(g); r++)
		put_under(&b, g, r);
	if (grid_cursor(g, &row, &col))
		(void)buf_printf(&b, "text cursor at %d, %d\n", row, col);
	return buf_take(&b);
}

static void read_file(const char *path, struct buf *b)
{
	FILE *f = fopen(path, "r");
	size_t n;

	while (f != NULL && buf_reserve(b, 4096) && (n = fread(b->p + b->n, 1, 4096, f)) > 0)
		b->n += n;
	if (f != NULL)
		fclose(f);
	(void)buf_puts(b, "");
}

void screen_golden(const struct grid *g, const char *name)
{
	char *now = dump(g);
	char path[PATH_LEN];
	AUTO_BUF golden = BUF_INIT(DUMP_MAX);

	_Static_assert(ROLE__COUNT < sizeof(letters), "a letter for each role");
	snprintf(path, sizeof(path), "tests/view/golden/%s.txt", name);
	if (getenv("GOLDEN") != NULL) {
		FILE *f = fopen(path, "w");

		assert_non_null(f);
		fputs(now, f);
		fclose(f);
	}
	read_file(path, &golden);
	if (!str_eq(buf_str(&golden), str_of(now)))
		print_error("%s differs; it is now:\n%s", path, now);
	assert_true(str_eq(buf_str(&golden), str_of(now)));
	free(now);
}
