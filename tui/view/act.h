/*
 * act - changing the relay: plan, reason, commit, notice; and forms made from the method table.
 *
 * Model:   act_plan() opens the plan dialog at once and fills it when the relay has made the plan;
 *          committing commits that plan and nothing else. act_form() asks for what it takes first.
 *          What the relay makes no plan of is asked about in the same window. What only reads is
 *          answered in a page (act_answer.c). Whatever was done goes to the command log with the
 *          command line that does the same.
 * Owner:   the app's struct acts owns what is under way; acts_free() cancels it.
 * Limits:  ACT_ROWS_MAX rows of a plan are listed; the dialog says how to see more.
 */
#ifndef VIEW_ACT_H
#define VIEW_ACT_H

#include <jansson.h>

#include "proto/proto.h"
#include "view/app.h"

#define ACT_ROWS_MAX 5000
#define ACT_TYPE_COUNT 1000 /* above this many recipients the count is typed */

struct acts *acts_new(struct app *app);
void acts_free(struct acts **ap);
/* Takes params. */
void act_plan(struct acts *a, enum method_id method, json_t *params);
/* Asks for the method's parameters; `given` (taken, may be NULL) are filled in already. */
void act_form(struct acts *a, enum method_id method, json_t *given);
/* How something is to be changed: `settings` (taken) are what it has in the configuration's
 * `version` (0: not known). What somebody else changed since is not overwritten: it is refused. */
void act_edit(struct acts *a, enum method_id method, json_t *settings, int64_t version);
/* What a form of this method begins with: what the row has of its parameters; owned. */
json_t *act_settings(enum method_id method, const json_t *row);
/* Shows what a method that changes nothing answers; takes params. (act_answer.c) */
void act_read(struct acts *a, enum method_id method, json_t *params);
/* The link is lost: what was left while it was on its way is not sent again. */
void acts_unlinked(struct acts *a);
/* A method of files, which the command line reads. */
bool act_in_shell_only(const struct method_def *m);
/* Takes an action back, after asking; the reason may be NULL. */
void act_undo(struct acts *a, const char *action, const char *what, const char *reason);
/* Rows of entity "change", a line each, and how many more when they are the first of n.
 * (act_edit.c) */
struct text;
void act_put_changes(struct text *t, const json_t *changes, int64_t n);
/* Those of a plan or a version, and that there are more when it has only the first ones. */
void act_put_changes_of(struct text *t, const json_t *row);
/* Answers in a window: the one thing that binds the target now. */
void act_why(struct acts *a, const char *target);
/* What would happen to a message like this recipient. (act_trial.c) */
void act_trial_of(struct acts *a, const json_t *row);
/* Opens the messages that wait for the same cause as this one (an id, or a recipient's). */
void act_same_cause(struct acts *a, const char *id);
/* A line of the palette, as on the command line: "hold domain:gmail.com --for 2h". */
int act_command(struct acts *a, struct str line, struct err *err) MUST_CHECK;
/* What could stand at its cursor; for shell_options. */
size_t act_complete_line(struct str line, size_t cursor, struct prompt_candidates *to, void *app);
/* Opens the screen where what such a line asks for stands; false when none has it. */
bool act_follow(struct acts *a, struct str line);

#endif
