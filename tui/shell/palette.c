/*
 * The palette: names of actions and screens, and commands of the application, with completion.
 * Actions run with the same checks as their keys.
 */
#include <stdio.h>

#include "base/obj.h"
#include "shell/shell_int.h"

/* An action the user can mean here: one of the view's, or one of the shell's that is not hidden. */
static bool offered(struct shell *s, enum action_id a)
{
	struct view *v = shell_view(s);

	if (v != NULL && view_handles(v, a))
		return true;
	return !action_defs[a].hidden && action_defs[a].group == GROUP_SCREEN &&
	       shell_refusal(s, a) == NULL;
}

static void offer_action(struct shell *s, enum action_id a, struct prompt_candidates *to)
{
	const struct action_def *d = &action_defs[a];
	const char *refusal = shell_refusal(s, a);
	char keys[KEYMAP_KEYS_LEN];
	char help[256];

	keymap_keys(s->keymap, a, keys);
	snprintf(help, sizeof(help), "%s (%s)%s%s", chrome_help_of(s, a), keys,
		 refusal != NULL ? " - not now: " : "", refusal != NULL ? refusal : "");
	prompt_offer(to, str_of(d->name), help);
}

static size_t complete(struct str line, size_t cursor, struct prompt_candidates *to, void *arg)
{
	struct shell *s = OBJ(shell, SHELL_MAGIC, arg);
	struct str typed = str_from(line.p, cursor);

	if (typed.n > 0 && str_index(typed, ' ') >= 0)
		return s->o.complete != NULL ? s->o.complete(line, cursor, to, s->o.app) : cursor;
	for (int i = 0; i < s->n_defs; i++)
		if (!s->defs[i]->inner && str_starts_nocase(str_of(s->defs[i]->name), typed))
			prompt_offer(to, str_of(s->defs[i]->name), s->defs[i]->help);
	for (int a = 0; a < A__COUNT; a++)
		if (offered(s, (enum action_id)a) &&
		    str_starts_nocase(str_of(action_defs[a].name), typed) &&
		    view_def_find(s, action_defs[a].name) == NULL)
			offer_action(s, (enum action_id)a, to);
	if (s->o.complete != NULL)
		(void)s->o.complete(line, cursor, to, s->o.app);
	return 0;
}

static int enter(void *arg, struct str line, struct err *err)
{
	struct shell *s = OBJ(shell, SHELL_MAGIC, arg);
	const struct view_def *view;
	enum action_id a;

	line = str_trim(line);
	a = action_find(line);
	view = view_def_meant(s, line);
	if (line.n == 0)
		return 0;
	if (a != A_NONE && view_def_find(s, action_defs[a].name) == NULL) {
		shell_run(s, a);
		return 0;
	}
	if (view != NULL) {
		(void)shell_open(s, view->name, "");
		return 0;
	}
	if (s->o.command != NULL)
		return s->o.command(s->o.app, line, err);
	(void)err_set(err, ERR_UNKNOWN,
		      "no action, screen or command has this name; Tab completes");
	err->column = 1;
	return -ERR_UNKNOWN;
}

void palette_open(struct shell *s)
{
	(void)shell_prompt(s, &(struct shell_prompt){ .label = ":",
						      .hint = "action, screen or command",
						      .history = s->palette_history,
						      .complete = complete,
						      .eager = true,
						      .enter = enter,
						      .arg = s });
}
