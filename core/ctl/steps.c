#include "ctl/steps.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/json.h"

const char *step_verdict_name(enum step_verdict v)
{
	static const char *const names[STEP__COUNT] = {
		[STEP_OK] = "ok",	    [STEP_NONE] = "none",	    [STEP_OPEN] = "open",
		[STEP_WAITS] = "waits",	    [STEP_HELD] = "held",	    [STEP_FAILS] = "fails",
		[STEP_REFUSED] = "refused", [STEP_DISCARDED] = "discarded",
	};

	return names[v];
}

void steps_init(struct steps *s)
{
	*s = (struct steps){ .rows = json_array(), .verdict = STEP_OK };
}

void steps_done(struct steps *s)
{
	json_decref(s->rows);
	s->rows = NULL;
}

void steps_add(struct steps *s, const char *step, enum step_verdict v, const char *rule,
	       const char *change, const char *fmt, ...)
{
	char text[STEPS_TEXT_MAX];
	va_list ap;

	va_start(ap, fmt);
	(void)vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	(void)json_array_append_new(s->rows, json_pack("{s:s, s:s, s:o, s:o, s:o}", "step", step,
						       "verdict", step_verdict_name(v), "rule",
						       json_text_or_null(str_of(rule)), "text",
						       json_text(str_of(text)), "change",
						       json_text_or_null(str_of(change))));
	if (v == STEP_OK || v == STEP_NONE || s->decided != NULL)
		return;
	s->verdict = v;
	s->decided = step;
	memcpy(s->text, text, sizeof(text));
}
