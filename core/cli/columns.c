#include "cli/columns.h"

#include <bsd/string.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/fmt.h"
#include "base/mem.h"

#define GAP 2	     /* between columns */
#define LONG_COLS 40 /* text of this width and more is useful in less, too */
#define LONG_MIN_COLS 20
#define TEXT_MIN 8    /* text columns are not made narrower */
#define TEXT_KEPT 14  /* nor than that while there are columns to leave out */
#define KEPT 2	      /* priorities up to this are made narrow before they are left out */
#define TITLE_COLS 12 /* of columns_put_fields(), at least */
#define LONG_MS 10000

struct column {
	const struct field_def *f;
	const char *name;
	int need; /* the widest value, or the title */
	int width;
	bool filled; /* some row has a value */
};

struct columns {
	const struct out *out;
	const struct field_def *left_out[COLUMNS_MAX]; /* for want of room */
	size_t left_out_n;
	size_t n;
	struct column all[COLUMNS_MAX];
};

/* --- values ----------------------------------------------------------------------------------- */

struct str columns_time(const char *rfc3339, char scratch[static COLUMNS_SCRATCH])
{
	char utc[FMT_TIME_LEN];
	int64_t ms;

	if (!fmt_parse_time(str_of(rfc3339), &ms))
		return STR("-");
	fmt_time(ms, utc);
	(void)snprintf(scratch, COLUMNS_SCRATCH, "%.10s %.8sZ", utc, utc + 11);
	return str_of(scratch);
}

static struct str number(const struct out *o, const struct field_def *f, int64_t n,
			 char scratch[static COLUMNS_SCRATCH])
{
	char text[FMT_TIME_LEN];

	if (f->kind == FK_INT && n == 0 && strstr(f->name, "code") != NULL)
		return STR("-"); /* no reply */
	if (f->kind == FK_COUNT && o->tty && n >= 0)
		fmt_count((uint64_t)n, text);
	else if (f->kind == FK_SIZE)
		fmt_size(n > 0 ? (uint64_t)n : 0, text);
	else if (f->kind == FK_AGE)
		fmt_age(n, text);
	else if (f->kind == FK_MS && n >= LONG_MS)
		(void)snprintf(text, sizeof(text), "%.1fs", (double)n / 1000);
	else
		(void)snprintf(text, sizeof(text), "%lld%s", (long long)n,
			       f->kind == FK_MS ? "ms" : "");
	(void)strlcpy(scratch, text, COLUMNS_SCRATCH);
	return str_of(scratch);
}

struct str columns_value(const struct out *o, const struct field_def *f, const json_t *v,
			 char scratch[static COLUMNS_SCRATCH])
{
	if (v == NULL || json_is_null(v))
		return STR("-");
	if (json_is_boolean(v))
		return json_is_true(v) ? STR("yes") : STR("no");
	if (json_is_integer(v))
		return number(o, f, json_integer_value(v), scratch);
	if (json_is_real(v)) {
		(void)snprintf(scratch, COLUMNS_SCRATCH, "%.1f", json_real_value(v));
		return str_of(scratch);
	}
	if (!json_is_string(v))
		return STR("-");
	if (f->kind == FK_TIME)
		return columns_time(json_string_value(v), scratch);
	if (json_string_length(v) == 0)
		return strcmp(f->name, "from") == 0 ? STR("<>") : STR("-");
	return str_from(json_string_value(v), json_string_length(v));
}

static bool is_right(const struct field_def *f)
{
	switch (f->kind) {
	case FK_INT:
	case FK_COUNT:
	case FK_SIZE:
	case FK_AGE:
	case FK_MS:
		return true;
	case FK_TEXT:
	case FK_TIME:
	case FK_BOOL:
	case FK_OBJECT:
		break;
	}
	return false;
}

/* --- layout ----------------------------------------------------------------------------------- */

static bool is_skipped(const char *skip, const char *name)
{
	AUTO_FREE char *word = xasprintf(" %s ", name);

	return skip != NULL && strstr(skip, word) != NULL;
}

static void choose(struct columns *c, const struct columns_options *o)
{
	for (size_t i = 0; i < field_defs_n && c->n < COLUMNS_MAX; i++) {
		const struct field_def *f = &field_defs[i];
		bool first = c->n == 0;

		if (strcmp(f->entity, o->entity) != 0 || f->kind == FK_OBJECT ||
		    (f->flags & FF_HIDE) != 0 || ((f->flags & FF_WIDE) != 0 && !o->wide) ||
		    is_skipped(o->skip, f->name))
			continue;
		c->all[c->n++] =
			(struct column){ .f = f,
					 .name = first && o->key != NULL ? o->key : f->name };
	}
}

