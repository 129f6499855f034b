/*
 * Bytes wait in `seq` until they make an event: parse() looks at the beginning of it and says how
 * many bytes it took, or 0 for "not enough yet". Inside a paste, bytes go to `paste` until the end
 * mark.
 */
#include "term/input.h"

#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/mem.h"
#include "base/utf8.h"
#include "term/term.h"

#define ESC 0x1b
#define MAX_PARAMS 4
#define PARAM_MAX 65535
#define PASTE_END "\033[201~"
#define PASTE_END_LEN (sizeof(PASTE_END) - 1)

struct input {
	input_event_fn *fn;
	void *arg;
	uint8_t seq[INPUT_SEQ_MAX];
	size_t n;
	bool skipping; /* inside a string (OSC, DCS, …) or an overlong sequence: until its end */
	bool in_paste;
	struct buf paste;
	int n_defined;
	struct {
		char seq[16];
		size_t n;
		uint32_t key;
	} defined[INPUT_MAX_DEFINED];
};

struct input *input_new(input_event_fn *fn, void *arg)
{
	struct input *in = xcalloc(1, sizeof(*in));

	in->fn = fn;
	in->arg = arg;
	in->paste = BUF_INIT(TERM_PASTE_MAX);
	return in;
}

void input_free(struct input **ip)
{
	if (ip == NULL || *ip == NULL)
		return;
	buf_done(&(*ip)->paste);
	free(*ip);
	*ip = NULL;
}

void input_define(struct input *in, const char *seq, uint32_t key)
{
	size_t n = strlen(seq);

	if (n < 2 || n >= sizeof(in->defined[0].seq) || seq[0] != ESC ||
	    in->n_defined == INPUT_MAX_DEFINED)
		return;
	memcpy(in->defined[in->n_defined].seq, seq, n + 1);
	in->defined[in->n_defined].n = n;
	in->defined[in->n_defined].key = key;
	in->n_defined++;
}

static void emit(struct input *in, uint32_t key)
{
	struct event ev = EVENT_OF_KEY(key);

	if (key != 0)
		in->fn(&ev, in->arg);
}

/* --- plain characters --- */

static uint32_t control_key(uint8_t c)
{
	switch (c) {
	case '\r':
	case '\n':
		return K_ENTER;
	case '\t':
		return K_TAB;
	case 0x7f:
	case 0x08:
		return K_BACKSPACE;
	case ESC:
		return K_ESC;
	case 0:
		return K_CTRL | ' ';
	default:
		return K_CTRL | (uint32_t)(c < 27 ? c + 'a' - 1 : c + '@');
	}
}

static size_t utf8_need(uint8_t c)
{
	return c < 0xc2 ? 1 : c < 0xe0 ? 2 : c < 0xf0 ? 3 : c < 0xf5 ? 4 : 1;
}

/* One character at p; takes bytes, 0 when it is not complete. What is not text gives key 0. */
static size_t take_char(const uint8_t *p, size_t n, uint32_t *ret_key)
{
	uint32_t cp;
	size_t took;

	if (p[0] < 0x20 || p[0] == 0x7f) {
		*ret_key = control_key(p[0]);
		return 1;
	}
	if (n < utf8_need(p[0])) {
		for (size_t i = 1; i < n; i++)
			if ((p[i] & 0xc0) != 0x80)
				goto decode; /* it will never become complete */
		return 0;
	}
decode:
	took = utf8_decode(str_from((const char *)p, n), &cp);
	*ret_key = cp == UTF8_REPLACEMENT || utf8_harmful(cp) ? 0 : cp;
	return took;
}

/* --- sequences --- */

struct csi {
	char mark; /* '<', '?', '>' or 0 */
	int param[MAX_PARAMS];
	int n;
	char final;
};

static uint32_t modifiers(int param)
{
	unsigned bits = param > 0 ? (unsigned)param - 1 : 0;

	return (bits & 1 ? K_SHIFT : 0) | (bits & 2 || bits & 8 ? K_ALT : 0) |
	       (bits & 4 ? K_CTRL : 0);
}

