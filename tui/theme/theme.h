/*
 * theme - how each role looks, on terminals of every depth.
 *
 * Model: a theme file has one line a role, `role = FG BG ATTRIBUTES`, after it, if wanted,
 * `| FG BG ATTRIBUTES` for 16 colours and `| ATTRIBUTES` for none. FG and BG are `default`, one of
 * the sixteen names (red, bright-red, …), #rrggbb, a number of the 256 colours, or `-` for the
 * fallback role's. Attributes: bold dim italic underline reverse. `#` begins a comment at the
 * start of a line, or between two blanks. What a role does not set it takes from its fallback
 * (theme/roles.def). Colours are brought down to the terminal's depth by theme_style().
 *
 * Owner: theme_free() frees; a theme does not change once it is made.
 *
 * Errors: theme_load() and theme_parse() give ERR_CONFIG with "file:line: what is wrong".
 *
 * Limits: THEME_FILE_MAX bytes a file.
 */
#ifndef THEME_THEME_H
#define THEME_THEME_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "base/str.h"
#include "theme/colour.h"

#define THEME_FILE_MAX 65536
#define THEME_NAME_MAX 64

enum role {
#define ROLE(id, ...) ROLE_##id,
#include "theme/roles.def"
#undef ROLE
	ROLE__COUNT
};

enum style_attr {
	STYLE_BOLD = 1u << 0,
	STYLE_DIM = 1u << 1,
	STYLE_ITALIC = 1u << 2,
	STYLE_UNDERLINE = 1u << 3,
	STYLE_REVERSE = 1u << 4,
};

struct style {
	int fg;
	int bg;
	unsigned attrs; /* enum style_attr */
};

struct theme;

/* The look of roles.def, which needs no file. */
struct theme *theme_builtin(void);
int theme_load(const char *path, struct theme **ret_theme, struct err *err) MUST_CHECK;
/* `file` is for messages. */
int theme_parse(const char *file, struct str text, struct theme **ret_theme,
		struct err *err) MUST_CHECK;
/*
 * Finds a theme by name ("dark") in the user's, the build tree's and the installed theme
 * directories, or by path when the name has a slash. ERR_UNKNOWN lists the names there are.
 */
int theme_find(const char *name, struct theme **ret_theme, struct err *err) MUST_CHECK;
/* Calls fn for each theme that theme_find() would find; a name only once. */
typedef void theme_name_fn(const char *name, void *arg);
void theme_each(theme_name_fn *fn, void *arg);
void theme_free(struct theme **tp);
const char *theme_name(const struct theme *t); /* borrows */

/* The look of `role` lying on `under` (0: on nothing), in colours of that depth. */
struct style theme_style(const struct theme *t, enum depth depth, enum role role, enum role under);
/* True when the file set the role or one it falls back to, other than text. */
bool theme_covers(const struct theme *t, enum role role);

const char *theme_role_name(enum role r);
const char *theme_role_meaning(enum role r);

#endif
