/*
 * The line is cleaned at the door (insert()): everything behind it, including what is sent to the
 * relay, is valid UTF-8 without control characters.
 */
#include "widget/prompt.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/obj.h"
#include "base/utf8.h"
#include "cell/grid.h"

#define ERROR_ROWS 4
#define SHOWN_CANDIDATES 8

/* --- history --- */

struct history {
	char *line[HISTORY_MAX];
	int n;
};

struct history *history_new(void)
{
	return xcalloc(1, sizeof(struct history));
}

void history_free(struct history **hp)
{
	if (hp == NULL || *hp == NULL)
		return;
	for (int i = 0; i < (*hp)->n; i++)
		free((*hp)->line[i]);
	free(*hp);
	*hp = NULL;
}

void history_add(struct history *h, struct str line)
{
	if (line.n == 0 || (h->n > 0 && str_eq(str_of(h->line[h->n - 1]), line)))
		return;
	if (h->n == HISTORY_MAX) {
		free(h->line[0]);
		memmove(h->line, h->line + 1, sizeof(h->line[0]) * (HISTORY_MAX - 1));
		h->n--;
	}
	h->line[h->n++] = xstrndup(line.p, line.n);
}

int history_count(const struct history *h)
{
	return h->n;
}

struct str history_get(const struct history *h, int back)
{
	return back >= 0 && back < h->n ? str_of(h->line[h->n - 1 - back]) : STR("");
}

/* --- completion --- */

struct candidate {
	char text[PROMPT_CANDIDATE_MAX];
	char help[PROMPT_CANDIDATE_MAX];
};

struct prompt_candidates {
	size_t from; /* where the word begins that they replace */
	size_t to;   /* where it ended, or the chosen one that stands there now */
	int n;
	struct candidate item[PROMPT_MAX_COMPLETIONS];
};

void prompt_offer(struct prompt_candidates *to, struct str text, const char *help)
{
	struct candidate *c;

	if (to->n == PROMPT_MAX_COMPLETIONS || text.n >= PROMPT_CANDIDATE_MAX)
		return;
	c = &to->item[to->n++];
	snprintf(c->text, sizeof(c->text), "%.*s", STR_ARG(text));
	snprintf(c->help, sizeof(c->help), "%s", help != NULL ? help : "");
}

static void drop_candidates(struct prompt *p)
{
	if (p->candidates != NULL)
		p->candidates->n = 0;
	p->chosen = -1;
}

static bool find_candidates(struct prompt *p)
{
	if (p->complete == NULL)
		return false;
	if (p->candidates == NULL)
		p->candidates = xcalloc(1, sizeof(*p->candidates));
	drop_candidates(p);
	p->candidates->from =
		p->complete(prompt_text(p), p->cursor, p->candidates, p->complete_arg);
	p->candidates->to = p->cursor;
	ASSERT(p->candidates->from <= p->cursor);
	return p->candidates->n > 0;
}

/* --- editing --- */

void prompt_init(struct prompt *p, const char *label)
{
	*p = (struct prompt){ .label = label, .back = -1, .chosen = -1 };
}

void prompt_done(struct prompt *p)
{
	free(p->candidates);
	p->candidates = NULL;
	if (!p->secret)
		return;
	explicit_bzero(p->line, sizeof(p->line));
	explicit_bzero(p->cut, sizeof(p->cut));
}

struct str prompt_text(const struct prompt *p)
{
	return str_from(p->line, p->n);
}

/* Bytes to the grapheme before `at`. */
static size_t step_back(const struct prompt *p, size_t at)
{
	size_t i = 0;

	while (i < at) {
		size_t n = text_next(str_from(p->line + i, p->n - i));

		if (i + n >= at)
			break;
		i += n;
	}
	return i;
}

static size_t step_on(const struct prompt *p, size_t at)
{
	return at + text_next(str_from(p->line + at, p->n - at));
}

static size_t word_back(const struct prompt *p, size_t at)
{
	while (at > 0 && p->line[at - 1] == ' ')
		at--;
	while (at > 0 && p->line[at - 1] != ' ')
		at--;
	return at;
}

static size_t word_on(const struct prompt *p, size_t at)
{
	while (at < p->n && p->line[at] == ' ')
		at++;
	while (at < p->n && p->line[at] != ' ')
		at++;
	return at;
}

static void remove_bytes(struct prompt *p, size_t from, size_t to, bool keep)
{
	if (keep && to > from)
		snprintf(p->cut, sizeof(p->cut), "%.*s", (int)(to - from), p->line + from);
	memmove(p->line + from, p->line + to, p->n - to);
	p->n -= to - from;
	p->line[p->n] = '\0';
	p->cursor = from;
}