static uint32_t tilde_key(int code)
{
	static const struct {
		int code;
		uint32_t key;
	} keys[] = {
		{ 1, K_HOME },	  { 2, K_INSERT },    { 3, K_DELETE },	 { 4, K_END },
		{ 5, K_PAGE_UP }, { 6, K_PAGE_DOWN }, { 7, K_HOME },	 { 8, K_END },
		{ 11, K_F1 },	  { 12, K_F1 + 1 },   { 13, K_F1 + 2 },	 { 14, K_F1 + 3 },
		{ 15, K_F1 + 4 }, { 17, K_F1 + 5 },   { 18, K_F1 + 6 },	 { 19, K_F1 + 7 },
		{ 20, K_F1 + 8 }, { 21, K_F1 + 9 },   { 23, K_F1 + 10 }, { 24, K_F12 },
	};

	for (size_t i = 0; i < ARRAY_LEN(keys); i++)
		if (keys[i].code == code)
			return keys[i].key;
	return 0;
}

static uint32_t letter_key(char c)
{
	static const struct {
		char c;
		uint32_t key;
	} keys[] = {
		{ 'A', K_UP },	   { 'B', K_DOWN },   { 'C', K_RIGHT }, { 'D', K_LEFT },
		{ 'H', K_HOME },   { 'F', K_END },    { 'P', K_F1 },	{ 'Q', K_F1 + 1 },
		{ 'R', K_F1 + 2 }, { 'S', K_F1 + 3 }, { 'M', K_ENTER },
	};

	for (size_t i = 0; i < ARRAY_LEN(keys); i++)
		if (keys[i].c == c)
			return keys[i].key;
	return 0;
}

/* A key given by its code point, as in CSI u and modifyOtherKeys. */
static uint32_t code_key(int code, uint32_t mods)
{
	uint32_t key;

	if (code < 0x20 || code == 0x7f)
		return code == 0 ? 0 : (control_key((uint8_t)code) | mods);
	key = (uint32_t)code;
	if (utf8_harmful(key))
		return 0;
	mods &= ~K_SHIFT; /* the code point has it */
	if ((mods & K_CTRL) && key >= 'A' && key <= 'Z')
		key += 'a' - 'A';
	return key | mods;
}

static void emit_mouse(struct input *in, int button, int col, int row, bool release)
{
	static const enum mouse_button buttons[] = { MOUSE_LEFT, MOUSE_MIDDLE, MOUSE_RIGHT,
						     MOUSE_NONE };
	struct event ev = { .kind = EVENT_MOUSE };

	ev.mouse.mods =
		(button & 4 ? K_SHIFT : 0) | (button & 8 ? K_ALT : 0) | (button & 16 ? K_CTRL : 0);
	ev.mouse.row = row > 0 ? row - 1 : 0;
	ev.mouse.col = col > 0 ? col - 1 : 0;
	ev.mouse.action = release ? MOUSE_RELEASE : button & 32 ? MOUSE_DRAG : MOUSE_PRESS;
	ev.mouse.button = buttons[button & 3];
	if ((button & 0xc0) == 64) {
		if ((button & 3) > 1)
			return; /* sideways wheel */
		ev.mouse.button = button & 1 ? MOUSE_WHEEL_DOWN : MOUSE_WHEEL_UP;
	} else if (button & 0xc0) {
		return; /* buttons 8 and up */
	}
	in->fn(&ev, in->arg);
}

static void emit_focus(struct input *in, bool focused)
{
	struct event ev = { .kind = EVENT_FOCUS, .focused = focused };

	in->fn(&ev, in->arg);
}

static void do_tilde(struct input *in, const struct csi *c)
{
	if (c->param[0] == 200) {
		in->in_paste = true;
		buf_reset(&in->paste);
	} else if (c->param[0] == 27 && c->n == 3) {
		emit(in, code_key(c->param[2], modifiers(c->param[1])));
	} else if (tilde_key(c->param[0]) != 0) {
		emit(in, tilde_key(c->param[0]) | modifiers(c->param[1]));
	}
}

