/*
 * config_list - whole lists of what operators edit (MF_CONFIG): they have no pages, are made in
 * slices, and say of which version they are.
 *
 * Limits:  CONFIG_ROWS_MAX rows; `total` says how many there are.
 */
#ifndef CTL_CONFIG_LIST_H
#define CTL_CONFIG_LIST_H

#include "ctl/env.h"

#define CONFIG_ROWS_MAX 10001 /* all routes, and what follows them */

struct config_list {
	size_t (*n)(const struct ctl_env *env);
	/* Number `at` as a row; NULL: it is left out. */
	json_t *(*row)(const struct ctl_env *env, size_t at);
};

/* Answers the call; `list` is static. */
void config_list(struct ctl_call *call, const struct config_list *list);

#endif
