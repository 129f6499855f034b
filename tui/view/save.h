/*
 * save - a whole list, as the relay has it now, to a file of tab-separated values.
 *
 * Model:   fetches page by page and writes each as it comes, so it works for lists of any length.
 *          The first line names the fields. An existing file is never overwritten. Its end and its
 *          failures are notices.
 * Owner:   save_free() cancels; what was written until then stays.
 * Limits:  SAVE_ROWS_MAX rows; the notice says when there were more.
 */
#ifndef VIEW_SAVE_H
#define VIEW_SAVE_H

#include <jansson.h>

#include "base/err.h"
#include "base/str.h"
#include "view/app.h"

#define SAVE_ROWS_MAX 1000000

struct save;

struct save_options {
	struct app *app;
	const char *method;
	const char *entity;
	const char *key; /* takes the place of the first field: what is grouped by */
	bool whole;	 /* the method has neither limit nor cursor */
	json_t *params;	 /* taken */
};

int save_new(const struct save_options *o, struct str path, struct save **ret_save,
	     struct err *err) MUST_CHECK;
void save_free(struct save **sp);

#endif