static void do_csi(struct input *in, const struct csi *c)
{
	if (c->mark == '<') {
		if ((c->final == 'M' || c->final == 'm') && c->n == 3)
			emit_mouse(in, c->param[0], c->param[1], c->param[2], c->final == 'm');
		return;
	}
	if (c->mark != 0)
		return; /* answers of the terminal */
	if (c->final == '~')
		do_tilde(in, c);
	else if (c->final == 'u')
		emit(in, code_key(c->param[0], modifiers(c->param[1])));
	else if (c->final == 'Z')
		emit(in, K_TAB | K_SHIFT);
	else if (c->final == 'I' || c->final == 'O')
		emit_focus(in, c->final == 'I');
	else if (letter_key(c->final) != 0 && c->final != 'M')
		emit(in, letter_key(c->final) | modifiers(c->param[1]));
}

/* CSI: returns its length, 0 when it is not complete. */
static size_t take_csi(struct input *in, const uint8_t *p, size_t n)
{
	struct csi c = { .n = 0 };
	size_t i = 2;

	if (n > 2 && p[2] == 'M') {
		if (n < 6)
			return 0;
		emit_mouse(in, p[3] >= 32 ? p[3] - 32 : 0, p[4] >= 32 ? p[4] - 32 : 0,
			   p[5] >= 32 ? p[5] - 32 : 0, p[3] >= 32 && ((p[3] - 32) & 0xc3) == 3);
		return 6;
	}
	if (n > 2 && p[2] == '[') { /* linux console: F1 to F5 */
		if (n < 4)
			return 0;
		if (p[3] >= 'A' && p[3] <= 'E')
			emit(in, K_F1 + p[3] - 'A');
		return 4;
	}
	if (i < n && strchr("<=>?", p[i]) != NULL && p[i] != 0)
		c.mark = (char)p[i++];
	for (; i < n; i++) {
		if (p[i] >= '0' && p[i] <= '9') {
			int *v = &c.param[c.n < MAX_PARAMS ? c.n : MAX_PARAMS - 1];

			*v = *v * 10 + (p[i] - '0');
			*v = *v > PARAM_MAX ? PARAM_MAX : *v;
		} else if (p[i] == ';' || p[i] == ':') {
			c.n++;
		} else if (p[i] >= 0x40 && p[i] <= 0x7e) {
			c.final = (char)p[i];
			c.n = c.n + 1 > MAX_PARAMS ? MAX_PARAMS : c.n + 1;
			do_csi(in, &c);
			return i + 1;
		} else if (p[i] < 0x20 || p[i] > 0x7e) {
			return i; /* broken off; what follows counts again */
		}
	}
	return 0;
}

/* The longest defined sequence at p; *ret_prefix when one could still be on its way. */
static size_t match_defined(const struct input *in, const uint8_t *p, size_t n, uint32_t *ret_key,
			    bool *ret_prefix)
{
	size_t best = 0;

	*ret_prefix = false;
	for (int i = 0; i < in->n_defined; i++) {
		size_t len = in->defined[i].n;

		if (len <= n && len > best && memcmp(in->defined[i].seq, p, len) == 0) {
			best = len;
			*ret_key = in->defined[i].key;
		} else if (len > n && memcmp(in->defined[i].seq, p, n) == 0) {
			*ret_prefix = true;
		}
	}
	return best;
}

