#include "ctl/config_list.h"

#include "base/mem.h"
#include "ctl/actions_int.h"
#include "ctl/views.h"

#define STEP_ROWS 200

struct listing {
	struct view_job job;
	const struct config_list *list;
	json_t *rows;
	size_t at;
	size_t left_out;
	uint64_t version; /* that the first row is of */
};

static void reply(struct listing *l, uint64_t total)
{
	json_t *page = view_page(json_incref(l->rows), NULL, NULL, total, true);

	(void)json_object_set_new(page, "version", json_integer((json_int_t)l->version));
	view_reply(&l->job, page);
}

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
		reply(l, all > l->left_out ? all - l->left_out : 0);
}

static void done(struct view_job *j)
{
	json_decref(((struct listing *)j)->rows);
}

void config_list(struct ctl_call *call, const struct config_list *list)
{
	static const struct view_job_ops ops = { .step = step, .done = done };
	struct listing *l = xcalloc(1, sizeof(*l));
	struct ctl_env *env = ctl_env(call);

	l->list = list;
	l->rows = json_array();
	l->version = env->actions->version;
	view_begin(&l->job, env, call, &ops);
	step(&l->job);
}
