/*
 * curses does two things here: it knows the terminal (terminfo) and it computes the smallest update
 * from one frame to the next. Input is read and decoded by term/input.c, SIGWINCH and SIGTSTP
 * belong to the loop (watchers made before newterm(), which leaves handlers alone that are already
 * there), and what terminfo does not know (bracketed paste, SGR mouse, synchronised output) is
 * written to the descriptor directly, around doupdate(), which flushes.
 *
 * Frames: rows that are the same as in the frame before are not even handed to curses; a frame
 * without any change writes nothing at all.
 */
#include "term/term.h"

#include <curses.h>
#include <errno.h>
#include <fcntl.h>
#include <langinfo.h>
#include <locale.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>
#include <wchar.h>

#include "base/buf.h"
#include "base/mem.h"
#include "base/obj.h"
#include "base/utf8.h"
#include "loop/loop.h"
#include "term/crash.h"
#include "term/input.h"

#define TERM_MAGIC 0x7e120001u
#define READ_MAX 4096
#define PASTE_DELAY_MS 500 /* a paste whose end got lost ends after this */
#define DOUBLE_CLICK_MS 400
#define CLIPBOARD_MAX 65536

struct term {
	uint32_t magic;
	struct term_options o;
	struct theme *theme;
	struct input *input;
	struct loop_fd *readable;
	struct loop_timer *escape;
	struct loop_signal *winch;
	struct loop_signal *tstp;
	int fd;
	bool own_fd;
	bool started;
	bool modern; /* understands xterm's private modes */
	enum depth depth;
	SCREEN *screen;
	FILE *out;
	FILE *in;
	struct grid *last; /* what is on the terminal */
	bool whole;	   /* it is not known: send everything */
	int64_t click_ms;
	int click_row, click_col;
};

static void put_modern(const struct term *t, const char *s)
{
	if (t->modern)
		term_put_bytes(t->fd, s, strlen(s));
}

/* --- input --- */

static void note_double_click(struct term *t, struct event_mouse *m)
{
	int64_t now = loop_now_ms(t->o.loop);

	if (m->button != MOUSE_LEFT || m->action != MOUSE_PRESS)
		return;
	m->twice = t->click_ms > 0 && now - t->click_ms <= DOUBLE_CLICK_MS &&
		   t->click_row == m->row && t->click_col == m->col;
	t->click_ms = m->twice ? 0 : now;
	t->click_row = m->row;
	t->click_col = m->col;
}

static void on_input(const struct event *ev, void *arg)
{
	struct term *t = OBJ(term, TERM_MAGIC, arg);
	struct event copy = *ev;

	if (copy.kind == EVENT_MOUSE)
		note_double_click(t, &copy.mouse);
	t->o.event(&copy, t->o.arg);
}

static void on_escape(void *arg)
{
	struct term *t = OBJ(term, TERM_MAGIC, arg);

	input_timeout(t->input);
}

static void on_readable(int fd, unsigned what, void *arg)
{
	struct term *t = OBJ(term, TERM_MAGIC, arg);
	uint8_t bytes[READ_MAX];
	ssize_t n = read(fd, bytes, sizeof(bytes));

	(void)what;
	if (n < 0 && (errno == EINTR || errno == EAGAIN))
		return;
	if (n <= 0) {
		loop_fd_want(t->readable, 0);
		if (t->o.hangup != NULL)
			t->o.hangup(t->o.arg);
		return;
	}
	loop_timer_cancel(t->escape);
	input_feed(t->input, bytes, (size_t)n);
	if (t->started && input_pending(t->input))
		loop_timer_set(t->escape, n < READ_MAX ? TERM_ESC_DELAY_MS : PASTE_DELAY_MS);
}

static void on_winch(void *arg)
{
	struct term *t = OBJ(term, TERM_MAGIC, arg);
	struct event ev = { .kind = EVENT_RESIZE };

	term_size(t, &ev.rows, &ev.cols);
	t->o.event(&ev, t->o.arg);
}

static void on_tstp(void *arg)
{
	struct term *t = OBJ(term, TERM_MAGIC, arg);

	term_suspend(t);
}

