/*
 * What is around a view: top bar, title line, notice, hint line; and the two texts made from the
 * action table, help and the menu of what is possible.
 */
#include <stdio.h>
#include <string.h>

#include "base/buf.h"
#include "base/fmt.h"
#include "base/mem.h"
#include "base/obj.h"
#include "cell/key.h"
#include "shell/shell_int.h"

#define TOP_ROWS 2    /* bar and title */
#define BOTTOM_ROWS 1 /* hint line */
#define HINT_GAP 2
#define SUBTITLE_MAX 512
#define SUBTITLE_ROOM 24 /* columns that it keeps where the names of the screens stand */
#define HELP_KEY_COLUMN 26
#define NOTICE_ROWS 4

/* As long as it is, within reason. */
static int notice_rows(const struct shell *s, const struct canvas *c)
{
	return canvas_wrap_rows(canvas_cols(c) - 3, NOTICE_ROWS, str_of(s->notice));
}

void chrome_body(const struct shell *s, const struct canvas *c, struct canvas *ret_body)
{
	int lines = notice_rows(s, c) + (s->status.banner[0] != '\0');

	*ret_body = canvas_sub(c, TOP_ROWS, 0, canvas_rows(c) - TOP_ROWS - BOTTOM_ROWS - lines,
			       canvas_cols(c));
}

/* --- top bar --- */

static void put_age(struct buf *b, const char *before, int64_t ms, const char *after)
{
	char age[FMT_SHORT_LEN];

	fmt_age(ms / 1000, age);
	(void)buf_printf(b, "%s%s%s", before, age, after);
}

/* "LOST, data of 2m10s ago, retry in 4s: connection closed": what matters most first. */
static void link_text(const struct shell *s, struct buf *b)
{
	static const char *const words[] = {
		[LINK_CONNECTING] = "CONNECTING",
		[LINK_ASKING] = "WAITING FOR YOU",
		[LINK_UP] = "",
		[LINK_LOST] = "LOST",
		[LINK_REFUSED] = "REFUSED",
	};
	const struct shell_status *st = &s->status;
	int64_t now = shell_wall_ms(s);
	int64_t data = st->data_wall_ms;
	struct view *v = shell_view(s);
	int64_t known = v != NULL && v->def->known_wall_ms != NULL ? v->def->known_wall_ms(v) : 0;

	if (st->link == LINK_UP)
		return;
	(void)buf_puts(b, words[st->link]);
	if (known != 0 && known < data)
		data = known;
	if (data > 0)
		put_age(b, ", data of ", now - data, " ago");
	if (st->retry_wall_ms > now)
		put_age(b, ", retry in ", st->retry_wall_ms - now, "");
	if (st->link == LINK_REFUSED)
		(void)buf_puts(b, ", Ctrl-R tries again");
	if (st->trouble[0] != '\0')
		(void)buf_printf(b, ": %s", st->trouble);
}

static void draw_top(const struct shell *s, const struct canvas *c)
{
	const struct shell_status *st = &s->status;
	struct canvas bar = canvas_sub(c, 0, 0, 1, canvas_cols(c));
	AUTO_BUF text = BUF_INIT(SUBTITLE_MAX);
	enum role role = st->production ? ROLE_TOPBAR_PROD : ROLE_TOPBAR;
	char now[FMT_TIME_LEN];
	int right;
	int at = 1;

	if (st->link != LINK_UP)
		role = ROLE_TOPBAR_LOST;
	canvas_clear(&bar, role);
	at += canvas_puts(&bar, 0, at, role,
			  st->relay[0] != '\0' ? str_of(st->relay) : STR("weir"));
	if (st->production)
		at += canvas_puts(&bar, 0, at, role, STR(" PRODUCTION"));
	if (st->role[0] != '\0')
		at += canvas_printf(&bar, 0, at, role, "  %s%s", st->role,
				    s->o.readonly ? " (read only)" : "");
	if (s->frozen)
		at += canvas_printf(&bar, 0, at, role, "  FROZEN%s",
				    s->freeze_missed ? " (changes wait, p shows them)" : "");
	at += 2;
	fmt_time(shell_wall_ms(s), now);
	right = canvas_cols(&bar) - 10; /* HH:MM:SSZ and a blank */
	canvas_printf(&bar, 0, right, role, "%.8sZ", now + 11);
	link_text(s, &text);
	if (text.n == 0) {
		(void)buf_puts(&text, st->summary);
		if (text.n > 0) {
			int width = text_width(buf_str(&text));

			if (at + width + 2 < right)
				at = right - width - 2;
		}
	}
	canvas_field(&bar, 0, at, right - at - 2, ALIGN_LEFT, role, buf_str(&text));
}

