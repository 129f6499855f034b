/* cells - one function a kind of field; roles follow from the field's name where it means a state.
 */
#include "view/cells.h"

#include <stdio.h>
#include <string.h>

#include "base/fmt.h"
#include "base/mem.h"
#include "filter/filter_complete.h"
#include "filter/target.h"
#include "model/rpc.h"

#define DAY_MS (24 * INT64_C(3600000))

static const struct {
	const char *word;
	enum role role;
} state_roles[] = {
	{ "ready", ROLE_TEXT },	       { "active", ROLE_ACTIVE }, { "deferred", ROLE_WARN },
	{ "held", ROLE_HELD },	       { "trash", ROLE_DIM },	  { "delivered", ROLE_GOOD },
	{ "failed", ROLE_BAD },	       { "expired", ROLE_BAD },	  { "deleted", ROLE_BAD },
	{ "received", ROLE_INFO },     { "undoable", ROLE_INFO }, { "undone", ROLE_DIM },
	{ "hard", ROLE_BAD },	       { "soft", ROLE_WARN },	  { "suppressed", ROLE_WARN },
	{ "unsuppressed", ROLE_INFO }, { "bounced", ROLE_BAD },	  { "complained", ROLE_BAD },
	{ "refused", ROLE_WARN },
};

enum role cell_state_role(const char *state)
{
	for (size_t i = 0; i < ARRAY_LEN(state_roles); i++) {
		if (strcmp(state_roles[i].word, state) == 0)
			return state_roles[i].role;
	}
	return ROLE_TEXT;
}

enum role cell_code_role(int64_t code)
{
	if (code >= 500)
		return ROLE_BAD;
	return code >= 400 ? ROLE_WARN : code >= 200 ? ROLE_GOOD : ROLE_DIM;
}

static void put_moment(const char *rfc3339, int64_t at_ms, int64_t now_ms, bool seconds,
		       struct buf *out)
{
	if (at_ms / DAY_MS != now_ms / DAY_MS && strlen(rfc3339) >= 10)
		(void)buf_printf(out, "%.5s ", rfc3339 + 5);
	if (strlen(rfc3339) >= 19)
		(void)buf_printf(out, "%.*sZ", seconds ? 8 : 5, rfc3339 + 11);
}

static void put_time(const char *rfc3339, int64_t now_ms, bool brief, struct buf *out)
{
	char utc[FMT_TIME_LEN], age[FMT_SHORT_LEN];
	int64_t at_ms;

	if (!fmt_parse_time(str_of(rfc3339), &at_ms)) {
		(void)buf_puts(out, "-");
		return;
	}
	fmt_time(at_ms, utc);
	put_moment(utc, at_ms, now_ms, !brief, out);
	if (at_ms > now_ms) {
		fmt_age((at_ms - now_ms) / 1000, age);
		(void)buf_printf(out, "%sin %s", brief ? " " : ", ", age);
	} else {
		fmt_age((now_ms - at_ms) / 1000, age);
		(void)buf_printf(out, brief ? " %s" : ", %s ago", age);
	}
}

void cell_time(const char *rfc3339, int64_t now_ms, struct buf *out)
{
	put_time(rfc3339, now_ms, false, out);
}

void cell_time_short(const char *rfc3339, int64_t now_ms, struct buf *out)
{
	put_time(rfc3339, now_ms, true, out);
}

void cell_ages(const json_t *ages, bool ascii, struct buf *out)
{
	static const char *const bars[] = { "\u2581", "\u2582", "\u2583", "\u2584",
					    "\u2585", "\u2586", "\u2587", "\u2588" };
	int64_t max = 0;
	size_t n = json_array_size(ages);

	for (size_t i = 0; i < n; i++) {
		int64_t v = (int64_t)json_integer_value(json_array_get(ages, i));

		max = v > max ? v : max;
	}
	for (size_t i = 0; i < n; i++) {
		int64_t v = (int64_t)json_integer_value(json_array_get(ages, i));

		if (v <= 0)
			(void)buf_puts(out, ascii ? "." : " ");
		else if (ascii)
			(void)buf_printf(out, "%d", (int)(1 + v * 8 / max));
		else
			(void)buf_puts(out, bars[(v * 8 - 1) / max]);
	}
}

/* --- one cell --- */