static const char *title_of(const struct columns *c, const struct column *col)
{
	return col == &c->all[0] && strcmp(col->name, col->f->name) != 0 ? col->name
									 : col->f->title;
}

static void measure(struct columns *c, const json_t *rows)
{
	char scratch[COLUMNS_SCRATCH];
	const json_t *row;
	size_t r;

	for (size_t i = 0; i < c->n; i++)
		c->all[i].need = (int)strlen(title_of(c, &c->all[i]));
	json_array_foreach(rows, r, row)
	{
		for (size_t i = 0; i < c->n; i++) {
			struct column *col = &c->all[i];
			struct str text = columns_value(c->out, col->f,
							json_object_get(row, col->name), scratch);
			int cols = out_cols(c->out, text);

			col->filled = col->filled || !str_eq(text, STR("-"));
			col->need = cols > col->need ? cols : col->need;
		}
	}
}

static void drop(struct columns *c, size_t i)
{
	memmove(&c->all[i], &c->all[i + 1], (c->n - i - 1) * sizeof(c->all[0]));
	c->n--;
}

static int total(const struct columns *c)
{
	int sum = 0;

	for (size_t i = 0; i < c->n; i++)
		sum += c->all[i].width + (i > 0 ? GAP : 0);
	return sum;
}

/* The last of those that are the first to go; the first column always stays. */
static size_t least(const struct columns *c)
{
	size_t at = 0;

	for (size_t i = 1; i < c->n; i++)
		if (c->all[i].f->priority > 1 &&
		    (at == 0 || c->all[i].f->priority >= c->all[at].f->priority))
			at = i;
	return at;
}

static void leave_out(struct columns *c, size_t i)
{
	c->left_out[c->left_out_n++] = c->all[i].f;
	drop(c, i);
}

static void shrink(struct columns *c, int room, int least_cols)
{
	while (total(c) > room) {
		struct column *widest = NULL;

		for (size_t i = 0; i < c->n; i++)
			if (c->all[i].f->kind == FK_TEXT && c->all[i].width > least_cols &&
			    (widest == NULL || c->all[i].width > widest->width))
				widest = &c->all[i];
		if (widest == NULL)
			return; /* the terminal wraps */
		widest->width--;
	}
}

static void fit(struct columns *c, int room)
{
	size_t at;
	bool grown = true;

	for (size_t i = 0; i < c->n; i++) {
		struct column *col = &c->all[i];
		int title = (int)strlen(title_of(c, col));
		int wanted = col->f->width >= LONG_COLS ? LONG_MIN_COLS : col->f->width;

		wanted = wanted > title ? wanted : title;
		/* numbers and times are useless when cut */
		col->width = col->f->kind == FK_TEXT && col->need > wanted ? wanted : col->need;
	}
	while (total(c) > room && (at = least(c)) > 0 && c->all[at].f->priority > KEPT)
		leave_out(c, at);
	shrink(c, room, TEXT_KEPT); /* what matters is rather shown cut than not at all */
	while (total(c) > room && (at = least(c)) > 0)
		leave_out(c, at);
	shrink(c, room, TEXT_MIN);
	while (grown && total(c) < room) {
		grown = false;
		for (size_t i = 0; i < c->n && total(c) < room; i++)
			if (c->all[i].width < c->all[i].need) {
				c->all[i].width++;
				grown = true;
			}
	}
}

struct columns *columns_new(const struct columns_options *o, const json_t *rows)
{
	struct columns *c = xcalloc(1, sizeof(*c));

	c->out = o->out;
	choose(c, o);
	measure(c, rows);
	for (size_t i = 0; o->steady && i < c->n; i++)
		if (c->all[i].need < c->all[i].f->width)
			c->all[i].need = c->all[i].f->width;
	for (size_t i = c->n; i-- > 1 && !o->steady;)
		if (!c->all[i].filled && (c->all[i].f->priority > 1 || !o->wide))
			drop(c, i);
	for (size_t i = 0; i < c->n; i++)
		c->all[i].width = c->all[i].need;
	if (o->out->width > 0 && !o->wide)
		fit(c, o->out->width);
	return c;
}

