/*
 * act_int - what the files of act.h share: a plan, a form or a call under way. (act.c; forms in
 * act_form.c, lines of the palette in act_line.c)
 */
#ifndef VIEW_ACT_INT_H
#define VIEW_ACT_INT_H

#include <sys/queue.h>

#include "base/secret.h"
#include "shell/shell.h"
#include "view/act.h"

#define ACT_MAGIC 0x41637431u

struct act {
	uint32_t magic;
	LIST_ENTRY(act) link;
	struct acts *acts;
	enum method_id method;
	json_t *params; /* without the reason */
	json_t *given;	/* what stood in the form of something that there is; NULL */
	char *target;	/* as it is named in titles and notices */
	char *plan;
	char *reason; /* as far as it is known; NULL */
	char *command;
	uint64_t call;
	struct overlay_id overlay;
	bool committing;
	bool left; /* the window is closed */
	bool now;  /* its plan is committed without asking */
	int64_t recipients;
	int64_t listed;
	struct form_field fields[PROTO_PARAMS_MAX + 2]; /* probation, end */
	char *texts[8 * (PROTO_PARAMS_MAX + 2)]; /* titles, values and choices that they borrow */
	int n_texts;
	const char *choices[PROTO_PARAMS_MAX][12];
};

struct acts {
	struct app *app;
	struct secret shown; /* in a window now */
	LIST_HEAD(, act) all;
};

struct act *act_new(struct acts *acts, enum method_id method, json_t *params_take);
void act_free(struct act **ap);
void act_take_params(struct act *a, json_t *params);
char *act_window_title(const struct act *a); /* owned */
char *act_verb(enum method_id method);	     /* "Hold", from the verb of the command line; owned */
char *act_keep(struct act *a, char *text_take); /* for its life */
/* The method itself, without a plan, with a->params: its answer is told, or goes to the window. */
void act_send(struct act *a);
/* Its window is gone: nothing of it is to stay at the relay, also what is not answered yet. Frees.
 */
void act_leave(struct act *a);
/* The plan (NULL: none came) of what was left while it was made. Frees. */
void act_left(struct act *a, const json_t *plan);
/* Asks about what the relay makes no plan of. */
void act_ask(struct act *a);
int act_linked(const struct acts *acts, struct err *err);

/* --- answers (act_answer.c) ------------------------------------------------------------------- */

/* A page with it. */
void act_show_answer(const struct act *a, const json_t *answer);
/* What a change tells besides that it is done: a secret, records to be published. */
void act_show_told(struct acts *acts, const json_t *result);

/* An answer in steps: what would happen, and by which rule. (act_trial.c) */
void act_put_trial(struct text *t, const json_t *result);

/* act_plan(), and commits the plan when it is there; a reason that is missing is asked for. */
void act_plan_now(struct acts *acts, enum method_id method, json_t *params_take);
/* A plan that was made from a form goes on in its own window. */
void act_planned(struct act *a, const json_t *plan);
/* What an edit would change, and move. (act_edit.c) */
void act_put_edit(struct text *t, const json_t *plan);
void act_put_warnings(struct text *t, const json_t *plan);

/* --- forms (act_form.c) ----------------------------------------------------------------------- */

/* There is something to fill in besides what it is about. */
bool act_has_form(const struct act *a);
int act_n_fields(const struct method_def *m);
/* With `params` filled in, of which `given` (NULL: nothing) is how something is now; takes both. */
void act_form_again(struct acts *acts, enum method_id method, json_t *params, json_t *given);
/* All that it demands is there; the reason is asked for later. */
int act_complete(const struct method_def *m, json_t *params, struct err *err) MUST_CHECK;

#endif