/* --- title line --- */

/* As there is room: digits, with the first letters of the names, or with the names. */
enum tabs { TABS_DIGITS, TABS_SHORT, TABS_NAMES };

#define SHORT_LETTERS 3

static int tab_width(const struct view_def *def, enum tabs how)
{
	switch (how) {
	case TABS_DIGITS:
		break;
	case TABS_SHORT:
		return 2 + SHORT_LETTERS; /* the blank behind it is that of the next one */
	case TABS_NAMES:
		return text_width(str_of(def->title)) + 4;
	}
	return 3;
}

static int tabs_width(const struct shell *s, enum tabs how)
{
	int width = how == TABS_SHORT ? 1 : 0;

	for (int slot = 0; slot <= 9; slot++) {
		const struct view_def *def = view_def_slot(s, slot);

		if (def != NULL)
			width += tab_width(def, how);
	}
	return width;
}

static void draw_tab(const struct canvas *c, int row, int at, int slot, const struct view_def *def,
		     bool on, enum tabs how)
{
	enum role role = on ? ROLE_TAB_ON : ROLE_TAB;
	int from = at;

	at += canvas_printf(c, row, at, on ? ROLE_TAB_ON : ROLE_KEY, on ? "[%d" : " %d", slot);
	if (how == TABS_NAMES)
		at += canvas_printf(c, row, at, role, " %s", def->title);
	else if (how == TABS_SHORT)
		at += canvas_printf(c, row, at, role, "%.*s", SHORT_LETTERS, def->title);
	if (on || how != TABS_SHORT)
		at += canvas_puts(c, row, at, role, on ? STR("]") : STR(" "));
	canvas_hit(c, row, from, 1, at - from, (struct hit){ HIT_VIEW, NULL, (uint64_t)slot });
}

static void draw_tabs(const struct shell *s, const struct canvas *c, int row, int at, enum tabs how)
{
	struct view *v = shell_view(s);
	int on_at = 0, on = -1;

	for (int slot = 0; slot <= 9; slot++) {
		const struct view_def *def = view_def_slot(s, slot);

		if (def == NULL)
			continue;
		if (v != NULL && v->def == def) {
			on_at = at;
			on = slot;
		} else {
			draw_tab(c, row, at, slot, def, false, how);
		}
		at += tab_width(def, how);
	}
	if (on >= 0)
		draw_tab(c, row, on_at, on, v->def, true, how);
}

static void draw_title(const struct shell *s, const struct canvas *c)
{
	struct view *v = shell_view(s);
	AUTO_BUF sub = BUF_INIT(SUBTITLE_MAX);
	int cols = canvas_cols(c);
	int title, tabs, before, wanted;
	char beside[64] = "";
	enum tabs how = TABS_NAMES;

	if (v == NULL)
		return;
	if (v->def->subtitle != NULL)
		v->def->subtitle(v, &sub);
	title = text_width(str_of(v->def->title)) + 2;
	if (v->def->beside != NULL)
		(void)snprintf(beside, sizeof(beside), "Tab %s",
			       view_def_find(s, v->def->beside)->title);
	before = title + text_width(str_of(beside)) + (beside[0] != '\0' ? 2 : 0) + 2;
	wanted = text_width(buf_str(&sub));
	if (before + (wanted < SUBTITLE_ROOM ? wanted : SUBTITLE_ROOM) + tabs_width(s, how) > cols)
		how = TABS_SHORT;
	if (how == TABS_SHORT && before + wanted + tabs_width(s, how) > cols)
		how = TABS_DIGITS;
	tabs = tabs_width(s, how);
	canvas_puts(c, 1, 1, ROLE_TITLE, str_of(v->def->title));
	if (beside[0] != '\0')
		title += canvas_puts(c, 1, title + 1, ROLE_DIM, str_of(beside)) + 2;
	canvas_field(c, 1, title + 1, cols - tabs - title - 2, ALIGN_LEFT, ROLE_TEXT,
		     buf_str(&sub));
	draw_tabs(s, c, 1, cols - tabs, how);
}

/* --- hint line --- */

static int hint_width(const struct shell *s, enum action_id a)
{
	char key[KEY_NAME_LEN];

	key_label(keymap_key(s->keymap, a, 0), s->o.ascii, key);
	return text_width(str_of(key)) + 1 + text_width(str_of(action_defs[a].title));
}