static void insert_bytes(struct prompt *p, const char *s, size_t n)
{
	if (p->n + n >= PROMPT_MAX)
		return;
	memmove(p->line + p->cursor + n, p->line + p->cursor, p->n - p->cursor);
	memcpy(p->line + p->cursor, s, n);
	p->n += n;
	p->cursor += n;
	p->line[p->n] = '\0';
}

/* Line ends and tabs become blanks, other characters that do not belong are dropped. */
static void insert(struct prompt *p, struct str s)
{
	while (s.n > 0) {
		char utf8[4];
		uint32_t cp;
		size_t n = utf8_decode(s, &cp);

		if (cp == '\n' || cp == '\r' || cp == '\t')
			cp = ' ';
		if (cell_width(cp) >= 0 && cp != UTF8_REPLACEMENT)
			insert_bytes(p, utf8, utf8_encode(cp, utf8));
		s = str_from(s.p + n, s.n - n);
	}
}

void prompt_set(struct prompt *p, struct str text)
{
	p->n = 0;
	p->cursor = 0;
	p->line[0] = '\0';
	insert(p, text);
}

void prompt_error(struct prompt *p, const struct err *err)
{
	snprintf(p->error, sizeof(p->error), "%s", err->msg);
	p->error_column = err->column;
	drop_candidates(p);
}

/* --- keys --- */

static void replace_word(struct prompt *p, struct str with)
{
	remove_bytes(p, p->candidates->from, p->candidates->to, false);
	insert(p, with);
	p->candidates->to = p->cursor;
}

static size_t common_prefix(const struct prompt_candidates *c)
{
	size_t n = strlen(c->item[0].text);

	for (int i = 1; i < c->n; i++) {
		size_t k = 0;

		while (k < n && c->item[i].text[k] == c->item[0].text[k])
			k++;
		n = k;
	}
	while (n > 0 && ((unsigned char)c->item[0].text[n] & 0xc0) == 0x80)
		n--; /* not through a character */
	return n;
}

static void cycle(struct prompt *p, int step)
{
	int n = p->candidates->n;

	p->chosen = p->chosen < 0 ? (step > 0 ? 0 : n - 1) : (p->chosen + step + n) % n;
	replace_word(p, str_of(p->candidates->item[p->chosen].text));
}

/* First what is common to all candidates, then one after the other. */
static unsigned complete(struct prompt *p, int step)
{
	bool fresh = p->candidates == NULL || p->candidates->n == 0;
	char before[PROMPT_MAX];
	size_t prefix;

	if (fresh && !find_candidates(p))
		return WIDGET_USED;
	memcpy(before, p->line, p->n + 1);
	prefix = common_prefix(p->candidates);
	if (p->candidates->n == 1) {
		replace_word(p, str_of(p->candidates->item[0].text));
		drop_candidates(p);
	} else if (p->chosen < 0 && prefix > p->candidates->to - p->candidates->from) {
		replace_word(p, str_from(p->candidates->item[0].text, prefix));
	} else if (!fresh || p->eager) {
		cycle(p, step);
	}
	return WIDGET_USED | (strcmp(before, p->line) != 0 ? WIDGET_CHANGED : 0u);
}

bool prompt_choosing(const struct prompt *p)
{
	return p->candidates != NULL && p->candidates->n > 0;
}

static unsigned walk_history(struct prompt *p, int step)
{
	int to = p->back + step;

	if (p->history == NULL || p->secret || to < -1 || to >= history_count(p->history))
		return WIDGET_USED;
	if (p->back < 0)
		memcpy(p->draft, p->line, p->n + 1);
	p->back = to;
	drop_candidates(p);
	prompt_set(p, to < 0 ? str_of(p->draft) : history_get(p->history, to));
	return WIDGET_USED | WIDGET_CHANGED;
}

static unsigned up_down(struct prompt *p, int step)
{
	if (p->eager && p->candidates != NULL && p->candidates->n > 0 && p->back < 0) {
		cycle(p, step);
		return WIDGET_USED | WIDGET_CHANGED;
	}
	return walk_history(p, -step);
}

static unsigned edit_ctrl(struct prompt *p, uint32_t code)
{
	switch (code) {
	case 'a':
		p->cursor = 0;
		return WIDGET_USED;
	case 'e':
		p->cursor = p->n;
		return WIDGET_USED;
	case 'b':
		p->cursor = step_back(p, p->cursor);
		return WIDGET_USED;
	case 'f':
		p->cursor = step_on(p, p->cursor);
		return WIDGET_USED;
	case 'p':
		return walk_history(p, 1);
	case 'n':
		return walk_history(p, -1);
	case 'd':
		remove_bytes(p, p->cursor, step_on(p, p->cursor), false);
		return WIDGET_USED | WIDGET_CHANGED;
	case 'w':
		remove_bytes(p, word_back(p, p->cursor), p->cursor, true);
		return WIDGET_USED | WIDGET_CHANGED;
	case 'u':
		remove_bytes(p, 0, p->cursor, true);
		return WIDGET_USED | WIDGET_CHANGED;
	case 'k':
		remove_bytes(p, p->cursor, p->n, true);
		return WIDGET_USED | WIDGET_CHANGED;
	case 'y':
		insert(p, str_of(p->cut));
		return WIDGET_USED | WIDGET_CHANGED;
	case 'c':
	case 'g':
		return WIDGET_CANCELLED;
	default:
		return WIDGET_IGNORED;
	}
}

