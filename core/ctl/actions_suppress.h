/*
 * actions_suppress - the suppression list's part of actions_int.h. (actions_suppress.c)
 */
#ifndef CTL_ACTIONS_SUPPRESS_H
#define CTL_ACTIONS_SUPPRESS_H

#include <sys/queue.h>

#include "ctl/actions.h"

/* Files that were brought for an import. */
struct upload;
LIST_HEAD(upload_list, upload);
struct uploads {
	struct upload_list list;
	size_t n;
	uint64_t last; /* number */
};
void uploads_close(struct actions *a);
void uploads_expire(struct actions *a);

/* The object of an import; owned. */
json_t *suppress_import_json(uint64_t batch);
/* Imports, then entries. Blocking, at start. */
int suppress_load(struct ctl_env *env, struct err *err) MUST_CHECK;

#endif