static enum role text_role(const char *name, const char *text)
{
	if (strcmp(name, "state") == 0 || strcmp(name, "outcome") == 0 ||
	    strcmp(name, "event") == 0 || strcmp(name, "kind") == 0)
		return cell_state_role(text);
	if (strcmp(name, "hold") == 0)
		return ROLE_HELD;
	if (strcmp(name, "backoff") == 0 || strcmp(name, "class") == 0)
		return ROLE_WARN;
	if (strcmp(name, "last_reply") == 0 || strcmp(name, "reply") == 0 ||
	    strcmp(name, "text") == 0)
		return ROLE_QUOTE;
	return ROLE_TEXT;
}

static enum role count_role(const char *name, int64_t n)
{
	if (n == 0)
		return ROLE_DIM;
	return strcmp(name, "domains") == 0 ? ROLE_TEXT : cell_state_role(name);
}

static struct str scratch(struct table_cell *out, const char *text)
{
	(void)snprintf(out->scratch, sizeof(out->scratch), "%s", text);
	return str_of(out->scratch);
}

static void fill_number(const struct field_def *f, const char *name, const json_t *row,
			struct table_cell *out)
{
	char text[FMT_TIME_LEN];
	int64_t n = ji(row, name);
	bool code = strcmp(name, "code") == 0 || strcmp(name, "last_code") == 0;

	if (f->kind == FK_SIZE)
		fmt_size(n > 0 ? (uint64_t)n : 0, text);
	else if (f->kind == FK_AGE)
		fmt_age(n, text);
	else if (f->kind == FK_COUNT)
		fmt_count(n > 0 ? (uint64_t)n : 0, text);
	else if (f->kind == FK_MS && n >= 10000)
		fmt_age(n / 1000, text);
	else
		(void)snprintf(text, sizeof(text), f->kind == FK_MS ? "%lldms" : "%lld",
			       (long long)n);
	out->role = f->kind == FK_COUNT ? count_role(name, n)
		    : code		? cell_code_role(n)
					: ROLE_TEXT;
	out->text = code && n == 0 ? STR("-") : scratch(out, text);
}

static void fill_time(const struct field_def *f, const char *value, int64_t now_ms,
		      struct table_cell *out)
{
	AUTO_BUF text = BUF_INIT(TABLE_CELL_MAX);

	/* Where rows follow each other in time the moment alone is read. */
	if (strcmp(f->entity, "event") == 0 || strcmp(f->entity, "attempt") == 0) {
		int64_t at_ms;

		if (fmt_parse_time(str_of(value), &at_ms))
			put_moment(value, at_ms, now_ms, true, &text);
	} else {
		cell_time_short(value, now_ms, &text);
	}
	out->text = scratch(out, buf_cstr(&text));
}

void cell_fill(const struct field_def *f, const char *name, const json_t *row, int64_t now_ms,
	       bool ascii, struct table_cell *out)
{
	AUTO_BUF bars = BUF_INIT(TABLE_CELL_MAX);

	out->role = ROLE_DIM;
	out->text = STR("-");
	if (!js_has(row, name))
		return;
	switch (f->kind) {
	case FK_TEXT:
		out->text = str_of(js(row, name));
		out->role = text_role(name, out->text.p);
		if (out->text.n == 0 && strcmp(name, "from") == 0) {
			out->text = STR("<>");
			out->role = ROLE_DIM;
		}
		return;
	case FK_INT:
	case FK_COUNT:
	case FK_SIZE:
	case FK_AGE:
	case FK_MS:
		fill_number(f, name, row, out);
		return;
	case FK_TIME:
		out->role = ROLE_TEXT;
		fill_time(f, js(row, name), now_ms, out);
		return;
	case FK_BOOL:
		out->role = ROLE_TEXT;
		out->text = json_is_true(json_object_get(row, name)) ? STR("yes") : STR("no");
		return;
	case FK_OBJECT:
		cell_ages(json_object_get(row, name), ascii, &bars);
		out->role = ROLE_CHART;
		out->text = scratch(out, buf_cstr(&bars));
		return;
	}
}

/* Its name is the field's. */
static struct table_column column_of(const struct field_def *f)
{
	bool text = f->kind == FK_TEXT;

	return (struct table_column){
		.name = f->name,
		.title = f->title,
		.width = f->kind == FK_OBJECT ? 10
			 : f->kind == FK_TIME ? 17
			 : f->width >= 40     ? 20
					      : f->width,
		.max = !text		? 0
		       : f->width >= 40 ? 200
		       : f->width >= 20 ? 2 * f->width
					: 0,
		.align = text || f->kind == FK_TIME || f->kind == FK_OBJECT || f->kind == FK_BOOL
				 ? ALIGN_LEFT
				 : ALIGN_RIGHT,
		.priority = f->priority <= 1 ? 0 : f->priority,
		.sortable = (f->flags & FF_SORT) != 0,
	};
}

