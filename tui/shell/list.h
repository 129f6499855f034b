/*
 * list - the actions that every screen with a table has in common.
 *
 * Model: a view lists the actions it wants (A_MARK, A_RANGE, A_MARK_ALL, A_UNMARK, A_SORT, A_WIDE,
 *A_COPY) and hands them here before its own:
 *
 *	switch (list_action(view_shell(v), &state->table, a)) {
 *	case LIST_SORTED:
 *		… open the query again, sorted by table.columns[table.sort_column].name …
 *
 * After WIDGET_SORT from table_mouse() the same is to be done.
 */
#ifndef SHELL_LIST_H
#define SHELL_LIST_H

#include "shell/action.h"
#include "widget/table.h"

struct shell;

enum list_result {
	LIST_NOT_MINE,
	LIST_DONE,
	LIST_SORTED, /* sort_column and sort are new */
};

enum list_result list_action(struct shell *s, struct table *t, enum action_id a);

#endif
