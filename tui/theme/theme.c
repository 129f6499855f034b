/*
 * A theme holds for each role what its file said (set) and, after resolve(), what that means with
 * the fallbacks filled in. There are three looks a role: rich (256 and true colour), 16 and mono.
 * Without a 16-colour look the rich one is brought down to the nearest; without a mono look the
 * attributes of roles.def count, so no theme can make the console unreadable without colour.
 */
#include "theme/theme.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/mem.h"
#include "base/obj.h"
#include "theme/colour.h"

#define COLOUR_UNSET (-2)
#define THEME_MAX_NAMES 64
#define THEME_SUFFIX ".theme"
#define WORD_MAX 32

struct look {
	int fg, bg;
	unsigned attrs;
	bool attrs_set;
};

struct role_look {
	struct look rich;
	struct look few;  /* 16 colours and fewer */
	struct look mono; /* only attrs */
	bool set;
	bool has_few;
};

struct theme {
	char name[THEME_NAME_MAX];
	struct role_look look[ROLE__COUNT];
};

static const struct role_def {
	const char *name;
	enum role fallback;
	const char *builtin;
	unsigned mono;
	const char *meaning;
} roles[ROLE__COUNT] = {
#define ROLE(id, name, fallback, builtin, mono, meaning)                                           \
	[ROLE_##id] = { name, ROLE_##fallback, builtin, mono, meaning },
#include "theme/roles.def"
#undef ROLE
};

static const char *const colour_names[16] = {
	"black",	"red",		 "green",	"yellow",	  "blue",
	"magenta",	"cyan",		 "white",	"bright-black",	  "bright-red",
	"bright-green", "bright-yellow", "bright-blue", "bright-magenta", "bright-cyan",
	"bright-white",
};

static const struct {
	const char *name;
	unsigned bit;
} attr_names[] = {
	{ "bold", STYLE_BOLD },		  { "dim", STYLE_DIM },		{ "italic", STYLE_ITALIC },
	{ "underline", STYLE_UNDERLINE }, { "reverse", STYLE_REVERSE },
};

const char *theme_role_name(enum role r)
{
	return roles[r].name;
}

const char *theme_role_meaning(enum role r)
{
	return roles[r].meaning;
}

/* --- the file --- */

static bool parse_colour(struct str w, int *ret_colour)
{
	uint64_t n;

	if (str_eq(w, STR("-"))) {
		*ret_colour = COLOUR_UNSET;
		return true;
	}
	if (str_eq(w, STR("default"))) {
		*ret_colour = COLOUR_DEFAULT;
		return true;
	}
	for (int i = 0; i < 16; i++) {
		if (str_eq(w, str_of(colour_names[i]))) {
			*ret_colour = i;
			return true;
		}
	}
	if (w.n == 7 && w.p[0] == '#') {
		char hex[7];
		char *end;

		memcpy(hex, w.p + 1, 6);
		hex[6] = '\0';
		if (strspn(hex, "0123456789abcdefABCDEF") != 6)
			return false;
		*ret_colour = COLOUR_RGB | (int)strtoul(hex, &end, 16);
		return true;
	}
	if (!str_u64(w, 255, &n))
		return false;
	*ret_colour = (int)n;
	return true;
}

static struct str next_word(struct str *rest)
{
	*rest = str_trim(*rest);
	return str_trim(str_cut(rest, ' '));
}

static int parse_attrs(struct str text, unsigned *ret_attrs, struct err *err)
{
	unsigned attrs = 0;

	for (struct str w = next_word(&text); w.n > 0; w = next_word(&text)) {
		size_t i = 0;

		while (i < ARRAY_LEN(attr_names) && !str_eq(w, str_of(attr_names[i].name)))
			i++;
		if (i == ARRAY_LEN(attr_names))
			return err_set(err, ERR_CONFIG,
				       "'%.*s' is no attribute: bold, dim, italic, underline and "
				       "reverse are",
				       (int)(w.n < WORD_MAX ? w.n : WORD_MAX), w.p);
		attrs |= attr_names[i].bit;
	}
	*ret_attrs = attrs;
	return 0;
}

static int parse_look(struct str text, struct look *ret_look, struct err *err)
{
	struct look look = { COLOUR_UNSET, COLOUR_UNSET, 0, false };
	int *const part[] = { &look.fg, &look.bg };

	for (size_t i = 0; i < ARRAY_LEN(part); i++) {
		struct str w = next_word(&text);

		if (w.n > 0 && !parse_colour(w, part[i]))
			return err_set(err, ERR_CONFIG,
				       "'%.*s' is no colour: default, -, a name such as red or "
				       "bright-red, #rrggbb or 0 to 255 are",
				       (int)(w.n < WORD_MAX ? w.n : WORD_MAX), w.p);
	}
	text = str_trim(text);
	look.attrs_set = text.n > 0;
	if (parse_attrs(text, &look.attrs, err) < 0)
		return -ERR_CONFIG;
	*ret_look = look;
	return 0;
}

static int parse_value(struct role_look *to, struct str value, struct err *err)
{
	struct str rest = value;
	struct str rich = str_cut(&rest, '|');
	struct str few = str_trim(str_cut(&rest, '|'));
	struct str mono = str_trim(rest);

	if (parse_look(rich, &to->rich, err) < 0)
		return -ERR_CONFIG;
	to->set = true;
	if (few.n > 0) {
		if (parse_look(few, &to->few, err) < 0)
			return -ERR_CONFIG;
		to->has_few = true;
	}
	if (mono.n > 0) {
		if (parse_attrs(mono, &to->mono.attrs, err) < 0)
			return -ERR_CONFIG;
		to->mono.attrs_set = true;
	}
	return 0;
}

static int parse_line(struct theme *t, struct str line, struct err *err)
{
	struct str value = line;
	struct str name = str_trim(str_cut(&value, '='));

	if (name.n == line.n || value.n == 0)
		return err_set(err, ERR_CONFIG, "a line is 'role = FG BG ATTRIBUTES'");
	for (int r = 0; r < ROLE__COUNT; r++) {
		if (!str_eq(name, str_of(roles[r].name)))
			continue;
		if (t->look[r].set)
			return err_set(err, ERR_CONFIG, "'%s' is set twice", roles[r].name);
		return parse_value(&t->look[r], value, err);
	}
	return err_set(err, ERR_CONFIG, "there is no role '%.*s'",
		       (int)(name.n < WORD_MAX ? name.n : WORD_MAX), name.p);
}

/* Cuts a comment off: a # at the start of the line, or behind and before a blank. */
static struct str without_comment(struct str line)
{
	line = str_trim(line);
	for (size_t i = 0; i < line.n; i++) {
		bool begins = i == 0 || line.p[i - 1] == ' ' || line.p[i - 1] == '\t';
		bool colour = i > 0 && i + 1 < line.n && line.p[i + 1] != ' ';

		if (line.p[i] == '#' && begins && !colour)
			line.n = i;
	}
	return str_trim(line);
}

/* --- fallbacks --- */

static void inherit(struct look *to, const struct look *from)
{
	if (to->fg == COLOUR_UNSET)
		to->fg = from->fg;
	if (to->bg == COLOUR_UNSET)
		to->bg = from->bg;
}

/* Roles come after their fallbacks in roles.def (asserted), so one pass in order is enough. */
static void resolve(struct theme *t)
{
	for (int r = 0; r < ROLE__COUNT; r++) {
		struct role_look *to = &t->look[r];
		const struct role_look *from = &t->look[roles[r].fallback];

		ASSERT(r == ROLE_TEXT || roles[r].fallback < (enum role)r);
		if (r == ROLE_TEXT) {
			inherit(&to->rich,
				&(struct look){ COLOUR_DEFAULT, COLOUR_DEFAULT, 0, true });
		} else if (!to->set) {
			to->rich = from->rich;
			to->few = from->few;
			to->has_few = from->has_few;
		} else {
			inherit(&to->rich, &from->rich);
		}
		if (!to->has_few) {
			to->few = to->rich;
			to->few.fg = colour_down(to->rich.fg, DEPTH_16);
			to->few.bg = colour_down(to->rich.bg, DEPTH_16);
		}
		inherit(&to->few, &from->few);
		if (!to->mono.attrs_set)
			to->mono.attrs = roles[r].mono;
	}
}

static struct theme *theme_empty(const char *name)
{
	static const struct look unset = { COLOUR_UNSET, COLOUR_UNSET, 0, false };
	struct theme *t = xcalloc(1, sizeof(*t));

	snprintf(t->name, sizeof(t->name), "%s", name);
	for (int r = 0; r < ROLE__COUNT; r++) {
		t->look[r].rich = unset;
		t->look[r].few = unset;
		t->look[r].mono = unset;
	}
	return t;
}

struct theme *theme_builtin(void)
{
	struct theme *t = theme_empty("built-in");

	for (int r = 0; r < ROLE__COUNT; r++) {
		struct err err = ERR_INIT;

		if (roles[r].builtin[0] != '\0' &&
		    parse_value(&t->look[r], str_of(roles[r].builtin), &err) < 0)
			BUG("role %s: %s", roles[r].name, err.msg);
	}
	resolve(t);
	return t;
}

static void name_of(const char *file, char ret[static THEME_NAME_MAX])
{
	const char *slash = strrchr(file, '/');
	const char *base = slash != NULL ? slash + 1 : file;
	size_t n = strlen(base);
	size_t suffix = sizeof(THEME_SUFFIX) - 1;

	if (n > suffix && strcmp(base + n - suffix, THEME_SUFFIX) == 0)
		n -= suffix;
	snprintf(ret, THEME_NAME_MAX, "%.*s", (int)n, base);
}

int theme_parse(const char *file, struct str text, struct theme **ret_theme, struct err *err)
{
	char name[THEME_NAME_MAX];
	AUTO(theme) struct theme *t = NULL;
	int number = 0;

	name_of(file, name);
	t = theme_empty(name);
	while (text.n > 0) {
		struct str line = without_comment(str_cut(&text, '\n'));

		number++;
		if (line.n > 0 && parse_line(t, line, err) < 0)
			return err_prefix(err, "%s:%d", file, number);
	}
	resolve(t);
	*ret_theme = t;
	t = NULL;
	return 0;
}

int theme_load(const char *path, struct theme **ret_theme, struct err *err)
{
	AUTO_BUF text = BUF_INIT(THEME_FILE_MAX);
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	int result;

	if (fd < 0)
		return err_sys(err, errno, "%s", path);
	for (;;) {
		ssize_t n;

		if (!buf_reserve(&text, 4096)) {
			result = err_set(err, ERR_CONFIG,
					 "%s is larger than a theme can be (%d bytes)", path,
					 THEME_FILE_MAX);
			goto out;
		}
		n = read(fd, text.p + text.n, 4096);
		if (n < 0) {
			result = err_sys(err, errno, "%s", path);
			goto out;
		}
		if (n == 0)
			break;
		text.n += (size_t)n;
	}
	result = theme_parse(path, buf_str(&text), ret_theme, err);
out:
	close(fd);
	return result;
}

void theme_free(struct theme **tp)
{
	if (tp == NULL || *tp == NULL)
		return;
	free(*tp);
	*tp = NULL;
}

const char *theme_name(const struct theme *t)
{
	return t->name;
}

bool theme_covers(const struct theme *t, enum role role)
{
	while (role != ROLE_TEXT && !t->look[role].set)
		role = roles[role].fallback;
	return role != ROLE_TEXT || t->look[ROLE_TEXT].set;
}

/* --- where theme files are --- */

typedef bool dir_fn(const char *dir, void *arg); /* true ends the search */

/* The user's own, beside the build tree, installed beside the program, the system's. */
static void each_dir(dir_fn *fn, void *arg)
{
	static const char *const beside[] = { "/../themes", "/../../themes",
					      "/../share/weir/themes" };
	const char *config = getenv("XDG_CONFIG_HOME");
	const char *home = getenv("HOME");
	char exe[PATH_MAX - 64];
	char dir[PATH_MAX];
	ssize_t n = readlink("/proc/self/exe", exe, sizeof(exe) - 1);

	if (config != NULL && config[0] == '/')
		snprintf(dir, sizeof(dir), "%s/weir/themes", config);
	else
		snprintf(dir, sizeof(dir), "%s/.config/weir/themes", home != NULL ? home : "");
	if (fn(dir, arg))
		return;
	if (n > 0) {
		exe[n] = '\0';
		*strrchr(exe, '/') = '\0';
		for (size_t i = 0; i < ARRAY_LEN(beside); i++) {
			snprintf(dir, sizeof(dir), "%s%s", exe, beside[i]);
			if (fn(dir, arg))
				return;
		}
	}
	if (!fn("/usr/local/share/weir/themes", arg))
		(void)fn("/usr/share/weir/themes", arg);
}

struct name_list {
	char name[THEME_MAX_NAMES][THEME_NAME_MAX];
	size_t n;
};

static bool list_dir(const char *dir, void *arg)
{
	struct name_list *list = arg;
	DIR *d = opendir(dir);

	if (d == NULL)
		return false;
	for (struct dirent *e = readdir(d); e != NULL; e = readdir(d)) {
		char name[THEME_NAME_MAX];
		size_t i = 0;

		name_of(e->d_name, name);
		if (strcmp(name, e->d_name) == 0 || name[0] == '.')
			continue;
		while (i < list->n && strcmp(list->name[i], name) != 0)
			i++;
		if (i == list->n && list->n < THEME_MAX_NAMES)
			snprintf(list->name[list->n++], THEME_NAME_MAX, "%s", name);
	}
	closedir(d);
	return false;
}

static int by_name(const void *a, const void *b)
{
	return strcmp(a, b);
}

void theme_each(theme_name_fn *fn, void *arg)
{
	struct name_list *list = xcalloc(1, sizeof(*list));

	each_dir(list_dir, list);
	qsort(list->name, list->n, THEME_NAME_MAX, by_name);
	for (size_t i = 0; i < list->n; i++)
		fn(list->name[i], arg);
	free(list);
}

struct path_query {
	const char *name;
	char path[PATH_MAX];
	bool found;
};

static bool try_dir(const char *dir, void *arg)
{
	struct path_query *q = arg;
	int n = snprintf(q->path, sizeof(q->path), "%s/%s" THEME_SUFFIX, dir, q->name);

	q->found = n > 0 && n < PATH_MAX && access(q->path, R_OK) == 0;
	return q->found;
}

static void append_name(const char *name, void *arg)
{
	struct buf *b = arg;

	(void)buf_printf(b, "%s%s", b->n > 0 ? ", " : "", name);
}

int theme_find(const char *name, struct theme **ret_theme, struct err *err)
{
	struct path_query q = { .name = name };
	AUTO_BUF names = BUF_INIT(256);

	if (strchr(name, '/') != NULL)
		return theme_load(name, ret_theme, err);
	each_dir(try_dir, &q);
	if (q.found)
		return theme_load(q.path, ret_theme, err);
	theme_each(append_name, &names);
	return err_set(err, ERR_UNKNOWN, "there is no theme '%.*s'; there are: %s", WORD_MAX, name,
		       names.n > 0 ? buf_cstr(&names) : "none");
}

/* --- looks --- */

static struct style look_style(const struct role_look *l, enum depth depth)
{
	const struct look *look = depth >= DEPTH_256 ? &l->rich : &l->few;
	struct style s = { colour_down(look->fg, depth), colour_down(look->bg, depth),
			   depth == DEPTH_MONO ? l->mono.attrs : look->attrs };

	/* Eight colours have no bright ones: bold stands for them. */
	if (depth == DEPTH_8 && look->fg >= 8)
		s.attrs |= STYLE_BOLD;
	return s;
}

struct style theme_style(const struct theme *t, enum depth depth, enum role role, enum role under)
{
	struct style s = look_style(&t->look[role], depth);
	struct style u;

	if (under == ROLE_TEXT)
		return s;
	u = look_style(&t->look[under], depth);
	/* What has a ground of its own, such as a button, keeps it wherever it lies. */
	if (depth != DEPTH_MONO && s.bg != look_style(&t->look[ROLE_TEXT], depth).bg)
		return s;
	s.bg = u.bg;
	s.attrs |= u.attrs;
	/*
	 * The role keeps its colour on the row only where it can be read there; with few colours,
	 * whose real values nobody knows, never.
	 */
	if ((depth <= DEPTH_16 && u.bg != COLOUR_DEFAULT) || !colour_readable(s.fg, u.bg) ||
	    s.fg == look_style(&t->look[ROLE_TEXT], depth).fg)
		s.fg = u.fg;
	return s;
}
