/*
 * action - what can be asked for, and the keys for it.
 *
 * Model: shell/actions.def is the only list. A keymap maps each key to one action; it starts with
 * the keys of the table and can be changed by a keys file: lines `action = key key …`, `#`
 * comments, an empty right side takes an action's keys away.
 *
 * Owner: keymap_free() frees a keymap; the table is static.
 *
 * Limits: KEYMAP_MAX keys; KEYS_FILE_MAX bytes a file.
 */
#ifndef SHELL_ACTION_H
#define SHELL_ACTION_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "base/str.h"
#include "widget/nav.h"

#define KEYMAP_MAX 256
#define KEYS_FILE_MAX 65536

enum action_id {
#define ACTION(id, ...) A_##id,
#include "shell/actions.def"
#undef ACTION
	A__COUNT,
	A_NONE = A__COUNT
};

enum action_group { GROUP_MOVE, GROUP_SCREEN, GROUP_LIST, GROUP_LOOK, GROUP_CHANGE, GROUP__COUNT };
/* What the relay must let this user do; the same levels as the control protocol's roles. */
enum action_perm { ACTION_VIEW, ACTION_OPERATE, ACTION_ADMIN };
enum action_need {
	NEED_ROW = 1u << 0,  /* something under the cursor, or marks */
	NEED_LINK = 1u << 1, /* a connection to the relay */
};
/* How much is asked before it happens: nothing, a plan, a plan whose count is typed when it is
 * large. */
enum action_danger { DANGER_NONE, DANGER_PLAN, DANGER_COUNT };

struct action_def {
	const char *name;
	const char *title;
	const char *keys; /* separated by blanks, the first one is shown */
	const char *help;
	enum action_group group;
	enum action_perm perm;
	unsigned needs; /* enum action_need */
	enum action_danger danger;
	enum nav nav;
	bool hidden; /* not in the palette */
};

extern const struct action_def action_defs[A__COUNT];

/* 0 to 9 for the actions that open the view of a slot, else -1. */
int action_slot(enum action_id a);
enum action_id action_find(struct str name); /* A_NONE when there is none */
const char *action_group_title(enum action_group g);

struct keymap;

struct keymap *keymap_new(void);
void keymap_free(struct keymap **mp);
enum action_id keymap_find(const struct keymap *m, uint32_t key);
/* The n-th key of an action, 0 when it has no more. */
uint32_t keymap_key(const struct keymap *m, enum action_id a, int n);
/* "j Down", spelled out, for help. */
#define KEYMAP_KEYS_LEN 96
void keymap_keys(const struct keymap *m, enum action_id a, char ret[static KEYMAP_KEYS_LEN]);
/* Applies the text of a keys file. ERR_CONFIG "file:line: …"; the keymap is unchanged then. */
int keymap_parse(struct keymap *m, const char *file, struct str text, struct err *err) MUST_CHECK;
int keymap_load(struct keymap *m, const char *path, struct err *err) MUST_CHECK;

#endif