void columns_free(struct columns **cp)
{
	free(*cp);
	*cp = NULL;
}

/* --- lines ------------------------------------------------------------------------------------ */

static void put_cell(const struct columns *c, struct buf *b, size_t i, struct str text,
		     enum out_style style)
{
	const struct column *col = &c->all[i];
	bool last = i + 1 == c->n;
	int cols = out_cols(c->out, text);
	/* Later pages may be wider than the first, which was measured. */
	bool cut = c->out->width > 0 && cols > col->width && !is_right(col->f);
	int pad = col->width - (cut ? col->width : cols);

	if (i > 0)
		(void)buf_printf(b, "%*s", GAP, "");
	if (is_right(col->f) && pad > 0)
		(void)buf_printf(b, "%*s", pad, "");
	out_style(c->out, b, style, true);
	if (cut)
		pad = col->width - out_fit(c->out, b, text, col->width);
	else
		out_clean(c->out, b, text);
	out_style(c->out, b, style, false);
	if (!is_right(col->f) && pad > 0 && !last)
		(void)buf_printf(b, "%*s", pad, "");
}

void columns_put_head(const struct columns *c, struct buf *b)
{
	for (size_t i = 0; i < c->n; i++) {
		char upper[48];
		size_t n = strlcpy(upper, title_of(c, &c->all[i]), sizeof(upper));

		for (size_t k = 0; k < n && k < sizeof(upper); k++)
			if (upper[k] >= 'a' && upper[k] <= 'z')
				upper[k] = (char)(upper[k] - 'a' + 'A');
		put_cell(c, b, i, str_of(upper), OUT_HEAD);
	}
	(void)buf_putc(b, '\n');
}

void columns_put_row(const struct columns *c, struct buf *b, const json_t *row)
{
	char scratch[COLUMNS_SCRATCH];

	for (size_t i = 0; i < c->n; i++) {
		const struct column *col = &c->all[i];
		const json_t *v = json_object_get(row, col->name);
		const char *word = json_string_value(v);

		put_cell(c, b, i, columns_value(c->out, col->f, v, scratch),
			 word != NULL ? out_state_style(word) : OUT_PLAIN);
	}
	(void)buf_putc(b, '\n');
}

static bool is_put(const struct field_def *f, const char *entity, const char *skip,
		   const json_t *row)
{
	const json_t *v = json_object_get(row, f->name);

	return strcmp(f->entity, entity) == 0 && f->kind != FK_OBJECT && v != NULL &&
	       (!json_is_null(v) || f->priority <= 1) && !is_skipped(skip, f->name);
}

void columns_put_fields(const struct out *o, struct buf *b, const char *entity, const char *skip,
			const json_t *row)
{
	char scratch[COLUMNS_SCRATCH];
	int cols = TITLE_COLS;

	for (size_t i = 0; i < field_defs_n; i++)
		if (is_put(&field_defs[i], entity, skip, row) &&
		    (int)strlen(field_defs[i].title) >= cols)
			cols = (int)strlen(field_defs[i].title) + 1;

	for (size_t i = 0; i < field_defs_n; i++) {
		const struct field_def *f = &field_defs[i];
		const json_t *v = json_object_get(row, f->name);
		struct str text;

		if (!is_put(f, entity, skip, row))
			continue;
		text = columns_value(o, f, v, scratch);
		out_style(o, b, OUT_DIM, true);
		(void)buf_printf(b, "%-*s", cols, f->title);
		out_style(o, b, OUT_DIM, false);
		if (o->width > 0 && out_cols(o, text) > o->width - cols) {
			out_wrap_at(o, b, cols, text, cols);
			continue;
		}
		out_clean(o, b, text);
		(void)buf_putc(b, '\n');
	}
}

bool columns_put_left_out(const struct columns *c, struct buf *b)
{
	AUTO_BUF text = BUF_INIT(OUT_MAX);

	if (c == NULL || c->left_out_n == 0)
		return false;
	(void)buf_puts(&text, "no room for ");
	for (size_t i = c->left_out_n; i-- > 0;)
		(void)buf_printf(&text, "%s%s", c->left_out[i]->title, i > 0 ? ", " : "");
	(void)buf_puts(&text, "; --wide shows all");
	out_style(c->out, b, OUT_DIM, true);
	out_wrap(c->out, b, buf_str(&text), 0);
	out_style(c->out, b, OUT_DIM, false);
	return true;
}
