/*
 * plan - the question before something changes: what exactly, why, and are you sure.
 *
 * Model: a text (the plan, scrollable), a reason to type when one is demanded, the count to type
 * when it is above plan_type_count, and two buttons, with `change` a third. The focus begins on
 * Cancel. Commit stays off, saying what is missing, until reason and count are there.
 * WIDGET_ACTIVATED means commit, or change when the focus is there.
 *
 * Owner: the caller embeds struct plan (_init/_done) and fills `body` with text_add().
 */
#ifndef WIDGET_PLAN_H
#define WIDGET_PLAN_H

#include <stdbool.h>
#include <stdint.h>

#include "widget/prompt.h"
#include "widget/text.h"

enum plan_focus {
	PLAN_CANCEL,
	PLAN_REASON,
	PLAN_COUNT,
	PLAN_COMMIT,
	PLAN_CHANGE,
	PLAN_FOCUS__COUNT
};

struct plan {
	const char *verb;   /* on the button: "Hold", "Delete" */
	const char *no;	    /* on the other: "Cancel" */
	const char *change; /* on a third one that leads back to what was asked for; NULL: none */
	bool reason_needed;
	bool reason_wanted;  /* offered, not demanded */
	uint64_t type_count; /* > 0: this number must be typed */
	bool busy;	     /* the plan is on its way: the buttons wait */
	struct text body;
	struct prompt reason;
	struct prompt count;
	enum plan_focus focus;
	char missing[96];
};

void plan_init(struct plan *p, const char *verb);
void plan_done(struct plan *p);
unsigned plan_event(struct plan *p, const struct event *ev);
void plan_draw(struct plan *p, const struct canvas *c);
int plan_height(const struct plan *p, int width);
/* NULL when it can be committed, else what is missing. Borrows until the next call. */
const char *plan_missing(struct plan *p);

#endif
