/*
 * Colours are the sixteen of every terminal, and always beside a word that says the same.
 */
#include "cli/out.h"

#include <errno.h>
#include <langinfo.h>
#include <locale.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>
#include <wchar.h>

#include "base/mem.h"
#include "base/utf8.h"

#define WIDTH_DEFAULT 80
#define JSON_INDENT_N 2

static int terminal_width(void)
{
	const char *columns = getenv("COLUMNS");
	struct winsize size;
	uint64_t n = 0;

	if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0)
		n = size.ws_col;
	else if (columns == NULL || !str_u64(str_of(columns), OUT_WIDTH_MAX, &n))
		n = WIDTH_DEFAULT;
	if (n > OUT_WIDTH_MAX)
		return OUT_WIDTH_MAX;
	return n < OUT_WIDTH_MIN ? OUT_WIDTH_MIN : (int)n;
}

void out_init(struct out *o)
{
	const char *no_color = getenv("NO_COLOR");
	const char *term = getenv("TERM");
	bool dumb = term == NULL || *term == '\0' || strcmp(term, "dumb") == 0;

	*o = (struct out){ .tty = isatty(STDOUT_FILENO) == 1 };
	if (setlocale(LC_CTYPE, "") != NULL && strcmp(nl_langinfo(CODESET), "UTF-8") == 0)
		o->utf8 = true;
	else
		(void)setlocale(LC_CTYPE, "C.UTF-8"); /* for wcwidth() */
	if (!o->tty)
		o->utf8 = true; /* files and pipes get what there is */
	else
		o->width = terminal_width();
	o->colour = o->tty && !dumb && (no_color == NULL || *no_color == '\0');
}

bool out_flush(struct out *o, struct buf *b)
{
	size_t done = 0;

	if (b->full && o->errnum == 0)
		o->errnum = EOVERFLOW;
	while (done < b->n && o->errnum == 0) {
		ssize_t n = write(STDOUT_FILENO, b->p + done, b->n - done);

		if (n >= 0)
			done += (size_t)n;
		else if (errno != EINTR)
			o->errnum = errno;
	}
	buf_reset(b);
	return o->errnum == 0;
}

int out_check(const struct out *o, struct err *err)
{
	if (o->errnum == 0 || o->errnum == EPIPE)
		return 0;
	return err_sys(err, o->errnum, "writing standard output");
}

/* --- styles ----------------------------------------------------------------------------------- */

enum out_style out_state_style(const char *word)
{
	static const struct {
		const char *word;
		enum out_style style;
	} words[] = {
		{ "active", OUT_ACTIVE },   { "deferred", OUT_WARN },  { "held", OUT_HELD },
		{ "trash", OUT_DIM },	    { "delivered", OUT_GOOD }, { "failed", OUT_BAD },
		{ "expired", OUT_BAD },	    { "deleted", OUT_BAD },    { "hard", OUT_BAD },
		{ "bounced", OUT_BAD },	    { "complained", OUT_BAD }, { "soft", OUT_WARN },
		{ "undoable", OUT_ACTIVE }, { "undone", OUT_DIM },     { "damaged", OUT_BAD },
	};

	for (size_t i = 0; i < ARRAY_LEN(words); i++)
		if (strcmp(words[i].word, word) == 0)
			return words[i].style;
	return OUT_PLAIN;
}

void out_style(const struct out *o, struct buf *b, enum out_style style, bool on)
{
	static const char *const codes[] = {
		[OUT_PLAIN] = "",	 [OUT_HEAD] = "\033[1m",    [OUT_DIM] = "\033[2m",
		[OUT_GOOD] = "\033[32m", [OUT_WARN] = "\033[33m",   [OUT_BAD] = "\033[31m",
		[OUT_HELD] = "\033[35m", [OUT_ACTIVE] = "\033[36m",
	};

	if (o->colour && style != OUT_PLAIN)
		(void)buf_puts(b, on ? codes[style] : "\033[0m");
}

/* --- text ------------------------------------------------------------------------------------- */

/* What is shown for a code point, and its columns; 0 columns for marks that join the one before. */
static uint32_t shown(const struct out *o, uint32_t cp, int *ret_cols)
{
	int w;

	*ret_cols = 1;
	if (cp == '\n' || cp == '\r' || cp == '\t')
		return ' ';
	if (cp >= 0x20 && cp < 0x7f)
		return cp;
	if (utf8_harmful(cp))
		cp = UTF8_REPLACEMENT;
	if (!o->utf8)
		return '?';
	w = wcwidth((wchar_t)cp);
	if (w < 0 || w > 2)
		return UTF8_REPLACEMENT;
	*ret_cols = w;
	return cp;
}