static unsigned edit_alt(struct prompt *p, uint32_t code)
{
	switch (code) {
	case 'b':
		p->cursor = word_back(p, p->cursor);
		return WIDGET_USED;
	case 'f':
		p->cursor = word_on(p, p->cursor);
		return WIDGET_USED;
	case 'd':
		remove_bytes(p, p->cursor, word_on(p, p->cursor), true);
		return WIDGET_USED | WIDGET_CHANGED;
	default:
		return WIDGET_IGNORED;
	}
}

static unsigned edit_named(struct prompt *p, uint32_t key)
{
	switch (key) {
	case K_ENTER:
		return WIDGET_ACTIVATED;
	case K_ESC:
		return WIDGET_CANCELLED;
	case K_LEFT:
		p->cursor = step_back(p, p->cursor);
		return WIDGET_USED;
	case K_RIGHT:
		p->cursor = step_on(p, p->cursor);
		return WIDGET_USED;
	case K_LEFT | K_CTRL:
		p->cursor = word_back(p, p->cursor);
		return WIDGET_USED;
	case K_RIGHT | K_CTRL:
		p->cursor = word_on(p, p->cursor);
		return WIDGET_USED;
	case K_HOME:
		p->cursor = 0;
		return WIDGET_USED;
	case K_END:
		p->cursor = p->n;
		return WIDGET_USED;
	case K_BACKSPACE:
		remove_bytes(p, step_back(p, p->cursor), p->cursor, false);
		return WIDGET_USED | WIDGET_CHANGED;
	case K_DELETE:
		remove_bytes(p, p->cursor, step_on(p, p->cursor), false);
		return WIDGET_USED | WIDGET_CHANGED;
	default:
		return WIDGET_IGNORED;
	}
}

static unsigned edit(struct prompt *p, uint32_t key)
{
	char utf8[4];
	uint32_t cp = key_text(key);

	if (cp != 0) {
		insert(p, str_from(utf8, utf8_encode(cp, utf8)));
		return WIDGET_USED | WIDGET_CHANGED;
	}
	if ((key & K_CTRL) && key_code(key) < K_BASE)
		return edit_ctrl(p, key_code(key));
	if ((key & K_ALT) && key_code(key) < K_BASE)
		return edit_alt(p, key_code(key));
	return edit_named(p, key);
}

static unsigned on_key(struct prompt *p, uint32_t key)
{
	unsigned result;

	if (key == K_TAB)
		return complete(p, 1);
	if (key == (K_TAB | K_SHIFT))
		return complete(p, -1);
	if (key == K_UP || key == K_DOWN)
		return up_down(p, key == K_DOWN ? 1 : -1);
	result = edit(p, key);
	if (result & (WIDGET_USED | WIDGET_CHANGED))
		drop_candidates(p);
	if (result & WIDGET_CHANGED) {
		p->back = -1;
		if (p->eager)
			(void)find_candidates(p);
	}
	if ((result & WIDGET_ACTIVATED) && p->history != NULL && !p->secret)
		history_add(p->history, prompt_text(p));
	return result;
}

unsigned prompt_event(struct prompt *p, const struct event *ev)
{
	unsigned result = WIDGET_IGNORED;

	if (ev->kind == EVENT_KEY) {
		result = on_key(p, ev->key);
	} else if (ev->kind == EVENT_PASTE) {
		insert(p, ev->paste);
		drop_candidates(p);
		result = WIDGET_USED | WIDGET_CHANGED;
	}
	if (result & (WIDGET_USED | WIDGET_CHANGED)) {
		p->error[0] = '\0';
		p->error_column = 0;
	}
	return result;
}

/* --- drawing --- */

static int shown_candidates(const struct prompt *p)
{
	if (p->candidates == NULL)
		return 0;
	return p->candidates->n < SHOWN_CANDIDATES ? p->candidates->n : SHOWN_CANDIDATES;
}

/* Columns before the code point number `column` (from 1). */
static int column_of(const struct prompt *p, int column)
{
	size_t at = 0;

	while (--column > 0 && at < p->n) {
		uint32_t cp;

		at += utf8_decode(str_from(p->line + at, p->n - at), &cp);
	}
	return text_width(str_from(p->line, at));
}