static size_t take_escape(struct input *in, const uint8_t *p, size_t n)
{
	uint32_t key = 0;
	bool prefix;
	size_t took = match_defined(in, p, n, &key, &prefix);

	if (took > 0) {
		emit(in, key);
		return took;
	}
	if (n < 2 || (prefix && n < 3))
		return 0;
	switch (p[1]) {
	case '[':
		return take_csi(in, p, n);
	case 'O':
		if (n < 3)
			return 0;
		emit(in, letter_key((char)p[2]));
		return 3;
	case ']':
	case 'P': /* strings: answers to questions nobody asked */
		if (n < 3)
			return 0;
		in->skipping = true;
		return 2;
	case ESC:
		emit(in, K_ESC);
		return 1;
	default:
		took = take_char(p + 1, n - 1, &key);
		if (took == 0)
			return 0;
		emit(in, key != 0 ? key | K_ALT : 0);
		return took + 1;
	}
}

/* Skips to the end of a string: BEL or ESC \. Takes all but an Esc at the very end. */
static size_t skip_string(struct input *in, const uint8_t *p, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		if (p[i] == '\a' || p[i] == 0x18) {
			in->skipping = false;
			return i + 1;
		}
		if (p[i] != ESC)
			continue;
		if (i + 1 == n)
			return i;
		in->skipping = false;
		return p[i + 1] == '\\' ? i + 2 : i;
	}
	return n;
}

static void end_paste(struct input *in)
{
	struct event ev = { .kind = EVENT_PASTE, .paste = buf_str(&in->paste) };

	in->in_paste = false;
	in->fn(&ev, in->arg);
	buf_reset(&in->paste);
}

static void put_paste(struct input *in, const uint8_t *p, size_t n)
{
	size_t room = TERM_PASTE_MAX - in->paste.n;

	if (room > 1)
		(void)buf_put(&in->paste, p, n < room - 1 ? n : room - 1);
}

/* Moves bytes to the paste up to its end mark; keeps back what may be the beginning of one. */
static size_t take_paste(struct input *in, const uint8_t *p, size_t n)
{
	const uint8_t *end = memmem(p, n, PASTE_END, PASTE_END_LEN);
	size_t keep = 0;

	if (end != NULL) {
		put_paste(in, p, (size_t)(end - p));
		end_paste(in);
		return (size_t)(end - p) + PASTE_END_LEN;
	}
	for (size_t k = 1; k < PASTE_END_LEN && k <= n; k++)
		if (memcmp(p + n - k, PASTE_END, k) == 0)
			keep = k;
	put_paste(in, p, n - keep);
	return n - keep;
}

static size_t parse(struct input *in, const uint8_t *p, size_t n)
{
	uint32_t key;
	size_t took;

	if (in->in_paste)
		return take_paste(in, p, n);
	if (in->skipping)
		return skip_string(in, p, n);
	if (p[0] == ESC)
		return take_escape(in, p, n);
	took = take_char(p, n, &key);
	if (took > 0)
		emit(in, key);
	return took;
}

static void drop(struct input *in, size_t n)
{
	memmove(in->seq, in->seq + n, in->n - n);
	in->n -= n;
}

void input_feed(struct input *in, const uint8_t *p, size_t n)
{
	while (n > 0) {
		size_t room = sizeof(in->seq) - in->n;
		size_t part = n < room ? n : room;
		size_t took;

		memcpy(in->seq + in->n, p, part);
		in->n += part;
		p += part;
		n -= part;
		while (in->n > 0 && (took = parse(in, in->seq, in->n)) > 0)
			drop(in, took);
		if (in->n == sizeof(in->seq))
			in->n = 0; /* a sequence nobody would send */
	}
}

bool input_pending(const struct input *in)
{
	return in->n > 0 || in->in_paste || in->skipping;
}

void input_timeout(struct input *in)
{
	if (in->in_paste) {
		put_paste(in, in->seq, in->n);
		end_paste(in);
	} else if (!in->skipping && in->n == 1 && in->seq[0] == ESC) {
		emit(in, K_ESC);
	} else if (!in->skipping && in->n == 2 && in->seq[0] == ESC) {
		uint32_t key = 0;

		if (take_char(in->seq + 1, 1, &key) == 1 && key != 0)
			emit(in, key | K_ALT);
	}
	in->skipping = false;
	in->n = 0;
}