static void put_cp(struct buf *b, uint32_t cp)
{
	char bytes[4];

	(void)buf_put(b, bytes, utf8_encode(cp, bytes));
}

int out_cols(const struct out *o, struct str s)
{
	int total = 0;

	while (s.n > 0) {
		uint32_t cp;
		int cols;
		size_t n = utf8_decode(s, &cp);

		(void)shown(o, cp, &cols);
		total += cols;
		s = str_from(s.p + n, s.n - n);
	}
	return total;
}

void out_clean(const struct out *o, struct buf *b, struct str s)
{
	while (s.n > 0) {
		uint32_t cp;
		int cols;
		size_t n = utf8_decode(s, &cp);

		put_cp(b, shown(o, cp, &cols));
		s = str_from(s.p + n, s.n - n);
	}
}

void out_clean_lines(const struct out *o, struct buf *b, struct str s)
{
	while (s.n > 0) {
		uint32_t cp;
		int cols;
		size_t n = utf8_decode(s, &cp);

		if (cp == '\n' || cp == '\t')
			(void)buf_putc(b, (char)cp);
		else if (cp != '\r' || s.n == n || s.p[n] != '\n')
			put_cp(b, shown(o, cp == '\r' ? 0 : cp, &cols));
		s = str_from(s.p + n, s.n - n);
	}
}

/* How many bytes of s fit in `cols` columns. */
static size_t fitting(const struct out *o, struct str s, int cols, int *ret_used)
{
	size_t done = 0;

	*ret_used = 0;
	while (done < s.n) {
		uint32_t cp;
		int w;
		size_t n = utf8_decode(str_from(s.p + done, s.n - done), &cp);

		(void)shown(o, cp, &w);
		if (*ret_used + w > cols)
			break;
		*ret_used += w;
		done += n;
	}
	return done;
}

int out_fit(const struct out *o, struct buf *b, struct str s, int cols)
{
	int used;
	size_t n = fitting(o, s, cols, &used);

	if (n == s.n) {
		out_clean(o, b, s);
		return used;
	}
	if (cols < 1)
		return 0;
	n = fitting(o, s, cols - 1, &used);
	out_clean(o, b, str_from(s.p, n));
	(void)buf_puts(b, o->utf8 ? "\u2026" : "~");
	return used + 1;
}

void out_wrap(const struct out *o, struct buf *b, struct str s, int indent)
{
	(void)buf_printf(b, "%*s", indent, "");
	out_wrap_at(o, b, indent, s, indent);
}

void out_wrap_at(const struct out *o, struct buf *b, int at, struct str s, int indent)
{
	bool first = true;

	do {
		int room = o->width - (first ? at : indent);
		int used;
		size_t n = o->width == 0 ? s.n : fitting(o, s, room > 10 ? room : 10, &used);

		if (n < s.n) {
			size_t blank = n;

			while (blank > 0 && s.p[blank] != ' ')
				blank--;
			n = blank > 0 ? blank : n;
		}
		if (!first)
			(void)buf_printf(b, "%*s", indent, "");
		first = false;
		out_clean(o, b, str_from(s.p, n));
		(void)buf_putc(b, '\n');
		s = str_trim(str_from(s.p + n, s.n - n));
	} while (s.n > 0);
}

/* --- JSON ------------------------------------------------------------------------------------- */

/* On a terminal nothing but ASCII is printed; jansson leaves DEL as it is. */
static void put_json(const struct out *o, struct buf *b, const json_t *v, size_t flags)
{
	char *text = json_dumps(v, flags | JSON_ENCODE_ANY | (o->tty ? JSON_ENSURE_ASCII : 0));

	for (const char *c = text; c != NULL && *c != '\0'; c++) {
		if (*c == 0x7f)
			(void)buf_puts(b, "\\u007f");
		else
			(void)buf_putc(b, *c);
	}
	free(text);
}

void out_json_line(const struct out *o, struct buf *b, const json_t *v)
{
	put_json(o, b, v, JSON_COMPACT);
}

void out_json(const struct out *o, struct buf *b, const json_t *v)
{
	const json_t *one;
	size_t i;

	if (!json_is_array(v)) {
		put_json(o, b, v, JSON_INDENT(JSON_INDENT_N));
		(void)buf_putc(b, '\n');
		return;
	}
	(void)buf_putc(b, '[');
	json_array_foreach(v, i, one)
	{
		(void)buf_puts(b, i > 0 ? ",\n" : "\n");
		put_json(o, b, one, JSON_COMPACT);
	}
	(void)buf_puts(b, json_array_size(v) > 0 ? "\n]\n" : "]\n");
}