static void measure(struct table_column *columns, int n, const struct cell_measure *measures)
{
	for (; measures != NULL && measures->name != NULL; measures++) {
		for (int i = 0; i < n; i++) {
			if (strcmp(columns[i].name, measures->name) != 0)
				continue;
			columns[i].width = measures->width;
			columns[i].max = measures->max;
			columns[i].priority = measures->priority;
		}
	}
}

int cell_columns(const char *entity, const struct cell_measure *measures,
		 struct table_column columns[static TABLE_MAX_COLUMNS],
		 const struct field_def *fields[static TABLE_MAX_COLUMNS])
{
	int n = 0;

	for (size_t i = 0; i < field_defs_n && n < TABLE_MAX_COLUMNS; i++) {
		const struct field_def *f = &field_defs[i];
		bool ages = strcmp(f->name, "ages") == 0; /* is drawn as bars */

		if (strcmp(f->entity, entity) != 0 ||
		    (!ages && ((f->flags & FF_HIDE) != 0 || f->kind == FK_OBJECT)))
			continue;
		fields[n] = f;
		columns[n] = column_of(f);
		if ((f->flags & FF_WIDE) != 0)
			columns[n].priority += 10;
		n++;
	}
	measure(columns, n, measures);
	return n;
}

void cell_describe(struct text *t, const char *entity, const json_t *row, int64_t now_ms,
		   bool ascii)
{
	for (size_t i = 0; i < field_defs_n; i++) {
		const struct field_def *f = &field_defs[i];
		struct table_cell cell = { .role = ROLE_TEXT };
		AUTO_BUF when = BUF_INIT(TABLE_CELL_MAX);

		if (strcmp(f->entity, entity) != 0 || !js_has(row, f->name) ||
		    strcmp(f->name, "row") == 0 ||
		    (f->kind == FK_OBJECT && strcmp(f->name, "ages") != 0) ||
		    strcmp(f->name, "base64") == 0)
			continue;
		cell_fill(f, f->name, row, now_ms, ascii, &cell);
		if (f->kind == FK_TIME) {
			cell_time(js(row, f->name), now_ms, &when);
			cell.text = buf_str(&when);
		}
		text_add_field(t, 14, f->title, cell.role, cell.text);
	}
}

/* --- filters --- */

static size_t complete_about(enum filter_about about, struct str line, size_t cursor,
			     struct prompt_candidates *to)
{
	struct filter_completion c;

	filter_complete(about, line, cursor, &c);
	for (size_t i = 0; i < c.n; i++)
		prompt_offer(to, str_of(c.items[i].text), c.items[i].help);
	return c.from;
}

size_t filter_prompt_complete(struct str line, size_t cursor, struct prompt_candidates *to,
			      void *arg)
{
	(void)arg;
	return complete_about(FILTER_MAIL, line, cursor, to);
}

size_t filter_prompt_complete_audit(struct str line, size_t cursor, struct prompt_candidates *to,
				    void *arg)
{
	(void)arg;
	return complete_about(FILTER_AUDIT, line, cursor, to);
}

void filter_term(struct buf *out, const char *field, const char *value)
{
	bool plain =
		*value != '\0' && strspn(value, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRST"
						"UVWXYZ0123456789._@/+=-:") == strlen(value);

	(void)buf_printf(out, "%s%s", field, strchr(value, '*') != NULL ? "=" : ":");
	if (strcmp(field, "from") == 0 && *value == '\0') {
		(void)buf_puts(out, "<>");
		return;
	}
	if (plain) {
		(void)buf_puts(out, value);
		return;
	}
	(void)buf_putc(out, '"');
	for (; *value != '\0'; value++) {
		if (*value == '"' || *value == '\\')
			(void)buf_putc(out, '\\');
		(void)buf_putc(out, *value);
	}
	(void)buf_putc(out, '"');
}

void filter_and(struct buf *out, const char *a, const char *b)
{
	bool both = *a != '\0' && *b != '\0';
	/* "x or y" binds weaker than the space that joins both. */
	bool wrap_a = both && strstr(a, " or ") != NULL, wrap_b = both && strstr(b, " or ") != NULL;

	(void)buf_printf(out, wrap_a ? "(%s)" : "%s", a);
	(void)buf_printf(out, "%s", both ? " " : "");
	(void)buf_printf(out, wrap_b ? "(%s)" : "%s", b);
}

bool filter_of_target(const char *target, struct buf *out)
{
	struct target t = TARGET_INIT;
	bool good = target_parse(str_of(target), &t, NULL) >= 0 && filter_print(t.filter, out);

	target_done(&t);
	return good;
}
