#include "shell/action.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/mem.h"
#include "base/obj.h"
#include "cell/key.h"

#define WORD_MAX 32

const struct action_def action_defs[A__COUNT] = {
#define ACTION(id, ...) [A_##id] = { __VA_ARGS__ },
#include "shell/actions.def"
#undef ACTION
};

struct keymap {
	int n;
	struct binding {
		uint32_t key;
		enum action_id action;
	} binding[KEYMAP_MAX];
};

int action_slot(enum action_id a)
{
	return a >= A_OVERVIEW && a <= A_VIEW_9 ? (int)(a - A_OVERVIEW) : -1;
}

enum action_id action_find(struct str name)
{
	for (int a = 0; a < A__COUNT; a++)
		if (str_eq(name, str_of(action_defs[a].name)))
			return (enum action_id)a;
	return A_NONE;
}

const char *action_group_title(enum action_group g)
{
	static const char *const titles[GROUP__COUNT] = {
		[GROUP_MOVE] = "Moving",
		[GROUP_SCREEN] = "Screens",
		[GROUP_LIST] = "Lists",
		[GROUP_LOOK] = "Looking",
		[GROUP_CHANGE] = "Changing the relay (each opens a plan first)",
	};

	return titles[g];
}

/* The next word of a list of keys; empty at its end. */
static struct str next_key(struct str *rest)
{
	*rest = str_trim(*rest);
	return str_trim(str_cut(rest, ' '));
}

static int bind(struct keymap *m, uint32_t key, enum action_id a, struct err *err)
{
	char name[KEY_NAME_LEN];

	key_spell(key, name);
	if (keymap_find(m, key) != A_NONE)
		return err_set(err, ERR_CONFIG, "%s is bound to '%s' already", name,
			       action_defs[keymap_find(m, key)].name);
	if (m->n == KEYMAP_MAX)
		return err_set(err, ERR_CONFIG, "more than %d keys", KEYMAP_MAX);
	m->binding[m->n++] = (struct binding){ key, a };
	return 0;
}

static int bind_all(struct keymap *m, enum action_id a, struct str keys, struct err *err)
{
	for (struct str w = next_key(&keys); w.n > 0; w = next_key(&keys)) {
		uint32_t key = key_parse(w);

		if (key == 0)
			return err_set(err, ERR_CONFIG,
				       "'%.*s' is no key: j, Ctrl-D, Alt-x, F5, PageDown are",
				       (int)(w.n < WORD_MAX ? w.n : WORD_MAX), w.p);
		if (bind(m, key, a, err) < 0)
			return -ERR_CONFIG;
	}
	return 0;
}

static void unbind(struct keymap *m, enum action_id a)
{
	int kept = 0;

	for (int i = 0; i < m->n; i++)
		if (m->binding[i].action != a)
			m->binding[kept++] = m->binding[i];
	m->n = kept;
}

struct keymap *keymap_new(void)
{
	struct keymap *m = xcalloc(1, sizeof(*m));
	struct err err = ERR_INIT;

	for (int a = 0; a < A__COUNT; a++)
		if (bind_all(m, (enum action_id)a, str_of(action_defs[a].keys), &err) < 0)
			BUG("action %s: %s", action_defs[a].name, err.msg);
	return m;
}

void keymap_free(struct keymap **mp)
{
	if (mp == NULL || *mp == NULL)
		return;
	free(*mp);
	*mp = NULL;
}

enum action_id keymap_find(const struct keymap *m, uint32_t key)
{
	for (int i = 0; i < m->n; i++)
		if (m->binding[i].key == key)
			return m->binding[i].action;
	return A_NONE;
}

uint32_t keymap_key(const struct keymap *m, enum action_id a, int n)
{
	for (int i = 0; i < m->n; i++)
		if (m->binding[i].action == a && n-- == 0)
			return m->binding[i].key;
	return 0;
}

void keymap_keys(const struct keymap *m, enum action_id a, char ret[static KEYMAP_KEYS_LEN])
{
	size_t n = 0;
	uint32_t key;

	ret[0] = '\0';
	for (int i = 0; (key = keymap_key(m, a, i)) != 0; i++) {
		char name[KEY_NAME_LEN];

		key_spell(key, name);
		if (n + strlen(name) + 2 >= KEYMAP_KEYS_LEN)
			return;
		n += (size_t)snprintf(ret + n, KEYMAP_KEYS_LEN - n, "%s%s", n > 0 ? " " : "", name);
	}
}

/* --- the keys file --- */

/* One line, or nothing when it is empty or a comment; `bind_now` false only takes the old keys
 * away. */
static int apply_line(struct keymap *m, struct str line, bool bind_now, struct err *err)
{
	struct str keys = line;
	struct str name;
	enum action_id a;

	if (line.n == 0 || line.p[0] == '#')
		return 0;
	name = str_trim(str_cut(&keys, '='));
	if (name.n == line.n)
		return err_set(err, ERR_CONFIG, "a line is 'action = key key …'");
	a = action_find(name);
	if (a == A_NONE)
		return err_set(err, ERR_CONFIG, "there is no action '%.*s'",
			       (int)(name.n < WORD_MAX ? name.n : WORD_MAX), name.p);
	if (bind_now)
		return bind_all(m, a, keys, err);
	unbind(m, a);
	return 0;
}

/*
 * In two passes, so that two actions can exchange their keys: first all actions named in the file
 * lose theirs, then they get the new ones.
 */
int keymap_parse(struct keymap *m, const char *file, struct str text, struct err *err)
{
	struct keymap *work = xmalloc(sizeof(*work));
	int result = 0;

	*work = *m;
	for (int pass = 0; pass < 2 && result == 0; pass++) {
		struct str rest = text;

		for (int number = 1; rest.n > 0 && result == 0; number++)
			if (apply_line(work, str_trim(str_cut(&rest, '\n')), pass == 1, err) < 0)
				result = err_prefix(err, "%s:%d", file, number);
	}
	if (result == 0)
		*m = *work;
	free(work);
	return result;
}

int keymap_load(struct keymap *m, const char *path, struct err *err)
{
	AUTO_BUF text = BUF_INIT(KEYS_FILE_MAX);
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n = 1;
	int result;

	if (fd < 0)
		return err_sys(err, errno, "%s", path);
	while (n > 0 && buf_reserve(&text, 4096)) {
		n = read(fd, text.p + text.n, 4096);
		if (n > 0)
			text.n += (size_t)n;
	}
	if (n < 0)
		result = err_sys(err, errno, "%s", path);
	else if (n > 0)
		result = err_set(err, ERR_CONFIG, "%s is larger than a keys file can be (%d bytes)",
				 path, KEYS_FILE_MAX);
	else
		result = keymap_parse(m, path, buf_str(&text), err);
	close(fd);
	return result;
}
