/* What the files of args share. */
#ifndef ARGS_ARGS_INT_H
#define ARGS_ARGS_INT_H

#include "args/args.h"

#define ARGS_SHOWN 60 /* bytes of a wrong word that are repeated */

/* `where`: the text of --where. */
int args_target_value(struct args *a, const struct param_def *p, const char *text, bool where,
		      json_t **ret, struct err *err) MUST_CHECK;

#endif
