/*
 * steps - a decision taken apart: what each step of a message's way says of it, by which rule, and
 * where that can be changed.
 *
 * Model:   rows {step, verdict, rule, text, change} in the order of the way. The first one that is
 *          neither `ok` nor `none` decides the whole.
 * Owner:   steps_done() frees rows that nobody took.
 */
#ifndef CTL_STEPS_H
#define CTL_STEPS_H

#include <jansson.h>

#include "base/err.h"

#define STEPS_TEXT_MAX 2000

enum step_verdict {
	STEP_OK,
	STEP_NONE, /* nothing is decided here, or nothing was said to decide it by */
	STEP_OPEN, /* what was not said decides */
	STEP_WAITS,
	STEP_HELD,
	STEP_FAILS, /* it comes back to its sender */
	STEP_DISCARDED,
	STEP_REFUSED,
	STEP__COUNT
};
const char *step_verdict_name(enum step_verdict v);

struct steps {
	json_t *rows;
	enum step_verdict verdict; /* of the whole; STEP_OK: nothing keeps it */
	const char *decided;	   /* the step that decides; NULL */
	char text[STEPS_TEXT_MAX]; /* what it says */
};
void steps_init(struct steps *s);
void steps_done(struct steps *s);
/* `step` is static. rule: the one that decides, or NULL; change: the command or the setting that
 * changes it, or NULL. */
void steps_add(struct steps *s, const char *step, enum step_verdict v, const char *rule,
	       const char *change, const char *fmt, ...) PRINTF_LIKE(6, 7);

#endif