/* Keys as this terminal's own description has them, besides what input.c knows anyway. */
static void define_keys(struct term *t)
{
	static const struct {
		const char *cap;
		uint32_t key;
	} caps[] = {
		{ "kcuu1", K_UP },     { "kcud1", K_DOWN },	    { "kcub1", K_LEFT },
		{ "kcuf1", K_RIGHT },  { "khome", K_HOME },	    { "kend", K_END },
		{ "kpp", K_PAGE_UP },  { "knp", K_PAGE_DOWN },	    { "kdch1", K_DELETE },
		{ "kich1", K_INSERT }, { "kcbt", K_TAB | K_SHIFT },
	};
	char cap[8];

	for (size_t i = 0; i < ARRAY_LEN(caps); i++) {
		const char *seq = tigetstr(caps[i].cap);

		if (seq != NULL && seq != (char *)-1)
			input_define(t->input, seq, caps[i].key);
	}
	for (unsigned f = 1; f <= 12; f++) {
		const char *seq;

		snprintf(cap, sizeof(cap), "kf%u", f);
		seq = tigetstr(cap);
		if (seq != NULL && seq != (char *)-1)
			input_define(t->input, seq, K_F1 + f - 1);
	}
}

/* --- life --- */

bool term_locale(void)
{
	return setlocale(LC_CTYPE, "") != NULL && strcmp(nl_langinfo(CODESET), "UTF-8") == 0;
}

struct term *term_new(const struct term_options *o)
{
	struct term *t = xcalloc(1, sizeof(*t));

	t->magic = TERM_MAGIC;
	t->o = *o;
	t->fd = o->fd;
	t->theme = o->theme != NULL ? o->theme : theme_builtin();
	t->input = input_new(on_input, t);
	t->last = grid_new(1, 1);
	return t;
}

void term_free(struct term **tp)
{
	struct term *t;

	if (tp == NULL || *tp == NULL)
		return;
	t = *tp;
	term_stop(t);
	theme_free(&t->theme);
	input_free(&t->input);
	grid_free(&t->last);
	t->magic = 0;
	free(t);
	*tp = NULL;
}

static bool is_modern(const char *type)
{
	static const char *const families[] = { "xterm",     "tmux",   "screen",  "rxvt",
						"alacritty", "foot",   "kitty",	  "wezterm",
						"konsole",   "vte",    "gnome",	  "st",
						"iterm",     "mintty", "contour", "ghostty" };

	for (size_t i = 0; type != NULL && i < ARRAY_LEN(families); i++)
		if (strncmp(type, families[i], strlen(families[i])) == 0)
			return true;
	return false;
}

static enum depth find_depth(const struct term *t)
{
	const char *no_colour = getenv("NO_COLOR");

	if (t->o.no_colour || (no_colour != NULL && no_colour[0] != '\0') || !has_colors())
		return DEPTH_MONO;
	if (COLORS >= 0x1000000)
		return DEPTH_TRUE;
	return COLORS >= 256  ? DEPTH_256
	       : COLORS >= 16 ? DEPTH_16
	       : COLORS >= 8  ? DEPTH_8
			      : DEPTH_MONO;
}

static void start_curses(struct term *t)
{
	set_term(t->screen);
	(void)raw();
	(void)noecho();
	(void)nonl();
	(void)keypad(stdscr, TRUE);
	(void)idlok(stdscr, FALSE);
	(void)leaveok(stdscr, FALSE);
	if (has_colors()) {
		(void)start_color();
		(void)use_default_colors();
	}
	t->depth = find_depth(t);
}

static void modes_on(struct term *t)
{
	put_modern(t, MODES_ON);
	if (!t->o.no_mouse)
		put_modern(t, MOUSE_ON);
}

static void undo_start(struct term *t)
{
	crash_disarm();
	loop_signal_free(&t->winch);
	loop_signal_free(&t->tstp);
	if (t->out != NULL)
		fclose(t->out);
	if (t->in != NULL)
		fclose(t->in);
	t->out = NULL;
	t->in = NULL;
	if (t->own_fd)
		close(t->fd);
	t->own_fd = false;
}

static int open_terminal(struct term *t, struct err *err)
{
	if (t->o.fd >= 0) {
		t->fd = t->o.fd;
	} else {
		t->fd = open("/dev/tty", O_RDWR | O_NOCTTY | O_CLOEXEC);
		if (t->fd < 0)
			return err_sys(err, errno, "opening the terminal");
		t->own_fd = true;
	}
	if (!isatty(t->fd))
		return err_sys(err, errno, "this is not a terminal");
	return 0;
}

