#include "ctl/config_list.h"

#include "base/mem.h"
#include "ctl/views.h"

#define STEP_ROWS 200

struct listing {
	struct view_job job;
	const struct config_list *list;
	json_t *rows;
	size_t at;
	size_t left_out;
};

static void step(struct view_job *j)
{
	struct listing *l = (struct listing *)j;
	size_t all = l->list->n(j->env);
	size_t n = all < CONFIG_ROWS_MAX ? all : CONFIG_ROWS_MAX;

	for (size_t end = l->at + STEP_ROWS; l->at < n && l->at < end; l->at++) {
		json_t *row = l->list->row(j->env, l->at);

		if (row != NULL)
			(void)json_array_append_new(l->rows, row);
		else
			l->left_out++;
	}
	if (l->at < n)
		view_soon(j);
	else
		view_reply(j, view_page(json_incref(l->rows), NULL, NULL,
					all > l->left_out ? all - l->left_out : 0, true));
}

static void done(struct view_job *j)
{
	json_decref(((struct listing *)j)->rows);
}

void config_list(struct ctl_call *call, const struct config_list *list)
{
	static const struct view_job_ops ops = { .step = step, .done = done };
	struct listing *l = xcalloc(1, sizeof(*l));

	l->list = list;
	l->rows = json_array();
	view_begin(&l->job, ctl_env(call), call, &ops);
	step(&l->job);
}
