/*
 * form - fields to fill in, made from descriptions of parameters.
 *
 * Model: one line a field, its help or its error below the fields, which scroll when there is no
 * room for all. Choices and booleans are cycled with Left, Right and Space, all others are line
 * editors. Tab, Up and Down go from field to field, but Tab completes a word first where that can
 * be done; Enter on the last field or on OK gives WIDGET_ACTIVATED once every required field is
 * filled in. A server-side complaint is shown at its field (form_error()).
 *
 * Owner: form_new() copies nothing: descriptions are borrowed and must outlive the form.
 *
 * Limits: FORM_MAX_FIELDS.
 */
#ifndef WIDGET_FORM_H
#define WIDGET_FORM_H

#include <stdbool.h>

#include "base/err.h"
#include "widget/prompt.h"

#define FORM_MAX_FIELDS 24

enum form_kind { FORM_TEXT, FORM_NUMBER, FORM_AGE, FORM_SIZE, FORM_BOOL, FORM_CHOICE, FORM_SECRET };

struct form_field {
	const char *name; /* parameter's name */
	const char *title;
	const char *help;
	const char *initial; /* NULL: empty */
	enum form_kind kind;
	bool required;
	const char *const *choices; /* FORM_CHOICE, ended by NULL */
	prompt_complete_fn *complete;
	void *complete_arg;
};

struct form;

struct form *form_new(const struct form_field *fields, int n);
void form_free(struct form **fp);
unsigned form_event(struct form *f, const struct event *ev);
void form_draw(struct form *f, const struct canvas *c);
int form_height(const struct form *f);
/* The field's text, "" when empty; booleans are "true" and "false". Borrows. */
struct str form_value(const struct form *f, const char *name);
/* Shows err->msg at the field err->param names, or below all when it names none. */
void form_error(struct form *f, const struct err *err);
/* Stands in the place of help and errors; NULL: nothing does. Borrows. */
void form_note(struct form *f, const char *note);

#endif