static int draw_hint(struct shell *s, const struct canvas *c, int row, int at, enum action_id a)
{
	const struct action_def *d = &action_defs[a];
	bool off = shell_refusal(s, a) != NULL;
	enum role role = off ? ROLE_KEY_OFF : d->danger != DANGER_NONE ? ROLE_KEY_DANGER : ROLE_KEY;
	char key[KEY_NAME_LEN];
	int from = at;

	key_label(keymap_key(s->keymap, a, 0), s->o.ascii, key);
	at += canvas_puts(c, row, at, role, str_of(key));
	at += canvas_puts(c, row, at + 1, off ? ROLE_KEY_OFF : ROLE_KEY_TEXT, str_of(d->title)) + 1;
	canvas_hit(c, row, from, 1, at - from, (struct hit){ HIT_ACTION, NULL, a });
	return at - from;
}

static void draw_view_hints(struct shell *s, const struct canvas *c, int row)
{
	static const enum action_id always[] = { A_MENU, A_PALETTE, A_HELP };
	struct view *v = shell_view(s);
	int room = canvas_cols(c) - 1;
	int at = 1;

	for (size_t i = 0; i < ARRAY_LEN(always); i++)
		room -= hint_width(s, always[i]) + HINT_GAP;
	if (v != NULL && v->def->actions != NULL) {
		for (const enum action_id *a = v->def->actions; *a != A_NONE; a++) {
			if (keymap_key(s->keymap, *a, 0) == 0 || at + hint_width(s, *a) > room)
				continue;
			at += draw_hint(s, c, row, at, *a) + HINT_GAP;
		}
	}
	for (size_t i = 0; i < ARRAY_LEN(always); i++)
		at += draw_hint(s, c, row, at, always[i]) + HINT_GAP;
}

static void draw_hints(struct shell *s, const struct canvas *c)
{
	int row = canvas_rows(c) - 1;
	struct overlay *o = overlay_top(s);

	canvas_fill(c, row, 0, 1, canvas_cols(c), ROLE_KEY_TEXT);
	if (o == NULL)
		draw_view_hints(s, c, row);
	else if (o->ops->hint != NULL)
		canvas_field(c, row, 1, canvas_cols(c) - 1, ALIGN_LEFT, ROLE_KEY_TEXT,
			     str_of(o->ops->hint));
}

static void draw_notice(const struct shell *s, const struct canvas *c)
{
	static const enum role roles[] = { ROLE_NOTICE, ROLE_NOTICE_WARN, ROLE_NOTICE_BAD };
	static const enum glyph signs[] = { GLYPH_BULLET, GLYPH_WARN, GLYPH_BAD };
	int rows = notice_rows(s, c);
	int row = canvas_rows(c) - 1 - rows;

	if (rows == 0)
		return;
	canvas_fill(c, row, 0, rows, canvas_cols(c), roles[s->notice_level]);
	canvas_glyph(c, row, 1, roles[s->notice_level], signs[s->notice_level]);
	(void)canvas_wrap(c, row, 3, rows, roles[s->notice_level], str_of(s->notice));
}

/* What is to be typed is always there; what it is about as far as there is room. */
static void draw_banner(const struct shell *s, const struct canvas *c)
{
	int row = canvas_rows(c) - 2 - notice_rows(s, c);
	struct str keys = str_of(s->status.banner_keys);
	int right = canvas_cols(c) - text_width(keys) - 1;
	int64_t left_ms = s->status.banner_wall_ms - shell_wall_ms(s);
	AUTO_BUF text = BUF_INIT(600);

	if (s->status.banner[0] == '\0')
		return;
	(void)buf_puts(&text, s->status.banner);
	if (s->status.banner_wall_ms != 0)
		put_age(&text, " in ", left_ms > 0 ? left_ms : 0, "");
	(void)buf_puts(&text, s->status.banner_about);
	canvas_fill(c, row, 0, 1, canvas_cols(c), ROLE_NOTICE_WARN);
	canvas_glyph(c, row, 1, ROLE_NOTICE_WARN, GLYPH_WARN);
	canvas_field(c, row, 3, right - 4, ALIGN_LEFT, ROLE_NOTICE_WARN, buf_str(&text));
	canvas_puts(c, row, right, ROLE_NOTICE_WARN, keys);
}

void chrome_draw(struct shell *s, const struct canvas *c)
{
	draw_top(s, c);
	draw_title(s, c);
	draw_hints(s, c);
	draw_notice(s, c);
	draw_banner(s, c);
}

/* --- help and menu --- */

const char *chrome_help_of(const struct shell *s, enum action_id a)
{
	struct view *v = shell_view(s);
	const struct view_verb *verb = v != NULL ? v->def->verbs : NULL;

	if (action_slot(a) >= 0)
		return view_def_slot(s, action_slot(a))->title;
	for (; verb != NULL && verb->action != A_NONE; verb++)
		if (verb->action == a)
			return verb->help != NULL ? verb->help : method_defs[verb->method].summary;
	return action_defs[a].help;
}