int term_start(struct term *t, struct err *err)
{
	const char *type = t->o.type != NULL ? t->o.type : getenv("TERM");

	ASSERT(!t->started);
	if (open_terminal(t, err) < 0)
		goto fail;
	t->modern = is_modern(type);
	t->winch = loop_signal_new(t->o.loop, SIGWINCH, on_winch, t);
	t->tstp = loop_signal_new(t->o.loop, SIGTSTP, on_tstp, t);
	t->out = fdopen(dup(t->fd), "w");
	t->in = fdopen(dup(t->fd), "r");
	if (t->out == NULL || t->in == NULL) {
		(void)err_sys(err, errno, "opening the terminal");
		goto fail;
	}
	use_tioctl(TRUE); /* LINES and COLUMNS may be old; the kernel knows */
	crash_arm(t->fd);
	t->screen = newterm(type, t->out, t->in);
	if (t->screen == NULL) {
		(void)err_set(err, ERR_CONFIG,
			      "the terminal type '%s' (TERM) is not known here; try TERM=xterm or "
			      "TERM=vt100",
			      type != NULL ? type : "");
		goto fail;
	}
	start_curses(t);
	define_keys(t);
	modes_on(t);
	t->whole = true;
	t->started = true;
	t->escape = loop_timer_new(t->o.loop, "term.escape", on_escape, t);
	t->readable = loop_fd_new(t->o.loop, "term.read", t->fd, LOOP_READ, on_readable, t);
	return 0;
fail:
	undo_start(t);
	return err != NULL && err->code > 0 ? -err->code : -ERR_IO;
}

void term_stop(struct term *t)
{
	if (!t->started)
		return;
	t->started = false;
	loop_fd_free(&t->readable);
	loop_timer_free(&t->escape);
	put_modern(t, MODES_OFF);
	set_term(t->screen);
	(void)endwin();
	delscreen(t->screen);
	t->screen = NULL;
	undo_start(t);
}

void term_size(struct term *t, int *ret_rows, int *ret_cols)
{
	struct winsize ws;

	*ret_rows = 24;
	*ret_cols = 80;
	if (ioctl(t->fd, TIOCGWINSZ, &ws) == 0 && ws.ws_row > 0 && ws.ws_col > 0) {
		*ret_rows = ws.ws_row < GRID_MAX_ROWS ? ws.ws_row : GRID_MAX_ROWS;
		*ret_cols = ws.ws_col < GRID_MAX_COLS ? ws.ws_col : GRID_MAX_COLS;
	}
}

bool term_ready(struct term *t)
{
	struct pollfd p = { .fd = t->fd, .events = POLLOUT };

	return t->started && poll(&p, 1, 0) == 1 && (p.revents & POLLOUT) != 0;
}

void term_suspend(struct term *t)
{
	struct sigaction ours;
	struct sigaction stop = { .sa_handler = SIG_DFL };
	struct event ev = { .kind = EVENT_RESIZE };

	if (!t->started)
		return;
	put_modern(t, MODES_OFF);
	(void)endwin();
	(void)sigaction(SIGTSTP, &stop, &ours);
	(void)kill(0, SIGTSTP); /* the whole job, as Ctrl-Z does; we are stopped inside this call */
	(void)sigaction(SIGTSTP, &ours, NULL);
	modes_on(t);
	t->whole = true;
	term_size(t, &ev.rows, &ev.cols);
	t->o.event(&ev, t->o.arg);
}

void term_redraw(struct term *t)
{
	t->whole = true;
}

void term_theme_set(struct term *t, struct theme **theme)
{
	theme_free(&t->theme);
	t->theme = *theme;
	*theme = NULL;
	t->whole = true;
}

enum depth term_depth(const struct term *t)
{
	return t->depth;
}

/* --- frames --- */

static attr_t attributes(unsigned attrs)
{
	return (attrs & STYLE_BOLD ? A_BOLD : 0) | (attrs & STYLE_DIM ? A_DIM : 0) |
	       (attrs & STYLE_ITALIC ? A_ITALIC : 0) | (attrs & STYLE_UNDERLINE ? A_UNDERLINE : 0) |
	       (attrs & STYLE_REVERSE ? A_REVERSE : 0);
}

static int pair_of(const struct term *t, const struct style *s)
{
	int pair;

	if (t->depth == DEPTH_MONO || (s->fg < 0 && s->bg < 0))
		return 0;
	pair = alloc_pair(s->fg < 0 ? -1 : s->fg & 0xffffff, s->bg < 0 ? -1 : s->bg & 0xffffff);
	return pair > 0 ? pair : 0;
}

static void fill_cchar(const struct term *t, const struct cell *c, cchar_t *ret)
{
	struct style s = theme_style(t->theme, t->depth, c->role, c->under);
	wchar_t text[CELL_CPS + 1];
	int pair = pair_of(t, &s);

	for (int i = 0; i < CELL_CPS; i++)
		text[i] = (wchar_t)c->cp[i];
	text[CELL_CPS] = L'\0';
	(void)setcchar(ret, text, attributes(s.attrs), 0, &pair);
}

static void put_row(const struct term *t, const struct grid *g, int row)
{
	cchar_t line[GRID_MAX_COLS];
	int n = 0;

	for (int col = 0; col < grid_cols(g); col++) {
		const struct cell *c = grid_at(g, row, col);

		if (!(c->flags & CELL_TAIL))
			fill_cchar(t, c, &line[n++]);
	}
	(void)mvadd_wchnstr(row, 0, line, n);
}

