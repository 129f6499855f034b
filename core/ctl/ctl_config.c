/*
 * config.history and config.diff. Operators see them, viewers do not, like the audit log: every
 * version of the rules of access is in them.
 */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "base/mem.h"
#include "ctl/actions_int.h"
#include "ctl/config.h"
#include "ctl/handlers.h"
#include "ctl/views.h"

/* ---- config.history ---- */

/* Of changes as they are stored, in a page and of one version; of each the first one is told. */
#define PAGE_BYTES ((size_t)192 << 10)
#define VERSION_BYTES ((size_t)16 << 10)

struct listing {
	struct view_job job;
};

/* "+ allow 10.0.0.0/8, 2 more" */
static json_t *summary(const json_t *rows, bool cut)
{
	const json_t *first = json_array_get(rows, 0);
	size_t more = json_array_size(rows);
	AUTO_FREE char *text = NULL;

	if (first == NULL)
		return json_string("");
	text = cut ? xasprintf("%s %s %s, and very many more", json_get_str(first, "op"),
			       json_get_str(first, "kind"), json_get_str(first, "id"))
	       : more > 1
		       ? xasprintf("%s %s %s, %zu more", json_get_str(first, "op"),
				   json_get_str(first, "kind"), json_get_str(first, "id"), more - 1)
		       : xasprintf("%s %s %s: %s", json_get_str(first, "op"),
				   json_get_str(first, "kind"), json_get_str(first, "id"),
				   json_get_str(first, "text"));
	return json_text(str_of(text));
}

/* bytes: of its changes that it has room for. */
static json_t *version_row(const struct ctl_env *env, const struct queue_version *v, size_t bytes)
{
	const struct probation *p = env->probation;
	bool cut = false;
	json_t *changes = config_rows_first(v->changes, bytes, &cut);
	json_t *text = summary(changes, cut);
	char action[ACTION_ID_LEN];

	journal_id_text(v->action, action);
	return json_pack("{s:I, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:s, s:o, s:o, s:b, s:o}",
			 "version", (json_int_t)v->version, "at", json_time(v->at_ms), "who",
			 json_text(str_of(v->who)), "from_where", json_text(str_of(v->from_where)),
			 "role", json_text(str_of(v->role)), "method", json_text(str_of(v->method)),
			 "target", json_text(str_of(v->target)), "reason",
			 json_text(str_of(v->reason)), "action", action, "text", text, "changes",
			 changes, "changes_cut", cut, "probation_until_at",
			 json_time(p != NULL && p->version == v->version ? p->until_ms : 0));
}

static void on_versions(void *arg, const struct queue_version *rows, size_t n, bool more,
			const struct err *err)
{
	struct listing *l = arg;
	size_t left = PAGE_BYTES;
	json_t *list;

	if (err != NULL) {
		view_fail(&l->job, err);
		return;
	}
	list = json_array();
	for (size_t i = 0; i < n; i++) {
		size_t room = left < VERSION_BYTES ? left + 1 : VERSION_BYTES;
		(void)json_array_append_new(list, version_row(l->job.env, &rows[i], room));
		left -= strnlen(rows[i].changes, room - 1);
	}
	view_reply(&l->job,
		   view_page(list,
			     more && n > 0 ? xasprintf("%" PRIu64, rows[n - 1].version) : NULL,
			     NULL, l->job.env->actions->version, false));
}

void ctl_config_history(struct ctl_call *call)
{
	static const struct view_job_ops ops = { .step = NULL };
	struct ctl_env *env = ctl_env(call);
	struct listing *l = xcalloc(1, sizeof(*l));
	const char *cursor = ctl_str(call, "cursor");
	struct queue_versions_query q = { .limit = (size_t)ctl_int(call, "limit", VIEW_LIMIT) };
	struct err err = ERR_INIT;

	view_begin(&l->job, env, call, &ops);
	if (cursor != NULL && (!str_u64(str_of(cursor), INT64_MAX, &q.below) || q.below == 0)) {
		(void)err_param(&err, ERR_INVALID, "cursor", "not a cursor of this list");
		view_fail(&l->job, &err);
		return;
	}
	queue_versions(env->queue, &q, on_versions, l);
}

/* ---- config.diff ---- */

struct diff {
	struct view_job job;
	struct config_collect collect;
};

static void diff_done(struct view_job *j)
{
	config_collect_done(&((struct diff *)j)->collect);
}

static void on_collected(void *arg, const struct err *err)
{
	struct diff *d = arg;

	if (err != NULL) {
		view_fail(&d->job, err);
		return;
	}
	view_reply(&d->job,
		   view_page(json_incref(d->collect.rows), NULL, NULL, d->collect.rows_n, true));
}

/* Without versions what the last one did; with one what was done since. */
static int read_range(const struct ctl_call *call, uint64_t newest, uint64_t *ret_a,
		      uint64_t *ret_b, struct err *err)
{
	int64_t a = ctl_int(call, "a", -1);
	int64_t b = ctl_int(call, "b", -1);
	bool swap = b >= 0 && a > b;

	if (a > (int64_t)newest || b > (int64_t)newest)
		return err_param(err, ERR_UNKNOWN, b > (int64_t)newest ? "b" : "a",
				 "there is no version %" PRId64 "; the newest is %" PRIu64,
				 b > (int64_t)newest ? b : a, newest);
	if (swap)
		return err_param(err, ERR_INVALID, "b",
				 "the older version comes first: config diff %" PRId64 " %" PRId64,
				 b, a);
	*ret_a = a >= 0 ? (uint64_t)a : newest > 0 ? newest - 1 : 0;
	*ret_b = b >= 0 ? (uint64_t)b : newest;
	return 0;
}

void ctl_config_diff(struct ctl_call *call)
{
	static const struct view_job_ops ops = { .done = diff_done };
	struct ctl_env *env = ctl_env(call);
	struct diff *d = xcalloc(1, sizeof(*d));
	struct err err = ERR_INIT;
	uint64_t a = 0, b = 0;

	view_begin(&d->job, env, call, &ops);
	if (read_range(call, env->actions->version, &a, &b, &err) < 0) {
		view_fail(&d->job, &err);
		return;
	}
	d->collect = (struct config_collect){ .env = env,
					      .above = a,
					      .below = b + 1,
					      .rows_too = true,
					      .fn = on_collected,
					      .arg = d };
	config_collect(&d->collect);
}