static bool in_help(const struct shell *s, enum action_id a)
{
	enum action_group g = action_defs[a].group;
	struct view *v = shell_view(s);

	if (g == GROUP_MOVE)
		return true;
	if (action_slot(a) >= 0)
		return view_def_slot(s, action_slot(a)) != NULL;
	if (g == GROUP_SCREEN)
		return a != A_REFRESH || (v != NULL && view_handles(v, a));
	return (v != NULL && view_handles(v, a)) ||
	       (g != GROUP_CHANGE && view_def_find(s, action_defs[a].name) != NULL);
}

static void add_help(struct shell *s, struct text *body, enum action_id a)
{
	const char *refusal = shell_refusal(s, a);
	AUTO_BUF line = BUF_INIT(SUBTITLE_MAX);
	char keys[KEYMAP_KEYS_LEN];
	char label[KEYMAP_KEYS_LEN + 8];

	keymap_keys(s->keymap, a, keys);
	snprintf(label, sizeof(label), "  %s", keys);
	(void)buf_puts(&line, chrome_help_of(s, a));
	if (refusal != NULL)
		(void)buf_printf(&line, " [not now: %s]", refusal);
	text_add_field(body, HELP_KEY_COLUMN, label, refusal != NULL ? ROLE_DIM : ROLE_TEXT,
		       buf_str(&line));
}

void chrome_help(struct shell *s)
{
	static const enum action_group order[] = { GROUP_CHANGE, GROUP_LOOK, GROUP_LIST, GROUP_MOVE,
						   GROUP_SCREEN };
	struct view *v = shell_view(s);
	char title[128];
	struct text *body;

	snprintf(title, sizeof(title), "Keys of %s", v != NULL ? v->def->title : "the console");
	body = shell_page_body(s, shell_page(s, NULL, title));
	if (v != NULL && v->def->help != NULL)
		text_add(body, ROLE_TEXT, str_of(v->def->help));
	text_add(body, ROLE_DIM,
		 STR("Small letters and signs never change the relay; capitals ask first."));
	for (size_t g = 0; g < ARRAY_LEN(order); g++) {
		bool begun = false;

		for (int a = 0; a < A__COUNT; a++) {
			if (action_defs[a].group != order[g] || !in_help(s, (enum action_id)a))
				continue;
			if (!begun) {
				text_add(body, ROLE_TEXT, STR(""));
				text_add(body, ROLE_TITLE, str_of(action_group_title(order[g])));
			}
			begun = true;
			add_help(s, body, (enum action_id)a);
		}
	}
}

static void on_menu(void *arg, uint64_t id)
{
	struct shell *s = OBJ(shell, SHELL_MAGIC, arg);

	if (id > 0)
		shell_run(s, (enum action_id)(id - 1));
}

static void add_item(struct shell *s, struct menu_item *it, enum action_id a, char *refusal_copy,
		     size_t size)
{
	const struct action_def *d = &action_defs[a];
	const char *refusal = shell_refusal(s, a);

	*it = (struct menu_item){ .id = (uint64_t)a + 1,
				  .key = keymap_key(s->keymap, a, 0),
				  .title = d->title,
				  .help = chrome_help_of(s, a),
				  .danger = d->danger != DANGER_NONE };
	if (refusal != NULL) {
		snprintf(refusal_copy, size, "%s", refusal);
		it->why_not = refusal_copy;
	}
}

void chrome_menu(struct shell *s)
{
	static const enum action_group order[] = { GROUP_CHANGE, GROUP_LOOK, GROUP_LIST };
	struct menu_item items[A__COUNT];
	char refusals[A__COUNT][sizeof(s->refusal)];
	struct view *v = shell_view(s);
	int n = 0;

	for (size_t g = 0; v != NULL && g < ARRAY_LEN(order); g++) {
		for (int a = 0; a < A__COUNT; a++) {
			if (action_defs[a].group == order[g] && a != A_MENU &&
			    view_handles(v, (enum action_id)a)) {
				add_item(s, &items[n], (enum action_id)a, refusals[n],
					 sizeof(refusals[n]));
				n++;
			}
		}
	}
	if (n == 0) {
		shell_notice(s, NOTICE_INFO,
			     "nothing can be done here but looking; ? shows the keys");
		return;
	}
	(void)shell_menu(s, &(struct shell_menu){ .title = "What can be done here",
						  .items = items,
						  .n = n,
						  .done = on_menu,
						  .arg = s });
}