/* Where the line begins, behind its label. */
static int line_left(const struct prompt *p)
{
	return p->label != NULL && p->label[0] != '\0' ? text_width(str_of(p->label)) + 1 : 0;
}

/* Where the error belongs. */
static int error_at(const struct prompt *p)
{
	return p->error_column > 0 ? line_left(p) + column_of(p, p->error_column) - p->scroll : 0;
}

static bool fits_behind(const struct prompt *p, int width)
{
	return text_width(str_of(p->error)) <= width - error_at(p) - 2;
}

/* One that has a column and fits beside it stands there, else on lines of its own. */
static bool beside_column(const struct prompt *p, int width)
{
	return p->error_column > 0 &&
	       (fits_behind(p, width) || error_at(p) > text_width(str_of(p->error)));
}

int prompt_height(const struct prompt *p, int width)
{
	if (p->error[0] == '\0')
		return 1 + shown_candidates(p);
	if (beside_column(p, width))
		return 2;
	return 1 + (p->error_column > 0) + canvas_wrap_rows(width, ERROR_ROWS, str_of(p->error));
}

static void draw_error(const struct prompt *p, const struct canvas *c)
{
	int at = error_at(p);

	if (p->error_column > 0)
		canvas_puts(c, 1, at, ROLE_INPUT_ERROR, STR("^"));
	if (!beside_column(p, canvas_cols(c)))
		(void)canvas_wrap(c, 1 + (p->error_column > 0), 0, ERROR_ROWS, ROLE_INPUT_ERROR,
				  str_of(p->error));
	else if (fits_behind(p, canvas_cols(c)))
		canvas_field(c, 1, at + 2, canvas_cols(c) - at - 2, ALIGN_LEFT, ROLE_INPUT_ERROR,
			     str_of(p->error));
	else
		canvas_puts(c, 1, at - text_width(str_of(p->error)) - 1, ROLE_INPUT_ERROR,
			    str_of(p->error));
}

static void draw_candidates(const struct prompt *p, const struct canvas *c, int left)
{
	int n = shown_candidates(p);
	int first = p->chosen >= n ? p->chosen - n + 1 : 0;
	int wide = 0;

	for (int i = 0; i < n; i++) {
		int w = text_width(str_of(p->candidates->item[first + i].text));

		wide = w > wide ? w : wide;
	}
	for (int i = 0; i < n; i++) {
		const struct candidate *it = &p->candidates->item[first + i];
		struct canvas row = canvas_sub(c, 1 + i, left, 1, canvas_cols(c) - left);

		if (first + i == p->chosen) {
			row.under = ROLE_CURSOR;
			canvas_clear(&row, ROLE_TEXT);
		}
		canvas_field(&row, 0, 0, wide, ALIGN_LEFT, ROLE_KEY, str_of(it->text));
		canvas_field(&row, 0, wide + 2, canvas_cols(&row) - wide - 2, ALIGN_LEFT,
			     ROLE_INPUT_HINT, str_of(it->help));
	}
}

/* A hint lies on the ground of the input, so that it is seen where to type. */
static void draw_hint(const struct prompt *p, const struct canvas *line)
{
	struct canvas ground = *line;

	ground.under = ROLE_INPUT;
	canvas_field(&ground, 0, 0, canvas_cols(line), ALIGN_LEFT, ROLE_INPUT_HINT,
		     str_of(p->hint));
}

static void draw_line(struct prompt *p, const struct canvas *line)
{
	int width = canvas_cols(line);
	int cursor = text_width(str_from(p->line, p->cursor));

	if (cursor - p->scroll >= width)
		p->scroll = cursor - width + 1;
	if (cursor < p->scroll)
		p->scroll = cursor;
	canvas_clear(line, ROLE_INPUT);
	if (p->n == 0 && p->hint != NULL)
		draw_hint(p, line);
	else if (p->secret)
		for (int i = 0; i < text_width(prompt_text(p)); i++)
			canvas_puts(line, 0, i - p->scroll, ROLE_INPUT, STR("*"));
	else
		canvas_puts(line, 0, -p->scroll, ROLE_INPUT, prompt_text(p));
	if (p->focused)
		canvas_cursor(line, 0, cursor - p->scroll);
}

void prompt_draw(struct prompt *p, const struct canvas *c)
{
	int left = 0;
	struct canvas line;

	if (p->label != NULL && p->label[0] != '\0')
		left = canvas_puts(c, 0, 0, ROLE_LABEL, str_of(p->label)) + 1;
	line = canvas_sub(c, 0, left, 1, canvas_cols(c) - left);
	draw_line(p, &line);
	if (p->error[0] != '\0')
		draw_error(p, c);
	else if (p->candidates != NULL)
		draw_candidates(p, c, left);
}