static void fit_curses(struct term *t, const struct grid *g)
{
	if (LINES == grid_rows(g) && COLS == grid_cols(g))
		return;
	(void)resize_term(grid_rows(g), grid_cols(g));
	t->whole = true;
}

static bool put_rows(struct term *t, const struct grid *g)
{
	bool same_size = grid_rows(g) == grid_rows(t->last) && grid_cols(g) == grid_cols(t->last);
	bool changed = t->whole || !same_size;

	for (int row = 0; row < grid_rows(g); row++) {
		if (!t->whole && same_size && grid_row_same(g, t->last, row))
			continue;
		put_row(t, g, row);
		changed = true;
	}
	return changed;
}

static bool put_cursor(const struct term *t, const struct grid *g)
{
	int row = -1, col = 0, last_row = -1, last_col = 0;
	bool shown = grid_cursor(g, &row, &col);
	bool was = grid_cursor(t->last, &last_row, &last_col);

	if (shown)
		(void)move(row, col);
	if (shown != was || t->whole)
		(void)curs_set(shown ? 1 : 0);
	return shown != was || row != last_row || col != last_col;
}

void term_present(struct term *t, const struct grid *g)
{
	bool changed;

	if (!t->started)
		return;
	set_term(t->screen);
	fit_curses(t, g);
	if (t->whole)
		(void)clearok(curscr, TRUE);
	changed = put_rows(t, g);
	if (put_cursor(t, g) || changed) {
		put_modern(t, SYNC_BEGIN);
		(void)wnoutrefresh(stdscr);
		(void)doupdate();
		put_modern(t, SYNC_END);
	}
	t->whole = false;
	grid_copy(t->last, g);
}

/* --- clipboard --- */

static void put_base64(struct buf *b, struct str s)
{
	static const char digits[] =
		"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
	const uint8_t *p = (const uint8_t *)s.p;

	for (size_t i = 0; i < s.n; i += 3) {
		uint32_t v = (uint32_t)p[i] << 16 | (i + 1 < s.n ? (uint32_t)p[i + 1] << 8 : 0) |
			     (i + 2 < s.n ? p[i + 2] : 0);

		(void)buf_putc(b, digits[v >> 18]);
		(void)buf_putc(b, digits[v >> 12 & 63]);
		(void)buf_putc(b, i + 1 < s.n ? digits[v >> 6 & 63] : '=');
		(void)buf_putc(b, i + 2 < s.n ? digits[v & 63] : '=');
	}
}

/* What is pasted from the clipboard into a shell must not do anything there: no control characters.
 */
void term_clipboard(struct term *t, struct str text)
{
	AUTO_BUF clean = BUF_INIT(CLIPBOARD_MAX);
	AUTO_BUF seq = BUF_INIT(2 * CLIPBOARD_MAX);

	while (text.n > 0) {
		char utf8[4];
		uint32_t cp;
		size_t n = utf8_decode(text, &cp);

		if (!utf8_harmful(cp) || cp == '\n' || cp == '\t')
			(void)buf_put(&clean, utf8, utf8_encode(cp, utf8));
		text = str_from(text.p + n, text.n - n);
	}
	(void)buf_puts(&seq, "\033]52;c;");
	put_base64(&seq, buf_str(&clean));
	(void)buf_puts(&seq, "\a");
	if (t->started && !seq.full)
		put_modern(t, buf_cstr(&seq));
}

/* --- as a screen --- */

static struct term *term_of(void *screen)
{
	return OBJ(term, TERM_MAGIC, screen);
}

static void screen_size(void *screen, int *ret_rows, int *ret_cols)
{
	term_size(term_of(screen), ret_rows, ret_cols);
}

static bool screen_ready(void *screen)
{
	return term_ready(term_of(screen));
}

static void screen_present(void *screen, const struct grid *g)
{
	term_present(term_of(screen), g);
}

static void screen_redraw(void *screen)
{
	term_redraw(term_of(screen));
}

static void screen_suspend(void *screen)
{
	term_suspend(term_of(screen));
}

static int screen_theme(void *screen, const char *name, struct err *err)
{
	struct theme *theme = NULL;
	int result = theme_find(name, &theme, err);

	if (result >= 0)
		term_theme_set(term_of(screen), &theme);
	return result;
}

static void screen_clipboard(void *screen, struct str text)
{
	term_clipboard(term_of(screen), text);
}

const struct screen_ops term_screen = {
	.size = screen_size,
	.ready = screen_ready,
	.present = screen_present,
	.redraw = screen_redraw,
	.suspend = screen_suspend,
	.theme = screen_theme,
	.clipboard = screen_clipboard,
};
